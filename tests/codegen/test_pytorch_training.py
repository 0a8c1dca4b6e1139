# SPDX-License-Identifier: MIT
"""The training program around the model: losses, optimisers, penalties, constraints, data, the command line."""
import json
import math
import py_compile
import struct
import subprocess

import numpy as np
import pytest
import torch
from conftest import PYTHON, ROOT, run_script, toy_images, write_safetensors

EXAMPLES = sorted((ROOT / 'examples').glob('*.neural'))


def network(body, shape=(4,)):
    return f'network N {{ input: {shape}\n layers:\n {body} }}'


def lines_of(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize('example', EXAMPLES, ids=[p.stem for p in EXAMPLES])
def test_examples_are_clean_and_deterministic(neural, example):
    text = example.read_text()
    path = neural.generate(text)
    py_compile.compile(str(path), doraise=True)
    flakes = subprocess.run(['pyflakes3', str(path)], capture_output=True, text=True)
    assert flakes.returncode == 0, flakes.stdout
    assert max(map(len, path.read_text().splitlines())) <= 100
    neural.run('compile', 'net_0.neural', '--backend', 'pytorch', '-o', 'again.py')
    assert (neural.folder / 'again.py').read_bytes() == path.read_bytes()


@pytest.mark.parametrize('example', EXAMPLES, ids=[p.stem for p in EXAMPLES])
def test_examples_train(neural, example):
    done = lines_of(run_script(neural.generate(example.read_text()), '--data', 'synthetic', '--epochs', 4, '--seed', 1, '--json',
                               '--device', 'cpu'))
    assert [line['type'] for line in done] == 4 * ['epoch'] + ['result']
    assert done[3]['loss'] < done[0]['loss']  # a single epoch may go up, with momentum
    assert done[1]['epochs'] == 4


CE = 'Dense(3, activation=softmax)\n loss: sparse_categorical_crossentropy'


def test_logits_are_returned_and_probabilities_predicted(neural):
    module = neural.load(network(CE))
    model, x = module.N(), torch.randn(5, 4)
    logits = model.dense_1(x)
    assert torch.equal(model(x), logits)
    np.testing.assert_allclose(model.predict(x).numpy(), torch.softmax(logits, 1).detach().numpy(), rtol=1e-6)
    assert 'no softmax here' in open(module.__file__).read()


def test_sigmoid_and_binary_crossentropy(neural):
    module = neural.load(network('Dense(1, activation=sigmoid)\n loss: binary_crossentropy'))
    model, x = module.N(), torch.randn(5, 4)
    assert torch.equal(model(x), model.dense_1(x))
    np.testing.assert_allclose(model.predict(x).numpy(), torch.sigmoid(model(x)).detach().numpy(), rtol=1e-6)


SCORES = np.array([[2.0, -1.0, 0.5], [0.1, 0.2, 0.3]])
LABELS = np.array([2, 0])
PROBABILITIES = np.array([[0.2, 0.2, 0.4], [0.5, 0.25, 0.75]])


def log_softmax(z):
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def smooth(s):
    return np.eye(3)[LABELS] * (1 - s) + s / 3


def ce(log_p, s=0.0):
    return -(smooth(s) * log_p).sum(axis=1).mean()


P = PROBABILITIES / PROBABILITIES.sum(axis=1, keepdims=True)


@pytest.mark.parametrize('body,outputs,expected', [
    (CE, SCORES, ce(log_softmax(SCORES))),
    ('Dense(3)\n loss: sparse_categorical_crossentropy(from_logits=true)', SCORES, ce(log_softmax(SCORES))),
    ('Dense(3, activation=softmax)\n loss: categorical_crossentropy(label_smoothing=0.1)', SCORES,
     ce(log_softmax(SCORES), 0.1)),
    ('Dense(3, activation=sigmoid)\n loss: sparse_categorical_crossentropy', PROBABILITIES, ce(np.log(P))),
    ('Dense(3, activation=sigmoid)\n loss: categorical_crossentropy(label_smoothing=0.2)', PROBABILITIES,
     ce(np.log(P), 0.2)),
])
def test_class_losses(neural, body, outputs, expected):
    module = neural.load(network(body))
    got = module.loss_of(torch.tensor(outputs, dtype=torch.float32), torch.tensor(LABELS))
    assert math.isclose(got.item(), expected, rel_tol=1e-5)


PLACES = np.random.default_rng(8).normal(size=(2, 4, 3))
CLASSES = np.array([[0, 2, 1, 1], [2, 0, 2, 1]])


def ce_of_places(p, labels, ignored=None, s=0.0):
    """keras.losses: -sum(t log p) of each place, the mean over those that count."""
    p = np.clip(p / p.sum(axis=-1, keepdims=True), 1e-7, 1)
    losses = -((np.eye(3)[labels] * (1 - s) + s / 3) * np.log(p)).sum(axis=-1)
    return losses[labels != ignored].mean()


E = np.exp(PLACES)


@pytest.mark.parametrize('body,outputs,expected', [
    (CE, PLACES, ce_of_places(E, CLASSES)),
    ('Dense(3)\n loss: sparse_categorical_crossentropy(from_logits=true, ignore_class=2)', PLACES, ce_of_places(E, CLASSES, 2)),
    ('Dense(3, activation=sigmoid)\n loss: sparse_categorical_crossentropy(ignore_class=1)', E, ce_of_places(E, CLASSES, 1)),
    ('Dense(3, activation=softmax)\n loss: categorical_crossentropy(label_smoothing=0.1)', PLACES, ce_of_places(E, CLASSES, s=0.1)),
    ('Dense(3, activation=exponential)\n loss: categorical_crossentropy(label_smoothing=0.2)', E, ce_of_places(E, CLASSES, s=0.2)),
])
def test_class_losses_at_every_place(neural, body, outputs, expected):
    module = neural.load(network(body, (4, 5)))
    got = module.loss_of(torch.tensor(outputs, dtype=torch.float32), torch.tensor(CLASSES))
    assert math.isclose(got.item(), expected, rel_tol=1e-5)


def test_no_class_that_counts_costs_nothing(neural):
    module = neural.load(network('Dense(3)\n loss: sparse_categorical_crossentropy(from_logits=true, ignore_class=0)', (4, 5)))
    assert module.loss_of(torch.randn(2, 4, 3), torch.zeros(2, 4).long()).item() == 0


METRICS = '[accuracy, precision, recall, f1, auc, mse, top_k_categorical_accuracy, perplexity, confusion_matrix]'


@pytest.mark.parametrize('ignored', [None, 2])
def test_metrics_are_over_the_places_that_count(neural, ignored):
    """Of probabilities of places in a row, by the definitions in engine/metrics.h."""
    option = f'(ignore_class={ignored})' if ignored else ''
    module = neural.load(network(f'Dense(3, activation=softmax)\n loss: sparse_categorical_crossentropy{option} metrics: {METRICS}', (4, 5)))
    got = module.measure(0.5, torch.tensor(PLACES).float(), torch.tensor(CLASSES))
    p, y = (E / E.sum(axis=-1, keepdims=True)).reshape(-1, 3), CLASSES.ravel()
    p, y = p[y != ignored], y[y != ignored]
    t, best = np.eye(3)[y], p.argmax(axis=-1)
    hits = ((p > 0.5) & (t > 0.5)).sum()
    pairs = [(a > b) + (a == b) / 2 for a in p[t > 0.5] for b in p[t < 0.5]]
    expected = {'loss': 0.5, 'accuracy': (best == y).mean(), 'precision': hits / (p > 0.5).sum(), 'recall': hits / t.sum(),
                'f1': 2 * hits / ((p > 0.5).sum() + t.sum()), 'auc': np.mean(pairs), 'mse': ((p - t) ** 2).mean(),
                'top_k_categorical_accuracy': 1.0, 'perplexity': np.exp(-np.log(p[t > 0.5]).mean())}
    table = got.pop('confusion_matrix')
    assert got == pytest.approx(expected, rel=1e-5)
    assert table == [[int(((y == a) & (best == b)).sum()) for b in range(3)] for a in range(3)]


IN_PLACE = '''network N { input: (6, 3) layers: %s Dense(3, activation=softmax)
  loss: sparse_categorical_crossentropy%s optimizer: Adam(learning_rate=0.05) train { epochs: 6 batch_size: 20 seed: 1 } }'''


@pytest.mark.parametrize('option', ['', '(ignore_class=1)'])
def test_labels_of_steps_are_learned(neural, tmp_path, option):
    x = np.random.default_rng(0).normal(size=(400, 6, 3)).astype('f4')
    y = x.argmax(axis=-1)
    np.savez(tmp_path / 'whole.npz', x=x, y=y)
    np.savez(tmp_path / 'hot.npz', x=x, y=np.eye(3, dtype='f4')[y])
    script = neural.generate(IN_PLACE % ('Dense(16, activation=relu)', option))
    ends = [lines_of(run_script(script, '--data', name, '--json', '--device', 'cpu'))[-1] for name in ('whole.npz', 'hot.npz')]
    assert ends[0] == ends[1] and ends[0]['test_accuracy'] > 0.9
    assert len(lines_of(run_script(script, '--data', 'synthetic', '--json', '--device', 'cpu', '--epochs', 1))) == 2


def test_pixels_have_classes(neural, tmp_path):
    """Channels are first within the network; its answers and their classes have them last."""
    net = network('Conv2D(8, 3, padding="same", activation=relu) Conv2D(4, 1, activation=softmax)\n loss: sparse_categorical_crossentropy '
                  'optimizer: Adam(learning_rate=0.05) train { epochs: 8 batch_size: 20 seed: 1 }', (6, 5, 4))
    x = np.random.default_rng(0).normal(size=(200, 6, 5, 4)).astype('f4')
    np.savez(tmp_path / 'd.npz', x=x, y=x.argmax(axis=-1))
    end = lines_of(run_script(neural.generate(net), '--data', 'd.npz', '--json', '--device', 'cpu'))[-1]
    assert end['test_accuracy'] > 0.9


@pytest.mark.parametrize('y,reason', [
    (np.zeros((20, 5), int), '(5,) places, the network has (6,)'), (np.zeros((20, 6)), 'learns classes'),
    (np.zeros(20, int), '() places'), (np.full((20, 6), 3), 'the network knows 0 to 2'),
])
def test_labels_that_do_not_fit_are_refused(neural, tmp_path, y, reason):
    np.savez(tmp_path / 'd.npz', x=np.zeros((20, 6, 3), 'f4'), y=y)
    done = run_script(neural.generate(IN_PLACE % ('', '')), '--data', 'd.npz', '--epochs', 1, ok=False)
    assert done.returncode and reason in done.stderr


T = np.array([[1.0], [0.0]])
Z = np.array([[0.3], [-1.2]])


def bce(p, t):
    return -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean()


SIGMOID = 1 / (1 + np.exp(-Z))


@pytest.mark.parametrize('body,outputs,expected', [
    ('Dense(1, activation=sigmoid)\n loss: binary_crossentropy', Z, bce(SIGMOID, T)),
    ('Dense(1)\n loss: binary_crossentropy(from_logits=true)', Z, bce(SIGMOID, T)),
    ('Dense(1, activation=sigmoid)\n loss: binary_crossentropy(label_smoothing=0.1)', Z, bce(SIGMOID, T * 0.9 + 0.05)),
    ('Dense(1, activation=hard_sigmoid)\n loss: binary_crossentropy', SIGMOID, bce(SIGMOID, T)),
    ('Dense(1)\n loss: mse', Z, ((Z - T) ** 2).mean()),
])
def test_value_losses(neural, body, outputs, expected):
    module = neural.load(network(body))
    got = module.loss_of(torch.tensor(outputs, dtype=torch.float32), torch.tensor(T, dtype=torch.float32))
    assert math.isclose(got.item(), expected, rel_tol=1e-5)


def one_step(neural, optimizer, steps=2):
    """The weight of a network y = w x after steps with the gradient 2 x (w x - t), and what NumPy's twin needs."""
    module = neural.load(f'network N {{ input: (2,)\n layers: Dense(1, use_bias=false, kernel_initializer=ones)\n'
                         f' loss: mse optimizer: {optimizer} }}')
    model = module.N()
    x, t = torch.tensor([[1.0, 3.0]]), torch.tensor([[-2.0]])
    rate = {'SGD': 0.1, 'Adam': 0.1, 'AdamW': 0.1}[optimizer.split('(')[0]]
    o = module.make_optimizer(model, rate)
    for _ in range(steps):
        module.train_epoch(model, o, (x, t), torch.arange(1), 1)
    return model.dense_1.weight.detach().numpy().ravel().astype(float), rate


def gradient(w):
    x = np.array([1.0, 3.0])
    return 2 * x * (w @ x + 2.0)


def clipped_by_norm(g, limit):
    return g * min(1, limit / np.linalg.norm(g))


@pytest.mark.parametrize('text,momentum,nesterov,decay,clip', [
    ('SGD(learning_rate=0.1)', 0, False, 0, None),
    ('SGD(learning_rate=0.1, momentum=0.9)', 0.9, False, 0, None),
    ('SGD(learning_rate=0.1, momentum=0.9, nesterov=true)', 0.9, True, 0, None),
    ('SGD(learning_rate=0.1, momentum=0.9, weight_decay=0.2)', 0.9, False, 0.2, None),
    ('SGD(learning_rate=0.1, clipnorm=1.5)', 0, False, 0, lambda g: clipped_by_norm(g, 1.5)),
    ('SGD(learning_rate=0.1, global_clipnorm=1.5)', 0, False, 0, lambda g: clipped_by_norm(g, 1.5)),
    ('SGD(learning_rate=0.1, clipvalue=3)', 0, False, 0, lambda g: np.clip(g, -3, 3)),
])
def test_sgd_as_keras_defines_it(neural, text, momentum, nesterov, decay, clip):
    got, rate = one_step(neural, text)
    w, m = np.ones(2), np.zeros(2)
    for _ in range(2):
        g = gradient(w)
        if clip:
            g = clip(g)
        w = w - rate * decay * w
        m = momentum * m - rate * g
        w = w + (momentum * m - rate * g if nesterov else m)
    np.testing.assert_allclose(got, w, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('text,decay,amsgrad', [
    ('Adam(learning_rate=0.1, beta_1=0.8, beta_2=0.95)', 0, False),
    ('Adam(learning_rate=0.1, beta_1=0.8, beta_2=0.95, amsgrad=true)', 0, True),
    ('AdamW(learning_rate=0.1, beta_1=0.8, beta_2=0.95, weight_decay=0.3)', 0.3, False),
    ('Adam(learning_rate=0.1, beta_1=0.8, beta_2=0.95, weight_decay=0.3)', 0.3, False),
])
def test_adam_as_keras_defines_it(neural, text, decay, amsgrad):
    got, rate = one_step(neural, text, steps=3)
    w, m, v, most = np.ones(2), np.zeros(2), np.zeros(2), np.zeros(2)
    for t in range(1, 4):
        g = gradient(w)
        w = w - rate * decay * w
        m = 0.8 * m + 0.2 * g
        v = 0.95 * v + 0.05 * g * g
        most = np.maximum(most, v)
        w = w - rate * math.sqrt(1 - 0.95 ** t) / (1 - 0.8 ** t) * m / (np.sqrt(most if amsgrad else v) + 1e-7)
    np.testing.assert_allclose(got, w, rtol=1e-4)


def test_penalties(neural, tmp_path):
    module = neural.load(network('Dense(3, kernel_regularizer=l1_l2(0.1, 0.01), bias_regularizer=l2(0.5))\n'
                                 'Dense(1, kernel_regularizer=l2(9), trainable=false)\n loss: mse'))
    k, b = np.arange(12).reshape(4, 3) / 10 - 0.5, np.array([1.0, -2, 3])
    model = module.N()
    module.load_neural_weights(model, write_safetensors(tmp_path / 'w.safetensors', {
        'dense_1.kernel': k, 'dense_1.bias': b, 'dense_2.kernel': np.ones((3, 1)), 'dense_2.bias': np.ones(1)}))
    expected = 0.1 * np.abs(k).sum() + 0.01 * (k ** 2).sum() + 0.5 * (b ** 2).sum()
    assert math.isclose(module.penalties(model).item(), expected, rel_tol=1e-5)


@pytest.mark.parametrize('text,wanted', [
    ('max_norm(1.5)', lambda n: np.clip(n, 0, 1.5)),
    ('unit_norm', lambda n: np.ones_like(n)),
    ('min_max_norm(min_value=0.5, max_value=1.5, rate=0.5)', lambda n: 0.5 * np.clip(n, 0.5, 1.5) + 0.5 * n),
    ('non_neg', None),
])
def test_constraints_as_keras_defines_them(neural, tmp_path, text, wanted):
    """keras.constraints: norms of a Conv2D kernel are over [0, 1, 2], of a Dense kernel over [0]."""
    module = neural.load(network(f'Conv2D(5, 2, kernel_constraint={text})\nFlatten()\n'
                                 f'Dense(3, kernel_constraint={text})\n loss: mse', (3, 3, 2)))
    r = np.random.default_rng(3)
    w = {'conv2d_1.kernel': r.normal(size=(2, 2, 2, 5)), 'conv2d_1.bias': np.zeros(5),
         'dense_1.kernel': r.normal(size=(20, 3)) / 2, 'dense_1.bias': np.zeros(3)}
    model = module.N()
    module.load_neural_weights(model, write_safetensors(tmp_path / 'w.safetensors', w))
    module.constrain(model)

    def constrained(k, axes):
        if not wanted:
            return np.maximum(k, 0)
        norm = np.sqrt((k ** 2).sum(axis=axes, keepdims=True))
        return k * wanted(norm) / (1e-7 + norm)

    np.testing.assert_allclose(model.dense_1.weight.detach().T, constrained(w['dense_1.kernel'], 0), rtol=1e-5)
    np.testing.assert_allclose(model.conv2d_1.weight.detach().permute(2, 3, 1, 0),
                               constrained(w['conv2d_1.kernel'], (0, 1, 2)), rtol=1e-5)


IMAGES = '''network N { input: (28, 28, 1)
  layers: Conv2D(8, 3, strides=2, padding="same", activation="relu")
          BatchNormalization() MaxPooling2D(2, padding="same") Dropout(0.2) Flatten()
          Dense(32, activation="tanh") Output(10, activation="softmax")
  loss: sparse_categorical_crossentropy optimizer: Adam(learning_rate=0.003)
  train { epochs: 2 batch_size: 32 validation_split: 0.2 seed: 5 } }'''


def write_idx(path, values):
    path.write_bytes(struct.pack(f'>BBBB{values.ndim}I', 0, 0, 8, values.ndim, *values.shape) + values.tobytes())


def test_data_of_every_form_gives_the_same_numbers(neural, tmp_path):
    script = neural.generate(IMAGES)
    npz = toy_images(tmp_path / 'toy.npz')
    arrays = dict(np.load(npz))
    folder, idx = tmp_path / 'arrays', tmp_path / 'idx'
    folder.mkdir()
    idx.mkdir()
    for name, values in arrays.items():
        np.save(folder / f'{name}.npy', values)
    for part, name in (('train', 'train'), ('t10k', 'test')):
        write_idx(idx / f'{part}-images-idx3-ubyte', arrays[f'x_{name}'])
        write_idx(idx / f'{part}-labels-idx1-ubyte', arrays[f'y_{name}'].astype('u1'))
    results = [lines_of(run_script(script, '--data', source, '--epochs', 1, '--json', '--device', 'cpu'))[-1]
               for source in (npz, folder, idx)]
    assert results[0] == results[1] == results[2]


def test_training_learns_saves_and_loads(neural, tmp_path):
    script = neural.generate(IMAGES)
    npz = toy_images(tmp_path / 'toy.npz')
    first = lines_of(run_script(script, '--data', npz, '--epochs', 5, '--json', '--device', 'cpu', '--save', 'w.pt'))
    assert len(first) == 6
    assert {'epoch', 'epochs', 'loss', 'accuracy', 'val_loss', 'val_accuracy', 'seconds'} < set(first[0])
    assert first[-1]['test_accuracy'] > 0.9
    again = lines_of(run_script(script, '--data', npz, '--epochs', 0, '--json', '--device', 'cpu', '--weights', 'w.pt'))
    assert again == first[-1:]
    repeated = lines_of(run_script(script, '--data', npz, '--epochs', 5, '--json', '--device', 'cpu'))
    assert repeated[-1] == first[-1]


def test_a_model_trained_by_neural_runs_in_pytorch_with_equal_results(neural, tmp_path):
    script = neural.generate(IMAGES)
    toy_images(tmp_path / 'toy.npz')
    native = neural.run('train', 'net_0.neural', '--data', 'toy.npz', '--epochs', '2', '--json', '-o', 'm.safetensors')
    ours = json.loads(native.stdout.splitlines()[-1])
    theirs = lines_of(run_script(script, '--data', 'toy.npz', '--epochs', 0, '--json', '--device', 'cpu', '--weights',
                                 'm.safetensors'))[-1]
    assert ours['test_accuracy'] > 0.3
    assert math.isclose(ours['test_loss'], theirs['test_loss'], rel_tol=1e-4)
    assert abs(ours['test_accuracy'] - theirs['test_accuracy']) <= 1 / 200


def test_bad_data_and_weights_are_refused_with_a_reason(neural, tmp_path):
    script = neural.generate(IMAGES)
    (tmp_path / 'bad.npz').write_bytes(b'PK')
    for source in ('bad.npz', 'nowhere', 'mnist'):
        done = run_script(script, '--data', source, '--epochs', 1, ok=False)
        assert done.returncode == 1 and done.stderr
    assert 'give --data the folder' in done.stderr
    write_safetensors(tmp_path / 'other.safetensors', {'dense_1.kernel': np.zeros((2, 2))})
    done = run_script(script, '--data', 'synthetic', '--epochs', 0, '--weights', 'other.safetensors', ok=False)
    assert 'it is of another network' in done.stderr


def test_a_program_without_a_data_set_asks_for_one(neural):
    done = run_script(neural.generate(network('Dense(3)\n loss: mse')), ok=False)
    assert done.returncode == 2 and '--data' in done.stderr


NAMES = ['class', 'train', 'forward', 'eval', 'parameters', 'self', 'type', 'x', 'F', 'nn', 'torch', 'None', 'lambda',
         'predict', '_modules', '__init__', 'weight', 'to', 'x_1', 'X_1', 'a__b', 'a_b', 'training']


def test_any_layer_name_becomes_an_identifier(neural):
    layers = '\n'.join(f'Dense(4, name="{n}")' for n in NAMES)
    path = neural.generate(network(layers + '\nDense(3, activation=softmax)\n loss: sparse_categorical_crossentropy'))
    assert subprocess.run(['pyflakes3', str(path)], capture_output=True).returncode == 0
    done = run_script(path, '--data', 'synthetic', '--epochs', 1, '--json', '--device', 'cpu')
    assert len(lines_of(done)) == 2
    module = neural.load((neural.folder / 'net_0.neural').read_text())
    assert len(module.NEURAL_WEIGHTS) == 2 * (len(NAMES) + 1)
    assert len({parameter for parameter, _ in module.NEURAL_WEIGHTS.values()}) == 2 * (len(NAMES) + 1)


def test_hostile_texts_stay_texts(neural):
    """What a program or a file name says cannot become code."""
    evil = "x'); open('pwned', 'w') #\\"
    program = network('Dense(3)\n loss: mse\n train { dataset: "%s" }' % evil.replace('\\', '\\\\'))
    name = "a\nopen('pwned', 'w')\n\u2028\u202e'''.neural"
    (neural.folder / name).write_text(program)
    neural.run('compile', name, '--backend', 'pytorch', '-o', 'evil.py')
    path = neural.folder / 'evil.py'
    assert path.read_text().isascii()
    run_script(path, '--help')
    assert not (neural.folder / 'pwned').exists()
    text = subprocess.run([PYTHON, '-c', 'import ast,sys; print(ascii([n.value for n in ast.walk(ast.parse(open('
                           'sys.argv[1]).read())) if isinstance(n, ast.Constant)]))', str(path)],
                          capture_output=True, text=True).stdout
    assert ascii(evil)[1:-1] in text or evil.encode('unicode_escape').decode() in text


def test_the_head_says_how_it_was_made(neural):
    path = neural.generate(network('Dense(3)\n loss: mse'))
    head = path.read_text().splitlines()[:6]
    digest = subprocess.run(['sha256sum', 'net_0.neural'], cwd=neural.folder, capture_output=True,
                            text=True).stdout.split()[0]
    assert head[0] == '#!/usr/bin/env python3'
    assert any('neural compile net_0.neural --backend pytorch' in line for line in head)
    assert any(digest in line for line in head)


@pytest.mark.parametrize('body,text', [
    ('Dense(1, activation=sigmoid)\n loss: sparse_categorical_crossentropy', '(batch, 4, 1)'),
    ('Flatten()\nDense(1)\n loss: sparse_categorical_crossentropy', '(batch, 1)'),
])
def test_a_loss_over_classes_needs_scores(neural, body, text):
    (neural.folder / 'n.neural').write_text(network(body, (4, 5)))
    done = neural.run('compile', 'n.neural', '--backend', 'pytorch', '-o', '-', ok=False)
    assert done.returncode and text in done.stderr
