"""neural visualize from the outside: files, formats, standard output, and what it says to wrong input."""
import json
import re
import struct
import xml.etree.ElementTree as ET

import pytest

from conftest import NET

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg):
    return [t.text for t in ET.fromstring(svg).iter(SVG + "text")]


def test_a_page_beside_the_network_by_default(neural, net):
    r = neural("visualize", net)
    assert r.code == 0 and r.out == f"wrote {net.with_suffix('.html')}\n", r
    page = net.with_suffix(".html").read_text()
    assert page.startswith("<!doctype html>") and page.endswith("</html>\n")
    # nothing is fetched: names of XML vocabularies are the only addresses
    assert set(re.findall(r"https?://[^\"\s]+", page)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])
    # Flatten 0, Dense 16*8+8 = 136, Output 8*3+3 = 27
    assert [(row["type"], row["params"]) for row in data["rows"]] == [("Input", 0), ("Flatten", 0), ("Dense", 136), ("Output", 27)]
    assert data["params"] == 163


def test_svg_to_standard_output(neural, net):
    r = neural("visualize", net, "--format", "svg", "-o", "-")
    assert r.code == 0 and r.err == "", r
    words = texts(r.out)
    # FLOPs: 2 * (16*8 + 8*3)
    for word in ["Tiny", "163 parameters · 304 FLOPs a sample · 4 layers", "Flatten", "8, relu", "136 params", "4 × 4 × 1", "16"]:
        assert any(word in (w or "") for w in words), (word, words)


def test_png(neural, net, tmp_path):
    assert neural("visualize", net, "-f", "png", "-o", "p.png").code == 0
    data = (tmp_path / "p.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    assert 300 < width < 3000 and 300 < height < 3000


def test_dot(neural, net):
    r = neural("visualize", net, "-f", "dot")
    assert r.code == 0 and net.with_suffix(".dot").read_text().startswith("digraph network {")


@pytest.mark.parametrize("form", ["svg", "html", "dot", "png"])
def test_the_same_bytes_again(neural, net, form):
    a, b = (neural("visualize", net, "-f", form, "-o", "-", text=False).out for _ in range(2))
    assert a == b and len(a) > 500


def test_from_standard_input(neural, tmp_path):
    assert neural("visualize", "-", "-f", "svg", input=NET).out == "wrote network.svg\n"
    assert (tmp_path / "network.svg").exists()


def test_set_chooses_what_is_drawn(neural, net):
    net.write_text(NET.replace("Dense(8,", "Dense(HPO(choice(8, 32)),"))
    space = json.loads(neural("search-space", net, "--json").out)
    path = (space["points"] if isinstance(space, dict) else space)[0]["path"]
    r = neural("visualize", net, "-f", "svg", "-o", "-", "--set", f"{path}=32")
    # 16*32+32 + 32*3+3
    assert r.code == 0 and "643 parameters" in r.out, r


def test_names_cannot_be_markup(neural, net):
    net.write_text(NET.replace("Flatten()", 'Flatten() Lambda("</script><b onload=x>&\'\\"", output_shape=(16,))'))
    page = neural("visualize", net, "-o", "-").out
    assert "</script><b" not in page and "<b onload" not in page
    ET.fromstring(neural("visualize", net, "-f", "svg", "-o", "-").out)


def test_a_hundred_layers_are_a_page(neural, net):
    layers = "\n".join(f"Dense({16 + i % 7})" for i in range(97))
    net.write_text(NET.replace("Dense(8,", layers + "\nDense(8,"))
    root = ET.fromstring(neural("visualize", net, "-f", "svg", "-o", "-").out)
    width, height = map(float, root.get("viewBox").split()[2:])
    assert 0.5 < width / height < 2, (width, height)


def test_errors(neural, net):
    r = neural("visualize", net, "--format", "gif")
    assert r.code == 2 and "html|svg|png|dot" in r.err, r
    r = neural("visualize", "nowhere.neural")
    assert r.code == 3 and "nowhere.neural" in r.err, r
    r = neural("visualize", net, "-o", "no/such/dir.html")
    assert r.code == 3 and "no/such/dir.html" in r.err, r
    net.write_text(NET.replace("Dense(8,", "Dense(-8,"))
    r = neural("visualize", net)
    assert r.code == 1 and "Dense" in r.err and not net.with_suffix(".html").exists(), r


def test_too_large_a_picture_says_what_to_do(neural, net):
    net.write_text(NET.replace("Dense(8,", "\n".join(f"Dense({8 + i % 9})" for i in range(2000)) + "\nDense(8,"))
    r = neural("visualize", net)
    assert r.code == 1 and "2000 boxes" in r.err and "repetition" in r.err, r


def test_a_missing_plugin_is_a_clear_error(neural, net, tmp_path):
    (tmp_path / "none").mkdir()
    env = {"GVBINDIR": str(tmp_path / "none")}
    r = neural("visualize", net, "-f", "svg", env=env)
    assert r.code == 3 and "Graphviz cannot lay a picture out here" in r.err and "libgvc6" in r.err, r
    assert neural("visualize", net, "-f", "dot", env=env).code == 0
