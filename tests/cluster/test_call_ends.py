"""How a call ends: its work or only the wait for it; cancelled, failed, timed out, or with the thread or loop gone."""

from __future__ import annotations

import asyncio
import random
import threading
from typing import Any

import pytest
from gates import Gate, answer, awaited

from p2pnb.cluster.background import Background
from p2pnb.cluster.call import Call
from p2pnb.errors import ClusterClosed, RequestTimeout

pytestmark = pytest.mark.usefixtures("nothing_is_left")


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
                waiter = asyncio.create_task(calls[number]) if rng.random() < 0.5 else asyncio.create_task(awaited(calls[number]))
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
