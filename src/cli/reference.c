/* SPDX-License-Identifier: MIT */
/* reference.c - the reference pages as Markdown, printed from the tables that the program works by,
 * so that they cannot say anything else. */
#include "base/config.h"
#include "base/nearest.h"
#include "cli/cli.h"
#include "compile/findings.h"
#include "engine/health.h"
#include "lang/cells.h"

#include <math.h>
#include <string.h>

/* A page: a list of entries, each with a name. */
typedef struct topic {
    const char *name, *title;
    const char *intro;                    /* may be NULL */
    const char *heading;                  /* entries are rows of a table under it; NULL: sections */
    const char *(*name_at)(unsigned i);   /* NULL past the last */
    void (*put)(unsigned i, nn_buf *out); /* a row without its name, or a section */
    const nn_layer *(*find_layer)(const char *s); /* finds aliases, too; may be NULL */
    void (*after)(nn_buf *out);                   /* what follows the entries; may be NULL */
} topic;

/* ---- cells ---- */

/* Text in a table or a paragraph: '|' would end a cell; bytes that are not UTF-8 are spelled. */
static void put_text(const char *s, nn_buf *out) {
    for (int n; *s; s += n) {
        uint32_t c = 0;
        n = nn_char_read(s, strlen(s), &c);
        if (*s == '|' || *s == '<') nn_buf_putc(out, '\\');
        if (n)
            nn_buf_append(out, s, (size_t)n);
        else
            nn_buf_printf(out, "\\x%02x", (unsigned char)*s);
        if (!n) n = 1;
    }
}

/* "a|b" as `a`, `b`. */
static void put_words(const char *list, nn_buf *out) {
    for (const char *w = list; w && *w; w += *w == '|') {
        size_t n = strcspn(w, "|");
        nn_buf_printf(out, "%s`%.*s`", w == list ? "" : ", ", (int)n, w);
        w += n;
    }
}

static void put_code(const char *s, nn_buf *out) {
    if (!s || !*s) return;
    nn_buf_putc(out, '`');
    put_text(s, out);
    nn_buf_putc(out, '`');
}

/* "from 1", "above 0, at most 1". */
static void put_bounds(const nn_param *p, nn_buf *out) {
    nn_buf_printf(out, "%s %g", p->above_min ? "above" : "from", p->min);
    if (p->max != 0 && p->max < 1e15)
        nn_buf_printf(out, "%s %g",
                      p->below_max   ? ", below"
                      : p->above_min ? ", at most"
                                     : " to",
                      p->max);
}

/* An example program, in a block of its own. */
static void put_example(const char *text, nn_buf *out) {
    nn_buf_puts(out, "\n```\n");
    for (int n; *text; text += n) {
        uint32_t c = 0;
        n = nn_char_read(text, strlen(text), &c);
        if (n)
            nn_buf_append(out, text, (size_t)n);
        else
            nn_buf_printf(out, "\\x%02x", (unsigned char)*text);
        if (!n) n = 1;
    }
    nn_buf_puts(out, "\n```\n");
}

/* ---- layers ---- */

static const char *const type_names[] = {
    [NN_P_INT] = "integer",
    [NN_P_FLOAT] = "number",
    [NN_P_BOOL] = "true or false",
    [NN_P_STRING] = "text",
    [NN_P_ENUM] = "word",
    [NN_P_DIMS] = "integer or tuple",
    [NN_P_SHAPE] = "shape",
    [NN_P_PADDING] = "padding",
    [NN_P_ACTIVATION] = "activation",
    [NN_P_INITIALIZER] = "initializer",
    [NN_P_REGULARIZER] = "regularizer",
    [NN_P_CONSTRAINT] = "constraint",
    [NN_P_BORDER] = "integer, tuple or pairs",
    [NN_P_AXES] = "integer or pair",
    [NN_P_LAYER] = "layer",
    [NN_P_NAMES] = "name or list of names",
    [NN_P_ANY] = "anything",
};

