/* SPDX-License-Identifier: MIT */
/* zip.c - one member of a zip archive (PKWARE APPNOTE 6.3, sections 4.3.7, 4.3.12 and 4.3.16).
 * Sizes come from the central directory: writers may leave those beside the data at zero. */
#include "data/npy.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { END_SIZE = 22, ENTRY_SIZE = 46, LOCAL_SIZE = 30, MAX_COMMENT = 65535, DEFLATE_RATIO = 1032 };

typedef struct zip {
    const unsigned char *p;
    size_t n;
    const char *name;
    nn_err *err;
} zip;

typedef struct member {
    unsigned flags, method;
    uint32_t crc;
    size_t packed, size, local;
} member;

static unsigned u16(const unsigned char *p) {
    return p[0] | (unsigned)p[1] << 8;
}

static uint32_t u32(const unsigned char *p) {
    return u16(p) | (uint32_t)u16(p + 2) << 16;
}

static nn_status bad(const zip *z, size_t offset, const char *what) {
    return nn_fail(z->err, NN_E_DATA_ERROR, "%s: offset %zu: %s", z->name, offset, what);
}

/* The end record is the last thing in the file but for a comment. */
static nn_status find_end(const zip *z, size_t *ret, nn_err *err) {
    size_t low = z->n > END_SIZE + MAX_COMMENT ? z->n - END_SIZE - MAX_COMMENT : 0;
    for (size_t at = z->n >= END_SIZE ? z->n - END_SIZE + 1 : 0; at-- > low;)
        if (u32(z->p + at) == 0x06054b50 && at + END_SIZE + u16(z->p + at + 20) == z->n) {
            *ret = at;
            return NN_OK;
        }
    return nn_fail(err, NN_E_DATA_ERROR,
                   "%s: offset %zu: not a zip archive, or truncated: no end record", z->name, z->n);
}

/* The directory entry at *at, of the `end` bytes before the end record; moves past it. */
static nn_status next_entry(const zip *z, size_t end, size_t *at, const unsigned char **ret) {
    if (*at > end || end - *at < ENTRY_SIZE || u32(z->p + *at) != 0x02014b50)
        return bad(z, *at, "the archive's directory is damaged");
    const unsigned char *e = z->p + *at;
    size_t whole = ENTRY_SIZE + (size_t)u16(e + 28) + u16(e + 30) + u16(e + 32);
    if (whole > end - *at) return bad(z, *at, "the archive's directory is damaged");
    *at += whole;
    *ret = e;
    return NN_OK;
}

/* The first entry of that name, or the `nth` of any (name NULL); NULL: there is none. */
static nn_status find_entry(const zip *z, const char *name, int nth, const unsigned char **ret) {
    size_t end = 0, want = name ? strlen(name) : 0;
    nn_status s = find_end(z, &end, z->err);
    if (s) return s;
    size_t at = u32(z->p + end + 16);
    int count = (int)u16(z->p + end + 10);
    *ret = NULL;
    for (int i = 0; i < count; i++) {
        const unsigned char *e = NULL;
        s = next_entry(z, end, &at, &e);
        if (s) return s;
        bool found =
            name ? u16(e + 28) == want && memcmp(e + ENTRY_SIZE, name, want) == 0 : i == nth;
        if (found) {
            *ret = e;
            return NN_OK;
        }
    }
    return NN_OK;
}

/* ret->local is SIZE_MAX if no member has this name. */
static nn_status find_member(const zip *z, const char *name, member *ret) {
    const unsigned char *e = NULL;
    nn_status s = find_entry(z, name, 0, &e);
    if (s) return s;
    ret->local = SIZE_MAX;
    if (e)
        *ret = (member){.flags = u16(e + 8),
                        .method = u16(e + 10),
                        .crc = u32(e + 16),
                        .packed = u32(e + 20),
                        .size = u32(e + 24),
                        .local = u32(e + 42)};
    return NN_OK;
}

