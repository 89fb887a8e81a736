"""What fuzzing drives: functions of any bytes that raise where a promise is broken.

One set of targets for both ways of fuzzing: hypothesis in every test run (`test_fuzz.py`), and coverage-guided with atheris
for as long as one likes (`run.py`). The promises:

- foreign bytes raise `ProtocolError` and nothing else, and the parser only its own kind, `SexpError`, with an offset inside the text;
- what was read can be written again and reads back equal, and the short ways of the reader agree with the general one;
- a channel that raised is dead; it calls itself established only after three true handshake messages;
- a stream that is cut differently gives the same texts;
- whatever request is read, the responder answers with a reply of the right kind, which can be written and parsed.

Keys are fixed, so every run of a target on the same bytes is the same run.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

from p2pnb import spec
from p2pnb.dht.responder import Responder
from p2pnb.dht.store import Store
from p2pnb.dht.table import RoutingTable
from p2pnb.errors import LocalProtocolError, ProtocolError
from p2pnb.wire import sexp_read
from p2pnb.wire.channel import MAX_PLAINTEXT, NoiseChannel, PlainChannel
from p2pnb.wire.contact import contact
from p2pnb.wire.framing import Deframer, frame
from p2pnb.wire.messages import REPLIES_TO, Hello, hello_datum, parse_hello, parse_reply, parse_request, to_datum
from p2pnb.wire.noise import Handshake, KeyPair, StaticKey
from p2pnb.wire.sexp import Pair, SexpError, dumps, loads

Target = Callable[[bytes], object]

OURS, THEIRS = StaticKey.from_seed(b"o" * 32), StaticKey.from_seed(b"t" * 32)
OUR_EPHEMERAL, THEIR_EPHEMERAL = KeyPair.from_seed(b"e" * 32), KeyPair.from_seed(b"f" * 32)
PROLOGUE = spec.PROLOGUE


# --- texts ------------------------------------------------------------------------------------------------------------


def parser(text: bytes) -> bool:
    """Any text is one datum, or a `SexpError`; whether it was one."""
    try:
        datum = loads(text)
    except SexpError as error:
        assert 0 <= error.offset <= len(text)  # noqa: PT017 (an error of any other kind is what must not come)
        return False
    assert datum == sexp_read.read(text), "the short way and the general one disagree"
    try:
        again = dumps(datum)
    except LocalProtocolError:  # some symbols and sizes are read and never written
        return True
    assert loads(again) == datum, "what was written reads back as something else"
    return True


def messages(text: bytes) -> None:
    """Any text is a request, a reply, a greeting, or refused; what it is, it is again after writing."""
    try:
        datum = loads(text)
    except SexpError:
        return
    for parse in (parse_request, parse_reply):
        try:
            message = parse(datum)
        except ProtocolError:
            continue
        assert parse(loads(dumps(to_datum(message)))) == message
    try:
        hello = parse_hello(datum)
    except ProtocolError:
        return
    assert parse_hello(hello_datum(hello)) == hello


def contacts(text: bytes) -> None:
    """Any bytes between the parentheses of a `peer` reply: the short way, which remembers, and the general one agree."""
    whole = b"#(peer (" + text + b"))"
    outcomes: list[Any] = []
    for read in (loads, loads, sexp_read.read):
        try:
            outcomes.append(read(whole))
        except SexpError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1] == outcomes[2]


# --- streams ----------------------------------------------------------------------------------------------------------


def pieces(data: bytes) -> list[bytes]:
    """`data` cut where its own bytes say: the first byte of a piece is how long it is."""
    cut: list[bytes] = []
    at = 0
    while at < len(data):
        size = data[at] + 1
        cut.append(data[at + 1 : at + 1 + size])
        at += 1 + size
    return cut


def framing(data: bytes) -> None:
    """A stream in any pieces gives the same texts, or the same refusal."""
    parts = pieces(data)
    whole, cut = _deframed([b"".join(parts)]), _deframed(parts)
    assert whole[1] == cut[1], "cutting the stream made it right or wrong"
    assert cut[1] or whole == cut
    assert b"".join(frame(text) for text in cut[0]) == b"".join(parts)[: sum(len(text) + spec.SIZE_PREFIX for text in cut[0])]


def _deframed(parts: Iterable[bytes]) -> tuple[list[bytes], bool]:
    deframer, texts = Deframer(), list[bytes]()
    try:
        for part in parts:
            texts += deframer.feed(part)
    except ProtocolError:
        return texts, True
    return texts, False


def fed(channel: NoiseChannel | PlainChannel, parts: Iterable[bytes]) -> list[bytes]:
    """The texts that a channel takes from a stream. Once it has refused something it is dead: it takes and gives nothing more."""
    texts: list[bytes] = []
    try:
        for part in parts:
            texts += channel.receive(part)[1]
    except ProtocolError:
        assert not channel.established, "it refused something and stays established"
        for step in (lambda: channel.receive(b""), lambda: channel.receive(b"more"), lambda: channel.seal(b"x")):
            try:
                step()
            except ProtocolError:
                continue
            raise AssertionError("it goes on after an error") from None
        return texts
    try:
        channel.eof()
    except ProtocolError:
        pass
    return texts


def handshake(data: bytes) -> None:
    """Any bytes instead of a handshake, at either end: nobody becomes a peer but who holds a key and is who he says."""
    channel = NoiseChannel(data[:1] < b"\x80", OURS, 9000, "", OUR_EPHEMERAL)
    channel.start()
    fed(channel, pieces(data[1:]))
    assert not channel.established or channel.uid == THEIRS.uid, "a stranger was taken for a peer"


def greeting(data: bytes) -> None:
    """A foreign end that shakes hands rightly, and greets with any payload: its uid is its key's, or it is refused."""
    channel = NoiseChannel(False, OURS, 9000, "", OUR_EPHEMERAL)
    foreign = Handshake(True, THEIRS, PROLOGUE, THEIR_EPHEMERAL)
    first = foreign.write()
    answer, _ = channel.receive(len(first).to_bytes(2, "big") + first)
    foreign.read(answer[2:])
    third = foreign.write(data[:400])
    texts = fed(channel, [len(third).to_bytes(2, "big") + third])
    assert texts == []
    assert channel.uid in (None, THEIRS.uid)


