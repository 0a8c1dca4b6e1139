/* SPDX-License-Identifier: MIT */
/* dataset.c - the registry of formats, and what every set has: memory, names, limits. */
#include "data/dataset.h"

#include "base/mem.h"
#include "data/augment.h"
#include "data/format.h"
#include "data/options.h"
#include "data/sets.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
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

/* rows x width x size; UINT64_MAX when that overflows. */
static uint64_t bytes_needed(int64_t rows, int64_t width, size_t size) {
    uint64_t n;
    if (width < 0 || __builtin_mul_overflow((uint64_t)rows, (uint64_t)width, &n) ||
        __builtin_mul_overflow(n, size, &n))
        return UINT64_MAX;
    return n;
}

/* What the set holds already. */
static uint64_t bytes_held(const nn_dataset *d) {
    uint64_t n = (uint64_t)d->rows * 4u * (d->target_width ? (unsigned)d->target_width : 1u);
    for (int i = 0; i < d->n_blocks; i++)
        if (d->block[i].data)
            n += (uint64_t)(d->rows * d->block[i].stride) * nn_rows_size(d->block[i].type);
    return n;
}

static nn_status no_memory(const nn_data_request *q, uint64_t bytes, nn_err *err) {
    return nn_fail(err, NN_E_OUT_OF_MEMORY, "%s: no memory for %" PRIu64 " bytes", q->spec, bytes);
}

static nn_status add_block(nn_dataset *d, const nn_data_request *q, const nn_shape *shape, int type,
                           bool may_stay, nn_err *err) {
    uint64_t held = bytes_held(d);
    int64_t width = nn_shape_elements(shape);
    uint64_t need = bytes_needed(d->rows, width, nn_rows_size(type));
    bool fits = need <= q->max_bytes && held <= q->max_bytes - need;
    if (!fits && !may_stay)
        return nn_data_too_large(q->spec, need > UINT64_MAX - held ? UINT64_MAX : need + held,
                                 q->max_bytes, err);
    nn_block b = {
        .shape = *shape,
        .type = type == NN_ROWS_U8 ? NN_ROWS_U8 : NN_ROWS_F32,
        .stride = width,
        .norm = {type == NN_ROWS_U8 ? 1.0f / 255 : 1, 0}
    };
    b.data = fits ? nn_alloc_large((size_t)need, false) : NULL;
    if (fits && !b.data) return no_memory(q, need, err);
    d->block[d->n_blocks++] = b;
    return NN_OK;
}

nn_status nn_dataset_add_block(nn_dataset *d, const nn_data_request *q, const nn_shape *shape,
                               int type, nn_err *err) {
    return add_block(d, q, shape, type, true, err);
}

nn_status nn_dataset_new_targets(const nn_data_request *q, int64_t rows, int target_width,
                                 nn_dataset **ret, nn_err *err) {
    unsigned width = 4u * (target_width ? (unsigned)target_width : 1u);
    if (rows > UINT32_MAX)
        return nn_fail(err, NN_E_LIMIT, "%s: %" PRId64 " rows, at most 2^32 - 1 can be addressed",
                       q->spec, rows);
    if ((uint64_t)rows > q->max_bytes / width)
        return nn_data_too_large(q->spec, (uint64_t)rows * width, q->max_bytes, err);
    nn_dataset *d = calloc(1, sizeof *d);
    if (!d) abort();
    *d = (nn_dataset){.split = q->split, .rows = rows, .target_width = target_width};
    d->name = strdup(q->spec);
    void *targets = calloc((size_t)rows + 1, width);
    if (target_width)
        d->targets = targets;
    else
        d->labels = targets;
    if (!d->name || !targets) {
        nn_dataset_free(d);
        return no_memory(q, (uint64_t)rows * width, err);
    }
    *ret = d;
    return NN_OK;
}

static nn_status new_set(const nn_data_request *q, int64_t rows, const nn_shape *shape, int type,
                         int target_width, bool may_stay, nn_dataset **ret, nn_err *err) {
    nn_dataset *d = NULL;
    nn_status s = nn_dataset_new_targets(q, rows, target_width, &d, err);
    if (s) return s;
    s = add_block(d, q, shape, type, may_stay, err);
    if (s) {
        nn_dataset_free(d);
        return s;
    }
    *ret = d;
    return NN_OK;
}

nn_status nn_dataset_new(const nn_data_request *q, int64_t rows, const nn_shape *shape, int type,
                         int target_width, nn_dataset **ret, nn_err *err) {
    return new_set(q, rows, shape, type, target_width, false, ret, err);
}

nn_status nn_dataset_new_rows(const nn_data_request *q, int64_t rows, const nn_shape *shape,
                              int type, int target_width, nn_dataset **ret, nn_err *err) {
    return new_set(q, rows, shape, type, target_width, true, ret, err);
}

