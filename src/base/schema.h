/* SPDX-License-Identifier: MIT */
/* schema.h - what a JSON object looks like, as a const table: it checks requests, is printed into
 * /openapi.json, and lets tests check answers. Tables are static and shared by all threads.
 *
 *     static const nn_member train_fields[] = {
 *         {"dsl_code", NN_STRING, .required = true, .min = 1, .max = 1 << 20, .help = "the
 * network"},
 *         {"backend", NN_STRING, .one_of = "tensorflow pytorch", .preset = "tensorflow", .help =
 * "who trains"},
 *         {"training_config", NN_OBJECT, .of = &training_config, .help = "how"},
 *         {"tags", NN_ARRAY, .items = NN_STRING, .max = 20, .help = "labels"},
 *         {0}};
 *     static const nn_schema train_request = {.name = "TrainRequest", .fields = train_fields, .help
 * = "a training to run"};
 */
#ifndef NN_BASE_SCHEMA_H
#define NN_BASE_SCHEMA_H
#include "base/arena.h"
#include "base/json.h"

typedef enum nn_member_type {
    NN_ANY, /* any JSON value */
    NN_STRING,
    NN_INTEGER,
    NN_NUMBER,
    NN_BOOLEAN,
    NN_OBJECT, /* `of`, or anything */
    NN_ARRAY,  /* of `items`, which where NN_OBJECT are `of` */
    NN_MAP,    /* an object with any keys, values like an array's items */
} nn_member_type;

typedef struct nn_schema nn_schema;

typedef struct nn_member {
    const char *name;
    nn_member_type type;
    nn_member_type items; /* of NN_ARRAY and NN_MAP */
    bool required;        /* in a request: must be sent; in an answer: always there */
    bool nullable; /* null is a value; in requests null on an optional field counts as absent either
                      way */
    double min,
        max; /* string: bytes; number: value; array, map: count. Not checked while both are 0 */
    bool above_min, below_max; /* of a number: the limit itself is out */
    const char *one_of;        /* words separated by one space; of an array of strings: its items */
    const char *preset; /* the default, as text: nn_schema_fill puts it where nothing was sent */
    const char
        *format; /* "uuid", "date-time", "uri", "binary": printed; the first two are checked */
    const nn_schema *of; /* of NN_OBJECT, or of the items */
    const char *help;
} nn_member;

struct nn_schema {
    const char *name;        /* its name under #/components/schemas; unique */
    const nn_member *fields; /* ends with {0}; NULL: any object */
    const char *help;
    nn_member_type type; /* NN_ANY (0) and NN_OBJECT: an object with these fields; NN_ARRAY: a bare
                     array of `of` */
    const nn_schema *of;
    const char *media; /* not NULL: no JSON but this media type, nothing to check ("text/plain") */
};

enum { NN_MAX_VIOLATIONS = 100 };

/* Checks value (NULL: no body was sent) against s, and collects every violation as the items of
 * section 5 of the wire contract into errors (an array) and unknown fields into warnings (an array
 * of sentences; NULL: nobody asks). where is the first element of each loc: "body" or "query".
 * NN_E_VALIDATION_ERROR when anything was violated. */
nn_status nn_schema_check(const nn_schema *s, const nn_json *value, const char *where,
                          nn_json *errors, nn_json *warnings, nn_err *err);
/* Puts presets where a checked value has nothing or null. */
void nn_schema_fill(const nn_schema *s, nn_json *value);
/* One value of a query string or path, as text, converted by the field's type and checked; NULL
 * with a violation in errors. */
nn_json *nn_schema_text(const nn_member *f, const char *text, const char *where, nn_json *errors);
/* Adds one violation to errors; type: missing wrong_type blank out_of_range too_long too_many
 * unknown_value bad_format conflict. path: "training_config.epochs". For handlers that check what a
 * table cannot say. */
void nn_schema_violation(nn_json *errors, const char *where, const char *path, const char *type,
                         const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* The JSON Schema of one field, of a schema. Answers: additional fields are allowed. References are
 * "#/components/schemas/…". */
nn_json *nn_schema_print(const nn_schema *s);
nn_json *nn_schema_print_member(const nn_member *f);
#endif
