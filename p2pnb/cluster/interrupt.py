"""Ctrl-C while something waits for the cluster.

Python runs a signal's handler on the main thread, when that next executes bytecode. ipykernel's handler then asks the
kernel's loop to cancel the cell, by `call_soon`, which does not wake a loop that is asleep: an interrupt took as long as
the next event took to come (27 s in JupyterLab, with nothing going on for ever). So whatever waits on the main thread
has to wake up now and then: a loop by a timer (`awake`), a blocked thread by waiting in steps (`block`). While a thread
blocks inside a running loop, handlers that ask that loop are of no use at all, and `handling` puts another in their place.

Nothing here knows of clusters, and nothing here cancels work: an interrupt ends the waiting only.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STEP = 0.2  # seconds: an interrupt is answered within 0.5 s, and five wake-ups a second cost nothing

Handler = Callable[[int, FrameType | None], object]


def on_main_thread() -> bool:
    """Whether signals are handled on this thread."""
    return threading.current_thread() is threading.main_thread()


class Every:
    """Calls `function` on `loop` every `seconds`, until stopped."""

    __slots__ = ("_function", "_handle", "_loop", "_seconds", "users")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, function: Callable[[], object]) -> None:
        self._loop, self._seconds, self._function = loop, seconds, function
        self._handle = loop.call_later(seconds, self._beat)
        self.users = 1

    def _beat(self) -> None:
        self._handle = self._loop.call_later(self._seconds, self._beat)
        self._function()

    def stop(self) -> None:
        self._handle.cancel()


_pulses: dict[asyncio.AbstractEventLoop, Every] = {}  # one a loop: a `gather` of 1,000 calls must not mean 5,000 timers


@contextmanager
def awake(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Keeps `loop`, which runs on this thread, waking up every `STEP` seconds while the block lasts."""
    if not on_main_thread():
        yield
        return
    pulse = _pulses.get(loop)
    if pulse is None:
        pulse = _pulses[loop] = Every(loop, STEP, _nothing)
    else:
        pulse.users += 1
    try:
        yield
    finally:
        pulse.users -= 1
        if not pulse.users:
            pulse.stop()
            del _pulses[loop]


def _nothing() -> None:
    """Waking up is all."""


@contextmanager
def handling(handler: Handler) -> Iterator[None]:
    """SIGINT goes to `handler` while the block lasts; not where it was ignored before, nor elsewhere than on the main thread."""
    if not on_main_thread() or not callable(signal.getsignal(signal.SIGINT)):
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def deferred() -> Iterator[None]:
    """A SIGINT that comes while the block lasts is handled at its end: whatever runs in it is somebody else's, and not to be torn."""
    came: list[tuple[int, FrameType | None]] = []
    before = signal.getsignal(signal.SIGINT) if on_main_thread() else None
    try:
        with handling(lambda number, frame: came.append((number, frame))):
            yield
    finally:
        if came and callable(before):
            before(*came[-1])


def block(event: threading.Event, each_step: Callable[[], object] | None = None, step: float = STEP) -> None:
    """Blocks this thread until `event` is set; raises `KeyboardInterrupt` on Ctrl-C. `each_step` is called at every wake-up."""
    __tracebackhide__ = True
    if event.is_set():
        return
    with handling(signal.default_int_handler):
        while not event.wait(step):
            if each_step is not None:
                each_step()
