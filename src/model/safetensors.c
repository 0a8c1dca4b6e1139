/* SPDX-License-Identifier: MIT */
/* safetensors.c - eight bytes of header length, a JSON header, tensor data without holes.
 *
 * What is checked before anything is handed out: the header lies inside the file; it is one JSON
 * object without duplicate keys; every tensor has a known dtype, a shape whose size is that of its
 * bytes, and offsets inside the data; laid side by side the tensors cover the data exactly, so none
 * overlap. Data that is not aligned to its elements (the format does not ask for it) is copied, so
 * that users may cast. */
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "model/model.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LENGTH_BYTES = 8, ALIGN = 64, MAX_TENSORS = 1000000 };
#define MAX_HEADER ((size_t)100 * 1000 * 1000)
#define META       "__metadata__"

static const struct {
    const char *name;
    unsigned size;
} dtypes[] = {
    {"F64",     8},
    {"I64",     8},
    {"U64",     8},
    {"F32",     4},
    {"I32",     4},
    {"U32",     4},
    {"F16",     2},
    {"BF16",    2},
    {"I16",     2},
    {"U16",     2},
    {"U8",      1},
    {"I8",      1},
    {"BOOL",    1},
    {"F8_E5M2", 1},
    {"F8_E4M3", 1},
};
enum { N_DTYPES = sizeof dtypes / sizeof *dtypes };

/* Index of a dtype, -1 if there is none. */
static int find_dtype(const char *name) {
    for (int i = 0; i < N_DTYPES; i++)
        if (strcmp(dtypes[i].name, name) == 0) return i;
    return -1;
}

struct nn_safetensors {
    const char *p;
    size_t n;
    bool mapped;
    char *name;
    nn_json *header;
    nn_tensor *tensors;  /* by place in the file; names are the header's */
    nn_tensor **by_name; /* sorted */
    void **copies;       /* of unaligned data */
    int count, n_copies;
};

/* ---- reading ---- */

static nn_status bad(const nn_safetensors *s, const char *what, nn_err *err) {
    return nn_fail(err, NN_E_MODEL_FILE_ERROR, "%s: %s", s->name, what);
}

static nn_status bad_tensor(const nn_safetensors *s, const char *tensor, const char *what,
                            nn_err *err) {
    return nn_fail(err, NN_E_MODEL_FILE_ERROR, "%s: tensor '%.80s': %s", s->name, tensor, what);
}

/* The file is of another kind, or only its beginning is there. */
static nn_status no_header(nn_status s, nn_err *err) {
    return nn_err_hint(err, s, "is it a whole model file? `neural train` writes one");
}

static nn_status parse_header(nn_safetensors *s, size_t *ret_data, nn_err *err) {
    if (s->n < LENGTH_BYTES)
        return no_header(nn_fail(err, NN_E_MODEL_FILE_ERROR,
                                 "%s: %zu bytes are no safetensors file: it begins with 8 bytes of "
                                 "header length",
                                 s->name, s->n),
                         err);
    uint64_t n = 0;
    for (int i = LENGTH_BYTES; i-- > 0;) n = n << 8 | (unsigned char)s->p[i];
    if (n > MAX_HEADER || n > s->n - LENGTH_BYTES)
        return no_header(
            nn_fail(err, NN_E_MODEL_FILE_ERROR,
                    "%s: offset 0: a header of %" PRIu64 " bytes %s; the file has %zu", s->name, n,
                    n > MAX_HEADER ? "passes the format's limit of 100 MB" : "is truncated", s->n),
            err);
    if (n == 0 || s->p[LENGTH_BYTES] != '{')
        return no_header(bad(s, "offset 8: the header does not begin with {", err), err);
    nn_err at = {0};
    nn_status status = nn_json_parse(s->p + LENGTH_BYTES, n, &s->header, &at);
    if (status)
        return nn_fail(err, NN_E_MODEL_FILE_ERROR,
                       "%s: offset 8: the header, line %d column %d: %s", s->name, at.line, at.col,
                       at.msg);
    *ret_data = LENGTH_BYTES + n;
    return NN_OK;
}

static bool whole_number(const nn_json *v, int64_t *ret) {
    if (nn_json_typeof(v) != NN_JSON_INT) return false;
    *ret = nn_json_int(v, -1);
    return *ret >= 0;
}

