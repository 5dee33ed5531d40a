#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""VMGS version 3 written a second time, from vmgs/FORMAT.md and nothing else.

It shares no line with the C++ of this project, so that what one writes and the other reads proves
something about both. It is small and careless of crashes: it is for tests.

    vmgs.py read FILE [KEY_HEX]                 one JSON object: what is in the store
    vmgs.py write FILE vhd|raw SPACING KEY_HEX|- ID=HEX[:plain] ...
                                                 a new store, written in two commits
"""
import hashlib
import json
import os
import struct
import sys
import zlib

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

BLOCK = 4096
HEADER = struct.Struct("<8sIIIIIIHH")
ENTRY = struct.Struct("<IIQ12s16sI16s")
FILES = 64
ENCRYPTED = 3


class Broken(Exception):
    pass


def checksum(header):
    return zlib.crc32(header[:12] + bytes(4) + header[16:168]) & 0xFFFFFFFF


def strip_footer(raw):
    """The store in a fixed VHD; a raw store as it is."""
    footer = raw[-512:]
    if footer[:8] != b"conectix":
        return raw
    total = (sum(footer) - sum(footer[64:68])) & 0xFFFFFFFF
    if struct.unpack(">I", footer[64:68])[0] != total ^ 0xFFFFFFFF:
        raise Broken("the checksum of the footer is wrong")
    return raw[: struct.unpack(">Q", footer[48:56])[0]]


def decode_header(raw):
    signature, version, crc, sequence, size, table, blocks, algorithm, markers = HEADER.unpack(raw[:36])
    if signature != b"GUESTRTS" or version != 0x00030000 or size != 168 or blocks != 1 or algorithm > 1:
        return None
    if crc != checksum(raw) or table < 2:
        return None
    slots = []
    for at in (36, 100):
        nonce, _, tag, wrapped = struct.unpack("<12sI16s32s", raw[at : at + 64])
        slots.append((nonce, wrapped + tag) if any(wrapped) else None)
    return {"sequence": sequence, "table": table, "encrypted": algorithm == 1, "slots": slots}


def spacing_of(store):
    for spacing in (512, 4096):
        if decode_header(store[spacing : spacing + 168]):
            return spacing
    return 512


def newest(store, spacing):
    first, second = decode_header(store[:168]), decode_header(store[spacing : spacing + 168])
    if first and second:
        if first["sequence"] == (second["sequence"] + 1) % 2**32:
            return first
        if second["sequence"] == (first["sequence"] + 1) % 2**32:
            return second
        raise Broken("the headers are no neighbours")
    if not first and not second:
        raise Broken("no header is valid")
    return first or second


def decode_table(block, table_block, blocks):
    entries = {}
    for number in range(FILES):
        first, count, size, nonce, tag, attributes, _ = ENTRY.unpack(block[number * 64 : number * 64 + 64])
        if count == 0:
            continue
        if first < 2 or first + count > blocks or size > count * BLOCK:
            raise Broken(f"file {number} does not lie in the store")
        entries[number] = {"first": first, "count": count, "size": size, "nonce": nonce, "tag": tag,
                           "encrypted": attributes & ENCRYPTED != 0}
    if 0 not in entries or entries[0]["first"] != table_block:
        raise Broken("the table does not describe itself")
    taken = sorted((e["first"], e["first"] + e["count"]) for e in entries.values())
    if any(a[1] > b[0] for a, b in zip(taken, taken[1:])):
        raise Broken("files overlap")
    return entries


def content(store, entry):
    return store[entry["first"] * BLOCK : entry["first"] * BLOCK + entry["size"]]


def open_extended(store, header, entries, key):
    for slot in header["slots"]:
        if slot is None:
            continue
        try:
            metadata_key = AESGCM(key).decrypt(slot[0], slot[1], None)
            table = entries[63]
            return AESGCM(metadata_key).decrypt(table["nonce"], content(store, table) + table["tag"], None)
        except Exception:  # the library has one exception for a tag that does not fit
            continue
    raise Broken("the key opens no slot")


def read(path, key):
    store = strip_footer(open(path, "rb").read())
    spacing = spacing_of(store)
    header = newest(store, spacing)
    table = store[header["table"] * BLOCK : (header["table"] + 1) * BLOCK]
    entries = decode_table(table, header["table"], len(store) // BLOCK)
    extended = open_extended(store, header, entries, key) if header["encrypted"] and key else None
    files = {}
    for number, entry in entries.items():
        if number in (0, 63):
            continue
        data, encrypted = content(store, entry), entry["encrypted"]
        if extended:
            attributes, file_key = struct.unpack("<I32s", extended[number * 64 : number * 64 + 36])
            encrypted = attributes & ENCRYPTED != 0
            if encrypted:
                data = AESGCM(file_key).decrypt(entry["nonce"], data + entry["tag"], None)
        files[number] = {"size": entry["size"], "encrypted": encrypted,
                         "sha256": hashlib.sha256(data).hexdigest()}
    return {"sequence": header["sequence"], "encrypted": header["encrypted"], "spacing": spacing,
            "files": files}


def encode_header(sequence, table, slot):
    raw = HEADER.pack(b"GUESTRTS", 0x00030000, 0, sequence, 168, table, 1, 1 if slot else 0, 0)
    raw += (slot or bytes(64)) + bytes(64) + bytes(4)
    return raw[:12] + struct.pack("<I", checksum(raw)) + raw[16:]


def footer_of(size):
    raw = bytearray(struct.pack(">8sIIQIIIIQQII", b"conectix", 2, 0x10000, 2**64 - 1, 0, 0, 0x000A0000, 0,
                                size, size, 0, 2) + bytes(4) + os.urandom(16) + bytes(428))
    raw[64:68] = struct.pack(">I", sum(raw) ^ 0xFFFFFFFF)
    return bytes(raw)


def commit(store, at, sequence, spacing, key, files):
    """Writes one generation into the blocks from `at` on, its header into its slot; gives what follows."""
    entries, extended, place = {}, bytearray(BLOCK), at + 2
    for number, (data, is_encrypted) in sorted(files.items()):
        nonce = tag = None
        size = len(data)
        if key and is_encrypted:
            file_key, nonce = os.urandom(32), os.urandom(4) + bytes(8)
            sealed = AESGCM(file_key).encrypt(nonce, data, None)
            data, tag = sealed[:-16], sealed[-16:]
            extended[number * 64 : number * 64 + 36] = struct.pack("<I32s", ENCRYPTED, file_key)
        count = max(1, -(-size // BLOCK))
        store[place * BLOCK : place * BLOCK + size] = data
        entries[number] = ENTRY.pack(place, count, size, nonce or bytes(12), tag or bytes(16),
                                     ENCRYPTED if tag else 0, bytes(16))
        place += count
    slot = nonce = tag = None
    if key:
        metadata_key, nonce = os.urandom(32), os.urandom(4) + bytes(8)
        extended[63 * 64 : 63 * 64 + 36] = struct.pack("<I32s", ENCRYPTED, metadata_key)
        sealed = AESGCM(metadata_key).encrypt(nonce, bytes(extended), None)
        extended, tag = sealed[:-16], sealed[-16:]
        slot_nonce = os.urandom(12)
        wrapped = AESGCM(key).encrypt(slot_nonce, metadata_key, None)
        slot = struct.pack("<12sI16s32s", slot_nonce, 0, wrapped[32:], wrapped[:32])
    entries[0] = ENTRY.pack(at, 1, BLOCK, bytes(12), bytes(16), 0, bytes(16))
    entries[63] = ENTRY.pack(at + 1, 1, BLOCK, nonce or bytes(12), tag or bytes(16),
                             ENCRYPTED if tag else 0, bytes(16))
    table = b"".join(entries.get(number, bytes(64)) for number in range(FILES))
    store[at * BLOCK : (at + 1) * BLOCK] = table
    store[(at + 1) * BLOCK : (at + 2) * BLOCK] = bytes(extended)
    header = encode_header(sequence, at, slot)
    begin = ((sequence - 1) % 2) * spacing
    store[begin : begin + 168] = header
    return place


def write(path, kind, spacing, key, files):
    store = bytearray(1024 * BLOCK)
    after = commit(store, 2, 1, spacing, key, {})
    commit(store, after, 2, spacing, key, files)
    with open(path, "xb") as out:
        out.write(bytes(store) + (footer_of(len(store)) if kind == "vhd" else b""))


def main():
    if sys.argv[1] == "read":
        key = bytes.fromhex(sys.argv[3]) if len(sys.argv) > 3 else None
        print(json.dumps(read(sys.argv[2], key)))
        return
    path, kind, spacing, key = sys.argv[2:6]
    files = {}
    for each in sys.argv[6:]:
        number, value = each.split("=", 1)
        digits, _, how = value.partition(":")
        files[int(number)] = (bytes.fromhex(digits), how != "plain")
    write(path, kind, int(spacing), None if key == "-" else bytes.fromhex(key), files)


if __name__ == "__main__":
    try:
        main()
    except Broken as error:
        sys.exit(f"vmgs.py: {error}")
