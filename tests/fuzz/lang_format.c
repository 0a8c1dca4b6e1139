/* SPDX-License-Identifier: MIT */
/* Any bytes are formatted; those that begin with 0xff are choices by which a program is made. What
 * must hold: a text with errors is refused and nothing is written; else the result parses to the
 * same tree, has the same comments, and is formatted to itself. */
#include "../unit/lang/format_check.h"
#include "../unit/lang/program_gen.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void check(const char *text, size_t n) {
    formatted r;
    const char *why = format_broken(text, n, &r);
    if (why) {
        fprintf(stderr, "%s:\n%.*s\n---\n%s", why, (int)n, text, nn_buf_str(&r.text));
        abort();
    }
    formatted_done(&r);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    if (!size || data[0] != 0xff) {
        check((const char *)data, size);
        return 0;
    }
    NN_BUF text = {0};
    gen g = {.bytes = data + 1, .n = size - 1, .out = &text};
    gen_rule(&g, 'P');
    check(nn_buf_str(&text), text.n);
    return 0;
}
