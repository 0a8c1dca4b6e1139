/* SPDX-License-Identifier: MIT */
#include "data/augment.h"

#include "base/rng.h"
#include "data/options.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Apart from the streams of orders, which are the epochs' numbers. */
#define STREAM_AUGMENT UINT64_C(0x6175676d00000000)

enum { MAX_CROP = 4096 };

static bool parse_word(const char *word, nn_augment *a) {
    int64_t pixels;
    if (!strcmp(word, "flip")) return (a->flip = true);
    if (!strcmp(word, "vflip")) return (a->vflip = true);
    if (!strncmp(word, "crop", 4) && nn_data_int(word + 4, 1, MAX_CROP, &pixels))
        return (a->crop = (int)pixels);
    return !strncmp(word, "rotate", 6) && nn_data_num(word + 6, 0, 180, &a->degrees);
}

bool nn_augment_parse(const char *text, nn_augment *ret) {
    nn_augment a = {0};
    for (;;) {
        char word[32];
        size_t n = strcspn(text, "+");
        if (n >= sizeof word) return false;
        snprintf(word, sizeof word, "%.*s", (int)n, text);
        if (!parse_word(word, &a)) return false;
        if (!text[n]) break;
        text += n + 1;
    }
    *ret = a;
    return true;
}

bool nn_augment_any(const nn_augment *a) {
    return a->flip || a->vflip || a->crop || a->degrees > 0;
}

nn_move nn_augment_draw(const nn_augment *a, const nn_draw *d, uint32_t row) {
    uint32_t u[8];
    nn_philox(d->seed, STREAM_AUGMENT + d->epoch, 2 * (uint64_t)row, u);
    nn_philox(d->seed, STREAM_AUGMENT + d->epoch, 2 * (uint64_t)row + 1, u + 4);
    uint64_t places =
        2 * (uint64_t)a->crop + 1; /* 2^32 is so much more that the bias is no matter */
    return (nn_move){.flip = a->flip && (u[0] & 1),
                     .vflip = a->vflip && (u[1] & 1),
                     .down = (int)(u[2] * places >> 32) - a->crop,
                     .right = (int)(u[3] * places >> 32) - a->crop,
                     .angle = (2 * (u[4] * 0x1p-32) - 1) * a->degrees * (M_PI / 180)};
}

typedef struct picture {
    const nn_move *m;
    int64_t height, width, channels;
    const float *p;
} picture;

/* The pixel at (y, x) of the picture mirrored and cut out; NULL: there is none. */
static const float *pixel(const picture *s, int64_t y, int64_t x) {
    if (y < 0 || x < 0 || y >= s->height || x >= s->width) return NULL;
    y += s->m->down;
    x += s->m->right;
    if (y < 0 || x < 0 || y >= s->height || x >= s->width) return NULL;
    if (s->m->vflip) y = s->height - 1 - y;
    if (s->m->flip) x = s->width - 1 - x;
    return s->p + (y * s->width + x) * s->channels;
}

static void copy_moved(const picture *s, float *to) {
    size_t bytes = (size_t)s->channels * sizeof *to;
    for (int64_t y = 0; y < s->height; y++)
        for (int64_t x = 0; x < s->width; x++, to += s->channels) {
            const float *from = pixel(s, y, x);
            if (from)
                memcpy(to, from, bytes);
            else
                memset(to, 0, bytes);
        }
}

static void add_share(const picture *s, int64_t y, int64_t x, float share, float *to) {
    const float *from = pixel(s, y, x);
    for (int64_t c = 0; from && c < s->channels; c++) to[c] += share * from[c];
}

static void copy_turned(const picture *s, float *to) {
    float cos_a = (float)cos(s->m->angle), sin_a = (float)sin(s->m->angle);
    float cy = (float)(s->height - 1) / 2, cx = (float)(s->width - 1) / 2;
    memset(to, 0, (size_t)(s->height * s->width * s->channels) * sizeof *to);
    for (int64_t y = 0; y < s->height; y++)
        for (int64_t x = 0; x < s->width; x++, to += s->channels) {
            float dy = (float)y - cy, dx = (float)x - cx;
            float u = cy + cos_a * dy + sin_a * dx, v = cx - sin_a * dy + cos_a * dx;
            float top = floorf(u), left = floorf(v), b = u - top, r = v - left;
            int64_t i = (int64_t)top, j = (int64_t)left;
            add_share(s, i, j, (1 - b) * (1 - r), to);
            add_share(s, i, j + 1, (1 - b) * r, to);
            add_share(s, i + 1, j, b * (1 - r), to);
            add_share(s, i + 1, j + 1, b * r, to);
        }
}

void nn_augment_apply(const nn_move *m, const nn_shape *shape, const float *from, float *to) {
    picture s = {m, shape->dim[0], shape->dim[1], shape->dim[2], from};
    if (m->angle != 0)
        copy_turned(&s, to);
    else
        copy_moved(&s, to);
}
