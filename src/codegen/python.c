/* SPDX-License-Identifier: MIT */
#include "codegen/python.h"

#include "base/utf8.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Python 3.12, keyword.kwlist and softkwlist, and the builtins that generated code uses. */
static const char *const keywords[] = {
    "False",    "None", "True",     "and",  "as",     "assert", "async", "await",  "break",
    "class",    "case", "continue", "def",  "del",    "elif",   "else",  "except", "finally",
    "for",      "from", "global",   "if",   "import", "in",     "is",    "lambda", "match",
    "nonlocal", "not",  "or",       "pass", "raise",  "return", "super", "try",    "type",
    "while",    "with", "yield",    "self", NULL};

static bool listed(const char *const *list, const char *name) {
    for (; list && *list; list++)
        if (strcmp(*list, name) == 0) return true;
    return false;
}

static size_t slot_of(const nn_py_scope *s, const char *name) {
    size_t h = 5381;
    for (const char *p = name; *p; p++) h = h * 33 ^ (unsigned char)*p;
    h &= s->cap - 1;
    while (s->used[h] && strcmp(s->used[h], name) != 0) h = (h + 1) & (s->cap - 1);
    return h;
}

static void grow(nn_py_scope *s) {
    nn_py_scope old = *s;
    s->cap = old.cap ? old.cap * 2 : 64;
    s->used = NN_NEW_N(s->arena, const char *, s->cap);
    if (!s->used) abort(); /* the code generator's arena has no cap */
    for (size_t i = 0; i < old.cap; i++)
        if (old.used[i]) s->used[slot_of(s, old.used[i])] = old.used[i];
}

static bool is_free(const nn_py_scope *s, const char *name) {
    return !listed(keywords, name) && !listed(s->reserved, name) && !s->used[slot_of(s, name)];
}

/* Enters `name`, or the first of name_2, name_3, ... that is free. */
static const char *enter(nn_py_scope *s, const char *name) {
    if (2 * (s->n + 1) > s->cap) grow(s);
    const char *got = name;
    for (int k = 2; !is_free(s, got); k++) {
        got = nn_arena_printf(s->arena, "%s_%d", name, k);
        if (!got) abort();
    }
    s->used[slot_of(s, got)] = got;
    s->n++;
    return got;
}

