"""PROTOCOL.md says what the code does: its constants, examples and vectors, each derived once more without its generator.

Hashes, curves and ciphers are those of `hashlib` and `cryptography`, which p2pnb does not use.
"""

from __future__ import annotations

import hashlib
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from p2pnb import address, spec
from p2pnb.dht.responder import Responder
from p2pnb.dht.signature import holds, verify
from p2pnb.dht.store import Store
from p2pnb.dht.table import RoutingTable
from p2pnb.errors import ProtocolError
from p2pnb.wire import messages as m
from p2pnb.wire.channel import NoiseChannel
from p2pnb.wire.framing import Deframer
from p2pnb.wire.noise import StaticKey
from p2pnb.wire.sexp import SexpError, dumps, loads

ROOT = Path(__file__).resolve().parents[2]
DRAFT = ROOT.parent / "shared" / "SRFI-draft.md"
PRIVATE = {"A": b"\x11" * 32, "B": b"\x22" * 32, "C": b"\x66" * 32, "D": b"\x77" * 32}

Block = list[tuple[str, str]]
Blocks = Callable[..., list[Block]]
Table = Callable[[str], list[list[str]]]


def octets(number: int) -> bytes:
    return number.to_bytes(32, "big")


def whole(octets: bytes) -> int:
    return int.from_bytes(octets, "big")


def parse(datum: Any) -> Any:
    """The request, reply or greeting that `datum` is."""
    if m.is_request(datum):
        return m.parse_request(datum)
    return m.parse_hello(datum) if isinstance(datum, tuple) and datum and datum[0] == "hello" else m.parse_reply(datum)


def section_of(document: str, number: int) -> str:
    return document.partition(f"\n## {number}. ")[2].partition("\n## ")[0]


# --- the document itself ------------------------------------------------------------------------------------------------


def test_the_generated_parts_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "tests/protocol/transcript.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_table_of_constants_is_spec(table: Table) -> None:
    stated = {name.strip("`"): value for name, value, _ in table("constants")}
    assert set(stated) == {name for name in vars(spec) if name.isupper()}
    for name, text in stated.items():
        value = getattr(spec, name)
        if isinstance(value, bytes):
            assert text.strip("`").replace("\\0", "\0").encode() == value, name
        elif "^" in text:
            power, less = re.fullmatch(r"2\^(\d+) - (\d+)", text).groups()  # type: ignore[union-attr]
            assert 2 ** int(power) - int(less) == value, name
        else:
            assert float(text.replace(",", "")) == value, name


def test_numbers_beside_a_constants_name_are_its_value(document: str) -> None:
    units = {"": 1, "s": 1, "h": 3_600, "minutes": 60, "MB": 1_000_000}
    found = re.findall(r"`([A-Z][A-Z_]+)` \(([\d,]+)(?: ([a-z]+|MB))?[^)]*\)", document)
    assert len(found) > 20
    for name, digits, unit in found:
        assert int(digits.replace(",", "")) * units.get(unit, 1) == getattr(spec, name), name
    # nothing is spelt like a constant and is none
    spelt = set(re.findall(r"`([A-Z]+_[A-Z_]+)`", document))
    assert spelt <= {name for name in vars(spec) if name.isupper()}


def test_sections_are_numbered_and_references_lead_somewhere(document: str) -> None:
    headings = re.findall(r"^#{2,3} ((\d+)(?:\.(\d+))?\.? .*)$", document, re.MULTILINE)
    section, part = 0, 0
    for title, major, minor in headings:
        section, part = (section, part + 1) if minor else (section + 1, 0)
        assert (int(major), int(minor or 0)) == (section, part), title
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title, _, _ in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", document)) <= anchors
    numbers = {major + ("." + minor if minor else "") for _, major, minor in headings}
    assert set(re.findall(r"(?:[Ss]ections? |\()(\d+\.\d+)\b(?! s)", re.sub(r"```.*?```", "", document, flags=re.DOTALL))) <= numbers