void nn_dataset_free(nn_dataset *d) {
    if (!d) return;
    for (int i = 0; d->class_names && i < d->classes; i++) free(d->class_names[i]);
    for (int i = 0; i < d->n_blocks; i++) {
        nn_free_large(d->block[i].data);
        if (d->block[i].reader) d->block[i].reader->close(d->block[i].reader);
        free(d->block[i].name);
    }
    free(d->class_names);
    nn_json_unref(d->record);
    free(d->labels);
    free(d->site_labels);
    free(d->site_array);
    free(d->site_row);
    free(d->targets);
    free(d->name);
    free(d);
}

void nn_dataset_note(nn_dataset *d, const char *key, nn_json *v) {
    if (!d->record) d->record = nn_json_new_object();
    nn_json_set(d->record, key, v);
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

bool nn_block_fits(const nn_block *block, const nn_shape *input) {
    int64_t a[NN_MAX_RANK], b[NN_MAX_RANK];
    int n = significant(&block->shape, a), k = significant(input, b);
    if (n <= 1 || k <= 1) {
        int64_t want = nn_shape_elements(input);
        if (want >= 0) return want == nn_shape_elements(&block->shape);
    }
    if (n != k) return false;
    for (int i = 0; i < n; i++)
        if (a[i] != b[i] && b[i] != NN_DIM_UNKNOWN) return false;
    return true;
}

int nn_dataset_block(const nn_dataset *d, const char *input, bool only) {
    static const char *const usual[] = {"x", "X", "images", "data"};
    for (int i = 0; i < d->n_blocks; i++)
        if (d->block[i].name && strcmp(d->block[i].name, input) == 0) return i;
    if (!only) return -1;
    if (!d->block[0].name) return 0;
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (strcmp(d->block[0].name, usual[i]) == 0) return 0;
    return -1;
}

static const char *default_folder(void) {
    const char *s = getenv("NEURAL_DATA_DIR");
    return s && *s ? s : NULL;
}

/* Known names, for hints. */
static const char *set_names(char *buf, size_t cap) {
    size_t n = (size_t)snprintf(buf, cap, "synthetic");
    for (int i = 0; nn_set_at(i) && n < cap; i++)
        n += (size_t)snprintf(buf + n, cap - n, ", %s", nn_set_at(i)->name);
    return buf;
}

static nn_status unknown(const char *spec, nn_err *err) {
    struct stat st;
    char names[256];
    nn_status s;
    if (stat(spec, &st) == 0) {
        s = nn_fail(err, NN_E_DATA_ERROR, "%s: %s of no known format", spec,
                    S_ISDIR(st.st_mode) ? "a folder" : "a file");
        return nn_err_hint(
            err, s,
            "give a folder of IDX files (train-images-idx3-ubyte[.gz], ...), a folder or .npz with "
            "x_train, y_train, x_test, y_test, a folder of images by class, a .csv or a .txt");
    }
    s = nn_fail(err, NN_E_NOT_FOUND, "no data set is called '%s' and no file or folder lies there",
                spec);
    return nn_err_hint(
        err, s,
        "known names: %s; or give the path of a folder of IDX files or images, a .csv, "
        ".npy, .npz or .txt",
        set_names(names, sizeof names));
}

static const nn_format *find_format(const char *name) {
    for (int i = 0; i < N_FORMATS; i++)
        if (strcmp(formats[i]->name, name) == 0) return formats[i];
    return NULL;
}

/* Whether the set is in folder/name (name NULL: in folder); then what to open of it. */
static bool set_is_in(const nn_set *s, const char *folder, const char *name, char path[PATH_MAX]) {
    int n = snprintf(path, PATH_MAX, "%s%s%s%s%s", folder, name ? "/" : "", name ? name : "",
                     s->open ? "/" : "", s->open ? s->open : "");
    if (n < 0 || n >= PATH_MAX) return false;
    if (s->open) return nn_data_is_file(path);
    return find_format(s->format)->recognise(&(nn_data_request){.spec = path});
}

static bool locate_set(const nn_set *s, const char *folder, char path[PATH_MAX]) {
    char cache[PATH_MAX];
    if (folder && set_is_in(s, folder, s->name, path)) return true;
    if (nn_set_cache(cache, sizeof cache) && set_is_in(s, cache, s->name, path)) return true;
    return s->system && set_is_in(s, s->system, NULL, path);
}

static nn_status open_by(const nn_format *f, const nn_data_request *q, nn_dataset **ret,
                         nn_err *err) {
    nn_status s = f->has_options ? NN_OK : nn_data_params(q, q->spec, NULL, 0, NULL, err);
    return s ? s : f->open(q, ret, err);
}

/* The classes that a set is known to have. */
static nn_status apply_set(const nn_set *set, nn_dataset *d, nn_err *err) {
    if (!set->n_classes || !d->labels) return NN_OK;
    if (d->classes > set->n_classes)
        return nn_fail(err, NN_E_DATA_ERROR, "%s: has labels up to %d, %s has %d classes", d->name,
                       d->classes - 1, set->name, set->n_classes);
    if (set->classes && !d->class_names) nn_dataset_name_classes(d, set->classes, set->n_classes);
    return NN_OK;
}

static nn_status open_set(const nn_set *set, const nn_data_request *q, const char *folder,
                          nn_dataset **ret, nn_err *err) {
    char path[PATH_MAX], hint[512];
    nn_data_request at = *q;
    if (!locate_set(set, folder, path)) {
        nn_status s =
            nn_fail(err, NN_E_NOT_FOUND, "the data set %s is not on this machine", set->name);
        return nn_err_hint(err, s, "%s", nn_set_hint(set, hint, sizeof hint));
    }
    at.spec = path;
    nn_status s = open_by(find_format(set->format), &at, ret, err);
    if (s) return s;
    free((*ret)->name);
    (*ret)->name = strdup(set->name);
    if (!(*ret)->name) abort();
    return apply_set(set, *ret, err);
}

static nn_status open_request(const nn_data_request *q, const char *folder, nn_dataset **ret,
                              nn_err *err) {
    const nn_set *set = nn_set_find(q->spec);
    if (set) return open_set(set, q, folder, ret, err);
    for (int i = 0; i < N_FORMATS; i++) {
        if (!formats[i]->recognise(q)) continue;
        nn_status s = open_by(formats[i], q, ret, err);
        set = nn_set_of_path(q->spec);
        return s || !set || strcmp(set->format, formats[i]->name) != 0 ? s
                                                                       : apply_set(set, *ret, err);
    }
    return unknown(q->spec, err);
}

/* What all formats do with their samples: how they are normalised and augmented. */
static nn_status apply_common(const nn_data_request *q, nn_dataset *d, nn_err *err) {
    bool images = false;
    for (int i = 0; i < d->n_blocks; i++) {
        nn_block *b = &d->block[i];
        nn_normalisation *n = &b->norm;
        if (q->normalise == NN_NORMALISE_NONE) *n = (nn_normalisation){1, 0};
        if (q->normalise == NN_NORMALISE_GIVEN)
            *n = (nn_normalisation){(float)((double)n->scale / q->deviation),
                                    (float)(((double)n->offset - q->mean) / q->deviation)};
        if (b->shape.rank != 3) continue;
        images = true;
        b->augment = q->augment;
    }
    if (images || !nn_augment_any(&q->augment)) return NN_OK;
    return nn_fail(err, NN_E_VALIDATION_ERROR,
                   "%s: augment is for images (height, width, channels), the samples are none",
                   q->spec);
}

/* A set is called by all that was said of it. */
static void add_to_name(nn_dataset *d, const char *options) {
    char *name = NULL;
    if (asprintf(&name, "%s:%s", d->name, options) < 0) abort();
    free(d->name);
    d->name = name;
}

nn_status nn_dataset_open_with(const char *spec, nn_split split, const nn_dataset_options *options,
                               nn_dataset **ret, nn_err *err) {
    size_t n = nn_data_spec_path(spec);
    const char *said = spec[n] ? spec + n + 1 : "";
    char *path = strndup(spec, n), *rest = malloc(strlen(said) + 1);
    if (!path || !rest) abort();
    nn_data_request q = {.spec = path, .options = rest, .split = split};
    q.max_bytes = options && options->max_bytes ? options->max_bytes : NN_DATASET_MAX_BYTES;
    const char *folder = options && options->folder ? options->folder : default_folder();
    nn_dataset *d = NULL;
    nn_status s = nn_data_common(said, &q, rest, err);
    if (!s) s = open_request(&q, folder, &d, err);
    if (!s) s = apply_common(&q, d, err);
    if (!s && *said) add_to_name(d, said);
    if (!s)
        *ret = d;
    else
        nn_dataset_free(d);
    free(path);
    free(rest);
    return s;
}

nn_status nn_dataset_open(const char *spec, nn_split split, nn_dataset **ret, nn_err *err) {
    return nn_dataset_open_with(spec, split, NULL, ret, err);
}

int nn_dataset_list(nn_dataset_info *ret, int cap) {
    int n = 0;
    char path[PATH_MAX];
    if (cap > 0)
        ret[0] =
            (nn_dataset_info){.name = "synthetic",
                              .format = "synthetic",
                              .summary = "made from a seed: rows, classes, shape, noise, pattern",
                              .licence = "none is needed",
                              .install_hint = "built in",
                              .available = true};
    for (const nn_set *s; (s = nn_set_at(n)); n++) {
        if (n + 1 >= cap) continue;
        nn_dataset_info *row = &ret[n + 1];
        *row = (nn_dataset_info){
            .name = s->name, .format = s->format, .summary = s->summary, .licence = s->licence};
        row->available = locate_set(s, default_folder(), path);
        nn_set_hint(s, row->install_hint, sizeof row->install_hint);
    }
    return n + 1;
}
