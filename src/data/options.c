/* SPDX-License-Identifier: MIT */
#include "data/options.h"

#include "base/buf.h"
#include "data/augment.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { ENTRY = 1024 };

bool nn_data_int(const char *text, int64_t min, int64_t max, int64_t *ret) {
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end || errno || v < min || v > max) return false;
    *ret = v;
    return true;
}

bool nn_data_num(const char *text, double min, double max, double *ret) {
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end || !(v >= min && v <= max)) return false;
    *ret = v;
    return true;
}

bool nn_data_dims(const char *text, nn_shape *ret) {
    nn_shape s = {0};
    char part[24];
    for (;; text++) {
        size_t n = strcspn(text, "x");
        if (n == 0 || n >= sizeof part || s.rank == NN_MAX_RANK) return false;
        snprintf(part, sizeof part, "%.*s", (int)n, text);
        if (!nn_data_int(part, 1, INT32_MAX, &s.dim[s.rank++])) return false;
        text += n;
        if (!*text) break;
    }
    if (nn_shape_elements(&s) <= 0) return false;
    *ret = s;
    return true;
}

int nn_data_word(const char *value, const char *const *words) {
    for (int i = 0; words[i]; i++)
        if (strcmp(words[i], value) == 0) return i;
    return -1;
}

static bool exists(const char *p, size_t n) {
    char path[4096];
    struct stat st;
    if (n == 0 || n >= sizeof path) return false;
    memcpy(path, p, n);
    path[n] = 0;
    return stat(path, &st) == 0;
}

static bool is_word(const char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)p[i]) && p[i] != '-' && p[i] != '_') return false;
    return n > 0;
}

static bool begins_option(const char *p) {
    size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyz_");
    return n > 0 && p[n] == '=';
}

size_t nn_data_spec_path(const char *spec) {
    size_t whole = strlen(spec), last = whole;
    if (exists(spec, whole)) return whole;
    for (const char *p = spec; (p = strchr(p, ':')); p++) {
        size_t n = (size_t)(p - spec);
        if (exists(spec, n) || (is_word(spec, n) && isalpha((unsigned char)p[1]))) return n;
        if (begins_option(p + 1)) last = n;
    }
    return last;
}

/* The next "name=value" of *p, which moves past it; 0: no more, -1: too long to be one. */
static int next_entry(const char **p, char entry[ENTRY]) {
    if (!**p) return 0;
    size_t n = strcspn(*p, ",");
    if (n >= ENTRY) return -1;
    memcpy(entry, *p, n);
    entry[n] = 0;
    *p += n + ((*p)[n] == ',');
    return 1;
}

static nn_status too_long(const char *format, nn_err *err) {
    return nn_fail(err, NN_E_VALIDATION_ERROR, "%s: an option longer than %d bytes", format, ENTRY);
}

static const nn_data_param *find(const nn_data_param *params, int count, const char *entry) {
    size_t n = strcspn(entry, "=");
    for (int i = 0; i < count; i++)
        if (strlen(params[i].name) == n && strncmp(params[i].name, entry, n) == 0)
            return &params[i];
    return NULL;
}

static nn_status set(const nn_data_param *p, const char *format, const char *entry, void *to,
                     nn_err *err) {
    const char *eq = strchr(entry, '=');
    if (eq && p->set(to, eq + 1)) return NN_OK;
    return nn_fail(err, NN_E_VALIDATION_ERROR, "%s: %s must be %s, got '%.200s'", format, p->name,
                   p->expected, eq ? eq + 1 : "");
}

/* ---- options of all formats ---- */

static bool set_memory(void *to, const char *v) {
    static const char units[] = "KMGT";
    nn_data_request *q = to;
    char *end;
    double n = strtod(v, &end);
    const char *unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
    if (end == v || !(n > 0) || (*end && (!unit || end[1]))) return false;
    if (unit) n = ldexp(n, 10 * (int)(unit - units + 1));
    if (!(n >= 1 && n < 0x1p62)) return false;
    if (n < (double)q->max_bytes) q->max_bytes = (size_t)n; /* never more than the caller allows */
    return true;
}

static bool set_augment(void *to, const char *v) {
    return nn_augment_parse(v, &((nn_data_request *)to)->augment);
}

static bool set_normalise(void *to, const char *v) {
    nn_data_request *q = to;
    char mean[32];
    size_t n = strcspn(v, "/");
    q->normalise = !strcmp(v, "none") ? NN_NORMALISE_NONE : NN_NORMALISE_GIVEN;
    if (q->normalise == NN_NORMALISE_NONE) return true;
    if (n >= sizeof mean || !v[n]) return false;
    snprintf(mean, sizeof mean, "%.*s", (int)n, v);
    return nn_data_num(mean, -1e30, 1e30, &q->mean) &&
           nn_data_num(v + n + 1, 1e-30, 1e30, &q->deviation);
}

static const nn_data_param common[] = {
    {"memory",    "bytes, like 512M or 2G",                                          set_memory   },
    {"augment",   "flip, vflip, crop<pixels> and rotate<degrees>, joined by +",      set_augment  },
    {"normalise", "mean/deviation of all elements (bytes count as 0 to 1), or none", set_normalise},
};
enum { N_COMMON = sizeof common / sizeof *common };

nn_status nn_data_common(const char *text, nn_data_request *q, char *rest, nn_err *err) {
    char entry[ENTRY];
    int more;
    *rest = 0;
    size_t at = 0;
    while ((more = next_entry(&text, entry)) > 0) {
        const nn_data_param *p = find(common, N_COMMON, entry);
        nn_status s = p ? set(p, q->spec, entry, q, err) : NN_OK;
        if (s) return s;
        if (p) continue;
        if (at) rest[at++] = ',';
        size_t n = strlen(entry);
        memcpy(rest + at, entry, n + 1);
        at += n;
    }
    return more < 0 ? too_long(q->spec, err) : NN_OK;
}

static nn_status unknown(const char *format, const nn_data_param *params, int n, const char *entry,
                         nn_err *err) {
    NN_BUF names = {0};
    for (int i = 0; i < n; i++) nn_buf_printf(&names, "%s, ", params[i].name);
    for (int i = 0; i < N_COMMON; i++)
        nn_buf_printf(&names, "%s%s", common[i].name, i + 1 < N_COMMON ? ", " : "");
    nn_status s = nn_fail(err, NN_E_VALIDATION_ERROR, "%s: no parameter is called '%.*s'", format,
                          (int)strcspn(entry, "="), entry);
    return nn_err_hint(err, s, "parameters: %s", nn_buf_str(&names));
}

nn_status nn_data_params(const nn_data_request *q, const char *format, const nn_data_param *params,
                         int n, void *to, nn_err *err) {
    const char *text = q->options ? q->options : "";
    char entry[ENTRY];
    int more;
    while ((more = next_entry(&text, entry)) > 0) {
        const nn_data_param *p = find(params, n, entry);
        nn_status s = p ? set(p, format, entry, to, err) : unknown(format, params, n, entry, err);
        if (s) return s;
    }
    return more < 0 ? too_long(format, err) : NN_OK;
}
