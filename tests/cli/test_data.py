"""Training on data of every form, and the `data` command."""
import json

import numpy as np
import pytest
from PIL import Image

TWO = """network Two {
  input: { image: (4, 4, 1) age: (1,) }
  layers: image: { Flatten() Dense(4) } age: { Dense(4) } Add() Output(2, activation="softmax")
  loss: "sparse_categorical_crossentropy"
  optimizer: Adam(learning_rate=0.05)
  train { epochs: 12 batch_size: 16 validation_split: 0 }
}
"""


def two_arrays(rows, scale):
    rng = np.random.default_rng(5)
    age, image = rng.normal(size=rows).astype("f4"), rng.random((rows, 4, 4)).astype("f4") * scale
    return age, image, ((image.mean((1, 2)) / scale - 0.5) * 8 + age > 0).astype("i8")  # neither input tells it alone


def test_two_inputs_are_matched_by_name(neural, tmp_path):
    (tmp_path / "two.neural").write_text(TWO)
    age, image, y = two_arrays(400, 1)
    np.savez(tmp_path / "two.npz", age=age, image=image, y=y)
    r = neural("train", "two.neural", "--data", "two.npz", "-o", "m.safetensors", "--seed", 3, "--threads", 1, "--json", "--engine", "reference")
    assert r.code == 0, r
    assert json.loads(r.out.splitlines()[-1])["test_accuracy"] > 0.9
    r = neural("predict", "m.safetensors", "--data", "two.npz", "--limit", 80)
    assert r.code == 0 and int(r.out.split()[-4]) > 72, r


def test_an_input_without_samples_is_named(neural, tmp_path):
    (tmp_path / "two.neural").write_text(TWO)
    age, image, y = two_arrays(40, 1)
    np.savez(tmp_path / "two.npz", years=age, image=image, y=y)
    r = neural("train", "two.neural", "--data", "two.npz")
    assert r.code != 0 and "'age'" in r.err and "image, years" in r.err, r


def test_bytes_beside_floats_need_one_scale(neural, tmp_path):
    (tmp_path / "two.neural").write_text(TWO)
    age, image, y = two_arrays(40, 255)
    np.savez(tmp_path / "two.npz", age=age, image=image.astype("u1"), y=y)
    r = neural("train", "two.neural", "--data", "two.npz")
    assert r.code != 0 and "one scale" in r.err, r


def test_folder_of_images_is_trained_on(neural, net, tmp_path):
    rng = np.random.default_rng(1)
    for i in range(90):
        folder = tmp_path / "pictures" / "abc"[i % 3]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 90, (8, 8), dtype="u1")
        pixels[:, 3 * (i % 3):3 * (i % 3) + 2] += 150
        Image.fromarray(pixels).save(folder / f"{i}.png")
    out = {}
    for memory in "8G", "1K":  # decoded once, or when a batch needs them
        r = neural("train", net, "--data", f"pictures:size=4x4,memory={memory}", "-o", "m.safetensors", "--seed", 3, "--threads", 1, "--epochs", 40, "--json")
        assert r.code == 0, r
        out[memory] = json.loads(r.out.splitlines()[-1])
    assert out["8G"]["test_accuracy"] > 0.9 and out["8G"]["loss"] == out["1K"]["loss"]
    both = json.loads(neural("data", "info", "pictures:size=4x4", "--json").out)
    assert both["train"]["class_names"] == ["a", "b", "c"] and both["train"]["shape"] == [4, 4, 1] and both["test"]["rows"] == 18


CHARS = """network Chars {
  input: (8,)
  layers: Embedding(VOCAB, 6) Flatten() Dense(32, activation="relu") Output(VOCAB, activation="softmax")
  loss: "sparse_categorical_crossentropy"
  optimizer: Adam(learning_rate=0.01)
  train { epochs: 15 batch_size: 32 }
}
"""


@pytest.mark.parametrize("options, tokens", [("", 8), ("vocabulary=bpe,size=258,", 258)])
def test_text_predicts_its_next_token(neural, tmp_path, options, tokens):
    (tmp_path / "verse.txt").write_text("abcd efg" * 200)
    (tmp_path / "chars.neural").write_text(CHARS.replace("VOCAB", str(tokens)))
    r = neural("train", "chars.neural", "--data", f"verse.txt:{options}steps=8,stride=1", "-o", "m.safetensors", "--seed", 3, "--threads", 1, "--json")
    assert r.code == 0, r
    assert json.loads(r.out.splitlines()[-1])["test_accuracy"] == 1
    blob = (tmp_path / "m.safetensors").read_bytes()
    header = json.loads(blob[8:8 + int.from_bytes(blob[:8], "little")])["__metadata__"]
    text = json.dumps(header)
    assert ("characters" if not options else "merges") in text  # the vocabulary is kept with the model


def test_text_answers_at_every_step(neural, tmp_path):
    (tmp_path / "verse.txt").write_text("abcd efg" * 200)
    (tmp_path / "steps.neural").write_text("""network Steps {
      input: (6,)
      layers: Embedding(8, 8) LSTM(16, return_sequences=true) Output(8, activation="softmax")
      loss: "sparse_categorical_crossentropy"
      optimizer: Adam(learning_rate=0.02)
      train { epochs: 6 batch_size: 32 }
    }""")
    r = neural("train", "steps.neural", "--data", "verse.txt:steps=6,stride=3", "-o", "m.safetensors", "--seed", 3, "--threads", 1, "--json")
    assert r.code == 0, r
    assert json.loads(r.out.splitlines()[-1])["test_accuracy"] > 0.99  # every letter tells the next
    r = neural("train", "steps.neural", "--data", "verse.txt:steps=5")
    assert r.code != 0 and "(5,)" in r.err
    text = (tmp_path / "steps.neural").read_text()
    (tmp_path / "weighed.neural").write_text(text.replace("epochs: 6", 'epochs: 6 class_weight: "balanced"'))
    r = neural("train", "weighed.neural", "--data", "verse.txt:steps=6")
    assert r.code != 0 and "class_weight" in r.err and "6 places" in r.err
