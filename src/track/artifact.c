/* SPDX-License-Identifier: MIT */
/* Artifacts. Bytes first, record second: a crash between the two leaves bytes that nobody names,
 * never a name without bytes. A file under its hash is never changed, so whoever finds it there
 * need not write it again. */
#include "base/file.h"
#include "base/hash.h"
#include "base/id.h"
#include "track/track_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* Suffix, type (tracking.md 2), media type. */
static const struct suffix {
    const char *suffix, *type, *media;
} suffixes[] = {
    {".safetensors", "model",  "application/octet-stream" },
    {".onnx",        "model",  "application/octet-stream" },
    {".h5",          "model",  "application/octet-stream" },
    {".pt",          "model",  "application/octet-stream" },
    {".pth",         "model",  "application/octet-stream" },
    {".pb",          "model",  "application/octet-stream" },
    {".tflite",      "model",  "application/octet-stream" },
    {".png",         "image",  "image/png"                },
    {".jpg",         "image",  "image/jpeg"               },
    {".jpeg",        "image",  "image/jpeg"               },
    {".svg",         "image",  "image/svg+xml"            },
    {".gif",         "image",  "image/gif"                },
    {".csv",         "table",  "text/csv"                 },
    {".tsv",         "table",  "text/tab-separated-values"},
    {".json",        "config", "application/json"         },
    {".yaml",        "config", "application/yaml"         },
    {".yml",         "config", "application/yaml"         },
    {".txt",         "text",   "text/plain"               },
    {".log",         "text",   "text/plain"               },
    {".md",          "text",   "text/markdown"            },
    {".py",          "other",  "text/x-python"            },
    {".c",           "other",  "text/x-c"                 },
    {".neural",      "other",  "text/plain"               },
};

static const struct suffix *suffix_of(const char *name) {
    static const struct suffix none = {"", "other", "application/octet-stream"};
    const char *dot = strrchr(name, '.');
    for (int i = 0; dot && i < NN_COUNT_OF(suffixes); i++)
        if (!strcasecmp(suffixes[i].suffix, dot)) return &suffixes[i];
    return &none;
}

const char *nn_artifact_type(const char *name) {
    return suffix_of(name)->type;
}

const char *nn_artifact_media_type(const char *name) {
    return suffix_of(name)->media;
}

/* Bytes. */

const char *nn_artifact_path(const nn_track *t, const char *sha256, nn_arena *a) {
    return nn_arena_printf(a, "%s/%.2s/%s", t->artifacts, sha256, sha256);
}

/* The path for a hash, its folder made; *ret_there when the bytes are there already. */
static nn_status place_for(const nn_track *t, const char *sha256, int64_t size, nn_arena *a,
                           const char **ret_path, bool *ret_there, nn_err *err) {
    const char *path = nn_artifact_path(t, sha256, a);
    struct stat st;
    *ret_path = path;
    *ret_there = stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == size;
    return *ret_there ? NN_OK : nn_mkdirs(nn_arena_printf(a, "%s/%.2s", t->artifacts, sha256), err);
}

nn_status nn_artifact_put(nn_track *t, const void *p, size_t n, nn_artifact *ret, nn_err *err) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "artifact", 0);
    nn_artifact out = {.size = (int64_t)n};
    const char *path;
    bool there;
    nn_sha256_hex(p, n, out.sha256);
    nn_status s = place_for(t, out.sha256, out.size, a, &path, &there, err);
    if (s == NN_OK && !there) s = nn_file_write(path, p, n, err);
    if (s == NN_OK) *ret = out;
    return s;
}

/* Copies fd into w; the hash of what was copied must be `sha256`: the file may be changing under
 * us. */
static nn_status copy(int fd, const char *from, nn_writer *w, const char *sha256, nn_err *err) {
    static const size_t chunk = 1 << 18;
    char *buf = malloc(chunk), got[NN_SHA256_HEX];
    if (!buf) abort();
    nn_hash *h = nn_hash_new();
    nn_status s = NN_OK;
    ssize_t n;
    while (s == NN_OK && (n = read(fd, buf, chunk)) != 0) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            s = nn_file_fail(err, errno, "read", from);
            break;
        }
        nn_hash_add(h, buf, (size_t)n);
        s = nn_writer_put(w, buf, (size_t)n, err);
    }
    nn_hash_end_hex(h, got);
    free(buf);
    if (s == NN_OK && strcmp(got, sha256))
        s = nn_fail(err, NN_E_STORAGE_ERROR, "%s: changed while it was being stored", from);
    return s;
}

