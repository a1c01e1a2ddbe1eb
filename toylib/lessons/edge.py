"""La limite de stabilité de la leçon 13 : la courbure maximale suivie pas à pas, et la démonstration vivante."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from toylib import Net, Sweep, gendata, iter_sweep
from toylib._checks import check_choice, check_lr, check_real, check_whole, require
from toylib.explorer.controls import make_choice, make_slider
from toylib.explorer.live import Demo
from toylib.explorer.stage import make_figure
from toylib.french import comma
from toylib.lessons.checks import two_axes
from toylib.lessons.curvature import check_tol, gradients, max_curvatures
from toylib.lessons.panels import lay_axes
from toylib.plotting import STYLES, put_ticks
from toylib.schedules import Schedule

LIMITS = {"sgd": 2.0, "momentum": 3.8, "adam": 38.0}  # β = 0,9 : 2 + 2β, et (2 + 2β₁)/(1 − β₁)
RATES = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)  # du curseur
LOSS_NAMES = {"squared": "quadratique", "cross_entropy": "entropie croisée"}
LOST = 1e3  # au-delà de cette perte, la descente a divergé : sa courbure ne dit plus rien
GROUP = 8  # points mesurés ensemble, sous la main : un vingtième de seconde
TALLEST = 21  # haut de l'axe des courbures de la démonstration
LOWEST = 1e-4  # bas de celui des pertes


@dataclass(frozen=True, eq=False)
class Track:
    """Une descente sur le lot complet, dont on suit la courbure maximale.

    Champs : `lr` et `optimizer` ; `loss`, la perte avant chaque pas et après le dernier, (N + 1,) ; `steps`, les T
    pas où la courbure est mesurée, et `curvature`, ce qu'elle y vaut, (T,), NaN si la descente a divergé. float64.
    """

    lr: float
    optimizer: str
    loss: np.ndarray
    steps: np.ndarray
    curvature: np.ndarray

    @property
    def limit(self) -> float:
        """La courbure au-delà de laquelle l'optimiseur, à ce taux, diverge sur un bol : voir `limit`."""
        return limit(self.lr, self.optimizer)

    def plateau(self, start: int) -> float:
        """La courbure moyenne, du pas `start` au dernier. Lève : `ValueError` si aucun pas mesuré n'y est.

        >>> Track(0.4, "sgd", np.ones(3), np.arange(3), np.array([4.0, 4.9, 5.1])).plateau(1)
        5.0
        """
        kept = self.curvature[self.steps >= check_real("start", start)]
        require(len(kept), "start", "laisser au moins un pas mesuré", start)
        return float(kept.mean())

    def reached(self, share: float = 0.99) -> int | None:
        """Le premier pas mesuré où la courbure vaut au moins `share` de la limite, ou None.

        >>> Track(0.4, "sgd", np.ones(3), np.arange(3), np.array([4.0, 4.9, 5.1])).reached()
        2
        """
        above = self.steps[self.curvature >= check_real("share", share) * self.limit]
        return int(above[0]) if len(above) else None


def limit(lr: float, optimizer: str = "sgd") -> float:
    """La limite de stabilité : la courbure d'un bol au-delà de laquelle la descente au taux `lr` diverge.

    C'est 2/lr pour "sgd" ; (2 + 2β)/lr = 3,8/lr pour "momentum", β = 0,9 ; pour "adam", dont la courbure est celle
    que voit le gradient divisé par √v̂ + ε, (2 + 2β₁)/((1 − β₁) lr) = 38/lr, β₁ = 0,9.

    Lève : `ValueError` ou `TypeError` pour un taux ou un optimiseur qui ne convient pas.

    Sources : Goh, *Why Momentum Really Works*, Distill, 2017 ; Cohen et al., *Adaptive Gradient Methods at the Edge
    of Stability*, 2022, arXiv 2207.14484.

    >>> limit(0.4), limit(0.5, "adam")
    (5.0, 76.0)
    """
    return LIMITS[check_choice("optimizer", optimizer, LIMITS)] / check_lr(lr)


def track(model: Net, data, target, steps: int, lr: float, **options) -> Track:
    """Entraîne une copie de `model` sur le lot complet, et mesure la courbure maximale en chemin.

    Arguments :
        model : le réseau, qui n'est pas modifié ; en float64 (`model.double()`), sa limite est plus nette.
        data, target : entrées et classes, comme pour `train` ; steps : nombre de pas ; lr : un seul taux.
        optimizer : "sgd" (par défaut), "momentum" ou "adam" ; la courbure est alors celle, préconditionnée, que
            voit Adam. loss : "squared" (par défaut) ou "cross_entropy". schedule : comme pour `sweep` ; la
            limite du `Track` reste celle du taux `lr`.
        every : la courbure est mesurée tous les `every` pas, 50 par défaut ; tol : voir `max_curvatures`.

    Rend : un `Track`. Lève : `ValueError` ou `TypeError`, comme `sweep`.

    Source : Cohen et al., *Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability*, 2021,
    arXiv 2103.00065.

    >>> f, y2 = gendata(50, seed=0)
    >>> track(Net(2, seed=0).double(), f, y2, steps=100, lr=0.1).curvature.shape
    (3,)
    """
    *_, last = iter_track(model, data, target, steps, lr, group=None, **options)
    return last


