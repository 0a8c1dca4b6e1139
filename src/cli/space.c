/* SPDX-License-Identifier: MIT */
/* space.c - the search space of a program, and chosen values written into it. */
#include "compile/space.h"

#include "base/file.h"
#include "cli/cli.h"

#include <string.h>

/* ---- the table ---- */

/* Source text on one line, blanks joined. */
static void put_source(const nn_source *src, nn_span s, nn_buf *out) {
    bool blank = false;
    for (size_t i = s.begin; i < s.end && i < src->size; i++) {
        char ch = src->text[i];
        bool space = ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r';
        if (!space) {
            if (blank) nn_buf_putc(out, ' ');
            nn_buf_putc(out, ch);
        }
        blank = space;
    }
}

static void put_candidates(const nn_source *src, const nn_hpo *h, nn_buf *out) {
    for (const nn_value *e = h->values; e; e = e->next) {
        if (e != h->values) nn_buf_puts(out, ", ");
        put_source(src, e->span, out);
    }
}

static void put_range(const nn_hpo *h, nn_buf *out) {
    nn_buf_printf(out, "%s to %s", h->low->text, h->high->text);
    if (h->step) nn_buf_printf(out, ", step %s", h->step->text);
}

static const char *kind_of(const nn_hpo *h) {
    static const char *const names[] = {"choice", "range", "log_range"};
    bool layers = h->values && (h->values->kind == NN_V_CALL || h->values->kind == NN_V_ITEM);
    return layers ? "layers" : names[h->kind];
}

static const nn_value *default_of(const nn_hpo *h) {
    const nn_value *v = h->kind == NN_HPO_CHOICE ? h->values : h->low;
    return v && v->kind == NN_V_HPO ? default_of(v->hpo) : v;
}

static void add_point(const nn_unit *u, const nn_search_point *p, nn_grid *t) {
    const nn_hpo *h = p->value->hpo;
    NN_BUF values = {0};
    NN_BUF chosen = {0};
    if (h->kind == NN_HPO_CHOICE)
        put_candidates(u->source, h, &values);
    else
        put_range(h, &values);
    const nn_value *v = default_of(h);
    bool layer = v && (v->kind == NN_V_CALL || v->kind == NN_V_ITEM);
    if (p->set && p->chosen->text)
        nn_buf_printf(&chosen, "%s (set)", p->chosen->text);
    else if (p->set)
        nn_buf_puts(&chosen, "(set)");
    else if (layer)
        nn_buf_puts(&chosen, "0");
    else if (v)
        put_source(u->source, v->span, &chosen);
    const char *cells[] = {p->path, strcmp(p->path, p->alias) ? p->alias : "", kind_of(h),
                           nn_buf_str(&chosen), nn_buf_str(&values)};
    for (size_t i = 0; i < sizeof cells / sizeof cells[0]; i++) nn_grid_add(t, cells[i]);
}

static nn_status print_points(const nn_unit *u, nn_err *err) {
    const nn_space *s = u->space;
    const char *name = u->graph->name[0] ? u->graph->name : "the network";
    NN_BUF out = {0};
    nn_grid t = {.align = "lllll"};
    if (!s->n) {
        nn_buf_printf(
            &out, "%s has no search points: HPO(choice(64, 128)) in place of a value makes one\n",
            name);
        return nn_print(nn_buf_str(&out), out.n, err);
    }
    static const char *const heading[] = {"path", "alias", "kind", "default", "values"};
    for (int i = 0; i < 5; i++) nn_grid_add(&t, heading[i]);
    for (int i = 0; i < s->n; i++) add_point(u, &s->points[i], &t);
    nn_grid_print(&t, &out);
    nn_grid_done(&t);
    nn_buf_printf(&out, "\n%d search point%s in %s\n", s->n, s->n == 1 ? "" : "s", name);
    return nn_print(nn_buf_str(&out), out.n, err);
}

/* ---- --write ---- */

/* How many points have no value yet: told, so that nobody wonders at compile. */
static int open_points(const nn_unit *u) {
    int n = 0;
    for (int i = 0; i < u->space->n; i++)
        n += u->space->points[i].active && !u->space->points[i].set;
    return n;
}

static nn_status write_values(const nn_args *a, const nn_unit *u, const nn_compile_options *opt,
                              nn_err *err) {
    const char *path = a->operands[0], *out = nn_opt(a, "output");
    NN_BUF text = {0};
    if (!opt->n_settings) {
        nn_status s = nn_fail(err, NN_E_USAGE, "search-space: --write needs values");
        return nn_err_hint(err, s,
                           "--set PATH=VALUE for each point; without --write they are listed");
    }
    nn_status s = nn_space_rewrite(u, opt->settings, opt->n_settings, &text, err);
    if (s) return s;
    if (!out && strcmp(path, "-") == 0) out = "-";
    if (out && strcmp(out, "-") == 0) return nn_print(nn_buf_str(&text), text.n, err);
    s = out ? nn_file_write(out, nn_buf_str(&text), text.n, err)
            : nn_cli_rewrite(path, nn_buf_str(&text), text.n, err);
    if (s) return s;
    int left = open_points(u);
    printf("wrote %s: %d value%s", out ? out : path, opt->n_settings,
           opt->n_settings == 1 ? "" : "s");
    if (left) printf(", %d point%s left", left, left == 1 ? "" : "s");
    putchar('\n');
    return NN_OK;
}

static nn_status run_space(const nn_args *a, nn_err *err) {
    if (nn_opt_given(a, "output") && !nn_opt_given(a, "write"))
        return nn_fail(err, NN_E_USAGE, "search-space: --output goes with --write");
    if (nn_opt_given(a, "json") && nn_opt_given(a, "write"))
        return nn_fail(err, NN_E_USAGE, "search-space: --json does not go with --write");
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "space", (size_t)2 << 30);
    nn_source src;
    nn_diags *diags = NULL;
    nn_unit *u = NULL;
    nn_compile_options opt;
    nn_status s = nn_cli_options(a, arena, &opt, err);
    if (!s) s = nn_cli_compile(arena, a->operands[0], &opt, false, &src, &diags, &u, err);
    if (s) return s;
    if (nn_opt_given(a, "write")) return write_values(a, u, &opt, err);
    return nn_opt_given(a, "json") ? nn_print_json(nn_space_json(u), err) : print_points(u, err);
}

/* clang-format off */
static const nn_option space_options[] = {
    NN_CLI_SET,
    {"write",  0,   NULL,   "write the values given by --set into the program", NULL},
    {"output", 'o', "FILE", "where --write writes; - is standard output (default: FILE itself)", NULL},
    NN_CLI_AUTO_FLATTEN,
    {"json",   0,   NULL,   "print the points as JSON", NULL},
    {0}
};
/* clang-format on */
const nn_command nn_command_space = {
    .operands = "FILE",
    .min_operands = 1,
    .max_operands = 1,
    .options = space_options,
    .run = run_space,
    .description =
        "Every HPO(…) of a program is a point with a path and, mostly, a readable alias; --set takes\n"
        "either. A choice of layers is set by the number of its candidate, from 0. With --write the\n"
        "values replace their expressions; every other byte of the program stays as it is.",
    .examples = "  neural search-space net.neural\n"
                "  neural search-space net.neural --set dense_1.units=128 --write -o best.neural"};
