"""Live widgets in a real JupyterLab: seen, clicked, closed, found again in the saved notebook, and greyed out with their kernel.

Each test opens a notebook, and fails when the browser's console calls anything an error.
"""

from __future__ import annotations

from typing import Any

import pytest
from lab import Lab, Notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LAUNCH = "from p2pnb import *\ncluster = await Cluster.launch(20, k=3, seed=3)"
STILL = ".p2p-card svg.p2p-picture"


def ink(canvas: Any) -> int:
    """How many pixels of a canvas are drawn on."""
    drawn: int = canvas.evaluate(
        """(canvas) => { const all = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            let drawn = 0; for (let i = 3; i < all.length; i += 4) drawn += all[i] > 0; return drawn; }"""
    )
    return drawn


def wait_for_text(locator: Any, wanted: str) -> None:
    locator.filter(has_text=wanted).wait_for()


def status(notebook: Notebook, cell: int) -> Any:
    return notebook.cell(cell).locator(".p2p-status").first


def test_kill_on_the_map_close_and_find_the_pictures_again(lab: Lab) -> None:
    lab.write("map.ipynb", LAUNCH, "cluster.map()", "cluster[3].table()", "await cluster.close()\ncluster.errors")
    with lab.open("map.ipynb") as notebook:
        notebook.run(0)
        ended = notebook.run(1)["at"]
        canvas = notebook.cell(1).locator("canvas")
        canvas.wait_for()
        shown = notebook.page.evaluate("performance.now()")
        assert shown - ended < 5000, "far more than the second that it should take: see tests/benchmarks"
        wait_for_text(status(notebook, 1), "20 alive")
        assert ink(canvas) > 1000
        kill_with_the_mouse(notebook)
        notebook.cell(1).get_by_role("button", name="restart", exact=True).click()
        wait_for_text(status(notebook, 1), "20 alive · ")
        notebook.run(2)
        table = notebook.cell(2)
        wait_for_text(status(notebook, 2), "contacts")
        table.get_by_placeholder("where does it fall?").fill("cats")
        table.get_by_placeholder("where does it fall?").press("Enter")
        notebook.page.wait_for_timeout(0)
        assert ink(table.locator("canvas")) > 1000
        assert notebook.run(3)["text"] == "[]"
        for cell in (1, 2):
            notebook.cell(cell).locator(STILL).wait_for()
            assert notebook.cell(cell).locator(".p2p-widget canvas").count() == 0
        notebook.save()
    with lab.open("map.ipynb") as notebook:
        for cell in (1, 2):
            notebook.cell(cell).locator(STILL).wait_for()


def kill_with_the_mouse(notebook: Notebook) -> None:
    """Finds a leaf with the arrow keys, clicks where the tooltip says that it is, and then the button."""
    cell = notebook.cell(1)
    cell.locator("canvas").press("ArrowRight")
    cell.locator("canvas").press("ArrowRight")
    tip = cell.locator(".p2p-tip")
    tip.wait_for()
    assert "alive" in tip.inner_text()
    leaf = tip.evaluate("""(tip) => { const body = tip.parentNode.querySelector('.p2p-body');
        return [parseFloat(tip.style.left) - body.offsetLeft - 14, parseFloat(tip.style.top) - body.offsetTop - 14]; }""")
    named = tip.inner_text().splitlines()[0][:-5]
    cell.locator("canvas").click(position={"x": leaf[0], "y": leaf[1]})
    wait_for_text(cell.locator(".p2p-tools .p2p-mono"), named)
    cell.get_by_role("button", name="kill", exact=True).click()
    wait_for_text(status(notebook, 1), "19 alive · 1 dead")


def test_the_target_of_the_small_space_can_be_dragged(lab: Lab) -> None:
    told = "import asyncio\nfor _ in range(1000):\n    if space.target != 12: await asyncio.sleep(0.01)\nspace.target"
    lab.write("xor.ipynb", "from p2pnb import xor_space\nspace = xor_space([2, 3, 7, 12], target=6, bits=4)\nspace", told)
    with lab.open("xor.ipynb") as notebook:
        notebook.run(0)
        wait_for_text(status(notebook, 0), "6 ⊕ 7 = 1")
        canvas = notebook.cell(0).locator("canvas")
        canvas.press("ArrowRight")
        wait_for_text(status(notebook, 0), "7 ⊕ 7 = 0")
        box = canvas.bounding_box()
        mouse = notebook.page.mouse
        mouse.move(box["x"] + box["width"] * 0.45, box["y"] + 100)
        mouse.down()
        mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 100, steps=4)
        mouse.up()
        wait_for_text(status(notebook, 0), "12 ⊕ 12 = 0")
        assert notebook.run(1)["text"] == "12"
        notebook.restart()
        notebook.run(1, fails=True)
        canvas.press("ArrowLeft")
        wait_for_text(status(notebook, 0), "11 ⊕ 12 = 7")


