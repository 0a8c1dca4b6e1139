/* SPDX-License-Identifier: MIT */
/* Files are written by NumPy itself; damage is done to them afterwards. */
#include "data/npy.h"
#include "fixture.h"

/* Runs a NumPy script in the folder; the names it writes are removed with the folder. */
static void numpy(folder *f, const char *script, const char *const *names) {
    char command[4096];
    snprintf(command, sizeof command, "cd %s && /usr/bin/python3 -c \"import numpy as np\n%s\"",
             f->path, script);
    assert_int_equal(system(command), 0);
    for (; *names; names++) folder_name(f, *names);
}

static char *slurp(const char *path, size_t *ret_n) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *p = malloc(1 << 20);
    *ret_n = fread(p, 1, 1 << 20, f);
    fclose(f);
    return p;
}

static const char keras[] = "x = np.arange(6*2*3).reshape(6,2,3)\n"
                            "d = dict(x_train=x.astype('u1'), y_train=np.array([0,1,2,0,1,2]),"
                            "x_test=x[:2].astype('u1'), y_test=np.array([1,1], dtype='u1'))\n";

static void check_keras(const char *spec) {
    nn_err err;
    DATASET *a = NULL, *b = NULL;
    CHECK_OK(nn_dataset_open(spec, NN_SPLIT_TRAIN, &a, &err), &err);
    CHECK_OK(nn_dataset_open(spec, NN_SPLIT_TEST, &b, &err), &err);
    assert_int_equal(a->rows, 6);
    assert_int_equal(b->rows, 2);
    assert_int_equal(a->block[0].shape.rank, 3);
    assert_int_equal(a->block[0].shape.dim[2], 1);
    assert_int_equal(a->classes, 3);
    assert_int_equal(b->classes, 3); /* of the training part, although the test part shows two */
    for (int i = 0; i < 36; i++) assert_int_equal(((uint8_t *)a->block[0].data)[i], i);
    for (int i = 0; i < 6; i++) assert_int_equal(a->labels[i], i % 3);
    assert_int_equal(b->labels[1], 1);
}

TEST(npz_stored_deflated_and_folder) {
    FOLDER f;
    folder_init(&f);
    static const char *const names[] = {"a.npz",      "b.npz",      "x_train.npy", "y_train.npy",
                                        "x_test.npy", "y_test.npy", NULL};
    char script[1024];
    snprintf(script, sizeof script,
             "%snp.savez('a.npz', **d)\nnp.savez_compressed('b.npz', **d)\n"
             "[np.save(k, v) for k, v in d.items()]",
             keras);
    numpy(&f, script, names);
    check_keras(f.names[0]);
    check_keras(f.names[1]);
    check_keras(f.path);
    check_keras(f.names[2]);
}

TEST(npz_one_pair_is_divided) {
    nn_err err;
    FOLDER f;
    folder_init(&f);
    static const char *const names[] = {"s.npz", NULL};
    numpy(&f, "np.savez('s.npz', x=np.arange(20.).reshape(10,2), y=np.eye(3)[np.arange(10)%3])",
          names);
    int seen = 0;
    for (int split = 0; split < 2; split++) {
        DATASET *d = NULL;
        CHECK_OK(nn_dataset_open(f.names[0], split ? NN_SPLIT_TEST : NN_SPLIT_TRAIN, &d, &err),
                 &err);
        assert_int_equal(d->rows, split ? 2 : 8);
        assert_int_equal(d->block[0].type, NN_ROWS_F32);
        assert_int_equal(d->classes, 3);
        for (int64_t i = 0; i < d->rows; i++) {
            int row = (int)((float *)d->block[0].data)[2 * i] / 2;
            assert_int_equal(d->labels[i], row % 3);
            seen |= 1 << row;
        }
    }
    assert_int_equal(seen, 1023);
}

