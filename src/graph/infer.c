/* SPDX-License-Identifier: MIT */
/* infer.c - the table of shape rules, what every shape must be, and the rules of ops that keep,
 * shape or reorder the elements of one input. An unknown size flows through every rule. */
#include "graph/infer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* All shapes of a node's inputs, "(2, 3), (2, 4)"; past a handful only how many. */
static void print_inputs(const nn_shape *in, int n, char *to, size_t cap) {
    enum { SHOWN = 4 };
    size_t at = 0;
    for (int i = 0; i < n && i < SHOWN && at < cap; i++) {
        char s[160];
        nn_shape_print(&in[i], false, s, sizeof s);
        at += (size_t)snprintf(to + at, cap - at, "%s%s", i ? ", " : "", s);
    }
    if (n > SHOWN && at < cap) snprintf(to + at, cap - at, " and %d more", n - SHOWN);
}

nn_status nn_misfit_at(nn_err *err, const nn_shape *in, int n_inputs, const char *rule,
                       const char *what, ...) {
    char text[256], shapes[400];
    va_list ap;
    va_start(ap, what);
    vsnprintf(text, sizeof text, what, ap);
    va_end(ap);
    print_inputs(in, n_inputs, shapes, sizeof shapes);
    return nn_fail(err, NN_E_DSL_ERROR, "%s: %s with input%s %s", text, rule,
                   n_inputs == 1 ? "" : "s", shapes);
}

static nn_status keeps(nn_node *n, const nn_shape *in) {
    n->shape = *in;
    return NN_OK;
}

/* ---- given shapes ---- */

nn_status nn_infer_input(nn_node *n, const nn_shape *in, nn_err *err) {
    (void)n, (void)in, (void)err; /* given; nn_infer checks every shape's sizes */
    return NN_OK;
}

nn_status nn_infer_custom(nn_node *n, const nn_shape *in, nn_err *err) {
    (void)n, (void)in, (void)err; /* given */
    return NN_OK;
}

nn_status nn_infer_reshape(nn_node *n, const nn_shape *in, nn_err *err) {
    int64_t from = nn_shape_elements(in), to = nn_shape_elements(&n->shape);
    if (from < 0 || from == to) return NN_OK; /* unknown sizes are compared when it runs */
    static const char rule[] = "the number of elements stays the same";
    char s[160];
    nn_shape_print(&n->shape, false, s, sizeof s);
    if (to < 0) return nn_misfit(err, in, rule, "the target %s leaves a size open", s);
    return nn_misfit(err, in, rule, "%" PRId64 " elements cannot become %s, which has %" PRId64,
                     from, s, to);
}

/* ---- products over the last axis ---- */

nn_status nn_infer_matmul(nn_node *n, const nn_shape *in, nn_err *err) {
    if (in->rank < 1) return nn_misfit(err, in, "(..., in) -> (..., units)", "no axis to multiply");
    if (nn_last(in) < 0)
        return nn_misfit(err, in, "the kernel is (in, units)",
                         "the last axis must have a known size");
    if (!nn_within(n->attr.matmul.units, 1))
        return nn_misfit(err, in, "1 <= units <= 2147483647", "units out of range");
    n->shape = *in;
    n->shape.dim[in->rank - 1] = n->attr.matmul.units;
    return NN_OK;
}

/* ---- normalisation ---- */

/* `weights`: gamma, beta or the like have one value for each element of the last axis. */
static nn_status normalise(nn_node *n, const nn_shape *in, double epsilon, const char *weights,
                           nn_err *err) {
    if (in->rank < 1 || nn_last(in) < 0)
        return nn_misfit(err, in, weights, "the normalised axis must have a known size");
    if (!(epsilon > 0) || !isfinite(epsilon))
        return nn_misfit(err, in, "the variance may be 0", "epsilon must be above 0, got %g",
                         epsilon);
    return keeps(n, in);
}

nn_status nn_infer_batch_norm(nn_node *n, const nn_shape *in, nn_err *err) {
    if (in->rank < 1 || nn_last(in) < 0)
        return nn_misfit(
            err, in, "gamma, beta and the moving statistics have one value for each element of it",
            "the normalised axis must have a known size");
    return keeps(n, in);
}

nn_status nn_infer_layer_norm(nn_node *n, const nn_shape *in, nn_err *err) {
    return normalise(n, in, n->attr.layer_norm.epsilon,
                     "gamma and beta have one value for each element of it", err);
}

nn_status nn_infer_group_norm(nn_node *n, const nn_shape *in, nn_err *err) {
    int64_t groups = n->attr.group_norm.groups;
    nn_status st = normalise(n, in, n->attr.group_norm.epsilon,
                             "gamma and beta have one value for each channel", err);
    if (st) return st;
    if (!nn_within(groups, 1) || nn_last(in) % groups)
        return nn_misfit(err, in, "groups divides the channels (the last axis)",
                         "groups=%" PRId64 " does not divide %" PRId64 " channels", groups,
                         nn_last(in));
    return NN_OK;
}

/* ---- functions of each element ---- */

nn_status nn_infer_activation(nn_node *n, const nn_shape *in, nn_err *err) {
    (void)err;
    return keeps(n, in);
}

nn_status nn_infer_prelu(nn_node *n, const nn_shape *in, nn_err *err) {
    unsigned shared = n->attr.prelu.shared;
    if (in->rank < 1 || shared >> in->rank)
        return nn_misfit(err, in, "shared_axes are axes of the input", "no axis %d to share",
                         shared ? 31 - __builtin_clz(shared) : 0);
    for (int i = 0; i < in->rank; i++)
        if (in->dim[i] < 0 && !(shared & 1U << i))
            return nn_misfit(err, in, "alpha has a value for each element, 1 along shared axes",
                             "axis %d must have a known size or be shared", i);
    return keeps(n, in);
}

