/* SPDX-License-Identifier: MIT */
/* auth.c - see auth.h. The table is an immutable snapshot under a read lock; requests without
 * credentials touch neither. */
#include "api/auth.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/id.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS_MAX = 100000, STALE_NS = 1000000000, LOOKS = 20 };

static const char DEMO_KEY[] = "demo_api_key_12345";

typedef struct key {
    uint8_t sha256[NN_SHA256];
    char id[40], user[64];
    unsigned scopes;
    int64_t expires_at;
} key;

struct nn_auth {
    nn_auth_options o;
    key fixed[2]; /* bootstrap, demo */
    int n_fixed;
    pthread_rwlock_t lock; /* keys, n */
    key *keys;             /* by hash */
    size_t n;
    atomic_int_fast64_t read_at; /* monotonic ns */
    pthread_mutex_t reading;     /* look_began, looks, and the reading itself */
    int64_t look_began;
    int looks;
};

/* ---- scopes ---- */

static const struct {
    nn_scope scope;
    const char *name;
} scopes[] = {
    {NN_SCOPE_READ,    "read"   },
    {NN_SCOPE_COMPILE, "compile"},
    {NN_SCOPE_RUN,     "run"    },
    {NN_SCOPE_TRAIN,   "train"  },
    {NN_SCOPE_DEPLOY,  "deploy" },
    {NN_SCOPE_INFER,   "infer"  },
    {NN_SCOPE_TRACK,   "track"  },
    {NN_SCOPE_DATA,    "data"   },
    {NN_SCOPE_CONNECT, "connect"},
    {NN_SCOPE_CODE,    "code"   },
    {NN_SCOPE_ADMIN,   "admin"  },
};
enum { SCOPES = sizeof scopes / sizeof *scopes };

const char *nn_scope_name(nn_scope one) {
    for (int i = 0; i < SCOPES; i++)
        if (scopes[i].scope == one) return scopes[i].name;
    return "";
}

unsigned nn_scope_find(const char *name) {
    for (int i = 0; i < SCOPES; i++)
        if (strcmp(scopes[i].name, name) == 0) return scopes[i].scope;
    return 0;
}

unsigned nn_role_scopes(const char *role) {
    unsigned user = NN_SCOPE_READ | NN_SCOPE_COMPILE | NN_SCOPE_RUN | NN_SCOPE_TRAIN |
                    NN_SCOPE_DEPLOY | NN_SCOPE_INFER | NN_SCOPE_TRACK | NN_SCOPE_DATA |
                    NN_SCOPE_CONNECT;
    if (strcmp(role, "viewer") == 0) return NN_SCOPE_READ;
    if (strcmp(role, "user") == 0) return user;
    if (strcmp(role, "admin") == 0) return user | NN_SCOPE_ADMIN;
    return 0;
}

static unsigned local_scopes(nn_auth_mode mode) {
    if (mode == NN_AUTH_OPEN) return nn_role_scopes("user");
    if (mode == NN_AUTH_MIXED)
        return NN_SCOPE_READ | NN_SCOPE_COMPILE | NN_SCOPE_RUN | NN_SCOPE_TRAIN | NN_SCOPE_INFER |
               NN_SCOPE_TRACK;
    return 0;
}

/* ---- the table ---- */

static unsigned row_scopes(nn_row r) {
    NN_JSON *list = nn_row_json(r, "scopes");
    const char *role = nn_row_text(r, "role");
    unsigned all = role ? nn_role_scopes(role) : 0;
    for (size_t i = 0; i < nn_json_size(list); i++)
        all |= nn_scope_find(nn_json_str(nn_json_at(list, i), ""));
    return all;
}

static bool read_row(nn_row r, key *ret) {
    const char *sha = nn_row_text(r, "sha256"), *id = nn_row_text(r, "id"),
               *user = nn_row_text(r, "username");
    if (!sha || strlen(sha) != 2 * NN_SHA256 || !nn_unhex(sha, 2 * NN_SHA256, ret->sha256))
        return false;
    snprintf(ret->id, sizeof ret->id, "%s", id ? id : "");
    snprintf(ret->user, sizeof ret->user, "%s", user ? user : "key");
    ret->scopes = row_scopes(r);
    ret->expires_at = nn_row_int(r, "expires_at", 0);
    return true;
}

