"""An attacker in a process of its own: `python flooder.py KIND SECONDS PACE PORT` floods the node at that port of 127.0.0.1.

KIND: "garbage" (no handshake), "bad" (a handshake, then a message that is none), "strangers" (handshakes only), "requests" (16 links
that keep 16 requests in their pipelines), "large" (16 links that keep a megabyte of half-megabyte messages in theirs), "greedy" (16
links that ask for a value of the largest size, 16 times at once, without end), "bags" (the same, for a bag that they have filled),
"handshakes" (one and the same first message on ever new connections, which costs who sends it nothing and who answers it three X25519).
PACE: connections a second; 0: as fast as it goes. It comes from four addresses, 127.0.0.2 to 127.0.0.5. Prints how many there were.
"""

from __future__ import annotations

import asyncio
import random
import socket
import sys
import time

from p2pnb import key_of
from p2pnb.errors import ProtocolError
from p2pnb.wire.channel import NoiseChannel
from p2pnb.wire.noise import StaticKey
from p2pnb.wire.sexp import Symbol, dumps

BAD = [b"(" * 500_000, b"#(ref -1)", b"#u8(256)", b'"\xff"', b"#(peer)", b"1" * 1_000]
LARGE = dumps((Symbol("set"), random.Random(1).randbytes(125_000)))
VALUE = random.Random(2).randbytes(249_996)
BAG = dumps((Symbol("bag-popular"), 7))
LARGEST, ASK = dumps((Symbol("set"), VALUE)), dumps((Symbol("ref"), key_of(VALUE).int))
WORKERS, AT_ONCE = 16, 32
count = 0


def source() -> tuple[str, int]:
    """One of the addresses that it comes from, where loopback has more than one."""
    return (f"127.0.0.{random.randint(2, 5)}" if sys.platform == "linux" else "127.0.0.1"), 0


async def connect(kind: str, port: int) -> None:
    global count  # noqa: PLW0603
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=source())
    try:
        count += kind not in {"requests", "large", "greedy", "bags"}
        if kind == "garbage":
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await reader.read(10)
            return
        channel = NoiseChannel(True, StaticKey.generate(), 0, "")
        writer.write(channel.start())
        while not channel.established:
            answer, _ = channel.receive(await reader.read(4_096))
            writer.write(answer)
        if kind == "bad":
            writer.write(channel.seal(random.choice(BAD)))
            await reader.read(10)
        while kind == "requests":
            writer.write(b"".join([channel.seal(dumps((Symbol("peers"), random.getrandbits(256)))) for _ in range(16)]))
            answered = 0
            while answered < 16:
                data = await reader.read(65_536)
                if not data:
                    return
                answered += len(channel.receive(data)[1])
            count += 16
        asked = {"large": [LARGE] * 2, "greedy": [ASK] * 16, "bags": [BAG] * 16}.get(kind, [])
        if kind == "greedy":
            writer.write(channel.seal(LARGEST))
            channel.receive(await reader.read(65_536))
        for _ in range(4 if kind == "bags" else 0):
            adds = [channel.seal(dumps((Symbol("bag-add"), 7, random.randbytes(32)))) for _ in range(16)]
            writer.write(b"".join(adds))
            answered = 0
            while answered < len(adds):
                answered += len(channel.receive(await reader.read(65_536))[1])
        while asked:
            writer.write(b"".join([channel.seal(text) for text in asked]))
            answered = 0
            while answered < len(asked):
                data = await reader.read(65_536)
                if not data:
                    return
                answered += len(channel.receive(data)[1])
            count += len(asked)
    except (OSError, ProtocolError):
        return
    finally:
        writer.close()


def greet(end: float, port: int) -> None:
    """First messages, so many at once; reads the answer to each and leaves."""
    global count  # noqa: PLW0603
    first = NoiseChannel(True, StaticKey.generate(), 0, "").start()
    while time.monotonic() < end:
        sockets = []
        try:
            for _ in range(AT_ONCE):
                sockets.append(sock := socket.create_connection(("127.0.0.1", port), timeout=6.0, source_address=source()))
                sock.sendall(first)
            for sock in sockets:
                count += bool(sock.recv(512))
        except OSError:
            continue
        finally:
            for sock in sockets:
                sock.close()


async def flood(kind: str, seconds: float, pace: float, port: int) -> None:
    end = time.monotonic() + seconds
    if kind == "handshakes":
        greet(end, port)
        return

    async def work() -> None:
        while (left := end - time.monotonic()) > 0:
            try:
                await asyncio.wait_for(connect(kind, port), left)
            except (TimeoutError, OSError):
                continue
            if pace:
                await asyncio.sleep(random.expovariate(pace / WORKERS))

    await asyncio.gather(*[work() for _ in range(WORKERS)])


if __name__ == "__main__":
    asyncio.run(flood(sys.argv[1], *map(float, sys.argv[2:4]), int(sys.argv[4])))
    print(count)
