"""Un widget vivant : des commandes, une image et un texte, que refait un fil de travail."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from html import escape
from io import BytesIO
from typing import ClassVar

import ipywidgets as widgets
from IPython import get_ipython
from PIL import Image

from toylib._checks import check_choice
from toylib.explorer.figures import keep_apart
from toylib.explorer.screen_reader import ScreenReader
from toylib.explorer.worker import LatestWorker

LATE = 0.03  # secondes sans image au bout desquelles une demande dépassée montre où elle en est
PATIENCE = 60  # secondes qu'une cellule attend l'image à garder dans le carnet
FONT = 20  # pixels, pour la ligne d'état


class Live(widgets.VBox):
    """Ce que l'explorateur et les démonstrations ont en commun.

    Qui en hérite écrit `_work(request, stale)`, qui calcule et montre ; `_still()`, le texte et l'image
    qui restent dans un carnet que l'on ne fait que lire ; et, au besoin, `_rest`, qui occupe le repos.

    Arguments : `rows`, les rangées de commandes ; `picture`, la première image, un PNG de `size` pixels ;
    `font`, la taille de la ligne d'état, en pixels.
    """

    # Par cellule de carnet : l'exécution qui a montré des widgets vivants, et ces widgets.
    _shown: ClassVar[dict[str, tuple[str, list["Live"]]]] = {}
    _unshown: Sequence[widgets.Widget] = ()  # à fermer, bien qu'aucune boîte ne les contienne

    def __init__(
        self, rows: Sequence[Sequence[widgets.Widget]], size: tuple[int, int], picture: bytes, font: int = FONT
    ) -> None:
        keep_apart()
        self._font, self._submitting, self._painted = font, threading.Lock(), 0.0
        width, height = (f"{side}px" for side in size)
        # Étroite, elle rétrécit, et rien d'autre ne bouge ; une marge la ferait dépasser de la page.
        layout = {"width": width, "max_width": "100%", "height": height, "margin": "0", "flex": "0 0 auto"}
        self._image = widgets.Image(value=picture, layout={**layout, "object_fit": "contain"})
        self._text = widgets.HTML(self._status_html("calcul…"))
        boxes = (widgets.HBox(list(row), layout={"flex_flow": "row wrap"}) for row in rows if row)
        super().__init__([*boxes, self._image, self._text, ScreenReader()])
        self.add_class("toylib-explorer")
        self._worker = LatestWorker(self._answer, self._rest)

    def wait(self, timeout: float | None = 60, *, rest: bool = False) -> None:
        """Attend que la dernière demande soit traitée et montrée, `timeout` secondes au plus ; et, si `rest`, que
        ce qui se calcule d'avance le soit aussi.

        Lève : `TimeoutError` passé ce délai.
        """
        self._worker.wait(timeout, rest=rest)

    def stop(self) -> None:
        """Arrête le calcul en cours ; bouger une commande le fait reprendre."""
        self._worker.submit(None)

    def close(self) -> None:
        """Ferme le widget, ses commandes et son fil de travail."""
        if hasattr(self, "_worker"):
            self._worker.close()
            for part in self._unshown:
                part.close()
        _close_children(self)
        super().close()

    def _answer(self, request: object, stale: Callable[[], bool]) -> None:
        """Traite une demande ; None arrête. Ce qui échoue se lit à la place de la ligne d'état."""
        if request is None:
            self._text.value = self._status_html("arrêté : bougez une commande pour reprendre")
            return
        try:
            self._work(request, stale)
        except Exception as error:
            self._text.value = self._status_html(f"Le calcul a échoué : {escape(str(error))}")
            raise

    def _rest(self, request: object, stale: Callable[[], bool]) -> None:
        """Au repos : rien."""

    def _show(self, picture: bytes, text: str) -> None:
        self._painted = time.perf_counter()
        self._image.value, self._text.value = picture, text

    def _outdated(self, stale: Callable[[], bool]) -> bool:
        """Vrai si une demande plus récente attend et qu'une image vient d'être montrée.

        Sous une touche tenue, où chaque cran dépasse le précédent, l'image bouge ainsi quand même.
        """
        return stale() and time.perf_counter() - self._painted < LATE

    def _status_html(self, text: str) -> str:
        style = f"font-size: {self._font}px; line-height: 1.4"
        return f'<div class="toylib-status" style="{style}">{text}</div>'

    def _repr_mimebundle_(self, **kwargs) -> dict:
        """Ajoute au widget, pour qui n'a pas de noyau, une image et un texte qui disent vrai."""
        self._replace_in_cell()
        bundle = super()._repr_mimebundle_(**kwargs)
        bundle["text/plain"], bundle["image/png"] = self._still()
        return bundle

    def _replace_in_cell(self) -> None:
        """Ferme les widgets vivants qu'une exécution précédente de la même cellule a montrés."""
        parent = getattr(get_ipython(), "get_parent", dict)()
        cell = parent.get("metadata", {}).get("cellId")
        execution = parent.get("header", {}).get("msg_id")
        if cell is None:
            return
        shown_by, shown = self._shown.get(cell, (None, []))
        if shown_by != execution:
            for one in shown:
                if one is not self:
                    one.close()
            shown = []
        self._shown[cell] = (execution, [*shown, self])


