/* SPDX-License-Identifier: MIT */
/* Any bytes as an IDX file of images, plain or compressed: refused, or as many bytes as its header
 * says. */
#include "data/idx.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    char path[64];
    nn_err err;
    int fd = memfd_create("fuzz", 0);
    if (fd < 0 || write(fd, p, n) != (ssize_t)n) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    nn_stream *s = NULL;
    nn_idx h;
    if (nn_stream_open(path, NULL, &s, &err) != NN_OK) abort();
    if (nn_idx_header(s, 2, NN_IDX_MAX_RANK, "images", &h, &err) == NN_OK && h.bytes < 1 << 24) {
        void *data = malloc(h.bytes);
        if (!data) abort();
        if (nn_stream_read(s, data, h.bytes, "the images", &err) == NN_OK)
            (void)nn_stream_end(s, &err);
        free(data);
    }
    nn_stream_close(s);
    close(fd);
    return 0;
}
