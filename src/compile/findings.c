/* SPDX-License-Identifier: MIT */
/* findings.c - what is legal and probably not meant, or could be cheaper (language.md 13.2 and 21).
 *
 * A rule looks at the whole unit and may find any number of things. Repeated layers are told once:
 * a second finding of one code at one place is dropped. Rules need known shapes; a layer without
 * one is passed over. */
#include "compile/findings.h"

#include "compile/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct finder {
    nn_arena *arena;
    const nn_unit *unit;
    nn_finding *first, **tail;
    int n;      /* of findings */
    int *row;   /* by node: the innermost row that it belongs to */
    bool asked; /* the rules for who asks as well */
} finder;

enum { MOST = 1000 }; /* findings; more help nobody */

typedef struct rule_row {
    const char *code, *meaning, *example;
    nn_finding_kind kind;
    bool always;
    void (*run)(finder *);
} rule_row;
static const rule_row *row_of(const char *code);

/* ---- adding ---- */

static bool told(const finder *f, const char *code, const nn_span *at) {
    for (const nn_finding *x = f->first; x; x = x->next)
        if (strcmp(x->code, code) == 0 && x->span.begin == at->begin && x->span.end == at->end)
            return true;
    return false;
}

static const char *print(finder *f, const char *fmt, va_list ap) {
    NN_BUF text = {0};
    nn_buf_vprintf(&text, fmt, ap);
    return nn_arena_strdup(f->arena, nn_buf_str(&text));
}

/* A finding about a row; NULL when it was told of that place before, or belongs to who asks. The
 * format is the message. */
__attribute__((format(printf, 4, 5))) static nn_finding *find(finder *f, const char *code, int row,
                                                              const char *fmt, ...) {
    static const nn_severity severities[] = {
        [NN_FINDING_WARNING] = NN_SEV_WARNING,
        [NN_FINDING_INFO] = NN_SEV_NOTE,
        [NN_FINDING_BOTTLENECK] = NN_SEV_WARNING,
        [NN_FINDING_OPTIMIZATION] = NN_SEV_NOTE,
    };
    const rule_row *r = row_of(code);
    nn_span at = row < 0 ? f->unit->network->span : f->unit->layers[row].span;
    if ((!r->always && !f->asked) || f->n == MOST || told(f, code, &at)) return NULL;
    nn_finding *x = NN_NEW(f->arena, nn_finding);
    if (!x) return NULL;
    va_list ap;
    va_start(ap, fmt);
    *x = (nn_finding){.code = r->code,
                      .kind = r->kind,
                      .severity = severities[r->kind],
                      .layer = row,
                      .span = at,
                      .message = print(f, fmt, ap),
                      .reason = r->meaning,
                      .always = r->always};
    va_end(ap);
    *f->tail = x;
    f->tail = &x->next;
    f->n++;
    return x;
}

static void suggest(nn_finding *x, const char *what) {
    if (x) x->suggestion = what;
}

static void add_fix(finder *f, nn_finding *x, nn_span at, const char *text, const char *what) {
    nn_fix *fix = x ? NN_NEW(f->arena, nn_fix) : NULL;
    if (!fix) return;
    *fix = (nn_fix){at, text, what};
    x->fix = fix;
}

/* ---- walking ---- */

static const nn_node *node_of(const finder *f, const nn_unit_layer *l) {
    return l->output_node >= 0 ? &f->unit->graph->nodes[l->output_node] : NULL;
}

static const nn_node *input_of(const finder *f, const nn_node *n) {
    return n->n_inputs ? &f->unit->graph->nodes[n->inputs[0]] : NULL;
}

static int row_of_node(const finder *f, const nn_node *n) {
    return f->row[n->id];
}

static bool is_input(const nn_unit_layer *l) {
    return l->layer->role == NN_ROLE_INPUT;
}

static int64_t elements(const nn_shape *s) {
    return nn_shape_elements(s);
}

static bool is_softmax(const nn_node *n) {
    return n->op == NN_OP_SOFTMAX;
}

static bool is_act(const nn_node *n, nn_act kind) {
    return n->op == NN_OP_ACTIVATION && n->attr.activation.kind == kind;
}