static void put_range(const nn_param *p, nn_buf *out) {
    bool number = p->type == NN_P_INT || p->type == NN_P_FLOAT || p->type == NN_P_DIMS ||
                  p->type == NN_P_BORDER || p->type == NN_P_AXES;
    if (p->type == NN_P_ENUM)
        put_words(p->words, out);
    else if (p->type == NN_P_PADDING)
        nn_buf_puts(out, "`valid`, `same`, numbers");
    else if (number && p->min > -1e15)
        put_bounds(p, out);
}

static void put_param(const nn_param *p, nn_buf *out) {
    nn_buf_printf(out, "| `%s` | %s | ", p->name, type_names[p->type]);
    if (p->required)
        nn_buf_puts(out, "required");
    else
        put_code(p->fallback, out);
    nn_buf_puts(out, " | ");
    put_range(p, out);
    nn_buf_puts(out, " | ");
    put_words(p->aliases, out);
    nn_buf_puts(out, " | ");
    put_text(p->help ? p->help : "", out);
    nn_buf_puts(out, " |\n");
}

static const char param_heading[] = "\n| parameter | type | default | range | also | meaning |\n"
                                    "|---|---|---|---|---|---|\n";

static const char *layer_at(unsigned i) {
    return nn_layer_at(i) ? nn_layer_at(i)->name : NULL;
}

static void put_inputs(const nn_layer *l, nn_buf *out) {
    enum { MANY = NN_MAX_INPUTS };
    if (!l->max_inputs || (l->min_inputs == 1 && l->max_inputs == 1)) return;
    if (l->min_inputs == l->max_inputs)
        nn_buf_printf(out, "Inputs: %d.\n", l->min_inputs);
    else if (l->max_inputs >= MANY)
        nn_buf_printf(out, "Inputs: %d or more.\n", l->min_inputs);
    else
        nn_buf_printf(out, "Inputs: %d to %d.\n", l->min_inputs, l->max_inputs);
}

/* Dense(units, activation): what may be given without its name. */
static void put_call(const nn_layer *l, nn_buf *out) {
    const char *comma = "";
    nn_buf_printf(out, "`%s(", l->name);
    for (const nn_param *p = l->params; p->name; p++) {
        if (!p->positional) continue;
        nn_buf_printf(out, "%s%s", comma, p->name);
        comma = ", ";
    }
    nn_buf_printf(out, "%s)%s`",
                  *comma && l->params[0].name ? ", …"
                  : l->params[0].name         ? "…"
                                              : "",
                  l->block == NN_BLOCK_REQUIRED   ? " { … }"
                  : l->block == NN_BLOCK_OPTIONAL ? " [{ … }]"
                                                  : "");
}

static void put_layer(unsigned i, nn_buf *out) {
    const nn_layer *l = nn_layer_at(i);
    put_call(l, out);
    nn_buf_puts(out, " ");
    put_text(l->summary, out);
    nn_buf_printf(out, "\n\nFamily: %s.\n", l->family);
    if (l->rule) {
        nn_buf_puts(out, "Shape: ");
        put_text(l->rule, out);
        nn_buf_puts(out, ".\n");
    }
    if (l->aliases) {
        nn_buf_puts(out, "Also: ");
        put_words(l->aliases, out);
        nn_buf_puts(out, ".\n");
    }
    put_inputs(l, out);
    if (l->reserved) nn_buf_printf(out, "Checked, but not run: %s.\n", l->reserved);
    if (!l->params[0].name) return;
    nn_buf_puts(out, param_heading);
    for (const nn_param *p = l->params; p->name; p++) put_param(p, out);
}

static void put_common(nn_buf *out) {
    nn_buf_puts(out, "\n### Every layer\n\nWhat every layer takes as well.\n");
    nn_buf_puts(out, param_heading);
    for (int i = 0; i < NN_COMMON_COUNT; i++) put_param(&nn_layer_common[i], out);
}

/* ---- activations, metrics ---- */

static const struct activation {
    const char *name, *alias;
    double alpha;
} activations[] = {
#define NN_ACT(N, n, alias, alpha) {#n, alias, alpha},
#include "graph/activations.def"
#undef NN_ACT
};

