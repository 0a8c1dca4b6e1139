/* SPDX-License-Identifier: MIT */
/* random_networks.c - programs by a seed, from the language through to the engines.
 *
 * The generator knows what each layer makes of a shape by the layer's rule (language.md 13), so the
 * shape of the whole is compared too. Of every program: the unit's parameters are its weights;
 * every node writes as many values as shape inference said, no more, and finite ones; a second run
 * gives the same bytes, and fewer rows give the same rows; where the native engine takes the
 * program, it agrees. */
#include "base/buf.h"
#include "base/file.h"
#include "base/rng.h"
#include "engine/reference/reference.h"
#include "program.h"
#include "t.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 3, NETWORKS = 200, MAX_AXES = 5 };

/* ---- the generator ---- */

typedef struct gen {
    nn_rng r;
    nn_buf text;
    int rank;
    int64_t dim[MAX_AXES]; /* of the line at hand */
    int names;             /* branches named */
    bool plain;            /* only layers that any engine should have */
} gen;

static int64_t pick(gen *g, int64_t low, int64_t high) {
    return low + (int64_t)nn_rng_below(&g->r, (uint64_t)(high - low + 1));
}

static bool chance(gen *g, int64_t one_in) {
    return pick(g, 1, one_in) == 1;
}

static int64_t *channels(gen *g) {
    return &g->dim[g->rank - 1];
}

static int64_t elements(const gen *g) {
    int64_t n = 1;
    for (int a = 0; a < g->rank; a++) n *= g->dim[a];
    return n;
}

#define PUT(...) nn_buf_printf(&g->text, __VA_ARGS__)

/* "(3, 4)" of n numbers */
static void put_tuple(gen *g, const int64_t *v, int n) {
    PUT("(");
    for (int i = 0; i < n; i++) PUT("%s%d", i ? ", " : "", (int)v[i]);
    PUT("%s)", n == 1 ? "," : "");
}

static const char *truth(bool b) {
    return b ? "true" : "false";
}

/* ---- on any shape ---- */

static void dense(gen *g) {
    static const char *const acts[] = {"relu", "tanh", "gelu", "silu", "sigmoid"};
    *channels(g) = pick(g, 1, 9);
    PUT("Dense(%d, %s) ", (int)*channels(g), acts[pick(g, 0, 4)]);
}

static void same_shape(gen *g) {
    static const char *const layers[] = {
        "Dropout(0.4)",
        "BatchNormalization()",
        "Activation(softplus)",
        "LeakyReLU(0.1)",
        "PReLU()",
        "GaussianNoise(0.3)",
        "ReLU(max_value=2)",
        "ELU()",
        "Activation(hard_swish)",
        "ActivityRegularization(l2=0.1)",
        "Softmax()",
        "GaussianDropout(0.2)",
    };
    PUT("%s ", layers[pick(g, 0, sizeof layers / sizeof *layers - 1)]);
}

static void plain_layer(gen *g) {
    static const char *const names[] = {"Dropout(0.4)", "BatchNormalization()", "Activation(relu)",
                                        "Activation(gelu)", "Softmax()"};
    PUT("%s ", names[pick(g, 0, 4)]);
}

/* On groups that are wide enough: of nearly equal values rounding is all that is left. */
static void norm(gen *g) {
    int64_t c = *channels(g), groups = c % 2 == 0 && c >= 8 ? 2 : 1;
    if (c < 4)
        PUT("BatchNormalization(center=false) ");
    else if (chance(g, 2))
        PUT("LayerNormalization(scale=%s) ", truth(chance(g, 2)));
    else
        PUT("GroupNormalization(groups=%d) ", (int)groups);
}

static void flatten(gen *g) {
    g->dim[0] = elements(g);
    g->rank = 1;
    PUT("Flatten() Dense(%d) ", (int)(g->dim[0] = pick(g, 2, 8)));
}

static void put_shape(gen *g, const char *layer) {
    PUT("%s(", layer);
    put_tuple(g, g->dim, g->rank);
    PUT(") ");
}

