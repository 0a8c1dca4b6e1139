/* SPDX-License-Identifier: MIT */
/* sets.h - the data sets that have a name: where they come from, what they may be used for, and how
 * one is known to be the right one. Pure functions over a constant table. */
#ifndef NN_DATA_SETS_H
#define NN_DATA_SETS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NN_SET_FILES = 4, NN_SET_ADDRESSES = 2 };

typedef struct nn_set_file {
    const char *name;                      /* in the set's folder */
    const char *address[NN_SET_ADDRESSES]; /* tried in this order */
    int64_t bytes;
    const char *sha256;
} nn_set_file;

typedef struct nn_set {
    const char *name, *summary, *format; /* a row of datasets.def */
    const char *licence, *citation, *home;
    const char *package, *system; /* Debian's, and where it puts the set; NULL: there is none */
    const char *open;             /* the file to open; NULL: the folder */
    int n_classes;                /* 0: the data says */
    const char *const *classes;
    nn_set_file file[NN_SET_FILES]; /* ends with a NULL name */
} nn_set;

const nn_set *nn_set_at(int i);              /* NULL past the end */
const nn_set *nn_set_find(const char *name); /* "FashionMNIST" and "fashion_mnist" are one name */
/* The set that a folder or file is by the last part of its path; NULL. */
const nn_set *nn_set_of_path(const char *path);
int64_t nn_set_bytes(const nn_set *s); /* of all files */
/* Where sets are downloaded to: $NEURAL_DATA_DIR, else $XDG_CACHE_HOME/neural/data, else
 * ~/.cache/neural/data. false: none of them is set, or the path is too long. */
bool nn_set_cache(char *path, size_t cap);
/* "neural data get mnist downloads it (11.6 MB), or ...": the ways to a set that is not there. */
const char *nn_set_hint(const nn_set *s, char *buf, size_t cap);
#endif
