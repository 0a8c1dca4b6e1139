/* SPDX-License-Identifier: MIT */
/* tree.h - the syntax tree of a Neural program (spec: language.md section 18). It knows no layer by
 * name. Everything lives in the arena given to nn_parse and is read-only afterwards; strings are
 * NUL-terminated UTF-8. Lists are singly linked through `next`, in source order. */
#ifndef NN_LANG_TREE_H
#define NN_LANG_TREE_H
#include "lang/diag.h"

#include <stdint.h>

typedef struct nn_value nn_value;
typedef struct nn_arg nn_arg;
typedef struct nn_call nn_call;
typedef struct nn_item nn_item;
typedef struct nn_section nn_section;
typedef struct nn_network nn_network;
typedef struct nn_define nn_define;
typedef struct nn_program nn_program;

typedef enum nn_value_kind {
    NN_V_INT,
    NN_V_FLOAT,
    NN_V_STRING,
    NN_V_NAME, /* a bare word; a string for whoever wants one */
    NN_V_BOOL,
    NN_V_NONE,
    NN_V_TUPLE,
    NN_V_LIST,
    NN_V_DICT, /* items are args, each with a name */
    NN_V_HPO,
    NN_V_CALL, /* a wrapped layer, an initialiser, a schedule */
    NN_V_ITEM, /* a candidate of choice() that is a group or a branch */
    NN_V_ERROR /* something that did not parse and was reported */
} nn_value_kind;

struct nn_value {
    nn_value_kind kind;
    nn_span span;
    int64_t i;        /* INT; BOOL 0 or 1 */
    double f;         /* FLOAT, and INT as well */
    const char *text; /* STRING, NAME: the word; INT, FLOAT: the number as spelled */
    nn_value *items;  /* TUPLE, LIST */
    nn_arg *args;     /* DICT */
    nn_call *call;    /* CALL */
    struct nn_hpo *hpo;
    int count;        /* of items or args */
    bool is_param;    /* NAME written $name: a macro's parameter and nothing else */
    nn_value *repeat; /* CALL as a candidate of choice(): after *; else NULL */
    nn_item *item;    /* ITEM: the group or branch, with its repetition; else NULL */
    nn_value *next;
};

typedef enum nn_hpo_kind { NN_HPO_CHOICE, NN_HPO_RANGE, NN_HPO_LOG_RANGE } nn_hpo_kind;
typedef struct nn_hpo {
    nn_hpo_kind kind;
    nn_value *values;            /* CHOICE; layer choices are values of kind CALL */
    nn_value *low, *high, *step; /* ranges; step may be NULL */
    int point;                   /* the checker's mark: its search point + 1; 0 before */
} nn_hpo;

struct nn_arg {
    const char *name; /* NULL: positional */
    nn_span name_span, span;
    nn_value *value;
    nn_arg *next;
};

struct nn_call {
    const char *name; /* as written */
    nn_span name_span, span;
    nn_arg *args;
    int n_args;
    bool parens;      /* "()" was there */
    nn_value *device; /* after @; NULL if absent */
    nn_item *block;   /* { … }; NULL if absent or empty */
    bool has_block;
};

typedef enum nn_item_kind { NN_ITEM_CALL, NN_ITEM_BRANCH, NN_ITEM_GROUP, NN_ITEM_HPO } nn_item_kind;
struct nn_item {
    nn_item_kind kind;
    nn_span span;
    nn_call *call;    /* CALL; of an expanded GROUP the macro's call */
    const char *name; /* BRANCH */
    nn_item *items;   /* BRANCH, GROUP */
    nn_value *hpo;    /* HPO */
    nn_value *repeat; /* after *: INT or HPO; NULL if absent */
    const nn_origin
        *origin;   /* of what a macro brought: its call; NULL for the program's own text */
    bool expanded; /* GROUP that stands for a macro's call */
    nn_item *next;
};

/* A section of a network. `word` is canonical: input loss optimizer metrics train execution compile
 * framework, or a scalar setting (epochs batch_size validation_split search_method). The parser
 * keeps a section that is given twice, in order; refusing it is the checker's business. */
struct nn_section {
    const char *word;
    nn_span word_span, span;
    nn_value *value; /* scalar, tuple, list, dict or call (loss: mse, optimizer: Adam(…), also when
                        the call was quoted); for `input`, the first shape, others through its
                        `next`; else NULL */
    nn_arg *config; /* train, execution, compile: the entries (name: a, b is a LIST; a name may come
                       twice); input: named shapes */
    nn_section *next;
};

