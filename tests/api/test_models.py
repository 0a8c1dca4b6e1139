"""Models of the store: added and verified from the command line beside the running server, shown and asked over HTTP."""
import concurrent.futures
import json
import subprocess

import pytest

from harness import BIN, KEY
from test_service import NOBODY, Face

np = pytest.importorskip("numpy")
TWO = """network Two { input: { image: (4, 3) mask: (4,) } layers:
  Flatten(inputs=[image], name="f") Concatenate(inputs=[f, mask], name="c") Dense(5, "tanh", inputs=[c], name="d")
  a: { Output(2, name="classes") } b: { Dense(6) Reshape((2, 3), name="grid") } }"""
# A weight of 64 KiB, so that the file is no small change.
PLAIN = 'network Plain { input: (128,) layers: Dense(128, "relu") Output(3, "softmax", name="y") }'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def main_face(start):
    return Face(start("--queue.workers", "2", "--engine.threads", "1"))


@pytest.fixture
def face(main_face):
    yield main_face
    main_face.alive()


def neural(folder, *args, code=0):
    done = subprocess.run([BIN, *map(str, args)], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, (args, done.stdout, done.stderr)
    return done.stdout, done.stderr


def stored(face, folder, verb, *args, code=0):
    """`neural model VERB … --json` on the server's own store."""
    out, err = neural(folder, "model", verb, *args, "--json", "--storage", face.server.folder / "storage", code=code)
    return json.loads(out) if out else err


def weights(folder, text, name):
    """A model file with initial weights: ONNX and back."""
    (folder / f"{name}.neural").write_text(text)
    neural(folder, "compile", f"{name}.neural", "--backend", "onnx", "-o", f"{name}.onnx")
    neural(folder, "import", f"{name}.onnx", "-o", f"{name}.safetensors")
    return folder / f"{name}.safetensors"


@pytest.fixture(scope="module")
def two(main_face, folder):
    weights(folder, TWO, "two")
    return stored(main_face, folder, "add", "two.safetensors", "--name", "two")["model_id"]


@pytest.fixture(scope="module")
def asked(main_face, two):
    """Asks the deployed model."""
    id_ = main_face.deploy("two", two)

    def ask(status=200, **body):
        return main_face.json("POST", f"/api/v1/deployments/{id_}/predict", body, status)
    return ask


def draw(rows, seed=0):
    r = np.random.default_rng(seed)
    return {"image": r.normal(size=(rows, 4, 3)).tolist(), "mask": r.normal(size=(rows, 4)).tolist()}


def reference(folder, inputs):
    """What the reference engine says on the command line: {output: rows, flat}."""
    (folder / "rows.json").write_text(json.dumps(inputs))
    out, _ = neural(folder, "predict", "two.safetensors", "--engine", "reference", "--input", "rows.json", "--json")
    rows = [r["outputs"] for r in json.loads(out)]
    return {name: np.array([r[name] for r in rows]) for name in rows[0]}


def close(answer, want, rows):
    for name, got in answer["outputs"].items():
        assert np.allclose(np.array(got).reshape(rows, -1), want[name], rtol=0, atol=1e-5), name


# ---- several inputs and outputs ----

def test_predict(asked, folder):
    inputs = draw(5)
    want = reference(folder, inputs)
    assert sorted(want) == ["classes", "grid"]
    answer = asked(inputs=inputs, top_k=1)
    assert list(answer["outputs"]) == ["classes", "grid"] and answer["predictions"] == answer["outputs"]["classes"]
    assert np.array(answer["outputs"]["grid"]).shape == (5, 2, 3)
    close(answer, want, 5)
    assert [t[0]["class"] for t in answer["top"]] == [str(i) for i in want["classes"].argmax(1)]
    only = asked(inputs=inputs, outputs=["grid"])
    assert list(only["outputs"]) == ["grid"] and only["predictions"] == only["outputs"]["grid"] == answer["outputs"]["grid"]
    turned = asked(instances=dict(reversed(inputs.items())), outputs=["grid", "classes"])
    assert list(turned["outputs"]) == ["grid", "classes"] and turned["outputs"]["classes"] == answer["outputs"]["classes"]
    one = asked(inputs={k: v[0] for k, v in inputs.items()})
    assert np.allclose(one["predictions"], answer["predictions"][:1], atol=1e-6)


def test_more_rows_than_a_batch(asked, folder):
    inputs = draw(75, seed=1)
    close(asked(inputs=inputs), reference(folder, inputs), 75)


def test_requests_that_run_together(asked, folder):
    """Many at once get their own rows back."""
    inputs = draw(48, seed=2)
    want = reference(folder, inputs)

    def ask(i):
        n = 1 + i % 3
        return i, n, asked(inputs={k: v[i:i + n] for k, v in inputs.items()})
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for i, n, answer in pool.map(ask, range(45)):
            close(answer, {k: v[i:i + n] for k, v in want.items()}, n)


GOOD = draw(2)


@pytest.mark.parametrize("body, field, fragment", [
    ({"inputs": GOOD["image"]}, "inputs", "expected an object with the rows of 'image', 'mask'"),
    ({"inputs": {}}, "inputs.image", "is required"),
    ({"inputs": {"image": GOOD["image"]}}, "inputs.mask", "is required"),
    ({"inputs": {**GOOD, "masc": 1}}, "inputs.masc", "is not an input of this model, which has 'image', 'mask'"),
    ({"inputs": {**GOOD, "mask": GOOD["mask"][:1]}}, "inputs.mask", "has 1 rows, 'image' has 2"),
    ({"inputs": {**GOOD, "mask": [[1, 2, 3, 4], [1, 2, 3]]}}, "inputs.mask.1", "has 3 elements, expected 4"),
    ({"inputs": {**GOOD, "mask": [[1, 2, 3, 4], [1, 2, "x", 4]]}}, "inputs.mask.1.2", "is a text, expected a number"),
    ({"inputs": {**GOOD, "mask": None}}, "inputs.mask", "is not an array"),
    ({"inputs": {**GOOD, "mask": []}}, "inputs.mask", "at least one row"),
    ({"inputs": {**GOOD, "mask": [[1e39] * 4] * 2}}, "inputs.mask.0.0", "too large"),
    ({"inputs": {"image": {"mask": [1]}, "mask": GOOD["mask"]}}, "inputs.image", "is not an array"),
    ({"inputs": GOOD, "outputs": ["classes", "nope"]}, "outputs.1", "which has 'classes', 'grid'"),
    ({"inputs": GOOD, "outputs": []}, "outputs", "names no output"),
    ({"inputs": GOOD, "outputs": ["grid"], "top_k": 1}, "top_k", "tells classes apart"),
    ({"inputs": GOOD, "instances": GOOD}, "instances", "says the same as inputs"),
], ids=lambda p: p if isinstance(p, str) else "")
def test_wrong_inputs(asked, body, field, fragment):
    error = asked(status=422, **body)
    found = [e for e in error["errors"] if e["field"] == field]
    assert found and fragment in found[0]["msg"], error


def test_all_that_is_wrong_is_told_at_once(asked):
    error = asked(status=422, inputs={"image": [["x"]], "mash": 1}, outputs=["a"], top_k=0)
    assert {e["field"] for e in error["errors"]} >= {"inputs.mash", "inputs.mask", "outputs.0", "top_k"}, error


def test_truncated_and_doubled(face, asked, two):
    d = next(d for d in face.json("GET", "/deployments/") if d["deployment_name"] == "two")["deployment_id"]
    path, whole = f"/api/v1/deployments/{d}/predict", json.dumps({"inputs": GOOD}).encode()
    for end in (1, 12, len(whole) // 2, len(whole) - 1):
        assert face.ask("POST", path, whole[:end]).status == 400
    assert face.ask("POST", path, b'{"inputs":{"mask":[1,2,3,4],"mask":[1,2,3,4]}}').status == 400
    assert face.ask("POST", path, whole, key=None).status == 401


def test_a_model_that_is_not_deployed(face, folder, two):
    """Loaded for the request, it says the same; where a deployment has it, that one answers."""
    id_ = stored(face, folder, "add", "two.safetensors", "--name", "idle")["model_id"]
    inputs = draw(75, seed=3)
    want = reference(folder, inputs)
    for ref in (id_, "idle", "idle@1"):
        answer = face.json("POST", f"/api/v1/models/{ref}/predict", {"inputs": inputs})
        assert answer["model_id"] == id_ and answer["deployment_id"] is None and answer["model_version"] == 1
        close(answer, want, 75)
    error = face.json("POST", "/api/v1/models/idle/predict", {"inputs": {**GOOD, "mask": [[1, 2, 3, 4], [1, 2, "x", 4]]}}, 422)
    assert error["errors"][0]["field"] == "inputs.mask.1.2"
    d = face.deploy("busy", id_)
    answer = face.json("POST", "/api/v1/models/idle/predict", {"inputs": inputs})
    assert answer["deployment_id"] == d
    close(answer, want, 75)
    assert face.json("POST", f"/api/v1/models/{NOBODY}/predict", {"inputs": inputs}, 404)["code"] == "model_not_found"
    bare = face.json("POST", "/compile/sync", {"dsl_code": PLAIN, "backend": "pytorch", "name": "unweighted"})["model_id"]
    assert "train it first" in face.json("POST", f"/api/v1/models/{bare}/predict", {"inputs": [0] * 128}, 409)["hint"]
    for body in (b"", b"[", b"7", b"{}", b'{"inputs":'):
        assert face.ask("POST", "/api/v1/models/idle/predict", body).status in (400, 422)
    assert face.ask("POST", "/api/v1/models/idle/predict", {"inputs": inputs}, key=None).status == 401


# ---- certificates ----

def test_a_model_without_a_certificate(face, two):
    for path in (f"/models/{two}", f"/api/v1/models/{two}", "/models/two"):
        assert face.json("GET", path)["certificate"] is None
    listed = face.json("GET", "/models/")["models"]
    assert [m["certificate"] for m in listed if m["model_id"] == two] == [None]


def test_certificate(face, folder):
    """Verified beside the running server, which shows it at once."""
    weights(folder, PLAIN, "plain")
    id_ = stored(face, folder, "add", "plain.safetensors", "--name", "plain")["model_id"]
    found = stored(face, folder, "verify", "plain", "--backends", "native,pytorch,tfjs", "--batch", "3", "--seed", "9")
    m = face.json("GET", f"/api/v1/models/{id_}")
    c = m["certificate"]
    assert c["verdict"] == "agrees" and c["rows"] == 3 and c["seed"] == 9 and c["stale"] is False
    assert c["neural"] == face.json("GET", "/version")["version"] and c["yardstick"] == "reference"
    assert [(b["name"], b["status"]) for b in c["backends"]] == [(b["name"], b["status"]) for b in found["backends"]]
    compared = {b["name"]: b["outputs"][0]["relative_l2"] for b in found["backends"] if "outputs" in b}
    assert {b["name"]: b["relative_l2"] for b in c["backends"] if b["relative_l2"] is not None} == compared
    assert c["worst_relative_l2"] == max(compared.values()) <= c["tolerance"]
    assert m == face.json("GET", f"/models/{id_}") == stored(face, folder, "show", "plain")
    assert [x for x in face.json("GET", "/models/")["models"] if x["model_id"] == id_] == [m]
    assert [x for x in stored(face, folder, "list") if x["model_id"] == id_] == [m]
    whole = face.ask("GET", f"/models/{id_}/download?file=certificate.json", status=200)
    assert whole.json["verified_at"] == c["verified_at"] and whole.json["weights_file_sha256"] == m["metadata"]["sha256"]
    assert whole.headers["content-type"].startswith("application/json")
    file = face.ask("GET", f"/models/{id_}/download", status=200)  # the main file is still the weights
    assert file.body == (folder / "plain.safetensors").read_bytes()
    stored(face, folder, "verify", "plain", "--backends", "native", "--dry-run")
    assert face.json("GET", f"/models/{id_}")["certificate"] == c
    stored(face, folder, "verify", "plain", "--backends", "native")
    assert [b["name"] for b in face.json("GET", f"/models/{id_}")["certificate"]["backends"]] == ["native"]


def test_the_certificate_of_a_file_comes_along(face, folder):
    path = weights(folder, PLAIN.replace("Plain", "Along"), "along")
    neural(folder, "verify", path.name, "--backends", "native")
    m = stored(face, folder, "add", path.name, "--name", "along")
    assert m["certificate"]["verdict"] == "agrees" and m["certificate"]["stale"] is False
    assert face.json("GET", f"/models/{m['model_id']}") == m
    raw = bytearray(path.read_bytes())  # another last weight
    raw[-1] ^= 1
    (folder / "other.safetensors").write_bytes(raw)
    assert json.loads(neural(folder, "verify", "other.safetensors", "--show")[0])["stale"] is True
    assert "stale" not in json.loads(neural(folder, "verify", path.name, "--show")[0])
    m = stored(face, folder, "add", "other.safetensors", "--name", "along")
    assert m["certificate"] is None and m["metadata"]["version"] == 2


def test_the_models_page(face, two):
    page = face.json("GET", "/api/v1/models?limit=1")
    assert len(page["items"]) == 1 and page["total"] > 1 and page["next_cursor"]
    after = face.json("GET", f"/api/v1/models?limit=1000&cursor={page['next_cursor']}")
    ids = [m["model_id"] for m in page["items"] + after["items"]]
    assert len(set(ids)) == len(ids) == page["total"] and after["next_cursor"] is None
    assert [m["model_id"] for m in face.json("GET", "/api/v1/models?q=two")["items"]] == [two]
    assert face.json("GET", f"/api/v1/models/{NOBODY}", status=404)["code"] == "model_not_found"
    assert face.ask("GET", "/api/v1/models?cursor=nonsense").status in (400, 422)
    assert face.ask("GET", "/api/v1/models", key=None).status == 401


def test_commands_that_are_wrong(face, folder):
    storage = ("--storage", face.server.folder / "storage")
    (folder / "text.safetensors").write_text("no model")
    for args, code, said in [
            (("add",), 2, "expected `add FILE`"), (("list", "x"), 2, "expected"), (("nope",), 2, "expected"),
            (("show", "nobody"), 3, "not found"), (("verify", "nobody"), 3, "not found"), (("add", "missing"), 3, "cannot open"),
            (("add", "text.safetensors"), 1, "text.safetensors"), (("verify", "two", "--backends", "x"), 2, "'x' is not known"),
            (("show", "two", "--nope"), 2, "nope"), (("add", "x", "--name", ""), 2, "--name"), (("add", "x", "--name", "a" * 256), 2, "--name")]:
        done = subprocess.run([BIN, "model", *args, *storage], cwd=folder, capture_output=True, text=True, timeout=60)
        assert done.returncode and done.returncode == code and said in done.stderr, (args, done)
    bare = face.json("POST", "/compile/sync", {"dsl_code": PLAIN, "backend": "pytorch", "name": "bare"})["model_id"]
    done = subprocess.run([BIN, "model", "verify", bare, *storage], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "has no weights" in done.stderr
    assert KEY not in done.stderr
