/* SPDX-License-Identifier: MIT */
#include "one_layer.h"

/* torch.nn.Upsample(scale_factor=(2, 3)) on (1, 4, 5, 6) gives (1, 4, 10, 18). */
TEST(up_sampling) {
    assert_string_equal(one_shape("UpSampling2D", SHAPE(4, 5, 6), GIVE(DIMS("size", 2, 3), FIRST)),
                        "(4, 10, 18)");
    assert_string_equal(one_shape("UpSampling1D", SHAPE(5, 2), GIVE(DIMS("size", 4))), "(20, 2)");
    assert_string_equal(one_shape("UpSampling3D", SHAPE(-1, 5, 6, 2), NULL), "(?, 10, 12, 2)");
    built r =
        one_build("UpSampling2D", SHAPE(5, 6, 4), GIVE(WORD("interpolation", "bilinear")), false);
    CHECK_OK(r.status, &r.err);
    CHECK(r.graph->nodes[r.out].attr.upsample.bilinear);
    nn_arena_free(r.arena);
}

TEST(interpolations_are_refused_by_name) {
    one_refused("UpSampling2D", SHAPE(5, 6, 4), GIVE(WORD("interpolation", "bicubic")),
                NN_E_UNSUPPORTED, true, "interpolation=\"bicubic\" is not available", "bilinear");
    one_refused("UpSampling3D", SHAPE(5, 6, 7, 4), GIVE(WORD("interpolation", "bilinear")),
                NN_E_DSL_ERROR, true, "is for two spatial axes, UpSampling3D has 3", "nearest");
    one_refused("UpSampling1D", SHAPE(5, 4), GIVE(WORD("interpolation", "linear")),
                NN_E_UNSUPPORTED, true, "linear", "\"nearest\" is available");
}

TEST(borders) {
    const given *pad = GIVE({
        "padding", {.dims = {1, 0}, .after = {2, 5}}
    });
    assert_string_equal(one_shape("ZeroPadding2D", SHAPE(4, 5, 3), pad), "(7, 10, 3)");
    assert_string_equal(one_shape("ZeroPad1d", SHAPE(4, 3), NULL), "(6, 3)");
    const given *crop = GIVE(
        {
            "cropping", {.dims = {1, 0, 2}, .after = {2, 5, 0}}
    },
        FIRST);
    assert_string_equal(one_shape("Cropping3D", SHAPE(3, 4, 6, 9), crop), "(3, 1, 1, 7)");
    /* Keras's defaults: ((0, 0), (0, 0)), and one on each side over one or three axes */
    assert_string_equal(one_shape("Cropping2D", SHAPE(4, 5, 3), NULL), "(4, 5, 3)");
    assert_string_equal(one_shape("Cropping1D", SHAPE(4, 3), NULL), "(2, 3)");
    one_refused("Cropping1D", SHAPE(4, 3),
                GIVE({
                    "cropping", {.dims = {2}, .after = {2}}
    }),
                NN_E_DSL_ERROR, true, "leaves nothing", NULL);
    one_refused("Cropping1D", SHAPE(4),
                GIVE({
                    "cropping", {.dims = {2}, .after = {2}}
    }),
                NN_E_DSL_ERROR, false, "expected 2 axes, got 1", "Reshape((4, 1))");
}
