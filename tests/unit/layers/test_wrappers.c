/* SPDX-License-Identifier: MIT */
#include "bench.h"

/* A wrapper and the call inside it. */
typedef struct fixture {
    bench b;
    const nn_layer *l;
    nn_bound args[BENCH_ARGS], inner_args[BENCH_ARGS];
    nn_inner inner;
} fixture;

static void open(fixture *f, const char *wrapper, const char *layer, nn_shape in) {
    *f = (fixture){.b = bench_new(in), .l = nn_layer_find(wrapper)};
    bench_defaults(f->l, f->args);
    f->inner = (nn_inner){.layer = nn_layer_find(layer), .args = f->inner_args};
    bench_defaults(f->inner.layer, f->inner_args);
    bench_arg(f->l, f->args, "layer")->inner = &f->inner;
}

static nn_bound *inside(fixture *f, const char *name) {
    return bench_arg(f->inner.layer, f->inner_args, name);
}

static int made(fixture *f) {
    int id;
    CHECK_OK(bench_build(&f->b, f->l, f->args, f->b.in, "w", &id), &f->b.err);
    return id;
}

static void check_refused(fixture *f, nn_status code, const char *message, const char *hint) {
    int id;
    assert_int_equal(bench_build(&f->b, f->l, f->args, f->b.in, "w", &id), code);
    CHECK_HAS(f->b.err.msg, message);
    CHECK_HAS(f->b.hint ? f->b.hint : f->b.err.hint, hint);
    bench_free(&f->b);
}

static const nn_shape SEQUENCE = {
    2, {10, 8}
};

/* ---- Bidirectional ---- */

TEST(both_directions_joined) {
    static const struct {
        const char *mode;
        nn_op op;
        nn_merge merge;
        int64_t size;
    } rows[] = {
        {"concat", NN_OP_CONCAT, NN_MERGE_COUNT,    32},
        {"sum",    NN_OP_MERGE,  NN_MERGE_ADD,      16},
        {"mul",    NN_OP_MERGE,  NN_MERGE_MULTIPLY, 16},
        {"ave",    NN_OP_MERGE,  NN_MERGE_AVERAGE,  16},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fixture f;
        open(&f, "Bidirectional", "LSTM", SEQUENCE);
        inside(&f, "units")->i = 16;
        bench_arg(f.l, f.args, "merge_mode")->s = rows[i].mode;
        int id = made(&f);
        const nn_node *n = &f.b.g->nodes[id];
        assert_int_equal(n->op, rows[i].op);
        if (n->op == NN_OP_MERGE) assert_int_equal(n->attr.merge.kind, rows[i].merge);
        CHECK_SHAPE(&f.b, id, rows[i].size);
        assert_int_equal(bench_params(&f.b), 2 * 1600); /* twice 4 (24 * 16 + 16) */
        assert_string_equal(f.b.g->weights[0].name, "w.forward.kernel");
        assert_string_equal(f.b.g->weights[3].name, "w.backward.kernel");
        assert_string_equal(n->layer, "Bidirectional");
        assert_string_equal(n->name, "w");
        bench_free(&f.b);
    }
}

/* Keras turns the backward half around again, so each output stands at its own step; the layer's
 * own go_backwards swaps the halves and leaves both turned around. */
TEST(sequences_of_both_directions) {
    for (int back = 0; back < 2; back++) {
        fixture f;
        open(&f, "Bidirectional", "GRU", SEQUENCE);
        inside(&f, "units")->i = 4;
        inside(&f, "return_sequences")->b = true;
        inside(&f, "go_backwards")->b = back;
        int id = made(&f);
        CHECK_SHAPE(&f.b, id, 10, 8);
        CHECK(bench_node(&f.b, "w.forward")->attr.rnn.reverse == back);
        CHECK(bench_node(&f.b, "w.backward")->attr.rnn.reverse == !back);
        assert_int_equal(f.b.g->nodes[id].op, back ? NN_OP_REVERSE : NN_OP_CONCAT);
        bench_free(&f.b);
    }
}

TEST(padding_reaches_both_directions) {
    fixture f;
    open(&f, "Bidirectional", "LSTM", SEQUENCE);
    f.b.mask = bench_tokens(&f.b, 10);
    inside(&f, "units")->i = 4;
    inside(&f, "return_sequences")->b = true;
    made(&f);
    assert_int_equal(bench_node(&f.b, "w.forward")->inputs[1], f.b.mask);
    assert_int_equal(bench_node(&f.b, "w.backward")->inputs[1], f.b.mask);
    assert_int_equal(f.b.ret_mask, f.b.mask);
    bench_free(&f.b);
}

