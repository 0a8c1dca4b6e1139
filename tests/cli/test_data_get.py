"""`neural data get` against a server on loopback that behaves in every way a server should not."""
import gzip
import hashlib
import http.server
import json
import pathlib
import struct
import threading

import pytest

FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")
BODY = bytes(range(256)) * 4000
SUM = hashlib.sha256(BODY).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        s = self.server
        s.asked.append((self.path, self.headers.get("Range")))
        kind = self.path.strip("/").split("/")[0]
        body = s.files.get(self.path, BODY)
        first = int(self.headers["Range"].split("=")[1].split("-")[0]) if self.headers.get("Range") and kind != "noranges" else 0
        if kind == "redirect":
            return self.answer(302, b"", Location="/file/" + self.path.split("/")[-1])
        if kind == "loop":
            return self.answer(302, b"", Location=self.path)
        if kind == "local":
            return self.answer(302, b"", Location="file:///etc/passwd")
        if kind == "none" or self.path not in s.files and kind == "mirror":
            return self.answer(404, b"not here")
        if kind == "past" and first:
            return self.answer(416, b"")
        if kind == "silent":
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:1000])
            self.wfile.flush()
            s.over.wait(60)
            return None
        if kind == "cut" and len(s.asked) < s.cuts + 1:  # the connection breaks off half way
            self.send_response(206 if first else 200)
            self.send_header("Content-Length", str(len(body) - first))
            if first:
                self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
            self.end_headers()
            self.wfile.write(body[first:first + 100000])
            self.wfile.flush()
            self.close_connection = True
            return self.connection.close()
        extra = {"Content-Range": f"bytes {first}-{len(body) - 1}/{len(body)}"} if first else {}
        return self.answer(206 if first else 200, body[first:], **extra)

    def answer(self, code, body, **headers):
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server():
    s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    s.asked, s.files, s.cuts, s.over = [], {}, 1, threading.Event()
    s.daemon_threads = True
    s.url = f"http://127.0.0.1:{s.server_port}"
    threading.Thread(target=s.serve_forever, daemon=True).start()
    yield s
    s.over.set()
    s.shutdown()
    s.server_close()


@pytest.fixture
def get(neural, server, tmp_path):
    def run(kind, *args, sha=SUM, env=None):
        server.asked.clear()
        return neural("data", "get", f"{server.url}/{kind}/x.bin", "--sha256", sha, "-q", *args,
                      env={"NEURAL_DATA_DIR": str(tmp_path / "data"), "no_proxy": "127.0.0.1", **(env or {})})
    return run


def kept(tmp_path):
    return {p.name: p.read_bytes() for p in (tmp_path / "data" / "files").iterdir()}


@pytest.mark.parametrize("kind, requests", [("file", 1), ("redirect", 2), ("cut", 2)])
def test_a_file_is_downloaded_once(get, server, tmp_path, kind, requests):
    r = get(kind)
    assert r.code == 0 and r.out.strip() == str(tmp_path / "data/files/x.bin"), r
    assert kept(tmp_path) == {"x.bin": BODY} and len(server.asked) == requests
    if kind == "cut":
        assert server.asked[1][1] == "bytes=100000-"
    assert get(kind).code == 0 and not server.asked


def test_a_download_goes_on_where_it_stopped(get, server, tmp_path):
    server.cuts = 3
    r = get("cut")  # breaks off at each of three attempts
    assert r.code == 4 and "goes on where it stopped" in r.err, r
    assert len(kept(tmp_path)["x.bin.part"]) == 300000
    assert get("file").code == 0 and server.asked == [("/file/x.bin", "bytes=300000-")]
    assert kept(tmp_path) == {"x.bin": BODY}


@pytest.mark.parametrize("kind", ["noranges", "past"])
def test_servers_that_cannot_go_on_begin_again(get, tmp_path, kind):
    (tmp_path / "data/files").mkdir(parents=True)
    (tmp_path / "data/files/x.bin.part").write_bytes(b"?" * 5000)
    assert get(kind).code == 0 and kept(tmp_path) == {"x.bin": BODY}


def test_a_wrong_file_is_removed(get, server, tmp_path):
    r = get("file", sha="0" * 64)
    assert r.code == 1 and "expected " + "0" * 64 in r.err and SUM in r.err, r
    assert kept(tmp_path) == {}
    (tmp_path / "data/files/x.bin.part").write_bytes(b"?" * 5000)  # of another file: found out at the end, then begun anew
    assert get("file").code == 0 and kept(tmp_path) == {"x.bin": BODY}
    assert [r for _, r in server.asked] == ["bytes=5000-", None]


