"""Conduire une leçon et un explorateur dans une page : ce que les tests du navigateur et les mesures partagent."""

import os
import re
import shutil
from pathlib import Path

from toylib import Net, gendata, train
from toylib.french import comma, percent

CODE_CELLS = "window.jupyterapp.shell.currentWidget.content.widgets.filter(c => c.model.type === 'code')"

# Le carnet ouvert a un noyau, qui attend.
READY = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"

# Ce qui, dans une cellule, fait une démonstration vivante.
LIVE = re.compile(r"@interact|LrExplorer\(|_explorer\(")

CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium(playwright):
    """Le programme d'un Chromium : celui de CHROMIUM, de Playwright, ou du système ; None s'il n'y en a pas."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = (os.environ.get("CHROMIUM"), playwright.chromium.executable_path, *map(shutil.which, names))
    return next((path for path in found if path and Path(path).exists()), None)


def new_page(chromium, height=1000):
    """Une page neuve, en français, qui attend une minute et demie ce qu'on lui demande."""
    page = chromium.new_page(viewport={"width": 1400, "height": height}, locale="fr-FR")
    page.set_default_timeout(90_000)
    return page


def wait_until(page, condition, arg=None, timeout=None):
    """Attend que `condition` soit vraie dans la page, sans l'interroger à chaque image : elle a mieux à faire."""
    page.wait_for_function(condition, arg=arg, polling=100, timeout=timeout)


def open_notebook(page, address):
    """Ouvre le carnet d'adresse `address` dans JupyterLab, sans les onglets d'avant, et attend son noyau."""
    page.goto(f"{address}?token=essai&reset")
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    wait_until(page, READY)


def run_all(page):
    """Exécute tout le carnet ouvert, et attend la fin."""
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    wait_until(
        page, f"{CODE_CELLS}.every(c => c.model.executionState === 'idle' && c.model.executionCount)", timeout=120_000
    )


def run_demonstrations(page):
    """Exécute du carnet ouvert, et attend la fin : sa première cellule, ses démonstrations, et la dernière, le quiz."""
    page.evaluate(
        """async live => {
            const notebook = window.jupyterapp.shell.currentWidget.content;
            const places = [...notebook.widgets.keys()].filter(k => notebook.widgets[k].model.type === 'code');
            const source = k => notebook.widgets[k].model.sharedModel.source;
            for (const k of places.filter(k => k === places[0] || k === places.at(-1) || source(k).match(live))) {
                notebook.activeCellIndex = k;
                await window.jupyterapp.commands.execute('notebook:run-cell');
            }
        }""",
        LIVE.pattern,
    )


def ask_kernel(page, code):
    """Ce que le noyau du carnet ouvert écrit quand il exécute `code`."""
    return page.evaluate(
        """async code => {
            const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            let text = '';
            const future = kernel.requestExecute({code: code});
            future.onIOPub = message => { text += message.content.text || message.content.evalue || ''; };
            await future.done;
            return text.trim();
        }""",
        code,
    )


def first_explorer(page):
    """Le premier explorateur de la page, une fois sa courbe peinte."""
    made = page.locator(".toylib-explorer").first
    made.scroll_into_view_if_needed()
    made.locator(".toylib-figures svg").first.wait_for()
    return made


def status(explorer):
    """La ligne d'état, sans la durée."""
    return explorer.locator(".toylib-status").inner_text().rpartition(" · ")[0].replace("\xa0", " ")


def expected(lr, n=500, epochs=100):
    """Ce que la ligne d'état doit dire, d'après `train`."""
    f, y2 = gendata(n, seed=0)
    history = train(Net(2, seed=0), f, y2, epochs, lr, seed=0)
    score = f"perte {comma(history.loss[-1], 2)} · exactitude {percent(history.accuracy[-1])}"
    return f"lr {comma(lr)} · {score}".replace("\xa0", " ")


def wait_for(explorer, lr):
    """Attend que la ligne d'état soit celle du taux `lr`, entraînement achevé."""
    done = re.compile(rf"^lr {comma(lr)}\s.*(ms|déjà calculé)$", re.DOTALL)
    explorer.locator(".toylib-status", has_text=done).wait_for(timeout=60_000)


def picture(explorer):
    """Ce que les figures montrent."""
    return explorer.locator(".toylib-figures").inner_html()


def wait_for_other_picture(explorer, before):
    """Attend que les figures ne soient plus `before`."""
    figures = explorer.locator(".toylib-figures").element_handle()
    wait_until(explorer.page, "([figures, before]) => figures.innerHTML !== before", [figures, before])


def wait_for_u(explorer):
    """Attend que la courbe en U soit tracée d'un bout à l'autre."""
    curve = explorer.locator("[id$='-u'] > path").element_handle()
    wait_until(explorer.page, "curve => curve.getAttribute('d').split('L').length === 61", curve)
