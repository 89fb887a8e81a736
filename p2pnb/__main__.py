"""The command line: `python -m p2pnb demo`, `lab`, `node` and `soak`.

`demo` goes through every part in the terminal, on real encrypted nodes: it is a short script, each line of which is shown
and then run. `lab` opens the notebooks in JupyterLab. `node` runs one node until Ctrl-C, alone or in a network that exists.
`soak` runs a cluster under load for half an hour while its nodes are killed, and shows what it came to.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import importlib
import importlib.util
import inspect
import logging
import shlex
import sys
from pathlib import Path
from typing import Any

import pandas as pd

import p2pnb
from p2pnb import Cluster, Identity
from p2pnb.cluster.soak import soak
from p2pnb.errors import P2PError
from p2pnb.words import counted

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"

INTERRUPTED = 130  # the status of what Ctrl-C has ended, as a shell gives it
DEMO = """
# {nodes} nodes, each with a port of its own on this machine, and every connection encrypted
cluster = await Cluster.launch({nodes})
cluster

# a value is kept under its SHA-256, at the nodes whose uids are nearest to that; any node finds it
key = await cluster[0].set(b"hello")
cluster[0].last
await cluster[-1].ref(key)

# a bag belongs to nobody: every node has a vote
cats = key_of(b"cats")
for node in cluster[:7]: await node.bag_publish(cats, key)
await cluster[-1].bag_popular(cats)

# a namespace belongs to an author, who signs its entries
author = Author.create()
signature = await cluster[0].namespace(author).set("favourite", key)
await cluster[-1].namespace(author).ref("favourite")

# everything is a table, too
cluster[0].routing().head()
cluster.traffic().query("count > 0")

# one node in five dies without warning; the value is still there
dead = cluster.kill(fraction=0.2)
cluster
await cluster.random().ref(key)

await cluster.close()
"""


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command != "lab":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if options.verbose:
        logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(name)s %(message)s")
    try:
        if options.command == "demo":
            return asyncio.run(_demo(options.nodes))
        if options.command == "lab":
            return _lab(rest)
        return asyncio.run(_soak(options) if options.command == "soak" else _node(options))
    except KeyboardInterrupt:
        print("\nstopped")
        return 0 if options.command == "node" else INTERRUPTED  # a node has no other end
    except (P2PError, OSError, ValueError) as error:
        print(f"p2pnb: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m p2pnb", description="Live, encrypted Kademlia networks inside a notebook.")
    parser.add_argument("--verbose", action="store_true", help="log what the nodes do")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="launch a cluster and go through every part of it, here in the terminal")
    demo.add_argument("--nodes", type=int, default=20, help="how many (default 20)")
    lab = "All other arguments are JupyterLab's own, such as --no-browser."
    commands.add_parser("lab", help="open the notebooks in JupyterLab", epilog=lab)
    node = commands.add_parser("node", help="run a node until Ctrl-C")
    node.add_argument("--join", type=_address, metavar="IP:PORT", help="a node of the network to join; without it a new network begins")
    node.add_argument("--host", default="127.0.0.1", help='address to listen at: 127.0.0.1 (default), "lan", or one of this machine\'s')
    node.add_argument("--port", type=int, help="port to listen on (default: any free one)")
    node.add_argument("--name", default="", help="the network's name: both ends must use the same")
    node.add_argument("--store", type=Path, metavar="DIR", help="keep all that the node has there, its key too, for the next time")
    node.add_argument("--identity", type=Path, metavar="FILE", help="keep the key there, so that it has the same uid next time")
    soak = commands.add_parser("soak", help="run a cluster for long, under load, with nodes killed and restarted, and show what it came to")
    soak.add_argument("--minutes", type=float, default=30.0, help="for how long (default 30)")
    soak.add_argument("--nodes", type=int, default=50, help="how many (default 50)")
    soak.add_argument("--rate", type=float, default=40.0, help="operations a second (default 40)")
    soak.add_argument("--seed", type=int, default=1, help="of the load and of who is killed (default 1)")
    soak.add_argument("--store", type=Path, metavar="DIR", help="keep the records there (default: in memory)")
    networks = {"tcp": "sockets", "memory": "one process", "virtual": "simulated time, where an hour is over in minutes"}
    what = ", ".join(f"{name} ({meaning})" for name, meaning in networks.items())
    soak.add_argument("--network", choices=networks, default="tcp", help=f"{what}; default tcp")
    return parser


def _address(text: str) -> tuple[str, int]:
    ip, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal():
        raise argparse.ArgumentTypeError(f"an address is IP:PORT, such as 192.168.1.5:9000, not {text!r}")
    return ip.strip("[]"), int(port)


async def _soak(options: argparse.Namespace) -> int:
    load = {"rate": options.rate, "seed": options.seed}
    result = await soak(options.nodes, options.minutes, store=options.store, network=options.network, **load)
    print(result.table())
    for problem in (*result.lost, *result.errors):
        print(problem, file=sys.stderr)
    for what, count in result.failures.most_common():
        print(f"failed {counted(count, 'time')}: {what}", file=sys.stderr)
    return 0 if result.good else 1


async def _demo(nodes: int) -> int:
    """The script, line by line, each with the value that it has, as Python's prompt would show it."""
    pd.set_option("display.width", 150, "display.max_columns", 20)
    names: dict[str, Any] = {name: getattr(p2pnb, name) for name in p2pnb.__all__}
    try:
        for line in DEMO.format(nodes=nodes).strip().splitlines():
            print(f">>> {line}" if line and not line.startswith("#") else line)
            value = await _evaluated(line, names)
            if value is not None:
                print(repr(value))
    finally:
        if "cluster" in names:
            await names["cluster"].close()
    print(f"\nThe same in a notebook, with pictures:  {_interpreter()} -m p2pnb lab")
    return 0


def _interpreter() -> str:
    """The Python that runs this, as short as it can be written from here."""
    try:
        return shlex.quote(str(Path(sys.executable).relative_to(Path.cwd())))
    except ValueError:
        return shlex.quote(sys.executable)


async def _evaluated(line: str, names: dict[str, Any]) -> Any:
    """Runs a line, in which `await` may stand; its value where it is an expression."""
    try:
        code = compile(line, "<demo>", "eval", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except SyntaxError:
        code = compile(line, "<demo>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    value = eval(code, names)
    return await value if inspect.iscoroutine(value) else value


def _lab(arguments: list[str]) -> int:
    if importlib.util.find_spec("jupyterlab") is None:
        print("p2pnb: JupyterLab is not installed here: python -m pip install jupyterlab matplotlib", file=sys.stderr)
        return 1
    first = NOTEBOOKS / "00-quickstart.ipynb"
    opened = [str(first)] if first.exists() else []
    importlib.import_module("jupyterlab.labapp").main([*opened, *arguments])
    return 0


async def _node(options: argparse.Namespace) -> int:
    launch = Cluster.launch(
        1,
        host=options.host,
        name=options.name,
        ports=None if options.port is None else [options.port],
        bootstrap=[options.join] if options.join else [],
        store=options.store,
        identities=[Identity.load_or_create(options.identity)] if options.identity else [],
    )
    async with launch as cluster:
        node, others = cluster[0], len(cluster[0].routing())
        print(f"node {node.uid} listens at {node.ip}:{node.port} and knows {counted(others, 'other')}")
        print(f"to join it from a notebook:  {cluster.invite()}")
        print("Ctrl-C ends it", flush=True)
        await asyncio.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
