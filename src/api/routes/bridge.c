/* SPDX-License-Identifier: MIT */
/* bridge.c - the language over HTTP: /api/parse, /api/shape-propagation, /api/generate-code,
 * /api/compile (rest-api.md 13.1).
 *
 * What is wrong with a program or a model_data is an answer like any other: 200 with success false,
 * the first error as a sentence and all of them as diagnostics. Answers are written, not built, but
 * for model_data: a network may have a hundred thousand layers. */
#include "api/model_source.h"
#include "api/network_views.h"
#include "api/views.h"
#include "codegen/backend.h"
#include "compile/model_data.h"
#include "compile/space.h"
#include "jobs/kinds.h"
#include "jobs/render.h"

#include <stdlib.h>
#include <string.h>

enum { ARENA_CAP = 256 << 20, DSL_MAX = 1 << 20, PARAMS_MAX = 1000, SENTENCE_MAX = 500 };

/* ---- one request's work ---- */

typedef struct work {
    nn_request *q;
    const nn_schema *answer;
    nn_arena *arena; /* of the unit */
    nn_source src;
    bool json; /* src is model_data */
    nn_diags *diags;
    nn_unit *unit;
    const nn_diag **sorted; /* the stored diagnostics by place */
    int n_sorted;
    nn_operation *op; /* of /api/compile; NULL: none */
} work;

static void work_reset(work *w) {
    free(w->sorted);
    w->sorted = NULL;
    w->n_sorted = 0;
    w->unit = NULL;
    w->arena = nn_arena_free(w->arena);
}

static void work_done(work *w) {
    work_reset(w);
    nn_operation_freep(&w->op);
}
#define WORK __attribute__((cleanup(work_done))) work

static nn_status begin(work *w, nn_err *err) {
    work_reset(w);
    w->arena = nn_arena_new(NULL, "bridge", ARENA_CAP);
    w->diags = nn_diags_new(w->arena, &w->src);
    if (w->diags) return NN_OK;
    return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for a compilation");
}

static const char *text_of(const work *w, const char *field) {
    return nn_json_str(nn_json_get(w->q->body, field), "");
}

static bool flag_of(const work *w, const char *field) {
    return nn_json_bool(nn_json_get(w->q->body, field), false);
}

static nn_status compile_text(work *w, nn_err *err) {
    const char *text = text_of(w, "dsl_code");
    nn_compile_options opt = {.auto_flatten = flag_of(w, "auto_flatten_output")};
    w->src = (nn_source){"<dsl_code>", text, strlen(text)};
    nn_status s = begin(w, err);
    if (!s) s = nn_compile(w->arena, &w->src, &opt, w->diags, &w->unit, err);
    if (w->diags) w->sorted = nn_diags_sorted(w->diags, &w->n_sorted);
    return s;
}

static nn_status compile_data(work *w, const nn_setting *settings, int n, nn_err *err) {
    const nn_json *data = nn_json_get(w->q->body, "model_data");
    nn_compile_options opt = {.auto_flatten =
                                  flag_of(w, "auto_flatten_output") ||
                                  nn_json_bool(nn_json_get(data, "auto_flatten_output"), false),
                              .settings = settings,
                              .n_settings = n};
    w->src = nn_model_source(w->q);
    w->json = true;
    nn_status s = begin(w, err);
    if (!s) s = nn_compile_source(w->arena, &w->src, &opt, w->diags, &w->unit, err);
    if (w->diags) w->sorted = nn_diags_sorted(w->diags, &w->n_sorted);
    return s;
}

/* ---- answers ---- */

/* "line 2, column 5: …" of a program; of model_data the message begins with the path. */
static void put_sentence(const work *w, int i, nn_buf *out) {
    const nn_diag *d = w->sorted[i];
    if (!w->json) nn_buf_printf(out, "line %d, column %d: ", d->span.line, d->span.col);
    nn_buf_puts(out, d->message);
    if (d->severity == NN_SEV_ERROR && d->hint) nn_buf_printf(out, "; %s", d->hint);
}

