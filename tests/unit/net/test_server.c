/* SPDX-License-Identifier: MIT */
/* The server over loopback sockets with hooks of our own: parked requests, streams, files,
 * back-pressure, caps, drain. */
#include "net/server.h"
#include "t.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BIG = 8 << 20 };

typedef struct world {
    nn_http_server *server;
    nn_http_request *parked;
    sem_t is_parked, woken;
    atomic_int why, sent, done;
    nn_http_handle handle;
    atomic_int pieces;
    char *big;
    char file[64];
} world;
static world w;

static bool is_path(const nn_http_request *q, const char *path) {
    return nn_text_is(q->target, path);
}

static bool on_head(void *ctx, nn_http_request *q, size_t *limit) {
    (void)ctx;
    (void)limit;
    if (!is_path(q, "/refuse")) return true;
    nn_http_answer(q)->status = 403;
    return false;
}

static void on_wake(void *arg, nn_http_wakeup why) {
    world *x = arg;
    atomic_store(&x->why, (int)why + 1);
    sem_post(&x->woken);
}

/* Five pieces; before the third it waits to be woken. */
static nn_http_more next_piece(void *ctx, nn_buf *out) {
    world *x = ctx;
    int n = atomic_fetch_add(&x->pieces, 1);
    if (n == 2) {
        sem_post(&x->is_parked);
        return NN_HTTP_WAIT;
    }
    nn_buf_printf(out, "piece%d;", n > 2 ? n - 1 : n);
    return n == 5 ? NN_HTTP_END : NN_HTTP_MORE;
}

static nn_http_more endless(void *ctx, nn_buf *out) {
    (void)ctx;
    static const char zeros[65536];
    nn_buf_append(out, zeros, sizeof zeros);
    return NN_HTTP_MORE;
}

static nn_http_more broken(void *ctx, nn_buf *out) {
    (void)ctx;
    nn_buf_puts(out, "half");
    return NN_HTTP_BROKEN;
}

static void on_done(void *ctx) {
    atomic_fetch_add(&((world *)ctx)->done, 1);
}

static void on_request(void *ctx, nn_http_request *q) {
    world *x = ctx;
    nn_http_response *r = nn_http_answer(q);
    nn_err err;
    r->status = 200;
    r->type = "text/plain";
    if (is_path(q, "/park") || is_path(q, "/park1")) {
        r->status = 0;
        CHECK_OK(nn_http_park(q, on_wake, x, &err), &err);
        if (is_path(q, "/park1")) nn_http_wake_after(q, 1);
        x->parked = q;
        sem_post(&x->is_parked);
    } else if (is_path(q, "/stream")) {
        x->handle = nn_http_handle_of(q);
        r->source = (nn_http_source){next_piece, on_done, x};
    } else if (is_path(q, "/endless")) {
        r->source = (nn_http_source){endless, on_done, x};
    } else if (is_path(q, "/broken")) {
        r->source = (nn_http_source){broken, on_done, x};
    } else if (is_path(q, "/big")) {
        r->fixed = (nn_text){x->big, BIG};
    } else if (is_path(q, "/bigown")) {
        nn_buf_append(&r->body, x->big, BIG);
    } else if (is_path(q, "/file")) {
        FILE *f = fopen(x->file, "rb");
        assert_non_null(f);
        nn_status s =
            nn_http_send_file(q, dup(fileno(f)), "application/octet-stream", "\"tag\"", &err);
        fclose(f);
        if (s != NN_OK) r->status = nn_status_http(s);
    } else {
        nn_buf_append(&r->body, q->body.p, q->body.n);
        nn_buf_append(&r->body, q->target.p, q->target.n);
    }
}

static void on_refuse(void *ctx, nn_http_request *q, const nn_err *why) {
    (void)ctx;
    nn_http_answer(q)->status = nn_status_http(why->code);
}

static void on_sent(void *ctx, nn_http_request *q, int64_t bytes) {
    (void)q;
    (void)bytes;
    atomic_fetch_add(&((world *)ctx)->sent, 1);
}

static void start_with(nn_http_limits limits, int threads) {
    nn_err err;
    w = (world){0};
    sem_init(&w.is_parked, 0, 0);
    sem_init(&w.woken, 0, 0);
    w.big = malloc(BIG);
    assert_non_null(w.big);
    for (int i = 0; i < BIG; i++) w.big[i] = (char)('a' + i % 23);
    snprintf(w.file, sizeof w.file, "/tmp/nn_http_XXXXXX");
    int fd = mkstemp(w.file);
    assert_int_equal(write(fd, w.big, 1 << 20), 1 << 20);
    close(fd);
    nn_http_options o = {
        .host = "127.0.0.1",
        .threads = threads,
        .limits = limits,
        .hooks = {.ctx = &w,
                  .head = on_head,
                  .request = on_request,
                  .refuse = on_refuse,
                  .sent = on_sent}
    };
    CHECK_OK(nn_http_server_start(&o, &w.server, &err), &err);
}

