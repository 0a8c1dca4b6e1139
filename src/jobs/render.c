/* SPDX-License-Identifier: MIT */
/* render.c - see render.h. Bounds are looked at before memory is taken: a program of one line can
 * ask for a terabyte of weights. */
#include "jobs/render.h"

#include "base/mem.h"
#include "engine/engine.h"

#include <stdio.h>

static nn_status keep_file(void *arg, const char *end, const void *p, size_t n, nn_err *err) {
    nn_rendering *r = arg;
    if (r->n_more == NN_RENDER_FILES)
        return nn_fail(err, NN_E_LIMIT, "more than %d files", NN_RENDER_FILES);
    struct nn_render_file *f = &r->more[r->n_more++];
    snprintf(f->end, sizeof f->end, "%s", end);
    nn_buf_append(&f->bytes, p, n);
    if (!nn_buf_failed(&f->bytes)) return NN_OK;
    return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for %zu bytes of weights", n);
}

static nn_status too_large(const nn_backend *b, const nn_graph *g, const char *what, int64_t bytes,
                           int64_t most, nn_err *err) {
    nn_status s =
        nn_fail(err, NN_E_LIMIT,
                "network '%.100s' has %.1f MiB of %s for '%s'; here at most %lld MiB are "
                "written",
                g->name, (double)bytes / (1 << 20), what, b->name, (long long)(most >> 20));
    return nn_err_hint(err, s, "`neural compile --backend %s` has no such limit", b->name);
}

/* *ret is the caller's to free. */
static nn_status initial(const nn_backend *b, const nn_graph *g, float **ret, nn_err *err) {
    int64_t bytes = g->slab * (int64_t)sizeof **ret;
    if (bytes > NN_RENDER_WEIGHTS) return too_large(b, g, "weights", bytes, NN_RENDER_WEIGHTS, err);
    float *slab = nn_alloc_large((size_t)bytes + sizeof *slab, true);
    if (!slab) return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for the weights");
    *ret = slab;
    return nn_weights_init(g, g->train.seeded ? g->train.seed : 0, slab, err);
}

static nn_status as_text(const nn_backend *b, nn_rendering *r, nn_err *err) {
    r->main = r->text;
    r->text = (nn_buf){0};
    return b->text(r->main.p, r->main.n, &r->text, err);
}

nn_status nn_render(const nn_backend *b, const nn_graph *g, const nn_codegen_options *opt,
                    nn_rendering *ret, nn_err *err) {
    nn_codegen_options o = *opt;
    if (!b->weights) return nn_codegen(b, g, opt, &ret->text, err);
    NN_LARGE float *slab = NULL;
    nn_status s = initial(b, g, &slab, err);
    o.weights = slab;
    o.file = keep_file;
    o.file_arg = ret;
    if (!s) s = nn_codegen(b, g, &o, &ret->text, err);
    if (!s && b->text) s = as_text(b, ret, err);
    if (!s && ret->text.n > NN_RENDER_TEXT)
        s = too_large(b, g, "text", (int64_t)ret->text.n, (int64_t)NN_RENDER_TEXT, err);
    return s;
}

void nn_rendering_done(nn_rendering *r) {
    nn_buf_done(&r->text);
    nn_buf_done(&r->main);
    for (int i = 0; i < r->n_more; i++) nn_buf_done(&r->more[i].bytes);
}
