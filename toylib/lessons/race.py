"""La course de la leçon 09 : un optimiseur dont on multiplie le gradient, et l'inertie à régler."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from toylib import Net, gendata, train
from toylib.training import OPTIMIZERS


def scaled(make: str | Callable, scale: float) -> Callable:
    """L'optimiseur `make`, un nom ou une fonction (params, lr), qui reçoit chaque gradient multiplié par `scale`.

    C'est ce que ferait une perte multipliée par `scale`. Rend : une fonction (params, lr), pour `train`.
    """
    make = OPTIMIZERS[make] if isinstance(make, str) else make

    def make_scaled(params, lr):
        for param in params:
            param.register_hook(lambda gradient: scale * gradient)
        return make(params, lr)

    return make_scaled


def sum_race(lr: float, beta: float) -> list[float]:
    """Ce que donne l'inertie si l'on somme 500 pertes, règle "band" : lr, β, perte moyenne finale, médiane de 5 essais.

    >>> sum_race(0.1, 1.0)  # β doit être dans [0, 1[ : la perte est dite infinie
    [0.1, 1.0, inf]
    """
    if not 0 <= beta < 1:
        return [float(lr), float(beta), np.inf]
    data, make = gendata(500, rule="band", seed=3), scaled(partial(torch.optim.SGD, momentum=beta), 500)
    runs = [train(Net(2, seed=seed), *data, 100, lr, optimizer=make, seed=0) for seed in range(5)]
    return [float(lr), float(beta), float(np.median([np.nan_to_num(run.loss[-1], nan=np.inf) for run in runs]))]
