/* SPDX-License-Identifier: MIT */
/* train.c - trains in this process: what the server's training child does, with a person watching.
 */
#include "base/file.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "engine/summary.h"
#include "jobs/train_run.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static volatile sig_atomic_t stop;

static void on_signal(int sig) {
    (void)sig;
    stop = 1;
}

/* The first Ctrl-C ends the training at the next step with a checkpoint; the second one kills. */
static void catch_signals(void) {
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND};
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
}

static nn_status read_options(const nn_args *a, nn_train_job *job, nn_json **ret_hyper,
                              nn_err *err) {
    int64_t threads = 0, seed = 0;
    nn_status s = nn_opt_int(a, "epochs", 0, 1, 1000000, &job->epochs, err);
    if (!s) s = nn_opt_int(a, "batch-size", 0, 1, 1 << 20, &job->batch_size, err);
    if (!s) s = nn_opt_num(a, "lr", 0, 1e-12, 1e6, &job->learning_rate, err);
    if (!s) s = nn_opt_num(a, "validation-split", -1, 0, 0.99, &job->validation_split, err);
    if (!s) s = nn_opt_int(a, "threads", 0, 1, 256, &threads, err);
    if (!s) s = nn_opt_int(a, "seed", 0, 0, INT64_MAX, &seed, err);
    if (s) return s;
    job->threads = (int)threads;
    job->dataset = nn_opt(a, "data");
    job->engine = nn_opt(a, "engine");
    job->resume = nn_opt_given(a, "resume");
    job->best = nn_opt_given(a, "best");
    if (nn_opt(a, "seed")) {
        *ret_hyper = nn_json_new_object();
        nn_json_set(*ret_hyper, "seed", nn_json_new_int(seed));
    }
    return NN_OK;
}

static void on_warning(void *ctx, const char *text) {
    nn_progress_end(ctx);
    fprintf(stderr, "warning: %s\n", text);
}

static void set_num(nn_json *o, const char *key, double v) {
    nn_json_set(o, key, nn_json_new_num(v)); /* NAN, not measured, becomes null */
}

static void set_other(void *o, const char *key, double v) {
    set_num(o, key, v);
}

static void put_other(void *out, const char *name, double v) {
    nn_buf_printf(out, ", %s %.4f", name, v);
}

static nn_status print_result(const nn_train_job *job, const nn_train_outcome *o, bool json,
                              nn_err *err) {
    const nn_train_result *r = &o->result;
    NN_BUF out = {0};
    if (json) {
        NN_JSON *v = nn_json_new_object();
        nn_json_set(v, "type", nn_json_new_str("result"));
        nn_json_set(v, "model", nn_json_new_str(job->output));
        nn_json_set(v, "sha256", nn_json_new_str(o->model->sha256));
        nn_json_set(v, "dataset", nn_json_new_str(o->data_name));
        nn_json_set(v, "engine", nn_json_new_str(o->engine));
        nn_json_set(v, "seed", nn_json_new_int((int64_t)o->seed));
        nn_json_set(v, "epochs", nn_json_new_int(r->epochs));
        set_num(v, "loss", r->loss);
        set_num(v, "accuracy", r->accuracy);
        set_num(v, "val_loss", r->val_loss);
        set_num(v, "val_accuracy", r->val_accuracy);
        set_num(v, "test_loss", r->test_loss);
        set_num(v, "test_accuracy", r->test_accuracy);
        nn_metric_values_each(&r->metrics, "", set_other, v);
        nn_metric_values_each(&r->val_metrics, "val_", set_other, v);
        nn_metric_values_each(&r->test_metrics, "test_", set_other, v);
        if (r->best_epoch) nn_json_set(v, "best_epoch", nn_json_new_int(r->best_epoch));
        nn_json_set(v, "stopped_early", nn_json_new_bool(r->stopped_early));
        set_num(v, "seconds", r->seconds);
        set_num(v, "samples_per_s", r->samples_per_s);
        set_num(v, "data_wait", r->data_wait);
        nn_json_dump(v, 0, &out);
        nn_buf_putc(&out, '\n');
        return nn_print(nn_buf_str(&out), out.n, err);
    }
    char rate[32];
    if (!isnan(r->test_accuracy))
        nn_buf_printf(&out, "test accuracy %.4f, loss %.4f", r->test_accuracy, r->test_loss);
    else if (!isnan(r->test_loss))
        nn_buf_printf(&out, "test loss %.4f", r->test_loss);
    nn_metric_values_each(&r->test_metrics, "", put_other, &out);
    if (out.n) nn_buf_putc(&out, '\n');
    if (r->stopped_early)
        nn_buf_printf(&out, "stopped early after epoch %lld\n", (long long)r->epochs);
    if (r->best_epoch)
        nn_buf_printf(&out, "these are the weights of epoch %lld, the best one\n",
                      (long long)r->best_epoch);
    nn_buf_printf(&out, "wrote %s: %s, %ld epoch%s of %s in %.1f s, %s samples/s\n", job->output,
                  o->model->graph->name, (long)r->epochs, r->epochs == 1 ? "" : "s", o->data_name,
                  r->seconds, nn_print_count((int64_t)r->samples_per_s, rate));
    return nn_print(nn_buf_str(&out), out.n, err);
}

