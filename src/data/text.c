/* SPDX-License-Identifier: MIT */
/* text.c - a text as windows of tokens, each with the token that comes next, behind the window and
 * at each place of it.
 *
 * The first four fifths of the tokens are for training, the rest for testing; the vocabulary is
 * made of the whole text, so that both parts have one. Windows are not stored: row r is the tokens
 * from r * stride on. */
#include "base/hash.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "data/options.h"
#include "data/stream.h"
#include "data/vocabulary.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct recipe {
    bool pairs, replace;
    int64_t size, steps, stride;
} recipe;

static bool set_vocabulary(void *to, const char *v) {
    int i = nn_data_word(v, (const char *const[]){"characters", "bpe", NULL});
    ((recipe *)to)->pairs = i == 1;
    return i >= 0;
}
static bool set_size(void *to, const char *v) {
    return nn_data_int(v, 257, NN_VOCABULARY_MOST, &((recipe *)to)->size);
}
static bool set_steps(void *to, const char *v) {
    return nn_data_int(v, 1, 1 << 20, &((recipe *)to)->steps);
}
static bool set_stride(void *to, const char *v) {
    return nn_data_int(v, 1, INT32_MAX, &((recipe *)to)->stride);
}
static bool set_invalid(void *to, const char *v) {
    int i = nn_data_word(v, (const char *const[]){"error", "replace", NULL});
    ((recipe *)to)->replace = i == 1;
    return i >= 0;
}

static const nn_data_param params[] = {
    {"vocabulary", "characters or bpe",            set_vocabulary},
    {"size",       "an integer from 257 to 65536", set_size      },
    {"steps",      "an integer from 1 to 1048576", set_steps     },
    {"stride",     "a positive integer",           set_stride    },
    {"invalid",    "error or replace",             set_invalid   },
};

/* Each byte that is no UTF-8 becomes U+FFFD. */
static nn_status repair(const nn_data_request *q, const recipe *r, const char *p, size_t n,
                        nn_buf *out, nn_err *err) {
    if (n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) {
        p += 3;
        n -= 3;
    }
    for (size_t at = 0; at < n;) {
        size_t good = nn_utf8_valid(p + at, n - at);
        const char *nul = memchr(p + at, 0, good);
        if (nul)
            return nn_fail(err, NN_E_DATA_ERROR, "%s: offset %zu: a NUL byte; this is not a text",
                           q->spec, (size_t)(nul - p));
        nn_buf_append(out, p + at, good);
        at += good;
        if (at == n) break;
        if (!r->replace) {
            nn_status s = nn_fail(err, NN_E_DATA_ERROR, "%s: offset %zu: byte 0x%02x is not UTF-8",
                                  q->spec, at, (unsigned char)p[at]);
            return nn_err_hint(
                err, s, "convert the file with iconv, or say invalid=replace behind the path");
        }
        nn_buf_puts(out, "\xef\xbf\xbd");
        at++;
    }
    return nn_buf_failed(out) ? nn_fail(err, NN_E_LIMIT, "%s: a text of 2 GiB or more", q->spec)
                              : NN_OK;
}

static void name_tokens(nn_dataset *d, const nn_vocabulary *v) {
    int n = nn_vocabulary_size(v);
    const char **names = calloc((size_t)n, sizeof *names);
    if (!names) abort();
    for (int i = 0; i < n; i++) {
        nn_buf b = {0};
        nn_vocabulary_text(v, i, &b);
        names[i] = strdup(nn_buf_str(&b));
        if (!names[i]) abort();
        nn_buf_done(&b);
    }
    nn_dataset_name_classes(d, names, n);
    for (int i = 0; i < n; i++) free((char *)names[i]);
    free(names);
}

static nn_status too_short(const nn_data_request *q, const recipe *r, int64_t n, nn_err *err) {
    nn_status s =
        nn_fail(err, NN_E_DATA_ERROR,
                "%s: %" PRId64 " tokens for %s are too few for a window of %" PRId64
                " and the token after it",
                q->spec, n, q->split == NN_SPLIT_TRAIN ? "training" : "testing", r->steps);
    return nn_err_hint(err, s, "say a smaller steps= behind the path");
}

/* Tokens as bytes where the vocabulary is small enough, else as floats. */
static nn_status keep_tokens(const nn_data_request *q, const uint32_t *token, int64_t n, int words,
                             nn_block *b, nn_err *err) {
    b->type = words <= 256 ? NN_ROWS_U8 : NN_ROWS_F32;
    b->norm = (nn_normalisation){1, 0};
    uint64_t need = (uint64_t)n * nn_rows_size(b->type);
    if (need > q->max_bytes) return nn_data_too_large(q->spec, need, q->max_bytes, err);
    b->data = nn_alloc_large((size_t)need, false);
    if (!b->data) return nn_fail(err, NN_E_OUT_OF_MEMORY, "%s: no memory for its tokens", q->spec);
    for (int64_t i = 0; i < n; i++) {
        if (b->type == NN_ROWS_U8)
            ((uint8_t *)b->data)[i] = (uint8_t)token[i];
        else
            ((float *)b->data)[i] = (float)token[i];
    }
    return NN_OK;
}

