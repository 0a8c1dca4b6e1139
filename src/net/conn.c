/* SPDX-License-Identifier: MIT */
/* conn.c - one connection: what comes in goes through the parser to the hooks, what they answer
 * goes out in the same order.
 *
 * Invariants: at most one exchange at a time; while it is answered later (parked, streamed) or
 * bytes wait to be written, further input is held, and past a bound not read. Answers of one batch
 * of input leave in one write. A connection is closed by nn_conn_close only, and freed when libuv
 * and file reads are done with it; until then `closed` is set and may be looked at. */
#include "base/clock.h"
#include "net/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    HELD_MAX = 65536,  /* input behind an answer */
    COPY_MAX = 32768,  /* a larger body is written from where it lies */
    BATCH_MAX = 65536, /* answers gathered before they are written */
    DISCARD_MAX =
        65536, /* a refused body up to this size is read, so that the connection can go on */
    PIECES_AT_ONCE = 16, /* of a stream, before others get their turn */
    FILE_PIECE = 65536,
};

typedef struct write_req {
    uv_write_t req;
    nn_conn *c;
    nn_buf data; /* owned */
} write_req;

typedef struct file_req {
    uv_fs_t req;
    nn_conn *c;
    char bytes[FILE_PIECE];
} file_req;

static void go_on(nn_conn *c);
static void pump(nn_conn *c);
static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b);

static void count(atomic_uint_fast64_t *n) {
    atomic_fetch_add_explicit(n, 1, memory_order_relaxed);
}

/* ---- life ---- */

static void release(nn_conn *c) {
    nn_loop *l = c->loop;
    if (!c->tcp_closed || c->busy) return;
    if (c->x) {
        if (c->streaming) l->options->hooks.sent(l->options->hooks.ctx, &c->x->q, -1);
        nn_loop_recycle(l, c->x);
    }
    nn_buf_done(&c->held);
    if (!c->lent) nn_server_leave(l->server);
    free(c);
    l->conns--;
    nn_loop_check_end(l);
}

static void on_closed(uv_handle_t *h) {
    nn_conn *c = (nn_conn *)h;
    c->tcp_closed = true;
    release(c);
}

/* The client of a parked exchange is gone: the exchange goes on without a connection, and counts as
 * one until it is over. Otherwise who asks and leaves would pile up work without limit. */
static void abandon(nn_conn *c) {
    nn_exchange *x = c->x;
    c->lent = true;
    x->conn = NULL;
    c->x = NULL;
    if (atomic_exchange(&x->gone, true)) return;
    if (x->wake) x->wake(x->wake_arg, NN_HTTP_GONE);
}

void nn_conn_close(nn_conn *c) {
    nn_loop *l = c->loop;
    if (c->closed) return;
    c->closed = true;
    nn_loop_phase(c, NN_PHASE_NONE);
    l->slot[c->slot] = NULL;
    l->free_slot[l->free_slots++] = c->slot;
    if (c->x && c->x->parked) abandon(c);
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

static void on_alloc(uv_handle_t *h, size_t n, uv_buf_t *ret) {
    (void)n;
    nn_conn *c = (nn_conn *)h;
    *ret = uv_buf_init(c->loop->input, NN_READ_SIZE);
}

static void want_input(nn_conn *c, bool want) {
    if (c->closed || want == c->reading) return;
    c->reading = want;
    if (!want)
        uv_read_stop((uv_stream_t *)&c->tcp);
    else if (uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) != 0)
        nn_conn_close(c);
}

/* No more bytes from us; what the client still sends is read away for a while, so that its kernel
 * does not throw our answer away (closing with unread input sends RST). */
static void linger(nn_conn *c) {
    uv_os_fd_t fd;
    if (c->closed) return;
    if (c->eof || uv_fileno((uv_handle_t *)&c->tcp, &fd) != 0) {
        nn_conn_close(c);
        return;
    }
    shutdown(fd, SHUT_WR);
    nn_buf_done(&c->held);
    nn_loop_phase(c, NN_PHASE_LINGER);
    want_input(c, true);
}

/* ---- writing ---- */

static void on_written(uv_write_t *req, int status) {
    write_req *w = (write_req *)req;
    nn_conn *c = w->c;
    c->moved += w->data.n;
    nn_buf_done(&w->data);
    free(w);
    c->writes--;
    if (c->closed) return;
    if (status < 0)
        nn_conn_close(c);
    else if (c->writes == 0)
        go_on(c);
}

