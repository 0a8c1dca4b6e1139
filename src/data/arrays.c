/* SPDX-License-Identifier: MIT */
/* arrays.c - sets of NumPy arrays: an .npz, or a folder of .npy files.
 *
 * Members are looked for by the names in `pairs`, in this order. Pairs of their own for training
 * and testing are taken as they are; one pair for all is divided as tables are (nn_data_split).
 * Where a network has several inputs, their arrays carry their names: `<input>_train` and
 * `<input>_test` beside y_train, or `<input>` beside y, of as many rows. Arrays of another number
 * of rows, or of no numbers, are no samples and left alone. Samples: uint8 stays bytes and is
 * scaled by 1/255; all other types become floats as they are; two axes of bytes are a grey image
 * and get a channel. Labels: integers are classes, rows with a single 1 among zeros are one-hot
 * classes, other floats are values. Integers on more axes are a class at each place of a sample; as
 * one of them may mean "none" to the network, it is there that they are checked (engine/fit.c). On
 * two axes they may as well be values: the network's loss takes the one or the other. */
#include "base/file.h"
#include "base/hash.h"
#include "data/format.h"
#include "data/npy.h"
#include "data/spool.h"
#include "data/stream.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <float.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_CLASSES = 100000 };

static const struct {
    const char *x[2], *y[2]; /* for training and testing; the same twice: one for all */
} pairs[] = {
    {{"x_train", "x_test"},           {"y_train", "y_test"}          },
    {{"X_train", "X_test"},           {"y_train", "y_test"}          },
    {{"train_images", "test_images"}, {"train_labels", "test_labels"}},
    {{"images", "images"},            {"labels", "labels"}           },
    {{"x", "x"},                      {"y", "y"}                     },
    {{"X", "X"},                      {"y", "y"}                     },
    {{"data", "data"},                {"target", "target"}           },
};
enum { N_PAIRS = sizeof pairs / sizeof *pairs };

/* How targets are called where all inputs have names of their own. */
static const char *const targets_called[] = {"y", "labels", "label", "targets", "target"};
enum { N_TARGETS = sizeof targets_called / sizeof *targets_called, NAME = 256 };
static const char *const endings[] = {"_train", "_test"};

/* Which arrays are what. */
typedef struct plan {
    char x[NN_DATASET_BLOCKS][NAME], y[NAME];
    char y_train[NAME]; /* what counts the classes of a test part of its own */
    char ending[8];     /* of the names, which is no part of an input's name */
    int n;
    bool apart;
} plan;

/* Where members come from: an archive in memory, or a folder. */
typedef struct source {
    const nn_data_request *q;
    char *archive; /* NULL: a folder */
    size_t archive_n;
    char folder[PATH_MAX];
    nn_hash *hash; /* of the members as they are read; NULL: not wanted */
} source;

typedef struct member {
    char name[PATH_MAX + 32]; /* "set.npz: x_train" or the file's path */
    char *bytes;              /* malloc'ed, or mapped; NULL: not there */
    size_t mapped;            /* bytes that are mapped; 0: malloc'ed */
    nn_npy array;
} member;

static void member_done(member *m) {
    if (m->mapped)
        munmap(m->bytes, m->mapped);
    else
        free(m->bytes);
}

static bool member_exists(const char *folder, const char *name) {
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s.npy", folder, name);
    return n > 0 && (size_t)n < sizeof path && nn_data_is_file(path);
}

/* A file of its own may be larger than memory. It must not be cut while the set is opened. */
static nn_status map_file(member *m, size_t *ret_n, nn_err *err) {
    struct stat st;
    int fd = open(m->name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        int e = errno;
        if (fd >= 0) close(fd);
        return nn_file_fail(err, e, "open", m->name);
    }
    void *p =
        st.st_size ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    close(fd);
    if (p == MAP_FAILED)
        return nn_fail(err, NN_E_DATA_ERROR, "%s: offset 0: truncated: an empty file", m->name);
    madvise(p, (size_t)st.st_size, MADV_SEQUENTIAL);
    m->bytes = p;
    *ret_n = m->mapped = (size_t)st.st_size;
    return NN_OK;
}

