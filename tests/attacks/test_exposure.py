"""What an attacker could reach or read: ports that are open, names that are looked up, secrets in logs."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import logging
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from siege import besieged, peers
from town import simulate

from p2pnb import Author, Cluster, key_of
from p2pnb.dht.responder import Responder
from p2pnb.peer.search import P2PError
from p2pnb.wire.contact import contact
from p2pnb.wire.messages import Nearest, Peers, Ref

PROC = Path("/proc/self/fd")
LISTENING = "0A"


def listening() -> set[tuple[str, int]]:
    """The addresses at which this process listens, from /proc."""
    ours = set()
    for each in os.listdir(PROC):
        try:
            ours.add(os.readlink(PROC / each))
        except OSError:
            continue
    found = set()
    for table, words in (("tcp", 1), ("tcp6", 4)):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and f"socket:[{fields[9]}]" in ours:
                host, port = fields[1].split(":")
                octets = b"".join(bytes.fromhex(host[8 * i : 8 * i + 8])[::-1] for i in range(words))
                found.add((str(ipaddress.ip_address(octets)), int(port, 16)))
    return found


@pytest.mark.skipif(not PROC.exists(), reason="reads /proc")
def test_no_public_listening_socket() -> None:
    """A cluster, what it launches later and what it restarts listen on loopback; closed, it listens nowhere."""

    async def test() -> None:
        before = listening()
        async with Cluster.launch(6) as cluster:
            await cluster.add(2)
            cluster.kill(cluster[1])
            await cluster.restart(cluster[1])
            await cluster[0].ref(await cluster[2].set(b"x"))
            open_ = listening() - before
            assert len(open_) == 8, "the test sees what listens"
            assert all(ipaddress.ip_address(ip).is_loopback for ip, _ in open_), open_
        assert listening() == before

    asyncio.run(test())


@pytest.mark.skipif(not PROC.exists(), reason="reads /proc")
def test_the_test_would_see_a_public_socket() -> None:
    before = listening()
    with socket.create_server(("0.0.0.0", 0)) as public:
        assert {ip for ip, _ in listening() - before} == {"0.0.0.0"}
        assert public.getsockname()[1] in {port for _, port in listening() - before}


NAMES = ["victim.example", "localhost", "0x7f000001", "1.2", "2130706433", "127.1", "[::1]", "fe80::1%eth0", "8.8.8.8:53"]


def test_no_name_is_ever_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Liars name hosts by every kind of name; peers ask the resolver nothing, and dial none of them."""
    asked: list[Any] = []

    def resolve(*args: Any, **_: Any) -> Any:
        asked.append(args)
        raise OSError

    for name in ("getaddrinfo", "gethostbyname", "gethostbyaddr", "gethostbyname_ex", "getfqdn"):
        monkeypatch.setattr(socket, name, resolve)

    async def test() -> None:
        async with besieged(12, 4) as network:
            honest = Responder.answer

            def lie(self: Responder, request: Any, **seen: Any) -> Any:
                answer = honest(self, request, **seen)
                if isinstance(request, (Peers, Ref)) and isinstance(answer, Nearest):
                    lies = tuple(contact(name, 80, request.key ^ number) for number, name in enumerate(NAMES, 1))
                    return Nearest((*lies, *answer.contacts[: 20 - len(lies)]))
                return answer

            monkeypatch.setattr(Responder, "answer", lie)
            for number in range(20):
                key = await peers(network)[number % 12].set(b"%d" % number)
                assert await peers(network)[(number + 5) % 12].ref(key) == b"%d" % number
            for peer in peers(network):
                for name in NAMES:
                    with pytest.raises(P2PError):
                        await peer.greet(name, 80)

    simulate(test)
    assert asked == []


def test_logs_show_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """Everything is logged, through a life with keys of every kind and things that go wrong; no record shows one."""

    async def test() -> list[bytes]:
        with caplog.at_level(logging.DEBUG):
            async with Cluster.launch(5, seed=3) as cluster:
                author = Author.from_seed(b"a secret that is 32 bytes long..")
                await cluster[0].namespace(author).set("about", key_of(b"x"))
                with pytest.raises(P2PError):
                    await cluster[1].namespace_ref(author.public_key, key_of(b"never set"))
                await cluster[2].connect("127.0.0.1", 1)
                cluster.kill(cluster[3])
                await cluster[0].set(b"y")
                statics = [bytes(member.identity.static._private) for member in cluster._network.members]
        return [b"a secret that is 32 bytes long..", bytes(author.private_key), *statics]

    secrets = asyncio.run(test())
    text = "\n".join([record.getMessage() + str(record.exc_info or "") + repr(record.args) for record in caplog.records])
    assert len(caplog.records) > 10, "something was logged"
    for secret in secrets:
        assert len(secret) >= 32
        for shown in (secret.hex(), repr(secret)[2:-1], base64.b64encode(secret).decode()[:40], str(int.from_bytes(secret[:32], "big"))):
            assert shown not in text
