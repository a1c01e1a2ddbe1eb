"""Ce que le dépôt dit de lui-même à pip, à conda, à la CI et à Git : partout la même chose."""

import os
import re
import shutil
import subprocess
import sys
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


def read_yaml(name):
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


def ranges(lines):
    """Nom canonique → intervalle."""
    return {canonicalize_name(one.name): one.specifier for one in map(Requirement, lines)}


EXTRAS = PROJECT["optional-dependencies"]
LIBRARY, COURSE = ranges(PROJECT["dependencies"]), ranges(PROJECT["dependencies"] + EXTRAS["cours"])
WANTED = ranges([*PROJECT["dependencies"], *(line for lines in EXTRAS.values() for line in lines)])


def pins():
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_environment_yml_is_the_image_of_a_student_and_has_nothing_for_tests():
    """La bibliothèque, l'extra `cours`, et nbgitpuller, dont se sert postBuild ; aux intervalles de pyproject.toml."""
    lines = read_yaml("environment.yml")
    *conda, pip = lines["dependencies"]
    assert lines["channels"] == ["conda-forge"]
    assert pip == {"pip": ["-e .[cours]"]}
    found = ranges(conda)
    assert str(found.pop("python")).startswith("<3.15,>=3.11")
    found.pop("pip")
    image = {**COURSE, "nbgitpuller": WANTED["nbgitpuller"]}
    assert {CONDA_NAMES.get(name, name): spec for name, spec in found.items()} == image


def test_the_library_asks_for_a_library_and_no_range_is_said_twice():
    assert LIBRARY.keys() == {"torch", "numpy", "matplotlib", "tqdm"}
    lists = [PROJECT["dependencies"], *EXTRAS.values()]
    assert len(WANTED) == sum(len(lines) for lines in lists)


def test_the_pythons_of_the_classifiers_are_those_that_the_workflow_tries():
    workflow = read_yaml(".github/workflows/tests.yml")
    said = [name.rpartition(" ")[2] for name in PROJECT["classifiers"] if ":: Python :: 3." in name]
    assert said == workflow["jobs"]["tests"]["strategy"]["matrix"]["python"]


def test_a_built_library_holds_every_file_of_the_source(tmp_path):
    """Les types, les styles, les scripts et les exercices, aussi bien que le code."""
    build = ["-q", "egg_info", "--egg-base", tmp_path, "build_py", "--build-lib", tmp_path / "lib"]
    command = [sys.executable, "-c", "from setuptools import setup; setup()", *map(str, build)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    built, source = (
        {path.relative_to(folder).as_posix() for path in (folder / "toylib").rglob("*.*") if path.suffix != ".pyc"}
        for folder in (tmp_path / "lib", ROOT)
    )
    assert built == source
    assert "toylib/py.typed" in built


def test_every_pin_is_exact_and_says_who_needs_it():
    for line in pins():
        requirement, _, reason = line.partition("  # ")
        assert reason, line
        assert [spec.operator for spec in Requirement(requirement).specifier] == ["=="], line


def test_every_pin_is_inside_its_range_and_none_is_missing():
    pinned = [Requirement(line.partition("  # ")[0]) for line in pins()]
    for name, wanted in WANTED.items():
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
    workflow = read_yaml(".github/workflows/tests.yml")
    matrix = workflow["jobs"]["tests"]["strategy"]["matrix"]
    oldest, newest = PROJECT["requires-python"].removeprefix(">="), str(max(map(Version, matrix["python"])))
    assert f"{oldest} à {newest}" in (ROOT / "README.md").read_text("utf-8")
    assert matrix["python"] == [f"3.{minor}" for minor in range(Version(oldest).minor, Version(newest).minor + 1)]
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "windows", "macos"}
    python = read_yaml("environment.yml")["dependencies"][0]
    assert python == f"python>={oldest},<3.{Version(newest).minor + 1}"


def test_the_workflow_runs_once_a_month_by_itself():
    """Pour qu'une épingle qui pourrit se voie avant la classe. YAML lit la clé `on` comme un vrai."""
    _minute, _hour, day, month, weekday = read_yaml(".github/workflows/tests.yml")[True]["schedule"][0]["cron"].split()
    assert (day.isdigit(), month, weekday) == (True, "*", "*")


