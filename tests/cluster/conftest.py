"""Real kernels, fresh interpreters and background threads for the tests of the cluster layer.

Whatever patches asyncio for the whole process, ends one, or is interrupted, happens in a process of its own: a Jupyter
kernel driven as a frontend drives it, or a script run by `python -X dev -W error`. Both are synchronised by what the
process prints, never by waiting a while.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from gates import Gate

from p2pnb.cluster.background import Background, background

PATIENCE = 60.0  # seconds until a process that says nothing is given up
SLOW = re.compile(r"Executing <.*> took \d")  # what asyncio says in its debug mode when the machine is busy


@dataclass
class Outcome:
    """What one execution of a cell gave."""

    text: str = ""  # streams
    result: str = ""  # text/plain of the value that the cell ended with
    error: str = ""  # the exception's class
    message: str = ""
    traceback: list[str] = field(default_factory=list)
    displays: list[dict[str, Any]] = field(default_factory=list)  # contents of display_data and update_display_data
    seconds: float = 0.0  # from the interrupt to the end, if it was interrupted


class Kernel:
    """A kernel, and this test as its frontend."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self._client = manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=PATIENCE)

    def run(self, code: str, cell: str | None = None, interrupt_at: str | None = None) -> Outcome:
        """Executes `code` in the cell `cell` (None: the frontend does not name cells), and interrupts it once it printed `interrupt_at`."""
        content = {"code": textwrap.dedent(code), "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        request = self._client.session.msg("execute_request", content, metadata={} if cell is None else {"cellId": cell})
        self._client.shell_channel.send(request)
        outcome, interrupted = Outcome(), 0.0
        while True:
            message = self._client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") != request["header"]["msg_id"]:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                outcome.text += content["text"]
                if interrupt_at is not None and not interrupted and interrupt_at in outcome.text:
                    interrupted = time.monotonic()
                    self._manager.interrupt_kernel()
            elif kind == "error":
                outcome.error, outcome.message, outcome.traceback = content["ename"], content["evalue"], content["traceback"]
            elif kind == "execute_result":
                outcome.result = content["data"]["text/plain"]
            elif kind in ("display_data", "update_display_data"):
                outcome.displays.append(content)
            elif kind == "status" and content["execution_state"] == "idle":
                outcome.seconds = time.monotonic() - interrupted
                return outcome

    def shut_down(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel()


def start_kernel() -> Kernel:
    """A new kernel; the test is skipped where none can be started."""
    manager_module = pytest.importorskip("jupyter_client.manager", reason="jupyter_client is not installed: no kernel can be started")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed: no kernel can be started")
    manager = manager_module.KernelManager(kernel_name="python3")
    manager.start_kernel(env={name: value for name, value in os.environ.items() if name != "CI"})
    return Kernel(manager)


@pytest.fixture(scope="package")
def kernel() -> Iterator[Kernel]:
    """One kernel for all tests that need one; what a test leaves in its namespace the next one sees."""
    kernel = start_kernel()
    yield kernel
    kernel.shut_down()


@pytest.fixture
def own_kernel() -> Kernel:
    """A kernel that the test shuts down itself."""
    return start_kernel()


Script = Callable[..., str]


@pytest.fixture
def script() -> Script:
    """`script(code, interrupt_at=None, warnings=True)`: runs it in an interpreter of its own, returns what it printed.

    It must end by itself, with status 0 and without a word on standard error; Ctrl-C is sent once it printed `interrupt_at`.
    """

    def run(code: str, interrupt_at: str | None = None) -> str:
        command = [sys.executable, "-X", "dev", "-W", "error", "-u", "-c", textwrap.dedent(code)]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process: Any = subprocess.Popen(command, **pipes)  # type: ignore[call-overload]
        with process:
            printed = ""
            try:
                while interrupt_at is not None and interrupt_at not in printed:
                    line = process.stdout.readline()
                    assert line, f"it ended before it printed {interrupt_at!r}: {printed}{process.stderr.read()}"
                    printed += line
                if interrupt_at is not None:
                    process.send_signal(signal.SIGINT)
                rest, errors = process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                rest, errors = process.communicate()
                pytest.fail(f"it hung; it had printed {printed + rest!r} and {errors!r}")
        assert process.returncode == 0, errors
        assert not [line for line in errors.splitlines() if not SLOW.match(line)]
        return f"{printed}{rest}"

    return run


@pytest.fixture
def home() -> Iterator[Background]:
    """One of the test's own; it must end well."""
    home = Background()
    yield home
    home.stop()
    assert home.gone
    assert home.loop.is_closed()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def nothing_is_left() -> Iterator[None]:
    """After every test: no task on the cluster's thread, and no error that nobody saw."""
    errors = background().error_count
    yield

    async def drain() -> list[str]:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        _, never = await asyncio.wait(left, timeout=10) if left else (left, left)
        return [repr(task) for task in never]

    assert background().submit(drain()).result() == []
    assert background().error_count == errors
