"""Les planifications : le facteur qui multiplie le taux d'apprentissage, à chaque pas d'un entraînement."""

import math
from collections.abc import Callable

from toylib._checks import check_choice, check_fits, check_real, shown

Schedule = Callable[[int], float]  # du numéro du pas, à partir de 0, au facteur


def constant(steps: int) -> Schedule:
    """Le même taux à chacun des `steps` pas."""
    return lambda step: 1.0


def warmup(steps: int, rise: int = 10) -> Schedule:
    """Un échauffement : le taux monte en ligne droite pendant `rise` pas, puis ne bouge plus.

    Source : Goyal et al., *Accurate, Large Minibatch SGD*, 2017, arXiv 1706.02677, § 2.2.

    >>> [warmup(100, rise=4)(step) for step in (0, 1, 3, 99)]
    [0.25, 0.5, 1.0, 1.0]
    """
    return lambda step: min(1.0, (step + 1) / rise)


def decay(steps: int) -> Schedule:
    """Une décroissance en 1/t : le taux est divisé par deux au dixième des `steps` pas, par onze à la fin.

    Source : Robbins & Monro, *A Stochastic Approximation Method*, 1951 : la somme des taux est infinie, celle
    de leurs carrés ne l'est pas.

    >>> [decay(100)(step) for step in (0, 10, 40)]
    [1.0, 0.5, 0.2]
    """
    return lambda step: 1 / (1 + 10 * step / steps)


def cosine(steps: int) -> Schedule:
    """Un demi-cosinus, de 1 à 0 en `steps` pas.

    Source : Loshchilov & Hutter, *SGDR*, 2017, arXiv 1608.03983, équation 5, sans redémarrage.

    >>> [round(cosine(100)(step), 3) for step in (0, 50, 100)]
    [1.0, 0.5, 0.0]
    """
    return lambda step: (1 + math.cos(math.pi * step / steps)) / 2


def one_cycle(steps: int) -> Schedule:
    """Un cycle : de 1/25 à 1 pendant les trois premiers dixièmes des `steps` pas, puis un demi-cosinus jusqu'à 0.

    Source : Smith & Topin, *Super-Convergence*, 2018, arXiv 1708.07120 ; ces proportions sont celles de
    `torch.optim.lr_scheduler.OneCycleLR`.

    >>> [round(one_cycle(100)(step), 3) for step in (0, 30, 65, 100)]
    [0.04, 1.0, 0.5, 0.0]
    """
    top = 0.3 * steps

    def factor(step: int) -> float:
        if step < top:
            return 0.04 + 0.96 * step / top
        return cosine(steps - top)(step - top)

    return factor


SCHEDULES = {"constant": constant, "warmup": warmup, "decay": decay, "cosine": cosine, "one_cycle": one_cycle}


def factors(schedule: str | Schedule, steps: int) -> list[float]:
    """Le facteur de chacun des `steps` pas, d'après le nom d'une planification ou une fonction du pas.

    Lève : `ValueError` pour un nom inconnu, trop de pas, ou un facteur négatif ou non fini ; `TypeError` s'il
    n'est pas un nombre.

    >>> factors("constant", 3), factors(lambda step: 0.5**step, 3)
    ([1.0, 1.0, 1.0], [1.0, 0.5, 0.25])
    """
    check_fits("epochs", steps)
    if isinstance(schedule, str) and schedule == "constant":
        return [1.0] * steps
    if not callable(schedule):
        schedule = SCHEDULES[check_choice("schedule", schedule, SCHEDULES)](steps)
    found = [_factor(schedule, step) for step in range(steps)]
    if found and min(found) < 0:
        step = found.index(min(found))
        raise ValueError(f"schedule({step}) doit être positif ou nul ; reçu : {found[step]!r}.")
    return found


def _factor(schedule: Schedule, step: int) -> float:
    """Le facteur qu'une fonction donne au pas `step`."""
    try:
        factor = schedule(step)
    except Exception as error:
        found = f"une fonction qui lève {type(error).__name__} ({shown(str(error))})"
        raise ValueError(f"schedule({step}) doit donner le facteur du taux ; reçu : {found}.") from error
    return check_real(f"schedule({step})", factor)
