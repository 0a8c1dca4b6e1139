/* SPDX-License-Identifier: MIT */
/* attention.c - attention in heads side by side, by the definitions of
 * engine/reference/attention.c.
 *
 * A row's head is one piece of work: its keys and values are packed as panels once, then some
 * queries at a time go through scores, weights and sums, so that no more scores exist than stay in
 * the caches. Backward computes the weights again instead of keeping them. Under a causal mask the
 * keys behind the last query of a block are left out. */
#include "engine/dropout.h"
#include "engine/native/native.h"

#include <string.h>

enum { QUERIES = 32, SPARE_DRAWS = 80 };

/* A thread's working memory: panels of the keys and values and of their transposes, gradients of
 * them, and matrices of (QUERIES, keys). */
typedef struct room {
    float *k, *kt, *v, *vt, *dk, *dv, *dkt;
    float *weights, *dropped, *kept, *raw, *dweights;
    float *seen, *draws; /* (keys): 0 where the token is; one row's draws */
} room;

typedef struct attention {
    int64_t heads, queries, keys, key_size, value_size; /* sizes of one head */
    float scale;
    bool causal, additive, drops, masked;
    int64_t room_floats, learned; /* floats that the learned scale has; 0: none */
    float *forward_room, *backward_room;
    float *parts; /* (row, head, learned): shares of its gradient */
} attention;

typedef struct pass {
    const nn_unit *u;
    const attention *a;
    nn_dropout drop;
} pass;

/* Queries [begin, end) of one row's head; keys from `limit` on are not seen. */
typedef struct block {
    int64_t row, head, begin, end, limit;
} block;

/* ---- planning ---- */

static int64_t cut(float **at, float *base, int64_t *used, int64_t floats) {
    *at = base ? base + *used : NULL;
    *used += (floats + 15) / 16 * 16;
    return *used;
}

/* The parts of one thread's room; returns its size. base NULL: only that. */
static int64_t room_of(const attention *a, float *base, room *r) {
    int64_t used = 0, matrix = QUERIES * a->keys;
    int64_t k = nn_panel_floats(a->keys, a->key_size), v = nn_panel_floats(a->keys, a->value_size);
    int64_t kt = nn_panel_floats(a->key_size, a->keys);
    cut(&r->k, base, &used, k);
    cut(&r->dk, base, &used, k);
    cut(&r->kt, base, &used, kt);
    cut(&r->dkt, base, &used, a->additive ? kt : 0);
    cut(&r->v, base, &used, v);
    cut(&r->dv, base, &used, v);
    cut(&r->vt, base, &used, nn_panel_floats(a->value_size, a->keys));
    cut(&r->weights, base, &used, matrix);
    cut(&r->dweights, base, &used, matrix);
    cut(&r->dropped, base, &used, a->drops ? matrix : 0);
    cut(&r->kept, base, &used, a->drops ? matrix : 0);
    cut(&r->raw, base, &used, a->learned ? matrix : 0);
    cut(&r->draws, base, &used, a->drops ? a->keys + SPARE_DRAWS : 0);
    return cut(&r->seen, base, &used, a->keys);
}

static room room_at(const pass *p, int thread, bool backward) {
    room r;
    float *base = backward ? p->a->backward_room : p->a->forward_room;
    (void)room_of(p->a, base + thread * p->a->room_floats, &r);
    return r;
}

static nn_status plan(nn_native *x, nn_unit *u, nn_err *err) {
    (void)err;
    attention *a = u->state = NN_NEW(x->arena, attention);
    const nn_node *n = u->node;
    room r;
    a->heads = n->attr.attention.heads;
    a->queries = u->in[0].shape->dim[0];
    a->keys = u->in[1].shape->dim[0];
    a->key_size = u->in[1].shape->dim[1] / a->heads;
    a->value_size = u->in[2].shape->dim[1] / a->heads;
    a->scale = (float)n->attr.attention.scale;
    a->causal = n->attr.attention.causal;
    a->additive = n->attr.attention.additive;
    a->drops = x->training && n->attr.attention.dropout > 0;
    a->masked = u->n_in > 3;
    if (n->attr.attention.use_scale) {
        a->learned = a->additive ? a->key_size : 1;
        nn_native_param(x, u, 0, a->learned, NULL);
    }
    a->room_floats = room_of(a, NULL, &r);
    nn_native_wish(x, u, x->threads * a->room_floats, NN_FOR_FORWARD, &a->forward_room);
    if (!x->training) return NN_OK;
    nn_native_wish(x, u, x->threads * a->room_floats, NN_FOR_BACKWARD, &a->backward_room);
    nn_native_wish(x, u, nn_rows(x, u) * a->heads * (a->learned ? a->learned : a->key_size),
                   NN_FOR_BACKWARD, &a->parts);
    int64_t most = a->key_size > a->value_size ? a->key_size : a->value_size;
    int64_t pack = nn_grad_pack_floats(QUERIES, most, a->keys);
    if (pack > x->pack_floats) x->pack_floats = pack;
    return NN_OK;
}