/* Takes data; its first `from` bytes are already written. */
static void queue_write(nn_conn *c, nn_buf data, size_t from) {
    write_req *w = malloc(sizeof *w);
    if (!w) abort();
    *w = (write_req){.c = c, .data = data};
    uv_buf_t b = uv_buf_init(data.p + from, (unsigned)(data.n - from));
    if (uv_write(&w->req, (uv_stream_t *)&c->tcp, &b, 1, on_written) != 0) {
        nn_buf_done(&w->data);
        free(w);
        nn_conn_close(c);
        return;
    }
    if (c->writes++ == 0) nn_loop_phase(c, NN_PHASE_WRITE);
}

/* What the socket takes of p[0..n) at once. */
static size_t write_now(nn_conn *c, const char *p, size_t n) {
    if (c->writes) return 0;
    uv_buf_t b = uv_buf_init((char *)(uintptr_t)p, (unsigned)n);
    int k = uv_try_write((uv_stream_t *)&c->tcp, &b, 1);
    if (k < 0 && k != UV_EAGAIN) nn_conn_close(c);
    if (k > 0) c->moved += (uint64_t)k;
    return k > 0 ? (size_t)k : 0;
}

/* Writes the batch. */
static void flush(nn_conn *c) {
    nn_buf *out = &c->loop->out;
    if (c->closed || out->n == 0) {
        nn_buf_clear(out);
        return;
    }
    size_t done = write_now(c, out->p, out->n);
    if (!c->closed && done < out->n) {
        nn_buf rest = {0};
        nn_buf_append(&rest, out->p + done, out->n - done);
        if (nn_buf_failed(&rest))
            nn_conn_close(c);
        else
            queue_write(c, rest, 0);
    }
    nn_buf_clear(out);
}

/* Writes bytes that lie elsewhere, after the batch; moves them out of *own if that is where they
 * are. */
static void write_body(nn_conn *c, const char *p, size_t n, nn_buf *own) {
    nn_buf *out = &c->loop->out;
    if (n <= COPY_MAX) {
        nn_buf_append(out, p, n);
        return;
    }
    flush(c);
    if (c->closed) return;
    size_t done = write_now(c, p, n);
    if (c->closed || done == n) return;
    nn_buf rest = {0};
    if (own) {
        rest = *own;
        *own = (nn_buf){0};
        queue_write(c, rest, done);
        return;
    }
    nn_buf_append(&rest, p + done, n - done);
    if (nn_buf_failed(&rest))
        nn_conn_close(c);
    else
        queue_write(c, rest, 0);
}

/* ---- answers ---- */

static const char *reason(int status) {
    switch (status) {
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 202:
        return "Accepted";
    case 204:
        return "No Content";
    case 206:
        return "Partial Content";
    case 304:
        return "Not Modified";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 409:
        return "Conflict";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 415:
        return "Unsupported Media Type";
    case 416:
        return "Range Not Satisfiable";
    case 422:
        return "Unprocessable Content";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Status";
    }
}

static void put_number(nn_buf *out, uint64_t v) {
    char digits[20], *p = digits + sizeof digits;
    do *--p = (char)('0' + v % 10);
    while (v /= 10);
    nn_buf_append(out, p, (size_t)(digits + sizeof digits - p));
}

static void put_status(nn_buf *out, int status) {
    if (status == 200) {
        nn_buf_append(out, "HTTP/1.1 200 OK\r\n", 17);
        return;
    }
    nn_buf_printf(out, "HTTP/1.1 %d %s\r\n", status, reason(status));
}

#define PUT(out, literal) nn_buf_append((out), "" literal, sizeof(literal) - 1)

/* length < 0: not known before the end. */
static void put_head(nn_conn *c, const nn_exchange *x, int64_t length) {
    nn_buf *out = &c->loop->out;
    const nn_http_response *r = &x->r;
    put_status(out, r->status);
    nn_buf_puts(out, nn_loop_date(c->loop));
    if (r->type) {
        PUT(out, "Content-Type: ");
        nn_buf_puts(out, r->type);
        PUT(out, "\r\n");
    }
    nn_buf_append(out, r->head.p, r->head.n);
    if (c->ending)
        PUT(out, "Connection: close\r\n");
    else if (x->q.minor == 0)
        PUT(out, "Connection: keep-alive\r\n");
    if (length < 0) {
        if (x->q.minor) PUT(out, "Transfer-Encoding: chunked\r\n");
    } else if (r->status != 204 && r->status != 304) {
        PUT(out, "Content-Length: ");
        put_number(out, (uint64_t)length);
        PUT(out, "\r\n");
    }
    PUT(out, "\r\n");
}

