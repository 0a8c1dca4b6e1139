/* SPDX-License-Identifier: MIT */
/* request.c - see request.h. All fields are read, also behind one that is wrong, so that one answer
 * names everything; only text that is not JSON ends the reading. */
#include "serve/request.h"

#include "base/mem.h"
#include "base/nearest.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WARNINGS_MAX = 20 };

typedef struct reading {
    nn_jr r;
    const nn_model *m;
    nn_predict_request *q;
    const char *rows_from;       /* the field that gave the rows */
    int64_t rows[NN_SERVE_ENDS]; /* by input */
    double top_k;                /* 0: not asked for */
    int warnings;
    nn_err *err;
} reading;

typedef nn_status (*read_field)(reading *d, const char *name, const nn_jr_token *t);

static const nn_node *input_of(const nn_model *m, int i) {
    return &m->graph->nodes[m->graph->inputs[i]];
}

static const nn_node *output_of(const nn_model *m, int i) {
    return &m->graph->nodes[m->graph->outputs[i]];
}

/* The one of nodes[0..n) that the token names; -1: none. */
static int find_end(const nn_model *m, const int *nodes, int n, const nn_jr_token *t) {
    for (int i = 0; i < n; i++)
        if (nn_jr_is(t, m->graph->nodes[nodes[i]].layer_name)) return i;
    return -1;
}

/* "'image', 'meta'" */
static const char *list_ends(const nn_model *m, const int *nodes, int n, char buf[100]) {
    int at = 0;
    buf[0] = 0;
    for (int i = 0; i < n && at < 100; i++)
        at += snprintf(buf + at, (size_t)(100 - at), "%s'%.40s'", i ? ", " : "",
                       m->graph->nodes[nodes[i]].layer_name);
    return buf;
}

/* ---- what is wrong ---- */

static void note(reading *d, const nn_violation *v, const char *sentence) {
    if (d->q->n_bad == 0 && d->err) {
        nn_status s = nn_fail(d->err, NN_E_VALIDATION_ERROR, "%s", sentence);
        (void)s;
    }
    if (d->q->n_bad < NN_PREDICT_VIOLATIONS) d->q->bad[d->q->n_bad++] = *v;
}

__attribute__((cold, format(printf, 4, 5))) static void
violate(reading *d, const char *path, const char *type, const char *fmt, ...) {
    nn_violation v = {.type = type};
    char sentence[sizeof v.path + sizeof v.msg];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(v.msg, sizeof v.msg, fmt, ap);
    va_end(ap);
    snprintf(v.path, sizeof v.path, "%s", path);
    snprintf(sentence, sizeof sentence, "%s%s%s", path, *path ? " " : "", v.msg);
    note(d, &v, sentence);
}

/* ---- inputs ---- */

static nn_status read_rows(reading *d, const char *name, int input, const nn_jr_token *t) {
    nn_tensor_form f = {.name = name,
                        .shape = input_of(d->m, input)->shape,
                        .scale = d->m->scale,
                        .offset = d->m->offset};
    nn_violation bad;
    nn_err why = {0};
    nn_buf_clear(&d->q->x[input]);
    nn_status s = nn_tensor_read(&d->r, t, &f, &d->q->x[input], &d->rows[input], &bad, &why);
    if (s == NN_E_VALIDATION_ERROR) {
        note(d, &bad, why.msg);
        return NN_OK;
    }
    if (s && d->err) *d->err = why;
    return s;
}

/* Each input is there, with as many rows as the first. */
static void check_named(reading *d, const char *field, const bool *found) {
    const nn_graph *g = d->m->graph;
    char path[160];
    for (int i = 0; i < g->n_inputs; i++) {
        const char *name = input_of(d->m, i)->layer_name;
        snprintf(path, sizeof path, "%s.%s", field, name);
        if (!found[i])
            violate(d, path, "missing", "is required");
        else if (d->rows[i] && d->rows[0] && d->rows[i] != d->rows[0])
            violate(d, path, "conflict", "has %" PRId64 " rows, '%.60s' has %" PRId64, d->rows[i],
                    input_of(d->m, 0)->layer_name, d->rows[0]);
    }
}

