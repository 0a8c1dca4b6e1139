/* SPDX-License-Identifier: MIT */
/* system.c - what the server says about itself: /, health, version, metrics, the OpenAPI document
 * (rest-api.md 12.1 and 17). */
#include "api/auth.h"
#include "api/health.h"
#include "api/route.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/hash.h"
#include "base/metrics.h"
#include "jobs/operation.h"
#include "net/server.h"

#include <string.h>
#include <strings.h>

/* ---- GET / ---- */

static const nn_member link_fields[] = {
    {"name",            NN_STRING, .required = true, .help = "what it is"},
    {"url", NN_STRING, .required = true, .help = "where it is"},
    {0                },
};
static const nn_schema link_schema = {
    .name = "Link", .fields = link_fields, .help = "a place of this server"};

static const nn_member root_fields[] = {
    {"name",                        NN_STRING, .required = true, .help = "server.name"},
    {"service",             NN_STRING, .required = true, .help = "the kind of server"},
    {"message",                             NN_STRING, .required = true, .help = "a greeting"},
    {"version",        NN_STRING, .required = true, .help = "of the program"},
    {"status", NN_STRING, .required = true, .one_of = "running draining", .help = "state"},
    {"docs",                     NN_STRING, .required = true, .help = "path of the documentation"},
    {"docs_url",             NN_STRING, .required = true, .help = "the same"},
    {"redoc",                             NN_STRING, .required = true, .help = "path of the other documentation page"},
    {"openapi",             NN_STRING, .required = true, .help = "path of the OpenAPI document"},
    {"services",     NN_ARRAY, .items = NN_OBJECT, .of = &link_schema, .required = true,
     .help = "what can be asked"},
    {"database_endpoints",                      NN_ARRAY, .items = NN_OBJECT, .of = &link_schema, .required = true,
     .help = "result databases"},
    {"api_versions",             NN_MAP, .items = NN_STRING, .required = true,
     .help = "prefix of each version"},
    {0             },
};
static const nn_schema root_schema = {
    .name = "Root", .fields = root_fields, .help = "who answers here"};

static const struct {
    const char *name, *url;
} places[] = {
    {"compile",     "/compile/sync"     },
    {"jobs",        "/jobs/"            },
    {"experiments", "/experiments/"     },
    {"deployments", "/deployments/"     },
    {"models",      "/models/"          },
    {"operations",  "/api/v1/operations"},
    {"health",      "/health"           },
    {"metrics",     "/metrics"          },
};

static bool wants_html(const nn_request *q) {
    nn_text accept = nn_http_get(q->http, "accept");
    return accept.n >= 9 && memmem(accept.p, accept.n, "text/html", 9) != NULL;
}

static nn_status root_page(nn_request *q) {
    static const char page[] =
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Neural</title>"
        "<meta name=\"viewport\" content=\"width=device-width\"><style>"
        "body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:4rem auto;padding:0 1rem;color:#1b1f24;background:#fff}"
        "h1{font-size:1.6rem;margin:0}code,pre{background:#f3f4f6;border-radius:4px;padding:.1em .3em;font-size:.9em}"
        "pre{padding:1rem;overflow-x:auto}li{margin:.3rem 0}a{color:#0b57d0}"
        "@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#16181c}code,pre{background:#24272d}a{color:#8ab4f8}}"
        "</style></head><body><h1>Neural " NN_VERSION "</h1>"
        "<p>From a network in ten lines of text to a trained, measured, served model. This server is running.</p><ul>"
        "<li><a href=\"/health\">/health</a> &ndash; how it is</li>"
        "<li><a href=\"/openapi.json\">/openapi.json</a> &ndash; every route, request and answer</li>"
        "<li><a href=\"/metrics\">/metrics</a> &ndash; numbers for Prometheus</li></ul>"
        "<p>Make a key with <code>neural key create NAME</code>, then:</p>"
        "<pre>curl -H 'X-API-Key: KEY' -H 'Content-Type: application/json' \\\n"
        "  -d '{\"dsl_code\": \"network Tiny { input: (4) layers: Dense(3) Output(2) }\"}' \\\n"
        "  http://127.0.0.1:8000/compile/sync</pre></body></html>";
    nn_reply_header(q, "Content-Security-Policy",
                    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
    return nn_reply_text(q, 200, "text/html; charset=utf-8", page, sizeof page - 1);
}

static nn_status get_root(nn_request *q, nn_err *err) {
    nn_reply_header(q, "Vary", "Accept");
    if (wants_html(q)) return root_page(q);
    nn_jw w = nn_reply_writer(q);
    const struct {
        const char *key, *value;
    } texts[] = {
        {"name",                                      nn_config_str(q->app->config, NN_CFG_SERVER_NAME)},
        {"service",                                           "Neural DSL Backend Bridge"                                                              },
        {"message",                                           "Neural is running. See /openapi.json for every route."},
        {"version",                                           NN_VERSION                                                              },
        {"status",                                           __atomic_load_n(&q->app->draining,  __ATOMIC_ACQUIRE) ? "draining" : "running"},
        {"docs", "/docs"                           },
        {"docs_url",                                    "/docs"                                    },
        {"redoc", "/redoc"},
        {"openapi",                                   "/openapi.json"                                                                      },
    };
    nn_jw_obj(&w);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        nn_jw_key(&w, texts[i].key);
        nn_jw_str(&w, texts[i].value);
    }
    nn_jw_key(&w, "services");
    nn_jw_arr(&w);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        nn_jw_obj(&w);
        nn_jw_key(&w, "name");
        nn_jw_str(&w, places[i].name);
        nn_jw_key(&w, "url");
        nn_jw_str(&w, places[i].url);
        nn_jw_end_obj(&w);
    }
    nn_jw_end_arr(&w);
    nn_jw_key(&w, "database_endpoints");
    nn_jw_arr(&w);
    nn_jw_end_arr(&w);
    nn_jw_key(&w, "api_versions");
    nn_jw_obj(&w);
    nn_jw_key(&w, "v1");
    nn_jw_str(&w, "/api/v1");
    nn_jw_end_obj(&w);
    nn_jw_end_obj(&w);
    return nn_reply_written(q, 200, err);
}