/* The exchange is over; body: bytes sent. */
static void finish(nn_conn *c, int64_t body) {
    nn_loop *l = c->loop;
    nn_exchange *x = c->x;
    l->options->hooks.sent(l->options->hooks.ctx, &x->q, body);
    c->x = NULL;
    c->answering = c->streaming = false;
    nn_loop_recycle(l, x);
}

/* Puts the answer of c->x into the batch, or begins to stream it. */
static void answer(nn_conn *c) {
    nn_exchange *x = c->x;
    nn_http_response *r = &x->r;
    bool head_only = x->q.method == NN_HTTP_HEAD || r->status == 204 || r->status == 304;
    bool stream = r->source.next != NULL;
    if (r->status == 0) r->status = 500;
    c->ending = c->ending || !x->q.keep_alive || r->close || c->loop->draining ||
                (stream && x->q.minor == 0);
    int64_t length = stream       ? -1
                     : r->fd >= 0 ? r->length
                                  : (int64_t)(r->fixed.p ? r->fixed.n : r->body.n);
    put_head(c, x, length);
    if (!head_only && (stream || r->fd >= 0)) {
        c->answering = c->streaming = true;
        nn_loop_phase(c, NN_PHASE_WRITE);
        pump(c);
        return;
    }
    if (!head_only && r->fixed.p)
        write_body(c, r->fixed.p, r->fixed.n, NULL);
    else if (!head_only)
        write_body(c, r->body.p, r->body.n, &r->body);
    finish(c, head_only ? 0 : length);
}

static void on_file_read(uv_fs_t *req) {
    file_req *f = (file_req *)req;
    nn_conn *c = f->c;
    ssize_t n = req->result;
    uv_fs_req_cleanup(req);
    c->busy--;
    if (c->closed) {
        release(c);
    } else if (n <= 0) { /* the file became shorter: only a cut connection tells the client */
        nn_conn_close(c);
    } else {
        nn_http_response *r = &c->x->r;
        r->offset += n;
        r->length -= n;
        c->x->sent += n;
        nn_buf_append(&c->loop->out, f->bytes, (size_t)n);
        flush(c);
        if (!c->closed && !c->writes) go_on(c);
    }
    free(f);
}

static void read_file(nn_conn *c) {
    nn_http_response *r = &c->x->r;
    file_req *f = malloc(sizeof *f);
    if (!f) abort();
    f->c = c;
    uv_buf_t b = uv_buf_init(f->bytes, r->length < FILE_PIECE ? (unsigned)r->length : FILE_PIECE);
    if (uv_fs_read(&c->loop->uv, &f->req, r->fd, &b, 1, r->offset, on_file_read) != 0) {
        free(f);
        nn_conn_close(c);
        return;
    }
    c->busy++;
}

static void pump_file(nn_conn *c) {
    if (c->x->r.length == 0) {
        finish(c, c->x->sent);
        return;
    }
    flush(c);
    if (!c->closed && !c->writes) read_file(c);
}

/* Appends what the source has as one chunk. */
static nn_http_more put_piece(nn_conn *c) {
    nn_loop *l = c->loop;
    nn_exchange *x = c->x;
    nn_buf_clear(&l->piece);
    nn_http_more more = x->r.source.next(x->r.source.ctx, &l->piece);
    if (nn_buf_failed(&l->piece)) return NN_HTTP_BROKEN;
    bool chunked = x->q.minor == 1;
    if (l->piece.n) {
        if (chunked) nn_buf_printf(&l->out, "%zx\r\n", l->piece.n);
        nn_buf_append(&l->out, l->piece.p, l->piece.n);
        if (chunked) PUT(&l->out, "\r\n");
        x->sent += (int64_t)l->piece.n;
    }
    if (more == NN_HTTP_END && chunked) PUT(&l->out, "0\r\n\r\n");
    return more;
}

static void pump_source(nn_conn *c) {
    for (int i = 0; i < PIECES_AT_ONCE; i++) {
        nn_http_more more = put_piece(c);
        flush(c);
        if (c->closed) return;
        if (more == NN_HTTP_BROKEN) {
            nn_conn_close(c);
            return;
        }
        if (more == NN_HTTP_END) {
            finish(c, c->x->sent);
            return;
        }
        if (c->writes) return; /* go on when they are done */
        if (more == NN_HTTP_WAIT) {
            nn_loop_phase(c, NN_PHASE_NONE);
            return;
        }
    }
    nn_http_wake(nn_http_handle_of(&c->x->q));
}

