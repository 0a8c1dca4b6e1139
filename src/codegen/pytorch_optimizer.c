/* SPDX-License-Identifier: MIT */
/* pytorch_optimizer.c - make_optimizer() and the learning rate of a step, by Keras's definitions
 * (keras/src/optimizers). torch.optim where its formula is Keras's up to where epsilon stands
 * beside a bias correction; RMSprop, whose epsilon matters, Ftrl and Lion are classes of their own.
 */
#include "codegen/pytorch_train.h"

#include <inttypes.h>

/* ---- what torch.optim does not have ---- */

#define CLASS(name, about, names, values)                                                          \
    "\n\nclass " name "(torch.optim.Optimizer):\n"                                                 \
    "    \"\"\"" about "\"\"\"\n\n"                                                                \
    "    def __init__(self, parameters, lr, " names "):\n"                                         \
    "        super().__init__(parameters, dict(lr=lr, " values "))\n\n"                            \
    "    @torch.no_grad()\n"                                                                       \
    "    def step(self):\n"                                                                        \
    "        for group in self.param_groups:\n"                                                    \
    "            for p in group['params']:\n"                                                      \
    "                if p.grad is not None:\n"                                                     \
    "                    self.move(p, p.grad, group, self.state[p])\n\n"                           \
    "    @staticmethod\n"                                                                          \
    "    def move(w, g, group, state):\n"

static const char rmsprop[] = CLASS(
    "RMSprop", "Keras's: epsilon stands under the root.", "rho, momentum, eps, centered",
    "rho=rho, momentum=momentum, eps=eps,\n                                          "
    "centered=centered") "        if not state:\n"
                         "            state.update(square=torch.zeros_like(w), "
                         "mean=torch.zeros_like(w),\n"
                         "                         moved=torch.zeros_like(w))\n"
                         "        rho = group['rho']\n"
                         "        state['square'].mul_(rho).addcmul_(g, g, value=1 - rho)\n"
                         "        spread = state['square'] + group['eps']\n"
                         "        if group['centered']:\n"
                         "            state['mean'].mul_(rho).add_(g, alpha=1 - rho)\n"
                         "            spread = spread - state['mean'].square()\n"
                         "        step = group['lr'] * g / spread.sqrt()\n"
                         "        w.sub_(state['moved'].mul_(group['momentum']).add_(step))\n";

static const char nadam[] = CLASS(
    "Nadam", "Dozat 2016, with Keras's growing momentum.", "betas, eps",
    "betas=betas, eps=eps") "        if not state:\n"
                            "            state.update(mean=torch.zeros_like(w), square=torch.zeros_like(w),\n"
                            "                         step=torch.zeros(()), product=torch.ones(()))\n"
                            "        b1, b2 = group['betas']\n"
                            "        t = state['step'].add_(1).item()\n"
                            "        now, following = (b1 * (1 - 0.5 * 0.96 ** k) for k in (t, t + 1))\n"
                            "        product = state['product'].mul_(now).item()\n"
                            "        mean = state['mean'].mul_(b1).add_(g, alpha=1 - b1)\n"
                            "        state['square'].mul_(b2).addcmul_(g, g, value=1 - b2)\n"
                            "        root = (state['square'] / (1 - b2 ** t)).sqrt() + group['eps']\n"
                            "        mean = following / (1 - product * following) * mean\n"
                            "        w.sub_(group['lr'] * (mean + (1 - now) / (1 - product) * g) / root)\n";

static const char lion[] =
    CLASS("Lion", "Chen et al. 2023: steps by the sign of a momentum.", "betas",
          "betas=betas") "        if not state:\n"
                         "            state['mean'] = torch.zeros_like(w)\n"
                         "        (b1, b2), mean = group['betas'], state['mean']\n"
                         "        w.sub_(group['lr'] * (b1 * mean + (1 - b1) * g).sign())\n"
                         "        mean.mul_(b2).add_(g, alpha=1 - b2)\n";

