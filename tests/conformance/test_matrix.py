# SPDX-License-Identifier: MIT
"""Every op of every backend: the matrix of matrix.py has no cell without proof or reason, and nothing in it differs."""
import matrix as conformance
import pytest

TABLE = conformance.Matrix()


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return conformance.chunks(conformance.write_cases(tmp_path_factory.mktemp("cases")), 25)


@pytest.mark.parametrize("part", range(24))
def test_networks_agree(cases, part):
    """A network that one backend computes otherwise than the reference engine fails here, with the layer."""
    if part == 23:
        assert len(cases) == 24
    for result in conformance.verify(cases[part]):
        TABLE.add(result)
        for b in result.get("backends", []):
            assert b["status"] in ("agrees", "skipped"), (result["file"], b)
            assert b["status"] == "agrees" or b["reason"], (result["file"], b)


def test_every_cell_has_proof_or_reason():
    assert TABLE.cases > 590
    assert TABLE.bad() == []
    assert {b for _, b in TABLE.agree} >= {"reference", "native", "pytorch"}
