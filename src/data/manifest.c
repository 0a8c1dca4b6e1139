/* SPDX-License-Identifier: MIT */
/* manifest.c - the files of a set, as they lie on disk, for the record of what was trained on. */
#include "base/hash.h"
#include "data/format.h"

#include <stdlib.h>
#include <sys/stat.h>

nn_status nn_dataset_note_file(nn_dataset *d, const char *path, nn_err *err) {
    char hex[NN_SHA256_HEX];
    struct stat st;
    nn_status s = nn_sha256_file(path, hex, err);
    if (s) return s;
    nn_dataset_note_sum(d, path, stat(path, &st) == 0 ? st.st_size : -1, hex);
    return NN_OK;
}

void nn_dataset_note_sum(nn_dataset *d, const char *path, int64_t bytes, const char *sha256) {
    nn_json *files = nn_json_get(d->record, "files"), *file = nn_json_new_object();
    if (!files) {
        nn_dataset_note(d, "files", nn_json_new_array());
        files = nn_json_get(d->record, "files");
    }
    nn_json_set(file, "path", nn_json_new_str(path));
    nn_json_set(file, "bytes", nn_json_new_int(bytes));
    nn_json_set(file, "sha256", nn_json_new_str(sha256));
    nn_json_push(files, file);
}
