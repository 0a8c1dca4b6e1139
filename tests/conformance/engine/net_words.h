/* SPDX-License-Identifier: MIT */
/* net_words.h - the words of net.h's texts: which op, with which attributes. */
#ifndef TEST_NET_WORDS_H
#define TEST_NET_WORDS_H
#include "graph/graph.h"

nn_op net_op(const char *word);
/* words[0] is the op's; in: the shape of its first input, NULL without one. */
void net_attributes(nn_node_spec *spec, char **words, int n, const nn_shape *in);
#endif
