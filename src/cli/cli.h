/* SPDX-License-Identifier: MIT */
/* cli.h - commands, their options, and what they print.
 *
 * A command is a const descriptor: options as rows, a run function that returns a status. Results
 * go to stdout, everything about the run (progress, diagnostics, errors) to stderr, so that output
 * can be piped. The exit status is that of the error table. */
#ifndef NN_CLI_CLI_H
#define NN_CLI_CLI_H
#include "base/err.h"
#include "compile/compile.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct nn_option {
    const char *name;  /* without dashes: "backend" */
    char letter;       /* 'b', or 0 */
    const char *value; /* what stands for the value in help: "NAME"; NULL: a flag; "NAME..." may be
                          given several times */
    const char *help;
    const char *words; /* "a|b|c": what completion offers and the parser accepts; NULL: anything */
} nn_option;

enum { NN_CLI_OPTIONS = 24, NN_CLI_OPERANDS = 64 };

typedef struct nn_command nn_command;

typedef struct nn_args {
    const nn_command *command;
    const char *operands[NN_CLI_OPERANDS];
    int n_operands;
    /* By index into command->options; a flag that was given is "". */
    const char *values[NN_CLI_OPTIONS];
    /* Options that may be given several times, in order. */
    struct nn_given {
        int option;
        const char *value;
    } given[NN_CLI_OPERANDS];
    int n_given;
    /* What follows the options of a command with own_flags. */
    char *const *rest;
    int n_rest;
} nn_args;

struct nn_command {
    const char *operands; /* "FILE..." in the usage line */
    int min_operands, max_operands;
    const nn_option *options; /* ends with a NULL name */
    const char *description;  /* paragraphs for --help; may be NULL */
    const char *examples;     /* lines for --help; may be NULL */
    bool own_flags;           /* unknown --flags are handed on in `rest` (settings of the server) */
    nn_status (*run)(const nn_args *a, nn_err *err);
};

int nn_cli_main(int argc, char **argv);

/* Rows of commands.def. */
typedef struct nn_command_row {
    const char *name, *group, *summary;
    const nn_command *command;
} nn_command_row;
const nn_command_row *nn_command_at(unsigned i); /* NULL past the end */
const nn_command_row *nn_command_find(const char *name);
/* NN_E_USAGE: there is no such command; the hint names the nearest one. */
nn_status nn_command_unknown(const char *name, nn_err *err);

/* The value of an option, NULL if it was not given; whether a flag was given. The name must be one
 * of the command's. */
const char *nn_opt(const nn_args *a, const char *name);
bool nn_opt_given(const nn_args *a, const char *name);
/* The k-th value of an option that may be given several times; NULL past the last. */
const char *nn_opt_nth(const nn_args *a, const char *name, int k);
/* The value as a number within bounds; `otherwise` if it was not given. NN_E_USAGE names the
 * option. */
nn_status nn_opt_int(const nn_args *a, const char *name, int64_t otherwise, int64_t min,
                     int64_t max, int64_t *ret, nn_err *err);
nn_status nn_opt_num(const nn_args *a, const char *name, double otherwise, double min, double max,
                     double *ret, nn_err *err);
nn_status nn_args_parse(const nn_command_row *row, int argc, char *const *argv, nn_args *ret,
                        nn_err *err);

void nn_help_all(FILE *out);
void nn_help_command(const nn_command_row *row, FILE *out);

/* "1,199,882"; "71.6 M". Return buf. */
const char *nn_print_count(int64_t n, char buf[32]);
const char *nn_print_si(double n, char buf[32]);
bool nn_colour(FILE *f); /* a terminal, NO_COLOR not set */
/* Writes a whole command's output to stdout and checks it: NN_E_STORAGE_ERROR if the pipe or disk
 * refuses. */
nn_status nn_print(const char *text, size_t n, nn_err *err);

/* To stderr: "neural: message", and the hint on a line of its own. */
void nn_print_error(const nn_err *e);

/* 1536 as "1.5 KiB"; -1 as "?". Returns buf. */
const char *nn_print_bytes(int64_t n, char buf[32]);
/* A number, -1 as "?". Returns buf. */
const char *nn_print_known(int64_t n, char buf[32]);
nn_status nn_print_json(nn_json *v, nn_err *err); /* takes v */