/* The last axis in two, or the last two as one. */
static void reshape(gen *g) {
    int64_t c = *channels(g);
    if (c % 2 == 0 && g->rank < MAX_AXES - 1) {
        g->dim[g->rank - 1] = c / 2;
        g->dim[g->rank++] = 2;
    } else if (g->rank > 1) {
        g->rank--;
        *channels(g) *= c;
    }
    put_shape(g, "Reshape");
}

static void permute(gen *g) {
    int64_t axes[MAX_AXES], old[MAX_AXES];
    memcpy(old, g->dim, sizeof old);
    for (int a = 0; a < g->rank; a++) axes[a] = a + 1;
    for (int a = g->rank - 1; a > 0; a--) {
        int64_t k = pick(g, 0, a), keep = axes[a];
        axes[a] = axes[k];
        axes[k] = keep;
    }
    for (int a = 0; a < g->rank; a++) g->dim[a] = old[axes[a] - 1];
    PUT("Permute(");
    put_tuple(g, axes, g->rank);
    PUT(") ");
}

/* Some layers, then one that brings back the channels: what is added has the shape of the input. */
static void residual(gen *g) {
    PUT("ResidualConnection { ");
    for (int64_t k = pick(g, 0, 1); k >= 0; k--) same_shape(g);
    PUT("Dense(%d) } ", (int)*channels(g));
}

/* Two or three lines from the same place, joined. */
static void branches(gen *g) {
    static const char *const merges[] = {"Add", "Multiply", "Average", "Maximum", "Minimum"};
    int64_t lines = pick(g, 2, 3), units = pick(g, 1, 6), sum = 0;
    bool concat = chance(g, 2);
    for (int64_t k = 0; k < lines; k++) {
        PUT("b%d: { ", g->names++);
        if (chance(g, 2)) same_shape(g);
        if (concat) units = pick(g, 1, 6);
        PUT("Dense(%d) } ", (int)units);
        sum += units;
    }
    *channels(g) = concat ? sum : units;
    PUT("%s() ", concat ? "Concatenate" : merges[pick(g, 0, 4)]);
}

/* Of two lines from the same place, summed over the last axis of both. */
static void dot(gen *g) {
    int64_t units = pick(g, 1, 6);
    PUT("b%d: { Dense(%d) } b%d: { Dense(%d) } Dot(-1, normalize=%s) ", g->names, (int)units,
        g->names + 1, (int)units, truth(chance(g, 2)));
    g->names += 2;
    g->dim[g->rank - 1] = g->rank == 1 ? 1 : g->dim[0];
}

/* ---- on (steps, features) ---- */

static void put_recurrent(gen *g, int64_t units, bool sequences) {
    static const char *const kinds[] = {"SimpleRNN", "LSTM", "GRU", "GRU"};
    int64_t kind = pick(g, 0, 3);
    PUT("%s(%d, return_sequences=%s, use_bias=%s%s)", kinds[kind], (int)units, truth(sequences),
        truth(!chance(g, 4)),
        kind == 3      ? ", reset_after=false"
        : chance(g, 4) ? ", go_backwards=true"
                       : "");
}

static void after_recurrent(gen *g, int64_t units, bool sequences) {
    if (!sequences) g->rank--, memmove(g->dim, g->dim + 1, (size_t)g->rank * sizeof *g->dim);
    *channels(g) = units;
}

static void recurrent(gen *g) {
    int64_t units = pick(g, 1, 6);
    bool sequences = !chance(g, 3);
    put_recurrent(g, units, sequences);
    PUT(" ");
    after_recurrent(g, units, sequences);
}

static void bidirectional(gen *g) {
    static const char *const modes[] = {"concat", "sum", "mul", "ave"};
    int64_t units = pick(g, 1, 4), mode = pick(g, 0, 3);
    bool sequences = !chance(g, 3);
    PUT("Bidirectional(");
    put_recurrent(g, units, sequences);
    PUT(", merge_mode=%s) ", modes[mode]);
    after_recurrent(g, mode ? units : 2 * units, sequences);
}

