# SPDX-License-Identifier: MIT
"""Generated PyTorch against NumPy written from the layers' definitions (Keras's and TensorFlow's documents)."""
import math

import numpy as np
import pytest
import torch
from conftest import write_safetensors

RNG = np.random.default_rng(7)


def network(shape, layers, rest=''):
    return f'network N {{ input: {shape}\n layers:\n {layers}\n loss: mse {rest} }}'


def windows(size, kernel, stride, dilation, padding):
    """(before, after, outputs) of an axis by https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2"""
    reach = (kernel - 1) * dilation + 1
    if padding == 'same':
        out = -(-size // stride)
        total = max((out - 1) * stride + reach - size, 0)
        return total // 2, total - total // 2, out
    pad = 0 if padding == 'valid' else padding
    return pad, pad, (size + 2 * pad - reach) // stride + 1


def patches(x, kernel, stride, dilation, padding, fill):
    """All windows: (batch, out_h, out_w, kernel_h, kernel_w, channels)."""
    axes = [windows(x.shape[1 + i], kernel[i], stride[i], dilation[i], padding) for i in range(2)]
    x = np.pad(x, [(0, 0), axes[0][:2], axes[1][:2], (0, 0)], constant_values=fill)
    out = np.empty((x.shape[0], axes[0][2], axes[1][2], *kernel, x.shape[3]))
    for i in range(axes[0][2]):
        for j in range(axes[1][2]):
            rows = [i * stride[0] + k * dilation[0] for k in range(kernel[0])]
            cols = [j * stride[1] + k * dilation[1] for k in range(kernel[1])]
            out[:, i, j] = x[:, rows][:, :, cols]
    return out


def conv(x, kernel, bias=0, stride=(1, 1), dilation=(1, 1), groups=1, padding='valid'):
    p = patches(x, kernel.shape[:2], stride, dilation, padding, 0)
    share, filters = kernel.shape[2], kernel.shape[3] // groups
    parts = [np.einsum('bijklc,klcf->bijf', p[..., g * share:(g + 1) * share],
                       kernel[..., g * filters:(g + 1) * filters]) for g in range(groups)]
    return np.concatenate(parts, axis=-1) + bias


def check(neural, tmp_path, program, x, weights, expected, tolerance=2e-5):
    module = neural.load(program)
    model = next(v for v in vars(module).values() if isinstance(v, type) and issubclass(v, torch.nn.Module))()
    assert set(module.NEURAL_WEIGHTS) == set(weights)
    module.load_neural_weights(model, write_safetensors(tmp_path / 'w.safetensors', weights))
    got = model.predict(torch.tensor(x, dtype=torch.float32)).numpy()
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)
    return module, model


CONVS = [
    (dict(), ''),
    (dict(padding='same'), 'padding="same"'),
    (dict(padding='same', kernel=(2, 4)), 'padding="same"'),
    (dict(padding='same', stride=(2, 2)), 'padding="same", strides=2'),
    (dict(padding='same', stride=(3, 2), kernel=(4, 3)), 'padding="same", strides=(3, 2)'),
    (dict(padding=1, stride=(2, 1)), 'padding=1, strides=(2, 1)'),
    (dict(dilation=(2, 2)), 'dilation_rate=2'),
    (dict(padding='same', dilation=(2, 3)), 'padding="same", dilation_rate=(2, 3)'),
    (dict(groups=2), 'groups=2'),
    (dict(bias=False), 'use_bias=false'),
]


