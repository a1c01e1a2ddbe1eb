"""Un widget vivant : des commandes, des figures et un texte, que refait un fil de travail."""

import atexit
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import ipywidgets as widgets
from IPython import get_ipython
from IPython.core.pylabtools import print_figure
from ipywidgets.widgets.widget import _instances
from matplotlib.figure import Figure

from toylib._checks import check_choice, check_flags, check_real, check_whole, require, shown
from toylib.explorer.controls import check_offered
from toylib.explorer.figures import keep_apart
from toylib.explorer.stage import DPI, Stage
from toylib.explorer.worker import LatestWorker, weakly

FIRST, NEXT = 0.12, 0.05  # secondes avant une première image incomplète, puis entre deux
LATE = 0.03  # secondes sans image au bout desquelles une demande dépassée montre où elle en est
PATIENCE = 60  # secondes qu'une cellule attend l'image à garder dans le carnet


class Demo(widgets.VBox):
    """Une démonstration vivante : ses figures se refont chaque fois qu'une commande bouge.

    Arguments :
        controls : les commandes, par nom ; `make_slider` et `make_choice` en font.
        states : une fonction qui reçoit la valeur de chaque commande, par nom, et livre des états de plus en plus
            complets, ou None s'il n'y a rien de neuf : le calcul s'arrête, entre deux, dès qu'une commande a bougé.
        draw : une fonction qui reçoit un état, le donne aux artistes qui portent un `gid`, et rend la ligne d'état.
            Elle n'est appelée qu'au rythme où l'on peut voir, et toujours pour le dernier état.
        figures : les figures où ces artistes sont, comme pour `Stage`.
        buttons : d'autres boutons, sous les commandes.
        whole : vrai si `draw` refait toute la figure, axes compris.
        look : ce que `Stage` prend d'autre.

    `demo.status` est la ligne d'état, en texte. La ligne d'état finale doit être la même d'une machine à l'autre.

    >>> from toylib.explorer.stage import make_figure
    >>> slider = widgets.IntSlider(1, 1, 3)
    >>> demo = Demo({"lr": slider}, lambda lr: [lr], lambda lr: f"taux {lr}", make_figure())
    >>> demo.set(lr=2)
    >>> demo.wait()
    >>> demo.status
    'taux 2'
    >>> demo.close()
    """

    # Par cellule de carnet : les démonstrations qu'elle montre, et quelle exécution l'a fait.
    _shown: ClassVar[dict[str, dict["Demo", str]]] = {}
    _unshown: Sequence[widgets.Widget] = ()  # à fermer, bien qu'aucune boîte ne les contienne

    def __init__(
        self,
        controls: dict[str, widgets.Widget],
        states: Callable[..., Iterator],
        draw: Callable[[object], str],
        *figures: Figure,
        buttons: Sequence[widgets.Widget] = (),
        whole: bool = False,
        **look,
    ) -> None:
        check_flags(whole=whole)
        opened = [getattr(one, "comm", None) for one in controls.values()] if isinstance(controls, dict) else [None]
        wanted = "être un dictionnaire de commandes ouvertes"
        require(None not in opened, "controls", wanted, shown(controls), TypeError)
        for name, action in {"states": states, "draw": draw}.items():
            require(callable(action), name, "être une fonction", shown(action), TypeError)
        sound = figures and all(isinstance(one, Figure) for one in figures)
        require(sound, "figures", "être une figure de matplotlib, ou plusieurs", shown(figures), TypeError)
        self.controls, self._states, self._draw, self._whole = controls, states, draw, whole
        self._start([[*controls.values()], buttons], *figures, **look)

    def _start(self, rows: Sequence[Sequence[widgets.Widget]], *figures: Figure, **look) -> None:
        """Assemble les rangées de commandes et les figures, et demande la première image."""
        keep_apart()
        self.status, self._figures = "", figures
        self._submitting, self._painted, self._done = threading.Lock(), 0.0, None
        self.stage = Stage(*figures, controls=self.controls.values(), **look)
        self.stage.send_frame(status="calcul…")
        boxes = (widgets.HBox(list(row), layout={"flex_flow": "row wrap"}) for row in rows if row)
        super().__init__([*boxes, self.stage])
        self.add_class("toylib-explorer")
        self._keeping = weakly(self._keep)
        self._worker = LatestWorker(self._answer, self._rest)
        for control in self.controls.values():
            control.observe(self._submit, names="value")
        self._submit()
        for part in self._parts():  # ipywidgets retient tout widget jusqu'à sa fermeture : ceux-ci, une fois montrés
            _instances.pop(part.model_id, None)
            part.comm.on_msg(weakly(part._handle_msg))
        self.stage.on_msg(self._keeping)
        atexit.register(self._keeping)  # Python fini, ipywidgets ne saurait plus fermer ce qu'il ne retient pas

    def set(self, **values) -> None:
        """Donne leur valeur à des commandes, comme à la main.

        Lève : `ValueError` pour une commande absente ou une valeur qu'elle n'offre pas ; rien ne bouge alors.
        """
        assign(self.controls, values)

    def wait(self, timeout: float | None = 60, *, rest: bool = False) -> None:
        """Attend que la dernière demande soit traitée et montrée, `timeout` secondes au plus ; et, si `rest`, que
        ce qui se calcule d'avance le soit aussi.

        Lève : `TimeoutError` passé ce délai.
        """
        check_flags(rest=rest)
        if timeout is not None:
            most = threading.TIMEOUT_MAX
            timeout = check_real("timeout", timeout, 0, most, f"être un nombre de secondes, entre 0 et {most:.0f}")
        self._worker.wait(timeout, rest=rest)

    def stop(self) -> None:
        """Arrête le calcul en cours, s'il y en a un ; bouger une commande le fait reprendre."""
        self._worker.submit(None)

    def close(self) -> None:
        """Ferme le widget, ses commandes et son fil de travail."""
        if hasattr(self, "_worker"):  # sans lui, rien n'est ouvert encore
            self._worker.close()
            atexit.unregister(self._keeping)
            for part in self._parts():
                widgets.Widget.close(part)

    def _keep(self, *_) -> None:
        """Ce qu'une page montre vit jusqu'à sa fermeture, même si plus rien d'autre ne le désigne."""
        _instances.update({part.model_id: part for part in self._parts() if part.comm is not None})

    def _parts(self) -> Iterator[widgets.Widget]:
        """Tous les widgets qui composent celui-ci, et lui-même."""
        waiting = [self, *self._unshown]
        while waiting:
            yield (part := waiting.pop())
            held = (getattr(part, name, None) for name in ("layout", "style"))
            waiting += [one for one in (*held, *getattr(part, "children", ())) if one is not None]

    def _submit(self, _=None) -> None:
        """Demande une image. Peut être appelée de n'importe quel fil : ne calcule ni ne dessine."""
        with self._submitting:  # lire et demander d'un seul tenant : la dernière demande a les dernières valeurs
            self._worker.submit(self._request())

    def _request(self) -> dict:
        return {name: control.value for name, control in self.controls.items()}

    def _answer(self, request: object, stale: Callable[[], bool]) -> None:
        """Traite une demande ; None arrête. Ce qui échoue se lit à la place de la ligne d'état."""
        if request is None:
            if self._request() != self._done:
                self.stage.send_frame(status="arrêté : bougez une commande pour reprendre")
            return
        try:
            self._work(request, stale)
        except Exception as error:
            self.stage.send_frame(status=f"Le calcul a échoué : {error}")
            raise

    def _work(self, request: dict, stale: Callable[[], bool]) -> None:
        """Montre les états au rythme où l'on peut voir, et le dernier ; s'arrête dès que la demande est dépassée.

        Sous une touche tenue, où chaque cran dépasse le précédent, l'image bouge quand même.
        """
        last = seen = None
        due = time.perf_counter() + FIRST
        for state in self._states(**request):
            last = last if state is None else state
            if stale():
                break
            if last is not seen and time.perf_counter() > due:
                self._paint(last, request)
                seen, self._painted = last, time.perf_counter()
                due = self._painted + NEXT
        if last is not seen and not (stale() and time.perf_counter() - self._painted < LATE):
            self._paint(last, request)
            self._painted = time.perf_counter()
        if not stale():
            self._done = request

    def _paint(self, state: object, request: dict) -> None:
        self.status = self._draw(state)
        if self._whole:
            self.stage.redraw()
        self.stage.show(status=self.status)

    def _rest(self, request: object, stale: Callable[[], bool]) -> None:
        """Au repos : rien."""

    def _still(self) -> tuple[str, bytes]:
        """Le texte et l'image qui restent dans un carnet que l'on ne fait que lire."""
        try:
            self.wait(PATIENCE)
            status = self.status
        except Exception as error:  # trop longue, ou en échec : la cellule finit quand même, et le dit
            status = f"Le calcul n'est pas allé au bout : {error}"
        picture = print_figure(self._figures[0], bbox_inches=None, dpi=DPI)
        return f"Démonstration : exécutez la cellule pour bouger les commandes.\n{status}", picture

    def _repr_mimebundle_(self, **kwargs) -> dict:
        """Ajoute au widget, pour qui n'a pas de noyau, une image et un texte qui disent vrai."""
        self._replace_in_cell()
        self._keep()
        bundle = super()._repr_mimebundle_(**kwargs)
        bundle["text/plain"], bundle["image/png"] = self._still()
        return bundle

    def _replace_in_cell(self) -> None:
        """Ferme les démonstrations qu'une exécution précédente de la même cellule a montrées."""
        parent = getattr(get_ipython(), "get_parent", dict)()
        cell = parent.get("metadata", {}).get("cellId")
        if cell is None:
            return
        shown, execution = self._shown.setdefault(cell, {}), parent["header"]["msg_id"]
        shown[self] = execution
        for demo in [demo for demo, by in shown.items() if by != execution]:
            del shown[demo]
            demo.close()


