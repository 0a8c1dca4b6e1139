/* SPDX-License-Identifier: MIT */
/* onnx_attention.c - several operators that are one op of ours: softmax(scale q k) v in heads, and
 * x / 2 (1 + erf(x / sqrt 2)). */
#include "model/onnx_impl.h"

#include <math.h>
#include <string.h>

/* ---- attention ---- */

bool nn_import_is_scores(const item *v) {
    return v && v->kind == NODE && v->layout == SCORES;
}

/* Output 0 of p stands for scores that are computed with the values. */
static nn_status set_scores(importer *m, op *p, int q, int k, double scale, bool softmax,
                            nn_err *err) {
    nn_status s = nn_import_set(m, p, 0, q, SCORES, err);
    if (s) return s;
    item *v = nn_import_item(m, p->output[0], false);
    v->turned = k;
    v->scale = scale;
    v->softmax = softmax;
    return NN_OK;
}

nn_status nn_import_scores(importer *m, op *p, item *q, item *k, nn_err *err) {
    int in[2];
    nn_status s = nn_import_plain(m, p, q, &in[0], err);
    if (!s) s = nn_import_plain(m, p, k, &in[1], err);
    if (s) return s;
    const nn_shape *a = &m->g->nodes[in[0]].shape, *b = &m->g->nodes[in[1]].shape;
    if (a->dim[0] != b->dim[0] || a->dim[0] < 1 || a->dim[2] != b->dim[1] || a->dim[2] < 1)
        return nn_import_unsupported(p, err, "a product of matrices that do not fit");
    return set_scores(m, p, in[0], in[1], 1, false, err);
}

nn_status nn_import_scale_scores(importer *m, op *p, const item *v, double by, nn_err *err) {
    if (v->softmax) return nn_import_unsupported(p, err, "a factor of what weighs the values");
    return set_scores(m, p, v->node, v->turned, v->scale * by, false, err);
}

nn_status nn_import_softmax_scores(importer *m, op *p, const item *v, nn_err *err) {
    int64_t axis = nn_import_attr_int(p, "axis", -1);
    if (v->softmax || (axis != -1 && axis != 3) || strcmp(p->op_type, "Softmax") != 0)
        return nn_import_unsupported(p, err, "it works on the scores of an attention");
    return set_scores(m, p, v->node, v->turned, v->scale, true, err);
}

/* (heads, steps, d), its axes in the order perm, as (steps, heads x d). */
static nn_status joined(importer *m, op *p, int in, const int perm[3], int *ret, nn_err *err) {
    nn_attr a = {0};
    memcpy(a.transpose.perm, perm, 3 * sizeof *perm);
    nn_status s = nn_import_add(m, p, NN_OP_TRANSPOSE, &a, &in, 1, NULL, ret, err);
    if (s) return s;
    const nn_shape *x = &m->g->nodes[*ret].shape;
    nn_shape to = {
        2, {x->dim[0], x->dim[2] < 0 ? -1 : x->dim[1] * x->dim[2]}
    };
    return nn_import_add(m, p, NN_OP_RESHAPE, NULL, ret, 1, &to, ret, err);
}

nn_status nn_import_attend(importer *m, op *p, const item *scores, item *v, nn_err *err) {
    static const int steps_first[] = {1, 0, 2}, last_first[] = {2, 0, 1};
    int in[3], id;
    nn_shape heads = m->g->nodes[scores->node].shape;
    nn_attr a = {
        .attention = {.heads = heads.dim[0], .scale = scores->scale}
    };
    if (!scores->softmax || v->kind != NODE || v->layout == SCORES)
        return nn_import_unsupported(p, err, "scores without a softmax, or without values");
    nn_status s = nn_import_plain(m, p, v, &in[2], err);
    if (s) return s;
    const nn_shape *values = &m->g->nodes[in[2]].shape;
    if (values->rank != 3 || values->dim[0] != heads.dim[0])
        return nn_import_unsupported(p, err, "values that are not in as many heads");
    heads = (nn_shape){
        3, {heads.dim[1], heads.dim[0], values->dim[2]}
    };
    s = joined(m, p, scores->node, steps_first, &in[0], err);
    if (!s) s = joined(m, p, scores->turned, last_first, &in[1], err);
    if (!s) s = joined(m, p, in[2], steps_first, &in[2], err);
    if (!s) s = nn_import_add(m, p, NN_OP_ATTENTION, &a, in, 3, NULL, &id, err);
    if (!s) s = nn_import_add(m, p, NN_OP_RESHAPE, NULL, &id, 1, &heads, &id, err);
    nn_attr back = {
        .transpose.perm = {1, 0, 2}
    };
    return s ? s : nn_import_simple(m, p, NN_OP_TRANSPOSE, &back, id, PLAIN, err);
}

