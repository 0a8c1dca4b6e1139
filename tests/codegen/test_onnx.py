# SPDX-License-Identifier: MIT
"""Files of ONNX: checked by onnx.checker with full shape inference, and run in ONNX Runtime against our engines.

Networks are those of tests/golden (every layer), of examples/ and of the lists below. Weights are drawn, so that no bias is 0.
"""
import collections
import json
import re
import shutil
import subprocess

import numpy as np
import onnx
import onnx.checker
import onnx.numpy_helper
import onnx.shape_inference
import pytest
from conftest import ROOT, forward

NODE = ROOT / 'tests' / 'node'
TOLERANCE = 5e-5
BATCHES = (1, 3)


class Runtime:
    """ONNX Runtime in a Node process that answers a line a model."""

    def __init__(self, folder):
        self.folder = folder
        self.process = subprocess.Popen(['node', str(NODE / 'run_onnx.js')], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)

    def run(self, model, inputs):
        """Outputs as {name: array}; inputs are arrays by name."""
        asked = []
        for i, (name, x) in enumerate(inputs.items()):
            path = self.folder / f'in.{i}'
            x.tofile(path)
            kind = {'float32': 'float32', 'int64': 'int64'}[str(x.dtype)]
            asked.append({'name': name, 'type': kind, 'dims': list(x.shape), 'file': str(path)})
        request = {'model': str(model), 'inputs': asked, 'outputs': str(self.folder / 'out')}
        self.process.stdin.write(json.dumps(request) + '\n')
        self.process.stdin.flush()
        reply = json.loads(self.process.stdout.readline())
        assert 'error' not in reply, reply['error']
        return {o['name']: np.fromfile(o['file'], '<f4').reshape(o['dims']) for o in reply['outputs']}


@pytest.fixture(scope='session')
def runtime(tmp_path_factory):
    if not shutil.which('node') or not (NODE / 'node_modules' / 'onnxruntime-node').exists():
        pytest.skip('ONNX Runtime is not installed: make deps SECTIONS=check')
    r = Runtime(tmp_path_factory.mktemp('ort'))
    yield r
    r.process.stdin.close()
    r.process.wait(10)


class Network:
    """A program, a model of it with drawn weights, and its file of ONNX."""

    def __init__(self, neural, program, weights_of=None):
        self.folder = neural.folder
        (self.folder / 'net.neural').write_text(program)
        self.weights = self.folder / 'drawn.safetensors'
        if weights_of is None:
            forward('model', self.folder / 'net.neural', 7, self.weights)
        neural.run('compile', 'net.neural', '--backend', 'onnx', '-o', 'net.onnx', '--weights', self.weights.name)
        self.path = self.folder / 'net.onnx'
        if weights_of is None:
            self.shapes = json.loads(forward('shapes', self.weights).stdout)

    def draw(self, rows, seed=1):
        rng = np.random.default_rng(seed)
        made = {}
        for i in self.shapes['inputs']:
            shape = (rows, *i['shape'])
            x = rng.integers(0, i['tokens'], size=shape) if i['tokens'] else rng.normal(size=shape)
            made[i['name']] = np.asarray(x, '<f4')
        return made

    def ours(self, inputs, rows):
        files = []
        for k, x in enumerate(inputs.values()):
            files.append(self.folder / f'ours.in.{k}')
            x.tofile(files[-1])
        outputs = [self.folder / f'ours.out.{k}' for k in range(len(self.shapes['outputs']))]
        for engine in ('native', 'reference'):
            done = forward('run', self.weights, engine, rows, *files, *outputs, ok=False)
            if not done.returncode:
                break
        assert not done.returncode, done.stderr
        return {o['name']: np.fromfile(p, '<f4').reshape(rows, *o['shape'])
                for o, p in zip(self.shapes['outputs'], outputs)}


def check_file(path):
    """What a viewer and a runtime rely on."""
    model = onnx.load(str(path))
    onnx.checker.check_model(model, full_check=True)
    assert model.producer_name == 'neural' and model.opset_import[0].version == 17
    graph = model.graph
    infos = {v.name for v in graph.value_info}
    outside = {v.name for v in [*graph.input, *graph.output]} | {t.name for t in graph.initializer}
    made = [o for n in graph.node for o in n.output if o]
    assert len(set(made)) == len(made) and not set(made) & {t.name for t in graph.initializer}
    assert set(made) - outside == infos - outside, 'every value has its shape'
    for v in [*graph.input, *graph.output]:
        assert v.type.tensor_type.shape.dim[0].dim_param == 'batch'
        assert v.doc_string
    for v in graph.value_info:  # what a viewer writes at each line between two operators
        assert all(d.dim_value or d.dim_param for d in v.type.tensor_type.shape.dim), v
    names = [n.name for n in graph.node]
    assert all(names) and len(set(names)) == len(names) and all(n.doc_string for n in graph.node)
    assert model.producer_version and model.doc_string and graph.doc_string == model.doc_string
    told = {p.key: p.value for p in model.metadata_props}
    assert set(told) == {'source', 'source_sha256', 'layout', 'graph'} and all(told.values())
    assert json.loads(told['graph'])['name'] == graph.name
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    for v in inferred.graph.value_info:
        assert all(d.dim_value or d.dim_param for d in v.type.tensor_type.shape.dim), v
    return model


