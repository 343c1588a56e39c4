#!/usr/bin/env python3
"""Holds tools/verify_receipt.py and the `annals` binary against each other.

    test_verify_receipt.py ANNALS_BINARY

1. Receipts made here, in Python, from docs/FORMAT.md: both verifiers take them.
2. Receipts of a ledger that the binary makes (salted and not, plain, bundles, items, genesis): both verifiers take them.
3. Each of these, damaged in every field, in every character of its checkpoint, with another payload and with another
   ledger's key: both verifiers refuse them.
4. Receipts whose tree and checkpoint hold, over records that no engine takes: both verifiers refuse them.

Without an argument only the Python side runs. Part 2 is skipped, aloud, with a binary that makes no ledgers.
"""
import base64, hashlib, io, json, os, struct, subprocess, sys, tempfile
from contextlib import redirect_stdout
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

sys.dont_write_bytecode = True  # leaves no files beside the sources
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import verify_receipt as verifier

ORIGIN = "annals.example/verifier-test"
# How many characters of a text are damaged, one at a time, from its first to its last; of a checkpoint, each one.
TEXT_SAMPLES = 6


class Case:
    """A receipt that holds, and what it is verified with."""

    def __init__(self, name, receipt, vkey, payload=None):
        self.name, self.receipt, self.vkey, self.payload = name, receipt, vkey, payload


# --- Receipts made from the format's description alone.

def public(key):
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def make_head(key, ledger, nonce, kind, flags, count, payload, content):
    signed = struct.pack("<4sBBH32s32sQQII32s", b"ANR1", 1, flags, count, ledger, public(key), nonce, 1_700_000_000_000,
                         kind, len(payload), content)
    return signed + key.sign(b"\x10annals.record.v1" + signed)


def tree_hash(leaves):
    """RFC 9162 section 2.1.1."""
    if len(leaves) == 1:
        return leaves[0]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + tree_hash(leaves[:k]) + tree_hash(leaves[k:])).digest()


def audit_path(index, leaves):
    """RFC 9162 section 2.1.3.1."""
    if len(leaves) == 1:
        return []
    k = 1 << (len(leaves) - 1).bit_length() - 1
    if index < k:
        return audit_path(index, leaves[:k]) + [tree_hash(leaves[k:])]
    return audit_path(index - k, leaves[k:]) + [tree_hash(leaves[:k])]


def make_vkey(key):
    key_id = hashlib.sha256(ORIGIN.encode() + b"\n\x01" + public(key)).digest()[:4]
    return key_id, f"{ORIGIN}+{key_id.hex()}+" + base64.b64encode(b"\x01" + public(key)).decode()


def make_note(key, size, root):
    text = f"{ORIGIN}\n{size}\n{base64.b64encode(root).decode()}\n"
    blob = base64.b64encode(make_vkey(key)[0] + key.sign(text.encode())).decode()
    return f"{text}\n\u2014 {ORIGIN} {blob}\n"


def python_cases():
    """Records in one tree: a tick, a state root, a countersign, plain ones and bundles, salted and not; genesis is left out, only its id is used."""
    ledger_key, author = Ed25519PrivateKey.from_private_bytes(b"L" * 32), Ed25519PrivateKey.from_private_bytes(b"A" * 32)
    ledger, salts = hashlib.sha256(b"some genesis").digest(), [bytes([n]) * 32 for n in range(1, 6)]
    items = [b"", b"one", "二".encode(), b"x" * 5000, b"last"]
    records = [(make_head(ledger_key, ledger, 0, 1, 0, 1, b"", blake3(b"").digest()), {}, b"")]
    state_root = struct.pack("<Q", (1 << 53) - 1) + b"R" * 32 + appointment(ledger_key, ledger, author)
    for nonce, (kind, payload) in enumerate([(6, state_root), (7, b"I" * 32)], start=100):
        records.append((make_head(author, ledger, nonce, kind, 0, 1, payload, blake3(payload).digest()), {}, payload))
    for nonce, payload in enumerate([b"", b"a record", bytes(range(256)) * 50]):
        records.append((make_head(author, ledger, nonce, 70_000, 0, 1, payload, blake3(payload).digest()), {}, payload))
        whole = salts[nonce] + payload
        head = make_head(author, ledger, 2**63 + nonce, 70_000, 2, 1, whole, blake3(whole).digest())
        records.append((head, {"salt": salts[nonce].hex()}, payload))
    for nonce, used in enumerate([salts, [b""] * 5], start=10):
        whole = [salt + item for salt, item in zip(used, items)]
        ends = [20 + sum(map(len, whole[:n + 1])) for n in range(5)]
        hashes = [blake3(item).digest() for item in whole]
        payload = struct.pack("<5I", *ends) + b"".join(whole)
        content = blake3(b"".join(hashes), derive_key_context="annals.bundle.v1").digest()
        head = make_head(author, ledger, nonce, 70_001, 2 if used[0] else 0, 5, payload, content)
        records.append((head, {"salts": [salt.hex() for salt in used]} if used[0] else {}, b"\n".join(items)))
        for index in (1, 4):
            item = {"index": index, "hashes": [value.hex() for value in hashes]}
            records.append((head, {"item": item | ({"salt": used[index].hex()} if used[0] else {})}, items[index]))
    return make_receipts(ledger_key, records, "made in Python")


