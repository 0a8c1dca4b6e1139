/* SPDX-License-Identifier: MIT */
#include "base/metrics.h"
#include "t.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check_line(const nn_buf *b, const char *line) {
    if (!strstr(nn_buf_str(b), line)) fail_msg("no '%s' in:\n%s", line, nn_buf_str(b));
}

/* The format is that of the Prometheus documentation, "Text-based format" 0.0.4. */
TEST(metrics_print_as_prometheus_text) {
    nn_series_add(nn_metric_series(NN_METRIC_HTTP_REQUESTS, "GET", "/health", "200"), 2);
    nn_series_add(nn_metric_series(NN_METRIC_HTTP_REQUESTS, "GET", "/health", "200"), 1);
    nn_series_add(nn_metric_series(NN_METRIC_HTTP_REQUESTS, "PO\"ST", "a\\b\nc", "\xff"), 1e15);
    nn_series_set(nn_metric_series(NN_METRIC_HTTP_CONNECTIONS), 5);
    nn_series_add(nn_metric_series(NN_METRIC_HTTP_CONNECTIONS), -2);
    NN_BUF b = {0};
    nn_metrics_print(&b);
    check_line(
        &b,
        "# HELP neural_http_requests_total HTTP requests answered.\n# TYPE neural_http_requests_total counter\n"
        "neural_http_requests_total{method=\"GET\",route=\"/health\",code=\"200\"} 3\n");
    check_line(
        &b,
        "neural_http_requests_total{method=\"PO\\\"ST\",route=\"a\\\\b\\nc\",code=\"\xef\xbf\xbd\"} 1000000000000000\n");
    check_line(&b, "# TYPE neural_http_connections gauge\nneural_http_connections 3\n");
    check_line(&b, "\nneural_build_info{version=\"" NN_VERSION "\"} 1\n");
    const char *resident = strstr(b.p, "\nprocess_resident_memory_bytes "),
               *fds = strstr(b.p, "\nprocess_open_fds ");
    CHECK(resident && atof(strchr(resident, ' ')) > 100000);
    CHECK(fds && atof(strchr(fds, ' ')) >= 3);
    CHECK(strstr(b.p, "\nprocess_start_time_seconds 1") && b.p[b.n - 1] == '\n');
}

TEST(metrics_histogram_counts_are_cumulative) {
    nn_series *s = nn_metric_series(NN_METRIC_DEPLOYMENT_BATCH, "d1");
    const double rows[] = {1, 2, 2, 3, 256, 257};
    for (int i = 0; i < 6; i++) nn_series_observe(s, rows[i]);
    NN_BUF b = {0};
    nn_metrics_print(&b);
    check_line(&b, "neural_deployment_batch_size_bucket{deployment=\"d1\",le=\"1\"} 1\n"
                   "neural_deployment_batch_size_bucket{deployment=\"d1\",le=\"2\"} 3\n"
                   "neural_deployment_batch_size_bucket{deployment=\"d1\",le=\"4\"} 4\n");
    check_line(
        &b, "le=\"256\"} 5\nneural_deployment_batch_size_bucket{deployment=\"d1\",le=\"+Inf\"} 6\n"
            "neural_deployment_batch_size_sum{deployment=\"d1\"} 521\n"
            "neural_deployment_batch_size_count{deployment=\"d1\"} 6\n");
    nn_series_observe(nn_metric_series(NN_METRIC_DEPLOYMENT_QUEUE, "d1"), 0.0003);
    nn_buf_clear(&b);
    nn_metrics_print(&b);
    check_line(&b, "neural_deployment_queue_seconds_bucket{deployment=\"d1\",le=\"0.00025\"} 0\n"
                   "neural_deployment_queue_seconds_bucket{deployment=\"d1\",le=\"0.0005\"} 1\n");
}

TEST(metrics_labels_are_bounded) {
    char name[32];
    for (int i = 0; i < 2000; i++) {
        snprintf(name, sizeof name, "queue%d", i);
        nn_series_add(nn_metric_series(NN_METRIC_QUEUE_DEPTH, name), 1);
    }
    NN_BUF b = {0};
    nn_metrics_print(&b);
    int lines = 0;
    for (const char *p = b.p; (p = strstr(p, "\nneural_queue_depth{")); p++) lines++;
    assert_int_equal(lines, NN_METRIC_SERIES);
    check_line(&b, "neural_queue_depth{queue=\"other\"} 1489\n"); /* 2000 less the 511 with a name
                                                                     of their own */
    char huge[5000];
    memset(huge, 'x', sizeof huge);
    huge[sizeof huge - 1] = 0;
    CHECK(nn_metric_series(NN_METRIC_OPERATIONS, huge, huge));
}

static void *update(void *arg) {
    (void)arg;
    char kind[8];
    for (int i = 0; i < 20000; i++) {
        snprintf(kind, sizeof kind, "k%d", i % 50);
        nn_series_add(nn_metric_series(NN_METRIC_OPERATIONS_FINISHED, kind, "done"), 1);
        nn_series_observe(nn_metric_series(NN_METRIC_DEPLOYMENT_BATCH, "threads"), 4);
    }
    return NULL;
}

TEST(metrics_lose_no_update) {
    pthread_t t[4];
    for (int i = 0; i < 4; i++) pthread_create(&t[i], NULL, update, NULL);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    NN_BUF b = {0};
    nn_metrics_print(&b);
    check_line(&b, "neural_operations_finished_total{kind=\"k49\",outcome=\"done\"} 1600\n");
    check_line(&b, "neural_deployment_batch_size_sum{deployment=\"threads\"} 320000\n");
    check_line(&b, "neural_deployment_batch_size_count{deployment=\"threads\"} 80000\n");
}
