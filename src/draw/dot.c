/* SPDX-License-Identifier: MIT */
/* dot.c - the plan in Graphviz's language. Labels are HTML-like; all user text goes through
 * nn_draw_escape, so that it can be neither markup nor Graphviz's own escapes. */
#include "draw/dot.h"

#include "draw/family.h"
#include "draw/text.h"

#include <string.h>

#define INK   "#1c232d"
#define MUTED "#4b5563"
#define WIRE  "#5b6675"

enum {
    TYPE_CHARS = 26,
    TEXT_CHARS = 36,
    NAME_CHARS = 24,
    WIDE_CHARS = 40,
    FRAME_CHARS = 18,
    TITLE_CHARS = 60,
    LEGEND_COLUMNS = 4
};

typedef struct writer {
    const nn_dot *d;
    const nn_plan *p;
    nn_buf *out;
    int depth;
} writer;

static void escaped(nn_buf *out, const char *s, int chars) {
    nn_draw_escape(out, s, strlen(s), chars);
}

static void indent(writer *w) {
    nn_buf_printf(w->out, "%*s", 2 * w->depth, "");
}

static bool here(const writer *w, int node) {
    return node >= 0 && (w->d->column < 0 || w->p->nodes[node].column == w->d->column);
}

/* ` key="value"`, if there is one. */
static void place(writer *w, const char *key, const char *const *values, int i) {
    if (values && values[i]) nn_buf_printf(w->out, " %s=\"%s\"", key, values[i]);
}

/* ---- a box ---- */

static void box_params(const nn_plan *p, int row, nn_buf *out) {
    char count[32];
    int64_t n =
        p->rows[row].form == NN_FORM_BOX ? p->unit->layers[row].params : nn_plan_own_params(p, row);
    if (n <= 0) return;
    nn_buf_printf(out, "%s %s", nn_draw_count(n, count),
                  p->rows[row].copies > 1 ? "params each"
                  : n == 1                ? "param"
                                          : "params");
}

/* "dense_2", and of a run "dense_2 … 20". */
static void box_name(const nn_plan *p, int row, nn_buf *out) {
    const nn_plan_row *r = &p->rows[row];
    const nn_unit_layer *l = &p->unit->layers[row];
    NN_BUF params = {0};
    if (r->period != 1) box_params(p, row, &params);
    escaped(out, l->name, params.n || r->period == 1 ? NAME_CHARS : WIDE_CHARS);
    if (r->period != 1) return;
    const char *last = l[(r->count - 1) * (r->end - row)].name, *number = strrchr(last, '_');
    size_t stem = number ? (size_t)(number - last) : 0;
    bool same = number && strncmp(last, l->name, stem + 1) == 0;
    nn_buf_puts(out, " … ");
    escaped(out, same ? number + 1 : last, NAME_CHARS);
}

static void box_badge(const nn_plan *p, int row, nn_buf *out) {
    if (p->rows[row].period == 1) nn_buf_printf(out, "<b>× %d</b>", p->rows[row].count);
}

static void box_type(const nn_plan *p, int row, nn_buf *out) {
    nn_buf_puts(out, "<b>");
    escaped(out, p->unit->layers[row].type, TYPE_CHARS);
    nn_buf_puts(out, "</b>");
}

static void box_text(const nn_plan *p, int row, nn_buf *out) {
    escaped(out, p->rows[row].text, TEXT_CHARS);
}

/* What it gives out, where edges are too many to bear it. */
static void box_shape(const nn_plan *p, int row, nn_buf *out) {
    nn_buf_puts(out, "→ ");
    nn_draw_shape(out, &p->unit->layers[row].out, p->unit->layers[row].known);
}

/* A cell with what `put` writes; Graphviz takes no element without text. */
static void cell(writer *w, int row, void (*put)(const nn_plan *, int, nn_buf *), const char *td,
                 const char *size, const char *colour) {
    NN_BUF text = {0};
    put(w->p, row, &text);
    nn_buf_printf(w->out, "<td %s>", td);
    if (text.n)
        nn_buf_printf(w->out, "<font point-size=\"%s\" color=\"%s\">%s</font>", size, colour,
                      nn_buf_str(&text));
    nn_buf_puts(w->out, "</td>");
}

