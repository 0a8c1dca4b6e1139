/* SPDX-License-Identifier: MIT */
/* pytorch_loss.c - the loss and the metrics of the training program, by Keras's definitions. */
#include "codegen/pytorch_train.h"

#include <inttypes.h>
#include <string.h>

bool nn_torch_takes_classes(const nn_emit *e) {
    return nn_loss_targets(e->g->train.loss) == NN_TARGET_CLASS;
}

static void put_smoothing(nn_emit *e, const char *before, nn_buf *out) {
    double smoothing = e->g->train.label_smoothing;
    if (smoothing == 0) return;
    nn_buf_puts(out, before);
    nn_py_float(out, smoothing);
}

static const nn_shape *output_shape(const nn_emit *e) {
    return &e->g->nodes[e->out].shape;
}

/* Losses and metrics are over sites (engine/loss.h): the rows of all axes but the last. */
static void put_sites(const nn_emit *e, nn_buf *out) {
    if (output_shape(e)->rank < 2) return;
    nn_buf_printf(out, "    outputs, targets = outputs.flatten(0, -2), targets.flatten(%s)\n",
                  nn_torch_takes_classes(e) ? "" : "0, -2");
}

/* "F.cross_entropy(outputs, targets...)", the mean over what counts; 0 where nothing does. */
static void put_class_mean(nn_emit *e, const char *function, const char *outputs, nn_buf *out) {
    int64_t ignored = e->g->train.ignore_class;
    nn_buf_printf(out, ignored < 0 ? "    return F.%s(%s, targets" : "    loss = F.%s(%s, targets",
                  function, outputs);
    if (strcmp(function, "cross_entropy") == 0) put_smoothing(e, ", label_smoothing=", out);
    if (ignored < 0)
        nn_buf_puts(out, ")\n");
    else
        nn_buf_printf(out,
                      ", reduction='sum', ignore_index=%" PRId64 ")\n"
                      "    return loss / max(counted(targets), 1)\n",
                      ignored);
}

static void put_counted(const nn_emit *e, nn_buf *out) {
    if (e->g->train.ignore_class >= 0)
        nn_buf_printf(out,
                      "\n\ndef counted(targets):\n"
                      "    \"\"\"How many classes are not the one that is ignored.\"\"\"\n"
                      "    return (targets != %" PRId64 ").sum().item()\n",
                      e->g->train.ignore_class);
}

static void put_ce_probs(nn_emit *e, nn_buf *out) {
    nn_buf_puts(
        out,
        "    # the network gives scores, not logits: they are brought to the sum 1 first, as Keras does\n"
        "    p = outputs / outputs.sum(dim=-1, keepdim=True)\n"
        "    log_p = p.clamp(1e-07, 1 - 1e-07).log()\n");
    if (e->g->train.label_smoothing == 0) {
        put_class_mean(e, "nll_loss", "log_p", out);
        return;
    }
    put_smoothing(e, "    smoothing = ", out);
    nn_buf_puts(
        out,
        "\n    return (1 - smoothing) * F.nll_loss(log_p, targets) - smoothing * log_p.mean()\n");
}

/* keras/src/losses/losses.py, the mean over all rows. */
static const char *const value_losses[NN_LOSS_COUNT] = {
    [NN_LOSS_MSE] = "    return F.mse_loss(outputs, targets)\n",
    [NN_LOSS_MAE] = "    return F.l1_loss(outputs, targets)\n",
    [NN_LOSS_MAPE] =
        "    return 100 * ((outputs - targets).abs() / targets.abs().clamp(min=1e-07)).mean()\n",
    [NN_LOSS_MSLE] = "    return F.mse_loss(outputs.clamp(min=1e-07).log1p(),\n"
                     "                      targets.clamp(min=1e-07).log1p())\n",
    [NN_LOSS_LOG_COSH] = "    error = outputs - targets\n"
                         "    return (error + F.softplus(-2 * error) - math.log(2)).mean()\n",
    [NN_LOSS_HINGE] = "    if ((targets == 0) | (targets == 1)).all():\n"
                      "        targets = 2 * targets - 1\n"
                      "    return F.relu(1 - targets * outputs).mean()\n",
    [NN_LOSS_SQUARED_HINGE] = "    if ((targets == 0) | (targets == 1)).all():\n"
                              "        targets = 2 * targets - 1\n"
                              "    return F.relu(1 - targets * outputs).square().mean()\n",
    [NN_LOSS_CATEGORICAL_HINGE] = "    right = (targets * outputs).sum(dim=-1)\n"
                                  "    wrong = ((1 - targets) * outputs).amax(dim=-1)\n"
                                  "    return F.relu(wrong - right + 1).mean()\n",
    [NN_LOSS_KLD] = "    t, y = targets.clamp(1e-07, 1), outputs.clamp(1e-07, 1)\n"
                    "    return (t * (t / y).log()).sum(dim=-1).mean()\n",
    [NN_LOSS_POISSON] = "    return (outputs - targets * (outputs + 1e-07).log()).mean()\n",
    [NN_LOSS_COSINE] =
        "    t = F.normalize(targets, dim=-1, eps=1e-07)\n"
        "    return -(t * F.normalize(outputs, dim=-1, eps=1e-07)).sum(dim=-1).mean()\n",
};

