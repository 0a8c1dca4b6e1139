# SPDX-License-Identifier: MIT
"""Generated PyTorch against the reference engine: every program of the golden files, and networks of many branches."""
import ast
import json
import os
import re

import numpy as np
import pytest
import torch
from conftest import ROOT, Reference, forward, load_path
from pyflakes import checker

TOLERANCE = 5e-5
# What a Lambda, a custom layer and a reserved name do is their owner's: test_pytorch_custom.py.
NO_LAYERS = {'lambda', 'custom', 'custom_shape', 'capsule_layer', 'graph_conv', 'graph_attention', 'quantum_layer',
             'dynamic_layer'}
# Networks with values still to be searched: not one network yet.
OPEN = {'search', 'search_space'}


def programs(path):
    """(title, program) of a golden file whose program has no errors."""
    for part in path.read_text().split('\n=== ' if not path.read_text().startswith('=== ') else '=== '):
        title, _, rest = part.partition('\n')
        lines = rest.split('\n')
        ends = [i for i, line in enumerate(lines) if line.startswith('--- ')]
        program = [line for line in lines[:ends[0] if ends else len(lines)] if not line.startswith('%')]
        if 'network' in rest and ' error ' not in rest:
            yield title, '\n'.join(program)


# Ops that no golden program without findings has, and arguments that say what generated code may get wrong.
MORE = [
    ('clip', 'network A { input: (6,) layers: ReLU(max_value=1, threshold=0) Dense(3) ReLU(max_value=0.5) }'),
    ('group_norm', 'network A { input: (4, 5, 6) layers: GroupNormalization(groups=3) GroupNormalization(groups=2, scale=false) }'),
    ('group_norm of vectors', 'network A { input: (6,) layers: GroupNormalization(groups=3, center=false) }'),
    ('noise', 'network A { input: (6,) layers: GaussianNoise(0.5) GaussianDropout(0.3) AlphaDropout(0.2) Dense(2) }'),
    ('dot', 'network A { input: { a: (4, 3) b: (3, 5) } layers: Dot(axes=(2, 1), inputs=[a, b]) }'),
    ('dot of unit vectors', 'network A { input: { a: (4,) b: (4,) } layers: Dot(axes=1, normalize=true, inputs=[a, b]) }'),
    ('reverse', 'network A { input: (5, 3) layers: LSTM(4, go_backwards=true, return_sequences=true) GRU(3, go_backwards=true) }'),
    ('reverse loop', 'network A { input: (5, 3) layers: LSTM(4, activation=relu, go_backwards=true, return_sequences=true) '
                     'GRU(3, reset_after=false, go_backwards=true) }'),
    ('masks', 'network A { input: (7,) layers: Embedding(4, 5, mask_zero=true) LSTM(4, return_sequences=true) GRU(3) }'),
    ('masked mean', 'network A { input: (7,) layers: Embedding(3, 5, mask_zero=true) GlobalAveragePooling1D() }'),
    ('masked attention', 'network A { input: (7,) layers: Embedding(3, 4, mask_zero=true) MultiHeadAttention(2, 3) }'),
    ('broadcast', 'network A { input: { a: (4, 5, 6) b: (6,) c: (5, 6) } layers: Conv2D(6, 3, padding=same, inputs=a, name=d) '
                  'Multiply(inputs=[d, b], name=e) Add(inputs=[e, c]) }'),
    ('seven axes', 'network A { input: (2, 2, 2, 2, 3) layers: BatchNormalization() Dense(2) }'),
    ('two outputs', 'network A { input: { a: (8, 8, 2) b: (4,) } layers: a: { Conv2D(3, 3) } b: { Dense(2) } }'),
    ('a value that nobody reads', 'network A { input: { a: (8, 8, 2) b: (4,) } layers: Conv2D(3, 3, inputs=a, name=c) '
                        'Dense(2, inputs=b, name=d) }'),
]
CASES = [('more', title, program) for title, program in MORE]
CASES += [(path.stem, title, program) for path in sorted((ROOT / 'tests/golden').glob('*.case'))
         if path.stem not in NO_LAYERS | OPEN for title, program in programs(path)]


