/* SPDX-License-Identifier: MIT */
/* fmt.c - networks in canonical form: in place, to standard output, as a check or as a diff. */
#include "cli/cli.h"
#include "lang/tree.h"

#include <stdlib.h>
#include <string.h>

/* ---- a unified diff ---- */

typedef struct lines {
    const char **at; /* n + 1 of them: the last is the end of the text */
    int n;
} lines;

typedef struct edit {
    char kind; /* ' ' '-' '+' */
    int a, b;  /* the lines of both texts from here on */
} edit;

enum { CONTEXT = 3, SEARCH = 100 };

static lines split(nn_arena *arena, const char *text, size_t size) {
    size_t n = 0;
    for (size_t i = 0; i < size; i++) n += text[i] == '\n' || i + 1 == size;
    lines l = {.at = NN_NEW_N(arena, const char *, n + 1)};
    if (!l.at) return l;
    for (const char *p = text, *end = text + size; p < end; l.n++) {
        l.at[l.n] = p;
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        p = lf ? lf + 1 : end;
    }
    l.at[l.n] = text + size;
    return l;
}

static bool same_line(const lines *a, int i, const lines *b, int j) {
    size_t n = (size_t)(a->at[i + 1] - a->at[i]);
    return (size_t)(b->at[j + 1] - b->at[j]) == n && memcmp(a->at[i], b->at[j], n) == 0;
}

/* The nearest lines further on that are the same again: how many to drop of a. *ret_b: of b. Both
 * to their ends if there are none near. */
static int resync(const lines *a, int i, const lines *b, int j, int *ret_b) {
    for (int d = 1; d <= SEARCH; d++)
        for (int k = 0; k <= d; k++)
            if (i + k < a->n && j + d - k < b->n && same_line(a, i + k, b, j + d - k)) {
                *ret_b = d - k;
                return k;
            }
    bool end = i == a->n || j == b->n;
    *ret_b = end ? b->n - j : 1;
    return end ? a->n - i : 1;
}

/* At most as many as both texts have lines. */
static int edits(const lines *a, const lines *b, edit *e) {
    int n = 0;
    for (int i = 0, j = 0; i < a->n || j < b->n;) {
        if (i < a->n && j < b->n && same_line(a, i, b, j)) {
            e[n++] = (edit){' ', i++, j++};
            continue;
        }
        int add, drop = resync(a, i, b, j, &add);
        while (drop--) e[n++] = (edit){'-', i++, j};
        while (add--) e[n++] = (edit){'+', i, j++};
    }
    return n;
}

static void put_range(char sign, int first, int n, nn_buf *out) {
    nn_buf_printf(out, " %c%d", sign, n ? first + 1 : first);
    if (n != 1) nn_buf_printf(out, ",%d", n);
}

static void put_hunk(const lines *a, const lines *b, const edit *e, int n, nn_buf *out) {
    int na = 0, nb = 0;
    for (int i = 0; i < n; i++) {
        na += e[i].kind != '+';
        nb += e[i].kind != '-';
    }
    nn_buf_puts(out, "@@");
    put_range('-', e[0].a, na, out);
    put_range('+', e[0].b, nb, out);
    nn_buf_puts(out, " @@\n");
    for (int i = 0; i < n; i++) {
        const lines *l = e[i].kind == '+' ? b : a;
        int at = e[i].kind == '+' ? e[i].b : e[i].a;
        nn_buf_putc(out, e[i].kind);
        nn_buf_append(out, l->at[at], (size_t)(l->at[at + 1] - l->at[at]));
        if (l->at[at + 1][-1] != '\n') nn_buf_puts(out, "\n\\ No newline at end of file\n");
    }
}

/* Hunks end where more lines stay the same than two contexts have. */
static void put_hunks(const lines *a, const lines *b, const edit *e, int n, nn_buf *out) {
    for (int i = 0; i < n;) {
        while (i < n && e[i].kind == ' ') i++;
        if (i == n) return;
        int begin = i > CONTEXT ? i - CONTEXT : 0, last = i;
        for (; i < n && i - last <= 2 * CONTEXT; i++)
            if (e[i].kind != ' ') last = i;
        int end = last + 1 + CONTEXT < n ? last + 1 + CONTEXT : n;
        put_hunk(a, b, e + begin, end - begin, out);
        i = end;
    }
}

