/* SPDX-License-Identifier: MIT */
/* value.c - one value of the tree to one bound argument: types, ranges and the implicit conversion
 * of a float without a fraction. */
#include "compile/check.h"
#include "compile/model_data.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Who wants the value, for messages. */
typedef struct want {
    nn_check *c;
    const char *owner;
    const nn_param *p;
} want;

const char *nn_check_word(const nn_value *v) {
    return v->kind == NN_V_STRING || v->kind == NN_V_NAME ? v->text : NULL;
}

const char *nn_check_show(const nn_value *v, char *buf, size_t cap) {
    switch (v->kind) {
    case NN_V_INT:
    case NN_V_FLOAT:
        snprintf(buf, cap, "%.40s", v->text);
        break;
    case NN_V_STRING:
        snprintf(buf, cap, "\"%.40s\"", v->text);
        break;
    case NN_V_NAME:
        snprintf(buf, cap, "'%.40s'", v->text);
        break;
    case NN_V_BOOL:
        snprintf(buf, cap, "%s", v->i ? "true" : "false");
        break;
    case NN_V_NONE:
        snprintf(buf, cap, "None");
        break;
    case NN_V_TUPLE:
        snprintf(buf, cap, "a tuple of %d", v->count);
        break;
    case NN_V_LIST:
        snprintf(buf, cap, "a list of %d", v->count);
        break;
    case NN_V_CALL:
        snprintf(buf, cap, "%.40s(…)", v->call->name);
        break;
    default:
        snprintf(buf, cap, "%s", v->kind == NN_V_DICT ? "a dictionary" : "an expression");
    }
    return buf;
}

static bool wrong_type(want w, const nn_value *v, const char *expected) {
    char got[64];
    if (v->kind == NN_V_ERROR) return false; /* the parser reported it */
    NN_ERROR(w.c, "wrong-type", v->span, "%s %s must be %s, got %s", w.owner, w.p->name, expected,
             nn_check_show(v, got, sizeof got));
    return false;
}

static bool out_of_range(want w, const nn_value *v, const char *expected) {
    char got[64];
    NN_ERROR(w.c, "out-of-range", v->span, "%s %s must be %s, got %s", w.owner, w.p->name, expected,
             nn_check_show(v, got, sizeof got));
    return false;
}

/* ---- numbers ---- */

/* An integer, or a float that is one, with a warning. */
static bool whole(want w, const nn_value *v, const char *expected, int64_t *ret) {
    if (v->kind == NN_V_INT) {
        *ret = v->i;
        return true;
    }
    if (v->kind != NN_V_FLOAT || v->f != floor(v->f) || !(fabs(v->f) < 9e15))
        return wrong_type(w, v, expected);
    *ret = (int64_t)v->f;
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, *ret);
    nn_diag *d = NN_WARN(w.c, "implicit-conversion", v->span,
                         "implicit conversion of %s to integer %s", v->text, text);
    char *copy = nn_arena_strdup(w.c->arena, text);
    if (copy) nn_diag_fix(w.c->diags, d, v->span, copy, "write the integer");
    return true;
}

static void int_range(const nn_param *p, char *buf, size_t cap) {
    bool open = p->max == 0 || p->max == (double)NN_MAX_DIM;
    if (open && p->min == 1)
        snprintf(buf, cap, "a positive integer");
    else if (open)
        snprintf(buf, cap, "an integer of %.0f or more", p->min);
    else
        snprintf(buf, cap, "an integer from %.0f to %.0f", p->min, p->max);
}

static bool to_int(want w, const nn_value *v, nn_bound *to) {
    char expected[80];
    int_range(w.p, expected, sizeof expected);
    int64_t i;
    if (!whole(w, v, expected, &i)) return false;
    if (w.p->max != 0 && (double)i > w.p->max)
        snprintf(expected, sizeof expected, "at most %.0f", w.p->max);
    if ((double)i < w.p->min || (w.p->max != 0 && (double)i > w.p->max))
        return out_of_range(w, v, expected);
    to->i = i;
    return true;
}

static void float_range(const nn_param *p, char *buf, size_t cap) {
    if (p->max == 0)
        snprintf(buf, cap, "%s %g", p->above_min ? "above" : "at least", p->min);
    else
        snprintf(buf, cap, "between %g%s and %g%s", p->min, p->above_min ? " (excluded)" : "",
                 p->max, p->below_max ? " (excluded)" : "");
}

