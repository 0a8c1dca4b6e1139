/* SPDX-License-Identifier: MIT */
/* not_yet.c - the ops that the native engine does not run: planning refuses them by name. */
#include "engine/native/native.h"

#define NOT_YET(n) const nn_unit_kind nn_unit_##n = {.name = #n}

NOT_YET(reverse);
NOT_YET(layer_norm);
NOT_YET(group_norm);
NOT_YET(prelu);
NOT_YET(clip);
NOT_YET(noise);
NOT_YET(activity_reg);
NOT_YET(embedding);
NOT_YET(position);
NOT_YET(rnn);
NOT_YET(attention);
NOT_YET(concat);
NOT_YET(dot);
NOT_YET(custom);
