"""Live pictures in a real JupyterLab: a lookup replayed and stepped, messages read, a bag that fills, kills rewound."""

from __future__ import annotations

from typing import Any

import pytest
from lab import Lab, Notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LAUNCH = "from p2pnb import *\ncluster = await Cluster.launch(40, k=3, seed=3, network='memory')\nkey = await cluster[3].set(b'hello')"


def words(notebook: Notebook, cell: int) -> Any:
    return notebook.cell(cell).locator(".p2p-words")


def press(notebook: Notebook, cell: int, name: str) -> None:
    notebook.cell(cell).get_by_role("button", name=name, exact=True).click()


def says(locator: Any, wanted: str) -> None:
    locator.filter(has_text=wanted).wait_for()


def test_a_lookup_is_replayed_and_stepped(lab: Lab) -> None:
    replay = "lookup = await cluster[9].lookup(key)\nlookup.animate()"
    close = "await cluster.close()\ncluster.errors"
    lab.write("lookup.ipynb", LAUNCH, replay, "cluster.lookup_stepper(key, node=cluster[9])", close)
    with lab.open("lookup.ipynb") as notebook:
        for cell in range(3):
            notebook.run(cell)
        says(words(notebook, 1), "nearest found in")
        press(notebook, 1, "to the beginning")
        drawn = notebook.cell(1).locator(".p2p-drawn")
        shown = "(drawn) => Number(drawn.querySelector('clipPath rect').getAttribute('width'))"
        covered = f"([drawn, least, most]) => least < ({shown})(drawn) && ({shown})(drawn) < most"
        notebook.page.wait_for_function(covered, arg=[drawn.element_handle(), 0, 70])
        drawn.press("ArrowRight")  # one step: how many there are to the end, chance decides
        says(words(notebook, 1), " ms: #")
        notebook.page.wait_for_function(covered, arg=[drawn.element_handle(), 0, 950])
        notebook.cell(1).get_by_label("speed").select_option("4")
        press(notebook, 1, "▶ play")
        says(words(notebook, 1), "nearest found in")
        stepper = notebook.cell(2)
        says(stepper.locator(".p2p-status"), "step 0 of 0 so far")
        press(notebook, 2, "step ▶")
        says(words(notebook, 2), "is asked")
        assert stepper.locator("tr.next").count() == 1
        stepper.locator(".p2p-drawn").press("ArrowRight")
        says(stepper.locator(".p2p-status"), "step 2 of 2 so far")
        press(notebook, 2, "a step back")
        says(stepper.locator(".p2p-status"), "step 1 of 2 so far")
        stepper.get_by_label("speed").select_option("4")
        press(notebook, 2, "▶ play")
        says(words(notebook, 2), "Finished")
        says(stepper.locator(".p2p-status"), "finished")
        assert notebook.run(3)["text"] == "[]"
        stepper.locator(".p2p-card svg.p2p-picture").wait_for()


def test_messages_are_read_where_the_pointer_rests(lab: Lab) -> None:
    lab.write("words.ipynb", LAUNCH, "with cluster.watch() as watch:\n    await cluster[5].set(b'words')\nwatch.sequence()")
    with lab.open("words.ipynb") as notebook:
        notebook.run(0)
        notebook.run(1)
        arrow = notebook.cell(1).locator(".p2p-widget .p2p-message[data-tip*='#(set']").first
        at = arrow.locator("path").last.evaluate(
            """(path) => { const half = path.getPointAtLength(path.getTotalLength() / 2), to = path.getScreenCTM();
                return [half.x * to.a + to.e, half.y * to.d + to.f]; }"""
        )
        notebook.page.mouse.move(*at)
        says(notebook.cell(1).locator(".p2p-tip"), "#(set #u8(119 111 114 100 115))")
        notebook.cell(1).locator(".p2p-drawn").press("ArrowDown")
        says(notebook.cell(1).locator(".p2p-tip"), "peers · #5 → ")
        assert notebook.cell(1).locator(".p2p-pointed").count() == 1


def test_a_bag_fills_and_kills_are_rewound(lab: Lab) -> None:
    fill = "cats = key_of(b'cats')\nfor node in cluster[:4]: await node.bag_publish(cats, key)"
    kill = "killed = cluster.kill(*cluster.holders(key)[:2])"
    lab.write("bag.ipynb", LAUNCH, "cluster.bag_view(key_of(b'cats'))", "cluster.replicas_view(key)", fill, kill)
    with lab.open("bag.ipynb") as notebook:
        for cell in range(3):
            notebook.run(cell)
        status = notebook.cell(1).locator(".p2p-status")
        says(status, "0 values at 0 replicas")
        notebook.run(3)
        says(status, "1 value at 5 replicas")
        notebook.cell(1).locator(".p2p-drawn svg text", has_text="5 of 5").first.wait_for()
        press(notebook, 1, "sample")
        notebook.cell(1).locator("button[aria-pressed=true]", has_text="sample").wait_for()
        replicas = notebook.cell(2)
        says(replicas.locator(".p2p-drawn svg"), "5 replicas, 5 of the 5 nearest")
        notebook.run(4)
        says(replicas.locator(".p2p-drawn svg"), "3 replicas, 3 of the 5 nearest")
        says(words(notebook, 2), "died")
        replicas.get_by_label("position").press("ArrowLeft")
        says(replicas.locator(".p2p-status"), "rewound by 1 of 1 changes")
        says(replicas.locator(".p2p-drawn svg"), "5 replicas, 5 of the 5 nearest")
        replicas.locator(".p2p-drawn").press("End")
        says(replicas.locator(".p2p-status"), "live")