TEST(npz_values_of_every_type) {
    nn_err err;
    static const char *const types[] = {"i4", "i8", "f4", "f8"};
    for (int i = 0; i < 4; i++) {
        FOLDER f;
        folder_init(&f);
        static const char *const names[] = {"s.npz", NULL};
        char script[512];
        snprintf(script, sizeof script,
                 "x = np.arange(-6,6).reshape(4,3).astype('%s')\n"
                 "np.savez('s.npz', x_train=x, y_train=np.array([.5,1.5,2.5,3.5]))",
                 types[i]);
        numpy(&f, script, names);
        DATASET *d = NULL;
        CHECK_OK(nn_dataset_open(f.names[0], NN_SPLIT_TRAIN, &d, &err), &err);
        for (int j = 0; j < 12; j++)
            assert_float_equal(((float *)d->block[0].data)[j], (float)(j - 6), 0);
        assert_float_equal(d->targets[3], 3.5f, 0);
        assert_int_equal(d->target_width, 1);
        CHECK_REFUSED(f.names[0], NN_SPLIT_TEST, NN_E_DATA_ERROR, "holds no samples for testing");
    }
}

static void check_script(const char *script, const char *text) {
    FOLDER f;
    folder_init(&f);
    static const char *const names[] = {"s.npz", NULL};
    numpy(&f, script, names);
    CHECK_REFUSED(f.names[0], NN_SPLIT_TRAIN, NN_E_DATA_ERROR, text);
}

TEST(npz_refusals) {
    check_script("np.savez('s.npz', x=np.zeros((3,2)))", "has x, but not its labels y");
    check_script("np.savez('s.npz', a=np.zeros((3,2)))", "holds no samples");
    check_script("np.savez('s.npz', x=np.zeros((3,2)), y=np.zeros(2))", "2 rows on 1 axes");
    check_script("np.savez('s.npz', x=np.zeros(3), y=np.zeros(3))", "1 axis, samples need");
    check_script("np.savez('s.npz', x=np.zeros((0,3)), y=np.zeros(0))", "holds no elements");
    check_script("np.savez('s.npz', x=np.zeros((2,3)), y=np.array([0,-1]))",
                 "label -1 of row 1 is out of range");
    check_script("np.savez('s.npz', x=np.full((2,3),np.nan), y=np.zeros(2))",
                 "offset 128: element 0 of row");
    check_script("np.savez('s.npz', x=np.zeros((2,3)), y=np.array([np.inf,np.inf]))",
                 "not a finite float");
    check_script("np.savez('s.npz', x=np.zeros((2,3),order='F'), y=np.zeros(2))", "Fortran order");
    check_script("np.savez('s.npz', x=np.zeros((2,3),dtype='f2'), y=np.zeros(2))",
                 "element type that is not read");
    check_script("np.savez('s.npz', x=np.zeros((2,3),dtype='>f4'), y=np.zeros(2))",
                 "element type that is not read");
    check_script("np.savez('s.npz', x=np.array([[1,'a']],dtype=object), y=np.zeros(1))",
                 "element type that is not read");
    check_script(
        "np.savez('s.npz', x_train=np.zeros((2,3)), y_train=np.array([0,1]), x_test=np.zeros((1,3)), "
        "y_test=np.array([2]))\n"
        "import os; d=dict(np.load('s.npz')); d['x_train'],d['y_train']=d['x_train'][:1],d['y_train'][:0]\n"
        "np.savez('s.npz', **d)",
        "0 rows on 1 axes");
    FOLDER f;
    folder_init(&f);
    static const char *const names[] = {"s.npz", NULL};
    numpy(
        &f,
        "np.savez('s.npz', x_train=np.zeros((2,3)), y_train=np.array([0,1]), x_test=np.zeros((1,3)), "
        "y_test=np.array([2]))",
        names);
    CHECK_REFUSED(f.names[0], NN_SPLIT_TEST, NN_E_DATA_ERROR, "label 2 is out of range");
    CHECK_REFUSED(folder_put(&f, "foo.npy", "x", 1), NN_SPLIT_TRAIN, NN_E_DATA_ERROR,
                  "one array, without labels");
}

/* Every prefix and every single changed byte of an archive is refused or read, never worse; a
 * changed content byte is noticed by its checksum. */
