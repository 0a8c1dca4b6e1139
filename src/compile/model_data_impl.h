/* SPDX-License-Identifier: MIT */
/* model_data_impl.h - what the two files that read model_data share: model_data_value.c JSON as
 * values of the tree, model_data_read.c layers and sections. Private to compile/. */
#ifndef NN_COMPILE_MODEL_DATA_IMPL_H
#define NN_COMPILE_MODEL_DATA_IMPL_H
#include "base/json_reader.h"
#include "compile/check.h"

typedef struct nn_md_reader {
    nn_arena *arena;
    const nn_source *source;
    nn_diags *diags;
    nn_jr jr;
    nn_jr_token t;    /* the token at hand */
    const char *line; /* where the line of `at` begins, and its number: for spans */
    const char *at;
    int line_number;
    nn_buf path; /* "layers[2].params" */
    bool full;
} nn_md_reader;

void *nn_md_take(nn_md_reader *r, size_t n); /* arena memory; NULL sets full */
#define TAKE(r, type) ((type *)nn_md_take(r, sizeof(type)))

/* The next token and its place; the value that begins with it: objects become DICT, arrays LIST. */
nn_status nn_md_next(nn_md_reader *r, nn_span *ret_span, nn_err *err);
nn_status nn_md_read(nn_md_reader *r, nn_span span, nn_value *v, nn_err *err);

/* The path of the value at hand: ".part", or "[index]" for one that is not negative; enter gives
 * the mark to leave by. */
size_t nn_md_enter(nn_md_reader *r, const char *part, int index);
void nn_md_leave(nn_md_reader *r, size_t mark);
void nn_md_wrong(nn_md_reader *r, const nn_value *v, const char *expected);
/* Warns of members that are not in a NULL-terminated list. */
void nn_md_check_members(nn_md_reader *r, const nn_value *v, const char *const *known);

/* Of a DICT: a member, NULL if it is not there; its value, NULL also for null. */
nn_arg *nn_md_member(const nn_value *v, const char *name);
nn_value *nn_md_value(const nn_value *v, const char *name);
bool nn_md_is_text(const nn_value *v);

/* A value read from JSON into one that the language could have, in place: {"hpo": ...} a search
 * expression, {"type", "params"} a call. */
void nn_md_convert(nn_md_reader *r, nn_value *v);
void nn_md_convert_hpo(nn_md_reader *r, nn_value *v, nn_value *spec);
void nn_md_convert_call(nn_md_reader *r, nn_value *v, nn_value *type);
nn_call *nn_md_call(nn_md_reader *r, const nn_value *v, const nn_value *type);
/* Members as named arguments, "args" as positional ones in front. */
void nn_md_arguments(nn_md_reader *r, nn_call *c, nn_value *params);

/* A layer, branch or choice of layers; NULL, reported, if it is none. In model_data_read.c. */
nn_item *nn_md_item(nn_md_reader *r, nn_value *v);
#endif
