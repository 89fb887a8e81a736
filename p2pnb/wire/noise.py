"""`Noise_XX_25519_ChaChaPoly_SHA256`: how two strangers agree on keys, and each proves its static key to the other.

Three messages (The Noise Protocol Framework, revision 34, sections 5 and 7.5):

    -> e                    the initiator's ephemeral public key, in the clear
    <- e, ee, s, es         the responder's, then its static public key, sealed under what both ephemerals agree on
    -> s, se                the initiator's static public key, sealed likewise

Each message ends with a payload, sealed as soon as there is a key. Two running values tie everything together: the hash
`h` of all that was sent, which every sealed part authenticates, and the chaining key `ck`, into which every Diffie-Hellman
result is mixed. They begin with the prologue, which both ends must agree on without sending it. After the third message
`ck` splits into one key for each direction.

`KeyPair` is X25519 (RFC 7748), `Cipher` is ChaCha20-Poly1305 (RFC 8439) with its counter, `Handshake` is the table above.
All arithmetic is libsodium's; libsodium refuses an all-zero Diffie-Hellman result (a public key of small order), which is
a failed handshake here. Nothing in this file sends, waits, or knows of time. Ephemeral keys are made from the operating
system's randomness unless a test or a transcript brings its own. Key material is `SecretBytes` throughout, and errors are
raised outside of the `except` that noticed them: no traceback leads to a frame that could show a key.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from os import urandom
from typing import Self

from p2pnb.errors import LocalProtocolError, RemoteProtocolError
from p2pnb.secret import Secret, SecretBytes
from p2pnb.spec import NOISE_PROTOCOL
from p2pnb.uid import short
from p2pnb.wire.sodium import TAG, aead_decrypt, aead_encrypt, scalarmult, scalarmult_base

KEY = 32  # bytes of a private, public or symmetric key, and of a hash
LAST_NONCE = 2**64 - 1  # reserved by the framework, never used

_PADDING = bytes(64 - KEY)  # to SHA-256's 64 bytes, which is how long a key of HMAC is
_INNER, _OUTER = (bytes([byte ^ pad for byte in range(256)]) for pad in (0x36, 0x5C))  # what each of them becomes before it is hashed

XX = (("e",), ("e", "ee", "s", "es"), ("s", "se"))


class HandshakeError(RemoteProtocolError):
    """The other end did not become a proven peer. `reason` is a short machine-readable word.

    One of `"not-a-peer"`, `"other-network"`, `"own-key"`, `"wrong-uid"`, `"closed"`.
    """

    def __init__(self, message: str, reason: str = "not-a-peer") -> None:
        super().__init__(message)
        self.reason = reason


class KeyPair(Secret):
    """An X25519 key pair. `public` is 32 bytes; the private half is never shown."""

    __slots__ = ("_private", "public")

    def __init__(self, private: bytes) -> None:
        self._private = private = SecretBytes(memoryview(private))  # the view refuses a number, which would count zeros
        self.public = b""
        if len(private) != KEY:
            raise ValueError(f"an X25519 private key is {KEY} bytes, not {len(private)}")
        self.public = scalarmult_base(private)

    @classmethod
    def generate(cls) -> Self:
        """A new pair from the operating system's randomness."""
        return cls(urandom(KEY))

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """The pair whose private key is these 32 bytes. Raises `ValueError` for any other number of bytes."""
        seed = SecretBytes(memoryview(seed))
        return cls(seed)

    def exchange(self, public: bytes) -> SecretBytes:
        """The 32 bytes that only the owners of the two keys can compute.

        Raises `HandshakeError` unless `public` is 32 bytes and the result is not all zero.
        """
        shared = scalarmult(self._private, public) if len(public) == KEY else None
        if shared is not None:
            return SecretBytes(shared)
        raise HandshakeError("a public key that no honest end would send")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(public={short(self.public)})"


class StaticKey(KeyPair):
    """The key pair that a peer keeps. `uid` is the SHA-256 of its public key, as a number."""

    __slots__ = ("uid",)

    def __init__(self, private: bytes) -> None:
        private = SecretBytes(memoryview(private))
        super().__init__(private)
        self.uid = uid_of(self.public)

    @property
    def seed(self) -> SecretBytes:
        """The private half, to be kept in a file."""
        return self._private


def uid_of(public: bytes) -> int:
    """The uid that a static public key proves: its SHA-256, most significant byte first."""
    return int.from_bytes(sha256(public).digest(), "big")


class Cipher(Secret):
    """One direction's key and how many times it was used. A failed `open` leaves the count as it was.

    A nonce is four zero bytes and the count, little-endian.
    """

    __slots__ = ("_key", "count")

    def __init__(self, key: SecretBytes) -> None:
        self._key = key
        self.count = 0

    def seal(self, plaintext: bytes, associated: bytes = b"") -> bytes:
        """`plaintext` encrypted, 16 bytes longer. Raises `LocalProtocolError` when the key is used up."""
        count = self.count
        if count >= LAST_NONCE:
            raise LocalProtocolError("this key has sealed all it may: renew the connection")
        self.count = count + 1
        return aead_encrypt(plaintext, associated, (count << 32).to_bytes(12, "little"), self._key)

    def open(self, sealed: bytes, associated: bytes = b"") -> bytes:
        """What `seal` was given. Raises `RemoteProtocolError` for anything that the other end did not seal just then."""
        count = self.count
        if count < LAST_NONCE and len(sealed) >= TAG:
            plaintext = aead_decrypt(sealed, associated, (count << 32).to_bytes(12, "little"), self._key)
            if plaintext is not None:
                self.count = count + 1
                return plaintext
        raise RemoteProtocolError("a record that the other end did not seal")


