/* SPDX-License-Identifier: MIT */
/* predict.c - asks a model about rows of a data set, or about rows of numbers in a JSON file. */
#include "base/file.h"
#include "cli/cli.h"
#include "data/dataset.h"
#include "data/npy.h"
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
    nn_buf x[8]; /* by input: the rows of files, as floats, normalised */
    int64_t rows, outputs, batch;
    int top;
    bool json, shown_any;
    int64_t labelled, correct;
    nn_buf out;
} predictor;

static void predictor_done(predictor *p) {
    nn_exec_closep(&p->exec);
    nn_dataset_free(p->data);
    for (int i = 0; i < 8; i++) nn_buf_done(&p->x[i]);
    nn_model_free(p->model);
    nn_buf_done(&p->out);
}

static const nn_node *input_of(const predictor *p, int i) {
    return &p->model->graph->nodes[p->model->graph->inputs[i]];
}

static const nn_node *output_of(const predictor *p, int i) {
    return &p->model->graph->nodes[p->model->graph->outputs[i]];
}

static nn_status open_engine(predictor *p, const char *name, int64_t rows, nn_err *err) {
    const nn_graph *g = p->model->graph;
    nn_engine_choice choice;
    nn_status s = nn_engine_choose(name, g, false, &choice, err);
    if (s) return s;
    if (*choice.warning) fprintf(stderr, "warning: %s\n", choice.warning);
    p->outputs = nn_shape_elements(&output_of(p, 0)->shape);
    p->batch = rows < 256 ? rows : 256;
    nn_exec_options o = {.batch = p->batch};
    s = choice.engine->open(g, &o, &p->exec, err);
    if (s) return s;
    choice.engine->set_weights(p->exec, p->model->weights);
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

/* A row of a network with several outputs: each by its name. */
static void named_row(predictor *p, int64_t row, int64_t at) {
    const nn_graph *g = p->model->graph;
    nn_jw w = {.out = &p->out};
    if (p->json && p->shown_any) nn_buf_puts(&p->out, ",\n ");
    if (p->json)
        nn_buf_printf(&p->out, "{\"row\":%" PRId64 ",\"outputs\":{", row);
    else
        nn_buf_printf(&p->out, "row %-6" PRId64, row);
    for (int i = 0; i < g->n_outputs; i++) {
        const nn_node *n = output_of(p, i);
        int64_t wide = nn_shape_elements(&n->shape);
        const float *y = p->exec->engine->output(p->exec, i) + at * wide;
        if (p->json) {
            nn_jw_key(&w, n->layer_name);
            nn_jw_arr(&w);
            for (int64_t e = 0; e < wide; e++) nn_jw_float(&w, y[e]);
            nn_jw_end_arr(&w);
            continue;
        }
        nn_buf_printf(&p->out, "%s%s", i ? "; " : " ", n->layer_name);
        for (int64_t e = 0; e < wide; e++) nn_buf_printf(&p->out, " %.6g", (double)y[e]);
    }
    nn_buf_puts(&p->out, p->json ? "}}" : "\n");
    p->shown_any = true;
}

static void one_row(predictor *p, int64_t row, const float *y, int32_t label) {
    int64_t top;
    if (label >= 0 && p->outputs > 1 && best(y, p->outputs, 1, &top)) {
        p->labelled++;
        p->correct += top == label;
    }
    (p->json ? json_row : text_row)(p, row, y, label);
}

static nn_status run_batch(predictor *p, int64_t first, int64_t n, const int32_t *labels,
                           nn_err *err) {
    nn_status s = p->exec->engine->forward(p->exec, n, err);
    if (s) return s;
    const float *y = p->exec->engine->output(p->exec, 0);
    for (int64_t r = 0; r < n; r++)
        if (p->model->graph->n_outputs > 1)
            named_row(p, first + r, r);
        else
            one_row(p, first + r, y + r * p->outputs, labels ? labels[r] : -1);
    return NN_OK;
}

/* The blocks of the data set that the model's inputs take, normalised as the model says. */
static nn_status match_inputs(predictor *p, nn_block *ret[8], nn_err *err) {
    nn_dataset *d = p->data;
    for (int i = 0; i < p->model->graph->n_inputs; i++) {
        const nn_shape *shape = &input_of(p, i)->shape;
        int at = nn_dataset_block(d, input_of(p, i)->layer_name, p->model->graph->n_inputs == 1);
        if (at < 0)
            return nn_fail(err, NN_E_DATA_ERROR, "data set %s has no samples for the input '%s'",
                           d->name, input_of(p, i)->layer_name);
        nn_block *b = &d->block[at];
        if (!nn_block_fits(b, shape)) {
            char want[96], got[96];
            return nn_fail(err, NN_E_DATA_ERROR,
                           "the model takes samples of %s, data set %s has %s",
                           nn_shape_print(shape, false, want, sizeof want), d->name,
                           nn_shape_print(&b->shape, false, got, sizeof got));
        }
        b->norm = (nn_normalisation){p->model->scale, p->model->offset};
        ret[i] = b;
    }
    return NN_OK;
}

static nn_status from_dataset(predictor *p, int64_t offset, int64_t limit, nn_err *err) {
    nn_dataset *d = p->data;
    nn_block *blocks[8];
    uint32_t index[256];
    int32_t labels[256];
    nn_status s = match_inputs(p, blocks, err);
    for (int64_t at = offset; !s && at < offset + limit;) {
        int64_t n = offset + limit - at < p->batch ? offset + limit - at : p->batch;
        for (int64_t i = 0; i < n; i++) index[i] = (uint32_t)(at + i);
        nn_batch_targets(d, index, n, labels, NULL);
        for (int i = 0; !s && i < p->model->graph->n_inputs; i++)
            s = nn_batch_fill(blocks[i], index, n, NULL, p->exec->engine->input(p->exec, i), err);
        if (!s) s = run_batch(p, at, n, d->labels ? labels : NULL, err);
        at += n;
    }
    return s;
}

/* ---- rows in files ---- */

static nn_status read_json_rows(const predictor *p, nn_jr *r, const nn_jr_token *t, int input,
                                nn_buf *x, int64_t *ret_rows, nn_err *err) {
    const nn_tensor_form form = {.name = "rows",
                                 .shape = input_of(p, input)->shape,
                                 .scale = p->model->scale,
                                 .offset = p->model->offset};
    nn_buf_clear(x);
    return nn_tensor_read(r, t, &form, x, ret_rows, NULL, err);
}

static nn_status no_input(const predictor *p, const char *name, int n, nn_err *err) {
    NN_BUF names = {0};
    for (int i = 0; i < p->model->graph->n_inputs; i++)
        nn_buf_printf(&names, "%s%s", i ? ", " : "", input_of(p, i)->layer_name);
    nn_status s = nn_fail(err, NN_E_USAGE, "'%.*s' is not an input of this model; its inputs: %s",
                          n, name, nn_buf_str(&names));
    return nn_err_hint(err, s, "give --input NAME=FILE for each of them");
}

static int find_input(const predictor *p, const char *name, size_t n) {
    for (int i = 0; i < p->model->graph->n_inputs; i++) {
        const char *have = input_of(p, i)->layer_name;
        if (strlen(have) == n && memcmp(have, name, n) == 0) return i;
    }
    return -1;
}

/* The rows of input i are there, as many as those of the others. */
static nn_status keep_rows(predictor *p, int i, int64_t rows, nn_err *err) {
    for (int k = 0; k < p->model->graph->n_inputs; k++)
        if (k != i && p->x[k].n && rows != p->rows)
            return nn_fail(err, NN_E_DATA_ERROR,
                           "input '%s' has %" PRId64 " rows, '%s' has %" PRId64,
                           input_of(p, i)->layer_name, rows, input_of(p, k)->layer_name, p->rows);
    p->rows = rows;
    return NN_OK;
}

/* {name: rows, ...} */
static nn_status read_json_named(predictor *p, nn_jr *r, nn_err *err) {
    for (;;) {
        nn_jr_token key, t;
        int64_t rows;
        nn_status s = nn_jr_next(r, &key, err);
        if (s || key.type == NN_JR_END_OBJECT) return s;
        int i = find_input(p, key.text, (size_t)key.n);
        if (i < 0) return no_input(p, key.text, (int)key.n, err);
        s = nn_jr_next(r, &t, err);
        if (!s) s = read_json_rows(p, r, &t, i, &p->x[i], &rows, err);
        if (!s) s = keep_rows(p, i, rows, err);
        if (s) return s;
    }
}

/* input < 0: the file must say itself which rows are which input's. */
static nn_status read_json(predictor *p, const nn_buf *text, int input, nn_err *err) {
    NN_JR r;
    nn_jr_token t;
    int64_t rows;
    nn_jr_init(&r, nn_buf_str(text), text->n);
    nn_status s = nn_jr_next(&r, &t, err);
    if (s) return s;
    if (t.type == NN_JR_OBJECT && input < 0)
        s = read_json_named(p, &r, err);
    else if (input < 0)
        return no_input(p, "", 0, err);
    else {
        s = read_json_rows(p, &r, &t, input, &p->x[input], &rows, err);
        if (!s) s = keep_rows(p, input, rows, err);
    }
    return s ? s : nn_jr_next(&r, &t, err); /* nothing behind them */
}

static nn_status read_npy(predictor *p, const nn_buf *bytes, const char *path, int input,
                          nn_err *err) {
    nn_npy a;
    nn_status s = nn_npy_parse(bytes->p, bytes->n, path, &a, err);
    if (s) return s;
    if (input < 0) return no_input(p, "", 0, err);
    const nn_shape *shape = &input_of(p, input)->shape;
    int64_t wide = nn_shape_elements(shape), rows = a.rank ? a.dim[0] : 0;
    char want[96];
    if (rows < 1 || wide < 1 || a.elements != rows * wide)
        return nn_fail(err, NN_E_DATA_ERROR,
                       "%" PRId64 " numbers in %" PRId64 " rows, expected rows of %s", a.elements,
                       rows, nn_shape_print(shape, false, want, sizeof want));
    nn_buf_clear(&p->x[input]);
    for (int64_t i = 0; i < a.elements; i++) {
        float v = (float)nn_npy_at(&a, i) * p->model->scale + p->model->offset;
        nn_buf_append(&p->x[input], &v, sizeof v);
    }
    return keep_rows(p, input, rows, err);
}

/* "FILE" or "NAME=FILE" */
static nn_status read_input(predictor *p, const char *given, nn_err *err) {
    const char *eq = strchr(given, '='), *path = given;
    int input = eq ? find_input(p, given, (size_t)(eq - given)) : -1;
    if (input >= 0) path = eq + 1;
    if (input < 0 && p->model->graph->n_inputs == 1) input = 0;
    if (input < 0 && eq) return no_input(p, given, (int)(eq - given), err);
    NN_BUF bytes = {0};
    size_t n = strlen(path);
    nn_status s = nn_file_read(path, (size_t)256 << 20, &bytes, err);
    if (s) return s;
    if (n > 4 && strcmp(path + n - 4, ".npy") == 0)
        s = read_npy(p, &bytes, path, input, err);
    else
        s = read_json(p, &bytes, input, err);
    if (s) nn_err_prefix(err, "%s", path);
    return s;
}

static nn_status read_inputs(predictor *p, const nn_args *a, nn_err *err) {
    const char *given;
    for (int k = 0; (given = nn_opt_nth(a, "input", k)); k++) {
        nn_status s = read_input(p, given, err);
        if (s) return s;
    }
    for (int i = 0; i < p->model->graph->n_inputs; i++)
        if (!p->x[i].n)
            return nn_fail(err, NN_E_USAGE, "the model's input '%s' is not given: --input %s=FILE",
                           input_of(p, i)->layer_name, input_of(p, i)->layer_name);
        else if (nn_buf_failed(&p->x[i]))
            return nn_fail(err, NN_E_LIMIT, "the rows of '%s' pass 2 GiB",
                           input_of(p, i)->layer_name);
    return NN_OK;
}

static nn_status from_rows(predictor *p, nn_err *err) {
    nn_status s = NN_OK;
    for (int64_t first = 0; !s && first < p->rows; first += p->batch) {
        int64_t n = p->rows - first < p->batch ? p->rows - first : p->batch;
        for (int i = 0; i < p->model->graph->n_inputs; i++) {
            size_t wide = p->x[i].n / (size_t)p->rows; /* bytes a row */
            memcpy(p->exec->engine->input(p->exec, i), p->x[i].p + (size_t)first * wide,
                   (size_t)n * wide);
        }
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
    nn_status s = read_inputs(p, a, err);
    if (!s) s = open_engine(p, nn_opt(a, "engine"), p->rows, err);
    return s ? s : from_rows(p, err);
}

static nn_status predict(predictor *p, const nn_args *a, nn_err *err) {
    int64_t top;
    nn_status s = nn_opt_int(a, "top", 1, 1, 16, &top, err);
    if (!s && !nn_opt(a, "data") == !nn_opt_nth(a, "input", 0)) {
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
    {"input",      'i', "[NAME=]FILE...",
     "rows of raw values (before normalisation): JSON, one entry a row, or .npy; of a model with several "
     "inputs NAME=FILE for each, or one JSON file {NAME: rows}", NULL},
    {"top", 'k', "N", "how many classes a row, best first (default 1)", NULL},
    {"engine",       0, "NAME",
     "what runs the model (default: native, and reference for what native lacks)", "native|reference"},
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
                "  neural predict fashion.safetensors --input rows.json --top 3 --json\n"
                "  neural predict two.safetensors --input image=images.npy --input meta=meta.json"};
