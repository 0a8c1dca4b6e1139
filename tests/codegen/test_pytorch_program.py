# SPDX-License-Identifier: MIT
"""Losses, optimisers, schedules and metrics against NumPy written from Keras's definitions
(keras/src/losses/losses.py, keras/src/optimizers, schedules/learning_rate_schedule.py); early stopping, checkpoints,
mixed precision and several processes by running the program."""
import json
import math
import os
import socket
import subprocess

import numpy as np
import pytest
import torch
from conftest import run_script


def network(body, shape=(4,)):
    return f'network N {{ input: {shape}\n layers:\n {body} }}'


def lines_of(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


Y = np.array([[0.2, 0.7, 0.1], [0.9, 0.3, 0.6]])
T = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.5]])
SIGNS = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
E = 1e-7


def unit(v):
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), E)


@pytest.mark.parametrize('loss,t,expected', [
    ('mae', T, np.abs(Y - T).mean()),
    ('mape', T, 100 * (np.abs(Y - T) / np.maximum(np.abs(T), E)).mean()),
    ('msle', T, ((np.log(np.maximum(Y, E) + 1) - np.log(np.maximum(T, E) + 1)) ** 2).mean()),
    ('huber(delta=0.25)', T, np.where(np.abs(Y - T) <= 0.25, 0.5 * (Y - T) ** 2,
                                      0.25 * np.abs(Y - T) - 0.5 * 0.25 ** 2).mean()),
    ('log_cosh', T, np.log(np.cosh(Y - T)).mean()),
    ('hinge', SIGNS, np.maximum(1 - (2 * SIGNS - 1) * Y, 0).mean()),
    ('hinge', 2 * SIGNS - 1, np.maximum(1 - (2 * SIGNS - 1) * Y, 0).mean()),
    ('squared_hinge', SIGNS, (np.maximum(1 - (2 * SIGNS - 1) * Y, 0) ** 2).mean()),
    ('categorical_hinge', SIGNS,
     np.maximum(((1 - SIGNS) * Y).max(axis=-1) - (SIGNS * Y).sum(axis=-1) + 1, 0).mean()),
    ('kl_divergence', T, (np.clip(T, E, 1) * np.log(np.clip(T, E, 1) / np.clip(Y, E, 1))).sum(axis=-1).mean()),
    ('poisson', T, (Y - T * np.log(Y + E)).mean()),
    ('cosine_similarity', T, -(unit(T) * unit(Y)).sum(axis=-1).mean()),
])
def test_losses(neural, loss, t, expected):
    module = neural.load(network(f'Dense(3)\n loss: {loss}'))
    got = module.loss_of(torch.tensor(Y, dtype=torch.float32), torch.tensor(t, dtype=torch.float32))
    assert math.isclose(got.item(), expected, rel_tol=1e-5)


def test_ignore_class(neural):
    module = neural.load(network('Dense(3)\n loss: sparse_categorical_crossentropy(from_logits=true, ignore_class=1)'))
    log_p = Y - np.log(np.exp(Y).sum(axis=1, keepdims=True))
    got = module.loss_of(torch.tensor(np.vstack([Y, Y])).float(), torch.tensor([2, 1, 0, 1]))
    assert math.isclose(got.item(), -(log_p[0, 2] + log_p[0, 0]) / 2, rel_tol=1e-5)


# ---- optimisers ----

def trajectory(neural, optimizer, steps=4, rate=0.1):
    """w after each step of y = w x at x = (1, 3) towards -2, with w = (1, 1) at first."""
    module = neural.load(f'network N {{ input: (2,)\n layers: Dense(1, use_bias=false, kernel_initializer=ones)\n'
                         f' loss: mse optimizer: {optimizer} }}')
    model = module.N()
    o = module.make_optimizer(model, rate)
    for _ in range(steps):
        module.train_epoch(model, o, (torch.tensor([[1.0, 3.0]]), torch.tensor([[-2.0]])), torch.arange(1), 1)
    return model.dense_1.weight.detach().numpy().ravel().astype(float)


