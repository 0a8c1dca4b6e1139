/* SPDX-License-Identifier: MIT */
/* server.c - serve, config and operation: what needs the settings. Their flags are the rows of
 * base/config.def. */
#include "api/app.h"
#include "base/config.h"
#include "base/file.h"
#include "base/log.h"
#include "base/nearest.h"
#include "cli/cli.h"
#include "cli/settings.h"
#include "jobs/supervisor.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

enum { FLAGS = 64 };

static nn_status unknown_flag(const char *name, nn_err *err) {
    const char *names[NN_CFG_COUNT + 2] = {"config"};
    int n = 1;
    for (int i = 0; i < NN_CFG_COUNT; i++)
        if (nn_config_row(i)->flag[0]) names[n++] = nn_config_row(i)->flag;
    const char *near = nn_nearest(name, names);
    nn_status s = nn_fail(err, NN_E_USAGE, "unknown setting '--%.60s'", name);
    return near ? nn_err_hint(err, s, "did you mean '--%s'? `neural config` lists all", near)
                : nn_err_hint(err, s, "`neural config` lists all settings");
}

static int find_setting(const char *name) {
    int row = nn_config_find(name);
    for (int i = 0; row < 0 && i < NN_CFG_COUNT; i++)
        if (nn_config_row(i)->flag[0] && strcmp(nn_config_row(i)->flag, name) == 0) row = i;
    return row;
}

typedef struct flags {
    nn_arena *arena;
    nn_config_flag list[FLAGS];
    size_t n;
    const char *file; /* --config */
    bool json;
} flags;

static nn_status add_setting(flags *f, const char *name, const char *value, nn_err *err) {
    if (f->n >= FLAGS)
        return nn_fail(
            err, NN_E_USAGE,
            "more than %d settings on the command line; put them into a file and give --config",
            FLAGS);
    f->list[f->n++] = (nn_config_flag){.name = name, .value = value};
    return NN_OK;
}

/* One flag of `rest`; *at moves on if the next word is its value. */
static nn_status read_flag(const nn_args *a, int *at, flags *f, nn_err *err) {
    const char *word = a->rest[*at], *eq = strchr(word, '='), *value = eq ? eq + 1 : NULL;
    char *name = eq ? nn_arena_strndup(f->arena, word + 2, (size_t)(eq - word - 2))
                    : nn_arena_strdup(f->arena, word + 2);
    int row = find_setting(name);
    bool file = strcmp(name, "config") == 0;
    if (row < 0 && !file) return unknown_flag(name, err);
    bool last = *at + 1 >= a->n_rest || strncmp(a->rest[*at + 1], "--", 2) == 0;
    if (!value && last && row >= 0 && nn_config_row(row)->type == NN_CFG_BOOL)
        value = "true";
    else if (!value && *at + 1 >= a->n_rest)
        return nn_fail(err, NN_E_USAGE, "--%s needs a value", name);
    else if (!value)
        value = a->rest[++*at];
    if (!file) return add_setting(f, name, value, err);
    f->file = value;
    return NN_OK;
}

/* "--port 80", "--port=80", "--rate_limit.enabled false"; a yes-or-no setting alone means true. */
static nn_status read_flags(const nn_args *a, flags *f, bool may_json, nn_err *err) {
    for (int i = 0; i < a->n_rest; i++) {
        const char *word = a->rest[i];
        nn_status s = NN_OK;
        if (strncmp(word, "--", 2) != 0 || !word[2])
            s = nn_fail(err, NN_E_USAGE, "unexpected argument '%.100s'", word);
        else if (may_json && strcmp(word, "--json") == 0)
            f->json = true;
        else
            s = read_flag(a, &i, f, err);
        if (s) return s;
    }
    return NN_OK;
}

nn_status nn_cli_settings(const nn_args *a, bool *ret_json, nn_config **ret, nn_err *err) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "flags", 1 << 20);
    flags f = {.arena = arena};
    nn_status s = read_flags(a, &f, ret_json != NULL, err);
    if (s) return s;
    if (ret_json) *ret_json = f.json;
    nn_config_input in = {
        .flags = f.list, .n_flags = f.n, .file = f.file, .env = environ, .dotenv = ".env"};
    NN_BUF problems = {0};
    s = nn_config_load(&in, ret, &problems, err);
    if (s) fputs(nn_buf_str(&problems), stderr);
    return s;
}

