/* SPDX-License-Identifier: MIT */
/* golden.c - tests/golden/<name>.case: programs with what they must come to. A file holds cases:
 *
 *     === title                  (with " [auto_flatten]" at the end: that option on)
 *     the program
 *     --- shapes                 one line a layer: name type shape parameters/trainable
 *     --- graph                  as nn_graph_print, without the first line
 *     --- flops                  one line a layer: name flops
 *     --- train                  the training specification
 *     --- findings               line:col code: message (those that every check tells included)
 *     --- points                 the search space: path alias chosen-value
 *     --- model_data             the canonical JSON, without spans
 *     --- reference              the reference's JSON
 *     --- derivation             of shape errors: layer: input -> output
 *     --- diagnostics            line:col severity code: message; then its hint as "  hint: …"
 *
 * A case has the sections that it is about; one without diagnostics must have none but notes. Lines
 * that begin with "% " are remarks: how an expected value was worked out. */
#include "base/file.h"
#include "compile/findings.h"
#include "compile/model_data.h"
#include "compile/space.h"
#include "t.h"

#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what a compilation came to, section by section ---- */

static void shapes_of(const nn_unit *u, nn_buf *out) {
    char s[160];
    for (int i = 0; i < u->n_layers; i++) {
        const nn_unit_layer *l = &u->layers[i];
        nn_buf_printf(out, "%s %s %s %" PRId64 "/%" PRId64 "\n", l->name, l->type,
                      nn_shape_print(&l->out, false, s, sizeof s), l->params, l->trainable);
    }
}

static void graph_of(const nn_unit *u, nn_buf *out) {
    NN_BUF text = {0};
    nn_graph_print(u->graph, &text);
    nn_buf_puts(out, strchr(nn_buf_str(&text), '\n') + 1);
}

static void flops_of(const nn_unit *u, nn_buf *out) {
    for (int i = 0; i < u->n_layers; i++)
        nn_buf_printf(out, "%s %" PRId64 "\n", u->layers[i].name, u->layers[i].flops);
}

/* An owner's fields that files need not hold, or all of its own. */
static void fields_of(nn_fields t, const void *owner, bool all, nn_buf *out) {
    for (int i = 0; i < t.n; i++) {
        const nn_train_field *f = &t.field[i];
        if ((t.own >> i & 1) && (all || !f->always))
            nn_buf_printf(out, " %s=%g", f->name, nn_field_get(f, owner));
    }
    nn_buf_putc(out, '\n');
}

static void schedule_of(const nn_schedule *s, nn_buf *out) {
    if (s->kind == NN_SCHEDULE_NONE) return;
    nn_buf_printf(out, "schedule %s", nn_schedule_name(s->kind));
    for (int i = 0; i < s->n_values; i++) {
        nn_buf_printf(out, " %g", s->values[i]);
        if (i + 1 < s->n_values) nn_buf_printf(out, " to %" PRId64, s->boundaries[i]);
    }
    fields_of(nn_schedule_fields(s->kind), s, true, out);
}

/* What few programs say: a line each, where it is not the default. */
static void rare_of(const nn_train_spec *t, nn_buf *out) {
    const nn_early_stopping *e = &t->early_stopping;
    if (e->on)
        nn_buf_printf(out, "early_stopping patience=%" PRId64 " monitor=%s min_delta=%g%s\n",
                      e->patience, e->monitor, e->min_delta,
                      e->restore_best ? " restore_best" : "");
    const nn_class_weight *w = &t->class_weight;
    if (w->balanced) nn_buf_puts(out, "class_weight balanced\n");
    for (int i = 0; i < w->n; i++)
        nn_buf_printf(out, "%s%g%s", i ? "," : "class_weight ", w->of[i], i + 1 < w->n ? "" : "\n");
    if (*t->callbacks) nn_buf_printf(out, "callbacks %s\n", t->callbacks);
    if (*t->save_path) nn_buf_printf(out, "save_path %s\n", t->save_path);
    if (*t->search_method) nn_buf_printf(out, "search_method %s\n", t->search_method);
    if (t->mixed_precision) nn_buf_puts(out, "mixed_precision\n");
    if (*t->strategy || t->precision)
        nn_buf_printf(out, "execution precision=%s strategy=%s\n", nn_precision_name(t->precision),
                      t->strategy);
}

