/* SPDX-License-Identifier: MIT */
/* attr.c - what attributes an op has, in order, each with its kind: one list an op in
 * attributes.def; without it this does not compile. A kind says how a value is written, read and
 * printed.
 *
 * Reading checks what the value is made of (type, range, length); what attributes mean together is
 * checked by the op's shape rule. `same` windows are written without pads, infinite bounds as null.
 */
#include "graph/attr.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

typedef struct words {
    const char *(*name)(int);
    int (*find)(const char *);
} words;

struct kind;
typedef struct field {
    const char *key, *shown; /* in files; in print where that is another */
    const struct kind *kind;
    size_t at;     /* in nn_attr */
    size_t beside; /* in nn_attr: number of axes; whether it was given */
    int64_t min, max;
    double low, high; /* of a number; `expected` says them */
    const char *expected;
    double usual; /* value that is not printed; NAN: none */
    const words *words;
    int count;   /* of integers; 0: as many as the output has axes */
    bool hidden; /* not printed */
} field;

typedef struct kind {
    void (*write)(nn_json *, const field *, const nn_node *);
    void (*read)(nn_rd *, const field *, nn_attr *);
    void (*print)(nn_buf *, const field *, const nn_node *);
} kind;

static const void *at(const nn_attr *a, size_t offset) {
    return (const char *)a + offset;
}
static void *to(nn_attr *a, size_t offset) {
    return (char *)a + offset;
}

/* ---- numbers ---- */

static void write_int(nn_json *v, const field *f, const nn_node *n) {
    int64_t i = *(const int64_t *)at(&n->attr, f->at);
    nn_json_set(v, f->key, i == NN_DIM_UNKNOWN ? nn_json_new_null() : nn_json_new_int(i));
}
static void read_int(nn_rd *r, const field *f, nn_attr *a) {
    *(int64_t *)to(a, f->at) = nn_rd_int(r, f->key, f->min, f->max);
}
static void print_int(nn_buf *out, const field *f, const nn_node *n) {
    int64_t i = *(const int64_t *)at(&n->attr, f->at);
    if ((double)i != f->usual) nn_buf_printf(out, " %s=%" PRId64, f->key, i);
}
static const kind INT = {write_int, read_int, print_int};

/* A size that may be unknown. */
static void read_size(nn_rd *r, const field *f, nn_attr *a) {
    if (!*r->status && nn_json_typeof(nn_json_get(r->v, f->key)) == NN_JSON_NULL &&
        nn_json_get(r->v, f->key)) {
        r->used++;
        *(int64_t *)to(a, f->at) = NN_DIM_UNKNOWN;
    } else {
        read_int(r, f, a);
    }
}
static void print_size(nn_buf *out, const field *f, const nn_node *n) {
    if (*(const int64_t *)at(&n->attr, f->at) < 0)
        nn_buf_printf(out, " %s=?", f->key);
    else
        print_int(out, f, n);
}
static const kind SIZE = {write_int, read_size, print_size};

static void write_small(nn_json *v, const field *f, const nn_node *n) {
    nn_json_set(v, f->key, nn_json_new_int(*(const int *)at(&n->attr, f->at)));
}
static void read_small(nn_rd *r, const field *f, nn_attr *a) {
    *(int *)to(a, f->at) = (int)nn_rd_int(r, f->key, f->min, f->max);
}
static void print_small(nn_buf *out, const field *f, const nn_node *n) {
    int i = *(const int *)at(&n->attr, f->at);
    if (i != f->usual) nn_buf_printf(out, " %s=%d", f->key, i);
}
static const kind SMALL = {write_small, read_small, print_small};

static void write_flag(nn_json *v, const field *f, const nn_node *n) {
    nn_json_set(v, f->key, nn_json_new_bool(*(const bool *)at(&n->attr, f->at)));
}
static void read_flag(nn_rd *r, const field *f, nn_attr *a) {
    *(bool *)to(a, f->at) = nn_rd_bool(r, f->key);
}
static void print_flag(nn_buf *out, const field *f, const nn_node *n) {
    if (*(const bool *)at(&n->attr, f->at)) nn_buf_printf(out, " %s", f->key);
}
static const kind FLAG = {write_flag, read_flag, print_flag};

