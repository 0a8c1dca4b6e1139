"""Stopping: by signal with work under way, twice, and at full disk. Nothing is lost, nobody is left without an answer."""
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from harness import BIN, KEY, NET, Server, data

LONG = {"dataset": data(50000), "training_config": {"epochs": 1000}}


@pytest.fixture
def server(tmp_path):
    s = Server(tmp_path, "--engine.threads", "1")
    yield s
    s.stop()
    assert s.runners() == []


def running(server, operation, attempt=1):
    """Waits until this attempt runs and an epoch has been reported."""
    while True:
        op = server.ok("GET", f"/api/v1/operations/{operation}")
        if op["state"] == "running" and op["progress"] and op["attempt"] == attempt:
            return op
        assert op["state"] in ("queued", "starting", "running") and op["attempt"] <= attempt, op
        time.sleep(0.02)


class Asking:
    """A request that the server has read; answer() waits for what it says."""

    def __init__(self, server, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else b""
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        self.connection.request(method, path, data, {"X-API-Key": KEY, "Content-Type": "application/json"})
        mine = self.connection.sock.getsockname()[1]
        while not is_read(server.port, mine):
            time.sleep(0.005)

    def answer(self):
        r = self.connection.getresponse()
        return r.status, json.loads(r.read())


def is_read(server_port, client_port):
    """Whether the kernel holds nothing of this connection that the server has yet to accept or to read."""
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, here, there, _, queues, _, _, _, _, inode = line.split()[:10]
        if int(here[-4:], 16) == server_port and int(there[-4:], 16) == client_port:
            return inode != "0" and int(queues.split(":")[1], 16) == 0
    return False


def log(server):
    return [json.loads(line) for line in server.log_text().splitlines()]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_with_a_training(server, how):
    operation = server.train(**LONG)
    running(server, operation)
    waiting = [Asking(server, "GET", f"/api/v1/operations/{operation}?wait=300") for _ in range(4)]
    server.process.send_signal(how)
    assert server.process.wait(20) == 0
    for status, op in (w.answer() for w in waiting):
        assert status == 200 and op["state"] == "running"
    assert server.runners() == []
    server.start()
    assert running(server, operation, attempt=2)["error"] is None, "it goes on, and nobody is blamed"
    lines = log(server)
    assert {"stopping; a second signal ends the program at once", "stopped"} <= {e["msg"] for e in lines}
    assert [e for e in lines if e["level"] in ("ERROR", "WARNING")] == []
    server.ok("DELETE", f"/jobs/{operation}", status=204)
    assert server.wait(operation)["state"] == "cancelled"


def test_a_second_signal_ends_at_once(server):
    """A client that is half way through its request holds the first one up."""
    operation = server.train(**LONG)
    running(server, operation)
    slow = socket.create_connection(("127.0.0.1", server.port))
    slow.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    server.ok("GET", "/health")
    server.process.send_signal(signal.SIGTERM)
    while "second signal" not in server.log_text():
        time.sleep(0.02)
    while server.process.poll() is None:  # until the signal is no longer held back
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.02)
    assert server.process.returncode == -signal.SIGTERM
    end = time.monotonic() + 10
    while server.runners() and time.monotonic() < end:
        time.sleep(0.02)
    assert server.runners() == []
    server.start()
    running(server, operation, attempt=2)
    server.ok("DELETE", f"/jobs/{operation}", status=204)
    server.wait(operation)


