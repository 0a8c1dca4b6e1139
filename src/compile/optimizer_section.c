/* SPDX-License-Identifier: MIT */
/* optimizer_section.c - the optimizer and its learning-rate schedule (language.md 8.1 and 8.2),
 * from the tables in graph/train.h. */
#include "compile/sections.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* ---- parameters of every row ---- */

enum { MOST_FIELDS = 24 };
static const nn_param piecewise_params[] = {
    {.name = "boundaries",
     .type = NN_P_ANY,
     .required = true,
     .positional = true,
     .help = "steps, rising, such as [1000, 2000]"},
    {.name = "values",
     .type = NN_P_ANY,
     .required = true,
     .positional = true,
     .help = "learning rates, one more than boundaries"},
    {0},
};
static nn_param loss_params[NN_LOSS_COUNT][MOST_FIELDS];
static nn_param optimizer_params[NN_OPTIMIZER_COUNT][MOST_FIELDS];
static nn_param schedule_params[NN_SCHEDULE_COUNT][MOST_FIELDS];

static void fill_params(void) {
    for (int i = 0; i < NN_LOSS_COUNT; i++)
        nn_section_params(nn_loss_fields((nn_loss_kind)i), MOST_FIELDS, loss_params[i]);
    for (int i = 0; i < NN_OPTIMIZER_COUNT; i++)
        nn_section_params(nn_optimizer_fields((nn_optimizer_kind)i), 1, optimizer_params[i]);
    for (int i = 0; i < NN_SCHEDULE_COUNT; i++)
        nn_section_params(nn_schedule_fields((nn_schedule_kind)i), MOST_FIELDS, schedule_params[i]);
    memcpy(schedule_params[NN_SCHEDULE_PIECEWISE], piecewise_params, sizeof piecewise_params);
}

const nn_param *nn_train_params(const char *name) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_params);
    int k = nn_loss_find(name);
    if (k >= 0) return loss_params[k];
    if ((k = nn_optimizer_find(name)) >= 0) return optimizer_params[k];
    return (k = nn_schedule_find(name)) >= 0 ? schedule_params[k] : NULL;
}

void nn_section_params(nn_fields t, int n_positional, nn_param *to) {
    static const nn_param_type types[] = {
        [NN_TRAIN_REAL] = NN_P_FLOAT, [NN_TRAIN_WHOLE] = NN_P_INT, [NN_TRAIN_FLAG] = NN_P_BOOL};
    for (int i = 0; i < t.n; i++) {
        const nn_train_field *f = &t.field[i];
        if (!(t.own >> i & 1)) continue;
        nn_field_bounds b = nn_field_limits(f);
        bool open = b.max > 1e300, below = b.min < -1e300; /* nn_param's way to say infinite */
        *to++ = (nn_param){.name = f->name,
                           .type = types[f->type],
                           .required = f->required,
                           .positional = n_positional-- > 0,
                           .min = below ? -1e300 : b.min,
                           .max = open ? 0 : b.max,
                           .above_min = b.above_min,
                           .below_max = b.below_max,
                           .aliases = f->aliases,
                           .help = f->help};
    }
    *to = (nn_param){0};
}

bool nn_section_take(nn_check *c, const char *owner, nn_fields t, const nn_bound *b, void *to) {
    bool ok = true;
    for (int i = 0; i < t.n; i++) {
        const nn_train_field *f = &t.field[i];
        if (!(t.own >> i & 1)) continue;
        const nn_bound *x = b++;
        if (!x->set) continue;
        double v = f->type == NN_TRAIN_REAL    ? x->f
                   : f->type == NN_TRAIN_WHOLE ? (double)x->i
                                               : (double)x->b;
        bool fits = nn_field_fits(f, v); /* what no nn_param can say: at most 0 */
        if (fits)
            nn_field_set(f, to, v);
        else
            NN_ERROR(c, "out-of-range", x->span, "%s %s must be %s, got %g", owner, f->name,
                     nn_field_expects(f), v);
        ok = ok && fits;
    }
    return ok;
}

/* ---- schedules ---- */

