/* SPDX-License-Identifier: MIT */
/* models.c - /models (rest-api.md 12.6). A model is meant by id, name (its newest version) or
 * name@version. */
#include "api/views.h"

#include <stdlib.h>

static nn_status list_models(nn_request *q, nn_err *err) {
    nn_registry_filter f = {.backend = nn_request_query(q, "backend_filter", NULL),
                            .limit = nn_request_query_int(q, "limit", 100),
                            .offset = nn_request_query_int(q, "skip", 0)};
    nn_json *items = NULL;
    int64_t total = 0;
    nn_status s = nn_registry_list(q->app->track, &f, &items, &total, NULL, err);
    if (s) return s;
    nn_json *o = nn_json_new_object();
    nn_json_set(o, "models", items);
    nn_json_set(o, "total", nn_json_new_int(total));
    nn_json_set(o, "skip", nn_json_new_int(f.offset));
    nn_json_set(o, "limit", nn_json_new_int(f.limit));
    return nn_reply_json(q, 200, o, err);
}

static nn_status find(nn_request *q, nn_row *ret, nn_err *err) {
    const char *id = nn_request_param(q, "model_id");
    nn_status s = nn_registry_find(q->app->track, id, false, nn_request_arena(q), ret, err);
    return s == NN_E_MODEL_NOT_FOUND ? nn_view_missing(q, s, "Model", id, err) : s;
}

static nn_status get_model(nn_request *q, nn_err *err) {
    nn_row row;
    nn_json *m = NULL;
    nn_status s = find(q, &row, err);
    if (!s) s = nn_registry_json(q->app->track, row, &m, err);
    return s ? s : nn_reply_json(q, 200, m, err);
}

static nn_status download(nn_request *q, nn_err *err) {
    nn_row model, file;
    nn_arena *a = nn_request_arena(q);
    nn_status s = find(q, &model, err);
    if (!s)
        s = nn_registry_file_find(q->app->track, nn_row_text(model, "id"),
                                  nn_request_query(q, "file", NULL),
                                  nn_request_query(q, "backend", NULL), a, &file, err);
    if (s) return s;
    const char *sha = nn_row_text(file, "sha256");
    return nn_reply_file(q, nn_artifact_path(q->app->track, sha, a),
                         nn_row_text(file, "media_type"), nn_row_text(file, "name"), sha, err);
}

static nn_status delete_model(nn_request *q, nn_err *err) {
    nn_row row;
    nn_status s = find(q, &row, err);
    if (!s) s = nn_registry_delete(q->app->track, nn_row_text(row, "id"), err);
    return s ? s : nn_reply_empty(q, 204);
}

/* The same as a list of the canonical face: with a cursor, which stays where it is under inserts.
 */
static nn_status list_canonical(nn_request *q, nn_err *err) {
    nn_registry_filter f = {.backend = nn_request_query(q, "backend", NULL),
                            .name = nn_request_query(q, "q", NULL),
                            .limit = nn_request_query_int(q, "limit", 100),
                            .offset = nn_request_query_int(q, "skip", 0),
                            .cursor = nn_request_query(q, "cursor", NULL)};
    nn_json *items = NULL;
    int64_t total = 0;
    char *next = NULL;
    nn_status s = nn_registry_list(q->app->track, &f, &items, &total, &next, err);
    if (s) return s;
    nn_json *o = nn_json_new_object();
    nn_json_set(o, "items", items);
    nn_json_set(o, "total", nn_json_new_int(total));
    nn_json_set(o, "limit", nn_json_new_int(f.limit));
    nn_json_set(o, "next_cursor", nn_json_new_str(next));
    free(next);
    return nn_reply_json(q, 200, o, err);
}

static const nn_member backend_members[] = {
    {"name",                                     NN_STRING, .required = true, .help = "reference, native, pytorch, onnx or tfjs"},
    {"status",                          NN_STRING, .required = true, .one_of = "agrees differs failed skipped",
     .help = "what came of it"},
    {"version",                                          NN_STRING, .required = true, .nullable = true, .help = "of what ran"},
    {"reason",        NN_STRING, .required = true, .nullable = true,
     .help = "of one that failed or was skipped"},
    {"relative_l2", NN_NUMBER, .required = true, .nullable = true,
     .help = "distance of its worst output"},
    {0                                         }
};
static const nn_schema backend = {"CertificateBackend", backend_members,
                                  .help = "one that ran the model"};
static const nn_member certificate_members[] = {
    {"verdict",                                          NN_STRING, .required = true, .one_of = "agrees differs skipped",
     .help = "agrees: some ran, and all that ran agree"},
    {"verified_at",                                  NN_STRING, .required = true, .format = "date-time", .help = "when"},
    {"neural", NN_STRING, .required = true, .help = "the version of this program that looked"},
    {"yardstick",                                      NN_STRING, .required = true, .help = "what is right: the reference engine"},
    {"tolerance",                                  NN_NUMBER, .required = true,
     .help = "the relative L2 up to which an output agrees"},
    {"rows",                                    NN_INTEGER, .required = true, .help = "how many rows were compared"},
    {"seed",                                           NN_INTEGER, .required = true, .help = "of those rows"},
    {"worst_relative_l2",                                  NN_NUMBER, .required = true, .nullable = true,
     .help = "of all outputs of all backends; null: none was compared"},
    {"backends",                                                  NN_ARRAY, .required = true, .items = NN_OBJECT, .of = &backend,
     .help = "each that was asked"},
    {"stale",    NN_BOOLEAN, .required = true, .help = "it is of weights that the model had before"},
    {0    }
};
static const nn_schema certificate = {
    "Certificate", certificate_members,
    .help = "what `neural verify` found of the weights; whole in the file certificate.json"};