def assign(controls: dict[str, widgets.Widget], values: dict[str, object], **ends: str) -> None:
    """Donne leur valeur à des commandes, par nom, dans l'ordre de `controls` ; `ends`, pour un curseur, la commande
    qui dira où il finit.

    Lève : `ValueError` ou `TypeError` pour une commande absente ou une valeur qu'elle n'offre pas ; rien ne bouge
    alors.
    """
    for name in values:
        check_choice("la commande", name, controls)
    sound: dict = {}
    for name in sorted(values, key=list(controls).index):
        sound[name] = check_value(name, values[name], controls[name], sound.get(ends.get(name)))
    for name, value in sound.items():
        with controls[name].hold_sync():
            controls[name].value = value


def check_value(name: str, value: object, control: widgets.Widget, end: int | None = None) -> object:
    """Rend `value` telle que la commande `control` l'offre ; `end`, où finit un curseur d'entiers qui va changer.

    >>> check_value("n", 2, widgets.IntSlider(1, 1, 3))
    2
    """
    if hasattr(control, "options") and not isinstance(control.index, tuple):  # une valeur à la fois
        offer = offer_of(control)
        return offer[check_offered(name, value, offer)]
    if isinstance(control, widgets.IntSlider | widgets.FloatSlider):
        low, high = control.min, control.max if end is None else end
        number = check_real(name, value, low, high, f"être entre {low} et {high}")
        if isinstance(control, widgets.FloatSlider):
            return number
        whole, step = check_whole(name, value, low), control.step
        require((whole - low) % step == 0, name, f"aller de {step} en {step}, depuis {low}", whole)
        return whole
    flag, wanted = isinstance(control, widgets.Checkbox | widgets.ToggleButton), "être un curseur, un choix ou une case"
    require(flag, f"la commande {name}", wanted, type(control).__name__, TypeError)
    check_flags(**{name: value})
    return value


def offer_of(control: widgets.Widget) -> list:
    """Les valeurs qu'un choix offre, dans l'ordre.

    >>> offer_of(widgets.Dropdown(options=[1, 2, 3]))
    [1, 2, 3]
    """
    return [*control._options_values]
