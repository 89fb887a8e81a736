"""`run`: the bridge for places where `await` is not allowed."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Coroutine
from typing import Any
from unittest.mock import Mock

import pytest

from p2pnb.cluster import background as home
from p2pnb.cluster import run as module
from p2pnb.cluster.background import background
from p2pnb.cluster.call import Call
from p2pnb.cluster.run import run
from p2pnb.errors import NotFound


async def answer(value: Any = 42) -> Any:
    return value


async def fail(error: BaseException) -> None:
    raise error


async def where() -> threading.Thread:
    return threading.current_thread()


def test_a_call_runs_where_it_runs_and_a_coroutine_here() -> None:
    assert run(Call(where())).name == "p2pnb"
    assert run(where()) is threading.current_thread()
    assert run(Call(answer())) == run(answer()) == 42


@pytest.mark.parametrize("wrap", [Call, lambda coroutine: coroutine], ids=["call", "coroutine"])
def test_it_raises_what_is_raised(wrap: Any) -> None:
    for error in (NotFound("nowhere"), TimeoutError("mine"), asyncio.CancelledError()):
        with pytest.raises(type(error)) as caught:
            run(wrap(fail(error)))
        assert caught.value is error or isinstance(error, asyncio.CancelledError)


def test_it_takes_any_awaitable() -> None:
    class Later:
        def __await__(self) -> Any:
            return answer().__await__()

    assert run(Later()) == 42


def test_many_threads_may_wait_at_once() -> None:
    results: list[int] = []
    threads = [threading.Thread(target=lambda n=n: results.extend((run(Call(answer(n))), run(answer(n))))) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(results) == sorted([*range(16), *range(16)])


def test_on_the_clusters_own_thread_it_refuses_and_names_await() -> None:
    for make in (lambda: Call(answer()), answer):
        with pytest.raises(RuntimeError, match="write `await`"):
            background().call(lambda make=make: run(make()))


async def produce() -> AsyncIterator[int]:
    yield 1


WRONG: dict[str, tuple[object, str]] = {
    "function": (answer, r"write run\(answer\(…\)\)"),
    "value": (b"value", "this is bytes, a value already: leave run"),
    "none": (None, "this is NoneType, a value already"),
    "async generator": (produce(), "`async for`"),
}


@pytest.mark.parametrize(("thing", "fix"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_awaited_is_refused_and_the_fix_named(thing: Any, fix: str) -> None:
    with pytest.raises(TypeError, match=fix):
        run(thing)


NESTED = """
    import asyncio
    from p2pnb.cluster.background import background
    from p2pnb.cluster.call import Call
    from p2pnb.cluster.run import run

    async def answer():
        await asyncio.sleep(0)
        return 42

    async def fail():
        raise KeyError("k")
"""


def test_inside_a_running_loop_only_a_coroutine_makes_it_re_entrant(script: Any) -> None:
    printed = script(
        NESTED
        + """
    async def main():
        print(run(Call(answer())), hasattr(asyncio, "_nest_patched"))
        print(run(answer()), hasattr(asyncio, "_nest_patched"))
        print(run(answer()), await Call(answer()), run(Call(answer())))
        try:
            run(fail())
        except KeyError:
            print("KeyError")

    asyncio.run(main())
    print(run(answer()))
    """
    )
    assert printed.splitlines() == ["42 False", "42 True", "42 42 42", "KeyError", "42"]


def test_nested_in_nested_and_while_others_go_on(script: Any) -> None:
    printed = script(
        NESTED
        + """
    async def deeper(depth):
        await asyncio.sleep(0)
        return run(deeper(depth - 1)) + 1 if depth else 0

    async def tick():
        while True:
            ticks.append(1)
            await asyncio.sleep(0)

    ticks = []

    async def main():
        other = asyncio.create_task(tick())
        print(run(deeper(5)), len(ticks) > 5)
        other.cancel()

    asyncio.run(main())
    """
    )
    assert printed.splitlines() == ["5 True"]


def test_a_loop_that_cannot_be_made_re_entrant_is_refused_and_asyncio_left_alone() -> None:
    loop = Mock(asyncio.AbstractEventLoop)
    with pytest.raises(RuntimeError, match="write `await`, or run"):
        module._run_nested(loop, answer())
    assert not hasattr(asyncio, "_nest_patched")


def test_without_threads_it_says_whether_the_browser_can_block(monkeypatch: pytest.MonkeyPatch) -> None:
    class Browser:
        able = False

        def can_run_sync(self) -> bool:
            return self.able

        def run_sync(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
            with asyncio.Runner() as runner:
                return runner.run(coroutine)

    browser: Any = Browser()
    monkeypatch.setattr(home, "THREADS", False)
    monkeypatch.setitem(sys.modules, "pyodide.ffi", browser)
    with pytest.raises(RuntimeError, match="cannot block in this browser: write `await`"):
        run(answer())
    browser.able = True
    assert run(answer()) == 42