static void attention(gen *g) {
    int64_t c = *channels(g), heads = c % 2 ? 1 : 2;
    const char *causal = truth(chance(g, 2));
    switch (pick(g, 0, 3)) {
    case 0:
        PUT("MultiHeadAttention(%d, %d, causal=%s) ", (int)heads, (int)pick(g, 1, 4), causal);
        break;
    case 1:
        PUT("TransformerEncoder(%d, 6, norm_first=%s) ", (int)heads, causal);
        break;
    case 2:
        PUT("TransformerDecoder(%d, 6) ", (int)heads);
        break;
    default:
        PUT("%s(causal=%s, use_scale=true) ", chance(g, 2) ? "Attention" : "AdditiveAttention",
            causal);
        break;
    }
}

static void position(gen *g) {
    PUT("PositionalEncoding(50, encoding_type=%s) ", chance(g, 2) ? "learnable" : "sinusoidal");
}

/* ---- on (spatial..., channels) ---- */

/* kernel, strides and padding; the sizes become the outputs'. */
static void put_window(gen *g, bool dilate) {
    int n = g->rank - 1;
    int64_t size[MAX_AXES], stride[MAX_AXES], dilation[MAX_AXES];
    bool same = chance(g, 2), strided = chance(g, 2);
    for (int a = 0; a < n; a++) {
        int64_t d = g->dim[a], most = d < 3 ? d : 3;
        size[a] = pick(g, 1, most);
        stride[a] = strided ? pick(g, 1, 2) : 1;
        dilation[a] = dilate && !strided && (size[a] - 1) * 2 < d ? pick(g, 1, 2) : 1;
        int64_t extent = (size[a] - 1) * dilation[a] + 1;
        g->dim[a] = same ? (d + stride[a] - 1) / stride[a] : (d - extent) / stride[a] + 1;
    }
    put_tuple(g, size, n);
    PUT(", strides=");
    put_tuple(g, stride, n);
    PUT(", padding=%s", same ? "same" : "valid");
    if (!dilate) return;
    PUT(", dilation_rate=");
    put_tuple(g, dilation, n);
}

static void conv(gen *g) {
    int64_t filters = 2 * pick(g, 1, 4);
    bool grouped = *channels(g) % 2 == 0 && chance(g, 3);
    PUT("Conv%dD(%d, ", g->rank - 1, (int)filters);
    put_window(g, true);
    PUT(", groups=%d, use_bias=%s) ", grouped ? 2 : 1, truth(!chance(g, 4)));
    *channels(g) = filters;
}

static void conv_transpose(gen *g) {
    int n = g->rank - 1;
    int64_t size = pick(g, 1, 3), stride = pick(g, 1, 2), filters = pick(g, 1, 4);
    bool same = chance(g, 2);
    PUT("Conv%dDTranspose(%d, %d, strides=%d, padding=%s) ", n, (int)filters, (int)size,
        (int)stride, same ? "same" : "valid");
    for (int a = 0; a < n; a++)
        g->dim[a] = g->dim[a] * stride + (same || size < stride ? 0 : size - stride);
    *channels(g) = filters;
}

static void pool(gen *g) {
    PUT("%sPooling%dD(", chance(g, 2) ? "Max" : "Average", g->rank - 1);
    put_window(g, false);
    PUT(") ");
}

static void global_pool(gen *g) {
    PUT("Global%sPooling%dD() ", chance(g, 2) ? "Max" : "Average", g->rank - 1);
    g->dim[0] = *channels(g);
    g->rank = 1;
}

static void adaptive_pool(gen *g) {
    PUT("Adaptive%sPooling%dD(", chance(g, 2) ? "Max" : "Average", g->rank - 1);
    for (int a = 0; a < g->rank - 1; a++) g->dim[a] = pick(g, 1, 4);
    put_tuple(g, g->dim, g->rank - 1);
    PUT(") ");
}

