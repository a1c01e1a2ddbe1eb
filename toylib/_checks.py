"""Les vérifications d'arguments : chaque message nomme l'argument, ce qui est venu et ce qui est attendu."""

import inspect
import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

MAX = sys.float_info.max


def shown(value: object) -> str:
    """Écrit `value` sur une ligne courte, pour un message ; ou son type, s'il ne sait pas s'écrire.

    >>> shown([0.1, "a"]), shown("a" * 1000)[-2:], shown(10**5000)
    ("[0.1, 'a']", 'a…', 'un int')
    """
    try:
        text = " ".join(repr(value).split())
    except Exception:  # un entier de plus de 4 300 chiffres, un objet mal fait
        text = f"un {type(value).__name__}"
    return text if len(text) <= 120 else f"{text[:119]}…"


def require(sound: object, name: str, wanted: str, found: object, kind: type[Exception] = ValueError) -> None:
    """Lève `kind` si `sound` est faux : l'argument `name` doit `wanted`, et c'est `found` qui est venu.

    >>> require(3 > 2, "n", "être au plus 2", 3)
    """
    if not sound:
        raise kind(f"{name} doit {wanted} ; reçu : {found}.")


@contextmanager
def refusing(name: str, wanted: str, found: str = "", kind: type[Exception] = ValueError) -> Iterator[None]:
    """De même, lève `kind` si ce que l'on tente lève une erreur, qui est alors ce qui est venu, à défaut de `found`.

    >>> with refusing("f", "rendre un nombre"):
    ...     1 / 0
    Traceback (most recent call last):
    ValueError: f doit rendre un nombre ; reçu : une erreur, ZeroDivisionError ('division by zero').
    """
    try:
        yield
    except Exception as error:
        said = found or f"une erreur, {type(error).__name__} ({shown(str(error))})"
        raise kind(f"{name} doit {wanted} ; reçu : {said}.") from (None if found else error)


def check_whole(name: str, value: Any, least: int = 0) -> int:
    """Rend `value` s'il est un entier d'au moins `least`.

    Lève : `TypeError` s'il n'est pas entier, `ValueError` s'il est trop petit ou dépasse 64 bits.

    >>> check_whole("epochs", 100)
    100
    """
    value = _plain(value)
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    require(whole, name, "être un entier", shown(value), TypeError)
    require(least <= value < 2**63, name, f"être un entier d'au moins {least} (et de 63 bits au plus)", shown(value))
    return int(value)


def check_fits(name: str, count: int) -> None:
    """Lève `ValueError` si `name` demande plus de cent millions de nombres : la mémoire n'y suffirait pas.

    >>> check_fits("epochs", 1000)
    """
    require(count <= 10**8, name, "demander cent millions de nombres au plus", f"de quoi en demander {count}")


def check_real(
    name: str, value: Any, low: float = -MAX, high: float = MAX, wanted: str = "être un nombre fini"
) -> float:
    """Rend `value` s'il est un nombre réel, entre `low` et `high` ; sinon, dit qu'il doit `wanted`.

    Lève : `TypeError` s'il n'est pas un nombre, `ValueError` s'il n'est pas entre ces bornes.

    >>> check_real("noise", 0.1)
    0.1
    """
    value = _plain(value)
    require(isinstance(value, Real) and not isinstance(value, bool), name, "être un nombre", shown(value), TypeError)
    require(low <= value <= high, name, wanted, shown(value))
    return float(value)


def _plain(value: Any) -> Any:
    """`value`, ou le nombre que porte un tableau ou un tenseur sans dimension."""
    try:
        return value.item() if getattr(value, "ndim", None) == 0 else value
    except Exception:  # un tenseur « meta » n'a pas de valeur
        return value


def check_lr(value: object, name: str = "lr", dtype: torch.dtype = torch.float64, gain: float = 10.0) -> float:
    """Rend le taux d'apprentissage `value` s'il est strictement positif, et si `dtype` peut écrire `gain` fois ce taux.

    Dix fois, d'ordinaire : c'est ce qu'Adam fait du taux à son premier pas.

    Lève : `TypeError` s'il n'est pas un nombre, `ValueError` s'il ne convient pas.

    >>> check_lr(0.01)
    0.01
    """
    number, kind = check_real(name, value), torch.finfo(dtype)
    require(number > 0, name, "être strictement positif", number)
    low, high = kind.tiny * kind.eps, kind.max / gain
    return check_real(name, number, low, high, f"être entre {low:.1e} et {high:.1e}, pour des poids {kind.dtype}")


