/* SPDX-License-Identifier: MIT */
/* Any text as a table: refused, or rows whose labels are within their classes; both parts agree on
 * them. */
#include "data/csv.h"
#include "data/format.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static nn_dataset *read_part(const uint8_t *p, size_t n, nn_split split) {
    nn_err err;
    nn_dataset *d = NULL;
    nn_data_request q = {.spec = "fuzz.csv", .split = split, .max_bytes = 1 << 26};
    q.options = "categories=*,missing=mean";
    if (nn_csv_dataset(&q, (const char *)p, n, &d, &err) == NN_OK)
        for (int64_t i = 0; i < d->rows; i++)
            if (d->labels && (d->labels[i] < 0 || d->labels[i] >= d->classes)) abort();
    return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    nn_dataset *a = read_part(p, n, NN_SPLIT_TRAIN), *b = read_part(p, n, NN_SPLIT_TEST);
    if (!a != !b) abort();
    if (a && (a->classes != b->classes || !nn_shape_equal(&a->block[0].shape, &b->block[0].shape)))
        abort();
    nn_dataset_free(a);
    nn_dataset_free(b);
    return 0;
}
