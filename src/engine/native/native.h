/* SPDX-License-Identifier: MIT */
/* native.h - the planned form of a graph: values (tensors with a layout and a place in memory) and
 * units (what computes them, in order).
 *
 * Planning (plan.c) walks the nodes once: it fuses what can be fused, lets each unit choose the
 * layout of its output, inserts relayout units where a reader wants another one, and collects
 * memory wishes; place.c gives them and the values their lifetimes and memory. Running walks the
 * units forward and, for gradients, backward; the gradient of a value has the value's own layout
 * and is the sum of what its readers give, last reader first. Nothing is allocated in a step,
 * except that a convolution builds its primitives the first time that it sees a number of rows. */
#ifndef NN_ENGINE_NATIVE_NATIVE_H
#define NN_ENGINE_NATIVE_NATIVE_H
#include "engine/engine.h"
#include "engine/loss.h"
#include "engine/native/kernels.h"
#include "engine/optimizer.h"

typedef struct nn_native nn_native;
typedef struct nn_unit nn_unit;

/* ---- memory ---- */

/* A block is alive from time `first` to `last`. Forward of unit i is time i, the loss time n,
 * backward of unit i time 2n - i, the update time 2n + 1. */
typedef struct nn_block {
    size_t bytes, at;
    int first, last;
    float **to; /* receives the address */
} nn_block;

enum { NN_FOR_FORWARD = 1, NN_FOR_BACKWARD = 2 };

/* Wishes `floats` floats for u: during its forward, its backward, or from the one to the other. */
void nn_native_wish(nn_native *x, nn_unit *u, int64_t floats, int when, float **to);
/* Places blocks[n] so that no two that live at the same time overlap; returns the bytes needed. */
size_t nn_blocks_place(nn_block *blocks, int n);
/* Zeroed memory on huge pages where the system gives them; NULL when refused. */
void *nn_native_alloc(size_t bytes);

/* ---- values ---- */

/* A value that a FOLD or UNFOLD cuts into other rows is seen through a second one: `of` says whose
 * memory and gradient it has, and only that one's fields below `of` count. */
typedef struct nn_value {
    int64_t elements; /* a row */
    int64_t fold;     /* rows a sample: 1 outside of FOLD ... UNFOLD */
    nn_layout layout;
    float *data, *grad;
    int grad_of;     /* whose gradient's memory its gradient takes over: its reader's output's */
    int of;          /* itself, unless it is another view */
    int64_t rows;    /* that its memory holds; 0: all, fewer when it exists in pieces */
    int unit;        /* that makes it; -1: the caller */
    int last_read;   /* unit that reads it last in forward */
    int last_kept;   /* time of the last backward that reads it; 0: none */
    bool persistent; /* input or output of the graph */
    bool learns;     /* there are trainable weights before it */
    bool reaches;    /* the loss depends on it */
    int gradients;   /* units (or the loss) that contribute to its gradient */
    int grad_from;   /* the one that does so first in backward; the loss: number of units */
} nn_value;

static inline bool nn_layout_is_plain(nn_layout l) {
    return l.block == l.channels || l.spatial == 1;
}
static inline nn_layout nn_layout_plain(int64_t elements, int64_t channels) {
    return (nn_layout){elements / channels, channels, channels};
}
/* Where logical element e (channels-last order) of a row lies. */
static inline int64_t nn_layout_at(nn_layout l, int64_t e) {
    int64_t s = e / l.channels, c = e % l.channels;
    return c / l.block * l.spatial * l.block + s * l.block + c % l.block;
}

/* ---- weights ---- */

/* A weight in execution layout: `floats` floats at `at` of each parameter arena. convert copies
 * between it and the plain layout of the slab; padding stays zero. NULL: the layouts are the same.
 */
typedef struct nn_param {
    const nn_weight *weight;
    int64_t at, floats;
    const nn_unit *unit;
    nn_status (*convert)(const nn_native *x, const struct nn_param *p, bool import, float *plain,
                         float *exec);
    bool deferred; /* its unit computes gradient and update in one pass */
} nn_param;

