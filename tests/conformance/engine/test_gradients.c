/* SPDX-License-Identifier: MIT */
/* test_gradients.c - the reference engine's gradients, in doubles, against central differences of
 * its loss: every op, every loss, every activation, with respect to every weight and every input.
 *
 * With h = 1e-5 the truncation is about 1e-10 and the rounding about 1e-11 of the values; the
 * comparison allows 1e-7 of max(1, |gradient|). */
#include "engine/reference/reference.h"
#include "net.h"
#include "t.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 3 };

static bool op_seen[NN_OP_COUNT];

typedef struct probe {
    nn_exec *x;
    nn_targets t;
    double *weights, *inputs;
    bool training;
} probe;

static double loss_of(const probe *p) {
    return nn_reference_loss(p->x, ROWS, p->inputs, &p->t, p->weights, p->training, NULL, NULL);
}

static void compare(const char *text, const char *what, const probe *p, double *at, int64_t n,
                    const double *gradient) {
    const double h = 1e-5;
    for (int64_t i = 0; i < n; i++) {
        double keep = at[i];
        at[i] = keep + h;
        double above = loss_of(p);
        at[i] = keep - h;
        double below = loss_of(p);
        at[i] = keep;
        double want = (above - below) / (2 * h), off = fabs(want - gradient[i]);
        if (!(off <= 1e-7 * fmax(1, fabs(want))))
            fail_msg("%s: d loss / d %s[%lld] is %.10g, differences give %.10g", text, what,
                     (long long)i, gradient[i], want);
    }
}

/* Gradients of weights that are not trainable are 0 by definition: differences are not. */
static void compare_weights(const char *text, const probe *p, const nn_graph *g,
                            const double *gradient) {
    for (int i = 0; i < g->n_weights; i++) {
        const nn_weight *w = &g->weights[i];
        if (w->trainable)
            compare(text, w->name, p, p->weights + w->offset, w->elements, gradient + w->offset);
        else
            for (int64_t e = 0; e < w->elements; e++) CHECK(gradient[w->offset + e] == 0);
    }
}

/* Whole numbers, 0 among them: gradients with respect to them are 0. */
static void compare_inputs(const char *text, const probe *p, const nn_graph *g,
                           const double *gradient) {
    double *at = p->inputs;
    for (int i = 0; i < g->n_inputs; i++) {
        int64_t n = ROWS * nn_shape_elements(&g->nodes[g->inputs[i]].shape);
        if (!net_is_tokens(g, g->inputs[i]))
            compare(text, "input", p, at, n, gradient);
        else
            for (int64_t e = 0; e < n; e++) CHECK(gradient[e] == 0);
        at += n;
        gradient += n;
    }
}

static void fill_inputs(const nn_graph *g, double *to) {
    for (int i = 0; i < g->n_inputs; i++) {
        int64_t n = ROWS * nn_shape_elements(&g->nodes[g->inputs[i]].shape);
        net_random(to, n, 2 + (uint64_t)i);
        for (int64_t e = 0; e < n && net_is_tokens(g, g->inputs[i]); e++)
            to[e] = (double)(e * 7 % 4);
        to += n;
    }
}

static void check_graph(const char *text, nn_graph *g, bool training) {
    nn_err err;
    int64_t in = net_in(g), out = net_out(g);
    nn_exec_options o = {.batch = ROWS, .training = true, .seed = 5};
    float *slab = net_alloc(g->slab, sizeof *slab), *values = net_alloc(ROWS * out, sizeof *values);
    int32_t *labels = net_alloc(ROWS * out, sizeof *labels);
    double *gradient = net_alloc(g->slab + ROWS * in, sizeof *gradient);
    double *input_gradient = gradient + g->slab;
    probe p = {.weights = net_alloc(g->slab, sizeof(double)),
               .inputs = net_alloc(ROWS * in, sizeof(double)),
               .training = training};
    for (int i = 0; i < g->n_nodes; i++) op_seen[g->nodes[i].op] = true;
    CHECK_OK(nn_engine_reference.open(g, &o, &p.x, &err), &err);
    net_weights(g, 1, slab);
    for (int64_t i = 0; i < g->slab; i++) p.weights[i] = slab[i];
    fill_inputs(g, p.inputs);
    p.t = net_targets(g, ROWS, 3, labels, values);
    double loss =
        nn_reference_loss(p.x, ROWS, p.inputs, &p.t, p.weights, training, gradient, input_gradient);
    CHECK(isfinite(loss) && loss == loss_of(&p));
    compare_weights(text, &p, g, gradient);
    compare_inputs(text, &p, g, input_gradient);
    nn_engine_reference.close(p.x);
    free(slab);
    free(values);
    free(labels);
    free(gradient);
    free(p.weights);
    free(p.inputs);
}

