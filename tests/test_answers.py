"""La lecture des réponses : tout objet a son verdict, en français, court et en une seconde ou peu s'en faut."""

import collections
import decimal
import fractions
import functools
import gc
import itertools
import math
import os
import re
import signal
import sys
import threading
import time
import warnings

import numpy as np
import pytest
import torch
from french import CODE, COURSE, unknown_words

from toylib import Net
from toylib.lessons import verifier
from toylib.lessons.answers import COMMA, ERRORS, STILL, Unreadable, in_french, read_answer

LATE = 20  # secondes : un verdict vient en 1,2 s, mais la machine peut être très chargée


# Les textes.


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *((f"53{space}000", 53000) for space in " \u00a0\u202f\u2009_'’"),
        ("1 234,5", 1234.5),
        ("1 234 567", 1234567),
        ("12,000", 12),  # la virgule est celle des décimales, partout
        ("3,5 %", 0.035),
        ("60%", 0.6),
        ("≈ 0,3", 0.3),
        ("+0.5", 0.5),
        ("−0,5", -0.5),
        ("–0,5", -0.5),
        ("- 0,5", -0.5),
        ("1e-3", 0.001),
        ("10^-3", 0.001),
        ("10**-3", 0.001),
        ("10⁻³", 0.001),
        ("-10⁻³", -0.001),
        ("2 × 10⁻¹⁶", 2e-16),
        ("3*10**-8", 3e-8),
        ("2/3", 2 / 3),
        ("1 000/3", 1000 / 3),
        (".5", 0.5),
        ("1e400", math.inf),
    ],
)
def test_a_number_is_read_as_the_course_writes_it(text, number):
    assert read_answer(text, ()) == number
    assert read_answer([text], ()) == number


@pytest.mark.parametrize(
    "text", ["0,03–0,3", "0.03 ; 0.3", "0,03 à 0,3", "0,03 et 30 %", "3·10⁻² ; 3·10⁻¹", "3×10⁻² à 3×10⁻¹"]
)
def test_a_range_is_two_numbers(text):
    assert read_answer(text, (2,)).tolist() == [0.03, 0.3]
    assert verifier("08.1", text).passed
    assert verifier("01.1", text).text == "Il faut un seul nombre ; reçu : une liste de 2 nombres."


@pytest.mark.parametrize(
    "text",
    ["1.234,5", "1 23", "0 123", "2^10", "9**9**9", "1/0", "2/3/4", "100 pas", "[0.5]", "1e9999999", "", "½", "nan"],
)
def test_what_could_be_read_in_two_ways_or_none_is_not(text):
    with pytest.raises(Unreadable, match="le texte"):
        read_answer(text, ())


def test_a_wrong_text_says_what_was_read():
    assert verifier("01.3", "12,000").text.startswith("J'ai lu 12. ")
    assert verifier("14.3", "53 000").passed


def test_a_decimal_comma_is_two_whole_numbers_in_a_tuple_and_nothing_else():
    assert verifier("01.1", (0, 5)).text == verifier("01.1", (-1, 5)).text == COMMA
    for answer in ((0.03, 0.1), (1, -5), [0, 5], (0, 5, 0)):
        assert verifier("01.1", answer).text.startswith("Il faut un seul nombre"), answer


# Les objets.


class Hostile:
    """Tout ce qu'on lui demande s'arrête sur l'erreur donnée."""

    def __init__(self, error):
        object.__setattr__(self, "error", error)

    def fail(self, *given, **named):
        raise object.__getattribute__(self, "error")

    __repr__ = __str__ = __float__ = __complex__ = __array__ = __len__ = __iter__ = __eq__ = __bool__ = __getattr__ = (
        fail
    )
    __class__ = property(fail)
    __hash__ = object.__hash__


class Silent(Hostile):
    """Tout ce qu'on lui demande dure."""

    def fail(self, *given, **named):
        while True:
            pass

    __array__ = __float__ = __complex__ = fail
    __class__ = property(fail)


class Itself:
    """Un tableau qui ne contient que lui-même."""

    def __array__(self, *given, **named):
        array = np.empty((), dtype=object)
        array[()] = self
        return array


class Endless(list):
    def __len__(self):
        return 2

    def __iter__(self):
        return itertools.repeat(0.5)


def nested(depth):
    return functools.reduce(lambda inner, _: [inner], range(depth), 0.5)


