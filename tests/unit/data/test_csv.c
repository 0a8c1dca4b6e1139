/* SPDX-License-Identifier: MIT */
#include "data/csv.h"
#include "fixture.h"

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

TEST(csv_limit) {
    nn_err err;
    FOLDER f;
    folder_init(&f);
    nn_dataset *d = NULL;
    const char *path = put_csv(&f, "a,y\n1,2\n3,4\n5,6\n");
    nn_dataset_options o = {.max_bytes = 10};
    assert_int_equal(nn_dataset_open_with(path, NN_SPLIT_TRAIN, &o, &d, &err), NN_E_LIMIT);
    o.max_bytes = 100;
    assert_int_equal(nn_dataset_open_with(path, NN_SPLIT_TRAIN, &o, &d, &err), NN_E_LIMIT);
    assert_null(d);
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
