/* SPDX-License-Identifier: MIT */
/* onnx_rnn.c - ONNX's recurrent operators as our RNN. Theirs hold W as [1, gates x units, in] with
 * the gates of an LSTM in the order i o f c, ours as [in, gates x units] in the order i f c o; the
 * biases of input and state are added, but where a GRU resets after the product. */
#include "model/onnx_impl.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

static const struct {
    int gates, order[4]; /* our gate k is theirs order[k] */
} kinds[] = {
    [NN_RNN_SIMPLE] = {1, {0}         },
    [NN_RNN_LSTM] = {4, {0, 2, 3, 1}},
    [NN_RNN_GRU] = {3, {0, 1, 2}   },
};

/* ---- attributes ---- */

static const struct {
    const char *name;
    nn_act act;
    float alpha, beta; /* that ours has; 0: it has none */
} known[] = {
    {"Relu",        NN_ACT_RELU,         0,                  0   },
    {"LeakyRelu",   NN_ACT_LEAKY_RELU,   0.3F,               0   },
    {"Elu",         NN_ACT_ELU,          1,                  0   },
    {"Sigmoid",     NN_ACT_SIGMOID,      0,                  0   },
    {"HardSigmoid", NN_ACT_HARD_SIGMOID, (float)(1.0 / 6.0), 0.5F},
    {"Tanh",        NN_ACT_TANH,         0,                  0   },
    {"Softplus",    NN_ACT_SOFTPLUS,     0,                  0   },
    {"Softsign",    NN_ACT_SOFTSIGN,     0,                  0   },
};

static bool is_text(const ProtobufCBinaryData *s, const char *text) {
    return s->len == strlen(text) && strncasecmp((const char *)s->data, text, s->len) == 0;
}

/* Takes the next number of a list, if the function has one; false: it is another than ours. */
static bool agrees(const Onnx__AttributeProto *a, size_t *at, float ours) {
    if (ours == 0) return true;
    size_t i = (*at)++;
    return a && i < a->n_floats && a->floats[i] > ours - 1e-5F && a->floats[i] < ours + 1e-5F;
}

static nn_status functions(op *p, int n, nn_act *ret, nn_err *err) {
    const Onnx__AttributeProto *names = nn_import_attr(p, "activations");
    const Onnx__AttributeProto *alpha = nn_import_attr(p, "activation_alpha");
    const Onnx__AttributeProto *beta = nn_import_attr(p, "activation_beta");
    size_t at_alpha = 0, at_beta = 0;
    for (int i = 0; i < n; i++) ret[i] = i == 0 && n > 1 ? NN_ACT_SIGMOID : NN_ACT_TANH;
    if (!names) return NN_OK;
    if (names->n_strings != (size_t)n)
        return nn_import_unsupported(p, err, "%zu activations", names->n_strings);
    for (int i = 0; i < n; i++) {
        size_t k = 0, end = sizeof known / sizeof *known;
        while (k < end && !is_text(&names->strings[i], known[k].name)) k++;
        if (k == end || !agrees(alpha, &at_alpha, known[k].alpha) ||
            !agrees(beta, &at_beta, known[k].beta))
            return nn_import_unsupported(p, err, "activation %d", i + 1);
        ret[i] = known[k].act;
    }
    return NN_OK;
}

static nn_status attributes(op *p, nn_rnn_kind kind, nn_attr *ret, nn_err *err) {
    nn_act f[3];
    int n = kind == NN_RNN_SIMPLE ? 1 : kind == NN_RNN_GRU ? 2 : 3;
    nn_status s = functions(p, n, f, err);
    if (s) return s;
    if (kind == NN_RNN_LSTM && f[1] != f[2])
        return nn_import_unsupported(p, err, "two activations of the state");
    bool reverse = nn_import_attr_is(p, "direction", "reverse", "forward");
    if (!reverse && !nn_import_attr_is(p, "direction", "forward", "forward"))
        return nn_import_unsupported(p, err, "both directions at once");
    if (nn_import_attr_int(p, "input_forget", 0))
        return nn_import_unsupported(p, err, "input and forget gate in one");
    *ret = (nn_attr){
        .rnn = {.kind = kind,
                .activation = f[n - 1],
                .recurrent_activation = kind == NN_RNN_SIMPLE ? NN_ACT_SIGMOID : f[0],
                .reverse = reverse,
                .reset_after =
                    kind == NN_RNN_GRU && nn_import_attr_int(p, "linear_before_reset", 0) != 0}
    };
    return NN_OK;
}

/* ---- weights ---- */

/* [1, gates x units, rows] as [rows, gates x units] in our order. */
static nn_status gate_columns(importer *m, nn_rnn_kind kind, const tensor *t, int64_t units,
                              const float **ret, nn_err *err) {
    int64_t columns = t->dim[1], rows = t->dim[2];
    float *to = nn_import_new_floats(m, t->elements, err);
    if (!to) return NN_E_LIMIT;
    for (int64_t c = 0; c < columns; c++) {
        int64_t theirs = kinds[kind].order[c / units] * units + c % units;
        for (int64_t r = 0; r < rows; r++) to[r * columns + c] = t->floats[theirs * rows + r];
    }
    *ret = to;
    return NN_OK;
}

