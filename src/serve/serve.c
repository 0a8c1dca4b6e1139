/* SPDX-License-Identifier: MIT */
/* serve.c - the list of live deployments. Whoever stops one frees it, once the last user has let
 * go: an unref may come from the deployment's own replica (a prediction is done), which could not
 * join itself. */
#include "serve/serve.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct nn_live {
    nn_serve *serve;
    int users;         /* guarded by the list's lock */
    nn_live_spec spec; /* its texts lie in the arena */
    nn_arena *arena;
    nn_model *model;
    nn_batcher *batcher;
    nn_live *next;
};

struct nn_serve {
    pthread_mutex_t lock;  /* guards the list and users; never held while loading or stopping */
    pthread_cond_t unused; /* some deployment that is not in the list has no user any more */
    nn_live *first;
};

nn_serve *nn_serve_new(void) {
    nn_serve *s = calloc(1, sizeof *s);
    if (!s) abort();
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->unused, NULL);
    return s;
}

static bool is(const nn_live *l, const char *id_or_name) {
    return strcmp(l->spec.id, id_or_name) == 0 || strcmp(l->spec.name, id_or_name) == 0;
}

/* Called with the lock. */
static nn_live **place_of(nn_serve *s, const char *id_or_name) {
    nn_live **at = &s->first;
    while (*at && !is(*at, id_or_name)) at = &(*at)->next;
    return at;
}

static nn_status check_free(nn_serve *s, const nn_live_spec *spec, nn_err *err) {
    return *place_of(s, spec->id) || *place_of(s, spec->name)
               ? nn_fail(err, NN_E_ALREADY_EXISTS, "a deployment named %s is live already",
                         spec->name)
               : NN_OK;
}

static nn_status copy_spec(nn_live *l, const nn_live_spec *spec, nn_err *err) {
    const char **texts[] = {&l->spec.id, &l->spec.name, &l->spec.model_id, &l->spec.model_path,
                            &l->spec.engine};
    l->spec = *spec;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (*texts[i] && !(*texts[i] = nn_arena_strdup(l->arena, *texts[i])))
            return nn_fail(err, NN_E_LIMIT, "the deployment's names are too long");
    return NN_OK;
}

static nn_status load(nn_live *l, nn_engine_choice *ret_choice, nn_err *err) {
    nn_status s = nn_model_load(l->spec.model_path, &l->model, err);
    if (!s) s = nn_engine_choose(l->spec.engine, l->model->graph, false, ret_choice, err);
    if (s) return s;
    l->spec.engine = ret_choice->engine->name;
    nn_batcher_options o = {.name = l->spec.name,
                            .engine = ret_choice->engine,
                            .replicas = l->spec.replicas,
                            .max_batch = l->spec.max_batch,
                            .max_delay_ms = l->spec.max_delay_ms,
                            .max_queue = l->spec.max_queue};
    return nn_batcher_new(l->model, &o, &l->batcher, err);
}

static void live_free(nn_live *l) {
    nn_batcher_free(l->batcher);
    nn_model_free(l->model);
    nn_arena_free(l->arena);
    free(l);
}

nn_status nn_serve_start(nn_serve *s, const nn_live_spec *spec, nn_engine_choice *ret_choice,
                         nn_err *err) {
    nn_engine_choice choice;
    nn_live *l = calloc(1, sizeof *l);
    if (!l) return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for a deployment");
    l->serve = s;
    l->arena = nn_arena_new(NULL, "deployment", 64 << 10);
    nn_status st = copy_spec(l, spec, err);
    if (!st) st = load(l, &choice, err);
    if (!st) {
        pthread_mutex_lock(&s->lock);
        st = check_free(s, spec, err);
        if (!st) {
            l->next = s->first;
            s->first = l;
        }
        pthread_mutex_unlock(&s->lock);
    }
    if (st)
        live_free(l);
    else if (ret_choice)
        *ret_choice = choice;
    return st;
}

void nn_serve_stop(nn_serve *s, const char *id) {
    pthread_mutex_lock(&s->lock);
    nn_live **at = place_of(s, id), *l = *at;
    if (l) *at = l->next;
    while (l && l->users) pthread_cond_wait(&s->unused, &s->lock);
    pthread_mutex_unlock(&s->lock);
    if (l) live_free(l);
}

void nn_serve_free(nn_serve *s) {
    if (!s) return;
    while (s->first) nn_serve_stop(s, s->first->spec.id);
    pthread_cond_destroy(&s->unused);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

nn_live *nn_live_find(nn_serve *s, const char *id_or_name) {
    pthread_mutex_lock(&s->lock);
    nn_live *l = *place_of(s, id_or_name);
    if (l) l->users++;
    pthread_mutex_unlock(&s->lock);
    return l;
}

nn_live *nn_live_find_model(nn_serve *s, const char *model_id) {
    pthread_mutex_lock(&s->lock);
    nn_live *l = s->first;
    while (l && strcmp(l->spec.model_id, model_id) != 0) l = l->next;
    if (l) l->users++;
    pthread_mutex_unlock(&s->lock);
    return l;
}

void nn_live_unref(nn_live *l) {
    if (!l) return;
    nn_serve *s = l->serve;
    pthread_mutex_lock(&s->lock);
    if (--l->users == 0) pthread_cond_broadcast(&s->unused);
    pthread_mutex_unlock(&s->lock);
}

const nn_model *nn_live_model(const nn_live *l) {
    return l->model;
}

nn_batcher *nn_live_batcher(const nn_live *l) {
    return l->batcher;
}

const nn_live_spec *nn_live_spec_of(const nn_live *l) {
    return &l->spec;
}
