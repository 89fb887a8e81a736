"""What holds for every notebook as it is stored: a chapter that can be read without running it, and that ran well.

That they run is nbval's part. Here: they read alike, were run from top to bottom, and show nothing of the machine that ran them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MOST_LINES = 15
MACHINE = re.compile(r"/(?:work|root|home|tmp|usr|Users)/|site-packages|ipykernel_\d")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str = "") -> list[dict[str, Any]]:
    found = json.loads(path.read_text("utf-8"))["cells"]
    return [cell for cell in found if kind in {"", cell["cell_type"]}]


def text(part: dict[str, Any], key: str = "source") -> str:
    return "".join(part[key])


def test_there_are_notebooks() -> None:
    numbers = [path.name[:2] for path in NOTEBOOKS]
    assert len(numbers) == len(set(numbers)) >= 15


@each_notebook
def test_it_reads_like_a_chapter(path: Path) -> None:
    """A title, a question, and at the end what to try next."""
    told = [text(cell) for cell in cells(path, "markdown")]
    assert re.match(r"# \S", told[0])
    assert re.search(r"\*\*[^*]+\?\*\*", "\n".join(told)), "no question in bold"
    assert "## What to try next" in told[-1]
    long = {cell["id"]: text(cell) for cell in cells(path, "code") if len(text(cell).splitlines()) > MOST_LINES}
    assert long == {}


@each_notebook
def test_any_kernel_of_python_opens_it(path: Path) -> None:
    metadata = json.loads(path.read_text("utf-8"))["metadata"]
    assert set(metadata) == {"kernelspec", "language_info"}, "a view that was saved live, say"
    assert metadata["kernelspec"]["name"] == "python3"


@each_notebook
def test_it_ends_closed_and_without_errors(path: Path) -> None:
    code = "\n".join(text(cell) for cell in cells(path, "code"))
    assert re.search(r"await \w+\.close\(\)", code)
    assert re.search(r"assert not \w+\.errors", code)


@each_notebook
def test_it_was_run_from_top_to_bottom(path: Path) -> None:
    counts = [cell["execution_count"] for cell in cells(path, "code") if "solution" not in cell["metadata"].get("tags", [])]
    assert None not in counts
    assert counts == sorted(counts)
    outputs = [output for cell in cells(path, "code") for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert not [text(output, "text") for output in outputs if output.get("name") == "stderr"]
    assert not any("execution" in cell["metadata"] for cell in cells(path)), "with times: run it with record_timing=False"


@each_notebook
def test_its_outputs_show_nothing_of_the_machine(path: Path) -> None:
    for cell in cells(path, "code"):
        for output in cell["outputs"]:
            data = {kind: shown for kind, shown in output.get("data", {}).items() if kind != "image/png"}
            found = MACHINE.search(json.dumps(data) + str(output.get("text", "")))
            assert not found, f"{cell['id']}: {found}"


@pytest.mark.parametrize("path", [*NOTEBOOKS, FOLDER / "RUNSHEET.md"], ids=lambda path: path.stem)
def test_its_links_lead_somewhere(path: Path) -> None:
    told = path.read_text("utf-8") if path.suffix == ".md" else "\n".join(text(cell) for cell in cells(path, "markdown"))
    links = re.findall(r"\]\(([^)#\s]+)\)", told) + re.findall(r'href="([^"#]+)"', told)
    missing = {link for link in links if "://" not in link and not (FOLDER / link).exists()}
    assert missing == set()