static void stop(void) {
    nn_http_server_stop(w.server, 5000);
    unlink(w.file);
    free(w.big);
}

static int dial(void) {
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)nn_http_server_port(w.server)),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void say(int fd, const char *text) {
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Everything until the server closes. */
static void read_all(int fd, nn_buf *out) {
    static char piece[65536];
    for (ssize_t n; (n = recv(fd, piece, sizeof piece, 0)) > 0;)
        nn_buf_append(out, piece, (size_t)n);
}

#define GET(path)        "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define LAST(path, more) "GET " path " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" more "\r\n"

/* The whole dialogue: text out, all answers in. */
static void ask(const char *text, nn_buf *out) {
    int fd = dial();
    say(fd, text);
    read_all(fd, out);
    close(fd);
}

static const char *body_of(const nn_buf *b) {
    const char *p = strstr(nn_buf_str(b), "\r\n\r\n");
    return p ? p + 4 : "";
}

TEST(parked_requests_are_answered_from_any_thread_in_order) {
    start_with(nn_http_default_limits, 2);
    NN_BUF out = {0};
    int fd = dial();
    say(fd, GET("/park") LAST("/after", ""));
    sem_wait(&w.is_parked);
    nn_http_response *r = nn_http_answer(w.parked);
    CHECK(nn_text_is(w.parked->host, "a"));
    r->status = 200;
    nn_buf_puts(&r->body, "late");
    nn_http_complete(w.parked);
    read_all(fd, &out);
    const char *late = strstr(nn_buf_str(&out), "late"),
               *after = strstr(nn_buf_str(&out), "/after");
    CHECK(late && after && late < after);
    close(fd);
    stop();
    assert_int_equal(atomic_load(&w.sent), 2);
}

TEST(a_parked_request_outlives_its_client) {
    start_with(nn_http_default_limits, 1);
    int fd = dial();
    say(fd, GET("/park"));
    sem_wait(&w.is_parked);
    close(fd);
    sem_wait(&w.woken);
    assert_int_equal(atomic_load(&w.why), NN_HTTP_GONE + 1);
    CHECK(nn_http_gone(w.parked));
    nn_http_answer(w.parked)->status = 200;
    nn_http_complete(w.parked);
    stop(); /* waits for the completion to be handled */
    assert_int_equal(atomic_load(&w.sent), 1);
}

TEST(a_parked_request_is_woken_in_time) {
    start_with(nn_http_default_limits, 1);
    NN_BUF out = {0};
    int fd = dial();
    say(fd, LAST("/park1", ""));
    sem_wait(&w.is_parked);
    sem_wait(&w.woken);
    assert_int_equal(atomic_load(&w.why), NN_HTTP_TIMEOUT + 1);
    nn_http_answer(w.parked)->status = 204;
    nn_http_complete(w.parked);
    read_all(fd, &out);
    CHECK(strncmp(nn_buf_str(&out), "HTTP/1.1 204 ", 13) == 0);
    CHECK(!strstr(nn_buf_str(&out), "Content-Length"));
    close(fd);
    stop();
}

static void *finish_parked(void *arg) {
    (void)arg;
    sem_wait(&w.woken); /* the drain wakes it */
    nn_http_answer(w.parked)->status = 200;
    nn_http_complete(w.parked);
    return NULL;
}

TEST(stop_lets_parked_requests_finish) {
    start_with(nn_http_default_limits, 2);
    NN_BUF out = {0};
    pthread_t t;
    int fd = dial(), idle = dial();
    say(fd, GET("/park"));
    sem_wait(&w.is_parked);
    pthread_create(&t, NULL, finish_parked, NULL);
    stop();
    pthread_join(t, NULL);
    assert_int_equal(atomic_load(&w.why), NN_HTTP_DRAIN + 1);
    read_all(fd, &out);
    CHECK(strncmp(nn_buf_str(&out), "HTTP/1.1 200 ", 13) == 0 &&
          strstr(nn_buf_str(&out), "Connection: close"));
    close(fd);
    close(idle);
}

TEST(streams_wait_and_go_on) {
    start_with(nn_http_default_limits, 1);
    NN_BUF out = {0};
    int fd = dial();
    say(fd, GET("/stream") LAST("/after", ""));
    sem_wait(&w.is_parked);
    nn_http_wake(w.handle);
    read_all(fd, &out);
    CHECK(strstr(nn_buf_str(&out), "Transfer-Encoding: chunked"));
    CHECK(strstr(
        nn_buf_str(&out),
        "7\r\npiece0;\r\n7\r\npiece1;\r\n7\r\npiece2;\r\n7\r\npiece3;\r\n7\r\npiece4;\r\n0\r\n\r\nHTTP/1.1 200"));
    nn_http_wake(w.handle); /* of an answer that is over: nothing happens */
    close(fd);
    stop();
    assert_int_equal(atomic_load(&w.done), 1);
}

TEST(http_1_0_streams_end_with_the_connection) {
    start_with(nn_http_default_limits, 1);
    NN_BUF out = {0};
    int fd = dial();
    say(fd, "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    sem_wait(&w.is_parked);
    nn_http_wake(w.handle);
    read_all(fd, &out);
    CHECK(!strstr(nn_buf_str(&out), "chunked") && strstr(nn_buf_str(&out), "Connection: close"));
    assert_string_equal(body_of(&out), "piece0;piece1;piece2;piece3;piece4;");
    close(fd);
    stop();
}

TEST(a_broken_stream_cuts_the_connection) {
    start_with(nn_http_default_limits, 1);
    NN_BUF out = {0};
    ask(GET("/broken"), &out);
    CHECK(strstr(nn_buf_str(&out), "half") && !strstr(nn_buf_str(&out), "\r\n0\r\n"));
    stop();
    assert_int_equal(atomic_load(&w.done), 1);
}

TEST(an_endless_stream_stops_with_its_reader) {
    start_with(nn_http_default_limits, 1);
    NN_BUF out = {0};
    char piece[4096];
    int fd = dial();
    say(fd, GET("/endless"));
    assert_true(recv(fd, piece, sizeof piece, 0) > 0);
    ask(LAST("/other", ""), &out); /* served meanwhile by the same thread */
    assert_string_equal(body_of(&out), "/other");
    close(fd);
    stop();
    assert_int_equal(atomic_load(&w.done), 1);
}

TEST(large_bodies_arrive_whole) {
    static const char *const paths[] = {LAST("/big", ""), LAST("/bigown", "")};
    start_with(nn_http_default_limits, 1);
    for (int i = 0; i < 2; i++) {
        NN_BUF out = {0};
        ask(paths[i], &out);
        const char *body = body_of(&out);
        assert_int_equal(out.n - (size_t)(body - out.p), BIG);
        assert_memory_equal(body, w.big, BIG);
    }
    stop();
}

TEST(a_slow_reader_gets_pipelined_answers_whole) {
    start_with(nn_http_default_limits, 1);
    NN_BUF out = {0};
    int fd = dial(), small = 65536;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    say(fd, GET("/big") GET("/x") GET("/file") LAST("/end", ""));
    read_all(fd, &out);
    CHECK(out.n > BIG + (1 << 20));
    assert_string_equal(out.p + out.n - 4, "/end");
    close(fd);
    stop();
}

static void expect_range(const char *text, const char *status, const char *range, size_t from,
                         size_t n) {
    NN_BUF out = {0};
    char field[128];
    ask(text, &out);
    if (strncmp(nn_buf_str(&out), status, strlen(status)) != 0)
        fail_msg("%s answered %.40s", text, nn_buf_str(&out));
    snprintf(field, sizeof field, "\r\nContent-Range: %s\r\n", range);
    CHECK(!*range || strstr(out.p, field));
    const char *body = body_of(&out);
    assert_int_equal(out.n - (size_t)(body - out.p), n);
    if (n) assert_memory_equal(body, w.big + from, n);
}

TEST(files_and_ranges) {
    enum { SIZE = 1 << 20 };
    start_with(nn_http_default_limits, 1);
    expect_range(LAST("/file", ""), "HTTP/1.1 200", "", 0, SIZE);
    expect_range(LAST("/file", "Range: bytes=0-0\r\n"), "HTTP/1.1 206", "bytes 0-0/1048576", 0, 1);
    expect_range(LAST("/file", "Range: bytes=1000-\r\n"), "HTTP/1.1 206",
                 "bytes 1000-1048575/1048576", 1000, SIZE - 1000);
    expect_range(LAST("/file", "Range: bytes=-5\r\n"), "HTTP/1.1 206",
                 "bytes 1048571-1048575/1048576", SIZE - 5, 5);
    expect_range(LAST("/file", "Range: bytes=-9999999\r\n"), "HTTP/1.1 206",
                 "bytes 0-1048575/1048576", 0, SIZE);
    expect_range(LAST("/file", "Range: bytes=10-99999999\r\n"), "HTTP/1.1 206",
                 "bytes 10-1048575/1048576", 10, SIZE - 10);
    expect_range(LAST("/file", "Range: bytes=1048576-\r\n"), "HTTP/1.1 416", "bytes */1048576", 0,
                 0);
    expect_range(LAST("/file", "Range: bytes=-0\r\n"), "HTTP/1.1 416", "bytes */1048576", 0, 0);
    expect_range(LAST("/file", "Range: bytes=5-3\r\n"), "HTTP/1.1 200", "", 0, SIZE);
    expect_range(LAST("/file", "Range: lines=1-2\r\n"), "HTTP/1.1 200", "", 0, SIZE);
    expect_range(LAST("/file", "Range: bytes=0-1,3-4\r\n"), "HTTP/1.1 200", "", 0, SIZE);
    expect_range(LAST("/file", "Range: bytes=0-9\r\nIf-Range: \"tag\"\r\n"), "HTTP/1.1 206", "", 0,
                 10);
    expect_range(LAST("/file", "Range: bytes=0-9\r\nIf-Range: \"old\"\r\n"), "HTTP/1.1 200", "", 0,
                 SIZE);
    expect_range(LAST("/file", "If-None-Match: \"x\", \"tag\"\r\n"), "HTTP/1.1 304", "", 0, 0);
    expect_range("HEAD /file HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "HTTP/1.1 200", "",
                 0, 0);
    stop();
}

TEST(refused_bodies_are_read_away_or_cut) {
    start_with(nn_http_default_limits, 1);
    NN_BUF small = {0}, large = {0};
    ask("POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde" LAST("/next", ""),
        &small);
    CHECK(strstr(nn_buf_str(&small), "403") && strstr(nn_buf_str(&small), "/next"));
    ask("POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\nabcde" LAST("/next", ""),
        &large);
    CHECK(strstr(nn_buf_str(&large), "403") && !strstr(nn_buf_str(&large), "/next"));
    stop();
}

TEST(connections_have_a_cap) {
    nn_http_limits k = nn_http_default_limits;
    k.connections = 2;
    start_with(k, 1);
    NN_BUF out = {0};
    char piece[256];
    int a = dial(), b = dial();
    say(a, GET("/a"));
    say(b, GET("/b"));
    assert_true(recv(a, piece, sizeof piece, 0) > 0);
    assert_true(recv(b, piece, sizeof piece, 0) > 0);
    int c = dial();
    read_all(c, &out);
    CHECK(strncmp(nn_buf_str(&out), "HTTP/1.1 503 ", 13) == 0);
    assert_int_equal(nn_http_server_stats(w.server).refused, 1);
    close(a);
    close(b);
    close(c);
    stop();
}

/* Otherwise who asks and leaves, again and again, would pile up work without limit. */
TEST(a_request_whose_client_left_counts_as_a_connection) {
    nn_http_limits k = nn_http_default_limits;
    k.connections = 1;
    k.head_ms = 500; /* were it let in, it would be told so soon */
    start_with(k, 1);
    NN_BUF out = {0};
    int fd = dial();
    say(fd, GET("/park"));
    sem_wait(&w.is_parked);
    struct linger reset = {.l_onoff = 1}; /* a client that only closes may still read an answer */
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
    close(fd);
    sem_wait(&w.woken);
    int other = dial();
    read_all(other, &out);
    CHECK(strncmp(nn_buf_str(&out), "HTTP/1.1 503 ", 13) == 0);
    close(other);
    nn_http_request *q = w.parked;
    nn_http_answer(q)->status = 200;
    nn_http_complete(q);
    while (nn_http_server_stats(w.server).open) sched_yield();
    fd = dial();
    say(fd, GET("/a"));
    char piece[256];
    assert_true(recv(fd, piece, sizeof piece, 0) > 0);
    CHECK(strncmp(piece, "HTTP/1.1 200 ", 13) == 0);
    close(fd);
    stop();
}

TEST(a_port_in_use_is_named) {
    start_with(nn_http_default_limits, 2);
    nn_err err = {0};
    nn_http_server *second = NULL;
    char port[16];
    nn_http_options o = {.host = "127.0.0.1",
                         .port = nn_http_server_port(w.server),
                         .threads = 2,
                         .limits = nn_http_default_limits};
    assert_int_equal(nn_http_server_start(&o, &second, &err), NN_E_CONFIG_ERROR);
    snprintf(port, sizeof port, "%d", o.port);
    CHECK(!second && strstr(err.msg, port) && strstr(err.hint, "--port"));
    stop();
}
