/* SPDX-License-Identifier: MIT */
/* shapes.c - what each layer gives out and costs, and the memory that training takes. */
#include "cli/cli.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- the table ---- */

static int depth_of(const nn_unit *u, int row) {
    int depth = 0;
    for (; u->layers[row].parent >= 0; row = u->layers[row].parent) depth++;
    return depth;
}

static int64_t float_bytes(int64_t n) {
    int64_t bytes;
    return n < 0 || __builtin_mul_overflow(n, (int64_t)sizeof(float), &bytes) ? -1 : bytes;
}

static const char *si(int64_t n, char buf[32]) {
    if (n >= 0) return nn_print_si((double)n, buf);
    return nn_print_known(n, buf);
}

static void add_layer(const nn_unit *u, int row, nn_grid *t) {
    const nn_unit_layer *l = &u->layers[row];
    char shape[160], number[32];
    NN_BUF name = {0};
    nn_buf_printf(&name, "%*s%s", 2 * depth_of(u, row), "", l->name);
    nn_grid_add(t, nn_buf_str(&name));
    nn_grid_add(t, l->type);
    nn_grid_add(t, l->known ? nn_shape_print(&l->out, true, shape, sizeof shape) : "?");
    nn_grid_add(t, nn_print_known(l->params, number));
    nn_grid_add(t, si(l->flops, number));
    nn_grid_add(t, nn_print_bytes(l->activation_bytes, number));
    nn_grid_add(t, nn_print_bytes(float_bytes(l->params), number));
}

static void print_layers(const nn_unit *u, nn_buf *out) {
    static const char *const heading[] = {"name",  "layer",       "output shape", "parameters",
                                          "FLOPs", "activations", "weights"};
    nn_grid t = {.align = "lllrrrr"};
    for (size_t i = 0; i < sizeof heading / sizeof heading[0]; i++) nn_grid_add(&t, heading[i]);
    for (int i = 0; i < u->n_layers; i++) add_layer(u, i, &t);
    nn_grid_print(&t, out);
    nn_grid_done(&t);
}

static void print_totals(const nn_unit *u, nn_buf *out) {
    char number[32];
    nn_buf_printf(out, "\nparameters: %s", nn_print_known(u->params, number));
    if (u->trainable != u->params)
        nn_buf_printf(out, " (%s not trained)", nn_print_count(u->params - u->trainable, number));
    nn_buf_printf(out, "; FLOPs for one sample: %s\n", si(u->flops, number));
    if (u->incomplete) nn_buf_printf(out, "not all is known: %s\n", u->incomplete);
}

/* ---- memory ---- */

typedef struct need {
    const char *key;
    int64_t bytes;
} need;
enum { NEEDS = 5 };

/* Of a network that is not whole nothing is known. */
static void needs_of(const nn_unit *u, int64_t batch, need to[NEEDS]) {
    nn_memory m = {-1, -1, -1, -1, -1};
    if (!u->incomplete) m = nn_graph_memory(u->graph, batch, true);
    const need all[NEEDS] = {
        {"weights",     m.weights    },
        {"gradients",   m.gradients  },
        {"optimizer",   m.optimizer  },
        {"activations", m.activations},
        {"total",       m.total      }
    };
    memcpy(to, all, sizeof all);
}

static void print_memory(const nn_unit *u, int64_t batch, nn_buf *out) {
    enum { TOTAL = NEEDS - 1 };
    need n[NEEDS];
    char bytes[32];
    needs_of(u, batch, n);
    nn_buf_printf(out, "memory for training with batches of %" PRId64 " (estimate): %s\n", batch,
                  nn_print_bytes(n[TOTAL].bytes, bytes));
    for (int i = 0; i < TOTAL; i++)
        nn_buf_printf(out, "%s%s %s", i ? ", " : "  ", n[i].key, nn_print_bytes(n[i].bytes, bytes));
    nn_buf_putc(out, '\n');
}

static nn_json *memory_json(const nn_unit *u, int64_t batch) {
    need n[NEEDS];
    nn_json *o = nn_json_new_object();
    needs_of(u, batch, n);
    nn_json_set(o, "batch_size", nn_json_new_int(batch));
    for (int i = 0; i < NEEDS; i++)
        nn_json_set(o, n[i].key, n[i].bytes < 0 ? nn_json_new_null() : nn_json_new_int(n[i].bytes));
    return o;
}

/* ---- the command ---- */

static nn_status print(const nn_args *a, const nn_unit *u, int64_t batch, nn_err *err) {
    if (nn_opt_given(a, "json")) {
        nn_json *o = nn_cli_unit_json(u);
        nn_json_set(o, "memory", memory_json(u, batch));
        return nn_print_json(o, err);
    }
    NN_BUF out = {0};
    if (nn_opt_given(a, "graph")) {
        nn_graph_print(u->graph, &out);
    } else {
        print_layers(u, &out);
        print_totals(u, &out);
        print_memory(u, batch, &out);
    }
    return nn_print(nn_buf_str(&out), out.n, err);
}

static nn_status run_shapes(const nn_args *a, nn_err *err) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "shapes", (size_t)2 << 30);
    nn_source src;
    nn_diags *diags = NULL;
    nn_unit *u = NULL;
    nn_compile_options opt;
    int64_t batch;
    nn_status s = nn_opt_int(a, "batch-size", 0, 1, 1 << 30, &batch, err);
    if (!s) s = nn_cli_options(a, arena, &opt, err);
    if (!s) s = nn_cli_compile(arena, a->operands[0], &opt, false, &src, &diags, &u, err);
    return s ? s : print(a, u, batch ? batch : u->graph->train.batch_size, err);
}

/* clang-format off */
static const nn_option shapes_options[] = {
    {"batch-size", 'b', "N",  "rows of a batch, for the memory (default: the program's, else 32)", NULL},
    {"graph",      0,   NULL, "print the op graph that the layers lower to", NULL},
    NN_CLI_SET,
    NN_CLI_AUTO_FLATTEN,
    {"json",       0,   NULL, "print JSON", NULL},
    {0}
};
/* clang-format on */
const nn_command nn_command_shapes = {
    .operands = "FILE",
    .min_operands = 1,
    .max_operands = 1,
    .options = shapes_options,
    .run = run_shapes,
    .description =
        "FLOPs are multiply-accumulates times two, for one sample going forward. Activations are the\n"
        "bytes that the layer gives out for one sample, weights those that it holds. A layer in a\n"
        "block stands indented under the layer it belongs to, which counts it. ? is not known.",
    .examples = "  neural shapes examples/fashion_cnn.neural\n"
                "  neural shapes net.neural --batch-size 256"};
