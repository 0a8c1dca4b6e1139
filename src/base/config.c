/* SPDX-License-Identifier: MIT */
/* config.c - every source is turned into (name, text, where); each row then takes its strongest
 * text, checks it and remembers where it came from. Faults are collected, never returned one by
 * one. A secret's text appears in no message. */
#include "base/config.h"

#include "base/arena.h"
#include "base/config_read.h"
#include "base/config_value.h"
#include "base/file.h"
#include "base/nearest.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    LINES_MAX = 100,
    FILE_MAX = 1 << 20,
    NAME_MAX_BYTES = 64,
    NAMES_MAX = 8,
    ARENA_MAX = 64 << 20
};

static const nn_cfg_row rows[] = {
#define NN_CONFIG(id, type, key, otherwise, rule, flag, names, help)                               \
    [NN_CFG_##id] = {key, NN_CFG_##type, otherwise, rule, flag, names, help},
#include "base/config.def"
#undef NN_CONFIG
};

typedef struct loader {
    nn_config *c;
    const nn_config_input *in;
    nn_buf problems, warnings; /* a line each */
    int n_problems, n_warnings;
    nn_cfg_reader dotenv, file;
} loader;

/* Past LINES_MAX they are only counted. */
__attribute__((format(printf, 3, 0))) static void add_line(nn_buf *to, int *n, const char *fmt,
                                                           va_list ap) {
    size_t at = to->n;
    if (++*n > LINES_MAX) return;
    nn_buf_vprintf(to, fmt, ap);
    for (size_t i = at; i < to->n; i++) /* one fault, one line, whatever a value holds */
        if ((unsigned char)to->p[i] < ' ' || to->p[i] == 0x7f) to->p[i] = '?';
    nn_buf_putc(to, '\n');
}

__attribute__((format(printf, 2, 3))) static void problem(loader *l, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    add_line(&l->problems, &l->n_problems, fmt, ap);
    va_end(ap);
}

__attribute__((format(printf, 2, 3))) static void warning(loader *l, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    add_line(&l->warnings, &l->n_warnings, fmt, ap);
    va_end(ap);
}

/* The table */

const nn_cfg_row *nn_config_row(nn_cfg id) {
    return &rows[id];
}

int nn_config_find(const char *key) {
    for (int i = 0; i < NN_CFG_COUNT; i++)
        if (strcmp(rows[i].key, key) == 0) return i;
    return -1;
}

static int find_flag(const char *name) {
    for (int i = 0; i < NN_CFG_COUNT; i++)
        if (rows[i].flag[0] && strcmp(rows[i].flag, name) == 0) return i;
    return nn_config_find(name);
}

/* NEURAL_A_B_C of a.b.c */
static void variable_of(const char *key, char name[NAME_MAX_BYTES]) {
    snprintf(name, NAME_MAX_BYTES, "NEURAL_%s", key);
    for (char *p = name + 7; *p; p++)
        *p = (char)(*p == '.' ? '_' : *p >= 'a' && *p <= 'z' ? *p - 32 : *p);
}

static bool is_ours(const char *name) {
    return strncmp(name, "NEURAL_", 7) == 0;
}

/* Every variable that sets a row, strongest first: the key's own, other NEURAL_ names, a document's
 * names. */
static int variables_of(const nn_cfg_row *row, char names[NAMES_MAX][NAME_MAX_BYTES]) {
    int n = 1;
    variable_of(row->key, names[0]);
    for (int ours = 1; ours >= 0; ours--)
        for (const char *p = row->names; *p;) {
            size_t len = strcspn(p, " ");
            assert(len < NAME_MAX_BYTES);
            if (is_ours(p) == ours && (strncmp(p, names[0], len) || names[0][len])) {
                assert(n < NAMES_MAX);
                memcpy(names[n], p, len);
                names[n++][len] = 0;
            }
            p += len + (p[len] == ' ');
        }
    return n;
}

/* Reading the sources */

static void file_fault(void *ctx, int line, const char *what) {
    loader *l = ctx;
    if (line)
        problem(l, "%s:%d: %s", l->in->file, line, what);
    else
        problem(l, "%s: %s", l->in->file, what);
}

/* .env may belong to another program: what is odd in it is only worth a warning. */
static void dotenv_fault(void *ctx, int line, const char *what) {
    loader *l = ctx;
    warning(l, "%s:%d: %s", l->in->dotenv, line, what);
}

static bool read_text(loader *l, const char *path, bool must_exist, nn_buf *out) {
    nn_err e = {0};
    nn_status s = nn_file_read(path, FILE_MAX, out, &e);
    if (s == NN_E_NOT_FOUND && !must_exist) return false;
    if (s) problem(l, "%s", e.msg);
    return s == NN_OK;
}

static void read_sources(loader *l) {
    NN_BUF env = {0}, file = {0};
    l->dotenv = (nn_cfg_reader){.arena = l->c->arena, .fault = dotenv_fault, .ctx = l};
    l->file = (nn_cfg_reader){.arena = l->c->arena, .fault = file_fault, .ctx = l};
    if (l->in->dotenv && read_text(l, l->in->dotenv, false, &env))
        nn_cfg_read_dotenv(&l->dotenv, nn_buf_str(&env), env.n);
    if (l->in->file && read_text(l, l->in->file, true, &file))
        nn_cfg_read_yaml(&l->file, nn_buf_str(&file), file.n);
}

static const char *suggest(const char *word) {
    const char *names[NN_CFG_COUNT + 1];
    for (int i = 0; i < NN_CFG_COUNT; i++) names[i] = rows[i].key;
    names[NN_CFG_COUNT] = NULL;
    return nn_nearest(word, names);
}

/* A key that is a section: "server" of "server.port". */
static const char *section(const char *name) {
    size_t n = strlen(name);
    for (int i = 0; n && i < NN_CFG_COUNT; i++)
        if (strncmp(rows[i].key, name, n) == 0 && rows[i].key[n] == '.') return rows[i].key;
    return NULL;
}

static void unknown_key(loader *l, const nn_cfg_entry *e) {
    const char *member = section(e->name), *near = suggest(e->name);
    if (member && e->is_null) return; /* "server:" with nothing below */
    if (member)
        problem(l, "%s:%d: '%s' is a section, give one of its settings a value, like %s",
                l->in->file, e->line, e->name, member);
    else if (near)
        problem(l, "%s:%d: unknown key '%s', did you mean '%s'?", l->in->file, e->line, e->name,
                near);
    else
        problem(l, "%s:%d: unknown key '%s'; `neural config` lists all keys", l->in->file, e->line,
                e->name);
}

static void check_file_keys(loader *l) {
    int seen[NN_CFG_COUNT] = {0};
    for (size_t i = 0; i < l->file.n; i++) {
        const nn_cfg_entry *e = &l->file.entry[i];
        int id = nn_config_find(e->name);
        if (id < 0)
            unknown_key(l, e);
        else if (seen[id])
            problem(l, "%s:%d: %s is set twice, first in line %d", l->in->file, e->line, e->name,
                    seen[id]);
        else
            seen[id] = e->line;
    }
}

static void check_flags(loader *l) {
    for (size_t i = 0; i < l->in->n_flags; i++)
        if (find_flag(l->in->flags[i].name) < 0)
            problem(l, "unknown flag --%s", l->in->flags[i].name);
}

/* A variable that starts with NEURAL_ and is nearly one of ours was probably meant to be it. */
static void check_variables(loader *l) {
    char own[NN_CFG_COUNT * NAMES_MAX][NAME_MAX_BYTES];
    const char *names[NN_CFG_COUNT * NAMES_MAX + 1];
    int n = 0;
    for (int id = 0; id < NN_CFG_COUNT; id++) n += variables_of(&rows[id], own + n);
    for (int i = 0; i < n; i++) names[i] = own[i];
    names[n] = NULL;
    for (char *const *e = l->in->env; e && *e; e++) {
        char name[NAME_MAX_BYTES];
        size_t len = strcspn(*e, "=");
        if (!is_ours(*e) || len >= sizeof name) continue;
        memcpy(name, *e, len);
        name[len] = 0;
        const char *near = nn_nearest(name, names);
        int known = 0;
        for (int i = 0; i < n && !known; i++) known = strcmp(own[i], name) == 0;
        if (near && !known)
            warning(l, "the variable %s is not known, did you mean %s?", name, near);
    }
}

/* Choosing */

typedef struct choice {
    const char *text, *source;
    char name[NAME_MAX_BYTES]; /* of the variable; "" for flag and file */
} choice;

static const char *env_get(char *const *env, const char *name) {
    size_t n = strlen(name);
    for (; env && *env; env++)
        if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
            return (*env)[n + 1] ? *env + n + 1 : NULL;
    return NULL;
}

static const char *entry_get(const nn_cfg_reader *r, const char *name, int *ret_line) {
    const char *found = NULL;
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->entry[i].name, name) == 0 && !r->entry[i].is_null && r->entry[i].value[0]) {
            found = r->entry[i].value;
            *ret_line = r->entry[i].line;
        }
    return found;
}

