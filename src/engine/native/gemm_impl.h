/* SPDX-License-Identifier: MIT */
/* gemm_impl.h - matrix products over panels; part of kernels_impl.h.
 *
 * A register tile is NN_TILE rows by up to two vectors: 16 accumulators, enough to hide the latency
 * of a fused multiply-add, and with 8 scalar broadcasts a step few enough loads. The depth is cut
 * into chunks so that the piece of the panel that all row blocks share stays in the second-level
 * cache, and the rows into blocks that all panels share there. Sums run over k in order, whatever
 * the split, so a row's result depends on nothing else.
 */
#ifndef NN_ENGINE_NATIVE_GEMM_IMPL_H
#define NN_ENGINE_NATIVE_GEMM_IMPL_H
#include "engine/native/update_impl.h"

enum { DEPTH_CHUNK = 1024, BLOCK_FLOATS = 1 << 16 };

/* t[i][0..nv vectors) (+)= sum_p a[i * rs + p * cs] * b[p * ldb + ...] for `mr` rows. */
INLINE void micro(const int mr, const int nv, int64_t k, const float *restrict a, int64_t rs,
                  int64_t cs, const float *restrict b, int64_t ldb, float *restrict t, int64_t ldt,
                  bool add) {
    vf c[NN_TILE][2];
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < nv; j++) c[i][j] = add ? load(t + i * ldt + j * VL) : (vf){0};
    for (int64_t p = 0; p < k; p++) {
        vf bv[2];
        for (int j = 0; j < nv; j++) bv[j] = load(b + j * VL);
        UNROLL for (int i = 0; i < mr; i++) {
            float s = a[i * rs];
            for (int j = 0; j < nv; j++) c[i][j] += s * bv[j];
        }
        a += cs;
        b += ldb;
    }
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < nv; j++) store(t + i * ldt + j * VL, c[i][j]);
}

#define MICRO_CASE(n)                                                                              \
    case n:                                                                                        \
        micro(n, nv, k, a, rs, cs, b, ldb, t, ldt, add);                                           \
        return;

INLINE void micro_rows(int64_t m, const int nv, int64_t k, const float *a, int64_t rs, int64_t cs,
                       const float *b, int64_t ldb, float *t, int64_t ldt, bool add) {
    switch (m) {
        MICRO_CASE(1)
        MICRO_CASE(2)
        MICRO_CASE(3)
        MICRO_CASE(4)
        MICRO_CASE(5)
        MICRO_CASE(6)
        MICRO_CASE(7)
        MICRO_CASE(8)
    }
}

/* The tile of m <= NN_TILE rows over a whole panel row. Not inlined: one copy of each case. */
static __attribute__((noinline)) void tile_any(int64_t m, int64_t width, int64_t k, const float *a,
                                               int64_t rs, int64_t cs, const float *b, float *t,
                                               int64_t ldt, bool add) {
    for (int64_t j = 0; j < width; j += 2 * VL) {
        if (width - j >= 2 * VL)
            micro_rows(m, 2, k, a, rs, cs, b + j, width, t + j, ldt, add);
        else
            micro_rows(m, 1, k, a, rs, cs, b + j, width, t + j, ldt, add);
    }
}

/* ---- c = a b ---- */

/* Columns of a panel that exist. */
INLINE int64_t panel_columns(int64_t n, int64_t panel) {
    int64_t left = n - panel * NN_PANEL;
    return left < NN_PANEL ? left : NN_PANEL;
}

INLINE int64_t stride_or(int64_t stride, int64_t columns) {
    return stride ? stride : columns;
}

INLINE void finish_row(const nn_gemm *g, int64_t columns, const float *t, int64_t row,
                       int64_t column) {
    float *c = g->c + row * stride_or(g->ldc, g->n) + column;
    int64_t mask = row * g->n + column;
    for (int64_t j = 0; j < columns; j++) {
        float v = t[j] + (g->bias ? g->bias[column + j] : 0);
        if (g->relu) v = v < 0 ? 0 : v;
        if (g->mask) v = g->mask[mask + j] > 0 ? v : 0;
        c[j] = v;
    }
}

