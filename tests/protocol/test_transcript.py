"""The session in PROTOCOL.md, held by three: p2pnb's own channel, PyPI's `noiseprotocol` as either end, and plain arithmetic.

And the messages in it, read and written by the Schemes that are installed.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import shutil
import subprocess
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from noise.connection import Keypair, NoiseConnection  # type: ignore[import-untyped]

from p2pnb import spec
from p2pnb.wire import messages as m
from p2pnb.wire.channel import NoiseChannel
from p2pnb.wire.noise import KeyPair, StaticKey
from p2pnb.wire.sexp import dumps, loads

STATIC = {"A": b"\x11" * 32, "B": b"\x22" * 32}
EPHEMERAL = {"A": b"\x33" * 32, "B": b"\x44" * 32}
PORT = {"A": 9001, "B": 9002}
PROLOGUE = b"p2pnb/1\0example"

Block = list[tuple[str, str]]
Blocks = Callable[..., list[Block]]


@pytest.fixture
def handshake(blocks: Blocks) -> list[Block]:
    return blocks("vector", "handshake")


@pytest.fixture
def messages(handshake: list[Block]) -> list[bytes]:
    """The three messages of the handshake, with their lengths."""
    return [bytes.fromhex(dict(part)["tcp"]) for part in handshake[1:4]]


@pytest.fixture
def records(blocks: Blocks) -> list[tuple[str, int, bytes, bytes]]:
    """Each record: who sends it, its nonce, the frame in it, the bytes on TCP."""
    found = []
    for block in blocks("record", "session"):
        rows = dict(block)
        sender, nonce = re.fullmatch(r"([AB]), nonce (\d+)", rows["from"]).groups()  # type: ignore[union-attr]
        found.append((sender, int(nonce), bytes.fromhex(rows["frame"]), bytes.fromhex(rows["tcp"])))
    assert len(found) == 26
    return found


def public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


# --- the handshake, step by step ----------------------------------------------------------------------------------------


class Arithmetic:
    """`h`, `ck`, `k` and `n`, as section 7.2 of the document has them."""

    def __init__(self) -> None:
        self.h = self.ck = b"Noise_XX_25519_ChaChaPoly_SHA256"
        self.k, self.n = b"", 0

    def mix_hash(self, data: bytes) -> bytes:
        self.h = hashlib.sha256(self.h + data).digest()
        return self.h

    def hkdf(self, material: bytes) -> tuple[bytes, bytes]:
        t = hmac.new(self.ck, material, "sha256").digest()
        first = hmac.new(t, b"\x01", "sha256").digest()
        return first, hmac.new(t, first + b"\x02", "sha256").digest()

    def mix_key(self, private: bytes, public_key: bytes) -> list[bytes]:
        shared = X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public_key))
        self.ck, self.k = self.hkdf(shared)
        self.n = 0
        return [shared, self.ck, self.k]

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        sealed = ChaCha20Poly1305(self.k).encrypt(bytes(4) + self.n.to_bytes(8, "little"), plaintext, self.h)
        self.n += 1
        self.mix_hash(sealed)
        return sealed


def hello(name: str) -> bytes:
    uid = int.from_bytes(hashlib.sha256(public(STATIC[name])).digest(), "big")
    return f"#(hello 1 {uid} {PORT[name]})".encode()


def test_every_value_of_the_handshake(handshake: list[Block], messages: list[bytes]) -> None:
    noise = Arithmetic()
    e_a, e_b = public(EPHEMERAL["A"]), public(EPHEMERAL["B"])
    start = [PROLOGUE, noise.mix_hash(PROLOGUE)]
    noise.mix_hash(e_a)
    first = [e_a, noise.mix_hash(b""), b"\0\x20" + e_a]
    noise.mix_hash(e_b)
    ee = noise.mix_key(EPHEMERAL["A"], e_b)
    s_b = noise.encrypt_and_hash(public(STATIC["B"]))
    es = noise.mix_key(EPHEMERAL["A"], public(STATIC["B"]))
    payload = noise.encrypt_and_hash(hello("B"))
    message = e_b + s_b + payload
    second = [e_b, *ee, s_b, *es, hello("B"), payload, noise.h, len(message).to_bytes(2, "big") + message]
    s_a = noise.encrypt_and_hash(public(STATIC["A"]))
    se = noise.mix_key(EPHEMERAL["B"], public(STATIC["A"]))
    payload = noise.encrypt_and_hash(hello("A"))
    message = s_a + payload
    third = [s_a, *se, hello("A"), payload, noise.h, len(message).to_bytes(2, "big") + message]
    for part, values in zip(handshake, [start, first, second, third, [*noise.hkdf(b"")]], strict=True):
        for (name, shown), value in zip(part, values, strict=True):
            assert (shown.encode() if name == "payload" else bytes.fromhex(shown)) == value, name
    assert messages == [first[-1], second[-1], third[-1]]


def test_the_records_open_under_the_keys_shown(handshake: list[Block], records: list[tuple[str, int, bytes, bytes]]) -> None:
    keys = dict(handshake[4])
    cipher = {"A": ChaCha20Poly1305(bytes.fromhex(keys["key A to B"])), "B": ChaCha20Poly1305(bytes.fromhex(keys["key B to A"]))}
    count = {"A": 0, "B": 0}
    for sender, nonce, frame, tcp in records:
        assert nonce == count[sender]
        count[sender] += 1
        assert int.from_bytes(tcp[:2], "big") == len(tcp) - 2
        assert cipher[sender].decrypt(bytes(4) + nonce.to_bytes(8, "little"), tcp[2:], b"") == frame


# --- held by other implementations --------------------------------------------------------------------------------------


def foreign(name: str) -> NoiseConnection:
    """The end `name`, as PyPI's `noiseprotocol` would be it."""
    noise = NoiseConnection.from_name(b"Noise_XX_25519_ChaChaPoly_SHA256")
    noise.set_as_initiator() if name == "A" else noise.set_as_responder()
    noise.set_prologue(PROLOGUE)
    noise.set_keypair_from_private_bytes(Keypair.STATIC, STATIC[name])
    noise.set_keypair_from_private_bytes(Keypair.EPHEMERAL, EPHEMERAL[name])
    with pytest.warns(UserWarning, match="ephemeral"):  # which it advises against, and which a transcript needs
        noise.start_handshake()
    return noise