/* A weaker text for a row that has one: two names with different values deserve a warning, two
 * sources do not. */
static void offer(loader *l, const nn_cfg_row *row, choice *c, const char *name, const char *text,
                  const char *source) {
    if (!text) return;
    if (!c->text) {
        c->text = text;
        c->source = source;
        snprintf(c->name, sizeof c->name, "%s", name);
    } else if (*name && *c->name && strcmp(name, c->name) && strcmp(text, c->text)) {
        warning(l, "%s: %s and %s have different values; %s is used", row->key, c->source, source,
                c->source);
    }
}

static choice choose(loader *l, const nn_cfg_row *row) {
    nn_arena *a = l->c->arena;
    choice c = {0};
    char names[NAMES_MAX][NAME_MAX_BYTES];
    int n = variables_of(row, names), line = 0;
    for (size_t i = l->in->n_flags; i-- > 0;) /* the last one counts, as on any command line */
        if (find_flag(l->in->flags[i].name) == row - rows)
            offer(l, row, &c, "", l->in->flags[i].value,
                  nn_arena_printf(a, "--%s", l->in->flags[i].name));
    for (int i = 0; i < n; i++)
        offer(l, row, &c, names[i], env_get(l->in->env, names[i]), nn_arena_strdup(a, names[i]));
    for (int i = 0; i < n && l->in->dotenv; i++) {
        const char *text = entry_get(&l->dotenv, names[i], &line);
        if (text)
            offer(l, row, &c, names[i], text,
                  nn_arena_printf(a, "%s: %s", l->in->dotenv, names[i]));
    }
    const char *text = entry_get(&l->file, row->key, &line);
    if (text) offer(l, row, &c, "", text, nn_arena_printf(a, "%s:%d", l->in->file, line));
    return c;
}

