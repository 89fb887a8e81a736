"""An endpoint: one node's presence on a network. `recv` and `send` for a peer, links and dials behind them.

It decides which link a message takes, and whom to dial; it never looks into a message. What follows from "a link belongs to
the uid proven on it, never to an address":

- links are found by uid. Where two ends dialled each other at the same time, both keep the link that the smaller uid dialled;
  else the newest link is kept, since the other end would not have dialled had its old one been alive. The other link retires:
  nothing new is asked on it, and it ends once it is idle, so that no request is lost;
- a dial goes to an address, and everybody who wants that address waits for the same one. Each says whom he expects there. Who
  expects another uid than the one that is proven fails, and a link that nobody expected is closed;
- whoever waits for a uid is served by any link to it, also by one that comes in meanwhile.

`kill`, `wall` and `unwall` are for experiments: they break things in the ways in which real machines and cables break.
"""

from __future__ import annotations

import asyncio
import errno
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Any

from p2pnb import spec
from p2pnb.address import is_dialable
from p2pnb.errors import PeerUnreachable
from p2pnb.net import reasons
from p2pnb.net.carrier import Address, Carrier, Listener, clock_of
from p2pnb.net.contract import Lost, Opened, Received
from p2pnb.net.dealings import Dealings
from p2pnb.net.held import Held
from p2pnb.net.inbox import Inbox
from p2pnb.net.link import Link
from p2pnb.net.sending import Dial, Sending
from p2pnb.uid import short
from p2pnb.wire.channel import Channel, NoiseChannel, PlainChannel
from p2pnb.wire.messages import is_request
from p2pnb.wire.noise import StaticKey
from p2pnb.wire.parcel import Parcel, ParcelChannel, opened
from p2pnb.wire.sexp import dumps, loads
from p2pnb.words import counted

STALL_TIMEOUT = 4.5  # seconds: a reader that took nothing for so long, or up to twice that, is reset