static void box_label(writer *w, int row, const nn_family *f) {
    nn_buf *out = w->out;
    bool copies = w->p->rows[row].period == 1 && w->p->rows[row].form == NN_FORM_BOX;
    nn_buf_puts(out,
                "<<table border=\"0\" cellborder=\"0\" cellspacing=\"0\" cellpadding=\"1\"><tr>");
    cell(w, row, box_type,
         copies ? "align=\"left\" valign=\"bottom\" width=\"112\" height=\"19\""
                : "align=\"left\" valign=\"bottom\" width=\"186\" height=\"19\" colspan=\"2\"",
         "12", f->ink);
    if (copies)
        cell(w, row, box_badge, "align=\"right\" valign=\"bottom\" width=\"74\"", "12", f->ink);
    nn_buf_puts(out, "</tr>");
    if (w->p->rows[row].text[0]) {
        nn_buf_puts(out, "<tr>");
        cell(w, row, box_text, "align=\"left\" colspan=\"2\"", "10", INK);
        nn_buf_puts(out, "</tr>");
    }
    if (w->p->tangled) {
        nn_buf_puts(out, "<tr>");
        cell(w, row, box_shape, "align=\"left\" colspan=\"2\"", "9", MUTED);
        nn_buf_puts(out, "</tr>");
    }
    nn_buf_puts(out, "<tr>");
    NN_BUF params = {0};
    box_params(w->p, row, &params);
    cell(w, row, box_name,
         params.n ? "align=\"left\" height=\"14\"" : "align=\"left\" height=\"14\" colspan=\"2\"",
         "8.5", MUTED);
    if (params.n) cell(w, row, box_params, "align=\"right\"", "8.5", MUTED);
    nn_buf_puts(out, "</tr></table>>");
}

static void write_box(writer *w, int row) {
    const nn_family *f = nn_family_of(&w->p->unit->layers[row], NULL);
    nn_buf_puts(w->out, "label=");
    box_label(w, row, f);
    nn_buf_printf(w->out, " class=\"box f-%s\" fillcolor=\"%s\" color=\"%s\"", f->name, f->fill,
                  f->ink);
    if (strcmp(f->name, "custom") == 0) nn_buf_puts(w->out, " style=\"rounded,filled,dashed\"");
}

static void write_end(writer *w, int row) {
    bool sum = w->p->rows[row].form == NN_FORM_RESIDUAL;
    nn_buf_printf(
        w->out,
        "label=\"%s\" class=\"end\" shape=%s fontsize=%s margin=\"%s\" width=%s height=0.24 "
        "%sfillcolor=\"#ffffff\" color=\"" WIRE "\"",
        sum ? "+" : "concat", sum ? "circle" : "box", sum ? "14" : "9", sum ? "0" : "0.08,0.02",
        sum ? "0.24" : "0.4", sum ? "fixedsize=true " : "");
}

static void write_node(writer *w, int node) {
    const nn_plan_node *n = &w->p->nodes[node];
    if (!here(w, node)) return;
    indent(w);
    nn_buf_printf(w->out, "n%d [id=\"n%d\" ", node, node);
    if (n->part == NN_PART_BOX)
        write_box(w, n->row);
    else if (n->part == NN_PART_END)
        write_end(w, n->row);
    else
        nn_buf_puts(w->out,
                    "class=\"fork\" label=\"\" shape=point width=0.07 height=0.07 color=\"" WIRE
                    "\" fillcolor=\"" WIRE "\"");
    if (w->d->places) place(w, "pos", w->d->places->node, node);
    nn_buf_puts(w->out, "];\n");
}

/* ---- frames ---- */

static void open_frame(writer *w, char kind, int row) {
    indent(w);
    nn_buf_printf(w->out, "subgraph cluster_%c%d {\n", kind, row);
    w->depth++;
    indent(w);
    nn_buf_printf(w->out, "graph [id=\"%c%d\" fontsize=9 margin=10 labeljust=%s labelloc=t ", kind,
                  row, kind == 'f' ? "r" : "l");
}

static void close_frame(writer *w) {
    w->depth--;
    indent(w);
    nn_buf_puts(w->out, "}\n");
}

/* What a block is and, below, its name and arguments, of which a head says them itself. */
static void frame_title(writer *w, int row, nn_buf *out) {
    const nn_plan_row *r = &w->p->rows[row];
    escaped(out, r->form == NN_FORM_HEAD ? "block" : w->p->unit->layers[row].type, TYPE_CHARS);
    if (r->period == 1) nn_buf_printf(out, " × %d", r->count);
}

static void frame_text(writer *w, int row, nn_buf *out) {
    const nn_plan_row *r = &w->p->rows[row];
    if (r->form == NN_FORM_HEAD) return;
    box_name(w->p, row, out);
    if (!r->text[0]) return;
    nn_buf_puts(out, ", ");
    escaped(out, r->text, FRAME_CHARS);
}

