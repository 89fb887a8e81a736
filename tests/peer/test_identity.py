"""Identities and authors: how they are made, kept in files, and what users may pass for their keys."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey, VerifyKey

from p2pnb.dht.signature import sign, verify
from p2pnb.peer import identity
from p2pnb.peer.identity import Author, Identity, as_public_key, as_signing_key
from p2pnb.secret import SecretBytes
from p2pnb.uid import Key

SEED, OTHER = bytes(range(32)), bytes(range(1, 33))
both_kinds = pytest.mark.parametrize("kind", [Identity, Author])


# --- the two kinds ----------------------------------------------------------------------------------------------------


@both_kinds
def test_made_at_random_or_from_a_seed(kind: Any) -> None:
    assert kind.create() != kind.create()
    assert len({kind.create() for _ in range(50)}) == 50
    assert kind.from_seed(SEED) == kind.from_seed(bytearray(SEED)) == kind.from_seed(SecretBytes(SEED))
    assert hash(kind.from_seed(SEED)) == hash(kind.from_seed(SEED))
    assert kind.from_seed(SEED) != kind.from_seed(OTHER)
    assert kind.from_seed(SEED) != SEED


@both_kinds
@pytest.mark.parametrize("seed", [b"", SEED[:31], SEED + b"x", SEED.hex(), 7, None])
def test_other_seeds_are_refused(kind: Any, seed: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="a seed is 32 bytes, not") as caught:
        kind.from_seed(seed)
    assert isinstance(caught.value, ValueError if isinstance(seed, bytes) else TypeError)


def test_the_uid_is_the_hash_of_the_public_key() -> None:
    someone = Identity.create()
    assert type(someone.uid) is Key
    assert someone.uid == hashlib.sha256(someone.static.public).digest()
    assert someone.uid.int == someone.static.uid


def test_an_author_signs() -> None:
    author = Author.from_seed(SEED)
    assert author.public_key == bytes(SigningKey(SEED).verify_key)
    assert author == Author(SEED) != Author(OTHER)
    entry: dict[str, Any] = {"network": "", "key": 1, "sequence": 2, "value": bytes(32)}
    assert verify(author.public_key, sign(author.private_key, **entry), **entry)


def test_what_they_show_is_public() -> None:
    someone, author = Identity.create(), Author.create()
    assert someone.uid.hex()[:8] in repr(someone)
    assert author.public_key.hex()[:8] in repr(author)


# --- files ------------------------------------------------------------------------------------------------------------


@both_kinds
def test_kept_and_found_again(kind: Any, tmp_path: Path) -> None:
    path = tmp_path / "key"
    first = kind.load_or_create(path)
    written = path.read_bytes()
    assert kind.load_or_create(str(path)) == first
    assert path.read_bytes() == written
    assert [each.name for each in tmp_path.iterdir()] == ["key"], "nothing else is left behind"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert kind.load_or_create(tmp_path / "another") != first


@both_kinds
def test_readable_by_its_owner_only_whatever_the_umask(kind: Any, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        kind.load_or_create(tmp_path / "key")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_a_path_in_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    Identity.load_or_create("~/mine")
    assert (tmp_path / "mine").exists()


def test_the_file_is_one_line_of_text(tmp_path: Path) -> None:
    author = Author.load_or_create(tmp_path / "key")
    line = f"p2pnb author 1 {author.private_key.hex()} {author.public_key.hex()}\n"
    assert (tmp_path / "key").read_text() == line
    (tmp_path / "key").write_text(line.replace("\n", "\r\n"))  # a mail or an editor may have done that
    assert Author.load_or_create(tmp_path / "key") == author


@both_kinds
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602, 0o610, 0o666, 0o777])
def test_a_file_that_others_may_use_is_refused(kind: Any, mode: int, tmp_path: Path) -> None:
    path = tmp_path / "key"
    first = kind.load_or_create(path)
    written = path.read_bytes()
    path.chmod(mode)
    with pytest.raises(PermissionError, match=f"chmod 600 {path}"):
        kind.load_or_create(path)
    assert path.read_bytes() == written
    path.chmod(0o400)
    assert kind.load_or_create(path) == first


SPOILED = {
    "empty": lambda line: b"",
    "cut short": lambda line: line[:-10],
    "another kind": lambda line: line.replace(b"identity", b"author"),
    "another version": lambda line: line.replace(b" 1 ", b" 2 "),
    "a digit changed": lambda line: line[:20] + (b"1" if line[20:21] == b"0" else b"0") + line[21:],
    "the last digit changed": lambda line: line[:-2] + (b"1" if line[-2:-1] == b"0" else b"0") + b"\n",
    "something else": lambda line: b"print('hello')\n",
    "no hex": lambda line: line.replace(line.split()[3], b"z" * 64),
    "no text": lambda line: bytes(range(256)),
    "more behind it": lambda line: line + b"x",
    "very long": lambda line: line + b"x" * 10_000_000,
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_file_of_other_content_is_refused_and_left(how: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    Identity.load_or_create(path)
    spoiled = SPOILED[how](path.read_bytes())
    path.write_bytes(spoiled)
    with pytest.raises(ValueError, match="holds no identity of p2pnb; it was left as it is: give another path") as caught:
        Identity.load_or_create(path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == spoiled


def test_a_directory_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="create it first"):
        Identity.load_or_create(tmp_path / "missing" / "key")
    with pytest.raises(IsADirectoryError):
        Identity.load_or_create(tmp_path)


@pytest.mark.parametrize("links", [True, False])
def test_created_by_two_at_once(links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one who comes second gets what the first one kept, also where the file system has no hard links."""
    path, winner = tmp_path / "key", Identity.from_seed(SEED)
    real = identity._write

    def write(where: Path, line: SecretBytes) -> None:
        """Just before we write to the place itself (or link it), somebody else has."""
        if where == path or links:
            monkeypatch.setattr(identity, "_write", real)
            real(path, identity._line("identity", SecretBytes(SEED), winner.static.public))
        real(where, line)

    def link(*_: Any) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(identity, "_write", write)
    if not links:
        monkeypatch.setattr(os, "link", link)
    assert Identity.load_or_create(path) == winner
    assert [each.name for each in tmp_path.iterdir()] == ["key"]


