"""L'entraînement : la boucle, la mesure de la perte et de l'exactitude, et la courbe qui en résulte."""

import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from tqdm.auto import tqdm

from toylib._checks import check_choice, check_lr, check_real, check_whole, refusing, require, shown
from toylib._tensors import as_tensors, check_batches, check_optimizer, check_valid, mode, random_generator
from toylib.schedules import Schedule, factors

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
    "momentum": partial(torch.optim.SGD, momentum=0.9),  # SGD, où momentum=0.9 est déjà écrit
}
# Par fil de Python, le nombre de fils de calcul à rendre : celui d'avant le premier de ses entraînements en cours.
_BEFORE = threading.local()
SMALL = 2**21  # en deçà de tant de nombres par couche, plusieurs fils de calcul ne font que s'attendre


class Score(NamedTuple):  # un couple, dont les deux nombres ont un nom : score.loss, score.accuracy
    """Une mesure : la perte (entropie croisée moyenne, en nats) et l'exactitude (entre 0 et 1)."""

    loss: float
    accuracy: float


# dataclass écrit `__init__`, d'après les champs ; frozen : on ne peut plus leur donner une autre valeur
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
        curves, valid = _curves("scores", scores), _curves("valid_scores", valid_scores)
        n, m = len(curves[0]), len(valid[0])
        require(n, "scores", "contenir au moins une mesure", "une suite vide")
        require(m in (0, n), "valid_scores", f"avoir autant de mesures que scores, {n}, ou aucune", m)
        # cls est la classe, History : ses deux ou quatre courbes, dans l'ordre des champs
        return cls(*curves, *(valid if m else ()))

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
        above = ~(self.loss <= 2 * self.loss[0])  # ~ : non ; et non pas >, qui est faux pour NaN, comme <=
        return int(above.argmax()) if above[-1] else None  # argmax : la place du premier vrai


def _curves(name: str, scores: Iterable[Score]) -> np.ndarray:
    """La courbe des pertes et celle des exactitudes, (2, n), en lecture seule."""
    wanted = "être une suite de mesures, chacune un couple (perte, exactitude)"
    with refusing(name, wanted, shown(scores), TypeError):
        table = np.array([*scores])
    sound = len(table) == 0 or (table.ndim == 2 and table.shape[1] == 2 and table.dtype.kind in "fiu")
    require(sound, name, wanted, f"forme {table.shape}, de dtype {table.dtype}", TypeError)
    curves = table.reshape(-1, 2).T.astype(float, order="C")
    curves.setflags(write=False)
    return curves


