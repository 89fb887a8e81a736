"""The draft's distributed-hash-table procedures: `peer-set` and `peer-ref`. A value lives under its own SHA-256."""

from __future__ import annotations

from typing import Any

from p2pnb import spec
from p2pnb.brief import brief, unawaited
from p2pnb.dht.expiry import handed_on
from p2pnb.errors import NotFound, ValueTooLarge
from p2pnb.peer.records import MORE_TRIES, Records
from p2pnb.uid import Key, as_key, key_of
from p2pnb.wire.contact import Contact
from p2pnb.wire.messages import Ref, Reply, Set, Value


class Values(Records):
    """`set` and `ref`."""

    async def set(self, value: bytes) -> Key:
        """Stores `value` at the `replication` peers nearest to its SHA-256, and returns that key (the draft, `peer-set`).

        Up to 249,996 bytes. Raises `ValueTooLarge`, `StoreFull` when no replica took it, `PeerUnreachable` when none
        could be reached. How many took it is in `peer.last.stored`.

        Example: `key = await peer.set(b"hello")`.
        """
        value = as_value(value)
        report = self._begin("set")
        key = key_of(value)
        request = Set(value)
        await self.replicate(key.int, request, report)
        await self.lasting.publish(request)
        return key

    async def ref(self, key: bytes | str) -> bytes:
        """The value whose SHA-256 is `key` (the draft, `peer-ref`). It is checked; a peer that sends another one is passed over.

        Raises `NotFound` when no peer that could be reached has it.

        Example: `value = await peer.ref(key)`.
        """
        report = self._begin("ref")
        wanted = as_key(key)
        began = self.clock()
        held = self.store.values.get(wanted.int, began)
        if held is not None:
            report.facts["held"] = "by this peer itself"
            return held.value

        holders: list[Contact] = []

        def judge(whom: Contact, reply: Reply) -> bool:
            true = isinstance(reply, Value) and key_of(reply.value) == wanted
            if true:
                holders.append(whom)
            else:
                self.penalise(whom)
            return true

        search = await self.search(wanted.int, Ref(wanted.int), want=self.replication, judge=judge, thrifty=True)
        for _ in range(MORE_TRIES):  # whoever wrote it may have met the same trouble, and have gone farther
            if search.result is None and search.troubled:
                search = await self.search(wanted.int, Ref(wanted.int), want=spec.ACCEPTORS, judge=judge, again=True)
        report.facts["asked"] = search.lookup.rpcs
        if not isinstance(search.result, Value):
            raise NotFound(
                f"no value under {wanted!r}: the {len(search.lookup.nearest)} nearest peers that answered do not have it. "
                "It was never set, has expired after 24 h, or all its holders are gone"
            )
        age = handed_on(search.result.age, self.clock() - began)
        if age is not None:
            self._repair(wanted.int, Set(search.result.value, age), holders[0], search.lookup.answered(1))
        return search.result.value

    def _repair(self, key: int, request: Set, holder: Contact, nearest: list[Contact]) -> None:
        """Hands the value to the peer nearest to its key, if that one answered that it does not have it, in the background.

        With its age, so that nothing lives longer for being read; of which age nobody knows is not handed on. One reading
        mends one replica: whoever only claims to have nothing gets no more than this out of it.
        """
        if nearest and nearest[0].uid is not None and holder.uid is not None and nearest[0].uid ^ key < holder.uid ^ key:
            self.hand_over(nearest[0], request)


def as_value(value: Any) -> bytes:
    """`value` as bytes that fit into one message."""
    if isinstance(value, str):
        raise brief(TypeError(f"a value is bytes, not str: write {value[:20]!r}.encode()"))
    if unawaited(value):
        raise brief(TypeError("a value is bytes, and this call has not been awaited yet: write `await` before it"))
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise brief(TypeError(f"a value is bytes, not {type(value).__name__}"))
    octets = bytes(value)
    if len(octets) > spec.MAX_VALUE:
        raise ValueTooLarge(
            f"a value is at most {spec.MAX_VALUE:,} bytes, not {len(octets):,}: "
            "split it, set the parts, and set the list of their keys"
        )
    return octets


def as_record_value(value: Any) -> bytes:
    """`value` as the 32 bytes that bags and namespaces hold."""
    if isinstance(value, (bytes, bytearray, memoryview)) and len(value) == spec.RECORD_VALUE:
        return bytes(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise brief(ValueError(
            f"bags and namespaces hold values of {spec.RECORD_VALUE} bytes, not {len(value)}: "
            "set the bytes first and use their key, key = await node.set(b'...')"
        ))
    return as_key(value, "a value of a bag or namespace")
