/* SPDX-License-Identifier: MIT */
/* debug.c - a few steps of a training, looked at: activations, gradients, weights and what the
 * updates do to them. The batches are those of `neural train` with the same seed. */
#include "base/file.h"
#include "cli/cli.h"
#include "engine/fit.h"
#include "engine/loss.h"
#include "engine/optimizer.h"
#include "engine/stats.h"
#include "model/model.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct look { /* of a node */
    nn_stats value, gradient;
    float *kept, *kept_gradient; /* for --save */
} look;

typedef struct debugger {
    const nn_args *args;
    nn_cli_network net;
    const nn_graph *graph;
    const nn_engine *engine;
    nn_exec *exec;
    nn_dataset *data;
    nn_fit fit;
    nn_loss_plan plan;
    nn_order train, valid, order;
    int64_t batch, per_epoch, steps, stop_at, step; /* step: 1-based, the running one */
    uint64_t seed;
    int32_t *labels;
    float *values, *class_weight, *weights; /* the last: of rows */
    float *before, *after, *gradients;      /* slabs */
    look *looks;                            /* by node */
    bool json, keeping, out_of_memory;
    const char *layer, *save;
    nn_buf out;
} debugger;

static void forget(debugger *d) {
    for (int i = 0; d->looks && i < d->graph->n_nodes; i++) {
        free(d->looks[i].kept);
        free(d->looks[i].kept_gradient);
        d->looks[i] = (look){0};
    }
}

static void debugger_done(debugger *d) {
    forget(d);
    nn_exec_closep(&d->exec);
    nn_order_done(&d->train);
    nn_order_done(&d->valid);
    nn_order_done(&d->order);
    void *all[] = {d->labels, d->values,    d->class_weight, d->weights,
                   d->before, d->gradients, d->after,        d->looks};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    nn_dataset_free(d->data);
    nn_cli_network_done(&d->net);
    nn_buf_done(&d->out);
}

static nn_status no_memory(nn_err *err) {
    return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for the values of a step");
}

/* ---- setting up ---- */

static nn_status read_options(const nn_args *a, debugger *d, nn_err *err) {
    int64_t seed;
    nn_status s = nn_opt_int(a, "steps", 1, 1, 1000000, &d->steps, err);
    if (!s) s = nn_opt_int(a, "stop-at", 0, 1, 1000000, &d->stop_at, err);
    if (!s) s = nn_opt_int(a, "batch", 0, 1, 1 << 20, &d->batch, err);
    if (!s) s = nn_opt_int(a, "seed", 1, 0, INT64_MAX, &seed, err);
    if (s) return s;
    if (d->stop_at && nn_opt_given(a, "steps"))
        return nn_fail(err, NN_E_USAGE, "--steps and --stop-at: give one of them");
    if (d->stop_at) d->steps = d->stop_at;
    d->args = a;
    d->seed = (uint64_t)seed;
    d->json = nn_opt_given(a, "json");
    d->layer = nn_opt(a, "layer");
    d->save = nn_opt(a, "save");
    size_t n = d->save ? strlen(d->save) : 0;
    if (!d->save) return NN_OK;
    if (n < 13 || strcmp(d->save + n - 12, ".safetensors"))
        return nn_fail(err, NN_E_USAGE, "--save %.200s: the name of the file ends in .safetensors",
                       d->save);
    return nn_file_check_writable(d->save, err);
}

/* A layer's name, or one of its nodes'. */
static nn_status check_layer(const debugger *d, nn_err *err) {
    NN_BUF names = {0};
    const char *before = "";
    for (int i = 0; i < d->graph->n_nodes; i++) {
        const nn_node *n = &d->graph->nodes[i];
        if (!d->layer || !strcmp(n->layer_name, d->layer) || !strcmp(n->name, d->layer))
            return NN_OK;
        if (strcmp(before, n->layer_name))
            nn_buf_printf(&names, "%s%s", i ? ", " : "", n->layer_name);
        before = n->layer_name;
    }
    nn_status s = nn_fail(err, NN_E_USAGE, "--layer %.80s: there is no such layer", d->layer);
    return nn_err_hint(err, s, "layers are %.400s", nn_buf_str(&names));
}

