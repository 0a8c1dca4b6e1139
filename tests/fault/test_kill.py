"""kill -9 of the server and of the training child at random points: nothing is lost, doubled or left behind, and a training that was
interrupted ends with the very weights of one that was not."""
import os
import pathlib
import random
import signal
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from harness import Server, data

EPOCHS, ROWS = 12, 8192


@pytest.fixture
def server(tmp_path):
    s = Server(tmp_path, "--engine.threads", "1")
    yield s
    s.stop()
    assert s.runners() == []


def request():
    return {"dataset": data(ROWS), "training_config": {"epochs": EPOCHS, "batch_size": 16, "validation_split": 0.1}}


def check_end(server, op):
    """Invariants of a training that ended well."""
    assert op["state"] == "succeeded" and op["progress"]["fraction"] == 1, op
    experiment = server.ok("GET", f"/experiments/{op['id']}")
    assert experiment["status"] == "completed"
    steps = [point["step"] for point in experiment["metrics"]["history"]]
    assert steps == sorted(set(steps)) and len(steps) == EPOCHS, steps
    models = [m for m in server.ok("GET", "/models/")["models"] if m["metadata"]["experiment_id"] == op["id"]]
    assert len(models) == 1
    return server.weights(op["result"]["model_id"])


def test_ten_kills(server):
    random.seed(os.environ.get("FAULT_SEED", "11"))
    begin = time.monotonic()
    whole = check_end(server, server.wait(server.train(**request())))
    length = time.monotonic() - begin
    for i in range(10):
        operation = server.train(**request())
        time.sleep(random.uniform(0, length))  # a random point, not a wait for something
        killed_child = False
        if i % 2:
            server.kill()
            assert_gone(server)
            server.start()
        else:
            killed_child = kill_children(server)
        op = server.wait(operation)
        if killed_child and op["state"] == "failed":  # a child that is killed is a failure with a reason
            assert "signal 9" in op["error"] and op["error_details"]["signal"] == "Killed", op
            assert server.ok("GET", f"/experiments/{operation}")["status"] == "failed"
        else:
            assert check_end(server, op) == whole, f"kill {i}: other weights"
    everything = server.ok("GET", "/api/v1/operations?kind=train")
    assert everything["total"] == 11 and {op["state"] for op in everything["items"]} <= {"succeeded", "failed"}


def kill_children(server):
    pids = server.children()
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return bool(pids)


def assert_gone(server, seconds=10):
    """No process that worked for the killed server is left."""
    end = time.monotonic() + seconds
    while server.runners() and time.monotonic() < end:
        time.sleep(0.02)
    assert server.runners() == []


def test_cancel_ends_the_child(server):
    operation = server.train(dataset=data(100000), training_config={"epochs": 1000})
    while not server.runners():
        time.sleep(0.02)
    server.ok("DELETE", f"/jobs/{operation}", status=204)
    op = server.wait(operation)
    assert op["state"] == "cancelled" and op["error_code"] in (None, "cancelled")
    assert_gone(server)
    status, body = server.ask("DELETE", f"/jobs/{operation}")
    assert status == 400 and body["code"] == "not_cancellable"


def test_a_stop_keeps_the_queue(server):
    ids = [server.train(**request()) for _ in range(3)]
    assert server.stop() == 0
    assert_gone(server)
    server.start()
    weights = {check_end(server, server.wait(i)) for i in ids}
    assert len(weights) == 1
