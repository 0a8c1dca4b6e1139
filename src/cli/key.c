/* SPDX-License-Identifier: MIT */
/* key.c - API keys in the store, with or without a running server. */
#include "api/auth.h"
#include "cli/settings.h"

#include <string.h>

static nn_status create(nn_store *store, const char *name, const char *role, nn_err *err) {
    char key[NN_KEY_TEXT], id[37];
    nn_key_spec spec = {.name = name, .role = role};
    nn_status s = nn_key_create(store, &spec, key, id, err);
    if (s) return s;
    fprintf(stderr, "key %s for %s; it is shown only now:\n", id, name);
    NN_BUF out = {0};
    nn_buf_printf(&out, "%s\n", key);
    return nn_print(nn_buf_str(&out), out.n, err);
}

static nn_status list(nn_store *store, bool json, nn_err *err) {
    NN_JSON *keys = NULL;
    nn_status s = nn_key_list(store, &keys, err);
    if (s) return s;
    NN_BUF out = {0};
    if (json) nn_json_dump(keys, 2, &out);
    for (size_t i = 0; !json && i < nn_json_size(keys); i++) {
        const nn_json *k = nn_json_at(keys, i);
        nn_buf_printf(&out, "%s  %-8s  %-6s  %-8s  %s\n", nn_json_str(nn_json_get(k, "id"), ""),
                      nn_json_str(nn_json_get(k, "prefix"), ""),
                      nn_json_str(nn_json_get(k, "role"), ""),
                      nn_json_bool(nn_json_get(k, "is_active"), false) ? "active" : "revoked",
                      nn_json_str(nn_json_get(k, "name"), ""));
    }
    if (json) nn_buf_putc(&out, '\n');
    return nn_print(nn_buf_str(&out), out.n, err);
}

static nn_status revoke_key(nn_store *store, const char *which, nn_err *err) {
    char id[37];
    nn_status s = nn_key_revoke(store, which, id, err);
    if (!s) printf("revoked %s\n", id);
    return s;
}

static nn_status run_key(const nn_args *a, nn_err *err) {
    const char *verb = a->operands[0], *what = a->n_operands > 1 ? a->operands[1] : NULL;
    bool lists = strcmp(verb, "list") == 0, creates = strcmp(verb, "create") == 0,
         revokes = strcmp(verb, "revoke") == 0;
    const char *role = nn_opt(a, "role");
    if ((!lists && !creates && !revokes) || lists == (what != NULL) || (role && !creates)) {
        nn_status s =
            nn_fail(err, NN_E_USAGE, "key: expected `create NAME`, `list` or `revoke ID`");
        return nn_err_hint(err, s, "`neural key --help`");
    }
    nn_store *store = NULL;
    bool json = false;
    nn_status s = nn_cli_store(a, &json, NULL, &store, NULL, err);
    if (s) return s;
    s = lists     ? list(store, json, err)
        : creates ? create(store, what, role, err)
                  : revoke_key(store, what, err);
    nn_store_close(store);
    return s;
}

static const nn_option options[] = {
    {"role",  0, "ROLE", "what a new key may do (default user)", "viewer|user|admin"},
    {0}
};

const nn_command nn_command_key = {
    .operands = "create NAME | list | revoke ID",
    .min_operands = 1,
    .max_operands = 2,
    .run = run_key,
    .options = options,
    .own_flags = true,
    .description =
        "Works on the store named by --storage or --store; the server may be running. A key is printed once and kept as a hash. Settings come after --role.",
    .examples =
        "  neural key create laptop\n  neural key create dashboard --role viewer\n  neural key list --storage ./neural_storage\n  neural key revoke laptop"};
