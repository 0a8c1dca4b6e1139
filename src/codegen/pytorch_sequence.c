/* SPDX-License-Identifier: MIT */
/* pytorch_sequence.c - the ops over steps.
 *
 * nn.LSTM, nn.GRU and nn.RNN mean the same as ours with the functions that they have, once the
 * gates are in their order (pytorch_weights.c): LSTM i f g o for i f c o, GRU r z n for z r h. Of
 * their two biases only one is ours, but for a GRU with reset_after. What they do not do is left to
 * the class Recurrent (pytorch_parts.c): other functions, steps that a token passes over, dropout
 * of the state.
 */
#include "codegen/pytorch.h"

#include <inttypes.h>

nn_status nn_torch_emit_embedding(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    const char *x = nn_torch_last(e, n);
    NN_BUF a = {0};
    nn_buf_printf(&a, "%" PRId64 ", %" PRId64, n->attr.embedding.input_dim,
                  n->attr.embedding.output_dim);
    nn_torch_declare(e, n, "nn.Embedding", &a);
    nn_torch_result(e, n, NN_CHANNELS_LAST,
                    nn_torch_print(e, "self.%s(%s.long())", e->attribute[n->id], x));
    return NN_OK;
}

nn_status nn_torch_emit_position(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    const char *x = nn_torch_last(e, n);
    if (!n->attr.position.learnable) {
        nn_torch_need(e, NN_PART_POSITIONS);
        nn_torch_result(e, n, NN_CHANNELS_LAST, nn_torch_print(e, "%s + positions(%s)", x, x));
        return NN_OK;
    }
    NN_BUF a = {0};
    nn_buf_printf(&a, "%" PRId64 ", %" PRId64, n->attr.position.max_len, nn_torch_channels(e, n));
    nn_torch_declare(e, n, "nn.Embedding", &a);
    nn_torch_result(
        e, n, NN_CHANNELS_LAST,
        nn_torch_print(e, "%s + self.%s.weight[:%s.shape[1]]", x, e->attribute[n->id], x));
    return NN_OK;
}

/* ---- recurrent ---- */

/* One draw a row and feature for all steps, as Keras has it. */
static const char *dropped(nn_emit *e, const nn_node *n, const char *x, double rate) {
    if (rate == 0) return x;
    NN_BUF a = {0};
    nn_py_float(&a, rate);
    const char *drop = nn_torch_declare_more(e, n, "dropout", "nn.Dropout", &a);
    return nn_torch_print(e, "%s * self.%s(torch.ones_like(%s[:, :1]))", x, drop, x);
}

static void declare_loop(nn_emit *e, const nn_node *n) {
    static const char *const kinds[] = {
        [NN_RNN_SIMPLE] = "rnn", [NN_RNN_LSTM] = "lstm", [NN_RNN_GRU] = "gru"};
    NN_BUF a = {0};
    nn_buf_printf(&a, "'%s', %" PRId64 ", %" PRId64 ", %s", kinds[n->attr.rnn.kind],
                  nn_torch_channels(e, n), n->attr.rnn.units,
                  nn_torch_function(e, n->attr.rnn.activation));
    if (n->attr.rnn.kind != NN_RNN_SIMPLE)
        nn_buf_printf(&a, ", %s", nn_torch_function(e, n->attr.rnn.recurrent_activation));
    if (!n->attr.rnn.bias) nn_buf_puts(&a, ", bias=False");
    if (n->attr.rnn.kind == NN_RNN_GRU && n->attr.rnn.reset_after)
        nn_buf_puts(&a, ", reset_after=True");
    if (n->attr.rnn.reverse) nn_buf_puts(&a, ", reverse=True");
    if (n->attr.rnn.recurrent_dropout > 0) {
        nn_buf_puts(&a, ", recurrent_dropout=");
        nn_py_float(&a, n->attr.rnn.recurrent_dropout);
    }
    nn_torch_need(e, NN_PART_RECURRENT);
    nn_torch_declare(e, n, "Recurrent", &a);
}

static void emit_loop(nn_emit *e, const nn_node *n) {
    const char *x = nn_torch_last(e, n);
    const char *tokens = n->n_inputs > 1 ? nn_torch_variable(e, n->inputs[1]) : NULL;
    declare_loop(e, n);
    x = dropped(e, n, x, n->attr.rnn.dropout);
    nn_torch_result(e, n, NN_CHANNELS_LAST,
                    nn_torch_print(e, "self.%s(%s%s%s)[%d]", e->attribute[n->id], x,
                                   tokens ? ", " : "", tokens ? tokens : "",
                                   n->attr.rnn.sequences ? 0 : 1));
}

nn_status nn_torch_emit_rnn(nn_emit *e, const nn_node *n, nn_err *err) {
    static const char *const types[] = {
        [NN_RNN_SIMPLE] = "nn.RNN", [NN_RNN_LSTM] = "nn.LSTM", [NN_RNN_GRU] = "nn.GRU"};
    (void)err;
    if (nn_torch_loops(e, n)) {
        emit_loop(e, n);
        return NN_OK;
    }
    const char *x = nn_torch_last(e, n);
    NN_BUF a = {0};
    nn_buf_printf(&a, "%" PRId64 ", %" PRId64 ", batch_first=True", nn_torch_channels(e, n),
                  n->attr.rnn.units);
    if (n->attr.rnn.kind == NN_RNN_SIMPLE && n->attr.rnn.activation == NN_ACT_RELU)
        nn_buf_puts(&a, ", nonlinearity='relu'");
    if (!n->attr.rnn.bias) nn_buf_puts(&a, ", bias=False");
    nn_torch_declare(e, n, types[n->attr.rnn.kind], &a);
    bool reverse = n->attr.rnn.reverse, sequences = n->attr.rnn.sequences;
    x = dropped(e, n, x, n->attr.rnn.dropout);
    if (reverse)
        x = n->attr.rnn.dropout > 0 ? nn_torch_print(e, "(%s).flip(1)", x)
                                    : nn_torch_print(e, "%s.flip(1)", x);
    const char *y = nn_torch_print(e, "self.%s(%s)[0]", e->attribute[n->id], x);
    if (!sequences) y = nn_torch_print(e, "%s[:, -1]", y);
    if (sequences && reverse) y = nn_torch_print(e, "%s.flip(1)", y);
    nn_torch_result(e, n, NN_CHANNELS_LAST, y);
    return NN_OK;
}

