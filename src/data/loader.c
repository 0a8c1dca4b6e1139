/* SPDX-License-Identifier: MIT */
/* loader.c - a ring of AHEAD batches. Batch k lies in slot k % AHEAD, cut into as many pieces as
 * there are threads; threads take pieces in order, the earliest batch first. */
#include "data/loader.h"

#include "base/mem.h"
#include "data/augment.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { AHEAD = 2 };

typedef struct slot {
    float *x[NN_DATASET_BLOCKS];
    int64_t begin, rows;     /* rows 0: nothing to do */
    int pieces, taken, done; /* of the batch */
    int failed;              /* the first piece that failed; `pieces`: none */
    nn_status status;
    nn_err err;
} slot;

struct nn_loader {
    pthread_mutex_t lock;
    pthread_cond_t work, ready;
    pthread_t *thread;
    int threads, busy; /* busy: threads in a piece */
    bool closing;
    nn_pass pass;
    nn_draw draw; /* copies of the pass's */
    int blocks[NN_DATASET_BLOCKS];
    int64_t width[NN_DATASET_BLOCKS], room[NN_DATASET_BLOCKS]; /* floats a row; a slot's floats */
    slot slot[AHEAD];
    int64_t next; /* the batch that the caller takes next */
};

bool nn_loader_pays(const nn_dataset *d) {
    for (int i = 0; i < d->n_blocks; i++)
        if (d->block[i].reader || nn_augment_any(&d->block[i].augment)) return true;
    return false;
}

static nn_status fill_rows(const nn_loader *l, const slot *s, int64_t from, int64_t to,
                           nn_err *err) {
    const nn_pass *p = &l->pass;
    nn_status st = NN_OK;
    enum { RUN = 64 };
    for (int64_t at = from; !st && at < to; at += RUN) {
        uint32_t rows[RUN];
        int64_t n = to - at < RUN ? to - at : RUN;
        for (int64_t i = 0; i < n; i++) {
            int64_t row = s->begin + at + i;
            rows[i] = p->index ? p->index[row] : (uint32_t)row;
        }
        for (int b = 0; !st && b < p->n_blocks; b++)
            st = nn_batch_fill(&p->data->block[p->blocks[b]], rows, n, p->draw,
                               s->x[b] + at * l->width[b], err);
    }
    return st;
}

/* A piece that nobody has taken, of the earliest batch that has one. Locked. */
static slot *find_work(nn_loader *l) {
    for (int i = 0; i < AHEAD; i++) {
        slot *s = &l->slot[(l->next + i) % AHEAD];
        if (s->rows && s->taken < s->pieces) return s;
    }
    return NULL;
}

static void do_piece(nn_loader *l, slot *s) {
    int piece = s->taken++;
    int64_t from = s->rows * piece / s->pieces, to = s->rows * (piece + 1) / s->pieces;
    nn_err err = {0};
    l->busy++;
    pthread_mutex_unlock(&l->lock);
    nn_status st = fill_rows(l, s, from, to, &err);
    pthread_mutex_lock(&l->lock);
    l->busy--;
    s->done++;
    if (st && piece < s->failed) {
        s->failed = piece;
        s->status = st;
        s->err = err;
    }
    pthread_cond_broadcast(&l->ready);
}

