/* SPDX-License-Identifier: MIT */
/* base_config.c - both readers over any bytes: names and values are text, and each fault has words.
 */
#include "base/config_read.h"
#include "base/utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* libfyaml 0.7.12 loses a token buffer when a scalar ends in an error; the program reads one file,
 * once. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libfyaml.so";
}

static void on_fault(void *ctx, int line, const char *what) {
    (void)ctx;
    if (line < 0 || !*what) abort();
}

static void read_with(void (*read)(nn_cfg_reader *, const char *, size_t), const char *text,
                      size_t n) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "fuzz", 16 << 20);
    nn_cfg_reader r = {.arena = arena, .fault = on_fault};
    read(&r, text, n);
    for (size_t i = 0; i < r.n; i++) {
        const char *value = r.entry[i].value;
        if (nn_utf8_valid(value, strlen(value)) != strlen(value) || r.entry[i].line < 1) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 1 << 16) return 0;
    char *text = malloc(size ? size : 1); /* a copy of exactly this size shows reads past its end */
    if (!text) return 0;
    memcpy(text, data, size);
    read_with(nn_cfg_read_yaml, text, size);
    read_with(nn_cfg_read_dotenv, text, size);
    free(text);
    return 0;
}
