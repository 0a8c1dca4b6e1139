/* SPDX-License-Identifier: MIT */
/* attr.h - the attributes of every op as a table of fields: written, read and printed by it.
 * Private to graph/. */
#ifndef NN_GRAPH_ATTR_H
#define NN_GRAPH_ATTR_H
#include "graph/reader.h"

/* Sets the members of object v. */
void nn_attr_write(nn_json *v, const nn_node *n);
/* Reads them back into *a, which is zero. A text in it is borrowed from the JSON. */
void nn_attr_read(nn_rd *r, nn_op op, nn_attr *a);
/* " key=value" for each, without those at their usual value; a flag is its key alone. */
void nn_attr_print(nn_buf *out, const nn_node *n);
#endif
