/* SPDX-License-Identifier: MIT */
/* columns.c - see columns.h. Nothing is guessed: a text among numbers is an error unless the
 * options call its column one of categories. */
#include "data/columns.h"

#include "base/utf8.h"
#include "data/options.h"

#include <ctype.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_CATEGORIES = 10000 };

/* ---- different texts ---- */

static uint64_t hash(const nn_cell *c) { /* FNV-1a */
    uint64_t h = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < c->n; i++) h = (h ^ (unsigned char)c->p[i]) * UINT64_C(1099511628211);
    return h;
}

static bool same(const nn_cell *a, const nn_cell *b) {
    return a->n == b->n && memcmp(a->p, b->p, a->n) == 0;
}

/* The slot of the cell, or the free one where it belongs. */
static size_t find_slot(const nn_words *w, const nn_cell *c) {
    size_t i = hash(c) & (w->slots - 1);
    while (w->slot[i] && !same(&w->word[w->slot[i] - 1], c)) i = (i + 1) & (w->slots - 1);
    return i;
}

static void rehash(nn_words *w, size_t slots) {
    free(w->slot);
    w->slots = slots;
    w->slot = calloc(slots, sizeof *w->slot);
    if (!w->slot) abort();
    for (int64_t i = 0; i < w->n; i++) w->slot[find_slot(w, &w->word[i])] = (uint32_t)(i + 1);
}

int64_t nn_words_find(const nn_words *w, const nn_cell *c) {
    return w->n ? (int64_t)w->slot[find_slot(w, c)] - 1 : -1;
}

bool nn_words_add(nn_words *w, const nn_cell *cell, int64_t most) {
    if (nn_words_find(w, cell) >= 0) return true;
    if (w->n == most) return false;
    if (w->n == w->room) {
        w->room = w->room ? 2 * w->room : 16;
        w->word = realloc(w->word, (size_t)w->room * sizeof *w->word);
        if (!w->word) abort();
    }
    char *copy = malloc(cell->n + 1);
    if (!copy) abort();
    if (cell->n) memcpy(copy, cell->p, cell->n);
    w->word[w->n++] = (nn_cell){copy, cell->n};
    if ((size_t)w->n * 2 > w->slots)
        rehash(w, w->slots ? 2 * w->slots : 64);
    else
        w->slot[find_slot(w, cell)] = (uint32_t)w->n;
    return true;
}

void nn_words_done(nn_words *w) {
    for (int64_t i = 0; i < w->n; i++) free(w->word[i].p);
    free(w->word);
    free(w->slot);
    *w = (nn_words){0};
}

int nn_cells_by_text(const void *a, const void *b) {
    const nn_cell *x = a, *y = b;
    int c = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);
    return c ? c : (x->n > y->n) - (x->n < y->n);
}

int nn_cells_by_number(const void *a, const void *b) {
    double x = 0, y = 0;
    nn_csv_number(a, &x);
    nn_csv_number(b, &y);
    return (x > y) - (x < y);
}

/* ---- options ---- */

static bool keep(char **to, const char *v) {
    free(*to);
    *to = strdup(v);
    return *v != 0;
}
static bool set_label(void *to, const char *v) {
    return keep(&((nn_table_options *)to)->label, v);
}
static bool set_ignore(void *to, const char *v) {
    return keep(&((nn_table_options *)to)->ignore, v);
}
static bool set_categories(void *to, const char *v) {
    return keep(&((nn_table_options *)to)->categories, v);
}
static bool set_index(void *to, const char *v) {
    return keep(&((nn_table_options *)to)->index, v);
}
static bool set_scale(void *to, const char *v) {
    return keep(&((nn_table_options *)to)->scale, v);
}
static bool set_missing(void *to, const char *v) {
    nn_table_options *o = to;
    int i = nn_data_word(v, (const char *const[]){"error", "drop", "mean", NULL});
    if (i < 0) {
        i = NN_MISSING_VALUE;
        if (!nn_data_num(v, (double)-FLT_MAX, (double)FLT_MAX, &o->value)) return false;
    }
    o->missing = i;
    return true;
}

