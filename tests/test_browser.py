"""Les leçons dans un vrai JupyterLab, au clavier, dans un vrai navigateur."""

import re
from pathlib import Path

import french
import pytest
from browser import CODE_CELLS, LIVE, ask_kernel, expected, first_explorer, picture, run_all, status, wait_for

from toylib.explorer import LR_GRID
from toylib.plotting import comma

LESSON = "07_taux_d_apprentissage.ipynb"
LESSONS = sorted(path.name for path in (Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))
DEMONSTRATIONS = ".widget-interact, .toylib-explorer"
# Toutes les leçons.


@pytest.fixture(params=LESSONS)
def lesson(request, hunspell, open_lesson):
    """Une leçon, exécutée de haut en bas."""
    page = open_lesson(request.param)
    run_all(page)
    return page


def shown(page):
    """Les images que montrent les démonstrations."""
    return [image.get_attribute("src") for image in page.locator(DEMONSTRATIONS).locator("img").all()]


def test_a_lesson_runs_shows_its_widgets_and_obeys_the_keyboard(lesson):
    """Un seul essai par leçon, qui en fait le tour : l'ouvrir est ce qui coûte."""
    outputs = lesson.evaluate(f"{CODE_CELLS}.map(c => [c.model.sharedModel.source, c.model.outputs.toJSON()])")
    faults = [output for _, cell in outputs for output in cell if "ename" in output or output.get("name") == "stderr"]
    assert faults == []
    wanted = sum(LIVE.search(source) is not None for source, _ in outputs)
    assert lesson.locator(DEMONSTRATIONS).count() == wanted == len(shown(lesson))
    assert lesson.locator(".toylib-quiz").count() == 1
    assert lesson.get_by_text(re.compile("model not found|Error displaying widget|Loading widget")).count() == 0
    controls = ".widget-label, .widget-button, .widget-toggle-button, .widget-dropdown option, .widget-readout"
    read = "\n".join(lesson.locator(controls).all_text_contents())
    assert french.unknown_words(read) == set()
    check_slider(lesson)
    check_quiz(lesson)


def check_slider(page):
    """Une flèche du clavier change ce que la première démonstration montre."""
    handle = page.locator(".jp-Notebook .noUi-handle").first
    handle.scroll_into_view_if_needed()
    before = shown(page)
    handle.focus()
    at, last = (float(handle.get_attribute(f"aria-value{name}")) for name in ("now", "max"))
    page.keyboard.press("ArrowRight" if at < last else "ArrowLeft")
    for _ in range(100):
        page.wait_for_timeout(100)
        if len(shown(page)) == len(before) and shown(page) != before:
            break
    after = shown(page)
    assert len(after) == len(before)
    assert after != before
    assert page.locator(DEMONSTRATIONS).locator("[data-mime-type$='stderr']").count() == 0


def check_quiz(page):
    """Espace choisit la réponse où est le clavier, et son explication s'affiche ; rien n'est coupé."""
    quiz = page.locator(".toylib-quiz")
    radios = quiz.locator("input[type=radio]")
    radios.first.scroll_into_view_if_needed()
    assert quiz.get_by_role("status").count() == 0
    radios.first.focus()
    page.keyboard.press("Space")
    quiz.get_by_role("status").first.wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.wait_for_timeout(300)
    assert radios.nth(1).is_checked()
    assert quiz.locator("label, .widget-html-content").evaluate_all(
        "all => all.every(one => one.scrollWidth <= one.clientWidth + 1)"
    )


# L'explorateur de la leçon 07.


@pytest.fixture
def explorer(open_lesson):
    """L'explorateur de la leçon, une fois tout le carnet exécuté."""
    page = open_lesson(LESSON)
    run_all(page)
    return first_explorer(page)


def test_an_arrow_key_retrains_and_redraws(explorer):
    start = 0.1  # où la dernière cellule de la leçon a laissé le curseur
    wait_for(explorer, start)
    before, height = picture(explorer), explorer.bounding_box()["height"]
    assert status(explorer) == expected(start)
    explorer.locator(".noUi-handle").focus()
    position = LR_GRID.index(start)
    explorer.page.keyboard.press("ArrowRight")
    wait_for(explorer, LR_GRID[position + 1])
    assert status(explorer) == expected(LR_GRID[position + 1])
    assert picture(explorer) != before
    assert explorer.bounding_box()["height"] == height


def test_ten_presses_at_once_end_on_the_last_value(explorer):
    wait_for(explorer, 0.1)
    explorer.locator(".noUi-handle").focus()
    for _ in range(10):
        explorer.page.keyboard.press("ArrowLeft")
    last = LR_GRID[LR_GRID.index(0.1) - 10]
    wait_for(explorer, last)
    explorer.page.wait_for_timeout(1000)
    assert status(explorer) == expected(last)
    assert explorer.locator(".widget-readout").inner_text() == comma(last)


def test_the_lesson_is_french_and_shows_no_error(explorer):
    page = explorer.page
    assert page.locator(".lm-MenuBar-itemLabel").all_inner_texts()[:2] == ["Fichier", "Édition"]
    assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    assert page.locator(".toylib-explorer").count() == 3
    assert page.locator(".jp-toast, .Toastify__toast").count() == 0


def test_running_the_cell_twenty_times_keeps_one_worker(explorer):
    """La cellule exécutée vingt fois de plus n'a qu'un fil, et son curseur obéit."""
    page = explorer.page
    page.evaluate(
        """async () => {
            const panel = window.jupyterapp.shell.currentWidget;
            const cells = panel.content.widgets;
            const index = cells.findIndex(cell => cell.model.sharedModel.source.startsWith('explorer = LrExplorer'));
            for (let k = 0; k < 20; k++) {
                panel.content.activeCellIndex = index;
                await window.jupyterapp.commands.execute('notebook:run-cell');
            }
        }"""
    )
    count = "import threading; print(sum(t.name == 'toylib-explorer' for t in threading.enumerate()))"
    assert ask_kernel(page, count) == "3"  # un par explorateur de la leçon
    again = page.locator(".toylib-explorer").first
    again.locator(".noUi-handle").focus()
    page.keyboard.press("ArrowRight")
    wait_for(again, LR_GRID[LR_GRID.index(0.01) + 1])
