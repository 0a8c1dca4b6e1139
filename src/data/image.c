/* SPDX-License-Identifier: MIT */
/* image.c - see image.h. libpng by its simplified interface and libjpeg-turbo by TurboJPEG's: both
 * return errors instead of jumping. */
#include "data/image.h"

#include <inttypes.h>
#include <png.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

enum { DEFLATE_RATIO = 1032, PNG_HEADER = 33 };

static nn_status bad(const char *name, const char *what, nn_err *err) {
    return nn_fail(err, NN_E_DATA_ERROR, "%s: %s", name, what);
}

static nn_status check_size(const char *name, int64_t height, int64_t width, nn_err *err) {
    if (height < 1 || width < 1) return bad(name, "an image without pixels", err);
    if (height <= NN_IMAGE_SIDE && width <= NN_IMAGE_SIDE && height * width <= NN_IMAGE_PIXELS)
        return NN_OK;
    nn_status s =
        nn_fail(err, NN_E_LIMIT,
                "%s: %" PRId64 " x %" PRId64 " pixels, at most %d a side and %d in all are read",
                name, height, width, NN_IMAGE_SIDE, NN_IMAGE_PIXELS);
    return nn_err_hint(err, s, "make it smaller first");
}

/* ---- PNG ---- */

static bool is_png(const uint8_t *p, size_t n) {
    static const uint8_t magic[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    return n >= sizeof magic && memcmp(p, magic, sizeof magic) == 0;
}

static uint32_t u32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The first chunk says how many bytes the pixels inflate to, and a file of n bytes cannot hold more
 * than DEFLATE_RATIO times as many (PNG specification, 11.2.2). */
static nn_status png_header(const uint8_t *p, size_t n, const char *name, nn_image *ret,
                            nn_err *err) {
    static const int samples[] = {1, 0, 3, 1, 2, 0, 4};
    if (n < PNG_HEADER || memcmp(p + 12, "IHDR", 4) != 0)
        return bad(name, "a PNG without a header", err);
    int type = p[25] < 7 ? p[25] : 1, depth = p[24];
    if (!samples[type] || depth < 1 || depth > 16) return bad(name, "a PNG of no known type", err);
    nn_image x = {u32(p + 20), u32(p + 16), type == 0 || type == 4 ? 1 : 3};
    nn_status s = check_size(name, x.height, x.width, err);
    if (s) return s;
    uint64_t bytes = (uint64_t)x.height * (uint64_t)((x.width * depth * samples[type] + 7) / 8);
    if (bytes / DEFLATE_RATIO > n)
        return nn_fail(err, NN_E_DATA_ERROR,
                       "%s: truncated: %" PRId64 " x %" PRId64
                       " pixels cannot be in a file of %zu bytes",
                       name, x.height, x.width, n);
    *ret = x;
    return NN_OK;
}

static nn_status png_failed(png_image *png, const char *name, nn_err *err) {
    nn_status s = nn_fail(err, NN_E_DATA_ERROR, "%s: a damaged PNG: %s", name, png->message);
    png_image_free(png);
    return s;
}

/* Colour, and what lies under transparent pixels, as they are in the file. */
static nn_status png_decode(const uint8_t *p, size_t n, const char *name, uint8_t **ret,
                            nn_image *x, int *ret_samples, nn_err *err) {
    png_image png = {.version = PNG_IMAGE_VERSION};
    if (!png_image_begin_read_from_memory(&png, p, n)) return png_failed(&png, name, err);
    bool colour = png.format & PNG_FORMAT_FLAG_COLOR, alpha = png.format & PNG_FORMAT_FLAG_ALPHA;
    png.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
    png.format = colour ? (alpha ? PNG_FORMAT_RGBA : PNG_FORMAT_RGB)
                        : (alpha ? PNG_FORMAT_GA : PNG_FORMAT_GRAY);
    *x = (nn_image){png.height, png.width, colour ? 3 : 1};
    nn_status s = check_size(name, x->height, x->width, err);
    uint8_t *out = s ? NULL : malloc(PNG_IMAGE_SIZE(png));
    if (!out) {
        png_image_free(&png);
        return s ? s : nn_fail(err, NN_E_OUT_OF_MEMORY, "%s: no memory for its pixels", name);
    }
    if (!png_image_finish_read(&png, NULL, out, 0, NULL) || PNG_IMAGE_FAILED(png)) {
        free(out);
        return png_failed(&png, name, err);
    }
    *ret_samples = x->channels + alpha;
    *ret = out;
    return NN_OK;
}

/* ---- JPEG ---- */

static bool is_jpeg(const uint8_t *p, size_t n) {
    return n >= 3 && p[0] == 0xff && p[1] == 0xd8 && p[2] == 0xff;
}

static nn_status jpeg_failed(tjhandle h, const char *name, nn_err *err) {
    nn_status s = nn_fail(err, NN_E_DATA_ERROR, "%s: a damaged JPEG: %s", name, tjGetErrorStr2(h));
    tjDestroy(h);
    return s;
}

static nn_status jpeg_header(tjhandle h, const uint8_t *p, size_t n, nn_image *ret) {
    int width = 0, height = 0, sampling = 0, space = 0; /* a file of tables alone sets none */
    if (tjDecompressHeader3(h, p, n, &width, &height, &sampling, &space)) return NN_E_DATA_ERROR;
    *ret = (nn_image){height, width, space == TJCS_GRAY ? 1 : 3};
    return NN_OK;
}

static nn_status jpeg_decode(const uint8_t *p, size_t n, const char *name, bool pixels,
                             uint8_t **ret, nn_image *x, nn_err *err) {
    tjhandle h = tjInitDecompress();
    if (!h) return nn_fail(err, NN_E_OUT_OF_MEMORY, "%s: no memory to decode it", name);
    if (jpeg_header(h, p, n, x)) return jpeg_failed(h, name, err);
    nn_status s = check_size(name, x->height, x->width, err);
    if (s || !pixels) {
        tjDestroy(h);
        return s;
    }
    uint8_t *out = malloc((size_t)(x->height * x->width * x->channels));
    int flags = TJFLAG_ACCURATEDCT | TJFLAG_STOPONWARNING | TJFLAG_LIMITSCANS;
    int format = x->channels == 1 ? TJPF_GRAY : TJPF_RGB;
    if (!out || tjDecompress2(h, p, n, out, (int)x->width, 0, (int)x->height, format, flags)) {
        free(out);
        if (out) return jpeg_failed(h, name, err);
        tjDestroy(h);
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "%s: no memory for its pixels", name);
    }
    tjDestroy(h);
    *ret = out;
    return NN_OK;
}

