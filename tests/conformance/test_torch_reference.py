# SPDX-License-Identifier: MIT
"""The reference engine against PyTorch: the value of every layer over a grid of its arguments.

A case is a program, what its inputs are, and the same function on torch's operators in double precision, written from
the weights in the order of the program. The C test `reference_dump` (tests/conformance/suite/reference_ops.c) makes the
weights and runs the programs. Ours are rounded to floats, so differences may be 1e-6 of each output's largest value.
"""
import itertools
import json
import os
import pathlib
import re
import struct
import subprocess

import numpy as np
import pytest
import torch
import torch.nn.functional as F

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("NN_BUILD", ROOT / "build/dev")) / "conformance_suite"
ROWS = 3
TOLERANCE = 1e-6
CASES = {}  # name: (program, shapes, tokens, function of weights and inputs)


def case(name, shapes, layers, function, tokens=()):
    """shapes: of a row of each input; tokens: which of them are whole numbers from 0 to 4."""
    shapes = [shapes] if isinstance(shapes, tuple) else shapes
    text = [f"i{k}: ({', '.join(map(str, s))},)" for k, s in enumerate(shapes)]
    program = f"network A {{ input: {{ {' '.join(text)} }} layers: {layers} }}"
    assert name not in CASES
    CASES[name] = program, shapes, tokens, function


def first(x):
    """(rows, spatial..., channels) to (rows, channels, spatial...)"""
    return x.movedim(-1, 1)


def last(x):
    return x.movedim(1, -1)


def pad_axes(x, pads, value=0.0):
    """pads: (before, after) of each axis behind the channels; negative ones cut off."""
    return F.pad(x, [n for p in reversed(pads) for n in p], value=value)


