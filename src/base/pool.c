/* SPDX-License-Identifier: MIT */
/* pool.c - a ring of jobs under one lock. */
#include "base/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct job {
    void (*fn)(void *arg);
    void *arg;
} job;

struct nn_pool {
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t work;
    job *ring;
    size_t cap, first, waiting;
    bool closing;
    int threads;
    pthread_t thread[];
};

static void *work(void *arg) {
    nn_pool *p = arg;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->waiting && !p->closing) pthread_cond_wait(&p->work, &p->lock);
        if (!p->waiting) break;
        job j = p->ring[p->first];
        p->first = (p->first + 1) % p->cap;
        p->waiting--;
        pthread_mutex_unlock(&p->lock);
        j.fn(j.arg);
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* Starts the next thread with all signals blocked, so that they reach those who wait for them. */
static int start(nn_pool *p, const char *name) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int e = pthread_create(&p->thread[p->threads], NULL, work, p);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (e) return e;
    char shown[16];
    snprintf(shown, sizeof shown, "%s", name);
    pthread_setname_np(p->thread[p->threads++], shown);
    return 0;
}

nn_status nn_pool_new(const char *name, int threads, size_t cap, nn_pool **ret, nn_err *err) {
    if (threads < 1 || threads > 1024 || cap < 1 || cap > (1 << 24))
        return nn_fail(err, NN_E_VALIDATION_ERROR,
                       "a pool has 1 to 1024 threads and 1 to %d waiting jobs, not %d and %zu",
                       1 << 24, threads, cap);
    nn_pool *p = calloc(1, sizeof *p + (size_t)threads * sizeof *p->thread);
    if (!p || !(p->ring = calloc(cap, sizeof *p->ring))) abort();
    p->cap = cap;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    while (p->threads < threads) {
        int e = start(p, name);
        if (!e) continue;
        nn_pool_close(p);
        nn_status s =
            nn_fail(err, NN_E_OUT_OF_MEMORY, "cannot start %d threads: %s", threads, strerror(e));
        return nn_err_hint(err, s, "ask for fewer threads, or raise the limit (ulimit -u)");
    }
    *ret = p;
    return NN_OK;
}

nn_status nn_pool_submit(nn_pool *p, void (*fn)(void *arg), void *arg, nn_err *err) {
    pthread_mutex_lock(&p->lock);
    bool closing = p->closing, full = p->waiting == p->cap;
    if (!closing && !full) {
        p->ring[(p->first + p->waiting++) % p->cap] = (job){fn, arg};
        pthread_cond_signal(&p->work);
    }
    pthread_mutex_unlock(&p->lock);
    if (closing) return nn_fail(err, NN_E_DRAINING, "no more work is accepted: stopping");
    if (full) return nn_fail(err, NN_E_QUEUE_FULL, "%zu jobs are waiting already", p->cap);
    return NN_OK;
}

size_t nn_pool_waiting(nn_pool *p) {
    pthread_mutex_lock(&p->lock);
    size_t n = p->waiting;
    pthread_mutex_unlock(&p->lock);
    return n;
}

nn_pool *nn_pool_close(nn_pool *p) {
    if (!p) return NULL;
    pthread_mutex_lock(&p->lock);
    p->closing = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->threads; i++) pthread_join(p->thread[i], NULL);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->lock);
    free(p->ring);
    free(p);
    return NULL;
}