struct nn_define {
    const char *name;
    nn_span name_span, span;
    nn_arg *params; /* name, default or NULL; at most NN_MAX_MACRO_PARAMS */
    nn_item *items;
    nn_define *next;
};

/* custom Name(params) -> (shape): a layer that the user's own code implements. */
typedef struct nn_custom {
    const char *name;
    nn_span name_span, span;
    nn_arg *params;  /* as of a define */
    nn_value *shape; /* TUPLE; NULL if not given */
    struct nn_custom *next;
} nn_custom;

struct nn_network {
    const char *name; /* "" if none was given */
    nn_span name_span, span;
    nn_section *sections;
    nn_item *items; /* in order, Input(…) calls included */
    nn_define *defines;
    bool damaged; /* something in it was not understood (and reported): what is missing may have
                     been there */
    nn_network *next;
};

struct nn_program {
    nn_network *networks;
    nn_define *defines;
    struct nn_research *research; /* research files; NULL if there is none */
    nn_custom *customs;
    bool expanded; /* nn_expand was here */
};
typedef struct nn_research {
    const char *name;
    nn_span span;
    nn_arg *entries; /* value NULL never; nested configs are DICT values */
    struct nn_research *next;
} nn_research;

typedef enum nn_start {
    NN_START_PROGRAM,
    NN_START_LAYER,
    NN_START_DEFINE,
    NN_START_RESEARCH
} nn_start;

/* Parses a whole source, adding every error to `diags` and recovering at the next statement. Always
 * gives a tree (what could be read; with errors, a list may hold values of kind ERROR). Depth is
 * bounded (NN_PARSE_MAX_DEPTH), the source by NN_SOURCE_MAX, memory by the arena's cap (about 60
 * bytes a source byte at worst): past any, one diagnostic and the tree so far. Time is linear in
 * the source. For NN_START_LAYER the item is the only item of an unnamed network. */
enum { NN_PARSE_MAX_DEPTH = 200, NN_MAX_MACRO_PARAMS = 64, NN_SOURCE_MAX = 16 << 20 };
nn_program *nn_parse(nn_arena *arena, const nn_source *src, nn_start start, nn_diags *diags);
/* If v is a STRING that reads as a call, "ExponentialDecay(0.1, 100)", turns it into that CALL,
 * whose places lie inside of the quotes. Loss and optimizer have had this done; a checker does it
 * where else a call may be quoted. Anything but such a string is left as it is. */
void nn_parse_quoted(nn_arena *arena, const nn_source *src, nn_value *v, nn_diags *diags);
/* One value on its own, as after `name=`: "128", "(3, 3)", "\"relu\"", "ExponentialDecay(0.1,
 * 100)". Kind ERROR, reported, if it does not parse or something follows it. */
nn_value *nn_parse_value(nn_arena *arena, const nn_source *src, nn_diags *diags);

/* Puts the bodies of macros where they are called: a call of a macro becomes a GROUP (`expanded`,
 * with the call's repetition) that holds a copy of the body, parameters replaced ($p, and p where
 * it stands as a value), followed by the call's own block. Macros of the network come before those
 * of the file. Reports recursion, missing, unknown and surplus arguments, duplicate macros, and
 * networks that expand to more than max_items items (saturating count; nothing is copied then).
 * `is_layer` says which names a macro may not take. Every network of the program is expanded, in
 * place. Idempotent. */
void nn_expand(nn_arena *arena, nn_program *program, bool (*is_layer)(const char *name),
               int64_t max_items, nn_diags *diags);

/* The source in canonical form (lang/README.md says which): statements on lines of their own, four
 * spaces a level, calls wrapped at 100 columns; comments stay with what they stand at; the meaning
 * is the same (nn_tree_print gives the same text). Formatting its result changes nothing.
 * NN_E_DSL_ERROR, reported in diags, for a source with syntax errors. */
nn_status nn_format(const nn_source *src, nn_diags *diags, nn_buf *out, nn_err *err);

/* The tree as S-expressions, one statement a line, without places: for tests and for people. */
void nn_tree_print(const nn_program *program, nn_buf *out);
#endif
