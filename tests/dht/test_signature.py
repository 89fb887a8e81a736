"""Signatures of namespace entries: what they cover, and that nothing else holds. Strictness against Wycheproof's Ed25519."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey, VerifyKey

from p2pnb.dht.signature import holds, public_key_of, sign, signed_bytes, verify, version_holds
from p2pnb.wire.messages import Version

VECTORS = Path(__file__).resolve().parents[2].parent / "shared" / "vectors"
ORDER = 2**252 + 27742317777372353535851937790883648493  # L, of the group that Ed25519 signs in
SEED, OTHER = b"s" * 32, b"t" * 32
PUBLIC = public_key_of(SEED)
ENTRY: dict[str, Any] = {"network": "class-7", "key": 2**255 + 1, "sequence": 5, "value": b"v" * 32}


def test_the_octets_that_are_signed() -> None:
    expected = b"p2pnb/namespace/1" + hashlib.sha256("Größe".encode()).digest() + bytes(range(32))
    expected += (7).to_bytes(32, "big") + (258).to_bytes(8, "big") + b"v" * 32
    assert signed_bytes("Größe", bytes(range(32)), 7, 258, b"v" * 32) == expected
    assert len(expected) == 17 + 32 + 32 + 32 + 8 + 32


def test_pynacl_makes_and_checks_the_same_signature() -> None:
    message = signed_bytes(ENTRY["network"], PUBLIC, ENTRY["key"], ENTRY["sequence"], ENTRY["value"])
    made = sign(SEED, **ENTRY)
    assert made == SigningKey(SEED).sign(message).signature
    assert VerifyKey(PUBLIC).verify(message, made) == message
    assert sign(SigningKey(SEED), **ENTRY) == made
    assert verify(PUBLIC, made, **ENTRY)


def test_no_two_entries_have_the_same_octets() -> None:
    rng = random.Random(3)
    seen = set()
    for _ in range(500):
        network, key, sequence = rng.choice(["", "a", "ab"]), rng.choice([0, 1, 256]), rng.choice([0, 1, 256])
        entry = (network, rng.choice([b"a" * 32, b"b" * 32]), key, sequence, rng.choice([b"a" * 32, b"b" * 32]))
        seen.add((entry, signed_bytes(*entry)))
    assert len({entry for entry, _ in seen}) == len({octets for _, octets in seen}) > 80


@pytest.mark.parametrize(
    "change",
    [
        {"network": ""},
        {"network": "class-8"},
        {"key": 2**255},
        {"key": 0},
        {"sequence": 4},
        {"sequence": 6},
        {"sequence": 0},
        {"value": b"w" * 32},
        {"value": b"v" * 31 + b"w"},
    ],
)
def test_a_signature_holds_for_its_own_entry_only(change: dict[str, Any]) -> None:
    made = sign(SEED, **ENTRY)
    assert verify(PUBLIC, made, **ENTRY)
    assert not verify(PUBLIC, made, **{**ENTRY, **change})
    changed = {**ENTRY, **change}
    for age in None, 7:  # which nobody signs
        assert version_holds("class-7", PUBLIC, ENTRY["key"], Version(ENTRY["value"], made, ENTRY["sequence"], age))
        version = Version(changed["value"], made, changed["sequence"], age)
        assert not version_holds(changed["network"], PUBLIC, changed["key"], version)


def test_a_signature_holds_for_its_own_author_only() -> None:
    made = sign(SEED, **ENTRY)
    assert not verify(public_key_of(OTHER), made, **ENTRY)
    # the public key is among the octets, so one author's entry says nothing about another's
    message = signed_bytes(ENTRY["network"], public_key_of(OTHER), ENTRY["key"], ENTRY["sequence"], ENTRY["value"])
    assert not verify(PUBLIC, SigningKey(SEED).sign(message).signature, **ENTRY)


def test_every_bit_counts() -> None:
    made = sign(SEED, **ENTRY)
    for bit in range(512):
        altered = (int.from_bytes(made, "big") ^ 1 << bit).to_bytes(64, "big")
        assert not verify(PUBLIC, altered, **ENTRY), f"bit {bit} of the signature"
    for bit in range(256):
        altered = (int.from_bytes(PUBLIC, "big") ^ 1 << bit).to_bytes(32, "big")
        assert not verify(altered, made, **ENTRY), f"bit {bit} of the public key"


def test_s_plus_l_is_refused() -> None:
    """The same equation holds for S + L: without the check every signature would have a twin."""
    for seed in range(50):
        secret = random.Random(seed).randbytes(32)
        made = sign(secret, **ENTRY)
        scalar = int.from_bytes(made[32:], "little")
        assert scalar < ORDER
        for times in range(1, 9):
            twin = made[:32] + (scalar + times * ORDER).to_bytes(32, "little")
            assert not verify(public_key_of(secret), twin, **ENTRY), f"seed {seed}"


# encodings of the points of order 1, 2, 4 and 8, canonical or not, with either sign
P = 2**255 - 19
_EIGHTH = 2707385501144840649318225287225658788936804267575313519463743609750303021
SMALL_ORDER_Y = [0, 1, P - 1, P, P + 1, _EIGHTH, P - _EIGHTH]


@pytest.mark.parametrize("y", [*SMALL_ORDER_Y, *[each | 1 << 255 for each in SMALL_ORDER_Y]])
def test_public_keys_of_small_order_are_refused(y: int) -> None:
    """Under such a key R = S*B would do for every message that hashes right: one in eight, at worst every one."""
    public = y.to_bytes(32, "little")
    for seed in range(20):
        made = sign(SEED, **{**ENTRY, "sequence": seed})
        assert not verify(public, made, **ENTRY)
    identity = (1).to_bytes(32, "little")
    for first in [identity, *[each.to_bytes(32, "little") for each in SMALL_ORDER_Y]]:
        for sequence in range(32):  # S = 0 and R of small order: without the check one of these holds
            assert not verify(public, first + bytes(32), **{**ENTRY, "sequence": sequence})


def test_wycheproof_ed25519() -> None:
    path = VECTORS / "wycheproof" / "ed25519_test.json"
    if not path.exists():
        pytest.skip("Wycheproof's vectors are not on this machine")
    counted = {"valid": 0, "invalid": 0}
    for group in json.loads(path.read_text("utf-8"))["testGroups"]:
        public = bytes.fromhex(group["publicKey"]["pk"])
        for case in group["tests"]:
            held = holds(public, bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"]))
            assert held is (case["result"] == "valid"), (case["tcId"], case["comment"])
            counted[case["result"]] += 1
    assert counted == {"valid": 88, "invalid": 63}


@pytest.mark.parametrize("size", [0, 31, 33, 63, 65, 128])
def test_other_sizes_never_hold(size: int) -> None:
    made = sign(SEED, **ENTRY)
    assert not verify(PUBLIC, (made * 2)[:size], **ENTRY)
    if size not in (0, 64):
        assert not verify((PUBLIC * 4)[:size], made, **ENTRY)
    with pytest.raises(ValueError, match="32 bytes"):
        sign(bytes(size), **ENTRY)
    with pytest.raises(ValueError, match="32"):
        sign(SEED, **{**ENTRY, "value": bytes(size)})
    assert not verify(PUBLIC, made, **{**ENTRY, "value": bytes(size)})


def test_sizes_are_not_left_to_libsodium() -> None:
    """It takes as many bytes as it needs, and would not notice where the signature ends or that a key goes on."""
    made, message = sign(SEED, **ENTRY), signed_bytes(ENTRY["network"], PUBLIC, ENTRY["key"], ENTRY["sequence"], ENTRY["value"])
    assert holds(PUBLIC, made, message)
    assert not holds(PUBLIC, made + message[:5], message[5:])
    assert not holds(PUBLIC, made[:60], made[60:] + message)
    assert not holds(PUBLIC + b"x", made, message)


@pytest.mark.parametrize("change", [{"sequence": -1}, {"sequence": 2**63}, {"key": -1}, {"key": 2**256}])
def test_numbers_out_of_range(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="sequence number"):
        sign(SEED, **{**ENTRY, **change})
    assert not verify(PUBLIC, sign(SEED, **ENTRY), **{**ENTRY, **change})


def test_the_ends_of_the_ranges() -> None:
    for change in ({"sequence": 0}, {"sequence": 2**63 - 1}, {"key": 0}, {"key": 2**256 - 1}):
        entry = {**ENTRY, **change}
        assert verify(PUBLIC, sign(SEED, **entry), **entry)
