/* SPDX-License-Identifier: MIT */
/* choose.c - which engine runs a graph. Best first is the order of engines.def; one that was asked
 * for by name is never replaced. */
#include "engine/engine.h"

#include <stdio.h>

static nn_status named(const char *name, nn_engine_choice *ret, nn_err *err) {
    const char *reason = NULL;
    NN_BUF names = {0};
    for (unsigned i = 0; nn_engine_at(i); i++)
        nn_buf_printf(&names, "%s%s", i ? " and " : "", nn_engine_at(i)->name);
    ret->engine = nn_engine_find(name);
    if (!ret->engine)
        return nn_fail(err, NN_E_UNSUPPORTED, "engine '%.40s' is not known; engines are %s", name,
                       nn_buf_str(&names));
    if (!ret->engine->available(&reason))
        return nn_fail(err, NN_E_UNSUPPORTED, "engine '%s' cannot be used here: %s",
                       ret->engine->name, reason ? reason : "it does not say why");
    return NN_OK;
}

/* Whether e runs the graph; why not in *why. */
static nn_status tries(const nn_engine *e, const nn_graph *g, bool training, nn_err *why) {
    const char *reason = NULL;
    if (e->available(&reason)) return e->check(g, training, why);
    return nn_fail(why, NN_E_UNSUPPORTED, "the %s engine cannot be used here: %s", e->name,
                   reason ? reason : "it does not say why");
}

nn_status nn_engine_choose(const char *name, const nn_graph *g, bool training,
                           nn_engine_choice *ret, nn_err *err) {
    nn_err first = {0}, last = {0};
    *ret = (nn_engine_choice){0};
    if (name) return named(name, ret, err);
    for (unsigned i = 0; nn_engine_at(i); i++) {
        const nn_engine *e = nn_engine_at(i);
        if (tries(e, g, training, &last) == NN_OK) {
            ret->engine = e;
            if (first.code)
                snprintf(ret->warning, sizeof ret->warning,
                         "%s; the %s engine %s the network instead, which is much slower (%s)",
                         first.msg, e->name, training ? "trains" : "runs", e->summary);
            return NN_OK;
        }
        if (!first.code) first = last;
    }
    if (err) *err = last;
    return last.code;
}
