/* SPDX-License-Identifier: MIT */
/* http.h - one request and its answer, as handlers see them.
 * A request belongs to the loop thread that read it until nn_http_park() gives it to the caller,
 * who gives it back with nn_http_complete() from any thread. Every text of a request points into
 * memory that lives until its answer is sent. */
#ifndef NN_NET_HTTP_H
#define NN_NET_HTTP_H
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A view of bytes, not NUL-terminated. */
typedef struct nn_text {
    const char *p;
    size_t n;
} nn_text;

#define NN_TEXT(literal) ((nn_text){"" literal, sizeof(literal) - 1})

bool nn_text_is(nn_text t, const char *s);  /* equal to the string s */
bool nn_text_isi(nn_text t, const char *s); /* the same without regard to the case of A-Z */
char *nn_text_dup(nn_arena *a, nn_text t);  /* NUL-terminated copy; NULL past the arena's cap */
bool nn_text_list_has(nn_text t, const char *token); /* a comma list holds the token, any case */

typedef enum nn_http_method {
    NN_HTTP_GET,
    NN_HTTP_HEAD,
    NN_HTTP_POST,
    NN_HTTP_PUT,
    NN_HTTP_PATCH,
    NN_HTTP_DELETE,
    NN_HTTP_OPTIONS,
    NN_HTTP_METHODS
} nn_http_method;

const char *nn_http_method_name(nn_http_method m);

enum { NN_HTTP_MAX_FIELDS = 100, NN_HTTP_MAX_SEGMENTS = 16 };

typedef struct nn_http_field {
    nn_text name, value; /* the value without the blanks around it */
} nn_http_field;

typedef struct nn_http_request {
    nn_http_method method;
    int minor; /* the x of HTTP/1.x: 0 or 1 */
    bool keep_alive;
    nn_text target; /* as sent, for logs */
    nn_text path;   /* the part before '?', as sent */
    nn_text query;  /* the part after it, as sent; empty without one */
    nn_text
        segment[NN_HTTP_MAX_SEGMENTS]; /* of the path, percent-decoded; never empty, "." or ".." */
    unsigned segments;
    nn_http_field field[NN_HTTP_MAX_FIELDS];
    unsigned fields;
    nn_text host;        /* the Host field; empty where HTTP/1.0 sent none */
    int64_t body_length; /* as declared; -1 when chunked, 0 without a body */
    nn_text body;        /* whole, once the `request` hook runs */
    uint64_t began;      /* monotonic ns, when its first byte was read */
    const char *peer;    /* the client's address as text, without port */
    bool peer_is_loopback;
} nn_http_request;

/* The first field of that name (any case); p is NULL when there is none. */
nn_text nn_http_get(const nn_http_request *q, const char *name);
/* The request's arena: made at the first call, freed after the answer, capped
 * (nn_http_limits.arena). */
nn_arena *nn_http_arena(nn_http_request *q);
/* The bytes that the server's owner asked for beside each request (nn_http_hooks.user_size), zeroed
 * for each request. */
void *nn_http_user(nn_http_request *q);

/* ---- the answer ---- */
typedef enum nn_http_more {
    NN_HTTP_MORE,   /* appended something, ask again when there is room */
    NN_HTTP_WAIT,   /* nothing now: nn_http_wake() will be called */
    NN_HTTP_END,    /* that was all (what was appended in this call is still sent) */
    NN_HTTP_BROKEN, /* the body cannot be completed: the connection is cut, so that the client
                       notices */
} nn_http_more;

/* A body made piece by piece. next runs on the loop thread whenever the socket has room: it appends
 * at most about 64 KiB and never waits. done runs once, on the loop thread, whether or not the body
 * was sent to its end. */
typedef struct nn_http_source {
    nn_http_more (*next)(void *ctx, nn_buf *out);
    void (*done)(void *ctx); /* may be NULL */
    void *ctx;
} nn_http_source;

typedef struct nn_http_response {
    int status;       /* 0 until something is answered */
    const char *type; /* Content-Type, static or in the arena; NULL: none */
    nn_buf head;      /* more fields, "Name: value\r\n" each; use nn_http_header() */
    nn_buf body;      /* the body, where none of the following is set */
    nn_text fixed;    /* p set: these bytes, which outlive the answer */
    int fd;           /* >= 0: length bytes of this file from offset; closed by the server */
    int64_t offset, length;
    nn_http_source source; /* next set: chunked (HTTP/1.0: until the connection closes) */
    bool close;            /* close the connection after this answer */
} nn_http_response;

nn_http_response *nn_http_answer(nn_http_request *q);
/* Adds a field. Control bytes in the value become '?': no answer can be split by data. */
void nn_http_header(nn_http_response *r, const char *name, const char *value);
void nn_http_headerf(nn_http_response *r, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Forgets everything that was put in r, closes its file and ends its source: before answering an
 * error instead. */
void nn_http_reset(nn_http_response *r);
/* Answers with a file: ETag (quoted; NULL: none), Range and If-None-Match are honoured here: 200,
 * 206, 304 or 416. Takes fd. */
nn_status nn_http_send_file(nn_http_request *q, int fd, const char *type, const char *etag,
                            nn_err *err);

/* ---- answering later, from any thread ---- */
typedef enum nn_http_wakeup {
    NN_HTTP_TIMEOUT, /* the time given to nn_http_wake_after has passed */
    NN_HTTP_GONE,    /* the client went away; an answer is still expected and will be dropped */
    NN_HTTP_DRAIN,   /* the server is stopping: answer now */
} nn_http_wakeup;

/* In the `request` hook only: makes q independent of the connection, so that it may be answered
 * after the hook returned, by any thread. The caller owes exactly one nn_http_complete(q), whatever
 * happens to the client. wake (may be NULL) runs on the loop thread, also while another thread is
 * about to complete, but never after that was handled; it must not wait and may complete q itself.
 * Its arg lives best in the request's arena or beside the request. */
nn_status nn_http_park(nn_http_request *q, void (*wake)(void *arg, nn_http_wakeup why), void *arg,
                       nn_err *err);
/* Who owns a parked q: wake will be called with NN_HTTP_TIMEOUT after ms. Any thread, at most once
 * a request. */
void nn_http_wake_after(nn_http_request *q, int64_t ms);
/* Hands q and what its response holds back to the loop. q is not the caller's any more. */
void nn_http_complete(nn_http_request *q);
/* Whether the client of a parked request has gone away; any thread. */
bool nn_http_gone(const nn_http_request *q);

/* Names the connection of an answer whose source said NN_HTTP_WAIT; safe after it has died. */
typedef struct nn_http_handle {
    struct nn_loop *loop;
    uint32_t slot, generation;
} nn_http_handle;
nn_http_handle nn_http_handle_of(const nn_http_request *q);
/* Asks the source for more; from any thread while the server lives. */
void nn_http_wake(nn_http_handle h);
#endif
