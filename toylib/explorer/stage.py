"""La scène : une figure matplotlib dont ce qui bouge est peint par le navigateur, sans image à transporter."""

import re
from collections.abc import Sequence
from html import escape
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import matplotlib
import numpy as np
import traitlets
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.image import AxesImage, imsave
from matplotlib.lines import Line2D
from matplotlib.text import Text

from toylib._checks import check_list, check_real, check_whole, require, shown

DPI = 100  # pixels par pouce : la taille d'une figure se donne en pixels
BLACK = "#000001"  # ce qui reste noir : sur un fond de couleur, l'encre du thème pourrait ne pas se voir
PLAIN = {"svg.fonttype": "none", "image.composite_image": False}


def make_figure(size: tuple[int, int] = (480, 400), columns: int = 1, layout: str = "constrained") -> Figure:
    """Une figure de `size` pixels, à `columns` graphiques, hors de pyplot ; `layout`, comme pour matplotlib.

    >>> len(make_figure(columns=2).axes)
    2
    """
    sides = check_list("size", size, "une largeur et une hauteur, en pixels")
    require(len(sides) == 2, "size", "être une largeur et une hauteur, en pixels", shown(size))
    wanted = "être un nombre de pixels, entre 1 et 10000"
    width, height = (check_real(f"size[{k}]", side, 1, 1e4, wanted) for k, side in enumerate(sides))
    columns = check_whole("columns", columns, 1)
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, layout=layout)
    figure.subplots(1, columns)
    return figure


def set_margins(figure: Figure, font: float, columns: int = 1, above: float = 0.7) -> None:
    """Donne à une figure de `make_figure`, à `columns` graphiques, les marges que veulent des textes de `font` points.

    `above` : ce qu'il en faut au-dessus, en hauteurs de texte. Les chercher, comme le fait matplotlib, prendrait
    autant de temps que dessiner.
    """
    width, height = font / 345.6, font / 288  # une largeur et une hauteur de texte, en parts d'un graphique
    sides = 5.3 * width / columns, 3.2 * height, 1 - 1.2 * width / columns, 1 - above * height
    figure.subplots_adjust(*sides, wspace=6.5 * width / (1 - 6.5 * width))


class Stage(anywidget.AnyWidget):
    """Des figures, côte à côte, et le texte qui dit ce qu'elles montrent, à un lecteur d'écran aussi.

    matplotlib dessine ce qui ne bouge pas, en SVG, une fois. Un artiste qui bouge porte un `gid`, unique : on lui
    donne d'autres données, on le cache ou on le montre, et `show` n'envoie au navigateur que cela. Peuvent bouger les
    traits et leurs marques, les contours, les textes et les images (tout entières, sans déborder de leurs axes).

    Arguments : `figures` ; `font`, la taille de leurs textes en points, si elle est la même pour tous ; `status`,
    celle de la ligne d'état, en pixels ; `controls`, les commandes dont
    les valeurs font la clé d'une image.

    `recall` est une liste d'images que le navigateur saura peindre seul, par leur clé ; voir `stage.js`.

    >>> figure = make_figure()
    >>> (line,) = figure.axes[0].plot([0, 1], gid="courbe")
    >>> stage = Stage(figure)
    >>> line.set_data([0, 0.5, 1], [0, 1, 0])
    >>> stage.show(status="un pic")
    >>> np.frombuffer(stage.frame["parts"]["courbe"]["points"], np.float32).reshape(-1, 2).shape
    (3, 2)
    """

    _esm = Path(__file__).with_suffix(".js").read_text("utf-8")  # un chemin serait surveillé, et retiendrait la scène
    _css = Path(__file__).with_suffix(".css").read_text("utf-8")
    figures = traitlets.List().tag(sync=True)
    font = traitlets.Int().tag(sync=True)
    controls = traitlets.List().tag(sync=True)
    frame = traitlets.Dict().tag(sync=True)
    pins = traitlets.List().tag(sync=True)
    recall = traitlets.List().tag(sync=True)

    def __init__(
        self,
        *figures: Figure,
        font: float | None = None,
        status: int = 20,
        controls: Sequence[widgets.Widget] = (),
    ) -> None:
        self._figures, self._text = figures, font
        super().__init__(font=status, controls=[one.model_id for one in controls])
        self.redraw()

    def redraw(self) -> None:
        """Refait ce qui ne bouge pas : à appeler quand des axes ont changé."""
        self._moving = [artist for figure in self._figures for artist in figure.findobj(Artist.get_gid)]
        self.figures = [_box(figure, self._draw(figure)) for figure in self._figures]
        self._anchors = {artist: _anchor(artist) for artist in self._moving if isinstance(artist, Text)}

    def parts(self) -> dict[str, dict[str, Any]]:
        """Ce que le navigateur doit savoir de chaque artiste qui bouge, par `gid`."""
        return {artist.get_gid(): self._part(artist) for artist in self._moving}

    def known(self, key: str) -> dict[str, Any] | None:
        """L'image qui a cette clé, si le navigateur sait la peindre seul."""
        return next((frame for frame in self.recall if frame["key"] == key), None)

    def show(self, **more) -> None:
        """Montre ce que les artistes sont devenus ; `more` accompagne l'image : `status`, la ligne d'état."""
        self.send_frame(parts=self.parts(), **more)

    def send_frame(self, **frame) -> None:
        """Montre une image toute faite, ou un texte sans image ; deux fois la même compte pour deux."""
        self.frame = {**frame, "count": self.frame.get("count", 0) + 1}

    def _part(self, artist: Artist) -> dict[str, Any]:
        if not artist.get_visible():
            return {"shown": False}
        if isinstance(artist, Text):
            return {"text": artist.get_text(), "shift": (_anchor(artist) - self._anchors[artist]).tolist()}
        if isinstance(artist, AxesImage):
            return {"image": _png(artist)}
        return {"points": _points(artist).tobytes()}

    def _draw(self, figure: Figure) -> str:
        """Le SVG de `figure`, chaque artiste qui bouge compris : une trace vide ne s'écrirait pas."""
        if self._text is not None:
            for text in figure.findobj(Text):
                text.set_fontsize(self._text)
        moving = [artist for artist in self._moving if artist.get_figure() is figure]
        kept = [_fill(artist) for artist in moving]
        buffer = StringIO()
        with matplotlib.rc_context(PLAIN):
            figure.savefig(buffer, format="svg", transparent=True)
        for artist, before in zip(moving, kept):
            artist.set(**before)
        svg = buffer.getvalue()
        return re.sub(r"(stroke|text[^>]*fill):\s#(..)\2\2(?=[;\"])", _ink, svg[svg.index("<svg") :])