/* ---- units ---- */

typedef struct nn_unit_kind {
    const char *name;
    bool reads_input;  /* backward needs the inputs' values; `plan` may change the unit's own */
    bool reads_output; /* backward needs the output's values; likewise */
    bool can_relu;     /* a relu behind it may be its work (nn_unit.relu) */
    bool can_norm; /* its weights are a kernel whose last axis is the output's channels and maybe
                      a bias (nn_unit_bias), so that a batch normalisation behind it may be
                      folded into them for inference */
    bool in_place; /* without training, y may be the memory of x */
    bool grad_in_place; /* the first input's dx may be the memory of dy, as large as it; `plan` may
                           change the unit's own */
    bool can_mask;      /* backward can zero dx where the (one) input, a relu's output, is 0: by
                           what it has kept itself, or with reads_input */
    bool can_add;       /* backward adds to dx where the operand says so (nn_operand.adds) */
    unsigned tokens;    /* bit i: input i holds tokens, which have no gradient */
    /* What of this node it does not run ("global_avg_pool with a mask"); NULL: all of it. */
    const char *(*lacks)(const nn_node *n);
    /* The layout that input i must have; false: any will do. NULL: plain. Inputs before i have
     * theirs by now. */
    bool (*wants)(const nn_native *x, const nn_unit *u, int i, nn_layout *ret);
    /* Decides the output's layout (preset to plain), registers weights, wishes for memory. */
    nn_status (*plan)(nn_native *x, nn_unit *u, nn_err *err);
    /* After memory is placed. NULL: nothing to do. */
    nn_status (*bind)(nn_native *x, nn_unit *u, nn_err *err);
    nn_status (*forward)(nn_native *x, nn_unit *u, int64_t rows, nn_err *err);
    /* From dy: gradients of the weights, and the dx of each input unless it is NULL. */
    nn_status (*backward)(nn_native *x, nn_unit *u, int64_t rows, nn_err *err);
    /* As a tail: rows [first, first + n), where x (and dx) hold only these. */
    void (*forward_piece)(nn_native *x, nn_unit *u, int64_t first, int64_t n);
    void (*backward_piece)(nn_native *x, nn_unit *u, int64_t first, int64_t n);
    /* With the update of its weights or moving statistics, after every gradient was seen to be
     * finite. NULL: the optimiser pass does it. */
    void (*update)(nn_native *x, nn_unit *u, int64_t rows);
    /* Whether the gradients of deferred weights will be finite; computes them into the gradient
     * arena if `store`. */
    bool (*deferred)(nn_native *x, nn_unit *u, int64_t rows, bool store);
    /* What the last forward pass adds to the loss; its backward then runs even if nothing reads
     * its output (dy NULL). */
    double (*loss)(const nn_unit *u);
    void (*done)(nn_unit *u);
} nn_unit_kind;

/* One input of a unit. */
typedef struct nn_operand {
    int value;
    const nn_shape *shape; /* of a row, as the graph says */
    bool learns;           /* a gradient may be wanted: there are weights to train before it */
    bool adds;             /* dx is a share of the gradient: added to it, not the whole */
    float *x, *dx;         /* dx NULL: not wanted */
} nn_operand;

/* `rows` in all of its functions are its own: those of the batch times `fold`. */
struct nn_unit {
    const nn_unit_kind *kind;
    const nn_node *node;
    int index;
    int64_t fold;
    nn_operand *in; /* u->in->x is the first */
    int n_in;
    int out;             /* value */
    const nn_node *norm; /* folded into its weights; NULL: none */
    float *norm_kept;    /* then the weights of both as they were set, and, where */
    float *norm_bias;    /* the node has no bias, that one */
    bool relu;           /* the output is clipped at 0: the node's relu is fused in */
    int64_t piece;       /* rows that it and its tail run at a time; 0: all */
    nn_unit *tail;       /* run by this unit, piece by piece */
    bool is_tail;
    int time;      /* of its forward: its index, or that of the unit that runs it */
    bool mask_dy;  /* backward begins with zeroing dy where y is 0 */
    bool mask_dx;  /* the input comes from a fused relu: backward zeroes dx where x is 0 */
    bool backward; /* takes part in backward */
    bool reads_input, reads_output, grad_in_place; /* the kind's, unless its `plan` knows better */
    int param[NN_MAX_WEIGHTS]; /* by position in node->weights; index into params */
    float *y, *dy;
    void *state;
};

