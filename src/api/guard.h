/* SPDX-License-Identifier: MIT */
/* guard.h - checks that protect people's browsers (rest-api.md 9 and 10): which Host and which
 * Origin may ask, and CORS. Pure functions over a table made at the start. */
#ifndef NN_API_GUARD_H
#define NN_API_GUARD_H
#include "base/config.h"
#include "net/http.h"

typedef struct nn_guard {
    bool loopback;
    const char *const *hosts;   /* server.allowed_hosts */
    const char *const *origins; /* cors.origins */
    bool any_origin;            /* one of them is * */
} nn_guard;

nn_guard nn_guard_new(const nn_config *c, bool loopback);
/* NN_E_BAD_HOST unless Host may be used. */
nn_status nn_guard_host(const nn_guard *g, const nn_http_request *q, nn_err *err);
/* NN_E_BAD_ORIGIN where another site's page asks for what only ours may. */
nn_status nn_guard_origin(const nn_guard *g, const nn_http_request *q, nn_text origin,
                          bool public_path, bool has_credentials, nn_err *err);
/* The fields that let the page of that origin read the answer; nothing without an allowed origin.
 */
void nn_guard_cors(const nn_guard *g, nn_text origin, nn_http_response *r);
/* The answer to a preflight. */
void nn_guard_preflight(const nn_guard *g, const nn_http_request *q, nn_text origin,
                        nn_http_response *r);
#endif
