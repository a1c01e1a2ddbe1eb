"""Les vérifications d'arguments : chaque message nomme l'argument, ce qui est venu et ce qui est attendu."""

import inspect
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn


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


def check_real(name: str, value: Any) -> float:
    """Rend `value` s'il est un nombre réel fini.

    Lève : `TypeError` s'il n'est pas un nombre, `ValueError` s'il n'est pas fini.

    >>> check_real("noise", 0.1)
    0.1
    """
    value = _plain(value)
    require(isinstance(value, Real) and not isinstance(value, bool), name, "être un nombre", shown(value), TypeError)
    try:
        number = float(value)
    except OverflowError:  # un entier ou une fraction au-delà de float64
        number = math.inf
    require(math.isfinite(number), name, "être un nombre fini", shown(value))
    return number


def _plain(value: Any) -> Any:
    """`value`, ou le nombre que porte un tableau ou un tenseur sans dimension."""
    try:
        return value.item() if getattr(value, "ndim", None) == 0 else value
    except Exception:  # un tenseur « meta » n'a pas de valeur
        return value


def check_lr(value: object, name: str = "lr") -> float:
    """Rend le taux d'apprentissage `value` s'il est fini et strictement positif.

    Lève : `TypeError` s'il n'est pas un nombre, `ValueError` s'il n'est pas fini ou pas positif.

    >>> check_lr(0.01)
    0.01
    """
    number = check_real(name, value)
    require(number > 0, name, "être strictement positif", number)
    return number


def check_list(name: str, values: Any, wanted: str) -> list:
    """Rend la liste des éléments d'une suite, d'un tableau ou d'un tenseur ; ni texte, ni octets, ni ensemble.

    >>> check_list("hidden", range(2), "une suite de largeurs")
    [0, 1]
    """
    try:
        if isinstance(values, str | bytes | bytearray | memoryview | Mapping | Set | Iterator):
            raise TypeError
        return list(values.tolist() if hasattr(values, "tolist") else values)
    except Exception:  # ce qui ne se parcourt pas, un tenseur creux
        raise TypeError(f"{name} doit être {wanted} ; reçu : {shown(values)}.") from None


def check_lrs(values: object, name: str = "lrs") -> list[float]:
    """Rend les taux de la suite `values`, vérifiés un par un ; elle ne peut être vide.

    >>> check_lrs((0.01, 0.1))
    [0.01, 0.1]
    """
    values = check_list(name, values, "une suite de taux, comme (0.01, 0.1)")
    require(values, name, "contenir au moins un taux", "une suite vide")
    return [check_lr(lr, f"{name}[{i}]") for i, lr in enumerate(values)]


def check_rates(values: object, layers: int) -> list[float] | list[list[float]]:
    """Rend les taux de la suite `values`, comme `check_lrs` ; ou, si ce sont des suites, un taux par couche.

    >>> check_rates([[0.1, 0.2], [1, 2]], layers=2)
    [[0.1, 0.2], [1.0, 2.0]]
    """
    rows = check_list("lrs", values, "une suite de taux, comme (0.01, 0.1)")
    if not rows or isinstance(rows[0], str) or not isinstance(_plain(rows[0]), Iterable):
        return check_lrs(rows)
    rates = [check_lrs(row, f"lrs[{i}]") for i, row in enumerate(rows)]
    for i, row in enumerate(rates):
        require(len(row) == layers, f"lrs[{i}]", f"avoir un taux par couche, soit {layers}", len(row))
    return rates


