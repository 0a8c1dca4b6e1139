"""Files with weights over HTTP: what /compile answers for onnx and keras-json, and the artifacts it keeps.

The text form of ONNX is read by onnx.parser and compared with the file; the files are compared with those of `neural compile`."""
import hashlib
import json
import re
import subprocess

import numpy as np
import onnx
import onnx.checker
import onnx.numpy_helper
import onnx.parser
import pytest

from harness import BIN, NET, ROOT
from test_service import Face

SEEDED = NET.replace("loss:", "train { seed: 41 }\n  loss:")
PROGRAMS = {
    "dense": NET,
    "conv": 'network C { input: (8, 8, 1) layers: Conv2D(2, 3, padding="same") BatchNormalization() MaxPooling2D(2) Flatten() Output(3, "softmax") }',
    "lstm": 'network L { input: (5,) layers: Embedding(20, 4, mask_zero=true) LSTM(3, return_sequences=true) GRU(2) Dense(2) }',
    "attention": "network T { input: (6, 8) layers: TransformerEncoder(num_heads=2, ff_dim=16) GlobalAveragePooling1D() Dense(2) }",
    "many": "network M { input: { a: (3,) b: (3,) } layers: Add(inputs=[a, b]) Dense(4) x: { Dense(3) } y: { Dense(2) } Concatenate() Dense(2) }",
    "names": 'network N { input: (4,) layers: Dense(4, name="a_1") Dense(4, name="a") Dense(300, name="a_kernel") Dense(2, name="a_kernel_2") }',
    "open": "network O { input: (null, null, 3) layers: LSTM(4, return_sequences=true) TimeDistributed(Dense(2)) }",
    "plain": "network P { input: (4, 4) layers: Flatten() }",
}


@pytest.fixture(scope="module")
def face(start):
    f = Face(start("--queue.workers", "1", "--engine.threads", "1"))
    yield f
    f.alive()


def compiled(face, text, backend, **more):
    done = face.json("POST", "/compile/sync", {"dsl_code": text, "backend": backend, **more})
    assert done["status"] == "completed", done
    return done, {a["name"]: face.ask("GET", a["href"], status=200) for a in done["artifacts"]}


def local(folder, text, backend):
    """What `neural compile` writes for it: {name without the stem: bytes}."""
    (folder / "n.neural").write_text(text)
    subprocess.run([BIN, "compile", "n.neural", "--backend", backend, "-o", f"out.{backend[-4:]}"], cwd=folder, check=True, capture_output=True)
    return {p.name.split(".", 1)[1]: p.read_bytes() for p in folder.glob("out.*")}


def numbers(model):
    return [(t.name, onnx.numpy_helper.to_array(t)) for t in model.graph.initializer]


def operators(g, names):
    return [(n.op_type, [names.get(i, i) for i in n.input], [names.get(o, o) for o in n.output],
             sorted((a.name, a.SerializeToString()) for a in n.attribute)) for n in g.node]


def same(text, file):
    """One graph: names differ by a bijection, all else is equal, and a long initialiser became an input."""
    a, b = text.graph, file.graph
    names, mine = {}, list(numbers(text))
    pairs = [(n, m) for x, y in zip(a.node, b.node) for n, m in zip(x.output, y.output) if m] + \
            [(x.name, y.name) for x, y in zip([*a.input, *a.output], [*b.input, *b.output][:len(b.input)])]
    left = [i for i in a.input[len(b.input):]]
    for name, value in numbers(file):
        if value.size > 256:
            i = left.pop(0)
            assert [d.dim_value for d in i.type.tensor_type.shape.dim] == list(value.shape)
            pairs.append((i.name, name))
            continue
        n, got = mine.pop(0)
        assert got.dtype == value.dtype and got.shape == value.shape and got.tobytes() == value.tobytes(), name
        pairs.append((n, name))
    assert not left and not mine
    for to, origin in pairs:
        assert names.setdefault(to, origin) == origin, (to, origin, names[to])
    assert len(set(names.values())) == len(names)
    for x, y in zip(operators(a, names), operators(b, {})):
        assert x[0] == y[0] and x[1] == y[1] and x[3] == y[3], (x, y)
        assert [p for p, q in zip(x[2], y[2]) if q] == [q for q in y[2] if q], (x, y)
    assert len(a.node) == len(b.node) and [names[o.name] for o in a.output] == [o.name for o in b.output]
    shapes = [[[d.dim_value or re.sub(r"\W", "_", d.dim_param) for d in v.type.tensor_type.shape.dim] for v in [*g.output, *g.value_info]] for g in (a, b)]
    assert shapes[0] == shapes[1] and text.opset_import[0].version == file.opset_import[0].version


