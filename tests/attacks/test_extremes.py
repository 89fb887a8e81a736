"""The ends of ages and sequence numbers: in what is asked, in what is answered, and in what users give."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from pigeons import Wire, end, flock, live
from town import Alone, nearest, peers, simulate, some_value, town

from p2pnb import Author, spec
from p2pnb.dht.signature import sign
from p2pnb.errors import StaleSequence
from p2pnb.uid import key_of
from p2pnb.wire.messages import Bag, BagEntry, Reply, Value, Version
from p2pnb.wire.sexp import Symbol

DAY = int(spec.EXPIRY)
LAST = spec.MAX_SEQUENCE
TAKEN, REFUSED, CLOSED = True, False, None
AGES = {0: TAKEN, 1: TAKEN, DAY - 1: TAKEN, DAY: REFUSED, DAY + 1: REFUSED, LAST: REFUSED, LAST + 1: CLOSED, 2**256: CLOSED, -1: CLOSED}
AUTHOR = Author.from_seed(bytes(32))


def asked_to_store(kind: str, *numbers: int) -> tuple[Any, ...]:
    """A request to store with a sequence number where it has one, and an age if there is one."""
    if kind == "set":
        return (Symbol(kind), b"a value", *numbers[1:])
    if kind == "bag-add":
        return (Symbol(kind), 5, bytes(32), *numbers[1:])
    sequence = min(max(numbers[0], 0), LAST)
    signature = sign(AUTHOR.private_key, network="", key=5, sequence=sequence, value=bytes(32))
    return (Symbol(kind), AUTHOR.public_key, 5, bytes(32), signature, *numbers)


async def answer(alone: Alone, payload: Any) -> bool | None:
    """What the peer answers; None where it closes the link without a word."""
    wire = Wire(77, outbound=False)
    alone.given.clear()
    alone.peer.hear(wire.received(payload))
    replies = [payload for _, payload, _ in alone.given]
    assert replies == ([] if wire.closed else [replies[0]])
    return None if wire.closed else replies[0]


@pytest.mark.parametrize("kind", ["set", "bag-add", "namespace-set"])
@pytest.mark.parametrize("age", AGES)
def test_ages_that_are_asked_for(kind: str, age: int) -> None:
    async def test() -> None:
        alone = Alone()
        store = alone.peer.store
        assert await answer(alone, asked_to_store(kind, 3, age)) is AGES[age]
        assert len(store) == (AGES[age] is TAKEN)
        if AGES[age] is TAKEN:
            (record,) = store.records(alone.peer.clock())
            assert [request.age for request in record.requests] == [age]
            assert store.expire(alone.peer.clock() + DAY - age) == 1
        await alone.peer.close()

    simulate(test)


@pytest.mark.parametrize("kind", ["set", "bag-add", "namespace-set"])
@pytest.mark.parametrize("age", [b"5", "5", Symbol("five"), True, [5], ()], ids=repr)
def test_ages_that_are_no_integers(kind: str, age: Any) -> None:
    async def test() -> None:
        alone = Alone()
        assert await answer(alone, (*asked_to_store(kind, 3), age)) is CLOSED
        assert not len(alone.peer.store)
        await alone.peer.close()

    simulate(test)


@pytest.mark.parametrize(
    ("sequence", "expected"), [(0, TAKEN), (LAST - 1, TAKEN), (LAST, TAKEN), (LAST + 1, CLOSED), (2**64, CLOSED), (-1, CLOSED)]
)
def test_sequence_numbers_that_are_asked_for(sequence: int, expected: bool | None) -> None:
    async def test() -> None:
        alone = Alone()
        assert await answer(alone, asked_to_store("namespace-set", sequence)) is expected
        assert [row["sequence"] for row in alone.peer.store.namespaces.rows(0.0)] == [sequence] * (expected is TAKEN)
        await alone.peer.close()

    simulate(test)


@pytest.mark.parametrize("stated", [0, DAY - 1, DAY, LAST, "less each time", LAST + 1, -1], ids=str)
def test_ages_that_a_liar_states_of_what_it_holds(stated: int | str) -> None:
    """It has what it says, so it is believed; but no copy that is there lives longer or shorter, and nothing lives for being read.

    An age that is none closes the link to the liar, and somebody else is asked.
    """

    async def test() -> None:
        async with town(14, 3) as network:
            value = some_value(3)
            key = key_of(value)
            topic = key_of(b"topic")
            writer = peers(network)[0]
            await writer.set(value)
            await writer.bag_publish(topic, bytes(32))
            await writer.namespace_set(AUTHOR.private_key, AUTHOR.public_key, topic, bytes(32))
            for each in peers(network):
                assert each.upkeep is not None
                each.upkeep.stop()
            lies = Counter[str]()
            for place in (key, topic):
                for liar in nearest(network.living, place, 2):
                    lie(liar.living(), stated, lies)
            before = {member.position: ages(member.living()) for member in network.living}
            for reader in peers(network):
                assert await reader.ref(key) == value
                assert set(await reader.bag_popular(topic)) <= {bytes(32)}
                assert bytes(32) in await reader.bag_recent(topic)
                assert await reader.namespace_ref(AUTHOR.public_key, topic) == bytes(32)
            assert set(lies) == {"Value", "Bag", "Version"}
            for member in network.living:
                now = ages(member.living())
                assert {place: now[place] for place in before[member.position]} == before[member.position]
            closed = sum(each.refused_links for each in peers(network))
            assert (closed > 0) is (stated in {LAST + 1, -1})

    simulate(test)


def ages(peer: Any) -> dict[Any, float]:
    """When each thing that it keeps was set, on its clock."""
    now, rows = peer.clock(), peer.store.rows(peer.clock())
    return {(kind, each["key"], each.get("value")): round(now - each["age_s"], 3) for kind in rows for each in rows[kind]}


def lie(peer: Any, stated: int | str, lies: Counter[str]) -> None:
    """From now on it states this age of all that it answers with."""
    true = peer.responder.answer

    def answer(request: Any, **asked: Any) -> Reply:
        reply: Reply = true(request, **asked)
        if not isinstance(reply, (Value, Version, Bag)):
            return reply
        lies[type(reply).__name__] += 1
        age = 1_000 - lies.total() if isinstance(stated, str) else stated
        if isinstance(reply, Value):
            return Value(reply.value, age)
        if isinstance(reply, Version):
            return reply.aged(age)
        return Bag(tuple(BagEntry(each.value, each.publishers, age) for each in reply.entries))

    peer.responder.answer = answer


def test_the_last_sequence_number() -> None:
    """An author who used it up is told so, and may still replace the value by a larger one, as the order of versions has it."""

    async def test() -> None:
        _, flying = await flock(7)
        keys, name = (AUTHOR.private_key, AUTHOR.public_key), key_of(b"name")
        await flying[0].namespace_set(*keys, name, b"\x05" * 32, LAST)
        for sequence, value in ((None, b"\x09" * 32), (LAST, b"\x04" * 32), (LAST - 1, b"\x09" * 32), (0, b"\x09" * 32)):
            with pytest.raises(StaleSequence, match=r"highest number, 2\^63 - 1: none is newer than that; use another key"):
                await flying[1].namespace_set(*keys, name, value, sequence)
        assert await flying[2].namespace_ref(AUTHOR.public_key, name) == b"\x05" * 32
        await flying[3].namespace_set(*keys, name, b"\x06" * 32, LAST)
        assert await flying[2].namespace_ref(AUTHOR.public_key, name) == b"\x06" * 32
        for wrong in (LAST + 1, -1, True, "1"):
            with pytest.raises(ValueError, match=r"0 to 2\^63 - 1"):
                await flying[1].namespace_set(*keys, name, bytes(32), wrong)  # type: ignore[arg-type]
        assert not sum(each.refused_links for each in flying)
        await end(flying)

    live(test)


def test_the_same_sequence_number_with_another_value() -> None:
    """The larger value is read. Whoever writes the smaller one after it is told, for all replicas have taken it."""

    async def test() -> None:
        _, flying = await flock(7)
        keys, name = (AUTHOR.private_key, AUTHOR.public_key), key_of(b"name")
        await flying[0].namespace_set(*keys, name, b"\x05" * 32, 4)
        await flying[1].namespace_set(*keys, name, b"\x05" * 32, 4)
        with pytest.raises(StaleSequence, match=r"version 4 with another value, which is larger .* give 5"):
            await flying[1].namespace_set(*keys, name, b"\x04" * 32, 4)
        assert await flying[2].namespace_ref(AUTHOR.public_key, name) == b"\x05" * 32
        assert list(flying[1].published.values())[-1].value == b"\x05" * 32, "what is not read is not renewed"
        await flying[1].namespace_set(*keys, name, b"\x06" * 32, 4)
        assert await flying[2].namespace_ref(AUTHOR.public_key, name) == b"\x06" * 32
        await end(flying)

    live(test)