@pytest.mark.parametrize("kind, code, text", [("none", 4, "404"), ("loop", 4, "redirects"), ("local", 4, "rotocol")])
def test_answers_that_are_no_file(get, tmp_path, kind, code, text):
    r = get(kind)
    assert r.code == code and text in r.err and "copy the file to" in r.err, r
    assert "x.bin" not in kept(tmp_path)


def test_a_server_that_falls_silent(get, tmp_path):
    r = get("silent", env={"NEURAL_DOWNLOAD_TIMEOUT": "1"})
    assert r.code == 4 and "x.bin" not in kept(tmp_path), r
    assert len(kept(tmp_path)["x.bin.part"]) == 1000


def test_a_host_that_is_not_there(neural, server, tmp_path):
    url = server.url
    server.shutdown()
    server.server_close()
    env = {"NEURAL_DATA_DIR": str(tmp_path / "data"), "NEURAL_DATA_MIRROR": url, "no_proxy": "127.0.0.1"}
    r = neural("data", "get", "fashion-mnist", env=env)
    assert r.code == 4 and "apt-get install dataset-fashion-mnist" in r.err and str(tmp_path / "data/fashion-mnist") in r.err, r
    r = neural("data", "get", "mnist", env=env)
    assert r.code == 4 and "apt-get" not in r.err and str(tmp_path / "data/mnist") in r.err, r


def test_bad_calls(neural):
    assert neural("data", "get", "http://127.0.0.1/x").code == 2
    assert neural("data", "get", "http://127.0.0.1/x", "--sha256", "12").code == 2
    assert neural("data", "get", "http://127.0.0.1/", "--sha256", SUM).code == 2
    r = neural("data", "get", "imagenet")
    assert r.code == 3 and "`neural data list`" in r.err
    assert neural("data", "get").code == 2


def test_a_set_that_is_not_here_names_both_ways(neural, net, tmp_path):
    env = {"NEURAL_DATA_DIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    r = neural("train", net, "--data", "mnist", env=env)
    assert r.code == 3 and "neural data get mnist" in r.err and "$NEURAL_DATA_DIR/mnist" in r.err, r
    info = json.loads(neural("data", "info", "cifar10", "--json", env=env).out)
    assert info["available"] is False and info["files"][0]["bytes"] == 170052171 and "cite" in neural("data", "info", "cifar10", env=env).out


@pytest.mark.skipif(not FASHION.exists(), reason="dataset-fashion-mnist is not installed")
def test_a_named_set_is_verified_and_used(neural, server, tmp_path):
    """Debian's files are the published ones but for the name and time in their gzip header."""
    for name, time in (("train-images-idx3-ubyte", 1504176606), ("train-labels-idx1-ubyte", 1504176606), ("t10k-images-idx3-ubyte", 1504176627),
                       ("t10k-labels-idx1-ubyte", 1504176627)):
        data = (FASHION / f"{name}.gz").read_bytes()
        server.files[f"/mirror/fashion-mnist/{name}.gz"] = b"\x1f\x8b\x08\x08" + struct.pack("<I", time) + data[8:10] + name.encode() + b"\0" + data[10:]
    env = {"NEURAL_DATA_DIR": str(tmp_path / "data"), "NEURAL_DATA_MIRROR": server.url + "/mirror", "no_proxy": "127.0.0.1"}
    r = neural("data", "get", "FashionMNIST", env=env)
    assert r.code == 0 and "licence: MIT" in r.out, r
    info = json.loads(neural("data", "info", "fashion-mnist", "--json", env=env).out)
    assert info["train"]["rows"] == 60000 and info["train"]["class_names"][9] == "Ankle boot"
    assert {f["path"] for f in info["train"]["files"]} == {str(tmp_path / "data/fashion-mnist" / f"train-{k}-ubyte.gz") for k in ("images-idx3", "labels-idx1")}
    assert gzip.decompress(server.files["/mirror/fashion-mnist/t10k-labels-idx1-ubyte.gz"])[8:18] == bytes([9, 2, 1, 1, 6, 1, 4, 6, 5, 7])
    server.files["/mirror/mnist/train-images-idx3-ubyte.gz"] = b"x" * 9912422
    r = neural("data", "get", "mnist", env=env)
    assert r.code == 1 and "SHA-256 is" in r.err and not list((tmp_path / "data/mnist").iterdir()), r
    server.files["/mirror/mnist/train-images-idx3-ubyte.gz"] = b"x" * 9912423
    r = neural("data", "get", "mnist", env=env)
    assert r.code == 1 and "more than the 9912422 bytes" in r.err, r
