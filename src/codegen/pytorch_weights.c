/* SPDX-License-Identifier: MIT */
/* pytorch_weights.c - what a network says about its weights: how they begin, which of them train,
 * what keeps them small, and where each is found in a file that Neural wrote. */
#include "codegen/pytorch.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A weight of a node: its suffix ("kernel") and what PyTorch's module calls it. */
typedef struct place {
    const nn_node *node;
    const nn_weight *weight;
    const char *suffix, *parameter;
} place;

static place place_of(const nn_emit *e, const nn_node *n, int k) {
    static const char *const names[][2] = {
        {"kernel",          "weight"      },
        {"gamma",           "weight"      },
        {"bias",            "bias"        },
        {"beta",            "bias"        },
        {"moving_mean",     "running_mean"},
        {"moving_variance", "running_var" }
    };
    nn_shape shape;
    place p = {.node = n, .weight = &e->g->weights[n->weights[k]]};
    p.suffix = nn_node_weight_rule(e->g, n, k, &shape);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i][0], p.suffix) == 0) p.parameter = names[i][1];
    return p;
}

bool nn_torch_trains(const nn_emit *e, const nn_node *n) {
    for (int k = 0; k < n->n_weights; k++)
        if (e->g->weights[n->weights[k]].trainable) return true;
    return false;
}

/* Calls fn for every weight, in the order of the graph. */
static void each_weight(nn_emit *e, void (*fn)(nn_emit *e, const place *p, nn_buf *out),
                        nn_buf *out) {
    for (int i = 0; i < e->g->n_nodes; i++)
        for (int k = 0; k < e->g->nodes[i].n_weights; k++) {
            place p = place_of(e, &e->g->nodes[i], k);
            fn(e, &p, out);
        }
}

/* ---- initial values ---- */

/* keras/initializers/random_initializers.py, VarianceScaling: the variance that a weight begins
 * with. */
static double variance(const nn_weight *w) {
    double in = (double)w->fan_in, out = (double)w->fan_out;
    nn_init_kind k = w->init.kind;
    if (k == NN_INIT_GLOROT_NORMAL || k == NN_INIT_GLOROT_UNIFORM) return 2 / fmax(1, in + out);
    return (k == NN_INIT_HE_NORMAL || k == NN_INIT_HE_UNIFORM ? 2 : 1) / fmax(1, in);
}

typedef struct call {
    const char *function;
    int n;
    double arguments[4];
} call;

/* v with nine digits, which say a float exactly: computed limits need no more. */
static double short_form(double v) {
    char text[40];
    snprintf(text, sizeof text, "%.9g", v);
    return strtod(text, NULL);
}

static call truncated(double mean, double deviation) {
    return (call){
        "trunc_normal_", 4, {mean, deviation, mean - 2 * deviation, mean + 2 * deviation}
    };
}

static call plain(const char *function, int n, double a, double b) {
    return (call){
        function, n, {a, b}
    };
}

/* Keras cuts normals at two deviations, and widens those of VarianceScaling by what the cut takes
 * away. */
static call scaled_normal(const nn_weight *w) {
    return truncated(0, short_form(sqrt(variance(w)) / .87962566103423978));
}

static call scaled_uniform(const nn_weight *w) {
    double limit = short_form(sqrt(3 * variance(w)));
    return plain("uniform_", 2, -limit, limit);
}

static call initial(const nn_weight *w) {
    double a = w->init.a, b = w->init.b;
    bool matrix = w->shape.rank > 1;
    switch (w->init.kind) {
    case NN_INIT_ZEROS:
        return plain("zeros_", 0, 0, 0);
    case NN_INIT_ONES:
        return plain("ones_", 0, 0, 0);
    case NN_INIT_CONSTANT:
        return plain("constant_", 1, a, 0);
    case NN_INIT_RANDOM_NORMAL:
        return plain("normal_", 2, a, b);
    case NN_INIT_RANDOM_UNIFORM:
        return plain("uniform_", 2, a, b);
    case NN_INIT_TRUNCATED_NORMAL:
        return truncated(a, b);
    case NN_INIT_GLOROT_UNIFORM:
        return matrix ? plain("xavier_uniform_", 0, 0, 0) : scaled_uniform(w);
    case NN_INIT_HE_UNIFORM:
        return matrix ? plain("kaiming_uniform_", 0, 0, 0) : scaled_uniform(w);
    case NN_INIT_LECUN_UNIFORM:
        return scaled_uniform(w);
    case NN_INIT_GLOROT_NORMAL:
    case NN_INIT_HE_NORMAL:
    case NN_INIT_LECUN_NORMAL:
        return scaled_normal(w);
    case NN_INIT_ORTHOGONAL:
        return plain("orthogonal_", a != 1, a, 0);
    case NN_INIT_IDENTITY:
        return plain("eye_", 0, 0, 0);
    case NN_INIT_UNIT_FORGET: /* put_module adds the ones */
        return plain("zeros_", 0, 0, 0);
    case NN_INIT_COUNT:
        break;
    }
    abort();
}