/* ---- one head of one row ---- */

/* Where step t of the head is in an operand of `steps` steps and heads of `size`. */
static int64_t step_of(const attention *a, const block *b, int64_t steps, int64_t size, int64_t t) {
    return ((b->row * steps + t) * a->heads + b->head) * size;
}
static int64_t query_at(const attention *a, const block *b, int64_t t) {
    return step_of(a, b, a->queries, a->key_size, t);
}
static int64_t output_at(const attention *a, const block *b, int64_t t) {
    return step_of(a, b, a->queries, a->value_size, t);
}

/* rows x columns of `from`, whose rows lie ld floats apart, as panels; and back, scaled. */
static void pack(int64_t rows, int64_t columns, const float *from, int64_t ld, float *to) {
    for (int64_t p = 0; p < nn_panels(columns); p++) {
        int64_t width = nn_panel_width(columns, p), left = columns - p * NN_PANEL;
        int64_t n = left < width ? left : width;
        for (int64_t i = 0; i < rows; i++, to += width) {
            memcpy(to, from + i * ld + p * NN_PANEL, (size_t)n * sizeof *to);
            memset(to + n, 0, (size_t)(width - n) * sizeof *to);
        }
    }
}

static void unpack(int64_t rows, int64_t columns, const float *from, int64_t ld, float *to) {
    for (int64_t p = 0; p < nn_panels(columns); p++) {
        int64_t width = nn_panel_width(columns, p), left = columns - p * NN_PANEL;
        int64_t n = left < width ? left : width;
        for (int64_t i = 0; i < rows; i++, from += width)
            memcpy(to + i * ld + p * NN_PANEL, from, (size_t)n * sizeof *to);
    }
}

static void pack_head(const nn_native *x, const pass *p, const block *b, bool backward, room *r) {
    const attention *a = p->a;
    int64_t k = step_of(a, b, a->keys, a->key_size, 0),
            v = step_of(a, b, a->keys, a->value_size, 0);
    pack(a->keys, a->key_size, p->u->in[1].x + k, a->heads * a->key_size, r->k);
    pack(a->keys, a->value_size, p->u->in[2].x + v, a->heads * a->value_size, r->v);
    x->k->transpose(a->keys, a->key_size, r->k, r->kt, 0, nn_panels(a->keys));
    if (backward) x->k->transpose(a->keys, a->value_size, r->v, r->vt, 0, nn_panels(a->keys));
    for (int64_t s = 0; s < a->keys && a->masked; s++)
        r->seen[s] = p->u->in[3].x[b->row * a->keys + s] != 0;
}

/* c = a b for the block's queries: columns up to the limit of b, panels of depth x keys. */
static void to_keys(const nn_native *x, const attention *a, const block *b, const float *from,
                    int64_t lda, int64_t depth, const float *panels, float *to) {
    nn_gemm g = {.m = b->end - b->begin,
                 .n = b->limit,
                 .k = depth,
                 .a = from,
                 .b = panels,
                 .c = to,
                 .lda = lda,
                 .ldc = a->keys};
    x->k->gemm(&g, 0, nn_panels(g.n) * nn_tiles(g.m));
}

