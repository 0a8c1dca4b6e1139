/* SPDX-License-Identifier: MIT */
/* net.h - small graphs for engine tests, written as text, without the language in between.
 *
 *     input 7 6 3; conv f=4 k=3x3 s=2x1 d=1x1 p=same g=1; act relu; max_pool k=2x2 s=2x2; bn;
 *     flatten; dense 5; softmax
 *
 * Ops: input DIMS, dense UNITS, conv f= k= [s= d= p= g=], conv_transpose the same and [op=],
 * max_pool | avg_pool k= [s= d= p=], gap | global_max_pool [keepdims], adaptive_max_pool |
 * adaptive_avg_pool DIMS, upsample FACTORS [bilinear], pad | crop SIZES ("1:2x0:1"), reverse AXIS,
 * bn, layer_norm, group_norm GROUPS, act NAME [a=ALPHA], prelu [shared=AXES], clip LOW HIGH,
 * softmax, log_softmax, dropout RATE [noise=DIMS], noise VALUE [dropout | alpha], activity_reg L1
 * L2, flatten, reshape DIMS, transpose AXES, embedding ROWS SIZE, position [learnable], simple_rnn
 * | lstm | gru UNITS [sequences reverse reset_after act= gate= dropout= recurrent_dropout=],
 * conv_lstm f= k= [s= p= sequences reverse dropout= recurrent_dropout=], attention HEADS [causal
 * additive use_scale scale= dropout=], merge KIND, concat AXIS, dot A B [normalize], fold, unfold
 * STEPS; "nobias" after those with a bias, "nogamma" and "nobeta" after normalisations. DIMS in
 * options: 3x3. p: same, or before+after pads "1:2x0:1". Ops are named by their number: "n1"; a
 * last word "@1,3" names the inputs, otherwise the op before is the input. */
#ifndef TEST_NET_H
#define TEST_NET_H
#include "engine/engine.h"

/* A graph of one output, the last op, loss mse; free with net_free. Fails the test otherwise. */
nn_graph *net_build(const char *text);
void net_free(nn_graph *g);

/* Uniform in [-1, 1), from a fixed stream a seed. */
void net_random(double *p, int64_t n, uint64_t seed);
void net_random_f(float *p, int64_t n, uint64_t seed);
/* Weights that exercise everything: kernels in +-0.5, moving variances in 0.5..1.5, gammas about 1.
 */
void net_weights(const nn_graph *g, uint64_t seed, float *slab);
int64_t net_in(const nn_graph *g); /* elements of a row of all inputs, of the output */
int64_t net_out(const nn_graph *g);
/* Whether node `input` is one of whole numbers: looked up in an embedding, or masking steps. */
bool net_is_tokens(const nn_graph *g, int input);
/* Random targets for g's loss: labels (rows) and values (rows x outputs, in [0, 1);
 * of ctc sequences of classes). */
nn_targets net_targets(const nn_graph *g, int64_t rows, uint64_t seed, int32_t *labels,
                       float *values);
/* Largest |a - b| over n elements, as a share of the largest |b| (at least `floor`). */
double net_distance(const float *a, const float *b, int64_t n, double floor);
void *net_alloc(int64_t n, size_t size); /* zeroed; fails the test when there is no memory */
#endif
