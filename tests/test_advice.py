"""Les réponses que l'on n'attendait pas : une grille autour de chaque clé, les fautes courantes, et chaque conseil."""

import itertools
import math
import re
from functools import cache

import nbformat
import numpy as np
import pytest
from test_exercises import EXERCISES, LESSONS

from toylib.french import comma
from toylib.lessons import verifier
from toylib.lessons.answers import COMMA
from toylib.lessons.exercises import CLOSE, SHARE

NUMBERS = [name for name, entry in EXERCISES.items() if "arguments" not in entry and "measure" not in entry]
# De chaque exercice que l'on mesure, une grille de réponses assez fine pour contenir de bonnes réponses.
GRIDS = {
    "04.3": (
        np.sort(np.r_[3e-4, 2e-3, np.linspace(0.004, 0.04, 73), 0.0329, 0.0339, 0.0349, 0.1]),
        np.r_[0:0.79:0.05, 0.85:1.01:0.05],
    ),
    "09.4": (
        np.sort(np.r_[1e-5, 1e-4, 2e-4, np.geomspace(5e-4, 4.8e-3, 14), 0.01, 0.1, 1]),
        np.array([0, 0.4, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.99]),
    ),
    "12.3": (np.geomspace(1e-3, 3, 141), np.arange(5)),
}


def statement(name):
    """L'énoncé d'un exercice, dans sa leçon."""
    cells = nbformat.read(LESSONS[name[:2]], as_version=4).cells
    at = next(k for k, cell in enumerate(cells) if f'verifier("{name}"' in cell.source)
    return next(cell.source for cell in reversed(cells[:at]) if cell.cell_type == "markdown")


def flat(value):
    return np.ravel(np.array(value, dtype=float))


def is_right(entry, values):
    if "between" in entry:
        low, high = np.array(entry["between"], dtype=float).reshape(-1, 2).T
        return bool(np.all((low <= values) & (values <= high)))
    return bool(np.all(abs(values - flat(entry["value"])) <= entry["tolerance"]))


def told_truly(entry, values, said):
    """Ce qui est dit ne suppose aucune erreur, ou celle dont ces nombres sont bien le résultat."""
    for wrong in entry["wrong"]:
        if wrong["feedback"] == said:
            if "between" in wrong:
                return is_right(wrong, values)
            gap = abs(values - flat(wrong["value"])).max()
            return gap <= wrong.get("tolerance", CLOSE * abs(flat(wrong["value"])).max()) + 1e-12
    return said == SHARE and is_right(entry, values / 100) or said.endswith(entry["hint"])


@pytest.mark.parametrize("name", NUMBERS)
def test_a_right_answer_rounded_as_the_text_asks_passes(name):
    entry = EXERCISES[name]
    asked = re.search(r"à (0,0*[15]|1) près", statement(name))
    step = float(asked[1].replace(",", ".")) if asked else None
    for key in flat(entry["value"]):
        rounded = key if step is None else round(key / step) * step
        answer = np.where(flat(entry["value"]) == key, rounded, flat(entry["value"])).reshape(np.shape(entry["value"]))
        assert verifier(name, answer).passed, answer
    if step is not None and "between" not in entry:
        assert entry["tolerance"] >= step / 2, "plus sévère que l'énoncé"


@pytest.mark.parametrize("name", NUMBERS)
def test_a_right_answer_passes_however_it_is_written(name):
    value = EXERCISES[name]["value"]
    numbers = [comma(key, 9) for key in flat(value)]
    if np.ndim(value) == 0:
        writings = [numbers[0], numbers[0].replace(",", "."), f"{numbers[0]} ", f"≈ {numbers[0]}", f"{value!r}"]
    else:
        writings = [tuple(value), value, np.array(value), [str(one) for one in value] if np.ndim(value) == 1 else value]
        writings += [" ; ".join(numbers)] if np.ndim(value) == 1 and len(numbers) < 4 else []
    for written in writings:
        assert verifier(name, written).passed, written