static void train_of(const nn_unit *u, nn_buf *out) {
    const nn_train_spec *t = &u->graph->train;
    const nn_optimizer *o = &t->optimizer;
    nn_buf_printf(out, "loss %s%s%s smoothing=%g", nn_loss_name(t->loss),
                  t->has_loss ? "" : " (derived)", t->from_logits ? " from_logits" : "",
                  t->label_smoothing);
    if (t->loss == NN_LOSS_CUSTOM) nn_buf_printf(out, " %s", t->custom_loss);
    fields_of(nn_loss_fields(t->loss), t, false, out);
    nn_buf_printf(
        out, "optimizer %s%s lr=%g momentum=%g beta=%g,%g epsilon=%g decay=%g clip=%g,%g,%g%s%s",
        nn_optimizer_name(o->kind), t->has_optimizer ? "" : " (default)", o->learning_rate,
        o->momentum, o->beta_1, o->beta_2, o->epsilon, o->weight_decay, o->clipnorm, o->clipvalue,
        o->global_clipnorm, o->nesterov ? " nesterov" : "", o->amsgrad ? " amsgrad" : "");
    fields_of(nn_optimizer_fields(o->kind), o, false, out);
    schedule_of(&o->schedule, out);
    nn_buf_puts(out, "metrics");
    for (int i = 0; i < NN_TRAIN_METRIC_COUNT; i++)
        if (t->metrics >> i & 1)
            nn_buf_printf(out, " %s", nn_train_metric_name((nn_train_metric)i));
    if (t->metrics & NN_METRIC_TOP_K) nn_buf_printf(out, " k=%" PRId64, t->top_k);
    nn_buf_printf(out, "\ntrain epochs=%" PRId64 " batch=%" PRId64 " split=%g steps=%" PRId64 "%s",
                  t->epochs, t->batch_size, t->validation_split, t->steps_per_epoch,
                  t->shuffle ? " shuffle" : "");
    if (t->seeded) nn_buf_printf(out, " seed=%" PRIu64, t->seed);
    nn_buf_printf(out, " data=%s device=%s\n", t->dataset, t->device);
    rare_of(t, out);
}

static void findings_of(const nn_unit *u, nn_buf *out) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "findings", 0);
    for (const nn_finding *f = nn_findings(arena, u); f; f = f->next)
        nn_buf_printf(out, "%d:%d %s: %s\n", f->span.line, f->span.col, f->code, f->message);
}

static void points_of(const nn_unit *u, nn_buf *out) {
    for (int i = 0; i < u->space->n; i++) {
        const nn_search_point *p = &u->space->points[i];
        NN_JSON *v = nn_value_json(p->chosen);
        nn_buf_printf(out, "%s %s ", p->path, p->alias);
        nn_json_dump(v, 0, out);
        nn_buf_printf(out, "%s\n", p->active ? "" : " (not active)");
    }
}

static void remove_spans(nn_json *list) {
    for (size_t i = 0; i < nn_json_size(list); i++) {
        nn_json_del(nn_json_at(list, i), "span");
        remove_spans(nn_json_get(nn_json_at(list, i), "sublayers"));
    }
}

static void model_data_of(const nn_unit *u, nn_buf *out) {
    NN_JSON *v = nn_model_data(u, NN_MODEL_DATA_CANONICAL);
    remove_spans(nn_json_get(v, "layers"));
    nn_json_dump(v, 0, out);
    nn_buf_putc(out, '\n');
}

static void reference_of(const nn_unit *u, nn_buf *out) {
    NN_JSON *v = nn_model_data(u, NN_MODEL_DATA_REFERENCE);
    nn_json_dump(v, 0, out);
    nn_buf_putc(out, '\n');
}

static void derivation_of(const nn_diags *d, nn_buf *out) {
    for (const nn_diag *g = d->first; g; g = g->next)
        for (const struct nn_derivation *s = g->steps; s; s = s->next)
            nn_buf_printf(out, "%s: %s -> %s\n", s->layer, s->in ? s->in : "input",
                          s->out ? s->out : "?");
}

static void diagnostics_of(const nn_diags *d, nn_buf *out) {
    int n;
    const nn_diag **list = nn_diags_sorted(d, &n);
    for (int i = 0; list && i < n; i++) {
        const nn_diag *g = list[i];
        nn_buf_printf(out, "%d:%d %s %s: %s\n", g->span.line, g->span.col,
                      nn_severity_name(g->severity), g->code, g->message);
        for (const struct nn_note *x = g->notes; x; x = x->next)
            nn_buf_printf(out, "  note: %s\n", x->text);
        if (g->hint) nn_buf_printf(out, "  hint: %s\n", g->hint);
        if (g->fix.what)
            nn_buf_printf(out, "  fix: \"%s\" at %d:%d\n", g->fix.text, g->fix.span.line,
                          g->fix.span.col);
    }
    free(list);
}

typedef struct run {
    nn_unit *unit; /* NULL: rejected */
    nn_diags *diags;
} run;

static bool section_of(const run *r, const char *name, nn_buf *out) {
    static const struct {
        const char *name;
        void (*fn)(const nn_unit *, nn_buf *);
    } of_unit[] = {
        {"shapes",     shapes_of    },
        {"graph",      graph_of     },
        {"flops",      flops_of     },
        {"train",      train_of     },
        {"findings",   findings_of  },
        {"points",     points_of    },
        {"model_data", model_data_of},
        {"reference",  reference_of },
    };
    bool derivation = strcmp(name, "derivation") == 0;
    if (derivation || strcmp(name, "diagnostics") == 0) {
        (derivation ? derivation_of : diagnostics_of)(r->diags, out);
        return true;
    }
    for (size_t i = 0; i < sizeof of_unit / sizeof of_unit[0]; i++) {
        if (strcmp(name, of_unit[i].name) != 0) continue;
        if (r->unit) of_unit[i].fn(r->unit, out);
        if (!r->unit) diagnostics_of(r->diags, out); /* what stands in the way */
        return true;
    }
    return false;
}

