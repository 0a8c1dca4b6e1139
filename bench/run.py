#!/usr/bin/env /usr/bin/python3
"""make bench: measure Neural beside its opponents in one run and print ratios against the budgets.

usage: run.py [language | train | sequences | accuracy | start | http] …          (default: all groups)

Opponents and ours take turns; medians over the repetitions, the spread beside each. Absolute figures are information, the ratios are what
the budgets are about. Nothing here fails a build: a missed budget is printed as such and the exit status is 1.
"""
import http.client
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
NEURAL = ROOT / "build/release/neural"
TRAINER = ROOT / "build/release/bench_train_native"
SEQUENCE_TRAINER, SEQUENCES = ROOT / "build/release/bench_train_sequences", ("lstm", "transformer")
LANGUAGE = ROOT / "build/release/bench_language"
BLAS = "/usr/lib/x86_64-linux-gnu/openblas-openmp"
REPEAT = int(os.environ.get("BENCH_REPEAT", "5"))
missed = []


def row(what, ours, theirs, ratio, budget, ok, unit=""):
    print(f"{what:44s} {ours:>16s} {theirs:>34s} {ratio:>8s}  {budget:12s} {'ok' if ok else 'MISSED'} {unit}", flush=True)
    if not ok:
        missed.append(what)


def spread(values, form="{:,.0f}"):
    return f"{form.format(statistics.median(values))} ±{100 * (max(values) - min(values)) / 2 / statistics.median(values):.0f}%"


def build(target):
    subprocess.run(["ninja", "--quiet", "-C", ROOT / "build/release", target], check=True)


# ---- the language, in process

def language(*argv):
    """Median, relative spread and further numbers of one measurement."""
    return [float(x) for x in subprocess.run([str(LANGUAGE), *argv], check=True, capture_output=True, text=True).stdout.split()]


def bench_language():
    build("bench_language")
    print("\nlanguage and code generation, in process, one thread\n")
    for name, budget in [("mnist_mlp", 60), ("fashion_cnn", 60)]:
        value, half = language("check", str(ROOT / f"examples/{name}.neural"))
        row(f"parse, check and shapes, {name}, µs", f"{value:.1f} ±{100 * half:.0f}%", "", "", f"<= {budget}", value <= budget)
    for backend in ("pytorch", "tensorflow", "keras-json", "onnx"):
        value, half = language("codegen", str(ROOT / "examples/mnist_mlp.neural"), backend)
        row(f"code generation, mnist_mlp, {backend}, µs", f"{value:.1f} ±{100 * half:.0f}%", "", "", "<= 100", value <= 100)
    for layers, budget in [(1000, None), (10000, 60), (100000, None)]:
        value, half, each = language("grow", str(layers))
        row(f"{layers:,} layers, ms", f"{value:.2f} ±{100 * half:.0f}%", f"{1e3 * value / layers:.2f} µs a layer", "",
            f"<= {budget}" if budget else "", not budget or value <= budget)
        row(f"{layers:,} layers, bytes a layer", f"{each:.0f}", "", "", "<= 2048", each <= 2048)


# ---- training, against the fastest of several PyTorch configurations

def opponents(model):
    malloc = {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=4294967296"}
    jemalloc = {"LD_PRELOAD": "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"}
    last = ["channels_last"] if model == "cnn" else []
    yield "stock kernels", {}, last
    for core in ("SkylakeX", "Zen", "Haswell"):
        yield core, {"OPENBLAS_CORETYPE": core}, last
    for name, extra in (("malloc", malloc), ("jemalloc", jemalloc)):
        yield name, extra, last
        yield name + " foreach", extra, last + ["foreach"]
        yield name + " avx2", {**extra, "ATEN_CPU_CAPABILITY": "avx2"}, last
        yield name + " SkylakeX", {**extra, "OPENBLAS_CORETYPE": "SkylakeX"}, last
        yield name + " SkylakeX foreach", {**extra, "OPENBLAS_CORETYPE": "SkylakeX"}, last + ["foreach"]
    if model == "cnn":
        yield "malloc channels first", malloc, []


def torch(model, batch, threads, seconds, env, flags):
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "LD_LIBRARY_PATH": BLAS, **env}
    script = ROOT / "bench" / ("torch_sequences.py" if model in SEQUENCES else "torch_train.py")
    out = subprocess.run(["taskset", "-c", "0-%d" % (threads - 1), "/usr/bin/python3", script, model, str(batch), str(seconds), *flags],
                         env=env, capture_output=True, text=True, check=True).stdout
    return float(out)


