"""Prints the figures of p2pnb and its rivals side by side, as a table in Markdown.

    python tests/benchmarks/report.py                  (about seven minutes; wants `pip install -e '.[bench]'`)

Everything is measured here and now, each system in processes of its own, one after the other. `measure.py` says what each
figure is; a dash means that the system has no such thing, or that it was not measured. In parentheses stands what the process's
own CPU time says: wall time is also the time of whatever else the machine does.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import math
import os
import platform
import sys

from measure import KILLED, SYSTEMS, Figures, apart

KINDS = {"p2pnb": "encrypted TCP, Python", "kademlia": "plain UDP, Python", "opendht": "plain UDP, C++"}
WORKS = (("operations", 0), ("launch", 1000), ("silence", 0), ("large", 0), ("abuse", 10))
NOT_MEASURED = {
    "kademlia": {"silence"},  # it never notices a closed port: being killed and falling silent are one
    "opendht": {"launch", "silence", "abuse"},  # a thread a node is no launch of 1,000; nothing of C++ could be counted
}
PART = f"{100 * KILLED:.0f} %"

# (title, work, how its figures are shown)
ROWS: tuple[tuple[str, str, str], ...] = (
    ("launch of {nodes} nodes, joined (CPU)", "operations", "{launch_s:.1f} s ({launch_cpu_s:.1f})"),
    ("launch of 1,000 nodes, joined (CPU)", "launch", "{launch_s:.1f} s ({launch_cpu_s:.1f})"),
    ("memory a node after the launch", "operations", "{launched_kb_a_node:.0f} KB"),
    ("memory a node after all operations", "operations", "{warm_kb_a_node:.0f} KB"),
    ("puts, cold (a second of CPU)", "operations", "{cold_puts_a_s:.0f}/s ({cold_puts_a_cpu_s:.0f})"),
    ("puts, warm (a second of CPU)", "operations", "{warm_puts_a_s:.0f}/s ({warm_puts_a_cpu_s:.0f})"),
    ("copies of a value", "operations", "{copies:.0f}"),
    ("get, p50 (p95)", "operations", "{get_p50_ms:.2f} ms ({get_p95_ms:.2f})"),
    ("gets, 32 in flight (a second of CPU)", "operations", "{gets_a_s:.0f}/s ({gets_a_cpu_s:.0f})"),
    (f"get at once after {PART} were killed, p50 (p95)", "operations", "{killed_get_p50_ms:.1f} ms ({killed_get_p95_ms:.0f})"),
    (f"lost after {PART} were killed, of gets", "operations", "{killed_lost} of {killed_gets}"),
    (f"get at once after {PART} fell silent, p50 (p95)", "silence", "{killed_get_p50_ms:.1f} ms ({killed_get_p95_ms:.0f})"),
    (f"lost after {PART} fell silent, of gets", "silence", "{killed_lost} of {killed_gets}"),
    ("a value of 249,996 bytes, put and got", "large", "{large_s:.2f} s"),
    ("longest pass of the loop meanwhile, wall at best (own CPU)", "large", "{large_lag_wall_ms:.1f} ms ({large_lag_cpu_ms:.1f})"),
    ("exceptions unhandled under 1,000 random connections and messages", "abuse", "{unhandled}"),
)


def cell(figures: Figures | None, shown: str) -> str:
    if figures is None:
        return "–"
    if "large_error" in figures:
        return "refused" if "large_s" in shown else "–"
    finite = all(not isinstance(figure, float) or math.isfinite(figure) for name, figure in figures.items() if "{" + name in shown)
    return shown.format(**figures) if finite else "–"


def table(found: dict[tuple[str, str], Figures], systems: list[str], nodes: int) -> str:
    heads = [f"{name} {importlib.metadata.version(name)} ({KINDS[name]})" for name in systems]
    lines = [["", *heads], ["---"] * (len(heads) + 1)]
    for title, work, shown in ROWS:
        lines.append([title.format(nodes=nodes), *[cell(found.get((name, work)), shown) for name in systems]])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=["p2pnb", "kademlia", "opendht"])
    parser.add_argument("--works", nargs="+", choices=[work for work, _ in WORKS], default=[work for work, _ in WORKS])
    chosen = parser.parse_args()
    found: dict[tuple[str, str], Figures] = {}
    for work, nodes in WORKS:
        for name in chosen.systems:
            if work in chosen.works and work not in NOT_MEASURED.get(name, ()):
                print(f"measuring {name}: {work}", file=sys.stderr, flush=True)
                found[name, work] = apart(name, nodes or chosen.nodes, work)
    print(table(found, chosen.systems, chosen.nodes))
    load = f", load average {os.getloadavg()[2]:.1f} over 15 minutes" if hasattr(os, "getloadavg") else ""
    print(f"\n{os.cpu_count()} cores, {platform.python_implementation()} {platform.python_version()}{load}.")


if __name__ == "__main__":
    main()