def test_a_stop_while_starting(tmp_path):
    """At random points of the start: it ends by itself and the next one starts."""
    for i in range(12):
        p = subprocess.Popen([BIN, "serve", "--port", "0", "--storage", str(tmp_path / "storage")], cwd=tmp_path,
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(i * 0.002)
        p.send_signal(signal.SIGTERM)
        text = p.communicate(timeout=30)[1].decode()
        assert p.returncode in (0, -signal.SIGTERM) and '"ERROR"' not in text, text
    server = Server(tmp_path)
    assert server.ok("GET", "/health")["status"] == "healthy"
    assert server.stop() == 0


def deployed(server, name):
    model = server.wait(server.train(training_config={"epochs": 1}))["result"]["model_id"]
    deployment = server.ok("POST", "/deployments/", {"model_id": model, "deployment_name": name, "backend": "native"}, 202)
    assert server.wait(deployment["deployment_id"])["state"] == "succeeded"
    return deployment["deployment_id"]


def test_predictions_under_way_are_answered(server):
    deployment = deployed(server, "tiny")
    rows = {"inputs": [[0.5] * 16] * 20000}
    asking = [Asking(server, "POST", f"/api/v1/deployments/{deployment}/predict", rows) for _ in range(6)]
    server.process.send_signal(signal.SIGTERM)
    for status, answer in (a.answer() for a in asking):
        assert status == 200 and len(answer["predictions"]) == 20000
    assert server.process.wait(60) == 0
    server.start()
    assert server.ok("GET", f"/deployments/{deployment}")["health"] == "healthy", "deployments come back"
    assert server.ok("DELETE", f"/deployments/{deployment}", status=204) is None
    assert server.ok("GET", f"/deployments/{deployment}")["status"] == "stopped"


def test_a_deployment_that_is_deleted_under_load(server):
    deployment, over, seen = deployed(server, "tiny"), threading.Event(), []

    def ask():
        while not over.is_set():
            seen.append(server.ask("POST", f"/api/v1/deployments/{deployment}/predict", {"inputs": [[0.5] * 16]})[0])
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for t in threads:
        t.start()
    while seen.count(200) < 50:
        time.sleep(0.01)
    server.ok("DELETE", f"/deployments/{deployment}", status=204)
    while seen.count(409) < 20:
        time.sleep(0.01)
    over.set()
    for t in threads:
        t.join()
    assert set(seen) == {200, 409}


def test_a_cancelled_deployment_lets_its_name_go(server):
    deployment = deployed(server, "tiny")
    model = server.ok("GET", f"/deployments/{deployment}")["model_id"]
    body = {"model_id": model, "deployment_name": "tiny", "backend": "native"}
    assert server.ask("POST", "/deployments/", body)[0] == 409
    for _ in range(5):  # deleted before or while it comes up: it never stays live
        server.ok("DELETE", f"/deployments/{deployment}", status=204)
        deployment = server.ok("POST", "/deployments/", body, 202)["deployment_id"]
    server.ok("DELETE", f"/deployments/{deployment}", status=204)
    server.wait(deployment)
    assert server.ok("GET", f"/deployments/{deployment}")["status"] == "stopped"
    assert server.ask("POST", f"/api/v1/deployments/{deployment}/predict", {"inputs": [[0.5] * 16]})[0] == 409


@pytest.fixture
def small_disk(tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place]).returncode:
        pytest.skip("a small tmpfs cannot be mounted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(place):
    with open(place / "ballast", "wb", buffering=0) as f:
        try:
            while f.write(b"x" * 4096):
                pass
        except OSError:
            pass


def test_a_full_disk(small_disk):
    server = Server(small_disk.parent, "--store", f"sqlite:////{str(small_disk).lstrip('/')}/neural.db")
    try:
        request = {"dsl_code": NET, "backend": "pytorch"}
        job = server.ok("POST", "/compile/sync", request)["job_id"]
        operation = server.train(**LONG)
        running(server, operation)
        fill(small_disk)
        statuses = []
        while statuses.count(500) < 20:  # what is still free in the write-ahead log is used up first
            status, body = server.ask("POST", "/compile/sync", request)
            statuses.append(status)
            assert status in (200, 500) and (status == 200 or body["code"] == "storage_error"), body
        assert server.ok("GET", f"/jobs/{job}")["status"] == "completed", "reading goes on"
        spent = cpu(server)
        before = len(log(server))
        time.sleep(3)  # a span to look at, not a wait
        assert cpu(server) - spent < 1.5, "a busy loop"
        flood = [e for e in log(server)[before:] if e["level"] == "ERROR"]
        assert len(flood) <= 4, flood
        (small_disk / "ballast").unlink()
        assert server.ok("POST", "/compile/sync", request)["status"] == "completed"
        server.ok("DELETE", f"/jobs/{operation}", status=204)
        assert server.wait(operation)["state"] == "cancelled"
        assert server.stop() == 0
    finally:
        server.stop()


def cpu(server):
    """Seconds of processor time that the server (not its children) has used."""
    fields = pathlib.Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