static const char *activation_at(unsigned i) {
    const char *const *names = nn_activation_names();
    for (unsigned k = 0; k < i && *names; k++) names++;
    return *names;
}

static void put_activation(unsigned i, nn_buf *out) {
    const char *name = activation_at(i);
    for (size_t k = 0; k < sizeof activations / sizeof activations[0]; k++) {
        const struct activation *a = &activations[k];
        if (strcmp(a->name, name) != 0) continue;
        put_words(a->alias, out);
        nn_buf_puts(out, " | ");
        if (a->alpha != 0) nn_buf_printf(out, "%g", a->alpha);
        return;
    }
    nn_buf_puts(out, " | ");
}

static const char *metric_at(unsigned i) {
    return i < NN_TRAIN_METRIC_COUNT ? nn_train_metric_name((nn_train_metric)i) : NULL;
}

static void put_metric(unsigned i, nn_buf *out) {
    put_words(nn_train_metric_aliases()[i], out);
}

/* ---- losses, optimizers, schedules ---- */

static void put_fields(nn_fields t, const void *owner, nn_buf *out) {
    static const char *const types[] = {"number", "integer", "true or false"};
    if (!t.own) return;
    nn_buf_puts(out, "\n| argument | type | default | range | also | meaning |\n"
                     "|---|---|---|---|---|---|\n");
    for (int i = 0; i < t.n; i++) {
        const nn_train_field *f = &t.field[i];
        if (!(t.own >> i & 1)) continue;
        nn_buf_printf(out, "| `%s` | %s | ", f->name, types[f->type]);
        if (f->required)
            nn_buf_puts(out, "required");
        else if (f->type == NN_TRAIN_FLAG)
            nn_buf_puts(out, nn_field_get(f, owner) != 0 ? "`true`" : "`false`");
        else
            nn_buf_printf(out, "`%g`", nn_field_get(f, owner));
        nn_buf_printf(out, " | %s | ", f->type == NN_TRAIN_FLAG ? "" : nn_field_expects(f));
        put_words(f->aliases, out);
        nn_buf_puts(out, " | ");
        put_text(f->help ? f->help : "", out);
        nn_buf_puts(out, " |\n");
    }
}

static const char *loss_at(unsigned i) {
    return i < NN_LOSS_CUSTOM ? nn_loss_name((nn_loss_kind)i) : NULL;
}

static void put_loss(unsigned i, nn_buf *out) {
    static const char *const targets[] = {"a class a sample: its index, or one-hot",
                                          "numbers shaped as the output",
                                          "a list of classes a sample"};
    const nn_train_spec t = nn_train_default();
    nn_buf_printf(out, "Targets: %s.\n", targets[nn_loss_targets((nn_loss_kind)i)]);
    if (*nn_loss_aliases()[i]) {
        nn_buf_puts(out, "Also: ");
        put_words(nn_loss_aliases()[i], out);
        nn_buf_puts(out, ".\n");
    }
    put_fields(nn_loss_fields((nn_loss_kind)i), &t, out);
}

static const char *optimizer_at(unsigned i) {
    return i < NN_OPTIMIZER_COUNT ? nn_optimizer_names()[i] : NULL;
}

static void put_optimizer(unsigned i, nn_buf *out) {
    const nn_optimizer o = nn_optimizer_default((nn_optimizer_kind)i);
    nn_buf_printf(out, "Values kept a weight: at most %d.\n",
                  nn_optimizer_slots((nn_optimizer_kind)i));
    put_fields(nn_optimizer_fields((nn_optimizer_kind)i), &o, out);
}

static const char *schedule_at(unsigned i) {
    return i < NN_SCHEDULE_COUNT ? nn_schedule_name((nn_schedule_kind)i) : NULL;
}

