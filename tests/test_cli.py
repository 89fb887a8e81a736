"""The command line as people use it: a demo, a node that others join, JupyterLab, and what is said to a mistake."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from p2pnb import Cluster, Identity
from p2pnb.__main__ import DEMO, _interpreter, main

PATIENCE = 60.0  # seconds until a process that does not end is given up


def p2pnb(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "p2pnb", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


@contextmanager
def node(*arguments: str) -> Iterator[tuple[str, int, list[str]]]:
    """A running node: its uid, its port and the lines that it has printed. It must end by Ctrl-C, in order."""
    command = [sys.executable, "-W", "error", "-m", "p2pnb", "node", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            printed: list[str] = []
            while not printed or not printed[-1].startswith("Ctrl-C"):
                printed.append(running.stdout.readline())
                assert printed[-1], (printed, running.communicate())
            said = re.search(r"node (\w{64}) listens at 127\.0\.0\.1:(\d+)", printed[0])
            assert said is not None, printed
            yield said[1], int(said[2]), printed
            running.send_signal(signal.SIGINT)
            out, errors = running.communicate(timeout=PATIENCE)
            assert (running.returncode, out.strip(), errors) == (0, "stopped", "")
        finally:
            running.kill()


def unused_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


# --- the demo ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nodes", [1, 6])
def test_the_demo_goes_through_everything(nodes: int) -> None:
    done = p2pnb("demo", "--nodes", str(nodes))
    assert (done.returncode, done.stderr) == (0, "")
    for words in (
        f">>> cluster = await Cluster.launch({nodes})",
        f"<cluster of {nodes} node{'s' * (nodes > 1)} on tcp: k=20>",
        f"{min(nodes, 5)} of 5 replicas took it",
        "b'hello'",
        f"[popular: 2cf24dba… {min(nodes, 7)} publisher",
        "Key(2cf24dba…)",
        "rtt_ms",
        "p95_ms",
        " -m p2pnb lab",
    ):
        assert words in done.stdout
    assert done.stdout.count("b'hello'\n") == 2, "before the kill and after it"


def test_the_demo_names_the_python_that_runs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(Path.cwd() / ".venv" / "bin" / "python"))
    assert _interpreter() == ".venv/bin/python"
    monkeypatch.setattr(sys, "executable", "/somewhere else/bin/python3")
    assert _interpreter() == "'/somewhere else/bin/python3'"


def test_the_demo_shows_what_it_runs() -> None:
    done = p2pnb("demo", "--nodes", "6")
    shown = [line.removeprefix(">>> ") for line in done.stdout.splitlines() if line.startswith((">>> ", "# "))]
    assert shown == [line for line in DEMO.format(nodes=6).splitlines() if line]


# --- nodes ------------------------------------------------------------------------------------------------------------


def test_two_processes_are_one_network(tmp_path: Path) -> None:
    identity = Identity.load_or_create(tmp_path / "me.key")
    with node("--name", "class-7") as (_, port, printed):
        assert "knows 0 others" in printed[0]
        assert f"bootstrap=[('127.0.0.1', {port})]" in printed[1]
        joining = ("--name", "class-7", "--join", f"127.0.0.1:{port}", "--identity", str(tmp_path / "me.key"))
        with node(*joining) as (uid, second, told):
            assert uid == str(identity.uid)
            assert "knows 1 other\n" in told[0]

            async def meet() -> None:
                async with Cluster.launch(1, name="class-7", bootstrap=[("127.0.0.1", second)]) as cluster:
                    assert await cluster[0].ref(await cluster[0].set(b"three processes")) == b"three processes"
                    assert len(cluster[0].routing()) == 2

            asyncio.run(meet())


@pytest.mark.slow
def test_a_node_with_a_store_is_the_same_the_next_time_even_when_it_was_killed(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    command = [sys.executable, "-W", "error", "-m", "p2pnb", "node", "--store", store]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        first = killed.stdout.readline()
        again = p2pnb("node", "--store", store)
        assert again.returncode == 1
        assert re.search(r"^p2pnb: .*records\.db is in use by another process.*: close that one first, or give another path$", again.stderr)
        killed.kill()
    with node("--store", store) as (uid, port, printed):
        assert printed[0] == first
        assert first.startswith(f"node {uid} listens at 127.0.0.1:{port} ")


def test_a_node_listens_where_it_is_told() -> None:
    port = unused_port()
    with node("--port", str(port)) as (_, listening, _):
        assert listening == port
        again = p2pnb("node", "--port", str(port))
        assert again.returncode == 1
        assert f"port {port} on 127.0.0.1 is in use" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["node", "--join", "nonsense"], 2, "an address is IP:PORT, such as 192.168.1.5:9000, not 'nonsense'"),
        (["node", "--join", "127.0.0.1:http"], 2, "an address is IP:PORT"),
        (["node", "--join", "localhost:9000"], 1, "names are never looked up"),
        (["node", "--join", "127.0.0.1:99999"], 1, "not an address and port of one host"),
        (["node", "--port", "99999"], 1, "a port is an integer of 1 to 65535, not 99999"),
        (["node", "--host", "localhost"], 1, 'an address of this machine, "127.0.0.1" or "lan"'),
        (["node", "--identity", "no/such/directory/me.key"], 1, "is no directory: create it first"),
        (["node", "--silly"], 2, "unrecognized arguments: --silly"),
        (["demo", "--nodes", "0"], 1, "a cluster has 1 node or more, not 0"),
        (["demo", "--nodes", "many"], 2, "invalid int value: 'many'"),
        (["dance"], 2, "invalid choice: 'dance'"),
        ([], 2, "required: command"),
    ],
)
def test_mistakes_are_named(arguments: list[str], status: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        assert main(arguments) == status
    except SystemExit as stopped:  # argparse ends by itself
        assert stopped.code == status  # noqa: PT017
    assert words in capsys.readouterr().err


def test_nothing_to_join(capsys: pytest.CaptureFixture[str]) -> None:
    port = unused_port()
    assert main(["node", "--join", f"127.0.0.1:{port}"]) == 1
    assert f"p2pnb: nothing listens at 127.0.0.1:{port}" in capsys.readouterr().err


def test_another_network_is_told_apart() -> None:
    with node("--name", "class-7") as (_, port, _):
        done = p2pnb("node", "--name", "class-8", "--join", f"127.0.0.1:{port}")
        assert done.returncode == 1
        assert "name" in done.stderr
        assert "Traceback" not in done.stderr


# --- JupyterLab -------------------------------------------------------------------------------------------------------


def test_lab_opens_the_quickstart(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[str]] = []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "jupyterlab.labapp", SimpleNamespace(main=given.append))  # type: ignore[arg-type]
    assert main(["lab", "--no-browser", "--port=8899"]) == 0
    [[notebook, *others]] = given
    assert os.path.samefile(notebook, Path(__file__).resolve().parents[1] / "notebooks" / "00-quickstart.ipynb")
    assert others == ["--no-browser", "--port=8899"]


def test_without_jupyterlab_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["lab"]) == 1
    assert "pip install jupyterlab" in capsys.readouterr().err
