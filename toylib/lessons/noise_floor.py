"""Le plancher de bruit de la leçon 12 : une descente sur un bol, dont chaque gradient ne voit qu'un lot.

Le bol est w²/2, de courbure 1. Le gradient mesuré sur un lot de B échantillons est w - x̄, où x̄ est la moyenne de
B nombres d'espérance 0 et de variance 1 : un bruit de variance 1/B s'ajoute au vrai gradient, w.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from toylib._checks import check_fits, check_lr, check_lrs, check_real, check_whole, numpy_generator
from toylib.explorer.controls import make_choice, make_slider
from toylib.explorer.live import Demo
from toylib.explorer.stage import make_figure
from toylib.french import SCHEDULE_NAMES, comma
from toylib.lessons.panels import lay_axes
from toylib.plotting import STYLES
from toylib.schedules import SCHEDULES, factors

START = 3.0  # d'où partent les descentes
STEPS, COPIES = 500, 1000
END = 50  # les derniers pas, sur lesquels la démonstration fait la moyenne
RATES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 1.5, 1.9, 2.1)
SIZES = (1, 2, 5, 10, 20, 50, 100)
RANGE = (1e-6, 100.0)  # de w², sur les axes
STABLE = np.append(np.geomspace(0.017, 1.99, 200), 1.9999)  # les taux où les planchers sont tracés


def noise_floor(lr: float, batch_size: int) -> float:
    """Le plancher d'une descente à taux constant : la moyenne de w² quand elle n'avance plus, infinie dès lr = 2.

    Un pas, w ← w - lr (w - x̄), multiplie w par 1 - lr et ajoute lr x̄. La moyenne V de w² devient donc
    `(1 - lr)² V + lr²/B` ; elle ne change plus quand V = lr / (B (2 - lr)), environ lr/(2B) aux petits taux.

    Lève : `ValueError` ou `TypeError` pour un taux ou une taille de lot qui ne convient pas.

    Sources : Mandt, Hoffman & Blei, 2017, arXiv 1704.04289, aux petits taux :
    *Stochastic Gradient Descent as Approximate Bayesian Inference*. Smith & Le, 2018, arXiv 1710.06451, pour le
    rapport lr/B : *A Bayesian Perspective on Generalization and Stochastic Gradient Descent*.

    >>> noise_floor(0.5, 1), noise_floor(1, 10), noise_floor(2, 10)
    (0.3333333333333333, 0.1, inf)
    """
    lr, batch_size = check_lr(lr), check_whole("batch_size", batch_size, 1)
    return lr / (batch_size * (2 - lr)) if lr < 2 else math.inf


def noisy_descents(
    lrs: Sequence[float], batch_size: int, *, copies: int = COPIES, start: float = START, seed: int | None = None
) -> np.ndarray:
    """Descend le bol `copies` fois, toutes ensemble, chacune avec ses propres lots.

    Arguments :
        lrs : le taux de chacun des T pas.
        batch_size : taille B des lots.
        start : le w de départ.
        seed : graine du bruit ; sans elle, celui de NumPy, que `np.random.seed` fixe.

    Rend : les w de chaque pas, départ compris ; float64 (T + 1, copies). Qui diverge finit infini, puis NaN.

    Lève : `ValueError` ou `TypeError` pour un argument qui ne convient pas.

    >>> noisy_descents([0.1] * 50, 10, copies=4, seed=0).shape
    (51, 4)
    """
    lrs, copies = check_lrs(lrs), check_whole("copies", copies, 1)
    size, start = check_whole("batch_size", batch_size, 1), check_real("start", start)
    check_fits("copies", copies * (len(lrs) + 1))
    means = numpy_generator(seed).standard_normal((len(lrs), copies)) / math.sqrt(size)
    w = np.full((len(lrs) + 1, copies), start)
    with np.errstate(over="ignore", invalid="ignore"):
        for t, lr in enumerate(lrs):
            w[t + 1] = w[t] - lr * (w[t] - means[t])
    return w


def expected_squares(lrs: Sequence[float], batch_size: int, start: float = START) -> np.ndarray:
    """Ce que vaut w² en moyenne à chaque pas, exactement, pour n'importe quelle suite de T taux : float64 (T + 1,).

    C'est la suite V ← `(1 - lr)² V + lr²/B` de `noise_floor`, avec le taux de chaque pas.

    Lève : `ValueError` ou `TypeError` pour un argument qui ne convient pas.

    >>> expected_squares([1, 1 / 2, 1 / 4], batch_size=1, start=3).tolist()
    [9.0, 1.0, 0.5, 0.34375]
    """
    lrs, size = check_lrs(lrs), check_whole("batch_size", batch_size, 1)
    start = check_real("start", start)
    squares = [start * start]  # infini, s'il est trop grand, là où ** 2 lèverait une erreur
    for lr in lrs:
        squares.append((1 - lr) * (1 - lr) * squares[-1] + lr * lr / size)
    return np.array(squares)


def floor_explorer() -> Demo:
    """La démonstration : mille descentes bruitées, à un taux, une taille de lot et une planification au choix.

    À gauche, la moyenne de w² à chaque pas, mesurée et calculée, et une seule descente, en trait fin. À droite,
    le plancher de `noise_floor` selon le taux, une courbe par taille de lot, et le point mesuré à la fin.

    >>> demo = floor_explorer()
    >>> demo.set(lr=0.2, batch_size=10)
    >>> demo.wait()
    >>> print(demo.status)
    Moyenne de w² à la fin : mesurée 0,011, calculée 0,011 ; plancher à ce taux constant : 0,011
    >>> demo.close()
    """
    figure = make_figure((1000, 420), columns=2)
    lines = _draw_axes(*figure.axes)
    controls = {
        "lr": make_slider("Taux d'apprentissage", RATES, 0.5, width="440px"),
        "batch_size": make_slider("Taille des lots", SIZES, 1, str, width="360px"),
        "schedule": make_choice("Planification", {SCHEDULE_NAMES[name]: name for name in SCHEDULES}, "constant"),
    }

    def measure(lr: float, batch_size: int, schedule: str) -> Iterator[tuple]:
        planned = [lr * factor for factor in factors(schedule, STEPS)]
        squares = noisy_descents(planned, batch_size, seed=0) ** 2
        yield lr, batch_size, squares, expected_squares(planned, batch_size)

    def draw(state: tuple) -> str:
        lr, batch_size, squares, exact = state
        measured, steps = squares.mean(axis=1), range(STEPS + 1)
        end, line = measured[-END:].mean(), [noise_floor(one, batch_size) for one in STABLE]
        data = [(steps, squares[:, 0]), (steps, measured), (steps, exact), (STABLE, line), ([lr], [end])]
        for artist, (x, y) in zip(lines, data):
            artist.set_data(x, np.clip(y, *RANGE))
        return _status(lr, batch_size, end, exact[-END:].mean())

    return Demo(controls, measure, draw, figure, font=13)


def _draw_axes(left: Axes, right: Axes) -> list[Line2D]:
    """Dessine ce qui ne bouge pas dans la démonstration ; rend les traits qui y bougent."""
    heights = {"yscale": "log", "ylim": RANGE, "yticks": (1e-6, 1e-4, 1e-2, 1, 100)}
    lay_axes(left, xlim=(0, STEPS), xlabel="Pas", ylabel="Moyenne de w²", **heights)
    rates = {"xscale": "log", "xlim": (0.017, 2.5), "xticks": (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2)}
    lay_axes(right, xlabel="Taux d'apprentissage", ylabel="Moyenne de w² à la fin", **rates, **heights)
    for size in SIZES:
        right.plot(STABLE, [noise_floor(lr, size) for lr in STABLE], color="0.75", linewidth=1)
        if size in (1, 10, 100):
            right.annotate(f"B = {size}", (0.019, 1.8 * noise_floor(0.019, size)), rotation=17, color="0.35", size=9)
    lines = _draw_lines(left, right)
    for ax in (left, right):
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False, handlelength=3.5)
    return lines


def _draw_lines(left: Axes, right: Axes) -> list[Line2D]:
    """Les traits qui bougent, encore vides, dans l'ordre où on les remplit."""
    return [
        left.plot([], [], gid="one", color="0.6", linewidth=0.8, label="une descente")[0],
        left.plot([], [], gid="mean", linewidth=3, label="moyenne de mille", **STYLES[0])[0],
        left.plot([], [], gid="exact", linewidth=2, label="calcul exact", **STYLES[4])[0],
        right.plot([], [], gid="floor", linewidth=2.5, label="plancher calculé", **STYLES[4])[0],
        right.plot([], [], "o", gid="measure", color="#0072B2", markersize=12, label="mesure")[0],
    ]


