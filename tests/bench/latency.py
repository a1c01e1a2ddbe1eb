"""Le curseur, de la touche pressée à l'image peinte : python tests/bench/latency.py [PRESSES]

Un vrai JupyterLab dans un Chromium sans écran, conduit au clavier. L'une après l'autre : un curseur seul (la limite),
l'explorateur dont le navigateur sait tous les taux, le même à froid (`cache=False`), le même widget sans entraînement
(il montre une courbe toute faite), et `interact` + matplotlib en ligne, qui réentraîne le même réseau. Le tableau
donne la médiane et le 95e centile, en ms, de la première et de la dernière peinture que provoque une touche ; puis les
images par répétition d'une touche tenue 30 fois par seconde ; puis la mémoire du noyau, en Mo ; puis le temps qu'un
explorateur prend à se faire et à se montrer, et ce que coûte l'image enregistrée.
"""

import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import nbformat
from playwright.sync_api import sync_playwright

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS))

from browser import CHROMIUM_FLAGS, ask_kernel, find_chromium, open_notebook, run_all  # noqa: E402
from conftest import run_lab  # noqa: E402

PRESSES = int(sys.argv[1]) if len(sys.argv) > 1 else 100
MEMORY = "import psutil; print(round(psutil.Process().memory_info().rss / 1e6))"
IMPORTS = "import torch, matplotlib.pyplot, ipywidgets"
EXPLORER = "from toylib.explorer import LR_GRID, LrExplorer\nwidget = LrExplorer(lr=1e-3{})\n"
CELLS = {
    "curseur seul": """
from ipywidgets import SelectionSlider
from toylib.explorer import LR_GRID
widget = SelectionSlider(options=[(str(lr), lr) for lr in LR_GRID], value=1e-3)
widget""",
    "connu": EXPLORER.format("") + "widget.wait(rest=True)\nwidget",
    "à froid": EXPLORER.format(", cache=False") + "widget",
    "sans entraînement": EXPLORER.format(", cache=False")
    + """
from dataclasses import replace
widget.wait()
ready = widget._run
def instead(config):
    scale = 1 + 0.2 * (LR_GRID.index(config.lr) % 5)
    yield ready._replace(config=config, history=replace(ready.history, loss=scale * ready.history.loss))
widget._runs.train = instead
widget""",
    "interact": """
%matplotlib inline
import matplotlib.pyplot as plt
from ipywidgets import SelectionSlider, interact
from toylib import Net, gendata, plot_history, train
from toylib.explorer import LR_GRID
f, y2 = gendata(seed=0)
@interact(lr=SelectionSlider(options=[(str(lr), lr) for lr in LR_GRID], value=1e-3))
def show(lr):
    history = train(Net(2, seed=0), f, y2, 100, lr, seed=0)
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 4))
    for ax, metric in zip(axes, ("loss", "accuracy")):
        plot_history(history, ax, metric=metric)
    plt.show()""",
}
# Ce qui se peint : un tracé de la scène, une image décodée, ou le nombre d'un curseur seul.
WATCH = """plain => {
    const root = document.querySelector('.jp-OutputArea');
    window.painted = [];
    const done = () => requestAnimationFrame(() => setTimeout(() => window.painted.push(performance.now()), 0));
    const seen = new WeakMap();
    const look = records => {
        for (const { target } of records) {
            if (target.tagName === 'IMG' && seen.get(target) !== target.src) {
                seen.set(target, target.src);
                target.decode().catch(() => {}).then(done);
            } else if (target.tagName === 'path' || (plain && target.closest?.('.widget-readout'))) done();
        }
        root.querySelectorAll('img').forEach(image => {
            if (seen.get(image) === image.src) return;
            seen.set(image, image.src);
            image.decode().catch(() => {}).then(done);
        });
    };
    new MutationObserver(look).observe(root, {subtree: true, childList: true, attributes: true, characterData: true});
    document.addEventListener('keydown', () => { window.pressed = performance.now(); }, true);
}"""
# Attend que plus rien ne se peigne depuis `quiet` ms, sans rien demander à chaque trame : le navigateur qui
# mesure ne doit pas prendre le processeur de ce qu'il mesure. Rend la première et la dernière peinture.
SETTLED = """quiet => new Promise(resolve => {
    const check = () => {
        const last = window.painted.at(-1);
        const left = last === undefined ? quiet : last + quiet - performance.now();
        if (left <= 0) resolve([(window.painted[0] ?? NaN) - window.pressed, (last ?? NaN) - window.pressed]);
        else setTimeout(check, left);
    };
    check();
})"""
QUIET = 0.25  # secondes sans image : la précédente est la dernière
# Le temps, en ms, de faire un explorateur et d'en avoir l'affichage ; et celui de l'image enregistrée, en parts du
# `savefig` de la même figure vide, neuve elle aussi : matplotlib fait les graduations au premier tracé.
DISPLAY = """
import time
from io import BytesIO
from toylib.explorer import LrExplorer
from toylib.explorer.stage import make_figure, set_margins
from toylib.explorer.views import format_u
from toylib.plotting import format_axes
def lasts(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
def empty(views):
    figure = make_figure((480 * (1 + len(views)), 400), 1 + len(views), "none")
    set_margins(figure, 10, 1 + len(views), above=2.2)
    for ax, metric in zip(figure.axes, ("loss", "accuracy")):
        format_axes(ax, metric)
        ax.minorticks_off()
    for ax in figure.axes[2:]:
        format_u(ax)
    return lambda: figure.savefig(BytesIO(), format="png", dpi=80)
made, times = [], []
for _ in range(5):
    times.append(lasts(lambda: made.append(LrExplorer())))
    made[-1].wait()
    made[-1].close()
print(round(1000 * sorted(times)[2]))
for views, epochs in ((("curves",), 100), (("curves",), 10_000), (("curves", "u"), 100)):
    one = LrExplorer(views=views, epochs=epochs, cache=False)
    one.wait(None)
    print(round(min(lasts(one._still) for _ in range(5)) / min(lasts(empty(views)) for _ in range(5)), 2))
    one.close()
"""


