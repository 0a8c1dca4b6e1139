/* SPDX-License-Identifier: MIT */
/* Byte pairs are compared with the plain algorithm in Python: count all pairs anew for each merge.
 */
#include "base/file.h"
#include "data/npy.h"
#include "fixture.h"

static const char *put_text(folder *f, const char *text) {
    return folder_put(f, "t.txt", text, strlen(text));
}

static nn_dataset *open_spec(const char *path, const char *options, nn_split split) {
    char spec[256];
    nn_err err;
    nn_dataset *d = NULL;
    snprintf(spec, sizeof spec, "%s%s", path, options);
    CHECK_OK(nn_dataset_open(spec, split, &d, &err), &err);
    return d;
}

TEST(text_windows_of_characters) {
    FOLDER f;
    folder_init(&f);
    const char *path = put_text(&f, "\xef\xbb\xbf"
                                    "abcab\xc3\xa9"
                                    "cab\n");
    /* sorted: \n a b c e-acute; 10 tokens, of which 8 are for training */
    const float want[] = {1, 2, 3, 1, 2, 4, 3, 1, 2, 0};
    DATASET *d = open_spec(path, ":steps=3,stride=1", NN_SPLIT_TRAIN);
    assert_int_equal(d->rows, 5);
    assert_int_equal(d->classes, 5);
    assert_string_equal(d->class_names[4], "\xc3\xa9");
    for (uint32_t r = 0; r < 5; r++) {
        float x[3];
        nn_err err;
        CHECK_OK(nn_batch_fill(&d->block[0], &r, 1, NULL, x, &err), &err);
        assert_memory_equal(x, want + r, sizeof x);
        assert_int_equal(d->labels[r], (int)want[r + 3]);
        int32_t next[3];
        nn_batch_site_labels(d, &r, 1, next);
        for (int i = 0; i < 3; i++) assert_int_equal(next[i], (int)want[r + 1 + (unsigned)i]);
    }
    DATASET *t = open_spec(path, ":steps=1", NN_SPLIT_TEST);
    assert_int_equal(t->rows, 1);
    assert_int_equal(t->labels[0], 0);
    DATASET *s = open_spec(path, ":steps=2,stride=4", NN_SPLIT_TRAIN);
    assert_int_equal(s->rows, 2);
    assert_int_equal(s->labels[1], 3);
    DATASET *beside = open_spec(path, ":steps=3", NN_SPLIT_TRAIN); /* 1 2 3 -> 1, 1 2 4 -> 3 */
    assert_int_equal(beside->rows, 2);
    assert_int_equal(beside->labels[1], 3);
}

/* A text with many repetitions, umlauts and blanks. */
static const char script[] =
    "import numpy as np, random, re, json, sys\n"
    "random.seed(2)\n"
    "parts = ['the', 'then', 'there', 'lower', 'low', 'newest', 'wid\\u00fcst', '\\u4f60\\u597d', 'aaaa', 'x']\n"
    "text = ''.join(random.choice(parts) + random.choice([' ', ' ', '\\n', '  ', ', ']) for _ in range(3000))\n"
    "raw = text.encode(); open('t.txt', 'wb').write(raw)\n"
    "words = [list(w) for w in re.findall(rb'(?s)[ \\n\\t\\r][^ \\n\\t\\r]*|[^ \\n\\t\\r]+', raw)]\n"
    "merges = []\n"
    "while 256 + len(merges) < 300:\n"
    "    count = {}\n"
    "    for w in words:\n"
    "        for p in zip(w, w[1:]): count[p] = count.get(p, 0) + 1\n"
    "    best = min(count, key=lambda p: (-count[p], p))\n"
    "    if count[best] < 2: break\n"
    "    for w in words:\n"
    "        i = 0\n"
    "        while i + 1 < len(w):\n"
    "            if (w[i], w[i + 1]) == best: w[i:i + 2] = [256 + len(merges)]\n"
    "            i += 1\n"
    "    merges.append(best)\n"
    "np.save('tokens.npy', np.array([t for w in words for t in w], 'i4'))\n"
    "np.save('merges.npy', np.array(merges, 'i4'))\n";

static nn_npy read_npy(const char *path, nn_buf *file) {
    nn_err err;
    nn_npy a;
    CHECK_OK(nn_file_read(path, 1 << 24, file, &err), &err);
    CHECK_OK(nn_npy_parse(file->p, file->n, path, &a, &err), &err);
    return a;
}

TEST(text_byte_pairs) {
    FOLDER f;
    folder_init(&f);
    const char *code = folder_put(&f, "make.py", script, sizeof script - 1);
    char command[256];
    snprintf(command, sizeof command, "cd %s && /usr/bin/python3 %s", f.path, code);
    assert_int_equal(system(command), 0);
    const char *path = folder_name(&f, "t.txt");
    NN_BUF a = {0}, b = {0};
    nn_npy tokens = read_npy(folder_name(&f, "tokens.npy"), &a),
           merges = read_npy(folder_name(&f, "merges.npy"), &b);
    DATASET *d = open_spec(path, ":vocabulary=bpe,size=300,steps=1", NN_SPLIT_TRAIN);
    assert_int_equal(d->classes, 256 + merges.dim[0]);
    const nn_json *got = nn_json_get(nn_json_get(d->record, "vocabulary"), "merges");
    for (int64_t i = 0; i < merges.elements; i++)
        assert_int_equal(nn_json_int(nn_json_at(nn_json_at(got, (size_t)i / 2), (size_t)i % 2), -1),
                         (int)nn_npy_at(&merges, i));
    assert_int_equal(d->rows + 1, tokens.elements - tokens.elements / 5);
    for (int64_t i = 0; i < d->rows; i++)
        assert_int_equal(d->labels[i], (int)nn_npy_at(&tokens, i + 1));
    assert_string_equal(d->class_names[0xe4], "<e4>");
    assert_string_equal(d->class_names[' '], " ");
}

TEST(text_that_is_refused) {
    static const struct {
        const char *text, *options, *message;
        int code;
    } cases[] = {
        {"abc\xff"
         "def", "",                  "offset 3: byte 0xff is not UTF-8", NN_E_DATA_ERROR      },
        {"abc",          ":steps=3",          "too few for a window of 3",        NN_E_DATA_ERROR      },
        {"",             "",                  "0 tokens",                         NN_E_DATA_ERROR      },
        {"abc",          ":vocabulary=words", "vocabulary must be characters",    NN_E_VALIDATION_ERROR},
        {"abc",          ":size=256",         "size must be",                     NN_E_VALIDATION_ERROR},
        {"abc",          ":memory=2",         "limit",                            NN_E_LIMIT           },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        FOLDER f;
        folder_init(&f);
        char spec[256];
        snprintf(spec, sizeof spec, "%s%s", put_text(&f, cases[i].text), cases[i].options);
        CHECK_REFUSED(spec, NN_SPLIT_TRAIN, (nn_status)cases[i].code, cases[i].message);
    }
    FOLDER f;
    folder_init(&f);
    CHECK_REFUSED(folder_put(&f, "n.txt", "a\0b", 3), NN_SPLIT_TRAIN, NN_E_DATA_ERROR,
                  "offset 1: a NUL byte");
    DATASET *d = open_spec(put_text(&f, "ab\xff\xff"
                                        "ab abab abab"),
                           ":invalid=replace,steps=2,stride=1", NN_SPLIT_TRAIN);
    assert_string_equal(d->class_names[d->classes - 1], "\xef\xbf\xbd");
}
