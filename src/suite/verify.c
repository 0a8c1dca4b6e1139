/* SPDX-License-Identifier: MIT */
/* verify.c - cases, comparing, and where a difference begins. */
#include "suite/verify.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/rng.h"
#include "engine/reference/reference.h"
#include "suite/child.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENDS = 8 /* inputs and outputs of a graph */, MAX_VERIFIERS = 16 };

static void *zeroed(int64_t n, size_t size) {
    void *p = calloc((size_t)n + 1, size);
    if (!p) abort();
    return p;
}

static int64_t elements(const nn_graph *g, int node) {
    return nn_shape_elements(&g->nodes[node].shape);
}

/* ---- what is drawn ---- */

/* tokens[id]: the values of that node are whole numbers below it, since they are looked up or mask
 * something; 0: any number. */
static void find_tokens(const nn_graph *g, int64_t *tokens) {
    for (int i = g->n_nodes - 1; i >= 0; i--) {
        const nn_node *n = &g->nodes[i];
        bool masked = (n->op == NN_OP_RNN && n->n_inputs == 2) ||
                      (n->op == NN_OP_GLOBAL_AVG_POOL && n->n_inputs == 2) ||
                      (n->op == NN_OP_ATTENTION && n->n_inputs == 4);
        int last = n->n_inputs ? n->inputs[n->n_inputs - 1] : -1;
        if (masked && !tokens[last]) tokens[last] = 3;
        if (n->op == NN_OP_EMBEDDING &&
            (!tokens[last] || n->attr.embedding.input_dim < tokens[last]))
            tokens[last] = n->attr.embedding.input_dim;
        else if (n->op != NN_OP_EMBEDDING && n->n_inputs == 1 && tokens[i])
            tokens[last] = tokens[i];
    }
}

void nn_verify_draw(const nn_graph *g, int input, uint64_t seed, int64_t rows, float *x) {
    int64_t *tokens = zeroed(g->n_nodes, sizeof *tokens), wide = elements(g, g->inputs[input]);
    find_tokens(g, tokens);
    uint64_t below = (uint64_t)tokens[g->inputs[input]];
    nn_rng r = nn_rng_new(seed, 0x766572696679 + (uint64_t)input); /* "verify" */
    for (int64_t e = 0; e < rows * wide; e++) {
        if (!below)
            x[e] = (float)nn_rng_normal(&r);
        else if (e % wide == 0 && below > 1) /* no row is padding alone */
            x[e] = (float)(1 + nn_rng_below(&r, below - 1));
        else
            x[e] = (float)nn_rng_below(&r, below);
    }
    free(tokens);
}

nn_status nn_verify_weights(const nn_graph *g, uint64_t seed, float *slab, nn_err *err) {
    nn_rng r = nn_rng_new(seed, 0x77656967687473); /* "weights" */
    nn_status s = nn_weights_init(g, seed, slab, err);
    for (int i = 0; !s && i < g->n_weights; i++) {
        const nn_weight *w = &g->weights[i];
        nn_init_kind k = w->init.kind;
        bool one_number = k == NN_INIT_ZEROS || k == NN_INIT_ONES || k == NN_INIT_CONSTANT ||
                          k == NN_INIT_UNIT_FORGET;
        for (int64_t e = 0; one_number && e < w->elements; e++)
            slab[w->offset + e] += (float)(0.5 * nn_rng_unit(&r) - 0.25);
    }
    return s;
}

/* ---- comparing ---- */

static bool same_special(double a, double b) {
    return (isnan(a) && isnan(b)) || (isinf(a) && a == b);
}

nn_distance nn_distance_of(const float *a, const double *b, int64_t n) {
    nn_distance d = {.worst = -1};
    double apart = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        bool finite = isfinite(a[i]) && isfinite(b[i]);
        double by = finite ? fabs(a[i] - b[i]) : same_special(a[i], b[i]) ? 0 : INFINITY;
        if (finite) size += b[i] * b[i];
        apart += by * by;
        if (by > d.worst) d = (nn_distance){0, by, i, a[i], b[i]};
    }
    d.relative = apart == 0 ? 0 : sqrt(apart) / sqrt(fmax(size, 1e-60));
    return d;
}

static bool too_far(const nn_distance *d) {
    return !(d->relative <= NN_VERIFY_TOLERANCE);
}

/* ---- the host ---- */

