/* SPDX-License-Identifier: MIT */
/* schema.c - see schema.h. One walk checks a value and fills in presets; another prints the table
 * as JSON Schema 2020-12. */
#include "base/schema.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/nearest.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_MAX_BYTES = 256, DEPTH = 16, WARNINGS_MAX = 50, NAMES_MAX = 64 };

typedef struct walk {
    const char *where;
    nn_json *errors, *warnings;
    char path[PATH_MAX_BYTES];
} walk;

/* ---- violations ---- */

/* ["body", "layers", 3, "units"] from "layers.3.units". */
static nn_json *location(const char *where, const char *path) {
    nn_json *loc = nn_json_new_array();
    nn_json_push(loc, nn_json_new_str(where));
    while (*path) {
        size_t n = strcspn(path, ".");
        if (n && strspn(path, "0123456789") == n)
            nn_json_push(loc, nn_json_new_int(strtoll(path, NULL, 10)));
        else
            nn_json_push(loc, nn_json_new_strn(path, n));
        path += path[n] == '.' ? n + 1 : n;
    }
    return loc;
}

void nn_schema_violation(nn_json *errors, const char *where, const char *path, const char *type,
                         const char *fmt, ...) {
    char msg[512];
    va_list ap;
    if (nn_json_size(errors) >= NN_MAX_VIOLATIONS) return;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    nn_json *e = nn_json_new_object();
    nn_json_set(e, "loc", location(where, path));
    nn_json_set(e, "field", nn_json_new_str(path));
    nn_json_set(e, "msg", nn_json_new_str(msg));
    nn_json_set(e, "type", nn_json_new_str(type));
    nn_json_push(errors, e);
}

#define violate(w, type, ...)                                                                      \
    nn_schema_violation((w)->errors, (w)->where, (w)->path, (type), __VA_ARGS__)

/* Appends a step to the path; returns the length to cut it back to. */
static size_t enter(walk *w, const char *name) {
    size_t n = strlen(w->path);
    snprintf(w->path + n, sizeof w->path - n, "%s%s", n ? "." : "", name);
    return n;
}

/* ---- values ---- */

static const char *type_name(nn_member_type t) {
    static const char *const names[] = {"value",   "string", "integer", "number",
                                        "boolean", "object", "array",   "object"};
    return names[t];
}

static bool type_fits(nn_member_type t, const nn_json *v) {
    nn_json_type have = nn_json_typeof(v);
    switch (t) {
    case NN_STRING:
        return have == NN_JSON_STRING;
    case NN_INTEGER:
        return have == NN_JSON_INT ||
               (have == NN_JSON_REAL && nn_json_num(v, 0) == floor(nn_json_num(v, 0)) &&
                fabs(nn_json_num(v, 0)) < 9007199254740992.0);
    case NN_NUMBER:
        return have == NN_JSON_INT || have == NN_JSON_REAL;
    case NN_BOOLEAN:
        return have == NN_JSON_BOOL;
    case NN_OBJECT:
    case NN_MAP:
        return have == NN_JSON_OBJECT;
    case NN_ARRAY:
        return have == NN_JSON_ARRAY;
    case NN_ANY:
        return true;
    }
    return false;
}

static bool has_word(const char *words, const char *s) {
    size_t n = strlen(s);
    for (const char *p = words; *p;) {
        size_t len = strcspn(p, " ");
        if (len == n && memcmp(p, s, n) == 0) return true;
        p += p[len] ? len + 1 : len;
    }
    return false;
}

/* "a, b or c" */
static const char *list_words(const char *words, char *buf, size_t cap) {
    size_t n = 0;
    for (const char *p = words; *p && n + 8 < cap;) {
        size_t len = strcspn(p, " ");
        const char *rest = p + len;
        const char *mark = p == words ? "" : *rest ? ", " : " or ";
        int k = snprintf(buf + n, cap - n, "%s%.*s", mark, (int)len, p);
        n = n + (size_t)k < cap ? n + (size_t)k : cap - 1;
        p = *rest ? rest + 1 : rest;
    }
    return buf;
}

