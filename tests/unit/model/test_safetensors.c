/* SPDX-License-Identifier: MIT */
#include "base/buf.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/hash.h"
#include "model/model.h"
#include "t.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_OPEN __attribute__((cleanup(closep))) nn_safetensors
static void closep(nn_safetensors **s) {
    nn_safetensors_close(*s);
}

/* A file of this header and n bytes of data (0, 1, 2, ...). */
static void put_file(nn_buf *b, const char *header, size_t n) {
    size_t length = strlen(header);
    for (int i = 0; i < 8; i++) nn_buf_putc(b, (char)(length >> 8 * i));
    nn_buf_puts(b, header);
    for (size_t i = 0; i < n; i++) nn_buf_putc(b, (char)i);
}

static void check_refused(const char *header, size_t n, const char *text) {
    NN_BUF b = {0};
    nn_err err = {0};
    nn_safetensors *s = (nn_safetensors *)&err;
    put_file(&b, header, n);
    assert_int_equal(nn_safetensors_read(b.p, b.n, "f", &s, &err), NN_E_MODEL_FILE_ERROR);
    assert_ptr_equal(s, &err);
    if (!strstr(err.msg, text)) fail_msg("expected '%s' in '%s'", text, err.msg);
}

/* The example of the format's own README, in spirit: offsets given out of order, blanks after the
 * header. */
TEST(safetensors_reads_what_the_format_allows) {
    nn_err err = {0};
    NN_BUF b = {0};
    put_file(&b,
             "{\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[8,11]},"
             "\"__metadata__\":{\"k\":\"v\"},"
             "\"a\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]},"
             "\"z\":{\"dtype\":\"I64\",\"shape\":[0,5],\"data_offsets\":[8,8]},"
             "\"s\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[11,13]}}   ",
             13);
    FILE_OPEN *s = NULL;
    CHECK_OK(nn_safetensors_read(b.p, b.n, "f", &s, &err), &err);
    assert_string_equal(nn_safetensors_at(s, 0)->name, "a");
    assert_null(nn_safetensors_at(s, 4));
    assert_null(nn_safetensors_find(s, "c"));
    const nn_tensor *t = nn_safetensors_find(s, "b");
    assert_int_equal(t->bytes, 3);
    assert_int_equal(((const uint8_t *)t->data)[2], 10);
    assert_int_equal(nn_safetensors_find(s, "s")->shape.rank, 0);
    assert_int_equal(nn_safetensors_find(s, "z")->bytes, 0);
    t = nn_safetensors_find(s, "a");
    assert_int_equal(t->shape.dim[1], 2);
    assert_int_equal((uintptr_t)t->data % 4, 0); /* the header's length is odd: this is a copy */
    assert_memory_equal(t->data, "\0\1\2\3\4\5\6\7", 8);
    assert_string_equal(nn_safetensors_meta(s, "k"), "v");
    assert_null(nn_safetensors_meta(s, "x"));
}

TEST(safetensors_refusals) {
    static const struct {
        const char *header;
        size_t data;
        const char *text;
    } cases[] = {
        {"",                                                                                                       0, "does not begin with {"            },
        {" {}",                                                                                                    0, "does not begin with {"            },
        {"[]",                                                                                                     0, "does not begin with {"            },
        {"{",                                                                                                      0, "offset 8: the header, line 1"     },
        {"{} x",                                                                                                   0, "the header, line 1"               },
        {"{\"a\":1}",                                                                                              0, "expected an object of dtype"      },
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}",                                                              4, "expected an object of dtype"      },
        {"{\"a\":{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,4]}}",                                       4, "an unknown dtype"                 },
        {"{\"a\":{\"dtype\":4,\"shape\":[1],\"data_offsets\":[0,4]}}",                                             4, "an unknown dtype"                 },
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}",                                         4, "shape is not"                     },
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}",                                      4, "shape is not"                     },
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}",                                     4, "shape is not"                     },
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}",                       4,
         "shape is not"                                                                                                                                  },
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4611686018427387904],\"data_offsets\":[0,4]}}",
         4,                                                                                                           "shape is not"                     },
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}",                                         4,
         "data_offsets is not"                                                                                                                           },
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}",                                       4,
         "data_offsets is not"                                                                                                                           },
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}",                                      4,
         "data_offsets is not"                                                                                                                           },
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,9223372036854775807]}}",                     4,
         "ends at offset 9223372036854775807 of 4"                                                                                                       },
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",                                       4,
         "ends at offset 8 of 4"                                                                                                                         },
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}",                                       4, "need 8"                           },
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}",                                        5,
         "1 bytes after the last tensor"                                                                                                                 },
        {"{}",                                                                                                     1, "1 bytes after the last tensor"    },
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[3,7]}}",                                7, "overlaps"                         },
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}",                                4, "overlaps"                         },
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[5,7]}}",                                7, "belongs to no tensor"             },
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}",                                0, "the header, line 1"               },
        {"{\"__metadata__\":1}",                                                                                   0, "not an object of strings"         },
        {"{\"__metadata__\":{\"k\":1}}",                                                                           0, "__metadata__ 'k': is not a string"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_refused(cases[i].header, cases[i].data, cases[i].text);
}

TEST(safetensors_header_length) {
    nn_err err = {0};
    nn_safetensors *s = NULL;
    char p[16] = "\3\0\0\0\0\0\0\0{}";
    for (size_t n = 0; n < 10; n++)
        assert_int_equal(nn_safetensors_read(p, n, "f", &s, &err), NN_E_MODEL_FILE_ERROR);
    CHECK(strstr(err.msg, "is truncated"));
    memset(p, 0xff, 8);
    assert_int_equal(nn_safetensors_read(p, 10, "f", &s, &err), NN_E_MODEL_FILE_ERROR);
    CHECK(strstr(err.msg, "limit of 100 MB"));
    assert_null(s);
}

