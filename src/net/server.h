/* SPDX-License-Identifier: MIT */
/* server.h - the HTTP/1.1 server: loop threads that share a port, strict parsing, a deadline for
 * every phase, back-pressure. It knows no paths: three hooks decide. The hooks run on loop threads,
 * several at once, and must not wait. */
#ifndef NN_NET_SERVER_H
#define NN_NET_SERVER_H
#include "net/http.h"

typedef struct nn_http_server nn_http_server;

typedef struct nn_http_limits {
    size_t target;         /* bytes of the request target; past it 414 */
    size_t head;           /* bytes of the request line and all fields; past it 431 */
    size_t body;           /* bytes of a body; past it 413, at the header where it is declared */
    size_t arena;          /* cap of a request's arena */
    unsigned connections;  /* open at once, with requests whose client left; more get a 503 */
    int head_ms, idle_ms;  /* from the first byte to the end of the head; between requests */
    int body_ms, write_ms; /* per period, in which at least min_rate bytes a second must move */
    int64_t min_rate;
} nn_http_limits;

extern const nn_http_limits nn_http_default_limits;

typedef struct nn_http_hooks {
    void *ctx;
    size_t user_size; /* bytes beside each request, see nn_http_user */
    /* The head is there, the body is not. *body_limit holds limits.body and may be changed. True:
     * read the body and call `request`. False: what is in the answer is sent, and the body is
     * thrown away or the connection closed. */
    bool (*head)(void *ctx, nn_http_request *q, size_t *body_limit);
    /* The whole request is there. Unless it was parked, the answer is sent when this returns. */
    void (*request)(void *ctx, nn_http_request *q);
    /* The client's bytes were refused (q holds what was understood of them: maybe nothing): fill
     * the answer. The server closes the connection after it. */
    void (*refuse)(void *ctx, nn_http_request *q, const nn_err *why);
    /* The answer has been handed to the socket, or dropped because the client is gone. For logs and
     * metrics. */
    void (*sent)(void *ctx, nn_http_request *q, int64_t body_bytes);
} nn_http_hooks;

typedef struct nn_http_options {
    const char *host;      /* "127.0.0.1", "::1", "0.0.0.0", "::" or a name */
    int port;              /* 0: the system picks one, see nn_http_server_port */
    int threads;           /* loop threads, 1..64 */
    nn_http_limits limits; /* start from nn_http_default_limits */
    nn_http_hooks hooks;
} nn_http_options;

/* Whether all addresses of a host are loopback ones. NN_E_CONFIG_ERROR when the name is not known.
 */
nn_status nn_http_is_loopback(const char *host, bool *ret, nn_err *err);
/* Listens: who connects from now on waits until the threads run. A port that is taken is
 * NN_E_CONFIG_ERROR whose message names it. Ignores SIGPIPE. */
nn_status nn_http_server_listen(const nn_http_options *o, nn_http_server **ret, nn_err *err);
/* Starts the threads. Requests may come before this returns; after an error only stop. */
nn_status nn_http_server_run(nn_http_server *s, nn_err *err);
/* Both. */
nn_status nn_http_server_start(const nn_http_options *o, nn_http_server **ret, nn_err *err);
int nn_http_server_port(const nn_http_server *s);
bool nn_http_server_is_loopback(
    const nn_http_server *s); /* it listens on loopback addresses only */
/* Stops listening, closes idle connections, wakes parked requests (NN_HTTP_DRAIN) and lets running
 * ones finish until drain_ms has passed; then cuts what is left. Returns when every parked request
 * has been completed and the threads have ended; frees s (NULL allowed). */
void nn_http_server_stop(nn_http_server *s, int drain_ms);

typedef struct nn_http_stats {
    uint64_t accepted, refused, requests, malformed, timeouts;
    uint32_t open;
} nn_http_stats;
/* Sums over the loops; any thread. */
nn_http_stats nn_http_server_stats(const nn_http_server *s);
#endif
