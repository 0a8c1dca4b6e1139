/* SPDX-License-Identifier: MIT */
/* tree_print.c - the tree as S-expressions.
 *   (network "N"
 *     (input (tuple 784))
 *     (Dense 10 (= activation relu))
 *     (ResidualConnection
 *       (Dense 3)))
 * Strings are quoted, words are not; numbers as spelled. */
#include "lang/tree.h"

#include <string.h>

static void put_value(const nn_value *v, nn_buf *out);
static void put_item(const nn_item *it, int depth, nn_buf *out);
static void put_items(const nn_item *it, int depth, nn_buf *out);

static void put_string(const char *s, nn_buf *out) {
    nn_buf_putc(out, '"');
    for (; *s; s++) {
        if (*s == '\n')
            nn_buf_puts(out, "\\n");
        else if (*s == '\t')
            nn_buf_puts(out, "\\t");
        else {
            if (*s == '"' || *s == '\\') nn_buf_putc(out, '\\');
            nn_buf_putc(out, *s);
        }
    }
    nn_buf_putc(out, '"');
}

static void new_line(int depth, nn_buf *out) {
    nn_buf_printf(out, "\n%*s", depth * 2, "");
}

/* Each with a blank before it; a named one as (= name value). */
static void put_args(const nn_arg *a, nn_buf *out) {
    for (; a; a = a->next) {
        nn_buf_putc(out, ' ');
        if (a->name) nn_buf_printf(out, "(= %s ", a->name);
        if (a->value)
            put_value(a->value, out);
        else
            nn_buf_puts(out, "required");
        if (a->name) nn_buf_putc(out, ')');
    }
}

static void put_values(const nn_value *v, nn_buf *out) {
    for (; v; v = v->next) {
        nn_buf_putc(out, ' ');
        put_value(v, out);
        if (v->repeat) {
            nn_buf_puts(out, " (* ");
            put_value(v->repeat, out);
            nn_buf_putc(out, ')');
        }
    }
}

static void put_call(const nn_call *c, int depth, nn_buf *out) {
    nn_buf_printf(out, "(%s", c->name);
    put_args(c->args, out);
    if (c->device) {
        nn_buf_puts(out, " (@ ");
        put_value(c->device, out);
        nn_buf_putc(out, ')');
    }
    if (c->has_block) nn_buf_puts(out, " {");
    put_items(c->block, depth + 1, out);
    nn_buf_puts(out, c->has_block ? "})" : ")");
}

static void put_hpo(const nn_hpo *h, nn_buf *out) {
    static const char *const kinds[] = {"choice", "range", "log_range"};
    nn_buf_printf(out, "(%s", kinds[h->kind]);
    put_values(h->values, out);
    const nn_value *bounds[] = {h->low, h->high, h->step};
    for (int i = 0; i < 3; i++)
        if (bounds[i]) {
            nn_buf_putc(out, ' ');
            put_value(bounds[i], out);
        }
    nn_buf_putc(out, ')');
}

static void put_value(const nn_value *v, nn_buf *out) {
    switch (v->kind) {
    case NN_V_INT:
    case NN_V_FLOAT:
        nn_buf_puts(out, v->text);
        break;
    case NN_V_NAME:
        nn_buf_printf(out, "%s%s", v->is_param ? "$" : "", v->text);
        break;
    case NN_V_STRING:
        put_string(v->text, out);
        break;
    case NN_V_BOOL:
        nn_buf_puts(out, v->i ? "true" : "false");
        break;
    case NN_V_NONE:
        nn_buf_puts(out, "none");
        break;
    case NN_V_TUPLE:
    case NN_V_LIST:
        nn_buf_puts(out, v->kind == NN_V_TUPLE ? "(tuple" : "(list");
        put_values(v->items, out);
        nn_buf_putc(out, ')');
        break;
    case NN_V_DICT:
        nn_buf_puts(out, "(dict");
        put_args(v->args, out);
        nn_buf_putc(out, ')');
        break;
    case NN_V_HPO:
        put_hpo(v->hpo, out);
        break;
    case NN_V_CALL:
        put_call(v->call, 2, out);
        break;
    case NN_V_ITEM:
        put_item(v->item, 2, out);
        break;
    case NN_V_ERROR:
        nn_buf_puts(out, "<error>");
        break;
    }
}

static void put_item(const nn_item *it, int depth, nn_buf *out) {
    if (it->repeat) {
        nn_buf_puts(out, "(* ");
        put_value(it->repeat, out);
        nn_buf_putc(out, ' ');
    }
    switch (it->kind) {
    case NN_ITEM_CALL:
        put_call(it->call, depth, out);
        break;
    case NN_ITEM_HPO:
        put_value(it->hpo, out);
        break;
    case NN_ITEM_BRANCH:
    case NN_ITEM_GROUP:
        if (it->kind == NN_ITEM_BRANCH)
            nn_buf_printf(out, "(branch %s", it->name);
        else
            nn_buf_puts(out, "(group");
        put_items(it->items, depth + 1, out);
        nn_buf_putc(out, ')');
        break;
    }
    if (it->repeat) nn_buf_putc(out, ')');
}

static void put_items(const nn_item *it, int depth, nn_buf *out) {
    for (; it; it = it->next) {
        new_line(depth, out);
        put_item(it, depth, out);
    }
}

static void put_params(const nn_arg *params, nn_buf *out) {
    if (!params) return;
    nn_buf_puts(out, " (parameters");
    put_args(params, out);
    nn_buf_putc(out, ')');
}

static void put_defines(const nn_define *d, int depth, nn_buf *out) {
    for (; d; d = d->next) {
        if (out->n) new_line(depth, out);
        nn_buf_printf(out, "(define %s", d->name);
        put_params(d->params, out);
        put_items(d->items, depth + 1, out);
        nn_buf_putc(out, ')');
    }
}

static void put_network(const nn_network *n, nn_buf *out) {
    nn_buf_puts(out, "(network ");
    put_string(n->name, out);
    put_defines(n->defines, 1, out);
    for (const nn_section *s = n->sections; s; s = s->next) {
        new_line(1, out);
        nn_buf_printf(out, "(%s", s->word);
        put_values(s->value, out);
        put_args(s->config, out);
        nn_buf_putc(out, ')');
    }
    put_items(n->items, 1, out);
    nn_buf_putc(out, ')');
}

void nn_tree_print(const nn_program *program, nn_buf *out) {
    put_defines(program->defines, 0, out);
    for (const nn_custom *c = program->customs; c; c = c->next) {
        if (out->n) nn_buf_putc(out, '\n');
        nn_buf_printf(out, "(custom %s", c->name);
        put_params(c->params, out);
        if (c->shape) nn_buf_puts(out, " (-> "), put_value(c->shape, out), nn_buf_putc(out, ')');
        nn_buf_putc(out, ')');
    }
    for (const nn_network *n = program->networks; n; n = n->next) {
        if (out->n) nn_buf_putc(out, '\n');
        put_network(n, out);
    }
    for (const nn_research *r = program->research; r; r = r->next) {
        if (out->n) nn_buf_putc(out, '\n');
        nn_buf_puts(out, "(research ");
        put_string(r->name, out);
        put_args(r->entries, out);
        nn_buf_putc(out, ')');
    }
    if (out->n) nn_buf_putc(out, '\n');
}
