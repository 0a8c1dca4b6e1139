/* SPDX-License-Identifier: MIT */
/* layer.c - the table of layers, what all of them share, and search by name. */
#include "layers/layer.h"

#include <string.h>
#include <strings.h>

#define NN_LAYER(symbol) extern const nn_layer nn_layer_##symbol;
#include "layers/layers.def"
#undef NN_LAYER

static const nn_layer *const layers[] = {
#define NN_LAYER(symbol) &nn_layer_##symbol,
#include "layers/layers.def"
#undef NN_LAYER
};
enum { LAYERS = sizeof layers / sizeof layers[0] };

/* clang-format off */
const nn_param nn_layer_common[] = {
    {.name = "name", .type = NN_P_STRING, .help = "unique name: letters, digits, '_'"},
    {.name = "trainable", .type = NN_P_BOOL, .fallback = "true",
     .help = "false keeps the weights as they are"},
    {.name = "dtype", .type = NN_P_STRING, .fallback = "float32", .help = "float32"},
    {.name = "device", .type = NN_P_STRING,
     .help = "cpu, gpu, cuda, cuda:N, tpu, tpu:N, mps or auto"},
    {.name = "inputs", .type = NN_P_NAMES,
     .help = "names of the inputs, branches or layers to take instead of what comes before"},
    {0},
};
/* clang-format on */

/* Whether `name` is one of a "|"-separated list, in any letter case. */
static bool listed(const char *name, const char *list) {
    size_t len = strlen(name);
    while (list && *list) {
        size_t n = strcspn(list, "|");
        if (n == len && strncasecmp(list, name, n) == 0) return true;
        list += n + (list[n] == '|');
    }
    return false;
}

const nn_layer *nn_layer_at(unsigned i) {
    return i < LAYERS ? layers[i] : NULL;
}

const nn_layer *nn_layer_find(const char *name) {
    for (int i = 0; i < LAYERS; i++) /* the first letter spares most comparisons */
        if (((layers[i]->name[0] ^ name[0]) & ~0x20) == 0 && strcasecmp(layers[i]->name, name) == 0)
            return layers[i];
    for (int i = 0; i < LAYERS; i++)
        if (listed(name, layers[i]->aliases)) return layers[i];
    return NULL;
}

static const char *names[LAYERS + 1];

/* Filled before main so that readers need no lock. */
__attribute__((constructor)) static void collect_names(void) {
    for (int i = 0; i < LAYERS; i++) names[i] = layers[i]->name;
}

const char *const *nn_layer_names(void) {
    return names;
}

bool nn_param_has_alias(const nn_param *p, const char *name) {
    return listed(name, p->aliases);
}

int nn_layer_n_params(const nn_layer *l) {
    int n = 0;
    while (l->params[n].name) n++;
    return n;
}

static int find_param(const nn_param *p, const char *name) {
    for (int i = 0; p[i].name; i++)
        if (strcmp(p[i].name, name) == 0 || listed(name, p[i].aliases)) return i;
    return -1;
}

int nn_layer_param(const nn_layer *l, const char *name) {
    int i = find_param(l->params, name);
    if (i >= 0) return i;
    i = find_param(nn_layer_common, name);
    return i < 0 ? -1 : nn_layer_n_params(l) + i;
}

const nn_param *nn_layer_param_at(const nn_layer *l, int i) {
    int n = nn_layer_n_params(l);
    return i < n ? &l->params[i] : &nn_layer_common[i - n];
}

static const char *const activations[] = {
#define NN_ACT(N, n, alias, alpha) #n,
#include "graph/activations.def"
#undef NN_ACT
    "softmax",
    "log_softmax",
    "prelu",
    NULL,
};

const char *const *nn_activation_names(void) {
    return activations;
}

const char *nn_activation_find(const char *name) {
    int a = nn_act_find(name);
    if (a >= 0) return nn_act_name((nn_act)a);
    for (int i = NN_ACT_COUNT; activations[i]; i++)
        if (nn_name_equal(name, activations[i])) return activations[i];
    return NULL;
}

bool nn_device_valid(const char *name) {
    static const char plain[] = "cpu|gpu|cuda|tpu|mps|auto";
    const char *colon = strchr(name, ':');
    if (!colon) return listed(name, plain);
    size_t digits = strspn(colon + 1, "0123456789");
    bool numbered = digits > 0 && digits <= 4 && !colon[1 + digits];
    size_t n = (size_t)(colon - name);
    return numbered && ((n == 4 && strncasecmp(name, "cuda", 4) == 0) ||
                        (n == 3 && strncasecmp(name, "tpu", 3) == 0));
}
