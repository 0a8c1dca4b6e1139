/* SPDX-License-Identifier: MIT */
/* banned.h - functions that cannot be told how much room there is, or cannot say that they failed,
 * are compile errors. Every source of ours is compiled as if it began with this file
 * (CMakeLists.txt: -include); the headers that declare them come first. Instead: nn_buf and
 * snprintf; strsep; strtol with its end and errno looked at; getline. */
#ifndef NN_BASE_BANNED_H
#define NN_BASE_BANNED_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#pragma GCC poison strcpy strcat sprintf vsprintf strtok atoi atol atoll gets
#endif
