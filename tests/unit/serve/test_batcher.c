/* SPDX-License-Identifier: MIT */
/* The batcher with the reference engine: y = W x with a known W, so that every answer can be
 * computed here. */
#include "linear_model.h"
#include "serve/batcher.h"

#include <pthread.h>
#include <semaphore.h>
#include <string.h>

enum { IN = 3, OUT = 2 };
static const float kernel[IN * OUT] = {1, 10, 2, 20, 3, 30}; /* [in, out] */

static nn_model *model(void) {
    return linear_model((linear){"input", "dense", IN, OUT, kernel});
}

static nn_batcher *batcher(const nn_model *m, int replicas, int64_t max_batch, int64_t max_queue) {
    nn_err err = {0};
    nn_batcher *b = NULL;
    nn_batcher_options o = {.name = "t",
                            .engine = nn_engine_find("reference"),
                            .replicas = replicas,
                            .max_batch = max_batch,
                            .max_delay_ms = 2,
                            .max_queue = max_queue};
    CHECK_OK(nn_batcher_new(m, &o, &b, &err), &err);
    return b;
}

static void post(nn_prediction *p) {
    sem_post(p->ctx);
}

static bool right(const nn_prediction *p) {
    for (int64_t r = 0; r < p->rows; r++)
        for (int o = 0; o < OUT; o++) {
            float want = 0;
            for (int i = 0; i < IN; i++) want += p->x[0][r * IN + i] * kernel[i * OUT + o];
            if (p->y[0][r * OUT + o] != want) return false; /* small integers: exact */
        }
    return p->err.code == NN_OK;
}

TEST(one_request_and_one_larger_than_a_batch) {
    nn_model *m = model();
    nn_batcher *b = batcher(m, 1, 4, 8);
    float x[10 * IN], y[10 * OUT] = {0};
    for (int i = 0; i < 10 * IN; i++) x[i] = (float)i;
    sem_t done;
    sem_init(&done, 0, 0);
    nn_err err = {0};
    for (int64_t rows = 1; rows <= 10; rows += 9) {
        nn_prediction p = {.rows = rows, .x = {x}, .y = {y}, .done = post, .ctx = &done};
        CHECK_OK(nn_batcher_submit(b, &p, &err), &err);
        sem_wait(&done);
        CHECK(right(&p) && p.submitted <= p.began && p.began <= p.ended);
    }
    nn_batcher_free(b);
    nn_model_free(m);
    sem_destroy(&done);
}

typedef struct client {
    nn_batcher *b;
    int seed, bad;
} client;

static void *ask(void *arg) {
    client *c = arg;
    sem_t done;
    sem_init(&done, 0, 0);
    for (int k = 0; k < 200; k++) {
        int64_t rows = 1 + (c->seed + k) % 3;
        float x[3 * IN], y[3 * OUT];
        for (int i = 0; i < 3 * IN; i++) x[i] = (float)((c->seed * 31 + k * 7 + i) % 100);
        nn_prediction p = {.rows = rows, .x = {x}, .y = {y}, .done = post, .ctx = &done};
        nn_err err = {0};
        if (nn_batcher_submit(c->b, &p, &err) != NN_OK) {
            c->bad++;
            continue;
        }
        sem_wait(&done);
        c->bad += !right(&p);
    }
    sem_destroy(&done);
    return NULL;
}

