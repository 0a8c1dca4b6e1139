# SPDX-License-Identifier: MIT
"""A `tensorflow` that computes nothing: it checks every class and argument against the signatures of Keras 2.15 and 3
(signatures.txt) and writes what was built, in order and with its wiring, to the file $KERAS_RECORD."""
import ast
import atexit
import contextlib
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
        return {'class_name': type(v).__name__, 'config': plain(v.arguments)}
    if isinstance(v, dict):
        return {k: plain(x) for k, x in v.items()}
    if isinstance(v, Callback):
        return type(v).__name__
    if callable(v):
        return v.__name__
    return v if isinstance(v, (bool, int, float, str, type(None))) else type(v).__name__


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

    def add_weight(self, name, shape, initializer):
        """Of a metric of the program."""
        return Variable(name, np.zeros(shape))


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


class Variable:
    def __init__(self, name, value):
        self.name, self.value = name, np.asarray(value, 'f8')

    dtype = 'f8'

    def __add__(self, other):
        return self.value + other

    def __array__(self, dtype=None):
        return self.value if dtype is None else self.value.astype(dtype)

    def assign(self, value):
        assert self.value.shape == np.shape(value), self.name
        self.value = np.asarray(value, 'f8')


class Model:
    """It trains, too, after a fashion: what it ends with depends on every batch, on their order and on what an optimizer holds."""

    def __init__(self, **kwargs):
        check('keras.Model', kwargs)
        self.weights = [Variable('kernel', np.zeros(2)), Variable('bias', 0.0)]
        self.trainable_variables, self.seeds = self.weights, [Variable('dropout/seed_generator_state', 0.0)]
        self.variables, self.stop_training = self.weights + self.seeds, False
        ends = {k: [t.layer for t in (v if isinstance(v, list) else [v])] for k, v in kwargs.items() if k != 'name'}
        note('keras.Model', {**ends, 'name': kwargs.get('name')})

    def record(self, what, arguments):
        check(f'model.{what}', arguments)
        note(f'model.{what}', arguments)

    def compile(self, **kwargs):
        self.record('compile', kwargs)
        self.optimizer, self.made = kwargs['optimizer'], False
        self.optimizer.build = lambda variables: self.optimizer.__dict__.update(
            variables=[Variable('iteration', 0.0), *(Variable('momentum', v.value) for v in variables)])

    def get_weights(self):
        return [v.value.copy() for v in self.weights]

    def set_weights(self, values):
        for v, value in zip(self.weights, values):
            v.assign(value)

    def make_train_function(self, force=False):
        note('make_train_function', {'force': force})

    def step(self, x, y):
        size = sum(float(np.asarray(a).reshape(-1)[0]) for part in (x, y) for a in (part if isinstance(part, tuple) else [part]))
        count, kernel, bias = self.optimizer.variables
        count.assign(count.value + 1)
        kernel.assign(0.9 * kernel.value + size)
        bias.assign(0.5 * bias.value - size)
        self.weights[0].assign(self.weights[0].value * 0.99 + kernel.value / count.value)
        self.weights[1].assign(self.weights[1].value + bias.value * (1 + self.seeds[0].value))
        self.seeds[0].assign(self.seeds[0].value + 1)

    def fit(self, x, **kwargs):
        check('model.fit', {'x': x, **kwargs})
        if not hasattr(self.optimizer, 'variables'):
            self.optimizer.build(self.trainable_variables)
        ours = [c for c in kwargs['callbacks'] if isinstance(c, Callback)]
        stoppers = [c for c in kwargs['callbacks'] if type(c).__name__ == 'EarlyStopping']
        for stopper in stoppers:  # as Keras does: on_train_begin() forgets
            stopper.wait, stopper.best_weights, stopper.monitor_op = 0, None, None
            stopper._set_monitor_op = lambda at=stopper: at.__dict__.update(monitor_op=min, best=np.inf)
        for callback in ours:
            callback.model = self
            callback.on_train_begin()
        for epoch in range(kwargs['initial_epoch'], kwargs['epochs']):
            for callback in ours:
                callback.on_epoch_begin(epoch)
            batches = [next(x) for _ in range(kwargs['steps_per_epoch'])]
            if epoch == kwargs['initial_epoch']:
                first = [list(part) if isinstance(part, tuple) else part for part in batches[0]]
                rows = sum(len(b[1][0] if isinstance(b[1], tuple) else b[1]) for b in batches)
                note('model.fit', {**kwargs, 'x': first[0], 'y': first[1], 'rows': rows})
            for batch in batches:
                self.step(*batch)
            for stopper in stoppers:
                if stopper.monitor_op is None:  # Keras 3 does so only now
                    stopper._set_monitor_op()
                stopper.wait, stopper.best = stopper.wait + 1, min(stopper.best, [3, 1, 2, 2][epoch])
                stopper.best_weights = self.get_weights()
                self.stop_training = stopper.wait >= stopper.arguments['patience']
            for callback in ours:
                callback.on_epoch_end(epoch, {'loss': np.float32(0.5)})
            if self.stop_training:
                break
        assert self.stop_training or next(x, None) is None, 'more batches than epochs'
        note('trained', {'weights': self.get_weights()[0].tolist() + [float(self.weights[1].value)],
                         'waits': [[stopper.wait, stopper.best] for stopper in stoppers]})

    def evaluate(self, x, y, **kwargs):
        self.record('evaluate', {'x': x, 'y': y, **kwargs})
        return {'loss': 0.25}

    def save(self, filepath):
        self.record('save', {'filepath': filepath})

    def load_weights(self, filepath):
        self.record('load_weights', {'filepath': filepath})


