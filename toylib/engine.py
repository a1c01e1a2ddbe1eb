"""Le moteur du balayage : K réseaux copiés, un taux d'apprentissage par copie, toutes les copies entraînées ensemble.

Le gradient est celui que la leçon 05 calcule à la main. Deux différences seulement : chaque tableau a une
dimension de plus, les K copies, et les échantillons y sont en colonnes. Les valeurs d'une couche sont de
forme (K, largeur, n), ses poids de forme (K, largeur, entrées).
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import one_hot
from torch.nn.utils import parameters_to_vector

from toylib.network import Net

PLACES = 3  # tableaux d'une couche cachée : ses valeurs, leurs δ, leurs carrés

Tensor = torch.Tensor


class Copies:
    """K réseaux de même architecture, et leur gradient, calculé comme dans la leçon 05.

    Argument : `models`, les K réseaux, copiés et jamais modifiés. `weights`, (K, D), porte les D poids
    et biais de chaque copie, `gradient` leur gradient ; `layers` et `slopes` en sont des vues, couche par couche :
    (K, largeur, entrées) pour les poids, (K, largeur, 1) pour les biais.
    """

    def __init__(self, models: Sequence[Net]) -> None:
        self.tanh = models[0].tanh
        flat = {id(model): parameters_to_vector(model.parameters()).detach() for model in models}
        self.weights = torch.stack([flat[id(model)] for model in models])
        self.gradient = torch.empty_like(self.weights)
        self.layers, self.slopes = _layers(models[0], self.weights), _layers(models[0], self.gradient)
        self._transposed = [W.mT for W, _ in self.layers]
        self._rooms: dict[int, list[tuple]] = {}

    def forward(self, x: Tensor) -> Tensor:
        """L'aller : les logits `(K, nout, n)` des entrées x `(nins, n)` ; garde les valeurs des couches."""
        h = x.expand(len(self.weights), *x.shape)
        self.values = [h]
        for (W, b), tanh, (room, array, *_) in zip(self.layers, self.tanh, self._room(x.shape[1])):
            h = torch.baddbmm(b, W, h, out=room)
            if tanh:
                np.tanh(array, out=array)  # la même mémoire, pour numpy, dont la tanh est bien plus rapide
            self.values.append(h)
        W, b = self.layers[-1]
        return torch.baddbmm(b, W, h)

    def backward(self, delta: Tensor) -> Tensor:
        """Le retour : le gradient (K, D) de la perte, d'après sa dérivée par rapport aux logits du dernier aller ; il
        vaut jusqu'au retour suivant."""
        rooms = self._room(delta.shape[2])
        for k in reversed(range(len(self.layers))):
            h, (dW, db) = self.values[k], self.slopes[k]
            dW.copy_(torch.bmm(delta, h.mT))  # sans `out`, que des copies écartées en mémoire ralentiraient
            torch.sum(delta, dim=2, keepdim=True, out=db)
            if k > 0:
                _, _, room, square = rooms[k - 1]
                delta = torch.bmm(self._transposed[k], delta, out=room)
                if self.tanh[k - 1]:
                    delta.addcmul_(delta, torch.mul(h, h, out=square), value=-1)  # delta ⊙ (1 - h²)
        return self.gradient

    def _room(self, n: int) -> list[tuple]:
        """Par couche cachée, la place des valeurs, des δ et des h² de n échantillons, demandée une fois."""
        if n not in self._rooms:
            rooms = [W.new_empty(PLACES, *W.shape[:2], n) for W, _ in self.layers[:-1]]
            self._rooms[n] = [(h, h.numpy(), delta, square) for h, delta, square in rooms]
        return self._rooms[n]


