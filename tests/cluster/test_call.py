"""A call: started already, awaited by anyone, any number of times, with a cause and a context of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any

import pytest
from gates import Gate, answer, awaited, fail

from p2pnb.cluster.background import Background, background
from p2pnb.cluster.call import Call
from p2pnb.errors import NotFound, RequestTimeout
from p2pnb.peer.cause import CAUSE

pytestmark = pytest.mark.usefixtures("nothing_is_left")


# -- it has started, and anyone may wait for it


def test_it_starts_without_being_awaited(gate: Gate) -> None:
    call = Call(gate.hold())
    assert gate.entered.wait(10)
    assert not call.done()


def test_it_runs_on_the_clusters_thread() -> None:
    async def where() -> bool:
        return background().inside

    assert asyncio.run(Call(where()))


def test_it_can_be_awaited_again_and_again() -> None:
    async def main() -> list[int]:
        call = Call(answer())
        return [await call, await call, await call]

    assert asyncio.run(main()) == [42, 42, 42]


def test_it_can_be_awaited_from_several_loops_at_once(gate: Gate) -> None:
    call = Call(gate.hold())
    waiting, results = threading.Barrier(4), list[Any]()

    async def wait_here() -> None:
        task = asyncio.create_task(call)
        await asyncio.sleep(0)
        waiting.wait(10)
        results.append(await task)

    threads = [threading.Thread(target=asyncio.run, args=(wait_here(),)) for _ in range(2)]
    for thread in threads:
        thread.start()

    async def wait_there() -> Any:
        return await call

    there = background().submit(wait_there())

    def block() -> None:
        waiting.wait(10)
        results.append(call.wait())

    blocking = threading.Thread(target=block)
    blocking.start()
    waiting.wait(10)
    gate.open()
    for thread in (*threads, blocking):
        thread.join(10)
    assert [*results, there.result(10)] == ["result"] * 4


async def _first(awaitable: Any) -> Any:
    return (await awaitable)[0]


async def _waited(call: Any) -> Any:
    done, _ = await asyncio.wait([asyncio.ensure_future(call)])
    return done.pop().result()


async def _grouped(call: Any) -> Any:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(call) for _ in range(3)]
    return {task.result() for task in tasks}.pop()


async def _within(call: Any) -> Any:
    async with asyncio.timeout(60):
        return await call


Shape = Callable[[Any], Coroutine[Any, Any, Any]]

SHAPES: dict[str, Shape] = {
    "create_task": lambda call: awaited(asyncio.create_task(call)),
    "ensure_future": lambda call: awaited(asyncio.ensure_future(call)),
    "wait_for": lambda call: asyncio.wait_for(call, 60),
    "shield": lambda call: awaited(asyncio.shield(call)),
    "gather": lambda call: _first(asyncio.gather(call, call)),
    "gather with another": lambda call: _first(asyncio.gather(call, Call(answer()))),
    "wait": _waited,
    "as_completed": lambda call: awaited(next(iter(asyncio.as_completed([call])))),
    "timeout": _within,
    "TaskGroup": _grouped,
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_it_works_wherever_asyncio_takes_a_coroutine(shape: Shape) -> None:
    async def main() -> tuple[Any, Any, Any]:
        call = Call(answer())
        return await shape(call), await shape(call), await call

    assert asyncio.run(main()) == (42, 42, 42)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_it_works_there_on_the_clusters_own_loop_too(shape: Shape) -> None:
    async def main() -> Any:
        return await shape(Call(answer()))

    assert background().submit(main()).result(10) == 42


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_errors_come_out_there_too(shape: Shape) -> None:
    error = NotFound("nowhere")

    async def main() -> None:
        call = Call(fail(error))
        for _ in range(2):
            with pytest.raises((NotFound, ExceptionGroup)) as caught:
                await shape(call)
            found: BaseException = caught.value
            assert (found.exceptions[0] if isinstance(found, ExceptionGroup) else found) is error

    asyncio.run(main())


@pytest.mark.parametrize("value", [None, (1, 2), StopAsyncIteration(), ValueError("a result, not raised"), [Call]])
def test_any_value_can_be_the_result(value: Any) -> None:
    call = Call(answer(value))
    assert asyncio.run(call) is value
    assert call.wait() is value


def test_an_error_that_is_awaited_often_does_not_grow() -> None:
    async def main() -> list[int]:
        call, depths = Call(fail(NotFound("nowhere"))), []
        for _ in range(5):
            try:
                await call
            except NotFound as error:
                depth, traceback = 0, error.__traceback__
                while traceback is not None:
                    depth, traceback = depth + 1, traceback.tb_next
                depths.append(depth)
        return depths

    depths = asyncio.run(main())
    assert depths[1:] == depths[1:2] * 4


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_work_that_exits_tells_its_waiter_and_spares_the_thread(error: BaseException) -> None:
    call = Call(fail(error))
    with pytest.raises(type(error)):
        call.wait()
    assert Call(answer()).wait() == 42


def test_a_call_is_made_of_a_coroutine() -> None:
    with pytest.raises(TypeError, match="made of a coroutine, not of function"):
        Call(answer)  # type: ignore[arg-type]


# -- the cause, and the context


def test_every_call_has_a_cause_of_its_own_and_its_work_sees_it(gate: Gate) -> None:
    async def cause() -> str:
        return CAUSE.get()

    async def nested() -> tuple[str, str, str]:
        return CAUSE.get(), await asyncio.create_task(cause()), await Call(cause(), "inner", cause="inner#1")

    first, second = Call(nested(), "set"), Call(nested(), "set")
    assert first.cause.startswith("set#")
    assert first.cause != second.cause
    assert first.wait() == (first.cause, first.cause, "inner#1")
    assert Call(cause(), cause="bag#7").wait() == "bag#7"
    assert CAUSE.get() == background().call(CAUSE.get) == "upkeep"


def test_the_work_sees_the_context_of_the_cell_that_asked() -> None:
    who: ContextVar[str] = ContextVar("who")

    async def asked_by() -> str:
        return who.get()

    token = who.set("the cell")
    call = Call(asked_by())
    who.reset(token)
    assert call.wait() == "the cell"


# -- without threads


def test_without_threads_the_same_calls_work_on_the_current_loop() -> None:
    async def main() -> None:
        home = Background(threaded=False)
        call = Call(answer(), "set", home=home)
        assert not call.done()
        assert await call == await call == (await asyncio.gather(call, Call(answer(), home=home)))[1] == 42
        cancelled = Call(asyncio.Event().wait(), home=home)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        with pytest.raises(RequestTimeout):
            await Call(asyncio.Event().wait(), timeout=0.01, home=home)

    asyncio.run(main())
