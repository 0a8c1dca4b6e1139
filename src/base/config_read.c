/* SPDX-License-Identifier: MIT */
/* config_read.c - YAML is read as a stream of events: no tree is built, aliases are refused where
 * they stand (so none can be expanded), and depth is ours to bound. */
#include "base/config_read.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/utf8.h"

#include <libfyaml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 16, PATH_SIZE = 256, ENTRIES_MAX = 10000 };

/* False when there are too many. */
static bool add(nn_cfg_reader *r, const char *name, const char *value, bool is_null, int line) {
    if (r->n == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 16;
        nn_cfg_entry *more = NN_NEW_N(r->arena, nn_cfg_entry, cap);
        if (!more) return false;
        if (r->n) memcpy(more, r->entry, r->n * sizeof *more);
        r->entry = more;
        r->cap = cap;
    }
    nn_cfg_entry e = {nn_arena_strdup(r->arena, name), nn_arena_strdup(r->arena, value), is_null,
                      line};
    if (r->n == ENTRIES_MAX || !e.name || !e.value) return false;
    r->entry[r->n++] = e;
    return true;
}

static bool check_text(nn_cfg_reader *r, const char *text, size_t n) {
    size_t ok = nn_utf8_valid(text, n), line = 1;
    const char *nul = memchr(text, 0, ok);
    if (nul) ok = (size_t)(nul - text);
    if (ok == n) return true;
    for (size_t i = 0; i < ok; i++) line += text[i] == '\n';
    r->fault(r->ctx, (int)line, nul ? "holds a NUL byte: not a text file" : "is not UTF-8 text");
    return false;
}

/* YAML */

typedef struct level {
    size_t path;   /* length of the path that leads here */
    bool want_key; /* the next scalar is a key */
} level;

typedef struct walk {
    nn_cfg_reader *r;
    level level[DEPTH_MAX];
    int depth, line, documents;
    char path[PATH_SIZE];
    nn_buf list; /* the list being read */
    nn_jw jw;
    bool in_list, stop;
} walk;

static void fault(walk *w, const char *what) {
    char text[PATH_SIZE + 200];
    snprintf(text, sizeof text, "%s%s%s", w->path, w->path[0] ? ": " : "", what);
    w->r->fault(w->r->ctx, w->line, text);
    w->stop = true;
}

/* A value has ended: its map expects a key again. */
static void value_done(walk *w) {
    if (!w->depth) return;
    w->path[w->level[w->depth - 1].path] = 0;
    w->level[w->depth - 1].want_key = true;
}

static void on_key(walk *w, const char *key) {
    level *l = &w->level[w->depth - 1];
    int n = snprintf(w->path + l->path, sizeof w->path - l->path, "%s%s", l->path ? "." : "", key);
    l->want_key = false;
    if (n < 0 || (size_t)n >= sizeof w->path - l->path) fault(w, "the key is too long");
}

static bool is_null(struct fy_token *t, const char *text) {
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(text, words[i]) == 0) return fy_token_scalar_style(t) == FYSS_PLAIN;
    return false;
}

static void on_scalar(walk *w, struct fy_token *t) {
    size_t n = 0;
    const char *p = fy_token_get_text(t, &n);
    char *text = nn_arena_strndup(w->r->arena, p ? p : "", n);
    if (!text || strlen(text) != n) {
        fault(w, text ? "holds a NUL" : "too much text");
        return;
    }
    if (w->in_list) {
        nn_jw_strn(&w->jw, text, n);
    } else if (!w->depth) {
        if (!is_null(t, text))
            fault(w, "expected settings like 'server: {port: 8000}', found a single value");
    } else if (w->level[w->depth - 1].want_key) {
        on_key(w, text);
    } else {
        if (!add(w->r, w->path, text, is_null(t, text), w->line)) fault(w, "too many settings");
        value_done(w);
    }
}

static void on_map(walk *w) {
    if (w->in_list) {
        fault(w, "a list here holds values, not maps");
    } else if (w->depth && w->level[w->depth - 1].want_key) {
        fault(w, "a key must be a name");
    } else if (w->depth == DEPTH_MAX) {
        fault(w, "nested too deeply");
    } else {
        w->level[w->depth++] = (level){strlen(w->path), true};
    }
}

static void on_list(walk *w) {
    if (w->in_list || !w->depth || w->level[w->depth - 1].want_key) {
        fault(w,
              w->in_list ? "a list here holds values, not lists" : "a list is not expected here");
        return;
    }
    w->in_list = true;
    nn_buf_clear(&w->list);
    w->jw = (nn_jw){.out = &w->list};
    nn_jw_arr(&w->jw);
}

static void on_list_end(walk *w) {
    nn_jw_end_arr(&w->jw);
    w->in_list = false;
    if (!add(w->r, w->path, nn_buf_str(&w->list), false, w->line)) fault(w, "too many settings");
    value_done(w);
}