/* Cells row by row, the first row a heading; each column as wide as its widest cell. */
typedef struct nn_grid {
    nn_buf cells;
    const char *align; /* a letter a column: l or r */
} nn_grid;
void nn_grid_add(nn_grid *t, const char *cell);
void nn_grid_print(const nn_grid *t, nn_buf *out); /* without what a terminal would obey */
void nn_grid_done(nn_grid *t);
int nn_print_cells(const char *s); /* how wide a terminal shows it */

/* ---- shared by commands that take a network ---- */

#define NN_CLI_SET                                                                                 \
    { "set", 0, "PATH=VALUE...", "value of a search point (see `neural search-space`)", NULL }
#define NN_CLI_AUTO_FLATTEN                                                                        \
    {                                                                                              \
        "auto-flatten", 0, NULL,                                                                   \
            "insert Flatten before Dense or Output where the rank asks for it", NULL               \
    }
/* The options above, of a command that has them. NN_E_USAGE: a --set without '=', or given twice.
 */
nn_status nn_cli_options(const nn_args *a, nn_arena *arena, nn_compile_options *ret, nn_err *err);
/* Reads and compiles a network, program text or model_data, and, unless `quiet`, prints its
 * diagnostics to stderr. *ret_diags is set also on failure, once the file could be read. */
nn_status nn_cli_compile(nn_arena *arena, const char *path, const nn_compile_options *opt,
                         bool quiet, nn_source *ret_source, nn_diags **ret_diags, nn_unit **ret,
                         nn_err *err);
/* A network to run: of a MODEL (.safetensors), with its weights, else of a program, whose
 * diagnostics are printed. `model` is NULL for a program; the caller frees it. */
typedef struct nn_cli_network {
    const nn_graph *graph;
    struct nn_model *model;
} nn_cli_network;
nn_status nn_cli_network_open(const nn_args *a, nn_arena *arena, const char *path,
                              nn_cli_network *ret, nn_err *err);
void nn_cli_network_done(nn_cli_network *n);
void nn_cli_print_diags(const nn_diags *d); /* to stderr */
/* NN_E_DSL_ERROR: "net.neural: 2 errors". */
nn_status nn_cli_errors(const nn_diags *d, nn_err *err);
/* {network, layers, parameters, trainable, flops}; owned by the caller. */
nn_json *nn_cli_unit_json(const nn_unit *u);
/* `neural import FILE --into PROGRAM|MODEL` for a PyTorch state_dict (weights.c). */
nn_status nn_cli_import_weights(const nn_args *a, nn_err *err);
/* `neural verify` of the model file at path, printed as `name`; the file stays as it is (verify.c).
 * a: of a command that has the options of verify. *ret_certificate (taken by the caller) is set
 * also where something differs, which is NN_E_CONFLICT, and NULL where it failed before. */
nn_status nn_cli_verify_file(const nn_args *a, const char *path, const char *name,
                             nn_json **ret_certificate, nn_err *err);
#define NN_CLI_VERIFY                                                                              \
    {"backends", 'b', "LIST", "all (default), or some of reference,native,pytorch,onnx,tfjs",      \
     NULL},                                                                                        \
        {"batch", 0, "N", "rows (default 4)", NULL},                                               \
        {"seed", 's', "N", "of the inputs and, for a program, of the weights (default 1)", NULL},  \
        {"layers", 0, NULL, "compare every layer, not only those before a difference", NULL}, {    \
        "dry-run", 0, NULL, "leave the model as it is", NULL                                       \
    }
/* Replaces a file's text: the one behind a symbolic link, whose mode stays. NN_E_STORAGE_ERROR
 * also for a file that may not be written. */
nn_status nn_cli_rewrite(const char *path, const void *p, size_t n, nn_err *err);
/* Where an output goes by default: "dir/net.neural" and "_pytorch.py" give "dir/net_pytorch.py";
 * standard input counts as "network". */
char *nn_cli_beside(nn_arena *arena, const char *path, const char *end);
#endif