class Callback:
    def on_train_begin(self, logs=None):
        pass

    def on_epoch_begin(self, epoch, logs=None):
        pass

    def on_epoch_end(self, epoch, logs=None):
        pass


def write():
    if os.environ.get('KERAS_RECORD'):
        pathlib.Path(os.environ['KERAS_RECORD']).write_text(json.dumps({'layers': LAYERS, 'events': EVENTS}))


atexit.register(write)

keras = types.ModuleType('tensorflow.keras')
keras.__version__ = os.environ.get('KERAS_VERSION', '3.0.0')
keras.__path__ = []
keras.Input, keras.Model = make_input, Model
keras.layers = module('layers', 'layers', Layer)
keras.layers.Layer = Layer
for part in ('initializers', 'regularizers', 'constraints', 'optimizers', 'losses', 'metrics', 'callbacks'):
    setattr(keras, part, module(part, part))
def cross_entropy(y_true, y_pred):
    return -(np.asarray(y_true) * np.log(np.clip(y_pred, 1e-7, 1))).sum(-1)


keras.losses.categorical_crossentropy = cross_entropy
keras.metrics.Mean.update_state = lambda self, values, sample_weight: self.__dict__.update(values=values)
keras.metrics.Mean.result = lambda self: np.mean(self.values)
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


class Strategy:
    def __init__(self, *arguments):
        note(f'distribute.{type(self).__name__}', {})

    def scope(self):
        return contextlib.nullcontext()


math = types.SimpleNamespace(
    log=np.log, confusion_matrix=lambda labels, predictions, num_classes: np.histogram2d(
        np.asarray(labels), np.asarray(predictions), bins=[np.arange(num_classes + 1) - 0.5] * 2)[0])
random = types.SimpleNamespace(set_seed=lambda seed: note('random.set_seed', {'seed': int(seed)}))
distribute = types.SimpleNamespace(
    MirroredStrategy=type('MirroredStrategy', (Strategy,), {}), TPUStrategy=type('TPUStrategy', (Strategy,), {}),
    cluster_resolver=types.SimpleNamespace(TPUClusterResolver=lambda tpu: note('TPUClusterResolver', {'tpu': tpu})))
tpu = types.SimpleNamespace(experimental=types.SimpleNamespace(
    initialize_tpu_system=lambda resolver: note('initialize_tpu_system', {})))
config = types.SimpleNamespace(
    experimental_connect_to_cluster=lambda resolver: note('connect_to_cluster', {}),
    list_physical_devices=lambda kind: [],
    set_visible_devices=lambda devices, kind: note('set_visible_devices', {'devices': devices, 'kind': kind}))