static bool to_float(want w, const nn_value *v, nn_bound *to) {
    const nn_param *p = w.p;
    if (v->kind != NN_V_INT && v->kind != NN_V_FLOAT) return wrong_type(w, v, "a number");
    char expected[80];
    float_range(p, expected, sizeof expected);
    double f = v->f;
    bool low = p->above_min ? f > p->min : f >= p->min;
    bool high = p->max == 0 || (p->below_max ? f < p->max : f <= p->max);
    if (!isfinite(f) || !low || !high) return out_of_range(w, v, expected);
    to->f = f;
    return true;
}

static bool to_bool(want w, const nn_value *v, nn_bound *to) {
    if (v->kind != NN_V_BOOL) return wrong_type(w, v, "true or false");
    to->b = v->i != 0;
    return true;
}

/* ---- tuples ---- */

static bool is_sequence(const nn_value *v) {
    return v->kind == NN_V_TUPLE || v->kind == NN_V_LIST;
}

static bool one_dim(want w, const nn_value *v, const char *expected, int64_t *ret) {
    if (!whole(w, v, expected, ret)) return false;
    if ((double)*ret >= w.p->min && *ret <= NN_MAX_DIM) return true;
    return out_of_range(w, v, expected);
}

static bool to_dims(want w, const nn_value *v, nn_bound *to) {
    char expected[80];
    const char *sign = w.p->min >= 1 ? "positive" : "non-negative";
    if (w.p->rank == 1)
        snprintf(expected, sizeof expected, "a %s integer", sign);
    else
        snprintf(expected, sizeof expected, "a %s integer or %d %s integers", sign, w.p->rank,
                 sign);
    int64_t dims[NN_MAX_SPATIAL];
    if (!is_sequence(v)) {
        if (!one_dim(w, v, expected, &dims[0])) return false;
        for (int i = 1; i < w.p->rank; i++) dims[i] = dims[0];
    } else {
        if (v->count != w.p->rank) return wrong_type(w, v, expected);
        int i = 0;
        for (const nn_value *e = v->items; e; e = e->next)
            if (!one_dim(w, e, expected, &dims[i++])) return false;
    }
    memcpy(to->dims, dims, (size_t)w.p->rank * sizeof dims[0]);
    return true;
}

static bool shape_dim(want w, const nn_value *v, nn_shape *to) {
    char expected[80];
    snprintf(expected, sizeof expected, "%s",
             w.p->min >= 1 ? "positive integers or None" : "positive integers, one -1, or None");
    int64_t d = NN_DIM_UNKNOWN;
    if (v->kind != NN_V_NONE && !one_dim(w, v, expected, &d)) return false;
    to->dim[to->rank++] = d;
    return true;
}

static bool to_shape(want w, const nn_value *v, nn_bound *to) {
    nn_shape s = {0};
    nn_param named = *w.p; /* "input dimensions must be positive …" */
    if (strcmp(named.name, "shape") == 0) named.name = "dimensions";
    w.p = &named;
    if (!is_sequence(v)) {
        if (v->kind != NN_V_INT && v->kind != NN_V_FLOAT)
            return wrong_type(w, v, "a shape such as (28, 28, 1)");
        if (!shape_dim(w, v, &s)) return false;
    } else if (v->count > NN_MAX_RANK) {
        return wrong_type(w, v, "a shape of at most 8 axes");
    } else {
        for (const nn_value *e = v->items; e; e = e->next)
            if (!shape_dim(w, e, &s)) return false;
    }
    to->shape = s;
    return true;
}

/* ---- words ---- */

/* Reports a word that no table has, with the nearest of `names`. */
static bool unknown_word(want w, const nn_value *v, const char *kind, const char *const *names) {
    nn_diag *d = NN_ERROR(w.c, "unknown-name", v->span, "%s: invalid %s '%.60s'", w.owner, kind,
                          nn_check_word(v));
    nn_check_suggest(w.c, d, v->span, nn_check_word(v), names);
    return false;
}

static bool to_string(want w, const nn_value *v, nn_bound *to) {
    to->s = nn_check_word(v);
    return to->s || wrong_type(w, v, "a text");
}

