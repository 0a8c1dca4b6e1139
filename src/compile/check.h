/* SPDX-License-Identifier: MIT */
/* check.h - the checker's state and its parts. Private to compile/.
 *
 * Every part reports through the diagnostics and goes on: a value that is wrong leaves its argument
 * unset, a layer that cannot be built makes the shape unknown from there on, and what depends on it
 * is checked as far as it can be without a shape. Nothing is reported twice. */
#ifndef NN_COMPILE_CHECK_H
#define NN_COMPILE_CHECK_H
#include "compile/compile.h"

enum { NN_MAX_PARAMS = 48 }; /* of one layer or section, common ones included */

/* What is known of one line of values: the node that holds them and where they came from. */
typedef struct nn_flow {
    int node;         /* -1: the shape is not known, said in a warning or an error */
    int mask;         /* node of tokens whose zeros are padding, -1: none */
    int row;          /* of unit->layers */
    const char *name; /* of the input or branch that left it open; NULL: none */
} nn_flow;

/* Names to rows: an open-addressing set of strings, at most half full. */
typedef struct nn_used {
    struct nn_used_slot {
        const char *name;
        nn_span span;
        nn_flow flow; /* what the name stands for, once it is bound */
        bool bound;   /* false: it is the name of something further down, or only reserved */
        int next;     /* of the copies of a repeated layer: the next number; 0: it has none */
    } * slot;
    size_t n, cap;
} nn_used;

/* Where layers are added: the flows that are open, in order. */
typedef struct nn_scope {
    nn_flow *open;
    int n, cap;
    nn_flow stem; /* what branches that fork start from */
    bool forked;  /* they do: there is a stem */
    bool inner;   /* of a block or branch */
} nn_scope;

/* Which copy of what is being built. */
typedef struct nn_copy {
    int64_t index; /* 0 for the first and for what is not repeated */
    bool repeated; /* names need a number */
} nn_copy;

typedef struct nn_check {
    nn_arena *arena;   /* of the unit */
    nn_arena *scratch; /* what is not needed any more when the unit is done */
    const nn_source *source;
    nn_diags *diags;
    nn_diags *mute; /* takes what is said again of a repeated layer; NULL until needed */
    nn_compile_options opt;
    nn_unit *unit;
    nn_program *program;
    nn_network *network;
    nn_graph *graph;
    nn_scope *scope;           /* of the list at hand */
    bool input_by_call;        /* by Input(…) rather than input: */
    bool input_given;          /* an input was declared, rightly or wrongly */
    nn_span input_span;        /* of the first declaration */
    nn_used used;              /* names of layers, inputs and branches */
    const nn_custom **customs; /* the declarations by name; NULL until needed */
    size_t n_customs;
    int *counters;       /* one a layer kind: the last number given out */
    nn_bound **defaults; /* one a layer kind: its arguments when none is given; NULL until needed */
    int n_layers, cap_layers;
    int64_t turns;               /* of groups without layers: they take time too */
    nn_copy copy;                /* of the item at hand */
    int parent;                  /* row of the layer whose block is being built, -1: none */
    nn_buf path;                 /* of the value at hand, for search points: "layers[2].units" */
    int point, candidate;        /* of space.c: the point in whose candidate we are; -1: none */
    bool chosen;                 /* that candidate is the chosen one */
    const nn_setting *inherited; /* by the nested expression that is that candidate */
    const char *alias;           /* the same, readable: "dense_2"; NULL: as the path */
    size_t alias_at;             /* how much of the path that stands for */
    bool keys; /* the arguments at hand are the keys of a section: for the wording */
    bool full; /* the arena is spent, and that was reported */
} nn_check;

#define NN_ERROR(c, code, span, ...)                                                               \
    nn_diag_add((c)->diags, NN_SEV_ERROR, (code), (span), __VA_ARGS__)
#define NN_WARN(c, code, span, ...)                                                                \
    nn_diag_add((c)->diags, NN_SEV_WARNING, (code), (span), __VA_ARGS__)