def check_list(name: str, values: Any, wanted: str) -> list:
    """Rend la liste des éléments d'une suite, d'un tableau ou d'un tenseur ; ni texte, ni octets, ni ensemble.

    >>> check_list("hidden", range(2), "une suite de largeurs")
    [0, 1]
    """
    with refusing(name, f"être {wanted}", shown(values), TypeError):  # ce qui ne se parcourt pas, un tenseur creux
        if isinstance(values, str | bytes | bytearray | memoryview | Mapping | Set | Iterator):
            raise TypeError
        return list(values.tolist() if hasattr(values, "tolist") else values)


def check_lrs(values: object, name: str = "lrs", dtype: torch.dtype = torch.float64) -> list[float]:
    """Rend les taux de la suite `values`, vérifiés un par un ; elle ne peut être vide.

    >>> check_lrs((0.01, 0.1))
    [0.01, 0.1]
    """
    values = check_list(name, values, "une suite de taux, comme (0.01, 0.1)")
    require(values, name, "contenir au moins un taux", "une suite vide")
    return [check_lr(lr, f"{name}[{i}]", dtype) for i, lr in enumerate(values)]


def check_rates(values: object, layers: int, dtype: torch.dtype, planned: Sequence[float]) -> list:
    """Rend les taux de la suite `values`, comme `check_lrs` ; ou, si ce sont des suites, un taux par couche. Des poids
    `dtype` doivent pouvoir suivre chacun, multiplié par les facteurs `planned`.

    >>> check_rates([[0.1, 0.2], [1, 2]], layers=2, dtype=torch.float32, planned=[1.0])
    [[0.1, 0.2], [1.0, 2.0]]
    """
    rows = check_list("lrs", values, "une suite de taux, comme (0.01, 0.1)")
    if rows and hasattr(_plain(rows[0]), "__iter__"):
        rates: list = [check_lrs(row, f"lrs[{i}]", dtype) for i, row in enumerate(rows)]
        for i, row in enumerate(rates):
            require(len(row) == layers, f"lrs[{i}]", f"avoir un taux par couche, soit {layers}", len(row))
    else:
        rates = check_lrs(rows, dtype=dtype)
    check_planned(planned, np.max(rates), dtype)
    return rates


def check_planned(planned: Sequence[float], top: float, dtype: torch.dtype, gain: float = 10.0) -> None:
    """Vérifie que `dtype` peut écrire `gain` fois chaque facteur de `planned`, et son produit par le taux `top`.

    >>> check_planned([0.5, 1.0], 0.1, torch.float32)
    """
    peak, most = max(planned, default=0.0), torch.finfo(dtype).max / gain / max(1.0, top)
    name = f"schedule({planned.index(peak) if planned else 0}, {len(planned)})"
    require(peak <= most, name, f"être au plus {most:.1e}, pour des poids {dtype} à ce taux", peak)


def check_file(name: str, out: Any, kinds: Sequence[str]) -> Path:
    """Rend le chemin `out` s'il finit par l'une des terminaisons `kinds` et peut s'écrire ; un fichier déjà là reste
    tel quel.

    Lève : `TypeError` si ce n'est pas un nom de fichier, `ValueError` s'il ne convient pas.

    >>> check_file("out", 3, [".png"])
    Traceback (most recent call last):
    TypeError: out doit être un nom de fichier ; reçu : 3.
    """
    with refusing(name, "être un nom de fichier", shown(out), TypeError):
        path, found = Path(out), shown(str(out))
        known = os.access(path, os.F_OK)  # une erreur pour un octet nul, que Path accepte
    require(path.suffix.lower() in kinds, name, f"finir par l'un de : {', '.join(kinds)}", found)
    require(not path.is_dir(), name, "être un fichier", f"un dossier, {found}")
    with refusing(name, "pouvoir s'écrire, dans un dossier qui existe", found):
        path.open("ab").close()
    if not known:
        path.unlink()
    return path


