/* SPDX-License-Identifier: MIT */
/* doctor.c - what is installed, what is missing, and the command that installs it; also `version`.
 */
#include "cli/cli.h"
#include "data/dataset.h"
#include "engine/engine.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* ---- doctor: a row is a thing, a probe, and the way to get it ---- */

typedef enum verdict { FINE, MISSING, BROKEN } verdict;

typedef struct check {
    const char *name, *needed_for;
    verdict (*probe)(const char *arg, char *detail, size_t cap);
    const char *arg, *install;
    bool required;
} check;

static verdict probe_engine(const char *name, char *detail, size_t cap) {
    const nn_engine *e = nn_engine_find(name);
    const char *reason = "not built in";
    bool fine = e && e->available(&reason);
    snprintf(detail, cap, "%s", fine ? e->summary : reason);
    return fine ? FINE : BROKEN;
}

static verdict probe_dataset(const char *name, char *detail, size_t cap) {
    nn_dataset_info rows[64];
    int n = nn_dataset_list(rows, 64);
    for (int i = 0; i < n && i < 64; i++)
        if (strcmp(rows[i].name, name) == 0) {
            snprintf(detail, cap, "%s", rows[i].summary);
            return rows[i].available ? FINE : MISSING;
        }
    return MISSING;
}

/* Runs a fixed command and keeps the first line it prints. */
static verdict probe_command(const char *command, char *detail, size_t cap) {
    FILE *f = popen(command, "r");
    if (!f) {
        snprintf(detail, cap, "cannot start a shell: %s", strerror(errno));
        return BROKEN;
    }
    if (!fgets(detail, (int)cap, f)) detail[0] = 0;
    detail[strcspn(detail, "\n")] = 0;
    return pclose(f) == 0 ? FINE : MISSING;
}

static verdict probe_cpu(const char *arg, char *detail, size_t cap) {
    (void)arg;
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    const char *isa = "baseline";
#if defined(__x86_64__)
    __builtin_cpu_init();
    isa = __builtin_cpu_supports("avx512f") ? "AVX-512"
          : __builtin_cpu_supports("avx2")  ? "AVX2"
                                            : "SSE2";
#endif
    snprintf(detail, cap, "%d core%s, %s", n, n == 1 ? "" : "s", isa);
    return FINE;
}

static verdict probe_space(const char *path, char *detail, size_t cap) {
    struct statvfs v;
    if (statvfs(path, &v) != 0) {
        snprintf(detail, cap, "%s", strerror(errno));
        return BROKEN;
    }
    double gib = (double)v.f_bavail * (double)v.f_frsize / (1024.0 * 1024 * 1024);
    bool writable = access(path, W_OK) == 0;
    snprintf(detail, cap, "%.1f GiB free, %s", gib, writable ? "writable" : "not writable");
    return writable && gib > 0.1 ? FINE : BROKEN;
}

/* clang-format off */
static const check checks[] = {
    {"processor", "speed", probe_cpu, NULL, NULL, true},
    {"engine native", "training and serving", probe_engine, "native", "apt-get install libdnnl2", true},
    {"engine reference", "checking the others", probe_engine, "reference", NULL, true},
    {"data folder", "models and the store (here)", probe_space, ".", "choose another with --storage", true},
    {"data set fashion-mnist", "the example and the demonstration", probe_dataset, "fashion-mnist",
     "apt-get install dataset-fashion-mnist", false},
    {"PyTorch", "running generated PyTorch code", probe_command,
     "/usr/bin/python3 -c 'import torch; print(torch.__version__)' 2>/dev/null", "apt-get install python3-torch", false},
    {"curl", "the demonstration", probe_command, "command -v curl", "apt-get install curl", false},
};
/* clang-format on */
enum { CHECKS = sizeof checks / sizeof checks[0] };

static nn_json *check_result(const check *c, verdict v, const char *detail) {
    static const char *const words[] = {"ok", "missing", "broken"};
    nn_json *o = nn_json_new_object();
    nn_json_set(o, "name", nn_json_new_str(c->name));
    nn_json_set(o, "status", nn_json_new_str(words[v]));
    nn_json_set(o, "detail", nn_json_new_str(detail));
    nn_json_set(o, "needed_for", nn_json_new_str(c->needed_for));
    nn_json_set(o, "install", v == FINE ? nn_json_new_null() : nn_json_new_str(c->install));
    return o;
}

static nn_status run_doctor(const nn_args *a, nn_err *err) {
    static const char *const marks[] = {"ok     ", "missing", "broken "};
    NN_BUF out = {0};
    NN_JSON *list = nn_json_new_array();
    int bad = 0;
    for (int i = 0; i < CHECKS; i++) {
        const check *c = &checks[i];
        char detail[256] = "";
        verdict v = c->probe(c->arg, detail, sizeof detail);
        bad += v != FINE && c->required;
        nn_json_push(list, check_result(c, v, detail));
        nn_buf_printf(&out, "%s  %-22s  %s\n", marks[v], c->name, detail[0] ? detail : "not found");
        if (v != FINE)
            nn_buf_printf(&out, "         needed for %s%s%s\n", c->needed_for,
                          c->install ? "; get it with: " : "", c->install ? c->install : "");
    }
    if (nn_opt_given(a, "json")) {
        nn_buf_clear(&out);
        nn_json_dump(list, 2, &out);
        nn_buf_putc(&out, '\n');
    }
    nn_status s = nn_print(nn_buf_str(&out), out.n, err);
    if (s || !bad) return s;
    return nn_fail(err, NN_E_UNSUPPORTED, "%d required part%s not usable", bad,
                   bad == 1 ? " is" : "s are");
}

static const nn_option json_option[] = {
    {"json", 0, NULL, "print JSON", NULL},
    {0 }
};
const nn_command nn_command_doctor = {.options = json_option, .run = run_doctor};

/* ---- version ---- */

#ifdef __clang__
#define COMPILER __VERSION__ /* begins with the compiler's name */
#else
#define COMPILER "gcc " __VERSION__
#endif

static nn_status run_version(const nn_args *a, nn_err *err) {
    NN_BUF out = {0};
    if (nn_opt_given(a, "json"))
        nn_buf_puts(&out, "{\"name\": \"neural\", \"version\": \"" NN_VERSION
                          "\", \"compiler\": \"" COMPILER "\"}\n");
    else
        nn_buf_puts(&out, "neural " NN_VERSION " (" COMPILER ")\n");
    return nn_print(nn_buf_str(&out), out.n, err);
}

const nn_command nn_command_version = {.options = json_option, .run = run_version};
