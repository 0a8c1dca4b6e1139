/* SPDX-License-Identifier: MIT */
/* Counts by the formulas of language.md 13.2: LSTM 4((in+u)u+u), GRU 3((in+u)u+2u), SimpleRNN
 * (in+u)u+u. */
#include "bench.h"

typedef struct fixture {
    bench b;
    const nn_layer *l;
    nn_bound args[BENCH_ARGS];
} fixture;

static void open(fixture *f, const char *layer, nn_shape in) {
    f->b = bench_new(in);
    f->l = nn_layer_find(layer);
    bench_defaults(f->l, f->args);
}

static void with_units(fixture *f, const char *layer, nn_shape in, int64_t units) {
    open(f, layer, in);
    bench_arg(f->l, f->args, "units")->i = units;
}

static void turn_on(fixture *f, const char *name) {
    bench_arg(f->l, f->args, name)->b = true;
}

static int made(fixture *f) {
    int id;
    CHECK_OK(bench_build(&f->b, f->l, f->args, f->b.in, "x", &id), &f->b.err);
    return id;
}

static const nn_shape SEQUENCE = {
    2, {10, 8}
};

TEST(weights_of_each_kind) {
    static const struct {
        const char *layer;
        const char *off; /* a parameter that is true by default */
        int64_t params;
        nn_rnn_kind kind;
    } rows[] = {
        {"SimpleRNN", NULL,               400,  NN_RNN_SIMPLE}, /* (8 + 16) 16 + 16 */
        {"SimpleRNN", "use_bias",         384,  NN_RNN_SIMPLE},
        {"LSTM",      NULL,               1600, NN_RNN_LSTM  }, /* 4 (24 * 16 + 16) */
        {"LSTM",      "unit_forget_bias", 1600, NN_RNN_LSTM  },
        {"GRU",       NULL,               1248, NN_RNN_GRU   }, /* 3 (24 * 16 + 32) */
        {"GRU",       "reset_after",      1200, NN_RNN_GRU   },
        {"GRU",       "use_bias",         1152, NN_RNN_GRU   },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fixture f;
        with_units(&f, rows[i].layer, SEQUENCE, 16);
        if (rows[i].off) bench_arg(f.l, f.args, rows[i].off)->b = false;
        int id = made(&f);
        CHECK_SHAPE(&f.b, id, 16);
        assert_int_equal(bench_params(&f.b), rows[i].params);
        const nn_node *n = &f.b.g->nodes[id];
        assert_int_equal(n->op, NN_OP_RNN);
        assert_string_equal(n->name, "x");
        assert_int_equal(n->attr.rnn.kind, rows[i].kind);
        assert_int_equal(n->attr.rnn.activation, NN_ACT_TANH);
        if (rows[i].kind != NN_RNN_SIMPLE)
            assert_int_equal(n->attr.rnn.recurrent_activation, NN_ACT_SIGMOID);
        assert_int_equal(f.b.n_notices, 0);
        bench_free(&f.b);
    }
}

TEST(starts_of_the_weights) {
    fixture f;
    with_units(&f, "LSTM", SEQUENCE, 16);
    made(&f);
    const nn_weight *w = f.b.g->weights;
    assert_string_equal(w[0].name, "x.kernel");
    assert_string_equal(w[1].name, "x.recurrent_kernel");
    assert_string_equal(w[2].name, "x.bias");
    assert_int_equal(w[0].init.kind, NN_INIT_GLOROT_UNIFORM);
    assert_int_equal(w[0].fan_in, 8);
    assert_int_equal(w[0].fan_out, 64);
    assert_int_equal(w[1].init.kind, NN_INIT_ORTHOGONAL);
    assert_int_equal(w[2].init.kind, NN_INIT_UNIT_FORGET);
    bench_free(&f.b);

    with_units(&f, "LSTM", SEQUENCE, 16);
    bench_arg(f.l, f.args, "unit_forget_bias")->b = false;
    bench_arg(f.l, f.args, "bias_initializer")->init =
        (nn_initializer){.kind = NN_INIT_CONSTANT, .a = 0.5};
    made(&f);
    assert_int_equal(f.b.g->weights[2].init.kind, NN_INIT_CONSTANT);
    bench_free(&f.b);
}