TEST(images_in_both_directions) {
    fixture f;
    open(&f, "Bidirectional", "ConvLSTM2D", SHAPE(5, 8, 8, 3));
    inside(&f, "filters")->i = 4;
    nn_bound *k = inside(&f, "kernel_size");
    k->dims[0] = k->dims[1] = 3;
    CHECK_SHAPE(&f.b, made(&f), 6, 6, 8);
    assert_int_equal(bench_params(&f.b), 2 * (9 * 3 * 16 + 9 * 4 * 16 + 16));
    bench_free(&f.b);
}

TEST(what_bidirectional_does_not_take) {
    fixture f;
    open(&f, "Bidirectional", "Dense", SEQUENCE);
    inside(&f, "units")->i = 4;
    check_refused(&f, NN_E_DSL_ERROR, "SimpleRNN, LSTM, GRU, ConvLSTM1D", "TimeDistributed");
    open(&f, "Bidirectional", "LSTM", SEQUENCE);
    inside(&f, "units")->i = 4;
    inside(&f, "bidirectional")->b = true;
    check_refused(&f, NN_E_DSL_ERROR, "bidirectional already", "leave out");
    open(&f, "Bidirectional", "LSTM", SEQUENCE);
    inside(&f, "units")->i = 4;
    bench_arg(f.l, f.args, "merge_mode")->s = "none";
    check_refused(&f, NN_E_UNSUPPORTED, "two outputs", "concat, sum, mul and ave");
}

/* ---- what both wrappers do ---- */

TEST(a_frozen_wrapper_freezes_what_is_inside) {
    const char *names[] = {"Bidirectional", "TimeDistributed"};
    for (int i = 0; i < 2; i++) {
        fixture f;
        open(&f, names[i], i ? "Dense" : "LSTM", SEQUENCE);
        inside(&f, "units")->i = 4;
        bench_arg(f.l, f.args, "trainable")->b = false;
        made(&f);
        CHECK(f.b.g->n_weights > 0);
        for (int k = 0; k < f.b.g->n_weights; k++) CHECK(!f.b.g->weights[k].trainable);
        bench_free(&f.b);
    }
}

TEST(a_name_inside_is_not_used) {
    fixture f;
    open(&f, "TimeDistributed", "Dense", SEQUENCE);
    inside(&f, "units")->i = 4;
    inside(&f, "name")->s = "head";
    made(&f);
    assert_int_equal(f.b.n_warnings, 1);
    CHECK_HAS(f.b.notices[0], "'name'");
    bench_free(&f.b);
}

/* ---- TimeDistributed ---- */

TEST(a_layer_on_every_step) {
    fixture f;
    open(&f, "TimeDistributed", "Conv2D", SHAPE(5, 8, 8, 3));
    f.b.mask = bench_tokens(&f.b, 5);
    inside(&f, "filters")->i = 4;
    nn_bound *k = inside(&f, "kernel_size");
    k->dims[0] = k->dims[1] = 3;
    bench_arg(f.l, f.args, "dropout")->f = 0.5;
    int id = made(&f);
    CHECK_SHAPE(&f.b, id, 5, 6, 6, 4);
    assert_int_equal(bench_params(&f.b), 9 * 3 * 4 + 4);
    assert_string_equal(f.b.g->weights[0].name, "w.conv2d.kernel");
    const nn_node *conv = bench_node(&f.b, "w.conv2d"), *out = &f.b.g->nodes[id];
    assert_int_equal(conv->fold, 5);
    assert_int_equal(out->fold, 1);
    CHECK(out->op == NN_OP_UNFOLD && out->attr.unfold.size == 5);
    assert_int_equal(f.b.g->nodes[out->inputs[0]].op, NN_OP_DROPOUT);
    assert_int_equal(f.b.ret_mask, f.b.mask); /* the steps are the same */
    bench_free(&f.b);
}

TEST(wrappers_in_wrappers) {
    fixture f;
    open(&f, "TimeDistributed", "TimeDistributed", SHAPE(5, 7, 8));
    nn_bound dense_args[BENCH_ARGS];
    nn_inner dense = {.layer = nn_layer_find("Dense"), .args = dense_args};
    bench_defaults(dense.layer, dense_args);
    bench_arg(dense.layer, dense_args, "units")->i = 3;
    inside(&f, "layer")->inner = &dense;
    int id = made(&f);
    CHECK_SHAPE(&f.b, id, 5, 7, 3);
    assert_int_equal(bench_node(&f.b, "w.time_distributed.dense")->fold, 35);
    assert_int_equal(bench_params(&f.b), 8 * 3 + 3);
    bench_free(&f.b);
}

