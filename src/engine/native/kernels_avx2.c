/* SPDX-License-Identifier: MIT */
#if defined(__x86_64__)
#define VL              8
#define NN_KERNELS      nn_kernels_avx2
#define NN_KERNELS_NAME "avx2"
#include "engine/native/kernels_impl.h"
#else
typedef int nn_no_kernels_here;
#endif