def check_reach(rates: Mapping[str, float], planned: Sequence[float], dtype: torch.dtype, gain: float = 1.0) -> None:
    """Vérifie que des poids `dtype` peuvent faire un pas à chaque taux de `rates`, donné par son nom.

    Le taux est multiplié par un facteur de `planned`, la planification, et au plus par `gain` : 10 pour Adam.

    Lève : `ValueError` si un taux, ou son produit par un facteur, est nul ou infini dans ce type.

    >>> check_reach({"lr": 1e30}, [1.0], torch.float32)
    """
    kind = torch.finfo(dtype)
    low, high, most = kind.tiny * kind.eps, kind.max / gain, kind.max / gain / max(1.0, *rates.values())
    for name, lr in rates.items():
        wanted = f"être entre {low:.1e} et {high:.1e}, pour des poids {kind.dtype} et cet optimiseur"
        require(low <= lr <= high, name, wanted, lr)
    peak = max(planned, default=0.0)
    name = f"schedule({planned.index(peak) if planned else 0}, {len(planned)})"
    require(peak <= most, name, f"être au plus {most:.1e}, pour des poids {kind.dtype} à ce taux", peak)


def check_range(lrs: Sequence, planned: Sequence[float], dtype: torch.dtype, optimizer: str) -> None:
    """Vérifie ainsi tous les taux d'un balayage, un par copie ou un par couche, et leur planification.

    >>> check_range([0.1, 1.0], [1.0], torch.float32, "adam")
    """
    rates: dict[str, float] = {}
    for i, row in enumerate(lrs):
        rates |= {f"lrs[{i}][{j}]": lr for j, lr in enumerate(row)} if isinstance(row, list) else {f"lrs[{i}]": row}
    check_reach(rates, planned, dtype, gain=10.0 if optimizer == "adam" else 1.0)


def check_file(name: str, out: Any, kinds: Sequence[str]) -> Path:
    """Rend le chemin `out` s'il finit par l'une des terminaisons `kinds` et peut s'écrire ; un fichier déjà là reste
    tel quel.

    Lève : `TypeError` si ce n'est pas un nom de fichier, `ValueError` s'il ne convient pas.

    >>> check_file("out", 3, [".png"])
    Traceback (most recent call last):
    TypeError: out doit être un nom de fichier ; reçu : 3.
    """
    named = isinstance(out, str | os.PathLike) and isinstance(os.fspath(out), str) and "\0" not in os.fspath(out)
    require(named, name, "être un nom de fichier", shown(out), TypeError)
    path, found = Path(out), shown(str(out))
    require(path.suffix.lower() in kinds, name, f"finir par l'un de : {', '.join(kinds)}", found)
    require(not path.is_dir(), name, "être un fichier", f"un dossier, {found}")
    known = os.path.exists(path)
    try:
        path.open("ab").close()
    except OSError:
        raise ValueError(f"{name} doit pouvoir s'écrire, dans un dossier qui existe ; reçu : {found}.") from None
    if not known:
        path.unlink()
    return path


def check_flag(name: str, value: object) -> bool:
    """Rend `value` s'il est vrai ou faux ; sinon lève `TypeError`.

    >>> check_flag("weights", True)
    True
    """
    require(isinstance(value, bool), name, "être vrai ou faux (`True` ou `False`)", shown(value), TypeError)
    return bool(value)


def check_choice(name: str, value: object, known: Iterable[str]) -> str:
    """Rend `value` s'il est l'un des noms de `known` ; sinon lève `ValueError`, qui les énumère.

    >>> check_choice("rule", "xor", ("sum", "xor"))
    'xor'
    """
    known = list(known)
    require(isinstance(value, str) and value in known, name, f"être l'un de : {', '.join(known)}", shown(value))
    return str(value)


def to_tensor(
    name: str, values: object, dtype: torch.dtype | None = None, device: str | torch.device = "cpu"
) -> torch.Tensor:
    """Un tenseur dense et sans gradient, de type `dtype` ; par défaut, int64 ou float64.

    Lève : `TypeError` si ce n'est pas un tableau de nombres réels, `ValueError` si des valeurs sont masquées.

    >>> to_tensor("data", np.array([1, 2], dtype=np.uint16), torch.float32)
    tensor([1., 2.])
    """
    tensor = values if isinstance(values, torch.Tensor) else _from_numpy(name, values)
    require(not tensor.is_complex(), name, "être un tableau de nombres réels", tensor.dtype, TypeError)
    try:
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested or tensor.is_meta:
            raise TypeError
        return tensor.detach().to(device, dtype or (torch.int64 if tensor.dtype == torch.int64 else torch.float64))
    except Exception:
        found = f"un tenseur {tensor.dtype}, {tensor.layout}, {tensor.device}"
        raise TypeError(f"{name} doit être un tableau dense de nombres ; reçu : {found}.") from None


