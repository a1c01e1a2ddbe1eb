"""L'explorateur : bouger le taux d'apprentissage réentraîne le réseau et redessine ses courbes."""

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import ipywidgets as widgets
import torch
from IPython import get_ipython

from toylib._checks import check_choice, check_lr, check_whole
from toylib.data import gendata
from toylib.explorer.frame import GHOST, PINS, SIZE, Frame
from toylib.explorer.static import describe, small_multiples, three_rates
from toylib.explorer.worker import LatestWorker
from toylib.network import Net
from toylib.plotting import STYLES, comma, percent
from toylib.training import History, iter_train

# Dix taux par décade, de 1e-5 à 10, arrondis à trois chiffres : ce qui s'affiche est ce qui entraîne.
LR_GRID = tuple(float(f"{10 ** (k / 10):.3g}") for k in range(-50, 11))
OPTIMIZER_NAMES = {"adam": "Adam", "sgd": "SGD", "momentum": "SGD avec inertie"}


class Run(NamedTuple):
    """Un entraînement mené à son terme : son taux, son optimiseur, ses courbes, sa durée en secondes."""

    lr: float
    optimizer: str
    history: History
    seconds: float

    @property
    def name(self) -> str:
        return f"lr {comma(self.lr)}, {OPTIMIZER_NAMES[self.optimizer]}"


class Request(NamedTuple):
    """Ce que l'on demande au fil de travail."""

    lr: float
    optimizer: str
    pins: tuple[Run, ...]


