/* SPDX-License-Identifier: MIT */
/* profile.c - where the time of a forward pass or a training step goes, by the pieces in which the
 * engine does the work. */
#include "engine/profile.h"

#include "cli/cli.h"
#include "engine/peak.h"
#include "model/model.h"
#include "suite/verify.h"

#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

typedef struct asking {
    nn_cli_network net;
    nn_profile_options o;
    float *inputs[NN_MAX_INPUTS];
    nn_profile found;
    nn_peak peak;
} asking;

static void asking_done(asking *a) {
    for (int i = 0; i < NN_MAX_INPUTS; i++) free(a->inputs[i]);
    nn_profile_done(&a->found);
    nn_cli_network_done(&a->net);
}

static nn_status read_options(const nn_args *args, asking *a, nn_err *err) {
    int64_t threads, runs, seed;
    nn_status s = nn_opt_int(args, "batch", 32, 1, 65536, &a->o.rows, err);
    if (!s) s = nn_opt_int(args, "threads", 0, 1, 256, &threads, err);
    if (!s) s = nn_opt_int(args, "runs", 20, 1, 10000, &runs, err);
    if (!s) s = nn_opt_int(args, "seed", 1, 0, INT64_MAX, &seed, err);
    if (s) return s;
    cpu_set_t cpus;
    if (threads == 0)
        threads = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
    a->o.threads = (int)threads;
    a->o.runs = (int)runs;
    a->o.seed = (uint64_t)seed;
    a->o.training = nn_opt_given(args, "training");
    return NN_OK;
}

static nn_status choose(const nn_args *args, asking *a, nn_err *err) {
    nn_engine_choice choice;
    nn_status s =
        nn_engine_choose(nn_opt(args, "engine"), a->net.graph, a->o.training, &choice, err);
    if (s) return s;
    if (*choice.warning) fprintf(stderr, "warning: %s\n", choice.warning);
    a->o.engine = choice.engine;
    return NN_OK;
}

static nn_status draw_inputs(asking *a, nn_err *err) {
    const nn_graph *g = a->net.graph;
    for (int i = 0; i < g->n_inputs; i++) {
        int64_t n = nn_shape_elements(&g->nodes[g->inputs[i]].shape);
        if (n < 1)
            return nn_fail(err, NN_E_UNSUPPORTED, "input '%s' has a size that is not known",
                           g->nodes[g->inputs[i]].layer_name);
        a->inputs[i] = calloc((size_t)(n * a->o.rows), sizeof(float));
        if (!a->inputs[i])
            return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for batches of %" PRId64 " rows",
                           a->o.rows);
        nn_verify_draw(g, i, a->o.seed, a->o.rows, a->inputs[i]);
    }
    a->o.inputs = (const float *const *)a->inputs;
    return NN_OK;
}

/* ---- what comes out ---- */

static const char *const passes[] = {"forward", "loss", "backward", "update"};

static void row_label(const asking *a, const nn_profile_row *r, nn_buf *out) {
    nn_buf_clear(out);
    nn_profile_name(a->net.graph, r, out);
    if (!out->n) nn_buf_puts(out, "(all)");
}

static void add_milliseconds(nn_grid *t, double seconds) {
    char text[32];
    snprintf(text, sizeof text, seconds < 1e-5 ? "%.5f" : "%.3f", seconds * 1e3);
    nn_grid_add(t, seconds > 0 ? text : "");
}

static void add_share(nn_grid *t, double part, double whole) {
    char text[32];
    snprintf(text, sizeof text, "%.1f %%", whole > 0 ? 100 * part / whole : 0);
    nn_grid_add(t, part > 0 ? text : "");
}

