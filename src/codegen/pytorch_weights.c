/* SPDX-License-Identifier: MIT */
/* pytorch_weights.c - what a network says about its weights: how they begin, which of them train,
 * what keeps them small, and where each is found in a file that Neural wrote. */
#include "codegen/pytorch.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef nn_torch_place place;

typedef struct name {
    const char *ours, *theirs;
} name;

static const name plain_names[] = {
    {"kernel",          ".weight"      },
    {"gamma",           ".weight"      },
    {"bias",            ".bias"        },
    {"beta",            ".bias"        },
    {"moving_mean",     ".running_mean"},
    {"moving_variance", ".running_var" },
    {"embeddings",      ".weight"      },
    {"alpha",           ".weight"      },
    {"scale",           ".scale"       },
    {NULL,              NULL           }
};
static const name recurrent_names[] = {
    {"kernel",           ".weight_ih_l0"},
    {"recurrent_kernel", ".weight_hh_l0"},
    {"bias",             ".bias_ih_l0"  },
    {NULL,               NULL           }
};
static const name loop_names[] = {
    {"kernel",           ".weight_ih"},
    {"recurrent_kernel", ".weight_hh"},
    {"bias",             ".bias"     },
    {NULL,               NULL        }
};
static const name conv_lstm_names[] = {
    {"kernel",           ".of_input.weight"},
    {"recurrent_kernel", ".of_state.weight"},
    {"bias",             ".of_input.bias"  },
    {NULL,               NULL              }
};

static const name *names_of(const nn_emit *e, const nn_node *n) {
    if (n->op == NN_OP_CONV_LSTM) return conv_lstm_names;
    if (n->op != NN_OP_RNN) return plain_names;
    return nn_torch_loops(e, n) ? loop_names : recurrent_names;
}

nn_torch_place nn_torch_place_of(const nn_emit *e, const nn_node *n, int k) {
    nn_shape shape;
    place p = {.node = n, .weight = &e->g->weights[n->weights[k]]};
    p.suffix = nn_node_weight_rule(e->g, n, k, &shape);
    for (const name *m = names_of(e, n); m->ours; m++)
        if (strcmp(m->ours, p.suffix) == 0) p.parameter = m->theirs;
    int rank = p.weight->shape.rank;
    p.turned = strstr(p.suffix, "kernel") != NULL;
    p.gates = n->op == NN_OP_RNN && n->attr.rnn.kind == NN_RNN_GRU && !nn_torch_loops(e, n);
    if (p.gates && rank == 2 && !p.turned) p.second = ".bias_hh_l0";
    if (n->op == NN_OP_PRELU && n->attr.prelu.shared != (1U << (rank - 1)) - 1) p.parameter = "";
    return p;
}

bool nn_torch_has_idle_bias(const nn_emit *e, const nn_node *n) {
    return n->op == NN_OP_RNN && n->attr.rnn.bias && n->attr.rnn.kind != NN_RNN_GRU &&
           !nn_torch_loops(e, n);
}

static bool same_functions(const nn_node *n) {
    nn_act act = n->attr.rnn.activation, gate = n->attr.rnn.recurrent_activation;
    if (n->attr.rnn.kind == NN_RNN_SIMPLE) return act == NN_ACT_TANH || act == NN_ACT_RELU;
    return act == NN_ACT_TANH && gate == NN_ACT_SIGMOID;
}

/* A GRU's gates are in another order there, and its biases two parameters: what our order or one
 * tensor means then stays with the class that has them. */
static bool plain_gru(const nn_emit *e, const nn_node *n) {
    if (!n->attr.rnn.reset_after) return false;
    for (int k = 0; k < n->n_weights; k++) {
        const nn_weight *w = &e->g->weights[n->weights[k]];
        if (w->init.kind == NN_INIT_IDENTITY) return false;
        if (k == 2 && (w->constraint.kind != NN_CONSTRAINT_NONE || w->init.kind != NN_INIT_ZEROS))
            return false;
    }
    return true;
}

