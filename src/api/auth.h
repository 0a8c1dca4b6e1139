/* SPDX-License-Identifier: MIT */
/* auth.h - who is asking: API keys, kept in the store as SHA-256, and what each may do. Thread
 * safe.
 *
 * A table of all keys is held in memory. A key that is not in it is looked for in the store, at
 * most some times a second; the table is read again when it is a second old, so that a key that
 * `neural key revoke` took away stops working then. */
#ifndef NN_API_AUTH_H
#define NN_API_AUTH_H
#include "api/route.h"
#include "base/config.h"
#include "store/store.h"

typedef struct nn_auth nn_auth;

typedef enum nn_auth_mode { NN_AUTH_MIXED, NN_AUTH_REQUIRED, NN_AUTH_OPEN } nn_auth_mode;

typedef struct nn_auth_options {
    nn_store *store; /* not owned */
    nn_auth_mode mode;
    const char *bootstrap_key; /* "" : none */
    bool demo;                 /* the demonstration key works */
    int64_t (*now)(void);      /* monotonic ns; NULL: the clock */
} nn_auth_options;
nn_status nn_auth_new(const nn_auth_options *o, nn_auth **ret, nn_err *err);
void nn_auth_free(nn_auth *a); /* NULL allowed */
nn_auth_mode nn_auth_mode_of(const nn_auth *a);
bool nn_auth_has_keys(nn_auth *a); /* some key would be accepted */

/* The mode for a configuration that listens on loopback or not. NN_E_CONFIG_ERROR with a hint where
 * the rules forbid it: `open`, `mixed` or --demo on another address. */
nn_status nn_auth_choose_mode(const nn_config *c, bool loopback, nn_auth_mode *ret, nn_err *err);

/* key n bytes as presented; n 0: none. *ret is filled on success. NN_E_UNAUTHORIZED: "Invalid API
 * key". Without a key: the principal `local` with the scopes of the mode, not authenticated. */
nn_status nn_auth_check(nn_auth *a, const char *key, size_t n, nn_principal *ret, nn_err *err);

/* ---- scopes ---- */
const char *nn_scope_name(nn_scope one);   /* "" for NN_SCOPE_NONE */
unsigned nn_scope_find(const char *name);  /* 0: no such scope */
unsigned nn_role_scopes(const char *role); /* viewer user admin; 0: no such role */

/* ---- keys in the store: what `neural key` does ---- */
enum { NN_KEY_TEXT = 44 }; /* 32 random bytes in base64url, with its NUL */
typedef struct nn_key_spec {
    const char *name;        /* 1..255 bytes */
    const char *description; /* NULL: none */
    const char *role;        /* NULL: user */
    unsigned extra_scopes;   /* besides those of the role */
    int64_t expires_at;      /* us since 1970; 0: never */
} nn_key_spec;
/* ret_key is shown to the user once; the store keeps its hash. */
nn_status nn_key_create(nn_store *s, const nn_key_spec *spec, char ret_key[NN_KEY_TEXT],
                        char ret_id[37], nn_err *err);
/* An array of K (rest-api.md 12.7), newest first. */
nn_status nn_key_list(nn_store *s, nn_json **ret, nn_err *err);
/* By id, prefix or name; NN_E_NOT_FOUND; NN_E_CONFLICT when several match. */
nn_status nn_key_revoke(nn_store *s, const char *which, char ret_id[37], nn_err *err);
#endif
