"""The progress of a launch: one line while somebody waits and looks, nothing afterwards, nothing elsewhere."""

from __future__ import annotations

import asyncio
import io
import sys
import threading
from typing import Any

import pytest

from p2pnb.cluster import cells, progress
from p2pnb.cluster.background import background
from p2pnb.cluster.call import Call
from p2pnb.cluster.progress import BAR, INTERVAL, PATIENCE, Notebook, Progress, Terminal


class Clock:
    """Time that the test moves; or that moves on by `runs` seconds whenever somebody looks."""

    now = 100.0
    runs = 0.0

    def __call__(self) -> float:
        self.now += self.runs
        return self.now


class Recorder:
    """A canvas that notes what it was asked, and on which thread."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.threads: set[threading.Thread] = set()

    def show(self, progress: Progress) -> None:
        self.threads.add(threading.current_thread())
        self.lines.append(progress.line())

    def clear(self) -> None:
        self.threads.add(threading.current_thread())
        self.lines.append("")


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def make(total: int = 200, canvas: Any = None) -> tuple[Progress, Recorder, Clock]:
    recorder, clock = Recorder(), Clock()
    return Progress(f"launching {total} nodes", total, canvas or recorder, clock), recorder, clock


def test_the_line_says_what_how_far_and_how_long() -> None:
    shown, recorder, clock = make()
    shown.step(120)
    clock.now += 0.8
    shown.draw()
    full = round(BAR * 0.6)
    assert recorder.lines == [f"launching 200 nodes {'█' * full}{'░' * (BAR - full)} 120/200 · 0.8 s"]


@pytest.mark.parametrize(("done", "total", "full"), [(0, 200, 0), (200, 200, BAR), (250, 200, BAR), (0, 0, BAR)])
def test_the_bar_is_never_longer_than_it_is(done: int, total: int, full: int) -> None:
    shown, _, _ = make(total)
    shown.step(done)
    assert (shown.line().count("█"), shown.line().count("░")) == (full, BAR - full)


def test_what_is_over_soon_is_never_shown() -> None:
    shown, recorder, clock = make()
    clock.now += PATIENCE - 0.01
    shown.draw()
    shown.clear()
    assert recorder.lines == []


def test_it_is_drawn_ten_times_a_second_however_often_it_is_asked_to() -> None:
    shown, recorder, clock = make()
    clock.now += PATIENCE
    for _ in range(1000):
        clock.now += 0.001
        shown.draw()
    assert 10 <= len(recorder.lines) <= 11
    assert INTERVAL == 0.1


def test_it_is_cleared_once_and_comes_back_for_the_next_who_waits() -> None:
    shown, recorder, clock = make()
    clock.now += 1
    for _ in range(2):
        shown.draw()
        shown.clear()
        shown.clear()
        clock.now += 1
    assert [bool(line) for line in recorder.lines] == [True, False, True, False]


def test_a_display_that_fails_is_not_tried_again() -> None:
    class Broken(Recorder):
        def show(self, progress: Progress) -> None:
            super().show(progress)
            raise OSError("no such terminal")

    broken = Broken()
    shown, _, clock = make(canvas=broken)
    for _ in range(3):
        clock.now += 1
        shown.draw()
    shown.clear()
    assert len(broken.lines) == 1


def test_a_terminal_has_one_line_cut_to_its_width_and_gets_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    stream = Tty()
    shown, _, clock = make(canvas=Terminal(stream))
    clock.now += 1
    shown.draw()
    shown.clear()
    drawn, cleared = stream.getvalue().split("\r\x1b[2K")[1:]
    assert drawn.startswith("launching 200 nodes ")
    assert len(drawn) == 29
    assert cleared == ""
    assert "\n" not in stream.getvalue()


# -- who draws


@pytest.mark.parametrize("how", ["await", "wait"])
def test_the_one_who_waits_draws_on_his_own_thread_and_clears(how: str) -> None:
    shown, recorder, clock = make(3)
    clock.runs = 1.0
    drawn = threading.Event()

    async def launch() -> str:
        shown.step(2)
        await asyncio.to_thread(drawn.wait, 10)
        return "launched"

    class Seen(Recorder):
        def show(self, progress: Progress) -> None:
            super().show(progress)
            if progress.done == 2:
                drawn.set()

    shown._canvas = seen = Seen()
    call = Call(launch(), progress=shown)
    assert (asyncio.run(call) if how == "await" else call.wait()) == "launched"
    assert "2/3" in seen.lines[-2]
    assert seen.lines[-1] == ""
    assert seen.threads == {threading.current_thread()}
    assert recorder.lines == []


def test_it_is_cleared_when_the_wait_is_given_up() -> None:
    shown, recorder, clock = make(3)
    clock.runs = 1.0
    release = threading.Event()

    class Leaving(Recorder):
        def show(self, progress: Progress) -> None:
            super().show(progress)
            waiters[0].cancel()

    shown._canvas = recorder = Leaving()

    async def launch() -> None:
        await asyncio.to_thread(release.wait, 10)

    async def main() -> None:
        waiters.append(asyncio.create_task(call))
        await asyncio.wait(waiters)

    call = Call(launch(), progress=shown)
    waiters: list[asyncio.Task[None]] = []
    asyncio.run(main())
    release.set()
    call.wait()
    assert "0/3" in recorder.lines[0]
    assert recorder.lines[-1] == ""


def test_the_clusters_thread_never_draws() -> None:
    shown, recorder, clock = make(3)
    clock.runs = 1.0

    async def launch() -> None:
        await asyncio.sleep(3 * INTERVAL)

    async def workload() -> None:
        await Call(launch(), progress=shown)

    background().submit(workload()).result(10)
    assert recorder.lines == []


# -- where anything is drawn at all


@pytest.mark.parametrize(
    ("ci", "stream", "drawn"),
    [
        *((ci, Tty(), True) for ci in (None, "", "0", "false")),
        *((ci, Tty(), False) for ci in ("true", "1", "yes")),
        *((None, stream, False) for stream in (io.StringIO(), None)),
    ],
)
def test_a_terminal_is_drawn_to_but_no_pipe_and_nothing_in_ci(
    monkeypatch: pytest.MonkeyPatch, ci: str | None, stream: Any, drawn: bool
) -> None:
    monkeypatch.setattr(cells, "shell", lambda: None)
    monkeypatch.setattr(sys, "stderr", stream)
    if ci is None:
        monkeypatch.delenv("CI", raising=False)
    else:
        monkeypatch.setenv("CI", ci)
    assert isinstance(progress.canvas(), Terminal) == drawn


LAUNCH = """
    import asyncio
    from p2pnb.cluster import progress
    from p2pnb.cluster.call import Call
    progress.PATIENCE, progress.INTERVAL = 0.0, 0.03

    async def launch(shown):
        for _ in range(4):
            shown.step()
            await asyncio.sleep(2 * progress.INTERVAL)
        return "launched"

    shown = progress.launching(4)
    print("before")
    await Call(launch(shown), progress=shown)
