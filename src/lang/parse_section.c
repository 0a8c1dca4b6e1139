/* SPDX-License-Identifier: MIT */
/* parse_section.c - statements of a network: sections, definitions, branches, items.
 * Section words are contextual: they are sections only where a statement begins. */
#include "lang/parser.h"

#include <string.h>

typedef enum section_kind {
    SECTION_INPUT,
    SECTION_LAYERS,
    SECTION_REF,
    SECTION_METRICS,
    SECTION_CONFIG,
    SECTION_SCALAR,
    SECTION_VALUE,
    SECTION_DEFINE /* a word for suggestions and misplaced definitions */
} section_kind;

typedef struct section_row {
    const char *word, *canonical;
    section_kind kind;
} section_row;

static const section_row rows[] = {
    {"input",            "input",            SECTION_INPUT  },
    {"layers",           "layers",           SECTION_LAYERS },
    {"loss",             "loss",             SECTION_REF    },
    {"optimizer",        "optimizer",        SECTION_REF    },
    {"metrics",          "metrics",          SECTION_METRICS},
    {"train",            "train",            SECTION_CONFIG },
    {"training",         "train",            SECTION_CONFIG },
    {"execution",        "execution",        SECTION_CONFIG },
    {"execute",          "execution",        SECTION_CONFIG },
    {"compile",          "compile",          SECTION_CONFIG },
    {"framework",        "framework",        SECTION_SCALAR },
    {"epochs",           "epochs",           SECTION_VALUE  },
    {"batch_size",       "batch_size",       SECTION_VALUE  },
    {"validation_split", "validation_split", SECTION_VALUE  },
    {"search_method",    "search_method",    SECTION_VALUE  },
    {"define",           "define",           SECTION_DEFINE },
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static const section_row *find(const char *word) {
    for (const section_row *r = rows; r < rows + N_ROWS; r++)
        if (!strcmp(r->word, word)) return r;
    return NULL;
}

bool nn_p_section_word(const char *word) {
    return find(word);
}

/* The section that a misspelt word was meant to be; NULL if none is near. */
static const section_row *nearest(const char *word) {
    const char *names[N_ROWS + 1] = {0};
    for (int i = 0; i < N_ROWS; i++) names[i] = rows[i].word;
    const char *near = strlen(word) > 2 ? nn_nearest(word, names) : NULL;
    return near ? find(near) : NULL;
}

/* ---- the values of sections ---- */

/* shape { "," shape }, or { name: shape … } */
static bool input_value(nn_parser *p, nn_section *s) {
    nn_span open = p->tok[0].span;
    int n;
    if (nn_p_accept(p, '{')) return nn_p_entries(p, open, true, &s->config, &n);
    for (nn_value **tail = &s->value;;) {
        nn_value *v = nn_p_shape(p);
        if (!v) return false;
        *tail = v;
        tail = &v->next;
        if (p->tok[0].kind != ',' || (p->tok[1].kind != '(' && p->tok[1].kind != '[')) return true;
        nn_p_advance(p);
    }
}

static bool config_value(nn_parser *p, nn_section *s) {
    nn_span open = p->tok[0].span;
    int n;
    if (nn_p_accept(p, '{')) return nn_p_entries(p, open, false, &s->config, &n);
    nn_p_unexpected(p, "unexpected", "'{'");
    return !p->stop;
}

static bool section_value(nn_parser *p, section_kind kind, nn_section *s) {
    switch (kind) {
    case SECTION_INPUT:
        return input_value(p, s);
    case SECTION_CONFIG:
        return config_value(p, s);
    case SECTION_SCALAR:
        s->value = nn_p_scalar(p, "a name or a string");
        break;
    case SECTION_VALUE:
        if ((s->value = nn_p_value(p))) s->value = nn_p_more_values(p, s->value, true);
        break;
    case SECTION_METRICS:
        s->value = p->tok[0].kind == '[' ? nn_p_value(p)
                                         : nn_p_ref(p, "a metric, or a list such as [accuracy]");
        break;
    default:
        s->value = nn_p_ref(p, "a name, a call or a string");
        break;
    }
    return s->value;
}

/* After "layers:". A bracketed list is tolerated; so are braces, with an error. */
static void layers_label(nn_parser *p, nn_body *b) {
    if (p->tok[0].kind == '[' && !b->bracket.line) {
        b->bracket = p->tok[0].span;
        nn_p_advance(p);
    } else if (p->tok[0].kind == '{') {
        if (!b->braced_label) {
            nn_diag *g = nn_p_error(p, "unexpected", p->tok[0].span,
                                    "unexpected '{' after 'layers:', expected a layer");
            nn_diag_hint(p->diags, g, "layers follow the label without braces, or in [ ]");
        }
        nn_body inner = *b;
        inner.braced_label = true;
        inner.open = p->tok[0].span;
        inner.close = '}';
        nn_p_advance(p);
        if (nn_p_enter(p)) nn_p_body(p, &inner);
        nn_p_leave(p);
        b->items = inner.items;
        b->sections = inner.sections;
        b->defines = inner.defines;
    }
}

/* At the value of a section that begins at `word`. Outside of a network the section is read, and
 * forgotten: the error has been reported. */
static void section(nn_parser *p, nn_body *b, const section_row *row, const nn_token *word) {
    if (row->kind == SECTION_LAYERS) {
        layers_label(p, b);
        return;
    }
    nn_section *s = NN_P_NEW(p, nn_section);
    if (!s) return;
    if (!b->net) p->quiet++;
    bool ok = section_value(p, row->kind, s);
    if (!b->net) p->quiet--;
    if (!ok || !b->net) return;
    s->word = row->canonical;
    s->word_span = word->span;
    s->span = nn_p_join(word->span, p->prev.span);
    *b->sections = s;
    b->sections = &s->next;
}

/* ---- statements ---- */

static void add_item(nn_body *b, nn_item *it) {
    if (!it) return;
    *b->items = it;
    b->items = &it->next;
}

static void misplaced(nn_parser *p, const nn_token *word, const char *in, const char *owner) {
    nn_diag *g =
        nn_p_error(p, "misplaced-section", word->span,
                   "'%s' cannot stand inside of a %s: it belongs to the %s", word->text, in, owner);
    nn_diag_hint(p->diags, g, "close the %s with '}' before it", in);
}

static void known_section(nn_parser *p, nn_body *b, const section_row *row) {
    nn_token word = p->tok[0];
    int next = p->tok[1].kind;
    if (!b->net) misplaced(p, &word, "block", "network");
    nn_p_advance(p);
    if (next == ':')
        nn_p_advance(p);
    else if (next != '{' || row->kind != SECTION_CONFIG) {
        bool equals = next == '=';
        nn_span at = equals ? p->tok[0].span : word.span;
        if (!equals) at.line = at.end_line, at.col = at.end_col, at.begin = at.end;
        nn_diag *g = nn_p_error(p, "missing-colon", at, "missing ':' after '%s'", word.text);
        nn_p_fix(p, g, at, ":", equals ? "write ':' instead of '='" : "insert ':'");
        if (equals) nn_p_advance(p);
        if (!nn_p_value_ahead(p)) return;
    }
    section(p, b, row, &word);
}

/* A name that should be a section: reported, then read as the section it is near to. tok[0] is the
 * value. */
static void unknown_section(nn_parser *p, nn_body *b, const nn_token *name) {
    const section_row *near = nearest(name->text);
    nn_diag *g = nn_p_error(p, "unknown-section", name->span, "unknown section '%s'", name->text);
    if (near) {
        nn_diag_hint(p->diags, g, "did you mean '%s'?", near->word);
        nn_p_fix(p, g, name->span, near->word, "correct the section's name");
    } else
        nn_diag_hint(p->diags, g,
                     "sections are input, layers, loss, optimizer, metrics, train, "
                     "execution, compile and framework");
    if (near && near->kind != SECTION_DEFINE) {
        section(p, b, near, name);
        return;
    }
    p->quiet++;
    if (nn_p_value_ahead(p)) nn_p_value(p);
    p->quiet--;
}

/* After NAME '{': a name and ':' or a plain value, which no layer has there, show the entries of a
 * section whose name is misspelt. */
static bool entries_ahead(const nn_parser *p) {
    int next = p->tok[1].kind;
    return p->tok[0].kind == NN_T_NAME && (next == ':' || next == '=' || next == NN_T_INT ||
                                           next == NN_T_FLOAT || next == NN_T_STRING);
}

/* At '{' after a name that is near to a section word with entries. True: it was that section. */
static bool misspelt_config(nn_parser *p, nn_body *b, const nn_token *name, nn_span open) {
    const section_row *near = nearest(name->text);
    if (!near || near->kind != SECTION_CONFIG || !entries_ahead(p)) return false;
    nn_diag *g = nn_p_error(p, "unknown-section", name->span, "unknown section '%s'", name->text);
    nn_diag_hint(p->diags, g, "did you mean '%s'?", near->word);
    nn_p_fix(p, g, name->span, near->word, "correct the section's name");
    nn_section *s = NN_P_NEW(p, nn_section);
    int n;
    if (!s || !nn_p_entries(p, open, false, &s->config, &n) || !b->net) return true;
    s->word = near->canonical;
    s->word_span = name->span;
    s->span = nn_p_join(name->span, p->prev.span);
    *b->sections = s;
    b->sections = &s->next;
    return true;
}

/* NAME ':' or NAME '=' that is no section word: a branch, or a misspelt section. */
static void labelled(nn_parser *p, nn_body *b) {
    nn_token name = p->tok[0];
    bool colon = p->tok[1].kind == ':';
    nn_p_advance(p);
    nn_p_advance(p);
    nn_span open = p->tok[0].span;
    if (!colon || p->tok[0].kind != '{') {
        unknown_section(p, b, &name);
        return;
    }
    nn_p_advance(p);
    if (!misspelt_config(p, b, &name, open)) add_item(b, nn_p_branch(p, &name, open));
}

/* NAME '{': a layer with a block, or a misspelt section. */
static void braced(nn_parser *p, nn_body *b) {
    nn_token name = p->tok[0];
    nn_p_advance(p);
    nn_span open = p->tok[0].span;
    nn_p_advance(p);
    if (!misspelt_config(p, b, &name, open)) add_item(b, nn_p_block_item(p, &name, open));
}

static void definition(nn_parser *p, nn_body *b) {
    if (!b->net) misplaced(p, &p->tok[0], "block", "network");
    nn_define *d = nn_p_define(p);
    if (!d || !b->net) return;
    *b->defines = d;
    b->defines = &d->next;
}

/* NAME alone: a macro, a section without its colon, or a layer without its parentheses. */
static void bare(nn_parser *p, nn_body *b) {
    nn_token name = p->tok[0];
    const section_row *near = nn_p_macro_anywhere(p, name.text) ? NULL : nearest(name.text);
    bool value = p->tok[1].kind == NN_T_NAME || p->tok[1].kind == NN_T_STRING ||
                 p->tok[1].kind == NN_T_INT || p->tok[1].kind == NN_T_FLOAT;
    if (near && value && !p->tok[1].first) {
        nn_p_advance(p);
        unknown_section(p, b, &name);
        return;
    }
    int errors = p->diags->errors;
    add_item(b, nn_p_item(p));
    if (p->diags->errors != errors && !p->tok[0].first && p->tok[0].kind != ';' &&
        p->tok[0].kind != ',' && p->tok[0].kind != b->close && !nn_p_statement_ahead(p))
        nn_p_sync(p);
}

/* custom NAME, where only the file may have it: read as if it stood there. */
static bool misplaced_custom(nn_parser *p, const nn_body *b) {
    if (strcmp(p->tok[0].text, "custom") || p->tok[1].kind != NN_T_NAME || p->tok[1].first)
        return false;
    misplaced(p, &p->tok[0], b->net ? "network" : "block", "file");
    nn_p_custom(p);
    return true;
}

void nn_p_statement(nn_parser *p, nn_body *b) {
    if (misplaced_custom(p, b)) return;
    const section_row *row = find(p->tok[0].text);
    int next = p->tok[1].kind;
    if (row && row->kind == SECTION_DEFINE && next == NN_T_NAME)
        definition(p, b);
    else if (row && row->kind != SECTION_DEFINE && !nn_p_macro_known(p, row->word) &&
             !(row->kind == SECTION_INPUT && next == '('))
        known_section(p, b, row);
    else if (next == ':' || next == '=')
        labelled(p, b);
    else if (next == '{')
        braced(p, b);
    else if (next == '(' || next == '@')
        add_item(b, nn_p_item(p));
    else
        bare(p, b);
}

/* ---- definitions ---- */

/* ( p [= default], … ) */
static bool parameters(nn_parser *p, nn_arg **tail) {
    nn_span open = p->tok[0].span;
    if (!nn_p_accept(p, '(')) return true;
    for (int n = 0; nn_p_more(p, open, ')', n); n++) {
        nn_span begin = p->tok[0].span;
        nn_p_accept(p, '$');
        if (p->tok[0].kind != NN_T_NAME) {
            nn_p_unexpected(p, "missing-name", "the name of a parameter");
            if (nn_p_value_ahead(p)) nn_p_advance(p);
            continue;
        }
        if (n == NN_MAX_MACRO_PARAMS)
            nn_p_error(p, "limit", p->tok[0].span, "more than %d parameters", NN_MAX_MACRO_PARAMS);
        nn_arg *a = NN_P_NEW(p, nn_arg);
        if (!a) return false;
        a->name = p->tok[0].text;
        a->name_span = p->tok[0].span;
        nn_p_advance(p);
        if ((nn_p_accept(p, '=') || nn_p_accept(p, ':')) && !(a->value = nn_p_value(p)))
            return false;
        a->span = nn_p_join(begin, p->prev.span);
        if (n >= NN_MAX_MACRO_PARAMS) continue;
        *tail = a;
        tail = &a->next;
    }
    return !p->stop;
}

nn_define *nn_p_define(nn_parser *p) {
    nn_span begin = p->tok[0].span;
    nn_define *d = NN_P_NEW(p, nn_define);
    if (!d) return NULL;
    nn_p_advance(p);
    d->name = p->tok[0].text;
    d->name_span = p->tok[0].span;
    if (!nn_p_accept(p, NN_T_NAME)) {
        nn_p_unexpected(p, "missing-name", "a name after 'define'");
        d->name = "";
    }
    if (!parameters(p, &d->params)) return NULL;
    nn_span open = p->tok[0].span;
    if (nn_p_accept(p, '{')) {
        nn_body b = {.items = &d->items, .open = open, .close = '}'};
        const nn_arg *outer = p->params;
        p->params = d->params;
        if (nn_p_enter(p)) nn_p_body(p, &b);
        nn_p_leave(p);
        p->params = outer;
    } else
        nn_p_unexpected(p, "unexpected", "'{' and the layers of the macro");
    d->span = nn_p_join(begin, p->prev.span);
    if (*d->name) nn_p_macro_add(p, d->name);
    return p->stop ? NULL : d;
}

/* custom Name(params) -> (shape) */
void nn_p_custom(nn_parser *p) {
    nn_span begin = p->tok[0].span;
    nn_custom *c = NN_P_NEW(p, nn_custom);
    if (!c) return;
    nn_p_advance(p);
    c->name = p->tok[0].text;
    c->name_span = p->tok[0].span;
    if (!nn_p_accept(p, NN_T_NAME)) {
        nn_p_unexpected(p, "missing-name", "the name of a layer after 'custom'");
        c->name = "";
    }
    if (!parameters(p, &c->params)) return;
    if (nn_p_accept(p, NN_T_ARROW) && !(c->shape = nn_p_shape(p))) return;
    c->span = nn_p_join(begin, p->prev.span);
    *p->customs = c;
    p->customs = &c->next;
}
