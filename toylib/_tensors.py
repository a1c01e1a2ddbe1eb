"""Les tableaux et les réseaux que l'on donne : vérifiés, convertis en tenseurs, rendus comme ils étaient."""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from toylib._checks import check_fits, check_lr, check_planned, check_whole, refusing, require


def to_tensor(name: str, values: Any, dtype: torch.dtype | None = None, device: str | torch.device = "cpu") -> Tensor:
    """Un tenseur dense et sans gradient, de type `dtype` ; par défaut, int64 ou float64.

    Lève : `TypeError` si ce n'est pas un tableau de nombres réels, `ValueError` si des valeurs sont masquées.

    >>> to_tensor("data", np.array([1, 2], dtype=np.uint16), torch.float32)
    tensor([1., 2.])
    """
    parts = values if isinstance(values, list | tuple) else [values]
    require(not any(map(np.ma.is_masked, parts)), name, "être sans valeur masquée", type(values).__name__)
    tensor = values if isinstance(values, Tensor) else _from_numpy(name, values)
    found = f"un tenseur {tensor.dtype}, {tensor.layout}, {tensor.device}"
    with refusing(name, _ARRAY, found, TypeError):
        if tensor.layout != torch.strided or tensor.is_nested or tensor.is_complex():
            raise TypeError
        kind = dtype or (torch.int64 if tensor.dtype == torch.int64 else torch.float64)
        return tensor.detach().to(device, kind, copy=tensor is values)  # à nous : `_from_numpy` a déjà copié le sien


_ARRAY = "être un tableau de nombres réels, dense"


def _from_numpy(name: str, values: Any) -> Tensor:
    """Un tenseur float32, float64 ou int64, copié par numpy de ce qui n'en est pas un."""
    with refusing(name, _ARRAY, type(values).__name__, TypeError):  # des lignes inégales, des tenseurs à gradient
        array = np.array(values)
    kept = array.dtype in (np.float32, np.float64, np.int64)  # `uint16`, par exemple, ne se compare pas dans PyTorch
    found = f"{type(values).__name__} de dtype {array.dtype}"
    with refusing(name, _ARRAY, found, TypeError), np.errstate(over="ignore"):
        return torch.from_numpy(array if kept else array.astype(np.float64, casting="same_kind"))


def as_tensors(
    model: nn.Module, data: object, target: object, *, names: Sequence[str] = ("data", "target")
) -> tuple[Tensor, Tensor]:
    """Convertit des tableaux en tenseurs : entrées (n, d) du type et sur l'appareil des poids, classes int64 (n,).

    Lève : `ValueError` ou `TypeError` si `model` n'est pas un réseau de (n, d) vers (n, classes), si un tableau est
    vide, de mauvaise largeur ou contient NaN, si les longueurs diffèrent, si les classes ne conviennent pas.

    >>> x, labels = as_tensors(nn.Linear(2, 2), [[0, 1], [2, 3]], [[1, 0], [0, 1]])
    >>> labels
    tensor([0, 1])
    """
    dtype, device = check_weights(model)
    x, width = to_tensor(names[0], data, dtype, device), getattr(model, "nins", "d")
    wide = x.ndim == 2 and width in ("d", x.shape[1])
    require(wide, names[0], f"être de forme (n, {width}), comme les entrées du réseau", tuple(x.shape))
    require(len(x), names[0], "contenir au moins un échantillon", "un tableau vide")
    require(x.isfinite().all(), names[0], f"être fait de nombres finis en {dtype}", "NaN ou infini")
    y = to_tensor(names[1], target)
    found = f"forme {tuple(y.shape)}"
    require(y.shape[:1] == x.shape[:1], names[1], f"avoir {len(x)} lignes, comme {names[0]}", found)
    return x, _labels(names[1], y, _classes(model, x[:2])).to(device)


def check_valid(model: nn.Module, valid: object) -> tuple[Tensor, Tensor]:
    """Les tenseurs d'un jeu de validation (f, y2), comme `as_tensors` ; mêmes erreurs, qui nomment `valid`."""
    return as_tensors(model, *check_pair("valid", valid), names=("valid[0]", "valid[1]"))


