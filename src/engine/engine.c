/* SPDX-License-Identifier: MIT */
/* engine.c - the engines by number and name, and what is the same for all of them. */
#include "engine/engine.h"

#include "engine/optimizer.h"

#include <strings.h>

#define NN_ENGINE(n) extern const nn_engine nn_engine_##n;
#include "engine/engines.def"
#undef NN_ENGINE

static const nn_engine *const engines[] = {
#define NN_ENGINE(n) &nn_engine_##n,
#include "engine/engines.def"
#undef NN_ENGINE
};

const nn_engine *nn_engine_at(unsigned i) {
    return i < sizeof engines / sizeof *engines ? engines[i] : NULL;
}

const nn_engine *nn_engine_find(const char *name) {
    for (unsigned i = 0; i < sizeof engines / sizeof *engines; i++)
        if (strcasecmp(engines[i]->name, name) == 0) return engines[i];
    return NULL;
}

nn_status nn_engine_cannot(const nn_engine *e, const nn_node *n, const char *what, nn_err *err) {
    nn_status s = nn_fail(err, NN_E_UNSUPPORTED, "%s ('%s'): the %s engine does not run %s yet",
                          n->layer, n->layer_name, e->name, what ? what : nn_op_name(n->op));
    if (err) err->line = n->span.line, err->col = n->span.col;
    return nn_err_hint(err, s,
                       "leave the engine's name out: the reference engine runs it, slower; or "
                       "generate code for another framework with 'neural compile --backend'");
}

nn_status nn_engine_named_only(const nn_node *n, nn_err *err) {
    nn_status s = nn_fail(err, NN_E_UNSUPPORTED,
                          "%s ('%s') is only named in the program, not defined: no engine can run "
                          "it",
                          n->layer, n->layer_name);
    if (err) err->line = n->span.line, err->col = n->span.col;
    return nn_err_hint(err, s,
                       "generate code with 'neural compile --backend' and define it there, or use "
                       "other layers");
}

static const nn_train_support supported = {
    .who = "Neural's engine",
    .save_instead = "leave save_path out and say where with --output",
    .losses = ((1u << NN_LOSS_COUNT) - 1) & ~(1u << NN_LOSS_CUSTOM),
    .ignore_class = true,
    .optimizers = (1u << NN_OPTIMIZER_COUNT) - 1,
    .schedules = (1u << NN_SCHEDULE_COUNT) - 1,
    .metrics = (1u << NN_TRAIN_METRIC_COUNT) - 1,
    .class_weight = true,
    .early_stopping = true,
    .precisions = 1 << NN_PRECISION_FLOAT32,
};

nn_status nn_trainer_supports(const nn_train_spec *t, nn_err *err) {
    return nn_train_check(t, &supported, err);
}

nn_status nn_trainer_supports_loss(const nn_train_spec *t, nn_err *err) {
    return nn_train_check_loss(t, &supported, err);
}

int nn_exec_slots(const nn_graph *g) {
    return nn_optimizer_state_slots(&g->train.optimizer);
}

bool nn_batch_norm_frozen(const nn_graph *g, const nn_node *n) {
    int parameters = n->attr.batch_norm.scale + n->attr.batch_norm.center;
    for (int i = 0; i < parameters; i++)
        if (!g->weights[n->weights[i]].trainable) return true;
    return false;
}