static nn_status open_data(debugger *d, nn_err *err) {
    const nn_train_spec *t = &d->graph->train;
    const char *spec = nn_opt(d->args, "data") ? nn_opt(d->args, "data") : t->dataset;
    if (!*spec) {
        nn_status s = nn_fail(err, NN_E_USAGE, "no data set: the network names none");
        return nn_err_hint(err, s, "give one with --data, for example --data synthetic");
    }
    nn_status s = nn_trainer_supports(t, err);
    if (!s) s = nn_dataset_open(spec, NN_SPLIT_TRAIN, &d->data, err);
    if (!s) s = nn_loss_plan_make(d->graph, &d->plan, err);
    if (!s) s = nn_fit_check(d->graph, d->data, &d->fit, err);
    if (!s)
        s = nn_order_split(d->data->rows, t->validation_split, d->seed, &d->train, &d->valid, err);
    if (!s && d->train.n == 0)
        s = nn_fail(err, NN_E_DATA_ERROR, "validation_split leaves no rows to train on");
    if (!s) s = nn_order_copy(&d->train, &d->order, err);
    if (!s)
        s = nn_fit_class_weights(d->graph, d->data, d->fit.feed, d->train.index, d->train.n,
                                 &d->class_weight, err);
    return s;
}

static nn_status allocate(debugger *d, nn_err *err) {
    const nn_train_spec *t = &d->graph->train;
    int64_t batch = d->batch ? d->batch : t->batch_size;
    size_t slab = (size_t)d->graph->slab + 1;
    d->batch = batch < d->train.n ? batch : d->train.n;
    d->per_epoch = (d->train.n + d->batch - 1) / d->batch;
    if (t->steps_per_epoch > 0 && t->steps_per_epoch < d->per_epoch)
        d->per_epoch = t->steps_per_epoch;
    d->labels = calloc((size_t)d->batch, (size_t)d->plan.sites * sizeof *d->labels);
    d->weights = calloc((size_t)d->batch, sizeof *d->weights);
    d->values = calloc((size_t)d->batch, (size_t)nn_fit_width(d->graph, d->data, d->plan.outputs) *
                                             sizeof *d->values);
    d->before = calloc(slab, sizeof *d->before);
    d->after = calloc(slab, sizeof *d->after);
    d->gradients = calloc(slab, sizeof *d->gradients);
    d->looks = calloc((size_t)d->graph->n_nodes + 1, sizeof *d->looks);
    bool ok = d->labels && d->weights && d->values && d->before && d->after && d->gradients;
    return ok && d->looks ? NN_OK : no_memory(err);
}

/* The reference engine keeps every node's values; others run by name. */
static nn_status open_engine(debugger *d, nn_err *err) {
    const char *name = nn_opt(d->args, "engine");
    nn_engine_choice choice;
    nn_status s = nn_engine_choose(name ? name : "reference", d->graph, true, &choice, err);
    if (s) return s;
    d->engine = choice.engine;
    if (!d->engine->observe)
        return nn_fail(err, NN_E_UNSUPPORTED, "engine '%s' does not show its values",
                       d->engine->name);
    nn_exec_options o = {.batch = d->batch, .training = true, .seed = d->seed};
    s = d->engine->check(d->graph, true, err);
    if (!s) s = d->engine->open(d->graph, &o, &d->exec, err);
    if (!s && !d->net.model) s = nn_weights_init(d->graph, d->seed, d->before, err);
    if (!s) d->engine->set_weights(d->exec, d->net.model ? d->net.model->weights : d->before);
    return s;
}

/* ---- a step ---- */

static void keep(debugger *d, float **to, const float *v, int64_t n) {
    free(*to);
    *to = malloc((size_t)n * sizeof **to);
    if (*to)
        memcpy(*to, v, (size_t)n * sizeof **to);
    else
        d->out_of_memory = true;
}

