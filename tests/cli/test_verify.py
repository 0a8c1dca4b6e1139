# SPDX-License-Identifier: MIT
"""verify from the outside, and the reference engine in place of native where that lacks an op. What is compared comes from
PyTorch (run by verify itself, or here) or is made wrong on purpose."""
import json
import os
import struct

import pytest

RNN = """network R { input: (6, 3)
  layers: LSTM(5) Dense(2, activation="softmax")
  loss: sparse_categorical_crossentropy
  optimizer: Adam(learning_rate=0.02)
  train { epochs: 3 batch_size: 16 } }"""
CONV = """network C { input: (8, 8, 2)
  layers: Conv2D(4, 3, activation="relu") BatchNormalization() Flatten() Dense(5, activation="tanh") Dense(3, activation="sigmoid")
  loss: mse }"""
np = pytest.importorskip("numpy")


@pytest.fixture
def sequences(tmp_path):
    r = np.random.default_rng(0)
    x = r.normal(size=(160, 6, 3)).astype("f4")
    np.savez(tmp_path / "seq.npz", x=x, y=(x.sum((1, 2)) > 0).astype("i8"))
    np.save(tmp_path / "rows.npy", x[:3])
    (tmp_path / "r.neural").write_text(RNN)
    return x


def metadata(path):
    raw = path.read_bytes()
    size, = struct.unpack_from("<Q", raw)
    return json.loads(raw[8:8 + size])["__metadata__"]


def results(done):
    return {b["name"]: b for b in json.loads(done.out)["backends"]}


# ---- the engine that is taken ----

def test_native_trains_and_runs_sequences(neural, sequences):
    done = neural("train", "r.neural", "--data", "seq.npz", "--seed", "1", "--json")
    assert done.code == 0 and "warning" not in done.err, done
    result = json.loads(done.out.splitlines()[-1])
    assert result["engine"] == "native" and result["accuracy"] > 0.8
    done = neural("predict", "r.safetensors", "--data", "seq.npz", "--limit", "3", "--json")
    assert done.code == 0 and done.err == "" and len(json.loads(done.out)) == 3, done


def test_native_is_taken_without_a_word_where_it_runs_all(neural, net):
    done = neural("train", net, "--data", "synthetic", "--json")
    if done.code == 0:
        assert "warning" not in done.err and json.loads(done.out.splitlines()[-1])["engine"] == "native"
    else:
        assert "do not fit" in done.err, done


def test_rows_from_npy_are_those_of_json(neural, sequences, tmp_path):
    assert neural("train", "r.neural", "--data", "seq.npz").code == 0
    (tmp_path / "rows.json").write_text(json.dumps(sequences[:3].tolist()))
    a, b = (neural("predict", "r.safetensors", "--input", f, "--json") for f in ("rows.npy", "rows.json"))
    assert a.code == b.code == 0 and a.out == b.out
    np.save(tmp_path / "bad.npy", np.zeros((3, 5)))
    done = neural("predict", "r.safetensors", "--input", "bad.npy")
    assert done.code == 1 and "15 numbers in 3 rows, expected rows of (6, 3)" in done.err, done


# ---- verify ----

def test_networks_agree(neural, tmp_path):
    (tmp_path / "c.neural").write_text(CONV)
    done = neural("verify", "c.neural", "--json", "--batch", "5", "--seed", "3")
    assert done.code == 0, done
    o = json.loads(done.out)
    by = results(done)
    assert (o["rows"], o["seed"], o["verdict"], o["yardstick"]) == (5, 3, "agrees", "reference")
    assert o["ops"]["conv"] == 1 and o["ops"]["matmul"] == 2
    for name in ("reference", "native", "pytorch"):
        assert by[name]["status"] == "agrees", by[name]
        assert 0 < by[name]["outputs"][0]["relative_l2"] < 5e-5 and by[name]["version"]
    assert "torch" in by["pytorch"]["version"]
    assert neural("verify", "c.neural", "--json", "--batch", "5", "--seed", "3", "--backends", "native,reference").code == 0


def test_weights_that_begin_at_one_number_are_moved(neural, tmp_path):
    """A lost bias must show: with zeros it would not."""
    (tmp_path / "d.neural").write_text("network D { input: (3,) layers: Dense(4) loss: mse }")
    a = neural("verify", "d.neural", "--json", "--backends", "pytorch", env={"PYTHONPATH": wrong(tmp_path, """
import torch.nn as nn
old = nn.Linear.forward
nn.Linear.forward = lambda self, x: old(self, x) - self.bias
""")})
    assert a.code == 1 and results(a)["pytorch"]["status"] == "differs", a


def wrong(tmp_path, code):
    """A folder for PYTHONPATH with a torch that computes something else."""
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong/sitecustomize.py").write_text(code)
    return str(tmp_path / "wrong")


RELU = """
import torch.nn.functional as F
old = F.relu
F.relu = lambda x, **more: old(x, **more) * (1 + {by})
"""


def test_a_difference_is_found_with_its_layer(neural, tmp_path):
    (tmp_path / "c.neural").write_text(CONV)
    env = {"PYTHONPATH": wrong(tmp_path, RELU.format(by=1e-3))}
    done = neural("verify", "c.neural", "--backends", "native,pytorch", "--json", env=env)
    assert done.code == 1 and json.loads(done.out)["verdict"] == "differs", done
    by = results(done)
    assert by["native"]["status"] == "agrees" and by["pytorch"]["status"] == "differs"
    worst = by["pytorch"]["outputs"][0]["worst"]
    assert worst["difference"] == pytest.approx(abs(worst["got"] - worst["want"]))
    first = by["pytorch"]["first_difference"]
    assert (first["name"], first["op"]) == ("conv2d_1", "activation")
    assert first["relative_l2"] == pytest.approx(1e-3, rel=1e-2)
    text = neural("verify", "c.neural", "--backends", "pytorch", env=env)
    assert text.code == 1 and "differs" in text.out and "not those of the reference engine" in text.err


