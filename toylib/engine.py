"""Le moteur du balayage : K réseaux copiés, un taux d'apprentissage par copie, toutes les copies entraînées ensemble.

Le gradient est celui que la leçon 05 calcule à la main, à une dimension près, les K copies : les valeurs d'une couche
sont de forme (K, n, largeur), ses poids de forme (K, largeur, entrées). Les logits seuls sont en colonnes, de forme
(K, nout, n), où softmax se calcule cinq à dix fois plus vite.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import one_hot

from toylib.network import Net

tanh_backward = torch.ops.aten.tanh_backward.grad_input  # du gradient et de h = tanh(z), le gradient ⊙ (1 - h²)
PLACES = 2  # tableaux d'une couche cachée : ses valeurs, leurs δ
STATES = 8  # tableaux des poids : eux-mêmes, gradient, taux, ce qu'Adam en garde, et les résultats de passage

Tensor = torch.Tensor


class Copies:
    """K réseaux de même architecture, et leur gradient, calculé comme dans la leçon 05.

    Argument : `models`, les K réseaux, copiés et jamais modifiés. `weights` porte tous leurs poids et leurs biais,
    couche par couche, et `gradient` leur gradient ; `layers` et `slopes` en sont des vues : (K, largeur, entrées)
    pour les poids, (K, largeur, 1) pour les biais.
    """

    def __init__(self, models: Sequence[Net]) -> None:
        self.tanh, known = models[0].tanh, {id(model): list(model.parameters()) for model in models}
        copies = [torch.stack(parts).detach() for parts in zip(*(known[id(model)] for model in models))]
        self.weights = torch.cat([part.flatten() for part in copies])
        self.gradient = torch.empty_like(self.weights)
        self.layers, self.slopes = _views(self.weights, copies), _views(self.gradient, copies)
        self._turned = [(W.mT, b.mT) for W, b in self.layers[:-1]]
        self._rooms: dict[int, list[tuple]] = {}

    def forward(self, x: Tensor) -> Tensor:
        """L'aller : les logits `(K, nout, n)` des entrées x `(n, nins)` ; garde les valeurs des couches."""
        W, b = self.layers[-1]
        h = x.expand(W.shape[0], -1, -1)
        self.values = [h]
        for (Wt, bt), tanh, (room, array, *_) in zip(self._turned, self.tanh, self._room(x.shape[0])):
            h = torch.baddbmm(bt, h, Wt, out=room)
            if tanh:
                np.tanh(array, out=array)  # la même mémoire, pour numpy, dont la tanh est bien plus rapide
            self.values.append(h)
        return torch.baddbmm(b, W, h.mT)

    def backward(self, delta: Tensor) -> Tensor:
        """Le retour : le gradient, rangé comme `weights`, de la perte, d'après sa dérivée par rapport aux logits du
        dernier aller ; il vaut jusqu'au retour suivant."""
        rooms = self._room(delta.shape[2])
        for k in reversed(range(len(self.layers))):
            h, (W, _), (dW, db) = self.values[k], self.layers[k], self.slopes[k]
            torch.bmm(delta, h, out=dW)
            torch.sum(delta, dim=2, keepdim=True, out=db)
            if k > 0:
                rows = torch.bmm(delta.mT, W, out=rooms[k - 1][2])
                if self.tanh[k - 1]:
                    tanh_backward(rows, h, grad_input=rows)  # δ ⊙ (1 - h²)
                delta = rooms[k - 1][3]
        return self.gradient

    def _room(self, n: int) -> list[tuple]:
        """Par couche cachée, la place des valeurs et des δ de n échantillons, demandée une fois ; les mêmes valeurs
        pour numpy, les mêmes δ en colonnes."""
        if n not in self._rooms:
            rooms = [W.new_empty(PLACES, len(W), n, W.shape[1]) for W, _ in self.layers[:-1]]
            self._rooms[n] = [(h, h.numpy(), delta, delta.mT) for h, delta in rooms]
        return self._rooms[n]