static void see(void *ctx, int node, bool gradient, const float *v, int64_t n) {
    debugger *d = ctx;
    look *l = &d->looks[node];
    if (gradient)
        l->gradient = nn_stats_of(v, n);
    else
        l->value = nn_stats_of(v, n);
    if (d->keeping) keep(d, gradient ? &l->kept_gradient : &l->kept, v, n);
}

static nn_status fill(debugger *d, int64_t epoch, int64_t begin, int64_t rows, nn_targets *ret,
                      nn_err *err) {
    const uint32_t *index = d->order.index + begin;
    nn_draw draw = {d->seed, (uint64_t)epoch};
    for (int i = 0; i < d->fit.n_inputs; i++) {
        nn_status s = nn_batch_fill(&d->data->block[d->fit.block[i]], index, rows, &draw,
                                    d->engine->input(d->exec, i), err);
        if (s) return s;
    }
    nn_feed_fill(d->fit.feed, d->data, index, rows, d->plan.outputs, d->labels, d->values);
    bool labels = nn_feed_is_labels(d->fit.feed);
    for (int64_t i = 0; d->class_weight && i < rows; i++)
        d->weights[i] = d->class_weight[d->data->labels[index[i]]];
    *ret = (nn_targets){.labels = labels ? d->labels : NULL,
                        .values = labels ? NULL : d->values,
                        .length = d->data->target_width,
                        .weights = d->class_weight ? d->weights : NULL};
    return NN_OK;
}

static nn_status run_step(debugger *d, nn_step *ret, nn_err *err) {
    const nn_train_spec *t = &d->graph->train;
    int64_t done = d->step - 1, epoch = done / d->per_epoch;
    int64_t begin = done % d->per_epoch * d->batch;
    int64_t rows = d->order.n - begin < d->batch ? d->order.n - begin : d->batch;
    nn_observer o = {.ctx = d, .value = see};
    nn_targets targets;
    nn_step first;
    if (begin == 0 && t->shuffle) nn_order_shuffle(&d->train, d->seed, (uint64_t)epoch, &d->order);
    forget(d);
    nn_status s = fill(d, epoch, begin, rows, &targets, err);
    if (s) return s;
    d->engine->set_learning_rate(d->exec, nn_learning_rate_at(&t->optimizer, done, epoch));
    d->engine->get_weights(d->exec, d->before);
    s = d->engine->gradients(d->exec, rows, &targets, d->gradients, &first, err);
    if (!s) s = d->engine->observe(d->exec, rows, &targets, &o, ret, err);
    d->engine->get_weights(d->exec, d->after);
    return !s && d->out_of_memory ? no_memory(err) : s;
}

/* ---- what comes out ---- */

static bool shown(const debugger *d, int node) {
    const nn_node *n = &d->graph->nodes[node];
    if (d->layer) return !strcmp(n->layer_name, d->layer) || !strcmp(n->name, d->layer);
    return node + 1 == d->graph->n_nodes || strcmp(n->layer_name, n[1].layer_name) != 0;
}

static bool weight_shown(const debugger *d, int node) {
    const nn_node *n = &d->graph->nodes[node];
    return !d->layer || !strcmp(n->layer_name, d->layer) || !strcmp(n->name, d->layer);
}

static void add_number(nn_grid *t, double v) {
    char text[32];
    snprintf(text, sizeof text, "%.3g", v);
    nn_grid_add(t, isnan(v) ? "" : text);
}

static void add_stats(nn_grid *t, const nn_stats *s) {
    char text[NN_STATS_TEXT];
    add_number(t, s->min);
    add_number(t, s->mean);
    add_number(t, s->max);
    add_number(t, s->std);
    snprintf(text, sizeof text, "%.1f %%", 100 * s->zeros);
    nn_grid_add(t, text);
    snprintf(text, sizeof text, "%" PRId64, s->bad);
    nn_grid_add(t, s->bad ? text : "");
    nn_grid_add(t, nn_stats_bars(s, text));
}

static void headings(nn_grid *t, const char *const *heading, int n) {
    for (int i = 0; i < n; i++) nn_grid_add(t, heading[i]);
}