class LrExplorer(widgets.VBox):
    """Un curseur sur le taux d'apprentissage : à chaque cran, le réseau est réentraîné et ses
    courbes redessinées, depuis les mêmes poids initiaux et les mêmes données.

    Arguments :
        lr : taux de départ ; comme `explorer.lr`, il prend la valeur la plus proche de `LR_GRID`.
        optimizer : "adam", "sgd" ou "momentum".
        n, rule, noise : les données, comme pour `gendata` (2 entrées).
        hidden : largeurs des couches cachées, comme pour `Net`.
        epochs, batch_size : comme pour `train`.
        seed : graine des données, des poids et des mélanges.
        pin : vrai pour montrer les boutons qui épinglent une courbe.

    `explorer.history` est la dernière courbe achevée, `explorer.status` la ligne d'état, en texte.

    Lève : `ValueError` ou `TypeError` pour un argument qui ne convient pas.

    >>> explorer = LrExplorer(epochs=5, n=50)
    >>> explorer.lr = 0.1
    >>> explorer.wait()
    >>> explorer.status[:6]
    'lr 0,1'
    >>> explorer.close()
    """

    # Par cellule de carnet : l'exécution qui a montré des explorateurs, et ces explorateurs.
    _shown: ClassVar[dict[str, tuple[str, list["LrExplorer"]]]] = {}

    def __init__(
        self,
        lr: float = 0.01,
        *,
        optimizer: str = "adam",
        n: int = 500,
        rule: str = "sum",
        noise: float = 0.0,
        hidden: Sequence[int] = (16, 16),
        epochs: int = 100,
        batch_size: int | None = None,
        seed: int = 0,
        pin: bool = False,
    ) -> None:
        check_choice("optimizer", optimizer, OPTIMIZER_NAMES)
        check_whole("seed", seed)  # sans graine, chaque cran partirait d'autres poids
        data = gendata(n, rule=rule, noise=noise, seed=seed)

        def scores(lr, optimizer):
            model = Net(2, hidden=hidden, seed=seed)
            return iter_train(model, *data, epochs, lr, optimizer=optimizer, batch_size=batch_size, seed=seed)

        next(scores(lr, optimizer))  # les arguments sont vérifiés ici, pas dans le fil de travail
        self._scores: Callable = scores
        self._caption = f"règle « {rule} », {epochs} époques"
        self._frame = Frame(epochs)
        self._run: Run | None = None
        self._ghost: Run | None = None
        self._pins: tuple[Run, ...] = ()
        super().__init__(self._build(lr, optimizer, pin))
        self.add_class("toylib-explorer")
        self._worker, self._submitting = LatestWorker(self._work), threading.Lock()
        self._submit()

    def _build(self, lr: float, optimizer: str, pin: bool) -> list[widgets.Widget]:
        """Les commandes, l'image, la légende et la ligne d'état."""
        width, height = (f"{side}px" for side in SIZE)
        self._image = widgets.Image(
            value=self._frame.draw(None),
            layout={"width": width, "height": height, "flex": "0 0 auto", "object_fit": "contain"},
        )
        self._legend, self._status = widgets.HTML(), widgets.HTML(_status_html("entraînement…"))
        buttons = [self._pin_buttons()] if pin else []
        return [self._controls(lr, optimizer), *buttons, self._image, self._legend, self._status]

    def _controls(self, lr: float, optimizer: str) -> widgets.HBox:
        """Le curseur du taux et la liste des optimiseurs, qui demandent un entraînement à chaque changement."""
        style = {"description_width": "initial"}
        rates = [(comma(rate), rate) for rate in LR_GRID]
        self._slider = widgets.SelectionSlider(
            options=rates, value=_snap(lr), description="Taux d'apprentissage", style=style, layout={"width": "600px"}
        )
        names = [(name, key) for key, name in OPTIMIZER_NAMES.items()]
        self._optimizer = widgets.Dropdown(
            options=names, value=optimizer, description="Optimiseur", style=style, layout={"width": "260px"}
        )
        for control in (self._slider, self._optimizer):
            control.observe(self._submit, names="value")
        return widgets.HBox([self._slider, self._optimizer], layout={"flex_flow": "row wrap"})

    def _pin_buttons(self) -> widgets.HBox:
        """« Épingler » garde la courbe du moment, « Retirer les épingles » les efface."""
        keep = widgets.Button(description="Épingler la courbe", icon="thumb-tack", layout={"width": "180px"})
        clear = widgets.Button(description="Retirer les épingles", layout={"width": "180px"})
        keep.on_click(lambda _: self.pin_curve())
        clear.on_click(lambda _: self.clear_pins())
        return widgets.HBox([keep, clear])

    @property
    def lr(self) -> float:
        """Le taux du curseur ; une affectation prend le cran le plus proche et réentraîne."""
        return self._slider.value

    @lr.setter
    def lr(self, value: float) -> None:
        self._slider.value = _snap(value)

    @property
    def optimizer(self) -> str:
        """Le nom de l'optimiseur ; une affectation réentraîne."""
        return self._optimizer.value

    @optimizer.setter
    def optimizer(self, value: str) -> None:
        self._optimizer.value = check_choice("optimizer", value, OPTIMIZER_NAMES)

    @property
    def history(self) -> History | None:
        """Les courbes du dernier entraînement achevé ; None avant le premier."""
        return None if self._run is None else self._run.history

    @property
    def status(self) -> str:
        """La ligne d'état, en texte."""
        return "" if self._run is None else _status(self._run)

    def wait(self, timeout: float | None = 60) -> None:
        """Attend que le réseau du moment soit entraîné et montré, `timeout` secondes au plus.

        Lève : `TimeoutError` passé ce délai.
        """
        self._worker.wait(timeout)

    def pin_curve(self) -> None:
        """Épingle la dernière courbe achevée ; au-delà de trois, la plus ancienne s'en va."""
        if self._run is not None:
            kept = [run for run in self._pins if run.name != self._run.name]
            self._pins = (*kept, self._run)[-PINS:]
            self._submit()

    def clear_pins(self) -> None:
        """Retire toutes les épingles."""
        self._pins = ()
        self._submit()

    def close(self) -> None:
        """Ferme l'explorateur, ses commandes et son fil de travail."""
        if hasattr(self, "_worker"):
            self._worker.close()
        _close_children(self)
        super().close()

    def _submit(self, _=None) -> None:
        """Demande un entraînement. Peut être appelée de n'importe quel fil : n'entraîne ni ne dessine."""
        with self._submitting:  # lire et demander d'un seul tenant : la dernière demande a les dernières valeurs
            self._worker.submit(Request(self._slider.value, self._optimizer.value, self._pins))

    def _work(self, request: Request, stale: Callable[[], bool]) -> None:
        """Entraîne puis montre ; s'arrête dès que la demande n'est plus la dernière."""
        try:
            run = self._train(request, stale)
            if run is not None:
                self._show(run, request.pins, stale)
        except Exception as error:
            self._status.value = _status_html(f"L'entraînement a échoué : {error}")
            raise

    def _train(self, request: Request, stale: Callable[[], bool]) -> Run | None:
        """L'entraînement demandé, ou None s'il n'est plus la dernière demande."""
        torch.set_num_threads(1)  # de ce fil seulement : à cette taille, deux se gênent
        start, scores = time.perf_counter(), []
        for score in self._scores(request.lr, request.optimizer):
            if stale():
                return None
            scores.append(score)
        return Run(request.lr, request.optimizer, History.of(scores), time.perf_counter() - start)

    def _show(self, run: Run, pins: tuple[Run, ...], stale: Callable[[], bool]) -> None:
        """Dessine `run`, la courbe précédente et les épinglées, puis les montre si rien n'a changé."""
        ghost = self._ghost if self._run is None or self._run.name == run.name else self._run
        png = self._frame.draw(run.history, ghost and ghost.history, [pin.history for pin in pins])
        if not stale():
            self._run, self._ghost = run, ghost
            self._image.value = png
            self._legend.value = _legend_html(run, ghost, pins)
            self._status.value = _status_html(_status(run))

    def _repr_mimebundle_(self, **kwargs) -> dict:
        """Ajoute au curseur, pour qui n'a pas de noyau, une image et un texte qui disent vrai."""
        self._replace_in_cell()
        bundle = super()._repr_mimebundle_(**kwargs)
        still = three_rates(lambda lr: History.of(self._scores(lr, self.optimizer)), LR_GRID[20::10])
        bundle["text/plain"] = describe(still, f"{OPTIMIZER_NAMES[self.optimizer]}, {self._caption}")
        bundle["image/png"] = small_multiples(still)
        return bundle

    def _replace_in_cell(self) -> None:
        """Ferme les explorateurs qu'une exécution précédente de la même cellule a montrés."""
        parent = getattr(get_ipython(), "get_parent", dict)()
        cell = parent.get("metadata", {}).get("cellId")
        execution = parent.get("header", {}).get("msg_id")
        if cell is None:
            return
        shown_by, explorers = self._shown.get(cell, (None, []))
        if shown_by != execution:
            for explorer in explorers:
                if explorer is not self:
                    explorer.close()
            explorers = []
        self._shown[cell] = (execution, [*explorers, self])