def gradient(w):
    x = np.array([1.0, 3.0])
    return 2 * x * (w @ x + 2.0)


def rmsprop(w, g, s, t, rho=0.8, momentum=0.5, e=1e-3, centered=False):
    s['v'] = rho * s.get('v', 0) + (1 - rho) * g * g
    d = s['v'] + e
    if centered:
        s['a'] = rho * s.get('a', 0) + (1 - rho) * g
        d = d - s['a'] ** 2
    s['m'] = momentum * s.get('m', 0) + 0.1 * g / np.sqrt(d)
    return w - s['m']


def adagrad(w, g, s, t):
    s['a'] = s.get('a', 0.3) + g * g
    return w - 0.1 * g / np.sqrt(s['a'] + 1e-7)


def adadelta(w, g, s, t, rho=0.7, e=1e-3):
    s['a'] = rho * s.get('a', 0) + (1 - rho) * g * g
    d = -np.sqrt(s.get('d', 0) + e) * g / np.sqrt(s['a'] + e)
    s['d'] = rho * s.get('d', 0) + (1 - rho) * d * d
    return w + 0.1 * d


def adamax(w, g, s, t):
    s['m'] = 0.8 * s.get('m', 0) + 0.2 * g
    s['u'] = np.maximum(0.9 * s.get('u', 0), np.abs(g))
    return w - 0.1 * s['m'] / ((1 - 0.8 ** t) * (s['u'] + 1e-7))


def nadam(w, g, s, t):
    def mu(k):
        return 0.8 * (1 - 0.5 * 0.96 ** k)
    s['p'] = s.get('p', 1) * mu(t)
    s['m'] = 0.8 * s.get('m', 0) + 0.2 * g
    s['v'] = 0.9 * s.get('v', 0) + 0.1 * g * g
    m = mu(t + 1) * s['m'] / (1 - s['p'] * mu(t + 1)) + (1 - mu(t)) * g / (1 - s['p'])
    return w - 0.1 * m / (np.sqrt(s['v'] / (1 - 0.9 ** t)) + 1e-7)


def ftrl(w, g, s, t, power=-0.6, l1=0.02, l2=0.03, shrinkage=0.04, beta=0.05, rate=0.1):
    total = s.get('a', 0.2) + g * g
    change = (total ** -power - s.get('a', 0.2) ** -power) / rate
    s['z'] = s.get('z', 0) + g + 2 * shrinkage * w - change * w
    s['a'] = total
    return (np.clip(s['z'], -l1, l1) - s['z']) / (total ** -power / rate + 2 * (l2 + beta / (2 * rate)))


def lion(w, g, s, t):
    m = s.get('m', np.zeros(2))
    s['m'] = 0.9 * m + 0.1 * g
    return w - 0.1 * np.sign(0.8 * m + 0.2 * g)


def decayed(step):
    return lambda w, g, s, t: step(w * (1 - 0.1 * 0.2), g, s, t)


@pytest.mark.parametrize('text,step', [
    ('RMSprop(rho=0.8, momentum=0.5, epsilon=0.001)', rmsprop),
    ('RMSprop(rho=0.8, momentum=0.5, epsilon=0.001, centered=true)',
     lambda *a: rmsprop(*a, centered=True)),
    ('Adagrad(initial_accumulator_value=0.3)', adagrad),
    ('Adadelta(rho=0.7, epsilon=0.001)', adadelta),
    ('Adamax(beta_1=0.8, beta_2=0.9)', adamax),
    ('Nadam(beta_1=0.8, beta_2=0.9)', nadam),
    ('Ftrl(learning_rate_power=-0.6, initial_accumulator_value=0.2, l1_regularization_strength=0.02, '
     'l2_regularization_strength=0.03, l2_shrinkage_regularization_strength=0.04, beta=0.05)', ftrl),
    ('Lion(beta_1=0.8, beta_2=0.9)', lion),
    ('Lion(beta_1=0.8, beta_2=0.9, weight_decay=0.2)', decayed(lion)),
    ('RMSprop(rho=0.8, momentum=0.5, epsilon=0.001, weight_decay=0.2)', decayed(rmsprop)),
])
def test_optimizers_as_keras_defines_them(neural, text, step):
    got = trajectory(neural, text)
    w, state = np.ones(2), {}
    for t in range(1, 5):
        w = step(w, gradient(w), state, t)
    np.testing.assert_allclose(got, w, rtol=1e-4, atol=1e-6)


