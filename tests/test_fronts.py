"""L'explorateur est le même partout : JupyterLab avec et sans sous-noyaux, Notebook 7, Voilà ; et il survit."""

import os
import signal

import nbformat
import pytest
from browser import (
    ask_kernel,
    expected,
    first_explorer,
    new_page,
    open_notebook,
    picture,
    run_all,
    status,
    wait_for,
    wait_for_other_picture,
    wait_for_u,
    wait_until,
)
from conftest import run_lab

from toylib import Net, gendata, train
from toylib.explorer import LR_GRID
from toylib.french import comma, percent

pytestmark = pytest.mark.lent

NAME = "explorateur.ipynb"
TWIN = "jumeau.ipynb"  # le même, pour un autre noyau
CELL = """
from toylib.explorer import LrExplorer
views = "curves", "boundary", "u"
explorer = LrExplorer(lr=0.01, n=200, epochs=60, rule=["sum", "xor"], views=views, challenge=(0.9, 6))
explorer
"""
SUBSHELLS = "@jupyterlab/apputils-extension:kernels-settings"


def lay_notebook(folder):
    """Un dossier de travail, avec un carnet d'une cellule qui montre un explorateur."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL.strip(), id="explorateur")])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    (folder / "travail").mkdir()
    for name in (NAME, TWIN):
        nbformat.write(notebook, folder / "travail" / name)
    return folder


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    yield from run_lab(lay_notebook(tmp_path_factory.mktemp("livré")), {})


def page_opener(chromium):
    """De quoi ouvrir des pages, fermées à la fin."""
    opened = []

    def open_page(address=None):
        page = new_page(chromium)
        opened.append(page)
        if address is not None:
            page.goto(address)
        return page

    yield open_page
    for page in opened:
        page.close()


pages = pytest.fixture(page_opener)
kept_pages = pytest.fixture(page_opener, scope="module")


@pytest.fixture(scope="module")
def opened(kept_pages, shipped):
    """Le carnet ouvert une fois dans JupyterLab : en ouvrir un, et son noyau, prend plus que chaque test."""
    page = kept_pages()
    open_notebook(page, f"{shipped}lab/tree/{NAME}")
    return page


@pytest.fixture
def executed(opened):
    """Ce carnet, dont la cellule vient de faire un nouvel explorateur."""
    run_all(opened)
    return opened


@pytest.fixture
def without_subshells(pages, shipped):
    """Le carnet exécuté dans un JupyterLab réglé sans sous-noyaux, et dont le noyau n'en a jamais eu."""
    page = pages()
    settings = f"{shipped}lab/api/settings/{SUBSHELLS}?token=essai"
    page.request.put(settings, data={"raw": '{"commsOverSubshells": "disabled"}'})
    open_notebook(page, f"{shipped}lab/tree/{TWIN}")
    page.request.put(settings, data={"raw": "{}"})
    kernel = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
    assert page.evaluate(f"{kernel}.commsOverSubshells") == "disabled"
    run_all(page)
    return page


@pytest.fixture
def notebook7(pages, shipped):
    """Le carnet dans Notebook 7 ; Maj + Entrée l'exécute."""
    page = pages(f"{shipped}notebooks/{TWIN}?token=essai")
    page.locator(".jp-Notebook .jp-Cell .cm-content").first.click()
    page.locator(".jp-NotebookKernelStatus, .jp-Notebook-ExecutionIndicator[data-status=idle]").first.wait_for()
    page.keyboard.press("Shift+Enter")
    return page


@pytest.fixture
def voila(pages, shipped):
    """Le carnet rendu par Voilà, qui l'exécute et n'en montre que les sorties."""
    return pages(f"{shipped}voila/render/{NAME}?token=essai")


def with_arrows(page, explorer):
    """Trois crans de taux, l'optimiseur, puis quarante époques en arrière, aux flèches."""
    explorer.locator(".noUi-handle").first.focus()
    yield [page.keyboard.press("ArrowRight") for _ in range(3)]
    yield explorer.get_by_role("button", name="SGD", exact=True).press("Space")
    explorer.locator(".noUi-handle").last.focus()
    yield [page.keyboard.press("ArrowLeft") for _ in range(40)]


def with_buttons(page, explorer):
    """Les mêmes, à la touche Entrée sur les boutons : Notebook 7 garde les flèches pour ses cellules."""
    larger = explorer.get_by_role("button", name="Plus grand")
    yield [larger.press("Enter") for _ in range(3)]
    yield explorer.get_by_role("button", name="SGD", exact=True).press("Enter")
    explorer.get_by_role("button", name="Lire").press("Enter")
    epoch = explorer.locator(".noUi-handle").last.element_handle()
    wait_until(page, "epoch => epoch.ariaValueNow > 0 && epoch.ariaValueNow < 60", epoch)
    yield explorer.get_by_role("button", name="Pause").press("Enter")


