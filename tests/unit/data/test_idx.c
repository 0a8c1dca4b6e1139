/* SPDX-License-Identifier: MIT */
#include "fixture.h"

/* Two images of 2 x 3, by hand from the description of the format. */
static const uint8_t images[] = {0, 0, 8, 3, 0, 0, 0, 2, 0,   0,   0,   2,   0,   0,
                                 0, 3, 0, 1, 2, 3, 4, 5, 250, 251, 252, 253, 254, 255};
static const uint8_t labels[] = {0, 0, 8, 1, 0, 0, 0, 2, 1, 0};

static void put_pair(folder *f, const char *part, const char *suffix) {
    char name[64];
    snprintf(name, sizeof name, "%s-images-idx3-ubyte%s", part, suffix);
    folder_put(f, name, images, sizeof images);
    snprintf(name, sizeof name, "%s-labels-idx1-ubyte%s", part, suffix);
    folder_put(f, name, labels, sizeof labels);
}

static void check_content(const nn_dataset *d) {
    assert_int_equal(d->rows, 2);
    assert_int_equal(d->block[0].type, NN_ROWS_U8);
    assert_int_equal(d->block[0].shape.rank, 3);
    assert_int_equal(d->block[0].shape.dim[0], 2);
    assert_int_equal(d->block[0].shape.dim[1], 3);
    assert_int_equal(d->block[0].shape.dim[2], 1);
    assert_int_equal(d->classes, 2);
    assert_null(d->class_names);
    assert_memory_equal(d->block[0].data, images + 16, 12);
    assert_int_equal(d->labels[0], 1);
    assert_int_equal(d->labels[1], 0);
}

TEST(idx_plain_and_gz_are_equal) {
    nn_err err;
    FOLDER f, z;
    folder_init(&f);
    folder_init(&z);
    put_pair(&f, "train", "");
    put_pair(&z, "train", ".gz");
    DATASET *a = NULL, *b = NULL;
    CHECK_OK(nn_dataset_open(f.path, NN_SPLIT_TRAIN, &a, &err), &err);
    CHECK_OK(nn_dataset_open(z.path, NN_SPLIT_TRAIN, &b, &err), &err);
    check_content(a);
    check_content(b);
    /* sha256sum of images and labels one after the other */
    assert_string_equal(a->sha256, b->sha256);
    assert_int_equal(strlen(a->sha256), 64);
}

TEST(idx_other_spellings) {
    nn_err err;
    FOLDER f;
    folder_init(&f);
    folder_put(&f, "test-images.idx3-ubyte", images, sizeof images);
    folder_put(&f, "test-labels.idx1-ubyte", labels, sizeof labels);
    DATASET *d = NULL;
    CHECK_OK(nn_dataset_open(f.path, NN_SPLIT_TEST, &d, &err), &err);
    assert_int_equal(d->rows, 2);
}

TEST(idx_missing_part) {
    FOLDER f;
    folder_init(&f);
    put_pair(&f, "train", "");
    CHECK_REFUSED(f.path, NN_SPLIT_TEST, NN_E_NOT_FOUND, "has no t10k-images-idx3-ubyte");
}

/* One change to the images file, what is said about it. */
static void check_bad_images(const uint8_t *p, size_t n, nn_status code, const char *text) {
    for (int gz = 0; gz < 2; gz++) {
        FOLDER f;
        folder_init(&f);
        folder_put(&f, gz ? "train-images-idx3-ubyte.gz" : "train-images-idx3-ubyte", p, n);
        folder_put(&f, "train-labels-idx1-ubyte", labels, sizeof labels);
        CHECK_REFUSED(f.path, NN_SPLIT_TRAIN, code, text);
        CHECK_REFUSED(f.path, NN_SPLIT_TRAIN, code, "train-images-idx3-ubyte");
    }
}

static void check_changed(size_t at, uint8_t value, const char *text) {
    uint8_t p[sizeof images];
    memcpy(p, images, sizeof p);
    p[at] = value;
    check_bad_images(p, sizeof p, NN_E_DATA_ERROR, text);
}

TEST(idx_header_damage) {
    check_changed(0, 1, "offset 0: wrong magic 01000803");
    check_changed(2, 0x0d, "offset 2: element type 0x0d");
    check_changed(3, 1, "offset 3: 1 axes");
    check_changed(3, 9, "offset 3: 9 axes");
    check_changed(7, 0, "offset 4: an axis of length 0");
    check_changed(15, 0, "offset 12: an axis of length 0");
}

