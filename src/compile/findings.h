/* SPDX-License-Identifier: MIT */
/* findings.h - what is legal and probably not meant, or could be cheaper. The rules are the rows of
 * findings.def. Those marked ALWAYS become warnings and notes of every check; the others are told
 * to who asks (`neural check --findings`, the API's issues and optimizations). */
#ifndef NN_COMPILE_FINDINGS_H
#define NN_COMPILE_FINDINGS_H
#include "compile/compile.h"

typedef enum nn_finding_kind {
    NN_FINDING_WARNING,
    NN_FINDING_INFO,
    NN_FINDING_BOTTLENECK,
    NN_FINDING_OPTIMIZATION
} nn_finding_kind;

typedef struct nn_finding {
    const char *code; /* a row of findings.def: "large-growth" */
    nn_finding_kind kind;
    nn_severity severity;
    int layer; /* row of the unit, -1: the network */
    nn_span span;
    const char *message, *reason, *suggestion; /* suggestion may be NULL */
    const char *improvement; /* OPTIMIZATION: what it would save, "-98% parameters"; else NULL */
    const nn_fix *fix;       /* NULL: none */
    bool always;
    struct nn_finding *next;
} nn_finding;

/* All findings in order of place, in the arena. */
nn_finding *nn_findings(nn_arena *arena, const nn_unit *u);
/* {code, type, severity, message, reason, suggestion, layer, layer_index, line, column}; owned by
 * the caller. */
nn_json *nn_finding_json(const nn_unit *u, const nn_finding *f);
/* Row i of the table, for the reference page; NULL past the last. */
const char *nn_finding_at(unsigned i, nn_finding_kind *ret_kind, bool *ret_always,
                          const char **ret_meaning, const char **ret_example);
#endif
