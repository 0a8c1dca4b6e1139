/* SPDX-License-Identifier: MIT */
#include "data/csv.h"
#include "fixture.h"

#include <math.h>

static const char *put_csv(folder *f, const char *text) {
    return folder_put(f, "t.csv", text, strlen(text));
}

static void check_refused(const char *text, const char *message) {
    FOLDER f;
    folder_init(&f);
    CHECK_REFUSED(put_csv(&f, text), NN_SPLIT_TRAIN, NN_E_DATA_ERROR, message);
}

/* Opens both parts of a table and gathers (first feature -> label or target) of all rows. */
static void gather(const char *text, int rows, int width, double *label_of, char names[][16]) {
    nn_err err;
    FOLDER f;
    folder_init(&f);
    const char *path = put_csv(&f, text);
    int64_t seen = 0;
    for (int split = 0; split < 2; split++) {
        DATASET *d = NULL;
        CHECK_OK(nn_dataset_open(path, split ? NN_SPLIT_TEST : NN_SPLIT_TRAIN, &d, &err), &err);
        assert_int_equal(d->block[0].shape.rank, 1);
        assert_int_equal(d->block[0].shape.dim[0], width);
        assert_int_equal(d->block[0].type, NN_ROWS_F32);
        assert_int_equal(d->rows,
                         split ? (rows / 5 ? rows / 5 : 1) : rows - (rows / 5 ? rows / 5 : 1));
        seen += d->rows;
        for (int64_t i = 0; i < d->rows; i++) {
            int key = (int)((float *)d->block[0].data)[i * width];
            label_of[key] = d->labels ? d->labels[i] : (double)d->targets[i];
        }
        for (int i = 0; i < d->classes && names; i++)
            snprintf(names[i], 16, "%s", d->class_names[i]);
    }
    assert_int_equal(seen, rows);
}

TEST(csv_text_labels_with_a_header) {
    double l[6];
    char names[3][16];
    gather(
        "id,\"w,\"\"x\"\"\",Class\n0,1.5,rose\n1,-2e3, \"Iris, blue\" \r\n\r\n2,.5,rose\n3,+4.,aster",
        4, 2, l, names);
    assert_string_equal(names[0], "Iris, blue");
    assert_string_equal(names[1], "aster");
    assert_string_equal(names[2], "rose");
    CHECK(l[0] == 2 && l[1] == 0 && l[2] == 2 && l[3] == 1);
}

TEST(csv_whole_labels_without_a_header) {
    double l[6];
    char names[3][16];
    gather("\xef\xbb\xbf"
           "0;10\n1;-1\n2;9\n3;10\n4;9\n",
           5, 1, l, names);
    assert_string_equal(names[0], "-1");
    assert_string_equal(names[1], "9");
    assert_string_equal(names[2], "10");
    CHECK(l[0] == 2 && l[1] == 0 && l[2] == 1 && l[3] == 2 && l[4] == 1);
}

TEST(csv_real_targets) {
    double l[6];
    gather("y\ta\tb\n1.5\t0\t7\n2\t1\t7\n-3e-2\t2\t7\n", 3, 2, l, NULL);
    CHECK(l[0] == 1.5 && l[1] == 2 && l[2] == (double)-3e-2f);
}

TEST(csv_a_name_that_is_a_number_does_not_hide_the_header) {
    double l[6];
    char names[3][16];
    gather("0,1,label\n0,5,a\n1,5,b\n", 2, 2, l, names);
    CHECK(l[0] == 0 && l[1] == 1);
}

TEST(csv_many_whole_numbers_are_values) {
    char *text = malloc(40000);
    int n = 0;
    for (int i = 0; i < 1001; i++)
        n += snprintf(text + n, (size_t)(40000 - n), "%d,%d\n", i, i * 3);
    double *l = calloc(1001, sizeof *l);
    gather(text, 1001, 1, l, NULL);
    assert_true(l[1000] == 3000);
    free(l);
    free(text);
}

