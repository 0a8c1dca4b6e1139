#!/usr/bin/env python3
"""The whole journey on real images: check a network, generate code, train it on a server, deploy it, ask it over HTTP.

usage: demo.py NEURAL          (the binary; standard library only)
"""
import gzip
import json
import os
import pathlib
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
NET = ROOT / "examples/fashion_cnn.neural"
IMAGES = pathlib.Path("/usr/share/datasets/fashion-mnist")
CLASSES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


def say(text):
    print(f"\n== {text}", flush=True)


def run(*argv):
    print("$ neural", *(os.path.relpath(a, ROOT) if str(a).startswith(str(ROOT)) else a for a in argv[1:]), flush=True)
    subprocess.run(argv, check=True)


class Server:
    def __init__(self, neural, folder):
        self.key = secrets.token_urlsafe(24)
        env = dict(os.environ, NEURAL_API_KEY=self.key)
        self.process = subprocess.Popen([neural, "serve", "--port", "0", "--storage", folder, "--log-level", "WARNING"], env=env,
                                        cwd=folder, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        print(line, end="", flush=True)
        self.url = re.search(r"http://\S+:\d+", line)[0]

    def ask(self, method, path, body=None):
        request = urllib.request.Request(self.url + path, method=method, data=json.dumps(body).encode() if body is not None else None,
                                         headers={"Content-Type": "application/json", "X-API-Key": self.key})
        try:
            with urllib.request.urlopen(request) as r:
                return json.loads(r.read() or "null")
        except urllib.error.HTTPError as e:
            sys.exit(f"{method} {path}: {e.code} {e.read().decode()}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(timeout=60) != 0:
            sys.exit("the server did not stop cleanly")


def train(server):
    job = server.ask("POST", "/jobs/train", {"dsl_code": NET.read_text(), "dataset": "fashion-mnist",
                                             "training_config": {"epochs": 3}, "hyperparameters": {"seed": 1}})
    print(f"POST /jobs/train -> {job['job_id']}", flush=True)
    shown = -1
    while True:
        op = server.ask("GET", f"/api/v1/operations/{job['job_id']}?wait=2")
        progress = op["progress"] or {}
        if int(progress.get("fraction", 0) * 10) > shown:
            shown = int(progress.get("fraction", 0) * 10)
            print(f"  {op['state']}: {progress.get('step') or 'starting'}, {100 * progress.get('fraction', 0):.0f} %", flush=True)
        if op["state"] in ("succeeded", "failed", "cancelled", "timed_out"):
            break
    if op["state"] != "succeeded":
        sys.exit(f"the training ended {op['state']}: {op['error']}")
    return op


def deploy(server, model_id):
    d = server.ask("POST", "/deployments/", {"model_id": model_id, "deployment_name": "fashion", "backend": "native"})
    op = server.ask("GET", f"/api/v1/operations/{d['deployment_id']}?wait=60")
    if op["state"] != "succeeded":
        sys.exit(f"the deployment ended {op['state']}: {op['error']}")
    d = server.ask("GET", f"/deployments/{d['deployment_id']}")
    print(f"POST /deployments/ -> {d['status']} at {d['endpoint']}", flush=True)
    return d["deployment_id"]


def predict(server, deployment):
    images = gzip.open(IMAGES / "t10k-images-idx3-ubyte.gz").read()[16:16 + 5 * 784]
    labels = gzip.open(IMAGES / "t10k-labels-idx1-ubyte.gz").read()[8:13]
    rows = [[[[p] for p in images[i * 784 + y * 28:i * 784 + (y + 1) * 28]] for y in range(28)] for i in range(5)]
    server.ask("POST", f"/api/v1/deployments/{deployment}/predict", {"inputs": rows})
    begin = time.perf_counter()
    answer = server.ask("POST", f"/api/v1/deployments/{deployment}/predict", {"inputs": rows, "top_k": 1})
    took = (time.perf_counter() - begin) * 1e3
    for i, top in enumerate(answer["top"]):
        print(f"  test image {i}: {top[0]['class']} ({top[0]['score']:.3f}); it is {CLASSES[labels[i]]}")
    return took, sum(top[0]["class"] == CLASSES[label] for top, label in zip(answer["top"], labels))


def main():
    neural = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="neural-demo-") as folder:
        say("a network in text, its shapes, and the same in PyTorch")
        run(neural, "check", NET)
        run(neural, "shapes", NET)
        run(neural, "compile", NET, "--backend", "pytorch", "-o", os.path.join(folder, "fashion.py"))
        say("a server that trains it on 60,000 images")
        server = Server(neural, folder)
        op = train(server)
        metrics = op["result"]["final_metrics"]
        say("deployed, and asked over HTTP about images it has never seen")
        deployment = deploy(server, op["result"]["model_id"])
        took, right = predict(server, deployment)
        server.stop()
    say("measured")
    print(f"  trained in {op['duration_s']:.1f} s; test accuracy {metrics['test_accuracy']:.4f}; "
          f"{right} of 5 images right; 5 predictions answered in {took:.1f} ms")


main()
