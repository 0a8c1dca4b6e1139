/* SPDX-License-Identifier: MIT */
#if defined(__x86_64__)
#define VL              16
#define NN_KERNELS      nn_kernels_avx512
#define NN_KERNELS_NAME "avx512"
#include "engine/native/kernels_impl.h"
#else
typedef int nn_no_kernels_here;
#endif
