"""Fixtures of the command-line tests: the binary under test ($NEURAL_BIN) and a way to run it."""
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = os.environ.get("NEURAL_BIN", str(ROOT / "build/release/neural"))

NET = """network Tiny {
  input: (4, 4, 1)
  layers:
    Flatten()
    Dense(8, activation="relu")
    Output(3, activation="softmax")
  loss: "sparse_categorical_crossentropy"
  optimizer: Adam(learning_rate=0.01)
  train { epochs: 2 batch_size: 16 }
}
"""


class Result:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def __repr__(self):
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


@pytest.fixture
def neural(tmp_path):
    """neural("check", "net.neural", …) runs in an empty directory and returns .code, .out, .err (text)."""
    def run(*args, input=None, env=None, timeout=100, text=True):
        return Result(subprocess.run([BIN, *map(str, args)], cwd=tmp_path, capture_output=True, text=text, timeout=timeout,
                                     input=input, stdin=subprocess.DEVNULL if input is None else None,
                                     env=dict(os.environ, **(env or {}))))
    return run


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net.neural"
    path.write_text(NET)
    return path
