/* SPDX-License-Identifier: MIT */
/* sections.c - what a program says about training: collects loss, optimizer, metrics, train,
 * execution, framework and compile (language.md, section 8), and does loss, metrics and framework.
 * All of the language is accepted here; what an engine or a code generator does not do it refuses
 * itself (graph/train.h, nn_train_check). What the language does not know is refused with a
 * suggestion. */
#include "compile/sections.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- words and calls ---- */

/* Appends the words of a "a|b" list. */
static int split(nn_check *c, const char *list, const char **to, int n, int cap) {
    for (size_t len; *list && n < cap; list += len + (list[len] == '|')) {
        len = strcspn(list, "|");
        const char *word = nn_arena_strndup(c->arena, list, len);
        if (word) to[n++] = word;
    }
    return n;
}

void nn_section_unknown(nn_check *c, const nn_value *v, const char *kind, const char *word,
                        const char *const *names, const char *const *aliases) {
    enum { MOST = 96 };
    const char *all[MOST + 1];
    int n = 0;
    for (const char *const *s = names; *s && n < MOST; s++) all[n++] = *s;
    for (const char *const *s = aliases; s && *s; s++) n = split(c, *s, all, n, MOST);
    all[n] = NULL;
    nn_span at = v->kind == NN_V_CALL ? v->call->name_span : v->span;
    nn_diag *d = NN_ERROR(c, "unknown-name", at, "invalid %s '%.60s'", kind, word);
    nn_check_suggest(c, d, at, word, nn_nearest(word, all) ? all : names);
}

const char *nn_section_word(nn_check *c, nn_value *v, const char *kind) {
    nn_parse_quoted(c->arena, c->source, v, c->diags);
    const char *word = v->kind == NN_V_CALL ? v->call->name : nn_check_word(v);
    char got[64];
    if (!word && v->kind != NN_V_ERROR)
        NN_ERROR(c, "wrong-type", v->span, "%s must be a name, got %s", kind,
                 nn_check_show(v, got, sizeof got));
    return word;
}

nn_arg *nn_section_arguments(const nn_value *v) {
    return v->kind == NN_V_CALL ? v->call->args : NULL;
}

static void each_candidate(nn_check *c, const char *owner, nn_value *v, const nn_value *pick,
                           nn_section_use *use, nn_train_spec *to) {
    int point = c->point, candidate = c->candidate, i = 0;
    bool chosen = c->chosen;
    for (nn_value *e = v->hpo->values; e; e = e->next, i++) {
        char part[32];
        snprintf(part, sizeof part, "choice[%d]", i);
        nn_train_spec scratch = *to;
        c->point = v->hpo->point - 1;
        c->candidate = i;
        size_t mark = nn_check_push(c, part);
        c->chosen = nn_check_resolve(c, owner, NULL, e) == pick;
        nn_section_each(c, owner, e, use, c->chosen ? to : &scratch);
        nn_check_pop(c, mark);
        c->point = point;
        c->candidate = candidate;
        c->chosen = chosen;
    }
}

/* Whether one of v's candidates is `pick`, rather than a value that a setting brought. */
static bool among(const nn_value *v, const nn_value *pick) {
    if (v->kind != NN_V_HPO) return v == pick;
    for (const nn_value *e = v->hpo->values; e; e = e->next)
        if (among(e, pick)) return true;
    return false;
}

void nn_section_each(nn_check *c, const char *owner, nn_value *v, nn_section_use *use,
                     nn_train_spec *to) {
    nn_value *pick = nn_check_resolve(c, owner, NULL, v);
    if (!pick) return;
    if (v->kind == NN_V_HPO && v->hpo->kind == NN_HPO_CHOICE)
        each_candidate(c, owner, v, pick, use, to);
    if (!among(v, pick) || v == pick) use(c, pick, to);
}

/* ---- loss ---- */

/* "my_module.loss": names and dots. */
static bool is_dotted(const nn_value *v) {
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789.";
    const char *s = v->kind == NN_V_STRING ? v->text : "";
    size_t n = strlen(s);
    return strchr(s, '.') && strspn(s, letters) == n && s[0] != '.' && s[n - 1] != '.' &&
           !strstr(s, "..");
}

