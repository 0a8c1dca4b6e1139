/* SPDX-License-Identifier: MIT */
/* server.c - sockets that share a port, and the start and stop of the loops. */
#include "net/loop.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const nn_http_limits nn_http_default_limits = {
    .target = 8192,
    .head = 32768,
    .body = 10 << 20,
    .arena = 64 << 20,
    .connections = 10000,
    .head_ms = 30000,
    .idle_ms = 75000,
    .body_ms = 30000,
    .write_ms = 30000,
    .min_rate = 256,
};

struct nn_http_server {
    nn_http_options options;
    char *host;
    int port, threads, started;
    atomic_uint open;
    nn_loop *loop[64];
    nn_post stop[64];
    int drain_ms;
};

bool nn_server_admit(nn_http_server *s) {
    return atomic_fetch_add(&s->open, 1) < s->options.limits.connections;
}

void nn_server_leave(nn_http_server *s) {
    atomic_fetch_sub(&s->open, 1);
}

/* ---- sockets ---- */

static bool is_loopback(const struct sockaddr *a) {
    if (a->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr) >> 24 == 127;
    return a->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)a)->sin6_addr);
}

static void set_port(struct sockaddr_storage *a, int port) {
    if (a->ss_family == AF_INET6)
        ((struct sockaddr_in6 *)a)->sin6_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in *)a)->sin_port = htons((uint16_t)port);
}

static int get_port(int fd) {
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &n) != 0) return 0;
    return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
                                         : ((struct sockaddr_in *)&a)->sin_port);
}

static nn_status bind_error(const nn_http_server *s, int port, int why, nn_err *err) {
    nn_status code = nn_fail(err, NN_E_CONFIG_ERROR, "cannot listen on %s port %d: %s",
                             s->options.host, port, strerror(why));
    if (why == EADDRINUSE)
        return nn_err_hint(
            err, code,
            "another program uses port %d; stop it, or choose another with --port (0 picks a free one)",
            port);
    if (why == EACCES)
        return nn_err_hint(err, code, "ports below 1024 need rights; choose another with --port");
    if (why == EADDRNOTAVAIL)
        return nn_err_hint(err, code, "no interface of this machine has that address; see --host");
    return code;
}

/* Binds one socket. The first of an address is bound without SO_REUSEPORT, so that a port that
 * another server shares is refused, and allows sharing only then; the other loops join it. */
static nn_status bind_one(nn_http_server *s, struct sockaddr_storage *a, socklen_t n, bool join,
                          int *ret, nn_err *err) {
    int one = 1, fd = socket(a->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return nn_fail(err, NN_E_CONFIG_ERROR, "cannot make a socket: %s", strerror(errno));
    set_port(a, s->port);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (join) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)a, n) != 0) {
        int why = errno;
        close(fd);
        return bind_error(s, s->port, why, err);
    }
    if (!join) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (s->port == 0) s->port = get_port(fd);
    *ret = fd;
    return NN_OK;
}

/* Listens at once where it is the first of its address: bind alone does not refuse a port on which
 * nobody listens yet. */
static nn_status bind_address(nn_http_server *s, const struct addrinfo *ai, nn_err *err) {
    struct sockaddr_storage a = {0};
    memcpy(&a, ai->ai_addr, ai->ai_addrlen);
    for (int i = 0; i < s->threads; i++) {
        nn_loop *l = s->loop[i];
        int fd = -1;
        nn_status status = bind_one(s, &a, ai->ai_addrlen, i > 0, &fd, err);
        if (status != NN_OK) return status;
        l->fd[l->listeners++] = fd;
        if (listen(fd, 4096) != 0) return bind_error(s, s->port, errno, err);
    }
    return NN_OK;
}

static nn_status resolve(const char *host, struct addrinfo **ret, nn_err *err) {
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    int e = getaddrinfo(host, NULL, &hints, ret);
    if (e == 0) return NN_OK;
    nn_status code = nn_fail(err, NN_E_CONFIG_ERROR, "the address \"%s\" is not known: %s", host,
                             gai_strerror(e));
    return nn_err_hint(err, code,
                       "use --host with an address of this machine, such as 127.0.0.1 or ::1");
}

nn_status nn_http_is_loopback(const char *host, bool *ret, nn_err *err) {
    struct addrinfo *list = NULL;
    nn_status status = resolve(host, &list, err);
    if (status != NN_OK) return status;
    bool all = true;
    for (struct addrinfo *ai = list; ai; ai = ai->ai_next) all = all && is_loopback(ai->ai_addr);
    freeaddrinfo(list);
    *ret = all;
    return NN_OK;
}

