/* SPDX-License-Identifier: MIT */
/* test_sequences.c - every engine against `reference` on what runs over steps: embeddings, codes of
 * places, recurrent layers, attention. */
#include "net.h"
#include "pairs.h"
#include "t.h"

#include <stdio.h>
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
