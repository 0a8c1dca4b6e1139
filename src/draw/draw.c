/* SPDX-License-Identifier: MIT */
/* draw.c - the formats, and the way from a unit to each. */
#include "draw/draw.h"

#include "draw/dot.h"
#include "draw/layout.h"
#include "draw/page.h"
#include "draw/plan.h"
#include "draw/svg.h"

#include <string.h>

typedef nn_status writer(nn_arena *arena, const nn_plan *p, nn_buf *out, nn_err *err);

static nn_status write_dot(nn_arena *arena, const nn_plan *p, nn_buf *out, nn_err *err) {
    (void)arena, (void)err;
    nn_dot_write(&(nn_dot){.plan = p, .column = -1, .title = true}, out);
    return NN_OK;
}

static nn_status write_png(nn_arena *arena, const nn_plan *p, nn_buf *out, nn_err *err) {
    return nn_layout_render(arena, p, "png", true, out, err);
}

static nn_status write_svg(nn_arena *arena, const nn_plan *p, nn_buf *out, nn_err *err) {
    NN_BUF raw = {0};
    nn_status st = nn_layout_render(arena, p, "svg", true, &raw, err);
    if (!st) nn_svg_clean(p, nn_buf_str(&raw), raw.n, true, out);
    return st;
}

static const nn_picture_format formats[] = {
    {"html", "html", "text/html; charset=utf-8"},
    {"svg",  "svg",  "image/svg+xml"           },
    {"png",  "png",  "image/png"               },
    {"dot",  "dot",  "text/vnd.graphviz"       },
};
static writer *const writers[] = {nn_page_write, write_svg, write_png, write_dot};
enum { FORMATS = sizeof formats / sizeof formats[0] };

const nn_picture_format *nn_picture_format_at(unsigned i) {
    return i < FORMATS ? &formats[i] : NULL;
}

const nn_picture_format *nn_picture_format_find(const char *name) {
    for (unsigned i = 0; i < FORMATS; i++)
        if (strcmp(formats[i].name, name) == 0) return &formats[i];
    return NULL;
}

/* Whoever gives a format that is not ours is wrong: it comes from nn_picture_format_find. */
static writer *writer_of(const nn_picture_format *f) {
    return writers[f - formats];
}

nn_status nn_draw(const nn_unit *u, const nn_picture_format *f, nn_buf *out, nn_err *err) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "draw", (size_t)1 << 30);
    nn_plan p;
    NN_BUF made = {0};
    nn_status st = nn_plan_make(arena, u, &p, err);
    if (st) return st;
    nn_plan_texts(arena, &p);
    nn_plan_fold(arena, &p);
    st = writer_of(f)(arena, &p, &made, err);
    if (!st && nn_buf_failed(&made))
        st = nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for the picture");
    if (!st) nn_buf_append(out, nn_buf_str(&made), made.n);
    return st;
}
