/* SPDX-License-Identifier: MIT */
/* pytorch_callbacks.c - `callbacks` of a program, kept as its text (nn_train_spec.callbacks), read
 * into what the training program does: a name, a call with named arguments, or a list of them.
 * Names, arguments and defaults are Keras's (keras.callbacks); one that is not in the table, or an
 * argument that would change what it does, is refused. */
#include "codegen/pytorch_train.h"

#include <ctype.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum kind { TEXT, REAL, WHOLE, FLAG, ANY } kind;

typedef struct argument {
    const char *name;
    kind kind;
    size_t offset, size; /* in nn_torch_callbacks */
} argument;

#define AT(field) offsetof(nn_torch_callbacks, field), sizeof((nn_torch_callbacks *)0)->field
#define MODE(field)                                                                                \
    { "mode", TEXT, AT(field) }
#define QUIET                                                                                      \
    { "verbose", ANY, 0, 0 }
#define MONITOR(field)                                                                             \
    { "monitor", TEXT, AT(field) }

/* clang-format off */
static const argument stopping[] = {
    MONITOR(stopping.monitor), MODE(mode[0]), QUIET,
    {"min_delta", REAL, AT(stopping.min_delta)}, {"patience", WHOLE, AT(stopping.patience)},
    {"restore_best_weights", FLAG, AT(stopping.restore_best)}, {"restore_best", FLAG, AT(stopping.restore_best)}, {0}};
static const argument plateau[] = {
    MONITOR(plateau.monitor), MODE(mode[1]), QUIET,
    {"factor", REAL, AT(plateau.factor)}, {"patience", WHOLE, AT(plateau.patience)},
    {"min_delta", REAL, AT(plateau.min_delta)}, {"cooldown", WHOLE, AT(plateau.cooldown)},
    {"min_lr", REAL, AT(plateau.min_lr)}, {0}};
static const argument keeping[] = {
    {"filepath", TEXT, AT(keep.path)}, MONITOR(keep.monitor), MODE(mode[2]), QUIET,
    {"save_best_only", FLAG, AT(keep.best_only)}, {"save_weights_only", ANY, 0, 0}, {0}};
static const argument logging[] = {
    {"filename", TEXT, AT(log.path)}, {"append", FLAG, AT(log.append)}, {0}};
static const argument nothing[] = {{0}};
/* clang-format on */

static void stop_early(nn_torch_callbacks *c) {
    c->stopping = nn_early_stopping_default();
    c->stopping.restore_best = false;
    c->stopping.patience = 0;
    c->stopping.min_delta = 0;
}
static void reduce(nn_torch_callbacks *c) {
    c->plateau.on = true;
}
static void keep(nn_torch_callbacks *c) {
    c->keep.on = true;
}
static void write_log(nn_torch_callbacks *c) {
    c->log.on = true;
}
static void end_on_nan(nn_torch_callbacks *c) {
    c->ends_on_nan = true;
}

static const struct {
    const char *name;
    void (*begin)(nn_torch_callbacks *c);
    const argument *arguments;
} callbacks[] = {
    {"EarlyStopping",     stop_early, stopping},
    {"ReduceLROnPlateau", reduce,     plateau },
    {"ModelCheckpoint",   keep,       keeping },
    {"CSVLogger",         write_log,  logging },
    {"TerminateOnNaN",    end_on_nan, nothing },
};
enum { N_CALLBACKS = sizeof callbacks / sizeof *callbacks };

typedef struct reader {
    const char *p;
    nn_torch_callbacks *to;
    char word[256]; /* the last name or text */
    nn_err *err;
} reader;

static nn_status refuse(const reader *r, const char *what, const char *name) {
    nn_status s =
        nn_fail(r->err, NN_E_UNSUPPORTED,
                "%s '%.60s' of callbacks is not supported by the PyTorch backend", what, name);
    return nn_err_hint(r->err, s,
                       "the PyTorch program has EarlyStopping, ReduceLROnPlateau, ModelCheckpoint, "
                       "CSVLogger and TerminateOnNaN with Keras's arguments by name");
}

static void blanks(reader *r) {
    while (isspace((unsigned char)*r->p)) r->p++;
}

static bool take(reader *r, char c) {
    blanks(r);
    if (*r->p != c) return false;
    r->p++;
    return true;
}

/* A name, a number or a text in quotes into r->word. */
static bool take_word(reader *r) {
    blanks(r);
    bool quoted = *r->p == '"';
    const char *from = r->p + quoted, *to = from;
    if (quoted)
        while (*to && *to != '"') to++;
    else
        while (isalnum((unsigned char)*to) || (*to && strchr("_.+-", *to))) to++;
    if ((quoted && !*to) || to == from || (size_t)(to - from) >= sizeof r->word) return false;
    snprintf(r->word, sizeof r->word, "%.*s", (int)(to - from), from);
    r->p = to + quoted;
    return true;
}