def model_of(module):
    return next(v for v in vars(module).values() if isinstance(v, type) and issubclass(v, torch.nn.Module)
                and hasattr(v, 'predict'))()


def known(reference):
    return all(d > 0 for _, shape in reference.inputs for d in shape)


def compare(neural, path, seed=0):
    """The generated model against the reference engine, with the same random weights and inputs."""
    reference = Reference(neural, path.with_suffix('.neural'), seed)
    module = load_path(path)
    model = model_of(module)
    assert set(module.NEURAL_WEIGHTS) == set(reference.weights)
    module.load_neural_weights(model, reference.file)
    if any(np.prod(np.abs(shape)) > 20000 for _, shape in reference.inputs):
        return  # an image as the steps of an attention takes more memory than there is
    samples = reference.samples()
    got = model.predict(*map(torch.tensor, samples))
    got = got if isinstance(got, tuple) else (got,)
    assert len(got) == len(reference.outputs)
    if not known(reference):  # the engine wants to know sizes: only the shapes are compared
        for a, (_, shape) in zip(got, reference.outputs):
            assert len(a.shape) == len(shape) + 1 and all(n in (m, -1) for m, n in zip(a.shape[1:], shape))
        return
    if sum(w.size for w in reference.weights.values()) > 200000:
        return  # one loop an axis: it would take minutes
    for a, b in zip(got, reference.run(samples)):
        assert a.shape == b.shape
        np.testing.assert_allclose(a.numpy(), b, rtol=TOLERANCE, atol=TOLERANCE * max(1, np.abs(b).max()))


def check_clean(path):
    text = path.read_text()
    assert text.isascii()
    messages = checker.Checker(ast.parse(text), path.name).messages
    assert not messages, list(map(str, messages))


@pytest.mark.parametrize('file,title,program', CASES, ids=[f'{f}: {t}'[:70] for f, t, _ in CASES])
def test_golden_programs(neural, file, title, program):
    done = neural.generate(program, ok=False)
    if not done.exists():
        reason = neural.run('compile', done.with_suffix('.neural').name, '--backend', 'pytorch', '-o', '-', ok=False)
        refused = ('not supported by the PyTorch backend', 'needs a score for each of two or more classes',
                   'give the layer its output_shape')
        assert any(text in reason.stderr for text in refused), reason.stderr
        return
    check_clean(done)
    compare(neural, done)


def test_every_op_is_compared_here(neural):
    """By a golden program; a CUSTOM op is test_pytorch_custom.py's."""
    table = (ROOT / 'src/graph/ops.def').read_text()
    wanted, seen = set(re.findall(r'^NN_OP\(\w+, +(\w+)', table, re.M)) - {'custom'}, set()
    for i, (_, _, program) in enumerate(CASES):
        path = neural.folder / f'op_{i}.neural'
        path.write_text(program)
        done = forward('shapes', path, ok=False)
        about = json.loads(done.stdout or '{"inputs": [], "ops": []}')
        if all(d > 0 for t in about['inputs'] for d in t['shape']):
            seen |= set(about['ops'])
    assert seen >= wanted, wanted - seen


# ---- many branches at random ----

