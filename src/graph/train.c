/* SPDX-License-Identifier: MIT */
/* train.c - a training specification as JSON and back. One list of members serves both directions,
 * so neither can forget one. Members that came later are written only where they differ from the
 * default: files, and the checkpoints that go by them, of what could be said before do not change.
 */
#include "graph/train.h"

#include "graph/reader.h"

#include <stdio.h>
#include <string.h>

/* member kinds: B bool, I count >= its minimum, R real, T text. The fields of the loss stand
 * between the two lists: so files have always had them. */
#define SAID_MEMBERS(B) B(has_loss) B(has_optimizer) B(has_training)
#define TRAIN_MEMBERS(B, I, R, T)                                                                  \
    I(epochs, 1)                                                                                   \
    I(batch_size, 1)                                                                               \
    R(validation_split) B(shuffle) B(seeded) T(dataset) T(device) I(steps_per_epoch, 0)
#define LATER_TEXTS(T) T(search_method) T(save_path) T(callbacks) T(strategy)

static bool has(const nn_rd *r, const char *key) {
    return !*r->status && nn_json_get(r->v, key);
}

/* ---- fields ---- */

static nn_json *field_json(const nn_train_field *f, const void *owner) {
    double v = nn_field_get(f, owner);
    if (f->type == NN_TRAIN_FLAG) return nn_json_new_bool(v != 0);
    return f->type == NN_TRAIN_WHOLE ? nn_json_new_int((int64_t)v) : nn_json_new_num(v);
}

static bool owned(const nn_fields *t, int i) {
    return t->own >> i & 1;
}

/* Those that are always there, and an owner's own that differ from `standard`. */
static void put_fields(nn_json *to, nn_fields t, const void *owner, const void *standard) {
    for (int i = 0; i < t.n; i++) {
        const nn_train_field *f = &t.field[i];
        bool differs = nn_field_get(f, owner) != nn_field_get(f, standard);
        if (f->always || (owned(&t, i) && differs)) nn_json_set(to, f->name, field_json(f, owner));
    }
}

/* What an engine would choke on is refused. */
static double read_field(nn_rd *r, const nn_train_field *f) {
    if (f->type == NN_TRAIN_FLAG) return nn_rd_bool(r, f->name);
    double v = f->type == NN_TRAIN_WHOLE ? (double)nn_rd_int(r, f->name, 0, NN_MAX_DIM)
                                         : nn_rd_num(r, f->name);
    if (!nn_field_fits(f, v)) nn_rd_fail(r, f->name, nn_field_expects(f));
    return v;
}

static void read_fields(nn_rd *r, nn_fields t, void *owner) {
    for (int i = 0; i < t.n; i++) {
        const nn_train_field *f = &t.field[i];
        if (f->always || (owned(&t, i) && has(r, f->name)))
            nn_field_set(f, owner, read_field(r, f));
    }
}

/* ---- schedules ---- */

static nn_json *schedule_json(const nn_schedule *s) {
    nn_json *v = nn_json_new_object();
    nn_fields t = nn_schedule_fields(s->kind);
    nn_json_set(v, "type", nn_json_new_str(nn_schedule_name(s->kind)));
    for (int i = 0; i < t.n; i++)
        if (owned(&t, i)) nn_json_set(v, t.field[i].name, field_json(&t.field[i], s));
    if (s->kind != NN_SCHEDULE_PIECEWISE) return v;
    nn_json *values = nn_json_new_array();
    for (int i = 0; i < s->n_values; i++) nn_json_push(values, nn_json_new_num(s->values[i]));
    nn_json_set(v, "boundaries", nn_wr_ints(s->boundaries, s->n_values - 1));
    nn_json_set(v, "values", values);
    return v;
}

static void read_values(nn_rd *r, nn_schedule *s) {
    int n =
        nn_rd_ints(r, "boundaries", s->boundaries, NN_SCHEDULE_VALUES - 1, 1, NN_MAX_DIM, false);
    const nn_json *values = nn_rd_array(r, "values");
    if (!values || nn_json_size(values) != (size_t)n + 1) {
        nn_rd_fail(r, "values", "a list of one number more than boundaries");
        return;
    }
    s->n_values = n + 1;
    for (int i = 0; i <= n; i++) {
        const nn_json *v = nn_json_at(values, (size_t)i);
        nn_json_type type = nn_json_typeof(v);
        if (type != NN_JSON_REAL && type != NN_JSON_INT)
            nn_rd_fail(r, "values", "a list of numbers");
        s->values[i] = nn_json_num(v, 0);
    }
}

