"""Les figures : chaque fonction dessine sur des axes `ax` et les rend. Nombres à virgule décimale."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, to_rgb
from torch import nn
from torch.nn.functional import one_hot

from toylib._checks import check_choice, require, shown
from toylib._tensors import as_tensors, count_classes, mode
from toylib.french import METRIC_NAMES, comma, percent
from toylib.network import Net
from toylib.sweep import Sweep, median
from toylib.training import History

# Okabe & Ito, « Color Universal Design », 2008. Par couleur : le trait d'une courbe, qui change avec elle ; la forme
# des points d'une classe, et le fond de sa région.
_PALETTE: tuple[tuple[str, Any, str, str], ...] = (
    ("#0072B2", "-", "^", "#CFE3F1"),
    ("#D55E00", (0, (6, 2)), "o", "#FBE3D0"),
    ("#009E73", (0, (1.2, 1.2)), "s", "#CFEDE3"),
    ("#CC79A7", (0, (8, 2, 1.5, 2)), "D", "#F5E4ED"),
    ("#000000", (0, (3, 1, 1, 1, 1, 1)), "v", "#DDDDDD"),
    ("#56B4E9", (0, (12, 3)), "P", "#E3F3FC"),
)
STYLES: tuple[dict[str, Any], ...] = tuple({"color": color, "linestyle": dash} for color, dash, *_ in _PALETTE)
CLASSES = tuple((color, *points) for color, _, *points in (_PALETTE[1], _PALETTE[0], *_PALETTE[2:]))
LOSS_RANGE = (1e-3, 10.0)
_number = partial(comma, digits=6)  # le nom d'une graduation


def plot_history(history: History, ax: Axes | None = None, *, metric: str = "loss", label: str | None = None) -> Axes:
    """Ajoute aux axes `ax` une courbe d'entraînement, et celle de validation, plus fine, s'il y en a une.

    Arguments :
        history : ce que `train` rend.
        ax : axes matplotlib ; par défaut, ceux de la figure courante.
        metric : "loss" (échelle logarithmique) ou "accuracy".
        label : nom de la courbe dans la légende.

    Rend : `ax`. Lève : `TypeError` ou `ValueError` si `history` ou `metric` ne convient pas.

    Plusieurs appels sur les mêmes axes superposent les courbes ; couleur et trait diffèrent.

    >>> _, ax = plt.subplots()
    >>> plot_history(History.of([(0.7, 0.5), (0.2, 0.9)]), ax).get_xlabel()
    'Époque'
    """
    found = type(history).__name__
    require(isinstance(history, History), "history", "être un History, que rend train", found, TypeError)
    ax = check_axes(ax, metric, label)
    style = STYLES[len(ax.lines) % len(STYLES)]
    for curve, name in _curves(history, metric, label):
        ax.plot(curve, **name, **style)
    format_axes(ax, metric)
    _draw_legend(ax)
    return ax


def check_axes(ax: Axes | None, metric: str = "loss", label: str | None = None) -> Axes:
    """Les axes où dessiner, ceux de la figure courante par défaut ; `label` doit être un texte.

    >>> ax = plt.figure().gca()
    >>> check_axes(None) is ax
    True
    """
    check_choice("metric", metric, METRIC_NAMES)
    found = type(ax).__name__
    require(isinstance(ax, Axes | None), "ax", "être les axes d'un seul graphique (Axes)", found, TypeError)
    require(isinstance(label, str | None), "label", "être un texte", shown(label), TypeError)
    return plt.gca() if ax is None else ax


def _curves(curves: History | Sweep, metric: str, label: str | None) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    """La courbe de `metric`, puis, s'il y en a une, celle de validation, plus fine ; et comment les tracer."""
    valid = "validation" if label is None else f"{label}, validation"
    for field, name, width in ((metric, label, 2.5), (f"valid_{metric}", valid, 1.2)):
        if getattr(curves, field) is not None:
            yield drawable(getattr(curves, field), metric), {"label": name, "linewidth": width}


def _draw_legend(ax: Axes, top: Axes | None = None) -> None:
    """La légende des courbes de `ax` qui ont un nom, sur les axes `top`."""
    handles, names = ax.get_legend_handles_labels()
    if names:
        (top or ax).legend(handles, names, handlelength=3.5)


