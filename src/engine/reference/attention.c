/* SPDX-License-Identifier: MIT */
/* attention.c - softmax(scores) v in heads side by side, the scores of query step t and key step s
 *
 *     scale * learned * (q_t . k_s)                    (Vaswani et al. 2017, Keras's Attention)
 *     scale * sum_d learned_d tanh(q_t,d + k_s,d)      additive (Bahdanau et al. 2015)
 *
 * learned being 1 without use_scale. causal leaves to step t the keys 0 ... t; a key whose token is
 * 0 is left to none. What is left out has no weight at all. Where no key is left, all of them weigh
 * alike: what Keras's -1e9 on every score comes to in floats.
 *
 * While training, dropout zeroes weights after the softmax and scales the rest; their draws are
 * those of engine/dropout.h for a node of the shape (heads, query steps, key steps). */
#include "engine/dropout.h"
#include "engine/reference/reference.h"

#include <math.h>

typedef struct attention {
    const nn_ref *r;
    int64_t heads, queries, keys, key_size, value_size; /* sizes of one head */
    double *weights, *dweights;                         /* of one query step: (keys) */
    nn_dropout drop;
    bool drops;
} attention;

int64_t nn_ref_scratch_attention(const nn_graph *g, const nn_node *n) {
    return 2 * g->nodes[n->inputs[1]].shape.dim[0];
}

static attention attention_of(const nn_ref *r) {
    attention a = {
        .r = r,
        .heads = r->node->attr.attention.heads,
        .queries = r->inputs[0].shape->dim[0],
        .keys = r->inputs[1].shape->dim[0],
        .weights = r->scratch,
        .drops = r->training && r->node->attr.attention.dropout > 0,
    };
    a.key_size = r->inputs[1].shape->dim[1] / a.heads;
    a.value_size = r->inputs[2].shape->dim[1] / a.heads;
    a.dweights = a.weights + a.keys;
    if (!a.drops) return a;
    nn_node draws = *r->node;
    draws.attr = (nn_attr){.dropout = {.rate = r->node->attr.attention.dropout}};
    draws.shape = (nn_shape){
        3, {a.heads, a.queries, a.keys}
    };
    a.drop = nn_dropout_at(&draws, r->seed, r->updates);
    return a;
}

/* One query step of one head. */
typedef struct place {
    int64_t row, head, step;
} place;

static int64_t query_at(const attention *a, const place *p) {
    return ((p->row * a->queries + p->step) * a->heads + p->head) * a->key_size;
}

static int64_t key_at(const attention *a, const place *p, int64_t s) {
    return ((p->row * a->keys + s) * a->heads + p->head) * a->key_size;
}

static int64_t value_at(const attention *a, const place *p, int64_t s) {
    return ((p->row * a->keys + s) * a->heads + p->head) * a->value_size;
}

static int64_t output_at(const attention *a, const place *p) {
    return ((p->row * a->queries + p->step) * a->heads + p->head) * a->value_size;
}

static bool attended(const attention *a, const place *p, int64_t s) {
    if (a->r->node->attr.attention.causal && s > p->step) return false;
    return a->r->node->n_inputs < 4 || a->r->inputs[3].x[p->row * a->keys + s] != 0;
}

static bool any_attended(const attention *a, const place *p) {
    for (int64_t s = 0; s < a->keys; s++)
        if (attended(a, p, s)) return true;
    return false;
}

static double learned(const attention *a, int64_t d) {
    const nn_node *n = a->r->node;
    if (!n->attr.attention.use_scale) return 1;
    return a->r->w[0][n->attr.attention.additive ? d : 0];
}

static double score(const attention *a, const place *p, int64_t s) {
    const double *q = a->r->inputs[0].x + query_at(a, p), *k = a->r->inputs[1].x + key_at(a, p, s);
    bool additive = a->r->node->attr.attention.additive;
    double sum = 0;
    for (int64_t d = 0; d < a->key_size; d++)
        sum += learned(a, d) * (additive ? tanh(q[d] + k[d]) : q[d] * k[d]);
    return sum * a->r->node->attr.attention.scale;
}

