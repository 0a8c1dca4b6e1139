/* SPDX-License-Identifier: MIT */
#include "serve/batcher.h"

#include "base/clock.h"
#include "base/metrics.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct replica {
    nn_batcher *batcher;
    nn_exec *exec;
    pthread_t thread;
    bool running;
} replica;

struct nn_batcher {
    nn_batcher_options o;
    int n_in, n_out;
    int64_t in[NN_SERVE_ENDS], out[NN_SERVE_ENDS]; /* elements of a row, by input and output */
    nn_series *batch_rows, *queue_time, *duration;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t arrived;
    nn_prediction *head, **tail;
    int64_t waiting, waiting_rows, last_rows;
    bool stopping;
    int n;
    replica replicas[];
};

static bool wants_more(const nn_batcher *b) {
    return !b->stopping && b->waiting_rows < b->o.max_batch && b->last_rows > 1 &&
           b->waiting_rows * 2 < b->last_rows;
}

static struct timespec deadline(const nn_batcher *b) {
    int64_t ns = b->head->submitted + (int64_t)(b->o.max_delay_ms * 1e6);
    return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

/* Takes a batch off the queue: requests in order while their rows fit; one that is larger than a
 * batch comes alone. Called with the lock. */
static nn_prediction *take(nn_batcher *b) {
    nn_prediction *first = b->head, **end = &b->head;
    int64_t rows = 0;
    while (*end && (rows == 0 || rows + (*end)->rows <= b->o.max_batch)) {
        rows += (*end)->rows;
        b->waiting--;
        end = &(*end)->next;
    }
    b->head = *end;
    *end = NULL;
    if (!b->head) b->tail = &b->head;
    b->waiting_rows -= rows;
    b->last_rows = rows;
    return first;
}

/* Waits for a batch; NULL when stopping and nothing is left. */
static nn_prediction *next_batch(nn_batcher *b) {
    pthread_mutex_lock(&b->lock);
    nn_prediction *batch = NULL;
    while (!batch && !(b->stopping && !b->head)) {
        if (!b->head) {
            pthread_cond_wait(&b->arrived, &b->lock);
            continue;
        }
        struct timespec until = deadline(b);
        int late = 0;
        while (b->head && wants_more(b) && !late)
            late = pthread_cond_timedwait(&b->arrived, &b->lock, &until);
        if (b->head) batch = take(b);
    }
    if (b->head) pthread_cond_signal(&b->arrived); /* another replica may begin with the rest */
    pthread_mutex_unlock(&b->lock);
    return batch;
}

static nn_status forward(nn_exec *x, int64_t rows, nn_err *err) {
    return x->engine->forward(x, rows, err);
}

/* n rows of p from its row `from` on, as rows of the executor from `to` on; and back. */
static void put_rows(const nn_batcher *b, nn_exec *x, const nn_prediction *p, int64_t from,
                     int64_t to, int64_t n) {
    for (int i = 0; i < b->n_in; i++)
        memcpy(x->engine->input(x, i) + to * b->in[i], p->x[i] + from * b->in[i],
               (size_t)(n * b->in[i]) * sizeof **p->x);
}

static void take_rows(const nn_batcher *b, nn_exec *x, const nn_prediction *p, int64_t from,
                      int64_t to, int64_t n) {
    for (int i = 0; i < b->n_out; i++)
        if (p->y[i])
            memcpy(p->y[i] + to * b->out[i], x->engine->output(x, i) + from * b->out[i],
                   (size_t)(n * b->out[i]) * sizeof **p->y);
}

/* One request larger than a batch, in pieces. */
static void run_large(nn_batcher *b, nn_exec *x, nn_prediction *p) {
    for (int64_t at = 0; at < p->rows && !p->err.code; at += b->o.max_batch) {
        int64_t n = p->rows - at < b->o.max_batch ? p->rows - at : b->o.max_batch;
        put_rows(b, x, p, at, 0, n);
        if (forward(x, n, &p->err) == NN_OK) take_rows(b, x, p, 0, at, n);
    }
}

static void run_together(nn_batcher *b, nn_exec *x, nn_prediction *batch) {
    int64_t rows = 0, at = 0;
    for (nn_prediction *p = batch; p; rows += p->rows, p = p->next)
        put_rows(b, x, p, 0, rows, p->rows);
    nn_err err = {0};
    nn_status s = forward(x, rows, &err);
    for (nn_prediction *p = batch; p; at += p->rows, p = p->next)
        if (s)
            p->err = err;
        else
            take_rows(b, x, p, at, 0, p->rows);
}

static void run(replica *r, nn_prediction *batch) {
    nn_batcher *b = r->batcher;
    int64_t began = nn_clock_mono(), rows = 0;
    for (nn_prediction *p = batch; p; p = p->next) rows += p->rows;
    if (batch->rows > b->o.max_batch)
        run_large(b, r->exec, batch);
    else
        run_together(b, r->exec, batch);
    int64_t ended = nn_clock_mono();
    nn_series_observe(b->batch_rows, (double)rows);
    for (nn_prediction *p = batch, *next; p; p = next) {
        next = p->next; /* done may free p */
        p->began = began;
        p->ended = ended;
        nn_series_observe(b->queue_time, (double)(began - p->submitted) * 1e-9);
        nn_series_observe(b->duration, (double)(ended - p->submitted) * 1e-9);
        p->done(p);
    }
}

static void *replica_main(void *arg) {
    replica *r = arg;
    nn_prediction *batch;
    while ((batch = next_batch(r->batcher))) run(r, batch);
    return NULL;
}

static nn_status open_exec(const nn_batcher_options *o, const nn_model *m, nn_exec **ret,
                           nn_err *err) {
    nn_exec_options plan = {.batch = o->max_batch, .threads = 1};
    nn_status s = o->engine->open(m->graph, &plan, ret, err);
    if (!s) o->engine->set_weights(*ret, m->weights);
    return s;
}

static nn_status open_replica(nn_batcher *b, const nn_model *m, replica *r, nn_err *err) {
    r->batcher = b;
    nn_status s = open_exec(&b->o, m, &r->exec, err);
    if (s) return s;
    if (pthread_create(&r->thread, NULL, replica_main, r) != 0)
        return nn_fail(err, NN_E_LIMIT, "cannot start a thread for a replica of %s", b->o.name);
    r->running = true;
    return NN_OK;
}

static void init_queue(nn_batcher *b) {
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&b->arrived, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&b->lock, NULL);
    b->tail = &b->head;
}

