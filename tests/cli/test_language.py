"""The commands of the language: check --fix and --findings, shapes, parse, diff, search-space, reference, model_data, --set."""
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess
import tempfile

import pytest

from conftest import BIN, NET, ROOT, Result
from test_commands import fails

BAD = NET.replace("Dense(8", "Dens(8").replace("Adam(", "Adamm(").replace("    Flatten()\n", "")
SPACE = """network S {
  input: (8,)
  layers:
    Dense(HPO(choice(16, 32)), activation=HPO(choice("relu", 'tanh')))  # kept
    Dropout(HPO(range(0.1, 0.5)))
    Output(3, activation="softmax")
  loss: "sparse_categorical_crossentropy"
  optimizer: Adam(learning_rate=HPO(log_range(1e-4, 1e-2)))
  train { epochs: 1 batch_size: 16 }
}
"""
SETS = ["--set", "dense_1.units=32", "--set", "layers[0].activation=tanh", "--set", "layers[1].rate=.25",
        "--set=optimizer.learning_rate=5e-4"]


@pytest.fixture
def space(tmp_path):
    path = tmp_path / "s.neural"
    path.write_text(SPACE)
    return path


@pytest.fixture
def data(neural, net):
    """model_data of NET."""
    r = neural("parse", net, "--json")
    assert r.code == 0, r
    (net.parent / "net.json").write_text(r.out)
    return net.parent / "net.json"


# ---- check --fix

def test_fix_repairs_the_file(neural, tmp_path):
    (tmp_path / "bad.neural").write_text(BAD)
    r = neural("check", "--fix", "bad.neural")
    assert r.code == 0, r
    assert "bad.neural:4:5: fixed: correct the name: 'Dens' -> 'Dense'\n" in r.out
    # what is missing is seen once the names are right
    assert re.search(r"bad.neural:5:5: fixed: insert Flatten\(\) .*: inserted 'Flatten\(\) '", r.out) or "Flatten() " in r.out
    text = (tmp_path / "bad.neural").read_text()
    assert "Adam(learning_rate=0.01)" in text and "Dense(8" in text
    again = neural("check", "--fix", "bad.neural")
    assert again.code == 0 and "fixed:" not in again.out and (tmp_path / "bad.neural").read_text() == text


def test_fix_leaves_a_good_file_alone(neural, net):
    before = net.stat()
    r = neural("check", "--fix", net)
    assert r.code == 0 and "fixed:" not in r.out and net.read_text() == NET
    assert net.stat().st_ino == before.st_ino and net.stat().st_mtime_ns == before.st_mtime_ns


def test_fix_of_standard_input_writes_the_text(neural):
    r = neural("check", "--fix", "-", input=BAD)
    assert r.code == 0 and "Dense(8" in r.out and "Dens(" not in r.out and r.out.startswith("network Tiny {"), r
    assert "fixed: correct the name" in r.err and "ok: Tiny" in r.err
    good = neural("check", "--fix", "-", input=NET)
    assert good.code == 0 and good.out == NET


def test_fix_does_what_it_can(neural, tmp_path):
    (tmp_path / "bad.neural").write_text(BAD.replace("Output(3", "Output(-3"))
    r = neural("check", "--fix", "bad.neural")
    fails(r, 1, "Output units must be a positive integer, got -3", "1 error")
    assert "Dense(8" in (tmp_path / "bad.neural").read_text()


def test_fix_keeps_mode_and_link(neural, tmp_path):
    (tmp_path / "real.neural").write_text(BAD)
    (tmp_path / "real.neural").chmod(0o640)
    (tmp_path / "link.neural").symlink_to("real.neural")
    assert neural("check", "--fix", "link.neural").code == 0
    assert (tmp_path / "link.neural").is_symlink()
    assert stat.S_IMODE((tmp_path / "real.neural").stat().st_mode) == 0o640
    assert "Dense(8" in (tmp_path / "real.neural").read_text()