static void add_row(const asking *a, const nn_profile_row *r, nn_grid *t) {
    NN_BUF name = {0};
    char text[32];
    double seconds = nn_profile_seconds(r), rate = seconds > 0 ? r->flops / seconds : 0;
    row_label(a, r, &name);
    nn_grid_add(t, nn_buf_str(&name));
    nn_grid_add(t, r->kind);
    add_milliseconds(t, r->seconds[NN_PHASE_FORWARD]);
    if (a->o.training) {
        add_milliseconds(t, r->seconds[NN_PHASE_LOSS] + r->seconds[NN_PHASE_BACKWARD]);
        add_milliseconds(t, r->seconds[NN_PHASE_UPDATE]);
    }
    add_share(t, seconds, a->found.whole);
    nn_grid_add(t, r->bytes ? nn_print_bytes(r->bytes, text) : "");
    nn_grid_add(t, r->flops > 0 ? nn_print_si(rate, text) : "");
    add_share(t, rate, a->peak.flops);
}

static void put_totals(const asking *a, nn_buf *out) {
    const nn_profile *p = &a->found;
    char rate[32], flops[32], bytes[32], memory[32], speed[32];
    double rest = p->whole - p->sum;
    nn_buf_printf(out,
                  "sum of the pieces %.3f ms; a %s nobody looks at %.3f ms, %s %.3f ms (%.1f %%)\n",
                  p->sum * 1e3, a->o.training ? "step" : "pass", p->whole * 1e3,
                  rest < 0 ? "less by" : "more by", (rest < 0 ? -rest : rest) * 1e3,
                  p->whole > 0 ? 100 * (rest < 0 ? -rest : rest) / p->whole : 0);
    nn_buf_printf(
        out,
        "%s samples/s, %s FLOP/s; this machine: %s FLOP/s on all cores, %s/s copied by one; "
        "memory %s\n",
        nn_print_si(p->whole > 0 ? (double)a->o.rows / p->whole : 0, speed),
        nn_print_si(p->whole > 0 ? p->flops / p->whole : 0, flops),
        nn_print_si(a->peak.flops, rate), nn_print_bytes((int64_t)a->peak.bytes, bytes),
        nn_print_bytes((int64_t)p->memory, memory));
}

static nn_status print_text(const asking *a, nn_err *err) {
    NN_BUF out = {0};
    nn_grid t = {.align = a->o.training ? "llrrrrrrr" : "llrrrrr"};
    const char *const heading[] = {"layers", "work",  "forward ms", "backward ms", "update ms",
                                   "share",  "bytes", "FLOP/s",     "of peak"};
    nn_buf_printf(&out, "%s: %s of %" PRId64 " rows on the %s engine, %d thread%s, medians of %d\n",
                  a->net.graph->name, a->o.training ? "training steps" : "forward passes",
                  a->o.rows, a->o.engine->name, a->found.threads, a->found.threads == 1 ? "" : "s",
                  a->o.runs);
    for (size_t i = 0; i < sizeof heading / sizeof *heading; i++)
        if (a->o.training || (i != 3 && i != 4)) nn_grid_add(&t, heading[i]);
    for (int i = 0; i < a->found.n; i++) add_row(a, &a->found.rows[i], &t);
    nn_grid_print(&t, &out);
    nn_grid_done(&t);
    put_totals(a, &out);
    return nn_print(nn_buf_str(&out), out.n, err);
}

static nn_json *row_json(const asking *a, const nn_profile_row *r) {
    NN_BUF name = {0};
    nn_json *v = nn_json_new_object();
    double seconds = nn_profile_seconds(r);
    nn_profile_name(a->net.graph, r, &name);
    nn_json_set(v, "layers", name.n ? nn_json_new_str(nn_buf_str(&name)) : nn_json_new_null());
    nn_json_set(v, "work", nn_json_new_str(r->kind));
    nn_json_set(v, "line",
                r->node >= 0 ? nn_json_new_int(a->net.graph->nodes[r->node].span.line)
                             : nn_json_new_null());
    for (int k = 0; k < NN_PHASE_COUNT; k++) {
        char key[32];
        snprintf(key, sizeof key, "%s_s", passes[k]);
        if (a->o.training || k == NN_PHASE_FORWARD)
            nn_json_set(v, key, nn_json_new_num(r->seconds[k]));
    }
    nn_json_set(v, "seconds", nn_json_new_num(seconds));
    nn_json_set(v, "bytes", nn_json_new_int(r->bytes));
    nn_json_set(v, "flops", nn_json_new_num(r->flops));
    nn_json_set(v, "flops_per_s", nn_json_new_num(seconds > 0 ? r->flops / seconds : 0));
    return v;
}