void nn_check_full(nn_check *c); /* memory is spent: reports it once */
/* Arena memory; NULL once it is spent, which is reported. */
void *nn_check_alloc(nn_check *c, size_t n);
/* Adds the hint "did you mean 'x'?" and the fix, if one of `names` is near; else a list of them. */
void nn_check_suggest(nn_check *c, nn_diag *d, nn_span span, const char *word,
                      const char *const *names);

/* ---- names.c: where in model_data the value at hand stands ---- */

/* Appends ".<part>" (at the beginning, or if it begins with '[', without the dot) and gives the
 * mark to go back to. */
size_t nn_check_push(nn_check *c, const char *part);
size_t nn_check_push_index(nn_check *c, const char *list, int i); /* "layers[3]" */
void nn_check_pop(nn_check *c, size_t mark);

/* ---- space.c: search points ---- */

/* For a value of kind HPO: checks the expression (bounds, one type, each candidate against p where
 * p is not NULL), enters a search point under the path at hand, once, and gives the value chosen by
 * the settings, else the first one (a range's start). Nested expressions are resolved too. NULL,
 * reported, if it is no good. Other values are given back as they are. */
nn_value *nn_check_resolve(nn_check *c, const char *owner, const nn_param *p, nn_value *v);
/* Goes to the chosen candidate of a resolved expression, for what stands in it; gives where we were
 * before, to go back to. The path is the caller's to go back with. */
typedef struct nn_candidate {
    int point, candidate;
    bool chosen;
} nn_candidate;
nn_candidate nn_check_to_chosen(nn_check *c, const nn_value *v);
void nn_check_from_chosen(nn_check *c, nn_candidate outer);
/* Items that are not built, being in a candidate that is not chosen: they are checked, and their
 * search points entered. The first: a candidate, the second: the items of a block. */
void nn_check_look_one(nn_check *c, const nn_value *v);
void nn_check_look(nn_check *c, const nn_item *items);
/* Reports settings that no search point took, and those that are one point's. */
void nn_check_settings(nn_check *c);

/* ---- value.c: one value to one bound argument ---- */

/* Converts v by p into *to and sets given and span; reports and gives false if it does not fit.
 * `owner` is whose parameter it is: "Conv2D". */
bool nn_check_value(nn_check *c, const char *owner, const nn_param *p, nn_value *v, nn_bound *to);
/* The default of p from its text; unset if it has none. */
nn_bound nn_check_fallback(const nn_param *p);
/* A STRING or NAME; NULL for anything else. */
const char *nn_check_word(const nn_value *v);
/* How a value reads in a message: 12, "text", a tuple. */
const char *nn_check_show(const nn_value *v, char *buf, size_t cap);

/* ---- bind.c: a list of arguments to a table of parameters ---- */

/* Binds args to params (ends with a NULL name) followed by `more` (NULL: none); `open`: arguments
 * that the tables do not know are welcome. `out` holds the defaults already. Reports unknown,
 * duplicate, missing and surplus arguments and wrong values. A misspelt name is reported and then
 * bound to what it probably means. True if `out` can be worked with: every required argument is
 * there and every value fits. */
bool nn_check_bind(nn_check *c, const char *owner, nn_span span, const nn_param *params,
                   const nn_param *more, bool open, const nn_arg *args, nn_bound *out);
/* As above for a table without `more`; fills the defaults first. */
bool nn_check_bind_all(nn_check *c, const char *owner, nn_span span, const nn_param *params,
                       const nn_arg *args, nn_bound *out);
/* The first search expression in a value, its elements and arguments; NULL if there is none. */
const nn_value *nn_check_search_in(const nn_value *v);
/* Whether there may be one: also in the block of a call. */
bool nn_check_may_search(const nn_value *v);
/* The arguments of a layer of this kind when none is given; NULL when memory is spent. */
const nn_bound *nn_check_defaults(nn_check *c, const nn_layer *l, int *ret_n);

