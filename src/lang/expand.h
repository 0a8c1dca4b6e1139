/* SPDX-License-Identifier: MIT */
/* expand.h - what the two halves of macro expansion share. Private to lang/.
 * expand_check.c knows the macros: it reports what is wrong with definitions and calls, once, where
 * they stand in the text, and counts what a call brings. expand.c copies, and reports next to
 * nothing. */
#ifndef NN_LANG_EXPAND_H
#define NN_LANG_EXPAND_H
#include "lang/names.h"
#include "lang/tree.h"

/* What a list of items comes to: its own items, and those that macros bring. The weight counts the
 * arguments and values, too. Counts stop at a ceiling far below overflow. */
typedef struct nn_amount {
    int64_t own, brought, own_weight, brought_weight;
    int64_t calls; /* of macros */
    int depth;     /* of nesting, macros expanded */
} nn_amount;

typedef struct nn_macro nn_macro;
struct nn_macro {
    const nn_define *define;
    const nn_custom *custom; /* a custom layer that has the name: no macro */
    const nn_network *net;   /* in which it is defined; NULL: the file */
    enum { NN_MACRO_NEW, NN_MACRO_OPEN, NN_MACRO_DONE } state;
    bool broken; /* it contains itself or nests too deep, and that was reported */
    nn_amount amount;
};

typedef struct nn_expander {
    nn_arena *arena;
    nn_diags *diags;
    nn_program *program;
    bool (*is_layer)(const char *name);
    nn_names file, local;                   /* local: of the network at hand */
    bool refuse;                            /* no macro is expanded: its calls become errors */
    bool full;                              /* the arena is spent, and that was reported */
    bool too_deep;                          /* reported */
    nn_macro *path[NN_PARSE_MAX_DEPTH + 1]; /* macros being measured, each called by the last */
    int n_path;
} nn_expander;

/* Arena memory; NULL once it is spent, which is reported once. */
void *nn_x_alloc(nn_expander *x, size_t n);
void nn_x_full(nn_expander *x); /* reports it, once */
#define NN_X_NEW(x, type) ((type *)nn_x_alloc((x), sizeof(type)))

/* The macro that this name calls in a text of the network (NULL: in a macro of the file). */
nn_macro *nn_x_find(const nn_expander *x, const nn_network *net, const char *name);
/* Enters, measures and checks the macros of the network; of the file if net is NULL. */
void nn_x_define(nn_expander *x, nn_network *net);
/* Checks the calls of macros and the $names in a network's own text. */
void nn_x_check_network(nn_expander *x, nn_network *net);
/* What the network's items come to. */
nn_amount nn_x_measure(nn_expander *x, const nn_network *net);
/* The arguments of a call by parameter, in order; NULL where none is given. Of what does not fit
 * nothing is said. */
void nn_x_bind(const nn_macro *m, const nn_call *call, const nn_arg *given[NN_MAX_MACRO_PARAMS]);
/* Index of a parameter of that name, -1 if there is none. */
int nn_x_param(const nn_arg *params, const char *name);
#endif