static void put_values(nn_emit *e, nn_buf *out) {
    if (e->g->train.loss != NN_LOSS_HUBER) {
        nn_buf_puts(out, value_losses[e->g->train.loss]);
        return;
    }
    nn_buf_puts(out, "    return F.huber_loss(outputs, targets, delta=");
    nn_py_float(out, e->g->train.delta);
    nn_buf_puts(out, ")\n");
}

/* A function of the user's own, found where Python finds modules: beside the program, for one. */
static void put_custom(nn_emit *e, nn_buf *out) {
    const char *name = e->g->train.custom_loss, *dot = strrchr(name, '.');
    nn_buf_puts(
        out,
        "\n\ndef loss_of(outputs, targets):\n    \"\"\"The network's own loss: a function "
        "of outputs and targets that gives one number.\"\"\"\n    module = importlib.import_module(");
    nn_py_string(out, nn_torch_print(e, "%.*s", (int)(dot - name), name));
    nn_buf_puts(out, ")\n    return getattr(module, ");
    nn_py_string(out, dot + 1);
    nn_buf_puts(out, ")(outputs, targets)\n");
}

/* keras.losses.CTC: the negative logarithm of a row's probability, targets filled up with the
 * blank. */
static void put_ctc(nn_emit *e, nn_buf *out) {
    if (e->loss == NN_TORCH_CTC_PROBS)
        nn_buf_puts(
            out,
            "    outputs = outputs.clamp(min=1e-07).log()  # the network gives probabilities\n");
    nn_buf_printf(out,
                  "    log_p = outputs.log_softmax(dim=-1).transpose(0, 1)\n"
                  "    steps = torch.full((len(outputs),), outputs.shape[1])\n"
                  "    lengths = (targets != %" PRId64 ").sum(dim=1)\n"
                  "    return F.ctc_loss(log_p, targets, steps, lengths, blank=%" PRId64
                  ", reduction='none').mean()\n",
                  e->g->train.blank, e->g->train.blank);
}

static void put_loss(nn_emit *e, nn_buf *out) {
    if (e->g->train.loss == NN_LOSS_CUSTOM) {
        put_custom(e, out);
        return;
    }
    put_counted(e, out);
    nn_buf_printf(
        out, "\n\ndef loss_of(outputs, targets):\n    \"\"\"%s, the mean over the batch.\"\"\"\n",
        nn_loss_name(e->g->train.loss));
    if (e->loss == NN_TORCH_BCE_LOGITS || e->loss == NN_TORCH_BCE_PROBS) {
        put_smoothing(e, "    targets = targets + (0.5 - targets) * ", out);
        if (e->g->train.label_smoothing != 0) nn_buf_puts(out, "  # label smoothing\n");
    }
    if (nn_torch_takes_classes(e)) put_sites(e, out);
    switch (e->loss) {
    case NN_TORCH_VALUES:
        put_values(e, out);
        return;
    case NN_TORCH_CTC:
    case NN_TORCH_CTC_PROBS:
        put_ctc(e, out);
        return;
    case NN_TORCH_CE_LOGITS:
        put_class_mean(e, "cross_entropy", "outputs", out);
        return;
    case NN_TORCH_CE_PROBS:
        put_ce_probs(e, out);
        return;
    case NN_TORCH_BCE_LOGITS:
        nn_buf_puts(out, "    return F.binary_cross_entropy_with_logits(outputs, targets)\n");
        return;
    case NN_TORCH_BCE_PROBS:
        nn_buf_puts(
            out, "    return F.binary_cross_entropy(outputs.clamp(1e-07, 1 - 1e-07), targets)\n");
        return;
    }
}

/* Of each step the best class, what repeats once, without blanks. */
static void put_spelled(nn_emit *e, nn_buf *out) {
    nn_buf_printf(
        out,
        "    right = 0\n"
        "    for path, target in zip(outputs.argmax(dim=-1).tolist(), targets.tolist()):\n"
        "        spelled = [k for k, before in zip(path, [None] + path) if k not in (before, %" PRId64
        ")]\n"
        "        right += spelled == [k for k in target if k != %" PRId64 "]\n"
        "    return right\n",
        e->g->train.blank, e->g->train.blank);
}

