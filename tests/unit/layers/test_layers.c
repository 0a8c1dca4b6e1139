/* SPDX-License-Identifier: MIT */
#include "layers/layer.h"
#include "t.h"

#include <ctype.h>
#include <string.h>

TEST(search) {
    assert_string_equal(nn_layer_find("dEnSe")->name, "Dense");
    assert_string_equal(nn_layer_find("maxpool2d")->name, "MaxPooling2D");
    CHECK(!nn_layer_find("Den") && !nn_layer_find("") && !nn_layer_find("MaxPool2D|"));
    CHECK(!nn_layer_find("Custom")); /* a row, but no name */
}

TEST(devices) {
    const char *good[] = {"cpu", "GPU", "cuda", "cuda:0", "cuda:12", "tpu:0", "mps", "auto"};
    const char *bad[] = {"",      "npu",   "cuda:", "cuda:x",    "cuda:0x",
                         "gpu:0", "cpu:0", ":0",    "cuda:99999"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) CHECK(nn_device_valid(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) CHECK(!nn_device_valid(bad[i]));
}

TEST(activations) {
    assert_string_equal(nn_activation_find("SoftMax"), "softmax");
    assert_string_equal(nn_activation_find("LogSoftmax"), "log_softmax");
    assert_string_equal(nn_activation_find("swish"), "silu");
    assert_string_equal(nn_activation_find("PReLU"), "prelu");
    CHECK(!nn_activation_find("hardmax"));
}

/* What help pages, the binder and unique names rely on, for every row. */
TEST(every_row_is_complete) {
    for (unsigned i = 0; nn_layer_at(i); i++) {
        const nn_layer *l = nn_layer_at(i);
        CHECK(l->name && l->base && l->summary && l->family && l->rule && l->params && l->build);
        CHECK(nn_layer_find(l->name) == l);
        for (const char *p = l->base; *p; p++)
            CHECK(islower((unsigned char)*p) || isdigit((unsigned char)*p) || *p == '_');
        bool named = false;
        for (int k = 0; k < nn_layer_n_params(l); k++) {
            const nn_param *p = nn_layer_param_at(l, k);
            CHECK(p->help && nn_layer_param(l, p->name) == k);
            CHECK(!p->required || !p->fallback);
            CHECK(!p->positional || !named); /* positional ones come first */
            named = named || !p->positional;
            if (p->type == NN_P_ENUM) CHECK(p->words);
            if (p->type == NN_P_DIMS || p->type == NN_P_PADDING)
                CHECK(p->rank >= 1 && p->rank <= NN_MAX_SPATIAL);
        }
        assert_int_equal(nn_layer_param(l, "trainable"),
                         nn_layer_n_params(l) + NN_COMMON_TRAINABLE);
        assert_int_equal(nn_layer_param(l, "no_such"), -1);
    }
}
