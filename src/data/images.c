/* SPDX-License-Identifier: MIT */
/* images.c - a folder of images by class: FOLDER/CLASS/NAME.png (jpg, jpeg), or train/CLASS/... and
 * test/<class>/... (val/ serves where there is no test/).
 *
 * Classes are the folders' names in the order of their bytes. Headers are read and files are hashed
 * when the set is opened. If all pixels fit into memory they are decoded then, else image by image
 * when a batch is filled, and a damaged one is found there. The set's digest is that of the lines
 * "<sha256 of the file>  <path below the folder>" in the order of rows: what sha256sum prints. */
#include "base/buf.h"
#include "base/file.h"
#include "base/hash.h"
#include "data/image.h"
#include "data/options.h"

#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CLASSES = 100000, MAX_NOTED = 1000 };

typedef struct recipe {
    nn_shape size; /* height x width; rank 0: as the images are */
    int channels;  /* 0: as the images are */
} recipe;

/* The rows of a part, and what they decode to. It is the block's reader if they are not in memory.
 */
typedef struct images {
    nn_row_reader reader;
    char *root; /* the folder that classes lie in */
    char **path;
    int32_t *label;
    int64_t n, cap;
    nn_image as;      /* every sample */
    nn_dataset noted; /* the record of the first MAX_NOTED files */
} images;

typedef struct classes {
    char **name;
    int n;
} classes;

static void images_done(images *s) {
    for (int64_t i = 0; i < s->n; i++) free(s->path[i]);
    free(s->path);
    free(s->label);
    free(s->root);
    nn_json_unref(s->noted.record);
}

static void classes_done(classes *c) {
    for (int i = 0; i < c->n; i++) free(c->name[i]);
    free(c->name);
}

/* ---- what lies where ---- */

static bool ends_as(const char *name, const char *const *ends) {
    for (; *ends; ends++)
        if (nn_data_ends_with(name, *ends)) return true;
    return false;
}

static const char *const read_ends[] = {".png", ".jpg", ".jpeg", NULL};
static const char *const other_ends[] = {".gif",  ".bmp", ".webp", ".tif", ".tiff", ".heic",
                                         ".avif", ".ppm", ".pgm",  ".jp2", NULL};