@pytest.mark.parametrize("name", ["A", "B"])
def test_noiseprotocol_as_one_end(
    name: str, handshake: list[Block], messages: list[bytes], records: list[tuple[str, int, bytes, bytes]]
) -> None:
    noise = foreign(name)
    payloads = [b"", hello("B"), hello("A")]
    for sender, message, payload in zip("ABA", messages, payloads, strict=True):
        if sender == name:
            assert noise.write_message(payload) == message[2:]
        else:
            assert noise.read_message(message[2:]) == payload
    assert noise.handshake_finished
    assert noise.get_handshake_hash().hex() == dict(handshake[3])["h"]
    for sender, _, frame, tcp in records:
        if sender == name:
            assert noise.encrypt(frame) == tcp[2:]
        else:
            assert noise.decrypt(tcp[2:]) == frame


def ours(name: str) -> NoiseChannel:
    return NoiseChannel(name == "A", StaticKey(STATIC[name]), PORT[name], "example", KeyPair(EPHEMERAL[name]))


@pytest.mark.parametrize("piece", [1, 7, 10_000])
@pytest.mark.parametrize("name", ["A", "B"])
def test_our_channel_as_one_end(name: str, piece: int, messages: list[bytes], records: list[tuple[str, int, bytes, bytes]]) -> None:
    channel = ours(name)

    def receive(data: bytes) -> tuple[bytes, list[bytes]]:
        steps = [channel.receive(data[start : start + piece]) for start in range(0, len(data), piece)]
        return b"".join(step[0] for step in steps), [text for step in steps for text in step[1]]

    if name == "A":
        assert channel.start() == messages[0]
        assert receive(messages[1]) == (messages[2], [])
    else:
        assert channel.start() == b""
        assert receive(messages[0]) == (messages[1], [])
        assert receive(messages[2]) == (b"", [])
    assert channel.established
    other = "B" if name == "A" else "A"
    assert channel.port == PORT[other]
    assert channel.uid == int.from_bytes(hashlib.sha256(public(STATIC[other])).digest(), "big")
    for sender, _, frame, tcp in records:
        if sender == name:
            assert channel.seal(frame[4:]) == tcp
        else:
            assert receive(tcp) == (b"", [frame[4:]])
    channel.eof()