static const char *label(const debugger *d, int node) {
    return d->layer ? d->graph->nodes[node].name : d->graph->nodes[node].layer_name;
}

static void put_values(debugger *d, bool gradients) {
    static const char *const heading[] = {"layer", "op",    "min",        "mean",     "max",
                                          "std",   "zeros", "not finite", "histogram"};
    nn_grid t = {.align = "llrrrrrrl"};
    nn_buf_puts(&d->out, gradients ? "\ngradients of the outputs\n" : "activations\n");
    headings(&t, heading, 9);
    for (int i = 0; i < d->graph->n_nodes; i++) {
        const nn_stats *s = gradients ? &d->looks[i].gradient : &d->looks[i].value;
        if (!shown(d, i) || !s->n) continue;
        nn_grid_add(&t, label(d, i));
        nn_grid_add(&t, nn_op_name(d->graph->nodes[i].op));
        add_stats(&t, s);
    }
    nn_grid_print(&t, &d->out);
    nn_grid_done(&t);
}

static double update_ratio(const debugger *d, const nn_weight *w) {
    double moved = 0, size = 0;
    for (int64_t e = w->offset; e < w->offset + w->elements; e++) {
        double by = (double)d->after[e] - d->before[e];
        moved += by * by;
        size += (double)d->before[e] * d->before[e];
    }
    return size > 0 ? sqrt(moved / size) : NAN;
}

static void put_weights(debugger *d) {
    static const char *const heading[] = {
        "weight", "min",        "mean",      "max",           "std",
        "zeros",  "not finite", "histogram", "gradient norm", "update / weight"};
    nn_grid t = {.align = "lrrrrrrlrr"};
    nn_buf_puts(&d->out, "\nweights before the step\n");
    headings(&t, heading, 10);
    for (int i = 0; i < d->graph->n_nodes; i++)
        for (int k = 0; k < d->graph->nodes[i].n_weights && weight_shown(d, i); k++) {
            const nn_weight *w = &d->graph->weights[d->graph->nodes[i].weights[k]];
            nn_stats s = nn_stats_of(d->before + w->offset, w->elements);
            nn_grid_add(&t, w->name);
            add_stats(&t, &s);
            add_number(&t, nn_stats_of(d->gradients + w->offset, w->elements).norm);
            add_number(&t, update_ratio(d, w));
        }
    nn_grid_print(&t, &d->out);
    nn_grid_done(&t);
}

static nn_json *stats_json(const nn_stats *s) {
    nn_json *v = nn_json_new_object(), *bins = nn_json_new_array();
    nn_json_set(v, "n", nn_json_new_int(s->n));
    nn_json_set(v, "not_finite", nn_json_new_int(s->bad));
    nn_json_set(v, "min", nn_json_new_num(s->min));
    nn_json_set(v, "mean", nn_json_new_num(s->mean));
    nn_json_set(v, "max", nn_json_new_num(s->max));
    nn_json_set(v, "std", nn_json_new_num(s->std));
    nn_json_set(v, "norm", nn_json_new_num(s->norm));
    nn_json_set(v, "zeros", nn_json_new_num(s->zeros));
    for (int i = 0; i < NN_STATS_BINS; i++) nn_json_push(bins, nn_json_new_int(s->bins[i]));
    nn_json_set(v, "histogram", bins);
    return v;
}

static nn_json *node_json(const debugger *d, int node) {
    const nn_node *n = &d->graph->nodes[node];
    const look *l = &d->looks[node];
    nn_json *v = nn_json_new_object();
    nn_json_set(v, "node", nn_json_new_str(n->name));
    nn_json_set(v, "layer", nn_json_new_str(n->layer_name));
    nn_json_set(v, "op", nn_json_new_str(nn_op_name(n->op)));
    nn_json_set(v, "line", n->span.line ? nn_json_new_int(n->span.line) : nn_json_new_null());
    nn_json_set(v, "activation", l->value.n ? stats_json(&l->value) : nn_json_new_null());
    nn_json_set(v, "gradient", l->gradient.n ? stats_json(&l->gradient) : nn_json_new_null());
    return v;
}