/* Settling */

/* The default, with {key} replaced by that key's value. Keys that others refer to are settled
 * first: see settle_all. */
static const char *default_text(loader *l, const nn_cfg_row *row) {
    const char *open = strchr(row->otherwise, '{'), *close = open ? strchr(open, '}') : NULL;
    if (!close) return row->otherwise;
    char key[NAME_MAX_BYTES];
    snprintf(key, sizeof key, "%.*s", (int)(close - open - 1), open + 1);
    int id = nn_config_find(key);
    assert(id >= 0 && !strchr(rows[id].otherwise, '{'));
    return nn_arena_printf(l->c->arena, "%.*s%s%s", (int)(open - row->otherwise), row->otherwise,
                           l->c->v[id].text, close + 1);
}

static void settle(loader *l, int id) {
    const nn_cfg_row *row = &rows[id];
    choice c = choose(l, row);
    nn_cfg_value *v = &l->c->v[id];
    *v = (nn_cfg_value){.text = c.text, .source = c.source};
    if (!c.text)
        *v = (nn_cfg_value){.text = default_text(l, row), .source = "default", .is_default = true};
    const char *fault = nn_cfg_check(l->c->arena, row, v);
    if (!fault) return;
    if (row->type == NN_CFG_SECRET)
        problem(l, "%s (from %s): %s", row->key, v->source, fault);
    else
        problem(l, "%s (from %s): '%.100s': %s", row->key, v->source, v->text, fault);
}

