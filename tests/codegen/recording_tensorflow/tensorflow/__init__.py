# SPDX-License-Identifier: MIT
"""A `tensorflow` that computes nothing: it checks every class and argument against the signatures of Keras 2.15 and 3
(signatures.txt) and writes what was built, in order and with its wiring, to the file $KERAS_RECORD."""
import ast
import atexit
import json
import os
import pathlib
import sys
import types

import numpy as np

from .eager import FUNCTIONS, NN

HERE = pathlib.Path(__file__).resolve().parent.parent
EVENTS = []  # everything that was called, in order
LAYERS = []  # the layers that were called
COMMON = {'name': None, 'dtype': None, 'trainable': True}


def read_signatures():
    """{'2': {'layers.Dense': {argument: default}}, '3': ...}; a required argument's default is Ellipsis."""
    found, parts = {'2': {}, '3': {}}, {}
    for line in (HERE / 'signatures.txt').read_text().splitlines():
        if line.startswith('#') or not line:
            continue
        if line.startswith('$'):
            name, _, text = line.partition(' = ')
            parts[name] = text
            continue
        versions, _, rest = line.rpartition('|')
        name, _, arguments = rest.partition('(')
        for part, text in parts.items():
            arguments = arguments.replace(part, text)
        tree = ast.parse(f'def f({arguments.replace("~", "")}: pass').body[0].args
        values = [...] * (len(tree.args) - len(tree.defaults)) + [ast.literal_eval(d) for d in tree.defaults]
        for version in versions or '23':
            found[version][name] = dict(zip((a.arg for a in tree.args), values))
    return found


SIGNATURES = read_signatures()


def check(name, arguments):
    for version, table in SIGNATURES.items():
        if name not in table:
            raise TypeError(f'Keras {version} has no {name}')
        takes = {**table[name], **(COMMON if name.startswith('layers.') else {})}
        for key in arguments:
            if key not in takes:
                raise TypeError(f'{name} of Keras {version} has no argument {key}')
        missing = [key for key, value in takes.items() if value is ... and key not in arguments]
        if missing:
            raise TypeError(f'{name} of Keras {version} needs {missing}')


def plain(v):
    """A value as JSON has it."""
    if isinstance(v, (list, tuple)):
        return [plain(x) for x in v]
    if isinstance(v, np.ndarray):
        return {'array': list(v.shape), 'dtype': str(v.dtype)}
    if isinstance(v, Made):
        return {'class_name': v.kind.split('.')[-1], 'config': plain(v.arguments)}
    if isinstance(v, dict):
        return {k: plain(x) for k, x in v.items()}
    if isinstance(v, Callback):
        return type(v).__name__
    return v.__name__ if callable(v) else v


def note(name, arguments):
    EVENTS.append([name, plain(arguments)])


class Made:
    """Anything that Keras makes: its class and arguments."""

    kind = ''

    def __new__(cls, *args, **kwargs):
        self = super().__new__(cls)
        self.__dict__['positional'], self.__dict__['arguments'] = args, kwargs
        return self

    def __init__(self, *args, **kwargs):
        if args:
            raise TypeError(f'{self.kind}: arguments are given by name')
        check(self.kind, kwargs)
        note(self.kind, kwargs)


def module(name, prefix, base=Made):
    """keras.<name> with a class for each signature that begins with prefix."""
    found = types.ModuleType(f'tensorflow.keras.{name}')
    for kind in {**SIGNATURES['2'], **SIGNATURES['3']}:
        if kind.startswith(prefix + '.'):
            short = kind[len(prefix) + 1:]
            setattr(found, short, type(short, (base,), {'kind': kind}))
    sys.modules[found.__name__] = found
    return found


class Tensor:
    def __init__(self, layer):
        self.layer = layer


