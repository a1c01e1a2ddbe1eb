"""La démonstration de la leçon 05 : une époque d'un très petit réseau, étape par étape, en un schéma."""

from copy import deepcopy
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from torch.nn.functional import cross_entropy, one_hot

from toylib import Net, train
from toylib._checks import check_lr, check_whole, require
from toylib.explorer.controls import make_slider
from toylib.explorer.live import Demo
from toylib.explorer.stage import make_figure
from toylib.french import comma
from toylib.lessons.checks import check_net
from toylib.plotting import STYLES, check_axes

STEPS = (
    "les entrées et les poids",
    "aller → h₁ = tanh(W₁ x + b₁)",
    "aller → h₂ = tanh(W₂ h₁ + b₂)",
    "aller → p = softmax(W₃ h₂ + b₃)",
    "aller → perte = moyenne de −ln(p de la bonne classe)",
    "retour ← δ₃ = (p − y)/n · gradient g = somme des δ₃ × h₂",
    "retour ← δ₂ = (somme des w × δ₃) × (1 − h₂²) · g = somme des δ₂ × h₁",
    "retour ← δ₁ = (somme des w × δ₂) × (1 − h₁²) · g = somme des δ₁ × x",
    "mise à jour w ← w − lr × g, puis un nouvel aller",
)
_LAST = len(STEPS) - 1
_COLUMNS = ("entrées x", "h₁", "h₂", "p")


class Pass(NamedTuple):
    """Un aller et un retour : ce que chaque étape calcule.

    Champs : `values`, les entrées puis les sorties de chaque couche, (n, largeur) ; `loss`, la perte
    moyenne ; `deltas`, sa dérivée par rapport à la somme pondérée de chaque neurone, (n, largeur) ;
    `gradients`, sa dérivée par rapport aux poids de chaque couche, (sorties, entrées).
    """

    values: list[torch.Tensor]
    targets: torch.Tensor
    loss: float
    deltas: list[torch.Tensor]
    gradients: list[torch.Tensor]


@torch.inference_mode(False)
@torch.enable_grad()
def run_pass(model: Net, data, target) -> Pass:
    """Un aller et un retour de `model`, par la dérivation automatique de PyTorch.

    Arguments :
        model : un réseau à deux couches cachées, chacune suivie de tanh ; il n'est pas modifié.
        data, target : comme pour `train`.

    Rend : un `Pass`. Lève : `ValueError` ou `TypeError`, comme `train`, ou si `model` ne convient pas.

    >>> run = run_pass(Net(2, hidden=(2, 2), seed=3), [[-1.0, -0.5], [0.5, 0.5]], [0, 1])
    >>> [tuple(delta.shape) for delta in run.deltas], round(run.loss, 2)
    ([(2, 2), (2, 2), (2, 2)], 0.83)
    """
    x, labels = check_net(model, data, target)
    require(model.tanh == (True, True), "model", "avoir deux couches cachées, avec tanh", f"tanh = {model.tanh}")
    model, values, sums = deepcopy(model), [x], []  # une copie : le sien a pu naître sous `inference_mode`
    for layer in _layers(model):
        sums.append(layer(values[-1]))
        values.append(sums[-1].tanh())
    values[-1] = sums[-1].softmax(dim=1)
    loss = cross_entropy(sums[-1], labels)
    grads = torch.autograd.grad(loss, [*sums, *(layer.weight for layer in _layers(model))])
    targets = one_hot(labels, model.nout)
    return Pass([value.detach() for value in values], targets, loss.item(), list(grads[:3]), list(grads[3:]))


@torch.inference_mode(False)
@torch.enable_grad()
def plot_step(model: Net, data, target, step: int, lr: float = 1.0, *, ax: Axes) -> Axes:
    """Dessine le réseau, et ce que l'on en sait à l'étape `step` d'une époque de descente de gradient.

    Arguments :
        model : un réseau à deux couches cachées, chacune suivie de tanh ; il n'est pas modifié.
        data, target : un ou deux échantillons, nommés A et B, et leur classe, comme pour `train`.
        step : de 0 (les entrées) à 8 (la mise à jour, puis l'aller suivant) ; `STEPS` les nomme.
        lr : taux d'apprentissage de la mise à jour.
        ax : axes matplotlib.

    Rend : `ax`. Lève : `ValueError` ou `TypeError` si un argument ne convient pas.

    Bleu : positif ; orange : négatif. Un lien porte son poids w puis, au retour, son gradient g.

    >>> (ax,) = make_figure().axes
    >>> plot_step(Net(2, hidden=(2, 2), seed=3), [[-1.0, -0.5]], [0], 1, ax=ax).get_title()
    'Étape 1 sur 8 · aller → h₁ = tanh(W₁ x + b₁)'
    """
    run, ax = run_pass(model, data, target), check_axes(ax)
    require(check_whole("step", step) <= _LAST, "step", f"être un entier entre 0 et {_LAST}", step)
    lr = check_lr(lr, dtype=run.values[0].dtype)
    require(len(run.values[0]) <= 2, "data", "avoir un ou deux échantillons", len(run.values[0]))
    losses = [_text(run.loss) if step >= 4 else "?"]
    if step == _LAST:
        model = deepcopy(model)
        train(model, data, target, 1, lr, optimizer="sgd", seed=0)
        run = run_pass(model, data, target)
        losses.append(_text(run.loss))
    for k, layer in enumerate(_layers(model)):
        _draw_layer(ax, k, layer, run if 7 - k <= step < _LAST else None)
    for k, value in enumerate(run.values):
        _draw_column(ax, k, value, shown=k <= step, active=step in (k, _LAST - k) and step < _LAST)
    _draw_targets(ax, run.targets)
    _draw_box(ax, 4.2, 0, "perte\n" + " → ".join(losses), active=step in (4, _LAST))
    ax.set(xlim=(-0.4, 4.6), ylim=(-2, 1.6), title=f"Étape {step} sur {_LAST} · {STEPS[step]}")
    ax.set(frame_on=False, xticks=[], yticks=[])
    return ax


