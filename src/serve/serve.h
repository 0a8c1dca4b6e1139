/* SPDX-License-Identifier: MIT */
/* serve.h - the deployments that are live in this process: each a model and its batcher, found by
 * id or name.
 *
 * All functions may be called from any thread. A live deployment counts its users: whoever found it
 * may use it until the unref, also while it is being stopped. The records of deployments are in the
 * store; this is what they bring to life. */
#ifndef NN_SERVE_SERVE_H
#define NN_SERVE_SERVE_H
#include "serve/batcher.h"
#include "serve/tensor.h"

typedef struct nn_serve nn_serve;
typedef struct nn_live nn_live;

typedef struct nn_live_spec {
    const char *id, *name; /* of the deployment */
    const char *model_id;
    int64_t model_version;
    const char *model_path; /* the .safetensors file */
    const char *engine;     /* NULL: the first that runs it */
    int replicas;
    int64_t max_batch, max_queue;
    double max_delay_ms;
} nn_live_spec;

nn_serve *nn_serve_new(void);
/* Stops every deployment; nobody may hold one or be looking for one. NULL allowed. */
void nn_serve_free(nn_serve *s);

/* Loads the model, plans its executors and makes it answer; *ret_choice (NULL allowed): which
 * engine runs it, and what to say of that, once. NN_E_ALREADY_EXISTS when id or name is live. */
nn_status nn_serve_start(nn_serve *s, const nn_live_spec *spec, nn_engine_choice *ret_choice,
                         nn_err *err);
/* Takes it out of the list, waits until nobody uses it, answers what is queued, ends its replicas;
 * one that is not live is fine. Not from a thread that uses it. */
void nn_serve_stop(nn_serve *s, const char *id);

/* By id or name; NULL if none is live. The caller unrefs it, from any thread; that never waits. */
nn_live *nn_live_find(nn_serve *s, const char *id_or_name);
/* One that answers for this model, whatever it is called. */
nn_live *nn_live_find_model(nn_serve *s, const char *model_id);
void nn_live_unref(nn_live *l); /* NULL allowed */
const nn_model *nn_live_model(const nn_live *l);
nn_batcher *nn_live_batcher(const nn_live *l);
const nn_live_spec *nn_live_spec_of(const nn_live *l);
#endif
