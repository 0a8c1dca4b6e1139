/* SPDX-License-Identifier: MIT */
/* pytorch.c - the frame of the PyTorch backend: how the loss meets the output, names, the module's
 * class. */
#include "codegen/pytorch.h"

#include "codegen/pytorch_train.h"
#include "codegen/state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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

/* What forward() uses beside its own variables. */
static const char *const global_names[] = {"F",           "nn",        "torch",  "x",
                                           "range",       "float",     "shaped", "same_pad",
                                           "masked_mean", "positions", NULL};

/* What the file has or uses at its top level, but for the network's own. */
static const char *const file_names[] = {"F",
                                         "nn",
                                         "torch",
                                         "argparse",
                                         "ast",
                                         "contextlib",
                                         "copy",
                                         "csv",
                                         "glob",
                                         "gzip",
                                         "json",
                                         "math",
                                         "os",
                                         "random",
                                         "re",
                                         "struct",
                                         "time",
                                         "zipfile",
                                         "dist",
                                         "bool",
                                         "bytearray",
                                         "dict",
                                         "enumerate",
                                         "float",
                                         "int",
                                         "iter",
                                         "len",
                                         "list",
                                         "max",
                                         "min",
                                         "next",
                                         "open",
                                         "print",
                                         "range",
                                         "reversed",
                                         "set",
                                         "sorted",
                                         "str",
                                         "sum",
                                         "super",
                                         "tuple",
                                         "zip",
                                         "any",
                                         "all",
                                         "abs",
                                         "isinstance",
                                         "ValueError",
                                         "KeyError",
                                         "SystemExit",
                                         "FileNotFoundError",
                                         "NotImplementedError",
                                         "same_pad",
                                         "shaped",
                                         "positions",
                                         "masked_mean",
                                         "GaussianNoise",
                                         "GaussianDropout",
                                         "ActivityPenalty",
                                         "Attention",
                                         "Recurrent",
                                         "ConvLstm",
                                         "read_idx",
                                         "read_npy",
                                         "read_array",
                                         "read_arrays",
                                         "read_targets",
                                         "read_cells",
                                         "read_table",
                                         "find_idx",
                                         "array_names",
                                         "as_number",
                                         "classes_of_labels",
                                         "check_classes",
                                         "divide",
                                         "random_words",
                                         "normal",
                                         "make_samples",
                                         "to_shape",
                                         "prepare",
                                         "make_data",
                                         "load_data",
                                         "to_input",
                                         "loss_of",
                                         "correct",
                                         "penalties",
                                         "rescale",
                                         "constrain",
                                         "make_optimizer",
                                         "train_epoch",
                                         "evaluate",
                                         "report",
                                         "train",
                                         "parse_arguments",
                                         "pick_device",
                                         "main",
                                         "load_neural_weights",
                                         "save_neural_weights",
                                         "NEURAL_WEIGHTS",
                                         "INPUT_SHAPE",
                                         "INPUT_SHAPES",
                                         "OUTPUT_SHAPE",
                                         "Schedule",
                                         "Keras",
                                         "Ftrl",
                                         "Nadam",
                                         "RMSprop",
                                         "measure",
                                         "area",
                                         "classes_of",
                                         "learning_rate",
                                         "device_of",
                                         "processes",
                                         "gather",
                                         "autocast",
                                         "save_checkpoint",
                                         "load_checkpoint",
                                         "from_first",
                                         "is_over",
                                         "watched",
                                         "reduce_rate",
                                         "keep_weights",
                                         "log_epoch",
                                         "importlib",
                                         "getattr",
                                         "Lion",
                                         "Metrics",
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

/* Metrics compare an output with a target of its shape, or with a class: not with what only the
 * loss understands. */
static nn_status check_metrics(const nn_emit *e, nn_err *err) {
    const nn_train_spec *t = &e->g->train;
    for (int i = 0; i < NN_TRAIN_METRIC_COUNT; i++) {
        unsigned bit = nn_torch_metrics(e) & ~(unsigned)(NN_METRIC_ACCURACY | NN_METRIC_LOSS);
        if (!(bit >> i & 1)) continue;
        nn_status s =
            nn_fail(err, NN_E_UNSUPPORTED,
                    "metric '%s' beside the loss '%s' is not supported by the PyTorch backend",
                    nn_train_metric_name((nn_train_metric)i),
                    *t->custom_loss ? t->custom_loss : nn_loss_name(t->loss));
        return nn_err_hint(err, s, "accuracy and loss are measured");
    }
    return NN_OK;
}

static nn_status plan_ctc(nn_emit *e, const nn_node *out, nn_err *err) {
    char shape[128];
    const nn_shape *s = &out->shape;
    e->loss = NN_TORCH_CTC;
    if (s->rank == 2 && s->dim[1] > 1 && e->g->train.blank < s->dim[1]) {
        if (out->op == NN_OP_SOFTMAX) e->skipped = out->id;
        const nn_node *last = out; /* within TimeDistributed */
        while (last->op == NN_OP_UNFOLD || last->op == NN_OP_RESHAPE)
            last = node_at(e, last->inputs[0]);
        if (last != out && last->op == NN_OP_SOFTMAX && !last->attr.softmax.log)
            e->loss = NN_TORCH_CTC_PROBS;
        return check_metrics(e, err);
    }
    nn_status st =
        nn_fail(err, NN_E_UNSUPPORTED,
                "ctc needs steps of scores for two or more classes, of which %" PRId64
                " is the blank, '%s' gives %s",
                e->g->train.blank, out->name, nn_shape_print(s, true, shape, sizeof shape));
    return nn_err_hint(err, st, "end the network with TimeDistributed(Dense(<classes>))");
}

static nn_status plan_custom(const nn_emit *e, nn_err *err) {
    const char *name = e->g->train.custom_loss, *dot = strrchr(name, '.');
    if (dot && dot > name && dot[1]) return check_metrics(e, err);
    nn_status s = nn_fail(err, NN_E_UNSUPPORTED,
                          "the custom loss '%s' is not supported by the PyTorch backend", name);
    return nn_err_hint(err, s, "name a function in a module: \"my_losses.%s\"", *name ? name : "f");
}

/* Under torchrun the processes share each batch: what these names ask for. */
static nn_status check_strategy(const char *name, nn_err *err) {
    static const char *const shared[] = {"ddp",
                                         "distributed",
                                         "distributed_data_parallel",
                                         "data_parallel",
                                         "mirrored",
                                         "multi_worker_mirrored",
                                         "MirroredStrategy",
                                         "MultiWorkerMirroredStrategy",
                                         "auto",
                                         "default",
                                         "none"};
    if (!*name) return NN_OK;
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
        if (strcasecmp(name, shared[i]) == 0) return NN_OK;
    nn_status s =
        nn_fail(err, NN_E_UNSUPPORTED,
                "strategy '%s' of execution is not supported by the PyTorch backend", name);
    return nn_err_hint(err, s, "write ddp, or leave it out: torchrun starts several processes");
}

/* What nn_train_check leaves to us. */
static nn_status check_training(nn_emit *e, nn_err *err) {
    nn_status s = check_strategy(e->g->train.strategy, err);
    return s ? s : nn_torch_read_callbacks(&e->g->train, &e->callbacks, err);
}

static nn_status plan_loss(nn_emit *e, nn_err *err) {
    const nn_graph *g = e->g;
    if (g->n_inputs < 1 || g->n_outputs < 1)
        return nn_fail(err, NN_E_UNSUPPORTED, "network '%s' has %d inputs and %d outputs", g->name,
                       g->n_inputs, g->n_outputs);
    const nn_node *out = node_at(e, e->out = g->outputs[0]);
    e->program = g->n_outputs == 1;
    e->skipped = -1;
    e->loss = NN_TORCH_VALUES;
    if (!e->program) return NN_OK;
    if (g->train.loss == NN_LOSS_CTC) return plan_ctc(e, out, err);
    if (g->train.loss == NN_LOSS_CUSTOM) return plan_custom(e, err);
    bool scores = out->shape.rank == 1 && out->shape.dim[0] != 1;
    if (nn_loss_targets(g->train.loss) == NN_TARGET_CLASS && !scores && !g->train.has_loss) {
        e->program = false; /* nobody asked for this loss: the model alone is of use */
        return NN_OK;
    }
    if (nn_loss_targets(g->train.loss) == NN_TARGET_CLASS) {
        if (out->shape.rank < 1 || out->shape.dim[out->shape.rank - 1] == 1) {
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
    if (e->skipped >= 0 && e->users[e->skipped] > 1) e->skipped = -1;
    return NN_OK;
}

/* Readers that an output follows from; a value without them needs no line. From the outputs back,
 * since inputs have smaller numbers. */
static void count_users(nn_emit *e) {
    const nn_graph *g = e->g;
    e->chain = g->n_inputs == 1 && g->n_outputs == 1 && g->inputs[0] == 0;
    for (int i = 0; i < g->n_outputs; i++) e->users[g->outputs[i]]++;
    for (int i = g->n_nodes; i-- > 0;) {
        const nn_node *n = &g->nodes[i];
        e->chain = e->chain && e->users[i] > 0;
        for (int k = 0; k < n->n_inputs; k++) {
            if (e->users[i]) e->users[n->inputs[k]]++;
            e->chain = e->chain && n->inputs[k] == i - 1;
        }
        /* the rows before a fold of unknown steps are asked of the variable before it */
        if (n->op == NN_OP_UNFOLD && n->attr.unfold.size < 0) {
            e->chain = false;
            if (e->users[i]) e->users[g->nodes[g->nodes[n->inputs[0]].folded].inputs[0]]++;
        }
    }
}

/* By node: the last one of its layer, whose variable is called like the layer. */
static void find_last(nn_emit *e) {
    const nn_graph *g = e->g;
    int layers = 0;
    for (int i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].layer_index >= layers) layers = g->nodes[i].layer_index + 1;
    int *last = NN_NEW_N(e->arena, int, (size_t)layers + 1);
    if (!last) abort(); /* this arena has no cap */
    for (int i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].layer_index >= 0) last[g->nodes[i].layer_index] = i;
    for (int i = 0; i < g->n_nodes; i++)
        e->last_of_layer[i] = g->nodes[i].layer_index < 0 ? i : last[g->nodes[i].layer_index];
}

static void open_emit(nn_emit *e, const nn_graph *g, const nn_codegen_options *opt) {
    size_t n = (size_t)g->n_nodes + 1;
    *e = (nn_emit){.g = g, .opt = opt, .arena = nn_arena_new(NULL, "pytorch", 0), .pending = -1};
    e->file = (nn_py_scope){.arena = e->arena, .reserved = file_names};
    e->attributes = (nn_py_scope){.arena = e->arena, .reserved = module_names};
    e->variables = (nn_py_scope){.arena = e->arena, .reserved = global_names};
    e->attribute = NN_NEW_N(e->arena, const char *, n);
    e->variable = NN_NEW_N(e->arena, const char *, n);
    e->class_name = NN_NEW_N(e->arena, const char *, n);
    e->users = NN_NEW_N(e->arena, int, n);
    e->last_of_layer = NN_NEW_N(e->arena, int, n);
    e->layout = NN_NEW_N(e->arena, nn_layout, n);
    if (!e->attribute || !e->variable || !e->class_name || !e->users || !e->last_of_layer ||
        !e->layout)
        abort(); /* this arena has no cap */
    count_users(e);
    find_last(e);
}

static void close_emit(nn_emit *e) {
    nn_buf_done(&e->own);
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

static void put_imports(const char *code, nn_buf *out) {
    nn_py_imports(code, out);
    nn_buf_puts(out, "\nimport torch\n");
    if (nn_py_uses(code, "dist.")) nn_buf_puts(out, "import torch.distributed as dist\n");
    if (nn_py_uses(code, "F.")) nn_buf_puts(out, "import torch.nn.functional as F\n");
    nn_buf_puts(out, "from torch import nn\n\n");
}

static void put_shape_text(nn_buf *out, const nn_shape *s) {
    char text[256];
    nn_buf_puts(out, nn_shape_print(s, true, text, sizeof text));
}

/* "image, meta": the inputs as arguments. */
static void put_inputs(nn_emit *e, nn_buf *out) {
    for (int i = 0; i < e->g->n_inputs; i++)
        nn_buf_printf(out, ", %s", nn_torch_variable(e, e->g->inputs[i]));
}

static void put_forward(nn_emit *e, nn_buf *out) {
    nn_buf_puts(out, "\n    def forward(self");
    put_inputs(e, out);
    nn_buf_puts(out, "):\n");
    for (int i = 0; i < e->g->n_inputs; i++) {
        const nn_node *in = node_at(e, e->g->inputs[i]);
        nn_buf_printf(out, "        # %s: ", nn_torch_variable(e, in->id));
        put_shape_text(out, &in->shape);
        nn_buf_puts(out, in->shape.rank > 1 ? ", channels last\n" : "\n");
    }
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
    NN_BUF inputs = {0};
    put_inputs(e, &inputs);
    const char *given = nn_buf_str(&inputs) + 2;
    nn_buf_printf(out,
                  "        return %s\n\n    @torch.no_grad()\n    def predict(self, %s):\n"
                  "        self.eval()\n",
                  returned, given);
    if (what)
        nn_buf_printf(out, "        return torch.%s(self(%s)%s)\n", what, given,
                      e->loss == NN_TORCH_BCE_LOGITS ? "" : ", dim=-1");
    else
        nn_buf_printf(out, "        return self(%s)\n", given);
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
    .losses = (1U << NN_LOSS_COUNT) - 1,
    .optimizers = (1U << NN_OPTIMIZER_COUNT) - 1,
    .schedules = (1U << NN_SCHEDULE_COUNT) - 1,
    .metrics = (1U << NN_TRAIN_METRIC_COUNT) - 1,
    .precisions = (1U << NN_PRECISION_COUNT) - 1,
    .ignore_class = true,
    .early_stopping = true,
    .mixed_precision = true,
    .save_path = true,
    .callbacks = true,
    .strategy = true,
};

/* What forward() returns: one tensor, or several in the order of the network. */
static const char *returned_by(nn_emit *e) {
    NN_BUF b = {0};
    if (e->skipped >= 0) return nn_torch_returned(e, node_at(e, e->skipped)->inputs[0]);
    for (int i = 0; i < e->g->n_outputs; i++)
        nn_buf_printf(&b, "%s%s", i ? ", " : "", nn_torch_returned(e, e->g->outputs[i]));
    return nn_torch_keep(e, &b);
}

static void put_file(nn_emit *e, const char *name, const char *returned, nn_buf *out) {
    NN_BUF code = {0};
    nn_torch_parts(e, &code);
    if (e->own.n)
        nn_buf_puts(&code, "\n# ---- of the network's author, not checked by Neural ----\n");
    nn_buf_append(&code, e->own.p, e->own.n);
    put_class(e, name, returned, &code);
    nn_torch_program(e, name, &code);
    put_head(e, out);
    put_imports(nn_buf_str(&code), out);
    nn_buf_append(out, code.p, code.n);
}

static nn_status generate(const nn_graph *g, const nn_codegen_options *opt, nn_buf *out,
                          nn_err *err) {
    nn_emit e;
    nn_status s = nn_train_check(&g->train, &supported, err);
    if (s) return s;
    open_emit(&e, g, opt);
    const char *name = nn_py_class_name(&e.file, g->name);
    s = check_training(&e, err);
    if (!s) s = plan_loss(&e, err);
    if (!s) s = walk(&e, err);
    if (!s) put_file(&e, name, returned_by(&e), out);
    close_emit(&e);
    return s;
}

nn_status nn_torch_state_of(const nn_graph *g, nn_arena *arena, nn_torch_state *ret, nn_err *err) {
    static const nn_codegen_options none;
    nn_emit e;
    nn_status s = nn_train_check(&g->train, &supported, err);
    if (s) return s;
    open_emit(&e, g, &none);
    nn_py_class_name(&e.file, g->name);
    s = plan_loss(&e, err);
    if (!s) s = walk(&e, err);
    if (!s) s = nn_torch_collect(&e, arena, ret, err);
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
