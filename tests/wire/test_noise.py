"""The Noise handshake against published vectors, Wycheproof's X25519 and another implementation; and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from nacl.bindings import crypto_aead_chacha20poly1305_ietf_encrypt
from noise.connection import Keypair, NoiseConnection

from p2pnb.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from p2pnb.secret import SecretBytes
from p2pnb.wire.noise import LAST_NONCE, Cipher, Handshake, HandshakeError, KeyPair, StaticKey, uid_of

NAME = "Noise_XX_25519_ChaChaPoly_SHA256"
VECTORS = Path(__file__).resolve().parents[2].parent / "shared" / "vectors"
# every public key under which X25519 gives zero (RFC 7748, section 6.1; libsodium's list)
SMALL_ORDER = [
    (0).to_bytes(32, "little"),
    (1).to_bytes(32, "little"),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    (2**255 - 20).to_bytes(32, "little"),
    (2**255 - 19).to_bytes(32, "little"),
    (2**255 - 18).to_bytes(32, "little"),
]


def vectors(name: str) -> Any:
    path = VECTORS / name
    if not path.exists():
        pytest.skip(f"the vectors {name} are not on this machine")
    return json.loads(path.read_text("utf-8"))


def pair_of(seed: int) -> KeyPair:
    return KeyPair.from_seed(bytes([seed]) * 32)


def ends(prologue: bytes = b"p", other: bytes | None = None) -> tuple[Handshake, Handshake]:
    return Handshake(True, pair_of(1), prologue), Handshake(False, pair_of(2), prologue if other is None else other)


def shake(initiator: Handshake, responder: Handshake) -> None:
    responder.read(initiator.write())
    initiator.read(responder.write())
    responder.read(initiator.write())


# --- against others ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["cacophony", "snow"])
def test_published_vectors(source: str) -> None:
    chosen = [each for each in vectors(f"noise/{source}.json")["vectors"] if NAME in (each.get("protocol_name"), each.get("name"))]
    assert chosen, "the file has no vector for this pattern"
    for vector in chosen:
        ends = [
            Handshake(
                side == "init",
                KeyPair.from_seed(bytes.fromhex(vector[f"{side}_static"])),
                bytes.fromhex(vector[f"{side}_prologue"]),
                KeyPair.from_seed(bytes.fromhex(vector[f"{side}_ephemeral"])),
            )
            for side in ("init", "resp")
        ]
        messages = [(bytes.fromhex(each["payload"]), bytes.fromhex(each["ciphertext"])) for each in vector["messages"]]
        assert len(messages) > 3, "the vector has no transport messages"
        for turn, (payload, ciphertext) in enumerate(messages[:3]):
            sender, receiver = ends[turn % 2], ends[1 - turn % 2]
            assert not sender.done
            assert sender.write(payload) == ciphertext, f"handshake message {turn}"
            assert receiver.read(ciphertext) == payload
        assert [end.done for end in ends] == [True, True]
        assert ends[0].hash == ends[1].hash
        if "handshake_hash" in vector:
            assert ends[0].hash.hex() == vector["handshake_hash"]
        assert ends[0].remote_static == ends[1].static.public
        assert ends[1].remote_static == ends[0].static.public
        ciphers = [end.split() for end in ends]
        for turn, (payload, ciphertext) in enumerate(messages[3:], start=3):
            assert ciphers[turn % 2][0].seal(payload) == ciphertext, f"transport message {turn}"
            assert ciphers[1 - turn % 2][1].open(ciphertext) == payload


def test_wycheproof_x25519() -> None:
    cases = [case for group in vectors("wycheproof/x25519_test.json")["testGroups"] for case in group["tests"]]
    assert len(cases) == 518
    refused = 0
    for case in cases:
        ours, public, shared = (bytes.fromhex(case[name]) for name in ("private", "public", "shared"))
        pair = KeyPair.from_seed(ours)
        if "ZeroSharedSecret" in case["flags"]:
            assert not any(shared)
            with pytest.raises(HandshakeError):
                pair.exchange(public)
            refused += 1
        else:
            assert pair.exchange(public) == shared, case["tcId"]
    assert refused == 31


def foreign_end(initiator: bool, static: bytes, prologue: bytes) -> NoiseConnection:
    """The same handshake by PyPI's `noiseprotocol`."""
    connection = NoiseConnection.from_name(NAME.encode())
    if initiator:
        connection.set_as_initiator()
    else:
        connection.set_as_responder()
    connection.set_prologue(prologue)
    connection.set_keypair_from_private_bytes(Keypair.STATIC, static)
    connection.start_handshake()
    return connection