def _views(values: Tensor, parts: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Les poids et les biais de chaque couche, comme des vues de `values`, où ceux de `parts` se suivent."""
    rows = zip(values.split([part.numel() for part in parts]), parts)
    views = [row.view((*part.shape, 1)[:3]) for row, part in rows]
    return list(zip(views[::2], views[1::2]))


def by_copy(layers: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Les D poids et biais de chaque copie, (K, D), dans l'ordre de `parameters`, d'après ceux des couches.

    >>> by_copy(Copies([Net(2, hidden=(), seed=0)] * 3).layers).shape
    torch.Size([3, 6])
    """
    return torch.cat([part.flatten(1) for layer in layers for part in layer], dim=1)


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


# Les optimiseurs : chacun rend une fonction qui, du gradient et du facteur de la planification, fait faire un pas à
# toutes les copies, chaque poids à son taux ; poids, taux et gradient sont rangés de même.
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
        v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        scale = torch.add(eps, v.sqrt(), alpha=(1 - beta2**t) ** -0.5)  # ε + √(v / (1 - β₂ᵗ))
        weights.addcmul_(lrs, m / scale, value=-factor / (1 - beta1**t))

    return step


UPDATES = {"adam": _adam, "sgd": _sgd, "momentum": _momentum}


class Task(NamedTuple):
    """Un balayage vérifié : les copies à entraîner, chacune un réseau et un taux, ou un taux par couche, et sur quoi.

    `sets` : entrées `(n, nins)` et classes `(n,)` des jeux à mesurer, le jeu d'entraînement en dernier.
    `planned` : le facteur du taux à chaque pas. `state` : l'état du générateur avant le premier mélange.
    `weights` : vrai s'il faut livrer les poids.
    """

    copies: list[tuple[Net, float | list[float]]]
    sets: list[tuple[Tensor, Tensor]]
    epochs: int
    batch_size: int
    optimizer: str
    loss: Loss
    planned: list[float]
    state: Tensor
    weights: bool


class Epoch(NamedTuple):
    """Ce que valent les copies à une époque : leurs logits `(K, nout, n)`, par jeu, et, si la tâche les demande, leurs
    poids `(K, D)`."""

    logits: list[Tensor]
    weights: Tensor | None


def run(task: Task) -> Iterator[Epoch]:
    """La boucle d'entraînement : livre chaque époque, de 0 à `task.epochs`, puis fait les pas de la suivante."""
    models, lrs = zip(*task.copies)
    net = Copies(models)
    update = UPDATES[task.optimizer](net.weights, _rates(net, lrs))
    inputs, (x, labels) = [data for data, _ in task.sets], task.sets[-1]
    y = one_hot(labels, models[0].nout).T.to(x)
    generator, factors = torch.Generator().set_state(task.state), iter(task.planned)
    for epoch in range(task.epochs + 1):
        logits = [net.forward(data) for data in inputs]
        yield Epoch(logits, by_copy(net.layers) if task.weights else None)
        if epoch == task.epochs:
            return
        if task.batch_size >= len(x):  # un seul lot, dont l'ordre n'importe pas : l'aller est déjà fait
            update(net.backward(_slope(task, logits[-1], y)), next(factors))
            continue
        order = torch.randperm(len(x), generator=generator, device="cpu")
        x, y = x[order], y[:, order]
        for batch_x, batch_y in zip(x.split(task.batch_size), y.split(task.batch_size, dim=1)):
            update(net.backward(_slope(task, net.forward(batch_x), batch_y)), next(factors))


def _slope(task: Task, logits: Tensor, y: Tensor) -> Tensor:
    """La dérivée de la perte, moyenne sur les échantillons, par rapport aux logits."""
    return task.loss.slope(logits, y).div_(y.shape[1])


def _rates(net: Copies, lrs: Sequence) -> Tensor:
    """Le taux de chaque poids, rangé comme `weights` : de sa copie, ou de sa couche si chacune a le sien."""
    rates = net.weights.new_tensor(lrs).reshape(len(lrs), -1).expand(-1, len(net.layers))
    layers = zip(rates.T, net.layers)
    return torch.cat([rate.repeat_interleave(part[0].numel()) for rate, layer in layers for part in layer])
