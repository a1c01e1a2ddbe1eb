"""La démonstration de la leçon 15 : une carte, et un rectangle que l'on y dessine pour l'agrandir."""

import math
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import closing

import ipywidgets as widgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from toylib._checks import check_choice, check_list, check_whole, require
from toylib.explorer.controls import STYLE, make_button
from toylib.explorer.live import Demo
from toylib.explorer.stage import BLACK, make_figure
from toylib.french import comma, percent
from toylib.lessons.fractal.maps import (
    START,
    Map,
    Problem,
    Region,
    check_problem,
    check_region,
    colors,
    format_map,
    make_problem,
)
from toylib.lessons.fractal.tiles import iter_map

NOTCHES = 32  # crans par côté, pour le rectangle de l'explorateur
MIDDLE = (14, 18)  # le rectangle à l'arrivée dans une région : un huitième de chaque côté


def map_explorer(problem: Problem | None = None, region: Region = START, **options) -> "MapExplorer":
    """La démonstration de la leçon ; mêmes arguments que `MapExplorer`.

    >>> demo = map_explorer(make_problem(5), resolution=16)
    >>> demo.wait()
    >>> demo.chart.reached
    16
    >>> demo.close()
    """
    return MapExplorer(make_problem() if problem is None else problem, region, **options)


class MapExplorer(Demo):
    """La carte, et un rectangle que deux curseurs dessinent dessus : « Zoomer » calcule la carte du rectangle.

    Arguments : `problem`, ce que chaque point entraîne ; `region`, la première région ; `resolution`, points par
    côté ; `executor`, comme pour `iter_map`. Une région déjà vue revient aussitôt.

    Le rectangle se donne en crans, de 0 à 32 : `explorer.set(hidden=(8, 12), output=(14, 18))`.
    """

    def __init__(
        self, problem: Problem, region: Region = START, *, resolution: int = 128, executor: Executor | None = None
    ) -> None:
        self._problem, self._executor = check_problem(problem), executor
        self._regions, self._maps = [check_region(region, resolution)], {}
        self._resolution = int(resolution)
        figure = make_figure((760, 640))
        self._seen, (self._cells, self._boxes) = None, _draw_artists(*figure.axes)
        names = {"hidden": "Taux de la couche cachée : 10 puissance", "output": "Taux de la sortie : 10 puissance"}
        controls = {name: _make_range(text) for name, text in names.items()}
        actions = (("Zoomer", "search-plus", self.zoom), ("Revenir", "undo", self.back), ("Arrêter", "stop", self.stop))
        buttons = [make_button(*action) for action in actions]
        super().__init__(controls, self._refine, self._set_artists, figure, buttons=buttons, font=14)
        self._enter()

    @property
    def chart(self) -> Map:
        """La carte que l'on voit, telle qu'elle est."""
        return self._chart(self._regions[-1])

    @property
    def rectangle(self) -> Region:
        """La région que le rectangle entoure."""
        return _inside(self._regions[-1], **{name: control.value for name, control in self.controls.items()})

    def set(self, **values) -> None:
        """Déplace le rectangle : deux crans par curseur. Lève : `ValueError` ou `TypeError` ; rien ne bouge alors."""
        pairs, wanted = {}, f"deux crans croissants, de 0 à {NOTCHES}"
        for name, pair in values.items():
            check_choice("la commande", name, self.controls)
            ends = pairs[name] = tuple(check_whole(name, one) for one in check_list(name, pair, wanted))
            require(len(ends) == 2 and ends[0] < ends[1] <= NOTCHES, name, f"être {wanted}", pair)
        for name, pair in pairs.items():
            self.controls[name].value = pair

    def zoom(self) -> None:
        """Calcule la carte du rectangle ; sans effet s'il est trop petit pour que ses taux se distinguent."""
        if self.rectangle.resolves(self._resolution):
            self._regions.append(self.rectangle)
            self._enter()

    def back(self) -> None:
        """Revient à la région d'avant, déjà calculée."""
        if len(self._regions) > 1:
            self._regions.pop()
        self._enter()

    def _enter(self) -> None:
        """Gradue les curseurs pour la région, et pose le rectangle en son milieu : une seule demande pour les deux."""
        region = self._regions[-1]
        for control, side in zip(self.controls.values(), (region[:2], region[2:])):
            ends = np.linspace(*side, NOTCHES + 1)
            control.unobserve(self._submit, "value")
            control.options = [(_power(end, ends), k) for k, end in enumerate(ends)]
            control.index = MIDDLE
            control.observe(self._submit, "value")
        self._submit()

    def _request(self) -> dict:
        return {"region": self._regions[-1], **super()._request()}

    def _chart(self, region: Region) -> Map:
        """La carte d'une région, vide la première fois."""
        unknown = np.full((self._resolution, self._resolution), np.nan)
        return self._maps.setdefault(region, Map(region, unknown))

    def _refine(self, region: Region, hidden: tuple, output: tuple) -> Iterator[tuple[Map, Region]]:
        """La carte et le rectangle, pendant que la carte se précise."""
        chart, box = self._chart(region), _inside(region, hidden, output)
        yield chart, box
        if chart.reached < self._resolution:
            options = {"executor": self._executor, "start": chart}
            with closing(iter_map(self._problem, region, self._resolution, **options)) as states:
                for _ in states:
                    yield chart, box

    def _set_artists(self, state: tuple[Map, Region]) -> str:
        """Montre la carte et le rectangle, sur des axes que l'on ne refait qu'à chaque région."""
        chart, box = state
        if chart.region != self._seen:
            format_map(self._cells.axes, chart.region)
            self._cells.set_extent(chart.region)
            self.stage.redraw()
            self._seen = chart.region
        self._cells.set_data(colors(chart.filled()))
        for patch in self._boxes:
            patch.set_bounds(box.left, box.bottom, box.right - box.left, box.top - box.bottom)
        return _status(chart, box)


