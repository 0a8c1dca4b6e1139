/* SPDX-License-Identifier: MIT */
/* augment.h - inside data/: images moved at random. What is drawn for a row depends on the seed,
 * the epoch and the row alone. Pure functions. */
#ifndef NN_DATA_AUGMENT_H
#define NN_DATA_AUGMENT_H
#include "data/dataset.h"

/* What happens to one image, in this order: it is mirrored; it is cut out, `down` and `right` of
 * where it lies, with zeros around it; it is turned by `angle` (radians, to the left) about its
 * middle, bilinear, zeros where nothing was. */
typedef struct nn_move {
    bool flip, vflip;
    int down, right;
    double angle;
} nn_move;

/* "flip+vflip+crop4+rotate10"; false: it is not that. */
bool nn_augment_parse(const char *text, nn_augment *ret);
bool nn_augment_any(const nn_augment *a);
nn_move nn_augment_draw(const nn_augment *a, const nn_draw *d, uint32_t row);
/* From one image to another, height x width x channels. */
void nn_augment_apply(const nn_move *m, const nn_shape *shape, const float *from, float *to);
#endif
