/* SPDX-License-Identifier: MIT */
/* check.c - is a network right? Its diagnostics, on request what could be better, and the fixes
 * applied that the diagnostics bring. */
#include "cli/cli.h"
#include "compile/findings.h"
#include "compile/model_data.h"

#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 10, SHOWN = 40 };

/* One file. */
typedef struct checked {
    nn_arena *arena;
    const char *path;
    nn_compile_options opt;
    nn_source src;
    nn_diags *diags;
    nn_unit *unit; /* NULL: it has errors */
    const nn_research *research;
    bool json, fix, findings, changed;
    nn_json *fixed; /* what was changed; owned */
} checked;

/* ---- --fix ---- */

/* A piece of the text, quoted on one line. */
static void put_piece(const char *p, size_t n, nn_buf *out) {
    nn_buf_putc(out, '\'');
    for (size_t i = 0; i < n; i++) {
        if (i >= SHOWN && (p[i] & 0xc0) != 0x80) {
            nn_buf_puts(out, "...");
            break;
        }
        if (p[i] == '\n')
            nn_buf_puts(out, "\\n");
        else
            nn_buf_putc(out, (unsigned char)p[i] < ' ' || p[i] == 127 ? '?' : p[i]);
    }
    nn_buf_putc(out, '\'');
}

/* "net.neural:5:5: fixed: correct the name: 'Dens' -> 'Dense'" */
static void tell_fix(const checked *c, const nn_fix *f, FILE *to) {
    NN_BUF line = {0};
    size_t old = f->span.end - f->span.begin, new = strlen(f->text);
    nn_buf_printf(&line, "%s:%d:%d: fixed: %s: ", c->src.name, f->span.line, f->span.col, f->what);
    if (!old) nn_buf_puts(&line, "inserted ");
    if (!new) nn_buf_puts(&line, "removed ");
    if (old) put_piece(c->src.text + f->span.begin, old, &line);
    if (old && new) nn_buf_puts(&line, " -> ");
    if (new) put_piece(f->text, new, &line);
    fprintf(to, "%s\n", nn_buf_str(&line));
}

static void note_fix(checked *c, const nn_fix *f) {
    nn_json *o = nn_json_new_object();
    nn_json_set(o, "description", nn_json_new_str(f->what));
    nn_json_set(o, "text", nn_json_new_str(f->text));
    nn_json_set(o, "line", nn_json_new_int(f->span.line));
    nn_json_set(o, "column", nn_json_new_int(f->span.col));
    nn_json_push(c->fixed, o);
}

/* One round: the fixes of one compilation. *ret_n: how many. */
static nn_status fix_once(checked *c, int *ret_n, nn_err *err) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "fix", (size_t)2 << 30);
    nn_diags *diags = nn_diags_new(arena, &c->src);
    const nn_diag *list[NN_DIAGS_MAX];
    nn_unit *u = NULL;
    nn_status s = nn_compile_source(arena, &c->src, &c->opt, diags, &u, err);
    if (s && s != NN_E_DSL_ERROR) return s;
    *ret_n = nn_diags_fixes(diags, list);
    if (!*ret_n) return NN_OK;
    bool standard = strcmp(c->path, "-") == 0;
    for (int i = 0; i < *ret_n; i++) {
        if (c->json)
            note_fix(c, &list[i]->fix);
        else
            tell_fix(c, &list[i]->fix, standard ? stderr : stdout);
    }
    NN_BUF text = {0};
    nn_diags_apply(diags, &text);
    char *copy =
        nn_buf_failed(&text) ? NULL : nn_arena_strndup(c->arena, nn_buf_str(&text), text.n);
    if (!copy)
        return nn_fail(err, NN_E_LIMIT, "%s: the fixed text does not fit into memory", c->path);
    c->src.text = copy;
    c->src.size = text.n;
    c->changed = true;
    return NN_OK;
}

