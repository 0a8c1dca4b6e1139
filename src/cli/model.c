/* SPDX-License-Identifier: MIT */
/* model.c - the models of a server's store, with or without a running server: added from files,
 * listed, shown, and verified. */
#include "model/model.h"

#include "base/clock.h"
#include "cli/settings.h"
#include "suite/verify.h"
#include "track/track.h"

#include <inttypes.h>
#include <string.h>

enum { PAGE = 1000, NAME_MAX_BYTES = 255 };

typedef struct session {
    const nn_args *args;
    nn_arena *arena;
    nn_store *store;
    nn_track *track;
    bool json;
    const char *what; /* FILE or MODEL; NULL: none */
} session;

/* ---- printing ---- */

static const char *text_at(const nn_json *o, const char *key) {
    return nn_json_str(nn_json_get(o, key), "");
}

static bool is_number(const nn_json *v) {
    return v && nn_json_typeof(v) != NN_JSON_NULL;
}

/* "agrees, 3.1e-08" */
static void put_verdict(const nn_json *certificate, nn_buf *out) {
    const nn_json *worst = nn_json_get(certificate, "worst_relative_l2");
    if (nn_json_typeof(certificate) != NN_JSON_OBJECT) {
        nn_buf_puts(out, "never");
        return;
    }
    if (nn_json_bool(nn_json_get(certificate, "stale"), false)) nn_buf_puts(out, "stale: ");
    nn_buf_puts(out, text_at(certificate, "verdict"));
    if (is_number(worst)) nn_buf_printf(out, ", %.1e", nn_json_num(worst, 0));
}

static void put_shape(const nn_json *v, nn_buf *out) {
    if (nn_json_typeof(v) == NN_JSON_ARRAY)
        nn_json_dump(v, 0, out);
    else
        nn_buf_putc(out, '?');
}

static void add_row(nn_grid *t, const nn_json *m) {
    const nn_json *meta = nn_json_get(m, "metadata");
    NN_BUF name = {0}, verdict = {0};
    nn_buf_printf(&name, "%s@%" PRId64, text_at(meta, "model_name"),
                  nn_json_int(nn_json_get(meta, "version"), 0));
    put_verdict(nn_json_get(m, "certificate"), &verdict);
    nn_grid_add(t, text_at(m, "model_id"));
    nn_grid_add(t, nn_buf_str(&name));
    nn_grid_add(t, nn_json_bool(nn_json_get(meta, "has_weights"), false) ? "yes" : "no");
    nn_grid_add(t, nn_buf_str(&verdict));
    nn_grid_add(t, text_at(m, "created_at"));
}

static void put_files(const nn_json *files, nn_buf *out) {
    char size[32];
    for (size_t i = 0; i < nn_json_size(files); i++) {
        const nn_json *f = nn_json_at(files, i);
        nn_buf_printf(out, "  file      %s (%s, %s)\n", text_at(f, "name"), text_at(f, "kind"),
                      nn_print_bytes(nn_json_int(nn_json_get(f, "size"), 0), size));
    }
}

static void put_certificate(const nn_json *c, nn_buf *out) {
    nn_buf_puts(out, "  verified  ");
    put_verdict(c, out);
    nn_buf_putc(out, '\n');
    if (nn_json_typeof(c) != NN_JSON_OBJECT) return;
    nn_buf_printf(out, "  when      %s, Neural %s\n", text_at(c, "verified_at"),
                  text_at(c, "neural"));
    const nn_json *list = nn_json_get(c, "backends");
    for (size_t i = 0; i < nn_json_size(list); i++) {
        const nn_json *b = nn_json_at(list, i), *d = nn_json_get(b, "relative_l2");
        nn_buf_printf(out, "  %-9s %s", text_at(b, "name"), text_at(b, "status"));
        if (is_number(d)) nn_buf_printf(out, ", relative L2 %.1e", nn_json_num(d, 0));
        if (*text_at(b, "reason")) nn_buf_printf(out, ": %s", text_at(b, "reason"));
        nn_buf_putc(out, '\n');
    }
}

