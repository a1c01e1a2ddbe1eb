"""L'image de l'explorateur : une figure Agg privée, dont seul ce qui change est redessiné."""

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import contourpy
import numpy as np
import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from toylib.explorer.live import png
from toylib.explorer.runs import LR_GRID, Config, Run
from toylib.network import Net
from toylib.plotting import (
    LOSS_RANGE,
    STYLES,
    drawable,
    format_axes,
    leads,
    plane_shares,
    plot_data,
    put_ticks,
    region_colors,
)

# Une vue est faite de panneaux. `key(config)` dit de quoi le fond d'un panneau dépend, `reset(config)` le
# refait, `draw(scene)` livre ce qui bouge.
PINS = 3
GHOST = {"color": "#888888", "linestyle": (0, (3, 2))}
PLANE = 64  # points par côté du plan où la frontière est cherchée


class Scene(NamedTuple):
    """Ce qu'une image montre : l'entraînement du moment (None : rien encore), le précédent, les épinglés, la
    perte finale à chaque taux de `LR_GRID`, et l'époque où l'on regarde la frontière."""

    run: Run | None
    ghost: Run | None = None
    pins: tuple[Run, ...] = ()
    finals: np.ndarray | None = None
    epoch: int = 0


class Curves:
    """Une courbe d'entraînement, et celle de validation, plus fine ; l'axe des époques suit la configuration."""

    def __init__(self, ax: Axes, metric: str) -> None:
        self._ax, self._metric = ax, metric
        format_axes(ax, metric)
        self._chance = ax.axhline(1.0, color="#888888", linewidth=1)
        self._note = ax.text(0, 1.0, "au hasard", ha="right", va="top", color="0.35")
        # De l'arrière-plan à l'avant-plan : les épinglées, la précédente, la courbe du moment, sa validation.
        styles = [*({**style, "linewidth": 2} for style in STYLES[1 : PINS + 1]), {**GHOST, "linewidth": 2}]
        styles += [{**STYLES[0], "linewidth": 3}, {**STYLES[0], "linewidth": 1.3}]
        self._lines = [ax.plot([], [], animated=True, **style)[0] for style in styles]

    def key(self, config: Config) -> object:
        return config.epochs

    def reset(self, config: Config) -> None:
        last, classes = max(config.epochs, 1), config.shape[1]
        chance = math.log(classes) if self._metric == "loss" else 1 / classes
        self._ax.set_xlim(0, last)
        self._chance.set_ydata([chance, chance])
        self._note.set_position((0.98 * last, 0.94 * chance))

    def draw(self, scene: Scene) -> Iterator[Artist]:
        runs = [*scene.pins, *[None] * (PINS - len(scene.pins)), scene.ghost, scene.run]
        curves = [run and getattr(run.history, self._metric) for run in runs]
        curves.append(scene.run and getattr(scene.run.history, f"valid_{self._metric}"))
        for line, curve in zip(self._lines, curves):
            if curve is not None:
                line.set_data(np.arange(len(curve)), drawable(curve, self._metric))
                yield line


class Boundary:
    """Les deux régions du plan, leur frontière et les points, à l'époque choisie."""

    def __init__(self, ax: Axes) -> None:
        self._ax = ax

    def key(self, config: Config) -> object:
        return config.given or (config.n, config.rule, config.noise, config.seed)

    def reset(self, config: Config) -> None:
        data, target = config.data()
        self._ax.clear()
        plot_data(data, target, self._ax)
        low, high = (data.min(axis=0) - 0.2).tolist(), (data.max(axis=0) + 0.2).tolist()
        self._sides = [torch.linspace(*ends, PLANE) for ends in zip(low, high)]
        box = (low[0], high[0], low[1], high[1])
        regions = self._ax.imshow(np.ones((1, 1, 3)), extent=box, origin="lower", aspect="auto")
        (frontier,) = self._ax.plot([], [], color="black", linewidth=2)
        self._ax.axis(box)
        above = [*self._ax.collections, self._ax.get_legend(), *self._ax.spines.values()]
        self._artists = [regions, frontier, *above]
        for artist in self._artists:
            artist.set_animated(True)

    def draw(self, scene: Scene) -> Iterator[Artist]:
        regions, frontier, *_ = self._artists
        if scene.run is not None:
            shares = plane_shares(_net(scene.run, scene.epoch), *self._sides)
            regions.set_data(region_colors(shares))
            sides, gap = [side.numpy() for side in self._sides], np.full((1, 2), np.nan)
            lines = [line for lead in leads(shares) for line in contourpy.contour_generator(*sides, lead).lines(0.0)]
            frontier.set_data(*np.concatenate([gap, *(part for line in lines for part in (line, gap))]).T)
        yield from self._artists


