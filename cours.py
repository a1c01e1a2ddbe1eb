#!/usr/bin/env python3
"""Prépare et ouvre le cours, sur une machine qui n'a que Python.

python3 cours.py                installe ce qu'il faut dans .venv et ouvre les leçons dans JupyterLab
python3 cours.py tests [...]    installe les outils de test et lance pytest, avec ces arguments
python3 cours.py --hors-ligne DOSSIER
                                prépare dans DOSSIER une copie du cours qui s'installe sans réseau

Sous Windows : py cours.py
"""

# Ce fichier doit se lire même par un vieux Python 3, pour pouvoir dire qu'il est trop vieux.
import hashlib
import json
import os
import platform
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import webbrowser
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
WHEELS = ROOT / "paquets"  # dans une copie hors ligne : tout ce que pip demanderait au réseau
COURSE = ("cours.py", "requirements.txt", "pyproject.toml", "README.md", "LICENSE", "toylib", "notebooks")
FIRST_LESSON = "00_bien_demarrer.ipynb"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
BINDER = "Sans installation, le cours s'ouvre aussi dans Binder : le README dit comment."
# Le plus long chemin que l'installation crée sous le dossier du cours, mesuré sous Linux, et la limite de Windows.
LONGEST_INSTALLED, WINDOWS_LIMIT = 200, 259

SETTINGS = {
    "@jupyterlab/translation-extension:plugin": {"locale": "fr_FR"},
    "@jupyterlab/apputils-extension:notification": {"checkForUpdates": False, "fetchNews": "false"},
}


class Missing(Exception):
    """Ce qui manque, dit à l'utilisateur."""


def check_machine(version=sys.version_info, system=sys.platform, root=ROOT):
    """Lève `Missing` si ce Python ou ce dossier ne peuvent pas accueillir le cours."""
    if tuple(version[:2]) < (3, 11):
        found = ".".join(str(part) for part in version[:2])
        raise Missing(f"Il faut Python 3.11 ou plus récent ; celui-ci est le {found}. Voir https://www.python.org/.")
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        raise Missing(
            "Il manque à Python son module venv. Sous Debian ou Ubuntu : sudo apt install python3-venv"
        ) from None
    too_long = len(str(root)) + len("/.venv/") + LONGEST_INSTALLED > WINDOWS_LIMIT
    if system == "win32" and too_long and not _windows_long_paths():
        raise Missing(
            f"Le chemin du dossier est trop long pour Windows ({len(str(root))} caractères) : "
            "déplacez le cours dans un dossier plus court, par exemple C:\\cours."
        )


def _windows_long_paths():
    """Vrai si ce Windows accepte les chemins de plus de 260 caractères."""
    import winreg

    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SYSTEM\CurrentControlSet\Control\FileSystem") as key:
            return winreg.QueryValueEx(key, "LongPathsEnabled")[0] == 1
    except OSError:
        return False


def explain(output):
    """Ce que l'échec d'une installation veut dire, d'après ce que pip en a écrit."""
    if WHEELS.is_dir() and "No matching distribution" in output:
        return (
            f"Il manque des paquets pour ce système ou ce Python ({_this_python()}). Sur une machine semblable, "
            "qui a le réseau : python3 cours.py --hors-ligne, vers ce même dossier, les ajoutera."
        )
    network = ("Failed to establish", "name resolution", "getaddrinfo", "Name or service", "ConnectTimeout")
    if any(sign in output for sign in (*network, "ProxyError", "Read timed out", "Network is unreachable")):
        return "Le réseau ne répond pas : vérifiez la connexion (ou le proxy), puis relancez la commande."
    if "No matching distribution found for torch" in output:
        return (
            "PyTorch n'existe pas pour ce système ou ce Python. Il faut Linux, Windows ou macOS 14 (puce Apple) "
            f"au moins, en 64 bits, avec Python 3.11 à 3.14. {BINDER}"
        )
    if "No space left" in output or "not enough space" in output:
        return "Le disque est plein : il faut environ 2 Go pour le cours."
    if "Permission denied" in output:
        return "L'écriture est refusée dans ce dossier : copiez le cours dans un dossier à vous."
    return "L'installation a échoué. Ce que pip en dit :\n" + "\n".join(output.strip().splitlines()[-8:])


def explain_torch(output, system=sys.platform):
    """Ce que l'échec d'un `import torch` veut dire."""
    if system == "win32" and ("WinError 126" in output or "DLL" in output):
        return (
            "Il manque à Windows le « Visual C++ Redistributable » dont PyTorch a besoin. "
            "Installez https://aka.ms/vs/17/release/vc_redist.x64.exe, puis relancez la commande."
        )
    return "PyTorch est installé mais ne démarre pas :\n" + "\n".join(output.strip().splitlines()[-3:])