/* ---- both ---- */

static nn_status no_image(const char *name, nn_err *err) {
    nn_status s = bad(name, "neither a PNG nor a JPEG", err);
    return nn_err_hint(err, s, "convert it to PNG, or take it out of the folder");
}

nn_status nn_image_header(const void *p, size_t n, const char *name, nn_image *ret, nn_err *err) {
    nn_image x;
    nn_status s = is_png(p, n)    ? png_header(p, n, name, &x, err)
                  : is_jpeg(p, n) ? jpeg_decode(p, n, name, false, NULL, &x, err)
                                  : no_image(name, err);
    if (s == NN_OK) *ret = x;
    return s;
}

/* From `samples` bytes a pixel (grey, grey and alpha, RGB, RGBA) to `channels`, in place or into a
 * larger block. */
static void convert(const uint8_t *from, int samples, uint8_t *to, int channels, int64_t pixels) {
    for (int64_t i = 0; i < pixels; i++) {
        const uint8_t *p = from + i * samples;
        bool colour = samples >= 3;
        uint8_t luma =
            colour ? (uint8_t)((p[0] * 19595u + p[1] * 38470u + p[2] * 7471u + 0x8000u) >> 16)
                   : p[0];
        for (int c = 0; c < channels; c++)
            to[i * channels + c] = channels == 3 && colour ? p[c] : luma;
    }
}

nn_status nn_image_decode(const void *p, size_t n, const char *name, int channels, uint8_t **ret,
                          nn_image *ret_image, nn_err *err) {
    nn_image x;
    uint8_t *raw = NULL;
    nn_status s = nn_image_header(p, n, name, &x, err);
    int samples = 0;
    if (!s)
        s = is_png(p, n) ? png_decode(p, n, name, &raw, &x, &samples, err)
                         : jpeg_decode(p, n, name, true, &raw, &x, err);
    if (s) return s;
    if (samples == 0) samples = x.channels;
    if (samples != channels) {
        int64_t pixels = x.height * x.width;
        uint8_t *out = malloc((size_t)(pixels * channels));
        if (out) convert(raw, samples, out, channels, pixels);
        free(raw);
        if (!out) return nn_fail(err, NN_E_OUT_OF_MEMORY, "%s: no memory for its pixels", name);
        raw = out;
    }
    x.channels = channels;
    *ret = raw;
    *ret_image = x;
    return NN_OK;
}

/* Where an output pixel lies between two of the input's. */
typedef struct between {
    int64_t low, high;
    float share; /* of high */
} between;

static between place(int64_t i, int64_t in, int64_t out) {
    float at = ((float)i + 0.5f) * ((float)in / (float)out) - 0.5f;
    if (at < 0) at = 0;
    int64_t low = (int64_t)at;
    if (low > in - 1) low = in - 1;
    return (between){low, low + 1 < in ? low + 1 : low, at - (float)low};
}

void nn_image_resize(const uint8_t *from, const nn_image *in, uint8_t *to, int64_t height,
                     int64_t width) {
    int c = in->channels;
    for (int64_t y = 0; y < height; y++) {
        between v = place(y, in->height, height);
        const uint8_t *above = from + v.low * in->width * c, *below = from + v.high * in->width * c;
        for (int64_t x = 0; x < width; x++) {
            between h = place(x, in->width, width);
            for (int k = 0; k < c; k++) {
                float a = (float)above[h.low * c + k] * (1 - h.share) +
                          (float)above[h.high * c + k] * h.share;
                float b = (float)below[h.low * c + k] * (1 - h.share) +
                          (float)below[h.high * c + k] * h.share;
                *to++ = (uint8_t)(a * (1 - v.share) + b * v.share + 0.5f);
            }
        }
    }
}
