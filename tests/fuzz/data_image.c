/* SPDX-License-Identifier: MIT */
/* Any bytes as an image: refused, or as many pixels as its header says. */
#include "data/image.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    nn_err err;
    nn_image header, image;
    uint8_t *pixels = NULL, small[6 * 5 * 3];
    if (nn_image_header(p, n, "fuzz", &header, &err) != NN_OK) return 0;
    if (header.height * header.width > 1 << 20) return 0; /* nothing new, only slow */
    if (nn_image_decode(p, n, "fuzz", 3, &pixels, &image, &err) != NN_OK) return 0;
    if (image.height != header.height || image.width != header.width) abort();
    nn_image_resize(pixels, &image, small, 6, 5);
    free(pixels);
    return 0;
}
