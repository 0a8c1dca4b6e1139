/* SPDX-License-Identifier: MIT */
/* kernels.h - the engine's own inner loops, compiled once for each instruction set.
 *
 * kernels_impl.h holds the code; kernels_<set>.c compile it with that set's flags. One table is
 * chosen when an executor is opened. Kernels are pure functions of their arguments: a caller splits
 * work by ranges and may run ranges on different threads; the result does not depend on the split.
 *
 * Panels: a matrix B[k][n] is held as ceil(n / 32) panels one after the other, each k rows of 32
 * columns (the last one 16 if no more are used), missing columns zero. A panel row is two AVX-512
 * registers, and every kernel below walks panels with unit stride. */
#ifndef NN_ENGINE_NATIVE_KERNELS_H
#define NN_ENGINE_NATIVE_KERNELS_H
#include "graph/graph.h"

enum { NN_PANEL = 32, NN_TILE = 8 /* rows of a register tile */ };

static inline int64_t nn_panels(int64_t n) {
    return (n + NN_PANEL - 1) / NN_PANEL;
}
static inline int64_t nn_panel_width(int64_t n, int64_t panel) {
    return n - panel * NN_PANEL <= NN_PANEL / 2 ? NN_PANEL / 2 : NN_PANEL;
}
/* Floats that a k x n matrix takes as panels. */
static inline int64_t nn_panel_floats(int64_t k, int64_t n) {
    int64_t last = nn_panels(n) - 1;
    return k * (last * NN_PANEL + nn_panel_width(n, last));
}
/* Place of element (row, column). */
static inline int64_t nn_panel_at(int64_t k, int64_t n, int64_t row, int64_t column) {
    int64_t panel = column / NN_PANEL;
    return panel * NN_PANEL * k + row * nn_panel_width(n, panel) + column % NN_PANEL;
}
static inline int64_t nn_tiles(int64_t rows) {
    return (rows + NN_TILE - 1) / NN_TILE;
}

/* c[m][n] = a[m][k] b (+ bias), b as panels of k x n; then relu, or zero where mask is not above 0.
 * lda, ldc: floats from one row of a or c to the next; 0: as many as it has columns. */
typedef struct nn_gemm {
    int64_t m, n, k;
    const float *a, *b;
    float *c;
    const float *bias; /* n, or NULL */
    const float *mask; /* m x n, or NULL */
    bool relu;
    bool add; /* to what c holds */
    int64_t lda, ldc;
} nn_gemm;

/* What an update of weights needs, in floats (engine/optimizer.h says what is computed). */
typedef struct nn_update_f {
    nn_optimizer_kind kind;
    bool amsgrad, nesterov, momentum, centered;
    float keep, rate, mu, rho, epsilon;
    float beta_1, beta_2, one_minus_beta_1, one_minus_beta_2;
    float on_mean, on_gradient, spread; /* Nadam */
    float power, l1, shrinkage, curve;  /* Ftrl: 2 * l2_shrinkage; 2 * l2 + beta / lr */
} nn_update_f;

/* Rows of a matrix product's gradient that are summed before they are added to what came before:
 * as many as stay in the caches. */
enum { NN_GRAD_ROWS = 256 };

/* dw (panels of k x n) = a[m][k]^T dy[m][n], and db[n] = column sums of dy. With `update` the
 * gradient is not kept: w and its state slots, laid out like dw, are updated by it; dw is written
 * only if m > NN_GRAD_ROWS. lda, ldd: as in nn_gemm, of a and dy. */
typedef struct nn_gemm_grad {
    int64_t m, n, k;
    const float *a, *dy;
    float *dw;
    float *db; /* n, or NULL */
    bool add;  /* to what dw (but not db) holds */
    int64_t lda, ldd;
    const nn_update_f *update;
    float *w, *slot[3];
} nn_gemm_grad;

/* What gemm_grad packs in, in floats: a panel of dy and, where many panels share it, a. */
enum { NN_SHARING_PANELS = 8 };
static inline int64_t nn_grad_pack_floats(int64_t m, int64_t n, int64_t k) {
    int64_t rows = m < NN_GRAD_ROWS ? m : NN_GRAD_ROWS;
    return rows * (NN_PANEL + (nn_panels(n) < NN_SHARING_PANELS ? 0 : nn_tiles(k) * NN_TILE));
}