/* Sends what there is of a streamed body. It is over when `streaming` is no longer set. */
static void pump(nn_conn *c) {
    if (c->busy) return;
    if (c->x->r.source.next)
        pump_source(c);
    else
        pump_file(c);
}

typedef struct wake_post {
    nn_post post;
    nn_http_handle handle;
} wake_post;

static void run_wake(nn_loop *l, nn_post *p) {
    wake_post *w = (wake_post *)p;
    nn_conn *c = w->handle.slot < l->slots ? l->slot[w->handle.slot] : NULL;
    if (c && c->generation == w->handle.generation && c->streaming && !c->writes) go_on(c);
    free(w);
}

void nn_http_wake(nn_http_handle h) {
    wake_post *w = malloc(sizeof *w);
    if (!w) abort();
    *w = (wake_post){.post.run = run_wake, .handle = h};
    nn_loop_post(h.loop, &w->post);
}

/* ---- requests ---- */

static nn_exchange *begin(nn_conn *c) {
    nn_exchange *x = nn_loop_take(c->loop);
    c->generation++;
    x->conn = c;
    x->slot = c->slot;
    x->generation = c->generation;
    memcpy(x->peer, c->peer, sizeof x->peer);
    x->q.peer = x->peer;
    x->q.peer_is_loopback = c->peer_is_loopback;
    x->q.began = (uint64_t)nn_clock_mono();
    c->x = x;
    return x;
}

/* Answers at once and closes: the rest of what the client sends is not read as a request. */
static void refuse(nn_conn *c, const nn_err *why) {
    nn_loop *l = c->loop;
    if (!c->x) begin(c);
    nn_http_reset(&c->x->r);
    l->options->hooks.refuse(l->options->hooks.ctx, &c->x->q, why);
    c->ending = true;
    answer(c);
}

static void on_head(nn_conn *c, bool more_here) {
    nn_loop *l = c->loop;
    nn_exchange *x = c->x;
    nn_http_request *q = &x->q;
    size_t limit = l->options->limits.body;
    nn_err err;
    x->refused = !l->options->hooks.head(l->options->hooks.ctx, q, &limit);
    if (nn_parser_body(&c->parser, x, limit, x->refused, &err) != NN_OK) {
        count(&l->count.malformed);
        refuse(c, &err);
        return;
    }
    if (q->body_length == 0) return;
    bool expects = q->minor == 1 && nn_text_isi(nn_http_get(q, "expect"), "100-continue");
    if (x->refused && (expects || q->body_length < 0 || q->body_length > DISCARD_MAX)) {
        c->ending = true;
        answer(c);
        return;
    }
    nn_loop_phase(c, NN_PHASE_BODY);
    if (expects && !more_here) PUT(&l->out, "HTTP/1.1 100 Continue\r\n\r\n");
}

static void on_request(nn_conn *c) {
    nn_loop *l = c->loop;
    nn_exchange *x = c->x;
    count(&l->count.requests);
    if (!x->refused) l->options->hooks.request(l->options->hooks.ctx, &x->q);
    if (x->parked) {
        c->answering = true;
        nn_loop_phase(c, NN_PHASE_NONE);
        if (l->draining && x->wake) x->wake(x->wake_arg, NN_HTTP_DRAIN);
        return;
    }
    answer(c);
}

static void hold(nn_conn *c, const char *p, size_t n) {
    nn_buf_append(&c->held, p, n);
    if (nn_buf_failed(&c->held))
        nn_conn_close(c);
    else if (c->held.n >= HELD_MAX)
        want_input(c, false);
}

static bool may_parse(const nn_conn *c) {
    return !c->closed && !c->answering && !c->ending && !c->writes;
}

/* Reads requests from p[0..n) and answers them until the bytes are used up or an answer must wait;
 * the rest is held. */
static void parse(nn_conn *c, char *p, size_t n) {
    nn_loop *l = c->loop;
    nn_parse event = NN_PARSE_MORE;
    nn_err err;
    while ((n || event == NN_PARSE_HEAD) && may_parse(c)) {
        nn_exchange *x = c->x ? c->x : begin(c);
        size_t used = nn_parser_feed(&c->parser, x, p, n, &event, &err);
        p += used;
        n -= used;
        if (event == NN_PARSE_HEAD) on_head(c, n > 0);
        if (event == NN_PARSE_REQUEST) on_request(c);
        if (event == NN_PARSE_BAD) {
            count(&l->count.malformed);
            refuse(c, &err);
        }
        if (l->out.n > BATCH_MAX) flush(c);
    }
    if (n && !c->closed && !c->ending) hold(c, p, n);
}

