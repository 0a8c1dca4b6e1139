/* SPDX-License-Identifier: MIT */
/* loss.c - the formulas of engine/loss.h on doubles, row by row. */
#include "engine/reference/reference.h"

typedef double real;
#define real_exp exp
#include "engine/loss_impl.h"

double nn_ref_loss(const nn_loss_plan *p, int64_t rows, const double *x, const nn_targets *t,
                   double *dx, double *scratch, nn_step *ret) {
    loss_job j = {p, nn_loss_batch_of(p, rows, t), x, dx, t, scratch};
    double loss = 0;
    *ret = (nn_step){.counted = j.batch.counted, .node = -1};
    for (int64_t i = 0; i < rows; i++) {
        int64_t right;
        loss += row_loss(&j, i, formula, &right);
        ret->correct += right;
    }
    return loss / j.batch.divisor;
}