/* The bytes that dtype and shape come to; false when that is no size. */
static bool read_shape(const nn_json *shape, unsigned element, nn_shape *ret, size_t *ret_bytes) {
    size_t rank = nn_json_size(shape), bytes = element;
    if (nn_json_typeof(shape) != NN_JSON_ARRAY || rank > NN_MAX_RANK) return false;
    ret->rank = (int)rank;
    for (size_t i = 0; i < rank; i++)
        if (!whole_number(nn_json_at(shape, i), &ret->dim[i]) ||
            __builtin_mul_overflow(bytes, (size_t)ret->dim[i], &bytes))
            return false;
    *ret_bytes = bytes;
    return true;
}

static nn_status read_tensor(nn_safetensors *s, size_t data, const char *key, const nn_json *v,
                             nn_tensor *ret, nn_err *err) {
    if (nn_json_typeof(v) != NN_JSON_OBJECT || nn_json_size(v) != 3)
        return bad_tensor(s, key, "expected an object of dtype, shape and data_offsets", err);
    int dtype = find_dtype(nn_json_str(nn_json_get(v, "dtype"), ""));
    if (dtype < 0) return bad_tensor(s, key, "an unknown dtype", err);
    nn_tensor t = {.name = key, .dtype = dtypes[dtype].name};
    if (!read_shape(nn_json_get(v, "shape"), dtypes[dtype].size, &t.shape, &t.bytes))
        return bad_tensor(s, key, "shape is not a list of at most 8 sizes", err);
    const nn_json *offsets = nn_json_get(v, "data_offsets");
    int64_t begin, end;
    if (nn_json_size(offsets) != 2 || !whole_number(nn_json_at(offsets, 0), &begin) ||
        !whole_number(nn_json_at(offsets, 1), &end) || begin > end)
        return bad_tensor(s, key, "data_offsets is not a pair of rising offsets", err);
    if ((uint64_t)end > s->n - data)
        return nn_fail(err, NN_E_MODEL_FILE_ERROR,
                       "%s: tensor '%.80s': ends at offset %" PRId64 " of %zu bytes of data",
                       s->name, key, end, s->n - data);
    if ((uint64_t)(end - begin) != t.bytes)
        return nn_fail(err, NN_E_MODEL_FILE_ERROR,
                       "%s: tensor '%.80s': %" PRId64 " bytes, but its dtype and shape need %zu",
                       s->name, key, end - begin, t.bytes);
    t.data = s->p + data + begin;
    *ret = t;
    return NN_OK;
}

static nn_status check_meta(nn_safetensors *s, const nn_json *v, nn_err *err);

typedef struct walk {
    nn_safetensors *s;
    size_t data;
    nn_status status;
    nn_err *err;
} walk;

static bool visit_entry(void *ctx, const char *key, nn_json *v) {
    walk *w = ctx;
    if (strcmp(key, META) == 0)
        w->status = check_meta(w->s, v, w->err);
    else {
        w->status = read_tensor(w->s, w->data, key, v, &w->s->tensors[w->s->count], w->err);
        w->s->count += w->status == NN_OK;
    }
    return w->status == NN_OK;
}

static bool visit_meta(void *ctx, const char *key, nn_json *v) {
    walk *w = ctx;
    if (nn_json_typeof(v) == NN_JSON_STRING) return true;
    w->status = nn_fail(w->err, NN_E_MODEL_FILE_ERROR, "%s: " META " '%.80s': is not a string",
                        w->s->name, key);
    return false;
}

static nn_status check_meta(nn_safetensors *s, const nn_json *v, nn_err *err) {
    if (nn_json_typeof(v) != NN_JSON_OBJECT)
        return bad(s, META " is not an object of strings", err);
    walk w = {.s = s, .err = err};
    nn_json_each(v, visit_meta, &w);
    return w.status;
}

static int by_place(const void *a, const void *b) {
    const nn_tensor *x = a, *y = b;
    if (x->data != y->data) return (const char *)x->data < (const char *)y->data ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes); /* the empty ones first */
}

