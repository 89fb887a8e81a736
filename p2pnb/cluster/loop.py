"""The event loop of the background thread: asyncio's own, out of nest-asyncio's reach.

nest-asyncio patches the *class* of a loop and swaps asyncio's tasks and futures for those written in Python: after one
nested `run(…)` in a cell, every cluster would run at less than half its speed (measured: 2.4 times as long for 30,000
small tasks). This class holds on to the originals. It changes nothing else.
"""

from __future__ import annotations

import asyncio
import sys
from _asyncio import Future, Task
from typing import Any

if sys.platform == "win32":
    _Base = asyncio.ProactorEventLoop  # select() holds 512 sockets there, so a class of the other kind
else:
    _Base = asyncio.SelectorEventLoop
_Original: Any = asyncio.BaseEventLoop  # of its attributes some are private


class BackgroundLoop(_Base):
    """What `Background` runs."""

    if sys.platform != "win32":
        run_forever = _Original.run_forever
    run_until_complete = _Original.run_until_complete
    _run_once = _Original._run_once
    _check_running = _Original._check_running

    def create_future(self) -> Future[Any]:
        return Future(loop=self)

    def abandon(self) -> None:
        """Counts as closed from now on, and nothing is closed: a forked child shares the epoll descriptor with its
        parent, and taking sockets off it would deafen the parent."""
        self._closed = True


def native_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Task[Any]:
    """The task factory: asyncio's own tasks, written in C."""
    return Task(coroutine, loop=loop, **options)


def new_loop() -> asyncio.AbstractEventLoop:
    """A fresh loop; it listens to nothing yet."""
    loop = BackgroundLoop()
    loop.set_task_factory(native_task)
    return loop