class Unsealed:
    """In place of a cipher: records that anybody can make, so that fuzzing reaches what is inside of them."""

    def __init__(self) -> None:
        self.count = 0

    def open(self, sealed: bytes, associated: bytes | None = None) -> bytes:
        self.count += 1
        return sealed[16:]

    def seal(self, plaintext: bytes, associated: bytes | None = None) -> bytes:
        self.count += 1
        return bytes(16) + plaintext


def established() -> NoiseChannel:
    """A channel after its handshake, without the arithmetic."""
    channel = NoiseChannel(False, OURS, 9000, "", OUR_EPHEMERAL)
    channel._handshake, channel._opening, channel._sealing = None, Unsealed(), Unsealed()  # type: ignore[assignment]
    channel.uid, channel.port, channel.established = THEIRS.uid, 9001, True
    return channel


def session(data: bytes) -> None:
    """Any records after the handshake: texts in order, or a dead channel; every text is a message or refused."""
    for text in fed(established(), pieces(data)):
        messages(text)


def records(data: bytes) -> None:
    """Frames spread over records as the bytes say: the texts that were framed come out, no matter how they are cut."""
    parts = pieces(data)
    texts = [part for part in parts if part]
    stream = b"".join(map(frame, texts))
    step = 1 + len(parts) % 50
    cut = [stream[at : at + step] for at in range(0, len(stream), step)]
    assert max(map(len, cut), default=0) <= MAX_PLAINTEXT
    sealed = b"".join((len(part) + 16).to_bytes(2, "big") + bytes(16) + part for part in cut)
    assert fed(established(), [sealed]) == texts
    assert fed(established(), [sealed[at : at + 7] for at in range(0, len(sealed), 7)]) == texts


def plain(data: bytes) -> None:
    """The channel without encryption, at either end."""
    channel = PlainChannel(data[:1] < b"\x80", OURS.uid, 9000, "")
    channel.start()
    for text in fed(channel, pieces(data[1:])):
        messages(text)


# --- answers ----------------------------------------------------------------------------------------------------------


def _crowd() -> RoutingTable:
    rng = random.Random(5)
    table = RoutingTable(OURS.uid)
    for number in range(200):
        ip = rng.choice(["127.0.0.1", f"10.0.0.{number}", f"{11 + number}.7.7.7", f"2a00:{number:x}::1"])
        table.seen(contact(ip, 9000 + number, rng.getrandbits(256)), 0.0, dialled=True)
    return table


_TABLE = _crowd()
ADDRESSES = ("127.0.0.1", "10.0.0.9", "93.184.216.34", "2a00:1::7", "::ffff:10.0.0.1", "", "no address")


