/* SPDX-License-Identifier: MIT */
/* cifar.c - the binary archives of CIFAR-10 and CIFAR-100, read as they were published
 * (https://www.cs.toronto.edu/~kriz/cifar.html): a tar of files of records. A record is one label,
 * or a coarse and a fine one, and 32 x 32 pixels, first all red ones, then green, then blue. */
#include "base/hash.h"
#include "data/format.h"
#include "data/stream.h"

#include <stdlib.h>
#include <string.h>

enum { SIDE = 32, PIXELS = SIDE * SIDE, RECORD = 3 * PIXELS, BLOCK = 512, MAX_NAMES = 1 << 16 };

/* What the archive's kind has in which members. */
typedef struct kind {
    const char *ending; /* of the archive */
    int labels, classes;
    int64_t rows[2];
    const char *part[2], *names; /* how members begin or are called */
} kind;

static const kind kinds[] = {
    {"cifar-10-binary.tar.gz",
     1, 10,
     {50000, 10000},
     {"data_batch_", "test_batch.bin"},
     "batches.meta.txt"    },
    {"cifar-100-binary.tar.gz",
     2, 100,
     {50000, 10000},
     {"train.bin", "test.bin"},
     "fine_label_names.txt"},
};

typedef struct archive {
    const nn_data_request *q;
    const kind *kind;
    nn_stream *s;
    nn_dataset *d;
    int64_t rows; /* read so far */
} archive;

static const kind *kind_of(const char *path) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (nn_data_ends_with(path, kinds[i].ending)) return &kinds[i];
    return NULL;
}

static nn_status bad(const archive *a, const char *what, nn_err *err) {
    return nn_fail(err, NN_E_DATA_ERROR, "%s: %s", a->q->spec, what);
}

static nn_status read_record(archive *a, nn_err *err) {
    uint8_t raw[2 + RECORD];
    const kind *k = a->kind;
    nn_status s = nn_stream_read(a->s, raw, (size_t)k->labels + RECORD, "a record", err);
    if (s) return s;
    int label = raw[k->labels - 1];
    if (label >= k->classes) return bad(a, "a label that is out of range", err);
    uint8_t *to = (uint8_t *)a->d->block[0].data + a->rows * RECORD;
    for (int i = 0; i < PIXELS; i++)
        for (int c = 0; c < 3; c++) to[3 * i + c] = raw[k->labels + c * PIXELS + i];
    a->d->labels[a->rows++] = label;
    return NN_OK;
}

static nn_status read_records(archive *a, uint64_t bytes, nn_err *err) {
    uint64_t record = (uint64_t)a->kind->labels + RECORD, n = bytes / record;
    if (bytes % record || n > (uint64_t)(a->d->rows - a->rows))
        return bad(a, "a file of records of another size or number", err);
    nn_status s = NN_OK;
    for (uint64_t i = 0; !s && i < n; i++) s = read_record(a, err);
    return s;
}

static nn_status read_names(archive *a, uint64_t bytes, nn_err *err) {
    if (bytes >= MAX_NAMES) return bad(a, "names of classes of more than 64 KiB", err);
    char *text = calloc(bytes + 1, 1), *rest = text;
    const char *names[100];
    int n = 0;
    if (!text) abort();
    nn_status s = nn_stream_read(a->s, text, bytes, "the names of classes", err);
    for (char *line; !s && n < a->kind->classes && (line = strsep(&rest, "\r\n"));)
        if (*line) names[n++] = line;
    if (!s && n != a->kind->classes) s = bad(a, "another number of classes than expected", err);
    if (!s && a->d->class_names) s = bad(a, "names of classes twice", err);
    if (!s) nn_dataset_name_classes(a->d, names, n);
    free(text);
    return s;
}

static nn_status skip(archive *a, uint64_t bytes, nn_err *err) {
    char block[BLOCK];
    nn_status s = NN_OK;
    for (; !s && bytes; bytes -= bytes < BLOCK ? bytes : BLOCK)
        s = nn_stream_read(a->s, block, bytes < BLOCK ? bytes : BLOCK, "a member", err);
    return s;
}

/* A number in octal, and whether it is one. */
static bool octal(const char *p, size_t n, uint64_t *ret) {
    uint64_t v = 0;
    size_t i = 0;
    for (; i < n && p[i] >= '0' && p[i] <= '7'; i++) v = v * 8 + (uint64_t)(p[i] - '0');
    *ret = v;
    return i > 0 && (i == n || p[i] == ' ' || p[i] == 0);
}

static nn_status read_member(archive *a, const char *name, uint64_t bytes, nn_err *err) {
    const char *part = a->kind->part[a->q->split], *base = strrchr(name, '/');
    base = base ? base + 1 : name;
    nn_status s = !strncmp(base, part, strlen(part)) ? read_records(a, bytes, err)
                  : !strcmp(base, a->kind->names)    ? read_names(a, bytes, err)
                                                     : skip(a, bytes, err);
    return s ? s : skip(a, (BLOCK - bytes % BLOCK) % BLOCK, err);
}

/* Members until the block of zeros that ends the archive (POSIX.1-1988, ustar). */
static nn_status read_members(archive *a, nn_err *err) {
    for (;;) {
        char header[BLOCK + 1] = {0}, name[101] = {0};
        uint64_t bytes;
        size_t got;
        nn_status s = nn_stream_some(a->s, header, BLOCK, &got, err);
        if (s || got == 0 || !header[0]) return s;
        memcpy(name, header, 100);
        if (got < BLOCK || !octal(header + 124, 12, &bytes))
            return bad(a, "not a tar archive, or truncated", err);
        s = read_member(a, name, bytes, err);
        if (s) return s;
    }
}

static nn_status open_cifar(const nn_data_request *q, nn_dataset **ret, nn_err *err) {
    archive a = {.q = q, .kind = kind_of(q->spec)};
    nn_hash *hash = nn_hash_new();
    char hex[NN_SHA256_HEX];
    nn_shape shape = {
        3, {SIDE, SIDE, 3}
    };
    if (!a.kind) a.kind = &kinds[0];
    nn_status s = nn_dataset_new(q, a.kind->rows[q->split], &shape, NN_ROWS_U8, 0, &a.d, err);
    if (!s) s = nn_stream_open(q->spec, hash, &a.s, err);
    if (!s) s = read_members(&a, err);
    nn_stream_close(a.s);
    nn_hash_end_hex(hash, hex);
    if (!s && a.rows != a.d->rows) s = bad(&a, "truncated: fewer images than there should be", err);
    if (s) {
        nn_dataset_free(a.d);
        return s;
    }
    a.d->classes = a.kind->classes;
    memcpy(a.d->sha256, hex, sizeof hex);
    *ret = a.d;
    return nn_dataset_note_file(a.d, q->spec, err);
}

static bool recognise(const nn_data_request *q) {
    return kind_of(q->spec) != NULL;
}

const nn_format nn_format_cifar = {.name = "cifar", .recognise = recognise, .open = open_cifar};