static void put_schedule(unsigned i, nn_buf *out) {
    const nn_schedule s = nn_schedule_default((nn_schedule_kind)i);
    if (i == NN_SCHEDULE_PIECEWISE)
        nn_buf_printf(
            out,
            "`boundaries`: a list of steps; `values`: a list of one more rates (at most %d); "
            "`values[i]` holds up to step `boundaries[i]`, the last one after that.\n",
            NN_SCHEDULE_VALUES);
    put_fields(nn_schedule_fields((nn_schedule_kind)i), &s, out);
}

/* ---- messages, findings, errors ---- */

static const char *message_at(unsigned i) {
    nn_severity s;
    const char *meaning, *example;
    return nn_message_at(i, &s, &meaning, &example);
}

static void put_message(unsigned i, nn_buf *out) {
    nn_severity s;
    const char *meaning, *example;
    nn_message_at(i, &s, &meaning, &example);
    nn_buf_printf(out, "%s: ", nn_severity_name(s));
    put_text(meaning, out);
    nn_buf_putc(out, '\n');
    put_example(example, out);
}

static const char *finding_at(unsigned i) {
    nn_finding_kind kind;
    bool always;
    const char *meaning, *example;
    return nn_finding_at(i, &kind, &always, &meaning, &example);
}

static void put_finding(unsigned i, nn_buf *out) {
    static const char *const kinds[] = {"warning", "information", "bottleneck", "optimization"};
    nn_finding_kind kind;
    bool always;
    const char *meaning, *example;
    nn_finding_at(i, &kind, &always, &meaning, &example);
    nn_buf_printf(out, "%s, told by %s: ", kinds[kind],
                  always ? "every check" : "`neural check --findings`");
    put_text(meaning, out);
    nn_buf_putc(out, '\n');
    put_example(example, out);
}

static const char *error_at(unsigned i) {
    return i < NN_ORD_COUNT ? nn_status_code((nn_status)(-1 - (int)i)) : NULL;
}

static void put_error(unsigned i, nn_buf *out) {
    nn_status s = (nn_status)(-1 - (int)i);
    nn_buf_printf(out, "%d | %d | %s | ", nn_status_http(s), nn_status_exit(s),
                  nn_status_retryable(s) ? "yes" : "no");
    put_text(nn_status_text(s), out);
}

/* ---- commands, config ---- */

static const char *command_at(unsigned i) {
    return nn_command_at(i) ? nn_command_at(i)->name : NULL;
}

static void put_option(const nn_option *o, nn_buf *out) {
    nn_buf_puts(out, "| `");
    if (o->letter) nn_buf_printf(out, "-%c`, `", o->letter);
    nn_buf_printf(out, "--%s%s", o->name, o->value ? " " : "");
    put_text(o->value ? o->value : "", out);
    nn_buf_puts(out, "` | ");
    put_words(o->words, out);
    nn_buf_puts(out, " | ");
    put_text(o->help, out);
    nn_buf_puts(out, " |\n");
}

static void put_command(unsigned i, nn_buf *out) {
    const nn_command_row *r = nn_command_at(i);
    const nn_command *c = r->command;
    nn_buf_printf(out, "`neural %s%s%s%s`: ", r->name, c->operands ? " " : "",
                  c->operands ? c->operands : "", c->options ? " [options]" : "");
    put_text(r->summary, out);
    nn_buf_puts(out, ".\n");
    if (c->description) {
        nn_buf_putc(out, '\n');
        put_text(c->description, out);
        nn_buf_putc(out, '\n');
    }
    if (c->options) nn_buf_puts(out, "\n| option | one of | meaning |\n|---|---|---|\n");
    for (const nn_option *o = c->options; o && o->name; o++) put_option(o, out);
    if (c->own_flags) nn_buf_puts(out, "\nAlso takes every setting as `--key value`.\n");
    if (c->examples) nn_buf_printf(out, "\n```sh\n%s\n```\n", c->examples);
}

static const char *setting_at(unsigned i) {
    return i < NN_CFG_COUNT ? nn_config_row((nn_cfg)i)->key : NULL;
}

