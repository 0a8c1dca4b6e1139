/* SPDX-License-Identifier: MIT */
/* test_torch_dump.c - our side of tests/conformance/test_torch_parity.py: writes, for each network
 * and engine, what went in (weights, inputs, targets) and what came out (output, loss, gradients,
 * moving statistics after a step), into the folder $NN_TORCH_DUMP. Skipped without it. */
#include "model/model.h"
#include "net.h"
#include "t.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 6 };

static const struct {
    const char *name, *net;
    nn_loss_kind loss;
    double smoothing;
} cases[] = {
    {"mlp",         "input 784; dense 64; act relu; dense 32; act relu; dense 10; softmax",          NN_LOSS_SPARSE,
     0                                                                                                                       },
    {"cnn",
     "input 14 14 1; conv f=8 k=3x3; act relu; conv f=16 k=3x3; act relu; max_pool k=2x2 s=2x2; "
     "flatten; dense 32; act relu; dense 10; softmax",                                               NN_LOSS_SPARSE,      0  },
    {"cnn_same",
     "input 11 9 3; conv f=6 k=3x3 s=2x2 p=same; bn; act gelu; avg_pool k=3x3 s=2x2 p=same; conv "
     "f=8 k=2x2 g=2 p=1:0x0:1; act silu; gap; dense 5; softmax",                                     NN_LOSS_CATEGORICAL, 0.1},
    {"conv1d",
     "input 15 4; conv f=6 k=3 d=2; act elu; max_pool k=2 s=2; flatten; dense 3; act sigmoid",       NN_LOSS_BINARY,      0  },
    {"conv3d",      "input 5 6 4 2; conv f=4 k=2x3x2; act mish; flatten; dense 3",                   NN_LOSS_MSE,         0  },
    {"activations",
     "input 6; dense 6; act linear; dense 6; act relu6; dense 6; act leaky_relu a=0.2; dense 6; act celu "
     "a=0.8; dense 6; act hard_sigmoid; dense 6; act log_sigmoid; dense 6; act tanh; dense 6; act "
     "hard_tanh; dense 6; act softsign; dense 6; act exponential; dense 6; act elu a=0.7; dense 3",  NN_LOSS_MSE,         0  },
    {"shapes",
     "input 4 6; transpose 1 0; dense 5; act hard_swish; reshape 5 6; dense 3 nobias; act selu; "
     "flatten; dense 4; act softplus; dense 4; log_softmax",                                         NN_LOSS_SPARSE,      0  },
    {"residual",
     "input 9 8 3; conv f=16 k=3x3; bn; act relu; conv f=16 k=3x3 p=same; act relu; conv f=16 k=3x3 p=same; "
     "merge add @6,3; act relu; conv f=32 k=1x1 @3; conv f=16 k=1x1 @8; concat 2 @9,10,3; reverse 0; "
     "gap; dense 5; softmax",                                                                        NN_LOSS_SPARSE,      0  },
    {"merges",
     "input 5 6; dense 6; dense 6 @0; dense 1 @0; merge multiply @1,3; merge subtract @4,2; "
     "merge maximum @5,1,2; merge minimum @6,5; merge average @7,1,6,0; dot 1 1 @8,5; "
     "dot 0 0 normalize @9,8; flatten; dense 3",                                                     NN_LOSS_MSE,         0  },
    {"samples",
     "input 6 5 3; conv f=16 k=2x2; layer_norm; prelu shared=0x1; conv f=8 k=2x2; group_norm 4; "
     "clip -0.8 1.5; prelu shared=2; flatten; dense 12; group_norm 3; layer_norm; dense 4; softmax", NN_LOSS_CATEGORICAL, 0.1},
};

typedef struct dump {
    nn_tensor tensors[96];
    char names[96][64];
    int n;
} dump;

static void put(dump *d, const char *prefix, const char *name, const nn_shape *shape,
                const char *dtype, const void *data) {
    nn_tensor *t = &d->tensors[d->n];
    snprintf(d->names[d->n], sizeof d->names[0], "%s%s", prefix, name);
    *t = (nn_tensor){.name = d->names[d->n], .dtype = dtype, .shape = *shape, .data = data};
    t->bytes = (size_t)nn_shape_elements(shape) * 4;
    d->n++;
}

static nn_shape batched(const nn_shape *s) {
    nn_shape b = {.rank = s->rank + 1, .dim = {ROWS}};
    memcpy(b.dim + 1, s->dim, (size_t)s->rank * sizeof *s->dim);
    return b;
}

