"""The generated parts of PROTOCOL.md: `python tests/protocol/transcript.py --write` (or `--check`).

Everything in the document that is a number computed by a program stands between `<!-- generated: NAME -->` and
`<!-- end: NAME -->`, and comes from here: the session of two peers with fixed keys, byte by byte, and, from `vectors.py`, the
constants and the test vectors. The session is no imitation. Two channels, two responders and their stores talk to each other;
only their keys and their clocks are fixed. What a channel does not show (the values inside the handshake) is computed here a
second time from the Noise specification, and must lead to the same handshake hash.

The hand-written text is never touched. `test_protocol.py` derives all of it once more, without this file.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import random
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

import vectors
from blocks import Row, block
from nacl.bindings import crypto_aead_chacha20poly1305_ietf_encrypt as aead_encrypt
from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base
from vectors import AUTHOR, NETWORK, TOPIC, VALUE, number

from p2pnb import spec
from p2pnb.dht.responder import Responder
from p2pnb.dht.signature import public_key_of, sign
from p2pnb.dht.store import Store
from p2pnb.dht.table import RoutingTable
from p2pnb.uid import key_of
from p2pnb.wire.channel import NoiseChannel
from p2pnb.wire.contact import contact
from p2pnb.wire.framing import frame
from p2pnb.wire.messages import (
    BagAdd,
    BagPopular,
    BagRecent,
    BagSample,
    Iam,
    NamespaceRef,
    NamespaceSet,
    Peers,
    Ref,
    Reply,
    Request,
    Set,
    Welcome,
    is_request,
    parse_reply,
    parse_request,
    to_datum,
)
from p2pnb.wire.noise import KeyPair
from p2pnb.wire.sexp import dumps, loads

DOCUMENT = Path(__file__).resolve().parents[2] / "p2pnb" / "PROTOCOL.md"
A, B, C, D = vectors.PEERS


class End:
    """One of the two peers: its channel, and the state from which it answers."""

    def __init__(self, who: vectors.PeerKeys, other: vectors.PeerKeys, initiator: bool) -> None:
        self.who, self.other = who, other
        self.channel = NoiseChannel(initiator, who.static, who.port, NETWORK, KeyPair(who.ephemeral))
        self.table = RoutingTable(who.uid)
        store = Store(network=NETWORK, rng=random.Random(0))
        self.responder = Responder(who.uid, self.table, store)
        self.unanswered: deque[Request] = deque()
        self.sealed = 0

    def answer(self, now: float) -> Reply:
        """The reply to the oldest unanswered request of the other end."""
        request = self.unanswered.popleft()
        reply = self.responder.answer(request, uid=self.other.uid, ip="127.0.0.1", port=self.other.port, now=now)
        assert isinstance(reply, Reply)
        return reply


# --- the handshake ------------------------------------------------------------------------------------------------------


def prologue() -> bytes:
    return spec.PROLOGUE + NETWORK.encode()


def handshake(ends: tuple[End, End]) -> list[bytes]:
    """Lets two channels shake hands; the bytes of the three messages on TCP."""
    a, b = ends
    first = a.channel.start()
    second, _ = b.channel.receive(first)
    third, _ = a.channel.receive(second)
    b.channel.receive(third)
    assert a.channel.established
    assert b.channel.established
    return [first, second, third]


class Noise:
    """The Noise specification's `SymmetricState`, in the order in which it is written there, with every value kept."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.h = self.ck = spec.NOISE_PROTOCOL
        self.k, self.n = b"", 0

    def note(self, name: str, value: bytes) -> bytes:
        self.rows.append((name, value))
        return value

    def mix_hash(self, data: bytes) -> None:
        self.h = hashlib.sha256(self.h + data).digest()

    def hkdf(self, material: bytes) -> tuple[bytes, bytes]:
        secret = hmac.digest(self.ck, material, "sha256")
        first = hmac.digest(secret, b"\1", "sha256")
        return first, hmac.digest(secret, first + b"\2", "sha256")

    def mix_key(self, token: str, private: bytes, public: bytes) -> None:
        shared = self.note(f"DH {token}", crypto_scalarmult(private, public))
        (self.ck, self.k), self.n = self.hkdf(shared), 0
        self.note("ck", self.ck)
        self.note("k", self.k)

    def encrypt_and_hash(self, name: str, plaintext: bytes) -> bytes:
        sealed: bytes = aead_encrypt(plaintext, self.h, bytes(4) + self.n.to_bytes(8, "little"), self.k)
        self.n += 1
        self.mix_hash(sealed)
        return self.note(name, sealed)


