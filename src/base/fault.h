/* SPDX-License-Identifier: MIT */
/* fault.h - makes the n-th large allocation, write, fsync or rename of the process fail, to test
 * what happens then. Present unless NDEBUG is defined; otherwise nn_fault_hit is a constant. Thread
 * safe. The environment variable NEURAL_FAULT="write:3,alloc:1+" sets it at start; "+" means: and
 * all later calls. */
#ifndef NN_BASE_FAULT_H
#define NN_BASE_FAULT_H
#include <stdbool.h>

#ifndef NDEBUG
#define NN_FAULT 1
#endif

typedef enum nn_fault {
    NN_FAULT_ALLOC,  /* ENOMEM */
    NN_FAULT_WRITE,  /* ENOSPC */
    NN_FAULT_FSYNC,  /* EIO */
    NN_FAULT_RENAME, /* EIO */
    NN_FAULT_COUNT
} nn_fault;

#ifdef NN_FAULT
/* Counts a call. True, with errno set, if this one shall fail without being tried. */
bool nn_fault_hit(nn_fault kind);
/* The n-th call from now (1 = the next) fails, with `onwards` all later ones too; 0: none. Starts
 * counting at 0. */
void nn_fault_set(nn_fault kind, long n, bool onwards);
/* Calls since nn_fault_set: how many n there are to try. */
long nn_fault_calls(nn_fault kind);
#else
static inline bool nn_fault_hit(nn_fault kind) {
    (void)kind;
    return false;
}
#endif
#endif
