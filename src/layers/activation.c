/* SPDX-License-Identifier: MIT */
/* activation.c - Activation: a function by name, with its argument. */
#include "layers/build.h"

enum { FUNCTION, ALPHA };

/* clang-format off */
static const nn_param params[] = {
    {.name = "function", .type = NN_P_ACTIVATION, .required = true, .positional = true,
     .aliases = "activation",
     .help = "name of the function"},
    {.name = "alpha", .type = NN_P_FLOAT, .positional = true, .aliases = "negative_slope",
     .help = "argument of leaky_relu, elu and celu"},
    {0},
};
/* clang-format on */

static nn_status build(const nn_layer_ctx *c, int *ret, nn_err *err) {
    const nn_bound *a = c->args;
    int kind = nn_act_find(a[FUNCTION].s);
    if (a[ALPHA].set && (kind < 0 || nn_act_default_alpha((nn_act)kind) == 0))
        return nn_build_blame(
            c, ALPHA, "leaky_relu, elu and celu take an alpha",
            nn_fail(err, NN_E_DSL_ERROR, "activation '%s' takes no alpha", a[FUNCTION].s));
    nn_build_act act = {.name = a[FUNCTION].s,
                        .suffix = "",
                        .alpha = a[ALPHA].f,
                        .has_alpha = a[ALPHA].set,
                        .always = true};
    return nn_build_activation(c, c->input, &act, ret, err);
}

const nn_layer nn_layer_activation = {
    .name = "Activation",
    .base = "activation",
    .summary = "a function of each element, or softmax over the last axis",
    .family = "activation",
    .rule = "(...) -> (...)",
    .params = params,
    .build = build,
};
