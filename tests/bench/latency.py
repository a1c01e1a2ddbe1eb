"""Le curseur, de la touche pressée à l'image peinte : python tests/bench/latency.py [PRESSES]

Un vrai JupyterLab dans un Chromium sans écran, conduit au clavier. Quatre démonstrations l'une après l'autre :
l'explorateur à froid (`cache=False`), le même une fois tous les taux calculés d'avance, le même widget sans
entraînement (il redessine une courbe toute faite), et `interact` + `FloatLogSlider` + matplotlib en ligne, qui
réentraîne le même réseau. Le tableau donne la médiane et le 95e centile, en ms ; puis les images peintes par
répétition d'une touche tenue 30 fois par seconde ; puis la mémoire du noyau, en Mo.
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
CELLS = {
    "à froid": "from toylib.explorer import LrExplorer\nwidget = LrExplorer(lr=1e-3, cache=False)\nwidget",
    "calculé d'avance": "from toylib.explorer import LrExplorer\nwidget = LrExplorer(lr=1e-3)\n"
    "widget.wait(rest=True)\nwidget",
    "sans entraînement": """
from dataclasses import replace
from toylib.explorer import LR_GRID, LrExplorer
widget = LrExplorer(lr=1e-3, cache=False)
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
from ipywidgets import FloatLogSlider, interact
from toylib import Net, gendata, plot_history, train
f, y2 = gendata(seed=0)
@interact(lr=FloatLogSlider(value=1e-3, min=-5, max=1, step=0.1))
def show(lr):
    history = train(Net(2, seed=0), f, y2, 100, lr)
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 4))
    for ax, metric in zip(axes, ("loss", "accuracy")):
        plot_history(history, ax, metric=metric)
    plt.show()""",
}
# Une image est peinte quand, après un changement de source, elle est décodée et la trame suivante dessinée.
WATCH = """() => {
    const root = document.querySelector('.jp-OutputArea');
    window.painted = [];
    const seen = new WeakMap();
    const look = () => root.querySelectorAll('img').forEach(image => {
        if (seen.get(image) === image.src) return;
        seen.set(image, image.src);
        image.decode().catch(() => {}).then(
            () => requestAnimationFrame(() => setTimeout(() => window.painted.push(performance.now()), 0)));
    });
    look();
    new MutationObserver(look).observe(root, {subtree: true, childList: true, attributes: true});
    document.addEventListener('keydown', () => { window.pressed = performance.now(); }, true);
}"""
# Attend que plus rien ne se peigne depuis `quiet` ms, sans rien demander à chaque trame : le navigateur qui
# mesure ne doit pas prendre le processeur de ce qu'il mesure.
SETTLED = """quiet => new Promise(resolve => {
    const last = () => window.painted[window.painted.length - 1];
    const check = () => {
        const left = last() === undefined ? quiet : last() + quiet - performance.now();
        if (left <= 0) resolve(last() - window.pressed); else setTimeout(check, left);
    };
    check();
})"""
QUIET = 0.25  # secondes sans image : la précédente est la dernière


def open_demo(page, server, name):
    open_notebook(page, f"{server}lab/tree/{name}")
    ask_kernel(page, IMPORTS)
    before = int(ask_kernel(page, MEMORY))
    run_all(page)
    page.wait_for_selector(".noUi-handle")
    page.wait_for_timeout(1500)
    page.evaluate(WATCH)
    page.wait_for_timeout(500)
    page.locator(".noUi-handle").first.focus()
    return before


def latencies(page):
    """La durée de chaque pression, isolée : jusqu'à la dernière image qu'elle provoque, en ms."""
    found = []
    for k in range(PRESSES):
        page.evaluate("window.painted = []")
        page.keyboard.press("ArrowRight" if (k // 15) % 2 == 0 else "ArrowLeft")
        found.append(page.evaluate(SETTLED, 1000 * QUIET))
    return found


def frames_per_repeat(page, repeats=90):
    """Une touche tenue, répétée 30 fois par seconde : images peintes par répétition."""
    page.evaluate("window.painted = []")
    for k in range(repeats):
        page.keyboard.press("ArrowRight" if (k // 15) % 2 == 0 else "ArrowLeft")
        page.wait_for_timeout(1000 / 30)
    page.wait_for_timeout(1000)
    return page.evaluate("window.painted.length") / repeats


def ten_thousand_ticks(page):
    """La mémoire du noyau après dix mille crans, donnés par le programme."""
    code = (
        "from toylib.explorer import LR_GRID\nfor k in range(10_000):\n    widget.lr = LR_GRID[k % 61]\n"
        "    if k % 20 == 0: widget.wait()\nwidget.wait()\n" + MEMORY
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
        if name == "calculé d'avance":
            memory.append(ten_thousand_ticks(page))
        rows[name] = statistics.median(times), statistics.quantiles(times, n=20)[-1], frames, memory
        page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        page.close()
    return rows


def show(rows):
    base = rows["sans entraînement"]
    print(f"{'':<20} {'médiane':>8} {'95e c.':>8} {'/ sans':>8} {'95e':>6} {'images':>8}   mémoire (Mo)")
    for name, (median, high, frames, memory) in rows.items():
        ratios = f"{median / base[0]:>8.2f} {high / base[1]:>6.2f}"
        print(f"{name:<20} {median:>8.0f} {high:>8.0f} {ratios} {frames:>8.2f}   {' → '.join(map(str, memory))}")
    cold, plain = rows["à froid"], rows["interact"]
    print(f"à froid / interact : {cold[0] / plain[0]:.2f} (médiane), {cold[1] / plain[1]:.2f} (95e centile)")
    print("budgets : à froid 1,6 × sans entraînement ; calculé d'avance 1,2 × ; 0,25 × interact ; 0,6 image")


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
