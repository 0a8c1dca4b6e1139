/* SPDX-License-Identifier: MIT */
/* data.c - the data sets: which there are, what one holds, and getting one. */
#include "base/file.h"
#include "base/hash.h"
#include "cli/cli.h"
#include "cli/download.h"
#include "data/dataset.h"
#include "data/sets.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_SETS = 64 };

/* ---- list ---- */

static nn_json *info_json(const nn_dataset_info *d) {
    nn_json *o = nn_json_new_object();
    nn_json_set(o, "name", nn_json_new_str(d->name));
    nn_json_set(o, "format", nn_json_new_str(d->format));
    nn_json_set(o, "summary", nn_json_new_str(d->summary));
    nn_json_set(o, "licence", nn_json_new_str(d->licence));
    nn_json_set(o, "available", nn_json_new_bool(d->available));
    nn_json_set(o, "install_hint", nn_json_new_str(d->available ? NULL : d->install_hint));
    return o;
}

static nn_status data_list(const nn_args *a, nn_err *err) {
    nn_dataset_info rows[MAX_SETS];
    int n = nn_dataset_list(rows, MAX_SETS);
    NN_BUF out = {0};
    nn_json *list = nn_json_new_array();
    for (int i = 0; i < n && i < MAX_SETS; i++) {
        nn_json_push(list, info_json(&rows[i]));
        nn_buf_printf(&out, "%-16s %-10s %s\n", rows[i].name,
                      rows[i].available ? "available" : "missing", rows[i].summary);
        if (!rows[i].available) nn_buf_printf(&out, "%-27s %s\n", "", rows[i].install_hint);
    }
    if (nn_opt_given(a, "json")) return nn_print_json(list, err);
    nn_json_unref(list);
    return nn_print(nn_buf_str(&out), out.n, err);
}

/* ---- info ---- */

/* What is known of a named set without having it. */
static nn_json *set_json(const nn_set *s) {
    nn_json *o = nn_json_new_object(), *files = nn_json_new_array();
    nn_json_set(o, "name", nn_json_new_str(s->name));
    nn_json_set(o, "licence", nn_json_new_str(s->licence));
    nn_json_set(o, "citation", nn_json_new_str(s->citation));
    nn_json_set(o, "home", nn_json_new_str(s->home));
    for (int i = 0; i < NN_SET_FILES && s->file[i].name; i++) {
        nn_json *f = nn_json_new_object();
        nn_json_set(f, "name", nn_json_new_str(s->file[i].name));
        nn_json_set(f, "address", nn_json_new_str(s->file[i].address[0]));
        nn_json_set(f, "bytes", nn_json_new_int(s->file[i].bytes));
        nn_json_set(f, "sha256", nn_json_new_str(s->file[i].sha256));
        nn_json_push(files, f);
    }
    nn_json_set(o, "files", files);
    return o;
}

static void set_text(const nn_set *s, nn_buf *out) {
    nn_buf_printf(out, "%s: %s\nlicence: %s\ncite: %s\nhome: %s\n", s->name, s->summary, s->licence,
                  s->citation, s->home);
}

/* What is told of one part of a set: as a line and, for the second part, its classes; or as JSON.
 */
static nn_json *part_json(const nn_dataset *d) {
    nn_json *o = nn_json_new_object();
    nn_json_set(o, "rows", nn_json_new_int(d->rows));
    nn_json_set(o, "shape", nn_json_new_shape(&d->block[0].shape, false));
    nn_json *inputs = d->n_blocks > 1 ? nn_json_new_object() : nn_json_new_null();
    for (int i = 0; d->n_blocks > 1 && i < d->n_blocks; i++)
        nn_json_set(inputs, d->block[i].name, nn_json_new_shape(&d->block[i].shape, false));
    nn_json_set(o, "inputs", inputs);
    nn_json_set(o, "classes", d->classes ? nn_json_new_int(d->classes) : nn_json_new_null());
    nn_json_set(o, "sha256", nn_json_new_str(d->sha256));
    nn_json_set(o, "files", nn_json_ref(nn_json_get(d->record, "files")));
    nn_json *names = d->class_names ? nn_json_new_array() : nn_json_new_null();
    for (int i = 0; d->class_names && i < d->classes; i++)
        nn_json_push(names, nn_json_new_str(d->class_names[i]));
    nn_json_set(o, "class_names", names);
    return o;
}

