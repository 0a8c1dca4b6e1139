/* SPDX-License-Identifier: MIT */
/* conv.c - cross-correlation, as every framework calls convolution. W is [k..., in / groups, out];
 * output channel o reads the input channels of its group, o / (out / groups). And the transposed
 * one, which sends each input to where that convolution would have read it from. */
#include "engine/reference/reference.h"
#include "engine/reference/window.h"

typedef struct geometry {
    nn_ref_window v;
    int64_t in, out;             /* channels */
    int64_t group_in, group_out; /* channels a group */
} geometry;

static geometry geometry_of(const nn_ref *r) {
    geometry c = {
        .v = nn_ref_window_make(&r->node->attr.conv.window, r->in, r->out),
        .in = r->in->dim[r->in->rank - 1],
        .out = r->out->dim[r->out->rank - 1],
    };
    c.group_in = c.in / r->node->attr.conv.groups;
    c.group_out = c.out / r->node->attr.conv.groups;
    return c;
}

/* First of the input channels that output channel o at window position `tap` reads in this row;
 * negative in padding. And the weight that goes with it; the next ones are c.out apart. */
static int64_t input_at(const geometry *c, const nn_ref *r, int64_t row, int64_t place, int64_t tap,
                        int64_t o) {
    int64_t at = nn_ref_window_at(&c->v, place, tap);
    return at < 0 ? -1 : row * r->in_elements + at * c->in + o / c->group_out * c->group_in;
}

static int64_t weight_at(const geometry *c, int64_t tap, int64_t o) {
    return tap * c->group_in * c->out + o;
}

void nn_ref_forward_conv(const nn_ref *r) {
    geometry c = geometry_of(r);
    for (int64_t row = 0; row < r->rows; row++)
        for (int64_t place = 0; place < c.v.places; place++)
            for (int64_t o = 0; o < c.out; o++) {
                double sum = r->node->attr.conv.bias ? r->w[1][o] : 0;
                for (int64_t tap = 0; tap < c.v.taps; tap++) {
                    int64_t x = input_at(&c, r, row, place, tap, o), w = weight_at(&c, tap, o);
                    for (int64_t i = 0; x >= 0 && i < c.group_in; i++)
                        sum += r->x[x + i] * r->w[0][w + i * c.out];
                }
                r->y[row * r->out_elements + place * c.out + o] = sum;
            }
}

void nn_ref_backward_conv(const nn_ref *r) {
    geometry c = geometry_of(r);
    for (int64_t row = 0; row < r->rows; row++)
        for (int64_t place = 0; place < c.v.places; place++)
            for (int64_t o = 0; o < c.out; o++) {
                double dy = r->dy[row * r->out_elements + place * c.out + o];
                if (r->node->attr.conv.bias) r->dw[1][o] += dy;
                for (int64_t tap = 0; tap < c.v.taps; tap++) {
                    int64_t x = input_at(&c, r, row, place, tap, o), w = weight_at(&c, tap, o);
                    for (int64_t i = 0; x >= 0 && i < c.group_in; i++) {
                        r->dw[0][w + i * c.out] += r->x[x + i] * dy;
                        r->dx[x + i] += r->w[0][w + i * c.out] * dy;
                    }
                }
            }
}

/* ---- transposed ---- */

/* W is [k..., out / groups, in]. The window walks the input's places; what it looks at is the
 * output, at place * stride - pad + tap * dilation, where it is inside. */
typedef struct transposed {
    nn_ref_window v;
    int64_t in, out, group_in, group_out;
} transposed;

static transposed transposed_of(const nn_ref *r) {
    transposed c = {
        .v = nn_ref_window_make(&r->node->attr.conv_transpose.window, r->out, r->in),
        .in = r->in->dim[r->in->rank - 1],
        .out = r->out->dim[r->out->rank - 1],
    };
    c.group_in = c.in / r->node->attr.conv_transpose.groups;
    c.group_out = c.out / r->node->attr.conv_transpose.groups;
    return c;
}

/* Calls `each` with every input element, output element and weight that are multiplied. */
static void walk_transposed(const nn_ref *r, const transposed *c,
                            void (*each)(const nn_ref *r, int64_t x, int64_t y, int64_t w)) {
    for (int64_t row = 0; row < r->rows; row++)
        for (int64_t place = 0; place < c->v.places; place++)
            for (int64_t tap = 0; tap < c->v.taps; tap++) {
                int64_t to = nn_ref_window_at(&c->v, place, tap);
                for (int64_t i = 0; to >= 0 && i < c->in; i++)
                    for (int64_t o = 0; o < c->group_out; o++)
                        each(r, row * r->in_elements + place * c->in + i,
                             row * r->out_elements + to * c->out + i / c->group_in * c->group_out +
                                 o,
                             (tap * c->group_out + o) * c->in + i);
            }
}

static void multiply(const nn_ref *r, int64_t x, int64_t y, int64_t w) {
    r->y[y] += r->x[x] * r->w[0][w];
}

void nn_ref_forward_conv_transpose(const nn_ref *r) {
    transposed c = transposed_of(r);
    for (int64_t i = 0; i < r->rows * r->out_elements; i++)
        r->y[i] = r->node->attr.conv_transpose.bias ? r->w[1][i % c.out] : 0;
    walk_transposed(r, &c, multiply);
}

static void multiply_back(const nn_ref *r, int64_t x, int64_t y, int64_t w) {
    r->dx[x] += r->dy[y] * r->w[0][w];
    r->dw[0][w] += r->dy[y] * r->x[x];
}

void nn_ref_backward_conv_transpose(const nn_ref *r) {
    transposed c = transposed_of(r);
    for (int64_t i = 0; r->node->attr.conv_transpose.bias && i < r->rows * r->out_elements; i++)
        r->dw[1][i % c.out] += r->dy[i];
    walk_transposed(r, &c, multiply_back);
}
