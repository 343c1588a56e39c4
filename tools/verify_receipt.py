#!/usr/bin/env python3
"""Verifies a receipt of an Annals ledger offline: an implementation of docs/FORMAT.md that shares no code with the engine.

    verify_receipt.py RECEIPT.json --vkey VKEY [--payload FILE]

Prints each step that holds and what the receipt does not show; exit 0, or 1 at the first step that does not hold. The payload
file is the payload without its salt; for a whole bundle its items joined by LF; with an item proof, that item.

Signatures are checked by the `cryptography` package (OpenSSL), as RFC 8032 says. The format says ZIP-215, which accepts more:
encodings of R that are not reduced or have a small-order part, since it multiplies by the cofactor 8. Honest signers make no
such signature; one that was made on purpose is refused here and accepted by the engine. Neither accepts an S of L or
more. That the author's key has no small-order part is not checked here.
"""
import argparse, base64, hashlib, json, re, struct, sys
from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FIELDS = {"format": str, "seq": int, "height": int, "ordered_time_ms": int, "kind": int, "record_id": str, "author": str,
          "content_hash": str, "nonce": str, "head": str, "path": list, "checkpoint": str}
OPTIONAL = {"salt": str, "salts": list, "item": dict}


class Refused(Exception):
    """A step that does not hold."""


def need(holds, why):
    if not holds:
        raise Refused(why)


def step(text):
    print("ok  ", text)


def unhex(text, size):
    need(isinstance(text, str) and re.fullmatch("[0-9a-f]{%d}" % (2 * size), text), f"not {size} bytes in lower-case hex: {text!r:.40}")
    return bytes.fromhex(text)


def unbase64(text, size):
    try:
        value = base64.b64decode(text, validate=True)
    except ValueError:
        raise Refused("not base64") from None
    need(len(value) == size and base64.b64encode(value).decode() == text, f"not the base64 of {size} bytes")
    return value


def signed(key, signature, message):
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        return True
    except (InvalidSignature, ValueError):
        return False


def load(text):
    """The receipt's JSON object, with exactly the fields of the format."""
    def once(pairs):
        need(len(dict(pairs)) == len(pairs), "a field stands twice")
        return dict(pairs)
    try:
        receipt = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise Refused(f"not JSON: {error}") from None
    need(isinstance(receipt, dict) and FIELDS.keys() <= receipt.keys() <= FIELDS.keys() | OPTIONAL.keys(), "fields missing or unknown")
    for name, value in receipt.items():
        need(type(value) is (FIELDS | OPTIONAL)[name], f"{name} has the wrong type")
        need(type(value) is not int or 0 <= value < 1 << 53, f"{name} is out of range")
    need(receipt["format"] == "annals.receipt.v1", "not an annals.receipt.v1")
    return receipt


def open_note(note, vkey):
    """Size and root of the tree that the ledger key signed, and that key."""
    origin, key_id, key = (vkey.split("+", 2) + ["", ""])[:3]
    need(re.fullmatch("[!-*,-~]{1,128}", origin), "the vkey's origin is malformed")
    key = unbase64(key, 33)
    need(key[0] == 1, "the vkey is not of Ed25519")
    expected_id = hashlib.sha256(origin.encode() + b"\n\x01" + key[1:]).digest()[:4]
    need(key_id == expected_id.hex(), "the vkey's key id is not that of its key")
    lines = note.split("\n")
    need(len(note.encode()) <= 512 and len(lines) == 6 and lines[3] == lines[5] == "", "the checkpoint is not a note of the format")
    need(lines[0] == origin, f"the checkpoint is of {lines[0]!r}, not of {origin!r}")
    need(re.fullmatch("[1-9][0-9]{0,15}", lines[1]) and int(lines[1]) < 1 << 53, "the checkpoint's size is malformed")
    root = unbase64(lines[2], 32)
    prefix = f"\u2014 {origin} "
    need(lines[4].startswith(prefix), "the checkpoint's signature line is malformed")
    signature = unbase64(lines[4][len(prefix):], 68)
    need(signature[:4] == expected_id, "the checkpoint is signed by another key (key id)")
    text = "\n".join(lines[:3]) + "\n"
    need(signed(key[1:], signature[4:], text.encode()), "the ledger key's signature on the checkpoint does not hold")
    return int(lines[1]), root, key[1:]