TEST(idx_every_truncation_is_refused) {
    for (size_t n = 0; n < sizeof images; n++)
        check_bad_images(images, n, NN_E_DATA_ERROR, "truncated");
}

TEST(idx_trailing_bytes) {
    uint8_t p[sizeof images + 1] = {0};
    memcpy(p, images, sizeof images);
    check_bad_images(p, sizeof p, NN_E_DATA_ERROR, "offset 28: the file goes on");
}

TEST(idx_sizes_that_no_file_could_hold) {
    uint8_t p[sizeof images];
    memcpy(p, images, sizeof p);
    memset(p + 4, 0xff, 12);
    check_bad_images(p, sizeof p, NN_E_DATA_ERROR,
                     "offset 12: the axes multiply to more than 2^64");
    memcpy(p, images, sizeof p);
    p[4] = 0x7f; /* two thousand million rows: more than the file, less than an overflow */
    check_bad_images(p, sizeof p, NN_E_DATA_ERROR, "offset 4: truncated: the header names");
}

TEST(idx_gz_cut_or_damaged) {
    FOLDER f, g;
    folder_init(&f);
    folder_init(&g);
    const char *whole = folder_put(&f, "x.gz", images, sizeof images);
    uint8_t raw[256];
    FILE *file = fopen(whole, "rb");
    size_t n = fread(raw, 1, sizeof raw, file);
    fclose(file);
    CHECK(n > 20 && n < sizeof raw);
    for (int what = 0; what < 2; what++) {
        raw[n - 6] ^= what ? 0xff : 0; /* the CRC-32 */
        char path[128];
        snprintf(path, sizeof path, "%s/train-images-idx3-ubyte.gz", g.path);
        file = fopen(path, "wb");
        fwrite(raw, 1, what ? n : n - 4, file);
        fclose(file);
        if (!what) folder_put(&g, "train-labels-idx1-ubyte", labels, sizeof labels);
        CHECK_REFUSED(g.path, NN_SPLIT_TRAIN, NN_E_DATA_ERROR, "the gzip stream is damaged");
        unlink(path);
    }
}

static void check_bad_labels(const uint8_t *p, size_t n, const char *text) {
    FOLDER f;
    folder_init(&f);
    put_pair(&f, "train", "");
    folder_put(&f, "t10k-images-idx3-ubyte", images, sizeof images);
    folder_put(&f, "t10k-labels-idx1-ubyte", p, n);
    CHECK_REFUSED(f.path, NN_SPLIT_TEST, NN_E_DATA_ERROR, text);
}

TEST(idx_labels) {
    const uint8_t three[] = {0, 0, 8, 1, 0, 0, 0, 3, 1, 0, 1},
                  high[] = {0, 0, 8, 1, 0, 0, 0, 2, 1, 2};
    check_bad_labels(three, sizeof three, "3 labels, but there are 2 images");
    check_bad_labels(high, sizeof high,
                     "offset 9: label 2 of row 1 is out of range, expected 0 to 1");
    check_bad_labels(images, sizeof images, "offset 3: 3 axes, labels have 1");
}

TEST(idx_limit) {
    nn_err err;
    FOLDER f;
    folder_init(&f);
    put_pair(&f, "train", "");
    nn_dataset *d = NULL;
    nn_dataset_options o = {.max_bytes = 7}; /* 8 for labels, 12 for samples, which may stay out */
    assert_int_equal(nn_dataset_open_with(f.path, NN_SPLIT_TRAIN, &o, &d, &err), NN_E_LIMIT);
    for (o.max_bytes = 19; o.max_bytes <= 20; o.max_bytes++) {
        CHECK_OK(nn_dataset_open_with(f.path, NN_SPLIT_TRAIN, &o, &d, &err), &err);
        assert_int_equal(!d->block[0].data, o.max_bytes == 19);
        nn_dataset_free(d);
    }
}

TEST(idx_named_sets) {
    setenv("XDG_CACHE_HOME", "/nonexistent", 1); /* what this machine has downloaded */
    nn_err err = {0};
    nn_dataset *d = NULL;
    nn_dataset_options o = {.folder = "/nonexistent"};
    assert_int_equal(nn_dataset_open_with("MNIST", NN_SPLIT_TRAIN, &o, &d, &err), NN_E_NOT_FOUND);
    CHECK(strstr(err.msg, "mnist is not on this machine"));
    CHECK(strstr(err.hint, "`neural data get mnist`") &&
          strstr(err.hint, "$NEURAL_DATA_DIR/mnist"));
}

