"""The example notebook, executed by a real kernel with worker processes."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.html import Checked

ROOT = Path(__file__).resolve().parents[3]


def test_the_example_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(ROOT / "examples" / "05_notebook.ipynb", 4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs are stripped"
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not [output for cell in cells for output in cell.outputs if output.get("name") == "stderr"]
    html = [[o["data"].get("text/html", "-") for o in cell.outputs if "data" in o] for cell in cells]
    assert all(shown.count("") <= 1 for shown in html), "one progress bar in a cell, and nothing of it is left"
    searched, delivered = html[1], html[-2]
    assert "run notebook:" in Checked("".join(searched)).text
    assert "Delivered network" in Checked("".join(delivered)).text