def install(tests):
    """Fait ou met à jour .venv ; ne fait rien si rien n'a changé depuis la dernière fois."""
    wanted = fingerprint()
    stamps = [VENV / "pret-tests", VENV / "pret"]  # qui peut lancer les tests peut ouvrir le cours
    if any(stamp.is_file() and stamp.read_text() == wanted for stamp in stamps[: 1 if tests else 2]):
        return
    if not _quiet([PYTHON, "-c", f"import pip, sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"])[0]:
        _step("Création de l'environnement", [sys.executable, "-m", "venv", "--clear", VENV], explain)
    pip = _pip("install")
    if WHEELS.is_dir():
        pip += ["--no-index", "--find-links", WHEELS]
    else:
        _ask_cpu_torch(pip)
    extra = ".[tests,hub]" if tests else "."
    _step("Installation du cours", [*pip, "-c", "requirements.txt", "-e", extra], explain)
    _step("Vérification de PyTorch", [PYTHON, "-c", "import torch"], explain_torch)
    write_settings(VENV)
    stamps[0 if tests else 1].write_text(wanted)


def fingerprint():
    """L'empreinte de tout ce dont dépend l'installation."""
    parts = [(ROOT / name).read_bytes() for name in ("requirements.txt", "pyproject.toml", "cours.py")]
    return hashlib.sha256(b"\0".join([*parts, str(ROOT).encode(), sys.version.encode()])).hexdigest()


def _pip(action):
    """Le début d'une commande de pip."""
    return [PYTHON, "-m", "pip", action, "--quiet", "--disable-pip-version-check"]


def _ask_cpu_torch(pip, system=sys.platform):
    """Sous Linux, demande d'abord torch à l'index de PyTorch : l'autre sert une édition CUDA de plusieurs Go.

    `pip` : une commande de pip, qui installe ou qui met de côté.
    """
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    pin = next(line.split()[0] for line in lines if line.startswith("torch=="))
    present = f"import torch; assert torch.__version__.split('+')[0] == '{pin.split('==')[1]}'"
    if system != "linux" or ("install" in pip and _quiet([PYTHON, "-c", present])[0]):
        return
    cpu_only = ["--no-deps", "--index-url", CPU_INDEX, "--retries", "0", "--timeout", "10", pin]
    print("Téléchargement de PyTorch (environ 200 Mo)")
    if not _quiet([*pip, *cpu_only])[0]:
        print("L'index de PyTorch ne répond pas : torch viendra de l'index par défaut, qui peut être bien plus gros.")


def _quiet(command):
    """Lance une commande dans le dossier du cours ; rend (réussite, ce qu'elle a écrit)."""
    with tempfile.TemporaryFile() as log:
        try:
            process = subprocess.Popen(
                [str(part) for part in command], cwd=str(ROOT), env=_environment(), stdout=log, stderr=log
            )
        except OSError as error:
            return False, str(error)
        start = time.monotonic()
        while process.poll() is None:
            if sys.stdout.isatty() and time.monotonic() - start > 2:
                print(f"\r  … {time.monotonic() - start:.0f} s ", end="", flush=True)
            time.sleep(0.2)
        if sys.stdout.isatty():
            print("\r", end="")
        log.seek(0)
        return process.returncode == 0, log.read().decode("utf-8", "replace")


def _step(title, command, explanation):
    """Une étape de l'installation ; lève `Missing` avec son explication si elle échoue."""
    print(title)
    done, output = _quiet(command)
    if not done:
        raise Missing(explanation(output))


def _environment():
    """Les variables des commandes lancées : le noyau de .venv d'abord, et rien hors de .venv pour pip."""
    own = {"JUPYTER_PREFER_ENV_PATH": "1", "JUPYTER_RUNTIME_DIR": str(VENV / "runtime"), "PIP_USER": "0"}
    return {**os.environ, **own}


def write_settings(prefix):
    """Règle JupyterLab dans l'environnement `prefix` : en français, sans nouvelles ni mises à jour."""
    folder = prefix / "share" / "jupyter" / "lab" / "settings"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "overrides.json").write_text(json.dumps(SETTINGS, indent=2), "utf-8")


def lay_lessons(source=ROOT / "notebooks", work=ROOT / "travail"):
    """Copie dans `work` les leçons et les corrigés qui n'y sont pas ; n'écrase jamais une copie."""
    for lesson in sorted([*source.glob("*.ipynb"), *source.glob("corriges/*.ipynb")]):
        copy = work / lesson.relative_to(source)
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            partial = copy.with_name(f".{copy.name}.part")
            shutil.copyfile(str(lesson), str(partial))
            partial.replace(copy)


