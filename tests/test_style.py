"""Le style : ruff, des fonctions courtes, des docstrings, le sens des imports, la typographie."""

import ast
import io
import re
import statistics
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted([ROOT / "cours.py", *(ROOT / "toylib").rglob("*.py")])
LOOPS = {"train"}
# Lignes de code, au plus : celles qui portent du code, docstrings, commentaires et lignes vides exclus.
LONGEST = {}  # les fichiers qui dépassent encore FILE
FILE = 250
BUDGETS = {"toylib": 1067, "explorer": 1319, "lessons": 1495}
# Ce que chaque module du cœur peut demander à toylib : les données ne vont que dans un sens.
ORDER = [
    "_course",
    "_checks",
    "_tensors",
    "french",
    "data",
    "network",
    "schedules",
    "training",
    "engine",
    "sweep",
    "plotting",
    "experiment",
    "explorer",
    "lessons",
]


NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def functions(path):
    tree = ast.parse(path.read_text("utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def code_lines(function):
    """Les lignes de code du corps, docstring exclue."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return sum(node.end_lineno - node.lineno + 1 for node in body)


def lines_of_code(path):
    """Le nombre de lignes qui portent du code."""
    if path.suffix == ".js":
        return sum(bool(line.strip()) and not line.strip().startswith("//") for line in path.read_text().splitlines())
    text, documented = path.read_text("utf-8"), set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            documented.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - documented)


def test_the_library_stays_thin():
    counts = {path: lines_of_code(path) for path in (ROOT / "toylib").rglob("*") if path.suffix in (".py", ".js")}
    names = {path: path.relative_to(ROOT / "toylib").as_posix() for path in counts}
    assert {names[path]: n for path, n in counts.items() if n > LONGEST.get(names[path], FILE)} == {}
    totals = dict.fromkeys(BUDGETS, 0)
    for path, n in counts.items():
        folder = Path(names[path]).parts[0]
        totals[folder if folder in BUDGETS else "toylib"] += n
    assert {name: n for name, n in totals.items() if n > BUDGETS[name]} == {}


def test_the_core_is_typed():
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert not re.search(r"type: *ignore", "".join(path.read_text("utf-8") for path in (ROOT / "toylib").glob("*.py")))


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff(command):
    done = subprocess.run([sys.executable, "-m", "ruff", *command, "."], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_functions_are_short():
    lengths = {
        f"{path.name}:{f.name}": code_lines(f) for path in SOURCES for f in functions(path) if f.name not in LOOPS
    }
    assert {name: length for name, length in lengths.items() if length > 20} == {}
    assert statistics.median(lengths.values()) < 10


def test_every_public_function_has_a_docstring_and_an_annotation():
    for path in SOURCES[1:]:
        for function in functions(path):
            public = not function.name.startswith("_") and function.col_offset == 0
            assert not public or ast.get_docstring(function), f"{path.name}:{function.name}"
            assert not public or function.returns, f"{path.name}:{function.name}"


def test_modules_import_in_one_direction():
    for path in (ROOT / "toylib").rglob("*.py"):
        module = path.relative_to(ROOT / "toylib").with_suffix("").parts[0]
        imported = re.findall(r"^\s*from toylib\.(\w+)", path.read_text("utf-8"), re.M)
        if module in ORDER:
            assert all(ORDER.index(name) <= ORDER.index(module) for name in imported), path


ORDINARY_SPACE = re.compile(r"« | »| [:;!?](?=\s|$)|[\d}] %(?!\w|\()|[\d}] (?:ms|min|Mo|Go|époques?)\b")


def french_strings(path):
    """Les chaînes du fichier, sans les exemples des docstrings ni le code entre accents graves."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            prose = "\n\n".join(part for part in node.value.split("\n\n") if ">>>" not in part)
            yield re.sub(r"`[^`]*`", "x", prose)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_french_strings_have_no_break_spaces(path):
    for text in french_strings(path):
        assert not ORDINARY_SPACE.findall(text), text
