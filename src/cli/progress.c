/* SPDX-License-Identifier: MIT */
#include "cli/progress.h"

#include "cli/cli.h"
#include "engine/summary.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

nn_progress nn_progress_new(bool json) {
    nn_progress p = {.out = json ? stdout : stderr,
                     .form = json ? NN_PROGRESS_JSON : NN_PROGRESS_LINES,
                     .width = 80};
    struct winsize w;
    if (!json && isatty(STDERR_FILENO)) {
        p.form = NN_PROGRESS_BAR;
        if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 20) p.width = w.ws_col;
    }
    return p;
}

/* "1:02:03", "2:03"; "-:--" while unknown. */
static const char *print_time(double seconds, char buf[32]) {
    if (!(seconds >= 0) || seconds > 1e7) return "-:--";
    long s = (long)(seconds + 0.5);
    if (s >= 3600)
        snprintf(buf, 32, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(buf, 32, "%ld:%02ld", s / 60, s % 60);
    return buf;
}

static void draw_bar(nn_progress *p, const nn_train_event *e) {
    char rate[32], eta[32], line[512], bar[41];
    int room = p->width - 78, cells = room < 10 ? 10 : room > 40 ? 40 : room;
    int full = e->steps > 0 ? (int)(cells * e->step / e->steps) : 0;
    memset(bar, ' ', (size_t)cells);
    memset(bar, '=', (size_t)full);
    if (full < cells) bar[full] = '>';
    bar[cells] = 0;
    snprintf(line, sizeof line,
             "epoch %" PRId64 "/%" PRId64 " [%s] %" PRId64 "/%" PRId64
             "  %s/s  ETA %s  loss %.4f  accuracy %.4f",
             e->epoch, e->epochs, bar, e->step, e->steps, nn_print_count((int64_t)e->rate, rate),
             print_time(e->eta_s, eta), e->loss, e->accuracy);
    fprintf(p->out, "\r%.*s\033[K", p->width - 1, line);
    fflush(p->out);
    p->drawn = true;
}

void nn_progress_end(nn_progress *p) {
    if (p->drawn) fputs("\r\033[K", p->out);
    p->drawn = false;
}

static void other_metric(void *ctx, const char *name, double value) {
    nn_progress *p = ctx;
    fprintf(p->out, "  %s %.4f", name, value);
}

static void epoch_line(nn_progress *p, const nn_train_event *e) {
    char rate[32], took[32];
    nn_progress_end(p);
    fprintf(p->out, "epoch %" PRId64 "/%" PRId64 "  loss %.4f  accuracy %.4f", e->epoch, e->epochs,
            e->loss, e->accuracy);
    if (!isnan(e->val_loss))
        fprintf(p->out, "  validation loss %.4f  accuracy %.4f", e->val_loss, e->val_accuracy);
    nn_metric_values_each(&e->metrics, "", other_metric, p);
    nn_metric_values_each(&e->val_metrics, "val_", other_metric, p);
    fprintf(p->out, "  %s samples/s  %s\n", nn_print_count((int64_t)e->rate, rate),
            print_time(e->seconds, took));
    fflush(p->out);
}

static void other_number(void *ctx, const char *name, double value) {
    nn_jw *w = ctx;
    nn_jw_key(w, name);
    nn_jw_num(w, value);
}

static void json_line(nn_progress *p, const nn_train_event *e) {
    static const char *const types[] = {"started",    "progress", "epoch",
                                        "checkpoint", "health",   "finished"};
    NN_BUF out = {0};
    nn_jw w = {.out = &out};
    nn_jw_obj(&w);
    nn_jw_key(&w, "type");
    nn_jw_str(&w, types[e->type]);
    const struct {
        const char *key;
        int64_t value;
    } counts[] = {
        {"epoch",  e->epoch },
        {"epochs", e->epochs},
        {"step",   e->step  },
        {"steps",  e->steps },
        {"done",   e->done  },
        {"total",  e->total }
    };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        nn_jw_key(&w, counts[i].key);
        nn_jw_int(&w, counts[i].value);
    }
    const struct {
        const char *key;
        double value;
    } numbers[] = {
        {"loss",         e->loss        },
        {"accuracy",     e->accuracy    },
        {"val_loss",     e->val_loss    },
        {"val_accuracy", e->val_accuracy},
        {"rate",         e->rate        },
        {"eta_s",        e->eta_s       },
        {"seconds",      e->seconds     }
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        nn_jw_key(&w, numbers[i].key);
        nn_jw_num(&w, numbers[i].value);
    }
    nn_metric_values_each(&e->metrics, "", other_number, &w);
    nn_metric_values_each(&e->val_metrics, "val_", other_number, &w);
    if (e->symptom) {
        const nn_symptom *f = e->symptom;
        const char *const texts[][2] = {
            {"rule",   nn_train_health_name(f->rule)  },
            {"layer",  f->layer                       },
            {"text",   f->text                        },
            {"advice", nn_train_health_advice(f->rule)}
        };
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
            nn_jw_key(&w, texts[i][0]);
            nn_jw_str(&w, texts[i][1]);
        }
        nn_jw_key(&w, "line");
        nn_jw_int(&w, f->line);
    }
    if (e->path) {
        nn_jw_key(&w, "path");
        nn_jw_str(&w, e->path);
    }
    nn_jw_end_obj(&w);
    fprintf(p->out, "%s\n", nn_buf_str(&out));
    fflush(p->out);
}

static void health_line(nn_progress *p, const nn_symptom *f) {
    nn_progress_end(p);
    fprintf(p->out, "health: %s", f->text);
    if (f->line) fprintf(p->out, " (line %d)", f->line);
    fprintf(p->out, ": %s\n", nn_train_health_advice(f->rule));
    fflush(p->out);
}

void nn_progress_event(void *ctx, const nn_train_event *e) {
    nn_progress *p = ctx;
    if (p->form == NN_PROGRESS_JSON)
        json_line(p, e);
    else if (e->type == NN_TRAIN_EPOCH)
        epoch_line(p, e);
    else if (e->type == NN_TRAIN_HEALTH)
        health_line(p, e->symptom);
    else if (e->type == NN_TRAIN_PROGRESS && p->form == NN_PROGRESS_BAR)
        draw_bar(p, e);
}