def test_fix_of_a_read_only_file(tmp_path):
    """Root may write every file, so that somebody else runs this one."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        path, binary = pathlib.Path(folder, "bad.neural"), shutil.copy(BIN, folder)
        path.write_text(BAD)
        path.chmod(0o444)
        other = {"user": 65534} if os.geteuid() == 0 else {}
        done = subprocess.run([binary, "check", "--fix", "bad.neural"], cwd=folder, capture_output=True, text=True, **other)
        fails(Result(done), 4, "cannot write bad.neural", "ermission")
        assert path.read_text() == BAD


def test_fix_as_json(neural, tmp_path):
    (tmp_path / "bad.neural").write_text(BAD)
    r = neural("check", "--fix", "--json", "bad.neural")
    (row,) = json.loads(r.out)
    assert r.code == 0 and row["ok"] and {"line": 4, "column": 5, "text": "Dense", "description": "correct the name"} in row["fixed"]
    r = neural("check", "--fix", "--json", "-", input=BAD)
    (row,) = json.loads(r.out)
    assert "Dense(8" in row["text"]


def test_fix_of_model_data_is_refused(neural, data):
    before = data.read_text()
    fails(neural("check", "--fix", data), 3, "model_data", "fix the program")
    assert data.read_text() == before


# ---- check

def test_json_of_a_shape_error_has_its_derivation(neural, tmp_path):
    (tmp_path / "n.neural").write_text("network N { input: (8, 8, 1) layers: Conv2D(4, 3) Conv2D(4, 9) }")
    r = neural("check", "n.neural", "--json")
    (row,) = json.loads(r.out)
    steps = row["diagnostics"][0]["derivation"]
    assert r.code == 1 and steps[0]["output"] == "(8, 8, 1)" and steps[-1]["output"] is None and "findings" not in row


def test_findings(neural, tmp_path):
    (tmp_path / "n.neural").write_text("network N { input: (4,) layers: Dense(8, relu) Dropout(0.9) Dense(2) }")
    plain = neural("check", "n.neural")
    assert plain.code == 0 and "total-dropout" not in plain.err
    r = neural("check", "--findings", "n.neural")
    assert r.code == 0 and "n.neural:1:48: warning:" in r.err and "[total-dropout]" in r.err and "= help:" in r.err, r
    assert "Dropout(0.9)" in r.err and "^" in r.err
    (row,) = json.loads(neural("check", "--findings", "--json", "n.neural").out)
    (found,) = [f for f in row["findings"] if f["code"] == "total-dropout"]
    assert found["layer"] == "Dropout" and found["line"] == 1 and found["column"] == 48 and found["suggestion"]


def test_findings_are_not_told_twice(neural, tmp_path):
    (tmp_path / "n.neural").write_text("network N { input: (4,) layers: Dense(1, softmax) }")
    r = neural("check", "--findings", "n.neural")
    assert r.err.count("warning:") == 1, r


def test_several_files_report_each(neural, net, tmp_path):
    (tmp_path / "bad.neural").write_text(BAD)
    r = neural("check", "missing.neural", "bad.neural", net)
    fails(r, 1, "missing.neural", "bad.neural: 2 errors")
    assert "net.neural: ok" in r.out


@pytest.mark.parametrize("command", [["check"], ["shapes"], ["parse"], ["parse", "--json"], ["search-space"], ["check", "--fix"], ["compile"]])
def test_files_that_are_none(neural, tmp_path, command):
    fails(neural(*command, "none.neural"), 3, "none.neural", "No such file")
    (tmp_path / "folder").mkdir()
    fails(neural(*command, "folder"), 4, "folder", "directory")


def test_a_research_file_is_right(neural, tmp_path):
    (tmp_path / "r.rnr").write_text('research R { metrics { accuracy: 0.9 } references { paper: "A" paper: "B" } }')
    r = neural("check", "r.rnr")
    assert r.code == 0 and "ok: research R" in r.out, r
    (tmp_path / "bad.rnr").write_text("research R { metrics { accuracy: high } }")
    fails(neural("check", "bad.rnr"), 1, "not a number")


# ---- shapes

def test_shapes_tells_memory(neural, net):
    r = neural("shapes", net)
    assert r.code == 0 and "batches of 16" in r.out and "optimizer" in r.out, r  # the program's
    small = json.loads(neural("shapes", net, "--json", "--batch-size", "1").out)["memory"]
    large = json.loads(neural("shapes", net, "--json", "-b", "1000").out)["memory"]
    assert small["batch_size"] == 1 and small["weights"] == large["weights"] >= 163 * 4
    assert small["optimizer"] == 2 * small["weights"]  # Adam keeps two values a weight
    assert large["activations"] > 100 * small["activations"]
    for m in small, large:
        assert m["total"] == m["weights"] + m["gradients"] + m["optimizer"] + m["activations"]
    assert "batches of 32" in neural("shapes", "-", input=NET.replace("batch_size: 16", "")).out


def test_shapes_columns(neural, tmp_path):
    (tmp_path / "n.neural").write_text("network N { input: (8,) layers: Residual { Dense(8, name=inner) } Dense(1000) }")
    r = neural("shapes", "n.neural")
    head, *rows = r.out.split("\n\n")[0].split("\n")
    assert r.code == 0 and all(len(row) <= 100 for row in rows) and any(row.startswith("  inner") for row in rows), r
    assert len({row.rindex("  ") for row in [head]}) == 1
    at = head.index("output shape")
    assert all(row[at] == "(" for row in rows)
    layers = {x["name"]: x for x in json.loads(neural("shapes", "n.neural", "--json").out)["layers"]}
    assert layers["inner"]["weight_bytes"] == (8 * 8 + 8) * 4 and layers["inner"]["activation_bytes"] == 32
    assert layers["inner"]["parent"] and layers["dense_1"]["parent"] is None


def test_shapes_of_what_is_not_known(neural):
    r = neural("shapes", "-", input="network N { input: (8,) layers: Lambda(\"x\") Dense(2) }")
    assert r.code == 0 and "?" in r.out, r
    assert json.loads(neural("shapes", "-", "--json", input="network N { input: (8,) layers: Lambda(\"x\") }").out)["memory"]["total"] is None


@pytest.mark.parametrize("n", ["0", "-1", "x", "99999999999"])
def test_shapes_wrong_batch(neural, net, n):
    fails(neural("shapes", net, f"--batch-size={n}"), 2, "--batch-size is an integer from 1")


# ---- parse and model_data

def test_parse_prints_the_tree(neural, net):
    r = neural("parse", net)
    assert r.code == 0 and r.out.startswith('(network "Tiny"\n') and '(Dense 8 (= activation "relu"))' in r.out, r
    # a tree is of the text, whether or not it makes sense
    assert "(Conv2D 1)" in neural("parse", "-", input="network N { Conv2D(1) }").out
    fails(neural("parse", "-", input="network N { Conv2D(1 }"), 1, "<stdin>:1:21", "error")


def test_parse_json_forms(neural, net):
    canonical = json.loads(neural("parse", net, "--json").out)
    assert canonical["type"] == "model" and canonical["layers"][1]["id"] == "dense_1"
    reference = json.loads(neural("parse", net, "--json", "--form", "reference").out)
    assert reference["layers"][1] == {"type": "Dense", "params": {"units": 8, "activation": "relu"}, "sublayers": []}
    assert reference["training"] == {"epochs": 2, "batch_size": 16}
    fails(neural("parse", net, "--form", "reference"), 2, "--json")
    fails(neural("parse", net, "--json", "--form", "referense"), 2, "did you mean 'reference'")
    fails(neural("parse", "-", "--json", input="network N { input: (4,) Dens(1) }"), 1, "did you mean 'Dense'")


def test_parse_research(neural, tmp_path):
    (tmp_path / "r.rnr").write_text('research Study { metrics { accuracy: 0.95 loss: 1 } references { paper: "A" paper: "B" } title: "T" }')
    r = neural("parse", "r.rnr", "--json")
    assert json.loads(r.out) == {"type": "Research", "name": "Study", "params": {
        "metrics": {"accuracy": 0.95, "loss": 1}, "references": ["A", "B"], "title": "T"}}
    assert json.loads(neural("parse", "-", "--json", input="research { }").out) == {
        "type": "Research", "name": None, "params": {"metrics": {}, "references": []}}
    assert neural("parse", "r.rnr").out.startswith('(research "Study"')


def test_model_data_in_place_of_a_program(neural, net, data, tmp_path):
    assert "163 parameters" in neural("check", data).out
    assert neural("shapes", data, "--graph").out == neural("shapes", net, "--graph").out
    assert neural("check", "-", input=data.read_text()).code == 0
    assert neural("diff", net, data).code == 0
    assert neural("compile", data, "-o", "x.py").code == 0
    r = neural("train", data, "--data", "synthetic:rows=64,classes=3,shape=4x4x1", "--epochs", "1", "-o", "m.safetensors")
    assert r.code == 0 and (tmp_path / "m.safetensors").exists(), r


def test_errors_in_model_data_name_the_member(neural, data):
    text = data.read_text()
    data.write_text(text.replace('"units": 8', '"units": -8'))
    r = neural("check", data)
    fails(r, 1, "layers[1].params.units: Dense units must be a positive integer, got -8", "^")
    line = next(i for i, row in enumerate(data.read_text().split("\n"), 1) if "-8" in row)
    assert f"net.json:{line}:" in r.err
    (row,) = json.loads(neural("check", data, "--json").out)
    assert row["diagnostics"][0]["message"].startswith("layers[1].params.units: ") and row["diagnostics"][0]["fixes"] == []
    data.write_text(text[:-40])
    fails(neural("check", data), 1, "net.json:", "bad-model-data")
    data.write_text("")
    fails(neural("check", data), 1, "net.json:1:1")
    data.write_text("[1, 2]")
    fails(neural("parse", data), 1, "expected an object")


# ---- diff

def test_diff(neural, net, tmp_path):
    (tmp_path / "new.neural").write_text(NET.replace("Dense(8", "Dense(16").replace("    Output", "    Dropout(0.5)\n    Output")
                                         .replace("epochs: 2", "epochs: 3"))
    r = neural("diff", net, "new.neural")
    assert r.code == 1 and r.err == "", r
    # 16*8+8+8*3+3 = 163; 16*16+16+16*3+3 = 323
    assert "~ Dense units 8 -> 16, output (8,) -> (16,)  (dense_1, line 5)\n+ Dropout(0.5)  (dropout_1, line 6)\n" in r.out
    assert "~ training epochs 2 -> 3\n" in r.out and "parameters: 163 -> 323 (+160)" in r.out
    j = json.loads(neural("diff", net, "new.neural", "--json").out)
    assert j["changed"] and [x["change"] for x in j["layers"]] == ["changed", "added"]
    assert j["layers"][0]["parameters"] == [{"name": "units", "a": "8", "b": "16"}] and "a" not in j["layers"][1]
    assert j["parameters"] == {"a": 163, "b": 323, "change": 160} and j["sections"][0]["section"] == "training"


def test_diff_of_the_same(neural, net, tmp_path):
    (tmp_path / "other.neural").write_text("# a comment\n" + NET.replace("network Tiny", "model Other").replace("Dense(8, ", "Dense(units=8,\n  "))
    r = neural("diff", net, "other.neural")
    assert (r.code, r.out, r.err) == (0, "", ""), r
    r = neural("diff", net, "-", "--json", input=NET)
    assert r.code == 0 and json.loads(r.out)["changed"] is False


def test_diff_trouble(neural, net, tmp_path):
    (tmp_path / "bad.neural").write_text(BAD)
    fails(neural("diff", net, "none.neural"), 2, "none.neural")
    r = neural("diff", "none.neural", "bad.neural")
    fails(r, 2, "none.neural", "unknown layer 'Dens'")
    fails(neural("diff", net), 2, "A B is missing")
    fails(neural("diff", "-", "-", input=NET), 2, "standard input")


# ---- search-space and --set

def test_search_space_lists_points(neural, space, net):
    r = neural("search-space", space)
    assert r.code == 0 and "4 search points in S" in r.out, r
    head, *rows = r.out.split("\n\n")[0].split("\n")
    assert [row.split()[0] for row in rows] == ["optimizer.learning_rate", "layers[0].units", "layers[0].activation", "layers[1].rate"]
    at = head.index("values")
    assert [row[at:] for row in rows] == ["1e-4 to 1e-2", "16, 32", "\"relu\", 'tanh'", "0.1 to 0.5"]
    assert "has no search points" in neural("search-space", net).out


def test_search_space_as_json(neural, space):
    j = json.loads(neural("search-space", space, "--json").out)
    assert j["network"] == "S" and len(j["points"]) == 4
    units = next(p for p in j["points"] if p["path"] == "layers[0].units")
    assert units["alias"] == "dense_1.units" and units["type"] == "categorical" and units["values"] == [16, 32] and units["default"] == 16
    assert units["line"] == 4 and units["column"] == 11 and "value" not in units
    j = json.loads(neural("search-space", space, "--json", *SETS).out)
    assert {p["path"]: p["value"] for p in j["points"]} == {
        "layers[0].units": 32, "layers[0].activation": "tanh", "layers[1].rate": 0.25, "optimizer.learning_rate": 0.0005}


def test_write(neural, space, tmp_path):
    want = (SPACE.replace("HPO(choice(16, 32))", "32").replace("HPO(choice(\"relu\", 'tanh'))", "'tanh'")
            .replace("HPO(range(0.1, 0.5))", ".25").replace("HPO(log_range(1e-4, 1e-2))", "5e-4"))
    r = neural("search-space", space, *SETS, "--write", "-o", "best.neural")
    assert r.code == 0 and "wrote best.neural: 4 values" in r.out and "left" not in r.out, r
    assert (tmp_path / "best.neural").read_text() == want and space.read_text() == SPACE
    assert neural("search-space", "-", *SETS, "--write", input=SPACE).out == want
    r = neural("search-space", space, *SETS[:2], "--write")
    assert r.code == 0 and "1 value, 3 points left" in r.out
    assert space.read_text() == SPACE.replace("HPO(choice(16, 32))", "32")


def test_write_wrong(neural, space, tmp_path):
    fails(neural("search-space", space, "--write"), 2, "--write needs values", "--set PATH=VALUE")
    fails(neural("search-space", space, "-o", "x"), 2, "--output goes with --write")
    fails(neural("search-space", space, "--write", "--json", *SETS), 2, "--json")
    r = neural("search-space", space, *SETS, "--write", "-o", "none/x.neural")
    assert r.code != 0 and "none/x.neural" in r.err, r
    macro = "define B(u) { Dense($u, activation=HPO(choice(relu, tanh))) }\nnetwork N { input: (8,) layers: B(3) B(4) }\n"
    (tmp_path / "m.neural").write_text(macro)
    fails(neural("search-space", "m.neural", "--set", "layers[0].activation=tanh", "--write"), 1, "one expression (line 1)", "same value")
    assert (tmp_path / "m.neural").read_text() == macro


@pytest.mark.parametrize("command", ["check", "shapes", "compile", "search-space", "train"])
def test_set_wrong(neural, space, command):
    fails(neural(command, space, "--set", "units"), 2, "--set units", "PATH=VALUE")
    fails(neural(command, space, "--set", "=3"), 2, "PATH=VALUE")
    fails(neural(command, space, "--set", "layers[0].units=16", "--set", "layers[0].units=32"), 2, "set twice")
    fails(neural(command, space, "--set"), 2, "--set needs a value")
    fails(neural(command, space, "--set", "layers[7].units=16"), 1, "no search point 'layers[7].units'", "neural search-space")
    fails(neural(command, space, "--set", "layers[0].units=17"), 1, "candidates")
    fails(neural(command, space, "--set", "layers[1].rate=0.9"), 1, "range from 0.1 to 0.5")
    fails(neural(command, space, "--set", "layers[1].rate=)("), 1, "this is no value")
    fails(neural(command, space, "--set", "layers[0].units=16", "--set", "dense_1.units=32"), 1, "set twice")


def test_what_is_open_does_not_train(neural, space, tmp_path):
    train = ["train", "--data", "synthetic:rows=64,classes=3,shape=8"]
    fails(neural(*train, space), 3, "search space", "has no value yet", "--set")
    fails(neural(*train, space, *SETS[:2]), 3, "has no value yet")
    assert not list(tmp_path.glob("*.safetensors"))
    assert neural("shapes", space).code == 0  # on the first values
    assert "(batch, 32)" in neural("shapes", space, *SETS).out


def test_code_is_written_with_the_first_values(neural, space):
    r = neural("compile", space, "-o", "-")
    assert r.code == 0 and "'layers[0].units' has no value yet: the code is written with 16" in r.err, r
    r = neural("compile", space, *SETS, "-o", "-")
    assert r.code == 0 and "has no value yet" not in r.err, r


def test_set_compiles_and_trains(neural, space, tmp_path):
    r = neural("compile", space, *SETS, "-o", "-")
    assert r.code == 0 and "32" in r.out and "HPO" not in r.out.split('"""')[-1], r
    r = neural("train", space, *SETS, "--data", "synthetic:rows=64,classes=3,shape=8", "-o", "m.safetensors")
    assert r.code == 0, r
    head = (tmp_path / "m.safetensors").read_bytes()
    head = json.loads(head[8:8 + int.from_bytes(head[:8], "little")])
    assert "Dense(32, activation='tanh')  # kept" in head["__metadata__"]["source"] and "HPO" not in head["__metadata__"]["source"]