@torch.inference_mode(False)
@torch.enable_grad()
def train(
    model: nn.Module,
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
        model : le réseau, modifié sur place : un `Net`, ou tout `nn.Module` de (n, d) vers (n, classes). Il apprend en
            mode `train`, est mesuré en mode `eval`, et chacun de ses modules retrouve ensuite le sien.
        data : entrées (n, d) ; converties au type des poids du réseau, et portées sur leur appareil.
        target : classes, lignes one-hot (n, classes) ou indices (n,) dans [0, classes).
        epochs : nombre d'époques (passages sur les données), au moins 0.
        lr : taux d'apprentissage (*learning rate*), fini et strictement positif.
        optimizer : "adam", "sgd", "momentum" (β = 0,9), ou une classe ou une fonction (params, lr) qui rend un
            `torch.optim.Optimizer` de tous les poids du réseau, ou de certains.
        batch_size : taille des mini-lots ; par défaut, un seul lot complet par époque.
        schedule : planification du taux, un nom de `SCHEDULES` ("constant", "warmup", "decay", "cosine",
            "one_cycle"), ou une fonction qui, du numéro du pas, à partir de 0, et du nombre de pas, donne le
            facteur de `lr`.
        valid : jeu de validation (f, y2), mesuré à chaque époque et jamais appris.
        seed : graine des mélanges, qui ne touche pas au hasard de l'appelant ; sans elle, ils sont tirés du
            générateur global de PyTorch, que `torch.manual_seed` fixe.

    Rend : un `History`. Au-delà d'une seconde, une barre dit où il en est.

    Lève : `ValueError` ou `TypeError`, avant toute modification du réseau.

    Source : Adam est celui de Kingma & Ba, 2015, algorithme 1, dans `torch.optim`.

    >>> from toylib import Net, gendata
    >>> f, y2 = gendata(200, seed=0)
    >>> history = train(Net(2, seed=0), f, y2, epochs=50, lr=0.1)
    >>> len(history.loss), bool(history.accuracy[-1] > 0.95)
    (51, True)
    """
    x, labels = as_tensors(model, data, target)
    valid = None if valid is None else check_valid(model, valid)
    epochs = check_whole("epochs", epochs)
    batch_size = len(x) if batch_size is None else check_whole("batch_size", batch_size, 1)
    # un facteur par pas de tout l'entraînement ; ceil arrondit au-dessus : le dernier lot, plus petit, compte aussi
    planned = factors(schedule, epochs * math.ceil(len(x) / batch_size))
    generator = random_generator(seed)
    descent = _make_optimizer(optimizer, model, check_lr(lr), planned)  # l'objet nommé optimizer dans la leçon
    varies = any(factor != 1.0 for factor in planned)
    rates = [(group, group["lr"]) for group in descent.param_groups] if varies else []  # group : des poids et leur taux
    scores, valid_scores, step = [], [], 0

    with mode(model, training=True), few_threads(model, len(x)), progress("Entraînement", epochs + 1) as bar:
        if epochs > 0:
            check_batches(model, x, labels, batch_size)
        for epoch in range(epochs + 1):
            if epoch > 0:  # à l'époque 0, le réseau initial est seulement mesuré
                order = torch.randperm(len(x), generator=generator, device="cpu")
                x, labels = x[order], labels[order]
                for batch_x, batch_labels in zip(x.split(batch_size), labels.split(batch_size)):
                    for group, rate in rates:
                        group["lr"] = rate * planned[step]  # change le taux dans descent même
                    loss = cross_entropy(model(batch_x), batch_labels)
                    descent.zero_grad()
                    loss.backward()
                    descent.step()
                    step += 1
            scores.append(measure(model, x, labels))
            if valid is not None:
                valid_scores.append(measure(model, *valid))
            bar.update()
    return History.of(scores, valid_scores)


def test(model: nn.Module, data, target) -> Score:
    """Mesure la perte et l'exactitude de `model`, sans gradient et sans le modifier.

    Arguments : comme pour `train`.

    Rend : un `Score`. Les classes à égalité de logits comptent pour la première d'entre elles.

    Lève : `ValueError` ou `TypeError`.

    >>> from toylib import Net
    >>> model = Net(2, seed=0)
    >>> test(model, [[0.0, 0.0]], [1]).accuracy in (0.0, 1.0)
    True
    """
    x, labels = as_tensors(model, data, target)
    return measure(model, x, labels)


vars(test)["__test__"] = False  # pytest la prendrait pour un test


def measure(model: nn.Module, x: torch.Tensor, labels: torch.Tensor) -> Score:
    """La même mesure, de tenseurs déjà vérifiés : entrées (n, d) et classes (n,).

    >>> measure(nn.Linear(1, 2), torch.zeros(1, 1), torch.tensor([0])).accuracy in (0.0, 1.0)
    True
    """
    with torch.no_grad(), mode(model, training=False):
        logits = model(x)
        loss = cross_entropy(logits, labels)
        accuracy = (logits.argmax(dim=1) == labels).double().mean()
    return Score(loss.item(), accuracy.item())


@contextmanager
def few_threads(model: nn.Module, n: int) -> Iterator[None]:
    """Un seul fil de calcul, si les couches de `model` sont petites pour `n` échantillons ; puis ceux de l'appelant.

    >>> with few_threads(nn.Linear(2, 2), 500):
    ...     torch.get_num_threads()
    1
    """
    before, widest = vars(_BEFORE).setdefault("threads", []), max(part.numel() for part in model.parameters())
    threads = (*before, torch.get_num_threads())[0]
    before.append(threads)
    torch.set_num_threads(1 if widest * n < SMALL else threads)
    try:
        yield
    finally:
        torch.set_num_threads(before.pop())


def _make_optimizer(optimizer: Any, model: nn.Module, lr: float, planned: Sequence[float]) -> torch.optim.Optimizer:
    """L'optimiseur des poids de `model`, d'après son nom ou une fonction (params, lr) ; `planned` : le facteur du
    taux à chaque pas."""
    ready = isinstance(optimizer, torch.optim.Optimizer)
    found = f"un optimiseur déjà fait, {type(optimizer).__name__}"
    require(not ready, "optimizer", "être un nom, une classe ou une fonction (params, lr)", found, TypeError)
    # ce qui s'appelle (callable), classe ou fonction, sert tel quel ; sinon, c'est un nom d'OPTIMIZERS
    make = optimizer if callable(optimizer) else OPTIMIZERS[check_choice("optimizer", optimizer, OPTIMIZERS)]
    with refusing("optimizer", "rendre un optimiseur, de (params, lr)"):
        made = make(list(model.parameters()), lr)
    check_optimizer(made, model, planned)
    return made


def progress(name: str, total: int) -> tqdm:
    """Une barre de `total` époques, qui ne se montre qu'au bout d'une seconde.

    >>> progress("Entraînement", 3).total
    3
    """
    silent = bool(os.environ.get("TQDM_DISABLE"))  # dans un carnet, tqdm ne lit pas cette variable
    shape = "{desc} : {percentage:.0f} % |{bar}|"
    return tqdm(desc=name, total=total, disable=silent, unit="époque", delay=1, leave=False, bar_format=shape)