static void put_first_error(const work *w, const nn_err *err, nn_buf *out) {
    for (int i = 0; i < w->n_sorted; i++)
        if (w->sorted[i]->severity == NN_SEV_ERROR) {
            put_sentence(w, i, out);
            return;
        }
    nn_buf_puts(out, err->msg);
    if (err->hint[0]) nn_buf_printf(out, "; %s", err->hint);
}

/* A sentence of some lines at most, whatever names are in it. */
static void cut(nn_buf *text) {
    if (text->n <= SENTENCE_MAX) return;
    text->n = SENTENCE_MAX;
    while (((unsigned char)text->p[text->n] & 0xC0) == 0x80) text->n--; /* whole characters */
    nn_buf_puts(text, "…");
}

/* Fields that nobody knows, and what the compiler warns of; after a failure null rather than an
 * empty list. An operation has them all. */
static void put_warnings(const work *w, nn_jw *jw, bool success) {
    const nn_json *list = w->op ? w->op->warnings : w->q->warnings;
    int n = 0;
    for (int i = 0; i < w->n_sorted && !w->op; i++) n += w->sorted[i]->severity == NN_SEV_WARNING;
    if (!success && !n && !nn_json_size(list)) {
        nn_jw_null(jw);
        return;
    }
    nn_jw_arr(jw);
    for (size_t i = 0; i < nn_json_size(list); i++) nn_jw_value(jw, nn_json_at(list, i));
    for (int i = 0; i < w->n_sorted && n; i++) {
        NN_BUF text = {0};
        if (w->sorted[i]->severity != NN_SEV_WARNING) continue;
        put_sentence(w, i, &text);
        cut(&text);
        nn_jw_str(jw, nn_buf_str(&text));
    }
    nn_jw_end_arr(jw);
}

static void put_diagnostics(const work *w, nn_jw *jw) {
    NN_JSON *list = w->diags && w->arena ? nn_diags_json(w->diags) : nn_json_new_array();
    nn_jw_value(jw, list);
}

/* What every answer has besides success and error. */
static void put_common(const work *w, nn_jw *jw, bool success) {
    nn_jw_key(jw, "warnings");
    put_warnings(w, jw, success);
    nn_jw_key(jw, "diagnostics");
    put_diagnostics(w, jw);
}

static bool is_common(const char *name) {
    return strcmp(name, "warnings") == 0 || strcmp(name, "diagnostics") == 0;
}

/* 200 with success false: the error, and null for what there is not. */
static nn_status refuse(const work *w, const char *error, nn_err *err) {
    nn_jw jw = nn_reply_writer(w->q);
    nn_jw_obj(&jw);
    for (const nn_member *f = w->answer->fields; f->name; f++) {
        if (is_common(f->name)) continue;
        nn_jw_key(&jw, f->name);
        if (strcmp(f->name, "success") == 0)
            nn_jw_bool(&jw, false);
        else if (strcmp(f->name, "error") == 0)
            nn_jw_str(&jw, error);
        else if (strcmp(f->name, "operation_id") == 0 && w->op)
            nn_jw_str(&jw, w->op->id);
        else
            nn_jw_null(&jw);
    }
    put_common(w, &jw, false);
    nn_jw_end_obj(&jw);
    return nn_reply_written(w->q, 200, err);
}

static nn_status refuse_error(const work *w, const nn_err *why, nn_err *err) {
    NN_BUF text = {0};
    put_first_error(w, why, &text);
    cut(&text);
    return refuse(w, nn_buf_str(&text), err);
}

static nn_jw accept(const work *w) {
    nn_jw jw = nn_reply_writer(w->q);
    nn_jw_obj(&jw);
    nn_jw_key(&jw, "success");
    nn_jw_bool(&jw, true);
    nn_jw_key(&jw, "error");
    nn_jw_null(&jw);
    return jw;
}

static nn_status accepted(const work *w, nn_jw *jw, nn_err *err) {
    put_common(w, jw, true);
    nn_jw_end_obj(jw);
    return nn_reply_written(w->q, 200, err);
}

