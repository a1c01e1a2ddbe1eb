"""L'entraînement : la boucle, la mesure de la perte et de l'exactitude, et la courbe qui en résulte."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from toylib._checks import (
    check_choice,
    check_lr,
    check_optimizer,
    check_real,
    check_weights,
    check_whole,
    shown,
    to_tensor,
)
from toylib.network import Net, random_generator
from toylib.schedules import Schedule, factors

OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
    "momentum": partial(torch.optim.SGD, momentum=0.9),
}


class Score(NamedTuple):
    """Une mesure : la perte (entropie croisée moyenne, en nats) et l'exactitude (entre 0 et 1)."""

    loss: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class History:
    """Les courbes d'un entraînement : `epochs` + 1 valeurs chacune, l'indice 0 étant le réseau initial.

    Champs : `loss`, `accuracy`, et `valid_loss`, `valid_accuracy` (None sans jeu de validation) ;
    float64 (epochs + 1,), en lecture seule.
    """

    loss: np.ndarray
    accuracy: np.ndarray
    valid_loss: np.ndarray | None = None
    valid_accuracy: np.ndarray | None = None

    @classmethod
    def of(cls, scores: Iterable[Score], valid_scores: Iterable[Score] = ()) -> "History":
        """Rassemble en courbes des mesures, une par époque.

        >>> History.of([Score(0.7, 0.5), Score(0.2, 1.0)]).loss.tolist()
        [0.7, 0.2]
        """
        curves = [np.array(curve) for pairs in (scores, valid_scores) for curve in zip(*pairs)]
        if not curves:
            raise ValueError("scores doit contenir au moins une mesure ; reçu : une suite vide.")
        for curve in curves:
            curve.setflags(write=False)
        return cls(*curves)

    def epochs_to(self, accuracy: float) -> int | None:
        """La première époque dont l'exactitude atteint `accuracy`, ou None.

        >>> History.of([Score(0.7, 0.5), Score(0.2, 1.0)]).epochs_to(0.99)
        1
        """
        reached = np.flatnonzero(self.accuracy >= check_real("accuracy", accuracy))
        return int(reached[0]) if len(reached) else None

    def diverges_at(self) -> int | None:
        """La première époque où la perte dépasse le double de sa valeur initiale, ou n'est plus un
        nombre, si elle finit ainsi ; None si elle finit en dessous.

        >>> History.of([Score(0.7, 0.5), Score(9.0, 0.5), Score(5.0, 0.5)]).diverges_at()
        1
        """
        above = ~(self.loss <= 2 * self.loss[0])  # vrai aussi pour NaN
        return int(above.argmax()) if above[-1] else None


def train(
    model: Net,
    data,
    target,
    epochs: int,
    lr: float,
    *,
    optimizer: str | Callable = "adam",
    batch_size: int | None = None,
    schedule: str | Schedule = "constant",
    valid: tuple | None = None,
    seed: int | None = None,
) -> History:
    """Entraîne `model` sur place et rend ses courbes de perte et d'exactitude.

    Arguments :
        model : le réseau, modifié sur place.
        data : entrées (n, nins) ; converties au type des poids du réseau.
        target : classes, lignes one-hot (n, nout) ou indices (n,) dans [0, nout).
        epochs : nombre d'époques (passages sur les données), au moins 0.
        lr : taux d'apprentissage (*learning rate*), fini et strictement positif.
        optimizer : "adam", "sgd", "momentum" (β = 0,9), ou une classe ou une fonction (params, lr) qui rend un
            `torch.optim.Optimizer` de tous les poids du réseau, ou de certains.
        batch_size : taille des mini-lots ; par défaut, un seul lot complet par époque.
        schedule : planification du taux, un nom de `SCHEDULES` ("constant", "warmup", "decay", "cosine",
            "one_cycle"), ou une fonction qui, du numéro du pas, à partir de 0, donne le facteur de `lr`.
        valid : jeu de validation (f, y2), mesuré à chaque époque et jamais appris.
        seed : graine des mélanges, qui ne touche pas au hasard de l'appelant ; sans elle, ils sont tirés du
            générateur global de PyTorch, que `torch.manual_seed` fixe.

    Rend : un `History`.

    Lève : `ValueError` ou `TypeError`, avant toute modification du réseau.

    Source : Adam est celui de Kingma & Ba, 2015, algorithme 1, dans `torch.optim`.

    >>> from toylib.data import gendata
    >>> f, y2 = gendata(200, seed=0)
    >>> history = train(Net(2, seed=0), f, y2, epochs=50, lr=0.1)
    >>> len(history.loss), bool(history.accuracy[-1] > 0.95)
    (51, True)
    """
    if valid is not None:
        valid = check_valid(model, valid)
    scores, valid_scores = [], []
    options = {"optimizer": optimizer, "batch_size": batch_size, "schedule": schedule, "seed": seed}
    for score in iter_train(model, data, target, epochs, lr, **options):
        scores.append(score)
        if valid is not None:
            valid_scores.append(test(model, *valid))
    return History.of(scores, valid_scores)