def _close_children(box: widgets.Box) -> None:
    """Ferme tout ce que `box` contient."""
    for child in box.children:
        if isinstance(child, widgets.Box):
            _close_children(child)
        child.close()


def _snap(lr: float) -> float:
    """Le taux de `LR_GRID` le plus proche, en échelle logarithmique."""
    lr = check_lr(lr)
    return min(LR_GRID, key=lambda rate: abs(math.log(rate / lr)))


def _status(run: Run) -> str:
    """La ligne d'état d'un entraînement : tout ce que l'image montre, en texte."""
    score = f"perte {comma(run.history.loss[-1], 2)} · exactitude {percent(run.history.accuracy[-1])}"
    diverged = run.history.diverges_at()
    fate = "" if diverged is None else f" · diverge à l'époque {diverged}"
    return f"lr {comma(run.lr)} · {score}{fate} · {round(1000 * run.seconds)} ms"


def _status_html(text: str) -> str:
    return f'<div class="toylib-status" style="font-size: 20px; line-height: 28px">{text}</div>'


def _legend_html(run: Run, ghost: Run | None, pins: Sequence[Run]) -> str:
    """Le nom de chaque courbe, avec un échantillon de son trait."""
    entries = [(STYLES[0], run.name)]
    if ghost is not None:
        entries.append((GHOST, f"précédente : {ghost.name}"))
    entries += [(style, f"épinglée : {pin.name}") for style, pin in zip(STYLES[1:], pins)]
    samples = [_sample_html(style) + name for style, name in entries]
    return f'<div style="font-size: 15px; line-height: 24px; min-height: 24px">{" &emsp; ".join(samples)}</div>'


def _sample_html(style: dict) -> str:
    """Un trait de la couleur et du pointillé de `style`."""
    dash = "" if style["linestyle"] == "-" else " ".join(str(3 * part) for part in style["linestyle"][1])
    line = f'<line x1="0" y1="6" x2="40" y2="6" stroke="{style["color"]}" stroke-width="3" stroke-dasharray="{dash}"/>'
    return f'<svg width="46" height="12" aria-hidden="true">{line}</svg>'