# ---- schedules ----

def cosine(step, initial=0.5, length=6, alpha=0.1):
    return initial * ((1 - alpha) * 0.5 * (1 + math.cos(math.pi * min(step, length) / length)) + alpha)


SCHEDULES = [
    ('ExponentialDecay(0.5, 4, 0.9)', lambda s: 0.5 * 0.9 ** (s / 4)),
    ('ExponentialDecay(0.5, 4, 0.9, staircase=true)', lambda s: 0.5 * 0.9 ** (s // 4)),
    ('InverseTimeDecay(0.5, 4, 0.9)', lambda s: 0.5 / (1 + 0.9 * s / 4)),
    ('PiecewiseConstantDecay([3, 5], [0.5, 0.2, 0.1])', lambda s: 0.5 if s <= 3 else 0.2 if s <= 5 else 0.1),
    ('PolynomialDecay(0.5, 4, end_learning_rate=0.1, power=2)', lambda s: 0.4 * (1 - min(s, 4) / 4) ** 2 + 0.1),
    ('PolynomialDecay(0.5, 4, end_learning_rate=0.1, cycle=true)',
     lambda s: 0.4 * (1 - s / (4 * max(math.ceil(s / 4), 1))) + 0.1),
    ('CosineDecay(0.5, 6, alpha=0.1)', cosine),
    ('CosineDecay(0.1, 6, alpha=0.1, warmup_target=0.5, warmup_steps=3)',
     lambda s: 0.1 + 0.4 * s / 3 if s < 3 else cosine(s - 3)),
]


@pytest.mark.parametrize('text,expected', SCHEDULES, ids=[t for t, _ in SCHEDULES])
def test_schedules(neural, text, expected):
    module = neural.load(network(f'Dense(1)\n loss: mse optimizer: SGD(learning_rate={text})'))
    for step in range(12):
        assert math.isclose(module.learning_rate(step, 0), expected(step), rel_tol=1e-9)


def test_step_decay_counts_epochs(neural):
    module = neural.load(network('Dense(1)\n loss: mse optimizer: SGD(learning_rate=StepDecay(0.5, 0.1, 2))'))
    assert [module.learning_rate(99, epoch) for epoch in range(5)] == pytest.approx([0.5, 0.5, 0.05, 0.05, 0.005])


def test_a_schedule_is_followed_step_by_step(neural):
    module = neural.load(network('Dense(1, use_bias=false, kernel_initializer=zeros)\n loss: mse '
                                 'optimizer: SGD(learning_rate=InverseTimeDecay(0.5, 1, 1.0))', (1,)))
    model, x, y = module.N(), torch.ones(3, 1), torch.ones(3, 1)
    module.train_epoch(model, module.make_optimizer(model, 1.0), (x, y), torch.arange(3), 1,
                       rate=lambda step: module.learning_rate(step, 0) / 4)
    w = 0.0
    for step in range(3):
        w -= 0.5 / (1 + step) / 4 * 2 * (w - 1)
    assert math.isclose(model.dense_1.weight.item(), w, rel_tol=1e-5)


# ---- metrics ----

def test_metrics_of_classes(neural):
    module = neural.load(network('Dense(3, activation=softmax)\n loss: categorical_crossentropy\n metrics: [accuracy, '
                                 'precision, recall, f1, auc, top_k, mse, perplexity, confusion_matrix]'))
    r = np.random.default_rng(5)
    z, y = r.normal(size=(40, 3)) * 2, r.integers(0, 3, 40)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    t = np.eye(3)[y]
    got = module.measure(0.25, torch.tensor(z).float(), torch.tensor(y))
    yes = p > 0.5
    precision, recall = (yes & (t > 0.5)).sum() / yes.sum(), (yes & (t > 0.5)).sum() / 40
    positive, negative = p[t > 0.5], p[t < 0.5]
    confusion = np.zeros((3, 3), int)
    np.add.at(confusion, (y, p.argmax(axis=1)), 1)
    expected = {'loss': 0.25, 'accuracy': (p.argmax(axis=1) == y).mean(), 'precision': precision, 'recall': recall,
                'f1': 2 * precision * recall / (precision + recall), 'mse': ((p - t) ** 2).mean(),
                'auc': (positive[:, None] > negative[None]).mean(), 'top_k_categorical_accuracy': 1.0,
                'perplexity': math.exp(-np.log(p[np.arange(40), y]).mean())}
    assert got.pop('confusion_matrix') == confusion.tolist()
    assert got == pytest.approx(expected, rel=1e-5)


def test_metrics_of_values(neural):
    module = neural.load(network('Dense(3)\n loss: mse\n metrics: [mae, rmse, mape, cosine_similarity]'))
    got = module.measure(1.0, torch.tensor(Y).float(), torch.tensor(T + 1).float())
    t = T + 1
    assert got == pytest.approx({'loss': 1.0, 'mae': np.abs(Y - t).mean(), 'rmse': math.sqrt(((Y - t) ** 2).mean()),
                                 'mape': 100 * (np.abs(Y - t) / t).mean(),
                                 'cosine_similarity': (unit(Y) * unit(t)).sum(axis=-1).mean()}, rel=1e-5)


def test_area_of_equal_scores(neural):
    module = neural.load(network('Dense(1, activation=sigmoid)\n loss: bce\n metrics: [auc]'))
    assert module.area(torch.tensor([0.5, 0.5, 0.5, 0.9]), torch.tensor([True, False, False, True])) == 0.75


# ---- the program ----

SMALL = """network N { input: (6,)
  layers: Dense(16, activation=relu) Dropout(0.3) BatchNormalization() Output(3, activation=softmax)
  loss: sparse_categorical_crossentropy optimizer: %s
  train { epochs: %d batch_size: 50 validation_split: 0.2 seed: 3 %s } }"""


def test_early_stopping_ends_and_restores(neural):
    script = neural.generate(SMALL % ('SGD(learning_rate=1e-9)', 30,
                                      'early_stopping: { monitor: "val_accuracy", patience: 2, restore_best: true }'))
    done = lines_of(run_script(script, '--data', 'synthetic', '--json', '--device', 'cpu'))
    kinds = [line['type'] for line in done]
    assert kinds[-2:] == ['stopped', 'result'] and len(kinds) < 30
    scores = [line['val_accuracy'] for line in done if line['type'] == 'epoch']
    best = scores.index(max(scores))
    assert len(scores) == best + 1 + 2


def test_resume_gives_the_same_numbers_as_one_run(neural, tmp_path):
    script = neural.generate(SMALL % ('Adam(learning_rate=ExponentialDecay(0.01, 5, 0.9))', 6, ''))
    arguments = ('--data', 'synthetic', '--json', '--device', 'cpu')
    whole = lines_of(run_script(script, *arguments))
    first = lines_of(run_script(script, *arguments, '--epochs', 3, '--checkpoint', 'c.pt'))
    rest = lines_of(run_script(script, *arguments, '--checkpoint', 'c.pt', '--resume'))
    for line in whole + first + rest:
        line.pop('seconds', None)
        line.pop('epochs', None)
    assert first[:3] + rest == whole
    assert run_script(script, *arguments, '--resume', ok=False).returncode == 1


def test_save_path_is_the_default_of_save(neural, tmp_path):
    script = neural.generate(SMALL % ('Adam', 1, 'save_path: "kept.pt"'))
    run_script(script, '--data', 'synthetic', '--device', 'cpu')
    assert 'dense_1.weight' in torch.load(tmp_path / 'kept.pt')


def test_mixed_precision_trains(neural):
    script = neural.generate(SMALL % ('Adam(learning_rate=0.01)', 3, 'mixed_precision: true'))
    assert 'torch.autocast' in script.read_text()
    done = lines_of(run_script(script, '--data', 'synthetic', '--json', '--device', 'cpu'))
    assert done[2]['loss'] < done[0]['loss']
    module = neural.load(script.with_suffix('.neural').read_text())
    model = module.N().eval()
    with module.autocast(torch.device('cpu')):
        assert model.dense_1(torch.randn(2, 6)).dtype == torch.bfloat16


IN_HALVES = {'rows': SMALL.replace('Dropout(0.3) BatchNormalization() ', '') % ('SGD(learning_rate=0.1)', 3, ''),
             'places': '''network N { input: (6, 3) layers: Dense(8, activation=tanh) Dense(3, activation=softmax)
    loss: sparse_categorical_crossentropy(ignore_class=1) optimizer: SGD(learning_rate=0.5)
    train { epochs: 3 batch_size: 10 shuffle: false seed: 1 } }'''}


@pytest.mark.parametrize('net', IN_HALVES)
def test_two_processes_train_as_one(neural, net):
    """torchrun with gloo: the gradients of two halves of a batch, put together, are those of the batch. Debian's launcher
    (1.13, under Python 3.11) has to be told what to do with the output."""
    script = neural.generate(IN_HALVES[net])
    x = np.random.default_rng(0).normal(size=(60, 6, 3)).astype('f4')
    y = x.argmax(axis=-1)
    y[::2, :4] = 1  # the halves of a batch differ in how many places count
    np.savez(script.with_name('d.npz'), x=x, y=y)
    arguments = ['--data', 'synthetic' if net == 'rows' else 'd.npz', '--json', '--device', 'cpu']
    alone = lines_of(run_script(script, *arguments, '--save', 'alone.pt'))
    # every process keeps what it ends with, beside what the first one is asked for
    ranks = script.with_name('ranks.py')
    ranks.write_text(script.read_text().replace('    if rank == 0:\n        test = load_data',
                                                "    torch.save(model.state_dict(), f'rank_{rank}.pt')\n"
                                                '    if rank == 0:\n        test = load_data'))
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    done = subprocess.run(['torchrun', '--redirects', '1', '--tee', '1', '--nproc_per_node', '2', '--master_port', str(port),
                           str(ranks), *arguments], cwd=script.parent, capture_output=True, text=True, timeout=200,
                          env={**os.environ, 'OMP_NUM_THREADS': '1'})
    assert done.returncode == 0, done.stderr
    both = [json.loads(line.partition(']:')[2]) for line in done.stdout.splitlines() if line.startswith('[')]
    assert [line['type'] for line in both] == 3 * ['epoch'] + ['result'] and len(alone) == 4
    for a, b in zip(alone, both):
        for key in set(a) - {'seconds', 'type'}:
            assert a[key] == pytest.approx(b[key], rel=1e-4)
    states = [torch.load(script.parent / name) for name in ('alone.pt', 'rank_0.pt', 'rank_1.pt')]
    for name, value in states[0].items():
        assert torch.equal(states[1][name], states[2][name])
        torch.testing.assert_close(states[1][name], value, rtol=1e-4, atol=1e-5)
