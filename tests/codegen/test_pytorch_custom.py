# SPDX-License-Identifier: MIT
"""What only Python can run: a Lambda's text is its owner's function, a named layer a class to write; neither is wrong
in silence."""
import ast

import numpy as np
import pytest
import torch
from conftest import Reference, load_path
from pyflakes import checker


def clean(path):
    assert not checker.Checker(ast.parse(path.read_text()), path.name).messages
    return load_path(path)


def network(layers, shape=(4,)):
    return f'network N {{ input: {shape} layers:\n {layers}\n loss: mse }}'


def test_a_lambda_runs(neural):
    path = neural.generate(network('Dense(4)\nLambda("lambda x: torch.tanh(x) * 2", output_shape=(4,))\nDense(2)'))
    assert 'nobody has checked what it does' in path.read_text()
    model = clean(path).N()
    x = torch.randn(3, 4)
    expected = model.dense_2(torch.tanh(model.dense_1(x)) * 2)
    torch.testing.assert_close(model(x), expected)


def test_further_arguments_of_a_lambda(neural):
    model = clean(neural.generate(network('Lambda("lambda x, f: x * f", output_shape=(4,), arguments={ f: 3 })'))).N()
    assert torch.equal(model(torch.ones(2, 4)), torch.full((2, 4), 3.0))
    text = "lambda x, f, k: x * f[0] if k == {'a': None, 'b': chr(233)} and f[1] is True else x"
    model = clean(neural.generate(network(
        f'Lambda("{text}", output_shape=(4,), arguments={{ f: [0.5, true], k: {{ a: None, b: "\u00e9" }} }})'))).N()
    assert torch.equal(model(torch.ones(2, 4)), torch.full((2, 4), 0.5))


def test_another_shape_than_declared_is_an_error(neural):
    model = clean(neural.generate(network('Lambda("lambda x: x[:, :2]", output_shape=(4,))'))).N()
    with pytest.raises(ValueError, match=r"lambda_1 gives \(2,\), declared is \(4,\)"):
        model(torch.ones(3, 4))


@pytest.mark.parametrize('text', ['lambda x: tf.nn.relu(x)', 'my_function', 'lambda x: keras.ops.abs(x)',
                                  'lambda x: (x', 'lambda x: x); import os; (1', 'lambda x: x # more',
                                  'lambda x: K.square(x)', 'lambda x: x\\nopen("pwned", "w")', "lambda x: 'a"])
def test_what_is_not_pytorch_is_for_its_owner_to_write(neural, text):
    quoted = text.replace('"', "'")
    path = neural.generate(network(f'Lambda("{quoted}", output_shape=(4,))'))
    with pytest.raises(NotImplementedError, match='write the function lambda_1_function'):
        clean(path).N()(torch.ones(2, 4))
    assert not (neural.folder / 'pwned').exists()


def test_a_layer_of_ones_own(neural):
    path = neural.generate('custom Gate(size, mode, deep) -> (8,)\n' + network(
        'Gate(3, mode="soft", deep={ a: [1, true, None] })\nGate(5, "hard", 1)\nDense(2)'))
    module = clean(path)
    model = module.N()
    assert model.custom_1.args == (3,) and model.custom_1.kwargs == {'mode': 'soft', 'deep': {'a': [1, True, None]}}
    assert type(model.custom_1) is type(model.custom_2) is module.Gate
    with pytest.raises(NotImplementedError, match='write the layer Gate'):
        model(torch.ones(2, 4))
    module.Gate.forward = lambda self, x: torch.cat((x, x), dim=1)[:, :8]
    assert model(torch.ones(2, 4)).shape == (2, 2)


def test_several_inputs(neural):
    path = neural.generate('network N { input: { a: (4,) b: (4,) } layers: '
                           'Lambda("lambda pair: pair[0] - pair[1]", output_shape=(4,), inputs=[a, b]) }')
    model = clean(path).N()
    x, y = torch.randn(2, 4), torch.randn(2, 4)
    assert torch.equal(model.predict(x, y), x - y)