static void frame_label(writer *w, int row, const nn_family *f) {
    NN_BUF first = {0}, second = {0};
    frame_title(w, row, &first);
    frame_text(w, row, &second);
    nn_buf_printf(
        w->out,
        "label=<<table border=\"0\" cellborder=\"0\" cellspacing=\"0\" cellpadding=\"1\"><tr>"
        "<td align=\"right\" valign=\"bottom\" height=\"18\"><font color=\"%s\"><b>%s</b></font>"
        "</td></tr>",
        f->ink, nn_buf_str(&first));
    if (second.n)
        nn_buf_printf(w->out,
                      "<tr><td align=\"right\"><font color=\"" MUTED "\">%s</font></td></tr>",
                      nn_buf_str(&second));
    nn_buf_puts(w->out, "</table>>");
}

static void frame_head(writer *w, int row) {
    const nn_family *f = nn_family_of(&w->p->unit->layers[row], NULL);
    open_frame(w, 'f', row);
    nn_buf_printf(w->out,
                  "class=\"frame\" style=\"rounded,filled\" fillcolor=\"%s\" color=\"#aab4c2\" ",
                  w->depth % 2 ? "#ffffff" : "#f4f6f9");
    frame_label(w, row, f);
    if (w->d->places) place(w, "bb", w->d->places->frame, row);
    if (w->d->places) place(w, "lp", w->d->places->frame_label, row);
    nn_buf_puts(w->out, "];\n");
}

static void group_head(writer *w, int row) {
    open_frame(w, 'g', row);
    nn_buf_printf(w->out,
                  "class=\"group\" style=\"rounded,dashed\" color=\"#6b7687\" "
                  "label=<<font color=\"#3f4a5a\" point-size=\"12\"><b>× %d</b></font>>",
                  w->p->rows[row].count);
    if (w->d->places) place(w, "bb", w->d->places->group, row);
    if (w->d->places) place(w, "lp", w->d->places->group_label, row);
    nn_buf_puts(w->out, "];\n");
}

static void write_rows(writer *w, int first);

static void write_row(writer *w, int row) {
    const nn_plan_row *r = &w->p->rows[row];
    if (r->form == NN_FORM_BOX) {
        write_node(w, r->node[NN_PART_BOX]);
        return;
    }
    frame_head(w, row);
    write_node(w, r->node[r->form == NN_FORM_HEAD ? NN_PART_BOX : NN_PART_FORK]);
    write_rows(w, r->first);
    write_node(w, r->node[NN_PART_END]);
    close_frame(w);
}

/* Whether any of the row's nodes is in this column: all are or none is, a cut being between items.
 * A frame without a node of its own has its layers'. */
static bool row_here(const writer *w, int row) {
    for (int r = row; r >= 0; r = w->p->rows[r].first)
        for (int part = 0; part < 3; part++)
            if (w->p->rows[r].node[part] >= 0) return here(w, w->p->rows[r].node[part]);
    return false;
}

static void write_rows(writer *w, int first) {
    int left = 0; /* items of the open group */
    for (int r = first; r >= 0; r = w->p->rows[r].next) {
        const nn_plan_row *row = &w->p->rows[r];
        if (row->of != r || !row_here(w, r)) continue;
        if (row->period > 1) {
            group_head(w, r);
            left = row->period;
        }
        write_row(w, r);
        if (left && --left == 0) close_frame(w);
    }
}

/* ---- edges ---- */

static void edge_label(writer *w, const nn_plan_edge *e) {
    const nn_unit_layer *l = &w->p->unit->layers[e->value];
    char count[32];
    int64_t own = e->skip ? nn_plan_own_params(w->p, e->value) : 0;
    if (e->skip && own)
        nn_buf_printf(w->out, " label=\" projection\\n %s params\"", nn_draw_count(own, count));
    if (e->quiet || w->p->tangled) return;
    nn_buf_puts(w->out, " label=\" ");
    nn_draw_shape(w->out, &l->out, l->known);
    nn_buf_puts(w->out, " \"");
}

/* How straight it is to be: a chain, a block's end and the way round it counted, is a line. */
static int weight(const nn_plan *p, const nn_plan_edge *e) {
    const nn_plan_node *to = &p->nodes[e->to];
    bool sum = to->part == NN_PART_END && p->rows[to->row].form == NN_FORM_RESIDUAL;
    return e->skip ? 0 : to->inputs - sum > 1 ? 2 : 200;
}