def distance(a, b):
    assert a.shape == b.shape, (a.shape, b.shape)
    assert np.isfinite(a).all()
    return np.linalg.norm((a - b).ravel()) / max(np.linalg.norm(b.ravel()), 1e-12)


def compare(network, runtime):
    for rows in BATCHES:
        x = network.draw(rows)
        theirs, ours = runtime.run(network.path, x), network.ours(x, rows)
        for i, (name, y) in enumerate(ours.items()):
            got = theirs.get(name, list(theirs.values())[i])
            assert distance(got, y) <= TOLERANCE, name


def programs():
    """The networks of the golden cases that compile: (file: title, program)."""
    for path in sorted((ROOT / 'tests' / 'golden').glob('*.case')):
        for case in re.split(r'^=== ', path.read_text(), flags=re.M)[1:]:
            title, _, rest = case.partition('\n')
            program = re.split(r'^(?:---|%)', rest, maxsplit=1, flags=re.M)[0]
            if '--- graph' in rest or '--- shapes' in rest:
                yield pytest.param(program, id=f'{path.stem}: {title}')
    for path in sorted((ROOT / 'examples').glob('*.neural')):
        yield pytest.param(path.read_text(), id=path.name)


ACTIVATIONS = re.findall(r'^NN_ACT\(\w+,\s+(\w+)', (ROOT / 'src/graph/activations.def').read_text(), re.M)
MERGES = re.findall(r'^NN_MERGE\(\w+,\s+(\w+)', (ROOT / 'src/graph/merges.def').read_text(), re.M)


def listed(shape, layers, title=None):
    return pytest.param(f'network N {{ input: {shape}\n layers:\n {layers} }}', id=title or f'{layers} of {shape}'.replace('\n', ', '))


