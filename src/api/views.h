/* SPDX-License-Identifier: MIT */
/* views.h - the projections of operations that documented paths answer with (rest-api.md 1 and 2):
 * pure functions from a record to JSON. */
#ifndef NN_API_VIEWS_H
#define NN_API_VIEWS_H
#include "api/route.h"
#include "jobs/operation.h"

/* null for 0, else RFC 3339. */
nn_json *nn_view_time(int64_t us);
/* Sets operation_id and state, which every projected object carries. */
void nn_view_operation_keys(nn_json *o, const nn_operation *op);
/* GET /jobs/{id}. metrics: the latest values of its experiment, taken; NULL: none. */
nn_json *nn_view_job(const nn_operation *op, nn_json *metrics);
/* The answer to POST /jobs/train. */
nn_json *nn_view_train(const nn_operation *op);
/* The answer to POST /compile and /compile/sync. */
nn_json *nn_view_compile(const nn_operation *op);
/* Its error as a sentence list, or null. */
nn_json *nn_view_errors(const nn_operation *op);

/* Members that several schemas share: ?wait=, ?skip= and ?limit=, the pages of documented lists. */
#define NN_MEMBER_OPERATION                                                                        \
    {"operation_id", NN_STRING, .required = true, .format = "uuid", .help = "its id"}, {           \
        "state", NN_STRING,                                                                        \
            .required = true,                                                                      \
            .one_of =                                                                              \
                "queued starting running cancelling unknown succeeded failed timed_out cancelled", \
            .help = "its state"                                                                    \
    }
#define NN_MEMBER_SKIP_LIMIT                                                                       \
    {"skip", NN_INTEGER, .min = 0, .max = 1e15, .preset = "0", .help = "how many to leave out"}, { \
        "limit", NN_INTEGER, .min = 1, .max = 1000, .preset = "100", .help = "how many to give"    \
    }
#define NN_MEMBER_PAGE                                                                             \
    {"total", NN_INTEGER, .required = true, .help = "how many there are"},                         \
        {"skip", NN_INTEGER, .required = true, .help = "how many were left out"}, {                \
        "limit", NN_INTEGER, .required = true, .help = "how many were asked for"                   \
    }

extern const nn_schema nn_schema_job, nn_schema_operation;
/* Creates an operation from the body of a row with own_check, or runs it `now`: a refusal with
 * violations fails the request with all of them. */
nn_status nn_view_create(nn_request *q, nn_kind_id kind, bool now, nn_operation **ret, nn_err *err);
/* Fails with code: there is no `noun` of that id; an id of something else is called what it is. */
nn_status nn_view_missing(nn_request *q, nn_status code, const char *noun, const char *id,
                          nn_err *err);
#endif
