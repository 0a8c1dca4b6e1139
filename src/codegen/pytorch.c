/* SPDX-License-Identifier: MIT */
/* pytorch.c - the frame of the PyTorch backend: how the loss meets the output, names, the module's
 * class. */
#include "codegen/pytorch.h"

#include <stdlib.h>
#include <string.h>

/* What nn.Module and our class already mean by a name. */
static const char *const module_names[] = {"T_destination",
                                           "add_module",
                                           "apply",
                                           "bfloat16",
                                           "buffers",
                                           "call_super_init",
                                           "children",
                                           "compile",
                                           "cpu",
                                           "cuda",
                                           "double",
                                           "dump_patches",
                                           "eval",
                                           "extra_repr",
                                           "float",
                                           "forward",
                                           "get_buffer",
                                           "get_extra_state",
                                           "get_parameter",
                                           "get_submodule",
                                           "half",
                                           "ipu",
                                           "load_state_dict",
                                           "modules",
                                           "mtia",
                                           "named_buffers",
                                           "named_children",
                                           "named_modules",
                                           "named_parameters",
                                           "parameters",
                                           "predict",
                                           "register_backward_hook",
                                           "register_buffer",
                                           "register_forward_hook",
                                           "register_forward_pre_hook",
                                           "register_full_backward_hook",
                                           "register_full_backward_pre_hook",
                                           "register_load_state_dict_post_hook",
                                           "register_load_state_dict_pre_hook",
                                           "register_module",
                                           "register_parameter",
                                           "register_state_dict_post_hook",
                                           "register_state_dict_pre_hook",
                                           "requires_grad_",
                                           "reset_parameters",
                                           "set_extra_state",
                                           "set_submodule",
                                           "share_memory",
                                           "state_dict",
                                           "to",
                                           "to_empty",
                                           "train",
                                           "training",
                                           "type",
                                           "xpu",
                                           "zero_grad",
                                           NULL};

/* What the generated file calls at its top level, or uses inside forward(). */
static const char *const global_names[] = {"F", "nn", "torch", "math", "x", "range", "float", NULL};

/* What the rest of the file needs under its own name. */
static const char *const class_names[] = {"F", "ValueError", "FileNotFoundError", "SystemExit",
                                          NULL};

static const nn_node *node_at(const nn_emit *e, int id) {
    return &e->g->nodes[id];
}

static bool is_sigmoid(const nn_node *n) {
    return n->op == NN_OP_ACTIVATION && n->attr.activation.kind == NN_ACT_SIGMOID;
}

static void plan_class_loss(nn_emit *e, const nn_node *out) {
    bool behind = out->op == NN_OP_SOFTMAX && !e->g->train.from_logits;
    e->loss = behind || e->g->train.from_logits ? NN_TORCH_CE_LOGITS : NN_TORCH_CE_PROBS;
    if (behind) e->skipped = out->id;
}

static void plan_binary_loss(nn_emit *e, const nn_node *out) {
    bool behind = is_sigmoid(out) && !e->g->train.from_logits;
    e->loss = behind || e->g->train.from_logits ? NN_TORCH_BCE_LOGITS : NN_TORCH_BCE_PROBS;
    if (behind) e->skipped = out->id;
}

static nn_status plan_loss(nn_emit *e, nn_err *err) {
    const nn_graph *g = e->g;
    if (g->n_inputs != 1 || g->n_outputs != 1)
        return nn_fail(
            err, NN_E_UNSUPPORTED,
            "network '%s' has %d inputs and %d outputs; the PyTorch backend writes networks with one of "
            "each",
            g->name, g->n_inputs, g->n_outputs);
    const nn_node *out = node_at(e, e->out = g->outputs[0]);
    e->skipped = -1;
    e->loss = NN_TORCH_MSE;
    if (nn_loss_targets(g->train.loss) == NN_TARGET_CLASS) {
        if (out->shape.rank != 1 || out->shape.dim[0] == 1) {
            char shape[128];
            nn_status s = nn_fail(err, NN_E_UNSUPPORTED,
                                  "%s needs a score for each of two or more classes, '%s' gives %s",
                                  nn_loss_name(g->train.loss), out->name,
                                  nn_shape_print(&out->shape, true, shape, sizeof shape));
            return nn_err_hint(
                err, s,
                out->shape.rank == 1
                    ? "for two classes and one output, use binary_crossentropy with sigmoid"
                    : "end the network with Flatten() and Dense(units=<classes>)");
        }
        plan_class_loss(e, out);
    } else if (g->train.loss == NN_LOSS_BINARY)
        plan_binary_loss(e, out);
    if (e->skipped >= 0 && e->users[e->skipped] > 0) e->skipped = -1;
    return NN_OK;
}