/* ---- reading a file of cases ---- */

typedef struct reader {
    const char *file;
    char *line, *next; /* NULL at the end */
    int number, failed, cases;
} reader;

static void step(reader *r) {
    r->line = r->next;
    if (!r->line) return;
    r->number++;
    char *end = strchr(r->line, '\n');
    if (end) *end = 0;
    r->next = end && end[1] ? end + 1 : NULL;
}

static bool at(const reader *r, const char *mark) {
    return r->line && strncmp(r->line, mark, strlen(mark)) == 0;
}

/* The lines up to the next mark. Remarks and empty lines are left out, or, where lines are counted,
 * empty. */
static void collect(reader *r, bool counted, nn_buf *to) {
    for (step(r); r->line && !at(r, "=== ") && !at(r, "--- "); step(r)) {
        bool said = *r->line && !at(r, "% ");
        if (said) nn_buf_puts(to, r->line);
        if (said || counted) nn_buf_putc(to, '\n');
    }
}

static void compare(reader *r, const char *title, const char *section, const char *want,
                    const char *got) {
    if (strcmp(want, got) == 0) return;
    r->failed++;
    print_error("%s: '%s', %s\n  expected:\n%s  got:\n%s\n", r->file, title, section, want, got);
}

static void run_case(reader *r) {
    char title[200];
    snprintf(title, sizeof title, "%s", r->line + 4);
    nn_compile_options opt = {.auto_flatten = strstr(title, "[auto_flatten]") != NULL};
    NN_BUF program = {0};
    collect(r, true, &program);
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "case", 0);
    nn_source src = {r->file, nn_buf_str(&program), program.n};
    run x = {.diags = nn_diags_new(arena, &src)};
    nn_err err;
    nn_compile(arena, &src, &opt, x.diags, &x.unit, &err);
    bool diagnosed = false;
    while (at(r, "--- ")) {
        char section[40];
        snprintf(section, sizeof section, "%s", r->line + 4);
        NN_BUF want = {0};
        NN_BUF got = {0};
        collect(r, false, &want);
        diagnosed |= strcmp(section, "diagnostics") == 0;
        if (!section_of(&x, section, &got)) fail_msg("%s: no section '%s'", r->file, section);
        compare(r, title, section, nn_buf_str(&want), nn_buf_str(&got));
    }
    NN_BUF said = {0};
    if (!diagnosed && (x.diags->errors || x.diags->warnings)) diagnostics_of(x.diags, &said);
    compare(r, title, "diagnostics", "", nn_buf_str(&said));
    r->cases++;
}

static void run_file(const char *path, int *failed, int *cases) {
    NN_BUF text = {0};
    nn_err err;
    CHECK_OK(nn_file_read(path, 1 << 20, &text, &err), &err);
    reader r = {.file = path, .next = text.p};
    step(&r);
    while (r.line)
        if (at(&r, "=== "))
            run_case(&r);
        else
            step(&r);
    *failed += r.failed;
    *cases += r.cases;
}

TEST(golden) {
    glob_t g;
    assert_int_equal(glob("tests/golden/*.case", 0, NULL, &g), 0);
    int failed = 0, cases = 0;
    for (size_t i = 0; i < g.gl_pathc; i++) run_file(g.gl_pathv[i], &failed, &cases);
    print_message("%zu files, %d cases\n", g.gl_pathc, cases);
    globfree(&g);
    assert_true(cases > 0);
    assert_int_equal(failed, 0);
}

/* Every layer has a file of its own. */
TEST(golden_has_every_layer) {
    for (unsigned i = 0; nn_layer_at(i); i++) {
        char path[128];
        snprintf(path, sizeof path, "tests/golden/%s.case", nn_layer_at(i)->base);
        NN_BUF text = {0};
        nn_err err;
        CHECK_OK(nn_file_read(path, 1 << 20, &text, &err), &err);
    }
}

/* Every example of the repository compiles without a word. */
TEST(examples) {
    glob_t g;
    assert_int_equal(glob("examples/*.neural", 0, NULL, &g), 0);
    assert_true(g.gl_pathc >= 3);
    for (size_t i = 0; i < g.gl_pathc; i++) {
        NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "example", 0);
        nn_source src;
        nn_err err;
        CHECK_OK(nn_source_read(arena, g.gl_pathv[i], &src, &err), &err);
        nn_diags *d = nn_diags_new(arena, &src);
        nn_unit *u = NULL;
        CHECK_OK(nn_compile(arena, &src, NULL, d, &u, &err), &err);
        if (d->warnings || d->stored) fail_msg("%s is not clean", g.gl_pathv[i]);
    }
    globfree(&g);
}
