/* SPDX-License-Identifier: MIT */
#include "engine/reference/lstm.h"

#include "engine/reference/reference.h"

enum { INPUT, FORGET, CANDIDATE, OUTPUT };

void nn_ref_lstm_step(const nn_ref_lstm *l, const double *sums, const double *c, double *ret_c,
                      double *ret_h) {
    for (int64_t e = 0; e < l->places * l->units; e++) {
        const double *s = sums + e / l->units * 4 * l->units + e % l->units;
        double i = nn_ref_act_value(l->gate, s[INPUT * l->units]);
        double f = nn_ref_act_value(l->gate, s[FORGET * l->units]);
        double g = nn_ref_act_value(l->act, s[CANDIDATE * l->units]);
        double o = nn_ref_act_value(l->gate, s[OUTPUT * l->units]);
        ret_c[e] = f * c[e] + i * g;
        ret_h[e] = o * nn_ref_act_value(l->act, ret_c[e]);
    }
}

void nn_ref_lstm_back(const nn_ref_lstm *l, const double *sums, const double *c,
                      const double *c_after, const double *dh, double *dc, double *ret_dsums) {
    for (int64_t e = 0; e < l->places * l->units; e++) {
        int64_t at = e / l->units * 4 * l->units + e % l->units;
        double si = sums[at + INPUT * l->units], sf = sums[at + FORGET * l->units];
        double sg = sums[at + CANDIDATE * l->units], so = sums[at + OUTPUT * l->units];
        double o = nn_ref_act_value(l->gate, so);
        double d = dc[e] + dh[e] * o * nn_ref_act_slope(l->act, c_after[e]);
        ret_dsums[at + INPUT * l->units] =
            d * nn_ref_act_value(l->act, sg) * nn_ref_act_slope(l->gate, si);
        ret_dsums[at + FORGET * l->units] = d * c[e] * nn_ref_act_slope(l->gate, sf);
        ret_dsums[at + CANDIDATE * l->units] =
            d * nn_ref_act_value(l->gate, si) * nn_ref_act_slope(l->act, sg);
        ret_dsums[at + OUTPUT * l->units] =
            dh[e] * nn_ref_act_value(l->act, c_after[e]) * nn_ref_act_slope(l->gate, so);
        dc[e] = d * nn_ref_act_value(l->gate, sf);
    }
}