@pytest.mark.parametrize('options,text', CONVS, ids=[t or 'plain' for _, t in CONVS])
def test_conv2d(neural, tmp_path, options, text):
    options = dict(options)
    kernel, biased = options.pop('kernel', (3, 3)), options.pop('bias', True)
    k = RNG.normal(size=(*kernel, 4 // options.get('groups', 1), 6))
    b = RNG.normal(size=6)
    x = RNG.normal(size=(2, 9, 10, 4))
    weights = {'conv2d_1.kernel': k, **({'conv2d_1.bias': b} if biased else {})}
    check(neural, tmp_path, network((9, 10, 4), f'Conv2D(6, {kernel}, {text})'), x, weights,
          conv(x, k, b if biased else 0, **options))


@pytest.mark.parametrize('kind', ['Max', 'Average'])
@pytest.mark.parametrize('size,stride,padding', [((2, 2), (2, 2), 'valid'), ((3, 2), (1, 2), 'valid'),
                                                ((2, 2), (2, 2), 'same'), ((3, 3), (2, 2), 'same'),
                                                ((3, 3), (1, 1), 'same'), ((2, 3), (1, 1), 'same')])
def test_pooling(neural, tmp_path, kind, size, stride, padding):
    x = RNG.normal(size=(2, 7, 9, 3)) - 3  # negative: a zero of the padding would win a maximum
    p = patches(x, size, stride, (1, 1), padding, np.nan)
    expected = (np.nanmax if kind == 'Max' else np.nanmean)(p, axis=(3, 4))
    check(neural, tmp_path, network((7, 9, 3), f'{kind}Pooling2D({size}, strides={stride}, padding="{padding}")'),
          x, {}, expected)


def test_pooling_of_a_size_known_only_at_run_time(neural, tmp_path):
    for kind, reduce in (('Max', np.nanmax), ('Average', np.nanmean)):
        for shape in ((7, 9), (8, 5)):
            x = RNG.normal(size=(2, *shape, 3)) - 3
            expected = reduce(patches(x, (3, 3), (2, 2), (1, 1), 'same', np.nan), axis=(3, 4))
            check(neural, tmp_path, network('(None, None, None, 3)', f'{kind}Pooling2D(3, strides=2, padding="same")'), x,
                  {}, expected)


def test_conv2d_of_a_size_known_only_at_run_time(neural, tmp_path):
    k, b, x = RNG.normal(size=(3, 3, 2, 4)), RNG.normal(size=4), RNG.normal(size=(2, 7, 10, 2))
    check(neural, tmp_path, network('(None, None, None, 2)', 'Conv2D(4, 3, padding="same", strides=2)'), x,
          {'conv2d_1.kernel': k, 'conv2d_1.bias': b}, conv(x, k, b, stride=(2, 2), padding='same'))


def test_global_average_pooling(neural, tmp_path):
    x = RNG.normal(size=(2, 5, 4, 3))
    check(neural, tmp_path, network((5, 4, 3), 'GlobalAveragePooling2D()'), x, {}, x.mean(axis=(1, 2)))
    check(neural, tmp_path, network((5, 4, 3), 'GlobalAveragePooling2D(keepdims=true)'), x, {},
          x.mean(axis=(1, 2), keepdims=True))


def test_dense_after_a_convolution_sees_the_rows_in_our_order(neural, tmp_path):
    k, b = RNG.normal(size=(3, 3, 2, 5)), RNG.normal(size=5)
    d, c = RNG.normal(size=(4 * 5 * 5, 3)), RNG.normal(size=3)
    x = RNG.normal(size=(3, 6, 7, 2))
    y = np.maximum(conv(x, k, b), 0).reshape(3, -1) @ d + c
    check(neural, tmp_path, network((6, 7, 2), 'Conv2D(5, 3, activation="relu")\nFlatten()\nDense(3)'), x,
          {'conv2d_1.kernel': k, 'conv2d_1.bias': b, 'dense_1.kernel': d, 'dense_1.bias': c}, y)


def test_dense_on_the_last_axis_of_an_image(neural, tmp_path):
    k, d, x = RNG.normal(size=(1, 1, 2, 5)), RNG.normal(size=(5, 3)), RNG.normal(size=(3, 6, 7, 2))
    check(neural, tmp_path, network((6, 7, 2), 'Conv2D(5, 1, use_bias=false)\nDense(3, use_bias=false)'), x,
          {'conv2d_1.kernel': k, 'dense_1.kernel': d}, conv(x, k) @ d)


@pytest.mark.parametrize('shape', [(6,), (5, 6), (4, 5, 6), (2, 4, 5, 6)])
@pytest.mark.parametrize('text', ['', 'scale=false', 'center=false', 'center=false, scale=false'])
def test_batch_normalization(neural, tmp_path, shape, text):
    x = RNG.normal(size=(3, *shape))
    gamma, beta, mean = (RNG.normal(size=6) for _ in range(3))
    variance = RNG.uniform(0.5, 2, size=6)
    w = {'gamma': gamma, 'beta': beta, 'moving_mean': mean, 'moving_variance': variance}
    if 'scale' in text:
        del w['gamma']
        gamma = 1
    if 'center' in text:
        del w['beta']
        beta = 0
    expected = gamma * (x - mean) / np.sqrt(variance + 0.01) + beta
    arguments = ', '.join(filter(None, ('epsilon=0.01', text)))
    _, model = check(neural, tmp_path, network(shape, f'BatchNormalization({arguments})'), x,
                     {f'batch_normalization_1.{k}': v for k, v in w.items()}, expected)
    trained = [n for n, p in model.named_parameters() if p.requires_grad]
    assert len(trained) == len(w) - 2


def test_batch_normalization_momentum_is_the_share_of_the_old(neural):
    model = neural.load(network((2,), 'BatchNormalization(momentum=0.9)')).N()
    x = torch.tensor([[1.0, 10.0], [3.0, 30.0]])
    model.train()
    model(x)
    np.testing.assert_allclose(model.batch_normalization_1.running_mean, [0.2, 2.0], rtol=1e-6)


def test_frozen_batch_normalization_uses_its_statistics_while_training(neural):
    model = neural.load(network((2,), 'BatchNormalization(trainable=false)\nDense(1)')).N()
    model.train()
    before = model.batch_normalization_1.running_mean.clone()
    model(torch.randn(8, 2) + 5)
    assert torch.equal(before, model.batch_normalization_1.running_mean)
    assert [n for n, p in model.named_parameters() if p.requires_grad] == ['dense_1.weight', 'dense_1.bias']


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.log1p(np.exp(x))


def erf(x):
    return np.vectorize(math.erf)(x)


# keras/src/activations/activations.py
ACTIVATIONS = {
    'linear': lambda x: x,
    'relu': lambda x: np.maximum(x, 0),
    'relu6': lambda x: np.clip(x, 0, 6),
    'leaky_relu': lambda x: np.where(x > 0, x, 0.3 * x),
    'elu': lambda x: np.where(x > 0, x, np.exp(x) - 1),
    'selu': lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * (np.exp(x) - 1)),
    'celu': lambda x: np.where(x > 0, x, np.exp(x) - 1),
    'gelu': lambda x: 0.5 * x * (1 + erf(x / math.sqrt(2))),
    'silu': lambda x: x * sigmoid(x),
    'mish': lambda x: x * np.tanh(softplus(x)),
    'sigmoid': sigmoid,
    'hard_sigmoid': lambda x: np.clip(x / 6 + 0.5, 0, 1),
    'log_sigmoid': lambda x: np.log(sigmoid(x)),
    'tanh': np.tanh,
    'hard_tanh': lambda x: np.clip(x, -1, 1),
    'softplus': softplus,
    'softsign': lambda x: x / (1 + np.abs(x)),
    'exponential': np.exp,
    'hard_swish': lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    'softmax': lambda x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True),
    'log_softmax': lambda x: x - np.log(np.exp(x).sum(axis=-1, keepdims=True)),
}