static nn_status read_bytes(source *s, const char *name, member *m, size_t *ret_n, nn_err *err) {
    if (!s->archive) {
        int n = snprintf(m->name, sizeof m->name, "%s/%s.npy", s->folder, name);
        if (n < 0 || (size_t)n >= sizeof m->name || !nn_data_is_file(m->name)) return NN_OK;
        return map_file(m, ret_n, err);
    }
    char file[64];
    snprintf(file, sizeof file, "%s.npy", name);
    snprintf(m->name, sizeof m->name, "%s: %s", s->q->spec, file);
    return nn_zip_read(s->archive, s->archive_n, s->q->spec, file, s->q->max_bytes, &m->bytes,
                       ret_n, err);
}

/* m->bytes stays NULL where there is no such member. */
static nn_status read_member(source *s, const char *name, member *m, nn_err *err) {
    size_t n = 0;
    nn_status status = read_bytes(s, name, m, &n, err);
    if (status || !m->bytes) return status;
    if (s->hash) nn_hash_add(s->hash, m->bytes, n);
    return nn_npy_parse(m->bytes, n, m->name, &m->array, err);
}

static nn_status check_samples(const member *x, nn_err *err) {
    if (x->array.rank < 2)
        return nn_fail(err, NN_E_DATA_ERROR, "%s: %d axis, samples need rows and at least one more",
                       x->name, x->array.rank);
    if (x->array.elements == 0)
        return nn_fail(err, NN_E_DATA_ERROR, "%s: holds no elements", x->name);
    return NN_OK;
}

static nn_status check_labels(const member *y, const member *x, nn_err *err) {
    bool whole = y->array.kind != 'f';
    int most = whole ? NN_MAX_RANK : 2;
    if (y->array.rank < 1 || y->array.rank > most || y->array.dim[0] != x->array.dim[0])
        return nn_fail(err, NN_E_DATA_ERROR,
                       "%s: %" PRId64 " rows on %d axes, expected one %s axes and the %" PRId64
                       " rows of %s",
                       y->name, y->array.rank ? y->array.dim[0] : 1, y->array.rank,
                       whole ? "to eight" : "or two", x->array.dim[0], x->name);
    if (whole && y->array.rank > 2 && y->array.elements > 0) return NN_OK;
    if (y->array.elements == 0 || y->array.elements / y->array.dim[0] > MAX_CLASSES)
        return nn_fail(err, NN_E_DATA_ERROR, "%s: %" PRId64 " targets a row, expected 1 to %d",
                       y->name, y->array.elements / y->array.dim[0], MAX_CLASSES);
    return NN_OK;
}

static nn_shape sample_shape(const nn_npy *a) {
    nn_shape s = {.rank = a->rank - 1};
    for (int i = 1; i < a->rank; i++) s.dim[i - 1] = a->dim[i];
    if (s.rank == 2 && a->kind == 'u') s.dim[s.rank++] = 1;
    return s;
}

/* Where element i lies in its .npy file. */
static int64_t offset_of(const member *m, int64_t i) {
    return (const char *)m->array.data - m->bytes + i * m->array.size;
}

static nn_status copy_row(const member *x, uint32_t row, const nn_block *b, void *to, nn_err *err) {
    const nn_npy *a = &x->array;
    int64_t width = b->stride, from = row * width;
    if (b->type == NN_ROWS_U8) {
        memcpy(to, a->data + from, (size_t)width);
        return NN_OK;
    }
    for (int64_t j = 0; j < width; j++) {
        double v = nn_npy_at(a, from + j);
        if (!(fabs(v) <= (double)FLT_MAX))
            return nn_fail(err, NN_E_DATA_ERROR,
                           "%s: offset %" PRId64 ": element %" PRId64
                           " of row %u is not a finite float",
                           x->name, offset_of(x, from + j), j, row);
        ((float *)to)[j] = (float)v;
    }
    return NN_OK;
}

/* Rows that do not fit into memory are read from their file where it holds them as they are, in
 * this order; else they are copied to one that does. All are checked once. */