static void resize(gen *g) {
    int n = g->rank - 1;
    int64_t by = pick(g, 1, 2);
    bool crop = chance(g, 2);
    for (int a = 0; a < n; a++) crop = crop && g->dim[a] > 2 * by;
    if (chance(g, 3)) {
        PUT("UpSampling%dD(2%s) ", n, n == 2 && chance(g, 2) ? ", interpolation=bilinear" : "");
        for (int a = 0; a < n; a++) g->dim[a] *= 2;
        return;
    }
    PUT("%s%dD(%d) ", crop ? "Cropping" : "ZeroPadding", n, (int)by);
    for (int a = 0; a < n; a++) g->dim[a] += crop ? -2 * by : 2 * by;
}

static void squeeze(gen *g) {
    PUT("SqueezeExcitation(ratio=1) ");
}

/* (steps, spatial..., channels) */
static void conv_lstm(gen *g) {
    int n = g->rank - 2;
    int64_t filters = pick(g, 1, 3), size = 1;
    bool sequences = chance(g, 2), same = chance(g, 2);
    for (int a = 1; a <= n; a++) size = g->dim[a] > 1 ? 2 : 1;
    for (int a = 1; a <= n; a++)
        if (g->dim[a] < size) same = true;
    for (int a = 1; a <= n; a++) g->dim[a] -= same ? 0 : size - 1;
    PUT("ConvLSTM%dD(%d, %d, padding=%s, return_sequences=%s) ", n, (int)filters, (int)size,
        same ? "same" : "valid", truth(sequences));
    after_recurrent(g, filters, sequences);
}

/* A layer that is for one axis less, on every step. */
static void time_distributed(gen *g) {
    int64_t steps = g->dim[0];
    PUT("TimeDistributed(");
    g->rank--;
    memmove(g->dim, g->dim + 1, (size_t)g->rank * sizeof *g->dim);
    if (g->rank == 1 || chance(g, 3)) {
        *channels(g) = pick(g, 1, 6);
        PUT("Dense(%d)", (int)*channels(g));
    } else if (g->rank == 2 && chance(g, 2)) {
        int64_t units = pick(g, 1, 4);
        put_recurrent(g, units, false);
        after_recurrent(g, units, false);
    } else {
        int64_t filters = pick(g, 1, 5);
        PUT("Conv%dD(%d, ", g->rank - 1, (int)filters);
        put_window(g, true);
        PUT(")");
        *channels(g) = filters;
    }
    PUT(") ");
    memmove(g->dim + 1, g->dim, (size_t)g->rank * sizeof *g->dim);
    g->dim[0] = steps;
    g->rank++;
}

static const struct {
    int least, most; /* axes */
    void (*put)(gen *g);
    bool plain;
} layers[] = {
    {1, 4, dense,            true },
    {1, 4, same_shape,       false},
    {1, 4, plain_layer,      true },
    {1, 4, norm,             false},
    {1, 4, reshape,          true },
    {2, 4, permute,          true },
    {2, 4, flatten,          true },
    {1, 4, residual,         false},
    {1, 4, branches,         false},
    {1, 2, dot,              false},
    {2, 2, recurrent,        false},
    {2, 2, recurrent,        false},
    {2, 2, bidirectional,    false},
    {2, 2, attention,        false},
    {2, 2, attention,        false},
    {2, 2, position,         false},
    {2, 4, conv,             true },
    {2, 4, conv,             true },
    {2, 4, conv_transpose,   false},
    {2, 4, pool,             true },
    {2, 4, global_pool,      false},
    {2, 4, adaptive_pool,    false},
    {2, 4, resize,           false},
    {3, 3, squeeze,          false},
    {3, 4, conv_lstm,        false},
    {2, 4, time_distributed, false},
};

