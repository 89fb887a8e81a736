"""The README holds what it promises: examples run, links lead somewhere, commands exist."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from p2pnb import Cluster, errors
from p2pnb.__main__ import _parser as command_line
from p2pnb.cluster import lan

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
SEED = 3  # the nodes that are killed by position hold no copy of the value that is read afterwards, and the others are too few


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


async def as_cells(sources: list[str], names: dict[str, Any]) -> None:
    """Runs each source as a notebook runs a cell: with top-level await, all in one namespace."""
    for number, source in enumerate(sources):
        code = compile(source, f"<README, example {number}>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        value = eval(code, names)
        if inspect.iscoroutine(value):
            await value


def test_the_examples_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The local network of the classroom is loopback here. What else chance decides is fixed: it may kill all who hold a record."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lan, "lan_address", lambda: "127.0.0.1")
    launched: list[Cluster] = []
    launch, plain = Cluster.launch, Cluster._launched

    def fixed(n: int, **options: Any) -> Any:
        return launch(n, **({} if "host" in options else {"seed": SEED}) | options)

    async def noted(self: Cluster, *arguments: Any) -> Cluster:
        launched.append(self)
        return await plain(self, *arguments)

    monkeypatch.setattr(Cluster, "launch", fixed)
    monkeypatch.setattr(Cluster, "_launched", noted)

    async def whole() -> None:
        names: dict[str, Any] = {}
        try:
            await as_cells(blocks("python"), names)
            assert re.fullmatch(
                r"cluster = await Cluster\.launch\(5, name='class-7', bootstrap=\[\('127\.0\.0\.1', \d+\)\]\)", names["cluster"].invite()
            )
        finally:
            for cluster in launched:
                await cluster.close()
        assert not any(cluster.errors for cluster in launched)

    asyncio.run(whole())
    assert len(launched) == 7
    assert list(tmp_path.iterdir()) == []


def test_the_pasted_line_is_what_invite_says() -> None:
    [line] = blocks("text")
    assert 'host="lan"' in line
    compile(line, "<README>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_every_error_is_listed() -> None:
    table = README.partition("### Errors")[2].partition("##")[0]
    named = set(re.findall(r"`([\w-]+)`", table))
    assert {name for name, each in vars(errors).items() if isinstance(each, type)} <= named
    reasons = re.search(r"One of (.*)\.$", inspect.getdoc(errors.PeerUnreachable) or "", re.MULTILINE)
    assert reasons is not None
    assert set(re.findall(r'"([\w-]+)"', reasons[1])) <= named


def test_every_argument_of_launch_is_named() -> None:
    table = README.partition("### Launching")[2].partition("###")[0]
    arguments = [name for name in inspect.signature(Cluster.launch).parameters if name not in {"n", "timeout"}]
    assert [name for name in arguments if not re.search(rf"`{name}[`=]", table)] == []


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    local = [link for link in links if not link.startswith("https://")]
    assert len(local) > 5
    assert [link for link in local if not (ROOT / link).exists()] == []


def test_commands_are_commands() -> None:
    """What the README has typed exists: subcommands and their options, files, extras."""
    commands = [line for block in blocks("sh") for line in block.splitlines()] + re.findall(r"`(\.venv/bin/[^`]+)`", README)
    typed = [part.split("#")[0].strip() for command in commands for part in command.split("&&")]
    ours = [shlex.split(part)[3:] for part in typed if " -m p2pnb " in part]
    assert {words[0] for words in ours} == {"demo", "lab", "node", "soak"}
    for words in ours:
        command_line().parse_args(words)
    words = {word.replace("tests.", "tests/") for part in typed for word in part.split()}  # `-m tests.simulation` is a folder
    files = {word for word in words if word.startswith(("tests", "notebooks"))}
    assert [name for name in files if not list(ROOT.glob(name))] == []
    extras = {extra for part in typed for named in re.findall(r"\.\[([\w,]+)\]", part) for extra in named.split(",")}
    assert extras <= set(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"])


@pytest.mark.parametrize("marker", ["run", "test", "figures", "/figures"])
def test_markers_stand_once_on_lines_of_their_own(marker: str) -> None:
    assert README.splitlines().count(f"<!-- {marker} -->") == 1