def drawable(curve: np.ndarray, metric: str) -> np.ndarray:
    """La courbe que l'on trace : une perte qui n'est plus un nombre reste au sommet des axes.

    >>> drawable(np.array([0.7, np.nan, 1e9]), "loss").tolist()
    [0.7, 10.0, 10.0]
    """
    return curve if metric == "accuracy" else np.clip(np.nan_to_num(curve, nan=np.inf), *LOSS_RANGE)


def format_axes(ax: Axes, metric: str) -> None:
    """Donne aux axes l'échelle, les graduations et les noms français de `metric`.

    >>> _, ax = plt.subplots()
    >>> format_axes(ax, "accuracy")
    >>> ax.get_ylabel()
    'Exactitude'
    """
    low, high = LOSS_RANGE
    loss, accuracy = ("log", (low / 1.1, high * 1.1), _number), ("linear", (0, 1.02), percent)
    scale, limits, name = loss if metric == "loss" else accuracy
    ax.set(xlabel="Époque", ylabel=METRIC_NAMES[metric], yscale=scale, ylim=limits)
    ax.grid(color="0.88")
    ax.set_axisbelow(True)
    put_ticks(ax.xaxis)
    put_ticks(ax.yaxis, name=name)


def put_ticks(axis: Axis, *values: float, name: Callable[[float], str] = _number) -> None:
    """Gradue l'axe `axis`, comme `ax.xaxis`, aux valeurs données, ou sinon là où matplotlib les met.

    `name` écrit chaque graduation : `comma`, par défaut, ou `percent`.

    >>> _, ax = plt.subplots()
    >>> put_ticks(ax.yaxis, 0, 0.5, name=percent)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['0\\xa0%', '50\\xa0%']
    """
    if values:
        axis.set_ticks(values)
    axis.set_major_formatter(lambda value, _: name(value).replace("-", "−"))
    axis.set_minor_formatter("")


def plot_sweep(sweep: Sweep, ax: Axes | None = None, *, metric: str | None = None, label: str | None = None) -> Axes:
    """Dessine la perte et l'exactitude finales selon le taux d'apprentissage, et nomme les trois zones.

    Arguments :
        sweep : ce que `sweep` rend ; de plusieurs réseaux, une bande va du plus bas au plus haut, autour
            de la médiane.
        ax : axes matplotlib ; par défaut, ceux de la figure courante.
        metric : "loss" ou "accuracy" ; par défaut les deux, l'exactitude sur un second axe, à droite.
        label : nom de la courbe dans la légende ; une courbe nommée se compare à d'autres, sans les zones.

    Rend : `ax`. Lève : `TypeError` ou `ValueError` si `sweep` ou `metric` ne convient pas.

    Le bon domaine est celui de `Sweep.good`. Un jeu de validation est tracé en trait plus fin.

    >>> curves = np.array([[0.7, 0.7], [0.7, 0.1], [0.7, 3.0]])
    >>> ax = plot_sweep(Sweep(np.array([0.001, 0.1, 1.0]), curves, curves), plt.figure().gca())
    >>> [text.get_text() for text in ax.texts]
    ['trop petit', 'bon', 'trop grand']
    """
    _check_sweep(sweep)
    top = ax = check_axes(ax, "loss" if metric is None else metric, label)
    if label is None:
        _draw_zones(ax, sweep)
    if metric is None:
        top = ax.twinx()
        for axis, name, style in ((ax, "loss", STYLES[0]), (top, "accuracy", STYLES[1])):
            _draw_final(axis, sweep, name, label, style)
            axis.yaxis.label.set_color(style["color"])
        top.grid(visible=False)
    else:
        _draw_final(ax, sweep, metric, label, STYLES[len(ax.lines) % len(STYLES)])
    _draw_legend(ax, top)
    return ax


def _check_sweep(sweep: Sweep) -> None:
    require(isinstance(sweep, Sweep), "sweep", "être un Sweep, que rend sweep", type(sweep).__name__, TypeError)
    require(sweep.lrs.ndim == 1, "sweep", "être fait d'un taux par copie", "un taux par couche")


