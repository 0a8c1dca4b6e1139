/* SPDX-License-Identifier: MIT */
/* tensorflow_callbacks.c - `callbacks` of train and `strategy` of execution. Callbacks are text as
 * the program has it, [Name, Name(key=value), "module.name"]: each is read into a class of Keras or
 * an object of the user's own and its arguments, and only what was understood is written. */
#include "codegen/tensorflow.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Keras's callbacks that can be made of numbers and texts, and the argument that they need. */
static const struct {
    const char *name, *needs;
} known[] = {
    {"BackupAndRestore",  "backup_dir"},
    {"CSVLogger",         "filename"  },
    {"EarlyStopping",     NULL        },
    {"ModelCheckpoint",   "filepath"  },
    {"ReduceLROnPlateau", NULL        },
    {"RemoteMonitor",     NULL        },
    {"TensorBoard",       NULL        },
    {"TerminateOnNaN",    NULL        },
};

typedef struct reading {
    const char *at;
    nn_buf *out;
    char why[192];
} reading;

static bool fail(reading *r, const char *what, const char *text, size_t n) {
    if (!*r->why) snprintf(r->why, sizeof r->why, "%s '%.*s'", what, (int)(n > 80 ? 80 : n), text);
    return false;
}

static void skip(reading *r) {
    while (*r->at == ' ' || *r->at == ',') r->at++;
}

/* A word, a number or a text in quotes; quoted says which. */
static size_t take(reading *r, const char **ret, bool *quoted) {
    *quoted = *r->at == '"';
    *ret = r->at += *quoted;
    size_t n = *quoted ? strcspn(r->at, "\"") : strcspn(r->at, " ,()[]{}=\"");
    r->at += n + (*quoted && r->at[n]);
    return n;
}

static bool same(const char *word, const char *text, size_t n) {
    return strlen(word) == n && strncmp(word, text, n) == 0;
}