/* Shape generation 1 (language.md 9). */
static void put_model_data(const work *w, nn_jw *jw) {
    NN_JSON *data = nn_model_data(w->unit, NN_MODEL_DATA_REFERENCE);
    if (flag_of(w, "auto_flatten_output"))
        nn_json_set(data, "auto_flatten_output", nn_json_new_bool(true));
    nn_jw_key(jw, "model_data");
    nn_jw_value(jw, data);
}

/* ---- members that several schemas share ---- */

#define MEMBER_SUCCESS                                                                             \
    {"success", NN_BOOLEAN, .required = true, .help = "false: see error"}, {                       \
        "error", NN_STRING, .required = true, .nullable = true,                                    \
                            .help = "the first error, a sentence"                                  \
    }
#define MEMBER_COMMON                                                                              \
    {"warnings",       NN_ARRAY,         .items = NN_STRING,                                       \
     .required = true, .nullable = true, .help = "what was odd"},                                  \
    {                                                                                              \
        "diagnostics", NN_ARRAY,                                                                   \
            .items = NN_OBJECT, .required = true,                                                  \
            .help =                                                                                \
                "errors and warnings with places and fixes; of model_data with the path in the "   \
                "message, lines counted from its first brace"                                      \
    }
#define MEMBER_DSL_CODE                                                                            \
    { "dsl_code", NN_STRING, .required = true, .max = DSL_MAX, .help = "the program" }
#define MEMBER_PARSER_TYPE                                                                         \
    {                                                                                              \
        "parser_type", NN_STRING, .one_of = "network research", .preset = "network",               \
                                  .help = "what the text is"                                       \
    }
#define MEMBER_MODEL_DATA                                                                          \
    { "model_data", NN_OBJECT, .required = true, .help = "a network as /api/parse gives it" }
#define MEMBER_BACKEND                                                                             \
    {                                                                                              \
        "backend", NN_STRING,                                                                      \
            .preset = "tensorflow",                                                                \
            .help = "what to generate: tensorflow, pytorch, onnx (its text form) or keras-json"    \
    }
#define MEMBER_AUTO_FLATTEN                                                                        \
    {                                                                                              \
        "auto_flatten_output", NN_BOOLEAN,                                                         \
            .preset = "false",                                                                     \
            .help = "insert Flatten before Dense or Output where the rank asks for it"             \
    }
#define MEMBER_DATASET                                                                             \
    {                                                                                              \
        "dataset", NN_STRING, .max = 4096, .preset = "MNIST",                                      \
                              .help = "data set of the generated program"                          \
    }
#define MEMBER_ANSWER_DATA                                                                         \
    {                                                                                              \
        "model_data", NN_OBJECT,                                                                   \
            .required = true, .nullable = true,                                                    \
            .help = "the network as JSON; the routes that take it give the same for it"            \
    }
#define MEMBER_CODE                                                                                \
    { "code", NN_STRING, .required = true, .nullable = true, .help = "the generated program" }
#define MEMBER_SHAPE_HISTORY                                                                       \
    {                                                                                              \
        "shape_history", NN_ARRAY, .items = NN_OBJECT, .of = &nn_schema_shape_row,                 \
                                   .required = true, .nullable = true,                             \
                                   .help = "each layer's shapes"                                   \
    }

/* ---- POST /api/parse ---- */

static const nn_member parse_members[] = {MEMBER_DSL_CODE, MEMBER_PARSER_TYPE, {0}};
static const nn_schema parse_request = {"BridgeParseRequest", parse_members,
                                        .help = "a program to read"};
static const nn_member parse_answer_members[] = {
    MEMBER_SUCCESS, MEMBER_ANSWER_DATA, MEMBER_COMMON, {0}};
static const nn_schema parse_answer = {"BridgeParseAnswer", parse_answer_members,
                                       .help = "a program as JSON"};

static bool is_research(const work *w) {
    return strcmp(text_of(w, "parser_type"), "research") == 0;
}

