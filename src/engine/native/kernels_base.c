/* SPDX-License-Identifier: MIT */
#define VL              4
#define NN_KERNELS      nn_kernels_base
#define NN_KERNELS_NAME "base"
#include "engine/native/kernels_impl.h"
