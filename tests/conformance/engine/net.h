/* SPDX-License-Identifier: MIT */
/* net.h - small graphs for engine tests, written as text, without the language in between.
 *
 *     input 7 6 3; conv f=4 k=3x3 s=2x1 d=1x1 p=same g=1; act relu; max_pool k=2x2 s=2x2; bn;
 *     flatten; dense 5; softmax
 *
 * Ops: input DIMS, dense UNITS, conv f= k= [s= d= p= g=], max_pool | avg_pool k= [s= d= p=], gap,
 * bn, act NAME [a=ALPHA], softmax, log_softmax, dropout RATE [noise=DIMS], flatten, reshape DIMS,
 * transpose AXES; "nobias" after dense or conv. DIMS in options: 3x3. p: same, or before+after
 * pads "1:2x0:1". Ops are named by their number: "n1". */
#ifndef TEST_NET_H
#define TEST_NET_H
#include "engine/engine.h"

/* A graph with one input and one output, loss mse; free with net_free. Fails the test otherwise. */
nn_graph *net_build(const char *text);
void net_free(nn_graph *g);

/* Uniform in [-1, 1), from a fixed stream a seed. */
void net_random(double *p, int64_t n, uint64_t seed);
void net_random_f(float *p, int64_t n, uint64_t seed);
/* Weights that exercise everything: kernels in +-0.5, moving variances in 0.5..1.5, gammas about 1.
 */
void net_weights(const nn_graph *g, uint64_t seed, float *slab);
int64_t net_in(const nn_graph *g); /* elements of a row of the input, of the output */
int64_t net_out(const nn_graph *g);
/* Random targets for g's loss: labels (rows) and values (rows x outputs, in [0, 1)). */
nn_targets net_targets(const nn_graph *g, int64_t rows, uint64_t seed, int32_t *labels,
                       float *values);
/* Largest |a - b| over n elements, as a share of the largest |b| (at least `floor`). */
double net_distance(const float *a, const float *b, int64_t n, double floor);
void *net_alloc(int64_t n, size_t size); /* zeroed; fails the test when there is no memory */
#endif