TEST(regularizers_and_constraints) {
    fixture f;
    with_units(&f, "GRU", SEQUENCE, 4);
    bench_arg(f.l, f.args, "kernel_regularizer")->reg.l1 = 1;
    bench_arg(f.l, f.args, "recurrent_regularizer")->reg.l1 = 2;
    bench_arg(f.l, f.args, "bias_regularizer")->reg.l1 = 3;
    bench_arg(f.l, f.args, "activity_regularizer")->reg.l2 = 4;
    bench_arg(f.l, f.args, "recurrent_constraint")->con.kind = NN_CONSTRAINT_NON_NEG;
    bench_arg(f.l, f.args, "trainable")->b = false;
    int id = made(&f);
    for (int i = 0; i < 3; i++) {
        assert_true(f.b.g->weights[i].regularizer.l1 == i + 1);
        CHECK(!f.b.g->weights[i].trainable);
    }
    assert_int_equal(f.b.g->weights[0].constraint.kind, NN_CONSTRAINT_NONE);
    assert_int_equal(f.b.g->weights[1].constraint.kind, NN_CONSTRAINT_NON_NEG);
    assert_int_equal(f.b.g->nodes[id].op, NN_OP_ACTIVITY_REG);
    assert_true(f.b.g->nodes[id].attr.activity_reg.l2 == 4);
    bench_free(&f.b);
}

TEST(sequences_and_open_steps) {
    fixture f;
    with_units(&f, "GRU", SHAPE(NN_DIM_UNKNOWN, 8), 16);
    turn_on(&f, "return_sequences");
    int id = made(&f);
    CHECK_SHAPE(&f.b, id, NN_DIM_UNKNOWN, 16);
    bench_free(&f.b);
}

/* Keras: the sequence comes out in the order in which it was made. */
TEST(go_backwards) {
    fixture f;
    with_units(&f, "LSTM", SEQUENCE, 16);
    turn_on(&f, "go_backwards");
    int id = made(&f);
    CHECK(f.b.g->nodes[id].op == NN_OP_RNN && f.b.g->nodes[id].attr.rnn.reverse);
    bench_free(&f.b);

    with_units(&f, "LSTM", SEQUENCE, 16);
    turn_on(&f, "go_backwards");
    turn_on(&f, "return_sequences");
    id = made(&f);
    const nn_node *n = &f.b.g->nodes[id];
    CHECK(n->op == NN_OP_REVERSE && n->attr.reverse.axis == 0);
    CHECK(f.b.g->nodes[n->inputs[0]].attr.rnn.reverse);
    CHECK_SHAPE(&f.b, id, 10, 16);
    bench_free(&f.b);
}

TEST(two_layers_in_both_directions) {
    fixture f;
    with_units(&f, "LSTM", SEQUENCE, 16);
    bench_arg(f.l, f.args, "num_layers")->i = 2;
    turn_on(&f, "bidirectional");
    int id = made(&f);
    CHECK_SHAPE(&f.b, id, 32);
    /* 2 * 4 (24 * 16 + 16) = 3200, then 2 * 4 ((32 + 16) 16 + 16) = 6272 */
    assert_int_equal(bench_params(&f.b), 9472);
    const nn_node *first = bench_node(&f.b, "x.layer_1");
    CHECK(first->op == NN_OP_CONCAT && first->attr.concat.axis == 1);
    CHECK_SHAPE(&f.b, first->id, 10, 32);
    CHECK(!bench_node(&f.b, "x.layer_1.forward")->attr.rnn.reverse);
    CHECK(bench_node(&f.b, "x.layer_1.forward")->attr.rnn.sequences);
    const nn_node *back = bench_node(&f.b, "x.layer_2.backward");
    CHECK(back->attr.rnn.reverse && !back->attr.rnn.sequences);
    assert_int_equal(back->inputs[0], first->id);
    assert_int_equal(bench_node(&f.b, "x.layer_2")->id, id);
    bench_free(&f.b);
}

TEST(padding) {
    fixture f;
    for (int back = 0; back < 2; back++) {
        with_units(&f, "GRU", SEQUENCE, 16);
        f.b.mask = bench_tokens(&f.b, 10);
        turn_on(&f, "return_sequences");
        if (back) turn_on(&f, "go_backwards");
        bench_arg(f.l, f.args, "num_layers")->i = 2;
        made(&f);
        const nn_node *n = bench_node(&f.b, "x.layer_2");
        assert_int_equal(n->n_inputs, 2);
        assert_int_equal(n->inputs[1], f.b.mask);
        assert_int_equal(f.b.ret_mask, back ? -1 : f.b.mask);
        assert_int_equal(f.b.n_warnings, back); /* that the padding stops here */
        bench_free(&f.b);
    }
    with_units(&f, "GRU", SEQUENCE, 16);
    f.b.mask = bench_tokens(&f.b, 10);
    made(&f);
    assert_int_equal(f.b.ret_mask, -1);
    bench_free(&f.b);
}

