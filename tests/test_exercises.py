"""Les exercices et les quiz : le point de départ échoue, le corrigé passe, chaque erreur prévue a son message."""

import ast
import math
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch

from toylib import Net
from toylib.french import comma
from toylib.lessons import Quiz, show_source, verifier
from toylib.lessons.answers import COMMA, TODO
from toylib.lessons.exercises import SHARE, questions

ROOT = Path(__file__).resolve().parent.parent
LESSONS = {path.name[:2]: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
EXERCISES = {
    f"{lesson}.{k}": entry for lesson in LESSONS for k, entry in enumerate(questions(lesson)["exercise"], start=1)
}
QUIZZES = {f"{lesson}.{k}": entry for lesson in LESSONS for k, entry in enumerate(questions(lesson)["quiz"], start=1)}


@pytest.fixture(params=EXERCISES)
def exercise(request):
    return request.param


def cell(path, exercise):
    """La cellule du carnet qui vérifie l'exercice."""
    return next(c for c in nbformat.read(path, as_version=4).cells if f'verifier("{exercise}"' in c.source)


def example(rule):
    """Une réponse qui suit la règle : celle que la donnée écrit en Python, ou sa valeur."""
    if "example" in rule:
        return eval(rule["example"], {"np": np, "torch": torch, "math": math})
    return rule["value"]


def test_the_stub_fails_and_says_what_to_do(exercise):
    stub = cell(LESSONS[exercise[:2]], exercise)
    assert "..." in stub.source
    assert [output.data["text/plain"] for output in stub.outputs] == [f"✗ {TODO}"]
    scope = {"verifier": verifier, "np": np, "torch": torch}
    *before, call = ast.parse(stub.source).body
    exec(compile(ast.Module(before, []), "stub", "exec"), scope)
    assert eval(compile(ast.Expression(call.value), "stub", "eval"), scope).text == TODO


def test_the_solution_passes(exercise):
    """Le corrigé est rejoué par nbval ; ici, ce qu'il a enregistré."""
    path = LESSONS[exercise[:2]]
    solution = cell(path.parent / "corriges" / path.name, exercise)
    results = [output.data["text/plain"] for output in solution.outputs if output.output_type == "execute_result"]
    assert results == [f"✓ {EXERCISES[exercise]['success']}"]
    assert "..." not in solution.source


def test_three_plausible_wrong_answers_fail_with_their_message(exercise):
    wrongs = EXERCISES[exercise]["wrong"]
    assert len(wrongs) >= 3
    assert len({wrong["feedback"] for wrong in wrongs}) >= 3
    for wrong in wrongs:
        verdict = verifier(exercise, example(wrong))
        assert (verdict.passed, verdict.text) == (False, wrong["feedback"]), wrong


def test_any_other_answer_gets_the_hint(exercise):
    entry = EXERCISES[exercise]
    if "arguments" in entry:
        far = lambda *given: 0 * np.array(entry["value"][0]) + 987.0  # noqa: E731
    elif "measure" in entry:
        far = [987.0] * len(example(entry["wrong"][0]))
    else:
        far = 0 * np.array(entry["value"]) + 987.0
    verdict = verifier(exercise, far)
    assert not verdict.passed
    assert verdict.text in {entry["hint"], *(wrong["feedback"] for wrong in entry["wrong"])}


def test_what_is_said_of_a_wrong_answer_never_gives_the_key(exercise):
    entry = EXERCISES[exercise]
    for key in np.ravel(entry.get("value", [])):
        if abs(key) >= 2 or key != round(key):  # 0 et 1 se rencontrent partout
            for said in [entry["hint"], *(wrong["feedback"] for wrong in entry["wrong"])]:
                for digits in (2, 3, 4):
                    assert not re.search(rf"(?<![\d,]){re.escape(comma(key, digits))}(?![\d,])", said), (key, said)


def test_a_lesson_does_not_show_a_key(exercise):
    """Les clés ne sont ni dans le code ni dans les sorties de l'exercice ; elles sont dans la bibliothèque."""
    lesson = nbformat.read(LESSONS[exercise[:2]], as_version=4)
    assert EXERCISES[exercise]["success"] not in nbformat.writes(lesson)


def test_every_exercise_of_the_data_is_in_its_lesson_once():
    for lesson, path in LESSONS.items():
        asked = re.findall(r'verifier\(\\"(\d\d\.\d)\\"', path.read_text("utf-8"))
        assert asked == [f"{lesson}.{k + 1}" for k in range(len(questions(lesson)["exercise"]))]
        assert 2 <= len(asked) <= 4


# Une réponse juste l'est sous toutes ses formes, et une faute d'écriture est dite.


def some(condition):
    """Le premier exercice dont les données vérifient `condition`."""
    return next((name, entry) for name, entry in EXERCISES.items() if condition(entry))


def is_number(entry):
    return "arguments" not in entry and "measure" not in entry and isinstance(entry.get("value"), float)


def test_equivalent_answers_pass():
    name, entry = some(is_number)
    key = entry["value"]
    forms = (key, np.float32(key), torch.tensor(key), torch.tensor([key], requires_grad=True), [key], np.array([[key]]))
    for answer in (
        *forms,
        str(key),
        str(key).replace(".", ","),
        f"{comma(100 * key, 9)}\xa0%",
        key + entry["tolerance"] / 2,
    ):
        assert verifier(name, answer).passed, answer
    assert not verifier(name, key + 1.5 * entry["tolerance"]).passed


@pytest.mark.parametrize("answer", [..., None, [..., 1.0], [[1.0], [...]]])
def test_an_unanswered_exercise_says_so(answer):
    assert verifier("01.1", answer).text == TODO


def test_a_function_that_is_not_written_yet_says_so():
    name, _ = some(lambda entry: "arguments" in entry)
    assert verifier(name, lambda *given: ...).text == TODO


def test_a_function_for_a_number_and_the_reverse_are_said():
    assert verifier("01.1", len).text.startswith("Il faut un seul nombre")
    name, _ = some(lambda entry: "arguments" in entry)
    assert verifier(name, 1.0).text.startswith("Il faut une fonction")


def test_a_measured_answer_of_the_wrong_length_is_said():
    name, _ = some(lambda entry: "measure" in entry)
    for answer in (0.03, [1.0, 2.0, 3.0]):
        assert verifier(name, answer).text.replace("\xa0", " ").startswith("Il faut une liste de 2 nombre")


def test_a_decimal_comma_in_code_is_explained():
    assert verifier(some(is_number)[0], (0, 5)).text == COMMA


def test_a_percentage_where_a_share_is_wanted_is_explained():
    name, entry = some(lambda entry: entry.get("share"))
    assert verifier(name, 100 * entry["value"]).text == SHARE


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        ("beaucoup", "le texte `'beaucoup'`."),
        ("1/0", "le texte `'1/0'`. Écrivez le nombre seul ; si c'est un calcul, ôtez les guillemets."),
        ("8*20", "le texte `'8*20'`. Écrivez le nombre seul ; si c'est un calcul, ôtez les guillemets."),
        ({"a": 1}, "`{'a': 1}`."),
        (object(), "`<object>`."),
        (1j, "`1j`."),
        ([[1, 2], [3]], "des lignes de longueurs différentes."),
        ([1, [2, 3]], "une liste où des nombres et des listes se mêlent."),
        ((0.03, 0.1), "une liste de 2 nombres."),
        ([], "une liste vide."),
        (range(10**12), "une liste de 1 000 000 000 000 nombres."),
        (np.broadcast_to(0.5, (10**5, 10**5)), "un tableau de forme (100000, 100000)."),
        (torch.empty(3, device="meta"), "un tenseur de forme (3,), qui ne se laisse pas lire."),
        (10**400, "un nombre trop grand."),
        (Net(2), "`<Net>`."),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, str) else type(value).__name__,
)
def test_what_is_not_one_number_is_said(answer, seen):
    assert verifier("01.1", answer).text == f"Il faut un seul nombre ; reçu : {seen}"


