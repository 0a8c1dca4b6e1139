/* SPDX-License-Identifier: MIT */
/* request.h - the body of a prediction request and of its answer (rest-api.md 12.5). A request is
 * read from its text in one pass: no JSON value is built. Pure functions. */
#ifndef NN_SERVE_REQUEST_H
#define NN_SERVE_REQUEST_H
#include "model/model.h"
#include "serve/serve.h"
#include "serve/tensor.h"

enum { NN_PREDICT_VIOLATIONS = 8 };

typedef struct nn_predict_request {
    int64_t rows;
    nn_buf x[NN_SERVE_ENDS];    /* by input: rows x its elements as floats, normalised */
    int outputs[NN_SERVE_ENDS]; /* which were asked for, in that order */
    int n_outputs;
    int64_t top_k;   /* of the first of them; 0: not asked for */
    nn_buf warnings; /* the items of a JSON array: sentences */
    nn_violation bad[NN_PREDICT_VIOLATIONS];
    int n_bad;
} nn_predict_request; /* zero is a valid empty one */

/* Reads text[0..n) for model m: {"inputs": rows | {name: rows}, "outputs": [name]?, "top_k": int?},
 * with "instances" as another name of "inputs". A model of several inputs needs the object, with
 * as many rows of each. Unknown fields become warnings. NN_E_VALIDATION_ERROR: ret->bad holds what
 * is wrong, up to its size, and err the first of it; NN_E_INVALID_REQUEST: not JSON;
 * NN_E_OUT_OF_MEMORY. The caller calls done in each case. */
nn_status nn_predict_request_read(const char *text, size_t n, const nn_model *m,
                                  nn_predict_request *ret, nn_err *err);
void nn_predict_request_done(nn_predict_request *r);
static inline const float *nn_predict_request_x(const nn_predict_request *r, int input) {
    return (const float *)(const void *)r->x[input].p;
}

typedef struct nn_predict_answer {
    const nn_model *model;
    const nn_live_spec *deployment; /* its id is NULL for a model without one */
    const nn_predict_request *request;
    const float *const *y; /* by output of the model: rows x its elements; NULL: not asked for */
    double duration_ms;
} nn_predict_answer;
/* Appends {"predictions" (of the first output that was asked for), "outputs" (each by its name),
 * "model_id", "model_version", "deployment_id", "duration_ms", "top" with top_k, "warnings"} to w.
 * NN_E_OUT_OF_MEMORY. */
nn_status nn_predict_answer_write(nn_jw *w, const nn_predict_answer *a, nn_err *err);
#endif