static nn_status copy_file(const char *from, int fd, const char *to, const char *sha256,
                           nn_err *err) {
    nn_writer *w;
    nn_status s = nn_writer_open(to, 0644, &w, err);
    if (s != NN_OK) return s;
    s = copy(fd, from, w, sha256, err);
    if (s == NN_OK) return nn_writer_commit(w, err);
    nn_writer_abort(w);
    return s;
}

nn_status nn_artifact_put_file(nn_track *t, const char *path, nn_artifact *ret, nn_err *err) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "artifact", 0);
    nn_artifact out = {0};
    struct stat st;
    const char *to;
    bool there;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno != ELOOP) return nn_file_fail(err, errno, "open", path);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        if (fd >= 0) close(fd);
        return nn_fail(err, NN_E_DATA_ERROR, "%s is no regular file", path);
    }
    out.size = st.st_size;
    nn_status s = nn_sha256_file(path, out.sha256, err);
    if (s == NN_OK) s = place_for(t, out.sha256, out.size, a, &to, &there, err);
    if (s == NN_OK && !there) s = copy_file(path, fd, to, out.sha256, err);
    close(fd);
    if (s == NN_OK) *ret = out;
    return s;
}

/* Records. */

static nn_status check_name(const char *name, nn_err *err) {
    const char *why = !*name                ? "is empty"
                      : *name == '/'        ? "begins with a slash"
                      : strlen(name) > 1024 ? "is too long"
                                            : NULL;
    for (const char *part = name; !why && part; part = strchr(part, '/')) {
        if (*part == '/') part++;
        size_t n = strcspn(part, "/");
        if (!n || (n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.'))
            why = "has an empty part, '.' or '..'";
    }
    for (const char *p = name; !why && *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f || *p == '\\')
            why = "has a backslash or a control character";
    return why ? nn_fail(err, NN_E_VALIDATION_ERROR, "artifact name '%.80s' %s", name, why) : NN_OK;
}

static nn_where equals_or_null(const char *column, const char *v) {
    return v ? NN_WHERE_TEXT(column, NN_CMP_EQ, v) : NN_WHERE_NULL(column);
}

nn_status nn_artifact_record(nn_txn *t, const char *operation_id, const char *experiment_id,
                             const char *name, const char *kind, const char *media_type,
                             int64_t now, nn_artifact *ret, nn_err *err) {
    static const nn_sort last = {"version", true};
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "artifact", 0);
    nn_status s = check_name(name, err);
    if (s != NN_OK) return s;
    nn_where w[] = {equals_or_null("operation_id", operation_id),
                    equals_or_null("experiment_id", experiment_id),
                    NN_WHERE_TEXT("name", NN_CMP_EQ, name)};
    nn_query q = {.table = NN_TABLE_ARTIFACTS,
                  .where = w,
                  .n_where = 3,
                  .sort = &last,
                  .n_sort = 1,
                  .limit = 1};
    nn_rows rows;
    s = nn_txn_select(t, &q, a, &rows, err);
    if (s != NN_OK) return s;
    nn_row old = nn_rows_at(&rows, 0);
    if (rows.n && !strcmp(nn_row_text(old, "sha256"), ret->sha256)) {
        snprintf(ret->id, sizeof ret->id, "%s", nn_row_text(old, "id"));
        return NN_OK;
    }
    char id[NN_ID_TEXT];
    nn_field f[] = {
        NN_FIELD_TEXT("id", nn_id_new(id)),
        NN_FIELD_TEXT("operation_id", operation_id),
        NN_FIELD_TEXT("experiment_id", experiment_id),
        NN_FIELD_TEXT("name", name),
        NN_FIELD_INT("version", rows.n ? nn_row_int(old, "version", 0) + 1 : 1),
        NN_FIELD_TEXT("kind", kind),
        NN_FIELD_TEXT("media_type", media_type ? media_type : nn_artifact_media_type(name)),
        NN_FIELD_INT("size", ret->size),
        NN_FIELD_TEXT("sha256", ret->sha256),
        NN_FIELD_INT("created_at", now),
    };
    s = nn_txn_insert(t, NN_TABLE_ARTIFACTS, f, NN_COUNT_OF(f), NULL, err);
    if (s == NN_OK) snprintf(ret->id, sizeof ret->id, "%s", id);
    return s;
}

nn_status nn_track_artifacts(nn_txn *t, const char *column, const char *id, nn_arena *a,
                             nn_rows *ret, nn_err *err) {
    static const nn_sort by[] = {
        {"name",    false},
        {"version", false}
    };
    nn_where w = NN_WHERE_TEXT(column, NN_CMP_EQ, id);
    return nn_track_rows(t, NN_TABLE_ARTIFACTS, &w, 1, by, 2, a, ret, err);
}

bool nn_track_newest(const nn_rows *r, int64_t i) {
    return i + 1 == r->n ||
           strcmp(nn_row_text(nn_rows_at(r, i), "name"), nn_row_text(nn_rows_at(r, i + 1), "name"));
}

static nn_json *artifact_json(nn_row r, nn_arena *a) {
    nn_json *v = nn_json_new_object();
    nn_json_set(v, "id", nn_track_text(r, "id"));
    nn_json_set(v, "name", nn_track_text(r, "name"));
    nn_json_set(v, "kind", nn_track_text(r, "kind"));
    nn_json_set(v, "type", nn_json_new_str(nn_artifact_type(nn_row_text(r, "name"))));
    nn_json_set(v, "media_type", nn_track_text(r, "media_type"));
    nn_json_set(v, "version", nn_json_new_int(nn_row_int(r, "version", 1)));
    nn_json_set(v, "size", nn_json_new_int(nn_row_int(r, "size", 0)));
    nn_json_set(v, "sha256", nn_track_text(r, "sha256"));
    nn_json_set(v, "created_at", nn_track_time(nn_row_int(r, "created_at", 0)));
    nn_json_set(v, "href",
                nn_json_new_str(nn_arena_printf(a, "/api/v1/artifacts/%s", nn_row_text(r, "id"))));
    return v;
}

typedef struct artifact_list {
    const char *id;
    nn_json *items;
} artifact_list;

static nn_status list_fn(nn_txn *t, void *ctx, nn_err *err) {
    artifact_list *l = ctx;
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "artifacts", 0);
    nn_rows rows;
    nn_status s = nn_track_artifacts(t, "operation_id", l->id, a, &rows, err);
    for (int64_t i = 0; s == NN_OK && i < rows.n; i++)
        if (nn_track_newest(&rows, i))
            nn_json_push(l->items, artifact_json(nn_rows_at(&rows, i), a));
    return s;
}

