# SPDX-License-Identifier: MIT
"""Keras, proven twice: the LayersModel description runs in TensorFlow.js and gives what the reference engine gives; the generated
program runs against a recording `tensorflow`, and what it builds is what the description says."""
import ast
import json
import os
import pathlib
import random
import shutil
import subprocess

import conftest
import numpy as np
import onnx
import pytest
from conftest import PYTHON, ROOT, toy_images
from keras_nets import NETS, NO_PROGRAM

HERE = pathlib.Path(__file__).resolve().parent
NODE = ROOT / 'tests' / 'node'
EXAMPLES = sorted((ROOT / 'examples').glob('*.neural'))
TOLERANCE = 5e-5

# What TensorFlow.js has no layer for, and gets in parts: the program's layers are others.
IN_PARTS = {'act_layers', 'conv1_pads', 'conv3_pads', 'conv1_groups', 'conv2_groups', 'conv3_groups', 'transpose1', 'transpose1_odd',
            'transpose3_odd', 'global_max3', 'global_avg1', 'global_avg2', 'global_avg3', 'adaptive2', 'adaptive3',
            'pad1', 'pad3', 'up1', 'up3', 'norm1', 'norm2', 'norm3', 'spatial_dropout2', 'spatial_dropout3', 'causal', 'depthwise1',
            'depthwise2', 'separable1', 'pad3_uneven', 'norm_plain', 'instance', 'activity', 'position', 'position_learned',
            'attention_scaled', 'heads', 'heads_grid', 'encoder', 'squeeze', 'relu_bounds', 'two_Subtract', 'cross_attention', 'bilinear', 'adaptive_avg',
            'conv_lstm1', 'transpose1_dilated', 'transpose2_dilated', 'adaptive_max1', 'adaptive_max2', 'adaptive_max3', 'gru_reset',
            'rnn_hard', 'mask_mean', 'conv_lstm3', 'attention', 'heads_masked', 'both_back', 'gru_masked', 'gru_both', 'gru_back',
            'gru_distributed', 'gru_one', 'rnn_functions', 'mask_parts', 'mask_conv', 'mask_turned', 'mask_causal', 'mask_additive',
            'conv_lstm_hard', 'conv_lstm3_same', 'transpose3_short', 'pool3_short', 'transpose_longer', 'two_dot_long', 'twin'}


class Node:
    """TensorFlow.js, in one process for all models."""

    def __init__(self):
        if not (NODE / 'node_modules' / '@tensorflow' / 'tfjs').is_dir():
            pytest.skip('TensorFlow.js is not installed: make deps, or npm ci in tests/node')
        self.process = subprocess.Popen(['node', 'run_tfjs.js'], cwd=NODE, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + '\n')
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope='module')
def node():
    made = Node()
    yield made
    made.process.stdin.close()
    made.process.wait(timeout=30)


@pytest.fixture
def forward(tmp_path):
    """The program that runs an engine of ours, in the test's folder; what it prints."""
    return lambda *arguments: conftest.forward(*arguments, folder=tmp_path).stdout


def error(a, b):
    return np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-9)


def inputs_of(shapes, folder, rows=3):
    made, r = [], np.random.default_rng(1)
    for i, x in enumerate(shapes):
        dims = [rows, *(d if d > 0 else 6 for d in x['shape'])]
        values = r.integers(0, x['tokens'], dims) if x['tokens'] else r.normal(size=dims)
        values.astype('<f4').tofile(folder / f'in.{i}')
        made.append({'dims': dims, 'file': str(folder / f'in.{i}')})
    return made


def describe(neural, name, *more, ok=True):
    return neural.run('compile', f'{name}.neural', '--backend', 'keras-json', '-o', f'{name}.json', *more, ok=ok)


def same_numbers(neural, forward, node, name, engine='reference'):
    folder = neural.folder
    forward('model', f'{name}.neural', 3, f'{name}.safetensors')
    describe(neural, name, '--weights', f'{name}.safetensors')
    shapes = json.loads(forward('shapes', f'{name}.safetensors'))
    inputs = inputs_of(shapes['inputs'], folder)
    answer = node.ask(model=str(folder / f'{name}.json'), inputs=inputs, outputs=str(folder / 'js'))
    assert 'error' not in answer, answer
    if any(d < 0 for x in shapes['inputs'] for d in x['shape']):
        return  # our engine wants sizes; that it loads and runs is seen
    ours = [folder / f'ours.{i}' for i in range(len(shapes['outputs']))]
    forward('run', f'{name}.safetensors', engine, inputs[0]['dims'][0], *(i['file'] for i in inputs), *ours)
    for out, file in zip(answer['outputs'], ours):
        got, expected = np.fromfile(out['file'], '<f4'), np.fromfile(file, '<f4')
        assert got.shape == expected.shape
        assert error(got, expected) < TOLERANCE


