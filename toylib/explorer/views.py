"""Les vues de l'explorateur : chacune est faite de panneaux, une figure et ses artistes qui bougent."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import contourpy
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from toylib.explorer.runs import LR_GRID, Config, Run
from toylib.explorer.stage import BLACK, make_figure, set_margins
from toylib.plotting import (
    CLASSES,
    STYLES,
    drawable,
    format_axes,
    leads,
    plane_shares,
    plane_side,
    plot_data,
    put_ticks,
)

# `key(config)` dit de quoi le fond d'un panneau dépend, `reset(config)` le refait, `draw(scene)` donne aux artistes
# ce que la scène leur fait montrer.
PANELS = {"curves": ("loss", "accuracy"), "boundary": ("boundary",), "u": ("u",)}  # par vue
PINS = 3
GHOST = {"color": "#888888", "linestyle": (0, (3, 2))}
PLANE = 64  # points par côté du plan où la frontière est cherchée
NOWHERE = Path([(0, 0), (0, 0)])


class Scene(NamedTuple):
    """Ce que l'on montre : un entraînement, la perte finale à chaque taux de `LR_GRID`, et l'époque où l'on regarde
    la frontière."""

    run: Run
    finals: np.ndarray | None = None
    epoch: int = 0


class Curves:
    """Une courbe d'entraînement, et celle de validation, plus fine ; l'axe des époques suit la configuration."""

    def __init__(self, metric: str) -> None:
        self.figure, self._metric = make_figure(layout="none"), metric
        (self._ax,) = self.figure.axes
        format_axes(self._ax, metric)
        self._ax.minorticks_off()  # un tiers de ce que coûte le fond
        self._chance = self._ax.axhline(1.0, color="#888888", linewidth=1)
        self._note = self._ax.text(0, 1.0, "au hasard", ha="right", va="top", color="0.35")
        # De l'arrière-plan à l'avant-plan : les épinglées, la précédente, la courbe du moment, sa validation.
        for k in range(PINS):
            self._ax.plot([], [], gid=f"pin{k + 1}-{metric}", linewidth=2, visible=False, **STYLES[k + 1])
        self._ax.plot([], [], gid=f"ghost-{metric}", linewidth=2, visible=False, **GHOST)
        widths = {metric: 3, f"valid_{metric}": 1.3}
        self._lines = [self._ax.plot([], [], gid=gid, linewidth=width, **STYLES[0])[0] for gid, width in widths.items()]

    def key(self, config: Config) -> object:
        return config.epochs

    def reset(self, config: Config) -> None:
        last, classes = max(config.epochs, 1), config.shape[1]
        chance = math.log(classes) if self._metric == "loss" else 1 / classes
        self._ax.set_xlim(0, last)
        self._chance.set_ydata([chance, chance])
        self._note.set_position((0.98 * last, 0.94 * chance))

    def draw(self, scene: Scene) -> None:
        for line in self._lines:
            curve = getattr(scene.run.history, line.get_gid())
            line.set_visible(curve is not None)
            if curve is not None:
                line.set_data(np.arange(len(curve)), drawable(curve, self._metric))


class Boundary:
    """Les deux régions du plan, leur frontière et les points, à l'époque choisie."""

    def __init__(self) -> None:
        self.figure = make_figure(layout="none")
        (self._ax,) = self.figure.axes

    def key(self, config: Config) -> object:
        return config.given or (config.n, config.rule, config.noise, config.seed)

    def reset(self, config: Config) -> None:
        data, target = config.data()
        self._ax.clear()
        plot_data(data, target, self._ax)
        self._sides = [plane_side(column, PLANE) for column in torch.from_numpy(data).T]
        low, high = ([float(side[k]) for side in self._sides] for k in (0, -1))
        self._ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        (_, _, first), *others = CLASSES[: config.shape[1]]
        self._ax.axvspan(low[0], high[0], color=first, linewidth=0, zorder=-1)
        self._regions = [
            self._ax.add_patch(PathPatch(NOWHERE, gid=f"region{k}", color=color, linewidth=0, zorder=0))
            for k, (*_, color) in enumerate(others, 1)
        ]
        (self._frontier,) = self._ax.plot([], [], gid="frontier", color=BLACK, linewidth=2, zorder=0.5)

    def draw(self, scene: Scene) -> None:
        net = scene.run.config.net(scene.run.weights[min(scene.epoch, scene.run.reached)])
        # au type des poids, qui peut n'être plus celui de PyTorch par défaut
        sides, lines, gap = [side.to(next(net.parameters())) for side in self._sides], [], np.full((1, 2), np.nan)
        for region, lead in zip(self._regions, leads(plane_shares(net, *sides))):
            generator = contourpy.contour_generator(*self._sides, lead, fill_type=contourpy.FillType.ChunkCombinedCode)
            (points,), (codes,) = generator.filled(0.0, np.inf)
            region.set_path(NOWHERE if points is None else Path(points, codes))
            lines += generator.lines(0.0)
        self._frontier.set_data(*np.concatenate([gap, *(part for line in lines for part in (line, gap))]).T)


def format_u(ax: Axes) -> None:
    """L'échelle, les graduations et les noms de la courbe en U."""
    format_axes(ax, "loss")
    ax.set(xscale="log", xlim=(LR_GRID[0], LR_GRID[-1]), xlabel="Taux d'apprentissage", ylabel="Perte à la fin")
    put_ticks(ax.xaxis, 1e-4, 1e-2, 1)
    ax.minorticks_off()


class UCurve:
    """La perte finale selon le taux, et un repère au taux du moment."""

    def __init__(self) -> None:
        self.figure = make_figure(layout="none")
        (ax,) = self.figure.axes
        format_u(ax)
        (self._curve,) = ax.plot([], [], gid="u", marker=".", markersize=5, linewidth=2, **STYLES[0])
        (self._mark,) = ax.plot([1, 1], ax.get_ylim(), gid="mark", linewidth=2, **STYLES[1])

    def key(self, config: Config) -> None:
        """Ces axes ne dépendent pas de la configuration."""

    def reset(self, config: Config) -> None:
        """Rien à refaire."""

    def draw(self, scene: Scene) -> None:
        self._curve.set_data(LR_GRID, np.where(np.isnan(scene.finals), np.nan, drawable(scene.finals, "loss")))
        self._mark.set_xdata([scene.run.config.lr] * 2)


def make_panels(views: Sequence[str], font: float = 13) -> list[Curves | Boundary | UCurve]:
    """Les panneaux des vues demandées, des clés de `PANELS` ; leurs marges sont celles de textes de `font` points.

    >>> len(make_panels(("curves", "u")))
    3
    """
    kinds = {"boundary": Boundary, "u": UCurve}
    panels = [kinds[name]() if name in kinds else Curves(name) for view in views for name in PANELS[view]]
    for panel in panels:
        set_margins(panel.figure, font)
    return panels
