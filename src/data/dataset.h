/* SPDX-License-Identifier: MIT */
/* dataset.h - rows of samples and targets, and batches of them.
 *
 * A data set is opened once, read-only afterwards and shared between threads; samples stay in the
 * type of the file (bytes or floats) and become normalised floats when a batch is filled. A row has
 * one block of samples for each input of a network, most sets just one. What does not fit into
 * memory is read from its file, row by row. Formats
 * are rows of datasets.def: each knows how to recognise a name or path and how to read it. Damaged
 * files are refused with the file, the offset and the reason (NN_E_DATA_ERROR); a set that is not
 * there names the package or the path to give (NN_E_NOT_FOUND). */
#ifndef NN_DATA_DATASET_H
#define NN_DATA_DATASET_H
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/shape.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum nn_split { NN_SPLIT_TRAIN, NN_SPLIT_TEST } nn_split;

typedef struct nn_normalisation {
    float scale, offset; /* x = raw * scale + offset */
} nn_normalisation;

enum { NN_DATASET_BLOCKS = 8 }; /* as many as a graph has inputs */

/* Rows that are not in memory. */
typedef struct nn_row_reader {
    /* Writes the elements of one row, in the block's type. Thread safe. */
    nn_status (*read)(const struct nn_row_reader *r, int64_t row, void *to, nn_err *err);
    void (*close)(struct nn_row_reader *r);
} nn_row_reader;

/* What may happen to images on the way to training (augment.h): mirrored left and right or top and
 * bottom, each with probability 1/2; moved by at most `crop` pixels; turned by at most `degrees`.
 */
typedef struct nn_augment {
    bool flip, vflip;
    int crop;
    double degrees;
} nn_augment;
/* What the random numbers for it derive from, besides the row. */
typedef struct nn_draw {
    uint64_t seed, epoch;
} nn_draw;

/* What one input of a network is fed. */
typedef struct nn_block {
    char *name;     /* of that input; NULL: the only block, of whatever name */
    nn_shape shape; /* of one sample, channels-last: (28, 28, 1) */
    enum { NN_ROWS_U8, NN_ROWS_F32 } type;
    int64_t stride;        /* elements from one row to the next; fewer than elements(shape) where
                              rows overlap, as the windows over a text do */
    void *data;            /* the rows, row-major; NULL: behind the reader */
    nn_row_reader *reader; /* NULL: in memory */
    nn_normalisation norm;
    nn_augment augment;
} nn_block;

typedef struct nn_dataset {
    char *name; /* "fashion-mnist", or the path; with the options it was opened with */
    nn_split split;
    int64_t rows;
    int n_blocks;
    nn_block block[NN_DATASET_BLOCKS];
    int32_t *labels; /* class index a row; NULL when targets are values */
    /* For networks that answer at each of `sites` places of a sample: the classes there of row r
     * begin at r * site_stride. NULL: a row has its one label. */
    int32_t *site_labels;
    int64_t site_stride, sites;
    nn_shape site_shape; /* of the places; rank 0: they are a sequence */
    char *site_array;    /* where the file says the labels, for messages, and the row there of each
                            row; then they may be any numbers, and rows may have no labels or
                            targets besides. NULL: all are within `classes` */
    uint32_t *site_row;
    float *targets; /* rows x target_width; NULL when targets are classes */
    int target_width, classes;
    char **class_names; /* `classes` of them; NULL if the set names none */
    nn_json *record; /* an object: what the samples were made of and by, kept with the model; NULL:
                        nothing to say */
    char sha256[65]; /* of the content, for the record of what was trained on */
} nn_dataset;

/* Opens a set by name ("fashion-mnist", "synthetic", "synthetic:rows=512,classes=3,seed=7") or by
 * path (folder of IDX or .npy files, .csv, .npz; README.md says what each must hold). err->hint
 * says what to install or where to look. Named sets (sets.h) are looked for in
 * $NEURAL_DATA_DIR/<name>, in the cache that `neural data get` fills, then where their Debian
 * package puts them. Takes at most NN_DATASET_MAX_BYTES of memory. */
nn_status nn_dataset_open(const char *spec, nn_split split, nn_dataset **ret, nn_err *err);

#define NN_DATASET_MAX_BYTES ((size_t)8 << 30)
typedef struct nn_dataset_options {
    size_t max_bytes;   /* of memory while reading and after; 0: NN_DATASET_MAX_BYTES */
    const char *folder; /* holds a folder for each named set; NULL: $NEURAL_DATA_DIR, if set */
} nn_dataset_options;
/* The same with options; NULL: the defaults. NN_E_LIMIT past max_bytes. */
nn_status nn_dataset_open_with(const char *spec, nn_split split, const nn_dataset_options *options,
                               nn_dataset **ret, nn_err *err);
/* Whether samples of b can be fed to a network input of this shape without rearranging elements:
 * equal but for axes of length 1, or one of the two flat. Unknown axes of `input` fit anything. */
bool nn_block_fits(const nn_block *b, const nn_shape *input);
/* The block for the network input of this name, -1: none. A set's first block, where it has no name
 * or is called as samples usually are (x, images, data), serves an input that no block is named
 * after, if that is the network's only one. */
int nn_dataset_block(const nn_dataset *d, const char *input, bool only);
void nn_dataset_free(nn_dataset *d); /* NULL allowed */
static inline void nn_dataset_freep(nn_dataset **d) {
    nn_dataset_free(*d);
}

typedef struct nn_dataset_info { /* one row of `neural data list` and GET /datasets */
    const char *name, *format, *summary, *licence;
    char install_hint[512];
    bool available;
} nn_dataset_info;
int nn_dataset_list(nn_dataset_info *ret,
                    int cap); /* fills at most cap rows, returns how many there are */

/* The order in which rows are visited. Depends on seed and epoch only, so that a training can be
 * resumed anywhere. */
typedef struct nn_order {
    uint32_t *index;
    int64_t n;
} nn_order;
/* Rows [0, rows) shuffled by `split_seed` once, the last `validation` share of them kept apart:
 * ret_train and ret_valid are disjoint and together all rows. validation 0: all rows in ret_train.
 */
nn_status nn_order_split(int64_t rows, double validation, uint64_t split_seed, nn_order *ret_train,
                         nn_order *ret_valid, nn_err *err);
/* Permutes base into ret (same length, allocated once by the caller with nn_order_copy): the order
 * of `epoch` under `seed`. */
nn_status nn_order_copy(const nn_order *base, nn_order *ret, nn_err *err);
void nn_order_shuffle(const nn_order *base, uint64_t seed, uint64_t epoch, nn_order *ret);
void nn_order_done(nn_order *o);

/* Writes samples of rows index[0..n) as normalised floats: n x elements. `draw`: augmented, as the
 * block says; NULL: as they are, which is what validation and tests see. Fails only where rows are
 * behind a reader, or memory is refused for augmenting them. */
nn_status nn_batch_fill(const nn_block *b, const uint32_t *index, int64_t n, const nn_draw *draw,
                        float *x, nn_err *err);
/* Writes the labels of all their places: n x sites. */
void nn_batch_site_labels(const nn_dataset *d, const uint32_t *index, int64_t n, int32_t *labels);
/* Writes their targets to labels (n) or values (n x target_width); pointers that are NULL, and what
 * the set does not have, are skipped. */
void nn_batch_targets(const nn_dataset *d, const uint32_t *index, int64_t n, int32_t *labels,
                      float *values);
#endif
