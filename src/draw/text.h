/* SPDX-License-Identifier: MIT */
/* text.h - how a picture writes numbers, shapes and user text. Pure functions. */
#ifndef NN_DRAW_TEXT_H
#define NN_DRAW_TEXT_H
#include "base/buf.h"
#include "base/shape.h"

/* Appends n bytes as text of XML (HTML-like labels of Graphviz included): & < > " ' escaped, what
 * XML does not allow and line breaks as a space or U+FFFD. At most `chars` characters (0: any
 * number), then an ellipsis. */
void nn_draw_escape(nn_buf *out, const char *s, size_t n, int chars);
/* "28 × 28 × 32"; "?" if it is not known; a single number is "1". */
void nn_draw_shape(nn_buf *out, const nn_shape *s, bool known);
/* Number of characters. */
int nn_draw_width(const char *s);
/* "1,199,882". Returns buf. */
const char *nn_draw_count(int64_t n, char buf[32]);
/* "1.2 M"; "?" if negative. Returns buf. */
const char *nn_draw_short(int64_t n, char buf[32]);
#endif