def test_lines_of_prose_fit(document: str) -> None:
    inside = False
    for number, line in enumerate(document.splitlines(), 1):
        inside ^= line.startswith("```")
        assert inside or line.startswith("|") or len(line) <= 140, number


def test_rows_of_tables_have_as_many_cells_as_their_head(document: str) -> None:
    inside, cells = False, 0
    for number, line in enumerate(document.splitlines(), 1):
        inside ^= line.startswith("```")
        if inside or not line.startswith("|"):
            cells = 0
            continue
        found = len(re.findall(r"(?<!\\)\|", line))
        assert cells in {0, found}, number
        cells = found


def test_quotations_are_the_drafts_words(document: str) -> None:
    if not DRAFT.exists():
        pytest.skip("the draft's text is not beside this repository")
    draft = plain(DRAFT.read_text("utf-8"))
    section = section_of(document, 24)
    quotations = [row.split("|")[2] for row in section.splitlines() if re.match(r"\| \d+ ", row)]
    assert len(quotations) == 23
    for quotation in quotations:
        assert plain(quotation).strip(' "') in draft, quotation


def plain(text: str) -> str:
    """Without the marks for code and links, and in one line."""
    return re.sub(r"\s+", " ", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text).replace("`", ""))


# --- messages -----------------------------------------------------------------------------------------------------------


def test_every_example_is_a_message(blocks: Blocks) -> None:
    examples = [dict(each) for kind in ("message", "record") for each in blocks(kind)]
    assert len(examples) > 50
    for example in examples:
        text = example["text"].encode()
        datum = loads(text)
        assert dumps(datum) == text
        parse(datum)
        assert "frame" not in example or bytes.fromhex(example["frame"]) == len(text).to_bytes(4, "big") + text


def test_every_kind_of_message_is_among_the_examples(blocks: Blocks) -> None:
    shapes = {
        (datum[0], len(datum) - 1) if isinstance(datum, tuple) else (dumps(datum).decode(), 0)
        for datum in (loads(dict(each)["text"].encode()) for each in blocks("message", "frames"))
    }
    assert shapes == {
        *[("iam", 1), ("peers", 1), ("set", 1), ("set", 2), ("ref", 1), ("bag-add", 2), ("bag-add", 3), ("bag-popular", 1)],
        *[("bag-recent", 1), ("bag-sample", 1), ("namespace-set", 5), ("namespace-set", 6), ("namespace-ref", 2), ("namespace-ref", 3)],
        *[("welcome", 3), ("peer", 2), ("peer", 0), ("#t", 0), ("#f", 0), ("bag", 2), ("bag", 0)],
        *[("value", 1), ("value", 2), ("value", 3), ("value", 4)],
    }


def test_replies_are_those_that_the_code_allows(document: str) -> None:
    section = section_of(document, 9).partition("\n### ")[0]
    names = {"welcome": m.Welcome, "value": m.Value, "bag": m.Bag, "peer": m.Nearest}
    verbs = {str(verb): kind for kind, verb in m.VERBS.items()}
    above: set[type] = set()
    seen = set()
    for verb, replies in re.findall(r"^\| `#\(([a-z-]+) [^|]*` \| (.*) \|$", section, re.MULTILINE):
        heads = re.findall(r"#\(([a-z]+)", replies)
        stated = {names[head] for head in heads} | ({m.Stored} if "`#t` or `#f`" in replies else set())
        stated = {m.Version if kind is m.Value and "signature" in replies else kind for kind in stated}
        above = above if replies == "the same" else stated
        assert set(m.REPLIES_TO[verbs[verb]]) == above, verb
        seen.add(verb)
    assert seen == set(verbs)


def test_other_spellings_are_read(table: Table) -> None:
    rows = table("reading")
    assert {row[0] for row in rows} == {"must", "may"}
    for _, read, canonical in rows:
        datum = loads(read.strip("`").removeprefix(" ").removesuffix(" ").encode() if read.startswith("``") else read.strip("`").encode())
        if canonical != "none":
            written = canonical.strip("`").encode()
            assert dumps(datum) == written
            assert loads(written) == datum


