"""Le barème de la leçon 11, appliqué aux figures des leçons : ce qu'une machine peut en tenir.

Un titre ; des axes nommés et gradués, à la française ; chaque courbe nommée, et aucune de même couleur et de même
trait qu'une autre ; des taux étalés sur plus de deux décades en échelle logarithmique.
"""

import re
from collections import Counter
from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

FOREIGN = re.compile(r"-\d|\d\.\d")  # un signe moins qui est un trait d'union, un point décimal
RATE = re.compile(r"[Tt]aux|[Pp]ic du|\blr\b(?!·)")
SEEN: list[list[str]] = []  # les fautes de chaque figure montrée


def watch() -> None:
    """Note désormais les fautes de chaque figure que le carnet montre. Celles des démonstrations sont à part."""
    draw = FigureCanvasBase.print_figure

    def print_figure(canvas, *args, **options):
        done = draw(canvas, *args, **options)
        if plt.fignum_exists(getattr(canvas.figure, "number", None)):
            SEEN.append(list(faults(canvas.figure)))
        return done

    FigureCanvasBase.print_figure = print_figure


def faults(figure: Figure) -> Iterator[str]:
    """Ce qui manque à la figure, une fois dessinée."""
    panels = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    if figure.get_suptitle() == "" and not all(ax.get_title() for ax in panels):
        yield "pas de titre"
    for ax in panels:
        yield from axis_faults(ax)
        yield from rate_faults(ax)
        if len(panels) == len(figure.axes):  # sinon, une échelle de couleurs dit quelle courbe est laquelle
            yield from line_faults(ax, figure)


def axis_faults(ax: Axes) -> Iterator[str]:
    """Un axe sans nom, sans graduation, ou gradué à l'anglaise. Un axe partagé peut tenir son nom de l'autre."""
    for axis, shared in ((ax.xaxis, ax.get_shared_x_axes()), (ax.yaxis, ax.get_shared_y_axes())):
        low, high = sorted(axis.get_view_interval())
        ticks = zip(axis.get_majorticklocs(), axis.get_majorticklabels())
        names = [label.get_text() for place, label in ticks if low <= place <= high]
        if not names:  # une image que l'on a choisi de ne pas graduer
            continue
        others = [getattr(one, f"{axis.axis_name}axis").get_label_text() for one in shared.get_siblings(ax)]
        if not any([axis.get_label_text(), *others]):
            yield f"axe {axis.axis_name} sans nom"
        if sum(1 for name in names if name) < 2 and axis.get_tick_params().get("labelleft", True):
            yield f"axe {axis.axis_name} : moins de deux graduations"
        for name in names:
            if "$" not in name and FOREIGN.search(name):
                yield f"graduation {name}"


def rate_faults(ax: Axes) -> Iterator[str]:
    """Des taux étalés sur plus de deux décades, sur un axe ordinaire."""
    places = np.concatenate([np.ravel(line.get_xdata()).astype(float) for line in ax.lines] or [np.ones(1)])
    places = places[places > 0]
    if RATE.search(ax.get_xlabel()) and places.size and places.max() > 100 * places.min() and ax.get_xscale() != "log":
        yield f"taux de {places.min():.2g} à {places.max():.2g} sur un axe ordinaire"


def line_faults(ax: Axes, figure: Figure) -> Iterator[str]:
    """Plusieurs courbes, dont une sans nom, ou deux qui ne se distinguent pas."""
    if len(ax.lines) < 2:
        return
    named = {look(line) for one in figure.axes if one.get_legend() for line in one.get_legend().get_lines()}
    beside = {text.get_color() for text in ax.texts}
    looks = [look(line) for line in ax.lines if line.get_color() not in beside]  # les autres sont nommées à leur bout
    yield from (f"courbe sans nom : {style}" for style in looks if style not in named)
    for style, count in Counter(looks).items():
        if count > 1:
            yield f"{count} courbes semblables : {style}"


def look(line: Line2D) -> tuple:
    """Ce qui distingue une courbe d'une autre : sa couleur, son trait, et ses points."""
    dash = "aucun" if line.get_linestyle() == "None" else line._unscaled_dash_pattern[1]
    return to_hex(line.get_color()), str(dash), str(line.get_marker())
