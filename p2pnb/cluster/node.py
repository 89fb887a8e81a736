"""A node, as a cell holds it: the draft's procedures as awaitable calls, and its state as tables.

Every procedure returns a `Call`: it has started, and is awaited for its result. The work is done by the node's peer on the
cluster's thread; a `Node` itself has no state, so it may be kept, passed around and used from anywhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from p2pnb.brief import brief
from p2pnb.cluster.call import Call
from p2pnb.cluster.member import Member
from p2pnb.cluster.results import BagResult, Lookup
from p2pnb.cluster.watch import Last
from p2pnb.dht.namespaces import point_of
from p2pnb.errors import ClusterClosed, NodeDown, PeerUnreachable
from p2pnb.peer.identity import Author
from p2pnb.peer.peer import Peer
from p2pnb.uid import BYTES, Key, as_key, key_of, short
from p2pnb.views import cards, frames, pictures
from p2pnb.views.frames import Frame

if TYPE_CHECKING:
    from p2pnb.cluster.tables import Tables
    from p2pnb.views.widgets.table import Table

T = TypeVar("T")


class Node:
    """One node of a cluster. Get it as `cluster[3]`; do not make it yourself.

    Example: `key = await cluster[3].set(b"hello")`, then `await cluster[9].ref(key)`. All procedures take `timeout=`,
    in seconds, and raise `NodeDown` when the node was killed.
    """

    def __init__(self, cluster: Tables, member: Member) -> None:
        self._cluster = cluster
        self._member = member
        self._calls: list[str] = []

    # --- who it is ----------------------------------------------------------------------------------------------------

    @property
    def position(self) -> int:
        """Its place in the cluster, for good."""
        return self._member.position

    @property
    def uid(self) -> Key:
        """Its name in the network, 32 bytes: `cluster[node.uid]` is the node again."""
        return self._member.uid

    @property
    def ip(self) -> str:
        """The address at which it listens, or did last."""
        return self._member.ip

    @property
    def port(self) -> int:
        """The port at which it listens, or did last."""
        return self._member.port

    @property
    def alive(self) -> bool:
        """Whether it runs: neither killed nor closed."""
        return self._member.alive

    @property
    def peer(self) -> Peer:
        """The peer itself, for `cluster.run` and for experiments: touch it on the cluster's own loop only. Raises `NodeDown`."""
        return self._member.living()

    # --- the draft's procedures -----------------------------------------------------------------------------------------

    def connect(self, ip: str, port: int, *, timeout: float | None = None) -> Call[bool]:
        """Makes sure that this node knows the peer at `ip` and `port`; False when it cannot, and `node.last.reason` says why.

        Example: `await node.connect("192.168.1.5", 9000)`.
        """
        return self._call("connect", lambda peer: peer.connect(ip, port), timeout)

    def bootstrap(self, *, timeout: float | None = None) -> Call[None]:
        """Fills the routing table from the peers it knows: its surroundings, then each bucket farther away.

        Example: `await node.bootstrap()`.
        """
        return self._call("bootstrap", lambda peer: peer.bootstrap(), timeout)

    def set(self, value: bytes, *, timeout: float | None = None) -> Call[Key]:
        """Stores up to 249,996 bytes at the nearest peers to their SHA-256; the result is that key.

        Raises `ValueTooLarge`, `StoreFull` when no replica took it, `PeerUnreachable`. `node.last.stored`: how many did.

        Example: `key = await node.set(b"hello")`.
        """
        return self._call("set", lambda peer: peer.set(value), timeout)

    def ref(self, key: bytes | str, *, timeout: float | None = None) -> Call[bytes]:
        """The value under `key` (32 bytes or 64 hex digits), verified. Raises `NotFound`.

        Example: `value = await node.ref(key)`.
        """
        return self._call("ref", lambda peer: peer.ref(key), timeout)

    def bag_publish(self, key: bytes | str, value: bytes, *, timeout: float | None = None) -> Call[None]:
        """Adds `value`, 32 bytes, to the bag of `key`.

        Example: `await node.bag_publish(key_of(b"cats"), key)`.
        """
        return self._call("bag_publish", lambda peer: peer.bag_publish(key, value), timeout)

    def bag_popular(self, key: bytes | str, *, timeout: float | None = None) -> Call[BagResult]:
        """The values of the bag with most publishers, best first.

        Example: `popular = await node.bag_popular(key_of(b"cats"))`.
        """
        return self._call("bag_popular", lambda peer: BagResult.of(peer.bag_popular(key), key), timeout)

    def bag_recent(self, key: bytes | str, *, timeout: float | None = None) -> Call[BagResult]:
        """The values of the bag that were published last, newest first.

        Example: `recent = await node.bag_recent(key_of(b"cats"))`.
        """
        return self._call("bag_recent", lambda peer: BagResult.of(peer.bag_recent(key), key), timeout)

    def bag_sample(self, key: bytes | str, *, timeout: float | None = None) -> Call[BagResult]:
        """Values of the bag drawn at random, none twice.

        Example: `sample = await node.bag_sample(key_of(b"cats"))`.
        """
        return self._call("bag_sample", lambda peer: BagResult.of(peer.bag_sample(key), key), timeout)

    def bag_popular_at(self, uid: bytes | str, key: bytes | str, *, timeout: float | None = None) -> Call[BagResult]:
        """What the peer known as `uid` says is popular, alone.

        Example: `await node.bag_popular_at(cluster[5].uid, key_of(b"cats"))`.
        """
        return self._call("bag_popular_at", lambda peer: BagResult.of(peer.bag_popular_at(uid, key), key), timeout)

    def bag_recent_at(self, uid: bytes | str, key: bytes | str, *, timeout: float | None = None) -> Call[BagResult]:
        """What the peer known as `uid` says is recent, alone.

        Example: `await node.bag_recent_at(cluster[5].uid, key_of(b"cats"))`.
        """
        return self._call("bag_recent_at", lambda peer: BagResult.of(peer.bag_recent_at(uid, key), key), timeout)

    def bag_sample_at(self, uid: bytes | str, key: bytes | str, *, timeout: float | None = None) -> Call[BagResult]:
        """A sample that the peer known as `uid` draws, alone.

        Example: `await node.bag_sample_at(cluster[5].uid, key_of(b"cats"))`.
        """
        return self._call("bag_sample_at", lambda peer: BagResult.of(peer.bag_sample_at(uid, key), key), timeout)

    def namespace_set(
        self,
        private_key: Any,
        public_key: Any,
        key: bytes | str,
        value: bytes,
        sequence: int | None = None,
        *,
        timeout: float | None = None,
    ) -> Call[bytes]:
        """Signs and stores the next version of an entry; the result is its signature, 64 bytes.

        Raises `StaleSequence` where a newer version exists, or one with the same `sequence` and a larger value.

        Example: `signature = await node.namespace_set(author.private_key, author.public_key, key_of(b"about"), key)`.
        """
        return self._call(
            "namespace_set", lambda peer: peer.namespace_set(private_key, public_key, key, value, sequence), timeout
        )

    def namespace_ref(
        self, public_key: Any, key: bytes | str, signature: bytes | None = None, *, timeout: float | None = None
    ) -> Call[Key]:
        """The newest valid version of an entry, or the one that `signature` names; 32 bytes. Raises `NotFound`.

        Example: `await node.namespace_ref(author.public_key, key_of(b"about"))`.
        """
        return self._call("namespace_ref", lambda peer: _as_key(peer.namespace_ref(public_key, key, signature)), timeout)

    def namespace_ref_at(
        self, uid: bytes | str, public_key: Any, key: bytes | str, signature: bytes | None = None, *, timeout: float | None = None
    ) -> Call[Key]:
        """As `namespace_ref`, but what the peer known as `uid` has, alone.

        Example: `await node.namespace_ref_at(cluster[5].uid, author.public_key, key_of(b"about"))`.
        """
        return self._call("namespace_ref_at", lambda peer: _as_key(peer.namespace_ref_at(uid, public_key, key, signature)), timeout)

    def namespace(self, author: Author) -> Namespace:
        """The namespace of `author`, with names instead of keys: `await node.namespace(author).set("about", value32)`.

        Example: `about = node.namespace(Author.create())`.
        """
        return Namespace(self, author)

    def lookup(self, target: bytes | str, *, timeout: float | None = None) -> Call[Lookup]:
        """The k nearest peers to `target`, and how they were found: `.nearest`, `.hops`, `.rpcs`, `.frame()`.

        Example: `trace = await node.lookup(key)`.
        """
        return self._call("lookup", lambda peer: self._looked_up(peer, target), timeout)

    async def _looked_up(self, peer: Peer, target: bytes | str) -> Lookup:
        return Lookup(await peer.lookup(target), self._cluster.position_of)

    # --- what it has ----------------------------------------------------------------------------------------------------

    def routing(self) -> Frame:
        """The routing table: a row a contact, `cached` marks the replacement caches. Ages in seconds, round trips in ms.

        Example: `node.routing().query("not cached")`.
        """
        return frames.routing(self._cluster._routing_rows(self._member))

    def lookups(self) -> Frame:
        """The lookups that this node has finished, a row each, the newest 256: target, hops, requests, failures, duration, cause.

        `found` says whether a record was found, and is missing for a lookup of nodes only. Empty while the node is down.

        Example: `node.lookups()`.
        """
        return frames.lookups(self._cluster._on_thread(lambda: self._cluster._lookups(self._member)))

    def published(self) -> Frame:
        """What this node set itself and renews each hour: a row a record, its kind "value", "bag" or "namespace".

        `renewed_s` is how long ago that was, `replicas` how many took it then, `trouble` why none did; missing before the first time. What
        nobody renews is gone within a day. Empty while the node is down.

        Example: `node.published().query("replicas == 0")`.
        """
        return frames.published(self._cluster._on_thread(lambda: self._cluster._published(self._member)))

    def table(self, key: bytes | str | None = None) -> Table:
        """The routing table as a live widget: its buckets, how fresh each contact is, and the row into which `key` falls.

        Example: `node.table(key)`.
        """
        from p2pnb.views.widgets.table import Table  # noqa: PLC0415

        cluster, member = self._cluster, self._member

        def changed() -> object:
            peer = member.peer
            return peer and (peer.requests.count, peer.answered)

        return Table(lambda: cluster._node_summary(member), changed, cluster.k, None if key is None else as_key(key), cluster._stage)

    @property
    def last(self) -> Last:
        """What the last call of this node did: replicas that took a record, why a `connect` failed, the messages."""
        return self._cluster._last_of(self._member, self._calls[-1] if self._calls else "")

    # --- how -------------------------------------------------------------------------------------------------------------

    def _call(self, name: str, work: Callable[[Peer], Coroutine[Any, Any, T]], timeout: float | None) -> Call[T]:
        call = self._cluster._start(self._run(work), name, on=f"cluster[{self.position}]", timeout=timeout)
        self._calls[:] = [call.cause]
        return call

    async def _run(self, work: Callable[[Peer], Coroutine[Any, Any, T]]) -> T:
        peer = self._member.living()
        try:
            return await work(peer)
        except PeerUnreachable as error:
            if error.reason == "closed" and not self.alive:
                raise NodeDown(f"node {self.position} was killed while it did this") from None
            raise

    def __repr__(self) -> str:
        state = ", closed" if self._cluster._closed else "" if self.alive else ", killed"
        return f"<node {self.position} · {short(self.uid)} at {self.ip}:{self.port}{state}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and other._member is self._member

    def __hash__(self) -> int:
        return hash(self.uid)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        try:
            row, rows = self._cluster._node_summary(self._member)
        except ClusterClosed:
            return {"text/plain": repr(self)}
        return cards.mimebundle(*cards.node_card(row, picture=pictures.routing_table(rows, self._cluster.k, own=row["uid"])))


