/* SPDX-License-Identifier: MIT */
/* onnx_text.c - a file of ONNX in ONNX's own text form, as onnx.parser reads it
 * (https://github.com/onnx/onnx/blob/v1.12.0/docs/Syntax.md, onnx/defs/parser.h).
 *
 * What the grammar of 1.12 lacks is written around: names are identifiers there, so other bytes of
 * one become '_', and names that would then be the same get a number; an output that nobody wants
 * has no name, so it gets one; the layer that an operator comes from is a comment. An initialiser
 * of more than MOST_VALUES numbers, or of one that the parser cannot read back, is an input of the
 * graph instead: the text is for people, and the numbers are in the file. */
#include "codegen/onnx.h"

#include <ctype.h>
#include <math.h>
#include <onnx.pb-c.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_VALUES = 256 };

/* A name of the file and the identifier that stands for it. */
typedef struct name {
    const char *from;
    char *to;
} name;

typedef struct printer {
    const Onnx__GraphProto *g;
    nn_arena *arena;
    nn_buf *out;
    name *names; /* sorted by `from`; no two are equal */
    size_t n_names, cap;
    int unused; /* outputs that were given a name */
} printer;

/* ---- names ---- */

static char *identifier(nn_arena *a, const char *s) {
    const char *first = isalpha((unsigned char)*s) || *s == '_' ? "" : "_";
    char *to = nn_arena_printf(a, "%s%s", first, s);
    for (char *p = to; p && *p; p++)
        if (!isalnum((unsigned char)*p) || (unsigned char)*p >= 0x80) *p = '_';
    return to;
}

static void enter(printer *p, const char *from) {
    if (!from || !*from || p->n_names == p->cap) return;
    p->names[p->n_names++] = (name){from, identifier(p->arena, from)};
}

static void enter_info(printer *p, const Onnx__ValueInfoProto *v) {
    const Onnx__TensorShapeProto *s = v->type->tensor_type->shape;
    enter(p, v->name);
    for (size_t i = 0; i < s->n_dim; i++)
        if (s->dim[i]->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM)
            enter(p, s->dim[i]->dim_param);
}

static size_t count_names(const Onnx__GraphProto *g) {
    size_t infos = g->n_input + g->n_output + g->n_value_info;
    size_t n = infos * (1 + NN_ONNX_RANK) + g->n_initializer;
    for (size_t i = 0; i < g->n_node; i++) n += g->node[i]->n_output;
    return n;
}

static int by_from(const void *a, const void *b) {
    return strcmp(((const name *)a)->from, ((const name *)b)->from);
}

static int by_to(const void *a, const void *b) {
    const name *k = *(name *const *)a, *l = *(name *const *)b;
    int c = strcmp(k->to, l->to);
    return c ? c : strcmp(k->from, l->from);
}

static bool is_taken(name *const *sorted, size_t n, const char *to) {
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int c = strcmp(sorted[mid]->to, to);
        if (c == 0) return true;
        *(c < 0 ? &lo : &hi) = c < 0 ? mid + 1 : mid;
    }
    return false;
}

/* Names that became the same: all but the first get a number that no other has. The number ends
 * the name, so that two that are told apart so cannot meet again. */
static nn_status part(printer *p, nn_err *err) {
    name **sorted = nn_arena_array(p->arena, p->n_names + 1, sizeof *sorted);
    char **fresh = nn_arena_array(p->arena, p->n_names + 1, sizeof *fresh);
    if (!sorted || !fresh) return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for names");
    for (size_t i = 0; i < p->n_names; i++) sorted[i] = &p->names[i];
    qsort(sorted, p->n_names, sizeof *sorted, by_to);
    int k = 1;
    for (size_t i = 1; i < p->n_names; i++) {
        if (strcmp(sorted[i]->to, sorted[i - 1]->to) != 0) {
            k = 1;
            continue;
        }
        do fresh[i] = nn_arena_printf(p->arena, "%s_%d", sorted[i]->to, ++k);
        while (fresh[i] && is_taken(sorted, p->n_names, fresh[i]));
    }
    for (size_t i = 0; i < p->n_names; i++)
        if (fresh[i]) sorted[i]->to = fresh[i];
    return NN_OK;
}