def bowl_end(peak: float, number: float) -> tuple[float, float, float]:
    """L'exercice 3 : le pic, le numéro de la planification, et la moyenne de w² après 200 pas en lots de 1.

    Un numéro qui n'en désigne aucune n'arrive nulle part : la moyenne rendue est alors infinie.

    Lève : `ValueError` ou `TypeError` pour un pic qui ne convient pas, ou un numéro qui n'est pas un nombre.

    >>> bowl_end(1, 0), bowl_end(1, 7)
    ((1.0, 0.0, 1.0), (1.0, 7.0, inf))
    """
    peak, number = check_lr(peak, "le pic"), check_real("le numéro", number)
    if number not in range(len(SCHEDULES)):
        return peak, number, math.inf
    planned = factors(list(SCHEDULES)[int(number)], 200)
    return peak, number, float(expected_squares(peak * np.array(planned), batch_size=1)[-1])


def _status(lr: float, batch_size: int, measured: float, exact: float) -> str:
    """Ce que l'image montre, en mots."""
    if exact > START**2:
        return "La descente diverge : w² grandit sans fin."
    limit = "aucun, la descente diverge" if lr >= 2 else comma(noise_floor(lr, batch_size), 2)
    found = f"mesurée {comma(measured, 2)}, calculée {comma(exact, 2)}"
    return f"Moyenne de w² à la fin : {found} ; plancher à ce taux constant : {limit}"