static nn_status pass_samples(const member *x, const nn_order *part, bool as_is, nn_block *b,
                              nn_err *err) {
    size_t bytes = (size_t)b->stride * nn_rows_size(b->type);
    bool over = as_is && x->mapped &&
                (x->array.kind == 'u' || (x->array.kind == 'f' && x->array.size == 4));
    nn_status s = over ? nn_spool_over(x->name, (uint64_t)offset_of(x, 0), bytes, &b->reader, err)
                       : nn_spool_new(x->name, part->n, bytes, &b->reader, err);
    void *row = malloc(bytes);
    if (!row) abort();
    for (int64_t i = 0; !s && i < part->n; i++) {
        s = copy_row(x, part->index[i], b, row, err);
        if (!s && !over) s = nn_spool_put(b->reader, i, row, err);
    }
    free(row);
    return s;
}

static nn_status copy_samples(const member *x, const nn_order *part, bool as_is, nn_block *b,
                              nn_err *err) {
    size_t bytes = (size_t)b->stride * nn_rows_size(b->type);
    if (!b->data) return pass_samples(x, part, as_is, b, err);
    nn_status s = NN_OK;
    for (int64_t i = 0; !s && i < part->n; i++)
        s = copy_row(x, part->index[i], b, (char *)b->data + (size_t)i * bytes, err);
    return s;
}

/* The class of row i of a one-hot array; -1 if that row is not one. */
static int hot_class(const nn_npy *y, int64_t i) {
    int64_t width = y->dim[1], hot = -1;
    for (int64_t j = 0; j < width; j++) {
        double v = nn_npy_at(y, i * width + j);
        if (v != 0 && (v != 1 || hot >= 0)) return -1;
        if (v == 1) hot = j;
    }
    return (int)hot;
}

static bool is_one_hot(const nn_npy *y) {
    if (y->rank != 2 || y->dim[1] < 2) return false;
    for (int64_t i = 0; i < y->dim[0]; i++)
        if (hot_class(y, i) < 0) return false;
    return true;
}

/* Checks that labels are classes and counts them: the largest plus one. */
static nn_status count_classes(const member *y, int *ret, nn_err *err) {
    int64_t most = 0;
    for (int64_t i = 0; i < y->array.elements; i++) {
        double v = nn_npy_at(&y->array, i);
        if (v < 0 || v >= MAX_CLASSES)
            return nn_fail(err, NN_E_DATA_ERROR,
                           "%s: offset %" PRId64 ": label %.0f of row %" PRId64
                           " is out of range, expected 0 to %d",
                           y->name, offset_of(y, i), v, i, MAX_CLASSES - 1);
        if ((int64_t)v > most) most = (int64_t)v;
    }
    *ret = (int)most + 1;
    return NN_OK;
}

typedef struct targets {
    enum { CLASSES, ONE_HOT, VALUES, SITES } kind;
    int width, classes;
    int64_t sites; /* classes a row, of VALUES too; 0: none */
} targets;

/* The labels of places: any numbers, one of which may be no class. Counts the largest plus one. */
static nn_status count_sites(const member *y, targets *t, nn_err *err) {
    int64_t most = 0;
    t->sites = y->array.elements / y->array.dim[0];
    for (int64_t i = 0; i < y->array.elements; i++) {
        double v = nn_npy_at(&y->array, i);
        if (fabs(v) >= MAX_CLASSES)
            return nn_fail(err, NN_E_DATA_ERROR,
                           "%s: offset %" PRId64 ": label %.0f at place %" PRId64 " of row %" PRId64
                           " is out of range, expected 0 to %d",
                           y->name, offset_of(y, i), v, i % t->sites, i / t->sites,
                           MAX_CLASSES - 1);
        if ((int64_t)v > most) most = (int64_t)v;
    }
    t->classes = (int)most + 1;
    return NN_OK;
}

/* Whether numbers on two axes could be classes: larger ones are values. */
static bool fits_classes(const nn_npy *y) {
    for (int64_t i = 0; i < y->elements; i++)
        if (fabs(nn_npy_at(y, i)) >= MAX_CLASSES) return false;
    return true;
}

static nn_status classify(const member *y, targets *ret, nn_err *err) {
    const nn_npy *a = &y->array;
    int64_t width = a->elements / a->dim[0];
    *ret = (targets){.kind = VALUES, .width = (int)width};
    if (is_one_hot(a))
        *ret = (targets){.kind = ONE_HOT, .classes = (int)width};
    else if (a->kind != 'f' && width == 1) {
        *ret = (targets){.kind = CLASSES};
        return count_classes(y, &ret->classes, err);
    } else if (a->kind != 'f' && a->rank > 2) {
        *ret = (targets){.kind = SITES};
        return count_sites(y, ret, err);
    } else if (a->kind != 'f' && fits_classes(a)) {
        ret->sites = width;
    }
    return NN_OK;
}