def _net(run: Run, epoch: int) -> Net:
    """Le réseau tel qu'il était à l'époque `epoch`, ou à la dernière atteinte."""
    model = run.config.net()
    weights = torch.tensor(run.weights[min(epoch, run.reached)])
    torch.nn.utils.vector_to_parameters(weights, model.parameters())
    return model


class UCurve:
    """La perte finale selon le taux, et un repère au taux du moment."""

    def __init__(self, ax: Axes) -> None:
        self._ax = ax
        format_axes(ax, "loss")
        ax.set(xscale="log", xlim=(LR_GRID[0], LR_GRID[-1]), xlabel="Taux d'apprentissage", ylabel="Perte à la fin")
        put_ticks(ax.xaxis, 1e-4, 1e-2, 1)
        self._curve, self._mark = (
            ax.plot([], [], animated=True, linewidth=2, **style, **dots)[0]
            for style, dots in ((STYLES[0], {"marker": ".", "markersize": 5}), (STYLES[1], {}))
        )

    def key(self, config: Config) -> None:
        """Ces axes ne dépendent pas de la configuration."""

    def reset(self, config: Config) -> None:
        """Rien à refaire."""

    def draw(self, scene: Scene) -> Iterator[Artist]:
        if scene.run is not None:
            lr = scene.run.config.lr
            self._curve.set_data(LR_GRID, np.clip(scene.finals, *LOSS_RANGE))
            self._mark.set_data([lr, lr], self._ax.get_ylim())
            yield from (self._curve, self._mark)


PANELS = {
    "curves": (partial(Curves, metric="loss"), partial(Curves, metric="accuracy")),
    "boundary": (Boundary,),
    "u": (UCurve,),
}


class Canvas:
    """Une figure Agg privée, de `size` pixels, dont le fond est dessiné une fois et gardé.

    Arguments : `rows` et `columns`, les axes de la figure, que `axes` énumère ; `font`, la taille des textes en
    points. Une seule image à la fois : une toile n'est pas faite pour plusieurs fils.

    >>> canvas = Canvas((200, 100), font=13)
    >>> (line,) = canvas.axes[0].plot([0, 1], animated=True)
    >>> canvas.keep()
    >>> canvas.png([line])[1:4]
    b'PNG'
    """

    def __init__(self, size: tuple[int, int], font: float = 13, rows: int = 1, columns: int = 1) -> None:
        self.size, self._font = size, font
        self._figure = Figure(figsize=(size[0] / 100, size[1] / 100), dpi=100, layout="constrained")
        self._figure.get_layout_engine().set(w_pad=0.12)
        self._canvas = FigureCanvasAgg(self._figure)
        self.axes: list[Axes] = list(self._figure.subplots(rows, columns, squeeze=False).flat)

    def keep(self) -> None:
        """Dessine le fond, tout sauf ce qui est `animated` (cadres, graduations, noms), et le garde."""
        for text in self._figure.findobj(Text):
            text.set_fontsize(self._font)
        self._canvas.draw()
        self._background = self._canvas.copy_from_bbox(self._figure.bbox)

    def png(self, artists: Iterable[Artist]) -> bytes:
        """Le PNG du fond, et de `artists` dessinés par-dessus, dans l'ordre."""
        self._canvas.restore_region(self._background)
        for artist in artists:
            artist.axes.draw_artist(artist)
        return png(Image.frombuffer("RGBA", self.size, self._canvas.buffer_rgba(), "raw", "RGBA", 0, 1))


class Frame:
    """L'image des vues demandées, en PNG de `size` pixels ; les axes ne bougent pas tant que les données et le
    nombre d'époques restent les mêmes.

    Arguments : `views`, des clés de `PANELS` ; `font`, la taille des textes en points.

    >>> Frame(("curves",), font=13).size
    (960, 400)
    """

    def __init__(self, views: Sequence[str], font: float) -> None:
        panels = [panel for view in views for panel in PANELS[view]]
        rows, columns = (2, 2) if len(panels) > 3 else (1, len(panels))
        self.size = (columns * (480 if columns < 3 else 400), rows * 400)
        self._canvas, self._shown = Canvas(self.size, font, rows, columns), None
        self._panels = [panel(ax) for panel, ax in zip(panels, self._canvas.axes)]

    def draw(self, config: Config, scene: Scene) -> bytes:
        """Le PNG de `scene`, sur le fond qui convient à `config`."""
        background = [panel.key(config) for panel in self._panels]
        if background != self._shown:
            for panel in self._panels:
                panel.reset(config)
            self._canvas.keep()
            self._shown = background
        return self._canvas.png(artist for panel in self._panels for artist in panel.draw(scene))
