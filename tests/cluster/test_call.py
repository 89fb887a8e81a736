"""A call: started already, awaited by anyone, any number of times; and what it says to who forgot to."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from p2pnb.cluster.background import Background, background
from p2pnb.cluster.call import Call
from p2pnb.errors import ClusterClosed, NotFound, RequestTimeout
from p2pnb.peer.cause import CAUSE
from p2pnb.uid import key_of


class Gate:
    """Work that ends when the test says so, and says how it ended."""

    def __init__(self) -> None:
        self._event = asyncio.Event()  # belongs to the loop that first waits on it: the cluster's
        self.entered = threading.Event()
        self.left = threading.Event()

    async def hold(self, result: Any = "result") -> Any:
        self.entered.set()
        try:
            await self._event.wait()
            if isinstance(result, BaseException):
                raise result
            return result
        finally:
            self.left.set()

    def open(self) -> None:
        background().call(self._event.set)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """After every test: no task on the cluster's thread, and no error that nobody saw."""
    errors = background().error_count
    yield

    async def drain() -> int:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        _, never = await asyncio.wait(left, timeout=10) if left else (left, left)
        return len(never)

    assert background().submit(drain()).result() == 0
    assert background().error_count == errors


async def answer(value: Any = 42) -> Any:
    return value


async def fail(error: BaseException) -> Any:
    raise error


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


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


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
    "create_task": lambda call: _awaited(asyncio.create_task(call)),
    "ensure_future": lambda call: _awaited(asyncio.ensure_future(call)),
    "wait_for": lambda call: asyncio.wait_for(call, 60),
    "shield": lambda call: _awaited(asyncio.shield(call)),
    "gather": lambda call: _first(asyncio.gather(call, call)),
    "gather with another": lambda call: _first(asyncio.gather(call, Call(answer()))),
    "wait": _waited,
    "as_completed": lambda call: _awaited(next(iter(asyncio.as_completed([call])))),
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


# -- ending the wait, ending the work


def test_a_waiter_that_is_cancelled_leaves_the_work_and_the_others_alone(gate: Gate) -> None:
    async def main() -> None:
        call = Call(gate.hold())
        leaves, stays = asyncio.create_task(call), asyncio.create_task(call)
        never_began = asyncio.create_task(call)
        never_began.cancel()
        await asyncio.sleep(0)
        leaves.cancel()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(call, 0.01)
        await asyncio.wait([leaves, never_began])
        assert (leaves.cancelled(), never_began.cancelled(), stays.done(), call.done()) == (True, True, False, False)
        assert len(call._work.waiters) == 1
        assert len(call._drivers) == 1
        assert not gate.left.is_set()
        gate.open()
        assert await stays == await call == "result"
        assert not call._drivers

    asyncio.run(main())


def test_cancel_ends_the_work_and_everybody_who_waits_learns_it(gate: Gate) -> None:
    async def main() -> None:
        call = Call(gate.hold(), "set")
        waiters = [asyncio.create_task(call) for _ in range(3)]
        await asyncio.to_thread(gate.entered.wait, 10)
        assert call.cancel()
        await asyncio.wait(waiters)
        assert all(waiter.cancelled() for waiter in waiters)
        assert gate.left.is_set()
        assert (call.done(), call.cancel(), repr(call)) == (True, False, "<call set(…): cancelled>")
        with pytest.raises(asyncio.CancelledError, match="set"):
            await call

    asyncio.run(main())


def test_work_may_finish_all_the_same_after_cancel() -> None:
    entered = threading.Event()

    async def stubborn() -> str:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "finished"
        return "never"

    call = Call(stubborn())
    assert entered.wait(10)
    call.cancel()
    assert call.wait() == "finished"


def test_fail_ends_it_at_once_with_that_error(gate: Gate) -> None:
    call = Call(gate.hold(), "set")
    assert gate.entered.wait(10)
    call.fail(ClusterClosed("closed meanwhile"))
    with pytest.raises(ClusterClosed, match="meanwhile"):
        call.wait()
    call.fail(ValueError("too late"))
    with pytest.raises(ClusterClosed):
        asyncio.run(call)
    assert gate.left.wait(10)


