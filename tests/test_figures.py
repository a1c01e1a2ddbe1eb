"""La figure d'une cellule est entière, et seule, quelque curseur que l'on bouge pendant qu'elle se trace."""

from ast import literal_eval
from pathlib import Path

import figure_grid
import matplotlib.pyplot as plt
import nbformat
import pytest
from browser import CODE_CELLS, new_page, open_notebook, run_all, wait_until
from conftest import run_lab
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

from toylib import Net, toytest
from toylib.explorer import LrExplorer
from toylib.lessons.backprop import step_explorer
from toylib.lessons.bowl import bowl_explorer
from toylib.lessons.catapult import catapult_explorer
from toylib.lessons.edge import edge_explorer
from toylib.lessons.fractal import make_problem, map_explorer
from toylib.lessons.noise_floor import floor_explorer
from toylib.plotting import STYLES, put_ticks

SETUP = """
import time
from pathlib import Path
import matplotlib.pyplot as plt
from ipywidgets import IntSlider, Label, VBox, interact

def étape(k):
    while not Path(f"étape{k}").exists():
        time.sleep(0.01)
"""
# La cellule ne passe une étape qu'une fois que le test a vu le curseur répondre.
DRAW = """
plt.plot([0, 1], [0, 1])
étape(1)
plt.plot([0, 1], [1, 0])
étape(2)
plt.plot([0, 1], [0.5, 0.5])
plt.title("trois courbes")
"""
SLIDER = """
slider, answer = IntSlider(value=3), Label("3")
slider.observe(lambda change: setattr(answer, "value", str(change.new)), names="value")
answer.add_class("answer")
VBox([slider, answer])
"""
INTERACT = """
@interact(n=IntSlider(value=3))
def montrer(n):
    plt.plot([0, n], "--")
    plt.xlabel(f"n = {n}")
"""
EXPLORER = """
from toylib.explorer import LrExplorer
LrExplorer(lr=0.01, n=100, epochs=30)
"""
LESSON = "%reload_ext toylib.lessons\n"
# Le début du carnet, ce qui montre le curseur, et où se lit sa réponse.
KINDS = {
    "curseur": (LESSON + SETUP, SLIDER, ".answer"),
    "interact": (LESSON + SETUP, INTERACT, ".widget-interact .jp-OutputArea img"),
    "explorateur": (LESSON + SETUP, EXPLORER, ".toylib-status"),
    "explorateur seul": (SETUP, EXPLORER, ".toylib-status"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    (folder / "travail").mkdir()
    lay_notebook(folder / "travail" / "figures.ipynb", "pass", "pass", DRAW)
    return folder


@pytest.fixture(scope="module")
def server(folder):
    yield from run_lab(folder, {})


def lay_notebook(path, *cells):
    """Un carnet de ces cellules."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, path)


def open_gates(folder, *steps):
    """Laisse la cellule passer ces étapes, et elles seules."""
    for gate in (folder / "travail").glob("étape*"):
        gate.unlink()
    for k in steps:
        (folder / "travail" / f"étape{k}").touch()


def outputs(page):
    """Ce que montre la cellule qui trace, sans son numéro d'exécution."""
    return page.evaluate(f"{CODE_CELLS}.at(-1).model.outputs.toJSON().map(({{execution_count, ...rest}}) => rest)")


def start(page):
    """Exécute la cellule qui trace, sans attendre sa fin."""
    page.evaluate(
        """() => {
            const notebook = window.jupyterapp.shell.currentWidget.content;
            notebook.activeCellIndex = notebook.widgets.length - 1;
            window.jupyterapp.commands.execute('notebook:run-cell');
        }"""
    )
    wait_until(page, f"{CODE_CELLS}.at(-1).model.executionState === 'running'")


def press(page, key, selector):
    """Un cran du curseur ; rend sa réponse, une fois changée."""
    read = f"(() => {{ const all = document.querySelectorAll('{selector}'); return all.length === 1 && "
    read += "(all[0].src || all[0].innerText); })()"
    before = page.evaluate(read)
    page.locator(".noUi-handle").first.focus()
    page.keyboard.press(key)
    wait_until(page, f"before => {read} && {read} !== before", before, timeout=30_000)
    return page.evaluate(read)


@pytest.fixture(scope="module")
def page(chromium, server):
    """La page où le carnet est ouvert une fois pour toutes : chaque test y écrit ses cellules."""
    page = new_page(chromium, height=1600)
    open_notebook(page, f"{server}lab/tree/figures.ipynb")
    yield page
    page.close()


def write_cells(page, *cells):
    """Écrit les premières cellules du carnet."""
    write = f"cells => cells.forEach((text, k) => {CODE_CELLS}[k].model.sharedModel.setSource(text))"
    page.evaluate(write, [cell.strip() for cell in cells])


@pytest.mark.parametrize("kind", KINDS)
def test_a_cell_keeps_its_figure_whole_while_a_slider_answers(kind, folder, page):
    setup, live, selector = KINDS[kind]
    open_gates(folder, 1, 2)
    write_cells(page, setup, live)
    if setup == SETUP:  # un noyau neuf, qui n'a pas chargé toylib.lessons
        page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    run_all(page)
    alone = outputs(page)
    assert [output["output_type"] for output in alone if "image/png" in output.get("data", {})] == ["display_data"]
    at_rest = [press(page, key, selector) for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowLeft")]
    open_gates(folder)
    start(page)
    moved = [press(page, key, selector) for key in ("ArrowRight", "ArrowRight")]
    open_gates(folder, 1)
    moved += [press(page, key, selector) for key in ("ArrowLeft", "ArrowLeft")]
    assert page.evaluate(f"{CODE_CELLS}.at(-1).model.executionState") == "running"
    open_gates(folder, 1, 2)
    wait_until(page, f"{CODE_CELLS}.at(-1).model.executionState === 'idle'")
    if kind == "interact":
        assert moved == at_rest
    assert outputs(page) == alone


# --- Dans un noyau, sans navigateur --------------------------------------------------------------


@pytest.fixture(scope="module")
def kernel():
    """Un noyau où `%reload_ext toylib.lessons` est fait."""
    manager, client = start_new_kernel(kernel_name="python3")
    assert run(client, LESSON + SETUP) == []
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run(kernel, code, during=lambda: None):
    """Les messages où la cellule montre quelque chose ; `during` est appelé au premier texte qu'elle écrit."""
    shown = []

    def watch(message):
        if message["msg_type"] in ("stream", "error", "display_data", "execute_result"):
            shown.append(message["content"])
        if message["msg_type"] == "stream":
            during()

    kernel.execute_interactive(code, output_hook=watch, timeout=120)
    return shown


def move(kernel, comm, value):
    """Bouge un curseur comme le fait un carnet sans sous-noyaux."""
    update = {"method": "update", "state": {"value": value}, "buffer_paths": []}
    kernel.shell_channel.send(kernel.session.msg("comm_msg", {"comm_id": comm, "data": update}))


def test_a_cell_that_awaits_a_slider_keeps_its_figure_whole(kernel):
    """Sans sous-noyaux, le curseur répond dans le fil même de la cellule, pendant qu'elle attend."""
    (made,) = run(kernel, SLIDER.replace("VBox([slider, answer])", "print(slider.comm.comm_id)"))
    draw = """
import asyncio
slider.observe(lambda change: plt.plot([9, 9]), names="value")
plt.plot([0, 1], [0, 1])
print("bougez", flush=True)
while slider.value != 7:
    await asyncio.sleep(0.01)
plt.plot([0, 1], [1, 0])
len(plt.gca().lines)
"""
    _, lines, figure = run(kernel, draw, lambda: move(kernel, made["text"].strip(), 7))
    assert lines["data"]["text/plain"] == "2"
    assert "image/png" in figure["data"]


def test_the_figure_of_interact_is_its_own_after_matplotlib_inline(kernel):
    draw = "%matplotlib inline\ninteract(lambda n: plt.plot([0, n]), n=3)\nprint('après')"
    figure, *_, after = run(kernel, draw)
    assert "image/png" in figure["data"]
    assert after["text"] == "après\n"


def test_formulas_can_be_drawn_by_two_threads_at_once(kernel):
    """Un curseur peut dessiner des axes logarithmiques pendant que la cellule dessine les siens."""
    draw = r"""
import sys, threading
from matplotlib.mathtext import MathTextParser

faults, pause = [], sys.getswitchinterval()
def formulas(start):
    for k in range(start, start + 30):
        try:
            MathTextParser("path").parse(rf"$\lambda_{{{k}}} = \frac{{{k}}}{{10^{k}}}$")
        except Exception as error:
            faults.append(error)

sys.setswitchinterval(1e-5)
threads = [threading.Thread(target=formulas, args=(start,)) for start in (0, 100)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
sys.setswitchinterval(pause)
len(faults)
"""
    assert [one["data"]["text/plain"] for one in run(kernel, draw)] == ["0"]


def test_a_cell_may_draw_more_than_twenty_figures(kernel):
    draw = "for k in range(22):\n    plt.figure(figsize=(1, 1), layout='none')"
    assert ["data" in one for one in run(kernel, draw)] == [True] * 22


@pytest.mark.lent
def test_toytest_called_again_and_again_gives_no_warning(recwarn):
    plt.close("all")
    for _ in range(21):
        toytest([0.1], epochs=0)
    plt.close("all")
    assert [str(one.message) for one in recwarn] == []


DEMONSTRATIONS = {
    "l'explorateur": lambda: LrExplorer(n=50, epochs=5, views=("curves", "boundary", "u")),
    "le bol": bowl_explorer,
    "le schéma": lambda: step_explorer(Net(2, hidden=(2, 2), seed=3), [[-1.0, -0.5]], [0]),
    "le plancher": floor_explorer,
    "la limite": lambda: edge_explorer(steps=4),
    "la catapulte": catapult_explorer,
    "la carte": lambda: map_explorer(make_problem(5), resolution=16),
}


@pytest.mark.lent
@pytest.mark.parametrize("make", DEMONSTRATIONS.values(), ids=DEMONSTRATIONS)
def test_a_demonstration_has_its_own_figure_and_opens_none_of_pyplot(make):
    """Son fil de travail a le registre des cellules : une figure de pyplot s'y mêlerait aux leurs."""
    plt.close("all")
    demo = make()
    demo._repr_mimebundle_()
    demo.close()
    assert plt.get_fignums() == []


# --- Le barème de la leçon 11, que chaque figure de chaque leçon doit tenir -----------------------

FOLDER = Path(__file__).resolve().parent
LESSONS = sorted(FOLDER.parent.glob("notebooks/*.ipynb"))


@pytest.mark.long
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_the_figures_of_a_lesson_hold_its_own_marking_grid(lesson):
    """Un titre, des axes nommés et gradués à la française, des courbes nommées et distinctes, les taux en décades."""
    notebook = nbformat.read(lesson, as_version=4)
    before = f"import sys\nsys.path.append({str(FOLDER)!r})\nimport figure_grid\nfigure_grid.watch()"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(before))
    notebook.cells.append(nbformat.v4.new_code_cell("figure_grid.SEEN"))
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": lesson.parent}})
    client.comm_open_handlers.clear()  # comme build_lessons : un curseur écrit sa figure dans sa cellule
    client.execute()
    seen = literal_eval(notebook.cells[-1].outputs[0]["data"]["text/plain"])
    assert seen
    assert {place: faults for place, faults in enumerate(seen, start=1) if faults} == {}


def grid_faults(draw):
    """Les fautes de la figure que `draw` trace sur ses axes."""
    fig, ax = plt.subplots()
    draw(ax)
    fig.canvas.draw()
    return list(figure_grid.faults(fig))


def test_the_grid_sees_what_a_figure_lacks():
    def bare(ax):
        ax.plot([0, 0.5], [-1, 1])

    def good(ax):
        for rank in (0, 1):
            ax.loglog([0.01, 10], [1 + rank, 10], label=f"graine {rank}", **STYLES[rank])
        ax.set(title="Deux réseaux", xlabel="Taux d'apprentissage", ylabel="Perte")
        ax.legend()
        put_ticks(ax.xaxis, 0.01, 0.1, 1, 10)
        put_ticks(ax.yaxis, 1, 10)

    def twins(ax):
        good(ax)
        ax.lines[1].set(**STYLES[0])

    assert grid_faults(good) == []
    assert grid_faults(bare)[:3] == ["pas de titre", "axe x sans nom", "graduation 0.0"]
    assert grid_faults(lambda ax: [good(ax), ax.set_xscale("linear")])[-1].startswith("taux de 0.01 à 10")
    assert grid_faults(lambda ax: [good(ax), ax.plot([1, 2], [1, 2], "k:")])[0].startswith("courbe sans nom")
    assert "2 courbes semblables" in grid_faults(twins)[-1]
