/* SPDX-License-Identifier: MIT */
/* ops.c - which ops the reference engine runs: one line an op, in the order of graph/ops.def. */
#include "engine/reference/reference.h"

#define RUNS(n)    const nn_ref_op nn_ref_##n = {nn_ref_forward_##n, nn_ref_backward_##n}
#define NOT_YET(n) const nn_ref_op nn_ref_##n = {NULL, NULL}

RUNS(input);
RUNS(matmul);
RUNS(conv);
NOT_YET(conv_transpose);
RUNS(max_pool);
RUNS(avg_pool);
NOT_YET(global_max_pool);
RUNS(global_avg_pool);
NOT_YET(adaptive_max_pool);
NOT_YET(adaptive_avg_pool);
NOT_YET(upsample);
NOT_YET(pad);
NOT_YET(crop);
NOT_YET(reverse);
RUNS(batch_norm);
NOT_YET(layer_norm);
NOT_YET(group_norm);
RUNS(activation);
NOT_YET(prelu);
NOT_YET(clip);
RUNS(softmax);
RUNS(dropout);
NOT_YET(noise);
NOT_YET(activity_reg);
RUNS(reshape);
RUNS(transpose);
NOT_YET(embedding);
NOT_YET(position);
NOT_YET(rnn);
NOT_YET(conv_lstm);
NOT_YET(attention);
NOT_YET(merge);
NOT_YET(concat);
NOT_YET(dot);
NOT_YET(fold);
NOT_YET(unfold);
NOT_YET(custom);
