/* SPDX-License-Identifier: MIT */
/* infer_sequence.c - shape rules of ops over steps. */
#include "graph/infer.h"

#include <inttypes.h>
#include <math.h>

nn_status nn_infer_embedding(nn_node *n, const nn_shape *in, nn_err *err) {
    int64_t rows = n->attr.embedding.input_dim, size = n->attr.embedding.output_dim;
    if (!nn_within(rows, 1) || !nn_within(size, 1))
        return nn_misfit(err, in, "both are 1 to 2147483647",
                         "input_dim=%" PRId64 ", output_dim=%" PRId64, rows, size);
    if (in->rank >= NN_MAX_RANK)
        return nn_misfit(err, in, "(...) -> (..., output_dim)", "a tensor has at most %d axes",
                         NN_MAX_RANK);
    n->shape = *in;
    n->shape.dim[n->shape.rank++] = size;
    return NN_OK;
}

nn_status nn_infer_position(nn_node *n, const nn_shape *in, nn_err *err) {
    int64_t most = n->attr.position.max_len;
    if (in->rank != 2 || in->dim[1] < 0)
        return nn_misfit(err, in, "(steps, features)", "expected steps of a known size");
    if (!nn_within(most, 1))
        return nn_misfit(err, in, "1 <= max_len <= 2147483647", "max_len=%" PRId64, most);
    if (in->dim[0] > most)
        return nn_misfit(err, in, "steps <= max_len",
                         "%" PRId64 " steps are more than max_len=%" PRId64, in->dim[0], most);
    n->shape = *in;
    return NN_OK;
}

nn_status nn_infer_rnn(nn_node *n, const nn_shape *in, nn_err *err) {
    int64_t units = n->attr.rnn.units;
    if (in->rank != 2)
        return nn_misfits(err, n, in, "(steps, features) -> (units), or (steps, units)",
                          "expected 2 axes, got %d", in->rank);
    if (in->dim[1] < 0)
        return nn_misfits(err, n, in, "the kernel is (features, gates units)",
                          "the features must have a known size");
    if (n->n_inputs == 2 && !nn_is_tokens(&in[1], in->dim[0]))
        return nn_misfits(err, n, in, "(steps, features) and the tokens (steps)",
                          "the tokens do not fit");
    if (!nn_within(units, 1) || units > NN_MAX_DIM / 4)
        return nn_misfits(err, n, in, "1 <= units <= 536870911", "units=%" PRId64, units);
    if (!nn_is_rate(n->attr.rnn.dropout) || !nn_is_rate(n->attr.rnn.recurrent_dropout))
        return nn_misfits(err, n, in, "a rate is in [0, 1)", "dropout out of range");
    n->shape = n->attr.rnn.sequences ? (nn_shape){2, {in->dim[0], units}} : (nn_shape){1, {units}};
    return NN_OK;
}

/* ---- attention ---- */

static nn_status check_heads(const nn_node *n, const nn_shape *in, nn_err *err) {
    static const char rule[] = "query and key (steps, heads * size of a head), value (steps, heads "
                               "* its own size)";
    int64_t heads = n->attr.attention.heads;
    if (!nn_within(heads, 1)) return nn_misfits(err, n, in, rule, "heads=%" PRId64, heads);
    for (int i = 0; i < 3; i++)
        if (in[i].dim[1] < 0 || in[i].dim[1] % heads)
            return nn_misfits(err, n, in, rule, "%" PRId64 " heads do not divide the last axis",
                              heads);
    if (n->attr.attention.additive && heads != 1)
        return nn_misfits(err, n, in, "additive attention has one head", "heads=%" PRId64, heads);
    return NN_OK;
}

static nn_status check_steps(const nn_node *n, const nn_shape *in, nn_err *err) {
    int64_t steps, size;
    if (!nn_agree(in[0].dim[1], in[1].dim[1], &size))
        return nn_misfits(err, n, in, "query (t, d), key (s, d), value (s, v) -> (t, v)",
                          "query and key differ in size");
    if (!nn_agree(in[1].dim[0], in[2].dim[0], &steps))
        return nn_misfits(err, n, in, "query (t, d), key (s, d), value (s, v) -> (t, v)",
                          "key and value differ in steps");
    if (n->n_inputs == 4 && !nn_is_tokens(&in[3], steps))
        return nn_misfits(err, n, in, "a token for each step of the key", "the tokens do not fit");
    return NN_OK;
}

nn_status nn_infer_attention(nn_node *n, const nn_shape *in, nn_err *err) {
    for (int i = 0; i < 3; i++)
        if (in[i].rank != 2)
            return nn_misfits(err, n, in, "query (t, d), key (s, d), value (s, v) -> (t, v)",
                              "expected 2 axes, got %d", in[i].rank);
    nn_status st = check_heads(n, in, err);
    if (!st) st = check_steps(n, in, err);
    if (st) return st;
    if (!isfinite(n->attr.attention.scale))
        return nn_misfits(err, n, in, "a finite number", "scale=%g", n->attr.attention.scale);
    if (!nn_is_rate(n->attr.attention.dropout))
        return nn_misfits(err, n, in, "a rate is in [0, 1)", "dropout=%g",
                          n->attr.attention.dropout);
    n->shape = (nn_shape){
        2, {in[0].dim[0], in[2].dim[1]}
    };
    return NN_OK;
}