@pytest.mark.parametrize("ours_first", [True, False])
def test_interoperates_with_another_implementation(ours_first: bool) -> None:
    ours, theirs = Handshake(ours_first, pair_of(1), b"both"), foreign_end(not ours_first, bytes([2]) * 32, b"both")
    for turn in range(3):
        payload = bytes([turn]) * (10 * turn)
        if (turn % 2 == 0) is ours_first:
            assert bytes(theirs.read_message(ours.write(payload))) == payload
        else:
            assert ours.read(bytes(theirs.write_message(payload))) == payload
    assert ours.done
    assert theirs.handshake_finished
    assert ours.hash == theirs.get_handshake_hash()
    assert ours.remote_static == pair_of(2).public
    send, recv = ours.split()
    for number in range(300):  # past the first byte of the nonce
        text = b"message %d" % number
        assert bytes(theirs.decrypt(send.seal(text))) == text
        assert recv.open(bytes(theirs.encrypt(text))) == text


def test_another_implementation_is_refused_under_another_prologue() -> None:
    ours, theirs = Handshake(True, pair_of(1), b"one"), foreign_end(False, bytes([2]) * 32, b"two")
    theirs.read_message(ours.write())
    with pytest.raises(HandshakeError) as caught:
        ours.read(bytes(theirs.write_message(b"hello")))
    assert caught.value.reason == "other-network"


# --- key pairs --------------------------------------------------------------------------------------------------------


def test_key_pairs_are_random_and_agree() -> None:
    one, other = StaticKey.generate(), StaticKey.generate()
    assert one.public != other.public
    assert one.exchange(other.public) == other.exchange(one.public)
    assert one.uid == uid_of(one.public) != other.uid
    assert StaticKey.from_seed(bytes(31) + b"\1").public == StaticKey.from_seed(bytes(31) + b"\1").public


@pytest.mark.parametrize("public", SMALL_ORDER + [each[:31] + bytes([each[31] | 0x80]) for each in SMALL_ORDER])
def test_public_keys_of_small_order_are_a_failed_handshake(public: bytes) -> None:
    with pytest.raises(HandshakeError):
        pair_of(1).exchange(public)
    initiator, responder = ends()
    initiator.write()
    responder.read(public)  # there is nothing to compute yet
    with pytest.raises(HandshakeError):
        responder.write()
    with pytest.raises(HandshakeError):
        initiator.read(public + bytes(100))


def test_a_static_key_of_small_order_is_a_failed_handshake() -> None:
    initiator, responder = ends()
    initiator.static.public = bytes(32)
    responder.read(initiator.write())
    initiator.read(responder.write())
    with pytest.raises(HandshakeError):
        responder.read(initiator.write())
    assert not responder.done


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_keys_of_another_size_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"32 bytes, not {size}"):
        KeyPair.from_seed(bytes(size))
    with pytest.raises(HandshakeError):  # libsodium would read beyond a short one
        pair_of(1).exchange(bytes(range(9, 9 + size)))


@pytest.mark.parametrize("make", [KeyPair, StaticKey, KeyPair.from_seed, StaticKey.from_seed])
def test_a_number_is_no_key(make: Any) -> None:
    """`bytes(32)` are 32 zeros: a key that everybody has."""
    with pytest.raises(TypeError):
        make(32)


# --- the handshake ----------------------------------------------------------------------------------------------------


def test_ephemeral_keys_are_new_each_time() -> None:
    messages = {Handshake(True, pair_of(1), b"").write() for _ in range(50)}
    assert len(messages) == 50


def test_the_hash_belongs_to_one_handshake() -> None:
    hashes = set()
    for _ in range(3):
        initiator, responder = ends()
        shake(initiator, responder)
        assert initiator.hash == responder.hash
        hashes.add(initiator.hash)
    assert len(hashes) == 3