TEST(csv_refusals) {
    check_refused("", "holds no rows");
    check_refused("\n\n", "holds no rows");
    check_refused("a,b\n", "holds a header but no rows");
    check_refused("1\n2\n", "line 1: 1 columns");
    check_refused("a,b,y\n1,2,3\n1,2\n", "line 3: 2 columns, the first row has 3");
    check_refused("a,b,y\n1,2,3\n1,2,3,4\n", "line 3: 4 columns, the first row has 3");
    check_refused("a,b,y\n1,,3\n", "line 2, column 2 ('b'): a missing value");
    check_refused("a,b,y\n1,NaN,3\n", "line 2, column 2 ('b'): a missing value");
    check_refused("a,b,y\n1,2,\n", "line 2, column 3 ('y'): a missing label");
    check_refused("a,b,y\n1,red,3\n", "line 2, column 2 ('b'): not a number: 'red'");
    check_refused("a,b,y\n1,0x10,3\n", "not a number: '0x10'");
    check_refused("a,b,y\n1,1e999,3\n", "not a number: '1e999'");
    check_refused("a,b,y\n1,1e39,3\n", "too large a number");
    check_refused("a,b,y\n1,2,1e39\n", "too large a number");
    check_refused("a,b,y\n1,\"2,3\n", "line 2, column 2: a quote is never closed");
    check_refused("a,b,y\n1,\"2\"3,3\n", "line 2, column 2: text after a closing quote");
    check_refused(",b,y\n1,2,3\n", "line 1, column 1: has no name");
    check_refused("a,b,y\n1,2,\xff\xfe\n", "line 2, column 3 ('y'): a label that is not UTF-8");
    check_refused("a,y\n1,2\n", "has 1 row, at least 2 are needed");
    FOLDER f;
    folder_init(&f);
    CHECK_REFUSED(folder_put(&f, "n.csv", "a,y\n1\0,2\n", 9), NN_SPLIT_TRAIN, NN_E_DATA_ERROR,
                  "a NUL byte");
    CHECK_REFUSED("/nonexistent/x.csv", NN_SPLIT_TRAIN, NN_E_NOT_FOUND, "/nonexistent/x.csv");
}

/* Line numbers count the line breaks inside quotes. */
TEST(csv_line_numbers) {
    check_refused("a,b,y\n1,2,\"two\nlines\"\n1,x,3\n", "line 4, column 2");
}

/* Rows that do not fit into memory are the same rows. */
TEST(csv_larger_than_memory) {
    nn_err err;
    FOLDER f;
    folder_init(&f);
    NN_BUF text = {0};
    nn_buf_puts(&text, "a,b,y\n");
    for (int i = 0; i < 20000; i++) nn_buf_printf(&text, "%d,%d.5,%d\n", i, -i, i % 7);
    const char *path = folder_put(&f, "t.csv", text.p, text.n);
    nn_dataset_options o = {.max_bytes = 80000};
    DATASET *d = NULL, *whole = NULL;
    CHECK_OK(nn_dataset_open_with(path, NN_SPLIT_TRAIN, &o, &d, &err), &err);
    CHECK_OK(nn_dataset_open(path, NN_SPLIT_TRAIN, &whole, &err), &err);
    assert_null(d->block[0].data);
    assert_string_equal(d->sha256, whole->sha256);
    assert_memory_equal(d->labels, whole->labels, 16000 * sizeof *d->labels);
    for (uint32_t i = 0; i < 16000; i++) {
        float x[2];
        CHECK_OK(nn_batch_fill(&d->block[0], &i, 1, NULL, x, &err), &err);
        assert_memory_equal(x, (float *)whole->block[0].data + 2 * i, sizeof x);
        assert_int_equal((int)fabsf(x[1]), (int)x[0]);
    }
    o.max_bytes = 10; /* the labels stay in memory */
    nn_dataset *none = NULL;
    assert_int_equal(nn_dataset_open_with(path, NN_SPLIT_TRAIN, &o, &none, &err), NN_E_LIMIT);
}

/* Opens the training part of a table with options behind its path. */
static nn_dataset *open_table(folder *f, const char *text, const char *options, nn_split split) {
    char spec[512];
    nn_err err;
    nn_dataset *d = NULL;
    snprintf(spec, sizeof spec, "%s%s", put_csv(f, text), options);
    CHECK_OK(nn_dataset_open(spec, split, &d, &err), &err);
    return d;
}

/* The row whose first feature is `key`. */
static const float *row_of(const nn_dataset *d, float key) {
    for (int64_t i = 0; i < d->rows; i++) {
        const float *x = (const float *)d->block[0].data + i * d->block[0].stride;
        if (x[0] == key) return x;
    }
    return NULL;
}

#define SHOP                                                                                       \
    "id,colour,size,price,bought\n1,red,S,10,yes\n2,green,L,,no\n3,blue,M,30,yes\n"                \
    "4,red,L,40,no\n5,NA,S,50,yes\n6,green,M,60,no\n"