struct nn_native {
    nn_exec base; /* first: nn_exec * is nn_native * */
    const nn_kernels *k;
    nn_arena *arena;
    struct nn_dn *dn; /* oneDNN's engine and stream */
    int threads;
    int64_t channel_block; /* of blocked tensors: what the convolutions of this processor like */

    nn_value *values;
    int n_values;
    int *value_of; /* by node */
    nn_unit *units;
    int n_units;
    nn_param *params;
    int n_params;
    nn_block *blocks;
    int n_blocks, cap_blocks;
    struct nn_wish *wishes;
    int n_wishes, cap_wishes;

    void *memory; /* placed blocks */
    size_t memory_bytes;
    int64_t floats, trainable; /* in a parameter arena; the first `trainable` are learnt */
    float *w, *g, *slot[3];
    int n_slots;
    float *scratch; /* shared by whatever runs; grows only while planning */
    size_t scratch_bytes;
    float *pack; /* threads x pack_floats */
    int64_t pack_floats;
    int64_t extra_bytes;

    bool training,
        learning; /* planned for training; this pass learns (dropout, batch statistics) */
    bool regularised, deferring;
    bool has_loss; /* the graph has one that can be taken; training needs it */
    nn_loss_plan loss;
    int loss_value; /* value index */
    double *row_loss;
    int64_t *row_right;
    double *loss_scratch; /* threads x nn_loss_scratch */
    double learning_rate;
    int64_t updates;
    bool finite;                 /* of the weight gradients of this step so far */
    const nn_observer *observer; /* of this pass; NULL: nobody looks */
    float *seen;                 /* room for a value in plain layout, while values are looked at */
};

/* The row of op in the table of units. Without `forward`: INPUT and RESHAPE, which have no work of
 * their own, and what cannot be run yet (not_yet.c). */
#define NN_OP(N, n, lo, hi, w) extern const nn_unit_kind nn_unit_##n;
#include "graph/ops.def"
#undef NN_OP
extern const nn_unit_kind nn_unit_relayout;

/* Elements of v that are in memory after a pass over so many rows of the batch. */
static inline int64_t nn_value_here(const nn_value *v, int64_t rows) {
    rows *= v->fold;
    return v->elements * (v->rows && v->rows < rows ? v->rows : rows);
}

/* ---- planning, for the kinds ---- */

static inline nn_value *nn_in_at(const nn_native *x, const nn_unit *u, int i) {
    return &x->values[u->in[i].value];
}
static inline nn_value *nn_in(const nn_native *x, const nn_unit *u) {
    return nn_in_at(x, u, 0);
}
static inline nn_value *nn_out(const nn_native *x, const nn_unit *u) {
    return &x->values[u->out];
}
/* The most rows that u runs. */
static inline int64_t nn_rows(const nn_native *x, const nn_unit *u) {
    return x->base.options.batch * u->fold;
}
/* Registers the weight at `position` of u's node, taking `floats` in execution layout. */
void nn_native_param(nn_native *x, nn_unit *u, int position, int64_t floats,
                     nn_status (*convert)(const nn_native *, const nn_param *, bool, float *,
                                          float *));
/* For `wants`: plain unless the channels of the layout are the last axis of the shape. */
bool nn_wants_channels(const nn_native *x, const nn_unit *u, int i, nn_layout *ret);
bool nn_wants_any(const nn_native *x, const nn_unit *u, int i, nn_layout *ret);
/* The layout of u's (first) input, seen with the channels of its shape; it must have them or be
 * plain. */