static void name_variables(nn_emit *e) {
    const nn_graph *g = e->g;
    e->chain = g->inputs[0] == 0;
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_inputs; k++) {
            e->users[g->nodes[i].inputs[k]]++;
            e->chain = e->chain && g->nodes[i].inputs[k] == i - 1;
        }
    for (int i = 0; i < g->n_nodes; i++)
        e->variable[i] = e->chain ? "x" : nn_py_name(&e->variables, g->nodes[i].name);
}

static void open_emit(nn_emit *e, const nn_graph *g, const nn_codegen_options *opt) {
    size_t n = (size_t)g->n_nodes + 1;
    *e = (nn_emit){.g = g, .opt = opt, .arena = nn_arena_new(NULL, "pytorch", 0), .pending = -1};
    e->attributes = (nn_py_scope){.arena = e->arena, .reserved = module_names};
    e->variables = (nn_py_scope){.arena = e->arena, .reserved = global_names};
    e->attribute = NN_NEW_N(e->arena, const char *, n);
    e->variable = NN_NEW_N(e->arena, const char *, n);
    e->users = NN_NEW_N(e->arena, int, n);
    e->layout = NN_NEW_N(e->arena, nn_layout, n);
    if (!e->attribute || !e->variable || !e->users || !e->layout)
        abort(); /* this arena has no cap */
    name_variables(e);
}

static void close_emit(nn_emit *e) {
    nn_buf_done(&e->init);
    nn_buf_done(&e->forward);
    nn_arena_free(e->arena);
}

static nn_status walk(nn_emit *e, nn_err *err) {
    for (int i = 0; i < e->g->n_nodes; i++) {
        const nn_node *n = node_at(e, i);
        if (i == e->skipped) continue;
        nn_status s = nn_torch_emit(e, n, err);
        if (s) return s;
        bool frozen = n->op == NN_OP_BATCH_NORM && n->n_weights > 2 && !nn_torch_trains(e, n);
        e->frozen_norm = e->frozen_norm || frozen;
    }
    return NN_OK;
}

static void put_head(const nn_emit *e, nn_buf *out) {
    const nn_codegen_options *o = e->opt;
    nn_buf_puts(out, "#!/usr/bin/env python3\n# The network ");
    nn_py_string(out, e->g->name);
    nn_buf_puts(out, ", generated by Neural " NN_VERSION " with\n#     neural compile ");
    nn_py_comment(out, o->source_name ? o->source_name : "FILE");
    nn_buf_puts(out, " --backend pytorch\n");
    if (o->source_sha256) {
        nn_buf_puts(out, "# from the text with the SHA-256 ");
        nn_py_comment(out, o->source_sha256);
        nn_buf_puts(out, ".\n");
    }
    nn_buf_puts(
        out,
        "# Initial weights, dropout and shuffling follow the rules of Neural's own engine, with other random\n"
        "# numbers: PyTorch's.\n");
}

static void put_imports(const nn_emit *e, nn_buf *out) {
    (void)e;
    nn_buf_puts(
        out,
        "import argparse\nimport ast\nimport glob\nimport gzip\nimport json\nimport os\nimport struct\n"
        "import time\nimport zipfile\n\nimport torch\nimport torch.nn.functional as F\nfrom torch "
        "import nn\n\n");
}

static const char same_pad[] =
    "\n"
    "def same_pad(x, windows, value=0.0):\n"
    "    \"\"\"TensorFlow's 'same' padding for (kernel, stride) of each axis of an input of any size.\"\"\"\n"
    "    pads = []\n"
    "    for size, (kernel, stride) in zip(x.shape[2:], windows):\n"
    "        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)\n"
    "        pads = [total // 2, total - total // 2] + pads\n"
    "    return F.pad(x, pads, value=value)\n"
    "\n";

static void put_shape_text(nn_buf *out, const nn_shape *s) {
    char text[256];
    nn_buf_puts(out, nn_shape_print(s, true, text, sizeof text));
}

static void put_forward(nn_emit *e, nn_buf *out) {
    const nn_node *in = node_at(e, e->g->inputs[0]);
    nn_buf_printf(out, "\n    def forward(self, %s):\n        # %s: ", e->variable[in->id],
                  e->variable[in->id]);
    put_shape_text(out, &in->shape);
    nn_buf_puts(out, in->shape.rank > 1 ? ", channels last\n" : "\n");
    nn_buf_append(out, e->forward.p, e->forward.n);
}

