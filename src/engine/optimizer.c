/* SPDX-License-Identifier: MIT */
#include "engine/optimizer.h"

#include <assert.h>
#include <math.h>

nn_update nn_update_make(const nn_optimizer *o, double learning_rate, int64_t t) {
    /* nn_trainer_supports has refused the others */
    assert(o->kind == NN_OPTIMIZER_SGD || o->kind == NN_OPTIMIZER_ADAM ||
           o->kind == NN_OPTIMIZER_ADAMW);
    nn_update u = {
        .adam = o->kind != NN_OPTIMIZER_SGD,
        .rate = learning_rate,
        .keep = 1 - learning_rate * o->weight_decay,
        .momentum = o->momentum,
        .nesterov = o->nesterov,
        .amsgrad = o->amsgrad,
        .beta_1 = o->beta_1,
        .beta_2 = o->beta_2,
        .epsilon = o->epsilon,
    };
    if (u.adam) u.rate *= sqrt(1 - pow(o->beta_2, (double)t)) / (1 - pow(o->beta_1, (double)t));
    return u;
}

static double clamp(double x, double low, double high) {
    return x < low ? low : x > high ? high : x;
}

/* What a column of this norm is multiplied by; 1e-7 is keras.config.epsilon(). */
static double norm_factor(const nn_constraint *c, double norm) {
    const double epsilon = 1e-7;
    switch (c->kind) {
    case NN_CONSTRAINT_MAX_NORM:
        return clamp(norm, 0, c->max) / (epsilon + norm);
    case NN_CONSTRAINT_UNIT_NORM:
        return 1 / (epsilon + norm);
    case NN_CONSTRAINT_MIN_MAX_NORM:
        return (c->rate * clamp(norm, c->min, c->max) + (1 - c->rate) * norm) / (epsilon + norm);
    case NN_CONSTRAINT_NONE:
    case NN_CONSTRAINT_NON_NEG:
        break;
    }
    return 1;
}

void nn_constraint_apply(const nn_weight *w, float *values) {
    if (w->constraint.kind == NN_CONSTRAINT_NONE) return;
    if (w->constraint.kind == NN_CONSTRAINT_NON_NEG) {
        for (int64_t i = 0; i < w->elements; i++)
            if (!(values[i] >= 0)) values[i] = 0;
        return;
    }
    int64_t columns = w->shape.rank > 1 ? w->shape.dim[w->shape.rank - 1] : 1;
    for (int64_t c = 0; c < columns; c++) {
        double square = 0;
        for (int64_t i = c; i < w->elements; i += columns) square += (double)values[i] * values[i];
        double factor = norm_factor(&w->constraint, sqrt(square));
        for (int64_t i = c; i < w->elements; i += columns) values[i] = (float)(values[i] * factor);
    }
}