def open_demo(page, server, name):
    open_notebook(page, f"{server}lab/tree/{name}")
    ask_kernel(page, IMPORTS)
    before = int(ask_kernel(page, MEMORY))
    run_all(page)
    page.wait_for_selector(".noUi-handle")
    page.wait_for_timeout(1500)
    page.evaluate(f"({WATCH})({str(name == '0.ipynb').lower()})")
    page.wait_for_timeout(500)
    page.locator(".noUi-handle").first.focus()
    return before


def latencies(page):
    """La durée de chaque pression, isolée : jusqu'à la dernière image qu'elle provoque, en ms."""
    found = []
    for k in range(PRESSES):
        page.evaluate("window.painted = []")
        page.keyboard.press("ArrowRight" if (k // 15) % 2 == 0 else "ArrowLeft")
        found.append(page.evaluate(SETTLED, 1000 * QUIET))
    return found


def frames_per_repeat(page, repeats=90):
    """Une touche tenue, répétée 30 fois par seconde : images peintes par répétition."""
    page.evaluate("window.painted = []")
    for k in range(repeats):
        page.keyboard.press("ArrowRight" if (k // 15) % 2 == 0 else "ArrowLeft")
        page.wait_for_timeout(1000 / 30)
    page.wait_for_timeout(1000)
    # Plusieurs tracés peints dans la même trame ne font qu'une image.
    return page.evaluate("new Set(window.painted.map(time => Math.round(time / 4))).size") / repeats


def ten_thousand_ticks(page):
    """La mémoire du noyau après dix mille crans, que le programme donne moins vite que le serveur ne refuse."""
    code = (
        "import time\nfor k in range(10_000):\n    widget.lr = LR_GRID[k % 61]\n"
        "    if k % 20 == 0: widget.wait(); time.sleep(0.06)\nwidget.wait()\n" + MEMORY
    )
    return int(ask_kernel(page, code).split()[-1])


def measure(browser, server):
    rows = {}
    for k, name in enumerate(CELLS):
        page = browser.new_page(viewport={"width": 1400, "height": 1000}, locale="fr-FR")
        page.set_default_timeout(120_000)
        before = open_demo(page, server, f"{k}.ipynb")
        times, frames = latencies(page), frames_per_repeat(page)
        memory = [before, int(ask_kernel(page, MEMORY))]
        if name == "connu":
            memory.append(ten_thousand_ticks(page))
        rows[name] = *(half for column in zip(*times) for half in middle(column)), frames, memory
        if name == "interact":
            print(f"{name} : explorateur fait, puis image enregistrée / figure vide", ask_kernel(page, DISPLAY).split())
        page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        page.close()
    return rows


def middle(times):
    """La médiane et le 95e centile."""
    return statistics.median(times), statistics.quantiles(times, n=20)[-1]


def show(rows):
    print(f"{'':<18} {'première':>9} {'95e c.':>7} {'dernière':>9} {'95e c.':>7} {'images':>7}   mémoire (Mo)")
    for name, (*times, frames, memory) in rows.items():
        first, first_high, last, last_high = (f"{time:.0f}" for time in times)
        row = f"{name:<18} {first:>9} {first_high:>7} {last:>9} {last_high:>7} {frames:>7.2f}"
        print(row, "  ", " → ".join(map(str, memory)))
    bare, known, cold, plain, old = (rows[name] for name in CELLS)
    print(f"connu / curseur seul : {known[2] / bare[2]:.2f}, images {known[4] / bare[4]:.2f}", end=" ; ")
    print(f"à froid / sans entraînement : {cold[2] / plain[2]:.2f} ; à froid / interact : {cold[2] / old[2]:.2f}")
    print("budgets : 2 ; 0,95 ; 1,4 ; 0,15 ; à froid 0,8 image ; noyau + 60 Mo ; affichage 300 ms ; image 1,5")


def main():
    folder = Path(tempfile.mkdtemp())
    (folder / "travail").mkdir()
    for k, source in enumerate(CELLS.values()):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source.strip())])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, folder / "travail" / f"{k}.ipynb")
    server = run_lab(folder, {})
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(playwright), args=CHROMIUM_FLAGS)
        try:
            show(measure(browser, next(server)))
        finally:
            browser.close()
            next(server, None)
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