static void part_text(const nn_dataset *d, const char *name, bool with_classes, nn_buf *out) {
    char shape[96];
    nn_buf_printf(out, "%s: %" PRId64 " rows of %s", name, d->rows,
                  nn_shape_print(&d->block[0].shape, false, shape, sizeof shape));
    for (int i = 1; i < d->n_blocks; i++)
        nn_buf_printf(out, " and %s",
                      nn_shape_print(&d->block[i].shape, false, shape, sizeof shape));
    if (d->classes) nn_buf_printf(out, ", %d classes", d->classes);
    nn_buf_printf(out, ", sha256 %.16s\n", d->sha256);
    for (int i = 0; with_classes && d->class_names && i < d->classes; i++)
        nn_buf_printf(out, "  %d %s\n", i, d->class_names[i]);
}

/* A set that is not there is told about all the same, where its name is known. */
static nn_status not_here(const nn_set *set, bool json, const nn_err *why, nn_err *err) {
    NN_BUF out = {0};
    if (json) {
        nn_json *o = set_json(set);
        nn_json_set(o, "available", nn_json_new_bool(false));
        nn_json_set(o, "install_hint", nn_json_new_str(why->hint));
        return nn_print_json(o, err);
    }
    set_text(set, &out);
    nn_buf_printf(&out, "%s: %s\n", why->msg, why->hint);
    return nn_print(nn_buf_str(&out), out.n, err);
}

static nn_status data_info(const char *spec, bool json, nn_err *err) {
    static const char *const names[] = {"train", "test"};
    const nn_set *set = nn_set_find(spec);
    NN_BUF out = {0};
    NN_JSON *both = set ? set_json(set) : nn_json_new_object();
    if (set) set_text(set, &out);
    for (int split = 0; split < 2; split++) {
        nn_dataset *d = NULL;
        nn_err why;
        nn_status s = nn_dataset_open(spec, split ? NN_SPLIT_TEST : NN_SPLIT_TRAIN, &d, &why);
        if (s == NN_E_NOT_FOUND && set && split == 0) return not_here(set, json, &why, err);
        if (s) {
            *err = why;
            return s;
        }
        nn_json_set(both, names[split], part_json(d));
        part_text(d, names[split], split == 1, &out);
        nn_dataset_free(d);
    }
    return json ? nn_print_json(nn_json_ref(both), err) : nn_print(nn_buf_str(&out), out.n, err);
}

/* ---- get ---- */

/* The folder that sets are kept in, made if need be. */
static nn_status cache_folder(const char *name, char path[PATH_MAX], nn_err *err) {
    char cache[PATH_MAX];
    int n = nn_set_cache(cache, sizeof cache) ? snprintf(path, PATH_MAX, "%s/%s", cache, name) : -1;
    if (n < 0 || n >= PATH_MAX) {
        nn_status s = nn_fail(err, NN_E_CONFIG_ERROR, "there is no place to keep data sets in");
        return nn_err_hint(err, s, "set NEURAL_DATA_DIR to a folder");
    }
    return nn_mkdirs(path, err);
}

/* Whether the file is there and is the right one. */
static bool is_there(const char *path, const char *sha256) {
    char hex[NN_SHA256_HEX];
    return access(path, R_OK) == 0 && nn_sha256_file(path, hex, NULL) == NN_OK &&
           strcasecmp(hex, sha256) == 0;
}

/* $NEURAL_DATA_MIRROR/<set>/<file> before the addresses of the table. */
static const char *mirror_of(const nn_set *s, const nn_set_file *f, char buf[PATH_MAX]) {
    const char *mirror = getenv("NEURAL_DATA_MIRROR");
    if (!mirror || !*mirror) return NULL;
    snprintf(buf, PATH_MAX, "%s/%s/%s", mirror, s->name, f->name);
    return buf;
}

static nn_status get_from(const char *address, const nn_set_file *f, const char *path, bool quiet,
                          nn_err *err) {
    if (!quiet) fprintf(stderr, "%s\n", address);
    return nn_download_get(&(nn_download){address, path, f->bytes, f->sha256, quiet}, err);
}

