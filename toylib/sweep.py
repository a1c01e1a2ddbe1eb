"""Le balayage : un réseau copié, un taux d'apprentissage par copie, toutes les copies entraînées ensemble."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from toylib._checks import check_choice, check_fits, check_flags, check_list, check_rates, check_whole, require, shown
from toylib._tensors import as_tensors, check_valid, check_weights, count_weights, random_generator
from toylib.engine import LOSSES, PLACES, STATES, UPDATES, Epoch, Task, run
from toylib.network import Net
from toylib.schedules import Schedule, factors
from toylib.training import History, few_threads, progress

CHUNK = 0.01  # secondes d'entraînement entre deux états des courbes
MEMORY = 2**28  # octets que les copies peuvent prendre ensemble ; au-delà, elles sont entraînées bloc par bloc


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
        known = check_whole("k", k, -len(self.lrs)) < len(self.lrs)
        require(known, "k", f"être le rang d'un taux, de 0 à {len(self.lrs) - 1}", k)
        curves = {name: curve for name in History.__annotations__ if (curve := getattr(self, name)) is not None}
        return History(**{name: (median(curve) if curve.ndim > 2 else curve)[k] for name, curve in curves.items()})

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
        require(self.lrs.ndim == 1, "lrs", "être fait d'un taux par copie, pour un domaine", "un taux par couche")
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
    middle = curves if curves.ndim == 2 else np.median(curves, axis=0)
    middle.setflags(write=False)
    return middle


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

    >>> from toylib import gendata
    >>> f, y2 = gendata(200, seed=0)
    >>> result = sweep(Net(2, seed=0), f, y2, epochs=50, lrs=[0.001, 0.1])
    >>> result.loss.shape, bool(result.loss[1, -1] < result.loss[0, -1])
    ((2, 51), True)
    """
    plan = _check(**locals())
    with progress("Balayage", len(plan.tasks) * (plan.tasks[0].epochs + 1)) as bar:
        *_, result = _deliver(plan, bar.update)
    return result


def iter_sweep(
    model: Net | Sequence[Net], data, target, epochs: int, lrs: Sequence[float], **options
) -> Iterator[Sweep]:
    """Le même balayage, livré toutes les 10 ms environ : chaque fois, les courbes jusqu'à l'époque atteinte.

    Mêmes arguments et mêmes erreurs que `sweep`. Si toutes les copies ne tiennent pas ensemble en mémoire, celles qui
    attendent leur tour ont des courbes NaN, que la suite remplit. Qui cesse de parcourir arrête l'entraînement ; le
    dernier `Sweep` est entier.

    >>> from toylib import gendata
    >>> *_, last = iter_sweep(Net(2, seed=0), *gendata(200, seed=0), epochs=50, lrs=[0.1])
    >>> last.loss.shape
    (1, 51)
    """
    return _deliver(_check(model, data, target, epochs, lrs, **(sweep.__kwdefaults__ or {}) | options))


class _Plan(NamedTuple):
    """Un balayage vérifié : ses taux, la forme (K,) ou (S, K) de ses courbes, et une tâche par bloc de copies qui
    tient dans `MEMORY` octets."""

    lrs: np.ndarray
    shape: tuple[int, ...]
    tasks: list[Task]


def _check(model, data, target, epochs, lrs, *, optimizer, batch_size, schedule, seed, valid, loss, weights) -> _Plan:
    """Vérifie les arguments de `sweep`."""
    models = _check_models(model)
    sets = [] if valid is None else [check_valid(models[0], valid)]
    sets.append(as_tensors(models[0], data, target))
    epochs, n = check_whole("epochs", epochs), len(sets[-1][0])
    batch_size = n if batch_size is None else check_whole("batch_size", batch_size, 1)
    planned = factors(schedule, epochs * math.ceil(n / batch_size))
    lrs = check_rates(lrs, len(models[0].tanh) + 1, sets[-1][0].dtype, planned)
    optimizer, loss = check_choice("optimizer", optimizer, UPDATES), LOSSES[check_choice("loss", loss, LOSSES)]
    check_flags(weights=weights)
    copies = [(one, lr) for one in deepcopy(models) for lr in lrs]  # qui parcourt `iter_sweep` peut entraîner model
    check_fits("epochs", len(copies) * (epochs + 1) * (count_weights(models[0]) if weights else 1))
    state = random_generator(seed).get_state()
    if seed is None:  # le générateur global avance aussitôt, comme `train` le ferait avancer
        for _ in range(epochs):
            torch.randperm(n, device="cpu")
    task = Task(copies, sets, epochs, batch_size, optimizer, loss, planned, state, weights)
    shape = (len(lrs),) if isinstance(model, Net) else (len(models), len(lrs))
    return _Plan(np.array(lrs), shape, _blocks(task))