static void put_setting(unsigned i, nn_buf *out) {
    static const char *const types[] = {"text",  "secret", "word",          "integer",
                                        "bytes", "number", "true or false", "list"};
    const nn_cfg_row *r = nn_config_row((nn_cfg)i);
    nn_buf_printf(out, "%s | ", types[r->type]);
    put_code(r->otherwise, out);
    nn_buf_puts(out, " | ");
    put_text(r->rule, out);
    nn_buf_puts(out, " | ");
    if (*r->flag) nn_buf_printf(out, "`--%s`", r->flag);
    nn_buf_printf(out, " | %s | ", r->names);
    put_text(r->help, out);
}

/* ---- training health ---- */

static const char *health_at(unsigned i) {
    return i < NN_HEALTH_COUNT ? nn_train_health_name((nn_train_health_rule)i) : NULL;
}

static void put_health(unsigned i, nn_buf *out) {
    nn_buf_printf(out, "%s | %s", nn_train_health_when((nn_train_health_rule)i),
                  nn_train_health_advice((nn_train_health_rule)i));
}

/* ---- the pages ---- */

/* clang-format off */
static const topic topics[] = {
    {.name = "layers",
     .title = "Layers",
     .intro = "Names are read in any letter case. What stands between the parentheses may be given without\n"
              "its name, in that order; everything may be given as `name=value`.",
     .name_at = layer_at,
     .put = put_layer,
     .find_layer = nn_layer_find,
     .after = put_common},
    {.name = "activations",
     .title = "Activations",
     .heading = "| activation | also | alpha |\n|---|---|---|\n",
     .name_at = activation_at,
     .put = put_activation},
    {.name = "losses",
     .title = "Losses",
     .intro = "`loss: mse`, or with arguments `loss: huber(delta=2)`.",
     .name_at = loss_at,
     .put = put_loss},
    {.name = "optimizers",
     .title = "Optimizers",
     .intro = "`optimizer: Adam(learning_rate=0.001)`.",
     .name_at = optimizer_at,
     .put = put_optimizer},
    {.name = "schedules",
     .title = "Learning-rate schedules",
     .intro = "`optimizer: SGD(learning_rate=ExponentialDecay(0.1, 1000, 0.96))`. Steps are updates.",
     .name_at = schedule_at,
     .put = put_schedule},
    {.name = "metrics",
     .title = "Metrics",
     .intro = "`metrics: [accuracy, f1]`.",
     .heading = "| metric | also |\n|---|---|\n",
     .name_at = metric_at,
     .put = put_metric},
    {.name = "messages",
     .title = "Messages",
     .intro = "Every diagnostic ends with its code in brackets. Each is shown with a program that provokes it.",
     .name_at = message_at,
     .put = put_message},
    {.name = "findings",
     .title = "Findings",
     .intro = "What is legal and probably not meant, or could be cheaper.",
     .name_at = finding_at,
     .put = put_finding},
    {.name = "health",
     .title = "Training health",
     .intro = "What `neural train` and the server say about a training while it runs, once for each layer.",
     .heading = "| rule | when | advice |\n|---|---|---|\n",
     .name_at = health_at,
     .put = put_health},
    {.name = "errors",
     .title = "Errors",
     .intro = "The `code` of an answer of the server, its HTTP status, and the exit status of a command.",
     .heading = "| code | HTTP | exit | try again | meaning |\n|---|---|---|---|---|\n",
     .name_at = error_at,
     .put = put_error},
    {.name = "commands",
     .title = "Commands",
     .name_at = command_at,
     .put = put_command},
    {.name = "config",
     .title = "Settings",
     .intro = "A setting `a.b` is the flag `--a.b`, the variable `NEURAL_A_B`, or `a: {b: …}` in the file given\n"
              "with `--config`. From strong to weak: flag, variable, `.env`, file, default.",
     .heading = "| setting | type | default | rule | flag | variables | meaning |\n"
                "|---|---|---|---|---|---|---|\n",
     .name_at = setting_at,
     .put = put_setting},
};
/* clang-format on */
enum { TOPICS = sizeof topics / sizeof topics[0] };

