"""debug, profile and what train says about its health; debug's numbers against PyTorch's autograd."""
import json
import struct

import numpy as np
import pytest

NET = """network D {
  input: (8)
  layers:
    Dense(6, activation="relu")
    Dense(5, activation="tanh")
    Output(3, activation="softmax")
  loss: sparse_categorical_crossentropy
  optimizer: SGD(learning_rate=0.1)
  train { batch_size: 16 dataset: "d.npz" }
}
"""
DEEP = """network Deep {
  input: (8)
  layers: Dense(8, "sigmoid")*12 Output(3, "softmax")
  loss: sparse_categorical_crossentropy
  train { epochs: 2 dataset: "synthetic:rows=200,classes=3,shape=8" }
}
"""


def tensors(path):
    raw = path.read_bytes()
    (n,) = struct.unpack("<Q", raw[:8])
    head = json.loads(raw[8:8 + n])
    head.pop("__metadata__", None)
    return {k: np.frombuffer(raw[8 + n:], "<f4")[v["data_offsets"][0] // 4:v["data_offsets"][1] // 4].reshape(v["shape"])
            for k, v in head.items()}


@pytest.fixture
def d(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x=rng.normal(size=(100, 8)).astype("f4"), y=rng.integers(0, 3, 100))
    (tmp_path / "d.neural").write_text(NET)
    return tmp_path


def forward(torch, t, x):
    """By name: the values of the layers, as PyTorch computes them from the saved weights."""
    w = {k[7:]: torch.tensor(v.copy(), requires_grad=True) for k, v in t.items() if k.startswith("weight/")}
    a = torch.relu(x @ w["dense_1.kernel"] + w["dense_1.bias"])
    b = torch.tanh(a @ w["dense_2.kernel"] + w["dense_2.bias"])
    z = b @ w["output.kernel"] + w["output.bias"]
    for v in (a, b):
        v.retain_grad()
    return w, a, b, z


def test_debug_as_autograd_has_it(neural, d):
    torch = pytest.importorskip("torch")
    r = neural("debug", "d.neural", "--stop-at", 2, "--save", "s.safetensors", "--json")
    assert r.code == 0, r
    (line,) = r.out.splitlines()
    step = json.loads(line)
    t = tensors(d / "s.safetensors")
    x = torch.tensor(t["activation/input"].copy())
    data = np.load(d / "d.npz")
    rows = [int(np.argmin(np.abs(data["x"] - row).sum(1))) for row in x.numpy()]
    w, a, b, z = forward(torch, t, x)
    loss = torch.nn.functional.cross_entropy(z, torch.tensor(data["y"][rows]))
    loss.backward()
    assert abs(step["loss"] - loss.item()) < 1e-5
    by_layer = {n["layer"]: n for n in step["nodes"]}
    for name, value in (("dense_1", a), ("dense_2", b)):
        for kind, want in (("activation", value.detach()), ("gradient", value.grad)):
            got = by_layer[name][kind]
            for key, number in (("min", want.min()), ("max", want.max()), ("mean", want.mean()),
                                ("std", want.std(unbiased=False)), ("norm", want.norm()), ("zeros", (want == 0).float().mean())):
                assert abs(got[key] - number.item()) < 1e-5, (name, kind, key)
            assert sum(got["histogram"]) == got["n"] == want.numel()
    for name, v in w.items():
        np.testing.assert_allclose(t["weight_gradient/" + name], v.grad.numpy(), atol=1e-6)
        (row,) = [x for x in step["weights"] if x["weight"] == name]
        want = 0.1 * v.grad.norm() / v.detach().norm()  # SGD
        assert abs(row["update_ratio"] - want.item()) < 1e-4 * max(1, want.item())


def test_debug_steps_are_those_of_train(neural, d):
    r = neural("debug", "d.neural", "--steps", 5, "--json", "--seed", 5)
    losses = [json.loads(x)["loss"] for x in r.out.splitlines()]
    assert len(losses) == 5
    t = neural("train", "d.neural", "-e", 1, "-s", 5, "--engine", "reference", "--json", "-o", "m.safetensors")
    (epoch,) = [e for e in map(json.loads, t.out.splitlines()) if e["type"] == "epoch"]
    assert epoch["loss"] == pytest.approx(sum(losses) / 5, rel=1e-9)  # 80 rows: a fifth is the test part
    native = neural("debug", "d.neural", "--steps", 5, "--json", "--seed", 5, "--engine", "native")
    for a, b in zip(losses, (json.loads(x)["loss"] for x in native.out.splitlines())):
        assert abs(a - b) < 1e-4


def test_debug_prints_a_table(neural, d):
    r = neural("debug", "d.neural")
    assert r.code == 0 and "activations" in r.out and "gradients of the outputs" in r.out and "update / weight" in r.out
    one = neural("debug", "d.neural", "--layer", "dense_1")
    assert "dense_1.kernel" in one.out and "dense_2" not in one.out


@pytest.mark.parametrize("args, says", [
    (["--layer", "nope"], "there is no such layer"),
    (["--save", "x.npz"], ".safetensors"),
    (["--save", "/nowhere/x.safetensors"], "/nowhere"),
    (["--steps", 0], "--steps"),
    (["--steps", 2, "--stop-at", 2], "one of them"),
    (["--data", "nothing.csv"], "nothing.csv"),
    (["--data", "synthetic:classes=7,shape=8"], "7 classes"),
])
def test_debug_refuses(neural, d, args, says):
    r = neural("debug", "d.neural", *args)
    assert r.code != 0 and says in r.err, r


def test_debug_shows_the_step_that_is_not_finite(neural, d):
    (d / "inf.neural").write_text(NET.replace("0.1", "1e38").replace("tanh", "relu"))
    r = neural("debug", "inf.neural", "--steps", 9, "--json")
    last = json.loads(r.out.splitlines()[-1])
    assert r.code != 0 and "not finite" in r.err and "layer" in r.err
    assert not last["finite"] and len(r.out.splitlines()) < 9


def test_profile(neural, d):
    r = neural("profile", "d.neural", "--training", "--batch", 8, "--runs", 3, "--json")
    assert r.code == 0, r
    p = json.loads(r.out)
    assert (p["batch"], p["runs"], p["training"], p["engine"]) == (8, 3, True, "native") and p["threads"] >= 1
    # the first layer's input wants no gradient
    assert p["flops"] == 8 * 2 * (2 * 8 * 6 + 3 * 6 * 5 + 3 * 5 * 3)
    assert sum(x["seconds"] for x in p["rows"]) == pytest.approx(p["sum_s"]) and p["whole_s"] > 0
    assert any((x["layers"] or "").startswith("dense_1") and x["line"] == 4 for x in p["rows"])
    text = neural("profile", "d.neural", "--threads", 1, "--runs", 2)
    assert "1 thread," in text.out and "nobody looks at" in text.out and "of peak" in text.out


@pytest.mark.parametrize("args, says", [(["nowhere.neural"], "nowhere.neural"), (["d.neural", "--batch", 0], "--batch"),
                                        (["d.neural", "--engine", "warp"], "--engine")])
def test_profile_refuses(neural, d, args, says):
    r = neural("profile", *args)
    assert r.code != 0 and says in r.err, r


def test_train_says_what_is_wrong(neural, tmp_path):
    (tmp_path / "deep.neural").write_text(DEEP)
    r = neural("train", "deep.neural", "-s", 1, "-o", "m.safetensors")
    (line,) = [x for x in r.err.splitlines() if x.startswith("health:")]
    assert "gradient of 'dense_1'" in line and "(line 3)" in line and "relu" in line
    r = neural("train", "deep.neural", "-s", 1, "-o", "m.safetensors", "--json")
    (event,) = [json.loads(x) for x in r.out.splitlines() if '"health"' in x]
    assert (event["rule"], event["layer"], event["line"], event["epoch"]) == ("gradient-vanishes", "dense_1", 3, 1)


def test_train_weighs_classes(neural, tmp_path, net):
    net.write_text(net.read_text().replace("batch_size: 16", "batch_size: 16 class_weight: [1, 0, 0]"))
    r = neural("train", "net.neural", "-d", "synthetic:rows=300,classes=3,shape=4x4x1", "-e", 8, "-s", 1, "-o", "m.safetensors", "--json")
    result = json.loads(r.out.splitlines()[-1])
    assert result["loss"] < 0.05 and 0.2 < result["test_accuracy"] < 0.5  # only class 0 is learnt
    c = neural("compile", "net.neural", "-b", "pytorch", "-o", "p.py")
    assert c.code != 0 and "class_weight" in c.err


CTC = """network C {
  input: (9, 4)
  layers: Dense(7, activation="tanh") Dense(5, activation="softmax")
  loss: ctc(blank=2)
  optimizer: Adam(learning_rate=0.02)
  metrics: [accuracy]
  train { batch_size: 10 epochs: 60 dataset: "c.npz" }
}
"""


@pytest.fixture
def c(tmp_path):
    """Sequences of 0 to 4 classes, with repeats; the samples show them, two steps each, so that they can be learnt."""
    rng = np.random.default_rng(3)
    x, y = np.zeros((60, 9, 4), "f4"), np.full((60, 4), -1)
    for i in range(60):
        n = rng.integers(0, 5)
        y[i, :n] = rng.choice([0, 1, 3, 4], n)
        for k in range(n):
            x[i, 2 * k, [0, 1, 3, 4].index(y[i, k])] = 1
    np.savez(tmp_path / "c.npz", x_train=x, y_train=y, x_test=x[:20], y_test=y[:20])
    (tmp_path / "c.neural").write_text(CTC)
    return tmp_path


@pytest.mark.parametrize("engine", ["reference", "native"])
def test_ctc_as_torch_has_it(neural, c, engine):
    torch = pytest.importorskip("torch")
    r = neural("debug", "c.neural", "--stop-at", 3, "--save", "s.safetensors", "--json", "--engine", engine)
    assert r.code == 0, r
    t, step = tensors(c / "s.safetensors"), json.loads(r.out)
    w = {k[7:]: torch.tensor(v.astype("f8"), requires_grad=True) for k, v in t.items() if k.startswith("weight/")}
    x = torch.tensor(t["activation/input"].astype("f8"))
    z = torch.tanh(x @ w["dense_1.kernel"] + w["dense_1.bias"]) @ w["dense_2.kernel"] + w["dense_2.bias"]
    data = np.load(c / "c.npz")
    rows = [int(np.abs(data["x_train"] - row).sum((1, 2)).argmin()) for row in x.numpy()]
    y = torch.tensor(data["y_train"][rows])
    lengths = (y >= 0).sum(1)
    assert lengths.min() < lengths.max()
    loss = torch.nn.functional.ctc_loss(z.log_softmax(-1).transpose(0, 1), y.clamp(min=0), torch.full((10,), 9), lengths, blank=2,
                                        reduction="none").mean()
    loss.backward()
    assert step["loss"] == pytest.approx(loss.item(), rel=1e-5)
    for name, v in w.items():
        np.testing.assert_allclose(t["weight_gradient/" + name], v.grad.numpy(), atol=2e-6)


def test_ctc_is_learnt(neural, c):
    r = neural("train", "c.neural", "-s", 1, "-o", "m.safetensors", "--json")
    result = json.loads(r.out.splitlines()[-1])
    assert r.code == 0 and result["test_accuracy"] > 0.9 and result["test_loss"] < 0.5, r
    assert neural("profile", "c.neural", "--training", "--runs", 2).code == 0


@pytest.mark.parametrize("y, says", [
    ([[0, 1, 1, 1]] * 20, "takes"), ([[0, -1, 1, -1]] * 20, "padding"), ([[0, 5, -1, -1]] * 20, "0 to 4"), ([0, 1] * 10, "padded with -1")])
def test_ctc_refuses(neural, c, y, says):
    np.savez(c / "bad.npz", x=np.zeros((20, 5, 4), "f4"), y=np.array(y))
    (c / "c.neural").write_text(CTC.replace("(9, 4)", "(5, 4)"))
    r = neural("train", "c.neural", "-d", "bad.npz", "-o", "m.safetensors")
    assert r.code != 0 and says in r.err, r


def test_ctc_measures_accuracy_only(neural, c):
    (c / "c.neural").write_text(CTC.replace("[accuracy]", "[auc]"))
    r = neural("train", "c.neural", "-o", "m.safetensors")
    assert r.code != 0 and "ctc" in r.err, r
    (c / "c.neural").write_text(CTC.replace("blank=2", "blank=9"))
    assert "blank" in neural("train", "c.neural", "-o", "m.safetensors").err
