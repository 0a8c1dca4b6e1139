/* SPDX-License-Identifier: MIT */
/* fixture.h - a temporary folder with files in it, removed at the end of a test. */
#ifndef FIXTURE_H
#define FIXTURE_H
#include "data/dataset.h"
#include "t.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

typedef struct folder {
    char path[64];
    char *names[12];
    int n;
} folder;

static inline void folder_init(folder *f) {
    *f = (folder){.path = "/tmp/neural-data-XXXXXX"};
    assert_non_null(mkdtemp(f->path));
}

/* The path of a file in the folder, which is removed with the folder. */
static inline const char *folder_name(folder *f, const char *name) {
    assert_in_range(f->n, 0, sizeof f->names / sizeof f->names[0] - 1);
    assert_true(asprintf(&f->names[f->n], "%s/%s", f->path, name) > 0);
    return f->names[f->n++];
}

/* Writes a file and returns its path, which lives as long as the folder. */
static inline const char *folder_put(folder *f, const char *name, const void *p, size_t n) {
    const char *path = folder_name(f, name);
    size_t k = strlen(name);
    if (k > 3 && strcmp(name + k - 3, ".gz") == 0) {
        gzFile gz = gzopen(path, "wb");
        assert_non_null(gz);
        assert_int_equal(gzwrite(gz, p, (unsigned)n), (int)n);
        assert_int_equal(gzclose(gz), Z_OK);
        return path;
    }
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(p, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
    return path;
}

static inline void folder_done(folder *f) {
    while (f->n) {
        unlink(f->names[--f->n]);
        free(f->names[f->n]);
    }
    rmdir(f->path);
}

#define FOLDER  __attribute__((cleanup(folder_done))) folder
#define DATASET __attribute__((cleanup(nn_dataset_freep))) nn_dataset

/* Opening must fail with `code` and a message that holds `text`. */
#define CHECK_REFUSED(spec, split, status, text)                                                   \
    do {                                                                                           \
        nn_err e_ = {0};                                                                           \
        nn_dataset *d_ = (nn_dataset *)&e_, *before_ = d_;                                         \
        assert_int_equal(nn_dataset_open(spec, split, &d_, &e_), status);                          \
        assert_ptr_equal(d_, before_);                                                             \
        if (!strstr(e_.msg, text)) fail_msg("expected '%s' in '%s'", text, e_.msg);                \
    } while (0)
#endif
