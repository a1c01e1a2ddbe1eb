"""Le test de plage de la leçon 08 : un seul entraînement, dont le taux monte d'époque en époque."""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from toylib import Net, train
from toylib._checks import check_choice, check_lrs, require
from toylib.french import comma
from toylib.plotting import STYLES, check_axes, drawable, format_axes, put_ticks

OPTIONS = ("optimizer", "batch_size", "seed")  # celles de `train` qu'un test de plage laisse au choix


@dataclass(frozen=True, eq=False)
class RangeTest:
    """Un test de plage : la perte mesurée après l'époque faite à chaque taux ; float64 (K,), toutes deux.

    On y lit la courbe lissée (moyenne de cinq voisins), et seulement jusqu'à ce qu'elle remonte à plus du
    double de son minimum : au-delà, l'entraînement est perdu.
    """

    lrs: np.ndarray
    loss: np.ndarray

    @property
    def minimum(self) -> float:
        """Le taux où la perte est la plus basse ; il est parfois déjà trop grand pour servir.

        >>> RangeTest(np.array([0.1, 0.2, 0.4, 0.8, 1.6, 3.2]), np.array([0.7, 0.6, 0.5, 0.4, 0.3, 9.0])).minimum
        0.4
        """
        return float(self.lrs[self._smooth().argmin()])

    @property
    def steepest(self) -> float:
        """Le taux où la perte descend le plus vite, en échelle logarithmique des taux ; le premier, si elle remonte
        aussitôt.

        >>> RangeTest(np.array([0.1, 0.2, 0.4, 0.8, 1.6, 3.2]), np.array([0.7, 0.7, 0.7, 0.7, 0.4, 0.1])).steepest
        3.2
        """
        smooth = self._smooth()
        slopes = np.gradient(smooth, np.log(self.lrs[: len(smooth)])) if len(smooth) > 1 else smooth
        return float(self.lrs[slopes.argmin()])

    def _smooth(self) -> np.ndarray:
        """La perte lissée, jusqu'à ce qu'elle remonte ou ne soit plus un nombre ; un point au moins."""
        padded = np.pad(np.nan_to_num(self.loss, nan=np.inf), 2, mode="edge")
        smooth = np.convolve(padded, np.full(5, 0.2), "valid")
        lost = ~np.isfinite(smooth) | (smooth > 2 * np.minimum.accumulate(smooth))
        return smooth[: max(1, lost.argmax())] if lost.any() else smooth


def range_test(model: Net, data, target, lrs: Iterable[float], **options) -> RangeTest:
    """Entraîne une copie de `model`, une époque à chaque taux de `lrs`, sans jamais repartir de zéro.

    Arguments :
        model : le réseau, qui n'est pas modifié.
        lrs : les taux, croissants.
        data, target, et les options `optimizer`, `batch_size` et `seed` : comme pour `train`.

    Rend : un `RangeTest`. Lève : `ValueError` ou `TypeError`, comme `train`.

    Source : Smith, *Cyclical Learning Rates for Training Neural Networks*, 2017, arXiv 1506.01186, § 3.3.

    >>> from toylib.data import gendata
    >>> result = range_test(Net(2, seed=0), *gendata(seed=0), np.geomspace(1e-5, 10, 100))
    >>> 0.01 < result.steepest < result.minimum < 1
    True
    """
    for name in options:
        check_choice("l'option", name, OPTIONS)
    lrs = check_lrs(lrs)
    require(len(lrs) > 1 and lrs == sorted(set(lrs)), "lrs", "avoir au moins deux taux, strictement croissants", lrs)

    def rise(step, steps):
        return lrs[step * len(lrs) // steps] / lrs[0]

    loss = train(deepcopy(model), data, target, len(lrs), lrs[0], schedule=rise, **options).loss[1:]
    return RangeTest(np.array(lrs), loss)


def plot_range_test(test: RangeTest, ax: Axes | None = None) -> Axes:
    """Dessine la perte selon le taux du moment, sa courbe lissée, et les trois taux qu'on y lit.

    Rend : `ax`, par défaut ceux de la figure courante. Lève : `TypeError` si `test` n'est pas un `RangeTest`.

    >>> from matplotlib.figure import Figure
    >>> test = RangeTest(np.array([0.01, 0.1, 1.0]), np.array([0.7, 0.2, 5.0]))
    >>> len(plot_range_test(test, Figure().subplots()).lines)
    4
    """
    require(isinstance(test, RangeTest), "test", "être ce que rend range_test", type(test).__name__, TypeError)
    ax = check_axes(ax)
    smooth = test._smooth()
    ax.scatter(test.lrs, drawable(test.loss, "loss"), s=22, color="0.55", label="une époque")
    ax.plot(test.lrs[: len(smooth)], smooth, label="moyenne de cinq", linewidth=2.5, **STYLES[0])
    marks = {"pente la plus forte": test.steepest, "minimum ÷ 10": test.minimum / 10, "minimum": test.minimum}
    for (name, lr), style in zip(marks.items(), (STYLES[2], STYLES[3], STYLES[1])):
        ax.axvline(lr, label=f"{name} : {comma(lr, 2)}", linewidth=2, **style)
    format_axes(ax, "loss")
    ax.set(xscale="log", xlabel="Taux, qui monte d'époque en époque", ylabel="Perte, bornée entre 0,001 et 10")
    put_ticks(ax.xaxis)
    ax.legend(handlelength=3.5, fontsize=11)
    return ax
