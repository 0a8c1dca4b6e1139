/* SPDX-License-Identifier: MIT */
/* predict.c - asks a model about rows of a data set, or about rows of numbers in a JSON file. */
#include "base/file.h"
#include "cli/cli.h"
#include "data/dataset.h"
#include "engine/engine.h"
#include "model/model.h"
#include "serve/tensor.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct predictor {
    nn_model *model;
    nn_dataset *data; /* NULL when the rows come from a file */
    nn_exec *exec;
    int64_t inputs, outputs, batch;
    int top;
    bool json, shown_any;
    int64_t labelled, correct;
    nn_buf out;
} predictor;

static void predictor_done(predictor *p) {
    nn_exec_closep(&p->exec);
    nn_dataset_free(p->data);
    nn_model_free(p->model);
    nn_buf_done(&p->out);
}

static const nn_shape *input_shape(const predictor *p) {
    return &p->model->graph->nodes[p->model->graph->inputs[0]].shape;
}

static nn_status open_engine(predictor *p, const char *name, int64_t rows, nn_err *err) {
    const nn_graph *g = p->model->graph;
    const nn_engine *engine = nn_engine_find(name ? name : "native");
    if (!engine)
        return nn_fail(err, NN_E_UNSUPPORTED,
                       "engine '%.40s' is not known; engines are native and reference", name);
    p->inputs = nn_shape_elements(input_shape(p));
    p->outputs = nn_shape_elements(&g->nodes[g->outputs[0]].shape);
    p->batch = rows < 256 ? rows : 256;
    nn_exec_options o = {.batch = p->batch};
    nn_status s = engine->open(g, &o, &p->exec, err);
    if (s) return s;
    engine->set_weights(p->exec, p->model->weights);
    return NN_OK;
}

/* Classes of one row, best first: at most `top` indices into y. */
static int best(const float *y, int64_t n, int top, int64_t *ret) {
    int found = 0;
    for (; found < top && found < n; found++) {
        int64_t pick = -1;
        for (int64_t i = 0; i < n; i++) {
            bool used = false;
            for (int j = 0; j < found; j++) used |= ret[j] == i;
            if (!used && (pick < 0 || y[i] > y[pick])) pick = i;
        }
        ret[found] = pick;
    }
    return found;
}

static const char *class_name(const predictor *p, int64_t i, char buf[32]) {
    if (i < p->model->n_classes && p->model->class_names) return p->model->class_names[i];
    snprintf(buf, 32, "class %" PRId64, i);
    return buf;
}

static void text_row(predictor *p, int64_t row, const float *y, int32_t label) {
    char name[32];
    nn_buf_printf(&p->out, "row %-6" PRId64, row);
    if (p->outputs == 1 || (!p->model->n_classes && label < 0)) {
        for (int64_t i = 0; i < p->outputs; i++) nn_buf_printf(&p->out, " %.6g", (double)y[i]);
    } else {
        int64_t order[16];
        int n = best(y, p->outputs, p->top, order);
        for (int i = 0; i < n; i++)
            nn_buf_printf(&p->out, "%s%s %.4f", i ? ", " : "", class_name(p, order[i], name),
                          (double)y[order[i]]);
        if (label >= 0)
            nn_buf_printf(&p->out, "   (%s: %s)", order[0] == label ? "right" : "wrong, it is",
                          class_name(p, label, name));
    }
    nn_buf_putc(&p->out, '\n');
}

