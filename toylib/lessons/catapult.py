"""La catapulte de la leçon 14 : un réseau linéaire à deux couches, sa suite exacte, et la démonstration vivante."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from toylib import Net, sweep
from toylib._checks import check_fits, check_lr, check_lrs, check_whole, require
from toylib._tensors import to_tensor
from toylib.explorer.controls import make_choice, make_slider
from toylib.explorer.live import Demo
from toylib.explorer.stage import make_figure
from toylib.french import comma
from toylib.lessons.checks import two_axes
from toylib.lessons.curvature import max_curvature, max_curvatures
from toylib.lessons.panels import lay_axes
from toylib.plotting import STYLES, check_axes, put_ticks

PRODUCTS = tuple(k / 10 for k in range(5, 43) if k != 40)  # lr·λ₀ du curseur ; à 4 juste, l'arrondi décide
WIDTHS = (10, 100, 1000, 10_000, 100_000)
STEPS = 100
LOST = 1e9  # perte par unité de largeur au-delà de laquelle plus rien ne revient
HELD = 1e3  # perte finale au-delà de laquelle un réseau quelconque a divergé
POWERS = {1e-8: "10⁻⁸", 1e-4: "10⁻⁴", 1: "1", 1e4: "10⁴", 1e8: "10⁸"}
CEILING = 5  # haut de l'axe de lr·λ


@dataclass(frozen=True, eq=False)
class Catapult:
    """Une descente de f = u·v/√n vers 0.

    Champs : `lr` ; `n`, la largeur ; la sortie `f` et la courbure `curvature` avant chaque pas et après le dernier,
    float64 (T + 1,). Une descente qui diverge s'arrête là où plus rien ne revient.
    """

    lr: float
    n: int
    f: np.ndarray
    curvature: np.ndarray

    @property
    def loss(self) -> np.ndarray:
        """La perte, f²/2."""
        with np.errstate(over="ignore"):
            return self.f**2 / 2

    @property
    def product(self) -> np.ndarray:
        """lr·λ, à chaque pas."""
        with np.errstate(over="ignore"):
            return self.lr * self.curvature

    @property
    def phase(self) -> str:
        """Ce que fait la perte : "diverge", "monotone", "catapulte", ou "en vol" si elle n'est pas redescendue."""
        if not self.loss[-1] <= LOST * self.n:  # NaN compris
            return "diverge"
        if (np.diff(self.loss) <= 0).all():
            return "monotone"
        return "catapulte" if self.loss[-1] < self.loss[0] else "en vol"