@pytest.mark.parametrize(
    ("front", "keys"),
    [
        ("executed", with_arrows),
        pytest.param("without_subshells", with_arrows, marks=pytest.mark.long),
        ("notebook7", with_buttons),
        ("voila", with_arrows),
    ],
    ids=["JupyterLab", "JupyterLab sans sous-noyaux", "Notebook 7", "Voilà"],
)
def test_the_same_explorer_everywhere_driven_by_keyboard(request, front, keys):
    page = request.getfixturevalue(front)
    explorer = first_explorer(page)
    wait_for(explorer, 0.01)
    assert status(explorer) == expected(0.01, 200, 60)
    before, moves = picture(explorer), keys(page, explorer)
    next(moves)
    last = LR_GRID[LR_GRID.index(0.01) + 3]
    wait_for(explorer, last)
    assert status(explorer) == expected(last, 200, 60)
    assert picture(explorer) != before
    next(moves)
    explorer.get_by_text(f"lr {comma(last)}, SGD").first.wait_for()
    wait_for(explorer, last)
    wait_for_u(explorer)
    steady, epoch = picture(explorer), explorer.locator(".noUi-handle").last
    assert float(epoch.get_attribute("aria-valuenow")) == 60
    next(moves)
    assert float(epoch.get_attribute("aria-valuenow")) < 60
    wait_for_other_picture(explorer, steady)


# --- Survivre, dans JupyterLab -----------------------------------------------------------------


def press_right(page, explorer, start):
    """Un cran à droite, dont la ligne d'état rend compte."""
    explorer.locator(".noUi-handle").first.focus()
    page.keyboard.press("ArrowRight")
    wait_for(explorer, LR_GRID[LR_GRID.index(start) + 1])


def test_it_survives_an_interrupted_kernel(executed):
    page, explorer = executed, first_explorer(executed)
    wait_for(explorer, 0.01)
    ask_kernel(page, "slow = LrExplorer(epochs=1_000_000)")  # un entraînement qui dure
    page.evaluate("window.jupyterapp.commands.execute('notebook:interrupt-kernel')")
    press_right(page, explorer, 0.01)
    assert ask_kernel(page, "slow.close(); print('vivant')") == "vivant"
    assert "Traceback" not in page.locator(".jp-Notebook").inner_text()


def save(page):
    """Enregistre le carnet, et attend qu'il le soit."""
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    wait_until(page, "!window.jupyterapp.shell.currentWidget.context.model.dirty")


def test_it_survives_a_reload_and_a_second_tab(executed, pages, shipped):
    page = executed
    press_right(page, first_explorer(page), 0.01)
    save(page)
    page.reload()
    page.wait_for_selector(".toylib-explorer .toylib-figures svg")
    again = first_explorer(page)
    press_right(page, again, LR_GRID[31])
    other = pages(f"{shipped}lab/workspaces/deux/tree/{NAME}?token=essai")
    other.wait_for_selector(".toylib-explorer .toylib-figures svg")
    twin = first_explorer(other)
    press_right(other, twin, LR_GRID[32])
    wait_for(again, LR_GRID[33])  # le premier onglet suit


def test_it_survives_its_notebook_closed_and_opened(executed):
    page = executed
    press_right(page, first_explorer(page), 0.01)
    save(page)
    page.evaluate("window.jupyterapp.shell.currentWidget.close()")
    page.wait_for_selector(".toylib-explorer", state="detached")
    page.evaluate(f"window.jupyterapp.commands.execute('docmanager:open', {{path: '{NAME}'}})")
    page.wait_for_selector(".toylib-explorer .toylib-figures svg")
    press_right(page, first_explorer(page), LR_GRID[31])


# --- Sans attendre le noyau --------------------------------------------------------------------

# Ce qui suit la poignée : la courbe, le fantôme, le repère de la courbe en U, la légende, la ligne d'état, le défi.
PAINTED = """() => {
    const root = document.querySelector('.toylib-explorer');
    const path = gid => root.querySelector(`[id$="-${gid}"] > path`)?.getAttribute('d');
    const exact = gid => [...root.querySelectorAll('g[id]')].find(one => /^toylib\\d+-/.test(one.id)
        && one.id.replace(/^toylib\\d+-/, '') === gid).querySelector('path').getAttribute('d');
    return {
        curve: exact('loss'), ghost: path('ghost-loss'), mark: path('mark'), frontier: path('frontier'),
        legend: [...root.querySelectorAll('.toylib-legend span')].map(one => one.textContent),
        status: root.querySelector('.toylib-status').textContent,
        challenge: root.querySelector('.toylib-challenge').textContent,
    };
}"""


def known(page):
    """Attend que le navigateur ait reçu tous les taux ; rend le numéro du noyau."""
    explorer = first_explorer(page)
    wait_for(explorer, 0.01)
    wait_for_u(explorer)
    return explorer, int(ask_kernel(page, "import os; explorer.wait(rest=True); print(os.getpid())"))