struct nn_verify_host {
    nn_verify_slot slots[MAX_VERIFIERS];
};

nn_verify_host *nn_verify_host_new(void) {
    return zeroed(1, sizeof(nn_verify_host));
}

void nn_verify_host_free(nn_verify_host *h) {
    if (!h) return;
    for (int i = 0; i < MAX_VERIFIERS; i++)
        if (h->slots[i].child) nn_child_end(h->slots[i].child, 10, NULL);
    free(h);
}

nn_verify_slot *nn_verify_slot_of(nn_verify_host *h, const nn_verifier *v) {
    unsigned i = 0;
    while (nn_verifier_at(i) != v) i++;
    if (i >= MAX_VERIFIERS) abort();
    nn_verify_slot *s = &h->slots[i];
    if (!s->asked) v->probe(v, s);
    s->asked = true;
    return s;
}

/* ---- one verification ---- */

typedef struct work {
    nn_verify_host *host;
    const nn_verify_options *o;
    nn_verification *to;
    nn_verify_case of;
    float *inputs[ENDS], *weights;
    nn_exec *yardstick; /* after forward: what every node should be */
    char folder[4096];
} work;

static const double *wanted(const work *w, int node) {
    int64_t n;
    return nn_reference_values(w->yardstick, node, w->of.rows, &n);
}

/* Runs a verifier for the values of `n` nodes, which become the graph's outputs; fills d. */
static nn_status measure(const work *w, const nn_verifier *v, const nn_graph *g, nn_distance *d,
                         nn_err *err) {
    float *y[ENDS] = {0};
    nn_verify_case c = w->of;
    c.graph = g;
    for (int i = 0; i < g->n_outputs; i++)
        y[i] = zeroed(w->of.rows * elements(g, g->outputs[i]), sizeof **y);
    nn_status s = nn_mkdirs(w->folder, err);
    if (!s) s = v->run(v, nn_verify_slot_of(w->host, v), &c, y, err);
    for (int i = 0; i < g->n_outputs; i++) {
        int node = g->outputs[i];
        if (!s) d[i] = nn_distance_of(y[i], wanted(w, node), w->of.rows * elements(g, node));
        free(y[i]);
    }
    nn_err cleaning;
    if (nn_remove_tree(w->folder, &cleaning) && !s && err) *err = cleaning, s = cleaning.code;
    return s;
}

/* Nodes whose rows are those of the batch can be outputs. */
static bool can_be_shown(const nn_node *n) {
    return n->op != NN_OP_INPUT && n->fold == 1 && n->folded < 0;
}

/* The next nodes from *at on, as the outputs of a copy of g that shares everything else. */
static nn_graph with_outputs(const nn_graph *g, int *at) {
    nn_graph part = *g;
    part.train = nn_train_default(); /* how the network is trained is not asked here */
    part.n_outputs = 0;
    for (; *at < g->n_nodes && part.n_outputs < ENDS; ++*at)
        if (can_be_shown(&g->nodes[*at])) part.outputs[part.n_outputs++] = *at;
    return part;
}

/* Asks for the nodes in order, to the first that is too far; with options.layers for all. A
 * verifier that cannot show them leaves `first` at -1. */
static void look_inside(const work *w, nn_verified *r) {
    const nn_graph *g = w->of.graph;
    bool found = false;
    if (w->o->layers) {
        r->nodes = zeroed(g->n_nodes, sizeof *r->nodes);
        for (int i = 0; i < g->n_nodes; i++) r->nodes[i].relative = -1;
    }
    for (int at = 0; at < g->n_nodes && (!found || w->o->layers);) {
        nn_distance d[ENDS];
        nn_graph part = with_outputs(g, &at);
        if (!part.n_outputs || measure(w, r->by, &part, d, NULL) != NN_OK) return;
        for (int i = 0; i < part.n_outputs; i++) {
            if (r->nodes) r->nodes[part.outputs[i]] = d[i];
            if (found || r->verdict != NN_DIFFERS || !too_far(&d[i])) continue;
            found = true;
            r->first = part.outputs[i];
            r->first_distance = d[i];
        }
    }
}

