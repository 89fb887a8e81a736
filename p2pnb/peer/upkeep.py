"""What a peer does unasked, so that records outlive the peers that hold them (the Kademlia paper, sections 2.3 and 2.5).

- Buckets in which nothing was looked up for an hour are refreshed by a lookup, one at a time. The far buckets that a quick
  join left empty are filled (`filling`) one by one too, `idle` seconds apart, and only while this peer has nothing else to do.
- Every hour, at a moment of its own, a peer renews what it published itself, and says so if nobody takes it; where its author
  has written a newer version of an entry elsewhere, it renews that one from then on. Then it hands on what it holds for others
  to the peers that are nearest now, unless somebody handed it the same within the hour: so one of the replicas does the work. It
  believes that of the very part of a record that came, and never for the third time in a row.
- A peer that looks up its own uid is joining, perhaps again and with nothing in its store. If it is among the nearest to a
  record held here, it is given it, by the two nearest that should have it by now: not by those that joined within the hour, since
  they may wait for it themselves. (The paper hands over to whoever is new in the table; but a peer that was only met for the
  first time has its records already, and most are of that kind.)
- A record to whose key 20 peers are nearer is given away, and forgotten only once all its replicas have acknowledged it;
  not by a peer that was one of them when it gave it away, even if it is none any more when the last has answered.
- What is 24 hours old is forgotten.

A hand-over carries the record's age, so nothing lives longer by being moved. All times come from the peer's own clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from contextvars import Context
from functools import partial

from p2pnb import spec
from p2pnb.dht import merge
from p2pnb.dht.signature import version_holds
from p2pnb.dht.store import KINDS, Put, key_of_request, older
from p2pnb.disk.rows import Name, Published
from p2pnb.errors import LocalProtocolError, P2PError
from p2pnb.net.contract import Received
from p2pnb.peer.filling import fill
from p2pnb.peer.records import Records
from p2pnb.peer.report import Renewal, Report
from p2pnb.uid import short, siphashed
from p2pnb.wire.contact import Contact, contact
from p2pnb.wire.messages import BagAdd, NamespaceRef, NamespaceSet, Peers, Reply, Request, Set, Stored, Version

log = logging.getLogger("p2pnb.peer")

TICK = 60.0  # seconds between looks at what is due
SOON = 1.0  # a newcomer is given its records after this long, when it has joined
SCAN = 200  # records that are looked at in one go
WELCOME_AGAIN = 30.0  # seconds within which a newcomer is given its records only once; twice as long each time
HANDERS = 2  # how many of those that have been there for an hour give a record to a newcomer
AT_ONCE = 64  # newcomers that are given records at the same time; uids cost nothing, so anybody could be thousands
MOST_LEFT = 2  # times in a row that a record is left to those who said that they handed it on
REMEMBERED = 4_096  # newcomers of whom it is known when they were welcomed


class Upkeep:
    """The unasked work of one peer. `idle` is the pace of filling far buckets, in seconds; `stop()` ends all of it."""

    def __init__(self, peer: Records, idle: float = 5.0) -> None:
        self.idle = idle
        self._peer: Records = weakref.proxy(peer)  # whose it is: a peer that has ended is gone at once, with all it kept
        self.renewals: dict[Name, Renewal] = {}  # of what this peer published
        self._heard: dict[bytes, dict[bytes, float]] = {}  # what was handed on at each key (`siphashed`), and when
        self._left: dict[bytes, int] = {}  # how many times in a row a key was left to others
        self._welcomed: dict[bytes, tuple[float, float]] = {}  # by uid, `siphashed`: when, and for how long not again
        self._welcoming = 0
        self._to_fill: list[int] = []
        self.refreshes = True  # buckets: not while a launch is about to fill them
        self._stopped = False
        first = TICK * 5 if peer.lasting.published else spec.REPUBLISH  # after a restart nobody knows how late it is
        self._republish_at = peer.clock() + first * peer.rng.uniform(0.5, 1.0)
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = peer.loop.create_task(self._run(), name="upkeep", context=Context())
        self._task.add_done_callback(self._is_over)

    def stop(self) -> None:
        """Ends all of it, at once. Idempotent."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()

    async def ended(self) -> None:
        """Waits until it has, after `stop`."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    def _is_over(self, _: asyncio.Task[None]) -> None:
        self._task = None  # a cancelled task holds on to all that its frames knew

    def fill_far_buckets(self) -> None:
        """Begins to fill the buckets that a join by self-lookup left: soon, and gently."""
        self._to_fill = list(self._peer.table.far_buckets())
        self._peer.rng.shuffle(self._to_fill)
        self._wake.set()

    def answered(self, request: Request, item: Received, uid: int, reply: Reply) -> None:
        """Whoever looks itself up is joining; a record that came with an age, from a peer near it, was handed on by a replica."""
        if isinstance(request, Peers):
            if request.key == uid and (item.link is None or item.link.listens):
                self.joining(contact(item.ip, item.port, uid))
        elif isinstance(request, (Set, BagAdd, NamespaceSet)) and request.age is not None and reply == Stored(True):
            key = key_of_request(request)
            if self._peer.table.nearer(key, uid, self._peer.clock()) < spec.ACCEPTORS:
                self.heard(key, request)

    def joining(self, newcomer: Contact) -> None:
        """A peer that looks itself up: it may be nearer to records that are held here."""
        now = self._peer.clock()
        if self._stopped or newcomer.uid is None or not len(self._peer.store) or self._welcoming >= AT_ONCE:
            return
        name, pause = siphashed(newcomer.uid), WELCOME_AGAIN
        if name in self._welcomed:
            then, pause = self._welcomed[name]
            if now - then < pause:
                return
            pause *= 2
        self._welcomed[name] = (now, pause)
        if len(self._welcomed) > REMEMBERED:
            del self._welcomed[next(iter(self._welcomed))]
        self._welcoming += 1
        self._peer.spawn(self._welcome(newcomer))

    def heard(self, key: int, request: Put) -> None:
        """Another replica handed this on, and it was taken."""
        self._heard.setdefault(siphashed(key), {})[_part(request)] = self._peer.clock()

    async def _run(self) -> None:
        while True:
            pause = self.idle * self._peer.rng.uniform(0.5, 1.5) if self._to_fill else TICK
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):  # `wait_for` of Python 3.11 may swallow the cancellation by `stop`
                    await self._wake.wait()
                self._wake.clear()
                continue  # woken only to take up the pace of filling
            try:
                await self._work()
            except P2PError:
                continue  # nobody to be reached at the moment; what is due stays due
            except Exception as error:  # a mistake of ours: said aloud, and upkeep goes on
                self._peer.loop.call_exception_handler({"message": "upkeep failed", "exception": error})

    async def _work(self) -> None:
        peer, now = self._peer, self._peer.clock()
        peer.store.expire(now)
        peer.lasting.met(peer.table)
        if not self._to_fill:
            for bucket in peer.table.due(now)[:1] if self.refreshes else ():
                await self._refresh(bucket)
        elif not len(peer.requests):
            await fill(peer, self._to_fill.pop())
        if now >= self._republish_at:
            self._republish_at = now + spec.REPUBLISH * peer.rng.uniform(0.9, 1.1)
            await self.republish()

    async def _refresh(self, bucket: int) -> None:
        target = self._peer.table.random_in(bucket, self._peer.rng)
        await self._peer.search(target, Peers(target), want=self._peer.k)

    async def republish(self) -> None:
        """Renews what this peer published, then hands on what it holds and nobody else handed on within the hour."""
        peer = self._peer
        for name, request in list(peer.lasting.published.items()):
            await self._renew(name, request)
        keys = peer.store.keys()
        for count, key in enumerate(keys):
            if count % SCAN == SCAN - 1:
                await asyncio.sleep(0)
            await self._hand_on(key, peer.clock())
        self._left = {each: self._left[each] for each in map(siphashed, keys) if self._left.get(each)}
        now = peer.clock()
        self._heard = {key: parts for key, parts in self._heard.items() if now - max(parts.values()) < spec.REPUBLISH}
        welcomed = self._welcomed.items()
        self._welcomed = {name: (then, pause) for name, (then, pause) in welcomed if now - then < max(2 * pause, spec.REPUBLISH)}

    async def _renew(self, name: Name, request: Published) -> None:
        """Renews what this peer published. That no replica took it is said once, and again if one did meanwhile."""
        key, before = key_of_request(request), self.renewals.get(name)
        report = await self._write(key, request)
        if report.refused and isinstance(request, NamespaceSet):
            newer = await self._newer(key, request)
            if newer is not None and self._peer.published.get(name) is request:
                await self._peer.lasting.publish(newer)
                report = await self._write(key, newer)
        self.renewals[name] = Renewal(self._peer.clock(), report.stored, report.reason)
        if not report.stored and (before is None or before.replicas):
            what = f"{KINDS[type(request)]} {short(key if isinstance(request, Set) else request.key)}"
            log.warning("%s, which %s published, is not renewed: %s", what, short(self._peer.uid), report.reason)

    async def _newer(self, point: int, mine: NamespaceSet) -> NamespaceSet | None:
        """The version that the author has written elsewhere since, if there is one.

        Or here, just before the end of an earlier life: then nobody else renews it. And were the old one renewed beside it, it would be
        read again as soon as the newer one has expired.
        """
        answers, _ = await self._peer.survey(point, NamespaceRef(mine.public_key, mine.key))
        found = (reply for _, reply in answers if isinstance(reply, Version) and reply.sequence > mine.sequence)
        newest = merge.newest(found, partial(version_holds, self._peer.network, mine.public_key, mine.key))
        return None if newest is None else NamespaceSet.of(mine.public_key, mine.key, newest)

    async def _hand_on(self, key: int, now: float) -> None:
        """Gives what is kept at `key` to whoever is nearest now, but for what somebody else handed on within the hour.

        Anybody near the key can say so, whether it gave it to anybody else or not. So that spares only the very part of a record that
        came, and no record is left to others more than `MOST_LEFT` times in a row.
        """
        record = self._peer.store.record(key, now)
        if record is None:
            return
        name = siphashed(key)
        heard = self._heard.get(name, {}) if self._left.get(name, 0) < MOST_LEFT else {}
        due = [each for each in record.requests if now - heard.get(_part(each), -spec.REPUBLISH) >= spec.REPUBLISH * 0.9]
        everywhere = len(due) == len(record.requests)
        self._left[name] = 0 if everywhere else self._left.get(name, 0) + 1
        for request in due:
            report = await self._write(key, older(request, self._peer.clock() - now))  # those before it took their time
            everywhere = everywhere and report.stored - report.own >= report.wanted > 0
        if everywhere and self._peer.table.nearer(key, self._peer.own, now) >= spec.ACCEPTORS:
            self._peer.store.drop(key)

    async def _write(self, key: int, request: Put) -> Report:
        report = Report("upkeep", "upkeep")
        try:
            await self._peer.replicate(key, request, report)
        except P2PError as error:
            report.reason = str(error)
        return report

    async def _welcome(self, newcomer: Contact) -> None:
        try:
            await asyncio.sleep(SOON)
            await self._give(newcomer)
        finally:
            self._welcoming -= 1

    async def _give(self, newcomer: Contact) -> None:
        """Gives a newcomer the records to which it is among the nearest, where this peer is one of those to do it.

        One after the other, and no more once it fails to answer. Whether the table has a place for it does not matter.
        """
        peer, uid = self._peer, newcomer.uid or 0
        for count, key in enumerate(peer.store.keys()):
            if count % SCAN == SCAN - 1:
                await asyncio.sleep(0)
            others = [each.uid or 0 for each in peer.table.nearest(key, peer.replication + 1) if each.uid != uid]
            nearer = sum(1 for each in others if each ^ key < uid ^ key)
            now = peer.clock()
            before = sum(1 for each in others if each ^ key < peer.own ^ key and not self._joined_lately(each, now))
            if nearer >= peer.replication or before >= HANDERS:
                continue
            record = peer.store.record(key, now)
            for request in record.requests if record else ():
                with contextlib.suppress(LocalProtocolError):  # a value that fills a message leaves no place for an age
                    await peer.requests.reply(newcomer, older(request, peer.clock() - now))

    def _joined_lately(self, uid: int, now: float) -> bool:
        """Whether a peer came within the hour, so that it may hold less than it should: nobody has handed on everything since."""
        welcomed = self._welcomed.get(siphashed(uid))
        return welcomed is not None and now - welcomed[0] < spec.REPUBLISH


def _part(request: Put) -> bytes:
    """What tells apart what is kept at one key: nothing (a value), the value (a vote), or the signature (a version)."""
    return b"" if isinstance(request, Set) else request.value if isinstance(request, BagAdd) else request.signature