/* {name: rows}: all members are looked at, and each input of the model must be one. */
static nn_status read_named(reading *d, const char *field) {
    const nn_graph *g = d->m->graph;
    char path[160], names[100];
    bool found[NN_SERVE_ENDS] = {0};
    for (;;) {
        nn_jr_token key, t;
        nn_status s = nn_jr_next(&d->r, &key, d->err);
        if (s) return s;
        if (key.type == NN_JR_END_OBJECT) break;
        int input = find_end(d->m, g->inputs, g->n_inputs, &key);
        snprintf(path, sizeof path, "%s.%.*s", field, key.n < 100 ? (int)key.n : 100, key.text);
        s = nn_jr_next(&d->r, &t, d->err);
        if (!s && input >= 0) {
            found[input] = true;
            s = read_rows(d, path, input, &t);
        } else if (!s) {
            violate(d, path, "unknown_value", "is not an input of this model, which has %s",
                    list_ends(d->m, g->inputs, g->n_inputs, names));
            s = nn_jr_skip(&d->r, &t, d->err);
        }
        if (s) return s;
    }
    check_named(d, field, found);
    return NN_OK;
}

static nn_status read_inputs(reading *d, const char *name, const nn_jr_token *t) {
    const nn_graph *g = d->m->graph;
    char names[100];
    if (d->rows_from) {
        violate(d, name, "conflict", "says the same as %s, send one of them", d->rows_from);
        return nn_jr_skip(&d->r, t, d->err);
    }
    d->rows_from = name;
    if (t->type == NN_JR_OBJECT) return read_named(d, name);
    if (g->n_inputs == 1) return read_rows(d, name, 0, t);
    violate(d, name, "wrong_type", "is %s, expected an object with the rows of %s",
            nn_jr_type_name(t->type), list_ends(d->m, g->inputs, g->n_inputs, names));
    return nn_jr_skip(&d->r, t, d->err);
}

/* ---- outputs, top_k ---- */

static void read_output(reading *d, const char *path, const nn_jr_token *t) {
    const nn_graph *g = d->m->graph;
    nn_predict_request *q = d->q;
    char names[100];
    int output = t->type == NN_JR_STRING ? find_end(d->m, g->outputs, g->n_outputs, t) : -1;
    if (t->type != NN_JR_STRING) {
        violate(d, path, "wrong_type", "is %s, expected the name of an output",
                nn_jr_type_name(t->type));
        return;
    }
    if (output < 0)
        violate(d, path, "unknown_value", "is not an output of this model, which has %s",
                list_ends(d->m, g->outputs, g->n_outputs, names));
    for (int i = 0; i < q->n_outputs; i++)
        if (q->outputs[i] == output) return; /* said twice: given once */
    if (output >= 0) q->outputs[q->n_outputs++] = output;
}

static nn_status read_outputs(reading *d, const char *name, const nn_jr_token *first) {
    if (first->type != NN_JR_ARRAY) {
        violate(d, name, "wrong_type", "is %s, expected an array of names",
                nn_jr_type_name(first->type));
        return nn_jr_skip(&d->r, first, d->err);
    }
    for (int64_t i = 0;; i++) {
        nn_jr_token t;
        char path[40];
        nn_status s = nn_jr_next(&d->r, &t, d->err);
        if (s) return s;
        if (t.type == NN_JR_END_ARRAY) {
            if (i == 0) violate(d, name, "blank", "names no output");
            return NN_OK;
        }
        snprintf(path, sizeof path, "%s.%" PRId64, name, i);
        read_output(d, path, &t);
        s = nn_jr_skip(&d->r, &t, d->err);
        if (s) return s;
    }
}