@pytest.mark.parametrize('name', ACTIVATIONS)
def test_activation(neural, tmp_path, name):
    x = np.linspace(-9, 9, 60).reshape(5, 12)
    check(neural, tmp_path, network((12,), f'Activation({name})'), x, {}, ACTIVATIONS[name](x), 1e-5)


def test_every_activation_of_the_table_is_tried():
    import pathlib
    import re
    table = pathlib.Path(__file__).parents[2] / 'src/graph/activations.def'
    names = set(re.findall(r'^NN_ACT\(\w+,\s*(\w+)', table.read_text(), re.M))
    assert names <= set(ACTIVATIONS)


def test_activation_alpha(neural, tmp_path):
    x = np.linspace(-3, 3, 10).reshape(2, 5)
    check(neural, tmp_path, network((5,), 'Activation(leaky_relu, alpha=0.1)'), x, {}, np.where(x > 0, x, 0.1 * x))
    check(neural, tmp_path, network((5,), 'Activation(elu, alpha=0.5)'), x, {},
          np.where(x > 0, x, 0.5 * (np.exp(x) - 1)))


def test_softmax_over_the_channels_of_a_convolution(neural, tmp_path):
    k, x = RNG.normal(size=(1, 1, 2, 5)), RNG.normal(size=(3, 4, 4, 2))
    check(neural, tmp_path, network((4, 4, 2), 'Conv2D(5, 1, use_bias=false, activation=softmax)'), x,
          {'conv2d_1.kernel': k}, ACTIVATIONS['softmax'](conv(x, k)))


