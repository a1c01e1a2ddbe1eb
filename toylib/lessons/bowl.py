"""Le bol quadratique de la leçon 04 : la descente de gradient sur une perte dont on connaît tout.

La perte est (λ₁ w₁² + λ₂ w₂² + …) / 2 : son minimum est en 0, son gradient est λᵢ wᵢ dans chaque direction.
"""

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes

from toylib._checks import check_fits, check_list, check_lr, check_lrs, check_real, check_whole, require
from toylib._tensors import to_tensor
from toylib.explorer.controls import make_slider
from toylib.explorer.live import Demo
from toylib.explorer.stage import make_figure
from toylib.plotting import STYLES, check_axes

RACE = (1, 100)  # les courbures de l'exercice sur l'inertie
EDGE = 1.6  # demi-côté de la fenêtre de `plot_bowl`


def descend(
    lr: float,
    curvatures: Iterable[float] = (1, 10),
    beta: float = 0.0,
    start: Iterable[float] = (1, 1),
    steps: int = 100,
) -> np.ndarray:
    """Descend le bol de courbures `curvatures`, et rend la trajectoire.

    Arguments :
        lr : taux d'apprentissage, strictement positif.
        curvatures : courbure λ de chaque direction, strictement positive ; d nombres.
        beta : inertie (*momentum*), dans [0, 1[ ; 0 est la descente de gradient simple.
        start : poids de départ, d nombres.
        steps : nombre de pas, au moins 0.

    Rend : float64 (steps + 1, d), la ligne 0 étant le départ. Une descente qui diverge longtemps
    finit par ne plus tenir dans un nombre : infini, puis NaN.

    Lève : `ValueError` ou `TypeError` pour un argument hors de ces bornes.

    Source : Goh, *Why Momentum Really Works*, Distill, 2017. Sans inertie, la descente converge
    si et seulement si lr < 2/λmax, et va au plus vite pour lr = 2/(λmin + λmax) ; avec inertie,
    elle converge si et seulement si lr < (2 + 2β)/λmax.

    >>> descend(0.25, curvatures=[2], start=[1], steps=2).tolist()
    [[1.0], [0.5], [0.25]]
    """
    lr, beta, curvatures, w, steps = _check_bowl(lr, beta, curvatures, start, steps)
    velocity, trajectory = np.zeros_like(w), [w]
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(steps):
            gradient = curvatures * w
            velocity = beta * velocity + gradient
            w = w - lr * velocity
            trajectory.append(w)
    return np.array(trajectory)


def distances(trajectory: np.ndarray) -> np.ndarray:
    """La distance au minimum à chaque pas, (steps + 1,), en part de la distance de départ.

    Lève : `ValueError` ou `TypeError` si `trajectory` n'est pas de forme (steps + 1, d) ou part du minimum.

    >>> distances(descend(0.25, curvatures=[2], start=[8], steps=2)).tolist()
    [1.0, 0.5, 0.25]
    """
    trajectory = _check_trajectory(trajectory)
    require(trajectory[0].any(), "trajectory", "partir d'ailleurs que du minimum", "un départ en 0")
    with np.errstate(over="ignore", invalid="ignore"):
        length = np.linalg.norm(trajectory, axis=1)
        return length / length[0]


def steps_to(trajectory: np.ndarray, share: float = 1e-6) -> int | None:
    """Le premier pas où il ne reste que la part `share` de la distance de départ, ou None.

    Lève : `ValueError` ou `TypeError`, comme `distances`, ou si `share` n'est pas un nombre.

    >>> steps_to(descend(0.25, curvatures=[2], start=[1]), share=0.25)
    2
    """
    reached = np.flatnonzero(distances(trajectory) <= check_real("share", share))
    return int(reached[0]) if len(reached) else None


def race(lr: float, beta: float) -> list[float]:
    """Ce que l'exercice mesure d'une descente avec inertie, depuis (1, 1), du bol de courbures 1 et 100.

    Rend : lr en part de la limite de stabilité (2 + 2β)/λmax ; β ; le nombre de pas qui divise la
    distance par un million, infini s'il en faut plus de 2000, ou si β atteint 1 ; ce qui, à la longue,
    est le plus lent : 1 pour la direction plate, 0 pour la raide, 0,5 si les deux oscillent autant.

    Lève : `ValueError` ou `TypeError`, comme `descend`.

    >>> race(0.02, 0.0), race(0.01, 0.6), race(0.03, 0.9)
    ([1.0, 0.0, inf, 0.0], [0.3125, 0.6, 513.0, 1.0], [0.7894736842105263, 0.9, 250.0, 0.5])
    """
    lr, beta = check_lr(lr), check_real("beta", beta)
    reached = None if beta >= 1 else steps_to(descend(lr, RACE, beta, steps=2000))
    halves = [abs(1 + beta - lr * curvature) / 2 for curvature in RACE]
    flat, steep = (max(beta**0.5, half + max(half * half - beta, 0) ** 0.5) for half in halves)
    slow = (1 + np.sign(round(flat - steep, 9))) / 2
    return [lr * max(RACE) / (2 + 2 * beta), beta, np.inf if reached is None else float(reached), float(slow)]


