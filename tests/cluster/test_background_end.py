"""The background thread's end: by `stop`, at the interpreter's exit, and in a forked child."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from p2pnb.cluster.background import Background, background
from p2pnb.errors import ClusterClosed


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