@pytest.mark.parametrize("name", PROGRAMS)
def test_onnx(face, tmp_path, name):
    done, files = compiled(face, PROGRAMS[name], "onnx")
    (file_name, answer), = files.items()
    assert file_name.endswith("_onnx.onnx") and done["artifacts"][0]["sha256"] == hashlib.sha256(answer.body).hexdigest()
    file, text = onnx.load_from_string(answer.body), onnx.parser.parse_model(done["compiled_code"])
    onnx.checker.check_model(file, full_check=True)
    onnx.checker.check_model(text, full_check=True)
    same(text, file)
    assert done["compiled_code"] == compiled(face, PROGRAMS[name], "onnx")[0]["compiled_code"]
    ours = onnx.load_from_string(local(tmp_path, PROGRAMS[name], "onnx")["onnx"])
    ours.graph.doc_string = file.graph.doc_string  # it names the file that the program is in
    assert ours.graph.SerializeToString() == file.graph.SerializeToString()


def test_weights_go_by_the_seed(face):
    def first(text):
        return dict(numbers(onnx.load_from_string(compiled(face, text, "onnx")[1]["tiny_onnx.onnx"].body)))["dense_1.kernel"]
    assert np.array_equal(first(SEEDED), first(SEEDED)) and not np.array_equal(first(SEEDED), first(NET))
    assert not np.array_equal(first(SEEDED), first(SEEDED.replace("41", "42")))


def test_keras_json(face, tmp_path):
    done, files = compiled(face, SEEDED, "keras-json")
    assert sorted(files) == ["tiny_keras-json.json", "tiny_keras-json.weights.bin"]
    text = json.loads(done["compiled_code"])
    assert files["tiny_keras-json.json"].body.decode() == done["compiled_code"]
    assert text["weightsManifest"][0]["paths"] == ["tiny_keras-json.weights.bin"]
    ours = local(tmp_path, SEEDED, "keras-json")
    assert files["tiny_keras-json.weights.bin"].body == ours["weights.bin"]
    assert text["modelTopology"] == json.loads(ours["json"])["modelTopology"]
    other, again = compiled(face, SEEDED.replace("41", "42"), "keras-json")
    assert other["model_id"] != done["model_id"]  # the same layers, other weights
    assert again["tiny_keras-json.weights.bin"].body != ours["weights.bin"]


def test_the_files_are_the_models(face):
    done, files = compiled(face, NET, "onnx", name="with-a-file")
    m = face.json("GET", f"/models/{done['model_id']}")
    assert m["name"] == "tiny_onnx.onnx" and m["backend"] == "onnx" and m["metadata"]["has_weights"] is False
    got = face.ask("GET", f"/models/{done['model_id']}/download", status=200)
    assert got.body == files["tiny_onnx.onnx"].body and got.headers["content-type"] == "application/octet-stream"
    done, files = compiled(face, NET, "tfjs")
    m = face.json("GET", f"/models/{done['model_id']}")
    assert [f["name"] for f in m["metadata"]["files"]] == sorted(files) and m["backend"] == "keras-json"
    for name, file in files.items():
        got = face.ask("GET", f"/models/{done['model_id']}/download?file={name}", status=200)
        assert got.body == file.body


def test_artifacts(face):
    job = face.json("POST", "/compile/", {"dsl_code": NET, "backend": "onnx"}, 202)
    assert job["compiled_code"] is None and job["artifacts"] == []
    op = face.wait(job["job_id"])
    listed = face.json("GET", f"/api/v1/operations/{job['job_id']}/artifacts")
    assert listed["total"] == 1 and listed["items"] == op["artifacts"] and listed["items"][0]["kind"] == "model"
    a = listed["items"][0]
    whole = face.ask("GET", a["href"], status=200)
    assert whole.headers["etag"] == f'"{a["sha256"]}"' and len(whole.body) == a["size"]
    part = face.send("GET", a["href"], headers={"Range": "bytes=10-19"})
    assert part.status == 206 and part.body == whole.body[10:20] and part.headers["content-range"] == f"bytes 10-19/{a['size']}"
    assert face.ask("HEAD", a["href"]).headers["content-length"] == str(a["size"])
    assert face.send("GET", a["href"], headers={"Range": f"bytes={a['size']}-"}).status == 416
    assert face.send("GET", a["href"], key=None).status == 401
    face.ask("GET", "/api/v1/operations/01900000-0000-7000-8000-000000000000/artifacts", status=404)