def check_choice(name: str, value: object, known: Collection[str]) -> str:
    """Rend `value` s'il est l'un des noms de `known` ; sinon lève `ValueError`, qui les énumère.

    >>> check_choice("rule", "xor", ("sum", "xor"))
    'xor'
    """
    require(isinstance(value, str) and value in known, name, f"être l'un de : {', '.join(known)}", shown(value))
    return str(value)


def to_tensor(name: str, values: Any, dtype: torch.dtype | None = None, device: str | torch.device = "cpu") -> Tensor:
    """Un tenseur dense et sans gradient, de type `dtype` ; par défaut, int64 ou float64.

    Lève : `TypeError` si ce n'est pas un tableau de nombres réels, `ValueError` si des valeurs sont masquées.

    >>> to_tensor("data", np.array([1, 2], dtype=np.uint16), torch.float32)
    tensor([1., 2.])
    """
    require(not np.ma.is_masked(values), name, "être sans valeur masquée", type(values).__name__)
    tensor = values if isinstance(values, Tensor) else _from_numpy(name, values)
    found = f"un tenseur {tensor.dtype}, {tensor.layout}, {tensor.device}"
    with refusing(name, _ARRAY, found, TypeError):
        if tensor.layout != torch.strided or tensor.is_nested or tensor.is_complex():
            raise TypeError
        return tensor.detach().to(device, dtype or (torch.int64 if tensor.dtype == torch.int64 else torch.float64))


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
    top = y.max().item() if y.numel() and y.isfinite().all() else 0
    check_fits(name, int(top))
    return max(2, int(top) + 1)


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
    found = f"forme {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
    sound = isinstance(logits, Tensor) and logits.ndim == 2 and len(logits) == len(x)
    wanted = f"rendre des logits de forme (n, classes), une ligne pour chacune des {len(x)} entrées d'essai"
    require(sound, "model", wanted, found)
    return logits.shape[1]


def _labels(name: str, y: Tensor, classes: int) -> Tensor:
    """Les classes int64 (n,) de lignes one-hot (n, classes) ou d'indices (n,)."""
    rows = y.unsqueeze(1) == torch.arange(classes) if y.ndim == 1 else y  # un indice devient sa ligne
    sound = rows.shape[1:] == (classes,) and ((rows == 0) | (rows == 1)).all() and (rows.sum(dim=1) == 1).all()
    wanted = f"des lignes de {classes} nombres avec un seul 1 et des 0, ou des indices de classe entre 0 et "
    found = f"forme {tuple(y.shape)}, valeurs comme {', '.join(f'{one:g}' for one in y.unique()[:5].tolist())}"
    require(sound, name, f"contenir {wanted}{classes - 1}", found)
    return rows.long().argmax(dim=1)


def numpy_generator(seed: int | None) -> np.random.Generator:
    """De même pour NumPy : sans graine, un générateur que tire son état global, celui de `np.random.seed`.

    >>> numpy_generator(7).integers(10, size=3).tolist()
    [9, 6, 6]
    """
    # sans graine, l'état global, justement
    state = np.random.randint(2**31, size=4) if seed is None else check_whole("seed", seed)  # noqa: NPY002
    return np.random.default_rng(state)


def check_batches(model: nn.Module, epochs: int, n: int, batch_size: int) -> None:
    """Vérifie qu'un réseau qui normalise par lot (`BatchNorm`) n'aura pas à apprendre d'un seul échantillon.

    >>> check_batches(nn.BatchNorm1d(2), 100, 10, 4)
    """
    norms = [type(part).__name__ for part in model.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    alone = epochs and norms and (n % batch_size or batch_size) == 1
    wanted = f"donner au moins 2 échantillons à chaque lot, pour un réseau qui a {', '.join(norms)}"
    require(not alone, "batch_size", wanted, f"{batch_size}, et {n} échantillons")


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
    return parts[0].dtype, parts[0].device


def random_generator(seed: int | None) -> torch.Generator:
    """Un générateur aléatoire neuf, de graine `seed` ; sans graine, le générateur global de PyTorch.

    Lève : `ValueError` ou `TypeError` si `seed` n'est pas un entier positif ou nul.

    >>> random_generator(7).initial_seed()
    7
    """
    return torch.default_generator if seed is None else torch.Generator().manual_seed(check_whole("seed", seed))


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
            check_planned(planned, check_lr(float(group["lr"]), "lr", parts[0].dtype, gain), parts[0].dtype, gain)