TEST(many_clients_and_two_replicas_get_their_own_answers) {
    nn_model *m = model();
    nn_batcher *b = batcher(m, 2, 8, 64);
    pthread_t threads[8];
    client clients[8];
    for (int i = 0; i < 8; i++) {
        clients[i] = (client){.b = b, .seed = i};
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &clients[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(clients[i].bad, 0);
    }
    nn_batcher_free(b);
    nn_model_free(m);
}

/* Blocks the only replica inside `done`, so that what is submitted meanwhile has to wait. */
static sem_t entered, release;
static void block(nn_prediction *p) {
    (void)p;
    sem_post(&entered);
    sem_wait(&release);
}

TEST(a_full_queue_refuses_and_stopping_answers_what_waits) {
    nn_model *m = model();
    nn_batcher *b = batcher(m, 1, 2, 2);
    float x[IN] = {1, 2, 3}, y[4][OUT];
    sem_t done;
    sem_init(&done, 0, 0);
    sem_init(&entered, 0, 0);
    sem_init(&release, 0, 0);
    nn_err err = {0};
    nn_prediction first = {.rows = 1, .x = {x}, .y = {y[0]}, .done = block};
    CHECK_OK(nn_batcher_submit(b, &first, &err), &err);
    sem_wait(&entered);
    nn_prediction p[3];
    for (int i = 0; i < 3; i++)
        p[i] = (nn_prediction){.rows = 1, .x = {x}, .y = {y[i + 1]}, .done = post, .ctx = &done};
    CHECK_OK(nn_batcher_submit(b, &p[0], &err), &err);
    CHECK_OK(nn_batcher_submit(b, &p[1], &err), &err);
    assert_int_equal(nn_batcher_waiting(b), 2);
    assert_int_equal(nn_batcher_submit(b, &p[2], &err), NN_E_QUEUE_FULL);
    sem_post(&release);
    nn_batcher_free(b); /* waits for the queue to be answered */
    int answered;
    sem_getvalue(&done, &answered);
    assert_int_equal(answered, 2);
    CHECK(right(&p[0]) && right(&p[1]));
    nn_model_free(m);
}

/* Two inputs and two outputs, y = 2 x and z = 3 v: requests run together and in pieces keep their
 * own rows, and an output that nobody wants is left out. */
TEST(several_inputs_and_outputs) {
    static const float two[] = {2, 0, 0, 2}, three[] = {3};
    const linear parts[] = {
        {"x", "y", 2, 2, two  },
        {"v", "z", 1, 1, three}
    };
    nn_model *m = linear_models(parts, 2);
    nn_batcher *b = batcher(m, 1, 4, 16);
    float x[16], v[8], y[4][16] = {0}, z[4][8] = {0};
    for (int i = 0; i < 16; i++) x[i] = (float)i;
    for (int i = 0; i < 8; i++) v[i] = (float)(100 + i);
    sem_t done;
    sem_init(&done, 0, 0);
    sem_init(&entered, 0, 0);
    sem_init(&release, 0, 0);
    nn_err err = {0};
    nn_prediction first = {
        .rows = 1, .x = {x,    v   },
             .y = {y[0], z[0]},
             .done = block
    };
    CHECK_OK(nn_batcher_submit(b, &first, &err), &err);
    sem_wait(&entered); /* what follows waits, and runs together */
    nn_prediction p[3] = {
        {.rows = 1, .x = {x + 2, v + 1}, .y = {y[1], z[1]}},
        {.rows = 2, .x = {x + 4, v + 2}, .y = {NULL, z[2]}},
        {.rows = 8, .x = {x, v},         .y = {y[3], z[3]}}, /* alone, in pieces */
    };
    for (int i = 0; i < 3; i++) {
        p[i].done = post;
        p[i].ctx = &done;
        CHECK_OK(nn_batcher_submit(b, &p[i], &err), &err);
    }
    sem_post(&release);
    nn_batcher_free(b);
    CHECK(p[0].began == p[1].began && p[2].began > p[0].began);
    CHECK(y[1][0] == 4 && y[1][1] == 6 && z[1][0] == 303);
    CHECK(z[2][0] == 306 && z[2][1] == 309 && y[2][0] == 0);
    for (int i = 0; i < 16; i++) CHECK(y[3][i] == (float)(2 * i));
    for (int i = 0; i < 8; i++) CHECK(z[3][i] == (float)(3 * (100 + i)));
    nn_model_free(m);
}
