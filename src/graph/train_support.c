/* SPDX-License-Identifier: MIT */
/* train_support.c - what a training asks for against what somebody can do: one list of questions,
 * so that an engine and a code generator refuse alike and nothing is passed over in silence. */
#include "graph/train.h"

#include <stdio.h>

typedef struct question {
    const nn_train_spec *t;
    const nn_train_support *s;
    char what[224], way[320]; /* of what is refused */
} question;

/* "a, b, c" of the names that are in a set. */
static void put_names(question *q, const char *before, const char *const *names, uint32_t set) {
    size_t at = (size_t)snprintf(q->way, sizeof q->way, "%s", before);
    for (int i = 0, n = 0; names[i] && at < sizeof q->way; i++)
        if (set >> i & 1)
            at += (size_t)snprintf(q->way + at, sizeof q->way - at, "%s%s", n++ ? ", " : "",
                                   names[i]);
}

static bool refuse(question *q, const char *what, const char *way) {
    snprintf(q->what, sizeof q->what, "%s", what);
    snprintf(q->way, sizeof q->way, "%s", way);
    return false;
}

static bool loss_fits(question *q) {
    const nn_train_spec *t = q->t;
    if (!(q->s->losses >> t->loss & 1)) {
        if (t->loss == NN_LOSS_CUSTOM)
            snprintf(q->what, sizeof q->what, "the custom loss '%s'", t->custom_loss);
        else
            snprintf(q->what, sizeof q->what, "loss '%s'", nn_loss_name(t->loss));
        put_names(q, "use one of ", nn_loss_names(), q->s->losses);
        return false;
    }
    if (t->ignore_class < 0 || q->s->ignore_class) return true;
    return refuse(q, "'ignore_class' of the loss", "leave ignore_class out");
}

static bool optimizer_fits(question *q) {
    const nn_optimizer *o = &q->t->optimizer;
    if (!(q->s->optimizers >> o->kind & 1)) {
        snprintf(q->what, sizeof q->what, "optimizer '%s'", nn_optimizer_names()[o->kind]);
        put_names(q, "use one of ", nn_optimizer_names(), q->s->optimizers);
        return false;
    }
    if (o->schedule.kind == NN_SCHEDULE_NONE || q->s->schedules >> o->schedule.kind & 1)
        return true;
    snprintf(q->what, sizeof q->what, "the learning-rate schedule %s",
             nn_schedule_name(o->schedule.kind));
    snprintf(q->way, sizeof q->way, "give learning_rate a number, for example learning_rate=%g",
             o->learning_rate);
    return false;
}

static bool metrics_fit(question *q) {
    for (int i = 0; i < NN_TRAIN_METRIC_COUNT; i++) {
        if (!(q->t->metrics >> i & 1) || q->s->metrics >> i & 1) continue;
        snprintf(q->what, sizeof q->what, "metric '%s'", nn_train_metric_name((nn_train_metric)i));
        put_names(q, "leave it out; available are ", nn_train_metric_names(), q->s->metrics);
        return false;
    }
    return true;
}

static bool settings_fit(question *q) {
    const nn_train_spec *t = q->t;
    const nn_train_support *s = q->s;
    if (t->early_stopping.on && !s->early_stopping)
        return refuse(q, "'early_stopping' in train", "leave early_stopping out and choose epochs");
    if (nn_class_weight_given(&t->class_weight) && !s->class_weight)
        return refuse(q, "'class_weight' in train",
                      "leave class_weight out, or train with 'neural train'");
    if (t->mixed_precision && !s->mixed_precision)
        return refuse(q, "'mixed_precision' in train",
                      "leave mixed_precision out: float32 is used");
    if (*t->save_path && !s->save_path) return refuse(q, "'save_path' in train", s->save_instead);
    if (*t->callbacks && !s->callbacks)
        return refuse(q, "'callbacks' in train", "leave callbacks out");
    return true;
}

static bool execution_fits(question *q) {
    const nn_train_spec *t = q->t;
    if (!(q->s->precisions >> t->precision & 1)) {
        snprintf(q->what, sizeof q->what, "precision '%s'", nn_precision_name(t->precision));
        put_names(q, "use one of ", nn_precision_names(), q->s->precisions);
        return false;
    }
    if (!*t->strategy || q->s->strategy) return true;
    snprintf(q->what, sizeof q->what, "strategy '%s' of execution", t->strategy);
    snprintf(q->way, sizeof q->way, "leave strategy out: one device is used");
    return false;
}

static nn_status answer(const question *q, bool fits, nn_err *err) {
    if (fits) return NN_OK;
    nn_status st = nn_fail(err, NN_E_UNSUPPORTED, "%s is not supported by %s", q->what, q->s->who);
    return nn_err_hint(err, st, "%s", q->way);
}

nn_status nn_train_check_loss(const nn_train_spec *t, const nn_train_support *s, nn_err *err) {
    question q = {.t = t, .s = s};
    return answer(&q, loss_fits(&q), err);
}

nn_status nn_train_check(const nn_train_spec *t, const nn_train_support *s, nn_err *err) {
    question q = {.t = t, .s = s};
    bool fits = loss_fits(&q) && optimizer_fits(&q) && metrics_fit(&q) && settings_fit(&q) &&
                execution_fits(&q);
    return answer(&q, fits, err);
}
