/* SPDX-License-Identifier: MIT */
/* test_sequences.c - every engine against `reference` on what runs over steps: embeddings, codes of
 * places, recurrent layers, attention. */
#include "net.h"
#include "pairs.h"
#include "t.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(const char *text) {
    nn_graph *g = net_build(text);
    g->train.optimizer = pair_adam();
    pair_check_engines(text, g, false);
    net_free(g);
}

TEST(sequences_of_numbers) {
    static const char *const nets[] = {
        "input 6; embedding 4 3; flatten; dense 2",
        "input 130; embedding 9 70; dense 3; gap; dense 2",
        "input 6; embedding 5 4; position; dense 3; flatten; dense 2",
        "input 6; embedding 5 7; position learnable; act tanh; dense 3; flatten; dense 2",
        "input 7 5; dense 6; position; dense 3; flatten; dense 2",
        "input 7 5; position learnable; dense 3",
    };
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) check(nets[i]);
}

TEST(recurrent) {
    static const char *const kinds[] = {"simple_rnn", "lstm", "gru", "gru reset_after"};
    static const char *const words[] = {
        "",
        "sequences",
        "reverse nobias",
        "sequences reverse act=relu gate=hard_sigmoid",
        "act=sigmoid gate=tanh",
        "sequences act=gelu gate=softplus nobias",
    };
    for (int k = 0; k < 4; k++)
        for (size_t w = 0; w < sizeof words / sizeof *words; w++) {
            char text[160], op[16] = {0}, more[16] = {0};
            (void)sscanf(kinds[k], "%15s %15s", op, more);
            snprintf(text, sizeof text, "input 6 5; dense 4; %s 7 %s %s; flatten; dense 2", op,
                     more, words[w]);
            check(text);
            snprintf(text, sizeof text, "input 3 9; %s 70 %s %s; dense 3", op, more, words[w]);
            check(text);
        }
}

TEST(recurrent_with_masks_and_dropout) {
    static const char *const kinds[] = {"simple_rnn", "lstm", "gru", "gru reset_after"};
    static const char *const nets[][3] = {
        {"input 7; embedding 4 6",     "5",  "@1,0; dense 2"                                    },
        {"input 7; embedding 4 33",    "40", "sequences reverse @1,0; gap; dense 2"             },
        {"input 5 4; dense 6",         "9",  "dropout=0.4; dense 3"                             },
        {"input 5 4; dense 6",         "66", "sequences recurrent_dropout=0.3; flatten; dense 3"},
        {"input 7; embedding 4 6",     "5",  "dropout=0.5 recurrent_dropout=0.5 @1,0; dense 2"  },
        {"input 3 4 5; fold; dense 4", "6",  "; unfold 3; flatten; dense 2"                     },
    };
    for (int k = 0; k < 4; k++)
        for (size_t n = 0; n < sizeof nets / sizeof *nets; n++) {
            char text[200], op[16] = {0}, more[16] = {0};
            (void)sscanf(kinds[k], "%15s %15s", op, more);
            snprintf(text, sizeof text, "%s; %s %s %s %s", nets[n][0], op, nets[n][1], more,
                     nets[n][2]);
            check(text);
        }
}

TEST(attention) {
    static const char *const nets[] = {
        "input 3 4; dense 4; dense 4 @0; dense 6 @0; attention 2 scale=0.7 @1,2,3; dense 2",
        "input 70 8; dense 12; dense 12 @0; dense 9 @0; attention 3 scale=0.5 @1,2,3; dense 2",
        "input 70 8; dense 12; dense 12 @0; dense 9 @0; attention 3 causal @1,2,3; gap; dense 2",
        "input 35 5; input 41 3; dense 40; dense 40 @0; dense 37 @1; attention 1 scale=0.2 "
        "@3,2,4; gap; dense 2",
        "input 41 5; input 35 3; dense 8 @1; dense 8 @0; attention 2 causal @3,2,2; dense 2",
        "input 3 4; dense 4; attention 1 causal use_scale @1,1,0; dense 2",
        "input 40 4; dense 6; attention 2 causal use_scale scale=0.5 @1,1,1; gap; dense 2",
        "input 3 4; input 5 4; dense 4 @1; attention 1 additive use_scale @0,2,1; dense 2",
        "input 37 4; input 50 4; dense 35 @0; dense 35 @1; attention 1 additive use_scale "
        "scale=0.5 @2,3,1; gap; dense 2",
        "input 3 4; dense 4; attention 1 additive causal @1,1,0; dense 2",
        "input 5; embedding 4 4; attention 2 @1,1,1,0; dense 2",
        "input 38; embedding 4 6; dense 8; attention 2 causal scale=0.3 @2,2,1,0; gap; dense 2",
        "input 5; embedding 4 4; attention 1 additive use_scale @1,1,1,0; dense 2",
        "input 3 4; dense 4; attention 2 dropout=0.4 @1,1,0; dense 2",
        "input 41 5; dense 6; attention 3 causal dropout=0.3 @1,1,1; gap; dense 2",
        "input 2 5 4; fold; dense 6; attention 2 scale=0.6 @2,2,2; unfold 2; flatten; dense 2",
    };
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) check(nets[i]);
}