nn_status nn_infer_clip(nn_node *n, const nn_shape *in, nn_err *err) {
    double low = n->attr.clip.low, high = n->attr.clip.high;
    if (!(low <= high))
        return nn_misfit(err, in, "low <= high", "nothing lies between %g and %g", low, high);
    return keeps(n, in);
}

nn_status nn_infer_softmax(nn_node *n, const nn_shape *in, nn_err *err) {
    if (in->rank < 1)
        return nn_misfit(err, in, "softmax over the last axis", "no axis to normalise");
    return keeps(n, in);
}

nn_status nn_infer_dropout(nn_node *n, const nn_shape *in, nn_err *err) {
    const nn_shape *noise = &n->attr.dropout.noise_shape;
    bool fits = noise->rank == 0 || noise->rank == in->rank;
    for (int i = 0; fits && i < noise->rank; i++)
        fits = noise->dim[i] == 1 || noise->dim[i] == in->dim[i];
    if (!fits)
        return nn_misfit(err, in, "as many axes as the input, each 1 or as the input's",
                         "noise_shape does not fit");
    return keeps(n, in);
}

nn_status nn_infer_noise(nn_node *n, const nn_shape *in, nn_err *err) {
    double v = n->attr.noise.value;
    if (n->attr.noise.kind == NN_NOISE_GAUSSIAN) {
        if (!(v >= 0) || !isfinite(v))
            return nn_misfit(err, in, "a standard deviation is 0 or more", "stddev=%g", v);
    } else if (!nn_is_rate(v)) {
        return nn_misfit(err, in, "a rate is in [0, 1)", "rate=%g", v);
    }
    return keeps(n, in);
}

nn_status nn_infer_activity_reg(nn_node *n, const nn_shape *in, nn_err *err) {
    double l1 = n->attr.activity_reg.l1, l2 = n->attr.activity_reg.l2;
    if (!(l1 >= 0) || !(l2 >= 0) || !isfinite(l1) || !isfinite(l2))
        return nn_misfit(err, in, "penalties are 0 or more", "l1=%g, l2=%g", l1, l2);
    return keeps(n, in);
}

/* ---- the order of elements ---- */

nn_status nn_infer_transpose(nn_node *n, const nn_shape *in, nn_err *err) {
    unsigned seen = 0;
    n->shape = (nn_shape){.rank = in->rank};
    for (int i = 0; i < in->rank; i++) {
        int from = n->attr.transpose.perm[i];
        if (from < 0 || from >= in->rank || seen & 1U << from)
            return nn_misfit(err, in, "each axis once", "not a permutation");
        seen |= 1U << from;
        n->shape.dim[i] = in->dim[from];
    }
    return NN_OK;
}

nn_status nn_infer_reverse(nn_node *n, const nn_shape *in, nn_err *err) {
    int axis = n->attr.reverse.axis;
    if (axis < 0 || axis >= in->rank)
        return nn_misfit(err, in, "an axis of the input, the first being 0", "no axis %d", axis);
    return keeps(n, in);
}

/* ---- rows ---- */

nn_status nn_infer_fold(nn_node *n, const nn_shape *in, nn_err *err) {
    if (in->rank < 1)
        return nn_misfit(err, in, "(steps, ...) -> (...)", "no axis to take into the rows");
    n->shape = (nn_shape){.rank = in->rank - 1};
    memcpy(n->shape.dim, in->dim + 1, (size_t)n->shape.rank * sizeof in->dim[0]);
    return NN_OK;
}

nn_status nn_infer_unfold(nn_node *n, const nn_shape *in, nn_err *err) {
    if (in->rank >= NN_MAX_RANK)
        return nn_misfit(err, in, "(...) -> (steps, ...)", "a tensor has at most %d axes",
                         NN_MAX_RANK);
    n->shape = (nn_shape){.rank = in->rank + 1, .dim = {n->attr.unfold.size}};
    memcpy(n->shape.dim + 1, in->dim, (size_t)in->rank * sizeof in->dim[0]);
    return NN_OK;
}

/* ---- the table ---- */

static nn_infer_fn *const rules[NN_OP_COUNT] = {
#define NN_OP(N, n, lo, hi, w) [NN_OP_##N] = nn_infer_##n,
#include "graph/ops.def"
#undef NN_OP
};

nn_status nn_infer(nn_node *n, const nn_shape *in, nn_err *err) {
    if (n->shape.rank < 0 || n->shape.rank > NN_MAX_RANK)
        return nn_fail(err, NN_E_DSL_ERROR, "a tensor has 0 to %d axes, got %d", NN_MAX_RANK,
                       n->shape.rank);
    nn_status st = rules[n->op](n, in, err);
    if (st) return st;
    int64_t product = 1;
    for (int i = 0; i < n->shape.rank; i++) {
        int64_t d = n->shape.dim[i];
        if (d == NN_DIM_UNKNOWN) continue;
        product = nn_within(d, 1) && d <= NN_MAX_ELEMENTS / product ? product * d : 0;
        if (product == 0)
            return nn_failed(
                nn_misfit_at(err, n->n_inputs ? in : &n->shape, n->n_inputs ? n->n_inputs : 1,
                             "sizes are 1 to 2147483647",
                             "a tensor is empty, negative or larger than 2^40 elements"));
    }
    return NN_OK;
}