TEST(safetensors_open_refuses_what_is_no_file) {
    nn_err err = {0};
    nn_safetensors *s = NULL;
    assert_int_equal(nn_safetensors_open("/nonexistent/m", &s, &err), NN_E_NOT_FOUND);
    assert_int_equal(nn_safetensors_open("/tmp", &s, &err), NN_E_MODEL_FILE_ERROR);
    assert_int_equal(nn_safetensors_open("/dev/null", &s, &err), NN_E_MODEL_FILE_ERROR);
    assert_null(s);
}

static const float floats[] = {1.5f, -2, 3};
static const uint8_t bytes[] = {7, 8, 9};
static const nn_tensor tensors[] = {
    {.name = "odd",    .dtype = "U8",  .shape = {1, {3}},    .data = bytes,  .bytes = 3 },
    {.name = "a\"\\b", .dtype = "F32", .shape = {2, {1, 3}}, .data = floats, .bytes = 12},
};

/* A reader that knows only the format's description, in Python. */
static const char reader[] =
    "import json,struct,sys,hashlib\n"
    "import numpy as np\n"
    "raw=open(sys.argv[1],'rb').read()\n"
    "n,=struct.unpack('<Q',raw[:8]); h=json.loads(raw[8:8+n]); d=raw[8+n:]\n"
    "assert n % 8 == 0 and h.pop('__metadata__') == {'k': 'v \\u00e9'}\n"
    "t={k:np.frombuffer(d[v['data_offsets'][0]:v['data_offsets'][1]],\n"
    "   {'F32':'<f4','U8':'u1'}[v['dtype']]).reshape(v['shape']) for k,v in h.items()}\n"
    "assert list(t['a\\\"\\\\b'][0]) == [1.5,-2,3] and t['a\\\"\\\\b'].shape == (1,3)\n"
    "assert list(t['odd']) == [7,8,9]\n"
    "ends=sorted(v['data_offsets'] for v in h.values())\n"
    "assert ends[0][0] == 0 and ends[0][1] == ends[1][0] and ends[1][1] == len(d)\n"
    "assert hashlib.sha256(raw).hexdigest() == sys.argv[2]\n";

TEST(safetensors_writes_what_another_reader_reads) {
    nn_err err = {0};
    char dir[] = "/tmp/nn-model-XXXXXX", path[64], script[64], command[256], sha[65], again[65];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/m.safetensors", dir);
    snprintf(script, sizeof script, "%s/r.py", dir);
    NN_JSON *meta = nn_json_new_object();
    nn_json_set(meta, "k", nn_json_new_str("v \xc3\xa9"));
    CHECK_OK(nn_safetensors_write(path, tensors, 2, meta, sha, &err), &err);
    CHECK_OK(nn_file_write(script, reader, sizeof reader - 1, &err), &err);
    snprintf(command, sizeof command, "/usr/bin/python3 %s %s %s", script, path, sha);
    assert_int_equal(system(command), 0);
    CHECK_OK(nn_safetensors_write(path, tensors, 2, meta, again, &err), &err);
    assert_string_equal(sha, again);
    FILE_OPEN *s = NULL;
    CHECK_OK(nn_safetensors_open(path, &s, &err), &err);
    nn_safetensors_sha256(s, again);
    assert_string_equal(sha, again);
    assert_memory_equal(nn_safetensors_find(s, "a\"\\b")->data, floats, 12);
    snprintf(command, sizeof command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

#ifdef NN_FAULT
static int entries(const char *dir) {
    int n = 0;
    DIR *d = opendir(dir);
    while (readdir(d)) n++;
    closedir(d);
    return n - 2;
}

/* Whatever call fails, the old file or the new one is there, whole, and no temporary file is left.
 */
TEST(safetensors_write_faults) {
    nn_err err = {0};
    char dir[] = "/tmp/nn-model-XXXXXX", path[64], sha[65], other[65], found[65], command[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/m", dir);
    CHECK_OK(nn_safetensors_write(path, tensors, 1, NULL, sha, &err), &err);
    static const nn_fault kinds[] = {NN_FAULT_WRITE, NN_FAULT_FSYNC, NN_FAULT_RENAME};
    for (int k = 0; k < 3; k++)
        for (long n = 1;; n++) {
            nn_fault_set(kinds[k], n, false);
            memset(other, 'x', 64);
            nn_status s = nn_safetensors_write(path, tensors, 2, NULL, other, &err);
            bool hit = nn_fault_calls(kinds[k]) >= n;
            nn_fault_set(kinds[k], 0, false);
            if (!hit) {
                CHECK_OK(s, &err);
                CHECK(n > 1); /* at least one call was failed */
                CHECK_OK(nn_safetensors_write(path, tensors, 1, NULL, sha, &err), &err);
                break;
            }
            assert_int_equal(s, NN_E_STORAGE_ERROR);
            assert_int_equal(other[0], 'x');
            CHECK_OK(nn_sha256_file(path, found, &err), &err);
            /* the second fsync is that of the folder, after the rename */
            if (kinds[k] == NN_FAULT_FSYNC && n == 2)
                CHECK_OK(nn_safetensors_write(path, tensors, 1, NULL, sha, &err), &err);
            else
                assert_string_equal(found, sha);
            assert_int_equal(entries(dir), 1);
        }
    snprintf(command, sizeof command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}
#endif