def step_by_step() -> tuple[list[list[Row]], list[bytes]]:
    """What happens inside the handshake, message by message; and the three messages."""
    noise, parts, messages = Noise(), [], []

    def part() -> None:
        noise.note("h", noise.h)
        parts.append(noise.rows)
        noise.rows = []

    noise.note("prologue", prologue())
    noise.mix_hash(prologue())
    part()

    e_a = noise.note("e of A", crypto_scalarmult_base(A.ephemeral))
    noise.mix_hash(e_a)
    noise.mix_hash(b"")
    messages.append(e_a)
    part()

    e_b = noise.note("e of B", crypto_scalarmult_base(B.ephemeral))
    noise.mix_hash(e_b)
    noise.mix_key("ee", B.ephemeral, e_a)
    s_b = noise.encrypt_and_hash("s of B, sealed", B.static.public)
    noise.mix_key("es", B.private, e_a)
    hello = vectors.hello(B)
    noise.rows.append(("payload", hello.decode()))
    messages.append(e_b + s_b + noise.encrypt_and_hash("payload, sealed", hello))
    part()

    s_a = noise.encrypt_and_hash("s of A, sealed", A.static.public)
    noise.mix_key("se", A.private, e_b)
    hello = vectors.hello(A)
    noise.rows.append(("payload", hello.decode()))
    messages.append(s_a + noise.encrypt_and_hash("payload, sealed", hello))
    part()

    a_to_b, b_to_a = noise.hkdf(b"")
    noise.note("key A to B", a_to_b)
    noise.note("key B to A", b_to_a)
    parts.append(noise.rows)
    return parts, messages


def handshake_text() -> str:
    sent = handshake((End(A, B, True), End(B, A, False)))
    parts, messages = step_by_step()
    for number_, (tcp, message) in enumerate(zip(sent, messages, strict=True)):
        assert tcp == len(message).to_bytes(2, "big") + message
        parts[number_ + 1].append(("tcp", tcp))
    titles = (
        "Both ends begin with `h` = `ck` = the 32 bytes `Noise_XX_25519_ChaChaPoly_SHA256`, and mix in the prologue:",
        f"**Message 1**, A to B, {len(sent[0])} bytes with their length:",
        f"**Message 2**, B to A, {len(sent[1])} bytes with their length:",
        f"**Message 3**, A to B, {len(sent[2])} bytes with their length:",
        "Both ends split `ck`:",
    )
    return "\n".join(f"{title}\n\n{block('vector', rows)}" for title, rows in zip(titles, parts, strict=True)).rstrip("\n")


# --- the session --------------------------------------------------------------------------------------------------------

Step = tuple[float, str, Request | None, str]  # seconds since the handshake; who sends; a request, or a reply; the comment