def _box(figure: Figure, svg: str) -> str:
    """Ce que la page montre d'une figure ; un texte la remplace pour un lecteur d'écran."""
    axes = ", ".join(f"{ax.get_ylabel()} selon {ax.get_xlabel()}" for ax in figure.axes)
    alt = escape(f"Figure : {axes} ; le texte qui la suit dit ce qu'elle montre.")
    ratio = figure.bbox.width / figure.bbox.height
    return f'<div role="img" aria-label="{alt}" style="--ratio: {ratio}"><div aria-hidden="true">{svg}</div></div>'


def _ink(found: re.Match) -> str:
    """L'encre du thème, à la place du noir, et plus légère à la place d'un gris ; le blanc le reste."""
    name, level = found[1], 1 - int(found[2], 16) / 255
    if level == 0:
        return found[0]
    return f"{name}:currentColor" + (f";{name.split()[-1]}-opacity:{level:.2f}" if level < 1 else "")


def _fill(artist: Artist) -> dict[str, Any]:
    """Donne de quoi s'écrire à un artiste encore vide ou caché ; rend ce qu'il était."""
    kept = {"visible": artist.get_visible()}
    artist.set_visible(True)
    if isinstance(artist, Line2D) and len(artist.get_xdata()) < 2:
        kept["data"] = artist.get_data()
        artist.set_data(*artist.axes.transData.inverted().transform(artist.axes.bbox.get_points()).T)
    elif isinstance(artist, Text) and not artist.get_text():
        kept["text"] = ""
        artist.set_text("…")
    return kept


def _points(artist: Artist) -> np.ndarray:
    """Les sommets d'un trait ou d'un contour, (n, 2), en points de la figure, vers le bas ; NaN entre deux morceaux."""
    if isinstance(artist, Line2D):
        points = thin(artist.get_transform().transform(artist.get_xydata()))
    else:
        rings = artist.get_transform().transform_path(artist.get_path()).to_polygons(closed_only=False)
        points = np.concatenate([np.empty((0, 2)), *(part for ring in rings for part in (ring, [[np.nan] * 2]))])
    figure = artist.get_figure()
    points = np.clip([0, figure.bbox.height] + [1, -1] * points, -1e4, 1e4)
    return (points * 72 / figure.dpi).astype(np.float32)


def thin(points: np.ndarray) -> np.ndarray:
    """D'un trait de gauche à droite, (n, 2) pixels, au plus deux points par colonne : le plus haut et le plus bas.

    >>> thin(np.array([[0, 5], [0.1, 9], [0.2, 1], [0.3, 2], [1, 4]])).tolist()
    [[0.1, 9.0], [0.2, 1.0], [1.0, 4.0]]
    """
    columns = np.floor(points[:, 0])
    if len(points) < 3 or np.isnan(points).any() or (np.diff(columns) < 0).any():
        return points
    order = np.lexsort((points[:, 1], columns))
    starts = np.flatnonzero(np.diff(columns[order], prepend=-np.inf))
    ends = np.append(starts[1:], len(points)) - 1
    return points[np.union1d(order[starts], order[ends])]


def _anchor(text: Text) -> np.ndarray:
    """Le point où `text` est accroché, en points de la figure, vers le bas."""
    return text.get_transform().transform(text.get_position()) * [1, -1] * 72 / text.get_figure().dpi


def _png(image: AxesImage) -> bytes:
    """Les couleurs d'une image, en PNG ; matplotlib l'écrit dans un SVG la tête en bas."""
    buffer, colors = BytesIO(), image.get_array()
    imsave(buffer, colors if image.origin == "lower" else colors[::-1], format="png")
    return buffer.getvalue()
