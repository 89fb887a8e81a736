"""`run`: the one bridge for places where `await` is not allowed (a lambda, a widget's callback, a script).

A `Call` runs on the cluster's thread whatever happens here, so waiting for it is plain blocking. A user's own coroutine
needs a loop on this thread: a fresh one if none runs; else the running one is made re-entrant by nest-asyncio, which
slows every task by half and is therefore applied only then. On the cluster's own thread both would wait for themselves.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import signal
from collections.abc import Awaitable
from typing import Any, TypeVar

from p2pnb.brief import Done, brief
from p2pnb.cluster import background as home
from p2pnb.cluster import interrupt
from p2pnb.cluster.call import Call

T = TypeVar("T")


def run(awaitable: Awaitable[T]) -> T:
    """Waits for `awaitable` and returns its result; raises what it raises, and `KeyboardInterrupt` on Ctrl-C.

    Raises `TypeError` for something that cannot be awaited, and `RuntimeError` on the cluster's own thread, where one
    writes `await`.

    Example: `value = run(cluster[9].ref(key))`.
    """
    __tracebackhide__ = True  # IPython shows what failed, not the waiting
    if isinstance(awaitable, Done) or not inspect.isawaitable(awaitable):
        raise brief(TypeError(_not_awaitable(awaitable)))
    if not home.THREADS:
        return _run_in_browser(awaitable)
    if home.on_background():
        _discard(awaitable)
        raise brief(RuntimeError("run() blocks, and this is the cluster's own thread, which would wait for itself: write `await` instead"))
    if isinstance(awaitable, Call):
        result: T = awaitable.wait()
        return result
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        with asyncio.Runner() as runner:
            return runner.run(_finish(awaitable))
    return _run_nested(loop, awaitable)


async def _finish(awaitable: Awaitable[T]) -> T:
    return await awaitable


def _run_nested(loop: asyncio.AbstractEventLoop, awaitable: Awaitable[T]) -> T:
    """Ctrl-C cancels the nested task, as `asyncio.run` does; a second one interrupts whatever runs."""
    if not isinstance(loop, asyncio.BaseEventLoop):  # nest_asyncio would find out only after it had patched asyncio itself
        _discard(awaitable)
        kind = type(loop).__module__
        raise brief(RuntimeError(f"run() cannot nest inside a {kind} loop: write `await`, or run() only calls of a cluster"))
    import nest_asyncio  # noqa: PLC0415 (needed here only)

    nest_asyncio.apply(loop)
    task = loop.create_task(_finish(awaitable))
    interrupted = False

    def on_interrupt(number: int, frame: Any) -> None:
        nonlocal interrupted
        if interrupted:
            signal.default_int_handler(number, frame)
        interrupted = True
        loop.call_soon_threadsafe(task.cancel)

    with interrupt.handling(on_interrupt), interrupt.awake(loop):
        try:
            return loop.run_until_complete(task)
        except asyncio.CancelledError:
            if interrupted:
                raise KeyboardInterrupt from None
            raise
        finally:
            task.cancel()


def _run_in_browser(awaitable: Awaitable[T]) -> T:
    """Pyodide blocks only where the browser can switch stacks (JSPI)."""
    ffi = importlib.import_module("pyodide.ffi")
    if not ffi.can_run_sync():
        _discard(awaitable)
        raise brief(RuntimeError("run() cannot block in this browser: write `await` instead"))
    answer: T = ffi.run_sync(_finish(awaitable))
    return answer


def _discard(awaitable: Any) -> None:
    if inspect.iscoroutine(awaitable):
        awaitable.close()  # or Python would warn that it was never awaited


def _not_awaitable(thing: object) -> str:
    kind = type(thing).__name__
    if inspect.iscoroutinefunction(thing) or callable(thing):
        name = getattr(thing, "__name__", kind)
        return f"run() takes a call or a coroutine, not a function: write run({name}(…))"
    if inspect.isasyncgen(thing):
        return "run() takes a call or a coroutine, not an async generator: loop over it in a coroutine, with `async for`"
    return f"run() takes a call or a coroutine, and this is {kind}, a value already: leave run() out"