def test_reshape_and_flatten(neural, tmp_path):
    x = RNG.normal(size=(2, 4, 3, 5))
    check(neural, tmp_path, network((4, 3, 5), 'Reshape((6, 10))'), x, {}, x.reshape(2, 6, 10))
    check(neural, tmp_path, network((4, 3, 5), 'MaxPooling2D(1)\nReshape((5, 12))'), x, {}, x.reshape(2, 5, 12))
    check(neural, tmp_path, network((4, 3, 5), 'MaxPooling2D(1)\nFlatten()'), x, {}, x.reshape(2, 60))


def test_channels_first_costs_no_permutation(neural, tmp_path):
    k, x = RNG.normal(size=(3, 3, 2, 4)), RNG.normal(size=(2, 2, 6, 7))
    program = network((2, 6, 7), 'Conv2D(4, 3, use_bias=false, data_format="channels_first")\n'
                                 'MaxPooling2D(2, data_format="channels_first")')
    y = conv(x.transpose(0, 2, 3, 1), k)
    y = patches(y, (2, 2), (2, 2), (1, 1), 'valid', 0).max(axis=(3, 4)).transpose(0, 3, 1, 2)
    module, _ = check(neural, tmp_path, program, x, {'conv2d_1.kernel': k}, y)
    text = open(module.__file__).read()
    assert '.permute(0' not in text.split('# Neural')[0]


def test_dropout(neural):
    module = neural.load(network((1000,), 'Dropout(0.25)'))
    model, x = module.N(), torch.ones(50, 1000)
    assert torch.equal(model.predict(x), x)
    torch.manual_seed(0)
    model.train()
    y = model(x)
    assert abs((y == 0).float().mean().item() - 0.25) < 0.01
    np.testing.assert_allclose(y[y != 0].numpy(), 1 / 0.75, rtol=1e-6)


def test_dropout_noise_shape_drops_along_an_axis_as_one(neural):
    for shape, layers in (((6, 8, 4), ''), ((6, 8, 4), 'MaxPooling2D(1)\n')):
        model = neural.load(network(shape, layers + 'Dropout(0.5, noise_shape=(1, 1, 4))')).N()
        model.train()
        y = model(torch.ones(64, 6, 8, 4))
        first = y[:, :1, :1, :]
        assert torch.equal(y, first.expand_as(y))
        assert 0.3 < (first == 0).float().mean() < 0.7
        assert not torch.equal(first[:, ..., 0], first[:, ..., 1])


FANS = (30, 50)


@pytest.mark.parametrize('text,deviation,bound', [
    ('glorot_uniform', math.sqrt(2 / 80), math.sqrt(6 / 80)),
    ('glorot_normal', math.sqrt(2 / 80), None),
    ('he_uniform', math.sqrt(2 / 30), math.sqrt(6 / 30)),
    ('he_normal', math.sqrt(2 / 30), None),
    ('lecun_uniform', math.sqrt(1 / 30), math.sqrt(3 / 30)),
    ('lecun_normal', math.sqrt(1 / 30), None),
    ('random_normal', 0.05, None),
    ('random_uniform', 0.1 / math.sqrt(12), 0.05),
    ('truncated_normal', 0.05 * 0.87962566103423978, 0.1),
])
def test_initialisers_by_keras_rules(neural, text, deviation, bound):
    module = neural.load(network((30,), f'Dense(50, kernel_initializer={text})'))
    torch.manual_seed(1)
    values = torch.cat([module.N().dense_1.weight.detach().flatten() for _ in range(40)])  # 60,000 draws
    assert abs(values.mean()) < 4 * deviation / math.sqrt(60000)
    assert abs(values.std() / deviation - 1) < 0.02
    if bound:
        assert bound * 0.98 < values.abs().max() <= bound * (1 + 1e-6)


def test_other_initialisers(neural):
    layers = ('Dense(4, kernel_initializer=zeros, bias_initializer=ones)\n'
              'Dense(4, kernel_initializer=constant(0.5), bias_initializer=constant(-2))\n'
              'Dense(4, kernel_initializer=identity)\nDense(3, kernel_initializer=orthogonal)')
    model = neural.load(network((4,), layers)).N()
    assert torch.all(model.dense_1.weight == 0) and torch.all(model.dense_1.bias == 1)
    assert torch.all(model.dense_2.weight == 0.5) and torch.all(model.dense_2.bias == -2)
    assert torch.equal(model.dense_3.weight, torch.eye(4))
    q = model.dense_4.weight.detach()
    np.testing.assert_allclose(q @ q.T, np.eye(3), atol=1e-6)
    assert torch.all(model.dense_4.bias == 0)