static nn_schedule read_schedule(nn_rd *outer) {
    nn_rd r = nn_rd_object(outer, "schedule");
    nn_schedule s = nn_schedule_default((nn_schedule_kind)nn_rd_word(&r, "type", nn_schedule_find));
    nn_fields t = nn_schedule_fields(s.kind);
    for (int i = 0; i < t.n; i++)
        if (owned(&t, i)) nn_field_set(&t.field[i], &s, read_field(&r, &t.field[i]));
    if (s.kind == NN_SCHEDULE_PIECEWISE) read_values(&r, &s);
    const char *problem = *r.status ? NULL : nn_schedule_problem(&s);
    if (problem)
        *r.status = nn_fail(r.err, NN_E_MODEL_FILE_ERROR, "%s: schedule: %s", r.where, problem);
    nn_rd_done(&r);
    return s;
}

/* ---- the optimiser ---- */

static nn_json *optimizer_json(const nn_optimizer *o) {
    nn_json *v = nn_json_new_object();
    nn_optimizer standard = nn_optimizer_default(o->kind);
    nn_json_set(v, "type", nn_json_new_str(nn_optimizer_name(o->kind)));
    put_fields(v, nn_optimizer_fields(o->kind), o, &standard);
    if (o->schedule.kind != NN_SCHEDULE_NONE)
        nn_json_set(v, "schedule", schedule_json(&o->schedule));
    return v;
}

static nn_optimizer read_optimizer(nn_rd *outer) {
    nn_rd r = nn_rd_object(outer, "optimizer");
    nn_optimizer o =
        nn_optimizer_default((nn_optimizer_kind)nn_rd_word(&r, "type", nn_optimizer_find));
    read_fields(&r, nn_optimizer_fields(o.kind), &o);
    if (has(&r, "schedule")) o.schedule = read_schedule(&r);
    nn_rd_done(&r);
    return o;
}

/* ---- early stopping ---- */

static nn_json *early_stopping_json(const nn_early_stopping *e) {
    nn_json *v = nn_json_new_object();
    nn_json_set(v, "patience", nn_json_new_int(e->patience));
    nn_json_set(v, "monitor", nn_json_new_str(e->monitor));
    nn_json_set(v, "min_delta", nn_json_new_num(e->min_delta));
    nn_json_set(v, "restore_best", nn_json_new_bool(e->restore_best));
    return v;
}

static nn_early_stopping read_early_stopping(nn_rd *outer) {
    nn_rd r = nn_rd_object(outer, "early_stopping");
    nn_early_stopping e = {.on = true};
    e.patience = nn_rd_int(&r, "patience", 0, NN_MAX_DIM);
    e.min_delta = nn_rd_num(&r, "min_delta");
    e.restore_best = nn_rd_bool(&r, "restore_best");
    snprintf(e.monitor, sizeof e.monitor, "%s", nn_rd_str(&r, "monitor", sizeof e.monitor - 1));
    if (!(e.min_delta >= 0)) nn_rd_fail(&r, "min_delta", "0 or above");
    if (!nn_monitor_valid(e.monitor)) nn_rd_fail(&r, "monitor", "a metric");
    nn_rd_done(&r);
    return e;
}

/* ---- class weights: "balanced", or a number a class ---- */

static nn_json *class_weight_json(const nn_class_weight *w) {
    if (w->balanced) return nn_json_new_str("balanced");
    nn_json *v = nn_json_new_array();
    for (int i = 0; i < w->n; i++) nn_json_push(v, nn_json_new_num(w->of[i]));
    return v;
}

static nn_class_weight read_class_weight(nn_rd *r) {
    static const char what[] = "\"balanced\" or 1 to 256 numbers of 0 or more";
    nn_class_weight w = {0};
    const nn_json *v = nn_json_get(r->v, "class_weight");
    if (nn_json_typeof(v) == NN_JSON_STRING) {
        w.balanced = strcmp(nn_rd_str(r, "class_weight", 16), "balanced") == 0;
        if (!w.balanced) nn_rd_fail(r, "class_weight", what);
        return w;
    }
    v = nn_rd_array(r, "class_weight");
    size_t n = v ? nn_json_size(v) : 0;
    if (n < 1 || n > NN_CLASS_WEIGHTS) {
        nn_rd_fail(r, "class_weight", what);
        return w;
    }
    for (; (size_t)w.n < n; w.n++) {
        w.of[w.n] = nn_json_num(nn_json_at(v, (size_t)w.n), -1);
        if (!nn_class_weight_valid(w.of[w.n])) nn_rd_fail(r, "class_weight", what);
    }
    return w;
}

/* ---- the whole ---- */