static int by_name(const void *a, const void *b) {
    const nn_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static nn_status check_cover(nn_safetensors *s, size_t data, nn_err *err) {
    qsort(s->tensors, (size_t)s->count, sizeof *s->tensors, by_place);
    const char *at = s->p + data;
    for (int i = 0; i < s->count; i++) {
        const nn_tensor *t = &s->tensors[i];
        if ((const char *)t->data < at)
            return bad_tensor(s, t->name, "its data overlaps that of another tensor", err);
        if ((const char *)t->data > at)
            return bad_tensor(s, t->name, "the data before it belongs to no tensor", err);
        at += t->bytes;
    }
    if (at == s->p + s->n) return NN_OK;
    return nn_fail(err, NN_E_MODEL_FILE_ERROR, "%s: offset %zu: %zu bytes after the last tensor",
                   s->name, (size_t)(at - s->p), (size_t)(s->p + s->n - at));
}

static nn_status align_data(nn_safetensors *s, nn_err *err) {
    for (int i = 0; i < s->count; i++) {
        nn_tensor *t = &s->tensors[i];
        if ((uintptr_t)t->data % dtypes[find_dtype(t->dtype)].size == 0) continue;
        void *copy = nn_alloc_large(t->bytes, false);
        if (!copy)
            return nn_fail(err, NN_E_OUT_OF_MEMORY, "%s: no memory for tensor '%.80s'", s->name,
                           t->name);
        memcpy(copy, t->data, t->bytes);
        s->copies[s->n_copies++] = copy;
        t->data = copy;
    }
    return NN_OK;
}

static nn_status read_all(nn_safetensors *s, nn_err *err) {
    size_t data = 0;
    nn_status status = parse_header(s, &data, err);
    if (status) return status;
    size_t n = nn_json_size(s->header);
    if (n > MAX_TENSORS) return bad(s, "more than 1000000 tensors", err);
    s->tensors = calloc(n + 1, sizeof *s->tensors);
    s->by_name = calloc(n + 1, sizeof *s->by_name);
    s->copies = calloc(n + 1, sizeof *s->copies);
    if (!s->tensors || !s->by_name || !s->copies)
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "%s: no memory for %zu tensors", s->name, n);
    walk w = {.s = s, .data = data, .err = err};
    nn_json_each(s->header, visit_entry, &w);
    status = w.status;
    if (!status) status = check_cover(s, data, err);
    if (!status) status = align_data(s, err);
    for (int i = 0; i < s->count; i++) s->by_name[i] = &s->tensors[i];
    qsort(s->by_name, (size_t)s->count, sizeof(nn_tensor *), by_name);
    return status;
}

static nn_status open_bytes(const char *p, size_t n, bool mapped, const char *name,
                            nn_safetensors **ret, nn_err *err) {
    nn_safetensors *s = calloc(1, sizeof *s);
    if (!s) abort();
    *s = (nn_safetensors){.p = p, .n = n, .mapped = mapped, .name = strdup(name)};
    if (!s->name) abort();
    nn_status status = read_all(s, err);
    if (status) {
        nn_safetensors_close(s);
        return status;
    }
    *ret = s;
    return NN_OK;
}

nn_status nn_safetensors_read(const char *p, size_t n, const char *name, nn_safetensors **ret,
                              nn_err *err) {
    return open_bytes(p, n, false, name, ret, err);
}

static nn_status map_file(int fd, const char *path, char **ret, size_t *ret_n, nn_err *err) {
    struct stat st;
    if (fstat(fd, &st) < 0) return nn_file_fail(err, errno, "examine", path);
    if (!S_ISREG(st.st_mode))
        return nn_fail(err, NN_E_MODEL_FILE_ERROR, "%s: is not a regular file", path);
    if (st.st_size == 0) return nn_fail(err, NN_E_MODEL_FILE_ERROR, "%s: the file is empty", path);
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) return nn_file_fail(err, errno, "map", path);
    *ret = p;
    *ret_n = (size_t)st.st_size;
    return NN_OK;
}

nn_status nn_safetensors_open(const char *path, nn_safetensors **ret, nn_err *err) {
    int fd =
        open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* never wait for the writer of a pipe */
    if (fd < 0) return nn_file_fail(err, errno, "open", path);
    char *p = NULL;
    size_t n = 0;
    nn_status s = map_file(fd, path, &p, &n, err);
    close(fd);
    return s ? s : open_bytes(p, n, true, path, ret, err);
}

void nn_safetensors_close(nn_safetensors *s) {
    if (!s) return;
    for (int i = 0; i < s->n_copies; i++) nn_free_large(s->copies[i]);
    free(s->copies);
    free(s->by_name);
    free(s->tensors);
    nn_json_unref(s->header);
    if (s->mapped) munmap((void *)(uintptr_t)s->p, s->n);
    free(s->name);
    free(s);
}

const nn_tensor *nn_safetensors_find(const nn_safetensors *s, const char *name) {
    nn_tensor key = {.name = name}, *at = &key;
    nn_tensor **found = bsearch(&at, s->by_name, (size_t)s->count, sizeof at, by_name);
    return found ? *found : NULL;
}

