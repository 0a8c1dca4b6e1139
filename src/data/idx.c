/* SPDX-License-Identifier: MIT */
/* idx.c - folders of IDX files: images and labels, for training and for testing. */
#include "data/idx.h"

#include "base/hash.h"
#include "data/format.h"
#include "data/spool.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TYPE_U8 = 0x08, MAX_CLASSES = 256 };

/* The spellings in which these files are met. */
static bool find_file(const char *folder, nn_split split, const char *kind, char *path,
                      size_t cap) {
    static const char *const parts[2][2] = {
        {"train", "training"},
        {"t10k",  "test"    }
    };
    for (int i = 0; i < 2 * 2 * 2 * NN_IDX_MAX_RANK; i++) {
        const char *part = parts[split][i & 1], *gz = i & 2 ? ".gz" : "";
        int n = snprintf(path, cap, "%s/%s-%s%cidx%d-ubyte%s", folder, part, kind,
                         i & 4 ? '.' : '-', 1 + (i >> 3), gz);
        if (n > 0 && (size_t)n < cap && nn_data_is_file(path)) return true;
    }
    return false;
}

static bool holds_idx(const char *folder) {
    char path[PATH_MAX];
    return find_file(folder, NN_SPLIT_TRAIN, "images", path, sizeof path) ||
           find_file(folder, NN_SPLIT_TEST, "images", path, sizeof path);
}

static bool recognise(const nn_data_request *q) {
    return nn_data_is_folder(q->spec) && holds_idx(q->spec);
}

static nn_status bad_header(nn_stream *s, int offset, const char *what, nn_err *err) {
    return nn_fail(err, NN_E_DATA_ERROR, "%s: offset %d: %s", nn_stream_path(s), offset, what);
}

static nn_status check_magic(nn_stream *s, const uint8_t m[4], int min_rank, int max_rank,
                             const char *what, nn_err *err) {
    const char *path = nn_stream_path(s);
    if (m[0] || m[1])
        return nn_fail(err, NN_E_DATA_ERROR,
                       "%s: offset 0: wrong magic %02x%02x%02x%02x, an IDX file begins with 0000",
                       path, m[0], m[1], m[2], m[3]);
    if (m[2] != TYPE_U8)
        return nn_fail(err, NN_E_DATA_ERROR,
                       "%s: offset 2: element type 0x%02x, only 0x08 (unsigned bytes) is read",
                       path, m[2]);
    if (m[3] < min_rank || m[3] > max_rank)
        return nn_fail(err, NN_E_DATA_ERROR, "%s: offset 3: %d axes, %s have %d%s", path, m[3],
                       what, min_rank, max_rank > min_rank ? " or more (at most 4)" : "");
    return NN_OK;
}

nn_status nn_idx_header(nn_stream *s, int min_rank, int max_rank, const char *what, nn_idx *ret,
                        nn_err *err) {
    uint8_t magic[4], raw[4 * NN_IDX_MAX_RANK];
    nn_status status = nn_stream_read(s, magic, 4, "the magic number", err);
    if (!status) status = check_magic(s, magic, min_rank, max_rank, what, err);
    if (!status) status = nn_stream_read(s, raw, 4u * magic[3], "the header", err);
    if (status) return status;
    nn_idx x = {.rank = magic[3], .bytes = 1};
    for (int i = 0; i < x.rank; i++) {
        const uint8_t *b = raw + 4 * i;
        x.dim[i] =
            (int64_t)((uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3]);
        if (x.dim[i] == 0) return bad_header(s, 4 + 4 * i, "an axis of length 0", err);
        if (__builtin_mul_overflow(x.bytes, (uint64_t)x.dim[i], &x.bytes))
            return bad_header(s, 4 + 4 * i, "the axes multiply to more than 2^64 elements", err);
    }
    if (x.bytes > nn_stream_most(s))
        return nn_fail(err, NN_E_DATA_ERROR,
                       "%s: offset 4: truncated: the header names %" PRIu64
                       " bytes, a file of this size holds at most %" PRIu64,
                       nn_stream_path(s), x.bytes, nn_stream_most(s));
    *ret = x;
    return NN_OK;
}

/* Labels of one part, in malloc'ed memory. */
static nn_status read_labels(const nn_data_request *q, const char *path, nn_hash *hash,
                             uint8_t **ret, int64_t *ret_n, nn_err *err) {
    __attribute__((cleanup(nn_stream_closep))) nn_stream *s = NULL;
    nn_idx h;
    nn_status status = nn_stream_open(path, hash, &s, err);
    if (!status) status = nn_idx_header(s, 1, 1, "labels", &h, err);
    if (status) return status;
    if (h.bytes > q->max_bytes) return nn_data_too_large(path, h.bytes, q->max_bytes, err);
    uint8_t *p = malloc(h.bytes);
    if (!p) return nn_fail(err, NN_E_OUT_OF_MEMORY, "%s: no memory for its labels", path);
    status = nn_stream_read(s, p, h.bytes, "the labels", err);
    if (!status) status = nn_stream_end(s, err);
    if (status) {
        free(p);
        return status;
    }
    *ret = p;
    *ret_n = h.dim[0];
    return NN_OK;
}

/* Images that do not fit into memory: they are checked and hashed, and stay in the file; those of a
 * compressed one are copied to a file where rows can be found. */
