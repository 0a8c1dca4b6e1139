/* SPDX-License-Identifier: MIT */
/* nearest.h - "did you mean ...?": the name that a misspelt word was probably meant to be. Pure
 * function. */
#ifndef NN_BASE_NEAREST_H
#define NN_BASE_NEAREST_H

/* Nearest of `names` (NULL-terminated) to `word` by edit distance, any letter case (ASCII); NULL if
 * none is near: more than a third of the letters, rounded up, would have to change. Two neighbours
 * swapped count as one change. The first of equals. */
const char *nn_nearest(const char *word, const char *const *names);
#endif
