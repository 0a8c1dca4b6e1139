/* SPDX-License-Identifier: MIT */
/* openapi.c - see openapi.h. Every answer of a row is written down: its own, the errors that it
 * names, and those that the router itself gives. */
#include "api/openapi.h"

#include "api/auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCHEMAS_MAX = 512 };

typedef struct document {
    const nn_schema *seen[SCHEMAS_MAX];
    size_t n;
    nn_json *schemas;
    nn_err *err;
    nn_status status;
} document;

static const nn_member violation_fields[] = {
    {"loc",                         NN_ARRAY, .required = true, .help = "where: body or query, then the path"},
    {"field",             NN_STRING, .required = true, .help = "the path with dots"},
    {"msg",                             NN_STRING, .required = true, .help = "what is wrong"},
    {"type",        NN_STRING, .required = true,
     .one_of =
         "missing wrong_type blank out_of_range too_long too_many unknown_value bad_format conflict",
     .help = "its class"},
    {0},
};
static const nn_schema violation = {
    .name = "Violation", .fields = violation_fields, .help = "one wrong field"};

static const nn_member error_fields[] = {
    {"error",                                                 NN_STRING, .required = true, .help = "a sentence"},
    {"detail",                                       NN_ANY, .required = true, .help = "the same sentence, or the list of violations"},
    {"code",                                                       NN_STRING, .required = true, .help = "the word for programs"},
    {"success",           NN_BOOLEAN, .required = true, .help = "false"},
    {"timestamp", NN_STRING, .required = true, .format = "date-time", .help = "when"},
    {"request_id",                                                  NN_STRING, .required = true, .help = "as in X-Request-ID"},
    {"errors",                                       NN_ARRAY, .items = NN_OBJECT, .of = &violation, .required = true,
     .help = "all violations"},
    {"diagnostics",                                                       NN_ARRAY, .items = NN_OBJECT, .required = true,
     .help = "of a program that does not compile"},
    {"docs",                                   NN_STRING, .required = true, .help = "where the code is explained"},
    {"hint",                                        NN_STRING, .required = true, .nullable = true, .help = "what to do about it"},
    {0                                            },
};
static const nn_schema error_schema = {
    .name = "Error", .fields = error_fields, .help = "the body of every failure"};

static void add_schema(document *d, const nn_schema *s) {
    if (!s || s->media || d->status != NN_OK) return;
    for (size_t i = 0; i < d->n; i++) {
        if (d->seen[i] == s) return;
        if (strcmp(d->seen[i]->name, s->name) == 0) {
            d->status = nn_fail(d->err, NN_E_INTERNAL, "two schemas are called %s", s->name);
            return;
        }
    }
    if (d->n == SCHEMAS_MAX) {
        d->status = nn_fail(d->err, NN_E_INTERNAL, "more than %d schemas", SCHEMAS_MAX);
        return;
    }
    d->seen[d->n++] = s;
    nn_json_set(d->schemas, s->name, nn_schema_print(s));
    add_schema(d, s->of);
    for (const nn_member *f = s->fields; f && f->name; f++) add_schema(d, f->of);
}

static nn_json *reference(const char *name) {
    char text[160];
    snprintf(text, sizeof text, "#/components/schemas/%s", name);
    nn_json *o = nn_json_new_object();
    nn_json_set(o, "$ref", nn_json_new_str(text));
    return o;
}

static nn_json *content(document *d, const nn_schema *s) {
    nn_json *content = nn_json_new_object(), *media = nn_json_new_object();
    add_schema(d, s);
    if (!s->media) nn_json_set(media, "schema", reference(s->name));
    nn_json_set(content, s->media ? s->media : "application/json", media);
    return content;
}

/* ---- parameters ---- */

static void add_path_parameters(nn_json *list, const char *path) {
    for (const char *p = strchr(path, '{'); p; p = strchr(p, '{')) {
        size_t n = strcspn(++p, "}");
        nn_json *o = nn_json_new_object(), *schema = nn_json_new_object();
        nn_json_set(schema, "type", nn_json_new_str("string"));
        nn_json_set(o, "name", nn_json_new_strn(p, n));
        nn_json_set(o, "in", nn_json_new_str("path"));
        nn_json_set(o, "required", nn_json_new_bool(true));
        nn_json_set(o, "schema", schema);
        nn_json_push(list, o);
    }
}

