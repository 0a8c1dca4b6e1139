/* SPDX-License-Identifier: MIT */
/* infer_many.c - shape rules of ops that bring several inputs together. */
#include "graph/infer.h"

#include <inttypes.h>

/* Widens *to by one more operand, by NumPy's rule: axes are compared from the last, a missing one
 * is 1, and 1 stretches. An unknown size beside n > 1 must turn out to be n or 1, so the result is
 * n; beside 1 it stays unknown. Returns the axis (of the result) that does not fit, else -1. */
static int broadcast(nn_shape *to, const nn_shape *more) {
    int rank = to->rank > more->rank ? to->rank : more->rank;
    nn_shape out = {.rank = rank};
    for (int i = 0; i < rank; i++) {
        int at = i - (rank - to->rank), bt = i - (rank - more->rank);
        int64_t a = at < 0 ? 1 : to->dim[at], b = bt < 0 ? 1 : more->dim[bt];
        if (a > 1 && b > 1 && a != b) return i;
        out.dim[i] = a > 1 ? a : b > 1 ? b : a < 0 || b < 0 ? NN_DIM_UNKNOWN : 1;
    }
    *to = out;
    return -1;
}

nn_status nn_infer_merge(nn_node *n, const nn_shape *in, nn_err *err) {
    if (n->attr.merge.kind == NN_MERGE_SUBTRACT && n->n_inputs != 2)
        return nn_misfits(err, n, in, "subtract takes exactly two", "%d inputs", n->n_inputs);
    nn_shape out = in[0];
    for (int i = 1; i < n->n_inputs; i++) {
        int axis = broadcast(&out, &in[i]);
        if (axis >= 0)
            return nn_misfits(err, n, in,
                              "from the last axis on, sizes are equal or one of them is 1",
                              "input %d does not fit those before it", i + 1);
    }
    n->shape = out;
    return NN_OK;
}

nn_status nn_infer_concat(nn_node *n, const nn_shape *in, nn_err *err) {
    static const char rule[] = "all axes but the joined one are equal";
    int axis = n->attr.concat.axis;
    if (axis < 0 || axis >= in->rank)
        return nn_misfits(err, n, in, "an axis of the inputs, the first being 0", "no axis %d",
                          axis);
    nn_shape out = in[0];
    for (int i = 1; i < n->n_inputs; i++) {
        if (in[i].rank != out.rank)
            return nn_misfits(err, n, in, rule, "input %d has %d axes, the first has %d", i + 1,
                              in[i].rank, out.rank);
        for (int a = 0; a < out.rank; a++) {
            int64_t x = out.dim[a], y = in[i].dim[a];
            if (a == axis)
                out.dim[a] = x < 0 || y < 0 ? NN_DIM_UNKNOWN : x + y;
            else if (!nn_agree(x, y, &out.dim[a]))
                return nn_misfits(err, n, in, rule,
                                  "input %d is %" PRId64 " on axis %d, those before it %" PRId64,
                                  i + 1, y, a, x);
        }
    }
    n->shape = out;
    return NN_OK;
}

nn_status nn_infer_dot(nn_node *n, const nn_shape *in, nn_err *err) {
    static const char rule[] = "the two axes that are summed over have one size";
    nn_shape out = {0};
    for (int i = 0; i < 2; i++)
        if (n->attr.dot.axes[i] < 0 || n->attr.dot.axes[i] >= in[i].rank)
            return nn_misfits(err, n, in, "an axis of each input, the first being 0",
                              "no axis %d in input %d", n->attr.dot.axes[i], i + 1);
    int64_t a = in[0].dim[n->attr.dot.axes[0]], b = in[1].dim[n->attr.dot.axes[1]], ignored;
    if (!nn_agree(a, b, &ignored))
        return nn_misfits(err, n, in, rule, "%" PRId64 " and %" PRId64 " differ", a, b);
    if (in[0].rank + in[1].rank - 2 > NN_MAX_RANK)
        return nn_misfits(err, n, in, "the rest of a, then the rest of b",
                          "the result has more than %d axes", NN_MAX_RANK);
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < in[i].rank; k++)
            if (k != n->attr.dot.axes[i]) out.dim[out.rank++] = in[i].dim[k];
    if (out.rank == 0) out.dim[out.rank++] = 1;
    n->shape = out;
    return NN_OK;
}