/* Reads its input without mixing or bending it: the question goes on to its input. */
static bool transparent(const nn_node *n) {
    return n->op == NN_OP_DROPOUT || n->op == NN_OP_NOISE || n->op == NN_OP_RESHAPE ||
           n->op == NN_OP_ACTIVITY_REG || is_act(n, NN_ACT_LINEAR);
}

/* ---- loss and output ---- */

/* A loss over classes wants one row of scores a sample. The network is legal (language.md 13.2) and
 * may be generated; the engine refuses to train it. */
static void class_rank(finder *f, const nn_node *out, int row, const char *loss) {
    char s[160];
    nn_finding *x =
        find(f, "loss-mismatch", row, "%s needs one row of class scores a sample, but %s gives %s",
             loss, out->layer, nn_shape_print(&out->shape, false, s, sizeof s));
    suggest(x, "insert Flatten() or GlobalAveragePooling2D() before it, or use --auto-flatten");
    nn_span before = out->span;
    before.end = before.begin;
    before.end_line = before.line;
    before.end_col = before.col;
    if (f->unit->layers[row].layer->rank1)
        add_fix(f, x, before, "Flatten() ", "insert Flatten() before this layer");
}

static void class_loss(finder *f, const nn_node *out, int row) {
    const nn_train_spec *t = &f->unit->graph->train;
    const char *loss = nn_loss_name(t->loss);
    if (out->shape.rank != 1)
        class_rank(f, out, row, loss);
    else if (out->shape.dim[0] == 1)
        suggest(
            find(f, "loss-mismatch", row, "%s over a single output: there is one class only", loss),
            "one unit with sigmoid and binary_crossentropy, or a unit for every class");
    else if (!is_softmax(out) && !t->from_logits)
        suggest(find(f, "loss-mismatch", row, "%s without softmax at the output", loss),
                "add activation=\"softmax\" to the last layer, or from_logits=true to the loss");
    else if (is_softmax(out) && t->from_logits)
        suggest(find(f, "loss-mismatch", row, "from_logits=true with softmax at the output"),
                "leave out one of the two");
}

static void binary_loss(finder *f, const nn_node *out, int row) {
    bool logits = f->unit->graph->train.from_logits, sigmoid = is_act(out, NN_ACT_SIGMOID);
    if (is_softmax(out))
        suggest(find(f, "loss-mismatch", row, "binary_crossentropy with softmax at the output"),
                "use sigmoid, or sparse_categorical_crossentropy");
    else if (!sigmoid && !logits)
        suggest(find(f, "loss-mismatch", row, "binary_crossentropy without sigmoid at the output"),
                "add activation=\"sigmoid\" to the last layer, or from_logits=true to the loss");
    else if (sigmoid && logits)
        suggest(find(f, "loss-mismatch", row, "from_logits=true with sigmoid at the output"),
                "leave out one of the two");
}

static void rule_loss(finder *f) {
    const nn_graph *g = f->unit->graph;
    if (!g->train.has_loss || g->n_outputs != 1) return;
    const nn_node *out = &g->nodes[g->outputs[0]];
    int row = row_of_node(f, out);
    if (row >= 0 && nn_loss_targets(g->train.loss) == NN_TARGET_CLASS) class_loss(f, out, row);
    if (row >= 0 && g->train.loss == NN_LOSS_BINARY) binary_loss(f, out, row);
}

static void rule_softmax(finder *f) {
    for (int i = 0; i < f->unit->n_layers; i++) {
        const nn_node *n = node_of(f, &f->unit->layers[i]);
        if (n && is_softmax(n) && n->shape.dim[n->shape.rank - 1] == 1)
            suggest(find(f, "single-softmax", i, "softmax over one unit is always 1"),
                    "use sigmoid");
    }
}

static void rule_after_output(finder *f) {
    int output = -1, last = -1;
    for (int i = 0; i < f->unit->n_layers; i++) {
        const nn_unit_layer *l = &f->unit->layers[i];
        if (l->parent >= 0) continue;
        if (l->layer->role == NN_ROLE_OUTPUT) output = i;
        if (l->layer->role != NN_ROLE_OUTPUT && l->n_inputs && l->inputs[0] == output) last = i;
    }
    if (output < 0 || last < output) return;
    nn_finding *x =
        find(f, "after-output", output,
             "Output is not the last layer: the network's result is that of what follows it, %s",
             f->unit->layers[last].type);
    suggest(x, "move Output to the end, or use Dense here");
}

