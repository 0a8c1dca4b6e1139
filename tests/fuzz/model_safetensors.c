/* SPDX-License-Identifier: MIT */
/* Any bytes as a safetensors file and as a model. What loads must be whole: reading every byte of
 * every tensor stays inside, and saving what was loaded gives a file that loads again. */
#include "base/hash.h"
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void read_tensors(const char *p, size_t n) {
    nn_err err;
    nn_safetensors *s = NULL;
    if (nn_safetensors_read(p, n, "fuzz", &s, &err) != NN_OK) return;
    size_t total = 0;
    const nn_tensor *t;
    for (int i = 0; (t = nn_safetensors_at(s, i)); i++) {
        uint8_t digest[NN_SHA256];
        nn_sha256(t->data, t->bytes, digest);
        total += t->bytes;
        if (nn_safetensors_find(s, t->name) != t) abort();
    }
    if (total > n) abort();
    nn_safetensors_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    nn_err err;
    nn_model *m = NULL;
    read_tensors((const char *)p, n);
    if (nn_model_load_bytes((const char *)p, n, "fuzz", &m, &err) == NN_OK) nn_model_free(m);
    return 0;
}