static void any_layer(gen *g) {
    for (;;) {
        size_t k = (size_t)pick(g, 0, sizeof layers / sizeof *layers - 1);
        if (g->rank < layers[k].least || g->rank > layers[k].most) continue;
        if (g->plain && !layers[k].plain) continue;
        layers[k].put(g);
        break;
    }
    if (elements(g) > 600) flatten(g);
}

static void put_input(gen *g) {
    bool two = !g->plain && chance(g, 5);
    g->rank = (int)pick(g, 1, 4);
    for (int a = 0; a < g->rank; a++) g->dim[a] = pick(g, 2, g->rank > 2 ? 5 : 9);
    if (!g->plain && chance(g, 4)) { /* tokens */
        int64_t size = pick(g, 2, 6);
        PUT("network A { input: (%d,) layers: Embedding(7, %d, mask_zero=%s) ", (int)g->dim[0],
            (int)size, truth(chance(g, 2)));
        g->rank = 2;
        g->dim[1] = size;
        return;
    }
    PUT("network A { input: %sx: ", "{ ");
    put_tuple(g, g->dim, g->rank);
    if (two) PUT(" y: "), put_tuple(g, g->dim, g->rank);
    PUT(" } layers: %s", two ? "Concatenate() " : "");
    if (two) *channels(g) *= 2;
}

/* The program of a seed. The caller frees it; ret: what its output is. */
static char *generate(uint64_t seed, nn_shape *ret) {
    gen g = {.r = nn_rng_new(seed, 5), .plain = seed % 3 == 0};
    put_input(&g);
    for (int64_t n = pick(&g, 2, 7); n > 0; n--) any_layer(&g);
    nn_buf_puts(&g.text, "}");
    *ret = (nn_shape){.rank = g.rank};
    memcpy(ret->dim, g.dim, (size_t)g.rank * sizeof *g.dim);
    nn_buf_putc(&g.text, 0);
    return g.text.p;
}

/* ---- what holds of every network ---- */

static void check_unit(const program *p, const nn_shape *want) {
    const nn_graph *g = p->graph;
    char a[160], b[160];
    int64_t sum = 0, layers_sum = 0;
    for (int i = 0; i < g->n_weights; i++) sum += nn_shape_elements(&g->weights[i].shape);
    for (int i = 0; i < p->unit->n_layers; i++)
        if (p->unit->layers[i].parent < 0) layers_sum += p->unit->layers[i].params;
    if (sum != p->unit->params || sum != layers_sum || sum != g->slab)
        fail_msg("%s\n%lld weights, %lld parameters, %lld of the layers", p->text, (long long)sum,
                 (long long)p->unit->params, (long long)layers_sum);
    const nn_shape *got = &g->nodes[g->outputs[0]].shape;
    if (g->n_outputs != 1 || !nn_shape_equal(got, want))
        fail_msg("%s\ngives %s, not %s", p->text, nn_shape_print(got, false, a, sizeof a),
                 nn_shape_print(want, false, b, sizeof b));
}

static void fill_inputs(const program *p, nn_exec *x) {
    nn_rng r = nn_rng_new(9, 9);
    for (int i = 0; i < p->graph->n_inputs; i++) {
        int node = p->graph->inputs[i];
        uint64_t below = (uint64_t)program_tokens(p, node);
        float *to = x->engine->input(x, i);
        for (int64_t e = 0; e < ROWS * program_elements(p, node); e++)
            to[e] = below ? (float)nn_rng_below(&r, below) : (float)(2 * nn_rng_unit(&r) - 1);
    }
}

static nn_exec *open_engine(const nn_engine *e, const program *p, const float *weights,
                            nn_err *err) {
    nn_exec *x = NULL;
    nn_exec_options o = {.batch = ROWS, .threads = 1};
    nn_status st = e->open(p->graph, &o, &x, err);
    if (st == NN_E_UNSUPPORTED && e != &nn_engine_reference) return NULL;
    CHECK_OK(st, err);
    e->set_weights(x, weights);
    fill_inputs(p, x);
    return x;
}