@pytest.mark.parametrize("name", NUMBERS)
def test_the_usual_slips_get_no_false_diagnosis(name):
    """Pour cent, inverse, signe, facteur deux, ordre, puissance de dix : faux, et rien n'est supposé à tort."""
    entry = EXERCISES[name]
    key = flat(entry["value"])
    slips = [factor * key for factor in (0.5, 2, 10, 0.1, 100, 0.01, -1, 1.03, 0.97, 1.1, 0.9)]
    slips += [1 / np.where(key == 0, np.inf, key), key + 1, key - 1, key[::-1], key**2, np.sqrt(abs(key))]
    slips += [np.where(np.arange(len(key)) == k, factor * key, key) for k in range(len(key)) for factor in (0.5, 2, -1)]
    slips += [flat(wrong["value"]) * factor for wrong in entry["wrong"] if "value" in wrong for factor in (0.9, 1.1)]
    for slip in slips:
        verdict = verifier(name, slip.reshape(np.shape(entry["value"])))
        assert verdict.passed == is_right(entry, slip), slip
        assert verdict.passed or told_truly(entry, slip, verdict.text), (slip, verdict.text)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_pair_of_integers_is_read_as_a_decimal_comma_only_for_one_number(name):
    value = EXERCISES[name]["value"]
    if np.ndim(value) == 0:
        assert verifier(name, (1, 25)).text == COMMA
    else:
        assert verifier(name, tuple(flat(value))).text != COMMA or np.ndim(value) > 1


# Un conseil qui a un sens le garde en `toward`, un signe par nombre : le suivre doit rapprocher d'une bonne réponse.


LONG = {"09.4": [pytest.mark.long]}  # chaque réponse y est un entraînement


def advised():
    return [
        pytest.param(name, k, id=f"{name}-{k}", marks=LONG.get(name, []))
        for name, entry in EXERCISES.items()
        for k, wrong in enumerate(entry["wrong"])
        if "toward" in wrong
    ]


@pytest.mark.parametrize("name", [name for name, entry in EXERCISES.items() if "arguments" not in entry])
def test_an_advice_that_has_a_direction_stores_it(name):
    for wrong in EXERCISES[name]["wrong"]:
        if re.search(r"(?i)\b(augmentez|diminuez|baissez)\b", wrong["feedback"]):
            assert "toward" in wrong, wrong["feedback"]


@cache
def measured(name):
    """Pour chaque réponse de la grille : est-elle juste, et sinon quel rang d'erreur est reconnu."""
    entry, grid = EXERCISES[name], GRIDS[name]
    said = {wrong["feedback"]: k for k, wrong in enumerate(entry["wrong"])}
    places, found = list(itertools.product(*(range(len(axis)) for axis in grid))), []
    for place in places:
        verdict = verifier(name, [float(axis[k]) for axis, k in zip(grid, place)])
        found.append("juste" if verdict.passed else said.get(verdict.text))
    return np.array(places), np.array(found, dtype=object)


@pytest.mark.lent
@pytest.mark.parametrize(("name", "k"), advised())
def test_following_an_advice_brings_closer_to_a_right_answer(name, k):
    wrong = EXERCISES[name]["wrong"][k]
    toward = np.ravel(wrong["toward"])
    if name in GRIDS:
        places, found = measured(name)
        right = places[found == "juste"]
        assert len(right)
        told = places[found == k]
        assert len(told)
        for place in told:
            gaps = right - place
            for axis in np.flatnonzero(toward):
                line = gaps[(np.delete(gaps, axis, axis=1) == 0).all(axis=1)]
                far = abs(gaps).max(axis=1)
                nearest = line if len(line) else gaps[far <= far.min() + 1]
                assert (nearest[:, axis] * toward[axis] > 0).any(), (place, nearest)
        return
    right = flat(EXERCISES[name].get("between", EXERCISES[name].get("value")))
    ends = flat(wrong.get("between", wrong.get("value"))).reshape(-1, np.size(toward)) if np.size(toward) == 1 else None
    assert ends is not None, "un seul nombre, ou une grille"
    for end in ends.ravel():
        assert (right.min() - end) * toward[0] > 0 or (right.max() - end) * toward[0] > 0 or math.isinf(end), end


@pytest.mark.parametrize("name", [pytest.param(name, marks=LONG.get(name, [])) for name in GRIDS])
def test_every_measured_answer_of_the_grid_is_right_told_or_hinted(name):
    """Partout, le verdict est celui de la première règle que la mesure vérifie."""
    _, found = measured(name)
    assert (found == "juste").any()
    assert len({one for one in found if isinstance(one, int)}) >= 3