/* The canonical spelling of a word in a "|"-separated list, in the arena; NULL if it has none. */
static const char *find_word(nn_check *c, const char *words, const char *word) {
    size_t len = strlen(word);
    for (const char *p = words; *p;) {
        size_t n = strcspn(p, "|");
        if (n == len && strncasecmp(p, word, n) == 0) return nn_arena_strndup(c->arena, p, n);
        p += n + (p[n] == '|');
    }
    return NULL;
}

static bool to_enum(want w, const nn_value *v, nn_bound *to) {
    char expected[160];
    snprintf(expected, sizeof expected, "one of %s", w.p->words);
    for (char *p = expected; *p; p++)
        if (*p == '|') *p = ' ';
    const char *word = nn_check_word(v);
    if (!word) return wrong_type(w, v, expected);
    to->s = find_word(w.c, w.p->words, word);
    return to->s || out_of_range(w, v, expected);
}

static bool to_padding(want w, const nn_value *v, nn_bound *to) {
    static const char *const words[] = {
        [NN_PAD_VALID] = "valid", [NN_PAD_SAME] = "same", [NN_PAD_CAUSAL] = "causal"};
    char expected[80];
    if (w.p->rank == 1)
        snprintf(expected, sizeof expected, "valid, same, causal or an integer");
    else
        snprintf(expected, sizeof expected, "valid, same, an integer or %d integers", w.p->rank);
    const char *word = nn_check_word(v);
    if (!word) {
        to->padding = NN_PAD_EXPLICIT;
        if (v->kind == NN_V_INT || v->kind == NN_V_FLOAT || is_sequence(v))
            return to_dims(w, v, to);
        return wrong_type(w, v, expected);
    }
    for (int i = 0; i <= (w.p->rank == 1 ? NN_PAD_CAUSAL : NN_PAD_SAME); i++)
        if (strcasecmp(word, words[i]) == 0) {
            to->padding = (nn_padding_kind)i;
            return true;
        }
    return out_of_range(w, v, expected);
}

/* One axis of a border: n on both sides, or (before, after). */
static bool border_side(want w, const nn_value *v, const char *expected, int64_t *before,
                        int64_t *after) {
    if (!is_sequence(v)) {
        if (!one_dim(w, v, expected, before)) return false;
        *after = *before;
        return true;
    }
    if (v->count != 2) return wrong_type(w, v, expected);
    return one_dim(w, v->items, expected, before) && one_dim(w, v->items->next, expected, after);
}

/* Keras: of one axis, (1, 2) is before and after; of more, a tuple has an entry an axis. */
static bool to_border(want w, const nn_value *v, nn_bound *to) {
    char expected[96];
    snprintf(expected, sizeof expected,
             w.p->rank == 1 ? "a non-negative integer or (before, after)"
                            : "a non-negative integer or %d of them, each an integer or (before, "
                              "after)",
             w.p->rank);
    int n = 0;
    if (!is_sequence(v) || w.p->rank == 1) {
        if (!border_side(w, v, expected, &to->dims[0], &to->after[0])) return false;
        for (n = 1; n < w.p->rank; n++) to->dims[n] = to->dims[0], to->after[n] = to->after[0];
        return true;
    }
    if (v->count != w.p->rank) return wrong_type(w, v, expected);
    for (const nn_value *e = v->items; e; e = e->next, n++)
        if (!border_side(w, e, expected, &to->dims[n], &to->after[n])) return false;
    return true;
}

static bool to_axes(want w, const nn_value *v, nn_bound *to) {
    char expected[96];
    snprintf(expected, sizeof expected, "an integer from %.0f to %.0f, or two of them", w.p->min,
             w.p->max);
    if (is_sequence(v) && v->count != 2) return wrong_type(w, v, expected);
    const nn_value *e = is_sequence(v) ? v->items : v;
    for (int i = 0; i < 2; i++, e = is_sequence(v) ? e->next : e) {
        if (!whole(w, e, expected, &to->dims[i])) return false;
        if ((double)to->dims[i] < w.p->min || (double)to->dims[i] > w.p->max)
            return out_of_range(w, e, expected);
    }
    return true;
}

static bool to_layer(want w, const nn_value *v, nn_bound *to) {
    if (v->kind != NN_V_CALL) return wrong_type(w, v, "a layer, such as LSTM(64)");
    to->inner = nn_check_inner(w.c, v->call);
    return to->inner != NULL;
}

