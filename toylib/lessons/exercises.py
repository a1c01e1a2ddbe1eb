"""La correction des exercices. Les clés et les conseils sont des données : `questions/NN.toml`."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from html import escape
from inspect import signature
from pathlib import Path
from pkgutil import resolve_name
from types import FunctionType

import numpy as np

from toylib.french import comma
from toylib.lessons.answers import Short, Unreadable, read_answer

CLOSE = 0.02  # écart relatif à une erreur prévue au-delà duquel on ne la suppose plus
SHARE = "Écrivez une part entre 0 et 1 plutôt qu'un pourcentage."


@dataclass(frozen=True)
class Verdict:
    """La correction d'une réponse : juste ou non, et ce qu'il y a à en dire.

    >>> Verdict(False, "Regardez l'axe.")
    ✗ Regardez l'axe.
    """

    passed: bool
    text: str

    def __repr__(self) -> str:
        return f"{'✓' if self.passed else '✗'} {self.text}"

    def _repr_html_(self) -> str:
        color = "var(--jp-success-color0, #1b5e20)" if self.passed else "var(--jp-error-color0, #b71c1c)"
        style = f"border-left: 5px solid {color}; padding: 6px 12px; font-size: 15px"
        mark = f'<b style="color: {color}">{repr(self)[0]}</b>'
        return f'<div role="status" style="{style}">{mark} {to_html(self.text)}</div>'


def to_html(text: str) -> str:
    """Le texte en HTML, ce qui est entre accents graves en police de code.

    >>> to_html("`lr` < 2")
    '<code>lr</code> &lt; 2'
    """
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text))


def questions(lesson: str) -> dict:
    """Les exercices (`exercise`) et le quiz (`quiz`) de la leçon "NN".

    Lève : `ValueError` si la leçon n'en a pas.

    >>> sorted(questions("01"))
    ['exercise', 'quiz']
    """
    known = _lessons()
    if not issubclass(type(lesson), str) or lesson not in known:
        raise ValueError(f"lesson doit être l'une de : {', '.join(known)} ; reçu : {Short().repr(lesson)}.")
    return known[lesson]


@cache
def _lessons() -> dict[str, dict]:
    """Les questions de chaque leçon qui en a."""
    found = sorted((Path(__file__).parent / "questions").glob("*.toml"))
    return {path.stem: tomllib.loads(path.read_text("utf-8")) for path in found}


def verifier(exercise: str, answer: object) -> Verdict:
    """Corrige la réponse à un exercice : dit si elle est juste, sinon ce qu'il faut regarder.

    Arguments :
        exercise : leçon et numéro, comme "01.2".
        answer : un nombre, ou son texte, comme "1/3" ou "53 000" ; un tableau, un tenseur ou une suite
            de nombres ; ou une fonction, que l'on appelle alors sur les arguments de l'exercice, et que
            l'on abandonne au bout d'une seconde. De tout autre objet, le verdict dit ce qu'il est.

    Rend : un `Verdict`. Lève : `ValueError` si l'exercice n'existe pas.

    >>> verifier("01.1", ...).passed
    False
    """
    entry = _entry(exercise)
    calls = answer.__code__.co_names if type(answer) is FunctionType else ()
    for wrong in entry["wrong"]:
        if wrong.get("calls") in calls:  # la fonction toute faite qu'il s'agit d'écrire
            return Verdict(False, wrong["feedback"])
    try:
        values = _values(entry, answer)
    except Unreadable as reason:
        return Verdict(False, str(reason))
    with np.errstate(all="ignore"):  # l'étudiant a pu demander à numpy une erreur au premier infini
        if _matches(entry, values, entry):
            return Verdict(True, entry["success"])
        valued = [wrong for wrong in entry["wrong"] if "calls" not in wrong]
        known = [wrong["feedback"] for wrong in valued if _matches(wrong, values, entry)]
        if not known and entry.get("share") and _matches(entry, values / 100, entry):
            known = [SHARE]
    read = f"J'ai lu {comma(values.item(), 6)}. " if issubclass(type(answer), str) and values.size == 1 else ""
    return Verdict(False, (known or [read + entry["hint"]])[0])


def _entry(exercise: str) -> dict:
    """Les données d'un exercice."""
    lesson, _, number = str.partition(exercise, ".") if issubclass(type(exercise), str) else ("", "", "")
    entries = _lessons().get(lesson, {"exercise": []})["exercise"]
    known = {str(k): entry for k, entry in enumerate(entries, 1)}
    if number not in known:
        names = ", ".join(f"{lesson}.{k}" for k in known) or "00.1, 00.2, 01.1… (leçon et numéro)"
        raise ValueError(f"exercise doit être l'un de : {names} ; reçu : {Short().repr(exercise)}.")
    return known[number]


def _values(entry: dict, answer: object) -> np.ndarray:
    """La réponse en nombres, de la forme que l'exercice attend ; ceux de la mesure `measure` s'il en nomme une."""
    if "measure" not in entry:
        return read_answer(answer, np.shape(entry["value"]), entry.get("arguments"))
    measure = resolve_name(entry["measure"])
    numbers = read_answer(answer, (len(signature(measure).parameters),))
    try:
        return np.array(measure(*numbers.tolist()), dtype=float)
    except (TypeError, ValueError) as error:  # elle nomme l'argument qui ne lui va pas
        raise Unreadable(str(error)) from None
    except (ArithmeticError, RuntimeError):
        raise Unreadable("Ces nombres sont trop grands pour être essayés.") from None


def _matches(rule: dict, values: np.ndarray, entry: dict) -> bool:
    """Les nombres sont-ils ceux de la règle : à `tolerance` près de `value`, ou dans les bornes `between` ?

    Une erreur prévue a sa tolérance ; sans cela, celle de l'exercice, et deux centièmes de sa valeur au plus.
    """
    if "between" in rule:
        low, high = np.array(rule["between"], dtype=float).T
        return bool(np.all((low <= values) & (values <= high)))
    value = np.array(rule["value"], dtype=float)
    tolerance = rule.get("tolerance", min(entry["tolerance"], CLOSE * abs(value).max()))
    return value.shape == values.shape and bool(np.all(abs(values - value) <= tolerance))
