"""Screenshots of every live view, in light and in dark, for looking at: `python tests/browser/shots.py --out /tmp/shots`.

The pictures are for eyes, not for comparing, and stay outside the repository.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from lab import Lab

BEGIN = """from p2pnb import *
import asyncio
cluster = await Cluster.launch({nodes}, k={k}, seed=3)
topic = key_of(b"cats")
for i, node in enumerate(cluster[:9]):
    await node.bag_publish(topic, key_of(b"tom" if i % 3 else b"felix"))
author, name = Author.create(), "about"
for node in cluster[:3]:
    await node.namespace(author).set(name, key_of(b"me"))
lookup = await cluster[1].lookup(topic)"""

VIEWS = {  # name -> (what a cell ends with, what is clicked or done before the picture is taken)
    "map": ("cluster.map(key=topic)", "cluster.kill(*cluster[5:9])\ncluster.partition(*cluster[12:15])\nawait cluster[0].set(b'hello')"),
    "table": ("cluster[3].table(key=topic)", ""),
    "xor": ("xor_space()", ""),
    "lookup": ("lookup.animate()", ""),
    "stepper": ("stepper = cluster.lookup_stepper(topic, node=cluster[1])\nstepper", "for _ in range(14): await stepper.step()"),
    "bag": ("cluster.bag_view(topic)", ""),
    "replicas": ("cluster.replicas_view(topic)", "cluster.kill(*cluster.holders(topic)[:2])"),
    "namespace": ("cluster.namespace_view(author.public_key, name)", ""),
    "messages": ("with cluster.watch() as watch:\n    await cluster[2].set(b'watched')\nwatch.sequence()", ""),
}


def shoot(out: Path, views: list[str], *, dark: bool, nodes: int, stage: bool) -> None:
    with tempfile.TemporaryDirectory() as folder, Lab(Path(folder), dark=dark, size=(1280, 1000)) as lab:
        cells = [BEGIN.format(nodes=nodes, k=3 if nodes <= 100 else 8)]
        cells[0] = ("%load_ext p2pnb\n%p2p stage\n" if stage else "") + cells[0]
        for view in views:
            shown, then = VIEWS[view]
            cells += [shown, then or "None"]
        lab.write("shots.ipynb", *cells)
        with lab.open("shots.ipynb") as notebook:
            notebook.run(0)
            for number, view in enumerate(views):
                cell = notebook.cell(1 + 2 * number)
                notebook.run(1 + 2 * number)
                cell.locator(".p2p-widget").wait_for()
                if view == "map":
                    for _ in range(8):
                        cell.locator("canvas").press("ArrowRight")
                    cell.locator("canvas").press("Enter")
                notebook.run(2 + 2 * number)
                notebook.page.wait_for_timeout(900)
                cell.scroll_into_view_if_needed()
                path = out / f"{view}{'-stage' if stage else ''}{'-dark' if dark else ''}.png"
                cell.locator(".p2p-widget").screenshot(path=str(path))
                print(path)  # noqa: T201


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="a folder outside the repository")
    parser.add_argument("--views", nargs="*", default=list(VIEWS), choices=list(VIEWS))
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--themes", nargs="*", default=["light", "dark"], choices=["light", "dark"])
    parser.add_argument("--stage", action="store_true", help="large, as for a projector")
    how = parser.parse_args()
    how.out.mkdir(parents=True, exist_ok=True)
    for theme in how.themes:
        shoot(how.out, how.views, dark=theme == "dark", nodes=how.nodes, stage=how.stage)


if __name__ == "__main__":
    main()