def _from_numpy(name: str, values: object) -> torch.Tensor:
    """Un tenseur float32, float64, int64 ou complexe, copié par numpy de ce qui n'en est pas un."""
    kind = type(values).__name__
    try:
        array = np.array(values)
    except Exception:  # des lignes inégales, des tenseurs qui ont un gradient
        raise TypeError(f"{name} doit être un tableau de nombres ; reçu : {kind}.") from None
    found = f"{kind} de dtype {array.dtype}"
    require(array.dtype.kind in "biufc", name, "être un tableau de nombres", found, TypeError)
    if np.ma.is_masked(values):
        raise ValueError(f"{name} doit être sans valeur masquée ; reçu : {np.ma.count_masked(values)}.")
    if array.dtype.kind == "c":
        return torch.from_numpy(array.astype(np.complex128))
    kept = array.dtype in (np.float32, np.float64, np.int64)  # `uint16`, par exemple, ne se compare pas dans PyTorch
    with np.errstate(over="ignore"):
        return torch.from_numpy(array if kept else array.astype(np.float64))


def as_tensors(
    model: nn.Module, data: object, target: object, *, names: Sequence[str] = ("data", "target")
) -> tuple[torch.Tensor, torch.Tensor]:
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
    long = y.ndim > 0 and len(y) == len(x)
    require(long, names[1], f"avoir {len(x)} lignes, comme {names[0]}", f"forme {tuple(y.shape)}")
    return x, _labels(names[1], y, _classes(model, x[:2])).to(device)


def check_valid(model: nn.Module, valid: object) -> tuple[torch.Tensor, torch.Tensor]:
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


def _classes(model: nn.Module, x: torch.Tensor) -> int:
    """Le nombre de classes de `model`, d'après ce qu'il rend des entrées `x`."""
    try:
        with torch.no_grad(), mode(model, training=False):
            logits = model(x)
    except Exception as error:
        found = f"une erreur, {type(error).__name__} ({shown(str(error))})"
        wanted = f"accepter des entrées de forme (n, {x.shape[1]}), celle de data, de type {x.dtype}"
        raise ValueError(f"model doit {wanted} ; reçu : {found}.") from error
    found = f"forme {tuple(logits.shape)}" if isinstance(logits, torch.Tensor) else type(logits).__name__
    sound = isinstance(logits, torch.Tensor) and logits.ndim == 2 and len(logits) == len(x)
    wanted = f"rendre des logits de forme (n, classes), une ligne pour chacune des {len(x)} entrées d'essai"
    require(sound, "model", wanted, found)
    return logits.shape[1]


def _labels(name: str, y: torch.Tensor, classes: int) -> torch.Tensor:
    """Les classes int64 (n,) de lignes one-hot (n, classes) ou d'indices (n,)."""
    if y.ndim == 1 and y.isfinite().all() and ((y == y.long()) & (y >= 0) & (y < classes)).all():
        return y.long()
    if y.ndim == 2 and y.shape[1] == classes and ((y == 0) | (y == 1)).all() and (y.sum(dim=1) == 1).all():
        return y.argmax(dim=1)
    values = [f"{value:g}" for value in y.flatten().unique().tolist()]
    found = f"forme {tuple(y.shape)}, valeurs {', '.join([*values[:5], '…'] if len(values) > 5 else values)}"
    wanted = (
        f"des lignes de {classes} nombres avec un seul 1 et des 0, ou des indices de classe entre 0 et {classes - 1}"
    )
    raise ValueError(f"{name} doit contenir {wanted} ; reçu : {found}.")


