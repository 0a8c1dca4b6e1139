/* SPDX-License-Identifier: MIT */
/* space.h - the search space of a program: every HPO(...) is a point (language.md 7).
 *
 * Paths are those of model_data: "layers[2].units", "layers[1].sublayers[0].rate",
 * "optimizer.learning_rate", "optimizer.learning_rate.decay_steps", "training.batch_size",
 * "layers[3]" for a choice of layers and "layers[3].repeat" for `* HPO(...)`. A point inside a
 * candidate of choice() has ".choice[k]" in its path and counts only while that candidate is
 * chosen. The alias is readable: "dense_2.units". A repeated layer is one point. */
#ifndef NN_COMPILE_SPACE_H
#define NN_COMPILE_SPACE_H
#include "compile/compile.h"

typedef struct nn_search_point {
    const char *path, *alias;
    const char *owner, *param; /* "Dense", "units" */
    const nn_value *value;     /* the HPO expression, with its span */
    const nn_value *chosen;    /* what the unit was built on: a candidate or a setting's value */
    bool set;                  /* by a setting */
    bool integer;              /* a range of whole numbers */
    int parent, candidate; /* point whose candidate number `candidate` it stands in; -1: always */
    bool active;           /* its parents' candidates are chosen */
} nn_search_point;

struct nn_space {
    nn_search_point *points;
    int n, cap;
};

/* {network, points: [{path, alias, layer, parameter, type, values | start, end, step | low, high,
 * line, column, default, parent?, candidate?}]}; owned by the caller. */
nn_json *nn_space_json(const nn_unit *u);
/* By path or alias; -1 if there is none. */
int nn_space_find(const nn_space *s, const char *path);
/* Writes the program with each setting in place of its HPO expression, all else byte for byte as
 * it was. A setting's value is checked as the program's would be. NN_E_VALIDATION_ERROR names a
 * setting that has no point, or whose value is none of the point's. */
nn_status nn_space_rewrite(const nn_unit *u, const nn_setting *settings, int n, nn_buf *out,
                           nn_err *err);
#endif
