/* SPDX-License-Identifier: MIT */
/* metrics.c - each metric owns a hash table of series that only grows: readers probe atomic
 * pointers, a writer that finds none takes the lock, looks again and publishes. Every metric starts
 * with room for its most series, so nothing ever moves. Numbers are doubles held as bits in atomic
 * words; adding is a compare and swap. */
#include "base/metrics.h"

#include "base/clock.h"
#include "base/utf8.h"

#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { COUNTER, GAUGE, HISTOGRAM };
enum { TABLE = 2 * NN_METRIC_SERIES, BUCKETS = 24, VALUE_MAX = 128 };

static const struct {
    int kind;
    const char *name, *labels, *buckets, *help;
} rows[] = {
#define NN_METRIC(id, kind, name, labels, buckets, help)                                           \
    [NN_METRIC_##id] = {kind, name, labels, buckets, help},
#include "base/metrics.def"
#undef NN_METRIC
};

struct nn_series {
    nn_metric metric;
    nn_series *next; /* in order of birth */
    char *labels;    /* printed: method="GET",code="200" */
    char *key;       /* the values, each with its NUL */
    size_t key_size;
    _Atomic uint64_t value;    /* bits of a double; the sum of a histogram */
    _Atomic uint64_t bucket[]; /* histogram: one for each bound and one for the rest */
};

typedef struct family {
    int n_labels, n_bounds;
    double bound[BUCKETS];
    _Atomic(nn_series *) table[TABLE];
    _Atomic(nn_series *) first;
    nn_series *last;
    int count;
} family;

static _Atomic(family *) families[NN_METRIC_COUNT];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t started_us;

__attribute__((constructor)) static void note_start(void) {
    started_us = nn_clock_wall();
}

static uint64_t bits_of(double v) {
    uint64_t b;
    memcpy(&b, &v, sizeof b);
    return b;
}

static double double_of(uint64_t b) {
    double v;
    memcpy(&v, &b, sizeof v);
    return v;
}

static void add(_Atomic uint64_t *to, double v) {
    uint64_t old = atomic_load_explicit(to, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(to, &old, bits_of(double_of(old) + v),
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

/* Finding */

static int words(const char *s) {
    int n = *s != 0;
    for (; *s; s++) n += *s == ' ';
    return n;
}

/* Lock held. */
static family *family_new(nn_metric m) {
    family *f = calloc(1, sizeof *f);
    if (!f) abort();
    f->n_labels = words(rows[m].labels);
    f->n_bounds = words(rows[m].buckets);
    char *end = NULL;
    const char *p = rows[m].buckets;
    for (int i = 0; i < f->n_bounds; i++, p = end) f->bound[i] = strtod(p, &end);
    atomic_store_explicit(&families[m], f, memory_order_release);
    return f;
}

static family *family_of(nn_metric m) {
    family *f = atomic_load_explicit(&families[m], memory_order_acquire);
    if (f) return f;
    pthread_mutex_lock(&lock);
    f = atomic_load_explicit(&families[m], memory_order_acquire);
    if (!f) f = family_new(m);
    pthread_mutex_unlock(&lock);
    return f;
}

/* The values one behind the other, each cut and with its NUL. */
static size_t make_key(const family *f, const char *const *values, char *key) {
    size_t at = 0;
    for (int i = 0; i < f->n_labels; i++) {
        size_t n = strnlen(values[i], VALUE_MAX - 1);
        memcpy(key + at, values[i], n);
        key[at + n] = 0;
        at += n + 1;
    }
    return at;
}

static uint64_t hash(const char *p, size_t n) {
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)p[i]) * UINT64_C(0x100000001b3);
    return h ^ h >> 29;
}

/* The series of the key, or NULL with *slot where it belongs. */
static nn_series *probe(family *f, const char *key, size_t n, size_t *slot) {
    for (size_t i = (size_t)hash(key, n) % TABLE;; i = (i + 1) % TABLE) {
        nn_series *s = atomic_load_explicit(&f->table[i], memory_order_acquire);
        *slot = i;
        if (!s || (s->key_size == n && memcmp(s->key, key, n) == 0)) return s;
    }
}

/* A label value as the text format wants it: backslash, quote and newline escaped, and only UTF-8.
 */
static void put_value(nn_buf *out, const char *s) {
    size_t n = strlen(s), len;
    for (size_t i = 0; i < n; i += len ? len : 1) {
        len = nn_utf8_length(s + i, n - i);
        if (!len)
            nn_buf_puts(out, "\xef\xbf\xbd");
        else if (s[i] == '\n')
            nn_buf_puts(out, "\\n");
        else if (s[i] == '"' || s[i] == '\\')
            nn_buf_append(out, (char[]){'\\', s[i]}, 2);
        else
            nn_buf_append(out, s + i, len);
    }
}

static char *make_labels(nn_metric m, const family *f, const char *key) {
    nn_buf b = {0};
    const char *name = rows[m].labels;
    for (int i = 0; i < f->n_labels; i++, key += strlen(key) + 1) {
        size_t n = strcspn(name, " ");
        nn_buf_printf(&b, "%s%.*s=\"", i ? "," : "", (int)n, name);
        put_value(&b, key);
        nn_buf_putc(&b, '"');
        name += n + (name[n] == ' ');
    }
    char *text = nn_buf_take(&b);
    if (!text) abort();
    return text;
}

/* Lock held: makes the series of the key and shows it to readers. */
static nn_series *series_new(nn_metric m, family *f, const char *key, size_t n, size_t slot) {
    size_t buckets = rows[m].kind == HISTOGRAM ? (size_t)f->n_bounds + 1 : 0;
    nn_series *s = calloc(1, sizeof *s + buckets * sizeof *s->bucket);
    if (!s || !(s->key = malloc(n + 1))) abort();
    memcpy(s->key, key, n);
    s->metric = m;
    s->key_size = n;
    s->labels = make_labels(m, f, key);
    atomic_store_explicit(&f->table[slot], s, memory_order_release);
    if (f->last)
        __atomic_store_n(&f->last->next, s, __ATOMIC_RELEASE);
    else
        atomic_store_explicit(&f->first, s, memory_order_release);
    f->last = s;
    f->count++;
    return s;
}

nn_series *nn_metric_at(nn_metric m, const char *const *values) {
    char key[NN_METRIC_LABELS * VALUE_MAX];
    size_t slot, n;
    family *f = family_of(m);
    n = make_key(f, values, key);
    nn_series *s = probe(f, key, n, &slot);
    if (s) return s;
    pthread_mutex_lock(&lock);
    s = probe(f, key, n, &slot);
    if (!s && f->count >= NN_METRIC_SERIES - 1) {
        const char *const other[NN_METRIC_LABELS] = {"other", "other", "other"};
        n = make_key(f, other, key);
        s = probe(f, key, n, &slot);
    }
    if (!s) s = series_new(m, f, key, n, slot);
    pthread_mutex_unlock(&lock);
    return s;
}

/* Updating */

void nn_series_add(nn_series *s, double v) {
    add(&s->value, v);
}

void nn_series_set(nn_series *s, double v) {
    atomic_store_explicit(&s->value, bits_of(v), memory_order_relaxed);
}

void nn_series_observe(nn_series *s, double v) {
    const family *f = atomic_load_explicit(&families[s->metric], memory_order_relaxed);
    int i = 0;
    while (i < f->n_bounds && !(v <= f->bound[i])) i++;
    atomic_fetch_add_explicit(&s->bucket[i], 1, memory_order_relaxed);
    add(&s->value, v);
}

/* Printing */

static void put_number(nn_buf *out, double v) {
    char text[40];
    if (isinf(v)) {
        nn_buf_puts(out, v > 0 ? "+Inf" : "-Inf");
        return;
    }
    /* whole numbers, the usual case, as such; the rest with all its digits. A locale's comma
     * becomes a point */
    snprintf(text, sizeof text, v == floor(v) && fabs(v) < 1e15 ? "%.0f" : "%.17g", v);
    for (char *p = text; *p; p++)
        if (*p == ',') *p = '.';
    nn_buf_puts(out, text);
}

static void put_line(nn_buf *out, nn_metric m, const char *suffix, const char *labels,
                     const char *le, double v) {
    nn_buf_printf(out, "%s%s", rows[m].name, suffix);
    if (*labels || le) nn_buf_printf(out, "{%s%s", labels, *labels && le ? "," : "");
    if (le) nn_buf_printf(out, "le=\"%s\"", le);
    if (*labels || le) nn_buf_putc(out, '}');
    nn_buf_putc(out, ' ');
    put_number(out, v);
    nn_buf_putc(out, '\n');
}

/* The bounds are printed as the row spells them, ".001" as "0.001". Count is the last bucket, so
 * both always agree. */
static void put_histogram(nn_buf *out, const family *f, nn_series *s) {
    const char *p = rows[s->metric].buckets;
    uint64_t sum = 0;
    for (int i = 0; i <= f->n_bounds; i++) {
        char le[32] = "+Inf";
        size_t n = strcspn(p, " ");
        if (i < f->n_bounds) snprintf(le, sizeof le, "%s%.*s", *p == '.' ? "0" : "", (int)n, p);
        sum += atomic_load_explicit(&s->bucket[i], memory_order_relaxed);
        put_line(out, s->metric, "_bucket", s->labels, le, (double)sum);
        p += n + (p[n] == ' ');
    }
    put_line(out, s->metric, "_sum", s->labels, NULL,
             double_of(atomic_load_explicit(&s->value, memory_order_relaxed)));
    put_line(out, s->metric, "_count", s->labels, NULL, (double)sum);
}

static void put_family(nn_buf *out, nn_metric m) {
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    family *f = atomic_load_explicit(&families[m], memory_order_acquire);
    nn_series *s = f ? atomic_load_explicit(&f->first, memory_order_acquire) : NULL;
    if (!s) return;
    nn_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", rows[m].name, rows[m].help, rows[m].name,
                  kinds[rows[m].kind]);
    for (; s; s = __atomic_load_n(&s->next, __ATOMIC_ACQUIRE)) {
        if (rows[m].kind == HISTOGRAM)
            put_histogram(out, f, s);
        else
            put_line(out, m, "", s->labels, NULL,
                     double_of(atomic_load_explicit(&s->value, memory_order_relaxed)));
    }
}

static int open_descriptors(void) {
    int n = -3; /* ".", ".." and the one that reads */
    DIR *d = opendir("/proc/self/fd");
    if (!d) return 0;
    while (readdir(d)) n++;
    closedir(d);
    return n;
}

static void read_memory(double *virt, double *resident) {
    unsigned long pages[2] = {0};
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%lu %lu", &pages[0], &pages[1]) != 2) pages[0] = pages[1] = 0;
    if (f) fclose(f);
    *virt = (double)pages[0] * (double)sysconf(_SC_PAGESIZE);
    *resident = (double)pages[1] * (double)sysconf(_SC_PAGESIZE);
}

static void set(nn_metric m, double v) {
    nn_series_set(nn_metric_at(m, NULL), v);
}

static void read_process(void) {
    double virt, resident;
    struct rlimit limit = {0};
    struct rusage use;
    read_memory(&virt, &resident);
    getrlimit(RLIMIT_NOFILE, &limit);
    getrusage(RUSAGE_SELF, &use);
    set(NN_METRIC_PROCESS_START, (double)started_us / 1e6);
    set(NN_METRIC_PROCESS_VIRTUAL, virt);
    set(NN_METRIC_PROCESS_RESIDENT, resident);
    set(NN_METRIC_PROCESS_CPU, (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                                   (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
    set(NN_METRIC_PROCESS_FDS, open_descriptors());
    set(NN_METRIC_PROCESS_MAX_FDS,
        limit.rlim_cur == RLIM_INFINITY ? INFINITY : (double)limit.rlim_cur);
    nn_series_set(nn_metric_series(NN_METRIC_BUILD_INFO, NN_VERSION), 1);
}

void nn_metrics_print(nn_buf *out) {
    read_process();
    for (int m = 0; m < NN_METRIC_COUNT; m++) put_family(out, (nn_metric)m);
}
