"""Fixtures of the API tests: servers with the settings that a test needs, and raw sockets to them."""
import json
import os
import pathlib
import socket
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from harness import KEY, ROOT, Server

CORPUS = pathlib.Path(os.environ.get("NEURAL_CORPUS", ROOT.parent / "shared" / "corpus"))


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


class Raw:
    """A connection: bytes out, answers in. Reading ends with None when the server has closed."""

    def __init__(self, server, timeout=20):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=timeout)
        self.buffer = b""

    def send(self, data):
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)
        return self

    def more(self):
        try:
            piece = self.socket.recv(65536)
        except ConnectionResetError:
            piece = b""
        self.buffer += piece
        return bool(piece)

    def answer(self, head_only=False):
        while b"\r\n\r\n" not in self.buffer:
            if not self.more():
                return None
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        version, status = lines[0].split(" ", 2)[:2]
        assert version == "HTTP/1.1", lines[0]
        headers = {}
        for line in lines[1:]:
            name, colon, value = line.partition(": ")
            assert colon, line
            headers[name.lower()] = value
        if head_only or status in ("100", "204", "304"):
            return Answer(int(status), headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Answer(int(status), headers, self.chunks())
        n = int(headers["content-length"])
        while len(self.buffer) < n:
            assert self.more(), "the body ends early"
        body, self.buffer = self.buffer[:n], self.buffer[n:]
        return Answer(int(status), headers, body)

    def chunks(self):
        body = b""
        while True:
            while b"\r\n" not in self.buffer:
                assert self.more(), "a chunked body ends early"
            size, _, self.buffer = self.buffer.partition(b"\r\n")
            n = int(size, 16)
            while len(self.buffer) < n + 2:
                assert self.more(), "a chunk ends early"
            body, end, self.buffer = body + self.buffer[:n], self.buffer[n:n + 2], self.buffer[n + 2:]
            assert end == b"\r\n"
            if n == 0:
                return body

    def closed_within(self, seconds):
        """Whether the server closes the connection, having sent nothing more than what is in the buffer."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                if not self.more():
                    return True
            except TimeoutError:
                return False
        return False

    def close(self):
        self.socket.close()


def request(method="GET", path="/health", headers=(), body=b"", host="127.0.0.1"):
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """start("--flag", "value", env={…}) gives a running server; all are stopped at the end of the module."""
    servers = []

    def run(*flags, env=None):
        servers.append(Server(tmp_path_factory.mktemp("server"), *flags, env=env))
        return servers[-1]
    yield run
    for s in servers:
        assert s.stop() == 0, s.log_text()[-3000:]


@pytest.fixture(scope="module")
def server(start):
    """One that asks for a key, as most do."""
    return start("--server.allowed_hosts", "a", "--server.read_timeout_s", "3", "--server.max_request_size", "1M")


@pytest.fixture
def raw(server):
    opened = []

    def connect(to=None, **options):
        opened.append(Raw(to or server, **options))
        return opened[-1]
    yield connect
    for c in opened:
        c.close()


@pytest.fixture(scope="session")
def key():
    return f"X-API-Key: {KEY}"
