"""What is checked after every event of the loop, at the nodes that it touched. Between two events nothing can go wrong unseen.

Nobody is asked which node an event was for: the containers in which a node keeps its contacts, records, requests and links say
what was changed in them (`noted.py`), and whatever was changed is checked before the next event happens. What goes wrong by
nothing happening has its time in a heap, and is found by the first event after it:

- a contact enters a table only when this node has had a link to that uid at that address, where somebody really listens; in its own
  bucket, which has at most k, and once;
- of what a store was changed in, everything (`keeping.py`);
- every request ends within 5 s of the node's own clock, whatever that makes of true time; it is written twice at the most; and the
  reply that ends it was given by the one who was asked, to that very request;
- a hand-over says an age at which somebody really has it; what a node gives away was taken by all of its replicas before;
- the shared timer looks at everybody in time;
- of several links to one uid at most one is open, the one that is used, and the others go within their time.

`honest` and `skewed` say of the run whether nobody lies, and whether some clock is or was wrong: then who tells what is not known.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from p2pnb import spec
from p2pnb.cluster.member import Member
from p2pnb.cluster.network import Network
from p2pnb.dht.deferred import Deferred
from p2pnb.dht.store import Record
from p2pnb.errors import P2PError
from p2pnb.net import ends
from p2pnb.net.carrier import TICK
from p2pnb.net.link import CLOSED, LONG_FAREWELL, OPEN, OPENING, RETIRED
from p2pnb.uid import common_prefix_length
from p2pnb.wire.messages import BagAdd, NamespaceSet, Request, Set, Stored, Welcome
from tests.simulation.keeping import HAIR, Item, Keeping, Vote, item_of
from tests.simulation.noted import NotedBuckets, NotedDict, WatchedLoop

LIMIT = 5.0  # the draft's seconds for a request, and not what the code under test makes of them
LOOK = 2.0  # seconds between two looks at how long links have been as they are
LATELY = 600.0  # seconds within which the replicas of what is given away have taken it
MOST_TASKS = 200  # of one peer: 64 newcomers that are given records, 64 known from an earlier life, and a call here and there
GRACE = {OPENING: spec.HANDSHAKE_TIMEOUT, RETIRED: LONG_FAREWELL, CLOSED: ends.FAREWELL}  # and two ticks of the shared timer


class Watch:
    """Watches all nodes of `network`, each in each of its lives. `say` is told what is wrong."""

    def __init__(self, network: Network, loop: WatchedLoop, say: Callable[[str], None]) -> None:
        self.network = network
        self.loop = loop
        self.say = say
        self.honest, self.skewed = True, False
        self.room: tuple[int, int] | None = None  # bytes that every node has, in all and for a publisher an hour; None: as it is made
        self.events = 0
        self.real: set[tuple[int, str, int]] = set()  # everybody who ever listened
        self.lives: dict[int, Life] = {}  # by position, the present or the last one
        self.stores: dict[int, Keeping] = {}  # by identity
        self.slowest: dict[int, float] = {}  # of each node, the rate of its clock when it was slowest
        self.promised: dict[int, set[Item]] = {}  # what each node has published, and must renew
        self.renewed: dict[tuple[int, Item], float] = {}  # when it last did
        self._dirty: dict[Life | Keeping, None] = {}
        self._due: list[tuple[float, int, Life, Any]] = []  # requests that are open, by when they must have ended
        self._serial = 0
        self._look_at = 0.0
        self._given: dict[Any, list[Any]] = {}  # replies, by who gave them to whom on which request, until they arrive
        self._youngest: dict[Item, float] = {}  # when the newest copy of each item that ever was anywhere was set
        self._cast: set[Vote] = set()  # every vote in a bag
        self._closing: dict[Any, float] = {}  # links that have closed, and since when
        loop.after = self._after

    @property
    def now(self) -> float:
        return self.loop.clock

    # --- after every event ------------------------------------------------------------------------------------------------

    def _after(self, _: Any) -> None:
        self.events += 1
        while self._dirty:
            touched, _ = self._dirty.popitem()
            touched.check()
        now = self.now
        while self._due and self._due[0][0] < now:
            _, _, life, asked = heapq.heappop(self._due)
            life.overdue(asked)
        if self.lives and now >= self._look_at:
            self._look_at = now + LOOK
            self.sweep()

    def touched(self, what: Life | Keeping) -> None:
        self._dirty[what] = None

    def await_end(self, until: float, life: Life, asked: Any) -> None:
        self._serial += 1
        heapq.heappush(self._due, (until + 2 * HAIR, self._serial, life, asked))

    def limit(self, position: int) -> float:
        """How long a request of this node may take, in true seconds: 5 of its own."""
        return LIMIT / self.slowest.get(position, 1.0)

    def sweep(self) -> None:
        """How long everything has been as it is."""
        for life in self.lives.values():
            if life.member.peer is life.peer:
                life.sweep()
        self._closing = {link: since for link, since in self._closing.items() if link in link._endpoint._links}
        assert self.network.carrier is not None
        first = min(self.network.carrier.sweep._ticks, default=None)
        if first is not None and first * TICK < self.now - 2 * TICK:
            self.say(f"whoever was to be looked at {self.now - first * TICK:.2f} s ago still waits for the shared timer")

    # --- lives --------------------------------------------------------------------------------------------------------------

    def watch(self, member: Member) -> None:
        """A node has begun a life, or was changed in the middle of one."""
        position, peer = member.position, member.living()
        self.real.add((member.uid.int, member.ip, member.port))
        before = self.lives.get(position)
        if before is not None and before.peer is peer:
            return
        if before is None or before.member is not member:  # one who could not join leaves its position to the next
            before = None
            self.promised.pop(position, None)
            self.slowest.pop(position, None)
            member.skew = partial(self._skewed, position, member.skew)  # type: ignore[method-assign]
            member.lose_disk = partial(self._lost_disk, position, member.lose_disk)  # type: ignore[method-assign]
        life = self.lives[position] = Life(self, member)
        keeping = self.stores.get(id(peer.store))
        if keeping is None:
            keeping = Keeping(peer.store, position, self.touched, self.say, self._taken, partial(self._thrown, life), self._cast)
            self.stores[id(peer.store)] = keeping
        if self.room is not None:
            peer.store.quota.total, peer.store.quota._publishers.limit = self.room
        keeping.clock = lambda: member.living().clock()
        keeping.thrown = partial(self._thrown, life)
        life.keeping = keeping
        if before is not None:
            self._come_back(before, life)

    def _come_back(self, before: Life, life: Life) -> None:
        """What was acknowledged, and is not to have been lost with the disk, is there again."""
        now = life.peer.clock()
        if before.lost_disk:
            return
        before.keeping.store.expire(now)
        for item, kept in before.keeping.acknowledged.items():
            if before.keeping.has(item, kept) and not life.keeping.has(item, kept):
                self.say(f"node {life.member.position} had acknowledged a {item[0]}, and has not got it after its restart")

    def _skewed(self, position: int, skew: Callable[[float, float], None], ahead: float, rate: float) -> None:
        self.skewed = True
        self.slowest[position] = min(self.slowest.get(position, 1.0), rate)
        skew(ahead, rate)

    def _lost_disk(self, position: int, lose: Callable[[], None]) -> None:
        self.lives[position].lost_disk = True
        self.promised.pop(position, None)
        lose()

    # --- what passes between them -----------------------------------------------------------------------------------------

    def given(self, giver: int, asker: int | None, request: Request, reply: Any) -> Any:
        self._given.setdefault((giver, asker, request), []).append(reply)
        return reply

    def heard(self, life: Life, asked: Any, reply: Any) -> None:
        """A request was answered, in the eyes of who asked."""
        giver = reply.uid if isinstance(reply, Welcome) else asked.contact.uid
        replies = self._given.get((giver, life.peer.own, asked.request), [])
        if reply in replies:
            replies.remove(reply)
        elif self.honest and not (isinstance(reply, Stored) and not reply.accepted):  # a disk may refuse what its node would take
            self.say(f"node {life.member.position} took for the reply to a request what was none: {asked.request!r:.60} -> {reply!r:.60}")
        if isinstance(reply, Stored) and reply.accepted:
            life.taken.setdefault(item_of(asked.request), {})[giver] = self.now

    def _taken(self, item: Item, age: float) -> None:
        self._youngest[item] = max(self._youngest.get(item, 0.0), self.now - age)

    def handed(self, life: Life, request: Any) -> None:
        """A request that stores something was made: with an age it is a hand-over, without one its publisher's."""
        item = item_of(request)
        if request.age is None:
            self.renewed[life.member.position, item] = self.now
        elif not self.skewed and self.now - request.age > self._youngest.get(item, self.now) + HAIR:
            late = self.now - request.age - self._youngest[item]
            self.say(f"node {life.member.position} hands a {item[0]} on and says that it is {late:.0f} s younger than any copy")

    def _thrown(self, life: Life, record: Record) -> None:
        """A record is given away for good."""
        replication = life.peer.replication
        for request in record.requests:
            took = [when for when in life.taken.get(item_of(request), {}).values() if when >= self.now - LATELY]
            if len(took) < replication:
                self.say(f"node {life.member.position} throws away what {len(took)} peers have taken from it, and not {replication}")