def test_created_by_many_threads(tmp_path: Path) -> None:
    found: list[Identity] = []
    barrier = threading.Barrier(8)

    def create() -> None:
        barrier.wait()
        found.append(Identity.load_or_create(tmp_path / "key"))

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert [each.name for each in tmp_path.iterdir()] == ["key"]


def test_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: Any) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", link)
    first = Identity.load_or_create(tmp_path / "key")
    assert Identity.load_or_create(tmp_path / "key") == first
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("links", [True, False])
def test_a_full_disk_leaves_nothing_behind(links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync" if links else "link", full)
    if not links:
        real = identity._write
        monkeypatch.setattr(identity, "_write", lambda path, line: full() if path.name == "key" else real(path, line))
    with pytest.raises(OSError, match="No space left"):
        Identity.load_or_create(tmp_path / "key")
    assert list(tmp_path.iterdir()) == []


# --- what users pass --------------------------------------------------------------------------------------------------

AUTHOR = Author.from_seed(SEED)


@pytest.mark.parametrize(
    "value",
    [
        AUTHOR.public_key,
        bytearray(AUTHOR.public_key),
        memoryview(AUTHOR.public_key),
        Key(AUTHOR.public_key),
        AUTHOR.public_key.hex(),
        AUTHOR.public_key.hex().upper(),
        VerifyKey(AUTHOR.public_key),
    ],
    ids=lambda value: type(value).__name__,
)
def test_public_keys_that_are_taken(value: Any) -> None:
    assert as_public_key(value) == AUTHOR.public_key
    assert type(as_public_key(value)) is bytes


@pytest.mark.parametrize(
    ("value", "error", "fix"),
    [
        (b"", ValueError, "32 bytes, not 0: pass author.public_key"),
        (SEED + b"x", ValueError, "32 bytes, not 33"),
        ("ab", ValueError, "64 hex digits"),
        ("z" * 64, ValueError, "64 hex digits"),
        ("ab " * 31 + "ab", ValueError, "64 hex digits"),
        ("٣" * 64, ValueError, "64 hex digits"),
        (AUTHOR.public_key.hex() + "\n", ValueError, "64 hex digits"),
        (5, TypeError, "not int"),
        (None, TypeError, "not NoneType"),
        (Author, TypeError, "not the type Author"),
        (AUTHOR, TypeError, "pass author.public_key"),
        (AUTHOR.private_key, TypeError, "this is a private one"),
        (SigningKey(SEED), TypeError, "signing_key.verify_key"),
    ],
)
def test_public_keys_that_are_refused(value: Any, error: type[Exception], fix: str) -> None:
    with pytest.raises(error, match=fix):
        as_public_key(value)


@pytest.mark.parametrize(
    "value",
    [SEED, bytearray(SEED), AUTHOR.private_key, SigningKey(SEED), SEED + AUTHOR.public_key],
    ids=["seed", "bytearray", "author's", "SigningKey", "libsodium's"],
)
def test_private_keys_that_are_taken(value: Any) -> None:
    for taken in (as_signing_key(value), as_signing_key(value, AUTHOR.public_key)):
        assert type(taken) is SecretBytes
        assert taken == SEED


class Awaitable:
    def __await__(self) -> Any:
        yield


@pytest.mark.parametrize(
    ("value", "error", "fix"),
    [
        (b"", ValueError, "32 bytes, not 0: pass author.private_key"),
        (SEED[:31], ValueError, "not 31"),
        (SEED + OTHER, ValueError, "not 64"),
        (SEED.hex(), TypeError, "not str: pass author.private_key, a SigningKey, or its 32-byte seed"),
        (32, TypeError, "not int"),
        (AUTHOR, TypeError, "not Author: pass author.private_key"),
        (VerifyKey(AUTHOR.public_key), TypeError, "not VerifyKey"),
        (Awaitable(), TypeError, "write `await` before it"),
    ],
)
def test_private_keys_that_are_refused(value: Any, error: type[Exception], fix: str) -> None:
    with pytest.raises(error, match=fix):
        as_signing_key(value)


def test_two_keys_that_are_no_pair() -> None:
    with pytest.raises(ValueError, match="do not belong together"):
        as_signing_key(SEED, Author.from_seed(OTHER).public_key)
    with pytest.raises(ValueError, match="do not belong together"):
        as_signing_key(AUTHOR.public_key, AUTHOR.public_key)