class Maker:
    """A network by seed: layers over images, sequences and vectors that go apart and come together again."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.lines, self.open, self.count = [], [], 0
        self.inputs = {}

    def pick(self, *choices):
        return choices[self.random.integers(len(choices))]

    def add(self, call, source, kind):
        """One layer named n<i>, of one or several values, to the values that are open."""
        self.count += 1
        name = f'n{self.count}'
        names = [source] if isinstance(source, str) else source
        given = names[0] if len(names) == 1 else '[' + ', '.join(names) + ']'
        head, _, rest = call.partition('(')
        inside = rest[:-1]
        arguments = ', '.join(filter(None, [inside, f'name={name}', f'inputs={given}']))
        self.lines.append(f'{head}({arguments})')
        self.open.append((name, kind))
        return name

    def act(self):
        return self.pick('relu', 'tanh', 'elu', 'gelu', 'leaky_relu', 'sigmoid', 'softplus')

    def image(self, source):
        return self.pick(
            lambda: self.add(f'Conv2D({self.pick(2, 4)}, {self.pick(2, 3)}, padding=same, activation={self.act()})',
                             source, 'image'),
            lambda: self.add('DepthwiseConv2D(3, padding=same)', source, 'image'),
            lambda: self.add('SeparableConv2D(4, 3, padding=same)', source, 'image'),
            lambda: self.add(f'{self.pick("Batch", "Layer", "Instance")}Normalization()', source, 'image'),
            lambda: self.add(f'{self.pick("Max", "Average")}Pooling2D(3, strides=1, padding=same)', source, 'image'),
            lambda: self.add('PReLU(shared_axes=[1, 2])', source, 'image'),
            lambda: self.add(f'Activation({self.act()})', source, 'image'),
            lambda: self.add('Conv2DTranspose(3, 3, padding=same)', source, 'image'),
            lambda: self.add(f'Dense({self.pick(2, 5)}, activation={self.act()})', source, 'image'))()

    def sequence(self, source):
        return self.pick(
            lambda: self.add(f'{self.pick("LSTM", "GRU", "SimpleRNN")}({self.pick(3, 4)}, return_sequences=true, '
                             f'activation={self.pick("tanh", "relu", "softsign")})', source, 'sequence'),
            lambda: self.add('Bidirectional(GRU(2, return_sequences=true))', source, 'sequence'),
            lambda: self.add('Conv1D(4, 3, padding=same, activation=relu)', source, 'sequence'),
            lambda: self.add('MultiHeadAttention(2, 3)', source, 'sequence'),
            lambda: self.add('TimeDistributed(Dense(3))', source, 'sequence'),
            lambda: self.add('PositionalEncoding(max_len=9)', source, 'sequence'),
            lambda: self.add('LayerNormalization()', source, 'sequence'))()

    def vector(self, source):
        return self.pick(lambda: self.add(f'Dense({self.pick(3, 5)}, activation={self.act()})', source, 'vector'),
                         lambda: self.add('BatchNormalization()', source, 'vector'),
                         lambda: self.add('Dropout(0.5)', source, 'vector'))()

    def join(self, a, b, kind):
        if kind == 'vector':
            return self.add('Concatenate()', [a, b], kind)
        equal = [self.add('Dense(4)', source, kind) for source in (a, b)]
        return self.add(f'{self.pick("Add", "Multiply", "Maximum", "Average", "Subtract", "Concatenate")}()', equal, kind)

    def program(self):
        shapes = {'image': '(5, 6, 3)', 'sequence': '(5, 4)', 'vector': '(4,)'}
        kinds = [kind for kind in shapes if self.random.random() < 0.7] or ['image']
        ends = []
        for kind in kinds:
            self.inputs[f'the_{kind}'] = shapes[kind]
            source = f'the_{kind}'
            for _ in range(self.random.integers(1, 4)):
                left, right = getattr(self, kind)(source), getattr(self, kind)(source)
                if self.random.random() < 0.5:
                    left = getattr(self, kind)(left)
                source = self.join(left, right, kind)
            ends.append(self.add({'image': 'GlobalAveragePooling2D()', 'sequence': 'GlobalMaxPooling1D()',
                                  'vector': 'Dense(3)'}[kind], source, 'vector'))
        end = ends[0] if len(ends) == 1 else self.add('Concatenate()', ends, 'vector')
        self.add('Dense(3, activation=softmax)', end, 'vector')
        inputs = ' '.join(f'{name}: {shape}' for name, shape in self.inputs.items())
        return f'network Random {{ input: {{ {inputs} }} layers:\n  ' + '\n  '.join(self.lines) + '\n}'


# Fifty of them; more where a person asks: RANDOM_NETWORKS=200.
@pytest.mark.parametrize('seed', range(int(os.environ.get('RANDOM_NETWORKS', 50))))
def test_random_networks(neural, seed):
    program = Maker(seed).program()
    path = neural.generate(program)
    check_clean(path)
    compare(neural, path, seed)


def test_generation_is_deterministic(neural):
    program = Maker(7).program()
    texts = [neural.generate(program).read_text().replace(f'net_{i}', 'net') for i in range(2)]
    assert texts[0] == texts[1]
