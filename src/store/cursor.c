/* SPDX-License-Identifier: MIT */
/* Cursors: the sort values of a page's last row, as hexadecimal digits of a JSON list. Opaque to
 * clients; whatever they send back only ever becomes a parameter of a comparison. */
#include "store/store_impl.h"

#include <string.h>

enum { CURSOR_MAX = 4096 };

const char *nn_rows_cursor(const nn_rows *r, const nn_sort *sort, int n_sort, nn_arena *a) {
    if (!r->more || !r->n) return NULL;
    nn_row last = nn_rows_at(r, r->n - 1);
    NN_BUF json = {0}, hex = {0};
    nn_jw w = {.out = &json};
    nn_jw_arr(&w);
    for (int i = 0; i < n_sort; i++) {
        const nn_cell *c = &last.cells[nn_column_find(r->table, sort[i].column)];
        if (c->type == NN_CELL_INT)
            nn_jw_int(&w, c->i);
        else if (c->type == NN_CELL_REAL)
            nn_jw_num(&w, c->r);
        else
            nn_jw_str(&w, nn_row_text(last, sort[i].column));
    }
    nn_jw_end_arr(&w);
    for (size_t i = 0; i < json.n; i++) nn_buf_printf(&hex, "%02x", (unsigned char)json.p[i]);
    return nn_arena_strdup(a, nn_buf_str(&hex));
}

static int digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static nn_status damaged(nn_err *err) {
    nn_status s = nn_fail(err, NN_E_INVALID_REQUEST, "cursor: not one that this server gave");
    return nn_err_hint(err, s, "pass next_cursor of the previous page, or leave it out");
}

nn_status nn_cursor_read(const char *cursor, nn_cell *cells, int n, nn_arena *a, nn_err *err) {
    size_t len = strlen(cursor);
    char text[CURSOR_MAX / 2];
    if (len % 2 || len > CURSOR_MAX) return damaged(err);
    for (size_t i = 0; i < len; i += 2) {
        int high = digit(cursor[i]), low = digit(cursor[i + 1]);
        if (high < 0 || low < 0) return damaged(err);
        text[i / 2] = (char)(high * 16 + low);
    }
    NN_JSON *v = NULL;
    if (nn_json_parse(text, len / 2, &v, NULL) != NN_OK || nn_json_typeof(v) != NN_JSON_ARRAY ||
        nn_json_size(v) != (size_t)n)
        return damaged(err);
    for (int i = 0; i < n; i++) {
        nn_json *e = nn_json_at(v, (size_t)i);
        switch (nn_json_typeof(e)) {
        case NN_JSON_INT:
            cells[i] = nn_cell_int(nn_json_int(e, 0));
            break;
        case NN_JSON_REAL:
            cells[i] = nn_cell_real(nn_json_num(e, 0));
            break;
        case NN_JSON_STRING:
            cells[i] = nn_cell_text(nn_arena_strdup(a, nn_json_str(e, "")));
            break;
        default:
            return damaged(err);
        }
    }
    return NN_OK;
}
