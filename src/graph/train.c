/* SPDX-License-Identifier: MIT */
/* train.c - a training specification as JSON and back. One list of members serves both directions,
 * so neither can forget one. */
#include "graph/train.h"

#include "graph/reader.h"

#include <stdio.h>

/* member kinds: B bool, I count >= its minimum, R real, T text */
#define OPTIMIZER_MEMBERS(B, R)                                                                    \
    R(learning_rate)                                                                               \
    R(momentum)                                                                                    \
    R(beta_1)                                                                                      \
    R(beta_2)                                                                                      \
    R(epsilon) R(weight_decay) R(clipnorm) R(clipvalue) R(global_clipnorm) B(nesterov) B(amsgrad)
#define TRAIN_MEMBERS(B, I, R, T)                                                                  \
    B(has_loss)                                                                                    \
    B(has_optimizer)                                                                               \
    B(has_training)                                                                                \
    B(from_logits)                                                                                 \
    R(label_smoothing)                                                                             \
    I(epochs, 1)                                                                                   \
    I(batch_size, 1)                                                                               \
    R(validation_split) B(shuffle) B(seeded) T(dataset) T(device) I(steps_per_epoch, 0)

static nn_json *optimizer_json(const nn_optimizer *o) {
    nn_json *v = nn_json_new_object();
    nn_json_set(v, "type", nn_json_new_str(nn_optimizer_name(o->kind)));
#define B(m) nn_json_set(v, #m, nn_json_new_bool(o->m));
#define R(m) nn_json_set(v, #m, nn_json_new_num(o->m));
    OPTIMIZER_MEMBERS(B, R)
#undef B
#undef R
    return v;
}

static nn_optimizer optimizer_read(nn_rd *r) {
    nn_optimizer o = {.kind = (nn_optimizer_kind)nn_rd_word(r, "type", nn_optimizer_find)};
#define B(m) o.m = nn_rd_bool(r, #m);
#define R(m) o.m = nn_rd_num(r, #m);
    OPTIMIZER_MEMBERS(B, R)
#undef B
#undef R
    nn_rd_done(r);
    return o;
}

nn_json *nn_train_json(const nn_train_spec *t) {
    nn_json *v = nn_json_new_object();
    nn_json_set(v, "loss", nn_json_new_str(nn_loss_name(t->loss)));
    nn_json_set(v, "optimizer", optimizer_json(&t->optimizer));
    nn_json_set(v, "metrics", nn_json_new_int(t->metrics));
    nn_json_set(v, "seed",
                nn_json_new_int((int64_t)t->seed)); /* the bits; read back the same way */
#define B(m)      nn_json_set(v, #m, nn_json_new_bool(t->m));
#define I(m, min) nn_json_set(v, #m, nn_json_new_int(t->m));
#define R(m)      nn_json_set(v, #m, nn_json_new_num(t->m));
#define T(m)      nn_json_set(v, #m, nn_json_new_str(t->m));
    TRAIN_MEMBERS(B, I, R, T)
#undef B
#undef I
#undef R
#undef T
    return v;
}

/* What the engine would choke on; !(a < b) also refuses a NaN. */
static void check_ranges(nn_rd *r, const nn_train_spec *t) {
    const nn_optimizer *o = &t->optimizer;
    if (!(t->validation_split >= 0 && t->validation_split < 1))
        nn_rd_fail(r, "validation_split", "in [0, 1)");
    if (!(t->label_smoothing >= 0 && t->label_smoothing < 1))
        nn_rd_fail(r, "label_smoothing", "in [0, 1)");
    if (!(o->learning_rate > 0)) nn_rd_fail(r, "learning_rate", "above 0");
    if (!(o->momentum >= 0 && o->momentum <= 1)) nn_rd_fail(r, "momentum", "in [0, 1]");
    if (!(o->beta_1 >= 0 && o->beta_1 < 1)) nn_rd_fail(r, "beta_1", "in [0, 1)");
    if (!(o->beta_2 >= 0 && o->beta_2 < 1)) nn_rd_fail(r, "beta_2", "in [0, 1)");
    if (!(o->epsilon >= 0)) nn_rd_fail(r, "epsilon", "0 or above");
    if (!(o->weight_decay >= 0)) nn_rd_fail(r, "weight_decay", "0 or above");
    if (!(o->clipnorm >= 0 && o->clipvalue >= 0 && o->global_clipnorm >= 0))
        nn_rd_fail(r, "clipnorm", "0 or above");
}

nn_status nn_train_read(const nn_json *v, nn_train_spec *ret, nn_err *err) {
    nn_status st = NN_OK;
    nn_rd r = nn_rd_open(v, "train", &st, err);
    nn_train_spec t = {.loss = (nn_loss_kind)nn_rd_word(&r, "loss", nn_loss_find)};
    nn_rd o = nn_rd_object(&r, "optimizer");
    t.optimizer = optimizer_read(&o);
    t.metrics = (unsigned)nn_rd_int(&r, "metrics", 0, NN_METRIC_ACCURACY | NN_METRIC_LOSS);
    t.seed = (uint64_t)nn_rd_int(&r, "seed", INT64_MIN, INT64_MAX);
#define B(m)      t.m = nn_rd_bool(&r, #m);
#define I(m, min) t.m = nn_rd_int(&r, #m, min, NN_MAX_DIM);
#define R(m)      t.m = nn_rd_num(&r, #m);
#define T(m)      snprintf(t.m, sizeof t.m, "%s", nn_rd_str(&r, #m, sizeof t.m - 1));
    TRAIN_MEMBERS(B, I, R, T)
#undef B
#undef I
#undef R
#undef T
    check_ranges(&r, &t);
    if (nn_rd_done(&r)) return st;
    *ret = t;
    return NN_OK;
}
