"""Two machines of a classroom: network namespaces with a cable between them, each with Python of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import pytest

PATIENCE = 60.0


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=PATIENCE)


@dataclass
class Machine:
    """A host with one interface. `address` is its own in the classroom's network."""

    namespace: str
    address: str

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = ["ip", "netns", "exec", self.namespace, sys.executable, "-u", *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, script: str) -> str:
        """What `script` prints; it is the body of a coroutine function, with everything of p2pnb at hand."""
        lines = textwrap.indent(textwrap.dedent(script), "    ")
        whole = f"import asyncio\nfrom p2pnb import *\nfrom p2pnb.errors import *\nasync def main():\n{lines}\nasyncio.run(main())\n"
        running = self.start("-c", whole)
        out, _ = running.communicate(timeout=PATIENCE)
        assert running.returncode == 0, out
        return out


@pytest.fixture
def machines() -> Iterator[tuple[Machine, Machine]]:
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("network namespaces need root and Debian's iproute2")
    tag = uuid.uuid4().hex[:6]
    names = [f"p2pnb{tag}{end}" for end in "ab"]
    wires = [f"v{tag}{end}" for end in "ab"]
    try:
        for name in names:
            try:
                ip("netns", "add", name)
            except subprocess.CalledProcessError as error:
                pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
        ip("link", "add", wires[0], "type", "veth", "peer", "name", wires[1])
        for i, (name, wire) in enumerate(zip(names, wires, strict=True)):
            ip("link", "set", wire, "netns", name)
            ip("-n", name, "address", "add", f"10.77.0.{i + 1}/24", "dev", wire)
            ip("-n", name, "link", "set", wire, "up")
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "route", "add", "default", "via", f"10.77.0.{2 - i}")
        yield Machine(names[0], "10.77.0.1"), Machine(names[1], "10.77.0.2")
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True, timeout=PATIENCE)


def line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


@pytest.mark.slow
@pytest.mark.netns
def test_a_classroom(machines: tuple[Machine, Machine]) -> None:
    teacher, student = machines
    running = teacher.start("-m", "p2pnb", "node", "--host", "lan", "--port", "9000", "--name", "class-7")
    try:
        assert f"listens at {teacher.address}:9000" in line(running.stdout)
        invitation = line(running.stdout).split(":", 1)[1].strip()
        assert invitation == f"cluster = await Cluster.launch(5, host=\"lan\", name='class-7', bootstrap=[('{teacher.address}', 9000)])"
        out = student.run(f"""
            {invitation}
            print(cluster[0].ip, sorted(cluster.nodes().ip.unique()))
            strangers = cluster.routing().query("peer.isna()")
            print(sorted(strangers.ip.unique()), sorted(set(strangers.port.tolist())), len(strangers))
            key = await cluster[3].set(b"to the whole class")
            print(cluster[3].last.stored, await cluster[1].ref(key))
            await cluster.close()
            print(len(cluster.errors), "errors")
        """)
        assert f"{student.address} ['{student.address}']" in out
        assert f"['{teacher.address}'] [9000] 5" in out, out
        assert "5 b'to the whole class'" in out
        assert "0 errors" in out
        assert _says(student, teacher.address, 9000, name="other-class") == "other-network: use the same name"
        assert _says(student, teacher.address, 9001) == "refused: nothing listens"
        ip("-n", student.namespace, "neigh", "add", "10.77.0.9", "lladdr", "02:00:00:00:00:09", "dev", _wire(student))
        assert _says(student, "10.77.0.9", 9000) == "timeout: firewall", "packets to a card that nobody has get no answer"
    finally:
        running.terminate()
        running.communicate(timeout=PATIENCE)


def _wire(machine: Machine) -> str:
    out: Any = subprocess.run(["ip", "-n", machine.namespace, "-o", "link"], check=True, capture_output=True, text=True).stdout
    return next(row.split(":")[1].split("@")[0].strip() for row in out.splitlines() if "lo:" not in row)


def _says(machine: Machine, address: str, port: int, name: str = "class-7") -> str:
    """The reason that `join` gives, and which of its explanations."""
    out = machine.run(f"""
        cluster = await Cluster.launch(1, host="lan", name={name!r})
        try:
            await cluster.join({address!r}, {port})
        except PeerUnreachable as error:
            print(error.reason, error)
        await cluster.close()
    """)
    reason = out.split()[0]
    return f"{reason}: " + next(words for words in ("use the same name", "nothing listens", "firewall", out) if words in out)