static nn_status parse_research(work *w, nn_err *err) {
    const char *text = text_of(w, "dsl_code");
    w->src = (nn_source){"<dsl_code>", text, strlen(text)};
    nn_status s = begin(w, err);
    if (s) return s;
    nn_program *tree = nn_parse(w->arena, &w->src, NN_START_RESEARCH, w->diags);
    w->sorted = nn_diags_sorted(w->diags, &w->n_sorted);
    if (w->diags->errors || !tree)
        return refuse_error(w, &(nn_err){.msg = "the program is too large"}, err);
    NN_JSON *data = nn_research_data(tree);
    nn_jw jw = accept(w);
    nn_jw_key(&jw, "model_data");
    nn_jw_value(&jw, data);
    return accepted(w, &jw, err);
}

static nn_status post_parse(nn_request *q, nn_err *err) {
    WORK w = {.q = q, .answer = &parse_answer};
    nn_err why = {0};
    if (is_research(&w)) return parse_research(&w, err);
    if (compile_text(&w, &why)) return refuse_error(&w, &why, err);
    nn_jw jw = accept(&w);
    put_model_data(&w, &jw);
    return accepted(&w, &jw, err);
}

/* ---- POST /api/shape-propagation ---- */

static const nn_member shape_members[] = {
    MEMBER_MODEL_DATA,
    {"framework",                     NN_STRING, .one_of = "tensorflow pytorch", .preset = "tensorflow",
      .help = "either: shapes are the language's, channels last, whoever runs the code"},
    {0}
};
static const nn_schema shape_request = {"BridgeShapeRequest", shape_members,
                                        .help = "a network whose shapes are wanted"};
static const nn_member shape_answer_members[] = {
    MEMBER_SUCCESS,
    MEMBER_SHAPE_HISTORY,
    {"trace",                          NN_ARRAY, .items = NN_OBJECT, .of = &nn_schema_trace_row, .required = true,
      .nullable = true, .help = "what each layer costs"},
    {"issues",              NN_ARRAY, .items = NN_OBJECT, .of = &nn_schema_issue, .required = true,
      .nullable = true, .help = "what is probably not meant"},
    {"optimizations",                NN_ARRAY, .items = NN_OBJECT, .of = &nn_schema_optimization, .required = true,
      .nullable = true, .help = "what could be cheaper"},
    MEMBER_COMMON,
    {0}
};
static const nn_schema shape_answer = {"BridgeShapeAnswer", shape_answer_members,
                                       .help = "the shapes of a network"};

static const char no_shape[] = "model_data must contain 'input' with 'shape'";

static bool has_shape(const work *w) {
    return nn_model_source_has_shape(nn_json_get(w->q->body, "model_data"));
}

static nn_status post_shapes(nn_request *q, nn_err *err) {
    WORK w = {.q = q, .answer = &shape_answer};
    nn_err why = {0};
    if (!has_shape(&w)) return refuse(&w, no_shape, err);
    if (compile_data(&w, NULL, 0, &why)) return refuse_error(&w, &why, err);
    const nn_finding *found = nn_findings(w.arena, w.unit);
    nn_jw jw = accept(&w);
    nn_jw_key(&jw, "shape_history");
    nn_view_shape_history(&jw, w.unit);
    nn_jw_key(&jw, "trace");
    nn_view_trace(&jw, w.unit);
    nn_jw_key(&jw, "issues");
    nn_view_findings(&jw, w.unit, found, false);
    nn_jw_key(&jw, "optimizations");
    nn_view_findings(&jw, w.unit, found, true);
    return accepted(&w, &jw, err);
}

/* ---- POST /api/generate-code ---- */

static const nn_member code_members[] = {
    MEMBER_MODEL_DATA,
    MEMBER_BACKEND,
    {"best_params",    NN_MAP, .items = NN_ANY, .max = PARAMS_MAX,
      .help = "values of search points by path, alias, or as \"dense_units\", \"learning_rate\""},
    MEMBER_AUTO_FLATTEN,
    MEMBER_DATASET,
    {0}
};
static const nn_schema code_request = {"BridgeCodeRequest", code_members,
                                       .help = "a network to generate code from"};
