/* SPDX-License-Identifier: MIT */
#include "fixture.h"

TEST(dataset_unknown_names_and_formats) {
    nn_err err = {0};
    nn_dataset *d = NULL;
    assert_int_equal(nn_dataset_open("imagenet21k", NN_SPLIT_TRAIN, &d, &err), NN_E_NOT_FOUND);
    CHECK(strstr(err.msg, "imagenet21k") && strstr(err.hint, "fashion-mnist"));
    FOLDER f;
    folder_init(&f);
    CHECK_REFUSED(folder_put(&f, "x.parquet", "PAR1", 4), NN_SPLIT_TRAIN, NN_E_DATA_ERROR,
                  "a file of no known format");
    CHECK_REFUSED(f.path, NN_SPLIT_TRAIN, NN_E_DATA_ERROR, "a folder of no known format");
    CHECK_REFUSED("", NN_SPLIT_TRAIN, NN_E_NOT_FOUND, "no data set is called ''");
    CHECK_REFUSED("/dev/zero", NN_SPLIT_TRAIN, NN_E_DATA_ERROR, "no known format");
}

TEST(dataset_list_names_every_named_set) {
    nn_dataset_info rows[64];
    int n = nn_dataset_list(rows, 64);
    assert_int_equal(n, 8); /* synthetic, and seven of sets.c */
    assert_int_equal(nn_dataset_list(NULL, 0), 8);
    bool fashion = false, synthetic = false;
    for (int i = 0; i < n; i++) {
        CHECK(rows[i].name && rows[i].format && rows[i].summary && *rows[i].install_hint);
        fashion |= strcmp(rows[i].name, "fashion-mnist") == 0;
        if (strcmp(rows[i].name, "synthetic") == 0) synthetic = rows[i].available;
    }
    CHECK(fashion && synthetic);
}

TEST(dataset_fits) {
    nn_block image =
                 {
                     .shape = {3, {28, 28, 1}}
    },
             flat = {.shape = {1, {784}}}, colour = {.shape = {3, {32, 32, 3}}};
    CHECK(nn_block_fits(&image, &(nn_shape){
                                    3, {28, 28, 1}
    }));
    CHECK(nn_block_fits(&image, &(nn_shape){
                                    2, {28, 28}
    }));
    CHECK(nn_block_fits(&image, &(nn_shape){1, {784}}));
    CHECK(nn_block_fits(&flat, &(nn_shape){
                                   3, {28, 28, 1}
    }));
    CHECK(nn_block_fits(&image, &(nn_shape){
                                    3, {NN_DIM_UNKNOWN, NN_DIM_UNKNOWN, 1}
    }));
    CHECK(!nn_block_fits(&image, &(nn_shape){
                                     3, {28, 28, 3}
    }));
    CHECK(!nn_block_fits(&image, &(nn_shape){1, {783}}));
    CHECK(!nn_block_fits(&colour, &(nn_shape){
                                      3, {3, 32, 32}
    }));
    CHECK(!nn_block_fits(&colour, &(nn_shape){
                                      3, {32, 96, 1}
    }));
}