def ours(model, batch, threads, seconds=2):
    program = SEQUENCE_TRAINER if model in SEQUENCES else TRAINER
    out = subprocess.run(["taskset", "-c", "0-%d" % (threads - 1), program, model, str(batch), str(threads), str(seconds)],
                         capture_output=True, text=True, check=True).stdout
    return float(re.search(r"([\d,.]+) (?:samples|tokens)/s", out)[1].replace(",", ""))


IMAGES = [("mlp", 64, 1, 1.8), ("mlp", 64, 2, 1.8), ("cnn", 64, 1, 1.5), ("cnn", 64, 2, 1.5)]
SEQUENCE_ROWS = [("lstm", 32, 1, 2.4), ("lstm", 4, 1, 8), ("lstm", 32, 2, 3.3), ("lstm", 4, 2, 10), ("transformer", 32, 1, 1.6),
                 ("transformer", 4, 1, 1.8), ("transformer", 32, 2, 2.0), ("transformer", 4, 2, 2.4)]


def bench_train():
    print("\ntraining, samples/s: ours beside the fastest PyTorch configuration of those tried\n")
    build("bench_train_native")
    contests(IMAGES)


def bench_sequences():
    print("\ntraining on sequences, tokens/s: ours beside the fastest PyTorch configuration of those tried\n")
    build("bench_train_sequences")
    contests(SEQUENCE_ROWS)


def contests(rows):
    for model, batch, threads, budget in rows:
        tried = {name: (env, flags) for name, env, flags in opponents(model)}
        first = {name: torch(model, batch, threads, 1, *cfg) for name, cfg in tried.items()}
        best = sorted(first, key=first.get, reverse=True)[:3]
        mine, theirs = [], {name: [] for name in best}
        for _ in range(REPEAT):
            mine.append(ours(model, batch, threads))
            for name in best:
                theirs[name].append(torch(model, batch, threads, 2, *tried[name]))
        winner = max(best, key=lambda name: statistics.median(theirs[name]))
        ratio = statistics.median(mine) / statistics.median(theirs[winner])
        row(f"{model} batch {batch}, {threads} thread{'s' * (threads > 1)}", spread(mine), f"{spread(theirs[winner])} ({winner})",
            f"{ratio:.2f}", f">= {budget}", ratio >= budget)


# ---- what a training comes to, by our engine and by the generated PyTorch program

def last_line(argv, folder, **env):
    """The result that a training reports as JSON, and how long the training took."""
    begin = time.perf_counter()
    out = subprocess.run(argv, cwd=folder, env={**os.environ, **env}, capture_output=True, text=True, check=True).stdout
    return json.loads(out.splitlines()[-1])["test_accuracy"], time.perf_counter() - begin