static void put_model(const nn_json *m, nn_buf *out) {
    const nn_json *meta = nn_json_get(m, "metadata");
    nn_buf_printf(out, "%s@%" PRId64 "  %s\n  network   %s, %" PRId64 " parameters\n  input     ",
                  text_at(meta, "model_name"), nn_json_int(nn_json_get(meta, "version"), 0),
                  text_at(m, "model_id"), text_at(meta, "network_name"),
                  nn_json_int(nn_json_get(meta, "num_parameters"), 0));
    put_shape(nn_json_get(meta, "input_shape"), out);
    nn_buf_puts(out, "\n  output    ");
    put_shape(nn_json_get(meta, "output_shape"), out);
    nn_buf_printf(out, "\n  added     %s\n", text_at(m, "created_at"));
    put_files(nn_json_get(meta, "files"), out);
    put_certificate(nn_json_get(m, "certificate"), out);
}

/* ---- list, show ---- */

static nn_status list(session *s, nn_err *err) {
    static const char *const heading[] = {"id", "name", "weights", "verified", "added"};
    nn_registry_filter f = {.limit = PAGE};
    NN_JSON *items = NULL;
    int64_t total = 0;
    nn_status st = nn_registry_list(s->track, &f, &items, &total, NULL, err);
    if (st) return st;
    if (s->json) return nn_print_json(nn_json_ref(items), err);
    nn_grid t = {.align = "lllll"};
    NN_BUF out = {0};
    for (int i = 0; i < NN_COUNT_OF(heading); i++) nn_grid_add(&t, heading[i]);
    for (size_t i = 0; i < nn_json_size(items); i++) add_row(&t, nn_json_at(items, i));
    nn_grid_print(&t, &out);
    nn_grid_done(&t);
    if (total > PAGE) nn_buf_printf(&out, "%d of %" PRId64 ", the newest\n", PAGE, total);
    return nn_print(nn_buf_str(&out), out.n, err);
}

static nn_status print_row(session *s, nn_row row, nn_err *err) {
    NN_JSON *m = NULL;
    nn_status st = nn_registry_json(s->track, row, &m, err);
    if (st) return st;
    if (s->json) return nn_print_json(nn_json_ref(m), err);
    NN_BUF out = {0};
    put_model(m, &out);
    return nn_print(nn_buf_str(&out), out.n, err);
}

static nn_status show(session *s, nn_err *err) {
    nn_row row;
    nn_status st = nn_registry_find(s->track, s->what, false, s->arena, &row, err);
    return st ? st : print_row(s, row, err);
}

/* ---- verify ---- */

/* What was found is kept whatever it was. */
static nn_status verify(session *s, nn_err *err) {
    nn_row row;
    const char *path;
    NN_JSON *certificate = NULL;
    nn_status st = nn_registry_find(s->track, s->what, true, s->arena, &row, err);
    if (!st) st = nn_registry_weights(s->track, row, s->arena, &path, err);
    if (!st) st = nn_cli_verify_file(s->args, path, s->what, &certificate, err);
    if (!certificate || nn_opt_given(s->args, "dry-run")) return st;
    nn_err why = {0};
    nn_status kept = nn_registry_certify(s->track, row, certificate, nn_clock_wall(), &why);
    if (kept && err) *err = why;
    return kept ? kept : st;
}

/* ---- add ---- */

typedef struct adding {
    nn_registry_spec spec;
    char id[37];
} adding;

static nn_status add_fn(nn_txn *t, void *ctx, nn_err *err) {
    adding *a = ctx;
    return nn_registry_add(t, &a->spec, a->id, NULL, err);
}

static int64_t layers_of(const nn_graph *g) {
    int64_t n = 0;
    for (int i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].layer_index >= n) n = g->nodes[i].layer_index + 1;
    return n;
}

/* The model's own certificate comes along, where it is of these weights. */
static nn_status keep_certificate(session *s, const nn_model *m, nn_row row, nn_err *err) {
    if (!m->certificate) return NN_OK;
    if (nn_certificate_fits(m->certificate, m->graph, m->weights))
        return nn_registry_certify(s->track, row, m->certificate, nn_clock_wall(), err);
    fprintf(stderr, "warning: the certificate of %s is of other weights and was left out\n",
            s->what);
    return NN_OK;
}

