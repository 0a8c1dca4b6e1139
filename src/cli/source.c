/* SPDX-License-Identifier: MIT */
/* source.c - what commands that take a network share: reading it in either form, --set, its layers
 * as JSON, writing a changed text back. */
#include "base/file.h"
#include "cli/cli.h"
#include "compile/model_data.h"
#include "model/model.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *nn_cli_beside(nn_arena *arena, const char *path, const char *end) {
    if (strcmp(path, "-") == 0) path = "network";
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    int stem = dot && dot > (slash ? slash + 1 : path) ? (int)(dot - path) : (int)strlen(path);
    return nn_arena_printf(arena, "%.*s%s", stem, path, end);
}

nn_status nn_cli_rewrite(const char *path, const void *p, size_t n, nn_err *err) {
    char real[PATH_MAX];
    struct stat st;
    if (!realpath(path, real) || stat(real, &st) || access(real, W_OK))
        return nn_file_fail(err, errno, "write", path);
    nn_writer *w;
    nn_status s = nn_writer_open(real, st.st_mode & 0777, &w, err);
    if (s) return s;
    s = nn_writer_put(w, p, n, err);
    if (s)
        nn_writer_abort(w);
    else
        s = nn_writer_commit(w, err);
    if (!s && chmod(real, st.st_mode & 07777))
        s = nn_file_fail(err, errno, "set the mode of", path);
    return s;
}

/* ---- options ---- */

static nn_status set_fail(const char *given, const char *what, nn_err *err) {
    nn_status s = nn_fail(err, NN_E_USAGE, "--set %.100s: %s", given, what);
    return nn_err_hint(err, s, "write --set PATH=VALUE: --set dense_1.units=128");
}

static nn_status read_settings(const nn_args *a, nn_arena *arena, nn_compile_options *opt,
                               nn_err *err) {
    nn_setting *list = NN_NEW_N(arena, nn_setting, NN_CLI_OPERANDS);
    const char *given;
    int n = 0;
    for (; (given = nn_opt_nth(a, "set", n)); n++) {
        const char *eq = strchr(given, '=');
        if (!eq || eq == given) return set_fail(given, "this is not PATH=VALUE", err);
        list[n].path = nn_arena_strndup(arena, given, (size_t)(eq - given));
        list[n].value = eq + 1;
        for (int i = 0; i < n; i++)
            if (strcmp(list[i].path, list[n].path) == 0)
                return set_fail(given, "the point is set twice", err);
    }
    opt->settings = list;
    opt->n_settings = n;
    return NN_OK;
}

static bool has_option(const nn_args *a, const char *name) {
    for (const nn_option *o = a->command->options; o && o->name; o++)
        if (strcmp(o->name, name) == 0) return true;
    return false;
}

nn_status nn_cli_options(const nn_args *a, nn_arena *arena, nn_compile_options *ret, nn_err *err) {
    *ret = (nn_compile_options){.auto_flatten = has_option(a, "auto-flatten") &&
                                                nn_opt_given(a, "auto-flatten")};
    return has_option(a, "set") ? read_settings(a, arena, ret, err) : NN_OK;
}

/* ---- compiling ---- */

void nn_cli_print_diags(const nn_diags *d) {
    NN_BUF text = {0};
    nn_diags_print(d, nn_colour(stderr), &text);
    fputs(nn_buf_str(&text), stderr);
}

nn_status nn_cli_errors(const nn_diags *d, nn_err *err) {
    return nn_fail(err, NN_E_DSL_ERROR, "%s: %d error%s", d->source->name, d->errors,
                   d->errors == 1 ? "" : "s");
}

nn_status nn_cli_compile(nn_arena *arena, const char *path, const nn_compile_options *opt,
                         bool quiet, nn_source *ret_source, nn_diags **ret_diags, nn_unit **ret,
                         nn_err *err) {
    nn_source *src = NN_NEW(arena, nn_source);
    nn_status s = nn_source_read(arena, path, src, err);
    if (s) return s;
    nn_diags *diags = nn_diags_new(arena, src);
    *ret_source = *src;
    *ret_diags = diags;
    s = nn_compile_source(arena, src, opt, diags, ret, err);
    if (quiet) return s;
    nn_cli_print_diags(diags);
    return s == NN_E_DSL_ERROR ? nn_cli_errors(diags, err) : s;
}

/* ---- a network to run ---- */

static bool is_model(const char *path) {
    size_t n = strlen(path);
    return n > 12 && strcmp(path + n - 12, ".safetensors") == 0;
}

nn_status nn_cli_network_open(const nn_args *a, nn_arena *arena, const char *path,
                              nn_cli_network *ret, nn_err *err) {
    nn_model *m = NULL;
    nn_source src;
    nn_diags *diags = NULL;
    nn_unit *u = NULL;
    nn_compile_options opt;
    if (is_model(path)) {
        nn_status s = nn_model_load(path, &m, err);
        if (!s) *ret = (nn_cli_network){m->graph, m};
        return s;
    }
    nn_status s = nn_cli_options(a, arena, &opt, err);
    if (!s) s = nn_cli_compile(arena, path, &opt, false, &src, &diags, &u, err);
    if (!s) s = nn_unit_runnable(u, err);
    if (!s) *ret = (nn_cli_network){u->graph, NULL};
    return s;
}

void nn_cli_network_done(nn_cli_network *n) {
    nn_model_free(n->model);
    *n = (nn_cli_network){0};
}

/* ---- a network as JSON ---- */

static nn_json *count_json(int64_t n) {
    return n < 0 ? nn_json_new_null() : nn_json_new_int(n);
}

static int64_t float_bytes(int64_t n) {
    int64_t bytes;
    return n < 0 || __builtin_mul_overflow(n, (int64_t)sizeof(float), &bytes) ? -1 : bytes;
}

static nn_json *layer_json(const nn_unit *u, const nn_unit_layer *l) {
    nn_json *row = nn_json_new_object();
    nn_json_set(row, "name", nn_json_new_str(l->name));
    nn_json_set(row, "layer", nn_json_new_str(l->type));
    nn_json_set(row, "line", nn_json_new_int(l->span.line));
    nn_json_set(row, "parent", nn_json_new_str(l->parent < 0 ? NULL : u->layers[l->parent].name));
    nn_json_set(row, "input_shape", nn_json_new_shape(&l->in, true));
    nn_json_set(row, "output_shape",
                l->known ? nn_json_new_shape(&l->out, true) : nn_json_new_null());
    nn_json_set(row, "parameters", count_json(l->params));
    nn_json_set(row, "trainable", count_json(l->trainable));
    nn_json_set(row, "flops", count_json(l->flops));
    nn_json_set(row, "activation_bytes", count_json(l->activation_bytes));
    nn_json_set(row, "weight_bytes", count_json(float_bytes(l->params)));
    return row;
}

nn_json *nn_cli_unit_json(const nn_unit *u) {
    nn_json *o = nn_json_new_object(), *layers = nn_json_new_array();
    nn_json_set(o, "network", nn_json_new_str(u->graph->name));
    for (int i = 0; i < u->n_layers; i++) nn_json_push(layers, layer_json(u, &u->layers[i]));
    nn_json_set(o, "layers", layers);
    nn_json_set(o, "parameters", count_json(u->params));
    nn_json_set(o, "trainable", count_json(u->trainable));
    nn_json_set(o, "flops", count_json(u->flops));
    return o;
}