/* BatchNorm modules begin with these by themselves. */
static bool is_default(const place *p) {
    if (p->node->op != NN_OP_BATCH_NORM) return false;
    bool ones = strcmp(p->suffix, "gamma") == 0 || strcmp(p->suffix, "moving_variance") == 0;
    return p->weight->init.kind == (ones ? NN_INIT_ONES : NN_INIT_ZEROS);
}

static void put_initial(const place *p, const char *owner, nn_buf *out) {
    call c = initial(p->weight);
    nn_buf_printf(out, "nn.init.%s(%s.%s", c.function, owner, p->parameter);
    for (int i = 0; i < c.n; i++) {
        nn_buf_puts(out, ", ");
        nn_py_float(out, c.arguments[i]);
    }
    nn_buf_puts(out, ")\n");
}

/* What no function of nn.init does in one line. */
static void put_rest(const place *p, const char *indent, const char *owner, nn_buf *out) {
    const nn_weight *w = p->weight;
    if (w->init.kind == NN_INIT_IDENTITY && w->init.a != 1) {
        nn_buf_printf(out, "%s%s.%s.data.mul_(", indent, owner, p->parameter);
        nn_py_float(out, w->init.a);
        nn_buf_puts(out, ")\n");
    }
    int64_t last = w->shape.rank ? w->shape.dim[w->shape.rank - 1] : 1;
    if (w->init.kind == NN_INIT_UNIT_FORGET) /* PyTorch has our last axis first */
        nn_buf_printf(out, "%s%s.%s.data[%" PRId64 ":%" PRId64 "].fill_(1.0)\n", indent, owner,
                      p->parameter, last / 4, last / 2);
}

/* The lines that fill one module, each behind `indent`; none for what begins right by itself. */
static void put_module(const nn_emit *e, const nn_node *n, const char *indent, const char *owner,
                       nn_buf *out) {
    for (int k = 0; k < n->n_weights; k++) {
        place p = place_of(e, n, k);
        if (is_default(&p)) continue;
        nn_buf_puts(out, indent);
        put_initial(&p, owner, out);
        put_rest(&p, indent, owner, out);
    }
}

/* Modules that begin in the same way share a loop. */
typedef struct group {
    const char *lines;
    int n, cap;
    int *nodes;
} group;

typedef struct groups {
    group *at;
    int n, cap;
} groups;

static void *larger(nn_emit *e, const void *old, int n, size_t size) {
    char *p = nn_arena_array(e->arena, 2 * (size_t)n + 4, size);
    if (!p) abort(); /* this arena has no cap */
    if (n) memcpy(p, old, (size_t)n * size);
    return p;
}

static group *find_group(nn_emit *e, groups *gs, const char *lines) {
    for (int i = 0; i < gs->n; i++)
        if (strcmp(gs->at[i].lines, lines) == 0) return &gs->at[i];
    if (gs->n == gs->cap) {
        gs->at = larger(e, gs->at, gs->n, sizeof *gs->at);
        gs->cap = 2 * gs->n + 4;
    }
    gs->at[gs->n] = (group){.lines = nn_arena_strdup(e->arena, lines)};
    return &gs->at[gs->n++];
}

static void add_node(nn_emit *e, group *g, int node) {
    if (g->n == g->cap) {
        g->nodes = larger(e, g->nodes, g->n, sizeof *g->nodes);
        g->cap = 2 * g->n + 4;
    }
    g->nodes[g->n++] = node;
}

