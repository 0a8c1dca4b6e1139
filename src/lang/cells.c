/* SPDX-License-Identifier: MIT */
/* cells.c - widths by the ranges of Unicode's EastAsianWidth (and of combining marks) that matter
 * in practice; no locale is involved. */
#include "lang/cells.h"

#include "base/utf8.h"

int nn_char_read(const char *p, size_t n, uint32_t *ret) {
    static const unsigned char lead[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    size_t len = nn_utf8_length(p, n);
    uint32_t c = (unsigned char)*p & lead[len];
    for (size_t i = 1; i < len; i++) c = c << 6 | ((unsigned char)p[i] & 0x3f);
    if (len) *ret = c;
    return (int)len;
}

typedef struct range {
    uint32_t first, last;
} range;

static bool within(const range *r, size_t n, uint32_t c) {
    for (size_t i = 0; i < n; i++)
        if (c >= r[i].first && c <= r[i].last) return true;
    return false;
}
#define WITHIN(table, c) within(table, sizeof(table) / sizeof *(table), c)

int nn_char_width(uint32_t c) {
    static const range zero[] = {
        {0x300,  0x36f },
        {0x483,  0x489 },
        {0x591,  0x5bd },
        {0x610,  0x61a },
        {0x64b,  0x65f },
        {0x200b, 0x200f},
        {0x20d0, 0x20ff},
        {0xfe00, 0xfe0f},
        {0xfe20, 0xfe2f}
    };
    static const range wide[] = {
        {0x1100,  0x115f },
        {0x2e80,  0xa4cf },
        {0xac00,  0xd7a3 },
        {0xf900,  0xfaff },
        {0xfe30,  0xfe6f },
        {0xff00,  0xff60 },
        {0xffe0,  0xffe6 },
        {0x1f300, 0x1faff},
        {0x20000, 0x3fffd}
    };
    if (c < 0x300) return 1;
    return WITHIN(zero, c) ? 0 : WITHIN(wide, c) ? 2 : 1;
}

bool nn_char_unsafe(uint32_t c) {
    static const range unsafe[] = {
        {0,       0x1f   },
        {0x7f,    0x9f   },
        {0x200e,  0x200f },
        {0x2028,  0x202e },
        {0x2066,  0x2069 },
        {0xfeff,  0xfeff },
        {0xe0000, 0xe0fff}
    };
    return WITHIN(unsafe, c);
}
