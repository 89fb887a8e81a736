"""The signature of a namespace's entry: what is signed, and whether a signature, or the version that carries it, holds.

Ed25519 (RFC 8032) over

    p2pnb/namespace/1 ‖ SHA-256(network name) ‖ public key (32) ‖ key (32) ‖ sequence number (8) ‖ value (32)

with numbers big-endian and the name in UTF-8. Every part but the first has a fixed size, so no two entries have the same
octets; a signature made for one network, author, key or version holds for no other, and none made for another purpose
holds here. libsodium does the arithmetic and is strict: it refuses a scalar S that is not reduced (S + L would be a second
signature of the same entry), points that are not in canonical form, and public keys of small order, under which one
signature would fit many messages.

Nothing here stores, counts or decides which version is newer.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey

from p2pnb.secret import SecretBytes
from p2pnb.spec import MAX_SEQUENCE, NAMESPACE_CONTEXT, PUBLIC_KEY, RECORD_VALUE, SIGNATURE
from p2pnb.uid import BITS, BYTES
from p2pnb.wire.messages import Version


def signed_bytes(network: str, public_key: bytes, key: int, sequence: int, value: bytes) -> bytes:
    """The octets that a signature covers.

    Raises `ValueError` unless `public_key` and `value` are 32 bytes, 0 <= key < 2^256 and 0 <= sequence < 2^63.
    """
    if len(public_key) != PUBLIC_KEY or len(value) != RECORD_VALUE:
        raise ValueError(f"a public key is {PUBLIC_KEY} bytes and a value {RECORD_VALUE}, not {len(public_key)} and {len(value)}")
    if not 0 <= sequence <= MAX_SEQUENCE or key < 0 or key >> BITS:
        raise ValueError("a sequence number is 0 to 2^63 - 1, and a key 0 to 2^256 - 1")
    return b"".join((_context(network), public_key, key.to_bytes(BYTES, "big"), sequence.to_bytes(8, "big"), value))


def sign(private_key: bytes | SigningKey, network: str, key: int, sequence: int, value: bytes) -> bytes:
    """The signature, 64 bytes, by the author whose private key is this 32-byte seed or `SigningKey`.

    Raises `ValueError` for a seed of another length, and as `signed_bytes` does.
    """
    private_key = SecretBytes(bytes(private_key) if isinstance(private_key, SigningKey) else memoryview(private_key))
    expanded = _expanded(private_key)
    return crypto_sign(signed_bytes(network, expanded[BYTES:], key, sequence, value), expanded)[:SIGNATURE]


def verify(public_key: bytes, signature: bytes, network: str, key: int, sequence: int, value: bytes) -> bool:
    """Whether `signature` was made by the owner of `public_key` for exactly this entry."""
    try:
        return holds(public_key, signature, signed_bytes(network, public_key, key, sequence, value))
    except ValueError:
        return False


def version_holds(network: str, public_key: bytes, key: int, version: Version) -> bool:
    """Whether `version` is one that the owner of `public_key` made of the entry `key`, in the network of this name."""
    return verify(public_key, version.signature, network, key, version.sequence, version.value)


def holds(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` is the strict Ed25519 signature of `message` by the owner of `public_key`."""
    if len(public_key) != PUBLIC_KEY or len(signature) != SIGNATURE:
        return False
    try:
        crypto_sign_open(signature + message, public_key)
    except BadSignatureError:
        return False
    return True


def public_key_of(private_key: bytes) -> bytes:
    """The public key, 32 bytes, that belongs to a 32-byte seed. Raises `ValueError` for a seed of another length."""
    private_key = SecretBytes(memoryview(private_key))
    return _expanded(private_key)[BYTES:]


def _expanded(seed: SecretBytes) -> SecretBytes:
    """libsodium's own form of a private key: the seed, then the public key."""
    if len(seed) != BYTES:
        raise ValueError(f"an Ed25519 private key is a seed of {BYTES} bytes, not {len(seed)}")
    return SecretBytes(crypto_sign_seed_keypair(seed)[1])


@lru_cache(maxsize=64)
def _context(network: str) -> bytes:
    return NAMESPACE_CONTEXT + hashlib.sha256(network.encode()).digest()
