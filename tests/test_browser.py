"""Les leçons dans un vrai JupyterLab : conduites au clavier, écoutées, agrandies, leur noyau tué."""

import re
from pathlib import Path

import french
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import (
    CODE_CELLS,
    LIVE,
    READY,
    ask_kernel,
    expected,
    first_explorer,
    new_page,
    open_notebook,
    picture,
    run_all,
    run_demonstrations,
    status,
    wait_for,
    wait_until,
)

from toylib.explorer import LR_GRID
from toylib.french import comma

LESSON = "07_taux_d_apprentissage.ipynb"
LESSONS = sorted(path.name for path in (Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))
# Une leçon par sorte de démonstration : le premier curseur, `interact`, `Demo` et la carte ; puis l'explorateur, dont
# la leçon sert ensuite à tout le fichier. De deux d'entre elles, que nbval exécute aussi, on ne lance ici que les
# démonstrations ; le tour de toutes, entières, est long.
KINDS = {"00": run_all, "04": run_all, "13": run_demonstrations, "15": run_demonstrations, "07": run_all}
DEMONSTRATIONS = ".widget-interact, .toylib-explorer"
GRAVE = ("serious", "critical")
OURS = {"include": [[".toylib-explorer"], [".toylib-quiz"], [".widget-interact"]]}


# Ferme la leçon et son noyau, puis ouvre celle de nom `name`.
CHANGE = """async name => {
    const old = window.jupyterapp.shell.currentWidget;
    await old.sessionContext.shutdown();
    old.dispose();
    await window.jupyterapp.commands.execute('docmanager:open', {path: name});
}"""


@pytest.fixture(scope="module")
def executed(lab, chromium):
    """De quoi avoir la page d'une leçon exécutée par `run` ; la même, redemandée, est laissée comme elle est."""
    page = new_page(chromium)
    done = []

    def page_of(name, run=run_all):
        if done[-1:] != [(name, run)]:
            if done:
                page.evaluate(CHANGE, name)
                wait_until(page, READY)
            else:
                open_notebook(page, f"{lab}lab/tree/{name}")
            run(page)
            done.append((name, run))
        return page

    yield page_of
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.close()


# --- Le tour d'une leçon -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "run"),
    [
        *KINDS.items(),
        *(
            pytest.param(name[:2], run_all, marks=pytest.mark.long)
            for name in LESSONS
            if KINDS.get(name[:2]) != run_all
        ),
    ],
)
def test_a_lesson_runs_shows_its_widgets_and_obeys_the_keyboard(number, run, hunspell, executed):
    """Un seul essai par leçon, qui en fait le tour : l'ouvrir est ce qui coûte."""
    lesson = executed(next(name for name in LESSONS if name.startswith(number)), run)
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
    assert serious(lesson) == {}


# Ce que montre chaque démonstration : ses figures, ou l'image de `interact`.
SHOWN = f"""() => [...document.querySelectorAll('{DEMONSTRATIONS}')].map(
    one => one.querySelector('.toylib-figures').innerHTML || one.querySelector('img')?.src)"""


def shown(page):
    return [one for one in page.evaluate(SHOWN) if one]


def check_slider(page):
    """Une flèche du clavier change ce que la première démonstration montre."""
    handle = page.locator(".jp-Notebook .noUi-handle").first
    handle.scroll_into_view_if_needed()
    before = shown(page)
    handle.focus()
    at, last = (float(handle.get_attribute(f"aria-value{name}")) for name in ("now", "max"))
    page.keyboard.press("ArrowRight" if at < last else "ArrowLeft")
    wait_until(
        page,
        f"""before => {{
            const now = ({SHOWN})();
            return now.every(one => one) && now.length === before.length && now.join() !== before.join();
        }}""",
        before,
        timeout=30_000,
    )
    assert page.locator(DEMONSTRATIONS).locator("[data-mime-type$='stderr']").count() == 0


def check_quiz(page):
    """Espace choisit la réponse où est le clavier, et son explication s'affiche ; rien n'est coupé."""
    quiz = page.locator(".toylib-quiz")
    radios = quiz.locator("input[type=radio]")
    radios.first.scroll_into_view_if_needed()
    assert quiz.get_by_role("status").count() == 0
    radios.first.focus()
    page.keyboard.press("Space")
    explanation = quiz.get_by_role("status").first
    first = explanation.inner_text()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    quiz.get_by_role("status").filter(has_not_text=first).first.wait_for()
    assert radios.nth(1).is_checked()
    assert quiz.locator("label, .widget-html-content").evaluate_all(
        "all => all.every(one => one.scrollWidth <= one.clientWidth + 1)"
    )


