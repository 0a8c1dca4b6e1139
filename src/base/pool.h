/* SPDX-License-Identifier: MIT */
/* pool.h - threads that run short jobs from one bounded queue, first in, first out. Thread safe;
 * jobs may submit jobs. */
#ifndef NN_BASE_POOL_H
#define NN_BASE_POOL_H
#include "base/err.h"

#include <stddef.h>

typedef struct nn_pool nn_pool;

/* threads (1 to 1024) named `name` (15 bytes are shown), all signals blocked in them; at most cap
 * jobs wait. */
nn_status nn_pool_new(const char *name, int threads, size_t cap, nn_pool **ret, nn_err *err);
/* Runs fn(arg) on some thread, later. NN_E_QUEUE_FULL at once when cap jobs wait, NN_E_DRAINING
 * once close has begun: then fn will not run and arg stays the caller's. */
nn_status nn_pool_submit(nn_pool *p, void (*fn)(void *arg), void *arg, nn_err *err);
size_t nn_pool_waiting(nn_pool *p); /* jobs that no thread has taken yet */
/* Accepts no more, runs what waits, joins the threads, frees. Not from a job. Always NULL; NULL
 * allowed. */
nn_pool *nn_pool_close(nn_pool *p);
#endif
