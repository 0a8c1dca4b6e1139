/* SPDX-License-Identifier: MIT */
/* file.h - files, whole or not at all. Thread safe; an nn_writer belongs to one thread at a time.
 * Every error names the path, what was tried and why it failed, and hints at what to do; a missing
 * file is NN_E_NOT_FOUND, the rest NN_E_STORAGE_ERROR. */
#ifndef NN_BASE_FILE_H
#define NN_BASE_FILE_H
#include "base/buf.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Records a failed system call: "cannot <verb> <path>: <strerror>" and a hint for the common
 * causes. */
nn_status nn_file_fail(nn_err *err, int errnum, const char *verb, const char *path);

/* Appends the file to out; more than limit bytes is NN_E_LIMIT, a directory or other non-file
 * NN_E_STORAGE_ERROR (pipes and terminals are read to their end). */
nn_status nn_file_read(const char *path, size_t limit, nn_buf *out, nn_err *err);
/* Replaces the file by n bytes: after a crash there is the old one or the new one. Mode 0644 less
 * the umask. */
nn_status nn_file_write(const char *path, const void *p, size_t n, nn_err *err);

/* The same piece by piece: a temporary name in the same directory until commit has synced and
 * renamed it. */
typedef struct nn_writer nn_writer;
/* NN_E_STORAGE_ERROR also where a directory, a device or a pipe has that name. */
nn_status nn_writer_open(const char *path, mode_t mode, nn_writer **ret, nn_err *err);
nn_status nn_writer_put(nn_writer *w, const void *p, size_t n, nn_err *err);
nn_status nn_writer_commit(nn_writer *w, nn_err *err); /* takes w; on failure the old file stays */
void nn_writer_abort(nn_writer *w); /* takes w, removes the temporary file; NULL allowed */
/* Whether a file of that name could be written now, so that hours of work are not lost to a typing
 * error at their end; leaves nothing behind. */
nn_status nn_file_check_writable(const char *path, nn_err *err);

/* Creates the directory and its missing parents (mode 0777 less the umask); one that is there is
 * fine. */
nn_status nn_mkdirs(const char *path, nn_err *err);
/* Removes a file or a directory with all it holds; symbolic links are removed, not followed; one
 * that is not there is fine. */
nn_status nn_remove_tree(const char *path, nn_err *err);
/* Writes all n bytes, however many calls that takes. 0, or the errno. */
int nn_write_all(int fd, const void *p, size_t n);
/* fsync of the directory that holds path: makes a rename or unlink in it durable. */
nn_status nn_sync_parent(const char *path, nn_err *err);
/* Whether the file system of path can take `need` more bytes; else NN_E_STORAGE_ERROR says why. */
nn_status nn_disk_check(const char *path, uint64_t need, nn_err *err);
#endif