nn_status nn_zip_name(const char *p, size_t n, const char *archive, int i, const char **ret,
                      size_t *ret_n, nn_err *err) {
    zip z = {(const unsigned char *)p, n, archive, err};
    const unsigned char *e = NULL;
    nn_status s = find_entry(&z, NULL, i, &e);
    if (s) return s;
    *ret = e ? (const char *)e + ENTRY_SIZE : NULL;
    *ret_n = e ? u16(e + 28) : 0;
    return NN_OK;
}

static nn_status locate(const zip *z, const member *m, const unsigned char **ret) {
    if (m->flags & 1) return bad(z, m->local, "the member is encrypted");
    if (m->packed == UINT32_MAX || m->size == UINT32_MAX || m->local == UINT32_MAX)
        return bad(z, m->local < z->n ? m->local : 0,
                   "the member is 4 GiB or larger, which is not read");
    if (m->local > z->n || z->n - m->local < LOCAL_SIZE || u32(z->p + m->local) != 0x04034b50)
        return bad(z, m->local, "no member begins here, although the directory says so");
    size_t from = m->local + LOCAL_SIZE + u16(z->p + m->local + 26) + u16(z->p + m->local + 28);
    if (from > z->n || m->packed > z->n - from) return bad(z, from, "truncated: the member's data");
    *ret = z->p + from;
    return NN_OK;
}

static bool inflate_to(const unsigned char *from, size_t packed, char *to, size_t size) {
    z_stream s = {.next_in = (unsigned char *)from,
                  .avail_in = (unsigned)packed,
                  .next_out = (unsigned char *)to,
                  .avail_out = (unsigned)size};
    if (inflateInit2(&s, -MAX_WBITS) != Z_OK) return false;
    int code = inflate(&s, Z_FINISH);
    bool ok = code == Z_STREAM_END && s.total_out == size && s.avail_in == 0;
    inflateEnd(&s);
    return ok;
}

static nn_status unpack(const zip *z, const member *m, size_t max, char **ret) {
    const unsigned char *from = NULL;
    nn_status s = locate(z, m, &from);
    if (s) return s;
    if (m->method != 0 && m->method != Z_DEFLATED)
        return bad(z, m->local + 8,
                   "a compression method that is not read; expected none or deflate");
    bool possible = m->method == 0 ? m->packed == m->size : m->size / DEFLATE_RATIO <= m->packed;
    if (!possible) return bad(z, m->local, "the member's sizes contradict each other");
    if (m->size > max)
        return nn_fail(z->err, NN_E_LIMIT,
                       "%s: the member at offset %zu needs %zu bytes, the limit is %zu", z->name,
                       m->local, m->size, max);
    char *p = malloc(m->size + 1);
    if (!p)
        return nn_fail(z->err, NN_E_OUT_OF_MEMORY, "%s: no memory for %zu bytes", z->name, m->size);
    bool ok = true;
    if (m->method == 0)
        memcpy(p, from, m->size);
    else
        ok = inflate_to(from, m->packed, p, m->size);
    if (!ok || crc32_z(0, (const unsigned char *)p, m->size) != m->crc) {
        free(p);
        return bad(z, (size_t)(from - z->p),
                   ok ? "the member's checksum is wrong"
                      : "the member's compressed data is damaged");
    }
    *ret = p;
    return NN_OK;
}

nn_status nn_zip_read(const char *p, size_t n, const char *archive, const char *name, size_t max,
                      char **ret, size_t *ret_n, nn_err *err) {
    zip z = {(const unsigned char *)p, n, archive, err};
    member m = {0};
    nn_status s = find_member(&z, name, &m);
    if (s) return s;
    if (m.local == SIZE_MAX) {
        *ret = NULL;
        return NN_OK;
    }
    char *out = NULL;
    s = unpack(&z, &m, max, &out);
    if (s) return s;
    *ret = out;
    *ret_n = m.size;
    return NN_OK;
}