class Witness:
    """Hears what a node answers, before anybody lies about it."""

    def __init__(self, true: Any, given: Callable[..., Any]) -> None:
        self._true = true
        self._given = given
        self.refused = true.refused

    def answer(self, request: Request, *, uid: int | None, **asker: Any) -> Any:
        reply = self._true.answer(request, uid=uid, **asker)
        given = partial(self._given, uid, request)
        return reply.map(given) if isinstance(reply, Deferred) else given(reply)


class Life:
    """One node from a start to its end."""

    keeping: Keeping

    def __init__(self, watch: Watch, member: Member) -> None:
        peer, endpoint = member.living(), member.endpoint
        assert endpoint is not None
        self.member, self.peer, self.endpoint = member, peer, endpoint
        self.began = watch.now
        self.lost_disk = False
        self.taken: dict[Item, dict[int, float]] = {}  # who has taken what from this node, and when
        self._watch = watch
        self._came: list[tuple[Any, int, Any]] = []
        self._met: set[tuple[int, str, int]] = set()
        self._since: dict[Any, float] = {}  # requests that are open
        self._written: Counter[Any] = Counter()
        self._linked = False
        peer.table._live = NotedBuckets(peer.table._live, self._entered)
        peer.table._cache = NotedBuckets(peer.table._cache, self._entered)
        requests = peer.requests
        requests._open = NotedDict(requests._open, self._asked, self._ended)
        self._true_enqueue = requests._enqueue
        requests._enqueue = self._enqueue  # type: ignore[method-assign]
        endpoint._links = NotedDict(endpoint._links, self._changed_links, self._changed_links)
        endpoint._by_uid = NotedDict(endpoint._by_uid, self._proven, self._changed_links)
        peer.responder = Witness(peer.responder, partial(watch.given, peer.own))

    # --- what happens to it ---------------------------------------------------------------------------------------------

    def _entered(self, buckets: Any, bucket: int, contact: Any) -> None:
        self._came.append((buckets, bucket, contact))
        self._watch.touched(self)

    def _asked(self, asked: Any, _: None) -> None:
        now = self._watch.now
        self._since[asked] = now
        self._watch.await_end(now + self._watch.limit(self.member.position), self, asked)
        asked.done = partial(self._settled, asked, asked.done)
        if isinstance(asked.request, (Set, BagAdd, NamespaceSet)):
            self._watch.handed(self, asked.request)

    def _enqueue(self, asked: Any, link: Any) -> None:
        self._written[asked] += 1
        if self._written[asked] > 2:
            self._watch.say(f"node {self.member.position} asks the same {self._written[asked]} times: {asked.request!r:.80}")
        self._true_enqueue(asked, link)

    def _ended(self, asked: Any) -> None:
        took = self._watch.now - self._since.pop(asked)
        self._written.pop(asked, None)
        if took > self._watch.limit(self.member.position) + HAIR:
            self._watch.say(f"a request of node {self.member.position} took {took:.3f} s to end")

    def _settled(self, asked: Any, done: Callable[[Any, Any], None], contact: Any, outcome: Any) -> None:
        if not isinstance(outcome, P2PError):
            self._watch.heard(self, asked, outcome)
        done(contact, outcome)

    def _proven(self, uid: int, link: Any) -> None:
        self._met.add((uid, link.ip, link.port))
        self._changed_links()

    def _changed_links(self, *_: Any) -> None:
        self._linked = True
        self._watch.touched(self)

    # --- after the event ------------------------------------------------------------------------------------------------

    def check(self) -> None:
        if self._came:
            came, self._came = self._came, []
            for each in came:
                self._check_contact(*each)
        if self._linked:
            self._linked = False
            if not self.endpoint.closed:
                self._check_links()

    def _check_contact(self, buckets: Any, bucket: int, contact: Any) -> None:
        who = f"in the table of node {self.member.position} stands {contact.ip}:{contact.port}"
        known = (contact.uid, contact.ip, contact.port)
        if known not in self._watch.real:
            self._watch.say(f"{who}, where that uid never was")
        if known not in self._met and not any((link.uid, link.ip, link.port) == known for link in self.endpoint._links):
            self._watch.say(f"{who}, whom it has never met there")
        if common_prefix_length(self.peer.own, contact.uid) != bucket or contact.uid == self.peer.own:
            self._watch.say(f"{who}, in a bucket that is not its own")
        start, end = buckets.span(bucket)
        uids = [each.uid for each in buckets.contacts[start:end]]
        if len(uids) > self.peer.k or uids.count(contact.uid) > 1:
            self._watch.say(f"{who}, twice, or in a bucket that has {len(uids)}, more than {self.peer.k}")

    def _check_links(self) -> None:
        endpoint, say = self.endpoint, self._watch.say
        for link in endpoint._by_uid.values():
            if link._state not in (OPEN, RETIRED) or link not in endpoint._links:
                say(f"node {self.member.position} would send on a link that has ended, to {link.ip}:{link.port}")
        for link in endpoint._links:
            if link._state == OPEN and endpoint._by_uid.get(link.uid) is not link:
                say(f"node {self.member.position} has two open links to {link.ip}:{link.port}")

    def overdue(self, asked: Any) -> None:
        """A request had its time."""
        since = self._since.get(asked)
        if since is None or self.member.peer is not self.peer:
            return
        until = since + self._watch.limit(self.member.position)
        if until + HAIR < self._watch.now:
            self._watch.say(f"node {self.member.position} has waited {self._watch.now - since:.3f} s for {asked.contact}")
        else:
            self._watch.await_end(until, self, asked)  # its clock has become slower meanwhile

    def sweep(self) -> None:
        watch, now = self._watch, self._watch.now
        for link in self.endpoint._links:
            state = link._state
            if state == OPEN or link.frozen:
                continue
            since = link._since if state != CLOSED else watch._closing.setdefault(link, now)
            if now - since > GRACE[state] + 2 * TICK + HAIR:
                word = {OPENING: "opening", RETIRED: "retired", CLOSED: "closed"}[state]
                watch.say(f"a link of node {self.member.position} to {link.ip}:{link.port} has been {word} for {now - since:.1f} s")
        if len(self.peer._tasks) > MOST_TASKS:
            watch.say(f"node {self.member.position} has {len(self.peer._tasks)} tasks")
