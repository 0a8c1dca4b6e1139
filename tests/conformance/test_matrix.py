# SPDX-License-Identifier: MIT
"""Every op of every backend: the matrix of matrix.py has no cell without proof or reason, and nothing in it differs."""
import pathlib

import matrix as conformance
import pytest

TABLE = conformance.Matrix()


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return conformance.chunks(conformance.write_cases(tmp_path_factory.mktemp("cases")), 25)


def check(name, b):
    assert b["status"] in ("agrees", "skipped"), (name, b)
    assert b["status"] == "agrees" or b["reason"], (name, b)


@pytest.mark.parametrize("part", range(24))
def test_networks_agree(cases, part):
    """A network that one backend computes otherwise than the reference engine fails here, with the layer."""
    if part == 23:
        assert len(cases) == 24
    results = conformance.verify(cases[part])
    for result in results:
        TABLE.add(result)
    for result in results:
        for b in result.get("backends", []):
            check(pathlib.Path(result["file"]).stem, b)


def test_every_cell_has_proof_or_reason():
    assert TABLE.cases > 590
    assert TABLE.bad() == []
    proven = {b for _, b in TABLE.agree}
    assert proven >= {"reference", "native", "pytorch"}
    for name, package in (("onnx", "onnxruntime-node"), ("tfjs", "@tensorflow/tfjs")):
        assert name in proven or not (conformance.ROOT / "tests/node/node_modules" / package).exists()