static nn_status collect(printer *p, nn_err *err) {
    const Onnx__GraphProto *g = p->g;
    p->cap = count_names(g);
    p->names = nn_arena_array(p->arena, p->cap + 1, sizeof *p->names);
    if (!p->names) return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for names");
    for (size_t i = 0; i < g->n_input; i++) enter_info(p, g->input[i]);
    for (size_t i = 0; i < g->n_output; i++) enter_info(p, g->output[i]);
    for (size_t i = 0; i < g->n_value_info; i++) enter_info(p, g->value_info[i]);
    for (size_t i = 0; i < g->n_initializer; i++) enter(p, g->initializer[i]->name);
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t k = 0; k < g->node[i]->n_output; k++) enter(p, g->node[i]->output[k]);
    qsort(p->names, p->n_names, sizeof *p->names, by_from);
    size_t n = 0;
    for (size_t i = 0; i < p->n_names; i++)
        if (n == 0 || strcmp(p->names[n - 1].from, p->names[i].from) != 0)
            p->names[n++] = p->names[i];
    p->n_names = n;
    return part(p, err);
}

static void put_name(printer *p, const char *from) {
    const name key = {from, NULL};
    if (!*from) return;
    const name *found = bsearch(&key, p->names, p->n_names, sizeof *p->names, by_from);
    nn_buf_puts(p->out, found && found->to ? found->to : "_");
}

/* ---- texts and comments ---- */

/* There is no escape within quotes. */
static void put_quoted(nn_buf *out, const char *s, size_t n) {
    nn_buf_putc(out, '"');
    for (size_t i = 0; i < n; i++) {
        bool plain = (unsigned char)s[i] >= 0x20 && s[i] != '"' && s[i] != '\\';
        nn_buf_putc(out, plain ? s[i] : s[i] == '"' ? '\'' : ' ');
    }
    nn_buf_putc(out, '"');
}

static void put_comment(nn_buf *out, const char *s) {
    nn_buf_puts(out, "  # ");
    for (; *s; s++) nn_buf_putc(out, (unsigned char)*s >= 0x20 ? *s : ' ');
}

/* ---- types and numbers ---- */

static const char *type_name(int type) {
    return type == NN_ONNX_FLOAT ? "float" : type == NN_ONNX_INT64 ? "int64" : "bool";
}

static void put_info(printer *p, const Onnx__ValueInfoProto *v) {
    const Onnx__TypeProto__Tensor *t = v->type->tensor_type;
    nn_buf_puts(p->out, type_name(t->elem_type));
    for (size_t i = 0; i < t->shape->n_dim; i++) {
        const Onnx__TensorShapeProto__Dimension *d = t->shape->dim[i];
        nn_buf_puts(p->out, i ? ", " : "[");
        if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE)
            nn_buf_printf(p->out, "%lld", (long long)d->dim_value);
        else if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM)
            put_name(p, d->dim_param);
        else
            nn_buf_putc(p->out, '?');
    }
    nn_buf_puts(p->out, t->shape->n_dim ? "] " : " ");
    put_name(p, v->name);
}

static void put_tensor_type(printer *p, const Onnx__TensorProto *t) {
    nn_buf_puts(p->out, type_name(t->data_type));
    for (size_t i = 0; i < t->n_dims; i++)
        nn_buf_printf(p->out, "%s%lld", i ? ", " : "[", (long long)t->dims[i]);
    nn_buf_puts(p->out, t->n_dims ? "] " : " ");
    put_name(p, t->name);
}

static void put_float(nn_buf *out, float v) {
    nn_jw w = {.out = out};
    nn_jw_float(&w, v); /* with a point or an exponent: else it would be an integer */
}

static float float_at(const Onnx__TensorProto *t, size_t i) {
    float v;
    memcpy(&v, t->raw_data.data + i * sizeof v, sizeof v);
    return v;
}

