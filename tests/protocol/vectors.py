"""Test vectors for PROTOCOL.md, and its table of constants: what `transcript.py` puts between the document's markers.

Each function gives the markdown of one part. Hex stands in lines of 64 digits, a text of the protocol in one line, however
long: copied out, it is exactly what was framed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from blocks import Row, block, table
from malformed import malformed, reading

from p2pnb import spec
from p2pnb.dht.namespaces import point_of
from p2pnb.dht.signature import public_key_of, sign, signed_bytes
from p2pnb.uid import common_prefix_length, key_of
from p2pnb.wire import messages as m
from p2pnb.wire.contact import contact
from p2pnb.wire.framing import frame
from p2pnb.wire.noise import Cipher, StaticKey
from p2pnb.wire.sexp import Symbol, dumps

NETWORK = "example"
VALUE = b"hello, world"
TOPIC: bytes = key_of(b"cats")
NAME: bytes = key_of(b"about")
AUTHOR = b"\x55" * 32
RECORD_KEY = b"\x88" * 32
ORDER_OF_ED25519 = 2**252 + 27742317777372353535851937790883648493


@dataclass(frozen=True)
class PeerKeys:
    """A peer with fixed keys. Nobody must ever use them for anything else."""

    name: str
    private: bytes
    ephemeral: bytes
    port: int

    @property
    def static(self) -> StaticKey:
        return StaticKey(self.private)

    @property
    def uid(self) -> int:
        return self.static.uid


PEERS = (
    PeerKeys("A", b"\x11" * 32, b"\x33" * 32, 9001),
    PeerKeys("B", b"\x22" * 32, b"\x44" * 32, 9002),
    PeerKeys("C", b"\x66" * 32, b"", 9003),
    PeerKeys("D", b"\x77" * 32, b"", 9004),
)


def number(octets: bytes) -> int:
    return int.from_bytes(octets, "big")


def octets_of(value: int) -> bytes:
    return value.to_bytes(32, "big")


def hello(who: PeerKeys) -> bytes:
    return dumps(m.hello_datum(m.Hello(who.uid, who.port)))


# --- constants ----------------------------------------------------------------------------------------------------------

MEANINGS = {
    "SIZE_PREFIX": "bytes of the size before a message",
    "MAX_MESSAGE": "bytes of a message's text",
    "MAX_VALUE": "bytes of a value",
    "PORTABLE_VALUE": "bytes of a value that fits in any Scheme's spelling",
    "MAX_NESTING": "levels of lists, vectors and quotations",
    "MAX_DIGITS": "digits of an integer",
    "MAX_DATA": "data in a message (a bytevector is one)",
    "RECORD_VALUE": "bytes of a value in a bag or namespace",
    "PUBLIC_KEY": "bytes of an Ed25519 public key",
    "SIGNATURE": "bytes of an Ed25519 signature",
    "MAX_SEQUENCE": "largest sequence number",
    "NAMESPACE_CONTEXT": "what signed bytes begin with",
    "VERSIONS_KEPT": "versions kept of an entry",
    "NOISE_PROTOCOL": "name of the handshake",
    "PROLOGUE": "what the prologue begins with, before the network's name",
    "HELLO_VERSION": "version in `hello`",
    "MAX_HANDSHAKE_MESSAGE": "bytes of a handshake message",
    "MIN_RECORD": "bytes of a record, at least",
    "MAX_RECORD": "bytes of a record, at most",
    "HANDSHAKE_TIMEOUT": "seconds until a handshake must be done",
    "RENEW_AFTER_SECONDS": "age of a link, in seconds, from which on nothing new is asked on it",
    "RENEW_AFTER_RECORDS": "records on a link, both ways, after which nothing new is asked on it",
    "REQUEST_TIMEOUT": "seconds until a reply must be there",
    "MAX_UNANSWERED": "requests without reply, on a link, each way",
    "MAX_QUEUED": "bytes queued, on a link, each way",
    "MAX_CONTACTS": "contacts in a `peer` reply",
    "K": "contacts in a bucket, by default and at most",
    "MIN_K": "contacts in a bucket, at least",
    "ALPHA": "requests that a lookup has under way",
    "MAX_DIALS": "dials in a lookup",
    "MAX_DIALS_AN_IP": "dials in a lookup to one global IP address",
    "MAX_CHARGES": "failed dials until the other hints of the same referrer are doubted",
    "JOIN_NEAREST": "peers that must answer to end the lookup of a join",
    "LIVE_WITHIN": "seconds since a contact was heard from, while it counts as live",
    "STALE_AFTER": "failures in a row after which a contact gives way to another",
    "REPLICATION": "peers that a record is written to, by default",
    "MIN_REPLICATION": "the same, at least",
    "MAX_REPLICATION": "the same, at most",
    "ACCEPTORS": "nearer peers known, from which on a record is refused",
    "MERGE_PEERS": "peers that are asked for a bag, or for the newest version",
    "MERGE_QUORUM": "answers of those that are needed, if so many can be had",
    "REFRESH": "seconds without a lookup, after which a bucket is refreshed",
    "REPUBLISH": "seconds between two renewals of a record",
    "EXPIRY": "seconds that a record lives without renewal",
    "STORE_BYTES": "bytes that a peer keeps",
    "PUBLISHER_BYTES_AN_HOUR": "bytes that a publisher, or a network group, may add an hour to a store more than half full",
    "MAX_BAG_REPLY": "entries in a `bag` reply",
    "BAG_VALUES": "values in a bag",
    "BAG_VALUES_A_PUBLISHER": "values in a bag that one publisher votes for",
    "BAG_PUBLISHERS_A_VALUE": "publishers of a value in a bag",
    "NAMESPACE_KEYS_A_PUBLIC_KEY": "entries of one public key",
}


def constants() -> str:
    names = [name for name in vars(spec) if name.isupper()]
    if set(names) != set(MEANINGS):
        raise SystemExit(f"vectors.py explains other constants than spec.py has: {sorted(set(names) ^ set(MEANINGS))}")
    return table(("name", "value", "what it is"), [(f"`{name}`", _shown(getattr(spec, name)), MEANINGS[name]) for name in names])


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return f"`{value.decode()}`".replace("\0", "\\0")
    if isinstance(value, float):
        return f"{value:,.1f}".removesuffix(".0")
    return "2^63 - 1" if value == 2**63 - 1 else f"{value:,}"


# --- keys, distances ----------------------------------------------------------------------------------------------------


def cast() -> str:
    """Who takes part."""

    def thirty_two(octets: bytes) -> str:
        return f"`{octets[:1].hex()}` × 32" if octets else ""

    rows = [(who.name, thirty_two(who.private), thirty_two(who.ephemeral), str(who.port)) for who in PEERS]
    return table(("peer", "private static key", "private ephemeral key", "listens at 127.0.0.1, port"), rows)


def identifiers() -> str:
    rows: list[Row] = []
    for who in PEERS:
        rows += [(f"static of {who.name}", who.static.public), (f"uid of {who.name}", octets_of(who.uid)), ("as integer", str(who.uid))]
    for what, octets in (("value", VALUE), ("topic", b"cats"), ("name", b"about"), ("empty value", b"")):
        key = key_of(octets)
        rows += [(what, octets), ("its SHA-256", bytes(key)), ("as integer", str(number(key)))]
    return block("vector", rows)


def distances() -> str:
    a, b, c, d = (who.uid for who in PEERS)
    key = number(key_of(VALUE))
    pairs = [(0, 0), (0, 1), (0, 2**255), (5, 9), (2**256 - 1, 0), (a, b), (a, c), (key, a), (key, b), (key, c), (key, d)]
    texts = []
    for x, y in pairs:
        rows: list[Row] = [
            ("a", octets_of(x)),
            ("b", octets_of(y)),
            ("distance", octets_of(x ^ y)),
            ("common prefix", str(common_prefix_length(x, y))),
        ]
        texts.append(block("vector", rows))
    order = sorted(PEERS, key=lambda who: who.uid ^ key)
    last = f"So the peers nearest to the key of `hello, world` are, nearest first: {', '.join(who.name for who in order)}."
    return "\n".join([*texts, last])


# --- signatures ---------------------------------------------------------------------------------------------------------


def signatures() -> str:
    public, name, value = public_key_of(AUTHOR), number(NAME), bytes(key_of(VALUE))
    texts = [
        block(
            "vector",
            [
                ("seed", AUTHOR),
                ("public key", public),
                ("key", NAME),
                ("point", octets_of(point_of(public, name))),
                ("value", value),
            ],
        )
    ]
    for network, sequence in (("", 0), (NETWORK, 0), (NETWORK, 1), (NETWORK, spec.MAX_SEQUENCE)):
        signed = signed_bytes(network, public, name, sequence, value)
        signature = sign(AUTHOR, network, name, sequence, value)
        rows: list[Row] = [("network", f'"{network}"'), ("sequence", str(sequence)), ("signed bytes", signed), ("signature", signature)]
        texts.append(block("vector", rows))
    signature = sign(AUTHOR, NETWORK, name, 1, value)
    s = int.from_bytes(signature[32:], "little") + ORDER_OF_ED25519
    rows = [("not reduced", signature[:32] + s.to_bytes(32, "little"))]
    texts.append(f'The signature for "{NETWORK}" and sequence 1 with S + L in place of S MUST be refused:\n\n{block("vector", rows)}')
    return "\n".join(texts).rstrip("\n")


# --- messages -----------------------------------------------------------------------------------------------------------


def every_message() -> list[tuple[str, m.Message]]:
    """One of each kind, and with each argument that may be left out."""
    public, name, key = public_key_of(AUTHOR), number(NAME), key_of(VALUE)
    topic, value = number(TOPIC), bytes(key)
    signature = sign(AUTHOR, NETWORK, name, 1, value)
    two = tuple(contact("127.0.0.1", who.port, who.uid) for who in PEERS[2:])
    return [
        ("iam", m.Iam(PEERS[0].uid)),
        ("peers", m.Peers(number(key))),
        ("set", m.Set(VALUE)),
        ("set, of nothing", m.Set(b"")),
        ("set, handed over", m.Set(VALUE, 3_600)),
        ("ref", m.Ref(number(key))),
        ("bag-add", m.BagAdd(topic, value)),
        ("bag-add, handed over", m.BagAdd(topic, value, 86_399)),
        ("bag-popular", m.BagPopular(topic)),
        ("bag-recent", m.BagRecent(topic)),
        ("bag-sample", m.BagSample(topic)),
        ("namespace-set", m.NamespaceSet(public, name, value, signature, 1)),
        ("namespace-set, handed over", m.NamespaceSet(public, name, value, signature, 1, 60)),
        ("namespace-ref", m.NamespaceRef(public, name)),
        ("namespace-ref, pinned", m.NamespaceRef(public, name, signature)),
        ("welcome", m.Welcome("127.0.0.1", PEERS[0].port, PEERS[1].uid)),
        ("welcome, over IPv6", m.Welcome("::1", PEERS[0].port, PEERS[1].uid)),
        ("peer", m.Nearest(two)),
        ("peer, of nobody", m.Nearest(())),
        ("#t", m.Stored(True)),
        ("#f", m.Stored(False)),
        ("value", m.Value(VALUE, 3_600)),
        ("value, of nobody knows which age", m.Value(VALUE)),
        ("bag", m.Bag((m.BagEntry(value, 3, 7), m.BagEntry(TOPIC, 0, 3_600)))),
        ("bag, empty", m.Bag(())),
        ("value, of a namespace", m.Version(value, signature, 1, 60)),
        ("value, of a namespace and of nobody knows which age", m.Version(value, signature, 1)),
    ]


def frames() -> str:
    texts = []
    for name, message in every_message():
        text = dumps(m.to_datum(message))
        texts.append(block("message", [("message", name), ("text", text.decode()), ("frame", frame(text))]))
    return "\n".join(texts).rstrip("\n")


def records() -> str:
    """Records under a key of their own: one shared by two frames, a frame in two records, a message longer than a record."""
    shared, spanning, large = Cipher(RECORD_KEY), Cipher(RECORD_KEY), Cipher(RECORD_KEY)  # type: ignore[arg-type]
    two = frame(b"#t") + frame(b"#f")
    one = frame(b"#t")
    text = dumps((Symbol("set"), bytes(range(256)) * 120))
    framed = frame(text)
    size = spec.MAX_RECORD - 16
    pieces = [large.seal(framed[start : start + size]) for start in range(0, len(framed), size)]
    stream = b"".join(_counted(piece) for piece in pieces)
    return "\n".join(
        [
            block("vector", [("key", RECORD_KEY), ("plaintext", two), ("tcp", _counted(shared.seal(two)))]),
            block(
                "vector",
                [
                    ("key", RECORD_KEY),
                    ("plaintext 0", one[:3]),
                    ("plaintext 1", one[3:]),
                    ("tcp", _counted(spanning.seal(one[:3])) + _counted(spanning.seal(one[3:]))),
                ],
            ),
            block(
                "vector",
                [
                    ("key", RECORD_KEY),
                    ("value", "the bytes 0 to 255 in this order, 120 times over"),
                    ("size of text", str(len(text))),
                    ("records", " ".join(str(len(piece)) for piece in pieces)),
                    ("bytes on tcp", str(len(stream))),
                    ("their SHA-256", hashlib.sha256(stream).digest()),
                ],
            ),
        ]
    ).rstrip("\n")


def _counted(record: bytes) -> bytes:
    return len(record).to_bytes(2, "big") + record


PARTS: dict[str, Callable[[], str]] = {
    "constants": constants,
    "cast": cast,
    "identifiers": identifiers,
    "distances": distances,
    "signatures": signatures,
    "frames": frames,
    "records": records,
    "reading": reading,
    "malformed": malformed,
}