def odd_objects():
    """Un objet de chaque sorte, refait à chaque fois."""
    cycle, table = [], {}
    cycle.append(cycle)
    table["table"] = table
    yield from (cycle, ([cycle],), table, [cycle] * 1000, nested(10**5))
    yield from (Hostile(RuntimeError("x")), Hostile(SystemExit()), Hostile(KeyboardInterrupt()), Itself())
    yield from ("a" * 10**6, "1" * 10**6, "1e999999999", "1/1e999999999", "9**9**9", "\ud800", "\0", "`a`", "<b>")
    yield from (range(10**12), range(10**30), itertools.count(), (one for one in itertools.count()), map(float, "a"))
    yield from (
        np.broadcast_to(0.5, 10**9),
        np.broadcast_to(np.ones(0), (10**5, 10**5, 0)),
        torch.empty(10**12, device="meta"),
        torch.tensor(0.5, dtype=torch.bfloat16),
    )
    yield from (torch.eye(2).to_sparse(), torch.tensor(1j), np.ones((1,) * 60), np.zeros((0, 5)), np.array([None, "a"]))
    yield from (
        np.zeros(2, dtype=[("a", float)]),
        np.ma.array([1.0], mask=[True]),
        np.datetime64("2026-01-01"),
        np.void(b"a"),
    )
    yield from (
        decimal.Decimal("1e999999"),
        decimal.Decimal("sNaN"),
        fractions.Fraction(1, 3),
        10 ** (10**6),
        1j,
        math.nan,
    )
    yield from (
        b"0.5",
        bytearray(3),
        {0.1},
        {"a": 1}.values(),
        {"a": functools.reduce(lambda a, _: [a] * 6, range(6), 0.5)},
        collections.deque([1, 2]),
        type("a" * 10**6, (), {})(),
    )
    yield from (math, int, len, np.exp, torch.exp, functools.partial(pow, 2), Net(2), ValueError("a"), threading.Lock())


SAMPLE = ["01.1", "08.1", "05.3", "04.3", "03.1"]  # un nombre, une liste, un tableau, une mesure, une fonction


@pytest.mark.parametrize("name", SAMPLE)
def test_any_object_gets_a_short_verdict(name):
    for k, answer in enumerate(odd_objects()):
        check(name, answer, k)


def test_a_function_may_return_any_object():
    for k, answer in enumerate(odd_objects()):
        check("03.1", lambda z, answer=answer: answer, k)


@pytest.mark.lent
@pytest.mark.parametrize("kind", [Silent, Endless, lambda _: functools.reduce(lambda a, _: [a] * 1000, range(4), 0)])
def test_what_is_read_without_end_is_given_up(kind):
    assert "une seconde" in check("01.1", kind([])).text


def check(name, answer, k=None):
    """Le verdict, faux, court et vite rendu ; `k` dit de quel objet il s'agit, quand son `repr` est dangereux."""
    start = time.monotonic()
    verdict = verifier(name, answer)
    assert time.monotonic() - start < LATE, k
    assert not verdict.passed, k
    assert 0 < len(verdict.text.encode()) < 600, k
    return verdict


def test_a_cycle_and_an_object_that_exits_are_said():
    cycle = []
    cycle.append(cycle)
    assert verifier("01.1", cycle).text.endswith("plus de 8 listes l'une dans l'autre.")
    assert verifier("01.1", Hostile(SystemExit())).text.endswith("un objet qui ne se laisse pas lire.")


# Les fonctions. Celles-ci vont toutes à l'exercice 03.1, qui leur donne un tenseur de trois logits.


@pytest.mark.lent
def test_a_loop_without_end_is_given_up_and_stopped():
    at_work = []

    def loop(z):
        at_work.append(threading.get_ident())
        while True:
            pass

    assert "boucle sans fin" in check("03.1", loop).text
    wait_until(lambda: at_work[0] not in sys._current_frames())  # le processeur est rendu


@pytest.mark.lent
def test_what_cannot_be_stopped_is_left_behind_and_said():
    woken = threading.Event()
    verdict = check("03.1", lambda z: woken.wait())
    woken.set()
    assert verdict.text.endswith(STILL)


def wait_until(condition):
    end = time.monotonic() + LATE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT ne s'y envoie pas à un seul processus")
def test_the_interruption_of_the_kernel_still_interrupts():
    at_work, started = [], threading.Event()

    def loop(z):
        at_work.append(threading.get_ident())
        started.set()
        while True:
            pass

    def interrupt():
        started.wait()
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # une tâche de fond l'ignore
    threading.Thread(target=interrupt).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            verifier("03.1", loop)
    finally:
        signal.signal(signal.SIGINT, before)
    wait_until(lambda: at_work[0] not in sys._current_frames())


@pytest.mark.lent
def test_a_first_import_does_not_count(tmp_path, monkeypatch):
    """Le premier optimiseur d'un noyau fait importer à torch un module qui peut prendre plusieurs secondes."""
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(1.5)\n")
    monkeypatch.syspath_prepend(tmp_path)

    def softmax(z):
        import slow_to_import  # noqa: F401

        return z.exp() / z.exp().sum()

    assert verifier("03.1", softmax).passed
    sys.modules.pop("slow_to_import")


