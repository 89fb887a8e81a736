"""libsodium, called as directly as Python can: the four functions that every handshake and every record need.

PyNaCl's own wrappers check and format on each call, which takes longer than the work itself for messages of our sizes (3.7 us
a record against 1.2). Here the caller has made sure of lengths: `noise` does, at the one place where each key and nonce is
made. Types are still checked, by cffi: whatever is not `bytes` raises `TypeError`.
"""

from __future__ import annotations

from nacl._sodium import ffi, lib  # what `nacl.bindings` itself stands on

TAG = 16  # bytes that sealing adds

_OCTETS = ffi.typeof("unsigned char[]")
_POINT = ffi.typeof("unsigned char[32]")
_new, _octets_of, _NULL = ffi.new, ffi.buffer, ffi.NULL
_scalarmult, _scalarmult_base = lib.crypto_scalarmult, lib.crypto_scalarmult_base
_encrypt, _decrypt = lib.crypto_aead_chacha20poly1305_ietf_encrypt, lib.crypto_aead_chacha20poly1305_ietf_decrypt

if lib.sodium_init() < 0:
    raise RuntimeError("libsodium could not be initialised")


def scalarmult_base(private: bytes) -> bytes:
    """The X25519 public key of a private one: 32 bytes each."""
    public = _new(_POINT)
    _scalarmult_base(public, private)
    octets: bytes = _octets_of(public)[:]
    return octets


def scalarmult(private: bytes, public: bytes) -> memoryview | None:
    """X25519 (RFC 7748) of two keys of 32 bytes; None when the result is all zero, as only a key of small order makes it.

    The result is a view, which does not show what it holds.
    """
    shared = _new(_POINT)
    return None if _scalarmult(shared, private, public) else memoryview(_octets_of(shared))


def aead_encrypt(plaintext: bytes, associated: bytes, nonce: bytes, key: bytes) -> bytes:
    """ChaCha20-Poly1305 (RFC 8439); nonce: 12 bytes, key: 32. The result is 16 bytes longer."""
    size = len(plaintext)
    sealed = _new(_OCTETS, size + TAG)
    _encrypt(sealed, _NULL, plaintext, size, associated, len(associated), _NULL, nonce, key)
    octets: bytes = _octets_of(sealed)[:]
    return octets


def aead_decrypt(sealed: bytes, associated: bytes, nonce: bytes, key: bytes) -> bytes | None:
    """What was sealed; None when it was not so sealed. `sealed` has 16 bytes at least."""
    size = len(sealed) - TAG
    plaintext = _new(_OCTETS, size or 1)
    if _decrypt(plaintext, _NULL, _NULL, sealed, size + TAG, associated, len(associated), nonce, key):
        return None
    octets: bytes = _octets_of(plaintext, size)[:]
    return octets