static nn_status print_json(const asking *a, nn_err *err) {
    const nn_profile *p = &a->found;
    nn_json *v = nn_json_new_object(), *rows = nn_json_new_array(), *peak = nn_json_new_object();
    nn_json_set(v, "network", nn_json_new_str(a->net.graph->name));
    nn_json_set(v, "engine", nn_json_new_str(a->o.engine->name));
    nn_json_set(v, "training", nn_json_new_bool(a->o.training));
    nn_json_set(v, "batch", nn_json_new_int(a->o.rows));
    nn_json_set(v, "threads", nn_json_new_int(p->threads));
    nn_json_set(v, "runs", nn_json_new_int(a->o.runs));
    for (int i = 0; i < p->n; i++) nn_json_push(rows, row_json(a, &p->rows[i]));
    nn_json_set(v, "rows", rows);
    nn_json_set(v, "sum_s", nn_json_new_num(p->sum));
    nn_json_set(v, "whole_s", nn_json_new_num(p->whole));
    nn_json_set(v, "flops", nn_json_new_num(p->flops));
    nn_json_set(v, "memory", nn_json_new_int((int64_t)p->memory));
    nn_json_set(peak, "flops_per_s", nn_json_new_num(a->peak.flops));
    nn_json_set(peak, "bytes_per_s", nn_json_new_num(a->peak.bytes));
    nn_json_set(v, "peak", peak);
    return nn_print_json(v, err);
}

static nn_status run_profile(const nn_args *args, nn_err *err) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "profile", (size_t)2 << 30);
    __attribute__((cleanup(asking_done))) asking a = {0};
    nn_status s = read_options(args, &a, err);
    if (!s) s = nn_cli_network_open(args, arena, args->operands[0], &a.net, err);
    if (!s) s = choose(args, &a, err);
    if (!s) s = draw_inputs(&a, err);
    if (s) return s;
    a.o.weights = a.net.model ? a.net.model->weights : NULL;
    a.peak = nn_machine_peak();
    s = nn_profile_run(a.net.graph, &a.o, &a.found, err);
    if (s) return s;
    return nn_opt_given(args, "json") ? print_json(&a, err) : print_text(&a, err);
}

/* clang-format off */
static const nn_option options[] = {
    {"batch",    'b', "N",    "rows at a time (default 32)", NULL},
    {"threads",  't', "N",    "cores to use (default all)", NULL},
    {"training", 0,   NULL,   "whole training steps: forward, loss, backward, update", NULL},
    {"runs",     'n', "N",    "timed passes after a warm-up; medians are printed (default 20)", NULL},
    {"engine",   0,   "NAME", "what runs (default: native, and reference for what native lacks)", "native|reference"},
    {"seed",     's', "N",    "of the inputs and, for a program, of the weights (default 1)", NULL},
    NN_CLI_SET,
    NN_CLI_AUTO_FLATTEN,
    {"json",     0,   NULL,   "print JSON", NULL},
    {0}
};
/* clang-format on */
const nn_command nn_command_profile = {
    .operands = "FILE|MODEL",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .run = run_profile,
    .description =
        "Each line is a piece of work as the engine does it: layers that are fused share one, and a relayout moves values\n"
        "between layouts. Steps that are timed piece by piece alternate with steps that nobody looks at: what the pieces do\n"
        "not add up to is printed. Inputs and targets are drawn by the seed. FLOP/s count multiplications and additions of\n"
        "the passes that a piece takes part in.",
    .examples = "  neural profile examples/fashion_cnn.neural --training --batch 128\n"
                "  neural profile fashion.safetensors --threads 1 --json"};
