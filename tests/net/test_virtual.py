"""The loop in simulated time: order, jumps, ends. What asyncio does with a loop is asyncio's own; here is what differs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from p2pnb.net.virtual import BEGINNING, CANCELLED, Stalled, VirtualLoop


def simulate(coroutine: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)


def test_time_jumps_to_exactly_when_somebody_wakes() -> None:
    async def nap() -> list[float]:
        loop = asyncio.get_running_loop()
        woke = []
        for seconds in (0.5, 1e6, 0.0, 1e-3):
            await asyncio.sleep(seconds)
            woke.append(loop.time() - BEGINNING)
        return woke

    began = time.monotonic()
    assert simulate(nap()) == pytest.approx([0.5, 1_000_000.5, 1_000_000.5, 1_000_000.501])
    assert time.monotonic() - began < 1_000


def test_timers_for_one_moment_come_in_the_order_in_which_they_were_set() -> None:
    async def main() -> list[int]:
        loop, said = asyncio.get_running_loop(), list[int]()
        when = loop.time() + 5
        for i in range(100):
            loop.call_at(when, said.append, i)
        await asyncio.sleep(6)
        return said

    assert simulate(main()) == list(range(100))


def test_whoever_is_woken_too_early_by_rounding_gets_on() -> None:
    """A timer that asks for no time at all, again and again, must not stop the clock for everybody."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        loop.call_later(0.001, done.set_result, None)

        def again() -> None:
            if not done.done():
                loop.call_later(0, again)

        again()
        await done
        return loop.time() - BEGINNING

    assert simulate(main()) == pytest.approx(0.001)


def test_cancelled_timers_do_not_pile_up() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        kept = []
        for i in range(20 * CANCELLED):
            handle = loop.call_later(1 + i, pytest.fail, "it was cancelled")
            handle.cancel()
            handle.cancel()
            if i % 1000 == 0:
                loop.call_later(1 + i, kept.append, i)
        assert len(loop._timers) < 3 * CANCELLED
        await asyncio.sleep(30 * CANCELLED)
        assert loop.cancelled == 0
        return len(kept)

    assert simulate(main()) == 20


def test_nothing_that_will_ever_happen_is_an_error() -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    loop = VirtualLoop()
    with pytest.raises(Stalled, match="everybody waits"):
        loop.run_until_complete(forever())


def test_an_error_in_a_callback_is_reported_and_the_loop_goes_on() -> None:
    async def main() -> list[Any]:
        loop, seen = asyncio.get_running_loop(), list[Any]()
        loop.set_exception_handler(lambda _, context: seen.append(context["exception"]))
        loop.call_later(1, lambda: 1 / 0)
        await asyncio.sleep(2)
        return seen

    (error,) = simulate(main())
    assert isinstance(error, ZeroDivisionError)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_program_passes_through(kind: type[BaseException]) -> None:
    loop = VirtualLoop()

    def end() -> None:
        raise kind

    loop.call_later(1, end)
    with pytest.raises(kind):
        loop.drive(10)
    loop.call_soon(loop.halt)
    loop.drive(10)


def test_driving_goes_on_where_it_was_halted_and_leaves_the_outer_loop_as_it_was() -> None:
    inner, said = VirtualLoop(), list[Any]()

    async def inside() -> None:
        assert asyncio.get_running_loop() is inner
        for i in range(3):
            await asyncio.sleep(1)
            said.append((i, inner.time() - BEGINNING))
            inner.halt()

    async def outside() -> None:
        outer = asyncio.get_running_loop()
        task = inner.create_task(inside())
        for i in range(3):
            inner.drive(1_000)
            assert said[-1] == (i, i + 1)
            assert asyncio.get_running_loop() is outer
            await asyncio.sleep(0)
        inner.call_later(1, inner.halt)
        inner.drive(1_000)
        assert task.done()

    asyncio.run(outside())


def test_what_would_need_a_thread_is_computed_at_once() -> None:
    async def main() -> tuple[str, float]:
        name = await asyncio.to_thread(lambda: threading.current_thread().name)
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 / 0)
        return name, asyncio.get_running_loop().time()

    assert simulate(main()) == (threading.current_thread().name, BEGINNING)


def test_a_task_without_a_context_of_its_own_has_an_empty_one() -> None:
    """An empty context is false; taken for none, it would be the setter's."""
    from contextvars import Context, ContextVar

    cause: ContextVar[str] = ContextVar("cause", default="nobody")
    said: list[str] = []

    async def say() -> None:
        await asyncio.sleep(1)
        said.append(cause.get())

    async def main() -> None:
        cause.set("somebody")
        loop = asyncio.get_running_loop()
        await loop.create_task(say(), context=Context())
        loop.call_later(1, lambda: said.append(cause.get()), context=Context())
        loop.call_later(1, lambda: said.append(cause.get()))
        await asyncio.sleep(2)

    simulate(main())
    assert said == ["nobody", "nobody", "somebody"]


def test_dropping_a_world_says_nothing(recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture) -> None:
    def world() -> Callable[[], object]:
        loop = VirtualLoop()
        loop.create_task(asyncio.sleep(5))
        loop.call_later(1, loop.halt)
        loop.drive(1)
        return loop.time

    assert world()() == BEGINNING + 1
    import gc

    gc.collect()
    assert not recwarn.list
    assert not caplog.records


def test_a_timer_for_no_time_at_all_is_due_at_once() -> None:
    async def whole() -> float:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await asyncio.wait_for(asyncio.sleep(float("nan")), 5.0)
        await asyncio.sleep(3.0)
        return loop.time() - begun

    assert simulate(whole()) == pytest.approx(3.0, abs=1e-3)
