# SPDX-License-Identifier: MIT
"""Our engines against PyTorch: outputs, losses, gradients and moving statistics of whole networks.

The C test `torch_dump` writes what it put in and what came out; here the same networks are rebuilt from their text on
torch's functions and autograd, in double precision, channels first. Differences are taken relative to each tensor's
largest value and may be 5e-5.
"""
import functools
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
PROGRAM = pathlib.Path(os.environ.get("NN_BUILD", ROOT / "build/dev")) / "conformance_engine"
CASES = ["mlp", "cnn", "cnn_same", "conv1d", "conv3d", "activations", "shapes", "residual", "merges",
         "samples"]
TOLERANCE = 5e-5
ACTIVATIONS = {  # with the argument alpha, where torch's default is not ours
    "linear": lambda x, a: x,
    "relu": lambda x, a: F.relu(x),
    "relu6": lambda x, a: F.relu6(x),
    "leaky_relu": lambda x, a: F.leaky_relu(x, a),
    "elu": lambda x, a: F.elu(x, a),
    "selu": lambda x, a: F.selu(x),
    "celu": lambda x, a: F.celu(x, a),
    "gelu": lambda x, a: F.gelu(x),
    "silu": lambda x, a: F.silu(x),
    "mish": lambda x, a: F.mish(x),
    "sigmoid": lambda x, a: torch.sigmoid(x),
    "hard_sigmoid": lambda x, a: F.hardsigmoid(x),
    "log_sigmoid": lambda x, a: F.logsigmoid(x),
    "tanh": lambda x, a: torch.tanh(x),
    "hard_tanh": lambda x, a: F.hardtanh(x),
    "softplus": lambda x, a: F.softplus(x),
    "softsign": lambda x, a: F.softsign(x),
    "exponential": lambda x, a: torch.exp(x),
    "hard_swish": lambda x, a: F.hardswish(x),
}


def read_safetensors(path):
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:8 + size])
    types = {"F32": np.float32, "U32": np.uint32}
    tensors = {}
    for name, t in header.items():
        if name != "__metadata__":
            begin, end = t["data_offsets"]
            data = np.frombuffer(raw[8 + size + begin:8 + size + end], types[t["dtype"]])
            tensors[name] = data.reshape(t["shape"])
    return tensors, header["__metadata__"]


def to_first(x):
    """(rows, spatial..., channels) to (rows, channels, spatial...)"""
    return x.movedim(-1, 1)


def to_last(x):
    return x.movedim(1, -1)


def numbers(text):
    return [int(n) for n in text.split("x")]


