/* SPDX-License-Identifier: MIT */
/* text.c - text of a picture. Names are the user's: nothing of them reaches markup unescaped. */
#include "draw/text.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Escapes of the characters that are not themselves in XML text; NULL for others. */
static const char *escape_of(unsigned char c) {
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    case '\t':
    case '\n':
    case '\r':
        return " ";
    default:
        return c < 0x20 || c == 0x7f ? "\xef\xbf\xbd" : NULL;
    }
}

/* U+0080..9F, the marks that turn the direction of text, U+FFFE and U+FFFF: not to be passed on. */
static bool is_unsafe(const char *s, size_t n) {
    const unsigned char *p = (const unsigned char *)s;
    if (n == 2) return p[0] == 0xc2 && p[1] < 0xa0;
    if (n != 3) return false;
    bool turns =
        p[0] == 0xe2 &&
        ((p[1] == 0x80 && ((p[2] >= 0xa8 && p[2] <= 0xae) || p[2] == 0x8e || p[2] == 0x8f)) ||
         (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9));
    return turns || (p[0] == 0xef && p[1] == 0xbf && p[2] >= 0xbe);
}

void nn_draw_escape(nn_buf *out, const char *s, size_t n, int chars) {
    int count = 0;
    for (size_t i = 0; i < n; count++) {
        size_t len = nn_utf8_length(s + i, n - i);
        const char *as = len <= 1 ? escape_of((unsigned char)s[i]) : NULL;
        if (len == 0 || is_unsafe(s + i, len)) as = "\xef\xbf\xbd";
        if (chars && count >= chars - 1 && i + (len ? len : 1) < n) {
            nn_buf_puts(out, "…");
            return;
        }
        if (as)
            nn_buf_puts(out, as);
        else
            nn_buf_append(out, s + i, len);
        i += len ? len : 1;
    }
}

void nn_draw_shape(nn_buf *out, const nn_shape *s, bool known) {
    if (!known) nn_buf_puts(out, "?");
    if (known && s->rank == 0) nn_buf_puts(out, "1");
    for (int i = 0; known && i < s->rank; i++) {
        if (i) nn_buf_puts(out, " × ");
        if (s->dim[i] < 0)
            nn_buf_puts(out, "?");
        else
            nn_buf_printf(out, "%" PRId64, s->dim[i]);
    }
}

const char *nn_draw_count(int64_t n, char buf[32]) {
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%" PRId64, n), to = 0;
    for (int i = 0; i < len; i++) {
        buf[to++] = digits[i];
        int left = len - 1 - i;
        if (left && left % 3 == 0 && digits[i] != '-') buf[to++] = ',';
    }
    buf[to] = 0;
    return buf;
}

const char *nn_draw_short(int64_t n, char buf[32]) {
    static const char *const units[] = {"", " k", " M", " G", " T", " P", " E"};
    double v = (double)n;
    int u = 0;
    for (; v >= 999.5 && u < 6; u++) v /= 1000;
    if (n < 0)
        snprintf(buf, 32, "?");
    else
        snprintf(buf, 32, "%.*f%s", u && v < 99.95 ? 1 : 0, v, units[u]);
    return buf;
}

int nn_draw_width(const char *s) {
    int n = 0;
    for (; *s; s++) n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}