static void check_shop(const char *options, float key, int width, const float *want) {
    FOLDER f;
    folder_init(&f);
    for (int split = 0; split < 2; split++) {
        DATASET *d = open_table(&f, SHOP, options, split ? NN_SPLIT_TEST : NN_SPLIT_TRAIN);
        assert_int_equal(d->block[0].stride, width);
        const float *x = row_of(d, key);
        for (int i = 0; x && i < width; i++) assert_float_equal(x[i], want[i], 1e-6f);
    }
}

TEST(csv_categories) {
    /* categories in the order of their bytes; a missing one is a category of its own: "" */
    check_shop(":categories=colour+size,missing=0", 3, 9,
               (const float[]){3, 0, 1, 0, 0, 0, 1, 0, 30});
    check_shop(":categories=colour+size,missing=7", 2, 9,
               (const float[]){2, 0, 0, 1, 0, 1, 0, 0, 7});
    check_shop(":categories=*,missing=0", 5, 9, (const float[]){5, 1, 0, 0, 0, 0, 0, 1, 50});
    check_shop(":index=colour+3,missing=0", 4, 4, (const float[]){4, 3, 0, 40});
    check_shop(":index=size(S|M|L)+colour(red|green|blue|NA),missing=0,scale=price*0.1", 5, 4,
               (const float[]){5, 3, 0, 5});
    check_shop(":ignore=colour+size+price", 6, 1, (const float[]){6});
    check_shop(":label=price,ignore=colour+size+bought,missing=drop", 6, 1, (const float[]){6});
}

TEST(csv_missing_rows_are_dropped) {
    FOLDER f;
    folder_init(&f);
    DATASET *a = open_table(&f, SHOP, ":categories=*,missing=drop", NN_SPLIT_TRAIN),
            *b = open_table(&f, SHOP, ":categories=*,missing=drop", NN_SPLIT_TEST);
    assert_int_equal(a->rows + b->rows, 4);
    assert_null(row_of(a, 2));
    assert_null(row_of(b, 5));
}

/* The mean is that of the training rows, in both parts. */
TEST(csv_missing_numbers_become_the_mean) {
    FOLDER f;
    folder_init(&f);
    const char *text =
        "id,x,y\n0,,0\n1,1,1\n2,2,0\n3,,1\n4,8,0\n5,16,1\n6,32,0\n7,,1\n8,128,0\n9,,1\n";
    const char *options[] = {":missing=mean", ":missing=mean,memory=50"};
    for (int o = 0; o < 2; o++) {
        DATASET *a = open_table(&f, text, options[o], NN_SPLIT_TRAIN);
        DATASET *b = open_table(&f, text, options[o], NN_SPLIT_TEST);
        double sum = 0, n = 0;
        float mean = 0, x[16];
        nn_err err;
        const uint32_t index[] = {0, 1, 2, 3, 4, 5, 6, 7};
        assert_int_equal(!a->block[0].data, o);
        CHECK_OK(nn_batch_fill(&a->block[0], index, 8, NULL, x, &err), &err);
        for (int i = 0; i < 8; i++) {
            int id = (int)x[2 * i];
            bool missing = id == 0 || id == 3 || id == 7 || id == 9;
            if (missing) mean = x[2 * i + 1];
            sum += missing ? 0 : (double)x[2 * i + 1];
            n += !missing;
            if (!missing) assert_float_equal(x[2 * i + 1], (float)(1 << (id - 1)), 0);
        }
        assert_float_equal(mean, sum / n, 1e-5);
        CHECK_OK(nn_batch_fill(&b->block[0], index, 2, NULL, x, &err), &err);
        for (int i = 0; i < 2; i++) {
            int id = (int)x[2 * i];
            if (id == 0 || id == 3 || id == 7 || id == 9)
                assert_float_equal(x[2 * i + 1], sum / n, 1e-5);
        }
    }
}