class Window:
    def __init__(self, options, spatial):
        self.size = numbers(options["k"])
        self.stride = numbers(options["s"]) if "s" in options else [1] * len(self.size)
        self.dilation = numbers(options["d"]) if "d" in options else [1] * len(self.size)
        self.pads = [(0, 0)] * len(self.size)
        p = options.get("p", "")
        if p == "same":  # TensorFlow's rule
            self.pads = []
            for d, k, s, dil in zip(spatial, self.size, self.stride, self.dilation):
                total = max((-(-d // s) - 1) * s + (k - 1) * dil + 1 - d, 0)
                self.pads.append((total // 2, total - total // 2))
        elif p:
            self.pads = [tuple(int(n) for n in (a.split(":") * 2)[:2]) for a in p.split("x")]

    def pad(self, x, value=0.0):
        flat = [n for before_after in reversed(self.pads) for n in before_after]
        return F.pad(x, flat, value=value)


def pool(kind, x, w):
    n = len(w.size)
    assert w.dilation == [1] * n
    if kind == "max_pool":
        f = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[n]
        return f(w.pad(x, -torch.inf), w.size, w.stride)
    f = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}[n]
    counted = f(w.pad(torch.ones_like(x)), w.size, w.stride)  # the share of a window that is not padding
    return f(w.pad(x), w.size, w.stride) / counted


MERGES = {
    "add": torch.add,
    "subtract": torch.sub,
    "multiply": torch.mul,
    "average": torch.add,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
}


def broadcast(several):
    """Axes of size 1 before the others, the rows apart."""
    rank = max(v.dim() for v in several)
    return [v.reshape(v.shape[:1] + (1,) * (rank - v.dim()) + v.shape[1:]) for v in several]


def run(text, weights, x, training):
    """The value of the network's last op, the one before a final softmax or sigmoid, and the moved statistics."""
    before, moved, values = x, {}, []
    for i, line in enumerate(text.split(";")):
        words = line.split()
        several = [x]
        if words[-1][0] == "@":
            several = [values[int(n)] for n in words.pop()[1:].split(",")]
            x = several[0]
        op, options = words[0], dict(w.split("=") for w in words[1:] if "=" in w)
        w = {name.split(".", 1)[1]: t for name, t in weights.items() if name.split(".")[0] == f"n{i}"}
        before = x
        if op == "dense":
            x = x @ w["kernel"] + w.get("bias", 0)
        elif op == "conv":
            window = Window(options, x.shape[1:-1])
            kernel = w["kernel"].movedim(-1, 0).movedim(-1, 1)  # [k..., in, out] to [out, in, k...]
            f = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[len(window.size)]
            x = to_last(f(window.pad(to_first(x)), kernel, w.get("bias"), window.stride, 0, window.dilation,
                          int(options.get("g", 1))))
        elif op in ("max_pool", "avg_pool"):
            x = to_last(pool(op, to_first(x), Window(options, x.shape[1:-1])))
        elif op == "gap":
            x = x.mean(dim=tuple(range(1, x.dim() - 1)))
        elif op == "bn":
            axes = tuple(range(x.dim() - 1))
            mean, variance = w["moving_mean"], w["moving_variance"]
            if training:
                moved[f"n{i}.moving_mean"] = 0.9 * mean + 0.1 * x.mean(axes)
                moved[f"n{i}.moving_variance"] = 0.9 * variance + 0.1 * x.var(axes, unbiased=False)
            x = to_last(F.batch_norm(to_first(x), mean.clone(), variance.clone(), w["gamma"], w["beta"], training,
                                     0.1, 1e-3))
        elif op == "act":
            x = ACTIVATIONS[words[1]](x, float(options.get("a", 1)))
        elif op == "softmax":
            x = torch.softmax(x, -1)
        elif op == "log_softmax":
            x = torch.log_softmax(x, -1)
        elif op == "flatten":
            x = x.flatten(1)
        elif op == "reshape":
            x = x.reshape([x.shape[0]] + [int(n) for n in words[1:]])
        elif op == "transpose":
            x = x.permute([0] + [1 + int(n) for n in words[1:]])
        elif op == "merge":
            x = functools.reduce(MERGES[words[1]], broadcast(several))
            x = x / len(several) if words[1] == "average" else x
        elif op == "concat":
            x = torch.cat(several, 1 + int(words[1]))
        elif op == "dot":
            a, b = (v.movedim(1 + int(axis), -1).flatten(1, -2) for v, axis in zip(several, words[1:3]))
            x = F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).mT if "normalize" in words else a @ b.mT
        elif op == "layer_norm":
            x = F.layer_norm(x, x.shape[-1:], w["gamma"], w["beta"], 1e-3)
        elif op == "group_norm":
            x = to_last(F.group_norm(to_first(x), int(words[1]), w["gamma"], w["beta"], 1e-3))
        elif op == "prelu":
            x = torch.where(x > 0, x, w["alpha"] * x)
        elif op == "clip":
            x = x.clamp(float(words[1]), float(words[2]))
        elif op == "reverse":
            x = x.flip(1 + int(words[1]))
        else:
            assert op == "input", op
        values.append(x)
    return x, before, moved


def loss_of(meta, tensors, last, before):
    if "crossentropy" in meta["loss"] and "labels" in tensors:
        labels = torch.tensor(tensors["labels"].astype(np.int64))
        return F.cross_entropy(before, labels, label_smoothing=float(meta["label_smoothing"]))
    values = torch.tensor(tensors["values"].astype(np.float64))
    if meta["loss"] == "binary_crossentropy":
        return F.binary_cross_entropy_with_logits(before, values)
    return F.mse_loss(last, values)


def distance(ours, theirs):
    theirs = theirs.detach().numpy()
    return np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-3)


@pytest.fixture(scope="module")
def dumps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dump")
    subprocess.run([PROGRAM, "torch_dump"], env={**os.environ, "NN_TORCH_DUMP": str(folder)}, check=True, timeout=60)
    return folder


def test_every_activation_is_compared():
    rows = re.findall(r"^NN_ACT\(\w+, +(\w+),", (ROOT / "src/graph/activations.def").read_text(), re.M)
    nets = re.sub(r'" *\n? *"', "", (ROOT / "tests/conformance/engine/test_torch_dump.c").read_text())
    assert sorted(rows) == sorted(ACTIVATIONS)
    assert [a for a in rows if not re.search(rf"act\s+{a}\b", nets)] == []


@pytest.mark.parametrize("case", CASES)
def test_parity(dumps, case):
    files = sorted(dumps.glob(f"{case}-*.safetensors"))
    assert "reference" in "".join(map(str, files))
    for path in files:
        tensors, meta = read_safetensors(path)
        weights = {name[2:]: torch.tensor(t.astype(np.float64)) for name, t in tensors.items() if name[:2] == "w."}
        trained = {n: t for n, t in weights.items() if ".moving" not in n}
        for t in trained.values():
            t.requires_grad_()
        x = torch.tensor(tensors["input"].astype(np.float64))

        last, before, _ = run(meta["net"], weights, x, False)
        assert distance(tensors["output"], last) < TOLERANCE, path.name
        loss = loss_of(meta, tensors, last, before).item()
        assert float(meta["loss_value"]) == pytest.approx(loss, rel=TOLERANCE), path.name

        last, before, moved = run(meta["net"], weights, x, True)
        loss = loss_of(meta, tensors, last, before)
        assert float(meta["train_loss"]) == pytest.approx(loss.item(), rel=TOLERANCE), path.name
        loss.backward()
        largest = max(t.grad.abs().max().item() for t in trained.values())
        for name, t in trained.items():
            ours, theirs = tensors["g." + name], t.grad.numpy()
            scale = max(np.abs(theirs).max(), largest / 100)  # a bias before a batch_norm has only rounding
            assert np.abs(ours - theirs).max() / scale < TOLERANCE, f"{path.name}: gradient of {name}"
            after = t - 0.05 * t.grad
            assert distance(tensors["after." + name], after) < TOLERANCE, f"{path.name}: {name} after a step"
        for name, t in moved.items():
            assert distance(tensors["after." + name], t) < TOLERANCE, f"{path.name}: {name} after a step"
