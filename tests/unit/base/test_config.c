/* SPDX-License-Identifier: MIT */
#include "base/config.h"
#include "base/file.h"
#include "base/json.h"
#include "t.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* libfyaml 0.7.12 loses a token buffer when a scalar ends in an error; the program reads one file,
 * once. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libfyaml.so";
}

/* A file that lives until the test ends. */
typedef char temp[32];

static void temp_write(temp path, const char *text, size_t n) {
    nn_err err = {0};
    strncpy(path, "/tmp/nn_config_XXXXXX", sizeof(temp));
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    close(fd);
    CHECK_OK(nn_file_write(path, text, n, &err), &err);
}

static nn_config *loaded(const nn_config_input *in) {
    nn_config *c = NULL;
    nn_err err = {0};
    NN_BUF problems = {0};
    nn_status s = nn_config_load(in, &c, &problems, &err);
    if (s) fail_msg("%s", nn_buf_str(&problems));
    return c;
}

/* Loads what must be refused; the problems contain each of the texts (NULL-terminated). */
static void check_refused(const nn_config_input *in, int lines, ...) {
    nn_config *c = (nn_config *)(uintptr_t)&c;
    nn_err err = {0};
    NN_BUF problems = {0};
    assert_int_equal(nn_config_load(in, &c, &problems, &err), NN_E_CONFIG_ERROR);
    assert_ptr_equal(c, (void *)&c);
    int n = 0;
    for (const char *p = nn_buf_str(&problems); *p; p++) n += *p == '\n';
    if (n != lines) fail_msg("%d problems: %s", n, nn_buf_str(&problems));
    va_list ap;
    va_start(ap, lines);
    for (const char *want; (want = va_arg(ap, const char *));)
        if (!strstr(nn_buf_str(&problems), want))
            fail_msg("no '%s' in: %s", want, nn_buf_str(&problems));
    va_end(ap);
}

static void check_file_refused(const char *text, size_t n, const char *want) {
    temp path;
    temp_write(path, text, n);
    nn_config *c = NULL;
    nn_err err = {0};
    NN_BUF problems = {0};
    if (nn_config_load(&(nn_config_input){.file = path}, &c, &problems, &err) != NN_E_CONFIG_ERROR)
        fail_msg("accepted: %.60s", text);
    if (!strstr(nn_buf_str(&problems), want))
        fail_msg("no '%s' in: %s", want, nn_buf_str(&problems));
    CHECK(strstr(err.msg, path));
    unlink(path);
}

TEST(config_defaults) {
    nn_config *c = loaded(&(nn_config_input){0});
    assert_string_equal(nn_config_str(c, NN_CFG_SERVER_HOST), "127.0.0.1");
    assert_int_equal(nn_config_int(c, NN_CFG_SERVER_PORT), 8000);
    assert_int_equal(nn_config_int(c, NN_CFG_SERVER_MAX_REQUEST_SIZE), 10 * 1024 * 1024);
    CHECK(nn_config_bool(c, NN_CFG_RATE_LIMIT_ENABLED) &&
          nn_config_num(c, NN_CFG_SERVER_DRAIN_TIMEOUT) == 30);
    assert_string_equal(nn_config_str(c, NN_CFG_STORE_URL), "sqlite:///./neural_storage/neural.db");
    assert_string_equal(nn_config_str(c, NN_CFG_AUTH_BOOTSTRAP_KEY), "");
    const char *const *origins = nn_config_list(c, NN_CFG_CORS_ORIGINS);
    assert_string_equal(origins[0], "http://localhost:3000");
    assert_string_equal(origins[1], "http://localhost:8000");
    assert_null(origins[2]);
    assert_null(nn_config_list(c, NN_CFG_SERVER_ALLOWED_HOSTS)[0]);
    assert_string_equal(nn_config_source(c, NN_CFG_SERVER_PORT), "default");
    assert_null(nn_config_warnings(c)[0]);
    nn_config_free(c);
}