static const nn_data_param params[] = {
    {"label",      "the name or number of a column",                         set_label     },
    {"ignore",     "columns joined by +",                                    set_ignore    },
    {"categories", "columns joined by +, or *, or column(one|another)",      set_categories},
    {"index",      "columns joined by +, or column(one|another)",            set_index     },
    {"scale",      "column*factor, joined by +",                             set_scale     },
    {"missing",    "error, drop, mean or the number that stands for a cell", set_missing   },
};

nn_status nn_table_options_read(const nn_data_request *q, nn_table_options *ret, nn_err *err) {
    return nn_data_params(q, "csv", params, sizeof params / sizeof *params, ret, err);
}

void nn_table_options_done(nn_table_options *o) {
    free(o->label);
    free(o->ignore);
    free(o->categories);
    free(o->index);
    free(o->scale);
}

/* ---- which column is what ---- */

static bool is_word(const nn_cell *c, const char *word) {
    return c->n == strlen(word) && strncasecmp(c->p, word, c->n) == 0;
}

int64_t nn_columns_find_label(const nn_cell *cells, int64_t n) {
    static const char *const words[] = {"label", "target", "class", "y"};
    for (size_t w = 0; w < sizeof words / sizeof *words; w++)
        for (int64_t i = 0; i < n; i++)
            if (is_word(&cells[i], words[w])) return i;
    return -1;
}

