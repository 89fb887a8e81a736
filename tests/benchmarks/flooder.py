"""An attacker in a process of its own: `python flooder.py KIND SECONDS PACE PORT` floods the node at that port of 127.0.0.1.

KIND: "garbage" (no handshake), "bad" (a handshake, then a message that is none), "strangers" (handshakes only), "requests" (16 links
that keep 16 requests in their pipelines). PACE: connections a second; 0: as fast as it goes. Prints how many there were.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time

from p2pnb.errors import ProtocolError
from p2pnb.wire.channel import NoiseChannel
from p2pnb.wire.noise import StaticKey
from p2pnb.wire.sexp import Symbol, dumps

BAD = [b"(" * 500_000, b"#(ref -1)", b"#u8(256)", b'"\xff"', b"#(peer)", b"1" * 1_000]
WORKERS = 16
count = 0


async def connect(kind: str, port: int) -> None:
    global count  # noqa: PLW0603
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        count += kind != "requests"
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
    except (OSError, ProtocolError):
        return
    finally:
        writer.close()


async def flood(kind: str, seconds: float, pace: float, port: int) -> None:
    end = time.monotonic() + seconds

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