/* c = a b, a being (queries, keys up to the limit) and b panels of keys x size. */
static void over_keys(const nn_native *x, const attention *a, const block *b, const float *from,
                      const float *panels, int64_t size, float *to, int64_t ldc) {
    for (int64_t p = 0; p < nn_panels(size); p++) {
        int64_t left = size - p * NN_PANEL;
        nn_gemm g = {.m = b->end - b->begin,
                     .n = left < NN_PANEL ? left : NN_PANEL,
                     .k = b->limit,
                     .a = from,
                     .b = panels + p * NN_PANEL * a->keys,
                     .c = to + p * NN_PANEL,
                     .lda = a->keys,
                     .ldc = ldc};
        x->k->gemm(&g, 0, nn_tiles(g.m));
    }
}

/* to, panels of keys x size, += a^T dy. */
static void add_to_keys(const nn_native *x, const attention *a, const block *b, int thread,
                        const float *from, const float *dy, int64_t size, int64_t ldd, float *to) {
    nn_gemm_grad g = {.m = b->end - b->begin,
                      .n = size,
                      .k = a->keys,
                      .a = from,
                      .dy = dy,
                      .dw = to,
                      .add = true,
                      .ldd = ldd};
    int64_t tiles = nn_tiles(a->keys);
    for (int64_t p = 0; p < nn_panels(size); p++)
        (void)x->k->gemm_grad(&g, p * tiles, p * tiles + nn_tiles(b->limit),
                              x->pack + thread * x->pack_floats);
}

static const float *learned_of(const nn_native *x, const pass *p) {
    return p->a->learned ? nn_native_w(x, p->u, 0) : NULL;
}

/* What the raw scores are multiplied by. */
static float factor_of(const nn_native *x, const pass *p) {
    const float *learned = learned_of(x, p);
    return p->a->scale * (learned && !p->a->additive ? learned[0] : 1);
}

static void raw_scores(const nn_native *x, const pass *p, const block *b, const room *r) {
    const attention *a = p->a;
    const float *q = p->u->in[0].x + query_at(a, b, b->begin);
    int64_t ld = a->heads * a->key_size;
    if (!a->additive) {
        to_keys(x, a, b, q, ld, a->key_size, r->kt, r->weights);
        return;
    }
    for (int64_t t = b->begin; t < b->end; t++, q += ld)
        x->k->additive(a->keys, a->key_size, q, r->kt, learned_of(x, p),
                       r->weights + (t - b->begin) * a->keys);
}

static void draw_kept(const nn_native *x, const pass *p, const block *b, const room *r) {
    const attention *a = p->a;
    uint32_t *draws = (uint32_t *)(void *)r->draws;
    for (int64_t t = b->begin; t < b->end; t++) {
        int64_t i = ((b->row * a->heads + b->head) * a->queries + t) * a->keys;
        x->k->draws(p->drop.key, p->drop.stream, p->drop.counter + (uint64_t)(i / 4),
                    (i % 4 + a->keys + 3) / 4, draws);
        float *kept = r->kept + (t - b->begin) * a->keys;
        x->k->keep(a->keys, draws + i % 4, p->drop.threshold, (float)p->drop.scale, 0, kept);
        x->k->multiply(a->keys, r->weights + (t - b->begin) * a->keys, kept,
                       r->dropped + (t - b->begin) * a->keys);
    }
}

static bool drops(const nn_native *x, const attention *a) {
    return a->drops && x->learning;
}

/* The block's weights; scored[i]: query i has a key to see. Returns those to sum by. */
static const float *weigh(const nn_native *x, const pass *p, const block *b, const room *r,
                          bool *scored) {
    const attention *a = p->a;
    raw_scores(x, p, b, r);
    if (a->learned && r->raw)
        memcpy(r->raw, r->weights, (size_t)((b->end - b->begin) * a->keys) * sizeof *r->raw);
    for (int64_t t = b->begin; t < b->end; t++) {
        int64_t limit = a->causal && t + 1 < a->keys ? t + 1 : a->keys;
        scored[t - b->begin] = x->k->attend(a->keys, limit, a->masked ? r->seen : NULL,
                                            factor_of(x, p), r->weights + (t - b->begin) * a->keys);
    }
    if (!drops(x, a)) return r->weights;
    draw_kept(x, p, b, r);
    return r->dropped;
}

/* Keys that the block needs: whole panels, and all of them where a query may have none to see. */
static int64_t limit_of(const attention *a, int64_t end) {
    int64_t whole = (end + NN_PANEL - 1) / NN_PANEL * NN_PANEL;
    return a->causal && !a->masked && whole < a->keys ? whole : a->keys;
}