bool nn_torch_loops(const nn_emit *e, const nn_node *n) {
    if (n->n_inputs > 1 || n->attr.rnn.recurrent_dropout > 0 || !same_functions(n)) return true;
    return n->attr.rnn.kind == NN_RNN_GRU && !plain_gru(e, n);
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
            place p = nn_torch_place_of(e, &e->g->nodes[i], k);
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

static call initial(const place *p) {
    const nn_weight *w = p->weight;
    double a = w->init.a, b = w->init.b;
    bool matrix = p->node->op == NN_OP_MATMUL || p->node->op == NN_OP_CONV;
    matrix = matrix && w->shape.rank > 1; /* else PyTorch would count other fans */
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

/* Whether gamma and beta are there, of a node that normalises; false: it does not. */
static bool is_norm(const nn_node *n, bool *ret_scale, bool *ret_center) {
    const nn_attr *a = &n->attr;
    *ret_scale = *ret_center = false;
    if (n->op == NN_OP_BATCH_NORM)
        *ret_scale = a->batch_norm.scale, *ret_center = a->batch_norm.center;
    else if (n->op == NN_OP_LAYER_NORM)
        *ret_scale = a->layer_norm.scale, *ret_center = a->layer_norm.center;
    else if (n->op == NN_OP_GROUP_NORM)
        *ret_scale = a->group_norm.scale, *ret_center = a->group_norm.center;
    else
        return false;
    return true;
}

/* Modules that normalise begin with these by themselves. */
static bool is_default(const place *p) {
    bool scale, center;
    if (!is_norm(p->node, &scale, &center)) return false;
    bool ones = strcmp(p->suffix, "gamma") == 0 || strcmp(p->suffix, "moving_variance") == 0;
    return p->weight->init.kind == (ones ? NN_INIT_ONES : NN_INIT_ZEROS);
}

static void put_initial(const place *p, const char *parameter, const char *owner, nn_buf *out) {
    call c = initial(p);
    nn_buf_printf(out, "nn.init.%s(%s%s", c.function, owner, parameter);
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
        nn_buf_printf(out, "%s%s%s.data.mul_(", indent, owner, p->parameter);
        nn_py_float(out, w->init.a);
        nn_buf_puts(out, ")\n");
    }
    int64_t last = w->shape.rank ? w->shape.dim[w->shape.rank - 1] : 1;
    if (w->init.kind != NN_INIT_UNIT_FORGET) return;
    bool first = p->turned || w->shape.rank == 1; /* PyTorch has our last axis first */
    nn_buf_printf(out, "%s%s%s.data[%s%" PRId64 ":%" PRId64 "].fill_(1.0)\n", indent, owner,
                  p->parameter, first ? "" : "..., ", last / 4, last / 2);
}

/* The lines that fill one module, each behind `indent`; none for what begins right by itself. */
static void put_module(const nn_emit *e, const nn_node *n, const char *indent, const char *owner,
                       nn_buf *out) {
    for (int k = 0; k < n->n_weights; k++) {
        place p = nn_torch_place_of(e, n, k);
        if (is_default(&p)) continue;
        nn_buf_puts(out, indent);
        put_initial(&p, p.parameter, owner, out);
        if (p.second) {
            nn_buf_puts(out, indent);
            put_initial(&p, p.second, owner, out);
        }
        put_rest(&p, indent, owner, out);
    }
    if (nn_torch_has_idle_bias(e, n))
        nn_buf_printf(out, "%snn.init.zeros_(%s.bias_hh_l0)\n", indent, owner);
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
        const char *attribute = e->attribute[i];
        bool scale, center;
        if (n->n_weights == 0) continue;
        bool norm = is_norm(n, &scale, &center), any = !norm || center || scale;
        if (any && !nn_torch_trains(e, n))
            nn_buf_printf(out, "        self.%s.requires_grad_(False)\n", attribute);
        else if (any && norm && !scale)
            nn_buf_printf(out,
                          "        self.%s.weight.requires_grad_(False)  # scale=False: stays 1\n",
                          attribute);
        else if (any && norm && !center)
            nn_buf_printf(out,
                          "        self.%s.bias.requires_grad_(False)  # center=False: stays 0\n",
                          attribute);
        else if (nn_torch_has_idle_bias(e, n))
            nn_buf_printf(
                out, "        self.%s.bias_hh_l0.requires_grad_(False)  # one bias is enough\n",
                attribute);
    }
}

/* ---- penalties and constraints ---- */

static void put_term(nn_buf *out, const char *before, const char *module, const char *parameter) {
    nn_buf_puts(out, out->n ? "        + " : "        ");
    nn_buf_printf(out, "%smodel.%s%s", before, module, parameter);
}

static void put_norm(const char *module, const place *p, double factor, const char *of,
                     nn_buf *out) {
    const char *parts[] = {p->parameter, p->second};
    if (factor == 0) return;
    for (int i = 0; i < 2 && parts[i]; i++) {
        NN_BUF before = {0};
        nn_py_float(&before, factor);
        nn_buf_puts(&before, " * ");
        put_term(out, nn_buf_str(&before), module, parts[i]);
        nn_buf_printf(out, ".%s.sum()\n", of);
    }
}

