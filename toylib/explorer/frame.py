"""L'image de l'explorateur : une figure Agg privée, dont seules les courbes sont redessinées."""

import math
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from toylib.plotting import STYLES, drawable, format_axes
from toylib.training import History

METRICS = ("loss", "accuracy")
PINS = 3
SIZE = (960, 400)
GHOST = {"color": "#888888", "linestyle": (0, (3, 2))}


class Frame:
    """Les courbes de perte et d'exactitude, en PNG de `SIZE` pixels ; les axes ne bougent jamais.

    Le fond est dessiné une fois, ici ; chaque image n'y ajoute que les courbes. Une seule image à
    la fois : `draw` n'est pas faite pour plusieurs fils.

    >>> frame = Frame(epochs=2)
    >>> frame.draw(History.of([(0.7, 0.5), (0.2, 0.9), (0.1, 1.0)]))[1:4]
    b'PNG'
    """

    def __init__(self, epochs: int) -> None:
        figure = Figure(figsize=(SIZE[0] / 100, SIZE[1] / 100), dpi=100, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.12)
        self._canvas = FigureCanvasAgg(figure)
        self._axes = figure.subplots(1, 2)
        for metric, ax in zip(METRICS, self._axes):
            _prepare(ax, metric, epochs)
        self._lines = [_empty_lines(ax) for ax in self._axes]
        self._canvas.draw()
        self._background = self._canvas.copy_from_bbox(figure.bbox)

    def draw(self, live: History | None, ghost: History | None = None, pins: Sequence[History] = ()) -> bytes:
        """Le PNG de la courbe `live`, de la précédente en gris et des `pins` épinglées (3 au plus).

        >>> len(Frame(epochs=1).draw(None)) > 1000
        True
        """
        self._canvas.restore_region(self._background)
        # De l'arrière-plan à l'avant-plan : les épinglées, la précédente, la courbe du moment.
        histories = [*pins, *[None] * (PINS - len(pins)), ghost, live]
        for metric, ax, lines in zip(METRICS, self._axes, self._lines):
            for line, history in zip(lines, histories):
                if history is not None:
                    curve = drawable(getattr(history, metric), metric)
                    line.set_data(np.arange(len(curve)), curve)
                    ax.draw_artist(line)
        return self._png()

    def _png(self) -> bytes:
        picture = Image.frombuffer("RGBA", SIZE, self._canvas.buffer_rgba(), "raw", "RGBA", 0, 1)
        buffer = BytesIO()
        picture.convert("RGB").save(buffer, "png", compress_level=1)
        return buffer.getvalue()


def _prepare(ax, metric: str, epochs: int) -> None:
    """Le fond des axes : échelles, graduations, et le niveau du hasard."""
    format_axes(ax, metric)
    ax.set_xlim(0, max(epochs, 1))
    chance = math.log(2) if metric == "loss" else 0.5
    ax.axhline(chance, color="#888888", linewidth=1)
    ax.text(0.98 * max(epochs, 1), 0.94 * chance, "au hasard", ha="right", va="top", color="0.35")
    for text in (ax.xaxis.label, ax.yaxis.label, *ax.get_xticklabels(), *ax.get_yticklabels(), *ax.texts):
        text.set_fontsize(13)


def _empty_lines(ax) -> list:
    """Les artistes des courbes, faits une fois pour toutes."""
    pins = [{**style, "linewidth": 2} for style in STYLES[1 : PINS + 1]]
    styles = [*pins, {**GHOST, "linewidth": 2}, {**STYLES[0], "linewidth": 3}]
    return [ax.plot([], [], animated=True, **style)[0] for style in styles]
