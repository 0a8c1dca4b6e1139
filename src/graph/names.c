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

bool nn_name_listed(const char *name, const char *list) {
    while (list && *list) {
        size_t n = strcspn(list, "|");
        if (equal(name, list, n)) return true;
        list += n + (list[n] == '|');
    }
    return false;
}

static const struct {
    const char *name;
    int least, most; /* inputs */
} ops[NN_OP_COUNT] = {
#define NN_OP(N, n, lo, hi, w) {#n, lo, hi},
#include "graph/ops.def"
#undef NN_OP
};

const char *nn_op_name(nn_op op) {
    return ops[op].name;
}

void nn_op_arity(nn_op op, int *ret_least, int *ret_most) {
    *ret_least = ops[op].least;
    *ret_most = ops[op].most;
}

int nn_op_find(const char *name) {
    for (int i = 0; i < NN_OP_COUNT; i++)
        if (strcmp(name, ops[i].name) == 0) return i;
    return -1;
}

static const char *const merges[NN_MERGE_COUNT] = {
#define NN_MERGE(N, n) #n,
#include "graph/merges.def"
#undef NN_MERGE
};

const char *nn_merge_name(nn_merge m) {
    return merges[m];
}

int nn_merge_find(const char *name) {
    for (int i = 0; i < NN_MERGE_COUNT; i++)
        if (nn_name_equal(name, merges[i])) return i;
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
        if (nn_name_equal(name, acts[i].name) || nn_name_listed(name, acts[i].alias)) return i;
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

nn_loss_kind nn_train_default_loss(const nn_graph *g) {
    if (g->n_outputs == 0) return NN_LOSS_MSE;
    const nn_node *n = &g->nodes[g->outputs[0]];
    if (n->op == NN_OP_SOFTMAX && !n->attr.softmax.log) return NN_LOSS_SPARSE;
    bool sigmoid = n->op == NN_OP_ACTIVATION && n->attr.activation.kind == NN_ACT_SIGMOID;
    return sigmoid ? NN_LOSS_BINARY : NN_LOSS_MSE;
}
