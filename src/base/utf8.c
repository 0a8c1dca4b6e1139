/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

/* Table 3-7 of the Unicode standard: after the lead byte only the second one has a range of its
 * own. */
size_t nn_utf8_length(const char *p, size_t n) {
    const unsigned char *u = (const unsigned char *)p;
    if (u[0] < 0x80) return 1;
    size_t len = u[0] >= 0xc2 && u[0] <= 0xdf ? 2 : (u[0] & 0xf0) == 0xe0 ? 3 : 4;
    if (u[0] < 0xc2 || u[0] > 0xf4 || len > n) return 0;
    unsigned char low = u[0] == 0xe0 ? 0xa0 : u[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char high = u[0] == 0xed ? 0x9f : u[0] == 0xf4 ? 0x8f : 0xbf;
    if (u[1] < low || u[1] > high) return 0;
    for (size_t i = 2; i < len; i++)
        if ((u[i] & 0xc0) != 0x80) return 0;
    return len;
}

size_t nn_utf8_valid(const char *p, size_t n) {
    size_t i = 0;
    while (i < n) {
        uint64_t word;
        if (n - i >= sizeof word) {
            memcpy(&word, p + i, sizeof word);
            if (!(word & UINT64_C(0x8080808080808080))) {
                i += sizeof word;
                continue;
            }
        }
        size_t len = nn_utf8_length(p + i, n - i);
        if (!len) return i;
        i += len;
    }
    return n;
}
