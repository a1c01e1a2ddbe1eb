"""Les entraînements de l'explorateur : ceux que l'on demande, et ceux que l'on a déjà."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from toylib._checks import check_fits, check_whole, require
from toylib._tensors import as_tensors, check_pair, check_valid, count_classes, to_tensor
from toylib.data import gendata
from toylib.network import Net
from toylib.sweep import Sweep, iter_sweep
from toylib.training import History

BLOCK = 15  # taux entraînés ensemble au repos : qui bouge pendant ce temps n'en perd pas plus
# Dix taux par décade, de 1e-5 à 10, arrondis à trois chiffres : ce qui s'affiche est ce qui entraîne.
LR_GRID = tuple(float(f"{10 ** (k / 10):.3g}") for k in range(-50, 11))
CACHE, PAGE = 2**24, 2**28  # octets de courbes et de poids gardés, par un explorateur, pour écrire une page


@dataclass(frozen=True, eq=False)
class Given:
    """Un jeu de données à soi : entrées float32 (n, d) et classes int64 (n,), et, s'il y en a, de validation.

    >>> given = Given.of(([[0, 10], [1, 20], [2, 990]], [0, 1, 2]))
    >>> given.shape, round(given.spread)
    ((2, 3), 563)
    """

    shape: tuple[int, int]
    data: tuple[np.ndarray, np.ndarray]
    valid: tuple[np.ndarray, np.ndarray] | None

    @classmethod
    def of(cls, data: object, valid: object = None) -> "Given":
        """Vérifie les couples (X, y) `data` et `valid`. Lève : `ValueError` ou `TypeError`, qui les nomme."""
        x = to_tensor("data[0]", check_pair("data", data)[0])
        full = x.ndim == 2 and x.numel() > 0
        require(full, "data[0]", "être de forme (n, d), sans dimension vide", tuple(x.shape))
        shape = x.shape[1], count_classes("data[1]", data[1])
        model = Net(*shape, hidden=(), seed=0)
        x, labels = (part.numpy() for part in as_tensors(model, *data, names=("data[0]", "data[1]")))
        held = None if valid is None else tuple(part.numpy() for part in check_valid(model, valid))
        return cls(shape, (x, labels), held)

    @cached_property
    def spread(self) -> float:
        """Le rapport du plus grand au plus petit écart-type d'une entrée, celles qui ne varient pas mises à part."""
        scales = self.data[0].std(axis=0, dtype=float)
        scales = scales[scales > 0]
        return float(scales.max() / scales.min()) if len(scales) else 1.0


