/* SPDX-License-Identifier: MIT */
/* backend.c - the registry of code generators. */
#include "codegen/backend.h"

#include <string.h>
#include <strings.h>

#define NN_BACKEND(s) extern const nn_backend nn_backend_##s;
#include "codegen/backends.def"
#undef NN_BACKEND

static const nn_backend *const all[] = {
#define NN_BACKEND(s) &nn_backend_##s,
#include "codegen/backends.def"
#undef NN_BACKEND
};

const nn_backend *nn_backend_at(unsigned i) {
    return i < sizeof all / sizeof *all ? all[i] : NULL;
}

/* Whether name is one of a "|"-separated list. */
static bool in_list(const char *list, const char *name) {
    size_t n = strlen(name);
    for (const char *p = list; n && !strchr(name, '|') && p;
         p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
        if (strncasecmp(p, name, n) == 0 && (p[n] == '|' || p[n] == 0)) return true;
    return false;
}

const nn_backend *nn_backend_find(const char *name) {
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
        if (strcasecmp(all[i]->name, name) == 0 || in_list(all[i]->aliases, name)) return all[i];
    return NULL;
}

nn_status nn_codegen(const nn_backend *b, const nn_graph *g, const nn_codegen_options *opt,
                     nn_buf *out, nn_err *err) {
    static const nn_codegen_options none;
    nn_status s = b->generate(g, opt ? opt : &none, out, err);
    if (!s && nn_buf_failed(out))
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for the code of '%s'", g->name);
    return s;
}

const nn_backend *nn_backend_choose(const char *name, nn_buf *ret_list) {
    const nn_backend *found = nn_backend_find(name);
    enum { LAST = sizeof all / sizeof *all - 1 };
    for (unsigned i = 0; !found && i <= LAST; i++)
        nn_buf_printf(ret_list, "%s'%s'", i == 0 ? "" : i == LAST ? " or " : ", ", all[i]->name);
    return found;
}