@pytest.mark.parametrize('name', NETS)
def test_description_runs_in_tfjs(neural, forward, node, name):
    text, refused = NETS[name]
    (neural.folder / f'{name}.neural').write_text(text)
    if refused:
        done = describe(neural, name, ok=False)
        assert done.returncode and refused in done.stderr
        assert not (neural.folder / f'{name}.json').exists()
    else:
        same_numbers(neural, forward, node, name)


@pytest.mark.parametrize('path', EXAMPLES, ids=lambda p: p.stem)
def test_example_runs_in_tfjs(neural, forward, node, path):
    shutil.copy(path, neural.folder)
    same_numbers(neural, forward, node, path.stem, 'native')


POOLS = [('MaxPool', {'kernel_shape': [3, 2], 'strides': [2, 1], 'pads': [1, 1, 1, 0]}),
         ('MaxPool', {'kernel_shape': [2, 3], 'dilations': [3, 2], 'pads': [0, 2, 1, 2]}),
         ('AveragePool', {'kernel_shape': [3, 3], 'strides': [2, 2], 'pads': [1, 0, 2, 1]})]


@pytest.mark.parametrize('kind,attributes', POOLS, ids=['pads', 'dilated', 'mean'])
def test_imported_pool_runs_in_tfjs(neural, node, monkeypatch, kind, attributes):
    """Pools that only a file of ONNX brings: ONNX Runtime, TensorFlow.js and the reference engine agree."""
    ends = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ['n', 3, h, w] if n == 'x' else None)
            for n, h, w in (('x', 7, 8), ('y', 0, 0))]
    graph = onnx.helper.make_graph([onnx.helper.make_node(kind, ['x'], ['y'], **attributes)], 'pool', ends[:1], ends[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 13)])
    onnx.save(onnx.shape_inference.infer_shapes(model), str(neural.folder / 'pool.onnx'))
    neural.run('import', 'pool.onnx', '-o', 'pool.safetensors')
    monkeypatch.setenv('NODE_PATH', str(NODE / 'node_modules'))
    done = neural.run('verify', 'pool.safetensors', '--backends', 'reference,onnx,tfjs', '--json', '--dry-run')
    assert [(b['name'], b['status']) for b in json.loads(done.stdout)['backends']][-1] == ('tfjs', 'agrees'), done.stdout


# ---- the program ----