def test_out_of_turn() -> None:
    initiator, responder = ends()
    with pytest.raises(LocalProtocolError):
        responder.write()
    with pytest.raises(HandshakeError):
        initiator.read(bytes(96))
    with pytest.raises(LocalProtocolError):
        initiator.split()
    first = initiator.write()
    with pytest.raises(LocalProtocolError):
        initiator.write()
    responder.read(first)
    with pytest.raises(HandshakeError):
        responder.read(first)
    initiator.read(responder.write())
    with pytest.raises(LocalProtocolError):
        responder.split()
    responder.read(initiator.write())
    for end in (initiator, responder):
        with pytest.raises(LocalProtocolError):
            end.write()
        with pytest.raises(HandshakeError):
            end.read(bytes(96))


def test_messages_cut_short() -> None:
    for size in range(32):
        _, responder = ends()
        with pytest.raises(HandshakeError):
            responder.read(bytes([7]) * size)
    initiator, responder = ends()
    responder.read(initiator.write())
    whole = responder.write(b"payload")
    for size in range(len(whole)):
        fresh, peer = ends()
        peer.read(fresh.write())
        with pytest.raises(HandshakeError):
            fresh.read(peer.write(b"payload")[:size])


def test_another_prologue() -> None:
    initiator, responder = ends(b"network one", b"network two")
    responder.read(initiator.write())
    with pytest.raises(HandshakeError) as caught:
        initiator.read(responder.write())
    assert caught.value.reason == "other-network"


def test_a_third_message_that_cannot_be_opened_is_no_other_network() -> None:
    initiator, responder = ends()
    responder.read(initiator.write())
    initiator.read(responder.write())
    with pytest.raises(HandshakeError) as caught:
        responder.read(bytes(len(initiator.write())))
    assert caught.value.reason == "not-a-peer"
    assert not responder.done


def test_the_statics_do_not_travel_in_the_clear() -> None:
    initiator, responder = ends()
    sent = initiator.write()
    responder.read(sent)
    answer = responder.write()
    initiator.read(answer)
    sent += answer + initiator.write()
    assert initiator.static.public not in sent
    assert responder.static.public not in sent


# --- ciphers ----------------------------------------------------------------------------------------------------------


def ciphers() -> tuple[Cipher, Cipher]:
    return Cipher(SecretBytes(bytes(32))), Cipher(SecretBytes(bytes(32)))


def test_each_direction_has_its_own_key() -> None:
    initiator, responder = ends()
    shake(initiator, responder)
    (send, recv), (send_back, recv_back) = initiator.split(), responder.split()
    assert recv_back.open(send.seal(b"to the responder")) == b"to the responder"
    assert recv.open(send_back.seal(b"to the initiator")) == b"to the initiator"
    with pytest.raises(RemoteProtocolError):
        recv.open(send.seal(b"reflected"))


def test_a_failed_open_changes_nothing() -> None:
    send, recv = ciphers()
    first, second = send.seal(b"first"), send.seal(b"second")
    for wrong in (second, b"", first[:15], first[:-1], first + b"\0", bytes(len(first))):
        with pytest.raises(RemoteProtocolError):
            recv.open(wrong)
    assert recv.open(first) == b"first"
    with pytest.raises(RemoteProtocolError):
        recv.open(first)
    assert recv.open(second) == b"second"
    assert (send.count, recv.count) == (2, 2)


def test_associated_data_is_authenticated() -> None:
    send, recv = ciphers()
    sealed = send.seal(b"text", b"context")
    with pytest.raises(RemoteProtocolError):
        recv.open(sealed)
    with pytest.raises(RemoteProtocolError):
        recv.open(sealed, b"other")
    assert recv.open(sealed, b"context") == b"text"


def test_the_last_nonce_is_never_used() -> None:
    send, recv = ciphers()
    send.count = recv.count = LAST_NONCE - 1
    assert recv.open(send.seal(b"the last")) == b"the last"
    with pytest.raises(LocalProtocolError, match="renew"):
        send.seal(b"one too many")
    sealed = crypto_aead_chacha20poly1305_ietf_encrypt(b"one too many", None, bytes(4) + b"\xff" * 8, bytes(32))
    with pytest.raises(RemoteProtocolError):
        recv.open(sealed)
    assert (send.count, recv.count) == (LAST_NONCE, LAST_NONCE)


def test_errors_of_foreign_bytes_are_remote_ones() -> None:
    assert issubclass(HandshakeError, RemoteProtocolError)
    assert issubclass(HandshakeError, ProtocolError)
    assert HandshakeError("x").reason == "not-a-peer"