class Layer(Made):
    """keras.layers.Layer, also as a base of classes of the program."""

    def __init__(self, *args, **kwargs):
        own = not self.kind
        if own and set(kwargs) - set(COMMON):
            raise TypeError(f'Layer takes no {set(kwargs) - set(COMMON)}')
        if not own:
            super().__init__(*args, **kwargs)
        self.name = kwargs.get('name')

    def __call__(self, inputs, *more, **kwargs):
        if isinstance(inputs, np.ndarray):
            return inputs  # within a layer of the program that runs: Dropout
        several = isinstance(inputs, (list, tuple))
        tensors = list(inputs) if several else [inputs]
        LAYERS.append({'class_name': type(self).__name__, 'config': plain(self.arguments), 'list': several,
                       'inputs': [t.layer for t in (*tensors, *more)], 'call': plain(kwargs), 'own': not self.kind})
        for t in (*tensors, *more):
            if not isinstance(t, Tensor):
                raise TypeError(f'{type(self).__name__} was called with {t!r}')
        return Tensor(len(LAYERS) - 1)

    def get_config(self):
        return {}


def make_input(**kwargs):
    check('keras.Input', kwargs)
    LAYERS.append({'class_name': 'InputLayer', 'config': plain(kwargs), 'list': False, 'inputs': [], 'call': {},
                   'own': False})
    return Tensor(len(LAYERS) - 1)


class Weight:
    def __init__(self, shape):
        self.shape = shape


class Model:
    def __init__(self, **kwargs):
        check('keras.Model', kwargs)
        ends = {k: [t.layer for t in (v if isinstance(v, list) else [v])] for k, v in kwargs.items() if k != 'name'}
        note('keras.Model', {**ends, 'name': kwargs.get('name')})

    def record(self, what, arguments):
        check(f'model.{what}', arguments)
        note(f'model.{what}', arguments)

    def compile(self, **kwargs):
        self.record('compile', kwargs)

    def fit(self, x, y, **kwargs):
        self.record('fit', {'x': x, 'y': y, **kwargs})
        for epoch in range(kwargs['epochs']):
            for callback in kwargs['callbacks']:
                if isinstance(callback, Callback):
                    callback.on_epoch_begin(epoch)
                    callback.on_epoch_end(epoch, {'loss': np.float32(0.5)})

    def evaluate(self, x, y, **kwargs):
        self.record('evaluate', {'x': x, 'y': y, **kwargs})
        return {'loss': 0.25}

    def save(self, filepath):
        self.record('save', {'filepath': filepath})

    def load_weights(self, filepath):
        self.record('load_weights', {'filepath': filepath})


class Callback:
    pass


def write():
    if os.environ.get('KERAS_RECORD'):
        pathlib.Path(os.environ['KERAS_RECORD']).write_text(json.dumps({'layers': LAYERS, 'events': EVENTS}))


atexit.register(write)

keras = types.ModuleType('tensorflow.keras')
keras.__path__ = []
keras.Input, keras.Model = make_input, Model
keras.layers = module('layers', 'layers', Layer)
keras.layers.Layer = Layer
for part in ('initializers', 'regularizers', 'constraints', 'optimizers', 'losses', 'metrics', 'callbacks'):
    setattr(keras, part, module(part, part))
keras.initializers.get = lambda name: name
keras.optimizers.schedules = module('optimizers.schedules', 'schedules')
keras.callbacks.Callback = Callback
keras.utils = types.SimpleNamespace(
    register_keras_serializable=lambda package: lambda cls: cls,
    set_random_seed=lambda seed: note('utils.set_random_seed', {'seed': seed}))
keras.mixed_precision = types.ModuleType('tensorflow.keras.mixed_precision')
keras.mixed_precision.set_global_policy = lambda policy: note('set_global_policy', {'policy': policy})
sys.modules['tensorflow.keras'] = keras
sys.modules['tensorflow.keras.mixed_precision'] = keras.mixed_precision


def log_softmax(x):
    raise NotImplementedError


nn = NN
nn.log_softmax = log_softmax


def __getattr__(name):  # tf.range and the like, which are not to hide Python's own here
    if name not in FUNCTIONS:
        raise AttributeError(f'this tensorflow has no {name}')
    return FUNCTIONS[name]


config = types.SimpleNamespace(
    list_physical_devices=lambda kind: [],
    set_visible_devices=lambda devices, kind: note('set_visible_devices', {'devices': devices, 'kind': kind}))