/* After a batch: write it; then close, or wait for what comes next. */
static void settle(nn_conn *c) {
    flush(c);
    if (c->closed || c->answering || c->writes) return;
    if (c->ending) {
        linger(c);
    } else if (c->x) { /* the deadline of a phase is not moved by each byte */
        nn_phase phase = c->parser.state == NN_PARSER_BODY ? NN_PHASE_BODY : NN_PHASE_HEAD;
        if (c->phase != phase) nn_loop_phase(c, phase);
    } else {
        nn_loop_phase(c, NN_PHASE_IDLE);
    }
}

/* Nothing waits to be written any more: the stream goes on, or what was held is read. */
static void go_on(nn_conn *c) {
    if (c->streaming) {
        nn_loop_phase(c, NN_PHASE_WRITE);
        pump(c);
    }
    if (c->closed || c->streaming) return;
    if (c->held.n && may_parse(c)) {
        nn_buf held = c->held;
        c->held = (nn_buf){0};
        parse(c, held.p, held.n);
        nn_buf_done(&held);
    }
    if (c->eof && !c->held.n && !c->answering) c->ending = true;
    settle(c);
    if (!c->closed && !c->ending && c->held.n < HELD_MAX) want_input(c, !c->eof);
}

static void on_eof(nn_conn *c) {
    c->eof = true;
    want_input(c, false);
    if (c->x && c->x->parked) { /* perhaps half closed: the answer is still sent, but nobody should
                                   wait long for it */
        if (!atomic_exchange(&c->x->gone, true) && c->x->wake)
            c->x->wake(c->x->wake_arg, NN_HTTP_GONE);
    } else if (!c->answering && !c->writes) {
        nn_conn_close(c);
    }
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b) {
    nn_conn *c = (nn_conn *)s;
    if (n == 0 || c->closed) return;
    if (n < 0) {
        if (n == UV_EOF && c->phase != NN_PHASE_LINGER)
            on_eof(c);
        else
            nn_conn_close(c);
        return;
    }
    if (c->phase == NN_PHASE_LINGER) return;
    if (c->phase == NN_PHASE_BODY) c->moved += (uint64_t)n;
    if (may_parse(c)) {
        parse(c, b->base, (size_t)n);
        settle(c);
    } else if (!c->ending) {
        hold(c, b->base, (size_t)n);
    }
}

/* ---- deadlines, the end, parked requests ---- */

/* Whether the client moved enough bytes in this period; begins the next one. */
static bool is_moving(nn_conn *c, int period_ms) {
    if ((int64_t)c->moved * 1000 < c->loop->options->limits.min_rate * period_ms) return false;
    nn_loop_phase(c, c->phase);
    return true;
}

void nn_conn_expire(nn_conn *c) {
    const nn_http_limits *k = &c->loop->options->limits;
    nn_err err;
    if (c->phase == NN_PHASE_BODY && is_moving(c, k->body_ms)) return;
    if (c->phase == NN_PHASE_WRITE && is_moving(c, k->write_ms)) return;
    if (c->phase == NN_PHASE_IDLE || c->phase == NN_PHASE_LINGER || c->phase == NN_PHASE_WRITE ||
        !c->x) {
        nn_conn_close(c);
        return;
    }
    count(&c->loop->count.timeouts);
    nn_status code =
        nn_fail(&err, NN_E_REQUEST_TIMEOUT, "the request was not sent within %g seconds",
                (c->phase == NN_PHASE_HEAD ? k->head_ms : k->body_ms) / 1e3);
    nn_err_hint(&err, code, "send it faster, or raise server.read_timeout_s");
    refuse(c, &err);
    settle(c);
}

void nn_conn_drain(nn_conn *c) {
    if (c->x && c->x->parked) {
        if (c->x->wake) c->x->wake(c->x->wake_arg, NN_HTTP_DRAIN);
    } else if (!c->x && !c->writes) {
        nn_conn_close(c);
    }
}

static void on_park_timer(uv_timer_t *t) {
    nn_exchange *x = t->data;
    if (x->parked && x->wake) x->wake(x->wake_arg, NN_HTTP_TIMEOUT);
}