def test_a_timeout_fails_the_call_and_cancels_the_work(gate: Gate) -> None:
    call = Call(gate.hold(), "ref", timeout=0.01)
    with pytest.raises(RequestTimeout, match=r"ref\(…\) was not done within its timeout of 0.01 s"):
        call.wait()
    assert gate.left.wait(10)


def test_a_timeout_that_is_not_reached_leaves_no_timer() -> None:
    call = Call(answer(), timeout=3600)
    assert call.wait() == 42
    assert call._work.timer is None


def test_what_the_clean_up_raises_after_a_timeout_is_not_lost(caplog: pytest.LogCaptureFixture) -> None:
    async def messy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("while cleaning up")

    home = Background()
    try:
        with pytest.raises(RequestTimeout):
            Call(messy(), "set", timeout=0.01, home=home).wait()
        home.call(lambda: None)
        home.call(lambda: None)
        assert [str(error) for error in home.errors] == ["while cleaning up"]
    finally:
        home.stop()


NONSENSE = [(0, ValueError), (-1, ValueError), (float("nan"), ValueError), ("5", TypeError), (True, TypeError)]


@pytest.mark.parametrize(("timeout", "error"), NONSENSE)
def test_a_timeout_that_makes_no_sense_is_refused_at_once(timeout: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="timeout is"):
        Call(answer(), timeout=timeout)


def test_on_a_thread_that_has_ended_calls_are_refused_and_pending_ones_end() -> None:
    home, entered = Background(), threading.Event()

    async def forever() -> None:
        entered.set()
        await asyncio.Event().wait()

    call = Call(forever(), home=home)
    assert entered.wait(10)
    home.stop()
    with pytest.raises(asyncio.CancelledError):
        call.wait()
    with pytest.raises(ClusterClosed):
        Call(answer(), home=home)


def test_a_waiter_whose_loop_was_closed_meanwhile_disturbs_nobody(gate: Gate) -> None:
    call = Call(gate.hold())
    loop = asyncio.new_event_loop()
    task = loop.create_task(call)
    loop.call_soon(loop.stop)
    loop.run_forever()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    gate.open()
    assert call.wait() == "result"


def test_however_waiters_come_and_go_each_gets_what_it_should() -> None:
    for seed in range(20):
        rng = random.Random(seed)

        async def main(rng: random.Random = rng, seed: int = seed) -> None:
            gates = [Gate() for _ in range(5)]
            calls = [Call(gate.hold(number)) for number, gate in enumerate(gates)]
            waiters: list[tuple[int, asyncio.Task[Any], bool]] = []
            for _ in range(100):
                number, leave = rng.randrange(5), rng.random() < 0.3
                waiter = asyncio.create_task(calls[number]) if rng.random() < 0.5 else asyncio.create_task(_awaited(calls[number]))
                waiters.append((number, waiter, leave))
                if rng.random() < 0.3:
                    await asyncio.sleep(0)
                if leave and not gates[number].left.is_set():
                    waiter.cancel()
                if rng.random() < 0.05:
                    gates[rng.randrange(5)].open()
            for gate in gates:
                gate.open()
            await asyncio.wait([waiter for _, waiter, _ in waiters])
            for number, waiter, leave in waiters:
                assert (waiter.cancelled() and leave) or waiter.result() == number, f"seed {seed}"
            assert not any(call._work.waiters or call._drivers for call in calls), f"seed {seed}"

        asyncio.run(main())


# -- errors that nobody looked at


def failed(call: Call[Any]) -> Call[Any]:
    """`call`, once it is done; its error counts as unseen still."""
    over = threading.Event()
    call._work.waiters["test"] = over.set
    assert call.done() or over.wait(10)
    return call


