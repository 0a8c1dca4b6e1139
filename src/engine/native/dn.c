/* SPDX-License-Identifier: MIT */
#include "engine/native/dn.h"

#include <stdlib.h>
#include <string.h>

#define VERSION_3 (DNNL_VERSION_MAJOR >= 3)

/* Returns from the calling function with what went wrong. */
#define TRY(x)                                                                                     \
    do {                                                                                           \
        dnnl_status_t try_ = (x);                                                                  \
        if (try_ != dnnl_success) return try_;                                                     \
    } while (0)

static const char *text_of(dnnl_status_t s) {
    switch ((int)s) {
    case dnnl_out_of_memory:
        return "out of memory";
    case dnnl_invalid_arguments:
        return "invalid arguments";
    case dnnl_unimplemented:
        return "not implemented";
    default:
        return "a run-time error";
    }
}

nn_status nn_dn_fail(dnnl_status_t s, const char *what, const nn_node *n, nn_err *err) {
    nn_status code = s == dnnl_out_of_memory ? NN_E_OUT_OF_MEMORY : NN_E_INTERNAL;
    return nn_fail(err, code, "oneDNN refuses the %s of '%s' (%s): %s", what, n ? n->name : "-",
                   n ? nn_op_name(n->op) : "-", text_of(s));
}

nn_status nn_dn_new(nn_dn **ret, nn_err *err) {
    nn_dn *d = calloc(1, sizeof *d);
    if (!d) return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for oneDNN's engine");
    dnnl_status_t s = dnnl_engine_create(&d->engine, dnnl_cpu, 0);
    if (s == dnnl_success) s = dnnl_stream_create(&d->stream, d->engine, dnnl_stream_default_flags);
    if (s != dnnl_success) {
        nn_dn_free(d);
        return nn_fail(err, NN_E_INTERNAL, "oneDNN does not start on this processor: %s",
                       text_of(s));
    }
    *ret = d;
    return NN_OK;
}

void nn_dn_free(nn_dn *d) {
    if (!d) return;
    if (d->stream) dnnl_stream_destroy(d->stream);
    if (d->engine) dnnl_engine_destroy(d->engine);
    free(d);
}

int64_t nn_dn_channel_block(void) {
    unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
    unsigned wide = (unsigned)dnnl_cpu_isa_avx512_core;
    return (isa & wide) == wide ? 16 : 8;
}

/* ---- memory descriptors ---- */

dnnl_status_t nn_md_new(nn_md *ret, int rank, const int64_t *dims, const int64_t *strides) {
    dnnl_dims_t d = {0}, s = {0};
    memcpy(d, dims, (size_t)rank * sizeof *d);
    if (strides) memcpy(s, strides, (size_t)rank * sizeof *s);
#if VERSION_3
    if (!strides)
        return dnnl_memory_desc_create_with_tag(ret, rank, d, dnnl_f32, dnnl_format_tag_any);
    return dnnl_memory_desc_create_with_strides(ret, rank, d, dnnl_f32, s);
#else
    nn_md md = malloc(sizeof *md);
    if (!md) return dnnl_out_of_memory;
    dnnl_status_t st =
        strides ? dnnl_memory_desc_init_by_strides(md, rank, d, dnnl_f32, s)
                : dnnl_memory_desc_init_by_tag(md, rank, d, dnnl_f32, dnnl_format_tag_any);
    if (st == dnnl_success)
        *ret = md;
    else
        free(md);
    return st;
#endif
}

dnnl_status_t nn_md_new_blocked(nn_md *ret, int rank, const int64_t *dims, int64_t block) {
    dnnl_dims_t d = {0};
    memcpy(d, dims, (size_t)rank * sizeof *d);
    dnnl_format_tag_t tag = rank == 4 ? (block == 16 ? dnnl_nChw16c : dnnl_nChw8c)
                                      : (block == 16 ? dnnl_nCdhw16c : dnnl_nCdhw8c);
#if VERSION_3
    return dnnl_memory_desc_create_with_tag(ret, rank, d, dnnl_f32, tag);
#else
    nn_md md = malloc(sizeof *md);
    if (!md) return dnnl_out_of_memory;
    dnnl_status_t st = dnnl_memory_desc_init_by_tag(md, rank, d, dnnl_f32, tag);
    if (st == dnnl_success)
        *ret = md;
    else
        free(md);
    return st;
#endif
}

