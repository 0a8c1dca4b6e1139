"""The command line from the outside: results, exit codes, and what it says to wrong input."""
import json
import os
import pathlib
import pty
import stat
import subprocess
import sys

import pytest

from conftest import BIN, NET, ROOT

COMMANDS = ["check", "shapes", "fmt", "parse", "diff", "search-space", "visualize", "compile", "train", "predict", "data", "serve", "key", "model", "config", "operation", "doctor",
            "completion", "reference", "version", "help"]


def fails(result, code, *words):
    """The command failed with this exit status and said so on stderr in one readable piece."""
    assert result.code == code, result
    for word in words:
        assert word in result.err, result
    assert "Sanitizer" not in result.err and "core dumped" not in result.err, result


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(neural, command):
    r = neural(command, "--help")
    assert r.code == 0 and f"usage: neural {command}" in r.out, r


def test_help_lists_every_command(neural):
    r = neural("--help")
    assert r.code == 0
    for command in COMMANDS:
        assert f"  {command} " in r.out


def test_unknown_command_suggests(neural):
    fails(neural("chekc"), 2, "unknown command 'chekc'", "did you mean 'check'")


def test_unknown_option_suggests(neural, net):
    fails(neural("compile", net, "--backnd", "pytorch"), 2, "--backnd", "did you mean '--backend'")


def test_missing_operand(neural):
    fails(neural("check"), 2, "FILE... is missing", "usage: neural check")


def test_option_without_value_and_twice(neural, net):
    fails(neural("compile", net, "--backend"), 2, "--backend needs a value")
    fails(neural("compile", net, "-b", "pytorch", "--backend=pytorch"), 2, "given twice")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_every_command(neural, shell):
    r = neural("completion", shell)
    assert r.code == 0 and all(c in r.out for c in COMMANDS)


def test_bash_completion_completes(neural, tmp_path):
    (tmp_path / "c.sh").write_text(neural("completion", "bash").out)
    script = ("source c.sh; COMP_WORDS=(neural ch); COMP_CWORD=1; _neural; echo ${COMPREPLY[@]};"
              "COMP_WORDS=(neural predict --spl); COMP_CWORD=2; _neural; echo ${COMPREPLY[@]};"
              "COMP_WORDS=(neural predict --split te); COMP_CWORD=3; _neural; echo ${COMPREPLY[@]}")
    out = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True).stdout.split("\n")
    assert out[:3] == ["check", "--split", "test"], out


# ---- check, shapes, compile

def test_check_good(neural, net):
    r = neural("check", net)
    # Flatten 0, Dense 16*8+8 = 136, Output 8*3+3 = 27
    assert r.code == 0 and "163 parameters" in r.out and r.err == "", r


def test_check_json(neural, net):
    r = neural("check", net, "--json")
    (row,) = json.loads(r.out)
    assert row["ok"] and row["network"]["parameters"] == 163 and row["diagnostics"] == []


def test_check_reads_standard_input(neural):
    r = neural("check", "-", input=NET)
    assert r.code == 0, r


def test_check_reports_every_error(neural, tmp_path):
    (tmp_path / "bad.neural").write_text(NET.replace("Dense(8", "Dens(8").replace("Adam(learning_rate=0.01)", "Adamm(learning_rate=-1)"))
    r = neural("check", "bad.neural")
    fails(r, 1, "bad.neural:5:5: error:", "did you mean 'Dense'", "did you mean 'Adam'", "^")
    r = neural("check", "bad.neural", "--json")
    (row,) = json.loads(r.out)
    assert r.code == 1 and not row["ok"] and len(row["diagnostics"]) >= 2
    assert {"severity", "code", "message", "line", "column", "end_line", "end_column", "snippet", "hint", "fixes"} <= set(row["diagnostics"][0])


def test_shapes_table(neural, net):
    r = neural("shapes", net)
    assert r.code == 0 and "(batch, 16)" in r.out and "(batch, 3)" in r.out and "parameters: 163" in r.out, r


