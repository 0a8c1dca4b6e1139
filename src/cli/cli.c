/* SPDX-License-Identifier: MIT */
/* cli.c - finds the command, runs it, turns its status into an exit status. */
#include "cli/cli.h"

#include "base/nearest.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NN_COMMAND(s, n, g, t) extern const nn_command nn_command_##s;
#include "cli/commands.def"
#undef NN_COMMAND

static const nn_command_row rows[] = {
#define NN_COMMAND(s, n, g, t) {n, g, t, &nn_command_##s},
#include "cli/commands.def"
#undef NN_COMMAND
};
enum { ROWS = sizeof rows / sizeof rows[0] };

const nn_command_row *nn_command_at(unsigned i) {
    return i < ROWS ? &rows[i] : NULL;
}

const nn_command_row *nn_command_find(const char *name) {
    for (unsigned i = 0; i < ROWS; i++)
        if (strcmp(rows[i].name, name) == 0) return &rows[i];
    return NULL;
}

nn_status nn_command_unknown(const char *name, nn_err *err) {
    if (name[0] == '-') {
        nn_status s = nn_fail(err, NN_E_USAGE, "unknown option '%.60s' before a command", name);
        return nn_err_hint(err, s,
                           "write `neural COMMAND [options]`; `neural help` lists the commands");
    }
    const char *names[ROWS + 1] = {0};
    for (unsigned i = 0; i < ROWS; i++) names[i] = rows[i].name;
    const char *near = nn_nearest(name, names);
    nn_status s = nn_fail(err, NN_E_USAGE, "unknown command '%.60s'", name);
    return near ? nn_err_hint(err, s, "did you mean '%s'?", near)
                : nn_err_hint(err, s, "`neural help` lists the commands");
}

void nn_print_error(const nn_err *e) {
    const char *red = nn_colour(stderr) ? "\033[1;31m" : "", *off = *red ? "\033[0m" : "";
    fprintf(stderr, "%sneural:%s %s\n", red, off, e->msg[0] ? e->msg : nn_status_text(e->code));
    if (e->hint[0]) fprintf(stderr, "  help: %s\n", e->hint);
}

bool nn_colour(FILE *f) {
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(fileno(f)) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

nn_status nn_print(const char *text, size_t n, nn_err *err) {
    if (fwrite(text, 1, n, stdout) == n && fflush(stdout) == 0) return NN_OK;
    return nn_fail(err, NN_E_STORAGE_ERROR, "cannot write the output: %s", strerror(errno));
}

const char *nn_print_count(int64_t n, char buf[32]) {
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%" PRId64, n), at = 0;
    for (int i = 0; i < len; i++) {
        buf[at++] = digits[i];
        int left = len - 1 - i;
        if (left && left % 3 == 0 && digits[i] != '-') buf[at++] = ',';
    }
    buf[at] = 0;
    return buf;
}

const char *nn_print_si(double n, char buf[32]) {
    static const char units[] = " kMGTP";
    int u = 0;
    for (; n >= 1000 && u < 5; u++) n /= 1000;
    snprintf(buf, 32, u ? "%.*f %c" : "%.*f", u && n < 100, n, units[u]);
    return buf;
}

/* `neural`, `neural --help` and `neural --version` are commands under another name. */
static const char *first_word(int argc, char **argv) {
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) return "help";
    return strcmp(argv[1], "--version") == 0 ? "version" : argv[1];
}

static bool wants_help(int argc, char **argv) {
    for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    return false;
}

static nn_status run(int argc, char **argv, nn_err *err) {
    const char *word = first_word(argc, argv);
    const nn_command_row *row = nn_command_find(word);
    if (!row) return nn_command_unknown(word, err);
    if (wants_help(argc, argv)) {
        nn_help_command(row, stdout);
        return NN_OK;
    }
    nn_args args;
    nn_status s = nn_args_parse(row, argc - 2, argv + 2, &args, err);
    return s ? s : row->command->run(&args, err);
}

int nn_cli_main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of the write */
    nn_err err = {0};
    nn_status s = run(argc, argv, &err);
    if (s == NN_OK && fflush(stdout) != 0)
        s = nn_fail(&err, NN_E_STORAGE_ERROR, "cannot write the output: %s", strerror(errno));
    if (s != NN_OK && err.msg[0]) nn_print_error(&err);
    return nn_status_exit(s);
}