static void put_correct(nn_emit *e, nn_buf *out) {
    const nn_shape *s = output_shape(e);
    int64_t outputs = s->rank ? s->dim[s->rank - 1] : 1; /* of a site */
    if (e->g->train.loss == NN_LOSS_CUSTOM) outputs = nn_shape_elements(s);
    nn_buf_puts(out,
                "\n\ndef correct(outputs, targets):\n    \"\"\"How many rows are right.\"\"\"\n");
    if (e->g->train.loss == NN_LOSS_CUSTOM)
        nn_buf_puts(out, "    if not targets.is_floating_point():\n    "
                         "    return (outputs.argmax(dim=-1) == targets).sum().item()\n");
    if (e->g->train.loss == NN_LOSS_CTC)
        put_spelled(e, out);
    else if (nn_torch_takes_classes(e))
        nn_buf_puts(out, "    return (outputs.argmax(dim=-1) == targets).sum().item()\n");
    else if (outputs == 1)
        nn_buf_printf(out, "    return ((outputs > %s) == (targets > 0.5)).sum().item()\n",
                      e->loss == NN_TORCH_BCE_LOGITS ? "0.0" : "0.5");
    else
        nn_buf_puts(
            out,
            "    return (outputs.flatten(1).argmax(dim=1) == targets.flatten(1).argmax(dim=1)).sum().item()\n");
}

/* ---- metrics ---- */

static unsigned watched(bool on, const char *monitor) {
    int k = nn_train_metric_find(strncmp(monitor, "val_", 4) == 0 ? monitor + 4 : monitor);
    return on && k >= 0 ? 1U << k : 0;
}

unsigned nn_torch_metrics(const nn_emit *e) {
    const nn_torch_callbacks *c = &e->callbacks;
    return e->g->train.metrics | watched(c->stopping.on, c->stopping.monitor) |
           watched(c->plateau.on, c->plateau.monitor) |
           watched(c->keep.on && c->keep.best_only, c->keep.monitor);
}

/* Of `scores` and `truth` in one shape; Keras's Precision and its kin count every score above 0.5.
 */
static const char *const metric_lines[NN_TRAIN_METRIC_COUNT] = {
    [NN_TRAIN_METRIC_ACCURACY] =
        "    values['accuracy'] = correct(outputs, targets) / max(len(targets), 1)\n",
    [NN_TRAIN_METRIC_PRECISION] = "    values['precision'] = hits / max(yes.sum().item(), 1)\n",
    [NN_TRAIN_METRIC_RECALL] = "    values['recall'] = hits / max((truth > 0.5).sum().item(), 1)\n",
    [NN_TRAIN_METRIC_F1] =
        "    values['f1'] = 2 * hits / max((yes.sum() + (truth > 0.5).sum()).item(), 1)\n",
    [NN_TRAIN_METRIC_AUC] = "    values['auc'] = area(scores.flatten(), truth.flatten() > 0.5)\n",
    [NN_TRAIN_METRIC_MSE] = "    values['mse'] = F.mse_loss(scores, truth).item()\n",
    [NN_TRAIN_METRIC_MAE] = "    values['mae'] = F.l1_loss(scores, truth).item()\n",
    [NN_TRAIN_METRIC_RMSE] = "    values['rmse'] = F.mse_loss(scores, truth).sqrt().item()\n",
    [NN_TRAIN_METRIC_MAPE] = "    shares = (scores - truth).abs() / truth.abs().clamp(min=1e-07)\n"
                             "    values['mape'] = 100 * shares.mean().item()\n",
    [NN_TRAIN_METRIC_COSINE_SIMILARITY] =
        "    similar = F.normalize(scores, dim=-1) * F.normalize(truth, dim=-1)\n"
        "    values['cosine_similarity'] = similar.sum(dim=-1).mean().item()\n",
    [NN_TRAIN_METRIC_PERPLEXITY] =
        "    entropy = -(truth * scores.clamp(min=1e-07).log()).sum(dim=-1).mean()\n"
        "    values['perplexity'] = entropy.exp().item()\n",
    [NN_TRAIN_METRIC_CONFUSION_MATRIX] =
        "    size = max(scores.shape[-1], 2)\n"
        "    pairs = size * classes_of(truth) + classes_of(scores)  # a row: of one true class\n"
        "    values['confusion_matrix'] = pairs.bincount(minlength=size * size)\\\n"
        "        .reshape(size, size).tolist()\n",
};