def test_compile_writes_python(neural, net, tmp_path):
    r = neural("compile", net, "--backend", "pytorch")
    assert r.code == 0 and (tmp_path / "net_pytorch.py").exists(), r
    again = neural("compile", net, "--backend", "torch", "-o", "-")
    assert again.code == 0
    text = (tmp_path / "net_pytorch.py").read_text()
    assert again.out.replace("-o -", "") == again.out and "nn.Module" in text
    compile(text, "net_pytorch.py", "exec")


def test_compile_unknown_backend(neural, net):
    fails(neural("compile", net, "--backend", "invalid"), 3, "backend 'invalid'", "pytorch")


BAD_PROGRAMS = {
    "empty": b"",
    "truncated": NET[:60].encode(),
    "non-utf8": b"network N { input: (4,) layers: Dense(\xff\xfe) }",
    "nul": b"network N { input: (4,) \x00 }",
    "nested": b"network N { input: (4,) layers: " + b"{" * 100_000,
    "nested parens": b"network N { input: " + b"(" * 100_000,
    "wrong types": b'network N { input: ("a", 3.5) layers: Dense(units="x") Output(true) }',
    "unknown parameter": b"network N { input: (4,) layers: Dense(8, activaton=relu) Output(2) }",
    "repeat": b"network N { input: (4,) layers: Dense(4) * 1000000000000 Output(2) }",
    "huge number": b"network N { input: (99999999999999999999,) layers: Dense(4) }",
    "huge layer": b"network N { input: (4611686018427387904,) layers: Dense(4611686018427387904) }",
}


@pytest.mark.parametrize("command", ["check", "shapes", "compile", "train"])
@pytest.mark.parametrize("name", BAD_PROGRAMS)
def test_bad_programs(neural, tmp_path, command, name):
    (tmp_path / "bad.neural").write_bytes(BAD_PROGRAMS[name])
    extra = ["--data", "synthetic", "-o", "m.safetensors"] if command == "train" else []
    r = neural(command, "bad.neural", *extra, text=False)
    assert r.code == 1 and b"bad.neural" in r.err, r
    assert not (tmp_path / "m.safetensors").exists()


@pytest.mark.parametrize("command", ["check", "shapes", "compile", "train"])
def test_a_100_mb_program_is_refused(neural, tmp_path, command):
    with open(tmp_path / "big.neural", "wb") as f:
        f.truncate(100 << 20)
    r = neural(command, "big.neural", *(["--data", "synthetic"] if command == "train" else []))
    assert r.code != 0 and "big.neural" in r.err and "16 MiB" in r.err, r


def test_missing_file(neural):
    fails(neural("check", "none.neural"), 3, "none.neural")


def test_directory_is_not_a_program(neural, tmp_path):
    (tmp_path / "d.neural").mkdir()
    r = neural("check", "d.neural")
    assert r.code != 0 and "d.neural" in r.err


# ---- train and predict

def test_train_then_predict(neural, net, tmp_path):
    r = neural("train", net, "--data", "synthetic:rows=256,classes=3,shape=4x4x1", "--epochs", 3, "-o", "m.safetensors", "--seed", 3)
    assert r.code == 0 and (tmp_path / "m.safetensors").exists(), r
    assert r.err.count("epoch ") >= 3 and "\r" not in r.err, r
    p = neural("predict", "m.safetensors", "--data", "synthetic:rows=256,classes=3,shape=4x4x1", "--limit", 5)
    assert p.code == 0 and p.out.count("\n") == 6 and "of 5 right" in p.out, p
    j = neural("predict", "m.safetensors", "--data", "synthetic:rows=256,classes=3,shape=4x4x1", "--limit", 2, "--json")
    rows = json.loads(j.out)
    assert len(rows) == 2 and abs(sum(rows[0]["outputs"]) - 1) < 1e-5


