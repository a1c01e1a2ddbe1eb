"""Les carnets tels qu'ils sont enregistrés : exécutés de haut en bas, propres, en français."""

import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").rglob("*.ipynb"))
WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def test_every_code_cell_was_run_in_order_without_error(notebook):
    """nbval ne compare rien dans une cellule qui n'a pas été exécutée."""
    assert [cell.execution_count for cell in code(notebook)] == list(range(1, len(code(notebook)) + 1))
    assert not [output for cell in code(notebook) for output in cell.outputs if output.output_type == "error"]


def test_no_widget_state_is_saved_and_every_demonstration_has_its_picture(notebook):
    assert "widgets" not in notebook.metadata
    for cell in code(notebook):
        for output in cell.outputs:
            assert WIDGET not in output.get("data", {})
            assert "(children=" not in output.get("data", {}).get("text/plain", "")
        if "@interact" in cell.source or "LrExplorer(" in cell.source:
            assert any("image/png" in output.data for output in cell.outputs)
            assert "exécutez la cellule" in cell.outputs[-1].data["text/plain"]


def test_cells_are_short(notebook):
    lines = [line for cell in code(notebook) for line in cell.source.splitlines()]
    assert max(len(line) for line in lines if 'print(f"Il manque' not in line) <= 88
    assert max(sum(1 for line in cell.source.splitlines() if line) for cell in code(notebook)) <= 12
    assert len(code(notebook)[0].source.splitlines()) <= 5


def test_the_parts_of_a_lesson_are_there(notebook):
    title, *_, last = prose(notebook)
    assert re.match(r"# \d\d · ", title)
    assert re.search(r"\| Objectifs \| Prérequis \| Durée \|", title)
    assert re.search(r"\d+\xa0min \|$", title, re.M)
    assert last.startswith("## À retenir")
    assert len(re.findall("^- ", last, re.M)) == 3


def test_each_demonstration_is_predicted_first_and_each_figure_is_said_in_words(notebook):
    cells = notebook.cells
    for k, cell in enumerate(cells):
        if cell.cell_type == "code" and any("image/png" in output.get("data", {}) for output in cell.outputs):
            assert "Votre prédiction" in cells[k - 1].source, cell.source
            after = next(later for later in cells[k + 1 :] if later.cell_type == "markdown")
            assert after.source.startswith("**Ce que l'on observe.**"), cell.source


ORDINARY_SPACE = re.compile(r"« | »| [:;!?](?=\s|$|\*)|\d %(?!\w)|\d (?:ms|min|s|Mo|Go|époques?)\b")
STRAIGHT = re.compile(r"`[^`]*`|\$\$?[^$]*\$\$?|^\|[ -|]*\|$|https?://\S+", re.M)


def test_markdown_has_french_no_break_spaces(notebook):
    for text in prose(notebook):
        bad = [match.group() for match in ORDINARY_SPACE.finditer(STRAIGHT.sub("x", text))]
        assert not bad, (bad, text)
        assert "librairie" not in text
