/* SPDX-License-Identifier: MIT */
/* download.c - see download.h; libcurl does the transfer. The partial file is locked while it
 * grows.
 */
#include "cli/download.h"

#include "base/file.h"
#include "base/hash.h"
#include "cli/cli.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ATTEMPTS = 3, REDIRECTS = 5, CONNECT_S = 30, SILENT_S = 60 };
#define UNKNOWN_MOST (INT64_C(64) << 30)

typedef struct transfer {
    const nn_download *d;
    CURL *curl;
    char part[PATH_MAX];
    int fd;
    int64_t have; /* bytes of the file */
    bool begun;   /* an answer has arrived whose bytes count */
    int failed;   /* errno of a write */
    bool too_long;
    char text[CURL_ERROR_SIZE];
} transfer;

static int64_t most(const transfer *t) {
    return t->d->bytes >= 0 ? t->d->bytes : UNKNOWN_MOST;
}

/* A server that does not know ranges sends the file from its beginning. */
static bool begin(transfer *t) {
    long code = 0;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &code);
    t->begun = true;
    if (code == 206 || t->have == 0) return true;
    t->have = 0;
    return ftruncate(t->fd, 0) == 0;
}

static size_t on_bytes(char *p, size_t size, size_t n, void *ctx) {
    transfer *t = ctx;
    (void)size;
    if (!t->begun && !begin(t)) t->failed = errno;
    if ((int64_t)n > most(t) - t->have) t->too_long = true;
    if (t->failed || t->too_long) return 0;
    if (lseek(t->fd, t->have, SEEK_SET) < 0)
        t->failed = errno;
    else
        t->failed = nn_write_all(t->fd, p, n);
    if (t->failed) return 0;
    t->have += (int64_t)n;
    return n;
}

static int on_progress(void *ctx, curl_off_t total, curl_off_t now, curl_off_t up_total,
                       curl_off_t up) {
    transfer *t = ctx;
    char have[32], all[32];
    (void)total, (void)now, (void)up_total, (void)up;
    if (!t->d->quiet)
        fprintf(stderr, "\r%s of %s ", nn_print_bytes(t->have, have),
                nn_print_bytes(t->d->bytes, all));
    return 0;
}

static long silent_s(void) {
    const char *s = getenv("NEURAL_DOWNLOAD_TIMEOUT");
    long v = s ? strtol(s, NULL, 10) : 0;
    return v > 0 && v < 86400 ? v : SILENT_S;
}

static void prepare(transfer *t) {
    CURL *c = t->curl;
    curl_easy_reset(c);
    curl_easy_setopt(c, CURLOPT_URL, t->d->address);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTS);
    curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, silent_s());
    curl_easy_setopt(c, CURLOPT_USERAGENT, "neural/" NN_VERSION);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, t);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, isatty(STDERR_FILENO) ? 0L : 1L);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->text);
    curl_easy_setopt(c, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)t->have);
}

/* How a failure of libcurl is called here. */
static const struct {
    CURLcode code;
    nn_status status;
    bool again; /* it may go better at once */
} failures[] = {
    {CURLE_COULDNT_RESOLVE_HOST,  NN_E_COMPONENT_UNAVAILABLE, false},
    {CURLE_COULDNT_RESOLVE_PROXY, NN_E_COMPONENT_UNAVAILABLE, false},
    {CURLE_COULDNT_CONNECT,       NN_E_COMPONENT_UNAVAILABLE, false},
    {CURLE_OPERATION_TIMEDOUT,    NN_E_UPSTREAM_TIMEOUT,      false},
    {CURLE_PARTIAL_FILE,          NN_E_UPSTREAM_ERROR,        true },
    {CURLE_RECV_ERROR,            NN_E_UPSTREAM_ERROR,        true },
    {CURLE_GOT_NOTHING,           NN_E_UPSTREAM_ERROR,        true },
};

static nn_status failed(transfer *t, CURLcode code, bool *ret_again, nn_err *err) {
    nn_status status = NN_E_UPSTREAM_ERROR;
    *ret_again = false;
    if (t->failed) return nn_file_fail(err, t->failed, "write", t->part);
    if (t->too_long)
        return nn_fail(err, NN_E_DATA_ERROR,
                       "%s: more than the %" PRId64 " bytes that the file should have",
                       t->d->address, most(t));
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++)
        if (failures[i].code == code) {
            status = failures[i].status;
            *ret_again = failures[i].again;
        }
    return nn_fail(err, status, "%s: %s", t->d->address,
                   *t->text ? t->text : curl_easy_strerror(code));
}