static void run_one(const work *w, nn_verified *r) {
    const nn_verify_slot *slot = nn_verify_slot_of(w->host, r->by);
    const nn_graph *g = w->of.graph;
    nn_err err = {0};
    r->first = -1;
    snprintf(r->version, sizeof r->version, "%s", slot->version);
    if (!slot->available) {
        r->verdict = NN_SKIPPED;
        snprintf(r->reason, sizeof r->reason, "%s", slot->reason);
        return;
    }
    int64_t began = nn_clock_mono();
    nn_status s = measure(w, r->by, g, r->outputs, &err);
    r->seconds = (double)(nn_clock_mono() - began) * 1e-9;
    if (s) {
        r->verdict = s == NN_E_UNSUPPORTED ? NN_SKIPPED : NN_FAILED;
        snprintf(r->reason, sizeof r->reason, "%s", err.msg);
        return;
    }
    for (int i = 0; i < g->n_outputs; i++)
        if (too_far(&r->outputs[i])) r->verdict = NN_DIFFERS;
    if (r->verdict == NN_DIFFERS || w->o->layers) look_inside(w, r);
}

static nn_status open_yardstick(work *w, nn_err *err) {
    const nn_graph *g = w->of.graph;
    nn_exec_options o = {.batch = w->of.rows};
    nn_status s = nn_engine_reference.open(g, &o, &w->yardstick, err);
    if (s) return s;
    for (int i = 0; i < g->n_inputs; i++) {
        int64_t n = w->of.rows * elements(g, g->inputs[i]);
        w->inputs[i] = zeroed(n, sizeof **w->inputs);
        nn_verify_draw(g, i, w->o->seed, w->of.rows, w->inputs[i]);
        memcpy(nn_engine_reference.input(w->yardstick, i), w->inputs[i],
               (size_t)n * sizeof **w->inputs);
    }
    w->of.inputs = w->inputs;
    if (!w->of.weights) {
        w->of.weights = w->weights = zeroed(g->slab, sizeof *w->weights);
        s = nn_verify_weights(g, w->o->seed, w->weights, err);
        if (s) return s;
    }
    nn_engine_reference.set_weights(w->yardstick, w->of.weights);
    return nn_engine_reference.forward(w->yardstick, w->of.rows, err);
}

static nn_status make_folder(work *w, nn_err *err) {
    const char *tmp = getenv("TMPDIR");
    int n = snprintf(w->folder, sizeof w->folder - 64, "%s/neural-verify-XXXXXX",
                     tmp && *tmp == '/' ? tmp : "/tmp");
    if (n >= (int)sizeof w->folder - 64 || !mkdtemp(w->folder))
        return nn_fail(err, NN_E_STORAGE_ERROR, "cannot make a folder for files: %s", w->folder);
    w->of.folder = w->folder;
    return NN_OK;
}

static void work_done(work *w) {
    for (int i = 0; i < ENDS; i++) free(w->inputs[i]);
    free(w->weights);
    if (*w->folder) (void)!nn_remove_tree(w->folder, NULL);
    nn_exec_closep(&w->yardstick);
    nn_verification_free(w->to);
}

nn_status nn_verify(nn_verify_host *h, const nn_graph *g, const nn_verify_options *o,
                    nn_verification **ret, nn_err *err) {
    __attribute__((cleanup(work_done))) work w = {.host = h, .o = o};
    w.of = (nn_verify_case){.graph = g, .weights = o->weights, .rows = o->rows};
    nn_status s = open_yardstick(&w, err);
    if (!s) s = make_folder(&w, err);
    if (s) return s;
    w.to = zeroed(1, sizeof *w.to);
    *w.to = (nn_verification){.graph = g, .rows = o->rows, .seed = o->seed, .drawn = !o->weights};
    nn_sha256_hex(w.of.weights, (size_t)g->slab * sizeof(float), w.to->weights_sha256);
    w.to->of = zeroed(o->n_verifiers, sizeof *w.to->of);
    for (; w.to->n < o->n_verifiers; w.to->n++) {
        w.to->of[w.to->n].by = o->verifiers[w.to->n];
        run_one(&w, &w.to->of[w.to->n]);
    }
    *ret = w.to;
    w.to = NULL;
    return NN_OK;
}

void nn_verification_free(nn_verification *v) {
    for (int i = 0; v && i < v->n; i++) free(v->of[i].nodes);
    if (v) free(v->of);
    free(v);
}

int nn_verification_bad(const nn_verification *v) {
    int n = 0;
    for (int i = 0; i < v->n; i++)
        n += v->of[i].verdict == NN_DIFFERS || v->of[i].verdict == NN_FAILED;
    return n;
}
