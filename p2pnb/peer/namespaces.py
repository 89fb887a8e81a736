"""The draft's namespace procedures. An entry belongs to an Ed25519 public key and changes only by its owner's signature.

The draft leaves most of this open. Here every version has a sequence number, which is signed too: readers take the highest
valid one, and a replica never goes back, so that an old version cannot be replayed. A signature names one version, which
lets a reader pin what it has seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from p2pnb import spec
from p2pnb.brief import brief
from p2pnb.dht import merge
from p2pnb.dht.expiry import handed_on
from p2pnb.dht.namespaces import point_of
from p2pnb.dht.signature import sign, version_holds
from p2pnb.disk.rows import Pin
from p2pnb.errors import BadSignature, NotFound, StaleSequence, StoreFull
from p2pnb.peer.identity import as_public_key, as_signing_key
from p2pnb.peer.records import Records
from p2pnb.peer.report import Report
from p2pnb.peer.search import Search
from p2pnb.peer.values import as_record_value
from p2pnb.uid import as_key
from p2pnb.wire.contact import Contact
from p2pnb.wire.messages import NamespaceRef, NamespaceSet, Reply, Version

UNTOLD_AGE = int(spec.EXPIRY) - 1  # of a version whose age nobody knows: it takes the place of older ones, and lives no longer than they
WHO_HAS_IT = "cluster.where(namespace.key(name)) shows who has it, and who should"


class Namespaces(Records):
    """`namespace_set`, `namespace_ref` and `namespace_ref_at`."""

    async def namespace_set(
        self, private_key: Any, public_key: Any, key: bytes | str, value: bytes, sequence: int | None = None
    ) -> bytes:
        """Signs `value`, 32 bytes, as the next version of (`public_key`, `key`) and stores it (the draft, `peer-namespace-set`).

        Keys are 32 bytes or PyNaCl's `SigningKey` and `VerifyKey`. `sequence` is one more than the newest version found,
        unless given (0 to 2^63 - 1). Returns the signature, 64 bytes, which readers may pin.

        Raises `ValueError` where the two keys are no pair, `StaleSequence` where a newer version exists, or one with the same
        number and a larger value, `StoreFull` when no replica took it, `PeerUnreachable` when none could be reached.

        Example: `signature = await peer.namespace_set(private_key, public_key, key, value32)`.
        """
        private_key = as_signing_key(private_key)  # from here on, no traceback shows it
        public = as_public_key(public_key)
        signer = as_signing_key(private_key, public)
        name, octets = as_key(key), as_record_value(value)
        if sequence is not None and (type(sequence) is not int or not 0 <= sequence <= spec.MAX_SEQUENCE):
            raise brief(ValueError(f"a sequence number is an integer of 0 to 2^63 - 1, not {sequence!r}"))
        report = self._begin("namespace_set")
        found: Search | None = None
        given = sequence is not None
        if sequence is None:
            newest, search = await self._newest(public, name.int, report)
            sequence = 0 if newest is None else newest.sequence + 1
            _check_newer(sequence, octets, newest)
            found = search if self.replication <= spec.MERGE_PEERS else None
        signature = sign(signer, network=self.network, key=name.int, sequence=sequence, value=octets)
        request = NamespaceSet(public, name.int, octets, signature, sequence)
        report.facts["sequence"] = sequence
        full: StoreFull | None = None
        try:
            await self.replicate(point_of(public, name.int), request, report, found)
        except StoreFull as error:
            full = error
        if report.refused or given:
            newest, _ = await self._newest(public, name.int, report)
            _check_newer(sequence, octets, newest)
        if full is not None:
            raise full
        await self.lasting.publish(request)
        return signature

    async def namespace_ref(self, public_key: Any, key: bytes | str, signature: bytes | None = None) -> bytes:
        """The value of (`public_key`, `key`): its newest valid version, or the one that `signature` names (the draft,
        `peer-namespace-ref`). 32 bytes, and the signature was checked.

        Raises `NotFound` when no peer that could be reached has it.

        Example: `value = await peer.namespace_ref(public_key, key)`.
        """
        return (await self.namespace_version(public_key, key, signature)).value

    async def namespace_version(self, public_key: Any, key: bytes | str, signature: bytes | None = None) -> Version:
        """As `namespace_ref`, but with the version's signature and sequence number."""
        public, name = as_public_key(public_key), as_key(key).int
        report = self._begin("namespace_ref")
        if signature is None:
            version, _ = await self._newest(public, name, report)
        else:
            version = self.lasting.pinned(public, name, pinned := _as_signature(signature)) or await self._pinned(public, name, pinned)
        if version is None:
            which = "entry" if signature is None else "version with that signature"
            raise NotFound(f"no {which} under this public key and key: none of the nearest peers that answered has one", WHO_HAS_IT)
        if signature is not None:
            version = version.aged(None)
            self.lasting.pin(Pin(public, name, version))
        report.facts["sequence"] = version.sequence
        return version

    async def namespace_ref_at(self, uid: bytes | str, public_key: Any, key: bytes | str, signature: bytes | None = None) -> bytes:
        """As `namespace_ref`, but what the peer known as `uid` has, alone (the draft, `peer-namespace-ref-at`).

        Raises `NotFound` when it has none, `BadSignature` when it sends one that does not hold, `PeerUnreachable`.

        Example: `value = await peer.namespace_ref_at(uid, public_key, key)`.
        """
        public, name = as_public_key(public_key), as_key(key).int
        pinned = None if signature is None else _as_signature(signature)
        self._begin("namespace_ref_at")
        reply = await self.ask_at(uid, NamespaceRef(public, name, pinned))
        if not isinstance(reply, Version):
            raise NotFound("that peer has no such entry", WHO_HAS_IT)
        if not version_holds(self.network, public, name, reply) or pinned not in (None, reply.signature):
            raise BadSignature("that peer sent a version whose signature does not hold")
        return reply.value

    async def _newest(self, public: bytes, name: int, report: Report) -> tuple[Version | None, Search]:
        """The newest valid version that the 5 nearest have, and how they were found; those that had an older one, or none, are told."""
        began, request = self.clock(), NamespaceRef(public, name)
        answers, search = await self.survey(point_of(public, name), request)
        versions = [reply for _, reply in answers if isinstance(reply, Version)]
        newest = merge.newest(versions, partial(version_holds, self.network, public, name))
        report.facts.update(asked=len(answers), holders=len(versions))
        if newest is None:
            return None, search
        version = newest.aged(None)
        age = handed_on(newest.age, self.clock() - began)
        told = NamespaceSet.of(public, name, version, UNTOLD_AGE if age is None else age)
        self._tell(told, [whom for whom, reply in answers if not isinstance(reply, Version) or reply.aged(None) != version])
        return version, search

    def _tell(self, newest: NamespaceSet, outdated: Iterable[Contact | None]) -> None:
        """Hands the newest version, with its age, to those that answered otherwise (None: this peer), in the background."""
        for whom in outdated:
            if whom is None:
                self.spawn(self._own_answer(newest))
            else:
                self.hand_over(whom, newest)

    async def _pinned(self, public: bytes, name: int, signature: bytes) -> Version | None:
        request = NamespaceRef(public, name, signature)
        own = await self._own_answer(request)
        if isinstance(own, Version):
            return own

        def judge(whom: Contact, reply: Reply) -> bool:
            true = isinstance(reply, Version) and reply.signature == signature and version_holds(self.network, public, name, reply)
            if not true:
                self.penalise(whom)
            return true

        search = await self.search(point_of(public, name), request, want=self.replication, judge=judge, thrifty=True)
        return search.result if isinstance(search.result, Version) else None


def _check_newer(sequence: int, value: bytes, newest: Version | None) -> None:
    """Raises `StaleSequence` where readers would go on reading `newest`: a replica takes a smaller value under the same number, too."""
    if newest is None or (sequence <= spec.MAX_SEQUENCE and (sequence, value) >= (newest.sequence, newest.value)):
        return
    if newest.sequence == spec.MAX_SEQUENCE:
        raise StaleSequence("the version in the network has the highest number, 2^63 - 1: none is newer than that; use another key")
    hint = f"in the network: leave `sequence` out, or give {newest.sequence + 1}"
    if sequence < newest.sequence:
        raise StaleSequence(f"version {sequence} is older than version {newest.sequence} {hint}")
    raise StaleSequence(f"version {sequence} with another value, which is larger and goes before this one, is {hint}")


def _as_signature(signature: Any) -> bytes:
    if isinstance(signature, (bytes, bytearray)) and len(signature) == spec.SIGNATURE:
        return bytes(signature)
    raise brief(ValueError(f"a signature is {spec.SIGNATURE} bytes: what namespace_set returned"))
