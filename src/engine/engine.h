/* SPDX-License-Identifier: MIT */
/* engine.h - running a graph: forward, loss, backward, update. Engines are rows of engines.def.
 *
 * An executor belongs to one thread at a time (it may use a team of OpenMP threads inside). It is
 * planned once for at most `batch` rows: activation and scratch memory, primitives and thread
 * counts are fixed then, and nothing is allocated in a step. Tensors cross this border in plain
 * channels-last row-major floats; weights as slabs in the order of nn_graph.weights. With the same
 * graph, seed, thread count and inputs, results are bit-identical. */
#ifndef NN_ENGINE_ENGINE_H
#define NN_ENGINE_ENGINE_H
#include "graph/graph.h"

typedef struct nn_engine nn_engine;
typedef struct nn_exec nn_exec;

typedef struct nn_exec_options {
    int64_t batch; /* most rows at a time, >= 1 */
    bool training; /* plan backward and update too, by graph->train (loss, optimiser) */
    int threads;   /* OpenMP threads; 0: all cores that the process may use */
    uint64_t seed; /* of dropout */
    bool winograd; /* allow Winograd convolutions: faster, rounds differently */
} nn_exec_options;

typedef struct nn_targets {
    const int32_t *labels; /* for losses over classes: a class index for each site of each row
                              (loss.h), the last axis of the output being the classes */
    const float *values;   /* rows x output elements, for the others; for ctc rows x length: the
                              classes of a sequence, then what is negative or the blank */
    int64_t length;        /* ctc */
    const float *weights;  /* of the rows; NULL: all 1 */
} nn_targets;

typedef struct nn_step {
    double loss;     /* mean over the sites, regularisers included */
    int64_t counted; /* sites (loss.h) that count: with one a row, the rows */
    int64_t correct; /* of these, whose arg-max (or, with one output, rounding at 0.5 of the
                        probability) is right */
    bool finite;     /* false: loss or a gradient is not finite; nothing was updated */
    int node;        /* then: the node (id) whose output or gradient went wrong first, -1 unknown */
} nn_step;

/* ---- looking inside ---- */

typedef enum nn_phase {
    NN_PHASE_FORWARD,
    NN_PHASE_LOSS,
    NN_PHASE_BACKWARD,
    NN_PHASE_UPDATE,
    NN_PHASE_COUNT
} nn_phase;

/* A piece of the work of a step, as the engine cuts it. */
typedef struct nn_work {
    nn_phase pass;
    const char *kind; /* "conv", "relayout", "optimizer" */
    int node;         /* that it is named by; -1: the whole graph */
    int last;         /* node whose output it ends with; others between may be part of it */
    double seconds;
    int64_t bytes; /* of what it reads and writes, each array once */
} nn_work;

typedef struct nn_observer {
    void *ctx;
    void (*work)(void *ctx, const nn_work *w); /* NULL: not asked for */
    /* What a node put out for all rows or, as a gradient, what the loss changes by with it: n
     * plain values, valid during the call. NULL: not asked for. Nodes that the engine computes
     * as a part of another one, or in pieces, are left out; the gradient of a relu that it fuses
     * may be 0 already where the output is. */
    void (*value)(void *ctx, int node, bool gradient, const float *v, int64_t n);
} nn_observer;