static nn_status gate_biases(importer *m, const nn_attr *a, const tensor *t, const float **ret,
                             nn_err *err) {
    int64_t units = a->rnn.units, columns = kinds[a->rnn.kind].gates * units;
    bool both = a->rnn.reset_after;
    float *to = nn_import_new_floats(m, 2 * columns, err);
    if (!to) return NN_E_LIMIT;
    for (int64_t c = 0; c < columns; c++) {
        int64_t theirs = kinds[a->rnn.kind].order[c / units] * units + c % units;
        float in = t->floats[theirs], state = t->floats[columns + theirs];
        to[c] = both ? in : in + state;
        if (both) to[columns + c] = state;
    }
    *ret = to;
    return NN_OK;
}

/* W, R and B, checked and in our form; sets units and bias. */
static nn_status weights_of(importer *m, op *p, int64_t features, nn_attr *a, const float **ret,
                            nn_err *err) {
    const tensor *w, *r, *b;
    nn_status s = nn_import_floats(m, p, 1, &w, err);
    if (!s) s = nn_import_floats(m, p, 2, &r, err);
    if (!s && nn_import_input(m, p, 3)) s = nn_import_floats(m, p, 3, &b, err);
    if (s) return s;
    int64_t gates = kinds[a->rnn.kind].gates, units = r->rank == 3 ? r->dim[2] : 0;
    a->rnn.bias = nn_import_input(m, p, 3);
    a->rnn.units = units;
    bool fits = units > 0 && w->rank == 3 && w->dim[0] == 1 && w->dim[1] == gates * units &&
                w->dim[2] == features && r->dim[0] == 1 && r->dim[1] == gates * units &&
                nn_import_attr_int(p, "hidden_size", units) == units &&
                (!a->rnn.bias || b->elements == 2 * gates * units);
    if (!fits) return nn_import_unsupported(p, err, "weights that do not fit");
    s = gate_columns(m, a->rnn.kind, w, units, &ret[0], err);
    if (!s) s = gate_columns(m, a->rnn.kind, r, units, &ret[1], err);
    if (!s && a->rnn.bias) s = gate_biases(m, a, b, &ret[2], err);
    return s;
}

/* Sequence lengths, first states that are not zero, and peepholes are not ours. */
static nn_status check_rest(importer *m, op *p, nn_err *err) {
    for (size_t k = 4; k < p->n_input; k++) {
        const tensor *t;
        item *v = nn_import_input(m, p, k);
        if (!v) continue;
        if (k == 4) return nn_import_unsupported(p, err, "lengths of sequences");
        nn_status s = nn_import_floats(m, p, k, &t, err);
        if (s) return s;
        for (int64_t i = 0; i < t->elements; i++)
            if (t->floats[i] != 0)
                return nn_import_unsupported(p, err, k == 7 ? "peepholes" : "a first state");
    }
    return NN_OK;
}

/* ---- outputs ---- */

/* With the directions, of which there is one, as an axis before the features. */
static nn_status sided(importer *m, op *p, size_t k, int id, nn_err *err) {
    nn_shape to = m->g->nodes[id].shape;
    to.dim[to.rank] = to.dim[to.rank - 1];
    to.dim[to.rank++ - 1] = 1;
    nn_status s = nn_import_add(m, p, NN_OP_RESHAPE, NULL, &id, 1, &to, &id, err);
    return s ? s : nn_import_set(m, p, k, id, PLAIN, err);
}

static bool used(importer *m, op *p, size_t k) {
    const item *v =
        k < p->n_output && *p->output[k] ? nn_import_item(m, p->output[k], false) : NULL;
    return v && v->uses;
}

/* One node for each output that is used, with weights of its own if both are. */
static nn_status output(importer *m, op *p, size_t k, int in, bool time, nn_attr *a,
                        const float *const *w, nn_err *err) {
    int id;
    if (!used(m, p, k)) return NN_OK;
    a->rnn.sequences = k == 0;
    nn_status s = nn_import_add(m, p, NN_OP_RNN, a, &in, 1, NULL, &id, err);
    if (!s) s = nn_import_add_weights(m, p, id, w, a->rnn.bias ? 3 : 2, err);
    if (s) return s;
    if (!time) return sided(m, p, k, id, err);
    return nn_import_set(m, p, k, id, k == 0 ? TIME_SIDED : SIDED, err);
}

static nn_status read_rnn(importer *m, op *p, nn_err *err) {
    item *v;
    nn_attr a;
    const float *w[3];
    bool time = nn_import_attr_int(p, "layout", 0) == 0;
    nn_status s = nn_import_node(m, p, 0, &v, err);
    if (!s && v->layout != (time ? TIME : PLAIN))
        return nn_import_unsupported(p, err, "its input does not have the steps where it says");
    if (!s) s = attributes(p, (nn_rnn_kind)nn_import_reader(p->op_type)->value, &a, err);
    if (s) return s;
    const nn_shape *x = nn_import_shape(m, v);
    int in = v->node;
    if (x->rank != 2) return nn_import_unsupported(p, err, "its input has %d axes", x->rank + 1);
    s = weights_of(m, p, x->dim[1], &a, w, err);
    if (!s) s = check_rest(m, p, err);
    if (!s) s = output(m, p, 0, in, time, &a, w, err);
    return s ? s : output(m, p, 1, in, time, &a, w, err);
}

#define RNN "|hidden_size|direction|activations|activation_alpha|activation_beta|layout|"

/* clang-format off */
const reader nn_import_rnn_readers[] = {
    {"RNN",  read_rnn, 3, 6,  RNN,                        NN_RNN_SIMPLE},
    {"GRU",  read_rnn, 3, 6,  RNN "linear_before_reset|", NN_RNN_GRU},
    {"LSTM", read_rnn, 3, 8,  RNN "input_forget|",        NN_RNN_LSTM},
    {0}
};
/* clang-format on */