TEST(idx_named_folder_has_class_names) {
    nn_err err;
    FOLDER f;
    folder_init(&f);
    char dir[96];
    snprintf(dir, sizeof dir, "mkdir %s/mnist", f.path);
    assert_int_equal(system(dir), 0);
    folder_put(&f, "mnist/train-images-idx3-ubyte", images, sizeof images);
    folder_put(&f, "mnist/train-labels-idx1-ubyte", labels, sizeof labels);
    DATASET *d = NULL;
    nn_dataset_options o = {.folder = f.path};
    CHECK_OK(nn_dataset_open_with("mnist", NN_SPLIT_TRAIN, &o, &d, &err), &err);
    assert_int_equal(d->classes, 10);
    assert_string_equal(d->class_names[9], "9");
    assert_string_equal(d->name, "mnist");
    folder_done(&f);
    snprintf(dir, sizeof dir, "%s/mnist", f.path);
    rmdir(dir);
}

/* Facts from the set's own README and from the MNIST page: 60,000 and 10,000 rows of 28 x 28,
 * balanced; the first training labels are 9 0 0 3 0 2 7 2 5 5. */
TEST(idx_fashion_mnist) {
    if (access("/usr/share/datasets/fashion-mnist", R_OK) != 0) skip();
    nn_err err;
    for (int split = 0; split < 2; split++) {
        DATASET *d = NULL;
        CHECK_OK(nn_dataset_open("Fashion_MNIST", split ? NN_SPLIT_TEST : NN_SPLIT_TRAIN, &d, &err),
                 &err);
        assert_string_equal(d->name, "fashion-mnist");
        assert_int_equal(d->rows, split ? 10000 : 60000);
        assert_int_equal(nn_shape_elements(&d->block[0].shape), 784);
        int count[10] = {0};
        for (int64_t i = 0; i < d->rows; i++) count[d->labels[i]]++;
        for (int c = 0; c < 10; c++) assert_int_equal(count[c], d->rows / 10);
        assert_string_equal(d->class_names[9], "Ankle boot");
        static const int first[] = {9, 0, 0, 3, 0, 2, 7, 2, 5, 5};
        for (int i = 0; i < 10 && !split; i++) assert_int_equal(d->labels[i], first[i]);
    }
}

/* Images that do not fit into memory are read when they are asked for, from the file or, where it
 * is compressed, from a copy. */
TEST(idx_larger_than_memory) {
    enum { N = 200, W = 12 };
    static const char *const ends[] = {"", ".gz"};
    for (int e = 0; e < 2; e++) {
        FOLDER f;
        folder_init(&f);
        uint8_t pixels[16 + N * W] = {0, 0, 8, 3, 0, 0, 0, N, 0, 0, 0, 4, 0, 0, 0, 3},
                                classes[8 + N] = {0, 0, 8, 1, 0, 0, 0, N};
        for (int i = 0; i < N * W; i++) pixels[16 + i] = (uint8_t)(i * 31);
        for (int i = 0; i < N; i++) classes[8 + i] = (uint8_t)(i % 5);
        char name[64];
        snprintf(name, sizeof name, "train-images-idx3-ubyte%s", ends[e]);
        const char *path = folder_put(&f, name, pixels, sizeof pixels);
        snprintf(name, sizeof name, "train-labels-idx1-ubyte%s", ends[e]);
        folder_put(&f, name, classes, sizeof classes);
        nn_dataset_options o = {.max_bytes = 1000};
        nn_err err;
        DATASET *d = NULL, *whole = NULL;
        CHECK_OK(nn_dataset_open_with(f.path, NN_SPLIT_TRAIN, &o, &d, &err), &err);
        CHECK_OK(nn_dataset_open(f.path, NN_SPLIT_TRAIN, &whole, &err), &err);
        assert_null(d->block[0].data);
        assert_string_equal(d->sha256, whole->sha256);
        for (uint32_t r = 0; r < N; r++) {
            float x[W], y[W];
            CHECK_OK(nn_batch_fill(&d->block[0], &r, 1, NULL, x, &err), &err);
            CHECK_OK(nn_batch_fill(&whole->block[0], &r, 1, NULL, y, &err), &err);
            assert_memory_equal(x, y, sizeof x);
        }
        if (e) continue;
        assert_int_equal(truncate(path, 16 + 50 * W), 0); /* while it is in use */
        float x[W];
        uint32_t row = 50;
        assert_int_equal(nn_batch_fill(&d->block[0], &row, 1, NULL, x, &err), NN_E_STORAGE_ERROR);
        assert_non_null(strstr(err.msg, "row 50"));
    }
}