def test_rows_of_different_lengths_are_said_where_a_table_is_wanted():
    said = "Il faut un tableau de forme (2, 2) ; reçu : des lignes de longueurs différentes."
    assert verifier("05.3", [[0.15, 0.2], [-0.15]]).text == said


def test_a_wrong_shape_is_said():
    assert verifier(some(is_number)[0], [1.0, 2.0, 3.0]).text.startswith("Il faut un seul nombre")


def test_a_function_that_fails_is_said_in_french():
    name, entry = some(lambda entry: "arguments" in entry)
    assert verifier(name, lambda *given: 1 / 0).text.startswith("Votre fonction s'arrête sur une erreur")


def test_a_function_without_return_is_told_so():
    name, _ = some(lambda entry: "arguments" in entry)
    assert "return" in verifier(name, lambda *given: None).text


def test_a_function_that_returns_the_wrong_shape_is_told_so():
    name, _ = some(lambda entry: "arguments" in entry)
    assert verifier(name, lambda *given: np.zeros((7, 7))).text.startswith("Votre fonction doit rendre")


def test_nan_is_wrong():
    name, entry = some(is_number)
    assert verifier(name, math.nan).text == entry["hint"]


CYCLE = []
CYCLE.append(CYCLE)
UNKNOWN = ["99.1", "01.9", "01.0", "01", "", "1.1", "01.", "01.01", "01.1.1", " 01.1", "٠١.١", "01.١", "1" * 10**6]


