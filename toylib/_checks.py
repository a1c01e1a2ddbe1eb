"""Les vérifications d'arguments : chaque message nomme l'argument, ce qui est venu et ce qui est attendu."""

import inspect
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from numbers import Integral, Real

import numpy as np
import torch


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


def check_whole(name: str, value: object, least: int = 0) -> int:
    """Rend `value` s'il est un entier d'au moins `least`.

    Lève : `TypeError` s'il n'est pas entier, `ValueError` s'il est trop petit ou dépasse 64 bits.

    >>> check_whole("epochs", 100)
    100
    """
    value = _plain(value)
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} doit être un entier ; reçu : {shown(value)}.")
    if not least <= value < 2**63:
        wanted = f"un entier d'au moins {least} (et de 63 bits au plus)"
        raise ValueError(f"{name} doit être {wanted} ; reçu : {shown(value)}.")
    return int(value)


def check_fits(name: str, count: int) -> None:
    """Lève `ValueError` si `name` demande plus de cent millions de nombres : la mémoire n'y suffirait pas.

    >>> check_fits("epochs", 1000)
    """
    if count > 10**8:
        raise ValueError(f"{name} doit demander cent millions de nombres au plus ; reçu de quoi en demander {count}.")


def check_real(name: str, value: object) -> float:
    """Rend `value` s'il est un nombre réel fini.

    Lève : `TypeError` s'il n'est pas un nombre, `ValueError` s'il n'est pas fini.

    >>> check_real("noise", 0.1)
    0.1
    """
    value = _plain(value)
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} doit être un nombre ; reçu : {shown(value)}.")
    try:
        number = float(value)
    except OverflowError:  # un entier ou une fraction au-delà de float64
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} doit être un nombre fini ; reçu : {shown(value)}.")
    return number


def _plain(value: object) -> object:
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
    value = check_real(name, value)
    if value <= 0:
        raise ValueError(f"{name} doit être strictement positif ; reçu : {value!r}.")
    return value


def check_list(name: str, values: object, wanted: str) -> list:
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
    if not values:
        raise ValueError(f"{name} doit contenir au moins un taux ; reçu : une suite vide.")
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
        if len(row) != layers:
            raise ValueError(f"lrs[{i}] doit avoir un taux par couche, soit {layers} ; reçu : {len(row)}.")
    return rates


def check_reach(name: str, lr: float, dtype: torch.dtype, gain: float = 1.0) -> None:
    """Vérifie que des poids de type `dtype` peuvent faire un pas au taux `lr`, que l'optimiseur multiplie par `gain`.

    Lève : `ValueError` si le taux est nul ou infini dans ce type.

    >>> check_reach("lr", 1e30, torch.float32)
    """
    kind = torch.finfo(dtype)
    low, high = kind.tiny * kind.eps, kind.max / gain
    if not low <= lr <= high:
        wanted = f"entre {low:.1e} et {high:.1e}, pour des poids {kind.dtype} et cet optimiseur"
        raise ValueError(f"{name} doit être {wanted} ; reçu : {lr!r}.")


def check_peak(planned: Sequence[float], lr: float, dtype: torch.dtype, gain: float = 1.0) -> None:
    """Vérifie de même le produit de `lr` par chaque facteur `planned` d'une planification.

    >>> check_peak([0.5, 1.0], 1e30, torch.float32)
    """
    peak, most = max(planned, default=0.0), torch.finfo(dtype).max
    if lr * peak * gain > most:
        step, wanted = planned.index(peak), f"au plus {most / gain / lr:.1e}, pour des poids {dtype} au taux {lr!r}"
        raise ValueError(f"schedule({step}) doit être {wanted} ; reçu : {peak!r}.")


def check_range(lrs: Sequence, planned: Sequence[float], dtype: torch.dtype, optimizer: str) -> None:
    """Vérifie ainsi tous les taux d'un balayage, un par copie ou un par couche, et leur planification.

    >>> check_range([0.1, 1.0], [1.0], torch.float32, "adam")
    """
    multiple = 10.0 if optimizer == "adam" else 1.0
    flat = [(f"lrs[{i}]", lr) for i, row in enumerate(lrs) for lr in (row if isinstance(row, list) else [row])]
    for name, lr in flat:
        check_reach(name, lr, dtype, multiple)
    check_peak(planned, max(1.0, *(lr for _, lr in flat)), dtype, multiple)  # 1 : le balayage prend le facteur à part


