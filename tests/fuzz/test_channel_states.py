"""Two channels and a wire that does as it likes: whatever happens, what comes out is what went in, in order, or nothing more.

hypothesis chooses what the wire does: it delivers pieces of any size, flips a bit, repeats, swaps or swallows what is on its way, or
sends what was said on another connection. Beside it stands a model of what each end may have heard.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from targets import OUR_EPHEMERAL, OURS, THEIR_EPHEMERAL, THEIRS

from p2pnb.errors import LocalProtocolError, ProtocolError
from p2pnb.wire.channel import NoiseChannel, PlainChannel

DIALLER, LISTENER = 0, 1
sides = st.sampled_from([DIALLER, LISTENER])


class Conversation(RuleBasedStateMachine):
    """`wires[side]`: bytes on their way to that end. `said`, `heard`: the texts that an end sealed, and those it was given."""

    encrypted = True

    @initialize(greeted=st.booleans())
    def dial(self, greeted: bool) -> None:
        self.ends: tuple[Any, Any]
        if self.encrypted:
            self.ends = NoiseChannel(True, OURS, 9000, "", OUR_EPHEMERAL), NoiseChannel(False, THEIRS, 9001, "", THEIR_EPHEMERAL)
        else:
            self.ends = PlainChannel(True, OURS.uid, 9000, ""), PlainChannel(False, THEIRS.uid, 9001, "")
        self.wires = [bytearray(), bytearray(self.ends[DIALLER].start())]
        self.said: list[list[bytes]] = [[], []]
        self.heard: list[list[bytes]] = [[], []]
        self.dead = [False, False]
        self.intact = [True, True]  # whether the wire to that end was left alone
        self.past = b""
        for side in (LISTENER, DIALLER, LISTENER) if greeted else ():
            self.deliver(side, 1_000)
        assert not greeted or all(end.established for end in self.ends)

    @rule(side=sides, size=st.integers(1, 600))
    def deliver(self, side: int, size: int) -> None:
        piece = bytes(self.wires[side][:size])
        del self.wires[side][:size]
        try:
            answer, texts = self.ends[side].receive(piece)
        except ProtocolError:
            assert self.dead[side] or not self.intact[side] or not self.intact[1 - side], "an honest stream was refused"
            self.dead[side] = True
            return
        assert not self.dead[side] or not texts, "a dead channel gave something"
        self.heard[side] += texts
        self.wires[1 - side] += answer

    @rule(side=sides, text=st.binary(min_size=1, max_size=200))
    def say(self, side: int, text: bytes) -> None:
        try:
            sealed = self.ends[side].seal(text)
        except LocalProtocolError:
            assert self.dead[side] or not self.ends[side].established
            return
        self.said[side].append(text)
        self.wires[1 - side] += sealed
        self.past = sealed

    @precondition(lambda self: self.encrypted)
    @rule(side=sides, place=st.integers(0, 400), bit=st.integers(0, 7))
    def flip(self, side: int, place: int, bit: int) -> None:
        if place < len(self.wires[side]):
            self.wires[side][place] ^= 1 << bit
            self.intact[side] = False

    @precondition(lambda self: self.encrypted)
    @rule(side=sides, start=st.integers(0, 300), size=st.integers(1, 100))
    def swallow(self, side: int, start: int, size: int) -> None:
        if start < len(self.wires[side]):
            del self.wires[side][start : start + size]
            self.intact[side] = False

    @precondition(lambda self: self.encrypted)
    @rule(side=sides)
    def repeat(self, side: int) -> None:
        """What was sealed last comes again, to either end."""
        if self.past:
            self.wires[side] += self.past
            self.intact[side] = False

    @invariant()
    def what_comes_out_is_what_went_in(self) -> None:
        for side in (DIALLER, LISTENER):
            said = self.said[1 - side]
            assert self.heard[side] == said[: len(self.heard[side])]

    @invariant()
    def who_is_established_knows_the_other(self) -> None:
        for side, other in ((DIALLER, THEIRS), (LISTENER, OURS)):
            if self.ends[side].established:
                assert self.ends[side].uid == other.uid

    def teardown(self) -> None:
        """Left alone, a wire delivers everything."""
        if not hasattr(self, "ends") or not all(self.intact):
            return
        for _ in range(4):
            for side in (DIALLER, LISTENER):
                self.deliver(side, 1 << 20)
        for side in (DIALLER, LISTENER):
            assert self.heard[side] == self.said[1 - side]
            self.ends[side].eof()


class InTheClear(Conversation):
    encrypted = False


@pytest.mark.parametrize("kind", [Conversation, InTheClear])
def test_conversations(kind: Any) -> None:
    run_state_machine_as_test(kind, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))


def test_a_text_that_is_lost_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    receive = NoiseChannel.receive

    def forgetful(self: NoiseChannel, data: bytes) -> tuple[bytes, list[bytes]]:
        answer, texts = receive(self, data)
        return answer, texts[1:]

    monkeypatch.setattr(NoiseChannel, "receive", forgetful)
    with pytest.raises((AssertionError, BaseExceptionGroup)):
        run_state_machine_as_test(Conversation, settings=settings(max_examples=200, deadline=None, database=None, phases=[Phase.generate]))
