/* SPDX-License-Identifier: MIT */
/* names.c - the closed sets of graph/ by name. Each table is printed from its .def; the sets are
 * small, so a search walks them. */
#include "graph/graph.h"

#include <string.h>

static char plain(char c) {
    return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

/* Compares a with the n characters at b, without letter case and underscores. */
static bool equal(const char *a, const char *b, size_t n) {
    for (const char *end = b + n;;) {
        while (*a == '_') a++;
        while (b < end && *b == '_') b++;
        if (!*a || b == end) return !*a && b == end;
        if (plain(*a++) != plain(*b++)) return false;
    }
}

bool nn_name_equal(const char *a, const char *b) {
    return equal(a, b, strlen(b));
}

/* Whether `name` is one of a "|"-separated list (NULL: of none). */
static bool listed(const char *name, const char *list) {
    while (list && *list) {
        size_t n = strcspn(list, "|");
        if (equal(name, list, n)) return true;
        list += n + (list[n] == '|');
    }
    return false;
}

static const struct {
    const char *name;
    int inputs;
} ops[NN_OP_COUNT] = {
#define NN_OP(N, n, i, w) {#n, i},
#include "graph/ops.def"
#undef NN_OP
};

const char *nn_op_name(nn_op op) {
    return ops[op].name;
}

int nn_op_inputs(nn_op op) {
    return ops[op].inputs;
}

int nn_op_find(const char *name) {
    for (int i = 0; i < NN_OP_COUNT; i++)
        if (strcmp(name, ops[i].name) == 0) return i;
    return -1;
}

static const struct {
    const char *name, *alias;
    double alpha;
} acts[NN_ACT_COUNT] = {
#define NN_ACT(N, n, alias, alpha) {#n, alias, alpha},
#include "graph/activations.def"
#undef NN_ACT
};

const char *nn_act_name(nn_act a) {
    return acts[a].name;
}

double nn_act_default_alpha(nn_act a) {
    return acts[a].alpha;
}

int nn_act_find(const char *name) {
    for (int i = 0; i < NN_ACT_COUNT; i++)
        if (nn_name_equal(name, acts[i].name) || listed(name, acts[i].alias)) return i;
    return -1;
}

static const struct {
    const char *name;
    double a, b;
} inits[NN_INIT_COUNT] = {
#define NN_INIT(N, n, a, b) {#n, a, b},
#include "graph/initializers.def"
#undef NN_INIT
};

const char *nn_init_name(nn_init_kind k) {
    return inits[k].name;
}

int nn_init_find(const char *name, nn_initializer *ret_default) {
    for (int i = 0; i < NN_INIT_COUNT; i++) {
        if (!nn_name_equal(name, inits[i].name)) continue;
        if (ret_default)
            *ret_default =
                (nn_initializer){.kind = (nn_init_kind)i, .a = inits[i].a, .b = inits[i].b};
        return i;
    }
    return -1;
}

static const char *const constraints[] = {
    [NN_CONSTRAINT_NONE] = "none",
    [NN_CONSTRAINT_MAX_NORM] = "max_norm",
    [NN_CONSTRAINT_NON_NEG] = "non_neg",
    [NN_CONSTRAINT_UNIT_NORM] = "unit_norm",
    [NN_CONSTRAINT_MIN_MAX_NORM] = "min_max_norm",
};

const char *nn_constraint_name(nn_constraint_kind k) {
    return constraints[k];
}

int nn_constraint_find(const char *name) {
    for (int i = 0; i < (int)(sizeof constraints / sizeof constraints[0]); i++)
        if (nn_name_equal(name, constraints[i])) return i;
    return -1;
}

static const struct {
    const char *aliases;
    nn_target_kind targets;
} losses[NN_LOSS_COUNT] = {
#define NN_LOSS(N, n, aliases, t) {aliases, NN_TARGET_##t},
#include "graph/losses.def"
#undef NN_LOSS
};
static const char *const loss_names[NN_LOSS_COUNT + 1] = {
#define NN_LOSS(N, n, aliases, t) #n,
#include "graph/losses.def"
#undef NN_LOSS
};

int nn_loss_find(const char *name) {
    for (int i = 0; i < NN_LOSS_COUNT; i++)
        if (nn_name_equal(name, loss_names[i]) || listed(name, losses[i].aliases)) return i;
    return -1;
}

const char *nn_loss_name(nn_loss_kind k) {
    return loss_names[k];
}

nn_target_kind nn_loss_targets(nn_loss_kind k) {
    return losses[k].targets;
}

const char *const *nn_loss_names(void) {
    return loss_names;
}

static const struct {
    const char *name;
    int slots;
    double lr;
} optimizers[NN_OPTIMIZER_COUNT] = {
#define NN_OPTIMIZER(N, n, c, slots, lr) {#n, slots, lr},
#include "graph/optimizers.def"
#undef NN_OPTIMIZER
};
static const char *const optimizer_names[NN_OPTIMIZER_COUNT + 1] = {
#define NN_OPTIMIZER(N, n, c, slots, lr) c,
#include "graph/optimizers.def"
#undef NN_OPTIMIZER
};

int nn_optimizer_find(const char *name) {
    for (int i = 0; i < NN_OPTIMIZER_COUNT; i++)
        if (nn_name_equal(name, optimizers[i].name)) return i;
    return -1;
}

const char *nn_optimizer_name(nn_optimizer_kind k) {
    return optimizers[k].name;
}

int nn_optimizer_slots(nn_optimizer_kind k) {
    return optimizers[k].slots;
}

const char *const *nn_optimizer_names(void) {
    return optimizer_names;
}

/* Keras's defaults (language.md 8.1); AdamW alone decays. */
nn_optimizer nn_optimizer_default(nn_optimizer_kind kind) {
    return (nn_optimizer){.kind = kind,
                          .learning_rate = optimizers[kind].lr,
                          .beta_1 = 0.9,
                          .beta_2 = 0.999,
                          .epsilon = 1e-7,
                          .weight_decay = kind == NN_OPTIMIZER_ADAMW ? 0.004 : 0};
}

nn_train_spec nn_train_default(void) {
    return (nn_train_spec){.loss = NN_LOSS_MSE,
                           .optimizer = nn_optimizer_default(NN_OPTIMIZER_ADAM),
                           .metrics = NN_METRIC_ACCURACY,
                           .epochs = 10,
                           .batch_size = 32,
                           .shuffle = true,
                           .device = "auto"};
}

nn_loss_kind nn_train_default_loss(const nn_graph *g) {
    if (g->n_outputs == 0) return NN_LOSS_MSE;
    const nn_node *n = &g->nodes[g->outputs[0]];
    if (n->op == NN_OP_SOFTMAX && !n->attr.softmax.log) return NN_LOSS_SPARSE;
    bool sigmoid = n->op == NN_OP_ACTIVATION && n->attr.activation.kind == NN_ACT_SIGMOID;
    return sigmoid ? NN_LOSS_BINARY : NN_LOSS_MSE;
}
