/* SPDX-License-Identifier: MIT */
/* pool.c - maxima and means over windows; padding takes no part in either. */
#include "engine/reference/reference.h"
#include "engine/reference/window.h"

/* The input element (of this row and channel) that is the maximum of a window: the first of equal
 * ones, and the first that is not a number if there is one. -1 if the window is all padding. */
static int64_t arg_max(const nn_ref_window *v, const double *x, int64_t channels, int64_t place) {
    int64_t best = -1;
    for (int64_t tap = 0; tap < v->taps; tap++) {
        int64_t at = nn_ref_window_at(v, place, tap);
        if (at < 0) continue;
        at *= channels;
        if (best < 0 || x[at] > x[best] || (x[at] != x[at] && x[best] == x[best])) best = at;
    }
    return best;
}

void nn_ref_forward_max_pool(const nn_ref *r) {
    nn_ref_window v = nn_ref_window_make(&r->node->attr.pool, r->in, r->out);
    int64_t channels = r->in->dim[r->in->rank - 1];
    for (int64_t row = 0; row < r->rows; row++)
        for (int64_t place = 0; place < v.places; place++)
            for (int64_t c = 0; c < channels; c++) {
                const double *x = r->x + row * r->in_elements + c;
                int64_t at = arg_max(&v, x, channels, place);
                r->y[row * r->out_elements + place * channels + c] = at < 0 ? 0 : x[at];
            }
}

void nn_ref_backward_max_pool(const nn_ref *r) {
    nn_ref_window v = nn_ref_window_make(&r->node->attr.pool, r->in, r->out);
    int64_t channels = r->in->dim[r->in->rank - 1];
    for (int64_t row = 0; row < r->rows; row++)
        for (int64_t place = 0; place < v.places; place++)
            for (int64_t c = 0; c < channels; c++) {
                int64_t begin = row * r->in_elements + c;
                int64_t at = arg_max(&v, r->x + begin, channels, place);
                if (at >= 0)
                    r->dx[begin + at] += r->dy[row * r->out_elements + place * channels + c];
            }
}

/* How many input elements the window at `place` covers. */
static int64_t covered(const nn_ref_window *v, int64_t place) {
    int64_t n = 0;
    for (int64_t tap = 0; tap < v->taps; tap++) n += nn_ref_window_at(v, place, tap) >= 0;
    return n;
}

void nn_ref_forward_avg_pool(const nn_ref *r) {
    nn_ref_window v = nn_ref_window_make(&r->node->attr.pool, r->in, r->out);
    int64_t channels = r->in->dim[r->in->rank - 1];
    for (int64_t row = 0; row < r->rows; row++)
        for (int64_t place = 0; place < v.places; place++) {
            int64_t n = covered(&v, place);
            for (int64_t c = 0; c < channels; c++) {
                double sum = 0;
                for (int64_t tap = 0; tap < v.taps; tap++) {
                    int64_t at = nn_ref_window_at(&v, place, tap);
                    if (at >= 0) sum += r->x[row * r->in_elements + at * channels + c];
                }
                r->y[row * r->out_elements + place * channels + c] = n ? sum / (double)n : 0;
            }
        }
}

void nn_ref_backward_avg_pool(const nn_ref *r) {
    nn_ref_window v = nn_ref_window_make(&r->node->attr.pool, r->in, r->out);
    int64_t channels = r->in->dim[r->in->rank - 1];
    for (int64_t row = 0; row < r->rows; row++)
        for (int64_t place = 0; place < v.places; place++) {
            int64_t n = covered(&v, place);
            for (int64_t c = 0; c < channels; c++)
                for (int64_t tap = 0; tap < v.taps; tap++) {
                    int64_t at = nn_ref_window_at(&v, place, tap);
                    if (at >= 0)
                        r->dx[row * r->in_elements + at * channels + c] +=
                            r->dy[row * r->out_elements + place * channels + c] / (double)n;
                }
        }
}

void nn_ref_forward_global_avg_pool(const nn_ref *r) {
    int64_t channels = r->in->dim[r->in->rank - 1], places = r->in_elements / channels;
    for (int64_t row = 0; row < r->rows; row++)
        for (int64_t c = 0; c < channels; c++) {
            double sum = 0;
            for (int64_t p = 0; p < places; p++)
                sum += r->x[row * r->in_elements + p * channels + c];
            r->y[row * channels + c] = sum / (double)places;
        }
}

void nn_ref_backward_global_avg_pool(const nn_ref *r) {
    int64_t channels = r->in->dim[r->in->rank - 1], places = r->in_elements / channels;
    for (int64_t row = 0; row < r->rows; row++)
        for (int64_t p = 0; p < places; p++)
            for (int64_t c = 0; c < channels; c++)
                r->dx[row * r->in_elements + p * channels + c] +=
                    r->dy[row * channels + c] / (double)places;
}
