"""Ce que les tests partagent : un vrai JupyterLab et un vrai navigateur.

Ce que le processus qui distribue les essais n'emploie pas n'y est importé qu'au besoin : il le ferait attendre.
"""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # cours.py n'est pas un paquet
os.environ["TQDM_DISABLE"] = "1"  # ni dans une sortie comparée, ni dans les carnets que nbval rejoue


# Ce qu'un essai lent demande : un navigateur, un JupyterLab, un noyau, le site.
HEAVY = {"chromium", "lab", "kernel", "site"}


def pytest_collection_modifyitems(items):
    """Marque chaque essai ; les fichiers lents d'abord, les carnets à la fin, où chacun comble une attente."""
    import torch

    torch.set_num_threads(1)  # à cette taille, plusieurs fils ne font que se gêner
    for item in items:
        if item.path.suffix == ".ipynb" or HEAVY & set(item.fixturenames):
            item.add_marker("lent")
        if not {"lent", "long"} & {mark.name for mark in item.iter_markers()}:
            item.add_marker("rapide")
    slow = Counter(item.path for item in items if item.get_closest_marker("rapide") is None)
    items.sort(key=lambda item: (item.path.suffix == ".ipynb", -slow[item.path]))


@pytest.fixture(autouse=True)
def _no_figure_is_left():
    """Les figures d'un essai ne passent pas à celui qui le suit, quel qu'il soit."""
    import matplotlib.pyplot as plt

    yield
    plt.close("all")


def unavailable(advice: str) -> NoReturn:
    """Ce qui manque à la machine fait sauter le test, ou échouer la CI."""
    (pytest.fail if "CI" in os.environ else pytest.skip)(advice)


@pytest.fixture(scope="session")
def hunspell():
    """Le correcteur d'orthographe, que `french.unknown_words` appelle."""
    if shutil.which("hunspell") is None:
        unavailable("Pas de hunspell : apt install hunspell hunspell-fr.")


@pytest.fixture(scope="session")
def chromium():
    """Un Chromium sans écran : celui de CHROMIUM, de Playwright, ou du système."""
    try:
        from browser import CHROMIUM_FLAGS, find_chromium
        from playwright.sync_api import sync_playwright
    except ImportError:
        unavailable("Pas de Playwright : « python3 cours.py tests » l'installe.")
    with sync_playwright() as playwright:
        path = find_chromium(playwright)
        if path is None:
            unavailable("Pas de navigateur : apt install chromium, playwright install chromium, ou CHROMIUM=chemin.")
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


def run_lab(folder, settings):
    """Un JupyterLab réglé comme par cours.py, et par `settings`, sur un port libre ; rend son adresse."""
    import cours

    cours.write_settings(folder)
    overrides = folder / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    overrides.write_text(json.dumps({**json.loads(overrides.read_text("utf-8")), **settings}), "utf-8")
    environment = {**os.environ, "JUPYTER_TOKEN": "essai", "JUPYTER_PREFER_ENV_PATH": "1"}
    environment |= {f"JUPYTER_{kind}_DIR": str(folder / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ServerApp.port=0", "--allow-root"]
    command += [f"--LabApp.app_settings_dir={overrides.parent}", "--expose-app-in-browser"]
    process = subprocess.Popen(command, cwd=folder / "travail", env=environment)
    try:
        yield cours._wait_for_server(process, folder / "runtime", "essai")["url"]
    finally:
        process.terminate()
        cours._stop(process)


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """Un JupyterLab sur des copies des leçons."""
    import cours

    folder = tmp_path_factory.mktemp("lab")
    cours.lay_lessons(work=folder / "travail")
    yield from run_lab(folder, {})