def script() -> list[Step]:
    public, key, name = public_key_of(AUTHOR), key_of(VALUE), number(vectors.NAME)

    def entry(value: bytes, sequence: int) -> NamespaceSet:
        return NamespaceSet(public, name, value, sign(AUTHOR, NETWORK, name, sequence, value), sequence)

    absent = number(key_of(b"nobody has set this"))
    return [
        (0, "A", Iam(A.uid), "A says who it is, as `peer-connect` does."),
        (0, "B", None, "B tells A the address it sees it at, and its own uid, which is the one that the handshake proved."),
        (1, "A", Peers(number(key)), "A looks for the peers nearest to the key of a value."),
        (1, "B", None, "B knows C and D, and A, to whom it does not name itself. C is nearer to the key than D."),
        (2, "A", Set(VALUE), "A stores the value. The key is not sent: B computes it."),
        (2, "B", None, "Fewer than 20 peers that B knows are nearer to the key: it stores the value."),
        (3, "A", Ref(number(key)), "A fetches it."),
        (3, "B", None, "One second old. A MUST check that the SHA-256 of this value is the key."),
        (4, "A", Ref(absent), "Nobody has set a value under this key."),
        (4, "B", None, "So B names the peers nearest to it that it knows."),
        (5, "A", BagAdd(number(TOPIC), key), "A votes for a value in a bag; here it is the key of the value above."),
        (5, "B", None, "One vote by the publisher A."),
        (12, "A", BagPopular(number(TOPIC)), "Seven seconds later A reads the bag."),
        (12, "B", None, "One value, one publisher, seven seconds old."),
        (13, "A", entry(key, 1), "An author, whose keys have nothing to do with A's, sets version 1 of an entry through A."),
        (13, "B", None, "The signature holds, and B had no entry there."),
        (14, "A", NamespaceRef(public, name), "A reads the newest version."),
        (14, "B", None, "Value, signature, sequence number, age: A MUST verify the signature."),
        (15, "A", entry(TOPIC, 0), "An older version comes late, or is replayed."),
        (15, "B", None, "B has version 1 already and never goes back."),
        (16, "A", BagRecent(number(TOPIC)), "A sends two requests before it has a reply to the first."),
        (16, "A", BagSample(number(TOPIC)), "The second of the two."),
        (16, "B", Iam(B.uid), "Meanwhile B asks something of its own, on the same link. It is no reply, its head says so."),
        (16, "B", None, "The reply to the first of A's two requests."),
        (16, "A", None, "A's reply to B. Each direction has its own order."),
        (16, "B", None, "The reply to the second of A's two requests."),
    ]


def session_text() -> str:
    ends = {"A": End(A, B, True), "B": End(B, A, False)}
    handshake((ends["A"], ends["B"]))
    for other in (A, C, D):
        ends["B"].table.seen(contact("127.0.0.1", other.port, other.uid), 0.0, dialled=True)
    texts = [_step(ends, count, *step) for count, step in enumerate(script(), 1)]
    assert not ends["A"].unanswered
    assert not ends["B"].unanswered
    return "\n\n".join(texts)


def _step(ends: dict[str, End], count: int, now: float, sender: str, request: Request | None, comment: str) -> str:
    end, other = ends[sender], ends["B" if sender == "A" else "A"]
    text = dumps(to_datum(end.answer(now) if request is None else request))
    sealed = end.channel.seal(text)
    [arrived] = other.channel.receive(sealed)[1]
    datum = loads(arrived)
    if is_request(datum):
        other.unanswered.append(parse_request(datum))
    else:
        reply = parse_reply(datum)
        assert not isinstance(reply, Welcome) or reply.uid == end.who.uid
    rows: list[Row] = [
        ("from", f"{sender}, nonce {end.sealed}"),
        ("text", text.decode()),
        ("frame", frame(text)),
        ("tcp", sealed),
    ]
    end.sealed += 1
    return f"{count}. {comment}\n\n{block('record', rows)}"


# --- the document -------------------------------------------------------------------------------------------------------

PARTS: dict[str, Callable[[], str]] = {
    **vectors.PARTS,
    "handshake": handshake_text,
    "session": session_text,
}


def rendered(document: str, parts: Iterable[str] = PARTS) -> str:
    """`document` with the generated parts as they must be now."""
    for name in parts:
        pattern = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- end: {name} -->)", re.DOTALL)
        begun, finished = document.count(f"<!-- generated: {name} -->"), document.count(f"<!-- end: {name} -->")
        if begun != 1 or finished != 1:
            raise SystemExit(f"{DOCUMENT.name}: the part {name!r} needs its two markers once")
        text = PARTS[name]()
        document = pattern.sub(lambda match, text=text: f"{match[1]}\n{text}\n\n{match[2]}", document)  # type: ignore[misc]
    return document


def main() -> int:
    parser = argparse.ArgumentParser(description="Regenerates the generated parts of PROTOCOL.md.")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write them into the document")
    action.add_argument("--check", action="store_true", help="say which are out of date, and fail if any is")
    arguments = parser.parse_args()
    document = DOCUMENT.read_text("utf-8")
    if arguments.write:
        DOCUMENT.write_text(rendered(document), "utf-8")
        return 0
    stale = [name for name in PARTS if rendered(document, [name]) != document]
    if stale:
        sys.stderr.write(f"out of date: {', '.join(stale)}; run python tests/protocol/transcript.py --write\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
