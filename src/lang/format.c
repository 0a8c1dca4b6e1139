/* SPDX-License-Identifier: MIT */
/* format.c - the grammar once more (language.md section 18), now to write it. The source has no
 * errors, so this recursive descent decides by a look at the next tokens; what they do not tell
 * (whether a word begins a section) is taken from the parser's tree.
 *
 * A statement, or an element of a list, is first tried on one line (`flat`). If it does not fit,
 * the lists in it are broken, one element a line, and each element is tried anew. A trial ends at
 * the last column, so all trials together are linear in the source. */
#include "lang/format.h"

#include "lang/tree.h"

#include <string.h>
#include <strings.h>

typedef struct list list;
typedef void (*rule)(nn_fmt *f, const list *l); /* l: the list of which it is an element, or NULL */

/* Elements between brackets. */
struct list {
    rule element;
    int close, closers;
    bool tuple;  /* of one element: with a comma */
    bool commas; /* written between elements whatever separates them in the source */
    int count;   /* elements so far */
};

/* Statements between brackets. */
typedef struct block {
    rule statement;
    int close;
    bool open;     /* the body of a network, or the file: never on one line */
    bool sections; /* layers:, sections and definitions may stand here */
} block;

static void value(nn_fmt *f);
static void call(nn_fmt *f);
static void item(nn_fmt *f, const list *l);
static void entry(nn_fmt *f, const list *l);
static void network_statement(nn_fmt *f, const list *l);

static bool at(const nn_fmt *f, int kind) {
    return nn_fmt_kind(f, 0) == kind;
}

static void lead(nn_fmt *f, const char *text) {
    f->lead = text;
}

static bool word_is(const nn_fmt *f, size_t ahead, const char *word) {
    const nn_fmt_piece *p = &f->tokens[f->t + ahead < f->n ? f->t + ahead : f->n];
    size_t n = strlen(word);
    return p->kind == NN_T_NAME && p->end - p->begin == n &&
           !memcmp(f->src->text + p->begin, word, n);
}

/* The same in any letter case. */
static bool word_like(const nn_fmt *f, const char *word) {
    const nn_fmt_piece *p = &f->tokens[f->t];
    size_t n = strlen(word);
    return p->kind == NN_T_NAME && p->end - p->begin == n &&
           !strncasecmp(f->src->text + p->begin, word, n);
}

static bool hpo_ahead(const nn_fmt *f) {
    return word_is(f, 0, "HPO") && nn_fmt_kind(f, 1) == '(';
}

static bool branch_ahead(const nn_fmt *f) {
    return at(f, NN_T_NAME) && nn_fmt_kind(f, 1) == ':' && nn_fmt_kind(f, 2) == '{';
}

static void skip_separators(nn_fmt *f) {
    f->t = f->tokens[f->t].next;
}

/* ---- one line, or more ---- */

/* Writes by the rule on one line. False: it does not fit, and nothing has happened. */
static bool fits(nn_fmt *f, rule r, const list *l) {
    nn_fmt before = *f;
    size_t n = f->out->n;
    f->flat = true;
    f->depth = 0;
    r(f, l);
    bool fit = !f->fail;
    if (!fit) {
        *f = before;
        f->out->n = n;
        if (f->out->p) f->out->p[n] = '\0';
    }
    f->flat = before.flat;
    f->depth = before.depth;
    return fit;
}

static void unit(nn_fmt *f, rule r, const list *l) {
    if (!fits(f, r, l)) r(f, l);
}

/* ---- lists ---- */

/* A name and a group after it would be a call: at what has to stay between them. */
static bool must_separate(const nn_fmt *f) {
    const nn_fmt_piece *p = &f->tokens[f->t];
    return nn_fmt_is_separator(p->kind) && p[-1].kind == NN_T_NAME &&
           f->tokens[p->next].kind == '(';
}

/* What is written after an element of which so many tokens, from `first` on, have been. */
static const char *separator_of(const nn_fmt *f, const list *l, size_t first) {
    const nn_fmt_piece *p = &f->tokens[f->t];
    size_t tokens = f->t - first;
    bool word = tokens == 1 || (tokens == 2 && f->tokens[first].kind == '$');
    if (f->tokens[p->next].kind == l->close)
        return l->tuple && !l->count && (p->comma || word) ? "," : "";
    return l->commas || p->comma ? "," : must_separate(f) ? ";" : "";
}

