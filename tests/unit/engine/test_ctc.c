/* SPDX-License-Identifier: MIT */
/* CTC against its definition: every path over the steps is spelled out and its probability added
 * up; the gradient against finite differences of that. */
#include "engine/reference/reference.h"
#include "t.h"

#include <math.h>
#include <string.h>

enum { STEPS = 4, CLASSES = 3, BLANK = 1, PATHS = 81, LENGTH = 3 };

/* Whether path number n, once repeats and blanks are out, is the target. */
static bool spells(int path, const float *target) {
    int before = -1, at = 0;
    for (int t = 0; t < STEPS; t++, path /= CLASSES) {
        int k = path % CLASSES;
        if (k != before && k != BLANK) {
            if (at == LENGTH || target[at] != (float)k) return false;
            at++;
        }
        before = k;
    }
    return at == LENGTH || target[at] < 0;
}

static double path_probability(int path, const double *x) {
    double p = 1;
    for (int t = 0; t < STEPS; t++, path /= CLASSES) {
        double sum = 0;
        for (int k = 0; k < CLASSES; k++) sum += exp(x[t * CLASSES + k]);
        p *= exp(x[t * CLASSES + path % CLASSES]) / sum;
    }
    return p;
}

static double by_definition(const double *x, const float *target) {
    double sum = 0;
    for (int path = 0; path < PATHS; path++)
        if (spells(path, target)) sum += path_probability(path, x);
    return -log(sum);
}

static nn_loss_plan plan(void) {
    return (nn_loss_plan){.form = NN_FORM_CTC,
                          .outputs = STEPS * CLASSES,
                          .sites = STEPS,
                          .blank = BLANK,
                          .ignored = -1};
}

static double loss_of(const double *x, const float *target, double *dx, nn_step *step) {
    double scratch[(STEPS + 2) * (2 * STEPS + 1) + CLASSES + STEPS];
    nn_loss_plan p = plan();
    nn_targets t = {.values = target, .length = LENGTH};
    assert_int_equal(nn_loss_scratch(&p), sizeof scratch / sizeof *scratch);
    return nn_ref_loss(&p, 1, x, &t, dx, scratch, step);
}

static const float targets[][LENGTH] = {
    {-1, -1, -1},
    {0,  -1, -1},
    {0,  2,  -1},
    {2,  2,  -1},
    {0,  2,  0 },
    {2,  0,  2 }
};

TEST(ctc_is_the_sum_over_all_paths) {
    double x[STEPS * CLASSES], dx[STEPS * CLASSES];
    for (int i = 0; i < STEPS * CLASSES; i++) x[i] = sin(3.0 * i) * 2;
    for (size_t k = 0; k < sizeof targets / sizeof *targets; k++) {
        nn_step step;
        double got = loss_of(x, targets[k], dx, &step);
        CHECK(fabs(got - by_definition(x, targets[k])) < 1e-12 && step.counted == 1);
        for (int i = 0; i < STEPS * CLASSES; i++) {
            const double h = 1e-5;
            double y[STEPS * CLASSES];
            memcpy(y, x, sizeof y);
            y[i] += h;
            double up = by_definition(y, targets[k]);
            y[i] -= 2 * h;
            double slope = (up - by_definition(y, targets[k])) / (2 * h);
            if (!(fabs(slope - dx[i]) < 1e-8)) fail_msg("%zu, %d: %g, not %g", k, i, dx[i], slope);
        }
    }
}

TEST(ctc_counts_what_is_spelled_right) {
    /* best classes 0 1 2 2: "0 2" */
    const double x[] = {3, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 3};
    nn_step step;
    loss_of(x, targets[2], NULL, &step);
    assert_int_equal(step.correct, 1);
    loss_of(x, targets[1], NULL, &step);
    assert_int_equal(step.correct, 0);
    loss_of(x, targets[4], NULL, &step);
    assert_int_equal(step.correct, 0);
}

TEST(ctc_refuses_what_cannot_be_spelled) {
    static const float bad[][LENGTH] = {
        {2, 2,  2   }, /* takes 5 steps of 4 */
        {0, -1, 2   },
        {0, 3,  -1  },
        {0, 2,  0.5f}
    };
    nn_loss_plan p = plan();
    nn_err err;
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        nn_targets t = {.values = bad[k], .length = LENGTH};
        assert_int_equal(nn_loss_check_labels(&p, 1, &t, &err), NN_E_DATA_ERROR);
    }
    for (size_t k = 0; k < sizeof targets / sizeof *targets; k++) {
        nn_targets t = {.values = targets[k], .length = LENGTH};
        CHECK_OK(nn_loss_check_labels(&p, 1, &t, &err), &err);
    }
}