static void check_refused(fixture *f, const char *param, nn_status code, const char *message) {
    int id;
    assert_int_equal(bench_build(&f->b, f->l, f->args, f->b.in, "x", &id), code);
    CHECK_HAS(f->b.err.msg, message);
    CHECK(f->b.hint || f->b.err.hint[0]);
    if (param) assert_int_equal(f->b.at.line, 7 + nn_layer_param(f->l, param));
    bench_free(&f->b);
}

TEST(what_no_engine_can_do) {
    fixture f;
    const char *flags[] = {"stateful", "time_major"};
    for (int i = 0; i < 2; i++) {
        with_units(&f, "SimpleRNN", SEQUENCE, 16);
        turn_on(&f, flags[i]);
        check_refused(&f, flags[i], NN_E_UNSUPPORTED, flags[i]);
    }
    const char *functions[] = {"softmax", "log_softmax", "prelu"};
    for (int i = 0; i < 6; i++) {
        const char *param = i < 3 ? "activation" : "recurrent_activation";
        with_units(&f, "LSTM", SEQUENCE, 16);
        bench_arg(f.l, f.args, param)->s = functions[i % 3];
        check_refused(&f, param, NN_E_UNSUPPORTED, functions[i % 3]);
    }
    with_units(&f, "LSTM", SEQUENCE, 16);
    bench_arg(f.l, f.args, "bias_initializer")->init.kind = NN_INIT_HE_NORMAL;
    check_refused(&f, "bias_initializer", NN_E_UNSUPPORTED, "unit_forget_bias=true");
}

TEST(what_has_no_effect) {
    static const struct {
        const char *param;
        bool warning;
    } rows[] = {
        {"return_state", true },
        {"unroll",       false},
        {"seed",         false}
    };
    for (int i = 0; i < 3; i++) {
        fixture f;
        with_units(&f, "LSTM", SEQUENCE, 16);
        turn_on(&f, rows[i].param);
        made(&f);
        assert_int_equal(f.b.n_notices, 1);
        assert_int_equal(f.b.n_warnings, rows[i].warning);
        CHECK_HAS(f.b.notices[0], rows[i].param);
        bench_free(&f.b);
    }
}

TEST(inputs_of_another_rank) {
    fixture f;
    with_units(&f, "LSTM", SHAPE(100), 16);
    check_refused(&f, NULL, NN_E_DSL_ERROR, "(100,)");
    CHECK_HAS(f.b.hint, "Embedding");
    with_units(&f, "LSTM", SHAPE(28, 28, 1), 16);
    check_refused(&f, NULL, NN_E_DSL_ERROR, "(28, 28, 1)");
    CHECK_HAS(f.b.hint, "TimeDistributed");
}

/* ---- cells and wrappers ---- */

TEST(cells) {
    const char *names[] = {"SimpleRNNCell", "LSTMCell", "GRUCell"};
    const int64_t params[] = {400, 1600, 1248}; /* as the layers above */
    for (int i = 0; i < 3; i++) {
        fixture f;
        with_units(&f, names[i], SHAPE(8), 16);
        int id = made(&f);
        CHECK_SHAPE(&f.b, id, 16);
        assert_int_equal(bench_params(&f.b), params[i]);
        CHECK_SHAPE(&f.b, bench_node(&f.b, "x.step")->id, 1, 8);
        bench_free(&f.b);
    }
}

TEST(a_cell_takes_no_sequence) {
    fixture f;
    with_units(&f, "LSTMCell", SEQUENCE, 16);
    check_refused(&f, NULL, NN_E_DSL_ERROR, "(10, 8)");
    CHECK_HAS(f.b.err.hint, "use LSTM(16)");
    with_units(&f, "SimpleRNNCell", SEQUENCE, 3);
    check_refused(&f, NULL, NN_E_DSL_ERROR, "(features)");
    CHECK_HAS(f.b.err.hint, "use SimpleRNN(3)");
}

