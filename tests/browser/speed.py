"""How soon a map is on the screen, and how smoothly it follows: `python tests/browser/speed.py 50 1000`.

For each number of nodes: from the end of the cell to the first ink, as the browser's clock has it; the time that one look takes the
clusters' thread; updates that arrived in five seconds of uninterrupted `set`, and the time between two frames meanwhile.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from lab import Lab

LAUNCH = "from p2pnb import *\nimport ipywidgets, time\ncluster = await Cluster.launch({}, k=8, seed=3, network='memory')"
LOOK = """
def look():
    began = time.thread_time()
    for _ in range(50):
        view._wanted = True
        view.refresh()
    return (time.thread_time() - began) * 20
print(f"{cluster._home.call(look):.1f}")
"""
WORK = """
end = time.time() + 5
while time.time() < end:
    await cluster.random().set(str(time.time()).encode())
"""
FIRST_INK = """() => { window.ink = 0; const look = () => {
    const canvas = document.querySelector('.p2p-widget canvas');
    if (canvas && canvas.width > 300) {
        const all = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        for (let i = 3; i < all.length; i += 4) if (all[i]) { window.ink = performance.now(); break; }
    }
    if (!window.ink) requestAnimationFrame(look); }; look(); }"""
FRAMES = """() => { window.frames_seen = []; let last = performance.now();
    const tick = (now) => { window.frames_seen.push(now - last); last = now; requestAnimationFrame(tick); }; requestAnimationFrame(tick);
    window.updates = 0; const status = document.querySelector('.p2p-widget .p2p-status');
    new MutationObserver(() => { window.updates += 1; }).observe(status, {childList: true}); }"""


def measure(lab: Lab, nodes: int) -> str:
    lab.write("speed.ipynb", LAUNCH.format(nodes), "view = cluster.map()\nview", LOOK, WORK, "await cluster.close()")
    with lab.open("speed.ipynb") as notebook:
        notebook.run(0)
        notebook.page.evaluate(FIRST_INK)
        began = notebook.page.evaluate("performance.now()")
        ended = notebook.run(1)["at"]
        notebook.page.wait_for_function("() => window.ink")
        ink = notebook.page.evaluate("window.ink")
        look = notebook.run(2)["text"].strip()
        notebook.page.evaluate(FRAMES)
        notebook.run(3)
        frames = sorted(notebook.page.evaluate("window.frames_seen"))
        updates = notebook.page.evaluate("window.updates")
        notebook.run(4)
    middle, late = frames[len(frames) // 2], frames[len(frames) * 95 // 100]
    shown = f"on screen {ink - ended:.0f} ms after the cell's end, {ink - began:.0f} after its start"
    return f"{nodes} nodes: {shown}; a look takes {look} ms; {updates / 5:.0f} updates/s, frames {middle:.0f} ms (95 %: {late:.0f} ms)"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, Lab(Path(folder)) as lab:
        for nodes in map(int, sys.argv[1:] or ["50", "1000"]):
            print(measure(lab, nodes))  # noqa: T201


if __name__ == "__main__":
    main()