static void element(nn_fmt *f, const list *l) {
    size_t first = f->t;
    l->element(f, l);
    if (f->fail) return;
    const char *separator = separator_of(f, l, first);
    if (*separator && nn_fmt_is_separator(nn_fmt_kind(f, 0))) nn_fmt_before_comma(f);
    nn_fmt_text(f, separator);
    if (!f->fail) skip_separators(f);
}

static void flat_elements(nn_fmt *f, list *l) {
    f->depth++;
    for (; !at(f, l->close) && !f->fail; l->count++) {
        lead(f, l->count ? " " : "");
        element(f, l);
    }
    lead(f, "");
    nn_fmt_put(f);
    f->depth--;
}

static void broken_elements(nn_fmt *f, list *l) {
    int outer = f->indent, inner = outer + NN_FMT_STEP;
    f->indent = inner;
    nn_fmt_gap g = {.indent = inner, .lo = inner, .hi = inner};
    for (; !at(f, l->close); l->count++) {
        nn_fmt_break(f, &g);
        unit(f, element, l);
    }
    f->indent = outer;
    g.indent = outer;
    g.closes = true;
    nn_fmt_break(f, &g);
    nn_fmt_put(f);
}

/* At the first token behind the opening bracket. */
static void elements(nn_fmt *f, list l) {
    skip_separators(f); /* { ; a: 1 } */
    bool empty = at(f, l.close) && f->c >= f->tokens[f->t].other;
    if (f->flat || empty)
        flat_elements(f, &l);
    else
        broken_elements(f, &l);
    if (l.closers > 1) nn_fmt_put(f);
}

static void bracketed(nn_fmt *f, list l) {
    nn_fmt_put(f);
    elements(f, l);
}

/* ---- blocks ---- */

/* One statement that stands on one line in the source may stay there. */
static void flat_block(nn_fmt *f, const block *b, uint32_t line) {
    f->depth++;
    skip_separators(f);
    bool empty = at(f, b->close);
    if (b->open && !empty) nn_fmt_fail(f);
    if (!empty) {
        lead(f, " ");
        b->statement(f, NULL);
        skip_separators(f);
        if (!at(f, b->close) || f->tokens[f->t].line != line) nn_fmt_fail(f);
    }
    lead(f, empty ? "" : " ");
    nn_fmt_put(f);
    f->depth--;
}

/* Where the statements of a block stand: those that follow layers: one level deeper. */
typedef struct level {
    int body;
    bool deep;
    bool opened;  /* nothing stands behind the bracket or the label yet */
    uint32_t ref; /* before the closing bracket, comments to the left of this column are not deep */
} level;

typedef enum statement_kind { LABEL, BRACKETED_LABEL, SECTION, ITEM } statement_kind;

static statement_kind kind_of(const nn_fmt *f, const block *b) {
    if (!b->sections) return ITEM;
    if (word_is(f, 0, "layers") && nn_fmt_kind(f, 1) == ':' && nn_fmt_kind(f, 2) != '{')
        return nn_fmt_kind(f, 2) == '[' ? BRACKETED_LABEL : LABEL;
    bool define = word_is(f, 0, "define") && nn_fmt_kind(f, 1) == NN_T_NAME;
    return f->tokens[f->t].section || define ? SECTION : ITEM;
}

/* A comment between the layers and a section goes with what it is indented like. */
static void begin_statement(nn_fmt *f, level *l, statement_kind kind) {
    int deep = l->body + NN_FMT_STEP;
    bool item = kind == ITEM && l->deep;
    int indent = item ? deep : l->body;
    nn_fmt_gap g = {.indent = indent,
                    .lo = indent,
                    .hi = l->deep ? deep : indent,
                    .blanks = true,
                    .opened = l->opened};
    nn_fmt_break(f, &g);
    f->indent = indent;
    l->deep = l->opened = kind == LABEL;
    l->deep |= item;
    l->ref = f->tokens[f->t].col + (kind == LABEL);
}