static void write_num(nn_json *v, const field *f, const nn_node *n) {
    nn_json_set(v, f->key, nn_json_new_num(*(const double *)at(&n->attr, f->at)));
}
static void read_num(nn_rd *r, const field *f, nn_attr *a) {
    double d = nn_rd_num(r, f->key);
    if (d < f->low || d > f->high) nn_rd_fail(r, f->key, f->expected);
    *(double *)to(a, f->at) = d;
}
static void print_num(nn_buf *out, const field *f, const nn_node *n) {
    double d = *(const double *)at(&n->attr, f->at);
    if (d != f->usual) nn_buf_printf(out, " %s=%.9g", f->key, d);
}
static const kind NUM = {write_num, read_num, print_num};

/* `usual` is the infinity that null stands for. */
static void read_bound(nn_rd *r, const field *f, nn_attr *a) {
    const nn_json *v = *r->status ? NULL : nn_json_get(r->v, f->key);
    if (!v || nn_json_typeof(v) != NN_JSON_NULL) {
        *(double *)to(a, f->at) = nn_rd_num(r, f->key);
        return;
    }
    r->used++;
    *(double *)to(a, f->at) = f->usual;
}
static const kind BOUND = {write_num, read_bound, print_num};

static void write_seed(nn_json *v, const field *f, const nn_node *n) {
    nn_json_set(v, f->key, nn_json_new_int((int64_t) * (const uint64_t *)at(&n->attr, f->at)));
}
static void read_seed(nn_rd *r, const field *f, nn_attr *a) {
    *(uint64_t *)to(a, f->at) = (uint64_t)nn_rd_int(r, f->key, INT64_MIN, INT64_MAX);
}
static void print_seed(nn_buf *out, const field *f, const nn_node *n) {
    if (*(const bool *)at(&n->attr, f->beside))
        nn_buf_printf(out, " %s=%" PRIu64, f->key, *(const uint64_t *)at(&n->attr, f->at));
}
static const kind SEED = {write_seed, read_seed, print_seed};

/* ---- words ---- */

static void write_word(nn_json *v, const field *f, const nn_node *n) {
    int i = *(const int *)at(&n->attr, f->at);
    nn_json_set(v, f->key, nn_json_new_str(f->words->name(i)));
}
static void read_word(nn_rd *r, const field *f, nn_attr *a) {
    *(int *)to(a, f->at) = nn_rd_word(r, f->key, f->words->find);
}
static void print_word(nn_buf *out, const field *f, const nn_node *n) {
    const char *word = f->words->name(*(const int *)at(&n->attr, f->at));
    if (strcmp(f->key, "kind") == 0)
        nn_buf_printf(out, " %s", word);
    else
        nn_buf_printf(out, " %s=%s", f->key, word);
}
static const kind WORD = {write_word, read_word, print_word};

static void write_text(nn_json *v, const field *f, const nn_node *n) {
    nn_json_set(v, f->key, nn_json_new_str(*(const char *const *)at(&n->attr, f->at)));
}
static void read_text(nn_rd *r, const field *f, nn_attr *a) {
    *(const char **)to(a, f->at) = nn_rd_str(r, f->key, NN_MAX_CUSTOM);
}
static void print_text(nn_buf *out, const field *f, const nn_node *n) {
    const char *text = *(const char *const *)at(&n->attr, f->at);
    if (!*text) return;
    NN_JSON *v = nn_json_new_str(text); /* so that it stays on its line */
    nn_buf_printf(out, " %s=", f->key);
    nn_json_dump(v, 0, out);
}
static const kind TEXT = {write_text, read_text, print_text};

/* ---- lists ---- */

static void print_axes(nn_buf *out, const char *key, const int64_t *v, int n, int64_t usual) {
    bool plain = true;
    for (int i = 0; i < n; i++) plain = plain && v[i] == usual;
    if (plain) return;
    nn_buf_printf(out, " %s=", key);
    for (int i = 0; i < n; i++) nn_buf_printf(out, "%s%" PRId64, i ? "x" : "", v[i]);
}