/* ---- health ---- */

static const nn_member health_fields[] = {
    {"status",                                                  NN_STRING, .required = true, .one_of = "healthy degraded",
     .help = "degraded: something that others need is missing"},
    {"version",                                         NN_STRING, .required = true, .help = "of the program"},
    {"service", NN_STRING, .required = true, .help = "the kind of server"},
    {"timestamp",                                                 NN_STRING, .required = true, .format = "date-time", .help = "now"},
    {"uptime_s",                                         NN_NUMBER, .required = true, .help = "seconds since the start"},
    {"shutting_down",                                                         NN_BOOLEAN, .required = true, .help = "draining"},
    {"services",                                                NN_MAP, .items = NN_STRING, .required = true,
     .one_of = "healthy degraded unhealthy unknown disabled", .help = "a word for each part"},
    {"config_warnings",                             NN_ARRAY, .items = NN_STRING, .required = true,
     .help = "settings that are odd"},
    {0                                              },
};
static const nn_schema health_schema = {
    .name = "Health", .fields = health_fields, .help = "how the server is"};

static nn_status get_health(nn_request *q, nn_err *err) {
    nn_health_print(q->app->health, nn_reply_writer(q).out);
    return nn_reply_written(q, 200, err);
}

static const nn_member status_fields[] = {
    {"status",          NN_STRING, .required = true, .help = "alive, ready or not ready"},
    {"reason", NN_STRING, .help = "why it is not ready"},
    {0                },
};
static const nn_schema status_schema = {
    .name = "Status", .fields = status_fields, .help = "one word"};

static nn_status get_live(nn_request *q, nn_err *err) {
    nn_buf_puts(nn_reply_writer(q).out, "{\"status\":\"alive\"}");
    return nn_reply_written(q, 200, err);
}

/* Asks the store, so that the answer is about now. */
static nn_status get_ready(nn_request *q, nn_err *err) {
    nn_err ignored;
    int64_t ns;
    (void)!nn_health_probe(q->app->health, &ns, &ignored);
    const char *why = nn_health_unready(q->app->health);
    nn_jw w = nn_reply_writer(q);
    nn_jw_obj(&w);
    nn_jw_key(&w, "status");
    nn_jw_str(&w, why ? "not ready" : "ready");
    if (why) {
        nn_jw_key(&w, "reason");
        nn_jw_str(&w, why);
        nn_reply_header(q, "Retry-After", "1");
    }
    nn_jw_end_obj(&w);
    return nn_reply_written(q, why ? 503 : 200, err);
}

static const nn_member part_fields[] = {
    {"status",          NN_STRING, .required = true, .one_of = "healthy degraded unhealthy unknown disabled",
     .help = "a word"},
    {"latency_ms", NN_NUMBER, .required = true, .nullable = true, .help = "of the check"},
    {"message",  NN_STRING, .required = true, .nullable = true, .help = "what is wrong"},
    {"checked_at",      NN_STRING, .required = true, .format = "date-time", .help = "when"},
    {0},
};
static const nn_schema part_schema = {
    .name = "HealthOfPart", .fields = part_fields, .help = "one part"};