static void put_penalty(nn_emit *e, const place *p, nn_buf *out) {
    if (!p->weight->trainable) return;
    put_norm(e->attribute[p->node->id], p, p->weight->regularizer.l1, "abs()", out);
    put_norm(e->attribute[p->node->id], p, p->weight->regularizer.l2, "square()", out);
}

static void put_activities(nn_emit *e, nn_buf *out) {
    for (int i = 0; i < e->g->n_nodes; i++)
        if (e->g->nodes[i].op == NN_OP_ACTIVITY_REG && e->attribute[i]) {
            put_term(out, "", e->attribute[i], ".value");
            nn_buf_putc(out, '\n');
        }
}

bool nn_torch_penalties(nn_emit *e, nn_buf *out) {
    NN_BUF terms = {0};
    each_weight(e, put_penalty, &terms);
    put_activities(e, &terms);
    if (terms.n == 0) return false;
    nn_buf_puts(out, "\n\ndef penalties(model):\n"
                     "    \"\"\"What the regularizers of the network add to the loss.\"\"\"\n"
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
        nn_buf_printf(out, "    model.%s%s.clamp_(min=0.0)\n", module, p->parameter);
        return;
    }
    bool vector = p->weight->shape.rank < 2, slopes = p->node->op == NN_OP_PRELU && *p->parameter;
    const char *view = slopes && !vector     ? ".unsqueeze(1)"
                       : p->turned || vector ? ""
                                             : ".movedim(-1, 0)"; /* outputs first */
    nn_buf_printf(out, "    rescale(model.%s%s%s, ", module, p->parameter, view);
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

void nn_torch_axes(const nn_torch_place *p, int ret[NN_MAX_RANK]) {
    int rank = p->weight->shape.rank;
    bool turned = p->turned || p->second;
    for (int i = 0; i < rank; i++) ret[i] = !turned ? i : i < 2 ? rank - 1 - i : i - 2;
}

static void put_axes(const place *p, nn_buf *out) {
    int axes[NN_MAX_RANK], rank = p->weight->shape.rank;
    nn_torch_axes(p, axes);
    nn_buf_putc(out, '(');
    for (int i = 0; i < rank; i++) nn_buf_printf(out, "%s%d", i ? ", " : "", axes[i]);
    nn_buf_puts(out, rank == 1 ? ",)" : ")");
}

static void put_entry(nn_emit *e, const place *p, nn_buf *out) {
    const char *module = e->attribute[p->node->id];
    nn_buf_puts(out, "    ");
    nn_py_string(out, p->weight->name);
    if (p->second)
        nn_buf_printf(out, ": ('%s%s %s%s', ", module, p->parameter, module, p->second);
    else
        nn_buf_printf(out, ": ('%s%s', ", module, p->parameter);
    put_axes(p, out);
    if (p->gates) nn_buf_puts(out, ", (1, 0, 2)");
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
    "    for name, (parameters, axes, *gates) in NEURAL_WEIGHTS.items():\n"
    "        if name not in tensors:\n"
    "            raise ValueError(f'{path}: holds no {name}, it is of another network')\n"
    "        shape = tensors[name]['shape']\n"
    "        begin, end = tensors[name]['data_offsets']\n"
    "        values = torch.frombuffer(data, dtype=torch.float32, count=(end - begin) // 4,\n"
    "                                  offset=8 + size + begin).reshape(shape).permute(axes)\n"
    "        for order in gates:\n"
    "            values = torch.cat([values.chunk(len(order))[i] for i in order])\n"
    "        names = parameters.split()\n"
    "        for parameter, part in zip(names, values.unbind(-1) if len(names) > 1 else [values]):\n"
    "            if [n for n in part.shape if n > 1] != [n for n in state[parameter].shape if n > 1]:\n"
    "                raise ValueError(f'{path}: {name} is {shape}, it is of another network')\n"
    "            state[parameter].copy_(part.reshape(state[parameter].shape))\n";

void nn_torch_weight_map(nn_emit *e, nn_buf *out) {
    nn_buf_puts(
        out,
        "\n\n# Neural's name of each weight: the parameter here, where its axes come from, and where "
        "the\n# gates of a GRU do.\n"
        "NEURAL_WEIGHTS = {\n");
    each_weight(e, put_entry, out);
    nn_buf_puts(out, "}\n\n\n");
    nn_buf_puts(out, loader);
}
