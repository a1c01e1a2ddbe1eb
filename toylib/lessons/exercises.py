"""La correction des exercices. Les clés et les conseils sont des données : `questions/NN.toml`."""

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from html import escape
from importlib.resources import files
from inspect import signature
from pkgutil import resolve_name

import numpy as np
import torch

TODO = "À vous : remplacez les points de suspension par votre réponse, puis exécutez de nouveau la cellule."
COMMA = "En Python, la virgule sépare deux nombres : 1,5 s'écrit 1.5, et 12 000 s'écrit 12000."
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


@cache
def questions(lesson: str) -> dict:
    """Les exercices (`exercise`) et le quiz (`quiz`) de la leçon "NN".

    Lève : `ValueError` si la leçon n'en a pas.

    >>> sorted(questions("01"))
    ['exercise', 'quiz']
    """
    folder = files("toylib.lessons") / "questions"
    known = sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))
    if lesson not in known:
        raise ValueError(f"lesson doit être l'une de : {', '.join(known)} ; reçu : {lesson!r}.")
    return tomllib.loads((folder / f"{lesson}.toml").read_text("utf-8"))


def verifier(exercise: str, answer: object) -> Verdict:
    """Corrige la réponse à un exercice : dit si elle est juste, sinon ce qu'il faut regarder.

    Arguments :
        exercise : leçon et numéro, comme "01.2".
        answer : un nombre (ou son texte, comme "1/3"), un tableau, un tenseur ou une suite de
            nombres, ou une fonction, que l'on appelle alors sur les arguments de l'exercice.

    Rend : un `Verdict`. Lève : `ValueError` si l'exercice n'existe pas.

    >>> verifier("01.1", ...).passed
    False
    """
    entry = _entry(exercise)
    try:
        values = _values(entry, answer)
    except _Unreadable as reason:
        return Verdict(False, str(reason))
    if _matches(entry, values, entry):
        return Verdict(True, entry["success"])
    known = [wrong["feedback"] for wrong in entry["wrong"] if _matches(wrong, values, entry)]
    if not known and entry.get("share") and _matches(entry, values / 100, entry):
        known = [SHARE]
    return Verdict(False, (known or [entry["hint"]])[0])


class _Unreadable(Exception):
    """La réponse n'est pas faite de nombres, ou pas de la forme attendue ; le message le dit."""


def _entry(exercise: str) -> dict:
    """Les données d'un exercice."""
    lesson, _, number = str(exercise).partition(".")
    entries = questions(lesson)["exercise"]
    if not number.isdecimal() or not 1 <= int(number) <= len(entries):
        known = ", ".join(f"{lesson}.{k + 1}" for k in range(len(entries)))
        raise ValueError(f"exercise doit être l'un de : {known} ; reçu : {exercise!r}.")
    return entries[int(number) - 1]


def _values(entry: dict, answer: object) -> np.ndarray:
    """La réponse en nombres, de la forme que l'exercice attend ; ceux de la mesure `measure` s'il en nomme une."""
    if callable(answer) != ("arguments" in entry) and answer is not ...:
        raise _Unreadable(f"Il faut {'une fonction' if 'arguments' in entry else 'des nombres'} ; reçu : {answer!r}.")
    if callable(answer):
        answer = _call(answer, entry["arguments"])
    if "measure" in entry:
        return _measure(entry["measure"], _numbers(answer))
    values, wanted = _numbers(answer), np.shape(entry["value"])
    if values.size == 2 and not wanted and isinstance(answer, tuple):
        raise _Unreadable(COMMA)
    if values.squeeze().shape != np.squeeze(np.empty(wanted)).shape:
        calls = int("arguments" in entry)  # d'une fonction, la première dimension compte les appels
        subject = "Votre fonction doit rendre" if calls else "Il faut"
        raise _Unreadable(f"{subject} {_in_words(wanted[calls:])} ; reçu : {_in_words(values.shape[calls:])}.")
    return values.reshape(wanted)


def _in_words(shape: tuple) -> str:
    """La forme d'une réponse, en mots."""
    if len(shape) > 1:
        return f"un tableau de forme {shape}"
    return f"une liste de {shape[0]} nombre(s)" if shape else "un seul nombre"


def _measure(name: str, numbers: np.ndarray) -> np.ndarray:
    """Ce que la mesure `name` de la bibliothèque rend des nombres de la réponse."""
    measure = resolve_name(name)
    wanted = len(signature(measure).parameters)
    if numbers.shape != (wanted,):
        raise _Unreadable(f"Il faut {_in_words((wanted,))} ; reçu : {_in_words(numbers.shape)}.")
    try:
        return np.array(measure(*numbers), dtype=float)
    except (TypeError, ValueError) as error:
        raise _Unreadable(str(error)) from None


def _call(function: Callable, arguments: list) -> list[np.ndarray]:
    """Ce que la fonction de l'étudiant rend sur chaque liste d'arguments ; une liste devient un tenseur."""
    results = []
    for given in arguments:
        given = [torch.tensor(value, dtype=torch.float64) if isinstance(value, list) else value for value in given]
        try:
            result = function(*given)
            if result is None:
                raise _Unreadable("Votre fonction ne rend rien : finissez-la par `return` et ce qu'elle doit rendre.")
            results.append(_numbers(result))
        except _Unreadable:
            raise
        except Exception as error:
            raise _Unreadable(f"Votre fonction s'arrête sur une erreur : {type(error).__name__}, {error}.") from None
    return results


def _numbers(answer: object) -> np.ndarray:
    """Un tableau de nombres, fait d'un nombre, de son texte, d'une suite ou d'un tenseur."""
    if answer is ... or answer is None:
        raise _Unreadable(TODO)
    try:
        if isinstance(answer, str):
            text = answer.replace(",", ".").replace("−", "-").strip()
            return np.array(float(Fraction(text.rstrip("%\xa0 "))) / (100 if text.endswith("%") else 1))
        if isinstance(answer, torch.Tensor):
            answer = answer.detach().cpu().numpy()
        elif isinstance(answer, list | tuple):
            answer = [_numbers(one) for one in answer]
        return np.array(answer, dtype=float)
    except (TypeError, ValueError, ZeroDivisionError):
        raise _Unreadable(f"Il faut des nombres ; reçu : {answer!r}.") from None


def _matches(rule: dict, values: np.ndarray, entry: dict) -> bool:
    """Les nombres sont-ils ceux de la règle : à `tolerance` près de `value`, ou dans les bornes `between` ?"""
    if "between" in rule:
        low, high = np.array(rule["between"], dtype=float).T
        return bool(np.all((low <= values) & (values <= high)))
    return np.shape(rule["value"]) == values.shape and bool(
        np.all(abs(values - np.array(rule["value"], dtype=float)) <= entry["tolerance"])
    )
