#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The conformance matrix: every op of src/graph/ops.def x every backend, each cell proven by running or with the reason.

    matrix.py [--json FILE]     ($NEURAL_BIN, $NN_BUILD: what is tested; $NODE_PATH: where packages of npm are)

Cases are the programs of test_torch_reference.py (every layer over a grid of its arguments) and the random networks of
tests/conformance/suite, each run by `neural verify` with weights and inputs drawn by a seed. `ok N`: N cases with that op were
run, and each agrees with the reference engine. Exit status 1: something differs, or a cell has neither proof nor reason.
"""
import argparse
import collections
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("NN_BUILD", ROOT / "build/dev"))
NEURAL = pathlib.Path(os.environ.get("NEURAL_BIN", BUILD / "neural"))
OPS = re.findall(r"^NN_OP\(\w+, +(\w+),", (ROOT / "src/graph/ops.def").read_text(), re.M)
CHUNK = 50

# A code generator that `neural verify` has no row for. Its cells say what was written, never `ok`.
TENSORFLOW = ("written, not run here: TensorFlow is not in Debian. The program comes from the same table of layers as keras-json, and "
              "tests/codegen compares the calls that it makes with that description")


def write_cases(folder):
    """The programs as files, by what made them."""
    sys.path.insert(0, str(ROOT / "tests/conformance"))
    import test_torch_reference  # the table of cases is what is wanted; torch comes with it

    for name, (program, *_) in test_torch_reference.CASES.items():
        (folder / f"{name}.neural").write_text(program)
    done = subprocess.run([BUILD / "conformance_suite", "random_dump"], env={**os.environ, "NN_RANDOM_CASES": str(folder)},
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # what nothing runs, so that its row has its reason
    (folder / "custom.neural").write_text('network A { input: (3,) layers: Lambda("x * 2", output_shape=3) Dense(2) }')
    return sorted(folder.glob("*.neural"))


def node_path():
    """npm's packages: where the caller says, else where `make deps` puts them for the tests."""
    here = ROOT / "tests/node/node_modules"
    return os.pathsep.join(p for p in (os.environ.get("NODE_PATH", ""), str(here) if here.exists() else "") if p)


def verify(paths, seed=1):
    """A result a path, in their order."""
    done = subprocess.run([NEURAL, "verify", *paths, "--json", "--seed", str(seed)], capture_output=True, text=True, timeout=600,
                          env={**os.environ, "NODE_PATH": node_path()}, check=False)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["file"] for r in results] == [str(p) for p in paths], done.stdout[-2000:] + done.stderr[-2000:]
    return results


def writes(path, backend):
    """None: the backend writes the program; else why not."""
    done = subprocess.run([NEURAL, "compile", path, "--backend", backend, "--output", os.devnull, "--dry-run"], capture_output=True,
                          text=True, timeout=60, check=False)
    return done.stderr.partition("neural: ")[2].partition("\n")[0] if done.returncode else None


class Matrix:
    def __init__(self):
        self.agree = collections.Counter()  # (op, backend)
        self.skipped = collections.defaultdict(collections.Counter)  # (op, backend): reasons
        self.size = {}  # (op, backend, reason): ops of the smallest case
        self.wrong = collections.defaultdict(list)  # (op, backend): what differs or failed
        self.absent = {}  # backend: why it cannot be run here
        self.written = collections.Counter()  # op: programs that the generator `tensorflow` writes
        self.backends = []
        self.cases = 0

    def add(self, result):
        name = pathlib.Path(result["file"]).stem
        if "error" in result:
            assert name == "custom", f"{name}: {result['error']}"
            self.custom = result["error"]
            return
        self.cases += 1
        self.add_written(result)
        for b in result["backends"]:
            if b["name"] not in self.backends:
                self.backends.append(b["name"])
            if b["status"] == "skipped" and not b["version"]:
                self.absent[b["name"]] = b["reason"]
            for op in result["ops"]:
                self.count(name, op, len(result["ops"]), b)

    def add_written(self, result):
        if "tensorflow" in self.absent:
            return
        why = writes(result["file"], "tensorflow")
        if why and "is not available" in why:
            self.absent["tensorflow"] = "this program has no code generator 'tensorflow'"
            return
        for op in result["ops"]:
            if why is None:
                self.written[op] += 1
            else:
                self.skip(op, "tensorflow", why, len(result["ops"]))

    def skip(self, op, backend, why, n_ops):
        self.skipped[op, backend][why] += 1
        at = (op, backend, why)
        self.size[at] = min(n_ops, self.size.get(at, n_ops))

    def count(self, name, op, n_ops, b):
        key = op, b["name"]
        if b["status"] == "agrees":
            self.agree[key] += 1
        elif b["status"] == "skipped":
            self.skip(op, b["name"], b["reason"], n_ops)
        else:
            first = b.get("first_difference")
            if first is None or first["op"] == op:
                self.wrong[key].append(f"{name}: {b['reason'] or first and first['relative_l2']}")

    def reason(self, key):
        """Why nothing ran: of the smallest case, which has the least else in it."""
        op = key[0]
        reasons = sorted(self.skipped[key], key=lambda r: (self.size[(*key, r)], op not in r, r))
        return reasons[0] if reasons else None

    def cell(self, op, backend):
        """(text, reason)"""
        key = op, backend
        if backend == "tensorflow" and self.written[op]:
            return f"written {self.written[op]}", TENSORFLOW
        if op == "custom":
            return "reason", self.custom
        if self.wrong[key]:
            return f"WRONG {len(self.wrong[key])}", "; ".join(self.wrong[key][:3])
        if self.agree[key]:
            skipped = sum(self.skipped[key].values())
            return f"ok {self.agree[key]}" + (f" -{skipped}" if skipped else ""), None
        reason = self.absent.get(backend) or self.reason(key)
        return ("reason", reason) if reason else ("MISSING", None)

    def rows(self):
        columns = [*self.backends, "tensorflow"]
        return columns, {op: {b: self.cell(op, b) for b in columns} for op in OPS}

    def bad(self):
        _, rows = self.rows()
        return [f"{op} x {b}: {text} {why or ''}" for op, row in rows.items() for b, (text, why) in row.items()
                if text.startswith(("WRONG", "MISSING"))]

    def print(self, out=sys.stdout):
        columns, rows = self.rows()
        notes = {}
        wide = max(map(len, OPS))
        print(f"{'op':{wide}}  " + "  ".join(f"{c:16}" for c in columns), file=out)
        for op, row in rows.items():
            cells = []
            for text, why in row.values():
                if why:
                    text = f"{'' if text == 'reason' else text + ' '}[{notes.setdefault(why, len(notes) + 1)}]"
                cells.append(f"{text:16}")
            print(f"{op:{wide}}  " + "  ".join(cells).rstrip(), file=out)
        print(f"\n{self.cases} networks; ok N -M: N cases agree with the reference engine, M are skipped", file=out)
        for why, n in notes.items():
            print(f"[{n}] {why}", file=out)


def chunks(paths, n=CHUNK):
    return [paths[i:i + n] for i in range(0, len(paths), n)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="the cells as JSON, too")
    options = parser.parse_args()
    matrix = Matrix()
    with tempfile.TemporaryDirectory() as folder:
        for part in chunks(write_cases(pathlib.Path(folder))):
            for result in verify(part):
                matrix.add(result)
    matrix.print()
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(matrix.rows()[1], indent=1) + "\n")
    for line in matrix.bad():
        print(line, file=sys.stderr)
    return 1 if matrix.bad() else 0


if __name__ == "__main__":
    sys.exit(main())
