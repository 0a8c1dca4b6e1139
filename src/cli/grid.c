/* SPDX-License-Identifier: MIT */
/* grid.c - columns that stay in line whatever script their cells are written in; numbers and sizes
 * as people read them. */
#include "cli/cli.h"
#include "lang/cells.h"

#include <stdint.h>
#include <string.h>

/* One character of s: its cells, and its bytes in *ret_size. Bad bytes and what a terminal would
 * obey count as one. */
static int next_cell(const char *s, int *ret_size, bool *ret_unsafe) {
    uint32_t c = 0;
    int n = nn_char_read(s, strlen(s), &c);
    *ret_size = n ? n : 1;
    *ret_unsafe = !n || nn_char_unsafe(c);
    return *ret_unsafe ? 1 : nn_char_width(c);
}

int nn_print_cells(const char *s) {
    int cells = 0, size;
    bool unsafe;
    for (; *s; s += size) cells += next_cell(s, &size, &unsafe);
    return cells;
}

static void put_text(const char *s, nn_buf *out) {
    int size;
    bool unsafe;
    for (; *s; s += size) {
        next_cell(s, &size, &unsafe);
        if (unsafe)
            nn_buf_puts(out, "\xef\xbf\xbd");
        else
            nn_buf_append(out, s, (size_t)size);
    }
}

void nn_grid_add(nn_grid *t, const char *cell) {
    nn_buf_append(&t->cells, cell, strlen(cell) + 1);
}

void nn_grid_print(const nn_grid *t, nn_buf *out) {
    enum { MOST = 16 };
    int columns = (int)strlen(t->align), width[MOST] = {0}, column = 0;
    const char *end = t->cells.p + t->cells.n;
    if (columns > MOST || !t->cells.n) return;
    for (const char *p = t->cells.p; p < end; p += strlen(p) + 1, column++) {
        int cells = nn_print_cells(p), *w = &width[column % columns];
        if (cells > *w) *w = cells;
    }
    column = 0;
    for (const char *p = t->cells.p; p < end; p += strlen(p) + 1, column++) {
        int i = column % columns, room = width[i] - nn_print_cells(p);
        bool right = t->align[i] == 'r', last = i + 1 == columns;
        nn_buf_printf(out, "%*s", (i ? 2 : 0) + (right ? room : 0), "");
        put_text(p, out);
        if (!right && !last) nn_buf_printf(out, "%*s", room, "");
        if (!last) continue;
        while (out->n && out->p[out->n - 1] == ' ') out->p[--out->n] = 0;
        nn_buf_putc(out, '\n');
    }
}

void nn_grid_done(nn_grid *t) {
    nn_buf_done(&t->cells);
}

const char *nn_print_bytes(int64_t n, char buf[32]) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double v = (double)n;
    int u = 0;
    for (; v >= 1024 && u < 6; u++) v /= 1024;
    if (n < 0)
        snprintf(buf, 32, "?");
    else
        snprintf(buf, 32, "%.*f %s", u && v < 100, v, units[u]);
    return buf;
}

const char *nn_print_known(int64_t n, char buf[32]) {
    if (n < 0) snprintf(buf, 32, "?");
    return n < 0 ? buf : nn_print_count(n, buf);
}

nn_status nn_print_json(nn_json *v, nn_err *err) {
    NN_BUF out = {0};
    nn_json_dump(v, 2, &out);
    nn_buf_putc(&out, '\n');
    nn_json_unref(v);
    return nn_print(nn_buf_str(&out), out.n, err);
}