/* The argument for a parameter, given by name or as the k-th without one. */
static const nn_arg *argument(const nn_arg *args, const char *name, int k) {
    for (const nn_arg *a = args; a; a = a->next)
        if (a->name ? strcmp(a->name, name) == 0 : k-- == 0) return a;
    return NULL;
}

/* The numbers of a list, at most cap; -1, reported, if it is no list of such numbers. */
static int numbers(nn_check *c, const char *owner, const nn_param *p, const nn_arg *a, int cap,
                   nn_bound *to) {
    size_t mark = nn_check_push(c, p->name);
    nn_value *v = nn_check_resolve(c, owner, NULL, a->value);
    int n = 0;
    bool list = v && (v->kind == NN_V_LIST || v->kind == NN_V_TUPLE);
    char got[64];
    if (v && v->kind != NN_V_ERROR && (!list || v->count > cap)) {
        NN_ERROR(c, "wrong-type", v->span, "%s %s must be a list of at most %d numbers, got %s",
                 owner, p->name, cap, nn_check_show(v, got, sizeof got));
        list = false;
    }
    for (nn_value *e = list ? v->items : NULL; e && n >= 0; e = e->next) {
        size_t inner = nn_check_push_index(c, "", n);
        n = nn_check_value(c, owner, p, e, &to[n]) ? n + 1 : -1;
        nn_check_pop(c, inner);
    }
    nn_check_pop(c, mark);
    return list ? n : -1;
}

static bool take_pieces(nn_check *c, const nn_arg *args, nn_schedule *s) {
    static const nn_param step = {
        .name = "boundaries", .type = NN_P_INT, .min = 1, .max = NN_MAX_DIM};
    static const nn_param rate = {.name = "values", .type = NN_P_FLOAT};
    const char *owner = nn_schedule_name(s->kind);
    const nn_arg *b = argument(args, "boundaries", 0), *v = argument(args, "values", b && !b->name);
    nn_bound steps[NN_SCHEDULE_VALUES] = {0}, rates[NN_SCHEDULE_VALUES] = {0};
    if (!b || !v) return false; /* a misspelt name, reported */
    int n = numbers(c, owner, &step, b, NN_SCHEDULE_VALUES - 1, steps);
    s->n_values = numbers(c, owner, &rate, v, NN_SCHEDULE_VALUES, rates);
    if (n < 0 || s->n_values < 0) return false;
    if (s->n_values != n + 1) {
        NN_ERROR(c, "out-of-range", v->value->span,
                 "%s values must be one more than boundaries, got %d and %d", owner, s->n_values,
                 n);
        return false;
    }
    for (int i = 0; i < n; i++) s->boundaries[i] = steps[i].i;
    for (int i = 0; i <= n; i++) s->values[i] = rates[i].f;
    return true;
}

static void use_schedule(nn_check *c, nn_value *v, nn_train_spec *to) {
    const char *word = nn_section_word(c, v, "learning-rate schedule");
    int k = word ? nn_schedule_find(word) : -1;
    if (word && k < 0)
        nn_section_unknown(c, v, "learning-rate schedule", word, nn_schedule_names(), NULL);
    if (k < 0) return;
    nn_schedule s = nn_schedule_default((nn_schedule_kind)k);
    const char *name = nn_schedule_name(s.kind), *problem;
    nn_bound b[NN_MAX_PARAMS] = {0};
    nn_arg *args = nn_section_arguments(v);
    if (!nn_check_bind_all(c, name, v->span, nn_train_params(name), args, b)) return;
    if (k == NN_SCHEDULE_PIECEWISE ? !take_pieces(c, args, &s)
                                   : !nn_section_take(c, name, nn_schedule_fields(s.kind), b, &s))
        return;
    if ((problem = nn_schedule_problem(&s))) {
        NN_ERROR(c, "out-of-range", v->span, "%s %s", name, problem);
        return;
    }
    to->optimizer.schedule = s;
    to->optimizer.learning_rate = nn_schedule_start(&s);
}

