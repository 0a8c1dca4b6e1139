/* SPDX-License-Identifier: MIT */
/* guard.c - see guard.h. A page of any site can make a browser send requests to 127.0.0.1; by a DNS
 * answer that changes, even as "same origin". The Host header tells the second, the Origin header
 * the first. */
#include "api/guard.h"

#include <string.h>
#include <strings.h>

nn_guard nn_guard_new(const nn_config *c, bool loopback) {
    nn_guard g = {.loopback = loopback,
                  .hosts = nn_config_list(c, NN_CFG_SERVER_ALLOWED_HOSTS),
                  .origins = nn_config_list(c, NN_CFG_CORS_ORIGINS)};
    for (const char *const *o = g.origins; *o; o++)
        if (strcmp(*o, "*") == 0) g.any_origin = true;
    return g;
}

/* host without ":port". */
static nn_text name_of(nn_text host) {
    if (host.n && host.p[0] == '[') {
        const char *end = memchr(host.p, ']', host.n);
        return end ? (nn_text){host.p, (size_t)(end - host.p) + 1} : host;
    }
    const char *colon = host.n ? memchr(host.p, ':', host.n) : NULL;
    return colon ? (nn_text){host.p, (size_t)(colon - host.p)} : host;
}

nn_status nn_guard_host(const nn_guard *g, const nn_http_request *q, nn_err *err) {
    if (!g->loopback && !*g->hosts) return NN_OK;
    nn_text host = q->host, name = name_of(host);
    if (g->loopback && (nn_text_isi(name, "localhost") || nn_text_is(name, "127.0.0.1") ||
                        nn_text_is(name, "[::1]")))
        return NN_OK;
    for (const char *const *h = g->hosts; *h; h++)
        if (nn_text_isi(host, *h) || nn_text_isi(name, *h)) return NN_OK;
    nn_status s = nn_fail(err, NN_E_BAD_HOST, "the host \"%.*s\" is not served here",
                          host.n > 100 ? 100 : (int)host.n, host.p ? host.p : "");
    return nn_err_hint(err, s,
                       "ask 127.0.0.1 or localhost, or add the name to server.allowed_hosts");
}

static bool is_listed(const nn_guard *g, nn_text origin) {
    for (const char *const *o = g->origins; *o; o++)
        if (strcmp(*o, "*") != 0 && nn_text_is(origin, *o)) return true;
    return false;
}

/* Whether origin is "http://" and the Host of this request: a page that we served. */
static bool is_own(const nn_http_request *q, nn_text origin) {
    return origin.n == q->host.n + 7 && strncasecmp(origin.p, "http://", 7) == 0 &&
           strncasecmp(origin.p + 7, q->host.p, q->host.n) == 0;
}

nn_status nn_guard_origin(const nn_guard *g, const nn_http_request *q, nn_text origin,
                          bool public_path, bool has_credentials, nn_err *err) {
    if (!g->loopback) return NN_OK;
    bool cross = origin.p != NULL || nn_text_is(nn_http_get(q, "sec-fetch-site"), "cross-site");
    if (!cross) return NN_OK;
    if (public_path && (q->method == NN_HTTP_GET || q->method == NN_HTTP_HEAD)) return NN_OK;
    if (origin.p && !nn_text_is(origin, "null") &&
        (is_own(q, origin) || is_listed(g, origin) || (g->any_origin && has_credentials)))
        return NN_OK;
    nn_status s =
        nn_fail(err, NN_E_BAD_ORIGIN, "pages of \"%.*s\" may not ask here",
                origin.n > 100 ? 100 : (int)origin.n, origin.p ? origin.p : "another site");
    return nn_err_hint(err, s, "add the origin to cors.origins");
}

static void allow_origin(const nn_guard *g, nn_text origin, nn_http_response *r) {
    if (g->any_origin) {
        nn_http_header(r, "Access-Control-Allow-Origin", "*");
        return;
    }
    nn_http_headerf(r, "Access-Control-Allow-Origin", "%.*s", (int)origin.n, origin.p);
    nn_http_header(r, "Access-Control-Allow-Credentials", "true");
}

void nn_guard_cors(const nn_guard *g, nn_text origin, nn_http_response *r) {
    if (!origin.p) return;
    nn_http_header(r, "Vary", "Origin");
    if (!g->any_origin && !is_listed(g, origin)) return;
    allow_origin(g, origin, r);
    nn_http_header(
        r, "Access-Control-Expose-Headers",
        "X-Request-ID, X-Process-Time, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After, "
        "X-Total-Count, Link, Location, ETag, Idempotency-Replayed");
}

void nn_guard_preflight(const nn_guard *g, const nn_http_request *q, nn_text origin,
                        nn_http_response *r) {
    nn_text wanted = nn_http_get(q, "access-control-request-headers");
    r->status = 204;
    nn_http_header(r, "Vary", "Origin, Access-Control-Request-Headers");
    if (!g->any_origin && !is_listed(g, origin)) return;
    allow_origin(g, origin, r);
    nn_http_header(r, "Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE");
    if (wanted.n)
        nn_http_headerf(r, "Access-Control-Allow-Headers", "%.*s",
                        (int)(wanted.n > 900 ? 900 : wanted.n), wanted.p);
    nn_http_header(r, "Access-Control-Max-Age", "600");
}
