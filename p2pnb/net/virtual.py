"""An event loop in simulated time: while everybody waits, the clock moves on to the moment when the first one wakes.

An hour of upkeep takes as long as its work does, a deadline is exact, and on a `MemoryNetwork` the same seed gives the
same run. The code that runs on it is the code that runs on any loop of asyncio.

- There is no selector, for there is nothing to listen to: what is ready stands in a queue, what is to come in a heap. Of two
  timers for the same moment the one that was set first comes first, so that a run's order is a matter of the program alone.
- It can be run as any loop (`asyncio.Runner(loop_factory=VirtualLoop)`), or in slices by somebody else's: `drive` goes on for a
  few milliseconds of real time, or until something in it calls `halt`, and the next `drive` takes up where it left off.
- When everybody waits and no timer is set, nothing will ever happen again: then it raises `Stalled`.
- What is handed to an executor is computed at once: in simulated time computing takes none.
"""

from __future__ import annotations

import asyncio
import heapq
import sys
import threading
import time
from _asyncio import Future, Task
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context
from typing import Any

BEGINNING = 1_000.0  # what the clock says at first: a time before which nothing can have been
TICK = 1e-6  # seconds that a timer takes at least, as on any machine: whoever waits for what rounding has just missed gets on
LOOK = 32  # callbacks between two looks at the real clock
CANCELLED = 1_000  # cancelled timers that the heap may hold, if they are less than half of it


class Stalled(RuntimeError):
    """Everybody waits, and nothing will ever happen."""


class _Handle(asyncio.TimerHandle):
    """A callback and when it is due: `asyncio`'s own, made without what its debug mode wants."""

    __slots__ = ()
    _callback: Any
    _args: Any
    _context: Context
    _cancelled: bool
    _scheduled: bool  # whether it stands in the heap
    _loop: VirtualLoop

    def __init__(self, when: float, callback: Callable[..., object], args: Any, loop: VirtualLoop, context: Context | None) -> None:
        self._when = when
        self._callback = callback
        self._args = args
        self._loop = loop
        self._context = copy_context() if context is None else context  # an empty one is false
        self._cancelled = self._scheduled = False
        self._repr = self._source_traceback = None

    def cancel(self) -> None:
        if not self._cancelled:
            self._cancelled = True
            self._callback = self._args = None
            if self._scheduled:
                self._loop.cancelled += 1


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop in which time passes only while everybody waits."""

    _stopping: bool  # these are `BaseEventLoop`'s
    _thread_id: int | None
    _asyncgen_firstiter_hook: Any
    _asyncgen_finalizer_hook: Any

    def __init__(self) -> None:
        super().__init__()
        self.clock = BEGINNING
        self.cancelled = 0  # timers in the heap that nobody wants any more
        self._ready: deque[_Handle] = deque()
        self._timers: list[tuple[float, int, _Handle]] = []
        self._count = 0  # timers ever set: of two for the same moment the earlier one comes first
        self._halted = False

    def __del__(self) -> None:
        """There is nothing that would have had to be closed."""

    def time(self) -> float:
        """Simulated seconds."""
        return self.clock

    # --- what is to be done ---------------------------------------------------------------------------------------------

    # (The types of the base class tie `args` to what the callback takes; here they are handed on as they are.)

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> _Handle:  # type: ignore[override]
        handle = _Handle(self.clock, callback, args, self, context)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Handle:
        when = max(self.clock + TICK, when)  # in this order NaN, which is at no time, is at once
        handle = _Handle(when, callback, args, self, context)
        handle._scheduled = True
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))
        if self.cancelled > CANCELLED and 2 * self.cancelled > len(self._timers):
            self._tidy()
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Handle:
        return self.call_at(self.clock + delay, callback, *args, context=context)

    def _tidy(self) -> None:
        self._timers = [entry for entry in self._timers if not entry[2]._cancelled]
        heapq.heapify(self._timers)
        self.cancelled = 0

    def create_future(self) -> Future[Any]:
        return Future(loop=self)

    def create_task(self, coro: Any, *, name: object = None, context: Context | None = None) -> Task[Any]:
        """A task as asyncio makes them. One that is dropped with its whole world, unfinished, is not worth a word."""
        task: Task[Any] = Task(coro, loop=self, name=None if name is None else str(name), context=context)
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        return task

    def run_in_executor(  # type: ignore[override]
        self,
        executor: object,  # noqa: ARG002 (there is none)
        func: Callable[..., Any],
        *args: Any,
    ) -> Future[Any]:
        """Calls `func` at once."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    # --- doing it -------------------------------------------------------------------------------------------------------

    def _run_once(self) -> None:
        """One pass: whatever is ready now, or the next moment. This is what `run_forever` repeats."""
        if not self._ready:
            if self._stopping:
                return
            self._jump()
        for _ in range(len(self._ready)):
            self._run_next()

    def _jump(self) -> None:
        """Moves the clock on to the next timer, and makes ready all that are due then. Raises `Stalled` when there is none."""
        timers, ready = self._timers, self._ready
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
            self.cancelled -= 1
        if not timers:
            raise Stalled("everybody waits, and nothing will ever happen")
        self.clock = now = max(self.clock, timers[0][0])
        while timers and timers[0][0] <= now:
            handle = heapq.heappop(timers)[2]
            handle._scheduled = False
            if handle._cancelled:
                self.cancelled -= 1
            else:
                ready.append(handle)

    def _run_next(self) -> None:
        handle = self._ready.popleft()
        if handle._cancelled:
            return
        try:
            handle._context.run(handle._callback, *handle._args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.call_exception_handler({"message": f"Exception in callback {handle!r}", "exception": error, "handle": handle})

    def drive(self, seconds: float) -> None:
        """Runs for `seconds` of real time, or until `halt` is called in it. Raises `Stalled`."""
        self._halted = False
        until = time.perf_counter() + seconds
        with self.entered():
            while True:
                for _ in range(LOOK):
                    if not self._ready:
                        self._jump()
                    self._run_next()
                    if self._halted:
                        return
                if time.perf_counter() >= until:
                    return

    def halt(self) -> None:
        """Has `drive` return at once: nothing more happens until it is called again."""
        self._halted = True

    @contextmanager
    def entered(self) -> Iterator[None]:
        """In the block this is the running loop, as it is for what runs on it, whatever loop runs on this thread otherwise."""
        outer, hooks = asyncio._get_running_loop(), sys.get_asyncgen_hooks()
        before, self._thread_id = self._thread_id, threading.get_ident()
        asyncio._set_running_loop(self)
        sys.set_asyncgen_hooks(firstiter=self._asyncgen_firstiter_hook, finalizer=self._asyncgen_finalizer_hook)
        try:
            yield
        finally:
            sys.set_asyncgen_hooks(*hooks)
            asyncio._set_running_loop(outer)
            self._thread_id = before
