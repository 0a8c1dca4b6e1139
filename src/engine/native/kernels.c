/* SPDX-License-Identifier: MIT */
/* kernels.c - which instruction set to use. Built without special flags: it runs anywhere. */
#include "engine/native/kernels.h"

const nn_kernels *nn_kernels_best(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return &nn_kernels_avx512;
    if (avx2) return &nn_kernels_avx2;
#endif
    return &nn_kernels_base;
}
