/* SPDX-License-Identifier: MIT */
/* image.h - PNG and JPEG files as bytes, channels last. The files are trusted in nothing: their
 * size is compared with what they say of themselves before memory is taken. Pure functions. */
#ifndef NN_DATA_IMAGE_H
#define NN_DATA_IMAGE_H
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum { NN_IMAGE_SIDE = 1 << 15, NN_IMAGE_PIXELS = 1 << 26, NN_IMAGE_FILE = 1 << 28 };

typedef struct nn_image {
    int64_t height, width;
    int channels; /* 1: grey, 3: RGB; what is transparent counts as what lies under it */
} nn_image;

/* By its first bytes, whatever its name; `name` is for messages. NN_E_DATA_ERROR: neither PNG nor
 * JPEG, or damaged. NN_E_LIMIT: more than the sizes above. */
nn_status nn_image_header(const void *p, size_t n, const char *name, nn_image *ret, nn_err *err);
/* The pixels as `channels` bytes each, malloc'ed. Grey from colour is ITU-R BT.601's luma. */
nn_status nn_image_decode(const void *p, size_t n, const char *name, int channels, uint8_t **ret,
                          nn_image *ret_image, nn_err *err);
/* Bilinear, corners not aligned, no averaging: out(y) lies at (y + 0.5) * in / out - 0.5, as
 * torch.nn.functional.interpolate(mode="bilinear") and tf.image.resize have it; rounded. */
void nn_image_resize(const uint8_t *from, const nn_image *in, uint8_t *to, int64_t height,
                     int64_t width);
#endif
