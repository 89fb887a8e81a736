"""Fuzzing for as long as one likes.

    python tests/fuzz/run.py                           coverage-guided, all targets in turn, ten minutes altogether
    python tests/fuzz/run.py parser --minutes 2        one target
    python tests/fuzz/run.py --cases 1000000           random and mutated texts for the parser, without atheris

Coverage-guided fuzzing needs atheris (`pip install -e '.[fuzz]'`). It sets out from good inputs and keeps what it learns
in `--corpus`, a directory. The status is 0 when every promise in `targets.py` was kept; else the input that broke one is printed,
and kept beside the corpus.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

LONGEST = 4_096  # bytes of an input
SLOW = 5  # seconds after which one input is a failure
MEMORY = 1_024  # megabytes


def million(count: int, seed: int) -> int:
    """`count` texts through the parser; prints what came of them."""
    from mutations import cases
    from targets import parser

    start, taken = time.perf_counter(), 0
    for text in islice(cases(seed), count):
        try:
            taken += parser(text)
        except BaseException:
            print(f"seed {seed}: {text!r}")
            raise
    print(f"{count:,} texts: {taken:,} read, the others refused, in {time.perf_counter() - start:.0f} s, seed {seed}")
    return 0


def guided(name: str, seconds: int, corpus: Path) -> int:
    """One target, in a process of its own, since libFuzzer ends the process it runs in."""
    where = corpus / name
    where.mkdir(parents=True, exist_ok=True)
    run = subprocess.run(
        [sys.executable, __file__, name, "--inside", "--seconds", str(seconds), "--corpus", str(corpus)],
        stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    lines = run.stderr.splitlines()
    done = re.findall(r"Done (\d+) runs in (\d+) second", run.stderr)
    covered = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", run.stderr)
    if run.returncode or not done:
        print("\n".join(lines[-40:]))
        print(f"{name}: FAILED")
        return run.returncode or 1
    (runs, took), (edges, features, kept) = done[-1], covered[-1]
    what = f"{int(runs):,} executions in {took} s, {edges} edges and {features} features covered, {kept} inputs kept"
    print(f"{name}: {what}: clean", flush=True)
    return 0


def inside(name: str, seconds: int, corpus: Path) -> None:
    import atheris

    with atheris.instrument_imports(include=["p2pnb.wire", "p2pnb.dht"]):
        import targets

    where = corpus / name
    for text in targets.seeds(name):
        (where / hashlib.sha256(text).hexdigest()[:16]).write_bytes(text)
    words = corpus / "words"
    words.write_text("\n".join(f'"{word}"' for word in ("#u8(", "#(", "(peer", "(set", "(ref", "#t", "\\\\x41;", "#x1F", "namespace-set")))
    options = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-timeout={SLOW}", f"-rss_limit_mb={MEMORY}"]
    options += [f"-dict={words}", f"-artifact_prefix={corpus}/{name}-", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], str(where), *options], targets.TARGETS[name])
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help="which (default: all)")
    parser.add_argument("--minutes", type=float, default=10.0, help="altogether")
    parser.add_argument("--cases", type=int, help="only the parser, so many random and mutated texts, without atheris")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, help="directory that keeps inputs from run to run")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.cases is not None:
        return million(given.cases, given.seed)
    if given.inside:
        inside(given.targets[0], given.seconds, given.corpus)
        return 0
    from targets import TARGETS

    unknown = set(given.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    names = given.targets or list(TARGETS)
    corpus = given.corpus or Path(tempfile.mkdtemp(prefix="p2pnb-fuzz-"))
    seconds = max(round(given.minutes * 60 / len(names)), 1)
    return max([guided(name, seconds, corpus) for name in names])


if __name__ == "__main__":
    sys.exit(main())
