/* SPDX-License-Identifier: MIT */
/* page.c - the HTML page: page.css and page.js as they are in this folder, the picture, and the
 * layers as JSON, from which the script makes the table, the bars and the panel. */
#include "draw/page.h"

#include "base/hash.h"
#include "base/json.h"
#include "draw/family.h"
#include "draw/layout.h"
#include "draw/svg.h"
#include "draw/text.h"

#include <string.h>

/* Made of page.css and page.js by CMake; NUL-terminated. */
extern const char nn_page_css[], nn_page_js[];

static void escaped(nn_buf *out, const char *s) {
    nn_draw_escape(out, s, strlen(s), 0);
}

/* ---- the data ---- */

static void put_shape(nn_jw *w, const char *key, const nn_shape *s, bool known) {
    NN_BUF text = {0};
    nn_draw_shape(&text, s, known);
    nn_jw_key(w, key);
    nn_jw_str(w, nn_buf_str(&text));
}

static void put_int(nn_jw *w, const char *key, int64_t v) {
    nn_jw_key(w, key);
    nn_jw_int(w, v);
}

static void put_str(nn_jw *w, const char *key, const char *s) {
    nn_jw_key(w, key);
    nn_jw_str(w, s);
}

static void put_inputs(nn_jw *w, const nn_unit_layer *l) {
    nn_jw_key(w, "inputs");
    nn_jw_arr(w);
    for (int i = 0; i < l->n_inputs; i++) nn_jw_int(w, l->inputs[i]);
    nn_jw_end_arr(w);
}

static void put_row(nn_jw *w, const nn_plan *p, int row) {
    const nn_unit_layer *l = &p->unit->layers[row];
    bool in_known = l->n_inputs && l->inputs[0] >= 0 && p->unit->layers[l->inputs[0]].known;
    nn_jw_obj(w);
    put_str(w, "name", l->name);
    put_str(w, "type", l->type);
    put_str(w, "family", nn_family_of(l, NULL)->name);
    put_int(w, "line", l->span.line);
    put_int(w, "parent", l->parent);
    put_int(w, "of", p->rows[row].of);
    if (p->rows[row].of == row) {
        put_str(w, "text", p->rows[row].text);
        put_int(w, "copies", p->rows[row].copies);
    }
    if (l->n_inputs) put_shape(w, "in", &l->in, in_known || l->known);
    put_shape(w, "out", &l->out, l->known);
    put_int(w, "params", l->params);
    put_int(w, "trainable", l->trainable);
    put_int(w, "flops", l->flops);
    put_int(w, "bytes", l->activation_bytes);
    put_inputs(w, l);
    nn_jw_end_obj(w);
}

static void put_nodes(nn_jw *w, const nn_plan *p) {
    nn_jw_key(w, "nodes");
    nn_jw_arr(w);
    for (int i = 0; i < p->n_nodes; i++) {
        nn_jw_arr(w);
        nn_jw_int(w, p->nodes[i].row);
        nn_jw_int(w, p->nodes[i].part);
        nn_jw_end_arr(w);
    }
    nn_jw_end_arr(w);
    nn_jw_key(w, "edges");
    nn_jw_arr(w);
    for (int i = 0; i < p->n_edges; i++) {
        nn_jw_arr(w);
        nn_jw_int(w, p->edges[i].from);
        nn_jw_int(w, p->edges[i].to);
        nn_jw_end_arr(w);
    }
    nn_jw_end_arr(w);
}

static void put_families(nn_jw *w) {
    nn_jw_key(w, "families");
    nn_jw_obj(w);
    for (unsigned i = 0; nn_family_at(i); i++)
        put_str(w, nn_family_at(i)->name, nn_family_at(i)->title);
    nn_jw_end_obj(w);
}

static void write_data(const nn_plan *p, nn_buf *out) {
    NN_BUF json = {0};
    nn_jw w = {.out = &json};
    nn_jw_obj(&w);
    put_int(&w, "params", p->unit->params);
    put_int(&w, "flops", p->unit->flops);
    nn_jw_key(&w, "rows");
    nn_jw_arr(&w);
    for (int i = 0; i < p->unit->n_layers; i++) put_row(&w, p, i);
    nn_jw_end_arr(&w);
    put_nodes(&w, p);
    put_families(&w);
    nn_jw_end_obj(&w);
    for (size_t i = 0; i < json.n; i++) /* no name can end the element */
        if (json.p[i] == '<')
            nn_buf_puts(out, "\\u003c");
        else
            nn_buf_putc(out, json.p[i]);
}

/* ---- the head ---- */