static const char ftrl[] = CLASS(
    "Ftrl", "McMahan et al. 2013: follow the regularized leader.",
    "power, start, l1, l2, shrinkage, beta",
    "power=power, start=start, l1=l1, l2=l2,\n                                          "
    "shrinkage=shrinkage, beta=beta") "        if not state:\n"
                                      "            state.update(sum=torch.full_like(w, "
                                      "group['start']), linear=torch.zeros_like(w))\n"
                                      "        lr, power = group['lr'], -group['power']\n"
                                      "        total = state['sum'] + g.square()\n"
                                      "        change = (total ** power - state['sum'] ** power) / "
                                      "lr\n"
                                      "        linear = state['linear'].add_(g + 2 * "
                                      "group['shrinkage'] * w - change * w)\n"
                                      "        l2 = group['l2'] + group['beta'] / (2 * lr)\n"
                                      "        kept = linear.clamp(-group['l1'], group['l1']) - "
                                      "linear\n"
                                      "        w.copy_(kept / (total ** power / lr + 2 * l2))\n"
                                      "        state['sum'] = total\n";

/* ---- make_optimizer() ---- */

static void put_value(nn_buf *out, const char *name, double value) {
    nn_buf_printf(out, ", %s=", name);
    nn_py_float(out, value);
}

static void put_flag(nn_buf *out, const char *name, bool value) {
    if (value) nn_buf_printf(out, ", %s=True", name);
}

static void put_betas(const nn_optimizer *o, nn_buf *out) {
    nn_buf_puts(out, ", betas=(");
    nn_py_float(out, o->beta_1);
    nn_buf_puts(out, ", ");
    nn_py_float(out, o->beta_2);
    nn_buf_putc(out, ')');
}

static void put_sgd(const nn_optimizer *o, nn_buf *out) {
    if (o->momentum <= 0) return;
    put_value(out, "momentum", o->momentum);
    put_flag(out, "nesterov", o->nesterov);
}

/* PyTorch's AdamW shrinks the weights apart from the gradient, as Keras does for every optimiser.
 */
static void put_adam(const nn_optimizer *o, nn_buf *out) {
    put_betas(o, out);
    put_value(out, "eps", o->epsilon);
    if (o->weight_decay > 0) {
        nn_buf_puts(out, ",\n                             weight_decay=");
        nn_py_float(out, o->weight_decay);
    }
    put_flag(out, "amsgrad", o->amsgrad);
}

static void put_rmsprop(const nn_optimizer *o, nn_buf *out) {
    put_value(out, "rho", o->rho);
    put_value(out, "momentum", o->momentum);
    put_value(out, "eps", o->epsilon);
    nn_buf_puts(out, o->centered ? ", centered=True" : ", centered=False");
}

static void put_adagrad(const nn_optimizer *o, nn_buf *out) {
    nn_buf_puts(out, ",\n                              ");
    nn_buf_puts(out, "initial_accumulator_value=");
    nn_py_float(out, o->initial_accumulator_value);
    put_value(out, "eps", o->epsilon);
}

static void put_adadelta(const nn_optimizer *o, nn_buf *out) {
    put_value(out, "rho", o->rho);
    put_value(out, "eps", o->epsilon);
}

static void put_adamax(const nn_optimizer *o, nn_buf *out) {
    put_betas(o, out);
    put_value(out, "eps", o->epsilon);
}

static void put_ftrl(const nn_optimizer *o, nn_buf *out) {
    put_value(out, "power", o->learning_rate_power);
    put_value(out, "start", o->initial_accumulator_value);
    nn_buf_puts(out, ",\n                ");
    nn_buf_puts(out, "l1=");
    nn_py_float(out, o->l1_regularization_strength);
    put_value(out, "l2", o->l2_regularization_strength);
    put_value(out, "shrinkage", o->l2_shrinkage_regularization_strength);
    put_value(out, "beta", o->beta);
}

static void put_lion(const nn_optimizer *o, nn_buf *out) {
    put_betas(o, out);
}