static const nn_member code_answer_members[] = {MEMBER_SUCCESS, MEMBER_CODE, MEMBER_COMMON, {0}};
static const nn_schema code_answer = {"BridgeCodeAnswer", code_answer_members,
                                      .help = "generated code"};

/* NULL, with the sentence, for a backend that this program does not have. */
static const nn_backend *find_backend(const work *w, nn_buf *error) {
    const char *name = text_of(w, "backend");
    NN_BUF list = {0};
    const nn_backend *found = nn_backend_choose(name, &list);
    if (!found)
        nn_buf_printf(error, "Unsupported backend: %.60s. Choose %s.", name, nn_buf_str(&list));
    return found;
}

/* Compiles model_data, and again with best_params where they set anything: which points there are
 * is known only then. */
static nn_status compile_chosen(work *w, nn_err *err) {
    const nn_json *chosen = nn_json_get(w->q->body, "best_params");
    nn_setting *settings;
    int n = 0;
    nn_status s = compile_data(w, NULL, 0, err);
    if (s || !nn_json_size(chosen)) return s;
    s = nn_model_settings(nn_request_arena(w->q), w->unit->space, chosen, w->q->warnings, &settings,
                          &n, err);
    return s || !n ? s : compile_data(w, settings, n, err);
}

/* Code for a search space uses the first value of each point (12.2): said, so that nobody wonders.
 */
static void tell_defaults(work *w) {
    nn_unit_defaults(w->unit, w->diags);
    free(w->sorted);
    w->sorted = nn_diags_sorted(w->diags, &w->n_sorted);
}

/* What an answer of one text leaves out. */
static void tell_files(const work *w, const nn_backend *b) {
    NN_BUF text = {0};
    if (!b->weights) return;
    nn_buf_printf(&text,
                  "backend '%s' is a file with weights, of which this is the text: POST "
                  "/api/compile keeps the file%s as artifacts of its operation",
                  b->name, b->text ? "" : "s");
    nn_json_push(w->q->warnings, nn_json_new_str(nn_buf_str(&text)));
}

static nn_status post_code(nn_request *q, nn_err *err) {
    WORK w = {.q = q, .answer = &code_answer};
    NN_BUF text = {0};
    nn_err why = {0};
    const nn_backend *b = find_backend(&w, &text);
    if (!b) return refuse(&w, nn_buf_str(&text), err);
    if (!has_shape(&w)) return refuse(&w, no_shape, err);
    if (compile_chosen(&w, &why)) return refuse_error(&w, &why, err);
    if (nn_unit_whole(w.unit, &why)) return refuse_error(&w, &why, err);
    NN_RENDERING files = {0};
    nn_codegen_options opt = {.dataset = text_of(&w, "dataset")};
    if (nn_render(b, w.unit->graph, &opt, &files, &why)) return refuse_error(&w, &why, err);
    tell_defaults(&w);
    tell_files(&w, b);
    nn_jw jw = accept(&w);
    nn_jw_key(&jw, "code");
    nn_jw_strn(&jw, nn_buf_str(&files.text), files.text.n);
    return accepted(&w, &jw, err);
}

/* ---- POST /api/compile ---- */

static const nn_member compile_members[] = {
    MEMBER_DSL_CODE,    MEMBER_BACKEND,
    MEMBER_PARSER_TYPE, MEMBER_AUTO_FLATTEN,
    MEMBER_DATASET,     {"enable_hpo",                NN_BOOLEAN, .help = "as for /compile/"},
    NN_MEMBER_REQUEST,  {0}
};
static const nn_schema compile_request = {"BridgeCompileRequest", compile_members,
                                          .help = "a program to generate code from"};
