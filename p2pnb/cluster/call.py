"""A call: something that a cluster was asked to do, and the result that will come of it.

Asking starts the work, on the cluster's thread; awaiting only waits. So a call can be awaited from any loop or thread, by
several at once, again later, or never. Three parts keep that simple:

- `_Work` is the state: the task, then the outcome. It is settled once, on the cluster's thread, and wakes whoever waits.
  It needs no lock: the outcome is written before the waiters are read, a waiter enters itself before it reads the outcome.
- `Call` is the handle. A task that was made of it (`create_task`, `gather`, `wait_for`, a task group) drives it by `send`
  and `throw` as it would a coroutine; every such task gets a driver of its own.
- A waiter is a future of the waiter's own loop, woken by `call_soon_threadsafe`. No asyncio object goes to another thread.

Cancelling a waiter ends its wait, nobody else's, and not the work; `cancel()` ends the work. An outcome that is an error
and that nobody ever looked at is logged when the last reference to it goes. Everything else that one might do with a
result (attributes, indexing, comparing, a truth test) raises an error that says what was forgotten: `await`.
"""

from __future__ import annotations

import asyncio
import html
import itertools
import logging
import reprlib
import sys
import threading
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from operator import methodcaller
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from p2pnb.brief import brief
from p2pnb.cluster import interrupt
from p2pnb.cluster.amounts import as_timeout
from p2pnb.cluster.background import Background, background, on_background
from p2pnb.cluster.progress import INTERVAL, Progress
from p2pnb.errors import ClusterClosed, RequestTimeout
from p2pnb.net.virtual import VirtualLoop
from p2pnb.peer.cause import CAUSE

T = TypeVar("T")

log = logging.getLogger("p2pnb")

RESULTS = (bytes, bytearray, memoryview, str, int, float, list, dict)  # what a result, but never a call, is compared with

_numbers = itertools.count(1)
_brief = reprlib.Repr()
_brief.maxother = _brief.maxstring = 80


def new_cause(name: str) -> str:
    """An id for the next call of this name, such as "set#12"."""
    return f"{name}#{next(_numbers)}"


class _Work(Generic[T]):
    """The state that a call and its task share; everything that changes it runs on the cluster's thread."""

    __slots__ = ("background", "done", "error", "name", "seen", "task", "timer", "traceback", "value", "waited", "waiters")

    value: T

    def __init__(self, home: Background, name: str) -> None:
        self.background = home
        self.name = name
        self.task: asyncio.Task[T] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.done = False
        self.error: BaseException | None = None
        self.traceback: TracebackType | None = None
        self.seen = False
        self.waited = False  # somebody did, and may have given up
        self.waiters: dict[object, Callable[[], object]] = {}

    def start(self, coroutine: Coroutine[Any, Any, T], timeout: float | None) -> None:
        self.task = self.background.spawn(coroutine)
        self.task.add_done_callback(self.finished)
        if timeout is not None:
            unit = " simulated s" if isinstance(self.background.loop, VirtualLoop) else " s"
            late = RequestTimeout(f"{self.name} was not done within its timeout of {timeout:g}{unit}; give it a longer one, or none")
            self.timer = self.background.loop.call_later(timeout, self.end, late)

    def finished(self, task: asyncio.Task[T]) -> None:
        if self.done:  # given up before; what the clean-up raised has no other reader
            if not task.cancelled() and (error := task.exception()) is not None:
                self.background.failed(error, f"{self.name} failed after it had been given up")
        elif task.cancelled():
            self.settle(asyncio.CancelledError(f"{self.name} was cancelled"))
        elif (error := task.exception()) is not None:
            self.settle(error)
        else:
            self.value = task.result()
            self.settle(None)
        self.task = None

    def end(self, error: BaseException) -> None:
        """The outcome is `error`, now; the task is told to stop."""
        if not self.done:
            self.settle(error)
            if self.task is not None:
                self.task.cancel()

    def cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()

    def settle(self, error: BaseException | None) -> None:
        if error is not None:
            self.error, self.traceback = error, error.__traceback__
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.done = True
        for wake in list(self.waiters.values()):
            wake()
        self.waiters.clear()

    def result(self) -> T:
        __tracebackhide__ = True
        if self.error is None:
            return self.value
        self.seen = True
        try:
            raise self.error.with_traceback(self.traceback)
        finally:
            del self  # or the traceback would hold what it came from

    def check(self) -> None:
        """Raises `ClusterClosed` if the outcome will never come."""
        if self.background.gone and not self.done:
            raise ClusterClosed(f"{self.name} will never be done: the thread it ran on has ended, or belongs to the parent process")

    def __del__(self) -> None:
        expected = isinstance(self.error, asyncio.CancelledError) or (self.waited and isinstance(self.error, ClusterClosed))
        if self.error is not None and not self.seen and not expected:
            whole = None if hasattr(self.error, "_render_traceback_") else self.error  # one line where the message says it all
            log.warning("%s failed, and nobody awaited it: %r", self.name, self.error, exc_info=whole)