static void gemm_block(const nn_gemm *g, int64_t panel, int64_t row, int64_t k0, int64_t k1,
                       const float *b) {
    float t[NN_TILE * NN_PANEL] ALIGNED;
    int64_t m = g->m - row < NN_TILE ? g->m - row : NN_TILE;
    int64_t width = nn_panel_width(g->n, panel), columns = panel_columns(g->n, panel);
    int64_t lda = stride_or(g->lda, g->k), ldc = stride_or(g->ldc, g->n);
    float *c = g->c + row * ldc + panel * NN_PANEL;
    bool add = k0 > 0 || g->add, plain = !g->bias && !g->relu && !g->mask;
    if (columns == width && (plain || k1 < g->k)) { /* in their place */
        tile_any(m, width, k1 - k0, g->a + row * lda + k0, lda, 1, b + k0 * width, c, ldc, add);
        return;
    }
    if (add)
        for (int64_t i = 0; i < m; i++) {
            memset(t + i * width, 0, (size_t)width * sizeof *t);
            memcpy(t + i * width, c + i * ldc, (size_t)columns * sizeof *t);
        }
    tile_any(m, width, k1 - k0, g->a + row * lda + k0, lda, 1, b + k0 * width, t, width, add);
    for (int64_t i = 0; i < m; i++) {
        if (k1 < g->k)
            memcpy(c + i * ldc, t + i * width, (size_t)columns * sizeof *t);
        else if (columns == NN_PANEL)
            finish_row(g, NN_PANEL, t + i * width, row + i, panel * NN_PANEL);
        else
            finish_row(g, columns, t + i * width, row + i, panel * NN_PANEL);
    }
}

/* A single row: as many whole panels at once as give 8 accumulators, or the latency of the adds
 * would decide. The order of each sum is that of the tiles. */
enum { ROW_PANELS = VL / 4, PANEL_VECTORS = NN_PANEL / VL };

INLINE void row_panels(const int panels, const nn_gemm *g, const float *b, float *restrict t) {
    vf c[ROW_PANELS][PANEL_VECTORS] = {{{0}}};
    for (int i = 0; i < panels && g->add; i++)
        for (int j = 0; j < PANEL_VECTORS; j++) c[i][j] = load(t + i * NN_PANEL + j * VL);
    for (int64_t p = 0; p < g->k; p++) {
        float s = g->a[p];
        UNROLL for (int i = 0; i < panels; i++) for (int j = 0; j < PANEL_VECTORS; j++) c[i][j] +=
            s * load(b + (i * g->k + p) * NN_PANEL + j * VL);
    }
    for (int i = 0; i < panels; i++)
        for (int j = 0; j < PANEL_VECTORS; j++) store(t + i * NN_PANEL + j * VL, c[i][j]);
}

static void gemm_row(const nn_gemm *g, int64_t begin, int64_t end) {
    float t[ROW_PANELS * NN_PANEL] ALIGNED;
    int64_t whole = g->n / NN_PANEL;
    while (begin < end) {
        const float *b = g->b + begin * NN_PANEL * g->k;
        int64_t left = (whole < end ? whole : end) - begin, n = left >= ROW_PANELS ? ROW_PANELS : 1;
        if (left < 1) {
            gemm_block(g, begin, 0, 0, g->k, b);
            return; /* it was the last panel */
        }
        if (g->add) memcpy(t, g->c + begin * NN_PANEL, (size_t)n * NN_PANEL * sizeof *t);
        if (n > 1)
            row_panels(ROW_PANELS, g, b, t);
        else
            row_panels(1, g, b, t);
        finish_row(g, n * NN_PANEL, t, 0, begin * NN_PANEL);
        begin += n;
    }
}

/* Tiles [first, last) of a panel. */
static void gemm_panel(const nn_gemm *g, int64_t panel, int64_t first, int64_t last) {
    const float *b = g->b + panel * NN_PANEL * g->k;
    for (int64_t k0 = 0; k0 < g->k; k0 += DEPTH_CHUNK) {
        int64_t k1 = k0 + DEPTH_CHUNK < g->k ? k0 + DEPTH_CHUNK : g->k;
        for (int64_t i = first; i < last; i++) gemm_block(g, panel, i * NN_TILE, k0, k1, b);
    }
}

static void gemm(const nn_gemm *g, int64_t begin, int64_t end) {
    int64_t tiles = nn_tiles(g->m), depth = g->k < DEPTH_CHUNK ? g->k : DEPTH_CHUNK;
    int64_t block = BLOCK_FLOATS / (depth * NN_TILE) + 1;
    if (g->m == 1) {
        gemm_row(g, begin, end);
        return;
    }
    for (int64_t b0 = 0; b0 < tiles && begin < end; b0 += block) {
        int64_t b1 = b0 + block < tiles ? b0 + block : tiles;
        for (int64_t panel = begin / tiles; panel <= (end - 1) / tiles; panel++) {
            int64_t from = begin - panel * tiles, to = end - panel * tiles; /* its tiles here */
            gemm_panel(g, panel, from > b0 ? from : b0, to < b1 ? to : b1);
        }
    }
}

/* ---- dw = a^T dy ---- */