/* Room for them in place of a label a row. */
static nn_status copy_sites(const source *s, const member *y, const targets *t,
                            const nn_order *part, nn_dataset *d, nn_err *err) {
    const nn_npy *a = &y->array;
    uint64_t rows = (uint64_t)part->n, need = rows * (uint64_t)t->sites * sizeof(int32_t);
    if (need > s->q->max_bytes) return nn_data_too_large(s->q->spec, need, s->q->max_bytes, err);
    d->site_labels = malloc((size_t)need + 1);
    d->site_row = malloc((size_t)rows * sizeof *d->site_row + 1);
    d->site_array = strdup(y->name);
    if (!d->site_labels || !d->site_row || !d->site_array)
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "%s: no memory for its labels", y->name);
    for (int64_t i = 0; i < part->n; i++) {
        d->site_row[i] = part->index[i];
        for (int64_t k = 0; k < t->sites; k++)
            d->site_labels[i * t->sites + k] =
                (int32_t)nn_npy_at(a, (int64_t)part->index[i] * t->sites + k);
    }
    d->site_stride = d->sites = t->sites;
    d->site_shape.rank = a->rank - 1;
    for (int k = 1; k < a->rank; k++) d->site_shape.dim[k - 1] = a->dim[k];
    if (t->kind != SITES) return NN_OK;
    free(d->labels);
    d->labels = NULL;
    return NN_OK;
}

static nn_status copy_targets(const member *y, const targets *t, const nn_order *part,
                              nn_dataset *d, nn_err *err) {
    for (int64_t i = 0; i < part->n; i++) {
        int64_t row = part->index[i];
        if (t->kind == CLASSES) d->labels[i] = (int32_t)nn_npy_at(&y->array, row);
        if (t->kind == ONE_HOT) d->labels[i] = hot_class(&y->array, row);
        for (int64_t j = 0; j < t->width; j++) {
            double v = nn_npy_at(&y->array, row * t->width + j);
            if (!(fabs(v) <= (double)FLT_MAX))
                return nn_fail(err, NN_E_DATA_ERROR,
                               "%s: row %" PRId64 ": a target that is not a finite float", y->name,
                               row);
            d->targets[i * t->width + j] = (float)v;
        }
    }
    d->classes = t->classes;
    return NN_OK;
}

/* For a test part of its own: the training labels say how many classes there are. */
static nn_status agree_classes(source *s, const char *y_train, const member *y, targets *t,
                               nn_err *err) {
    member train = {0};
    targets other = {0};
    nn_status status = read_member(s, y_train, &train, err);
    if (!status && train.bytes && train.array.rank > 0 && train.array.elements > 0)
        status = classify(&train, &other, err);
    member_done(&train);
    if (status || other.classes == 0) return status;
    if (t->classes > other.classes)
        return nn_fail(err, NN_E_DATA_ERROR, "%s: label %d is out of range: %s has classes 0 to %d",
                       y->name, t->classes - 1, y_train, other.classes - 1);
    t->classes = other.classes;
    return NN_OK;
}

static nn_status whole_order(int64_t rows, nn_order *ret, nn_err *err) {
    nn_order none = {0};
    nn_status s = nn_order_split(rows, 0, 0, ret, &none, err);
    if (!s) nn_order_done(&none);
    return s;
}

static nn_status order_of(const source *s, bool apart, int64_t rows, nn_order *ret, nn_err *err) {
    return apart ? whole_order(rows, ret, err)
                 : nn_data_split(s->q->spec, rows, s->q->split, ret, err);
}