def plot_bowl(trajectory: np.ndarray, curvatures: Iterable[float] = (1, 10), ax: Axes | None = None) -> Axes:
    """Dessine les lignes de niveau d'un bol à deux directions, et la trajectoire d'une descente.

    Arguments :
        trajectory : (steps + 1, 2), que rend `descend`.
        curvatures : les deux courbures.
        ax : axes matplotlib ; par défaut, ceux de la figure courante.

    Rend : `ax`. La fenêtre ne bouge pas : une descente qui diverge en sort. D'une ligne de niveau
    à la suivante, la perte est divisée par quatre. Lève : `ValueError` ou `TypeError`.

    >>> plot_bowl(descend(0.1), (1, 10), make_figure().axes[0]).get_xlabel()
    'Poids w₁'
    """
    trajectory, curvatures = _check_trajectory(trajectory), _check_curvatures(curvatures)
    found = f"{trajectory.shape} et {len(curvatures)} courbure(s)"
    plane = trajectory.shape[1] == len(curvatures) == 2
    require(plane, "trajectory", "être de forme (steps + 1, 2), avec deux courbures", found)
    ax = check_axes(ax)
    axis = np.linspace(-EDGE, EDGE, 161)
    loss = (curvatures[0] * axis**2 + curvatures[1] * axis[:, None] ** 2) / 2
    ax.contour(axis, axis, loss, levels=loss.max() / 4.0 ** np.arange(8, 0, -1), colors="0.72", linewidths=1)
    path = np.clip(trajectory, -100, 100).T  # au-delà, hors de la fenêtre
    ax.plot(*path, "o-", color=STYLES[0]["color"], markersize=4, linewidth=1.5)
    ax.plot(*path[:, 0], "s", color=STYLES[1]["color"], markersize=9)
    ax.plot(0, 0, "k+", markersize=12, markeredgewidth=2)
    for name, place, shift, side in (("départ", path[:, 0], (0, 9), "center"), ("fond", (0, 0), (-9, 7), "right")):
        ax.annotate(name, place, shift, textcoords="offset points", ha=side, clip_on=True)
    ax.set(xlim=(-EDGE, EDGE), ylim=(-EDGE, EDGE), aspect="equal", xlabel="Poids w₁", ylabel="Poids w₂")
    ax.set(xticks=(-1, 0, 1), yticks=(-1, 0, 1))
    return ax


def plot_distance(trajectory: np.ndarray, ax: Axes) -> Axes:
    """Ajoute aux axes `ax` la distance au minimum en fonction du pas, sur une échelle logarithmique fixe.

    Arguments :
        trajectory : (steps + 1, d), que rend `descend`.
        ax : axes matplotlib.

    Rend : `ax`. Plusieurs appels superposent les courbes ; couleur et trait diffèrent. Une courbe
    qui sort par le haut y reste.

    >>> plot_distance(descend(0.1), make_figure().axes[0]).get_xlabel()
    'Pas'
    """
    ax = check_axes(ax)
    style = STYLES[len(ax.lines) % len(STYLES)]
    ax.semilogy(np.clip(np.nan_to_num(distances(trajectory), nan=np.inf), 1e-12, 100), lw=2.5, **style)
    ax.set(xlabel="Pas", ylabel="Part de la distance qui reste", ylim=(1e-8, 100))
    ax.set_yticks([1e-8, 1e-6, 1e-4, 1e-2, 1, 100], ["10⁻⁸", "10⁻⁶", "10⁻⁴", "10⁻²", "1", "10²"])
    ax.grid(color="0.88")
    return ax


def bowl_explorer() -> Demo:
    """La démonstration : une descente de la vallée de courbures 1 et κ, selon le taux, κ et l'inertie β.

    >>> demo = bowl_explorer()
    >>> demo.set(lr=0.18)
    >>> demo.wait()
    >>> demo.status
    'Un millionième en 68 pas'
    >>> demo.close()
    """
    figure = make_figure((1000, 440), columns=2)

    def draw(values: dict) -> str:
        trajectory, (left, right) = descend(values["lr"], (1, values["kappa"]), values["beta"]), figure.axes
        left.clear(), right.clear()
        plot_bowl(trajectory, (1, values["kappa"]), left)
        plot_distance(trajectory, right)
        return f"Un millionième en {steps_to(trajectory) or 'plus de 100'} pas"

    controls = {
        "lr": make_slider("Taux", [k / 100 for k in range(1, 41)], 0.05),
        "kappa": make_slider("κ", [5, 10, 20, 50], 10, str),
        "beta": make_slider("β", [k / 10 for k in range(10)], 0.0),
    }
    return Demo(controls, lambda **values: [values], draw, figure, font=13, whole=True)


def _check_bowl(lr, beta, curvatures, start, steps) -> tuple:
    """Les arguments de `descend`, vérifiés ; les deux suites deviennent des tableaux float64 (d,)."""
    lr, beta = check_lr(lr), check_real("beta", beta)
    require(0 <= beta < 1, "beta", "être entre 0 et 1, 1 exclu", beta)
    curvatures, start = _check_curvatures(curvatures), _check_vector("start", start)
    require(len(start) == len(curvatures), "start", f"avoir {len(curvatures)} nombre(s), comme curvatures", len(start))
    check_fits("steps", check_whole("steps", steps) * len(start))
    return lr, beta, curvatures, start, steps


def _check_curvatures(curvatures) -> np.ndarray:
    """Les courbures, (d,) : au moins une, toutes strictement positives."""
    return np.array(check_lrs(_check_vector("curvatures", curvatures), "curvatures"))


def _check_vector(name: str, values) -> np.ndarray:
    """Une suite de nombres finis, non vide, en float64 (d,)."""
    numbers = check_list(name, values, "une suite de nombres, comme (1, 10)")
    require(numbers, name, "avoir au moins un nombre", "une suite vide")
    return np.array([check_real(f"{name}[{i}]", number) for i, number in enumerate(numbers)])


def _check_trajectory(trajectory) -> np.ndarray:
    """Une trajectoire en float64 (steps + 1, d)."""
    trajectory = to_tensor("trajectory", trajectory).double().numpy()
    require(trajectory.ndim == 2 and trajectory.size, "trajectory", "être de forme (steps + 1, d)", trajectory.shape)
    return trajectory