TEST(dropout_behind_the_layer) {
    const char *names[] = {"SimpleRNNDropoutWrapper", "LSTMDropoutWrapper", "GRUDropoutWrapper"};
    const int64_t params[] = {400, 1600, 1248};
    for (int i = 0; i < 3; i++) {
        fixture f;
        with_units(&f, names[i], SEQUENCE, 16);
        bench_arg(f.l, f.args, "dropout")->f = 0.25;
        bench_arg(f.l, f.args, "recurrent_dropout")->f = 0.5;
        int id = made(&f);
        const nn_node *n = &f.b.g->nodes[id];
        assert_int_equal(n->op, NN_OP_DROPOUT);
        assert_true(n->attr.dropout.rate == 0.25);
        const nn_node *rnn = bench_node(&f.b, "x");
        assert_true(rnn->attr.rnn.dropout == 0 && rnn->attr.rnn.recurrent_dropout == 0.5);
        assert_int_equal(bench_params(&f.b), params[i]);
        bench_free(&f.b);
    }
    fixture f;
    with_units(&f, names[0], SEQUENCE, 16);
    int id = made(&f);
    assert_int_equal(f.b.g->nodes[id].op, NN_OP_RNN); /* no rate, no Dropout */
    bench_free(&f.b);
}

/* ---- ConvLSTM ---- */

static void conv(fixture *f, const char *layer, nn_shape in, int64_t filters, int64_t size) {
    open(f, layer, in);
    bench_arg(f->l, f->args, "filters")->i = filters;
    nn_bound *k = bench_arg(f->l, f->args, "kernel_size");
    for (int i = 0; i < NN_MAX_SPATIAL; i++) k->dims[i] = size;
}

TEST(conv_lstm) {
    fixture f;
    conv(&f, "ConvLSTM2D", SHAPE(5, 8, 8, 3), 4, 3);
    int id = made(&f);
    CHECK_SHAPE(&f.b, id, 6, 6, 4);
    assert_int_equal(bench_params(&f.b), 9 * 3 * 16 + 9 * 4 * 16 + 16);
    assert_int_equal(f.b.g->weights[2].init.kind, NN_INIT_UNIT_FORGET);
    bench_free(&f.b);

    conv(&f, "ConvLSTM1D", SHAPE(5, 9, 3), 4, 3);
    turn_on(&f, "return_sequences");
    bench_arg(f.l, f.args, "strides")->dims[0] = 2;
    bench_arg(f.l, f.args, "padding")->padding = NN_PAD_SAME;
    CHECK_SHAPE(&f.b, made(&f), 5, 5, 4);
    bench_free(&f.b);

    conv(&f, "ConvLSTM3D", SHAPE(2, 4, 5, 6, 1), 2, 2);
    turn_on(&f, "bidirectional");
    CHECK_SHAPE(&f.b, made(&f), 3, 4, 5, 4);
    assert_int_equal(bench_params(&f.b), 2 * (8 * 1 * 8 + 8 * 2 * 8 + 8));
    bench_free(&f.b);
}

TEST(conv_lstm_channels_first) {
    fixture f;
    for (int sequences = 0; sequences < 2; sequences++) {
        conv(&f, "ConvLSTM2D", SHAPE(5, 3, 8, 7), 4, 3);
        bench_arg(f.l, f.args, "data_format")->s = "channels_first";
        if (sequences) turn_on(&f, "return_sequences");
        int id = made(&f);
        if (sequences)
            CHECK_SHAPE(&f.b, id, 5, 4, 6, 5);
        else
            CHECK_SHAPE(&f.b, id, 4, 6, 5);
        bench_free(&f.b);
    }
    conv(&f, "ConvLSTM2D", SHAPE(5, 3, 8, 7), 4, 3);
    bench_arg(f.l, f.args, "data_format")->s = "channels_first";
    turn_on(&f, "bidirectional");
    check_refused(&f, "data_format", NN_E_UNSUPPORTED, "channels_first");
    conv(&f, "ConvLSTM2D", SHAPE(5, 8, 8), 4, 3);
    check_refused(&f, NULL, NN_E_DSL_ERROR, "(5, 8, 8)");
    CHECK_HAS(f.b.hint, "channels are an axis too");
}

/* ---- Embedding ---- */

static void embedding(fixture *f, nn_shape in) {
    open(f, "Embedding", in);
    bench_arg(f->l, f->args, "input_dim")->i = 100;
    bench_arg(f->l, f->args, "output_dim")->i = 8;
}