static void *run(void *arg) {
    nn_loader *l = arg;
    pthread_mutex_lock(&l->lock);
    while (!l->closing) {
        slot *s = find_work(l);
        if (s)
            do_piece(l, s);
        else
            pthread_cond_wait(&l->work, &l->lock);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

nn_status nn_loader_new(int threads, nn_loader **ret, nn_err *err) {
    nn_loader *l = calloc(1, sizeof *l);
    pthread_t *thread = calloc((size_t)threads, sizeof *thread);
    if (!l || !thread) abort();
    l->thread = thread;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->ready, NULL);
    sigset_t all, before;
    sigfillset(&all); /* signals are the main thread's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (l->threads < threads && pthread_create(&thread[l->threads], NULL, run, l) == 0)
        l->threads++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (l->threads == 0) {
        nn_loader_close(l);
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "no thread for loading data could be started");
    }
    *ret = l;
    return NN_OK;
}

/* Nothing is in work after it. Locked. */
static void end_pass(nn_loader *l) {
    for (int i = 0; i < AHEAD; i++) l->slot[i].rows = 0;
    while (l->busy) pthread_cond_wait(&l->ready, &l->lock);
}

void nn_loader_close(nn_loader *l) {
    if (!l) return;
    pthread_mutex_lock(&l->lock);
    l->closing = true;
    end_pass(l);
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->threads; i++) pthread_join(l->thread[i], NULL);
    for (int i = 0; i < AHEAD; i++)
        for (int b = 0; b < NN_DATASET_BLOCKS; b++) nn_free_large(l->slot[i].x[b]);
    pthread_cond_destroy(&l->work);
    pthread_cond_destroy(&l->ready);
    pthread_mutex_destroy(&l->lock);
    free(l->thread);
    free(l);
}

/* Gives batch k to the threads, if there is one. Locked. */
static void open_batch(nn_loader *l, int64_t k) {
    slot *s = &l->slot[k % AHEAD];
    int64_t left = l->pass.n - k * l->pass.batch;
    s->begin = k * l->pass.batch;
    s->rows = left <= 0 ? 0 : left < l->pass.batch ? left : l->pass.batch;
    s->pieces = s->rows < l->threads ? (int)s->rows : l->threads;
    s->taken = s->done = 0;
    s->failed = s->pieces;
    s->status = NN_OK;
    pthread_cond_broadcast(&l->work);
}

static nn_status make_room(nn_loader *l, nn_err *err) {
    for (int b = 0; b < l->pass.n_blocks; b++) {
        l->width[b] = nn_shape_elements(&l->pass.data->block[l->pass.blocks[b]].shape);
        int64_t need = l->width[b] * l->pass.batch;
        if (need <= l->room[b]) continue;
        l->room[b] = 0;
        for (int i = 0; i < AHEAD; i++) {
            nn_free_large(l->slot[i].x[b]);
            l->slot[i].x[b] = nn_alloc_large((size_t)need * sizeof(float), false);
            if (!l->slot[i].x[b])
                return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for batches of %lld rows",
                               (long long)l->pass.batch);
        }
        l->room[b] = need;
    }
    return NN_OK;
}

nn_status nn_loader_start(nn_loader *l, const nn_pass *p, nn_err *err) {
    pthread_mutex_lock(&l->lock);
    end_pass(l);
    l->pass = *p;
    if (p->draw) {
        l->draw = *p->draw;
        l->pass.draw = &l->draw;
    }
    memcpy(l->blocks, p->blocks, (size_t)p->n_blocks * sizeof *p->blocks);
    l->pass.blocks = l->blocks;
    l->next = 0;
    nn_status s = make_room(l, err);
    for (int k = 0; !s && k < AHEAD; k++) open_batch(l, k);
    pthread_mutex_unlock(&l->lock);
    return s;
}

nn_status nn_loader_next(nn_loader *l, float *const *to, nn_err *err) {
    pthread_mutex_lock(&l->lock);
    slot *s = &l->slot[l->next % AHEAD];
    while (s->done < s->pieces) pthread_cond_wait(&l->ready, &l->lock);
    nn_status st = s->status;
    if (st && err) *err = s->err;
    pthread_mutex_unlock(&l->lock); /* the slot is ours until it is opened again */
    for (int b = 0; !st && b < l->pass.n_blocks; b++)
        memcpy(to[b], s->x[b], (size_t)(s->rows * l->width[b]) * sizeof(float));
    pthread_mutex_lock(&l->lock);
    l->next++;
    open_batch(l, l->next + AHEAD - 1);
    pthread_mutex_unlock(&l->lock);
    return st;
}