MORE = [
    *(listed((5,), f'Dense(7, activation="{a}")') for a in ACTIVATIONS),
    *(listed((6, 5, 2), f'Conv2D(4, 3)\nActivation("{a}")\nGlobalMaxPooling2D()') for a in ('relu6', 'gelu', 'mish', 'softmax')),
    *(listed((4, 3), f'{layer}(5, activation="{a}", return_sequences={s})') for a in ACTIVATIONS
      if a != 'exponential'  # overflows within four steps
      for layer, s in (('SimpleRNN', 'true'), ('LSTM', 'false'), ('GRU', 'true'))),
    *(listed((4, 3), f'GRU(5, reset_after={r}, activation="{a}", use_bias={b}, go_backwards=true)')
      for r in ('true', 'false') for a in ('tanh', 'gelu') for b in ('true', 'false')),
    *(listed((4, 3), f'LSTM(5, recurrent_activation="{a}", go_backwards=true, return_sequences=true)')
      for a in ('hard_sigmoid', 'softplus', 'elu', 'selu')),
    *(listed((4, 3), f'Bidirectional(LSTM(5, return_sequences={s}), merge_mode="{m}")')
      for s in ('true', 'false') for m in ('concat', 'sum', 'mul', 'ave')),
    *(listed((9, 7, 4), f'Conv2D(6, {k}, strides={s}, padding="{p}", dilation_rate={d}, groups={g})')
      for k, s, p, d, g in (((3, 2), 1, 'same', 2, 2), ((4, 3), (2, 3), 'same', 1, 1), (2, (2, 1), 'valid', 1, 2),
                            ((3, 2), 1, 'valid', (1, 3), 1))),
    *(listed((5, 4, 4), f'Conv2DTranspose(6, {k}, strides={s}, padding="{p}"{more})')
      for k, s, p, more in ((3, 2, 'same', ''), (2, 3, 'valid', ''), ((4, 3), (2, 1), 'same', ''), (3, 2, 'valid', ''),
                            (3, 2, 'same', ', output_padding=1'), (3, 2, 'valid', ', output_padding=1'),
                            (3, 1, 'same', ', dilation_rate=2'))),
    *(listed((7, 8, 3), f'{kind}Pooling2D({k}, strides={s}, padding="{p}")') for kind in ('Max', 'Average')
      for k, s, p in ((2, 2, 'same'), (3, 2, 'same'), ((3, 2), (1, 2), 'valid'))),
    *(listed((7, 9, 3), f'Adaptive{kind}Pooling2D({size})') for kind in ('Max', 'Average')
      for size in ((7, 3), (3, 4), (1, 5), (9, 9))),
    *(listed((4, 5, 3), f'UpSampling2D({f}, interpolation="{i}")') for f in (2, (3, 1), (2, 5)) for i in ('nearest', 'bilinear')),
    *(listed((4, 6, 8), f'Conv2D(8, 1)\nGroupNormalization({g})\nConv2D(2, 1)') for g in (1, 2, 8)),
    listed((6, 8), 'GroupNormalization(4)'),
    listed((6, 5, 4), 'Conv2D(3, 2)\nPermute((3, 1, 2))\nFlatten()\nDense(3)'),
    listed((6, 5, 4), 'Conv2D(3, 2)\nPermute((2, 1, 3))\nConv2D(2, 2)'),
    listed((6, 5, 4), 'Conv2D(3, 2)\nPReLU(shared_axes=[1, 2])\nFlatten()\nPReLU()'),
    listed((6, 5, 4), 'BatchNormalization()\nDense(3)\nBatchNormalization(scale=false)\nLayerNormalization(center=false)'),
    listed((6, 5, 4), 'TimeDistributed(Conv1D(3, 2))\nTimeDistributed(Flatten())\nTimeDistributed(Dense(4))\nLSTM(3)'),
    *(pytest.param(f'network N {{ input: {{ a: (4, 5, 3) b: ({b}) }} layers: {m.capitalize()}(inputs=[a, b]) }}', id=f'{m} with ({b})')
      for m in MERGES for b in ('4, 5, 3', '3', '5, 1', '4, 1, 3') if m != 'dot'),
    *(pytest.param(f'network N {{ input: {{ a: (4, 5) b: (6, 5) }} layers: Dot(axes=(2, 2), normalize={f}, inputs=[a, b]) '
                   'Flatten() Dense(3) }', id=f'dot, normalize={f}') for f in ('true', 'false')),
    *(listed((6, 5, 4, 2), f'ConvLSTM2D({f}, (3, 2), strides={s}, padding="{p}", return_sequences={r}, go_backwards={b}, activation="{a}")')
      for f, s, p, r, b, a in ((3, 1, 'same', 'true', 'false', 'tanh'), (2, 2, 'valid', 'false', 'true', 'gelu'),
                               (2, (2, 1), 'same', 'true', 'true', 'relu'))),
]
SEEN = collections.Counter()


@pytest.mark.parametrize('program', MORE)
def test_a_layer_gives_the_same_numbers_in_onnx_runtime(neural, runtime, program):
    network = Network(neural, program)
    check_file(network.path)
    compare(network, runtime)
    SEEN.update(network.shapes['ops'])


@pytest.mark.parametrize('program', programs())
def test_a_network_gives_the_same_numbers_in_onnx_runtime(neural, runtime, program):
    (neural.folder / 'net.neural').write_text(program)
    made = forward('model', neural.folder / 'net.neural', 7, neural.folder / 'drawn.safetensors', ok=False)
    if made.returncode:
        pytest.skip(made.stderr)
    shapes = json.loads(forward('shapes', neural.folder / 'drawn.safetensors').stdout)
    if 'custom' in shapes['ops']:
        done = neural.run('compile', 'net.neural', '--backend', 'onnx', ok=False)
        assert done.returncode and 'the program only names it' in done.stderr
        SEEN['custom'] += 1
        return
    network = Network(neural, program)
    check_file(network.path)
    if any(d < 0 for t in shapes['inputs'] for d in t['shape']) or any(t in program for t in TOO_LARGE):
        return
    compare(network, runtime)
    SEEN.update(shapes['ops'])


TOO_LARGE = ("network ViT { input: (224, 224, 3)",)  # minutes in the reference engine
OPEN = [
    ('(None, None, None, 2)', '(7, 9, 2)', 'Conv2D(4, 3, padding="same", strides=2)\nMaxPooling2D(3, strides=2, padding="same")\n'
     'GroupNormalization(2)\nUpSampling2D(2)\nZeroPadding2D(1)\nGlobalAveragePooling2D()\nDense(3)'),
    ('(None, None, None, 2)', '(8, 6, 2)', 'Conv2DTranspose(4, 3, strides=2)\nAveragePooling2D(2)\nCropping2D(1)\nAdaptiveAveragePooling2D(1)'),
    ('(None, None, 4)', '(5, 4)', 'PositionalEncoding(max_len=20)\nLSTM(6, return_sequences=true)\nMultiHeadAttention(2, 3)\nLayerNormalization()'),
    ('(None, None, 4)', '(6, 4)', 'Attention(causal=true)\nConv1D(3, 2)\nGRU(4)'),
    ('(None, None, 6)', '(5, 6)', 'TimeDistributed(Dense(4))\nReshape((-1, 2))\nBidirectional(LSTM(3, return_sequences=true))'),
    ('(None, None, 5, 3)', '(4, 5, 3)', 'TimeDistributed(Conv1D(4, 2))\nTimeDistributed(Flatten())\nSimpleRNN(3)'),
]


