#!/usr/bin/env python3
"""Prépare et ouvre le cours, sur une machine qui n'a que Python.

python3 cours.py                installe ce qu'il faut dans .venv et ouvre les leçons dans JupyterLab
python3 cours.py tests [...]    installe les outils de test et lance pytest, avec ces arguments
python3 cours.py --hors-ligne DOSSIER
                                prépare dans DOSSIER une copie du cours qui s'installe sans réseau

Sous Windows : py cours.py
"""

# Ce fichier doit se lire même par un vieux Python 3, pour pouvoir dire qu'il est trop vieux.
import ast
import codecs
import contextlib
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unicodedata
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
WHEELS = ROOT / "paquets"  # dans une copie hors ligne : tout ce que pip demanderait au réseau
COURSE = ("cours.py", "requirements.txt", "pyproject.toml", "toylib", "notebooks")
COURSE += ("README.md", "LICENSE", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff", "docs")  # ce que le README cite
FIRST_LESSON = "00_bien_demarrer.ipynb"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
MACHINE, LIBC = platform.machine().lower(), platform.libc_ver()[0]
BINDER = "Sans installation, le cours s'ouvre aussi dans Binder : le README dit comment."
KIT = f"Sans ce réseau : préparez le cours ailleurs avec --hors-ligne (docs/classe.md, « Sans réseau »). {BINDER}"
# Ce que l'utilisateur a réglé pour d'autres programmes, et qui mènerait hors de .venv ou du cours.
FOREIGN = ("PYTHON", "JUPYTER", "IPYTHON", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__", "MPLBACKEND")
# Les réglages de pip que l'on garde : par où passer. Les autres (target, prefix, user…) disent où et comment poser.
ROUTES = ("proxy", "cert", "client-cert", "trusted-host", "index-url", "extra-index-url", "no-index", "find-links")
ROUTES += ("timeout", "default-timeout", "retries", "cache-dir", "no-cache-dir", "keyring-provider")
# Un venv entier : sa version de Python, pip, et tous les fichiers que chaque paquet dit avoir, à leur taille.
WHOLE = """
import csv, importlib.metadata as metadata, os, sys
assert sys.version_info[:2] == {} and metadata.version("pip")
for package in metadata.distributions():
    for path, _, size in csv.reader(package.read_text("RECORD").splitlines()):
        assert not size or os.path.getsize(package.locate_file(path)) == int(size), path
"""
# JupyterLab sans les réglages de la machine (/etc/jupyter) : ceux de l'utilisateur, les variables les écartent.
LAB = """
import jupyter_core.paths as paths
paths.SYSTEM_CONFIG_PATH.clear(), paths.SYSTEM_JUPYTER_PATH.clear()
from jupyterlab.labapp import main
main()
"""
BROWSER = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"
# Le plus long chemin que l'installation crée sous le dossier du cours, mesuré sous Linux, et la limite de Windows.
LONGEST_INSTALLED, WINDOWS_LIMIT = 200, 259

SETTINGS = {
    "@jupyterlab/translation-extension:plugin": {"locale": "fr_FR"},
    "@jupyterlab/apputils-extension:notification": {"checkForUpdates": False, "fetchNews": "false"},
}

# Ce que l'on trouve dans ce que pip écrit, et ce que cela veut dire : la première ligne qui convient l'emporte.
FAILURES = {
    "No space left|not enough space|Disk quota": "Le disque est plein : il faut environ 2 Go pour le cours.",
    "Permission denied|Read-only file system|WinError 5]": (
        "L'écriture est refusée dans ce dossier : copiez le cours dans un dossier à vous."
    ),
    "CERTIFICATE_VERIFY_FAILED|CertificateError|CA certificate bundle": (
        "Le réseau montre un certificat que Python ne connaît pas : c'est souvent le filtre d'une école. Demandez à "
        "qui gère le réseau le fichier de ce certificat, donnez-le à pip par la variable PIP_CERT=FICHIER, et "
        f"relancez la commande. {KIT}"
    ),
    "failed: 407|407 Proxy": (
        "Le proxy demande un nom et un mot de passe. Donnez-les par la variable "
        f"HTTPS_PROXY=http://NOM:MOT_DE_PASSE@ADRESSE:PORT, et relancez la commande. {KIT}"
    ),
    "Tunnel connection failed|(Client|Server) Error|error responses|DO NOT MATCH|is invalid\\.|not a zip file": (
        "Un proxy, un filtre ou un portail du réseau bloque les paquets de Python. Voyez dans le navigateur s'il "
        f"faut s'identifier, ou adressez-vous à qui gère le réseau, et relancez la commande. {KIT}"
    ),
    "Failed to (establish|parse)|resolution|resolve|getaddrinfo|Name or service|(Proxy|SSL)Error|Connect(ion|Timeout)"
    "|timed out|Network is unreachable|IncompleteRead|incomplete-download": (
        f"Le réseau ne répond pas, ou coupe : vérifiez la connexion (et le proxy), et relancez la commande. {KIT}"
    ),
    "from versions: none": (
        "Le réseau répond, mais sans les paquets de Python : un portail où il faut s'identifier, ou un filtre. "
        f"Voyez avec qui gère le réseau, et relancez la commande. {KIT}"
    ),
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
    for odd in (";" if system == "win32" else ":", *re.findall("[\udc80-\udcff]", str(root))):
        if odd in str(root):
            raise Missing(f"Python refuse un dossier dont le chemin contient {odd!r} : renommez {str(root)!r}.")
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
    if "No matching distribution found for torch" in output and ("versions: none" not in output or not torch_exists()):
        return (
            "PyTorch n'existe pas pour ce système ou ce Python. Il faut Linux, Windows ou macOS 14 (puce Apple) "
            f"au moins, en 64 bits, avec Python 3.11 à 3.14. {BINDER}"
        )
    for signs, said in FAILURES.items():
        if re.search(signs, output):
            return said
    return "L'installation a échoué. Ce que pip en dit :\n" + "\n".join(output.strip().splitlines()[-8:])


def explain_torch(output, system=sys.platform):
    """Ce que l'échec d'un `import torch` veut dire."""
    if system == "win32" and ("WinError 126" in output or "DLL" in output):
        return (
            "Il manque à Windows le « Visual C++ Redistributable » dont PyTorch a besoin. "
            "Installez https://aka.ms/vs/17/release/vc_redist.x64.exe, puis relancez la commande."
        )
    return "PyTorch est installé mais ne démarre pas :\n" + "\n".join(output.strip().splitlines()[-3:])


def torch_exists(system=sys.platform, machine=MACHINE, libc=LIBC):
    """Vrai si PyTorch se publie pour ce système et ce Python."""
    intel, arm = machine in ("x86_64", "amd64") and system != "darwin", machine in ("arm64", "aarch64")
    return (intel or arm) and sys.maxsize > 2**32 and sys.version_info[:2] < (3, 15) and (system, libc) != ("linux", "")


def install(tests):
    """Fait ou met à jour .venv ; ne fait rien si rien n'a changé depuis la dernière fois."""
    wanted = fingerprint().encode()
    stamps = [VENV / "pret-tests", VENV / "pret"]  # qui peut lancer les tests peut ouvrir le cours
    with _alone():
        if any(stamp.is_file() and stamp.read_bytes() == wanted for stamp in stamps[: 1 if tests else 2]):
            return
        if not _quiet(_python("-c", WHOLE.format(tuple(sys.version_info[:2]))))[0]:
            _step("Création de l'environnement", [sys.executable, "-m", "venv", "--clear", VENV], explain)
        pip = _pip("install")
        if WHEELS.is_dir():
            pip += ["--no-index", "--find-links", WHEELS]
        else:
            _ask_cpu_torch(pip)
        extras = ".[cours,tests,site,hub]" if tests else ".[cours]"
        _step("Installation du cours", [*pip, "-c", "requirements.txt", "-e", extras], explain)
        _step("Vérification de PyTorch", _python("-c", "import torch"), explain_torch)
        write_settings(VENV)
        getattr(os, "sync", int)()  # une coupure de courant ne doit pas laisser la marque sans les fichiers
        stamps[0 if tests else 1].write_bytes(wanted)


@contextlib.contextmanager
def _alone():
    """Attend qu'aucune autre commande n'installe le cours dans ce dossier, où deux pip se gêneraient."""
    with open(str(ROOT / "cours.py"), "rb") as file:
        with contextlib.suppress(ImportError, OSError):  # Windows, un partage du réseau : sans verrou
            import fcntl

            os.set_inheritable(file.fileno(), True)  # un pip qui survit à cette commande garde le verrou
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print("Une autre commande installe déjà le cours dans ce dossier : celle-ci attend.", flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def fingerprint():
    """L'empreinte de tout ce dont dépend l'installation."""
    parts = [(ROOT / name).read_bytes() for name in ("requirements.txt", "pyproject.toml", "cours.py")]
    return hashlib.sha256(b"\0".join([*parts, os.fsencode(str(ROOT)), sys.version.encode()])).hexdigest()


def _python(*arguments):
    """Une commande du Python de .venv, qui ne lit aucun module du dossier où elle se lance."""
    return [PYTHON, "-P", *arguments]


def _pip(action):
    """Le début d'une commande de pip."""
    return _python("-m", "pip", action, "--progress-bar", "off", "--disable-pip-version-check")


def _ask_cpu_torch(pip, system=sys.platform):
    """Sous Linux, demande d'abord torch à l'index de PyTorch : l'autre sert une édition CUDA de plusieurs Go.

    `pip` : une commande de pip, qui installe ou qui met de côté.
    """
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    pin = next(line.split()[0] for line in lines if line.startswith("torch=="))
    present = f"import torch; assert torch.__version__.split('+')[0] == '{pin.split('==')[1]}'"
    if system != "linux" or ("install" in pip and _quiet(_python("-c", present))[0]):
        return
    cpu_only = ["--no-deps", "--index-url", CPU_INDEX, "--retries", "0", "--timeout", "10", pin]
    print("Téléchargement de PyTorch (environ 200 Mo)")
    if not _quiet([*pip, *cpu_only])[0]:
        print("L'index de PyTorch ne répond pas : torch viendra de l'index par défaut, qui peut être bien plus gros.")


def _quiet(command):
    """Lance une commande dans le dossier du cours ; rend (réussite, ce qu'elle a écrit)."""
    with tempfile.TemporaryFile() as log:
        try:
            process = _launch(command, log, str(ROOT), _environment("pip" in command))
        except OSError as error:
            return False, str(error)
        start = time.monotonic()
        try:
            while process.poll() is None:
                if sys.stdout.isatty() and time.monotonic() - start > 2:
                    print(f"\r  … {time.monotonic() - start:.0f} s ", end="", flush=True)
                time.sleep(0.1)
        finally:
            _stop(process)
        if sys.stdout.isatty():
            print("\r", end="")
        log.seek(0)
        return process.returncode == 0, log.read().decode("utf-8", "replace")


def _launch(command, log, folder, environment):
    """Lance une commande qui ne lit rien et n'écrit que dans `log`."""
    parts = [str(part) for part in command]
    return subprocess.Popen(
        parts, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, env=environment, close_fds=False
    )


def _stop(process, patience=10):
    """Arrête une commande, en lui laissant le temps de ranger si elle a reçu le même Ctrl+C ; de force, s'il le faut.

    Un serveur qui a tout fermé attend parfois, sans fin, un de ses propres fils de calcul.
    """
    for seconds, more in ((min(2, patience), process.terminate), (patience, process.kill)):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return
        more()
    process.wait()


def _step(title, command, explanation):
    """Une étape de l'installation ; lève `Missing` avec son explication si elle échoue."""
    print(title)
    done, output = _quiet(command)
    if not done:
        raise Missing(explanation(output))


def _environment(pip=False):
    """Les variables des commandes lancées : celles de l'utilisateur, sans ce qui mènerait hors de .venv.

    Les réglages de JupyterLab (le thème, par exemple) se gardent dans .venv d'une fois à l'autre.
    """
    foreign = (*FOREIGN, "PIP_") if pip else FOREIGN
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(foreign)}
    own = {"JUPYTER_PREFER_ENV_PATH": "1", "PYTHONNOUSERSITE": "1", "PIP_USER": "0", "IPYTHONDIR": VENV / "ipython"}
    own.update(JUPYTER_CONFIG_DIR=VENV / "etc/jupyter", JUPYTER_DATA_DIR=VENV / "share/jupyter")
    own.update(JUPYTER_RUNTIME_DIR=VENV / "runtime", **(_pip_settings() if pip else {}))
    return {**kept, **{name: str(value) for name, value in own.items()}}


def _pip_settings():
    """Les réglages de pip de l'utilisateur, de ses fichiers puis de ses variables, réduits à `ROUTES`."""
    command = [str(part) for part in _python("-m", "pip", "config", "list", "-vv")]  # -vv l'emporte sur un quiet
    listed = subprocess.run(command, env=_environment(), stdin=subprocess.DEVNULL, capture_output=True).stdout
    found = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INPUT": "1"}
    for section in ("global", "install"):  # le second l'emporte
        for line in listed.decode("utf-8", "replace").splitlines():
            name, _, value = line.partition("=")
            if name in [f"{section}.{route}" for route in ROUTES]:
                found[_variable(name.partition(".")[2])] = ast.literal_eval(value)
    given = {_variable(route): os.environ.get(_variable(route)) for route in ROUTES}
    return {**found, **{name: value for name, value in given.items() if value}}


def _variable(route):
    """La variable d'environnement d'un réglage de pip."""
    return "PIP_" + route.upper().replace("-", "_")


def write_settings(prefix):
    """Règle JupyterLab dans l'environnement `prefix` : en français, sans nouvelles ni mises à jour."""
    folder = prefix / "share" / "jupyter" / "lab" / "settings"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "overrides.json").write_text(json.dumps(SETTINGS, indent=2), "utf-8")


def lay_lessons(source=ROOT / "notebooks", work=ROOT / "travail"):
    """Copie dans `work` les leçons, leurs corrigés, leurs données et leur page de rappels ; n'écrase rien."""
    for folder in (work, work / "corriges", work / "donnees"):
        if os.path.lexists(str(folder)) and not folder.is_dir():
            raise Missing(f"{folder} doit être un dossier, où se posent vos copies des leçons : renommez ce fichier.")
        folder.mkdir(parents=True, exist_ok=True)
    kinds = ("*.ipynb", "corriges/*.ipynb", "donnees/[!.]*", "PYTHON*.md")
    for lesson in sorted(path for kind in kinds for path in source.glob(kind)):
        copy = work / lesson.relative_to(source)
        if not os.path.lexists(str(copy)):  # un lien que l'élève a mis là est à lui, même s'il ne mène nulle part
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
            left = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "sources")
            shutil.copytree(source, folder / source.name, ignore=left, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, folder / source.name)
    wheels = folder / WHEELS.name
    pip = [*_pip("wheel"), "--wheel-dir", wheels]
    _ask_cpu_torch(pip)
    read = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    project = read["project"]
    wanted = [*read["build-system"]["requires"], *project["dependencies"], *project["optional-dependencies"]["cours"]]
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
    command = _python("-c", LAB, "--no-browser", "--ServerApp.ip=localhost", "--ServerApp.answer_yes=True")
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
    # Un jeton fourni par l'environnement, et JupyterLab n'écrit pas son propre mode d'emploi, en anglais.
    environment = {**_environment(), "JUPYTER_TOKEN": secrets.token_hex(24)}
    with open(str(runtime / "journal.txt"), "wb") as log:  # ce que JupyterLab dit d'autre, en anglais lui aussi
        process = _launch(lab_command(is_root), log, str(ROOT / "travail"), environment)
        try:
            _announce(_wait_for_server(process, runtime, environment["JUPYTER_TOKEN"]))
            if process.wait():
                raise _stopped(runtime)
        except KeyboardInterrupt:
            print("\nJupyterLab s'arrête.")
        finally:
            _stop(process)
    return 0


def _stopped(runtime):
    """Ce que l'on dit d'un JupyterLab qui s'arrête seul : la fin de son journal."""
    words = (runtime / "journal.txt").read_text("utf-8", "replace").splitlines()[-8:]
    return Missing("\n".join(["JupyterLab s'est arrêté de lui-même. La fin de son journal :", *words]))


def _wait_for_server(process, runtime, token):
    """Ce que le JupyterLab de ce jeton dit de lui-même une fois prêt : adresse, port, jeton."""
    for _ in range(600):
        if process.poll() is not None:
            raise _stopped(runtime)
        for path in runtime.glob("jpserver-*.json"):
            with contextlib.suppress(ValueError, OSError):  # à moitié écrit, déjà effacé, ou pas encore à l'écoute
                server = json.loads(path.read_text("utf-8"))
                if server["token"] == token:
                    socket.create_connection((server["hostname"], server["port"]), 1).close()
                    return server
        time.sleep(0.1)
    raise Missing("JupyterLab ne répond pas au bout d'une minute.")


def _announce(server):
    """Dit l'adresse et ouvre le navigateur s'il y a un écran."""
    if server["port"] != 8888:
        print(f"Le port 8888 est déjà pris : JupyterLab a choisi le {server['port']}.")
    address = f"{server['url']}lab/tree/{FIRST_LESSON}?token={server['token']}"
    quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)  # un navigateur parle anglais
    opened = has_screen() and not subprocess.call([sys.executable, "-I", "-c", BROWSER, address], **quiet)
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
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"\n{explain(str(error))}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nInterrompu ; la même commande reprendra.", file=sys.stderr)
    return 1


def _settle():
    """Prépare ce que le terminal a d'inhabituel : des sorties fermées ou sans accents, une fenêtre qu'on ferme."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    codecs.register_error("sans accents", _without_accents)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="sans accents", line_buffering=True)
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)


def _without_accents(error):
    """Ce que le terminal ne sait pas écrire, écrit au plus près."""
    lost = error.object[error.start : error.end].replace("«", '"').replace("»", '"')
    return unicodedata.normalize("NFKD", lost).encode("ascii", "ignore").decode(), error.end


if __name__ == "__main__":
    _settle()
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokenPipeError:  # `| head` : plus personne ne lit
        os._exit(1)