static bool is_word(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

bool nn_py_is_name(const char *text) {
    if (isdigit((unsigned char)*text) || !*text) return false;
    for (const char *p = text; *p; p++)
        if (!is_word(*p) || (unsigned char)*p >= 128) return false;
    return !listed(keywords, text);
}

const char *nn_py_name(nn_py_scope *s, const char *wanted) {
    bool letter = isalpha((unsigned char)wanted[0]) && (unsigned char)wanted[0] < 128;
    char *name = nn_arena_printf(s->arena, "%s%s", letter ? "" : "layer_", wanted);
    if (!name) abort();
    for (char *p = name; *p; p++)
        if (!is_word(*p) || (unsigned char)*p >= 128) *p = '_';
    return enter(s, name);
}

const char *nn_py_class_name(nn_py_scope *s, const char *wanted) {
    NN_BUF b = {0};
    bool up = true;
    for (const char *p = wanted; *p; p++) {
        if ((unsigned char)*p >= 128 || !isalnum((unsigned char)*p)) {
            up = true;
            continue;
        }
        if (b.n == 0 && isdigit((unsigned char)*p)) nn_buf_puts(&b, "Network");
        nn_buf_putc(&b, up ? (char)toupper((unsigned char)*p) : *p);
        up = false;
    }
    const char *name = nn_arena_strdup(s->arena, b.n ? nn_buf_str(&b) : "Network");
    if (!name) abort();
    return enter(s, name);
}

static uint32_t decode(const unsigned char *p, size_t n) {
    if (n == 1) return p[0];
    uint32_t c = p[0] & (0xffU >> (n + 1));
    for (size_t i = 1; i < n; i++) c = c << 6 | (p[i] & 0x3f);
    return c;
}

void nn_py_string(nn_buf *out, const char *text) {
    nn_buf_putc(out, '\'');
    for (size_t left = strlen(text), n; left; left -= n, text += n) {
        n = nn_utf8_length(text, left);
        if (n == 0) n = 1;
        uint32_t c = decode((const unsigned char *)text, n);
        if (c == '\n')
            nn_buf_puts(out, "\\n");
        else if (c == '\\' || c == '\'')
            nn_buf_printf(out, "\\%c", (char)c);
        else if (c >= 0x20 && c < 0x7f)
            nn_buf_putc(out, (char)c);
        else if (c < 0x100)
            nn_buf_printf(out, "\\x%02" PRIx32, c);
        else if (c < 0x10000)
            nn_buf_printf(out, "\\u%04" PRIx32, c);
        else
            nn_buf_printf(out, "\\U%08" PRIx32, c);
    }
    nn_buf_putc(out, '\'');
}

void nn_py_comment(nn_buf *out, const char *text) {
    for (; *text; text++) nn_buf_putc(out, *text >= 0x20 && *text < 0x7f ? *text : '?');
}

void nn_py_float(nn_buf *out, double v) {
    nn_jw w = {.out = out};
    nn_jw_num(&w, v);
}

void nn_py_shape(nn_buf *out, const nn_shape *s) {
    nn_buf_putc(out, '(');
    for (int i = 0; i < s->rank; i++) {
        if (i) nn_buf_puts(out, ", ");
        if (s->dim[i] < 0)
            nn_buf_puts(out, "None");
        else
            nn_buf_printf(out, "%" PRId64, s->dim[i]);
    }
    nn_buf_puts(out, s->rank == 1 ? ",)" : ")");
}

void nn_py_sizes(nn_buf *out, const int64_t *v, int n) {
    bool equal = true;
    for (int i = 1; i < n; i++) equal = equal && v[i] == v[0];
    if (equal) {
        nn_buf_printf(out, "%" PRId64, v[0]);
        return;
    }
    for (int i = 0; i < n; i++) nn_buf_printf(out, "%s%" PRId64, i ? ", " : "(", v[i]);
    nn_buf_putc(out, ')');
}

/* ---- JSON ---- */

static bool put_member(void *to, const char *key, nn_json *v) {
    nn_buf *out = to;
    if (out->p[out->n - 1] != '{') nn_buf_puts(out, ", ");
    nn_py_string(out, key);
    nn_buf_puts(out, ": ");
    nn_py_json(out, v);
    return true;
}

static void put_list(nn_buf *out, const nn_json *v) {
    nn_buf_putc(out, '[');
    for (size_t i = 0; i < nn_json_size(v); i++) {
        if (i) nn_buf_puts(out, ", ");
        nn_py_json(out, nn_json_at(v, i));
    }
    nn_buf_putc(out, ']');
}

void nn_py_json(nn_buf *out, const nn_json *v) {
    switch (nn_json_typeof(v)) {
    case NN_JSON_NULL:
        nn_buf_puts(out, "None");
        break;
    case NN_JSON_BOOL:
        nn_buf_puts(out, nn_json_bool(v, false) ? "True" : "False");
        break;
    case NN_JSON_STRING:
        nn_py_string(out, nn_json_str(v, ""));
        break;
    case NN_JSON_ARRAY:
        put_list(out, v);
        break;
    case NN_JSON_OBJECT:
        nn_buf_putc(out, '{');
        nn_json_each(v, put_member, out);
        nn_buf_putc(out, '}');
        break;
    default:
        nn_json_dump(v, 0, out);
    }
}

nn_status nn_py_lambda(const char *parameters, nn_buf *out, nn_err *err) {
    NN_JSON *v = NULL;
    bool read = !nn_json_parse(parameters, strlen(parameters), &v, NULL);
    const char *function = read ? nn_json_str(nn_json_get(v, "function"), NULL) : NULL;
    const nn_json *arguments = read ? nn_json_get(v, "arguments") : NULL;
    if (!function) return nn_fail(err, NN_E_MODEL_FILE_ERROR, "a Lambda without its function");
    if (!arguments) {
        nn_buf_puts(out, function);
        return NN_OK;
    }
    nn_buf_printf(out, "lambda x: (%s)(x, **", function);
    nn_py_json(out, arguments);
    nn_buf_putc(out, ')');
    return NN_OK;
}

/* ---- parts of programs ---- */

bool nn_py_uses(const char *code, const char *word) {
    for (const char *p = strstr(code, word); p; p = strstr(p + 1, word)) {
        char c = p == code ? ' ' : p[-1];
        if (c != '_' && c != '.' && c != '\'' && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z'))
            return true;
    }
    return false;
}

void nn_py_imports(const char *code, nn_buf *out) {
    static const char *const standard[] = {
        "argparse.", "ast.",  "contextlib.", "copy.", "glob.",   "gzip.", "importlib.",
        "json.",     "math.", "os.",         "re.",   "struct.", "time.", "zipfile."};
    for (size_t i = 0; i < sizeof standard / sizeof *standard; i++)
        if (nn_py_uses(code, standard[i]))
            nn_buf_printf(out, "import %.*s\n", (int)strlen(standard[i]) - 1, standard[i]);
}

void nn_py_argument(nn_buf *out, const char *flag, const char *type, const char *value,
                    const char *help) {
    nn_buf_printf(out, "    parser.add_argument('--%s'", flag);
    if (type) nn_buf_printf(out, ", type=%s", type);
    if (value) nn_buf_printf(out, ", default=%s", value);
    nn_buf_printf(out, ",\n                        help='%s')\n", help);
}

void nn_py_argument_count(nn_buf *out, const char *flag, int64_t value, const char *help) {
    NN_BUF text = {0};
    nn_buf_printf(&text, "%" PRId64, value);
    nn_py_argument(out, flag, "int", nn_buf_str(&text), help);
}

void nn_py_argument_real(nn_buf *out, const char *flag, double value, const char *help) {
    NN_BUF text = {0};
    nn_py_float(&text, value);
    nn_py_argument(out, flag, "float", nn_buf_str(&text), help);
}

void nn_py_argument_text(nn_buf *out, const char *flag, const char *value, const char *help) {
    NN_BUF text = {0};
    if (*value) nn_py_string(&text, value);
    nn_py_argument(out, flag, NULL, *value ? nn_buf_str(&text) : NULL, help);
}
