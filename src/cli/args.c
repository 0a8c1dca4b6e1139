/* SPDX-License-Identifier: MIT */
/* args.c - command lines: `--name value`, `--name=value`, `-x value`, flags, operands, `--` before
 * operands that begin with a dash. */
#include "base/nearest.h"
#include "cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int option_index(const nn_command *c, const char *name, size_t n) {
    for (int i = 0; c->options && c->options[i].name; i++)
        if (strlen(c->options[i].name) == n && memcmp(c->options[i].name, name, n) == 0) return i;
    return -1;
}

static int letter_index(const nn_command *c, char letter) {
    for (int i = 0; c->options && c->options[i].name; i++)
        if (c->options[i].letter == letter) return i;
    return -1;
}

static nn_status unknown_option(const nn_command_row *row, const char *arg, nn_err *err) {
    const char *names[NN_CLI_OPTIONS + 1] = {0};
    for (int i = 0; row->command->options && row->command->options[i].name; i++)
        names[i] = row->command->options[i].name;
    char word[64];
    snprintf(word, sizeof word, "%.*s", (int)strcspn(arg, "="), arg);
    const char *near = arg[0] == '-' && arg[1] == '-' ? nn_nearest(word + 2, names) : NULL;
    nn_status s = nn_fail(err, NN_E_USAGE, "%s: unknown option '%s'", row->name, word);
    return near ? nn_err_hint(err, s, "did you mean '--%s'?", near)
                : nn_err_hint(err, s, "`neural %s --help` lists its options", row->name);
}

static bool is_word(const char *words, const char *value) {
    size_t n = strlen(value);
    for (const char *w = words; *w; w += *w == '|') {
        size_t len = strcspn(w, "|");
        if (len == n && memcmp(w, value, n) == 0) return true;
        w += len;
    }
    return false;
}

static nn_status unknown_word(const nn_command_row *row, const nn_option *o, const char *value,
                              nn_err *err) {
    char words[128], *rest = words;
    const char *list[NN_CLI_OPTIONS + 1] = {0};
    snprintf(words, sizeof words, "%s", o->words);
    for (int n = 0; rest && n < NN_CLI_OPTIONS; n++) list[n] = strsep(&rest, "|");
    const char *near = nn_nearest(value, list);
    nn_status s = nn_fail(err, NN_E_USAGE, "%s: --%s is one of %s, got '%.60s'", row->name, o->name,
                          o->words, value);
    return near ? nn_err_hint(err, s, "did you mean '%s'?", near) : s;
}

static bool is_repeatable(const nn_option *o) {
    size_t n = o->value ? strlen(o->value) : 0;
    return n > 3 && strcmp(o->value + n - 3, "...") == 0;
}

static nn_status set(const nn_command_row *row, nn_args *a, int i, const char *value, nn_err *err) {
    const nn_option *o = &row->command->options[i];
    if (a->values[i] && !is_repeatable(o))
        return nn_fail(err, NN_E_USAGE, "%s: option --%s is given twice", row->name, o->name);
    if (o->words && !is_word(o->words, value)) return unknown_word(row, o, value, err);
    if (is_repeatable(o)) {
        if (a->n_given == NN_CLI_OPERANDS)
            return nn_fail(err, NN_E_USAGE, "%s: more than %d options that may be repeated",
                           row->name, NN_CLI_OPERANDS);
        a->given[a->n_given++] = (struct nn_given){i, value};
    }
    a->values[i] = value;
    return NN_OK;
}

/* One word that begins with a dash. *at is its index and moves on if the next word is its value. */
static nn_status option(const nn_command_row *row, int argc, char *const *argv, int *at, nn_args *a,
                        nn_err *err) {
    const char *arg = argv[*at], *eq = NULL;
    int i;
    if (arg[1] == '-') {
        eq = strchr(arg, '=');
        i = option_index(row->command, arg + 2, eq ? (size_t)(eq - arg - 2) : strlen(arg + 2));
    } else {
        i = arg[2] ? -1 : letter_index(row->command, arg[1]);
    }
    if (i < 0) return unknown_option(row, arg, err);
    const nn_option *o = &row->command->options[i];
    if (!o->value) {
        if (eq) return nn_fail(err, NN_E_USAGE, "%s: --%s takes no value", row->name, o->name);
        return set(row, a, i, "", err);
    }
    if (!eq && *at + 1 >= argc)
        return nn_fail(err, NN_E_USAGE, "%s: --%s needs a value (%s)", row->name, o->name,
                       o->value);
    return set(row, a, i, eq ? eq + 1 : argv[++*at], err);
}