class Config(NamedTuple):
    """Tout ce dont un entraînement dépend ; les noms et les sens de `LrExplorer`.

    `given` tient lieu de n, rule et noise, qui sont alors None.
    """

    lr: float
    optimizer: str
    n: int | None
    rule: str | None
    noise: float | None
    hidden: tuple[int, ...]
    epochs: int
    batch_size: int | None
    schedule: str
    seed: int
    given: Given | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Le nombre d'entrées et le nombre de classes."""
        return self.given.shape if self.given else (2, 2)

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Le jeu d'entraînement."""
        if self.given:
            return self.given.data
        return gendata(self.n, rule=self.rule, noise=self.noise, seed=self.seed)

    def valid(self, n: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Le jeu de validation : celui que l'on a donné, ou `n` échantillons d'une autre graine ; sinon None."""
        if self.given:
            return self.given.valid
        return gendata(n, rule=self.rule, noise=self.noise, seed=(self.seed + 10_000) % 2**63) if n else None

    def net(self, weights: np.ndarray | None = None) -> Net:
        """Le réseau, avant tout pas, ou avec ces poids."""
        model = Net(*self.shape, hidden=self.hidden, seed=self.seed)
        if weights is not None:
            vector_to_parameters(torch.tensor(weights), model.parameters())
        return model


class Run(NamedTuple):
    """Un entraînement, achevé ou non : ses courbes, ses poids à chaque époque si on les garde, et sa durée
    en secondes, ou None s'il était déjà calculé."""

    config: Config
    history: History
    weights: np.ndarray | None
    seconds: float | None

    @property
    def reached(self) -> int:
        """La dernière époque mesurée."""
        return len(self.history.loss) - 1

    def size(self) -> int:
        """Les octets que ses tableaux occupent."""
        arrays = (*vars(self.history).values(), self.weights)
        return sum(array.nbytes for array in arrays if array is not None)


class Runs:
    """Entraîne, et retient jusqu'à `room` octets d'entraînements, les plus récents.

    Arguments : `valid`, le nombre d'échantillons de validation (0 : aucun) ; `weights`, vrai pour garder les
    poids de chaque époque ; `room`, 0 pour n'en retenir que la perte finale.
    """

    def __init__(self, valid: int = 0, weights: bool = False, room: int = CACHE) -> None:
        self._valid, self.weights, self.room = check_whole("valid", valid), weights, room
        check_fits("valid", 2 * self._valid)
        self._kept: OrderedDict[Config, Run] = OrderedDict()
        self._finals: dict[Config, float] = {}
        self._bytes = 0

    def recall(self, config: Config) -> Run | None:
        """L'entraînement de `config`, s'il est retenu."""
        run = self._kept.get(config)
        if run is not None:
            self._kept.move_to_end(config)
        return run

    def train(self, config: Config) -> Iterator[Run]:
        """Entraîne, et livre toutes les 10 ms environ l'entraînement jusque-là ; le dernier est entier."""
        seconds, start = 0.0, time.perf_counter()
        for part in self.sweep(config, [config.lr]):
            seconds += time.perf_counter() - start
            run = Run(config, part.history(0), None if part.weights is None else part.weights[0], seconds)
            yield run
            start = time.perf_counter()
        self._keep(run)

    def fill(self, config: Config, stale: Callable[[], bool]) -> bool:
        """Entraîne à tous les taux de `LR_GRID` qui manquent, `BLOCK` ensemble, les plus proches d'abord, si tous
        tiennent dans `room` ; si seuls leurs poids n'y tiennent pas, n'en garde que la perte finale.

        Rend : vrai si plus rien ne manque, et que quelque chose manquait.
        """
        known = self._kept.get(config)
        if known is None or known._replace(weights=None).size() * len(LR_GRID) > self.room:
            return False
        whole = known.size() * len(LR_GRID) <= self.room  # sinon, les premiers seraient oubliés avant les derniers
        missing = [lr for lr in LR_GRID if config._replace(lr=lr) not in (self._kept if whole else self._finals)]
        missing.sort(key=lambda lr: abs(math.log(lr / config.lr)))
        for lrs in (missing[start : start + BLOCK] for start in range(0, len(missing), BLOCK)):
            for part in self.sweep(config, lrs, whole=whole):  # noqa: B007 (le dernier sert ensuite)
                if stale():
                    return False
            for k, lr in enumerate(lrs):
                weights = None if part.weights is None else part.weights[k].copy()
                self._keep(Run(config._replace(lr=lr), part.history(k), weights, None), whole=whole)
        return bool(missing)

    def rehearse(self, config: Config, lrs: Sequence[float]) -> Sweep:
        """Le balayage de `lrs` par trois réseaux : celui de `config`, et deux dont chaque poids est déplacé d'un bit.

        Là où les trois se séparent, c'est l'arrondi qui décide : une autre machine donnerait autre chose.
        """
        weights = parameters_to_vector(config.net().parameters()).detach()
        moved = [torch.nextafter(weights, torch.full_like(weights, to)) for to in (math.inf, -math.inf)]
        *_, result = self.sweep(config, lrs, [config.net(one.numpy()) for one in (weights, *moved)])
        return result

    def finals(self, config: Config) -> np.ndarray:
        """La perte finale à chaque taux de `LR_GRID`, (61,) ; NaN là où elle n'est pas encore connue."""
        return np.array([self._finals.get(config._replace(lr=lr), np.nan) for lr in LR_GRID])

    def sweep(
        self, config: Config, lrs: Sequence[float], models: Sequence[Net] = (), *, whole: bool = True
    ) -> Iterator[Sweep]:
        """Le balayage de `lrs` par le réseau de `config`, ou par `models` ; sans les poids, si `whole` est faux.

        Lève, sans rien entraîner : `ValueError` ou `TypeError` pour ce qui ne convient pas dans `config`.
        """
        options = {"optimizer": config.optimizer, "batch_size": config.batch_size, "schedule": config.schedule}
        options |= {"seed": config.seed, "valid": config.valid(self._valid), "weights": self.weights and whole}
        return iter_sweep(models or config.net(), *config.data(), config.epochs, lrs, **options)

    def _keep(self, run: Run, *, whole: bool = True) -> None:
        """Retient `run`, ou sa seule perte finale, et oublie les plus anciens au-delà de `room` octets."""
        # fmin ne garde pas NaN : une perte qui n'en est plus une reste en haut de la courbe.
        self._finals[run.config] = np.fmin(run.history.loss[-1], 1e30)
        if not (self.room and whole):
            return
        self._bytes += run.size()
        self._kept[run.config] = run._replace(seconds=None)
        while self._bytes > self.room and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].size()