/* "must be above 0 and at most 1000000 bytes long" */
static void violate_bounds(walk *w, const nn_member *f, const char *type, const char *unit) {
    char high[64] = "";
    if (!isinf(f->max))
        snprintf(high, sizeof high, " and %s %.15g", f->below_max ? "below" : "at most", f->max);
    violate(w, type, "must be %s %.15g%s%s", f->above_min ? "above" : "at least", f->min, high,
            unit);
}

static void check_bounds(walk *w, const nn_member *f, double v, const char *unit,
                         const char *over) {
    if (f->min == 0 && f->max == 0) return;
    bool low = f->above_min ? v <= f->min : v < f->min,
         high = f->below_max ? v >= f->max : v > f->max;
    if (low || high) violate_bounds(w, f, high ? over : "out_of_range", unit);
}

static bool format_fits(const char *format, const char *s) {
    int64_t us;
    if (strcmp(format, "uuid") == 0) return nn_id_valid(s, strlen(s));
    if (strcmp(format, "date-time") == 0) return nn_time_parse(s, strlen(s), &us, NULL) == NN_OK;
    return true;
}

static void check_string(walk *w, const nn_member *f, const char *s) {
    char words[256];
    if (f->one_of && !has_word(f->one_of, s)) {
        violate(w, "unknown_value", "must be %s, not '%.40s'",
                list_words(f->one_of, words, sizeof words), s);
        return;
    }
    if (f->format && !format_fits(f->format, s))
        violate(w, "bad_format", "must be a %s", f->format);
    if (f->min >= 1 && s[strspn(s, " \t\r\n")] == 0)
        violate(w, "blank", "must not be blank");
    else
        check_bounds(w, f, (double)strlen(s), " bytes long", "too_long");
}

static void check_object(walk *w, const nn_schema *s, const nn_json *v, int depth);

static void check_value(walk *w, const nn_member *f, nn_member_type type, const nn_json *v,
                        int depth);

/* The items of an array or map. */
static void check_item(walk *w, const nn_member *f, const char *step, const nn_json *v, int depth) {
    size_t back = enter(w, step);
    nn_member item = {
        .type = f->items, .of = f->of, .one_of = f->items == NN_STRING ? f->one_of : NULL};
    check_value(w, &item, f->items, v, depth);
    w->path[back] = 0;
}

typedef struct map_walk {
    walk *w;
    const nn_member *f;
    int depth;
} map_walk;

static bool check_map_item(void *ctx, const char *key, nn_json *v) {
    map_walk *m = ctx;
    check_item(m->w, m->f, key, v, m->depth + 1);
    return nn_json_size(m->w->errors) < NN_MAX_VIOLATIONS;
}

static void check_array(walk *w, const nn_member *f, const nn_json *v, int depth) {
    size_t n = nn_json_size(v);
    char step[24];
    check_bounds(w, f, (double)n, " items", "too_many");
    if (f->items == NN_ANY && !f->of) return;
    for (size_t i = 0; i < n && nn_json_size(w->errors) < NN_MAX_VIOLATIONS; i++) {
        snprintf(step, sizeof step, "%zu", i);
        check_item(w, f, step, nn_json_at(v, i), depth + 1);
    }
}

static void check_value(walk *w, const nn_member *f, nn_member_type type, const nn_json *v,
                        int depth) {
    if (!type_fits(type, v)) {
        violate(w, "wrong_type", "must be %s %s", strchr("aio", type_name(type)[0]) ? "an" : "a",
                type_name(type));
        return;
    }
    switch (type) {
    case NN_STRING:
        check_string(w, f, nn_json_str(v, ""));
        break;
    case NN_INTEGER:
    case NN_NUMBER:
        check_bounds(w, f, nn_json_num(v, 0), "", "out_of_range");
        break;
    case NN_OBJECT:
        if (f->of) check_object(w, f->of, v, depth + 1);
        break;
    case NN_ARRAY:
        check_array(w, f, v, depth);
        break;
    case NN_MAP:
        check_bounds(w, f, (double)nn_json_size(v), " entries", "too_many");
        nn_json_each(v, check_map_item, &(map_walk){w, f, depth});
        break;
    default:
        break;
    }
}