/* A value of an argument; the texts of the words are Python's. */
static bool put_value(reading *r) {
    static const char *const words[][2] = {
        {"true",  "True" },
        {"false", "False"},
        {"True",  "True" },
        {"False", "False"},
        {"none",  "None" },
        {"None",  "None" }
    };
    bool quoted;
    const char *text;
    size_t n = take(r, &text, &quoted);
    NN_BUF copy = {0};
    nn_buf_append(&copy, text, n);
    if (quoted) {
        nn_py_string(r->out, nn_buf_str(&copy));
        return true;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (same(words[i][0], text, n)) {
            nn_buf_puts(r->out, words[i][1]);
            return true;
        }
    bool digit = n && (isdigit((unsigned char)text[0]) || text[0] == '-' || text[0] == '.');
    if (!digit || strspn(text, "0123456789.eE+-") != n)
        return fail(r, "an argument of a callback that is no number, text or flag:", text, n);
    nn_buf_append(r->out, text, n);
    return true;
}

/* (key=value, ...); *needs becomes NULL where that key is among them. */
static bool put_arguments(reading *r, const char **needs) {
    for (int i = 0; r->at++, skip(r), *r->at != ')'; i++, r->at--) {
        bool quoted;
        const char *key;
        size_t n = take(r, &key, &quoted);
        NN_BUF name = {0};
        nn_buf_append(&name, key, n);
        if (*r->at != '=' || quoted || !nn_py_is_name(nn_buf_str(&name)))
            return fail(r, "an argument of a callback without a name:", key, n);
        if (*needs && same(*needs, key, n)) *needs = NULL;
        nn_buf_printf(r->out, "%s%s=", i ? ", " : "", nn_buf_str(&name));
        r->at++;
        if (!put_value(r)) return false;
    }
    r->at++;
    return true;
}

static bool put_class(reading *r, const char *text, size_t n, bool quoted, const char **needs) {
    NN_BUF path = {0};
    nn_buf_append(&path, text, n);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (same(known[i].name, text, n)) {
            nn_buf_printf(r->out, "keras.callbacks.%s(", known[i].name);
            *needs = known[i].needs;
            return true;
        }
    if (!quoted && !memchr(text, '.', n))
        return fail(r, "Keras has no callback made of numbers and texts that is called", text, n);
    if (!memchr(text, '.', n)) return fail(r, "a callback without a module:", text, n);
    nn_buf_puts(r->out, "find_object(");
    nn_py_string(r->out, nn_buf_str(&path));
    nn_buf_puts(r->out, ")(");
    return true;
}

static bool put_callback(reading *r) {
    bool quoted;
    const char *text, *needs = NULL;
    size_t n = take(r, &text, &quoted);
    nn_buf_puts(r->out, "    callbacks.append(");
    if (n == 0) return fail(r, "callbacks that cannot be read:", r->at, strlen(r->at));
    if (!put_class(r, text, n, quoted, &needs)) return false;
    if (*r->at == '(' && !put_arguments(r, &needs)) return false;
    if (needs) return fail(r, "a callback of Keras without the argument that it needs:", text, n);
    nn_buf_puts(r->out, "))\n");
    return true;
}

static bool put_all(reading *r) {
    if (!*r->at) return true;
    bool list = *r->at == '[' || *r->at == '(';
    if (!list) return put_callback(r);
    for (r->at++, skip(r); *r->at != ']' && *r->at != ')'; skip(r))
        if (!put_callback(r)) return false;
    return true;
}

void nn_tf_callbacks(const nn_train_spec *t, nn_buf *out) {
    reading r = {.at = t->callbacks, .out = out};
    put_all(&r);
}

/* ---- strategy ---- */

static const struct {
    const char *name, *alias, *lines;
} strategies[] = {
    {"MirroredStrategy",            "mirrored",              "    strategy = tf.distribute.MirroredStrategy()\n"},
    {"MultiWorkerMirroredStrategy", "multi_worker_mirrored",
     "    strategy = tf.distribute.MultiWorkerMirroredStrategy()\n"                                             },
    {"TPUStrategy",                 "tpu",
     "    resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu='')\n"
     "    tf.config.experimental_connect_to_cluster(resolver)\n"
     "    tf.tpu.experimental.initialize_tpu_system(resolver)\n"
     "    strategy = tf.distribute.TPUStrategy(resolver)\n"                                                     },
};

/* NULL: none of the table. */
static const char *strategy_lines(const char *name) {
    const char *dot = strrchr(name, '.');
    bool ours = !dot || strncmp(name, "tf.distribute.", 14) == 0;
    for (size_t i = 0; ours && i < sizeof strategies / sizeof *strategies; i++)
        if (strcmp(strategies[i].name, dot ? dot + 1 : name) == 0 ||
            strcmp(strategies[i].alias, name) == 0)
            return strategies[i].lines;
    return NULL;
}

void nn_tf_strategy(const nn_train_spec *t, nn_buf *out) {
    if (!*t->strategy) {
        nn_buf_puts(out, "    model = build_model()\n    compile_model(model, args.lr)\n");
        return;
    }
    nn_buf_puts(out, strategy_lines(t->strategy));
    nn_buf_puts(out, "    with strategy.scope():\n        model = build_model()\n"
                     "        compile_model(model, args.lr)\n");
}

/* ---- what is refused ---- */

bool nn_tf_finds(const nn_train_spec *t) {
    NN_BUF text = {0};
    nn_tf_callbacks(t, &text);
    return t->loss == NN_LOSS_CUSTOM || strstr(nn_buf_str(&text), "find_object(");
}

static nn_status check_strategy(const nn_train_spec *t, nn_err *err) {
    if (!*t->strategy || strategy_lines(t->strategy)) return NN_OK;
    nn_status s =
        nn_fail(err, NN_E_UNSUPPORTED,
                "strategy '%s' of execution: the TensorFlow backend writes those that need "
                "no cluster to be described",
                t->strategy);
    return nn_err_hint(err, s, "use one of mirrored, multi_worker_mirrored, tpu");
}

nn_status nn_tf_check_extras(const nn_train_spec *t, nn_err *err) {
    NN_BUF text = {0};
    reading r = {.at = t->callbacks, .out = &text};
    nn_status s = check_strategy(t, err);
    if (s || put_all(&r)) return s;
    s = nn_fail(err, NN_E_UNSUPPORTED, "'callbacks' in train: %s", r.why);
    return nn_err_hint(err, s,
                       "EarlyStopping, ReduceLROnPlateau, TensorBoard, TerminateOnNaN and the like "
                       "with numbers and texts, or \"module.name\" of a class of your own");
}