static void use_custom_loss(nn_check *c, const nn_value *v, nn_train_spec *to) {
    if (strlen(v->text) >= sizeof to->custom_loss) {
        NN_ERROR(c, "out-of-range", v->span, "the name of a custom loss is longer than %zu bytes",
                 sizeof to->custom_loss - 1);
        return;
    }
    to->has_loss = true;
    to->loss = NN_LOSS_CUSTOM;
    snprintf(to->custom_loss, sizeof to->custom_loss, "%s", v->text);
}

static void use_loss(nn_check *c, nn_value *v, nn_train_spec *to) {
    const char *word = nn_section_word(c, v, "loss");
    int k = word ? nn_loss_find(word) : -1;
    if (word && k < 0 && is_dotted(v))
        use_custom_loss(c, v, to);
    else if (word && k < 0)
        nn_section_unknown(c, v, "loss function", word, nn_loss_names(), nn_loss_aliases());
    if (k < 0) return;
    const char *name = nn_loss_name((nn_loss_kind)k);
    nn_bound b[NN_MAX_PARAMS] = {0};
    nn_train_spec said = *to;
    if (!nn_check_bind_all(c, name, v->span, nn_train_params(name), nn_section_arguments(v), b) ||
        !nn_section_take(c, name, nn_loss_fields((nn_loss_kind)k), b, &said))
        return;
    *to = said;
    to->has_loss = true;
    to->loss = (nn_loss_kind)k;
}

/* ---- metrics ---- */

static void use_metric(nn_check *c, nn_value *v, nn_train_spec *to) {
    static const nn_param none[] = {{0}};
    static const nn_param top_k[] = {
        {.name = "k",
         .type = NN_P_INT,
         .positional = true,
         .min = 1,
         .max = NN_MAX_DIM,
         .fallback = "5",
         .help = "right if among so many best"},
        {0}
    };
    const char *word = nn_section_word(c, v, "metric");
    int m = word ? nn_train_metric_find(word) : -1;
    if (word && m < 0)
        nn_section_unknown(c, v, "metric", word, nn_train_metric_names(),
                           nn_train_metric_aliases());
    if (m < 0) return;
    nn_bound b[NN_MAX_PARAMS] = {0};
    const char *name = nn_train_metric_name((nn_train_metric)m);
    bool ranked = m == NN_TRAIN_METRIC_TOP_K;
    if (!nn_check_bind_all(c, name, v->span, ranked ? top_k : none, nn_section_arguments(v), b))
        return;
    if (ranked) to->top_k = b[0].i;
    to->metrics |= 1u << m;
}

static void check_metrics(nn_check *c, nn_value *v) {
    nn_train_spec *t = &c->graph->train;
    bool list = v->kind == NN_V_LIST || v->kind == NN_V_TUPLE;
    size_t mark = nn_check_push(c, "metrics");
    t->metrics = 0;
    if (!list) nn_section_each(c, "metrics", v, use_metric, t);
    int i = 0;
    for (nn_value *m = list ? v->items : NULL; m; m = m->next) {
        size_t inner = nn_check_push_index(c, "", i++);
        nn_section_each(c, "metrics", m, use_metric, t);
        nn_check_pop(c, inner);
    }
    nn_check_pop(c, mark);
}

/* ---- framework ---- */

static int index_of(const char *word, const char *const *names) {
    for (int i = 0; names[i]; i++)
        if (nn_name_equal(names[i], word)) return i;
    return -1;
}

static void check_framework(nn_check *c, const nn_value *v) {
    static const char *const known[] = {"tensorflow", "pytorch", "onnx", NULL};
    const char *word = nn_check_word(v);
    if (!word || strcasecmp(word, "auto") == 0) return; /* the parser reports what is no scalar */
    int k = index_of(strcasecmp(word, "torch") == 0 ? "pytorch" : word, known);
    if (k >= 0)
        c->unit->framework = known[k];
    else
        nn_section_unknown(c, v, "framework", word, known, NULL);
}

/* ---- collecting ---- */

static void again(nn_check *c, const char *word, nn_span span, nn_span first) {
    nn_diag *d = NN_ERROR(c, "duplicate-section", span, "'%s' is given twice", word);
    nn_diag_note(c->diags, d, first, "first given here");
}

