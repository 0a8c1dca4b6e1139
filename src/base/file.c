/* SPDX-License-Identifier: MIT */
/* file.c - a temporary file is named after its target, so that it lies on the same file system and
 * a stranger can see what it belongs to: ".name.0123456789abcdef.tmp". */
#include "base/file.h"

#include "base/fault.h"
#include "base/hash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const char *advice(int errnum) {
    switch (errnum) {
    case ENOSPC:
        return "the disk is full: free some space, or use another disk";
    case EDQUOT:
        return "the disk quota is used up: free some space, or use another disk";
    case EROFS:
        return "the file system is read-only: use another directory";
    case EACCES:
    case EPERM:
        return "check the owner and the permissions of the file and of the directories above it";
    case ENOENT:
        return "check the name and the working directory";
    case ENOTDIR:
        return "a part of the path is a file, not a directory";
    case EISDIR:
        return "this is a directory, a file is needed";
    case ELOOP:
        return "symbolic links in this path point at each other";
    case EMFILE:
    case ENFILE:
        return "too many files are open: raise the limit (ulimit -n)";
    case EFBIG:
        return "the file passes a size limit (ulimit -f, or the file system's)";
    case EIO:
        return "the disk reports an error: look at the system log";
    case ENAMETOOLONG:
        return "use a shorter name";
    default:
        return "";
    }
}

nn_status nn_file_fail(nn_err *err, int errnum, const char *verb, const char *path) {
    char text[128];
    nn_status code = errnum == ENOENT   ? NN_E_NOT_FOUND
                     : errnum == ENOMEM ? NN_E_OUT_OF_MEMORY
                                        : NN_E_STORAGE_ERROR;
    const char *why = strerror_r(errnum, text, sizeof text);
    nn_status s = nn_fail(err, code, "cannot %s %.300s: %s", verb, path, why);
    return *advice(errnum) ? nn_err_hint(err, s, "%s", advice(errnum)) : s;
}

static nn_status too_large(const char *path, size_t limit, nn_err *err) {
    const size_t mib = (size_t)1 << 20;
    bool round = limit && limit % mib == 0;
    return nn_fail(err, NN_E_LIMIT, "%.300s is larger than the %zu %s that are read here", path,
                   round ? limit / mib : limit, round ? "MiB" : "bytes");
}

static nn_status read_fd(int fd, const char *path, size_t limit, nn_buf *out, nn_err *err) {
    size_t got = 0;
    for (;;) {
        size_t want = limit - got < (1 << 16) ? limit - got + 1
                                              : 1 << 16; /* one more than allowed, to see it */
        char *to = nn_buf_reserve(out, want);
        if (!to) return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory to read %.300s", path);
        ssize_t n = read(fd, to, want);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return nn_file_fail(err, errno, "read", path);
        if (n == 0) return NN_OK;
        got += (size_t)n;
        if (got > limit) return too_large(path, limit, err);
        out->n += (size_t)n;
    }
}

nn_status nn_file_read(const char *path, size_t limit, nn_buf *out, nn_err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return nn_file_fail(err, errno, "open", path);
    size_t before = out->n;
    nn_status s = read_fd(fd, path, limit, out, err);
    if (s) out->n = before;
    nn_buf_append(out, "", 0); /* ends with its NUL again, also when nothing was read */
    close(fd);
    return s;
}