static bool to_names(want w, const nn_value *v, nn_bound *to) {
    static const char expected[] = "the name of a layer, or a list of names";
    int n = is_sequence(v) ? v->count : 1;
    const char **names = nn_check_alloc(w.c, (size_t)(n ? n : 1) * sizeof *names);
    if (!names || n == 0 || n > NN_MAX_INPUTS) return wrong_type(w, v, expected);
    const nn_value *e = is_sequence(v) ? v->items : v;
    for (int i = 0; i < n; i++, e = e->next) {
        names[i] = nn_check_word(e);
        if (!names[i]) return wrong_type(w, e, expected);
    }
    to->names = names;
    to->n_names = n;
    return true;
}

/* As JSON, dictionaries and lists included. */
static bool to_any(want w, const nn_value *v, nn_bound *to) {
    if (v->kind == NN_V_ERROR) return false; /* the parser reported it */
    NN_BUF text = {0};
    NN_JSON *json = nn_value_json(v);
    nn_json_dump(json, 0, &text);
    char *copy = nn_check_alloc(w.c, text.n + 1);
    if (copy) memcpy(copy, nn_buf_str(&text), text.n + 1);
    to->s = copy;
    return copy != NULL;
}

static bool to_activation(want w, const nn_value *v, nn_bound *to) {
    const char *word = nn_check_word(v);
    if (v->kind == NN_V_NONE) word = "linear";
    if (!word) return wrong_type(w, v, "the name of an activation");
    to->s = nn_activation_find(strcasecmp(word, "none") == 0 ? "linear" : word);
    return to->s || unknown_word(w, v, "activation function", nn_activation_names());
}

/* ---- words with arguments ---- */

/* The name of a word or call; NULL (reported) for another kind of value. */
static const char *callee(want w, const nn_value *v, const char *expected) {
    const char *word = v->kind == NN_V_CALL ? v->call->name : nn_check_word(v);
    if (!word) wrong_type(w, v, expected);
    return word;
}

static bool bind_call(want w, const nn_value *v, const char *name, const nn_param *params,
                      nn_bound *out) {
    return nn_check_bind_all(w.c, name, v->span, params,
                             v->kind == NN_V_CALL ? v->call->args : NULL, out);
}

/* Arguments of the initialisers: a, b and seed of nn_initializer, in this order. */
static const nn_param *initializer_params(nn_init_kind k) {
#define SEED                                                                                       \
    { .name = "seed", .type = NN_P_INT, .help = "of the random numbers" }
#define NUM(n)                                                                                     \
    { .name = n, .type = NN_P_FLOAT, .positional = true, .min = -1e300, .help = "a number" }
#define NONE                                                                                       \
    { 0 }
    static const nn_param none[] = {NONE}, seeded[] = {SEED, NONE};
    static const nn_param constant[] = {NUM("value"), NONE};
    static const nn_param normal[] = {NUM("mean"), NUM("stddev"), SEED, NONE};
    static const nn_param uniform[] = {NUM("minval"), NUM("maxval"), SEED, NONE};
    static const nn_param orthogonal[] = {NUM("gain"), SEED, NONE},
                          identity[] = {NUM("gain"), NONE};
#undef SEED
#undef NUM
#undef NONE
    switch (k) {
    case NN_INIT_ZEROS:
    case NN_INIT_ONES:
        return none;
    case NN_INIT_CONSTANT:
        return constant;
    case NN_INIT_RANDOM_NORMAL:
    case NN_INIT_TRUNCATED_NORMAL:
        return normal;
    case NN_INIT_RANDOM_UNIFORM:
        return uniform;
    case NN_INIT_ORTHOGONAL:
        return orthogonal;
    case NN_INIT_IDENTITY:
        return identity;
    default:
        return seeded;
    }
}

static bool to_initializer(want w, const nn_value *v, nn_bound *to) {
    const char *name = callee(w, v, "an initializer, such as he_normal or constant(0.1)");
    if (!name) return false;
    int k = nn_init_find(name, &to->init);
    if (k < 0) {
        const char *names[NN_INIT_COUNT + 1] = {0};
        for (int i = 0; i < NN_INIT_COUNT; i++) names[i] = nn_init_name((nn_init_kind)i);
        nn_diag *d = NN_ERROR(w.c, "unknown-name", v->span, "%s: invalid initializer '%.60s'",
                              w.owner, name);
        nn_check_suggest(w.c, d, v->span, name, names);
        return false;
    }
    nn_bound args[NN_MAX_PARAMS] = {0};
    const nn_param *params = initializer_params((nn_init_kind)k);
    if (!bind_call(w, v, nn_init_name((nn_init_kind)k), params, args)) return false;
    double *numbers[] = {&to->init.a, &to->init.b};
    for (int i = 0, n = 0; params[i].name; i++) {
        bool number = params[i].type == NN_P_FLOAT;
        if (number && args[i].set) *numbers[n] = args[i].f;
        n += number;
        if (number || !args[i].set) continue;
        to->init.seeded = true;
        to->init.seed = (uint64_t)args[i].i;
    }
    bool spread = k == NN_INIT_RANDOM_NORMAL || k == NN_INIT_TRUNCATED_NORMAL;
    if (spread && to->init.b < 0) return out_of_range(w, v, "of a stddev of at least 0");
    return true;
}

