/* SPDX-License-Identifier: MIT */
/* services.h - what does the work behind the routes: operations, their supervisor, deployments.
 * Opened once the records are, before the first request; closed after the last one. */
#ifndef NN_API_SERVICES_H
#define NN_API_SERVICES_H
#include "api/app.h"

/* Recovers what an earlier server left: operations are resumed or ended with a reason, deployments
 * come back. */
nn_status nn_services_open(nn_app *a, nn_err *err);
/* Children get the time to write a checkpoint; deployments answer what they hold. Safe on a
 * half-open app. */
void nn_services_close(nn_app *a);
#endif