nn_status nn_cli_store(const nn_args *a, bool *ret_json, nn_arena *arena, nn_store **ret,
                       const char **ret_storage, nn_err *err) {
    nn_config *c = NULL;
    nn_status s = nn_cli_settings(a, ret_json, &c, err);
    if (s) return s;
    const char *storage = nn_config_str(c, NN_CFG_PATHS_STORAGE);
    s = nn_mkdirs(storage, err);
    if (ret_storage) *ret_storage = nn_arena_strdup(arena, storage);
    nn_store_options o = {.url = nn_config_str(c, NN_CFG_STORE_URL), .readers = 1};
    if (!s) s = nn_store_open(&o, ret, err);
    nn_config_free(c);
    return s;
}

static void setup_log(const nn_config *c) {
    nn_log_level level = NN_LOG_INFO;
    nn_log_format format = NN_LOG_AUTO;
    nn_log_level_parse(nn_config_str(c, NN_CFG_LOG_LEVEL), &level);
    nn_log_format_parse(nn_config_str(c, NN_CFG_LOG_FORMAT), &format);
    nn_log_init(level, format, STDERR_FILENO);
}

static nn_status run_serve(const nn_args *a, nn_err *err) {
    nn_config *c = NULL;
    nn_status s = nn_cli_settings(a, NULL, &c, err);
    if (s) return s;
    setup_log(c);
    sigset_t until;
    sigemptyset(&until);
    sigaddset(&until, SIGINT);
    sigaddset(&until, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &until, NULL); /* inherited by every thread */
    s = nn_api_serve(c, &until, stdout, err);
    nn_config_free(c);
    return s;
}

const nn_command nn_command_serve = {
    .run = run_serve,
    .own_flags = true,
    .description =
        "Listens on 127.0.0.1:8000 unless told otherwise, prints the address, and serves until Ctrl-C. Every setting that\n"
        "`neural config` lists can be given as --KEY VALUE, in the environment, or in a YAML file named with --config.",
    .examples = "  neural serve\n"
                "  neural serve --port 0 --storage /var/lib/neural\n"
                "  neural serve --config neural.yaml --log-level DEBUG"};

static nn_status run_config(const nn_args *a, nn_err *err) {
    bool check = a->n_operands == 1 && strcmp(a->operands[0], "check") == 0;
    if (a->n_operands && !check) {
        nn_status s = nn_fail(err, NN_E_USAGE, "config: expected nothing or `check`, got '%.60s'",
                              a->operands[0]);
        return nn_err_hint(err, s, "`neural config --help`");
    }
    bool json = false;
    nn_config *c = NULL;
    nn_status s = nn_cli_settings(a, &json, &c, err);
    if (s) return s;
    for (const char *const *w = nn_config_warnings(c); *w; w++)
        fprintf(stderr, "warning: %s\n", *w);
    NN_BUF out = {0};
    if (check)
        nn_buf_puts(&out, "the configuration is fine\n");
    else
        (json ? nn_config_print_json : nn_config_print)(c, &out);
    nn_config_free(c);
    return nn_print(nn_buf_str(&out), out.n, err);
}

const nn_command nn_command_config = {
    .operands = "[check]",
    .max_operands = 1,
    .run = run_config,
    .own_flags = true,
    .description =
        "Prints each setting with its value and where that came from: a flag, a variable, .env, the file given with --config,\n"
        "or the default. `check` only says whether everything is in order. --json prints JSON.",
    .examples = "  neural config --config neural.yaml\n  NEURAL_PORT=9000 neural config"};

static nn_status run_operation(const nn_args *a, nn_err *err) {
    if (strcmp(a->operands[0], "run") != 0)
        return nn_fail(err, NN_E_USAGE, "operation: expected `run FOLDER`, got '%.60s'",
                       a->operands[0]);
    exit(nn_operation_main(a->operands[1]));
}

const nn_command nn_command_operation = {
    .operands = "run FOLDER",
    .min_operands = 2,
    .max_operands = 2,
    .run = run_operation,
    .description =
        "Reads FOLDER/request.json, works there and reports JSON lines on descriptor 3. The server starts this for heavy\n"
        "operations; it is of no use by hand."};
