"""The one background thread on which every cluster of the process lives.

A node has to answer while a cell computes or sleeps, so clusters do not share the kernel's event loop: they have a thread
and a loop of their own, started when first needed and kept until the process ends. This file decides where code runs and
how the thread begins and ends; it knows nothing of peers.

- Plain functions go over by `call` (waits for the result) or `post` (does not), coroutines by `submit`. Nothing else
  crosses: an asyncio object is touched on its own loop only.
- While a cluster uses the thread (`acquire` to `release`), Python switches threads every 0.5 ms instead of every 5: a
  request that arrives during a CPU-bound cell then takes 0.14 ms instead of 10. And it looks for garbage in cycles more seldom, since
  the hundreds of objects of each lookup under way are gone by themselves before long.
- What a task raised and nobody caught is logged and kept in `errors`: a cluster asserts at its end that there were none.
- At exit the users' own `close` coroutines run, then everything left is cancelled. A forked child never touches its
  parent's thread: it starts its own when it needs one.
- Where there are no threads (Pyodide) the current loop takes the thread's place, and call sites stay as they are.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import logging
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Hashable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context, copy_context
from typing import Any, Protocol, TypeVar

from p2pnb.cluster import interrupt
from p2pnb.cluster.loop import BackgroundLoop, new_loop
from p2pnb.errors import ClusterClosed

T = TypeVar("T")

NAME = "p2pnb"
SWITCH_INTERVAL = 0.0005  # seconds
COLLECT_AFTER = (5_000, 1, 50)  # as `gc.set_threshold` takes it, while a cluster lives; Python's own is 700, 10, 10
KEPT_ERRORS = 1000
LAST_WORDS = 2.0  # seconds that the users' clean-up may take at exit
THREADS = sys.platform != "emscripten"

log = logging.getLogger(NAME)

Close = Callable[[], Coroutine[Any, Any, object]]


class Awaited(Protocol):
    """Work whose outcome somebody waits for."""

    done: bool

    def end(self, error: BaseException) -> None: ...


class _Thread(threading.Thread):
    """Told apart from every other thread by its class."""


class _Here(threading.local):
    """What this thread is doing for clusters that have no thread of their own."""

    entered = 0  # how many of them it is inside of


here = _Here()


def on_background() -> bool:
    """Whether this is a cluster's own thread, or stands in for it: it must never wait for itself."""
    return here.entered > 0 or isinstance(threading.current_thread(), _Thread)


