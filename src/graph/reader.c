/* SPDX-License-Identifier: MIT */
#include "graph/reader.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

void nn_rd_fail(nn_rd *r, const char *key, const char *expected) {
    if (*r->status) return;
    *r->status =
        nn_fail(r->err, NN_E_MODEL_FILE_ERROR, "%s: '%s' must be %s", r->where, key, expected);
}

nn_rd nn_rd_open(const nn_json *v, const char *where, nn_status *status, nn_err *err) {
    nn_rd r = {.v = v, .where = where, .status = status, .err = err};
    if (!*status && nn_json_typeof(v) != NN_JSON_OBJECT)
        *status = nn_fail(err, NN_E_MODEL_FILE_ERROR, "%s: expected an object", where);
    return r;
}

static const nn_json *member(nn_rd *r, const char *key, nn_json_type type, const char *expected) {
    const nn_json *v = *r->status ? NULL : nn_json_get(r->v, key);
    if (nn_json_typeof(v) != type || !v) {
        nn_rd_fail(r, key, expected);
        return NULL;
    }
    r->used++;
    return v;
}

nn_rd nn_rd_object(nn_rd *r, const char *key) {
    nn_rd inner = *r;
    inner.v = member(r, key, NN_JSON_OBJECT, "an object");
    inner.used = 0;
    return inner;
}

const nn_json *nn_rd_array(nn_rd *r, const char *key) {
    return member(r, key, NN_JSON_ARRAY, "a list");
}

int64_t nn_rd_int(nn_rd *r, const char *key, int64_t min, int64_t max) {
    const nn_json *v = member(r, key, NN_JSON_INT, "an integer");
    int64_t i = nn_json_int(v, min);
    if (v && (i < min || i > max)) {
        nn_rd_fail(r, key, "an integer in range");
        return min;
    }
    return i;
}

double nn_rd_num(nn_rd *r, const char *key) {
    const nn_json *v = *r->status ? NULL : nn_json_get(r->v, key);
    bool number = v && (nn_json_typeof(v) == NN_JSON_REAL || nn_json_typeof(v) == NN_JSON_INT);
    double d = nn_json_num(v, 0);
    if (!number || !isfinite(d)) {
        nn_rd_fail(r, key, "a number");
        return 0;
    }
    r->used++;
    return d;
}

bool nn_rd_bool(nn_rd *r, const char *key) {
    return nn_json_bool(member(r, key, NN_JSON_BOOL, "true or false"), false);
}

const char *nn_rd_str(nn_rd *r, const char *key, size_t max) {
    const char *s = nn_json_str(member(r, key, NN_JSON_STRING, "a text"), "");
    if (strlen(s) <= max) return s;
    nn_rd_fail(r, key, "a shorter text");
    return "";
}

int nn_rd_ints(nn_rd *r, const char *key, int64_t *to, int cap, int64_t min, int64_t max,
               bool open) {
    const nn_json *a = nn_rd_array(r, key);
    size_t n = a ? nn_json_size(a) : 0;
    if (n > (size_t)cap) {
        nn_rd_fail(r, key, "a shorter list");
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        const nn_json *v = nn_json_at(a, i);
        bool is_int = nn_json_typeof(v) == NN_JSON_INT;
        to[i] = is_int ? nn_json_int(v, 0) : NN_DIM_UNKNOWN;
        bool fits =
            is_int ? to[i] >= min && to[i] <= max : open && nn_json_typeof(v) == NN_JSON_NULL;
        if (!fits) {
            nn_rd_fail(r, key, "a list of integers in range");
            return 0;
        }
    }
    return (int)n;
}

nn_shape nn_rd_shape(nn_rd *r, const char *key) {
    nn_shape s = {0};
    s.rank = nn_rd_ints(r, key, s.dim, NN_MAX_RANK, 1, NN_MAX_DIM, true);
    return s;
}

int nn_rd_word(nn_rd *r, const char *key, int (*find)(const char *)) {
    const char *s = nn_rd_str(r, key, NN_MAX_NAME);
    int i = *r->status ? 0 : find(s);
    if (i >= 0) return i;
    nn_rd_fail(r, key, "a word that is known here");
    return 0;
}

nn_status nn_rd_done(nn_rd *r) {
    if (!*r->status && nn_json_size(r->v) != r->used)
        *r->status =
            nn_fail(r->err, NN_E_MODEL_FILE_ERROR, "%s: %zu members, of which %zu are known here",
                    r->where, nn_json_size(r->v), r->used);
    return *r->status;
}

nn_json *nn_wr_ints(const int64_t *v, int n) {
    nn_json *a = nn_json_new_array();
    for (int i = 0; i < n; i++)
        nn_json_push(a, v[i] == NN_DIM_UNKNOWN ? nn_json_new_null() : nn_json_new_int(v[i]));
    return a;
}
