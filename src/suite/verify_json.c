/* SPDX-License-Identifier: MIT */
/* verify_json.c - results for programs, and the certificate of a model file. */
#include "base/clock.h"
#include "base/hash.h"
#include "suite/verify.h"

#include <string.h>

const char *nn_verdict_name(nn_verdict v) {
    static const char *const names[] = {"agrees", "differs", "failed", "skipped"};
    return names[v];
}

static nn_json *distance_json(const nn_distance *d) {
    nn_json *o = nn_json_new_object(), *worst = nn_json_new_object();
    nn_json_set(o, "relative_l2", nn_json_new_num(d->relative));
    nn_json_set(worst, "difference", nn_json_new_num(d->worst));
    nn_json_set(worst, "element", nn_json_new_int(d->at));
    nn_json_set(worst, "got", nn_json_new_num(d->got));
    nn_json_set(worst, "want", nn_json_new_num(d->want));
    nn_json_set(o, "worst", worst);
    return o;
}

static nn_json *node_json(const nn_node *n, const nn_distance *d) {
    nn_json *o = distance_json(d);
    nn_json_set(o, "layer", nn_json_new_str(n->layer));
    nn_json_set(o, "name", nn_json_new_str(n->layer_name));
    nn_json_set(o, "node", nn_json_new_str(n->name));
    nn_json_set(o, "op", nn_json_new_str(nn_op_name(n->op)));
    return o;
}

static nn_json *outputs_json(const nn_verification *v, const nn_verified *r) {
    nn_json *list = nn_json_new_array();
    for (int i = 0; i < v->graph->n_outputs; i++) {
        nn_json *o = distance_json(&r->outputs[i]);
        nn_json_set(o, "name", nn_json_new_str(v->graph->nodes[v->graph->outputs[i]].layer_name));
        nn_json_push(list, o);
    }
    return list;
}

static nn_json *layers_json(const nn_verification *v, const nn_verified *r) {
    nn_json *list = nn_json_new_array();
    for (int i = 0; i < v->graph->n_nodes; i++)
        if (r->nodes[i].relative >= 0)
            nn_json_push(list, node_json(&v->graph->nodes[i], &r->nodes[i]));
    return list;
}

static nn_json *verified_json(const nn_verification *v, const nn_verified *r) {
    bool ran = r->verdict == NN_AGREES || r->verdict == NN_DIFFERS;
    nn_json *o = nn_json_new_object();
    nn_json_set(o, "name", nn_json_new_str(r->by->name));
    nn_json_set(o, "status", nn_json_new_str(nn_verdict_name(r->verdict)));
    nn_json_set(o, "reason", nn_json_new_str(*r->reason ? r->reason : NULL));
    nn_json_set(o, "version", nn_json_new_str(*r->version ? r->version : NULL));
    if (!ran) return o;
    nn_json_set(o, "outputs", outputs_json(v, r));
    nn_json_set(o, "first_difference",
                r->first < 0 ? nn_json_new_null()
                             : node_json(&v->graph->nodes[r->first], &r->first_distance));
    if (r->nodes) nn_json_set(o, "layers", layers_json(v, r));
    return o;
}

static nn_json *ops_json(const nn_graph *g) {
    nn_json *o = nn_json_new_object();
    for (int op = 0; op < NN_OP_COUNT; op++) {
        int n = 0;
        for (int i = 0; i < g->n_nodes; i++) n += g->nodes[i].op == (nn_op)op;
        if (n) nn_json_set(o, nn_op_name((nn_op)op), nn_json_new_int(n));
    }
    return o;
}

/* What can be said of the whole: nothing that was only skipped agrees. */
static const char *verdict_of(const nn_verification *v) {
    if (nn_verification_bad(v)) return nn_verdict_name(NN_DIFFERS);
    for (int i = 0; i < v->n; i++)
        if (v->of[i].verdict == NN_AGREES && v->of[i].by != nn_verifier_at(0))
            return nn_verdict_name(NN_AGREES);
    return nn_verdict_name(NN_SKIPPED);
}

static void set_common(nn_json *o, const nn_verification *v) {
    nn_json *list = nn_json_new_array();
    nn_json_set(o, "network", nn_json_new_str(v->graph->name));
    nn_json_set(o, "rows", nn_json_new_int(v->rows));
    nn_json_set(o, "seed", nn_json_new_int((int64_t)v->seed));
    nn_json_set(o, "weights", nn_json_new_str(v->drawn ? "drawn" : "the model's"));
    nn_json_set(o, "tolerance", nn_json_new_num(NN_VERIFY_TOLERANCE));
    nn_json_set(o, "yardstick", nn_json_new_str("reference"));
    nn_json_set(o, "verdict", nn_json_new_str(verdict_of(v)));
    for (int i = 0; i < v->n; i++) nn_json_push(list, verified_json(v, &v->of[i]));
    nn_json_set(o, "backends", list);
}

nn_json *nn_verification_json(const nn_verification *v) {
    nn_json *o = nn_json_new_object();
    set_common(o, v);
    nn_json_set(o, "ops", ops_json(v->graph));
    for (int i = 0; i < v->n; i++)
        nn_json_set(nn_json_at(nn_json_get(o, "backends"), (size_t)i), "seconds",
                    nn_json_new_num(v->of[i].seconds));
    return o;
}

nn_json *nn_verification_certificate(const nn_verification *v) {
    char now[NN_TIME_TEXT];
    nn_json *o = nn_json_new_object();
    nn_json_set(o, "verified_at", nn_json_new_str(nn_time_print(nn_clock_wall(), now)));
    nn_json_set(o, "neural", nn_json_new_str(NN_VERSION));
    nn_json_set(o, "weights_sha256", nn_json_new_str(v->weights_sha256));
    set_common(o, v);
    nn_json *list = nn_json_get(o, "backends");
    for (size_t i = 0; i < nn_json_size(list); i++) nn_json_del(nn_json_at(list, i), "layers");
    return o;
}

bool nn_certificate_fits(const nn_json *certificate, const nn_graph *g, const float *weights) {
    char sha[65];
    nn_sha256_hex(weights, (size_t)g->slab * sizeof *weights, sha);
    return strcmp(nn_json_str(nn_json_get(certificate, "weights_sha256"), ""), sha) == 0;
}
