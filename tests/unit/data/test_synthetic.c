/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <math.h>

static nn_dataset *open_ok(const char *spec, nn_split split) {
    nn_err err;
    nn_dataset *d = NULL;
    CHECK_OK(nn_dataset_open(spec, split, &d, &err), &err);
    return d;
}

TEST(synthetic_shape_and_counts) {
    DATASET *d = open_ok("synthetic:rows=30,classes=3,shape=4x5x2,seed=9", NN_SPLIT_TRAIN);
    assert_int_equal(d->rows, 30);
    assert_int_equal(d->classes, 3);
    assert_int_equal(d->block[0].shape.rank, 3);
    assert_int_equal(nn_shape_elements(&d->block[0].shape), 40);
    int count[3] = {0};
    for (int i = 0; i < 30; i++) count[d->labels[i]]++;
    CHECK(count[0] == 10 && count[1] == 10 && count[2] == 10);
    DATASET *t = open_ok("synthetic:rows=31,classes=3,shape=4x5x2,seed=9", NN_SPLIT_TEST);
    assert_int_equal(t->rows, 7);
}

TEST(synthetic_is_deterministic) {
    const char *spec = "synthetic:rows=50,shape=6,seed=4";
    DATASET *a = open_ok(spec, NN_SPLIT_TRAIN), *b = open_ok(spec, NN_SPLIT_TRAIN),
            *t = open_ok(spec, NN_SPLIT_TEST),
            *c = open_ok("synthetic:rows=50,shape=6,seed=5", NN_SPLIT_TRAIN);
    assert_memory_equal(a->block[0].data, b->block[0].data, 50 * 6 * sizeof(float));
    assert_string_equal(a->sha256, b->sha256);
    CHECK(memcmp(a->block[0].data, t->block[0].data, 10 * 6 * sizeof(float)) != 0);
    CHECK(strcmp(a->sha256, c->sha256) != 0);
}

/* Accuracy on the test part of the classifier that picks the nearest mean of the training part. */
static double nearest_mean(const char *spec) {
    DATASET *d = open_ok(spec, NN_SPLIT_TRAIN), *t = open_ok(spec, NN_SPLIT_TEST);
    int64_t w = nn_shape_elements(&d->block[0].shape);
    double *mean = calloc((size_t)(d->classes * w), sizeof *mean);
    for (int64_t i = 0; i < d->rows; i++)
        for (int64_t j = 0; j < w; j++)
            mean[d->labels[i] * w + j] +=
                (double)((float *)d->block[0].data)[i * w + j] * d->classes / (double)d->rows;
    int right = 0;
    for (int64_t i = 0; i < t->rows; i++) {
        int best = 0;
        double least = INFINITY;
        for (int c = 0; c < d->classes; c++) {
            double sum = 0;
            for (int64_t j = 0; j < w; j++) {
                double diff = (double)((float *)t->block[0].data)[i * w + j] - mean[c * w + j];
                sum += diff * diff;
            }
            if (sum < least) least = sum, best = c;
        }
        right += best == t->labels[i];
    }
    free(mean);
    return right / (double)t->rows;
}

TEST(synthetic_patterns_differ_in_what_a_linear_model_can_learn) {
    CHECK(nearest_mean("synthetic:rows=1000,classes=4,shape=32") > 0.95);
    double mirrored = nearest_mean("synthetic:rows=1000,classes=4,shape=32,pattern=mirrored");
    CHECK(mirrored < 0.5);
}

/* The targets are linear in the samples: scaling invariants of a linear map hold for sums of rows.
 */
TEST(synthetic_values) {
    DATASET *d = open_ok("synthetic:rows=20,shape=1,values=2,seed=3", NN_SPLIT_TRAIN);
    assert_null(d->labels);
    assert_int_equal(d->target_width, 2);
    const float *x = d->block[0].data;
    double slope = (double)d->targets[0] / (double)x[0];
    for (int i = 1; i < 20; i++)
        assert_float_equal((float)((double)d->targets[2 * i] / (double)x[i]), (float)slope, 1e-3f);
}

TEST(synthetic_bytes) {
    DATASET *d = open_ok("synthetic:rows=200,shape=16,type=u8", NN_SPLIT_TRAIN);
    assert_int_equal(d->block[0].type, NN_ROWS_U8);
    assert_float_equal(d->block[0].norm.scale, 1.0f / 255, 0);
    int low = 255, high = 0;
    for (int i = 0; i < 3200; i++) {
        int v = ((uint8_t *)d->block[0].data)[i];
        low = v < low ? v : low;
        high = v > high ? v : high;
    }
    CHECK(low < 60 && high > 195);
}

TEST(synthetic_refusals) {
    static const struct {
        const char *spec, *text;
    } cases[] = {
        {"synthetic:rows=0",                      "rows must be a positive integer, got '0'"       },
        {"synthetic:rows=",                       "rows must be"                                   },
        {"synthetic:rows",                        "rows must be"                                   },
        {"synthetic:rows=9999999999999999999999", "rows must be"                                   },
        {"synthetic:classes=1",                   "classes must be"                                },
        {"synthetic:shape=3x",                    "shape must be"                                  },
        {"synthetic:shape=0",                     "shape must be"                                  },
        {"synthetic:shape=2x2x2x2x2x2x2x2x2",     "shape must be"                                  },
        {"synthetic:noise=-1",                    "noise must be"                                  },
        {"synthetic:noise=nan",                   "noise must be"                                  },
        {"synthetic:pattern=spiral",              "pattern must be blobs or mirrored, got 'spiral'"},
        {"synthetic:colour=red",                  "no parameter is called 'colour'"                },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_REFUSED(cases[i].spec, NN_SPLIT_TRAIN, NN_E_VALIDATION_ERROR, cases[i].text);
    CHECK_REFUSED("synthetic:rows=4000000000,shape=1000x1000", NN_SPLIT_TRAIN, NN_E_LIMIT,
                  "the limit is");
    CHECK_REFUSED("synthetic:shape=2000000000x2000000000", NN_SPLIT_TRAIN, NN_E_LIMIT,
                  "the limit is");
}
