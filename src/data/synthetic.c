/* SPDX-License-Identifier: MIT */
/* synthetic.c - sets made from a seed, for tests and first steps:
 * "synthetic:rows=512,classes=3,shape=8x8x1".
 *
 * Each class has a prototype, drawn once from the seed. pattern=blobs: a sample is its prototype
 * plus noise, which a linear model learns. pattern=mirrored: the prototype's sign is drawn for each
 * sample, so that every class has mean zero and no linear model is better than chance, while one
 * hidden layer is enough. values=k: targets are k numbers, a fixed linear map of the sample. The
 * test part draws from another stream and has a fifth of the rows. */
#include "base/hash.h"
#include "base/rng.h"
#include "data/options.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STREAM_TRAIN, STREAM_TEST, STREAM_PROTOTYPES, STREAM_MAP };

typedef struct recipe {
    int64_t rows, classes, values, seed;
    nn_shape shape;
    double noise;
    bool mirrored, bytes;
} recipe;

static bool set_rows(void *to, const char *v) {
    return nn_data_int(v, 1, UINT32_MAX, &((recipe *)to)->rows);
}
static bool set_classes(void *to, const char *v) {
    return nn_data_int(v, 2, 100000, &((recipe *)to)->classes);
}
static bool set_values(void *to, const char *v) {
    return nn_data_int(v, 0, 10000, &((recipe *)to)->values);
}
static bool set_seed(void *to, const char *v) {
    return nn_data_int(v, 0, INT64_MAX, &((recipe *)to)->seed);
}
static bool set_noise(void *to, const char *v) {
    return nn_data_num(v, 0, 1000, &((recipe *)to)->noise);
}
static bool set_shape(void *to, const char *v) {
    return nn_data_dims(v, &((recipe *)to)->shape);
}
static bool set_pattern(void *to, const char *v) {
    int i = nn_data_word(v, (const char *const[]){"blobs", "mirrored", NULL});
    ((recipe *)to)->mirrored = i == 1;
    return i >= 0;
}
static bool set_type(void *to, const char *v) {
    int i = nn_data_word(v, (const char *const[]){"f32", "u8", NULL});
    ((recipe *)to)->bytes = i == 1;
    return i >= 0;
}

static const nn_data_param params[] = {
    {"rows",    "a positive integer",              set_rows   },
    {"classes", "an integer from 2 to 100000",     set_classes},
    {"shape",   "lengths joined by x, like 8x8x1", set_shape  },
    {"seed",    "an integer, 0 or more",           set_seed   },
    {"noise",   "a number from 0 to 1000",         set_noise  },
    {"pattern", "blobs or mirrored",               set_pattern},
    {"values",  "an integer from 0 to 10000",      set_values },
    {"type",    "u8 or f32",                       set_type   },
};

static nn_status read_recipe(const nn_data_request *q, recipe *ret, nn_err *err) {
    recipe r = {
        .rows = 1000, .classes = 10, .noise = 0.5, .seed = 1, .shape = {3, {8, 8, 1}}
    };
    nn_status s = nn_data_params(q, "synthetic", params, sizeof params / sizeof *params, &r, err);
    if (s == NN_OK) *ret = r;
    return s;
}

static void draw(float *p, int64_t n, uint64_t seed, uint64_t stream) {
    nn_rng r = nn_rng_new(seed, stream);
    for (int64_t i = 0; i < n; i++) p[i] = (float)nn_rng_normal(&r);
}

static void put(nn_dataset *d, int64_t at, double v) {
    if (d->block[0].type == NN_ROWS_F32) {
        ((float *)d->block[0].data)[at] = (float)v;
        return;
    }
    double byte = round(127.5 + 42.5 * v); /* three deviations reach the ends */
    ((uint8_t *)d->block[0].data)[at] = (uint8_t)(byte < 0 ? 0 : byte > 255 ? 255 : byte);
}