/* The token after each place of a window, for networks that answer at every step. */
static nn_status keep_following(const nn_data_request *q, const recipe *r, const uint32_t *token,
                                int64_t n, nn_dataset *d, nn_err *err) {
    uint64_t need = (uint64_t)n * sizeof *d->site_labels;
    if (need > q->max_bytes) return nn_data_too_large(q->spec, need, q->max_bytes, err);
    d->site_labels = malloc((size_t)need);
    if (!d->site_labels)
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "%s: no memory for its tokens", q->spec);
    for (int64_t i = 1; i < n; i++) d->site_labels[i - 1] = (int32_t)token[i];
    d->site_stride = r->stride;
    d->sites = r->steps;
    return NN_OK;
}

static nn_status build(const nn_data_request *q, const recipe *r, const nn_vocabulary *v,
                       const uint32_t *token, int64_t n, nn_dataset **ret, nn_err *err) {
    nn_dataset *d = NULL;
    if (n <= r->steps) return too_short(q, r, n, err);
    nn_status s = nn_dataset_new_targets(q, (n - r->steps - 1) / r->stride + 1, 0, &d, err);
    if (s) return s;
    nn_block *b = &d->block[0];
    s = keep_tokens(q, token, n, nn_vocabulary_size(v), b, err);
    d->n_blocks = 1;
    if (s) {
        nn_dataset_free(d);
        return s;
    }
    b->shape = (nn_shape){1, {r->steps}};
    b->stride = r->stride;
    s = keep_following(q, r, token, n, d, err);
    if (s) {
        nn_dataset_free(d);
        return s;
    }
    for (int64_t i = 0; i < d->rows; i++) d->labels[i] = (int32_t)token[i * r->stride + r->steps];
    name_tokens(d, v);
    nn_dataset_note(d, "vocabulary", nn_vocabulary_json(v));
    *ret = d;
    return NN_OK;
}

static nn_status open_part(const nn_data_request *q, const recipe *r, const nn_buf *text,
                           nn_dataset **ret, nn_err *err) {
    nn_vocabulary *v = NULL;
    nn_status s = NN_OK;
    if (r->pairs)
        v = nn_vocabulary_pairs(text->p, text->n, (int)r->size);
    else
        s = nn_vocabulary_characters(text->p, text->n, q->spec, &v, err);
    if (s) return s;
    NN_BUF tokens = {0};
    nn_vocabulary_encode(v, text->p, text->n, &tokens);
    int64_t n = (int64_t)(tokens.n / sizeof(uint32_t)),
            train = n - (int64_t)((double)n * NN_SPLIT_SHARE);
    const uint32_t *token = (const uint32_t *)tokens.p;
    bool first = q->split == NN_SPLIT_TRAIN;
    if (nn_buf_failed(&tokens))
        s = nn_fail(err, NN_E_LIMIT, "%s: more than 2^29 tokens", q->spec);
    else
        s = build(q, r, v, first ? token : token + train, first ? train : n - train, ret, err);
    nn_vocabulary_free(v);
    return s;
}

static nn_status open_text(const nn_data_request *q, nn_dataset **ret, nn_err *err) {
    recipe r = {.size = 1000, .steps = 64};
    nn_hash *hash = nn_hash_new();
    char *p = NULL, hex[NN_SHA256_HEX];
    size_t n = 0;
    NN_BUF text = {0};
    nn_status s = nn_data_params(q, "text", params, sizeof params / sizeof *params, &r, err);
    if (!s) s = nn_stream_read_all(q->spec, q->max_bytes, hash, &p, &n, err);
    nn_hash_end_hex(hash, hex);
    if (!r.stride) r.stride = r.steps; /* side by side: validation shares no window with training */
    if (!s) s = repair(q, &r, p, n, &text, err);
    free(p);
    if (!s) s = open_part(q, &r, &text, ret, err);
    if (s) return s;
    memcpy((*ret)->sha256, hex, sizeof hex);
    return nn_dataset_note_file(*ret, q->spec, err);
}

static bool recognise(const nn_data_request *q) {
    return nn_data_ends_with(q->spec, ".txt") || nn_data_ends_with(q->spec, ".txt.gz");
}

const nn_format nn_format_text = {
    .name = "text", .recognise = recognise, .open = open_text, .has_options = true};