static nn_status pass_images(nn_stream *s, const nn_idx *h, nn_block *b, nn_err *err) {
    size_t bytes = (size_t)b->stride;
    const char *path = nn_stream_path(s);
    bool plain = nn_stream_is_plain(s);
    nn_status status = plain
                           ? nn_spool_over(path, 4 + 4 * (uint64_t)h->rank, bytes, &b->reader, err)
                           : nn_spool_new(path, h->dim[0], bytes, &b->reader, err);
    uint8_t *row = malloc(bytes);
    if (!row) abort();
    for (int64_t i = 0; !status && i < h->dim[0]; i++) {
        status = nn_stream_read(s, row, bytes, "the images", err);
        if (!status && !plain) status = nn_spool_put(b->reader, i, row, err);
    }
    free(row);
    return status;
}

static nn_status read_images(const nn_data_request *q, const char *path, nn_hash *hash,
                             nn_dataset **ret, nn_err *err) {
    __attribute__((cleanup(nn_stream_closep))) nn_stream *s = NULL;
    nn_idx h;
    nn_status status = nn_stream_open(path, hash, &s, err);
    if (!status) status = nn_idx_header(s, 2, NN_IDX_MAX_RANK, "images", &h, err);
    if (status) return status;
    nn_shape shape = {.rank = h.rank - 1};
    for (int i = 1; i < h.rank; i++) shape.dim[i - 1] = h.dim[i];
    if (shape.rank == 2) shape.dim[shape.rank++] = 1; /* grey: one channel, last */
    nn_dataset *d = NULL;
    status = nn_dataset_new_rows(q, h.dim[0], &shape, NN_ROWS_U8, 0, &d, err);
    if (!status && d->block[0].data)
        status = nn_stream_read(s, d->block[0].data, h.bytes, "the images", err);
    else if (!status)
        status = pass_images(s, &h, &d->block[0], err);
    if (!status) status = nn_stream_end(s, err);
    if (status) {
        nn_dataset_free(d);
        return status;
    }
    *ret = d;
    return NN_OK;
}

/* How many classes a folder without a name has: its training labels decide, for both parts. */
static nn_status count_classes(const nn_data_request *q, const char *folder, int *ret,
                               nn_err *err) {
    char path[PATH_MAX];
    if (!find_file(folder, NN_SPLIT_TRAIN, "labels", path, sizeof path)) {
        *ret = MAX_CLASSES;
        return NN_OK;
    }
    uint8_t *p = NULL, most = 0;
    int64_t n = 0;
    nn_status s = read_labels(q, path, NULL, &p, &n, err);
    if (s) return s;
    for (int64_t i = 0; i < n; i++) most = p[i] > most ? p[i] : most;
    free(p);
    *ret = most + 1;
    return NN_OK;
}

static nn_status fill_labels(nn_dataset *d, const uint8_t *labels, int64_t n, const char *path,
                             nn_err *err) {
    if (n != d->rows)
        return nn_fail(err, NN_E_DATA_ERROR,
                       "%s: offset 4: %" PRId64 " labels, but there are %" PRId64 " images", path,
                       n, d->rows);
    for (int64_t i = 0; i < n; i++) {
        if (labels[i] >= d->classes)
            return nn_fail(err, NN_E_DATA_ERROR,
                           "%s: offset %" PRId64 ": label %d of row %" PRId64
                           " is out of range, expected 0 to %d",
                           path, 8 + i, labels[i], i, d->classes - 1);
        d->labels[i] = labels[i];
    }
    return NN_OK;
}

static nn_status missing(const char *folder, nn_split split, const char *kind, nn_err *err) {
    const char *part = split == NN_SPLIT_TRAIN ? "train" : "t10k";
    nn_status s = nn_fail(err, NN_E_NOT_FOUND, "%s: has no %s-%s-idx%d-ubyte[.gz]", folder, part,
                          kind, kind[0] == 'i' ? 3 : 1);
    return nn_err_hint(err, s,
                       "the folder must hold images and labels of both parts: train and t10k");
}

static nn_status open_idx(const nn_data_request *q, nn_dataset **ret, nn_err *err) {
    const char *folder = q->spec;
    char images[PATH_MAX], labels[PATH_MAX];
    if (!find_file(folder, q->split, "images", images, sizeof images))
        return missing(folder, q->split, "images", err);
    if (!find_file(folder, q->split, "labels", labels, sizeof labels))
        return missing(folder, q->split, "labels", err);
    int classes = 0;
    nn_status s = count_classes(q, folder, &classes, err);
    if (s) return s;
    nn_hash *hash = nn_hash_new();
    nn_dataset *d = NULL;
    uint8_t *raw = NULL;
    int64_t n = 0;
    s = read_images(q, images, hash, &d, err);
    if (!s) s = read_labels(q, labels, hash, &raw, &n, err);
    if (!s) {
        d->classes = classes;
        s = fill_labels(d, raw, n, labels, err);
    }
    if (!s) s = nn_dataset_note_file(d, images, err);
    if (!s) s = nn_dataset_note_file(d, labels, err);
    free(raw);
    if (s) {
        nn_hash_free(hash);
        nn_dataset_free(d);
        return s;
    }
    nn_hash_end_hex(hash, d->sha256);
    *ret = d;
    return NN_OK;
}

const nn_format nn_format_idx = {.name = "idx", .recognise = recognise, .open = open_idx};
