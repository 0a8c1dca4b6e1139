/* SPDX-License-Identifier: MIT */
/* stream.c - see stream.h. zlib reads plain files through the same calls. */
#include "data/stream.h"

#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { CHUNK = 1 << 20, DEFLATE_RATIO = 1032 };

struct nn_stream {
    gzFile gz;
    char *path;
    nn_hash *hash;
    uint64_t size; /* of the file as it lies on disk */
    uint64_t at;   /* decompressed bytes read */
};

static nn_status open_error(const char *path, nn_err *err) {
    int e = errno;
    nn_status code = e == ENOENT || e == ENOTDIR ? NN_E_NOT_FOUND : NN_E_STORAGE_ERROR;
    return nn_fail(err, code, "%s: cannot be opened: %s", path, strerror(e));
}

static nn_status open_fd(const char *path, int *ret_fd, uint64_t *ret_size, nn_err *err) {
    /* O_NONBLOCK: opening a pipe that nobody writes to would wait forever */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return open_error(path, err);
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return nn_fail(err, NN_E_DATA_ERROR, "%s: is not a regular file", path);
    }
    *ret_fd = fd;
    *ret_size = (uint64_t)st.st_size;
    return NN_OK;
}

nn_status nn_stream_open(const char *path, nn_hash *hash, nn_stream **ret, nn_err *err) {
    int fd = -1;
    uint64_t size = 0;
    nn_status s = open_fd(path, &fd, &size, err);
    if (s) return s;
    nn_stream *x = calloc(1, sizeof *x);
    if (!x) abort();
    *x = (nn_stream){.path = strdup(path), .hash = hash, .size = size, .gz = gzdopen(fd, "rb")};
    if (!x->path || !x->gz) abort();
    gzbuffer(x->gz, CHUNK / 4);
    *ret = x;
    return NN_OK;
}

void nn_stream_close(nn_stream *s) {
    if (!s) return;
    gzclose_r(s->gz);
    free(s->path);
    free(s);
}

bool nn_stream_is_plain(const nn_stream *s) {
    return gzdirect(s->gz);
}

const char *nn_stream_path(const nn_stream *s) {
    return s->path;
}

static nn_status broken(const nn_stream *s, nn_err *err) {
    int code = Z_OK;
    const char *text = gzerror(s->gz, &code);
    if (code == Z_ERRNO)
        return nn_fail(err, NN_E_STORAGE_ERROR, "%s: offset %llu: cannot be read: %s", s->path,
                       (unsigned long long)s->at, strerror(errno));
    return nn_fail(err, NN_E_DATA_ERROR, "%s: offset %llu: the gzip stream is damaged: %s", s->path,
                   (unsigned long long)s->at, text);
}

nn_status nn_stream_some(nn_stream *s, void *p, size_t n, size_t *ret_n, nn_err *err) {
    size_t done = 0;
    while (done < n) {
        size_t want = n - done < CHUNK ? n - done : CHUNK;
        int got = gzread(s->gz, (char *)p + done, (unsigned)want);
        if (got < 0) return broken(s, err);
        if (got == 0) break;
        if (s->hash) nn_hash_add(s->hash, (char *)p + done, (size_t)got);
        done += (size_t)got;
        s->at += (uint64_t)got;
    }
    int code = Z_OK;
    gzerror(s->gz, &code);
    if (code != Z_OK) return broken(s, err); /* a cut gzip stream reads short, then says so */
    *ret_n = done;
    return NN_OK;
}

nn_status nn_stream_read(nn_stream *s, void *p, size_t n, const char *what, nn_err *err) {
    uint64_t from = s->at;
    size_t got = 0;
    nn_status status = nn_stream_some(s, p, n, &got, err);
    if (status || got == n) return status;
    return nn_fail(err, NN_E_DATA_ERROR,
                   "%s: offset %llu: truncated: %s needs %zu bytes from offset %llu, the file ends "
                   "after %zu",
                   s->path, (unsigned long long)s->at, what, n, (unsigned long long)from, got);
}

nn_status nn_stream_end(nn_stream *s, nn_err *err) {
    uint64_t at = s->at;
    char byte;
    size_t got = 0;
    nn_status status = nn_stream_some(s, &byte, 1, &got, err);
    if (status || got == 0) return status;
    return nn_fail(err, NN_E_DATA_ERROR,
                   "%s: offset %llu: the file goes on after the last element that its header names",
                   s->path, (unsigned long long)at);
}

uint64_t nn_stream_most(const nn_stream *s) {
    if (gzdirect(s->gz)) return s->size;
    return s->size > UINT64_MAX / DEFLATE_RATIO ? UINT64_MAX : s->size * DEFLATE_RATIO;
}

nn_status nn_stream_read_all(const char *path, size_t max, nn_hash *hash, char **ret, size_t *ret_n,
                             nn_err *err) {
    __attribute__((cleanup(nn_stream_closep))) nn_stream *s = NULL;
    nn_status status = nn_stream_open(path, hash, &s, err);
    if (status) return status;
    char *p = NULL;
    size_t n = 0, cap = 0;
    for (;;) {
        if (n + CHUNK + 1 > cap) {
            cap = cap ? cap * 2 : s->size < max ? (size_t)s->size + CHUNK + 2 : CHUNK + 1;
            char *bigger = realloc(p, cap);
            if (!bigger) {
                free(p);
                return nn_fail(err, NN_E_OUT_OF_MEMORY, "%s: no memory for %zu bytes", path, cap);
            }
            p = bigger;
        }
        size_t got = 0;
        status = nn_stream_some(s, p + n, CHUNK, &got, err);
        n += got;
        if (!status && n > max)
            status =
                nn_fail(err, NN_E_LIMIT, "%s: holds more than the limit of %zu bytes", path, max);
        if (status) {
            free(p);
            return status;
        }
        if (got < CHUNK) break;
    }
    p[n] = 0;
    *ret = p;
    *ret_n = n;
    return NN_OK;
}