def _draw_final(ax: Axes, sweep: Sweep, metric: str, label: str | None, style: dict) -> None:
    """La valeur finale de `metric` selon le taux, en échelle logarithmique."""
    order = sweep.lrs.argsort()
    lrs = sweep.lrs[order]
    for curves, name in _curves(sweep, metric, label):
        final = np.atleast_2d(curves[..., order, -1])
        if len(final) > 1:
            ax.fill_between(lrs, final.min(axis=0), final.max(axis=0), color=style["color"], alpha=0.2, linewidth=0)
        ax.plot(lrs, np.median(final, axis=0), **name, **style)
    ax.set(xscale="log", xlim=(lrs[0] / 1.02, lrs[-1] * 1.02))
    format_axes(ax, metric)
    ax.set(xlabel="Taux d'apprentissage", ylabel=f"{METRIC_NAMES[metric]}, à la fin")


def _draw_zones(ax: Axes, sweep: Sweep) -> None:
    """Le domaine des bons taux en fond clair, et le nom de chaque zone en haut."""
    lrs, good = np.sort(sweep.lrs), sweep.good()
    edges = np.array([lrs[0] / 1.02, *np.sqrt(lrs[1:] * lrs[:-1]), lrs[-1] * 1.02])  # à mi-chemin de deux taux
    if good is None:
        zones = [("aucun taux n'apprend", edges[0], edges[-1])]
    else:
        low, high = edges[np.searchsorted(lrs, good[0])], edges[np.searchsorted(lrs, good[1], side="right")]
        zones = [("trop petit", edges[0], low), ("bon", low, high), ("trop grand", high, edges[-1])]
        ax.axvspan(low, high, color="#009E73", alpha=0.12, linewidth=0)
    for name, start, end in zones:
        if start < end:
            ax.text(np.sqrt(start * end), 1.02, name, transform=ax.get_xaxis_transform(), ha="center", va="bottom")


def plot_curves(sweep: Sweep, ax: Axes | None = None, *, metric: str = "loss") -> Axes:
    """Dessine le faisceau des courbes d'un balayage, une par taux, du plus sombre au plus clair.

    Arguments :
        sweep : ce que `sweep` rend ; de plusieurs réseaux, les courbes médianes.
        ax : axes matplotlib ; par défaut, ceux de la figure courante.
        metric : "loss" ou "accuracy".

    Rend : `ax`, à côté duquel une barre de couleurs donne les taux. Lève : `TypeError` ou `ValueError`
    si `sweep` ou `metric` ne convient pas.

    >>> curves = np.array([[0.7, 0.5], [0.7, 0.1]])
    >>> len(plot_curves(Sweep(np.array([0.01, 0.1]), curves, curves), plt.figure().gca()).lines)
    2
    """
    _check_sweep(sweep)
    ax = check_axes(ax, metric)
    colors = ScalarMappable(LogNorm(sweep.lrs.min() / 1.01, sweep.lrs.max() * 1.01), "viridis")
    for lr, curve in zip(sweep.lrs, median(getattr(sweep, metric))):
        ax.plot(drawable(curve, metric), color=colors.to_rgba(lr), linewidth=1.5)
    format_axes(ax, metric)
    bar = ax.figure.colorbar(colors, ax=ax, label="Taux d'apprentissage")
    put_ticks(bar.ax.yaxis)
    return ax


def plot_data(data, target, ax: Axes | None = None) -> Axes:
    """Dessine des échantillons à deux entrées : ronds pour la classe 0, triangles pour la classe 1.

    Arguments :
        data : entrées (n, 2) ; target : classes, lignes one-hot (n, classes) ou indices (n,), six au plus.
        ax : axes matplotlib ; par défaut, ceux de la figure courante.

    Rend : `ax`. Lève : `ValueError` ou `TypeError`, comme `test`.

    >>> _, ax = plt.subplots()
    >>> plot_data([[0.1, -1], [-2, 0.3]], [0, 1], ax).get_ylabel()
    'Seconde entrée'
    """
    classes = count_classes("target", target)
    check_drawn("target", classes)
    x, labels = as_tensors(Net(2, classes, hidden=(), seed=0), data, target)
    ax = check_axes(ax)
    for k, (color, marker, _) in enumerate(CLASSES[:classes]):
        style: dict[str, Any] = {"s": 22, "c": color, "marker": marker, "edgecolors": "white", "linewidths": 0.4}
        ax.scatter(*x[labels == k].T.numpy(), label=f"classe {k}", **style)
    ax.set(xlabel="Première entrée", ylabel="Seconde entrée")
    put_ticks(ax.xaxis)
    put_ticks(ax.yaxis)
    ax.legend(loc="lower left")
    return ax


