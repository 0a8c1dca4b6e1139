/* SPDX-License-Identifier: MIT */
/* Images are written, and what they hold is read, by Pillow; sizes are changed by PyTorch. */
#include "base/buf.h"
#include "base/file.h"
#include "data/image.h"
#include "data/npy.h"
#include "fixture.h"

#include <math.h>

/* Runs a script in a fresh folder. */
static const char *scene(char path[64], const char *script) {
    snprintf(path, 64, "/tmp/neural-images-XXXXXX");
    assert_non_null(mkdtemp(path));
    char command[8192];
    snprintf(
        command, sizeof command,
        "cd %s && /usr/bin/python3 -c \"\n"
        "import os, zlib, struct, numpy as np\nfrom PIL import Image\n"
        "def save(name, a, **k):\n"
        "    os.makedirs(os.path.dirname(name), exist_ok=True); Image.fromarray(a).save(name, **k)\n"
        "rng = np.random.default_rng(4)\n"
        "def noise(*s): return rng.integers(0, 256, s, dtype='u1')\n%s\"",
        path, script);
    assert_int_equal(system(command), 0);
    return path;
}

static void scene_done(char (*path)[64]) {
    nn_err err;
    CHECK_OK(nn_remove_tree(*path, &err), &err);
}
#define SCENE __attribute__((cleanup(scene_done))) char

/* An array that the script saved; its bytes in `file`. */
static nn_npy expected(const char *at, const char *name, nn_buf *file) {
    char path[128];
    nn_npy a;
    nn_err err;
    snprintf(path, sizeof path, "%s/%s", at, name);
    CHECK_OK(nn_file_read(path, 1 << 24, file, &err), &err);
    CHECK_OK(nn_npy_parse(file->p, file->n, path, &a, &err), &err);
    return a;
}

static void check_rows(const nn_dataset *d, const char *at, int off) {
    NN_BUF file = {0};
    nn_npy want = expected(at, "want.npy", &file);
    int64_t width = nn_shape_elements(&d->block[0].shape);
    assert_int_equal(want.elements, d->rows * width);
    float *x = malloc((size_t)want.elements * sizeof *x);
    uint32_t *index = malloc((size_t)d->rows * sizeof *index);
    for (int64_t i = 0; i < d->rows; i++) index[i] = (uint32_t)i;
    nn_err err;
    CHECK_OK(nn_batch_fill(&d->block[0], index, d->rows, NULL, x, &err), &err);
    for (int64_t i = 0; i < want.elements; i++)
        if (fabs((double)x[i] * 255 - nn_npy_at(&want, i)) > off + 1e-3)
            fail_msg("element %d: %g, Pillow has %g", (int)i, (double)x[i] * 255,
                     nn_npy_at(&want, i));
    free(x);
    free(index);
}

#define TREE                                                                                       \
    "for c in 'cat', 'dog': \n"                                                                    \
    "    for i in range(3): save('train/%s/%d.png' % (c, i), noise(5, 7, 3))\n"                    \
    "    save('test/%s/a.png' % c, noise(5, 7, 3))\n"                                              \
    "open('train/cat/Thumbs.db', 'w').write('x')\n"                                                \
    "rows = ['train/%s/%d.png' % (c, i) for c in ('cat', 'dog') for i in range(3)]\n"              \
    "np.save('want.npy', np.stack([np.array(Image.open(p)) for p in rows]))\n"

TEST(images_by_class) {
    SCENE path[64];
    nn_err err;
    scene(path, TREE);
    DATASET *d = NULL, *t = NULL, *read = NULL;
    CHECK_OK(nn_dataset_open(path, NN_SPLIT_TRAIN, &d, &err), &err);
    CHECK_OK(nn_dataset_open(path, NN_SPLIT_TEST, &t, &err), &err);
    assert_int_equal(d->rows, 6);
    assert_int_equal(t->rows, 2);
    assert_int_equal(d->classes, 2);
    assert_string_equal(t->class_names[1], "dog");
    for (int i = 0; i < 6; i++) assert_int_equal(d->labels[i], i / 3);
    assert_non_null(d->block[0].data);
    check_rows(d, path, 0);
    char spec[96]; /* too little memory: the same rows, read when they are asked for */
    snprintf(spec, sizeof spec, "%s:memory=300", path);
    CHECK_OK(nn_dataset_open(spec, NN_SPLIT_TRAIN, &read, &err), &err);
    assert_null(read->block[0].data);
    check_rows(read, path, 0);
    assert_string_equal(read->sha256, d->sha256);
    char command[256];
    snprintf(command, sizeof command,
             "cd %s/train && test $(sha256sum cat/*.png dog/*.png | sha256sum | cut -c-64) = %s",
             path, d->sha256);
    assert_int_equal(system(command), 0);
}

