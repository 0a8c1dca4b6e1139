/* SPDX-License-Identifier: MIT */
/* bus.h - events from those who cause them to those who watch. A publisher never waits: each
 * subscriber has a bounded queue, and one that is too slow finds a gap in its place. An event is
 * encoded once and shared. Thread safe, but that one subscriber is read by one thread at a time. */
#ifndef NN_BASE_BUS_H
#define NN_BASE_BUS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct nn_bus nn_bus;
typedef struct nn_sub nn_sub;

/* Immutable; ref and unref are atomic. */
typedef struct nn_event {
    uint64_t
        seq; /* as the publisher gave it: server-wide and growing; 0 for events that are not kept */
    const char *type;      /* "operation.progress" */
    const char *operation; /* id, "" where there is none */
    const char *kind;      /* of the operation: "train"; "" where there is none */
    const char *json;      /* the whole envelope as text, NUL-terminated */
    size_t size;           /* of json */
} nn_event;

/* What a subscriber wants; NULL: any. The texts are copied. */
typedef struct nn_bus_filter {
    const char *type;      /* a whole type, or a prefix that ends in "." */
    const char *operation; /* id */
    const char *kind;
} nn_bus_filter;

nn_bus *nn_bus_new(void);
void nn_bus_free(nn_bus *b); /* after its last subscriber; NULL allowed */

/* Copies the event once, if anyone wants it, and queues it. Returns to how many. Events reach each
 * subscriber in the order of the publish calls; who needs seq in order publishes from one thread or
 * under its own lock. */
size_t nn_bus_publish(nn_bus *b, const nn_event *e);

/* cap: events that may wait. wake(arg), may be NULL, is called by the publishing thread whenever
 * the queue was empty and is no longer: it must only signal (uv_async_send, write to an eventfd),
 * not read the subscriber or close it. */
nn_sub *nn_bus_subscribe(nn_bus *b, const nn_bus_filter *filter, size_t cap,
                         void (*wake)(void *arg), void *arg);
typedef enum nn_sub_got {
    NN_SUB_NONE,
    NN_SUB_EVENT, /* *ret_event is the caller's reference */
    NN_SUB_GAP    /* *ret_gap events are missing here, between from_seq and to_seq */
} nn_sub_got;
typedef struct nn_gap {
    uint64_t from_seq, to_seq, events;
} nn_gap;
/* The next thing in the queue; does not wait. Read until NN_SUB_NONE: wake comes only for an empty
 * queue. */
nn_sub_got nn_sub_next(nn_sub *s, const nn_event **ret_event, nn_gap *ret_gap);
/* Waits for something to read, up to timeout_ms (< 0: for ever). For threads without a loop. */
bool nn_sub_wait(nn_sub *s, int timeout_ms);
/* After this wake is not called any more and is not running. Frees what waits; NULL allowed. */
void nn_sub_close(nn_sub *s);

const nn_event *nn_event_ref(const nn_event *e); /* of one that came from nn_sub_next */
void nn_event_unref(const nn_event *e);          /* NULL allowed */
#endif
