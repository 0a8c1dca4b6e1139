/* SPDX-License-Identifier: MIT */
#include "engine/peak.h"
#include "t.h"

#include <math.h>
#include <pthread.h>

static void *ask(void *arg) {
    *(nn_peak *)arg = nn_machine_peak();
    return NULL;
}

/* Whoever asks gets the one measurement; it is a rate of a machine, not 0 or infinite. */
TEST(peak_is_measured_once) {
    nn_peak seen[4];
    pthread_t thread[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, ask, &seen[i]), 0);
    for (int i = 0; i < 4; i++) pthread_join(thread[i], NULL);
    for (int i = 0; i < 4; i++) {
        CHECK(seen[i].flops == seen[0].flops && seen[i].bytes == seen[0].bytes);
        CHECK(isfinite(seen[i].flops) && seen[i].flops > 0);
        CHECK(isfinite(seen[i].bytes) && seen[i].bytes > 0);
    }
}