static bool to_regularizer(want w, const nn_value *v, nn_bound *to) {
#define PENALTY(n)                                                                                 \
    { .name = n, .type = NN_P_FLOAT, .positional = true, .fallback = "0.01", .help = "its weight" }
    static const nn_param l1[] = {PENALTY("l1"), {0}}, l2[] = {PENALTY("l2"), {0}};
    static const nn_param both[] = {PENALTY("l1"), PENALTY("l2"), {0}};
#undef PENALTY
    static const char *const names[] = {"l1", "l2", "l1_l2", NULL};
    const nn_param *const params[] = {l1, l2, both};
    const char *name = callee(w, v, "l1(…), l2(…) or l1_l2(…, …)");
    if (!name) return false;
    int k = 0;
    while (names[k] && !nn_name_equal(names[k], name)) k++;
    if (!names[k]) {
        nn_diag *d = NN_ERROR(w.c, "unknown-name", v->span, "%s: invalid regularizer '%.60s'",
                              w.owner, name);
        nn_check_suggest(w.c, d, v->span, name, names);
        return false;
    }
    nn_bound args[NN_MAX_PARAMS] = {0};
    if (!bind_call(w, v, names[k], params[k], args)) return false;
    to->reg = (nn_regularizer){k == 1 ? 0 : args[0].f, k == 0 ? 0 : args[k == 2].f};
    return true;
}

static bool to_constraint(want w, const nn_value *v, nn_bound *to) {
#define NUM(n, d)                                                                                  \
    { .name = n, .type = NN_P_FLOAT, .positional = true, .fallback = d, .help = "a norm" }
    static const nn_param none[] = {{0}}, max_norm[] = {NUM("max_value", "2"), {0}};
    static const nn_param min_max[] = {
        NUM("min_value", "0"),
        NUM("max_value", "1"),
        {.name = "rate",
                            .type = NN_P_FLOAT,
                            .positional = true,
                            .max = 1,
                            .fallback = "1",
                            .help = "how much of the way to go"},
        {0}
    };
    static const char *const names[] = {"max_norm", "non_neg", "unit_norm", "min_max_norm", NULL};
    const char *name = callee(w, v, "a constraint, such as max_norm(2)");
    if (!name) return false;
    int k = nn_constraint_find(name);
    if (k <= NN_CONSTRAINT_NONE) {
        nn_diag *d =
            NN_ERROR(w.c, "unknown-name", v->span, "%s: invalid constraint '%.60s'", w.owner, name);
        nn_check_suggest(w.c, d, v->span, name, names);
        return false;
    }
    const nn_param *params = k == NN_CONSTRAINT_MAX_NORM       ? max_norm
                             : k == NN_CONSTRAINT_MIN_MAX_NORM ? min_max
                                                               : none;
    nn_bound a[NN_MAX_PARAMS] = {0};
    if (!bind_call(w, v, nn_constraint_name((nn_constraint_kind)k), params, a)) return false;
    to->con = (nn_constraint){.kind = (nn_constraint_kind)k, .rate = 1};
    if (k == NN_CONSTRAINT_MAX_NORM) to->con.max = a[0].f;
    if (k != NN_CONSTRAINT_MIN_MAX_NORM) return true;
    to->con = (nn_constraint){(nn_constraint_kind)k, a[0].f, a[1].f, a[2].f};
    return to->con.min <= to->con.max || out_of_range(w, v, "of min_value <= max_value");
}