@pytest.mark.parametrize(
    "name", [*UNKNOWN, 1.1, None, CYCLE, {"01.1": CYCLE}, Net, b"01.1"], ids=range(len(UNKNOWN) + 6)
)
def test_an_unknown_exercise_is_refused(name):
    with pytest.raises(ValueError, match="^exercise doit être l'un de.* reçu") as caught:
        verifier(name, 1)
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize("lesson", ["99", 1, None, CYCLE, "0" * 10**6], ids=range(5))
def test_an_unknown_lesson_is_refused(lesson):
    for call in (questions, Quiz):
        with pytest.raises(ValueError, match="^lesson doit être l'une de") as caught:
            call(lesson)
        assert len(str(caught.value)) < 200


def test_the_verdict_is_seen_in_colour_and_read_without():
    for passed, sign in ((True, "✓"), (False, "✗")):
        verdict = type(verifier("01.1", ...))(passed, "`lr` < 2")
        assert repr(verdict) == f"{sign} `lr` < 2"
        assert "<code>lr</code> &lt; 2" in verdict._repr_html_()
        assert sign in verdict._repr_html_()


# Les quiz.


@pytest.fixture(params=QUIZZES)
def question(request):
    return QUIZZES[request.param]


def test_a_question_has_one_right_choice_and_explains_each(question):
    choices = question["choice"]
    assert len(choices) >= 3
    assert sum(choice.get("correct", False) for choice in choices) == 1
    assert all(choice["explanation"] for choice in choices)
    assert len({choice["text"] for choice in choices}) == len(choices)


def test_quizzes_have_three_to_five_questions_and_no_habit():
    right = [[c.get("correct", False) for c in entry["choice"]].index(True) for entry in QUIZZES.values()]
    assert all(3 <= len(questions(lesson)["quiz"]) <= 5 for lesson in LESSONS)
    assert max(map(right.count, set(right))) < 0.6 * len(right)


def choose(quiz, number, index):
    quiz.children[number].children[1].value = index


def test_choosing_explains_at_once_and_counts_first_answers_only():
    quiz = Quiz("01")
    right = [[c.get("correct", False) for c in entry["choice"]].index(True) for entry in questions("01")["quiz"]]
    choose(quiz, 0, right[0] - 1 if right[0] else 1)
    assert "✗" in quiz.children[0].children[2].value
    choose(quiz, 0, right[0])
    assert "✓" in quiz.children[0].children[2].value
    assert quiz.score.value == f"Réponses données\xa0: 1 sur {len(right)}."
    for number, index in enumerate(right[1:], start=1):
        choose(quiz, number, index)
    assert quiz.score.value == f"<b>{len(right) - 1} sur {len(right)} du premier coup.</b>"


def test_without_a_front_end_the_questions_are_read_without_answers():
    bundle = Quiz("01")._repr_mimebundle_()
    for entry in questions("01")["quiz"]:
        assert entry["question"] in bundle["text/markdown"]
        assert not any(choice["explanation"] in bundle["text/plain"] for choice in entry["choice"])


@pytest.mark.parametrize("subject", [len, "train", 3, np.float64])
def test_what_has_no_python_source_is_refused(subject):
    with pytest.raises(TypeError, match="subject doit être une fonction ou une classe écrite en Python"):
        show_source(subject)