static int by_hash(const void *a, const void *b) {
    return memcmp(((const key *)a)->sha256, ((const key *)b)->sha256, NN_SHA256);
}

static nn_status load(nn_auth *a, key **ret, size_t *ret_n, nn_err *err) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "keys", 0);
    nn_rows rows;
    nn_where active = NN_WHERE_INT("is_active", NN_CMP_EQ, 1);
    nn_query q = {.table = NN_TABLE_API_KEYS, .where = &active, .n_where = 1, .limit = KEYS_MAX};
    nn_status s = nn_store_select(a->o.store, &q, arena, &rows, err);
    if (s != NN_OK) return s;
    key *keys = calloc((size_t)rows.n + 1, sizeof *keys);
    if (!keys) abort();
    size_t n = 0;
    for (int64_t i = 0; i < rows.n; i++)
        if (read_row(nn_rows_at(&rows, i), &keys[n])) n++;
    qsort(keys, n, sizeof *keys, by_hash);
    *ret = keys;
    *ret_n = n;
    return NN_OK;
}

static int64_t now_ns(const nn_auth *a) {
    return a->o.now ? a->o.now() : nn_clock_mono();
}

/* Reads the table again; the caller holds `reading`. */
static nn_status reload(nn_auth *a, nn_err *err) {
    key *keys = NULL;
    size_t n = 0;
    atomic_store(&a->read_at, now_ns(a));
    nn_status s = load(a, &keys, &n, err);
    if (s != NN_OK) return s;
    pthread_rwlock_wrlock(&a->lock);
    key *old = a->keys;
    a->keys = keys;
    a->n = n;
    pthread_rwlock_unlock(&a->lock);
    free(old);
    return NN_OK;
}

/* Keeps the table fresh. One thread reads; the others go on with what there is. Without the store,
 * what was read last holds. */
static void refresh(nn_auth *a) {
    nn_err ignored;
    if (now_ns(a) - atomic_load(&a->read_at) < STALE_NS || pthread_mutex_trylock(&a->reading) != 0)
        return;
    if (now_ns(a) - atomic_load(&a->read_at) >= STALE_NS) reload(a, &ignored);
    pthread_mutex_unlock(&a->reading);
}

/* For a key that nobody knows: it may be new. Who tries many keys makes us look LOOKS times a
 * second, not more. */
static void look(nn_auth *a) {
    nn_err ignored;
    pthread_mutex_lock(&a->reading);
    int64_t now = now_ns(a);
    if (now - a->look_began >= STALE_NS) {
        a->look_began = now;
        a->looks = 0;
    }
    if (a->looks < LOOKS) {
        a->looks++;
        reload(a, &ignored);
    }
    pthread_mutex_unlock(&a->reading);
}

static bool take(const key *k, nn_principal *ret) {
    if (k->expires_at && k->expires_at <= nn_clock_wall()) return false;
    *ret = (nn_principal){.scopes = k->scopes, .authenticated = true};
    memcpy(ret->name, k->user, sizeof ret->name);
    memcpy(ret->key_id, k->id, sizeof ret->key_id);
    return true;
}

/* The search compares hashes of unguessable keys: its time tells nothing that helps to find one. */
static bool find(nn_auth *a, const key *want, nn_principal *ret) {
    for (int i = 0; i < a->n_fixed; i++)
        if (nn_secret_equal(want->sha256, NN_SHA256, a->fixed[i].sha256, NN_SHA256))
            return take(&a->fixed[i], ret);
    pthread_rwlock_rdlock(&a->lock);
    const key *k = a->n ? bsearch(want, a->keys, a->n, sizeof *k, by_hash) : NULL;
    bool found =
        k && nn_secret_equal(k->sha256, NN_SHA256, want->sha256, NN_SHA256) && take(k, ret);
    pthread_rwlock_unlock(&a->lock);
    return found;
}