static nn_json *weight_json(const debugger *d, const nn_weight *w) {
    nn_stats s = nn_stats_of(d->before + w->offset, w->elements);
    nn_stats g = nn_stats_of(d->gradients + w->offset, w->elements);
    nn_json *v = nn_json_new_object();
    nn_json_set(v, "weight", nn_json_new_str(w->name));
    nn_json_set(v, "value", stats_json(&s));
    nn_json_set(v, "gradient", stats_json(&g));
    nn_json_set(v, "update_ratio", nn_json_new_num(update_ratio(d, w)));
    return v;
}

static nn_status print_json(debugger *d, const nn_step *step, nn_err *err) {
    NN_JSON *v = nn_json_new_object();
    nn_json *nodes = nn_json_new_array(), *weights = nn_json_new_array();
    nn_json_set(v, "step", nn_json_new_int(d->step));
    nn_json_set(v, "engine", nn_json_new_str(d->engine->name));
    nn_json_set(v, "loss", nn_json_new_num(step->loss));
    nn_json_set(v, "finite", nn_json_new_bool(step->finite));
    for (int i = 0; i < d->graph->n_nodes; i++) {
        if (weight_shown(d, i)) nn_json_push(nodes, node_json(d, i));
        for (int k = 0; k < d->graph->nodes[i].n_weights && weight_shown(d, i); k++)
            nn_json_push(weights,
                         weight_json(d, &d->graph->weights[d->graph->nodes[i].weights[k]]));
    }
    nn_json_set(v, "nodes", nodes);
    nn_json_set(v, "weights", weights);
    nn_json_dump(v, 0, &d->out);
    nn_buf_putc(&d->out, '\n');
    return nn_print(nn_buf_str(&d->out), d->out.n, err);
}

static nn_status print_step(debugger *d, const nn_step *step, nn_err *err) {
    nn_buf_clear(&d->out);
    if (d->json) return print_json(d, step, err);
    nn_buf_printf(&d->out, "step %" PRId64 ": loss %.6g", d->step, step->loss);
    if (step->counted)
        nn_buf_printf(&d->out, ", %" PRId64 " of %" PRId64 " right", step->correct, step->counted);
    nn_buf_printf(&d->out, " (%s, %s engine)\n", d->graph->name, d->engine->name);
    put_values(d, false);
    put_values(d, true);
    put_weights(d);
    nn_buf_putc(&d->out, '\n');
    return nn_print(nn_buf_str(&d->out), d->out.n, err);
}

static nn_status fail_nan(const debugger *d, const nn_step *step, nn_err *err) {
    const nn_node *n = step->node >= 0 ? &d->graph->nodes[step->node] : NULL;
    nn_status s =
        nn_fail(err, NN_E_NAN_LOSS, "step %" PRId64 ": loss or a gradient is not finite%s%s%s",
                d->step, n ? "; first in layer '" : "", n ? n->layer_name : "", n ? "'" : "");
    if (err && n) err->line = n->span.line, err->col = n->span.col;
    return s;
}

/* ---- --save ---- */

static nn_shape rows_shape(const nn_node *n, int64_t values) {
    int64_t each = nn_shape_elements(&n->shape);
    nn_shape s = {.rank = 1, .dim = {values / each}};
    for (int i = 0; i < n->shape.rank && s.rank < NN_MAX_RANK; i++)
        s.dim[s.rank++] = n->shape.dim[i];
    return s;
}

static int save_node(debugger *d, nn_arena *a, int node, nn_tensor *to) {
    const nn_node *n = &d->graph->nodes[node];
    const look *l = &d->looks[node];
    const float *from[] = {l->kept, l->kept_gradient};
    const nn_stats *s[] = {&l->value, &l->gradient};
    int count = 0;
    for (int k = 0; k < 2; k++)
        if (from[k])
            to[count++] = (nn_tensor){
                .name = nn_arena_printf(a, "%s/%s", k ? "gradient" : "activation", n->name),
                .dtype = "F32",
                .shape = rows_shape(n, s[k]->n),
                .data = from[k],
                .bytes = (size_t)s[k]->n * sizeof(float)};
    return count;
}

