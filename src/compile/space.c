/* SPDX-License-Identifier: MIT */
/* space.c - search points: checking HPO expressions, choosing their values, the list of points.
 *
 * A point is entered when the binder meets its value; the expression keeps the point's number, so
 * that a copy of a repeated layer finds it again, and a macro's parameter that is used twice. */
#include "compile/space.h"

#include "compile/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what an expression may hold ---- */

static bool is_number(const nn_value *v) {
    return v->kind == NN_V_INT || v->kind == NN_V_FLOAT;
}

static nn_diag *bad(nn_check *c, nn_span span, const char *what) {
    return NN_ERROR(c, "bad-hpo", span, "%s", what);
}

static bool check_range(nn_check *c, const nn_hpo *h) {
    bool log = h->kind == NN_HPO_LOG_RANGE;
    const nn_value *lo = h->low, *hi = h->high, *step = h->step;
    if (!lo || !hi || !is_number(lo) || !is_number(hi) || (step && !is_number(step))) return false;
    if (log && lo->f <= 0)
        return bad(c, lo->span, "log_range() begins above 0: its steps are factors"), false;
    if (!isfinite(lo->f) || !isfinite(hi->f) || lo->f >= hi->f)
        return bad(c, hi->span, "the end of a range must be above its start"), false;
    if (step && step->f <= 0)
        return bad(c, step->span, "the step of a range must be above 0"), false;
    if (step && step->f > hi->f - lo->f)
        return bad(c, step->span, "the step is longer than the range"), false;
    return true;
}

/* Kinds that may stand side by side in a choice: numbers; words; anything else with its like. */
static int kind_group(const nn_value *v) {
    return is_number(v) ? NN_V_INT : nn_check_word(v) ? NN_V_STRING : (int)v->kind;
}

static bool check_choice(nn_check *c, const nn_value *v) {
    const nn_value *first = NULL;
    int n = 0;
    for (const nn_value *e = v->hpo->values; e; e = e->next, n++) {
        if (e->kind == NN_V_ERROR) return false;
        if (e->kind == NN_V_HPO || e->kind == NN_V_NONE) continue;
        bool layers = e->kind == NN_V_CALL || e->kind == NN_V_ITEM;
        bool same = !first || kind_group(e) == kind_group(first) ||
                    (layers && (first->kind == NN_V_CALL || first->kind == NN_V_ITEM));
        if (!same) {
            nn_diag *d = bad(c, e->span, "the candidates of choice() are of different kinds");
            nn_diag_note(c->diags, d, first->span, "the first one is here");
            return false;
        }
        if (!first) first = e;
    }
    if (n == 1) {
        nn_diag *d =
            NN_WARN(c, "advice", v->span, "choice() of one value: there is nothing to search");
        nn_diag_hint(c->diags, d, "write the value itself");
    }
    return n > 0;
}

/* ---- points ---- */

static nn_search_point *enter(nn_check *c, const char *owner, const nn_param *p, nn_value *v) {
    nn_space *s = c->unit->space;
    if (s->n == s->cap) {
        int cap = s->cap ? 2 * s->cap : 8;
        nn_search_point *points = nn_check_alloc(c, (size_t)cap * sizeof *points);
        if (!points) return NULL;
        if (s->n) memcpy(points, s->points, (size_t)s->n * sizeof *points);
        s->points = points;
        s->cap = cap;
    }
    const char *path = nn_arena_strdup(c->arena, nn_buf_str(&c->path));
    const char *tail = path ? strrchr(path, '.') : NULL, *alias = path;
    if (c->alias && path) alias = nn_arena_printf(c->arena, "%s%s", c->alias, path + c->alias_at);
    if (!path || !alias) return NULL;
    if (nn_used_add(c, alias, v->span)) alias = path; /* of another layer of the same name */
    const nn_hpo *h = v->hpo;
    nn_search_point *to = &s->points[s->n++];
    *to = (nn_search_point){.path = path,
                            .alias = alias,
                            .owner = owner,
                            .param = p      ? p->name
                                     : tail ? tail + 1
                                            : path,
                            .value = v,
                            .integer = h->kind == NN_HPO_RANGE && h->low->kind == NN_V_INT &&
                                       (!h->step || h->step->kind == NN_V_INT),
                            .parent = c->point,
                            .candidate = c->candidate,
                            .active = c->point < 0 || (s->points[c->point].active && c->chosen)};
    v->hpo->point = s->n;
    return to;
}

static const nn_setting *setting_of(const nn_check *c, const nn_search_point *p) {
    for (int i = 0; i < c->opt.n_settings; i++) {
        const char *path = c->opt.settings[i].path;
        if (strcmp(path, p->path) == 0 || strcmp(path, p->alias) == 0) return &c->opt.settings[i];
    }
    return NULL;
}

/* ---- values ---- */

