"""Le balayage : un réseau copié, un taux d'apprentissage par copie, toutes les copies entraînées ensemble.

Le gradient est celui que la leçon 05 calcule à la main. Deux différences seulement : chaque tableau a une
dimension de plus, les K copies, et les échantillons y sont en colonnes. Les valeurs d'une couche sont de
forme (K, largeur, n), ses poids de forme (K, largeur, entrées).
"""

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import one_hot
from tqdm.auto import tqdm

from toylib._checks import check_choice, check_flag, check_range, check_rates, check_whole, shown
from toylib.network import Net, check_plain, random_generator
from toylib.schedules import Schedule, factors
from toylib.training import History, as_tensors, check_valid

CHUNK = 0.01  # secondes d'entraînement entre deux états des courbes
MEMORY = 2**28  # octets que les copies peuvent prendre ensemble ; au-delà, elles sont entraînées bloc par bloc
SMALL = 2**15  # en deçà de tant de nombres par couche, plusieurs fils de calcul ne font que se gêner
BAR = {"unit": "époque", "delay": 1, "leave": False, "bar_format": "{desc} : {percentage:.0f} % |{bar}|"}

Tensor = torch.Tensor


@dataclass(frozen=True, eq=False)
class Sweep:
    """Les courbes d'un balayage de K taux : une ligne par taux, comme `History` en a une.

    Champs : `lrs`, les taux, (K,) ; `loss`, `accuracy`, et `valid_loss`, `valid_accuracy` (None sans
    jeu de validation) ; float64 (K, epochs + 1), ou (S, K, epochs + 1) pour S réseaux de départ.
    `weights` : les D poids et biais à chaque époque, (…, epochs + 1, D), si on les a demandés.
    """

    lrs: np.ndarray
    loss: np.ndarray
    accuracy: np.ndarray
    valid_loss: np.ndarray | None = None
    valid_accuracy: np.ndarray | None = None
    weights: np.ndarray | None = None

    def history(self, k: int) -> History:
        """Les courbes du taux `lrs[k]` ; la médiane, époque par époque, de plusieurs réseaux.

        >>> sweep = Sweep(np.array([0.1]), np.array([[0.7, 0.2]]), np.array([[0.5, 1.0]]))
        >>> sweep.history(0).epochs_to(0.99)
        1
        """
        if check_whole("k", k, -len(self.lrs)) >= len(self.lrs):
            raise ValueError(f"k doit être le rang d'un taux, de 0 à {len(self.lrs) - 1} ; reçu : {k!r}.")
        curves = (self.loss, self.accuracy, self.valid_loss, self.valid_accuracy)
        several = self.loss.ndim > 2
        return History(*(None if curve is None else (median(curve) if several else curve)[k] for curve in curves))

    def good(self) -> tuple[float, float] | None:
        """Les bornes du domaine des bons taux ; None si aucun taux n'apprend.

        Un taux est bon si la perte y a fait au moins la moitié du chemin, en échelle logarithmique,
        de sa valeur initiale à la meilleure valeur finale du domaine : perte finale ≤ √(initiale × meilleure).
        Le domaine est la plus longue suite de bons taux voisins. Un coup de chance isolé n'en fait pas un, et ne
        fixe pas non plus le seuil : une perte plus basse encore, hors du domaine, n'y compte pas.

        >>> loss = np.array([[0.8, 0.7], [0.8, 0.2], [0.8, 0.1], [0.8, 5.0]])
        >>> Sweep(np.array([0.001, 0.01, 0.1, 1.0]), loss, 1 - loss).good()
        (0.01, 0.1)
        """
        if self.lrs.ndim > 1:
            raise ValueError("lrs doit être fait d'un taux par copie, pour un domaine ; reçu : un taux par couche.")
        order = self.lrs.argsort()
        start, final = median(self.loss)[0, 0], median(self.loss)[order, -1]
        while final.min() < start:
            kept = np.flatnonzero(final <= np.sqrt(start * final.min()))
            run = max(np.split(kept, np.flatnonzero(np.diff(kept) > 1) + 1), key=len)
            if final.argmin() in run:
                low, high = self.lrs[order][run[[0, -1]]].tolist()
                return low, high
            final[final.argmin()] = np.inf
        return None


