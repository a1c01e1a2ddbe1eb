"""La lecture d'une réponse, quel que soit l'objet : des nombres de la forme voulue, ou ce qu'il y a à la place."""

import math
import re
import sys
import tomllib
from collections.abc import Callable, Sequence
from contextvars import copy_context
from ctypes import c_ulong, py_object, pythonapi
from functools import partial
from inspect import iscoroutine, isroutine
from pathlib import Path
from reprlib import Repr
from threading import Event, Thread
from traceback import walk_stack

import numpy as np
import torch

TODO = "À vous : remplacez les points de suspension par votre réponse, puis exécutez de nouveau la cellule."
COMMA = "En Python, la virgule sépare deux nombres : 1,5 s'écrit 1.5, et 12 000 s'écrit 12000."
LATE = "rien au bout d'une seconde. Une boucle sans fin, une attente, un calcul trop long ?"
STILL = " Si le noyau ne répond plus, redémarrez-le."
LIMIT = 10  # dixièmes de seconde
MOST, DEPTH = 10_000, 8  # les nombres qu'on lit d'une suite, les suites qu'on ouvre l'une dans l'autre
MINUS = str.maketrans("−–—⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹", "---" + "-+0123456789")
NUMBER = r"([+-]?\s*(?:[1-9]\d{0,2}(?:[\s_'’]\d{3})+|\d+)?(?:[.,]\d*)?(?:e[+-]?\d{1,6})?)"
# Les erreurs courantes de Python, de numpy et de torch : `message`, une expression régulière, et `french`.
ERRORS = tomllib.loads((Path(__file__).parent / "errors.toml").read_text("utf-8"))["error"]


class Unreadable(Exception):
    """La réponse n'est pas faite de nombres, ou pas de la forme voulue ; le message le dit."""


class Short(Repr):
    """Un objet en quelques signes, sans appeler son `repr`, qui peut être faux, sans fin ou d'un million de signes.

    >>> Short().repr([0.5, "0,5", Short()])
    "[0.5, '0,5', <Short>]"
    """

    def repr(self, value: object) -> str:
        """Cent signes au plus : `Repr` borne chaque niveau, et six niveaux de six éléments en font 46 656."""
        return super().repr(value)[:100]

    def repr_instance(self, value: object, level: int) -> str:
        """Les objets que `Repr` ne connaît pas : de leur type, on ne donne que le nom."""
        known = type(value) in (float, complex, bool, type(None))
        return repr(value) if known else f"<{type(value).__name__[:40]}>"


def read_answer(answer: object, shape: tuple, arguments: list | None = None) -> np.ndarray:
    """Les nombres d'une réponse, en float64 de forme `shape` ; d'une fonction, ceux qu'elle rend sur `arguments`.

    Lève : `Unreadable`, quelle que soit la réponse ; rien d'autre, sauf l'interruption du noyau.

    >>> read_answer("0,03 ; 0,3", (2,)).tolist()
    [0.03, 0.3]
    """
    if arguments is None or answer is ...:
        ask = f"Il faut {in_words(shape)}"
        return _apart(partial(_read, answer, shape, ask), f"{ask} ; reçu : ")
    if not callable(answer):
        ask = "Il faut une fonction : donnez son nom, sans parenthèses"
        return _apart(partial(_refuse, answer, ask), f"{ask} ; reçu : ")
    calls = (partial(_call, answer, given, shape[1:]) for given in arguments)
    return _apart(lambda: np.array([call() for call in calls]), "Reçu de votre fonction : ")


def in_words(shape: tuple) -> str:
    """La forme d'une réponse, en mots.

    >>> in_words(()), in_words((4,)), in_words((2, 3))
    ('un seul nombre', 'une liste de 4 nombres', 'un tableau de forme (2, 3)')
    """
    if len(shape) > 1:
        return f"un tableau de forme {tuple(shape)}"
    many = {0: "une liste vide", 1: "une liste d'un nombre"}
    return many.get(shape[0], f"une liste de {shape[0]:,} nombres".replace(",", " ")) if shape else "un seul nombre"