TEST(embedding_of_any_rank) {
    fixture f;
    embedding(&f, SHAPE(20));
    int id = made(&f);
    CHECK_SHAPE(&f.b, id, 20, 8);
    assert_int_equal(bench_params(&f.b), 800);
    const nn_weight *w = &f.b.g->weights[0];
    assert_string_equal(w->name, "x.embeddings");
    assert_int_equal(w->init.kind, NN_INIT_RANDOM_UNIFORM); /* Keras's "uniform": -0.05 to 0.05 */
    assert_true(w->init.a == -0.05 && w->init.b == 0.05);
    assert_int_equal(f.b.ret_mask, -1);
    bench_free(&f.b);
    embedding(&f, SHAPE(3, NN_DIM_UNKNOWN));
    CHECK_SHAPE(&f.b, made(&f), 3, NN_DIM_UNKNOWN, 8);
    bench_free(&f.b);
}

/* What the corpus calls a rank error: (100, 300) into an Embedding. */
TEST(embedding_of_vectors_before_a_sequence) {
    fixture f;
    embedding(&f, SHAPE(100, 300));
    int id = made(&f);
    f.l = nn_layer_find("LSTM");
    bench_defaults(f.l, f.args);
    bench_arg(f.l, f.args, "units")->i = 4;
    f.b.in = id;
    int out;
    assert_int_equal(bench_build(&f.b, f.l, f.args, id, "y", &out), NN_E_DSL_ERROR);
    CHECK_HAS(f.b.hint, "Embedding adds an axis");
    bench_free(&f.b);
}

TEST(embedding_masks_zero) {
    fixture f;
    embedding(&f, SHAPE(20));
    turn_on(&f, "mask_zero");
    made(&f);
    assert_int_equal(f.b.ret_mask, f.b.in);
    bench_free(&f.b);
    embedding(&f, SHAPE(3, 4));
    turn_on(&f, "mask_zero");
    made(&f);
    assert_int_equal(f.b.ret_mask, -1);
    assert_int_equal(f.b.n_warnings, 1);
    bench_free(&f.b);
}

TEST(embedding_length) {
    fixture f;
    embedding(&f, SHAPE(20));
    bench_arg(f.l, f.args, "input_length")->i = 20;
    made(&f);
    bench_free(&f.b);
    embedding(&f, SHAPE(20));
    bench_arg(f.l, f.args, "input_length")->i = 21;
    check_refused(&f, "input_length", NN_E_DSL_ERROR, "input_length=21");
    embedding(&f, SHAPE(4, 20));
    bench_arg(f.l, f.args, "input_length")->i = 20;
    check_refused(&f, "input_length", NN_E_DSL_ERROR, "one axis");
}

TEST(embedding_wants_whole_numbers) {
    fixture f;
    embedding(&f, SHAPE(20));
    const nn_layer *dense = nn_layer_find("Dense");
    nn_bound args[BENCH_ARGS];
    bench_defaults(dense, args);
    bench_arg(dense, args, "units")->i = 20;
    CHECK_OK(bench_build(&f.b, dense, args, f.b.in, "dense", &f.b.in), &f.b.err);
    check_refused(&f, NULL, NN_E_DSL_ERROR, "Dense 'dense'");
    embedding(&f, SHAPE(20));
    const nn_layer *reshape = nn_layer_find("Reshape");
    bench_defaults(reshape, args);
    bench_arg(reshape, args, "target_shape")->shape = SHAPE(4, 5);
    CHECK_OK(bench_build(&f.b, reshape, args, f.b.in, "reshape", &f.b.in), &f.b.err);
    CHECK_SHAPE(&f.b, made(&f), 4, 5, 8);
    bench_free(&f.b);
}

/* The largest sizes and ranks are errors, not overflows. */
TEST(sizes_at_the_limits) {
    fixture f;
    int id;
    with_units(&f, "LSTM", SHAPE(16, NN_MAX_DIM), NN_MAX_DIM);
    assert_int_equal(bench_build(&f.b, f.l, f.args, f.b.in, "x", &id), NN_E_DSL_ERROR);
    bench_free(&f.b);
    with_units(&f, "GRU", SHAPE(10, NN_DIM_UNKNOWN), 8);
    assert_int_equal(bench_build(&f.b, f.l, f.args, f.b.in, "x", &id), NN_E_DSL_ERROR);
    bench_free(&f.b);
    with_units(&f, "LSTMCell", (nn_shape){0}, 8);
    check_refused(&f, NULL, NN_E_DSL_ERROR, "(features)");
    embedding(&f, SHAPE(1, 1, 1, 1, 1, 1, 1, 1));
    assert_int_equal(bench_build(&f.b, f.l, f.args, f.b.in, "x", &id), NN_E_DSL_ERROR);
    bench_free(&f.b);
}