static void put_weights(dump *d, const char *prefix, const nn_graph *g, const float *slab) {
    for (int i = 0; i < g->n_weights; i++)
        put(d, prefix, g->weights[i].name, &g->weights[i].shape, "F32",
            slab + g->weights[i].offset);
}

static void dump_case(size_t k, const nn_engine *e, const char *folder) {
    nn_graph *g = net_build(cases[k].net);
    g->train.loss = cases[k].loss;
    g->train.label_smoothing = cases[k].smoothing;
    g->train.optimizer = (nn_optimizer){.kind = NN_OPTIMIZER_SGD, .learning_rate = 0.05};
    nn_exec_options o = {.batch = ROWS, .training = true, .threads = 2};
    nn_exec *x = NULL;
    nn_err err;
    nn_step evaluated, step;
    float *w = net_alloc(4 * g->slab, sizeof *w), *gradient = w + g->slab, *after = w + 2 * g->slab;
    float *in = net_alloc(ROWS * net_in(g), sizeof *in);
    float *out = net_alloc(ROWS * net_out(g), sizeof *out);
    float *values = net_alloc(ROWS * net_out(g), sizeof *values);
    int32_t *labels = net_alloc(ROWS * net_out(g), sizeof *labels);
    size_t in_bytes = (size_t)(ROWS * net_in(g)) * sizeof *in;
    nn_targets t = net_targets(g, ROWS, 31, labels, values);
    net_weights(g, 32, w);
    net_random_f(in, ROWS * net_in(g), 33);
    CHECK_OK(e->open(g, &o, &x, &err), &err);
    e->set_weights(x, w);
    memcpy(e->input(x, 0), in, in_bytes);
    CHECK_OK(e->evaluate(x, ROWS, &t, &evaluated, &err), &err);
    memcpy(e->input(x, 0), in, in_bytes);
    CHECK_OK(e->forward(x, ROWS, &err), &err);
    memcpy(out, e->output(x, 0), (size_t)(ROWS * net_out(g)) * sizeof *out);
    memcpy(e->input(x, 0), in, in_bytes);
    CHECK_OK(e->gradients(x, ROWS, &t, gradient, &step, &err), &err);
    memcpy(e->input(x, 0), in, in_bytes);
    CHECK_OK(e->step(x, ROWS, &t, &step, &err), &err);
    e->get_weights(x, after);
    e->close(x);

    dump d = {0};
    nn_shape rows = {.rank = 1, .dim = {ROWS}};
    nn_shape in_shape = batched(&g->nodes[g->inputs[0]].shape);
    nn_shape out_shape = batched(&g->nodes[g->outputs[0]].shape);
    put_weights(&d, "w.", g, w);
    put_weights(&d, "g.", g, gradient);
    put_weights(&d, "after.", g, after);
    put(&d, "", "input", &in_shape, "F32", in);
    put(&d, "", "output", &out_shape, "F32", out);
    if (t.labels)
        put(&d, "", "labels", &rows, "U32", labels);
    else
        put(&d, "", "values", &out_shape, "F32", values);
    char text[64], path[512], sha256[65];
    nn_json *meta = nn_json_new_object();
    nn_json_set(meta, "net", nn_json_new_str(cases[k].net));
    nn_json_set(meta, "loss", nn_json_new_str(nn_loss_name(cases[k].loss)));
    snprintf(text, sizeof text, "%.17g", cases[k].smoothing);
    nn_json_set(meta, "label_smoothing", nn_json_new_str(text));
    snprintf(text, sizeof text, "%.17g", step.loss);
    nn_json_set(meta, "train_loss", nn_json_new_str(text));
    snprintf(text, sizeof text, "%.17g", evaluated.loss);
    nn_json_set(meta, "loss_value", nn_json_new_str(text));
    snprintf(path, sizeof path, "%s/%s-%s.safetensors", folder, cases[k].name, e->name);
    CHECK_OK(nn_safetensors_write(path, d.tensors, d.n, meta, sha256, &err), &err);
    nn_json_unref(meta);
    void *all[] = {w, in, out, values, labels};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    net_free(g);
}

TEST(torch_dump) {
    const char *folder = getenv("NN_TORCH_DUMP"), *reason;
    if (!folder) skip();
    for (unsigned i = 0; nn_engine_at(i); i++)
        for (size_t k = 0; nn_engine_at(i)->available(&reason) && k < sizeof cases / sizeof *cases;
             k++)
            dump_case(k, nn_engine_at(i), folder);
}