/* torch's name of the output's function that the loss contains. */
static const char *skipped_function(const nn_emit *e) {
    if (e->loss == NN_TORCH_BCE_LOGITS) return "sigmoid";
    return node_at(e, e->skipped)->attr.softmax.log ? "log_softmax" : "softmax";
}

/* The end of forward(), and predict(), which adds what the loss does by itself. */
static void put_predict(nn_emit *e, const char *returned, nn_buf *out) {
    const char *what = e->skipped >= 0 ? skipped_function(e) : NULL;
    if (what)
        nn_buf_printf(
            out,
            "        # no %s here: the loss takes logits, which is more accurate; predict() applies it\n",
            what);
    nn_buf_printf(out,
                  "        return %s\n\n    @torch.no_grad()\n    def predict(self, x):\n"
                  "        self.eval()\n",
                  returned);
    if (what)
        nn_buf_printf(out, "        return torch.%s(self(x)%s)\n", what,
                      e->loss == NN_TORCH_BCE_LOGITS ? "" : ", dim=-1");
    else
        nn_buf_puts(out, "        return self(x)\n");
}

static void put_frozen_norms(nn_emit *e, nn_buf *out) {
    if (!e->frozen_norm) return;
    nn_buf_puts(out, "\n    def train(self, mode=True):\n        super().train(mode)\n");
    for (int i = 0; i < e->g->n_nodes; i++) {
        const nn_node *n = node_at(e, i);
        if (n->op == NN_OP_BATCH_NORM && n->n_weights > 2 && !nn_torch_trains(e, n))
            nn_buf_printf(
                out, "        self.%s.eval()  # not trainable: it uses its moving statistics\n",
                e->attribute[i]);
    }
    nn_buf_puts(out, "        return self\n");
}

static void put_class(nn_emit *e, const char *name, const char *returned, nn_buf *out) {
    nn_buf_printf(
        out, "\nclass %s(nn.Module):\n    def __init__(self):\n        super().__init__()\n", name);
    nn_buf_append(out, e->init.p, e->init.n);
    nn_torch_freeze(e, out);
    nn_buf_puts(
        out,
        "        self.reset_parameters()\n"
        "\n    def reset_parameters(self):\n        \"\"\"Initial weights by Keras's rules.\"\"\"\n");
    nn_torch_initialisers(e, out);
    put_frozen_norms(e, out);
    put_forward(e, out);
    put_predict(e, returned, out);
}

/* What the training program around the model does. */
static const nn_train_support supported = {
    .who = "the PyTorch backend",
    .save_instead = "leave save_path out and run the program with --save FILE",
    .losses =
        1 << NN_LOSS_MSE | 1 << NN_LOSS_CATEGORICAL | 1 << NN_LOSS_SPARSE | 1 << NN_LOSS_BINARY,
    .optimizers = 1 << NN_OPTIMIZER_SGD | 1 << NN_OPTIMIZER_ADAM | 1 << NN_OPTIMIZER_ADAMW,
    .metrics = NN_METRIC_ACCURACY | NN_METRIC_LOSS,
    .precisions = 1 << NN_PRECISION_FLOAT32,
};

static nn_status generate(const nn_graph *g, const nn_codegen_options *opt, nn_buf *out,
                          nn_err *err) {
    nn_emit e;
    nn_status s = nn_train_check(&g->train, &supported, err);
    if (s) return s;
    open_emit(&e, g, opt);
    s = plan_loss(&e, err);
    if (!s) s = walk(&e, err);
    if (!s) {
        int end = e.skipped >= 0 ? node_at(&e, e.skipped)->inputs[0] : e.out;
        const char *returned = nn_torch_returned(&e, end);
        const char *name =
            nn_py_class_name(&(nn_py_scope){.arena = e.arena, .reserved = class_names}, g->name);
        put_head(&e, out);
        put_imports(&e, out);
        if (e.same_pad) nn_buf_puts(out, same_pad);
        put_class(&e, name, returned, out);
        nn_torch_program(&e, name, out);
    }
    close_emit(&e);
    return s;
}

const nn_backend nn_backend_pytorch = {
    .name = "pytorch",
    .aliases = "torch|pt",
    .summary = "PyTorch: a module and its training program",
    .extension = "py",
    .media_type = "text/x-python",
    .generate = generate,
};
