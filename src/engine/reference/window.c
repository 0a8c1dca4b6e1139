/* SPDX-License-Identifier: MIT */
#include "engine/reference/window.h"

nn_ref_window nn_ref_window_make(const nn_window *w, const nn_shape *in, const nn_shape *out) {
    nn_ref_window v = {.places = 1, .taps = 1};
    for (int a = 0; a < 3; a++) {
        int s = a - (3 - w->spatial); /* leading axes are the ones filled up */
        v.in[a] = s < 0 ? 1 : in->dim[s];
        v.out[a] = s < 0 ? 1 : out->dim[s];
        v.size[a] = s < 0 ? 1 : w->size[s];
        v.stride[a] = s < 0 ? 1 : w->stride[s];
        v.dilation[a] = s < 0 ? 1 : w->dilation[s];
        v.pad[a] = s < 0 ? 0 : w->pad_before[s];
        v.places *= v.out[a];
        v.taps *= v.size[a];
    }
    return v;
}

static void split(int64_t i, const int64_t dim[3], int64_t ret[3]) {
    for (int a = 2; a >= 0; a--) {
        ret[a] = i % dim[a];
        i /= dim[a];
    }
}

int64_t nn_ref_window_at(const nn_ref_window *v, int64_t place, int64_t tap) {
    int64_t o[3], k[3], at = 0;
    split(place, v->out, o);
    split(tap, v->size, k);
    for (int a = 0; a < 3; a++) {
        int64_t i = o[a] * v->stride[a] - v->pad[a] + k[a] * v->dilation[a];
        if (i < 0 || i >= v->in[a]) return -1;
        at = at * v->in[a] + i;
    }
    return at;
}
