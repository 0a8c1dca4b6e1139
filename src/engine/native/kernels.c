/* SPDX-License-Identifier: MIT */
/* kernels.c - which instruction sets there are. Built without special flags: it runs anywhere. */
#include "engine/native/kernels.h"

#if defined(__x86_64__)
static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
static bool has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

const nn_kernels *nn_kernels_at(unsigned i) {
    const nn_kernels *tables[4] = {0};
    int n = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (has_avx512()) tables[n++] = &nn_kernels_avx512;
    if (has_avx2()) tables[n++] = &nn_kernels_avx2;
#endif
    tables[n] = &nn_kernels_base;
    return i < 4 ? tables[i] : NULL;
}
