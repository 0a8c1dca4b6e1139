/* SPDX-License-Identifier: MIT */
/* render.h - what a backend makes of a network, as an answer over HTTP gives it: a text, and the
 * files. Any thread; a rendering belongs to one. */
#ifndef NN_JOBS_RENDER_H
#define NN_JOBS_RENDER_H
#include "codegen/backend.h"

/* Of backends that write weights: so many bytes of weights are rendered here, and so long a text.
 * `neural compile` has no such limits. */
#define NN_RENDER_WEIGHTS (INT64_C(128) << 20)
#define NN_RENDER_TEXT    ((size_t)10 << 20)

enum { NN_RENDER_FILES = 4 };

typedef struct nn_rendering {
    nn_buf text; /* the main file, or what stands for it: ONNX in its text form */
    nn_buf main; /* the main file where it is not the text; else empty */
    struct nn_render_file {
        char end[32]; /* behind the main file's name without its extension: ".weights.bin" */
        nn_buf bytes;
    } more[NN_RENDER_FILES];
    int n_more;
} nn_rendering; /* zero is an empty one */

/* Generates; *opt lacks weights and file, which are filled in: initial weights by the program's
 * seed, as `neural compile` writes them. NN_E_LIMIT names what is too large and how to get it all
 * the same; also the errors of nn_codegen. The caller calls done in each case. */
nn_status nn_render(const nn_backend *b, const nn_graph *g, const nn_codegen_options *opt,
                    nn_rendering *ret, nn_err *err);
void nn_rendering_done(nn_rendering *r);
#define NN_RENDERING __attribute__((cleanup(nn_rendering_done))) nn_rendering
static inline const nn_buf *nn_rendering_main(const nn_rendering *r) {
    return r->main.n ? &r->main : &r->text;
}
#endif
