"""Clusters in a real Jupyter kernel: cells run twice, blocking cells, interrupts, completion, and the end of the kernel."""

from __future__ import annotations

import socket
from typing import Any

import pytest

pytestmark = pytest.mark.kernel

LAUNCH = "from p2pnb import *\ncluster = await Cluster.launch(3)\nkey = await cluster[0].set(b'hello')\n[node.port for node in cluster]"


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_cell_run_twice_closes_what_it_launched(kernel: Any) -> None:
    first = kernel.run(LAUNCH, cell="launching")
    ports = eval(first.result)
    assert all(map(listening, ports)), first
    again = kernel.run(LAUNCH, cell="launching")
    assert "closing <cluster of 3 nodes" in again.text
    assert "this cell launched before" in again.text
    assert not any(map(listening, set(ports) - set(eval(again.result)))), "but for a port that the new ones happened to get"
    assert kernel.run("await cluster[1].ref(key)").result == "b'hello'"
    other = kernel.run(LAUNCH.replace("cluster", "second"), cell="another")
    assert not other.text
    assert all(map(listening, eval(again.result))), "another cell's cluster lives on"
    assert kernel.run("await cluster.close(); await second.close(); cluster.errors").result == "[]"


def test_nodes_answer_while_a_cell_blocks(kernel: Any) -> None:
    """A neighbour in another process is served while this kernel's main thread is busy."""
    port = eval(kernel.run(LAUNCH, cell="blocking").result)[0]
    asker = f"""
        import subprocess, sys
        code = '''
        import asyncio
        from p2pnb import *
        async def main():
            async with Cluster.launch(1, bootstrap=[("127.0.0.1", {port})]) as guest:
                print((await guest[0].ref(key_of(b"hello"))).decode())
        asyncio.run(main())
        '''
        import textwrap
        subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60).stdout
    """
    assert kernel.run(asker).result == "'hello\\n'"
    assert not kernel.run("await cluster.close()").error


def test_an_interrupted_call_leaves_the_cluster_alive(kernel: Any) -> None:
    kernel.run(LAUNCH, cell="interrupted")
    wait = """
        async def forever():
            await asyncio.Event().wait()
        import asyncio
        asyncio.get_running_loop().call_later(0.2, print, "waiting")
        await cluster.run(forever)
    """
    assert kernel.run(wait, interrupt_at="waiting").error in ("KeyboardInterrupt", "CancelledError")
    assert kernel.run("await cluster[2].ref(key)").result == "b'hello'"
    assert kernel.run("await cluster.close(); cluster.errors").result == "[]"


def test_what_a_cell_shows(kernel: Any) -> None:
    kernel.run(LAUNCH, cell="showing")
    assert "nodes" in kernel.run("cluster").result
    assert "not been awaited" in kernel.run("cluster[0].set(b'x').hex()").message
    assert "running: write await" in kernel.run("repr(cluster.run(asyncio.sleep, 0.2))").result
    completions = kernel.run("cluster._ipython_key_completions_()").result
    assert len(eval(completions)) == 3
    assert "await cluster.restart(cluster[1])" in kernel.run("cluster.kill(cluster[1]); await cluster[1].set(b'x')").message
    assert kernel.run("await cluster.close(); cluster.errors").result == "[]"


def test_the_end_of_a_kernel_closes_its_ports(own_kernel: Any) -> None:
    ports = eval(own_kernel.run(LAUNCH, cell="ending").result)
    assert all(map(listening, ports))
    own_kernel.shut_down()
    assert not any(map(listening, ports))


def test_a_widget_is_displayed_live_and_becomes_its_picture(kernel: Any) -> None:
    view = "application/vnd.jupyter.widget-view+json"
    kernel.run(LAUNCH, cell="widgets")
    shown = kernel.run("cluster[0].table()", cell="table").displays
    assert [view in each["data"] for each in shown] == [True, False]
    kernel.run("from IPython.display import display; display(cluster[0].table(), cluster[1].table())")
    replaced = {each["transient"]["display_id"]: each["data"] for each in kernel.run("await cluster.close()").displays}
    assert len(replaced) == 6
    assert ["<svg" in replaced[each["transient"]["display_id"]]["text/html"] for each in shown] == [False, True]
    assert not any(view in data for data in replaced.values())
    assert kernel.run("cluster.errors").result == "[]"


def test_errors_take_two_lines_and_tb_shows_the_rest(kernel: Any) -> None:
    kernel.run(LAUNCH, cell="errors")
    missing = kernel.run("topic = key_of(b'nothing')\nvalue = await cluster[1].ref(topic)")
    assert missing.error == "NotFound"
    first, second = missing.traceback
    assert first.endswith(missing.message)
    assert "line 2: value = await cluster[1].ref(topic)" in second
    assert "cluster.where(key)" in second
    assert "Traceback" in kernel.run("%tb").traceback[1]
    for mistake, fix in (
        ("cluster[1].lookup(topic).nearest", "write `(await cluster[1].lookup(…)).nearest`"),
        ("await cluster[1].ref(5)", "write Key.from_int(5)"),
        ("await cluster.close(); cluster.nodes()", "launch another one"),
    ):
        outcome = kernel.run(mistake)
        assert fix in outcome.message
        assert len(outcome.traceback) == 2


def test_the_stage_is_for_cells_from_now_on(kernel: Any) -> None:
    kernel.run(LAUNCH, cell="stage")
    assert kernel.run("%load_ext p2pnb\n%p2p").text.startswith("screen: text of 12 px")
    assert kernel.run("%p2p stage").text.startswith("stage: text of 18 px")
    assert "font:20px" in kernel.run("cluster[0]._repr_mimebundle_()['text/html']").result
    assert "font-size:18px" in kernel.run("cluster.nodes()._repr_html_()").result
    assert kernel.run("cluster[0].table().scale").result == "1.5"
    assert "takes stage or screen" in kernel.run("%p2p huge").text
    kernel.run("%unload_ext p2pnb")
    assert kernel.run("cluster[0].table().scale").result == "1.0"
    assert not kernel.run("await cluster.close()").error