/* A fix may make room for the next one; a file is written once, at the end. */
static nn_status fix_all(checked *c, nn_err *err) {
    bool standard = strcmp(c->path, "-") == 0;
    if (nn_source_is_json(&c->src)) {
        nn_status s = nn_fail(err, NN_E_UNSUPPORTED,
                              "%s: --fix changes programs; this is model_data", c->path);
        return nn_err_hint(err, s, "fix the program that it was made of");
    }
    for (int round = 0, n = 1; round < ROUNDS && n; round++) {
        nn_status s = fix_once(c, &n, err);
        if (s) return s;
    }
    if (standard) return c->json ? NN_OK : nn_print(c->src.text, c->src.size, err);
    return c->changed ? nn_cli_rewrite(c->path, c->src.text, c->src.size, err) : NN_OK;
}

/* ---- --findings ---- */

/* Those that the diagnostics do not hold already, in their form. */
static void print_findings(checked *c) {
    nn_diags *list = nn_diags_new(c->arena, &c->src);
    for (const nn_finding *f = nn_findings(c->arena, c->unit); list && f; f = f->next) {
        if (f->always) continue;
        list->warnings += f->severity == NN_SEV_WARNING;
        nn_diag *g = list->stored < NN_DIAGS_MAX ? NN_NEW(c->arena, nn_diag) : NULL;
        if (!g) continue;
        *g = (nn_diag){.severity = f->severity,
                       .code = f->code,
                       .span = f->span,
                       .message = f->message,
                       .hint = f->suggestion};
        nn_diag_note(list, g, (nn_span){0}, "%s%s%s", f->reason, f->improvement ? "; saves " : "",
                     f->improvement ? f->improvement : "");
        *list->tail = g;
        list->tail = &g->next;
        list->stored++;
    }
    if (list) nn_cli_print_diags(list);
}

static nn_json *findings_json(const checked *c) {
    nn_json *list = nn_json_new_array();
    if (!c->unit) return list;
    for (const nn_finding *f = nn_findings(c->arena, c->unit); f; f = f->next)
        nn_json_push(list, nn_finding_json(c->unit, f));
    return list;
}

/* ---- one file ---- */

static nn_json *check_json(const checked *c, const nn_err *err) {
    bool ok = c->unit || c->research;
    nn_json *o = nn_json_new_object();
    nn_json_set(o, "file", nn_json_new_str(c->path));
    nn_json_set(o, "ok", nn_json_new_bool(ok));
    nn_json_set(o, "error", ok ? nn_json_new_null() : nn_json_new_str(err->msg));
    nn_json_set(o, "diagnostics", c->diags ? nn_diags_json(c->diags) : nn_json_new_array());
    if (c->fix) nn_json_set(o, "fixed", nn_json_ref(c->fixed));
    if (c->fix && strcmp(c->path, "-") == 0)
        nn_json_set(o, "text", nn_json_new_strn(c->src.text, c->src.size));
    if (c->findings) nn_json_set(o, "findings", findings_json(c));
    if (c->unit) nn_json_set(o, "network", nn_cli_unit_json(c->unit));
    return o;
}

static bool only_misses_network(const nn_diags *d) {
    return d->errors == 1 && d->first && strcmp(d->first->code, "missing-network") == 0;
}

/* A research file has no network to compile: that it parses is all. */
static bool is_research(checked *c) {
    if (!only_misses_network(c->diags)) return false;
    nn_diags *diags = nn_diags_new(c->arena, &c->src);
    nn_program *tree = NULL;
    if (!diags || nn_source_parse(c->arena, &c->src, diags, &tree, NULL)) return false;
    if (!tree->research || diags->errors) return false;
    c->research = tree->research;
    c->diags = diags;
    return true;
}

static nn_status compile(checked *c, nn_err *err) {
    nn_status s = nn_source_read(c->arena, c->path, &c->src, err);
    if (!s && c->fix) s = fix_all(c, err);
    if (s) return s;
    c->diags = nn_diags_new(c->arena, &c->src);
    s = nn_compile_source(c->arena, &c->src, &c->opt, c->diags, &c->unit, err);
    return s == NN_E_DSL_ERROR && is_research(c) ? NN_OK : s;
}