# ---- reference

PAGES = ["layers", "activations", "losses", "optimizers", "schedules", "metrics", "messages", "findings", "health", "errors", "commands", "config"]


@pytest.mark.parametrize("page", PAGES)
def test_reference_pages(neural, page):
    r = neural("reference", page)
    assert r.code == 0 and r.out.startswith("## "), r
    columns = None
    for line in r.out.split("\n"):  # every row of a table has as many cells as its heading
        if not line.startswith("|"):
            columns = None
            continue
        cells = len(re.findall(r"(?<!\\)\|", line))
        columns = columns or cells
        assert cells == columns, line


def test_reference_is_all_pages(neural):
    r = neural("reference")
    assert r.code == 0 and all(neural("reference", page).out in r.out for page in PAGES)
    assert "neural reference" in neural("help").out


def test_reference_of_one(neural):
    r = neural("reference", "layers", "dense")
    assert r.code == 0 and r.out.startswith("### Dense\n") and "| `units` | integer | required | from 1" in r.out and "Conv2D" not in r.out, r
    assert neural("reference", "layers", "MaxPool2D").out.startswith("### MaxPooling2D\n")
    assert "`learning_rate` | number | `0.001` | above 0" in neural("reference", "optimizers", "adam").out
    assert "| `not_found` | 404 | 3 |" in neural("reference", "errors", "not_found").out
    assert "netwrok" in neural("reference", "messages", "unknown-keyword").out


