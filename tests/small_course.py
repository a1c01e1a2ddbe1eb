"""Un cours de rien, que la vraie `cours.py` installe en quelques secondes et sans réseau."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import cours

ROOT = Path(cours.__file__).parent
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "toylib"
version = "1"
dependencies = ["torch", "numpy"]
[project.optional-dependencies]
cours = ["gros"]
tests = ["pytest"]
site = []
hub = []
"""
# Le cours lui-même : une roue qui ne contient que son nom et ce qu'elle demande.
BACKEND = """
import zipfile
def build_editable(folder, config_settings=None, metadata_directory=None):
    needs = "".join(f"Requires-Dist: {name}\\n" for name in ("torch", "numpy"))
    extras = "".join(f"Provides-Extra: {name}\\n" for name in ("cours", "tests", "site", "hub"))
    extras += "Requires-Dist: gros; extra == 'cours'\\nRequires-Dist: pytest; extra == 'tests'\\n"
    with zipfile.ZipFile(f"{folder}/toylib-1-py3-none-any.whl", "w") as wheel:
        metadata = f"Metadata-Version: 2.1\\nName: toylib\\nVersion: 1\\n{needs}{extras}"
        wheel.writestr("toylib-1.dist-info/METADATA", metadata)
        wheel.writestr("toylib-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("toylib-1.dist-info/RECORD", "")
    return "toylib-1-py3-none-any.whl"
"""
# Ce que lance `python3 cours.py tests` : de quoi voir quels paquets répondent, et si tout est là.
PYTEST = """
import pathlib, sys, numpy, torch
heavy = len(list((pathlib.Path(sys.prefix) / "share" / "gros").iterdir()))
print("prêt", numpy.__version__, torch.__version__, heavy, flush=True)
"""
HEAVY = 1500


def write_wheel(folder, name, version, files):
    """Une roue ; son METADATA vient avant ses fichiers, comme pip les pose : coupé là, le paquet paraît installé."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        for path, text in files.items():
            wheel.writestr(path, text)
        wheel.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"]))


def make_course(folder, wheels=True):
    """Le dossier du cours : la vraie cours.py, et des paquets minuscules à la place des vrais."""
    folder.mkdir(parents=True)
    shutil.copyfile(ROOT / "cours.py", folder / "cours.py")
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "backend.py").write_text(BACKEND)
    (folder / "requirements.txt").write_text("torch==1.0\nnumpy==2.0\n")
    (folder / "notebooks").mkdir()
    if wheels:
        packages = folder / "paquets"
        packages.mkdir()
        write_wheel(packages, "torch", "1.0", {"torch/__init__.py": "__version__ = '1.0'\n"})
        write_wheel(packages, "numpy", "2.0", {"numpy/__init__.py": "__version__ = '2.0'\n"})
        write_wheel(packages, "pytest", "1.0", {"pytest.py": PYTEST})
        write_wheel(packages, "gros", "1.0", {f"gros-1.0.data/data/share/gros/{k}.txt": "x" for k in range(HEAVY)})
    return folder


def start(folder, **environment):
    """`python3 cours.py tests`, dans son propre groupe de processus, comme d'un terminal."""
    code = "import runpy, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "sys.argv = ['cours.py', 'tests']; runpy.run_path('cours.py', run_name='__main__')"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, **environment},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(folder, **environment):
    """Ce que dit la commande, une fois finie."""
    process = start(folder, **environment)
    said = process.communicate(timeout=300)[0]
    return process.returncode, said