TEST(csv_options_that_are_refused) {
    static const struct {
        const char *options, *text;
        int code;
    } cases[] = {
        {"",                                               "line 2, column 2 ('colour'): not a number: 'red'", NN_E_DATA_ERROR      },
        {":categories=colour",                             "line 2, column 3 ('size'): not a number",          NN_E_DATA_ERROR      },
        {":categories=*",                                  "line 3, column 4 ('price'): a missing value",      NN_E_DATA_ERROR      },
        {":categories=shape",                              "no column is called 'shape'",                      NN_E_VALIDATION_ERROR},
        {":categories=9",                                  "no column is called '9'",                          NN_E_VALIDATION_ERROR},
        {":categories=colour,index=colour",                "'colour' is named twice",                          NN_E_VALIDATION_ERROR},
        {":ignore=bought",                                 "'bought' is named twice",                          NN_E_VALIDATION_ERROR},
        {":index=colour(red|green,ignore=size",            "expected column(one|another)",
         NN_E_VALIDATION_ERROR                                                                                                      },
        {":index=colour(red|green),ignore=size",           "line 3, column 4 ('price'): a missing value",
         NN_E_DATA_ERROR                                                                                                            },
        {":missing=0,index=colour(red|green),ignore=size",
         "line 4, column 2 ('colour'): a category that the options do",                                        NN_E_DATA_ERROR      },
        {":scale=price",                                   "expected column*factor",                           NN_E_VALIDATION_ERROR},
        {":missing=perhaps",                               "missing must be error, drop",                      NN_E_VALIDATION_ERROR},
        {":ignore=id+colour+size+price",                   "no column is left",                                NN_E_DATA_ERROR      },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        FOLDER f;
        folder_init(&f);
        char spec[256];
        snprintf(spec, sizeof spec, "%s%s", put_csv(&f, SHOP), cases[i].options);
        CHECK_REFUSED(spec, NN_SPLIT_TRAIN, (nn_status)cases[i].code, cases[i].text);
    }
    check_refused("day,x,y\n2024-03-01,1,0\n", "column 1 ('day'): a date");
    check_refused("day,x,y\n1/3/24 12:30,1,0\n", "column 1 ('day'): a date");
}

/* Rows of every length around the size of a chunk, and breaks inside quotes across two. */
TEST(csv_rows_across_chunks) {
    nn_err err;
    FOLDER f;
    folder_init(&f);
    NN_BUF text = {0};
    nn_buf_puts(&text, "x,y\n");
    for (int i = 0; i < 40; i++) {
        nn_buf_printf(&text, "%d,\"", i);
        for (int k = 0; k < 6553 + i; k++)
            nn_buf_puts(&text, k % 100 == 99 ? "\n" : k % 77 == 5 ? "\"\"" : "z");
        nn_buf_puts(&text, i % 2 ? "\"\r\n" : "\"\n\n");
    }
    DATASET *d = NULL;
    CHECK_OK(nn_dataset_open(folder_put(&f, "t.csv", text.p, text.n), NN_SPLIT_TRAIN, &d, &err),
             &err);
    assert_int_equal(d->rows, 32);
    assert_int_equal(d->classes, 40);
    for (int64_t i = 0; i < d->rows; i++) {
        int row = (int)((float *)d->block[0].data)[i];
        assert_int_equal(strlen(d->class_names[d->labels[i]]), 6553 + row);
    }
}

TEST(csv_gz) {
    nn_err err;
    FOLDER f;
    folder_init(&f);
    DATASET *d = NULL;
    CHECK_OK(
        nn_dataset_open(folder_put(&f, "t.csv.gz", "a,y\n1,2\n3,4\n", 12), NN_SPLIT_TEST, &d, &err),
        &err);
    assert_int_equal(d->rows, 1);
}

/* The short way to read a number equals strtod, bit for bit. */
TEST(csv_numbers) {
    static const char *const good[] = {"0",
                                       "-0",
                                       "7",
                                       "123456789012345",
                                       "0.1",
                                       "-.5",
                                       "5.",
                                       "3.14159265358979",
                                       "1e5",
                                       "1E-5",
                                       "+2.5",
                                       "1234567890123456789",
                                       "0.000000000000001",
                                       "0.1234567890123456789",
                                       "9007199254740993.25",
                                       "0.00000000000000000012345",

                                       "179769313486231570000000000000000000000"};
    static const char *const bad[] = {"",    "-",   ".",   "+",     "1e",  "e5",  "1..2",
                                      "1 2", "inf", "nan", "0x1p3", "1,5", "--1", "1e400"};
    double v;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(nn_csv_number(&(nn_cell){(char *)good[i], strlen(good[i])}, &v));
        double want = strtod(good[i], NULL);
        assert_memory_equal(&v, &want, sizeof v);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(nn_csv_number(&(nn_cell){(char *)bad[i], strlen(bad[i])}, &v));
}
