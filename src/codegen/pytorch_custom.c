/* SPDX-License-Identifier: MIT */
/* pytorch_custom.c - what only Python can run. A Lambda's text becomes a function under a line that
 * says whose it is; a layer that the network only names becomes a class that raises until its owner
 * has written it. What either gives is compared with the shape that was declared for it, so nothing
 * is wrong in silence. */
#include "base/json.h"
#include "codegen/pytorch.h"

#include <ctype.h>
#include <string.h>

static bool put_keyword(void *to, const char *key, nn_json *v) {
    nn_buf *out = to;
    if (strcmp(key, "args") == 0) return true;
    if (out->n) nn_buf_puts(out, ", ");
    bool word = nn_py_is_name(key);
    if (word) {
        nn_buf_printf(out, "%s=", key);
    } else {
        nn_buf_puts(out, "**{");
        nn_py_string(out, key);
        nn_buf_puts(out, ": ");
    }
    nn_py_json(out, v);
    if (!word) nn_buf_putc(out, '}');
    return true;
}

/* The layer's parameters as arguments: those without a name are under "args". */
static void put_arguments(const char *text, nn_buf *out) {
    NN_JSON *v = NULL;
    if (nn_json_parse(text, strlen(text), &v, NULL)) return;
    const nn_json *args = nn_json_get(v, "args");
    for (size_t i = 0; i < nn_json_size(args); i++) {
        if (i) nn_buf_puts(out, ", ");
        nn_py_json(out, nn_json_at(args, i));
    }
    nn_json_each(v, put_keyword, out);
}

/* ---- a layer of one's own ---- */

/* The class of the layers called `n->layer`: one, however many layers are of it. */
static const char *class_of(nn_emit *e, const nn_node *n) {
    for (int i = 0; i < n->id; i++) {
        const nn_node *m = nn_torch_node(e, i);
        if (m->op == NN_OP_CUSTOM && strcmp(m->layer, n->layer) == 0) return e->class_name[i];
    }
    return NULL;
}

static const char *put_class(nn_emit *e, const nn_node *n) {
    const char *name = nn_py_name(&e->file, n->layer);
    nn_buf_printf(
        &e->own,
        "\nclass %s(nn.Module):\n"
        "    \"\"\"TO WRITE: the network names this layer, you know what it does. It takes "
        "tensors of\n    (batch, ..., channels) and gives one of the shape that forward() "
        "checks.\"\"\"\n\n"
        "    def __init__(self, *args, **kwargs):\n"
        "        super().__init__()\n"
        "        self.args, self.kwargs = args, kwargs  # as in the network\n\n"
        "    def forward(self, *inputs):\n"
        "        raise NotImplementedError('write the layer %s: see the class of that "
        "name')\n\n",
        name, name);
    return name;
}

/* ---- Lambda ---- */

static bool begins_with_lambda(const char *text) {
    return strncmp(text, "lambda", 6) == 0 && !isalnum((unsigned char)text[6]) && text[6] != '_';
}

static bool mentions(const char *text, const char *word) {
    size_t n = strlen(word);
    for (const char *p = strstr(text, word); p; p = strstr(p + 1, word)) {
        bool inside = p > text && (isalnum((unsigned char)p[-1]) || strchr("_.", p[-1]));
        if (!inside && p[n] == '.') return true;
    }
    return false;
}

/* Whether brackets and quotes are closed, and nothing ends the expression before its end. */
static bool is_closed(const char *text) {
    int depth = 0;
    char quote = 0;
    for (const char *p = text; *p; p++) {
        if (quote) {
            if (*p == '\\' && p[1])
                p++;
            else if (*p == quote)
                quote = 0;
        } else if (*p == '\'' || *p == '"') {
            quote = *p;
        } else if (strchr("([{", *p)) {
            depth++;
        } else if (strchr(")]}", *p) && depth-- == 0) {
            return false;
        } else if (strchr(";\\", *p)) {
            return false;
        }
    }
    return depth == 0 && !quote;
}

/* Whether the text is one line that can stand in this file: a lambda that needs no other framework
 * and no name but torch's. */
static bool is_ours(const char *text) {
    static const char *const others[] = {"tf", "keras", "K",   "tensorflow",
                                         "np", "numpy", "ops", "math"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (mentions(text, others[i])) return false;
    for (const char *p = text; *p; p++)
        if (*p < 0x20 || *p > 0x7e || *p == '#') return false;
    return begins_with_lambda(text) && is_closed(text);
}

/* The function's name: no variable of forward() may hide it. */
static const char *put_function(nn_emit *e, const nn_node *n, const char *text) {
    while (isspace((unsigned char)*text)) text++;
    const char *wanted = nn_torch_print(e, "%s_function", n->name);
    const char *name = nn_py_name(&e->file, wanted), *local = nn_py_name(&e->variables, name);
    while (strcmp(name, local) != 0) {
        name = nn_py_name(&e->file, local);
        if (strcmp(name, local) != 0) local = nn_py_name(&e->variables, name);
    }
    nn_buf_printf(&e->own, "\ndef %s(x):\n", name);
    if (is_ours(text)) {
        nn_buf_printf(
            &e->own,
            "    # The text of the Lambda '%s', from the network: nobody has checked what "
            "it does.\n    function = (%s)\n    return function(x)\n\n",
            name, text);
        return name;
    }
    nn_buf_puts(&e->own, "    # TO WRITE with PyTorch, for the network gives it as\n    #     ");
    nn_py_comment(&e->own, text);
    nn_buf_printf(&e->own,
                  "\n    # x is channels last; forward() checks the shape of what comes back.\n"
                  "    raise NotImplementedError('write the function %s of this file')\n\n",
                  name);
    return name;
}

/* ---- the op ---- */

static const char *inputs_of(nn_emit *e, const nn_node *n) {
    NN_BUF b = {0};
    for (int i = 0; i < n->n_inputs; i++)
        nn_buf_printf(&b, "%s%s", i ? ", " : "",
                      nn_torch_as(e, n->inputs[i], NN_CHANNELS_LAST, "channels last"));
    return nn_torch_keep(e, &b);
}

nn_status nn_torch_emit_custom(nn_emit *e, const nn_node *n, nn_err *err) {
    const char *x = inputs_of(e, n), *y;
    NN_BUF b = {0};
    if (strcmp(n->layer, "Lambda") == 0) {
        nn_status s = nn_py_lambda(n->attr.custom.text, &b, err);
        if (s) return s;
        const char *function = put_function(e, n, nn_buf_str(&b));
        y = n->n_inputs > 1 ? nn_torch_print(e, "%s([%s])", function, x)
                            : nn_torch_print(e, "%s(%s)", function, x);
    } else {
        const char *type = class_of(e, n);
        put_arguments(n->attr.custom.text, &b);
        e->class_name[n->id] = type ? type : put_class(e, n);
        nn_torch_declare(e, n, e->class_name[n->id], &b);
        y = nn_torch_call(e, n, x);
    }
    nn_buf_clear(&b);
    nn_buf_printf(&b, "shaped(%s, ", y);
    nn_py_shape(&b, &n->shape);
    nn_buf_puts(&b, ", ");
    nn_py_string(&b, n->layer_name);
    nn_buf_putc(&b, ')');
    nn_torch_need(e, NN_PART_SHAPED);
    nn_torch_result(e, n, NN_CHANNELS_LAST, nn_torch_keep(e, &b));
    return NN_OK;
}