/* What stands behind the values of a node; another one for each, since ops copy. */
static double canary_of(int node) {
    return 1234.5 + node;
}

/* Before a run: values that no layer gives, in every node but the inputs' and behind it. */
static void poison(const program *p, nn_exec *x) {
    for (int i = 0; i < p->graph->n_nodes; i++) {
        int64_t n;
        double *v = nn_reference_values(x, i, ROWS, &n);
        for (int64_t e = 0; e < n; e++) v[e] = NAN;
        v[n] = canary_of(i);
    }
}

static void check_nodes(const program *p, nn_exec *x) {
    for (int i = 0; i < p->graph->n_nodes; i++) {
        const nn_node *node = &p->graph->nodes[i];
        int64_t n;
        const double *v = nn_reference_values(x, i, ROWS, &n);
        if (n != ROWS * node->fold * nn_shape_elements(&node->shape) || v[n] != canary_of(i))
            fail_msg("%s\n%s wrote more than its %lld values", p->text, node->name, (long long)n);
        for (int64_t e = 0; e < n; e++)
            if (!isfinite(v[e]))
                fail_msg("%s\nvalue %lld of %lld of %s is %g", p->text, (long long)e, (long long)n,
                         node->name, v[e]);
    }
}

static void run(const program *p, nn_exec *x, int64_t rows) {
    nn_err err = {0};
    if (x->engine->forward(x, rows, &err)) fail_msg("%s\n%s", p->text, err.msg);
}

/* The reference's output, to be freed. */
static float *check_reference(const program *p, const float *weights) {
    nn_err err = {0};
    nn_exec *x = open_engine(&nn_engine_reference, p, weights, &err);
    int64_t elements_ = program_elements(p, p->graph->outputs[0]);
    size_t bytes = (size_t)elements_ * sizeof(float);
    float *first = program_alloc(ROWS * elements_, sizeof *first);
    poison(p, x);
    run(p, x, ROWS);
    check_nodes(p, x);
    memcpy(first, x->engine->output(x, 0), ROWS * bytes);
    for (int64_t rows = ROWS; rows >= 1; rows--) {
        poison(p, x);
        run(p, x, rows);
        if (memcmp(first, x->engine->output(x, 0), (size_t)rows * bytes) != 0)
            fail_msg("%s\nanother run, of %d rows, gives other values", p->text, (int)rows);
    }
    x->engine->close(x);
    return first;
}

static bool check_native(const program *p, const float *weights, const float *want) {
    const nn_engine *e = nn_engine_find("native");
    nn_err err = {0};
    nn_exec *x = open_engine(e, p, weights, &err);
    if (!x) return false;
    run(p, x, ROWS);
    int64_t n = ROWS * program_elements(p, p->graph->outputs[0]);
    double most = 0, largest = 1e-3;
    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)e->output(x, 0)[i] - want[i]));
        largest = fmax(largest, fabs(want[i]));
    }
    if (!(most <= 1e-4 * largest))
        fail_msg("%s\nthe native engine is off by %g of %g", p->text, most, largest);
    e->close(x);
    return true;
}

/* Executors of both engines for training, or none where one of them refuses. */
static bool open_trainers(const program *p, const float *weights, nn_exec *x[2]) {
    const nn_engine *engines[2] = {nn_engine_find("native"), &nn_engine_reference};
    nn_exec_options o = {.batch = ROWS, .threads = 2, .training = true, .seed = 3};
    x[0] = x[1] = NULL;
    for (int i = 0; i < 2; i++) {
        nn_err err = {0};
        nn_status st = engines[i]->open(p->graph, &o, &x[i], &err);
        if (st == NN_E_UNSUPPORTED) break;
        CHECK_OK(st, &err);
        engines[i]->set_weights(x[i], weights);
        fill_inputs(p, x[i]);
    }
    if (x[0] && !x[1]) x[0]->engine->close(x[0]);
    return x[1] != NULL;
}