static void on_event(walk *w, struct fy_event *e) {
    const struct fy_mark *at = fy_event_start_mark(e);
    if (at) w->line = at->line + 1;
    switch (e->type) {
    case FYET_DOCUMENT_START:
        if (w->documents++) fault(w, "a second document ('---'): expected only one");
        break;
    case FYET_SCALAR:
        on_scalar(w, e->scalar.value);
        break;
    case FYET_MAPPING_START:
        on_map(w);
        break;
    case FYET_MAPPING_END:
        w->depth--;
        value_done(w);
        break;
    case FYET_SEQUENCE_START:
        on_list(w);
        break;
    case FYET_SEQUENCE_END:
        on_list_end(w);
        break;
    case FYET_ALIAS:
        fault(w, "aliases (*name) are not read here: write the value out");
        break;
    default:
        break;
    }
}

/* What the library reports: "line:column: text" on several lines; the first says it. */
static void collect(struct fy_diag *diag, void *user, const char *buf, size_t n) {
    (void)diag;
    nn_buf *to = user;
    const char *end = memchr(buf, '\n', n);
    if (!to->n) nn_buf_append(to, buf, end ? (size_t)(end - buf) : n);
}

/* Takes "12:3: error: what" apart. */
static void syntax_fault(nn_cfg_reader *r, const char *report) {
    char *end, what[300];
    long line = strtol(report, &end, 10);
    const char *p = end > report ? strstr(end, ": ") : NULL;
    snprintf(what, sizeof what, "not valid YAML: %s",
             p         ? p + 2
             : *report ? report
                       : "it cannot be read");
    r->fault(r->ctx, p ? (int)line : 0, what);
}

void nn_cfg_read_yaml(nn_cfg_reader *r, const char *text, size_t n) {
    if (!check_text(r, text, n)) return;
    NN_BUF report = {0};
    struct fy_diag_cfg dc = {.output_fn = collect,
                             .user = &report,
                             .level = FYET_ERROR,
                             .module_mask = ~0u,
                             .show_position = true};
    struct fy_diag *diag = fy_diag_create(&dc);
    struct fy_parser *parser =
        diag ? fy_parser_create(&(struct fy_parse_cfg){.search_path = "", .diag = diag}) : NULL;
    if (!parser) abort();
    walk w = {.r = r};
    struct fy_event *e;
    int bad = fy_parser_set_string(parser, n ? text : " ", n ? n : 1);
    while (!bad && !w.stop && (e = fy_parser_parse(parser))) {
        on_event(&w, e);
        fy_parser_event_free(parser, e);
    }
    if (bad || (!w.stop && fy_parser_get_stream_error(parser)))
        syntax_fault(r, nn_buf_str(&report));
    nn_buf_done(&w.list);
    fy_parser_destroy(parser);
    fy_diag_destroy(diag);
}

/* .env */

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

static const char *skip_blanks(const char *p, const char *end) {
    while (p < end && is_blank(*p)) p++;
    return p;
}

/* The text behind an opening quote; NULL if the quote does not end on this line. */
static char *quoted(nn_arena *a, const char *p, const char *end) {
    char quote = *p++, *text = nn_arena_alloc(a, (size_t)(end - p) + 1), *to = text;
    for (; text && p < end && *p != quote; p++) {
        const char *escape =
            quote == '"' && *p == '\\' && p + 1 < end ? strchr("nntt\"\"\\\\", p[1]) : NULL;
        *to++ = !escape ? *p : p[1] == 'n' ? '\n' : p[1] == 't' ? '\t' : p[1];
        p += escape != NULL;
    }
    if (p == end) return NULL;
    p = skip_blanks(p + 1, end);
    return p == end || *p == '#' ? text : NULL;
}

static char *plain(nn_arena *a, const char *p, const char *end) {
    for (const char *c = p; c < end; c++)
        if (*c == '#' && (c == p || is_blank(c[-1]))) end = c;
    while (end > p && is_blank(end[-1])) end--;
    return nn_arena_strndup(a, p, (size_t)(end - p));
}

static bool is_name(char c, bool first) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
           (!first && c >= '0' && c <= '9');
}

static void dotenv_line(nn_cfg_reader *r, const char *p, const char *end, int line) {
    p = skip_blanks(p, end);
    if (p == end || *p == '#') return;
    if (end - p > 7 && memcmp(p, "export", 6) == 0 && is_blank(p[6])) p = skip_blanks(p + 6, end);
    const char *name = p;
    while (p < end && is_name(*p, p == name)) p++;
    size_t n = (size_t)(p - name);
    p = skip_blanks(p, end);
    if (!n || p == end || *p != '=') {
        r->fault(r->ctx, line, "expected NAME=value");
        return;
    }
    p = skip_blanks(p + 1, end);
    bool has_quote = p < end && (*p == '"' || *p == '\'');
    char *value = has_quote ? quoted(r->arena, p, end) : plain(r->arena, p, end);
    char *copy = nn_arena_strndup(r->arena, name, n);
    if (!value || !copy)
        r->fault(r->ctx, line, "the quoted value does not end on its line");
    else if (!add(r, copy, value, false, line))
        r->fault(r->ctx, line, "too many variables");
}

void nn_cfg_read_dotenv(nn_cfg_reader *r, const char *text, size_t n) {
    if (!check_text(r, text, n)) return;
    const char *end = text + n;
    for (int line = 1; text < end; line++) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        if (!stop) stop = end;
        dotenv_line(r, text, stop, line);
        text = stop < end ? stop + 1 : end;
    }
}
