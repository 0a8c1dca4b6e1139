/* SPDX-License-Identifier: MIT */
/* progress.h - how a training looks to a person: a bar that is redrawn on a terminal, one plain
 * line an epoch otherwise, JSON lines for a program. One thread. */
#ifndef NN_CLI_PROGRESS_H
#define NN_CLI_PROGRESS_H
#include "engine/trainer.h"

#include <stdbool.h>
#include <stdio.h>

typedef enum nn_progress_form {
    NN_PROGRESS_BAR,
    NN_PROGRESS_LINES,
    NN_PROGRESS_JSON
} nn_progress_form;

typedef struct nn_progress {
    FILE *out;
    nn_progress_form form;
    int width;  /* of the terminal, in columns */
    bool drawn; /* a bar stands on the current line */
} nn_progress;

/* JSON lines go to stdout; the others to stderr, as a bar if that is a terminal. */
nn_progress nn_progress_new(bool json);
/* An on_event callback of nn_train_options; ctx is the nn_progress. */
void nn_progress_event(void *ctx, const nn_train_event *e);
/* Ends the line of the bar, so that other output can follow. */
void nn_progress_end(nn_progress *p);
#endif