TEST(images_without_parts_are_divided) {
    SCENE path[64];
    nn_err err;
    scene(path,
          "for i in range(10): save('%s/%d.png' % ('ab'[i % 2], i), np.full((2, 2), i, 'u1'))\n");
    int seen = 0;
    for (int split = 0; split < 2; split++) {
        DATASET *d = NULL;
        CHECK_OK(nn_dataset_open(path, split ? NN_SPLIT_TEST : NN_SPLIT_TRAIN, &d, &err), &err);
        assert_int_equal(d->rows, split ? 2 : 8);
        assert_int_equal(d->block[0].shape.dim[2], 1);
        for (int64_t i = 0; i < d->rows; i++) {
            int v = ((uint8_t *)d->block[0].data)[4 * i];
            assert_int_equal(d->labels[i], v % 2);
            seen |= 1 << v;
        }
    }
    assert_int_equal(seen, 1023);
}

TEST(images_of_every_kind_of_pixel) {
    SCENE path[64];
    nn_err err;
    scene(
        path,
        "g, c = noise(6, 8), noise(6, 8, 3)\n"
        "save('k/a.png', g); save('k/b.png', c); save('k/c.png', noise(6, 8, 4)); save('k/d.png', noise(6, 8, 2))\n"
        "Image.fromarray(c).quantize(16).save('k/e.png'); Image.fromarray(g).convert('1').save('k/f.png')\n"
        "save('k/g.jpg', c, quality=90); save('k/h.jpeg', g, quality=70); save('k/i.jpg', c, progressive=True)\n"
        "os.rename('k/i.jpg', 'k/i.png'); save('test/k/a.png', g)\n"
        "os.mkdir('train'); os.rename('k', 'train/k')\n"
        "names = sorted(os.listdir('train/k'))\n"
        "rgb = [np.array((lambda i: i.convert('RGBA') if i.mode in ('RGBA', 'LA') else i)(Image.open('train/k/' + n)).convert('RGBA'))[..., :3] for n in names]\n"
        "np.save('want.npy', np.stack(rgb))\n");
    DATASET *d = NULL;
    CHECK_OK(nn_dataset_open(path, NN_SPLIT_TRAIN, &d, &err), &err);
    assert_int_equal(d->block[0].shape.dim[2], 3);
    check_rows(d, path, 0);
}

TEST(images_become_grey_as_in_pillow) {
    SCENE path[64];
    nn_err err;
    scene(path, TREE
          "np.save('want.npy', np.stack([np.array(Image.open(p).convert('L')) for p in rows]))\n");
    char spec[96];
    snprintf(spec, sizeof spec, "%s:channels=1", path);
    DATASET *d = NULL;
    CHECK_OK(nn_dataset_open(spec, NN_SPLIT_TRAIN, &d, &err), &err);
    check_rows(d, path, 0);
}

TEST(images_are_resized_as_in_torch) {
    static const char *const sizes[] = {"9x4", "3x11", "5x7", "1x1", "16"};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        SCENE path[64];
        nn_err err;
        char script[2048], spec[96];
        snprintf(
            script, sizeof script,
            "%simport torch\ns = ['%s'.split('x')[0], '%s'.split('x')[-1]]\n"
            "x = torch.tensor(np.load('want.npy')).permute(0, 3, 1, 2).float()\n"
            "y = torch.nn.functional.interpolate(x, size=[int(v) for v in s], mode='bilinear')\n"
            "np.save('want.npy', y.permute(0, 2, 3, 1).contiguous().numpy())\n",
            TREE, sizes[i], sizes[i]);
        snprintf(spec, sizeof spec, "%s:size=%s", scene(path, script), sizes[i]);
        DATASET *d = NULL;
        CHECK_OK(nn_dataset_open(spec, NN_SPLIT_TRAIN, &d, &err), &err);
        check_rows(d, path, 1); /* bytes are rounded */
    }
}