def serious(page, context=OURS):
    """Les fautes d'accessibilité qu'axe-core juge graves ou critiques, et où."""
    found = Axe().run(page, context=context).response["violations"]
    return {one["id"]: [node["html"] for node in one["nodes"]] for one in found if one["impact"] in GRAVE}


# --- L'explorateur de la leçon 07 --------------------------------------------------------------


@pytest.fixture
def page(executed):
    """La leçon exécutée, rendue comme elle était : son premier curseur à 0,1."""
    lesson = executed(LESSON)
    move_to(first_explorer(lesson), 0.1)
    yield lesson
    lesson.emulate_media(forced_colors="none")
    lesson.set_viewport_size({"width": 1400, "height": 1000})


@pytest.fixture
def explorer(page):
    return first_explorer(page)


def move_to(explorer, lr):
    """Amène le curseur au taux `lr`, au clavier."""
    slider = explorer.get_by_role("slider", name="Taux d'apprentissage")
    rates = [comma(rate) for rate in LR_GRID]
    steps = rates.index(comma(lr)) - rates.index(slider.get_attribute("aria-valuetext"))
    for _ in range(abs(steps)):
        slider.press("ArrowRight" if steps > 0 else "ArrowLeft")
    wait_for(explorer, lr)


def test_an_arrow_key_retrains_and_redraws(explorer):
    start = 0.1
    before, height = picture(explorer), explorer.bounding_box()["height"]
    assert status(explorer) == expected(start)
    explorer.locator(".noUi-handle").focus()
    following = LR_GRID[LR_GRID.index(start) + 1]
    explorer.page.keyboard.press("ArrowRight")
    wait_for(explorer, following)
    assert status(explorer) == expected(following)
    assert picture(explorer) != before
    assert explorer.bounding_box()["height"] == height


def test_ten_presses_at_once_end_on_the_last_value(explorer):
    explorer.locator(".noUi-handle").focus()
    for _ in range(10):
        explorer.page.keyboard.press("ArrowLeft")
    last = LR_GRID[LR_GRID.index(0.1) - 10]
    wait_for(explorer, last)
    ask_kernel(explorer.page, "explorer.wait(rest=True)")  # rien d'autre ne viendra
    assert status(explorer) == expected(last)
    assert explorer.locator(".widget-readout").inner_text() == comma(last)


def test_the_lesson_is_french_and_shows_no_error(explorer):
    page = explorer.page
    assert page.locator(".lm-MenuBar-itemLabel").all_inner_texts()[:2] == ["Fichier", "Édition"]
    assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    assert page.locator(".toylib-explorer").count() == 3
    assert page.locator(".jp-toast, .Toastify__toast").count() == 0


