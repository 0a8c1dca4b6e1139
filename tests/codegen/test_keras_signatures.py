# SPDX-License-Identifier: MIT
"""The table of Keras's signatures against two sources that nobody here wrote: typeshed's stubs of tensorflow.keras 2.18 (Keras 3.6;
npm's pyright brings them) and the types of TensorFlow.js, whose arguments are Keras 2's in another spelling."""
import ast
import json
import os
import re
import subprocess

import pytest
from conftest import PYTHON, ROOT
from test_keras import HERE, SIGNATURES

PACKAGES = ROOT / 'tests/node/node_modules'
STUBS = PACKAGES / 'pyright/dist/typeshed-fallback/stubs/tensorflow/tensorflow/keras'
TYPES = PACKAGES / '@tensorflow/tfjs-layers/dist/layers'
FILES = {'layers': 'layers/__init__.pyi', 'initializers': 'initializers.pyi', 'schedules': 'optimizers/schedules.pyi',
         'losses': 'losses.pyi', 'metrics': 'metrics.pyi', 'callbacks': 'callbacks.pyi'}
LATER = {'layers.MultiHeadAttention': {'flash_attention'}}  # Keras 3.7
UNSAID = object()  # a default that the stub leaves open
# a default that the table leaves open, since no program names the argument
OPEN = {'reduction', 'name'}

pytestmark = pytest.mark.skipif(not STUBS.is_dir(), reason='npm ci in tests/node')


def arguments_of(function):
    a = function.args
    given = [*([...] * (len(a.args) - len(a.defaults))), *a.defaults, *a.kw_defaults]
    found = {}
    for argument, default in zip([*a.args, *a.kwonlyargs], given):
        if default in (None, ...):
            found[argument.arg] = '!'
        else:
            value = ast.literal_eval(default) if isinstance(default, (ast.Constant, ast.UnaryOp, ast.Tuple)) else ...
            found[argument.arg] = UNSAID if value is ... else value
    found.pop('self', None)
    return found


def typeshed():
    found = {}
    for part, file in {**FILES, 'model': 'models.pyi'}.items():
        for node in ast.parse((STUBS / file).read_text()).body:
            for method in node.body if isinstance(node, ast.ClassDef) else []:
                if not isinstance(method, ast.FunctionDef):
                    continue
                if part == 'model' and node.name == 'Model':
                    found[f'model.{method.name}'] = arguments_of(method)
                elif method.name == '__init__':
                    found[f'{part}.{node.name}'] = arguments_of(method)
    return found


def even(v):
    """Sizes that are equal are one."""
    return v[0] if isinstance(v, (list, tuple)) and v and len(set(map(str, v))) == 1 else v


THEIRS = typeshed()
LACKING = sorted(k for k in SIGNATURES['3'] if k not in THEIRS)


@pytest.mark.parametrize('name', sorted(set(SIGNATURES['3']) & set(THEIRS)))
def test_as_in_typeshed(name):
    ours, theirs = SIGNATURES['3'][name], THEIRS[name]
    assert set(ours) - LATER.get(name, set()) <= set(theirs)
    for key in set(ours) & set(theirs) - OPEN:
        if theirs[key] is not UNSAID and not (name, key) == ('layers.Activation', 'activation'):  # the stub: None, too
            assert even(ours[key]) == even(theirs[key]), key
    needed = {key for key, value in theirs.items() if value == '!'}
    assert needed <= set(ours)


# ---- TensorFlow.js ----

def snake(name):
    return re.sub(r'(?<=[a-z])([A-Z])', lambda m: '_' + m[1].lower(), name)


def interfaces():
    """{interface: (those that it extends, its fields)}, {class: interface of its arguments}"""
    fields, takes = {}, {}
    for file in TYPES.glob('*.d.ts'):
        text = re.sub(r'/\*.*?\*/', '', file.read_text(), flags=re.S)
        for m in re.finditer(r'interface (\w+)(?: extends ([\w, ]+))? \{(.*?)^\}', text, re.S | re.M):
            fields[m[1]] = (re.findall(r'\w+', m[2] or ''), [snake(f) for f in re.findall(r'^ {4}(\w+)\??:', m[3], re.M)])
        for m in re.finditer(r'class (\w+) extends \w+ \{(.*?)^\}', text, re.S | re.M):
            found = re.search(r'constructor\(args\??: (\w+)\)', m[2])
            if found:
                takes[m[1]] = found[1]
    return fields, takes


FIELDS, TAKES = interfaces()


def all_fields(interface):
    parents, own = FIELDS.get(interface, ([], []))
    return {*own, *(f for p in parents for f in all_fields(p))}


# What TensorFlow.js has not: Keras's later arguments, and some that it left out.
ABSENT = {'data_format', 'groups', 'output_padding', 'activity_regularizer', 'time_major', 'seed', 'synchronized', 'threshold', 'sparse',
          'weights', 'backward_layer', 'reset_after', 'negative_slope', 'beta_constraint', 'gamma_constraint'}
# What is TensorFlow.js's own: the cell of a recurrent layer, and of the layers that derive from a convolution its kernel.
ONLY_THERE = {'implementation', 'cell', 'dropout_func', 'input_length', 'input_dim', 'kernel_initializer', 'kernel_regularizer',
              'kernel_constraint'}
COMPARED = sorted(k for k in SIGNATURES['2'] if k.startswith('layers.') and all_fields(TAKES.get(k[7:], '')))


@pytest.mark.parametrize('name', COMPARED)
def test_as_in_tensorflow_js(name):
    ours, theirs = set(SIGNATURES['2'][name]), all_fields(TAKES[name[7:]])
    assert ours - ABSENT <= theirs
    assert theirs - ONLY_THERE <= ours


def test_most_are_compared():
    """What is left for neither source: initializers, regularizers and constraints that both know as functions alone, optimizers of
    Keras 2.11 and later, and the layers in the list."""
    left = {k for k in LACKING if k not in COMPARED and k.startswith('layers.')}
    assert len(COMPARED) > 40 and len(set(SIGNATURES['3']) & set(THEIRS)) > 40
    print(sorted(left), sorted(k for k in LACKING if not k.startswith('layers.')))
