/* SPDX-License-Identifier: MIT */
/* Any JSON: an error, or a whole graph that survives being printed, measured, written and read. */
#include "graph/graph.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    NN_JSON *v = NULL;
    nn_err err;
    if (nn_json_parse((const char *)p, n, &v, &err)) return 0;
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "fuzz", (size_t)64 << 20);
    nn_graph *g = NULL, *back = NULL;
    if (nn_graph_read(v, a, &g, &err)) return 0;
    NN_BUF text = {0};
    nn_graph_print(g, &text);
    for (int i = 0; i < g->n_nodes; i++)
        if (nn_node_flops(g, &g->nodes[i]) < -1 || nn_node_params(g, &g->nodes[i], false) < 0)
            abort();
    nn_memory m = nn_graph_memory(g, 32, true);
    if (m.total < -1 || m.weights < 0) abort();
    NN_JSON *again = nn_graph_json(g);
    if (nn_graph_check(g, &err) || nn_graph_read(again, a, &back, &err)) abort();
    return 0;
}