_Static_assert(sizeof((nn_graph){0}.inputs) == NN_SERVE_ENDS * sizeof(int) &&
                   sizeof((nn_graph){0}.outputs) == NN_SERVE_ENDS * sizeof(int),
               "a prediction has room for every end");

/* Elements of a row of each node; one of unknown size cannot be served. */
static nn_status measure(const nn_graph *g, const int *nodes, int n, int64_t *ret, nn_err *err) {
    for (int i = 0; i < n; i++) {
        const nn_node *node = &g->nodes[nodes[i]];
        ret[i] = nn_shape_elements(&node->shape);
        if (ret[i] < 1)
            return nn_fail(err, NN_E_UNSUPPORTED,
                           "model %s cannot be served: '%s' needs known sizes", g->name,
                           node->layer_name);
    }
    return NN_OK;
}

static nn_status measure_model(const nn_graph *g, nn_batcher *ret, nn_err *err) {
    ret->n_in = g->n_inputs;
    ret->n_out = g->n_outputs;
    nn_status s = measure(g, g->inputs, g->n_inputs, ret->in, err);
    return s ? s : measure(g, g->outputs, g->n_outputs, ret->out, err);
}

nn_status nn_batcher_new(const nn_model *m, const nn_batcher_options *o, nn_batcher **ret,
                         nn_err *err) {
    nn_batcher sizes = {.o = *o};
    nn_status st = measure_model(m->graph, &sizes, err);
    if (st) return st;
    nn_batcher *b = calloc(1, sizeof *b + (size_t)o->replicas * sizeof b->replicas[0]);
    if (!b) return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for %d replicas", o->replicas);
    *b = sizes;
    b->batch_rows = nn_metric_series(NN_METRIC_DEPLOYMENT_BATCH, o->name);
    b->queue_time = nn_metric_series(NN_METRIC_DEPLOYMENT_QUEUE, o->name);
    b->duration = nn_metric_series(NN_METRIC_DEPLOYMENT_DURATION, o->name);
    init_queue(b);
    for (b->n = 0; b->n < o->replicas;) {
        nn_status s = open_replica(b, m, &b->replicas[b->n++], err);
        if (!s) continue;
        nn_batcher_free(b);
        return s;
    }
    *ret = b;
    return NN_OK;
}

nn_status nn_batcher_submit(nn_batcher *b, nn_prediction *p, nn_err *err) {
    p->next = NULL;
    p->err.code = NN_OK;
    p->submitted = nn_clock_mono();
    nn_status s = NN_OK;
    pthread_mutex_lock(&b->lock);
    if (b->stopping)
        s = nn_fail(err, NN_E_NOT_READY, "the deployment is being stopped");
    else if (b->waiting >= b->o.max_queue)
        s = nn_fail(err, NN_E_QUEUE_FULL, "%" PRId64 " requests wait for this deployment already",
                    b->waiting);
    if (!s) {
        *b->tail = p;
        b->tail = &p->next;
        b->waiting++;
        b->waiting_rows += p->rows;
        pthread_cond_signal(&b->arrived);
    }
    pthread_mutex_unlock(&b->lock);
    return s;
}

nn_status nn_prediction_run(const nn_model *m, const nn_batcher_options *o, nn_prediction *p,
                            nn_err *err) {
    nn_batcher b = {.o = *o};
    __attribute__((cleanup(nn_exec_closep))) nn_exec *x = NULL;
    nn_status s = measure_model(m->graph, &b, err);
    if (!s) s = open_exec(o, m, &x, err);
    if (s) return s;
    p->err.code = NN_OK;
    p->began = nn_clock_mono();
    run_large(&b, x, p);
    p->ended = nn_clock_mono();
    if (p->err.code && err) *err = p->err;
    return p->err.code;
}

int64_t nn_batcher_waiting(nn_batcher *b) {
    pthread_mutex_lock(&b->lock);
    int64_t n = b->waiting;
    pthread_mutex_unlock(&b->lock);
    return n;
}

void nn_batcher_free(nn_batcher *b) {
    if (!b) return;
    pthread_mutex_lock(&b->lock);
    b->stopping = true;
    pthread_cond_broadcast(&b->arrived);
    pthread_mutex_unlock(&b->lock);
    for (int i = 0; i < b->n; i++) {
        if (b->replicas[i].running) pthread_join(b->replicas[i].thread, NULL);
        nn_exec_closep(&b->replicas[i].exec);
    }
    pthread_cond_destroy(&b->arrived);
    pthread_mutex_destroy(&b->lock);
    free(b);
}