def test_what_must_be_refused_is_refused(table: Table) -> None:
    rows = table("malformed")
    assert {layer for layer, _, _ in rows} == {"frame", "text", "request", "reply", "first bytes", "second message", "record"}
    for layer, shown, reason in rows:
        data = malformed(shown)
        if layer in {"request", "reply"}:
            datum = loads(data)
            with pytest.raises(ProtocolError):
                (m.parse_request if layer == "request" else m.parse_reply)(datum)
        elif layer == "text":
            with pytest.raises(SexpError):
                loads(data)
        elif layer == "frame":
            with pytest.raises(ProtocolError):
                Deframer().feed(data)
        else:
            with pytest.raises(ProtocolError):
                receiver(layer).receive(data)
        assert reason


def malformed(shown: str) -> bytes:
    if shown == "nothing":
        return b""
    if shown.startswith("hex "):
        return bytes.fromhex(shown[4:].strip("`"))
    pieces = re.findall(r"`([^`]+)`(?: × ([\d,]+))?", shown)
    return "".join([text * int((times or "1").replace(",", "")) for text, times in pieces]).encode()


def receiver(layer: str) -> NoiseChannel:
    """A channel that waits for its first bytes, for message 2, or for a record."""
    channel = NoiseChannel(layer == "second message", StaticKey(PRIVATE["B"]), 9002, "example")
    if layer == "second message":
        channel.start()
    elif layer == "record":
        other = NoiseChannel(True, StaticKey(PRIVATE["A"]), 9001, "example")
        channel.receive(other.receive(channel.receive(other.start())[0])[0])
        assert channel.established
    return channel


@pytest.mark.parametrize(("size", "taken"), [(spec.MAX_VALUE, True), (spec.MAX_VALUE + 1, False)])
def test_no_value_is_kept_that_no_reply_could_carry(size: int, taken: bool) -> None:
    rng = random.Random(1)
    responder = Responder(1, RoutingTable(1), Store(rng=rng))
    request = m.Set(b"\xff" * size)
    assert len(dumps(m.to_datum(request))) <= spec.MAX_MESSAGE
    assert responder.answer(request, uid=2, ip="127.0.0.1", port=1, now=0.0) == m.Stored(taken)
    found = responder.answer(m.Ref(whole(hashlib.sha256(request.value).digest())), uid=2, ip="127.0.0.1", port=1, now=0.0)
    assert isinstance(found, (m.Value, m.Nearest))
    assert len(dumps(m.to_datum(found))) <= spec.MAX_MESSAGE


def test_the_table_of_scopes(document: str) -> None:
    section = section_of(document, 10)
    for ip, scope in {
        "127.9.9.9": "loopback", "::1": "loopback", "10.0.0.1": "private", "172.31.0.1": "private", "192.168.1.5": "private",
        "169.254.1.1": "private", "100.64.0.1": "private", "fe80::1": "private", "fd00::1": "private",
        "8.8.8.8": "global", "2606:4700::1": "global", "::ffff:8.8.8.8": "global", "::ffff:10.0.0.1": "private",
    }.items():  # fmt: skip
        assert f"| {scope} |" in section
        assert address.scope_of(ip) == ("loopback", "private", "global").index(scope), ip
    for ip in ("localhost", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "fe80::1%eth0", "1.2.3"):
        assert address.scope_of(ip) is None, ip


# --- vectors ------------------------------------------------------------------------------------------------------------


def uid_of(name: str) -> bytes:
    return hashlib.sha256(X25519PrivateKey.from_private_bytes(PRIVATE[name]).public_key().public_bytes_raw()).digest()


def test_identifiers(blocks: Blocks) -> None:
    [rows] = blocks("vector", "identifiers")
    for (what, first), (_, second), (_, third) in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
        hashed = bytes.fromhex(second)
        assert hashed == hashlib.sha256(bytes.fromhex(first)).digest(), what
        assert int(third) == whole(hashed), what
        if what.startswith("static of "):
            assert hashed == uid_of(what[-1])