nn_status nn_artifact_list(nn_track *t, const char *operation_id, nn_json **ret, nn_err *err) {
    artifact_list l = {operation_id, nn_json_new_array()};
    nn_status s = nn_store_read(t->store, list_fn, &l, err);
    if (s == NN_OK)
        *ret = l.items;
    else
        nn_json_unref(l.items);
    return s;
}

nn_status nn_artifact_get(nn_track *t, const char *id, nn_arena *a, nn_row *ret, nn_err *err) {
    nn_status s = nn_store_get(t->store, NN_TABLE_ARTIFACTS, id, a, ret, err);
    return s == NN_E_NOT_FOUND ? nn_fail(err, s, "Artifact %.80s not found", id) : s;
}

nn_status nn_artifact_find(nn_track *t, const char *experiment_id, const char *name, nn_arena *a,
                           nn_row *ret, nn_err *err) {
    static const nn_sort last = {"version", true};
    nn_where w[] = {NN_WHERE_TEXT("experiment_id", NN_CMP_EQ, experiment_id),
                    NN_WHERE_TEXT("name", NN_CMP_EQ, name)};
    nn_query q = {.table = NN_TABLE_ARTIFACTS,
                  .where = w,
                  .n_where = 2,
                  .sort = &last,
                  .n_sort = 1,
                  .limit = 1};
    nn_rows rows;
    nn_status s = nn_store_select(t->store, &q, a, &rows, err);
    if (s != NN_OK) return s;
    if (!rows.n)
        return nn_fail(err, NN_E_NOT_FOUND, "Experiment %.80s has no artifact '%.80s'",
                       experiment_id, name);
    *ret = nn_rows_at(&rows, 0);
    return NN_OK;
}