/* The set with its first block, and where its rows lie in the arrays. */
static nn_status build(source *s, const plan *p, const member *x, const member *y,
                       nn_order *ret_part, nn_dataset **ret, nn_err *err) {
    targets t = {0};
    nn_status status = check_samples(x, err);
    if (!status) status = check_labels(y, x, err);
    if (!status) status = classify(y, &t, err);
    if (!status && p->apart && s->q->split == NN_SPLIT_TEST && t.kind != VALUES && t.kind != SITES)
        status = agree_classes(s, p->y_train, y, &t, err);
    nn_order part = {0};
    if (!status) status = order_of(s, p->apart, x->array.dim[0], &part, err);
    nn_dataset *d = NULL;
    nn_shape shape = sample_shape(&x->array);
    int type = x->array.kind == 'u' ? NN_ROWS_U8 : NN_ROWS_F32;
    if (!status) status = nn_dataset_new_rows(s->q, part.n, &shape, type, t.width, &d, err);
    if (!status) status = copy_samples(x, &part, p->apart, &d->block[0], err);
    if (!status) status = copy_targets(y, &t, &part, d, err);
    if (!status && t.sites) status = copy_sites(s, y, &t, &part, d, err);
    if (status) {
        nn_order_done(&part);
        nn_dataset_free(d);
        return status;
    }
    *ret_part = part;
    *ret = d;
    return NN_OK;
}

static nn_status no_arrays(const source *s, nn_err *err) {
    nn_status status = nn_fail(err, NN_E_DATA_ERROR, "%s: holds no samples for %s", s->q->spec,
                               s->q->split == NN_SPLIT_TRAIN ? "training" : "testing");
    return nn_err_hint(
        err, status,
        "expected arrays x_train, y_train, x_test, y_test, or images and labels, or x and y, "
        "or data and target; for several inputs <input>_train, <input>_test, y_train, y_test");
}

/* ---- which arrays there are ---- */

typedef struct names {
    char (*at)[NAME];
    int n;
} names;

static void add_name(names *l, const char *file, size_t n) {
    if (n < 5 || n - 4 >= NAME || memcmp(file + n - 4, ".npy", 4) != 0) return;
    l->at = realloc(l->at, (size_t)(l->n + 1) * sizeof *l->at);
    if (!l->at) abort();
    snprintf(l->at[l->n++], NAME, "%.*s", (int)(n - 4), file);
}

static int by_name(const void *a, const void *b) {
    return strcmp(a, b);
}

/* The names of all arrays, sorted. */
static nn_status list_names(const source *s, names *ret, nn_err *err) {
    nn_status status = NN_OK;
    if (s->archive) {
        const char *name = "";
        size_t n = 0;
        for (int i = 0; !status && name; i++) {
            status = nn_zip_name(s->archive, s->archive_n, s->q->spec, i, &name, &n, err);
            if (!status && name) add_name(ret, name, n);
        }
    } else {
        DIR *dir = opendir(s->folder);
        for (struct dirent *e; dir && (e = readdir(dir));)
            add_name(ret, e->d_name, strlen(e->d_name));
        if (dir) closedir(dir);
    }
    if (ret->n) qsort(ret->at, (size_t)ret->n, sizeof *ret->at, by_name);
    return status;
}

static bool has_name(const names *l, const char *name) {
    return l->n && bsearch(name, l->at, (size_t)l->n, sizeof *l->at, by_name);
}

/* Samples and targets under the usual names. */
static bool plan_pair(const names *l, nn_split part, plan *p) {
    for (int i = 0; i < N_PAIRS; i++) {
        if (!has_name(l, pairs[i].x[part])) continue;
        snprintf(p->x[0], NAME, "%s", pairs[i].x[part]);
        snprintf(p->y, NAME, "%s", pairs[i].y[part]);
        snprintf(p->y_train, NAME, "%s", pairs[i].y[NN_SPLIT_TRAIN]);
        p->apart = strcmp(pairs[i].x[0], pairs[i].x[1]) != 0;
        if (p->apart && nn_data_ends_with(p->x[0], endings[part]))
            snprintf(p->ending, sizeof p->ending, "%s", endings[part]);
        p->n = 1;
        return true;
    }
    return false;
}

/* Only targets have a usual name: with an ending that says of which part they are, or without. */
static bool plan_targets(const names *l, nn_split part, plan *p) {
    for (int apart = 1; apart >= 0; apart--)
        for (int i = 0; i < N_TARGETS; i++) {
            snprintf(p->ending, sizeof p->ending, "%s", apart ? endings[part] : "");
            snprintf(p->y, NAME, "%s%s", targets_called[i], p->ending);
            snprintf(p->y_train, NAME, "%s%s", targets_called[i], apart ? endings[0] : "");
            p->apart = apart;
            if (has_name(l, p->y)) return true;
        }
    return false;
}