def median(curves: np.ndarray) -> np.ndarray:
    """Les courbes (K, epochs + 1) d'un balayage ; de plusieurs réseaux, la médiane.

    Une perte qui n'est plus un nombre compte pour infinie.

    >>> median(np.array([[[0.1]], [[np.nan]], [[0.3]]])).tolist()
    [[0.3]]
    """
    curves = np.nan_to_num(curves, nan=np.inf, posinf=np.inf)
    return curves if curves.ndim == 2 else np.median(curves, axis=0)


def sweep(
    model: Net | Sequence[Net],
    data,
    target,
    epochs: int,
    lrs: Sequence[float],
    *,
    optimizer: str = "adam",
    batch_size: int | None = None,
    schedule: str | Schedule = "constant",
    seed: int | None = None,
    valid: tuple | None = None,
    loss: str = "cross_entropy",
    weights: bool = False,
) -> Sweep:
    """Entraîne une copie de `model` par taux de `lrs`, toutes ensemble, et rend leurs courbes.

    La ligne k est ce que `train` donne avec `lrs[k]` : mêmes poids initiaux, mêmes mélanges. Les deux
    calculs n'arrondissent pas de la même façon : là où l'entraînement est chaotique, aux plus grands
    taux, les courbes finissent par se séparer.

    Arguments :
        model : le réseau, qui n'est pas modifié ; ou S réseaux de même architecture, comme ceux de
            S graines, entraînés chacun à tous les taux. Des `Net` tels quels : une sous-classe, des poids gelés,
            partagés ou ajoutés, un crochet (*hook*) sont refusés ; `train`, lui, les entraîne.
        lrs : les K taux d'apprentissage, finis et strictement positifs ; ou K suites de taux, un par couche.
        optimizer : "adam", "sgd" ou "momentum".
        data, target, epochs, batch_size, schedule, seed, valid : comme pour `train`.
        loss : "cross_entropy", ou "squared", la moitié du carré de la distance des logits à la ligne one-hot.
        weights : vrai pour garder aussi les poids de chaque époque, à (K, epochs + 1, D) nombres.

    Rend : un `Sweep`. Au-delà d'une seconde, une barre dit où il en est.

    Lève : `ValueError` ou `TypeError`, avant tout entraînement.

    >>> from toylib.data import gendata
    >>> f, y2 = gendata(200, seed=0)
    >>> result = sweep(Net(2, seed=0), f, y2, epochs=50, lrs=[0.001, 0.1])
    >>> result.loss.shape, bool(result.loss[1, -1] < result.loss[0, -1])
    ((2, 51), True)
    """
    options = {"optimizer": optimizer, "batch_size": batch_size, "schedule": schedule, "seed": seed}
    task = _check(model, data, target, epochs, lrs, **options, valid=valid, loss=loss, weights=weights)
    blocks = task.blocks()
    with tqdm(total=len(blocks) * (task.epochs + 1), desc="Balayage", disable=_no_bar(), **BAR) as bar:
        done = []
        for copies in blocks:
            seen = 0
            for curves in _iter_curves(task, copies):
                bar.update(curves[0].shape[1] - seen)
                seen = curves[0].shape[1]
            done.append(curves)
    return task.sweep([np.concatenate(parts) for parts in zip(*done)])


def _no_bar() -> bool:
    """Vrai si `TQDM_DISABLE` demande de se passer de barre : dans un carnet, tqdm ne lit pas cette variable."""
    return bool(os.environ.get("TQDM_DISABLE"))


def iter_sweep(
    model: Net | Sequence[Net], data, target, epochs: int, lrs: Sequence[float], **options
) -> Iterator[Sweep]:
    """Le même balayage, livré toutes les 10 ms environ : chaque fois, les courbes jusqu'à l'époque atteinte.

    Mêmes arguments et mêmes erreurs que `sweep`. Qui cesse de parcourir arrête l'entraînement ; le
    dernier `Sweep` est entier.

    >>> from toylib.data import gendata
    >>> *_, last = iter_sweep(Net(2, seed=0), *gendata(200, seed=0), epochs=50, lrs=[0.1])
    >>> last.loss.shape
    (1, 51)
    """
    task = _check(model, data, target, epochs, lrs, **options)
    for curves in _iter_curves(task, task.copies):
        yield task.sweep(curves)


