/* SPDX-License-Identifier: MIT */
/* base_json.c - parse, dump, parse again: equal values, and the second dump is the first. */
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const nn_json *v, int indent) {
    NN_BUF one = {0}, two = {0};
    NN_JSON *again = NULL;
    nn_json_dump(v, indent, &one);
    if (nn_json_parse(one.p, one.n, &again, NULL) || !nn_json_equal(v, again)) abort();
    nn_json_dump(again, indent, &two);
    if (one.n != two.n || memcmp(one.p, two.p, one.n)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    NN_JSON *v = NULL;
    nn_err err = {0};
    NN_BUF text = {0};
    NN_JSON *string = NULL;
    if (nn_json_parse((const char *)data, size, &v, &err)) {
        if (!err.msg[0] || err.line < 1 || err.col < 1) abort();
    } else {
        check_again(v, 0);
        check_again(v, 2);
    }
    /* any bytes at all can be written as a string */
    nn_jw_strn(&(nn_jw){.out = &text}, (const char *)data, size);
    if (nn_json_parse(text.p, text.n, &string, NULL)) abort();
    return 0;
}
