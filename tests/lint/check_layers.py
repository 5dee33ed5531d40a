#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks every #include of the tree against layers.txt, and that a source includes the header of its
name first, which shows that this compiles alone. Usage: check_layers.py ROOT [LAYERS]"""
import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
TOPS = ("vmgs", "vtpm", "keybroker", "transport", "tools", "tests")


def read_policy(path):
    allowed, free, libraries, faults = {}, set(), [], []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        if line.startswith("top "):
            free.update(line.split()[1:])
        elif line.startswith("library "):
            prefixes, places = line[len("library "):].split("=")
            libraries.append((tuple(prefixes.split()), tuple(places.split())))
        else:
            room, _, names = line.partition(":")
            for name in names.split():
                if name not in allowed:
                    faults.append(f"{path}:{number}: {room} names {name}, which is not above it")
            allowed[room] = set(names.split()) | {room}
    return allowed, free, libraries, faults


def room_of(path, free):
    top = path.split("/")[0]
    return top if top in free else "/".join(path.split("/")[:2])


def check(root, policy_path):
    allowed, free, libraries, faults = read_policy(policy_path)
    for top in TOPS:
        for source in sorted((root / top).rglob("*")):
            if source.suffix not in (".h", ".cc"):
                continue
            name = source.relative_to(root).as_posix()
            room = room_of(name, free)
            if room not in allowed and room not in free:
                faults.append(f"{name}:1: {room} has no line in {policy_path.name}")
                continue
            own = source.with_suffix(".h")
            first = own.relative_to(root).as_posix() if source != own and own.exists() else None
            for number, line in enumerate(source.read_text().splitlines(), 1):
                match = INCLUDE.match(line)
                if not match:
                    continue
                quote, target = match.groups()
                where = f"{name}:{number}"
                if first and target != first:
                    faults.append(f"{where}: {first} comes before all else here")
                first = None
                is_test = name.endswith("_test.cc") or top == "tests"
                if ".." in target.split("/"):
                    faults.append(f"{where}: includes are full paths from the root, not {target}")
                elif quote == '"' and target.split("/")[0] in TOPS:
                    to = room_of(target, free)
                    if to == "tests" and is_test:
                        continue
                    if room not in free and to not in allowed[room]:
                        faults.append(f"{where}: {room} may not include {to}")
                    elif room in free and to in free and to != room:
                        faults.append(f"{where}: {room} may not include {to}")
                elif not is_test:
                    for prefixes, places in libraries:
                        if target.startswith(prefixes) and not any(
                                name == p or name.startswith(p + "/") for p in places):
                            faults.append(f"{where}: {room} may not include <{target}>")
    return faults


if __name__ == "__main__":
    tree = pathlib.Path(sys.argv[1])
    rules = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else tree / "tests/lint/layers.txt"
    found = check(tree, rules)
    print("\n".join(found) if found else "layers: no include breaks the order")
    sys.exit(1 if found else 0)