static void check(const char *text) {
    nn_graph *g = net_build(text);
    check_graph(text, g, true);
    check_graph(text, g, false);
    net_free(g);
}

TEST(gradients_of_every_op) {
    static const char *const nets[] = {
        "input 4; dense 3",
        "input 2 3; dense 4 nobias; act tanh; dense 2",
        "input 7 2; conv f=3 k=3 s=2",
        "input 5 6 2; conv f=4 k=3x2 p=same",
        "input 6 5 4; conv f=4 k=3x3 g=2 p=1:0x0:2 nobias",
        "input 7 7 2; conv f=2 k=2x2 d=2x3",
        "input 3 4 3 2; conv f=2 k=2x2x2 p=same s=1x2x1",
        "input 6 3; max_pool k=2 s=2",
        "input 5 5 2; dense 2; max_pool k=3x3 s=2x2 p=same",
        "input 4 3 3 1; max_pool k=2x2x2",
        "input 5 5 2; dense 2; avg_pool k=3x3 s=2x2 p=same",
        "input 6 2; avg_pool k=3 s=1 p=1",
        "input 4 5 2; dense 3; gap",
        "input 4 3; dense 2; gap keepdims; flatten; dense 2",
        "input 5; dense 4; bn; dense 2",
        "input 3 3 2; conv f=3 k=2x2; bn nobeta; act sigmoid",
        "input 5; dense 4; bn nogamma; dense 2",
        "input 5; dense 4; bn nogamma nobeta; dense 2",
        "input 5; dense 4; softmax; dense 2",
        "input 3 4; dense 4; log_softmax; dense 2",
        "input 6; dense 8; dropout 0.4; dense 2",
        "input 3 4; dense 4; dropout 0.5 noise=1x4; dense 2",
        "input 3 4; dense 4; dropout 0.5 noise=3x1; flatten; dense 2",
        "input 6; dense 8; noise 0.4; act tanh; dense 2",
        "input 6; dense 8; noise 0.4 dropout; act tanh; dense 2",
        "input 6; dense 8; noise 0.4 alpha; act tanh; dense 2",
        "input 3 4; dense 2; reshape 2 3; dense 2",
        "input 2 3 4; dense 3; transpose 2 0 1; dense 2; flatten; dense 2",
        "input 4 2; conv_transpose f=3 k=3 s=2",
        "input 4 3 4; conv_transpose f=4 k=3x2 s=2x3 g=2 p=same",
        "input 4 3 2; conv_transpose f=2 k=3x3 s=2x2 p=1x0 op=1x0 nobias",
        "input 2 2 3 2; conv_transpose f=2 k=2x2x2 s=2x1x1; dense 2",
        "input 4 2; conv_transpose f=2 k=3 d=2",
        "input 4 5 2; dense 3; global_max_pool; dense 2",
        "input 4 3; dense 2; global_max_pool keepdims; flatten; dense 2",
        "input 5 7 2; dense 2; adaptive_max_pool 2 3",
        "input 5 7 2; dense 2; adaptive_avg_pool 2 3",
        "input 5 2; dense 2; adaptive_avg_pool 7",
        "input 3 4 5 2; adaptive_avg_pool 2 4 1; dense 2",
        "input 3 2; dense 2; upsample 3; dense 2",
        "input 3 2 2; dense 2; upsample 2 3; dense 2",
        "input 3 4 2; dense 2; upsample 2 3 bilinear; dense 2",
        "input 2 2 2 1; dense 2; upsample 2 1 3; dense 2",
        "input 3 2 2; dense 2; pad 1:0x2:1; dense 2",
        "input 5 6 2; dense 2; crop 1:2x0:3; dense 2",
        "input 3 4 2; dense 2; reverse 1; conv f=2 k=2x2",
        "input 3 4; dense 5; layer_norm; dense 2",
        "input 5; dense 4; layer_norm nobeta; dense 2",
        "input 5; dense 4; layer_norm nogamma; dense 2",
        "input 3 2 4; dense 6; group_norm 3; dense 2",
        "input 3 4; dense 4; group_norm 4 nogamma; dense 2",
        "input 5; dense 4; group_norm 2 nobeta; dense 2",
        "input 3 2 4; prelu; dense 2",
        "input 3 2 4; prelu shared=0x1; dense 2",
        "input 5; dense 6; clip -0.3 0.4; dense 2",
        "input 5; dense 4; activity_reg 0.02 0.03; dense 2",
        "input 4; embedding 5 3; dense 2",
        "input 2 3; embedding 4 2; flatten; dense 2",
        "input 4 3; dense 3; position; dense 2",
        "input 4 3; dense 3; position learnable; dense 2",
        "input 4 3; dense 3; simple_rnn 4; dense 2",
        "input 4 3; dense 3; simple_rnn 2 sequences reverse nobias; dense 2",
        "input 4 3; dense 3; lstm 2; dense 2",
        "input 4 3; dense 3; lstm 2 sequences reverse; dense 2",
        "input 4 3; lstm 2 act=softsign gate=hard_sigmoid nobias; dense 2",
        "input 4 3; dense 3; gru 3; dense 2",
        "input 4 3; dense 3; gru 2 sequences reverse nobias; dense 2",
        "input 4 3; dense 3; gru 3 reset_after; dense 2",
        "input 4 3; dense 3; gru 2 reset_after sequences nobias; dense 2",
        "input 5; embedding 4 3; lstm 2 @1,0; dense 2",
        "input 5; embedding 4 3; gru 2 sequences reset_after @1,0; dense 2",
        "input 5; embedding 4 3; simple_rnn 2 sequences reverse @1,0; gap @2,0; dense 2",
        "input 4 3; dense 6; lstm 5 dropout=0.4; dense 2",
        "input 5; embedding 4 6; lstm 4 sequences reverse recurrent_dropout=0.5 @1,0; dense 2",
        "input 4 3; dense 6; gru 5 dropout=0.4 recurrent_dropout=0.3; dense 2",
        "input 4 3; dense 6; gru 5 reset_after recurrent_dropout=0.4; dense 2",
        "input 4 3; dense 6; simple_rnn 5 dropout=0.2 recurrent_dropout=0.4; dense 2",
        "input 3 4 2; dense 2; conv_lstm f=2 k=2; dense 2",
        "input 3 5 4 1; conv_lstm f=2 k=3x2 s=2x1 p=same sequences reverse nobias; dense 2",
        "input 2 3 3 2 1; conv_lstm f=1 k=2x2x1; flatten; dense 2",
        "input 3 4 2; dense 2; conv_lstm f=2 k=2 dropout=0.4; dense 2",
        "input 4 4 2; dense 2; conv_lstm f=3 k=2 recurrent_dropout=0.4; dense 2",
        ("input 3 4 3 1; dense 2; conv_lstm f=2 k=2x2 sequences reverse dropout=0.3 "
         "recurrent_dropout=0.5; dense 2"),
        "input 3 4; dense 4; dense 4 @0; dense 6 @0; attention 2 scale=0.7 @1,2,3; dense 2",
        "input 3 4; dense 4; attention 1 causal use_scale @1,1,0; dense 2",
        "input 3 4; input 5 4; dense 4 @1; attention 1 additive use_scale @0,2,1; dense 2",
        "input 3 4; attention 1 additive causal @0,0,0; dense 2",
        "input 5; embedding 4 4; attention 2 @1,1,1,0; dense 2",
        "input 3 4; dense 4; attention 2 dropout=0.4 @1,1,0; dense 2",
        "input 3 4; input 4; merge add @0,1; dense 2",
        "input 3 4; input 3 1; merge subtract @0,1; dense 2",
        "input 3 4; dense 4; input 1 4; merge multiply @0,1,2; dense 2",
        "input 4; dense 4; merge average @1,0,0; dense 2",
        "input 4; dense 4; dense 4; merge maximum @0,1,2; dense 2",
        "input 4; dense 4; merge minimum @0,1; dense 2",
        "input 3 4; input 3 2; dense 3 @0; concat 1 @0,2,1; dense 2",
        "input 3 4; input 2 4; concat 0 @0,1; dense 2",
        "input 3 4; input 4 2; dot 1 0 @0,1; dense 2",
        "input 3 4; input 2 3 2; dot 0 1 normalize @0,1; flatten; dense 2",
        "input 4; dense 4; dot 0 0 normalize @0,1",
        "input 3 5; fold; dense 4; bn; act tanh; unfold 3; flatten; dense 2",
        "input 3 4 2; fold; fold; dense 3; unfold 4; lstm 2; unfold 3; dense 2",
        "input 3 4; fold; dense 3; activity_reg 0.02 0.03; dense 2; unfold 3",
    };
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) check(nets[i]);
    for (int op = 0; op < NN_OP_COUNT; op++)
        if (nn_reference_runs((nn_op)op) && !op_seen[op])
            fail_msg("no gradient test has the op %s", nn_op_name((nn_op)op));
}

