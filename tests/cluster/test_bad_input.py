"""What people get wrong: each mistake has an error that names the fix, and nothing is lost by it."""

from __future__ import annotations

import asyncio
import errno
import socket
from functools import partial
from typing import Any

import numpy as np
import pytest
from live import on

from p2pnb import Author, Cluster, key_of, run
from p2pnb.errors import ClusterClosed, PeerUnreachable, ValueTooLarge


def test_joining_says_what_it_was() -> None:
    async def test(cluster: Cluster) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
        with pytest.raises(PeerUnreachable) as refused:
            await cluster.join("127.0.0.1", port)
        assert refused.value.reason == "refused"

        async def banner(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
            writer.close()

        server = await asyncio.start_server(banner, "127.0.0.1", 0)
        with pytest.raises(PeerUnreachable) as stranger:
            await cluster.join("127.0.0.1", server.sockets[0].getsockname()[1])
        assert stranger.value.reason == "not-a-peer"
        assert await cluster[0].connect("127.0.0.1", server.sockets[0].getsockname()[1]) is False
        assert "does not speak this protocol" in cluster[0].last.reason
        server.close()
        async with Cluster.launch(1, name="elsewhere") as other:
            with pytest.raises(PeerUnreachable) as foreign:
                await cluster.join("127.0.0.1", other[0].port)
            assert foreign.value.reason == "other-network"
            assert "same name" in str(foreign.value)

    on(test, n=3)


def test_asking_for_nodes() -> None:
    async def test(cluster: Cluster) -> None:
        assert cluster[0] is cluster[cluster[0].uid] is cluster[str(cluster[0].uid)] is cluster[-12]
        assert cluster[str(cluster[7].uid)[:10]] is cluster[7]
        assert [node.position for node in cluster[2:5]] == [2, 3, 4]
        assert list(cluster) == cluster[:]
        assert len(cluster) == 12
        assert cluster.random() in list(cluster)
        assert str(cluster[4].uid)[:8] in cluster._ipython_key_completions_()
        with pytest.raises(IndexError, match="0 to 11"):
            _ = cluster[12]
        with pytest.raises(KeyError, match="no node of this cluster has the uid"):
            _ = cluster[bytes(32)]
        with pytest.raises(KeyError, match="no uid of this cluster begins"):
            _ = cluster["nope"]
        digits = [str(node.uid)[0] for node in cluster]
        shared = next(digit for digit in digits if digits.count(digit) > 1)
        with pytest.raises(KeyError, match=r"ambiguous.*give more digits"):
            _ = cluster[shared]
        with pytest.raises(TypeError, match="position"):
            _ = cluster[1.5]  # type: ignore[call-overload]

    on(test, network="memory")


def test_kill_wants_nodes() -> None:
    async def test(cluster: Cluster) -> None:
        for wrong, words in [((1,), r"cluster\.kill\(cluster\[1\]\)"), ((cluster[:2],), r"\*nodes"), (("a",), "takes nodes")]:
            with pytest.raises(TypeError, match=words):
                cluster.kill(*wrong)
        with pytest.raises(ValueError, match="kill whom"):
            cluster.kill()
        with pytest.raises(ValueError, match="0 to 1"):
            cluster.kill(fraction=30)
        with pytest.raises(ValueError, match="not both"):
            cluster.kill(cluster[0], fraction=0.5)
        async with Cluster.launch(1, network="memory") as other:
            with pytest.raises(ValueError, match="another cluster"):
                cluster.kill(other[0])
        assert all(node.alive for node in cluster), "nothing was killed by mistake"
        assert len(cluster.kill(fraction=np.float32(0.5))) == round(len(cluster) / 2), "numbers of numpy are numbers"

    on(test, network="memory")


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"n": 0}, ValueError, "1 node or more"),
        ({"n": "20"}, TypeError, "integer"),
        ({"n": 3, "network": "udp"}, ValueError, '"tcp", "memory" or "virtual"'),
        ({"n": 3, "replication": 3}, ValueError, "replication is an integer of 5 to 20, not 3"),
        ({"n": 3, "replication": 21}, ValueError, "replication is an integer of 5 to 20, not 21"),
        ({"n": 3, "k": 1}, ValueError, "k is an integer of 2 to 20"),
        ({"n": 3, "host": "localhost"}, ValueError, "an address of this machine"),
        ({"n": 3, "host": "0.0.0.0"}, ValueError, '"lan"'),
        ({"n": 3, "host": "10.1.2.3", "seed": 1}, ValueError, "loopback only"),
        ({"n": 3, "ports": range(9000, 9002)}, ValueError, "3 nodes need 3 ports"),
        ({"n": 1, "ports": 9000}, TypeError, r"ports=\[9000\] for one node"),
        ({"n": 1, "ports": [99_999]}, ValueError, "1 to 65535, not 99999"),
        ({"n": 1, "bootstrap": ("127.0.0.1", 9000)}, TypeError, "a list of addresses"),
        ({"n": 3, "codec": False}, ValueError, "codec=False hands messages over"),
        ({"n": 3, "codec": False, "network": "memory"}, ValueError, "encryption=False"),
        ({"n": 3, "latency": 0.1}, ValueError, "real sockets"),
        ({"n": 3, "loss": 2.0, "network": "memory"}, ValueError, "0 to 1"),
        ({"n": 3, "encryption": False}, ValueError, "always encrypted"),
        ({"n": 3, "timeout": -1}, ValueError, "more than 0"),
    ],
)
def test_launching_wrongly(arguments: dict[str, Any], kind: type[Exception], words: str) -> None:
    async def whole() -> None:
        with pytest.raises(kind, match=words):
            await Cluster.launch(**arguments)

    asyncio.run(whole())