static int by_bytes(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int not_hidden(const struct dirent *e) {
    return e->d_name[0] != '.';
}

/* Calls fn with each entry's name in the order of its bytes; hidden ones are left out. */
static nn_status each(const char *folder, nn_status (*fn)(void *ctx, const char *name, nn_err *err),
                      void *ctx, nn_err *err) {
    struct dirent **list;
    int n = scandir(folder, &list, not_hidden, by_bytes);
    if (n < 0) return nn_fail(err, NN_E_STORAGE_ERROR, "%s: cannot be listed: %m", folder);
    nn_status s = NN_OK;
    for (int i = 0; i < n; i++) {
        if (!s) s = fn(ctx, list[i]->d_name, err);
        free(list[i]);
    }
    free(list);
    return s;
}

static bool join(char path[PATH_MAX], const char *folder, const char *name) {
    int n = snprintf(path, PATH_MAX, "%s/%s", folder, name);
    return n > 0 && n < PATH_MAX;
}

static bool has_image(const char *folder) {
    DIR *dir = opendir(folder);
    bool found = false;
    for (struct dirent *e; dir && !found && (e = readdir(dir));)
        found = e->d_name[0] != '.' && ends_as(e->d_name, read_ends);
    if (dir) closedir(dir);
    return found;
}

/* Whether images lie in folders of this one. */
static bool has_classes(const char *folder) {
    DIR *dir = opendir(folder);
    bool found = false;
    char path[PATH_MAX];
    for (struct dirent *e; dir && !found && (e = readdir(dir));)
        found = e->d_name[0] != '.' && join(path, folder, e->d_name) && nn_data_is_folder(path) &&
                has_image(path);
    if (dir) closedir(dir);
    return found;
}

/* The folder of a part of its own. */
static bool find_part(const char *root, nn_split part, char path[PATH_MAX]) {
    static const char *const names[2][5] = {
        {"train",  "training"  },
        { "test", "testing", "val", "valid", "validation"}
    };
    for (int i = 0; i < 5 && names[part][i]; i++)
        if (join(path, root, names[part][i]) && has_classes(path)) return true;
    return false;
}

/* ---- the list of rows ---- */

typedef struct listing {
    images *set;
    const classes *classes;
    int32_t label;
    const char *folder; /* of the class */
} listing;

static nn_status add_class(void *ctx, const char *name, nn_err *err) {
    listing *l = ctx;
    classes *c = (classes *)l->classes;
    char path[PATH_MAX];
    if (!join(path, l->folder, name) || !nn_data_is_folder(path)) return NN_OK;
    if (c->n == MAX_CLASSES)
        return nn_fail(err, NN_E_LIMIT, "%s: more than %d classes", l->folder, MAX_CLASSES);
    c->name = realloc(c->name, (size_t)(c->n + 1) * sizeof *c->name);
    if (!c->name || !(c->name[c->n++] = strdup(name))) abort();
    return NN_OK;
}

static nn_status add_image(void *ctx, const char *name, nn_err *err) {
    listing *l = ctx;
    images *s = l->set;
    if (ends_as(name, other_ends)) {
        nn_status st = nn_fail(err, NN_E_UNSUPPORTED, "%s/%s: only PNG and JPEG images are read",
                               l->folder, name);
        return nn_err_hint(err, st, "convert it to PNG, or take it out of the folder");
    }
    if (!ends_as(name, read_ends)) return NN_OK;
    if (s->n == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 256;
        s->path = realloc(s->path, (size_t)s->cap * sizeof *s->path);
        s->label = realloc(s->label, (size_t)s->cap * sizeof *s->label);
        if (!s->path || !s->label) abort();
    }
    s->label[s->n] = l->label;
    if (asprintf(&s->path[s->n], "%s/%s", l->classes->name[l->label], name) < 0) abort();
    s->n++;
    return NN_OK;
}

static nn_status unknown_class(const char *folder, const char *name, nn_err *err) {
    nn_status s = nn_fail(err, NN_E_DATA_ERROR,
                          "%s/%s: a class that the training part does not have", folder, name);
    return nn_err_hint(err, s, "the folders of both parts must have the same names");
}

/* The images below `folder`, class by class; `all` (NULL: those of the folder) are the classes. */
static nn_status list_images(const char *folder, const classes *all, bool may_lack, images *ret,
                             nn_err *err) {
    nn_status s = NN_OK;
    for (int i = 0; !s && i < all->n; i++) {
        char path[PATH_MAX];
        int64_t before = ret->n;
        if (!join(path, folder, all->name[i]))
            return nn_fail(err, NN_E_DATA_ERROR, "%s/%s: the path is too long", folder,
                           all->name[i]);
        if (!nn_data_is_folder(path) && may_lack) continue;
        listing l = {.set = ret, .classes = all, .label = i, .folder = path};
        s = each(path, add_image, &l, err);
        if (!s && ret->n == before && !may_lack)
            s = nn_fail(err, NN_E_DATA_ERROR, "%s: a class without a PNG or JPEG image", path);
    }
    return s;
}

static nn_status list_classes(const char *folder, classes *ret, nn_err *err) {
    listing l = {.classes = ret, .folder = folder};
    return each(folder, add_class, &l, err);
}

static nn_status check_test_classes(const char *folder, const classes *known, nn_err *err) {
    classes c = {0};
    nn_status s = list_classes(folder, &c, err);
    for (int i = 0; !s && i < c.n; i++) {
        bool found = false;
        for (int k = 0; k < known->n; k++) found |= strcmp(known->name[k], c.name[i]) == 0;
        if (!found) s = unknown_class(folder, c.name[i], err);
    }
    classes_done(&c);
    return s;
}

/* Keeps the rows of `order`, in its order. */
static void choose(images *s, const nn_order *order) {
    char **path = calloc((size_t)order->n + 1, sizeof *path);
    int32_t *label = calloc((size_t)order->n + 1, sizeof *label);
    if (!path || !label) abort();
    for (int64_t i = 0; i < order->n; i++) {
        path[i] = s->path[order->index[i]];
        label[i] = s->label[order->index[i]];
        s->path[order->index[i]] = NULL;
    }
    for (int64_t i = 0; i < s->n; i++) free(s->path[i]);
    free(s->path);
    free(s->label);
    s->path = path;
    s->label = label;
    s->n = order->n;
}

static nn_status list_part(const nn_data_request *q, images *ret, classes *c, nn_err *err) {
    char train[PATH_MAX], test[PATH_MAX];
    bool has_train = find_part(q->spec, NN_SPLIT_TRAIN, train),
         apart = has_train && find_part(q->spec, NN_SPLIT_TEST, test);
    const char *from = apart && q->split == NN_SPLIT_TEST ? test : has_train ? train : q->spec;
    nn_status s = list_classes(has_train ? train : q->spec, c, err);
    if (!s && from == test) s = check_test_classes(test, c, err);
    if (!s) s = list_images(from, c, from == test, ret, err);
    ret->root = strdup(from);
    if (!ret->root) abort();
    if (s || apart) return s;
    nn_order order;
    s = nn_data_split(q->spec, ret->n, q->split, &order, err);
    if (s) return s;
    choose(ret, &order);
    nn_order_done(&order);
    return NN_OK;
}

/* ---- the images ---- */

static nn_status load(const images *s, int64_t row, char name[PATH_MAX], nn_buf *file,
                      nn_err *err) {
    nn_buf_clear(file);
    if (!join(name, s->root, s->path[row]))
        return nn_fail(err, NN_E_DATA_ERROR, "%s/%s: the path is too long", s->root, s->path[row]);
    return nn_file_read(name, NN_IMAGE_FILE, file, err);
}

static nn_status decode(const images *s, const char *name, const nn_buf *file, uint8_t *to,
                        nn_err *err) {
    nn_image x;
    uint8_t *pixels = NULL;
    nn_status st = nn_image_decode(file->p, file->n, name, s->as.channels, &pixels, &x, err);
    if (st) return st;
    if (x.height == s->as.height && x.width == s->as.width)
        memcpy(to, pixels, (size_t)(x.height * x.width * x.channels));
    else
        nn_image_resize(pixels, &x, to, s->as.height, s->as.width);
    free(pixels);
    return NN_OK;
}

static nn_status read_row(const nn_row_reader *r, int64_t row, void *to, nn_err *err) {
    const images *s = (const images *)r;
    NN_BUF file = {0};
    char name[PATH_MAX];
    nn_status st = load(s, row, name, &file, err);
    return st ? st : decode(s, name, &file, to, err);
}

static void close_rows(nn_row_reader *r) {
    images_done((images *)r);
    free(r);
}

static nn_status another_size(const char *name, const nn_image *x, const images *s, nn_err *err) {
    nn_status st =
        nn_fail(err, NN_E_DATA_ERROR,
                "%s: %" PRId64 " x %" PRId64 " pixels, the first image has %" PRId64 " x %" PRId64,
                name, x->height, x->width, s->as.height, s->as.width);
    return nn_err_hint(err, st, "say what all are resized to: FOLDER:size=%" PRId64 "x%" PRId64,
                       s->as.height, s->as.width);
}

/* Sizes, channels and digests of all files. */
static nn_status survey(images *s, const recipe *r, char hex[NN_SHA256_HEX], nn_err *err) {
    NN_BUF file = {0};
    nn_hash *hash = nn_hash_new();
    nn_status st = NN_OK;
    s->as = (nn_image){r->size.dim[0], r->size.dim[1], r->channels ? r->channels : 1};
    for (int64_t i = 0; !st && i < s->n; i++) {
        char name[PATH_MAX], one[NN_SHA256_HEX];
        nn_image x;
        st = load(s, i, name, &file, err);
        if (!st) st = nn_image_header(file.p, file.n, name, &x, err);
        if (st) break;
        if (i == 0 && !r->size.rank) s->as = (nn_image){x.height, x.width, s->as.channels};
        if (!r->size.rank && (x.height != s->as.height || x.width != s->as.width))
            st = another_size(name, &x, s, err);
        if (!r->channels && x.channels > s->as.channels) s->as.channels = x.channels;
        nn_sha256_hex(file.p, file.n, one);
        if (i < MAX_NOTED) nn_dataset_note_sum(&s->noted, name, (int64_t)file.n, one);
        nn_hash_add(hash, one, strlen(one));
        nn_hash_add(hash, "  ", 2);
        nn_hash_add(hash, s->path[i], strlen(s->path[i]));
        nn_hash_add(hash, "\n", 1);
    }
    nn_hash_end_hex(hash, hex);
    return st;
}

static nn_status decode_all(const images *s, nn_block *b, nn_err *err) {
    nn_status st = NN_OK;
    for (int64_t i = 0; !st && i < s->n; i++)
        st = read_row(&s->reader, i, (uint8_t *)b->data + i * b->stride, err);
    return st;
}

/* Takes what s holds if the rows stay in their files. */
static nn_status build(const nn_data_request *q, images *s, const classes *c, nn_dataset **ret,
                       nn_err *err) {
    nn_shape shape = {
        3, {s->as.height, s->as.width, s->as.channels}
    };
    nn_dataset *d = NULL;
    nn_status st = nn_dataset_new_rows(q, s->n, &shape, NN_ROWS_U8, 0, &d, err);
    if (!st && d->block[0].data) st = decode_all(s, &d->block[0], err);
    if (st) {
        nn_dataset_free(d);
        return st;
    }
    memcpy(d->labels, s->label, (size_t)s->n * sizeof *d->labels);
    d->record = s->noted.record;
    s->noted.record = NULL;
    nn_dataset_note(d, "file_count", nn_json_new_int(s->n));
    nn_dataset_name_classes(d, (const char *const *)c->name, c->n);
    if (!d->block[0].data) {
        images *kept = malloc(sizeof *kept);
        if (!kept) abort();
        *kept = *s;
        kept->reader = (nn_row_reader){read_row, close_rows};
        *s = (images){0};
        d->block[0].reader = &kept->reader;
    }
    *ret = d;
    return NN_OK;
}

/* ---- the format ---- */

static bool set_size(void *to, const char *v) {
    recipe *r = to;
    nn_shape s;
    if (!nn_data_dims(v, &s) || s.rank > 2) return false;
    if (s.rank == 1) s.dim[1] = s.dim[0];
    r->size = (nn_shape){
        2, {s.dim[0], s.dim[1]}
    };
    return s.dim[0] <= NN_IMAGE_SIDE && s.dim[1] <= NN_IMAGE_SIDE;
}

static bool set_channels(void *to, const char *v) {
    ((recipe *)to)->channels = !strcmp(v, "1") ? 1 : 3;
    return !strcmp(v, "1") || !strcmp(v, "3");
}

static const nn_data_param params[] = {
    {"size",     "height x width in pixels, like 32x32", set_size    },
    {"channels", "1 (grey) or 3 (RGB)",                  set_channels},
};

static nn_status open_images(const nn_data_request *q, nn_dataset **ret, nn_err *err) {
    recipe r = {0};
    images s = {0};
    classes c = {0};
    char hex[NN_SHA256_HEX];
    nn_status st = nn_data_params(q, "images", params, sizeof params / sizeof *params, &r, err);
    if (!st) st = list_part(q, &s, &c, err);
    if (!st) st = survey(&s, &r, hex, err);
    if (!st) st = build(q, &s, &c, ret, err);
    if (!st) memcpy((*ret)->sha256, hex, sizeof hex);
    images_done(&s);
    classes_done(&c);
    return st;
}

static bool recognise(const nn_data_request *q) {
    char path[PATH_MAX];
    return nn_data_is_folder(q->spec) &&
           (has_classes(q->spec) || find_part(q->spec, NN_SPLIT_TRAIN, path));
}

const nn_format nn_format_images = {
    .name = "images", .recognise = recognise, .open = open_images, .has_options = true};