static const nn_member model_members[] = {
    {"model_id",                           NN_STRING, .required = true, .help = "its id"},
    {"name",                    NN_STRING, .required = true, .help = "name of its main file"},
    {"backend",                                    NN_STRING, .required = true, .nullable = true, .help = "what its main file is for"},
    {"size",        NN_INTEGER, .required = true, .help = "bytes of that file"},
    {"created_at",     NN_STRING, .required = true, .format = "date-time", .help = "when it was added"},
    {"metadata",                            NN_OBJECT, .required = true,
     .help = "network_name, version, sha256, shapes, parameters, files …"},
    {"certificate",                    NN_OBJECT, .of = &certificate, .required = true, .nullable = true,
     .help = "the same numbers everywhere, proven; null: nobody has verified it"},
    {0}
};
static const nn_schema model = {"Model", model_members,
                                .help = "a network with its renderings and weights"};
static const nn_member list_query_members[] = {
    NN_MEMBER_SKIP_LIMIT,
    {"backend_filter", NN_STRING, .max = 32, .help = "only those with a rendering for it"},
    {0      }
};
static const nn_schema list_query = {"ModelListQuery", list_query_members, .help = "which models"};
static const nn_member list_members[] = {
    {"models",          NN_ARRAY, .required = true, .items = NN_OBJECT, .of = &model,
     .help = "newest first"},
    NN_MEMBER_PAGE,
    {0}
};
static const nn_schema list_answer = {"ModelList", list_members, .help = "a page of models"};
static const nn_member canonical_query_members[] = {
    {"q",         NN_STRING, .max = 256, .help = "a part of the name"},
    {"backend", NN_STRING, .max = 32, .help = "only those whose main file is for it"},
    {"cursor",           NN_STRING, .max = 1024, .help = "next_cursor of the page before"},
    NN_MEMBER_SKIP_LIMIT,
    {0 }
};
static const nn_schema canonical_query = {"ModelQuery", canonical_query_members,
                                          .help = "which models"};
static const nn_member canonical_members[] = {
    {"items",           NN_ARRAY, .required = true, .items = NN_OBJECT, .of = &model, .help = "newest first"},
    {"total", NN_INTEGER, .required = true, .help = "how many there are"},
    {"limit",     NN_INTEGER, .required = true, .help = "how many were asked for"},
    {"next_cursor",                 NN_STRING, .required = true, .nullable = true,
     .help = "where the next page begins"},
    {0      }
};
static const nn_schema canonical_answer = {"ModelPage", canonical_members,
                                           .help = "a page of models"};
static const nn_member download_query_members[] = {
    {"file",      NN_STRING, .max = 512,
     .help = "one of metadata.files by name (default: the main file)"},
    {"backend", NN_STRING, .max = 32, .help = "the rendering for this backend"},
    {0          }
};
static const nn_schema download_query = {"ModelDownloadQuery", download_query_members,
                                         .help = "which file"};
static const nn_schema bytes_answer = {"ModelFile", NULL, .help = "the bytes",
                                       .media = "application/octet-stream"};

static const nn_status one_errors[] = {NN_E_MODEL_NOT_FOUND, NN_E_AMBIGUOUS_MODEL, 0};
static const nn_status download_errors[] = {NN_E_MODEL_NOT_FOUND, NN_E_NOT_FOUND, 0};
static const nn_status delete_errors[] = {NN_E_MODEL_NOT_FOUND, NN_E_CONFLICT, 0};

const nn_route nn_routes_models[] = {
    {NN_HTTP_GET,             "/models", list_models, .face = NN_TAG_SERVICE, .scope = NN_SCOPE_READ,
     .summary = "Models, newest first", .query = &list_query, .response = &list_answer},
    {NN_HTTP_GET,            "/models/{model_id}", get_model, .face = NN_TAG_SERVICE, .scope = NN_SCOPE_READ,
     .summary = "One model", .response = &model, .errors = one_errors},
    {NN_HTTP_GET, "/api/v1/models", list_canonical, .face = NN_TAG_CANONICAL,
     .scope = NN_SCOPE_READ, .summary = "Models, newest first", .query = &canonical_query,
     .response = &canonical_answer},
    {NN_HTTP_GET,   "/api/v1/models/{model_id}", get_model, .face = NN_TAG_CANONICAL,
     .scope = NN_SCOPE_READ, .summary = "One model", .response = &model, .errors = one_errors},
    {NN_HTTP_GET,                       "/models/{model_id}/download", download, .face = NN_TAG_SERVICE,
     .scope = NN_SCOPE_READ, .summary = "A file of a model", .query = &download_query,
     .response = &bytes_answer, .errors = download_errors},
    {NN_HTTP_DELETE,"/models/{model_id}", delete_model, .face = NN_TAG_SERVICE,
     .scope = NN_SCOPE_COMPILE, .status = 204, .summary = "Delete a model that no deployment uses",
     .errors = delete_errors},
    {0}
};
