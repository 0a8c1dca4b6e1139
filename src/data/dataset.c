/* SPDX-License-Identifier: MIT */
/* dataset.c - the registry of formats, and what every set has: memory, names, limits. */
#include "data/dataset.h"

#include "base/mem.h"
#include "data/format.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define NN_DATASET(s) extern const nn_format nn_format_##s;
#include "data/datasets.def"
#undef NN_DATASET

static const nn_format *const formats[] = {
#define NN_DATASET(s) &nn_format_##s,
#include "data/datasets.def"
#undef NN_DATASET
};
enum { N_FORMATS = sizeof formats / sizeof *formats };

bool nn_data_ends_with(const char *s, const char *suffix) {
    size_t n = strlen(s), k = strlen(suffix);
    return n >= k && strcasecmp(s + n - k, suffix) == 0;
}

bool nn_data_is_folder(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool nn_data_is_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

nn_status nn_data_too_large(const char *what, uint64_t bytes, size_t max, nn_err *err) {
    nn_status s =
        nn_fail(err, NN_E_LIMIT, "%s: needs %" PRIu64 " bytes of memory, the limit is %zu", what,
                bytes, max);
    return nn_err_hint(err, s, "use a smaller part of the data set, or raise the limit");
}

/* Bytes that rows of samples and targets take; UINT64_MAX when that overflows. */
static uint64_t bytes_needed(int64_t rows, int64_t elements, size_t size, int target_width) {
    uint64_t a, b, sum;
    if (elements < 0 || __builtin_mul_overflow((uint64_t)rows, (uint64_t)elements, &a) ||
        __builtin_mul_overflow(a, size, &a) ||
        __builtin_mul_overflow((uint64_t)rows, 4u * (target_width ? (unsigned)target_width : 1u),
                               &b) ||
        __builtin_add_overflow(a, b, &sum))
        return UINT64_MAX;
    return sum;
}

nn_status nn_dataset_new(const nn_data_request *q, int64_t rows, const nn_shape *shape, int type,
                         int target_width, nn_dataset **ret, nn_err *err) {
    int64_t elements = nn_shape_elements(shape);
    size_t size = type == NN_ROWS_U8 ? 1 : sizeof(float);
    uint64_t need = bytes_needed(rows, elements, size, target_width);
    if (need > q->max_bytes) return nn_data_too_large(q->spec, need, q->max_bytes, err);
    if (rows > UINT32_MAX)
        return nn_fail(err, NN_E_LIMIT, "%s: %" PRId64 " rows, at most 2^32 - 1 can be addressed",
                       q->spec, rows);
    nn_dataset *d = calloc(1, sizeof *d);
    if (!d) abort();
    size_t bytes = (size_t)rows * (size_t)elements * size;
    d->name = strdup(q->spec);
    d->samples = nn_alloc_large(bytes, false);
    void *targets = calloc((size_t)rows + 1, 4u * (target_width ? (unsigned)target_width : 1u));
    if (target_width)
        d->targets = targets;
    else
        d->labels = targets;
    if (!d->name || !d->samples || !targets) {
        nn_dataset_free(d);
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "%s: no memory for %" PRIu64 " bytes", q->spec,
                       need);
    }
    d->split = q->split;
    d->rows = rows;
    d->shape = *shape;
    d->type = type == NN_ROWS_U8 ? NN_ROWS_U8 : NN_ROWS_F32;
    d->target_width = target_width;
    d->norm = type == NN_ROWS_U8 ? (nn_normalisation){1.0f / 255, 0} : (nn_normalisation){1, 0};
    *ret = d;
    return NN_OK;
}

void nn_dataset_free(nn_dataset *d) {
    if (!d) return;
    for (int i = 0; d->class_names && i < d->classes; i++) free(d->class_names[i]);
    free(d->class_names);
    nn_free_large(d->samples);
    free(d->labels);
    free(d->targets);
    free(d->name);
    free(d);
}

void nn_dataset_name_classes(nn_dataset *d, const char *const *names, int n) {
    d->class_names = calloc((size_t)n, sizeof *d->class_names);
    if (!d->class_names) abort();
    d->classes = n;
    for (int i = 0; i < n; i++) {
        d->class_names[i] = strdup(names[i]);
        if (!d->class_names[i]) abort();
    }
}

/* The axes of s that are longer than one, in order. */
static int significant(const nn_shape *s, int64_t dim[NN_MAX_RANK]) {
    int n = 0;
    for (int i = 0; i < s->rank; i++)
        if (s->dim[i] != 1) dim[n++] = s->dim[i];
    return n;
}

bool nn_dataset_fits(const nn_dataset *d, const nn_shape *input) {
    int64_t a[NN_MAX_RANK], b[NN_MAX_RANK];
    int n = significant(&d->shape, a), k = significant(input, b);
    if (n <= 1 || k <= 1) {
        int64_t want = nn_shape_elements(input);
        if (want >= 0) return want == nn_shape_elements(&d->shape);
    }
    if (n != k) return false;
    for (int i = 0; i < n; i++)
        if (a[i] != b[i] && b[i] != NN_DIM_UNKNOWN) return false;
    return true;
}

static const char *default_folder(void) {
    const char *s = getenv("NEURAL_DATA_DIR");
    return s && *s ? s : NULL;
}

static nn_status unknown(const char *spec, nn_err *err) {
    struct stat st;
    nn_status s;
    if (stat(spec, &st) == 0) {
        s = nn_fail(err, NN_E_DATA_ERROR, "%s: %s of no known format", spec,
                    S_ISDIR(st.st_mode) ? "a folder" : "a file");
        return nn_err_hint(
            err, s,
            "give a folder of IDX files (train-images-idx3-ubyte[.gz], ...), a folder "
            "or .npz with x_train, y_train, x_test, y_test, or a .csv");
    }
    s = nn_fail(err, NN_E_NOT_FOUND, "no data set is called '%s' and no file or folder lies there",
                spec);
    return nn_err_hint(err, s,
                       "known names: fashion-mnist, mnist, synthetic; or give the path of a folder "
                       "of IDX files, a .csv, .npy or .npz");
}

nn_status nn_dataset_open_with(const char *spec, nn_split split, const nn_dataset_options *options,
                               nn_dataset **ret, nn_err *err) {
    nn_data_request q = {.spec = spec, .split = split, .max_bytes = NN_DATASET_MAX_BYTES};
    if (options && options->max_bytes) q.max_bytes = options->max_bytes;
    q.folder = options && options->folder ? options->folder : default_folder();
    for (int i = 0; i < N_FORMATS; i++)
        if (formats[i]->recognise(&q)) return formats[i]->open(&q, ret, err);
    return unknown(spec, err);
}

nn_status nn_dataset_open(const char *spec, nn_split split, nn_dataset **ret, nn_err *err) {
    return nn_dataset_open_with(spec, split, NULL, ret, err);
}

int nn_dataset_list(nn_dataset_info *ret, int cap) {
    int n = 0;
    nn_dataset_info row;
    for (int f = 0; f < N_FORMATS; f++)
        for (int i = 0; formats[f]->list && formats[f]->list(i, default_folder(), &row); i++, n++)
            if (n < cap) ret[n] = row;
    return n;
}