/* Rows [begin, begin + rows) of a gradient, with what is packed of them. */
typedef struct grad_rows {
    int64_t begin, rows;
    const float *a; /* packed by tiles, or NULL */
    float *dy;      /* packed columns of a panel */
    bool first, last;
} grad_rows;

/* The panel's columns of dy, packed so that the tiles walk them with unit stride; their sums. */
static void pack_columns(const nn_gemm_grad *g, const grad_rows *r, int64_t panel, bool sums) {
    int64_t width = nn_panel_width(g->n, panel), columns = panel_columns(g->n, panel);
    int64_t ldd = stride_or(g->ldd, g->n);
    float sum[NN_PANEL] ALIGNED = {0}, *db = sums ? g->db + panel * NN_PANEL : NULL;
    if (sums && !r->first) memcpy(sum, db, (size_t)columns * sizeof sum[0]);
    for (int64_t i = 0; i < r->rows; i++) {
        const float *row = g->dy + (r->begin + i) * ldd + panel * NN_PANEL;
        float *to = r->dy + i * width;
        if (columns == NN_PANEL) {
            for (int64_t j = 0; j < NN_PANEL; j++) to[j] = row[j];
            for (int64_t j = 0; j < NN_PANEL; j++) sum[j] += row[j];
            continue;
        }
        for (int64_t j = 0; j < columns; j++) to[j] = row[j];
        for (int64_t j = columns; j < width; j++) to[j] = 0;
        for (int64_t j = 0; j < columns; j++) sum[j] += row[j];
    }
    if (sums) memcpy(db, sum, (size_t)columns * sizeof sum[0]);
}

/* The rows' part of a, its tiles one after the other: a few rows at a time, so that neither reading
 * nor writing touches many places at once. */
enum { PACK_ROWS = 16 };

static void pack_tiles(const nn_gemm_grad *g, const grad_rows *r, float *to) {
    int64_t lda = stride_or(g->lda, g->k);
    const float *a = g->a + r->begin * lda;
    for (int64_t i0 = 0; i0 < r->rows; i0 += PACK_ROWS) {
        int64_t i1 = i0 + PACK_ROWS < r->rows ? i0 + PACK_ROWS : r->rows;
        for (int64_t column = 0; column < g->k; column += NN_TILE) {
            float *p = to + column * r->rows;
            int64_t n = g->k - column;
            for (int64_t i = i0; i < i1; i++)
                if (n >= NN_TILE)
                    memcpy(p + i * NN_TILE, a + i * lda + column, NN_TILE * sizeof *p);
                else
                    for (int64_t j = 0; j < NN_TILE; j++)
                        p[i * NN_TILE + j] = j < n ? a[i * lda + column + j] : 0;
        }
    }
}

/* 0 * x is NaN where x is not finite, so one sum tells about all of them. */
INLINE bool run_is_finite(int64_t n, const float *x) {
    vf sum = {0};
    for (int64_t i = 0; i < n; i += VL) sum += load(x + i) * 0.0f;
    float s = 0;
    for (int j = 0; j < VL; j++) s += sum[j];
    return s == 0;
}

enum { FAR_BYTES = 8 << 20 };

/* Whether weights and state of the layer lie far away, so that an update would wait for them. */
static bool is_far(const nn_gemm_grad *g) {
    int arrays = 1;
    for (int i = 0; i < 3; i++) arrays += g->slot[i] != NULL;
    return g->update && arrays * g->k * g->n * (int64_t)sizeof *g->w > FAR_BYTES;
}

/* They come into the cache while the block of the gradient is computed. */
static void fetch_block(const nn_gemm_grad *g, int64_t at, int64_t n) {
    for (int64_t i = 0; i < n; i += 16) {
        __builtin_prefetch(g->w + at + i, 1);
        for (int k = 0; k < 3; k++)
            if (g->slot[k]) __builtin_prefetch(g->slot[k] + at + i, 1);
    }
}

static bool grad_block(const nn_gemm_grad *g, const grad_rows *r, int64_t panel, int64_t tile) {
    float t[NN_TILE * NN_PANEL] ALIGNED;
    int64_t row = tile * NN_TILE, m = g->k - row < NN_TILE ? g->k - row : NN_TILE;
    int64_t width = nn_panel_width(g->n, panel), lda = stride_or(g->lda, g->k);
    int64_t at = panel * NN_PANEL * g->k + row * width, n = m * width;
    if (r->last && is_far(g)) fetch_block(g, at, n);
    bool add = !r->first || g->add, updates = g->update && r->last;
    float *to = updates ? t : g->dw + at;
    if (updates && add) memcpy(t, g->dw + at, (size_t)n * sizeof *t);
    if (r->a)
        tile_any(m, width, r->rows, r->a + row * r->rows, 1, NN_TILE, r->dy, to, width, add);
    else
        tile_any(m, width, r->rows, g->a + r->begin * lda + row, 1, lda, r->dy, to, width, add);
    if (!updates) return !r->last || run_is_finite(n, to);
    float *slot[3];
    for (int i = 0; i < 3; i++) slot[i] = g->slot[i] ? g->slot[i] + at : NULL;
    update(g->update, n, g->w + at, t, slot);
    return true;
}

