"""Attacks on a network of honest peers, mounted and measured: each with the defence that a node has, and without it.

| attack | what the attacker does | the defence |
| --- | --- | --- |
| `eclipse` | puts his peers nearest to a key | a uid is the hash of a key pair, so a place near a key costs tries; more replicas |
| `sybils` | fills a routing table from one network | one contact of a /24 or /48 a bucket |
| `stuffing` | lets replicas praise his value | one vote a publisher; medians over five replicas |
| `rollback` | lets replicas answer what was true once | signed sequence numbers, and asking five |
| `poisoning` | names peers who do not exist | hints decide only whom to ask; who named them is held to account |

Every defence is always on in a node. Where an experiment goes without one, it says so by name (`Textbook`, `ungrouped`, `loudest`), in
this module, and a node has no switch for it. All of it is simulated and seeded; results are DataFrames, one row a case.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from statistics import fmean
from time import process_time
from typing import Any

import pandas as pd

from p2pnb import address, spec
from p2pnb.dht import merge
from p2pnb.dht.policies import Policies
from p2pnb.dht.table import RoutingTable
from p2pnb.errors import P2PError
from p2pnb.lab.town import Resident, Town, simulated
from p2pnb.peer.cause import CAUSE
from p2pnb.peer.identity import Author
from p2pnb.uid import BITS, Key, key_of
from p2pnb.wire.contact import Contact, contact
from p2pnb.wire.messages import Bag, BagAdd, BagEntry, BagPopular, BagQuery, Nearest, Peers, Ref, Request, Set, Stored, Version
from p2pnb.wire.noise import StaticKey

# --- eclipse: whoever is nearest to a key decides what is found there ---------------------------------------------------


def ground(key: int, tries: int, wanted: int, rng: random.Random) -> list[int]:
    """The `wanted` uids nearest to `key` that an attacker finds with so many key pairs: each uid is the hash of a public key."""
    uids = [StaticKey.from_seed(rng.randbytes(32)).uid for _ in range(max(tries, wanted))]
    return sorted(uids, key=lambda uid: uid ^ key)[:wanted]


def seconds_a_try(tries: int = 2_000) -> float:
    """What one key pair and its uid cost here, in seconds of processor time."""
    start = process_time()
    ground(0, tries, 1, random.Random(0))
    return (process_time() - start) / tries


def tries_needed(n: int, wanted: int = spec.REPLICATION) -> int:
    """Key pairs until `wanted` uids are nearer to a key than any of `n` honest ones: each is so with probability 1/(n + 1)."""
    return wanted * (n + 1)


def eclipse(
    n: int = 30, attackers: int = 5, tries: int | None = None, replication: int = spec.REPLICATION, keys: int = 4, seed: int = 1
) -> pd.Series[Any]:
    """The attackers swallow what is written at a key and deny having it. How often do five honest readers find the value?

    `tries` None: the carrier lets anybody choose any uid. Else the uid is the hash of a static key, as over TCP, and each attacker
    is the best of so many key pairs, altogether. Index: `nearest`, the attackers' share of the five places nearest to the key, and `found`.
    """
    return simulated(_eclipse, n, attackers, tries, replication, keys, seed)


async def _eclipse(n: int, attackers: int, tries: int | None, replication: int, keys: int, seed: int) -> pd.Series[Any]:
    held = found = 0
    async with Town(seed, replication=replication) as town:
        honest = await town.grow(n)
        for number in range(keys):
            value = b"value %d" % number
            key = key_of(value)
            uids = [key.int ^ i for i in range(1, attackers + 1)] if tries is None else ground(key.int, tries, attackers, town.rng)
            villains = [await town.settle(uid) for uid in uids]
            lie = partial(_swallow, Nearest(tuple(each.contact for each in villains)))
            for villain in villains:
                villain.lie(lie)
            held += sum(each in villains for each in town.nearest(key.int))
            author, *readers = town.rng.sample(honest, 6)
            await author.peer.set(value)
            for reader in readers:
                found += await _finds(reader, key, value)
            await town.evict(villains)
    return pd.Series({"nearest": held / (spec.REPLICATION * keys), "found": found / (5 * keys)})


def _swallow(friends: Nearest, request: Request, truth: Any) -> Any:
    if isinstance(request, Set):
        return Stored(True)
    return friends if isinstance(request, (Ref, Peers)) else truth


async def _finds(reader: Resident, key: Key, value: bytes) -> bool:
    try:
        return await reader.peer.ref(key) == value
    except P2PError:
        return False


# --- Sybils: one operator, many uids --------------------------------------------------------------------------------------


def ungrouped(ip: str) -> str | None:  # noqa: ARG001 (that is the point)
    """Without the defence: every address is a neighbour of its own."""
    return None


def sybils(honest: int = 100, attackers: int = 400, k: int = 8, seed: int = 1) -> pd.DataFrame:
    """A newcomer's table while it meets honest peers, each from a network of its own, and four times as many from a single /24.

    One row with and one without the rule of one contact a group and bucket: `sybils` and `honest` in the table, and `next_to`: the
    share of Sybils among the five contacts that it would ask first, over 1,000 random keys.
    """
    rows = {}
    for name, group in (("without", ungrouped), ("with", address.group_of)):
        rng = random.Random(seed)
        table = RoutingTable(rng.getrandbits(BITS), k, group=group)
        met = [contact(f"{rng.randrange(11, 100)}.{number}.7.1", 9_000, rng.getrandbits(BITS)) for number in range(honest)]
        met += [contact(f"8.8.8.{rng.randrange(1, 255)}", 9_000 + number, rng.getrandbits(BITS)) for number in range(attackers)]
        rng.shuffle(met)
        for now, each in enumerate(met):
            table.seen(each, float(now), dialled=True)
        asked = [each for _ in range(1_000) for each in table.nearest(rng.getrandbits(BITS), 5)]
        false = sum(map(_is_sybil, table))
        rows[name] = {"honest": len(table) - false, "sybils": false, "next_to": sum(map(_is_sybil, asked)) / len(asked)}
    return pd.DataFrame.from_dict(rows, orient="index")


def _is_sybil(each: Contact) -> bool:
    return each.ip.startswith("8.8.8.")


# --- stuffing: making a value popular -------------------------------------------------------------------------------------


def loudest(answers: Sequence[Bag]) -> list[bytes]:
    """Without the defence: for each value the largest number that anybody claims."""
    claims: dict[bytes, int] = {}
    for entry in (entry for answer in answers for entry in answer.entries):
        claims[entry.value] = max(claims.get(entry.value, 0), entry.publishers)
    return sorted(claims, key=lambda value: -claims[value])


def stuffing(liars: int = 2, n: int = 16, seed: int = 1) -> pd.DataFrame:
    """Five honest values with six to two publishers each; `liars` of the key's five replicas claim a million for five of their own.

    One row a place, the best first: what a reader who believes the `loudest` would see, and what `medians` give; True is honest.
    """
    return simulated(_stuffing, liars, n, seed)


async def _stuffing(liars: int, n: int, seed: int) -> pd.DataFrame:
    async with Town(seed) as town:
        honest = await town.grow(n)
        topic = key_of(b"contested")
        values = [bytes(key_of(b"honest %d" % i)) for i in range(5)]
        for count, value in enumerate(values):
            for resident in honest[: 6 - count]:
                await resident.peer.bag_publish(topic, value)
        fakes = tuple(BagEntry(bytes(key_of(b"fake %d" % i)), 1_000_000, 0) for i in range(5))
        replicas = town.nearest(topic.int)
        for villain in town.rng.sample(replicas, liars):
            villain.lie(lambda request, truth: Bag(fakes) if isinstance(request, BagQuery) else truth)
        reader = next(each for each in honest if each not in replicas).peer
        replies, _ = await reader.survey(topic.int, BagPopular(topic.int))
        answers = [reply for _, reply in replies if isinstance(reply, Bag)]
        medians = [entry.value for entry in merge.popular(answers)]
    places = {"loudest": [value in values for value in loudest(answers)[:5]], "medians": [value in values for value in medians[:5]]}
    return pd.DataFrame(places, index=pd.RangeIndex(1, 6, name="place"))


def one_vote(adds: int = 10_000) -> pd.Series[Any]:
    """One publisher adds one value so many times over one link. Index: `added`, and `votes`, the publishers that a replica counts."""
    return simulated(_one_vote, adds)


async def _one_vote(adds: int) -> pd.Series[Any]:
    async with Town(3) as town:
        replica, publisher = await town.grow(2)
        taken = 0

        def done(_: Contact, outcome: Any) -> None:
            nonlocal taken
            taken += outcome == Stored(True)

        for _ in range(adds):
            publisher.peer.requests.ask(replica.contact, BagAdd(5, bytes(32)), done)
            if len(publisher.peer.requests) >= spec.MAX_UNANSWERED:
                await publisher.peer.requests.reply(replica.contact, BagPopular(5))
        (entry,) = (await publisher.peer.bag_popular_at(replica.peer.uid, Key.from_int(5))).entries
        return pd.Series({"added": taken, "votes": entry.publishers})


# --- rollback: answering what was true once -------------------------------------------------------------------------------


def rollback(n: int = 16, versions: int = 6, seed: int = 1) -> pd.DataFrame:
    """An entry has had so many versions, and some of its five replicas answer the first one, rightly signed, for ever.

    One row for each number of such replicas: the share of readers who see the newest version when they ask `one` replica, drawn at
    random, and when they ask as a peer does (`peer`).
    """
    return simulated(_rollback, n, versions, seed)


async def _rollback(n: int, versions: int, seed: int) -> pd.DataFrame:
    async with Town(seed) as town:
        honest = await town.grow(n)
        author, topic = Author.from_seed(town.rng.randbytes(32)), key_of(b"about")
        values = [bytes(key_of(b"version %d" % i)) for i in range(versions)]
        signatures = [await honest[0].peer.namespace_set(author.private_key, author.public_key, topic, value) for value in values]
        old, newest = Version(values[0], signatures[0], 0), values[-1]
        replicas = [each for each in honest if each.peer.store.keys()]
        readers = [each for each in honest if each not in replicas]
        rows = []
        for villain in [None, *replicas]:
            if villain is not None:
                villain.lie(lambda _, truth: old if isinstance(truth, Version) else truth)
            one = whole = 0
            for reader in readers:
                asked = town.rng.choice(replicas).peer.uid
                one += await reader.peer.namespace_ref_at(asked, author.public_key, topic) == newest
                whole += await reader.peer.namespace_ref(author.public_key, topic) == newest
            rows.append({"one": one / len(readers), "peer": whole / len(readers)})
    return pd.DataFrame(rows, index=pd.RangeIndex(len(rows), name="replicas_rolled_back"))


# --- poisoning: naming peers who do not exist -----------------------------------------------------------------------------


class Textbook:
    """Without the defence: a lookup that asks whoever is said to be nearest, and never asks who said so (`dht.policies.LookupPolicy`)."""

    def __init__(self, target: int, own: int, seeds: list[Contact], *, want: int, alpha: int, now: float) -> None:  # noqa: ARG002
        self._target, self._own, self._want, self._alpha = target, own, want, alpha
        self._known: dict[int, Contact] = {}
        self._state: dict[int, str] = {}
        self._hear(seeds)

    def _hear(self, contacts: list[Contact]) -> None:
        for each in contacts:
            if each.uid is not None and each.uid != self._own:
                self._known.setdefault(each.uid, each)

    def _window(self) -> list[int]:
        return sorted((uid for uid in self._known if self._state.get(uid) != "failed"), key=lambda uid: uid ^ self._target)[: self._want]

    def next(self, now: float) -> Contact | None:  # noqa: ARG002
        if sum(state == "asked" for state in self._state.values()) >= self._alpha:
            return None
        uid = next((uid for uid in self._window() if uid not in self._state), None)
        if uid is None:
            return None
        self._state[uid] = "asked"
        return self._known[uid]

    def replied(self, contact: Contact, hints: list[Contact], now: float) -> None:  # noqa: ARG002
        self._state[contact.uid or 0] = "replied"
        self._hear(hints)

    def failed(self, contact: Contact, now: float) -> None:  # noqa: ARG002
        self._state[contact.uid or 0] = "failed"

    @property
    def finished(self) -> bool:
        return all(self._state.get(uid) == "replied" for uid in self._window())

    @property
    def nearest(self) -> list[Contact]:
        return [self._known[uid] for uid in self._window() if self._state.get(uid) == "replied"]


HOLES = 20  # addresses that swallow whatever is sent to them


def poisoning(n: int = 40, liars: float = 0.3, lookups: int = 12, seed: int = 1) -> pd.DataFrame:
    """A share of the peers answers every question with twenty peers who do not exist, nearer to the target than anybody, at addresses
    that swallow everything.

    One row for a peer with a `textbook` lookup and one for p2pnb's: the share of the five nearest honest peers that its lookups name
    (`right`), how many were asked and the seconds that it took, on average, and contacts in its table that do not exist (`false`).
    """
    return simulated(_poisoning, n, liars, lookups, seed)


async def _poisoning(n: int, liars: float, lookups: int, seed: int) -> pd.DataFrame:
    async with Town(seed, k=8) as town:
        residents = await town.grow(n)
        observers = {"textbook": await town.settle(policies=Policies(lookup=Textbook)), "p2pnb": await town.settle()}
        holes = [(await town.hole()).address for _ in range(HOLES)]
        villains = town.rng.sample(residents, round(n * liars))
        for villain in villains:
            villain.lie(lambda request, truth: _invent(request, truth, holes, town.rng))
        targets = [town.rng.getrandbits(BITS) for _ in range(lookups)]
        rows = {name: await _observed(town, observer, villains, targets) for name, observer in observers.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def _invent(request: Request, truth: Any, holes: list[tuple[str, int]], rng: random.Random) -> Any:
    if not isinstance(request, (Peers, Ref)):
        return truth
    return Nearest(tuple(contact(*hole, request.key ^ rng.getrandbits(200)) for hole in holes))


async def _observed(town: Town, observer: Resident, villains: list[Resident], targets: list[int]) -> dict[str, float]:
    right = wanted = 0
    asked, seconds = [], []
    lying = {each.endpoint.uid for each in villains}
    CAUSE.set("lookup#1")  # a policy decides in calls, never in upkeep
    for target in targets:
        begun = observer.peer.clock()
        with suppress(P2PError):
            lookup = await observer.peer.lookup(Key.from_int(target), want=spec.REPLICATION)
            right += len({each.uid for each in lookup.nearest} & set(town.honest(target, lying, observer)))
            asked.append(lookup.rpcs)
        wanted += len(town.honest(target, lying, observer))
        seconds.append(observer.peer.clock() - begun)
    there = {each.contact for each in town.residents}
    false = sum(each not in there for each in observer.peer.table)
    return {"right": right / wanted, "asked": fmean(asked), "seconds": fmean(seconds), "false": false}
