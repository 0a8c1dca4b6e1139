/* SPDX-License-Identifier: MIT */
/* download.h - a file over HTTP(S), known by its SHA-256, once. One thread at a time. */
#ifndef NN_CLI_DOWNLOAD_H
#define NN_CLI_DOWNLOAD_H
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct nn_download {
    const char *address;
    const char *path;   /* of the file in the end; until then the bytes lie in <path>.part */
    int64_t bytes;      /* -1: not known */
    const char *sha256; /* 64 digits */
    bool quiet;         /* no progress on stderr */
} nn_download;

/* Goes on where an earlier attempt stopped, if the server can; follows redirects; tries again,
 * twice, when a connection breaks off. The file appears under its name when it is whole and its sum
 * is right, or not at all. NN_E_COMPONENT_UNAVAILABLE: the host cannot be reached;
 * NN_E_UPSTREAM_ERROR: it answered something else; NN_E_UPSTREAM_TIMEOUT: it fell silent for a
 * minute
 * ($NEURAL_DOWNLOAD_TIMEOUT seconds); NN_E_DATA_ERROR: the file is another one, and is removed;
 * NN_E_CONFLICT: another process is downloading it. */
nn_status nn_download_get(const nn_download *d, nn_err *err);
#endif