/* ---- structure ---- */

/* The mean that the normalisation subtracts holds the bias. */
static void rule_lost_bias(finder *f) {
    const nn_graph *g = f->unit->graph;
    for (int i = 0; i < g->n_nodes; i++) {
        const nn_node *n = &g->nodes[i], *before = input_of(f, n);
        if (n->op != NN_OP_BATCH_NORM || !n->attr.batch_norm.center) continue;
        bool bias = (before->op == NN_OP_CONV && before->attr.conv.bias) ||
                    (before->op == NN_OP_MATMUL && before->attr.matmul.bias);
        if (!bias) continue;
        nn_finding *x = find(f, "lost-bias", row_of_node(f, before),
                             "the bias of %s has no effect before %s", before->layer, n->layer);
        suggest(x, "use_bias=false");
    }
}

static void rule_dead(finder *f) {
    const nn_unit *u = f->unit;
    bool *live = NN_NEW_N(f->arena, bool, (size_t)u->n_layers + 1);
    if (!live || !u->graph->n_outputs) return;
    for (int i = 0; i < u->graph->n_outputs; i++) {
        int row = f->row[u->graph->outputs[i]];
        while (row >= 0 && u->layers[row].parent >= 0) row = u->layers[row].parent;
        if (row >= 0) live[row] = true;
    }
    for (int i = u->n_layers - 1; i >= 0; i--) /* what a row takes stands before it */
        for (int k = 0; live[i] && k < u->layers[i].n_inputs; k++)
            live[u->layers[i].inputs[k]] = true;
    for (int i = 0; i < u->n_layers; i++) {
        if (live[i] || is_input(&u->layers[i]) || u->layers[i].parent >= 0) continue;
        suggest(find(f, "dead-layer", i, "nothing uses the result of %s ('%s')", u->layers[i].type,
                     u->layers[i].name),
                "take it in a merge layer (inputs=[…]), or leave it out");
    }
}

/* Whether a node only multiplies and adds: another such behind it makes one of them. */
static bool is_linear_map(const nn_node *n) {
    return n->op == NN_OP_MATMUL || n->op == NN_OP_CONV;
}

static void rule_linear(finder *f) {
    const nn_graph *g = f->unit->graph;
    for (int i = 0; i < g->n_nodes; i++) {
        const nn_node *n = &g->nodes[i], *before = input_of(f, n);
        if (!is_linear_map(n) || !before) continue;
        while (before->n_inputs == 1 && transparent(before)) before = input_of(f, before);
        int row = row_of_node(f, before);
        if (before->op != n->op || row < 0 || row == row_of_node(f, n)) continue;
        if (n->op == NN_OP_CONV && n->attr.conv.groups != before->attr.conv.groups) continue;
        suggest(
            find(f, "no-activation", row,
                 "%s and the %s after it have no activation between them: together they are one "
                 "linear layer",
                 before->layer, n->layer),
            "give the first one an activation, such as \"relu\"");
    }
}

static void rule_tokens(finder *f) {
    for (int i = 0; i < f->unit->n_layers; i++) {
        const nn_unit_layer *l = &f->unit->layers[i];
        const nn_node *n = node_of(f, l);
        if (!n || n->op != NN_OP_EMBEDDING) continue;
        const nn_node *from = input_of(f, n);
        while (from->n_inputs && (from->op == NN_OP_RESHAPE || from->op == NN_OP_TRANSPOSE ||
                                  from->op == NN_OP_CONCAT || from->op == NN_OP_FOLD))
            from = input_of(f, from);
        if (from->op == NN_OP_INPUT) continue;
        suggest(find(f, "float-tokens", i,
                     "Embedding looks up whole numbers, but its input comes from %s", from->layer),
                "put Embedding right after the input of tokens");
    }
}

/* ---- sizes ---- */

