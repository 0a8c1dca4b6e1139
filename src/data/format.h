/* SPDX-License-Identifier: MIT */
/* format.h - inside data/: what a format is, and what the formats share. */
#ifndef NN_DATA_FORMAT_H
#define NN_DATA_FORMAT_H
#include "data/dataset.h"

typedef struct nn_data_request {
    const char *spec;    /* name or path, as the user wrote it */
    const char *options; /* of the format, what follows a ':' behind it; NULL: none */
    nn_split split;
    size_t max_bytes;
    nn_augment augment;
    enum { NN_NORMALISE_USUAL, NN_NORMALISE_NONE, NN_NORMALISE_GIVEN } normalise;
    double mean, deviation; /* NN_NORMALISE_GIVEN */
} nn_data_request;

typedef struct nn_format {
    const char *name;
    /* Whether spec is this format's: by its spelling or, for a path, by what lies there. */
    bool (*recognise)(const nn_data_request *q);
    nn_status (*open)(const nn_data_request *q, nn_dataset **ret, nn_err *err);
    bool has_options; /* reads them with nn_data_params (options.h) */
} nn_format;

/* Sets a member of d->record; takes v. */
void nn_dataset_note(nn_dataset *d, const char *key, nn_json *v);
/* Enters a file into d->record's "files": its path, size and SHA-256, which is computed here unless
 * it is known. */
nn_status nn_dataset_note_file(nn_dataset *d, const char *path, nn_err *err);
void nn_dataset_note_sum(nn_dataset *d, const char *path, int64_t bytes, const char *sha256);
/* A set without blocks yet. */
nn_status nn_dataset_new_targets(const nn_data_request *q, int64_t rows, int target_width,
                                 nn_dataset **ret, nn_err *err);
/* A set of one block with room for rows x elements(shape) samples of `type`, and for labels
 * (target_width 0) or targets. NN_E_LIMIT, naming `what` is being read, past max_bytes;
 * NN_E_OUT_OF_MEMORY. */
nn_status nn_dataset_new(const nn_data_request *q, int64_t rows, const nn_shape *shape, int type,
                         int target_width, nn_dataset **ret, nn_err *err);
/* The same, but the block has no data where its samples pass the memory left by max_bytes: the
 * caller then gives it a reader. */
nn_status nn_dataset_new_rows(const nn_data_request *q, int64_t rows, const nn_shape *shape,
                              int type, int target_width, nn_dataset **ret, nn_err *err);
/* One more block, in memory or not, for the set's rows. */
nn_status nn_dataset_add_block(nn_dataset *d, const nn_data_request *q, const nn_shape *shape,
                               int type, nn_err *err);
/* Bytes of an element. */
static inline size_t nn_rows_size(int type) {
    return type == NN_ROWS_U8 ? 1 : sizeof(float);
}
/* Copies n names into d->class_names and sets d->classes. */
void nn_dataset_name_classes(nn_dataset *d, const char *const *names, int n);
/* NN_E_LIMIT with the sizes and what to do. */
nn_status nn_data_too_large(const char *what, uint64_t bytes, size_t max, nn_err *err);

/* How rows of a source without a test part are divided: a fifth, at least one row, after a shuffle
 * by NN_SPLIT_SEED, is the test part. ret lists the rows of `split`, in the order of the shuffle.
 */
#define NN_SPLIT_SEED  UINT64_C(20)
#define NN_SPLIT_SHARE 0.2
nn_status nn_data_split(const char *name, int64_t rows, nn_split split, nn_order *ret, nn_err *err);

bool nn_data_ends_with(const char *s, const char *suffix); /* letter case does not matter */
bool nn_data_is_folder(const char *path);
bool nn_data_is_file(const char *path);
#endif
