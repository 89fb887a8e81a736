"""The draft's bag procedures. A bag is what many publishers associate with one key; nobody owns it.

A bag lives at the peers nearest to its key. Each of those counts the votes that it heard of itself, one for a publisher
and value, and none can be believed alone: a reader asks five and merges (`dht.merge`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from p2pnb import spec
from p2pnb.dht import merge
from p2pnb.dht.expiry import handed_on
from p2pnb.dht.merge import MergedEntry
from p2pnb.peer.records import Records
from p2pnb.peer.values import as_record_value
from p2pnb.uid import as_key, short
from p2pnb.wire.contact import Contact
from p2pnb.wire.messages import Bag, BagAdd, BagPopular, BagQuery, BagRecent, BagSample
from p2pnb.words import counted


class BagResult(list[bytes]):
    """Values of a bag, each 32 bytes, best first. `entries` has for each its publishers, age and how many replicas list it."""

    def __init__(self, kind: str, entries: Iterable[MergedEntry]) -> None:
        self.kind = kind
        self.entries = list(entries)
        super().__init__(entry.value for entry in self.entries)

    def __repr__(self) -> str:
        shown = (
            f"{short(entry.value)} {counted(entry.publishers, 'publisher')}, {entry.age} s old, "
            f"listed by {entry.listed_by} of {entry.of}"
            for entry in self.entries
        )
        return f"[{self.kind}: " + "; ".join(shown) + "]"


class Bags(Records):
    """`bag_publish`, and `bag_popular`, `bag_recent`, `bag_sample` with their `-at` forms."""

    async def bag_publish(self, key: bytes | str, value: bytes) -> None:
        """Adds `value`, 32 bytes, to the bag of `key` (the draft, `peer-bag-publish`), and renews the vote each hour.

        Raises `StoreFull` when no replica took it, `PeerUnreachable` when none could be reached.

        Example: `await peer.bag_publish(key, value32)`.
        """
        topic, octets = as_key(key), as_record_value(value)
        report = self._begin("bag_publish")
        request = BagAdd(topic.int, octets)
        await self.replicate(topic.int, request, report)
        await self.lasting.publish(request)

    async def bag_popular(self, key: bytes | str) -> BagResult:
        """The values with most publishers, best first (the draft, `peer-bag-popular`). Empty where nobody published.

        Example: `await peer.bag_popular(key)`.
        """
        bags = await self._bags(BagPopular(as_key(key).int), "bag_popular")
        return BagResult("popular", merge.popular(bags) if self.policies is None else self.policies.popular(bags))

    async def bag_recent(self, key: bytes | str) -> BagResult:
        """The values published last, newest first (the draft, `peer-bag-recent`).

        Example: `await peer.bag_recent(key)`.
        """
        return BagResult("recent", merge.recent(await self._bags(BagRecent(as_key(key).int), "bag_recent")))

    async def bag_sample(self, key: bytes | str) -> BagResult:
        """Values drawn at random, none twice (the draft, `peer-bag-sample`).

        Example: `await peer.bag_sample(key)`.
        """
        return BagResult("sample", merge.sample(await self._bags(BagSample(as_key(key).int), "bag_sample"), self.rng))

    async def bag_popular_at(self, uid: bytes | str, key: bytes | str) -> BagResult:
        """As `bag_popular`, but what the peer known as `uid` says, alone (the draft, `peer-bag-popular-at`).

        Example: `await peer.bag_popular_at(uid, key)`.
        """
        return await self._bag_at("popular", uid, BagPopular(as_key(key).int))

    async def bag_recent_at(self, uid: bytes | str, key: bytes | str) -> BagResult:
        """As `bag_recent`, but what the peer known as `uid` says, alone (the draft, `peer-bag-recent-at`).

        Example: `await peer.bag_recent_at(uid, key)`.
        """
        return await self._bag_at("recent", uid, BagRecent(as_key(key).int))

    async def bag_sample_at(self, uid: bytes | str, key: bytes | str) -> BagResult:
        """As `bag_sample`, but what the peer known as `uid` says, alone (the draft, `peer-bag-sample-at`).

        Example: `await peer.bag_sample_at(uid, key)`.
        """
        return await self._bag_at("sample", uid, BagSample(as_key(key).int))

    async def _bags(self, query: BagQuery, procedure: str) -> list[Bag]:
        report = self._begin(procedure)
        began = self.clock()
        answers, _ = await self.survey(query.key, query)
        bags = [reply for _, reply in answers if isinstance(reply, Bag)]
        report.facts.update(asked=len(answers), holders=len(bags))
        self._mend(query.key, bags, [whom for whom, reply in answers if whom is not None and not isinstance(reply, Bag)], began)
        return bags

    def _mend(self, key: int, bags: list[Bag], without: list[Contact], began: float) -> None:
        """Hands the most popular values to the nearest of those that have no such bag, in the background.

        Only what a quorum lists, so that no liar's invention is spread; with its age, so that nothing lives longer for it; and it is
        no vote. One reading mends one replica: whoever only claims to have nothing gets no more than this out of it.
        """
        if len(bags) < spec.MERGE_QUORUM or not without:
            return
        nearest = min(without, key=lambda whom: (whom.uid or 0) ^ key)
        listed = [entry for entry in merge.popular(bags) if entry.listed_by >= spec.MERGE_QUORUM]
        for entry in listed[: spec.MAX_UNANSWERED]:
            age = handed_on(entry.age + 1, self.clock() - began)  # it was rounded down
            if age is not None:
                self.hand_over(nearest, BagAdd(key, entry.value, age))

    async def _bag_at(self, kind: str, uid: Any, query: BagQuery) -> BagResult:
        self._begin(f"bag_{kind}_at")
        reply = await self.ask_at(uid, query)
        entries = reply.entries if isinstance(reply, Bag) else ()
        return BagResult(kind, [MergedEntry(each.value, each.publishers, each.age, 1, 1) for each in entries])
