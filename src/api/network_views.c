/* SPDX-License-Identifier: MIT */
/* network_views.c - see network_views.h. */
#include "api/network_views.h"

#include "engine/peak.h"

#include <math.h>

/* ---- schemas ---- */

static const nn_member shape_row_members[] = {
    {"layer",                            NN_STRING, .required = true, .help = "its type"},
    {"name",                  NN_STRING, .required = true, .help = "its name in the network"},
    {"input_shape",                                  NN_ARRAY, .items = NN_ANY, .required = true, .nullable = true,
     .help = "of its first input, the batch axis null"},
    {"output_shape",        NN_ARRAY, .items = NN_ANY, .required = true, .nullable = true,
     .help = "the batch axis null; null: not known"},
    {"parameters", NN_INTEGER, .required = true, .help = "how many it has"},
    {0                     }
};
const nn_schema nn_schema_shape_row = {"ShapeRow", shape_row_members,
                                       .help = "what a layer makes of its input"};

#define ESTIMATE(name, text)                                                                       \
    { name, NN_NUMBER, .required = true, .nullable = true, .help = text }
#define AT_RUN_TIME(name)                                                                          \
    { name, NN_NUMBER, .required = true, .nullable = true, .help = "null before a run" }
static const nn_member trace_row_members[] = {
    {"layer",           NN_STRING, .required = true, .help = "its type"},
    ESTIMATE("execution_time", "seconds for one sample, both below"),
    ESTIMATE("compute_time", "its flops at this machine's measured peak"),
    ESTIMATE("transfer_time",
             "its input, output and weights at this machine's measured copying speed"),
    {"kernel_size", NN_ARRAY, .items = NN_INTEGER, .required = true, .nullable = true,
     .help = "of its window"},
    {"flops",                 NN_INTEGER, .required = true, .nullable = true,
     .help = "multiplications and additions of one sample"},
    ESTIMATE("memory", "MB of its output for one sample"),
    AT_RUN_TIME("grad_norm"),
    AT_RUN_TIME("dead_ratio"),
    AT_RUN_TIME("mean_activation"),
    {"anomaly",         NN_BOOLEAN, .required = true, .nullable = true, .help = "null before a run"},
    AT_RUN_TIME("cpu_usage"),
    AT_RUN_TIME("memory_usage"),
    AT_RUN_TIME("gpu_memory"),
    AT_RUN_TIME("io_usage"),
    {0}
};
const nn_schema nn_schema_trace_row = {"TraceRow", trace_row_members, .help = "what a layer costs"};

#define MEMBER_FINDING                                                                             \
    {"message", NN_STRING, .required = true, .help = "a sentence"},                                \
        {"layer", NN_STRING, .required = true, .nullable = true,                                   \
         .help = "its type; null: the whole network"},                                             \
        {"layer_index", NN_INTEGER, .required = true, .nullable = true,                            \
         .help = "in model_data's layers"},                                                        \
        {"code", NN_STRING, .required = true, .help = "which rule"},                               \
        {"severity", NN_STRING, .required = true, .one_of = "note warning error",                  \
         .help = "how bad it is"},                                                                 \
        {"reason", NN_STRING, .required = true, .help = "the rule"},                               \
        {"suggestion", NN_STRING, .required = true, .nullable = true, .help = "what to do"},       \
        {"line", NN_INTEGER, .required = true, .help = "where it stands"}, {                       \
        "column", NN_INTEGER, .required = true, .help = "where it stands"                          \
    }
static const nn_member issue_members[] = {
    {"type",            NN_STRING, .required = true, .one_of = "warning info bottleneck error",
     .help = "what kind of thing it is"},
    MEMBER_FINDING,
    {0}
};
const nn_schema nn_schema_issue = {"NetworkIssue", issue_members,
                                   .help = "what is legal and probably not meant"};
static const nn_member optimization_members[] = {
    {"type",                         NN_STRING, .required = true, .one_of = "optimization", .help = "always optimization"},
    {"description",              NN_STRING, .required = true, .help = "the rule"},
    {"potential_improvement", NN_STRING, .required = true, .nullable = true,
     .help = "what it would save"},
    MEMBER_FINDING,
    {0                 }
};
const nn_schema nn_schema_optimization = {"NetworkOptimization", optimization_members,
                                          .help = "what could be cheaper"};

