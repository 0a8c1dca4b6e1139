/* SPDX-License-Identifier: MIT */
#include "base/fault.h"

#ifdef NN_FAULT
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int errnum;
} kinds[NN_FAULT_COUNT] = {
    [NN_FAULT_ALLOC] = {"alloc",  ENOMEM},
    [NN_FAULT_WRITE] = {"write",  ENOSPC},
    [NN_FAULT_FSYNC] = {"fsync",  EIO   },
    [NN_FAULT_RENAME] = {"rename", EIO   },
};
static atomic_long calls[NN_FAULT_COUNT], first[NN_FAULT_COUNT], last[NN_FAULT_COUNT];

bool nn_fault_hit(nn_fault kind) {
    long call = atomic_fetch_add(&calls[kind], 1) + 1;
    if (call < atomic_load(&first[kind]) || call > atomic_load(&last[kind])) return false;
    errno = kinds[kind].errnum;
    return true;
}

void nn_fault_set(nn_fault kind, long n, bool onwards) {
    atomic_store(&last[kind], 0); /* no call can hit while the numbers change */
    atomic_store(&calls[kind], 0);
    atomic_store(&first[kind], n);
    atomic_store(&last[kind], n && onwards ? LONG_MAX : n);
}

long nn_fault_calls(nn_fault kind) {
    return atomic_load(&calls[kind]);
}

/* One "kind:n" or "kind:n+". */
static bool set_from(const char *text) {
    for (int k = 0; k < NN_FAULT_COUNT; k++) {
        size_t len = strlen(kinds[k].name);
        if (strncmp(text, kinds[k].name, len) || text[len] != ':') continue;
        char *end;
        long n = strtol(text + len + 1, &end, 10);
        bool onwards = *end == '+';
        if (n < 1 || end[onwards] != 0) return false;
        nn_fault_set((nn_fault)k, n, onwards);
        return true;
    }
    return false;
}

/* A test that asked for a fault and does not get it would pass for nothing: a bad text ends the
 * program. */
__attribute__((constructor)) static void from_environment(void) {
    const char *env = getenv("NEURAL_FAULT");
    char text[256], *rest = NULL;
    if (!env) return;
    snprintf(text, sizeof text, "%s", env);
    for (char *one = strtok_r(text, ",", &rest); one; one = strtok_r(NULL, ",", &rest))
        if (!set_from(one)) {
            fprintf(stderr, "NEURAL_FAULT: '%s' is not alloc|write|fsync|rename:N or :N+\n", one);
            _Exit(2);
        }
}
#else
typedef int nn_fault_is_not_built; /* a translation unit may not be empty */
#endif
