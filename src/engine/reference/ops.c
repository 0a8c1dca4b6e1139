/* SPDX-License-Identifier: MIT */
/* ops.c - what the reference engine does of each op: one line an op, in the order of graph/ops.def.
 */
#include "engine/reference/reference.h"

#define RUNS(n, ...)                                                                               \
    const nn_ref_op nn_ref_##n = {                                                                 \
        .forward = nn_ref_forward_##n, .backward = nn_ref_backward_##n, __VA_ARGS__}
#define NOTHING(n) const nn_ref_op nn_ref_##n = {0}

/* clang-format off */
RUNS(input);
RUNS(matmul);
RUNS(conv);
RUNS(conv_transpose);
RUNS(max_pool);
RUNS(avg_pool);
RUNS(global_max_pool);
RUNS(global_avg_pool);
RUNS(adaptive_max_pool);
RUNS(adaptive_avg_pool);
RUNS(upsample);
RUNS(pad);
RUNS(crop);
RUNS(reverse);
RUNS(batch_norm);
RUNS(layer_norm);
RUNS(group_norm);
RUNS(activation);
RUNS(prelu);
RUNS(clip);
RUNS(softmax);
RUNS(dropout);
RUNS(noise);
RUNS(activity_reg);
RUNS(reshape);
RUNS(transpose);
RUNS(embedding, .check = nn_ref_check_embedding);
RUNS(position);
RUNS(rnn, .scratch = nn_ref_scratch_rnn);
RUNS(conv_lstm, .scratch = nn_ref_scratch_conv_lstm);
RUNS(attention, .scratch = nn_ref_scratch_attention);
RUNS(merge);
RUNS(concat);
RUNS(dot, .scratch = nn_ref_scratch_dot);
RUNS(fold);
RUNS(unfold);
NOTHING(custom);
/* clang-format on */
