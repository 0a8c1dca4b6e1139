/* SPDX-License-Identifier: MIT */
/* Archives in the published layout, made by Python's tarfile. */
#include "fixture.h"

/* Two pixels of each image say which it is: red at (0, 0) and green at (0, 1). */
static void make(folder *f, const char *damage) {
    char command[4096];
    snprintf(
        command, sizeof command,
        "cd %s && /usr/bin/python3 -c \"\n"
        "import tarfile, io, random\n"
        "def record(label, a, b):\n"
        "    p = bytearray(3072); p[0] = a; p[1024 + 1] = b; return bytes([label]) + p\n"
        "def add(t, name, data):\n"
        "    i = tarfile.TarInfo('cifar-10-batches-bin/' + name); i.size = len(data); t.addfile(i, io.BytesIO(data))\n"
        "def batch(first, bad=10):\n"
        "    return b''.join(record(n %% bad, n // 256 %% 256, n %% 256) for n in range(first, first + 10000))\n"
        "names = 'airplane automobile bird cat deer dog frog horse ship truck'.split()\n"
        "bad, cut = 10, None\n%s\n"
        "with tarfile.open('cifar-10-binary.tar.gz', 'w:gz', compresslevel=1, format=tarfile.USTAR_FORMAT) as t:\n"
        "    add(t, 'batches.meta.txt', ('\\n'.join(names) + '\\n\\n').encode())\n"
        "    for i in range(5): add(t, 'data_batch_%%d.bin' %% (i + 1), batch(10000 * i, bad)[:cut])\n"
        "    add(t, 'readme.html', b'x' * 700)\n"
        "    add(t, 'test_batch.bin', batch(50000))\n\"",
        f->path, damage);
    assert_int_equal(system(command), 0);
    folder_name(f, "cifar-10-binary.tar.gz");
}

TEST(cifar_archive) {
    FOLDER f;
    folder_init(&f);
    make(&f, "");
    for (int split = 0; split < 2; split++) {
        DATASET *d = NULL;
        nn_err err;
        CHECK_OK(nn_dataset_open(f.names[0], split ? NN_SPLIT_TEST : NN_SPLIT_TRAIN, &d, &err),
                 &err);
        assert_int_equal(d->rows, split ? 10000 : 50000);
        assert_int_equal(d->classes, 10);
        assert_string_equal(d->class_names[9], "truck");
        const uint8_t *p = d->block[0].data;
        for (int i = 0; i < d->rows; i += 777) {
            int n = split ? 50000 + i : i;
            assert_int_equal(d->labels[i], n % 10);
            assert_int_equal(p[(int64_t)i * 3072], n / 256 % 256); /* red of the first pixel */
            assert_int_equal(p[(int64_t)i * 3072 + 4], n % 256);   /* green of the second */
        }
    }
}

static void check_damaged(const char *damage, const char *text) {
    FOLDER f;
    folder_init(&f);
    make(&f, damage);
    CHECK_REFUSED(f.names[0], NN_SPLIT_TRAIN, NN_E_DATA_ERROR, text);
}

TEST(cifar_archives_that_are_refused) {
    check_damaged("bad = 11", "a label that is out of range");
    check_damaged("cut = -1", "records of another size");
    check_damaged("cut = 3073", "fewer images");
    check_damaged("names = names[:9]", "another number of classes");
    FOLDER f;
    folder_init(&f);
    CHECK_REFUSED(folder_put(&f, "cifar-100-binary.tar.gz", "no archive at all", 17),
                  NN_SPLIT_TRAIN, NN_E_DATA_ERROR, "not a tar archive");
}