/* ---- objects ---- */

typedef struct unknown_walk {
    walk *w;
    const nn_schema *s;
} unknown_walk;

/* The field that a misspelt one was probably meant to be. */
static const char *meant(const nn_schema *s, const char *key) {
    const char *names[NAMES_MAX + 1];
    size_t n = 0;
    for (const nn_member *f = s->fields; f->name && n < NAMES_MAX; f++) names[n++] = f->name;
    names[n] = NULL;
    return nn_nearest(key, names);
}

static bool note_unknown(void *ctx, const char *key, nn_json *v) {
    unknown_walk *u = ctx;
    const nn_member *f = u->s->fields;
    char text[512];
    (void)v;
    while (f->name && strcmp(f->name, key) != 0) f++;
    if (f->name) return true;
    if (nn_json_size(u->w->warnings) >= WARNINGS_MAX) return false;
    const char *near = meant(u->s, key), *at = u->w->path, *dot = *at ? "." : "";
    int n = snprintf(text, sizeof text, "unknown field '%s%s%.80s' was ignored", at, dot, key);
    if (near)
        snprintf(text + n, sizeof text - (size_t)n, ", did you mean '%s%s%s'?", at, dot, near);
    nn_json_push(u->w->warnings, nn_json_new_str(text));
    return true;
}

static void check_member(walk *w, const nn_member *f, const nn_json *object, int depth) {
    const nn_json *v = nn_json_get(object, f->name);
    bool null = v && nn_json_typeof(v) == NN_JSON_NULL;
    if (!v || (null && !f->required)) {
        if (f->required && !f->preset) violate(w, "missing", "is required");
        return;
    }
    if (null && (f->nullable || f->type == NN_ANY)) return;
    check_value(w, f, f->type, v, depth);
}

static void check_object(walk *w, const nn_schema *s, const nn_json *v, int depth) {
    if (!s->fields || depth > DEPTH) return;
    if (w->warnings) nn_json_each(v, note_unknown, &(unknown_walk){w, s});
    for (const nn_member *f = s->fields; f->name; f++) {
        size_t back = enter(w, f->name);
        check_member(w, f, v, depth);
        w->path[back] = 0;
    }
}

nn_status nn_schema_check(const nn_schema *s, const nn_json *value, const char *where,
                          nn_json *errors, nn_json *warnings, nn_err *err) {
    walk w = {.where = where, .errors = errors, .warnings = warnings};
    size_t before = nn_json_size(errors);
    if (s->media) return NN_OK;
    if (!value) {
        violate(&w, "missing", "a body is required");
    } else if (s->type == NN_ARRAY) {
        nn_member items = {.type = NN_ARRAY, .items = NN_OBJECT, .of = s->of};
        check_value(&w, &items, NN_ARRAY, value, 0);
    } else if (nn_json_typeof(value) != NN_JSON_OBJECT) {
        violate(&w, "wrong_type", "must be an object");
    } else {
        check_object(&w, s, value, 0);
    }
    size_t n = nn_json_size(errors) - before;
    if (n == 0) return NN_OK;
    const nn_json *first = nn_json_at(errors, before);
    const char *field = nn_json_str(nn_json_get(first, "field"), ""),
               *msg = nn_json_str(nn_json_get(first, "msg"), "");
    return nn_fail(err, NN_E_VALIDATION_ERROR, "%s%s%s%s", *field ? field : where,
                   *field || value ? " " : ": ", msg, n > 1 ? " (and more)" : "");
}

