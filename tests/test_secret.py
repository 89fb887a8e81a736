"""Secrets do not show: not when displayed, copied, pickled or logged, and not in the tracebacks of calls that fail.

The tracebacks are the hard part: verbose ones print the `repr` of every local variable of every frame, libraries' frames
included. So each step of the real code that touches a key is made to fail from inside, as an interrupt can make it at any
moment, and everything that a traceback leads to is searched for every key that was in play.
"""

from __future__ import annotations

import asyncio
import copy
import hmac
import io
import json
import os
import pickle
import pprint
import string
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.formatters import DisplayFormatter
from nacl.signing import SigningKey

from p2pnb.dht import signature
from p2pnb.errors import ProtocolError
from p2pnb.peer import identity
from p2pnb.peer.identity import Author, Identity, as_public_key, as_signing_key
from p2pnb.peer.peer import Peer
from p2pnb.secret import Secret, SecretBytes
from p2pnb.wire import noise
from p2pnb.wire.channel import NoiseChannel
from p2pnb.wire.noise import Cipher, Handshake, KeyPair, StaticKey

# printable, so that the repr of plain bytes would show it as it stands
KEY = b"Do-not-show-this-to-anyone-0123!"
OTHER = b"Nor-this-one,-whoever-may-ask-4!"
EPHEMERALS = (b"first-ephemeral-key-of-the-test-", b"other-ephemeral-key-of-the-test-")


def spellings(key: bytes) -> list[str]:
    numbers = [str(int.from_bytes(key, "big")), str(int.from_bytes(key, "little"))]
    return [repr(key)[2:-1], key.hex(), key.hex(" "), str(list(key))[1:-1], *numbers]


def assert_hidden(text: str, *keys: bytes) -> None:
    for key in keys:
        for spelling in spellings(key):
            assert spelling not in text


def secrets() -> list[Secret]:
    author, static = Author.from_seed(KEY), StaticKey.from_seed(KEY)
    return [
        SecretBytes(KEY),
        author,
        author.private_key,
        static,
        KeyPair.from_seed(KEY),
        Identity.from_seed(KEY),
        Cipher(SecretBytes(KEY)),
        Handshake(True, static, b"", KeyPair.from_seed(KEY)),
        NoiseChannel(True, static, 0, "", KeyPair.from_seed(KEY)),
    ]


each_secret = pytest.mark.parametrize("secret", secrets(), ids=lambda secret: type(secret).__name__)


def test_the_search_finds_what_shows() -> None:
    for shown in (repr(KEY), KEY.hex(), f"x{list(KEY)}", str(int.from_bytes(KEY, "big")), pprint.pformat({"k": KEY})):
        with pytest.raises(AssertionError):
            assert_hidden(shown, KEY)


# --- displays ---------------------------------------------------------------------------------------------------------


@each_secret
def test_displays(secret: Any) -> None:
    data, metadata = DisplayFormatter().format(secret)
    assert "text/plain" in data
    assert "text/html" in data
    texts = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r:>80}",
        "%s %r" % (secret, secret),  # noqa: UP031 (one of the ways)
        ascii(secret),
        format(secret, ">100"),
        string.Template("$x").substitute(x=secret),
        pprint.pformat([secret, {"a": secret}]),
        str(data) + str(metadata),
        str(secret._repr_mimebundle_()),
        secret._repr_html_(),
    ]
    for text in texts:
        assert_hidden(text, KEY)
    assert "<" not in secret._repr_html_().replace("<code>", "").replace("</code>", ""), "markup of its own is escaped"


@each_secret
def test_no_copy_and_no_pickle(secret: Any) -> None:
    attempts: list[Callable[[], Any]] = [lambda level=level: pickle.dumps(secret, level) for level in range(pickle.HIGHEST_PROTOCOL + 1)]
    attempts += [
        lambda: pickle.dumps([{"in": secret}]),
        lambda: pickle._Pickler(io.BytesIO()).dump(secret),  # type: ignore[attr-defined]
        lambda: copy.copy(secret),
        lambda: copy.deepcopy(secret),
        lambda: copy.deepcopy({"in": [secret]}),
        secret.__getstate__,
        secret.__reduce__,
    ]
    for attempt in attempts:
        with pytest.raises(TypeError, match="holds a secret") as caught:
            attempt()
        assert_hidden(dump(caught.value), KEY)
    with pytest.raises(TypeError):
        json.dumps(secret)
    assert not hasattr(secret, "__dict__")


def test_secret_bytes_are_bytes() -> None:
    secret = SecretBytes(KEY)
    assert secret == KEY
    assert hash(secret) == hash(KEY)
    assert type(bytes(secret)) is bytes
    assert bytes(secret) == KEY
    assert SecretBytes(bytearray(KEY)) == SecretBytes(memoryview(KEY)) == KEY


# --- tracebacks -------------------------------------------------------------------------------------------------------