static void json_row(predictor *p, int64_t row, const float *y, int32_t label) {
    nn_jw w = {.out = &p->out};
    if (p->shown_any) nn_buf_puts(&p->out, ",\n ");
    nn_jw_obj(&w);
    nn_jw_key(&w, "row");
    nn_jw_int(&w, row);
    nn_jw_key(&w, "outputs");
    nn_jw_arr(&w);
    for (int64_t i = 0; i < p->outputs; i++) nn_jw_float(&w, y[i]);
    nn_jw_end_arr(&w);
    if (p->outputs > 1) {
        int64_t order[16];
        char name[32];
        int n = best(y, p->outputs, p->top, order);
        nn_jw_key(&w, "top");
        nn_jw_arr(&w);
        for (int i = 0; i < n; i++) {
            nn_jw_obj(&w);
            nn_jw_key(&w, "class");
            nn_jw_str(&w, class_name(p, order[i], name));
            nn_jw_key(&w, "score");
            nn_jw_float(&w, y[order[i]]);
            nn_jw_end_obj(&w);
        }
        nn_jw_end_arr(&w);
    }
    if (label >= 0) {
        nn_jw_key(&w, "label");
        nn_jw_int(&w, label);
    }
    nn_jw_end_obj(&w);
    p->shown_any = true;
}

static nn_status run_batch(predictor *p, int64_t first, int64_t n, const int32_t *labels,
                           nn_err *err) {
    nn_status s = p->exec->engine->forward(p->exec, n, err);
    if (s) return s;
    const float *y = p->exec->engine->output(p->exec, 0);
    for (int64_t r = 0; r < n; r++) {
        const float *row = y + r * p->outputs;
        int32_t label = labels ? labels[r] : -1;
        int64_t top;
        if (label >= 0 && p->outputs > 1 && best(row, p->outputs, 1, &top)) {
            p->labelled++;
            p->correct += top == label;
        }
        (p->json ? json_row : text_row)(p, first + r, row, label);
    }
    return NN_OK;
}

static nn_status from_dataset(predictor *p, int64_t offset, int64_t limit, nn_err *err) {
    nn_dataset *d = p->data;
    if (!nn_shape_equal(&d->shape, input_shape(p))) {
        char want[96], got[96];
        return nn_fail(err, NN_E_DATA_ERROR, "the model takes samples of %s, data set %s has %s",
                       nn_shape_print(input_shape(p), false, want, sizeof want), d->name,
                       nn_shape_print(&d->shape, false, got, sizeof got));
    }
    d->norm = (nn_normalisation){p->model->scale, p->model->offset};
    uint32_t index[256];
    int32_t labels[256];
    for (int64_t at = offset; at < offset + limit;) {
        int64_t n = offset + limit - at < p->batch ? offset + limit - at : p->batch;
        for (int64_t i = 0; i < n; i++) index[i] = (uint32_t)(at + i);
        nn_batch_fill(d, index, n, p->exec->engine->input(p->exec, 0), d->labels ? labels : NULL,
                      NULL);
        nn_status s = run_batch(p, at, n, d->labels ? labels : NULL, err);
        if (s) return s;
        at += n;
    }
    return NN_OK;
}

/* The file's rows, normalised, as floats in x. */
static nn_status read_rows(const nn_model *m, const char *path, nn_buf *x, int64_t *ret_rows,
                           nn_err *err) {
    NN_BUF text = {0};
    NN_JR r;
    nn_jr_token t;
    const nn_tensor_form form = {.name = "rows",
                                 .shape = m->graph->nodes[m->graph->inputs[0]].shape,
                                 .scale = m->scale,
                                 .offset = m->offset};
    nn_jr_init(&r, NULL, 0);
    nn_status s = nn_file_read(path, (size_t)256 << 20, &text, err);
    if (!s) {
        nn_jr_init(&r, nn_buf_str(&text), text.n);
        s = nn_jr_next(&r, &t, err);
    }
    if (!s) s = nn_tensor_read(&r, &t, &form, x, ret_rows, NULL, err);
    if (!s) s = nn_jr_next(&r, &t, err); /* nothing behind them */
    if (s) nn_err_prefix(err, "%s", path);
    return s;
}

static nn_status from_rows(predictor *p, const float *x, int64_t rows, nn_err *err) {
    nn_status s = NN_OK;
    for (int64_t first = 0; !s && first < rows; first += p->batch) {
        int64_t n = rows - first < p->batch ? rows - first : p->batch;
        memcpy(p->exec->engine->input(p->exec, 0), x + first * p->inputs,
               (size_t)(n * p->inputs) * sizeof *x);
        s = run_batch(p, first, n, NULL, err);
    }
    return s;
}

