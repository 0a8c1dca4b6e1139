/* SPDX-License-Identifier: MIT */
/* pairs.h - one graph on an engine and on `reference`: outputs, losses, gradients, and weights and
 * state after updates, for batches of 1, 5 and 8 rows in executors for 8, on two threads.
 *
 * Distances are the largest difference as a share of the tensor's largest value: single precision
 * and sums of a few hundred terms leave about 1e-6; 1e-5 is allowed for outputs and losses, 5e-5
 * for gradients and for weights after three updates. */
#ifndef TEST_PAIRS_H
#define TEST_PAIRS_H
#include "graph/graph.h"

#include <stdbool.h>

/* Fails the test, naming text, where an available engine differs. updates_only: three steps of 5
 * and of 8 rows, and no single row. */
void pair_check_engines(const char *text, nn_graph *g, bool updates_only);
/* Forward passes of executors for inference alone. */
void pair_check_inference(const char *text, nn_graph *g);
/* Adam with an epsilon that keeps the rounding of tiny gradients from deciding a step's direction.
 */
nn_optimizer pair_adam(void);
#endif
