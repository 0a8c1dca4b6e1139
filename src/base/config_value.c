/* SPDX-License-Identifier: MIT */
/* config_value.c - from text to value. A rule that cannot be read is a mistake in config.def and
 * aborts. */
#include "base/config_value.h"

#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool parse_int(const char *s, int64_t *ret) {
    char *end;
    if (!((*s >= '0' && *s <= '9') || (*s == '-' && s[1] >= '0' && s[1] <= '9'))) return false;
    long long v = strtoll(s, &end, 10);
    if (*end || v == INT64_MAX || v == INT64_MIN) return false;
    *ret = v;
    return true;
}

static bool parse_size(const char *s, int64_t *ret) {
    char digits[24];
    size_t n = strspn(s, "0123456789");
    if (!n || n >= sizeof digits) return false;
    memcpy(digits, s, n);
    digits[n] = 0;
    const char *unit = s + n, *units = "KMG", *at = *unit ? strchr(units, *unit & ~0x20) : NULL;
    if (*unit && (!at || (unit[1] && strcasecmp(unit + 1, "iB")))) return false;
    int64_t v, scale = at ? INT64_C(1) << (10 * (at - units + 1)) : 1;
    return parse_int(digits, &v) && !__builtin_mul_overflow(v, scale, ret);
}

/* Digits with one point, as every locale must read them here. */
static bool parse_num(const char *s, double *ret) {
    NN_JSON *v = NULL;
    size_t n = strlen(s);
    if (!n || strspn(s, "0123456789.eE+-") != n || nn_json_parse(s, n, &v, NULL)) return false;
    *ret = nn_json_num(v, NAN);
    return isfinite(*ret);
}

static bool parse_bool(const char *s, bool *ret) {
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (int i = 0; i < 8; i++)
        if (strcasecmp(s, words[i]) == 0) {
            *ret = i % 2;
            return true;
        }
    return false;
}

/* The two ends of "low..high"; false when the row has no such rule. */
static bool bounds(const nn_cfg_row *row, char low[32], char high[32]) {
    const char *dots = strstr(row->rule, "..");
    if (!dots) return false;
    snprintf(low, 32, "%.*s", (int)(dots - row->rule), row->rule);
    snprintf(high, 32, "%s", dots + 2);
    return true;
}

static const char *check_int(nn_arena *a, const nn_cfg_row *row, nn_cfg_value *v) {
    bool (*parse)(const char *, int64_t *) = row->type == NN_CFG_SIZE ? parse_size : parse_int;
    char low[32], high[32];
    int64_t min = INT64_MIN, max = INT64_MAX;
    bool bounded = bounds(row, low, high);
    if (bounded && !(parse(low, &min) && parse(high, &max))) abort(); /* a row of ours */
    if (parse(v->text, &v->i) && v->i >= min && v->i <= max) return NULL;
    const char *what = row->type == NN_CFG_SIZE ? "a number of bytes like 10M" : "a whole number";
    return bounded ? nn_arena_printf(a, "expected %s from %s to %s", what, low, high)
                   : nn_arena_printf(a, "expected %s", what);
}

static const char *check_num(nn_arena *a, const nn_cfg_row *row, nn_cfg_value *v) {
    char low[32], high[32];
    double min = -INFINITY, max = INFINITY;
    bool bounded = bounds(row, low, high);
    if (bounded && !(parse_num(low, &min) && parse_num(high, &max))) abort();
    if (parse_num(v->text, &v->f) && v->f >= min && v->f <= max) return NULL;
    return bounded ? nn_arena_printf(a, "expected a number from %s to %s", low, high)
                   : "expected a number";
}

static const char *check_text(nn_arena *a, const nn_cfg_row *row, nn_cfg_value *v) {
    char low[32], high[32];
    int64_t min, max, n = (int64_t)strlen(v->text);
    for (const char *p = v->text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f) return "holds a control character";
    if (!bounds(row, low, high)) return NULL;
    if (!(parse_int(low, &min) && parse_int(high, &max))) abort();
    if (n >= min && n <= max) return NULL;
    return nn_arena_printf(a, "expected %s to %s characters, got %d", low, high, (int)n);
}

/* The rule's words parted by '|'; "x=y" makes x another spelling of y. */
static const char *check_word(nn_arena *a, const nn_cfg_row *row, nn_cfg_value *v) {
    nn_buf words = {0};
    const char *chosen = NULL;
    for (const char *p = row->rule; *p && !chosen;) {
        size_t n = strcspn(p, "|"), name = strcspn(p, "|=");
        if (strlen(v->text) == name && strncasecmp(v->text, p, name) == 0)
            chosen = name < n ? nn_arena_strndup(a, p + name + 1, n - name - 1)
                              : nn_arena_strndup(a, p, n);
        if (name == n) nn_buf_printf(&words, "%s%.*s", words.n ? ", " : "", (int)n, p);
        p += n + (p[n] == '|');
    }
    const char *fault =
        chosen ? NULL : nn_arena_printf(a, "expected one of %s", nn_buf_str(&words));
    nn_buf_done(&words);
    if (chosen) v->text = chosen;
    return fault;
}

static const char *list_from_json(nn_arena *a, nn_cfg_value *v) {
    NN_JSON *array = NULL;
    if (nn_json_parse(v->text, strlen(v->text), &array, NULL) ||
        nn_json_typeof(array) != NN_JSON_ARRAY)
        return "expected a JSON array of texts";
    size_t n = nn_json_size(array);
    v->list = NN_NEW_N(a, const char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        const char *s = nn_json_str(nn_json_at(array, i), NULL);
        if (!s) return "expected a JSON array of texts only";
        v->list[i] = nn_arena_strdup(a, s);
    }
    return NULL;
}

static const char *check_list(nn_arena *a, nn_cfg_value *v) {
    const char *p = v->text + strspn(v->text, " \t");
    if (*p == '[') return list_from_json(a, v);
    size_t n = 0, most = 2;
    for (const char *c = p; *c; c++) most += *c == ',';
    v->list = NN_NEW_N(a, const char *, most);
    while (*p) {
        size_t len = strcspn(p, ","), skip = strspn(p, " \t"), end = len;
        while (end > skip && (p[end - 1] == ' ' || p[end - 1] == '\t')) end--;
        if (end > skip) v->list[n++] = nn_arena_strndup(a, p + skip, end - skip);
        p += len + (p[len] == ',');
    }
    return NULL;
}

const char *nn_cfg_check(nn_arena *a, const nn_cfg_row *row, nn_cfg_value *v) {
    const char *fault = v->text[0] ? check_text(a, &(nn_cfg_row){.rule = ""}, v) : NULL;
    if (row->type == NN_CFG_LIST && !fault) return check_list(a, v);
    if (!v->text[0] || fault) return fault;
    switch (row->type) {
    case NN_CFG_STR:
    case NN_CFG_SECRET:
        return check_text(a, row, v);
    case NN_CFG_WORD:
        return check_word(a, row, v);
    case NN_CFG_INT:
    case NN_CFG_SIZE:
        return check_int(a, row, v);
    case NN_CFG_NUM:
        return check_num(a, row, v);
    case NN_CFG_BOOL:
        return parse_bool(v->text, &v->b) ? NULL : "expected true or false";
    case NN_CFG_LIST:
        break;
    }
    return NULL;
}