/* Each source in turn, weakest first; the next one wins over all before. */
TEST(config_precedence) {
    temp file, dotenv;
    temp_write(file, "server:\n  port: 1001\n", 21);
    temp_write(dotenv, "API_PORT=1002\n", 14);
    nn_config_flag flags[] = {
        {"port", "1"   },
        {"port", "1006"}
    };
    const char *env[] = {"API_PORT=1003", "NEURAL_PORT=1004", "NEURAL_SERVER_PORT=1005", NULL};
    char *const *all = (char *const *)env;
    static const char *const sources[] = {":2",          ": API_PORT",         "API_PORT",
                                          "NEURAL_PORT", "NEURAL_SERVER_PORT", "--port"};
    for (int i = 0; i < 6; i++) {
        nn_config_input in = {.file = file};
        if (i >= 1) in.dotenv = dotenv;
        if (i >= 2) in.env = all;
        if (i >= 5) in.flags = flags, in.n_flags = 2;
        /* the environment grows name by name */
        const char *hidden = i >= 2 && i <= 3 ? env[i - 1] : NULL;
        if (hidden) env[i - 1] = NULL;
        nn_config *c = loaded(&in);
        if (hidden) env[i - 1] = hidden;
        assert_int_equal(nn_config_int(c, NN_CFG_SERVER_PORT), 1001 + i);
        CHECK(strstr(nn_config_source(c, NN_CFG_SERVER_PORT), sources[i]));
        CHECK(!nn_config_is_default(c, NN_CFG_SERVER_PORT));
        nn_config_free(c);
    }
    unlink(file);
    unlink(dotenv);
}

TEST(config_warns_of_two_names_that_differ) {
    const char *env[] = {"API_PORT=1",
                         "NEURAL_PORT=2",
                         "RATE_LIMIT_PERIOD=5",
                         "RATE_LIMIT_WINDOW=5",
                         "NEURAL_SERVER_PROT=3",
                         "NEURAL_HOST=",
                         NULL};
    nn_config *c = loaded(&(nn_config_input){.env = (char *const *)env});
    assert_int_equal(nn_config_int(c, NN_CFG_SERVER_PORT), 2);
    assert_string_equal(nn_config_str(c, NN_CFG_SERVER_HOST), "127.0.0.1"); /* empty is not set */
    const char *const *w = nn_config_warnings(c);
    CHECK(w[0] && strstr(w[0], "NEURAL_SERVER_PROT") &&
          strstr(w[0], "did you mean NEURAL_SERVER_PORT?"));
    CHECK(w[1] && strstr(w[1], "server.port: NEURAL_PORT and API_PORT"));
    assert_null(w[2]);
    nn_config_free(c);
}

TEST(config_reports_every_fault_at_once) {
    temp file;
    const char *text =
        "server:\n  prot: 1\n  port: abc\nlog: {level: loud}\npaths: {storage: a, storage: b}\nauth: 7\nengine:\n";
    temp_write(file, text, strlen(text));
    const char *env[] = {"NEURAL_API_KEY=tooshort",
                         "RATE_LIMIT_ENABLED=maybe",
                         "NEURAL_SERVER_MAX_REQUEST_SIZE=10X",
                         "NEURAL_SERVER_READ_TIMEOUT_S=1e999",
                         "NEURAL_ENGINE_THREADS=-1",
                         NULL};
    nn_config_flag flag = {"prot", "1"};
    check_refused(
        &(nn_config_input){.file = file, .env = (char *const *)env, .flags = &flag, .n_flags = 1},
        11, ":2: unknown key 'server.prot', did you mean 'server.port'?",
        ":3): 'abc': expected a whole number from 0 to 65535",
        "'loud': expected one of DEBUG, INFO, WARNING, ERROR",
        ":5: paths.storage is set twice, first in line 5", ":6: 'auth' is a section",
        "auth.bootstrap_key (from NEURAL_API_KEY): expected 16 to 512 characters, got 8",
        "expected true or false", "'10X': expected a number of bytes like 10M from 1K to 1G",
        "'1e999': expected a number from 0.1 to 3600", "'-1': expected", "unknown flag --prot",
        NULL);
    unlink(file);
}