struct nn_engine {
    const char *name, *summary;
    bool (*available)(const char **ret_reason);
    /* NN_E_UNSUPPORTED, as open would say it, for the first layer that it does not run (training:
     * or not train). Plans nothing. */
    nn_status (*check)(const nn_graph *g, bool training, nn_err *err);
    nn_status (*open)(const nn_graph *g, const nn_exec_options *o, nn_exec **ret, nn_err *err);
    void (*close)(nn_exec *x);
    float *(*input)(nn_exec *x,
                    int i); /* where rows of input i are written before forward or step */
    const float *(*output)(
        nn_exec *x,
        int i); /* valid until the next call; softmax and sigmoid outputs as probabilities */
    nn_status (*forward)(nn_exec *x, int64_t rows, nn_err *err);
    /* After forward-like work on the rows in input(): loss and accuracy without learning (dropout
     * off, moving statistics used). */
    nn_status (*evaluate)(nn_exec *x, int64_t rows, const nn_targets *t, nn_step *ret, nn_err *err);
    nn_status (*step)(nn_exec *x, int64_t rows, const nn_targets *t, nn_step *ret, nn_err *err);
    /* For tests: as step, without the update; gradients of the mean loss as a slab in plain layout:
     * regularisers included, not clipped, 0 for weights that are not trainable. */
    nn_status (*gradients)(nn_exec *x, int64_t rows, const nn_targets *t, float *slab, nn_step *ret,
                           nn_err *err);
    void (*set_weights)(nn_exec *x, const float *slab);
    void (*get_weights)(nn_exec *x, float *slab);
    /* Optimiser state: nn_exec_slots(graph) slabs after each other, and the number of updates done.
     */
    void (*set_state)(nn_exec *x, const float *slabs, int64_t updates);
    void (*get_state)(nn_exec *x, float *slabs, int64_t *ret_updates);
    void (*set_learning_rate)(nn_exec *x, double lr);
    size_t (*memory)(const nn_exec *x); /* bytes planned */
    /* As step or, without targets (t and ret NULL), as forward, telling o of it. Slower where
     * values are asked for. NULL: the engine does not say. */
    nn_status (*observe)(nn_exec *x, int64_t rows, const nn_targets *t, const nn_observer *o,
                         nn_step *ret, nn_err *err);
};

/* What an executor begins with, so that callers reach its engine; engines embed it as their first
 * member. */
struct nn_exec {
    const nn_engine *engine;
    const nn_graph *graph;
    nn_exec_options options;
};

const nn_engine *nn_engine_at(unsigned i);
const nn_engine *nn_engine_find(const char *name); /* NULL if there is none */
static inline void nn_exec_closep(nn_exec **x) {
    if (*x) (*x)->engine->close(*x);
}

/* What runs a graph, and a sentence for the user where that is not the first engine of engines.def:
 * which layer it lacks, and what that costs. "" where there is nothing to say. */
typedef struct nn_engine_choice {
    const nn_engine *engine;
    char warning[640];
} nn_engine_choice;
/* The engine of that name, which may then refuse to open; without a name (NULL) the first one that
 * is available and runs the graph (training: trains it). NN_E_UNSUPPORTED: none is known by the
 * name, it is not available, or none runs it: then what the last one says. */
nn_status nn_engine_choose(const char *name, const nn_graph *g, bool training,
                           nn_engine_choice *ret, nn_err *err);

/* For engines, of a node that one cannot run (`what`, NULL: the node's op): NN_E_UNSUPPORTED
 * "<layer> ('<name>'): the <engine> engine does not run <what> yet". */
nn_status nn_engine_cannot(const nn_engine *e, const nn_node *n, const char *what, nn_err *err);
/* For engines, of a CUSTOM node. */
nn_status nn_engine_named_only(const nn_node *n, nn_err *err);
/* Fills a slab by the graph's initialisers (Keras's rules), deterministic in seed. */
nn_status nn_weights_init(const nn_graph *g, uint64_t seed, float *slab, nn_err *err);
/* NN_E_UNSUPPORTED, with the way out, for what a program says about training and no engine does:
 * the one place that knows. Of all of it, or of the loss alone. */
nn_status nn_trainer_supports(const nn_train_spec *t, nn_err *err);
nn_status nn_trainer_supports_loss(const nn_train_spec *t, nn_err *err);
/* State slabs that the graph's optimiser keeps. */
int nn_exec_slots(const nn_graph *g);
/* Whether this BATCH_NORM node uses its moving statistics while training too: its gamma or beta is
 * not trainable (Keras: a frozen BatchNormalization runs in inference mode). Elsewhere training
 * normalises by the batch and moves the statistics by the batch's mean and population variance. */
bool nn_batch_norm_frozen(const nn_graph *g, const nn_node *n);
#endif