@torch.inference_mode(False)
def iter_train(
    model: Net,
    data,
    target,
    epochs: int,
    lr: float,
    *,
    optimizer: str | Callable = "adam",
    batch_size: int | None = None,
    schedule: str | Schedule = "constant",
    seed: int | None = None,
) -> Iterator[Score]:
    """La boucle d'entraînement, une époque à la fois : mesure le réseau, puis l'entraîne.

    Mêmes arguments et mêmes erreurs que `train`. Produit `epochs` + 1 mesures, la première étant
    celle du réseau initial ; qui cesse de la parcourir arrête l'entraînement.

    >>> from toylib.data import gendata
    >>> f, y2 = gendata(200, seed=0)
    >>> before, after = iter_train(Net(2, seed=0), f, y2, epochs=1, lr=0.1)
    >>> after.loss < before.loss
    True
    """
    x, labels = as_tensors(model, data, target)
    epochs = check_whole("epochs", epochs)
    batch_size = len(x) if batch_size is None else check_whole("batch_size", batch_size, 1)
    planned = factors(schedule, epochs * math.ceil(len(x) / batch_size))
    generator = random_generator(seed)
    optimizer = _make_optimizer(optimizer, model, check_lr(lr), planned)

    for _ in range(epochs):
        order = torch.randperm(len(x), generator=generator)
        x, labels = x[order], labels[order]
        yield test(model, x, labels)
        for batch_x, batch_labels in zip(x.split(batch_size), labels.split(batch_size)):
            loss = cross_entropy(model(batch_x), batch_labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    yield test(model, x, labels)


def test(model: Net, data, target) -> Score:
    """Mesure la perte et l'exactitude de `model`, sans gradient et sans le modifier.

    Arguments : comme pour `train`.

    Rend : un `Score`. Les classes à égalité de logits comptent pour la première d'entre elles.

    Lève : `ValueError` ou `TypeError`.

    >>> model = Net(2, seed=0)
    >>> test(model, [[0.0, 0.0]], [1]).accuracy in (0.0, 1.0)
    True
    """
    x, labels = as_tensors(model, data, target)
    with torch.inference_mode():
        logits = model(x)
        loss = cross_entropy(logits, labels)
        accuracy = (logits.argmax(dim=1) == labels).double().mean()
    return Score(loss.item(), accuracy.item())


test.__test__ = False  # pytest la prendrait pour un test


def as_tensors(model: Net, data, target, *, names=("data", "target")) -> tuple[torch.Tensor, torch.Tensor]:
    """Convertit des tableaux en tenseurs : entrées (n, nins) du type des poids, classes int64 (n,).

    Lève : `ValueError` ou `TypeError` si `model` n'est pas un `Net`, si un tableau est vide, de
    mauvaise largeur ou contient NaN, si les longueurs diffèrent, si les classes ne conviennent pas.

    >>> x, labels = as_tensors(Net(2), [[0, 1], [2, 3]], [[1, 0], [0, 1]])
    >>> labels
    tensor([0, 1])
    """
    if not isinstance(model, Net):
        raise TypeError(f"model doit être un réseau Net ; reçu : {type(model).__name__}.")
    dtype = check_weights(model)
    x = to_tensor(names[0], data, dtype)
    if x.ndim != 2 or x.shape[1] != model.nins:
        wanted = f"(n, {model.nins}), comme les entrées du réseau"
        raise ValueError(f"{names[0]} doit être de forme {wanted} ; reçu : {tuple(x.shape)}.")
    if len(x) == 0:
        raise ValueError(f"{names[0]} doit contenir au moins un échantillon ; reçu : un tableau vide.")
    if not x.isfinite().all():
        raise ValueError(f"{names[0]} doit être fait de nombres finis en {dtype} ; reçu : NaN ou infini.")
    y = to_tensor(names[1], target)
    if y.ndim == 0 or len(y) != len(x):
        raise ValueError(f"{names[1]} doit avoir {len(x)} lignes, comme {names[0]} ; reçu : forme {tuple(y.shape)}.")
    return x, _labels(names[1], y, model.nout)


def _labels(name: str, y: torch.Tensor, nout: int) -> torch.Tensor:
    """Les classes int64 (n,) de lignes one-hot (n, nout) ou d'indices (n,)."""
    if y.ndim == 1:
        labels = y.long()
        low, high = labels.aminmax()
        sound = low >= 0 and high < nout and (labels is y or (labels == y).all())
    else:
        sound = y.shape[1:] == (nout,) and ((y == 0) | (y == 1)).all() and (y.sum(dim=1) == 1).all()
        labels = y.argmax(dim=1) if sound else None
    if not sound:
        wanted = f"des lignes de {nout} nombres avec un seul 1 et des 0, ou des indices de classe entre 0 et {nout - 1}"
        raise ValueError(f"{name} doit contenir {wanted} ; reçu : forme {tuple(y.shape)}, valeurs {_sample(y)}.")
    return labels


def _sample(y: torch.Tensor) -> str:
    """Les premières valeurs distinctes de `y`, pour un message d'erreur."""
    values = [f"{value:g}" for value in y.flatten().unique().tolist()[:5]]
    return ", ".join(values) + (", …" if y.unique().numel() > 5 else "")


def check_valid(model: Net, valid) -> tuple[torch.Tensor, torch.Tensor]:
    """Les tenseurs d'un jeu de validation (f, y2), comme `as_tensors` ; mêmes erreurs, qui nomment `valid`."""
    if not isinstance(valid, tuple | list) or len(valid) != 2:
        raise TypeError(f"valid doit être un couple (f, y2) ; reçu : {type(valid).__name__}.")
    return as_tensors(model, *valid, names=("valid[0]", "valid[1]"))


def _make_optimizer(
    optimizer: str | Callable, model: Net, lr: float, planned: Sequence[float]
) -> torch.optim.Optimizer:
    """L'optimiseur des poids de `model`, d'après son nom ou une fonction (params, lr) ; `planned` : le facteur du
    taux à chaque pas."""
    if isinstance(optimizer, torch.optim.Optimizer):
        found = f"un optimiseur déjà fait, {type(optimizer).__name__}"
        raise TypeError(f"optimizer doit être un nom, une classe ou une fonction (params, lr) ; reçu : {found}.")
    make = optimizer if callable(optimizer) else OPTIMIZERS[check_choice("optimizer", optimizer, OPTIMIZERS)]
    try:
        made = make(list(model.parameters()), lr)
    except Exception as error:
        found = f"une fonction qui lève {type(error).__name__} ({shown(str(error))})"
        raise ValueError(f"optimizer doit rendre un optimiseur, de (params, lr) ; reçu : {found}.") from error
    check_optimizer(made, model, planned)
    if set(planned) - {1.0}:
        _follow(made, planned)
    return made


def _follow(optimizer: torch.optim.Optimizer, planned: Sequence[float]) -> None:
    """Donne à chaque pas, aux groupes de `optimizer`, leur taux multiplié par le facteur du pas."""
    groups, factors = [(group, group["lr"]) for group in optimizer.param_groups], iter(planned)

    def set_rates(*_) -> None:
        factor = next(factors, None)
        if factor is None:  # un optimiseur qui sert une autre fois : cette planification est finie
            return
        for group, lr in groups:
            group["lr"] = lr * factor

    optimizer.register_step_pre_hook(set_rates)