/* The padding is of the steps outside. */
TEST(padding_stays_outside) {
    fixture f;
    open(&f, "TimeDistributed", "LSTM", SHAPE(5, 5, 8));
    f.b.mask = bench_tokens(&f.b, 5);
    inside(&f, "units")->i = 3;
    CHECK_SHAPE(&f.b, made(&f), 5, 3);
    assert_int_equal(bench_node(&f.b, "w.lstm")->n_inputs, 1);
    assert_int_equal(f.b.ret_mask, f.b.mask);
    bench_free(&f.b);
}

TEST(unknown_steps) {
    fixture f;
    open(&f, "TimeDistributed", "Dense", SHAPE(NN_DIM_UNKNOWN, 8));
    inside(&f, "units")->i = 3;
    CHECK_SHAPE(&f.b, made(&f), NN_DIM_UNKNOWN, 3);
    bench_free(&f.b);
}

TEST(what_does_not_fit_a_step) {
    fixture f;
    open(&f, "TimeDistributed", "Dense", SHAPE(8));
    check_refused(&f, NN_E_DSL_ERROR, "(steps, ...), got (8,)", "Reshape");
    open(&f, "TimeDistributed", "Conv2D", SEQUENCE);
    inside(&f, "filters")->i = 4;
    nn_bound *k = inside(&f, "kernel_size");
    k->dims[0] = k->dims[1] = 3;
    check_refused(&f, NN_E_DSL_ERROR, "Conv2D of one step: ", "height, width, channels");
}

/* ---- blocks ---- */

typedef struct block {
    bench *b;
    int mask, open;
} block;

/* Dense(2) on what comes in, as "in_block". */
static nn_status run_block(const nn_layer_ctx *c, const void *items, int from, int *ret, int cap,
                           int *ret_n, nn_err *err) {
    (void)items, (void)cap, (void)err;
    block *k = c->run_arg;
    k->mask = c->mask;
    const nn_layer *dense = nn_layer_find("Dense");
    nn_bound args[BENCH_ARGS];
    bench_defaults(dense, args);
    bench_arg(dense, args, "units")->i = 2;
    bench inner = *k->b;
    CHECK_OK(bench_build(&inner, dense, args, from, "in_block", ret), &inner.err);
    *ret_n = k->open;
    for (int i = 1; i < k->open; i++) ret[i] = ret[0];
    return NN_OK;
}

/* The build of f with a block; padding of an Embedding inside reaches the block. */
static nn_status with_block(fixture *f, block *k, int *ret) {
    static const char items = 0;
    const nn_shape shape = f->b.g->nodes[f->b.in].shape;
    nn_layer_ctx c = bench_ctx(&f->b, f->l, f->args, &f->b.in, "w");
    c.shape = &shape;
    c.block = &items;
    c.run_block = run_block;
    c.run_arg = k;
    return f->l->build(&c, ret, &f->b.err);
}

TEST(a_block_runs_on_every_step) {
    fixture f;
    int id;
    open(&f, "TimeDistributed", "Embedding", SHAPE(3, 6));
    inside(&f, "input_dim")->i = 10;
    inside(&f, "output_dim")->i = 4;
    inside(&f, "mask_zero")->b = true;
    bench_arg(f.l, f.args, "trainable")->b = false;
    block k = {.b = &f.b, .open = 1};
    CHECK_OK(with_block(&f, &k, &id), &f.b.err);
    CHECK_SHAPE(&f.b, id, 3, 6, 2);
    assert_int_equal(bench_node(&f.b, "in_block")->fold, 3);
    assert_int_equal(k.mask, bench_node(&f.b, "w.fold")->id);
    assert_int_equal(bench_params(&f.b), 10 * 4 + 4 * 2 + 2);
    for (int i = 0; i < f.b.g->n_weights; i++) CHECK(!f.b.g->weights[i].trainable);
    bench_free(&f.b);
}

TEST(a_block_leaves_one_branch) {
    fixture f;
    int id;
    open(&f, "TimeDistributed", "Dense", SEQUENCE);
    inside(&f, "units")->i = 3;
    block k = {.b = &f.b, .open = 2};
    assert_int_equal(with_block(&f, &k, &id), NN_E_DSL_ERROR);
    CHECK_HAS(f.b.err.msg, "2 branches");
    bench_free(&f.b);
}