def root_of(leaf, index, size, path):
    """RFC 9162 section 2.1.3.2: the root that an audit path leads to."""
    need(index < size, f"seq {index} is not below the tree's size {size}")
    fn, sn, node = index, size - 1, leaf
    for sibling in path:
        need(sn != 0, "the audit path is too long")
        if fn & 1 or fn == sn:
            node = hashlib.sha256(b"\x01" + sibling + node).digest()
            while fn & 1 == 0 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            node = hashlib.sha256(b"\x01" + node + sibling).digest()
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0, "the audit path is too short")
    return node


def parse_head(raw):
    """The head's fields; refuses what the format does not allow."""
    names = "magic suite flags count ledger author nonce claimed kind size content signature".split()
    head = dict(zip(names, struct.unpack("<4sBBH32s32sQQII32s64s", raw)))
    need(head["magic"] == b"ANR1" and head["suite"] == 1 and head["flags"] <= 3, "the head's magic, suite or flags are unknown")
    need(1 <= head["count"] <= 4096 and head["size"] <= 1_048_608 and head["claimed"] < 1 << 53, "a number in the head is out of range")
    need(head["kind"] in (0, 1, 2, 3, 6, 7, 8) or 65_536 <= head["kind"], "the kind is reserved")
    need(65_536 <= head["kind"] or (head["count"] == 1 and head["flags"] == 0), "an engine record is plain and has no flags")
    need((head["kind"] == 0) == (head["ledger"] == bytes(32)), "only genesis has no ledger id")
    items = head["count"] if head["flags"] & 2 else 0
    need((4 * head["count"] if 1 < head["count"] else 0) + 32 * items <= head["size"], "the payload is too small for its items")
    need(int.from_bytes(head["author"], "little") % (1 << 255) < (1 << 255) - 19, "the author's key is not canonical")
    return head


def bundle_hash(hashes):
    return blake3(b"".join(hashes), derive_key_context="annals.bundle.v1").digest()


def check_item(head, item):
    need({"index", "hashes"} <= item.keys() <= {"index", "hashes", "salt"}, "the item proof's fields are missing or unknown")
    need(1 < head["count"] and type(item["hashes"]) is list and len(item["hashes"]) == head["count"], "not one hash an item of the bundle")
    need(type(item["index"]) is int and 0 <= item["index"] < head["count"], "the item's index is out of range")
    need(("salt" in item) == bool(head["flags"] & 2), "the item's salt is missing, or the bundle has none")
    hashes = [unhex(text, 32) for text in item["hashes"]]
    need(bundle_hash(hashes) == head["content"], "the item hashes are not those of the record")
    return hashes[item["index"]], unhex(item.get("salt", ""), 32 if "salt" in item else 0)


def check_payload(head, receipt, payload):
    salted = bool(head["flags"] & 2)
    if head["count"] == 1:
        payload = unhex(receipt.get("salt", ""), 32 if salted else 0) + payload
        need(len(payload) == head["size"], f"the payload has {len(payload)} bytes with its salt, the head says {head['size']}")
        need(blake3(payload).digest() == head["content"], "the payload is not the one that was recorded")
        return
    items, salts = payload.split(b"\n"), receipt.get("salts", [] if salted else [""] * head["count"])
    if len(items) == head["count"] + 1 and items[-1] == b"":
        items.pop()  # the last line may end in LF too
    need(len(items) == len(salts) == head["count"], f"{len(items)} items and {len(salts)} salts, the head says {head['count']}")
    items = [unhex(salt, 32 if salted else 0) + item for salt, item in zip(salts, items)]
    need(sum(map(len, items)) + 4 * len(items) == head["size"], "the items are not as long as the head says")
    need(bundle_hash([blake3(item).digest() for item in items]) == head["content"], "the items are not those that were recorded")