dnnl_status_t nn_md_copy(nn_md *ret, nn_cmd from) {
#if VERSION_3
    return dnnl_memory_desc_clone(ret, from);
#else
    nn_md md = malloc(sizeof *md);
    if (!md) return dnnl_out_of_memory;
    *md = *from;
    *ret = md;
    return dnnl_success;
#endif
}

void nn_md_free(nn_md md) {
#if VERSION_3
    if (md) dnnl_memory_desc_destroy(md);
#else
    free(md);
#endif
}

/* ---- convolutions ---- */

/* Scratch memory is ours; a relu is applied to what is written. */
static dnnl_status_t new_attr(bool relu, dnnl_primitive_attr_t *ret) {
    dnnl_primitive_attr_t attr;
    TRY(dnnl_primitive_attr_create(&attr));
    dnnl_status_t s = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    dnnl_post_ops_t ops = NULL;
    if (s == dnnl_success && relu) s = dnnl_post_ops_create(&ops);
    if (ops) {
#if VERSION_3
        s = dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_relu, 0, 0);
#else
        s = dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, 0, 0);
#endif
        if (s == dnnl_success) s = dnnl_primitive_attr_set_post_ops(attr, ops);
        dnnl_post_ops_destroy(ops);
    }
    if (s != dnnl_success)
        dnnl_primitive_attr_destroy(attr);
    else
        *ret = attr;
    return s;
}

static dnnl_alg_kind_t algorithm(const nn_dn_conv *c) {
    return c->winograd ? dnnl_convolution_auto : dnnl_convolution_direct;
}

/* The library reads as many entries as there are spatial axes, but declares arrays of 12. */
typedef struct geometry {
    dnnl_dims_t stride, dilation, before, after;
} geometry;

static geometry geometry_of(const nn_dn_conv *c) {
    geometry g = {0};
    for (int i = 0; i < 3; i++) {
        g.stride[i] = c->stride[i];
        g.dilation[i] = c->dilation[i] - 1;
        g.before[i] = c->before[i];
        g.after[i] = c->after[i];
    }
    return g;
}

dnnl_status_t nn_dn_conv_forward(const nn_dn *d, const nn_dn_conv *c, dnnl_primitive_desc_t *ret) {
    geometry g = geometry_of(c);
    dnnl_prop_kind_t kind = c->training ? dnnl_forward_training : dnnl_forward_inference;
    dnnl_primitive_attr_t attr;
    TRY(new_attr(c->relu, &attr));
#if VERSION_3
    dnnl_status_t s = dnnl_convolution_forward_primitive_desc_create(
        ret, d->engine, kind, algorithm(c), c->src, c->weights, c->bias, c->dst, g.stride,
        g.dilation, g.before, g.after, attr);
#else
    dnnl_convolution_desc_t desc;
    dnnl_status_t s = dnnl_dilated_convolution_forward_desc_init(
        &desc, kind, algorithm(c), c->src, c->weights, c->bias, c->dst, g.stride, g.dilation,
        g.before, g.after);
    if (s == dnnl_success) s = dnnl_primitive_desc_create(ret, &desc, attr, d->engine, NULL);
#endif
    dnnl_primitive_attr_destroy(attr);
    return s;
}

dnnl_status_t nn_dn_conv_backward_data(const nn_dn *d, const nn_dn_conv *c,
                                       dnnl_primitive_desc_t forward, dnnl_primitive_desc_t *ret) {
    geometry g = geometry_of(c);
    dnnl_primitive_attr_t attr;
    TRY(new_attr(false, &attr));
#if VERSION_3
    dnnl_status_t s = dnnl_convolution_backward_data_primitive_desc_create(
        ret, d->engine, algorithm(c), c->src, c->weights, c->dst, g.stride, g.dilation, g.before,
        g.after, forward, attr);
#else
    dnnl_convolution_desc_t desc;
    dnnl_status_t s = dnnl_dilated_convolution_backward_data_desc_init(
        &desc, algorithm(c), c->src, c->weights, c->dst, g.stride, g.dilation, g.before, g.after);
    if (s == dnnl_success) s = dnnl_primitive_desc_create(ret, &desc, attr, d->engine, forward);
#endif
    dnnl_primitive_attr_destroy(attr);
    return s;
}