int nn_write_all(int fd, const void *p, size_t n) {
    for (const char *from = p; n;) {
        if (nn_fault_hit(NN_FAULT_WRITE)) return errno;
        ssize_t done = write(fd, from, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return errno;
        from += done;
        n -= (size_t)done;
    }
    return 0;
}

static int sync_fd(int fd) {
    return nn_fault_hit(NN_FAULT_FSYNC) || fsync(fd) ? errno : 0;
}

/* Length of the directory part of path, without the last slash unless it is the root; 0 when there
 * is none. */
static size_t parent_length(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == path ? 1 : slash ? (size_t)(slash - path) : 0;
}

nn_status nn_sync_parent(const char *path, nn_err *err) {
    char dir[PATH_MAX];
    size_t n = parent_length(path);
    if (n >= sizeof dir) return nn_file_fail(err, ENAMETOOLONG, "sync the directory of", path);
    memcpy(dir, n ? path : ".", n ? n : 1);
    dir[n ? n : 1] = 0;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return nn_file_fail(err, errno, "open", dir);
    int e = sync_fd(fd);
    close(fd);
    return e ? nn_file_fail(err, e, "sync", dir) : NN_OK;
}

struct nn_writer {
    int fd;
    char *path, *temporary;
};

static void writer_free(nn_writer *w) {
    if (w->fd >= 0) close(w->fd);
    free(w->path);
    free(w->temporary);
    free(w);
}

/* The rename at the end would put a file in the place of a device such as /dev/null. */
static nn_status check_target(const char *path, nn_err *err) {
    struct stat st;
    if (stat(path, &st) != 0 || S_ISREG(st.st_mode)) return NN_OK;
    if (S_ISDIR(st.st_mode)) return nn_file_fail(err, EISDIR, "write", path);
    nn_status s = nn_fail(err, NN_E_STORAGE_ERROR,
                          "cannot write %.300s: it is a device or a pipe, not a file", path);
    return nn_err_hint(err, s, "give the name of a file");
}

nn_status nn_writer_open(const char *path, mode_t mode, nn_writer **ret, nn_err *err) {
    nn_status bad = check_target(path, err);
    if (bad) return bad;
    nn_writer *w = calloc(1, sizeof *w);
    size_t dir = parent_length(path);
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    unsigned char random[8];
    char suffix[2 * sizeof random + 1];
    nn_random(random, sizeof random);
    nn_hex(random, sizeof random, suffix);
    /* a name of up to 255 bytes may exist, the temporary one is longer: it carries the first 200 */
    if (!w || !(w->path = strdup(path)) ||
        asprintf(&w->temporary, "%.*s%s.%.200s.%s.tmp", (int)dir, path, dir > 1 ? "/" : "", name,
                 suffix) < 0)
        abort();
    w->fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (w->fd >= 0) {
        *ret = w;
        return NN_OK;
    }
    nn_status s = nn_file_fail(err, errno, "create", path);
    writer_free(w);
    return s;
}

nn_status nn_writer_put(nn_writer *w, const void *p, size_t n, nn_err *err) {
    int e = nn_write_all(w->fd, p, n);
    return e ? nn_file_fail(err, e, "write", w->path) : NN_OK;
}

nn_status nn_writer_commit(nn_writer *w, nn_err *err) {
    int e = sync_fd(w->fd);
    if (!e && close(w->fd)) e = errno; /* NFS reports a full disk here */
    if (!e) w->fd = -1;
    if (!e && (nn_fault_hit(NN_FAULT_RENAME) || rename(w->temporary, w->path))) e = errno;
    if (e) {
        nn_status s = nn_file_fail(err, e, "write", w->path);
        nn_writer_abort(w);
        return s;
    }
    nn_status s = nn_sync_parent(w->path, err);
    writer_free(w);
    return s;
}

void nn_writer_abort(nn_writer *w) {
    if (!w) return;
    unlink(w->temporary);
    writer_free(w);
}

nn_status nn_file_check_writable(const char *path, nn_err *err) {
    nn_writer *w;
    nn_status s = nn_writer_open(path, 0644, &w, err);
    if (!s) nn_writer_abort(w);
    return s;
}

nn_status nn_file_write(const char *path, const void *p, size_t n, nn_err *err) {
    nn_writer *w;
    nn_status s = nn_writer_open(path, 0644, &w, err);
    if (s) return s;
    s = nn_writer_put(w, p, n, err);
    if (!s) return nn_writer_commit(w, err);
    nn_writer_abort(w);
    return s;
}

/* mkdir that is content with a directory that is there. 0 or the errno. */
static int make_directory(const char *path) {
    struct stat st;
    if (mkdir(path, 0777) == 0) return 0;
    int e = errno;
    if (stat(path, &st) == 0) return S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
    return e;
}

nn_status nn_mkdirs(const char *path, nn_err *err) {
    char part[PATH_MAX];
    size_t n = strlen(path);
    if (n >= sizeof part) return nn_file_fail(err, ENAMETOOLONG, "create the directory", path);
    if (!n) return nn_file_fail(err, ENOENT, "create the directory", "''");
    memcpy(part, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (part[i] != '/' && part[i] != 0) continue;
        part[i] = 0;
        int e = make_directory(part);
        if (e) return nn_file_fail(err, e, "create the directory", part);
        part[i] = i < n ? '/' : 0;
    }
    return NN_OK;
}

enum { TREE_MAX_DEPTH = 256 }; /* one descriptor a level */

/* Removes what lies in the directory `name` of `at`, then the directory. 0 or the errno. */
static int remove_at(int at, const char *name, int depth) {
    if (unlinkat(at, name, 0) == 0 || errno == ENOENT) return 0;
    if (errno != EISDIR && errno != EPERM)
        return errno; /* what unlink says of a directory: Linux, POSIX */
    int refused = errno;
    if (depth == TREE_MAX_DEPTH) return ELOOP;
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return errno == ENOTDIR ? refused : errno;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        int e = errno;
        close(fd);
        return e;
    }
    int e = 0;
    for (struct dirent *d; !e && (errno = 0, d = readdir(dir));)
        if (strcmp(d->d_name, ".") && strcmp(d->d_name, ".."))
            e = remove_at(fd, d->d_name, depth + 1);
    if (!e) e = errno;
    closedir(dir);
    if (!e && unlinkat(at, name, AT_REMOVEDIR) && errno != ENOENT) e = errno;
    return e;
}

nn_status nn_remove_tree(const char *path, nn_err *err) {
    int e = remove_at(AT_FDCWD, path, 0);
    return e ? nn_file_fail(err, e, "remove", path) : NN_OK;
}

nn_status nn_disk_check(const char *path, uint64_t need, nn_err *err) {
    struct statvfs v;
    if (statvfs(path, &v) != 0) return nn_file_fail(err, errno, "look at", path);
    if (v.f_flag & ST_RDONLY) return nn_file_fail(err, EROFS, "write to", path);
    bool full = (uint64_t)v.f_bavail * v.f_frsize < need;
    return full ? nn_file_fail(err, ENOSPC, "write to", path) : NN_OK;
}
