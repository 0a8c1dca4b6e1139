/* SPDX-License-Identifier: MIT */
/* `neural operation run FOLDER`: one operation in a process of its own. It reads
 * FOLDER/request.json, works in the folder, reports on descriptor 3, and never touches the store.
 *
 * It must not outlive its server: PR_SET_PDEATHSIG kills it with its parent, the parent is checked
 * afterwards (it may have died before), and a report that nobody reads ends it too. FOLDER/lock
 * keeps a second attempt out until the first one is gone. */
#include "base/file.h"
#include "jobs/jobs_impl.h"
#include "jobs/report.h"
#include "jobs/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { REPORT_FD = 3, REQUEST_MAX = 64 << 20 };

static volatile sig_atomic_t stop;

static void on_stop(int sig) {
    (void)sig;
    stop = 1;
}

static void set_signals(void) {
    struct sigaction stopping = {.sa_handler = on_stop}, ignored = {.sa_handler = SIG_IGN};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    sigaction(SIGTERM, &stopping, NULL);
    sigaction(SIGINT, &stopping, NULL);
    sigaction(SIGXFSZ, &ignored, NULL); /* a file over its limit is an error of write */
    sigaction(SIGPIPE, &ignored, NULL); /* report.c ends the process itself */
}

static void limit(const nn_json *limits, const char *key, int resource, int64_t unit) {
    int64_t v = nn_json_int(nn_json_get(limits, key), 0);
    struct rlimit r = {(rlim_t)(v * unit), (rlim_t)(v * unit)};
    if (v > 0) setrlimit((__rlimit_resource_t)resource, &r);
}

/* False: the server is gone already. */
static bool bind_to_parent(const nn_json *request) {
    int64_t parent = nn_json_int(nn_json_get(request, "parent"), 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return !parent || parent == getppid();
}

/* Waits for an earlier attempt that is still dying. The descriptor stays open as long as this
 * process. */
static nn_status take_folder(const char *folder, nn_err *err) {
    char path[4200];
    snprintf(path, sizeof path, "%s/lock", folder);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return nn_file_fail(err, errno, "open", path);
    while (flock(fd, LOCK_EX) < 0)
        if (errno != EINTR || stop) return nn_file_fail(err, errno, "lock", path);
    return NN_OK;
}

static nn_status read_request(const char *folder, nn_json **ret, nn_err *err) {
    char path[4200];
    NN_BUF text = {0};
    snprintf(path, sizeof path, "%s/request.json", folder);
    nn_status s = nn_file_read(path, REQUEST_MAX, &text, err);
    if (s == NN_OK) s = nn_json_parse(nn_buf_str(&text), text.n, ret, err);
    if (s != NN_OK) nn_err_prefix(err, "%s", path);
    return s;
}

static nn_status work(const char *folder, int *fd, const nn_json *request, nn_json **ret_result,
                      nn_json **ret_details, nn_err *err) {
    int kind = nn_kind_id_find(nn_json_str(nn_json_get(request, "kind"), ""));
    if (kind < 0)
        return nn_fail(err, NN_E_INVALID_REQUEST, "%s/request.json: unknown kind", folder);
    nn_status s = take_folder(folder, err);
    if (s != NN_OK) return s;
    const nn_json *limits = nn_json_get(request, "limits");
    limit(limits, "memory_mb", RLIMIT_DATA, 1 << 20);
    limit(limits, "file_mb", RLIMIT_FSIZE, 1 << 20);
    limit(limits, "cpu_s", RLIMIT_CPU, 1);
    nn_run r = {.request = nn_json_get(request, "request"),
                .id = nn_json_str(nn_json_get(request, "id"), ""),
                .folder = folder,
                .model_path = nn_json_str(nn_json_get(request, "model_path"), NULL),
                .model_source = nn_json_str(nn_json_get(request, "model_source"), NULL),
                .resume = nn_json_bool(nn_json_get(request, "resume"), false),
                .threads = (int)nn_json_int(nn_json_get(request, "threads"), 0),
                .stop = &stop,
                .report = nn_report_writer(fd)};
    return nn_kind_run(NULL, (nn_kind_id)kind, &r, ret_result, ret_details, err);
}

int nn_operation_main(const char *folder) {
    NN_JSON *request = NULL, *result = NULL, *details = NULL;
    nn_err err = {0};
    int fd = fcntl(REPORT_FD, F_GETFD) >= 0 ? REPORT_FD : STDOUT_FILENO;
    set_signals();
    nn_status s = read_request(folder, &request, &err);
    if (s == NN_OK && !bind_to_parent(request)) return nn_status_exit(NN_E_INTERRUPTED);
    if (s == NN_OK) s = work(folder, &fd, request, &result, &details, &err);
    if (s == NN_OK) {
        nn_report_result(fd, result);
        return 0;
    }
    if (!details) details = nn_json_new_object();
    nn_run_evidence(&err, details);
    nn_report_error(fd, &err, details);
    fprintf(stderr, "%s\n", err.msg);
    return nn_status_exit(s);
}
