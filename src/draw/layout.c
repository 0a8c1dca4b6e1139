/* SPDX-License-Identifier: MIT */
/* layout.c - each column is laid out by Graphviz's `dot` on its own: its time grows faster than the
 * size, and one column knows nothing of the others. The columns are then put side by side, tops
 * level, edges between them are led through the gap, and the placed whole is drawn by `nop2`, which
 * keeps every position.
 *
 * Graphviz keeps global state: everything happens under one lock, in one context that lives as long
 * as the process (its plugins are read once). What it has to say goes to `said`, not to stderr. */
#include "draw/layout.h"

#include "draw/route.h"

#include <graphviz/gvc.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PIXELS = 60000000, DPI = 144 };

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define SANITIZED
#endif
#endif
#if defined SANITIZED || defined __SANITIZE_ADDRESS__
/* Graphviz and what is under it keep some of a picture: theirs, not ours, is passed over. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libgvc.so\nleak:libcgraph.so\nleak:libgvplugin_\nleak:libfontconfig.so\n"
           "leak:libpango\nleak:libglib-2.0.so\n";
}
#endif

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static GVC_t *context;
static char said[400];

/* ---- Graphviz ---- */

static int hear(char *text) {
    size_t n = strlen(said);
    snprintf(said + n, sizeof said - n, "%s", text);
    for (char *c = said; *c; c++)
        if (*c == '\n') *c = ' ';
    return 0;
}

static nn_status missing(const char *what, nn_err *err) {
    char *list = strstr(said, " Use one of:"), *why = said;
    if (list) *list = 0;
    if (strncmp(why, "Error: ", 7) == 0) why += 7;
    nn_status s =
        nn_fail(err, NN_E_UNSUPPORTED, "Graphviz cannot %s here%s%s", what, *why ? ": " : "", why);
    return nn_err_hint(err, s,
                       "install its plugins (Debian: apt-get install libgvc6, then "
                       "libgvc6-config-update -c); --format dot needs none");
}

/* Graphviz's own ids are addresses of names, and the order of clusters follows them: pictures would
 * differ from run to run. Here the id of a name of ours is its number; of any other (Graphviz makes
 * some) it is an address as ever; of what has no name, an odd number. */
static const char *const kinds[] = {"n", "cluster_f", "cluster_g", "network"};
enum { KINDS = sizeof kinds / sizeof kinds[0], STEP = 8, MAX_ID = 1 << 24 };
static IDTYPE nameless;

static IDTYPE id_of(const char *name) {
    size_t letters = strcspn(name, "0123456789");
    for (size_t k = 0; k < KINDS; k++)
        if (strlen(kinds[k]) == letters && memcmp(kinds[k], name, letters) == 0)
            return STEP * (1 + (IDTYPE)strtoul(name + letters, NULL, 10)) + 2 * k;
    return MAX_ID;
}

static void *id_open(Agraph_t *g, Agdisc_t *d) {
    (void)d;
    return g;
}

static long id_map(void *graph, int type, char *name, IDTYPE *ret, int create) {
    (void)type;
    *ret = name ? id_of(name) : (nameless += 2);
    if (*ret != MAX_ID) return 1;
    *ret = (IDTYPE)(create ? agstrdup(graph, name) : agstrbind(graph, name));
    return *ret != 0;
}

static long id_alloc(void *graph, int type, IDTYPE id) {
    (void)graph, (void)type, (void)id;
    return 0;
}

static void id_free(void *graph, int type, IDTYPE id) {
    (void)type;
    if (id % 2 == 0 && id >= MAX_ID) agstrfree(graph, (char *)id);
}

/* The name of an id: one of a few buffers in turn, as callers hold two at a time. */
static char *id_print(void *graph, int type, IDTYPE id) {
    static char names[8][32];
    static unsigned turn;
    (void)graph, (void)type;
    if (id % 2) return NULL;
    if (id >= MAX_ID) return (char *)id;
    char *name = names[turn++ % 8];
    const char *kind = kinds[id % STEP / 2];
    if (strcmp(kind, "network") == 0)
        snprintf(name, 32, "%s", kind);
    else
        snprintf(name, 32, "%s%llu", kind, (unsigned long long)(id / STEP - 1));
    return name;
}

static void id_close(void *graph) {
    (void)graph;
}

static void id_register(void *graph, int type, void *object) {
    (void)graph, (void)type, (void)object;
}

static Agiddisc_t numbered = {id_open, id_map, id_alloc, id_free, id_print, id_close, id_register};

typedef struct text_left {
    const char *p;
    size_t n;
} text_left;

static int read_text(void *from, char *to, int size) {
    text_left *left = from;
    size_t n = left->n < (size_t)size ? left->n : (size_t)size;
    memcpy(to, left->p, n);
    left->p += n;
    left->n -= n;
    return (int)n;
}

static Agraph_t *read_graph(const nn_buf *text) {
    static Agiodisc_t io; /* a graph keeps it */
    io = AgIoDisc;
    Agdisc_t disc = {.id = &numbered, .io = &io};
    nameless = 1;
    text_left left = {nn_buf_str(text), text->n};
    io.afread = read_text;
    return agread(&left, &disc);
}