class Demo(Live):
    """Une démonstration vivante : `frames` refait l'image chaque fois qu'une commande bouge.

    Arguments :
        controls : les commandes, par nom ; `make_slider` et `make_choice` en font.
        frames : une fonction qui reçoit la valeur de chaque commande, par nom, et livre des couples (PNG de
            `size` pixels, ligne d'état), de plus en plus complets ; ou None, pour dire seulement qu'elle en est
            là : le calcul s'arrête, entre deux, dès qu'une commande a bougé. Le dernier couple est la réponse.
        size : largeur et hauteur de l'image, en pixels.
        buttons : d'autres boutons, sous les commandes.

    `demo.status` est la ligne d'état, en texte. La ligne d'état finale doit être la même d'une machine à l'autre.

    >>> slider = widgets.IntSlider(1, 1, 3)
    >>> demo = Demo({"lr": slider}, lambda lr: [(blank((8, 8)), f"taux {lr}")], size=(8, 8))
    >>> demo.set(lr=2)
    >>> demo.wait()
    >>> demo.status
    'taux 2'
    >>> demo.close()
    """

    def __init__(
        self,
        controls: dict[str, widgets.Widget],
        frames: Callable[..., Iterator[tuple[bytes, str] | None]],
        *,
        size: tuple[int, int],
        buttons: Sequence[widgets.Widget] = (),
    ) -> None:
        self.controls, self.status, self._frames = controls, "", frames
        for control in controls.values():
            control.observe(self._submit, names="value")
        super().__init__([[*controls.values()], buttons], size, blank(size))
        self._submit()

    def set(self, **values) -> None:
        """Donne leur valeur à des commandes, comme à la main.

        Lève : `ValueError` pour une commande absente ou une valeur qu'elle n'offre pas ; rien ne bouge alors.
        """
        assign(self.controls, values)

    def _submit(self, _=None) -> None:
        with self._submitting:  # lire et demander d'un seul tenant : la dernière demande a les dernières valeurs
            self._worker.submit({name: control.value for name, control in self.controls.items()})

    def _work(self, request: dict, stale: Callable[[], bool]) -> None:
        for frame in self._frames(**request):
            if frame is not None and not self._outdated(stale):
                picture, self.status = frame
                self._show(picture, self._status_html(self.status))
            if stale():
                return

    def _still(self) -> tuple[str, bytes]:
        try:
            self.wait(PATIENCE)
            status = self.status
        except Exception as error:  # trop longue, ou en échec : la cellule finit quand même, et le dit
            status = f"Le calcul n'est pas allé au bout : {error}"
        return f"Démonstration : exécutez la cellule pour bouger les commandes.\n{status}", bytes(self._image.value)


def assign(controls: dict[str, widgets.Widget], values: dict[str, object], **most: int) -> None:
    """Donne leur valeur à des commandes, par nom et dans cet ordre ; `most`, le plus grand cran qu'un curseur aura.

    Lève : `ValueError` pour une commande absente ou une valeur qu'elle n'offre pas ; rien ne bouge alors.
    """
    for name, value in values.items():
        control = controls[check_choice("la commande", name, controls)]
        if hasattr(control, "options"):
            options = [one for _, one in control.options]
        else:
            options = range(control.min, most.get(name, control.max) + 1)
        if value not in options:
            offer = ", ".join(map(str, options))
            raise ValueError(f"{name} doit être l'une des valeurs offertes : {offer} ; reçu : {value!r}.")
    for name, value in values.items():
        controls[name].value = value


def blank(size: tuple[int, int]) -> bytes:
    """Une image blanche de `size` pixels, en PNG."""
    return png(Image.new("RGB", size, "white"))


def png(picture: Image.Image) -> bytes:
    """Les octets d'une image, en PNG."""
    buffer = BytesIO()
    picture.convert("RGB").save(buffer, "png", compress_level=1)
    return buffer.getvalue()


def _close_children(box: widgets.Box) -> None:
    """Ferme tout ce que `box` contient."""
    for child in box.children:
        if isinstance(child, widgets.Box):
            _close_children(child)
        child.close()
