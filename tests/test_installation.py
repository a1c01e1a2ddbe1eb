"""La vraie commande, sur un cours de rien : coupée à tout moment, dans d'odieux dossiers, réglages et terminaux."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest
from small_course import HEAVY, make_course, run, start

pytestmark = pytest.mark.lent

READY = f"prêt 2.0 1.0 {HEAVY}"
ODIOUS = "cours" if os.name == "nt" else "TP 50 % #1 « l'été » $HOME `x` ?"
posix = pytest.mark.skipif(os.name == "nt", reason="les signaux et les droits de Linux et de macOS")


# Dix moments de l'installation : ce qui vient d'apparaître dans .venv, et le signal.
MOMENTS = [
    ("pyvenv.cfg", signal.SIGINT),
    ("bin/python3", signal.SIGINT),
    ("lib/*/site-packages/pip", signal.SIGINT),
    ("lib/*/site-packages/pip/_vendor", signal.SIGINT),
    ("lib/*/site-packages/pip/_vendor/rich", signal.SIGKILL),
    ("lib/*/site-packages/pip-*/RECORD", signal.SIGINT),
    ("bin/activate", signal.SIGINT),
    ("lib/*/site-packages/gros-*/METADATA", signal.SIGINT),
    ("share/gros/99.txt", signal.SIGKILL),
    ("share/gros/9.txt", signal.SIGINT),
    ("lib/*/site-packages/numpy/__init__.py", signal.SIGTERM),
    ("lib/*/site-packages/toylib-*", signal.SIGINT),
]


@pytest.mark.long
@posix
def test_an_installation_cut_at_any_moment_starts_again(tmp_path):
    folder = make_course(tmp_path / "cours")
    for sign, blow in MOMENTS:
        process, absent = start(folder), False
        while process.poll() is None:
            there = any((folder / ".venv").glob(sign))
            if there and absent:
                os.killpg(process.pid, blow)
                break
            absent = absent or not there  # ce qu'un essai précédent a laissé ne compte pas
            time.sleep(0.002)
        said = process.communicate(timeout=60)[0]
        assert "Traceback" not in said, (sign, said)
        assert blow == signal.SIGKILL or READY in said or "Interrompu\xa0; la même commande reprendra." in said, sign
    assert READY in run(folder)[1]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Un cours installé dans un odieux dossier, sous d'odieux réglages, et ce que la commande en a dit.

    Un vieux numpy est dans PYTHONPATH, et un pip.conf installe ailleurs.
    """
    base = tmp_path_factory.mktemp("hostile")
    folder, elsewhere = make_course(base / ODIOUS), base / "ailleurs"
    (elsewhere / "numpy").mkdir(parents=True)
    (elsewhere / "numpy" / "__init__.py").write_text("__version__ = '0.1'")
    (elsewhere / "numpy-2.0.dist-info").mkdir()
    (elsewhere / "numpy-2.0.dist-info" / "METADATA").write_text("Name: numpy\nVersion: 2.0\n")
    (base / "pip.conf").write_text(f"[global]\ntarget = {elsewhere}\nuser = true\n[install]\nprefix = {elsewhere}\n")
    settings = {"PYTHONPATH": elsewhere, "PYTHONUSERBASE": elsewhere, "PIP_TARGET": elsewhere, "PIP_USER": "1"}
    settings |= {"PIP_CONFIG_FILE": base / "pip.conf", "PIP_NO_DEPS": "1", "PIP_REQUIRE_HASHES": "1"}
    settings |= {"PYTHONWARNINGS": "error", "PYTHONSTARTUP": "/rien", "PIP_DRY_RUN": "1", "VIRTUAL_ENV": elsewhere}
    before = sorted(elsewhere.rglob("*.*"))
    code, said = run(folder, **{name: str(value) for name, value in settings.items()})
    after = [path for path in sorted(elsewhere.rglob("*.*")) if path.suffix != ".pyc"]
    return folder, code, said, before, after


def test_what_points_outside_is_left_out(hostile):
    _, code, said, before, after = hostile
    assert code == 0, said
    assert READY in said
    assert after == before