static bool same_value(const nn_value *a, const nn_value *b) {
    if (is_number(a) && is_number(b)) return a->f == b->f;
    if (nn_check_word(a) && nn_check_word(b))
        return strcmp(nn_check_word(a), nn_check_word(b)) == 0;
    if (a->kind != b->kind) return false;
    if (a->kind == NN_V_BOOL) return a->i == b->i;
    if (a->kind == NN_V_NONE) return true;
    if ((a->kind != NN_V_TUPLE && a->kind != NN_V_LIST) || a->count != b->count) return false;
    for (const nn_value *x = a->items, *y = b->items; x; x = x->next, y = y->next)
        if (!same_value(x, y)) return false;
    return true;
}

/* On the range, and on one of its steps (up to rounding). */
static bool in_range(const nn_hpo *h, const nn_value *v) {
    if (!is_number(v) || v->f < h->low->f || v->f > h->high->f) return false;
    if (!h->step) return true;
    double k = (v->f - h->low->f) / h->step->f;
    return fabs(k - nearbyint(k)) < 1e-6;
}

/* The number of the candidate that a setting means: of a layer choice its index; -1: none. */
static int candidate_of(const nn_hpo *h, const nn_value *given) {
    int i = 0;
    for (const nn_value *e = h->values; e; e = e->next, i++) {
        bool layer = e->kind == NN_V_CALL || e->kind == NN_V_ITEM;
        if (layer ? given->kind == NN_V_INT && given->i == i : same_value(e, given)) return i;
        if (e->kind == NN_V_HPO && e->hpo->kind != NN_HPO_CHOICE && in_range(e->hpo, given))
            return i;
        if (e->kind == NN_V_HPO && e->hpo->kind == NN_HPO_CHOICE &&
            candidate_of(e->hpo, given) >= 0)
            return i;
    }
    return -1;
}

/* A setting's text as a value: parsed by the language's own rules. */
static nn_value *setting_value(nn_check *c, const nn_setting *s, const nn_value *hpo) {
    nn_source *src = nn_check_alloc(c, sizeof *src);
    if (!src) return NULL;
    *src = (nn_source){"--set", s->value, strlen(s->value)};
    nn_diags *quiet = nn_diags_new(c->arena, src);
    nn_value *v = quiet ? nn_parse_value(c->arena, src, quiet) : NULL;
    if (!v || v->kind == NN_V_ERROR || quiet->errors) {
        NN_ERROR(c, "bad-setting", hpo->span, "'%s=%s': this is no value", s->path, s->value);
        return NULL;
    }
    v->span = hpo->span;
    return v;
}

static void describe(const nn_hpo *h, char *buf, size_t cap) {
    static const char *const kinds[] = {"one of its candidates", "on the range",
                                        "on the log_range"};
    if (h->kind == NN_HPO_CHOICE)
        snprintf(buf, cap, "%s", kinds[h->kind]);
    else
        snprintf(buf, cap, "%s from %s to %s%s%s", kinds[h->kind], h->low->text, h->high->text,
                 h->step ? " in steps of " : "", h->step ? h->step->text : "");
}

/* The candidate that a setting chooses, or its number; NULL, reported, if it is none. */
static nn_value *choose_set(nn_check *c, const nn_search_point *p, const nn_setting *s,
                            int *ret_candidate) {
    const nn_hpo *h = p->value->hpo;
    nn_value *v = setting_value(c, s, p->value);
    if (!v) return NULL;
    *ret_candidate = h->kind == NN_HPO_CHOICE ? candidate_of(h, v) : -1;
    if (h->kind == NN_HPO_CHOICE ? *ret_candidate >= 0 : in_range(h, v)) return v;
    char what[160];
    describe(h, what, sizeof what);
    NN_ERROR(c, "bad-setting", p->value->span, "'%s=%s': the value must be %s", s->path, s->value,
             what);
    return NULL;
}

static nn_candidate enter_candidate(nn_check *c, int point, int candidate, bool chosen) {
    nn_candidate outer = {c->point, c->candidate, c->chosen};
    c->point = point;
    c->candidate = candidate;
    c->chosen = chosen;
    return outer;
}

void nn_check_from_chosen(nn_check *c, nn_candidate outer) {
    enter_candidate(c, outer.point, outer.candidate, outer.chosen);
}

/* The number of the candidate that is chosen, or that holds the nested one that is; -1: none. */
static int chosen_candidate(const nn_space *s, const nn_hpo *h, const nn_value **ret) {
    const nn_value *chosen = s->points[h->point - 1].chosen;
    int i = 0;
    for (const nn_value *e = h->values; e; e = e->next, i++) {
        bool nested = e->kind == NN_V_HPO && e->hpo->point > 0;
        *ret = e;
        if (e == chosen || (nested && s->points[e->hpo->point - 1].chosen == chosen)) return i;
    }
    return -1;
}

nn_candidate nn_check_to_chosen(nn_check *c, const nn_value *v) {
    nn_candidate outer = {c->point, c->candidate, c->chosen};
    while (v && v->kind == NN_V_HPO && v->hpo->point > 0) {
        int point = v->hpo->point - 1, i = chosen_candidate(c->unit->space, v->hpo, &v);
        char part[32];
        if (i < 0) break;
        snprintf(part, sizeof part, "choice[%d]", i);
        nn_check_push(c, part);
        enter_candidate(c, point, i, true);
    }
    return outer;
}