nn_status nn_http_park(nn_http_request *q, void (*wake)(void *arg, nn_http_wakeup why), void *arg,
                       nn_err *err) {
    nn_exchange *x = nn_exchange_of(q);
    nn_exchange_keep(x);
    if (nn_buf_failed(&x->head) || nn_buf_failed(&x->data))
        return nn_fail(err, NN_E_LIMIT, "no memory to keep a request of %zu bytes",
                       x->raw_n + q->body.n);
    x->wake = wake;
    x->wake_arg = arg;
    x->parked = true;
    x->loop->parked++;
    return NN_OK;
}

static void run_alarm(nn_loop *l, nn_post *p) {
    nn_exchange *x = (nn_exchange *)((char *)p - offsetof(nn_exchange, alarm));
    if (!x->timer_made) uv_timer_init(&l->uv, &x->timer);
    x->timer_made = true;
    x->timer.data = x;
    uv_update_time(&l->uv);
    uv_timer_start(&x->timer, on_park_timer, (uint64_t)x->alarm_ms, 0);
}

void nn_http_wake_after(nn_http_request *q, int64_t ms) {
    nn_exchange *x = nn_exchange_of(q);
    x->alarm_ms = ms;
    x->alarm.run = run_alarm;
    nn_loop_post(x->loop, &x->alarm);
}

static void run_complete(nn_loop *l, nn_post *p) {
    nn_exchange *x = (nn_exchange *)((char *)p - offsetof(nn_exchange, post));
    nn_conn *c = x->conn;
    if (x->timer_made) uv_timer_stop(&x->timer);
    x->parked = false;
    x->wake = NULL;
    l->parked--;
    if (!c) {
        l->options->hooks.sent(l->options->hooks.ctx, &x->q, -1);
        nn_loop_recycle(l, x);
        nn_server_leave(l->server);
        nn_loop_check_end(l);
        return;
    }
    c->answering = false;
    answer(c);
    if (!c->closed && !c->streaming) go_on(c);
}

void nn_http_complete(nn_http_request *q) {
    nn_exchange *x = nn_exchange_of(q);
    x->post.run = run_complete;
    nn_loop_post(x->loop, &x->post);
}

/* ---- accepting ---- */

static void name_peer(nn_conn *c) {
    struct sockaddr_storage a;
    int n = sizeof a;
    snprintf(c->peer, sizeof c->peer, "unknown");
    if (uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&a, &n) != 0) return;
    if (a.ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (struct sockaddr_in6 *)&a;
        const unsigned char *b = six->sin6_addr.s6_addr;
        if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
            snprintf(c->peer, sizeof c->peer, "%d.%d.%d.%d", b[12], b[13], b[14], b[15]);
            c->peer_is_loopback = b[12] == 127;
        } else {
            uv_ip6_name(six, c->peer, sizeof c->peer);
            c->peer_is_loopback = IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
        }
    } else {
        const struct sockaddr_in *four = (struct sockaddr_in *)&a;
        uv_ip4_name(four, c->peer, sizeof c->peer);
        c->peer_is_loopback = ntohl(four->sin_addr.s_addr) >> 24 == 127;
    }
}

/* Says so and closes without waiting for the client: what is full must not fill up with farewells.
 */
static void turn_away(nn_conn *c) {
    nn_err err;
    count(&c->loop->count.refused);
    nn_status code = nn_fail(&err, NN_E_NOT_READY, "too many connections are open, %u are allowed",
                             c->loop->options->limits.connections);
    nn_err_hint(&err, code, "try again soon");
    refuse(c, &err);
    flush(c);
    nn_conn_close(c);
}

void nn_conn_accept(nn_loop *l, uv_stream_t *listener) {
    nn_conn *c = calloc(1, sizeof *c);
    if (!c) abort();
    c->loop = l;
    c->phase = NN_PHASE_NONE;
    nn_parser_init(&c->parser, &l->options->limits);
    uv_tcp_init(&l->uv, &c->tcp);
    c->slot = nn_loop_slot(l, c);
    l->conns++;
    count(&l->count.accepted);
    bool room = nn_server_admit(l->server);
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0 || l->draining) {
        nn_conn_close(c);
        return;
    }
    uv_tcp_nodelay(&c->tcp, 1);
    name_peer(c);
    if (!room) {
        turn_away(c);
        return;
    }
    nn_loop_phase(c, NN_PHASE_HEAD);
    want_input(c, true);
}