/* 'sha256-…' of a text, as a content security policy names it. */
static void put_hash(nn_buf *out, const char *text, size_t n) {
    uint8_t digest[NN_SHA256];
    char b64[NN_BASE64URL_32];
    nn_sha256(text, n, digest);
    nn_base64url(digest, sizeof digest, b64);
    for (char *c = b64; *c; c++) *c = *c == '-' ? '+' : *c == '_' ? '/' : *c;
    nn_buf_printf(out, "'sha256-%s='", b64);
}

/* page.css, then the families' colours in light and in dark. */
static void write_style(nn_buf *out) {
    nn_buf_puts(out, nn_page_css);
    for (int dark = 0; dark < 2; dark++) {
        if (dark) nn_buf_puts(out, "@media (prefers-color-scheme: dark) {\n");
        for (unsigned i = 0; nn_family_at(i); i++) {
            const nn_family *f = nn_family_at(i);
            nn_buf_printf(out, ".f-%s { --fill: %s; --ink: %s; }\n", f->name,
                          dark ? f->dark_fill : f->fill, dark ? f->dark_ink : f->ink);
        }
        if (dark) nn_buf_puts(out, "}\n");
    }
}

static void write_head(const char *name, nn_buf *out) {
    NN_BUF style = {0};
    write_style(&style);
    nn_buf_puts(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src ");
    put_hash(out, nn_buf_str(&style), style.n);
    nn_buf_puts(out, "; script-src ");
    put_hash(out, nn_page_js, strlen(nn_page_js));
    nn_buf_puts(out, "; base-uri 'none'; form-action 'none'\">\n"
                     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                     "<meta name=\"color-scheme\" content=\"light dark\">\n<title>");
    escaped(out, name);
    nn_buf_puts(out, "</title>\n<style>");
    nn_buf_append(out, nn_buf_str(&style), style.n);
    nn_buf_puts(out, "</style>\n</head>\n");
}

/* ---- the page ---- */

static void write_stats(const nn_plan *p, nn_buf *out) {
    char a[32], b[32];
    const nn_unit *u = p->unit;
    const char *least = u->incomplete ? "≥ " : "";
    nn_buf_printf(out,
                  "<dl class=\"stats\"><div><dt>Parameters</dt><dd>%s%s</dd></div>"
                  "<div><dt>Trainable</dt><dd>%s%s</dd></div>",
                  least, nn_draw_count(u->params, a), least, nn_draw_count(u->trainable, b));
    nn_buf_printf(out,
                  "<div><dt>FLOPs a sample</dt><dd>%s</dd></div>"
                  "<div><dt>Layers</dt><dd>%s</dd></div></dl>\n",
                  nn_draw_short(u->flops, a), nn_draw_count(u->n_layers, b));
}

static void write_body(const nn_plan *p, const char *name, const nn_buf *svg, nn_buf *out) {
    nn_buf_puts(out, "<body>\n<header><h1>");
    escaped(out, name);
    nn_buf_puts(out, "</h1>\n");
    write_stats(p, out);
    nn_buf_puts(out, "</header>\n");
    if (p->unit->incomplete) {
        nn_buf_puts(out, "<p class=\"notice\">Not all shapes are known: ");
        escaped(out, p->unit->incomplete);
        nn_buf_puts(out, ".</p>\n");
    }
    nn_buf_puts(out, "<section id=\"costs\" aria-label=\"Where the cost is\"></section>\n"
                     "<main><section id=\"picture\" aria-label=\"Architecture\">\n"
                     "<div id=\"tools\"></div><div id=\"canvas\">\n");
    nn_buf_append(out, nn_buf_str(svg), svg->n);
    nn_buf_puts(out, "</div></section>\n<aside id=\"panel\" aria-live=\"polite\"></aside></main>\n"
                     "<section id=\"layers\" aria-label=\"Layers\"></section>\n"
                     "<script type=\"application/json\" id=\"data\">");
    write_data(p, out);
    nn_buf_puts(out, "</script>\n<script>");
    nn_buf_puts(out, nn_page_js);
    nn_buf_puts(out, "</script>\n</body>\n</html>\n");
}

nn_status nn_page_write(nn_arena *arena, const nn_plan *p, nn_buf *out, nn_err *err) {
    NN_BUF raw = {0}, svg = {0};
    const char *name = p->unit->graph && p->unit->graph->name[0] ? p->unit->graph->name : "Network";
    nn_status st = nn_layout_render(arena, p, "svg", false, &raw, err);
    if (st) return st;
    nn_svg_clean(p, nn_buf_str(&raw), raw.n, false, &svg);
    write_head(name, out);
    write_body(p, name, &svg, out);
    return NN_OK;
}
