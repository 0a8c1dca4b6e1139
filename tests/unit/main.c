/* SPDX-License-Identifier: MIT */
/* main.c - runs every TEST() linked into this program, or those whose name contains argv[1]. */
#include "t.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const t_case *const __start_t_cases[], *const __stop_t_cases[];

int main(int argc, char **argv) {
    size_t n = (size_t)(__stop_t_cases - __start_t_cases), used = 0;
    struct CMUnitTest *tests = calloc(n, sizeof *tests);
    if (!tests) return 2;
    for (size_t i = 0; i < n; i++)
        if (argc < 2 || strstr(__start_t_cases[i]->name, argv[1]))
            tests[used++] = (struct CMUnitTest){.name = __start_t_cases[i]->name,
                                                .test_func = __start_t_cases[i]->fn};
    if (!used) {
        fprintf(stderr, "no test matches\n");
        return 2;
    }
    int failed = _cmocka_run_group_tests(argv[0], tests, used, NULL, NULL);
    free(tests);
    return failed != 0;
}