dnnl_status_t nn_dn_conv_backward_weights(const nn_dn *d, const nn_dn_conv *c,
                                          dnnl_primitive_desc_t forward,
                                          dnnl_primitive_desc_t *ret) {
    geometry g = geometry_of(c);
    dnnl_primitive_attr_t attr;
    TRY(new_attr(false, &attr));
#if VERSION_3
    dnnl_status_t s = dnnl_convolution_backward_weights_primitive_desc_create(
        ret, d->engine, algorithm(c), c->src, c->weights, c->bias, c->dst, g.stride, g.dilation,
        g.before, g.after, forward, attr);
#else
    dnnl_convolution_desc_t desc;
    dnnl_status_t s = dnnl_dilated_convolution_backward_weights_desc_init(
        &desc, algorithm(c), c->src, c->weights, c->bias, c->dst, g.stride, g.dilation, g.before,
        g.after);
    if (s == dnnl_success) s = dnnl_primitive_desc_create(ret, &desc, attr, d->engine, forward);
#endif
    dnnl_primitive_attr_destroy(attr);
    return s;
}

/* ---- steps ---- */

dnnl_status_t nn_dn_step_new(nn_dn_step *s, dnnl_primitive_desc_t pd) {
    return dnnl_primitive_create(&s->primitive, pd);
}

dnnl_status_t nn_dn_step_bind(const nn_dn *d, nn_dn_step *s, int arg, nn_cmd md, void *data) {
    dnnl_memory_t memory;
    TRY(dnnl_memory_create(&memory, md, d->engine, data ? data : DNNL_MEMORY_NONE));
    s->at[s->n] = data;
    s->args[s->n++] = (dnnl_exec_arg_t){arg, memory};
    return dnnl_success;
}

/* Where padded channels are, the library zeroes them at each change of the address. */
dnnl_status_t nn_dn_step_point(nn_dn_step *s, int arg, void *data) {
    for (int i = 0; i < s->n; i++) {
        if (s->args[i].arg != arg) continue;
        if (s->at[i] == data) return dnnl_success;
        s->at[i] = data;
        return dnnl_memory_set_data_handle(s->args[i].memory, data);
    }
    return dnnl_invalid_arguments;
}

dnnl_status_t nn_dn_step_run(const nn_dn *d, const nn_dn_step *s) {
    return dnnl_primitive_execute(s->primitive, d->stream, s->n, s->args);
}

void nn_dn_step_done(nn_dn_step *s) {
    for (int i = 0; i < s->n; i++) dnnl_memory_destroy(s->args[i].memory);
    if (s->primitive) dnnl_primitive_destroy(s->primitive);
    *s = (nn_dn_step){0};
}

dnnl_status_t nn_dn_reorder(const nn_dn *d, nn_cmd from, nn_cmd to, nn_dn_step *ret) {
    dnnl_primitive_desc_t pd;
    TRY(dnnl_reorder_primitive_desc_create(&pd, from, d->engine, to, d->engine, NULL));
    dnnl_status_t s = nn_dn_step_new(ret, pd);
    dnnl_primitive_desc_destroy(pd);
    if (s == dnnl_success) s = nn_dn_step_bind(d, ret, DNNL_ARG_FROM, from, NULL);
    if (s == dnnl_success) s = nn_dn_step_bind(d, ret, DNNL_ARG_TO, to, NULL);
    if (s != dnnl_success) nn_dn_step_done(ret);
    return s;
}

size_t nn_dn_scratch(dnnl_primitive_desc_t pd) {
    return dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0));
}
