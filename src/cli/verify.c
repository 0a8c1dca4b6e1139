/* SPDX-License-Identifier: MIT */
/* verify.c - the same numbers everywhere: a network or a model through every backend, compared with
 * the reference engine. */
#include "suite/verify.h"

#include "cli/cli.h"
#include "model/model.h"

#include <inttypes.h>
#include <string.h>

enum { MOST = 16 };

typedef struct asking {
    const nn_args *args;
    nn_verify_host *host;
    const nn_verifier *by[MOST];
    nn_verify_options o;
    bool json, dry;
    bool single;       /* one file is asked about */
    int bad, compared; /* backends that differ or failed; results that are a comparison */
} asking;

/* ---- which ---- */

static nn_status unknown_backend(const char *name, size_t n, nn_err *err) {
    NN_BUF list = {0};
    for (unsigned i = 0; nn_verifier_at(i); i++)
        nn_buf_printf(&list, "%s%s", i ? ", " : "", nn_verifier_at(i)->name);
    return nn_fail(err, NN_E_USAGE, "--backends: '%.*s' is not known; choose all or some of: %s",
                   (int)n, name, nn_buf_str(&list));
}

static nn_status read_backends(const char *list, asking *a, nn_err *err) {
    bool all = strcmp(list, "all") == 0;
    for (unsigned i = 0; all && nn_verifier_at(i); i++)
        a->by[a->o.n_verifiers++] = nn_verifier_at(i);
    for (size_t n; !all && *list; list += n + (list[n] == ',')) {
        char name[32];
        n = strcspn(list, ",");
        snprintf(name, sizeof name, "%.*s", n < 31 ? (int)n : 31, list);
        const nn_verifier *v = nn_verifier_find(name);
        if (!v) return unknown_backend(list, n, err);
        if (a->o.n_verifiers < MOST) a->by[a->o.n_verifiers++] = v;
    }
    a->o.verifiers = a->by;
    return a->o.n_verifiers ? NN_OK : nn_fail(err, NN_E_USAGE, "--backends names none");
}

static nn_status read_options(const nn_args *args, asking *a, nn_err *err) {
    int64_t seed;
    const char *backends = nn_opt(args, "backends");
    nn_status s = read_backends(backends ? backends : "all", a, err);
    if (!s) s = nn_opt_int(args, "batch", 4, 1, 65536, &a->o.rows, err);
    if (!s) s = nn_opt_int(args, "seed", 1, 0, INT64_MAX, &seed, err);
    if (s) return s;
    a->o.seed = (uint64_t)seed;
    a->o.layers = nn_opt_given(args, "layers");
    a->json = nn_opt_given(args, "json");
    a->dry = nn_opt_given(args, "dry-run");
    a->args = args;
    return NN_OK;
}

/* ---- what comes out ---- */

static void add_figures(nn_grid *t, const nn_distance *d) {
    char text[96];
    snprintf(text, sizeof text, "%.1e", d->relative);
    nn_grid_add(t, text);
    snprintf(text, sizeof text, "%.1e at %" PRId64 ": %.6g, not %.6g", d->worst, d->at, d->got,
             d->want);
    nn_grid_add(t, d->worst > 0 ? text : "none");
}

static void add_first(nn_grid *t, const nn_verification *v, const nn_verified *r) {
    char text[700];
    if (r->first < 0) {
        nn_grid_add(t, r->verdict == NN_DIFFERS ? "not found" : "");
        return;
    }
    const nn_node *n = &v->graph->nodes[r->first];
    snprintf(text, sizeof text, "%s '%s' (%s): %.1e", n->layer, n->layer_name, nn_op_name(n->op),
             r->first_distance.relative);
    nn_grid_add(t, text);
}

static void add_verified(nn_grid *t, const nn_verification *v, const nn_verified *r) {
    int rows = r->verdict == NN_AGREES || r->verdict == NN_DIFFERS ? v->graph->n_outputs : 1;
    for (int i = 0; i < rows; i++) {
        nn_grid_add(t, i ? "" : r->by->name);
        nn_grid_add(t, i ? "" : nn_verdict_name(r->verdict));
        if (r->verdict == NN_FAILED || r->verdict == NN_SKIPPED) {
            for (int k = 0; k < 4; k++) nn_grid_add(t, k == 2 ? r->reason : "");
            continue;
        }
        nn_grid_add(t, v->graph->nodes[v->graph->outputs[i]].layer_name);
        add_figures(t, &r->outputs[i]);
        add_first(t, v, r);
    }
}