static size_t values_of(const Onnx__TensorProto *t) {
    return t->raw_data.len / (t->data_type == NN_ONNX_INT64 ? 8 : 4);
}

/* The parser reads finite, normal numbers (std::stof). */
static bool is_shown(const Onnx__TensorProto *t) {
    bool floats = t->data_type == NN_ONNX_FLOAT;
    size_t n = values_of(t);
    if (n > MOST_VALUES || (!floats && t->data_type != NN_ONNX_INT64)) return false;
    for (size_t i = 0; floats && i < n; i++)
        if (float_at(t, i) != 0 && !isnormal(float_at(t, i))) return false;
    return true;
}

static void put_tensor(printer *p, const Onnx__TensorProto *t) {
    put_tensor_type(p, t);
    nn_buf_puts(p->out, " = {");
    for (size_t i = 0; i < values_of(t); i++) {
        int64_t v;
        if (i) nn_buf_puts(p->out, ", ");
        if (t->data_type == NN_ONNX_FLOAT) {
            put_float(p->out, float_at(t, i));
            continue;
        }
        memcpy(&v, t->raw_data.data + i * sizeof v, sizeof v);
        nn_buf_printf(p->out, "%lld", (long long)v);
    }
    nn_buf_putc(p->out, '}');
}

/* ---- operators ---- */

static const char *list_type(const Onnx__AttributeProto *a) {
    switch (a->type) {
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS:
        return "floats";
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS:
        return "strings";
    default:
        return "ints";
    }
}

static void put_list(printer *p, const Onnx__AttributeProto *a) {
    size_t n = a->n_ints + a->n_floats + a->n_strings;
    if (!n) nn_buf_printf(p->out, ": %s", list_type(a));
    nn_buf_puts(p->out, " = [");
    for (size_t i = 0; i < n; i++) {
        if (i) nn_buf_puts(p->out, ", ");
        if (a->n_ints)
            nn_buf_printf(p->out, "%lld", (long long)a->ints[i]);
        else if (a->n_floats)
            put_float(p->out, a->floats[i]);
        else
            put_quoted(p->out, (const char *)a->strings[i].data, a->strings[i].len);
    }
    nn_buf_putc(p->out, ']');
}

static void put_attribute(printer *p, const Onnx__AttributeProto *a) {
    nn_buf_puts(p->out, a->name);
    switch (a->type) {
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT:
        nn_buf_printf(p->out, " = %lld", (long long)a->i);
        break;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT:
        nn_buf_puts(p->out, " = ");
        put_float(p->out, a->f);
        break;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING:
        nn_buf_puts(p->out, " = ");
        put_quoted(p->out, (const char *)a->s.data, a->s.len);
        break;
    default:
        put_list(p, a);
    }
}

static void put_output(printer *p, const char *from) {
    char to[32];
    if (*from) {
        put_name(p, from);
        return;
    }
    do snprintf(to, sizeof to, "unused_%d", ++p->unused);
    while (bsearch(&(name){to, NULL}, p->names, p->n_names, sizeof *p->names, by_from));
    nn_buf_puts(p->out, to);
}

static void put_operator(printer *p, const Onnx__NodeProto *o) {
    nn_buf_puts(p->out, "    ");
    for (size_t i = 0; i < o->n_output; i++) {
        if (i) nn_buf_puts(p->out, ", ");
        put_output(p, o->output[i]);
    }
    nn_buf_printf(p->out, " = %s", o->op_type);
    for (size_t i = 0; i < o->n_attribute; i++) {
        nn_buf_puts(p->out, i ? ", " : " <");
        put_attribute(p, o->attribute[i]);
    }
    nn_buf_puts(p->out, o->n_attribute ? "> (" : " (");
    for (size_t i = 0; i < o->n_input; i++) {
        if (i) nn_buf_puts(p->out, ", ");
        put_name(p, o->input[i]);
    }
    nn_buf_putc(p->out, ')');
    if (o->doc_string && *o->doc_string) put_comment(p->out, o->doc_string);
    nn_buf_putc(p->out, '\n');
}

/* ---- the model ---- */

