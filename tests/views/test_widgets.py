"""The base of all widgets: when it looks, what it sends, how it answers, and that it ends without a trace. No browser, no kernel."""

from __future__ import annotations

import gc
import heapq
import itertools
import logging
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import comm
import pytest
from ipywidgets.widgets.widget import _instances

from p2pnb.views.widgets import base
from p2pnb.views.widgets.base import BEAT, INTERVAL, Live, Stage
from p2pnb.views.widgets.map import Map
from p2pnb.views.widgets.sight import Sight
from p2pnb.views.widgets.table import Table
from p2pnb.views.widgets.xor import XorSpace

SVG = '<svg xmlns="http://www.w3.org/2000/svg"><title>a picture</title></svg>'


class Timer:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Home:
    """A thread of its own that is none: what is posted runs when the test says so, and time passes when it says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.posted: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        self.armed: list[tuple[float, int, Timer, Callable[[], object]]] = []
        self.numbers = itertools.count()

    def post(self, function: Callable[..., object], *args: Any) -> None:
        self.posted.append((function, args))

    def later(self, seconds: float, function: Callable[[], object]) -> Timer:
        timer = Timer()
        heapq.heappush(self.armed, (self.now + seconds, next(self.numbers), timer, function))
        return timer

    def submit(self, coroutine: Any) -> None:
        with pytest.raises(StopIteration):
            coroutine.send(None)

    def settle(self) -> None:
        while self.posted:
            function, args = self.posted.pop(0)
            function(*args)

    def run(self, seconds: float) -> None:
        self.settle()
        end = self.now + seconds
        while self.armed and self.armed[0][0] <= end:
            self.now, _, timer, function = heapq.heappop(self.armed)
            if not timer.cancelled:
                function()
                self.settle()
        self.now = end

    @property
    def waiting(self) -> int:
        return sum(not timer.cancelled for *_, timer, _ in self.armed)


class Counter(Live):
    """Shows a number that the test changes; counts how often it was looked at."""

    _esm = "export default {}"

    def __init__(self, stage: Stage | None = None) -> None:
        self.number = self.looks = 0
        self.sent: list[Any] = []
        super().__init__("A counter", stage)

    def look(self) -> dict[str, Any]:
        self.looks += 1
        if self.number < 0:
            raise RuntimeError("a negative number")
        return {"number": self.number}

    def version(self) -> int:
        return self.number

    def heard(self, news: base.News) -> Any:
        if "add" in news:
            self.number += news["add"]
            return None
        if "later" in news:
            return self.later(news["later"])
        return super().heard(news)

    async def later(self, number: int) -> None:
        if number == 13:
            raise RuntimeError("thirteen")
        self.number = number

    def picture(self) -> str:
        return SVG

    def send(self, content: Any, buffers: Any = None) -> None:
        self.sent.append(content)


@pytest.fixture
def home() -> Home:
    return Home()


@pytest.fixture
def stage(home: Home) -> Stage:
    return Stage(home, lambda: home.now, lambda: home.now)


@pytest.fixture(autouse=True)
def displayed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[dict[str, Any], str, bool]]]:
    """What was displayed: bundle, display id, whether in place of an earlier one."""
    seen: list[tuple[dict[str, Any], str, bool]] = []

    def display(bundle: dict[str, Any], *, raw: bool, display_id: str, update: bool = False) -> None:
        assert raw
        seen.append((bundle, display_id, update))

    monkeypatch.setattr(base, "display", display)
    yield seen
    for widget in list(_instances.values()):
        widget.close()


def shown(stage: Stage) -> Counter:
    widget = Counter(stage)
    widget._ipython_display_()
    return widget


def test_a_widget_nobody_displays_is_not_looked_at(home: Home, stage: Stage) -> None:
    widget = Counter(stage)
    home.run(10)
    assert widget.looks == 1, "once, for its first state"
    assert not home.waiting


def test_changes_are_sent_together_and_at_most_twenty_times_a_second(home: Home, stage: Stage) -> None:
    widget = shown(stage)
    home.run(INTERVAL)
    before, states = widget.looks, []
    widget.observe(lambda change: states.append(change.new["number"]), "state")
    for _ in range(1000):
        widget.number += 1
        home.run(0.001)
    home.run(INTERVAL)
    assert widget.state == {"number": 1000}
    assert len(states) <= 1 / INTERVAL + 1
    assert states == sorted(states)
    assert widget.looks - before <= 1 / INTERVAL + 2


def test_nothing_changed_means_nothing_sent_but_a_beat_each_second(home: Home, stage: Stage) -> None:
    widget = shown(stage)
    states: list[Any] = []
    home.run(INTERVAL)
    widget.observe(states.append, "state")
    widget.sent.clear()
    home.run(10 * BEAT)
    assert len(widget.sent) in (9, 10)
    assert widget.sent.count({"beat": True}) == len(widget.sent)
    assert states == []


def test_looking_that_takes_long_is_done_less_often(home: Home, stage: Stage) -> None:
    widget = shown(stage)

    def slow() -> dict[str, Any]:
        home.now += 0.1
        widget.looks += 1
        widget.number += 1
        return {"number": widget.number}

    home.run(INTERVAL)
    widget.look, widget.looks = slow, 0  # type: ignore[method-assign]
    home.run(10)
    assert widget.looks <= 10 / (0.1 / base.SHARE) + 1


def test_what_the_browser_says_is_answered_at_home(home: Home, stage: Stage) -> None:
    widget = shown(stage)
    home.run(INTERVAL)
    widget._handle_custom_msg({"add": 5}, [])
    assert widget.number == 0, "not on the thread on which the message came"
    home.run(INTERVAL)
    assert widget.state == {"number": 5}
    widget._handle_custom_msg({"later": 7}, [])
    home.run(2 * INTERVAL)
    assert widget.state == {"number": 7}


@pytest.mark.parametrize(
    ("news", "said", "level"),
    [
        ({"nonsense": 1}, "A counter does not know what to do with {'nonsense': 1}", logging.INFO),
        ("text", "A counter: news is a dict, not str", logging.INFO),
        ({"add": "x"}, "unsupported operand type", logging.ERROR),
        ({"later": 13}, "thirteen", logging.ERROR),
    ],
)
def test_an_error_in_a_callback_is_said_and_logged(
    home: Home, stage: Stage, caplog: pytest.LogCaptureFixture, news: Any, said: str, level: int
) -> None:
    """What the user did wrong is told to him alone; what we did wrong comes with a traceback."""
    caplog.set_level(logging.INFO, "p2pnb")
    widget = shown(stage)
    home.run(INTERVAL)
    widget._handle_custom_msg(news, [])
    home.run(INTERVAL)
    assert widget.said.startswith(said)
    assert [(record.name, record.levelno) for record in caplog.records] == [("p2pnb", level)]
    widget._handle_custom_msg({"add": 1}, [])
    home.run(INTERVAL)
    assert (widget.said, widget.state) == ("", {"number": 1}), "and the widget lives on"


def test_an_error_in_looking_is_said_once(home: Home, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    widget = shown(stage)
    home.run(INTERVAL)
    widget.number = -1
    home.run(5)
    assert widget.said == "a negative number"
    assert len(caplog.records) == 1
    widget.number = 3
    home.run(INTERVAL)
    assert widget.state == {"number": 3}


def test_a_widget_whose_last_view_is_gone_is_left_alone(home: Home, stage: Stage) -> None:
    widget = shown(stage)
    for view in ("a", "b"):
        widget._handle_custom_msg({"view": view, "here": True}, [])
    widget._handle_custom_msg({"view": "a", "here": False}, [])
    home.run(1)
    assert home.waiting
    widget._handle_custom_msg({"view": "b", "here": False}, [])
    home.run(1)
    looks = widget.looks
    home.run(10)
    assert (widget.looks, home.waiting) == (looks, 0)
    widget._handle_custom_msg({"view": "c", "here": True}, [])
    home.run(1)
    assert widget.looks > looks, "and looked at again when a view appears"


def test_closing_leaves_the_picture_wherever_it_was_displayed(home: Home, stage: Stage, displayed: list[Any]) -> None:
    widget = shown(stage)
    widget._ipython_display_()
    (first, view, _), (picture, one, _), (_, second, _), (_, other, _) = displayed
    assert first[base.VIEW]["model_id"] == widget.model_id
    assert first["text/plain"] == "<A counter, live in a notebook>"
    assert SVG in picture["text/html"], "for readers without a kernel"
    assert widget.token in picture["text/html"], "and a living view can hide it"
    displayed.clear()
    stage.close()
    assert widget.sent[-1] == {"over": True}, "its views go without a word: the subshell that would hear it goes as well"
    assert [(name, update) for _, name, update in displayed] == [(one, True), (view, True), (other, True), (second, True)]
    assert all(base.VIEW not in bundle for bundle, _, _ in displayed)
    assert [SVG in bundle["text/html"] for bundle, _, _ in displayed] == [True, False, True, False]
    home.run(5)
    assert not home.waiting
    widget.close()
    widget._handle_custom_msg({"add": 1}, [])
    home.run(1)
    assert widget.number == 0, "what is closed hears nothing"


def test_one_that_cannot_be_closed_keeps_no_other_from_it(home: Home, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    widgets = [shown(stage) for _ in range(3)]
    stage.dismiss = lambda widget: 1 / (widget is not widgets[1])  # type: ignore[method-assign]
    stage.close()
    assert [widget.over for widget in widgets] == [True, True, True]
    assert "could not be closed" in caplog.text


def test_in_a_box_it_keeps_its_place_as_a_picture(home: Home, stage: Stage) -> None:
    widget = Counter(stage)
    widget._handle_custom_msg({"view": "a", "here": True}, [])
    home.run(1)
    stage.close()
    assert SVG in widget.still
    assert widget.comm is not None


def test_fifty_displays_and_closes_leave_nothing(home: Home, stage: Stage) -> None:
    comms, models = len(comm.get_comm_manager().comms), len(_instances)
    gone = []
    for _ in range(50):
        widget = shown(stage)
        home.run(INTERVAL)
        widget.number += 1
        home.run(INTERVAL)
        gone.append(weakref.ref(widget))
        widget.close()
        home.run(INTERVAL)
    del widget
    gc.collect()
    assert (len(comm.get_comm_manager().comms), len(_instances)) == (comms, models)
    assert not [ref for ref in gone if ref() is not None]
    assert (stage.made, stage.shown, home.waiting, home.posted) == (set(), [], 0, [])


def test_one_without_a_cluster_needs_no_stage(displayed: list[Any]) -> None:
    widget = Counter()
    widget._ipython_display_()
    assert not widget.beats
    widget._handle_custom_msg({"add": 2}, [])
    assert widget.state == {"number": 2}
    widget.close()
    assert displayed[-1][2], "replaced by its picture"


def test_the_scripts_are_whole_and_need_nothing_from_outside() -> None:
    for widget in (Map, Table, XorSpace, Sight):
        text = str(widget._esm)
        assert text.count("export default") == 1
        assert not [word for word in ("import(", "import ", "https:", "//cdn", "eval(") if word in text]


def test_no_script_is_too_long_to_read() -> None:
    scripts = list(Path(base.__file__).parent.glob("*.js"))
    assert scripts
    assert not [path.name for path in scripts if len(path.read_text().splitlines()) > 400]