def dump(error: BaseException) -> str:
    """All that a traceback leads to, by the standard library's own verbose form and by hand, suppressed causes included."""
    lines = traceback.TracebackException.from_exception(error, capture_locals=True).format(chain=True)
    return "".join([*lines, *_by_hand(error, set())])


def _by_hand(error: BaseException | None, seen: set[int]) -> Iterator[str]:
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    yield repr(error) + str(error.args)
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for name, value in frame.f_locals.items():
            yield f"{name} = {value!r} {value!s} {pprint.pformat(value)}\n"
    yield from _by_hand(error.__context__, seen)
    yield from _by_hand(error.__cause__, seen)


def caught_from(call: Callable[[], Any]) -> BaseException | None:
    """The error that `call` raises, if any, without the frames of this file, which have the keys in plain sight."""
    try:
        call()
    except BaseException as error:
        tb = error.__traceback__
        while tb is not None and tb.tb_frame.f_globals is globals():
            tb = tb.tb_next
        return error.with_traceback(tb)
    return None


class Interrupted(BaseException):
    pass


# a library's function, whose frame holds its arguments and does not count as this file's
FAILING = """
def failing(*given, **named):
    global calls
    calls += 1
    if calls == moment:
        raise Interrupted
    return real(*given, **named)
"""


def failing_at(moment: int, real: Callable[..., Any]) -> Callable[..., Any]:
    """`real`, but its call number `moment` (1: the first) raises."""
    scope: dict[str, Any] = {"calls": 0, "moment": moment, "real": real, "Interrupted": Interrupted}
    exec(FAILING, scope)
    failing: Callable[..., Any] = scope["failing"]
    return failing


@pytest.mark.parametrize("shown", [KEY, {"key": [KEY]}, list(KEY), KEY.hex(), bytearray(KEY)])
def test_the_dump_shows_what_a_frame_holds(shown: Any) -> None:
    error = caught_from(lambda: failing_at(1, print)(shown))
    assert isinstance(error, Interrupted)
    with pytest.raises(AssertionError):
        assert_hidden(dump(error), KEY)


def session() -> None:
    """A handshake and a message each way."""
    first, second = map(KeyPair.from_seed, EPHEMERALS)
    dialler = NoiseChannel(True, StaticKey.from_seed(KEY), 9000, "", first)
    listener = NoiseChannel(False, StaticKey.from_seed(OTHER), 9001, "", second)
    listener.receive(dialler.receive(listener.receive(dialler.start())[0])[0])
    dialler.receive(listener.seal(b"one"))
    listener.receive(dialler.seal(b"two"))


def keys_of_the_session() -> list[bytes]:
    """Every key that either end makes on the way: three exchanges, with what comes of each, and the split."""
    found: list[bytes] = []
    real = noise._derive

    def noted(ck: SecretBytes, material: bytes) -> tuple[SecretBytes, SecretBytes]:
        outputs = real(ck, material)
        found.extend(bytes(each) for each in (material, hmac.digest(ck, material, "sha256"), *outputs) if each)
        return outputs

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(noise, "_derive", noted)
        session()
    assert len(found) == 2 * (3 * 4 + 3)
    return found


def signing() -> None:
    author = Author.from_seed(KEY)
    made = signature.sign(as_signing_key(author.private_key, author.public_key), "", 1, 2, bytes(32))
    assert signature.verify(author.public_key, made, "", 1, 2, bytes(32))


