/* SPDX-License-Identifier: MIT */
/* elementwise.c - activations in Keras 3's definitions (keras/src/activations/activations.py), each
 * with its derivative, softmax, and other functions of single elements. At a kink the derivative is
 * that of the flat side, as in TensorFlow and PyTorch. Comparisons are written so that a NaN passes
 * through. */
#include "engine/noise.h"
#include "engine/reference/reference.h"

#include <math.h>

static double clip(double x, double low, double high) {
    return x < low ? low : x > high ? high : x;
}

static double value_linear(double x, double alpha) {
    (void)alpha;
    return x;
}
static double slope_linear(double x, double alpha) {
    (void)x, (void)alpha;
    return 1;
}

static double value_relu(double x, double alpha) {
    (void)alpha;
    return x < 0 ? 0 : x;
}
static double slope_relu(double x, double alpha) {
    (void)alpha;
    return x > 0;
}

static double value_relu6(double x, double alpha) {
    (void)alpha;
    return clip(x, 0, 6);
}
static double slope_relu6(double x, double alpha) {
    (void)alpha;
    return x > 0 && x < 6;
}

static double value_leaky_relu(double x, double alpha) {
    return x < 0 ? alpha * x : x;
}
static double slope_leaky_relu(double x, double alpha) {
    return x > 0 ? 1 : alpha;
}

static double value_elu(double x, double alpha) {
    return x > 0 ? x : alpha * expm1(x);
}
static double slope_elu(double x, double alpha) {
    return x > 0 ? 1 : alpha * exp(x);
}

/* Klambauer et al. 2017: the constants that make mean 0 and variance 1 a fixed point. */
static const double selu_scale = 1.0507009873554804934193349852946;
static const double selu_alpha = 1.6732632423543772848170429916717;
static double value_selu(double x, double alpha) {
    (void)alpha;
    return selu_scale * value_elu(x, selu_alpha);
}
static double slope_selu(double x, double alpha) {
    (void)alpha;
    return selu_scale * slope_elu(x, selu_alpha);
}

static double value_celu(double x, double alpha) {
    return x > 0 ? x : alpha * expm1(x / alpha);
}
static double slope_celu(double x, double alpha) {
    return x > 0 ? 1 : exp(x / alpha);
}

/* x times the normal distribution function: Keras's default, not the tanh approximation. */
static double value_gelu(double x, double alpha) {
    (void)alpha;
    return 0.5 * x * (1 + erf(x * M_SQRT1_2));
}
static double slope_gelu(double x, double alpha) {
    (void)alpha;
    return 0.5 * (1 + erf(x * M_SQRT1_2)) + x * exp(-0.5 * x * x) / sqrt(2 * M_PI);
}

static double value_sigmoid(double x, double alpha) {
    (void)alpha;
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}
static double slope_sigmoid(double x, double alpha) {
    return value_sigmoid(x, alpha) * value_sigmoid(-x, alpha);
}

static double value_silu(double x, double alpha) {
    return x * value_sigmoid(x, alpha);
}
static double slope_silu(double x, double alpha) {
    return value_sigmoid(x, alpha) + x * slope_sigmoid(x, alpha);
}

static double value_softplus(double x, double alpha) {
    (void)alpha;
    return (x < 0 ? 0 : x) + log1p(exp(-fabs(x)));
}
static double slope_softplus(double x, double alpha) {
    return value_sigmoid(x, alpha);
}

static double value_mish(double x, double alpha) {
    return x * tanh(value_softplus(x, alpha));
}
static double slope_mish(double x, double alpha) {
    double t = tanh(value_softplus(x, alpha));
    return t + x * (1 - t * t) * value_sigmoid(x, alpha);
}

static double value_hard_sigmoid(double x, double alpha) {
    (void)alpha;
    return clip(x + 3, 0, 6) / 6;
}
static double slope_hard_sigmoid(double x, double alpha) {
    (void)alpha;
    return x > -3 && x < 3 ? 1.0 / 6 : 0;
}

