#!/usr/bin/env python3
"""Writes the source of the keys that an image trusts.

usage: trusted_keys.py OUT.cpp PUBLISHED.pub UNSIGNED [KEYS...]
KEYS are public key files, or folders whose *.pub files are taken; none means that nobody is trusted. A key equal to the
one in PUBLISHED.pub is marked as public knowledge. UNSIGNED is `serial`, or empty.
"""
import hashlib
import re
import sys
from pathlib import Path

LINE = re.compile(r"^\s*graft-public-key\s+([A-Za-z0-9][A-Za-z0-9._+-]{0,62})\s+([0-9a-fA-F]{64})\s*$")


def read_key(path):
    """(name, 32 bytes) of a public key file."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip() and not line.strip().startswith("#")]
    match = LINE.match(lines[0]) if len(lines) == 1 else None
    if not match:
        sys.exit(f"KEYS: {path}: expected one line 'graft-public-key NAME DIGITS' with 64 hexadecimal digits")
    return match.group(1), bytes.fromhex(match.group(2))


def files(places):
    for place in map(Path, places):
        if place.is_dir():
            yield from sorted(place.glob("*.pub"))
        elif place.is_file():
            yield place
        else:
            sys.exit(f"KEYS: {place}: no such file or folder")


def array(data):
    return "{" + ", ".join(str(byte) for byte in data) + "}"


def main():
    out, published, unsigned, *places = sys.argv[1:]
    if unsigned not in ("", "serial"):
        sys.exit(f"UNSIGNED={unsigned}: only UNSIGNED=serial is there")
    _, known = read_key(Path(published))
    rows, names, keys = [], {}, {}
    for path in files(places):
        name, key = read_key(path)
        if keys.get(key) == name:
            continue
        if key in keys or name in names:
            sys.exit(f"KEYS: {path}: name and key must be used once only; also in {names.get(name) or names[keys[key]]}")
        names[name], keys[key] = path, name
        flags = "graft::formats::kKeyIsPublished" if key == known else "0"
        rows.append(f'    {{{{"{name}"}}, {array(key)}, {array(hashlib.sha512(key).digest()[:16])}, {flags}}},')
    if places and not rows:
        sys.exit(f"KEYS: no *.pub in {' '.join(places)}")
    text = "\n".join([
        "// Made by mk/trusted_keys.py.",
        '#include "formats/keys.h"',
        "",
        'extern "C" const graft::formats::TrustedKey graft_trusted_keys[];',
        'extern "C" const bool graft_unsigned_on_serial;',
        "",
        "const graft::formats::TrustedKey graft_trusted_keys[] = {",
        *rows,
        "    {},",
        "};",
        f"const bool graft_unsigned_on_serial = {'true' if unsigned else 'false'};",
        ""])
    path = Path(out)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
