/* SPDX-License-Identifier: MIT */
/* kernels_impl.h - the kernels of kernels.h for one instruction set. The including file defines
 *   VL          floats in a vector register
 *   x   name of kernel x in this set
 * and is compiled with the set's flags (CMakeLists.txt). Loops are written so that the compiler
 * makes vector code of them; only the matrix product names its registers. */
#include "engine/native/kernels.h"

#include <math.h>
#include <string.h>
#if VL == 16
#include <immintrin.h>
#endif

#define INLINE  static inline __attribute__((always_inline, unused))
#define ALIGNED __attribute__((aligned(64)))
#define UNROLL  _Pragma("GCC unroll 16")
/* Before a loop whose output may be one of its inputs, element for element: without it the compiler
 * makes a slow loop for that case. */
#if defined(__clang__)
#define IN_PLACE _Pragma("clang loop vectorize(assume_safety)")
#else
#define IN_PLACE _Pragma("GCC ivdep")
#endif

typedef float vf __attribute__((vector_size(VL * 4), aligned(4), may_alias));

#include "engine/native/attention_impl.h"
#include "engine/native/gemm_impl.h"
#include "engine/native/merge_impl.h"
#include "engine/native/norm_impl.h"
#include "engine/native/pool_impl.h"
#include "engine/native/random_impl.h"
#include "engine/native/rnn_impl.h"
#include "engine/native/upsample_impl.h"

const nn_kernels NN_KERNELS = {
    .name = NN_KERNELS_NAME,
    .gemm = gemm,
    .gemm_grad = gemm_grad,
    .transpose = transpose,
    .map =
        {
#define NN_ACT(N, n, alias, alpha) [NN_ACT_##N] = map_##n,
#include "graph/activations.def"
#undef NN_ACT
        },
    .map_grad =
        {
#define NN_ACT(N, n, alias, alpha) [NN_ACT_##N] = map_grad_##n,
#include "graph/activations.def"
#undef NN_ACT
        },
    .bound = bound,
    .bound_grad = bound_grad,
    .prelu = prelu,
    .prelu_grad = prelu_grad,
    .penalty_grad = penalty_grad,
    .draws = draws,
    .keep = keep,
    .normals = normals,
    .layer_norm = layer_norm,
    .layer_norm_grad = layer_norm_grad,
    .relu_mask = relu_mask,
    .add = add,
    .multiply = multiply,
    .merge =
        {
#define NN_MERGE(N, n) [NN_MERGE_##N] = merge_##n,
#include "graph/merges.def"
#undef NN_MERGE
        },
    .pick = pick,
    .sum = sum,
    .dot = dot,
    .add_scaled = add_scaled,
    .copy_plane = copy_plane,
    .all_finite = all_finite,
    .sum_abs = sum_abs,
    .sum_square = sum_square,
    .max_abs = max_abs,
    .softmax = softmax,
    .softmax_grad = softmax_grad,
    .cross_entropy = cross_entropy,
    .regularise = regularise,
    .clip = clip,
    .scale = scale,
    .update = update,
    .max_pool = max_pool,
    .max_pool_grad = max_pool_grad,
    .avg_pool = avg_pool,
    .avg_pool_grad = avg_pool_grad,
    .upsample = upsample,
    .upsample_grad = upsample_grad,
    .max_pool_2x2 = max_pool_2x2,
    .max_pool_2x2_grad = max_pool_2x2_grad,
    .channel_sums = channel_sums,
    .channel_squares = channel_squares,
    .channel_affine = channel_affine,
    .channel_dots = channel_dots,
    .channel_combine = channel_combine,
    .attend = attend,
    .attend_grad = attend_grad,
    .additive = additive,
    .additive_grad = additive_grad,
    .cell = cells_forward,
    .cell_grad = cells_backward,
};