const nn_tensor *nn_safetensors_at(const nn_safetensors *s, int i) {
    return i >= 0 && i < s->count ? &s->tensors[i] : NULL;
}

const char *nn_safetensors_meta(const nn_safetensors *s, const char *key) {
    return nn_json_str(nn_json_get(nn_json_get(s->header, META), key), NULL);
}

void nn_safetensors_sha256(const nn_safetensors *s, char ret[65]) {
    nn_sha256_hex(s->p, s->n, ret);
}

/* ---- writing ---- */

/* The order in the file: larger elements first, so that all are aligned; else as given. */
static const nn_tensor **file_order(const nn_tensor *tensors, int n) {
    const nn_tensor **order = calloc((size_t)n + 1, sizeof *order);
    if (!order) abort();
    int at = 0;
    for (unsigned size = 8; size; size /= 2)
        for (int i = 0; i < n; i++) {
            int dtype = find_dtype(tensors[i].dtype);
            assert(dtype >= 0);
            if (dtypes[dtype].size == size) order[at++] = &tensors[i];
        }
    assert(at == n);
    return order;
}

static void put_header(const nn_tensor *const *order, int n, const nn_json *metadata, nn_buf *out) {
    nn_jw w = {.out = out};
    int64_t offset = 0;
    nn_jw_obj(&w);
    if (metadata) {
        nn_jw_key(&w, META);
        nn_jw_value(&w, metadata);
    }
    for (int i = 0; i < n; i++) {
        const nn_tensor *t = order[i];
        nn_jw_key(&w, t->name);
        nn_jw_obj(&w);
        nn_jw_key(&w, "dtype");
        nn_jw_str(&w, t->dtype);
        nn_jw_key(&w, "shape");
        nn_jw_arr(&w);
        for (int d = 0; d < t->shape.rank; d++) nn_jw_int(&w, t->shape.dim[d]);
        nn_jw_end_arr(&w);
        nn_jw_key(&w, "data_offsets");
        nn_jw_arr(&w);
        nn_jw_int(&w, offset);
        nn_jw_int(&w, offset += (int64_t)t->bytes);
        nn_jw_end_arr(&w);
        nn_jw_end_obj(&w);
    }
    nn_jw_end_obj(&w);
}

/* The length, the header, and blanks up to a multiple of ALIGN. */
static nn_status header_bytes(const nn_tensor *const *order, int n, const nn_json *metadata,
                              nn_buf *out, nn_err *err) {
    nn_buf_append(out, "\0\0\0\0\0\0\0\0", LENGTH_BYTES);
    put_header(order, n, metadata, out);
    while (out->n % ALIGN && !nn_buf_failed(out)) nn_buf_putc(out, ' ');
    if (nn_buf_failed(out))
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for the header of a model file");
    uint64_t length = out->n - LENGTH_BYTES;
    if (length > MAX_HEADER)
        return nn_fail(err, NN_E_LIMIT,
                       "the header of a model file takes %" PRIu64 " bytes, at most 100 MB fit",
                       length);
    for (int i = 0; i < LENGTH_BYTES; i++) out->p[i] = (char)(length >> 8 * i);
    return NN_OK;
}

static nn_status put_bytes(nn_writer *w, nn_hash *h, const void *p, size_t n, nn_err *err) {
    nn_hash_add(h, p, n);
    return nn_writer_put(w, p, n, err);
}

nn_status nn_safetensors_write(const char *path, const nn_tensor *tensors, int n,
                               const nn_json *metadata, char ret_sha256[65], nn_err *err) {
    NN_BUF header = {0};
    const nn_tensor **order = file_order(tensors, n);
    nn_writer *w = NULL;
    nn_status s = header_bytes(order, n, metadata, &header, err);
    if (!s) s = nn_writer_open(path, 0644, &w, err);
    nn_hash *h = nn_hash_new();
    if (!s) s = put_bytes(w, h, header.p, header.n, err);
    for (int i = 0; !s && i < n; i++) s = put_bytes(w, h, order[i]->data, order[i]->bytes, err);
    free(order);
    if (!s) {
        s = nn_writer_commit(w, err);
        w = NULL;
    }
    nn_writer_abort(w);
    if (s) {
        nn_hash_free(h);
        return s;
    }
    nn_hash_end_hex(h, ret_sha256);
    return NN_OK;
}