/* Integers on more axes: a class at each place, whatever number stands there. */
TEST(npz_labels_of_places) {
    FOLDER f;
    folder_init(&f);
    static const char *const names[] = {"s.npz", NULL};
    numpy(&f,
          "np.savez('s.npz', x_train=np.zeros((4,2,3,5)), y_train=np.arange(24).reshape(4,2,3)-1,"
          "x_test=np.zeros((1,2,3,5)), y_test=np.array([[[255,0,0],[1,2,-7]]], dtype='i4'))",
          names);
    nn_err err;
    DATASET *a = NULL, *b = NULL;
    CHECK_OK(nn_dataset_open(f.names[0], NN_SPLIT_TRAIN, &a, &err), &err);
    CHECK_OK(nn_dataset_open(f.names[0], NN_SPLIT_TEST, &b, &err), &err);
    assert_true(!a->labels && !a->targets && a->target_width == 0);
    assert_int_equal(a->classes, 23);
    assert_int_equal(a->sites, 6);
    assert_int_equal(a->site_shape.rank, 2);
    assert_int_equal(a->site_shape.dim[1], 3);
    assert_non_null(strstr(a->site_array, "y_train.npy"));
    int32_t labels[12];
    nn_batch_site_labels(a, (uint32_t[]){3, 0}, 2, labels);
    for (int i = 0; i < 6; i++) {
        int row = (int)a->site_row[3], other = (int)a->site_row[0];
        assert_int_equal(labels[i], row * 6 + i - 1);
        assert_int_equal(labels[6 + i], other * 6 + i - 1);
    }
    nn_batch_site_labels(b, (uint32_t[]){0}, 1, labels);
    assert_int_equal(labels[0], 255);
    assert_int_equal(labels[5], -7);
    check_script("np.savez('s.npz', x=np.zeros((4,3)), y=np.full((4,1,3),100000))",
                 "label 100000 at place 0 of row 0 is out of range");
    check_script("np.savez('s.npz', x=np.zeros((4,3)), y=np.zeros((4,1,3)))",
                 "4 rows on 3 axes, expected one or two axes");
    check_script("np.savez('s.npz', x=np.zeros((4,3)), y=np.zeros((3,1,3),dtype=int))",
                 "3 rows on 3 axes, expected one to eight axes and the 4 rows");
    check_script("np.savez('s.npz', x=np.zeros((4,3)), y=np.zeros((4,0,3),dtype=int))",
                 "0 targets a row");
}

/* On two axes they are values as well, unless they are one-hot. One pair is divided. */
TEST(npz_integers_on_two_axes) {
    FOLDER f;
    folder_init(&f);
    static const char *const names[] = {"a.npz", "b.npz", NULL};
    numpy(&f,
          "np.savez('a.npz', x=np.arange(10).reshape(10,1)*1., y=np.arange(30).reshape(10,3))\n"
          "np.savez('b.npz', x=np.zeros((9,1)), y=np.eye(3,dtype=int)[np.arange(9)%3])",
          names);
    nn_err err;
    DATASET *a = NULL, *b = NULL;
    CHECK_OK(nn_dataset_open(f.names[0], NN_SPLIT_TRAIN, &a, &err), &err);
    CHECK_OK(nn_dataset_open(f.names[1], NN_SPLIT_TRAIN, &b, &err), &err);
    assert_int_equal(a->target_width, 3);
    assert_int_equal(a->sites, 3);
    assert_int_equal(a->classes, 0);
    for (int i = 0; i < (int)a->rows; i++) {
        int row = (int)((float *)a->block[0].data)[i];
        assert_int_equal(a->site_row[i], row);
        assert_int_equal(a->site_labels[3 * i + 2], 3 * row + 2);
        assert_float_equal(a->targets[3 * i + 2], 3 * row + 2, 0);
    }
    assert_true(b->labels && !b->site_labels);
    assert_int_equal(b->classes, 3);
}

