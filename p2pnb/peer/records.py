"""What the procedures on records have in common: writing one to the nearest peers, and asking the nearest what they have.

A peer is itself one of the nearest where it is: it answers its own request, as its responder would answer a stranger's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from p2pnb import spec
from p2pnb.dht.deferred import Deferred
from p2pnb.dht.lookup import Lookup
from p2pnb.dht.store import Put
from p2pnb.errors import PeerUnreachable, StoreFull
from p2pnb.peer.cause import UPKEEP
from p2pnb.peer.core import Core
from p2pnb.peer.replication import Replication
from p2pnb.peer.report import Report
from p2pnb.peer.search import Search, Survey
from p2pnb.uid import as_key, short
from p2pnb.wire.contact import Contact
from p2pnb.wire.messages import Nearest, Peers, Reply, Request, Set, Stored

MORE_TRIES = 2  # of a reading that found nothing, or a writing that reached too few, where many did not answer


class Records(Core):
    """Writing to replicas, and reading from several."""

    async def replicate(self, key: int, request: Put, report: Report, found: Search | None = None) -> list[Contact]:
        """Looks up `key` and writes `request` to the `replication` nearest peers, this one included where it is one of them.

        Once one of the nearest has answered, the record travels along with the question to each of those who seem to be the others.
        `found`: it was looked up just now.

        `report` says how it went; returns the contacts that took it. Raises `StoreFull` when no replica did, and
        `PeerUnreachable` when none could be reached.
        """
        writing = Replication(self, request, report, self.patience.seconds)
        search = found or await self._look_up(key, self.replication, writing.ahead)
        candidates = search.lookup.answered(spec.ACCEPTORS)
        report.wanted = wanted = self.replication
        if self._is_one_of(self.replication, key, candidates):
            own = await self._own_answer(writing.aged())
            if isinstance(own, Stored) and own.accepted:
                report.stored, report.own = report.stored + 1, True
                wanted -= 1
            else:
                report.refused += 1
                wanted -= not isinstance(request, Set)
        await writing.write(candidates, wanted)
        if writing.missing and search.troubled:
            await self._write_again(key, report, writing)
        if not report.stored:
            if report.refused:
                raise StoreFull(f"none of the {report.refused} nearest peers took it: they are full, or it is over their quota")
            raise PeerUnreachable("no peer could be reached that would store it", "unreachable")
        return writing.acknowledged

    async def _write_again(self, key: int, report: Report, writing: Replication) -> None:
        """Looks again for those who did not come to speak, and writes to them what is missing, until nothing is."""
        for _ in range(MORE_TRIES):
            found = (await self.search(key, Peers(key), want=spec.ACCEPTORS, again=True)).lookup
            others = [each for each in found.answered(spec.ACCEPTORS) if each not in writing.acknowledged]
            again = Replication(self, writing.aged(), report, self.patience.seconds)
            await again.write(others, writing.missing)
            writing.acknowledged += again.acknowledged
            if not writing.missing:
                return

    async def survey(self, key: int, request: Request) -> tuple[list[tuple[Contact | None, Reply]], Search]:
        """Who of the 5 peers nearest to `key` answers what to `request` (None: this one); a quorum of 3 does where the others are slow.

        Also returns the search that found them. The request travels along with its questions, as a record does in `replicate`.
        Where none of them has the record, and many of those asked on the way did not answer, somebody else may be nearest: it looks again.
        """
        asking = Survey(self, request, self.patience.seconds)
        search = await self._look_up(key, spec.MERGE_PEERS, asking.ahead)
        answers = await self._answers(key, request, asking, search)
        for _ in range(MORE_TRIES):
            has_it = any(not isinstance(reply, Nearest) for _, reply in answers)
            if has_it or not search.troubled:
                break
            search = await self.search(key, Peers(key), want=spec.ACCEPTORS, again=True)
            answers = await self._answers(key, request, Survey(self, request, self.patience.seconds), search)
        return answers, search

    async def _answers(self, key: int, request: Request, asking: Survey, search: Search) -> list[tuple[Contact | None, Reply]]:
        """What the 5 nearest that `search` found answer, this peer included where it is one of them."""
        contacts = search.lookup.answered(spec.MERGE_PEERS)
        answers: list[tuple[Contact | None, Reply]] = []
        if self._is_one_of(spec.MERGE_PEERS, key, contacts):
            answers.append((None, await self._own_answer(request)))
            contacts = contacts[: spec.MERGE_PEERS - 1]
        await asking.ask(contacts, spec.MERGE_QUORUM - len(answers))
        return [*answers, *asking.answers]

    def _is_one_of(self, n: int, key: int, others: Iterable[Contact]) -> bool:
        """Whether this peer is itself one of the `n` nearest to `key`, where the others are these."""
        return self.listens and sum(each.uid is not None and each.uid ^ key < self.own ^ key for each in others) < n

    async def _look_up(self, key: int, want: int, ahead: Callable[[Contact], None]) -> Search:
        """Finds the `want` nearest; has `ahead` called with those who seem to be among them, when they are asked or have answered.

        Where a bucket holds fewer than `want`, nobody knows so many neighbours, and nothing goes ahead.
        """

        def along(lookup: Lookup, whom: Contact) -> None:
            nearest = lookup.leading if lookup.surveyed else []
            if self.listens and nearest and self.own ^ key < (nearest[-1].uid or 0) ^ key:
                nearest.pop()  # that place is our own
            if whom.uid in [each.uid for each in nearest]:
                ahead(whom)

        return await self.search(key, Peers(key), want=want, thrifty=True, along=along if self.k >= want else None)

    def hand_over(self, whom: Contact, request: Put) -> None:
        """Hands a record to `whom`, in the background: what comes of it changes nothing."""
        self.requests.ask(whom, request, lambda *_: None, cause=UPKEEP)

    async def ask_at(self, uid: Any, request: Request) -> Reply:
        """What the peer known as `uid` replies. Looks for it where the table does not have it; raises `PeerUnreachable`."""
        whom = as_key(uid, "a uid").int
        if whom == self.own:
            return await self._own_answer(request)
        known = self.table.get(whom)
        if known is None:
            found = (await self.search(whom, Peers(whom), want=1)).lookup.nearest
            known = next((each for each in found if each.uid == whom), None)
        if known is None:
            raise PeerUnreachable(f"nobody here knows a live peer with the uid {short(whom)}", "unreachable")
        return await self.requests.reply(known, request)

    async def _own_answer(self, request: Request) -> Reply:
        """What this peer itself answers: it may be one of the nearest."""
        ip, port = self.address or ("127.0.0.1", 0)
        answer = self.responder.answer(request, uid=self.own, ip=ip, port=port, now=self.clock())
        if not isinstance(answer, Deferred):
            return answer
        future: asyncio.Future[Reply] = self.loop.create_future()
        answer.then(lambda reply: None if future.done() else future.set_result(reply))
        return await future