/* At the first token of the block; leaves the closing bracket. */
static void statements(nn_fmt *f, const block *b, int outer) {
    level l = {.body = outer + NN_FMT_STEP, .opened = true, .ref = 1};
    skip_separators(f);
    while (!at(f, b->close)) {
        begin_statement(f, &l, kind_of(f, b));
        unit(f, b->statement, NULL);
        if (must_separate(f)) nn_fmt_text(f, ";");
        skip_separators(f);
    }
    nn_fmt_gap g = {.indent = outer < 0 ? 0 : outer,
                    .lo = l.body,
                    .hi = l.deep ? l.body + NN_FMT_STEP : l.body,
                    .ref = l.ref - 1,
                    .blanks = true,
                    .closes = true};
    f->indent = outer;
    nn_fmt_break(f, &g);
}

/* At the opening bracket. */
static void braces(nn_fmt *f, const block *b) {
    uint32_t line = f->tokens[f->t].line;
    nn_fmt_put(f);
    const nn_fmt_piece *first = &f->tokens[f->tokens[f->t].next];
    bool empty = first->kind == b->close && f->c >= first->other;
    if (f->flat || empty) {
        flat_block(f, b, line);
        return;
    }
    statements(f, b, f->indent);
    nn_fmt_put(f);
}

static const block items_block = {item, '}', false, false};
static const block group_block = {item, ')', false, false};
static const block entries_block = {entry, '}', false, false};
static const block network_block = {network_statement, '}', true, true};
static const block bracket_block = {network_statement, ']', true, true};

/* ---- values ---- */

