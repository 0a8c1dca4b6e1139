/* SPDX-License-Identifier: MIT */
/* child.h - a program that answers a line a line, or is asked nothing and read to its end. A child
 * belongs to one thread; calls block, with a time limit. */
#ifndef NN_SUITE_CHILD_H
#define NN_SUITE_CHILD_H
#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>

typedef struct nn_child nn_child;

/* argv[0] is looked up in PATH. NN_E_NOT_FOUND: there is no such program. */
nn_status nn_child_start(const char *const *argv, nn_child **ret, nn_err *err);
/* Sends a line and appends the next one that comes back, without its end, to reply.
 * NN_E_BAD_GATEWAY: it ended instead, with its last words on standard error; NN_E_TIMEOUT. After
 * either, the child is good for nn_child_free only. */
nn_status nn_child_ask(nn_child *c, const char *line, double limit_s, nn_buf *reply, nn_err *err);
/* Closes its input, reads the rest to its end (appended to out; NULL: dropped) and frees it.
 * Returns its exit status, 128 + signal where one ended it, -1 when it was killed after limit_s. */
int nn_child_end(nn_child *c, double limit_s, nn_buf *out);
void nn_child_free(nn_child *c); /* kills it; NULL allowed */
#endif