static void put_entry(const topic *t, unsigned i, nn_buf *out) {
    if (t->heading)
        nn_buf_printf(out, "| `%s` | ", t->name_at(i));
    else
        nn_buf_printf(out, "\n### %s\n\n", t->name_at(i));
    t->put(i, out);
    if (t->heading) nn_buf_puts(out, " |\n");
}

static void put_page(const topic *t, nn_buf *out) {
    nn_buf_printf(out, "## %s\n", t->title);
    if (t->intro) nn_buf_printf(out, "\n%s\n", t->intro);
    if (t->heading) nn_buf_printf(out, "\n%s", t->heading);
    for (unsigned i = 0; t->name_at(i); i++) put_entry(t, i, out);
    if (t->after) t->after(out);
}

static nn_status find_topic(const char *name, const topic **ret, nn_err *err) {
    const char *names[TOPICS + 1] = {0};
    NN_BUF list = {0};
    for (int i = 0; i < TOPICS; i++) {
        names[i] = topics[i].name;
        nn_buf_printf(&list, "%s%s", i ? ", " : "", names[i]);
        if (strcmp(names[i], name) != 0) continue;
        *ret = &topics[i];
        return NN_OK;
    }
    const char *near = nn_nearest(name, names);
    nn_status s = nn_fail(err, NN_E_USAGE, "reference: there is no page '%.60s'", name);
    return near ? nn_err_hint(err, s, "did you mean '%s'?", near)
                : nn_err_hint(err, s, "pages: %s", nn_buf_str(&list));
}

/* The entry of that name, in any letter case, or of an alias. */
static nn_status find_entry(const topic *t, const char *name, unsigned *ret, nn_err *err) {
    enum { MOST = 256 };
    const char *names[MOST + 1];
    const nn_layer *l = t->find_layer ? t->find_layer(name) : NULL;
    unsigned n = 0;
    for (; t->name_at(n); n++) {
        if (nn_name_equal(t->name_at(n), l ? l->name : name)) {
            *ret = n;
            return NN_OK;
        }
        if (n < MOST) names[n] = t->name_at(n);
    }
    names[n < MOST ? n : MOST] = NULL;
    const char *near = nn_nearest(name, names);
    nn_status s = nn_fail(err, NN_E_USAGE, "reference: %s has no entry '%.60s'", t->name, name);
    return near ? nn_err_hint(err, s, "did you mean '%s'?", near)
                : nn_err_hint(err, s, "`neural reference %s` lists them", t->name);
}

static nn_status print_entry(const topic *t, const char *name, nn_err *err) {
    NN_BUF out = {0};
    unsigned i;
    nn_status s = find_entry(t, name, &i, err);
    if (s) return s;
    if (t->heading) nn_buf_puts(&out, t->heading);
    put_entry(t, i, &out);
    size_t skip = *nn_buf_str(&out) == '\n';
    return nn_print(nn_buf_str(&out) + skip, out.n - skip, err);
}

static nn_status run_reference(const nn_args *a, nn_err *err) {
    const topic *t = NULL;
    nn_status s = a->n_operands ? find_topic(a->operands[0], &t, err) : NN_OK;
    if (s) return s;
    if (a->n_operands == 2) return print_entry(t, a->operands[1], err);
    NN_BUF out = {0};
    if (!t)
        nn_buf_puts(&out,
                    "# Neural " NN_VERSION ": reference\n\nPrinted by `neural reference`.\n\n");
    for (int i = 0; i < TOPICS; i++) {
        if (t && t != &topics[i]) continue;
        if (!t && i) nn_buf_putc(&out, '\n');
        put_page(&topics[i], &out);
    }
    return nn_print(nn_buf_str(&out), out.n, err);
}

const nn_command nn_command_reference = {
    .operands = "[PAGE [NAME]]",
    .max_operands = 2,
    .run = run_reference,
    .description =
        "Pages: layers, activations, losses, optimizers, schedules, metrics, messages, findings,\n"
        "errors, commands, config; without one, all of them. They are Markdown, printed from the\n"
        "tables that the program works by.",
    .examples = "  neural reference layers Dense\n  neural reference messages > messages.md"};
