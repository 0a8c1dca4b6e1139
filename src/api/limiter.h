/* SPDX-License-Identifier: MIT */
/* limiter.h - an exact sliding window for each client and group: a request is let through if fewer
 * than `limit` were let through in the period before it. Thread safe (a lock for each of some
 * shards, held for nanoseconds). Time is given by the caller. */
#ifndef NN_API_LIMITER_H
#define NN_API_LIMITER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct nn_limiter nn_limiter;

/* clients: how many are remembered; past it the one that was quiet longest is forgotten. */
nn_limiter *nn_limiter_new(uint32_t period_s, size_t clients);
void nn_limiter_free(nn_limiter *l); /* NULL allowed */

typedef struct nn_verdict {
    bool allowed;
    uint32_t limit, remaining;
    uint32_t reset_s; /* until the oldest counted request leaves the window, rounded up */
} nn_verdict;
/* client: n bytes, at most 63 count; group: a small number; now_ms: monotonic. limit 0 refuses all.
 */
nn_verdict nn_limiter_ask(nn_limiter *l, const char *client, size_t n, unsigned group,
                          uint32_t limit, uint64_t now_ms);
#endif