TEST(gradients_of_every_activation) {
    for (int a = 0; a < NN_ACT_COUNT; a++) {
        char text[128];
        snprintf(text, sizeof text, "input 5; dense 6; act %s; dense 2", nn_act_name((nn_act)a));
        check(text);
        snprintf(text, sizeof text, "input 5; dense 6; act %s a=0.7; dense 2",
                 nn_act_name((nn_act)a));
        check(text);
    }
}

TEST(gradient_of_a_frozen_batch_norm) {
    nn_graph *g = net_build("input 4; dense 3; bn; dense 2");
    for (int i = 0; i < g->n_weights; i++)
        if (g->nodes[2].weights[0] == i || g->nodes[2].weights[1] == i)
            g->weights[i].trainable = false;
    check_graph("frozen bn", g, true);
    net_free(g);
}

typedef struct loss_case {
    const char *net;
    nn_loss_kind loss;
    bool from_logits;
    double smoothing;
} loss_case;

TEST(gradients_of_every_loss) {
    static const loss_case cases[] = {
        {"input 4; dense 3",                NN_LOSS_MSE,               false, 0  },
        {"input 4; dense 3; softmax",       NN_LOSS_MSE,               false, 0  },
        {"input 4; dense 3; act sigmoid",   NN_LOSS_MSE,               false, 0  },
        {"input 4; dense 3; softmax",       NN_LOSS_CATEGORICAL,       false, 0  },
        {"input 4; dense 3; softmax",       NN_LOSS_CATEGORICAL,       false, 0.1},
        {"input 4; dense 3",                NN_LOSS_CATEGORICAL,       true,  0.2},
        {"input 4; dense 3; act sigmoid",   NN_LOSS_CATEGORICAL,       false, 0.1},
        {"input 4; dense 3; softmax",       NN_LOSS_CATEGORICAL,       true,  0  },
        {"input 4; dense 3; softmax",       NN_LOSS_SPARSE,            false, 0  },
        {"input 4; dense 3; log_softmax",   NN_LOSS_SPARSE,            false, 0  },
        {"input 4; dense 3",                NN_LOSS_SPARSE,            true,  0  },
        {"input 4; dense 3; act softplus",  NN_LOSS_SPARSE,            false, 0  },
        {"input 4; dense 3; act sigmoid",   NN_LOSS_BINARY,            false, 0  },
        {"input 4; dense 1; act sigmoid",   NN_LOSS_BINARY,            false, 0.1},
        {"input 4; dense 3",                NN_LOSS_BINARY,            true,  0.1},
        {"input 4; dense 3; softmax",       NN_LOSS_BINARY,            false, 0.1},
        {"input 2 4; dense 3; act sigmoid", NN_LOSS_BINARY,            false, 0  },
        {"input 2 4; dense 3; softmax",     NN_LOSS_SPARSE,            false, 0  },
        {"input 2 4; dense 3; softmax",     NN_LOSS_CATEGORICAL,       false, 0.1},
        {"input 2 4; dense 3",              NN_LOSS_MAE,               false, 0  },
        {"input 4; dense 3",                NN_LOSS_MAPE,              false, 0  },
        {"input 4; dense 3; act softplus",  NN_LOSS_MSLE,              false, 0  },
        {"input 4; dense 3",                NN_LOSS_HUBER,             false, 0  },
        {"input 4; dense 3",                NN_LOSS_LOG_COSH,          false, 0  },
        {"input 4; dense 3; act tanh",      NN_LOSS_HINGE,             false, 0  },
        {"input 4; dense 3; act tanh",      NN_LOSS_SQUARED_HINGE,     false, 0  },
        {"input 2 4; dense 3; act tanh",    NN_LOSS_CATEGORICAL_HINGE, false, 0  },
        {"input 4; dense 3; softmax",       NN_LOSS_KLD,               false, 0  },
        {"input 5 4; dense 3; softmax",     NN_LOSS_CTC,               false, 0  },
        {"input 5 4; dense 3",              NN_LOSS_CTC,               false, 0  },
        {"input 4; dense 3; act softplus",  NN_LOSS_POISSON,           false, 0  },
        {"input 2 4; dense 3",              NN_LOSS_COSINE,            false, 0  },
    };
    bool seen[NN_LOSS_COUNT] = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nn_graph *g = net_build(cases[i].net);
        g->train.loss = cases[i].loss;
        g->train.from_logits = cases[i].from_logits;
        g->train.label_smoothing = cases[i].smoothing;
        g->train.delta = 0.5;
        seen[cases[i].loss] = true;
        check_graph(cases[i].net, g, true);
        net_free(g);
    }
    for (int l = 0; l < NN_LOSS_COUNT; l++) {
        nn_train_spec t = nn_train_default();
        t.loss = (nn_loss_kind)l;
        CHECK(seen[l] || nn_trainer_supports_loss(&t, NULL) == NN_E_UNSUPPORTED);
    }
}

TEST(gradients_of_regularisers) {
    nn_graph *g = net_build("input 4; dense 3; act tanh; dense 2");
    g->weights[0].regularizer = (nn_regularizer){.l1 = 0.03, .l2 = 0.02};
    g->weights[3].regularizer = (nn_regularizer){.l2 = 0.5};
    check_graph("regularised", g, true);
    net_free(g);
}