static void each_block(const nn_native *x, const pass *p, int64_t item, int thread, const room *r,
                       void (*fn)(const nn_native *x, const pass *p, const block *b, int thread,
                                  const room *r)) {
    const attention *a = p->a;
    block b = {.row = item / a->heads, .head = item % a->heads};
    for (b.begin = 0; b.begin < a->queries; b.begin = b.end) {
        b.end = b.begin + QUERIES < a->queries ? b.begin + QUERIES : a->queries;
        b.limit = limit_of(a, b.end);
        fn(x, p, &b, thread, r);
    }
}

/* ---- forward ---- */

static void forward_block(const nn_native *x, const pass *p, const block *b, int thread,
                          const room *r) {
    (void)thread;
    bool scored[QUERIES];
    const attention *a = p->a;
    const float *weights = weigh(x, p, b, r, scored);
    over_keys(x, a, b, weights, r->v, a->value_size, p->u->y + output_at(a, b, b->begin),
              a->heads * a->value_size);
}

static void run_forward(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    const pass *p = arg;
    room r = room_at(p, thread, false);
    for (int64_t i = begin; i < end; i++) {
        block b = {.row = i / p->a->heads, .head = i % p->a->heads};
        pack_head(x, p, &b, false, &r);
        each_block(x, p, i, thread, &r, forward_block);
    }
}

static pass pass_of(const nn_native *x, const nn_unit *u) {
    const attention *a = u->state;
    pass p = {.u = u, .a = a};
    nn_node draws = *u->node;
    draws.attr = (nn_attr){.dropout = {.rate = u->node->attr.attention.dropout}};
    draws.shape = (nn_shape){
        3, {a->heads, a->queries, a->keys}
    };
    p.drop = nn_dropout_at(&draws, x->base.options.seed, x->updates);
    return p;
}

static double work_of(const attention *a, int64_t rows) {
    double products = (double)(rows * a->heads * a->queries) * (double)a->keys;
    return products * (double)((a->key_size + a->value_size) * 2 + 20);
}

static nn_status forward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    pass p = pass_of(x, u);
    nn_parallel(x, rows * p.a->heads, work_of(p.a, rows), run_forward, &p);
    return NN_OK;
}

/* ---- backward ---- */

/* dweights become the gradients of the scores, times what multiplies the products. */
static void scores_back(const nn_native *x, const pass *p, const block *b, const room *r,
                        const bool *scored) {
    const attention *a = p->a;
    float factor = a->learned ? a->scale : factor_of(x, p);
    for (int64_t i = 0; i < b->end - b->begin; i++) {
        float *d = r->dweights + i * a->keys;
        for (int64_t s = b->limit; s < a->keys; s++) d[s] = 0;
        if (scored[i])
            x->k->attend_grad(a->keys, r->weights + i * a->keys,
                              drops(x, a) ? r->kept + i * a->keys : NULL, factor, d);
        else
            memset(d, 0, (size_t)a->keys * sizeof *d);
    }
}

static void additive_back(const nn_native *x, const pass *p, const block *b, const room *r,
                          float *part) {
    const attention *a = p->a;
    int64_t ld = a->heads * a->key_size;
    for (int64_t t = b->begin; t < b->end; t++) {
        const float *q = p->u->in[0].x + query_at(a, b, b->begin) + (t - b->begin) * ld;
        float *dq = p->u->in[0].dx ? p->u->in[0].dx + query_at(a, b, b->begin) + (t - b->begin) * ld
                                   : r->dk; /* spent only at the end */
        x->k->additive_grad(a->keys, a->key_size, q, r->kt, learned_of(x, p),
                            r->dweights + (t - b->begin) * a->keys, dq, r->dkt, part);
    }
}

/* The one learned factor: its gradient, then its part in those of the products. */
static void learned_back(const nn_native *x, const pass *p, const block *b, const room *r,
                         float *part) {
    const attention *a = p->a;
    double sum = 0;
    for (int64_t i = 0; i < b->end - b->begin; i++)
        for (int64_t s = 0; s < b->limit; s++)
            sum += (double)r->dweights[i * a->keys + s] * (double)r->raw[i * a->keys + s];
    part[0] += (float)sum;
    x->k->scale((b->end - b->begin) * a->keys, r->dweights, learned_of(x, p)[0]);
}

