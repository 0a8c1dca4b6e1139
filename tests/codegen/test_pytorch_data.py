# SPDX-License-Identifier: MIT
"""What a generated program reads: the sets that `neural train` reads, the same rows with the same targets in each part.
Weights that stand still make a loss a fingerprint of the rows: both programs report it."""
import gzip
import json
import os
import struct
import subprocess

import numpy as np
import pytest
import torch
from conftest import PYTHON, ROOT, run_script


def lines_of(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


CLASSES = '''network N { input: (5,) layers: Dense(8, activation=tanh) Output(3, activation=softmax)
  loss: sparse_categorical_crossentropy optimizer: SGD(learning_rate=1e-12) train { epochs: 1 batch_size: 7 seed: 2 } }'''
VALUES = CLASSES.replace('Output(3, activation=softmax)', 'Dense(1)').replace('sparse_categorical_crossentropy', 'mse')
R = np.random.default_rng(4)
X = R.normal(size=(83, 5)).astype('f4')
WORDS = ['left', 'a "b"; c', 'Äpfel']


def table(x, labels, mark=',', head=None, at=None, end='\n'):
    rows = [head] if head else []
    for row, label in zip(x, labels):
        cells = [repr(float(v)) for v in row]
        cells.insert(len(cells) if at is None else at, label)
        rows.append(cells)
    return end.join(mark.join(row) for row in rows) + end


def quoted(text):
    return ' "' + text.replace('"', '""') + '" '


def words_csv(path):
    labels = [quoted(WORDS[int(v * 2) % 3]) for v in X[:, 0] + 9]
    path.write_bytes(b'\xef\xbb\xbf' + table(X, labels, head=['a', 'Label', 'c', 'd', 'e', 'f'], at=1, end='\r\n').encode())


def whole_tsv_gz(path):
    labels = [['10', '+9', '200'][int(v * 2) % 3] for v in X[:, 0] + 9]
    path.write_bytes(gzip.compress(table(X, labels, mark='\t').encode()))


def values_csv(path):
    path.write_text(table(X, [f' {v:.3e}' for v in X.sum(axis=1)], mark=';', head=list('abcdef')) + '\n\n')


def one_npz(path):
    np.savez(path, x=X.astype('f8'), y=np.eye(3)[np.arange(83) % 3])


def bytes_npz(path):
    x = R.integers(0, 256, (83, 5)).astype('u1')
    np.savez(path, train_images=x, train_labels=np.arange(83) % 3, test_images=x[:20], test_labels=np.arange(20) % 3)


def values_folder(path):
    path.mkdir()
    np.save(path / 'data.npy', X)
    np.save(path / 'target.npy', X[:, 1:2] * 2)


def idx_folder(path):
    path.mkdir()
    for part, rows in (('train', 60), ('t10k', 20)):
        for kind, values in (('images-idx3', R.integers(0, 256, (rows, 5, 1))), ('labels-idx1', np.arange(rows) % 3)):
            head = struct.pack(f'>BBBB{values.ndim}I', 0, 0, 8, values.ndim, *values.shape)
            (path / f'{part}-{kind}-ubyte.gz').write_bytes(gzip.compress(head + values.astype('u1').tobytes()))


def joined_npz(path):
    train = {'a': X[:, :3], 'b': X[:, 3:], 'targets': np.arange(83) % 3}
    np.savez(path, **train)


def steps_npz(path):
    np.savez(path, x=R.normal(size=(83, 4, 5)).astype('f4'), y=np.arange(83 * 4).reshape(83, 4) * 7 // 5 % 3)


def grid_npz(path):
    """A class at each place, of which 255 is none."""
    y = np.arange(83 * 6).reshape(83, 2, 3) * 7 // 5 % 3
    y[:, 1, 0] = 255
    x = R.integers(0, 256, (83, 2, 3, 5)).astype('u1')
    np.savez(path, x_train=x, y_train=y.astype('u1'), x_test=x[:20], y_test=y[3:23])


STEPS = CLASSES.replace('(5,)', '(4, 5)').replace('Output', 'Dense')
GRID = CLASSES.replace('(5,)', '(2, 3, 5)').replace('Output', 'Dense').replace(
    'sparse_categorical_crossentropy', 'sparse_categorical_crossentropy(ignore_class=255)')
IGNORING = STEPS.replace('sparse_categorical_crossentropy', 'sparse_categorical_crossentropy(ignore_class=255)')
JOINT = CLASSES.replace('input: (5,) layers:', 'input: { a: (3,) b: (2,) } layers: Concatenate(inputs=[a, b])')
SETS = [('i.npz', steps_npz, STEPS), ('j.npz', grid_npz, GRID), ('g.npz', joined_npz, JOINT), ('h', idx_folder, CLASSES.replace('(5,) layers:', '(5, 1, 1) layers: Flatten()')), ('a.csv', words_csv, CLASSES), ('b.tsv.gz', whole_tsv_gz, CLASSES), ('C.CSV', values_csv, VALUES),
        ('d.npz', one_npz, CLASSES), ('e.npz', bytes_npz, CLASSES), ('f', values_folder, VALUES),
        ('synthetic:rows=83,classes=3,shape=5,seed=7,noise=1.5', None, CLASSES),
        ('synthetic:rows=50,classes=3,shape=5,pattern=mirrored,type=u8', None, CLASSES),
        ('synthetic:rows=50,shape=5,values=1', None, VALUES)]


@pytest.mark.parametrize('name,make,program', SETS, ids=[name for name, _, _ in SETS])
def test_both_programs_see_the_same_rows(neural, tmp_path, name, make, program):
    script = neural.generate(program)
    if make:
        make(tmp_path / name)
    ours = lines_of(neural.run('train', 'net_0.neural', '--data', name, '--json', '-o', 'm.safetensors'))
    epoch = next(line for line in ours if line['type'] == 'epoch')
    theirs = lines_of(run_script(script, '--data', name, '--weights', 'm.safetensors', '--json', '--device', 'cpu'))
    assert theirs[0]['loss'] == pytest.approx(epoch['loss'], rel=1e-5)
    assert theirs[-1]['test_loss'] == pytest.approx(ours[-1]['test_loss'], rel=1e-5)


LOADER = '''
import sys
import numpy as np
import keras_net
for part in ('train', 'test'):
    for way in (keras_net.load_data, keras_net.read):
        x, y = way(sys.argv[1], part)
        x, y = (values if isinstance(values, list) else [values] for values in (x, y))
        arrays = {f'x{i}': values for i, values in enumerate(x)} | {f'y{i}': values for i, values in enumerate(y)}
        np.savez(f'{way.__name__}_{part}.npz', **arrays)
'''


def keras_loads(neural, name, ok=True):
    """What the TensorFlow program of the same network makes of a set: by its load_data(), and what Keras gets."""
    neural.run('compile', 'net_0.neural', '--backend', 'tensorflow', '-o', 'keras_net.py')
    (neural.folder / 'loader.py').write_text(LOADER)
    env = {**os.environ, 'PYTHONPATH': str(ROOT / 'tests' / 'codegen' / 'recording_tensorflow'), 'PYTHONDONTWRITEBYTECODE': '1'}
    done = subprocess.run([PYTHON, 'loader.py', name], cwd=neural.folder, env=env, capture_output=True, text=True, timeout=120)
    if not ok:
        return done
    assert done.returncode == 0, done.stderr
    return [[dict(np.load(neural.folder / f'{way}_{part}.npz')) for part in ('train', 'test')] for way in ('load_data', 'read')]


WORDS_IN = JOINT.replace('b: (2,) }', 'b: (2,) w: (4,) }').replace(
    'Concatenate(inputs=[a, b])', 'Embedding(9, 3, inputs=w, name=e) Flatten(inputs=e, name=text) Concatenate(inputs=[a, b, text])')
MORE = [('synthetic', None, WORDS_IN), ('synthetic', None, VALUES.replace('Dense(1)', 'Dense(6) Reshape((2, 3))')),
        ('synthetic', None, CLASSES.replace('(5,)', '(5, 2)'))]


@pytest.mark.parametrize('name,make,program', SETS + MORE, ids=[name for name, _, _ in SETS] + ['words', 'patterns', 'steps'])
def test_both_generated_programs_load_the_same(neural, monkeypatch, tmp_path, name, make, program):
    """The TensorFlow program by NumPy, the PyTorch program by PyTorch: rows, targets, their types and order."""
    module = neural.load(program)
    if make:
        make(tmp_path / name)
    loaded, given = keras_loads(neural, name)
    monkeypatch.chdir(tmp_path)
    for part, keras, fed in zip(('train', 'test'), loaded, given):
        x, y = module.load_data(name, part)
        xs = x if isinstance(x, list) else [x]
        assert set(keras) == {f'x{i}' for i in range(len(xs))} | {'y0'}
        for i, ours in enumerate(xs):
            theirs = keras[f'x{i}']
            assert str(ours.dtype).endswith(str(theirs.dtype))
            np.testing.assert_allclose(theirs, ours.numpy(), rtol=1e-6, atol=1e-6 if name.startswith('synthetic') else 0)
            fitted = module.to_input(x, 'cpu')
            np.testing.assert_allclose(fed[f'x{i}'], fitted[i] if isinstance(x, list) else fitted, rtol=1e-6, atol=1e-6)
        assert str(y.dtype).endswith(str(keras['y0'].dtype))
        np.testing.assert_allclose(keras['y0'], y.numpy(), rtol=1e-6, atol=1e-6 if name.startswith('synthetic') else 0)
        assert np.array_equal(fed['y0'], keras['y0'])


def test_keras_gets_one_hot_rows_where_its_loss_wants_them(neural, tmp_path):
    neural.generate(CLASSES.replace('sparse_', ''))
    np.savez(tmp_path / 'd.npz', x_train=X, y_train=np.arange(83) % 3, x_test=X[:2], y_test=[2, 0])
    _, (train, test) = keras_loads(neural, 'd.npz')
    assert test['y0'].tolist() == [[0, 0, 1], [1, 0, 0]] and test['y0'].dtype == np.float32
    assert np.array_equal(train['y0'].argmax(axis=1), np.arange(83) % 3)


def test_keras_gets_the_targets_of_every_output(neural, tmp_path):
    text = """network N { input: (5,) layers: Dense(4) a: { Output(3, activation=softmax, name=kind) }
      b: { Output(2, activation=softmax, name=side) } loss: sparse_categorical_crossentropy }"""
    neural.generate(text)
    np.savez(tmp_path / 'd.npz', x=X, kind=np.arange(83) % 3, side=np.arange(83) % 2)
    loaded, _ = keras_loads(neural, 'd.npz')
    seen = sorted((tuple(row.tolist()), int(a), int(b)) for part in loaded for row, a, b in zip(part['x0'], part['y0'], part['y1']))
    assert seen == sorted((tuple(row.tolist()), i % 3, i % 2) for i, row in enumerate(X))
    assert [len(part['y0']) for part in loaded] == [67, 16]  # a fifth, rounded down
    keras_loads(neural, 'synthetic')
    np.savez(tmp_path / 'e.npz', x=X, kind=np.arange(83) % 3)
    done = keras_loads(neural, 'e.npz', ok=False)
    assert done.returncode and 'no arrays x_train, kind_train, side_train' in done.stderr


def test_what_the_programs_do_not_read_they_refuse(neural, tmp_path):
    """Never misread: each is refused by name, and in the same words by both programs."""
    script = neural.generate(CLASSES)
    values_csv(tmp_path / 'v.csv')
    (tmp_path / 'words.txt').write_text('a b c')
    (tmp_path / 'photos' / 'cat').mkdir(parents=True)
    (tmp_path / 'photos' / 'cat' / '1.png').write_bytes(b'png')
    (tmp_path / 'typed.csv').write_text('a,b,c,d,e,label\n1,2,3,4,red,u\n1,2,3,4,blue,v\n')
    for source, reason in (('v.csv:label=a', 'v.csv:label=a: no options behind a path'), ('mnist:memory=1G', 'no options behind'),
                           ('words.txt', 'words.txt: only .csv, .tsv, .npz and folders'), ('photos', 'photos: no arrays x_train'),
                           ('photos:size=8x8', 'no options behind'), ('typed.csv', 'row 2 is not 6 columns of numbers'),
                           ('nowhere', 'nowhere: no such file or folder'), ('cifar-10', 'the names known here are')):
        assert reason in run_script(script, '--data', source, '--device', 'cpu', ok=False).stderr
        done = keras_loads(neural, source, ok=False)
        assert done.returncode and reason in done.stderr


def test_a_path_with_a_colon_is_a_path(neural, monkeypatch, tmp_path):
    module = neural.load(VALUES)
    values_csv(tmp_path / 'a:b=1.csv')
    monkeypatch.chdir(tmp_path)
    assert len(module.load_data('a:b=1.csv', 'train')[1]) == 67


@pytest.mark.parametrize('y,reason,program', [
    (np.full((40, 3), 1), "'dense_2' gives (4, 3), scores at places (4,), a row has labels (3,)", STEPS),
    (np.full((40, 2, 2), 1), "'dense_2' gives (4, 3), scores at places (4,), a row has labels (2, 2)", STEPS),
    (np.where(np.arange(160) == 41, 3, 1).reshape(40, 4), "y_train.npy: label 3 at place 1 of row 10", STEPS),
    (np.where(np.arange(160) == 41, -1, 1).reshape(40, 4), "y_train.npy: label -1 at place 1 of row 10", STEPS),
    (np.where(np.arange(160) == 41, 254, 255).reshape(40, 4), "y_train.npy: label 254 at place 1 of row 10", IGNORING),
], ids=['steps', 'axes', 'large', 'negative', 'ignored'])
def test_labels_of_places_that_do_not_fit_are_refused(neural, tmp_path, y, reason, program):
    script = neural.generate(program)
    x = np.zeros((40, 4, 5), 'f4')
    np.savez(tmp_path / 'd.npz', x_train=x, y_train=y, x_test=x, y_test=np.zeros((40, 4), int))
    done = neural.run('train', 'net_0.neural', '--data', 'd.npz', ok=False)
    assert done.returncode and reason in done.stderr
    assert run_script(script, '--data', 'd.npz', '--device', 'cpu', ok=False).returncode


def test_the_order_of_the_rows_is_the_same(neural, tmp_path):
    """Also where the mean over them would hide it: one row alone is the test part."""
    x = np.arange(20, dtype='f4').reshape(4, 5) / 10
    (tmp_path / 'few.csv').write_text(table(x, ['1.5', '-2.5', '7.0', '0.25']))
    module = neural.load(VALUES)
    train, test = module.load_data(str(tmp_path / 'few.csv'), 'train'), module.load_data(str(tmp_path / 'few.csv'), 'test')
    assert len(train[0]) == 3 and len(test[0]) == 1
    rows = {tuple(row.tolist()): y.item() for part in (train, test) for row, y in zip(*part)}
    assert rows == {tuple(row.tolist()): y for row, y in zip(torch.tensor(x), [1.5, -2.5, 7, 0.25])}


@pytest.mark.parametrize('text,reason', [
    ('', 'expected rows'), ('a,b,c,d,e,label\n', 'expected rows'), ('1,2,3,4,5\n1,2,3,4\n', 'row 2'),
    ('a,b,c,d,,label\n1,2,3,4,5,x\n', 'names for all'), ('1,2,3,4,x,0\n1,2,3,4,5,1\n', 'row 1'),
    ('1,2,3,4,5,u\n1,2,3,4,5,NA\n', 'label is missing'), ('1,2,3,4,"5,0\n', 'quote'), ('1,2,3,4,5,"u" v\n', 'quote'),
    ('1,2,3,4,5,u\n', 'at least 2'), ('1,2,3,4,1e999,u\n1,2,3,4,5,v\n', 'row 1'),
    ('1,2,3,4,1e39,u\n1,2,3,4,5,v\n', 'not finite'), ('1,2,3,4,5,0.5\n1,2,3,4,5,1\n', 'learns classes'),
    ('1,2,3,4,5,u\n1,2,3,4,5,v\n1,2,3,4,5,w\n1,2,3,4,5,x\n', 'the network knows 0 to 2'),
])
def test_bad_tables_are_refused_by_both(neural, tmp_path, text, reason):
    script = neural.generate(CLASSES)
    (tmp_path / 'bad.csv').write_text(text)
    assert neural.run('train', 'net_0.neural', '--data', 'bad.csv', ok=False).returncode
    done = run_script(script, '--data', 'bad.csv', ok=False)
    assert done.returncode and reason in done.stderr


JOINED = """network N { input: { left: (3,) right: (4, 4) } layers: Flatten(inputs=right, name=flat)
  Concatenate(inputs=[left, flat]) Dense(8, activation=relu) Output(3, activation=softmax)
  loss: sparse_categorical_crossentropy optimizer: Adam(learning_rate=0.01) train { epochs: 8 seed: 1 } }"""


def joined(rows, seed=0):
    """Neither input alone says the class: it is the sum of what both say."""
    r = np.random.default_rng(seed)
    a, b = r.integers(0, 3, rows), r.integers(0, 3, rows)
    left, right = np.eye(3, dtype='f4')[a] + 0.1 * r.normal(size=(rows, 3)), np.zeros((rows, 4, 4), 'u1')
    right[np.arange(rows), b, b] = 200
    return {'left': left, 'right': right}, (a + b) % 3


def test_several_inputs_train_from_arrays_of_their_names(neural, tmp_path):
    script = neural.generate(JOINED)
    (train, y), (test, z) = joined(600), joined(100, 1)
    np.savez(tmp_path / 'apart.npz', y_train=y, y_test=z, **{f'{k}_train': v for k, v in train.items()},
             **{f'{k}_test': v for k, v in test.items()})
    folder = tmp_path / 'together'
    folder.mkdir()
    for name, values in {**train, 'targets': y}.items():
        np.save(folder / f'{name}.npy', values)
    for source in ('apart.npz', 'together', 'synthetic'):
        done = lines_of(run_script(script, '--data', source, '--json', '--device', 'cpu'))
        assert len(done) == 9 and done[-1]['test_accuracy'] > 0.9
    module = neural.load(JOINED)
    parts = [module.load_data(str(folder), part) for part in ('train', 'test')]
    rows = sorted(divided[1].tolist() for divided in parts)
    assert [len(part[1]) for part in parts] == [480, 120] and sorted(rows[0] + rows[1]) == sorted(y.tolist())
    for (left, right), target in parts:
        assert torch.equal((left.argmax(dim=1) + right.flatten(1).argmax(dim=1) // 5) % 3, target)


def test_arrays_of_other_names_are_refused(neural, tmp_path):
    script = neural.generate(JOINED)
    np.savez(tmp_path / 'a.npz', left_train=np.zeros((3, 3)), y_train=np.zeros(3, int))
    np.savez(tmp_path / 'b.npz', left_train=np.zeros((3, 3)), right_train=np.zeros((2, 4, 4)), y_train=np.zeros(3, int))
    done = run_script(script, '--data', 'a.npz', ok=False)
    assert done.returncode and 'no arrays left_train, right_train and y_train' in done.stderr
    assert 'differ in their rows' in run_script(script, '--data', 'b.npz', ok=False).stderr


def test_samples_without_targets_are_refused(neural, tmp_path):
    np.savez(tmp_path / 'a.npz', x=X)
    done = run_script(neural.generate(CLASSES), '--data', 'a.npz', ok=False)
    assert done.returncode and 'has x, but not its targets y' in done.stderr


def test_bad_recipes_are_refused(neural):
    script = neural.generate(CLASSES)
    done = run_script(script, '--data', 'synthetic:colour=3', ok=False)
    assert done.returncode and 'the parameters are rows' in done.stderr