static void add_layers(const nn_verification *v, const nn_verified *r, nn_buf *out) {
    nn_grid t = {.align = "lllrl"};
    if (!r->nodes) return;
    nn_buf_printf(out, "\n%s, by node\n", r->by->name);
    for (int i = 0; i < v->graph->n_nodes; i++) {
        const nn_node *n = &v->graph->nodes[i];
        if (r->nodes[i].relative < 0) continue;
        nn_grid_add(&t, n->name);
        nn_grid_add(&t, n->layer);
        nn_grid_add(&t, nn_op_name(n->op));
        add_figures(&t, &r->nodes[i]);
    }
    nn_grid_print(&t, out);
    nn_grid_done(&t);
}

static nn_status print_text(const asking *a, const char *path, const nn_verification *v,
                            nn_err *err) {
    static const char *const heading[] = {
        "backend", "result", "output", "relative L2", "worst element", "first layer that differs"};
    NN_BUF out = {0};
    nn_grid t = {.align = "lllrll"};
    if (!a->single) nn_buf_printf(&out, "%s\n", path);
    nn_buf_printf(&out,
                  "%s: %" PRId64 " rows by seed %" PRIu64 ", weights %s; against the reference "
                  "engine, within %g relative L2\n",
                  v->graph->name, v->rows, v->seed, v->drawn ? "drawn" : "of the model",
                  NN_VERIFY_TOLERANCE);
    for (size_t i = 0; i < sizeof heading / sizeof *heading; i++) nn_grid_add(&t, heading[i]);
    for (int i = 0; i < v->n; i++) add_verified(&t, v, &v->of[i]);
    nn_grid_print(&t, &out);
    nn_grid_done(&t);
    for (int i = 0; i < v->n; i++) add_layers(v, &v->of[i], &out);
    return nn_print(nn_buf_str(&out), out.n, err);
}

/* One file: a document; several: a line each. */
static nn_status print_object(const asking *a, const char *path, nn_json *o, nn_err *err) {
    nn_json_set(o, "file", nn_json_new_str(path));
    if (a->single) return nn_print_json(o, err);
    NN_BUF line = {0};
    nn_json_dump(o, 0, &line);
    nn_buf_putc(&line, '\n');
    nn_json_unref(o);
    nn_status s = nn_print(nn_buf_str(&line), line.n, err);
    fflush(stdout);
    return s;
}

static nn_status print(asking *a, const char *path, const nn_verification *v, nn_err *err) {
    a->bad += nn_verification_bad(v);
    for (int i = 0; i < v->n; i++)
        a->compared += v->of[i].verdict != NN_SKIPPED && v->of[i].by != nn_verifier_at(0);
    return a->json ? print_object(a, path, nn_verification_json(v), err)
                   : print_text(a, path, v, err);
}

/* ---- a file ---- */

/* What the file keeps of an earlier time. */
static nn_status show(const asking *a, const char *path, const nn_model *m, nn_err *err) {
    if (!m->certificate)
        return nn_fail(err, NN_E_NOT_FOUND, "%s has no certificate: it was never verified", path);
    nn_json *o = nn_json_copy(m->certificate);
    if (!nn_certificate_fits(o, m->graph, m->weights))
        nn_json_set(o, "stale", nn_json_new_bool(true)); /* of weights that were there before */
    return print_object(a, path, o, err);
}

static nn_status verify_loaded(asking *a, nn_model *m, nn_verification **ret, nn_err *err) {
    nn_verify_options o = a->o;
    o.weights = m->weights;
    return nn_verify(a->host, m->graph, &o, ret, err);
}

static nn_status verify_model(asking *a, const char *path, nn_err *err) {
    __attribute__((cleanup(nn_model_freep))) nn_model *m = NULL;
    __attribute__((cleanup(nn_verification_freep))) nn_verification *v = NULL;
    nn_status s = nn_model_load(path, &m, err);
    if (s) return s;
    if (nn_opt_given(a->args, "show")) return show(a, path, m, err);
    s = verify_loaded(a, m, &v, err);
    if (!s && !a->dry) {
        nn_json_unref(m->certificate);
        m->certificate = nn_verification_certificate(v);
        s = nn_model_save(m, path, err);
    }
    return s ? s : print(a, path, v, err);
}

