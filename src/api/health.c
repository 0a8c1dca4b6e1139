/* SPDX-License-Identifier: MIT */
/* health.c - see health.h. */
#include "api/health.h"

#include "base/clock.h"
#include "base/config.h"
#include "base/file.h"
#include "base/json.h"
#include "store/store.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 1 << 20 }; /* bytes of free disk that taking work needs */

struct nn_health {
    nn_app *app;
    nn_buf
        services[2]; /* "services":{…},"config_warnings":[…]} with the store unhealthy, healthy */
    atomic_bool store_ok;
};

static void print_services(const nn_app *app, bool store_ok, nn_buf *out) {
    const struct {
        const char *name, *word;
    } rows[] = {
        {"api",           "healthy"                               },
        {"celery",        app->supervisor ? "healthy" : "disabled"},
        {"redis",         "disabled"                              },
        {"store",         store_ok ? "healthy" : "unhealthy"      },
        {"workers",       app->serve ? "healthy" : "disabled"     },
        {"engines",       "healthy"                               },
        {"analytics",     "disabled"                              },
        {"test_api",      "disabled"                              },
        {"generator_api", "disabled"                              },
        {"benchmark_api", "disabled"                              },
    };
    nn_jw w = {.out = out};
    nn_buf_puts(out, ",\"services\":");
    nn_jw_obj(&w);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        nn_jw_key(&w, rows[i].name);
        nn_jw_str(&w, rows[i].word);
    }
    nn_jw_end_obj(&w);
    nn_jw_key(&w, "config_warnings");
    nn_jw_arr(&w);
    for (const char *const *p = nn_config_warnings(app->config); *p; p++) nn_jw_str(&w, *p);
    nn_jw_end_arr(&w);
    nn_jw_end_obj(&w);
}

nn_health *nn_health_new(nn_app *app) {
    nn_health *h = calloc(1, sizeof *h);
    if (!h) abort();
    h->app = app;
    for (int ok = 0; ok < 2; ok++) print_services(app, ok, &h->services[ok]);
    atomic_store(&h->store_ok, true);
    return h;
}

void nn_health_free(nn_health *h) {
    if (!h) return;
    nn_buf_done(&h->services[0]);
    nn_buf_done(&h->services[1]);
    free(h);
}

static bool is_draining(const nn_app *app) {
    return __atomic_load_n(&app->draining, __ATOMIC_ACQUIRE);
}

/* Written by hand: it is asked often, by programs that only want to know that it is answered. */
void nn_health_print(nn_health *h, nn_buf *out) {
    static const char head[] = "{\"status\":\"healthy\",\"version\":\"" NN_VERSION
                               "\",\"service\":\"neural-backend-bridge\",\"timestamp\":\"";
    static const char sick[] = "{\"status\":\"degraded\",\"version\":\"" NN_VERSION
                               "\",\"service\":\"neural-backend-bridge\",\"timestamp\":\"";
    bool ok = atomic_load_explicit(&h->store_ok, memory_order_relaxed);
    char time[NN_TIME_TEXT], digits[24], *p = digits + sizeof digits;
    int64_t ms = (nn_clock_mono() - h->app->started_ns) / 1000000;
    for (int i = 0; i < 3; i++, ms /= 10) *--p = (char)('0' + ms % 10);
    *--p = '.';
    do *--p = (char)('0' + ms % 10);
    while (ms /= 10);
    nn_buf_append(out, ok ? head : sick, sizeof head - 1);
    nn_buf_puts(out, nn_time_print(nn_clock_wall(), time));
    nn_buf_append(out, "\",\"uptime_s\":", 13);
    nn_buf_append(out, p, (size_t)(digits + sizeof digits - p));
    nn_buf_puts(out, is_draining(h->app) ? ",\"shutting_down\":true" : ",\"shutting_down\":false");
    nn_buf_append(out, h->services[ok].p, h->services[ok].n);
}

const char *nn_health_unready(nn_health *h) {
    if (is_draining(h->app)) return "draining";
    return atomic_load(&h->store_ok) ? NULL : "the store cannot be written";
}

nn_status nn_health_probe(nn_health *h, int64_t *ret_ns, nn_err *err) {
    int64_t begin = nn_clock_mono(), n = 0;
    nn_status s = nn_store_count(h->app->store, NN_TABLE_DEPLOYMENTS, NULL, 0, &n, err);
    *ret_ns = nn_clock_mono() - begin;
    if (s == NN_OK)
        s = nn_disk_check(nn_config_str(h->app->config, NN_CFG_PATHS_STORAGE), ROOM, err);
    atomic_store(&h->store_ok, s == NN_OK);
    return s;
}
