/* SPDX-License-Identifier: MIT */
/* The predict route through a whole server: one tiny model y = W x is live, a socket asks. */
#include "api/app.h"
#include "base/config.h"
#include "linear_model.h"
#include "serve/serve.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { IN = 2, OUT = 2 };
static const float kernel[IN * OUT] = {1, 10, 2, 20}; /* [in, out] */

static void save_model(const char *path) {
    nn_err err = {0};
    nn_model *m = linear_model((linear){"x", "y", IN, OUT, kernel});
    m->scale = 1;
    CHECK_OK(nn_model_save(m, path, &err), &err);
    nn_model_free(m);
}

typedef struct fixture {
    char folder[32];
    nn_config *config;
    nn_app *app;
} fixture;

static void start(fixture *f) {
    nn_err err = {0};
    NN_BUF problems = {0};
    snprintf(f->folder, sizeof f->folder, "/tmp/nn-predict-XXXXXX");
    CHECK(mkdtemp(f->folder) != NULL);
    nn_config_flag flags[] = {
        {"server.port",         "0"      },
        {"paths.storage",       f->folder},
        {"auth.mode",           "open"   },
        {"server.http_threads", "2"      }
    };
    nn_config_input in = {.flags = flags, .n_flags = sizeof flags / sizeof *flags};
    CHECK_OK(nn_config_load(&in, &f->config, &problems, &err), &err);
    CHECK_OK(nn_api_start(f->config, &f->app, &err), &err);
    char path[64];
    snprintf(path, sizeof path, "%s/m.safetensors", f->folder);
    save_model(path);
    nn_live_spec d = {.id = "d-1",
                      .name = "linear",
                      .model_id = "m-1",
                      .model_version = 3,
                      .model_path = path,
                      .engine = "reference",
                      .replicas = 1,
                      .max_batch = 4,
                      .max_queue = 16,
                      .max_delay_ms = 1};
    CHECK_OK(nn_serve_start(f->app->serve, &d, NULL, &err), &err);
}

static void stop(fixture *f) {
    char command[64];
    nn_api_stop(f->app);
    nn_config_free(f->config);
    snprintf(command, sizeof command, "rm -rf %s", f->folder);
    assert_int_equal(system(command), 0);
}

static int dial(const fixture *f) {
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)nn_api_port(f->app))};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void send_request(const fixture *f, int fd, const char *name, const char *body, size_t n) {
    NN_BUF out = {0};
    nn_buf_printf(&out,
                  "POST /api/v1/deployments/%s/predict HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                  "Origin: http://127.0.0.1:%d\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
                  name, nn_api_port(f->app), nn_api_port(f->app), n);
    nn_buf_append(&out, body, n);
    for (size_t at = 0; at < out.n;) {
        ssize_t k = send(fd, out.p + at, out.n - at, MSG_NOSIGNAL);
        CHECK(k > 0);
        at += (size_t)k;
    }
}

/* Status of the answer, which must hold `words`. */
static void ask(const fixture *f, const char *name, const char *body, size_t n, int status,
                const char *words) {
    NN_BUF in = {0};
    int fd = dial(f);
    send_request(f, fd, name, body, n);
    char piece[4096];
    for (ssize_t k; (k = recv(fd, piece, sizeof piece, 0)) > 0;)
        nn_buf_append(&in, piece, (size_t)k);
    close(fd);
    int got = 0;
    if (sscanf(nn_buf_str(&in), "HTTP/1.1 %d", &got) != 1 || got != status ||
        !strstr(nn_buf_str(&in), words))
        fail_msg("%.60s: expected %d and \"%s\", got %s", body, status, words, nn_buf_str(&in));
    CHECK(strstr(nn_buf_str(&in), "X-Request-ID: "));
}

#define ASK(f, body, status, words) ask((f), "linear", body, strlen(body), status, words)

TEST(predict_answers_and_refuses) {
    fixture f = {0};
    start(&f);
    /* 1*3 + 2*4 = 11, 10*3 + 20*4 = 110 */
    ASK(&f, "{\"inputs\":[[3,4]],\"top_k\":1,\"foo\":0}", 200,
        "{\"predictions\":[[11.0,110.0]],\"outputs\":{\"y\":[[11.0,110.0]]},\"model_id\":\"m-1\","
        "\"model_version\":3,\"deployment_id\":\"d-1\"");
    ASK(&f, "{\"inputs\":[3,4],\"top_k\":1,\"foo\":0}", 200,
        "\"top\":[[{\"class\":\"1\",\"score\":110.0}]],"
        "\"warnings\":[\"unknown field 'foo' was ignored\"]}");
    ask(&f, "d-1", "{\"instances\":[1,0]}", 19, 200, "[[1.0,10.0]]");
    ASK(&f, "", 422, "a body is required");
    ASK(&f, "{\"inputs\":[[3,\"x\"]]}", 422,
        "{\"loc\":[\"body\",\"inputs\",0,1],\"field\":\"inputs.0.1\","
        "\"msg\":\"is a text, expected a number\",\"type\":\"wrong_type\"}");
    ASK(&f, "{\"inputs\":[[3,4]]", 400, "\"code\":\"invalid_request\"");
    ASK(&f, "{\"inputs\":[3,4],\"inputs\":[3,4]}", 400, "is there twice");
    ASK(&f, "{\"inputs\":[[\xff]]}", 400, "invalid_request");
    ask(&f, "nobody", "{\"inputs\":[3,4]}", 16, 404, "Deployment nobody not found");
    stop(&f);
}

TEST(predict_reads_large_bodies_on_the_pool) {
    fixture f = {0};
    start(&f);
    NN_BUF b = {0};
    nn_buf_puts(&b, "{\"inputs\":[[0,0]");
    for (int i = 1; i < 20000; i++) nn_buf_puts(&b, ",[0,0]");
    nn_buf_puts(&b, ",[5,0]]}");
    ask(&f, "linear", b.p, b.n, 200, "[0.0,0.0],[5.0,50.0]],\"outputs\"");
    b.n--;
    ask(&f, "linear", b.p, b.n, 400, "invalid_request");
    stop(&f);
}

/* Clients that leave, and a deployment that is stopped meanwhile: everything is let go of. */
TEST(predict_survives_clients_and_deployments_that_leave) {
    fixture f = {0};
    start(&f);
    int fd[32];
    for (int i = 0; i < 32; i++)
        send_request(&f, fd[i] = dial(&f), "linear", "{\"inputs\":[3,4]}", 16);
    for (int i = 0; i < 16; i++) close(fd[i]);
    nn_serve_stop(f.app->serve, "d-1");
    ASK(&f, "{\"inputs\":[3,4]}", 404, "not found");
    for (int i = 16; i < 32; i++) {
        char c;
        CHECK(recv(fd[i], &c, 1, 0) == 1); /* each got an answer, of either kind */
        close(fd[i]);
    }
    stop(&f);
}