def _refusing(lacks: str, then: str = "") -> Callable[..., NoReturn]:
    """A method that says what was forgotten."""

    def refuse(call: Call[Any], *_: object) -> NoReturn:
        raise brief(TypeError(call._forgotten(lacks, then)))

    return refuse


class Call(Coroutine[Any, Any, T]):
    """Something under way: `await` it for the result. It has started already, and may be awaited again, by anyone.

    `coroutine` is run on the cluster's thread. `name` is what was asked ("set"), `on` of whom ("node"): for the repr and
    the errors. After `timeout` seconds the call fails with `RequestTimeout` and the work is cancelled. `cause` is the id
    under which events show what the call made happen; "set#12" if not given. `progress` is drawn where and while somebody waits.

    Example: `call = node.set(b"hello")`, then `key = await call`.
    """

    __slots__ = ("__weakref__", "_drivers", "_on", "_progress", "_work", "cause")

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, T],
        name: str = "call",
        *,
        on: str = "",
        timeout: float | None = None,
        cause: str | None = None,
        home: Background | None = None,
        progress: Progress | None = None,
    ) -> None:
        if not asyncio.iscoroutine(coroutine):
            raise brief(TypeError(f"a call is made of a coroutine, not of {type(coroutine).__name__}"))
        self.cause = cause or new_cause(name)
        self._on = on
        self._progress = progress
        self._drivers: dict[object, Generator[Any, Any, T]] = {}
        try:
            seconds = as_timeout(timeout)
            self._work: _Work[T] = _Work(home or background(), f"{name}(…)")
            context = copy_context()
            context.run(CAUSE.set, self.cause)
            if self._work.background.inside:
                context.run(self._work.start, coroutine, seconds)
            else:
                self._work.background.post(self._work.start, coroutine, seconds, context=context)
        except BaseException:
            coroutine.close()
            raise

    # -- asking about it, ending it

    def done(self) -> bool:
        """Whether there is an outcome: a result, an error, or that it was cancelled.

        Example: `call.done()`.
        """
        return self._work.done

    def cancel(self) -> bool:
        """Cancels the work itself; whoever awaits it gets `CancelledError`. False if it was done already.

        Example: `call.cancel()`.
        """
        if self._work.done:
            return False
        self._work.background.post(self._work.cancel)
        return True

    def fail(self, error: BaseException) -> None:
        """Ends the call at once: whoever awaits it gets `error`, and the work is cancelled. Nothing if it was done already.

        Example: `call.fail(RuntimeError("enough"))`.
        """
        self._work.background.post(self._work.end, error)

    # -- waiting for it

    def __await__(self) -> Generator[Any, Any, T]:
        __tracebackhide__ = True  # here and below: a student's traceback shows his own line and what failed, not the waiting
        if not self._work.done:
            yield from self._woken().__await__()
        return self._work.result()

    async def _woken(self) -> None:
        __tracebackhide__ = True
        loop = asyncio.get_running_loop()
        work = self._work
        woken = loop.create_future()
        near = loop is work.background.loop
        work.waited = True
        work.waiters[woken] = partial(_resolve, woken) if near else partial(_wake, work.background, loop, woken)
        try:
            work.check()
            if work.done:
                return
            if near:
                await woken
                return
            with interrupt.awake(loop), _drawn(None if on_background() else self._progress, loop), work.background.awaited(loop, work):
                await woken
        finally:
            work.waiters.pop(woken, None)

    def wait(self) -> T:
        """Blocks this thread until the outcome is there: what `run(call)` does.

        Example: `key = node.set(b"hello").wait()`.
        """
        __tracebackhide__ = True
        work = self._work
        over = threading.Event()
        work.waited = True
        work.waiters[over] = partial(_set, work.background, over)

        def step() -> None:
            work.check()
            if self._progress is not None:
                self._progress.draw()

        try:
            if not work.done:
                step()
                work.background.block(over, work, step)
        finally:
            work.waiters.pop(over, None)
            if self._progress is not None:
                self._progress.clear()
        return work.result()

    # -- as a coroutine: asyncio makes tasks of it

    def send(self, value: Any) -> Any:
        return self._step(methodcaller("send", value))

    def throw(self, typ: Any, val: Any = None, tb: TracebackType | None = None) -> Any:
        error = typ if val is None and tb is None else (val or typ()).with_traceback(tb)
        return self._step(methodcaller("throw", error))

    def close(self) -> None:
        """Ends the wait of the task that asks; the work goes on."""
        driver = self._drivers.pop(_consumer(), None)
        if driver is not None:
            driver.close()

    def _step(self, advance: Callable[[Generator[Any, Any, T]], Any]) -> Any:
        """Has the asking task's own driver go on."""
        task = _consumer()
        driver = self._drivers.get(task)
        if driver is None:
            driver = self._drivers[task] = self.__await__()
        try:
            return advance(driver)
        except BaseException:  # StopIteration above all: the driver has ended
            self._drivers.pop(task, None)
            raise

    # -- how it shows itself

    @property
    def _state(self) -> str:
        work = self._work
        if not work.done:
            return "running: write await"
        if work.error is None:
            return f"done: {_brief.repr(work.value)}"
        if isinstance(work.error, asyncio.CancelledError):
            return "cancelled"
        return f"failed: {_brief.repr(work.error)}"

    def __repr__(self) -> str:
        return f"<call {self._work.name}: {self._state}>"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        name, state = html.escape(self._work.name), html.escape(self._state)
        style = "font-family: var(--jp-code-font-family, monospace); color: var(--jp-ui-font-color1, inherit)"
        return {"text/plain": repr(self), "text/html": f'<span style="{style}">call <b>{name}</b>: {state}</span>'}

    # -- what people do to a result, and have forgotten to await

    def _forgotten(self, lacks: str, then: str = "") -> str:
        asked = f"await {self._on}.{self._work.name}" if self._on else f"await {self._work.name}"
        return f"this call has not been awaited, so it {lacks}: write `{f'({asked}){then}' if then else asked}`"

    if not TYPE_CHECKING:  # a type checker is to find these missing, and say so before anything runs

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith(("_", "cr_", "gi_")):  # asked by asyncio, inspect and IPython, not by people
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
            raise brief(AttributeError(self._forgotten(f"has no {name!r}", f".{name}")))

        def __eq__(self, other: object) -> bool:
            if isinstance(other, RESULTS):
                raise brief(TypeError(self._forgotten("is equal to nothing yet")))
            return NotImplemented  # by identity, as its hash: sets, lists of calls, mocks

        __hash__ = object.__hash__
        __getitem__ = _refusing("cannot be indexed", "[…]")
        __iter__ = _refusing("cannot be looped over or unpacked")
        __contains__ = _refusing("contains nothing")
        __len__ = _refusing("has no length")
        __add__ = __radd__ = _refusing("cannot be added to anything")
        __lt__ = __le__ = __gt__ = __ge__ = _refusing("is neither less nor more than anything")

        def __bool__(self) -> bool:
            if sys._getframe(1).f_globals.get("__name__", "").partition(".")[0] == "asyncio":
                return True  # it asks its tasks whether they have a coroutine
            raise brief(TypeError(self._forgotten("is neither true nor false")))


def _consumer() -> object:
    """Who drives: the running task; a thread that steps by hand stands for itself."""
    try:
        return asyncio.current_task() or threading.get_ident()
    except RuntimeError:
        return threading.get_ident()


@contextmanager
def _drawn(progress: Progress | None, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Draws `progress` from the waiter's own loop, in the waiter's context, and clears it when the wait is over."""
    if progress is None:
        yield
        return

    drawing = interrupt.Every(loop, INTERVAL, progress.draw)
    try:
        yield
    finally:
        drawing.stop()
        progress.clear()


def _resolve(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)


def _set(home: Background, over: threading.Event) -> None:
    over.set()
    home.delivered()


def _wake(home: Background, loop: asyncio.AbstractEventLoop, woken: asyncio.Future[None]) -> None:
    home.delivered()
    try:
        loop.call_soon_threadsafe(_resolve, woken)
    except RuntimeError:  # the waiter's loop has been closed, and the waiter with it
        pass