static void rule_growth(finder *f) {
    for (int i = 0; i < f->unit->n_layers; i++) {
        const nn_unit_layer *l = &f->unit->layers[i];
        int64_t in = elements(&l->in), out = elements(&l->out);
        if (!l->known || l->n_inputs == 0 || in < 1 || out < 1) continue;
        if (out / 10 > in || (out > 10 * in && in < INT64_MAX / 10))
            suggest(find(f, "large-growth", i, "%s makes %" PRId64 " values of %" PRId64, l->type,
                         out, in),
                    "grow in smaller steps, or check the number of units");
        else if (in > 1000 && out < in / 100)
            suggest(find(f, "large-shrink", i, "%s makes %" PRId64 " values of %" PRId64, l->type,
                         out, in),
                    "shrink in smaller steps if accuracy suffers");
    }
}

static void rule_large(finder *f) {
    const int64_t limit = INT64_C(1000) << 20;
    for (int i = 0; i < f->unit->n_layers; i++) {
        const nn_unit_layer *l = &f->unit->layers[i];
        int64_t n = elements(&l->out);
        if (!l->known || n < 0 || n <= limit / 4) continue;
        suggest(find(f, "large-tensor", i, "the output of %s takes %" PRId64 " MB for each sample",
                     l->type, n / (INT64_C(1) << 18)),
                "pool or stride before it");
    }
}

/* The only row that takes the value of row i; -1 if there are none or several. */
static int next_row(const nn_unit *u, int i) {
    int found = -1;
    for (int j = i + 1; j < u->n_layers && j <= i + 64; j++)
        if (u->layers[j].parent == u->layers[i].parent && u->layers[j].n_inputs &&
            u->layers[j].inputs[0] == i) {
            if (found >= 0) return -1;
            found = j;
        }
    return found;
}

static void rule_bottleneck(finder *f) {
    const nn_unit *u = f->unit;
    for (int i = 0; i < u->n_layers; i++) {
        const nn_unit_layer *l = &u->layers[i];
        int next = l->known && l->n_inputs ? next_row(u, i) : -1;
        if (next < 0 || !u->layers[next].known) continue;
        int64_t here = elements(&l->out), before = elements(&l->in),
                after = elements(&u->layers[next].out);
        if (here < 1 || here >= before / 10 || here >= after / 10) continue;
        suggest(find(f, "bottleneck", i,
                     "%s leaves %" PRId64 " values between %" PRId64 " and %" PRId64
                     ": what it drops cannot come back",
                     l->type, here, before, after),
                "make it wider, unless it is the code of an autoencoder");
    }
}

static void rule_image(finder *f) {
    for (int i = 0; i < f->unit->n_layers; i++) {
        const nn_unit_layer *l = &f->unit->layers[i];
        const nn_shape *s = &l->out;
        if (!l->known || !l->n_inputs || s->rank != 3) continue;
        if (s->dim[0] <= 100 || s->dim[1] <= 100 || s->dim[2] <= 64) continue;
        char text[160];
        nn_finding *x =
            find(f, "large-image", i, "%s gives %s: most of the work and memory is here", l->type,
                 nn_shape_print(s, false, text, sizeof text));
        suggest(x, "add MaxPooling2D() after it, or strides=2");
        if (x) x->improvement = "-75% activations from here on";
    }
}

static void rule_wide(finder *f) {
    for (int i = 0; i < f->unit->n_layers; i++) {
        const nn_unit_layer *l = &f->unit->layers[i];
        if (!l->known || l->first_node > l->last_node) continue;
        const nn_node *n = &f->unit->graph->nodes[l->first_node];
        if (n->op != NN_OP_MATMUL || n->attr.matmul.units <= 4096) continue;
        nn_finding *x = find(f, "wide-dense", i, "%s of %" PRId64 " units has %" PRId64 " weights",
                             l->type, n->attr.matmul.units, l->params);
        suggest(x, "fewer units, or two narrower layers");
        if (x) x->improvement = "-50% parameters at half the units";
    }
}

/* ---- cost ---- */

/* The first op of a row if it is a product right after a Flatten. */
static bool behind_flatten(const finder *f, const nn_unit_layer *l) {
    if (!l->known || l->first_node > l->last_node) return false;
    const nn_node *n = &f->unit->graph->nodes[l->first_node];
    const nn_node *before = input_of(f, n);
    return n->op == NN_OP_MATMUL && before && before->op == NN_OP_RESHAPE &&
           before->attr.reshape.flatten;
}