static const struct {
    const char *type, *text; /* text: of a class of our own */
    void (*arguments)(const nn_optimizer *o, nn_buf *out);
} optimizers[NN_OPTIMIZER_COUNT] = {
    [NN_OPTIMIZER_SGD] = {"torch.optim.SGD",      NULL,    put_sgd     },
    [NN_OPTIMIZER_ADAM] = {"torch.optim.Adam",     NULL,    put_adam    },
    [NN_OPTIMIZER_ADAMW] = {"torch.optim.AdamW",    NULL,    put_adam    },
    [NN_OPTIMIZER_RMSPROP] = {"RMSprop",              rmsprop, put_rmsprop },
    [NN_OPTIMIZER_ADAGRAD] = {"torch.optim.Adagrad",  NULL,    put_adagrad },
    [NN_OPTIMIZER_ADADELTA] = {"torch.optim.Adadelta", NULL,    put_adadelta},
    [NN_OPTIMIZER_ADAMAX] = {"torch.optim.Adamax",   NULL,    put_adamax  },
    [NN_OPTIMIZER_NADAM] = {"Nadam",                nadam,   put_adamax  },
    [NN_OPTIMIZER_FTRL] = {"Ftrl",                 ftrl,    put_ftrl    },
    [NN_OPTIMIZER_LION] = {"Lion",                 lion,    put_lion    },
};

static bool is_adam(const nn_optimizer *o) {
    return o->kind == NN_OPTIMIZER_ADAM || o->kind == NN_OPTIMIZER_ADAMW;
}

/* ---- schedules ---- */

static void put_named(nn_buf *out, const char *name, double value) {
    nn_buf_printf(out, "    %s = ", name);
    nn_py_float(out, value);
    nn_buf_putc(out, '\n');
}

static void put_progress(const nn_schedule *s, nn_buf *out) {
    nn_buf_printf(out, "    passed = step / %" PRId64 "\n", s->decay_steps);
    if (s->staircase) nn_buf_puts(out, "    passed = math.floor(passed)\n");
}

static void put_exponential(const nn_schedule *s, nn_buf *out) {
    put_progress(s, out);
    put_named(out, "rate", s->decay_rate);
    nn_buf_puts(out, "    return initial * rate ** passed\n");
}

static void put_inverse_time(const nn_schedule *s, nn_buf *out) {
    put_progress(s, out);
    put_named(out, "rate", s->decay_rate);
    nn_buf_puts(out, "    return initial / (1 + rate * passed)\n");
}

static void put_piecewise(const nn_schedule *s, nn_buf *out) {
    for (int i = 0; i < s->n_values - 1; i++) {
        nn_buf_printf(out, "    if step <= %" PRId64 ":\n        return ", s->boundaries[i]);
        nn_py_float(out, s->values[i]);
        nn_buf_putc(out, '\n');
    }
    nn_buf_puts(out, "    return ");
    nn_py_float(out, s->values[s->n_values - 1]);
    nn_buf_putc(out, '\n');
}

static void put_polynomial(const nn_schedule *s, nn_buf *out) {
    nn_buf_printf(out, "    length = %" PRId64 "\n", s->decay_steps);
    nn_buf_puts(out, s->cycle ? "    length *= max(math.ceil(step / length), 1)\n"
                              : "    step = min(step, length)\n");
    put_named(out, "end", s->end_learning_rate);
    nn_buf_puts(out, "    return (initial - end) * (1 - step / length) ** ");
    nn_py_float(out, s->power);
    nn_buf_puts(out, " + end\n");
}

static void put_cosine(const nn_schedule *s, nn_buf *out) {
    if (s->warmup_steps > 0) {
        put_named(out, "target", s->warmup_target);
        nn_buf_printf(out,
                      "    if step < %" PRId64 ":\n"
                      "        return initial + (target - initial) * step / %" PRId64 "\n"
                      "    step, initial = step - %" PRId64 ", target\n",
                      s->warmup_steps, s->warmup_steps, s->warmup_steps);
    }
    put_named(out, "least", s->alpha);
    nn_buf_printf(out,
                  "    share = 0.5 * (1 + math.cos(math.pi * min(step / %" PRId64 ", 1)))\n"
                  "    return initial * ((1 - least) * share + least)\n",
                  s->decay_steps);
}

