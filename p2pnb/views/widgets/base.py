"""The base of every live widget: how state goes to the browser, how news comes back, and how a widget ends.

State goes one way. A widget is a pure function from what the cluster says to a dict (`look`); on a change the dict is set as
the trait `state`, and the browser draws it. What the browser has to say (a click, a key) comes as a custom message and is
answered by `heard`. Nothing is ever set from the browser: traits set there got lost while Python sent at the same time.
Large arrays are bytes inside the dict, and travel as binary buffers.

Everything happens on one thread, the `Home` that the cluster layer lends. Since ipykernel 7 a message may arrive on any
thread, with any loop; it is posted home at once. Sending has one place, the `Stage` of a cluster: one timer, every 50 ms while anything
is on display, looks at each widget's `version`, and where it is another one looks and sends. So a thousand changes between
two looks are one update, and looking never takes more than a fifth of the thread. With each second goes a beat; a browser that
misses three of them greys the widget out, for the kernel, or the cluster's thread, is gone. On a network in virtual time the
same holds: the timer is real, and each moment to which somebody drives the network is one more thing to look at.

An exception in a callback is logged, and shown in the widget's message line; the widget lives on. A widget ends by `close`, or
with its cluster: each place where it was displayed gets its picture instead, by display id, so that a saved notebook has
pictures. Timers, observers and the comm end with it. A notebook that was saved before has a picture too, a second output,
which a living view hides.

To make one: a subclass with `_esm = script("name")`, `look`, `heard`, `picture`; in `name.js` one `export default live(ui => …)`,
see `base.js`, which `script` puts in front of it.
"""

from __future__ import annotations

import hashlib
import inspect
import itertools
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping
from importlib import resources
from typing import Any, Protocol

import anywidget
import traitlets
from IPython.display import display

from p2pnb.errors import P2PError
from p2pnb.views import cards, svg

log = logging.getLogger("p2pnb")

INTERVAL = 0.05  # seconds between two looks, at least
BEAT = 1.0  # seconds
SHARE = 0.2  # of the cluster's thread that looking may take
VIEW = "application/vnd.jupyter.widget-view+json"

News = Mapping[str, Any]

_numbers = itertools.count()
_COLOURS = ("blue", "orange", "green", "vermillion", "purple", "sky", "grey", "dark_blue")

# A saved notebook that was never closed has a view without a widget, and JupyterLab says "model not found": the picture takes its place.
_IN_ITS_PLACE = '.jp-OutputArea-child:has(+ .jp-OutputArea-child [data-p2p="%s"]):not(:has(.p2p-widget)){display:none}'


def script(*names: str) -> str:
    """The JavaScript of a widget, these .js files of the package, behind the base and the constants that it shares with the pictures."""
    colours = {each: getattr(svg, each.upper()) for each in _COLOURS}
    constants = {"THEME": svg.theme(".p2p-widget"), "COLOURS": colours, "FONT": svg.FONT, "MONO": svg.MONO}
    package = resources.files("p2pnb.views.widgets")
    parts = [f"const {each} = {json.dumps(value)};" for each, value in constants.items()]
    return "\n".join([*parts, *((package / f"{each}.js").read_text(encoding="utf-8") for each in ("base", *names))])


class Timer(Protocol):
    """Something armed that can be called off."""

    def cancel(self) -> None: ...


class Home(Protocol):
    """The thread on which everything happens; `cluster.background.Background` is one."""

    def post(self, function: Callable[..., object], *args: Any) -> None:
        """Has `function(*args)` called there, soon. From any thread."""

    def later(self, seconds: float, function: Callable[[], object]) -> Timer:
        """Has `function()` called there after `seconds` of real time. Only from there."""

    def submit(self, coroutine: Coroutine[Any, Any, Any]) -> object:
        """Runs `coroutine` there as a task. From any thread."""


