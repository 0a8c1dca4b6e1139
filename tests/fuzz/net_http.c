/* SPDX-License-Identifier: MIT */
/* Bytes as a client could send them. The oracle: the same bytes in pieces of any size give the same
 * requests and the same end, and every text of a request lies in memory that is still there. */
#include "net/parser.h"
#include "net/url.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t mix(uint64_t h, const char *p, size_t n) {
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)p[i]) * 1099511628211ULL;
    return h * 31 + n;
}

static uint64_t read_request(uint64_t h, nn_http_request *q) {
    nn_err err;
    h = mix(h, q->target.p, q->target.n);
    h = mix(h, q->body.p, q->body.n);
    h = mix(h, q->host.p, q->host.n) + (uint64_t)q->method * 7 + (uint64_t)q->keep_alive;
    for (unsigned i = 0; i < q->fields; i++) {
        h = mix(h, q->field[i].name.p, q->field[i].name.n);
        h = mix(h, q->field[i].value.p, q->field[i].value.n);
    }
    if (nn_url_split(q, &err) != NN_OK) return h;
    for (unsigned i = 0; i < q->segments; i++) h = mix(h, q->segment[i].p, q->segment[i].n);
    nn_text rest = q->query;
    nn_url_pair pair;
    for (bool found = true;
         found && nn_url_next(&rest, nn_http_arena(q), &pair, &found, &err) == NN_OK;)
        if (found) h = mix(h, pair.name, strlen(pair.name));
    return h;
}

static uint64_t run(const uint8_t *data, size_t size, size_t step) {
    uint64_t h = 1;
    nn_parser ps;
    nn_err err;
    nn_http_limits limits = nn_http_default_limits;
    limits.head = 512;
    limits.target = 64;
    limits.body = 256;
    nn_exchange *x = nn_exchange_new(0, 1 << 20);
    nn_exchange_reset(x);
    nn_parser_init(&ps, &limits);
    bool bad = false;
    for (size_t at = 0; at < size && !bad;) {
        size_t n = size - at < step ? size - at : step;
        char *piece = malloc(n);
        if (!piece) abort();
        memcpy(piece, data + at, n);
        nn_parse event = NN_PARSE_MORE;
        for (size_t used = 0; (used < n || event == NN_PARSE_HEAD) && !bad;) {
            used += nn_parser_feed(&ps, x, piece + used, n - used, &event, &err);
            if (used > n) abort();
            if (event == NN_PARSE_HEAD && nn_parser_body(&ps, x, limits.body, false, &err) != NN_OK)
                bad = true;
            if (event == NN_PARSE_BAD) bad = true;
            if (event != NN_PARSE_REQUEST) continue;
            h = read_request(h, &x->q);
            nn_exchange_reset(x);
        }
        free(piece);
        at += n;
    }
    nn_exchange_free(x);
    return h * 2 + bad;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint64_t whole = run(data, size, size ? size : 1);
    if (run(data, size, 1) != whole || run(data, size, 5) != whole) abort();
    return 0;
}