/* ---- GELU ---- */

/* The other input of p, beside `of`, if it is one number, near `want` (or 1 / want in a Div). */
static bool beside(importer *m, op *p, const char *type, const char *of, double want) {
    const tensor *t;
    if (!p || strcmp(p->op_type, type) != 0 || p->n_input != 2 || p->n_output != 1) return false;
    size_t k = strcmp(p->input[0], of) == 0 ? 1 : 0;
    const item *c = nn_import_input(m, p, k);
    if (!c || c->kind != CONSTANT || nn_import_floats(m, p, k, &t, NULL) || t->elements != 1)
        return false;
    return fabs((double)t->floats[0] - want) < 1e-5 * want;
}

/* The only operator that takes v. */
static op *only_user(const item *v) {
    return v && v->uses == 1 ? v->user : NULL;
}

static item *output_of(importer *m, op *p) {
    return p && p->n_output == 1 ? nn_import_item(m, p->output[0], false) : NULL;
}

/* x of x * 0.7071 or x / 1.4142; NULL: it is something else. */
static item *erf_of(importer *m, op *p) {
    const item *v = nn_import_input(m, p, 0);
    op *maker = v ? v->maker : NULL;
    if (!maker || maker->n_input != 2) return NULL;
    for (size_t k = 0; k < 2; k++) {
        item *x = nn_import_input(m, maker, k);
        if (x && x->kind == NODE &&
            (beside(m, maker, "Mul", x->name, M_SQRT1_2) ||
             (k == 0 && beside(m, maker, "Div", x->name, M_SQRT2))))
            return x;
    }
    return NULL;
}

static bool takes_both(op *p, const char *a, const char *b) {
    return p && strcmp(p->op_type, "Mul") == 0 && p->n_input == 2 &&
           ((strcmp(p->input[0], a) == 0 && strcmp(p->input[1], b) == 0) ||
            (strcmp(p->input[0], b) == 0 && strcmp(p->input[1], a) == 0));
}

nn_status nn_import_erf(importer *m, op *p, nn_err *err) {
    item *x = erf_of(m, p), *chain[4] = {output_of(m, p)};
    bool gelu = x && x->layout <= FIRST && beside(m, only_user(chain[0]), "Add", p->output[0], 1);
    if (gelu) chain[1] = output_of(m, only_user(chain[0]));
    gelu = gelu && chain[1] && takes_both(only_user(chain[1]), chain[1]->name, x->name);
    if (gelu) chain[2] = output_of(m, only_user(chain[1]));
    gelu = gelu && chain[2] && beside(m, only_user(chain[2]), "Mul", chain[2]->name, 0.5);
    if (gelu) chain[3] = output_of(m, only_user(chain[2]));
    if (!gelu || !chain[3])
        return nn_import_unsupported(p, err, "erf elsewhere than in x * (1 + erf(x / sqrt 2)) / 2");
    nn_attr a = {.activation.kind = NN_ACT_GELU};
    int id;
    nn_status s =
        nn_import_add(m, chain[3]->maker, NN_OP_ACTIVATION, &a, &x->node, 1, NULL, &id, err);
    for (int i = 0; !s && i < 4; i++) {
        s = nn_import_set(m, chain[i]->maker, 0, id, x->layout, err);
        chain[i]->absorbed = true;
    }
    return s;
}