def bench_accuracy(name="fashion_cnn", data="fashion-mnist"):
    print("\naccuracy on the test rows, the same program and seed: our engine beside the PyTorch program that is generated from it\n")
    source, seed, threads = str(ROOT / f"examples/{name}.neural"), os.environ.get("BENCH_SEED", "1"), str(os.cpu_count())
    with tempfile.TemporaryDirectory(prefix="neural-bench-") as folder:
        subprocess.run([str(NEURAL), "compile", source, "--backend", "pytorch", "-o", "net.py"], cwd=folder, check=True, capture_output=True)
        mine, mine_s = last_line([str(NEURAL), "train", source, "--data", data, "--seed", seed, "--json", "-o", "net.safetensors"], folder)
        theirs, theirs_s = last_line(["/usr/bin/python3", "net.py", "--data", data, "--seed", seed, "--json", "--device", "cpu"], folder,
                                     OMP_NUM_THREADS=os.environ.get("OMP_NUM_THREADS", threads), LD_LIBRARY_PATH=BLAS)
    away = 100 * abs(mine - theirs)
    row(f"{name}, seed {seed}, accuracy in %", f"{100 * mine:.2f} ({mine_s:.0f} s)", f"{100 * theirs:.2f} ({theirs_s:.0f} s) (generated)",
        f"{away:.2f}", "< 1 point", away < 1)


# ---- starting

def run_time(argv):
    begin = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
    os.waitpid(pid, 0)
    return (time.perf_counter() - begin) * 1e3