/* ---- sections.c, items.c, findings.c ---- */

void nn_check_sections(nn_check *c); /* into graph->train */
/* The parameters of the loss, optimizer or schedule of that name; NULL if there is none. */
const nn_param *nn_train_params(const char *name);
/* Whether a device is one of language.md 8.7; reports it if not. */
bool nn_check_device(nn_check *c, const nn_bound *b);
void nn_check_items(nn_check *c); /* the input and the layers, into the graph */
/* The findings that every check tells (ALWAYS in findings.def), as diagnostics. */
void nn_check_findings(nn_check *c);
/* ---- derive.c ---- */

/* Adds to d how the input shape of a row came about, from the network's input on. */
void nn_check_derive(nn_check *c, nn_diag *d, int row);

/* ---- names.c ---- */

#define NN_NO_FLOW ((nn_flow){-1, -1, -1, NULL})
/* Enters a name; NULL, or the entry that has it already. */
struct nn_used_slot *nn_used_add(nn_check *c, const char *name, nn_span span);
struct nn_used_slot *nn_used_find(const nn_used *u, const char *name); /* NULL: not there */
/* Says what a name stands for from here on. */
void nn_used_bind(nn_check *c, const char *name, nn_flow flow);
bool nn_check_is_name(const char *s); /* a letter or '_', then letters, digits, '_'; at most 64 */
/* Enters the names of inputs, layers and branches, so that none is given out to another layer;
 * reports those that are given twice. */
void nn_check_names(nn_check *c);
/* "<base>_<k>" for the first k from *k on that is free; *k is its number then. */
void nn_check_number(nn_check *c, const char *base, int *k, char *buf, size_t cap);
/* The declaration of a custom layer; NULL if there is none. */
const nn_custom *nn_check_custom(nn_check *c, const char *name);
/* Which row of the table a layer is; the custom layer's comes behind the last. */
unsigned nn_check_kind(const nn_layer *l);

/* ---- flows.c: which values a layer or a branch takes ---- */

void nn_flow_open(nn_check *c, nn_flow f);
void nn_flow_open_lost(nn_check *c); /* in the place of all that are open */
void nn_flow_lose(nn_check *c);      /* what is open is not known any more */
/* What a layer takes, out of what is open, into in[NN_MAX_INPUTS]; -1, reported, if that does not
 * fit: then it is taken all the same. */
int nn_flow_take(nn_check *c, const nn_layer *l, const nn_call *call, const nn_bound *args,
                 nn_flow *in);
/* Where a branch starts: the open flow of its name, else the stem. False if there is none. */
bool nn_flow_branch(nn_check *c, const nn_item *it, nn_flow *ret);
const char *nn_flow_name(const nn_check *c, const nn_flow *f);

/* ---- layer.c: one layer ---- */

/* A call whose arguments are bound. */
typedef struct nn_bound_call {
    const nn_layer *layer;
    const nn_call *call;
    const nn_bound *args;
    const char *custom_name; /* of a custom layer */
} nn_bound_call;

/* The layer that a call names: of the table, or a custom one; NULL, reported, if there is none. */
const nn_layer *nn_check_layer(nn_check *c, const nn_call *call);
/* Binds a call's arguments, what stands behind the parentheses too. True if a layer can be built.
 */
bool nn_check_call(nn_check *c, const nn_layer *l, const nn_call *call, nn_copy k, nn_bound *args);
/* Binds a call that is a value (of a wrapper): into the arena; NULL, reported, if it is no good. */
const nn_inner *nn_check_inner(nn_check *c, const nn_call *call);
/* Builds a layer on `inputs` and records its row; gives what it leaves open. */
nn_flow nn_check_build(nn_check *c, const nn_bound_call *b, const nn_flow *inputs, int n, nn_copy k,
                       int index);
/* Builds a block on `from` in a scope of its own; gives the flows it leaves open, at most cap. */
int nn_check_block(nn_check *c, const nn_item *block, nn_flow from, nn_flow *open, int cap);
#endif
