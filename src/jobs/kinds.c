/* SPDX-License-Identifier: MIT */
/* Requests against the rules of their kind. All problems are found in one pass; what no rule names
 * is a warning. */
#include "base/nearest.h"
#include "jobs/jobs_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PROBLEMS = 100, MAX_NAMES = 64 };

/* What every create accepts, whatever its kind. */
static const nn_field_rule common[] = {
    {.path = "name",
     .type = NN_FIELD_STR,
     .max_bytes = 255,
     .not_blank = true,
     .summary = "name of the operation"},
    {.path = "labels",                               .type = NN_FIELD_STR_MAP,                     .summary = "texts to find it by"},
    {.path = "queue_priority",
     .type = NN_FIELD_STR,
     .words = "critical|high|normal|low",
     .summary = "level in the queue"},
    {.path = "timeout_s",
     .type = NN_FIELD_NUMBER,
     .min = 0,
     .max = 31536000,
     .min_open = true,
     .summary = "seconds it may run"},
    {.path = "webhook_url",
     .type = NN_FIELD_STR,
     .max_bytes = 2048,
     .not_blank = true,
     .summary = "where its events are sent"},
    {.path = "connector",               .type = NN_FIELD_STR, .words = "local",                                   .summary = "where it runs"                                                                                                            },
};

void nn_problem_add(nn_json *problems, const char *path, const char *type, const char *fmt, ...) {
    if (nn_json_size(problems) >= MAX_PROBLEMS) return;
    nn_json *p = nn_json_new_object(), *loc = nn_json_new_array();
    NN_BUF msg = {0};
    va_list ap;
    va_start(ap, fmt);
    nn_buf_vprintf(&msg, fmt, ap);
    va_end(ap);
    nn_json_push(loc, nn_json_new_str("body"));
    for (const char *at = path; *at; at += strspn(at, ".")) {
        size_t n = strcspn(at, ".");
        nn_json_push(loc, nn_json_new_strn(at, n));
        at += n;
    }
    nn_json_set(p, "loc", loc);
    nn_json_set(p, "field", nn_json_new_str(path));
    nn_json_set(p, "msg", nn_json_new_str(nn_buf_str(&msg)));
    nn_json_set(p, "type", nn_json_new_str(type));
    nn_json_push(problems, p);
}

/* The value at a dotted path; null counts as absent. */
static const nn_json *value_at(const nn_json *v, const char *path) {
    char name[64];
    for (;;) {
        size_t n = strcspn(path, ".");
        snprintf(name, sizeof name, "%.*s", (int)n, path);
        v = nn_json_get(v, name);
        if (!path[n]) break;
        path += n + 1;
    }
    return nn_json_typeof(v) == NN_JSON_NULL ? NULL : v;
}

static bool only_texts(void *ctx, const char *key, nn_json *v) {
    (void)key;
    *(bool *)ctx = nn_json_typeof(v) == NN_JSON_STRING;
    return *(bool *)ctx;
}

static bool has_type(const nn_json *v, nn_field_type type) {
    nn_json_type t = nn_json_typeof(v);
    bool texts = true;
    switch (type) {
    case NN_FIELD_STR:
        return t == NN_JSON_STRING;
    case NN_FIELD_INTEGER:
        return t == NN_JSON_INT;
    case NN_FIELD_NUMBER:
        return t == NN_JSON_INT || t == NN_JSON_REAL;
    case NN_FIELD_BOOL:
        return t == NN_JSON_BOOL;
    case NN_FIELD_OBJECT:
        return t == NN_JSON_OBJECT;
    case NN_FIELD_STR_LIST:
        for (size_t i = 0; i < nn_json_size(v); i++)
            texts = texts && nn_json_typeof(nn_json_at(v, i)) == NN_JSON_STRING;
        return t == NN_JSON_ARRAY && texts;
    case NN_FIELD_STR_MAP:
        if (t == NN_JSON_OBJECT) nn_json_each(v, only_texts, &texts);
        return t == NN_JSON_OBJECT && texts;
    }
    return false;
}

static bool is_word(const char *words, const char *s) {
    for (size_t n; *words; words += n + (words[n] == '|')) {
        n = strcspn(words, "|");
        if (strlen(s) == n && !strncmp(words, s, n)) return true;
    }
    return false;
}

static void check_text(const nn_field_rule *r, const char *s, nn_json *problems) {
    if (r->not_blank && !s[strspn(s, " \t\r\n")])
        nn_problem_add(problems, r->path, "blank", "must not be blank");
    else if (r->max_bytes && strlen(s) > r->max_bytes)
        nn_problem_add(problems, r->path, "too_long", "%zu bytes, at most %zu are allowed",
                       strlen(s), r->max_bytes);
    else if (r->words && !is_word(r->words, s))
        nn_problem_add(problems, r->path, "unknown_value", "'%.40s' is not one of %s", s, r->words);
}

