/* SPDX-License-Identifier: MIT */
/* config_print.c - the settings as a person or a program may see them: no secrets, no passwords in
 * URLs. */
#include "base/config_value.h"
#include "base/json.h"

#include <string.h>

#define MASK "********"

/* The value as it may be shown: "" when not set. */
static void put_shown(nn_buf *out, const nn_cfg_row *row, const char *text) {
    const char *scheme = strstr(text, "://"), *user = scheme ? scheme + 3 : NULL;
    const char *at = user ? memchr(user, '@', strcspn(user, "/?#")) : NULL;
    const char *colon = at ? memchr(user, ':', (size_t)(at - user)) : NULL;
    if (row->type == NN_CFG_SECRET) {
        nn_buf_puts(out, *text ? MASK : "");
    } else if (colon) {
        nn_buf_append(out, text, (size_t)(colon - text) + 1);
        nn_buf_printf(out, MASK "%s", at);
    } else {
        nn_buf_puts(out, text);
    }
}

void nn_config_print(const nn_config *c, nn_buf *out) {
    int width = 0;
    for (int i = 0; i < NN_CFG_COUNT; i++) {
        int n = (int)strlen(nn_config_row((nn_cfg)i)->key);
        if (n > width) width = n;
    }
    for (int i = 0; i < NN_CFG_COUNT; i++) {
        NN_BUF shown = {0};
        put_shown(&shown, nn_config_row((nn_cfg)i), c->v[i].text);
        nn_buf_printf(out, "%-*s  %-32s  %s\n", width, nn_config_row((nn_cfg)i)->key,
                      shown.n ? nn_buf_str(&shown) : "-", c->v[i].source);
    }
}

static void json_value(nn_jw *w, const nn_config *c, int id) {
    const nn_cfg_value *v = &c->v[id];
    NN_BUF shown = {0};
    switch (nn_config_row((nn_cfg)id)->type) {
    case NN_CFG_LIST:
        nn_jw_arr(w);
        for (const char **p = v->list; *p; p++) nn_jw_str(w, *p);
        nn_jw_end_arr(w);
        return;
    case NN_CFG_STR:
    case NN_CFG_SECRET:
    case NN_CFG_WORD:
        put_shown(&shown, nn_config_row((nn_cfg)id), v->text);
        nn_jw_str(w, shown.n ? nn_buf_str(&shown) : NULL);
        return;
    case NN_CFG_INT:
    case NN_CFG_SIZE:
        nn_jw_int(w, v->i);
        return;
    case NN_CFG_NUM:
        nn_jw_num(w, v->f);
        return;
    case NN_CFG_BOOL:
        nn_jw_bool(w, v->b);
        return;
    }
}

void nn_config_print_json(const nn_config *c, nn_buf *out) {
    nn_jw w = {.out = out};
    nn_jw_obj(&w);
    for (int i = 0; i < NN_CFG_COUNT; i++) {
        nn_jw_key(&w, nn_config_row((nn_cfg)i)->key);
        nn_jw_obj(&w);
        nn_jw_key(&w, "value");
        json_value(&w, c, i);
        nn_jw_key(&w, "source");
        nn_jw_str(&w, c->v[i].source);
        nn_jw_end_obj(&w);
    }
    nn_jw_end_obj(&w);
}