ENDS = [SystemExit(), KeyboardInterrupt(), GeneratorExit(), StopIteration(), BaseException("x"), MemoryError()]
ENDS += [ValueError("x" * 10**6), ValueError("\ud800"), ExceptionGroup("x", [ValueError()]), KeyError("`x`")]


@pytest.mark.parametrize("error", ENDS, ids=lambda error: type(error).__name__)
def test_a_function_may_raise_anything(error):
    def fail(z):
        raise error

    verdict = check("03.1", fail)
    assert verdict.text.startswith("Votre fonction s'arrête sur une erreur")
    assert verdict.text.endswith("Elle reçoit : un tenseur de forme (3,).")


def test_the_message_of_an_error_may_fail():
    class Mute(Exception):
        __str__ = Hostile.fail
        error = SystemExit()

    def fail(z):
        raise Mute

    assert check("03.1", fail).text == "Reçu de votre fonction : un objet qui ne se laisse pas lire."


async def coroutine(z):
    return z


@pytest.mark.parametrize(
    "function",
    [
        coroutine,
        lambda: 1,
        lambda a, b: a,
        lambda *, z: z,
        len,
        int,
        np.ones,
        torch.softmax,
        functools.partial(pow, 2),
        Net(2),
    ],
    ids=range(10),
)
def test_any_callable_gets_a_verdict(function):
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert "<coroutine>" in check("03.1", function).text or function is not coroutine
        gc.collect()


def test_each_call_gets_new_arguments():
    def spoil(z):
        result = z.exp() / z.exp().sum()
        z.zero_()
        return result

    assert verifier("03.1", spoil).passed
    assert verifier("03.1", spoil).passed


def test_what_a_function_sets_stays_with_it():
    def softmax(z):
        np.seterr(all="raise")
        torch.set_grad_enabled(False)
        return z.exp() / z.exp().sum()

    before = np.geterr()
    assert verifier("03.1", softmax).passed
    assert (np.geterr(), torch.is_grad_enabled()) == (before, True)


def test_what_the_student_set_does_not_change_the_verdict():
    def step(w, x, y2, lr):
        w.requires_grad_()
        torch.nn.functional.cross_entropy(x @ w, y2).backward()
        return w - lr * w.grad

    with torch.no_grad(), np.errstate(all="raise"):
        assert verifier("06.2", step).passed
        assert not verifier("14.3", math.inf).passed
        assert not verifier("04.3", [math.inf, 0.5]).passed


def test_the_shape_of_one_result_is_said():
    said = "Votre fonction doit rendre un seul nombre ; reçu : une liste de 4 nombres."
    assert verifier("03.4", lambda z, y: (z.argmax(1) == y.argmax(1)).double()).text == said


def test_the_result_in_place_of_the_function_is_said():
    said = "Il faut une fonction : donnez son nom, sans parenthèses ; reçu : un tenseur de forme (3,)."
    assert verifier("03.1", torch.ones(3)).text == said


@pytest.mark.parametrize("name", ["04.3", "09.4", "12.3"])
@pytest.mark.parametrize("far", [math.nan, math.inf, -1e300, 1e300, 1e39, 0.0])
def test_a_measured_answer_may_be_any_number(name, far):
    """Une mesure dure autant quels que soient les nombres : aucun n'est un nombre de pas."""
    for answer in ([far, 2.0], [1e39, 0.5], [far, far]):
        check(name, answer)


# Les erreurs.


@pytest.mark.parametrize("rule", ERRORS, ids=lambda rule: rule["example"])
def test_a_common_error_is_said_in_french(rule):

    def fail(z):
        m, w = torch.ones(3, 2, dtype=torch.float64), z.clone().requires_grad_()
        return eval(rule["example"], {"np": np, "torch": torch, "math": math, "z": z, "m": m, "w": w})

    said = verifier("03.1", fail).text
    pattern = re.escape(rule["french"])
    pattern = re.sub(r"(?:\\\\\d)+", ".+", pattern)
    assert re.search(f"erreur : {pattern}\\. Elle reçoit : un tenseur de forme", said), said


@pytest.mark.usefixtures("hunspell")
def test_errors_are_spelled_right():
    text = "\n".join(re.sub(r"\\\d", "", rule["french"]) for rule in ERRORS)
    assert unknown_words(text, COURSE | CODE) == set()


def test_an_unknown_error_is_quoted():
    assert in_french(BufferError("a `b`\n c")) == "`BufferError: a b c`"