def check_drawn(name: str, classes: int) -> None:
    """Lève `ValueError` si `name` a plus de classes que les figures n'ont de couleurs.

    >>> check_drawn("target", 6)
    """
    require(classes <= len(CLASSES), name, f"avoir {len(CLASSES)} classes au plus pour une figure", classes)


def plot_boundary(model: nn.Module, data, target, ax: Axes | None = None) -> Axes:
    """Dessine dans le plan des deux entrées les régions que `model` attribue à chaque classe.

    Arguments :
        model : un `Net`, ou tout `nn.Module`, à 2 entrées, et 2 à 6 sorties ; il est mesuré en mode `eval`.
        data, target, ax : comme pour `plot_data`.

    Rend : `ax`. Lève : `ValueError` ou `TypeError`, comme `test`.

    La frontière, en noir, est la ligne où deux classes ont la même probabilité, la plus haute.

    >>> _, ax = plt.subplots()
    >>> plot_boundary(Net(2, seed=0), [[0.1, -1], [-2, 0.3]], [0, 1], ax).get_xlabel()
    'Première entrée'
    """
    x, labels = (part.cpu() for part in as_tensors(model, data, target))
    require(x.shape[1] == 2, "model", "avoir 2 entrées, pour une figure", x.shape[1])
    most = float(x.abs().max())
    require(most <= 1e30, "data", "être fait de nombres d'au plus 1e30, pour une figure", most)
    sides = [plane_side(c, 200) for c in x.T]
    shares = plane_shares(model, *sides)
    require(len(shares) >= 2, "model", "avoir 2 sorties au moins", len(shares))
    check_drawn("model", len(shares))
    ax = plot_data(data, one_hot(labels, len(shares)), ax)
    left, right, bottom, top = (float(side[k]) for side in sides for k in (0, -1))
    colors = np.array([to_rgb(region) for *_, region in CLASSES])[shares.argmax(axis=0)]
    ax.imshow(colors, extent=(left, right, bottom, top), origin="lower", aspect="auto", zorder=0)
    for lead in leads(shares):
        ax.contour(*sides, lead, levels=[0.0], colors="black", zorder=0.5)
    return ax


def plane_side(values: torch.Tensor, n: int) -> torch.Tensor:
    """Les `n` abscisses d'un fond qui déborde un peu des points d'abscisses `values`, ou de même les ordonnées.

    >>> plane_side(torch.zeros(3), 200)[[0, -1]]
    tensor([-0.2000,  0.2000])
    """
    margin = max(0.2, 1e-6 * float(values.abs().max()))  # 0,2 se perdrait dans l'arrondi d'un milliard
    return torch.linspace(values.min() - margin, values.max() + margin, n, dtype=values.dtype, device="cpu")


def plane_shares(model: nn.Module, horizontal: torch.Tensor, vertical: torch.Tensor) -> np.ndarray:
    """La probabilité que `model` donne à chaque classe en chaque point d'une grille du plan des deux entrées.

    Rend : (classes, len(vertical), len(horizontal)), une ligne par ordonnée.

    >>> plane_shares(Net(2, seed=0), torch.zeros(3), torch.zeros(4)).shape
    (2, 4, 3)
    """
    plane = torch.cartesian_prod(horizontal, vertical).to(next(model.parameters()).device)
    with torch.inference_mode(), mode(model, training=False):
        return model(plane).softmax(dim=1).T.unflatten(1, (len(horizontal), len(vertical))).mT.numpy(force=True)


def leads(shares: np.ndarray) -> list[np.ndarray]:
    """Pour chaque classe après la première, son avance sur la plus probable des autres ; nulle sur sa frontière.

    >>> leads(np.array([[0.2], [0.5], [0.3]]))[0].round(1).tolist()
    [0.2]
    """
    return [shares[k] - np.delete(shares, k, axis=0).max(axis=0) for k in range(1, len(shares))]