def test_running_the_cell_again_and_again_keeps_one_worker(explorer):
    """La cellule exécutée trois fois de plus n'a qu'un fil, et son curseur obéit."""
    page = explorer.page
    page.evaluate(
        """async () => {
            const panel = window.jupyterapp.shell.currentWidget;
            const cells = panel.content.widgets;
            const index = cells.findIndex(cell => cell.model.sharedModel.source.startsWith('explorer = LrExplorer'));
            for (let k = 0; k < 3; k++) {
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


# --- Vu du dernier rang, au clavier, en couleurs forcées, agrandi, ou écouté ---------------------


def test_axe_would_see_a_figure_without_a_text(page):
    bare = "figure => { const bare = figure.cloneNode(); bare.removeAttribute('aria-label'); bare.id = 'nue'; "
    page.locator(".toylib-figures > div").first.evaluate(bare + "document.body.append(bare); }")
    assert list(serious(page, {"include": [["#nue"]]})) == ["role-img-alt"]
    page.locator("#nue").evaluate("bare => bare.remove()")


def test_a_screen_reader_hears_the_name_the_value_and_the_new_status(page):
    explorer = first_explorer(page)
    slider = explorer.get_by_role("slider", name="Taux d'apprentissage")
    assert slider.get_attribute("aria-valuetext") == "0,1"
    live = explorer.get_by_role("status").first
    live.evaluate("element => { element.kept = true; }")  # une région qui demeure est annoncée, pas une nouvelle
    slider.press("ArrowRight")
    wait_for(explorer, 0.126)
    assert slider.get_attribute("aria-valuetext") == "0,126"
    assert live.evaluate("element => element.kept") is True
    assert live.inner_text().startswith("lr 0,126")
    assert explorer.get_by_role("img").first.get_attribute("aria-label").startswith("Figure")


def reached_by_tab(page, explorer):
    """Le nom de ce que Tab atteint dans l'explorateur, dans l'ordre."""
    explorer.get_by_role("slider").first.focus()
    names = []
    for _ in range(40):
        inside, name = page.evaluate(
            """() => { const at = document.activeElement;
                return [!!at.closest('.toylib-explorer'), at.getAttribute('aria-label') || at.innerText]; }"""
        )
        if not inside:
            break
        names.append(name.strip())
        page.keyboard.press("Tab")
    return names


def test_every_control_is_reached_by_tab_and_the_keyboard_leaves(page):
    explorer = page.locator(".toylib-explorer").first
    names = reached_by_tab(page, explorer)
    assert names[0] == "Taux d'apprentissage"
    shown = explorer.locator("button:visible").all_inner_texts()
    assert {text.strip() for text in shown} <= set(names)
    assert len(names) < 40


def test_the_chosen_button_is_seen_in_forced_colours(page):
    """Là où le système impose ses couleurs, un fond ne dit plus rien : il faut un bord."""
    page.emulate_media(forced_colors="active")
    explorer = page.locator(".toylib-explorer").first
    border = "button => getComputedStyle(button).outlineStyle + getComputedStyle(button).borderStyle"
    chosen = explorer.locator(".widget-toggle-button.mod-active").first.evaluate(border)
    other = explorer.locator(".widget-toggle-button:not(.mod-active)").first.evaluate(border)
    assert chosen != other


# Ce qui, dans la sortie d'une démonstration, dépasse à droite de ce que l'on en voit.
BEYOND = """root => {
    const edge = root.closest('.jp-OutputArea-output').getBoundingClientRect().right + 1;
    const parts = [...root.querySelectorAll('button, [role=img], label, .widget-readout, .noUi-handle, [role=status]')];
    return parts.filter(one => one.getBoundingClientRect().right > edge).map(one => one.outerHTML);
}"""
# Le carnet a pris la largeur de la fenêtre, et deux images ont passé.
LAID_OUT = """async () => {
    const right = document.querySelector('.jp-Notebook').getBoundingClientRect().right;
    await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
    return innerWidth - 40 < right && right <= innerWidth;
}"""


@pytest.mark.parametrize("zoom", [1, 2])
def test_nothing_is_cut_at_200_percent(page, zoom):
    page.set_viewport_size({"width": 1400 // zoom, "height": 1000 // zoom})
    page.wait_for_function(LAID_OUT)
    for explorer in page.locator(".toylib-explorer").all():
        explorer.scroll_into_view_if_needed()
        assert explorer.evaluate(BEYOND) == []


# --- Le noyau tué : en dernier, car plus rien ne le suit ----------------------------------------

TYPED = "De plus en plus vite."
# Entre au clavier dans la première prédiction.
EDIT = """async () => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    const cells = notebook.widgets;
    notebook.activeCellIndex = cells.findIndex(cell => cell.model.sharedModel.source.includes('Votre prédiction'));
    await notebook.scrollToItem(notebook.activeCellIndex);
    await window.jupyterapp.commands.execute('notebook:enter-edit-mode');
}"""
# Tue le noyau comme le ferait un serveur à court de mémoire, et note que JupyterLab le relance.
KILL = """() => {
    const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    kernel.statusChanged.connect((_, status) => { window.revived = window.revived || status === 'autorestarting'; });
    kernel.requestExecute({code: 'import os, signal; os.kill(os.getpid(), signal.SIGKILL)'});
}"""


# Exécute ce qui mène à la cellule où l'explorateur a été conduit à 0,316, et cette cellule.
RUN_ABOVE = """async () => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    const sources = notebook.widgets.map(cell => cell.model.sharedModel.source);
    notebook.activeCellIndex = sources.findIndex(source => source.includes('explorer.lr = lr'));
    await window.jupyterapp.commands.execute('notebook:run-all-above');
    await window.jupyterapp.commands.execute('notebook:run-cell');
}"""


def typed(page):
    """Le carnet tel que la page le tient, enregistré ou non."""
    return page.evaluate("JSON.stringify(window.jupyterapp.shell.currentWidget.content.model.sharedModel.toJSON())")


def test_a_killed_kernel_loses_no_work_and_the_slider_comes_back(page):
    page.evaluate(EDIT)
    page.keyboard.press("Control+End")
    page.keyboard.type(TYPED)
    page.keyboard.press("Shift+Enter")
    assert TYPED in typed(page)
    page.evaluate(KILL)
    wait_until(
        page, "window.revived && window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"
    )
    page.keyboard.press("Escape")  # le message qui dit que le noyau est reparti
    assert TYPED in typed(page)
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.evaluate(RUN_ABOVE)
    explorer = first_explorer(page)
    wait_for(explorer, 0.316)
    explorer.locator(".noUi-handle").focus()
    page.keyboard.press("ArrowRight")
    wait_for(explorer, 0.398)
    path = Path(ask_kernel(page, "import os; print(os.getcwd())")) / LESSON
    assert TYPED in path.read_text("utf-8")
