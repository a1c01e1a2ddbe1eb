"""L'orthographe de tout ce qui se lit, et l'anglais qui y serait resté."""

import ast
import re
import tomllib
import unicodedata
from pathlib import Path

import french
import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
QUESTIONS = sorted((ROOT / "toylib/lessons/questions").glob("*.toml"))
PAGES = french.PAGES
SOURCES = [ROOT / "cours.py", *sorted((ROOT / "toylib").rglob("*.py"))]

pytestmark = pytest.mark.usefixtures("hunspell")


def sentences(code):
    """Ce qui se lit d'un code Python : phrases, noms d'axes et de widgets, commentaires.

    Les exemples des docstrings et le style CSS en sont ôtés.
    """
    nodes = list(ast.walk(ast.parse(re.sub(r"^(\s*)%", r"\1# %", code, flags=re.M))))
    strings = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    prose = [text for text in strings if re.search(r"\s|[^\x00-\x7f]|^[A-Z]", text)]
    prose += [node.value.value for node in nodes if isinstance(node, ast.keyword) and is_label(node)]
    prose = [re.sub(r"^ *(?:>>>|\.\.\.).*(?:\n.+)*", "", text, flags=re.M) for text in prose]
    prose += re.findall(r"# (?!NBVAL|noqa).*", code)
    return "\n".join(text for text in prose if not re.search(r"\w: ?#|\dpx|[-_]color", text))


def is_label(keyword):
    """Un argument qui s'affiche tel quel."""
    names = ("label", "xlabel", "ylabel", "title", "description")
    return keyword.arg in names and isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str)


def identifiers(path):
    """Les noms que le code du fichier emploie : une docstring peut les citer."""
    return set(re.findall(r"\w+", re.sub(r'"""(?:.|\n)*?"""|"[^"\n]*"', " ", path.read_text("utf-8"))))


def words_of_notebook(path):
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(sentences(c.source) if c.cell_type == "code" else c.source for c in cells)


def texts(value):
    """Toutes les chaînes d'une donnée, sauf le code d'un exemple et le nom d'une mesure."""
    if isinstance(value, dict):
        return [text for key, one in value.items() if key not in ("example", "measure") for text in texts(one)]
    if isinstance(value, list):
        return [text for one in value for text in texts(one)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_notebooks_are_spelled_right(path):
    assert french.unknown_words(words_of_notebook(path)) == set()


@pytest.mark.parametrize("path", QUESTIONS, ids=lambda path: path.stem)
def test_exercises_and_quizzes_are_spelled_right(path):
    assert french.unknown_words("\n".join(texts(tomllib.loads(path.read_text("utf-8"))))) == set()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_pages_are_spelled_right(path):
    assert french.unknown_words(path.read_text("utf-8").partition("## In English")[0]) == set()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_and_messages_are_spelled_right(path):
    known = french.COURSE | french.CODE | identifiers(path)
    assert french.unknown_words(sentences(path.read_text("utf-8")), known) == set()


def test_a_fault_and_an_english_word_are_seen():
    text = "Le réseau aprend vite. The learning rate est `learning`, *learning* et $learning$ ; « du loss », la loss."
    assert french.unknown_words(text) == {"aprend", "The", "learning", "loss"}
    code = 'ax.set(xlabel="epochs", ylabel="Loss")  # the end\nprint("adam", "perte : lower")'
    assert french.unknown_words(sentences(code)) == {"epochs", "Loss", "the", "end", "lower"}


def test_the_words_of_the_course_are_sorted_and_all_used():
    words = (ROOT / "tests/mots.txt").read_text("utf-8").split()
    flat = [unicodedata.normalize("NFD", word).encode("ascii", "ignore").decode().lower() for word in words]
    assert flat == sorted(flat)
    everything = [words_of_notebook(path) for path in NOTEBOOKS] + [
        path.read_text("utf-8") for path in PAGES + QUESTIONS
    ]
    everything += [sentences(path.read_text("utf-8")) for path in SOURCES]
    assert set(words) - set(re.findall(r"[^\W\d_]+", "\n".join(everything))) == set()