def test_train_is_reproducible(neural, net, tmp_path):
    for out in "a", "b":
        r = neural("train", net, "--data", "synthetic:rows=256,classes=3,shape=4x4x1", "-o", f"{out}.safetensors", "--seed", 5, "--threads", 1)
        assert r.code == 0, r
    weights = [(tmp_path / f"{out}.safetensors").read_bytes() for out in "ab"]
    cut = [w[8 + int.from_bytes(w[:8], "little"):] for w in weights]
    assert cut[0] == cut[1] and len(cut[0]) == 163 * 4


def test_train_json_lines(neural, net):
    r = neural("train", net, "--data", "synthetic:rows=256,classes=3,shape=4x4x1", "-o", "m.safetensors", "--json")
    lines = [json.loads(l) for l in r.out.splitlines()]
    assert r.code == 0 and lines[-1]["type"] in ("finished", "result"), r


def test_predict_from_json_rows(neural, net, tmp_path):
    neural("train", net, "--data", "synthetic:rows=128,classes=3,shape=4x4x1", "-o", "m.safetensors", "--epochs", 1)
    (tmp_path / "rows.json").write_text(json.dumps([[0.5] * 16, [[[0.1]] * 4] * 4]))
    r = neural("predict", "m.safetensors", "--input", "rows.json", "--json")
    assert r.code == 0 and len(json.loads(r.out)) == 2, r
    (tmp_path / "rows.json").write_text(json.dumps([[0.5] * 15]))
    fails(neural("predict", "m.safetensors", "--input", "rows.json"), 1, "15", "16")
    for text in "", "[", "{}", "[]", '[["x"]]', "[" * 100_000:
        (tmp_path / "rows.json").write_text(text)
        r = neural("predict", "m.safetensors", "--input", "rows.json")
        assert r.code == 1 and "rows.json" in r.err or "row 0" in r.err, (text[:20], r)


def test_missing_data_set_names_the_package(neural, net):
    r = neural("train", net, "--data", "fashion-mnst")
    assert r.code == 3 and "fashion-mnist" in r.err, r
    fails(neural("train", net, "--data", "/nonexistent/folder"), 3, "/nonexistent/folder")


def test_data_that_does_not_fit(neural, net):
    fails(neural("train", net, "--data", "synthetic:rows=64,classes=3,shape=5x5x1"), 1, "(4, 4, 1)", "(5, 5, 1)")
    fails(neural("train", net, "--data", "synthetic:rows=64,classes=7,shape=4x4x1"), 1, "7")


@pytest.mark.parametrize("option", [("--epochs", "0"), ("--epochs", "x"), ("--batch-size", "-1"), ("--lr", "nan"), ("--threads", "100000")])
def test_bad_numbers(neural, net, option):
    fails(neural("train", net, "--data", "synthetic", *option), 2, option[0])


def test_model_files_that_are_not(neural, net, tmp_path):
    neural("train", net, "--data", "synthetic:rows=128,classes=3,shape=4x4x1", "-o", "m.safetensors", "--epochs", 1)
    good = (tmp_path / "m.safetensors").read_bytes()
    cases = {"empty": b"", "short": good[:5], "cut": good[:-3], "header": (1 << 62).to_bytes(8, "little") + good[8:],
             "text": b"network N {}", "noise": bytes(range(256)) * 50, "brace": (100000).to_bytes(8, "little") + b"{" * 100000}
    for name, data in cases.items():
        (tmp_path / "bad.safetensors").write_bytes(data)
        r = neural("predict", "bad.safetensors", "--data", "synthetic:rows=8,classes=3,shape=4x4x1")
        assert r.code == 1 and "bad.safetensors" in r.err, (name, r)
    fails(neural("predict", "none.safetensors", "--data", "synthetic"), 3, "none.safetensors")