def step_explorer(model: Net, data, target) -> Demo:
    """La démonstration : le schéma de `plot_step`, selon l'étape et le taux d'apprentissage ; mêmes arguments.

    >>> demo = step_explorer(Net(2, hidden=(2, 2), seed=3), [[-1.0, -0.5]], [0])
    >>> demo.set(step=1)
    >>> demo.wait()
    >>> demo.status
    'Étape 1 sur 8 · aller → h₁ = tanh(W₁ x + b₁)'
    >>> demo.close()
    """
    figure = make_figure((1100, 520))
    (ax,) = figure.axes

    def draw(values: dict) -> str:
        ax.clear()
        return plot_step(model, data, target, **values, ax=ax).get_title()

    draw({"step": 0})  # ce qui ne convient pas est refusé avant qu'un curseur ne bouge
    steps, rates = range(len(STEPS)), (0.01, 0.1, 0.3, 1, 2, 3, 5, 10, 30)
    controls = {"step": make_slider("Étape", steps, 4, str), "lr": make_slider("Taux d'apprentissage", rates, 0.1)}
    return Demo(controls, lambda **values: [values], draw, figure, whole=True)


def _layers(model: Net) -> list[torch.nn.Linear]:
    """Les couches linéaires, de la première à la sortie."""
    return [*model.hidden, model.output]


def _heights(width: int) -> np.ndarray:
    """Les ordonnées des neurones d'une colonne, le premier en haut."""
    return np.linspace(1, -1, width) if width > 1 else np.zeros(1)


def _text(number: float) -> str:
    """Un nombre à deux chiffres significatifs, avec un vrai signe moins."""
    return comma(float(number), 2).replace("-", "−")


def _samples(values: torch.Tensor, between: str = "\n") -> str:
    """La valeur de chaque échantillon, A puis B."""
    return between.join(f"{name} {_text(value)}" for name, value in zip("AB", values))


def _draw_layer(ax: Axes, k: int, layer: torch.nn.Linear, run: Pass | None) -> None:
    """Les liens de la colonne `k` à la suivante : poids et biais, puis gradients et δ si `run` est donné."""
    names = [[f"w {_text(weight)}" for weight in row] for row in layer.weight.tolist()]
    notes = [f"b {_text(bias)}" for bias in layer.bias.tolist()]
    if run is not None:
        grads = run.gradients[k].tolist()
        names = [[f"{n}\ng {_text(g)}" for n, g in zip(*rows)] for rows in zip(names, grads)]
        notes = ["δ " + _samples(delta, " · ") for delta in run.deltas[k].T]
    for row, texts, end, note in zip(layer.weight.tolist(), names, _heights(len(names)), notes):
        _write(ax, k + 1, end + (0.45 if end >= 0 else -0.45), note)
        for weight, text, start in zip(row, texts, _heights(len(row))):
            _draw_link(ax, k, start, end, weight, text)


def _draw_link(ax: Axes, k: int, start: float, end: float, weight: float, text: str) -> None:
    """Un lien, d'autant plus épais que son poids est grand ; le texte est écrit près du départ."""
    color = STYLES[0]["color"] if weight > 0 else STYLES[1]["color"]
    ax.plot([k, k + 1], [start, end], color=color, linewidth=1 + 3 * np.tanh(abs(weight)), zorder=1)
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    share = 0.5 if start == end else 0.37  # au milieu, les liens se croisent
    _write(ax, k + share, start + share * (end - start), text, bbox=box)


def _draw_column(ax: Axes, k: int, values: torch.Tensor, shown: bool, active: bool) -> None:
    """Les neurones de la colonne `k`, avec leur valeur pour chaque échantillon, ou « ? »."""
    _write(ax, k, -1.8, _COLUMNS[k], fontsize=13)
    for column, height in zip(values.T, _heights(values.shape[1])):
        _draw_box(ax, k, height, _samples(column) if shown else "?", active)


def _draw_targets(ax: Axes, targets: torch.Tensor) -> None:
    """La cible de chaque sortie, à sa droite."""
    for column, height in zip(targets.T, _heights(targets.shape[1])):
        _write(ax, 3.55, height, f"cible y\n{_samples(column)}")


def _draw_box(ax: Axes, x: float, y: float, text: str, active: bool) -> None:
    """Une case, cernée de noir si c'est elle que l'étape calcule."""
    box = {"boxstyle": "round,pad=0.4", "facecolor": "#F2F2F2", "edgecolor": "black" if active else "0.6"}
    _write(ax, x, y, text, fontsize=13, bbox={**box, "linewidth": 3 if active else 1})


def _write(ax: Axes, x: float, y: float, text: str, **style) -> None:
    """Un texte centré ; `clip_on` l'ôte du calcul, long, de la mise en page."""
    ax.text(x, y, text, ha="center", va="center", clip_on=True, zorder=3, **{"fontsize": 11, **style})