def check_state_root(head, payload, ledger_key):
    """That the ledger key has appointed the author of a state-root record, whose payload this is."""
    need(len(payload) == 104 and int.from_bytes(payload[:8], "little") < 1 << 53, "the payload is not that of a state-root record")
    name = b"annals.state-key.v1"
    need(signed(ledger_key, payload[40:], bytes([len(name)]) + name + head["ledger"] + head["author"]),
         "the ledger key has not appointed the author to say state roots")


def verify(text, vkey, payload=None):
    """Checks everything the receipt claims; raises Refused."""
    receipt = load(text)
    size, root, ledger_key = open_note(receipt["checkpoint"], vkey)
    step(f"the ledger key {vkey.rsplit('+', 1)[0]} signed a checkpoint of {size} records")
    raw = unhex(receipt["head"], 192)
    record_id = hashlib.sha256(raw).digest()
    need(record_id == unhex(receipt["record_id"], 32), "record_id is not the SHA-256 of the head")
    leaf = hashlib.sha256(b"\0" + record_id + struct.pack("<QQI", receipt["height"], receipt["ordered_time_ms"], 0)).digest()
    path = [unhex(text, 32) for text in receipt["path"]]
    need(root_of(leaf, receipt["seq"], size, path) == root, "the audit path does not lead to the signed root")
    step(f"record {record_id.hex()} is at seq {receipt['seq']}, in block {receipt['height']}, ordered at {receipt['ordered_time_ms']} ms")
    head = parse_head(raw)
    need((head["kind"] == 0) == (receipt["seq"] == 0), "genesis is at seq 0 and nowhere else")
    need(head["kind"] not in (0, 1, 8) or head["author"] == ledger_key, "only the ledger key signs genesis, ticks and reopenings")
    for name, value in (("author", head["author"].hex()), ("content_hash", head["content"].hex()), ("kind", head["kind"]), ("nonce", str(head["nonce"]))):
        need(receipt[name] == value, f"{name} is not what the head says")
    step("the receipt's other fields are what the head says")
    need(signed(head["author"], head["signature"], b"\x10annals.record.v1" + raw[:128]), "the author's signature does not hold")
    step(f"author {head['author'].hex()} signed the record")
    salted = bool(head["flags"] & 2)
    need("salt" not in receipt or (salted and head["count"] == 1), "a salt, but no plain salted payload")
    need("salts" not in receipt or (salted and len(receipt["salts"]) == head["count"] > 1), "salts, but not one for each item of a bundle")
    [unhex(salt, 32) for salt in receipt.get("salts", [receipt["salt"]] if "salt" in receipt else [])]
    if "item" in receipt:
        item_hash, salt = check_item(head, receipt["item"])
        step(f"the hashes of all {head['count']} items are those of the record")
        if payload is not None:
            need(blake3(salt + payload).digest() == item_hash, f"the payload is not item {receipt['item']['index']}")
            step(f"the payload is item {receipt['item']['index']}")
    elif payload is not None:
        check_payload(head, receipt, payload)
        step("the payload is the one that was recorded")
        if head["kind"] == 6:
            check_state_root(head, payload, ledger_key)
            step(f"the ledger key appointed the author to say the state root of block {int.from_bytes(payload[:8], 'little')}")
    print("not shown: that others see the same ledger; that the author was entitled; that the author's claimed time is true")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("receipt")
    parser.add_argument("--vkey", required=True)
    parser.add_argument("--payload")
    arguments = parser.parse_args()
    try:
        with open(arguments.receipt, encoding="utf-8") as file:
            text = file.read()
        payload = open(arguments.payload, "rb").read() if arguments.payload else None
        verify(text, arguments.vkey, payload)
    except (Refused, OSError, UnicodeError) as error:
        print("FAILED", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