def test_reference_names_every_layer(neural):
    page = neural("reference", "layers").out
    for row in (ROOT / "src/layers/layers.def").read_text().split("\n"):
        if m := re.match(r"NN_LAYER\((\w+)", row):
            assert re.search(rf"(?im)^### {m[1].replace('_', '')}$", page), m[1]


def test_reference_wrong(neural):
    fails(neural("reference", "layer"), 2, "no page 'layer'", "did you mean 'layers'")
    fails(neural("reference", "x"), 2, "pages: layers, activations")
    fails(neural("reference", "layers", "Dens"), 2, "did you mean 'Dense'")
    fails(neural("reference", "losses", "zzzz"), 2, "`neural reference losses` lists them")


def test_completion_knows_the_options(neural):
    for shell in "bash", "zsh", "fish":
        out = neural("completion", shell).out
        assert all(word in out for word in ("search-space", "findings", "batch-size", "canonical", "reference")), shell


def test_help_shows_what_may_be_repeated(neural):
    assert "--set PATH=VALUE..." in neural("check", "--help").out


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_is_quoted(neural, shell):
    """An apostrophe in a help text does not end its quotes: bash reads these lines alike."""
    for line in neural("completion", shell).out.split("\n"):
        assert line.replace("'\\''", "").count("'") % 2 == 0, line
