"""What a call shows: its repr, the error that nobody looked at, and what it says to who forgot to await it."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest import mock

import pytest
from gates import Gate, answer, fail

from p2pnb.brief import brief
from p2pnb.cluster.background import background
from p2pnb.cluster.call import Call
from p2pnb.cluster.cluster import Cluster
from p2pnb.errors import NotFound
from p2pnb.uid import key_of

pytestmark = pytest.mark.usefixtures("nothing_is_left")


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
    assert [(each.getMessage(), each.exc_info) for each in caplog.records] == [
        ("ref(…) failed, and nobody awaited it: NotFound('nowhere')", None)
    ]


def test_a_mistake_of_a_program_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "p2pnb"):
        failed(Call(fail(ZeroDivisionError("x / 0"))))
        failed(Call(fail(brief(TypeError("a value is bytes")))))
        gc.collect()
    assert [bool(each.exc_info) for each in caplog.records] == [True, False]


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
    "equality": (TypeError, lambda call: call == b"x", "write `await node.set(…)`"),
    "equality the other way": (TypeError, lambda call: key_of(b"x") == call, "write `await node.set(…)`"),
    "inequality": (TypeError, lambda call: call != "x", "write `await node.set(…)`"),
    "one of several": (TypeError, lambda call: call in [b"x", b"y"], "write `await node.set(…)`"),
    "order": (TypeError, lambda call: call < 3, "write `await node.set(…)`"),
    "order among others": (TypeError, lambda call: sorted([b"x", call]), "write `await node.set(…)`"),
    "addition": (TypeError, lambda call: call + b"x", "write `await node.set(…)`"),
    "addition the other way": (TypeError, lambda call: b"x" + call, "write `await node.set(…)`"),
    "truth": (TypeError, bool, "write `await node.set(…)`"),
    "not": (TypeError, lambda call: not call, "write `await node.set(…)`"),
}


@pytest.mark.parametrize(("error", "use", "fix"), FORGOTTEN.values(), ids=FORGOTTEN)
def test_using_it_as_if_it_were_the_result_says_what_was_forgotten(error: type[Exception], use: Callable[[Any], Any], fix: str) -> None:
    with pytest.raises(error, match="this call has not been awaited, so it ") as caught:
        use(Call(answer(), "set", on="node"))
    assert str(caught.value).endswith(fix)


def test_a_launch_is_given_a_name_first() -> None:
    cluster = Cluster.launch(1, network="memory")
    for use in (lambda: cluster[0], lambda: cluster.kill, lambda: len(cluster)):
        with pytest.raises((TypeError, AttributeError), match=r"^this launch .* write `cluster = await Cluster\.launch\(…\)` first$"):
            use()
    asyncio.run(cluster.wait().close())


def test_those_who_look_for_this_very_call_find_it() -> None:
    call, other = Call(answer()), Call(answer())
    held, asked = mock.Mock(), Holder(call)
    held(call)
    held.assert_called_once_with(call)
    held.assert_called_once_with(mock.ANY)
    assert (call == call, call == other, call != other, call == mock.ANY, call == None) == (True, False, True, True, False)  # noqa: E711, PLR0124
    assert (call in [None, other, call], [other, call].index(call), [other] == [call]) == (True, 1, False)
    assert (asked == Holder(call), asked == Holder(other)) == (True, False)
    assert call in weakref.WeakSet([other, call])
    assert {call: 1, other: 2, 3: 3}[other] == 2
    assert len({call, other, call}) == 2


@dataclass
class Holder:
    call: Any


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