/* ---- presets ---- */

static nn_json *preset(const nn_member *f) {
    switch (f->type) {
    case NN_INTEGER:
        return nn_json_new_int(strtoll(f->preset, NULL, 10));
    case NN_NUMBER:
        return nn_json_new_num(strtod(f->preset, NULL));
    case NN_BOOLEAN:
        return nn_json_new_bool(strcmp(f->preset, "true") == 0);
    default:
        return nn_json_new_str(f->preset);
    }
}

static bool fill_item(void *ctx, const char *key, nn_json *v) {
    (void)key;
    nn_schema_fill(ctx, v);
    return true;
}

static void fill_member(const nn_member *f, nn_json *v) {
    if (!f->of) return;
    if (f->type == NN_OBJECT) nn_schema_fill(f->of, v);
    if (f->type == NN_ARRAY)
        for (size_t i = 0; i < nn_json_size(v); i++) nn_schema_fill(f->of, nn_json_at(v, i));
    if (f->type == NN_MAP) nn_json_each(v, fill_item, (void *)f->of);
}

void nn_schema_fill(const nn_schema *s, nn_json *value) {
    if (nn_json_typeof(value) != NN_JSON_OBJECT) return;
    for (const nn_member *f = s->fields; f && f->name; f++) {
        nn_json *v = nn_json_get(value, f->name);
        if (v && nn_json_typeof(v) != NN_JSON_NULL)
            fill_member(f, v);
        else if (f->preset)
            nn_json_set(value, f->name, preset(f));
    }
}

/* ---- texts ---- */

nn_json *nn_schema_text(const nn_member *f, const char *text, const char *where, nn_json *errors) {
    walk w = {.where = where, .errors = errors};
    char *end = NULL;
    nn_json *v = NULL;
    size_t before = nn_json_size(errors);
    enter(&w, f->name);
    errno = 0;
    if (f->type == NN_INTEGER) {
        int64_t i = strtoll(text, &end, 10);
        if (*text && !strchr(" \t+", *text) && !*end && !errno) v = nn_json_new_int(i);
    } else if (f->type == NN_NUMBER) {
        double d = strtod(text, &end);
        if (*text && strspn(text, "0123456789+-.eE") == strlen(text) && !*end && isfinite(d))
            v = nn_json_new_num(d);
    } else if (f->type == NN_BOOLEAN) {
        if (has_word("true 1 yes on", text)) v = nn_json_new_bool(true);
        if (has_word("false 0 no off", text)) v = nn_json_new_bool(false);
    } else {
        v = nn_json_new_str(text);
    }
    if (!v) {
        violate(&w, "wrong_type", "must be %s %s", f->type == NN_INTEGER ? "an" : "a",
                type_name(f->type));
        return NULL;
    }
    check_value(&w, f, f->type, v, 0);
    if (nn_json_size(errors) == before) return v;
    nn_json_unref(v);
    return NULL;
}

/* ---- printing ---- */

static nn_json *reference(const char *name) {
    char text[128];
    snprintf(text, sizeof text, "#/components/schemas/%s", name);
    nn_json *o = nn_json_new_object();
    nn_json_set(o, "$ref", nn_json_new_str(text));
    return o;
}

static nn_json *word_list(const char *words) {
    nn_json *list = nn_json_new_array();
    for (const char *p = words; *p;) {
        size_t n = strcspn(p, " ");
        nn_json_push(list, nn_json_new_strn(p, n));
        p += p[n] ? n + 1 : n;
    }
    return list;
}

static nn_json *print_bound(double v) {
    return v == floor(v) && fabs(v) < 9e15 ? nn_json_new_int((int64_t)v) : nn_json_new_num(v);
}

