/* SPDX-License-Identifier: MIT */
/* merge.c - functions of the elements of several inputs, broadcast as NumPy does, and Dot. */
#include "engine/reference/reference.h"

#include <math.h>
#include <string.h>

/* ---- merge ---- */

/* The element of input i that goes into output element e (both of one row): axes are aligned at the
 * last, and a size of 1 is repeated. */
static int64_t operand_at(const nn_ref *r, int i, int64_t e) {
    const nn_shape *s = r->inputs[i].shape;
    int64_t at = 0, step = 1;
    for (int k = 1; k <= s->rank; k++) {
        int64_t d = s->dim[s->rank - k], place = e % r->out->dim[r->out->rank - k];
        e /= r->out->dim[r->out->rank - k];
        if (d > 1) at += place * step;
        step *= d;
    }
    return at;
}

/* One output element: where its operands are. */
typedef struct element {
    const nn_ref *r;
    int n;
    int64_t at[NN_MAX_INPUTS];
} element;

static double operand(const element *e, int i) {
    return e->r->inputs[i].x[e->at[i]];
}

static double sum(const element *e) {
    double s = 0;
    for (int i = 0; i < e->n; i++) s += operand(e, i);
    return s;
}

static double difference(const element *e) {
    return operand(e, 0) - operand(e, 1);
}

static double product_without(const element *e, int skip) {
    double p = 1;
    for (int i = 0; i < e->n; i++)
        if (i != skip) p *= operand(e, i);
    return p;
}

static double product(const element *e) {
    return product_without(e, -1);
}

static double mean(const element *e) {
    return sum(e) / e->n;
}

/* The first of equal ones, and the first that is not a number if there is one. */
static int extreme_of(const element *e, double sign) {
    int best = 0;
    for (int i = 1; i < e->n; i++) {
        double a = operand(e, i), b = operand(e, best);
        if (sign * a > sign * b || (a != a && b == b)) best = i;
    }
    return best;
}

static double maximum(const element *e) {
    return operand(e, extreme_of(e, 1));
}

static double minimum(const element *e) {
    return operand(e, extreme_of(e, -1));
}

/* Derivatives with respect to operand i. */
static double one(const element *e, int i) {
    (void)e, (void)i;
    return 1;
}

static double one_or_minus(const element *e, int i) {
    (void)e;
    return i ? -1 : 1;
}

static double one_nth(const element *e, int i) {
    (void)i;
    return 1.0 / e->n;
}

static double is_maximum(const element *e, int i) {
    return extreme_of(e, 1) == i;
}

static double is_minimum(const element *e, int i) {
    return extreme_of(e, -1) == i;
}

static const struct {
    double (*value)(const element *e), (*slope)(const element *e, int i);
} merges[NN_MERGE_COUNT] = {
    [NN_MERGE_ADD] = {sum,        one            },
    [NN_MERGE_SUBTRACT] = {difference, one_or_minus   },
    [NN_MERGE_MULTIPLY] = {product,    product_without},
    [NN_MERGE_AVERAGE] = {mean,       one_nth        },
    [NN_MERGE_MAXIMUM] = {maximum,    is_maximum     },
    [NN_MERGE_MINIMUM] = {minimum,    is_minimum     },
};

static void locate(element *e, int64_t row, int64_t at) {
    for (int i = 0; i < e->n; i++)
        e->at[i] = row * e->r->inputs[i].elements + operand_at(e->r, i, at);
}

void nn_ref_forward_merge(const nn_ref *r) {
    element e = {.r = r, .n = r->node->n_inputs};
    for (int64_t row = 0; row < r->rows; row++)
        for (int64_t at = 0; at < r->out_elements; at++) {
            locate(&e, row, at);
            r->y[row * r->out_elements + at] = merges[r->node->attr.merge.kind].value(&e);
        }
}

void nn_ref_backward_merge(const nn_ref *r) {
    element e = {.r = r, .n = r->node->n_inputs};
    for (int64_t row = 0; row < r->rows; row++)
        for (int64_t at = 0; at < r->out_elements; at++) {
            locate(&e, row, at);
            for (int i = 0; i < e.n; i++)
                r->inputs[i].dx[e.at[i]] += r->dy[row * r->out_elements + at] *
                                            merges[r->node->attr.merge.kind].slope(&e, i);
        }
}

/* ---- dot ---- */

/* An input of a dot product as a table of vectors: vector k begins where its other axes say, its
 * elements are `stride` apart. */
typedef struct side {
    int64_t n, vectors, stride;
} side;