@pytest.mark.parametrize(
    ("module", "name", "call", "times"),
    [
        (noise, "scalarmult", session, 6),
        (noise, "scalarmult_base", session, 4),
        (noise, "aead_encrypt", session, 6),
        (noise, "aead_decrypt", session, 6),
        (noise, "scalarmult_base", lambda: NoiseChannel(True, StaticKey.from_seed(KEY), 0, ""), 2),
        (noise, "urandom", lambda: NoiseChannel(True, StaticKey.from_seed(KEY), 0, ""), 1),
        (signature, "crypto_sign", signing, 1),
        (signature, "crypto_sign_seed_keypair", signing, 3),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_whatever_is_interrupted_shows_no_key(module: Any, name: str, call: Callable[[], None], times: int) -> None:
    keys, real, moment = [KEY, OTHER, *EPHEMERALS, *keys_of_the_session()], getattr(module, name), 0
    while True:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, name, failing_at(moment + 1, real))
            error = caught_from(call)
        if error is None:
            break
        assert isinstance(error, Interrupted)
        assert_hidden(dump(error), *keys)
        moment += 1
    assert moment == times


def test_whichever_line_of_a_derivation_is_interrupted_shows_no_key() -> None:
    keys, moment = [KEY, OTHER, *EPHEMERALS, *keys_of_the_session()], 0
    while True:
        lines = iter(range(moment + 1))

        def trace(frame: Any, event: str, _: Any, lines: Any = lines, last: int = moment) -> Any:
            if frame.f_code is not noise._derive.__code__:
                return None
            if event == "line" and next(lines, None) == last:
                raise Interrupted
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            error = caught_from(session)
        finally:
            sys.settrace(before)
        if error is None:
            break
        assert_hidden(dump(error), *keys)
        moment += 1
    assert moment == 8 * 5, "eight derivations of five lines"


def wrong_network() -> None:
    dialler, listener = NoiseChannel(True, StaticKey.from_seed(KEY), 0, "a"), NoiseChannel(False, StaticKey.from_seed(OTHER), 0, "b")
    dialler.receive(listener.receive(dialler.start())[0])


def own_key() -> None:
    dialler, listener = NoiseChannel(True, StaticKey.from_seed(KEY), 0, ""), NoiseChannel(False, StaticKey.from_seed(KEY), 0, "")
    dialler.receive(listener.receive(dialler.start())[0])


def used_up() -> None:
    cipher = Cipher(SecretBytes(KEY))
    cipher.count = noise.LAST_NONCE
    cipher.seal(b"x")


def small_order() -> None:
    listener = NoiseChannel(False, StaticKey.from_seed(KEY), 0, "", KeyPair.from_seed(OTHER))
    listener.receive(b"\0\x20" + bytes(32))


FAILING_CALLS: dict[str, Callable[[], Any]] = {
    "wrong network": wrong_network,
    "own key": own_key,
    "used up": used_up,
    "small order": small_order,
    "unsealed": lambda: Cipher(SecretBytes(KEY)).open(bytes(50)),
    "short identity": lambda: Identity.from_seed(KEY + b"more"),
    "short author": lambda: Author.from_seed(KEY + b"more"),
    "short author, made directly": lambda: Author(KEY + b"more"),
    "short static key": lambda: StaticKey.from_seed(KEY + b"more"),
    "short key pair": lambda: KeyPair(KEY + b"more"),
    "seed as text": lambda: Author.from_seed(KEY.decode()),  # type: ignore[arg-type]
    "long signing key": lambda: as_signing_key(KEY + b"more"),
    "signing key as text": lambda: as_signing_key(KEY.hex()),
    "signing key in a list": lambda: as_signing_key([KEY]),
    "halves of two keys": lambda: as_signing_key(KEY + OTHER),
    "no pair": lambda: as_signing_key(KEY, Author.from_seed(OTHER).public_key),
    "no pair, of PyNaCl": lambda: as_signing_key(SigningKey(KEY), bytes(32)),
    "private for public": lambda: as_public_key(SigningKey(KEY)),
    "private for public, long": lambda: as_public_key(KEY + KEY),
    "author for private": lambda: as_signing_key(Author.from_seed(KEY)),
    "signing a short value": lambda: signature.sign(KEY, "", 1, 1, b"short"),
    "signing with a long key": lambda: signature.sign(KEY + b"more", "", 1, 1, bytes(32)),
}


@pytest.mark.parametrize("name", FAILING_CALLS)
def test_calls_that_fail_show_no_key(name: str) -> None:
    error = caught_from(FAILING_CALLS[name])
    assert isinstance(error, (TypeError, ValueError, ProtocolError))
    assert_hidden(dump(error), KEY, OTHER)


async def silence() -> Any:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("public_key", "sequence"),
    [(b"short", None), (Author.from_seed(OTHER).public_key, None), (Author.from_seed(KEY).public_key, -1)],
    ids=["malformed", "no pair", "another mistake"],
)
def test_a_namespace_set_that_fails_shows_no_key(public_key: bytes, sequence: int | None) -> None:

    async def attempt() -> None:
        peer = Peer(bytes(32), silence, lambda *given, **named: None)
        try:
            await peer.namespace_set(KEY, public_key, bytes(32), bytes(32), sequence)
        finally:
            await peer.close()

    error = caught_from(lambda: asyncio.run(attempt()))
    assert isinstance(error, ValueError)
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if frame.f_globals is not globals()]
    assert any(frame.f_code.co_name == "namespace_set" for frame in frames)
    for frame in frames:
        assert_hidden(repr(frame.f_locals), KEY)


@pytest.mark.parametrize("spoil", [lambda line: line[:-20], lambda line: line.replace(b"identity", b"author"), lambda line: line + line])
def test_a_bad_key_file_shows_no_key(spoil: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "identity"
    Identity.load_or_create(path)
    line = path.read_bytes()
    path.write_bytes(spoil(line))
    key = bytes.fromhex(line.split()[3].decode())
    error = caught_from(lambda: Identity.load_or_create(path))
    assert isinstance(error, ValueError)
    assert_hidden(dump(error), key, line)


@pytest.mark.parametrize(("module", "name"), [(os, "fsync"), (os, "link"), (identity, "unhexlify"), (identity, "_write")])
def test_an_interrupted_key_file_shows_no_key(module: Any, name: str, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identity, "randombytes", lambda size: KEY[:size])
        patch.setattr(module, name, failing_at(1, getattr(module, name)))
        error = caught_from(lambda: Identity.load_or_create(tmp_path / "x")) or caught_from(lambda: Identity.load_or_create(tmp_path / "x"))
    assert isinstance(error, Interrupted)
    assert_hidden(dump(error), KEY, KEY.hex().encode())
