# SPDX-License-Identifier: MIT
"""Finds the program under test: $NEURAL_BIN, else the newest build/*/neural."""
import importlib.util
import itertools
import json
import os
import pathlib
import struct
import subprocess

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PYTHON = '/usr/bin/python3'


def find_binary():
    if os.environ.get('NEURAL_BIN'):
        return pathlib.Path(os.environ['NEURAL_BIN']).resolve()
    built = sorted(ROOT.glob('build/*/neural'), key=lambda p: p.stat().st_mtime)
    if not built:
        pytest.exit('no neural program: build it, or set NEURAL_BIN', returncode=2)
    return built[-1]


def load_path(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Neural:
    """Runs the program in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.binary = find_binary()
        self.count = itertools.count()

    def run(self, *arguments, ok=True):
        done = subprocess.run([self.binary, *arguments], cwd=self.folder, capture_output=True, text=True,
                              timeout=120)
        if ok and done.returncode:
            pytest.fail(f'neural {arguments}: {done.returncode}\n{done.stdout}{done.stderr}')
        return done

    def generate(self, program, *more, ok=True):
        """The path of the code generated from a program's text."""
        stem = self.folder / f'net_{next(self.count)}'
        stem.with_suffix('.neural').write_text(program)
        self.run('compile', stem.with_suffix('.neural').name, '--backend', 'pytorch', '-o', stem.name + '.py',
                 *more, ok=ok)
        return stem.with_suffix('.py')

    def load(self, program):
        """The generated code as a module."""
        return load_path(self.generate(program))


def forward(*arguments, ok=True, folder=None):
    """The program of forward.c, which runs an engine of ours."""
    done = subprocess.run([find_binary().parent / 'forward', *map(str, arguments)], cwd=folder, capture_output=True, text=True,
                          timeout=120)
    if ok and done.returncode:
        pytest.fail(f'forward {arguments}: {done.stdout}{done.stderr}')
    return done


class Reference:
    """A network as the reference engine runs it, with random weights."""

    def __init__(self, neural, path, seed=0):
        self.path, self.model = path, path.with_suffix('.model')
        self.random = np.random.default_rng(seed)
        about = json.loads(forward('shapes', path).stdout)
        self.inputs, self.outputs = ([(t['name'], t['shape']) for t in about[k]] for k in ('inputs', 'outputs'))
        self.words = [t['tokens'] for t in about['inputs']]
        self.ops = set(about['ops'])
        self.weights = {w['name']: self.draw(w['name'], w['shape']) for w in about['weights']}
        self.file = write_safetensors(path.with_suffix('.safetensors'), self.weights)

    def draw(self, name, shape):
        if name.endswith('moving_variance'):
            return self.random.uniform(0.5, 2, shape).astype('f4')
        return (self.random.normal(size=shape) * 0.5).astype('f4')

    def samples(self, rows=3):
        """Rows of each input; sizes that are open are 6."""
        shapes = [[6 if d < 0 else d for d in shape] for _, shape in self.inputs]
        return [(self.random.integers(0, words, (rows, *shape)) if words else
                 self.random.normal(size=(rows, *shape))).astype('f4')
                for shape, words in zip(shapes, self.words)]

    def run(self, samples):
        rows, stem = len(samples[0]), str(self.path.with_suffix(''))
        inputs = [f'{stem}.in.{k}' for k in range(len(samples))]
        outputs = [f'{stem}.out.{k}' for k in range(len(self.outputs))]
        for x, path in zip(samples, inputs):
            x.tofile(path)
        forward('fill', self.path, self.file, self.model)
        forward('run', self.model, 'reference', rows, *inputs, *outputs)
        return [np.fromfile(path, '<f4').reshape(rows, *shape) for path, (_, shape) in zip(outputs, self.outputs)]


@pytest.fixture
def neural(tmp_path):
    return Neural(tmp_path)


def write_safetensors(path, tensors):
    """A file by the format's description; nothing of ours is asked."""
    header, data = {}, b''
    for name, values in tensors.items():
        raw = np.ascontiguousarray(values, '<f4').tobytes()
        header[name] = {'dtype': 'F32', 'shape': list(values.shape), 'data_offsets': [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack('<Q', len(text)) + text + data)
    return str(path)


def run_script(path, *arguments, ok=True):
    done = subprocess.run([PYTHON, str(path), *map(str, arguments)], cwd=path.parent, capture_output=True, text=True,
                          timeout=300)
    if ok and done.returncode:
        pytest.fail(f'{path.name} {arguments}: {done.returncode}\n{done.stdout}{done.stderr}')
    return done


def toy_images(path, rows=400, classes=10, size=28, seed=0):
    """Noisy pictures of `classes` patterns as an .npz in Keras's form."""
    patterns = np.random.default_rng(99).normal(size=(classes, size, size))

    def part(n, part_seed):
        r = np.random.default_rng(part_seed)
        y = np.arange(n) % classes
        x = 127 + 40 * (patterns[y] + 0.5 * r.normal(size=(n, size, size)))
        return np.clip(x, 0, 255).astype('u1'), y

    x, y = part(rows, seed + 1)
    a, b = part(rows // 2, seed + 2)
    np.savez(path, x_train=x, y_train=y, x_test=a, y_test=b)
    return path