/* Whether an array may be samples of one more input: by its name, and by rows and type. */
static nn_status is_samples(source *s, const plan *p, const char *name, int64_t rows, bool *ret,
                            nn_err *err) {
    *ret = false;
    size_t ending = strlen(p->ending), n = strlen(name);
    if (!strcmp(name, p->y) || (p->n && !strcmp(name, p->x[0])) || n <= ending ||
        strcmp(name + n - ending, p->ending) != 0 || (p->apart && !ending))
        return NN_OK;
    member m = {0};
    nn_err why;
    nn_hash *hash = s->hash;
    s->hash = NULL; /* hashed when it is read */
    nn_status status = read_member(s, name, &m, &why);
    s->hash = hash;
    *ret = !status && m.bytes && m.array.rank >= 1 && m.array.dim[0] == rows;
    member_done(&m);
    if (status == NN_OK || (status == NN_E_DATA_ERROR && !p->apart)) return NN_OK;
    if (err) *err = why;
    return status;
}

static nn_status plan_more(source *s, const names *l, int64_t rows, plan *p, nn_err *err) {
    for (int i = 0; i < l->n; i++) {
        bool samples;
        nn_status status = is_samples(s, p, l->at[i], rows, &samples, err);
        if (status) return status;
        if (!samples) continue;
        if (p->n == NN_DATASET_BLOCKS)
            return nn_fail(err, NN_E_LIMIT, "%s: samples for more than %d inputs", s->q->spec,
                           NN_DATASET_BLOCKS);
        snprintf(p->x[p->n++], NAME, "%s", l->at[i]);
    }
    return NN_OK;
}

/* ---- reading them ---- */

static void name_block(nn_block *b, const plan *p, int i) {
    const char *x = p->x[i];
    bool images = !strcmp(x, "train_images") || !strcmp(x, "test_images");
    free(b->name);
    b->name = images ? strdup("images") : strndup(x, strlen(x) - strlen(p->ending));
    if (!b->name) abort();
}

static nn_status add_input(source *s, const plan *p, int i, const nn_order *part, nn_dataset *d,
                           nn_err *err) {
    member x = {0};
    nn_status status = read_member(s, p->x[i], &x, err);
    if (!status && x.array.rank == 1) x.array.dim[x.array.rank++] = 1; /* a number a row */
    if (!status) status = check_samples(&x, err);
    nn_shape shape = sample_shape(&x.array);
    int type = x.array.kind == 'u' ? NN_ROWS_U8 : NN_ROWS_F32;
    if (!status) status = nn_dataset_add_block(d, s->q, &shape, type, err);
    if (!status) status = copy_samples(&x, part, p->apart, &d->block[i], err);
    member_done(&x);
    return status;
}

static nn_status read_targets(source *s, const plan *p, member *y, nn_err *err) {
    nn_status status = read_member(s, p->y, y, err);
    if (!status && !y->bytes)
        status = nn_fail(err, NN_E_DATA_ERROR, "%s: has %s, but not its labels %s", s->q->spec,
                         p->x[0], p->y);
    return status;
}

/* The rows that samples must have: those of the first, or of the targets. */
static nn_status first_rows(source *s, const plan *p, member *x, member *y, int64_t *ret,
                            nn_err *err) {
    nn_status status = NN_OK;
    if (p->n) status = read_member(s, p->x[0], x, err);
    if (!status) status = read_targets(s, p, y, err);
    const nn_npy *a = p->n ? &x->array : &y->array;
    if (!status) *ret = a->rank ? a->dim[0] : 1;
    return status;
}