static void write_edge(writer *w, int i) {
    const nn_plan_edge *e = &w->p->edges[i];
    bool placed = w->d->places != NULL;
    if (!here(w, e->from) || !here(w, e->to) || (e->between && w->d->column >= 0)) return;
    bool into_fork = w->p->nodes[e->to].part == NN_PART_FORK;
    indent(w);
    nn_buf_printf(w->out, "n%d -> n%d [id=\"e%d\" class=\"%s\" weight=%d%s", e->from, e->to, i,
                  e->skip ? "flow skip" : "flow", weight(w->p, e),
                  into_fork ? " arrowhead=none" : "");
    edge_label(w, e);
    if (placed) place(w, "pos", w->d->places->edge, i);
    if (placed) place(w, "lp", w->d->places->edge_label, i);
    nn_buf_puts(w->out, "];\n");
}

/* ---- the title ---- */

unsigned nn_dot_families(const nn_plan *p, int *ret_n) {
    unsigned used = 0;
    for (int i = 0; i < p->unit->n_layers; i++) {
        unsigned k;
        nn_family_of(&p->unit->layers[i], &k);
        if (p->unit->layers[i].layer->role == NN_ROLE_LAYER && p->rows[i].form != NN_FORM_PASS &&
            p->rows[i].form != NN_FORM_RESIDUAL && p->rows[i].form != NN_FORM_JOIN)
            used |= 1u << k;
    }
    *ret_n = __builtin_popcount(used);
    return used;
}

static void legend(writer *w) {
    int n, at = 0;
    unsigned used = nn_dot_families(w->p, &n);
    if (n <= 3) return;
    nn_buf_puts(w->out,
                "<tr><td align=\"left\"><table border=\"0\" cellborder=\"0\" cellspacing=\"3\" "
                "cellpadding=\"1\"><tr>");
    for (unsigned k = 0; nn_family_at(k); k++) {
        if (!(used >> k & 1)) continue;
        const nn_family *f = nn_family_at(k);
        if (at && at % LEGEND_COLUMNS == 0) nn_buf_puts(w->out, "</tr><tr>");
        nn_buf_printf(
            w->out,
            "<td border=\"1\" color=\"%s\" bgcolor=\"%s\" width=\"12\" height=\"10\" "
            "fixedsize=\"true\"></td><td align=\"left\"><font point-size=\"9\">%s  </font></td>",
            f->ink, f->fill, f->title);
        at++;
    }
    nn_buf_puts(w->out, "</tr></table></td></tr>");
}

static void title(writer *w) {
    const nn_unit *u = w->p->unit;
    char params[32], flops[32];
    const char *name = u->graph && u->graph->name[0] ? u->graph->name : "(unnamed network)";
    nn_buf_puts(w->out, " labelloc=t labeljust=l label=<<table border=\"0\" cellborder=\"0\" "
                        "cellspacing=\"0\" cellpadding=\"2\"><tr><td align=\"left\">"
                        "<font point-size=\"18\"><b>");
    escaped(w->out, name, TITLE_CHARS);
    nn_buf_printf(
        w->out,
        "</b></font></td></tr><tr><td align=\"left\"><font point-size=\"10\" color=\"" MUTED
        "\">%s%s parameters · %s FLOPs a sample · %d layer%s</font></td></tr>",
        u->incomplete ? "≥ " : "", nn_draw_count(u->params, params), nn_draw_short(u->flops, flops),
        u->n_layers, u->n_layers == 1 ? "" : "s");
    legend(w);
    nn_buf_puts(w->out, "<tr><td height=\"8\"></td></tr></table>>");
}

void nn_dot_write(const nn_dot *d, nn_buf *out) {
    writer w = {d, d->plan, out, 1};
    nn_buf_puts(out, "digraph network {\n"
                     "  graph [fontname=\"Helvetica,Arial,sans-serif\" fontcolor=\"" INK
                     "\" bgcolor=\"#ffffff\" "
                     "nodesep=0.4 ranksep=0.3 pad=0.25");
    if (d->dpi > 0) nn_buf_printf(out, " dpi=%.1f", d->dpi);
    if (d->plan->tangled) nn_buf_puts(out, " nslimit=0.5 nslimit1=0.5 mclimit=0.5");
    if (d->title) title(&w);
    nn_buf_puts(out,
                "];\n"
                "  node [fontname=\"Helvetica,Arial,sans-serif\" fontcolor=\"" INK "\" shape=box "
                "style=\"rounded,filled\" penwidth=1.2 margin=\"0.07,0.06\" height=0.3];\n"
                "  edge [fontname=\"Helvetica,Arial,sans-serif\" fontsize=9 fontcolor=\"" MUTED
                "\" color=\"" WIRE "\" arrowsize=0.65];\n");
    write_rows(&w, d->plan->first);
    for (int i = 0; i < d->plan->n_edges; i++) write_edge(&w, i);
    nn_buf_puts(out, "}\n");
}