static double value_log_sigmoid(double x, double alpha) {
    return -value_softplus(-x, alpha);
}
static double slope_log_sigmoid(double x, double alpha) {
    return value_sigmoid(-x, alpha);
}

static double value_tanh(double x, double alpha) {
    (void)alpha;
    return tanh(x);
}
static double slope_tanh(double x, double alpha) {
    (void)alpha;
    return 1 - tanh(x) * tanh(x);
}

static double value_hard_tanh(double x, double alpha) {
    (void)alpha;
    return clip(x, -1, 1);
}
static double slope_hard_tanh(double x, double alpha) {
    (void)alpha;
    return x > -1 && x < 1;
}

static double value_softsign(double x, double alpha) {
    (void)alpha;
    return x / (1 + fabs(x));
}
static double slope_softsign(double x, double alpha) {
    (void)alpha;
    return 1 / ((1 + fabs(x)) * (1 + fabs(x)));
}

static double value_exponential(double x, double alpha) {
    (void)alpha;
    return exp(x);
}
static double slope_exponential(double x, double alpha) {
    (void)alpha;
    return exp(x);
}

static double value_hard_swish(double x, double alpha) {
    return x * value_hard_sigmoid(x, alpha);
}
static double slope_hard_swish(double x, double alpha) {
    return value_hard_sigmoid(x, alpha) + x * slope_hard_sigmoid(x, alpha);
}

static const struct {
    double (*value)(double x, double alpha), (*slope)(double x, double alpha);
} activations[NN_ACT_COUNT] = {
#define NN_ACT(N, n, alias, alpha) [NN_ACT_##N] = {value_##n, slope_##n},
#include "graph/activations.def"
#undef NN_ACT
};

double nn_ref_act_value(nn_act kind, double x) {
    return activations[kind].value(x, nn_act_default_alpha(kind));
}

double nn_ref_act_slope(nn_act kind, double x) {
    return activations[kind].slope(x, nn_act_default_alpha(kind));
}

void nn_ref_forward_activation(const nn_ref *r) {
    double alpha = r->node->attr.activation.alpha;
    for (int64_t i = 0; i < r->rows * r->in_elements; i++)
        r->y[i] = activations[r->node->attr.activation.kind].value(r->x[i], alpha);
}

void nn_ref_backward_activation(const nn_ref *r) {
    double alpha = r->node->attr.activation.alpha;
    for (int64_t i = 0; i < r->rows * r->in_elements; i++)
        r->dx[i] += r->dy[i] * activations[r->node->attr.activation.kind].slope(r->x[i], alpha);
}

/* log(sum exp x) of n values; the maximum is taken out so that nothing overflows. */
static double log_sum_exp(const double *x, int64_t n) {
    double max = x[0], sum = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > max) max = x[i];
    for (int64_t i = 0; i < n; i++) sum += exp(x[i] - max);
    return max + log(sum);
}

void nn_ref_forward_softmax(const nn_ref *r) {
    int64_t n = r->in->dim[r->in->rank - 1];
    for (int64_t begin = 0; begin < r->rows * r->in_elements; begin += n) {
        double total = log_sum_exp(r->x + begin, n);
        for (int64_t i = begin; i < begin + n; i++)
            r->y[i] = r->node->attr.softmax.log ? r->x[i] - total : exp(r->x[i] - total);
    }
}

/* softmax: dx = y (dy - sum y dy); log-softmax: dx = dy - exp(y) sum dy. */
void nn_ref_backward_softmax(const nn_ref *r) {
    int64_t n = r->in->dim[r->in->rank - 1];
    bool log_form = r->node->attr.softmax.log;
    for (int64_t begin = 0; begin < r->rows * r->in_elements; begin += n) {
        double sum = 0;
        for (int64_t i = begin; i < begin + n; i++) sum += log_form ? r->dy[i] : r->y[i] * r->dy[i];
        for (int64_t i = begin; i < begin + n; i++)
            r->dx[i] += log_form ? r->dy[i] - exp(r->y[i]) * sum : r->y[i] * (r->dy[i] - sum);
    }
}