static nn_status read_planned(source *s, const names *l, plan *p, nn_dataset **ret, nn_err *err) {
    member x = {0}, y = {0};
    nn_order part = {0};
    int64_t rows = 0;
    nn_dataset *d = NULL;
    nn_status status = first_rows(s, p, &x, &y, &rows, err);
    if (!status) status = plan_more(s, l, rows, p, err);
    if (!status && !p->n) status = no_arrays(s, err);
    if (!status && !x.bytes) status = read_member(s, p->x[0], &x, err);
    if (!status && x.array.rank == 1 && p->n > 1) x.array.dim[x.array.rank++] = 1;
    if (!status) status = build(s, p, &x, &y, &part, &d, err);
    member_done(&x);
    member_done(&y);
    for (int i = 1; !status && i < p->n; i++) status = add_input(s, p, i, &part, d, err);
    nn_order_done(&part);
    if (status) {
        nn_dataset_free(d);
        return status;
    }
    for (int i = 0; i < p->n; i++) name_block(&d->block[i], p, i);
    *ret = d;
    return NN_OK;
}

static nn_status note_files(const source *s, const plan *p, nn_dataset *d, nn_err *err) {
    if (s->archive) return nn_dataset_note_file(d, s->q->spec, err);
    nn_status status = NN_OK;
    for (int i = 0; !status && i <= p->n; i++) {
        char path[PATH_MAX + NAME + 8];
        snprintf(path, sizeof path, "%s/%s.npy", s->folder, i < p->n ? p->x[i] : p->y);
        status = nn_dataset_note_file(d, path, err);
    }
    return status;
}

static nn_status open_source(source *s, nn_dataset **ret, nn_err *err) {
    names l = {0};
    plan p = {0};
    nn_dataset *d = NULL;
    s->hash = nn_hash_new();
    nn_status status = list_names(s, &l, err);
    if (!status && !plan_pair(&l, s->q->split, &p) && !plan_targets(&l, s->q->split, &p))
        status = no_arrays(s, err);
    if (!status) status = read_planned(s, &l, &p, &d, err);
    free(l.at);
    char hex[NN_SHA256_HEX];
    nn_hash_end_hex(s->hash, hex);
    if (status) return status;
    memcpy(d->sha256, hex, sizeof hex);
    *ret = d;
    return note_files(s, &p, d, err);
}

/* A .npy by itself stands for its folder if it is called as one of a pair. */
static nn_status folder_of_npy(const char *path, char *folder, size_t cap, nn_err *err) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    for (int i = 0; i < N_PAIRS; i++)
        for (int p = 0; p < 2; p++) {
            size_t n = strlen(pairs[i].x[p]);
            if (strncmp(base, pairs[i].x[p], n) != 0 || strcmp(base + n, ".npy") != 0) continue;
            snprintf(folder, cap, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
            return NN_OK;
        }
    nn_status s = nn_fail(err, NN_E_DATA_ERROR, "%s: one array, without labels", path);
    return nn_err_hint(
        err, s,
        "put samples and labels into one folder as x_train.npy, y_train.npy, x_test.npy, "
        "y_test.npy, or as x.npy and y.npy");
}

static nn_status open_arrays(const nn_data_request *q, nn_dataset **ret, nn_err *err) {
    source s = {.q = q};
    nn_status status;
    if (nn_data_ends_with(q->spec, ".npz"))
        status = nn_stream_read_all(q->spec, q->max_bytes, NULL, &s.archive, &s.archive_n, err);
    else if (nn_data_ends_with(q->spec, ".npy"))
        status = folder_of_npy(q->spec, s.folder, sizeof s.folder, err);
    else {
        snprintf(s.folder, sizeof s.folder, "%s", q->spec);
        status = NN_OK;
    }
    if (!status) status = open_source(&s, ret, err);
    free(s.archive);
    return status;
}

static bool recognise(const nn_data_request *q) {
    if (nn_data_ends_with(q->spec, ".npz") || nn_data_ends_with(q->spec, ".npy")) return true;
    if (!nn_data_is_folder(q->spec)) return false;
    for (int i = 0; i < N_PAIRS; i++)
        for (int p = 0; p < 2; p++)
            if (member_exists(q->spec, pairs[i].x[p])) return true;
    for (int i = 0; i < N_TARGETS; i++)
        for (int p = 0; p < 3; p++) {
            char name[NAME];
            snprintf(name, sizeof name, "%s%s", targets_called[i], p < 2 ? endings[p] : "");
            if (member_exists(q->spec, name)) return true;
        }
    return false;
}

const nn_format nn_format_arrays = {.name = "arrays", .recognise = recognise, .open = open_arrays};