static void products_back(const nn_native *x, const pass *p, const block *b, int thread,
                          const room *r) {
    const attention *a = p->a;
    int64_t ld = a->heads * a->key_size, at = query_at(a, b, b->begin);
    if (p->u->in[0].dx) over_keys(x, a, b, r->dweights, r->k, a->key_size, p->u->in[0].dx + at, ld);
    if (p->u->in[1].dx)
        add_to_keys(x, a, b, thread, r->dweights, p->u->in[0].x + at, a->key_size, ld, r->dk);
}

static void backward_block(const nn_native *x, const pass *p, const block *b, int thread,
                           const room *r) {
    bool scored[QUERIES];
    const attention *a = p->a;
    const float *weights = weigh(x, p, b, r, scored);
    const float *dy = p->u->dy + output_at(a, b, b->begin);
    int64_t ld = a->heads * a->value_size;
    float *part =
        a->parts + (b->row * a->heads + b->head) * (a->learned ? a->learned : a->key_size);
    if (p->u->in[2].dx) add_to_keys(x, a, b, thread, weights, dy, a->value_size, ld, r->dv);
    to_keys(x, a, b, dy, ld, a->value_size, r->vt, r->dweights);
    scores_back(x, p, b, r, scored);
    if (a->additive) {
        additive_back(x, p, b, r, part);
        return;
    }
    if (a->learned) learned_back(x, p, b, r, part);
    products_back(x, p, b, thread, r);
}

/* From panels of a head of k or v to its place in the gradient. */
static void keys_done(const pass *p, const block *b, const room *r) {
    const attention *a = p->a;
    int64_t k = step_of(a, b, a->keys, a->key_size, 0),
            v = step_of(a, b, a->keys, a->value_size, 0);
    int64_t ld = a->heads * a->key_size;
    float *dk = p->u->in[1].dx, *dv = p->u->in[2].dx;
    if (dv) unpack(a->keys, a->value_size, r->dv, a->heads * a->value_size, dv + v);
    if (dk && !a->additive) unpack(a->keys, a->key_size, r->dk, ld, dk + k);
    for (int64_t s = 0; dk && a->additive && s < a->keys; s++)
        for (int64_t d = 0; d < a->key_size; d++)
            dk[k + s * ld + d] = r->dkt[nn_panel_at(a->key_size, a->keys, d, s)];
}

static void run_backward(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread) {
    const pass *p = arg;
    const attention *a = p->a;
    int64_t each = a->learned ? a->learned : a->key_size;
    room r = room_at(p, thread, true);
    for (int64_t i = begin; i < end; i++) {
        block b = {.row = i / a->heads, .head = i % a->heads};
        pack_head(x, p, &b, true, &r);
        memset(r.dk, 0, (size_t)nn_panel_floats(a->keys, a->key_size) * sizeof *r.dk);
        memset(r.dv, 0, (size_t)nn_panel_floats(a->keys, a->value_size) * sizeof *r.dv);
        if (a->additive)
            memset(r.dkt, 0, (size_t)nn_panel_floats(a->key_size, a->keys) * sizeof *r.dkt);
        memset(a->parts + i * each, 0, (size_t)each * sizeof *a->parts);
        each_block(x, p, i, thread, &r, backward_block);
        keys_done(p, &b, &r);
    }
}

static nn_status backward(nn_native *x, nn_unit *u, int64_t rows, nn_err *err) {
    (void)err;
    pass p = pass_of(x, u);
    const attention *a = u->state;
    float *dw = a->learned ? nn_native_g(x, u, 0) : NULL;
    nn_parallel(x, rows * a->heads, 2.5 * work_of(a, rows), run_backward, &p);
    for (int64_t d = 0; d < a->learned && dw; d++) {
        double sum = 0;
        for (int64_t i = 0; i < rows * a->heads; i++) sum += (double)a->parts[i * a->learned + d];
        dw[d] = (float)sum;
    }
    return NN_OK;
}

const nn_unit_kind nn_unit_attention = {
    .name = "attention",
    .tokens = 8,
    .reads_input = true,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