static bool (*const converters[])(want, const nn_value *, nn_bound *) = {
    [NN_P_INT] = to_int,
    [NN_P_FLOAT] = to_float,
    [NN_P_BOOL] = to_bool,
    [NN_P_STRING] = to_string,
    [NN_P_ENUM] = to_enum,
    [NN_P_DIMS] = to_dims,
    [NN_P_SHAPE] = to_shape,
    [NN_P_PADDING] = to_padding,
    [NN_P_ACTIVATION] = to_activation,
    [NN_P_INITIALIZER] = to_initializer,
    [NN_P_REGULARIZER] = to_regularizer,
    [NN_P_CONSTRAINT] = to_constraint,
    [NN_P_BORDER] = to_border,
    [NN_P_AXES] = to_axes,
    [NN_P_LAYER] = to_layer,
    [NN_P_NAMES] = to_names,
    [NN_P_ANY] = to_any,
};

/* None is a size in a shape and the linear activation; elsewhere it is as if the argument was left
 * out, where that is possible. */
static bool means_absent(const nn_param *p, const nn_value *v) {
    return v->kind == NN_V_NONE && !p->required && !p->fallback && p->type != NN_P_SHAPE &&
           p->type != NN_P_ACTIVATION;
}

/* Types whose values may be calls, also in quotes: "constant(0.1)". */
static bool takes_calls(nn_param_type t) {
    return t == NN_P_INITIALIZER || t == NN_P_REGULARIZER || t == NN_P_CONSTRAINT;
}

/* Values that come before anything is built, or that others refer to. */
static bool may_be_searched(const nn_param *p) {
    return p->type != NN_P_NAMES && strcmp(p->name, "shape") != 0 &&
           strcmp(p->name, "batch_shape") != 0 && strcmp(p->name, "name") != 0 &&
           strcmp(p->name, "device") != 0;
}

/* A sequence with its search points resolved: a copy, the program's own stays as it is. */
static nn_value *resolve_elements(nn_check *c, const char *owner, const nn_param *p, nn_value *v) {
    nn_param one = *p;
    one.type = NN_P_INT;
    nn_value *copy = nn_check_alloc(c, sizeof *copy), **tail = copy ? &copy->items : NULL;
    if (!copy) return NULL;
    *copy = *v;
    int i = 0;
    for (nn_value *e = v->items; e; e = e->next, i++) {
        size_t mark = nn_check_push_index(c, "", i);
        nn_value *r =
            is_sequence(e) ? resolve_elements(c, owner, p, e) : nn_check_resolve(c, owner, &one, e);
        nn_check_pop(c, mark);
        nn_value *kept = r ? nn_check_alloc(c, sizeof *kept) : NULL;
        if (!kept) return NULL;
        *kept = *r;
        kept->next = NULL;
        *tail = kept;
        tail = &kept->next;
    }
    return copy;
}

bool nn_check_value(nn_check *c, const char *owner, const nn_param *p, nn_value *v, nn_bound *to) {
    if (is_sequence(v) && p->type != NN_P_ANY && may_be_searched(p) && nn_check_search_in(v)) {
        v = resolve_elements(c, owner, p, v);
        if (!v) return false;
    }
    if (v->kind == NN_V_HPO) {
        if (!may_be_searched(p)) {
            NN_ERROR(c, "bad-hpo", v->span, "%s: '%s' cannot be searched", owner, p->name);
            return false;
        }
        v = nn_check_resolve(c, owner, p, v);
        if (!v) return false;
    }
    if (means_absent(p, v)) return true;
    int errors = c->diags->errors;
    if (takes_calls(p->type)) nn_parse_quoted(c->arena, c->source, v, c->diags);
    if (c->diags->errors != errors) return false;
    nn_bound b = {.set = true, .given = true, .span = v->span};
    if (!converters[p->type]((want){c, owner, p}, v, &b)) return false;
    *to = b;
    return true;
}

nn_bound nn_check_fallback(const nn_param *p) {
    nn_bound b = {0};
    if (!p->fallback) return b;
    b.set = true;
    b.s = p->fallback;
    b.f = strtod(p->fallback, NULL);
    b.i = (int64_t)b.f;
    b.b = strcmp(p->fallback, "true") == 0;
    for (int i = 0; i < NN_MAX_SPATIAL; i++) b.dims[i] = b.after[i] = b.i;
    if (p->type == NN_P_INITIALIZER) nn_init_find(p->fallback, &b.init);
    b.padding = strcmp(p->fallback, "same") == 0 ? NN_PAD_SAME : NN_PAD_VALID;
    return b;
}