def check_pair(name: str, pair: Any) -> Any:
    """Rend `pair` si c'est un couple (entrées, classes) ; sinon lève `TypeError`.

    >>> check_pair("data", ([[0.5]], [1]))
    ([[0.5]], [1])
    """
    couple = isinstance(pair, tuple | list) and len(pair) == 2
    require(couple, name, "être un couple (f, y2)", type(pair).__name__, TypeError)
    return pair


def count_classes(name: str, target: object) -> int:
    """Le nombre de classes de lignes one-hot, leur largeur, ou d'indices, le plus grand plus un ; 2 au moins.

    >>> count_classes("target", [0, 2, 1]), count_classes("target", [[1, 0, 0, 0]])
    (3, 4)
    """
    y = to_tensor(name, target)
    if y.ndim == 2:
        return max(2, y.shape[1])
    top = int(y.max()) if y.numel() and y.isfinite().all() else 0
    check_fits(name, top * y.numel())
    return max(2, top + 1)


@contextmanager
def mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Met `model` en mode d'apprentissage ou de mesure, puis rend à chacun de ses modules celui qu'il avait.

    >>> model = nn.Dropout()
    >>> with mode(model, training=False):
    ...     model(torch.ones(1))
    tensor([1.])
    >>> model.training
    True
    """
    before = [(part, part.training) for part in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for part, was in before:
            part.training = was


def _classes(model: nn.Module, x: Tensor) -> int:
    """Le nombre de classes de `model`, d'après ce qu'il rend des entrées `x`."""
    wanted = f"accepter des entrées de forme (n, {x.shape[1]}), celle de data, de type {x.dtype}"
    with refusing("model", wanted), torch.no_grad(), mode(model, training=False):
        logits = model(x)
    array = isinstance(logits, Tensor)
    found = f"{logits.dtype}, {logits.layout}, forme {tuple(logits.shape)}" if array else type(logits).__name__
    sound = array and logits.is_floating_point() and logits.layout == torch.strided
    sound = sound and logits.ndim == 2 and len(logits) == len(x)
    wanted = f"rendre des logits de forme (n, classes), une ligne pour chacune des {len(x)} entrées d'essai"
    require(sound, "model", wanted, found)
    return logits.shape[1]


def _labels(name: str, y: Tensor, classes: int) -> Tensor:
    """Les classes int64 (n,) de lignes one-hot (n, classes) ou d'indices (n,)."""
    rows = y.unsqueeze(1) == torch.arange(classes, device=y.device) if y.ndim == 1 else y  # un indice devient sa ligne
    sound = rows.shape[1:] == (classes,) and ((rows == 0) | (rows == 1)).all() and (rows.sum(dim=1) == 1).all()
    wanted = f"des lignes de {classes} nombres avec un seul 1 et des 0, ou des indices de classe entre 0 et "
    found = f"forme {tuple(y.shape)}, valeurs comme {', '.join(f'{one:g}' for one in y.unique()[:5].tolist())}"
    require(sound, name, f"contenir {wanted}{classes - 1}", found)
    return rows.long().argmax(dim=1)