def test_a_cluster_is_launched() -> None:
    with pytest.raises(TypeError, match=r"await Cluster\.launch\(20\)"):
        Cluster(20)  # type: ignore[arg-type]


def test_a_port_in_use() -> None:
    async def whole() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(OSError, match=rf"port {port} on 127\.0\.0\.1 is in use: .*another port") as error:
                await Cluster.launch(1, ports=[port])
            assert error.value.errno == errno.EADDRINUSE

    asyncio.run(whole())


def test_nothing_to_join() -> None:
    async def whole() -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
        with pytest.raises(PeerUnreachable, match="nothing listens") as refused:
            await Cluster.launch(2, bootstrap=[("127.0.0.1", port)])
        assert refused.value.reason == "refused"

    asyncio.run(whole())


def test_bad_keys_and_values() -> None:
    async def test(cluster: Cluster) -> None:
        node = cluster[0]
        with pytest.raises(ValueError, match="32 bytes, not 5"):
            await node.ref(b"short")
        with pytest.raises(TypeError, match=r"Key\.from_int"):
            await node.ref(7)  # type: ignore[arg-type]
        forgotten = node.set(b"x")
        with pytest.raises(TypeError, match="write `await` before it"):
            await node.ref(forgotten)  # type: ignore[arg-type]
        await forgotten
        with pytest.raises(ValueTooLarge, match="249,996"):
            await node.set(bytes(249_997))
        assert await cluster[1].ref(await node.set(b"\xff" * 249_996)) == b"\xff" * 249_996
        with pytest.raises(TypeError, match="Author"):
            node.namespace("me")  # type: ignore[arg-type]
        mine = node.namespace(Author.from_seed(bytes(32)))
        assert mine.key("about") == mine.key(b"about") == mine.key(key_of(b"about")) == mine.key(bytearray(key_of(b"about")))
        for wrong in (5, None):
            for name in (mine.key, mine.ref, partial(cluster.namespace_view, mine.author)):
                with pytest.raises(TypeError, match="the key of an entry is 32 bytes"):
                    name(wrong)

    on(test, n=6)


def test_an_await_too_many() -> None:
    async def test(cluster: Cluster) -> None:
        key = await cluster[0].set(b"x")
        done: list[Any] = [cluster.kill(cluster[1]), cluster.nodes(), cluster.nodes()[["port"]], cluster.holders(key)]
        done += [cluster.partition(cluster[2]), cluster.heal(), cluster.where(key), cluster[0].routing()]
        for result in done:
            with pytest.raises(TypeError, match="this is done already: leave out `await`"):
                await result
            with pytest.raises(TypeError, match=r"value already: leave run\(\) out"):
                run(result)
            assert not asyncio.iscoroutine(result)
        for wrong, words in ((cluster[0].ref, "not Nodes"), (cluster[0].set, "a value is bytes, not Nodes")):
            with pytest.raises(TypeError, match=words):
                await wrong(done[0])

    on(test, n=6)


def test_a_closed_cluster() -> None:
    async def whole() -> None:
        cluster = await Cluster.launch(3, network="memory")
        node = cluster[0]
        await cluster.close()
        await cluster.close()
        for act in (lambda: node.set(b"x"), cluster.nodes, lambda: cluster.kill(node), cluster.watch, lambda: cluster.add(1), node.routing):
            with pytest.raises(ClusterClosed, match="launch another one"):
                act()
        assert "closed" in repr(cluster)
        assert "closed" in cluster._repr_mimebundle_()["text/plain"]

    asyncio.run(whole())
