"""The background thread: crossing over to it, what it keeps, how it begins and ends."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from p2pnb.cluster import background as module
from p2pnb.cluster.background import KEPT_ERRORS, SWITCH_INTERVAL, Background, background, on_background
from p2pnb.errors import ClusterClosed

WHO: ContextVar[str] = ContextVar("who", default="nobody")


@pytest.fixture
def home() -> Iterator[Background]:
    """One of the test's own; it must end well."""
    home = Background()
    yield home
    home.stop()
    assert home.gone
    assert home.loop.is_closed()


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


def test_the_switch_interval_is_short_while_anybody_lives_here(home: Background) -> None:
    before = sys.getswitchinterval()
    home.acquire("one")
    home.acquire("two")
    assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL)
    home.release("one")
    home.release("one")
    assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL)
    home.release("two")
    assert sys.getswitchinterval() == pytest.approx(before)
    home.release("two")
    assert sys.getswitchinterval() == pytest.approx(before)


def test_a_switch_interval_that_somebody_else_set_meanwhile_is_kept(home: Background) -> None:
    before = sys.getswitchinterval()
    home.acquire("one")
    sys.setswitchinterval(0.002)
    home.release("one")
    try:
        assert sys.getswitchinterval() == pytest.approx(0.002)
    finally:
        sys.setswitchinterval(before)


# -- the end


def test_stop_closes_the_users_then_cancels_everything_left() -> None:
    before = sys.getswitchinterval()
    order: list[str] = []

    async def forever() -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            order.append("cancelled")

    async def close() -> None:
        await asyncio.sleep(0)
        order.append("closed")

    entered = threading.Event()
    home = Background()
    home.acquire("cluster", close)
    future = home.submit(forever())
    assert entered.wait(10)
    home.stop()
    assert order == ["closed", "cancelled"]
    assert future.cancelled()
    assert home.loop.is_closed()
    assert sys.getswitchinterval() == pytest.approx(before)
    home.stop()


def test_after_its_end_everything_is_refused_and_no_coroutine_is_left_unawaited() -> None:
    async def work() -> None: ...

    home = Background()
    home.stop()
    attempts: list[Callable[[], object]] = [lambda: home.call(int), lambda: home.post(int), lambda: home.submit(work())]
    for attempt in attempts:
        with pytest.raises(ClusterClosed, match="launch another"):
            attempt()


def test_the_thread_cannot_wait_for_its_own_end(home: Background) -> None:
    with pytest.raises(RuntimeError, match="its own end"):
        home.call(home.stop)


def test_a_call_that_the_end_overtakes_is_refused_not_left_hanging(home: Background, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object, **__: object) -> None:
        monkeypatch.setattr(home, "gone", True)  # the loop ended between the question whether it had and the call

    with monkeypatch.context() as patch:
        patch.setattr(home, "post", lost)
        with pytest.raises(ClusterClosed, match="launch another"):
            home.call(int)
    monkeypatch.undo()


def test_when_the_shared_one_has_ended_another_one_takes_its_place() -> None:
    first = background()
    first.stop()
    second = background()
    assert second is not first
    assert second.call(lambda: 1) == 1


def test_at_exit_users_are_closed_and_nothing_hangs_or_complains(script: Any) -> None:
    printed = script("""
        import asyncio, sys
        from p2pnb.cluster.background import background
        from p2pnb.cluster.call import Call

        async def serve():
            async def close():
                server.close()
                await server.wait_closed()
                print("closed")
            server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
            background().acquire("cluster", close)
            return server.sockets[0].getsockname()[1] > 0

        async def forever():
            try:
                await asyncio.Event().wait()
            finally:
                print("cancelled")

        print(background().submit(serve()).result())
        call = Call(forever())
        background().call(int)
        sys.exit(0)
    """)
    assert printed.split() == ["True", "closed", "cancelled"]


def test_at_exit_a_close_that_never_ends_is_given_up(script: Any) -> None:
    printed = script("""
        import asyncio
        import p2pnb.cluster.background as module
        module.LAST_WORDS = 0.05

        async def close():
            try:
                await asyncio.Event().wait()
            finally:
                print("given up")

        module.background().acquire("cluster", close)
    """)
    assert printed.strip() == "given up"


def test_a_thread_of_the_user_that_outlives_the_script_still_finds_it(script: Any) -> None:
    printed = script("""
        import threading
        from p2pnb.cluster.background import background
        from p2pnb.cluster.call import Call
        from p2pnb.cluster.run import run

        async def answer():
            return 42

        def later():
            threading.main_thread().join()
            print(run(Call(answer())))

        background()
        threading.Thread(target=later).start()
    """)
    assert printed.split() == ["42"]


def test_once_the_interpreter_exits_there_is_no_new_one(script: Any) -> None:
    printed = script("""
        import atexit
        from p2pnb.cluster.background import background
        from p2pnb.errors import ClusterClosed

        class Late:
            def __del__(self):
                try:
                    background()
                except ClusterClosed as error:
                    print("refused")

        late = Late()
    """)
    assert printed.split() == ["refused"]


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system does not fork")
def test_a_forked_child_has_one_of_its_own_and_leaves_its_parents_alone(script: Any) -> None:
    printed = script("""
        import asyncio, os, sys, warnings
        from p2pnb.cluster.background import background
        from p2pnb.cluster.call import Call
        from p2pnb.cluster.run import run
        from p2pnb.errors import ClusterClosed
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later advise against what is tried here

        async def answer():
            return 42

        async def forever():
            await asyncio.Event().wait()

        parents, before = background(), sys.getswitchinterval()
        parents.acquire("cluster")
        pending = Call(forever(), "set")
        parents.call(int)
        child = os.fork()
        if not child:
            assert sys.getswitchinterval() == before
            for attempt in (lambda: run(pending), lambda: parents.call(int), lambda: asyncio.run(pending)):
                try:
                    attempt()
                except ClusterClosed:
                    print("refused", flush=True)
            print(background() is parents, run(Call(answer())), flush=True)
            sys.exit(0)
        print(os.waitpid(child, 0)[1])
        print(parents is background(), parents.call(lambda: 7), run(Call(answer())))
    """)
    assert printed.splitlines() == ["refused", "refused", "refused", "False 42", "0", "True 7 42"]


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
        assert not home.threaded
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
