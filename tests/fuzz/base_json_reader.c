/* SPDX-License-Identifier: MIT */
/* base_json_reader.c - the pull reader against jansson: same verdict, equal values. */
#include "../unit/base/json_oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!oracle_agrees((const char *)data, size)) abort();
    return 0;
}
