"""La bibliothèque sans le cours : ce qu'elle fait avec ses seules dépendances, et ce qu'elle dit de ce qui manque."""

import ast
import os
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SOURCES = sorted((ROOT / "toylib").rglob("*.py"))
# Ce que l'extra `cours` apporte ; contourpy et packaging viennent déjà avec matplotlib.
COURSE = ["ipywidgets", "anywidget", "IPython", "comm", "matplotlib_inline", "ipykernel", "jupyterlab", "traitlets"]
LIBRARY = """
import matplotlib
matplotlib.use("agg")
from toylib import Net, gendata, plot_boundary, plot_history, plot_sweep, sweep, test, train
data = gendata(50, rule="xor", seed=0)
net = Net(2, seed=0)
plot_history(train(net, *data, epochs=2, lr=0.03))
plot_boundary(net, *data)
plot_sweep(sweep(Net(2, seed=0), *data, epochs=2, lrs=[0.01, 0.1]))
assert 0 <= test(net, *data).accuracy <= 1
"""
COMMAND = """
import runpy, sys
sys.argv = ["toylib", "--epochs", "2", "--out", "courbes.png"]
runpy.run_module("toylib", run_name="__main__")
"""


def run(code, folder, missing):
    """Exécute `code` dans un Python à qui il manque des paquets."""
    block = f"import sys; sys.modules.update(dict.fromkeys({missing!r})); sys.path.insert(0, {str(ROOT)!r})\n"
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-c", block + code]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8")


@pytest.mark.lent
@pytest.mark.parametrize("code", [LIBRARY, COMMAND], ids=["import toylib", "python -m toylib"])
def test_the_library_works_with_its_own_dependencies_alone(code, tmp_path):
    done = run(code, tmp_path, COURSE)
    assert done.returncode == 0, done.stderr
    assert code != COMMAND or (tmp_path / "courbes.png").stat().st_size


@pytest.mark.lent
@pytest.mark.parametrize(
    ("module", "missing"),
    [("toylib.explorer", "ipywidgets"), ("toylib.explorer", "anywidget"), ("toylib.lessons.bowl", "IPython")],
)
def test_without_the_course_an_import_says_in_french_what_to_install(module, missing, tmp_path):
    done = run(f"import {module}", tmp_path, [missing])
    assert done.returncode == 1
    *_, said = done.stderr.splitlines()
    assert said.startswith(f"ModuleNotFoundError: Il manque {missing},")
    assert '«\xa0pip install "toylib[cours]"\xa0»' in said
    assert "«\xa0python3 cours.py\xa0»" in said
    assert "halted" not in done.stderr  # sans l'erreur anglaise qui l'a causée


@pytest.mark.lent
def test_a_module_of_the_library_that_is_missing_is_not_laid_on_the_course(tmp_path):
    done = run("import toylib.explorer", tmp_path, ["toylib.explorer.runs"])
    assert "toylib.explorer.runs halted" in done.stderr
    assert "pip install" not in done.stderr


def imported(path):
    """Les paquets d'ailleurs que le fichier importe."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"toylib"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_package_that_is_imported_is_asked_for(path):
    """Par la bibliothèque pour elle-même ; par l'extra `cours` pour l'explorateur et les leçons."""
    course = path.relative_to(ROOT).parts[1] in ("explorer", "lessons")
    lines = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["cours"] * course
    asked = {canonicalize_name(Requirement(line).name) for line in lines}
    owners = packages_distributions()
    for name in imported(path):
        assert {canonicalize_name(owner) for owner in owners[name]} & asked, name