"""


@pytest.mark.kernel
def test_a_notebook_shows_one_display_that_is_empty_in_the_end(kernel: Any) -> None:
    outcome = kernel.run(LAUNCH, cell="a-cell")
    assert (outcome.error, outcome.result, outcome.text) == ("", "'launched'", "before\n")
    assert len({shown["transient"]["display_id"] for shown in outcome.displays}) == 1
    *drawn, last = [shown["data"] for shown in outcome.displays]
    assert drawn
    assert all("launching 4 nodes" in shown["text/plain"] and "<progress" in shown["text/html"] for shown in drawn)
    assert all("var(--jp-" in shown["text/html"] for shown in drawn)
    assert last == {"text/plain": "", "text/html": ""}


@pytest.mark.kernel
def test_a_notebook_run_by_a_machine_shows_nothing(kernel: Any) -> None:
    outcome = kernel.run(LAUNCH, cell=None)
    assert (outcome.error, outcome.result, outcome.text) == ("", "'launched'", "before\n")
    assert outcome.displays == []


@pytest.mark.kernel
def test_a_kernel_in_ci_shows_nothing(kernel: Any) -> None:
    kernel.run("import os; os.environ['CI'] = 'true'", cell="a-cell")
    try:
        assert kernel.run(LAUNCH, cell="a-cell").displays == []
    finally:
        kernel.run("del os.environ['CI']", cell="a-cell")


def test_what_a_notebook_shows_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[dict[str, str]] = []

    class Shell:
        class display_pub:
            @staticmethod
            def publish(data: dict[str, str], **_: object) -> None:
                published.append(data)

    monkeypatch.setattr(progress, "shell", Shell)
    Notebook("id").show(Progress("<b>launching</b>", 3, None))
    assert "<b>" not in published[0]["text/html"]