nn_layout nn_native_channels(const nn_native *x, const nn_unit *u);
void nn_native_scratch(nn_native *x, size_t bytes);

/* Whether u adds a bias; where it is. */
static inline bool nn_unit_biased(const nn_unit *u) {
    return u->norm || u->node->n_weights > 1;
}
static inline float *nn_unit_bias(const nn_native *x, const nn_unit *u) {
    return u->node->n_weights > 1 ? x->w + x->params[u->param[1]].at : u->norm_bias;
}

/* Weight, gradient of the weight at `position` of u's node. NULL if the node has none there. */
float *nn_native_w(const nn_native *x, const nn_unit *u, int position);
float *nn_native_g(const nn_native *x, const nn_unit *u, int position);
bool nn_native_trains(const nn_native *x, const nn_unit *u, int position);

extern const nn_engine nn_engine_native;

/* What it does not run, as nn_engine.check. */
nn_status nn_native_check(const nn_graph *g, bool training, nn_err *err);
/* Plans g into x (options are set): units and values in plan.c, then memory in place.c. */
nn_status nn_native_plan(nn_native *x, nn_err *err);
nn_status nn_native_place(nn_native *x, nn_err *err);
nn_status nn_native_refused(const nn_native *x, size_t bytes, nn_err *err);

/* Runs fn over [0, n) cut into one range a thread; `work` in floating-point operations decides
 * whether it is worth waking them. */
typedef void nn_range_fn(const nn_native *x, void *arg, int64_t begin, int64_t end, int thread);
void nn_parallel(const nn_native *x, int64_t n, double work, nn_range_fn *fn, void *arg);
/* y += x; dy = 0 where y is not above 0. */
void nn_native_add(const nn_native *x, int64_t n, const float *from, float *to);
void nn_native_relu_mask(const nn_native *x, int64_t n, const float *y, float *dy);

/* ---- batch normalisations in the weights before them (fold_norm.c) ---- */

/* Makes room for u's: where the weights that were set are kept. */
nn_status nn_norm_plan(nn_native *x, nn_unit *u, nn_err *err);
/* Between a slab and the weights of u and its normalisation. */
void nn_norm_import(const nn_native *x, const nn_unit *u, const float *slab);
void nn_norm_export(const nn_native *x, const nn_unit *u, float *slab);

/* ---- loss and update ---- */

/* Mean loss of the rows without regularisers, into ret with the rows that are right; its gradient
 * into the loss value's unless `grad` is false. */
void nn_native_loss(nn_native *x, int64_t rows, const nn_targets *t, bool grad, nn_step *ret);
double nn_native_regularisers(const nn_native *x);
/* Whether u's own loss counts: it stands before the node that the loss is taken on. */
static inline bool nn_unit_penalises(const nn_native *x, const nn_unit *u) {
    return u->kind->loss && x->has_loss && u->node->id <= x->loss.node;
}
double nn_native_penalties(const nn_native *x); /* of the units */
void nn_native_regularise(nn_native *x);
bool nn_native_gradients_finite(nn_native *x);
void nn_native_update(nn_native *x, int64_t rows);
nn_update_f nn_native_update_f(const nn_native *x, int64_t t);
nn_status nn_native_convert(const nn_native *x, const nn_param *p, bool import, float *plain,
                            float *exec);
/* ---- looking inside (observe.c); nothing happens where nobody looks ---- */

/* When a piece of work begins. */
int64_t nn_native_begin(const nn_native *x);
/* What it was, and in forward its value; u NULL: all of the graph's. */
void nn_native_did(nn_native *x, nn_phase pass, const nn_unit *u, const char *kind, int64_t rows,
                   int64_t begin);
/* The gradient of u's output is complete. */
void nn_native_gradient(nn_native *x, const nn_unit *u, int64_t rows);
nn_status nn_native_observe(nn_exec *e, int64_t rows, const nn_targets *t, const nn_observer *o,
                            nn_step *ret, nn_err *err);
#endif