def iter_track(
    model: Net,
    data,
    target,
    steps: int,
    lr: float,
    *,
    optimizer: str = "sgd",
    loss: str = "squared",
    schedule: str | Schedule = "constant",
    every: int = 50,
    tol: float = 1e-3,
    group: int | None = GROUP,
) -> Iterator[Track]:
    """La même chose, livrée à mesure : chaque fois, un `Track` des pas faits et des courbures mesurées jusque-là.

    Mêmes arguments et mêmes erreurs que `track`. `group` : le nombre de points mesurés ensemble ; None, tous, à
    la fin. Qui cesse de parcourir arrête tout.
    """
    lr, tol = check_lr(lr), check_tol(tol)
    group = group if group is None else check_whole("group", group, 1)
    at, curvature = np.arange(0, check_whole("steps", steps) + 1, check_whole("every", every, 1)), np.empty(0)
    measured = {"optimizer": optimizer, "loss": loss}
    for run in iter_sweep(model, data, target, steps, [lr], **measured, schedule=schedule, weights=True):
        yield Track(lr, optimizer, run.loss[0], at[: len(curvature)], curvature)
        while len(ready := at[len(curvature) :][:group]) and ready[-1] < run.loss.shape[1]:
            new = _measure(model, data, target, run, ready, tol=tol, **measured)
            curvature = np.append(curvature, new)
            yield Track(lr, optimizer, run.loss[0], at[: len(curvature)], curvature)


def _measure(model: Net, data, target, run: Sweep, at: np.ndarray, optimizer: str, loss: str, tol: float) -> np.ndarray:
    """La courbure aux pas `at`, (len(at),) ; NaN là où la perte n'est plus raisonnable."""
    curvature, at_fine = np.full(len(at), np.nan), run.loss[0, at] < LOST
    points, scale = at[at_fine], None
    if optimizer == "adam":
        scale = adam_scale(gradients(model, run.weights[0, : at[-1] + 1], data, target, loss=loss))[points]
    curvature[at_fine] = max_curvatures(model, run.weights[0, points], data, target, loss=loss, scale=scale, tol=tol)
    return curvature


def adam_scale(slopes: np.ndarray, beta2: float = 0.999) -> np.ndarray:
    """Ce par quoi Adam multiplie chaque composante à chaque pas, lr et β₁ mis à part : 1/(√v̂ + ε), ε = 1e-8.

    Arguments : `slopes`, (T, D), les gradients de tous les pas depuis le premier. Rend : float64 (T, D).
    Source : Kingma & Ba, *Adam*, 2015, algorithme 1.

    >>> adam_scale(np.array([[2.0], [2.0]])).round(6).tolist()
    [[0.5], [0.5]]
    """
    squares = (1 - beta2) * np.square(np.asarray(slopes, dtype=float))
    v = np.array(list(accumulate(squares, lambda v, square: beta2 * v + square)))
    corrected = v / (1 - beta2 ** np.arange(1, len(v) + 1))[:, None]
    return 1 / (np.sqrt(corrected) + 1e-8)


def plot_track(track: Track, axes: Sequence[Axes] | None = None) -> Sequence[Axes]:
    """Dessine la perte sur `axes[0]`, la courbure et sa limite (en tirets fins, même couleur) sur `axes[1]`.

    Arguments : `axes`, deux axes ; par défaut, une figure neuve. Plusieurs appels superposent les courbes, que leur
    taux nomme.

    Rend : `axes`. Lève : `ValueError` ou `TypeError` si `track` n'est pas un `Track`, ou `axes`, deux axes.

    >>> from matplotlib.figure import Figure
    >>> made = Track(0.4, "sgd", np.ones(3), np.arange(3), np.array([4.0, 4.9, 5.1]))
    >>> plot_track(made, Figure().subplots(1, 2))[1].get_ylabel()
    'Courbure maximale'
    """
    require(isinstance(track, Track), "track", "être un Track, que rend track", type(track).__name__, TypeError)
    left, right = axes = two_axes(axes)
    style = STYLES[len(left.lines) % len(STYLES)]
    left.semilogy(track.loss, linewidth=1.5, label=f"lr = {comma(track.lr)}", **style)
    right.plot(track.steps, track.curvature, linewidth=2, **style)
    right.axhline(track.limit, color=style["color"], linestyle="--", linewidth=1)
    right.text(1, track.limit, f" {comma(track.limit)}", color=style["color"], transform=right.get_yaxis_transform())
    left.set(xlabel="Pas", ylabel="Perte")
    right.set(xlabel="Pas", ylabel="Courbure maximale", ylim=(0, None))
    for axis in (left.xaxis, left.yaxis, right.xaxis, right.yaxis):
        put_ticks(axis)
    left.legend()
    return axes