/* A call, or a choice with one in it; quoted ones become calls. */
static bool is_call(nn_check *c, nn_value *v) {
    bool any = false;
    if (v->kind == NN_V_HPO) {
        for (nn_value *e = v->hpo->values; e; e = e->next) any = is_call(c, e) || any;
        return any;
    }
    nn_parse_quoted(c->arena, c->source, v, c->diags);
    return v->kind == NN_V_CALL;
}

const nn_arg *nn_section_rate(const nn_arg *args) {
    for (const nn_arg *a = args; a; a = a->next)
        if (!a->name || strcmp(a->name, "learning_rate") == 0 || strcmp(a->name, "lr") == 0)
            return a;
    return NULL;
}

/* A number that any learning rate may be, where something else was checked apart. */
static nn_value *stand_in(nn_check *c, nn_span span) {
    nn_value *v = nn_check_alloc(c, sizeof *v);
    if (v) *v = (nn_value){.kind = NN_V_FLOAT, .span = span, .f = 1, .text = "1.0"};
    return v;
}

nn_arg *nn_section_schedule(nn_check *c, nn_arg *args, nn_optimizer *to) {
    const nn_arg *rate = nn_section_rate(args);
    if (!rate || !rate->value || !is_call(c, rate->value)) return args;
    nn_train_spec spec = {.optimizer = *to};
    size_t mark = nn_check_push(c, "learning_rate");
    nn_section_each(c, "learning_rate", rate->value, use_schedule, &spec);
    nn_check_pop(c, mark);
    *to = spec.optimizer;
    nn_arg *first = NULL, **tail = &first;
    for (nn_arg *a = args; a; a = a->next) {
        nn_arg *copy = nn_check_alloc(c, sizeof *copy);
        if (!copy) return NULL;
        *copy = *a;
        copy->next = NULL;
        if (a == rate && !(copy->value = stand_in(c, a->value->span))) return NULL;
        *tail = copy;
        tail = &copy->next;
    }
    return first;
}

void nn_section_rate_advice(nn_check *c, const nn_arg *a, double rate) {
    const nn_value *v = a ? a->value : NULL;
    if (!v) return;
    if (v->kind == NN_V_HPO && v->hpo->kind == NN_HPO_RANGE && v->hpo->low->f > 0) {
        nn_diag *d =
            NN_WARN(c, "advice", v->span, "a learning rate is searched by factors: use log_range");
        const char *fix = nn_arena_printf(c->arena, "HPO(log_range(%s, %s))", v->hpo->low->text,
                                          v->hpo->high->text);
        if (fix) nn_diag_fix(c->diags, d, v->span, fix, "write log_range");
    }
    if (rate <= 1) return;
    nn_diag *d = NN_WARN(c, "advice", v->span, "a learning rate of %g is above 1", rate);
    nn_diag_hint(c->diags, d, "training diverges with most above 0.1");
}

/* ---- the optimizer ---- */

static void use_optimizer(nn_check *c, nn_value *v, nn_train_spec *to) {
    const char *word = nn_section_word(c, v, "optimizer");
    int k = word ? nn_optimizer_find(word) : -1;
    if (word && k < 0) nn_section_unknown(c, v, "optimizer", word, nn_optimizer_names(), NULL);
    if (k < 0) return;
    nn_optimizer o = nn_optimizer_default((nn_optimizer_kind)k);
    const char *name = nn_optimizer_names()[k];
    nn_bound b[NN_MAX_PARAMS] = {0};
    nn_arg *args = nn_section_schedule(c, nn_section_arguments(v), &o);
    double start = o.learning_rate;
    if (!nn_check_bind_all(c, name, v->span, nn_train_params(name), args, b) ||
        !nn_section_take(c, name, nn_optimizer_fields(o.kind), b, &o))
        return;
    if (o.schedule.kind != NN_SCHEDULE_NONE) o.learning_rate = start;
    nn_section_rate_advice(c, nn_section_rate(nn_section_arguments(v)), o.learning_rate);
    to->has_optimizer = true;
    to->optimizer = o;
}

void nn_check_optimizer(nn_check *c, nn_value *v) {
    size_t mark = nn_check_push(c, "optimizer");
    nn_section_each(c, "optimizer", v, use_optimizer, &c->graph->train);
    nn_check_pop(c, mark);
}
