"""neural fmt: in place, to standard output, as a check and as a diff."""
import os
import re
import stat

import pytest

from conftest import ROOT

UGLY = "network A{input:(4,)  # four\r\nDense( 3 );loss : 'mse'}"
GOOD = 'network A {\n    input: (4,)  # four\n    Dense(3)\n    loss: "mse"\n}\n'


def patched(text, diff):
    """The text with a unified diff applied, as POSIX describes it."""
    lines, out, at = text.splitlines(keepends=True), [], 0
    for hunk in re.split(r"(?m)^(?=@@)", diff)[1:]:
        head, *body = hunk.splitlines(keepends=True)
        first, count = re.match(r"@@ -(\d+)(?:,(\d+))? ", head).groups()
        begin = int(first) - (count != "0")
        out += lines[at:begin]
        at = begin
        for i, line in enumerate(body):
            if line[0] == "\\":
                continue
            content = line[1:-1] if i + 1 < len(body) and body[i + 1][0] == "\\" else line[1:]
            if line[0] in " -":
                assert lines[at] == content
                at += 1
            if line[0] in " +":
                out.append(content)
    return "".join(out + lines[at:])


@pytest.fixture
def ugly(tmp_path):
    path = tmp_path / "ugly.neural"
    path.write_bytes(UGLY.encode())
    return path


def test_in_place(neural, ugly):
    ugly.chmod(0o664)
    r = neural("fmt", "ugly.neural")
    assert r.code == 0 and r.out == "formatted ugly.neural\n" and r.err == "", r
    assert ugly.read_text() == GOOD and stat.S_IMODE(ugly.stat().st_mode) == 0o664
    before = ugly.stat().st_ino
    r = neural("fmt", "ugly.neural")
    assert r.code == 0 and r.out == "" and ugly.stat().st_ino == before, r


def test_behind_a_link(neural, ugly, tmp_path):
    (tmp_path / "link").symlink_to(ugly)
    assert neural("fmt", "link").code == 0
    assert (tmp_path / "link").is_symlink() and ugly.read_text() == GOOD


def test_standard_streams(neural, ugly):
    r = neural("fmt", "-", input=UGLY)
    assert r.code == 0 and r.out == GOOD, r
    r = neural("fmt", "--stdout", "ugly.neural", "ugly.neural")
    assert r.code == 0 and r.out == GOOD + GOOD and ugly.read_bytes() == UGLY.encode(), r


def test_check(neural, ugly, tmp_path):
    (tmp_path / "good.neural").write_text(GOOD)
    r = neural("fmt", "--check", "good.neural", "ugly.neural")
    assert r.code == 1 and r.out == "ugly.neural\n" and "1 of 2 files would change" in r.err, r
    assert ugly.read_bytes() == UGLY.encode()
    assert neural("fmt", "--check", "good.neural").code == 0
    assert neural("fmt", "--check", "-", input=UGLY).out == "<stdin>\n"


@pytest.mark.parametrize("name", ["batch_norm", "fashion_cnn", "one_line", "repeated"])
def test_diff(neural, tmp_path, name):
    text = (ROOT / f"examples/{name}.neural").read_text()
    messy = text.replace("    ", "\t") + "\n\n"
    for source in (text, messy, messy.rstrip()):
        (tmp_path / "net.neural").write_text(source)
        r = neural("fmt", "--diff", "net.neural")
        assert r.code == 0 and (tmp_path / "net.neural").read_text() == source, r
        if r.out:
            assert r.out.startswith("--- net.neural\n+++ net.neural\n@@ -"), r
        assert patched(source, r.out) == neural("fmt", "-", input=source).out


def test_diff_has_hunks(neural, tmp_path):
    layers = [f"    Dense({i})\n" for i in range(40)]
    bad = list(layers)
    bad[5], bad[30] = "  Dense(5)\n", "    Dense( 30 )\n"
    (tmp_path / "net.neural").write_text("network A {\n" + "".join(bad) + "}\n")
    r = neural("fmt", "--check", "--diff", "net.neural")
    assert r.code == 1 and r.out.count("@@ -") == 2 and len(r.out.splitlines()) == 2 + 2 * 9, r
    assert "@@ -4,7 +4,7 @@\n     Dense(2)\n" in r.out and "-  Dense(5)\n+    Dense(5)\n" in r.out, r


def test_errors_leave_the_file(neural, ugly, tmp_path):
    bad = tmp_path / "bad.neural"
    bad.write_text("network A { Dense(3 }")
    r = neural("fmt", "bad.neural", "missing.neural", "ugly.neural")
    assert r.code == 3 and "unclosed '('" in r.err and "bad.neural: 1 error" in r.err and "missing.neural" in r.err, r
    assert bad.read_text() == "network A { Dense(3 }" and ugly.read_text() == GOOD
    assert neural("fmt", "bad.neural").code == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to every file")
def test_read_only_file(neural, ugly):
    ugly.chmod(0o444)
    r = neural("fmt", "ugly.neural")
    assert r.code == 4 and "ugly.neural" in r.err and ugly.read_bytes() == UGLY.encode(), r


def test_usage(neural, ugly):
    for option in ("--check", "--diff"):
        r = neural("fmt", "--stdout", option, "ugly.neural")
        assert r.code == 2 and "--stdout does not go with" in r.err, r
    assert neural("fmt").code == 2
