/* SPDX-License-Identifier: MIT */
/* The schema in SQLite's dialect. STRICT tables refuse values of another type; times are
 * microseconds since 1970. */
#include "store/migrations.h"

#include <stddef.h>

static const nn_migration migrations[] = {
    {1, "operations, events, experiments, artifacts, models, deployments, keys",
     "CREATE TABLE operations ("
     " id TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT, state TEXT NOT NULL, verdict TEXT,"
     " level INTEGER NOT NULL, principal TEXT, parent_id TEXT, model_id TEXT, model_name TEXT,"
     " backend TEXT, engine TEXT, hardware TEXT, connector TEXT, request TEXT NOT NULL, result TEXT,"
     " error TEXT, error_code TEXT, error_details TEXT, warnings TEXT, labels TEXT, progress TEXT,"
     " timeout_s REAL, attempt INTEGER NOT NULL, interruptions INTEGER NOT NULL, cancelled_by TEXT, created_at INTEGER NOT NULL,"
     " updated_at INTEGER NOT NULL, started_at INTEGER, finished_at INTEGER, lease_owner TEXT,"
     " lease_epoch INTEGER NOT NULL, lease_expires INTEGER) STRICT;"
     /* The queue: the head of each level is one look into this index. */
     "CREATE INDEX operations_queue ON operations (level, created_at, id) WHERE state = 'queued';"
     "CREATE INDEX operations_leases ON operations (lease_expires) WHERE lease_owner IS NOT NULL;"
     "CREATE INDEX operations_newest ON operations (created_at DESC, id);"
     "CREATE INDEX operations_by_state ON operations (state);"
     "CREATE INDEX operations_children ON operations (parent_id) WHERE parent_id IS NOT NULL;"

     "CREATE TABLE events ("
     " seq INTEGER PRIMARY KEY AUTOINCREMENT, ts INTEGER NOT NULL, type TEXT NOT NULL,"
     " operation_id TEXT, kind TEXT, state TEXT, data TEXT NOT NULL) STRICT;"
     "CREATE INDEX events_of_operation ON events (operation_id, seq) WHERE operation_id IS NOT NULL;"
     "CREATE INDEX events_by_time ON events (ts);"

     "CREATE TABLE experiments ("
     " id TEXT PRIMARY KEY, name TEXT NOT NULL, group_name TEXT NOT NULL, status TEXT NOT NULL,"
     " operation_id TEXT, model_id TEXT, parent_id TEXT, tags TEXT, notes TEXT, inputs TEXT,"
     " provenance TEXT, lifecycle TEXT NOT NULL, created_at INTEGER NOT NULL,"
     " updated_at INTEGER NOT NULL, finished_at INTEGER) STRICT;"
     "CREATE INDEX experiments_newest ON experiments (created_at DESC, id);"
     "CREATE TABLE params ("
     " experiment_id TEXT NOT NULL REFERENCES experiments ON DELETE CASCADE, name TEXT NOT NULL,"
     " value TEXT NOT NULL, PRIMARY KEY (experiment_id, name)) STRICT, WITHOUT ROWID;"
     "CREATE TABLE metrics ("
     " id INTEGER PRIMARY KEY, experiment_id TEXT NOT NULL REFERENCES experiments ON DELETE CASCADE,"
     " name TEXT NOT NULL, step INTEGER NOT NULL, ts_ms INTEGER NOT NULL, value REAL) STRICT;"
     /* Equal points once; NaN is null and equal to itself here. */
     "CREATE UNIQUE INDEX metrics_points ON metrics"
     " (experiment_id, name, step, ts_ms, coalesce(value, 'nan'));"
     "CREATE TABLE metric_heads ("
     " experiment_id TEXT NOT NULL REFERENCES experiments ON DELETE CASCADE, name TEXT NOT NULL,"
     " mode TEXT NOT NULL, latest_value REAL, latest_step INTEGER NOT NULL,"
     " latest_ts_ms INTEGER NOT NULL, best_value REAL, best_step INTEGER, points INTEGER NOT NULL,"
     " PRIMARY KEY (experiment_id, name)) STRICT, WITHOUT ROWID;"

     "CREATE TABLE artifacts ("
     " id TEXT PRIMARY KEY, operation_id TEXT, experiment_id TEXT, name TEXT NOT NULL,"
     " version INTEGER NOT NULL, kind TEXT NOT NULL, media_type TEXT NOT NULL,"
     " size INTEGER NOT NULL, sha256 TEXT NOT NULL, created_at INTEGER NOT NULL) STRICT;"
     "CREATE UNIQUE INDEX artifacts_names ON artifacts"
     " (coalesce(operation_id, ''), coalesce(experiment_id, ''), name, version);"
     "CREATE INDEX artifacts_of_operation ON artifacts (operation_id, name, version);"
     "CREATE INDEX artifacts_of_experiment ON artifacts (experiment_id, name, version);"
     "CREATE INDEX artifacts_by_content ON artifacts (sha256);"

     "CREATE TABLE models ("
     " id TEXT PRIMARY KEY, name TEXT NOT NULL, version INTEGER NOT NULL, file_name TEXT NOT NULL,"
     " backend TEXT, size INTEGER NOT NULL, sha256 TEXT NOT NULL, network_name TEXT,"
     " input_shape TEXT, output_shape TEXT, num_layers INTEGER, num_parameters INTEGER,"
     " has_weights INTEGER NOT NULL, experiment_id TEXT, operation_id TEXT, source TEXT,"
     " description TEXT, tags TEXT, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,"
     " UNIQUE (name, version)) STRICT;"
     "CREATE INDEX models_newest ON models (created_at DESC, id);"
     "CREATE INDEX models_by_file_name ON models (file_name);"
     "CREATE TABLE model_files ("
     " id INTEGER PRIMARY KEY, model_id TEXT NOT NULL REFERENCES models ON DELETE CASCADE,"
     " name TEXT NOT NULL, kind TEXT NOT NULL, backend TEXT, media_type TEXT NOT NULL,"
     " size INTEGER NOT NULL, sha256 TEXT NOT NULL, UNIQUE (model_id, name)) STRICT;"

     "CREATE TABLE deployments ("
     " id TEXT PRIMARY KEY, name TEXT NOT NULL, status TEXT NOT NULL, model_id TEXT NOT NULL,"
     " model_version INTEGER, backend TEXT, engine TEXT, replicas INTEGER NOT NULL, config TEXT,"
     " environment TEXT, endpoint TEXT, error TEXT, principal TEXT, created_at INTEGER NOT NULL,"
     " updated_at INTEGER NOT NULL) STRICT;"
     "CREATE UNIQUE INDEX deployments_names ON deployments (name)"
     " WHERE status IN ('deploying', 'deployed');"
     "CREATE INDEX deployments_newest ON deployments (created_at DESC, id);"
     "CREATE INDEX deployments_of_model ON deployments (model_id);"

     "CREATE TABLE api_keys ("
     " id TEXT PRIMARY KEY, name TEXT NOT NULL, description TEXT, prefix TEXT NOT NULL,"
     " sha256 TEXT NOT NULL UNIQUE, username TEXT, role TEXT NOT NULL, scopes TEXT,"
     " is_active INTEGER NOT NULL, created_at INTEGER NOT NULL, last_used_at INTEGER,"
     " expires_at INTEGER) STRICT;"                                                     },
 /* Statements carry parameters, for which SQLite never takes a partial index. Each index begins
  * with what is asked for by equality, goes on with the order, and ends with what else is asked,
  * so that counting and skipping read the index alone. */
    {2, "indexes for claims, lists and their totals",
     "DROP INDEX operations_queue; DROP INDEX operations_by_state; DROP INDEX operations_newest;"
     "CREATE INDEX operations_queue ON operations (state, level, created_at, id, kind);"
     "CREATE INDEX operations_by_state ON operations (state, created_at DESC, id, kind);"
     "CREATE INDEX operations_newest ON operations (created_at DESC, id, kind);"
     "DROP INDEX experiments_newest;"
     "CREATE INDEX experiments_newest ON experiments (lifecycle, created_at DESC, id, status);"
     "DROP INDEX models_newest;"
     "CREATE INDEX models_newest ON models (created_at DESC, id, backend);"
     "DROP INDEX deployments_newest;"
     "CREATE INDEX deployments_newest ON deployments (created_at DESC, id DESC, status);"
     "CREATE INDEX deployments_by_name ON deployments (name, created_at DESC, id DESC);"},
};

enum { COUNT = sizeof migrations / sizeof *migrations };

const nn_migration *nn_sqlite_migration(int index) {
    return index < COUNT ? &migrations[index] : NULL;
}

int nn_sqlite_version(void) {
    return migrations[COUNT - 1].version;
}
