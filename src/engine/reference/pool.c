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

/* ---- global ---- */

/* Whether a step counts: with tokens, those that are not 0. */
static bool counts(const nn_ref *r, int64_t row, int64_t place) {
    const nn_ref_operand *tokens = &r->inputs[1];
    return r->node->n_inputs < 2 || tokens->x[row * tokens->elements + place] != 0;
}

static int64_t count(const nn_ref *r, int64_t row, int64_t places) {
    int64_t n = 0;
    for (int64_t p = 0; p < places; p++) n += counts(r, row, p);
    return n;
}

/* Where no step counts, the mean is 0. */
void nn_ref_forward_global_avg_pool(const nn_ref *r) {
    int64_t channels = r->in->dim[r->in->rank - 1], places = r->in_elements / channels;
    for (int64_t row = 0; row < r->rows; row++) {
        int64_t n = count(r, row, places);
        for (int64_t c = 0; c < channels; c++) {
            double sum = 0;
            for (int64_t p = 0; p < places; p++)
                if (counts(r, row, p)) sum += r->x[row * r->in_elements + p * channels + c];
            r->y[row * channels + c] = n ? sum / (double)n : 0;
        }
    }
}

void nn_ref_backward_global_avg_pool(const nn_ref *r) {
    int64_t channels = r->in->dim[r->in->rank - 1], places = r->in_elements / channels;
    for (int64_t row = 0; row < r->rows; row++) {
        int64_t n = count(r, row, places);
        for (int64_t p = 0; p < places; p++)
            for (int64_t c = 0; counts(r, row, p) && c < channels; c++)
                r->dx[row * r->in_elements + p * channels + c] +=
                    r->dy[row * channels + c] / (double)n;
    }
}

/* ---- boxes: all places, or those of an adaptive window ---- */

/* The places from `begin` up to `end` along each of three axes, of `in` in all; leading axes are
 * the ones filled up. */
typedef struct box {
    int64_t in[3], begin[3], end[3];
} box;

/* Window number `place` of n over d runs from floor(i d / n) to ceil((i + 1) d / n), as PyTorch's
 * AdaptiveAvgPool. */
static box adaptive_box(const nn_ref *r, int64_t place) {
    box b;
    for (int a = 2; a >= 0; a--) {
        int s = a - (3 - r->node->attr.adaptive_pool.spatial);
        int64_t d = s < 0 ? 1 : r->in->dim[s], n = s < 0 ? 1 : r->out->dim[s];
        int64_t i = place % n;
        place /= n;
        b.in[a] = d;
        b.begin[a] = i * d / n;
        b.end[a] = ((i + 1) * d + n - 1) / n;
    }
    return b;
}

static box box_of(const nn_ref *r, int64_t place) {
    int64_t places = r->in_elements / r->in->dim[r->in->rank - 1];
    if (r->node->op != NN_OP_GLOBAL_MAX_POOL) return adaptive_box(r, place);
    return (box){
        .in = {1, 1, places},
          .end = {1, 1, places}
    };
}

static int64_t box_places(const box *b) {
    int64_t n = 1;
    for (int a = 0; a < 3; a++) n *= b->end[a] - b->begin[a];
    return n;
}

/* The k-th place of a box, row-major in the input. */
static int64_t box_at(const box *b, int64_t k) {
    int64_t at = 0, step = 1;
    for (int a = 2; a >= 0; a--) {
        int64_t n = b->end[a] - b->begin[a];
        at += (b->begin[a] + k % n) * step;
        k /= n;
        step *= b->in[a];
    }
    return at;
}

static int64_t box_arg_max(const box *b, const double *x, int64_t channels) {
    int64_t best = -1;
    for (int64_t k = 0; k < box_places(b); k++) {
        int64_t at = box_at(b, k) * channels;
        if (best < 0 || x[at] > x[best] || (x[at] != x[at] && x[best] == x[best])) best = at;
    }
    return best;
}

/* Calls `each` with every box and channel: the first element of the channel in the row, and the
 * output element. */
static void walk_boxes(const nn_ref *r, void (*each)(const nn_ref *r, const box *b,
                                                     int64_t channels, int64_t x, int64_t y)) {
    int64_t channels = r->in->dim[r->in->rank - 1], places = r->out_elements / channels;
    for (int64_t row = 0; row < r->rows; row++)
        for (int64_t place = 0; place < places; place++) {
            box b = box_of(r, place);
            for (int64_t c = 0; c < channels; c++)
                each(r, &b, channels, row * r->in_elements + c,
                     row * r->out_elements + place * channels + c);
        }
}

static void box_max(const nn_ref *r, const box *b, int64_t channels, int64_t x, int64_t y) {
    r->y[y] = r->x[x + box_arg_max(b, r->x + x, channels)];
}

static void box_max_back(const nn_ref *r, const box *b, int64_t channels, int64_t x, int64_t y) {
    r->dx[x + box_arg_max(b, r->x + x, channels)] += r->dy[y];
}

static void box_mean(const nn_ref *r, const box *b, int64_t channels, int64_t x, int64_t y) {
    int64_t n = box_places(b);
    double sum = 0;
    for (int64_t k = 0; k < n; k++) sum += r->x[x + box_at(b, k) * channels];
    r->y[y] = sum / (double)n;
}

static void box_mean_back(const nn_ref *r, const box *b, int64_t channels, int64_t x, int64_t y) {
    int64_t n = box_places(b);
    for (int64_t k = 0; k < n; k++) r->dx[x + box_at(b, k) * channels] += r->dy[y] / (double)n;
}

void nn_ref_forward_global_max_pool(const nn_ref *r) {
    walk_boxes(r, box_max);
}

void nn_ref_backward_global_max_pool(const nn_ref *r) {
    walk_boxes(r, box_max_back);
}

void nn_ref_forward_adaptive_max_pool(const nn_ref *r) {
    walk_boxes(r, box_max);
}

void nn_ref_backward_adaptive_max_pool(const nn_ref *r) {
    walk_boxes(r, box_max_back);
}

void nn_ref_forward_adaptive_avg_pool(const nn_ref *r) {
    walk_boxes(r, box_mean);
}

void nn_ref_backward_adaptive_avg_pool(const nn_ref *r) {
    walk_boxes(r, box_mean_back);
}