/* ---- prelu, clip ---- */

/* The alpha of element e of a row: its place in a weight that is 1 along shared axes. */
static int64_t alpha_at(const nn_ref *r, int64_t e) {
    int64_t at = 0, step = 1;
    for (int a = r->in->rank - 1; a >= 0; a--) {
        int64_t i = e % r->in->dim[a];
        e /= r->in->dim[a];
        if (r->node->attr.prelu.shared & 1U << a) continue;
        at += i * step;
        step *= r->in->dim[a];
    }
    return at;
}

void nn_ref_forward_prelu(const nn_ref *r) {
    for (int64_t i = 0; i < r->rows * r->in_elements; i++)
        r->y[i] = r->x[i] < 0 ? r->w[0][alpha_at(r, i % r->in_elements)] * r->x[i] : r->x[i];
}

void nn_ref_backward_prelu(const nn_ref *r) {
    for (int64_t i = 0; i < r->rows * r->in_elements; i++) {
        int64_t at = alpha_at(r, i % r->in_elements);
        r->dx[i] += r->x[i] > 0 ? r->dy[i] : r->w[0][at] * r->dy[i];
        if (!(r->x[i] > 0)) r->dw[0][at] += r->x[i] * r->dy[i];
    }
}

void nn_ref_forward_clip(const nn_ref *r) {
    for (int64_t i = 0; i < r->rows * r->in_elements; i++)
        r->y[i] = clip(r->x[i], r->node->attr.clip.low, r->node->attr.clip.high);
}

void nn_ref_backward_clip(const nn_ref *r) {
    for (int64_t i = 0; i < r->rows * r->in_elements; i++)
        if (r->x[i] > r->node->attr.clip.low && r->x[i] < r->node->attr.clip.high)
            r->dx[i] += r->dy[i];
}

/* ---- what is the value itself outside of training ---- */

void nn_ref_forward_noise(const nn_ref *r) {
    nn_noise_plan p = nn_noise_at(r->node, r->seed, r->updates);
    for (int64_t i = 0; i < r->rows * r->in_elements; i++) {
        double factor = 1, shift = 0;
        if (r->training) nn_noise_element(&p, i, &factor, &shift);
        r->y[i] = (factor == 0 ? 0 : r->x[i] * factor) + shift;
    }
}

void nn_ref_backward_noise(const nn_ref *r) {
    nn_noise_plan p = nn_noise_at(r->node, r->seed, r->updates);
    for (int64_t i = 0; i < r->rows * r->in_elements; i++) {
        double factor = 1, shift = 0;
        if (r->training) nn_noise_element(&p, i, &factor, &shift);
        if (factor != 0) r->dx[i] += r->dy[i] * factor;
    }
}

void nn_ref_forward_activity_reg(const nn_ref *r) {
    for (int64_t i = 0; i < r->rows * r->in_elements; i++) r->y[i] = r->x[i];
}

/* (l1 sum |x| + l2 sum x^2) / rows; inside a fold its rows are the steps of all samples. */
double nn_ref_activity_loss(const nn_ref *r) {
    double loss = 0;
    for (int64_t i = 0; i < r->rows * r->in_elements; i++)
        loss += r->node->attr.activity_reg.l1 * fabs(r->x[i]) +
                r->node->attr.activity_reg.l2 * r->x[i] * r->x[i];
    return loss / (double)r->rows;
}

void nn_ref_backward_activity_reg(const nn_ref *r) {
    double l1 = r->node->attr.activity_reg.l1, l2 = r->node->attr.activity_reg.l2;
    for (int64_t i = 0; i < r->rows * r->in_elements; i++) {
        double sign = (r->x[i] > 0) - (r->x[i] < 0);
        r->dx[i] += r->dy[i] + (l1 * sign + 2 * l2 * r->x[i]) / (double)r->rows;
    }
}