def check_batches(model: nn.Module, x: Tensor, labels: Tensor, batch_size: int) -> None:
    """Vérifie que `model` peut apprendre des entrées `x`, par lots de `batch_size` et d'un reste.

    Il est essayé en mode `train` sur un lot de chaque taille ; ni ses tampons ni le hasard de l'appelant ne bougent.

    >>> check_batches(nn.BatchNorm1d(2), torch.rand(10, 2), torch.zeros(10), 4)
    """
    n, classes = len(x), int(labels.max()) + 1
    norms = [type(part).__name__ for part in model.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    alone = norms and (n % batch_size or batch_size) == 1
    wanted = f"donner au moins 2 échantillons à chaque lot, pour un réseau qui a {', '.join(norms)}"
    require(not alone, "batch_size", wanted, f"{batch_size}, et {n} échantillons")
    for size in {min(n, batch_size), n % batch_size or min(n, batch_size)}:
        wanted = f"rendre en mode train, d'un lot de taille {size}, des logits ({size}, {classes}) qui ont un gradient"
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        with refusing("model", wanted), torch.random.fork_rng([]), mode(model, training=True):
            logits = functional_call(model, buffers, (x[:size],))
            found = f"forme {tuple(logits.shape)}, {'avec' if logits.requires_grad else 'sans'} gradient"
            sound = logits.ndim == 2 and len(logits) == size and logits.shape[1] >= classes and logits.requires_grad
        require(sound, "model", wanted, found)


def check_weights(model: Any) -> tuple[torch.dtype, torch.device]:
    """Le type et l'appareil des poids de `model` : tous float32 ou tous float64, denses, sur un même appareil.

    >>> check_weights(nn.Linear(2, 2))
    (torch.float32, device(type='cpu'))
    """
    found = type(model).__name__
    require(isinstance(model, nn.Module), "model", "être un réseau, Net ou `nn.Module`", found, TypeError)
    parts = list(model.parameters())
    kinds = {f"{part.dtype} {part.device} {part.layout}" for part in parts}
    lazy = any(nn.parameter.is_lazy(part) for part in parts)
    found = "des poids que le premier appel tirera" if lazy else " ; ".join(sorted(kinds)) or "aucun poids"
    sound = len(kinds) == 1 and not lazy and not parts[0].is_meta and parts[0].layout == torch.strided
    sound = sound and parts[0].dtype in (torch.float32, torch.float64)
    require(sound, "model", "avoir des poids tous float32 ou tous float64, denses et sur un même appareil", found)
    mixed = torch.is_autocast_enabled(parts[0].device.type)
    require(not mixed, "model", "calculer au type de ses poids", "un calcul sous `torch.autocast`")
    return parts[0].dtype, parts[0].device


def count_weights(model: nn.Module) -> int:
    """Le nombre de poids et de biais de `model`.

    >>> count_weights(nn.Linear(2, 2))
    6
    """
    return sum(part.numel() for part in model.parameters())


def check_optimizer(made: Any, model: nn.Module, planned: Sequence[float]) -> None:
    """Vérifie que l'optimiseur `made` peut entraîner `model`, aux taux que multiplient les facteurs `planned`.

    Lève : `TypeError` si ce n'est pas un optimiseur, `ValueError` s'il ne convient pas.

    >>> model = nn.Linear(2, 2)
    >>> check_optimizer(torch.optim.SGD(model.parameters(), 0.1), model, [1.0])
    """
    found = type(made).__name__
    require(isinstance(made, torch.optim.Optimizer), "optimizer", "rendre un torch.optim.Optimizer", found, TypeError)
    closure = inspect.signature(made.step).parameters.get("closure")
    alone = closure is None or closure.default is not closure.empty
    wanted = "faire un pas d'après le gradient seul : ni perte à recalculer, ni gradients creux"
    require(alone and not isinstance(made, torch.optim.SparseAdam), "optimizer", wanted, found)
    parts, own = [part for group in made.param_groups for part in group["params"]], set(model.parameters())
    foreign = len(set(parts) - own)
    require(not foreign, "optimizer", "porter sur les poids de model seuls", f"{foreign} paramètres étrangers")
    fixed = any(part.is_inference() for part in parts)
    learns = any(part.requires_grad for part in parts) and not fixed
    found = "des poids créés sous `torch.inference_mode`" if fixed else "des poids tous gelés"
    require(learns, "model", "avoir des poids modifiables, un au moins à apprendre (`requires_grad`)", found)
    for group in made.param_groups:
        beta = float(group.get("betas", (0.0,))[0])
        gain = 1 / (1 - beta) if 0 <= beta < 1 else 1.0  # de ce qu'Adam fait du taux, à son premier pas
        rated = "lr" in group or set(planned) <= {1.0}
        require(rated, "optimizer", "avoir un taux lr à planifier", f"{type(made).__name__}, sans lr")
        if "lr" in group:
            check_planned(planned, check_lr(group["lr"], "lr", parts[0].dtype, gain), parts[0].dtype, gain)


def random_generator(seed: int | None) -> torch.Generator:
    """Un générateur aléatoire neuf, de graine `seed` ; sans graine, le générateur global de PyTorch.

    Lève : `ValueError` ou `TypeError` si `seed` n'est pas un entier positif ou nul.

    >>> random_generator(7).initial_seed()
    7
    """
    return torch.default_generator if seed is None else torch.Generator().manual_seed(check_whole("seed", seed))
