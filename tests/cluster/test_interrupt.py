"""Ctrl-C, in a real kernel and in a plain interpreter: the waiting ends at once, the work and the thread live on."""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import Any

import pytest

from p2pnb.cluster import interrupt
from p2pnb.cluster.background import background
from p2pnb.cluster.call import Call

PROMISED = 0.5  # seconds
GENEROUS = 5  # times that, for a machine that has much else to do; without the tick it takes for ever

SETUP = """
    import asyncio
    from p2pnb.cluster.background import background
    from p2pnb.cluster.call import Call
    from p2pnb.cluster.run import run

    async def forever():
        await asyncio.Event().wait()

    async def forever_waiting():  # says so once the loop it waits on has nothing else to do
        asyncio.get_running_loop().call_later(0.2, print, "waiting")
        await call

    async def answer():
        return 42
"""

CELLS = {
    "await": "asyncio.get_running_loop().call_later(0.2, print, 'waiting'); await call",
    "await gather": "asyncio.get_running_loop().call_later(0.2, print, 'waiting'); await asyncio.gather(call, Call(forever()))",
    "run": "print('waiting'); run(call)",
    "run in a cell that also awaits": "await asyncio.sleep(0); print('waiting'); run(call)",
    "run of a coroutine": "run(forever_waiting())",
    "run of a coroutine in a cell that also awaits": "await asyncio.sleep(0); run(forever_waiting())",
    "await after run of a coroutine": "run(answer()); asyncio.get_running_loop().call_later(0.2, print, 'waiting'); await call",
}


@pytest.mark.kernel
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_a_kernel_is_interrupted_at_once_and_goes_on(kernel: Any, cell: str) -> None:
    assert not kernel.run(SETUP + "    call = Call(forever(), 'set')").error
    outcome = kernel.run(cell, interrupt_at="waiting")
    assert outcome.error in ("KeyboardInterrupt", "CancelledError"), outcome
    assert outcome.seconds < GENEROUS * PROMISED
    assert kernel.run("call.done()").result == "False", "the interrupt ended the work, not only the waiting"
    assert kernel.run("await Call(answer()), run(Call(answer())), background().call(lambda: 7)").result == "(42, 42, 7)"
    assert kernel.run("call.cancel(), background().errors").result == "(True, [])"


SCRIPTS = {
    "asyncio.run": "asyncio.run(forever_waiting())",
    "run": "print('waiting'); run(call)",
    "run of a coroutine": "run(forever_waiting())",
    "run of a coroutine inside a loop": "async def outer(): run(forever_waiting())\n    asyncio.run(outer())",
    "background.call": "background().call(lambda: (print('waiting'), release.wait(20)))",
}


@pytest.mark.parametrize("statement", SCRIPTS.values(), ids=SCRIPTS)
def test_a_script_is_interrupted_and_goes_on(script: Any, statement: str) -> None:
    printed = script(
        SETUP
        + f"""
    import threading
    release = threading.Event()
    call = Call(forever(), "set")
    try:
        {statement.replace(chr(10), chr(10) + "    ")}
    except KeyboardInterrupt:
        print("interrupted")
    release.set()
    print(call.done(), run(Call(answer())))
    """,
        interrupt_at="waiting",
    )
    assert printed.splitlines() == ["waiting", "interrupted", "False 42"]


@pytest.mark.parametrize("before", [signal.SIG_IGN, signal.SIG_DFL, signal.default_int_handler])
def test_an_interrupt_that_was_ignored_stays_ignored(before: Any) -> None:
    ours = signal.signal(signal.SIGINT, before)
    try:
        with interrupt.handling(other := lambda number, frame: None):
            assert signal.getsignal(signal.SIGINT) is (other if before is signal.default_int_handler else before)
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGINT, ours)


def test_however_many_wait_the_loop_is_kept_awake_by_one_timer() -> None:
    async def main() -> None:
        release = threading.Event()

        async def held() -> None:
            await asyncio.to_thread(release.wait)

        calls = [Call(held()) for _ in range(3)]
        waits = [asyncio.ensure_future(call) for call in calls for _ in range(100)]
        await asyncio.sleep(0)
        pulses = {loop: pulse.users for loop, pulse in interrupt._pulses.items()}
        assert pulses == {asyncio.get_running_loop(): 300}
        waits[0].cancel()
        release.set()
        await asyncio.wait(waits)

    asyncio.run(main())
    assert not interrupt._pulses


def test_every_beats_until_stopped() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        beaten = asyncio.Event()
        beats = 0

        def beat() -> None:
            nonlocal beats
            beats += 1
            if beats == 3:
                timer.stop()
                loop.call_later(0.01, beaten.set)

        timer = interrupt.Every(loop, 0.001, beat)
        await beaten.wait()
        return beats

    assert asyncio.run(main()) == 3


def test_off_the_main_thread_signals_are_left_alone() -> None:
    def handled() -> bool:
        before = signal.getsignal(signal.SIGINT)
        with interrupt.handling(lambda number, frame: None):
            return signal.getsignal(signal.SIGINT) is before

    assert background().call(handled)