def test_a_click_is_answered_while_a_cell_blocks_and_a_widget_whose_kernel_is_gone_says_so(lab: Lab) -> None:
    lab.write("gone.ipynb", LAUNCH, "cluster.map()", "import time; time.sleep(5)", "cluster.map()")
    with lab.open("gone.ipynb") as notebook:
        notebook.run(0)
        notebook.run(1)
        wait_for_text(status(notebook, 1), "20 alive")
        gone = notebook.cell(1).locator(".p2p-gone")
        notebook.start(2)
        notebook.page.wait_for_function("() => document.querySelectorAll('.jp-Cell')[2].textContent.includes('[*]')")
        share = notebook.cell(1).get_by_label("share of the living nodes")
        share.select_option("0.5")
        notebook.cell(1).get_by_role("button", name="kill them").click()
        wait_for_text(status(notebook, 1), "10 alive · 10 dead")
        assert "[*]" in notebook.cell(2).inner_text(), "a click is answered while a cell blocks"
        notebook.wait()
        assert not gone.is_visible(), "a kernel that is busy is not gone: beats come from the cluster's thread"
        notebook.restart()
        wait_for_text(gone, "its kernel is gone")
        last_words = [error for error in notebook.errors if error.startswith("Comm not found")]
        for error in last_words:  # what the old kernel still said, after JupyterLab had forgotten it
            notebook.errors.remove(error)
        assert notebook.cell(1).locator(".p2p-silent").count() == 1
        notebook.run(0)
        notebook.run(3)
        wait_for_text(status(notebook, 3), "20 alive")
        assert gone.is_visible()


def test_a_notebook_saved_while_it_was_live_has_pictures_too(lab: Lab) -> None:
    lab.write("live.ipynb", LAUNCH, "cluster.map()")
    with lab.open("live.ipynb") as notebook:
        notebook.run(0)
        notebook.run(1)
        wait_for_text(status(notebook, 1), "20 alive")
        assert not notebook.cell(1).locator(STILL).is_visible()
        notebook.save()
    with lab.open("live.ipynb") as notebook:
        notebook.cell(1).locator(STILL).wait_for()
        notebook.page.wait_for_function("() => document.querySelector('.jp-Notebook').textContent.includes('model not found')")
        assert not notebook.cell(1).get_by_text("not found").is_visible()
        assert all("widget model not found" in error for error in notebook.errors), "what JupyterLab says of every such widget"
        notebook.errors.clear()


PAPER = """(at) => {  // whether a canvas has the paper that its widget has now: the commonest colour, it fills rings and surrounds names
    const canvas = document.querySelectorAll('.jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell')[at].querySelector('canvas');
    if (!canvas?.width) return false;
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data, counted = {};
    for (let i = 0; i < pixels.length; i += 4) if (pixels[i + 3] === 255) {
        const colour = `rgb(${pixels[i]}, ${pixels[i + 1]}, ${pixels[i + 2]})`;
        counted[colour] = (counted[colour] || 0) + 1;
    }
    const [commonest] = Object.keys(counted).sort((one, other) => counted[other] - counted[one]);
    return commonest === getComputedStyle(canvas.closest('.p2p-widget')).backgroundColor; }"""


def test_a_widget_follows_the_theme_and_keeps_its_keys(lab: Lab) -> None:
    idle = LAUNCH.replace("seed=3", "seed=3, network='virtual'")  # where nothing but the theme makes a map draw again
    below = "print('\\n' * 200)\ncluster.map()"
    lab.write("theme.ipynb", idle, "cluster[3].table()", "cluster.map()", below, "await cluster.close()")
    with lab.open("theme.ipynb") as notebook:
        notebook.run(0)
        notebook.run(1)
        paper = "() => getComputedStyle(document.querySelector('.p2p-widget')).backgroundColor"
        wait_for_text(status(notebook, 1), "contacts")
        shape = "() => { const all = window.jupyterapp.shell.currentWidget.content; return [all.activeCellIndex, all.widgets.length]; }"
        before = notebook.page.evaluate(shape)
        for key in ("ArrowRight", "ArrowDown", "b", "ArrowUp"):
            notebook.cell(1).locator("canvas").press(key)
        assert notebook.page.evaluate(shape) == before, "plain keys are the widget's, not JupyterLab's"
        notebook.cell(1).locator(".p2p-tip").wait_for()
        notebook.run(2)
        notebook.page.wait_for_function(PAPER, arg=2)
        light = notebook.page.evaluate(paper)
        notebook.do("apputils:change-theme", theme="JupyterLab Dark")
        notebook.page.wait_for_function(f"(light) => ({paper})() !== light", arg=light)
        assert notebook.page.evaluate("() => document.body.dataset.jpThemeLight") == "false"
        notebook.page.wait_for_function(PAPER, arg=2)
        notebook.run(3)
        notebook.page.wait_for_function(PAPER, arg=3)
        notebook.run(4)
        notebook.do("apputils:change-theme", theme="JupyterLab Light")
