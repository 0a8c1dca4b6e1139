/* SPDX-License-Identifier: MIT */
/* router.c - the rows of routes.def as a tree by path segments. Built once, read by all threads. */
#include "api/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NN_ROUTES(resource) extern const nn_route nn_routes_##resource[];
#include "api/routes.def"
#undef NN_ROUTES

static const nn_route *const resources[] = {
#define NN_ROUTES(resource) nn_routes_##resource,
#include "api/routes.def"
#undef NN_ROUTES
};

typedef struct node {
    const char *text; /* of its segment, n bytes of a row's path; NULL for a parameter */
    size_t n;
    struct node *child, *next; /* literal children as a list */
    struct node *param;
    nn_entry *entry[NN_HTTP_METHODS];
    unsigned allow; /* bits of methods */
} node;

struct nn_router {
    node *root;
    nn_entry **entries;
    size_t n;
};

static node *node_new(const char *text, size_t n) {
    node *d = calloc(1, sizeof *d);
    if (!d) abort();
    d->text = text;
    d->n = n;
    return d;
}

static node *literal(node *parent, const char *text, size_t n) {
    for (node *d = parent->child; d; d = d->next)
        if (d->n == n && memcmp(d->text, text, n) == 0) return d;
    node *d = node_new(text, n), **last = &parent->child;
    while (*last) last = &(*last)->next;
    return *last = d;
}

static nn_status bad_row(const nn_route *r, const char *why, nn_err *err) {
    return nn_fail(err, NN_E_INTERNAL, "route %s %s %s", nn_http_method_name(r->method),
                   r->path ? r->path : "?", why);
}

static nn_status check_row(const nn_route *r, nn_err *err) {
    if (r->path[0] != '/') return bad_row(r, "does not begin with /", err);
    if (!r->handler) return bad_row(r, "has no handler", err);
    if (!r->summary || !*r->summary) return bad_row(r, "has no summary", err);
    if (!r->response && r->status != 204) return bad_row(r, "has no response schema", err);
    if (r->request && (r->method == NN_HTTP_GET || r->method == NN_HTTP_DELETE))
        return bad_row(r, "has a request body", err);
    if (r->method == NN_HTTP_HEAD || r->method == NN_HTTP_OPTIONS)
        return bad_row(r, "is answered by the router itself", err);
    return NN_OK;
}

/* Walks the row's path, making nodes, and notes its parameters. */
static nn_status place(nn_router *router, nn_entry *e, node **ret, nn_err *err) {
    const nn_route *r = e->route;
    node *at = router->root;
    unsigned depth = 0;
    for (const char *p = r->path + 1; *p; depth++) {
        size_t n = strcspn(p, "/");
        if (n == 0 || depth == NN_HTTP_MAX_SEGMENTS)
            return bad_row(r, "has an empty or one too many segments", err);
        if (*p == '{') {
            if (p[n - 1] != '}' || e->params == NN_PARAMS_MAX)
                return bad_row(r, "has a bad parameter", err);
            e->param[e->params].name = p + 1;
            e->param[e->params++].segment = depth;
            if (!at->param) at->param = node_new(NULL, 0);
            at = at->param;
        } else {
            at = literal(at, p, n);
        }
        p += p[n] ? n + 1 : n;
    }
    *ret = at;
    return NN_OK;
}

static nn_status add(nn_router *router, const nn_route *r, nn_err *err) {
    node *at = NULL;
    nn_entry *e = calloc(1, sizeof *e);
    if (!e) abort();
    e->route = r;
    router->entries[router->n++] = e;
    nn_status s = check_row(r, err);
    if (s == NN_OK) s = place(router, e, &at, err);
    if (s != NN_OK) return s;
    if (at->entry[r->method]) return bad_row(r, "is there twice", err);
    char code[8];
    snprintf(code, sizeof code, "%d", r->status ? r->status : 200);
    e->ok =
        nn_metric_series(NN_METRIC_HTTP_REQUESTS, nn_http_method_name(r->method), r->path, code);
    e->duration = nn_metric_series(NN_METRIC_HTTP_DURATION, r->path);
    at->entry[r->method] = e;
    at->allow |= 1U << r->method;
    if (r->method == NN_HTTP_GET) at->allow |= 1U << NN_HTTP_HEAD;
    at->allow |= 1U << NN_HTTP_OPTIONS;
    return NN_OK;
}

nn_status nn_router_build(const nn_route *const *tables, size_t n_tables, nn_router **ret,
                          nn_err *err) {
    nn_router *r = calloc(1, sizeof *r);
    if (!r) abort();
    size_t n = 0;
    for (size_t i = 0; i < n_tables; i++)
        for (const nn_route *row = tables[i]; row->path; row++) n++;
    r->root = node_new("", 0);
    r->entries = calloc(n + 1, sizeof(nn_entry *));
    if (!r->entries) abort();
    nn_status s = NN_OK;
    for (size_t i = 0; i < n_tables && s == NN_OK; i++)
        for (const nn_route *row = tables[i]; row->path && s == NN_OK; row++) s = add(r, row, err);
    if (s != NN_OK) {
        nn_router_free(r);
        return s;
    }
    *ret = r;
    return NN_OK;
}

nn_status nn_router_new(nn_router **ret, nn_err *err) {
    return nn_router_build(resources, sizeof resources / sizeof *resources, ret, err);
}

static void free_node(node *d) {
    if (!d) return;
    for (node *c = d->child, *next; c; c = next) {
        next = c->next;
        free_node(c);
    }
    free_node(d->param);
    free(d);
}

void nn_router_free(nn_router *r) {
    if (!r) return;
    free_node(r->root);
    for (size_t i = 0; i < r->n; i++) free(r->entries[i]);
    free(r->entries);
    free(r);
}

size_t nn_router_count(const nn_router *r) {
    return r->n;
}

const nn_route *nn_router_at(const nn_router *r, size_t i) {
    return r->entries[i]->route;
}

/* The node of segments[i..n): a literal goes before a parameter, with a way back where it leads
 * nowhere. */
static const node *walk(const node *at, const nn_text *segment, unsigned n) {
    if (n == 0) return at->allow ? at : NULL;
    for (const node *c = at->child; c; c = c->next) {
        if (c->n != segment->n || memcmp(c->text, segment->p, c->n) != 0) continue;
        const node *found = walk(c, segment + 1, n - 1);
        if (found) return found;
        break;
    }
    return at->param && segment->n ? walk(at->param, segment + 1, n - 1) : NULL;
}

const nn_entry *nn_router_find(const nn_router *r, const nn_http_request *q, nn_http_method m,
                               unsigned *ret_allow) {
    const node *at = walk(r->root, q->segment, q->segments);
    *ret_allow = at ? at->allow : 0;
    return at ? at->entry[m] : NULL;
}
