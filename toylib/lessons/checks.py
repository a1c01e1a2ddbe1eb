"""Ce que plusieurs leçons vérifient : un réseau tel que `Net(…)` le fait, et deux axes."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from torch import Tensor

from toylib import Net
from toylib._checks import check_list, require, shown
from toylib._tensors import as_tensors
from toylib.sweep import find_change


def check_net(model: Net, data, target) -> tuple[Tensor, Tensor]:
    """Rend les mêmes tenseurs que `as_tensors`, si `model` est de ceux que `sweep` accepte.

    Lève : `ValueError` ou `TypeError` s'il est autre chose qu'un `Net` dont rien n'a changé que les poids.

    >>> check_net(Net(2, seed=0), [[0.0, 1.0]], [1])[1]
    tensor([1])
    """
    tensors = as_tensors(model, data, target)
    require(type(model) is Net, "model", "être un Net, sans sous-classe", type(model).__name__, TypeError)
    change = find_change(model)
    require(not change, "model", "être un Net dont rien n'a changé que les poids", change)
    return tensors


def two_axes(axes: Sequence[Axes] | None) -> Sequence[Axes]:
    """Rend les deux axes `axes` ; par défaut, ceux d'une figure neuve.

    Lève : `ValueError` ou `TypeError` si ce ne sont pas deux axes.

    >>> two_axes(plt.figure().subplots(1, 2)).shape
    (2,)
    """
    if axes is None:
        return plt.subplots(1, 2, figsize=(12, 4.3))[1]
    wanted = "une suite de deux axes"
    parts = check_list("axes", axes, wanted)
    require(len(parts) == 2, "axes", f"être {wanted}", f"une suite de {len(parts)}")
    require(all(isinstance(ax, Axes) for ax in parts), "axes", f"être {wanted}", shown(parts), TypeError)
    return axes
