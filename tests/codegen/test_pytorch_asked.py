# SPDX-License-Identifier: MIT
"""What a program may ask of its training beyond the table: CTC, a loss of one's own, callbacks, strategy, precision."""
import ast
import csv
import itertools
import json
import math

import numpy as np
import pytest
import torch
from conftest import run_script
from pyflakes import checker


def lines_of(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


# ---- ctc ----

STEPS = '''network N { input: (6, 4) layers: TimeDistributed(Dense(16, activation=relu)) TimeDistributed(Dense(4%s))
  loss: ctc(blank=%d) optimizer: Adam(learning_rate=0.02) train { epochs: %d seed: 1 } }'''


def ctc(p, target, blank):
    """By its definition (Graves 2006): the probability of every path that spells the target."""
    total = 0
    for path in itertools.product(range(p.shape[1]), repeat=len(p)):
        spelled = [k for k, _ in itertools.groupby(path) if k != blank]
        if spelled == target:
            total += math.prod(p[t, k] for t, k in enumerate(path))
    return -math.log(total)


@pytest.mark.parametrize('last,blank', [('TimeDistributed(Dense(4))', 0), ('Dense(4, activation=softmax)', 3),
                                        ('TimeDistributed(Dense(4, activation=softmax))', 1)])
def test_ctc_is_the_sum_over_paths(neural, last, blank):
    module = neural.load((STEPS % ('', blank, 1)).replace('TimeDistributed(Dense(4))', last))
    z = np.random.default_rng(3).normal(size=(2, 6, 4))
    p = np.exp(z) / np.exp(z).sum(axis=2, keepdims=True)
    targets = [[2, 2], [2]] if blank == 1 else [[1, 2, 2], [2, 1]]
    padded = torch.tensor([row + [blank] * (4 - len(row)) for row in targets])
    given = p if last.endswith('softmax))') else z  # what forward() gives
    got = module.loss_of(torch.tensor(given).float(), padded)
    assert got.item() == pytest.approx(sum(ctc(p[i], targets[i], blank) for i in range(2)) / 2, rel=1e-5)
    model, x = module.N(), torch.randn(3, 6, 4)
    if last.startswith('Dense'):
        torch.testing.assert_close(model.predict(x), torch.softmax(model(x), dim=-1))
    elif 'softmax' in last:
        assert torch.equal(model.predict(x), model(x)) and model(x).min() > 0


def test_ctc_trains_from_rows_of_classes(neural, tmp_path):
    r = np.random.default_rng(0)
    y = r.integers(1, 4, (300, 3))
    y[y[:, 0] == y[:, 1], 1] = 0  # shorter ones; nothing repeats
    y[:, 2] = 0
    x = np.zeros((300, 6, 4), 'f4')
    x[np.arange(300), 1, y[:, 0]] = x[np.arange(300), 4, y[:, 1]] = 1
    x[:, [0, 2, 3, 5], 0] = 1
    np.savez(tmp_path / 'd.npz', x=x, y=y)
    done = lines_of(run_script(neural.generate(STEPS % ('', 0, 12)), '--data', 'd.npz', '--json', '--device', 'cpu'))
    assert done[11]['loss'] < done[0]['loss'] / 5 and done[-1]['test_accuracy'] > 0.9


# ---- a loss of one's own ----

OWN = '''network N { input: (4,) layers: Dense(2) loss: "my_losses.weighted" optimizer: SGD(learning_rate=0.1)
  train { epochs: 3 batch_size: 500 seed: 1 } }'''


def test_a_loss_of_ones_own_is_imported(neural, tmp_path):
    script = neural.generate(OWN)
    done = run_script(script, '--data', 'synthetic', '--device', 'cpu', ok=False)
    assert done.returncode and "No module named 'my_losses'" in done.stderr
    (tmp_path / 'my_losses.py').write_text('def weighted(outputs, targets):\n'
                                           '    from torch.nn import functional as F\n'
                                           '    return 3 * F.cross_entropy(outputs, targets)\n')
    theirs = lines_of(run_script(script, '--data', 'synthetic', '--device', 'cpu', '--json'))
    known = neural.generate(OWN.replace('"my_losses.weighted"', 'sparse_categorical_crossentropy(from_logits=true)')
                            .replace('0.1', '0.3'))
    ours = lines_of(run_script(known, '--data', 'synthetic', '--device', 'cpu', '--json'))
    for a, b in zip(theirs, ours):
        key = 'test_loss' if 'test_loss' in a else 'loss'
        assert a[key] == pytest.approx(3 * b[key], rel=1e-4)
        assert a.get('accuracy') == b.get('accuracy')


# ---- callbacks ----

SMALL = '''network N { input: (6,) layers: Dense(8, activation=relu) Output(3, activation=softmax)
  loss: sparse_categorical_crossentropy optimizer: SGD(learning_rate=%s)
  train { epochs: %d batch_size: 50 validation_split: 0.2 seed: 3 callbacks: %s } }'''
ARGUMENTS = ('--data', 'synthetic', '--json', '--device', 'cpu')


def test_early_stopping_as_a_callback(neural):
    script = neural.generate(SMALL % ('1e-9', 30, '[EarlyStopping(monitor="val_accuracy", patience=3, mode="max")]'))
    done = lines_of(run_script(script, *ARGUMENTS))
    assert [line['type'] for line in done] == 4 * ['epoch'] + ['stopped', 'result']


def rate_by_keras(scores, rate, factor, patience, min_delta, cooldown, min_lr):
    """keras/src/callbacks/reduce_lr_on_plateau.py, on_epoch_end."""
    best, wait, rest, rates = math.inf, 0, 0, []
    for score in scores:
        if rest > 0:
            rest, wait = rest - 1, 0
        if score < best - min_delta:
            best, wait = score, 0
        elif rest <= 0:
            wait += 1
            if wait >= patience and rate > min_lr:
                rate, rest, wait = max(rate * factor, min_lr), cooldown, 0
        rates.append(rate)
    return rates


@pytest.mark.parametrize('cooldown', [0, 2])
def test_the_rate_falls_on_a_plateau(neural, cooldown):
    module = neural.load(SMALL % ('0.1', 2, f'[ReduceLROnPlateau(factor=0.5, patience=2, min_delta=0.01, '
                                            f'cooldown={cooldown}, min_lr=0.01, monitor="loss")]'))
    scores = np.random.default_rng(1).normal(size=60).cumsum() * 0.05 - np.arange(60) * 0.01
    model = module.N()
    optimizer = module.make_optimizer(model, 0.1)
    state, rates = {'low': None, 'wait': 0, 'rest': 0}, []
    for score in scores:
        module.reduce_rate(state, {'loss': score}, optimizer)
        rates.append(optimizer.param_groups[0]['lr'])
    assert rates == pytest.approx(rate_by_keras(scores, 0.1, 0.5, 2, 0.01, cooldown, 0.01))
    assert rates[-1] < 0.1


def test_files_that_callbacks_write(neural, tmp_path):
    script = neural.generate(SMALL % ('0.05', 4, '[CSVLogger("log.csv"), ModelCheckpoint("w{epoch:02d}.pt", '
                                                 'monitor="val_loss", save_best_only=true), TerminateOnNaN()]'))
    done = lines_of(run_script(script, *ARGUMENTS))
    with open(tmp_path / 'log.csv', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    assert [row['epoch'] for row in rows] == list('1234')
    assert [float(row['val_loss']) for row in rows] == [line['val_loss'] for line in done[:4]]
    best, kept = math.inf, []
    for line in done[:4]:
        if line['val_loss'] < best:
            best = line['val_loss']
            kept.append(f'w{line["epoch"]:02d}.pt')
    assert sorted(path.name for path in tmp_path.glob('w*.pt')) == kept
    assert 'dense_1.weight' in torch.load(tmp_path / kept[-1])


def test_training_ends_where_the_loss_is_not_a_number(neural):
    program = SMALL.replace('sparse_categorical_crossentropy', 'mse') % ('1e30', 9, 'TerminateOnNaN')
    done = [line['type'] for line in map(lambda text: json.loads(text, parse_constant=str), run_script(
        neural.generate(program), *ARGUMENTS).stdout.splitlines())]
    assert done.count('epoch') < 5 and done[-2:] == ['stopped', 'result']


@pytest.mark.parametrize('text,reason', [
    ('[TensorBoard()]', "the callback 'TensorBoard'"), ('["mine.Callback"]', "the callback 'mine.Callback'"),
    ('[EarlyStopping(patience=-1)]', "the value of 'patience'"), ('[EarlyStopping(baseline=3)]', "the argument 'baseline'"),
    ('[EarlyStopping(monitor="val_speed")]', "the monitor 'val_speed'"), ('[ModelCheckpoint()]', "without 'filepath'"),
    ('[EarlyStopping(monitor="val_loss", mode="max")]', "the mode 'max'"), ('[{ patience: 3 }]', 'the text'),
    ('[ReduceLROnPlateau(factor=2)]', "the value of 'factor'"), ('[EarlyStopping(patience=1.5)]', "the value of 'patience'"),
])
def test_callbacks_that_are_not_known_are_refused(neural, text, reason):
    (neural.folder / 'n.neural').write_text(SMALL % ('0.1', 2, text))
    done = neural.run('compile', 'n.neural', '--backend', 'pytorch', '-o', '-', ok=False)
    assert done.returncode and reason in done.stderr and 'EarlyStopping, ReduceLROnPlateau' in done.stderr


# ---- execution ----

def executed(text):
    return (SMALL % ('0.05', 3, '[]')).rstrip('} ') + ' } ' + f'execution {{ {text} }} }}'


def test_strategies(neural):
    usual = neural.generate(executed('device: "cpu"')).read_text().splitlines()[4:]
    for name in ('ddp', 'mirrored', 'MirroredStrategy'):
        assert neural.generate(executed(f'device: "cpu" strategy: "{name}"')).read_text().splitlines()[4:] == usual
    (neural.folder / 'n.neural').write_text(executed('strategy: "parameter_server"'))
    done = neural.run('compile', 'n.neural', '--backend', 'pytorch', '-o', '-', ok=False)
    assert done.returncode and "strategy 'parameter_server'" in done.stderr and 'torchrun' in done.stderr


def test_bfloat16(neural):
    script = neural.generate(executed('precision: bfloat16'))
    done = lines_of(run_script(script, *ARGUMENTS, '--save', 'w.pt'))
    assert done[2]['loss'] < done[0]['loss']
    assert {value.dtype for value in torch.load(script.with_name('w.pt')).values()} == {torch.bfloat16}


def test_float16_wants_a_gpu(neural):
    done = run_script(neural.generate(executed('precision: float16')), *ARGUMENTS, ok=False)
    assert done.returncode == 1 and 'float16 needs a GPU' in done.stderr


def test_words_stay_whole_in_bfloat16(neural):
    module = neural.load('network N { input: (5,) layers: Embedding(9000, 4) Flatten() Dense(3, activation=softmax)\n'
                         'loss: sparse_categorical_crossentropy execution { precision: bfloat16 } }')
    words = torch.tensor([[8999, 257, 1, 0, 5003]])
    assert torch.equal(module.to_input(words, torch.device('cpu')).long(), words)
    assert module.N().to(torch.bfloat16)(module.to_input(words, torch.device('cpu'))).dtype == torch.bfloat16


ALL = ('[EarlyStopping("val_accuracy", patience=2, restore_best_weights=true), ReduceLROnPlateau("val_accuracy"), '
       'ModelCheckpoint("w.pt", monitor="val_accuracy"), CSVLogger("log.csv", append=true), TerminateOnNaN]')


@pytest.mark.parametrize('program', [
    STEPS % ('', 0, 1), STEPS % (', activation=softmax', 0, 1), OWN, SMALL % ('0.1', 2, ALL), SMALL % ('0.1', 2, 'TerminateOnNaN'),
    SMALL % ('0.1', 2, '[ModelCheckpoint("w.pt", save_best_only=true)]'), executed('precision: float16'),
    executed('precision: bfloat16').replace('input: (6,)', 'input: { a: (6,) b: (6,) }').replace(
        'Dense(8', 'Concatenate(inputs=[a, b]) Dense(8')])
def test_what_is_asked_is_clean(neural, program):
    text = neural.generate(program).read_text()
    assert not checker.Checker(ast.parse(text), 'net.py').messages
    assert max(map(len, text.splitlines())) <= 100 and text.isascii()