def test_the_tolerance(neural, tmp_path):
    (tmp_path / "c.neural").write_text(CONV)
    env = {"PYTHONPATH": wrong(tmp_path, RELU.format(by=1e-6))}
    assert neural("verify", "c.neural", "--backends", "pytorch", env=env).code == 0


def test_a_program_that_breaks_has_failed(neural, tmp_path):
    (tmp_path / "c.neural").write_text(CONV)
    env = {"PYTHONPATH": wrong(tmp_path, "import torch.nn as nn\nnn.Conv2d.forward = None\n")}
    done = neural("verify", "c.neural", "--backends", "pytorch", "--json", env=env)
    assert done.code == 1 and results(done)["pytorch"]["status"] == "failed", done
    assert "TypeError" in results(done)["pytorch"]["reason"]


def test_what_is_not_there_is_skipped_and_never_passed(neural, tmp_path):
    (tmp_path / "c.neural").write_text(CONV)
    done = neural("verify", "c.neural", "--json", env={"PATH": "/nowhere", "NODE_PATH": ""})
    by = results(done)
    assert done.code == 0 and by["native"]["status"] == "agrees"
    for name in ("onnx", "tfjs"):
        assert by[name]["status"] == "skipped" and by[name]["reason"] and "outputs" not in by[name], by[name]
    done = neural("verify", "c.neural", "--backends", "onnx", "--json", env={"PATH": "/nowhere", "NODE_PATH": ""})
    assert done.code == 3 and json.loads(done.out)["verdict"] == "skipped", done
    assert "nothing was compared" in done.err


def test_layers(neural, tmp_path):
    (tmp_path / "c.neural").write_text(CONV)
    done = neural("verify", "c.neural", "--backends", "native", "--layers", "--json")
    layers = results(done)["native"]["layers"]
    assert [n["op"] for n in layers] == ["conv", "activation", "batch_norm", "reshape", "matmul", "activation", "matmul", "activation"]
    assert all(0 <= n["relative_l2"] < 5e-5 for n in layers)


def test_the_certificate_stays_with_the_weights(neural, sequences, tmp_path):
    assert neural("train", "r.neural", "--data", "seq.npz", "--seed", "1").code == 0
    path, before = tmp_path / "r.safetensors", (tmp_path / "r.safetensors").read_bytes()
    args = ("verify", "r.safetensors", "--backends", "reference,native,pytorch", "--seed", "5")
    neural(*args, "--dry-run")
    assert path.read_bytes() == before and "certificate" not in metadata(path)
    predicted = neural("predict", "r.safetensors", "--input", "rows.npy", "--json").out
    neural(*args)
    made = json.loads(metadata(path)["certificate"])
    assert made["seed"] == 5 and made["neural"] and made["verified_at"] and made["weights"] == "the model's"
    assert [b["name"] for b in made["backends"]] == ["reference", "native", "pytorch"]
    assert made["backends"][1]["status"] == "agrees"
    assert {k: v for k, v in metadata(path).items() if k != "certificate"} == {
        k: v for k, v in json.loads(before[8:8 + struct.unpack_from("<Q", before)[0]])["__metadata__"].items()}
    assert neural("predict", "r.safetensors", "--input", "rows.npy", "--json").out == predicted
    kept = json.loads(neural("verify", "r.safetensors", "--show").out)
    assert kept.pop("file") == "r.safetensors" and kept == made
    (tmp_path / "old.safetensors").write_bytes(before)
    assert neural("verify", "old.safetensors", "--show").code == 3 and neural("verify", "r.neural", "--show").code == 2
    shown = neural("verify", "r.safetensors", "--json", "--dry-run", "--backends", "reference")
    assert json.loads(shown.out)["weights"] == "the model's"


def test_several_files_a_line_each(neural, tmp_path):
    (tmp_path / "c.neural").write_text(CONV)
    (tmp_path / "bad.neural").write_text("network B { input: (3,) layers: Nonsense(4) }")
    (tmp_path / "lambda.neural").write_text('network L { input: (3,) layers: Lambda("x", output_shape=3) }')
    done = neural("verify", "c.neural", "bad.neural", "lambda.neural", "c.neural", "--backends", "native", "--json")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [o["file"] for o in lines] == ["c.neural", "bad.neural", "lambda.neural", "c.neural"]
    assert "error" in lines[1] and "no engine can run it" in lines[2]["error"] and lines[3]["verdict"] == "agrees"
    assert done.code != 0


@pytest.mark.parametrize("args,said", [(("--backends", "nonsense"), "is not known"), (("--backends", ","), "is not known"),
                                       (("--batch", "0"), "--batch"), (("--seed", "-1"), "--seed")])
def test_usage(neural, tmp_path, args, said):
    (tmp_path / "c.neural").write_text(CONV)
    done = neural("verify", "c.neural", *args)
    assert done.code == 2 and said in done.err, done


def test_nothing_is_left_behind(neural, tmp_path):
    (tmp_path / "c.neural").write_text(CONV)
    (tmp_path / "tmp").mkdir()
    assert neural("verify", "c.neural", "--backends", "pytorch", env={"TMPDIR": str(tmp_path / "tmp")}).code == 0
    assert os.listdir(tmp_path / "tmp") == []