static void keep_one(nn_sections *s, const char *word, nn_span span, nn_value *v, nn_value **to,
                     nn_span *to_span) {
    if (*to)
        again(s->c, word, span, *to_span);
    else
        *to = v, *to_span = span;
}

/* True if `word` is one of the three that may also stand inside compile { }. */
static bool keep_reference(nn_sections *s, const char *word, nn_span span, nn_value *v) {
    if (strcmp(word, "loss") == 0)
        keep_one(s, word, span, v, &s->loss, &s->loss_span);
    else if (strcmp(word, "optimizer") == 0)
        keep_one(s, word, span, v, &s->optimizer, &s->optimizer_span);
    else if (strcmp(word, "metrics") == 0)
        keep_one(s, word, span, v, &s->metrics, &s->metrics_span);
    else
        return false;
    return true;
}

/* Appends a copy of an entry to a list. */
static void append(nn_check *c, const nn_arg *a, nn_arg ***tail) {
    nn_arg *copy = nn_check_alloc(c, sizeof *copy);
    if (!copy) return;
    *copy = *a;
    copy->next = NULL;
    **tail = copy;
    *tail = &copy->next;
}

/* compile { } may also hold what other programs say to their compilers (language.md 20). */
static void keep_compile(nn_sections *s, const nn_section *x) {
    static const char *const keys[] = {"loss",      "optimizer",     "metrics", "target",
                                       "precision", "optimizations", NULL};
    for (nn_arg *a = x->config; a; a = a->next) {
        if (keep_reference(s, a->name, a->span, a->value)) continue;
        if (index_of(a->name, keys) >= 0) {
            nn_diag_add(s->c->diags, NN_SEV_NOTE, "advice", a->name_span,
                        "nothing uses '%s' of compile", a->name);
            continue;
        }
        nn_diag *d =
            NN_ERROR(s->c, "unknown-key", a->name_span, "compile has no key '%s'", a->name);
        nn_check_suggest(s->c, d, a->name_span, a->name, keys);
    }
}

static void keep_train(nn_sections *s, const nn_section *x) {
    if (s->has_train) again(s->c, "train", x->word_span, s->train_span);
    if (!s->has_train) s->train_span = x->word_span;
    s->has_train = true;
    for (nn_arg *a = x->config; a; a = a->next) append(s->c, a, &s->train_tail);
}

static void keep_execution(nn_sections *s, const nn_section *x) {
    if (s->has_execution) again(s->c, "execution", x->word_span, s->execution_span);
    if (!s->has_execution) s->execution_span = x->word_span;
    s->has_execution = true;
    for (nn_arg *a = x->config; a; a = a->next) append(s->c, a, &s->execution_tail);
}

static void keep(nn_sections *s, const nn_section *x) {
    if (strcmp(x->word, "input") == 0 || keep_reference(s, x->word, x->word_span, x->value)) return;
    if (strcmp(x->word, "train") == 0) {
        keep_train(s, x);
    } else if (strcmp(x->word, "execution") == 0) {
        keep_execution(s, x);
    } else if (strcmp(x->word, "compile") == 0) {
        keep_compile(s, x);
    } else if (strcmp(x->word, "framework") == 0) {
        if (s->has_framework) again(s->c, "framework", x->word_span, s->framework_span);
        if (!s->has_framework) check_framework(s->c, x->value);
        s->has_framework = true;
        s->framework_span = x->word_span;
    } else { /* epochs, batch_size, validation_split, search_method at top level */
        nn_arg a = {.name = x->word, .name_span = x->word_span, .span = x->span, .value = x->value};
        append(s->c, &a, &s->train_tail);
    }
}

void nn_check_sections(nn_check *c) {
    nn_sections s = {.c = c};
    s.train_tail = &s.train;
    s.execution_tail = &s.execution;
    for (const nn_section *x = c->network->sections; x; x = x->next) keep(&s, x);
    size_t mark = nn_check_push(c, "loss");
    if (s.loss) nn_section_each(c, "loss", s.loss, use_loss, &c->graph->train);
    nn_check_pop(c, mark);
    if (s.optimizer) nn_check_optimizer(c, s.optimizer);
    if (s.metrics) check_metrics(c, s.metrics);
    nn_check_train(c, &s);
    nn_check_execution(c, &s);
}
