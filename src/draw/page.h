/* SPDX-License-Identifier: MIT */
/* page.h - a page about a network: its picture, and what each layer costs. */
#ifndef NN_DRAW_PAGE_H
#define NN_DRAW_PAGE_H
#include "draw/plan.h"

/* Appends one HTML file without outside references. Its policy allows the page's own style and
 * script, by their hashes, and nothing else. */
nn_status nn_page_write(nn_arena *arena, const nn_plan *p, nn_buf *out, nn_err *err);
#endif