NAMES = ['shaped', 'lambda_1_function', 'positions', 'F', 'torch', 'Attention', 'train', 'x', 'main']


def test_names_of_the_file_are_kept_apart(neural):
    """Values named like what forward() calls, in a network whose values have names of their own."""
    layers = '\n'.join(f'Dense(4, name="{n}")' for n in NAMES)
    path = neural.generate('network N { input: { a: (5, 4) b: (5, 4) } layers:\n Add(inputs=[a, b], name=positions_2)\n'
                           f'{layers}\n Lambda("lambda x: x + 1", output_shape=(5, 4))\n PositionalEncoding(max_len=5)\n }}')
    module = clean(path)
    out = module.N().predict(torch.randn(2, 5, 4), torch.randn(2, 5, 4))
    assert out.shape == (2, 5, 4)


def test_initial_weights_of_every_kind(neural):
    """The mean and spread that the reference engine begins with, by the definition of each initialiser."""
    path = neural.generate(network('LSTM(64, return_sequences=true)\nGRU(64, return_sequences=true)\n'
                                   'GRU(64, reset_after=false, return_sequences=true)\nSimpleRNN(64, return_sequences=true)\n'
                                   'Conv1DTranspose(32, 3)\nFlatten()', (6, 48)))
    torch.manual_seed(0)
    model = load_path(path).N()
    lstm, gru = model.lstm_1, model.gru_1
    assert torch.equal(lstm.bias_ih_l0[64:128], torch.ones(64)) and lstm.bias_ih_l0.sum() == 64  # unit_forget_bias
    assert not lstm.bias_hh_l0.any() and not lstm.bias_hh_l0.requires_grad
    for weight in (lstm.weight_hh_l0, gru.weight_hh_l0, model.gru_2.weight_hh, model.simple_rnn_1.weight_hh_l0):
        w = weight.detach()
        np.testing.assert_allclose(w.T @ w, np.eye(64), atol=1e-5)  # orthogonal columns
    limit = np.sqrt(6 / (48 + 4 * 64))
    assert 0.98 * limit < lstm.weight_ih_l0.abs().max() <= limit
    limit = np.sqrt(6 / (3 * 64 + 3 * 32))
    assert 0.97 * limit < model.conv1d_transpose_1.weight.abs().max() <= limit


def test_constraints_and_penalties_find_their_axes(neural):
    program = network('Embedding(7, 5, embeddings_constraint=unit_norm, embeddings_regularizer=l2(0.5))\n'
                      'LSTM(4, kernel_constraint=unit_norm, recurrent_constraint=non_neg, '
                      'kernel_regularizer=l1(0.1), return_sequences=true)\n'
                      'PReLU(alpha_constraint=unit_norm, shared_axes=[1])\n'
                      'Dense(3, activity_regularizer=l2(0.25))')
    path = neural.generate(program)
    reference, module = Reference(neural, path.with_suffix('.neural')), load_path(path)
    model = module.N()
    module.load_neural_weights(model, reference.file)
    w = reference.weights
    x = torch.tensor(reference.samples()[0])
    y = model(x)
    expected = (0.5 * (w['embedding_1.embeddings'] ** 2).sum() + 0.1 * np.abs(w['lstm_1.kernel']).sum()
                + 0.25 * y.square().sum().item() / len(x))
    assert abs(module.penalties(model).item() / expected - 1) < 1e-5
    module.constrain(model)

    def unit(v):
        return v / (1e-7 + np.sqrt((v ** 2).sum(axis=tuple(range(v.ndim - 1)), keepdims=True)))

    np.testing.assert_allclose(model.embedding_1.weight.detach(), unit(w['embedding_1.embeddings']), rtol=1e-5)
    np.testing.assert_allclose(model.lstm_1.weight_ih_l0.detach().T, unit(w['lstm_1.kernel']), rtol=1e-5)
    np.testing.assert_allclose(model.lstm_1.weight_hh_l0.detach().T, np.maximum(w['lstm_1.recurrent_kernel'], 0))
    np.testing.assert_allclose(model.prelu_1.weight.detach(), unit(w['prelu_1.alpha']).ravel(), rtol=1e-5)
