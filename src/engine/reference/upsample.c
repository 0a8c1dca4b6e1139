/* SPDX-License-Identifier: MIT */
/* upsample.c - spatial axes times a factor.
 *
 * nearest: output i shows input i / factor. bilinear, with half-pixel centres (tf.image.resize,
 * PyTorch's align_corners=False): output i stands at (i + 0.5) / factor - 0.5 of the input, between
 * the two elements around it; outside of the first and the last it shows those. */
#include "engine/reference/reference.h"

#include <math.h>

/* The two input places along an axis, and the share of the second. */
typedef struct between {
    int64_t low, high;
    double share;
} between;

static between between_of(const nn_ref *r, int axis, int64_t i) {
    int64_t f = r->node->attr.upsample.factor[axis], last = r->in->dim[axis] - 1;
    if (!r->node->attr.upsample.bilinear) return (between){i / f, i / f, 0};
    double at = ((double)i + 0.5) / (double)f - 0.5;
    if (at <= 0) return (between){0, 0, 0};
    if (at >= (double)last) return (between){last, last, 0};
    double low = floor(at);
    return (between){(int64_t)low, (int64_t)low + 1, at - low};
}

/* Corner number `corner` of those around output element e: the input element, and its share. */
static int64_t corner_of(const nn_ref *r, int64_t e, int corner, double *ret_share) {
    int spatial = r->node->attr.upsample.spatial;
    int64_t channels = r->in->dim[spatial], at = 0, step = 1;
    double share = 1;
    int64_t c = e % channels;
    e /= channels;
    for (int a = spatial - 1; a >= 0; a--) {
        between b = between_of(r, a, e % r->out->dim[a]);
        bool high = corner & 1 << a;
        share *= high ? b.share : 1 - b.share;
        at += (high ? b.high : b.low) * step;
        step *= r->in->dim[a];
        e /= r->out->dim[a];
    }
    *ret_share = share;
    return at * channels + c;
}

static int corners(const nn_ref *r) {
    return 1 << r->node->attr.upsample.spatial;
}

void nn_ref_forward_upsample(const nn_ref *r) {
    for (int64_t row = 0; row < r->rows; row++)
        for (int64_t e = 0; e < r->out_elements; e++) {
            double sum = 0, share;
            for (int k = 0; k < corners(r); k++) {
                int64_t at = corner_of(r, e, k, &share);
                if (share != 0) sum += share * r->x[row * r->in_elements + at];
            }
            r->y[row * r->out_elements + e] = sum;
        }
}

void nn_ref_backward_upsample(const nn_ref *r) {
    for (int64_t row = 0; row < r->rows; row++)
        for (int64_t e = 0; e < r->out_elements; e++)
            for (int k = 0; k < corners(r); k++) {
                double share;
                int64_t at = corner_of(r, e, k, &share);
                r->dx[row * r->in_elements + at] += share * r->dy[row * r->out_elements + e];
            }
}