static void read_more(nn_rd *r, const char *key, int64_t *v, int spatial, int64_t min) {
    if (nn_rd_ints(r, key, v, NN_MAX_SPATIAL, min, NN_MAX_DIM, false) != spatial)
        nn_rd_fail(r, key, "as long as the other lists");
}

/* One number for each spatial axis; the first such list says how many there are. */
static void write_axes(nn_json *v, const field *f, const nn_node *n) {
    int spatial = *(const int *)at(&n->attr, f->beside);
    nn_json_set(v, f->key, nn_wr_ints(at(&n->attr, f->at), spatial));
}
static void read_axes(nn_rd *r, const field *f, nn_attr *a) {
    *(int *)to(a, f->beside) =
        nn_rd_ints(r, f->key, to(a, f->at), NN_MAX_SPATIAL, f->min, NN_MAX_DIM, false);
}
static void print_all_axes(nn_buf *out, const field *f, const nn_node *n) {
    print_axes(out, f->key, at(&n->attr, f->at), *(const int *)at(&n->attr, f->beside),
               (int64_t)f->usual);
}
static const kind AXES = {write_axes, read_axes, print_all_axes};

static void read_more_axes(nn_rd *r, const field *f, nn_attr *a) {
    read_more(r, f->key, to(a, f->at), *(const int *)to(a, f->beside), f->min);
}
static const kind MORE_AXES = {write_axes, read_more_axes, print_all_axes};

/* null: not given. */
static void write_output_padding(nn_json *v, const field *f, const nn_node *n) {
    if (n->attr.conv_transpose.output_padding_given)
        write_axes(v, f, n);
    else
        nn_json_set(v, f->key, nn_json_new_null());
}
static void read_output_padding(nn_rd *r, const field *f, nn_attr *a) {
    const nn_json *v = *r->status ? NULL : nn_json_get(r->v, f->key);
    a->conv_transpose.output_padding_given = v && nn_json_typeof(v) != NN_JSON_NULL;
    if (!v || a->conv_transpose.output_padding_given)
        read_more_axes(r, f, a);
    else
        r->used++;
}
static void print_output_padding(nn_buf *out, const field *f, const nn_node *n) {
    if (n->attr.conv_transpose.output_padding_given) print_all_axes(out, f, n);
}
static const kind OUTPUT_PADDING = {write_output_padding, read_output_padding,
                                    print_output_padding};

static void write_window(nn_json *v, const field *f, const nn_node *n) {
    const nn_window *w = at(&n->attr, f->at);
    nn_json_set(v, "size", nn_wr_ints(w->size, w->spatial));
    nn_json_set(v, "stride", nn_wr_ints(w->stride, w->spatial));
    nn_json_set(v, "dilation", nn_wr_ints(w->dilation, w->spatial));
    nn_json_set(v, "same", nn_json_new_bool(w->same));
    if (w->same) return;
    nn_json_set(v, "pad_before", nn_wr_ints(w->pad_before, w->spatial));
    nn_json_set(v, "pad_after", nn_wr_ints(w->pad_after, w->spatial));
}
static void read_window(nn_rd *r, const field *f, nn_attr *a) {
    nn_window *w = to(a, f->at);
    w->spatial = nn_rd_ints(r, "size", w->size, NN_MAX_SPATIAL, 1, NN_MAX_DIM, false);
    read_more(r, "stride", w->stride, w->spatial, 1);
    read_more(r, "dilation", w->dilation, w->spatial, 1);
    w->same = nn_rd_bool(r, "same");
    if (w->same) return;
    read_more(r, "pad_before", w->pad_before, w->spatial, 0);
    read_more(r, "pad_after", w->pad_after, w->spatial, 0);
}
static void print_window(nn_buf *out, const field *f, const nn_node *n) {
    const nn_window *w = at(&n->attr, f->at);
    print_axes(out, "size", w->size, w->spatial, 0);
    print_axes(out, "stride", w->stride, w->spatial, 1);
    print_axes(out, "dilation", w->dilation, w->spatial, 1);
    if (w->same) nn_buf_puts(out, " same");
    print_axes(out, "pad_before", w->pad_before, w->spatial, 0);
    print_axes(out, "pad_after", w->pad_after, w->spatial, 0);
}
static const kind WINDOW = {write_window, read_window, print_window};