def test_the_workflow_judges_the_style_first_and_stops_what_is_out_of_date():
    workflow = read_yaml(".github/workflows/tests.yml")
    jobs = workflow["jobs"]
    assert [name for name, job in jobs.items() if "needs" not in job] == ["style"]
    assert {job["needs"] for name, job in jobs.items() if name in ("tests", "conda")} == {"style"}
    assert workflow["concurrency"]["cancel-in-progress"]
    steps = {
        name: [step for step in job["steps"] if "setup-python" in step.get("uses", "")] for name, job in jobs.items()
    }
    for name, key in (("style", "pyproject.toml"), ("tests", "requirements.txt"), ("site", "requirements.txt")):
        assert [(one["with"]["cache"], one["with"]["cache-dependency-path"]) for one in steps[name]] == [("pip", key)]


def test_the_workflow_publishes_the_site_from_main_alone_once_everything_passed():
    site = read_yaml(".github/workflows/tests.yml")["jobs"]["site"]
    assert set(site["needs"]) == {"tests", "conda"}
    assert site["if"] == "github.event_name == 'push' && github.ref == 'refs/heads/main'"
    assert site["permissions"] == {"contents": "read", "pages": "write", "id-token": "write"}
    (command,) = [step["run"] for step in site["steps"] if "sphinx" in step.get("run", "")]
    assert f"\n{command}\n" in (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    uses = [step["uses"].partition("@")[0] for step in site["steps"] if "uses" in step]
    assert uses[-2:] == ["actions/upload-pages-artifact", "actions/deploy-pages"]
    assert [step["with"]["path"] for step in site["steps"] if "pages-artifact" in step.get("uses", "")] == [
        command.split()[-1]
    ]


def test_the_hub_and_the_image_ask_for_the_course():
    (extras,) = re.findall(r'"-e", "\.\[(.*)\]"', (ROOT / "hub/installer.py").read_text("utf-8"))
    assert set(extras.split(",")) == {"cours", "hub"}


def test_the_hooks_of_git_use_the_pinned_tools_alone():
    settings = read_yaml(".pre-commit-config.yaml")
    assert [one["repo"] for one in settings["repos"]] == ["local"]
    for hook in settings["repos"][0]["hooks"]:
        bash, script, minus_m, tool, *_ = hook["entry"].split()
        assert (bash, script, minus_m, hook["language"]) == ("bash", ".ci/python", "-m", "system")
        assert tool in WANTED
        assert set(hook["stages"]) <= set(settings["default_install_hook_types"])


@pytest.mark.skipif(os.name == "nt", reason="bash et un faux Python, sous Linux ou macOS")
def test_the_hooks_find_the_python_of_the_course_or_say_how_to_get_it(tmp_path):
    (tmp_path / ".ci").mkdir()
    script = shutil.copy(ROOT / ".ci/python", tmp_path / ".ci")
    without = subprocess.run(["bash", script, "-m", "ruff"], capture_output=True, encoding="utf-8")
    assert without.returncode == 1
    assert "python3 cours.py tests" in without.stderr
    for place in (".venv/Scripts/python.exe", ".venv/bin/python"):
        python = tmp_path / place
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\necho {place} "$@"\nexit 3\n')
        python.chmod(0o755)
        found = subprocess.run(["bash", script, "-m", "un mot"], capture_output=True, encoding="utf-8")
        assert (found.returncode, found.stdout) == (3, f"{place} -m un mot\n")


def test_dependabot_looks_once_a_month_at_the_pins_and_at_the_actions():
    updates = read_yaml(".github/dependabot.yml")["updates"]
    assert {one["package-ecosystem"]: one["schedule"]["interval"] for one in updates} == {
        "pip": "monthly",
        "github-actions": "monthly",
    }


def test_the_citation_the_changelog_and_the_package_give_the_same_version():
    citation = read_yaml("CITATION.cff")
    headings = re.findall(r"^## \[(.*?)\](?: - (.*))?$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert headings[0] == ("Non publié", "")
    assert headings[1] == (PROJECT["version"], citation["date-released"].isoformat())
    assert (citation["cff-version"], citation["version"]) == ("1.2.0", PROJECT["version"])
    assert citation["authors"] == PROJECT["authors"]
    assert {"message", "title"} <= citation.keys()