static nn_status read_top_k(reading *d, const char *name, const nn_jr_token *t) {
    bool whole = t->type == NN_JR_INT || (t->type == NN_JR_REAL && t->number == floor(t->number));
    if (!whole)
        violate(d, name, "wrong_type", "is %s, expected an integer", nn_jr_type_name(t->type));
    else if (t->number < 1)
        violate(d, name, "out_of_range", "must be at least 1");
    else
        d->top_k = t->number;
    return nn_jr_skip(&d->r, t, d->err);
}

/* Which output the best classes are of is known only at the end. */
static void check_top_k(reading *d) {
    const nn_shape *y = &output_of(d->m, d->q->outputs[0])->shape;
    char shape[96];
    if (d->top_k < 1) return;
    if (y->rank != 1)
        violate(d, "top_k", "conflict",
                "needs a model that tells classes apart, this one answers %s",
                nn_shape_print(y, false, shape, sizeof shape));
    else /* more than there are classes means all of them */
        d->q->top_k = d->top_k < (double)y->dim[0] ? (int64_t)d->top_k : y->dim[0];
}

/* ---- the body ---- */

static const struct {
    const char *name;
    read_field read;
} fields[] = {
    {"inputs",    read_inputs },
    {"instances", read_inputs },
    {"outputs",   read_outputs},
    {"top_k",     read_top_k  },
};
enum { N_FIELDS = sizeof fields / sizeof *fields };

static void warn_unknown(reading *d, const nn_jr_token *key) {
    const char *names[N_FIELDS + 1] = {0};
    char name[80], text[200];
    if (d->warnings++ >= WARNINGS_MAX) return;
    for (int i = 0; i < N_FIELDS; i++) names[i] = fields[i].name;
    snprintf(name, sizeof name, "%.*s", key->n < 79 ? (int)key->n : 79, key->text);
    const char *near = nn_nearest(name, names);
    snprintf(text, sizeof text, "unknown field '%s' was ignored%s%s%s", name,
             near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "");
    nn_jw w = {.out = &d->q->warnings, .comma = d->warnings > 1};
    nn_jw_str(&w, text);
}

static nn_status read_member(reading *d, const nn_jr_token *key) {
    nn_jr_token t;
    nn_status s = nn_jr_next(&d->r, &t, d->err);
    if (s) return s;
    for (int i = 0; i < N_FIELDS; i++)
        if (nn_jr_is(key, fields[i].name))
            return t.type == NN_JR_NULL ? NN_OK : fields[i].read(d, fields[i].name, &t);
    warn_unknown(d, key);
    return nn_jr_skip(&d->r, &t, d->err);
}

static nn_status read_body(reading *d) {
    nn_jr_token t;
    nn_status s = nn_jr_next(&d->r, &t, d->err);
    if (!s && t.type != NN_JR_OBJECT) {
        violate(d, "", "wrong_type", "the body must be an object");
        s = nn_jr_skip(&d->r, &t, d->err);
    }
    while (!s && d->r.depth) {
        s = nn_jr_next(&d->r, &t, d->err);
        if (!s && t.type == NN_JR_KEY) s = read_member(d, &t);
    }
    if (!s) s = nn_jr_next(&d->r, &t, d->err); /* nothing behind it */
    return s;
}

static void finish(reading *d) {
    nn_predict_request *q = d->q;
    q->rows = d->rows[0];
    if (!q->n_outputs)
        for (; q->n_outputs < d->m->graph->n_outputs; q->n_outputs++)
            q->outputs[q->n_outputs] = q->n_outputs;
    check_top_k(d);
}

nn_status nn_predict_request_read(const char *text, size_t n, const nn_model *m,
                                  nn_predict_request *ret, nn_err *err) {
    reading d = {.m = m, .q = ret, .err = err};
    if (n) {
        nn_jr_init(&d.r, text, n);
        nn_status s = read_body(&d);
        nn_jr_done(&d.r);
        if (s) return s;
        if (!d.rows_from && !ret->n_bad) violate(&d, "inputs", "missing", "is required");
        finish(&d);
    } else {
        violate(&d, "", "missing", "a body is required");
    }
    return ret->n_bad ? NN_E_VALIDATION_ERROR : NN_OK;
}

