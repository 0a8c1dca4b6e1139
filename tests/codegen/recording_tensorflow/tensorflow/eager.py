# SPDX-License-Identifier: MIT
"""The functions of TensorFlow that the program's own layers call, in NumPy, so that these layers can be run."""
import types

import numpy as np


def pool(x, size, kind, strides, padding, dilations):
    out = [(d - (k - 1) * r - 1) // s + 1 for d, k, s, r in zip(x.shape[1:], size, strides, dilations)]
    made = np.empty((x.shape[0], *out, x.shape[-1]))
    for place in np.ndindex(*out):
        at = tuple(slice(p * s, p * s + (k - 1) * r + 1, r) for p, s, k, r in zip(place, strides, size, dilations))
        window = x[(slice(None), *at)]
        axes = tuple(range(1, window.ndim - 1))
        made[(slice(None), *place)] = window.max(axes) if kind == 'MAX' else window.mean(axes)
    return made


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


FUNCTIONS = {
    'maximum': np.maximum, 'minimum': np.minimum, 'cast': lambda x, dtype: np.asarray(x, dtype), 'reverse': np.flip,
    'reduce_max': np.max, 'reduce_mean': np.mean, 'reduce_sum': np.sum, 'gather': np.take, 'range': np.arange, 'stack': np.stack,
    'shape': lambda x: x.shape, 'where': np.where, 'sin': np.sin, 'cos': np.cos, 'tanh': np.tanh, 'reshape': np.reshape,
    'transpose': np.transpose, 'equal': np.equal, 'ones_like': np.ones_like,
    'matmul': lambda a, b, transpose_b=False: a @ (np.swapaxes(b, -1, -2) if transpose_b else b),
    'pad': lambda x, pads, constant_values=0: np.pad(x, pads, constant_values=constant_values),
    'clip_by_value': np.clip, 'argmax': np.argmax, 'convert_to_tensor': np.asarray, 'zeros': np.zeros, 'exp': np.exp,
    'fill': np.full,
}
NN = types.SimpleNamespace(softmax=softmax, pool=pool, relu6=lambda x: np.clip(x, 0, 6),
                           leaky_relu=lambda x, alpha: np.where(x > 0, x, alpha * x))