class Background:
    """An event loop on a daemon thread, or `loop`, which somebody else runs. Use `background()`; a second one is for tests only."""

    def __init__(self, threaded: bool = THREADS, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.errors: list[BaseException] = []  # the newest KEPT_ERRORS
        self.error_count = 0
        self.gone = False  # no more work is taken: stopped, or the parent's after a fork
        self._users: dict[Hashable, Close | None] = {}
        self._tasks: set[asyncio.Task[Any]] = set()  # asyncio itself holds tasks weakly
        self._before: tuple[float, tuple[int, ...]] = 0.0, ()  # the switch interval and the collector's thresholds to go back to
        self._stopping = False
        self._thread: threading.Thread | None = None
        if threaded:
            self.loop: asyncio.AbstractEventLoop = new_loop()
            self._thread = _Thread(target=self._live, name=NAME, daemon=True)
        else:
            self.loop = loop or asyncio.get_running_loop()
        if self.loop.get_exception_handler() is None:
            self.loop.set_exception_handler(self._on_error)
        if self._thread is not None:
            self._thread.start()

    # -- where am I

    @property
    def inside(self) -> bool:
        """Whether the caller is on this background's thread (always, where there are no threads)."""
        return self._thread is None or threading.current_thread() is self._thread

    # -- crossing over

    def post(self, function: Callable[..., object], *args: Any, context: Context | None = None) -> None:
        """Has `function(*args)` called on the loop, soon, and returns at once. Raises `ClusterClosed` when the loop has ended."""
        if not self.gone:
            try:
                if self.inside:
                    self.loop.call_soon(function, *args, context=context)
                else:
                    self.loop.call_soon_threadsafe(function, *args, context=context)
                return
            except RuntimeError:
                if not self.loop.is_closed():
                    raise
        raise ClusterClosed(_GONE)

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """`function(*args)`, run on the loop's thread; blocks until it has returned (at once, when already there).

        Raises what the function raises, `ClusterClosed` when the loop has ended, `KeyboardInterrupt` on Ctrl-C.
        """
        if self.inside:
            if self.gone:
                raise ClusterClosed(_GONE)
            return function(*args)
        outcome: Future[T] = Future()
        over = threading.Event()
        outcome.add_done_callback(lambda _: over.set())
        self.post(_settle, outcome, function, args, context=copy_context())
        try:
            interrupt.block(over, self._check)
        except BaseException:
            outcome.cancel()
            raise
        return outcome.result()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Starts `coroutine` as a task on the loop, in the caller's context. Cancelling the future cancels the task."""
        outcome: Future[T] = Future()
        context = copy_context()
        try:
            self.post(self._begin, coroutine, outcome, context)
        except ClusterClosed:
            coroutine.close()
            raise
        return outcome

    def spawn(self, coroutine: Coroutine[Any, Any, T], context: Context | None = None) -> asyncio.Task[T]:
        """A task on the loop, held until it ends. Only from the loop's own thread."""
        task = self.loop.create_task(coroutine, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def later(self, seconds: float, function: Callable[[], object]) -> asyncio.TimerHandle:
        """Has `function()` called on the loop after `seconds`. Only from the loop's own thread."""
        return self.loop.call_later(seconds, function)

    def _begin(self, coroutine: Coroutine[Any, Any, T], outcome: Future[T], context: Context) -> None:
        task = self.spawn(coroutine, context)

        def over(task: asyncio.Task[T]) -> None:
            if task.cancelled():
                outcome.cancel()
            elif outcome.set_running_or_notify_cancel():
                _settle_now(outcome, task.result)

        def cancelled(outcome: Future[T]) -> None:
            if outcome.cancelled() and not self.gone:
                self.post(task.cancel)

        task.add_done_callback(over)
        outcome.add_done_callback(cancelled)

    def _check(self) -> None:
        if self.gone:
            raise ClusterClosed(_GONE)

    # -- waiting for what runs here

    def awaited(self, loop: asyncio.AbstractEventLoop, work: Awaited) -> AbstractContextManager[None]:  # noqa: ARG002
        """A block in which a task of `loop` waits until `work` is done. Nothing to do: the thread runs by itself."""
        return nullcontext()

    def block(self, over: threading.Event, work: Awaited, each_step: Callable[[], object]) -> None:  # noqa: ARG002
        """Blocks this thread until `over`, which is set when `work` is done."""
        __tracebackhide__ = True
        interrupt.block(over, each_step)

    def delivered(self) -> None:
        """Somebody who waited is told that what he waited for is done."""

    # -- users

    def acquire(self, user: Hashable, close: Close | None = None) -> None:
        """`user` lives here from now on. At exit `close()` is awaited on the loop, unless it was released before."""
        if not self._users:
            self._before = sys.getswitchinterval(), gc.get_threshold()
            sys.setswitchinterval(SWITCH_INTERVAL)
            gc.set_threshold(*COLLECT_AFTER)
        self._users[user] = close

    def settle(self) -> None:
        """What there is now will stay for a while: the collector need not look at it again until the last user is gone.

        A full collection in a notebook with pandas and a cluster stops every thread for 50 ms and more, again and again
        while objects are made; a node would not answer for as long.
        """
        gc.freeze()

    def release(self, user: Hashable) -> None:
        """`user` is gone; the last one gives the switch interval and the collector back. Releasing twice changes nothing."""
        if user in self._users:
            del self._users[user]
            if not self._users:
                self._restore()
                gc.unfreeze()

    def _restore(self) -> None:
        """As it was before; but what somebody else has set since stays."""
        interval, thresholds = self._before
        if abs(sys.getswitchinterval() - SWITCH_INTERVAL) < 1e-6:
            sys.setswitchinterval(interval)
        if gc.get_threshold() == COLLECT_AFTER:
            gc.set_threshold(*thresholds)

    # -- errors

    def _on_error(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception") or RuntimeError(context["message"])
        self.failed(error, context["message"])

    def failed(self, error: BaseException, message: str) -> None:
        """Notes an error that no caller will ever see."""
        self.error_count += 1
        self.errors.append(error)
        del self.errors[:-KEPT_ERRORS]
        log.error("%s: %r", message, error, exc_info=error)

    # -- the thread's life

    def _live(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            while not self._stopping:
                try:
                    self.loop.run_forever()
                except (SystemExit, KeyboardInterrupt):  # raised by somebody's task, who gets it; the others live on
                    log.debug("a task raised SystemExit or KeyboardInterrupt")
            self._wind_down()
        finally:
            self.gone = True
            self.loop.close()

    def _wind_down(self) -> None:
        closes = [close() for close in self._users.values() if close is not None]
        self.loop.run_until_complete(_all_within(closes, LAST_WORDS))
        self.gone = True
        for _ in range(3):  # a cancelled task may leave another one behind
            tasks = asyncio.all_tasks(self.loop)
            for task in tasks:
                task.cancel()
            self.loop.run_until_complete(_all_within(tasks, LAST_WORDS / 2))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())

    def stop(self) -> None:
        """Ends the thread, and everything on it. For interpreter exit and tests; a stopped one stays stopped."""
        if self._thread is None or self.gone:
            return
        if self.inside:
            raise RuntimeError("the background thread cannot wait for its own end")
        self.post(self._stop)
        self._thread.join(3 * LAST_WORDS)
        if self._users:
            self._users.clear()
            self._restore()

    def _stop(self) -> None:
        self._stopping = True
        self.loop.stop()

    def abandon(self) -> None:
        """After a fork, in the child: the thread exists in the parent only, and its loop must not be touched."""
        self.gone = True
        if isinstance(self.loop, BackgroundLoop):
            self.loop.abandon()
        if self._users:
            self._users.clear()
            self._restore()


_GONE = "the thread that clusters live on has ended (the interpreter is exiting, or this process was forked): launch another cluster"


def _settle(outcome: Future[T], function: Callable[..., T], args: tuple[Any, ...]) -> None:
    if outcome.set_running_or_notify_cancel():
        _settle_now(outcome, function, *args)


def _settle_now(outcome: Future[T], function: Callable[..., T], *args: Any) -> None:
    try:
        outcome.set_result(function(*args))
    except BaseException as error:
        outcome.set_exception(error)


async def _all_within(awaitables: Any, seconds: float) -> None:
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            task.cancel()


_shared: Background | None = None
_starting = threading.Lock()
_exiting = False


def background() -> Background:
    """The background of this process, started if there is none. Raises `ClusterClosed` once the interpreter is exiting."""
    global _shared  # noqa: PLW0603
    with _starting:
        if _shared is None or _shared.gone or _shared.loop.is_closed():
            if _exiting:
                raise ClusterClosed(_GONE)
            _shared = Background()
        return _shared


@atexit.register
def _at_exit() -> None:
    global _exiting  # noqa: PLW0603
    _exiting = True
    if _shared is not None:
        _shared.stop()


def _after_fork() -> None:
    global _shared, _starting  # noqa: PLW0603
    _starting = threading.Lock()  # the parent may have held it
    if _shared is not None:
        _shared.abandon()
        _shared = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
