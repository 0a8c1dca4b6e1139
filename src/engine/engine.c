/* SPDX-License-Identifier: MIT */
/* engine.c - the engines by number and name, and what is the same for all of them. */
#include "engine/engine.h"

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

int nn_exec_slots(const nn_graph *g) {
    const nn_optimizer *o = &g->train.optimizer;
    if (o->kind == NN_OPTIMIZER_SGD) return o->momentum != 0;
    return nn_optimizer_slots(o->kind) + o->amsgrad;
}

bool nn_batch_norm_frozen(const nn_graph *g, const nn_node *n) {
    int parameters = n->attr.batch_norm.scale + n->attr.batch_norm.center;
    for (int i = 0; i < parameters; i++)
        if (!g->weights[n->weights[i]].trainable) return true;
    return false;
}
