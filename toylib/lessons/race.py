"""La course de la leçon 09 : un optimiseur dont on multiplie le gradient, et l'inertie à régler."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from toylib import Net, gendata, train
from toylib._checks import check_choice, check_lr, check_real
from toylib.training import OPTIMIZERS


def scaled(make: str | Callable, scale: float) -> Callable:
    """L'optimiseur `make`, un nom ou une fonction (params, lr), qui reçoit chaque gradient multiplié par `scale`.

    C'est ce que ferait une perte multipliée par `scale`. Rend : une fonction (params, lr), pour `train`.

    Lève : `ValueError` ou `TypeError` pour un optimiseur ou un facteur qui ne convient pas.
    """
    make = make if callable(make) else OPTIMIZERS[check_choice("make", make, OPTIMIZERS)]
    scale = check_real("scale", scale)

    def multiply(optimizer, *step):
        for group in optimizer.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    param.grad.mul_(scale)

    def make_scaled(params, lr):
        made = make(params, lr)
        made.register_step_pre_hook(multiply)  # à l'optimiseur, et non aux poids, que d'autres entraîneront
        return made

    return make_scaled


def sum_race(lr: float, beta: float) -> list[float]:
    """Ce que donne l'inertie si l'on somme 500 pertes, règle "band" : lr, β, perte moyenne finale, médiane de 5 essais.

    Lève : `ValueError` ou `TypeError` pour un taux ou un β qui n'est pas un nombre.

    >>> sum_race(0.1, 1.0)  # β doit être dans [0, 1[ : la perte est dite infinie
    [0.1, 1.0, inf]
    """
    lr, beta = check_lr(lr), check_real("beta", beta)
    if not 0 <= beta < 1:
        return [lr, beta, np.inf]
    data, make = gendata(500, rule="band", seed=3), scaled(partial(torch.optim.SGD, momentum=beta), 500)
    runs = [train(Net(2, seed=seed), *data, 100, lr, optimizer=make, seed=0) for seed in range(5)]
    return [lr, beta, float(np.median([np.nan_to_num(run.loss[-1], nan=np.inf) for run in runs]))]