class Server:
    """`neural serve` in an empty folder, on a free port, pinned to core 0; .started is ms from exec to the first /health."""

    def __init__(self, *flags, threads=1):
        self.folder = tempfile.mkdtemp(prefix="neural-bench-")
        begin = time.perf_counter()
        argv = ["taskset", "-c", "0", str(NEURAL), "serve", "--port", "0", "--rate_limit.enabled", "false", "--http-threads", str(threads),
                "--log-level", "WARNING", *flags]
        self.process = subprocess.Popen(argv, cwd=self.folder, stdout=subprocess.PIPE, text=True)
        self.port = int(re.search(r":(\d+)", self.process.stdout.readline())[1])
        while True:
            try:
                self.get("/health")
                break
            except OSError:
                time.sleep(0.0005)
        self.started = (time.perf_counter() - begin) * 1e3

    def get(self, path, method="GET", body=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        c.request(method, path, body and json.dumps(body), {"Content-Type": "application/json", "X-API-Key": os.environ["NEURAL_API_KEY"]})
        r = c.getresponse()
        data = r.read()
        if r.status >= 400:
            sys.exit(f"{method} {path}: {r.status} {data.decode()}")
        return json.loads(data) if data else None

    def rss(self):
        return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status").read_text())[1]) / 1024

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        shutil.rmtree(self.folder)


def bench_start():
    print("\nstarting and standing by\n")
    check = sorted(run_time([str(NEURAL), "check", str(ROOT / "examples/fashion_cnn.neural")]) for _ in range(200))
    row("neural check, exec to exit, ms", f"{check[100]:.2f} (p99 {check[198]:.2f})", "", "", "<= 10", check[100] <= 10)
    times, rss = [], []
    for _ in range(max(REPEAT, 5)):
        server = Server(threads=4)
        times.append(server.started)
        time.sleep(1)
        rss.append(server.rss())
        server.stop()
    row("serve, exec to first /health, ms", spread(times, "{:.1f}"), "", "", "<= 50", statistics.median(times) <= 50)
    row("idle server, resident MiB", spread(rss, "{:.1f}"), "", "", "<= 30", statistics.median(rss) <= 30)


# ---- HTTP

def wrk(url, *args, connections=64, seconds=3):
    out = subprocess.run(["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *args, url],
                         capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out:
        sys.exit(f"{url}: {out}")
    unit = {"us": 1, "ms": 1e3, "s": 1e6}
    p50 = re.search(r"50%\s+([\d.]+)(us|ms|s)", out)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), float(p50[1]) * unit[p50[2]]


class Nginx:
    def __init__(self, port):
        self.folder = tempfile.mkdtemp(prefix="nginx-bench-")
        conf = pathlib.Path(self.folder, "nginx.conf")
        conf.write_text(f"""daemon off; worker_processes 1; error_log stderr crit; pid {self.folder}/pid;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 100000000;
  client_body_temp_path {self.folder}; proxy_temp_path {self.folder}; fastcgi_temp_path {self.folder};
  uwsgi_temp_path {self.folder}; scgi_temp_path {self.folder};
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ default_type application/json;
    return 200 '{{"status":"healthy","version":"1","uptime_s":1}}'; }} }} }}""")
        self.process = subprocess.Popen(["taskset", "-c", "0", "nginx", "-c", str(conf)], stderr=subprocess.DEVNULL)
        time.sleep(0.3)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        shutil.rmtree(self.folder)


def free_port():
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def bench_health(server):
    nginx_port = free_port()
    nginx = Nginx(nginx_port)
    mine, theirs = [], []
    for _ in range(REPEAT):
        mine.append(wrk(f"http://127.0.0.1:{server.port}/health")[0])
        theirs.append(wrk(f"http://127.0.0.1:{nginx_port}/health")[0])
    nginx.stop()
    ratio = statistics.median(mine) / statistics.median(theirs)
    row("GET /health, requests/s", spread(mine), spread(theirs) + " (nginx return 200)", f"{ratio:.2f}", ">= 0.7", ratio >= 0.7)


def bench_predict(server):
    source = (ROOT / "examples/mnist_mlp.neural").read_text()
    job = server.get("/jobs/train", "POST", {"dsl_code": source, "dataset": "fashion-mnist",
                                             "training_config": {"epochs": 1}})
    done = server.get(f"/api/v1/operations/{job['job_id']}?wait=300")
    if done["state"] != "succeeded":
        sys.exit(f"training: {done['error']}")
    d = server.get("/deployments/", "POST", {"model_id": done["result"]["model_id"], "deployment_name": "bench", "backend": "native"})
    server.get(f"/api/v1/operations/{d['deployment_id']}?wait=60")
    path = f"/api/v1/deployments/{d['deployment_id']}/predict"
    body = {"inputs": [[i % 256 for i in range(784)]]}
    engine = statistics.median(server.get(path, "POST", body)["duration_ms"] * 1e3 for _ in range(200))
    script = pathlib.Path(server.folder, "post.lua")
    script.write_text("wrk.method = 'POST'\nwrk.body = '%s'\nwrk.headers['Content-Type'] = 'application/json'\nwrk.headers['X-API-Key'] = '%s'\n"
                      % (json.dumps(body), os.environ["NEURAL_API_KEY"]))
    p50 = [wrk(f"http://127.0.0.1:{server.port}{path}", "-s", str(script), connections=1)[1] for _ in range(REPEAT)]
    over = statistics.median(p50) - engine
    row("predict 784 values, 1 client, p50 µs", spread(p50), f"{engine:.0f} (the engine alone)", f"+{over:.0f}", "<= +250", over <= 250)
    rate = [wrk(f"http://127.0.0.1:{server.port}{path}", "-s", str(script))[0] for _ in range(REPEAT)]
    print(f"{'predict 784 values, 64 clients, requests/s':44s} {spread(rate):>16s}")


def bench_http():
    print("\nHTTP, the server on core 0, wrk on core 1\n")
    os.environ["NEURAL_API_KEY"] = "bench-key-of-32-characters-12345"
    server = Server()
    bench_health(server)
    bench_predict(server)
    server.stop()


GROUPS = {"language": bench_language, "train": bench_train, "sequences": bench_sequences, "accuracy": bench_accuracy, "start": bench_start,
          "http": bench_http}


def main():
    names = sys.argv[1:] or list(GROUPS)
    if any(n not in GROUPS for n in names):
        sys.exit(__doc__)
    os.environ.setdefault("NEURAL_API_KEY", "bench-key-of-32-characters-12345")
    cpu = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    print(f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores, {platform.platform()}; {REPEAT} repetitions, medians ± half the spread")
    for n in names:
        GROUPS[n]()
    if missed:
        print("\nmissed: " + "; ".join(missed))
    return 1 if missed else 0


sys.exit(main())
