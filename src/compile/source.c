/* SPDX-License-Identifier: MIT */
/* source.c - a program's text from a file or from standard input. */
#include "base/file.h"
#include "compile/compile.h"

#include <string.h>

enum { SOURCE_MAX = 16 << 20 };

nn_status nn_source_read(nn_arena *arena, const char *path, nn_source *ret, nn_err *err) {
    bool standard = strcmp(path, "-") == 0;
    NN_BUF text = {0};
    nn_status st = nn_file_read(standard ? "/dev/stdin" : path, SOURCE_MAX, &text, err);
    if (st) return st;
    char *copy = nn_arena_strndup(arena, nn_buf_str(&text), text.n);
    char *name = nn_arena_strdup(arena, standard ? "<stdin>" : path);
    if (!copy || !name)
        return nn_fail(err, NN_E_LIMIT, "'%s' does not fit into the memory allowed for it", path);
    *ret = (nn_source){name, copy, text.n};
    return NN_OK;
}
