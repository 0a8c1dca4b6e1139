/* SPDX-License-Identifier: MIT */
/* layout.h - Graphviz: where everything stands, and the picture of it. One call at a time in the
 * process (a lock inside). */
#ifndef NN_DRAW_LAYOUT_H
#define NN_DRAW_LAYOUT_H
#include "draw/plan.h"

/* Lays the plan out, column by column, and appends it in Graphviz's `format` ("svg", "png").
 * title: as in nn_dot. NN_E_UNSUPPORTED with Graphviz's own words if a part of it is missing here.
 */
nn_status nn_layout_render(nn_arena *arena, const nn_plan *p, const char *format, bool title,
                           nn_buf *out, nn_err *err);
#endif
