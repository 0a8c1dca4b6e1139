/* SPDX-License-Identifier: MIT */
/* settings.h - the configuration as a command with own flags sees it, and the store it names. */
#ifndef NN_CLI_SETTINGS_H
#define NN_CLI_SETTINGS_H
#include "base/config.h"
#include "cli/cli.h"
#include "store/store.h"

/* Loads the settings from a->rest, the environment, .env and --config. Faults are printed to
 * stderr, one a line; err holds the first. `--json` among the flags is told in *ret_json; where
 * that is NULL, it is unknown. */
nn_status nn_cli_settings(const nn_args *a, bool *ret_json, nn_config **ret, nn_err *err);
/* Opens the store that the settings name, which a server may be using too; *ret_storage (NULL
 * allowed): its folder, in the arena. */
nn_status nn_cli_store(const nn_args *a, bool *ret_json, nn_arena *arena, nn_store **ret,
                       const char **ret_storage, nn_err *err);
#endif
