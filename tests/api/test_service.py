"""The service face, from outside: each journey of rest-api.md sections 2 to 6 and 12, bad input on every route, and a disk that
is full or read-only. Every answer is checked against the route's own row in /openapi.json."""
import array
import contextlib
import copy
import http.client
import json
import math
import os
import re
import subprocess
import time
import urllib.parse
import uuid

import jsonschema
import pytest

from conftest import Raw, request
from harness import BIN, ENDED, KEY, NET, Server, data

NOBODY = "01900000-0000-7000-8000-000000000000"  # a well-formed id that nothing has
# What the HTTP layer answers before any route is known.
PROTOCOL = {"400": "invalid_request", "405": "method_not_allowed", "408": "request_timeout", "413": "payload_too_large",
            "414": "uri_too_long", "431": "headers_too_large"}
HARD = NET.replace("Dense(16", "Dense(9000")  # a large model: 1.6 MB of weights, three times that in a checkpoint


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


class Face:
    """A server whose answers are compared with what its OpenAPI document says about them."""

    def __init__(self, server):
        self.server = server
        self.document = json.loads(self.send("GET", "/openapi.json").body)
        self.rows, self.validators = [], {}
        for path, item in self.document["paths"].items():
            pattern = re.compile("/".join("[^/]+" if s.startswith("{") else re.escape(s) for s in path.split("/")))
            self.rows += [(method.upper(), path, pattern, operation) for method, operation in item.items()]
        self.rows.sort(key=lambda r: r[1].count("{"))  # a literal segment goes before a parameter

    def send(self, method, path, body=None, key=KEY, headers=None):
        head = {**({"X-API-Key": key} if key else {}), **(headers or {})}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            head.setdefault("Content-Type", "application/json")
        c = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        with contextlib.closing(c):
            c.request(method, path, body, head)
            r = c.getresponse()
            return Answer(r.status, {k.lower(): v for k, v in r.getheaders()}, r.read())

    def row(self, method, path):
        path = "/" + path.split("?")[0].strip("/")
        method = "GET" if method == "HEAD" else method
        return next((r for r in self.rows if r[0] == method and r[2].fullmatch(path)), None)

    def valid(self, schema, value):
        name = json.dumps(schema)
        if name not in self.validators:
            whole = {**schema, "components": self.document["components"]}
            self.validators[name] = jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker())
        self.validators[name].validate(value)

    def check(self, method, path, answer):
        where = (method, path[:200], answer.status, answer.body[:500])
        assert answer.headers["x-content-type-options"] == "nosniff", where
        assert answer.headers["x-request-id"] and float(answer.headers["x-process-time"]) >= 0, where
        row = self.row(method, path)
        same = row and row[3]["responses"].get(str(answer.status), {}) == row[3]["responses"].get("200")  # /ready: 503 in its own words
        error = answer.status >= 400 and method != "HEAD" and not same
        if error:
            self.valid({"$ref": "#/components/schemas/Error"}, answer.json)
            assert answer.json["request_id"] == answer.headers["x-request-id"], where
            assert 0 < len(answer.json["error"]) < 600, where
            if row is None or PROTOCOL.get(str(answer.status)) == answer.json["code"]:
                return
        documented = row[3]["responses"]
        assert str(answer.status) in documented, where
        documented = documented[str(answer.status)]
        if error:
            assert answer.json["code"] in re.findall(r"`(\w+)`", documented["description"]), where
        if answer.status == 204 or method == "HEAD":
            assert answer.body == b"", where
            return
        type_ = answer.headers["content-type"].split(";")[0]
        kinds = {k.split(";")[0]: v for k, v in documented["content"].items()}
        assert type_ in kinds or "application/octet-stream" in kinds, where
        if "schema" in kinds.get(type_, {}):
            self.valid(kinds[type_]["schema"], answer.json)

    def ask(self, method, path, body=None, status=None, **options):
        answer = self.send(method, path, body, **options)
        self.check(method, path, answer)
        if status:
            assert answer.status == status, (method, path[:200], answer.status, answer.body[:1000])
        return answer

    def json(self, method, path, body=None, status=200, **options):
        return self.ask(method, path, body, status, **options).json

    def wait(self, operation, state="succeeded", seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            op = self.json("GET", f"/api/v1/operations/{operation}?wait=10")
            if op["state"] in ENDED:
                assert op["state"] == state, op
                return op
        raise AssertionError(f"still {op['state']}: {op}\n{self.server.log_text()[-3000:]}")

    def train(self, **fields):
        body = {"dsl_code": NET, "dataset": data(), "hyperparameters": {"seed": 7}, "training_config": {"epochs": 3}, **fields}
        return self.json("POST", "/jobs/train", {k: v for k, v in body.items() if v is not None}, 202)

    def deploy(self, name, model):
        d = self.json("POST", "/deployments/", {"model_id": model, "deployment_name": name, "backend": "native"}, 202)
        self.wait(d["deployment_id"])
        return d["deployment_id"]

    def alive(self):
        assert self.server.process.poll() is None, self.server.log_text()[-5000:]
        assert "Sanitizer" not in self.server.log_text(), self.server.log_text()[-5000:]
        assert self.ask("GET", "/health").status == 200


@pytest.fixture(scope="module")
def main_face(start):
    return Face(start("--queue.workers", "2", "--engine.threads", "1"))


@pytest.fixture
def face(main_face):
    yield main_face
    main_face.alive()


@pytest.fixture
def fresh(tmp_path):
    """fresh("--flag", …): a server of the test's own, with storage at tmp_path/storage."""
    servers = []

    def run(*flags, env=None):
        servers.append(Server(tmp_path, "--engine.threads", "1", *flags, env=env))
        return Face(servers[-1])
    yield run
    for s in servers:
        if s.process.poll() is None:
            assert s.stop() == 0, s.log_text()[-3000:]
        assert "Sanitizer" not in s.log_text(), s.log_text()[-5000:]


@pytest.fixture(scope="module")
def trained(main_face):
    """The ended operation of a training of three epochs."""
    return main_face.wait(main_face.train(experiment_name="first", labels={"team": "blue"})["job_id"])


@pytest.fixture(scope="module")
def model(trained):
    return trained["result"]["model_id"]


@pytest.fixture(scope="module")
def deployed(main_face, model):
    return main_face.deploy("standing", model)


@pytest.fixture(scope="module")
def endless(main_face):
    """A training that runs until it is cancelled."""
    job = main_face.train(training_config={"epochs": 1000000}, dataset=data(4096))["job_id"]
    end = time.monotonic() + 60
    while main_face.json("GET", f"/jobs/{job}")["current_epoch"] in (None, 1):
        assert time.monotonic() < end, "no progress"
    yield job
    main_face.ask("DELETE", f"/jobs/{job}", status=204)
    main_face.wait(job, "cancelled")


# ---- the document ----

def test_openapi(face):
    document = face.document
    assert document["openapi"].startswith("3.1.") and document["info"]["title"] and document["info"]["version"]
    for name, schema in document["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema.get("description"), name
    refs = set(re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(document)))
    assert json.dumps(document).count('"$ref"') == len(re.findall(r'"\$ref": "#/components/schemas/\w+"', json.dumps(document)))
    assert refs == set(document["components"]["schemas"]), "what is referred to, and nothing else"
    ids = [row[3]["operationId"] for row in face.rows]
    assert len(ids) == len(set(ids))
    schemes = set(document["components"]["securitySchemes"])
    for method, path, _, row in face.rows:
        assert row["summary"] and row["responses"], path
        assert any(code < "300" for code in row["responses"]) and "500" in row["responses"], path
        assert {name for one in row["security"] for name in one} <= schemes
        named = set(re.findall(r"\{(\w+)\}", path))
        assert named == {p["name"] for p in row.get("parameters", []) if p["in"] == "path"}, path
        assert all(p["required"] for p in row.get("parameters", []) if p["in"] == "path"), path
        for code, answer in row["responses"].items():
            assert answer["description"], (path, code)
            assert ("content" in answer) == (code != "204"), (path, code)


def test_the_issues_routes_are_there(face):
    have = {(row[0], row[1]) for row in face.rows}
    assert have >= {
        ("GET", "/"), ("GET", "/health"), ("GET", "/metrics"), ("POST", "/compile/sync"), ("POST", "/jobs/train"),
        ("GET", "/jobs/{job_id}"), ("DELETE", "/jobs/{job_id}"), ("GET", "/experiments"), ("GET", "/experiments/{experiment_id}"),
        ("GET", "/models"), ("GET", "/models/{model_id}"), ("GET", "/models/{model_id}/download"), ("POST", "/deployments"),
        ("GET", "/deployments"), ("GET", "/deployments/{deployment_id}"), ("DELETE", "/deployments/{deployment_id}"),
        ("POST", "/api/v1/deployments/{deployment_id}/predict"), ("GET", "/api/v1/operations"), ("GET", "/api/v1/operations/{id}"),
        ("GET", "/openapi.json")}


# ---- 12.1 system ----

def test_root(face):
    root = face.json("GET", "/")
    assert (root["name"], root["service"], root["status"]) == ("Neural DSL API", "Neural DSL Backend Bridge", "running")
    assert (root["docs"], root["docs_url"], root["redoc"], root["openapi"]) == ("/docs", "/docs", "/redoc", "/openapi.json")
    for place in root["services"]:
        assert face.ask("GET", place["url"]).status in (200, 405), place
    page = face.send("GET", "/", headers={"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"})
    assert page.headers["content-type"].startswith("text/html") and b"</html>" in page.body


def test_health(face):
    for path in ("/health", "/api/health", "/v1/health"):
        health = face.json("GET", path)
        assert health["status"] == "healthy" and health["service"] == "neural-backend-bridge"
        assert health["shutting_down"] is False and health["config_warnings"] == [] and health["uptime_s"] > 0
        assert set(health["services"]) == {"api", "celery", "redis", "store", "workers", "engines", "analytics", "test_api",
                                           "generator_api", "benchmark_api"}
    assert face.json("GET", "/health/live") == face.json("GET", "/live") == {"status": "alive"}
    assert face.json("GET", "/health/ready") == face.json("GET", "/ready") == {"status": "ready"}
    parts = face.json("GET", "/health/detailed")["services"]
    assert parts["store"]["status"] == "healthy" and parts["store"]["latency_ms"] >= 0


SAMPLE = re.compile(r'([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)')


def metrics(face):
    """{(name, labels): value}; fails on what Prometheus would refuse."""
    samples, types, helps = {}, {}, set()
    text = face.ask("GET", "/metrics", status=200).body.decode()
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# "):
            word, name, rest = line[2:].split(" ", 2)
            assert word in ("HELP", "TYPE") and name not in (helps if word == "HELP" else types), line
            helps.add(name) if word == "HELP" else types.update({name: rest})
            continue
        found = SAMPLE.fullmatch(line)
        assert found, line
        base = re.sub(r"_(bucket|sum|count)$", "", found[1])
        family = base if types.get(base) in ("histogram", "summary") else found[1]
        assert types.get(family) in ("counter", "gauge", "histogram", "summary", "untyped"), line
        assert (found[1], found[2]) not in samples, line
        samples[found[1], found[2]] = float(found[3])
    assert helps == set(types)
    return samples


def test_metrics(face, trained):
    name = ("neural_http_requests_total", 'method="GET",route="/models/{model_id}",code="404"')
    before = metrics(face)
    for _ in range(3):
        face.ask("GET", f"/models/{NOBODY}", status=404)
    after = metrics(face)
    assert after[name] == before.get(name, 0) + 3
    assert any(n.startswith("neural_operations") for n, _ in after)
    for (n, labels), value in after.items():  # buckets of a histogram never fall, and the last is the count
        if n.endswith("_bucket") and 'le="+Inf"' in labels:
            rest = re.sub(r',?le="\+Inf"', "", labels)
            assert value == after[n[:-7] + "_count", rest or None]


# ---- 12.2 compile ----

def test_compile_sync(face):
    done = face.json("POST", "/compile/sync", {"dsl_code": NET, "backend": "pytorch"})
    assert done["status"] == "completed" and done["state"] == "succeeded" and done["errors"] is None
    compile(done["compiled_code"], "tiny.py", "exec")
    assert "class Tiny(nn.Module)" in done["compiled_code"]
    job = face.json("GET", f"/jobs/{done['job_id']}")
    assert job["status"] == "completed" and job["kind"] == "compile" and job["progress"] == 100
    assert {"status", "compiled_code", "output_file", "backend", "dataset", "model_id"} <= set(job["result"])
    assert job["result"]["compiled_code"] == done["compiled_code"]
    m = face.json("GET", f"/models/{done['model_id']}")
    assert m["backend"] == "pytorch" and m["name"] == "tiny_pytorch.py" and m["size"] == len(done["compiled_code"].encode())
    meta = m["metadata"]
    assert meta["network_name"] == "Tiny" and meta["num_parameters"] == 16 * 16 + 16 + 16 * 3 + 3 and meta["has_weights"] is False
    file = face.ask("GET", f"/models/{done['model_id']}/download", status=200)
    assert file.headers["content-type"].startswith("text/x-python") and file.body.decode() == done["compiled_code"]
    assert 'filename="tiny_pytorch.py"' in file.headers["content-disposition"]


def test_the_other_surface_form(face):
    done = face.json("POST", "/compile/sync", {"backend": "pytorch", "dsl_code":
                     "Model N { Input(shape=[784]) Dense(units=10, activation=softmax) }"})
    assert done["status"] == "completed", done["errors"]


def test_a_search_space_is_written_with_its_first_values(face):
    text = "network S { input: (8,) layers: Dense(HPO(choice(16, 32)), relu) Output(3, softmax) }"
    done = face.json("POST", "/compile/sync", {"backend": "pytorch", "dsl_code": text, "enable_hpo": True})
    assert done["status"] == "completed" and "16" in done["compiled_code"], done
    assert any("layers[0].units" in w for w in done["warnings"])
    assert [p["path"] for p in done["search_space"]["points"]] == ["layers[0].units"]
    assert "search_space" not in face.json("POST", "/compile/sync", {"backend": "pytorch", "dsl_code": text})


def test_compile_a_program_with_errors(face):
    done = face.json("POST", "/compile/sync", {"backend": "pytorch", "dsl_code": NET.replace("Dense(16", "Dens(16").replace("Adam", "Adm")})
    assert done["status"] == "failed" and done["message"] == "Compilation failed" and done["compiled_code"] is None
    assert len(done["errors"]) >= 2, "all at once"
    found = next(d for d in done["diagnostics"] if "Dens" in d["message"])
    assert {"severity", "code", "message", "line", "column", "end_line", "end_column", "snippet", "hint", "fixes"} <= set(found)
    assert found["severity"] == "error" and (found["line"], found["column"]) == (3, 21)
    assert "Dense" in json.dumps([found["hint"], found["fixes"]])
    job = face.json("GET", f"/jobs/{done['job_id']}")
    assert job["status"] == "failed" and job["error_code"] == "dsl_error" and job["error"]


def test_compile_for_an_unknown_backend(face):
    error = face.json("POST", "/compile/sync", {"dsl_code": NET, "backend": "theano"}, 422)
    assert "backend" in json.dumps(error) and "theano" in json.dumps(error)
    assert "layers.Conv2D" in face.json("POST", "/compile/sync", {"dsl_code": "network A { input: (8, 8, 1) layers: Conv2D(2, 3) }"})["compiled_code"]


def test_compile_async(face):
    job = face.json("POST", "/compile/", {"dsl_code": NET, "backend": "pytorch", "name": "later"}, 202)
    assert job["status"] == "pending" and job["message"] == "Compilation job submitted successfully" and job["compiled_code"] is None
    op = face.wait(job["job_id"])
    assert op["kind"] == "compile" and op["name"] == "later" and "class Tiny" in op["result"]["compiled_code"]
    bad = face.json("POST", "/compile/", {"dsl_code": "nonsense", "backend": "pytorch"}, 202)
    assert face.wait(bad["job_id"], "failed")["error_code"] == "dsl_error"


# ---- 12.3 jobs, 12.4 experiments, 12.6 models ----

def safetensors(file):
    """{name: (shape, values)}, by the format's own description: a length, a JSON header, the bytes."""
    n = int.from_bytes(file[:8], "little")
    head, tensors, end = json.loads(file[8:8 + n]), {}, 0
    meta = head.pop("__metadata__", {})
    for name, t in sorted(head.items(), key=lambda item: item[1]["data_offsets"]):
        first, last = t["data_offsets"]
        assert first == end and t["dtype"] == "F32"
        values, end = array.array("f", file[8 + n + first:8 + n + last]), last
        assert math.prod(t["shape"]) == len(values)
        tensors[name] = (t["shape"], values)
    assert len(file) == 8 + n + end and all(isinstance(v, str) for v in meta.values())
    return tensors


def weights(face, model):
    m = face.json("GET", f"/models/{model}")
    name = next(f["name"] for f in m["metadata"]["files"] if f["name"].endswith(".safetensors"))
    return safetensors(face.ask("GET", f"/models/{model}/download?file={urllib.parse.quote(name)}", status=200).body)


def distance(a, b):
    return max(abs(x - y) for name in a for x, y in zip(a[name][1], b[name][1]))


def test_training(face, trained):
    assert trained["kind"] == "train" and trained["state"] == "succeeded" and trained["attempt"] == 1
    p = trained["progress"]
    assert p["fraction"] == 1 and p["done"] == p["total"] > 0 and p["step"] == "epoch 3/3"
    assert (p["step_index"], p["step_count"]) == (2, 3)
    job = face.json("GET", f"/jobs/{trained['id']}")
    assert job["status"] == "completed" and job["progress"] == 100 and job["current_epoch"] == 3
    assert job["experiment_id"] == job["job_id"] == job["operation_id"] == trained["id"]
    result = job["result"]
    assert {"status", "experiment_id", "experiment_name", "summary_path", "final_metrics", "model_id"} <= set(result)
    assert result["experiment_name"] == "first" and result["final_metrics"]["test_accuracy"] > 0.9  # three well-separated classes
    assert job["created_at"] <= job["started_at"] <= job["completed_at"]
    assert face.ask("GET", result["summary_path"], status=200).json
    assert face.json("GET", f"/api/v1/operations/{trained['id']}/result") == result


def test_experiment(face, trained):
    e = face.json("GET", f"/experiments/{trained['id']}")
    assert e["experiment_name"] == "first" and e["status"] == "completed" and e["hyperparameters"]["seed"] == 7
    assert {"tags", "notes", "job_id", "model_id"} <= set(e) and e["model_id"] == trained["result"]["model_id"]
    history = [h for h in e["metrics"]["history"] if "loss" in h]
    assert [h["step"] for h in history] == [1, 2, 3], "an entry for each epoch"
    losses = [h["loss"] for h in history]
    assert losses[0] > losses[2] and all(0 <= h["accuracy"] <= 1 for h in history)
    best = e["metrics"]["best"]["loss"]
    assert best["value"] == min(losses) and best["step"] == losses.index(min(losses)) + 1 and best["mode"] == "min"
    assert e["metrics"]["latest"]["loss"] == losses[-1]
    listed = face.json("GET", "/experiments/?limit=1000")
    one = next(x for x in listed["experiments"] if x["experiment_id"] == trained["id"])
    assert one["metrics"]["history"] == [] and listed["total"] == len(listed["experiments"])
    assert trained["id"] in [x["experiment_id"] for x in face.json("GET", "/experiments/?status_filter=completed")["experiments"]]
    assert trained["id"] not in [x["experiment_id"] for x in face.json("GET", "/experiments/?status_filter=failed")["experiments"]]
    for name in e["artifacts"]:
        assert face.ask("GET", f"/experiments/{trained['id']}/artifacts/{urllib.parse.quote(name)}", status=200).body
    face.ask("GET", f"/experiments/{trained['id']}/artifacts/none.bin", status=404)


def test_experiment_delete(face, endless):
    done = face.wait(face.train(training_config={"epochs": 1})["job_id"])
    face.ask("DELETE", f"/experiments/{done['id']}", status=204)
    face.ask("GET", f"/experiments/{done['id']}", status=404)
    face.ask("DELETE", f"/experiments/{done['id']}", status=404)
    face.ask("DELETE", f"/experiments/{endless}", status=409)


def test_model(face, trained, model):
    m = face.json("GET", f"/models/{model}")
    assert m["metadata"]["has_weights"] is True and m["metadata"]["experiment_id"] == trained["id"]
    by_name = m["metadata"]["network_name"]
    assert face.json("GET", f"/models/{by_name}@{m['metadata']['version']}")["model_id"] == model
    tensors = weights(face, model)
    assert sorted(tuple(t[0]) for t in tensors.values()) == [(3,), (16,), (16, 3), (16, 16)]
    listed = face.json("GET", "/models/?limit=1000")
    assert model in [x["model_id"] for x in listed["models"]] and listed["total"] == len(listed["models"])
    file = face.ask("GET", f"/models/{model}/download", status=200)
    assert file.headers["etag"].strip('"') == m["metadata"]["sha256"] or file.headers["etag"]
    part = face.send("GET", f"/models/{model}/download", headers={"Range": "bytes=8-15"})
    assert part.status == 206 and part.body == file.body[8:16]
    assert face.send("GET", f"/models/{model}/download", headers={"If-None-Match": file.headers["etag"]}).status == 304
    assert face.send("GET", f"/models/{model}/download", headers={"Range": "bytes=999999999-"}).status == 416
    face.ask("GET", f"/models/{model}/download?file=none.bin", status=404)
    face.ask("GET", f"/models/{model}/download?backend=none", status=404)


def test_model_delete(face):
    done = face.json("POST", "/compile/sync", {"dsl_code": NET, "backend": "pytorch"})
    face.ask("DELETE", f"/models/{done['model_id']}", status=204)
    face.ask("GET", f"/models/{done['model_id']}", status=404)
    face.ask("DELETE", f"/models/{done['model_id']}", status=404)


def test_training_goes_on_from_a_model(face, model):
    """With a learning rate of 1e-8 Adam moves no weight by more than that a step: what comes out is what went in."""
    first = weights(face, model)
    tiny = {"epochs": 1, "learning_rate": 1e-8}
    again = face.wait(face.train(dsl_code=None, model_id=model, training_config=tiny)["job_id"])
    assert distance(first, weights(face, again["result"]["model_id"])) < 1e-5
    new = face.wait(face.train(training_config=tiny)["job_id"])
    assert distance(first, weights(face, new["result"]["model_id"])) > 1e-2
    m = face.json("GET", f"/models/{again['result']['model_id']}")
    assert m["metadata"]["network_name"] == "Tiny"


def test_what_may_not_be_trained(face, model):
    assert face.json("POST", "/jobs/train", {"dataset": data()}, 400)["error"] == "Either dsl_code or model_id must be provided"
    assert face.json("POST", "/jobs/train", {}, 400)["code"] == "invalid_request"
    both = face.json("POST", "/jobs/train", {"dsl_code": NET, "model_id": model}, 422)
    assert [e["type"] for e in both["errors"]] == ["conflict"]
    assert face.json("POST", "/jobs/train", {"model_id": NOBODY, "dataset": data()}, 404)["code"] == "model_not_found"
    unknown = face.json("POST", "/jobs/train", {"dsl_code": NET, "dataset": "fashion-mnst"}, 422)
    assert unknown["errors"][0]["field"] == "dataset" and "fashion-mnist" in unknown["errors"][0]["msg"]
    assert face.json("POST", "/jobs/train", {"dsl_code": NET, "dataset": data(), "backend": "pytorch"}, 422)["code"] == "unsupported"
    for field, value, type_ in [("learning_rate", 0, "out_of_range"), ("learning_rate", -1, "out_of_range"), ("epochs", 0, "out_of_range"),
                                ("validation_split", 1, "out_of_range"), ("validation_split", -0.1, "out_of_range"),
                                ("batch_size", 0, "out_of_range"), ("optimizer", "adm", "unknown_value"), ("loss", "none", "unknown_value")]:
        error = face.json("POST", "/jobs/train", {"dsl_code": NET, "dataset": data(), "training_config": {field: value}}, 422)
        assert [(e["field"], e["type"]) for e in error["errors"]] == [(f"training_config.{field}", type_)], error
    several = face.json("POST", "/jobs/train", {"dsl_code": NET, "dataset": "none", "training_config": {"epochs": 0, "optimizer": "adm"}},
                        422)
    assert {e["field"] for e in several["errors"]} == {"dataset", "training_config.epochs", "training_config.optimizer"}


def test_a_training_that_fails(face):
    """The program is wrong, the data do not fit the network, the loss explodes: each ends with a reason and leaves the server be."""
    cases = {"dsl_error": {"dsl_code": NET.replace("Dense", "Dens")},
             "data_error dsl_error": {"dataset": "synthetic:rows=64,classes=3,shape=5x5x1"},
             "nan_loss": {"training_config": {"epochs": 50, "learning_rate": 1e6, "optimizer": "sgd"},
                          "dsl_code": NET.replace("Dense(16", "Dense(64) Dense(64) Dense(16")}}
    jobs = {code: face.train(**fields)["job_id"] for code, fields in cases.items()}
    for code, job in jobs.items():
        op = face.wait(job, "failed")
        assert op["error_code"] in code.split() and op["error"], op
        seen = face.json("GET", f"/jobs/{job}")
        assert seen["status"] == "failed" and seen["error"] == op["error"]
        assert face.json("GET", f"/experiments/{job}")["status"] == "failed"
    assert "Dense" in json.dumps(face.json("GET", f"/api/v1/operations/{jobs['dsl_error']}")["error_details"]["diagnostics"])


def test_a_running_training(face, endless):
    job = face.json("GET", f"/jobs/{endless}")
    assert job["status"] == "running" and 0 <= job["progress"] < 100 and job["current_epoch"] >= 2
    assert {"progress", "current_epoch", "experiment_id", "metrics"} <= set(job["result"])
    end = time.monotonic() + 60
    while "loss" not in (face.json("GET", f"/jobs/{endless}")["metrics"] or {}):
        assert time.monotonic() < end, "no metrics of a running training"
    assert face.json("GET", f"/experiments/{endless}")["status"] == "running"
    assert face.json("GET", f"/api/v1/operations/{endless}/result", status=409)["code"] == "not_completed"
    assert face.json("DELETE", f"/api/v1/operations/{endless}", status=409)["code"] == "conflict"


def test_cancel(face, trained):
    job = face.train(training_config={"epochs": 1000000})["job_id"]
    face.ask("DELETE", f"/jobs/{job}", status=204)
    op = face.wait(job, "cancelled")
    assert op["error_code"] in (None, "cancelled")
    assert face.json("GET", f"/jobs/{job}")["status"] == "cancelled"
    assert face.json("GET", f"/experiments/{job}")["status"] == "cancelled"
    for ended in (job, trained["id"]):
        assert face.json("DELETE", f"/jobs/{ended}", status=400)["code"] == "not_cancellable", "400 on this path"
        assert face.json("POST", f"/api/v1/operations/{ended}/cancel", status=409)["code"] == "not_cancellable", "409 on that"
    face.ask("DELETE", f"/jobs/{NOBODY}", status=404)
    face.ask("DELETE", f"/api/v1/operations/{job}", status=204)
    face.ask("GET", f"/jobs/{job}", status=404)


def test_job_list(face, trained):
    jobs = face.json("GET", "/jobs/?limit=1000")
    assert jobs["total"] == len(jobs["jobs"]) and trained["id"] in [j["job_id"] for j in jobs["jobs"]]
    times = [j["created_at"] for j in jobs["jobs"]]
    assert times == sorted(times, reverse=True)
    page = face.json("GET", "/jobs/?skip=1&limit=1&kind=compile&status=completed")
    assert (page["skip"], page["limit"]) == (1, 1) and len(page["jobs"]) <= 1
    assert all(j["kind"] == "compile" and j["status"] == "completed" for j in page["jobs"])


# ---- operations ----

def test_wait(face, endless):
    job = face.train(training_config={"epochs": 1})["job_id"]
    assert face.json("GET", f"/api/v1/operations/{job}?wait=300")["state"] == "succeeded", "answered at the end, long before the limit"
    begin = time.monotonic()
    assert face.json("GET", f"/api/v1/operations/{endless}?wait=0.3")["state"] == "running"
    assert time.monotonic() - begin >= 0.3
    job = face.train(training_config={"epochs": 1})["job_id"]
    assert face.json("GET", f"/api/v1/operations/{job}", headers={"Prefer": "wait=300"})["state"] == "succeeded"
    for bad in ("301", "-1", "x", "1e999"):
        assert face.json("GET", f"/api/v1/operations/{job}?wait={bad}", status=422)["errors"][0]["loc"] == ["query", "wait"]
    face.ask("GET", f"/api/v1/operations/{NOBODY}?wait=5", status=404)


def test_operation_filters(face, trained, model):
    def ids(**query):
        page = face.json("GET", "/api/v1/operations?" + urllib.parse.urlencode({"limit": 1000, **query}))
        assert page["total"] == len(page["items"]) and page["next_cursor"] is None
        return [o["id"] for o in page["items"]], page["items"]
    every, _ = ids()
    me, at = trained["id"], trained["created_at"]
    inside = {"kind": "train", "state": "succeeded", "status": "completed", "label": "team:blue", "principal": trained["principal"],
              "since": at, "model": model, "q": "first"}
    for name, value in inside.items():
        found, items = ids(**{name: value})
        assert me in found and set(found) <= set(every), (name, value)
        if name in ("kind", "state", "principal"):
            assert {o[name] for o in items} == {value}
    assert ids(**inside)[0] == [me], "all at once"
    outside = {"kind": "compile", "state": "failed", "status": "cancelled", "label": "team:red", "principal": "nobody", "until": at,
               "model": NOBODY, "q": "no such words", "parent": NOBODY}
    for name, value in outside.items():
        assert me not in ids(**{name: value})[0], (name, value)
    for name, value in {"kind": "bake", "state": "done", "status": "done", "label": "x", "since": "yesterday", "order": "up",
                        "limit": "0", "skip": "-1", "cursor": "x"}.items():
        error = face.json("GET", f"/api/v1/operations?{name}={value}", status=400 if name == "cursor" else 422)
        assert name in error["error"] or error["errors"][0]["field"] == name, error


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_are_stable_under_inserts(face, order):
    tag = f"page-{order}"
    made = [face.json("POST", "/compile/sync", {"dsl_code": NET, "backend": "pytorch", "name": tag})["job_id"] for _ in range(5)]
    seen, cursor = [], None
    for _ in range(10):
        where = f"/api/v1/operations?limit=2&order={order}&q={tag}" + (f"&cursor={urllib.parse.quote(cursor)}" if cursor else "")
        page = face.json("GET", where)
        seen += [o["id"] for o in page["items"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
        face.json("POST", "/compile/sync", {"dsl_code": NET, "backend": "pytorch", "name": tag if order == "desc" else "other"})
    assert seen == (made if order == "asc" else made[::-1])


def test_ids_of_another_kind(face, trained, model, deployed):
    compiled = face.json("POST", "/compile/sync", {"dsl_code": NET, "backend": "pytorch"})["job_id"]
    for path, id_, kind in [("/experiments/", compiled, "compile"), ("/models/", trained["id"], "train"), ("/models/", compiled, "compile"),
                            ("/deployments/", trained["id"], "train"), ("/deployments/", model, "model"), ("/jobs/", model, "model"),
                            ("/api/v1/operations/", model, "model"), ("/experiments/", deployed, "deploy"), ("/models/", deployed, "deploy"),
                            ("/api/v1/artifacts/", compiled, "compile")]:
        error = face.json("GET", path + id_, status=404)
        assert kind in error["error"], (path, error["error"])
    error = face.json("POST", f"/api/v1/deployments/{trained['id']}/predict", {"inputs": [[0] * 16]}, 404)
    assert "train" in error["error"]
    assert face.json("GET", f"/jobs/{deployed}")["kind"] == "deploy", "/jobs takes any kind"


# ---- 12.5 deployments ----

def forward(tensors, x):
    """The network of the harness by hand: 16 inputs, 16 relu, 3 softmax; a dropout passes."""
    (_, w1), (_, b1) = tensors["dense_1.kernel"], tensors["dense_1.bias"]
    (_, w2), (_, b2) = tensors["output.kernel"], tensors["output.bias"]
    h = [max(0.0, b1[j] + sum(x[i] * w1[i * 16 + j] for i in range(16))) for j in range(16)]
    z = [b2[k] + sum(h[j] * w2[j * 3 + k] for j in range(16)) for k in range(3)]
    e = [math.exp(v - max(z)) for v in z]
    return [v / sum(e) for v in e]


ROWS = [[((7 * i + 3 * j) % 11) / 5 - 1 for j in range(16)] for i in range(3)]


def predict(face, id_, rows=ROWS, status=200, **more):
    return face.json("POST", f"/api/v1/deployments/{id_}/predict", {"inputs": rows, **more}, status)


def test_deployment_journey(face, model):
    asked = {"model_id": model, "deployment_name": "journey", "backend": "pytorch", "config": {"replicas": 2, "max_batch_size": 8},
             "environment": {"SECRET": "do-not-show"}}
    d = face.json("POST", "/deployments/", asked, 202)
    assert d["status"] == "deploying" and d["message"] == "Deployment job submitted successfully" and d["endpoint"] is None
    assert d["deployment_name"] == "journey" and d["model_id"] == model and d["replicas"] == 2
    id_ = d["deployment_id"]
    result = face.wait(id_)["result"]
    assert result["status"] == "deployed" and result["deployment_id"] == id_ and result["endpoint"].startswith(face.server.url)
    d = face.json("GET", f"/deployments/{id_}")
    assert d["status"] == "deployed" and d["health"] == "healthy" and d["error"] is None
    assert d["endpoint"] == result["endpoint"] and d["message"].endswith((".", "s")) and "known" not in d["message"]
    assert "do-not-show" not in json.dumps([d, face.json("GET", f"/api/v1/operations/{id_}"), face.json("GET", f"/jobs/{id_}")])
    listed = face.ask("GET", "/deployments/", status=200)
    assert id_ in [x["deployment_id"] for x in listed.json] and listed.headers["x-total-count"] == str(len(listed.json))

    tensors = weights(face, model)
    answer = face.json("POST", d["endpoint"][len(face.server.url):], {"inputs": ROWS})
    assert answer["model_id"] == model and answer["deployment_id"] == id_ and answer["duration_ms"] >= 0
    for row, got in zip(ROWS, answer["predictions"]):
        assert got == pytest.approx(forward(tensors, row), abs=1e-5)
    top = predict(face, id_, top_k=2)["top"]
    for got, best in zip(answer["predictions"], top):
        assert [b["score"] for b in best] == pytest.approx(sorted(got, reverse=True)[:2])

    error = face.json("POST", "/deployments/", asked, 409)
    assert error["code"] == "already_exists" and "journey" in error["error"]
    assert face.json("DELETE", f"/models/{model}", status=409)["code"] == "conflict", "in use"

    face.ask("DELETE", f"/deployments/{id_}", status=204)
    d = face.json("GET", f"/deployments/{id_}")
    assert d["status"] == "stopped" and d["endpoint"] is None and d["health"] == "unknown"
    assert id_ not in [x["deployment_id"] for x in face.json("GET", "/deployments/")]
    assert id_ in [x["deployment_id"] for x in face.json("GET", "/deployments/?status=stopped")]
    stopped = face.send("POST", f"/api/v1/deployments/{id_}/predict", {"inputs": ROWS})
    face.check("POST", f"/api/v1/deployments/{id_}/predict", stopped)
    assert stopped.status in (404, 409, 503) and "stopped" in stopped.json["error"]
    assert face.deploy("journey", model) != id_, "the name is free again"


def test_a_training_says_what_is_wrong_with_it(face):
    network = "network Deep { input: (16) layers: Dense(8, sigmoid)*12 Output(4, softmax) loss: sparse_categorical_crossentropy }"
    job = face.train(dsl_code=network, dataset="synthetic:rows=300,classes=4,shape=16", experiment_name="deep",
                     hyperparameters={"seed": 1})["job_id"]
    op = face.wait(job)
    (said,) = [w for w in op["warnings"] if w.startswith("gradient-vanishes: ")]
    assert "'dense_1'" in said and "(line 1)" in said and "relu" in said, said


def test_layers_beyond_dense_are_trained_and_served_by_the_native_engine(face):
    network = NET.replace("Dense(16", "LayerNormalization() Dense(16", 1)
    assert network != NET
    op = face.wait(face.train(dsl_code=network, experiment_name="normed")["job_id"])
    assert op["result"]["engine"] == "native" and not [w for w in op["warnings"] if "reference" in w], op
    d = face.deploy("normed", op["result"]["model_id"])
    assert face.json("GET", f"/deployments/{d}")["engine"] == "native"
    answer = face.json("POST", f"/api/v1/deployments/{d}/predict", {"inputs": ROWS})
    assert len(answer["predictions"]) == len(ROWS) and answer["warnings"] == []


def test_what_no_engine_runs_is_refused_by_the_layer_s_name(face):
    network = NET.replace("Dense(16", 'Lambda("x * 2", output_shape=[64]) Dense(16', 1)
    refused = face.wait(face.train(dsl_code=network)["job_id"], state="failed")
    assert "Lambda" in refused["error"], refused


def test_what_may_not_be_deployed(face, model):
    good = {"model_id": model, "deployment_name": "x", "backend": "native"}
    for field, value in [("deployment_name", "Upper"), ("deployment_name", "-a"), ("deployment_name", "a" * 64), ("deployment_name", "a/b"),
                         ("deployment_name", "a\nb"), ("backend", "theano"), ("config", {"replicas": 0}), ("config", {"port": 65536}),
                         ("config", {"health_check_path": "health"}), ("environment", {"A": 1})]:
        error = face.json("POST", "/deployments/", {**good, field: value}, 422)
        assert all(e["field"].startswith(field) for e in error["errors"]), error
    assert face.json("POST", "/deployments/", {**good, "model_id": NOBODY}, 404)["code"] == "model_not_found"
    bare = face.json("POST", "/compile/sync", {"dsl_code": NET, "backend": "pytorch"})["model_id"]
    error = face.json("POST", "/deployments/", {**good, "model_id": bare}, 409)
    assert error["code"] == "conflict" and "train" in json.dumps([error["error"], error["hint"]])


@pytest.mark.parametrize("body", [
    {}, {"inputs": None}, {"inputs": "x"}, {"inputs": []}, {"inputs": [[]]}, {"inputs": [[1, 2]]}, {"inputs": [[0] * 17]},
    {"inputs": [["a"] * 16]}, {"inputs": [[0] * 16, [0] * 15]}, {"inputs": [[None] * 16]}, {"inputs": {"a": 1}}, {"inputs": True},
    {"inputs": [[0] * 16], "top_k": 0}, {"inputs": [[0] * 16], "top_k": "x"}, {"inputs": [[0] * 16], "outputs": ["none"]},
    {"inputs": [[0] * 16], "outputs": 7}], ids=lambda b: json.dumps(b)[:40])
def test_wrong_predictions(face, deployed, body):
    error = face.json("POST", f"/api/v1/deployments/{deployed}/predict", body, 422)
    assert error["code"] == "validation_error" and error["errors"] and error["errors"][0]["field"].split(".")[0] in (
        "inputs", "top_k", "outputs"), error


def test_everything_is_there_after_a_restart(fresh):
    face = fresh()
    op = face.wait(face.train(training_config={"epochs": 1})["job_id"])
    id_ = face.deploy("lasting", op["result"]["model_id"])
    stopped = face.deploy("gone", op["result"]["model_id"])
    face.ask("DELETE", f"/deployments/{stopped}", status=204)
    before = predict(face, id_)["predictions"]
    listed = [face.json("GET", p) for p in ("/models/", "/experiments/", "/jobs/")]
    for end in (face.server.stop, face.server.kill):
        end()
        face.server.start()
        assert predict(face, id_)["predictions"] == before
        d = face.json("GET", f"/deployments/{id_}")
        assert d["status"] == "deployed" and d["endpoint"].startswith(face.server.url)
        assert face.json("GET", f"/deployments/{stopped}")["status"] == "stopped"
        assert [face.json("GET", p) for p in ("/models/", "/experiments/", "/jobs/")] == listed
    face.alive()


# ---- every GET route ----

def test_head_and_trailing_slash(face, trained, model, deployed):
    artifact = face.json("GET", f"/api/v1/operations/{trained['id']}")["artifacts"][0]["id"]
    real = {"job_id": trained["id"], "id": trained["id"], "model_id": model, "experiment_id": trained["id"], "deployment_id": deployed,
            "name": face.json("GET", f"/experiments/{trained['id']}")["artifacts"][0]}
    for method, path, _, _ in face.rows:
        if method != "GET":
            continue
        where = re.sub(r"\{(\w+)\}", lambda m: artifact if path.startswith("/api/v1/artifacts") else real[m[1]], path)
        plain = face.ask("GET", where, status=200)
        for method2, where2 in [("GET", where + "/"), ("HEAD", where), ("HEAD", where + "/")]:
            other = face.ask(method2, where2, status=200)
            assert other.headers["content-type"] == plain.headers["content-type"], where
            if path not in ("/metrics", "/jobs", "/experiments", "/api/v1/operations") and "health" not in path:  # those change with time
                assert other.headers["content-length"] == plain.headers["content-length"], where
                assert method2 == "HEAD" or other.body == plain.body


# ---- section 9: keys ----

def test_every_route_asks_for_a_key(face):
    public = {"/", "/health", "/api/health", "/v1/health", "/api/v1/health", "/health/live", "/live", "/health/ready", "/ready",
              "/health/detailed", "/version", "/api/v1/info", "/metrics", "/openapi.json"}
    for method, path, _, row in face.rows:
        where = re.sub(r"\{\w+\}", NOBODY, path)
        if path in public:
            assert row["security"] == [] and face.ask(method, where, key=None).status == 200, path
            continue
        assert row["security"], path
        for key, text in ((None, "API key required"), ("wrong-key-0123456789abcdef", "Invalid API key")):
            answer = face.ask(method, where, {} if method == "POST" else None, 401, key=key)
            assert answer.headers["www-authenticate"] == "ApiKey, Bearer" and answer.json["error"] == text, path


def key_command(server, *words):
    done = subprocess.run([BIN, "key", *words, "--storage", str(server.folder / "storage")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_keys_of_a_running_server(face):
    viewer = key_command(face.server, "create", "watcher", "--role", "viewer").strip()
    user = key_command(face.server, "create", "worker").strip()
    listed = {k["name"]: k for k in json.loads(key_command(face.server, "list", "--json"))}
    assert listed["watcher"]["role"] == "viewer" and listed["worker"]["role"] == "user" and viewer[:8] == listed["watcher"]["prefix"]
    assert viewer not in json.dumps(listed)
    for key in (viewer, user):  # a new key works at once, unless many wrong ones came just before
        end = time.monotonic() + 20
        while face.send("GET", "/models/", key=key).status != 200:
            assert time.monotonic() < end, "a new key does not work"
    for method, path, _, row in face.rows:
        if method == "GET" or row["x-scope"] in ("none", "read"):
            continue
        where = re.sub(r"\{\w+\}", NOBODY, path)
        error = face.ask(method, where, {} if method == "POST" else None, 403, key=viewer).json
        assert error["code"] == "forbidden" and row["x-scope"] in error["error"], path
    job = face.json("POST", "/compile/sync", {"dsl_code": NET, "backend": "pytorch"}, key=user)["job_id"]
    assert face.json("GET", f"/api/v1/operations/{job}", key=viewer)["principal"] == "worker"
    key_command(face.server, "revoke", "watcher")
    end = time.monotonic() + 20
    while face.send("GET", "/models/", key=viewer).status != 401:
        assert time.monotonic() < end, "a revoked key still works"


# ---- bad input, on every route ----

def bodies(face):
    return [(method, path, row) for method, path, _, row in face.rows if "requestBody" in row]


def filled(path, deployed=NOBODY, model=NOBODY):
    return re.sub(r"\{(\w+)\}", lambda m: {"deployment_id": deployed, "model_id": model}.get(m[1], NOBODY), path)


BAD_BODIES = {"empty": b"", "blank": b" \n", "truncated": b'{"dsl_code": "network', "not UTF-8": b'{"dsl_code": "\xff\xfe"}',
              "UTF-16": '{"dsl_code": "x"}'.encode("utf-16"), "zeros": b"\0" * 100, "brackets": b"[" * 100000, "braces": b'{"a":' * 100000,
              "closed brackets": b'{"inputs":' + b"[" * 100000 + b"]" * 100000 + b"}", "closed braces": b'{"a":' * 100000 + b"1" + b"}" * 100000,
              "null": b"null", "number": b"1", "list": b"[]", "text": b'"x"', "huge number": b'{"inputs": [1' + b"0" * 100000 + b"]}",
              "twice": b'{"dsl_code":"x","dsl_code":"y"}', "lone surrogate": b'{"dsl_code":"\\ud800"}', "NUL": b'{"dsl_code":"\\u0000"}',
              "form": b"dsl_code=x&backend=y", "long key": b'{"' + b"k" * 1000000 + b'": 1}'}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_bad_bodies(face, deployed, model, name):
    """Routes that read a body refuse it; the others take no notice."""
    for method, path, _, row in face.rows:
        known = (deployed, model) if "requestBody" in row else ()
        answer = face.ask(method, filled(path, *known), BAD_BODIES[name])
        if "requestBody" in row:
            assert answer.status in (400, 422), (path, answer.status, answer.body[:300])
        elif method == "GET" and "{" not in path:
            assert answer.status == (200 if len(BAD_BODIES[name]) <= 65536 else 413), path


def test_a_100_mb_body(face, deployed):
    for method, path, _, row in face.rows:
        if method != "POST":
            continue
        c = Raw(face.server)
        try:
            c.send(request(method, filled(path, deployed), [f"X-API-Key: {KEY}", f"Content-Length: {100 << 20}"]))
            for _ in range(100):
                c.send(b" " * (1 << 20))
        except ConnectionError:
            pass
        answer = c.answer()
        c.close()
        if answer is not None:  # a reset may overtake the answer, as with any server that does not read to the end
            face.check(method, path, answer)
            assert answer.status == 413, (path, answer.status)
    c = Raw(face.server).send(request("POST", "/compile/sync", [f"X-API-Key: {KEY}", f"Content-Length: {100 << 20}"]))
    assert c.answer().status == 413, "told at the header"


EXAMPLES = {"null": None, "boolean": True, "integer": 7, "number": 1.5, "string": "text", "array": [], "object": {}}


MODEL_DATA = {"input": {"shape": [4]}, "layers": [{"type": "Dense", "params": {"units": 2}}]}


def good_body(path, model):
    return {"/compile": {"dsl_code": NET, "backend": "pytorch"}, "/compile/sync": {"dsl_code": NET, "backend": "pytorch"},
            "/jobs/train": {"dsl_code": NET, "dataset": data(), "training_config": {"epochs": 1}},
            "/api/parse": {"dsl_code": NET}, "/api/compile": {"dsl_code": NET, "backend": "pytorch"},
            "/api/shape-propagation": {"model_data": MODEL_DATA}, "/api/generate-code": {"model_data": MODEL_DATA, "backend": "pytorch"},
            "/deployments": {"model_id": model, "deployment_name": "good", "backend": "native"}}.get(path, {"inputs": [[0] * 16]})


def wrong_values(face, schema, path=()):
    """(path, value) that the schema does not allow, for each of its properties and bounds."""
    schema = face.document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema
    required = schema.get("required", [])
    for name, p in schema.get("properties", {}).items():
        at = path + (name,)
        kinds = p.get("type", "object" if "$ref" in p or "anyOf" in p else list(EXAMPLES))
        kinds = set([kinds] if isinstance(kinds, str) else kinds)
        kinds |= {"integer"} if "number" in kinds else set()
        kinds |= {"null"} if name not in required else set()  # null counts as absent
        for kind in set(EXAMPLES) - kinds:
            yield at, EXAMPLES[kind]
        if "$ref" in p:
            yield from wrong_values(face, p, at)
        if "minimum" in p:
            yield at, p["minimum"] - 1
        if "maximum" in p:
            yield at, p["maximum"] + 1
        if p.get("minLength"):
            yield at, ""
            yield at, " \t\n"
        if "maxLength" in p:
            yield at, "x" * (p["maxLength"] + 1)
        if "enum" in p:
            yield at, "no such word"
        if p.get("items", {}).get("type") == "string":
            yield at, [7]
            if "maxItems" in p:
                yield at, ["x"] * (p["maxItems"] + 1)
        if isinstance(p.get("additionalProperties"), dict) and p["additionalProperties"].get("type") == "string":
            yield at, {"a": 7}


def put(body, path, value):
    body = copy.deepcopy(body)
    at = body
    for name in path[:-1]:
        at = at.setdefault(name, {})
    at[path[-1]] = value
    return body


def test_wrong_types_of_every_field(face, model, deployed):
    tried = 0
    for method, path, row in bodies(face):
        schema = row["requestBody"]["content"]["application/json"]["schema"]
        for at, value in wrong_values(face, schema):
            if at[0] == "inputs":
                continue  # any value by its schema; see test_wrong_predictions
            answer = face.ask(method, filled(path, deployed, model), put(good_body(path, model), at, value))
            where = (path, at, str(value)[:50], answer.status, answer.body[:500])
            assert answer.status == 422 and answer.json["code"] in ("validation_error", "unsupported"), where
            if answer.json["code"] == "validation_error":
                named = ".".join(at)
                assert all(e["field"] == named or e["field"].startswith(named + ".") for e in answer.json["errors"]), where
                assert answer.json["errors"] == answer.json["detail"] != [], where
            tried += 1
    assert tried > 200


def test_numbers_at_their_edges(face, model):
    for value in (2 ** 63, -2 ** 63 - 1, 10 ** 400):
        body = json.dumps({"dsl_code": NET, "dataset": data(), "training_config": {"epochs": value}}).encode()
        assert face.ask("POST", "/jobs/train", body).status in (400, 422)
    for text in ("1e999", "NaN", "Infinity", "0x10", "01", "+1", ".5", "1."):
        body = b'{"dsl_code": "x", "dataset": "' + data().encode() + b'", "training_config": {"learning_rate": ' + text.encode() + b"}}"
        assert face.ask("POST", "/jobs/train", body).status == 400, text
    body = {"dsl_code": NET, "dataset": data(), "training_config": {"epochs": 9007199254740993}}
    assert face.json("POST", "/jobs/train", body, 422)["errors"][0]["type"] == "out_of_range"


def test_unknown_fields_are_named(face, model, deployed):
    for method, path, row in bodies(face):
        body = good_body(path, model)
        inner = {"/jobs/train": "training_config", "/deployments": "config"}.get(path)
        body["no_such_field"] = {"x": [1]}
        if inner:
            body = put(body, (inner, "no_such_member"), 1)
        if path == "/deployments":
            body["deployment_name"] = "unknown-fields"
        answer = face.ask(method, filled(path, deployed, model), body)
        assert answer.status in (200, 202), (path, answer.body[:500])
        warnings = answer.json["warnings"]
        assert len([w for w in warnings if "no_such_field" in w]) == 1, warnings
        assert len([w for w in warnings if f"{inner}.no_such_member" in w]) == (1 if inner else 0), warnings
        if "operation_id" in answer.json:
            op = face.json("GET", f"/api/v1/operations/{answer.json['operation_id']}?wait=60")
            assert op["warnings"] == warnings or set(warnings) <= set(op["warnings"]), (path, op["warnings"])
    job = face.train(training_config={"epochs": 1, "epoch": 2, "batchsize": 3}, experiment_nme="x")
    text = " ".join(job["warnings"])
    assert all(f"'{meant}'" in text for meant in ("training_config.epochs", "training_config.batch_size", "experiment_name")) or all(
        f"'{meant}'" in text for meant in ("epochs", "batch_size", "experiment_name")), text
    face.wait(job["job_id"])


BAD_IDS = {"missing": NOBODY, "short": "x", "long": "a" * 5000, "NUL": "%00", "path": "..%2f..%2f..%2fetc%2fpasswd", "not UTF-8": "%ff%fe",
           "emoji": "%F0%9F%92%A5", "SQL": "'%20OR%201=1%20--", "percent": "%25s%25n", "blank": "%20", "dots": "%2e%2e", "star": "*",
           "upper case": NOBODY.upper(), "newline": "a%0d%0aSet-Cookie:%20x", "at": "@", "version": "Tiny@999999999999999999999999"}


@pytest.mark.parametrize("name", BAD_IDS)
def test_bad_ids(face, model, name):
    for method, path, _, row in face.rows:
        if "{" not in path:
            continue
        where = re.sub(r"\{\w+\}", lambda m: BAD_IDS[name], path)
        body = good_body(path, model) if "requestBody" in row else None
        answer = face.ask(method, where, body)
        assert answer.status in (400, 404, 414), (path, answer.status, answer.body[:300])
        assert "set-cookie" not in answer.headers and b"root:" not in answer.body
        if answer.status == 404:
            assert answer.json["code"] in ("not_found", "model_not_found")


def test_bad_queries(face, trained, model):
    real = {"job_id": trained["id"], "id": trained["id"], "model_id": model, "experiment_id": trained["id"]}
    tried = 0
    for method, path, _, row in face.rows:
        for p in row.get("parameters", []):
            if p["in"] != "query":
                continue
            where = re.sub(r"\{(\w+)\}", lambda m: real[m[1]], path)
            schema, bad = p["schema"], ["%00", "%ff"]
            if schema.get("type") in ("integer", "number"):
                bad += ["x", "1x", "nan", "inf", "0x10", "", "%201", "1" + "0" * 400, str(schema.get("minimum", 0) - 1)]
                bad += [str(schema["maximum"] + 1)] if schema.get("maximum", 1e18) < 1e15 else []
            elif "enum" in schema:
                bad += ["no-such-word", ""]
            elif "maxLength" in schema:
                bad += ["x" * (schema["maxLength"] + 1)]
            for value in bad:
                answer = face.ask(method, f"{where}?{p['name']}={value}")
                assert answer.status in (400, 414, 422), (path, p["name"], value[:40], answer.status, answer.body[:300])
                if answer.status == 422 and answer.json["errors"]:
                    assert [e["loc"] for e in answer.json["errors"]] == [["query", p["name"]]]
                tried += 1
    assert tried > 100


# ---- the disk, the port, the storage, the data ----

@contextlib.contextmanager
def mounted(folder, options):
    """A small file system of its own at folder."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "neural-test", str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no right to mount a file system: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path, leave=0):
    """Takes all but `leave` bytes of the file system of path."""
    with open(path, "wb", buffering=0) as f:
        for piece in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    f.write(b"x" * piece)
        if leave:
            f.truncate(max(0, f.tell() - leave))


def test_full_disk(tmp_path, fresh):
    with mounted(tmp_path / "storage", "size=12m"):
        face = fresh()
        face.wait(face.train(training_config={"epochs": 1})["job_id"])
        kept = face.json("POST", "/compile/sync", {"dsl_code": NET, "backend": "pytorch"})
        ballast = tmp_path / "storage" / "ballast"
        fill(ballast)
        refused = 0
        for _ in range(20):  # the database has pages of its own left, for a while
            answer = face.ask("POST", "/compile/sync", {"dsl_code": NET, "backend": "pytorch"})
            refused += answer.status == 500
            assert answer.status == 200 or answer.json["code"] == "storage_error", answer.body[:500]
        assert refused, "nothing was refused on a full disk"
        answer = face.ask("POST", "/jobs/train", {"dsl_code": NET, "dataset": data(), "training_config": {"epochs": 1}})
        assert answer.status == 500 and answer.json["code"] == "storage_error" and "space" in answer.json["hint"]
        assert str(tmp_path) not in answer.body.decode(), "no path of the server"
        assert face.json("GET", f"/jobs/{kept['job_id']}")["status"] == "completed", "what is stored can be read"
        assert face.ask("GET", f"/models/{kept['model_id']}/download").status == 200
        face.alive()
        not_ready = face.ask("GET", "/ready", status=503)
        assert not_ready.headers["retry-after"]
        ballast.unlink()
        end = time.monotonic() + 30
        while face.send("GET", "/ready").status != 200:
            assert time.monotonic() < end, "not ready again after space was freed"
        face.wait(face.train(training_config={"epochs": 1})["job_id"])
        assert face.json("POST", "/compile/sync", {"dsl_code": NET, "backend": "pytorch"})["status"] == "completed"
        face.alive()
        assert face.server.stop() == 0


def test_training_on_a_full_disk(tmp_path, fresh):
    """There is room for the record of the operation, and none for its checkpoint."""
    with mounted(tmp_path / "storage", "size=16m"):
        face = fresh()
        face.json("POST", "/compile/sync", {"dsl_code": NET, "backend": "pytorch"})
        ballast = tmp_path / "storage" / "ballast"
        fill(ballast, 1 << 20)
        job = face.train(dsl_code=HARD, training_config={"epochs": 3})["job_id"]
        op = face.wait(job, "failed")
        assert op["error_code"] == "storage_error" and "space" in op["error"], op["error"]
        assert face.json("GET", f"/experiments/{job}")["status"] == "failed"
        face.alive()
        ballast.unlink()
        face.wait(face.train(dsl_code=HARD, training_config={"epochs": 1})["job_id"])
        assert face.server.stop() == 0


def refused_start(*flags, env=None):
    done = subprocess.run([BIN, "serve", "--port", "0", *flags], capture_output=True, text=True, timeout=60, env={**os.environ, **(env or {})})
    assert done.returncode not in (0, -11, -6) and done.returncode > 0 and done.stdout == "", (done.returncode, done.stdout)
    return done.stderr


def test_read_only_data_directory(tmp_path):
    with mounted(tmp_path / "ro", "ro,size=1m"):
        for storage in (tmp_path / "ro", tmp_path / "ro" / "storage"):
            text = refused_start("--storage", str(storage))
            assert str(storage) in text and "--storage" in text, text


def test_storage_that_was_made_read_only(tmp_path, fresh):
    with mounted(tmp_path / "storage", "size=12m"):
        face = fresh()
        face.json("POST", "/compile/sync", {"dsl_code": NET, "backend": "pytorch"})
        assert face.server.stop() == 0
        subprocess.run(["mount", "-o", "remount,ro", str(tmp_path / "storage")], check=True)
        text = refused_start("--storage", str(tmp_path / "storage"))
        assert str(tmp_path / "storage") in text and "--storage" in text, text
        subprocess.run(["mount", "-o", "remount,rw", str(tmp_path / "storage")], check=True)
        face.server.start()
        assert face.json("GET", "/jobs/")["total"] == 1
        assert face.server.stop() == 0


def test_storage_that_is_no_directory(tmp_path):
    (tmp_path / "file").write_text("x")
    for storage in (tmp_path / "file", tmp_path / "file" / "below"):
        text = refused_start("--storage", str(storage))
        assert str(tmp_path / "file") in text and "--storage" in text, text
    folder = tmp_path / "damaged"
    folder.mkdir()
    (folder / "neural.db").write_bytes(b"this is no database, but long enough to be read as one" * 100)
    text = refused_start("--storage", str(folder))
    assert str(folder / "neural.db") in text and (folder / "neural.db").read_bytes().startswith(b"this is no"), text


def test_storage_of_a_running_server(face):
    text = refused_start("--storage", str(face.server.folder / "storage"))
    assert str(face.server.folder / "storage") in text and "--storage" in text, text


def test_port_in_use(face, tmp_path):
    done = subprocess.run([BIN, "serve", "--port", str(face.server.port), "--storage", str(tmp_path / "s")], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode > 0 and str(face.server.port) in done.stderr and "--port" in done.stderr, done.stderr


def test_a_missing_data_set_names_its_package(fresh):
    face = fresh(env={"NEURAL_DATA_DIR": "/nonexistent"})
    op = face.wait(face.train(dataset="mnist", training_config={"epochs": 1}, dsl_code=NET.replace("(4, 4, 1)", "(28, 28, 1)").replace(
        "Output(3", "Output(10"))["job_id"], "failed")
    assert op["error_code"] in ("data_error", "not_found") and "mnist" in op["error"], op
    assert "neural data get mnist" in json.dumps(op), "Debian has no package of this one: the way out is the other"
    face.alive()