static const nn_member network_members[] = {
    {"network_name",    NN_STRING, .required = true, .help = "as the program says"},
    {"input_shape", NN_ARRAY, .items = NN_ANY, .required = true,
     .help = "the batch axis null; of several inputs a list of shapes"},
    {"output_shape",                 NN_ARRAY, .items = NN_ANY, .required = true, .nullable = true,
     .help = "likewise; null: not known"},
    {"num_layers",         NN_INTEGER, .required = true,
     .help = "blocks counted into their layer, without inputs"},
    {"num_parameters", NN_INTEGER, .required = true, .help = "trainable or not"},
    {"backend",                 NN_STRING, .required = true, .help = "what the code was generated for"},
    {0}
};
const nn_schema nn_schema_network = {"NetworkMetadata", network_members,
                                     .help = "a network in numbers"};

/* ---- members ---- */

static void put_text(nn_jw *w, const char *key, const char *v) {
    nn_jw_key(w, key);
    nn_jw_str(w, v);
}

static void put_int(nn_jw *w, const char *key, int64_t v) {
    nn_jw_key(w, key);
    if (v < 0)
        nn_jw_null(w);
    else
        nn_jw_int(w, v);
}

static void put_num(nn_jw *w, const char *key, double v) {
    nn_jw_key(w, key);
    nn_jw_num(w, v);
}

/* ---- layers ---- */

static bool is_input(const nn_unit_layer *l) {
    return l->layer->role == NN_ROLE_INPUT;
}

/* The next layer from row i on that is neither an input nor in a block; NULL: no more. */
static const nn_unit_layer *next_layer(const nn_unit *u, int *i) {
    while (*i < u->n_layers) {
        const nn_unit_layer *l = &u->layers[(*i)++];
        if (!is_input(l) && l->parent < 0) return l;
    }
    return NULL;
}

static void shape_row(nn_jw *w, const nn_unit *u, const nn_unit_layer *l) {
    nn_jw_obj(w);
    put_text(w, "layer", l->type);
    put_text(w, "name", l->name);
    nn_jw_key(w, "input_shape");
    if (l->n_inputs && u->layers[l->inputs[0]].known)
        nn_jw_shape(w, &l->in, true);
    else
        nn_jw_null(w);
    nn_jw_key(w, "output_shape");
    if (l->known)
        nn_jw_shape(w, &l->out, true);
    else
        nn_jw_null(w);
    put_int(w, "parameters", l->params);
    nn_jw_end_obj(w);
}

void nn_view_shape_history(nn_jw *w, const nn_unit *u) {
    const nn_unit_layer *l;
    nn_jw_arr(w);
    for (int i = 0; (l = next_layer(u, &i));) shape_row(w, u, l);
    nn_jw_end_arr(w);
}

/* The window of an op that has one; NULL: it has none. */
static const nn_window *window_of(const nn_node *n) {
    switch (n->op) {
    case NN_OP_CONV:
        return &n->attr.conv.window;
    case NN_OP_CONV_TRANSPOSE:
        return &n->attr.conv_transpose.window;
    case NN_OP_CONV_LSTM:
        return &n->attr.conv_lstm.window;
    case NN_OP_MAX_POOL:
    case NN_OP_AVG_POOL:
        return &n->attr.pool;
    default:
        return NULL;
    }
}

static void put_kernel_size(nn_jw *w, const nn_unit *u, const nn_unit_layer *l) {
    const nn_window *win = NULL;
    bool block = l + 1 < u->layers + u->n_layers && l[1].parent == (int)(l - u->layers);
    for (int i = l->first_node; i <= l->last_node && !win && !block; i++)
        win = window_of(&u->graph->nodes[i]);
    nn_jw_key(w, "kernel_size");
    if (!win) {
        nn_jw_null(w);
        return;
    }
    nn_jw_arr(w);
    for (int i = 0; i < win->spatial; i++) nn_jw_int(w, win->size[i]);
    nn_jw_end_arr(w);
}

