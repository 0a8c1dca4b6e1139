/* SPDX-License-Identifier: MIT */
/* build.h - what the layer files share: adding ops, weights, activations and changes of layout.
 * Private to layers/. */
#ifndef NN_LAYERS_BUILD_H
#define NN_LAYERS_BUILD_H
#include "layers/layer.h"

/* Adds an op of this layer; suffix "" is the layer's own name, else "<layer>.<suffix>". */
nn_status nn_build_op(const nn_layer_ctx *c, nn_op op, const char *suffix, int input,
                      const nn_attr *attr, const nn_shape *shape, int *ret, nn_err *err);

/* The same for an op of several inputs. */
nn_status nn_build_op_n(const nn_layer_ctx *c, nn_op op, const char *suffix, const int *inputs,
                        int n_inputs, const nn_attr *attr, const nn_shape *shape, int *ret,
                        nn_err *err);
/* Builds a wrapped layer on `from`; its nodes are named "<layer>.<suffix>..." ("": as the layer
 * itself), its inputs beyond the first are none, the padding of its output is in c->ret_mask.
 * `args` in place of inner->args unless NULL. */
nn_status nn_build_inner(const nn_layer_ctx *c, const nn_inner *inner, const nn_bound *args,
                         const char *suffix, int from, int *ret, nn_err *err);
/* Builds the block on `from`; NN_E_DSL_ERROR if it leaves more than one branch open. */
nn_status nn_build_block(const nn_layer_ctx *c, int from, int *ret, nn_err *err);
/* The same for a block that may leave several branches open (at most NN_MAX_INPUTS). */
nn_status nn_build_branches(const nn_layer_ctx *c, int from, int *ret, int *ret_n, nn_err *err);
/* trainable=false of a layer holds for everything in it: freezes the weights from `first` on. */
void nn_build_freeze(const nn_layer_ctx *c, int first);

/* The block of parameters that layers with a kernel share, in this order in their tables. */
enum {
    NN_K_USE_BIAS,
    NN_K_KERNEL_INITIALIZER,
    NN_K_BIAS_INITIALIZER,
    NN_K_KERNEL_REGULARIZER,
    NN_K_BIAS_REGULARIZER,
    NN_K_ACTIVITY_REGULARIZER,
    NN_K_KERNEL_CONSTRAINT,
    NN_K_BIAS_CONSTRAINT,
    NN_K_COUNT
};
/* clang-format off */
#define NN_NAMED_KERNEL_PARAMS(kernel)                                                             \
    {.name = "use_bias", .type = NN_P_BOOL, .fallback = "true", .help = "add a bias"},             \
    {.name = kernel "_initializer", .type = NN_P_INITIALIZER, .fallback = "glorot_uniform",        \
     .help = "how the kernel starts"},                                                             \
    {.name = "bias_initializer", .type = NN_P_INITIALIZER, .fallback = "zeros",                    \
     .help = "how the bias starts"},                                                               \
    {.name = kernel "_regularizer", .type = NN_P_REGULARIZER, .help = "penalty on the kernel"},    \
    {.name = "bias_regularizer", .type = NN_P_REGULARIZER, .help = "penalty on the bias"},         \
    {.name = "activity_regularizer", .type = NN_P_REGULARIZER, .help = "penalty on the output"},   \
    {.name = kernel "_constraint", .type = NN_P_CONSTRAINT,                                        \
     .help = "applied to the kernel after each update"},                                           \
    {.name = "bias_constraint", .type = NN_P_CONSTRAINT,                                           \
     .help = "applied to the bias after each update"}
#define NN_KERNEL_PARAMS NN_NAMED_KERNEL_PARAMS("kernel")
/* clang-format on */

/* Adds the kernel and, if use_bias, the bias of `node`; k is the layer's first kernel argument. */
nn_status nn_build_kernel(const nn_layer_ctx *c, int node, const nn_bound *k, nn_err *err);
/* Adds one weight by its op's rule, with Keras's fans (compute_fans in keras/initializers). Any of
 * reg and con may be NULL. */
nn_status nn_build_weight(const nn_layer_ctx *c, int node, const char *suffix, const nn_bound *init,
                          const nn_bound *reg, const nn_bound *con, bool trainable, nn_err *err);
bool nn_build_trainable(const nn_layer_ctx *c); /* the common argument */

/* Adds the activation of that canonical name after `from`, as "<layer>.<name>" (suffix NULL) or
 * with the suffix given; none for linear (then ret = from) unless `always`. prelu brings its
 * weight, of the shape of `from`. Behind it stands the penalty "<layer>.activity" if the layer
 * takes an activity_regularizer and was given one, so a layer calls this once, for its output. */
typedef struct nn_build_act {
    const char *name;   /* NULL: linear */
    const char *suffix; /* NULL: the activation's name */
    double alpha;       /* used when has_alpha, else the table's */
    bool has_alpha, always;
} nn_build_act;
nn_status nn_build_activation(const nn_layer_ctx *c, int from, const nn_build_act *a, int *ret,
                              nn_err *err);
bool nn_activation_mixes(const char *name); /* softmax, log_softmax: not element by element */

#define NN_DATA_FORMAT_PARAM                                                                       \
    {                                                                                              \
        .name = "data_format", .type = NN_P_ENUM, .words = "channels_last|channels_first",         \
        .fallback = "channels_last", .help = "order of the input's axes"                           \
    }
bool nn_build_channels_first(const nn_bound *data_format);
/* Moves input axis `axis` of `from` to the end, keeping the others in order (or, back: the last
 * axis to `axis`). */
nn_status nn_build_axis_to_last(const nn_layer_ctx *c, int from, int axis, int *ret, nn_err *err);
nn_status nn_build_last_to_axis(const nn_layer_ctx *c, int from, int axis, int *ret, nn_err *err);
/* An axis as Keras counts it (the batch is 0, negative from the end) as an axis of a sample of
 * `rank` axes; NN_E_DSL_ERROR for the batch and for one that is not there. */
nn_status nn_build_axis(int64_t axis, int rank, int *ret, nn_err *err);

/* A window of `spatial` axes from bound DIMS arguments; dilation and padding may be NULL (1,
 * valid).
 */
nn_window nn_build_window(int spatial, const nn_bound *size, const nn_bound *stride,
                          const nn_bound *dilation, const nn_bound *padding);

/* Marks the error just reported as being about argument i; returns st. */
nn_status nn_build_blame(const nn_layer_ctx *c, int i, const char *hint, nn_status st);
void nn_build_notice(const nn_layer_ctx *c, nn_notice n);
#endif
