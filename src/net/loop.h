/* SPDX-License-Identifier: MIT */
/* loop.h - what the loop threads of a server share with conn.c. Internal to net/. Everything in a
 * loop and its connections belongs to the loop's thread, but for the message stack, the counters
 * and `server`. */
#ifndef NN_NET_LOOP_H
#define NN_NET_LOOP_H
#include "net/exchange.h"
#include "net/parser.h"
#include "net/server.h"

enum { NN_LISTEN_MAX = 4, NN_READ_SIZE = 65536 };

/* What a connection is waiting for. All deadlines of a phase are equally long, so each list is
 * ordered by time. */
typedef enum nn_phase {
    NN_PHASE_HEAD,
    NN_PHASE_BODY,
    NN_PHASE_IDLE,
    NN_PHASE_WRITE,
    NN_PHASE_LINGER,
    NN_PHASE_NONE, /* a handler; no deadline */
    NN_PHASES
} nn_phase;

typedef struct nn_counters {
    atomic_uint_fast64_t accepted, refused, requests, malformed, timeouts;
} nn_counters;

struct nn_conn {
    uv_tcp_t tcp;
    nn_loop *loop;
    nn_conn *earlier, *later; /* of its phase's list */
    uint64_t due, moved;      /* ms; bytes moved in this period of the phase */
    nn_exchange *x;           /* being read or answered */
    nn_parser parser;
    nn_buf held; /* input behind x */
    uint32_t slot, generation;
    uint32_t writes; /* uv_write requests under way */
    uint32_t busy;   /* file reads under way: the connection may not be freed */
    nn_phase phase;
    bool reading, eof, closed, tcp_closed;
    bool answering; /* x is parked or its answer is being streamed: what follows is held */
    bool streaming; /* x's body comes from a source or a file */
    bool ending;    /* close once everything is written */
    bool lent;      /* its admission went to the exchange that it left behind */
    bool peer_is_loopback;
    char peer[48];
};

struct nn_loop {
    nn_http_server *server;
    const nn_http_options *options;
    uv_loop_t uv;
    uv_async_t async;
    uv_timer_t timer, drain;
    uv_tcp_t listener[NN_LISTEN_MAX];
    int fd[NN_LISTEN_MAX]; /* before they become listeners */
    int listeners;
    uv_thread_t thread;
    nn_conn *first[NN_PHASES], *last[NN_PHASES];
    uint64_t timer_due; /* 0: not armed */
    _Atomic(nn_post *) posts;
    nn_exchange *spare;
    unsigned spares;
    nn_conn **slot;
    uint32_t *free_slot, slots, slots_cap, free_slots;
    unsigned parked, conns;
    bool draining, ended;
    nn_buf out, piece; /* bytes to be written after this batch; scratch of streams */
    char date[64];     /* "Date: …\r\n" */
    int64_t date_second;
    nn_counters count;
    char input[NN_READ_SIZE];
};

/* loop.c */
nn_status nn_loop_start(nn_loop *l, nn_err *err); /* its fds listen already */
void nn_loop_post(nn_loop *l, nn_post *p);        /* any thread */
void nn_loop_phase(nn_conn *c, nn_phase phase);   /* restarts the deadline */
nn_exchange *nn_loop_take(nn_loop *l);
void nn_loop_recycle(nn_loop *l, nn_exchange *x);
uint32_t nn_loop_slot(nn_loop *l, nn_conn *c);
const char *nn_loop_date(nn_loop *l);
void nn_loop_check_end(nn_loop *l);

/* conn.c */
void nn_conn_accept(nn_loop *l, uv_stream_t *listener);
void nn_conn_close(nn_conn *c);
void nn_conn_expire(nn_conn *c); /* its deadline has passed */
void nn_conn_drain(nn_conn *c);

/* server.c */
bool nn_server_admit(nn_http_server *s);
void nn_server_leave(nn_http_server *s);
#endif
