"""pyproject.toml, requirements.txt, environment.yml et le diagnostic disent la même chose."""

import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from toylib.lessons import environment

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
CONDA_NAMES = {"pytorch-cpu": "torch"}
# Sans édition sûre sur conda-forge ; sans lui, les tests du navigateur disent comment l'obtenir.
NOT_ON_CONDA = {"playwright", "axe-playwright-python"}


def ranges(lines):
    """Nom canonique → intervalle."""
    return {canonicalize_name(one.name): one.specifier for one in map(Requirement, lines)}


EXTRAS = PROJECT["optional-dependencies"]
WANTED = ranges(PROJECT["dependencies"] + EXTRAS["tests"])


def pins():
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_environment_yml_has_the_names_and_ranges_of_pyproject():
    lines = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    *conda, pip = lines["dependencies"]
    assert lines["channels"] == ["conda-forge"]
    assert pip == {"pip": ["-e ."]}
    found = ranges(conda)
    assert str(found.pop("python")).startswith("<3.15,>=3.11")
    found.pop("pip")
    assert {CONDA_NAMES.get(name, name): spec for name, spec in found.items()} == {
        name: spec for name, spec in WANTED.items() if name not in NOT_ON_CONDA
    }


def test_every_pin_is_exact_and_says_who_needs_it():
    for line in pins():
        requirement, _, reason = line.partition("  # ")
        assert reason, line
        assert [spec.operator for spec in Requirement(requirement).specifier] == ["=="], line


def test_every_pin_is_inside_its_range_and_none_is_missing():
    pinned = [Requirement(line.partition("  # ")[0]) for line in pins()]
    for name, wanted in {**WANTED, **ranges(EXTRAS["bench"] + EXTRAS["hub"])}.items():
        versions = [next(iter(one.specifier)).version for one in pinned if canonicalize_name(one.name) == name]
        assert versions, name
        assert all(wanted.contains(version) for version in versions), name


def test_torch_is_pinned_and_ipykernel_7_0_is_kept_out():
    assert "torch==2.13.0" in [line.split()[0] for line in pins()]
    assert not WANTED["ipykernel"].contains("7.0.1")
    assert WANTED["ipykernel"].contains("7.1")


def test_diagnose_finds_this_environment_sound():
    assert environment.diagnose().endswith("Tout est prêt.")


def test_diagnose_says_what_is_wrong_and_how_to_mend_it(monkeypatch):
    versions = {"numpy": "1.26.4", "jupyterlab": None}
    real = environment.version

    def version(name):
        if versions.get(name, "") is None:
            raise PackageNotFoundError(name)
        return versions.get(name) or real(name)

    monkeypatch.setattr(environment, "version", version)
    text = environment.diagnose()
    assert "✗ numpy 1.26.4 est installé" in text
    assert "✗ jupyterlab n'est pas installé" in text
    assert text.splitlines()[-1].startswith("2 point(s) à corriger")
    assert "python3 cours.py" in text


def test_diagnose_sees_an_old_python():
    assert environment._check_python((3, 9)).startswith("✗ Python 3.9 est trop vieux")


@pytest.mark.parametrize("error", [ImportError("libc10.so"), OSError("WinError 126")])
def test_diagnose_sees_a_torch_that_does_not_start(monkeypatch, error):
    import torch

    def broken(*_):
        raise error

    monkeypatch.setattr(torch, "ones", broken)
    assert environment._check_torch().startswith("✗ PyTorch ne démarre pas")


def test_the_workflow_runs_every_python_and_system_the_readme_promises():
    workflow = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text("utf-8"))
    matrix = workflow["jobs"]["tests"]["strategy"]["matrix"]
    oldest, newest = PROJECT["requires-python"].removeprefix(">="), str(max(map(Version, matrix["python"])))
    assert f"{oldest} à {newest}" in (ROOT / "README.md").read_text("utf-8")
    assert matrix["python"] == [f"3.{minor}" for minor in range(Version(oldest).minor, Version(newest).minor + 1)]
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "windows", "macos"}
    python = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))["dependencies"][0]
    assert python == f"python>={oldest},<3.{Version(newest).minor + 1}"


def test_the_workflow_runs_once_a_month_by_itself():
    """Pour qu'une épingle qui pourrit se voie avant la classe. YAML lit la clé `on` comme un vrai."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text("utf-8"))
    _minute, _hour, day, month, weekday = workflow[True]["schedule"][0]["cron"].split()
    assert (day.isdigit(), month, weekday) == (True, "*", "*")
