/* SPDX-License-Identifier: MIT */
/* svg.c - Graphviz writes one element a line; that is what this relies on. */
#include "draw/svg.h"

#include "draw/text.h"

#include <stdlib.h>
#include <string.h>

static void plain(nn_buf *out, const char *s) {
    nn_draw_escape(out, s, strlen(s), 0);
}

void nn_svg_describe(const nn_plan *p, int row, nn_buf *out) {
    const nn_unit_layer *l = &p->unit->layers[row];
    char count[32];
    plain(out, l->name);
    nn_buf_puts(out, ": ");
    plain(out, l->type);
    nn_buf_puts(out, "(");
    plain(out, p->rows[row].text);
    nn_buf_puts(out, "), ");
    if (l->n_inputs) {
        nn_draw_shape(out, &l->in, l->known || l->in.rank > 0);
        nn_buf_puts(out, " to ");
    }
    nn_draw_shape(out, &l->out, l->known);
    nn_buf_printf(out, ", %s parameters", nn_draw_count(l->params, count));
    if (p->rows[row].copies > 1) nn_buf_printf(out, ", %d times", p->rows[row].copies);
    nn_buf_printf(out, ", line %d", l->span.line);
}

/* The name of the whole for those who cannot see it. */
static void root(const nn_plan *p, const char *line, size_t n, bool alone, nn_buf *out) {
    const char *name = p->unit->graph && p->unit->graph->name[0] ? p->unit->graph->name : "network";
    nn_buf_printf(out, "<svg role=\"%s\" aria-label=\"Architecture of ", alone ? "img" : "group");
    plain(out, name);
    nn_buf_puts(out, "\"");
    nn_buf_append(out, line + strlen("<svg"), n - strlen("<svg"));
}

static bool starts(const char *line, size_t n, const char *with) {
    return n >= strlen(with) && memcmp(line, with, strlen(with)) == 0;
}

/* `<title>n12</title>`: of a box, what it is; of others, nothing. */
static void title(const nn_plan *p, const char *line, nn_buf *out) {
    const char *name = line + strlen("<title>");
    int row = -1;
    if (*name == 'n' && name[1] >= '0' && name[1] <= '9') {
        const nn_plan_node *v = &p->nodes[(int)strtol(name + 1, NULL, 10)];
        if (v->part == NN_PART_BOX) row = v->row;
    } else if (strncmp(name, "cluster_f", 9) == 0) {
        row = (int)strtol(name + 9, NULL, 10);
    }
    if (row < 0) return;
    nn_buf_puts(out, "<title>");
    nn_svg_describe(p, row, out);
    nn_buf_puts(out, "</title>\n");
}

void nn_svg_clean(const nn_plan *p, const char *svg, size_t n, bool titles, nn_buf *out) {
    const char *end = svg + n;
    bool in_head = true, comment = false;
    if (titles) nn_buf_puts(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    for (const char *line = svg; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        size_t len = (size_t)((stop ? stop + 1 : end) - line);
        if (in_head && starts(line, len, "<svg")) {
            in_head = false;
            root(p, line, len, titles, out);
        } else if (!in_head && (comment || starts(line, len, "<!--"))) {
            comment = !memmem(line, len, "-->", 3);
        } else if (!in_head && starts(line, len, "<title>")) {
            if (titles) title(p, line, out);
        } else if (!in_head) {
            nn_buf_append(out, line, len);
        }
        line += len;
    }
}