static nn_status save(debugger *d, nn_err *err) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "debug", 0);
    const nn_graph *g = d->graph;
    nn_tensor *t = NN_NEW_N(a, nn_tensor, (size_t)(2 * g->n_nodes + 2 * g->n_weights + 1));
    const float *const slabs[] = {d->before, d->gradients};
    char sha256[65];
    int n = 0;
    for (int i = 0; i < g->n_nodes; i++) n += save_node(d, a, i, t + n);
    for (int i = 0; i < g->n_weights; i++)
        for (int k = 0; k < 2; k++)
            t[n++] =
                (nn_tensor){.name = nn_arena_printf(a, "%s/%s", k ? "weight_gradient" : "weight",
                                                    g->weights[i].name),
                            .dtype = "F32",
                            .shape = g->weights[i].shape,
                            .data = slabs[k] + g->weights[i].offset,
                            .bytes = (size_t)g->weights[i].elements * sizeof(float)};
    return nn_safetensors_write(d->save, t, n, NULL, sha256, err);
}

/* ---- the command ---- */

static nn_status run_steps(debugger *d, nn_err *err) {
    nn_step step = {.finite = true};
    nn_status s = NN_OK;
    for (d->step = 1; d->step <= d->steps && !s && step.finite; d->step++) {
        d->keeping = d->save != NULL; /* a step may turn out to be the last */
        s = run_step(d, &step, err);
        bool last = d->step == d->steps || !step.finite;
        if (!s && (!d->stop_at || last)) s = print_step(d, &step, err);
        if (!s && last && d->save) s = save(d, err);
        if (!s && !step.finite) return fail_nan(d, &step, err);
    }
    return s;
}

static nn_status run_debug(const nn_args *a, nn_err *err) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "debug", (size_t)2 << 30);
    __attribute__((cleanup(debugger_done))) debugger d = {0};
    nn_status s = read_options(a, &d, err);
    if (!s) s = nn_cli_network_open(a, arena, a->operands[0], &d.net, err);
    d.graph = d.net.graph;
    if (!s) s = check_layer(&d, err);
    if (!s) s = open_data(&d, err);
    if (!s) s = allocate(&d, err);
    if (!s) s = open_engine(&d, err);
    return s ? s : run_steps(&d, err);
}

/* clang-format off */
static const nn_option options[] = {
    {"data",    'd', "SET",  "data set: a name or a path (default: what the network names)", NULL},
    {"steps",   'n', "N",    "steps to run, each printed (default 1)", NULL},
    {"stop-at", 0,   "STEP", "run up to this step and print only it", NULL},
    {"batch",   'b', "N",    "rows a step, instead of the network's", NULL},
    {"layer",   'l', "NAME", "only this layer, node by node", NULL},
    {"save",    0,   "FILE", "values, gradients and weights of the last step (.safetensors)", NULL},
    {"engine",  0,   "NAME", "what runs (default reference, which shows every node)", "native|reference"},
    {"seed",    's', "N",    "of weights, shuffling and dropout (default 1)", NULL},
    NN_CLI_SET,
    NN_CLI_AUTO_FLATTEN,
    {"json",    0,   NULL,   "print JSON, a line a step", NULL},
    {0}
};
/* clang-format on */
const nn_command nn_command_debug = {
    .operands = "FILE|MODEL",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .run = run_debug,
    .description =
        "The steps are those of `neural train` with the same seed and batch size. A loss that is not finite ends it after\n"
        "its step was printed. The reference engine computes in double precision and shows every node; the native engine\n"
        "leaves out what it fuses. Gradients of outputs are of the mean loss; of weights as the optimizer gets them.",
    .examples =
        "  neural debug examples/fashion_cnn.neural --data synthetic:classes=10,shape=28x28x1\n"
        "  neural debug net.neural --stop-at 20 --save step20.safetensors --layer dense_1"};
