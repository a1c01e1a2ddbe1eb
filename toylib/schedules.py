"""Les planifications : le facteur qui multiplie le taux d'apprentissage, à chaque pas d'un entraînement."""

import math
from collections.abc import Callable

from toylib._checks import check_choice, check_fits, check_real, check_whole, refusing

Schedule = Callable[[int, int], float]  # une fonction : (numéro du pas, nombre de pas) donne le facteur du taux


def constant(step: float, steps: float) -> float:
    """Le même taux à chacun des `steps` pas."""
    return 1.0


def warmup(step: float, steps: float, rise: int = 10) -> float:
    """Un échauffement : le taux monte en ligne droite pendant `rise` pas, puis ne bouge plus.

    Source : Goyal et al., *Accurate, Large Minibatch SGD*, 2017, arXiv 1706.02677, § 2.2.

    >>> [warmup(step, 100, rise=4) for step in (0, 1, 3, 99)]
    [0.25, 0.5, 1.0, 1.0]
    """
    return min(1.0, (step + 1) / rise)


def decay(step: float, steps: float) -> float:
    """Une décroissance en 1/t : le taux est divisé par deux au dixième des `steps` pas, par onze à la fin.

    Source : Robbins & Monro, *A Stochastic Approximation Method*, 1951 : la somme des taux est infinie, celle
    de leurs carrés ne l'est pas.

    >>> [decay(step, 100) for step in (0, 10, 40)]
    [1.0, 0.5, 0.2]
    """
    return 1 / (1 + 10 * step / steps)


def cosine(step: float, steps: float) -> float:
    """Un demi-cosinus, de 1 à 0 en `steps` pas.

    Source : Loshchilov & Hutter, *SGDR*, 2017, arXiv 1608.03983, équation 5, sans redémarrage.

    >>> [round(cosine(step, 100), 3) for step in (0, 50, 100)]
    [1.0, 0.5, 0.0]
    """
    return (1 + math.cos(math.pi * step / steps)) / 2


def one_cycle(step: float, steps: float) -> float:
    """Un cycle : de 1/25 à 1 pendant les trois premiers dixièmes des `steps` pas, puis un demi-cosinus jusqu'à 0.

    Source : Smith & Topin, *Super-Convergence*, 2018, arXiv 1708.07120 ; ces proportions sont celles de
    `torch.optim.lr_scheduler.OneCycleLR`.

    >>> [round(one_cycle(step, 100), 3) for step in (0, 30, 65, 100)]
    [0.04, 1.0, 0.5, 0.0]
    """
    top = 0.3 * steps
    return 0.04 + 0.96 * step / top if step < top else cosine(step - top, steps - top)


# {"constant": constant, "warmup": warmup, …} : chaque fonction, rangée sous son nom
SCHEDULES: dict[str, Schedule] = {one.__name__: one for one in (constant, warmup, decay, cosine, one_cycle)}


def factors(schedule: str | Schedule, steps: int) -> list[float]:
    """Le facteur de chacun des `steps` pas, d'après le nom d'une planification ou une fonction (pas, nombre de pas).

    Lève : `ValueError` pour un nom inconnu, trop de pas, ou un facteur négatif ou non fini ; `TypeError` s'il
    n'est pas un nombre.

    >>> factors("constant", 3), factors(lambda step, steps: 0.5**step, 3)
    ([1.0, 1.0, 1.0], [1.0, 0.5, 0.25])
    """
    check_fits("epochs", check_whole("steps", steps))
    if not callable(schedule):
        schedule = SCHEDULES[check_choice("schedule", schedule, SCHEDULES)]
    if schedule is constant:
        return [1.0] * steps
    return [_factor(schedule, step, steps) for step in range(steps)]


def _factor(schedule: Schedule, step: int, steps: int) -> float:
    """Le facteur qu'une fonction donne au pas `step`."""
    name = f"schedule({step}, {steps})"
    with refusing(name, "donner le facteur du taux"):
        factor = schedule(step, steps)
    return check_real(name, factor, 0, wanted="être un nombre fini, positif ou nul")
