/* SPDX-License-Identifier: MIT */
#include "pairs.h"

#include "net.h"
#include "t.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 8 };

static const int64_t batches[] = {8, 1, 5};

typedef struct pair {
    const char *text;
    const nn_graph *g;
    const nn_engine *engine;
    nn_exec *x, *ref;
    float *weights, *inputs, *values, *a, *b;
    int32_t *labels;
} pair;

static void open_pair(pair *p, bool training) {
    const nn_engine *reference = nn_engine_find("reference");
    nn_exec_options o = {.batch = BATCH, .training = training, .threads = 2, .seed = 11};
    nn_err err;
    CHECK_OK(reference->open(p->g, &o, &p->ref, &err), &err);
    nn_status s = p->engine->open(p->g, &o, &p->x, &err);
    if (s != NN_OK) fail_msg("%s: %s cannot open it: %s", p->text, p->engine->name, err.msg);
    p->engine->set_weights(p->x, p->weights);
    reference->set_weights(p->ref, p->weights);
}

static void close_pair(pair *p) {
    p->engine->close(p->x);
    p->ref->engine->close(p->ref);
}

static void write_inputs(const pair *p, int64_t rows) {
    const float *from = p->inputs;
    for (int i = 0; i < p->g->n_inputs; i++) {
        int64_t elements = nn_shape_elements(&p->g->nodes[p->g->inputs[i]].shape);
        size_t bytes = (size_t)(rows * elements) * sizeof *from;
        memcpy(p->engine->input(p->x, i), from, bytes);
        memcpy(p->ref->engine->input(p->ref, i), from, bytes);
        from += BATCH * elements;
    }
}

/* Tokens are 0 to 3, so that an embedding has at least four rows, and some are 0: masked. */
static void fill_inputs(const pair *p) {
    float *to = p->inputs;
    for (int i = 0; i < p->g->n_inputs; i++) {
        int64_t n = BATCH * nn_shape_elements(&p->g->nodes[p->g->inputs[i]].shape);
        net_random_f(to, n, 13 + (uint64_t)i);
        for (int64_t e = 0; e < n && net_is_tokens(p->g, p->g->inputs[i]); e++)
            to[e] = (float)(e * 7 % 11 % 4);
        to += n;
    }
}

static void check_near(const pair *p, const char *what, int64_t rows, const float *got,
                       const float *want, int64_t n, double floor, double limit) {
    double d = net_distance(got, want, n, floor);
    if (!(d <= limit))
        fail_msg("%s on %s, %lld rows: %s differs by %.3g of its largest value (limit %g)", p->text,
                 p->engine->name, (long long)rows, what, d, limit);
}

static void check_forward(const pair *p, int64_t rows) {
    nn_err err;
    write_inputs(p, rows);
    CHECK_OK(p->engine->forward(p->x, rows, &err), &err);
    CHECK_OK(p->ref->engine->forward(p->ref, rows, &err), &err);
    check_near(p, "the output", rows, p->engine->output(p->x, 0), p->ref->engine->output(p->ref, 0),
               rows * net_out(p->g), 1e-3, 1e-5);
}

static void check_step(const pair *p, const char *what, int64_t rows, const nn_step *got,
                       const nn_step *want) {
    if (!got->finite || fabs(got->loss - want->loss) > 5e-5 * fmax(0.1, fabs(want->loss)) ||
        got->correct != want->correct)
        fail_msg("%s on %s, %lld rows: %s gives loss %.8g and %lld right, reference %.8g and %lld",
                 p->text, p->engine->name, (long long)rows, what, got->loss,
                 (long long)got->correct, want->loss, (long long)want->correct);
}

static void check_training(const pair *p, int64_t rows) {
    nn_err err;
    nn_step got, want;
    nn_targets t = net_targets(p->g, rows, 21, p->labels, p->values);
    write_inputs(p, rows);
    CHECK_OK(p->engine->evaluate(p->x, rows, &t, &got, &err), &err);
    CHECK_OK(p->ref->engine->evaluate(p->ref, rows, &t, &want, &err), &err);
    check_step(p, "evaluate", rows, &got, &want);
    write_inputs(p, rows);
    CHECK_OK(p->engine->gradients(p->x, rows, &t, p->a, &got, &err), &err);
    CHECK_OK(p->ref->engine->gradients(p->ref, rows, &t, p->b, &want, &err), &err);
    check_step(p, "gradients", rows, &got, &want);
    /* The floor: what a gradient is rounded to by the sums it comes from. A bias before a batch
     * normalisation has none but that rounding. */
    double largest = 0;
    for (int64_t i = 0; i < p->g->slab; i++) largest = fmax(largest, fabs(p->b[i]));
    for (int i = 0; i < p->g->n_weights; i++) {
        const nn_weight *w = &p->g->weights[i];
        check_near(p, w->name, rows, p->a + w->offset, p->b + w->offset, w->elements,
                   fmax(1e-4, largest / 100), 5e-5);
    }
}