/* Channels of a tensor in memory: element (s, c) of a row lies at
 * (c / block) * spatial * block + s * block + c % block. */
typedef struct nn_layout {
    int64_t spatial, channels, block;
} nn_layout;

/* One pooling of images in any layout: `planes` images of in[] places, each place `block` floats.
 * adaptive: window i of n over d runs from floor(i d / n) to ceil((i + 1) d / n), and sizes,
 * strides, dilations and pads mean nothing. */
typedef struct nn_pooling {
    int64_t block;
    int64_t in[3], out[3], size[3], stride[3], dilation[3], pad[3];
    bool adaptive;
} nn_pooling;

/* Images of in[] places, each made `factor` times as large along each axis. */
typedef struct nn_upsampling {
    int64_t block;
    int64_t in[3], factor[3];
    bool linear; /* between places, with half-pixel centres; else the nearest */
} nn_upsampling;

/* What the units of a recurrent cell do: a GRU without reset_after in two goes (gates, state). */
typedef enum nn_cell_kind {
    NN_CELL_SIMPLE,
    NN_CELL_LSTM,
    NN_CELL_GRU_AFTER,
    NN_CELL_GRU_GATES,
    NN_CELL_GRU_STATE,
    NN_CELL_COUNT
} nn_cell_kind;

typedef struct nn_cell_act {
    nn_act kind;
    float alpha;
} nn_cell_act;

/* Whether the slope is told by the function's value: of those made of straight lines too. */
static inline bool nn_cell_by_value(nn_act kind) {
    static const bool told[NN_ACT_COUNT] = {
        [NN_ACT_SIGMOID] = true,      [NN_ACT_TANH] = true,      [NN_ACT_LINEAR] = true,
        [NN_ACT_RELU] = true,         [NN_ACT_RELU6] = true,     [NN_ACT_LEAKY_RELU] = true,
        [NN_ACT_HARD_SIGMOID] = true, [NN_ACT_HARD_TANH] = true,
    };
    return told[kind];
}

/* One step of a recurrent cell for some of its rows and units. In memory a row of states has
 * `stride` floats, one of sums `lds`, a gate's `stride` floats after those of the gate before, and
 * one of inner `ldi`. Forward turns sums into the values of their functions, backward those into
 * the gradients of the sums. */
typedef struct nn_cell {
    int64_t rows, units, stride, lds, ldi;
    nn_cell_act act, gate;
    float *sums;
    float *raw;   /* keeps the sums; NULL: slopes are told by values */
    float *inner; /* GRU: h U + b2 of each gate (reset_after), or r h; LSTM: what forward adds
                     to the sums, or NULL */
    const float *before; /* h before the step */
    const float *c_before;
    float *c, *h;   /* after it */
    float *dh, *dc; /* gradients of these; dc becomes that of c_before */
    float *dbefore; /* GRU: the part of h's gradient that goes through no sum */
    float *dinner;  /* the gradient of r h */
} nn_cell;

typedef void nn_cell_fn(const nn_cell *c);
typedef void nn_map_fn(int64_t n, const float *x, float *y, float alpha);
typedef void nn_map_grad_fn(int64_t n, const float *x, const float *dy, float *dx, float alpha);

typedef void nn_pair_fn(int64_t n, const float *a, bool a_one, const float *b, bool b_one,
                        float *y);