static nn_status add(session *s, nn_err *err) {
    NN_AUTO(nn_model) *m = NULL;
    nn_artifact bytes;
    nn_row row;
    const char *name = nn_opt(s->args, "name");
    if (name && (!*name || strlen(name) > NAME_MAX_BYTES))
        return nn_fail(err, NN_E_USAGE, "--name: expected 1 to %d bytes", NAME_MAX_BYTES);
    nn_status st = nn_model_load(s->what, &m, err);
    if (!st) st = nn_artifact_put_file(s->track, s->what, &bytes, err);
    if (st) return st;
    NN_JSON *network = nn_registry_network(m->graph, layers_of(m->graph));
    const char *stem = *m->graph->name ? m->graph->name : "model";
    nn_registry_file file = {.name = nn_arena_printf(s->arena, "%.200s.safetensors", stem),
                             .kind = "weights",
                             .sha256 = bytes.sha256,
                             .size = bytes.size};
    adding a = {
        .spec = {.name = name,
                 .network = network,
                 .source = m->source,
                 .files = &file,
                 .n_files = 1,
                 .has_weights = true,
                 .now = nn_clock_wall()}
    };
    st = nn_store_write(s->store, add_fn, &a, err);
    if (!st) st = nn_registry_find(s->track, a.id, true, s->arena, &row, err);
    if (!st) st = keep_certificate(s, m, row, err);
    return st ? st : print_row(s, row, err);
}

/* ---- the command ---- */

static const struct verb {
    const char *name;
    bool takes;
    nn_status (*run)(session *s, nn_err *err);
} verbs[] = {
    {"add",    true,  add   },
    {"list",   false, list  },
    {"show",   true,  show  },
    {"verify", true,  verify},
};

static const struct verb *find_verb(const nn_args *a) {
    for (int i = 0; i < NN_COUNT_OF(verbs); i++)
        if (!strcmp(verbs[i].name, a->operands[0]) && verbs[i].takes == (a->n_operands > 1))
            return &verbs[i];
    return NULL;
}

static nn_status run_model(const nn_args *a, nn_err *err) {
    const struct verb *v = find_verb(a);
    if (!v) {
        nn_status s = nn_fail(err, NN_E_USAGE,
                              "model: expected `add FILE`, `list`, `show MODEL` or `verify MODEL`");
        return nn_err_hint(err, s, "`neural model --help`");
    }
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "model", 0);
    session s = {.args = a,
                 .arena = arena,
                 .json = nn_opt_given(a, "json"),
                 .what = v->takes ? a->operands[1] : NULL};
    const char *storage;
    nn_status st = nn_cli_store(a, NULL, arena, &s.store, &storage, err);
    if (!st) st = nn_track_open(s.store, storage, &s.track, err);
    if (!st) st = v->run(&s, err);
    nn_track_close(s.track);
    nn_store_close(s.store);
    return st;
}

static const nn_option options[] = {
    {"name",  'n', "NAME", "add: what it is called (default: its network's name)", NULL},
    NN_CLI_VERIFY,
    {"json", 0, NULL, "print JSON", NULL},
    {0  }
};

const nn_command nn_command_model = {
    .operands = "add FILE | list | show MODEL | verify MODEL",
    .min_operands = 1,
    .max_operands = 2,
    .run = run_model,
    .options = options,
    .own_flags = true,
    .description =
        "Works on the store named by --storage or --store; the server may be running. MODEL is an id, a name (its newest\n"
        "version) or name@version. FILE is a .safetensors file of `neural train`; the certificate in it comes along.\n"
        "`verify` keeps what it finds with the model, as `neural verify` does in a file. Settings come after these options.",
    .examples = "  neural model add fashion.safetensors --name fashion\n"
                "  neural model verify fashion --backends native,pytorch\n"
                "  neural model list --json --storage ./neural_storage"};