static nn_status get_file(const nn_set *s, const nn_set_file *f, const char *folder, bool quiet,
                          nn_err *err) {
    char path[PATH_MAX], buf[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", folder, f->name);
    if (n < 0 || (size_t)n >= sizeof path)
        return nn_fail(err, NN_E_STORAGE_ERROR, "%s: the path is too long", folder);
    if (is_there(path, f->sha256)) return NN_OK;
    const char *mirror = mirror_of(s, f, buf);
    if (mirror) return get_from(mirror, f, path, quiet, err);
    nn_status st = NN_E_NOT_FOUND;
    for (int i = 0; st && i < NN_SET_ADDRESSES && f->address[i]; i++)
        st = get_from(f->address[i], f, path, quiet, err);
    return st;
}

/* Ways out for a set that could not be downloaded. */
static nn_status without_network(const nn_set *s, const char *folder, nn_status st, nn_err *err) {
    char package[128] = "";
    if (s->package) snprintf(package, sizeof package, "`apt-get install %s`, or ", s->package);
    return nn_err_hint(
        err, st, "%srun it again, which goes on where it stopped; or copy the files of %s to %s",
        package, s->home, folder);
}

static nn_status get_set(const nn_set *s, bool quiet, nn_err *err) {
    char folder[PATH_MAX];
    nn_status st = cache_folder(s->name, folder, err);
    if (st) return st;
    for (int i = 0; !st && i < NN_SET_FILES && s->file[i].name; i++)
        st = get_file(s, &s->file[i], folder, quiet, err);
    if (st) return without_network(s, folder, st, err);
    NN_BUF out = {0};
    nn_buf_printf(&out, "%s is in %s (licence: %s)\n", s->name, folder, s->licence);
    return nn_print(nn_buf_str(&out), out.n, err);
}

/* Any file by its address and sum, kept under its name. */
static nn_status get_address(const char *address, const char *sha256, bool quiet, nn_err *err) {
    char folder[PATH_MAX], path[PATH_MAX];
    const char *name = strrchr(address, '/') + 1;
    size_t n = strcspn(name, "?#");
    if (!sha256 || strlen(sha256) != 64 || strspn(sha256, "0123456789abcdefABCDEF") != 64)
        return nn_fail(err, NN_E_USAGE, "data: an address needs --sha256 and 64 digits");
    if (n == 0 || name[0] == '.')
        return nn_fail(err, NN_E_USAGE, "data: '%.200s' does not end with a file's name", address);
    nn_status s = cache_folder("files", folder, err);
    if (s) return s;
    int k = snprintf(path, sizeof path, "%s/%.*s", folder, (int)n, name);
    if (k < 0 || (size_t)k >= sizeof path)
        return nn_fail(err, NN_E_STORAGE_ERROR, "%s: the path is too long", folder);
    if (!is_there(path, sha256))
        s = nn_download_get(&(nn_download){address, path, -1, sha256, quiet}, err);
    if (s)
        return nn_err_hint(
            err, s, "run it again, which goes on where it stopped; or copy the file to %s", path);
    NN_BUF out = {0};
    nn_buf_printf(&out, "%s\n", path);
    return nn_print(nn_buf_str(&out), out.n, err);
}

static nn_status data_get(const nn_args *a, nn_err *err) {
    const char *what = a->operands[1];
    bool quiet = nn_opt_given(a, "quiet");
    if (!strncmp(what, "http://", 7) || !strncmp(what, "https://", 8))
        return get_address(what, nn_opt(a, "sha256"), quiet, err);
    const nn_set *set = nn_set_find(what);
    if (set) return get_set(set, quiet, err);
    nn_status s =
        nn_fail(err, NN_E_NOT_FOUND, "no data set that can be downloaded is called '%.100s'", what);
    return nn_err_hint(err, s, "`neural data list` names them; or give an address and --sha256");
}

/* `neural data`, `neural data list`, `neural data SET`, `neural data info SET`, `neural data get
 * SET`. */
static nn_status run_data(const nn_args *a, nn_err *err) {
    const char *verb = a->n_operands ? a->operands[0] : "list";
    bool info = strcmp(verb, "info") == 0, get = strcmp(verb, "get") == 0;
    if (strcmp(verb, "list") == 0 && a->n_operands < 2) return data_list(a, err);
    if (get && a->n_operands == 2) return data_get(a, err);
    if (!get && a->n_operands == 1 + info)
        return data_info(a->operands[info], nn_opt_given(a, "json"), err);
    nn_status s = nn_fail(err, NN_E_USAGE, "data: expected `list`, `info SET` or `get SET`");
    return nn_err_hint(err, s, "`neural data --help`");
}

static const nn_option options[] = {
    {"json",   0, NULL, "print JSON", NULL},
    {"sha256",    0, "DIGITS", "of the file at an address that is got", NULL},
    {"quiet",    'q', NULL, "do not say what is downloaded", NULL},
    {0}
};
const nn_command nn_command_data = {
    .operands = "[list | info SET | get SET]",
    .max_operands = 2,
    .options = options,
    .run = run_data,
    .description =
        "SET is a name of the list or the path of a folder or file. `get` downloads a named set, or a file by its\n"
        "address and --sha256, to $NEURAL_DATA_DIR, else $XDG_CACHE_HOME/neural/data, else ~/.cache/neural/data: once,\n"
        "from where an earlier attempt stopped, and checked by its SHA-256. $NEURAL_DATA_MIRROR is asked instead of\n"
        "the sets' own addresses, if it is set: it holds SET/FILE.",
    .examples = "  neural data list\n"
                "  neural data info fashion-mnist\n"
                "  neural data get mnist\n"
                "  neural data info synthetic:rows=100,classes=3,shape=4x4x1"};