static void rule_huge_dense(finder *f) {
    enum { MANY = 50 * 1000 * 1000 };
    for (int i = 0; i < f->unit->n_layers; i++) {
        const nn_unit_layer *l = &f->unit->layers[i];
        if (l->params < MANY || !behind_flatten(f, l)) continue;
        suggest(find(f, "huge-dense", i, "%" PRId64 " million weights in one layer after Flatten",
                     l->params / 1000000),
                "GlobalAveragePooling2D in place of Flatten needs far fewer");
    }
}

static void rule_heavy(finder *f) {
    enum { SOME = 1000 * 1000 };
    for (int i = 0; i < f->unit->n_layers; i++) {
        const nn_unit_layer *l = &f->unit->layers[i];
        if (l->params < SOME || l->params * 2 < f->unit->params || !behind_flatten(f, l)) continue;
        nn_finding *x = find(f, "weights-heavy", i, "%s after Flatten holds %.0f%% of all weights",
                             l->type, 100.0 * (double)l->params / (double)f->unit->params);
        suggest(x, "GlobalAveragePooling2D in place of Flatten, or pool once more before it");
        if (x) x->improvement = "most of its parameters";
    }
}

static void rule_hot_spot(finder *f) {
    int64_t total = f->unit->flops;
    if (total < 1000000) return;
    for (int i = 0; i < f->unit->n_layers; i++) {
        const nn_unit_layer *l = &f->unit->layers[i];
        if (l->parent >= 0 || l->flops <= total / 2) continue;
        suggest(find(f, "hot-spot", i, "%s does %.0f%% of the network's work", l->type,
                     100.0 * (double)l->flops / (double)total),
                "start here when the network is to become faster");
    }
}

/* ---- training ---- */

static bool is_output(const nn_graph *g, int node) {
    for (int i = 0; i < g->n_outputs; i++)
        if (g->outputs[i] == node) return true;
    return false;
}

static void rule_dropout(finder *f) {
    for (int i = 0; i < f->unit->n_layers; i++) {
        const nn_unit_layer *l = &f->unit->layers[i];
        const nn_node *n = node_of(f, l);
        if (!n || n->op != NN_OP_DROPOUT || l->first_node != l->last_node) continue;
        if (n->attr.dropout.rate > 0.8)
            suggest(find(f, "total-dropout", i,
                         "a rate of %g drops most of what the layer before it found",
                         n->attr.dropout.rate),
                    "rates from 0.1 to 0.5 are usual");
        if (is_output(f->unit->graph, n->id))
            suggest(find(f, "dropout-at-end", i, "this Dropout zeroes results while training"),
                    "put it before the last layer");
    }
}

static void rule_tiny_norm(finder *f) {
    for (int i = 0; i < f->unit->n_layers; i++) {
        const nn_unit_layer *l = &f->unit->layers[i];
        const nn_node *n = node_of(f, l);
        if (!n || n->op != NN_OP_LAYER_NORM || n->shape.dim[n->shape.rank - 1] != 1) continue;
        suggest(find(f, "tiny-norm", i, "%s over one value gives 0 whatever it is", l->type),
                "normalise before the axis shrinks to one");
    }
}

static bool saturates(const nn_node *n) {
    return n && (is_act(n, NN_ACT_SIGMOID) || is_act(n, NN_ACT_TANH));
}

static void rule_saturating(finder *f) {
    enum { MANY = 4 };
    const nn_unit *u = f->unit;
    int run = 0;
    for (int i = 0; i < u->n_layers; i++) {
        const nn_node *n = node_of(f, &u->layers[i]);
        if (u->layers[i].parent >= 0 || (n && transparent(n))) continue;
        run = saturates(n) ? run + 1 : 0;
        if (run == MANY)
            suggest(find(f, "many-saturating", i,
                         "the %dth sigmoid or tanh layer in a row: gradients shrink with each",
                         MANY),
                    "relu or gelu in the hidden layers");
    }
}

/* ---- the table ---- */