/* Three steps with rows, then the weights and what the optimiser keeps. */
static void check_updates(pair *p, int64_t rows) {
    nn_err err;
    nn_step got, want;
    nn_targets t = net_targets(p->g, rows, 22, p->labels, p->values);
    int64_t slots = nn_exec_slots(p->g), n, m;
    open_pair(p, true);
    for (int i = 0; i < 3; i++) {
        write_inputs(p, rows);
        CHECK_OK(p->engine->step(p->x, rows, &t, &got, &err), &err);
        CHECK_OK(p->ref->engine->step(p->ref, rows, &t, &want, &err), &err);
        check_step(p, "a step", rows, &got, &want);
    }
    p->engine->get_weights(p->x, p->a);
    p->ref->engine->get_weights(p->ref, p->b);
    for (int i = 0; i < p->g->n_weights; i++) {
        const nn_weight *w = &p->g->weights[i];
        check_near(p, w->name, rows, p->a + w->offset, p->b + w->offset, w->elements, 0.1, 5e-5);
    }
    p->engine->get_state(p->x, p->a, &n);
    p->ref->engine->get_state(p->ref, p->b, &m);
    assert_int_equal(n, 3);
    assert_int_equal(m, 3);
    for (int64_t s = 0; s < slots; s++)
        check_near(p, "the optimiser's state", rows, p->a + s * p->g->slab, p->b + s * p->g->slab,
                   p->g->slab, 1e-3, 1e-4);
    close_pair(p);
}

typedef enum checks { ALL, UPDATES, INFERENCE } checks;

static void check_inference(pair *p) {
    open_pair(p, false);
    for (int i = 0; i < 3; i++) check_forward(p, batches[i]);
    close_pair(p);
}

static void check_all(pair *p) {
    check_inference(p);
    open_pair(p, true);
    for (int i = 0; i < 3; i++) {
        check_forward(p, batches[i]);
        check_training(p, batches[i]);
    }
    close_pair(p);
}

static void with_graph(const nn_engine *e, const char *text, nn_graph *g, checks what) {
    int64_t slabs = 1 + nn_exec_slots(g);
    pair p = {.text = text,
              .g = g,
              .engine = e,
              .weights = net_alloc(g->slab, sizeof(float)),
              .inputs = net_alloc(BATCH * net_in(g), sizeof(float)),
              .values = net_alloc(BATCH * net_out(g), sizeof(float)),
              .labels = net_alloc(BATCH * net_out(g), sizeof(int32_t)),
              .a = net_alloc(g->slab * slabs, sizeof(float)),
              .b = net_alloc(g->slab * slabs, sizeof(float))};
    net_weights(g, 12, p.weights);
    fill_inputs(&p);
    if (what == INFERENCE) check_inference(&p);
    if (what == ALL) check_all(&p);
    if (what != INFERENCE) check_updates(&p, 5), check_updates(&p, 8);
    void *all[] = {p.weights, p.inputs, p.values, p.labels, p.a, p.b};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void each_engine(const char *text, nn_graph *g, checks what) {
    const char *reason;
    for (unsigned i = 0; nn_engine_at(i); i++)
        if (strcmp(nn_engine_at(i)->name, "reference") != 0 && nn_engine_at(i)->available(&reason))
            with_graph(nn_engine_at(i), text, g, what);
}

void pair_check_engines(const char *text, nn_graph *g, bool updates_only) {
    each_engine(text, g, updates_only ? UPDATES : ALL);
}

void pair_check_inference(const char *text, nn_graph *g) {
    each_engine(text, g, INFERENCE);
}

nn_optimizer pair_adam(void) {
    return (nn_optimizer){.kind = NN_OPTIMIZER_ADAM,
                          .learning_rate = 0.01,
                          .beta_1 = 0.9,
                          .beta_2 = 0.999,
                          .epsilon = 1e-2};
}