static const nn_member detailed_fields[] = {
    {"timestamp",       NN_STRING, .required = true, .format = "date-time", .help = "now"},
    {"services", NN_MAP, .items = NN_OBJECT, .of = &part_schema, .required = true,
     .help = "each part that can be checked"},
    {0   },
};
static const nn_schema detailed_schema = {
    .name = "HealthDetailed", .fields = detailed_fields, .help = "the parts, checked now"};

static void write_part(nn_jw *w, const char *name, const char *status, int64_t ns,
                       const char *message, const char *time) {
    nn_jw_key(w, name);
    nn_jw_obj(w);
    nn_jw_key(w, "status");
    nn_jw_str(w, status);
    nn_jw_key(w, "latency_ms");
    if (ns >= 0)
        nn_jw_num(w, (double)(ns / 1000) / 1000);
    else
        nn_jw_null(w);
    nn_jw_key(w, "message");
    nn_jw_str(w, message);
    nn_jw_key(w, "checked_at");
    nn_jw_str(w, time);
    nn_jw_end_obj(w);
}

static nn_status get_detailed(nn_request *q, nn_err *err) {
    nn_err store;
    int64_t ns;
    nn_status s = nn_health_probe(q->app->health, &ns, &store);
    char time[NN_TIME_TEXT];
    nn_time_print(nn_clock_wall(), time);
    nn_jw w = nn_reply_writer(q);
    nn_jw_obj(&w);
    nn_jw_key(&w, "timestamp");
    nn_jw_str(&w, time);
    nn_jw_key(&w, "services");
    nn_jw_obj(&w);
    write_part(&w, "api", "healthy", -1, NULL, time);
    write_part(&w, "store", s == NN_OK ? "healthy" : "unhealthy", ns,
               s == NN_OK ? NULL : nn_status_text(s), time);
    write_part(&w, "celery", q->app->supervisor ? "healthy" : "disabled", -1, NULL, time);
    write_part(&w, "workers", q->app->serve ? "healthy" : "disabled", -1, NULL, time);
    nn_jw_end_obj(&w);
    nn_jw_end_obj(&w);
    return nn_reply_written(q, 200, err);
}

/* ---- version, metrics, openapi ---- */

static const nn_member version_fields[] = {
    {"version",              NN_STRING, .required = true, .help = "of the program"},
    {"name",      NN_STRING, .required = true, .help = "server.name"},
    {"build",                      NN_STRING, .required = true, .help = "compiler and kind of build"},
    {"features",        NN_ARRAY, .items = NN_STRING, .required = true, .help = "what this build can do"},
    {0},
};
static const nn_schema version_schema = {
    .name = "Version", .fields = version_fields, .help = "which program this is"};

#ifdef NDEBUG
#define BUILD "release"
#else
#define BUILD "debug"
#endif

static nn_status get_version(nn_request *q, nn_err *err) {
    nn_jw w = nn_reply_writer(q);
    nn_jw_obj(&w);
    nn_jw_key(&w, "version");
    nn_jw_str(&w, NN_VERSION);
    nn_jw_key(&w, "name");
    nn_jw_str(&w, nn_config_str(q->app->config, NN_CFG_SERVER_NAME));
    nn_jw_key(&w, "build");
    nn_jw_str(&w, BUILD " " __VERSION__);
    nn_jw_key(&w, "features");
    nn_jw_arr(&w);
    nn_jw_str(&w, "onednn");
    nn_jw_str(&w, "sqlite");
    nn_jw_end_arr(&w);
    nn_jw_end_obj(&w);
    return nn_reply_written(q, 200, err);
}

static const nn_schema metrics_schema = {
    .name = "Metrics", .media = "text/plain", .help = "Prometheus text 0.0.4"};

/* Open on loopback; elsewhere a key with `read`. auth.metrics_key, where it is set, is the only one
 * that opens it. */
static nn_status check_metrics_key(nn_request *q, nn_err *err) {
    const char *only = nn_config_str(q->app->config, NN_CFG_AUTH_METRICS_KEY);
    nn_text bearer = nn_http_get(q->http, "authorization");
    if (*only) {
        bool good = bearer.n > 7 && strncasecmp(bearer.p, "bearer ", 7) == 0 &&
                    nn_secret_equal(bearer.p + 7, bearer.n - 7, only, strlen(only));
        return good ? NN_OK : nn_fail(err, NN_E_UNAUTHORIZED, "Bearer token required");
    }
    if (q->app->loopback || (q->who->authenticated && nn_request_may(q, NN_SCOPE_READ)))
        return NN_OK;
    return nn_fail(err, NN_E_UNAUTHORIZED, "API key required");
}