class Handshake(Secret):
    """One end of an XX handshake: `write` and `read` in turn, three messages in all, then `split` once.

    `remote_static` is the other end's proven public key from the moment that its message was read; `hash` is unique to
    this handshake; `step` counts the messages that have passed. After an error the handshake is useless and must be dropped.
    """

    __slots__ = ("_cipher", "_ck", "_ephemeral", "_remote_ephemeral", "hash", "initiator", "remote_static", "static", "step")

    def __init__(self, initiator: bool, static: KeyPair, prologue: bytes, ephemeral: KeyPair | None = None) -> None:
        self.initiator = initiator
        self.static = static
        self._ephemeral = ephemeral or KeyPair.generate()
        self._remote_ephemeral = b""
        self.step = 0
        self._cipher: Cipher | None = None
        self._ck = SecretBytes(NOISE_PROTOCOL)  # 32 bytes, so it stands for itself unhashed
        self.hash = _first_hash(prologue)
        self.remote_static = b""

    @property
    def done(self) -> bool:
        """Whether all three messages have passed."""
        return self.step == len(XX)

    @property
    def _our_turn(self) -> bool:
        return self.step < len(XX) and (self.step % 2 == 0) is self.initiator

    def write(self, payload: bytes = b"") -> bytes:
        """The next message, carrying `payload`. Raises `LocalProtocolError` out of turn."""
        if not self._our_turn:
            raise LocalProtocolError("it is the other end's turn")
        message = b""
        for token in XX[self.step]:
            if token == "e":
                message += self._ephemeral.public
                self.hash = sha256(self.hash + message).digest()
            elif token == "s":
                message += self._seal(self.static.public)
            else:
                self._mix_exchange(token)
        self.step += 1
        return message + self._seal(payload)

    def read(self, message: bytes) -> bytes:
        """The payload of the other end's next message.

        Raises `HandshakeError` for anything else: `"other-network"` when the responder answered under another prologue
        (or its answer was altered, which cannot be told apart), else `"not-a-peer"`.
        """
        if self._our_turn or self.done:
            raise HandshakeError("a handshake message out of turn")
        for token in XX[self.step]:
            if token == "e":
                self._remote_ephemeral, message = message[:KEY], message[KEY:]
                if len(self._remote_ephemeral) != KEY:
                    raise HandshakeError("a handshake message cut short")
                self.hash = sha256(self.hash + self._remote_ephemeral).digest()
            elif token == "s":
                sealed, message = message[: KEY + TAG], message[KEY + TAG :]
                self.remote_static = self._open(sealed)
            else:
                self._mix_exchange(token)
        payload = self._open(message)
        self.step += 1
        return payload

    def split(self) -> tuple[Cipher, Cipher]:
        """The ciphers to send and to receive with, once the handshake is done."""
        if not self.done:
            raise LocalProtocolError("the handshake is not done")
        first, second = _derive(self._ck, b"")
        return (Cipher(first), Cipher(second)) if self.initiator else (Cipher(second), Cipher(first))

    def _mix_exchange(self, token: str) -> None:
        """`ee`, `es`, `se`: which key of the initiator meets which of the responder."""
        ours, theirs = (token[0], token[1]) if self.initiator else (token[1], token[0])
        pair = self._ephemeral if ours == "e" else self.static
        self._ck, key = _derive(self._ck, pair.exchange(self._remote_ephemeral if theirs == "e" else self.remote_static))
        self._cipher = Cipher(key)

    def _seal(self, plaintext: bytes) -> bytes:
        sealed = plaintext if self._cipher is None else self._cipher.seal(plaintext, self.hash)
        self.hash = sha256(self.hash + sealed).digest()
        return sealed

    def _open(self, sealed: bytes) -> bytes:
        plaintext: bytes | None = sealed
        if self._cipher is not None:
            try:
                plaintext = self._cipher.open(sealed, self.hash)
            except RemoteProtocolError:
                plaintext = None
        if plaintext is None:
            if self.initiator:
                raise HandshakeError("it answered under another network's name", "other-network")
            raise HandshakeError("a handshake message that cannot be opened")
        self.hash = sha256(self.hash + sealed).digest()
        return plaintext


@lru_cache(maxsize=64)
def _first_hash(prologue: bytes) -> bytes:
    return sha256(NOISE_PROTOCOL + prologue).digest()


def _derive(ck: SecretBytes, material: bytes) -> tuple[SecretBytes, SecretBytes]:
    """HKDF (RFC 5869) with two outputs, as the framework writes it in section 4.3.

    Three times HMAC (RFC 2104), spelled out: the last two share a key, and hashing twice costs less than OpenSSL's own HMAC.
    """
    padded = SecretBytes(ck + _PADDING)
    extracted = SecretBytes(sha256(padded.translate(_OUTER) + sha256(padded.translate(_INNER) + material).digest()).digest() + _PADDING)
    inner, outer = SecretBytes(extracted.translate(_INNER)), SecretBytes(extracted.translate(_OUTER))
    first = SecretBytes(sha256(outer + sha256(inner + b"\x01").digest()).digest())
    return first, SecretBytes(sha256(outer + sha256(inner + first + b"\x02").digest()).digest())