static void add_query_parameters(nn_json *list, const nn_schema *query) {
    for (const nn_member *f = query ? query->fields : NULL; f && f->name; f++) {
        nn_json *o = nn_json_new_object();
        nn_json_set(o, "name", nn_json_new_str(f->name));
        nn_json_set(o, "in", nn_json_new_str("query"));
        nn_json_set(o, "required", nn_json_new_bool(f->required));
        if (f->help) nn_json_set(o, "description", nn_json_new_str(f->help));
        nn_json_set(o, "schema", nn_schema_print_member(f));
        nn_json_push(list, o);
    }
}

/* ---- answers ---- */

/* Several codes may share a status: they are listed in its description. */
static void add_error(document *d, const nn_route *r, nn_json *responses, nn_status code) {
    char status[8], text[512], quoted[64];
    snprintf(status, sizeof status, "%d", nn_route_http(r, code));
    snprintf(quoted, sizeof quoted, "`%s`", nn_status_code(code));
    nn_json *old = nn_json_get(responses, status);
    const char *before = nn_json_str(nn_json_get(old, "description"), NULL);
    if (before && strstr(before, quoted)) return;
    snprintf(text, sizeof text, "%s%s%s: %s", before ? before : "", before ? "; " : "", quoted,
             nn_status_text(code));
    nn_json *o = nn_json_new_object();
    nn_json_set(o, "description", nn_json_new_str(text));
    nn_json_set(o, "content", content(d, &error_schema));
    nn_json_set(responses, status, o);
}

static nn_json *responses_of(document *d, const nn_route *r) {
    nn_json *responses = nn_json_new_object(), *ok = nn_json_new_object();
    char status[8];
    snprintf(status, sizeof status, "%d", r->status ? r->status : 200);
    nn_json_set(ok, "description",
                nn_json_new_str(r->response && r->response->help ? r->response->help : r->summary));
    if (r->response) nn_json_set(ok, "content", content(d, r->response));
    nn_json_set(responses, status, ok);
    if (r->also) {
        snprintf(status, sizeof status, "%d", r->also);
        nn_json_set(responses, status, nn_json_copy(ok));
    }
    for (const nn_status *e = r->errors; e && *e; e++) add_error(d, r, responses, *e);
    add_error(d, r, responses, NN_E_INVALID_REQUEST);
    add_error(d, r, responses, NN_E_BAD_HOST);
    if (!r->is_public) {
        add_error(d, r, responses, NN_E_UNAUTHORIZED);
        add_error(d, r, responses, NN_E_FORBIDDEN);
    }
    if (r->request) {
        add_error(d, r, responses, NN_E_PAYLOAD_TOO_LARGE);
        add_error(d, r, responses, NN_E_UNSUPPORTED_MEDIA_TYPE);
    }
    if (r->request || r->query) add_error(d, r, responses, NN_E_VALIDATION_ERROR);
    if (r->group != NN_GROUP_EXEMPT) add_error(d, r, responses, NN_E_RATE_LIMITED);
    add_error(d, r, responses, NN_E_INTERNAL);
    if (!r->is_inline || r->raw_body) add_error(d, r, responses, NN_E_STORAGE_ERROR);
    return responses;
}

/* ---- operations ---- */

static const char *face_name(nn_tag f) {
    static const char *const names[] = {"service", "canonical", "system", "bridge"};
    return names[f];
}

/* "get /jobs/{id}" as "get_jobs_id". */
static nn_json *operation_id(const nn_route *r) {
    char text[160];
    size_t n = 0;
    for (const char *p = nn_http_method_name(r->method); *p; p++) text[n++] = (char)(*p | 0x20);
    for (const char *p = r->path; *p && n + 2 < sizeof text; p++) {
        if (*p == '/' || *p == '.' || *p == '-')
            text[n++] = '_';
        else if (*p != '{' && *p != '}')
            text[n++] = *p;
    }
    return nn_json_new_strn(text, n);
}

