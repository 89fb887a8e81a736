"""Lookups and surveys against peers whose every answer, and its time, the test decides."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Iterable
from typing import Any

import pytest
from oracle import EIGHT, SILENT, Oracle
from town import now, peers, simulate, some_value, town

from p2pnb import key_of, spec
from p2pnb.dht.lookup import Lookup
from p2pnb.errors import NotFound, PeerUnreachable
from p2pnb.peer.search import Patience, Search, Survey
from p2pnb.uid import Key
from p2pnb.wire.contact import Contact, contact
from p2pnb.wire.messages import Bag, BagPopular, Iam, Nearest, Peers, Ref, Request, Value, Welcome


def holds(_: Contact, reply: Any) -> bool:
    return bool(isinstance(reply, Value) and reply.value == b"true")


def lookup(seeds: Iterable[Contact] = EIGHT, want: int = 3, alpha: int = 3) -> Lookup:
    return Lookup(0, 1 << 255, seeds, want=want, alpha=alpha, now=now(), patience=1.0)


# --- searching --------------------------------------------------------------------------------------------------------------


def test_a_record_is_asked_for_one_after_the_other() -> None:
    """The next request goes out when the last one was answered or is as old as the stagger."""

    async def test() -> None:
        def answer(whom: Contact, _: Request) -> tuple[float, Any]:
            return {1: (0.5, Nearest(())), 2: (0.3, Nearest(()))}.get(whom.uid or 0, (0.01, Value(b"true")))

        oracle = Oracle(answer)
        search = Search(oracle, lookup(), Ref(0), holds, stagger=0.1)
        await search.run()
        assert oracle.order == [(0.0, 1), (0.1, 2), (0.2, 3)]
        assert search.result == Value(b"true")
        assert oracle.elapsed == 0.21, "nobody waits for the two who are slower"
        await asyncio.sleep(1.0)  # late replies hurt nobody
        assert len(oracle.asked) == 3

    simulate(test)


def test_after_the_first_answer_the_nearest_are_asked_alpha_at_a_time() -> None:
    async def test() -> None:
        oracle = Oracle(lambda whom, _: (0.05, Nearest(())))
        await Search(oracle, lookup(want=4), Peers(0), stagger=0.1).run()
        assert oracle.order == [(0.0, 1), (0.05, 2), (0.05, 3), (0.05, 4)]

    simulate(test)


def test_as_long_as_replies_name_nearer_ones_they_are_asked_one_by_one() -> None:
    async def test() -> None:
        nearer = {8: [7, 6], 6: [5, 4]}
        oracle = Oracle(lambda whom, _: (0.05, Nearest(tuple(EIGHT[each - 1] for each in nearer.get(whom.uid or 0, [])))))
        await Search(oracle, lookup(EIGHT[7:]), Peers(0), stagger=0.1).run()
        assert oracle.order == [(0.0, 8), (0.05, 6), (0.1, 4), (0.15, 5)]

    simulate(test)


@pytest.mark.parametrize(("answers", "order"), [(0.2, [(0.0, 1)]), (0.5, [(0.0, 1), (0.24, 2)])])
def test_who_was_held_up_himself_does_not_call_others_slow(answers: float, order: list[tuple[float, int]]) -> None:
    """A timer that fires late gives whoever was asked as much more time, once."""

    async def test() -> None:
        loop: Any = asyncio.get_running_loop()
        oracle = Oracle(lambda whom, _: (answers if whom.uid == 1 else 0.01, Value(b"true")))
        loop.call_later(0.05, lambda: setattr(loop, "clock", loop.clock + 0.12))  # this process was busy until 0.17
        await Search(oracle, lookup(), Ref(0), holds, stagger=0.1).run()
        assert oracle.order == order

    simulate(test)


def looks(driver: Any) -> list[float]:
    """The times at which `driver` looks what there is to do, from now on."""
    times: list[float] = []
    pump = driver._pump

    def noted() -> None:
        times.append(now())
        assert len(times) < 100, "it looks again and again at the same moment"
        pump()

    driver._pump = noted
    return times


def test_whoever_waits_sleeps_until_there_is_something_to_do() -> None:
    """Also where the first one asked is out of patience while the next request still waits for its stagger."""

    async def test() -> None:
        oracle = Oracle(lambda whom, _: (4.0, Nearest(())))
        search = Search(oracle, lookup(), Ref(0), holds, stagger=0.7)
        times = looks(search)
        await search.run()
        assert len(times) <= 20
    simulate(test)


def test_a_slow_peer_gives_its_slot_away_and_its_late_record_still_counts() -> None:
    async def test() -> None:
        oracle = Oracle(lambda whom, _: (3.0, Value(b"true")) if whom.uid == 2 else (0.01, Nearest(())))
        search = Search(oracle, lookup(), Ref(0), holds)
        await search.run()
        assert search.lookup.finished
        assert search.result == Value(b"true")
        assert oracle.elapsed == 3.0

    simulate(test)


@pytest.mark.parametrize(("late", "seconds"), [((4.0, Nearest(())), 4.0), (SILENT, 5.0)])
def test_that_a_record_is_nowhere_is_said_only_when_the_slow_have_spoken(late: Any, seconds: float) -> None:
    async def test() -> None:
        oracle = Oracle(lambda whom, _: late if whom.uid == 2 else (0.01, Nearest(())))
        search = Search(oracle, lookup(), Ref(0), holds)
        await search.run()
        assert search.result is None
        assert oracle.elapsed == seconds
        # to find peers, a slow one is not waited for
        oracle = Oracle(lambda whom, _: late if whom.uid == 2 else (0.01, Nearest(())))
        await Search(oracle, lookup(), Peers(0)).run()
        assert oracle.elapsed <= 1.02

    simulate(test)


def test_whoever_fails_after_the_end_counts_as_trouble_too() -> None:
    """A lookup goes on without the slow and ends; only then it shows that they do not answer: what was looked for may be theirs."""

    async def test() -> None:
        for silent, troubled in ((0, False), (1, False), (2, True), (6, True)):
            oracle = Oracle(lambda whom, _, silent=silent: SILENT if (whom.uid or 0) <= silent else (0.01, Nearest(())))
            search = Search(oracle, lookup(want=3), Ref(0), holds)
            await search.run()
            assert search.result is None
            assert search.troubled is troubled, f"{silent} of {search.lookup.rpcs}"

    simulate(test)


@pytest.mark.parametrize("named", [50, 1, None])
def test_a_hint_without_a_uid_is_introduced_first(named: int | None) -> None:
    """It says iam, and is asked if the one who answers was not asked yet; who does not answer is passed over."""

    async def test() -> None:
        nameless = contact("127.0.0.1", 4_099)

        def answer(whom: Contact, request: Request) -> tuple[float, Any]:
            if isinstance(request, Iam):
                return (0.01, PeerUnreachable("nobody", "refused") if named is None else Welcome("127.0.0.1", 9, named))
            return 0.01, Nearest((nameless,))

        oracle = Oracle(answer)
        search = Search(oracle, lookup(EIGHT[:2], want=3), Peers(0))
        await search.run()
        at_nameless = [type(request) for _, whom, request in oracle.asked if whom == 99]
        assert at_nameless == ([Iam, Peers] if named == 50 else [Iam])
        assert [each.uid for each in search.lookup.nearest] == ([1, 2, 50] if named == 50 else [1, 2])

    simulate(test)


# --- asking several ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slow", "answers", "seconds"), [(0, 5, 0.1), (1, 4, 1.0), (2, 3, 1.0), (3, 5, 4.0)], ids=["none", "one", "two", "three"]
)
def test_three_answers_do_where_the_others_are_slow(slow: int, answers: int, seconds: float) -> None:
    async def test() -> None:
        oracle = Oracle(lambda whom, _: (4.0 if (whom.uid or 0) <= slow else 0.1, Bag(())))
        survey = Survey(oracle, BagPopular(0), 1.0)
        await survey.ask(EIGHT[:5], spec.MERGE_QUORUM)
        assert (len(survey.answers), oracle.elapsed) == (answers, seconds)

    simulate(test)


def test_failures_are_no_answers() -> None:
    async def test() -> None:
        oracle = Oracle(lambda whom, _: (0.1, Bag(())) if whom.uid == 1 else SILENT)
        survey = Survey(oracle, BagPopular(0), 1.0)
        await survey.ask(EIGHT[:5], spec.MERGE_QUORUM)
        assert (survey.answers, oracle.elapsed) == ([(EIGHT[0], Bag(()))], 5.0)
        nobody = Survey(oracle, BagPopular(0), 1.0)
        await nobody.ask([], spec.MERGE_QUORUM)
        assert nobody.answers == []

    simulate(test)


def test_who_was_asked_ahead_counts_if_it_is_one_of_the_nearest() -> None:
    async def test() -> None:
        oracle = Oracle(lambda whom, _: (0.4 if whom.uid == 2 else 0.1, Bag(())))
        survey = Survey(oracle, BagPopular(0), 1.0)
        for each in (EIGHT[0], EIGHT[1], EIGHT[7], EIGHT[0]):
            survey.ahead(each)
        await asyncio.sleep(0.2)
        await survey.ask(EIGHT[:3], spec.MERGE_QUORUM)
        assert oracle.order == [(0.0, 1), (0.0, 2), (0.0, 8), (0.2, 3)]
        assert [each.uid for each, _ in survey.answers] == [1, 2, 3], "and not the eighth"
        assert oracle.elapsed == 0.4

    simulate(test)


# --- patience ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_patience_covers_late_replies_and_stays_within_bounds(seed: int) -> None:
    rng = random.Random(seed)
    patience = Patience()
    assert (patience.seconds, patience.stagger) == (Patience.FIRST, Patience.FIRST_STAGGER)
    for _ in range(200):
        patience.observe(rng.uniform(0.2, 0.4))
    assert 0.4 <= patience.seconds <= 0.8, f"seed {seed}: {patience.seconds}"
    assert 0.3 <= patience.stagger < patience.seconds, f"seed {seed}"
    for _ in range(200):
        patience.observe(0.0001)
    assert patience.seconds == Patience.LEAST
    assert patience.stagger >= Patience.LEAST_STAGGER
    for _ in range(50):
        patience.observe(rng.uniform(0.0, 5.0))
    assert patience.seconds <= Patience.MOST
    assert patience.stagger <= patience.seconds


# --- deadlines on a live network ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_silent_peers_cost_patience_and_no_timeouts(seed: int) -> None:
    """30 % are black holes: no lookup takes longer than a few patiences, nothing is lost, and no request takes over 5 s."""

    async def test() -> None:
        rng = random.Random(seed)
        async with town(30, seed, latency=lambda rng: rng.uniform(0.01, 0.05)) as network:
            keys = [await peers(network)[i].set(some_value(1_000 * seed + i)) for i in range(20)]
            network.log.events.clear()
            network.kill(network.choose(0.3), silent=True)
            for i, key in enumerate(keys):
                peer = rng.choice(peers(network))
                began, patience = now(), max(peer.patience.seconds for peer in peers(network))
                await peer.lookup(Key(rng.randbytes(32)))
                assert now() - began <= 6 * patience, f"seed {seed}: a lookup took {now() - began:.2f} s"
                began = now()
                if any(key.int in each.store.keys() for each in peers(network)):
                    assert await peer.ref(key) == some_value(1_000 * seed + i), f"seed {seed}"
                    assert now() - began <= 6 * patience, f"seed {seed}: a ref took {now() - began:.2f} s"
            began = now()
            with pytest.raises(NotFound):
                await peers(network)[0].ref(key_of(b"nowhere"))
            assert now() - began <= 3 * spec.REQUEST_TIMEOUT  # some are met late, and each has its 5 s
            await _requests_end(network, seed)

    simulate(test)


async def _requests_end(network: Any, seed: int) -> None:
    """Asks everybody, the silent too; each request ends within 5 virtual seconds, whatever the link does."""
    ends: list[float] = []
    began, asked = now(), 0
    for peer in peers(network):
        for member in network.members:
            if member.uid.int != peer.own:
                for _ in range(3):
                    asked += 1
                    peer.requests.ask(
                        contact(member.ip, member.port, member.uid.int), Peers(1), lambda _, outcome: ends.append(now() - began)
                    )
    await asyncio.sleep(spec.REQUEST_TIMEOUT + 0.01)
    assert len(ends) == asked, f"seed {seed}: {asked - len(ends)} requests are still open"
    assert max(ends) <= spec.REQUEST_TIMEOUT + 1e-6, f"seed {seed}: {max(ends)}"


def test_what_is_over_leaves_nothing_for_the_collector() -> None:
    """A lookup whose dials and requests have ended is gone at once, with the hundreds of objects it was made of."""

    async def test() -> None:
        async with town(12, seed=5) as network:
            first, *others = peers(network)
            for member in network.members:
                assert member.endpoint is not None
                for link in member.endpoint.links:
                    link.cut()  # so that there is somebody to dial
            await asyncio.sleep(1)
            gc.collect()
            gc.disable()
            gc.set_debug(gc.DEBUG_SAVEALL)
            try:
                key = await first.set(b"once")
                assert [await other.ref(key) for other in others] == [b"once"] * 11
                gc.collect()
                left = {type(each).__name__ for each in gc.garbage if type(each).__module__.startswith(("p2pnb.dht", "p2pnb.peer"))}
                assert not left
            finally:
                gc.set_debug(0)
                gc.garbage.clear()
                gc.enable()

    simulate(test)
