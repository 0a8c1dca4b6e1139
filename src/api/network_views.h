/* SPDX-License-Identifier: MIT */
/* network_views.h - what a checked network looks like in answers (rest-api.md 13.1). The lists are
 * written, not built: a network may have a hundred thousand layers. */
#ifndef NN_API_NETWORK_VIEWS_H
#define NN_API_NETWORK_VIEWS_H
#include "base/schema.h"
#include "compile/findings.h"

/* A row for each layer of the network, blocks counted into the layer that they belong to. */
void nn_view_shape_history(nn_jw *w, const nn_unit *u);
/* The same layers: what one sample costs going forward. Times are estimates from what this machine
 * was measured to do, the numbers of a run are null. */
void nn_view_trace(nn_jw *w, const nn_unit *u);
/* Of the findings the optimizations, or all others. */
void nn_view_findings(nn_jw *w, const nn_unit *u, const nn_finding *list, bool optimizations);
void nn_view_network(nn_jw *w, const nn_unit *u, const char *backend);

/* Of the items of these lists, and of the object. */
extern const nn_schema nn_schema_shape_row, nn_schema_trace_row, nn_schema_issue,
    nn_schema_optimization, nn_schema_network;
#endif