def test_full_disk_and_read_only_folder(neural, net, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", small]).returncode:
        pytest.skip("tmpfs cannot be mounted here")
    try:
        (tmp_path / "wide.neural").write_text(NET.replace("Dense(8", "Dense(4000"))
        r = neural("train", "wide.neural", "--data", "synthetic:rows=64,classes=3,shape=4x4x1", "--epochs", 1, "-o", "small/m.safetensors")
        fails(r, 4, "small/m.safetensors", "disk is full")
        assert [p.name for p in small.iterdir()] == []
        subprocess.run(["mount", "-o", "remount,ro", small], check=True)
        fails(neural("compile", net, "-o", "small/n.py"), 4, "small/n.py", "read-only")
    finally:
        subprocess.run(["umount", small], check=True)


def test_progress_bar_on_a_terminal(net, tmp_path):
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execv(BIN, [BIN, "train", str(net), "--data", "synthetic:rows=20000,classes=3,shape=4x4x1", "-o", "m.safetensors", "--epochs", "2"])
    out = b""
    while True:
        try:
            chunk = os.read(fd, 4096)
        except OSError:
            break
        if not chunk:
            break
        out += chunk
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, out
    text = out.decode()
    assert "epoch 1/2" in text and "loss" in text and "accuracy" in text, text


# ---- the rest

def test_version_doctor_data(neural):
    assert neural("version").out.startswith("neural ")
    r = neural("doctor", "--json")
    assert {row["status"] for row in json.loads(r.out)} <= {"ok", "missing", "broken"}
    assert "fashion-mnist" in neural("data", "list").out


def test_output_to_a_closed_pipe_or_full_device(net):
    with open("/dev/full", "w") as full:
        r = subprocess.run([BIN, "shapes", str(net)], stdout=full, stderr=subprocess.PIPE, text=True)
    assert r.returncode == 4 and "cannot write the output" in r.stderr


def test_data_sets_are_listed_and_described(neural):
    assert neural("data").out == neural("data", "list").out
    both = json.loads(neural("data", "info", "synthetic:rows=50,classes=3,shape=4x4x1", "--json").out)
    assert (both["train"]["rows"], both["test"]["rows"]) == (50, 10) and both["train"]["shape"] == [4, 4, 1]
    assert both["test"]["class_names"] == ["class_0", "class_1", "class_2"]
    assert "train: 1000 rows" in neural("data", "synthetic").out


def test_words_of_options_and_commands_are_suggested(neural, net):
    fails(neural("predict", "m.safetensors", "--split", "trian"), 2, "did you mean 'train'")
    fails(neural("help", "chekc"), 2, "did you mean 'check'")
    fails(neural("--verbose", "check"), 2, "unknown option '--verbose'")


def test_outputs_that_cannot_be_written_are_refused_first(neural, net, tmp_path):
    """Before the training, not after it, and a device is never replaced by a file."""
    for out in ".", "/dev/null", "none/m.safetensors":
        r = neural("train", net, "--data", "synthetic:rows=64,classes=3,shape=4x4x1", "-o", out)
        assert r.code in (3, 4) and out in r.err and "epoch" not in r.err, r
    fails(neural("compile", net, "-o", "/dev/null"), 4, "/dev/null")
    assert not stat.S_ISREG(os.stat("/dev/null").st_mode)
    assert [p.name for p in tmp_path.iterdir()] == ["net.neural"]


def test_json_flag_stands_anywhere(neural):
    assert json.loads(neural("config", "--json", "--port", "3").out)["server.port"]["value"] == 3


def test_a_name_with_a_foreign_letter_is_one_mistake(neural, tmp_path):
    (tmp_path / "n.neural").write_text("network Gr\u00f6\u00dfe { input: (4,) layers: Dense(2) }")
    r = neural("check", "n.neural")
    fails(r, 1, "n.neural:1:11: error: unexpected character U+00F6", "n.neural: 1 error")


def test_help_and_completion_name_the_settings(neural):
    for command in "serve", "config", "key", "model":
        text = neural(command, "--help").out
        assert "--port VALUE" in text and "--config FILE" in text and "--demo" in text, text
    (row,) = [line for line in neural("completion", "bash").out.splitlines() if "*:serve)" in line]
    assert {"--help", "--config", "--port", "--storage"} <= set(row.replace('"', " ").split()), row