def _apart(read: Callable[[], np.ndarray], late: str) -> np.ndarray:
    """Ce que rend `read`, exécutée dans un fil à part, ou `Unreadable`.

    Le fil, parce que c'est la seule façon d'abandonner une fonction qui ne rend rien qui aille aussi sous
    Windows et hors du fil principal (les signaux n'y sont pas) : on cesse d'attendre, puis on y lève
    `SystemExit`, pour qu'une boucle n'use pas le processeur jusqu'au soir. Un appel en C qui dort finit
    d'abord son somme ; un calcul en C qui garde le verrou de Python, comme `9**9**9`, ne se coupe pas. Le
    contexte copié envoie ce que la fonction affiche à la cellule ; `no_grad`, propre à chaque fil, ne suit pas.
    """
    outcome, done = [], Event()
    thread = Thread(target=copy_context().run, args=(_try, read, late, outcome, done), daemon=True)
    try:
        thread.start()
        _wait(done, thread.ident)
        result = outcome[0] if outcome else Unreadable(late + LATE)
    finally:  # aussi quand c'est l'étudiant qui interrompt le noyau, fût-ce pendant que le fil démarre
        if not done.wait(0.1 if thread.ident is None else 0) and thread.ident:
            pythonapi.PyThreadState_SetAsyncExc(c_ulong(thread.ident), py_object(SystemExit))
            done.wait(0.1)
    if isinstance(result, Unreadable):
        raise Unreadable(f"{result}{'' if done.is_set() else STILL}")
    return result


def _try(read: Callable[[], np.ndarray], late: str, outcome: list, done: Event) -> None:
    """Range dans `outcome` ce que rend `read`, ou l'erreur : `SystemExit` et `KeyboardInterrupt` compris."""
    try:
        outcome.append(read())
    except Unreadable as reason:
        outcome.append(reason)
    except BaseException:
        outcome.append(Unreadable(f"{late}un objet qui ne se laisse pas lire."))
    finally:
        done.set()


def _wait(done: Event, ident: int) -> None:
    """Attend une seconde ; un import n'y compte pas : le premier optimiseur de torch en fait un, long.

    `Thread.join`, interrompu, croit le fil fini (Python 3.11 et 3.12) : c'est donc `done` qu'on attend.
    """
    calm = 0
    for _ in range(30 * LIMIT):
        if done.wait(0.1) or calm == LIMIT - 1:
            return
        frame = sys._current_frames().get(ident)
        imports = frame and any("importlib" in at.f_code.co_filename for at, _ in walk_stack(frame))
        calm = 0 if imports else calm + 1


def _refuse(answer: object, ask: str) -> None:
    """Dit ce qu'est une réponse qui ne peut convenir."""
    raise Unreadable(f"{ask} ; reçu : {_seen(answer)}.")


def _seen(value: object) -> str:
    """Ce qu'est un objet, en peu de mots."""
    if isinstance(value, np.ndarray | torch.Tensor):
        return f"un {'tenseur' if isinstance(value, torch.Tensor) else 'tableau'} de forme {tuple(value.shape)}"
    if isroutine(value):
        return "une fonction"
    return f"{'le texte ' if isinstance(value, str) else ''}`{Short().repr(value)}`"


def _call(function: Callable, given: list, shape: tuple) -> np.ndarray:
    """Ce que la fonction rend sur `given`, dont chaque liste devient un tenseur neuf."""
    given = [torch.tensor(value, dtype=torch.float64) if isinstance(value, list) else value for value in given]
    received = ", ".join(_seen(value) for value in given)  # avant l'appel, qui peut les changer
    try:
        result = function(*given)
    except BaseException as error:
        said = f"Votre fonction s'arrête sur une erreur : {in_french(error)}. Elle reçoit : {received}."
        raise Unreadable(said) from None
    if result is None:
        raise Unreadable("Votre fonction ne rend rien : finissez-la par `return` et ce qu'elle doit rendre.")
    if iscoroutine(result):
        result.close()  # sinon Python avertit, en anglais, que personne ne l'a attendue
    return _read(result, shape, f"Votre fonction doit rendre {in_words(shape)}")


def in_french(error: BaseException) -> str:
    """Ce que dit une erreur, en français si `errors.toml` la connaît ; sinon telle quelle, en code.

    >>> in_french(ZeroDivisionError("division by zero")), in_french(BufferError("x"))
    ('une division par zéro', '`BufferError: x`')
    """
    said = f"{type(error).__name__}: {error}"[:200].encode("utf-8", "replace").decode()
    for rule in ERRORS:
        if found := re.search(rule["message"], said):
            return found.expand(rule["french"])
    return f"`{' '.join(said.replace('`', ' ').split()).rstrip(':')}`"