TEST(config_a_secret_is_never_shown) {
    const char *env[] = {"API_KEY=0123456789abcdef-secret", "METRICS_API_KEY=topsecret",
                         "DATABASE_URL=postgresql://joe:hunter2@db/x", NULL};
    nn_config *c = loaded(&(nn_config_input){.env = (char *const *)env});
    assert_string_equal(nn_config_str(c, NN_CFG_AUTH_BOOTSTRAP_KEY), "0123456789abcdef-secret");
    NN_BUF text = {0}, json = {0};
    nn_config_print(c, &text);
    nn_config_print_json(c, &json);
    const char *both[] = {nn_buf_str(&text), nn_buf_str(&json)};
    for (int i = 0; i < 2; i++) {
        CHECK(!strstr(both[i], "secret") && !strstr(both[i], "hunter2"));
        CHECK(strstr(both[i], "postgresql://joe:********@db/x"));
    }
    NN_JSON *v = NULL;
    nn_err err = {0};
    CHECK_OK(nn_json_parse(json.p, json.n, &v, &err), &err);
    assert_int_equal(nn_json_size(v), NN_CFG_COUNT);
    assert_string_equal(
        nn_json_str(nn_json_get(nn_json_get(v, "auth.bootstrap_key"), "source"), ""), "API_KEY");
    assert_int_equal(nn_json_int(nn_json_get(nn_json_get(v, "server.port"), "value"), 0), 8000);
    nn_config_free(c);
    const char *bad[] = {"API_KEY=hunter2", NULL};
    nn_err e = {0};
    NN_BUF problems = {0};
    assert_int_equal(
        nn_config_load(&(nn_config_input){.env = (char *const *)bad}, &c, &problems, &e),
        NN_E_CONFIG_ERROR);
    CHECK(!strstr(nn_buf_str(&problems), "hunter2") && !strstr(e.msg, "hunter2"));
}

TEST(config_values_are_read_in_each_form) {
    temp file;
    const char *text =
        "# comment\n---\nserver: {allowed_hosts: [\"a,b\", c], debug: Yes, max_request_size: 2MiB}\n"
        "log:\n  level: warn\n  format: \"JSON\"\ncors:\n  origins: []\nrate_limit:\n  requests: ~\n"
        "server.read_timeout_s: 0.5\n";
    temp_write(file, text, strlen(text));
    const char *env[] = {"NEURAL_STORAGE=x", "STORAGE_PATH=/data", NULL};
    nn_config *c = loaded(&(nn_config_input){.file = file, .env = (char *const *)env});
    const char *const *hosts = nn_config_list(c, NN_CFG_SERVER_ALLOWED_HOSTS);
    assert_string_equal(hosts[0], "a,b");
    assert_string_equal(hosts[1], "c");
    assert_null(hosts[2]);
    assert_null(nn_config_list(c, NN_CFG_CORS_ORIGINS)[0]); /* an empty list is a value */
    CHECK(nn_config_bool(c, NN_CFG_SERVER_DEBUG));
    assert_int_equal(nn_config_int(c, NN_CFG_SERVER_MAX_REQUEST_SIZE), 2 << 20);
    assert_string_equal(nn_config_str(c, NN_CFG_LOG_LEVEL), "WARNING");
    assert_string_equal(nn_config_str(c, NN_CFG_LOG_FORMAT), "json");
    assert_int_equal(nn_config_int(c, NN_CFG_RATE_LIMIT_REQUESTS), 100); /* null: the default */
    CHECK(nn_config_num(c, NN_CFG_SERVER_READ_TIMEOUT) == 0.5);
    assert_string_equal(nn_config_str(c, NN_CFG_STORE_URL), "sqlite:////data/neural.db");
    nn_config_free(c);
    unlink(file);
}

