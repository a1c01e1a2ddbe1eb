"""La courbure maximale d'une perte, par la méthode de Lanczos : leçons 04, 13 et 14."""

import threading
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch.func import functional_call, grad, jvp, vmap

from toylib import Net
from toylib._checks import check_choice, check_real, require
from toylib._tensors import count_weights, to_tensor
from toylib.engine import LOSSES
from toylib.lessons.checks import check_net

DIRECTIONS = 100  # au plus
CHUNK = 256  # points traités ensemble

# La différentiation vers l'avant de torch a un état commun à tous les fils : un calcul à la fois.
_MEASURING = threading.Lock()


def max_curvature(model: Net, data, target, *, loss: str = "cross_entropy") -> float:
    """La courbure maximale (*sharpness*) de la perte de `model` : la plus grande valeur propre de sa hessienne.

    Arguments :
        model : un réseau ; il n'est pas modifié.
        data, target : entrées et classes, comme pour `train`.
        loss : "cross_entropy" ou "squared", comme pour `sweep`.

    Rend : la valeur propre. Lève : `ValueError` ou `TypeError`, comme `sweep`.

    Source : Cohen et al., *Gradient Descent on Neural Networks Typically Occurs at the Edge of
    Stability*, 2021, arXiv 2103.00065.

    >>> round(max_curvature(Net(1, hidden=(), seed=0), [[0.0], [0.0]], [0, 1]), 1)
    0.5
    """
    check_net(model, data, target)  # ses erreurs avant celles qui suivent
    weights = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    return float(max_curvatures(model, weights[None].numpy(), data, target, loss=loss, tol=1e-7)[0])


def max_curvatures(
    model: Net, weights, data, target, *, loss: str = "cross_entropy", scale=None, tol: float = 1e-4
) -> np.ndarray:
    """La courbure maximale en chacun des T points de `weights`, (T, D), comme `Sweep.weights` les donne.

    Arguments :
        model : un réseau de cette architecture ; ses propres poids ne comptent pas.
        scale : (T, D), ou None ; la courbure est alors celle que voit une descente dont le gradient est
            multiplié par `scale` : la plus grande valeur propre de √scale · H · √scale.
        data, target, loss : comme pour `max_curvature`.
        tol : l'erreur permise, en part de chaque courbure.

    Rend : float64 (T,). La hessienne n'est jamais écrite : la méthode ne lui demande que des
    produits par un vecteur, que la différentiation automatique donne (Pearlmutter, 1994).

    Lève : `ValueError` ou `TypeError` pour un argument qui ne convient pas.
    """
    slope, tol = _gradient(model, data, target, loss), check_tol(tol)
    points = _check_points("weights", weights, model)
    root = torch.ones_like(points) if scale is None else _check_points("scale", scale, model).sqrt()
    require(root.shape == points.shape, "scale", f"avoir {len(points)} lignes, comme weights", len(root))
    require((root >= 0).all(), "scale", "être fait de nombres positifs ou nuls", "un nombre négatif, ou NaN")
    products = vmap(lambda point, root, v: root * jvp(slope, (point,), (root * v,))[1])
    parts = zip(points.split(CHUNK), root.split(CHUNK))
    with _MEASURING:
        return torch.cat([_top(partial(products, *part), part[0], tol) for part in parts]).numpy()


def gradients(model: Net, weights, data, target, *, loss: str = "cross_entropy") -> np.ndarray:
    """Le gradient de la perte en chacun des T points de `weights` : float64 (T, D).

    Lève : `ValueError` ou `TypeError`, comme `max_curvatures`.
    """
    slopes = vmap(_gradient(model, data, target, loss), chunk_size=CHUNK)
    return slopes(_check_points("weights", weights, model)).numpy()


def check_tol(tol: float) -> float:
    """Rend l'erreur permise `tol` si elle est finie, positive ou nulle ; sinon lève `ValueError` ou `TypeError`.

    >>> check_tol(0.01)
    0.01
    """
    return check_real("tol", tol, 0, wanted="être un nombre fini, positif ou nul")


def _check_points(name: str, values, model: Net) -> torch.Tensor:
    """Des points, en float64 (T, D)."""
    points, size = to_tensor(name, values, torch.float64), count_weights(model)
    wanted = f"être de forme (T, {size}), une ligne par point, un nombre par poids"
    require(points.shape[1:] == (size,), name, wanted, tuple(points.shape))
    return points


def _top(products: Callable, points: torch.Tensor, tol: float) -> torch.Tensor:
    """La plus grande valeur propre de T opérateurs symétriques, (T,), par la méthode de Lanczos.

    `basis` et `images`, (T, m, D) : m directions orthonormées, depuis un vecteur tiré toujours du même générateur, et
    leurs images. De l'opérateur vu dans ces m directions, une matrice (m, m), on calcule la plus grande valeur propre ;
    un point a fini dès que son image ne s'écarte plus, d'une part supérieure à `tol`, de la direction trouvée.
    """
    image = torch.randn(points.shape[1], generator=torch.Generator().manual_seed(0), dtype=points.dtype)
    image = image.expand_as(points)[:, None]
    basis = images = points.new_empty(len(points), 0, points.shape[1])
    value, done = points.new_zeros(len(points)), torch.zeros(len(points), dtype=torch.bool)
    while not done.all() and basis.shape[1] < min(DIRECTIONS, points.shape[1]):
        for _ in range(2):  # deux fois : la première laisse des restes d'arrondi
            image = torch.nn.functional.normalize(image - image @ basis.mT @ basis, dim=2, eps=1e-300)
        basis = torch.cat([basis, image], dim=1)
        image = products(image[:, 0])[:, None]
        images = torch.cat([images, image], dim=1)
        seen = basis @ images.mT
        lost = ~seen.isfinite().all(dim=2).all(dim=1)
        values, vectors = torch.linalg.eigh(seen.nan_to_num(0, 0, 0))
        found, direction = values[:, -1], vectors[:, None, :, -1]
        gap = direction @ images - found[:, None, None] * (direction @ basis)
        value = torch.where(done, value, torch.where(lost, torch.nan, found))
        done = done | lost | (gap.norm(dim=2)[:, 0] <= tol * found.abs())
    return value


def _gradient(model: Net, data, target, loss: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """La fonction qui, d'un point (D,), en float64, donne le gradient de la perte (D,)."""
    x, labels = check_net(model, data, target)
    x, value = x.double(), LOSSES[check_choice("loss", loss, LOSSES)].value
    names, shapes = zip(*((name, part.shape) for name, part in model.named_parameters()))
    sizes = [shape.numel() for shape in shapes]

    def mean_loss(point):
        parts = [part.view(shape) for part, shape in zip(point.split(sizes), shapes)]
        return value(functional_call(model, dict(zip(names, parts)), x).T, labels).mean()

    return grad(mean_loss)