static void put_later(nn_json *v, const nn_train_spec *t) {
#define T(m)                                                                                       \
    if (*t->m) nn_json_set(v, #m, nn_json_new_str(t->m));
    LATER_TEXTS(T)
#undef T
    if (t->loss == NN_LOSS_CUSTOM) nn_json_set(v, "custom_loss", nn_json_new_str(t->custom_loss));
    if (t->top_k != 5) nn_json_set(v, "top_k", nn_json_new_int(t->top_k));
    if (t->mixed_precision) nn_json_set(v, "mixed_precision", nn_json_new_bool(true));
    if (t->precision != NN_PRECISION_FLOAT32)
        nn_json_set(v, "precision", nn_json_new_str(nn_precision_name(t->precision)));
    if (t->early_stopping.on)
        nn_json_set(v, "early_stopping", early_stopping_json(&t->early_stopping));
    if (nn_class_weight_given(&t->class_weight))
        nn_json_set(v, "class_weight", class_weight_json(&t->class_weight));
}

static void read_later(nn_rd *r, nn_train_spec *t) {
#define T(m)                                                                                       \
    if (has(r, #m)) snprintf(t->m, sizeof t->m, "%s", nn_rd_str(r, #m, sizeof t->m - 1));
    T(custom_loss)
    LATER_TEXTS(T)
#undef T
    if (has(r, "top_k")) t->top_k = nn_rd_int(r, "top_k", 1, NN_MAX_DIM);
    if (has(r, "mixed_precision")) t->mixed_precision = nn_rd_bool(r, "mixed_precision");
    if (has(r, "precision"))
        t->precision = (nn_precision)nn_rd_word(r, "precision", nn_precision_find);
    if (has(r, "early_stopping")) t->early_stopping = read_early_stopping(r);
    if (has(r, "class_weight")) t->class_weight = read_class_weight(r);
    bool method = !*t->search_method;
    for (const char *const *m = nn_search_methods(); *m; m++)
        method = method || strcmp(*m, t->search_method) == 0;
    if (!method) nn_rd_fail(r, "search_method", "random, grid, bayesian or evolutionary");
}

nn_json *nn_train_json(const nn_train_spec *t) {
    nn_json *v = nn_json_new_object();
    nn_train_spec standard = nn_train_default();
    nn_json_set(v, "loss", nn_json_new_str(nn_loss_name(t->loss)));
    nn_json_set(v, "optimizer", optimizer_json(&t->optimizer));
    nn_json_set(v, "metrics", nn_json_new_int(t->metrics));
    nn_json_set(v, "seed",
                nn_json_new_int((int64_t)t->seed)); /* the bits; read back the same way */
#define B(m)      nn_json_set(v, #m, nn_json_new_bool(t->m));
#define I(m, min) nn_json_set(v, #m, nn_json_new_int(t->m));
#define R(m)      nn_json_set(v, #m, nn_json_new_num(t->m));
#define T(m)      nn_json_set(v, #m, nn_json_new_str(t->m));
    SAID_MEMBERS(B)
    put_fields(v, nn_loss_fields(t->loss), t, &standard);
    TRAIN_MEMBERS(B, I, R, T)
#undef B
#undef I
#undef R
#undef T
    put_later(v, t);
    return v;
}

/* A loss of the table, or "custom", which has to say which. */
static int find_loss(const char *name) {
    return strcmp(name, "custom") == 0 ? NN_LOSS_CUSTOM : nn_loss_find(name);
}

static void check_whole(nn_rd *r, const nn_train_spec *t) {
    if (!(t->validation_split >= 0 && t->validation_split < 1))
        nn_rd_fail(r, "validation_split", "in [0, 1)");
    if ((t->loss == NN_LOSS_CUSTOM) != (*t->custom_loss != 0))
        nn_rd_fail(r, "custom_loss", "the name of a custom loss, and only of one");
}

nn_status nn_train_read(const nn_json *v, nn_train_spec *ret, nn_err *err) {
    nn_status st = NN_OK;
    nn_rd r = nn_rd_open(v, "train", &st, err);
    nn_train_spec t = nn_train_default();
    t.loss = (nn_loss_kind)nn_rd_word(&r, "loss", find_loss);
    t.optimizer = read_optimizer(&r);
    t.metrics = (unsigned)nn_rd_int(&r, "metrics", 0, (1 << NN_TRAIN_METRIC_COUNT) - 1);
    t.seed = (uint64_t)nn_rd_int(&r, "seed", INT64_MIN, INT64_MAX);
#define B(m)      t.m = nn_rd_bool(&r, #m);
#define I(m, min) t.m = nn_rd_int(&r, #m, min, NN_MAX_DIM);
#define R(m)      t.m = nn_rd_num(&r, #m);
#define T(m)      snprintf(t.m, sizeof t.m, "%s", nn_rd_str(&r, #m, sizeof t.m - 1));
    SAID_MEMBERS(B)
    TRAIN_MEMBERS(B, I, R, T)
#undef B
#undef I
#undef R
#undef T
    read_fields(&r, nn_loss_fields(t.loss), &t);
    read_later(&r, &t);
    check_whole(&r, &t);
    if (nn_rd_done(&r)) return st;
    *ret = t;
    return NN_OK;
}