static void check_number(const nn_field_rule *r, double v, nn_json *problems) {
    if (r->min == 0 && r->max == 0) return;
    bool low = r->min_open ? v <= r->min : v < r->min,
         high = r->max_open ? v >= r->max : v > r->max;
    if (low || high)
        nn_problem_add(problems, r->path, "out_of_range", "%g must be %s %g and %s %g", v,
                       r->min_open ? "greater than" : "at least", r->min,
                       r->max_open ? "less than" : "at most", r->max);
}

static void check_rule(const nn_field_rule *r, const nn_json *request, nn_json *problems) {
    static const char *const type[] = {"a string",        "an integer", "a number",
                                       "true or false",   "an object",  "a list of strings",
                                       "a map of strings"};
    const nn_json *v = value_at(request, r->path);
    if (!v) {
        if (r->required) nn_problem_add(problems, r->path, "missing", "is required");
    } else if (!has_type(v, r->type))
        nn_problem_add(problems, r->path, "wrong_type", "must be %s", type[r->type]);
    else if (r->type == NN_FIELD_STR)
        check_text(r, nn_json_str(v, ""), problems);
    else if (r->type == NN_FIELD_INTEGER || r->type == NN_FIELD_NUMBER)
        check_number(r, nn_json_num(v, 0), problems);
}

/* Unknown fields, of the request and of objects that have rules for their members. */
typedef struct unknowns {
    const nn_kind *kind;
    const char *prefix; /* "training_config." */
    const nn_json *request;
    nn_json *warnings;
} unknowns;

static const nn_field_rule *rule_at(const nn_kind *k, int i) {
    return i < k->n_fields                         ? &k->fields[i]
           : i - k->n_fields < NN_COUNT_OF(common) ? &common[i - k->n_fields]
                                                   : NULL;
}

static bool one_field(void *ctx, const char *key, nn_json *v) {
    unknowns *u = ctx;
    const char *names[MAX_NAMES + 1];
    int n = 0;
    size_t prefix = strlen(u->prefix);
    const nn_field_rule *r;
    (void)v;
    for (int i = 0; (r = rule_at(u->kind, i)) && n < MAX_NAMES; i++) {
        if (strncmp(r->path, u->prefix, prefix) || strchr(r->path + prefix, '.')) continue;
        if (!strcmp(r->path + prefix, key)) return true;
        names[n++] = r->path + prefix;
    }
    names[n] = NULL;
    NN_BUF text = {0};
    const char *near = nn_nearest(key, names);
    nn_buf_printf(&text, "unknown field '%s%.80s' ignored", u->prefix, key);
    if (near) nn_buf_printf(&text, "; did you mean '%s%s'?", u->prefix, near);
    if (nn_json_size(u->warnings) < MAX_PROBLEMS)
        nn_json_push(u->warnings, nn_json_new_str(nn_buf_str(&text)));
    return true;
}

static void check_unknown(const nn_kind *k, const nn_json *request, nn_json *warnings) {
    nn_json_each(request, one_field, &(unknowns){k, "", request, warnings});
    for (int i = 0; i < k->n_fields; i++) {
        char prefix[64];
        bool has_members = false;
        snprintf(prefix, sizeof prefix, "%s.", k->fields[i].path);
        for (int m = 0; m < k->n_fields; m++)
            has_members |= !strncmp(k->fields[m].path, prefix, strlen(prefix));
        const nn_json *v = value_at(request, k->fields[i].path);
        if (has_members && v) nn_json_each(v, one_field, &(unknowns){k, prefix, request, warnings});
    }
}

void nn_kind_check(const nn_kind *k, const nn_json *request, nn_json *problems, nn_json *warnings) {
    const nn_field_rule *r;
    for (int i = 0; (r = rule_at(k, i)); i++) check_rule(r, request, problems);
    check_unknown(k, request, warnings);
}

/* Running. */

void nn_jobs_set_run(nn_jobs *j, nn_kind_id k, nn_run_ctx_fn *fn, void *ctx) {
    j->run[k].fn = fn;
    j->run[k].ctx = ctx;
}

bool nn_kind_can_run(const nn_jobs *j, nn_kind_id k) {
    return j->run[k].fn || nn_kind_at(k)->run;
}

nn_status nn_kind_run(nn_jobs *j, nn_kind_id k, const nn_run *r, nn_json **ret_result,
                      nn_json **ret_details, nn_err *err) {
    if (j && j->run[k].fn) return j->run[k].fn(j->run[k].ctx, r, ret_result, ret_details, err);
    if (nn_kind_at(k)->run) return nn_kind_at(k)->run(r, ret_result, ret_details, err);
    return nn_fail(err, NN_E_UNSUPPORTED, "nothing here can run operations of kind '%s'",
                   nn_kind_id_name(k));
}