typedef struct nn_kernels {
    const char *name;

    /* Items [begin, end) of nn_panels(n) * nn_tiles(m), panel after panel. */
    void (*gemm)(const nn_gemm *g, int64_t begin, int64_t end);
    /* Items [begin, end) of nn_panels(n) * nn_tiles(k); pack: nn_grad_pack_floats floats for this
     * thread. Returns whether all of the gradient is finite (true when it went into an
     * update). */
    bool (*gemm_grad)(const nn_gemm_grad *g, int64_t begin, int64_t end, float *pack);
    /* Panels [begin, end) of the n x k transpose bt of the k x n matrix b. */
    void (*transpose)(int64_t k, int64_t n, const float *b, float *bt, int64_t begin, int64_t end);

    nn_map_fn *map[NN_ACT_COUNT];           /* y = f(x); y may be x */
    nn_map_grad_fn *map_grad[NN_ACT_COUNT]; /* dx = dy f'(x); dx may be dy */
    /* Between two bounds; dx = 0 where x is not between them. */
    void (*bound)(int64_t n, const float *x, float low, float high, float *y);
    void (*bound_grad)(int64_t n, const float *x, float low, float high, const float *dy,
                       float *dx);
    /* alpha for each element; dalpha is added to, dx may be NULL. */
    void (*prelu)(int64_t n, const float *x, const float *alpha, float *y);
    void (*prelu_grad)(int64_t n, const float *x, const float *alpha, const float *dy, float *dx,
                       float *dalpha);
    /* dx = dy (NULL: 0) + l1 sign x + l2 x. */
    void (*penalty_grad)(int64_t n, const float *x, const float *dy, float l1, float l2, float *dx);
    /* Philox blocks from `counter` on: 4 draws each; writes up to 15 blocks more. */
    void (*draws)(uint64_t key, uint64_t stream, uint64_t counter, int64_t blocks, uint32_t *ret);
    void (*keep)(int64_t n, const uint32_t *draw, uint32_t threshold, float kept, float dropped,
                 float *y);
    void (*normals)(int64_t pairs, const uint32_t *draw, float *y); /* engine/noise.h */
    void (*relu_mask)(int64_t n, const float *y, float *dy);
    void (*add)(int64_t n, const float *x, float *y);
    void (*multiply)(int64_t n, const float *x, const float *by, float *y);
    /* y = a op b; a_one, b_one: the same element all along. y may be a or b. AVERAGE adds. */
    nn_pair_fn *merge[NN_MERGE_COUNT];
    /* g = dy where x is y and nothing was taken before, which takes it; else 0. */
    void (*pick)(int64_t n, const float *x, bool one, const float *y, const float *dy, float *taken,
                 float *g);
    float (*sum)(int64_t n, const float *x);
    float (*dot)(int64_t n, const float *a, const float *b);
    void (*add_scaled)(int64_t n, const float *x, float by, float *y);
    /* y[i * y_rows + j * y_columns] = x[i * x_rows + j * x_columns]. */
    void (*copy_plane)(int64_t rows, int64_t columns, const float *x, int64_t x_rows,
                       int64_t x_columns, float *y, int64_t y_rows, int64_t y_columns);
    bool (*all_finite)(int64_t n, const float *x);
    double (*sum_abs)(int64_t n, const float *x);
    double (*sum_square)(int64_t n, const float *x);
    float (*max_abs)(int64_t n, const float *x); /* NaN if one is */
    void (*softmax)(int64_t rows, int64_t n, const float *x, float *y, bool log_form);
    /* Cross-entropy of n logits with targets of `off` and, at the label, `more` on top of it; its
     * gradient times `scale` to dx (NULL: not wanted); whether the label has the first of the
     * highest scores. */
    double (*cross_entropy)(int64_t n, const float *x, int64_t label, float off, float more,
                            float scale, float *dx, bool *ret_right);
    void (*softmax_grad)(int64_t rows, int64_t n, const float *y, const float *dy, float *dx,
                         bool log_form);
    /* Gradient of l1 sum|w| + l2 sum w^2 added; clipped to [-limit, limit]; scaled. */
    void (*regularise)(int64_t n, const float *w, float *g, float l1, float l2);
    void (*clip)(int64_t n, float *g, float limit);
    void (*scale)(int64_t n, float *g, float by);
    void (*update)(const nn_update_f *u, int64_t n, float *w, const float *g, float *const slot[3]);

    /* Planes [begin, end). `at` keeps the window position of each maximum. */
    void (*max_pool)(const nn_pooling *p, const float *x, float *y, int32_t *at, int64_t begin,
                     int64_t end);
    void (*max_pool_grad)(const nn_pooling *p, const float *dy, const int32_t *at, float *dx,
                          int64_t begin, int64_t end);
    void (*avg_pool)(const nn_pooling *p, const float *x, float *y, int64_t begin, int64_t end);
    void (*avg_pool_grad)(const nn_pooling *p, const float *dy, float *dx, int64_t begin,
                          int64_t end);
    void (*upsample)(const nn_upsampling *p, const float *x, float *y, int64_t begin, int64_t end);
    void (*upsample_grad)(const nn_upsampling *p, const float *dy, float *dx, int64_t begin,
                          int64_t end);
    /* 2 x 2 windows side by side, no padding: `at` is one byte, 4 where the maximum is not above 0
     * (through a relu before the pooling no gradient passes there). */
    void (*max_pool_2x2)(const nn_pooling *p, const float *x, float *y, uint8_t *at, int64_t begin,
                         int64_t end);
    void (*max_pool_2x2_grad)(const nn_pooling *p, bool relu, const float *dy, const uint8_t *at,
                              float *dx, int64_t begin, int64_t end);

    /* Batch normalisation, rows [begin, end) in layout l. `sum` and others are one value a channel;
     * sums are added to, in double. */
    void (*channel_sums)(nn_layout l, int64_t begin, int64_t end, const float *x, double *sum);
    void (*channel_squares)(nn_layout l, int64_t begin, int64_t end, const float *x,
                            const float *mean, double *sum);
    /* y = (x - mean) factor + shift, by channel. */
    void (*channel_affine)(nn_layout l, int64_t begin, int64_t end, const float *x,
                           const float *mean, const float *factor, const float *shift, bool relu,
                           float *y);
    /* sum[c] += sum dy; dot[c] += sum dy (x - mean). */
    void (*channel_dots)(nn_layout l, int64_t begin, int64_t end, const float *x, const float *dy,
                         const float *mean, double *sum, double *dot);
    /* Vectors of n by themselves: y = (x - mean) factor gamma + beta, gamma and beta NULL: 1 and 0.
     * Mean and factor = 1 / sqrt(variance + epsilon) of each are kept for the gradient. */
    void (*layer_norm)(int64_t vectors, int64_t n, const float *x, const float *gamma,
                       const float *beta, float epsilon, float *mean, float *factor, float *y);
    /* dgamma and dbeta (n each, either NULL) are added to; dx may be NULL. */
    void (*layer_norm_grad)(int64_t vectors, int64_t n, const float *x, const float *dy,
                            const float *gamma, const float *mean, const float *factor, float *dx,
                            double *dgamma, double *dbeta);
    /* dx = a dy + b (x - mean) + c, by channel. */
    void (*channel_combine)(nn_layout l, int64_t begin, int64_t end, const float *x,
                            const float *dy, const float *mean, const float *a, const float *b,
                            const float *c, float *dx);

    /* Scores x[n], times factor, become weights: softmax over the first `limit` that are seen
     * (`seen` not 0; NULL: all), 0 elsewhere. False: none is seen, and all weigh alike. */
    bool (*attend)(int64_t n, int64_t limit, const float *seen, float factor, float *x);
    /* d, the gradient of w times kept (NULL: 1), becomes factor times that of the scores. */
    void (*attend_grad)(int64_t n, const float *w, const float *kept, float factor, float *d);
    /* y[j] = sum over d of learned[d] (NULL: 1) tanh(q[d] + k[j][d]); kt: panels of size x n. */
    void (*additive)(int64_t n, int64_t size, const float *q, const float *kt, const float *learned,
                     float *y);
    /* Sets dq, adds to the others. */
    void (*additive_grad)(int64_t n, int64_t size, const float *q, const float *kt,
                          const float *learned, const float *dy, float *dq, float *dkt,
                          float *dlearned);

    nn_cell_fn *const *cell, *const *cell_grad; /* by nn_cell_kind */
} nn_kernels;

/* The tables that this processor runs, best first; NULL behind the last. */
const nn_kernels *nn_kernels_at(unsigned i);
extern const nn_kernels nn_kernels_avx512, nn_kernels_avx2, nn_kernels_base;
#endif
