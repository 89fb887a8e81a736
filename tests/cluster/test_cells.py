"""Which cell runs, told by a real kernel with and without a frontend's cell ids, by IPython's terminal, and by nobody."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from p2pnb.cluster.cells import Cell, Launches, this_cell


class Cluster:
    """Something that a cell launched."""


def test_outside_ipython_there_is_no_cell(script: Any) -> None:
    printed = script("""
        import sys
        from p2pnb.cluster import cells
        print(cells.this_cell(), cells.in_kernel())
        import IPython
        print(cells.this_cell(), cells.in_kernel())
    """)
    assert printed.split() == ["None", "False"] * 2


def cell(kernel: Any, code: str = "", name: str | None = None) -> Any:
    """What `this_cell()` says in a cell of that source and name."""
    result = kernel.run(f"{code}\nfrom p2pnb.cluster.cells import this_cell\nthis_cell()", cell=name).result
    return eval(result, {"Cell": Cell})


@pytest.mark.kernel
def test_a_cell_that_the_frontend_names_is_known_by_its_name(kernel: Any) -> None:
    first, again, other = cell(kernel, "1", "a"), cell(kernel, "2", "a"), cell(kernel, "1", "b")
    assert first.id == again.id != other.id
    assert first.named
    assert len({first.execution, again.execution, other.execution}) == 3


@pytest.mark.kernel
def test_a_cell_without_a_name_is_known_by_its_source(kernel: Any) -> None:
    first, again, other = cell(kernel, "1"), cell(kernel, "1"), cell(kernel, "2")
    assert first.id == again.id != other.id
    assert not first.named
    assert len({first.execution, again.execution, other.execution}) == 3


@pytest.mark.kernel
def test_a_name_and_a_source_are_never_mistaken_for_each_other(kernel: Any) -> None:
    source = cell(kernel, "1")
    assert cell(kernel, "1", source.id.partition(":")[2]).id != source.id


@pytest.mark.kernel
def test_a_task_that_a_cell_left_behind_belongs_to_that_cell(kernel: Any) -> None:
    kernel.run(
        """
        import asyncio
        from p2pnb.cluster.cells import this_cell
        go = asyncio.Event()
        async def later():
            await go.wait()
            return this_cell()
        left = asyncio.create_task(later())
        """,
        cell="a",
    )
    found = eval(kernel.run("go.set(); await left", cell="b").result, {"Cell": Cell})
    assert found.id in ("id:a", "id:b")  # ipykernel 7 knows; in 6 there is one request at a time, the latest


@pytest.mark.kernel
def test_work_on_the_clusters_thread_belongs_to_the_cell_that_asked(kernel: Any) -> None:
    code = """
        from p2pnb.cluster.background import background
        from p2pnb.cluster.call import Call
        from p2pnb.cluster.cells import this_cell
        async def there():
            return this_cell()
        (await Call(there())) == background().call(this_cell) == this_cell()
    """
    assert kernel.run(code, cell="a").result == "True"


@pytest.mark.kernel
def test_a_loop_in_a_cell_keeps_all_it_launches_and_rerunning_gives_them_back(kernel: Any) -> None:
    kernel.run(
        """
        from p2pnb.cluster.cells import Launches, this_cell
        class Cluster(list):
            __hash__ = object.__hash__
        launches, alive = Launches(), []
        """
    )
    loop = """
        before = []
        for number in range(3):
            alive.append(Cluster([number]))
            before += launches.remember(this_cell(), alive[-1])
        before
    """
    assert kernel.run(loop, cell="a").result == "[]"
    assert kernel.run(loop, cell="b").result == "[]"
    assert kernel.run(loop, cell="a").result == "[[0], [1], [2]]"
    assert kernel.run(loop.replace("range(3)", "range(2)"), cell="a").result == "[[0], [1], [2]]"
    assert kernel.run(loop, cell="a").result == "[[0], [1]]"


def test_in_ipythons_terminal_a_cell_is_what_was_typed(script: Any) -> None:
    printed = script("""
        from IPython.core.interactiveshell import InteractiveShell
        shell = InteractiveShell.instance(history_load_length=0)
        shell.history_manager.enabled = False
        shell.run_cell("from p2pnb.cluster.cells import this_cell; found = []", store_history=True)
        for source in ("found.append(this_cell())", "found.append(this_cell())", "found.append(this_cell()) # other"):
            shell.run_cell(source, store_history=True)
        first, again, other = shell.user_ns["found"]
        print(first.id == again.id != other.id, len({first.execution, again.execution, other.execution}), first.named)
        InteractiveShell.clear_instance()
    """)
    assert printed.split() == ["True", "3", "False"]


# -- what a cell launched before


def test_an_earlier_execution_of_the_same_cell_is_given_back_once() -> None:
    launches: Launches[Cluster] = Launches()
    one, two, three = Cluster(), Cluster(), Cluster()
    assert launches.remember(Cell("a", "1", True), one) == []
    assert launches.remember(Cell("a", "1", True), two) == []
    assert launches.remember(Cell("b", "2", True), three) == []
    four, five = Cluster(), Cluster()
    assert launches.remember(Cell("a", "3", True), four) == [one, two]
    assert launches.remember(Cell("a", "3", True), five) == []
    assert launches.remember(Cell("a", "4", True), Cluster()) == [four, five]


def test_nothing_is_kept_alive() -> None:
    launches: Launches[Cluster] = Launches()
    launches.remember(Cell("a", "1", True), Cluster())
    gc.collect()
    assert launches.remember(Cell("a", "2", True), Cluster()) == []


def test_where_no_cell_runs_nothing_is_remembered() -> None:
    launches: Launches[Cluster] = Launches()
    one, two = Cluster(), Cluster()
    assert launches.remember(None, one) == launches.remember(None, two) == []
    assert this_cell() is None