static nn_status train(const nn_args *a, nn_arena *arena, nn_train_job *job, nn_err *err) {
    nn_source src;
    nn_diags *diags = NULL;
    nn_unit *u = NULL;
    nn_compile_options opt;
    nn_status s = nn_cli_options(a, arena, &opt, err);
    if (!s) s = nn_cli_compile(arena, a->operands[0], &opt, false, &src, &diags, &u, err);
    if (!s) s = nn_unit_runnable(u, err);
    if (s) return s;
    bool json = nn_opt_given(a, "json");
    nn_progress progress = nn_progress_new(json);
    job->source_name = src.name;
    job->source = nn_arena_strndup(arena, src.text, src.size);
    job->auto_flatten = opt.auto_flatten;
    job->settings = opt.settings;
    job->n_settings = opt.n_settings;
    job->output = nn_opt(a, "output") ? nn_opt(a, "output")
                                      : nn_cli_beside(arena, a->operands[0], ".safetensors");
    job->checkpoint = nn_opt(a, "checkpoint")
                          ? nn_opt(a, "checkpoint")
                          : nn_arena_printf(arena, "%s.checkpoint", job->output);
    job->stop = &stop;
    job->on_event = nn_progress_event;
    job->on_warning = on_warning;
    job->ctx = &progress;
    s = nn_file_check_writable(job->output, err);
    if (!s) s = nn_file_check_writable(job->checkpoint, err);
    if (s) return s;
    catch_signals();
    nn_train_outcome o = {0};
    s = nn_train_run(job, &o, err);
    nn_progress_end(&progress);
    if (!s) {
        s = print_result(job, &o, json, err);
        if (!nn_opt(a, "checkpoint")) remove(job->checkpoint); /* ended well: nothing to resume */
    } else if (s == NN_E_CANCELLED) {
        nn_err_hint(err, s, "go on from the checkpoint with the same command and --resume");
    }
    nn_train_outcome_done(&o);
    return s;
}

static nn_status run_train(const nn_args *a, nn_err *err) {
    NN_AUTO(nn_arena) *arena = nn_arena_new(NULL, "train", (size_t)2 << 30);
    NN_JSON *hyper = NULL;
    nn_train_job job = {0};
    nn_status s = read_options(a, &job, &hyper, err);
    job.hyperparameters = hyper;
    return s ? s : train(a, arena, &job, err);
}

/* clang-format off */
static const nn_option options[] = {
    {"data",             'd', "SET",  "data set: a name or a path (default: what the network names)", NULL},
    {"output",           'o', "FILE", "the model file (default: FILE with .safetensors)", NULL},
    {"epochs",           'e', "N",    "instead of the network's", NULL},
    {"batch-size",       'b', "N",    "instead of the network's", NULL},
    {"lr",               0,   "X",    "learning rate, instead of the network's", NULL},
    {"validation-split", 0,   "X",    "share of the rows held back, 0 to 0.99", NULL},
    {"seed",             's', "N",    "of weights, shuffling and dropout (default: the network's, else another each time)", NULL},
    {"threads",          't', "N",    "cores to use (default all)", NULL},
    {"engine",           0,   "NAME", "what trains (default: native, and reference for what native lacks)", "native|reference"},
    {"checkpoint",       0,   "FILE", "written after each epoch (default: the model file with .checkpoint, removed at the end)", NULL},
    {"resume",           0,   NULL,   "go on from the checkpoint", NULL},
    {"best",             0,   NULL,   "keep the weights of the best epoch (default: of the last, unless early_stopping says so)", NULL},
    NN_CLI_SET,
    NN_CLI_AUTO_FLATTEN,
    {"json",             0,   NULL,   "print progress and result as JSON lines", NULL},
    {0}
};
/* clang-format on */
const nn_command nn_command_train = {
    .operands = "FILE",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .run = run_train,
    .description =
        "Results are bit-identical for the same network, data, seed and thread count. Ctrl-C stops after the current step\n"
        "and writes a checkpoint; --resume goes on from it and ends with the same weights.",
    .examples =
        "  neural train examples/fashion_cnn.neural --data fashion-mnist --epochs 3 -o fashion.safetensors"};