static nn_status verify_program(asking *a, const char *path, nn_err *err) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "verify", (size_t)2 << 30);
    __attribute__((cleanup(nn_verification_freep))) nn_verification *v = NULL;
    nn_source src;
    nn_diags *diags = NULL;
    nn_unit *u = NULL;
    nn_compile_options opt;
    if (nn_opt_given(a->args, "show"))
        return nn_fail(err, NN_E_USAGE, "%s: only a model file keeps what was found", path);
    nn_status s = nn_cli_options(a->args, arena, &opt, err);
    if (!s) s = nn_cli_compile(arena, path, &opt, a->json, &src, &diags, &u, err);
    if (!s) s = nn_unit_runnable(u, err);
    if (!s) s = nn_verify(a->host, u->graph, &a->o, &v, err);
    return s ? s : print(a, path, v, err);
}

static bool is_model(const char *path) {
    size_t n = strlen(path);
    return n > 12 && strcmp(path + n - 12, ".safetensors") == 0;
}

/* Of several files, one that is wrong does not keep the others from being looked at. */
static nn_status verify_file(asking *a, const char *path, nn_err *err) {
    nn_err why = {0};
    nn_status s = (is_model(path) ? verify_model : verify_program)(a, path, &why);
    if (s && a->json && !a->single) {
        nn_json *o = nn_json_new_object();
        nn_json_set(o, "error", nn_json_new_str(why.msg));
        nn_json_set(o, "code", nn_json_new_str(nn_status_code(s)));
        (void)!print_object(a, path, o, NULL);
    }
    if (s && err) {
        *err = why;
        if (!a->single) nn_err_prefix(err, "%s", path);
    }
    return s;
}

/* What the exit status says of everything that was looked at. */
static nn_status judge(const asking *a, nn_err *err) {
    if (a->bad)
        return nn_fail(err, NN_E_CONFLICT, "%d result%s not those of the reference engine", a->bad,
                       a->bad == 1 ? " is" : "s are");
    if (!a->compared)
        return nn_fail(err, NN_E_UNSUPPORTED, "nothing was compared: every backend was skipped");
    return NN_OK;
}

static nn_status verify_all(asking *a, nn_err *err) {
    nn_status s = NN_OK;
    for (int i = 0; i < a->args->n_operands; i++) {
        nn_err why = {0};
        nn_status st = verify_file(a, a->args->operands[i], &why);
        if (!st) continue;
        if (s) nn_print_error(err);
        s = st;
        *err = why;
    }
    return s || nn_opt_given(a->args, "show") ? s : judge(a, err);
}

nn_status nn_cli_verify_file(const nn_args *args, const char *path, const char *name,
                             nn_json **ret_certificate, nn_err *err) {
    asking a = {0};
    __attribute__((cleanup(nn_model_freep))) nn_model *m = NULL;
    __attribute__((cleanup(nn_verification_freep))) nn_verification *v = NULL;
    __attribute__((cleanup(nn_verify_host_freep))) nn_verify_host *host = nn_verify_host_new();
    nn_status s = read_options(args, &a, err);
    a.host = host;
    *ret_certificate = NULL;
    if (!s) s = nn_model_load(path, &m, err);
    if (!s) s = verify_loaded(&a, m, &v, err);
    if (s) return s;
    *ret_certificate = nn_verification_certificate(v);
    a.single = true;
    s = print(&a, name, v, err);
    return s ? s : judge(&a, err);
}

static nn_status run_verify(const nn_args *args, nn_err *err) {
    asking a = {0};
    nn_status s = read_options(args, &a, err);
    if (s) return s;
    __attribute__((cleanup(nn_verify_host_freep))) nn_verify_host *host = nn_verify_host_new();
    a.host = host;
    a.single = args->n_operands == 1;
    return verify_all(&a, err);
}

/* clang-format off */
static const nn_option options[] = {
    NN_CLI_VERIFY,
    {"show",     0,   NULL,   "print what a model file keeps of the last time, run nothing", NULL},
    NN_CLI_SET,
    NN_CLI_AUTO_FLATTEN,
    {"json",     0,   NULL,   "print JSON: an object, or one a line for several files", NULL},
    {0}
};
/* clang-format on */
const nn_command nn_command_verify = {
    .operands = "FILE|MODEL...",
    .min_operands = 1,
    .max_operands = NN_CLI_OPERANDS,
    .options = options,
    .run = run_verify,
    .description =
        "The same weights and inputs go through every backend, and their outputs are compared with those of the reference\n"
        "engine. A program's weights are drawn by the seed; those that begin at one number (biases, scales) are moved a\n"
        "little, so that one that is lost shows. What is not installed, or cannot express the network, is skipped with the\n"
        "reason. Of a MODEL (.safetensors) the result is kept in the file. Exit status 1: something differs; 3: nothing\n"
        "could be compared.",
    .examples = "  neural verify net.neural\n"
                "  neural verify fashion.safetensors --backends native,pytorch --batch 16 --json"};