void nn_predict_request_done(nn_predict_request *r) {
    for (int i = 0; i < NN_SERVE_ENDS; i++) nn_buf_done(&r->x[i]);
    nn_buf_done(&r->warnings);
}

/* ---- the answer ---- */

typedef struct candidate {
    float score;
    int32_t class;
} candidate;

/* Best first; equal ones by class; what is not a number last. */
static int better(const void *a, const void *b) {
    const candidate *k = a, *l = b;
    bool worse = isnan(k->score) ? !isnan(l->score) : k->score < l->score;
    bool best = isnan(l->score) ? !isnan(k->score) : k->score > l->score;
    return best ? -1 : worse ? 1 : k->class - l->class;
}

static void write_class(nn_jw *w, const nn_model *m, int32_t class) {
    char text[16];
    snprintf(text, sizeof text, "%" PRId32, class);
    bool named = m->class_names && class < m->n_classes;
    nn_jw_str(w, named ? m->class_names[class] : text);
}

static void write_top(nn_jw *w, const nn_predict_answer *a, int64_t classes, candidate *c) {
    const float *y = a->y[a->request->outputs[0]];
    nn_jw_arr(w);
    for (int64_t r = 0; r < a->request->rows; r++, y += classes) {
        for (int64_t i = 0; i < classes; i++) c[i] = (candidate){y[i], (int32_t)i};
        qsort(c, (size_t)classes, sizeof *c, better);
        nn_jw_arr(w);
        for (int64_t i = 0; i < a->request->top_k; i++) {
            nn_jw_obj(w);
            nn_jw_key(w, "class");
            write_class(w, a->model, c[i].class);
            nn_jw_key(w, "score");
            nn_jw_float(w, c[i].score);
            nn_jw_end_obj(w);
        }
        nn_jw_end_arr(w);
    }
    nn_jw_end_arr(w);
}

static void write_output(nn_jw *w, const nn_predict_answer *a, int output) {
    nn_tensor_write(w, a->y[output], a->request->rows, &output_of(a->model, output)->shape);
}

/* The rows of the first output under both their names: written once and copied. */
static void write_outputs(nn_jw *w, const nn_predict_answer *a) {
    const nn_predict_request *q = a->request;
    nn_jw_key(w, "predictions");
    size_t from = w->out->n;
    write_output(w, a, q->outputs[0]);
    size_t n = w->out->n - from;
    nn_jw_key(w, "outputs");
    nn_jw_obj(w);
    for (int i = 0; i < q->n_outputs; i++) {
        nn_jw_key(w, output_of(a->model, q->outputs[i])->layer_name);
        if (i)
            write_output(w, a, q->outputs[i]);
        else if (nn_buf_reserve(w->out, n))
            nn_jw_raw(w, w->out->p + from, n);
    }
    nn_jw_end_obj(w);
}

nn_status nn_predict_answer_write(nn_jw *w, const nn_predict_answer *a, nn_err *err) {
    int64_t classes = nn_shape_elements(&output_of(a->model, a->request->outputs[0])->shape);
    NN_LARGE candidate *c = NULL;
    if (a->request->top_k && !(c = nn_alloc_large((size_t)classes * sizeof *c, false)))
        return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory to order the classes");
    nn_jw_obj(w);
    write_outputs(w, a);
    nn_jw_key(w, "model_id");
    nn_jw_str(w, a->deployment->model_id);
    nn_jw_key(w, "model_version");
    nn_jw_int(w, a->deployment->model_version);
    nn_jw_key(w, "deployment_id");
    nn_jw_str(w, a->deployment->id);
    nn_jw_key(w, "duration_ms");
    nn_jw_num(w, a->duration_ms);
    if (c) {
        nn_jw_key(w, "top");
        write_top(w, a, classes, c);
    }
    nn_jw_key(w, "warnings");
    nn_jw_arr(w);
    nn_jw_raw(w, nn_buf_str(&a->request->warnings), a->request->warnings.n);
    nn_jw_end_arr(w);
    nn_jw_end_obj(w);
    return NN_OK;
}