def record(folder, name, *arguments):
    """Runs a program against the recording module: what it built and called."""
    to = folder / 'record.json'
    env = {**os.environ, 'PYTHONPATH': str(HERE / 'recording_tensorflow'), 'KERAS_RECORD': str(to), 'PYTHONDONTWRITEBYTECODE': '1'}
    done = subprocess.run([PYTHON, f'{name}.py', *map(str, arguments)], cwd=folder, capture_output=True, text=True, env=env,
                          timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(to.read_text()), done.stdout


def generate(neural, name, *more):
    neural.run('compile', f'{name}.neural', '--backend', 'tensorflow', '-o', f'{name}.py', *more)
    text = (neural.folder / f'{name}.py').read_text()
    compile(text, f'{name}.py', 'exec')
    assert text.isascii()
    flakes = subprocess.run(['pyflakes3', f'{name}.py'], cwd=neural.folder, capture_output=True, text=True)
    assert flakes.returncode == 0, flakes.stdout
    return text


def signatures():
    """The tables of the recording module."""
    code = ('import json, tensorflow as t; print(json.dumps({v: {k: {a: "!" if d is ... else d for a, d in s.items()} '
            'for k, s in x.items()} for v, x in t.SIGNATURES.items()}))')
    done = subprocess.run([PYTHON, '-c', code], env={**os.environ, 'PYTHONPATH': str(HERE / 'recording_tensorflow')},
                          capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


SIGNATURES = signatures()


def same_config(said, recorded, class_name, inner=False):
    """Arguments of a description and of a program: those that only one names are Keras's defaults, in both versions."""
    usual = {v: SIGNATURES[v].get(f'layers.{class_name}') or SIGNATURES[v][next(
        k for k in SIGNATURES[v] if k.endswith(f'.{class_name}'))] for v in '23'}
    said = {k: v for k, v in said.items() if k != 'name' or 'name' in recorded and not inner}
    recorded = {k: v for k, v in recorded.items() if not k.endswith('_constraint')}
    for key in {**said, **recorded}:
        if key in said and key in recorded:
            a, b = said[key], recorded[key]
            if isinstance(a, dict):
                assert a['class_name'] == b['class_name']
                same_config(a['config'], b['config'], a['class_name'], inner=True)
            else:
                assert a == b, (class_name, key)
        else:
            assert key in said, f'{class_name}: only the program names {key}'
            for version in '23':
                assert usual[version][key] == said[key], (class_name, key)


def same_model(model, recorded):
    said = model['modelTopology']['model_config']['config']
    places = {layer['name']: i for i, layer in enumerate(said['layers'])}
    assert [x['class_name'] for x in said['layers']] == [x['class_name'] for x in recorded['layers']]
    for layer, made in zip(said['layers'], recorded['layers']):
        inbound = [places[x[0]] for x in (layer['inbound_nodes'] or [[]])[0]]
        assert inbound == made['inputs']
        assert made['list'] == (len(inbound) > 1)
        if layer['class_name'] == 'InputLayer':
            assert layer['config']['batch_input_shape'] == [None, *made['config']['shape']]
        else:
            same_config(layer['config'], made['config'], layer['class_name'])
    ends = next(a for kind, a in recorded['events'] if kind == 'keras.Model')
    assert [places[x[0]] for x in said['input_layers']] == ends['inputs']
    assert [places[x[0]] for x in said['output_layers']] == ends['outputs']


def weights_of(text):
    """NEURAL_WEIGHTS of a program."""
    return next(ast.literal_eval(s.value) for s in ast.parse(text).body
                if isinstance(s, ast.Assign) and s.targets[0].id == 'NEURAL_WEIGHTS')


def check_weight_map(text, recorded, tensors):
    """Every weight of the network has one place, in a layer that the program builds."""
    classes = [x['class_name'] for x in recorded['layers'] if 'name' not in x['config']]
    named = [x['config']['name'] for x in recorded['layers'] if 'name' in x['config']]
    listed = []
    for key, names in weights_of(text):
        listed += names
        assert key in named if isinstance(key, str) else classes.count(key[0]) > key[1]
    assert sorted(listed) == sorted(tensors)


def safetensors_names(path):
    data = path.read_bytes()
    return [k for k in json.loads(data[8:8 + int.from_bytes(data[:8], 'little')]) if k != '__metadata__']


def prove_program(neural, forward, name, in_parts=False, refused=None):
    text = generate(neural, name)
    recorded, _ = record(neural.folder, name, '--data', 'synthetic', '--epochs', 1)
    forward('model', f'{name}.neural', 3, f'{name}.safetensors')
    check_weight_map(text, recorded, safetensors_names(neural.folder / f'{name}.safetensors'))
    kinds = [kind for kind, _ in recorded['events'] if kind.startswith(('model.', 'keras.'))]
    assert kinds == ['keras.Model', 'model.compile', 'model.fit', 'model.evaluate']
    if refused:
        return
    describe(neural, name)
    model = json.loads((neural.folder / f'{name}.json').read_text())
    if in_parts:
        with pytest.raises(AssertionError):
            same_model(model, recorded)
    else:
        same_model(model, recorded)


@pytest.mark.parametrize('name', NETS)
def test_program_builds_the_description(neural, forward, name):
    text, refused = NETS[name]
    (neural.folder / f'{name}.neural').write_text(text)
    if name in NO_PROGRAM:
        done = neural.run('compile', f'{name}.neural', '--backend', 'tensorflow', '-o', '-', ok=False)
        assert done.returncode and NO_PROGRAM[name] in done.stderr
    else:
        prove_program(neural, forward, name, name in IN_PARTS, refused)


@pytest.mark.parametrize('path', EXAMPLES, ids=lambda p: p.stem)
def test_example_builds_the_description(neural, forward, path):
    shutil.copy(path, neural.folder)
    prove_program(neural, forward, path.stem)


# ---- layers of the program's own ----

RUNNER = '''
import importlib, json, struct, sys
import numpy as np
import tensorflow as tf

name, *inputs = sys.argv[1:]
program = importlib.import_module(name)
data = open(name + '.safetensors', 'rb').read()
size, = struct.unpack_from('<Q', data)
head = json.loads(data[8:8 + size])
weights = {}
for key, names in program.NEURAL_WEIGHTS:
    weights[tuple(key)] = [np.frombuffer(data, '<f4', (head[n]['data_offsets'][1] - head[n]['data_offsets'][0]) // 4,
                                         8 + size + head[n]['data_offsets'][0]).reshape(head[n]['shape']) for n in names]
program.build_model()
shapes, values, seen, own = [json.loads(i) for i in inputs], [], {}, []
activations = {'relu': lambda x: np.maximum(x, 0)}
for layer in list(tf.LAYERS):
    kind, c = layer['class_name'], layer['config']
    x = [values[i] for i in layer['inputs']]
    w = weights.get((kind, seen.setdefault(kind, 0)), [])
    seen[kind] += 1
    if kind == 'InputLayer':
        file, dims = shapes.pop(0)
        y = np.fromfile(file, '<f4').reshape(dims)
    elif kind == 'Dense':
        y = activations.get(c.get('activation'), lambda v: v)(x[0] @ w[0] + (w[1] if len(w) > 1 else 0))
    elif kind == 'Reshape':
        y = x[0].reshape(len(x[0]), *c['target_shape'])
    elif kind == 'Embedding':
        y = w[0][x[0].astype(int)]
    elif kind == 'LeakyReLU':
        y = np.where(x[0] > 0, x[0], c['alpha'] * x[0])
    elif kind == 'ReLU':
        y = np.clip(x[0], 0, c.get('max_value'))
    else:
        assert layer['own'], kind
        made = getattr(program, kind)(**{k: tuple(v) if isinstance(v, list) else v for k, v in c.items()})
        made.add_weight = lambda name, shape, initializer: w[0].reshape(shape)
        if hasattr(made, 'build'):
            made.build([v.shape for v in x] if layer['list'] else x[0].shape)
        y = made.call(x if layer['list'] else x[0])
        own.append(kind)
    values.append(y)
values[-1].astype('<f4').tofile('own')
print(*own)
'''
OWN = {'adaptive_max1': 'AdaptivePooling', 'adaptive_max2': 'AdaptivePooling', 'adaptive_max3': 'AdaptivePooling',
       'adaptive_avg': 'AdaptivePooling', 'position': 'PositionalEncoding', 'position_learned': 'LearnedPositions',
       'heads_grid': 'HeadsAttention', 'heads_masked': 'HeadsAttention', 'relu_bounds': 'Clip'}


@pytest.mark.parametrize('name', OWN)
def test_own_layers_compute_the_same(neural, forward, name):
    folder = neural.folder
    (folder / f'{name}.neural').write_text(NETS[name][0])
    forward('model', f'{name}.neural', 3, f'{name}.safetensors')
    generate(neural, name)
    (folder / 'runner.py').write_text(RUNNER)
    inputs = inputs_of(json.loads(forward('shapes', f'{name}.safetensors'))['inputs'], folder)
    env = {**os.environ, 'PYTHONPATH': str(HERE / 'recording_tensorflow'), 'PYTHONDONTWRITEBYTECODE': '1'}
    done = subprocess.run([PYTHON, 'runner.py', name, *(json.dumps([i['file'], i['dims']]) for i in inputs)], cwd=folder,
                          capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert OWN[name] in done.stdout
    forward('run', f'{name}.safetensors', 'reference', inputs[0]['dims'][0], *(i['file'] for i in inputs), folder / 'ours')
    assert error(np.fromfile(folder / 'own', '<f4'), np.fromfile(folder / 'ours', '<f4')) < TOLERANCE


# ---- random networks ----

IMAGES = ['Conv2D({f}, 3, padding="same", activation="relu")', 'Conv2D({f}, 2, strides=2, padding="same", use_bias=false)',
          'BatchNormalization()', 'Activation("{a}")', 'MaxPooling2D(2, padding="same")', 'AveragePooling2D(2, padding="same")',
          'DepthwiseConv2D(3, padding="same")', 'SeparableConv2D({f}, 3, padding="same", activation="{a}")', 'Dropout(0.2)',
          'LeakyReLU(alpha=0.1)', 'LayerNormalization()', 'UpSampling2D((2, 1))', 'ZeroPadding2D(1)', 'PReLU()',
          'ResidualConnection() {{ Activation("{a}") Dropout(0.1) }}', 'Conv2DTranspose({f}, 3, strides=2, padding="same")']
STEPS = ['LSTM({f}, return_sequences=true)', 'Bidirectional(LSTM({f}, return_sequences=true))', 'TimeDistributed(Dense({f}))',
         'Conv1D({f}, 2, padding="same", activation="{a}")', 'SimpleRNN({f}, return_sequences=true)', 'LayerNormalization()',
         'GRU({f}, reset_after=false, return_sequences=true)', 'Dense({f}, activation="{a}")', 'MaxPooling1D(2, padding="same")',
         'BatchNormalization(scale=false)', 'Dropout(0.3)', 'ResidualConnection() {{ LayerNormalization() }}', 'ELU()']


def random_network(seed):
    r = random.Random(seed)
    kinds, shape = ((IMAGES, '(8, 8, 3)'), (STEPS, '(6, 4)'))[seed % 2]
    chosen = [r.choice(kinds).format(f=r.randint(2, 6), a=r.choice(['relu', 'tanh', 'elu', 'gelu', 'softplus', 'swish']))
              for _ in range(r.randint(2, 8))]
    end = 'GlobalAveragePooling2D()' if seed % 2 == 0 else r.choice(['GlobalMaxPooling1D()', 'Flatten()'])
    return (f'network R{seed} {{ input: {shape}\n layers:\n ' + '\n '.join(chosen) +
            f'\n {end} Dense(8, activation="tanh") Output({r.randint(2, 5)}, activation="softmax")\n'
            ' loss: categorical_crossentropy optimizer: Adam }')


@pytest.mark.parametrize('seed', range(int(os.environ.get('KERAS_NETWORKS', 50))))
def test_random_network(neural, forward, node, seed):
    name = f'r{seed}'
    (neural.folder / f'{name}.neural').write_text(random_network(seed))
    prove_program(neural, forward, name)
    same_numbers(neural, forward, node, name)


# ---- training ----

def trained(neural, rest, *arguments, layers='Flatten() Dense(3, activation="softmax")'):
    (neural.folder / 'net.neural').write_text(f'network N {{ input: (8, 8, 1) layers: {layers}\n {rest} }}')
    text = generate(neural, 'net')
    recorded, out = record(neural.folder, 'net', '--data', 'synthetic', *arguments)
    return text, recorded['events'], out


def arguments_of(events, kind):
    return [a for k, a in events if k == kind]


LOSSES = [('sparse_categorical_crossentropy', 'sparse_categorical_crossentropy'),
          ('categorical_crossentropy(label_smoothing=0.1)', {'class_name': 'CategoricalCrossentropy', 'config': {'label_smoothing': 0.1}}),
          ('huber(delta=2)', {'class_name': 'Huber', 'config': {'delta': 2}}), ('mse', 'mean_squared_error'),
          ('log_cosh', {'class_name': 'LogCosh', 'config': {}}), ('kld', 'kl_divergence'),
          ('categorical_crossentropy(from_logits=true)', {'class_name': 'CategoricalCrossentropy', 'config': {'from_logits': True}})]


@pytest.mark.parametrize('text,expected', LOSSES, ids=[t for t, _ in LOSSES])
def test_loss(neural, text, expected):
    _, events, _ = trained(neural, f'loss: {text}', '--epochs', 1)
    assert arguments_of(events, 'model.compile')[0]['loss'] == expected


OPTIMIZERS = [('SGD(learning_rate=0.1, momentum=0.9, nesterov=true)', {'learning_rate': 0.1, 'momentum': 0.9, 'nesterov': True}),
              ('Adam(learning_rate=0.01, beta_1=0.8, clipnorm=1.5)', {'learning_rate': 0.01, 'beta_1': 0.8, 'clipnorm': 1.5}),
              ('AdamW(weight_decay=0.1)', {'learning_rate': 0.001, 'weight_decay': 0.1}), ('RMSprop(rho=0.8)', {'learning_rate': 0.001, 'rho': 0.8}),
              ('Adagrad', {'learning_rate': 0.001}), ('Adadelta', {'learning_rate': 0.001}), ('Adamax', {'learning_rate': 0.001}),
              ('Nadam', {'learning_rate': 0.001}), ('Ftrl(beta=0.1)', {'learning_rate': 0.001, 'beta': 0.1}),
              ('Lion', {'learning_rate': 0.0001})]


@pytest.mark.parametrize('text,expected', OPTIMIZERS, ids=[t.partition('(')[0] for t, _ in OPTIMIZERS])
def test_optimizer(neural, text, expected):
    _, events, _ = trained(neural, f'loss: mse optimizer: {text}', '--epochs', 0)
    kind = text.partition('(')[0]
    assert arguments_of(events, f'optimizers.{kind}') == [expected]
    assert not arguments_of(events, 'model.fit')


SCHEDULES = [('ExponentialDecay(0.1, 100, 0.9, staircase=true)',
              {'initial_learning_rate': 0.1, 'decay_steps': 100, 'decay_rate': 0.9, 'staircase': True}),
             ('PolynomialDecay(0.1, 100)', {'initial_learning_rate': 0.1, 'decay_steps': 100}),
             ('InverseTimeDecay(0.1, 100, 0.9)', {'initial_learning_rate': 0.1, 'decay_steps': 100, 'decay_rate': 0.9}),
             ('CosineDecay(0.1, 100, alpha=0.2)', {'initial_learning_rate': 0.1, 'decay_steps': 100, 'alpha': 0.2}),
             ('PiecewiseConstantDecay([10, 20], [0.1, 0.05, 0.01])', {'boundaries': [10, 20], 'values': [0.1, 0.05, 0.01]})]


@pytest.mark.parametrize('text,expected', SCHEDULES, ids=[t.partition('(')[0] for t, _ in SCHEDULES])
def test_schedule(neural, text, expected):
    _, events, _ = trained(neural, f'loss: mse optimizer: Adam(learning_rate={text})', '--epochs', 0)
    kind = text.partition('(')[0]
    assert arguments_of(events, f'schedules.{kind}') == [expected]
    assert arguments_of(events, 'optimizers.Adam')[0]['learning_rate']['class_name'] == kind


def test_fit(neural):
    rest = ('loss: sparse_categorical_crossentropy metrics: [accuracy] '
            'train { epochs: 2 batch_size: 16 validation_split: 0.25 seed: 5 }')
    _, events, out = trained(neural, rest, '--json', '--log', 'log.csv', '--best', 'best.keras', '--save', 'end.keras')
    fit, = arguments_of(events, 'model.fit')
    assert fit['x'] == {'array': [16, 8, 8, 1], 'dtype': 'float32'} and fit['y'] == {'array': [16], 'dtype': 'int64'}
    assert (fit['rows'], fit['steps_per_epoch'], fit['validation_batch_size']) == (750, 47, 16)
    assert [v['array'] for v in fit['validation_data']] == [[250, 8, 8, 1], [250]]
    assert (fit['epochs'], fit['initial_epoch']) == (2, 0)
    assert arguments_of(events, 'utils.set_random_seed') == [{'seed': 5}]
    assert arguments_of(events, 'callbacks.ModelCheckpoint') == [
        {'filepath': 'best.keras', 'monitor': 'val_loss', 'save_best_only': True}]
    assert arguments_of(events, 'callbacks.CSVLogger') == [{'filename': 'log.csv', 'append': False}]
    assert arguments_of(events, 'model.save') == [{'filepath': 'end.keras'}]
    lines = [json.loads(line) for line in out.splitlines()]
    assert [x['type'] for x in lines] == ['epoch', 'epoch', 'result']
    assert lines[0]['epoch'] == 1 and lines[0]['loss'] == 0.5 and lines[2]['test_loss'] == 0.25
    kinds = [k for k, _ in events]
    assert kinds.index('utils.set_random_seed') < kinds.index('keras.Model') < kinds.index('model.compile') < kinds.index('model.fit')


def test_data_of_a_path(neural):
    (neural.folder / 'net.neural').write_text('network N { input: (28, 28, 1) layers: Flatten() Output(10, activation="softmax")\n'
                                              ' loss: categorical_crossentropy train { epochs: 1 } }')
    text = generate(neural, 'net', '--data', 'toy.npz')
    assert "default='toy.npz'" in text
    toy_images(neural.folder / 'toy.npz')
    recorded, _ = record(neural.folder, 'net')
    fit, = arguments_of(recorded['events'], 'model.fit')
    assert fit['x'] == {'array': [32, 28, 28, 1], 'dtype': 'float32'} and fit['rows'] == 400
    assert fit['y']['array'] == [32, 10]  # one-hot rows


@pytest.mark.parametrize('loss,options', [('sparse_categorical_crossentropy', {}), ('categorical_crossentropy', {}),
                                          ('sparse_categorical_crossentropy(ignore_class=1)', {'ignore_class': 1})])
def test_classes_of_steps(neural, loss, options):
    """Keras's losses are over the last axis: a class for each step goes in as it is, or as a one-hot row for each."""
    (neural.folder / 'net.neural').write_text(f'network N {{ input: (6, 3) layers: Dense(3, activation="softmax")\n loss: {loss} '
                                              'train { batch_size: 16 } }')
    generate(neural, 'net')
    np.savez(neural.folder / 'd.npz', x=np.zeros((50, 6, 3), 'f4'), y=np.arange(300).reshape(50, 6) % 3)
    recorded, _ = record(neural.folder, 'net', '--data', 'd.npz', '--epochs', 1)
    fit, = arguments_of(recorded['events'], 'model.fit')
    assert fit['y'] == ({'array': [16, 6], 'dtype': 'int64'} if 'sparse' in loss else {'array': [16, 6, 3], 'dtype': 'float32'})
    made = arguments_of(recorded['events'], 'model.compile')[0]['loss']
    assert made == ({'class_name': 'SparseCategoricalCrossentropy', 'config': options} if options else loss)


def test_csv(neural):
    (neural.folder / 'net.neural').write_text('network N { input: (3,) layers: Dense(2, activation="softmax")\n'
                                              ' loss: sparse_categorical_crossentropy }')
    generate(neural, 'net')
    rows = [f'{i}.5,{i % 2},{"ab"[i % 2]},7' for i in range(50)]
    (neural.folder / 'rows.csv').write_text('u,v,label,w\n' + '\n'.join(rows) + '\n')
    recorded, _ = record(neural.folder, 'net', '--data', 'rows.csv', '--epochs', 1)
    fit, = arguments_of(recorded['events'], 'model.fit')
    assert fit['x']['array'] == [32, 3] and fit['y'] == {'array': [32], 'dtype': 'int64'} and fit['rows'] == 40


def test_mixed_precision_and_early_stopping(neural):
    _, events, _ = trained(neural, 'loss: mse train { epochs: 1 mixed_precision: true validation_split: 0.5 '
                           'early_stopping: { monitor: val_loss patience: 3 } }')
    assert arguments_of(events, 'set_global_policy') == [{'policy': 'mixed_float16'}]
    stop, = arguments_of(events, 'callbacks.EarlyStopping')
    assert (stop['monitor'], stop['mode'], stop['patience']) == ('val_loss', 'min', 3)
    kinds = [k for k, _ in events]
    assert kinds.index('set_global_policy') < kinds.index('keras.Model')


def test_device(neural):
    _, events, _ = trained(neural, 'loss: mse', '--epochs', 0, '--device', 'cpu')
    assert arguments_of(events, 'set_visible_devices') == [{'devices': [], 'kind': 'GPU'}]


NETS_THAT_RESUME = {'plain': ('', 'Flatten() Dense(3, activation="softmax")'),
                    'dropout': ('', 'Flatten() Dropout(0.5) Dense(3, activation="softmax")'),
                    'in_order': ('shuffle: false steps_per_epoch: 5', 'Flatten() Dense(3, activation="softmax")'),
                    'stopping': ('early_stopping: { monitor: loss patience: 9 restore_best: true }', 'Flatten() Dense(3)')}


@pytest.mark.parametrize('version', ['2.15.0', '3.1.0'])
@pytest.mark.parametrize('name', NETS_THAT_RESUME)
def test_resume(neural, monkeypatch, name, version):
    """The recording model's numbers depend on batches, their order, and what its optimizer and its random layers hold."""
    monkeypatch.setenv('KERAS_VERSION', version)
    entries, layers = NETS_THAT_RESUME[name]
    rest = f'loss: categorical_crossentropy train {{ epochs: 4 batch_size: 100 seed: 3 {entries} }}'
    ends = []
    for runs in ([['--epochs', 4]], [['--epochs', 2], ['--epochs', 4, '--resume']]):
        for run in runs:
            _, events, _ = trained(neural, rest, '--checkpoint', f'at{len(runs)}', *run, layers=layers)
        ends.append(arguments_of(events, 'trained')[0])
    assert ends[0] == ends[1] and ends[0]['weights'][0]
    assert arguments_of(events, 'model.fit')[0]['initial_epoch'] == 2
    redrawn = [s['seed'] for s in arguments_of(events, 'random.set_seed')]
    assert redrawn == ([5, 6] if name == 'dropout' and version < '3' else [])
    assert not (neural.folder / 'at2.part').exists()


def test_resume_of_another_network(neural):
    trained(neural, 'loss: mse train { epochs: 1 }', '--checkpoint', 'at')
    with np.load(neural.folder / 'at') as saved:
        held = {k: saved[k] for k in saved.files if k != 'weight_0'}
    with open(neural.folder / 'at', 'wb') as file:
        np.savez(file, **held)
    with pytest.raises(AssertionError, match='is of another network'):
        record(neural.folder, 'net', '--data', 'synthetic', '--checkpoint', 'at', '--resume')
    with pytest.raises(AssertionError, match='--resume goes on from --checkpoint'):
        record(neural.folder, 'net', '--data', 'synthetic', '--resume')


def test_callbacks(neural):
    (neural.folder / 'mine.py').write_text('class Watch:\n    pass\n')
    rest = ('loss: mse train { epochs: 1 callbacks: [TerminateOnNaN, ReduceLROnPlateau(factor=0.5, patience=2, mode="min"), '
            'TensorBoard(log_dir="it\'s", write_graph=false), "mine.Watch"] }')
    _, events, _ = trained(neural, rest)
    assert arguments_of(events, 'callbacks.TerminateOnNaN') == [{}]
    assert arguments_of(events, 'callbacks.ReduceLROnPlateau') == [{'factor': 0.5, 'patience': 2, 'mode': 'min'}]
    assert arguments_of(events, 'callbacks.TensorBoard') == [{'log_dir': "it's", 'write_graph': False}]
    assert len(arguments_of(events, 'model.fit')[0]['callbacks']) == 5


REFUSALS = [('loss: mse train { callbacks: [ModelCheckpoint] }', 'needs'), ('loss: mse train { callbacks: [Nothing] }', "'Nothing'"),
            ('loss: mse train { callbacks: [EarlyStopping(3)] }', 'without a name'),
            ('loss: mse train { callbacks: [EarlyStopping(patience=[1])] }', 'number, text or flag'),
            ('loss: mse execution { strategy: "parameter_server" }', 'cluster'), ('loss: ctc metrics: [auc]', 'ctc'),
            ('loss: sparse_categorical_crossentropy metrics: [f1]', "'f1' of an output with several places"),
            ('loss: sparse_categorical_crossentropy(ignore_class=0) metrics: [recall]', 'ignore_class beside')]


@pytest.mark.parametrize('text,why', REFUSALS)
def test_what_is_refused(neural, text, why):
    (neural.folder / 'net.neural').write_text(f'network N {{ input: (8, 3) layers: Dense(3, activation="softmax")\n {text} }}')
    done = neural.run('compile', 'net.neural', '-b', 'tensorflow', '-o', '-', ok=False)
    assert done.returncode == 3 and why in done.stderr and 'help: ' in done.stderr


STRATEGIES = [('mirrored', ['distribute.MirroredStrategy']), ('tf.distribute.MirroredStrategy', ['distribute.MirroredStrategy']),
              ('tpu', ['TPUClusterResolver', 'connect_to_cluster', 'initialize_tpu_system', 'distribute.TPUStrategy'])]


@pytest.mark.parametrize('text,calls', STRATEGIES)
def test_strategy(neural, text, calls):
    program, events, _ = trained(neural, f'loss: mse execution {{ strategy: "{text}" }}', '--epochs', 0)
    kinds = [k for k, _ in events]
    assert [k for k in kinds if k in calls] == calls and kinds.index(calls[-1]) < kinds.index('keras.Model')
    assert '    with strategy.scope():\n        model = build_model()\n        compile_model(' in program


def test_custom_loss(neural):
    (neural.folder / 'mine.py').write_text('def bend(y_true, y_pred):\n    return 0\n')
    _, events, _ = trained(neural, 'loss: "mine.bend"')
    assert arguments_of(events, 'model.compile')[0]['loss'] == 'bend'


def test_ctc(neural):
    """Against PyTorch's CTC loss; tf.nn.ctc_loss is that of logits, as torch's is of log-probabilities."""
    (neural.folder / 'net.neural').write_text('network N { input: (6, 4) layers: Dense(5, activation="softmax")\n loss: ctc(blank=2) }')
    text = generate(neural, 'net')
    recorded, _ = record(neural.folder, 'net', '--data', 'synthetic', '--epochs', 1)
    assert arguments_of(recorded['events'], 'model.compile')[0] == {
        'loss': 'ctc', 'optimizer': {'class_name': 'Adam', 'config': {'learning_rate': 0.001}}}
    import torch
    spaces = {}
    exec(text[text.index('def ctc('):text.index('def compile_model')], {'tf': FakeCtc(torch)}, spaces)
    p = torch.softmax(torch.randn(3, 6, 5, generator=torch.Generator().manual_seed(1)), dim=-1)
    labels = torch.tensor([[1, 3, 3], [4, -1, -1], [0, 1, -1]])
    expected = [torch.nn.functional.ctc_loss(p[i].log()[:, None], row[row >= 0][None], [6], [int((row >= 0).sum())], blank=2,
                                             reduction='sum').item() for i, row in enumerate(labels)]
    assert np.allclose(spaces['ctc'](labels, p), expected, atol=1e-4)


class FakeCtc:
    """What the function ctc() asks of TensorFlow, by torch."""

    def __init__(self, torch):
        self.torch, self.nn, self.math = torch, self, self

    def cast(self, x, dtype):
        return x.to(getattr(self.torch, dtype.replace('int32', 'int64')))

    def reduce_sum(self, x, axis):
        return x.sum(axis)

    def fill(self, shape, value):
        return self.torch.full(shape, value)

    def shape(self, x):
        return x.shape

    def maximum(self, x, least):
        return x.clamp(min=least)

    def log(self, x):
        return x.log()

    def ctc_loss(self, labels, logits, label_length, logit_length, logits_time_major, blank_index):
        assert not logits_time_major
        log_p = self.torch.log_softmax(logits, dim=-1).transpose(0, 1)
        return self.torch.nn.functional.ctc_loss(log_p, labels, logit_length, label_length, blank=blank_index, reduction='none')


def test_perplexity_and_confusion_matrix(neural):
    rest = 'loss: categorical_crossentropy metrics: [perplexity, confusion_matrix]'
    _, events, _ = trained(neural, rest)
    assert [m['class_name'] for m in arguments_of(events, 'model.compile')[0]['metrics']] == ['Perplexity', 'ConfusionMatrix']
    (neural.folder / 'ask.py').write_text("""
import json, numpy as np, tensorflow as tf, net
p, y = np.array([[.7, .2, .1], [.1, .3, .6], [.2, .5, .3]]), np.eye(3)[[0, 2, 0]]
made = net.Perplexity(name='p')
made.update_state(y, p)
matrix = net.ConfusionMatrix(name='c')
matrix.update_state(y, p)
matrix.update_state(y[:1], p[:1])
print(json.dumps([float(made.result()), np.asarray(matrix.result()).tolist()]))
matrix.reset_state()
assert not np.any(matrix.result())
""")
    env = {**os.environ, 'PYTHONPATH': str(HERE / 'recording_tensorflow'), 'PYTHONDONTWRITEBYTECODE': '1'}
    done = subprocess.run([PYTHON, 'ask.py'], cwd=neural.folder, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    perplexity, matrix = json.loads(done.stdout)
    assert perplexity == pytest.approx((0.7 * 0.6 * 0.2) ** (-1 / 3)) and matrix == [[2, 1, 0], [0, 0, 0], [0, 0, 1]]


# ---- the same bytes; names of the backends ----

def test_same_bytes(neural):
    (neural.folder / 'net.neural').write_text(NETS['encoder'][0])
    for backend, end in (('tensorflow', 'py'), ('keras-json', 'json')):
        texts = []
        for i in range(2):
            neural.run('compile', 'net.neural', '-b', backend, '-o', f'out.{end}')
            texts.append((neural.folder / f'out.{end}').read_bytes())
        assert texts[0] == texts[1]
    assert (neural.folder / 'out.weights.bin').exists()


@pytest.mark.parametrize('alias', ['tf', 'keras', 'TensorFlow'])
def test_aliases(neural, alias):
    (neural.folder / 'net.neural').write_text(NETS['dense'][0])
    text = neural.run('compile', 'net.neural', '-b', alias, '-o', '-').stdout
    assert 'keras.Model(' in text and '--backend tensorflow' in text and 'SHA-256' in text


def test_names_that_are_given(neural):
    (neural.folder / 'net.neural').write_text(NETS['named'][0])
    text = generate(neural, 'net')
    assert "layers.Dense(units=5, name='first')" in text and "('first', ['first.kernel', 'first.bias'])" in text