static nn_status surplus(const nn_command_row *row, const char *word, nn_err *err) {
    int most = row->command->max_operands;
    nn_status s =
        most >= NN_CLI_OPERANDS
            ? nn_fail(err, NN_E_USAGE, "%s: more than %d arguments", row->name, NN_CLI_OPERANDS)
            : nn_fail(err, NN_E_USAGE, "%s: unexpected argument '%.100s'", row->name, word);
    return nn_err_hint(err, s, "`neural %s --help` shows its arguments", row->name);
}

/* "--role" and "--role=x" of a command that has such a row; settings of the server follow. */
static bool is_own_option(const nn_command *c, const char *word) {
    return c->options && strncmp(word, "--", 2) == 0 &&
           option_index(c, word + 2, strcspn(word + 2, "=")) >= 0;
}

nn_status nn_args_parse(const nn_command_row *row, int argc, char *const *argv, nn_args *ret,
                        nn_err *err) {
    const nn_command *c = row->command;
    nn_args a = {.command = c};
    bool plain = false;
    for (int i = 0; i < argc; i++) {
        nn_status s = NN_OK;
        if (!plain && strcmp(argv[i], "--") == 0) {
            plain = true;
        } else if (!plain && argv[i][0] == '-' && argv[i][1]) {
            if (c->own_flags && !is_own_option(c, argv[i])) {
                a.rest = argv + i;
                a.n_rest = argc - i;
                break;
            }
            s = option(row, argc, argv, &i, &a, err);
        } else if (a.n_operands >= c->max_operands || a.n_operands >= NN_CLI_OPERANDS) {
            s = surplus(row, argv[i], err);
        } else {
            a.operands[a.n_operands++] = argv[i];
        }
        if (s) return s;
    }
    if (a.n_operands < c->min_operands) {
        nn_status s = nn_fail(err, NN_E_USAGE, "%s: %s is missing", row->name, c->operands);
        return nn_err_hint(err, s, "usage: neural %s %s [options]", row->name, c->operands);
    }
    *ret = a;
    return NN_OK;
}

const char *nn_opt(const nn_args *a, const char *name) {
    int i = option_index(a->command, name, strlen(name));
    return i < 0 ? NULL : a->values[i];
}

bool nn_opt_given(const nn_args *a, const char *name) {
    return nn_opt(a, name) != NULL;
}

const char *nn_opt_nth(const nn_args *a, const char *name, int k) {
    int option = option_index(a->command, name, strlen(name));
    for (int i = 0; i < a->n_given; i++)
        if (a->given[i].option == option && k-- == 0) return a->given[i].value;
    return NULL;
}

nn_status nn_opt_int(const nn_args *a, const char *name, int64_t otherwise, int64_t min,
                     int64_t max, int64_t *ret, nn_err *err) {
    const char *text = nn_opt(a, name);
    char *end;
    errno = 0;
    long long v = text ? strtoll(text, &end, 10) : otherwise;
    if (text && (errno || end == text || *end || v < min || v > max))
        return nn_fail(err, NN_E_USAGE,
                       "--%s is an integer from %" PRId64 " to %" PRId64 ", got '%.60s'", name, min,
                       max, text);
    *ret = v;
    return NN_OK;
}

nn_status nn_opt_num(const nn_args *a, const char *name, double otherwise, double min, double max,
                     double *ret, nn_err *err) {
    const char *text = nn_opt(a, name);
    char *end;
    double v = text ? strtod(text, &end) : otherwise;
    if (text && (end == text || *end || !isfinite(v) || v < min || v > max))
        return nn_fail(err, NN_E_USAGE, "--%s is a number from %g to %g, got '%.60s'", name, min,
                       max, text);
    *ret = v;
    return NN_OK;
}
