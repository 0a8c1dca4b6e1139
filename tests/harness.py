"""A running server for black-box tests: start, ask, kill, look for what it left behind."""
import json
import os
import pathlib
import re
import select
import signal
import subprocess
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
BIN = os.environ.get("NEURAL_BIN", str(ROOT / "build/release/neural"))
KEY = "test-key-0123456789abcdef"
ENDED = ("succeeded", "failed", "cancelled", "timed_out")

NET = """network Tiny {
  input: (4, 4, 1)
  layers: Flatten() Dense(16, activation="relu") Dropout(0.2) Output(3, activation="softmax")
  loss: "sparse_categorical_crossentropy"
  optimizer: Adam(learning_rate=0.01)
}
"""


def data(rows=512):
    return f"synthetic:rows={rows},classes=3,shape=4x4x1"


class Server:
    """`neural serve` on a free port with its storage in `folder`; may be started again after kill() or stop()."""

    def __init__(self, folder, *flags, env=None):
        self.folder, self.flags = pathlib.Path(folder), flags
        ours = {k: v for k, v in os.environ.items() if k not in ("NEURAL_BIN", "NEURAL_CORPUS")}  # no settings of the server
        self.env = {**ours, "NEURAL_API_KEY": KEY, **(env or {})}
        self.process = None
        self.start()

    def start(self):
        self.log = open(self.folder / "server.log", "ab")
        self.process = subprocess.Popen([BIN, "serve", "--port", "0", "--storage", str(self.folder / "storage"),
                                         "--rate_limit.enabled", "false", *self.flags], cwd=self.folder, env=self.env,
                                        stdout=subprocess.PIPE, stderr=self.log)
        if not select.select([self.process.stdout], [], [], 60)[0]:
            raise AssertionError("the server did not come up within a minute")
        line = self.process.stdout.readline().decode()
        found = re.search(r"http://([\d.]+|\[::1\]):(\d+)", line)
        if not found:
            raise AssertionError(f"no address in {line!r}; log: {self.log_text()}")
        self.url, self.port = found[0], int(found[2])
        return self

    def log_text(self):
        return (self.folder / "server.log").read_text(errors="replace")

    def ask(self, method, path, body=None, headers=None, raw=False):
        """(status, body): the body as JSON, or as bytes with raw=True."""
        h = {"X-API-Key": KEY, **(headers or {})}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            h.setdefault("Content-Type", "application/json")
        request = urllib.request.Request(self.url + path, method=method, data=body, headers=h)
        try:
            with urllib.request.urlopen(request, timeout=330) as r:
                status, text = r.status, r.read()
        except urllib.error.HTTPError as e:
            status, text = e.code, e.read()
        return status, text if raw else json.loads(text) if text else None

    def ok(self, method, path, body=None, status=None):
        got, answer = self.ask(method, path, body)
        assert got == status if status else got < 300, (method, path, got, answer)
        return answer

    def train(self, **request):
        body = {"dsl_code": NET, "dataset": data(), "hyperparameters": {"seed": 7}, **request}
        return self.ok("POST", "/jobs/train", body, 202)["job_id"]

    def wait(self, operation, seconds=120):
        """The operation once it has ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            op = self.ok("GET", f"/api/v1/operations/{operation}?wait=10")
            if op["state"] in ENDED:
                return op
        raise AssertionError(f"still {op['state']} after {seconds} s: {op}\n{self.log_text()[-3000:]}")

    def children(self):
        """Process ids of the server's children."""
        found = []
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                if int(stat.read_text().rsplit(")", 1)[1].split()[1]) == self.process.pid:
                    found.append(int(stat.parts[2]))
            except (OSError, IndexError):
                pass
        return found

    def runners(self):
        """Process ids of operations that work in this server's folder, whoever their parent is."""
        found = []
        for cmd in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = cmd.read_bytes().split(b"\0")
            except OSError:
                continue
            if b"operation" in words and any(str(self.folder).encode() in w for w in words):
                found.append(int(cmd.parts[2]))
        return found

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=60)
        return self.process.returncode

    def weights(self, model_id):
        """The bytes of all tensors of a model, without the file's head."""
        model = self.ok("GET", f"/models/{model_id}")
        name = next(f["name"] for f in model["metadata"]["files"] if f["name"].endswith(".safetensors"))
        status, bytes_ = self.ask("GET", f"/models/{model_id}/download?file={name}", raw=True)
        assert status == 200
        return bytes_[8 + int.from_bytes(bytes_[:8], "little"):]
