/* SPDX-License-Identifier: MIT */
/* pytorch_state.c - see state.h. A tensor is one of our weights with its axes turned, one row of
 * it, or a number that PyTorch's module has and ours does not need. */
#include "codegen/pytorch.h"
#include "codegen/state.h"

#include <stdlib.h>
#include <string.h>

typedef struct list {
    const nn_emit *e;
    nn_arena *arena;
    nn_torch_tensor *at;
    int n;
} list;

static nn_torch_tensor *add(list *l, const char *module, const char *parameter) {
    nn_torch_tensor *t = &l->at[l->n++];
    *t = (nn_torch_tensor){.weight = -1, .row = -1};
    t->name = nn_arena_printf(l->arena, "%s%s", module, parameter);
    return t;
}

static void add_fixed(list *l, const char *module, const char *parameter, int64_t n, double v) {
    nn_torch_tensor *t = add(l, module, parameter);
    t->shape = (nn_shape){1, {n}};
    t->fixed = v;
}

static void add_row(list *l, const char *module, const char *parameter, int weight, int row) {
    nn_torch_tensor *t = add(l, module, parameter);
    t->weight = weight;
    t->shape = (nn_shape){1, {l->e->g->weights[weight].shape.dim[1]}};
    t->gates = true;
    t->row = row;
}

static void add_whole(list *l, const char *module, const nn_torch_place *p, int weight) {
    const nn_shape *ours = &l->e->g->weights[weight].shape;
    nn_torch_tensor *t = add(l, module, p->parameter);
    t->weight = weight;
    t->gates = p->gates;
    nn_torch_axes(p, t->axes);
    t->shape.rank = ours->rank;
    for (int i = 0; i < ours->rank; i++) t->shape.dim[i] = ours->dim[t->axes[i]];
    if (p->node->op == NN_OP_PRELU && *p->parameter) /* nn.PReLU: our ones are not there */
        t->shape = (nn_shape){1, {ours->dim[ours->rank - 1]}};
}

/* What normalisation modules have although the network has it switched off. */
static void add_half(list *l, const nn_node *n, const char *module) {
    bool batch = n->op == NN_OP_BATCH_NORM, group = n->op == NN_OP_GROUP_NORM;
    if (!batch && !group && n->op != NN_OP_LAYER_NORM) return;
    bool center = batch   ? n->attr.batch_norm.center
                  : group ? n->attr.group_norm.center
                          : n->attr.layer_norm.center;
    bool scale = batch   ? n->attr.batch_norm.scale
                 : group ? n->attr.group_norm.scale
                         : n->attr.layer_norm.scale;
    int64_t channels = n->shape.dim[n->shape.rank - 1];
    if (center && !scale) add_fixed(l, module, ".weight", channels, 1);
    if (scale && !center) add_fixed(l, module, ".bias", channels, 0);
    if (batch) add(l, module, ".num_batches_tracked")->counter = true;
}

static void add_node(list *l, const nn_node *n) {
    const char *module = l->e->attribute[n->id];
    if (!module) return;
    for (int k = 0; k < n->n_weights; k++) {
        nn_torch_place p = nn_torch_place_of(l->e, n, k);
        if (p.second) {
            add_row(l, module, p.parameter, n->weights[k], 0);
            add_row(l, module, p.second, n->weights[k], 1);
        } else {
            add_whole(l, module, &p, n->weights[k]);
        }
    }
    add_half(l, n, module);
    if (nn_torch_has_idle_bias(l->e, n))
        add_fixed(l, module, ".bias_hh_l0", l->e->g->weights[n->weights[2]].elements, 0);
}

nn_status nn_torch_collect(const nn_emit *e, nn_arena *arena, nn_torch_state *ret, nn_err *err) {
    size_t most = 2 * (size_t)e->g->n_weights + 2 * (size_t)e->g->n_nodes + 1;
    list l = {.e = e, .arena = arena, .at = NN_NEW_N(arena, nn_torch_tensor, most)};
    if (!l.at) return nn_fail(err, NN_E_LIMIT, "'%s' has too many weights", e->g->name);
    for (int i = 0; i < e->g->n_nodes; i++) add_node(&l, &e->g->nodes[i]);
    for (int i = 0; i < l.n; i++)
        if (!l.at[i].name) return nn_fail(err, NN_E_LIMIT, "'%s' has too many weights", e->g->name);
    *ret = (nn_torch_state){l.at, l.n};
    return NN_OK;
}

/* Which of our blocks z r h stands at i of `size` in r z n. */
static int64_t turn_gates(int64_t i, int64_t size) {
    static const int ours[] = {1, 0, 2};
    int64_t block = size / 3;
    return ours[i / block] * block + i % block;
}

int64_t nn_torch_state_place(const nn_graph *g, const nn_torch_tensor *t, int64_t i) {
    const nn_weight *w = &g->weights[t->weight];
    int64_t stride[NN_MAX_RANK], at = w->offset;
    if (t->row >= 0) return at + t->row * t->shape.dim[0] + turn_gates(i, t->shape.dim[0]);
    for (int64_t k = w->shape.rank - 1, n = 1; k >= 0; n *= w->shape.dim[k--]) stride[k] = n;
    for (int k = w->shape.rank - 1; k >= 0; k--) {
        int64_t size = w->shape.dim[t->axes[k]], index = i % size;
        if (k == 0 && t->gates) index = turn_gates(index, size);
        at += index * stride[t->axes[k]];
        i /= size;
    }
    return at;
}
