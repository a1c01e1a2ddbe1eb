"""Les cartes de la leçon 15 : quels couples de taux, un par couche, font converger l'entraînement ?

Source : Sohl-Dickstein, *The boundary of neural network trainability is fractal*, 2024, arXiv 2402.06184.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from toylib import Net, gendata
from toylib._checks import check_fits, check_list, check_real, check_whole, require
from toylib._tensors import to_tensor
from toylib.french import comma
from toylib.lessons.checks import check_net
from toylib.plotting import check_axes, put_ticks

LAST = 20  # dernières pertes dont la moyenne dit si l'entraînement converge
WORST = 1e6  # une perte plus haute, en part de la perte initiale, ou qui n'est plus un nombre, compte pour autant
LEVELS = (16, 64)  # points par côté des premières grilles d'une carte
# Sur l'axe des gris aussi, tout bleu est plus sombre que tout orange ; le plus sombre est le long de la frontière.
BLUES = LinearSegmentedColormap.from_list("converge", ["#3F94CF", "#0072B2", "#001B2E"])
ORANGES = LinearSegmentedColormap.from_list("diverge", ["#FFF4E8", "#F9CFA0", "#E58A1F"])


class Region(NamedTuple):
    """Un rectangle du plan des deux taux, en puissances de dix : taux de la couche cachée, puis de la sortie.

    >>> Region(-2, 4, -3, 3).zoom((0, 0), 2)
    Region(left=-1.5, right=1.5, bottom=-1.5, top=1.5)
    """

    left: float
    right: float
    bottom: float
    top: float

    def zoom(self, center: tuple[float, float], factor: float = 8) -> "Region":
        """La région `factor` fois plus petite dont `center`, en puissances de dix, est le centre.

        Lève : `ValueError` ou `TypeError` si l'un des deux ne convient pas.
        """
        factor = check_real("factor", factor, 1e-3, 1e30, "être entre 0,001 et 1e30")
        x, y = _numbers("center", center, ("x", "y"))
        width, height = (self.right - self.left) / factor, (self.top - self.bottom) / factor
        return Region(x - width / 2, x + width / 2, y - height / 2, y + height / 2)

    def axes(self, resolution: int) -> tuple[np.ndarray, np.ndarray]:
        """Les milieux de `resolution` intervalles de chaque axe, en puissances de dix : deux fois (resolution,)."""
        middles = (np.arange(resolution) + 0.5) / resolution
        return self.left + (self.right - self.left) * middles, self.bottom + (self.top - self.bottom) * middles

    def rates(self, resolution: int) -> np.ndarray:
        """Les couples de taux, (resolution, resolution, 2) : une ligne par taux de la sortie, croissant."""
        return 10 ** np.stack(np.meshgrid(*self.axes(resolution)), axis=-1)

    def resolves(self, resolution: int) -> bool:
        """Vrai si les milieux de `resolution` intervalles de chaque axe sont des nombres différents, en float64."""
        return all(len(np.unique(axis)) == resolution for axis in self.axes(resolution))


def check_region(region: Region, resolution: int) -> Region:
    """Rend la région `region`, ou celle de ces quatre bornes.

    Lève : `ValueError` ou `TypeError` si ce ne sont pas quatre nombres croissants deux à deux, s'ils sont trop proches
    pour que `resolution` taux s'y distinguent, ou si la mémoire ne tient pas autant de points.

    >>> check_region((-2, 4, -3, 3), 64)
    Region(left=-2.0, right=4.0, bottom=-3.0, top=3.0)
    """
    check_fits("resolution", check_whole("resolution", resolution, 2) ** 2)
    region = Region(*_numbers("region", region, Region._fields))
    rising = region.left < region.right and region.bottom < region.top
    require(rising, "region", "avoir left < right et bottom < top", tuple(region))
    require(region.resolves(resolution), "region", f"être assez grande pour {resolution} taux distincts", tuple(region))
    return region


def _numbers(name: str, values, parts: Sequence[str]) -> list[float]:
    """Les nombres de la suite `values`, un par nom de `parts` : des puissances de dix que float64 sait écrire."""
    wanted = f"une suite de {len(parts)} nombres, {', '.join(parts)}"
    values = check_list(name, values, wanted)
    require(len(values) == len(parts), name, f"être {wanted}", values)
    pairs = zip(parts, values)
    return [check_real(f"{name}.{part}", one, -300, 300, "être entre -300 et 300") for part, one in pairs]


START = Region(-3, 6, -3, 6)  # la région de la leçon, et de l'article


class Problem(NamedTuple):
    """Ce que chaque point d'une carte entraîne : les poids, sans les biais, d'un réseau à une couche cachée."""

    model: Net
    data: np.ndarray
    target: np.ndarray
    steps: int = 100


def check_problem(problem: Problem) -> Problem:
    """Rend le problème. Lève : `ValueError` ou `TypeError`, avant que rien ne soit entraîné.

    >>> check_problem(make_problem(5)).steps
    5
    """
    found = type(problem).__name__
    require(isinstance(problem, Problem), "problem", "être un Problem, que fait `make_problem`", found, TypeError)
    check_whole("steps", problem.steps, 1)
    check_net(*problem[:3])
    tanh = problem.model.tanh
    require(tanh == (True,), "model", "avoir une couche cachée, suivie de tanh", f"tanh={tanh}")
    return problem


def make_problem(steps: int = 100) -> Problem:
    """Le problème de la leçon : 8 entrées, 8 neurones cachés, autant de points, 80, que de poids.

    Les classes sont tirées à pile ou face ; les entrées sont doublées, pour que tanh en reçoive de grandes comme
    de petites. Tout est en float64 : un zoom distingue des taux très voisins.

    >>> make_problem().data.shape
    (80, 8)
    """
    data, target = gendata(80, 8, rule="random", seed=0)
    return Problem(Net(8, hidden=(8,), seed=0).double(), 2 * data, target, check_whole("steps", steps, 1))


@dataclass(frozen=True, eq=False)
class Map:
    """Une carte, ou ce que l'on en connaît : pour chaque couple de taux, l'entraînement converge-t-il ?

    Champs : `region` ; `values`, float64 (R, R), une ligne par taux de la sortie, du plus petit au plus grand,
    une colonne par taux de la couche cachée. Négative là où l'entraînement converge, positive là où il diverge,
    d'autant plus grande en valeur absolue qu'il est lent ; NaN là où il n'est pas encore calculé.
    """

    region: Region
    values: np.ndarray

    @property
    def converges(self) -> np.ndarray:
        """Vrai là où l'entraînement converge, (R, R)."""
        return self.values < 0

    @property
    def share(self) -> float:
        """La part des points calculés qui convergent."""
        known = np.isfinite(self.values)
        return float(self.converges[known].mean()) if known.any() else 0.0

    @property
    def reached(self) -> int:
        """Les points par côté de la plus fine grille déjà complète ; 0 au début."""
        side = len(self.values)
        whole = [side // gap for gap in gaps(side) if np.isfinite(self.values[::gap, ::gap]).all()]
        return max(whole, default=0)

    def filled(self) -> np.ndarray:
        """Les valeurs (R, R), où chaque point inconnu prend celle d'un point de la grille plus grossière."""
        result = np.full_like(self.values, np.nan)
        for gap in gaps(len(self.values)):
            block = self.values[::gap, ::gap].repeat(gap, axis=0).repeat(gap, axis=1)
            result = np.where(np.isnan(block), result, block)
        return result


def check_map(name: str, chart: Map) -> Map:
    """Rend la carte `chart`. Lève : `TypeError` si ce n'en est pas une.

    >>> check_map("chart", Map(START, np.ones((2, 2)))).share
    0.0
    """
    require(isinstance(chart, Map), name, "être une carte, que fait `training_map`", type(chart).__name__, TypeError)
    return chart


def gaps(resolution: int) -> list[int]:
    """Les grilles emboîtées d'une carte, de la plus grossière à la carte entière : chacune prend un point sur tant.

    >>> gaps(128), gaps(48)
    ([8, 2, 1], [3, 1])
    """
    return [resolution // size for size in LEVELS if size < resolution and resolution % size == 0] + [1]


def descend(problem: Problem, rates) -> np.ndarray:
    """Entraîne un réseau par couple de taux, en lot complet, tous ensemble : la descente de gradient, et rien d'autre.

    Argument : `rates`, (K, 2), le taux de la couche cachée et celui de la sortie.

    Rend : float64 (K, steps + 1), la perte quadratique avant chaque pas et après le dernier.

    Lève : `ValueError` ou `TypeError` si `rates` ne convient pas.

    >>> descend(make_problem(), [[0.1, 0.1]])[0, [0, 100]].round(1).tolist()
    [0.6, 0.4]
    """
    rates = to_tensor("rates", rates, torch.float64)
    require(rates.shape[1:] == (2,), "rates", "être de forme (K, 2), un couple de taux par ligne", tuple(rates.shape))
    sound = (rates > 0).all() and rates.isfinite().all()
    require(sound, "rates", "être fait de taux finis et strictement positifs", rates.tolist())
    x, y, W, V = _start(problem, len(rates))
    lr, lr_out = rates.T[..., None, None] / x.shape[2]
    losses = torch.empty(len(rates), problem.steps + 1, dtype=torch.float64)
    for step in range(problem.steps + 1):
        h = torch.bmm(W, x).mul_(2).sigmoid_().mul_(2).sub_(1)  # tanh u = 2 σ(2u) - 1, plus rapide
        error = torch.bmm(V, h).sub_(y)
        losses[:, step] = error.square().sum(dim=(1, 2)) / (2 * x.shape[2])
        back = torch.bmm(V.mT, error)
        V -= lr_out * torch.bmm(error, h.mT)
        W -= lr * torch.bmm(back.addcmul_(back, h.square_(), value=-1), x.mT)
    return losses.numpy()


def _start(problem: Problem, count: int) -> tuple[torch.Tensor, ...]:
    """Les entrées (K, 8, n), les cibles (2, n), et K copies des poids des deux couches."""
    x, y = (torch.as_tensor(one, dtype=torch.float64).T.contiguous() for one in (problem.data, problem.target))
    layers = (problem.model.hidden[0], problem.model.output)
    return x.expand(count, *x.shape), y, *(layer.weight.detach().double().repeat(count, 1, 1) for layer in layers)


def pair_values(problem: Problem, rates) -> np.ndarray:
    """La valeur, sur une carte, de chaque couple de `rates`, (K, 2) ; rend float64 (K,).

    >>> pair_values(make_problem(), [[0.1, 0.1], [0.1, 100]]) < 0
    array([ True, False])
    """
    return loss_values(descend(problem, rates))


def loss_values(loss: np.ndarray) -> np.ndarray:
    """La valeur, sur une carte, de K courbes de perte (K, steps + 1) ; rend float64 (K,).

    Chaque perte est comptée en part de la perte initiale. L'entraînement **converge** si la moyenne des vingt
    dernières est inférieure à 1 : la valeur est alors l'opposé de leur somme, petite s'il est rapide. Sinon il
    **diverge** : la valeur est la somme de leurs inverses, petite si la perte explose vite.

    Source : Sohl-Dickstein, 2024 ; code publié, fonction `convergence_measure`.

    >>> loss_values(np.array([[4.0, 2.0, 1.0], [1.0, 2.0, np.nan]])).round(2).tolist()
    [-1.75, 1.5]
    """
    parts = np.minimum(np.nan_to_num(loss / loss[:, :1], nan=WORST, posinf=WORST), WORST)
    converges = parts[:, -min(LAST, parts.shape[1] - 1) :].mean(axis=1) < 1
    return np.where(converges, -parts.sum(axis=1), (1 / parts.clip(min=1 / WORST)).sum(axis=1))


def frontier(converges: np.ndarray) -> np.ndarray:
    """Les cases de la frontière : leurs quatre coins ne sont pas tous du même côté.

    Argument : `converges`, booléens (R, R). Rend : booléens (R - 1, R - 1).
    Source : Sohl-Dickstein, 2024 ; code publié, fonction `extract_edges`.

    >>> frontier(np.array([[True, True, False], [True, True, False]])).tolist()
    [[False, True]]
    """
    converges = np.asarray(converges)
    sound = converges.ndim == 2 and min(converges.shape) > 1 and converges.dtype == bool
    found = f"forme {converges.shape}, de dtype {converges.dtype}"
    require(sound, "converges", "être un tableau de booléens, de deux lignes et deux colonnes au moins", found)
    corners = (converges[1:, 1:], converges[1:, :-1], converges[:-1, 1:], converges[:-1, :-1])
    return np.any(corners, axis=0) & ~np.all(corners, axis=0)


def box_counts(cells: np.ndarray) -> dict[int, int]:
    """Combien de boîtes touchent l'ensemble `cells`, booléens (N, N), selon leur côté : 1, 2, 4, …, N / 8 au plus.

    >>> box_counts(np.eye(32, dtype=bool))
    {1: 32, 2: 16, 4: 8}
    """
    cells = np.asarray(cells, dtype=bool)
    sound = cells.ndim == 2 and 15 <= cells.shape[0] == cells.shape[1] and cells.any()
    require(sound, "cells", "être un carré d'au moins 15 cases, non vide", cells.shape)
    counts, side = {}, 1
    while side <= (len(cells) + 1) // 8:
        padded = np.pad(cells, (0, -len(cells) % side))
        boxes = padded.reshape(len(padded) // side, side, -1, side).any(axis=(1, 3))
        counts[side] = int(boxes.sum())
        side *= 2
    return counts


def dimension(cells: np.ndarray) -> float:
    """La dimension par comptage de boîtes de l'ensemble `cells`, booléens (N, N).

    Quand le côté des boîtes double, leur nombre est divisé par 2 puissance D : la médiane de ces D.

    Source : Sohl-Dickstein, 2024, qui prend de même la médiane des pentes. Lève : `ValueError`.

    >>> dimension(np.eye(64, dtype=bool)), dimension(np.ones((64, 64)))
    (1.0, 2.0)
    """
    counts = np.array(list(box_counts(cells).values()))
    return float(np.median(np.log2(counts[:-1] / counts[1:])))


def shuffle(chart: Map) -> Map:
    """Le témoin d'une carte : les mêmes points, battus au hasard (graine 0) ; il n'en reste que la part de bleu.

    >>> shuffle(Map(START, np.diag([-1.0, 1.0, 1.0]))).values.sum()
    np.float64(1.0)
    """
    check_map("chart", chart)
    mixed = np.random.default_rng(0).permutation(chart.values.ravel())
    return Map(chart.region, mixed.reshape(chart.values.shape))


def colors(values: np.ndarray) -> np.ndarray:
    """Les couleurs (R, R, 3) d'une carte : bleu là où l'entraînement converge, orange là où il diverge.

    La teinte est le rang parmi les points du même côté : la plus sombre au plus lent. Blanc : pas de valeur.
    """
    picture = np.ones((*values.shape, 3))
    for side, ramp in ((values < 0, BLUES), (values > 0, ORANGES)):
        slow = np.sort(abs(values[side]))
        picture[side] = ramp(np.searchsorted(slow, abs(values[side])) / max(1, len(slow) - 1))[:, :3]
    return picture


def plot_map(chart: Map, ax: Axes | None = None) -> Axes:
    """Dessine une carte ; rend les axes `ax`, gradués en puissances de dix.

    >>> from matplotlib.figure import Figure
    >>> plot_map(Map(Region(-2, 4, -3, 3), np.full((2, 2), -1.0)), Figure().subplots()).get_xlabel()
    'Taux de la couche cachée : 10 puissance…'
    """
    check_map("chart", chart)
    ax = check_axes(ax)
    ax.imshow(colors(chart.filled()), extent=chart.region, origin="lower", aspect="auto", interpolation="nearest")
    format_map(ax, chart.region)
    return ax


def format_map(ax: Axes, region: Region) -> None:
    """Les noms et les graduations des axes d'une carte de `region`."""
    ax.set(xlim=region[:2], ylim=region[2:], aspect="auto")
    ax.set(xlabel="Taux de la couche cachée : 10 puissance…", ylabel="Taux de la sortie : 10 puissance…")
    ax.locator_params(nbins=5)
    for axis in (ax.xaxis, ax.yaxis):
        put_ticks(axis, name=lambda power: comma(power, 10))