static nn_status diff(nn_arena *arena, const nn_source *src, const nn_buf *text, nn_err *err) {
    lines a = split(arena, src->text, src->size), b = split(arena, nn_buf_str(text), text->n);
    edit *e = NN_NEW_N(arena, edit, (size_t)a.n + (size_t)b.n);
    if (!a.at || !b.at || !e)
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "%s: no memory for the differences", src->name);
    NN_BUF out = {0};
    nn_buf_printf(&out, "--- %s\n+++ %s\n", src->name, src->name);
    put_hunks(&a, &b, e, edits(&a, &b, e), &out);
    return nn_print(nn_buf_str(&out), out.n, err);
}

/* ---- files ---- */

static nn_status rewrite(const char *path, const nn_buf *text, nn_err *err) {
    nn_status s = nn_cli_rewrite(path, nn_buf_str(text), text->n, err);
    if (!s) printf("formatted %s\n", path);
    return s;
}

static nn_status format(nn_arena *arena, const char *path, nn_source *ret, nn_buf *text,
                        nn_err *err) {
    nn_status s = nn_source_read(arena, path, ret, err);
    if (s) return s;
    nn_diags *diags = nn_diags_new(arena, ret);
    s = nn_format(ret, diags, text, err);
    if (s != NN_E_DSL_ERROR) return s;
    NN_BUF messages = {0};
    nn_diags_print(diags, nn_colour(stderr), &messages);
    fputs(nn_buf_str(&messages), stderr);
    return s;
}

static nn_status format_one(const nn_args *a, const char *path, int *changed, nn_err *err) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "fmt", (size_t)2 << 30);
    nn_source src;
    NN_BUF text = {0};
    nn_status s = format(arena, path, &src, &text, err);
    if (s) return s;
    bool check = nn_opt_given(a, "check"), differences = nn_opt_given(a, "diff");
    bool same = src.size == text.n && memcmp(src.text, nn_buf_str(&text), text.n) == 0;
    *changed += !same;
    if (nn_opt_given(a, "stdout") || (strcmp(path, "-") == 0 && !check && !differences))
        return nn_print(nn_buf_str(&text), text.n, err);
    if (same) return NN_OK;
    if (differences) return diff(arena, &src, &text, err);
    if (check) puts(src.name);
    return check ? NN_OK : rewrite(path, &text, err);
}

static nn_status run_fmt(const nn_args *a, nn_err *err) {
    bool check = nn_opt_given(a, "check");
    if (nn_opt_given(a, "stdout") && (check || nn_opt_given(a, "diff")))
        return nn_fail(err, NN_E_USAGE, "fmt: --stdout does not go with --check or --diff");
    nn_status worst = NN_OK;
    int changed = 0;
    for (int i = 0; i < a->n_operands; i++) {
        nn_err e = {0};
        nn_status s = format_one(a, a->operands[i], &changed, &e);
        if (!s) continue;
        if (worst) nn_print_error(err);
        worst = s;
        *err = e;
    }
    if (worst || !check || !changed) return worst;
    nn_status s = nn_fail(err, NN_E_VALIDATION_ERROR, "%d of %d file%s would change", changed,
                          a->n_operands, a->n_operands == 1 ? "" : "s");
    return nn_err_hint(err, s, "`neural fmt FILE...` rewrites them");
}

/* clang-format off */
static const nn_option fmt_options[] = {
    {"check",  0, NULL, "print the names of files that would change, and fail if there are any", NULL},
    {"diff",   0, NULL, "print what would change, write nothing", NULL},
    {"stdout", 0, NULL, "print the result, write nothing", NULL},
    {0}
};
/* clang-format on */
const nn_command nn_command_fmt = {
    .operands = "FILE...",
    .min_operands = 1,
    .max_operands = NN_CLI_OPERANDS,
    .options = fmt_options,
    .run = run_fmt,
    .description =
        "Rewrites each network in the canonical form; what it means and its comments stay. A file\n"
        "with syntax errors is left as it is. FILE is a path, or - to read standard input and\n"
        "write to standard output.",
    .examples = "  neural fmt examples/*.neural\n  neural fmt --check --diff net.neural"};