/* Bytes of a layer's inputs, output and weights for one sample; NAN: not known. */
static double bytes_moved(const nn_unit *u, const nn_unit_layer *l) {
    double n = (double)l->params;
    for (int i = -1; i < l->n_inputs; i++) {
        const nn_unit_layer *from = i < 0 ? l : &u->layers[l->inputs[i]];
        int64_t k = from->known ? nn_shape_elements(&from->out) : -1;
        if (k < 0) return NAN;
        n += (double)k;
    }
    return n * sizeof(float);
}

static void trace_row(nn_jw *w, const nn_unit *u, const nn_unit_layer *l, nn_peak peak) {
    static const char *const at_run_time[] = {"grad_norm",  "dead_ratio", "mean_activation",
                                              "anomaly",    "cpu_usage",  "memory_usage",
                                              "gpu_memory", "io_usage"};
    int64_t out = l->known ? nn_shape_elements(&l->out) : -1;
    double compute =
        l->known && l->flops >= 0 && peak.flops > 0 ? (double)l->flops / peak.flops : NAN;
    double transfer = peak.bytes > 0 ? bytes_moved(u, l) / peak.bytes : NAN;
    nn_jw_obj(w);
    put_text(w, "layer", l->type);
    put_num(w, "execution_time", compute + transfer);
    put_num(w, "compute_time", compute);
    put_num(w, "transfer_time", transfer);
    put_kernel_size(w, u, l);
    put_int(w, "flops", l->known ? l->flops : -1);
    put_num(w, "memory", out < 0 ? NAN : (double)out * sizeof(float) / (1 << 20));
    for (size_t i = 0; i < sizeof at_run_time / sizeof *at_run_time; i++) {
        nn_jw_key(w, at_run_time[i]);
        nn_jw_null(w);
    }
    nn_jw_end_obj(w);
}

void nn_view_trace(nn_jw *w, const nn_unit *u) {
    nn_peak peak = nn_machine_peak();
    const nn_unit_layer *l;
    nn_jw_arr(w);
    for (int i = 0; (l = next_layer(u, &i));) trace_row(w, u, l, peak);
    nn_jw_end_arr(w);
}

/* ---- the network ---- */

void nn_view_findings(nn_jw *w, const nn_unit *u, const nn_finding *list, bool optimizations) {
    nn_jw_arr(w);
    for (const nn_finding *f = list; f; f = f->next) {
        if ((f->kind == NN_FINDING_OPTIMIZATION) != optimizations) continue;
        NN_JSON *o = nn_finding_json(u, f);
        nn_jw_value(w, o);
    }
    nn_jw_end_arr(w);
}

static void put_inputs(nn_jw *w, const nn_unit *u) {
    int n = 0;
    while (n < u->n_layers && is_input(&u->layers[n])) n++;
    if (n != 1) nn_jw_arr(w);
    for (int i = 0; i < n; i++) nn_jw_shape(w, &u->layers[i].out, true);
    if (n != 1) nn_jw_end_arr(w);
}

static void put_outputs(nn_jw *w, const nn_unit *u) {
    const nn_graph *g = u->graph;
    if (u->incomplete) {
        nn_jw_null(w);
        return;
    }
    if (g->n_outputs != 1) nn_jw_arr(w);
    for (int i = 0; i < g->n_outputs; i++) nn_jw_shape(w, &g->nodes[g->outputs[i]].shape, true);
    if (g->n_outputs != 1) nn_jw_end_arr(w);
}

void nn_view_network(nn_jw *w, const nn_unit *u, const char *backend) {
    int64_t layers = 0;
    for (int i = 0; next_layer(u, &i);) layers++;
    nn_jw_obj(w);
    put_text(w, "network_name", u->network->name);
    nn_jw_key(w, "input_shape");
    put_inputs(w, u);
    nn_jw_key(w, "output_shape");
    put_outputs(w, u);
    put_int(w, "num_layers", layers);
    put_int(w, "num_parameters", u->params);
    put_text(w, "backend", backend);
    nn_jw_end_obj(w);
}