/* Gauges of what others hold: read when asked. */
static nn_status read_gauges(const nn_app *a, nn_err *err) {
    int64_t counts[NN_STATE_COUNT];
    nn_status s = nn_operation_counts(a->jobs, counts, err);
    if (s != NN_OK) return s;
    for (int i = 0; i < NN_STATE_COUNT; i++)
        nn_series_set(nn_metric_series(NN_METRIC_OPERATIONS, nn_state_name((nn_state)i)),
                      (double)counts[i]);
    nn_series_set(nn_metric_series(NN_METRIC_QUEUE_DEPTH, "operations"),
                  (double)counts[NN_STATE_QUEUED]);
    nn_series_set(nn_metric_series(NN_METRIC_HTTP_CONNECTIONS, NULL),
                  nn_http_server_stats(a->http).open);
    return NN_OK;
}

static nn_status get_metrics(nn_request *q, nn_err *err) {
    nn_status s = check_metrics_key(q, err);
    if (s == NN_OK) s = read_gauges(q->app, err);
    if (s != NN_OK) return s;
    NN_BUF out = {0};
    nn_metrics_print(&out);
    return nn_reply_text(q, 200, "text/plain; version=0.0.4; charset=utf-8", nn_buf_str(&out),
                         out.n);
}

static const nn_schema openapi_schema = {.name = "OpenAPI", .help = "an OpenAPI 3.1 document"};

static nn_status get_openapi(nn_request *q, nn_err *err) {
    (void)err;
    return nn_reply_fixed(q, 200, "application/json", q->app->openapi, q->app->openapi_n);
}

/* ---- rows ---- */

#define SYSTEM .face = NN_TAG_SYSTEM, .group = NN_GROUP_EXEMPT, .is_public = true, .quiet = true

const nn_route nn_routes_system[] = {
    {NN_HTTP_GET,                     "/", get_root, SYSTEM, .is_inline = true, .summary = "Who answers here",
     .response = &root_schema, .help = "A page for browsers (Accept: text/html), else JSON."},
    {NN_HTTP_GET,                       "/health", get_health, SYSTEM, .is_inline = true, .summary = "How the server is",
     .response = &health_schema},
    {NN_HTTP_GET,              "/api/health", get_health, SYSTEM, .is_inline = true, .summary = "As /health",
     .response = &health_schema},
    {NN_HTTP_GET,        "/v1/health", get_health, SYSTEM, .is_inline = true, .summary = "As /health",
     .response = &health_schema},
    {NN_HTTP_GET,                               "/api/v1/health", get_health, SYSTEM, .is_inline = true, .summary = "As /health",
     .response = &health_schema},
    {NN_HTTP_GET,"/health/live", get_live, SYSTEM, .is_inline = true, .summary = "That it answers",
     .response = &status_schema},
    {NN_HTTP_GET,                         "/live", get_live, SYSTEM, .is_inline = true, .summary = "That it answers",
     .response = &status_schema},
    {NN_HTTP_GET, "/health/ready", get_ready, SYSTEM, .summary = "Whether it takes work",
     .response = &status_schema, .also = 503},
    {NN_HTTP_GET,                               "/ready", get_ready, SYSTEM, .summary = "Whether it takes work",
     .response = &status_schema, .also = 503},
    {NN_HTTP_GET,     "/health/detailed", get_detailed, SYSTEM, .summary = "Each part, checked now",
     .response = &detailed_schema},
    {NN_HTTP_GET,                         "/version", get_version, SYSTEM, .is_inline = true,
     .summary = "Which program this is", .response = &version_schema},
    {NN_HTTP_GET,        "/api/v1/info", get_root, SYSTEM, .is_inline = true, .summary = "As /",
     .response = &root_schema},
    {NN_HTTP_GET,                               "/metrics", get_metrics, .face = NN_TAG_SYSTEM, .is_public = true,
     .group = NN_GROUP_EXEMPT, .quiet = true, .summary = "Numbers for Prometheus",
     .response = &metrics_schema, .errors = (const nn_status[]){NN_E_UNAUTHORIZED, 0}},
    {NN_HTTP_GET,            "/openapi.json", get_openapi, SYSTEM, .is_inline = true,
     .summary = "This document", .response = &openapi_schema},
    {0                        },
};