class Stage:
    """The widgets of one cluster that are on display, and the one place from which they are sent to the browser."""

    def __init__(
        self, home: Home, clock: Callable[[], float] = time.monotonic, effort: Callable[[], float] = time.thread_time
    ) -> None:
        """`effort`: the thread's own time. A cell that computes makes looking take longer by the clock, but no dearer."""
        self.home = home
        self.made: set[Live] = set()  # all that live
        self.shown: list[Live] = []  # those that somebody looks at
        self._clock, self._effort = clock, effort
        self._timer: Timer | None = None
        self._beat_at = 0.0

    def admit(self, widget: Live) -> None:
        """`widget` is on display: look at it from now on. From any thread."""
        self.home.post(self._admit, widget)

    def _admit(self, widget: Live) -> None:
        if widget not in self.shown and not widget.over:
            self.shown.append(widget)
        if self._timer is None:
            self._step()

    def dismiss(self, widget: Live) -> None:
        """Nobody looks at `widget` any more; with the last one the timer ends. From any thread."""
        self.home.post(self._dismiss, widget)

    def _dismiss(self, widget: Live) -> None:
        if widget in self.shown:
            self.shown.remove(widget)
        if self._timer is not None and not self.shown:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Ends every widget, while there still is a network to take pictures of."""
        for widget in list(self.made):
            try:
                widget.close()
            except Exception as error:  # the cluster is to be closed all the same
                log.error("%s could not be closed: %r", widget.title, error, exc_info=error)

    def _step(self) -> None:
        self._timer = None
        began, now = self._effort(), self._clock()
        beat = now >= self._beat_at
        if beat:
            self._beat_at = now + BEAT
        for widget in list(self.shown):
            widget.refresh(beat)
        if self.shown:
            spent = self._effort() - began
            self._timer = self.home.later(max(INTERVAL, spent / SHARE), self._step)


class Live(anywidget.AnyWidget):
    """A live widget. Ends when its cluster is closed; `close()` ends it before that, and leaves its picture."""

    title = traitlets.Unicode("").tag(sync=True)
    state = traitlets.Dict().tag(sync=True)  # what is drawn
    said = traitlets.Unicode("").tag(sync=True)  # the message line: what went wrong last
    beats = traitlets.Bool(False).tag(sync=True)  # whether a beat comes each second, and silence means that the kernel is gone
    token = traitlets.Unicode("").tag(sync=True)  # what marks its pictures in a page
    still = traitlets.Unicode("").tag(sync=True)  # once closed: its card, for views that are part of another widget
    scale = traitlets.Float(1.0).tag(sync=True)  # of text and lines: 1 for a desk, 1.5 for a projector

    def __init__(self, title: str, stage: Stage | None = None, **traits: Any) -> None:
        """`stage` None: what is shown will not change, and needs no kernel once it is displayed."""
        self.over = False
        self._stage = stage
        self._views: set[str] = set()
        self._displays: list[tuple[str, str]] = []  # display ids of each view and of its picture
        self._seen: Hashable = object()
        self._wanted = False
        state = self.look()
        token = hashlib.sha256(repr((title, next(_numbers), state)).encode()).hexdigest()[:12]  # the same when a seeded notebook runs again
        super().__init__(title=title, state=state, beats=stage is not None, scale=svg.look().scale, token=token, **traits)
        self._unroute()
        self.on_msg(self._on_message)
        if stage is not None:
            stage.made.add(self)

    # --- what a widget is, for subclasses -------------------------------------------------------------------------------

    def look(self) -> dict[str, Any]:
        """What is to be drawn, now. Bytes in it travel as binary buffers."""
        raise NotImplementedError

    def version(self) -> Hashable:
        """Something cheap that is another one whenever `look` would find something new. (It looks once a second in any case.)"""
        return None

    def heard(self, news: News) -> Awaitable[object] | None:
        """Answers what the browser said: `news` as given to `ui.send`. Raises `ValueError` for what makes no sense."""
        raise ValueError(f"{self.title} does not know what to do with {dict(news)!r}")

    def picture(self) -> str:
        """The still: an SVG of what is shown now."""
        raise NotImplementedError

    # --- sending --------------------------------------------------------------------------------------------------------

    def refresh(self, beat: bool = False) -> None:
        """Looks, and sends what has changed. Called by the stage, on the cluster's thread."""
        if self.over:
            return
        try:
            version = self.version()
            if beat or self._wanted or version != self._seen:
                self._seen, self._wanted = version, False
                self.state = self.look()
                self.after_look()
            if beat:
                self.send({"beat": True})
        except Exception as error:
            self.fail(error)

    def after_look(self) -> None:
        """Sends what is no state but passes: messages to replay, say."""

    def want(self) -> None:
        """Look again at the next occasion."""
        self._wanted = True

    def fail(self, error: BaseException) -> None:
        """Shows `error` in the message line, and logs it: as a mistake of ours, unless it tells the user what to do better."""
        said = str(error) or type(error).__name__
        if self.over or said == self.said:
            return
        if isinstance(error, (ValueError, P2PError)):
            log.info("%s: %s", self.title, said)
        else:
            log.error("%s: %r", self.title, error, exc_info=error)
        self.said = said

    def _send(self, msg: Any, buffers: Any = None) -> None:
        super()._send(msg, buffers)
        self._unroute()

    def _unroute(self) -> None:
        """Lets the browser choose the subshell that hears it, so that clicks are answered while a cell computes.

        ipykernel 7.4 would have it the one of whoever spoke last on the comm, and the thread that speaks here has none.
        """
        if self.comm is not None:
            self.comm.__dict__.pop("_reply_subshell_id", None)

    # --- hearing --------------------------------------------------------------------------------------------------------

    def _on_message(self, _: object, news: Any, __: object) -> None:
        """A message arrived, on whatever thread."""
        if self._stage is not None:
            self._stage.home.post(self._hear, news)
        else:
            self._hear(news)
            self.refresh()

    def _hear(self, news: Any) -> None:
        if self.over:
            return
        try:
            if not isinstance(news, dict):
                raise ValueError(f"{self.title}: news is a dict, not {type(news).__name__}")
            if "view" in news:
                self._greet(str(news["view"]), bool(news.get("here")))
                return
            self.said = ""
            answer = self.heard(news)
            if answer is not None and self._stage is not None and inspect.isawaitable(answer):
                self._stage.home.submit(self._finish(answer))
        except Exception as error:
            self.fail(error)
        self._wanted = True

    async def _finish(self, answer: Awaitable[object]) -> None:
        try:
            await answer
        except Exception as error:
            self.fail(error)
        self._wanted = True

    def _greet(self, view: str, here: bool) -> None:
        """A view of the widget has appeared in a browser, or has gone; with the last one gone nobody looks."""
        (self._views.add if here else self._views.discard)(view)
        if self._stage is not None:
            if self._views:
                self._wanted = True
                self._stage.admit(self)
            else:
                self._stage.dismiss(self)

    # --- being displayed, and ending --------------------------------------------------------------------------------------

    def _ipython_display_(self, **_: object) -> None:
        """Two outputs: the live view, and its picture, which hides while the view is alive and stays when that cannot be shown."""
        view, picture = (f"p2pnb-{os.urandom(8).hex()}" for _ in range(2))
        if not self.over:
            self._displays.append((view, picture))
            model = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
            display({"text/plain": repr(self), VIEW: model}, raw=True, display_id=view)  # type: ignore[no-untyped-call]
        display(self._still(), raw=True, display_id=picture)  # type: ignore[no-untyped-call]
        if self._stage is not None and not self.over:
            self._stage.admit(self)

    def _still(self) -> dict[str, Any]:
        """The picture, for where no kernel runs."""
        try:
            picture = self.picture()
        except Exception as error:
            log.debug("no picture of %s", self.title, exc_info=error)
            picture = ""
        card = cards.still_card(self.title, picture)
        return cards.mimebundle(f'<div data-p2p="{self.token}"><style>{_IN_ITS_PLACE % self.token}</style>{card.html}</div>', card.text)

    def close(self) -> None:
        """Ends the widget. Where it was displayed its picture stays. From any thread."""
        if self.over:
            return
        still = self._still() if self._displays or self._views else {}
        self.over = True
        if self._stage is not None:
            self._stage.made.discard(self)
            self._stage.dismiss(self)
        self.send({"over": True})  # a last word of a view that goes would come to a subshell that the kernel is deleting
        for view, picture in self._displays:
            display(still, raw=True, display_id=picture, update=True)  # type: ignore[no-untyped-call]
            display({"text/plain": "", "text/html": ""}, raw=True, display_id=view, update=True)  # type: ignore[no-untyped-call]
        if self._displays or not self._views:
            self.layout.close()  # a widget of its own
            super().close()
        else:  # part of a box of the user's, which would lose it with the comm
            self.still = still["text/html"]

    def __repr__(self) -> str:
        return f"<{self.title}, {'closed' if self.over else 'live in a notebook'}>"
