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
    nn_buf x;        /* rows x input elements as floats, normalised */
    int64_t top_k;   /* 0: not asked for */
    nn_buf warnings; /* the items of a JSON array: sentences */
    nn_violation bad[NN_PREDICT_VIOLATIONS];
    int n_bad;
} nn_predict_request; /* zero is a valid empty one */

/* Reads text[0..n) for model m, which has one input and one output:
 * {"inputs": rows | {name: rows}, "outputs": [name]?, "top_k": int?}, with "instances" as another
 * name of "inputs". Unknown fields become warnings. NN_E_VALIDATION_ERROR: ret->bad holds what is
 * wrong, up to its size, and err the first of it; NN_E_INVALID_REQUEST: not JSON;
 * NN_E_OUT_OF_MEMORY. The caller calls done in each case. */
nn_status nn_predict_request_read(const char *text, size_t n, const nn_model *m,
                                  nn_predict_request *ret, nn_err *err);
void nn_predict_request_done(nn_predict_request *r);
static inline const float *nn_predict_request_x(const nn_predict_request *r) {
    return (const float *)(const void *)r->x.p;
}

typedef struct nn_predict_answer {
    const nn_model *model;
    const nn_live_spec *deployment;
    const nn_predict_request *request;
    const float *y; /* rows x output elements */
    double duration_ms;
} nn_predict_answer;
/* Appends {"predictions", "outputs", "model_id", "model_version", "deployment_id", "duration_ms",
 * "top" with top_k, "warnings"} to w. NN_E_OUT_OF_MEMORY. */
nn_status nn_predict_answer_write(nn_jw *w, const nn_predict_answer *a, nn_err *err);
#endif