/* ---- convolutional ---- */

static const char *const convolutions[] = {"nn.Conv1d", "nn.Conv2d", "nn.Conv3d"};

static void put_input_convolution(nn_emit *e, const nn_node *n, nn_pad_way way, nn_buf *a) {
    const nn_window *w = &n->attr.conv_lstm.window;
    nn_buf_printf(a, "%s(%" PRId64 ", %" PRId64, convolutions[w->spatial - 1],
                  nn_torch_channels(e, n), 4 * n->attr.conv_lstm.filters);
    nn_torch_sizes(a, "kernel_size", w->size, w->spatial);
    nn_torch_window(a, w, way);
    nn_buf_puts(a, n->attr.conv_lstm.bias ? "),\n            " : ", bias=False),\n            ");
}

static void put_state_convolution(const nn_node *n, nn_buf *a) {
    const nn_window *w = &n->attr.conv_lstm.window;
    int64_t filters = n->attr.conv_lstm.filters;
    nn_buf_printf(a, "%s(%" PRId64 ", %" PRId64, convolutions[w->spatial - 1], filters,
                  4 * filters);
    nn_torch_sizes(a, "kernel_size", w->size, w->spatial);
    nn_buf_puts(a, ", padding='same', bias=False),\n            ");
}

static void put_rest(nn_emit *e, const nn_node *n, nn_buf *a) {
    nn_buf_printf(a, "%s, %s", nn_torch_function(e, n->attr.conv_lstm.activation),
                  nn_torch_function(e, n->attr.conv_lstm.recurrent_activation));
    if (n->attr.conv_lstm.reverse) nn_buf_puts(a, ", reverse=True");
    if (n->attr.conv_lstm.dropout > 0) {
        nn_buf_puts(a, ", dropout=");
        nn_py_float(a, n->attr.conv_lstm.dropout);
    }
    if (n->attr.conv_lstm.recurrent_dropout > 0) {
        nn_buf_puts(a, ", recurrent_dropout=");
        nn_py_float(a, n->attr.conv_lstm.recurrent_dropout);
    }
}

nn_status nn_torch_emit_conv_lstm(nn_emit *e, const nn_node *n, nn_err *err) {
    const nn_window *w = &n->attr.conv_lstm.window;
    const int64_t *in = nn_torch_node(e, n->inputs[0])->shape.dim + 1;
    nn_pad_way way = nn_torch_pad_way(w, in, false);
    if (way == NN_PAD_RUN_TIME)
        return nn_torch_unsupported(n, "its 'same' padding needs sizes that are known", err);
    const char *x = nn_torch_last(e, n);
    NN_BUF a = {0};
    put_input_convolution(e, n, way, &a);
    put_state_convolution(n, &a);
    put_rest(e, n, &a);
    nn_torch_need(e, NN_PART_CONV_LSTM);
    nn_torch_declare(e, n, "ConvLstm", &a);
    bool sequences = n->attr.conv_lstm.sequences;
    x = nn_torch_padded(e, w, way, nn_torch_print(e, "%s.movedim(-1, 2)", x), "");
    nn_torch_result(e, n, sequences ? NN_CHANNELS_LAST : NN_CHANNELS_FIRST,
                    nn_torch_print(e, "self.%s(%s)[%d]%s", e->attribute[n->id], x,
                                   sequences ? 0 : 1, sequences ? ".movedim(2, -1)" : ""));
    return NN_OK;
}

/* ---- attention ---- */

static void declare_attention(nn_emit *e, const nn_node *n) {
    bool additive = n->attr.attention.additive;
    NN_BUF a = {0};
    nn_buf_printf(&a, "heads=%" PRId64 ", scale=", n->attr.attention.heads);
    nn_py_float(&a, n->attr.attention.scale);
    if (additive) nn_buf_puts(&a, ", additive=True");
    if (n->attr.attention.use_scale)
        nn_buf_printf(&a, ", learned=%" PRId64, additive ? nn_torch_channels(e, n) : 1);
    if (n->attr.attention.causal) nn_buf_puts(&a, ", causal=True");
    if (n->attr.attention.dropout > 0) {
        nn_buf_puts(&a, ", dropout=");
        nn_py_float(&a, n->attr.attention.dropout);
    }
    nn_torch_need(e, NN_PART_ATTENTION);
    nn_torch_declare(e, n, "Attention", &a);
}

nn_status nn_torch_emit_attention(nn_emit *e, const nn_node *n, nn_err *err) {
    (void)err;
    NN_BUF b = {0};
    for (int i = 0; i < n->n_inputs; i++)
        nn_buf_printf(&b, "%s%s", i ? ", " : "",
                      nn_torch_as(e, n->inputs[i], NN_CHANNELS_LAST, "channels last"));
    declare_attention(e, n);
    nn_torch_result(e, n, NN_CHANNELS_LAST, nn_torch_call(e, n, nn_buf_str(&b)));
    return NN_OK;
}