static nn_status bind_all(nn_http_server *s, nn_err *err) {
    struct addrinfo *list = NULL;
    nn_status status = resolve(s->options.host, &list, err);
    int n = 0;
    for (struct addrinfo *ai = list; ai && status == NN_OK && n < NN_LISTEN_MAX;
         ai = ai->ai_next, n++)
        status = bind_address(s, ai, err);
    if (list) freeaddrinfo(list);
    return status;
}

/* ---- start and stop ---- */

static void free_server(nn_http_server *s) {
    for (int i = 0; i < s->threads; i++) {
        nn_loop *l = s->loop[i];
        for (int k = 0; k < l->listeners; k++)
            if (l->fd[k] >= 0) close(l->fd[k]);
        nn_buf_done(&l->out);
        nn_buf_done(&l->piece);
        free(l->slot);
        free(l->free_slot);
        free(l);
    }
    free(s->host);
    free(s);
}

static void run_drain(nn_loop *l, nn_post *p);

static void stop_loops(nn_http_server *s) {
    for (int i = 0; i < s->started; i++) {
        s->stop[i].run = run_drain;
        nn_loop_post(s->loop[i], &s->stop[i]);
    }
    for (int i = 0; i < s->started; i++) {
        pthread_join(s->loop[i]->thread, NULL);
        uv_loop_close(&s->loop[i]->uv);
    }
}

static nn_loop *new_loop(nn_http_server *s) {
    nn_loop *l = calloc(1, sizeof *l);
    if (!l) abort();
    l->server = s;
    l->options = &s->options;
    return l;
}

nn_status nn_http_server_listen(const nn_http_options *o, nn_http_server **ret, nn_err *err) {
    nn_http_server *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->options = *o;
    s->host = strdup(o->host);
    if (!s->host) abort();
    s->options.host = s->host;
    s->port = o->port;
    s->threads = o->threads < 1 ? 1 : o->threads > 64 ? 64 : o->threads;
    for (int i = 0; i < s->threads; i++) s->loop[i] = new_loop(s);
    signal(SIGPIPE, SIG_IGN);
    nn_status status = bind_all(s, err);
    if (status != NN_OK) {
        free_server(s);
        return status;
    }
    *ret = s;
    return NN_OK;
}

nn_status nn_http_server_run(nn_http_server *s, nn_err *err) {
    nn_status status = NN_OK;
    for (int i = 0; i < s->threads && status == NN_OK; i++) {
        status = nn_loop_start(s->loop[i], err);
        if (status == NN_OK) s->started++;
    }
    return status;
}

nn_status nn_http_server_start(const nn_http_options *o, nn_http_server **ret, nn_err *err) {
    nn_http_server *s = NULL;
    nn_status status = nn_http_server_listen(o, &s, err);
    if (status == NN_OK) status = nn_http_server_run(s, err);
    if (status == NN_OK)
        *ret = s;
    else
        nn_http_server_stop(s, 0);
    return status;
}

int nn_http_server_port(const nn_http_server *s) {
    return s->port;
}

static void on_drain_over(uv_timer_t *t) {
    nn_loop *l = t->data;
    for (uint32_t i = 0; i < l->slots; i++)
        if (l->slot[i]) nn_conn_close(l->slot[i]);
    nn_loop_check_end(l);
}

static void run_drain(nn_loop *l, nn_post *p) {
    (void)p;
    l->draining = true;
    for (int i = 0; i < l->listeners; i++) uv_close((uv_handle_t *)&l->listener[i], NULL);
    for (uint32_t i = 0; i < l->slots; i++)
        if (l->slot[i]) nn_conn_drain(l->slot[i]);
    uv_timer_start(&l->drain, on_drain_over, (uint64_t)l->server->drain_ms, 0);
    nn_loop_check_end(l);
}

void nn_http_server_stop(nn_http_server *s, int drain_ms) {
    if (!s) return;
    s->drain_ms = drain_ms > 0 ? drain_ms : 0;
    stop_loops(s);
    free_server(s);
}

nn_http_stats nn_http_server_stats(const nn_http_server *s) {
    nn_http_stats sum = {.open = atomic_load(&s->open)};
    for (int i = 0; i < s->threads; i++) {
        nn_counters *c = &s->loop[i]->count;
        sum.accepted += atomic_load_explicit(&c->accepted, memory_order_relaxed);
        sum.refused += atomic_load_explicit(&c->refused, memory_order_relaxed);
        sum.requests += atomic_load_explicit(&c->requests, memory_order_relaxed);
        sum.malformed += atomic_load_explicit(&c->malformed, memory_order_relaxed);
        sum.timeouts += atomic_load_explicit(&c->timeouts, memory_order_relaxed);
    }
    return sum;
}