static void settle_all(loader *l) {
    for (int refers = 0; refers <= 1; refers++)
        for (int id = 0; id < NN_CFG_COUNT; id++)
            if ((strchr(rows[id].otherwise, '{') != NULL) == refers) settle(l, id);
}

static const char **lines_of(nn_arena *a, const nn_buf *text, int n) {
    if (n > LINES_MAX) n = LINES_MAX;
    const char **list = NN_NEW_N(a, const char *, (size_t)n + 1), *p = nn_buf_str(text);
    for (int i = 0; i < n; i++) {
        size_t len = strcspn(p, "\n");
        list[i] = nn_arena_strndup(a, p, len);
        p += len + 1;
    }
    return list;
}

static nn_status report(const loader *l, nn_buf *problems, nn_err *err) {
    const char *text = nn_buf_str(&l->problems);
    if (problems) nn_buf_append(problems, l->problems.p, l->problems.n);
    int first = (int)strcspn(text, "\n");
    nn_status s = l->n_problems == 1 ? nn_fail(err, NN_E_CONFIG_ERROR, "%.*s", first, text)
                                     : nn_fail(err, NN_E_CONFIG_ERROR, "%.*s (and %d more)", first,
                                               text, l->n_problems - 1);
    return nn_err_hint(err, s, "`neural config` lists every key with its meaning");
}

nn_status nn_config_load(const nn_config_input *in, nn_config **ret, nn_buf *problems,
                         nn_err *err) {
    nn_arena *a = nn_arena_new(NULL, "config", ARENA_MAX);
    loader l = {.c = NN_NEW(a, nn_config), .in = in};
    l.c->arena = a;
    read_sources(&l);
    check_file_keys(&l);
    check_flags(&l);
    check_variables(&l);
    settle_all(&l);
    l.c->warnings = lines_of(a, &l.warnings, l.n_warnings);
    nn_status s = l.n_problems ? report(&l, problems, err) : NN_OK;
    nn_buf_done(&l.problems);
    nn_buf_done(&l.warnings);
    if (s)
        nn_arena_free(a);
    else
        *ret = l.c;
    return s;
}

void nn_config_free(nn_config *c) {
    if (c) nn_arena_free(c->arena);
}

/* Reading */

const char *nn_config_str(const nn_config *c, nn_cfg id) {
    assert(rows[id].type == NN_CFG_STR || rows[id].type == NN_CFG_SECRET ||
           rows[id].type == NN_CFG_WORD);
    return c->v[id].text;
}

int64_t nn_config_int(const nn_config *c, nn_cfg id) {
    assert(rows[id].type == NN_CFG_INT || rows[id].type == NN_CFG_SIZE);
    return c->v[id].i;
}

double nn_config_num(const nn_config *c, nn_cfg id) {
    assert(rows[id].type == NN_CFG_NUM);
    return c->v[id].f;
}

bool nn_config_bool(const nn_config *c, nn_cfg id) {
    assert(rows[id].type == NN_CFG_BOOL);
    return c->v[id].b;
}

const char *const *nn_config_list(const nn_config *c, nn_cfg id) {
    assert(rows[id].type == NN_CFG_LIST);
    return c->v[id].list;
}

const char *nn_config_source(const nn_config *c, nn_cfg id) {
    return c->v[id].source;
}

bool nn_config_is_default(const nn_config *c, nn_cfg id) {
    return c->v[id].is_default;
}

const char *const *nn_config_warnings(const nn_config *c) {
    return c->warnings;
}