/* Gradients as a share of the largest of their weight, or a hundredth of the largest of all. */
static void compare_gradients(const program *p, const float *got, const float *want) {
    const nn_graph *g = p->graph;
    double all = 1e-3;
    for (int64_t e = 0; e < g->slab; e++) all = fmax(all, fabs((double)want[e]));
    for (int i = 0; i < g->n_weights; i++) {
        double off = 0, most = all / 100;
        for (int64_t e = g->weights[i].offset; e < g->weights[i].offset + g->weights[i].elements;
             e++) {
            off = fmax(off, fabs((double)got[e] - (double)want[e]));
            most = fmax(most, fabs((double)want[e]));
        }
        if (!(off <= 1e-3 * most))
            fail_msg("%s\nthe gradient of %s is off by %g of %g", p->text, g->weights[i].name, off,
                     most);
    }
}

/* One step's loss and gradients, everything random drawn alike. */
static bool check_training(program *p, const float *weights) {
    nn_exec *x[2];
    nn_step step[2];
    p->graph->train.loss = NN_LOSS_MSE;
    p->graph->train.optimizer = (nn_optimizer){.kind = NN_OPTIMIZER_SGD, .learning_rate = 0.1};
    if (!open_trainers(p, weights, x)) return false;
    int64_t n = ROWS * program_elements(p, p->graph->outputs[0]);
    float *values = program_alloc(n, sizeof *values), *gradient[2];
    for (int64_t i = 0; i < n; i++) values[i] = (float)(i % 5) / 5;
    for (int i = 0; i < 2; i++) {
        nn_err err = {0};
        nn_targets t = {.values = values};
        gradient[i] = program_alloc(p->graph->slab, sizeof(float));
        CHECK_OK(x[i]->engine->gradients(x[i], ROWS, &t, gradient[i], &step[i], &err), &err);
        x[i]->engine->close(x[i]);
    }
    if (!step[0].finite || fabs(step[0].loss - step[1].loss) > 1e-4 * fmax(0.1, step[1].loss))
        fail_msg("%s\nthe native engine's loss is %g, not %g", p->text, step[0].loss, step[1].loss);
    compare_gradients(p, gradient[0], gradient[1]);
    free(values), free(gradient[0]), free(gradient[1]);
    return true;
}

TEST(random_networks) {
    bool ops[NN_OP_COUNT] = {[NN_OP_CUSTOM] = true}; /* that nothing runs */
    int native = 0, trained = 0;
    for (uint64_t seed = 1; seed <= NETWORKS; seed++) {
        nn_shape want;
        char *text = generate(seed, &want);
        program p = program_compile(text);
        float *weights = program_weights(&p, seed);
        check_unit(&p, &want);
        float *out = check_reference(&p, weights);
        native += check_native(&p, weights, out);
        trained += check_training(&p, weights);
        for (int i = 0; i < p.graph->n_nodes; i++) ops[p.graph->nodes[i].op] = true;
        free(out);
        free(weights);
        program_done(&p);
        free(text);
    }
    print_message("the native engine took %d of %d networks, and trained %d\n", native, NETWORKS,
                  trained);
    CHECK(native >= NETWORKS / 4 && trained >= NETWORKS / 4);
    for (int op = 0; op < NN_OP_COUNT; op++)
        if (!ops[op]) fail_msg("no network has %s", nn_op_name((nn_op)op));
}

/* The texts for other tests: <seed>.neural in the folder $NN_RANDOM_CASES; skipped without it. */
TEST(random_dump) {
    const char *folder = getenv("NN_RANDOM_CASES");
    char path[512];
    nn_shape shape;
    nn_err err;
    if (!folder) skip();
    for (uint64_t seed = 1; seed <= NETWORKS; seed++) {
        char *text = generate(seed, &shape);
        snprintf(path, sizeof path, "%s/random_%03d.neural", folder, (int)seed);
        CHECK_OK(nn_file_write(path, text, strlen(text), &err), &err);
        free(text);
    }
}