class Endpoint:
    """One node on `carrier`. `identity` is its static key, or, on carriers without encryption, any uid (0 to 2^256-1).

    `port` 0 takes any free port; `ports` are tried in order instead. With `listen=False` it is a client: it dials, and is never
    listed. `network` is the name that both ends of every link must have in common. With `codec=False` it is given messages,
    not data, and hands them over as they are: where all ends are in one process and nobody encrypts.
    """

    def __init__(
        self,
        carrier: Carrier,
        identity: StaticKey | int,
        *,
        ip: str = "127.0.0.1",
        port: int = 0,
        ports: Iterable[int] | None = None,
        network: str = "",
        encryption: bool = True,
        codec: bool = True,
        listen: bool = True,
        handshake_timeout: float = spec.HANDSHAKE_TIMEOUT,
        stall_timeout: float = STALL_TIMEOUT,
    ) -> None:
        if encryption and not isinstance(identity, StaticKey):
            raise TypeError("an encrypted endpoint needs a StaticKey, whose hash is its uid")
        if not encryption and not carrier.plain:
            raise ValueError(f"{type(carrier).__name__} carries encrypted links only")
        if not codec and (encryption or not carrier.plain):
            raise ValueError("what is encrypted is bytes: without a codec, there can be no encryption")
        self.carrier = carrier
        self.read: Callable[[Any], Any] = loads if codec else opened
        self._write: Callable[[Any], Any] = dumps if codec else Parcel
        self._plain = PlainChannel if codec else ParcelChannel
        self.uid: int = identity.uid if isinstance(identity, StaticKey) else identity
        self.ip = ip
        self.port = 0
        self.network = network
        self.handshake_timeout = handshake_timeout
        self.stall_timeout = stall_timeout
        self.counters: Counter[str] = Counter()  # links that ended, by reason
        self.dealings = Dealings()
        self.inbox = Inbox()
        self.closed = False
        self._static = identity if isinstance(identity, StaticKey) and encryption else None
        self._ports = (list(ports) if ports is not None else [port]) if listen else []
        self._listener: Listener | None = None
        self._links: dict[Link, None] = {}  # all whose connection is not gone yet, oldest first
        self._by_uid: dict[int, Link] = {}
        self._dials: dict[Address, Dial] = {}
        self._emptied: asyncio.Future[None] | None = None
        self._wall: Callable[[str, int], bool] | None = None

    def __repr__(self) -> str:
        word = "closed" if self.closed else counted(len(self._by_uid), "link")
        return f"<Endpoint {short(self.uid)} at {self.ip}:{self.port}, {word}>"

    @property
    def link_count(self) -> int:
        """How many peers it has a link to."""
        return len(self._by_uid)

    async def open(self) -> None:
        """Opens the port. Raises `OSError` that names the port and what to do."""
        self.carrier.attach()
        self.loop = self.carrier.loop
        self.now = clock_of(self.loop)
        self.held = Held(self.now)
        for port in self._ports:
            try:
                self._listener = self.carrier.listen(self._accept, self.ip, port)
            except OSError as error:
                if error.errno == errno.EADDRINUSE and port != self._ports[-1]:
                    continue
                raise reasons.not_listening(error, self.ip, self._ports) from None
            self.port = self._listener.port
            return

    @property
    def links(self) -> list[Link]:
        """The links on which new requests are sent, one a uid."""
        return list(self._by_uid.values())

    def traffic(self) -> list[dict[str, Any]]:
        """One dict a peer that it ever had a link to, and an address that proved no uid; see `dealings`."""
        return self.dealings.rows(link for link in self._links if not link.closed)

    # --- the contract ---------------------------------------------------------------------------------------------------

    async def recv(self) -> Received | Opened | Lost:
        """The next thing that happened. Raises `PeerUnreachable` once the endpoint is closed."""
        item = await self.inbox.take()
        if item is None:
            raise self._unreachable("closed", self.ip, self.port)
        return item

    def send(self, ip: str, port: int, payload: Any, *, uid: int | None = None, link: Link | None = None) -> Link | Sending:
        """Sends one datum (None: only sees to it that there is a link); see `contract`.

        Raises `PeerUnreachable`, at once or when what it returns is awaited.
        """
        if self.closed:
            raise self._unreachable("closed", ip, port)
        text, request = (b"", False) if payload is None else (self._write(payload), is_request(payload))
        via = link if link is not None else self._link_to(ip, port, uid)
        if via is not None and (not request or via.closed or via.has_room(len(text) + spec.SIZE_PREFIX)):
            if text:
                via.send(text, request)
            return via
        sending = Sending(text, request, uid)
        if via is not None:
            via.wait_for_room(sending)
        else:
            self._dial(ip, port, sending)
        return sending

    def _link_to(self, ip: str, port: int, uid: int | None) -> Link | None:
        if uid is not None:
            link = self._by_uid.get(uid)
            return link if link is not None and link.usable else None
        for link in self._by_uid.values():
            if link.outbound and link.port == port and link.ip == ip and link.usable:
                return link
        return None

    # --- dialling ---------------------------------------------------------------------------------------------------------

    def _dial(self, ip: str, port: int, sending: Sending) -> None:
        """Has `sending` wait for a link to the address on which its uid is proven (None: whoever is there)."""
        if not is_dialable(ip, port):
            no_host = ": not an address and port of one host (names are never looked up)"
            sending.fail(self._unreachable("unreachable", ip, port, no_host))
            return
        if (port == self.port and ip == self.ip) or sending.uid == self.uid:
            sending.fail(self._unreachable("self", ip, port))
            return
        address = (ip, port)
        dial = self._dials.get(address)
        if dial is not None:
            dial.waiting.append(sending)
            return
        dial = self._dials[address] = Dial(sending)
        self._begin(dial, ip, port)

    def _begin(self, dial: Dial, ip: str, port: int) -> None:
        link = Link(self, self._channel(True), ip, port, dial)
        self._enter(link)
        if self._wall is not None and self._wall(ip, port):
            link.freeze()
            link.look_at(self.now() + self.handshake_timeout)
            return
        try:
            self.carrier.dial(link, ip, port, (self.ip, self.port))
        except OSError as error:
            link.connection_lost(error)

    def _channel(self, initiator: bool) -> Channel:
        if self._static is not None:
            return NoiseChannel(initiator, self._static, self.port, self.network)
        return self._plain(initiator, self.uid, self.port, self.network)

    def _accept(self, ip: str, port: int) -> Link:
        link = Link(self, self._channel(False), ip, port)
        self._enter(link)
        return link

    def _enter(self, link: Link) -> None:
        self._links[link] = None
        if self.carrier.places is not None:
            self.carrier.places.enter(link, stranger=not link.outbound)

    def _unreachable(self, reason: str, ip: str, port: int, detail: str = "") -> PeerUnreachable:
        return reasons.unreachable(reason, ip, port, self.network, self.handshake_timeout, detail)

    # --- what links tell --------------------------------------------------------------------------------------------------

    def refuses(self, link: Link) -> str:
        """Why a link whose other end is now proven is not wanted; empty if it is."""
        if link.uid == self.uid:
            return "self"
        if link.dial is not None and not link.dial.expects(link.uid):
            return "wrong-uid"
        if self._wall is not None and self._wall(link.ip, link.port):
            link.freeze()
            return "timeout"
        return ""

    def opened(self, link: Link) -> None:
        """Enters a new link under its uid, announces it, and serves whoever waits for it."""
        uid = link.uid
        assert uid is not None
        if self.carrier.places is not None:
            self.carrier.places.introduce(link)
        old = self._by_uid.get(uid)
        kept = link if old is None or not old.usable else self._better(old, link)
        self._by_uid[uid] = kept
        if old is not None and kept is link:
            old.retire()
        elif kept is not link:
            link.retire()
        self.inbox.put(Opened(link))
        served, link.dial = link.dial, None
        if served is not None:
            self._dials.pop((link.ip, link.port), None)
            for sending in served.waiting:
                if sending.uid is not None and sending.uid != uid:
                    sending.fail(self._unreachable("wrong-uid", link.ip, link.port))
                else:
                    sending.serve(kept)
        for dial in list(self._dials.values()) if self._dials else ():
            for sending in dial.waiting:
                if sending.uid == uid:
                    sending.serve(kept)

    def _better(self, old: Link, new: Link) -> Link:
        """Which of two links to one uid is kept."""
        assert new.uid is not None
        if old.outbound == new.outbound or old.age > self.handshake_timeout:
            return new
        return new if new.outbound == (self.uid < new.uid) else old

    def ended(self, link: Link, opened: bool, detail: str) -> None:
        """A link ended: the peer hears of its loss, or, if it never was `opened`, its dial fails."""
        self.counters[link.reason] += 1
        self.held.forget(link)
        self.dealings.ended(link)
        if link.uid is not None and self._by_uid.get(link.uid) is link:
            del self._by_uid[link.uid]
        if opened:
            self.inbox.put(Lost(link))
        elif link.dial is not None:
            self._dials.pop((link.ip, link.port), None)
            detail = detail or (f": {short(link.uid)}" if link.uid is not None else "")
            for sending in link.dial.waiting:
                sending.fail(self._unreachable(link.reason, link.ip, link.port, detail))
            link.dial = None

    def touch(self, link: Link) -> None:
        """Notes that a link was used."""
        places = self.carrier.places
        if places is not None:
            places.use(link)

    def gone(self, link: Link) -> None:
        """A link's connection does not exist any more."""
        self._links.pop(link, None)
        if self.carrier.places is not None:
            self.carrier.places.leave(link)
        if not self._links and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    # --- ends and experiments -----------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Ends all links in order and closes the port. Afterwards no task, connection or port is left. Repeating it is fine."""
        self._shut()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for link in list(self._links):
            if link.frozen:
                link.cut()
            else:
                link.finish("closed")
        if self._links:
            if self._emptied is None:
                self._emptied = self.loop.create_future()
            await asyncio.shield(self._emptied)

    def kill(self, silent: bool = False) -> None:
        """Dies: every link is reset and the port closed; or, with `silent`, nothing is read or answered any more."""
        self._shut()
        if silent:
            if self._listener is not None:
                self._listener.freeze()
            for link in list(self._links):
                link.freeze()
            return
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for link in list(self._links):
            link.cut()

    def _shut(self) -> None:
        """Takes and gives nothing any more."""
        if self.closed:
            return
        self.closed = True
        self.inbox.close()
        for (ip, port), dial in self._dials.items():
            for sending in dial.waiting:
                sending.fail(self._unreachable("closed", ip, port))

    def wall(self, behind: Callable[[str, int], bool] | Collection[Address]) -> None:
        """Pulls the cable to some addresses (a predicate of ip and port, or a set): links freeze, dials hang until their timeout."""
        addresses = frozenset[Any]() if callable(behind) else frozenset(behind)
        self._wall = behind if callable(behind) else lambda ip, port: (ip, port) in addresses
        for link in list(self._links):
            if self._wall(link.ip, link.port):
                link.freeze()

    def unwall(self) -> None:
        """Puts the cable back: what was frozen is reset, and can be dialled anew."""
        self._wall = None
        for link in list(self._links):
            if link.frozen:
                link.cut()

