#!/usr/bin/env python3
"""Fail if a file under src/ includes a header that its folder may not include.

tools/layers.txt holds the folder edges (transitive). THIRD_PARTY holds the folders that own each library's header.
"""
import pathlib
import re
import sys

THIRD_PARTY = {
    r"oneapi/.*|dnnl.*": {"engine/native"},
    r"jansson\.h": {"base"},
    r"libfyaml\.h": {"base"},
    r"llhttp.*": {"net"},
    r"uv\.h": {"net", "jobs"},
    r"openssl/.*": {"base", "net"},
    r"sqlite3\.h": {"store"},
    r"libpq-fe\.h": {"store"},
    r"hiredis/.*": {"kv"},
    r"onnx\.pb-c\.h|protobuf-c/.*": {"codegen", "model"},
    r"zlib\.h|png\.h|turbojpeg\.h": {"data"},
    r"curl/.*": {"cli"},
    r"graphviz/.*": {"draw"},
}


def closure(direct, name):
    seen, todo = set(), [name]
    while todo:
        for dep in direct[todo.pop()]:
            if dep not in seen:
                seen.add(dep)
                todo.append(dep)
    return seen


def main():
    rows = [l.split(":") for l in pathlib.Path("tools/layers.txt").read_text().splitlines() if l.strip()]
    direct = {name.strip(): deps.split() for name, deps in rows}
    for name, deps in direct.items():
        for dep in deps:
            if dep not in direct:
                sys.exit(f"layers.txt: {name} names an unknown folder {dep}")
        if name in closure(direct, name):
            sys.exit(f"layers.txt: {name} depends on itself")
    bad = 0
    for path in sorted(pathlib.Path("src").rglob("*.[ch]")):
        here, folder = path.parts[1], "/".join(path.parts[1:-1])
        if here not in direct:
            print(f"{path}: folder {here}/ is not in tools/layers.txt")
            bad += 1
            continue
        allowed = closure(direct, here) | {here}
        for n, line in enumerate(path.read_text().splitlines(), 1):
            m = re.match(r'\s*#\s*include\s+"([a-z0-9_]+)/', line)
            if m and m[1] not in allowed:
                print(f"{path}:{n}: {here}/ may not include {m[1]}/")
                bad += 1
            m = re.match(r"\s*#\s*include\s+[<\"]([^>\"]+)[>\"]", line)
            for pattern, owners in THIRD_PARTY.items():
                if m and re.fullmatch(pattern, m[1]) and not owners & {here, folder}:
                    print(f"{path}:{n}: <{m[1]}> belongs to {', '.join(sorted(owners))}, not to {folder}")
                    bad += 1
    return bad != 0


sys.exit(main())