def prepare_offline(folder):
    """Met dans `folder` le cours et tout ce que son installation demande, pour ce système et ce Python.

    Lancée sur plusieurs machines vers un même dossier, la commande y ajoute ce que chacune demande. `travail/`
    n'y est jamais touché.
    """
    import tomllib

    if ROOT in (folder, *folder.parents):
        raise Missing(f"--hors-ligne veut un dossier hors du cours ; reçu : {folder}.")
    folder.mkdir(parents=True, exist_ok=True)
    for source in (ROOT / name for name in COURSE):
        if source.is_dir():
            left = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
            shutil.copytree(source, folder / source.name, ignore=left, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, folder / source.name)
    wheels = folder / WHEELS.name
    pip = [*_pip("wheel"), "--wheel-dir", wheels]
    _ask_cpu_torch(pip)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wanted = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    _step("Téléchargement des paquets", [*pip, "--find-links", wheels, "-c", "requirements.txt", *wanted], explain)
    print(f"Prêt : copiez {folder} sur chaque machine, puis, dans la copie : python3 cours.py")
    return 0


def _this_python():
    """Ce système et ce Python, en quelques mots."""
    return f"Python {sys.version_info[0]}.{sys.version_info[1]}, {sys.platform}, {platform.machine()}"


def prepare():
    """Ce que `install` et `main` font pour .venv, dans un environnement déjà fait : conda, Binder, JupyterHub."""
    write_settings(Path(sys.prefix))
    lay_lessons()


def lab_command(is_root):
    """La commande de JupyterLab : sur localhost, avec un jeton, sans ouvrir lui-même le navigateur."""
    command = [PYTHON, "-m", "jupyterlab", "--no-browser", "--ServerApp.ip=localhost", "--ServerApp.answer_yes=True"]
    command += ["--log-level=ERROR", "--LabApp.log_level=ERROR", "--KernelManager.transport_encryption=auto"]
    return [str(part) for part in command] + (["--allow-root"] if is_root else [])


def has_screen(system=sys.platform, environ=os.environ):
    """Vrai s'il y a un écran où ouvrir un navigateur."""
    return system != "linux" or any(environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def run_tests(arguments):
    """Lance pytest ; les carnets rejoués n'ont pas de barre de progression."""
    environment = {**_environment(), "TQDM_DISABLE": "1"}
    return subprocess.call([str(PYTHON), "-m", "pytest", *arguments], cwd=str(ROOT), env=environment)


def open_lab():
    """Pose les leçons, lance JupyterLab dans travail/, ouvre la première, et attend qu'on l'arrête."""
    lay_lessons()
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if is_root:
        print("Attention : JupyterLab tourne en superutilisateur (root) ; un compte ordinaire est plus sûr.")
    runtime = VENV / "runtime"
    runtime.mkdir(exist_ok=True)
    before = set(runtime.glob("jpserver-*.json"))
    # Un jeton fourni par l'environnement, et JupyterLab n'écrit pas son propre mode d'emploi, en anglais.
    environment = {**_environment(), "JUPYTER_TOKEN": secrets.token_hex(24)}
    process = subprocess.Popen(lab_command(is_root), cwd=str(ROOT / "travail"), env=environment)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        _announce(_wait_for_server(process, runtime, before))
        return process.wait()
    except KeyboardInterrupt:
        print("\nJupyterLab s'arrête.")
        return 0
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def _wait_for_server(process, runtime, before):
    """Ce que JupyterLab dit de lui-même une fois prêt : adresse, port, jeton."""
    for _ in range(600):
        if process.poll() is not None:
            raise Missing("JupyterLab s'est arrêté aussitôt lancé ; son message est ci-dessus.")
        for path in set(runtime.glob("jpserver-*.json")) - before:
            try:
                return json.loads(path.read_text("utf-8"))
            except ValueError:
                pass  # pas encore écrit en entier
        time.sleep(0.1)
    raise Missing("JupyterLab ne répond pas au bout d'une minute.")


def _announce(server):
    """Dit l'adresse et ouvre le navigateur s'il y a un écran."""
    if server["port"] != 8888:
        print(f"Le port 8888 est déjà pris : JupyterLab a choisi le {server['port']}.")
    address = f"{server['url']}lab/tree/{FIRST_LESSON}?token={server['token']}"
    opened = has_screen() and webbrowser.open(address)
    print("Le cours est ouvert dans votre navigateur." if opened else "Ouvrez cette adresse dans un navigateur :")
    print(
        f"  {address}\nCtrl+C dans cette fenêtre arrête le cours ; vos copies des leçons restent dans travail/.",
        flush=True,
    )


def main(arguments):
    """Exécute la commande et rend son code de sortie."""
    tests, offline = arguments[:1] == ["tests"], arguments[:1] == ["--hors-ligne"] and len(arguments) == 2
    if arguments and not tests and not offline:
        print(__doc__.strip())
        return 0 if arguments[0] in ("-h", "--help") else 2
    try:
        check_machine()
        install(tests)
        if tests:
            return run_tests(arguments[1:])
        return prepare_offline(Path(arguments[1]).resolve()) if offline else open_lab()
    except Missing as missing:
        print(f"\n{missing}", file=sys.stderr)
    except PermissionError as error:
        print(f"\nL'écriture est refusée ({error.filename}) : copiez le cours dans un dossier à vous.", file=sys.stderr)
    except OSError as error:
        print(f"\n{explain(str(error))}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nInterrompu ; la même commande reprendra.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