TEST(npz_damage) {
    nn_err err;
    FOLDER f;
    folder_init(&f);
    static const char *const names[] = {"a.npz", NULL};
    char script[1024];
    snprintf(script, sizeof script, "%snp.savez_compressed('a.npz', **d)", keras);
    numpy(&f, script, names);
    size_t n, out_n;
    char *p = slurp(f.names[0], &n), *out;
    for (size_t cut = 0; cut < n; cut++)
        assert_int_equal(nn_zip_read(p, cut, "a", "x_train.npy", 1 << 20, &out, &out_n, &err),
                         NN_E_DATA_ERROR);
    for (size_t i = 0; i < n; i++) {
        p[i] ^= 0x55;
        out = NULL;
        if (nn_zip_read(p, n, "a", "x_train.npy", 1 << 20, &out, &out_n, &err) == NN_OK && out) {
            p[i] ^= 0x55;
            char *whole = NULL;
            size_t whole_n;
            CHECK_OK(nn_zip_read(p, n, "a", "x_train.npy", 1 << 20, &whole, &whole_n, &err), &err);
            assert_int_equal(out_n, whole_n);
            assert_memory_equal(out, whole, out_n);
            free(whole);
            p[i] ^= 0x55;
        }
        free(out);
        p[i] ^= 0x55;
    }
    assert_int_equal(nn_zip_read(p, n, "a", "x_train.npy", 10, &out, &out_n, &err), NN_E_LIMIT);
    free(p);
}

static void check_header(const char *dict, const char *text) {
    char file[512];
    size_t n = strlen(dict);
    memcpy(file, "\x93NUMPY\1\0", 8);
    file[8] = (char)n, file[9] = 0;
    memcpy(file + 10, dict, n);
    memset(file + 10 + n, 0, 8);
    nn_err err = {0};
    nn_npy a;
    nn_status s = nn_npy_parse(file, 10 + n + 8, "f", &a, &err);
    if (!*text) {
        CHECK_OK(s, &err);
        assert_int_equal(a.elements, 2);
        return;
    }
    assert_int_equal(s, NN_E_DATA_ERROR);
    if (!strstr(err.msg, text)) fail_msg("expected '%s' in '%s'", text, err.msg);
}

TEST(npy_headers) {
    check_header("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }  \n", "");
    check_header("{'shape':(1,2),'fortran_order':False,'descr':'<i4'}", "");
    check_header("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }",
                 "truncated: the header names 3");
    check_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", "trailing bytes");
    check_header("{'descr': '<f4', 'fortran_order': False}", "lacks");
    check_header("{'descr': '<f4', 'descr': '<f4', 'shape': (2,)}", "each once");
    check_header("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}", "each once");
    check_header("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", "expected the length");
    check_header("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
                 "too long");
    check_header("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296,4294967296,4)}",
                 "2^63");
    check_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1,2)}",
                 "more than 9");
    check_header("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x", "text after");
    check_header("{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}", "neither True nor False");
    check_header("[]", "not a dictionary");
    check_header("{'descr': '<f4'", "expected , or }");
}

/* Arrays of several inputs carry the inputs' names; a pair for all is divided once for all. */
TEST(several_inputs_by_name) {
    static const char *const scripts[] = {
        "np.savez('s.npz', image=np.arange(80, dtype='u1').reshape(10,4,2), age=np.arange(10.),"
        "words=np.arange(30).reshape(10,3), y=np.arange(10) % 2, note=np.array('text'), odd=np.zeros(3))",
        "np.savez('s.npz', image_train=np.arange(80, dtype='u1').reshape(10,4,2), age_train=np.arange(10.),"
        "words_train=np.arange(30).reshape(10,3), y_train=np.arange(10) % 2,"
        "image_test=np.zeros((2,4,2), 'u1'), age_test=np.zeros(2), words_test=np.zeros((2,3), 'i4'),"
        "y_test=np.arange(2))"};
    for (int i = 0; i < 2; i++) {
        nn_err err;
        FOLDER f;
        DATASET *d = NULL;
        folder_init(&f);
        numpy(&f, scripts[i], (const char *const[]){"s.npz", NULL});
        CHECK_OK(nn_dataset_open(f.names[0], NN_SPLIT_TRAIN, &d, &err), &err);
        assert_int_equal(d->rows, i ? 10 : 8);
        assert_int_equal(d->n_blocks, 3);
        int image = nn_dataset_block(d, "image", false), age = nn_dataset_block(d, "age", false),
            words = nn_dataset_block(d, "words", false);
        assert_int_equal(nn_dataset_block(d, "colour", true), -1);
        assert_int_equal(d->block[image].type, NN_ROWS_U8);
        assert_int_equal(d->block[words].type, NN_ROWS_F32); /* tokens stay what they are */
        assert_float_equal(d->block[words].norm.scale, 1, 0);
        assert_int_equal(d->block[image].shape.rank, 3);
        assert_int_equal(d->block[age].shape.dim[0], 1);
        for (uint32_t r = 0; r < (uint32_t)d->rows; r++) {
            float a, w[3], x[8];
            CHECK_OK(nn_batch_fill(&d->block[age], &r, 1, NULL, &a, &err), &err);
            CHECK_OK(nn_batch_fill(&d->block[words], &r, 1, NULL, w, &err), &err);
            CHECK_OK(nn_batch_fill(&d->block[image], &r, 1, NULL, x, &err), &err);
            assert_float_equal(w[2], 3 * a + 2, 0);
            assert_float_equal(x[1], (8 * a + 1) / 255, 1e-6f);
            assert_int_equal(d->labels[r], (int)a % 2);
        }
    }
}