def _blocks(task: Task) -> list[Task]:
    """La tâche, en blocs de copies qui tiennent dans `MEMORY` octets."""
    model, samples = task.copies[0][0], max(len(x) for x, _ in task.sets)
    neurons = sum(layer.out_features for layer in (*model.hidden, model.output))
    numbers = PLACES * neurons * samples + STATES * count_weights(model)
    size = max(1, MEMORY // (numbers * model.output.weight.element_size()))
    starts = range(0, len(task.copies), size)
    return [task._replace(copies=task.copies[start : start + size]) for start in starts]


def _check_models(model) -> list[Net]:
    """Le réseau, ou les réseaux, tous de même architecture, et tels que `Net(…)` les fait, à leurs poids près : ce que
    le moteur sait refaire."""
    wanted = "un Net ou une suite de Net, sans sous-classe, pour `sweep`"
    models = check_list("model", [model] if isinstance(model, nn.Module) else model, wanted)
    found = shown([type(one).__name__ for one in models])
    require({type(one) for one in models} == {Net}, "model", f"être {wanted}", found, TypeError)
    for one in models:
        check_weights(one)
        change = find_change(one)
        require(not change, "model", "être un Net dont rien n'a changé que les poids, pour `sweep`", change)
    kinds = {(one.tanh, *((part.shape, part.dtype) for part in one.parameters())) for one in models}
    require(len(kinds) == 1, "model", "être une suite de réseaux de même architecture", "des réseaux différents")
    return models


def find_change(model: Net) -> str | None:
    """Ce qui fait d'un réseau autre chose qu'un `Net` tel que `Net(…)` le fait, à ses poids près ; None, si rien.

    >>> find_change(Net(2, seed=0).requires_grad_(False))
    'des poids gelés'
    """
    return next((change for change, found in _changes(model) if found), None)


def _changes(model: Net) -> Iterator[tuple[str, object]]:
    """Ce qui ferait d'un réseau autre chose qu'un `Net`, et si c'est le cas ; chacun suppose que les précédents ne le
    sont pas."""
    yield "un tanh qui n'est plus un tuple de booléens", not isinstance(model.tanh, tuple)
    modules, layers = list(model.modules()), [*(f"hidden.{i}." for i in range(len(model.tanh))), "output."]
    yield "d'autres couches", [type(one) for one in modules] != [Net, nn.ModuleList, *[nn.Linear] * len(layers)]
    names, weights = zip(*model.named_parameters(remove_duplicate=False))
    yield "des poids en plus ou en moins", list(names) != [one + part for one in layers for part in ("weight", "bias")]
    widths = [model.nins, *map(len, weights[:-2:2]), model.nout]
    shapes = [shape for a, b in zip(widths, widths[1:]) for shape in ((b, a), (b,))]
    yield "des couches qui ne s'enchaînent pas", [tuple(one.shape) for one in weights] != shapes
    yield "des poids partagés", len({one.data_ptr() for one in weights}) < len(weights)
    yield "des poids gelés", not all(one.requires_grad for one in weights)
    yield "une méthode forward remplacée", any("forward" in vars(one) for one in modules)
    hooks = [hooks for one in modules for name, hooks in vars(one).items() if name.endswith("_hooks")]
    hooks += [one._backward_hooks or one._post_accumulate_grad_hooks for one in weights]
    yield "des crochets (`hooks`)", any(hooks) or nn.modules.module._has_any_global_hook()


def _deliver(plan: _Plan, count: Callable[[int], object] = int) -> Iterator[Sweep]:
    """Entraîne les blocs l'un après l'autre ; livre, toutes les 10 ms environ, le balayage jusque-là, et dit à `count`
    combien d'époques se sont ajoutées."""
    copies, length = math.prod(plan.shape), plan.tasks[0].epochs + 1
    curves: dict[str, np.ndarray] = {}
    for block, task in enumerate(plan.tasks):
        first, done, epochs = block * len(plan.tasks[0].copies), 0, run(task)
        while parts := _advance(task, epochs):
            added = parts["loss"].shape[1]
            for name, part in parts.items():
                if name not in curves:  # NaN : les copies qui attendent leur tour
                    curves[name] = np.full((copies, length, *part.shape[2:]), np.nan, part.dtype)
                curves[name][first : first + len(part), done : done + added] = part
            done += added
            count(added)
            yield _sweep(plan, curves, length if block else done)


def _sweep(plan: _Plan, curves: dict[str, np.ndarray], length: int) -> Sweep:
    """Le `Sweep` des `length` premières époques de ces courbes, en lecture seule."""
    kept = {name: curve[:, :length].reshape(*plan.shape, length, *curve.shape[2:]) for name, curve in curves.items()}
    for array in (plan.lrs, *kept.values()):
        array.setflags(write=False)
    return Sweep(plan.lrs, **kept)


@torch.inference_mode()
@torch.autocast("cpu", enabled=False)
def _advance(task: Task, epochs: Iterator[Epoch]) -> dict[str, np.ndarray]:
    """Les courbes des époques suivantes, 10 ms environ ; rien, s'il n'y en a plus."""
    chunk, start = [], time.perf_counter()
    with few_threads(task.copies[0][0], len(task.sets[-1][0])):
        for epoch in epochs:
            chunk.append(epoch)
            if time.perf_counter() - start > CHUNK:
                break
        return _measures(task, chunk) if chunk else {}


def _measures(task: Task, epochs: Sequence[Epoch]) -> dict[str, np.ndarray]:
    """Les courbes de `epochs`, par leur nom dans `Sweep` : perte et exactitude (K, T), et poids (K, T, D)."""
    kept = [epoch.weights for epoch in epochs if epoch.weights is not None]
    curves = {"weights": torch.stack(kept, dim=1).numpy()} if kept else {}
    for k, (_, labels) in enumerate(task.sets, -len(task.sets)):  # -1 : le jeu d'entraînement
        prefix, z = ("valid_", "")[k], torch.stack([epoch.logits[k] for epoch in epochs], dim=1)
        hits = z.max(dim=2).indices == labels  # comme argmax, et dix fois plus rapide
        curves[f"{prefix}loss"] = task.loss.value(z, labels).mean(dim=2).double().numpy()
        curves[f"{prefix}accuracy"] = hits.double().mean(dim=2).numpy()
    return curves