/* A candidate that holds points or layers of its own is looked at whether it is chosen or not. */
static nn_value *look(nn_check *c, const char *owner, const nn_param *p, int point, nn_value *e,
                      int candidate, bool chosen) {
    nn_bound scratch = {0};
    bool built = chosen && c->unit->space->points[point].active;
    nn_candidate outer = enter_candidate(c, point, candidate, chosen);
    char part[32];
    snprintf(part, sizeof part, "choice[%d]", candidate);
    size_t mark = nn_check_push(c, part);
    nn_value *r = e;
    if (e->kind == NN_V_HPO)
        r = nn_check_resolve(c, owner, p, e);
    else if (p && !chosen && !nn_check_value(c, owner, p, e, &scratch))
        r = NULL; /* the chosen one is checked where it is used */
    else if (!built && strcmp(owner, "layers") == 0 &&
             (e->kind == NN_V_CALL || e->kind == NN_V_ITEM))
        nn_check_look_one(c, e); /* of anything else the chosen one tells */
    else if (!built && !p && e->kind == NN_V_CALL && nn_layer_find(e->call->name))
        nn_check_inner(c, e->call);
    nn_check_pop(c, mark);
    nn_check_from_chosen(c, outer);
    return r;
}

/* What is set for the expression is set for the nested one that holds the value. */
static nn_value *choose_candidate(nn_check *c, const char *owner, const nn_param *p, int point,
                                  int wanted, const nn_setting *s) {
    nn_value *chosen = NULL;
    bool ok = true;
    int i = 0;
    const nn_hpo *h = c->unit->space->points[point].value->hpo;
    for (nn_value *e = h->values; e; e = e->next, i++) {
        c->inherited = i == wanted && e->kind == NN_V_HPO ? s : NULL;
        nn_value *r = look(c, owner, p, point, e, i, i == wanted);
        c->inherited = NULL;
        ok = ok && r;
        if (i == wanted) chosen = r;
    }
    return ok ? chosen : NULL;
}

/* The bounds that are not used now are checked too. */
static bool check_bounds(nn_check *c, const char *owner, const nn_param *p, const nn_hpo *h,
                         bool low_is_used) {
    nn_bound scratch = {0};
    if (!p) return true;
    bool ok = low_is_used || nn_check_value(c, owner, p, h->low, &scratch);
    return nn_check_value(c, owner, p, h->high, &scratch) && ok;
}

static nn_value *resolve_new(nn_check *c, const char *owner, const nn_param *p, nn_value *v) {
    const nn_hpo *h = v->hpo;
    bool choice = h->kind == NN_HPO_CHOICE;
    if (choice ? !check_choice(c, v) : !check_range(c, h)) return NULL;
    nn_search_point *point = enter(c, owner, p, v);
    if (!point) return NULL;
    int index = v->hpo->point - 1, wanted = 0;
    const nn_setting *s = c->inherited ? c->inherited : setting_of(c, point);
    c->inherited = NULL;
    nn_value *set = s ? choose_set(c, point, s, &wanted) : NULL;
    if ((s && !set) || (!choice && !check_bounds(c, owner, p, h, !set))) return NULL;
    nn_value *chosen = choice ? choose_candidate(c, owner, p, index, wanted, s)
                       : set  ? set
                              : h->low;
    point = &c->unit->space->points[index]; /* the array may have moved */
    point->chosen = chosen;
    point->set = s != NULL;
    return chosen;
}

nn_value *nn_check_resolve(nn_check *c, const char *owner, const nn_param *p, nn_value *v) {
    if (v->kind != NN_V_HPO) return v;
    if (!v->hpo->point) return resolve_new(c, owner, p, v);
    return (nn_value *)c->unit->space->points[v->hpo->point - 1].chosen;
}

int nn_space_find(const nn_space *s, const char *path) {
    for (int i = 0; i < s->n; i++)
        if (strcmp(s->points[i].path, path) == 0 || strcmp(s->points[i].alias, path) == 0) return i;
    return -1;
}

void nn_check_settings(nn_check *c) {
    const nn_span top = {.line = 1, .col = 1, .end_line = 1, .end_col = 1};
    for (int i = 0; i < c->opt.n_settings; i++) {
        const nn_setting *s = &c->opt.settings[i];
        int point = nn_space_find(c->unit->space, s->path);
        for (int j = 0; point >= 0 && j < i; j++)
            if (nn_space_find(c->unit->space, c->opt.settings[j].path) == point)
                NN_ERROR(c, "bad-setting", c->unit->space->points[point].value->span,
                         "'%s' and '%s' are one point: it is set twice", c->opt.settings[j].path,
                         s->path);
        if (point >= 0) continue;
        nn_diag *d =
            NN_ERROR(c, "bad-setting", c->network->name_span.line ? c->network->name_span : top,
                     "the network has no search point '%s'", s->path);
        if (c->unit->space->n)
            nn_diag_hint(c->diags, d, "`neural search-space` lists them; the first is '%s'",
                         c->unit->space->points[0].path);
        else
            nn_diag_hint(c->diags, d,
                         "nothing in it is searched: HPO(choice(64, 128)) makes a point");
    }
}