def test_distances(blocks: Blocks, document: str) -> None:
    for block in blocks("vector", "distances"):
        rows = dict(block)
        a, b = bytes.fromhex(rows["a"]), bytes.fromhex(rows["b"])
        assert bytes.fromhex(rows["distance"]) == bytes([x ^ y for x, y in zip(a, b, strict=True)])
        bits_a, bits_b = (f"{whole(each):0256b}" for each in (a, b))
        shared = next((at for at in range(256) if bits_a[at] != bits_b[at]), 256)
        assert int(rows["common prefix"]) == shared
    key = whole(hashlib.sha256(b"hello, world").digest())
    order = sorted(PRIVATE, key=lambda name: whole(uid_of(name)) ^ key)
    assert f"nearest first: {', '.join(order)}." in document


def test_signatures(blocks: Blocks) -> None:
    first, *signed, altered = [dict(each) for each in blocks("vector", "signatures")]
    author = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(first["seed"]))
    public, key, value = (bytes.fromhex(first[name]) for name in ("public key", "key", "value"))
    assert public == author.public_key().public_bytes_raw()
    assert key == hashlib.sha256(b"about").digest()
    assert value == hashlib.sha256(b"hello, world").digest()
    assert bytes.fromhex(first["point"]) == hashlib.sha256(public + key).digest()
    assert len(signed) == 4
    for rows in signed:
        network, sequence = rows["network"].strip('"'), int(rows["sequence"])
        message = b"p2pnb/namespace/1" + hashlib.sha256(network.encode()).digest() + public + key + sequence.to_bytes(8, "big") + value
        assert len(message) == 153
        assert bytes.fromhex(rows["signed bytes"]) == message
        signature = bytes.fromhex(rows["signature"])
        assert signature == author.sign(message)
        assert verify(public, signature, network, whole(key), sequence, value)
        assert not verify(public, signature, network + "x", whole(key), sequence, value)
        assert not verify(public, signature, network, whole(key), sequence ^ 1, value)
    message, good, bad = (bytes.fromhex(each) for each in (signed[2]["signed bytes"], signed[2]["signature"], altered["not reduced"]))
    order = 2**252 + 27742317777372353535851937790883648493
    assert int.from_bytes(bad[32:], "little") == int.from_bytes(good[32:], "little") + order
    assert not holds(public, bad, message)
    with pytest.raises(InvalidSignature):
        author.public_key().verify(bad, message)


def test_records(blocks: Blocks) -> None:
    shared, spanning, large = [dict(each) for each in blocks("vector", "records")]
    cipher = ChaCha20Poly1305(bytes.fromhex(shared["key"]))

    def record(nonce: int, piece: bytes) -> bytes:
        sealed = cipher.encrypt(bytes(4) + nonce.to_bytes(8, "little"), piece, b"")
        return len(sealed).to_bytes(2, "big") + sealed

    assert bytes.fromhex(shared["plaintext"]) == b"\0\0\0\2#t\0\0\0\2#f"
    assert bytes.fromhex(shared["tcp"]) == record(0, b"\0\0\0\2#t\0\0\0\2#f")
    pieces = [bytes.fromhex(spanning[f"plaintext {n}"]) for n in range(2)]
    assert b"".join(pieces) == b"\0\0\0\2#t"
    assert bytes.fromhex(spanning["tcp"]) == record(0, pieces[0]) + record(1, pieces[1])
    text = b"#(set #u8(" + b" ".join([b"%d" % (n % 256) for n in range(256 * 120)]) + b"))"
    assert len(text) == int(large["size of text"])
    stream = len(text).to_bytes(4, "big") + text
    tcp = record(0, stream[: 65_535 - 16]) + record(1, stream[65_535 - 16 :])
    assert large["records"].split() == ["65535", str(len(tcp) - 65_535 - 4)]
    assert len(tcp) == int(large["bytes on tcp"])
    assert hashlib.sha256(tcp).hexdigest() == large["their SHA-256"]
