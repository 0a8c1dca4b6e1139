/* SPDX-License-Identifier: MIT */
/* Keys in a store, and who may do what (rest-api.md section 9). */
#include "api/auth.h"
#include "base/file.h"
#include "t.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int64_t now_ns = 1;
static int64_t fake_now(void) {
    return now_ns;
}

static char folder[64];

static nn_store *open_store(void) {
    nn_err err;
    nn_store *s = NULL;
    char url[128];
    snprintf(folder, sizeof folder, "/tmp/nn_auth_XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(url, sizeof url, "sqlite:///%s/k.db", folder);
    nn_store_options o = {.url = url};
    CHECK_OK(nn_store_open(&o, &s, &err), &err);
    return s;
}

static void close_store(nn_store *s) {
    char command[128];
    nn_store_close(s);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

static nn_auth *open_auth(nn_store *s, nn_auth_mode mode, const char *bootstrap, bool demo) {
    nn_auth *a = NULL;
    nn_err err;
    nn_auth_options o = {
        .store = s, .mode = mode, .bootstrap_key = bootstrap, .demo = demo, .now = fake_now};
    CHECK_OK(nn_auth_new(&o, &a, &err), &err);
    return a;
}

TEST(a_key_works_until_it_is_revoked) {
    nn_store *s = open_store();
    nn_auth *a = open_auth(s, NN_AUTH_REQUIRED, "", false);
    nn_principal who = {0};
    nn_err err;
    char key[NN_KEY_TEXT], id[37], gone[37];
    CHECK(!nn_auth_has_keys(a));
    CHECK_OK(nn_key_create(s, &(nn_key_spec){.name = "laptop", .role = "viewer"}, key, id, &err),
             &err);
    assert_int_equal(strlen(key), 43);
    CHECK_OK(nn_auth_check(a, key, 43, &who, &err), &err); /* at once */
    CHECK(who.authenticated && who.scopes == NN_SCOPE_READ);
    assert_string_equal(who.name, "laptop");
    assert_string_equal(who.key_id, id);
    CHECK(nn_auth_has_keys(a));
    assert_int_equal(nn_auth_check(a, key, 42, &who, &err), NN_E_UNAUTHORIZED);
    assert_string_equal(err.msg, "Invalid API key");
    CHECK_OK(nn_key_revoke(s, "laptop", gone, &err), &err);
    assert_string_equal(gone, id);
    now_ns += 2000000000;
    assert_int_equal(nn_auth_check(a, key, 43, &who, &err), NN_E_UNAUTHORIZED);
    assert_int_equal(nn_key_revoke(s, "laptop", gone, &err), NN_E_NOT_FOUND);
    nn_auth_free(a);
    close_store(s);
}

TEST(the_list_shows_no_key) {
    nn_store *s = open_store();
    nn_err err;
    char key[NN_KEY_TEXT], id[37];
    CHECK_OK(nn_key_create(s, &(nn_key_spec){.name = "one", .extra_scopes = NN_SCOPE_CODE}, key, id,
                           &err),
             &err);
    NN_JSON *list = NULL;
    NN_BUF out = {0};
    CHECK_OK(nn_key_list(s, &list, &err), &err);
    nn_json_dump(list, 0, &out);
    assert_null(strstr(nn_buf_str(&out), key));
    assert_int_equal(nn_json_size(list), 1);
    const nn_json *k = nn_json_at(list, 0);
    assert_memory_equal(nn_json_str(nn_json_get(k, "prefix"), ""), key, 8);
    assert_string_equal(nn_json_str(nn_json_get(k, "role"), ""), "user");
    CHECK(strstr(nn_buf_str(&out), "\"code\""));
    close_store(s);
}

TEST(bad_names_and_roles) {
    nn_store *s = open_store();
    nn_err err;
    char key[NN_KEY_TEXT], id[37];
    assert_int_equal(nn_key_create(s, &(nn_key_spec){.name = ""}, key, id, &err),
                     NN_E_VALIDATION_ERROR);
    assert_int_equal(nn_key_create(s, &(nn_key_spec){.name = " "}, key, id, &err),
                     NN_E_VALIDATION_ERROR);
    assert_int_equal(nn_key_create(s, &(nn_key_spec){.name = "x", .role = "root"}, key, id, &err),
                     NN_E_VALIDATION_ERROR);
    CHECK_OK(nn_key_create(s, &(nn_key_spec){.name = "x"}, key, id, &err), &err);
    CHECK_OK(nn_key_create(s, &(nn_key_spec){.name = "x"}, key, id, &err), &err);
    assert_int_equal(nn_key_revoke(s, "x", id, &err), NN_E_CONFLICT);
    CHECK_OK(nn_key_revoke(s, id, id, &err), &err);
    close_store(s);
}

TEST(expired_bootstrap_demo_and_local) {
    nn_store *s = open_store();
    nn_err err;
    nn_principal who;
    char key[NN_KEY_TEXT], id[37];
    CHECK_OK(nn_key_create(s, &(nn_key_spec){.name = "old", .expires_at = 1}, key, id, &err), &err);
    nn_auth *a = open_auth(s, NN_AUTH_MIXED, "bootstrap-key-0123", true);
    assert_int_equal(nn_auth_check(a, key, 43, &who, &err), NN_E_UNAUTHORIZED);
    CHECK_OK(nn_auth_check(a, "bootstrap-key-0123", 18, &who, &err), &err);
    CHECK((who.scopes & NN_SCOPE_ADMIN) && !(who.scopes & NN_SCOPE_CODE));
    CHECK_OK(nn_auth_check(a, "demo_api_key_12345", 18, &who, &err), &err);
    assert_string_equal(who.name, "demo_user");
    CHECK(!(who.scopes & NN_SCOPE_ADMIN));
    CHECK_OK(nn_auth_check(a, NULL, 0, &who, &err), &err);
    assert_string_equal(who.name, "local");
    assert_int_equal(who.scopes, NN_SCOPE_READ | NN_SCOPE_COMPILE | NN_SCOPE_RUN | NN_SCOPE_TRAIN |
                                     NN_SCOPE_INFER | NN_SCOPE_TRACK);
    nn_auth_free(a);
    a = open_auth(s, NN_AUTH_REQUIRED, "", false);
    assert_int_equal(nn_auth_check(a, "demo_api_key_12345", 18, &who, &err), NN_E_UNAUTHORIZED);
    CHECK_OK(nn_auth_check(a, NULL, 0, &who, &err), &err);
    CHECK(who.scopes == 0 && !who.authenticated);
    nn_auth_free(a);
    close_store(s);
}

static nn_status mode_of(const char *flags[][2], size_t n, bool loopback, nn_auth_mode *ret,
                         nn_err *err) {
    nn_config_flag f[4];
    nn_config *c = NULL;
    for (size_t i = 0; i < n; i++) f[i] = (nn_config_flag){flags[i][0], flags[i][1]};
    CHECK_OK(nn_config_load(&(nn_config_input){.flags = f, .n_flags = n}, &c, NULL, err), err);
    nn_status s = nn_auth_choose_mode(c, loopback, ret, err);
    nn_config_free(c);
    return s;
}

TEST(modes) {
    nn_auth_mode m;
    nn_err err;
    CHECK_OK(mode_of(NULL, 0, true, &m, &err), &err);
    assert_int_equal(m, NN_AUTH_MIXED);
    CHECK_OK(mode_of(NULL, 0, false, &m, &err), &err);
    assert_int_equal(m, NN_AUTH_REQUIRED);
    const char *open[][2] =
        {
            {"auth", "open"}
    },
               *mixed[][2] = {{"auth", "mixed"}}, *demo[][2] = {{"demo", "true"}};
    const char *key[][2] = {
        {"auth",               "open"            },
        {"auth.bootstrap_key", "0123456789abcdef"}
    };
    CHECK_OK(mode_of(open, 1, true, &m, &err), &err);
    assert_int_equal(m, NN_AUTH_OPEN);
    CHECK_OK(mode_of(key, 2, true, &m, &err), &err);
    assert_int_equal(m, NN_AUTH_REQUIRED); /* raised */
    assert_int_equal(mode_of(open, 1, false, &m, &err), NN_E_CONFIG_ERROR);
    assert_int_equal(mode_of(mixed, 1, false, &m, &err), NN_E_CONFIG_ERROR);
    assert_int_equal(mode_of(demo, 1, false, &m, &err), NN_E_CONFIG_ERROR);
}