/* No key to see: they all weigh alike, as in Keras; behind a causal mask too. */
TEST(attention_to_masked_keys_alone) {
    enum { ROWS = 2, KEYS = 5 };
    for (int causal = 0; causal < 2; causal++)
        for (unsigned i = 0; nn_engine_at(i); i++) {
            const nn_engine *e = nn_engine_at(i);
            nn_graph *g = net_build(causal ? "input 5; embedding 4 1; attention 1 causal @1,1,1,0"
                                           : "input 5; embedding 4 1; attention 1 @1,1,1,0");
            nn_exec_options o = {.batch = ROWS};
            nn_exec *x = NULL;
            nn_err err;
            float table[4] = {0.5f, 1, 2, 3};
            float tokens[ROWS * KEYS] = {0, 0, 0, 0, 0, 0, 1, 1, 1, 1};
            CHECK_OK(e->open(g, &o, &x, &err), &err);
            e->set_weights(x, table);
            memcpy(e->input(x, 0), tokens, sizeof tokens);
            CHECK_OK(e->forward(x, ROWS, &err), &err);
            const float *y = e->output(x, 0);
            for (int t = 0; t < KEYS; t++) CHECK(fabsf(y[t] - 0.5f) < 1e-6f);
            /* step 0 of the second row sees only its masked self if causal: the mean of all */
            CHECK(fabsf(y[KEYS] - (causal ? 0.9f : 1)) < 1e-6f);
            CHECK(fabsf(y[KEYS + 1] - 1) < 1e-6f);
            e->close(x);
            net_free(g);
        }
}

/* However threads share the work, every gradient has the same bits. */
TEST(sequences_do_not_depend_on_threads) {
    enum { ROWS = 9, STEPS = 12 };
    static const char *const nets[] = {
        "input 12; embedding 4 40; lstm 96 sequences recurrent_dropout=0.2 @1,0; gap; dense 3",
        "input 12; embedding 4 40; gru 96; dense 3",
        "input 12; embedding 4 40; gru 20 reset_after; dense 3",
        "input 12; embedding 4 40; position learnable; attention 4 dropout=0.2 @2,2,2,0; gap; dense 3",
    };
    const nn_engine *e = nn_engine_find("native");
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        nn_graph *g = net_build(nets[i]);
        float *out[3], *weights = net_alloc(g->slab, sizeof *weights), values[ROWS * 3];
        int32_t labels[ROWS];
        nn_targets t = net_targets(g, ROWS, 5, labels, values);
        net_weights(g, 4, weights);
        for (int run = 0; run < 3; run++) {
            nn_exec_options o = {.batch = ROWS, .training = true, .threads = 1 + run, .seed = 8};
            nn_exec *x = NULL;
            nn_err err;
            nn_step step;
            out[run] = net_alloc(g->slab, sizeof(float));
            CHECK_OK(e->open(g, &o, &x, &err), &err);
            e->set_weights(x, weights);
            for (int k = 0; k < ROWS * STEPS; k++) e->input(x, 0)[k] = (float)(k * 7 % 11 % 4);
            CHECK_OK(e->gradients(x, ROWS, &t, out[run], &step, &err), &err);
            CHECK(step.finite);
            e->close(x);
        }
        assert_memory_equal(out[0], out[1], (size_t)g->slab * sizeof(float));
        assert_memory_equal(out[0], out[2], (size_t)g->slab * sizeof(float));
        for (int run = 0; run < 3; run++) free(out[run]);
        free(weights);
        net_free(g);
    }
}

TEST(embedding_refuses_what_is_no_row) {
    static const float bad[] = {-1, 4, 1.5f, NAN};
    const char *reason;
    for (unsigned i = 0; nn_engine_at(i); i++)
        for (size_t k = 0; nn_engine_at(i)->available(&reason) && k < sizeof bad / sizeof *bad;
             k++) {
            nn_graph *g = net_build("input 3; embedding 4 2; flatten; dense 2");
            nn_exec_options o = {.batch = 2};
            nn_exec *x = NULL;
            nn_err err;
            CHECK_OK(nn_engine_at(i)->open(g, &o, &x, &err), &err);
            nn_engine_at(i)->input(x, 0)[4] = bad[k];
            assert_int_equal(nn_engine_at(i)->forward(x, 2, &err), NN_E_DATA_ERROR);
            CHECK(strstr(err.msg, "whole numbers from 0 to 3") && strstr(err.msg, "element 4"));
            nn_engine_at(i)->close(x);
            net_free(g);
        }
}
