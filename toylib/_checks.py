"""Les vérifications d'arguments : chaque message nomme l'argument, ce qui est venu et ce qui est attendu."""

import math
from collections.abc import Iterable
from numbers import Integral, Real


def check_whole(name: str, value: object, least: int = 0) -> int:
    """Rend `value` s'il est un entier d'au moins `least`.

    Lève : `TypeError` s'il n'est pas entier, `ValueError` s'il est trop petit ou dépasse 64 bits.

    >>> check_whole("epochs", 100)
    100
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} doit être un entier ; reçu : {value!r}.")
    if not least <= value < 2**63:
        raise ValueError(f"{name} doit être un entier d'au moins {least} (et de 63 bits au plus) ; reçu : {value!r}.")
    return int(value)


def check_real(name: str, value: object) -> float:
    """Rend `value` s'il est un nombre réel fini.

    Lève : `TypeError` s'il n'est pas un nombre, `ValueError` s'il n'est pas fini.

    >>> check_real("noise", 0.1)
    0.1
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} doit être un nombre ; reçu : {value!r}.")
    if not math.isfinite(value):
        raise ValueError(f"{name} doit être un nombre fini ; reçu : {value!r}.")
    return float(value)


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


def check_lrs(values: object, name: str = "lrs") -> list[float]:
    """Rend les taux de la suite `values`, vérifiés un par un ; elle ne peut être vide.

    >>> check_lrs((0.01, 0.1))
    [0.01, 0.1]
    """
    if not isinstance(values, Iterable):
        raise TypeError(f"{name} doit être une suite de taux, comme (0.01, 0.1) ; reçu : {values!r}.")
    lrs = [check_lr(lr, f"{name}[{i}]") for i, lr in enumerate(values)]
    if not lrs:
        raise ValueError(f"{name} doit contenir au moins un taux ; reçu : une suite vide.")
    return lrs


def check_rates(values: object, layers: int) -> list[float] | list[list[float]]:
    """Rend les taux de la suite `values`, comme `check_lrs` ; ou, si ce sont des suites, un taux par couche.

    >>> check_rates([[0.1, 0.2], [1, 2]], layers=2)
    [[0.1, 0.2], [1.0, 2.0]]
    """
    rows = list(values) if isinstance(values, Iterable) else []
    if not rows or isinstance(rows[0], str) or not isinstance(rows[0], Iterable):
        return check_lrs(rows or values)
    rates = [check_lrs(row, f"lrs[{i}]") for i, row in enumerate(rows)]
    for i, row in enumerate(rates):
        if len(row) != layers:
            raise ValueError(f"lrs[{i}] doit avoir un taux par couche, soit {layers} ; reçu : {len(row)}.")
    return rates


def check_choice(name: str, value: object, known: Iterable[str]) -> str:
    """Rend `value` s'il est l'un des noms de `known` ; sinon lève `ValueError`, qui les énumère.

    >>> check_choice("rule", "xor", ("sum", "xor"))
    'xor'
    """
    known = list(known)
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} doit être l'un de : {', '.join(known)} ; reçu : {value!r}.")
    return value
