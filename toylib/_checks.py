"""Les vérifications d'arguments : chaque message nomme l'argument, ce qui est venu et ce qui est attendu."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch

MAX = float(np.finfo(float).max)


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
    value = _number(name, value, Integral, "être un entier")
    require(least <= value < 2**63, name, f"être un entier d'au moins {least} (et de 63 bits au plus)", shown(value))
    return int(value)


def check_flags(**flags: object) -> None:
    """Lève `TypeError` si l'un de ces arguments n'est ni vrai ni faux.

    >>> check_flags(pin=True, stop=False)
    """
    for name, value in flags.items():
        require(isinstance(value, bool), name, "être vrai ou faux (`True` ou `False`)", shown(value), TypeError)


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
    value = _number(name, value, Real, "être un nombre")
    require(low <= value <= high, name, wanted, shown(value))
    return float(value)


def _number(name: str, value: Any, kind: type, wanted: str) -> Any:
    """Rend `value`, ou ce que porte un tableau ou un tenseur sans dimension, si c'est un nombre de type `kind`."""
    dated = getattr(getattr(value, "dtype", None), "kind", None) in ("m", "M")  # durée, date : un entier pour NumPy
    with suppress(Exception):  # un tenseur « meta » n'a pas de valeur
        value = value.item() if getattr(value, "ndim", None) == 0 and not dated else value
    sound = isinstance(value, kind) and not isinstance(value, bool) and not dated
    require(sound, name, wanted, shown(value), TypeError)
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
    if rows and hasattr(rows[0], "__iter__") and getattr(rows[0], "ndim", 1) != 0:  # sans dimension : un nombre
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
    kind = "un dossier" if os.path.isdir(path) else "ni un fichier, ni un dossier"  # un tube, qui ferait attendre
    require(not known or os.path.isfile(path), name, "être un fichier", f"{kind}, {found}")
    with refusing(name, "pouvoir s'écrire, dans un dossier qui existe", found):
        path.open("ab").close()
    if not known:
        path.resolve().unlink()  # le fichier, et non le lien qui y mène
    return path


def check_choice(name: str, value: object, known: Collection[str]) -> str:
    """Rend `value` s'il est l'un des noms de `known` ; sinon lève `ValueError`, qui les énumère.

    >>> check_choice("rule", "xor", ("sum", "xor"))
    'xor'
    """
    require(isinstance(value, str) and value in known, name, f"être l'un de : {', '.join(known)}", shown(value))
    return str(value)


def numpy_generator(seed: int | None) -> np.random.Generator:
    """Un générateur aléatoire neuf, de graine `seed` ; sans graine, celui que tire l'état global de NumPy, que
    `np.random.seed` fixe.

    >>> numpy_generator(7).integers(10, size=3).tolist()
    [9, 6, 6]
    """
    # sans graine, l'état global, justement
    state = np.random.randint(2**31, size=4) if seed is None else check_whole("seed", seed)  # noqa: NPY002
    return np.random.default_rng(state)