static void print_bounds(nn_json *o, const nn_member *f) {
    static const struct {
        const char *min, *max;
    } keys[] = {
        [NN_STRING] = {"minLength",     "maxLength"    },
          [NN_INTEGER] = {"minimum",       "maximum"      },
        [NN_NUMBER] = {"minimum",       "maximum"      },
          [NN_ARRAY] = {"minItems",      "maxItems"     },
        [NN_MAP] = {"minProperties", "maxProperties"},
    };
    if ((f->min == 0 && f->max == 0) || !keys[f->type].min) return;
    bool is_number = f->type == NN_INTEGER || f->type == NN_NUMBER;
    const char *min = f->above_min ? "exclusiveMinimum" : keys[f->type].min,
               *max = f->below_max ? "exclusiveMaximum" : keys[f->type].max;
    if (f->min != 0 || is_number) nn_json_set(o, min, print_bound(f->min));
    if (!isinf(f->max)) nn_json_set(o, max, print_bound(f->max));
}

static nn_json *print_type(nn_member_type t, const nn_schema *of) {
    if (t == NN_OBJECT && of) return reference(of->name);
    nn_json *o = nn_json_new_object();
    if (t != NN_ANY) nn_json_set(o, "type", nn_json_new_str(type_name(t)));
    return o;
}

/* {"anyOf": [it, {"type": "null"}]} for a reference, else its type becomes a list. */
static nn_json *print_nullable(nn_json *o) {
    nn_json *list = nn_json_new_array();
    const char *type = nn_json_str(nn_json_get(o, "type"), NULL);
    if (type) {
        nn_json_push(list, nn_json_new_str(type));
        nn_json_push(list, nn_json_new_str("null"));
        nn_json_set(o, "type", list);
        if (nn_json_get(o, "enum")) nn_json_push(nn_json_get(o, "enum"), nn_json_new_null());
        return o;
    }
    if (!nn_json_get(o, "$ref")) {
        nn_json_unref(list);
        return o;
    }
    nn_json *null = nn_json_new_object(), *any = nn_json_new_object();
    nn_json_set(null, "type", nn_json_new_str("null"));
    nn_json_push(list, o);
    nn_json_push(list, null);
    nn_json_set(any, "anyOf", list);
    return any;
}

nn_json *nn_schema_print_member(const nn_member *f) {
    nn_json *o = print_type(f->type, f->of), *items = o;
    if (f->type == NN_ARRAY || f->type == NN_MAP) {
        items = print_type(f->items, f->of);
        nn_json_set(o, f->type == NN_ARRAY ? "items" : "additionalProperties", items);
    }
    if (f->one_of) nn_json_set(items, "enum", word_list(f->one_of));
    if (f->format) nn_json_set(items, "format", nn_json_new_str(f->format));
    print_bounds(o, f);
    if (f->nullable) o = print_nullable(o);
    if (f->preset) nn_json_set(o, "default", preset(f));
    if (f->help) nn_json_set(o, "description", nn_json_new_str(f->help));
    return o;
}

nn_json *nn_schema_print(const nn_schema *s) {
    nn_json *o = nn_json_new_object();
    if (s->help) nn_json_set(o, "description", nn_json_new_str(s->help));
    if (s->type == NN_ARRAY) {
        nn_json_set(o, "type", nn_json_new_str("array"));
        nn_json_set(o, "items", s->of ? reference(s->of->name) : nn_json_new_object());
        return o;
    }
    nn_json_set(o, "type", nn_json_new_str("object"));
    if (!s->fields) return o;
    nn_json *properties = nn_json_new_object(), *required = nn_json_new_array();
    for (const nn_member *f = s->fields; f->name; f++) {
        nn_json_set(properties, f->name, nn_schema_print_member(f));
        if (f->required) nn_json_push(required, nn_json_new_str(f->name));
    }
    nn_json_set(o, "properties", properties);
    if (nn_json_size(required))
        nn_json_set(o, "required", required);
    else
        nn_json_unref(required);
    return o;
}
