/* SPDX-License-Identifier: MIT */
/* keys.c - API keys as rows of the store: created, listed, revoked. The key itself is never kept.
 */
#include "api/auth.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/id.h"

#include <stdio.h>
#include <string.h>

enum { PREFIX = 8 };

typedef struct creation {
    const nn_key_spec *spec;
    const char *id, *prefix, *sha256;
} creation;

static nn_json *extra_scopes(unsigned set) {
    nn_json *list = nn_json_new_array();
    for (unsigned bit = 1; bit <= NN_SCOPE_ADMIN; bit <<= 1)
        if (set & bit) nn_json_push(list, nn_json_new_str(nn_scope_name((nn_scope)bit)));
    return list;
}

static nn_status insert(nn_txn *t, void *ctx, nn_err *err) {
    const creation *c = ctx;
    const nn_key_spec *s = c->spec;
    NN_JSON *scopes = extra_scopes(s->extra_scopes);
    const nn_field f[] = {
        NN_FIELD_TEXT("id", c->id),
        NN_FIELD_TEXT("name", s->name),
        NN_FIELD_TEXT("description", s->description),
        NN_FIELD_TEXT("prefix", c->prefix),
        NN_FIELD_TEXT("sha256", c->sha256),
        NN_FIELD_TEXT("username", s->name),
        NN_FIELD_TEXT("role", s->role ? s->role : "user"),
        NN_FIELD_JSON("scopes", scopes),
        NN_FIELD_INT("is_active", 1),
        NN_FIELD_INT("created_at", nn_clock_wall()),
        s->expires_at ? NN_FIELD_INT("expires_at", s->expires_at) : NN_FIELD_NULL("expires_at"),
    };
    return nn_txn_insert(t, NN_TABLE_API_KEYS, f, NN_COUNT_OF(f), NULL, err);
}

nn_status nn_key_create(nn_store *s, const nn_key_spec *spec, char ret_key[NN_KEY_TEXT],
                        char ret_id[37], nn_err *err) {
    uint8_t random[32];
    char text[NN_KEY_TEXT], id[NN_ID_TEXT], prefix[PREFIX + 1], sha256[NN_SHA256_HEX];
    size_t n = spec->name ? strlen(spec->name) : 0;
    if (n == 0 || n > 63 || spec->name[strspn(spec->name, " \t")] == 0)
        return nn_fail(err, NN_E_VALIDATION_ERROR, "a key needs a name of 1 to 63 bytes");
    if (spec->role && !nn_role_scopes(spec->role))
        return nn_fail(err, NN_E_VALIDATION_ERROR,
                       "the role \"%s\" is not one of viewer, user, admin", spec->role);
    nn_random(random, sizeof random);
    nn_base64url(random, sizeof random, text);
    nn_id_new(id);
    snprintf(prefix, sizeof prefix, "%.*s", PREFIX, text);
    nn_sha256_hex(text, strlen(text), sha256);
    nn_status status = nn_store_write(s, insert, &(creation){spec, id, prefix, sha256}, err);
    if (status != NN_OK) return status;
    memcpy(ret_key, text, sizeof text);
    memcpy(ret_id, id, sizeof id);
    return NN_OK;
}

static void set_time(nn_json *o, const char *name, nn_row r) {
    char text[NN_TIME_TEXT];
    int64_t us = nn_row_int(r, name, 0);
    nn_json_set(o, name, us ? nn_json_new_str(nn_time_print(us, text)) : nn_json_new_null());
}

static nn_json *key_json(nn_row r) {
    static const char *const texts[] = {"id", "name", "description", "prefix", "username", "role"};
    nn_json *o = nn_json_new_object();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        nn_json_set(o, texts[i], nn_json_new_str(nn_row_text(r, texts[i])));
    const char *role = nn_row_text(r, "role");
    NN_JSON *extra = nn_row_json(r, "scopes");
    unsigned set = role ? nn_role_scopes(role) : 0;
    for (size_t i = 0; i < nn_json_size(extra); i++)
        set |= nn_scope_find(nn_json_str(nn_json_at(extra, i), ""));
    nn_json_set(o, "scopes", extra_scopes(set));
    nn_json_set(o, "is_active", nn_json_new_bool(nn_row_int(r, "is_active", 0) != 0));
    set_time(o, "created_at", r);
    set_time(o, "last_used_at", r);
    set_time(o, "expires_at", r);
    return o;
}

nn_status nn_key_list(nn_store *s, nn_json **ret, nn_err *err) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "keys", 0);
    const nn_sort sort[] = {
        {"created_at", true},
        {"id",         true}
    };
    nn_query q = {.table = NN_TABLE_API_KEYS, .sort = sort, .n_sort = 2, .limit = 100000};
    nn_rows rows;
    nn_status status = nn_store_select(s, &q, arena, &rows, err);
    if (status != NN_OK) return status;
    *ret = nn_json_new_array();
    for (int64_t i = 0; i < rows.n; i++) nn_json_push(*ret, key_json(nn_rows_at(&rows, i)));
    return NN_OK;
}

typedef struct revocation {
    const char *which;
    char id[37];
} revocation;

/* The active key that `which` names in that column; NN_E_NOT_FOUND, NN_E_CONFLICT. */
static nn_status find_by(nn_txn *t, const char *column, revocation *r, nn_err *err) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "keys", 0);
    const nn_where where[] = {NN_WHERE_TEXT(column, NN_CMP_EQ, r->which),
                              NN_WHERE_INT("is_active", NN_CMP_EQ, 1)};
    nn_query q = {.table = NN_TABLE_API_KEYS, .where = where, .n_where = 2, .limit = 2};
    nn_rows rows;
    nn_status s = nn_txn_select(t, &q, arena, &rows, err);
    if (s != NN_OK) return s;
    if (rows.n == 0)
        return nn_fail(err, NN_E_NOT_FOUND, "no active key has the id, prefix or name \"%s\"",
                       r->which);
    if (rows.n > 1) {
        s = nn_fail(err, NN_E_CONFLICT, "several keys have the %s \"%s\"", column, r->which);
        return nn_err_hint(err, s, "use the id that `neural key list` shows");
    }
    snprintf(r->id, sizeof r->id, "%s", nn_row_text(nn_rows_at(&rows, 0), "id"));
    return NN_OK;
}

static nn_status deactivate(nn_txn *t, void *ctx, nn_err *err) {
    static const char *const columns[] = {"id", "prefix", "name"};
    revocation *r = ctx;
    nn_status s = NN_E_NOT_FOUND;
    for (int i = 0; i < 3 && s == NN_E_NOT_FOUND; i++) s = find_by(t, columns[i], r, err);
    if (s != NN_OK) return s;
    const nn_field set = NN_FIELD_INT("is_active", 0);
    const nn_where where = NN_WHERE_TEXT("id", NN_CMP_EQ, r->id);
    return nn_txn_update(t, NN_TABLE_API_KEYS, &set, 1, &where, 1, NULL, err);
}

nn_status nn_key_revoke(nn_store *s, const char *which, char ret_id[37], nn_err *err) {
    revocation r = {.which = which};
    nn_status status = nn_store_write(s, deactivate, &r, err);
    if (status == NN_OK) memcpy(ret_id, r.id, sizeof r.id);
    return status;
}