static nn_status predict_dataset(predictor *p, const nn_args *a, nn_err *err) {
    const char *split = nn_opt(a, "split");
    int64_t offset, limit;
    nn_status s = nn_dataset_open(
        nn_opt(a, "data"), split && strcmp(split, "train") == 0 ? NN_SPLIT_TRAIN : NN_SPLIT_TEST,
        &p->data, err);
    if (!s) s = nn_opt_int(a, "offset", 0, 0, p->data->rows - 1, &offset, err);
    if (!s) s = nn_opt_int(a, "limit", 10, 1, INT64_MAX, &limit, err);
    if (s) return s;
    if (limit > p->data->rows - offset) limit = p->data->rows - offset;
    s = open_engine(p, nn_opt(a, "engine"), limit, err);
    return s ? s : from_dataset(p, offset, limit, err);
}

static nn_status predict_file(predictor *p, const nn_args *a, nn_err *err) {
    NN_BUF x = {0};
    int64_t rows;
    nn_status s = read_rows(p->model, nn_opt(a, "input"), &x, &rows, err);
    if (!s) s = open_engine(p, nn_opt(a, "engine"), rows, err);
    return s ? s : from_rows(p, (const float *)(const void *)x.p, rows, err);
}

static nn_status predict(predictor *p, const nn_args *a, nn_err *err) {
    int64_t top;
    nn_status s = nn_opt_int(a, "top", 1, 1, 16, &top, err);
    if (!s && !nn_opt(a, "data") == !nn_opt(a, "input")) {
        s = nn_fail(err, NN_E_USAGE, "predict: give --data SET or --input FILE, one of them");
        return nn_err_hint(err, s, "for example: neural predict %s --data fashion-mnist --limit 5",
                           a->operands[0]);
    }
    if (!s) s = nn_model_load(a->operands[0], &p->model, err);
    if (s) return s;
    p->top = (int)top;
    p->json = nn_opt_given(a, "json");
    if (p->json) nn_buf_puts(&p->out, "[");
    s = nn_opt(a, "data") ? predict_dataset(p, a, err) : predict_file(p, a, err);
    if (s) return s;
    if (p->json) nn_buf_puts(&p->out, "]\n");
    if (!p->json && p->labelled)
        nn_buf_printf(&p->out, "%" PRId64 " of %" PRId64 " right\n", p->correct, p->labelled);
    return nn_buf_failed(&p->out) ? nn_fail(err, NN_E_LIMIT, "the output passes 2 GiB; use --limit")
                                  : nn_print(nn_buf_str(&p->out), p->out.n, err);
}

static nn_status run_predict(const nn_args *a, nn_err *err) {
    predictor p = {0};
    nn_status s = predict(&p, a, err);
    predictor_done(&p);
    return s;
}

static const nn_option options[] = {
    {"data",        'd', "SET", "data set: a name or a path", NULL},
    {"split",        0, "SPLIT", "which part of it (default test)", "train|test"},
    {"limit",         'n', "N", "how many rows (default 10)", NULL},
    {"offset",       0, "N", "the first row (default 0)", NULL},
    {"input",      'i', "FILE", "a JSON array with one entry a row, raw values (before normalisation)",
     NULL},
    {"top", 'k', "N", "how many classes a row, best first (default 1)", NULL},
    {"engine",       0, "NAME", "what runs the model (default native)", "native|reference"},
    {"json",          0, NULL, "print JSON", NULL},
    {0        }
};
const nn_command nn_command_predict = {
    .operands = "MODEL",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .run = run_predict,
    .description = "MODEL is a .safetensors file written by `neural train`.",
    .examples = "  neural predict fashion.safetensors --data fashion-mnist --split test --limit 5\n"
                "  neural predict fashion.safetensors --input rows.json --top 3 --json"};