nn_status nn_auth_check(nn_auth *a, const char *text, size_t n, nn_principal *ret, nn_err *err) {
    if (n == 0) {
        *ret = (nn_principal){.name = "local", .scopes = local_scopes(a->o.mode)};
        return NN_OK;
    }
    key want;
    nn_sha256(text, n, want.sha256);
    refresh(a);
    if (find(a, &want, ret)) return NN_OK;
    look(a);
    if (find(a, &want, ret)) return NN_OK;
    nn_status s = nn_fail(err, NN_E_UNAUTHORIZED, "Invalid API key");
    return nn_err_hint(err, s, "make a key with: neural key create NAME");
}

static void add_fixed(nn_auth *a, const char *text, const char *user, const char *id,
                      unsigned may) {
    key *k = &a->fixed[a->n_fixed++];
    nn_sha256(text, strlen(text), k->sha256);
    snprintf(k->user, sizeof k->user, "%s", user);
    snprintf(k->id, sizeof k->id, "%s", id);
    k->scopes = may;
}

nn_status nn_auth_new(const nn_auth_options *o, nn_auth **ret, nn_err *err) {
    nn_auth *a = calloc(1, sizeof *a);
    if (!a) abort();
    a->o = *o;
    pthread_rwlock_init(&a->lock, NULL);
    pthread_mutex_init(&a->reading, NULL);
    if (*o->bootstrap_key)
        add_fixed(a, o->bootstrap_key, "admin", "bootstrap", nn_role_scopes("admin"));
    if (o->demo) add_fixed(a, DEMO_KEY, "demo_user", "demo", nn_role_scopes("user"));
    a->o.bootstrap_key = "";
    nn_status s = reload(a, err);
    if (s != NN_OK) {
        nn_auth_free(a);
        return s;
    }
    *ret = a;
    return NN_OK;
}

void nn_auth_free(nn_auth *a) {
    if (!a) return;
    pthread_rwlock_destroy(&a->lock);
    pthread_mutex_destroy(&a->reading);
    free(a->keys);
    free(a);
}

nn_auth_mode nn_auth_mode_of(const nn_auth *a) {
    return a->o.mode;
}

bool nn_auth_has_keys(nn_auth *a) {
    pthread_rwlock_rdlock(&a->lock);
    bool any = a->n_fixed > 0 || a->n > 0;
    pthread_rwlock_unlock(&a->lock);
    return any;
}

nn_status nn_auth_choose_mode(const nn_config *c, bool loopback, nn_auth_mode *ret, nn_err *err) {
    const char *word = nn_config_str(c, NN_CFG_AUTH_MODE);
    bool bootstrap = *nn_config_str(c, NN_CFG_AUTH_BOOTSTRAP_KEY) != 0;
    nn_auth_mode mode = loopback ? NN_AUTH_MIXED : NN_AUTH_REQUIRED;
    if (strcmp(word, "mixed") == 0) mode = NN_AUTH_MIXED;
    if (strcmp(word, "open") == 0) mode = NN_AUTH_OPEN;
    if (strcmp(word, "required") == 0 || bootstrap) mode = NN_AUTH_REQUIRED;
    nn_status s = NN_OK;
    if (!loopback && mode != NN_AUTH_REQUIRED)
        s = nn_fail(err, NN_E_CONFIG_ERROR, "auth.mode %s is allowed on loopback addresses only",
                    word);
    else if (!loopback && nn_config_bool(c, NN_CFG_AUTH_DEMO))
        s = nn_fail(err, NN_E_CONFIG_ERROR,
                    "the demonstration key (--demo) is allowed on loopback addresses only");
    if (s != NN_OK)
        return nn_err_hint(
            err, s,
            "listen on 127.0.0.1, or use --auth required and make a key with: neural key create NAME");
    *ret = mode;
    return NN_OK;
}
