"""Les nombres de la prose : chacun est affiché par une cellule de sa leçon, ou calculé par un essai qui la nomme.

La prose est ce qui reste d'une leçon sans son code, ses formules, ses citations (« … », *…*), ses titres, ses
renvois, les énoncés de ses exercices et les réponses que propose une prédiction. Les entiers jusqu'à dix, et cent,
comptent et classent autant qu'ils mesurent : ils n'y sont pas cherchés. Un essai nomme sa leçon par
`test_lesson_NN_…` ou par sa docstring, qui dit la phrase.
"""

import ast
import re
from functools import cache
from pathlib import Path

import nbformat
import pytest

TESTS = Path(__file__).resolve().parent
LESSONS = sorted((TESTS.parent / "notebooks").glob("[0-9]*.ipynb"))
NUMBER = re.compile(r"(?<![\w.,/])[-−]?\d+(?:[\s_]\d{3})*(?:[.,]\d+)?(?:e[-−+]?\d+)?(?![\w/])")
SPACES = re.compile(r"[\s_]")
NOT_PROSE = [
    re.compile(pattern, re.DOTALL | re.MULTILINE)
    for pattern in (
        r"```.*?```",
        r"`[^`]*`",
        r"\$\$.*?\$\$|\$[^$]*\$",
        r"«[^»]*»",
        r"\[\d\d(?: · [^]]*)?\]",
        r"\]\([^)]*\)",
        r"arXiv \d+\.\d+",
        r"^#.*?$",
        r"^\s*\d+\. ",
        r"(?<!\*)\*[^*]+\*(?!\*)",  # la référence d'un article, un mot anglais
        r"(?i)\b(?:leçons?|exercices?|étapes?|graines?|cellules?|python|pytorch)\s\[?\d+(?:[\s,à et-]+\d+)*",
        r"\b(?:19|20)\d\d\b",
        r"à \d[\d,]* (?:près|% près)",
        r"\d+ chiffres",
        r"[\d.]+ (?:Mo|Go)\b",
    )
]
# Ce que d'autres ont mesuré, et où ils le disent.
SOURCED = {
    "12": {64, 65_536, 8_192},  # Goyal et al., 2017, figure 1
    "15": {500, 1_000, 1.17, 1.98, 17},  # Sohl-Dickstein, 2024, section 2 et table 1 ; 4 096² points
}


def value(text):
    return float(SPACES.sub("", text).replace("−", "-").replace(",", "."))


def numbers(text):
    return {abs(value(match[0])) for match in NUMBER.finditer(text)}


def prose(notebook):
    """Les textes d'une leçon, sans son en-tête ni les énoncés de ses exercices."""
    exercise = False
    for cell in notebook.cells[1:]:
        if cell.cell_type == "markdown":
            heading = re.match(r"#+ (.*)", cell.source)
            exercise = heading[1].startswith("Exercice") if heading else exercise
            if not exercise:
                text = cell.source.partition("**Votre prédiction")[0]
                for pattern in NOT_PROSE:
                    text = pattern.sub(" ", text)
                yield text


@cache
def computed(lesson):
    """Les nombres des essais qui nomment la leçon."""
    found = set()
    for path in TESTS.glob("test_*.py"):
        source = path.read_text("utf-8")
        for node in ast.walk(ast.parse(source)):
            named = isinstance(node, ast.FunctionDef) and f"{node.name} {ast.get_docstring(node)}"
            if named and (f"lesson_{lesson}" in named or f"Leçon {lesson}" in named):
                found |= numbers(ast.get_source_segment(source, node))
    return found


def seen(notebook):
    """Les nombres que la leçon affiche : ceux du code, des formules et des sorties."""
    found = set()
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for formula in re.findall(r"`[^`]*`|\$[^$]*\$", cell.source):
                found |= numbers(formula.replace("{,}", ","))
            continue
        found |= numbers(cell.source)
        for output in cell.outputs:
            found |= numbers(output.get("text") or output.get("data", {}).get("text/plain", ""))
    return found


def orphans(notebook, lesson):
    """Les nombres de la prose que rien n'affiche ni ne calcule, et où ils sont."""
    known = seen(notebook) | computed(lesson) | SOURCED.get(lesson, set())
    for text in prose(notebook):
        for match in NUMBER.finditer(text):
            number = abs(value(match[0]))
            if number == 100 or (number <= 10 and number == int(number)):
                continue
            digits = len(match[0].partition(",")[2])
            scales = (1, 100) if text[match.end() :].lstrip().startswith("%") else (1,)
            if not any(round(scale * one, digits) == number for one in known for scale in scales):
                yield match[0], " ".join(text[max(0, match.start() - 60) : match.end() + 40].split())


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_number_in_prose_is_printed_or_tested(path):
    assert [*orphans(nbformat.read(path, as_version=4), path.name[:2])] == []


def test_a_number_that_nothing_prints_is_found():
    cell = nbformat.v4.new_markdown_cell
    code = nbformat.v4.new_code_cell("lr = 0.25", outputs=[nbformat.v4.new_output("stream", text="perte 0,314")])
    said = "Au taux 0,25, la perte vaut 0,31 ; sur 40 réseaux, elle finit à 0,27."
    notebook = nbformat.v4.new_notebook(cells=[cell("# Titre"), code, cell(said)])
    assert [number for number, _ in orphans(notebook, "99")] == ["40", "0,27"]