TEST(config_reads_dotenv) {
    temp path;
    const char *text =
        "# c\n\nexport API_PORT = 1234 # why\r\nNEURAL_HOST=\"::1\" # x\nAPP_NAME='a \"b\" \\n'\n"
        "CORS_ORIGINS=http://a , http://b,,\nthis is no line\nSTORAGE_PATH=\"open\nOTHER=$(rm)\n";
    temp_write(path, text, strlen(text));
    nn_config *c = loaded(&(nn_config_input){.dotenv = path});
    assert_int_equal(nn_config_int(c, NN_CFG_SERVER_PORT), 1234);
    assert_string_equal(nn_config_str(c, NN_CFG_SERVER_HOST), "::1");
    assert_string_equal(nn_config_str(c, NN_CFG_SERVER_NAME), "a \"b\" \\n");
    const char *const *origins = nn_config_list(c, NN_CFG_CORS_ORIGINS);
    CHECK(!strcmp(origins[0], "http://a") && !strcmp(origins[1], "http://b") && !origins[2]);
    const char *const *w = nn_config_warnings(c);
    CHECK(w[0] && strstr(w[0], ":7: expected NAME=value") && w[1] &&
          strstr(w[1], ":8: the quoted value") && !w[2]);
    nn_config_free(c);
    unlink(path);
    c = loaded(&(nn_config_input){.dotenv = "/tmp/nn_config_none/.env"});
    nn_config_free(c);
}

TEST(config_file_that_is_empty_is_fine) {
    static const char *const texts[] = {"",          "\n", "# only a comment\n", "---\n", "{}",
                                        "server:\n", "~"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        temp file;
        temp_write(file, texts[i], strlen(texts[i]));
        nn_config_free(loaded(&(nn_config_input){.file = file}));
        unlink(file);
    }
}

TEST(config_hostile_files_are_refused) {
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"server: {port: 1",                            "not valid YAML"             },
        {"server:\n\tport: 1\n",                        "not valid YAML"             },
        {"just text",                                   "expected settings"          },
        {"- a\n- b\n",                                  "a list is not expected here"},
        {"a: &x {b: 1}\nc: *x\n",                       "aliases"                    },
        {"server: {port: [1, [2]]}",                    "not lists"                  },
        {"server: {port: [{a: 1}]}",                    "not maps"                   },
        {"? {a: 1}\n: 2\n",                             "a key must be a name"       },
        {"server: {port: 1}\n---\nserver: {port: 2}\n", "second document"            },
        {"server:\n  host: \"a\\0b\"\n",                "NUL"                        },
        {"server:\n  host: \"a\\nb\"\n",                "control character"          },
        {"server:\n  port: 1\n  port: 2\n",             "set twice"                  },
        {"\xff\xfe",                                    ":1: is not UTF-8"           },
        {"server:\n  host: \xc3(\n",                    ":2: is not UTF-8"           },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_file_refused(rows[i].text, strlen(rows[i].text), rows[i].want);
    check_file_refused("server:\0", 8, "NUL byte");
    size_t n = 1 << 20;
    char *big = malloc(n + 2);
    memset(big, '{', n);
    check_file_refused(big, 100000, ":1: ");
    memset(big, '[', n);
    check_file_refused(big, 100000, ":1: ");
    memset(big, '#', n + 1);
    check_file_refused(big, n + 1, "larger than");
    for (size_t i = 0; i < n; i += 4) memcpy(big + i, "a: \n", 4);
    check_file_refused(big, n, "too many settings");
    memset(big, 'k', n);
    memcpy(big + n - 3, ": 1", 3);
    check_file_refused(big, n, ":1: ");
    free(big);
    NN_BUF problems = {0};
    nn_config *c;
    nn_err err = {0};
    assert_int_equal(
        nn_config_load(&(nn_config_input){.file = "/tmp/nn_none.yaml"}, &c, &problems, &err),
        NN_E_CONFIG_ERROR);
    CHECK(strstr(err.msg, "/tmp/nn_none.yaml") && strstr(err.msg, "No such file"));
}

/* The rows themselves: keys are unique, defaults pass their own rules (config_defaults loads them
 * all), names are unique. */
TEST(config_table_is_consistent) {
    for (int i = 0; i < NN_CFG_COUNT; i++) {
        const nn_cfg_row *a = nn_config_row((nn_cfg)i);
        assert_int_equal(nn_config_find(a->key), i);
        CHECK(strchr(a->key, '.') && a->help[0]);
        for (int j = i + 1; j < NN_CFG_COUNT; j++)
            CHECK(!a->flag[0] || strcmp(a->flag, nn_config_row((nn_cfg)j)->flag));
    }
    assert_int_equal(nn_config_find("server"), -1);
}