def _draw_artists(ax: Axes) -> tuple[AxesImage, list[Rectangle]]:
    """L'image de la carte, et les deux traits, blanc et noir, du rectangle."""
    cells = ax.imshow(np.ones((1, 1, 3)), gid="map", origin="lower", aspect="auto", interpolation="nearest")
    styles = {"halo": {"edgecolor": "white", "linewidth": 6}, "box": {"edgecolor": BLACK, "linewidth": 2.5}}
    return cells, [ax.add_patch(Rectangle((0, 0), 1, 1, gid=gid, fill=False, **styles[gid])) for gid in styles]


def _make_range(name: str) -> widgets.SelectionRangeSlider:
    """Un curseur à deux poignées, que les flèches du clavier avancent d'un cran."""
    notches, layout = range(NOTCHES + 1), {"width": "700px", "max_width": "100%"}
    return widgets.SelectionRangeSlider(options=notches, index=MIDDLE, description=name, style=STYLE, layout=layout)


def _inside(region: Region, hidden: tuple, output: tuple) -> Region:
    """La partie de `region` entre deux crans de chaque axe ; au moins un cran de large."""
    sides = []
    for (low, high), (first, last) in zip((region[:2], region[2:]), (hidden, output)):
        first = min(first, NOTCHES - 1)
        sides += [low + (high - low) * k / NOTCHES for k in (first, max(last, first + 1))]
    return Region(*sides)


def _power(value: float, ends) -> str:
    """Une puissance de dix, avec assez de décimales pour distinguer deux crans de l'intervalle `ends`."""
    digits = max(0, math.ceil(1 - math.log10((ends[-1] - ends[0]) / NOTCHES)))
    return comma(round(float(value), digits) + 0.0, 12).replace("-", "−")


def _status(chart: Map, box: Region) -> str:
    """Ce que l'image montre, en mots ; la part est arrondie, pour être la même d'une machine à l'autre."""
    size, resolution = chart.reached, len(chart.values)
    known = percent(np.isfinite(chart.values).mean(), 2)
    state = f"Carte de {resolution} × {resolution}" + ("" if size == resolution else f", {known} calculée")
    share = percent(round(chart.share, 1), 2)
    last = "" if box.resolves(resolution) else " Trop petit pour être agrandi : ses taux ne se distingueraient plus."
    places = f"{_place('Région', chart.region)} {_place('Rectangle', box)}"
    return f"{state} : environ {share} des couples convergent. {places}{last}"


def _place(name: str, region: Region) -> str:
    left, right, bottom, top = (_power(end, side) for side in (region[:2], region[2:]) for end in side)
    return f"{name} : couche cachée de 10^{left} à 10^{right}, sortie de 10^{bottom} à 10^{top}."
