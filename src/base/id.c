/* SPDX-License-Identifier: MIT */
/* id.c - RFC 9562 section 6.2, method 1: the 12 bits behind the millisecond count the ids of that
 * millisecond. They start at a random number below 2^11, so at least 2^11 ids fit; when they run
 * out, or the clock goes back, the last millisecond is kept or moved forward, never back. */
#include "base/id.h"

#include "base/clock.h"
#include "base/hash.h"

#include <pthread.h>
#include <string.h>

enum { COUNTER_MAX = 0xfff, COUNTER_SEED = 0x7ff };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t last_ms;
static unsigned counter;

/* A (millisecond, counter) pair that is larger than all before it. */
static uint64_t next_tick(unsigned seed) {
    uint64_t now = (uint64_t)(nn_clock_wall() / 1000);
    pthread_mutex_lock(&lock);
    if (now > last_ms) {
        last_ms = now;
        counter = seed & COUNTER_SEED;
    } else if (counter++ == COUNTER_MAX) {
        last_ms++;
        counter = seed & COUNTER_SEED;
    }
    uint64_t tick = last_ms << 12 | counter;
    pthread_mutex_unlock(&lock);
    return tick;
}

const char *nn_id_new(char ret[NN_ID_TEXT]) {
    uint8_t random[10], b[16];
    nn_random(random, sizeof random);
    uint64_t tick = next_tick(random[8] | (unsigned)random[9] << 8);
    for (int i = 0; i < 6; i++) b[i] = (uint8_t)(tick >> (52 - 8 * i));
    b[6] = (uint8_t)(0x70 | (tick >> 8 & 0xf));
    b[7] = (uint8_t)tick;
    memcpy(b + 8, random, 8);
    b[8] = (b[8] & 0x3f) | 0x80;
    char *p = ret;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) *p++ = '-';
        nn_hex(b + i, 1, p);
        p += 2;
    }
    return ret;
}

bool nn_id_parse(const char *s, size_t n, uint8_t ret[16]) {
    uint8_t b[16];
    if (n != NN_ID_TEXT - 1) return false;
    for (int i = 0; i < 16; i++) {
        if ((i == 4 || i == 6 || i == 8 || i == 10) && *s++ != '-') return false;
        if (!nn_unhex(s, 2, b + i)) return false;
        s += 2;
    }
    memcpy(ret, b, sizeof b);
    return true;
}

bool nn_id_valid(const char *s, size_t n) {
    uint8_t b[16];
    return nn_id_parse(s, n, b);
}

int64_t nn_id_time(const char *s) {
    uint8_t b[16];
    if (!nn_id_parse(s, strlen(s), b) || b[6] >> 4 != 7) return -1;
    int64_t ms = 0;
    for (int i = 0; i < 6; i++) ms = ms << 8 | b[i];
    return ms * 1000;
}