/* Axes by number: of type int in nn_attr. */
static int count_of(const field *f, const nn_node *n) {
    return f->count ? f->count : n->shape.rank;
}
static void write_list(nn_json *v, const field *f, const nn_node *n) {
    const int *p = at(&n->attr, f->at);
    nn_json *list = nn_json_new_array();
    for (int i = 0; i < count_of(f, n); i++) nn_json_push(list, nn_json_new_int(p[i]));
    nn_json_set(v, f->key, list);
}
static void read_list(nn_rd *r, const field *f, nn_attr *a) {
    int64_t v[NN_MAX_RANK];
    int *p = to(a, f->at), n = nn_rd_ints(r, f->key, v, NN_MAX_RANK, 0, NN_MAX_RANK - 1, false);
    if (f->count && n != f->count) nn_rd_fail(r, f->key, "a list of two axes");
    /* axes past the list are no permutation, whatever the input's rank is */
    int all = f->count ? f->count : NN_MAX_RANK;
    for (int i = 0; i < all; i++) p[i] = i < n ? (int)v[i] : -1;
}
static void print_list(nn_buf *out, const field *f, const nn_node *n) {
    const int *p = at(&n->attr, f->at);
    nn_buf_printf(out, " %s=", f->key);
    for (int i = 0; i < count_of(f, n); i++) nn_buf_printf(out, "%s%d", i ? "," : "", p[i]);
}
static const kind LIST = {write_list, read_list, print_list};

static void write_shape(nn_json *v, const field *f, const nn_node *n) {
    nn_json_set(v, f->key, nn_wr_shape(at(&n->attr, f->at)));
}
static void read_shape(nn_rd *r, const field *f, nn_attr *a) {
    *(nn_shape *)to(a, f->at) = nn_rd_shape(r, f->key);
}
static void print_shape(nn_buf *out, const field *f, const nn_node *n) {
    const nn_shape *s = at(&n->attr, f->at);
    char text[160];
    if (s->rank)
        nn_buf_printf(out, " %s=%s", f->shown, nn_shape_print(s, false, text, sizeof text));
}
static const kind SHAPE = {write_shape, read_shape, print_shape};

/* ---- the words of enums that are only here ---- */

static int find_among(const char *const *names, const char *name) {
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], name) == 0) return i;
    return -1;
}

static const char *const rnn_kinds[] = {"simple", "lstm", "gru", NULL}; /* nn_rnn_kind */
static const char *rnn_name(int i) {
    return rnn_kinds[i];
}
static int rnn_find(const char *name) {
    return find_among(rnn_kinds, name);
}

static const char *const noises[] = {"gaussian", "gaussian_dropout", "alpha_dropout", NULL};
static const char *noise_name(int i) {
    return noises[i];
}
static int noise_find(const char *name) {
    return find_among(noises, name);
}

static const char *act_name(int i) {
    return nn_act_name((nn_act)i);
}
static const char *merge_name(int i) {
    return nn_merge_name((nn_merge)i);
}

static const words acts = {act_name, nn_act_find}, merges = {merge_name, nn_merge_find},
                   cells = {rnn_name, rnn_find}, noise_kinds = {noise_name, noise_find};

/* ---- the lists ---- */

#define MEMBER(m)       .at = offsetof(nn_attr, m)
#define BESIDE(m)       .beside = offsetof(nn_attr, m)
#define UNUSUAL         .usual = (double)NAN
#define NUMBER_IN(a, b) .kind = &NUM, .low = a, .high = b
#define F_INT(k, m, a)                                                                             \
    { .key = k, MEMBER(m), UNUSUAL, .kind = &INT, .min = a, .max = NN_MAX_DIM }
/* Usually 1. */
#define F_INT_1(k, m)                                                                              \
    { .key = k, MEMBER(m), .usual = 1, .kind = &INT, .min = 1, .max = NN_MAX_DIM }
