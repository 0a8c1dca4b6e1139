/* SPDX-License-Identifier: MIT */
/* certificate.c - what `neural verify` found of a model's weights, kept as the model's file
 * "certificate.json". It names the content of the weights that it is of, so that one of other
 * weights is known for what it is. */
#include "base/file.h"
#include "track/track_impl.h"

#include <math.h>
#include <string.h>

static const char file_name[] = "certificate.json", of_file[] = "weights_file_sha256";
enum { MOST_BYTES = 1 << 20 };

/* ---- keeping ---- */

typedef struct keeping {
    const char *model_id;
    nn_artifact bytes;
    int64_t now;
} keeping;

static nn_status keep_fn(nn_txn *t, void *ctx, nn_err *err) {
    const keeping *k = ctx;
    nn_registry_file f = {.name = file_name,
                          .kind = "certificate",
                          .media_type = "application/json",
                          .sha256 = k->bytes.sha256,
                          .size = k->bytes.size};
    return nn_registry_add_file(t, k->model_id, &f, k->now, err);
}

nn_status nn_registry_certify(nn_track *t, nn_row model, const nn_json *certificate, int64_t now,
                              nn_err *err) {
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "certificate", 0);
    const char *path;
    keeping k = {.model_id = nn_row_text(model, "id"), .now = now};
    nn_status s = nn_registry_weights(t, model, a, &path, err);
    if (s != NN_OK) return s;
    NN_JSON *v = nn_json_copy(certificate);
    const char *slash = strrchr(path, '/'); /* the path ends with the hash */
    nn_json_set(v, of_file, nn_json_new_str(slash + 1));
    NN_BUF text = {0};
    nn_json_dump(v, 2, &text);
    s = nn_artifact_put(t, nn_buf_str(&text), text.n, &k.bytes, err);
    return s == NN_OK ? nn_store_write(t->store, keep_fn, &k, err) : s;
}

/* ---- showing ---- */

/* The larger; what is not a number is the largest. */
static double larger(double a, double b) {
    return isnan(a) || a >= b ? a : b;
}

/* The largest of a backend's outputs; negative where it was not compared. */
static double worst_output(const nn_json *backend) {
    const nn_json *outputs = nn_json_get(backend, "outputs");
    double worst = -1;
    for (size_t i = 0; i < nn_json_size(outputs); i++)
        worst = larger(worst, nn_json_num(nn_json_get(nn_json_at(outputs, i), "relative_l2"),
                                          (double)NAN)); /* JSON has null for one */
    return worst;
}

static nn_json *number_or_null(double v) {
    return v >= 0 ? nn_json_new_num(v) : nn_json_new_null();
}

static void copy_member(nn_json *to, const nn_json *from, const char *key) {
    const nn_json *v = nn_json_get(from, key);
    nn_json_set(to, key, v ? nn_json_copy(v) : nn_json_new_null());
}

static nn_json *backend_json(const nn_json *b) {
    static const char *const keys[] = {"name", "status", "version", "reason"};
    nn_json *o = nn_json_new_object();
    for (int i = 0; i < NN_COUNT_OF(keys); i++) copy_member(o, b, keys[i]);
    nn_json_set(o, "relative_l2", number_or_null(worst_output(b)));
    return o;
}

/* weights: the hash of the model's weights file as it is now; NULL: it has none. */
static nn_json *summary(const nn_json *c, const char *weights) {
    static const char *const keys[] = {"verdict",   "verified_at", "neural", "yardstick",
                                       "tolerance", "rows",        "seed"};
    nn_json *o = nn_json_new_object(), *list = nn_json_new_array();
    double worst = -1;
    for (int i = 0; i < NN_COUNT_OF(keys); i++) copy_member(o, c, keys[i]);
    const nn_json *backends = nn_json_get(c, "backends");
    for (size_t i = 0; i < nn_json_size(backends); i++) {
        const nn_json *b = nn_json_at(backends, i);
        worst = larger(worst, worst_output(b));
        nn_json_push(list, backend_json(b));
    }
    nn_json_set(o, "worst_relative_l2", number_or_null(worst));
    nn_json_set(o, "backends", list);
    const char *of = nn_json_str(nn_json_get(c, of_file), "");
    nn_json_set(o, "stale", nn_json_new_bool(!weights || strcmp(of, weights) != 0));
    return o;
}

static const char *hash_of(const nn_json *files, const char *kind) {
    for (size_t i = 0; i < nn_json_size(files); i++) {
        const nn_json *f = nn_json_at(files, i);
        if (!strcmp(nn_json_str(nn_json_get(f, "kind"), ""), kind))
            return nn_json_str(nn_json_get(f, "sha256"), NULL);
    }
    return NULL;
}

nn_status nn_track_certificate(const nn_track *t, nn_json *model, nn_err *err) {
    const nn_json *files = nn_json_get(nn_json_get(model, "metadata"), "files");
    const char *sha = hash_of(files, "certificate");
    nn_json_set(model, "certificate", nn_json_new_null());
    if (!sha) return NN_OK;
    NN_AUTO(nn_arena) *a = nn_arena_new(NULL, "certificate", 0);
    NN_BUF text = {0};
    NN_JSON *c = NULL;
    nn_status s = nn_file_read(nn_artifact_path(t, sha, a), MOST_BYTES, &text, err);
    if (s == NN_OK) s = nn_json_parse(nn_buf_str(&text), text.n, &c, err);
    if (s != NN_OK) return nn_fail(err, NN_E_STORAGE_ERROR, "a certificate cannot be read");
    nn_json_set(model, "certificate", summary(c, hash_of(files, "weights")));
    return NN_OK;
}
