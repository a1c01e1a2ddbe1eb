"""Le problème que la leçon 11 laisse à l'élève seul : un taux se juge par les entraînements qu'il donne."""

import numpy as np

from toylib import Net, gendata, sweep
from toylib._checks import check_lr

TASK = {"n": 1000, "nins": 3, "rule": "band", "noise": 0.05}


def validation_loss(lr: float) -> list[float]:
    """Le taux `lr`, et la perte de validation finale qu'il donne, médiane de cinq réseaux.

    SGD, 30 époques, en lots de 50. Une perte qui n'est plus un nombre compte pour infinie.

    Lève : `ValueError` ou `TypeError` si `lr` n'est pas un taux.

    >>> validation_loss(0.8)[1] < 0.365
    True
    """
    lr = check_lr(lr)
    nets = [Net(3, hidden=(32,), seed=seed) for seed in range(5)]
    options = {"optimizer": "sgd", "batch_size": 50, "seed": 0, "valid": gendata(**TASK, seed=1)}
    trial = sweep(nets, *gendata(**TASK, seed=0), 30, [lr], **options)
    losses = np.nan_to_num(trial.valid_loss[:, 0, -1], nan=np.inf)
    return [lr, float(np.median(losses))]
