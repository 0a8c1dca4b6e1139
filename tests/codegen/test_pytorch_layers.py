# SPDX-License-Identifier: MIT
"""Generated PyTorch against the reference engine: every program of the golden files, and networks of many branches."""
import ast

import numpy as np
import pytest
import torch
from conftest import ROOT, Reference, load_path
from pyflakes import checker

TOLERANCE = 5e-5
# What a Lambda, a custom layer and a reserved name do is their owner's: test_pytorch_custom.py.
NO_LAYERS = {'lambda', 'custom', 'custom_shape', 'capsule_layer', 'graph_conv', 'graph_attention', 'quantum_layer',
             'dynamic_layer'}


def programs(path):
    """(title, program) of a golden file whose program has no errors."""
    for part in path.read_text().split('\n=== ' if not path.read_text().startswith('=== ') else '=== '):
        title, _, rest = part.partition('\n')
        lines = rest.split('\n')
        ends = [i for i, line in enumerate(lines) if line.startswith('--- ')]
        program = [line for line in lines[:ends[0] if ends else len(lines)] if not line.startswith('%')]
        if 'network' in rest and ' error ' not in rest:
            yield title, '\n'.join(program)


CASES = [(path.stem, title, program) for path in sorted((ROOT / 'tests/golden').glob('*.case'))
         if path.stem not in NO_LAYERS for title, program in programs(path)]


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
        assert 'not supported by the PyTorch backend' in reason.stderr or 'search' in reason.stderr, reason.stderr
        return
    check_clean(done)
    compare(neural, done)