/* The graph of a text, laid out; NULL with *err set. */
static Agraph_t *lay_out(const nn_buf *text, const char *engine, nn_err *err, nn_status *st) {
    Agraph_t *g = read_graph(text);
    if (!g) {
        *st = nn_fail(err, NN_E_INTERNAL, "Graphviz does not read its own language: %s", said);
        return NULL;
    }
    if (gvLayout(context, g, engine) == 0) return g;
    agclose(g);
    *st = missing("lay a picture out", err);
    return NULL;
}

static void drop(Agraph_t *g) {
    gvFreeLayout(context, g);
    agclose(g);
}

/* ---- reading positions ---- */

/* The text with x and y, which alternate, moved: "e,1,2 3,4" "1,2,3,4". */
static const char *moved(nn_arena *arena, const char *text, double dx, double dy) {
    NN_BUF out = {0};
    bool is_y = false;
    if (!text || !*text) return NULL;
    while (*text) {
        char *end;
        double v = strtod(text, &end);
        if (end == text || *text == ' ') { /* strtod would swallow it */
            nn_buf_putc(&out, *text++);
            continue;
        }
        nn_buf_printf(&out, "%.2f", v + (is_y ? dy : dx));
        is_y = !is_y;
        text = end;
    }
    return nn_arena_strdup(arena, nn_buf_str(&out));
}

/* Four numbers with commas; zeros for what is missing. */
static nn_area read_area(const char *text) {
    double v[4] = {0};
    for (int i = 0; text && *text && i < 4; i++) {
        char *end;
        v[i] = strtod(text, &end);
        text = *end ? end + 1 : end;
    }
    return (nn_area){v[0], v[1], v[2], v[3]};
}

static double mean_x(const char *text) {
    double sum = 0;
    int n = 0;
    for (; text && *text; text += *text != 0) {
        char *end;
        double x = strtod(text, &end);
        if (end == text) continue; /* "e," */
        sum += x;
        n++;
        text = end + (*end == ',');
        strtod(text, &end);
        text = end;
    }
    return n ? sum / n : 0;
}

static char *attr(void *object, const char *name) {
    return agget(object, (char *)name);
}

static double number(void *object, const char *name) {
    const char *text = attr(object, name);
    return text ? strtod(text, NULL) : 0;
}

/* The number behind the letters of a name: "n12", "cluster_f12". */
static int index_of(const char *name) {
    return name ? (int)strtol(name + strcspn(name, "0123456789"), NULL, 10) : 0;
}

typedef struct offset {
    double x, y;
} offset;

static void take_node(nn_canvas *c, Agnode_t *v, offset o) {
    int i = index_of(agnameof(v));
    nn_area at = read_area(attr(v, "pos")); /* left, bottom: the centre */
    double w = number(v, "width") * 36, h = number(v, "height") * 36;
    double x = at.left + o.x, y = at.bottom + o.y;
    c->nodes[i] = (nn_area){x - w, y - h, x + w, y + h};
    c->places.node[i] = moved(c->arena, attr(v, "pos"), o.x, o.y);
}

static void take_edge(nn_canvas *c, Agedge_t *e, offset o) {
    int i = index_of(attr(e, "id"));
    c->places.edge[i] = moved(c->arena, attr(e, "pos"), o.x, o.y);
    c->places.edge_label[i] = moved(c->arena, attr(e, "lp"), o.x, o.y);
    c->middle[i] = mean_x(c->places.edge[i]);
}

static void take_frames(nn_canvas *c, Agraph_t *g, offset o) {
    for (Agraph_t *s = agfstsubg(g); s; s = agnxtsubg(s)) {
        const char *name = agnameof(s);
        int i = index_of(name);
        nn_area at = read_area(attr(s, "bb")), label = read_area(attr(s, "lp"));
        at = (nn_area){at.left + o.x, at.bottom + o.y, at.right + o.x, at.top + o.y};
        if (strncmp(name, "cluster_f", 9) == 0) {
            c->frames[i] = at;
            c->label_width[i] = number(s, "lwidth") * 72;
            c->label_y[i] = label.bottom + o.y;
        } else {
            c->groups[i] = at;
            c->places.group_label[i] = moved(c->arena, attr(s, "lp"), o.x, o.y);
        }
        take_frames(c, s, o);
    }
}

/* Lays one column out and sets it to the right of those before it. */
static nn_status place_column(nn_canvas *c, int column, nn_err *err) {
    NN_BUF text = {0};
    nn_status st = NN_OK;
    nn_dot_write(&(nn_dot){.plan = c->plan, .column = column}, &text);
    if (nn_buf_failed(&text)) return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for the picture");
    Agraph_t *g = lay_out(&text, "dot", err, &st);
    if (!g) return st;
    attach_attrs(g);
    nn_area all = read_area(attr(g, "bb"));
    double left = column ? c->columns[column - 1].right + NN_COLUMN_GAP : 0;
    offset o = {left - all.left, -all.top};
    for (Agnode_t *v = agfstnode(g); v; v = agnxtnode(g, v)) {
        take_node(c, v, o);
        for (Agedge_t *e = agfstout(g, v); e; e = agnxtout(g, e)) take_edge(c, e, o);
    }
    take_frames(c, g, o);
    c->columns[column] = (nn_area){left, all.bottom + o.y, all.right + o.x, 0};
    drop(g);
    nn_route_column(c, column);
    return NN_OK;
}