class Copies:
    """K réseaux de même architecture, et leur gradient, calculé comme dans la leçon 05.

    Argument : `models`, les K réseaux, copiés et jamais modifiés. `weights`, (K, D), porte les D poids
    et biais de chaque copie ; `layers` en est une vue, couche par couche : (K, largeur, entrées) pour
    les poids, (K, largeur, 1) pour les biais.
    """

    def __init__(self, models: Sequence[Net]) -> None:
        self.tanh = models[0].tanh
        flat = {id(model): torch.cat([part.detach().flatten() for part in model.parameters()]) for model in models}
        self.weights = torch.stack([flat[id(model)] for model in models])
        self.layers = _layers(models[0], self.weights)
        self._minus_one = self.weights.new_tensor(-1)
        self._rooms: dict[int, list[tuple[Tensor, Tensor]]] = {}

    def forward(self, x: Tensor) -> Tensor:
        """L'aller : les logits `(K, nout, n)` des entrées x `(nins, n)` ; garde les valeurs des couches."""
        h = x.expand(len(self.weights), *x.shape)
        self.values = [h]
        for (W, b), tanh, (room, _) in zip(self.layers, self.tanh, self._room(x.shape[1])):
            if tanh:  # tanh u = 2 σ(2u) - 1, trois fois plus rapide ; baddbmm calcule 2 (W h + b)
                torch.baddbmm(b, W, h, beta=2, alpha=2, out=room).sigmoid_()
                h = torch.add(self._minus_one, room, alpha=2, out=room)
            else:
                h = torch.baddbmm(b, W, h, out=room)
            self.values.append(h)
        W, b = self.layers[-1]
        return torch.baddbmm(b, W, h)

    def backward(self, delta: Tensor) -> Tensor:
        """Le retour : le gradient (K, D) de la perte, d'après sa dérivée par rapport aux logits du dernier aller."""
        n = delta.shape[2]
        gradient = []
        for k in reversed(range(len(self.layers))):
            h = self.values[k]
            gradient += [delta.sum(dim=2), torch.bmm(delta, h.mT).flatten(1)]
            if k > 0:
                W, _ = self.layers[k]
                delta = torch.bmm(W.mT, delta, out=self._room(n)[k - 1][1])
                if self.tanh[k - 1]:
                    delta.addcmul_(delta, h.mul_(h), value=-1)  # delta ⊙ (1 - h²), sans rien allouer
        return torch.cat(gradient[::-1], dim=1)

    def _room(self, n: int) -> list[tuple[Tensor, Tensor]]:
        """Par couche cachée, la place des valeurs et des δ de n échantillons : demandée une fois, et réutilisée."""
        if n not in self._rooms:
            shapes = [(len(self.weights), W.shape[1], n) for W, _ in self.layers[:-1]]
            self._rooms[n] = [(self.weights.new_empty(shape), self.weights.new_empty(shape)) for shape in shapes]
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