class Namespace:
    """An author's namespace as one node sees it. Names are texts, or bytes: 32 of them are a key. Values are 32 bytes.

    Example: `about = node.namespace(Author.create())`.
    """

    def __init__(self, node: Node, author: Author) -> None:
        if not isinstance(author, Author):
            raise brief(TypeError(f"a namespace belongs to an Author: node.namespace(Author.create()), not {type(author).__name__}"))
        self.node = node
        self.author = author

    def set(self, name: str | bytes, value: bytes, sequence: int | None = None, *, timeout: float | None = None) -> Call[bytes]:
        """Signs and stores the next version of `name`; the result is the signature.

        Example: `signature = await namespace.set("about", key)`.
        """
        author = self.author
        return self.node.namespace_set(author.private_key, author.public_key, as_name(name), value, sequence, timeout=timeout)

    def ref(self, name: str | bytes, signature: bytes | None = None, *, timeout: float | None = None) -> Call[Key]:
        """The newest valid version of `name`, or the one that `signature` names. Raises `NotFound`.

        Example: `value = await namespace.ref("about")`.
        """
        return self.node.namespace_ref(self.author.public_key, as_name(name), signature, timeout=timeout)

    def key(self, name: str | bytes) -> Key:
        """Where in the 256-bit space the entry lives: SHA-256 of the public key and the name's key. For `cluster.holders`.

        Example: `cluster.holders(namespace.key("about"))`.
        """
        return Key.from_int(point_of(self.author.public_key, as_name(name).int))

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        summary = {"public_key": self.author.public_key, "node": self.node.position, "writable": True}
        return cards.mimebundle(*cards.namespace_card(summary))

    def __repr__(self) -> str:
        return f"<namespace of {short(self.author.public_key)} at node {self.node.position}>"


async def _as_key(value: Awaitable[bytes]) -> Key:
    return Key(await value)


def as_name(name: Any) -> Key:
    """The key of an entry: of its name, a text or bytes of another length than 32, the SHA-256; 32 bytes are the key itself.

    Raises `TypeError` for anything else.
    """
    if isinstance(name, str):
        return key_of(name.encode())
    if isinstance(name, (bytes, bytearray, memoryview)) and len(name) != BYTES:
        return key_of(name)
    return as_key(name, "the key of an entry")