static void check_refused(const char *script, const char *options, nn_status code,
                          const char *text) {
    SCENE path[64];
    char spec[128], full[4096];
    snprintf(full, sizeof full, "%s%s", TREE, script);
    snprintf(spec, sizeof spec, "%s%s", scene(path, full), options);
    CHECK_REFUSED(spec, NN_SPLIT_TRAIN, code, text);
}

TEST(images_that_are_refused) {
    static const struct {
        const char *bytes, *text;
        int code;
    } cases[] = {
        {"b''",                                                                                                  "dog/2.png: neither", NN_E_DATA_ERROR},
        {"b'GIF89a' + bytes(50)",                                                                                "dog/2.png: neither", NN_E_DATA_ERROR},
        {"open('train/dog/1.png', 'rb').read()[:-30]",                                                           "a damaged PNG",      NN_E_DATA_ERROR},
        {"open('train/dog/1.png', 'rb').read()[:20]",                                                            "without a header",   NN_E_DATA_ERROR},
        {"(lambda b: b[:60] + bytes([b[60] ^ 255]) + b[61:])(open('train/dog/1.png', 'rb').read())",
         "a damaged PNG",                                                                                                              NN_E_DATA_ERROR},
        {"(lambda b: b[:16] + struct.pack('>II', 40000, 40000) + b[24:])(open('train/dog/1.png', 'rb').read())",
         "40000 x 40000 pixels",                                                                                                       NN_E_LIMIT     },
        {"(lambda b: b[:16] + struct.pack('>II', 8000, 8000) + b[24:])(open('train/dog/1.png', 'rb').read())",
         "cannot be in a file",                                                                                                        NN_E_DATA_ERROR},
        {"b'\\xff\\xd8\\xff' + bytes(20)",                                                                       "without pixels",     NN_E_DATA_ERROR},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char script[512];
        snprintf(script, sizeof script, "open('train/dog/2.png', 'wb').write(%s)", cases[i].bytes);
        check_refused(script, ":size=4", (nn_status)cases[i].code, cases[i].text);
    }
    check_refused("save('train/dog/3.png', noise(5, 8, 3))", "", NN_E_DATA_ERROR, "5 x 8 pixels");
    check_refused("save('train/dog/3.gif', noise(5, 7))", "", NN_E_UNSUPPORTED, "3.gif: only PNG");
    check_refused(
        "save('train/dog/3.jpg', noise(5, 7, 3)); b = open('train/dog/3.jpg', 'rb').read()\n"
        "open('train/dog/3.jpg', 'wb').write(b[:-40])",
        "", NN_E_DATA_ERROR, "3.jpg: a damaged JPEG");
    check_refused("os.mkdir('train/eel')", "", NN_E_DATA_ERROR, "eel: a class without");
    check_refused("", ":size=0x4", NN_E_VALIDATION_ERROR, "size must be");
    check_refused("", ":channels=2", NN_E_VALIDATION_ERROR, "channels must be");
    check_refused("", ":colour=3", NN_E_VALIDATION_ERROR, "no parameter is called 'colour'");
    check_refused("", ":memory=lots", NN_E_VALIDATION_ERROR, "memory must be");
}

TEST(images_of_a_class_that_only_the_test_part_has) {
    SCENE path[64];
    scene(path, TREE "save('test/eel/a.png', noise(5, 7, 3))");
    CHECK_REFUSED(path, NN_SPLIT_TEST, NN_E_DATA_ERROR, "test/eel");
}

/* A damaged file that was not decoded at once is found, and named, when a batch needs it. */
TEST(images_damaged_behind_a_reader) {
    SCENE path[64];
    nn_err err;
    scene(path,
          TREE "p = 'train/dog/2.png'; b = open(p, 'rb').read(); open(p, 'wb').write(b[:-30])");
    char spec[96];
    snprintf(spec, sizeof spec, "%s:memory=300", path);
    DATASET *d = NULL;
    CHECK_OK(nn_dataset_open(spec, NN_SPLIT_TRAIN, &d, &err), &err);
    float x[105];
    uint32_t row = 4;
    CHECK_OK(nn_batch_fill(&d->block[0], &row, 1, NULL, x, &err), &err);
    row = 5;
    assert_int_equal(nn_batch_fill(&d->block[0], &row, 1, NULL, x, &err), NN_E_DATA_ERROR);
    assert_non_null(strstr(err.msg, "dog/2.png"));
}
