/* SPDX-License-Identifier: MIT */
/* Moved images are compared with PyTorch; what is drawn, with what the options say. */
#include "base/file.h"
#include "data/augment.h"
#include "data/loader.h"
#include "data/npy.h"
#include "fixture.h"

#include <math.h>

TEST(augment_options) {
    nn_augment a;
    assert_true(nn_augment_parse("flip+crop4+rotate12.5", &a));
    CHECK(a.flip && !a.vflip && a.crop == 4 && a.degrees == 12.5);
    static const char *const bad[] = {"",       "flip+",     "crop", "crop0",      "crop-1",
                                      "rotate", "rotate181", "spin", "flip,vflip", "rotatenan"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (nn_augment_parse(bad[i], &a)) fail_msg("'%s' was taken", bad[i]);
    CHECK_REFUSED("synthetic:augment=spin", NN_SPLIT_TRAIN, NN_E_VALIDATION_ERROR,
                  "augment must be flip");
    CHECK_REFUSED("synthetic:shape=8,augment=flip", NN_SPLIT_TRAIN, NN_E_VALIDATION_ERROR,
                  "is for images");
    CHECK_REFUSED("synthetic:normalise=0.5", NN_SPLIT_TRAIN, NN_E_VALIDATION_ERROR,
                  "normalise must be");
    CHECK_REFUSED("synthetic:normalise=0/0", NN_SPLIT_TRAIN, NN_E_VALIDATION_ERROR,
                  "normalise must be");
}

/* Each move occurs as often as it should, and depends on seed, epoch and row. */
TEST(augment_draws) {
    nn_augment a = {.flip = true, .vflip = true, .crop = 2, .degrees = 10};
    int flips = 0, vflips = 0, down[5] = {0}, same = 0;
    double sum = 0, square = 0;
    enum { N = 20000 };
    for (uint32_t i = 0; i < N; i++) {
        nn_move m = nn_augment_draw(&a, &(nn_draw){7, 3}, i);
        nn_move again = nn_augment_draw(&a, &(nn_draw){7, 3}, i);
        nn_move later = nn_augment_draw(&a, &(nn_draw){7, 4}, i);
        CHECK(m.angle == again.angle && m.flip == again.flip && m.right == again.right);
        same += m.angle == later.angle;
        flips += m.flip;
        vflips += m.vflip;
        assert_in_range(m.down + 2, 0, 4);
        assert_in_range(m.right + 2, 0, 4);
        down[m.down + 2]++;
        CHECK(fabs(m.angle) <= 10 * M_PI / 180);
        sum += m.angle;
        square += m.angle * m.angle;
    }
    /* five deviations of a fair draw */
    CHECK(abs(flips - N / 2) < 354 && abs(vflips - N / 2) < 354 && same == 0);
    for (int i = 0; i < 5; i++) CHECK(abs(down[i] - N / 5) < 283);
    double spread = 10 * M_PI / 180 / sqrt(3);
    CHECK(fabs(sum / N) < 5 * spread / sqrt(N) && fabs(sqrt(square / N) / spread - 1) < 0.02);
}

TEST(augment_moves_as_torch_does) {
    static const nn_move moves[] = {
        {.flip = true },
        {.vflip = true, .down = 2, .right = -1},
        {.down = -3 },
        {.angle = 0.3   },
        {.flip = true,  .down = 1, .right = 2, .angle = -0.7},
        {.angle = M_PI / 2 },
    };
    for (size_t i = 0; i < sizeof moves / sizeof *moves; i++) {
        const nn_move *m = &moves[i];
        FOLDER f;
        folder_init(&f);
        char command[2048];
        snprintf(
            command, sizeof command,
            "cd %s && /usr/bin/python3 -c \"\n"
            "import torch, numpy as np\n"
            "x = torch.arange(7 * 5 * 2.).reshape(7, 5, 2)\n"
            "flip, vflip, down, right, angle = %d, %d, %d, %d, %.17g\n"
            "y = x.flip([1]) if flip else x\n"
            "y = y.flip([0]) if vflip else y\n"
            "p = torch.nn.functional.pad(y.permute(2, 0, 1), (8, 8, 8, 8))\n"
            "y = p[:, 8 + down:15 + down, 8 + right:13 + right]\n"
            "ii, jj = torch.meshgrid(torch.arange(7.), torch.arange(5.), indexing='ij')\n"
            "dy, dx, c, s = ii - 3, jj - 2, np.cos(angle), np.sin(angle)\n"
            "u, v = 3 + c * dy + s * dx, 2 - s * dy + c * dx\n"
            "grid = torch.stack([v / 2 - 1, u / 3 - 1], -1)[None]\n"
            "z = torch.nn.functional.grid_sample(y[None], grid, mode='bilinear', padding_mode='zeros', align_corners=True)\n"
            "np.save('y.npy', z[0].permute(1, 2, 0).contiguous().numpy())\"",
            f.path, m->flip, m->vflip, m->down, m->right, m->angle);
        assert_int_equal(system(command), 0);
        NN_BUF file = {0};
        nn_npy want;
        nn_err err;
        const char *path = folder_name(&f, "y.npy");
        CHECK_OK(nn_file_read(path, 1 << 20, &file, &err), &err);
        CHECK_OK(nn_npy_parse(file.p, file.n, path, &want, &err), &err);
        float x[70], y[70];
        for (int k = 0; k < 70; k++) x[k] = (float)k;
        nn_augment_apply(m,
                         &(nn_shape){
                             3, {7, 5, 2}
        },
                         x, y);
        for (int k = 0; k < 70; k++)
            if (fabs((double)y[k] - nn_npy_at(&want, k)) > 1e-3)
                fail_msg("move %d, element %d: %g, PyTorch has %g", (int)i, k, (double)y[k],
                         nn_npy_at(&want, k));
    }
}

/* Counterclockwise: what was at the right is at the top. */
TEST(augment_turns_to_the_left) {
    float x[9] = {0, 0, 0, 0, 0, 5, 0, 0, 0}, y[9];
    nn_augment_apply(
        &(nn_move){
            .angle = M_PI / 2
    },
        &(nn_shape){3, {3, 3, 1}}, x, y);
    assert_float_equal(y[1], 5, 1e-5f);
}

static nn_dataset *open_set(const char *spec) {
    nn_dataset *d = NULL;
    nn_err err;
    CHECK_OK(nn_dataset_open(spec, NN_SPLIT_TRAIN, &d, &err), &err);
    return d;
}

TEST(augment_and_normalise_when_a_batch_is_filled) {
    const char *spec = "synthetic:rows=40,shape=6x6x1,type=u8,augment=flip,normalise=0.5/0.25";
    DATASET *d = open_set(spec), *plain = open_set("synthetic:rows=40,shape=6x6x1,type=u8");
    assert_string_equal(d->name, spec);
    nn_err err;
    int flipped = 0;
    for (uint32_t r = 0; r < 40; r++) {
        float x[36], y[36], p[36];
        CHECK_OK(nn_batch_fill(&plain->block[0], &r, 1, NULL, p, &err), &err);
        CHECK_OK(nn_batch_fill(&d->block[0], &r, 1, NULL, y, &err), &err);
        CHECK_OK(nn_batch_fill(&d->block[0], &r, 1, &(nn_draw){1, 2}, x, &err), &err);
        bool mirror = x[0] != y[0] || x[7] != y[7];
        flipped += mirror;
        for (int i = 0; i < 36; i++) {
            assert_float_equal(y[i], (p[i] - 0.5f) / 0.25f, 1e-5f);
            assert_float_equal(x[i], y[mirror ? i / 6 * 6 + 5 - i % 6 : i], 0);
        }
    }
    assert_in_range(flipped, 5, 35);
    DATASET *raw = open_set("synthetic:rows=40,shape=6x6x1,type=u8,normalise=none");
    assert_float_equal(raw->block[0].norm.scale, 1, 0);
}

/* The same batches as one thread without a loader makes, however many threads there are. */
TEST(loader_makes_the_same_batches) {
    DATASET *d = open_set("synthetic:rows=103,shape=9x9x2,augment=flip+crop2+rotate20");
    nn_err err;
    uint32_t index[103];
    for (uint32_t i = 0; i < 103; i++) index[i] = i * 7 % 103;
    enum { W = 162, BATCH = 10 };
    float *want = malloc(103 * W * sizeof *want), *x = malloc(BATCH * W * sizeof *x);
    nn_draw draw = {5, 6};
    CHECK_OK(nn_batch_fill(&d->block[0], index, 103, &draw, want, &err), &err);
    for (int threads = 1; threads < 6; threads += 2) {
        nn_loader *l = NULL;
        CHECK_OK(nn_loader_new(threads, &l, &err), &err);
        nn_pass p = {d, (int[]){0}, 1, index, 103, BATCH, &draw};
        for (int pass = 0; pass < 3; pass++) {
            CHECK_OK(nn_loader_start(l, &p, &err), &err);
            for (int k = 0; k < (pass ? 11 : 3); k++) { /* the first one is given up */
                int rows = k < 10 ? BATCH : 3;
                CHECK_OK(nn_loader_next(l, &x, &err), &err);
                assert_memory_equal(x, want + k * BATCH * W, (size_t)(rows * W) * sizeof *x);
            }
        }
        p.index = NULL;
        p.draw = NULL;
        CHECK_OK(nn_loader_start(l, &p, &err), &err);
        CHECK_OK(nn_loader_next(l, &x, &err), &err);
        assert_memory_equal(x, d->block[0].data, BATCH * W * sizeof *x);
        nn_loader_close(l);
    }
    free(want);
    free(x);
}

typedef struct failing {
    nn_row_reader reader;
} failing;
static nn_status fail_row(const nn_row_reader *r, int64_t row, void *to, nn_err *err) {
    (void)r;
    *(float *)to = (float)row;
    return row == 13 || row == 17 ? nn_fail(err, NN_E_DATA_ERROR, "row %d is bad", (int)row)
                                  : NN_OK;
}

/* The failure of the first row that fails, in the batch that holds it. */
TEST(loader_reports_the_first_failure) {
    failing f = {
        {fail_row, NULL}
    };
    nn_dataset d = {.rows = 40, .n_blocks = 1};
    d.block[0] = (nn_block){
        .shape = {1, {1}},
          .type = NN_ROWS_F32, .stride = 1, .reader = &f.reader, .norm = {1, 0  }
    };
    for (int threads = 1; threads < 5; threads++) {
        nn_loader *l = NULL;
        nn_err err;
        float x[8], *to = x;
        CHECK_OK(nn_loader_new(threads, &l, &err), &err);
        CHECK_OK(nn_loader_start(l, &(nn_pass){&d, (int[]){0}, 1, NULL, 40, 8, NULL}, &err), &err);
        CHECK_OK(nn_loader_next(l, &to, &err), &err);
        assert_float_equal(x[7], 7, 0);
        assert_int_equal(nn_loader_next(l, &to, &err), NN_E_DATA_ERROR);
        assert_string_equal(err.msg, "row 13 is bad");
        nn_loader_close(l);
    }
}