/* One request. A part that the server has no more bytes for is either whole, or of another file. */
static nn_status request(transfer *t, bool *ret_again, nn_err *err) {
    *ret_again = false;
    t->begun = false;
    t->text[0] = 0;
    if (t->d->bytes >= 0 && t->have >= t->d->bytes) return NN_OK;
    prepare(t);
    int64_t before = t->have;
    CURLcode code = curl_easy_perform(t->curl);
    long http = 0;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &http);
    if (code == CURLE_OK) return NN_OK;
    if (before > 0 && (http == 416 || code == CURLE_RANGE_ERROR)) {
        t->have = 0;
        *ret_again = ftruncate(t->fd, 0) == 0;
        return nn_fail(err, NN_E_UPSTREAM_ERROR, "%s: cannot go on at byte %" PRId64, t->d->address,
                       before);
    }
    return failed(t, code, ret_again, err);
}

static nn_status transfer_all(transfer *t, nn_err *err) {
    nn_status s = NN_OK;
    bool again = true;
    for (int i = 0; again && i < ATTEMPTS; i++) s = request(t, &again, err);
    if (!t->d->quiet && isatty(STDERR_FILENO)) fputs("\r\033[K", stderr);
    return s;
}

static nn_status open_part(transfer *t, nn_err *err) {
    int n = snprintf(t->part, sizeof t->part, "%s.part", t->d->path);
    struct stat st;
    if (n < 0 || (size_t)n >= sizeof t->part)
        return nn_fail(err, NN_E_STORAGE_ERROR, "%s: the path is too long", t->d->path);
    t->fd = open(t->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (t->fd < 0) return nn_file_fail(err, errno, "open", t->part);
    if (flock(t->fd, LOCK_EX | LOCK_NB) < 0)
        return nn_fail(err, NN_E_CONFLICT, "%s: another process is downloading it", t->part);
    if (fstat(t->fd, &st) < 0) return nn_file_fail(err, errno, "read", t->part);
    t->have = st.st_size;
    if (t->d->bytes >= 0 && t->have > t->d->bytes) {
        t->have = 0;
        if (ftruncate(t->fd, 0) < 0) return nn_file_fail(err, errno, "shorten", t->part);
    }
    return t->d->bytes < 0 ? NN_OK : nn_disk_check(t->part, (uint64_t)(t->d->bytes - t->have), err);
}

static nn_status verify(const transfer *t, nn_err *err) {
    char hex[NN_SHA256_HEX];
    if (t->d->bytes >= 0 && t->have != t->d->bytes)
        return nn_fail(err, NN_E_DATA_ERROR, "%s: %" PRId64 " bytes, expected %" PRId64,
                       t->d->address, t->have, t->d->bytes);
    nn_status s = nn_sha256_file(t->part, hex, err);
    if (s || strcasecmp(hex, t->d->sha256) == 0) return s;
    return nn_fail(err, NN_E_DATA_ERROR, "%s: SHA-256 is %s, expected %s", t->d->address, hex,
                   t->d->sha256);
}

/* All of it. What went on where an earlier attempt had stopped, and turns out wrong, is tried once
 * more from the beginning: the earlier part may have been of another file. */
static nn_status get_whole(transfer *t, nn_err *err) {
    bool part = t->have > 0;
    nn_status s = transfer_all(t, err);
    if (!s) s = verify(t, err);
    if (s != NN_E_DATA_ERROR || !part) return s;
    t->have = 0;
    t->too_long = false;
    if (ftruncate(t->fd, 0) < 0) return nn_file_fail(err, errno, "shorten", t->part);
    s = transfer_all(t, err);
    return s ? s : verify(t, err);
}

static nn_status keep(const transfer *t, nn_err *err) {
    if (fsync(t->fd) < 0) return nn_file_fail(err, errno, "write", t->part);
    if (rename(t->part, t->d->path) < 0) return nn_file_fail(err, errno, "rename", t->part);
    return nn_sync_parent(t->d->path, err);
}

nn_status nn_download_get(const nn_download *d, nn_err *err) {
    transfer t = {.d = d, .fd = -1};
    nn_status s = open_part(&t, err);
    if (!s && !(t.curl = curl_easy_init()))
        s = nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for a download");
    if (!s) s = get_whole(&t, err);
    if (s == NN_E_DATA_ERROR) unlink(t.part); /* nothing of it can be used */
    if (!s) s = keep(&t, err);
    if (t.curl) curl_easy_cleanup(t.curl);
    if (t.fd >= 0) close(t.fd);
    return s;
}
