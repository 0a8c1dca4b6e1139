/* SPDX-License-Identifier: MIT */
/* merge_impl.h - functions of two rows of elements, sums, and copies of boxes; part of
 * kernels_impl.h. */
#ifndef NN_ENGINE_NATIVE_MERGE_IMPL_H
#define NN_ENGINE_NATIVE_MERGE_IMPL_H

/* y = a op b, where `one` marks an operand of a single element. */
#define PAIR(name, op)                                                                             \
    static void merge_##name(int64_t n, const float *a, bool a_one, const float *b, bool b_one,    \
                             float *y) {                                                           \
        float u = *a, v = *b;                                                                      \
        if (a_one && b_one)                                                                        \
            IN_PLACE for (int64_t i = 0; i < n; i++) y[i] = op(u, v);                              \
        else if (a_one)                                                                            \
            IN_PLACE for (int64_t i = 0; i < n; i++) y[i] = op(u, b[i]);                           \
        else if (b_one)                                                                            \
            IN_PLACE for (int64_t i = 0; i < n; i++) y[i] = op(a[i], v);                           \
        else                                                                                       \
            IN_PLACE for (int64_t i = 0; i < n; i++) y[i] = op(a[i], b[i]);                        \
    }

INLINE float plus_f(float a, float b) {
    return a + b;
}
INLINE float minus_f(float a, float b) {
    return a - b;
}
INLINE float times_f(float a, float b) {
    return a * b;
}
/* The first of equal ones; one that is not a number wins. */
INLINE float more_f(float a, float b) {
    return b > a || b != b ? b : a;
}
INLINE float less_f(float a, float b) {
    return b < a || b != b ? b : a;
}
PAIR(add, plus_f)
PAIR(subtract, minus_f)
PAIR(multiply, times_f)
PAIR(average, plus_f)
PAIR(maximum, more_f)
PAIR(minimum, less_f)

static void pick(int64_t n, const float *x, bool one, const float *y, const float *dy, float *taken,
                 float *g) {
    float v = *x;
    for (int64_t i = 0; i < n; i++) {
        bool hit = taken[i] == 0 && (one ? v : x[i]) == y[i];
        g[i] = hit ? dy[i] : 0;
        taken[i] = hit ? 1 : taken[i];
    }
}

static float sum(int64_t n, const float *x) {
    return total(n, x);
}

static float dot(int64_t n, const float *a, const float *b) {
    float part[LANES] = {0}, all = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) part[j] += a[i + j] * b[i + j];
    for (int j = 0; i < n; i++, j++) part[j] += a[i] * b[i];
    for (int j = 0; j < LANES; j++) all += part[j];
    return all;
}

static void add_scaled(int64_t n, const float *x, float by, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] += by * x[i];
}

/* y[i * y_rows + j] = x[i + j * x_columns], in tiles that both fit the first cache. */
INLINE void turn(int64_t rows, int64_t columns, const float *x, int64_t x_columns, float *y,
                 int64_t y_rows) {
    for (int64_t i = 0; i < rows; i += 16)
        for (int64_t j = 0; j < columns; j += 16) {
            int64_t di = rows - i < 16 ? rows - i : 16, dj = columns - j < 16 ? columns - j : 16;
            const float *from = x + i + j * x_columns;
            float *to = y + i * y_rows + j;
            for (int64_t a = 0; a < di; a++)
                for (int64_t b = 0; b < dj; b++) to[a * y_rows + b] = from[a + b * x_columns];
        }
}

static void copy_plane(int64_t rows, int64_t columns, const float *x, int64_t x_rows,
                       int64_t x_columns, float *y, int64_t y_rows, int64_t y_columns) {
    if (x_rows == 1 && y_columns == 1 && x_columns != 1) {
        turn(rows, columns, x, x_columns, y, y_rows);
        return;
    }
    if (x_columns == 1 && y_rows == 1 && y_columns != 1) {
        turn(columns, rows, x, x_rows, y, y_columns);
        return;
    }
    for (int64_t i = 0; i < rows; i++) {
        const float *from = x + i * x_rows;
        float *to = y + i * y_rows;
        if (x_columns == 1 && y_columns == 1)
            for (int64_t j = 0; j < columns; j++) to[j] = from[j];
        else
            for (int64_t j = 0; j < columns; j++) to[j * y_columns] = from[j * x_columns];
    }
}
#endif