def draw_weights(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Les poids de départ u et v, (n,) chacun, tirés de la loi normale centrée réduite ; `n` : au moins 1.

    Lève : `ValueError` ou `TypeError` pour une largeur ou une graine qui ne convient pas.

    >>> draw_weights(3)[0].shape
    (3,)
    """
    n, seed = check_whole("n", n, 1), check_whole("seed", seed)
    check_fits("n", 2 * n)
    return tuple(np.random.default_rng(seed).normal(size=(2, n)))


def output_and_curvature(u: np.ndarray, v: np.ndarray) -> tuple[float, float]:
    """La sortie f = u·v/√n et la courbure λ = (‖u‖² + ‖v‖²)/n, de poids (n,).

    λ est le carré de la longueur du gradient de f : la courbure maximale de la perte f²/2 là où f = 0.

    Lève : `ValueError` ou `TypeError` pour des poids qui ne conviennent pas.

    >>> output_and_curvature(np.array([1.0, 0, 0, 0]), np.array([2.0, 0, 0, 0]))
    (1.0, 1.25)
    """
    u, v = _check_weights(u, v)
    return float(u @ v / np.sqrt(len(u))), float((u @ u + v @ v) / len(u))


def weights_step(u: np.ndarray, v: np.ndarray, lr: float) -> tuple[np.ndarray, np.ndarray]:
    """Un pas de descente de gradient de f²/2 : le gradient est f·v/√n pour u, et f·u/√n pour v.

    Lève : `ValueError` ou `TypeError` pour des poids ou un taux qui ne conviennent pas.

    >>> [w.tolist() for w in weights_step(np.array([1.0]), np.array([2.0]), 0.25)]
    [[0.0], [1.5]]
    """
    u, v = _check_weights(u, v)
    push = check_lr(lr) * (u @ v) / len(u)  # lr·f/√n
    return u - push * v, v - push * u


def _check_weights(u, v) -> tuple[np.ndarray, np.ndarray]:
    """Les poids u et v, en float64 (n,)."""
    u, v = (to_tensor(name, w).double().numpy() for name, w in (("u", u), ("v", v)))
    require(u.ndim == 1 and u.size, "u", "être de forme (n,), avec n au moins 1", u.shape)
    require(v.shape == u.shape, "v", f"être de forme {u.shape}, comme u", v.shape)
    return u, v


def catapult_step(f: float, curvature: float, lr: float, n: int) -> tuple[float, float]:
    """Le même pas, vu de la sortie f et de la courbure λ seules : la suite est exacte.

    Source : Lewkowycz et al., 2020, arXiv 2003.02218,
    *The Large Learning Rate Phase of Deep Learning: the Catapult Mechanism*.

    >>> catapult_step(2.0, 5.0, 0.25, 1)
    (0.0, 2.25)
    """
    push = lr * f**2 / n
    return f * (1 - lr * curvature + lr * push), curvature + push * (lr * curvature - 4)


def catapult(product: float, n: int = 1000, steps: int = STEPS, seed: int = 0) -> Catapult:
    """La descente au taux `product`/λ₀, où λ₀ est la courbure de départ.

    Arguments : `product`, lr·λ₀, strictement positif ; `n`, la largeur ; `steps`, le nombre de pas ; `seed`, la
    graine des poids. Rend : un `Catapult`. Lève : `ValueError` ou `TypeError` pour un argument qui ne convient pas.

    >>> catapult(1.9).phase, catapult(2.5).phase, catapult(4.1).phase
    ('monotone', 'catapulte', 'diverge')
    """
    product, steps, n = check_lr(product, "product"), check_whole("steps", steps), check_whole("n", n, 1)
    check_fits("steps", steps)
    path = [output_and_curvature(*draw_weights(n, seed))]
    lr = product / path[0][1]
    while len(path) <= steps and path[-1][0] * path[-1][0] / 2 <= LOST * n:
        path.append(catapult_step(*path[-1], lr, n))
    return Catapult(lr, n, *np.array(path).T)


def landing(net: Net, data, target, products, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Où atterrit un réseau quelconque, sur le lot complet et la perte quadratique, à chaque taux product/λ₀.

    Arguments : `data` et `target`, comme pour `train` ; `products`, K valeurs de lr·λ₀. Rend : la courbure finale en
    part de λ₀, NaN si la descente a divergé, et le sommet de la perte en part de son départ, deux fois (K,).

    Lève : `ValueError` ou `TypeError`, comme `sweep`.

    >>> from toylib import gendata
    >>> landing(Net(2, seed=0).double(), *gendata(50, seed=0), [0.5, 20], steps=30)[0].round(1)
    array([1.3, nan])
    """
    products, start = check_lrs(products, "products"), max_curvature(net, data, target, loss="squared")
    rates = [product / start for product in products]
    run = sweep(net, data, target, steps, rates, optimizer="sgd", loss="squared", weights=True)
    held, shares = run.loss[:, -1] < HELD, np.full(len(rates), np.nan)
    ends = run.weights[held, -1]
    shares[held] = max_curvatures(net, ends, data, target, loss="squared", tol=1e-2) / start
    return shares, run.loss.max(axis=1) / run.loss[:, 0]


def plot_catapult(run: Catapult, axes: Sequence[Axes] | None = None, *, label: str | None = None) -> Sequence[Axes]:
    """Dessine la perte sur `axes[0]` et lr·λ, avec les lignes à 2 et à 4, sur `axes[1]`.

    Une courbe qui sort du cadre sort de la figure.

    Arguments : `axes`, deux axes, par défaut ceux d'une figure neuve ; `label`, nom dans la légende. Plusieurs
    appels superposent les courbes. Rend : `axes`. Lève : `ValueError` ou `TypeError` si un argument ne convient pas.

    >>> plot_catapult(catapult(2.5), plt.figure().subplots(1, 2))[1].get_ylabel()
    'lr·λ'
    """
    require(isinstance(run, Catapult), "run", "être un Catapult, que rend catapult", type(run).__name__, TypeError)
    left, right = axes = two_axes(axes)
    check_axes(left, label=label)
    if not left.lines:
        _format(left, right)
    style = STYLES[len(left.lines) % len(STYLES)]
    for ax, curve in zip(axes, (run.loss, run.product)):
        ax.plot(curve, linewidth=2.5, label=label or f"lr·λ₀ = {comma(run.product[0])}", **style)
    left.legend(handlelength=3.5)
    return axes


def _format(left: Axes, right: Axes) -> None:
    """L'échelle, les graduations et les noms des deux panneaux."""
    lay_axes(left, yscale="log", ylim=(1e-8, 1e8), xlabel="Pas", ylabel="Perte")
    put_ticks(left.yaxis, *POWERS, name=POWERS.get)
    lay_axes(right, ylim=(0, CEILING), yticks=range(CEILING + 1), xlabel="Pas", ylabel="lr·λ")
    for level, name in ((2, "2 : au-dessus, la perte bondit"), (4, "4 : au-dessus, la courbure monte")):
        right.axhline(level, color="0.35", linewidth=1.5)
        right.text(0.98, level + 0.08, name, transform=right.get_yaxis_transform(), ha="right", color="0.35")


def catapult_explorer(seed: int = 0) -> Demo:
    """La démonstration : la perte et lr·λ selon lr·λ₀ (commande `product`) et selon la largeur (commande `n`).

    >>> demo = catapult_explorer()
    >>> demo.wait()
    >>> demo.status.split(" · ")[2]
    'catapulte'
    >>> demo.close()
    """
    figure = make_figure((960, 460), columns=2)
    _format(*figure.axes)
    plt.setp(figure.axes, xlim=(0, STEPS))
    lines = [ax.plot([], gid=gid, linewidth=3, **STYLES[0])[0] for ax, gid in zip(figure.axes, ("loss", "product"))]

    def draw(run: Catapult) -> str:
        for line, curve in zip(lines, (run.loss, run.product)):
            line.set_data(np.arange(len(curve)), curve)
        return _status(run)

    choice = make_choice("Largeur n", {f"{n:,}".replace(",", "\u202f"): n for n in WIDTHS}, 1000)
    controls = {"product": make_slider("lr·λ₀", PRODUCTS, 2.5), "n": choice}
    return Demo(controls, lambda product, n: [catapult(product, n, seed=seed)], draw, figure, font=13)


def _status(run: Catapult) -> str:
    """La ligne d'état, de valeurs que l'arrondi des machines ne change pas."""
    parts = [f"lr·λ₀ = {comma(run.product[0])}", f"n = {run.n}", run.phase]
    if run.phase == "diverge":
        return " · ".join([*parts, f"perdue au pas {len(run.f) - 1}"])
    peak, share = run.loss.max() / run.loss[0], run.curvature[-1] / run.curvature[0]
    rise = f"pic à {comma(peak, 2)} fois la perte de départ, au pas {run.loss.argmax()}"
    landing = f"courbure finale : {comma(share, 2)} fois celle de départ"
    return " · ".join([*parts, *([rise] if run.phase == "catapulte" else []), landing])
