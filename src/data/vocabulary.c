/* SPDX-License-Identifier: MIT */
/* vocabulary.c - see vocabulary.h. Pairs are counted over different words, each with the number of
 * its occurrences; a merge changes the counts of the words that it touches. */
#include "data/vocabulary.h"

#include "base/utf8.h"
#include "data/columns.h"

#include <stdlib.h>
#include <string.h>

enum { BYTES = 256, WORD = 256 };

typedef struct word {
    uint32_t *token;
    uint32_t n;
    int64_t count;
} word;

typedef struct pair {
    uint32_t a, b;
    int64_t count; /* 0: forgotten, but the slot stays taken */
} pair;

struct nn_vocabulary {
    uint32_t *character; /* code points, sorted; NULL: pairs */
    int n;
    pair *merge; /* n - BYTES of them */
    nn_words words;
    word *word;  /* as many as words.n */
    pair *pairs; /* a table of `slots`, a power of two; a.b == 0.0 with used false: free */
    bool *used;
    size_t slots, taken;
};

/* ---- characters ---- */

static uint32_t code_point(const char *p, size_t n) {
    static const unsigned char first[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = (unsigned char)p[0] & first[n];
    for (size_t i = 1; i < n; i++) c = c << 6 | ((unsigned char)p[i] & 0x3f);
    return c;
}

static nn_vocabulary *new_vocabulary(void) {
    nn_vocabulary *v = calloc(1, sizeof *v);
    if (!v) abort();
    return v;
}

nn_status nn_vocabulary_characters(const char *p, size_t n, const char *name, nn_vocabulary **ret,
                                   nn_err *err) {
    enum { ALL = 0x110000 };
    unsigned char *seen = calloc(ALL, 1);
    if (!seen) abort();
    int count = 0;
    for (size_t i = 0, k; i < n; i += k) {
        k = nn_utf8_length(p + i, n - i);
        uint32_t c = code_point(p + i, k);
        count += !seen[c];
        seen[c] = 1;
    }
    if (count > NN_VOCABULARY_MOST) {
        free(seen);
        nn_status s = nn_fail(err, NN_E_LIMIT, "%s: %d different characters, at most %d are taken",
                              name, count, NN_VOCABULARY_MOST);
        return nn_err_hint(err, s, "say vocabulary=bpe behind the path");
    }
    nn_vocabulary *v = new_vocabulary();
    v->character = malloc(((size_t)count + 1) * sizeof *v->character);
    if (!v->character) abort();
    for (uint32_t c = 0; c < ALL; c++)
        if (seen[c]) v->character[v->n++] = c;
    free(seen);
    *ret = v;
    return NN_OK;
}

static uint32_t find_character(const nn_vocabulary *v, uint32_t c) {
    int low = 0, high = v->n - 1;
    while (low < high) {
        int mid = (low + high) / 2;
        if (v->character[mid] < c)
            low = mid + 1;
        else
            high = mid;
    }
    return (uint32_t)low;
}

/* ---- words ---- */

static bool is_blank(char c) {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* Bytes of the word at p. */
static size_t word_length(const char *p, size_t n) {
    size_t k = 1;
    while (k < n && k < WORD && !is_blank(p[k])) k++;
    return k;
}

static void add_word(nn_vocabulary *v, const char *p, size_t n, size_t *room) {
    nn_cell cell = {(char *)p, n};
    int64_t before = v->words.n;
    nn_words_add(&v->words, &cell, INT64_MAX);
    if (v->words.n > before) {
        if ((size_t)v->words.n > *room) {
            *room = *room ? 2 * *room : 1024;
            v->word = realloc(v->word, *room * sizeof *v->word);
            if (!v->word) abort();
        }
        word *w = &v->word[before];
        *w = (word){malloc(n * sizeof *w->token), (uint32_t)n, 0};
        if (!w->token) abort();
        for (size_t i = 0; i < n; i++) w->token[i] = (unsigned char)p[i];
    }
    v->word[nn_words_find(&v->words, &cell)].count++;
}

/* ---- pairs ---- */

static size_t find_pair(const nn_vocabulary *v, uint32_t a, uint32_t b) {
    uint64_t h = ((uint64_t)a << 32 | b) * UINT64_C(0x9e3779b97f4a7c15);
    size_t i = (h >> 32) & (v->slots - 1);
    while (v->used[i] && (v->pairs[i].a != a || v->pairs[i].b != b)) i = (i + 1) & (v->slots - 1);
    return i;
}

static void grow_pairs(nn_vocabulary *v) {
    pair *old = v->pairs;
    bool *was = v->used;
    size_t n = v->slots;
    v->slots = n ? 2 * n : 1 << 12;
    v->pairs = calloc(v->slots, sizeof *v->pairs);
    v->used = calloc(v->slots, sizeof *v->used);
    if (!v->pairs || !v->used) abort();
    for (size_t i = 0; i < n; i++) {
        if (!was[i]) continue;
        size_t at = find_pair(v, old[i].a, old[i].b);
        v->pairs[at] = old[i];
        v->used[at] = true;
    }
    free(old);
    free(was);
}

static void count_pair(nn_vocabulary *v, uint32_t a, uint32_t b, int64_t by) {
    if (2 * v->taken >= v->slots) grow_pairs(v);
    size_t i = find_pair(v, a, b);
    if (!v->used[i]) {
        v->used[i] = true;
        v->pairs[i] = (pair){a, b, 0};
        v->taken++;
    }
    v->pairs[i].count += by;
}

static void count_word(nn_vocabulary *v, const word *w, int64_t by) {
    for (uint32_t i = 0; i + 1 < w->n; i++) count_pair(v, w->token[i], w->token[i + 1], by);
}

static bool better(const pair *p, const pair *best) {
    if (p->count != best->count) return p->count > best->count;
    return p->a != best->a ? p->a < best->a : p->b < best->b;
}

/* The pair to merge next; false: none occurs twice. */
static bool best_pair(const nn_vocabulary *v, pair *ret) {
    pair best = {0};
    for (size_t i = 0; i < v->slots; i++)
        if (v->used[i] && v->pairs[i].count > 1 && better(&v->pairs[i], &best)) best = v->pairs[i];
    *ret = best;
    return best.count > 1;
}

static bool holds(const word *w, const pair *p) {
    for (uint32_t i = 0; i + 1 < w->n; i++)
        if (w->token[i] == p->a && w->token[i + 1] == p->b) return true;
    return false;
}

static void merge_word(word *w, const pair *p, uint32_t token) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->n; i++) {
        bool here = i + 1 < w->n && w->token[i] == p->a && w->token[i + 1] == p->b;
        w->token[n++] = here ? token : w->token[i];
        i += here;
    }
    w->n = n;
}

