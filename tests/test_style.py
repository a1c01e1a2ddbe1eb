"""Le style : ruff, des fonctions courtes, des docstrings, le sens des imports, la typographie."""

import ast
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted([ROOT / "cours.py", *(ROOT / "toylib").rglob("*.py")])
LOOPS = {"train", "iter_train"}
# Ce que chaque module du cœur peut demander à toylib : les données ne vont que dans un sens.
ORDER = [
    "_course",
    "_checks",
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


def functions(path):
    tree = ast.parse(path.read_text("utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def code_lines(function):
    """Les lignes de code du corps, docstring exclue."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return sum(node.end_lineno - node.lineno + 1 for node in body)


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