static void put_step(const nn_schedule *s, nn_buf *out) {
    put_named(out, "rate", s->drop_rate);
    nn_buf_printf(out, "    return initial * rate ** (epoch // %" PRId64 ")\n", s->epochs_drop);
}

static void put_schedule(const nn_schedule *s, nn_buf *out) {
    static void (*const bodies[NN_SCHEDULE_COUNT])(const nn_schedule *s, nn_buf *out) = {
        [NN_SCHEDULE_EXPONENTIAL] = put_exponential, [NN_SCHEDULE_PIECEWISE] = put_piecewise,
        [NN_SCHEDULE_POLYNOMIAL] = put_polynomial,   [NN_SCHEDULE_INVERSE_TIME] = put_inverse_time,
        [NN_SCHEDULE_COSINE] = put_cosine,           [NN_SCHEDULE_STEP] = put_step,
    };
    if (s->kind == NN_SCHEDULE_NONE) return;
    nn_buf_printf(out,
                  "\n\ndef learning_rate(step, epoch):\n"
                  "    \"\"\"%s: the rate of a step, the first being 0, as Keras counts.\"\"\"\n",
                  nn_schedule_name(s->kind));
    if (s->kind != NN_SCHEDULE_PIECEWISE) put_named(out, "initial", s->initial_learning_rate);
    bodies[s->kind](s, out);
}

void nn_torch_optimizer(nn_emit *e, nn_buf *out) {
    const nn_optimizer *o = &e->g->train.optimizer;
    const char *type = optimizers[o->kind].type;
    if (is_adam(o)) type = o->weight_decay > 0 ? "torch.optim.AdamW" : "torch.optim.Adam";
    if (optimizers[o->kind].text) nn_buf_puts(out, optimizers[o->kind].text);
    nn_buf_printf(out,
                  "\n\ndef make_optimizer(model, learning_rate):\n"
                  "    trained = [p for p in model.parameters() if p.requires_grad]\n"
                  "    return %s(trained, lr=learning_rate",
                  type);
    optimizers[o->kind].arguments(o, out);
    nn_buf_puts(out, ")\n");
    put_schedule(&o->schedule, out);
}

/* ---- lines of train_epoch() ---- */

void nn_torch_clipping(const nn_optimizer *o, nn_buf *out) {
    if (o->clipnorm > 0) {
        nn_buf_puts(out, "        for parameter in model.parameters():\n"
                         "            nn.utils.clip_grad_norm_(parameter, ");
        nn_py_float(out, o->clipnorm);
        nn_buf_puts(out, ")\n");
    } else if (o->global_clipnorm > 0) {
        nn_buf_puts(out, "        nn.utils.clip_grad_norm_(model.parameters(), ");
        nn_py_float(out, o->global_clipnorm);
        nn_buf_puts(out, ")\n");
    } else if (o->clipvalue > 0) {
        nn_buf_puts(out, "        nn.utils.clip_grad_value_(model.parameters(), ");
        nn_py_float(out, o->clipvalue);
        nn_buf_puts(out, ")\n");
    }
}

/* torch.optim's own weight_decay, but for AdamW's, goes through the momentum; Keras's does not. */
void nn_torch_decay(const nn_optimizer *o, nn_buf *out) {
    if (is_adam(o) || o->weight_decay <= 0) return;
    nn_buf_puts(out, "        with torch.no_grad():\n"
                     "            for group in optimizer.param_groups:\n"
                     "                for parameter in group['params']:\n"
                     "                    parameter.mul_(1 - group['lr'] * ");
    nn_py_float(out, o->weight_decay);
    nn_buf_puts(out, ")\n");
}
