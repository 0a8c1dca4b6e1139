/* SPDX-License-Identifier: MIT */
/* Statements from fields, conditions and queries. Only names from tables.def and "?" ever enter the
 * text, so that nothing a caller or a client says can become SQL. */
#include "store/store_impl.h"

#include <string.h>

static const char *column(nn_sql *q, const char *name) {
    int i = nn_column_find(q->table, name), n;
    if (i < 0) {
        q->unknown = name;
        return "";
    }
    return nn_table_columns(q->table, &n)[i].name;
}

static void param(nn_sql *q, nn_cell v) {
    if (q->n == NN_SQL_MAX_PARAMS) {
        q->too_many = true;
        return;
    }
    q->params[q->n++] = v;
    nn_buf_putc(&q->text, '?');
}

static void begin(nn_sql *q, nn_table t, const char *verb) {
    q->table = t;
    nn_buf_printf(&q->text, "%s %s", verb, nn_table_name(t));
}

static void condition(nn_sql *q, const nn_where *w, const char *member_test) {
    static const char *const op[] = {[NN_CMP_EQ] = "=",  [NN_CMP_NE] = "<>", [NN_CMP_LT] = "<",
                                     [NN_CMP_LE] = "<=", [NN_CMP_GT] = ">",  [NN_CMP_GE] = ">="};
    const char *c = column(q, w->column);
    switch (w->cmp) {
    case NN_CMP_NULL:
        nn_buf_printf(&q->text, "%s IS NULL", c);
        return;
    case NN_CMP_SET:
        nn_buf_printf(&q->text, "%s IS NOT NULL", c);
        return;
    case NN_CMP_IN:
        nn_buf_printf(&q->text, w->n_list ? "%s IN (" : "%s IS NULL AND (1=0", c);
        for (int i = 0; i < w->n_list; i++) {
            if (i) nn_buf_putc(&q->text, ',');
            param(q, w->list[i]);
        }
        nn_buf_putc(&q->text, ')');
        return;
    case NN_CMP_CONTAINS:
        nn_buf_printf(&q->text, "instr(lower(%s),lower(", c);
        param(q, w->value);
        nn_buf_puts(&q->text, "))>0");
        return;
    case NN_CMP_MEMBER:
        for (const char *p = member_test; *p; p++) {
            if (p[0] == '%' && p[1] == 's') {
                nn_buf_puts(&q->text, c);
                p++;
            } else if (p[0] == '?' && p[1] == '1') {
                param(q, nn_cell_text(w->member));
                p++;
            } else if (p[0] == '?' && p[1] == '2') {
                param(q, w->value);
                p++;
            } else
                nn_buf_putc(&q->text, *p);
        }
        return;
    default:
        nn_buf_printf(&q->text, "%s%s", c, op[w->cmp]);
        param(q, w->value);
    }
}

static void conditions(nn_sql *q, const nn_where *w, int n, const char *member_test) {
    for (int i = 0; i < n; i++) {
        nn_buf_puts(&q->text, i ? " AND " : " WHERE ");
        condition(q, &w[i], member_test);
    }
}

void nn_sql_insert(nn_sql *q, nn_table t, const nn_field *f, int n) {
    begin(q, t, "INSERT INTO");
    for (int i = 0; i < n; i++)
        nn_buf_printf(&q->text, "%s%s", i ? "," : " (", column(q, f[i].column));
    for (int i = 0; i < n; i++) {
        nn_buf_puts(&q->text, i ? "," : ") VALUES (");
        param(q, f[i].value);
    }
    nn_buf_putc(&q->text, ')');
}

void nn_sql_update(nn_sql *q, nn_table t, const nn_field *f, int n, const nn_where *w, int n_w,
                   const char *member_test) {
    begin(q, t, "UPDATE");
    for (int i = 0; i < n; i++) {
        nn_buf_printf(&q->text, "%s%s=", i ? "," : " SET ", column(q, f[i].column));
        param(q, f[i].value);
    }
    conditions(q, w, n_w, member_test);
}

void nn_sql_delete(nn_sql *q, nn_table t, const nn_where *w, int n_w, const char *member_test) {
    begin(q, t, "DELETE FROM");
    conditions(q, w, n_w, member_test);
}

void nn_sql_count(nn_sql *q, nn_table t, const nn_where *w, int n_w, const char *member_test) {
    begin(q, t, "SELECT count(*) FROM");
    conditions(q, w, n_w, member_test);
}

/* Rows behind `after` in a mixed order: (a > x) OR (a = x AND b > y) OR … */
static void behind(nn_sql *q, const nn_query *s, const nn_cell *after) {
    nn_buf_puts(&q->text, s->n_where ? " AND (" : " WHERE (");
    for (int i = 0; i < s->n_sort; i++) {
        nn_buf_puts(&q->text, i ? " OR (" : "(");
        for (int k = 0; k <= i; k++) {
            const char *op = k < i ? "=" : s->sort[k].descending ? "<" : ">";
            nn_buf_printf(&q->text, "%s%s%s", k ? " AND " : "", column(q, s->sort[k].column), op);
            param(q, after[k]);
        }
        nn_buf_putc(&q->text, ')');
    }
    nn_buf_putc(&q->text, ')');
}

void nn_sql_select(nn_sql *q, const nn_query *s, const nn_cell *after, int64_t limit,
                   const char *member_test) {
    int n;
    q->table = s->table;
    const nn_column *all = nn_table_columns(s->table, &n);
    nn_buf_puts(&q->text, "SELECT ");
    for (int i = 0; i < (s->columns ? s->n_columns : n); i++)
        nn_buf_printf(&q->text, "%s%s", i ? "," : "",
                      s->columns ? column(q, s->columns[i]) : all[i].name);
    nn_buf_printf(&q->text, " FROM %s", nn_table_name(s->table));
    conditions(q, s->where, s->n_where, member_test);
    if (after) behind(q, s, after);
    for (int i = 0; i < s->n_sort; i++)
        nn_buf_printf(&q->text, "%s%s%s", i ? "," : " ORDER BY ", column(q, s->sort[i].column),
                      s->sort[i].descending ? " DESC" : "");
    nn_buf_puts(&q->text, " LIMIT ");
    param(q, nn_cell_int(limit + 1));
    if (s->offset > 0) {
        nn_buf_puts(&q->text, " OFFSET ");
        param(q, nn_cell_int(s->offset));
    }
}

nn_status nn_sql_check(const nn_sql *q, nn_err *err) {
    if (q->unknown)
        return nn_fail(err, NN_E_INTERNAL, "table %s has no column '%s'", nn_table_name(q->table),
                       q->unknown);
    if (q->too_many || nn_buf_failed(&q->text))
        return nn_fail(err, NN_E_LIMIT, "a query of %s has more than %d values",
                       nn_table_name(q->table), NN_SQL_MAX_PARAMS);
    return NN_OK;
}