def test_backend_names(face):
    for alias, name in [("tf", "tensorflow"), ("keras", "tensorflow"), ("torch", "pytorch"), ("PyTorch", "pytorch"), ("ONNX", "onnx"), ("tfjs", "keras-json")]:
        done, _ = compiled(face, NET, alias)
        plain, _ = compiled(face, NET, name)
        assert done["compiled_code"] == plain["compiled_code"] and done["model_id"] == plain["model_id"], alias
        assert face.json("GET", f"/jobs/{done['job_id']}")["result"]["backend"] == name
        bridge = face.json("POST", "/api/compile", {"dsl_code": NET, "backend": alias})
        assert bridge["success"] and bridge["metadata"]["backend"] == name and bridge["code"] == done["compiled_code"]
    for wrong in ("jax", "", " ", "tf|keras", "onnx\u0001", "x" * 64, "🙂"):
        error = face.json("POST", "/compile/sync", {"dsl_code": NET, "backend": wrong}, 422)
        assert error["errors"][0]["field"] == "backend" and error["errors"][0]["type"] == "unknown_value", error
        assert "'onnx'" in error["errors"][0]["msg"] and "'keras-json'" in error["errors"][0]["msg"]
    assert face.json("POST", "/compile/", {"dsl_code": NET, "backend": 7}, 422)["errors"][0]["type"] == "wrong_type"
    assert face.json("POST", "/compile/", {"dsl_code": NET, "backend": "x" * 65}, 422)["errors"][0]["type"] == "too_long"
    error = face.json("POST", "/compile/sync", {"dsl_code": NET, "backend": "c"}, 422)
    assert error["code"] == "unsupported" and "'pytorch'" in error["hint"]


def test_bridge_code(face):
    data = face.json("POST", "/api/parse", {"dsl_code": NET})["model_data"]
    for backend in ("onnx", "keras-json"):
        answer = face.json("POST", "/api/generate-code", {"model_data": data, "backend": backend})
        assert answer["success"] and any("POST /api/compile" in w for w in answer["warnings"]), answer
        if backend == "onnx":
            model = onnx.parser.parse_model(answer["code"])
            onnx.checker.check_model(model, full_check=True)
            whole = onnx.parser.parse_model(compiled(face, NET, "onnx")[0]["compiled_code"])
            assert model.graph == whole.graph
        else:
            assert json.loads(answer["code"])["weightsManifest"][0]["weights"]


def test_too_large(face):
    """What is too large is said, and how to get it all the same; nothing is kept."""
    wide = "network W { input: (60000,) layers: Dense(60000) }"
    many = "network T { input: (4,) layers: " + "Dense(4) " * 60000 + "}"
    for text, what in [(wide, "weights"), (many, "text")]:
        for backend in ("onnx", "keras-json"):
            done = face.json("POST", "/compile/sync", {"dsl_code": text, "backend": backend})
            assert done["status"] == "failed" and done["artifacts"] == [] and done["model_id"] is None
            assert f"MiB of {what} for '{backend}'" in done["errors"][0], done["errors"]
            op = face.json("GET", f"/api/v1/operations/{done['job_id']}")
            assert f"neural compile --backend {backend}" in op["error_details"]["hint"]
    data = face.json("POST", "/api/parse", {"dsl_code": wide})["model_data"]
    answer = face.json("POST", "/api/generate-code", {"model_data": data, "backend": "onnx"})
    assert not answer["success"] and "MiB of weights" in answer["error"]


def test_what_onnx_cannot_say(face):
    text = 'network U { input: (4, 5) layers: Lambda("lambda x: x + 1", output_shape=(4, 5)) }'
    done = face.json("POST", "/compile/sync", {"dsl_code": text, "backend": "onnx"})
    assert done["status"] == "failed" and "Lambda" in done["errors"][0] and done["artifacts"] == [], done
