/* SPDX-License-Identifier: MIT */
/* What several kinds need. */
#include "data/dataset.h"
#include "jobs/jobs_impl.h"

#include <ctype.h>
#include <string.h>

/* "Fashion_MNIST" and "fashion-mnist" are one name. */
static bool same_name(const char *a, const char *b, size_t n_b) {
    const char *end = b + n_b;
    for (;; a++, b++) {
        while (*a == '-' || *a == '_') a++;
        while (b < end && (*b == '-' || *b == '_')) b++;
        if (!*a || b == end) return !*a && b == end;
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b)) return false;
    }
}

bool nn_dataset_is_known(const char *spec, nn_buf *ret_names) {
    nn_dataset_info list[64];
    int n = nn_dataset_list(list, NN_COUNT_OF(list));
    if (n > NN_COUNT_OF(list)) n = NN_COUNT_OF(list);
    size_t len = strcspn(spec, ":");
    for (int i = 0; i < n; i++) {
        bool whole = !spec[len] || !strcmp(list[i].name, "synthetic");
        if (whole && same_name(list[i].name, spec, len)) return true;
        if (ret_names) nn_buf_printf(ret_names, "%s%s", i ? ", " : "", list[i].name);
    }
    return false;
}

void nn_run_warnings(const nn_json *diagnostics, void (*warning)(void *ctx, const char *text),
                     void *ctx) {
    for (size_t i = 0; i < nn_json_size(diagnostics); i++) {
        const nn_json *d = nn_json_at(diagnostics, i);
        if (strcmp(nn_json_str(nn_json_get(d, "severity"), ""), "warning")) continue;
        NN_BUF text = {0};
        nn_buf_printf(&text, "%lld:%lld: %s", (long long)nn_json_int(nn_json_get(d, "line"), 0),
                      (long long)nn_json_int(nn_json_get(d, "column"), 0),
                      nn_json_str(nn_json_get(d, "message"), ""));
        if (warning) warning(ctx, nn_buf_str(&text));
    }
}
