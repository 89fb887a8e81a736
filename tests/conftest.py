"""What holds for all tests: what may not be skipped, what the collector may pass over, and that Ctrl-C can be tested.

On a laptop without a Scheme or a browser, or without root for network namespaces, those tests skip and say why. Where they
must run, the environment says so: `P2PNB_REQUIRE` names the markers (`scheme,kernel`; empty: none), and wherever `CI` is set
all of them are required unless it says otherwise: a skipped test that carries one is a failure there, for a green run that
tested nothing says nothing.

Thousands of collected tests, pandas and a kernel's client are half a million objects, which each full collection looked at
again: a tenth of the whole run. So what is there when a file's tests begin is frozen (a cluster that closes thaws it all).
What tests leave behind and complains when it goes, a socket or a task nobody awaited, may do so as late as at the end.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Generator
from typing import Any

import pytest

SKIPPABLE = ("scheme", "netns", "kernel", "browser", "node")


def required() -> frozenset[str]:
    """The markers whose tests must run here."""
    listed = os.environ.get("P2PNB_REQUIRE")
    if listed is None:
        return frozenset(SKIPPABLE if os.environ.get("CI", "").lower() not in {"", "0", "false"} else ())
    names = frozenset(name.strip() for name in listed.split(",") if name.strip())
    if unknown := names.difference(SKIPPABLE):
        raise pytest.UsageError(f"P2PNB_REQUIRE names {sorted(unknown)}; the markers are {', '.join(SKIPPABLE)}")
    return names


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turns the skip of a required test, in whichever phase it came, into a failure that carries its reason."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        names = sorted(name for name in required() if item.get_closest_marker(name))
        if names:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} must run here (P2PNB_REQUIRE, or CI, asks for {', '.join(names)}): {reason}"
    return report


def pytest_configure() -> None:
    """A shell ignores Ctrl-C for what it runs in the background, and whatever a test starts would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    result = yield
    if nextitem is not None and nextitem.path != item.path:
        gc.freeze()
    return result


def pytest_collection_finish() -> None:
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()  # pytest itself collects once more, and nothing escapes that


def pytest_report_header() -> str:
    """Says, at the top of each run, which tests may not be skipped."""
    return f"p2pnb: required here: {', '.join(sorted(required())) or 'nothing'}"
