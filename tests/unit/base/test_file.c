/* SPDX-License-Identifier: MIT */
#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"
#include "t.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char made[] = "/tmp/nn_file_XXXXXX";

static void clean_up(void) {
    nn_remove_tree(made, NULL);
}

/* One directory for all tests here, gone when the program ends. */
static const char *dir(void) {
    static bool once;
    if (!once) assert_non_null(mkdtemp(made));
    if (!once) atexit(clean_up);
    once = true;
    return made;
}

static char *at(const char *name) {
    static char path[4][600];
    static int turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir(), name);
    return p;
}

static void check_holds(const char *path, const char *text) {
    NN_BUF b = {0};
    nn_err err = {0};
    CHECK_OK(nn_file_read(path, 1 << 20, &b, &err), &err);
    assert_string_equal(nn_buf_str(&b), text);
}

static int entries(void) {
    int n = 0;
    DIR *d = opendir(dir());
    assert_non_null(d);
    while (readdir(d)) n++;
    closedir(d);
    return n - 2;
}

TEST(file_writes_and_reads_whole) {
    nn_err err = {0};
    int before = entries();
    mode_t old = umask(027);
    CHECK_OK(nn_file_write(at("a"), "one", 3, &err), &err);
    CHECK_OK(nn_file_write(at("a"), "two!", 4, &err), &err);
    umask(old);
    struct stat st;
    assert_int_equal(stat(at("a"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    check_holds(at("a"), "two!");
    CHECK_OK(nn_file_write(at("empty"), "", 0, &err), &err);
    check_holds(at("empty"), "");
    assert_int_equal(entries(), before + 2); /* no temporary file is left */
    char name[256];
    memset(name, 'n', 255);
    name[255] = 0;
    CHECK_OK(nn_file_write(at(name), "x", 1, &err), &err);
}

TEST(file_read_has_a_limit) {
    nn_err err = {0};
    NN_BUF b = {0};
    nn_buf_puts(&b, "before");
    CHECK_OK(nn_file_write(at("ten"), "0123456789", 10, &err), &err);
    CHECK_OK(nn_file_read(at("ten"), 10, &b, &err), &err);
    assert_string_equal(nn_buf_str(&b), "before0123456789");
    assert_int_equal(nn_file_read(at("ten"), 9, &b, &err), NN_E_LIMIT);
    assert_string_equal(nn_buf_str(&b), "before0123456789");
    CHECK(strstr(err.msg, "ten") && strstr(err.msg, "9 bytes"));
    assert_int_equal(nn_file_read("/dev/zero", 1000000, &b, &err), NN_E_LIMIT);
}

TEST(file_errors_name_path_reason_and_help) {
    nn_err err = {0};
    NN_BUF b = {0};
    assert_int_equal(nn_file_read(at("none"), 10, &b, &err), NN_E_NOT_FOUND);
    CHECK(strstr(err.msg, at("none")) && strstr(err.msg, "No such file") && err.hint[0]);
    assert_int_equal(nn_file_read(dir(), 10, &b, &err), NN_E_STORAGE_ERROR);
    CHECK(strstr(err.msg, "directory"));
    assert_int_equal(nn_file_write("/proc/nn/x", "", 0, &err), NN_E_NOT_FOUND);
    assert_int_equal(nn_file_fail(&err, ENOSPC, "write", "p"), NN_E_STORAGE_ERROR);
    CHECK(strstr(err.hint, "disk is full"));
    assert_int_equal(nn_file_write("/dev/full/x", "x", 1, &err), NN_E_STORAGE_ERROR);
    CHECK(strstr(err.msg, "Not a directory"));
}

TEST(mkdirs_makes_parents_once) {
    nn_err err = {0};
    CHECK_OK(nn_mkdirs(at("x/y//z/"), &err), &err);
    CHECK_OK(nn_mkdirs(at("x/y/z"), &err), &err);
    CHECK_OK(nn_mkdirs("/", &err), &err);
    CHECK_OK(nn_file_write(at("x/file"), "", 0, &err), &err);
    assert_int_equal(nn_mkdirs(at("x/file"), &err), NN_E_STORAGE_ERROR);
    assert_int_equal(nn_mkdirs(at("x/file/deeper"), &err), NN_E_STORAGE_ERROR);
    assert_int_equal(nn_mkdirs("", &err), NN_E_NOT_FOUND);
}

TEST(remove_tree_does_not_follow_links) {
    nn_err err = {0};
    CHECK_OK(nn_mkdirs(at("tree/a/b"), &err), &err);
    CHECK_OK(nn_mkdirs(at("outside"), &err), &err);
    CHECK_OK(nn_file_write(at("outside/keep"), "k", 1, &err), &err);
    CHECK_OK(nn_file_write(at("tree/a/f"), "k", 1, &err), &err);
    assert_int_equal(symlink(at("outside"), at("tree/a/link")), 0);
    CHECK_OK(nn_remove_tree(at("tree"), &err), &err);
    assert_int_equal(access(at("tree"), F_OK), -1);
    check_holds(at("outside/keep"), "k");
    CHECK_OK(nn_remove_tree(at("tree"), &err), &err); /* gone is fine */
}

TEST(writer_in_pieces_and_aborted) {
    nn_err err = {0};
    nn_writer *w;
    int before = entries();
    CHECK_OK(nn_writer_open(at("pieces"), 0600, &w, &err), &err);
    CHECK_OK(nn_writer_put(w, "ab", 2, &err), &err);
    nn_writer_abort(w);
    nn_writer_abort(NULL);
    assert_int_equal(entries(), before);
    CHECK_OK(nn_writer_open(at("pieces"), 0600, &w, &err), &err);
    CHECK_OK(nn_writer_put(w, "ab", 2, &err), &err);
    CHECK_OK(nn_writer_put(w, "cd", 2, &err), &err);
    assert_int_equal(access(at("pieces"), F_OK), -1); /* not there before commit */
    CHECK_OK(nn_writer_commit(w, &err), &err);
    check_holds(at("pieces"), "abcd");
}

#ifdef NN_FAULT
/* The n-th write, fsync and rename fail, for every n: the old file stays whole and nothing is left
 * behind, except that the sync of the directory comes after the rename. */
TEST(file_write_survives_every_fault) {
    nn_err err = {0};
    CHECK_OK(nn_file_write(at("f"), "old", 3, &err), &err);
    int before = entries();
    for (int kind = NN_FAULT_WRITE; kind < NN_FAULT_COUNT; kind++) {
        nn_fault_set((nn_fault)kind, 0, false);
        CHECK_OK(nn_file_write(at("f"), "old", 3, &err), &err);
        long calls = nn_fault_calls((nn_fault)kind);
        CHECK(calls >= 1);
        for (long n = 1; n <= calls; n++) {
            nn_fault_set((nn_fault)kind, n, false);
            assert_int_equal(nn_file_write(at("f"), "new", 3, &err), NN_E_STORAGE_ERROR);
            nn_fault_set((nn_fault)kind, 0, false);
            CHECK(strstr(err.msg, dir()) && err.hint[0]);
            check_holds(at("f"), kind == NN_FAULT_FSYNC && n == 2 ? "new" : "old");
            assert_int_equal(entries(), before);
            CHECK_OK(nn_file_write(at("f"), "old", 3, &err), &err);
        }
    }
}
#endif

TEST(large_memory_is_aligned_and_can_fail) {
    unsigned char *p = nn_alloc_large(1000, true), sum = 0;
    CHECK(p && (uintptr_t)p % 64 == 0);
    for (int i = 0; i < 1000; i++) sum |= p[i];
    assert_int_equal(sum, 0);
    nn_free_large(p);
    p = nn_alloc_large(0, false);
    CHECK(p);
    nn_free_large(p);
    nn_free_large(NULL);
    assert_null(nn_alloc_large(SIZE_MAX, false));
    assert_null(nn_alloc_large(SIZE_MAX - 62, true));
#ifdef NN_FAULT
    nn_fault_set(NN_FAULT_ALLOC, 2, true);
    p = nn_alloc_large(8, false);
    CHECK(p && !nn_alloc_large(8, false) && !nn_alloc_large(8, false));
    nn_free_large(p);
    nn_fault_set(NN_FAULT_ALLOC, 0, false);
    p = nn_alloc_large(8, false);
    CHECK(p);
    nn_free_large(p);
#endif
}