def edge_explorer(steps: int = 4000, seed: int = 0) -> Demo:
    """La démonstration : la perte, la courbure et la limite 2/lr, selon le taux et selon la perte choisie.

    Le réseau `Net(2, seed=seed)`, en float64, apprend 100 points de la règle "band" par `steps` pas de descente de
    gradient simple. Commandes : `lr` et `loss`.

    >>> demo = edge_explorer(steps=40)
    >>> demo.wait()
    >>> demo.status.split(" · ")[2]
    'limite 2/lr = 5'
    >>> demo.close()
    """
    check_whole("steps", steps, 1)
    figure = make_figure((960, 460), columns=2)
    artists = _draw_axes(*figure.axes, steps)
    data, model = gendata(100, rule="band", seed=0), Net(2, seed=seed).double()

    every = max(1, steps // 40)

    def follow(lr: float, loss: str) -> Iterator[tuple]:
        yield Track(lr, "sgd", *np.empty((3, 0))), loss
        for made in iter_track(model, *data, steps, lr, loss=loss, every=every):
            yield made, loss

    def draw(state: tuple) -> str:
        made, loss = state
        _set_track(made, *artists)
        if len(made.steps) == steps // every + 1:
            return _status(made, loss)
        return f"lr {comma(made.lr)} · pas {max(0, len(made.loss) - 1)} sur {steps}"

    rate = make_slider("Taux d'apprentissage", RATES, 0.4)
    choice = make_choice("Perte", {name: loss for loss, name in LOSS_NAMES.items()}, "squared")
    return Demo({"lr": rate, "loss": choice}, follow, draw, figure, font=13)


def _draw_axes(left: Axes, right: Axes, steps: int) -> list[Artist]:
    """Dessine ce qui ne bouge pas dans la démonstration ; rend ce qui y bouge."""
    along = {"xlim": (0, steps), "xticks": np.linspace(0, steps, 5), "xlabel": "Pas"}
    lay_axes(left, yscale="log", ylim=(LOWEST, 10), ylabel="Perte (coupée à 10)", **along)
    tall = f"Courbure maximale (coupée à {TALLEST})"
    lay_axes(right, ylim=(0, TALLEST), yticks=range(0, TALLEST, 5), ylabel=tall, **along)
    (loss,) = left.plot([], gid="loss", linewidth=1.5, **STYLES[0])
    level = right.axhline(0, gid="limit", linewidth=2, **STYLES[1])
    (curvature,) = right.plot([], gid="curvature", linewidth=2.5, **STYLES[0])
    name = right.text(steps, 0, "", gid="name", ha="right", va="bottom", color=STYLES[1]["color"])
    return [loss, level, curvature, name]


def _set_track(made: Track, loss: Artist, level: Artist, curvature: Artist, name: Artist) -> None:
    """Montre ce qui est connu de la descente ; ce qui sort des axes reste à leur bord."""
    curve = np.clip(np.nan_to_num(made.loss, nan=np.inf), LOWEST, 10)
    loss.set_data(np.arange(len(curve)), curve)
    curvature.set_data(made.steps, np.minimum(made.curvature, TALLEST))
    level.set_ydata([made.limit] * 2)
    name.set(y=made.limit, text=f"2/lr = {comma(made.limit)} ")


def _status(made: Track, loss: str) -> str:
    """La ligne d'état finale : des moyennes et des oui ou non, que l'arrondi des machines ne change pas."""
    parts = [f"lr {comma(made.lr)}", f"perte {LOSS_NAMES[loss]}", f"limite 2/lr = {comma(made.limit)}"]
    if not np.isfinite(made.curvature).all():
        return " · ".join([*parts, "la descente diverge"])
    rises = "remonte parfois" if (np.diff(made.loss) > 0).any() else "ne remonte jamais"
    reached = "atteint la limite" if made.reached() is not None else "n'atteint pas la limite"
    halves = f"sur la seconde moitié, lr·λ = {comma(round(made.lr * made.plateau(made.steps[-1] // 2), 1))} en moyenne"
    starts = f"la courbure part de {comma(made.curvature[0], 2)} et {reached}"
    return " · ".join([*parts, starts, halves, f"la perte {rises}"])
