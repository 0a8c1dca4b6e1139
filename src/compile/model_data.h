/* SPDX-License-Identifier: MIT */
/* model_data.h - a program as JSON and back (language.md 9, rest-api.md 13.1). */
#ifndef NN_COMPILE_MODEL_DATA_H
#define NN_COMPILE_MODEL_DATA_H
#include "compile/compile.h"

typedef enum nn_model_data_form {
    NN_MODEL_DATA_CANONICAL, /* {"type": "model", inputs, layers with id and span, ...} */
    NN_MODEL_DATA_REFERENCE  /* shape generation 1: keys only for what was given */
} nn_model_data_form;

/* The network of a unit: positional arguments under their names, values as written, macros and
 * repetitions expanded. Owned by the caller. */
nn_json *nn_model_data(const nn_unit *u, nn_model_data_form form);
/* Of a research file {"type": "Research", "name", "params": {"metrics": {}, "references": [], and
 * what else it says}}; of a program with several (or none), a list. Owned by the caller. */
nn_json *nn_research_data(const nn_program *tree);

/* Parts of it in the reference's form: a value as written (search expressions as {"hpo": ...}), a
 * layer's call, an item. Owned by the caller. */
nn_json *nn_value_json(const nn_value *v);
nn_json *nn_call_json(const nn_call *c);
nn_json *nn_item_json(const nn_item *it);
/* Arguments under their names by a table of parameters (then `more`; NULL: none); those without a
 * place in it go to "args". */
nn_json *nn_args_json(const nn_param *table, const nn_param *more, const nn_arg *list);

/* Either form (and what rest-api.md 13.1 and the corpus show of older ones: sub_layers,
 * training_config, execution_config, loss as {"value"}) as a tree whose places lie in `src`, the
 * JSON text. Errors carry line and column there and the JSON path in their message:
 * "layers[2].params.units: ...". Unknown members warn. NN_E_DSL_ERROR when it cannot be read. */
nn_status nn_model_data_parse(nn_arena *arena, const nn_source *src, nn_diags *diags,
                              nn_program **ret, nn_err *err);

/* ---- either form: what every command that takes a file takes ---- */

/* Named *.json, or beginning with '{', which no program does. */
bool nn_source_is_json(const nn_source *src);
/* The tree of a program, or of model_data. A program's tree is always given, whatever is wrong with
 * it (in diags); of model_data that cannot be read there is none: NN_E_DSL_ERROR, NN_E_LIMIT. */
nn_status nn_source_parse(nn_arena *arena, const nn_source *src, nn_diags *diags, nn_program **ret,
                          nn_err *err);
/* nn_compile of either form. Of model_data each diagnostic begins with the path of the member it is
 * about, "layers[2].params.units: ...", and has no fix. */
nn_status nn_compile_source(nn_arena *arena, const nn_source *src, const nn_compile_options *opt,
                            nn_diags *diags, nn_unit **ret, nn_err *err);
/* Appends the path of the innermost member of a JSON text that holds the byte at offset. */
void nn_json_path(const nn_source *src, size_t offset, nn_buf *out);
#endif