def appointment(ledger_key, ledger, host):
    return ledger_key.sign(b"\x13annals.state-key.v1" + ledger + public(host))


def make_receipts(ledger_key, records, name):
    """Receipts of one tree over records (head, optional fields, payload), behind a leaf that stands for genesis."""
    heads = list(dict.fromkeys(head for head, _, _ in records))
    ids = [hashlib.sha256(b"genesis").digest()] + [hashlib.sha256(head).digest() for head in heads]
    leaves = [hashlib.sha256(b"\0" + id_ + struct.pack("<QQI", seq // 2, 1_700_000_000_000 + seq // 2, 0)).digest()
              for seq, id_ in enumerate(ids)]
    note, vkey = make_note(ledger_key, len(leaves), tree_hash(leaves)), make_vkey(ledger_key)[1]
    for head, more, payload in records:
        seq = heads.index(head) + 1
        author, nonce, _, kind = struct.unpack("<32sQQI", head[40:92])
        yield Case(f"{name}, seq {seq}", {
            "format": "annals.receipt.v1", "seq": seq, "height": seq // 2, "ordered_time_ms": 1_700_000_000_000 + seq // 2,
            "kind": kind, "record_id": ids[seq].hex(), "author": author.hex(), "content_hash": head[96:128].hex(),
            "nonce": str(nonce), "head": head.hex(), "path": [node.hex() for node in audit_path(seq, leaves)],
            "checkpoint": note} | more, vkey, payload)


def forged_cases():
    """Receipts whose tree and checkpoint hold, over records that the engine would never take."""
    ledger_key, author = Ed25519PrivateKey.from_private_bytes(b"L" * 32), Ed25519PrivateKey.from_private_bytes(b"A" * 32)
    ledger, payload = hashlib.sha256(b"some genesis").digest(), b"p" * 40
    good = make_head(author, ledger, 7, 70_000, 0, 1, payload, blake3(payload).digest())

    def changed(*edits):
        signed = good[:128]
        for at, new in zip(edits[::2], edits[1::2]):
            signed = signed[:at] + new + signed[at + len(new):]
        return signed + author.sign(b"\x10annals.record.v1" + signed)

    heads = {
        "magic": changed(0, b"ANR2"), "suite 2": changed(4, b"\2"), "flag of suite 2": changed(5, b"\4"), "unknown flag": changed(5, b"\x80"),
        "no items": changed(6, b"\0\0"), "4,097 items": changed(6, b"\1\x10"), "no ledger": changed(8, bytes(32)),
        "time": changed(80, struct.pack("<Q", 1 << 53)), "reserved kind": changed(88, struct.pack("<I", 5)),
        "unknown engine kind": changed(88, struct.pack("<I", 65_535)), "genesis behind seq 0": changed(88, bytes(4)),
        "reopening by an author": changed(5, b"\0", 88, struct.pack("<I", 8)),
        "engine record with flags": changed(5, b"\2", 88, struct.pack("<I", 3)),
        "bundle of an engine kind": changed(6, b"\2\0", 88, struct.pack("<I", 3)),
        "state root with flags": changed(5, b"\1", 88, struct.pack("<I", 6)),
        "bundle of countersigns": changed(6, b"\2\0", 88, struct.pack("<I", 7)),
        "salted payload without room for salt": changed(5, b"\2", 92, struct.pack("<I", 31)),
        "bundle without room for its ends": changed(6, b"\2\0", 92, struct.pack("<I", 7)),
        "payload size": changed(92, struct.pack("<I", 1_048_609)), "another's key": changed(40, public(ledger_key)),
        "a signature of other bytes": good[:128] + author.sign(b"annals.record.v1" + good[:128]),
        "a damaged signature": good[:130] + bytes([good[130] ^ 1]) + good[131:],
        "key that is not canonical": changed(40, b"\xee" + b"\xff" * 30 + b"\x7f"),
    }
    for name, head in heads.items():
        (case,) = make_receipts(ledger_key, [(head, {}, None)], name)
        yield case
    # State roots that their author signed, and that nobody appointed him to say.
    by_right, other = appointment(ledger_key, ledger, author), Ed25519PrivateKey.from_private_bytes(b"O" * 32)
    said = struct.pack("<Q", 5) + b"R" * 32
    for name, payload_ in {
        "appointment by another key": said + appointment(other, ledger, author),
        "appointment on another ledger": said + appointment(ledger_key, bytes(32), author),
        "appointment of another host": said + appointment(ledger_key, ledger, other),
        "appointment without its frame": said + ledger_key.sign(ledger + public(author)),
        "damaged appointment": said + by_right[:9] + bytes([by_right[9] ^ 1]) + by_right[10:],
        "state root that is too short": said[1:] + by_right, "state root that is too long": said + by_right + b"x",
        "height out of range": struct.pack("<Q", 1 << 53) + said[8:] + by_right,
    }.items():
        head = make_head(author, ledger, 9, 6, 0, 1, payload_, blake3(payload_).digest())
        yield from make_receipts(ledger_key, [(head, {}, payload_)], name)
    # Another size than the payload has, though the content hash is right.
    yield from make_receipts(ledger_key, [(changed(92, struct.pack("<I", 41)), {}, payload)], "size of another payload")
    # The tree signed by another key under the right key id.
    (case,) = make_receipts(ledger_key, [(good, {}, payload)], "checkpoint of another key")
    other = Ed25519PrivateKey.from_private_bytes(b"O" * 32)
    lines = case.receipt["checkpoint"].split("\n")
    text = "\n".join(lines[:3]) + "\n"
    blob = base64.b64encode(make_vkey(ledger_key)[0] + other.sign(text.encode())).decode()
    case.receipt["checkpoint"] = f"{text}\n\u2014 {ORIGIN} {blob}\n"
    yield case


# --- Receipts of a ledger of the binary.

class Annals:
    """The binary under test."""

    def __init__(self, binary, scratch):
        self.binary, self.scratch = os.path.abspath(binary), scratch

    def path(self, name):
        return os.path.join(self.scratch, name)

    def write(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data)
        return self.path(name)

    def run(self, *arguments):
        done = subprocess.run([self.binary, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
        if done.returncode != 0:
            sys.exit(f"annals {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stderr.decode(errors='replace')}")
        return done.stdout.decode()

    def knows(self, command):
        """Whether the binary has this command."""
        return subprocess.run([self.binary, command, "--help"], stdin=subprocess.DEVNULL, capture_output=True).returncode == 0

    def accepts(self, text, vkey, payload):
        """Whether `annals verify` takes it; any exit code but 0, and 1 or 64 for a refusal, is a failure of its own."""
        arguments = ["verify", self.write("receipt.json", text.encode("utf-8", "surrogatepass")), "--ledger-key", vkey]
        arguments += ["--payload", self.write("payload", payload)] if payload is not None else []
        done = subprocess.run([self.binary, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
        if done.returncode not in (0, 1, 64):
            sys.exit(f"annals verify: exit {done.returncode}\n{done.stderr.decode(errors='replace')}\n{text}")
        return done.returncode == 0

    def new_ledger(self, name):
        author = self.run("keygen", "--out", self.path(f"{name}.pem")).split()[-1]
        vkey = self.run("init", self.path(name), "--origin", ORIGIN, "--author", author).strip().splitlines()[-1]
        return self.path(name), self.path(f"{name}.pem"), vkey

    def append(self, ledger, key, *arguments):
        output = self.run("append", ledger, "--key", key, *arguments)
        return [json.loads(line) for line in output.splitlines()]


def binary_cases(annals):
    ledger, key, vkey = annals.new_ledger("ledger")
    lines = [f"第{n}条记录，line {n} ".encode() + b"." * (n * n) for n in range(17)]
    # In different bundles: within one, unsalted, the proof of either item is true of the other.
    lines[3] = lines[9] = b"equal lines"
    file = annals.write("lines", b"\n".join(lines) + b"\n")
    for name, options in (("salted", []), ("unsalted", ["--no-salt"])):
        receipts = annals.append(ledger, key, *options, "--lines", file)
        assert len(receipts) == len(lines), f"{len(receipts)} receipts of {len(lines)} lines"
        for receipt, line in zip(receipts, lines):
            yield Case(f"{name} line at seq {receipt['seq']}", receipt, vkey, line)
        bundles, first = annals.append(ledger, key, *options, "--bundle", "5", "--lines", file), 0
        for receipt in bundles:
            count = struct.unpack("<H", bytes.fromhex(receipt["head"])[6:8])[0]
            yield Case(f"{name} bundle of {count} at seq {receipt['seq']}", receipt, vkey, b"\n".join(lines[first:first + count]))
            for index in {0, count - 1} if 1 < count else ():
                proved = json.loads(annals.run("prove", ledger, receipt["seq"], "--item", index))
                yield Case(f"{name} item {index} at seq {receipt['seq']}", proved, vkey, lines[first + index])
            first += count
        assert first == len(lines), f"bundles of {first} lines in all, of {len(lines)}"
    payloads = [b"", b"\n", bytes(range(256)) * 4096]
    paths = [annals.write(f"file{n}", payload) for n, payload in enumerate(payloads)]
    for receipt, payload in zip(annals.append(ledger, key, "--files", *paths), payloads, strict=True):
        yield Case(f"file of {len(payload)} bytes", receipt, vkey, payload)
        proved = json.loads(annals.run("prove", ledger, receipt["seq"]))
        assert proved == receipt, "prove gives another object than append did"
    yield Case("genesis", json.loads(annals.run("prove", ledger, 0)), vkey)


# --- Damage.

def flip(text, at):
    """Another character of the same kind at one place of a text."""
    old = text[at]
    new = "1" if old == "0" else "0" if old.isdigit() else "b" if old == "a" else "a" if old.islower() else "B" if old == "A" else "A"
    return text[:at] + new + text[at + 1:]


def spread(length):
    return sorted({n * (length - 1) // (TEXT_SAMPLES - 1) for n in range(TEXT_SAMPLES)}) if length else []


def damaged_values(name, value):
    """Values that differ from `value` in one thing."""
    if isinstance(value, dict):
        for key in value:
            yield {k: v for k, v in value.items() if k != key}
            yield from ({**value, key: damaged} for damaged in damaged_values(key, value[key]))
        yield {**value, "more": 1}
    elif isinstance(value, list):
        yield value + ["00" * 32]
        yield value + value[-1:] if value else ["11" * 32]
        for at in range(len(value)):
            yield value[:at] + value[at + 1:]
            yield value[:at] + [flip(value[at], 7)] + value[at + 1:]
            if value != value[::-1]:
                yield value[::-1]
    elif isinstance(value, str):
        places = range(len(value)) if name == "checkpoint" else spread(len(value))
        yield from (flip(value, at) for at in places)
        yield from (value + "0", value[:-1], value + "\n", "0" + value, "")
        if value.upper() != value and name != "checkpoint":
            yield value.upper()
    else:
        yield from (value + 1, value + 2, value + (1 << 32), value * 2 + 3, -1, 1 << 53, str(value), float(value) + 0.5, None, True)
        if value:
            yield value - 1


def damages(case, other_vkey):
    """(what, text, vkey, payload) of each damage to a case."""
    receipt, vkey, payload = case.receipt, case.vkey, case.payload
    for name in receipt:
        less = {k: v for k, v in receipt.items() if k != name}
        yield f"without {name}", json.dumps(less), vkey, payload
        for value in damaged_values(name, receipt[name]):
            yield f"{name}", json.dumps({**receipt, name: value}), vkey, payload
    text = json.dumps(receipt)
    yield "an unknown field", json.dumps({**receipt, "more": 1}), vkey, payload
    yield "a field twice", text[:-1] + f', "seq": {receipt["seq"]}' + "}", vkey, payload
    yield "cut", text[:-1], vkey, payload
    yield "more behind", text + "{}", vkey, payload
    yield "another ledger's key", text, other_vkey, payload
    for at in range(0, len(vkey), 5):
        yield "vkey", text, flip(vkey, at), payload
    if payload is not None:
        yield "payload longer", text, vkey, payload + b"x"
        for at in spread(len(payload)):
            yield "payload", text, vkey, payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1:]
        if payload:
            yield "payload shorter", text, vkey, payload[:-1]


def python_accepts(text, vkey, payload):
    try:
        with redirect_stdout(io.StringIO()):
            verifier.verify(text, vkey, payload)
        return True
    except verifier.Refused:
        return False


def harmless(case, what):
    """Damage that takes away only what nobody asked for: without a payload, salts and item proofs may be left out."""
    return case.payload is None and what in ("without salt", "without salts", "without item")


def check(case, other_vkey, annals, thorough):
    """Counts of what was refused by (Python, the binary); exits at the first disagreement."""
    text, counts = json.dumps(case.receipt), [0, 0]
    for who, accepts in (("verify_receipt.py", python_accepts), ("annals verify", annals and annals.accepts)):
        if accepts and not accepts(text, case.vkey, case.payload):
            sys.exit(f"{who} refuses a receipt that holds: {case.name}\n{text}")
    for number, (what, damaged, vkey, payload) in enumerate(damages(case, other_vkey)):
        if harmless(case, what):
            continue
        if python_accepts(damaged, vkey, payload):
            sys.exit(f"verify_receipt.py takes a damaged receipt: {case.name}, {what}\n{damaged}")
        counts[0] += 1
        if annals and (thorough or number % 23 == 0):
            if annals.accepts(damaged, vkey, payload):
                sys.exit(f"annals verify takes a damaged receipt: {case.name}, {what}\n{damaged}")
            counts[1] += 1
    return counts


def check_command_line(case, scratch):
    """The verifier as a program: exit 0 and 1."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "verify_receipt.py")
    path = os.path.join(scratch, "one.json")
    payload = os.path.join(scratch, "one.payload")
    with open(payload, "wb") as file:
        file.write(case.payload)
    for receipt, expected in ((case.receipt, 0), ({**case.receipt, "seq": case.receipt["seq"] + 1}, 1)):
        with open(path, "w", encoding="utf-8") as file:
            json.dump(receipt, file)
        done = subprocess.run([sys.executable, script, path, "--vkey", case.vkey, "--payload", payload], capture_output=True)
        if done.returncode != expected:
            sys.exit(f"verify_receipt.py: exit {done.returncode}, expected {expected}\n{done.stdout.decode()}{done.stderr.decode()}")


def main():
    with tempfile.TemporaryDirectory() as scratch:
        annals = Annals(sys.argv[1], scratch) if 1 < len(sys.argv) else None
        cases = list(python_cases())
        other_vkey = make_vkey(Ed25519PrivateKey.from_private_bytes(b"O" * 32))[1]
        makes_ledgers = annals and annals.knows("init") and annals.knows("append")
        if makes_ledgers:
            cases += binary_cases(annals)
            other_vkey = annals.new_ledger("other")[2]
        refused, seen = [0, 0], set()
        for case in cases:
            shape = " ".join(word for word in case.name.split() if not word.isdigit())
            thorough = shape not in seen  # the binary meets every damage to the first case of each shape
            seen.add(shape)
            counts = check(case, other_vkey, annals, thorough)
            refused = [a + b for a, b in zip(refused, counts)]
        check_command_line(cases[1], scratch)
        for case in forged_cases():
            for who, accepts in (("verify_receipt.py", python_accepts), ("annals verify", annals and annals.accepts)):
                if accepts and accepts(json.dumps(case.receipt), case.vkey, case.payload):
                    sys.exit(f"{who} takes a forged receipt: {case.name}")
        print(f"{len(cases)} receipts taken; damaged ones refused: {refused[0]} by verify_receipt.py, {refused[1]} by annals verify")
        if not annals:
            print("no binary given: only receipts made in Python were looked at")
        elif not makes_ledgers:
            print("skipped: receipts of a ledger that the binary makes; it has no init and append")


if __name__ == "__main__":
    main()
