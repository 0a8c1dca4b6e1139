/* SPDX-License-Identifier: MIT */
/* nearest.c - optimal string alignment distance on three rows; words longer than WORD_MAX are near
 * to nothing, which bounds the work that a hostile text can ask for. */
#include "base/nearest.h"

#include <stddef.h>
#include <string.h>

enum { WORD_MAX = 64 };

static int lower(char c) {
    return c >= 'A' && c <= 'Z' ? c + 32 : (unsigned char)c;
}

static int smallest(int a, int b, int c) {
    int m = a < b ? a : b;
    return m < c ? m : c;
}

static int distance(const char *a, size_t na, const char *b, size_t nb) {
    int rows[3][WORD_MAX + 1];
    for (size_t j = 0; j <= nb; j++) rows[0][j] = (int)j;
    for (size_t i = 1; i <= na; i++) {
        int *now = rows[i % 3], *up = rows[(i - 1) % 3], *up2 = rows[(i + 1) % 3];
        now[0] = (int)i;
        for (size_t j = 1; j <= nb; j++) {
            int same = lower(a[i - 1]) == lower(b[j - 1]);
            now[j] = smallest(up[j] + 1, now[j - 1] + 1, up[j - 1] + !same);
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                lower(a[i - 2]) == lower(b[j - 1]) && up2[j - 2] + 1 < now[j])
                now[j] = up2[j - 2] + 1;
        }
    }
    return rows[na % 3][nb];
}

const char *nn_nearest(const char *word, const char *const *names) {
    size_t n = strlen(word);
    if (!n || n > WORD_MAX) return NULL;
    const char *best = NULL;
    int least = (int)(n + 2) / 3 + 1;
    for (; *names; names++) {
        size_t len = strlen(*names);
        if (!len || len > WORD_MAX) continue;
        int d = distance(word, n, *names, len);
        if (d < least) {
            least = d;
            best = *names;
        }
    }
    return best;
}
