/* SPDX-License-Identifier: MIT */
/* health.h - what /health and its relatives say. Thread safe; the answers are made from parts that
 * are printed once. */
#ifndef NN_API_HEALTH_H
#define NN_API_HEALTH_H
#include "api/app.h"
#include "base/buf.h"

typedef struct nn_health nn_health;
nn_health *nn_health_new(nn_app *app); /* when everything else of app is made */
void nn_health_free(nn_health *h);     /* NULL allowed */
/* Appends the body of GET /health. Never waits. */
void nn_health_print(nn_health *h, nn_buf *out);
/* NULL when requests that need the store can be answered, else why not (static). Never waits. */
const char *nn_health_unready(nn_health *h);
/* Asks the store now; what the two above say follows from the last answer. *ret_ns: how long it
 * took. */
nn_status nn_health_probe(nn_health *h, int64_t *ret_ns, nn_err *err);
#endif