def responder(data: bytes) -> None:
    """Any requests, one after the other from several ends: each is answered by a reply of its kind, and quotas add up."""
    store = Store(rng=random.Random(1))
    answers = Responder(OURS.uid, _TABLE, store)
    for number, text in enumerate(pieces(data)):
        try:
            request = parse_request(loads(text))
        except ProtocolError:
            continue
        ip = ADDRESSES[len(text) % len(ADDRESSES)]
        uid = None if number % 5 == 4 else number % 3
        reply = answers.answer(request, uid=uid, ip=ip, port=9000, now=float(number))
        assert type(reply) in REPLIES_TO[type(request)]
        assert parse_reply(loads(dumps(to_datum(reply)))) == reply
    assert store.size >= 0
    for key in store.keys():
        store.drop(key)
    assert store.size == 0, "bytes were lost or counted twice"


TARGETS: dict[str, Target] = {
    each.__name__: each for each in (parser, messages, contacts, framing, handshake, greeting, session, records, plain, responder)
}


# --- what to begin with -----------------------------------------------------------------------------------------------


def texts() -> list[bytes]:
    """One text of every shape: every request and reply, and data that only the general way reads."""
    key, record = OURS.uid, bytes(range(32))
    data: list[Any] = [(verb, key) for verb in map(sexp_read.Symbol, ("iam", "peers", "ref", "bag-popular", "bag-recent", "bag-sample"))]
    symbol = sexp_read.Symbol
    data += [
        (symbol("set"), b"hello"), (symbol("set"), b"hello", 60), (symbol("bag-add"), key, record), (symbol("bag-add"), 7, record, 5),
        (symbol("namespace-set"), record, key, record, record * 2, 3, 9), (symbol("namespace-ref"), record, key, record * 2),
        True, False, (symbol("value"), b"x" * 20), (symbol("value"), record, record * 2, 7), (symbol("welcome"), "127.0.0.1", 9000, key),
        (symbol("peer"), ["127.0.0.1", 9000, key], ["10.0.0.1", 9001], Pair("::1", 9002)), (symbol("bag"), [record, 3, 60]),
        hello_datum(Hello(key, 9000)), hello_datum(Hello(THEIRS.uid, 9000)), [], "text \"quoted\" \n", -5, [1, [2, (3,)]],
    ]  # fmt: skip
    spelled = [b"#vu8(#x1F 2)", b"|a b|", b"'a", b"#e5", b"#true", b'"\\x41;\\n"', b"(a . (b . c))", b"...", b"-1x", b"#u8()", b"4/2"]
    return [dumps(datum) for datum in data] + spelled


def packed(parts: Iterable[bytes]) -> bytes:
    """What `pieces` takes apart again; longer pieces are cut."""
    cut = [part[at : at + 256] for part in parts for at in range(0, len(part), 256)]
    return b"".join(bytes([len(part) - 1]) + part for part in cut)


def seeds(name: str) -> list[bytes]:
    """Inputs of a target from which coverage-guided fuzzing sets out: among them every good one."""
    spelled = texts()
    if name == "contacts":
        return [b'"127.0.0.1" 9000 5', b'"::1" 1) ("10.0.0.1" 2 7', b'"a" . 5']
    if name in {"parser", "messages", "greeting"}:
        return spelled
    if name == "records":
        return [packed(spelled[:5]), packed(spelled)]
    if name == "responder":
        return [packed([text]) for text in spelled] + [packed(spelled)]
    if name == "handshake":
        return [b"\x80" + packed(_dialled()), b"\x00" + packed(_answered())]
    framed = [frame(text) for text in spelled]
    if name == "session":
        framed = [(len(part) + 16).to_bytes(2, "big") + bytes(16) + part for part in framed]
    hello = frame(dumps((*hello_datum(Hello(THEIRS.uid, 9000)), "")))
    start = [b"\x80", b"\x00"] if name == "plain" else [b""]
    return [head + packed([hello, *framed[:4]] if name == "plain" else framed[:8]) for head in start] + [packed(framed)]


def _dialled() -> list[bytes]:
    """What a true dialler sends, in two messages and a record."""
    listener = NoiseChannel(False, OURS, 9000, "", OUR_EPHEMERAL)
    dialler = NoiseChannel(True, THEIRS, 9001, "", THEIR_EPHEMERAL)
    first = dialler.start()
    third, _ = dialler.receive(listener.receive(first)[0])
    return [first, third, dialler.seal(b"#t")]


def _answered() -> list[bytes]:
    """What a true listener answers, and a record."""
    dialler = NoiseChannel(True, OURS, 9000, "", OUR_EPHEMERAL)
    listener = NoiseChannel(False, THEIRS, 9001, "", THEIR_EPHEMERAL)
    second, _ = listener.receive(dialler.start())
    listener.receive(dialler.receive(second)[0])
    return [second, listener.seal(b"#t")]