@posix
@pytest.mark.long
def test_a_damaged_installation_is_made_again(hostile, tmp_path):
    """Sans sa marque et avec un fichier de moins ou tronqué ; puis déplacée ; puis deux commandes à la fois."""
    folder = hostile[0]
    (folder / ".venv" / "pret-tests").write_bytes(b"\0\xff")
    shutil.rmtree(next(folder.glob(".venv/lib/*/site-packages/pip/_vendor/tenacity")))
    assert READY in run(folder)[1]
    (folder / ".venv" / "pret-tests").unlink()
    next(folder.glob(".venv/lib/*/site-packages/numpy/__init__.py")).write_text("")
    next(folder.glob(".venv/lib/*/site-packages/gros-*/RECORD")).unlink()  # coupé là, pip le croit installé
    (folder / ".venv" / "share" / "gros" / "9.txt").unlink()
    folder = folder.rename(tmp_path / "-cafe\u0301")
    both = [start(folder), start(folder)]
    said = [process.communicate(timeout=300)[0] for process in both]
    assert all(READY in text for text in said), said
    assert sum("Une autre commande installe déjà le cours" in text for text in said) == 1


def test_the_ways_of_the_network_are_kept(tmp_path, monkeypatch):
    import cours

    (tmp_path / "pip.conf").write_text(
        "[global]\nquiet = 1\nindex-url = http://127.0.0.1:1/a\ntarget = /ailleurs\n[install]\ncert = école.pem\n"
    )
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(cours, "PYTHON", sys.executable)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_PROXY", "http://127.0.0.1:2")
    monkeypatch.setenv("PIP_PREFIX", "/ailleurs")
    kept = {name: value for name, value in cours._environment(pip=True).items() if name.startswith("PIP_")}
    own = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INPUT": "1", "PIP_USER": "0"}
    assert kept.items() >= own.items()
    assert kept["PIP_INDEX_URL"] == "http://127.0.0.1:1/a"
    assert (kept["PIP_CERT"], kept["PIP_PROXY"]) == ("école.pem", "http://127.0.0.1:2")
    assert not {"PIP_TARGET", "PIP_PREFIX", "PIP_QUIET"} & kept.keys()


@posix
@pytest.mark.parametrize(("name", "shown"), [("TP 3:4", "':'"), (os.fsdecode(b"caf\xe9"), "'\\udce9'")])
def test_a_folder_that_python_refuses_is_told_in_french(tmp_path, name, shown):
    code, said = run(make_course(tmp_path / name, wheels=False))
    assert code == 1
    assert f"Python refuse un dossier dont le chemin contient {shown}\xa0: renommez" in said


TERMINALS = [
    ("{python} cours.py -h", {"PYTHONIOENCODING": "ascii"}, "Prepare et ouvre le cours"),
    ("{python} cours.py -h", {"PYTHONIOENCODING": "cp1252"}, "Pr\xe9pare et ouvre le cours"),
    ("{python} cours.py -h", {"PYTHONIOENCODING": "latin-1", "TERM": "dumb", "COLUMNS": "5"}, "Pr\xe9pare et ouvre"),
    ("{python} cours.py -h", {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, "ouvre le cours"),
    ("{python} -W error -O cours.py -h <&-", {"NO_COLOR": "1"}, "Prépare et ouvre le cours"),
    ("{python} cours.py -h >&-", {}, ""),
    ("{python} cours.py >&- 2>&-", {}, ""),
    ("{python} cours.py 2>&1", {"PYTHONIOENCODING": "ascii"}, "contient ':' : renommez"),
    ("{python} cours.py -h | head -0", {}, ""),
    ("{python} -W error cours.py 2>&1 | head -1", {}, ""),
]


@posix
@pytest.mark.parametrize(("command", "environment", "said"), TERMINALS)
def test_any_terminal(tmp_path, command, environment, said):
    """Le mode d'emploi, ou le refus du dossier, là où il n'y a ni accents, ni sortie, ni lecteur."""
    folder = make_course(tmp_path / "TP 3:4", wheels=False)
    done = subprocess.run(
        command.format(python=shlex.quote(sys.executable)),
        shell=True,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
    )
    written = done.stdout + done.stderr
    assert said in written.decode("utf-8" if b"\xc3" in written else "latin-1")
    assert b"Error" not in written, written
    assert b"not found" not in written, written
