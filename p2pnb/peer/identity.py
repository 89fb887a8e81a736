"""Who a peer is, and who an author is: two kinds of key pair, how they are kept, and what users may pass for a key.

An `Identity` is the X25519 key pair of a peer; the SHA-256 of its public half is the peer's uid, which the handshake
proves. The draft: a peer may keep its uid "for future use", so an identity can be kept in a file. An `Author` is the
Ed25519 key pair that signs a namespace's entries. It belongs to a person, not to a peer.

A key file is one line of text: what it is, the private half and the public half, both in hex. It appears complete or not
at all, readable by its owner only, and is never overwritten: a file that is not as it should be is refused, with the way
out in the message, because a key that is lost is lost for good. Private keys never show (see `p2pnb.secret`).
"""

from __future__ import annotations

import contextlib
import os
import stat
from binascii import unhexlify
from collections.abc import Callable
from pathlib import Path
from re import fullmatch
from typing import Any

from nacl.bindings import randombytes
from nacl.signing import SigningKey, VerifyKey

from p2pnb.brief import brief, unawaited
from p2pnb.dht.signature import public_key_of
from p2pnb.secret import Secret, SecretBytes
from p2pnb.spec import PUBLIC_KEY
from p2pnb.uid import BYTES, Key, short
from p2pnb.wire.noise import StaticKey

_LONGEST_FILE = 1_000


class Identity(Secret):
    """A peer's key pair. `uid` is the `Key` that it proves, `static` the pair itself, as channels take it.

    Example: `identity = Identity.create()`.
    """

    __slots__ = ("static", "uid")

    def __init__(self, static: StaticKey) -> None:
        self.static = static
        self.uid = Key.from_int(static.uid)

    @classmethod
    def create(cls) -> Identity:
        """A new identity, from the operating system's randomness.

        Example: `identity = Identity.create()`.
        """
        return cls(StaticKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> Identity:
        """The identity whose private key is these 32 bytes: for clusters that repeat. Whoever knows the seed can be it.

        Example: `identity = Identity.from_seed(bytes(32))`.
        """
        octets = _hide(seed)
        del seed
        return cls(StaticKey.from_seed(_as_seed(octets)))

    @classmethod
    def load_or_create(cls, path: str | os.PathLike[str], new: Identity | None = None) -> Identity:
        """The identity kept in the file at `path`; a new one (`new`, if given) is kept there if there is no such file.

        Raises `PermissionError` when others may read the file, `ValueError` when it holds no identity.

        Example: `identity = Identity.load_or_create("me.key")`.
        """
        seed = None if new is None else new.static.seed
        return cls.from_seed(_load_or_create(Path(path), "identity", lambda octets: StaticKey.from_seed(octets).public, seed))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and self.uid == other.uid

    def __hash__(self) -> int:
        return hash(self.uid)

    def __repr__(self) -> str:
        return f"Identity(uid={short(self.uid)})"


class Author(Secret):
    """An Ed25519 key pair that signs a namespace's entries. Two are equal when their public keys are.

    `public_key` is 32 bytes, for everyone to know; `private_key` the 32-byte seed, which does not show.

    Example: `author = Author.create()`.
    """

    __slots__ = ("private_key", "public_key")

    def __init__(self, private_key: bytes) -> None:
        octets = _hide(private_key)
        del private_key
        self.public_key = b""
        self.private_key = _as_seed(octets)
        self.public_key = public_key_of(self.private_key)

    @classmethod
    def create(cls) -> Author:
        """A new author, from the operating system's randomness.

        Example: `author = Author.create()`.
        """
        return cls(randombytes(BYTES))

    @classmethod
    def from_seed(cls, seed: bytes) -> Author:
        """The author whose private key is these 32 bytes. Whoever knows the seed can sign as this author.

        Example: `author = Author.from_seed(bytes(32))`.
        """
        octets = _hide(seed)
        del seed
        return cls(_as_seed(octets))

    @classmethod
    def load_or_create(cls, path: str | os.PathLike[str]) -> Author:
        """The author kept in the file at `path`; a new one is kept there if there is no such file.

        Raises `PermissionError` when others may read the file, `ValueError` when it holds no author.

        Example: `author = Author.load_or_create("author.key")`.
        """
        return cls(_load_or_create(Path(path), "author", public_key_of))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Author) and self.public_key == other.public_key

    def __hash__(self) -> int:
        return hash(self.public_key)

    def __repr__(self) -> str:
        return f"Author(public_key={short(self.public_key)})"


# --- what users may pass for a key ------------------------------------------------------------------------------------


def as_public_key(value: Any) -> bytes:
    """An Ed25519 public key as 32 bytes: those, 64 hex digits or PyNaCl's `VerifyKey`.

    Raises `TypeError` or `ValueError` that says what to write instead.
    """
    if isinstance(value, (Author, SigningKey, SecretBytes)):
        del value
        raise brief(TypeError("a public key is wanted, and this is a private one: pass author.public_key, or signing_key.verify_key"))
    if isinstance(value, str):
        if not fullmatch(f"[0-9a-fA-F]{{{2 * PUBLIC_KEY}}}", value):
            raise brief(ValueError(f"a public key as text is {2 * PUBLIC_KEY} hex digits: pass author.public_key.hex()"))
        return bytes.fromhex(value)
    if not isinstance(value, (bytes, bytearray, memoryview, VerifyKey)):
        raise brief(TypeError(f"a public key is {PUBLIC_KEY} bytes, {2 * PUBLIC_KEY} hex digits or a VerifyKey, not {_kind(value)}"))
    octets = SecretBytes(bytes(value))  # so far it may be a private key, passed in the wrong place
    del value
    if len(octets) != PUBLIC_KEY:
        raise brief(ValueError(f"a public key is {PUBLIC_KEY} bytes, not {len(octets)}: pass author.public_key"))
    return bytes(octets)