def _layers(model: Net, weights: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Les poids et les biais de chaque couche, comme des vues de `weights` (K, D)."""
    shapes = [(*part.shape, 1)[:2] for part in model.parameters()]
    parts = weights.split([rows * columns for rows, columns in shapes], dim=1)
    views = [part.unflatten(1, shape) for part, shape in zip(parts, shapes)]
    return list(zip(views[::2], views[1::2]))


class Loss(NamedTuple):
    """Une perte : sa valeur pour chaque échantillon, `(…, n)`, d'après les logits `(…, nout, n)` et les classes (n,) ;
    et sa dérivée par rapport aux logits, d'après les logits et les cibles, `(…, nout, n)`."""

    value: Callable[[Tensor, Tensor], Tensor]
    slope: Callable[[Tensor, Tensor], Tensor]


def _cross_entropy(z: Tensor, labels: Tensor) -> Tensor:
    own = labels.expand(*z.shape[:-2], 1, -1)
    return -z.log_softmax(dim=-2).gather(-2, own).squeeze(-2)


def _squared(z: Tensor, labels: Tensor) -> Tensor:
    return (z - one_hot(labels, z.shape[-2]).T).square().sum(dim=-2) / 2


LOSSES = {
    "cross_entropy": Loss(_cross_entropy, lambda z, y: z.softmax(dim=-2).sub_(y)),
    "squared": Loss(_squared, torch.sub),
}


# Les optimiseurs : chacun rend une fonction qui, du gradient (K, D) et du facteur de la planification, fait faire
# un pas aux K copies, chacune à son taux, lrs (K, 1), ou aux taux de ses couches, lrs (K, D).
Update = Callable[[Tensor, float], None]


def _sgd(weights: Tensor, lrs: Tensor) -> Update:
    """La descente de gradient : w ← w - lr g."""

    def step(g: Tensor, factor: float) -> None:
        weights.addcmul_(lrs, g, value=-factor)

    return step


def _momentum(weights: Tensor, lrs: Tensor, beta: float = 0.9) -> Update:
    """L'inertie, comme dans `torch.optim.SGD` : v ← β v + g, puis w ← w - lr v."""
    v = torch.zeros_like(weights)

    def step(g: Tensor, factor: float) -> None:
        torch.add(g, v, alpha=beta, out=v)
        weights.addcmul_(lrs, v, value=-factor)

    return step


def _adam(weights: Tensor, lrs: Tensor, beta1: float = 0.9, beta2: float = 0.999) -> Update:
    """Adam, Kingma & Ba, 2015, algorithme 1, avec ε = 1e-8."""
    m, v, eps, steps = torch.zeros_like(weights), torch.zeros_like(weights), weights.new_tensor(1e-8), count(1)

    def step(g: Tensor, factor: float) -> None:
        t = next(steps)
        m.lerp_(g, 1 - beta1)  # m ← β₁ m + (1 - β₁) g
        v.lerp_(g * g, 1 - beta2)
        scale = torch.add(eps, v.sqrt(), alpha=(1 - beta2**t) ** -0.5)  # ε + √(v / (1 - β₂ᵗ))
        weights.addcmul_(lrs, m / scale, value=-factor / (1 - beta1**t))

    return step


UPDATES = {"adam": _adam, "sgd": _sgd, "momentum": _momentum}


class Task(NamedTuple):
    """Un balayage vérifié : les copies à entraîner, chacune un réseau et un taux, ou un taux par couche, et sur quoi.

    `sets` : entrées `(nins, n)` et classes `(n,)` des jeux à mesurer, le jeu d'entraînement en dernier.
    `planned` : le facteur du taux à chaque pas. `state` : l'état du générateur avant le premier mélange.
    """

    copies: list[tuple[Net, float | list[float]]]
    sets: list[tuple[Tensor, Tensor]]
    epochs: int
    batch_size: int
    optimizer: str
    loss: Loss
    planned: list[float]
    state: Tensor


class Epoch(NamedTuple):
    """Ce que valent les copies à une époque : leurs logits `(K, nout, n)`, par jeu, et leurs poids `(K, D)`."""

    logits: list[Tensor]
    weights: Tensor


def run(task: Task) -> Iterator[Epoch]:
    """La boucle d'entraînement : livre chaque époque, de 0 à `task.epochs`, puis fait les pas de la suivante.

    Les poids livrés sont ceux de l'entraînement même : qui veut les garder les copie.
    """
    models, lrs = zip(*task.copies)
    net = Copies(models)
    update = UPDATES[task.optimizer](net.weights, _rates(net, lrs))
    inputs, (x, labels) = [data for data, _ in task.sets], task.sets[-1]
    y = one_hot(labels, models[0].nout).T.to(x)
    generator, factors = torch.Generator().set_state(task.state), iter(task.planned)
    for epoch in range(task.epochs + 1):
        logits = [net.forward(data) for data in inputs]
        yield Epoch(logits, net.weights)
        if epoch == task.epochs:
            return
        if task.batch_size >= x.shape[1]:  # un seul lot, dont l'ordre n'importe pas : l'aller est déjà fait
            update(net.backward(_slope(task, logits[-1], y)), next(factors))
            continue
        order = torch.randperm(x.shape[1], generator=generator)
        x, y = x[:, order], y[:, order]
        for batch_x, batch_y in zip(x.split(task.batch_size, dim=1), y.split(task.batch_size, dim=1)):
            update(net.backward(_slope(task, net.forward(batch_x), batch_y)), next(factors))


def _slope(task: Task, logits: Tensor, y: Tensor) -> Tensor:
    """La dérivée de la perte, moyenne sur les échantillons, par rapport aux logits."""
    return task.loss.slope(logits, y).div_(y.shape[1])


def _rates(net: Copies, lrs: Sequence) -> Tensor:
    """Le taux de chaque copie, (K, 1) ; ou celui de chaque poids, (K, D), si chaque couche a le sien."""
    rates = torch.tensor(lrs, dtype=net.weights.dtype)
    if rates.ndim == 1:
        return rates.unsqueeze(1)
    sizes = [W[0].numel() + b[0].numel() for W, b in net.layers]
    return rates.repeat_interleave(torch.tensor(sizes), dim=1)