static void put_loop(const nn_emit *e, const group *g, nn_buf *out) {
    size_t width = 0;
    for (int i = 0; i < g->n; i++) width += strlen(e->attribute[g->nodes[i]]) + 7;
    bool one_line = width <= 74;
    nn_buf_puts(out, "        for layer in (");
    for (int i = 0; i < g->n; i++)
        nn_buf_printf(out, "%sself.%s%s", one_line ? (i ? ", " : "") : "\n            ",
                      e->attribute[g->nodes[i]], one_line ? "" : ",");
    nn_buf_printf(out, "%s):\n%s", one_line ? "" : "\n        ", g->lines);
}

void nn_torch_initialisers(nn_emit *e, nn_buf *out) {
    groups gs = {0};
    NN_BUF lines = {0};
    for (int i = 0; i < e->g->n_nodes; i++) {
        nn_buf_clear(&lines);
        put_module(e, &e->g->nodes[i], "            ", "layer", &lines);
        if (lines.n) add_node(e, find_group(e, &gs, nn_buf_str(&lines)), i);
    }
    for (const group *g = gs.at; g && g < gs.at + gs.n; g++) {
        int node = g->nodes[0];
        if (g->n > 1)
            put_loop(e, g, out);
        else
            put_module(e, &e->g->nodes[node], "        ",
                       nn_arena_printf(e->arena, "self.%s", e->attribute[node]), out);
    }
    if (gs.n == 0) nn_buf_puts(out, "        pass\n");
}

/* ---- what does not train ---- */

void nn_torch_freeze(nn_emit *e, nn_buf *out) {
    for (int i = 0; i < e->g->n_nodes; i++) {
        const nn_node *n = &e->g->nodes[i];
        const char *name = e->attribute[i];
        if (n->n_weights == 0) continue;
        bool norm = n->op == NN_OP_BATCH_NORM;
        bool any = !norm || n->attr.batch_norm.center || n->attr.batch_norm.scale;
        if (any && !nn_torch_trains(e, n))
            nn_buf_printf(out, "        self.%s.requires_grad_(False)\n", name);
        else if (any && norm && !n->attr.batch_norm.scale)
            nn_buf_printf(out,
                          "        self.%s.weight.requires_grad_(False)  # scale=False: stays 1\n",
                          name);
        else if (any && norm && !n->attr.batch_norm.center)
            nn_buf_printf(
                out, "        self.%s.bias.requires_grad_(False)  # center=False: stays 0\n", name);
    }
}

/* ---- penalties and constraints ---- */

static void put_norm(const char *module, const place *p, double factor, const char *of,
                     nn_buf *out) {
    if (factor == 0) return;
    nn_buf_puts(out, out->n ? "        + " : "        ");
    nn_py_float(out, factor);
    nn_buf_printf(out, " * model.%s.%s.%s.sum()\n", module, p->parameter, of);
}

static void put_penalty(nn_emit *e, const place *p, nn_buf *out) {
    if (!p->weight->trainable) return;
    put_norm(e->attribute[p->node->id], p, p->weight->regularizer.l1, "abs()", out);
    put_norm(e->attribute[p->node->id], p, p->weight->regularizer.l2, "square()", out);
}

bool nn_torch_penalties(nn_emit *e, nn_buf *out) {
    NN_BUF terms = {0};
    each_weight(e, put_penalty, &terms);
    if (terms.n == 0) return false;
    nn_buf_puts(out, "\n\ndef penalties(model):\n"
                     "    \"\"\"What the regularizers of the weights add to the loss.\"\"\"\n"
                     "    return (\n");
    nn_buf_append(out, terms.p, terms.n);
    nn_buf_puts(out, "    )\n");
    return true;
}

static const char rescale[] =
    "\n\ndef rescale(weight, wanted):\n"
    "    \"\"\"Gives the weights of each output the norm wanted(norm).\"\"\"\n"
    "    axes = tuple(range(1, weight.dim())) or (0,)\n"
    "    norm = weight.square().sum(dim=axes, keepdim=True).sqrt()\n"
    "    weight.mul_(wanted(norm) / (1e-07 + norm))\n";