static nn_json *security(const nn_route *r) {
    nn_json *list = nn_json_new_array(), *key = nn_json_new_object(),
            *bearer = nn_json_new_object();
    nn_json_set(key, "ApiKey", nn_json_new_array());
    nn_json_set(bearer, "Bearer", nn_json_new_array());
    nn_json_push(list, key);
    nn_json_push(list, bearer);
    if (r->face != NN_TAG_SERVICE)
        nn_json_push(list, nn_json_new_object()); /* none, in mixed mode on loopback */
    return list;
}

static nn_json *operation(document *d, const nn_route *r) {
    nn_json *o = nn_json_new_object(), *tags = nn_json_new_array(),
            *parameters = nn_json_new_array();
    nn_json_push(tags, nn_json_new_str(face_name(r->face)));
    nn_json_set(o, "operationId", operation_id(r));
    nn_json_set(o, "tags", tags);
    nn_json_set(o, "summary", nn_json_new_str(r->summary));
    if (r->help) nn_json_set(o, "description", nn_json_new_str(r->help));
    nn_json_set(o, "x-face", nn_json_new_str(face_name(r->face)));
    if (r->scope) nn_json_set(o, "x-scope", nn_json_new_str(nn_scope_name(r->scope)));
    nn_json_set(o, "security", r->is_public ? nn_json_new_array() : security(r));
    add_path_parameters(parameters, r->path);
    add_query_parameters(parameters, r->query);
    if (nn_json_size(parameters))
        nn_json_set(o, "parameters", parameters);
    else
        nn_json_unref(parameters);
    if (r->request) {
        nn_json *body = nn_json_new_object();
        nn_json_set(body, "required", nn_json_new_bool(true));
        nn_json_set(body, "content", content(d, r->request));
        nn_json_set(o, "requestBody", body);
    }
    nn_json_set(o, "responses", responses_of(d, r));
    return o;
}

static nn_json *paths(document *d, const nn_router *router) {
    nn_json *paths = nn_json_new_object();
    for (size_t i = 0; i < nn_router_count(router); i++) {
        const nn_route *r = nn_router_at(router, i);
        nn_json *item = nn_json_get(paths, r->path);
        if (!item) {
            item = nn_json_new_object();
            nn_json_set(paths, r->path, item);
        }
        char method[8] = {0};
        for (size_t k = 0; nn_http_method_name(r->method)[k]; k++)
            method[k] = (char)(nn_http_method_name(r->method)[k] | 0x20);
        nn_json_set(item, method, operation(d, r));
    }
    return paths;
}

static nn_json *security_schemes(void) {
    nn_json *o = nn_json_new_object(), *key = nn_json_new_object(), *bearer = nn_json_new_object();
    nn_json_set(key, "type", nn_json_new_str("apiKey"));
    nn_json_set(key, "in", nn_json_new_str("header"));
    nn_json_set(key, "name", nn_json_new_str("X-API-Key"));
    nn_json_set(bearer, "type", nn_json_new_str("http"));
    nn_json_set(bearer, "scheme", nn_json_new_str("bearer"));
    nn_json_set(o, "ApiKey", key);
    nn_json_set(o, "Bearer", bearer);
    return o;
}

nn_status nn_openapi_print(const nn_router *r, const char *title, nn_buf *out, nn_err *err) {
    document *d = calloc(1, sizeof *d);
    if (!d) abort();
    d->err = err;
    d->schemas = nn_json_new_object();
    nn_json *doc = nn_json_new_object(), *info = nn_json_new_object(),
            *components = nn_json_new_object();
    nn_json_set(info, "title", nn_json_new_str(title));
    nn_json_set(info, "version", nn_json_new_str(NN_VERSION));
    nn_json_set(info, "description",
                nn_json_new_str(
                    "From a network in ten lines of text to a trained, measured, served model."));
    nn_json_set(doc, "openapi", nn_json_new_str("3.1.0"));
    nn_json_set(doc, "info", info);
    nn_json_set(doc, "paths", paths(d, r));
    nn_json_set(components, "schemas", d->schemas);
    nn_json_set(components, "securitySchemes", security_schemes());
    nn_json_set(doc, "components", components);
    nn_status s = d->status;
    if (s == NN_OK) nn_json_dump(doc, 0, out);
    nn_json_unref(doc);
    free(d);
    return s;
}