def numpy_generator(seed: int | None) -> np.random.Generator:
    """De même pour NumPy : sans graine, un générateur que tire son état global, celui de `np.random.seed`.

    >>> numpy_generator(7).integers(10, size=3).tolist()
    [9, 6, 6]
    """
    if seed is None:  # l'état global, justement
        return np.random.default_rng(np.random.randint(2**31, size=4))  # noqa: NPY002
    return np.random.default_rng(check_whole("seed", seed))


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
    kinds = {(part.dtype, part.device, part.layout) for part in model.parameters()}
    lazy = any(nn.parameter.is_lazy(part) for part in model.parameters())
    (dtype, device, layout), *others = [*kinds, (None, None, None)]
    sound = dtype in (torch.float32, torch.float64) and layout == torch.strided and device.type != "meta"
    found = " ; ".join(sorted(" ".join(map(str, kind)) for kind in kinds)) or "aucun poids"
    found = "des poids que le premier appel tirera" if lazy else found
    wanted = "avoir des poids tous float32 ou tous float64, denses et sur un même appareil"
    require(sound and len(others) < 2 and not lazy, "model", wanted, found)
    return dtype, device


def random_generator(seed: int | None) -> torch.Generator:
    """Un générateur aléatoire neuf, de graine `seed` ; sans graine, le générateur global de PyTorch.

    Lève : `ValueError` ou `TypeError` si `seed` n'est pas un entier positif ou nul.

    >>> random_generator(7).initial_seed()
    7
    """
    if seed is None:
        return torch.default_generator
    return torch.Generator().manual_seed(check_whole("seed", seed))


def check_optimizer(made: Any, model: nn.Module, planned: Sequence[float]) -> None:
    """Vérifie que l'optimiseur `made` peut entraîner `model`, aux taux que multiplient les facteurs `planned`.

    Lève : `TypeError` si ce n'est pas un optimiseur, `ValueError` s'il ne convient pas.

    >>> model = nn.Linear(2, 2)
    >>> check_optimizer(torch.optim.SGD(model.parameters(), 0.1), model, [1.0])
    """
    sound = isinstance(made, torch.optim.Optimizer)
    require(sound, "optimizer", "rendre un torch.optim.Optimizer", type(made).__name__, TypeError)
    _check_step(made)
    _check_params([part for group in made.param_groups for part in group["params"]], model)
    for group in made.param_groups:
        beta = float(group.get("betas", (0.0,))[0])
        gain = 1 / (1 - beta) if 0 <= beta < 1 else 1.0  # de ce qu'Adam fait du taux, à son premier pas
        rated = "lr" in group or not set(planned) - {1.0}
        require(rated, "optimizer", "avoir un taux lr à planifier", f"{type(made).__name__}, sans lr")
        if "lr" in group:
            check_reach({"lr": float(group["lr"])}, planned, check_weights(model)[0], gain)


def _check_step(made: torch.optim.Optimizer) -> None:
    """Un pas ne doit demander que le gradient, dense."""
    closure = inspect.signature(made.step).parameters.get("closure")
    needs = "la perte à recalculer" if closure is not None and closure.default is closure.empty else None
    needs = "des gradients creux" if isinstance(made, torch.optim.SparseAdam) else needs
    found = f"{type(made).__name__}, qui veut {needs}"
    require(not needs, "optimizer", "faire un pas d'après le gradient seul", found)


def _check_params(parts: Sequence[torch.Tensor], model: nn.Module) -> None:
    """Un optimiseur doit porter sur des poids de `model`, tous ou certains, dont un au moins s'apprend."""
    own = {id(part) for part in model.parameters()}
    foreign = sum(id(part) not in own for part in parts)
    require(not foreign, "optimizer", "porter sur les poids de model seuls", f"{foreign} paramètres étrangers")
    learns = any(part.requires_grad for part in parts)
    require(learns, "model", "avoir au moins un poids à apprendre (`requires_grad`)", "tous gelés")
    frozen = any(part.is_inference() for part in parts)
    require(not frozen, "model", "avoir des poids modifiables", "des poids créés sous `torch.inference_mode`")