static const nn_member compile_answer_members[] = {
    MEMBER_SUCCESS,
    MEMBER_CODE,
    MEMBER_ANSWER_DATA,
    MEMBER_SHAPE_HISTORY,
    {"metadata",                NN_OBJECT, .of = &nn_schema_network, .required = true, .nullable = true,
      .help = "the network in numbers"},
    {"model_id", NN_STRING, .required = true, .nullable = true, .format = "uuid",
      .help = "the model that was stored"},
    {"operation_id",         NN_STRING, .required = true, .nullable = true, .format = "uuid",
      .help = "the compilation; null: it was refused before it began"},
    MEMBER_COMMON,
    {0                        }
};
static const nn_schema compile_answer = {"BridgeCompileAnswer", compile_answer_members,
                                         .help = "a compilation"};

static nn_status compiled(const work *w, nn_err *err) {
    const nn_json *result = w->op->result;
    nn_jw jw = accept(w);
    nn_jw_key(&jw, "code");
    nn_jw_value(&jw, nn_json_get(result, "compiled_code"));
    put_model_data(w, &jw);
    nn_jw_key(&jw, "shape_history");
    nn_view_shape_history(&jw, w->unit);
    nn_jw_key(&jw, "metadata");
    nn_view_network(&jw, w->unit, nn_json_str(nn_json_get(result, "backend"), ""));
    nn_jw_key(&jw, "model_id");
    nn_jw_value(&jw, nn_json_get(result, "model_id"));
    nn_jw_key(&jw, "operation_id");
    nn_jw_str(&jw, w->op->id);
    return accepted(w, &jw, err);
}

/* What needs no operation to be refused; NULL: nothing. */
static const char *refusal(const work *w, nn_buf *text) {
    if (!find_backend(w, text)) return nn_buf_str(text);
    if (is_research(w))
        return "a research file holds no network to generate code from; POST /api/parse reads it";
    return NULL;
}

static bool is_blank(const char *program) {
    return !program[strspn(program, " \t\r\n")];
}

/* The operation stores the model and its code; the network is looked at again for the rest. */
static nn_status post_compile(nn_request *q, nn_err *err) {
    WORK w = {.q = q, .answer = &compile_answer};
    NN_BUF text = {0};
    nn_err why = {0};
    const char *refused = refusal(&w, &text);
    if (refused) return refuse(&w, refused, err);
    nn_status s = NN_OK;
    if (!is_blank(text_of(&w, "dsl_code")))
        s = nn_view_create(q, NN_KIND_COMPILE, true, &w.op, err);
    if (s) return s;
    if (compile_text(&w, &why)) return refuse_error(&w, &why, err);
    if (w.op->state != NN_STATE_SUCCEEDED)
        return refuse(&w, w.op->error ? w.op->error : "the compilation did not end", err);
    return compiled(&w, err);
}

static const nn_status compile_errors[] = {NN_E_QUEUE_FULL, 0};

static const char help[] = "What is wrong with the network is answered 200 with success false.";

const nn_route nn_routes_bridge[] = {
    {NN_HTTP_POST,               "/api/parse", post_parse, .face = NN_TAG_BRIDGE, .scope = NN_SCOPE_COMPILE,
     .summary = "Read a program", .help = help, .request = &parse_request,
     .response = &parse_answer},
    {NN_HTTP_POST,                "/api/shape-propagation", post_shapes, .face = NN_TAG_BRIDGE,
     .scope = NN_SCOPE_COMPILE, .summary = "Shapes and costs of a network", .help = help,
     .request = &shape_request, .response = &shape_answer},
    {NN_HTTP_POST, "/api/generate-code", post_code, .face = NN_TAG_BRIDGE,
     .scope = NN_SCOPE_COMPILE, .summary = "Generate code from model_data", .help = help,
     .request = &code_request, .response = &code_answer},
    {NN_HTTP_POST,              "/api/compile", post_compile, .face = NN_TAG_BRIDGE, .scope = NN_SCOPE_COMPILE,
     .summary = "Read a program, generate code, store the model", .help = help,
     .request = &compile_request, .response = &compile_answer, .errors = compile_errors},
    {0 }
};