static const char area[] =
    "\n\ndef area(scores, truth):\n"
    "    \"\"\"The area under the ROC curve, exactly: equal scores share their ranks.\"\"\"\n"
    "    _, place, counts = scores.unique(return_inverse=True, return_counts=True)\n"
    "    ranks = (counts.cumsum(0) - (counts - 1) / 2).double()[place]\n"
    "    yes, no = truth.sum().item(), (~truth).sum().item()\n"
    "    if not yes or not no:\n"
    "        return 0.0\n"
    "    return (ranks[truth].sum().item() - yes * (yes + 1) / 2) / (yes * no)\n";

static const char classes_of[] =
    "\n\ndef classes_of(scores):\n"
    "    \"\"\"The class of each row: the highest score, or whether the only one is above 0.5.\"\"\"\n"
    "    scores = scores.reshape(-1, scores.shape[-1])\n"
    "    return scores.argmax(dim=-1) if scores.shape[-1] > 1 else (scores[:, 0] > 0.5).long()\n";

static void put_scores(nn_emit *e, unsigned metrics, nn_buf *out) {
    static const char *const scores[] = {
        [NN_TORCH_VALUES] = "outputs",    [NN_TORCH_CE_LOGITS] = "torch.softmax(outputs, dim=-1)",
        [NN_TORCH_CE_PROBS] = "outputs",  [NN_TORCH_BCE_LOGITS] = "torch.sigmoid(outputs)",
        [NN_TORCH_BCE_PROBS] = "outputs", [NN_TORCH_CTC] = "outputs",
        [NN_TORCH_CTC_PROBS] = "outputs",
    };
    const unsigned counted = NN_METRIC_PRECISION | NN_METRIC_RECALL | NN_METRIC_F1;
    if (metrics & ~(unsigned)(NN_METRIC_ACCURACY | NN_METRIC_LOSS | NN_METRIC_TOP_K))
        nn_buf_printf(out, "    scores, truth = %s, %s\n", scores[e->loss],
                      nn_torch_takes_classes(e) ? "F.one_hot(targets, OUTPUT_SHAPE[-1]).float()"
                                                : "targets");
    if (metrics & counted)
        nn_buf_puts(out, "    yes = scores > 0.5\n    hits = (yes & (truth > 0.5)).sum().item()\n");
}

static void put_top_k(nn_emit *e, nn_buf *out) {
    int64_t k = e->g->train.top_k,
            most = output_shape(e)->rank ? output_shape(e)->dim[output_shape(e)->rank - 1] : 1;
    nn_buf_printf(out, "    best = outputs.topk(%" PRId64 ", dim=-1).indices\n",
                  most > 0 && most < k ? most : k);
    nn_buf_printf(out, "    found = (best == %s.unsqueeze(-1)).any(dim=-1).float()\n",
                  nn_torch_takes_classes(e) ? "targets" : "targets.argmax(dim=-1)");
    nn_buf_puts(out, "    values['top_k_categorical_accuracy'] = found.mean().item()\n");
}

static void put_what_counts(const nn_emit *e, nn_buf *out) {
    nn_loss_kind loss = e->g->train.loss;
    if (loss == NN_LOSS_CTC || loss == NN_LOSS_CUSTOM) return;
    if (nn_torch_metrics(e) & ~(unsigned)NN_METRIC_LOSS) put_sites(e, out);
    if (e->g->train.ignore_class >= 0)
        nn_buf_printf(out,
                      "    counts = targets != %" PRId64 "\n"
                      "    outputs, targets = outputs[counts], targets[counts]\n",
                      e->g->train.ignore_class);
}

static void put_measure(nn_emit *e, nn_buf *out) {
    unsigned metrics = nn_torch_metrics(e);
    if (metrics & NN_METRIC_AUC) nn_buf_puts(out, area);
    if (metrics & NN_METRIC_CONFUSION_MATRIX) nn_buf_puts(out, classes_of);
    nn_buf_puts(out, "\n\ndef measure(loss, outputs, targets):\n"
                     "    \"\"\"The loss and the metrics of rows.\"\"\"\n"
                     "    values = {'loss': loss}\n");
    put_what_counts(e, out);
    put_scores(e, metrics, out);
    for (int i = 0; i < NN_TRAIN_METRIC_COUNT; i++)
        if (metrics >> i & 1 && metric_lines[i]) nn_buf_puts(out, metric_lines[i]);
    if (metrics & NN_METRIC_TOP_K) put_top_k(e, out);
    nn_buf_puts(out, "    return values\n");
}

void nn_torch_loss_and_metrics(nn_emit *e, nn_buf *out) {
    put_loss(e, out);
    if (nn_torch_metrics(e) & NN_METRIC_ACCURACY) put_correct(e, out);
    put_measure(e, out);
}