# --- what is said -------------------------------------------------------------------------------------------------------


def test_replies_come_in_the_order_of_the_requests_and_are_true(records: list[tuple[str, int, bytes, bytes]]) -> None:
    unanswered: dict[str, deque[Any]] = {"A": deque(), "B": deque()}
    uids = {name: int.from_bytes(hashlib.sha256(public(private)).digest(), "big") for name, private in STATIC.items()}
    asked = []
    for sender, _, frame, _ in records:
        datum = loads(frame[4:])
        if m.is_request(datum):
            unanswered[sender].append(m.parse_request(datum))
            continue
        reply = m.parse_reply(datum)
        asker = "B" if sender == "A" else "A"
        request = unanswered[asker].popleft()
        assert type(reply) in m.REPLIES_TO[type(request)]
        asked.append((type(request), type(reply)))
        check(request, reply, uids, asker, sender)
    assert not unanswered["A"]
    assert not unanswered["B"]
    assert {kind for kind, _ in asked} == set(m.REPLIES_TO)
    assert {kind for _, kind in asked} == {kind for kinds in m.REPLIES_TO.values() for kind in kinds}


def check(request: Any, reply: Any, uids: dict[str, int], asker: str, answerer: str) -> None:
    """What a peer must check of a reply."""
    match request, reply:
        case m.Iam(uid), m.Welcome(ip, port, welcomed):
            assert (uid, ip, port, welcomed) == (uids[asker], "127.0.0.1", PORT[asker], uids[answerer])
        case m.Ref(key), m.Value(value):
            assert int.from_bytes(hashlib.sha256(value).digest(), "big") == key
        case m.Peers(key) | m.Ref(key), m.Nearest(contacts):
            distances = [(contact.uid or 0) ^ key for contact in contacts]
            assert distances == sorted(distances)
            assert uids[asker] not in [contact.uid for contact in contacts]
        case m.NamespaceRef(author, key, _), m.Version(value, signature, sequence):
            signed = author + key.to_bytes(32, "big") + sequence.to_bytes(8, "big") + value
            prefix = b"p2pnb/namespace/1" + hashlib.sha256(b"example").digest()
            Ed25519PublicKey.from_public_bytes(author).verify(signature, prefix + signed)


# --- Schemes ------------------------------------------------------------------------------------------------------------

PROGRAM = """
(define in (open-input-file "in"))
(define out (open-output-file "out"))
(let loop ()
  (let ((x (read in)))
    (if (not (eof-object? x))
        (begin
          (write (if (vector? x) (list 'vector (vector-length x) (vector-ref x 0)) (list 'boolean x)) out)
          (newline out)
          (write x out)
          (newline out)
          (loop)))))
(close-output-port out)
"""
SCHEMES = {"guile": ("guile", "--no-auto-compile", "-s"), "csi": ("csi", "-s"), "gsi": ("gsi",)}


@pytest.mark.scheme
@pytest.mark.parametrize("name", SCHEMES)
def test_schemes_read_the_messages_and_write_them_back(name: str, blocks: Blocks, tmp_path: Path) -> None:
    command = SCHEMES[name]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    texts = [dict(each)["text"].encode() for kind in ("message", "record") for each in blocks(kind)]
    texts = list(dict.fromkeys(texts))
    prelude = "(import srfi-4)\n" if name == "csi" else ""
    (tmp_path / "in").write_bytes(b"\n".join(texts))
    (tmp_path / "program.scm").write_text(prelude + PROGRAM)
    done = subprocess.run(
        [*command, "program.scm"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    lines = (tmp_path / "out").read_bytes().splitlines()
    assert len(lines) == 2 * len(texts)
    for text, seen, back in zip(texts, lines[::2], lines[1::2], strict=True):
        datum = loads(text)
        kind = ["vector", len(datum), datum[0]] if isinstance(datum, tuple) else ["boolean", datum]
        assert loads(seen) == kind
        assert loads(back) == datum
        assert dumps(loads(back)) == text
        assert len(back) <= spec.MAX_MESSAGE