static side side_of(const nn_ref *r, int i) {
    const nn_shape *s = r->inputs[i].shape;
    int axis = r->node->attr.dot.axes[i];
    side d = {.n = s->dim[axis], .vectors = r->inputs[i].elements / s->dim[axis], .stride = 1};
    for (int a = axis + 1; a < s->rank; a++) d.stride *= s->dim[a];
    return d;
}

static int64_t vector_at(const side *s, int64_t k) {
    return k / s->stride * s->stride * s->n + k % s->stride;
}

/* Keras's keras.ops.normalize: by the length, but at least by 1e-7. */
static double length_of(const side *s, const double *x) {
    double squares = 0;
    for (int64_t i = 0; i < s->n; i++) squares += x[i * s->stride] * x[i * s->stride];
    return fmax(sqrt(squares), 1e-7);
}

/* Both inputs of a row as they are multiplied, and the gradients there. */
int64_t nn_ref_scratch_dot(const nn_graph *g, const nn_node *n) {
    int64_t all = 0;
    for (int i = 0; i < 2; i++) all += 2 * nn_shape_elements(&g->nodes[n->inputs[i]].shape);
    return all;
}

typedef struct dot {
    side s[2];
    double *v[2], *dv[2];
} dot;

static dot dot_of(const nn_ref *r) {
    dot d;
    double *p = r->scratch;
    for (int i = 0; i < 2; i++) {
        d.s[i] = side_of(r, i);
        d.v[i] = p, p += r->inputs[i].elements;
        d.dv[i] = p, p += r->inputs[i].elements;
    }
    return d;
}

static void take(const nn_ref *r, const dot *d, int i, int64_t row) {
    const side *s = &d->s[i];
    const double *x = r->inputs[i].x + row * r->inputs[i].elements;
    for (int64_t k = 0; k < s->vectors; k++) {
        int64_t at = vector_at(s, k);
        double length = r->node->attr.dot.normalize ? length_of(s, x + at) : 1;
        for (int64_t e = at; e < at + s->n * s->stride; e += s->stride) d->v[i][e] = x[e] / length;
    }
}

/* Of v = x / |x|: dx = (dv - v (v . dv)) / |x|; where |x| is held at 1e-7, dx = dv / 1e-7. */
static void take_back(const nn_ref *r, const dot *d, int i, int64_t row) {
    const side *s = &d->s[i];
    const double *x = r->inputs[i].x + row * r->inputs[i].elements;
    double *dx = r->inputs[i].dx + row * r->inputs[i].elements;
    bool normalize = r->node->attr.dot.normalize;
    for (int64_t k = 0; k < s->vectors; k++) {
        int64_t at = vector_at(s, k), end = at + s->n * s->stride;
        double length = normalize ? length_of(s, x + at) : 1, along = 0;
        for (int64_t e = at; normalize && length > 1e-7 && e < end; e += s->stride)
            along += d->v[i][e] * d->dv[i][e];
        for (int64_t e = at; e < end; e += s->stride)
            dx[e] += (d->dv[i][e] - d->v[i][e] * along) / length;
    }
}

void nn_ref_forward_dot(const nn_ref *r) {
    dot d = dot_of(r);
    for (int64_t row = 0; row < r->rows; row++) {
        for (int i = 0; i < 2; i++) take(r, &d, i, row);
        for (int64_t k = 0; k < d.s[0].vectors * d.s[1].vectors; k++) {
            const double *a = d.v[0] + vector_at(&d.s[0], k / d.s[1].vectors);
            const double *b = d.v[1] + vector_at(&d.s[1], k % d.s[1].vectors);
            double total = 0;
            for (int64_t i = 0; i < d.s[0].n; i++)
                total += a[i * d.s[0].stride] * b[i * d.s[1].stride];
            r->y[row * r->out_elements + k] = total;
        }
    }
}

void nn_ref_backward_dot(const nn_ref *r) {
    dot d = dot_of(r);
    for (int64_t row = 0; row < r->rows; row++) {
        for (int i = 0; i < 2; i++) {
            take(r, &d, i, row);
            memset(d.dv[i], 0, (size_t)r->inputs[i].elements * sizeof *d.dv[i]);
        }
        for (int64_t k = 0; k < d.s[0].vectors * d.s[1].vectors; k++) {
            int64_t a = vector_at(&d.s[0], k / d.s[1].vectors);
            int64_t b = vector_at(&d.s[1], k % d.s[1].vectors);
            double dy = r->dy[row * r->out_elements + k];
            for (int64_t i = 0; i < d.s[0].n; i++, a += d.s[0].stride, b += d.s[1].stride) {
                d.dv[0][a] += dy * d.v[1][b];
                d.dv[1][b] += dy * d.v[0][a];
            }
        }
        for (int i = 0; i < 2; i++) take_back(r, &d, i, row);
    }
}