static void put_constraint(nn_emit *e, const place *p, nn_buf *out) {
    const nn_constraint *c = &p->weight->constraint;
    const char *module = e->attribute[p->node->id];
    if (c->kind == NN_CONSTRAINT_NONE) return;
    if (c->kind == NN_CONSTRAINT_NON_NEG) {
        nn_buf_printf(out, "    model.%s.%s.clamp_(min=0.0)\n", module, p->parameter);
        return;
    }
    nn_buf_printf(out, "    rescale(model.%s.%s, ", module, p->parameter);
    if (c->kind == NN_CONSTRAINT_UNIT_NORM)
        nn_buf_puts(out, "torch.ones_like");
    else if (c->kind == NN_CONSTRAINT_MAX_NORM) {
        nn_buf_puts(out, "lambda norm: norm.clamp(max=");
        nn_py_float(out, c->max);
        nn_buf_putc(out, ')');
    } else {
        nn_buf_puts(out, "lambda norm: norm + ");
        nn_py_float(out, c->rate);
        nn_buf_puts(out, " * (norm.clamp(");
        nn_py_float(out, c->min);
        nn_buf_puts(out, ", ");
        nn_py_float(out, c->max);
        nn_buf_puts(out, ") - norm)");
    }
    nn_buf_puts(out, ")\n");
}

bool nn_torch_constraints(nn_emit *e, nn_buf *out) {
    NN_BUF lines = {0};
    each_weight(e, put_constraint, &lines);
    if (lines.n == 0) return false;
    if (strstr(nn_buf_str(&lines), "    rescale(")) nn_buf_puts(out, rescale);
    nn_buf_puts(out,
                "\n\n@torch.no_grad()\ndef constrain(model):\n"
                "    \"\"\"Puts the weights back within the constraints of the network.\"\"\"\n");
    nn_buf_append(out, lines.p, lines.n);
    return true;
}

/* ---- files of Neural ---- */

/* Where each axis of PyTorch's weight comes from in ours: [in, out] and [k..., in / groups, out]
 * against [out, in] and [out, in / groups, k...]. */
static void put_axes(int rank, nn_buf *out) {
    if (rank == 1) {
        nn_buf_puts(out, "(0,)");
        return;
    }
    nn_buf_printf(out, "(%d, %d", rank - 1, rank - 2);
    for (int i = 0; i < rank - 2; i++) nn_buf_printf(out, ", %d", i);
    nn_buf_putc(out, ')');
}

static void put_entry(nn_emit *e, const place *p, nn_buf *out) {
    nn_buf_puts(out, "    ");
    nn_py_string(out, p->weight->name);
    nn_buf_printf(out, ": ('%s.%s', ", e->attribute[p->node->id], p->parameter);
    put_axes(p->weight->shape.rank, out);
    nn_buf_puts(out, "),\n");
}

static const char loader[] =
    "def load_neural_weights(model, path):\n"
    "    \"\"\"Loads a .safetensors file of Neural, turned into PyTorch's layout.\"\"\"\n"
    "    with open(path, 'rb') as file:\n"
    "        data = bytearray(file.read())\n"
    "    size, = struct.unpack_from('<Q', data)\n"
    "    tensors = json.loads(data[8:8 + size])\n"
    "    state = model.state_dict()\n"
    "    for name, (parameter, axes) in NEURAL_WEIGHTS.items():\n"
    "        if name not in tensors:\n"
    "            raise ValueError(f'{path}: holds no {name}, it is of another network')\n"
    "        shape = tensors[name]['shape']\n"
    "        begin, end = tensors[name]['data_offsets']\n"
    "        values = torch.frombuffer(data, dtype=torch.float32, count=(end - begin) // 4,\n"
    "                                  offset=8 + size + begin).reshape(shape).permute(axes)\n"
    "        if values.shape != state[parameter].shape:\n"
    "            raise ValueError(f'{path}: {name} is {shape}, it is of another network')\n"
    "        state[parameter].copy_(values)\n";

void nn_torch_weight_map(nn_emit *e, nn_buf *out) {
    nn_buf_puts(
        out,
        "\n\n# Neural's name of each weight: the parameter here, and where its axes come from.\n"
        "NEURAL_WEIGHTS = {\n");
    each_weight(e, put_entry, out);
    nn_buf_puts(out, "}\n\n\n");
    nn_buf_puts(out, loader);
}