@pytest.mark.parametrize('shape,known,layers', OPEN)
def test_sizes_that_are_open_until_it_runs(neural, runtime, shape, known, layers):
    """The file for any size gives what the network of a known size gives."""
    network = Network(neural, f'network N {{ input: {known}\n layers:\n {layers} }}')
    expected = [(x, network.ours(x, 2)) for x in [network.draw(2)]]
    Network(neural, f'network N {{ input: {shape}\n layers:\n {layers} }}', weights_of=network)
    check_file(network.path)
    for x, ours in expected:
        theirs = runtime.run(network.path, x)
        for name, y in ours.items():
            assert distance(theirs[name], y) <= TOLERANCE


def test_bytes_are_the_same_each_time_and_say_where_they_are_from(neural):
    network = Network(neural, 'network N { input: (8, 8, 1) layers: Conv2D(4, 3) Flatten() Dense(3) }')
    first = network.path.read_bytes()
    neural.run('compile', 'net.neural', '--backend', 'onnx', '-o', 'again.onnx', '--weights', network.weights.name)
    assert (neural.folder / 'again.onnx').read_bytes() == first
    model = onnx.load(str(network.path))
    digest = subprocess.run(['sha256sum', 'net.neural'], cwd=neural.folder, capture_output=True, text=True).stdout.split()[0]
    assert {p.key: p.value for p in model.metadata_props}['source_sha256'] == digest
    assert 'neural compile net.neural --backend onnx' in model.doc_string and model.graph.name == 'N'
    names = {t.name: list(t.dims) for t in model.graph.initializer}
    assert names['conv2d_1.kernel'] == [4, 1, 3, 3] and names['dense_1.bias'] == [3]


def test_channels_are_turned_once_a_run(neural):
    network = Network(neural, 'network N { input: (8, 8, 3) layers: Conv2D(4, 3) BatchNormalization() ReLU() MaxPooling2D(2)\n'
                              'Dropout(0.2) Conv2D(4, 2) GlobalAveragePooling2D() Dense(3) }')
    assert [n.op_type for n in onnx.load(str(network.path)).graph.node].count('Transpose') == 1


def test_initial_weights_follow_the_seed_of_the_program(neural):
    made = []
    for seed in (1, 1, 2):
        (neural.folder / 'n.neural').write_text(f'network N {{ input: (4,) layers: Dense(3)\n loss: mse\n train {{ seed: {seed} }} }}')
        neural.run('compile', 'n.neural', '--backend', 'onnx', '-o', 'n.onnx')
        made.append(onnx.numpy_helper.to_array(onnx.load(str(neural.folder / 'n.onnx')).graph.initializer[0]))
    assert (made[0] == made[1]).all() and (made[0] != made[2]).any()


def test_weights_of_another_network_are_refused(neural):
    network = Network(neural, 'network N { input: (4,) layers: Dense(3) }')
    (neural.folder / 'other.neural').write_text('network N { input: (4,) layers: Dense(4) }')
    done = neural.run('compile', 'other.neural', '--backend', 'onnx', '--weights', network.weights.name, ok=False)
    assert done.returncode and 'another network' in done.stderr


@pytest.mark.parametrize('shape,layers,reason', [
    ((4, 5), 'Lambda("lambda x: x + 1", output_shape=(4, 5))', 'only names it'),
    ('(None, None, 5)', 'LSTM(3, activation="gelu")', 'steps'),
    ('(None, None, 9, 3)', 'ConvLSTM1D(3, 2)', 'steps'),
    ('(None, None, 9, 3)', 'AdaptiveAveragePooling2D((2, 3))', 'open'),
])
def test_what_it_cannot_write_is_refused_with_the_layer(neural, shape, layers, reason):
    (neural.folder / 'n.neural').write_text(f'network N {{ input: {shape} layers: {layers} }}')
    done = neural.run('compile', 'n.neural', '--backend', 'onnx', ok=False)
    assert done.returncode and reason in done.stderr and not (neural.folder / 'n_onnx.onnx').exists()


def test_every_op_was_seen():
    """Only after the networks above, so not with -k."""
    if not SEEN:
        pytest.skip('the networks were not run')
    ops = re.findall(r'^NN_OP\(\w+,\s+(\w+)', (ROOT / 'src/graph/ops.def').read_text(), re.M)
    assert [o for o in ops if not SEEN[o]] == []
