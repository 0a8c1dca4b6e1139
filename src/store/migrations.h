/* SPDX-License-Identifier: MIT */
/* migrations.h - the steps from an empty file to the present schema. A step that was released is
 * never changed; a new one is added at the end. Internal to src/store. */
#ifndef NN_STORE_MIGRATIONS_H
#define NN_STORE_MIGRATIONS_H

typedef struct nn_migration {
    int version; /* 1, 2, 3 … without gaps */
    const char *what;
    const char *sql; /* statements parted by ";", all in one transaction */
} nn_migration;
/* NULL past the end. */
const nn_migration *nn_sqlite_migration(int index);
int nn_sqlite_version(void); /* the newest */
#endif