TEST(samples_beside_x_have_names_too) {
    nn_err err;
    FOLDER f;
    DATASET *d = NULL;
    folder_init(&f);
    numpy(&f, "np.savez('s.npz', x=np.arange(12.).reshape(6,2), z=np.arange(6.), y=np.arange(6.))",
          (const char *const[]){"s.npz", NULL});
    CHECK_OK(nn_dataset_open(f.names[0], NN_SPLIT_TEST, &d, &err), &err);
    assert_int_equal(d->n_blocks, 2);
    assert_int_equal(nn_dataset_block(d, "pixels", true),
                     0); /* the only input, whatever its name */
    assert_int_equal(nn_dataset_block(d, "pixels", false), -1);
    assert_float_equal(((float *)d->block[1].data)[0], d->targets[0], 0);
}

TEST(inputs_of_a_part_must_agree) {
    check_script("np.savez('s.npz', a_train=np.zeros((3,2)), b_train=np.zeros((3,2), dtype='c8'),"
                 "y_train=np.zeros(3))",
                 "element type that is not read");
}

/* Arrays that do not fit into memory: read where they lie, or copied where they are of another
 * type, order or archive. */
TEST(arrays_larger_than_memory) {
    static const struct {
        const char *script, *spec;
    } cases[] = {
        {"[np.save('x_train', X.astype('f4')), np.save('y_train', Y)]",     ""      },
        {"[np.save('x_train', X.astype('u1')), np.save('y_train', Y)]",     ""      },
        {"[np.save('x_train', X.astype('f8')), np.save('y_train', Y)]",     ""      },
        {"[np.save('x', X.astype('i4')), np.save('y', Y)]",                 ""      },
        {"np.savez_compressed('s.npz', x_train=X.astype('f4'), y_train=Y)", "/s.npz"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char script[512], spec[128];
        FOLDER f;
        folder_init(&f);
        snprintf(script, sizeof script,
                 "X = np.arange(3000).reshape(300,10) %% 251\nY = np.arange(300) %% 7\n%s",
                 cases[c].script);
        numpy(&f, script,
              (const char *const[]){"x.npy", "y.npy", "x_train.npy", "y_train.npy", "s.npz", NULL});
        snprintf(spec, sizeof spec, "%s%s", f.path, cases[c].spec);
        nn_dataset_options o = {.max_bytes = c == 4 ? 13000 : 2000};
        nn_err err;
        DATASET *d = NULL, *whole = NULL;
        CHECK_OK(nn_dataset_open_with(spec, NN_SPLIT_TRAIN, &o, &d, &err), &err);
        CHECK_OK(nn_dataset_open(spec, NN_SPLIT_TRAIN, &whole, &err), &err);
        assert_null(d->block[0].data);
        assert_string_equal(d->sha256, whole->sha256);
        for (uint32_t r = 0; r < (uint32_t)d->rows; r++) {
            float x[10], y[10];
            CHECK_OK(nn_batch_fill(&d->block[0], &r, 1, NULL, x, &err), &err);
            CHECK_OK(nn_batch_fill(&whole->block[0], &r, 1, NULL, y, &err), &err);
            assert_memory_equal(x, y, sizeof x);
            assert_int_equal(d->labels[r], whole->labels[r]);
        }
    }
}