static const rule_row rules[] = {
#define NN_FINDING(code, kind, when, rule, meaning, example)                                       \
    {code, meaning, example, NN_FINDING_##kind, NN_FINDING_##when, rule_##rule},
#define NN_FINDING_ALWAYS true
#define NN_FINDING_ASKED  false
#include "compile/findings.def"
#undef NN_FINDING
#undef NN_FINDING_ALWAYS
#undef NN_FINDING_ASKED
};
enum { RULES = sizeof rules / sizeof rules[0] };

static const rule_row *row_of(const char *code) {
    const rule_row *r = rules;
    while (strcmp(r->code, code) != 0) r++;
    return r;
}

static bool index_nodes(finder *f) {
    const nn_graph *g = f->unit->graph;
    f->row = NN_NEW_N(f->arena, int, (size_t)g->n_nodes + 1);
    if (!f->row) return false;
    for (int i = 0; i < g->n_nodes; i++) f->row[i] = -1;
    for (int i = 0; i < f->unit->n_layers; i++) { /* the rows of a block come after its layer's */
        const nn_unit_layer *l = &f->unit->layers[i];
        for (int k = l->first_node; k <= l->last_node; k++) f->row[k] = i;
    }
    return true;
}

static void run_rules(finder *f) {
    if (!index_nodes(f)) return;
    for (int i = 0; i < RULES; i++) {
        bool first = true;
        for (int j = 0; j < i; j++) first = first && rules[j].run != rules[i].run;
        if (first && (rules[i].always || f->asked)) rules[i].run(f);
    }
}

/* Moves the findings into the order of their places; findings are few. */
static nn_finding *sorted(nn_finding *list) {
    nn_finding *first = NULL;
    while (list) {
        nn_finding *x = list, **at = &first;
        list = list->next;
        while (*at && (*at)->span.begin <= x->span.begin) at = &(*at)->next;
        x->next = *at;
        *at = x;
    }
    return first;
}

nn_finding *nn_findings(nn_arena *arena, const nn_unit *u) {
    finder f = {.arena = arena, .unit = u, .asked = true};
    f.tail = &f.first;
    run_rules(&f);
    return sorted(f.first);
}

void nn_check_findings(nn_check *c) {
    finder f = {.arena = c->arena, .unit = c->unit};
    f.tail = &f.first;
    run_rules(&f);
    for (const nn_finding *x = f.first; x; x = x->next) {
        const char *code = strcmp(x->code, "loss-mismatch") == 0 ? x->code : "advice";
        nn_diag *d = nn_diag_add(c->diags, x->severity, code, x->span, "%s", x->message);
        if (x->suggestion) nn_diag_hint(c->diags, d, "%s", x->suggestion);
        if (x->fix) nn_diag_fix(c->diags, d, x->fix->span, x->fix->text, x->fix->what);
    }
}

const char *nn_finding_at(unsigned i, nn_finding_kind *ret_kind, bool *ret_always,
                          const char **ret_meaning, const char **ret_example) {
    if (i >= RULES) return NULL;
    *ret_kind = rules[i].kind;
    *ret_always = rules[i].always;
    *ret_meaning = rules[i].meaning;
    *ret_example = rules[i].example;
    return rules[i].code;
}

static const char *kind_name(nn_finding_kind k) {
    static const char *const names[] = {"warning", "info", "bottleneck", "optimization"};
    return names[k];
}

nn_json *nn_finding_json(const nn_unit *u, const nn_finding *f) {
    nn_json *o = nn_json_new_object();
    bool cheaper = f->kind == NN_FINDING_OPTIMIZATION;
    nn_json_set(o, "type", nn_json_new_str(kind_name(f->kind)));
    nn_json_set(o, "code", nn_json_new_str(f->code));
    nn_json_set(o, "severity", nn_json_new_str(nn_severity_name(f->severity)));
    if (cheaper) nn_json_set(o, "description", nn_json_new_str(f->reason));
    nn_json_set(o, "message", nn_json_new_str(f->message));
    nn_json_set(o, "reason", nn_json_new_str(f->reason));
    nn_json_set(o, "suggestion", nn_json_new_str(f->suggestion));
    if (cheaper) nn_json_set(o, "potential_improvement", nn_json_new_str(f->improvement));
    nn_json_set(o, "layer", nn_json_new_str(f->layer < 0 ? NULL : u->layers[f->layer].type));
    nn_json_set(o, "layer_index",
                f->layer < 0 ? nn_json_new_null() : nn_json_new_int(u->layers[f->layer].index));
    nn_json_set(o, "line", nn_json_new_int(f->span.line));
    nn_json_set(o, "column", nn_json_new_int(f->span.col));
    return o;
}
