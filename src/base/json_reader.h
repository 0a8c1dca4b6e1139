/* SPDX-License-Identifier: MIT */
/* json_reader.h - reads JSON text token by token, without building values: for bodies that are
 * large and whose form is known. It accepts exactly what nn_json_parse accepts, and gives the same
 * numbers.
 *
 *     nn_jr r;
 *     nn_jr_init(&r, p, n);
 *     s = nn_jr_next(&r, &t, err);    NN_JR_OBJECT, NN_JR_KEY, a value, NN_JR_KEY, a value, …,
 *     nn_jr_done(&r);                 NN_JR_END_OBJECT, NN_JR_END
 *
 * A reader belongs to one thread. Texts of tokens point into the text, or into memory of the reader
 * where escapes were resolved; they live until nn_jr_done. */
#ifndef NN_BASE_JSON_READER_H
#define NN_BASE_JSON_READER_H
#include "base/arena.h"
#include "base/json.h"

typedef enum nn_jr_type {
    NN_JR_END, /* behind the one value that a text holds */
    NN_JR_NULL,
    NN_JR_BOOL,
    NN_JR_INT,
    NN_JR_REAL,
    NN_JR_STRING,
    NN_JR_ARRAY,
    NN_JR_OBJECT,
    NN_JR_KEY,
    NN_JR_END_ARRAY,
    NN_JR_END_OBJECT,
} nn_jr_type;

typedef struct nn_jr_token {
    nn_jr_type type;
    bool truth;       /* of BOOL */
    int64_t integer;  /* of INT */
    double number;    /* of INT and REAL */
    const char *text; /* of STRING and KEY: n bytes of UTF-8 without NUL, not NUL-terminated */
    size_t n;
} nn_jr_token;

typedef struct nn_jr {
    const char *begin, *p, *end;
    nn_arena *texts;  /* strings with their escapes resolved; NULL until there is one */
    nn_buf keys;      /* of the open objects, see json_reader.c */
    uint64_t objects; /* bit d: level d + 1 is an object */
    int depth;        /* open arrays and objects */
    int expect;
    size_t first_key[NN_JSON_MAX_DEPTH]; /* where the keys of level d + 1 begin */
} nn_jr;

/* p[0..n) is borrowed. */
void nn_jr_init(nn_jr *r, const char *p, size_t n);
void nn_jr_done(nn_jr *r);
#define NN_JR __attribute__((cleanup(nn_jr_done))) nn_jr

/* The next token. NN_E_INVALID_REQUEST with line and column where the text is not strict JSON (a
 * key that is there twice is noticed at the end of its object); NN_E_OUT_OF_MEMORY. After a failure
 * only nn_jr_done may follow. */
nn_status nn_jr_next(nn_jr *r, nn_jr_token *ret, nn_err *err);
/* Reads on until no more than `depth` arrays and objects are open. After the token NN_JR_ARRAY or
 * NN_JR_OBJECT, nn_jr_leave(r, r->depth - 1, err) skips that value. */
nn_status nn_jr_leave(nn_jr *r, int depth, nn_err *err);
/* Skips the value that begins with t, which was just read. */
nn_status nn_jr_skip(nn_jr *r, const nn_jr_token *t, nn_err *err);
/* How many arrays the next tokens open: brackets that follow one another, at most
 * NN_JSON_MAX_DEPTH. Reads nothing. */
int nn_jr_arrays_ahead(const nn_jr *r);
/* Whether a KEY or STRING is s. */
bool nn_jr_is(const nn_jr_token *t, const char *s);
/* "null" "a boolean" "an integer" "a number" "a text" "an array" "an object" */
const char *nn_jr_type_name(nn_jr_type t);
#endif