/* ---- the whole ---- */

static bool make_room(nn_canvas *c) {
    size_t nodes = (size_t)c->plan->n_nodes + 1, edges = (size_t)c->plan->n_edges + 1,
           rows = (size_t)c->plan->unit->n_layers + 1;
    nn_places *at = &c->places;
    struct {
        void *to;
        size_t n, size;
    } arrays[] = {
        {&c->nodes,        nodes,                    sizeof *c->nodes      },
        {&c->frames,       rows,                     sizeof *c->frames     },
        {&c->groups,       rows,                     sizeof *c->groups     },
        {&c->columns,      (size_t)c->plan->columns, sizeof *c->columns    },
        {&c->label_width,  rows,                     sizeof *c->label_width},
        {&c->label_y,      rows,                     sizeof *c->label_y    },
        {&c->middle,       edges,                    sizeof *c->middle     },
        {&at->node,        nodes,                    sizeof *at->node      },
        {&at->edge,        edges,                    sizeof *at->edge      },
        {&at->edge_label,  edges,                    sizeof *at->edge_label},
        {&at->frame,       rows,                     sizeof *at->frame     },
        {&at->frame_label, rows,                     sizeof *at->frame     },
        {&at->group,       rows,                     sizeof *at->group     },
        {&at->group_label, rows,                     sizeof *at->group     },
    };
    bool ok = true;
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        void *p = nn_arena_array(c->arena, arrays[i].n, arrays[i].size);
        memcpy(arrays[i].to, &p, sizeof p);
        ok = ok && p;
    }
    return ok;
}

/* Dots an inch: sharp, but no more pixels than a viewer takes. */
static double resolution(const nn_canvas *c) {
    double width = c->columns[c->plan->columns - 1].right + 60, height = 0;
    for (int i = 0; i < c->plan->columns; i++) height = fmax(height, -c->columns[i].bottom);
    return fmin(DPI, sqrt(MAX_PIXELS / (width * (height + 200) / (72.0 * 72.0))));
}

static nn_status draw_placed(nn_canvas *c, const char *format, bool title, nn_buf *out,
                             nn_err *err) {
    NN_BUF text = {0};
    nn_status st = NN_OK;
    double dpi = strcmp(format, "png") == 0 ? resolution(c) : 0;
    nn_dot_write(
        &(nn_dot){.plan = c->plan, .column = -1, .places = &c->places, .title = title, .dpi = dpi},
        &text);
    if (nn_buf_failed(&text)) return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for the picture");
    Agraph_t *g = lay_out(&text, "nop2", err, &st);
    if (!g) return st;
    char *data = NULL;
    unsigned n = 0;
    if (gvRenderData(context, g, format, &data, &n) || !data)
        st = missing(strcmp(format, "png") == 0 ? "write PNG" : "write SVG", err);
    else
        nn_buf_append(out, data, n);
    if (data) gvFreeRenderData(data);
    drop(g);
    return st;
}

static nn_status render(nn_canvas *c, const char *format, bool title, nn_buf *out, nn_err *err) {
    said[0] = 0;
    agusererrf before = agseterrf(hear);
    if (!context) context = gvContext();
    nn_status st = context ? NN_OK : missing("start", err);
    for (int i = 0; i < c->plan->columns && !st; i++) st = place_column(c, i, err);
    for (int i = 0; i < c->plan->n_edges && !st; i++)
        if (c->plan->edges[i].between) nn_route_between(c, i);
    if (!st) st = draw_placed(c, format, title, out, err);
    if (!st && strstr(said, "Error")) /* it goes on, with less */
        st = nn_fail(err, NN_E_INTERNAL, "Graphviz found fault with the picture: %s", said);
    agseterrf(before);
    return st;
}

nn_status nn_layout_render(nn_arena *arena, const nn_plan *p, const char *format, bool title,
                           nn_buf *out, nn_err *err) {
    if (p->detours > NN_DRAW_MAX_DETOURS) {
        nn_status s = nn_fail(err, NN_E_LIMIT,
                              "the picture would be a tangle: its connections pass %lld layers, "
                              "at most %d can be laid out",
                              (long long)p->detours, NN_DRAW_MAX_DETOURS);
        return nn_err_hint(err, s,
                           "put what belongs together into blocks, or take --format dot and a "
                           "layout of your choice; `neural shapes` prints a table");
    }
    nn_canvas c = {.arena = arena, .plan = p};
    if (!make_room(&c)) return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for the picture");
    pthread_mutex_lock(&lock);
    nn_status st = render(&c, format, title, out, err);
    pthread_mutex_unlock(&lock);
    return st;
}