def fate(lr):
    """Ce que la ligne du défi doit dire pour finir, d'après `train`."""
    reached = train(Net(2, seed=0), *gendata(200, seed=0), 60, lr, seed=0).epochs_to(0.9)
    return f"✓ relevé à l'époque {reached}" if reached is not None and reached <= 6 else "pas encore relevé"


def test_with_the_kernel_stopped_everything_follows_the_handle_and_is_right(executed):
    page = executed
    explorer, kernel = known(page)
    before, fates = page.evaluate(PAINTED), set()
    os.kill(kernel, signal.SIGSTOP)
    try:
        explorer.locator(".noUi-handle").first.focus()
        for k in range(1, 13):
            page.keyboard.press("ArrowRight")
            wait_for(explorer, LR_GRID[30 + k])
            now, lr = page.evaluate(PAINTED), LR_GRID[30 + k]
            assert now["ghost"] == before["curve"] != now["curve"]
            assert now["mark"] != before["mark"]
            assert [text.replace("\xa0", " ") for text in now["legend"]] == [
                f"lr {comma(lr)}, Adam",
                f"précédente : lr {comma(LR_GRID[29 + k])}, Adam",
            ]
            assert status(explorer) == expected(lr, 200, 60)
            assert now["challenge"].replace("\xa0", " ").endswith(fate(lr))
            fates.add(fate(lr).split()[0])
            before = now
        assert fates == {"✓", "pas"}  # relevé à certains de ces taux, pas à tous
    finally:
        os.kill(kernel, signal.SIGCONT)
    # Le noyau rattrape, et ne change rien de ce qui est montré.
    caught_up = f"import time\nwhile explorer.lr != {LR_GRID[42]}: time.sleep(0.05)\nexplorer.wait(rest=True)"
    assert (
        ask_kernel(page, caught_up + "\nprint(explorer.status)").replace("\xa0", " ").startswith(before["status"][:9])
    )
    assert page.evaluate(PAINTED) == before


STORM = """
import threading, time
import numpy as np
random, fields = np.random.default_rng(SEED), list(explorer.controls)
for _ in range(200):
    control = explorer.controls[random.choice(fields)]
    if hasattr(control, "options"):
        control.index = int(random.integers(len(control.options)))
    else:
        control.value = int(random.integers(control.max + 1))
    time.sleep(0.004)
"""


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_after_a_storm_of_all_the_controls_what_is_shown_is_what_train_gives(executed, seed):
    """Le noyau bouge tout, pendant que la main, dans la page, tient une flèche."""
    page = executed
    explorer, _ = known(page)
    explorer.locator(".noUi-handle").first.focus()
    page.evaluate(
        """code => {
            const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            window.storm = {text: '', over: false};
            const future = kernel.requestExecute({code});
            future.onIOPub = message => { window.storm.text += message.content.text || message.content.evalue || ''; };
            future.done.then(() => { window.storm.over = true; });
        }""",
        STORM.replace("SEED", str(seed)),
    )
    for k in range(40):
        page.keyboard.press("ArrowRight" if k % 3 else "ArrowLeft")
        page.wait_for_timeout(20)
    wait_until(page, "window.storm.over", timeout=120_000)
    lr, optimizer, rule = ask_kernel(
        page, "explorer.wait(rest=True); c = explorer._run.config; print(c.lr, c.optimizer, c.rule)"
    ).split()
    page.wait_for_timeout(500)  # plus rien ne viendra
    f, y2 = gendata(200, rule=rule, seed=0)
    history = train(Net(2, seed=0), f, y2, 60, float(lr), optimizer=optimizer, seed=0)
    said = explorer.locator(".toylib-status").inner_text().replace("\xa0", " ")
    assert said.startswith(f"lr {comma(float(lr))} · ")
    assert explorer.locator(".widget-readout").first.inner_text() == comma(float(lr))
    assert said == ask_kernel(page, "print(explorer.status)").replace("\xa0", " ")
    if float(lr) <= 0.1:  # au-delà, l'arrondi décide des chiffres
        score = f"perte {comma(history.loss[-1], 2)} · exactitude {percent(history.accuracy[-1])}"
        assert score.replace("\xa0", " ") in said
    assert page.evaluate(PAINTED)["legend"][0].replace("\xa0", " ").startswith(f"lr {comma(float(lr))}, ")


def test_a_restarted_kernel_leaves_the_picture_and_says_to_run_the_cell(executed):
    page = executed
    explorer, _ = known(page)
    before = picture(explorer)
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    explorer.get_by_text("exécutez la cellule").first.wait_for()
    assert picture(explorer) == before
    explorer.locator(".noUi-handle").first.focus()
    page.keyboard.press("ArrowRight")
    wait_for(explorer, LR_GRID[31])  # ce que le navigateur sait ne demande pas de noyau
    assert status(explorer) == expected(LR_GRID[31], 200, 60)
