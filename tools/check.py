#!/usr/bin/env python3
"""Run the project's checks and end with the line `N passed, N failed`.

usage: check.py test | check | lint

A step is a row of STEPS: a name, the sets it belongs to, a command, and how its output is counted. `test` is the inner loop, `check`
everything that one machine can run, `lint` what reads the sources only. Every step runs, also after a failure; what failed is printed
whole and the exit status is 1.
"""
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTEST = "/usr/bin/python3 -m pytest -q -p no:cacheprovider --timeout=120"
SOURCES = "git ls-files -co --exclude-standard 'src/*.[ch]' 'tests/*.[ch]' 'bench/*.[ch]'"


def build(preset, targets="all", extra=""):
    return f"cmake --preset {preset} {extra} >/dev/null && ninja --quiet -C build/{preset} {targets}"


def count_cmocka(text):
    """cmocka's own lines, summed over the programs that ctest ran."""
    passed = sum(int(n) for n in re.findall(r"\[  PASSED  \] (\d+) test", text))
    failed = sum(int(n) for n in re.findall(r"\[  FAILED  \] (\d+) test", text))
    return passed, failed


def count_pytest(text):
    tail = text.strip().splitlines()[-1] if text.strip() else ""
    n = lambda word: sum(int(x) for x in re.findall(rf"(\d+) {word}", tail))
    return n("passed"), n("failed") + n("error")


def count_one(_):
    return 1, 0


CTEST = "ctest --test-dir build/{0} --output-on-failure --verbose --no-tests=error -j2"
# name, sets, command, counter
STEPS = [
    ("folder edges", "test check lint", "/usr/bin/python3 tools/check_layers.py", count_one),
    ("layout", "check lint", f"{SOURCES} | xargs clang-format --dry-run -Werror", count_one),
    ("clang-tidy", "lint", build("dev", "llhttp") + f" && {SOURCES} | grep '^src.*\\.c$' |"
     " xargs clang-tidy -p build/dev --quiet --checks='-*,bugprone-*,-bugprone-easily-swappable-parameters,"
     "-bugprone-narrowing-conversions,-bugprone-reserved-identifier,-bugprone-implicit-widening-of-multiplication-result'"
     " --warnings-as-errors='*'", count_one),
    ("build release", "check", build("release", "neural bench_train_native bench_language forward"), count_one),
    ("build dev", "test check", build("dev"), count_one),
    ("unit, conformance, golden", "test check", CTEST.format("dev"), count_cmocka),
    ("build clang", "check", build("clang"), count_one),
    ("build asan", "check", build("asan"), count_one),
    ("the same under ASan, UBSan", "check", CTEST.format("asan"), count_cmocka),
    ("build tsan", "check", build("tsan"), count_one),
    ("threads under TSan", "check", "OMP_NUM_THREADS=1 " + CTEST.format("tsan") + " -R 'unit_(base|store|jobs|net|serve|api)'", count_cmocka),
    ("build fuzz", "check", build("fuzz", "fuzzers"), count_one),
    ("fuzz, a short run each", "check", CTEST.format("fuzz").replace("-j2", "-j2 -R fuzz_"), count_one),
    ("generated code", "check", f"{PYTEST} tests/codegen", count_pytest),
    ("against PyTorch", "check", f"{PYTEST} tests/conformance", count_pytest),
    ("command line", "check", f"{PYTEST} tests/cli", count_pytest),
    ("HTTP", "check", f"{PYTEST} tests/api", count_pytest),
    ("faults", "check", f"{PYTEST} tests/fault", count_pytest),
]


def run(name, command, counter):
    start = time.monotonic()
    # OMP_WAIT_POLICY: two-thread teams that spin while other tests run take ten times as long
    env = dict(os.environ, OMP_WAIT_POLICY="passive", TSAN_OPTIONS="allocator_may_return_null=1")
    env.setdefault("NEURAL_BIN", os.path.join(ROOT, "build/release/neural"))
    done = subprocess.run(command, shell=True, cwd=ROOT, env=env, text=True, errors="replace", stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    passed, failed = counter(done.stdout)
    if done.returncode != 0:
        passed, failed = (0, 1) if counter is count_one else (passed, max(failed, 1))
        print(done.stdout[-20000:], flush=True)
    elif passed == 0:
        failed = 1
        print(done.stdout[-4000:], f"{name}: no test ran", sep="\n", flush=True)
    print(f"{'ok  ' if not failed else 'FAIL'} {name}: {passed} passed, {failed} failed, {time.monotonic() - start:.0f} s", flush=True)
    return passed, failed


def main():
    which = sys.argv[1] if len(sys.argv) == 2 else ""
    steps = [s for s in STEPS if which in s[1].split()]
    if not steps:
        sys.exit(__doc__)
    results = [run(name, command, counter) for name, _, command, counter in steps]
    passed, failed = (sum(r[i] for r in results) for i in (0, 1))
    print(f"{passed} passed, {failed} failed")
    return failed != 0


sys.exit(main())