class _Task(NamedTuple):
    """Un balayage demandé, vérifié : les copies à entraîner, chacune un réseau et un taux, et sur quoi.

    `sets` : entrées `(nins, n)` et classes `(n,)` des jeux à mesurer, le jeu d'entraînement en dernier.
    `factors` : le facteur du taux à chaque pas. `state` : l'état du générateur avant le premier mélange, le même
    pour tous les blocs.
    """

    copies: list[tuple[Net, float | list[float]]]
    shape: tuple[int, ...]
    sets: list[tuple[Tensor, Tensor]]
    epochs: int
    optimizer: str
    batch_size: int
    factors: list[float]
    state: Tensor
    loss: Loss
    weights: bool

    def slope(self, logits: Tensor, y: Tensor) -> Tensor:
        """La dérivée de la perte, moyenne sur les échantillons, par rapport aux logits."""
        return self.loss.slope(logits, y).div_(y.shape[1])

    def blocks(self) -> list[list[tuple[Net, float]]]:
        """Les copies, en blocs qui tiennent dans `MEMORY` octets : valeurs et δ de chaque couche."""
        model, samples = self.copies[0][0], max(x.shape[1] for x, _ in self.sets)
        neurons = sum(layer.out_features for layer in (*model.hidden, model.output))
        size = max(1, MEMORY // (2 * neurons * samples * model.output.weight.element_size()))
        return [self.copies[start : start + size] for start in range(0, len(self.copies), size)]

    def sweep(self, curves: Sequence[np.ndarray]) -> Sweep:
        """Le `Sweep` des courbes de toutes les copies : perte et exactitude, dans l'ordre de `sets`, puis les poids."""
        curves = [curve.reshape(*self.shape, *curve.shape[1:]) for curve in curves]
        lrs = np.array([lr for _, lr in self.copies[: self.shape[-1]]])
        for array in (lrs, *curves):
            array.setflags(write=False)
        kept = {"weights": curves.pop()} if self.weights else {}
        return Sweep(lrs, *curves[-2:], *curves[:-2], **kept)


def _check(
    model,
    data,
    target,
    epochs,
    lrs,
    *,
    optimizer="adam",
    batch_size=None,
    schedule="constant",
    seed=None,
    valid=None,
    loss="cross_entropy",
    weights=False,
) -> _Task:
    """Vérifie les arguments de `sweep`."""
    models = _check_models(model)
    lrs = check_rates(lrs, layers=len(models[0].tanh) + 1)
    sets = _check_sets(models[0], data, target, valid)
    epochs, n = check_whole("epochs", epochs), sets[-1][0].shape[1]
    batch_size = n if batch_size is None else check_whole("batch_size", batch_size, 1)
    planned = factors(schedule, epochs * math.ceil(n / batch_size))
    check_range(lrs, planned, sets[-1][0].dtype, check_choice("optimizer", optimizer, UPDATES))
    return _Task(
        copies=[(one, lr) for one in models for lr in lrs],
        shape=(len(lrs),) if isinstance(model, Net) else (len(models), len(lrs)),
        sets=sets,
        epochs=epochs,
        optimizer=optimizer,
        batch_size=batch_size,
        factors=planned,
        loss=LOSSES[check_choice("loss", loss, LOSSES)],
        weights=check_flag("weights", weights),
        state=_state(seed, epochs, n),
    )


def _check_sets(model: Net, data, target, valid) -> list[tuple[Tensor, Tensor]]:
    """Les jeux à mesurer, en colonnes : celui de validation, s'il y en a un, puis celui d'entraînement."""
    sets = [as_tensors(model, data, target)]
    if valid is not None:
        sets.insert(0, check_valid(model, valid))
    return [(x.T.contiguous(), labels) for x, labels in sets]


def _state(seed: int | None, epochs: int, n: int) -> Tensor:
    """L'état du générateur avant le premier mélange. Sans graine, le générateur global avance aussitôt comme `train`
    le ferait avancer."""
    generator = random_generator(seed)
    state = generator.get_state()
    if seed is None:
        for _ in range(epochs):
            torch.randperm(n)
    return state


def _check_models(model) -> list[Net]:
    """Le réseau, ou les réseaux, qui doivent avoir la même architecture."""
    several = list(model) if isinstance(model, Sequence) and not isinstance(model, str | bytes) else []
    models = [model] if isinstance(model, Net) else several
    if not models or not all(isinstance(one, Net) for one in models):
        found = [type(one).__name__ for one in models] or model
        raise TypeError(f"model doit être un réseau Net, ou une suite de Net ; reçu : {shown(found)}.")
    for one in models:
        check_plain(one)
    if len({_architecture(one) for one in models}) > 1:
        raise ValueError("model doit être une suite de réseaux de même architecture ; reçu : des réseaux différents.")
    return models


def _architecture(model: Net) -> tuple:
    """Ce que deux réseaux doivent avoir en commun pour être entraînés ensemble."""
    return model.tanh, *((part.shape, part.dtype) for part in model.parameters())


def _iter_curves(task: _Task, copies: Sequence[tuple[Net, float]]) -> Iterator[list[np.ndarray]]:
    """Entraîne `copies` ; livre, toutes les 10 ms environ, leurs courbes jusque-là : perte, exactitude, par jeu."""
    models, lrs = zip(*copies)
    net = Copies(models)
    update = UPDATES[task.optimizer](net.weights, _rates(models[0], lrs))
    width = max(W.shape[0] * W.shape[1] for W, _ in net.layers)
    threads = 1 if width * task.sets[-1][0].shape[1] < SMALL else torch.get_num_threads()
    curves, done = [], 0
    for logits, weights in _on_threads(threads, _train(net, update, task)):
        new = [curve for z, (_, labels) in zip(zip(*logits), task.sets) for curve in _scores(z, labels, task.loss)]
        if task.weights:
            new.append(torch.stack(weights, dim=1).numpy())
        if not curves:  # rallonger ces tableaux à chaque livraison coûterait plus que l'entraînement
            curves = [np.empty((len(copies), task.epochs + 1, *part.shape[2:]), part.dtype) for part in new]
        start, done = done, done + len(logits)
        for curve, part in zip(curves, new):
            curve[:, start:done] = part
        yield [curve[:, :done] for curve in curves]


def _rates(model: Net, lrs: Sequence) -> Tensor:
    """Le taux de chaque copie, (K, 1) ; ou celui de chaque poids, (K, D), si chaque couche a le sien."""
    rates = torch.tensor(lrs, dtype=model.output.weight.dtype)
    if rates.ndim == 1:
        return rates.unsqueeze(1)
    sizes = [layer.weight.numel() + layer.bias.numel() for layer in (*model.hidden, model.output)]
    return rates.repeat_interleave(torch.tensor(sizes), dim=1)


@torch.inference_mode()
def _train(net: Copies, update: Update, task: _Task) -> Iterator[tuple[list, list]]:
    """La boucle ; livre, par paquets de 10 ms, ce que vaut chaque époque : les logits `(K, nout, n)` de chaque
    jeu, et les poids `(K, D)` si on les demande."""
    inputs = [x for x, _ in task.sets]
    x, y = inputs[-1], one_hot(task.sets[-1][1], net.layers[-1][0].shape[1]).T.to(inputs[-1])
    generator, planned = torch.Generator().set_state(task.state), iter(task.factors)
    logits, weights, start = [], [], time.perf_counter()
    for epoch in range(task.epochs + 1):
        logits.append([net.forward(data) for data in inputs])
        if task.weights:
            weights.append(net.weights.clone())
        if epoch == task.epochs:
            break
        if task.batch_size >= x.shape[1]:
            update(net.backward(task.slope(logits[-1][-1], y)), next(planned))  # un lot, sans ordre : l'aller est fait
        else:
            x, y = _shuffled(x, y, generator)
            for batch_x, batch_y in zip(x.split(task.batch_size, dim=1), y.split(task.batch_size, dim=1)):
                update(net.backward(task.slope(net.forward(batch_x), batch_y)), next(planned))
        if time.perf_counter() - start > CHUNK:
            yield logits, weights
            logits, weights, start = [], [], time.perf_counter()
    yield logits, weights


def _shuffled(x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Les mêmes échantillons, en colonnes, dans un ordre tiré de `generator`, comme dans `iter_train`."""
    order = torch.randperm(x.shape[1], generator=generator)
    return x[:, order], y[:, order]


def _scores(logits: Sequence[Tensor], labels: Tensor, loss: Loss) -> tuple[np.ndarray, np.ndarray]:
    """La perte et l'exactitude (K, époques), d'après les logits de chaque époque, `(K, nout, n)`."""
    z = torch.stack(list(logits), dim=1)
    hits = z.max(dim=2).indices == labels  # comme argmax, et dix fois plus rapide
    return loss.value(z, labels).mean(dim=2).double().numpy(), hits.double().mean(dim=2).numpy()


def _on_threads(threads: int, steps: Iterator) -> Iterator:
    """Parcourt `steps` avec `threads` fils de calcul ; entre deux, l'appelant retrouve les siens."""
    while True:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            step = next(steps, None)
        finally:
            torch.set_num_threads(before)
        if step is None:
            return
        yield step