/* The rows' part of items [begin, end). */
static bool grad_part(const nn_gemm_grad *g, const grad_rows *r, int64_t begin, int64_t end) {
    int64_t tiles = nn_tiles(g->k), packed = -1;
    bool finite = true;
    for (int64_t i = begin; i < end; i++) {
        int64_t panel = i / tiles, tile = i % tiles;
        if (panel != packed) pack_columns(g, r, panel, g->db && tile == 0);
        packed = panel;
        finite &= grad_block(g, r, panel, tile);
    }
    return finite;
}

static bool gemm_grad(const nn_gemm_grad *g, int64_t begin, int64_t end, float *pack) {
    int64_t tiles = nn_tiles(g->k);
    bool finite = true, shared = end - begin >= NN_SHARING_PANELS * tiles;
    for (int64_t m = 0; m < g->m; m += NN_GRAD_ROWS) {
        int64_t rows = g->m - m < NN_GRAD_ROWS ? g->m - m : NN_GRAD_ROWS;
        float *a = pack + rows * NN_PANEL;
        grad_rows r = {m, rows, NULL, pack, m == 0, m + rows == g->m};
        if (shared) {
            pack_tiles(g, &r, a);
            r.a = a;
        }
        finite = grad_part(g, &r, begin, end);
    }
    return finite;
}

/* ---- transpose ---- */

/* A 16 x 16 block, by halves: after log2(16) rounds of swapping off-diagonal quarters element (i,
 * j) is at (j, i). Written over vectors of 16 so that it stays in registers where those exist. */
typedef float v16 __attribute__((vector_size(64), aligned(4), may_alias));

#define SWAP_ROUND(d, lo, hi)                                                                      \
    for (int i = 0; i < 16; i++)                                                                   \
        if (!(i & (d))) {                                                                          \
            v16 a = r[i], b = r[i + (d)];                                                          \
            r[i] = __builtin_shufflevector(a, b, lo);                                              \
            r[i + (d)] = __builtin_shufflevector(a, b, hi);                                        \
        }
#define LO8 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23
#define HI8 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31
#define LO4 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27
#define HI4 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31
#define LO2 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define HI2 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define LO1 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30
#define HI1 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31

static void transpose_16(const float *from, int64_t ldf, float *to, int64_t ldt) {
    v16 r[16];
    for (int i = 0; i < 16; i++) r[i] = *(const v16 *)(from + i * ldf);
    SWAP_ROUND(8, LO8, HI8)
    SWAP_ROUND(4, LO4, HI4)
    SWAP_ROUND(2, LO2, HI2)
    SWAP_ROUND(1, LO1, HI1)
    for (int i = 0; i < 16; i++) *(v16 *)(to + i * ldt) = r[i];
}

/* Rows [k0, k0 + rows) x columns [n0, n0 + columns) of b, an edge that has no full block. */
static void transpose_edge(int64_t k, int64_t n, const float *b, float *bt, int64_t k0,
                           int64_t n0) {
    for (int64_t j = n0; j < n0 + 16 && j < n; j++)
        for (int64_t i = k0; i < k0 + 16; i++) {
            int64_t panel = i / NN_PANEL, width = nn_panel_width(k, panel);
            bt[panel * NN_PANEL * n + j * width + i % NN_PANEL] =
                i < k ? b[nn_panel_at(k, n, i, j)] : 0;
        }
}

static void transpose(int64_t k, int64_t n, const float *b, float *bt, int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; panel++) {
        int64_t width = nn_panel_width(k, panel);
        for (int64_t k0 = panel * NN_PANEL; k0 < panel * NN_PANEL + width; k0 += 16)
            for (int64_t n0 = 0; n0 < n; n0 += 16) {
                if (k0 + 16 > k || n0 + 16 > n) {
                    transpose_edge(k, n, b, bt, k0, n0);
                    continue;
                }
                const float *from = b + nn_panel_at(k, n, k0, n0);
                float *to = bt + panel * NN_PANEL * n + n0 * width + k0 % NN_PANEL;
                transpose_16(from, nn_panel_width(n, n0 / NN_PANEL), to, width);
            }
    }
}
#endif