def test_an_error_that_nobody_ever_saw_is_logged_when_the_call_goes(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "p2pnb"):
        call = failed(Call(fail(NotFound("nowhere")), "ref"))
        assert not caplog.records
        del call
        gc.collect()
    assert "ref(…) failed, and nobody awaited it: NotFound('nowhere')" in caplog.text


def test_so_it_is_when_the_call_went_first(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "p2pnb"):
        Call(gate.hold(NotFound("nowhere")), "ref")
        gc.collect()
        assert not caplog.records
        gate.open()
        assert gate.left.wait(10)
        background().call(lambda: None)
        background().call(gc.collect)
    assert "nobody awaited it" in caplog.text


def test_an_error_that_somebody_saw_is_not_logged_nor_a_cancelled_call(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "p2pnb"):
        with pytest.raises(NotFound):
            Call(fail(NotFound("nowhere"))).wait()
        cancelled = Call(gate.hold())
        cancelled.cancel()
        failed(cancelled)
        del cancelled
        gc.collect()
    assert not caplog.records


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


# -- how it shows itself


def test_its_repr_says_how_it_stands(gate: Gate) -> None:
    call = Call(gate.hold(key_of(b"hello")), "set")
    assert repr(call) == "<call set(…): running: write await>"
    gate.open()
    call.wait()
    assert repr(call) == f"<call set(…): done: {key_of(b'hello')!r}>"
    assert repr(failed(Call(fail(NotFound("nowhere")), "ref"))).startswith("<call ref(…): failed: NotFound('nowhere')")
    assert len(repr(failed(Call(answer(b"x" * 249_996), "ref")))) < 200


def test_it_shows_itself_in_a_cell_with_what_is_not_html_escaped() -> None:
    bundle = failed(Call(answer("<script>alert(1)</script>"), "ref"))._repr_mimebundle_(include=None, exclude=None)
    assert set(bundle) == {"text/plain", "text/html"}
    assert "<script>" not in bundle["text/html"]
    assert "&lt;script&gt;" in bundle["text/html"]
    assert "var(--jp-" in bundle["text/html"]


FORGOTTEN: dict[str, tuple[type[Exception], Callable[[Any], Any], str]] = {
    "attribute": (AttributeError, lambda call: call.hops, "has no 'hops': write `(await node.set(…)).hops`"),
    "method": (AttributeError, lambda call: call.hex(), "has no 'hex': write `(await node.set(…)).hex`"),
    "index": (TypeError, lambda call: call[0], "cannot be indexed: write `(await node.set(…))[…]`"),
    "loop": (TypeError, list, "write `await node.set(…)`"),
    "unpacking": (TypeError, lambda call: [*call], "write `await node.set(…)`"),
    "membership": (TypeError, lambda call: b"x" in call, "write `await node.set(…)`"),
    "length": (TypeError, len, "write `await node.set(…)`"),
    "truth": (TypeError, bool, "write `await node.set(…)`"),
    "not": (TypeError, lambda call: not call, "write `await node.set(…)`"),
}


@pytest.mark.parametrize(("error", "use", "fix"), FORGOTTEN.values(), ids=FORGOTTEN)
def test_using_it_as_if_it_were_the_result_says_what_was_forgotten(error: type[Exception], use: Callable[[Any], Any], fix: str) -> None:
    with pytest.raises(error, match="this call has not been awaited, so it ") as caught:
        use(Call(answer(), "set", on="node"))
    assert str(caught.value).endswith(fix)


@pytest.mark.parametrize("name", ["__array__", "_ipython_display_", "_repr_png_", "cr_code", "gi_running", "__wrapped__"])
def test_those_who_only_look_get_a_plain_no(name: str) -> None:
    call = Call(answer())
    assert not hasattr(call, name)
    with pytest.raises(AttributeError) as caught:
        getattr(call, name)
    assert "await" not in str(caught.value)


def test_a_task_made_of_it_has_a_repr() -> None:
    async def main() -> str:
        task = asyncio.create_task(Call(answer()))
        await task
        return repr(task)

    assert "Call" in asyncio.run(main())


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
