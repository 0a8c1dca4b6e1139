/* SPDX-License-Identifier: MIT */
#include "data/spool.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct spool {
    nn_row_reader reader;
    int fd;
    char *name; /* of the file, for messages */
    uint64_t offset;
    size_t bytes;
} spool;

static nn_status read_row(const nn_row_reader *r, int64_t row, void *to, nn_err *err) {
    const spool *s = (const spool *)r;
    uint64_t at = s->offset + (uint64_t)row * s->bytes;
    for (size_t done = 0; done < s->bytes;) {
        ssize_t n = pread(s->fd, (char *)to + done, s->bytes - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return nn_file_fail(err, errno, "read", s->name);
        if (n == 0)
            return nn_fail(err, NN_E_STORAGE_ERROR,
                           "%s: ends before row %" PRId64 ": the file was cut while it was in use",
                           s->name, row);
        done += (size_t)n;
    }
    return NN_OK;
}

static void close_spool(nn_row_reader *r) {
    spool *s = (spool *)r;
    close(s->fd);
    free(s->name);
    free(s);
}

static nn_row_reader *new_spool(int fd, const char *name, uint64_t offset, size_t bytes) {
    spool *s = malloc(sizeof *s);
    if (!s) abort();
    *s = (spool){
        {read_row, close_spool},
        fd, strdup(name), offset, bytes
    };
    if (!s->name) abort();
    return &s->reader;
}

nn_status nn_spool_over(const char *path, uint64_t offset, size_t bytes, nn_row_reader **ret,
                        nn_err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return nn_file_fail(err, errno, "open", path);
    *ret = new_spool(fd, path, offset, bytes);
    return NN_OK;
}

nn_status nn_spool_new(const char *what, int64_t rows, size_t bytes, nn_row_reader **ret,
                       nn_err *err) {
    const char *folder = getenv("TMPDIR");
    if (!folder || !*folder) folder = "/var/tmp";
    uint64_t need;
    if (__builtin_mul_overflow((uint64_t)rows, bytes, &need) || need > INT64_MAX)
        return nn_fail(err, NN_E_LIMIT, "%s: its rows pass 2^63 bytes", what);
    nn_status s = nn_disk_check(folder, need, err);
    if (s)
        return nn_err_hint(err, s, "%s does not fit into memory; set TMPDIR to a larger disk",
                           what);
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) return nn_file_fail(err, errno, "make a temporary file in", folder);
    *ret = new_spool(fd, what, 0, bytes);
    return NN_OK;
}

nn_status nn_spool_put(nn_row_reader *r, int64_t row, const void *p, nn_err *err) {
    spool *s = (spool *)r;
    uint64_t at = (uint64_t)row * s->bytes;
    for (size_t done = 0; done < s->bytes;) {
        ssize_t n = pwrite(s->fd, (const char *)p + done, s->bytes - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return nn_file_fail(err, errno, "write a temporary copy of", s->name);
        done += (size_t)n;
    }
    return NN_OK;
}