def _read(answer: object, shape: tuple, ask: str) -> np.ndarray:
    """Les nombres de la réponse, de forme `shape` ; les dimensions de longueur 1 ne comptent pas."""
    values = _numbers(answer, ask)
    if values.squeeze().shape == tuple(n for n in shape if n != 1):
        return values.reshape(shape)
    if not shape and type(answer) is tuple and [type(one) for one in answer] == [int, int] and answer[1] >= 0:
        raise Unreadable(COMMA)
    raise Unreadable(f"{ask} ; reçu : {in_words(values.shape)}.")


def _numbers(answer: object, ask: str, depth: int = 0) -> np.ndarray:
    """Un tableau de nombres, fait d'un nombre, de son texte, d'une suite, d'un tableau ou d'un tenseur."""
    if answer is ... or answer is None:
        raise Unreadable(TODO)
    if isinstance(answer, str):
        return _from_text(answer, ask)
    if hasattr(type(answer), "__array__") and not isinstance(answer, np.generic):
        answer = _from_array(answer, ask)
    if isinstance(answer, Sequence) and not isinstance(answer, bytes | bytearray | memoryview):
        return _from_sequence(answer, ask, depth)
    try:
        number = complex(answer)
    except OverflowError:
        raise Unreadable(f"{ask} ; reçu : un nombre trop grand.") from None
    except Exception:
        raise Unreadable(f"{ask} ; reçu : {_seen(answer)}.") from None
    return np.array(number.real) if not number.imag else _refuse(answer, ask)


def _from_array(answer: object, ask: str) -> object:
    """La liste, ou le nombre, de ce qui a la forme d'un tableau."""
    array = answer if isinstance(answer, torch.Tensor) else np.asarray(answer)
    if math.prod(max(n, 1) for n in array.shape) > MOST:  # (100000, 100000, 0) : dix milliards de listes vides
        raise Unreadable(f"{ask} ; reçu : {in_words(array.shape)}.")
    try:
        return array.tolist()
    except Exception:  # un tenseur sans valeurs, creux ou quantifié
        raise Unreadable(f"{ask} ; reçu : {_seen(array)}, qui ne se laisse pas lire.") from None


def _from_sequence(answer: Sequence, ask: str, depth: int) -> np.ndarray:
    """Le tableau des nombres d'une suite, dont les éléments peuvent être des suites."""
    if len(answer) > MOST:
        raise Unreadable(f"{ask} ; reçu : {in_words((len(answer),))}.")
    if depth == DEPTH:
        raise Unreadable(f"{ask} ; reçu : plus de {DEPTH} listes l'une dans l'autre.")
    rows = [_numbers(one, ask, depth + 1) for one in answer]
    if len({row.ndim for row in rows}) > 1:
        raise Unreadable(f"{ask} ; reçu : une liste où des nombres et des listes se mêlent.")
    if len({row.shape for row in rows}) > 1:
        raise Unreadable(f"{ask} ; reçu : des lignes de longueurs différentes.")
    return np.array(rows)


def _from_text(text: str, ask: str) -> np.ndarray:
    """Le nombre, ou les nombres, d'un texte : « 0,5 », « 53 000 », « 3,5 % », « 2/3 », « 3 × 10⁻⁸ », « 0,03–0,3 »."""
    if len(text) < 60:
        parts = re.split(r"(?<=[\d%⁰¹²³⁴-⁹])\s*(?:[;–—]|\b(?:à|et)\b)\s*", text)
        numbers = [_from_word(part) for part in parts]
        if None not in numbers:
            return np.array(numbers if len(numbers) > 1 else numbers[0])
    advice = " Écrivez le nombre seul ; si c'est un calcul, ôtez les guillemets." if re.search(r"\d", text) else ""
    raise Unreadable(f"{ask} ; reçu : {_seen(text)}.{advice}")


def _from_word(text: str) -> float | None:
    """Le nombre d'un texte qui n'en a qu'un ; None s'il ne se lit pas sans deviner."""
    text = re.sub("[⁻⁺]?[⁰¹²³⁴-⁹]+", lambda power: f"^{power[0]}", text.strip()).translate(MINUS)
    text = re.sub(r"\s*[×x*·]\s*10(?:\^|\*\*)", "e", re.sub(r"^([+-]?\s*)10(?:\^|\*\*)", r"\g<1>1e", text))
    found = re.fullmatch(rf"[≈~=]?\s*{NUMBER}\s*(?:/\s*{NUMBER})?\s*(%?)", text, re.I)
    try:
        top, bottom = (float(re.sub(r"[\s_'’]", "", one).replace(",", ".")) for one in (found[1], found[2] or "1"))
        return top / bottom / (100 if found[3] else 1)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
