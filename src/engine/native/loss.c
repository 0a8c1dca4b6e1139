/* SPDX-License-Identifier: MIT */
/* loss.c - the formulas of engine/loss.h in place on a batch. Rows are independent, so threads take
 * ranges of them; the loss is summed over the rows in their order, whatever the threads. */
#include "engine/native/native.h"

typedef float real;
#define real_exp expf
#include "engine/loss_impl.h"

/* What training does most, by a kernel; the rest by the formulas. */
static double site_loss(const site *r, bool *ret_right) {
    const nn_loss_plan *p = r->plan;
    if (p->form == NN_FORM_CE_LOGITS && !r->values)
        return nn_kernels_at(0)->cross_entropy(r->n, r->x, r->label, (float)p->off,
                                               (float)(p->on - p->off), (float)r->scale, r->dx,
                                               ret_right);
    return formula(r, ret_right);
}

static void run_rows(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    loss_job j = *(const loss_job *)arg;
    if (x->loss_scratch) j.scratch = x->loss_scratch + thread * nn_loss_scratch(&x->loss);
    for (int64_t i = begin; i < end; i++)
        x->row_loss[i] = row_loss(&j, i, site_loss, &x->row_right[i]);
}

void nn_native_loss(nn_native *x, int64_t rows, const nn_targets *t, bool grad, nn_step *ret) {
    const nn_value *v = &x->values[x->loss_value];
    loss_job j = {&x->loss, nn_loss_batch_of(&x->loss, rows, t), v->data, grad ? v->grad : NULL, t,
                  NULL};
    nn_parallel(x, rows, (double)(rows * v->elements) * 100, run_rows, &j);
    double loss = 0;
    *ret = (nn_step){.counted = j.batch.counted, .node = -1};
    for (int64_t i = 0; i < rows; i++) {
        loss += x->row_loss[i];
        ret->correct += x->row_right[i];
    }
    ret->loss = loss / j.batch.divisor;
}
