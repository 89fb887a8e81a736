"""The command line: `python -m p2pnb demo`, `lab` and `node`.

`demo` shows every part in the terminal, on twenty real encrypted nodes; `lab` opens the notebooks; `node` runs nodes that
others join, or that join others, until Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import logging
import subprocess
import sys
from pathlib import Path

import pandas as pd

from p2pnb import Author, Cluster, Identity, key_of
from p2pnb.errors import P2PError

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    if options.verbose:
        logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(name)s %(message)s")
    try:
        if options.command == "demo":
            return asyncio.run(_demo(options.nodes))
        if options.command == "lab":
            return _lab()
        return asyncio.run(_node(options))
    except KeyboardInterrupt:
        print("\nstopped")
        return 0
    except (P2PError, OSError, ValueError) as error:
        print(f"p2pnb: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m p2pnb", description="Live, encrypted Kademlia networks inside a notebook.")
    parser.add_argument("--verbose", action="store_true", help="log what the nodes do")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="launch a cluster and go through every part of it, here in the terminal")
    demo.add_argument("--nodes", type=int, default=20, help="how many (default 20)")
    commands.add_parser("lab", help="open the notebooks in JupyterLab")
    node = commands.add_parser("node", help="run a node until Ctrl-C")
    node.add_argument("--join", type=_address, metavar="IP:PORT", help="a node of the network to join; without it a new network begins")
    node.add_argument("--host", default="127.0.0.1", help='address to listen at: 127.0.0.1 (default), "lan", or one of this machine\'s')
    node.add_argument("--port", type=int, help="port to listen on (default: any free one)")
    node.add_argument("--name", default="", help="the network's name: both ends must use the same")
    node.add_argument("--identity", type=Path, metavar="FILE", help="keep the node's key there, so that it has the same uid next time")
    return parser


def _address(text: str) -> tuple[str, int]:
    ip, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal():
        raise argparse.ArgumentTypeError(f"an address is IP:PORT, such as 192.168.1.5:9000, not {text!r}")
    return ip.strip("[]"), int(port)


async def _demo(nodes: int) -> int:
    """The main job, with what each step prints."""
    pd.set_option("display.width", 150, "display.max_columns", 20)
    print(f">>> cluster = await Cluster.launch({nodes})")
    async with Cluster.launch(nodes) as cluster:
        there, here = cluster[len(cluster) // 3], cluster[-1]
        print(f"{cluster!r}\n\n>>> key = await cluster[{there.position}].set(b'hello')")
        key = await there.set(b"hello")
        print(f"{key!r}: {there.last.stored} of the peers nearest to it hold it now\n\n>>> await cluster[{here.position}].ref(key)")
        print(f"{await here.ref(key)!r}\n\n>>> topic = key_of(b'cats')    # a bag: whoever likes may publish into it")
        topic, other = key_of(b"cats"), await here.set(b"a second cat")
        for publisher in cluster[:3]:
            await publisher.bag_publish(topic, key)
        await here.bag_publish(topic, other)
        print(f">>> await cluster[0].bag_popular(topic)\n{await cluster[0].bag_popular(topic)!r}\n")
        author = Author.create()
        print(f">>> author = Author.create()    # a namespace: only its owner can write\n{author!r}")
        print(f">>> await cluster[{there.position}].namespace(author).set('about', key)")
        signature = await there.namespace(author).set("about", key)
        print(f"signature {signature.hex()[:16]}…\n>>> await cluster[{here.position}].namespace(author).ref('about') == key")
        print(f"{await here.namespace(author).ref('about') == key}\n\n>>> cluster[0].routing().head()")
        print(f"{cluster[0].routing().head()}\n\n>>> cluster.traffic()\n{cluster.traffic().query('count > 0')}\n")
        dead = cluster.kill(fraction=0.3)
        print(f">>> cluster.kill(fraction=0.3)    # {len(dead)} nodes, without warning")
        print(f">>> await cluster.random().ref(key)\n{await cluster.random().ref(key)!r}\n")
    print("The same in a notebook, with pictures:  python -m p2pnb lab")
    return 0


def _lab() -> int:
    if importlib.util.find_spec("jupyterlab") is None:
        print("p2pnb: JupyterLab is not installed here: python -m pip install 'p2pnb[notebooks]'", file=sys.stderr)
        return 1
    first = NOTEBOOKS / "00-quickstart.ipynb"
    where = [str(first)] if first.exists() else []
    return subprocess.call([sys.executable, "-m", "jupyterlab", *where])


async def _node(options: argparse.Namespace) -> int:
    identities = [Identity.load_or_create(options.identity)] if options.identity else []
    launch = Cluster.launch(
        1,
        host=options.host,
        name=options.name,
        ports=None if options.port is None else [options.port],
        bootstrap=[options.join] if options.join else [],
        identities=identities,
    )
    async with launch as cluster:
        node = cluster[0]
        print(f"node {node.uid} listens at {node.ip}:{node.port}", flush=True)
        print(f"to join it from a notebook:  {cluster.invite()}", flush=True)
        await asyncio.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