static bool store(const reader *r, const argument *a) {
    char *at = (char *)r->to + a->offset, *end;
    double v = strtod(r->word, &end);
    bool number = *r->word && !*end && isfinite(v) && v >= 0 && v <= 1e9;
    bool yes = strcmp(r->word, "true") == 0 || strcmp(r->word, "True") == 0;
    if (a->kind == TEXT) return (size_t)snprintf(at, a->size, "%s", r->word) < a->size;
    if (a->kind == ANY) return true;
    if (a->kind == FLAG) {
        memcpy(at, &yes, sizeof yes);
        return yes || strcmp(r->word, "false") == 0 || strcmp(r->word, "False") == 0;
    }
    int64_t whole = number ? (int64_t)v : 0;
    if (a->kind == WHOLE)
        memcpy(at, &whole, sizeof whole);
    else
        memcpy(at, &v, sizeof v);
    return number && (a->kind == REAL || (double)whole == v);
}

/* "name=value", or the first argument by its place. */
static nn_status read_argument(reader *r, const argument *all, bool first) {
    if (!take_word(r)) return refuse(r, "the text", r->p);
    char name[64];
    snprintf(name, sizeof name, "%.63s", r->word);
    bool named = take(r, '=');
    if (!named && (!first || !all->name)) return refuse(r, "the argument", name);
    if (named && !take_word(r)) return refuse(r, "the argument", name);
    for (const argument *a = all; a->name; a++)
        if (!named || strcmp(a->name, name) == 0)
            return store(r, a) ? NN_OK : refuse(r, "the value of", a->name);
    return refuse(r, "the argument", name);
}

static nn_status read_one(reader *r) {
    if (!take_word(r)) return refuse(r, "the text", r->p);
    int k = 0;
    while (k < N_CALLBACKS && strcmp(callbacks[k].name, r->word) != 0) k++;
    if (k == N_CALLBACKS) return refuse(r, "the callback", r->word);
    callbacks[k].begin(r->to);
    if (!take(r, '(')) return NN_OK;
    for (bool first = true; !take(r, ')'); first = false) {
        if (!first && !take(r, ',')) return refuse(r, "the text", r->p);
        nn_status s = read_argument(r, callbacks[k].arguments, first);
        if (s) return s;
    }
    return NN_OK;
}

static nn_status read_all(reader *r) {
    char end = take(r, '[') ? ']' : take(r, '(') ? ')' : 0;
    for (bool first = true; !end || !take(r, end); first = false) {
        if (end && !first && !take(r, ',')) return refuse(r, "the text", r->p);
        nn_status s = read_one(r);
        if (s) return s;
        if (!end) break;
    }
    blanks(r);
    return *r->p ? refuse(r, "the text", r->p) : NN_OK;
}

/* What Keras would make of a value, by its name, is what we make of it: the direction fits. */
static nn_status check_monitor(const reader *r, bool on, const char *monitor, const char *mode) {
    if (!on) return NN_OK;
    if (!nn_monitor_valid(monitor)) return refuse(r, "the monitor", monitor);
    bool rising = nn_torch_rises(monitor);
    if (strcmp(mode, "auto") == 0 || strcmp(mode, rising ? "max" : "min") == 0) return NN_OK;
    return refuse(r, "the mode", mode);
}

static nn_status check_whole(const reader *r, const nn_train_spec *t) {
    const nn_torch_callbacks *c = r->to;
    if (c->keep.on && !*c->keep.path) return refuse(r, "ModelCheckpoint without", "filepath");
    if (c->log.on && !*c->log.path) return refuse(r, "CSVLogger without", "filename");
    if (c->plateau.on && t->optimizer.schedule.kind != NN_SCHEDULE_NONE)
        return refuse(r, "beside a learning-rate schedule, the callback", "ReduceLROnPlateau");
    if (c->plateau.on && !(c->plateau.factor < 1)) return refuse(r, "the value of", "factor");
    nn_status s = check_monitor(r, c->stopping.on, c->stopping.monitor, c->mode[0]);
    if (!s) s = check_monitor(r, c->plateau.on, c->plateau.monitor, c->mode[1]);
    if (!s) s = check_monitor(r, c->keep.on && c->keep.best_only, c->keep.monitor, c->mode[2]);
    return s;
}

nn_status nn_torch_read_callbacks(const nn_train_spec *t, nn_torch_callbacks *ret, nn_err *err) {
    nn_torch_callbacks c = {
        .stopping = t->early_stopping,
        .plateau = {.factor = 0.1, .patience = 10, .min_delta = 1e-4, .monitor = "val_loss"},
        .keep = {.monitor = "val_loss"            },
        .mode = {"auto",       "auto",       "auto"           },
    };
    reader r = {.p = t->callbacks, .to = &c, .err = err};
    nn_status s = *t->callbacks ? read_all(&r) : NN_OK;
    if (!s) s = check_whole(&r, t);
    if (!s) *ret = c;
    return s;
}
