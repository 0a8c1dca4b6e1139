/* SPDX-License-Identifier: MIT */
#include "base/pool.h"
#include "t.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>

typedef struct gate {
    sem_t entered, leave;
} gate;

static void wait_at(void *arg) {
    gate *g = arg;
    sem_post(&g->entered);
    sem_wait(&g->leave);
}

static void count(void *arg) {
    atomic_fetch_add((atomic_int *)arg, 1);
}

TEST(pool_runs_everything_before_it_closes) {
    nn_pool *p;
    nn_err err = {0};
    atomic_int n = 0;
    CHECK_OK(nn_pool_new("test", 3, 1000, &p, &err), &err);
    for (int i = 0; i < 1000; i++) CHECK_OK(nn_pool_submit(p, count, &n, &err), &err);
    assert_null(nn_pool_close(p));
    assert_int_equal(n, 1000);
    assert_null(nn_pool_close(NULL));
}

TEST(pool_refuses_when_full) {
    nn_pool *p;
    nn_err err = {0};
    gate g;
    atomic_int n = 0;
    sem_init(&g.entered, 0, 0);
    sem_init(&g.leave, 0, 0);
    CHECK_OK(nn_pool_new("test", 1, 2, &p, &err), &err);
    CHECK_OK(nn_pool_submit(p, wait_at, &g, &err), &err);
    sem_wait(&g.entered); /* the only thread is busy now */
    CHECK_OK(nn_pool_submit(p, count, &n, &err), &err);
    CHECK_OK(nn_pool_submit(p, count, &n, &err), &err);
    assert_int_equal(nn_pool_waiting(p), 2);
    assert_int_equal(nn_pool_submit(p, count, &n, &err), NN_E_QUEUE_FULL);
    sem_post(&g.leave);
    nn_pool_close(p);
    assert_int_equal(n, 2);
}

typedef struct nested {
    nn_pool *pool;
    sem_t entered;
    nn_status late;
} nested;

static atomic_int sink;

static void submit_until_draining(void *arg) {
    nested *n = arg;
    sem_post(&n->entered);
    do n->late = nn_pool_submit(n->pool, count, &sink, NULL);
    while (n->late != NN_E_DRAINING);
}

TEST(pool_drains_on_close) {
    nested n = {0};
    nn_err err = {0};
    sem_init(&n.entered, 0, 0);
    CHECK_OK(nn_pool_new("test", 2, 4, &n.pool, &err), &err);
    CHECK_OK(nn_pool_submit(n.pool, submit_until_draining, &n, &err), &err);
    sem_wait(&n.entered);
    nn_pool_close(n.pool);
    assert_int_equal(n.late, NN_E_DRAINING);
}

static void read_mask(void *arg) {
    pthread_sigmask(SIG_BLOCK, NULL, arg);
}

TEST(pool_threads_block_signals) {
    nn_pool *p;
    nn_err err = {0};
    sigset_t mask;
    sigemptyset(&mask);
    CHECK_OK(nn_pool_new("a name longer than fifteen bytes", 1, 1, &p, &err), &err);
    CHECK_OK(nn_pool_submit(p, read_mask, &mask, &err), &err);
    nn_pool_close(p);
    CHECK(sigismember(&mask, SIGTERM) && sigismember(&mask, SIGINT) && sigismember(&mask, SIGCHLD));
}

TEST(pool_checks_its_size) {
    nn_pool *p;
    nn_err err = {0};
    assert_int_equal(nn_pool_new("x", 0, 1, &p, &err), NN_E_VALIDATION_ERROR);
    assert_int_equal(nn_pool_new("x", 1, 0, &p, &err), NN_E_VALIDATION_ERROR);
    assert_int_equal(nn_pool_new("x", 5000, 1, &p, &err), NN_E_VALIDATION_ERROR);
}