static void merge(nn_vocabulary *v, const pair *p) {
    v->merge[v->n - BYTES] = *p;
    for (int64_t i = 0; i < v->words.n; i++) {
        word *w = &v->word[i];
        if (!holds(w, p)) continue;
        count_word(v, w, -w->count);
        merge_word(w, p, (uint32_t)v->n);
        count_word(v, w, w->count);
    }
    v->n++;
}

nn_vocabulary *nn_vocabulary_pairs(const char *p, size_t n, int size) {
    nn_vocabulary *v = new_vocabulary();
    size_t room = 0;
    pair best;
    v->n = BYTES;
    v->merge = malloc((size_t)(size > BYTES ? size - BYTES : 1) * sizeof *v->merge);
    if (!v->merge) abort();
    for (size_t i = 0, k; i < n; i += k) {
        k = word_length(p + i, n - i);
        add_word(v, p + i, k, &room);
    }
    for (int64_t i = 0; i < v->words.n; i++) count_word(v, &v->word[i], v->word[i].count);
    while (v->n < size && best_pair(v, &best)) merge(v, &best);
    return v;
}

void nn_vocabulary_free(nn_vocabulary *v) {
    if (!v) return;
    for (int64_t i = 0; i < v->words.n; i++) free(v->word[i].token);
    nn_words_done(&v->words);
    free(v->word);
    free(v->character);
    free(v->merge);
    free(v->pairs);
    free(v->used);
    free(v);
}

/* ---- what it is for ---- */

int nn_vocabulary_size(const nn_vocabulary *v) {
    return v->n;
}

void nn_vocabulary_encode(nn_vocabulary *v, const char *p, size_t n, nn_buf *out) {
    for (size_t i = 0, k; i < n; i += k) {
        if (v->character) {
            k = nn_utf8_length(p + i, n - i);
            uint32_t token = find_character(v, code_point(p + i, k));
            nn_buf_append(out, &token, sizeof token);
            continue;
        }
        k = word_length(p + i, n - i);
        const word *w = &v->word[nn_words_find(&v->words, &(nn_cell){(char *)p + i, k})];
        nn_buf_append(out, w->token, w->n * sizeof *w->token);
    }
}

static void put_utf8(uint32_t c, nn_buf *out) {
    char b[4];
    int n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (int i = n - 1; i > 0; i--, c >>= 6) b[i] = (char)(0x80 | (c & 0x3f));
    b[0] = (char)(lead[n] | c);
    nn_buf_append(out, b, (size_t)n);
}

static void put_bytes(const nn_vocabulary *v, uint32_t token, nn_buf *out) {
    if (token < BYTES) {
        nn_buf_putc(out, (char)token);
        return;
    }
    put_bytes(v, v->merge[token - BYTES].a, out);
    put_bytes(v, v->merge[token - BYTES].b, out);
}

void nn_vocabulary_text(const nn_vocabulary *v, int i, nn_buf *out) {
    if (v->character) {
        put_utf8(v->character[i], out);
        return;
    }
    NN_BUF bytes = {0};
    put_bytes(v, (uint32_t)i, &bytes);
    if (nn_utf8_valid(bytes.p, bytes.n) == bytes.n && !memchr(bytes.p, 0, bytes.n)) {
        nn_buf_append(out, bytes.p, bytes.n);
        return;
    }
    for (size_t k = 0; k < bytes.n; k++)
        nn_buf_printf(out, "%s%02x", k ? " " : "<", (unsigned char)bytes.p[k]);
    nn_buf_putc(out, '>');
}

nn_json *nn_vocabulary_json(const nn_vocabulary *v) {
    nn_json *o = nn_json_new_object(), *list = nn_json_new_array();
    nn_json_set(o, "kind", nn_json_new_str(v->character ? "characters" : "byte pairs"));
    for (int i = v->character ? 0 : BYTES; i < v->n; i++) {
        if (v->character) {
            nn_json_push(list, nn_json_new_int(v->character[i]));
            continue;
        }
        nn_json *two = nn_json_new_array();
        nn_json_push(two, nn_json_new_int(v->merge[i - BYTES].a));
        nn_json_push(two, nn_json_new_int(v->merge[i - BYTES].b));
        nn_json_push(list, two);
    }
    nn_json_set(o, v->character ? "characters" : "merges", list);
    return o;
}
