/* SPDX-License-Identifier: MIT */
/* model_source.h - model_data in a request's body: its text, and chosen values for its search
 * points. */
#ifndef NN_API_MODEL_SOURCE_H
#define NN_API_MODEL_SOURCE_H
#include "api/route.h"
#include "compile/compile.h"

/* The text of the member model_data (which must be there) as the client wrote it: lines and columns
 * are counted from its first brace. Borrowed from the request. */
nn_source nn_model_source(const nn_request *q);
/* Whether it has an input with a shape, in any form that nn_model_data_parse reads; what the shape
 * is worth is not looked at. */
bool nn_model_source_has_shape(const nn_json *model_data);
enum { NN_MODEL_SETTINGS_MAX = 1000 };
/* The members of best_params (NULL allowed) as settings of the search points that they name: by
 * path, by alias, or as language.md 15 has it ("batch_size", "learning_rate", "dense_units" for
 * every such point). What names no point becomes a warning. NN_E_LIMIT past NN_MODEL_SETTINGS_MAX.
 */
nn_status nn_model_settings(nn_arena *arena, const nn_space *space, const nn_json *best_params,
                            nn_json *warnings, nn_setting **ret, int *ret_n, nn_err *err);
#endif