#define F_SIZE(k, m)                                                                               \
    { .key = k, MEMBER(m), UNUSUAL, .kind = &SIZE, .min = 1, .max = NN_MAX_DIM }
#define F_AXIS(k, m)                                                                               \
    { .key = k, MEMBER(m), UNUSUAL, .kind = &SMALL, .max = NN_MAX_RANK - 1 }
#define F_BITS(k, m)                                                                               \
    { .key = k, MEMBER(m), .kind = &SMALL, .max = (1 << NN_MAX_RANK) - 1 }
#define F_FLAG(k, m)                                                                               \
    { .key = k, MEMBER(m), .kind = &FLAG }
#define F_HIDDEN(k, m)                                                                             \
    { .key = k, MEMBER(m), .kind = &FLAG, .hidden = true }
#define F_NUM(k, m)                                                                                \
    { .key = k, MEMBER(m), UNUSUAL, NUMBER_IN(-DBL_MAX, DBL_MAX) }
#define F_NUM_1(k, m)                                                                              \
    { .key = k, MEMBER(m), .usual = 1, NUMBER_IN(-DBL_MAX, DBL_MAX) }
#define F_SHARE(k, m)                                                                              \
    { .key = k, MEMBER(m), UNUSUAL, NUMBER_IN(0, 1), .expected = "in [0, 1]" }
#define F_DROP(k, m)                                                                               \
    { .key = k, MEMBER(m), NUMBER_IN(0, 1), .expected = "in [0, 1]" }
#define F_ABOVE_0(k, m)                                                                            \
    { .key = k, MEMBER(m), UNUSUAL, NUMBER_IN(DBL_TRUE_MIN, DBL_MAX), .expected = "above 0" }
#define F_BOUND(k, m, infinity)                                                                    \
    { .key = k, MEMBER(m), .usual = (double)(infinity), .kind = &BOUND }
#define F_SEED(k, m)                                                                               \
    { .key = k, MEMBER(m.seed), BESIDE(m.seeded), .kind = &SEED }
#define F_WORD(k, m, w)                                                                            \
    { .key = k, MEMBER(m), .kind = &WORD, .words = &w }
#define F_TEXT(k, m)                                                                               \
    { .key = k, MEMBER(m), .kind = &TEXT }
#define F_WINDOW(m)                                                                                \
    { MEMBER(m), .kind = &WINDOW }
#define F_SHAPE(k, m, text)                                                                        \
    { .key = k, MEMBER(m), .kind = &SHAPE, .shown = text }
#define F_LIST(k, m, n)                                                                            \
    { .key = k, MEMBER(m), .kind = &LIST, .count = n }
/* At least a for each axis; the first list of an op says how many axes there are. */
#define F_AXES(k, m, n, a)                                                                         \
    { .key = k, MEMBER(m), BESIDE(n), .kind = &AXES, .min = a, .usual = -1 }
#define F_MORE_AXES(k, m, n, a)                                                                    \
    { .key = k, MEMBER(m), BESIDE(n), .kind = &MORE_AXES, .min = a, .usual = -1 }
#define F_OUTPUT_PADDING(k, m, n)                                                                  \
    { .key = k, MEMBER(m), BESIDE(n), .kind = &OUTPUT_PADDING, .usual = -1 }
#define F_END                                                                                      \
    { 0 }

#define NN_FIELDS(op, ...) static const field fields_##op[] = {__VA_ARGS__};
#include "graph/attributes.def"
#undef NN_FIELDS

static const field *const fields[NN_OP_COUNT] = {
#define NN_OP(N, n, lo, hi, w) [NN_OP_##N] = fields_##n,
#include "graph/ops.def"
#undef NN_OP
};

void nn_attr_write(nn_json *v, const nn_node *n) {
    for (const field *f = fields[n->op]; f->kind; f++) f->kind->write(v, f, n);
}

void nn_attr_read(nn_rd *r, nn_op op, nn_attr *a) {
    for (const field *f = fields[op]; f->kind; f++) f->kind->read(r, f, a);
}

void nn_attr_print(nn_buf *out, const nn_node *n) {
    for (const field *f = fields[n->op]; f->kind; f++)
        if (!f->hidden) f->kind->print(out, f, n);
}
