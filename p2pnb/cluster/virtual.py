"""The home of a virtual cluster: a loop in simulated time, which runs only while somebody waits for something on it.

It has no thread. Whoever waits for a call runs the cluster meanwhile, in slices of a few milliseconds: a task through the
loop that it waits on, a blocked thread by itself. So time moves as far as the earliest awaited call needs and no farther,
and between two calls the cluster stands still, at a moment in which tables can be read and nodes killed.

What makes a run the same every time, also where several tasks of one loop use the cluster at once:

- what is asked (a call, a kill) takes effect in the order in which it was asked, at the moment at which time stands;
- a slice begins only when the waiting loop has nothing else to do: everything that those tasks were going to ask has been asked;
- a slice ends as soon as a call is done that somebody waits for, so that what he does next happens at that very moment.

How long a slice takes changes nothing. Tasks on several threads may wait too; then their threads' timing decides who asks first.

A signal is handled between two slices: Ctrl-C ends the waiting and never tears a node. If everybody in the cluster waits
and nothing will ever happen, those who wait for its calls are told so.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import Context, copy_context
from typing import Any, TypeVar

from p2pnb.cluster import interrupt
from p2pnb.cluster.background import Awaited, Background, Close, here
from p2pnb.net.virtual import Stalled, VirtualLoop

T = TypeVar("T")

SLICE = 0.01  # seconds of real time
MOST_PASSES = 100  # passes of a waiting loop that is never idle, until the cluster goes on nevertheless
UNSEEN = 8  # passes of one that does not let see whether it is


class VirtualHome(Background):
    """Where one virtual cluster lives, from its launch until it is closed."""

    loop: VirtualLoop

    def __init__(self) -> None:
        super().__init__(threaded=False, loop=VirtualLoop())
        self._lock = threading.Lock()
        self._holder = 0  # the thread that is inside
        self._awaited: Counter[Awaited] = Counter()
        self._launching = False

    @property
    def inside(self) -> bool:
        """Whether the caller runs as part of the cluster."""
        return self._holder == threading.get_ident()

    # -- crossing over

    def post(self, function: Callable[..., object], *args: Any, context: Context | None = None) -> None:
        """Calls `function(*args)` at the moment at which time stands; from inside, soon."""
        if self.inside:
            super().post(function, *args, context=context)
        else:
            with self._entered():
                (copy_context() if context is None else context).run(function, *args)

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """`function(*args)`, at the moment at which time stands. Raises what it raises."""
        if self.inside:
            return function(*args)
        with self._entered():
            return function(*args)

    @contextmanager
    def _entered(self) -> Iterator[None]:
        """One thread at a time is in the cluster, and no signal is handled there."""
        if self.inside:
            raise RuntimeError("this runs as part of the cluster, which would wait for itself: write `await` instead")
        with interrupt.deferred(), self._lock, self.loop.entered():
            self._holder = threading.get_ident()
            here.entered += 1
            try:
                yield
            finally:
                here.entered -= 1
                self._holder = 0

    # -- running it

    def drive(self) -> None:
        """Runs the cluster for a slice, or until something is done that somebody waits for."""
        with self._entered(), self._uncollected() if self._launching else nullcontext():
            try:
                self.loop.drive(SLICE)
            except Stalled as stalled:
                why = f"; what failed in the background: {self.errors[-1]!r}" if self.errors else ""
                hint = f"no node of this cluster has anything to do, and what this call waits for cannot come{why}"
                for work in list(self._awaited):
                    work.end(Stalled(f"{stalled}: {hint}"))

    @contextmanager
    def _uncollected(self) -> Iterator[None]:
        """What a launch makes stays: the collector is not to look at it again and again (a third of the time of a launch)."""
        enabled = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if self._launching:
                gc.freeze()
            if enabled:
                gc.enable()

    def delivered(self) -> None:
        self.loop.halt()

    @contextmanager
    def awaited(self, loop: asyncio.AbstractEventLoop, work: Awaited) -> Iterator[None]:
        """In the block, `loop` runs the cluster whenever it is idle."""
        turns = _turns.get(loop)
        if turns is None:
            turns = _turns[loop] = Turns(loop)
        turns.enter(self)
        self._awaited[work] += 1
        try:
            yield
        finally:
            self._no_longer(work)
            if not turns.leave(self):
                _turns.pop(loop, None)

    def block(self, over: threading.Event, work: Awaited, each_step: Callable[[], object]) -> None:
        """Runs the cluster on this thread until `over`; raises `KeyboardInterrupt` on Ctrl-C."""
        __tracebackhide__ = True
        self._awaited[work] += 1
        try:
            with interrupt.handling(signal.default_int_handler):
                while not over.is_set():
                    self.drive()
                    each_step()
        finally:
            self._no_longer(work)

    def _no_longer(self, work: Awaited) -> None:
        self._awaited[work] -= 1
        if not self._awaited[work]:
            del self._awaited[work]

    # -- users: one cluster

    def acquire(self, user: Hashable, close: Close | None = None) -> None:  # noqa: ARG002 (there is one)
        """`user` lives here. At the end of the process there is nothing to put away."""
        self._launching = True

    def settle(self) -> None:
        """The launch is over."""
        self._launching = False
        super().settle()

    def release(self, user: Hashable) -> None:  # noqa: ARG002 (there is one)
        """The cluster was closed: whatever still runs here is cancelled."""
        for task in asyncio.all_tasks(self.loop) - {asyncio.current_task(self.loop)}:
            task.cancel()
        self._launching = False
        gc.unfreeze()


class Turns:
    """Runs virtual clusters on a loop of somebody's who waits for them, a slice each whenever that loop is idle."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._homes: Counter[VirtualHome] = Counter()
        self._passes = 0
        self._ready: Any = getattr(loop, "_ready", None)  # what it has to do, if it lets one see it
        self._handle = loop.call_soon(self._turn)

    def enter(self, home: VirtualHome) -> None:
        self._homes[home] += 1

    def leave(self, home: VirtualHome) -> bool:
        """Whether there is still somebody who waits on this loop."""
        self._homes[home] -= 1
        if not self._homes[home]:
            del self._homes[home]
        if not self._homes:
            self._handle.cancel()
        return bool(self._homes)

    def _turn(self) -> None:
        self._handle = self._loop.call_soon(self._turn)
        self._passes += 1
        idle = self._passes > UNSEEN if self._ready is None else len(self._ready) == 1  # this one
        if idle or self._passes > MOST_PASSES:
            self._passes = 0
            for home in list(self._homes):
                home.drive()


_turns: dict[asyncio.AbstractEventLoop, Turns] = {}