/* a->weights: before dropout. False: no key was left. */
static bool weigh(const attention *a, const place *p) {
    double most = -INFINITY, sum = 0;
    if (!any_attended(a, p)) {
        for (int64_t s = 0; s < a->keys; s++) a->weights[s] = 1 / (double)a->keys;
        return false;
    }
    for (int64_t s = 0; s < a->keys; s++)
        if (attended(a, p, s)) {
            a->weights[s] = score(a, p, s);
            if (a->weights[s] > most) most = a->weights[s];
        }
    for (int64_t s = 0; s < a->keys; s++) {
        a->weights[s] = attended(a, p, s) ? exp(a->weights[s] - most) : 0;
        sum += a->weights[s];
    }
    for (int64_t s = 0; s < a->keys; s++) a->weights[s] /= sum;
    return true;
}

/* What dropout multiplies the weight of key s by. */
static double kept(const attention *a, const place *p, int64_t s) {
    if (!a->drops) return 1;
    int64_t i = ((p->row * a->heads + p->head) * a->queries + p->step) * a->keys + s;
    return nn_dropout_keeps(&a->drop, i) ? a->drop.scale : 0;
}

static void attend(const attention *a, const place *p) {
    double *y = a->r->y + output_at(a, p);
    weigh(a, p);
    for (int64_t d = 0; d < a->value_size; d++) {
        y[d] = 0;
        for (int64_t s = 0; s < a->keys; s++) {
            double w = a->weights[s] * kept(a, p, s);
            if (w != 0) y[d] += w * a->r->inputs[2].x[value_at(a, p, s) + d];
        }
    }
}

/* Of the score of key s, whose gradient is ds. */
static void score_back(const attention *a, const place *p, int64_t s, double ds) {
    const nn_node *n = a->r->node;
    int64_t qi = query_at(a, p), ki = key_at(a, p, s);
    ds *= n->attr.attention.scale;
    for (int64_t d = 0; d < a->key_size; d++) {
        double q = a->r->inputs[0].x[qi + d], k = a->r->inputs[1].x[ki + d];
        double t = tanh(q + k), each = ds * learned(a, d);
        bool additive = n->attr.attention.additive;
        a->r->inputs[0].dx[qi + d] += additive ? each * (1 - t * t) : each * k;
        a->r->inputs[1].dx[ki + d] += additive ? each * (1 - t * t) : each * q;
        if (n->attr.attention.use_scale)
            a->r->dw[0][additive ? d : 0] += ds * (additive ? t : q * k);
    }
}

static void attend_back(const attention *a, const place *p) {
    const double *dy = a->r->dy + output_at(a, p);
    bool scored = weigh(a, p);
    double along = 0;
    for (int64_t s = 0; s < a->keys; s++) {
        double factor = kept(a, p, s);
        int64_t v = value_at(a, p, s);
        a->dweights[s] = 0;
        for (int64_t d = 0; d < a->value_size; d++) {
            a->dweights[s] += factor * dy[d] * a->r->inputs[2].x[v + d];
            a->r->inputs[2].dx[v + d] += factor * a->weights[s] * dy[d];
        }
        along += a->weights[s] * a->dweights[s];
    }
    for (int64_t s = 0; scored && s < a->keys; s++)
        if (attended(a, p, s)) score_back(a, p, s, a->weights[s] * (a->dweights[s] - along));
}

static void walk(const nn_ref *r, void (*each)(const attention *a, const place *p)) {
    attention a = attention_of(r);
    for (int64_t row = 0; row < r->rows; row++)
        for (int64_t head = 0; head < a.heads; head++)
            for (int64_t step = 0; step < a.queries; step++) each(&a, &(place){row, head, step});
}

void nn_ref_forward_attention(const nn_ref *r) {
    walk(r, attend);
}

void nn_ref_backward_attention(const nn_ref *r) {
    walk(r, attend_back);
}
