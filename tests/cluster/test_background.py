"""The background thread: how it begins, crossing over to it, what it keeps, and what leaves it as it is."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
from contextvars import ContextVar
from typing import Any

import pytest

from p2pnb.cluster import background as module
from p2pnb.cluster.background import COLLECT_AFTER, KEPT_ERRORS, SWITCH_INTERVAL, Background, on_background

WHO: ContextVar[str] = ContextVar("who", default="nobody")


def test_there_is_one_and_it_is_started_when_first_asked_for(script: Any) -> None:
    printed = script("""
        import threading
        import p2pnb.cluster.background as module
        print(threading.active_count())
        print(module.background() is module.background(), threading.active_count(), threading.enumerate()[-1].name)
    """)
    assert printed.splitlines() == ["1", "True 2 p2pnb"]


def test_many_threads_that_ask_first_get_the_same_one(script: Any) -> None:
    printed = script("""
        import threading
        from p2pnb.cluster.background import background
        barrier, found = threading.Barrier(8), []
        def ask():
            barrier.wait()
            found.append(background())
        threads = [threading.Thread(target=ask) for _ in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        print(len(found), len(set(found)))
    """)
    assert printed.split() == ["8", "1"]


# -- crossing over


def test_call_runs_a_function_on_the_thread_and_returns_its_result(home: Background) -> None:
    assert not home.inside
    assert not on_background()
    assert home.call(lambda: (home.inside, on_background(), asyncio.get_event_loop() is home.loop)) == (True, True, True)
    assert home.call(divmod, 17, 5) == (3, 2)


def test_call_on_the_thread_itself_is_a_plain_call(home: Background) -> None:
    assert home.call(lambda: home.call(lambda: home.call(threading.current_thread).name)) == "p2pnb"


@pytest.mark.parametrize("error", [KeyError("k"), TimeoutError("t"), SystemExit(3), KeyboardInterrupt()])
def test_call_raises_what_the_function_raises_and_the_thread_lives_on(home: Background, error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        home.call(fail)
    assert caught.value is error
    assert home.call(lambda: 1) == 1
    assert home.errors == []


def test_call_and_submit_carry_the_context_over(home: Background) -> None:
    async def who() -> str:
        return WHO.get()

    token = WHO.set("the caller")
    try:
        assert home.call(WHO.get) == "the caller"
        assert home.submit(who()).result() == "the caller"
    finally:
        WHO.reset(token)


def test_call_from_a_running_loop_and_from_many_threads(home: Background) -> None:
    async def main() -> int:
        return home.call(lambda: 5)

    assert asyncio.run(main()) == 5
    results: list[int] = []
    threads = [threading.Thread(target=lambda n=n: results.append(home.call(lambda: n))) for n in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == list(range(32))


def test_what_is_posted_runs_in_order_and_nobody_waits(home: Background) -> None:
    seen: list[int] = []
    for number in range(100):
        home.post(seen.append, number)
    home.call(lambda: None)
    assert seen == list(range(100))


def test_submit_gives_result_error_and_cancellation(home: Background) -> None:
    ended = threading.Event()

    async def forever() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def fail() -> None:
        raise KeyError("k")

    started = threading.Event()
    with pytest.raises(KeyError):
        home.submit(fail()).result()
    future = home.submit(forever())
    assert started.wait(10)
    assert future.cancel()
    assert ended.wait(10)
    assert home.errors == []


def test_a_task_that_nobody_holds_is_not_collected(home: Background) -> None:
    entered, over = threading.Event(), threading.Event()
    release: list[asyncio.Event] = []

    async def hold() -> None:
        event = asyncio.Event()
        release.append(event)
        entered.set()
        await event.wait()
        over.set()

    home.submit(hold())
    assert entered.wait(10)
    gc.collect()
    home.call(gc.collect)
    home.call(release.pop().set)
    assert over.wait(10)


def test_a_task_that_exits_does_not_take_the_thread_with_it(home: Background) -> None:
    async def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        home.submit(leave()).result()
    assert home.call(lambda: 1) == 1


# -- errors


def test_what_a_task_raised_and_nobody_saw_is_kept_and_logged(home: Background, caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise KeyError("lost")

    def fire_and_forget() -> None:
        home.loop.create_task(fail()).add_done_callback(lambda _: home.loop.call_soon(collected.set))

    collected = threading.Event()
    with caplog.at_level(logging.ERROR, "p2pnb"):
        home.call(fire_and_forget)
        assert collected.wait(10)
        home.call(gc.collect)
        home.post(lambda: 1 // 0)
        home.call(lambda: None)
    assert [type(error) for error in home.errors] == [KeyError, ZeroDivisionError]
    assert home.error_count == 2
    assert "lost" in caplog.text
    assert all(record.name == "p2pnb" for record in caplog.records)


def test_a_bounded_number_of_errors_is_kept_and_all_are_counted(home: Background, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.CRITICAL, "p2pnb"):
        for number in range(KEPT_ERRORS + 5):
            home.failed(KeyError(number), "test")
    assert home.error_count == KEPT_ERRORS + 5
    assert [error.args[0] for error in home.errors] == list(range(5, KEPT_ERRORS + 5))


# -- users


def settings() -> tuple[float, tuple[int, int, int]]:
    return round(sys.getswitchinterval(), 6), gc.get_threshold()


def test_threads_switch_often_and_the_collector_comes_seldom_while_anybody_lives_here(home: Background) -> None:
    before = settings()
    home.acquire("one")
    home.acquire("two")
    assert settings() == (SWITCH_INTERVAL, COLLECT_AFTER) != before
    home.release("one")
    home.release("one")
    assert settings() == (SWITCH_INTERVAL, COLLECT_AFTER)
    home.release("two")
    assert settings() == before
    home.release("two")
    assert settings() == before


def test_what_somebody_else_has_set_meanwhile_is_kept(home: Background) -> None:
    interval, thresholds = settings()
    home.acquire("one")
    sys.setswitchinterval(0.002)
    gc.set_threshold(900, 9, 9)
    home.release("one")
    try:
        assert settings() == (0.002, (900, 9, 9))
    finally:
        sys.setswitchinterval(interval)
        gc.set_threshold(*thresholds)


# -- as it is


@pytest.mark.parametrize("first", ["p2pnb.cluster.background", "nest_asyncio"])
def test_nest_asyncio_does_not_reach_it_whichever_comes_first(script: Any, first: str) -> None:
    printed = script(f"""
        import asyncio, _asyncio, {first}, nest_asyncio
        patched = asyncio.new_event_loop()
        nest_asyncio.apply(patched)
        from p2pnb.cluster.background import background

        async def kinds():
            tasks = [asyncio.create_task(asyncio.sleep(0)), asyncio.ensure_future(asyncio.sleep(0))]
            async with asyncio.TaskGroup() as group:
                tasks.append(group.create_task(asyncio.sleep(0)))
            await asyncio.gather(*tasks)
            return {{type(task) for task in tasks}}, type(asyncio.get_running_loop().create_future())

        assert asyncio.Task is not _asyncio.Task, "nest_asyncio was not applied"
        print(background().submit(kinds()).result() == ({{_asyncio.Task}}, _asyncio.Future))
        loop, original = type(background().loop), asyncio.BaseEventLoop
        print(all(getattr(loop, name) is getattr(original, name) for name in ("run_forever", "run_until_complete", "_run_once")))
        patched.close()
    """)
    assert printed.split() == ["True", "True"]


def test_without_threads_the_current_loop_takes_its_place() -> None:
    async def main() -> None:
        home = Background(threaded=False)
        assert home.inside
        assert home.loop is asyncio.get_running_loop()
        assert home.call(lambda: 5) == 5

        async def answer() -> int:
            return 42

        future = home.submit(answer())
        assert not future.done()
        assert await asyncio.wrap_future(future) == 42
        home.stop()  # the loop belongs to others

    asyncio.run(main())
    assert not module.on_background()
