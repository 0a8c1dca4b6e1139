/* SPDX-License-Identifier: MIT */
/* config.h - the settings of the program: rows of config.def, each with its value and where that
 * came from. Immutable after loading, so any thread may read it.
 *
 * From strong to weak: flag > NEURAL_* variable > a document's own variable > the same names in
 * .env > --config FILE (YAML; maps mirror the dots) > default. A variable set to "" counts as not
 * set. All faults are reported together. */
#ifndef NN_BASE_CONFIG_H
#define NN_BASE_CONFIG_H
#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum nn_cfg {
#define NN_CONFIG(id, type, key, otherwise, rule, flag, names, help) NN_CFG_##id,
#include "base/config.def"
#undef NN_CONFIG
    NN_CFG_COUNT
} nn_cfg;

typedef enum nn_cfg_type {
    NN_CFG_STR,
    NN_CFG_SECRET, /* a text that is never printed */
    NN_CFG_WORD, /* one of the words in the rule, in any letter case; kept as the rule spells it */
    NN_CFG_INT,
    NN_CFG_SIZE, /* bytes: 10485760, 10M, 10MiB */
    NN_CFG_NUM,
    NN_CFG_BOOL, /* true false yes no on off 1 0 */
    NN_CFG_LIST  /* texts: a YAML list, a JSON array or a comma list */
} nn_cfg_type;

typedef struct nn_cfg_row {
    const char *key; /* "server.port" */
    nn_cfg_type type;
    const char *otherwise; /* default; "" = not set; {a.b} stands for the value of that key */
    const char *rule;      /* "1..65535" value or length, "a|b|c=b" words; "" = none */
    const char *flag;      /* "port": --port; "" = none */
    const char *names;     /* further variables, parted by blanks, strongest first */
    const char *help;
} nn_cfg_row;
const nn_cfg_row *nn_config_row(nn_cfg id);
/* The row of a dotted key; -1 if there is none. */
int nn_config_find(const char *key);

typedef struct nn_config nn_config;
typedef struct nn_config_flag {
    const char *name; /* a flag of the table without dashes, or a dotted key */
    const char *value;
} nn_config_flag;
typedef struct nn_config_input {
    const nn_config_flag *flags;
    size_t n_flags;
    char *const *env;   /* NULL: none; usually environ */
    const char *dotenv; /* path, usually ".env"; may not exist; NULL: none */
    const char *file;   /* --config; must exist; NULL: none */
} nn_config_input;

/* On failure (NN_E_CONFIG_ERROR) problems, which may be NULL, gets one line for each fault; err the
 * first and their number. */
nn_status nn_config_load(const nn_config_input *in, nn_config **ret, nn_buf *problems, nn_err *err);
void nn_config_free(nn_config *c); /* NULL allowed */

/* The type must be the row's. */
const char *nn_config_str(const nn_config *c, nn_cfg id); /* STR SECRET WORD; "" when not set */
int64_t nn_config_int(const nn_config *c, nn_cfg id);     /* INT SIZE */
double nn_config_num(const nn_config *c, nn_cfg id);
bool nn_config_bool(const nn_config *c, nn_cfg id);
const char *const *nn_config_list(const nn_config *c, nn_cfg id); /* NULL-terminated */
/* "default", "--port", "NEURAL_PORT", ".env: API_PORT", "neural.yaml:3". */
const char *nn_config_source(const nn_config *c, nn_cfg id);
bool nn_config_is_default(const nn_config *c, nn_cfg id);
/* What was odd but not wrong, NULL-terminated: for the start-up log and /health.config_warnings. */
const char *const *nn_config_warnings(const nn_config *c);

/* Every key with value and source; secrets, and passwords in URLs, as "********". */
void nn_config_print(const nn_config *c, nn_buf *out);
void nn_config_print_json(const nn_config *c, nn_buf *out);
#endif