/* The canonical spelling of a word that stands for itself; NULL: a name. */
static const char *constant(const nn_fmt *f) {
    static const char *const words[][2] = {
        {"true",  "true" },
        {"false", "false"},
        {"none",  "None" },
        {"null",  "None" }
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (word_like(f, words[i][0])) return words[i][1];
    return NULL;
}

static void scalar(nn_fmt *f) {
    if (at(f, '$')) {
        nn_fmt_put(f);
        nn_fmt_put(f);
    } else if (constant(f))
        nn_fmt_put_as(f, constant(f));
    else
        nn_fmt_put(f);
}

static void plain_element(nn_fmt *f, const list *l) {
    (void)l;
    value(f);
}

/* [ NAME ("=" | ":") ] value */
static void argument(nn_fmt *f, const list *l) {
    (void)l;
    int next = nn_fmt_kind(f, 1);
    if (at(f, NN_T_NAME) && (next == '=' || next == ':')) {
        nn_fmt_put(f);
        nn_fmt_put_as(f, "=");
    }
    value(f);
}

/* [ "$" ] NAME [ ("=" | ":") value ] */
static void parameter(nn_fmt *f, const list *l) {
    (void)l;
    if (at(f, '$')) nn_fmt_put(f);
    nn_fmt_put(f);
    if (!at(f, '=') && !at(f, ':')) return;
    nn_fmt_put_as(f, "=");
    value(f);
}

static void parameters(nn_fmt *f) {
    bracketed(f, (list){.element = parameter, .close = ')', .commas = true});
}

static void repeat(nn_fmt *f) {
    if (!at(f, '*')) return;
    lead(f, " ");
    nn_fmt_put(f);
    lead(f, " ");
    value(f);
}

static void branch(nn_fmt *f) {
    nn_fmt_put(f);
    nn_fmt_put(f);
    lead(f, " ");
    braces(f, &items_block);
}

/* A value, or a group or branch. A tuple and a group look alike from here, and so do their
 * elements: what separates them, and words, stay as they are. */
static void candidate(nn_fmt *f, const list *l) {
    int next = nn_fmt_kind(f, 1);
    if (branch_ahead(f))
        branch(f);
    else if (at(f, '('))
        bracketed(f, (list){.element = candidate, .close = ')', .tuple = true});
    else if (at(f, NN_T_NAME) && next == '@')
        call(f);
    else if (at(f, NN_T_NAME) && next != '(' && next != '{' && l->tuple)
        nn_fmt_put(f);
    else
        value(f);
    repeat(f);
}

/* HPO ( kind ( … ) ): written as one pair of brackets. */
static void hpo(nn_fmt *f) {
    bool choice = word_is(f, 2, "choice");
    for (int i = 0; i < 4; i++) nn_fmt_put(f);
    elements(f, (list){.element = choice ? candidate : argument,
                       .close = ')',
                       .closers = 2,
                       .commas = true});
}

static void arguments(nn_fmt *f) {
    bracketed(f, (list){.element = argument, .close = ')', .commas = true});
}

static void call_head(nn_fmt *f) {
    nn_fmt_put(f);
    if (at(f, '(')) arguments(f);
    if (!at(f, '@')) return;
    lead(f, " ");
    nn_fmt_put(f);
    lead(f, " ");
    scalar(f);
}

/* ---- heads: what stands before a block ---- */

/* A head that a block follows, on one line with its brace. */
static void call_line(nn_fmt *f, const list *l) {
    (void)l;
    call_head(f);
    if (!at(f, '{') || f->col + 2 > NN_FMT_WIDTH) nn_fmt_fail(f);
}

static void call(nn_fmt *f) {
    if (f->flat || !fits(f, call_line, NULL)) call_head(f);
    if (!at(f, '{')) return;
    lead(f, " ");
    braces(f, &items_block);
}

static void value(nn_fmt *f) {
    int next = nn_fmt_kind(f, 1);
    if (at(f, '('))
        bracketed(f, (list){.element = plain_element, .close = ')', .tuple = true, .commas = true});
    else if (at(f, '['))
        bracketed(f, (list){.element = plain_element, .close = ']', .commas = true});
    else if (at(f, '{'))
        bracketed(f, (list){.element = entry, .close = '}', .commas = true});
    else if (hpo_ahead(f))
        hpo(f);
    else if (at(f, NN_T_NAME) && (next == '(' || next == '{'))
        call(f);
    else
        scalar(f);
}

/* ---- statements ---- */

static void item(nn_fmt *f, const list *l) {
    (void)l;
    if (at(f, '('))
        braces(f, &group_block);
    else if (hpo_ahead(f))
        hpo(f);
    else if (branch_ahead(f))
        branch(f);
    else
        call(f);
    repeat(f);
}

/* At a comma after a value of an entry: another value follows, as in batch_size: 16, 32. */
static bool more_values(const nn_fmt *f) {
    int k = nn_fmt_kind(f, 1), next = nn_fmt_kind(f, 2);
    if (!at(f, ',')) return false;
    if (k == NN_T_NAME) return next != ':' && next != '=' && next != '{';
    if (k == NN_T_INT && next == ':') return false; /* {0: 1.5, 1: 2}: another entry */
    return k == NN_T_INT || k == NN_T_FLOAT || k == NN_T_STRING || k == '(' || k == '[' ||
           k == '{' || k == '$';
}

static void next_value(nn_fmt *f) {
    nn_fmt_put(f);
    lead(f, " ");
    value(f);
}

/* (NAME | INT) (":" | "=") value { "," value } */
static void entry(nn_fmt *f, const list *l) {
    (void)l;
    nn_fmt_put(f);
    nn_fmt_put_as(f, ":");
    lead(f, " ");
    value(f);
    while (more_values(f)) next_value(f);
}

/* What a section lists without brackets: shapes of an input, numbers of a setting. */
static bool more_of_section(const nn_fmt *f, bool input) {
    int k = nn_fmt_kind(f, 1);
    if (!at(f, ',')) return false;
    return input ? k == '(' || k == '[' : k == NN_T_INT || k == NN_T_FLOAT;
}

static void section(nn_fmt *f) {
    bool input = word_is(f, 0, "input"), framework = word_is(f, 0, "framework");
    nn_fmt_put(f);
    bool colon = at(f, ':'), config = nn_fmt_kind(f, colon) == '{';
    if (config && !input)
        f->t += colon;
    else
        nn_fmt_put(f);
    lead(f, " ");
    if (config)
        braces(f, &entries_block);
    else if (framework)
        scalar(f);
    else
        value(f);
    while (!config && more_of_section(f, input)) next_value(f);
}

static void define_head(nn_fmt *f) {
    nn_fmt_put(f);
    lead(f, " ");
    nn_fmt_put(f);
    if (at(f, '(')) bracketed(f, (list){.element = parameter, .close = ')', .commas = true});
}

static void define_line(nn_fmt *f, const list *l) {
    (void)l;
    define_head(f);
    if (f->col + 2 > NN_FMT_WIDTH) nn_fmt_fail(f);
}

static void define(nn_fmt *f) {
    if (f->flat || !fits(f, define_line, NULL)) define_head(f);
    lead(f, " ");
    braces(f, &items_block);
}

static void network_statement(nn_fmt *f, const list *l) {
    (void)l;
    statement_kind kind = kind_of(f, &network_block);
    if (kind == ITEM)
        item(f, NULL);
    else if (kind == SECTION && f->tokens[f->t].section)
        section(f);
    else if (kind == SECTION)
        define(f);
    else {
        nn_fmt_put(f);
        nn_fmt_put(f);
        lead(f, " ");
        if (kind == BRACKETED_LABEL) braces(f, &bracket_block);
    }
}

/* ---- the file ---- */

static void custom(nn_fmt *f) {
    nn_fmt_put(f);
    lead(f, " ");
    nn_fmt_put(f);
    if (at(f, '(')) parameters(f);
    if (!at(f, NN_T_ARROW)) return;
    lead(f, " ");
    nn_fmt_put(f);
    lead(f, " ");
    value(f);
}

/* NAME [":"] ( config | value | text { "," text } ) */
static void research_entry(nn_fmt *f, const list *l) {
    (void)l;
    nn_fmt_put(f);
    bool colon = at(f, ':');
    int k = nn_fmt_kind(f, colon), next = nn_fmt_kind(f, colon + 1u);
    bool text = k == NN_T_STRING || (k == NN_T_NAME && next != '(' && next != '{');
    if (k == '{')
        f->t += colon;
    else if (colon)
        nn_fmt_put(f);
    else
        nn_fmt_text(f, ":");
    lead(f, " ");
    if (k == '{')
        braces(f, &entries_block);
    else
        value(f);
    while (text && more_values(f)) next_value(f);
}

/* network, model, research: a name and a body. */
static void titled(nn_fmt *f, const block *b) {
    nn_fmt_put(f);
    lead(f, " ");
    if (!at(f, '{')) nn_fmt_put(f);
    lead(f, " ");
    braces(f, b);
}

static void construct(nn_fmt *f, const list *l) {
    static const block research_block = {research_entry, '}', true, false};
    (void)l;
    if (word_is(f, 0, "define"))
        define(f);
    else if (word_is(f, 0, "custom"))
        custom(f);
    else
        titled(f, word_is(f, 0, "research") ? &research_block : &network_block);
}

/* Marks the tokens that begin a section: both lists are in order of place. */
static void mark_sections(nn_fmt *f, const nn_program *program) {
    size_t t = 0;
    for (const nn_network *n = program->networks; n; n = n->next)
        for (const nn_section *s = n->sections; s; s = s->next) {
            while (t < f->n && f->tokens[t].begin < s->word_span.begin) t++;
            f->tokens[t].section = t < f->n && f->tokens[t].begin == s->word_span.begin;
        }
}

static void file(nn_fmt *f) {
    static const block whole = {construct, NN_T_EOF, true, false};
    statements(f, &whole, -NN_FMT_STEP);
}

nn_status nn_format(const nn_source *src, nn_diags *diags, nn_buf *out, nn_err *err) {
    int errors = diags->errors;
    nn_program *program = nn_parse(diags->arena, src, NN_START_PROGRAM, diags);
    if (diags->errors != errors)
        return nn_fail(err, NN_E_DSL_ERROR, "%s: %d error%s", src->name, diags->errors - errors,
                       diags->errors - errors == 1 ? "" : "s");
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "format", 0);
    nn_fmt f = {.src = src, .arena = arena, .out = out, .start = out->n, .lead = ""};
    nn_status s = nn_fmt_read(&f, diags, err);
    if (!s) {
        mark_sections(&f, program);
        file(&f);
        if (nn_buf_failed(out))
            s = nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory to format %s", src->name);
    }
    nn_fmt_done(&f);
    return s;
}
