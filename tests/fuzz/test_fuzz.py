"""Fuzzing in every test run: the targets of `targets.py` under hypothesis, and a share of the million mutated texts.

`python tests/fuzz/run.py` does the same for as long as one likes, guided by coverage.
"""

from __future__ import annotations

import random
import subprocess
import sys
from itertools import islice
from pathlib import Path
from unittest.mock import ANY

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import cases, mutated
from targets import TARGETS, packed, parser, seeds

from p2pnb.dht.quota import Quota
from p2pnb.wire import channel, sexp_read
from p2pnb.wire.channel import NoiseChannel
from p2pnb.wire.framing import Deframer

RUN = Path(__file__).with_name("run.py")


def inputs(name: str) -> st.SearchStrategy[bytes]:
    """Noise, good inputs, good inputs with a few bytes changed, and good texts in any order."""
    good = seeds(name)
    changed = st.randoms(use_true_random=False).map(lambda rng: mutated(rng, good))
    return st.one_of(st.binary(max_size=300), st.sampled_from(good), changed, st.lists(st.sampled_from(seeds("parser"))).map(packed))


@pytest.mark.parametrize("name", TARGETS)
def test_promises_are_kept(name: str) -> None:
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(inputs(name))
    def promise(data: bytes) -> None:
        TARGETS[name](data)

    promise()


@pytest.mark.parametrize("name", TARGETS)
def test_good_inputs_get_far(name: str) -> None:
    """What fuzzing sets out from is good: every target takes it, and most of it is more than refused."""
    for data in seeds(name):
        TARGETS[name](data)
    if name == "parser":
        assert all(parser(text) for text in seeds(name))


@pytest.mark.parametrize("seed", range(2))
def test_random_and_mutated_texts_raise_only_the_parse_error(seed: int) -> None:
    taken = 0
    for text in islice(cases(seed), 5_000):
        try:
            taken += parser(text)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {text!r}") from error
    assert 250 < taken < 4_500, "the mutations are too wild, or too tame"


Deframer_feed = Deframer.feed
PLANTED = {
    "parser": (sexp_read, "read_plain", lambda octets, offset: octets.decode()),
    "session": (NoiseChannel, "receive", NoiseChannel._take),
    "records": (Deframer, "feed", lambda self, data: Deframer_feed(self, data)[:1]),
    "greeting": (channel, "uid_of", lambda static: ANY),
    "responder": (Quota, "give_back", lambda self, size: None),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_broken_promise_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake that somebody could make in what each target drives is found within a few thousand inputs."""
    where, what, mistake = PLANTED[name]
    rng, good = random.Random(1), seeds(name)
    monkeypatch.setattr(where, what, mistake)

    def fuzz() -> None:
        for _ in range(3_000):
            TARGETS[name](mutated(rng, good))

    with pytest.raises((AssertionError, UnicodeDecodeError)):
        fuzz()


@pytest.mark.slow
def test_the_command_runs_clean(tmp_path: Path) -> None:
    run = [sys.executable, str(RUN)]
    plain = subprocess.run([*run, "--cases", "20000"], capture_output=True, text=True, check=False)
    assert plain.returncode == 0, plain.stdout + plain.stderr
    assert "20,000 texts" in plain.stdout
    pytest.importorskip("atheris", reason="atheris is not installed: pip install -e '.[fuzz]'")
    guided = subprocess.run([*run, "parser", "--minutes", "0.05", "--corpus", str(tmp_path)], capture_output=True, text=True, check=False)
    assert guided.returncode == 0, guided.stdout + guided.stderr
    assert "clean" in guided.stdout