bool nn_cell_missing(const nn_cell *c) {
    static const char *const marks[] = {"", "?", "na", "n/a", "nan", "null", "none"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (is_word(c, marks[i])) return true;
    return false;
}

/* By name, else by number from 1. */
static nn_status find_column(const nn_columns *c, const char *p, size_t n, int64_t *ret,
                             nn_err *err) {
    char text[24];
    for (int64_t i = 0; i < c->n; i++)
        if (strlen(c->column[i].name) == n && n && strncasecmp(c->column[i].name, p, n) == 0) {
            *ret = i;
            return NN_OK;
        }
    snprintf(text, sizeof text, "%.*s", (int)(n < sizeof text ? n : sizeof text - 1), p);
    if (nn_data_int(text, 1, c->n, ret)) {
        --*ret;
        return NN_OK;
    }
    return nn_fail(
        err, NN_E_VALIDATION_ERROR,
        "%s: no column is called '%.*s'; they are called as the first row says, or numbered "
        "from 1 to %" PRId64,
        c->table, (int)(n < 100 ? n : 100), p, c->n);
}

/* "(red|green)" behind a column's name. */
static nn_status give_words(const nn_columns *c, nn_column *col, const char *p, size_t n,
                            nn_err *err) {
    if (n < 3 || p[n - 1] != ')')
        return nn_fail(err, NN_E_VALIDATION_ERROR, "%s: expected column(one|another), got '%.*s'",
                       c->table, (int)(n < 100 ? n : 100), p);
    for (const char *end = p + n - 1; p < end;) {
        const char *from = ++p;
        while (p < end && *p != '|') p++;
        nn_words_add(&col->words, &(nn_cell){(char *)from, (size_t)(p - from)}, MAX_CATEGORIES);
    }
    col->given = true;
    return NN_OK;
}

/* Sets the kind of each column that `list` names. */
static nn_status set_kind(nn_columns *c, const char *list, int kind, nn_err *err) {
    for (const char *p = list; p && *p;) {
        size_t n = strcspn(p, "+("), all = p[n] == '(' ? strcspn(p, ")") + 1 : n;
        int64_t i;
        if (all > strlen(p)) all = strlen(p);
        nn_status s = find_column(c, p, n, &i, err);
        if (s) return s;
        if (c->column[i].kind != NN_COLUMN_NUMBER)
            return nn_fail(err, NN_E_VALIDATION_ERROR, "%s: column '%.*s' is named twice", c->table,
                           (int)n, p);
        c->column[i].kind = kind;
        if (all > n) s = give_words(c, &c->column[i], p + n, all - n, err);
        if (s) return s;
        p += all;
        if (*p == '+') p++;
    }
    return NN_OK;
}

static nn_status set_scales(nn_columns *c, const char *list, nn_err *err) {
    for (const char *p = list; p && *p;) {
        size_t n = strcspn(p, "*"), all = n + strcspn(p + n, "+");
        char factor[32] = "";
        int64_t i;
        nn_status s = find_column(c, p, n, &i, err);
        if (s) return s;
        if (all > n) snprintf(factor, sizeof factor, "%.*s", (int)(all - n - 1), p + n + 1);
        if (!nn_data_num(factor, -1e30, 1e30, &c->column[i].scale))
            return nn_fail(err, NN_E_VALIDATION_ERROR, "%s: expected column*factor, got '%.*s'",
                           c->table, (int)all, p);
        p += all;
        if (*p == '+') p++;
    }
    return NN_OK;
}

static nn_status set_kinds(nn_columns *c, const nn_cell *first, bool header, nn_err *err) {
    const nn_table_options *o = c->options;
    nn_status s = NN_OK;
    c->label = header ? nn_columns_find_label(first, c->n) : -1;
    if (c->label < 0) c->label = c->n - 1;
    if (o->label) s = find_column(c, o->label, strlen(o->label), &c->label, err);
    if (s) return s;
    c->column[c->label].kind = NN_COLUMN_LABEL;
    bool all = o->categories && !strcmp(o->categories, "*");
    s = set_kind(c, o->ignore, NN_COLUMN_IGNORED, err);
    if (!s && !all) s = set_kind(c, o->categories, NN_COLUMN_ONE_HOT, err);
    if (!s) s = set_kind(c, o->index, NN_COLUMN_INDEX, err);
    return s ? s : set_scales(c, o->scale, err);
}

nn_status nn_columns_init(nn_columns *c, const char *table, const nn_table_options *o,
                          const nn_cell *first, int64_t n, bool header, nn_err *err) {
    *c = (nn_columns){.table = table, .options = o, .n = n};
    c->column = calloc((size_t)n, sizeof *c->column);
    if (!c->column) abort();
    for (int64_t i = 0; i < n; i++) {
        c->column[i].scale = 1;
        c->column[i].name = header ? strndup(first[i].p, first[i].n) : strdup("");
        if (!c->column[i].name) abort();
    }
    return set_kinds(c, first, header, err);
}

void nn_columns_done(nn_columns *c) {
    for (int64_t i = 0; i < c->n; i++) {
        free(c->column[i].name);
        nn_words_done(&c->column[i].words);
    }
    free(c->column);
}

nn_status nn_columns_bad(const nn_columns *c, int64_t line, int64_t column, const nn_cell *cell,
                         const char *what, nn_err *err) {
    const char *name = c->column[column].name;
    char title[64] = "";
    if (*name) snprintf(title, sizeof title, " ('%.40s')", name);
    return nn_fail(err, NN_E_DATA_ERROR, "%s: line %" PRId64 ", column %" PRId64 "%s: %s%s%.*s%s",
                   c->table, line, column + 1, title, what, cell->n ? ": '" : "",
                   (int)(cell->n < 40 ? cell->n : 40), cell->p, cell->n ? "'" : "");
}

/* ---- learning ---- */

/* 2024-03-01, 1/3/24, 01.03.2024 12:30 */
static bool is_date(const nn_cell *c) {
    int digits = 0, signs = 0, runs = 0;
    for (size_t i = 0; i < c->n; i++) {
        bool digit = isdigit((unsigned char)c->p[i]);
        runs += digit && (i == 0 || !isdigit((unsigned char)c->p[i - 1]));
        digits += digit;
        signs += strchr("-/.:", c->p[i]) != NULL;
        if (!digit && !strchr("-/.: TZ+", c->p[i])) return false;
    }
    return digits >= 4 && signs >= 2 && runs >= 3;
}

static nn_status refuse_text(const nn_columns *c, int64_t line, int64_t i, const nn_cell *cell,
                             nn_err *err) {
    const char *name = c->column[i].name;
    char number[24];
    snprintf(number, sizeof number, "%" PRId64, i + 1);
    if (!*name) name = number;
    if (is_date(cell)) {
        nn_status s = nn_columns_bad(c, line, i, cell, "a date, which is not read", err);
        return nn_err_hint(
            err, s,
            "turn it into numbers (days since a day, month, weekday), or leave the column "
            "out: ignore=%s",
            name);
    }
    nn_status s = nn_columns_bad(c, line, i, cell, "not a number", err);
    return nn_err_hint(
        err, s,
        "if the column holds categories, say categories=%s (one-hot) or index=%s behind "
        "the path",
        name, name);
}

static nn_status learn_number(nn_columns *c, int64_t line, int64_t i, const nn_cell *cell,
                              nn_err *err) {
    double v;
    nn_column *col = &c->column[i];
    if (!nn_csv_number(cell, &v)) {
        if (!c->options->categories || strcmp(c->options->categories, "*") != 0 || col->numbers)
            return refuse_text(c, line, i, cell, err);
        col->kind = NN_COLUMN_ONE_HOT; /* categories=*: a column that begins with a text */
        if (col->missing) nn_words_add(&col->words, &(nn_cell){cell->p, 0}, MAX_CATEGORIES);
        return NN_OK;
    }
    if (fabs(v * col->scale) > (double)FLT_MAX)
        return nn_columns_bad(c, line, i, cell, "too large a number", err);
    col->numbers++;
    return NN_OK;
}

static nn_status learn_word(nn_columns *c, int64_t line, int64_t i, const nn_cell *cell,
                            nn_err *err) {
    nn_column *col = &c->column[i];
    if (nn_utf8_valid(cell->p, cell->n) != cell->n)
        return nn_columns_bad(c, line, i, &(nn_cell){cell->p, 0}, "a category that is not UTF-8",
                              err);
    if (col->given && nn_words_find(&col->words, cell) < 0) {
        nn_status s =
            nn_columns_bad(c, line, i, cell, "a category that the options do not give", err);
        return nn_err_hint(err, s, "add it behind the column's name: (one|another)");
    }
    if (nn_words_add(&col->words, cell, MAX_CATEGORIES)) return NN_OK;
    nn_status s = nn_columns_bad(c, line, i, cell, "more than 10000 different categories", err);
    return nn_err_hint(err, s, "is it a name or a number of the row? leave it out with ignore=");
}

static nn_status learn_missing(nn_columns *c, int64_t line, int64_t i, const nn_cell *cell,
                               nn_err *err) {
    nn_column *col = &c->column[i];
    if (c->options->missing == NN_MISSING_REFUSED) {
        nn_status s = nn_columns_bad(c, line, i, cell, "a missing value", err);
        return nn_err_hint(
            err, s, "fill it in, or say missing=drop, missing=mean or missing=0 behind the path");
    }
    col->missing++;
    if (col->kind == NN_COLUMN_NUMBER) return NN_OK;
    return learn_word(c, line, i, &(nn_cell){cell->p, 0}, err); /* a category of its own */
}

/* A word that the options give is one, whatever it is. */
static bool is_missing(const nn_column *col, const nn_cell *cell) {
    return nn_cell_missing(cell) && !(col->given && nn_words_find(&col->words, cell) >= 0);
}

/* Whether a row is dropped is known before anything is learned of it. */
static bool drops(const nn_columns *c, const nn_cell *cells) {
    for (int64_t i = 0; c->options->missing == NN_MISSING_DROP && i < c->n; i++)
        if (c->column[i].kind != NN_COLUMN_IGNORED && is_missing(&c->column[i], &cells[i]))
            return true;
    return false;
}

nn_status nn_columns_learn(nn_columns *c, int64_t line, const nn_cell *cells, bool *ret_drop,
                           nn_err *err) {
    *ret_drop = drops(c, cells);
    for (int64_t i = 0; !*ret_drop && i < c->n; i++) {
        nn_column *col = &c->column[i];
        if (col->kind == NN_COLUMN_LABEL || col->kind == NN_COLUMN_IGNORED) continue;
        nn_status s = NN_OK;
        bool missing = is_missing(col, &cells[i]);
        if (missing) s = learn_missing(c, line, i, &cells[i], err);
        if (!missing && col->kind == NN_COLUMN_NUMBER) s = learn_number(c, line, i, &cells[i], err);
        if (!s && !missing && col->kind != NN_COLUMN_NUMBER)
            s = learn_word(c, line, i, &cells[i], err);
        if (s) return s;
    }
    return NN_OK;
}

nn_status nn_columns_settle(nn_columns *c, nn_err *err) {
    c->width = 0;
    for (int64_t i = 0; i < c->n; i++) {
        nn_column *col = &c->column[i];
        if (!col->given && col->words.n) {
            qsort(col->words.word, (size_t)col->words.n, sizeof *col->words.word, nn_cells_by_text);
            rehash(&col->words, col->words.slots);
        }
        col->at = c->width;
        col->width = col->kind == NN_COLUMN_ONE_HOT                                   ? col->words.n
                     : col->kind == NN_COLUMN_LABEL || col->kind == NN_COLUMN_IGNORED ? 0
                                                                                      : 1;
        c->width += col->width;
    }
    if (c->width) return NN_OK;
    return nn_fail(err, NN_E_DATA_ERROR, "%s: no column is left beside the label", c->table);
}

/* ---- encoding ---- */

static bool encode_number(nn_columns *c, nn_column *col, const nn_cell *cell, bool count,
                          float *to) {
    double v;
    if (nn_cell_missing(cell)) {
        *to =
            c->options->missing == NN_MISSING_MEAN ? NAN : (float)(c->options->value * col->scale);
        return true;
    }
    if (!nn_csv_number(cell, &v)) return false;
    *to = (float)(v * col->scale);
    if (count) {
        col->sum += v * col->scale;
        col->counted++;
    }
    return true;
}

static bool encode_word(nn_column *col, const nn_cell *cell, float *to) {
    int64_t k = nn_words_find(&col->words, cell);
    if (k < 0 && nn_cell_missing(cell)) k = nn_words_find(&col->words, &(nn_cell){cell->p, 0});
    if (k < 0 || (col->kind == NN_COLUMN_ONE_HOT && k >= col->width)) return false;
    if (col->kind == NN_COLUMN_INDEX)
        *to = (float)k;
    else
        for (int64_t i = 0; i < col->width; i++) to[i] = i == k;
    return true;
}

nn_status nn_columns_encode(nn_columns *c, int64_t line, const nn_cell *cells, bool count,
                            float *to, nn_err *err) {
    for (int64_t i = 0; i < c->n; i++) {
        nn_column *col = &c->column[i];
        if (!col->width) continue;
        bool ok = col->kind == NN_COLUMN_NUMBER
                      ? encode_number(c, col, &cells[i], count, to + col->at)
                      : encode_word(col, &cells[i], to + col->at);
        if (!ok)
            return nn_columns_bad(c, line, i, &cells[i], "the file was changed while it was read",
                                  err);
    }
    return NN_OK;
}

double nn_columns_mean(const nn_columns *c, int64_t feature) {
    for (int64_t i = 0; i < c->n; i++) {
        const nn_column *col = &c->column[i];
        if (col->width && feature >= col->at && feature < col->at + col->width)
            return col->counted ? col->sum / (double)col->counted : 0;
    }
    return 0;
}
