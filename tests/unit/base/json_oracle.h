/* SPDX-License-Identifier: MIT */
/* json_oracle.h - what jansson makes of a text must be what the pull reader makes of it: the same
 * verdict, and equal values. Shared by the unit test and the fuzz driver. */
#ifndef JSON_ORACLE_H
#define JSON_ORACLE_H
#include "base/json_reader.h"

#include <math.h>
#include <stdlib.h>

/* The value that begins with t, built from tokens; NULL when the text is refused. */
static nn_json *oracle_build(nn_jr *r, nn_jr_token t, nn_err *err) {
    switch (t.type) {
    case NN_JR_NULL:
        return nn_json_new_null();
    case NN_JR_BOOL:
        return nn_json_new_bool(t.truth);
    case NN_JR_INT:
        if (t.number != (double)t.integer) abort();
        return nn_json_new_int(t.integer);
    case NN_JR_REAL:
        return nn_json_new_num(t.number);
    case NN_JR_STRING:
        return nn_json_new_strn(t.text, t.n);
    default:
        break;
    }
    bool object = t.type == NN_JR_OBJECT;
    if (!object && t.type != NN_JR_ARRAY) abort();
    NN_JSON *v = object ? nn_json_new_object() : nn_json_new_array();
    for (;;) {
        char *key = NULL;
        if (nn_jr_next(r, &t, err)) return NULL;
        if (t.type == (object ? NN_JR_END_OBJECT : NN_JR_END_ARRAY)) return nn_json_ref(v);
        if (object) {
            if (t.type != NN_JR_KEY || !(key = calloc(1, t.n + 1))) abort();
            for (size_t i = 0; i < t.n; i++) key[i] = t.text[i];
            if (nn_jr_next(r, &t, err)) {
                free(key);
                return NULL;
            }
        }
        nn_json *item = oracle_build(r, t, err);
        if (item && object) nn_json_set(v, key, item);
        if (item && !object) nn_json_push(v, item);
        free(key);
        if (!item) return NULL;
    }
}

static nn_json *oracle_read(const char *p, size_t n, nn_err *err) {
    NN_JR r;
    nn_jr_token t;
    nn_jr_init(&r, p, n);
    if (nn_jr_next(&r, &t, err)) return NULL;
    NN_JSON *v = oracle_build(&r, t, err);
    if (!v || nn_jr_next(&r, &t, err)) return NULL;
    if (t.type != NN_JR_END) abort();
    return nn_json_ref(v);
}

/* The same text with everything skipped: skipping checks as much as reading. */
static bool oracle_skips(const char *p, size_t n) {
    NN_JR r;
    nn_jr_token t;
    nn_jr_init(&r, p, n);
    return !nn_jr_next(&r, &t, NULL) && !nn_jr_skip(&r, &t, NULL) && !nn_jr_next(&r, &t, NULL) &&
           t.type == NN_JR_END;
}

static bool oracle_agrees(const char *p, size_t n) {
    NN_JSON *want = NULL;
    nn_err err = {0};
    bool good = nn_json_parse(p, n, &want, NULL) == NN_OK;
    NN_JSON *got = oracle_read(p, n, &err);
    if (!got && (err.code != NN_E_INVALID_REQUEST || err.line < 1 || err.col < 1)) return false;
    return good == (got != NULL) && good == oracle_skips(p, n) &&
           (!good || nn_json_equal(want, got));
}
#endif