static void make_samples(nn_dataset *d, const recipe *r, const float *prototypes) {
    int64_t width = nn_shape_elements(&r->shape);
    uint64_t stream = d->split == NN_SPLIT_TRAIN ? STREAM_TRAIN : STREAM_TEST;
    nn_rng g = nn_rng_new((uint64_t)r->seed, stream);
    for (int64_t i = 0; i < d->rows; i++) {
        const float *mean = prototypes + (i % r->classes) * width;
        double sign = r->mirrored && (nn_rng_u32(&g) & 1) ? -1 : 1;
        for (int64_t j = 0; j < width; j++)
            put(d, i * width + j, sign * (double)mean[j] + r->noise * nn_rng_normal(&g));
        if (d->labels) d->labels[i] = (int32_t)(i % r->classes);
    }
}

/* targets = samples x map / sqrt(width), so that their variance does not grow with the width. */
static void make_targets(nn_dataset *d, const float *map) {
    int64_t width = nn_shape_elements(&d->block[0].shape);
    for (int64_t i = 0; i < d->rows; i++)
        for (int k = 0; k < d->target_width; k++) {
            double sum = 0;
            for (int64_t j = 0; j < width; j++) {
                int64_t at = i * width + j;
                double x = d->block[0].type == NN_ROWS_F32
                               ? (double)((float *)d->block[0].data)[at]
                               : ((uint8_t *)d->block[0].data)[at] / 255.0;
                sum += x * (double)map[j * d->target_width + k];
            }
            d->targets[i * d->target_width + k] = (float)(sum / sqrt((double)width));
        }
}

static void name_classes(nn_dataset *d, int n) {
    const char **names = calloc((size_t)n, sizeof *names);
    char *text = calloc((size_t)n, 24);
    if (!names || !text) abort();
    for (int i = 0; i < n; i++) {
        snprintf(text + 24 * i, 24, "class_%d", i);
        names[i] = text + 24 * i;
    }
    nn_dataset_name_classes(d, names, n);
    free(names);
    free(text);
}

static void hash_samples(nn_dataset *d) {
    nn_hash *h = nn_hash_new();
    size_t n = (size_t)d->rows, size = d->block[0].type == NN_ROWS_U8 ? 1 : sizeof(float);
    nn_hash_add(h, d->block[0].data, n * (size_t)nn_shape_elements(&d->block[0].shape) * size);
    if (d->labels) nn_hash_add(h, d->labels, n * sizeof *d->labels);
    if (d->targets) nn_hash_add(h, d->targets, n * (size_t)d->target_width * sizeof(float));
    nn_hash_end_hex(h, d->sha256);
}

static nn_status open_synthetic(const nn_data_request *q, nn_dataset **ret, nn_err *err) {
    recipe r;
    nn_status s = read_recipe(q, &r, err);
    if (s) return s;
    int64_t rows = q->split == NN_SPLIT_TRAIN ? r.rows : (r.rows + 4) / 5;
    int64_t width = nn_shape_elements(&r.shape), columns = r.values > 0 ? r.values : 1;
    uint64_t extra;
    if (__builtin_mul_overflow((uint64_t)width, (uint64_t)(r.classes + columns) * 4, &extra) ||
        extra > q->max_bytes)
        return nn_data_too_large(q->spec, UINT64_MAX, q->max_bytes, err);
    nn_dataset *d = NULL;
    s = nn_dataset_new(q, rows, &r.shape, r.bytes ? NN_ROWS_U8 : NN_ROWS_F32, (int)r.values, &d,
                       err);
    if (s) return s;
    float *drawn = malloc((size_t)extra);
    if (!drawn) {
        nn_dataset_free(d);
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "%s: no memory for its prototypes", q->spec);
    }
    draw(drawn, r.classes * width, (uint64_t)r.seed, STREAM_PROTOTYPES);
    make_samples(d, &r, drawn);
    if (d->targets) {
        draw(drawn, columns * width, (uint64_t)r.seed, STREAM_MAP);
        make_targets(d, drawn);
    } else
        name_classes(d, (int)r.classes);
    free(drawn);
    hash_samples(d);
    *ret = d;
    return NN_OK;
}

static bool recognise(const nn_data_request *q) {
    return strcmp(q->spec, "synthetic") == 0;
}

const nn_format nn_format_synthetic = {
    .name = "synthetic", .recognise = recognise, .open = open_synthetic, .has_options = true};