static void print_ok(const checked *c) {
    FILE *to = c->fix && strcmp(c->path, "-") == 0 ? stderr : stdout; /* stdout has the text */
    char params[32];
    const nn_unit *u = c->unit;
    if (c->research) {
        fprintf(to, "%s: ok: research %s\n", c->src.name,
                *c->research->name ? c->research->name : "(unnamed)");
        return;
    }
    fprintf(to, "%s: ok: %s, %d layer%s, %s parameters%s\n", c->src.name,
            u->graph->name[0] ? u->graph->name : "(unnamed)", u->n_layers,
            u->n_layers == 1 ? "" : "s", nn_print_count(u->params, params),
            c->diags->warnings ? ", with warnings" : "");
}

static nn_status check_one(const nn_args *a, checked *c, nn_json *results, nn_err *err) {
    nn_status s = nn_cli_options(a, c->arena, &c->opt, err);
    if (!s) s = compile(c, err);
    if (s == NN_E_USAGE) return s;
    if (c->json) {
        nn_json_push(results, check_json(c, err));
        return s;
    }
    if (c->diags) nn_cli_print_diags(c->diags);
    if (s == NN_E_DSL_ERROR) return nn_cli_errors(c->diags, err);
    if (s) return s;
    if (c->findings && c->unit) print_findings(c);
    print_ok(c);
    return NN_OK;
}

static nn_status run_one(const nn_args *a, const char *path, nn_json *results, nn_err *err) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "check", (size_t)2 << 30);
    NN_JSON *fixed = nn_json_new_array();
    checked c = {.arena = arena,
                 .path = path,
                 .json = nn_opt_given(a, "json"),
                 .fix = nn_opt_given(a, "fix"),
                 .findings = nn_opt_given(a, "findings"),
                 .fixed = fixed};
    return check_one(a, &c, results, err);
}

static nn_status run_check(const nn_args *a, nn_err *err) {
    bool json = nn_opt_given(a, "json");
    nn_json *results = nn_json_new_array();
    nn_status worst = NN_OK;
    for (int i = 0; i < a->n_operands && worst != NN_E_USAGE; i++) {
        nn_err e = {0};
        nn_status s = run_one(a, a->operands[i], results, &e);
        if (!s) continue;
        if (!json && worst) nn_print_error(err);
        worst = s;
        *err = e;
    }
    if (!json || worst == NN_E_USAGE) {
        nn_json_unref(results);
        return worst;
    }
    nn_status s = nn_print_json(results, err);
    if (!s) err->msg[0] = 0; /* the diagnostics are in the output */
    return s ? s : worst;
}

/* clang-format off */
static const nn_option check_options[] = {
    {"fix",      0, NULL, "apply the fixes that the diagnostics bring; - writes the text to stdout", NULL},
    {"findings", 0, NULL, "also tell what could be better: bottlenecks, cheaper layers", NULL},
    NN_CLI_SET,
    NN_CLI_AUTO_FLATTEN,
    {"json",     0, NULL, "print diagnostics, shapes, fixes and findings as JSON", NULL},
    {0}
};
/* clang-format on */
const nn_command nn_command_check = {
    .operands = "FILE...",
    .min_operands = 1,
    .max_operands = NN_CLI_OPERANDS,
    .options = check_options,
    .run = run_check,
    .description =
        "Parses each network, checks its parameters and shapes, and reports every error in one pass.\n"
        "FILE is a program or model_data (JSON), or - for standard input. With --fix, spelling,\n"
        "missing layers and the like are put right in the file, until nothing more can be.",
    .examples = "  neural check examples/*.neural\n"
                "  neural check --fix net.neural\n"
                "  neural check --findings net.neural"};