def same_pads(sizes, kernel, stride, dilation):
    """TensorFlow's rule: https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2"""
    totals = [max((-(-d // s) - 1) * s + (k - 1) * dil + 1 - d, 0)
              for d, k, s, dil in zip(sizes, kernel, stride, dilation)]
    return [(t // 2, t - t // 2) for t in totals]


def kernel_first(k):
    """[k..., a, b] to [b, a, k...]"""
    return k.movedim(-1, 0).movedim(-1, 1)


def tup(values):
    return "(" + ", ".join(map(str, values)) + ")" if len(values) > 1 else str(values[0])


# ---- convolution ----

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
CONV_TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
SIZES = (9, 7, 6)


def conv(x, kernel, bias, stride, dilation, padding, groups=1):
    n = x.dim() - 2
    x = first(x)
    if padding == "same":
        x = pad_axes(x, same_pads(x.shape[2:], kernel.shape[:n], stride, dilation))
    return last(CONV[n](x, kernel_first(kernel), bias, stride, 0, dilation, groups))


def add_conv(n, stride, dilation, padding, groups, bias):
    kernel, stride = (3, 2, 2)[:n], (2, 1, 3)[:n] if stride else (1,) * n
    dilation = (2, 1, 2)[:n] if dilation else (1,) * n

    def function(w, x):
        return conv(x, w[0], w[1] if bias else None, stride, dilation, padding, groups)

    case(f"conv{n}d_s{stride[0]}_d{dilation[0]}_{padding}_g{groups}_{bias}", SIZES[:n] + (4,),
         f"Conv{n}D(6, {tup(kernel)}, strides={tup(stride)}, dilation_rate={tup(dilation)}, padding={padding}, "
         f"groups={groups}, use_bias={str(bias).lower()})", function)


for n, (stride, dilation), padding, (groups, bias) in itertools.product(
        (1, 2, 3), ((0, 0), (1, 0), (0, 1)), ("valid", "same"), ((1, True), (2, False))):
    add_conv(n, stride, dilation, padding, groups, bias)

case("depthwise_conv2d", (8, 9, 3), "DepthwiseConv2D((3, 2), depth_multiplier=4)",
     lambda w, x: conv(x, w[0], w[1], (1, 1), (1, 1), "valid", 3))
case("separable_conv2d", (8, 9, 4), "SeparableConv2D(6, 3, padding=same, dilation_rate=2)",
     lambda w, x: conv(conv(x, w[0], None, (1, 1), (2, 2), "same", 4), w[1], w[2], (1, 1), (1, 1), "valid"))


def conv_transpose(x, kernel, bias, stride, dilation, padding, groups, output_padding=None):
    """kernel: [k..., filters / groups, in]. torch cuts off the same on both sides, Keras's `same` need not: the whole
    is made and cut (a kernel shorter than the stride leaves zeros at the end). With output_padding Keras's `same` has
    (d - 1) * s + ke % 2 + output_padding outputs, and TensorFlow places them as its convolution of so many would."""
    n = x.dim() - 2
    weight = kernel.movedim(-1, 0).movedim(-1, 1)
    extent = [(k - 1) * d + 1 for k, d in zip(kernel.shape, dilation)]
    if padding != "same" and (output_padding is not None or isinstance(padding, tuple)):
        pads = padding if isinstance(padding, tuple) else (0,) * n
        return last(CONV_TRANSPOSE[n](first(x), weight, bias, stride, pads, output_padding or 0, groups, dilation))
    y = CONV_TRANSPOSE[n](first(x), weight, None, stride, 0, 0, groups, dilation)
    more = output_padding or [s - e % 2 for e, s in zip(extent, stride)]
    cuts = []
    for d, e, s, p in zip(x.shape[1:], extent, stride, more):
        whole = (d - 1) * s + e
        out = (d - 1) * s + e % 2 + p if padding == "same" else max(whole, d * s)
        before = max(whole - out, 0) // 2
        cuts.append((-before, out + before - whole))
    y = last(pad_axes(y, cuts))
    return y if bias is None else y + bias


def add_conv_transpose(name, n, kernel, stride, dilation, padding, groups, output_padding, bias=True):
    more = "" if output_padding is None else f", output_padding={tup(output_padding)}"
    shown = tup(padding) if isinstance(padding, tuple) else padding

    def function(w, x):
        return conv_transpose(x, w[0], w[1] if bias else None, stride, dilation, padding, groups, output_padding)

    case(f"conv{n}d_transpose_{name}", SIZES[::-1][:n] + (4,),
         f"Conv{n}DTranspose(6, {tup(kernel)}, strides={tup(stride)}, dilation_rate={tup(dilation)}, padding={shown}, "
         f"groups={groups}, use_bias={str(bias).lower()}{more})", function)


for n, (kernel, stride), padding, groups in itertools.product(
        (1, 2, 3), (((3, 2, 3), (1, 1, 1)), ((3, 4, 2), (2, 3, 2)), ((1, 2, 5), (3, 3, 2))), ("valid", "same"), (1, 2)):
    add_conv_transpose(f"k{kernel[0]}_s{stride[0]}_{padding}_g{groups}", n, kernel[:n], stride[:n], (1,) * n, padding,
                       groups, None, groups == 1)
for n in (1, 2, 3):
    add_conv_transpose("dilated", n, (3, 2, 2)[:n], (1,) * n, (2, 3, 1)[:n], "valid", 1, None)
    add_conv_transpose("dilated_same", n, (3, 2, 2)[:n], (1,) * n, (2, 3, 1)[:n], "same", 2, None)
    add_conv_transpose("output_padding", n, (3, 4, 2)[:n], (2, 3, 2)[:n], (1,) * n, "valid", 1, (1, 2, 0)[:n])
    add_conv_transpose("output_padding_same", n, (3, 5, 3)[:n], (2, 3, 2)[:n], (1,) * n, "same", 1, (1, 2, 0)[:n])
    add_conv_transpose("output_padding_few", n, (4, 5, 3)[:n], (3, 3, 2)[:n], (1,) * n, "same", 1, (1, 1, 0)[:n])
    add_conv_transpose("pads", n, (3, 4, 2)[:n], (2, 3, 2)[:n], (1,) * n, (1,) * n, 2, None)

# ---- pooling ----

POOL = {"Max": {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d},
        "Average": {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}}
ADAPTIVE = {"Max": {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d},
            "Average": {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}}


def pool(kind, x, size, stride, padding):
    n, x = x.dim() - 2, first(x)
    f, pads = POOL[kind][n], [(0, 0)] * n
    if padding == "same":
        pads = same_pads(x.shape[2:], size, stride, (1,) * n)
    if kind == "Max":
        return last(f(pad_axes(x, pads, -torch.inf), size, stride))
    return last(f(pad_axes(x, pads), size, stride) / f(pad_axes(torch.ones_like(x), pads), size, stride))


def add_pool(n, kind, padding, stride):
    size, stride = (3, 2, 4)[:n], ((2, 1, 3) if stride else (3, 2, 4))[:n]
    case(f"{kind}{n}d_{padding}_s{stride[0]}".lower(), SIZES[:n] + (3,),
         f"{kind}Pooling{n}D({tup(size)}, strides={tup(stride)}, padding={padding})",
         lambda w, x: pool(kind, x, size, stride, padding))


for n, kind in itertools.product((1, 2, 3), ("Max", "Average")):
    for padding, stride in itertools.product(("valid", "same"), (0, 1)):
        add_pool(n, kind, padding, stride)
    for keep in (False, True):
        axes = tuple(range(1, n + 1))
        f = torch.amax if kind == "Max" else torch.mean
        case(f"global_{kind}{n}d_{keep}".lower(), SIZES[:n] + (3,),
             f"Global{kind}Pooling{n}D(keepdims={str(keep).lower()})",
             lambda w, x, f=f, axes=axes, keep=keep: f(x, axes, keepdim=keep))
    for to in ((4, 7, 2)[:n], (12, 3, 1)[:n]):
        case(f"adaptive_{kind}{n}d_{to[0]}".lower(), SIZES[:n] + (3,), f"Adaptive{kind}Pooling{n}D({tup(to)})",
             lambda w, x, kind=kind, n=n, to=to: last(ADAPTIVE[kind][n](first(x), to)))


def mean_of_tokens(x, tokens):
    there = (tokens != 0).double()[..., None]
    return (x * there).sum(1) / there.sum(1).clamp(min=1)


case("global_average_masked", (6,), "Embedding(5, 3, mask_zero=true) GlobalAveragePooling1D()",
     lambda w, t: mean_of_tokens(w[0][t.long()], t), tokens=[0])

# ---- more and fewer places ----

for n, size in ((1, (3,)), (2, (2, 3)), (3, (2, 1, 3))):
    case(f"upsample{n}d", SIZES[:n] + (2,), f"UpSampling{n}D({tup(size)})",
         lambda w, x, size=size: last(F.interpolate(first(x), scale_factor=[float(s) for s in size], mode="nearest")))
    pads = [(2, 0), (1, 3), (0, 2)][:n]
    shown = tup(pads) if n > 1 else f"({pads[0][0]}, {pads[0][1]})"
    case(f"zero_padding{n}d", SIZES[:n] + (2,), f"ZeroPadding{n}D({shown})",
         lambda w, x, pads=pads: last(pad_axes(first(x), pads)))
    case(f"cropping{n}d", SIZES[:n] + (2,), f"Cropping{n}D({shown})",
         lambda w, x, pads=pads: last(pad_axes(first(x), [(-a, -b) for a, b in pads])))
for size in ((2, 2), (1, 3), (4, 5)):
    case(f"bilinear_{size[0]}x{size[1]}", (5, 3, 2), f"UpSampling2D({tup(size)}, interpolation=bilinear)",
         lambda w, x, size=size: last(F.interpolate(first(x), size=[5 * size[0], 3 * size[1]], mode="bilinear",
                                                    align_corners=False)))
case("repeat_vector", (4,), "RepeatVector(3)", lambda w, x: x[:, None].repeat(1, 3, 1))
case("permute", (2, 3, 4), "Permute((3, 1, 2))", lambda w, x: x.permute(0, 3, 1, 2))
case("reshape", (2, 3, 4), "Reshape((4, 6)) Flatten()", lambda w, x: x.flatten(1))

# ---- dense, functions of elements ----

case("dense", (3, 4), "Dense(5) Dense(2, use_bias=false)", lambda w, x: (x @ w[0] + w[1]) @ w[2])
ACTIVATIONS = {
    "linear": lambda x: x, "relu": F.relu, "relu6": F.relu6, "leaky_relu": lambda x: F.leaky_relu(x, 0.3), "elu": F.elu,
    "selu": F.selu, "celu": F.celu, "gelu": F.gelu, "silu": F.silu, "mish": F.mish, "sigmoid": torch.sigmoid,
    "hard_sigmoid": F.hardsigmoid, "log_sigmoid": F.logsigmoid, "tanh": torch.tanh, "hard_tanh": F.hardtanh,
    "softplus": F.softplus, "softsign": F.softsign, "exponential": torch.exp, "hard_swish": F.hardswish,
    "softmax": lambda x: torch.softmax(x, -1), "log_softmax": lambda x: torch.log_softmax(x, -1)}
for name, f in ACTIVATIONS.items():
    case(f"act_{name}", (3, 40), f"Activation({name})", lambda w, x, f=f: f(x))
case("leaky_relu", (9,), "LeakyReLU(0.2)", lambda w, x: F.leaky_relu(x, 0.2))
case("elu", (9,), "ELU(0.5)", lambda w, x: F.elu(x, 0.5))
case("clip", (3, 40), "ReLU(max_value=0.7)", lambda w, x: x.clamp(0, 0.7))
case("clip_leaky", (3, 40), "ReLU(max_value=0.7, negative_slope=0.1)", lambda w, x: F.leaky_relu(x, 0.1).clamp(max=0.7))
case("prelu", (3, 4, 5), "PReLU()", lambda w, x: torch.where(x < 0, w[0] * x, x))
case("prelu_shared", (3, 4, 5), "PReLU(shared_axes=(1, 3))", lambda w, x: torch.where(x < 0, w[0] * x, x))
case("prelu_channels", (3, 4, 5), "PReLU(shared_axes=(1, 2))", lambda w, x: last(F.prelu(first(x), w[0].flatten())))
case("identities", (3, 8), "Dropout(0.5) GaussianNoise(0.3) GaussianDropout(0.2) AlphaDropout(0.1) "
     "ActivityRegularization(l1=0.1) SpatialDropout1D(0.3)", lambda w, x: x)

# ---- normalisation ----

for shape in ((5,), (4, 6), (3, 4, 6)):
    case(f"layer_norm_{len(shape)}", shape, "LayerNormalization(epsilon=1e-5)",
         lambda w, x: F.layer_norm(x, x.shape[-1:], w[0], w[1], 1e-5))
case("layer_norm_plain", (4, 6), "LayerNormalization(center=false, scale=false)",
     lambda w, x: F.layer_norm(x, (6,), None, None, 1e-3))
case("layer_norm_center", (4, 6), "LayerNormalization(scale=false)",
     lambda w, x: F.layer_norm(x, (6,), None, w[0], 1e-3))
for groups, shape in itertools.product((1, 3, 6), ((6,), (5, 6), (4, 3, 6), (2, 3, 4, 6))):
    if groups == 6 and len(shape) == 1:
        continue  # refused: one element a group
    case(f"group_norm_{groups}_{len(shape)}", shape, f"GroupNormalization(groups={groups}, epsilon=0.01)",
         lambda w, x, groups=groups: last(F.group_norm(first(x), groups, w[0], w[1], 0.01)))
case("instance_norm", (4, 3, 6), "InstanceNormalization(epsilon=1e-4)",
     lambda w, x: last(F.instance_norm(first(x), weight=w[0], bias=w[1], eps=1e-4)))
case("batch_norm", (4, 3, 6), "BatchNormalization(epsilon=1e-4)",
     lambda w, x: last(F.batch_norm(first(x), w[2], w[3], w[0], w[1], False, 0, 1e-4)))
case("batch_norm_plain", (6,), "BatchNormalization(center=false, scale=false)",
     lambda w, x: F.batch_norm(x, w[0], w[1], None, None, False, 0, 1e-3))

# ---- sequences ----

case("embedding", (6,), "Embedding(5, 4)", lambda w, t: F.embedding(t.long(), w[0]), tokens=[0])
case("embedding_2", (2, 3), "Embedding(7, 4)", lambda w, t: F.embedding(t.long(), w[0]), tokens=[0])
case("position_learnable", (5, 4), "PositionalEncoding(9, encoding_type=learnable)", lambda w, x: x + w[0][:5])


def sinusoids(steps, d):
    """Vaswani et al. 2017, 3.5, as the PyTorch tutorial on transformers has it, for odd d too."""
    angle = np.arange(steps)[:, None] / 10000 ** (2 * (np.arange(d) // 2) / d)
    return torch.tensor(np.where(np.arange(d) % 2 == 0, np.sin(angle), np.cos(angle)))


for d in (6, 7):
    case(f"position_{d}", (9, d), "PositionalEncoding()", lambda w, x, d=d: x + sinusoids(9, d))


def simple_step(w, x, state, act):
    h = act(x @ w[0] + (w[2] if len(w) > 2 else 0) + state[0] @ w[1])
    return h, (h, h)


def lstm_step(w, x, state):
    """torch's cell has the gates in Keras's order: i f g o."""
    bias = w[2] if len(w) > 2 else torch.zeros(w[0].shape[1]).double()
    h, c = torch._VF.lstm_cell(x, state, w[0].T.contiguous(), w[1].T.contiguous(), bias, torch.zeros_like(bias))
    return h, (h, c)


def gru_step(w, x, state):
    """torch's cell is reset_after, with the gates in the order r z h."""
    n = w[1].shape[0]
    order = torch.cat([torch.arange(n, 2 * n), torch.arange(n), torch.arange(2 * n, 3 * n)])
    bias = w[2] if len(w) > 2 else torch.zeros(2, 3 * n).double()
    h = torch._VF.gru_cell(x, state[0], w[0][:, order].T.contiguous(), w[1][:, order].T.contiguous(), bias[0][order],
                           bias[1][order])
    return h, (h, h)


def gru_before_step(w, x, state):
    """Cho et al. 2014: the reset gate works on the state."""
    n, h = w[1].shape[0], state[0]
    a, b = x @ w[0] + (w[2] if len(w) > 2 else 0), w[1]
    z = torch.sigmoid(a[:, :n] + h @ b[:, :n])
    r = torch.sigmoid(a[:, n:2 * n] + h @ b[:, n:2 * n])
    new = torch.tanh(a[:, 2 * n:] + (r * h) @ b[:, 2 * n:])
    h = z * h + (1 - z) * new
    return h, (h, h)


def run_rnn(step, w, x, reverse=False, tokens=None):
    """The state after every step, each at its place."""
    h = torch.zeros(x.shape[0], w[1].shape[0]).double()
    state, outputs = (h, h), [None] * x.shape[1]
    for t in reversed(range(x.shape[1])) if reverse else range(x.shape[1]):
        _, new = step(w, x[:, t], state)
        if tokens is not None:
            there = (tokens[:, t] != 0)[:, None]
            new = tuple(torch.where(there, a, b) for a, b in zip(new, state))
        state = new
        outputs[t] = state[0]
    return torch.stack(outputs, 1), state[0]


RNN = {"SimpleRNN": lambda w, x, s: simple_step(w, x, s, torch.tanh), "LSTM": lstm_step, "GRU": gru_step,
       "before": gru_before_step}


def add_rnn(kind, bias, sequences, back):
    layer, more = ("GRU", ", reset_after=false") if kind == "before" else (kind, "")

    def function(w, x):
        every, end = run_rnn(RNN[kind], w, x, back)
        return end if not sequences else every.flip(1) if back else every

    def masked(w, t):
        every, end = run_rnn(RNN[kind], w[1:], w[0][t.long()], back, t)
        return end if not sequences else every.flip(1) if back else every

    arguments = (f"4{more}, use_bias={str(bias).lower()}, return_sequences={str(sequences).lower()}, "
                 f"go_backwards={str(back).lower()}")
    name = f"{kind}_{bias}_{sequences}_{back}".lower()
    case(name, (6, 3), f"{layer}({arguments})", function)
    case(f"masked_{name}", (6,), f"Embedding(5, 3, mask_zero=true) {layer}({arguments})", masked, tokens=[0])


for kind, bias, sequences, back in itertools.product(RNN, (True, False), (True, False), (True, False)):
    add_rnn(kind, bias, sequences, back)

MERGE_MODES = {"concat": lambda a, b: torch.cat([a, b], -1), "sum": torch.add, "mul": torch.mul,
               "ave": lambda a, b: (a + b) / 2}


def both_ways(step, w, x, sequences, mode, tokens=None):
    half = len(w) // 2
    a = run_rnn(step, w[:half], x, False, tokens)
    b = run_rnn(step, w[half:], x, True, tokens)
    return mode(a[0], b[0]) if sequences else mode(a[1], b[1])


for (mode, join), kind, sequences in itertools.product(MERGE_MODES.items(), ("LSTM", "GRU"), (True, False)):
    text = f"Bidirectional({kind}(3, return_sequences={str(sequences).lower()}), merge_mode=\"{mode}\")"
    case(f"bidirectional_{mode}_{kind}_{sequences}".lower(), (5, 4), text,
         lambda w, x, kind=kind, sequences=sequences, join=join: both_ways(RNN[kind], w, x, sequences, join))
case("bidirectional_masked", (6,), "Embedding(5, 3, mask_zero=true) Bidirectional(LSTM(2, return_sequences=true))",
     lambda w, t: both_ways(lstm_step, w[1:], w[0][t.long()], True, MERGE_MODES["concat"], t), tokens=[0])
case("rnn_functions", (5, 3), "SimpleRNN(4, activation=relu)",
     lambda w, x: run_rnn(lambda w, x, s: simple_step(w, x, s, F.relu), w, x)[1])


def torch_lstm(w, x, layers):
    """A stack in both directions, of torch.nn's own."""
    m = torch.nn.LSTM(x.shape[-1], w[1].shape[0], layers, batch_first=True, bidirectional=True).double()
    state = {}
    for k, names in enumerate(itertools.product(range(layers), ("", "_reverse"))):
        kernel, recurrent, bias = w[3 * k:3 * k + 3]
        state[f"weight_ih_l{names[0]}{names[1]}"] = kernel.T
        state[f"weight_hh_l{names[0]}{names[1]}"] = recurrent.T
        state[f"bias_ih_l{names[0]}{names[1]}"] = bias
        state[f"bias_hh_l{names[0]}{names[1]}"] = torch.zeros_like(bias)
    m.load_state_dict(state)
    return m(x)[0]


case("lstm_stack", (6, 3), "LSTM(4, num_layers=2, bidirectional=true, return_sequences=true)",
     lambda w, x: torch_lstm(w, x, 2))
case("lstm_cell", (5,), "LSTMCell(3)", lambda w, x: lstm_step(w, x, (torch.zeros(ROWS, 3).double(),) * 2)[0])


def conv_lstm(w, x, stride, dilation, padding, reverse, sequences):
    """Shi et al. 2015 without peepholes, a step at a time."""
    n, filters = x.dim() - 3, w[1].shape[-2]
    kernel, recurrent, bias = w[0], w[1], w[2] if len(w) > 2 else None
    h = c = None
    outputs = [None] * x.shape[1]
    for t in reversed(range(x.shape[1])) if reverse else range(x.shape[1]):
        a = conv(x[:, t], kernel, bias, stride, dilation, padding)
        if h is None:
            h = c = torch.zeros(*a.shape[:-1], filters).double()
        a = a + conv(h, recurrent, None, (1,) * n, (1,) * n, "same")
        i, f, g, o = a.split(filters, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        outputs[t] = h
    return torch.stack(outputs[::-1] if reverse else outputs, 1) if sequences else h


def add_conv_lstm(n, strided, padding, sequences, back):
    size, stride = (3, 2, 2)[:n], (2, 1, 2)[:n] if strided else (1,) * n
    dilation = (1,) * n if strided else (2, 1, 1)[:n]
    case(f"conv_lstm{n}d_{strided}_{padding}_{sequences}_{back}".lower(), (3,) + (7, 5, 4)[:n] + (2,),
         f"ConvLSTM{n}D(3, {tup(size)}, strides={tup(stride)}, dilation_rate={tup(dilation)}, padding={padding}, "
         f"return_sequences={str(sequences).lower()}, go_backwards={str(back).lower()}, "
         f"use_bias={str(not back).lower()})",
         lambda w, x: conv_lstm(w, x, stride, dilation, padding, back, sequences))


for n, strided, padding, (sequences, back) in itertools.product((1, 2, 3), (True, False), ("valid", "same"),
                                                               ((False, False), (True, True))):
    add_conv_lstm(n, strided, padding, sequences, back)

# ---- attention ----


def left_out(queries, keys, causal, tokens):
    """(rows or 1, queries, keys): True where a key is not looked at."""
    out = torch.zeros(1, queries, keys, dtype=torch.bool)
    if causal:
        out = out | torch.ones(queries, keys).triu(1).bool()
    return out if tokens is None else out | (tokens == 0)[:, None, :]


def attend(scores, value, causal, tokens):
    """A query step without any key takes the mean."""
    out = left_out(scores.shape[1], scores.shape[2], causal, tokens).expand_as(scores)
    weights = torch.softmax(scores.masked_fill(out, -torch.inf), -1)
    return torch.where(out.all(-1, keepdim=True), torch.full_like(weights, 1 / weights.shape[-1]), weights) @ value


def dot_attention(w, q, k, v, causal=False, tokens=None):
    return attend(q @ k.mT * (w[0] if w else 1), v, causal, tokens)


def additive_attention(w, q, k, v, causal=False, tokens=None):
    sums = torch.tanh(q[:, :, None] + k[:, None]) * (w[0] if w else 1)
    return attend(sums.sum(-1), v, causal, tokens)


for (layer, f), scale, causal in itertools.product(
        (("Attention", dot_attention), ("AdditiveAttention", additive_attention)), (True, False), (True, False)):
    text = f"use_scale={str(scale).lower()}, causal={str(causal).lower()}"
    case(f"{layer}_{scale}_{causal}".lower(), [(5, 4), (3, 6), (3, 4)], f"{layer}({text}, inputs=[i0, i1, i2])",
         lambda w, q, v, k, f=f, causal=causal: f(w, q, k, v, causal))
    case(f"{layer}_masked_{scale}_{causal}".lower(), (6,), f"Embedding(5, 4, mask_zero=true) {layer}({text})",
         lambda w, t, f=f, causal=causal: f(w[1:], *[w[0][t.long()]] * 3, causal, t), tokens=[0])


def heads_of_torch(w, heads, q, k, v, causal, tokens=None):
    """torch.nn.MultiheadAttention; w: kernel and bias of query, key, value, output."""
    d = q.shape[-1]
    m = torch.nn.MultiheadAttention(d, heads, batch_first=True, kdim=k.shape[-1], vdim=v.shape[-1]).double()
    state = {"in_proj_bias": torch.cat([w[1], w[3], w[5]]), "out_proj.weight": w[6].T, "out_proj.bias": w[7]}
    if k.shape[-1] == v.shape[-1] == d:
        state["in_proj_weight"] = torch.cat([w[0].T, w[2].T, w[4].T])
    else:
        state |= {"q_proj_weight": w[0].T, "k_proj_weight": w[2].T, "v_proj_weight": w[4].T}
    m.load_state_dict(state)
    mask = torch.ones(q.shape[1], k.shape[1]).triu(1).bool() if causal else None
    return m(q, k, v, attn_mask=mask, key_padding_mask=None if tokens is None else tokens == 0, need_weights=False)[0]


for heads, causal in itertools.product((1, 2, 4), (False, True)):
    more = f"{heads}, {8 // heads}, causal={str(causal).lower()}"
    case(f"heads_{heads}_{causal}".lower(), (6, 8), f"MultiHeadAttention({more})",
         lambda w, x, heads=heads, causal=causal: heads_of_torch(w, heads, x, x, x, causal))
    case(f"heads_three_{heads}_{causal}".lower(), [(5, 8), (4, 3), (4, 6)],
         f"MultiHeadAttention({more}, inputs=[i0, i1, i2])",
         lambda w, q, v, k, heads=heads, causal=causal: heads_of_torch(w, heads, q, k, v, causal))
case("heads_masked", (6,), "Embedding(5, 8, mask_zero=true) MultiHeadAttention(2, 4)",
     lambda w, t: heads_of_torch(w[1:], 2, *[w[0][t.long()]] * 3, False, t), tokens=[0])


def heads_state(w, name):
    return {f"{name}.in_proj_weight": torch.cat([w[0].T, w[2].T, w[4].T]),
            f"{name}.in_proj_bias": torch.cat([w[1], w[3], w[5]]),
            f"{name}.out_proj.weight": w[6].T, f"{name}.out_proj.bias": w[7]}


def part_of(w, first_norm, n):
    """(weights of the part, gamma, beta) from the front of w: norm_first has the norm first."""
    part = w[2:n + 2] if first_norm else w[:n]
    norm = w[:2] if first_norm else w[n:n + 2]
    del w[:n + 2]
    return part, norm


def transformer(w, heads, norm_first, act, x, memory=None, causal=False, tokens=None):
    """torch.nn.TransformerEncoderLayer, or TransformerDecoderLayer with a memory."""
    w, d = list(w), x.shape[-1]
    attention, norm = part_of(w, norm_first, 8)
    state = heads_state(attention, "self_attn") | {"norm1.weight": norm[0], "norm1.bias": norm[1]}
    if memory is not None:
        cross, norm = part_of(w, norm_first, 8)
        state |= heads_state(cross, "multihead_attn") | {"norm2.weight": norm[0], "norm2.bias": norm[1]}
    feed, norm = part_of(w, norm_first, 4)
    name = "norm2" if memory is None else "norm3"
    state |= {"linear1.weight": feed[0].T, "linear1.bias": feed[1], "linear2.weight": feed[2].T,
              "linear2.bias": feed[3], f"{name}.weight": norm[0], f"{name}.bias": norm[1]}
    layer = torch.nn.TransformerEncoderLayer if memory is None else torch.nn.TransformerDecoderLayer
    m = layer(d, heads, feed[0].shape[1], 0.0, act, 1e-5, batch_first=True, norm_first=norm_first).double()
    m.load_state_dict(state)
    mask = torch.ones(x.shape[1], x.shape[1]).triu(1).bool() if causal else None
    m.train()  # with dropout 0: not torch's fast path, which is of inference only
    if memory is not None:
        return m(x, memory, tgt_mask=mask)
    return m(x, src_mask=mask, src_key_padding_mask=None if tokens is None else tokens == 0)


for norm_first, act, causal in itertools.product((False, True), ("relu", "gelu"), (False, True)):
    more = f"2, 16, activation={act}, norm_first={str(norm_first).lower()}, causal={str(causal).lower()}"
    case(f"encoder_{norm_first}_{act}_{causal}".lower(), (6, 8), f"TransformerEncoder({more})",
         lambda w, x, a=(2, norm_first, act), causal=causal: transformer(w, *a, x, causal=causal))
    case(f"decoder_{norm_first}_{act}_{causal}".lower(), [(6, 8), (9, 8)],
         f"TransformerDecoder({more}, inputs=[i0, i1])",
         lambda w, x, y, a=(2, norm_first, act), causal=causal: transformer(w, *a, x, y, causal=causal))
case("encoder_masked", (6,), "Embedding(5, 8, mask_zero=true) TransformerEncoder(4, 16)",
     lambda w, t: transformer(w[1:], 4, False, "relu", w[0][t.long()], tokens=t), tokens=[0])
case("encoder_layers", (5, 8), "TransformerEncoder(2, 16, num_layers=2)",
     lambda w, x: transformer(w[16:], 2, False, "relu", transformer(w[:16], 2, False, "relu", x)))

# ---- several inputs ----

MERGES = {"Add": lambda a, b, c: a + b + c, "Multiply": lambda a, b, c: a * b * c,
          "Average": lambda a, b, c: (a + b + c) / 3,
          "Maximum": lambda a, b, c: torch.maximum(torch.maximum(a, b), c),
          "Minimum": lambda a, b, c: torch.minimum(torch.minimum(a, b), c)}
for layer, f in MERGES.items():
    case(f"{layer}".lower(), [(3, 4)] * 3, f"{layer}(inputs=[i0, i1, i2])", lambda w, a, b, c, f=f: f(a, b, c))
    case(f"{layer}_broadcast".lower(), [(3, 1, 4), (5, 1), (3, 5, 4)], f"{layer}(inputs=[i0, i1, i2])",
         lambda w, a, b, c, f=f: f(a, b[:, None], c))
case("subtract", [(3, 4), (1, 4)], "Subtract(inputs=[i0, i1])", lambda w, a, b: a - b)
for axis in (1, 2, 3, -1):
    shapes = [tuple(d + k if a + 1 == axis % 4 else d for a, d in enumerate((3, 4, 2))) for k in range(3)]
    case(f"concatenate_{axis}", shapes, f"Concatenate(axis={axis}, inputs=[i0, i1, i2])",
         lambda w, *x, axis=axis: torch.cat(x, axis))
for normalize in (False, True):
    def n(x, axis, normalize=normalize):
        return F.normalize(x, dim=axis, eps=1e-7) if normalize else x
    text = f"normalize={str(normalize).lower()}"
    case(f"dot_vectors_{normalize}".lower(), [(6,), (6,)], f"Dot(1, {text}, inputs=[i0, i1])",
         lambda w, a, b, n=n: (n(a, 1) * n(b, 1)).sum(1, keepdim=True))
    case(f"dot_matrices_{normalize}".lower(), [(5, 4), (4, 3)], f"Dot((2, 1), {text}, inputs=[i0, i1])",
         lambda w, a, b, n=n: torch.einsum("bij,bjk->bik", n(a, 2), n(b, 1)))
    case(f"dot_first_{normalize}".lower(), [(4, 5), (2, 4, 3)], f"Dot((1, 2), {text}, inputs=[i0, i1])",
         lambda w, a, b, n=n: torch.einsum("bji,bkjl->bikl", n(a, 1), n(b, 2)))

# ---- layers of layers ----


def fold(f, x, times=1):
    """f on every step."""
    y = f(x.flatten(0, times))
    return y.reshape(*x.shape[:times + 1], *y.shape[1:])


case("time_distributed", (5, 4), "TimeDistributed(Dense(3, tanh))", lambda w, x: torch.tanh(x @ w[0] + w[1]))
case("time_distributed_conv", (3, 6, 7, 2), "TimeDistributed(Conv2D(4, (3, 2)))",
     lambda w, x: fold(lambda y: conv(y, *w, (1, 1), (1, 1), "valid"), x))
case("time_distributed_twice", (2, 3, 5, 4), "TimeDistributed(TimeDistributed(Flatten())) TimeDistributed(LSTM(2))",
     lambda w, x: fold(lambda y: run_rnn(lstm_step, w, y)[1], x.flatten(3)))
case("time_distributed_norm", (3, 4, 6), "TimeDistributed(GroupNormalization(groups=2))",
     lambda w, x: fold(lambda y: last(F.group_norm(first(y), 2, w[0], w[1], 1e-3)), x))
case("residual", (4,), "ResidualConnection { Dense(6, relu) Dense(4) }",
     lambda w, x: x + F.relu(x @ w[0] + w[1]) @ w[2] + w[3])
case("two_outputs", [(4,), (3,)], "i0: { Dense(5) } i1: { Dense(2, tanh) }",
     lambda w, a, b: (a @ w[0] + w[1], torch.tanh(b @ w[2] + w[3])))


def squeeze(w, x):
    s = torch.sigmoid(F.relu(x.mean((1, 2)) @ w[0] + w[1]) @ w[2] + w[3])
    return x * s[:, None, None]


case("squeeze_excitation", (3, 4, 8), "SqueezeExcitation(ratio=4)", lambda w, x: squeeze(w, x))

# ---- running them ----


def read_safetensors(path):
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:8 + size])
    tensors = {}
    for name, t in header.items():
        if name != "__metadata__":
            begin, end = t["data_offsets"]
            data = np.frombuffer(raw[8 + size + begin:8 + size + end], np.float32)
            tensors[name] = torch.tensor(data.reshape(t["shape"]).astype(np.float64))
    return tensors


def inputs_of(name):
    """Tokens: row 0 has zeros in the middle and at the end, row 1 none, row 2 zeros alone."""
    _, shapes, tokens, _ = CASES[name]
    random = np.random.default_rng(5)
    values = [random.uniform(-4 if name.startswith("act_") else -1, 4 if name.startswith("act_") else 1, (ROWS, *s))
              for s in shapes]
    for k in tokens:
        values[k] = random.integers(1, 5, (ROWS, *shapes[k]))
        if "masked" in name and len(shapes[k]) == 1:
            values[k][0, [0, 2, -1]] = 0
            if "heads" not in name and "encoder" not in name:  # torch's own make NaN of it
                values[k][2] = 0
    return [v.astype(np.float32) for v in values]


@pytest.fixture(scope="module")
def dumps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    for name, (program, *_) in CASES.items():
        (folder / f"{name}.neural").write_text(program)
        (folder / f"{name}.in").write_bytes(b"".join(v.tobytes() for v in inputs_of(name)))
    done = subprocess.run([PROGRAM, "reference_dump"], env={**os.environ, "NN_REFERENCE_CASES": str(folder)},
                          timeout=120, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_layer_op_is_compared(dumps):
    """Ops of ops.def that no case has; CUSTOM is what nothing runs."""
    rows = re.findall(r"^NN_ACT\(\w+, +(\w+),", (ROOT / "src/graph/activations.def").read_text(), re.M)
    assert sorted(rows) == sorted(set(ACTIVATIONS) - {"softmax", "log_softmax"})
    ops = re.findall(r"^NN_OP\(\w+, +(\w+),", (ROOT / "src/graph/ops.def").read_text(), re.M)
    seen = set((dumps / "ops").read_text().split())
    assert set(ops) - seen == {"custom"}


@pytest.mark.parametrize("name", CASES)
def test_reference(dumps, name):
    tensors = read_safetensors(dumps / f"{name}.safetensors")
    outputs = [t for n, t in tensors.items() if n.startswith("out.")]
    weights = [t for n, t in tensors.items() if not n.startswith("out.")]
    with torch.no_grad():
        want = CASES[name][3](weights, *[torch.tensor(v.astype(np.float64)) for v in inputs_of(name)])
    want = want if isinstance(want, tuple) else (want,)
    assert len(outputs) == len(want)
    for ours, theirs in zip(outputs, want):
        assert ours.shape == theirs.shape
        assert torch.isfinite(theirs).all()
        assert (ours - theirs).abs().max() <= TOLERANCE * max(theirs.abs().max().item(), 1e-3)