static void put_property(nn_buf *out, const char *key, const char *v) {
    if (!v || !*v) return;
    nn_buf_printf(out, ",\n  %s: ", key);
    put_quoted(out, v, strlen(v));
}

static void put_head(nn_buf *out, const Onnx__ModelProto *m) {
    nn_buf_printf(out, "<\n  ir_version: %lld,\n  opset_import: [", (long long)m->ir_version);
    for (size_t i = 0; i < m->n_opset_import; i++)
        nn_buf_printf(out, "%s\"%s\" : %lld", i ? ", " : "", m->opset_import[i]->domain,
                      (long long)m->opset_import[i]->version);
    nn_buf_putc(out, ']');
    put_property(out, "producer_name", m->producer_name);
    put_property(out, "producer_version", m->producer_version);
    nn_buf_printf(out, ",\n  model_version: %lld", (long long)m->model_version);
    put_property(out, "doc_string", m->doc_string);
    for (size_t i = 0; i < m->n_metadata_props; i++) {
        const Onnx__StringStringEntryProto *e = m->metadata_props[i];
        nn_buf_puts(out, i ? ", " : ",\n  metadata_props: [");
        put_quoted(out, e->key, strlen(e->key));
        nn_buf_puts(out, " : ");
        put_quoted(out, e->value, strlen(e->value));
    }
    nn_buf_puts(out, m->n_metadata_props ? "]\n>\n" : "\n>\n");
}

static void put_border(printer *p) {
    const Onnx__GraphProto *g = p->g;
    nn_buf_printf(p->out, "%s (\n", identifier(p->arena, g->name));
    for (size_t i = 0; i < g->n_input; i++) {
        nn_buf_puts(p->out, i ? ",\n    " : "    ");
        put_info(p, g->input[i]);
    }
    for (size_t i = 0; i < g->n_initializer; i++) {
        const Onnx__TensorProto *t = g->initializer[i];
        if (is_shown(t)) continue;
        nn_buf_printf(p->out, ",  # the next one's %zu numbers are in the file\n    ",
                      values_of(t));
        put_tensor_type(p, t);
    }
    nn_buf_puts(p->out, "\n) => (\n");
    for (size_t i = 0; i < g->n_output; i++) {
        nn_buf_puts(p->out, i ? ",\n    " : "    ");
        put_info(p, g->output[i]);
    }
    nn_buf_puts(p->out, "\n)\n");
}

static void put_values(printer *p) {
    const Onnx__GraphProto *g = p->g;
    const char *before = "<\n    ";
    for (size_t i = 0; i < g->n_initializer; i++) {
        if (!is_shown(g->initializer[i])) continue;
        nn_buf_puts(p->out, before);
        put_tensor(p, g->initializer[i]);
        before = ",\n    ";
    }
    for (size_t i = 0; i < g->n_value_info; i++) {
        nn_buf_puts(p->out, before);
        put_info(p, g->value_info[i]);
        before = ",\n    ";
    }
    if (*before == ',') nn_buf_puts(p->out, "\n>\n");
}

static nn_status print(printer *p, const Onnx__ModelProto *m, nn_err *err) {
    nn_status s = collect(p, err);
    if (s) return s;
    put_head(p->out, m);
    put_border(p);
    put_values(p);
    nn_buf_puts(p->out, "{\n");
    for (size_t i = 0; i < p->g->n_node; i++) put_operator(p, p->g->node[i]);
    nn_buf_puts(p->out, "}\n");
    return nn_buf_failed(p->out)
               ? nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for the text of a file of ONNX")
               : NN_OK;
}

nn_status nn_onnx_text(const void *file, size_t n, nn_buf *out, nn_err *err) {
    Onnx__ModelProto *m = onnx__model_proto__unpack(NULL, n, file);
    if (!m) return nn_fail(err, NN_E_OUT_OF_MEMORY, "no memory for the text of a file of ONNX");
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "onnx text", 0);
    printer p = {.g = m->graph, .arena = arena, .out = out};
    nn_status s = print(&p, m, err);
    onnx__model_proto__free_unpacked(m, NULL);
    return s;
}