def check_flag(name: str, value: object) -> bool:
    """Rend `value` s'il est vrai ou faux ; sinon lève `TypeError`.

    >>> check_flag("weights", True)
    True
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name} doit être vrai ou faux (`True` ou `False`) ; reçu : {shown(value)}.")
    return value


def check_choice(name: str, value: object, known: Iterable[str]) -> str:
    """Rend `value` s'il est l'un des noms de `known` ; sinon lève `ValueError`, qui les énumère.

    >>> check_choice("rule", "xor", ("sum", "xor"))
    'xor'
    """
    known = list(known)
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} doit être l'un de : {', '.join(known)} ; reçu : {shown(value)}.")
    return value


def to_tensor(name: str, values: object, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Un tenseur dense et sans gradient, de type `dtype` ; par défaut, int64 ou float64.

    Lève : `TypeError` si ce n'est pas un tableau de nombres réels, `ValueError` si des valeurs sont masquées.

    >>> to_tensor("data", np.array([1, 2], dtype=np.uint16), torch.float32)
    tensor([1., 2.])
    """
    tensor = values if isinstance(values, torch.Tensor) else _from_numpy(name, values)
    if tensor.is_complex():
        raise TypeError(f"{name} doit être un tableau de nombres réels ; reçu : {tensor.dtype}.")
    try:
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested or tensor.is_meta:
            raise TypeError
        return tensor.detach().to("cpu", dtype or (torch.int64 if tensor.dtype == torch.int64 else torch.float64))
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
    if array.dtype.kind not in "biufc":
        raise TypeError(f"{name} doit être un tableau de nombres ; reçu : {kind} de dtype {array.dtype}.")
    if np.ma.is_masked(values):
        raise ValueError(f"{name} doit être sans valeur masquée ; reçu : {np.ma.count_masked(values)}.")
    if array.dtype.kind == "c":
        return torch.from_numpy(array.astype(np.complex128))
    kept = array.dtype in (np.float32, np.float64, np.int64)  # `uint16`, par exemple, ne se compare pas dans PyTorch
    with np.errstate(over="ignore"):
        return torch.from_numpy(array if kept else array.astype(np.float64))


def check_weights(model: torch.nn.Module) -> torch.dtype:
    """Rend le type des poids de `model` : tous float32 ou tous float64, denses, sur le processeur.

    >>> check_weights(torch.nn.Linear(2, 2))
    torch.float32
    """
    kinds = {(part.dtype, part.device.type, part.layout) for part in model.parameters()}
    if kinds not in _KINDS:
        found = " ; ".join(sorted(" ".join(map(str, kind)) for kind in kinds)) or "aucun poids"
        wanted = "tous float32 ou tous float64, denses et sur le processeur"
        raise ValueError(f"model doit avoir des poids {wanted} ; reçu : {found}.")
    return next(iter(kinds))[0]


_KINDS = [{(dtype, "cpu", torch.strided)} for dtype in (torch.float32, torch.float64)]


def check_optimizer(made: object, model: torch.nn.Module, planned: Sequence[float]) -> None:
    """Vérifie que l'optimiseur `made` peut entraîner `model`, aux taux que multiplient les facteurs `planned`.

    Lève : `TypeError` si ce n'est pas un optimiseur, `ValueError` s'il ne convient pas.

    >>> model = torch.nn.Linear(2, 2)
    >>> check_optimizer(torch.optim.SGD(model.parameters(), 0.1), model, [1.0])
    """
    if not isinstance(made, torch.optim.Optimizer):
        raise TypeError(f"optimizer doit rendre un torch.optim.Optimizer ; reçu : {type(made).__name__}.")
    _check_step(made)
    _check_params([part for group in made.param_groups for part in group["params"]], model)
    dtype, scheduled = check_weights(model), set(planned) - {1.0}
    for group in made.param_groups:
        if "lr" in group:
            lr = float(group["lr"])
            check_reach("lr", lr, dtype, gain(group))
            check_peak(planned, lr, dtype, gain(group))
        elif scheduled:
            raise ValueError(f"optimizer doit avoir un taux lr à planifier ; reçu : {type(made).__name__}, sans lr.")


def gain(group: Mapping) -> float:
    """Ce par quoi un optimiseur multiplie au plus le taux d'un groupe : pour Adam, 1 / (1 - β₁), au premier pas.

    >>> gain({"lr": 0.1}), round(gain({"lr": 0.1, "betas": (0.9, 0.999)}))
    (1.0, 10)
    """
    beta = float(group.get("betas", (0.0,))[0])
    return 1 / (1 - beta) if 0 <= beta < 1 else 1.0


def _check_step(made: torch.optim.Optimizer) -> None:
    """Un pas ne doit demander que le gradient, dense."""
    closure = inspect.signature(made.step).parameters.get("closure")
    needs = "la perte à recalculer" if closure is not None and closure.default is closure.empty else None
    needs = "des gradients creux" if isinstance(made, torch.optim.SparseAdam) else needs
    if needs:
        raise ValueError(
            f"optimizer doit faire un pas d'après le gradient seul ; reçu : {type(made).__name__}, qui veut {needs}."
        )


def _check_params(parts: Sequence[torch.Tensor], model: torch.nn.Module) -> None:
    """Un optimiseur doit porter sur des poids de `model`, tous ou certains, dont un au moins s'apprend."""
    own = {id(part) for part in model.parameters()}
    foreign = sum(id(part) not in own for part in parts)
    if foreign:
        raise ValueError(f"optimizer doit porter sur les poids de model seuls ; reçu : {foreign} paramètres étrangers.")
    if not any(part.requires_grad for part in parts):
        raise ValueError("model doit avoir au moins un poids à apprendre (`requires_grad`) ; reçu : tous gelés.")
    if any(part.is_inference() for part in parts):
        raise ValueError("model doit avoir des poids modifiables ; reçu : des poids créés sous `torch.inference_mode`.")