def as_signing_key(value: Any, public_key: bytes | None = None) -> SecretBytes:
    """An Ed25519 private key as its 32-byte seed: that, an author's `private_key`, PyNaCl's `SigningKey`, or libsodium's 64
    bytes (the seed, then the public key).

    Raises `TypeError` or `ValueError` that says what to write instead, and `ValueError` when `public_key` is given and
    belongs to another private key. What was passed does not show in the error or its traceback.
    """
    octets = _hide(value)
    del value
    hint = "pass author.private_key, a SigningKey, or its 32-byte seed"
    if isinstance(octets, str):
        raise brief(TypeError(f"a private key is {BYTES} bytes, not {octets}: {hint}"))
    if len(octets) == 2 * BYTES:
        seed = SecretBytes(octets[:BYTES])
        octets = seed if public_key_of(seed) == octets[BYTES:] else octets
    if len(octets) != BYTES:
        raise brief(ValueError(f"a private key is {BYTES} bytes, not {len(octets)}: {hint}"))
    if public_key is not None and public_key_of(octets) != public_key:
        raise brief(ValueError("the private key and the public key do not belong together: pass both from one Author"))
    return octets


def _as_seed(hidden: SecretBytes | str) -> SecretBytes:
    if isinstance(hidden, str):
        raise brief(TypeError(f"a seed is {BYTES} bytes, not {hidden}: hash a name with key_of(b'...')"))
    if len(hidden) != BYTES:
        raise brief(ValueError(f"a seed is {BYTES} bytes, not {len(hidden)}: hash a name with key_of(b'...')"))
    return hidden


def _hide(value: Any) -> SecretBytes | str:
    """The octets of a private key, such that no traceback shows them; for anything else, what it is. Never raises."""
    if isinstance(value, (bytes, bytearray, memoryview, SigningKey)):
        return SecretBytes(bytes(value))
    return _kind(value)


def _kind(value: Any) -> str:
    if unawaited(value):
        return "a call that has not been awaited yet: write `await` before it"
    return f"the type {value.__name__}" if isinstance(value, type) else type(value).__name__


# --- key files --------------------------------------------------------------------------------------------------------


def _load_or_create(path: Path, what: str, public_of: Callable[[bytes], bytes], new: SecretBytes | None = None) -> SecretBytes:
    """The seed kept at `path`, or a new one, `new` if given, that is now kept there; of two that create it at once, both get the same."""
    path = path.expanduser()
    try:
        return _load(path, what, public_of)
    except FileNotFoundError:
        pass
    seed = SecretBytes(randombytes(BYTES)) if new is None else new
    return seed if _create(path, _line(what, seed, public_of(seed))) else _load(path, what, public_of)


def _line(what: str, seed: SecretBytes, public: bytes) -> SecretBytes:
    return SecretBytes(f"p2pnb {what} 1 {seed.hex()} {public.hex()}\n".encode())


def _unhex(digits: SecretBytes) -> SecretBytes:
    try:
        return SecretBytes(unhexlify(digits))
    except ValueError:
        return SecretBytes()


def _load(path: Path, what: str, public_of: Callable[[bytes], bytes]) -> SecretBytes:
    with path.open("rb") as file:
        if os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise PermissionError(f"{path} holds a private key, and others may read or change it: chmod 600 {path}")
        words = list(map(SecretBytes, file.read(_LONGEST_FILE).split()))
    seed = _unhex(words[3]) if len(words) == 5 else SecretBytes()
    if len(seed) != BYTES or words != _line(what, seed, public_of(seed)).split():
        raise brief(ValueError(f"{path} holds no {what} of p2pnb; it was left as it is: give another path, or move this file away"))
    return seed


def _create(path: Path, line: SecretBytes) -> bool:
    """Whether `path` is now a new file with just this line; False when there was one already.

    The file is written under another name and then linked, so that nobody finds half of it. Where there are no hard links
    (some network drives), it is written in place.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be created, for {path.parent} is no directory: create it first")
    draft = path.with_name(f".{path.name}.{randombytes(8).hex()}")
    _write(draft, line)
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    except OSError:
        return _write_in_place(path, line)
    finally:
        draft.unlink()
    _sync_directory(path.parent)
    return True


def _sync_directory(directory: Path) -> None:
    """Has the names in it outlive a power failure, as what is under them does."""
    with contextlib.suppress(OSError):  # not every file system has that
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write_in_place(path: Path, line: SecretBytes) -> bool:
    try:
        _write(path, line)
    except FileExistsError:
        return False
    return True


def _write(path: Path, line: SecretBytes) -> None:
    """Writes a file that did not exist, for its owner's eyes only; leaves none behind when that fails."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(line)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        path.unlink()
        raise
