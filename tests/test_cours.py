"""cours.py : ce qu'il dit quand il manque quelque chose, et ce qu'il ne touche jamais."""

import ast
import asyncio
import builtins
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tomllib
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tornado.websocket import websocket_connect

import cours

ROOT = Path(cours.__file__).parent
NO_NETWORK = """WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError("Failed to
establish a new connection: [Errno -3] Temporary failure in name resolution")': /simple/torch/
ERROR: Could not find a version that satisfies the requirement torch==2.13.0 (from versions: none)
ERROR: No matching distribution found for torch==2.13.0"""


def test_an_old_python_can_read_the_file_and_is_told(tmp_path):
    ast.parse((ROOT / "cours.py").read_text("utf-8"), feature_version=(3, 7))
    with pytest.raises(cours.Missing, match=r"Il faut Python 3\.11 .* celui-ci est le 3\.9"):
        cours.check_machine(version=(3, 9, 2))


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_python_without_venv_is_told_what_to_install(monkeypatch, module):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == module:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(cours.Missing, match="apt install python3-venv"):
        cours.check_machine()


@pytest.mark.parametrize(
    ("length", "long_paths", "refused"), [(20, False, False), (90, False, True), (90, True, False)]
)
def test_a_path_too_long_for_windows_is_refused_unless_long_paths_are_on(monkeypatch, length, long_paths, refused):
    monkeypatch.setattr(cours, "_windows_long_paths", lambda: long_paths)
    root = "C:\\" + "x" * (length - 3)
    if refused:
        with pytest.raises(cours.Missing, match=f"trop long pour Windows .{length} caractères"):
            cours.check_machine(system="win32", root=root)
    else:
        cours.check_machine(system="win32", root=root)
    cours.check_machine(system="linux", root="/" + "x" * 300)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (NO_NETWORK, "Le réseau ne répond pas"),
        ("ERROR: No matching distribution found for torch==2.13.0", "PyTorch n'existe pas pour ce système"),
        ("OSError: [Errno 28] No space left on device", "Le disque est plein"),
        ("PermissionError: [Errno 13] Permission denied: '/opt'", "L'écriture est refusée"),
        ("\n".join(f"ligne {k}" for k in range(20)), "ligne 19"),
    ],
)
def test_a_failed_installation_is_explained(output, said):
    assert said in cours.explain(output)


def test_no_torch_for_this_system_names_binder():
    assert "Binder" in cours.explain("ERROR: No matching distribution found for torch==2.13.0")


def test_the_visual_c_runtime_is_named_on_windows_alone():
    error = 'OSError: [WinError 126] The specified module could not be found. Error loading "c10.dll"'
    assert "Visual C++ Redistributable" in cours.explain_torch(error, "win32")
    assert "WinError 126" in cours.explain_torch(error, "linux")


@pytest.mark.parametrize(
    ("platform", "environ", "screen"),
    [
        ("linux", {}, False),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("darwin", {}, True),
        ("win32", {}, True),
    ],
)
def test_where_there_is_a_screen(platform, environ, screen):
    assert cours.has_screen(platform, environ) == screen


@pytest.mark.parametrize(("platform", "asked"), [("linux", True), ("win32", False), ("darwin", False)])
def test_the_cpu_index_is_asked_first_on_linux_alone(monkeypatch, platform, asked):
    calls = []
    monkeypatch.setattr(cours, "_quiet", lambda command: calls.append(list(map(str, command))) or (len(calls) > 1, ""))
    cours._ask_cpu_torch(["pip", "install"], platform)
    installs = [call for call in calls if call[0] == "pip"]
    assert len(installs) == asked
    for call in installs:
        assert call[call.index("--index-url") + 1] == cours.CPU_INDEX
        assert call[call.index("--retries") + 1] == "0"
        assert "--no-deps" in call
        assert call[-1] == "torch==2.13.0"


def test_an_unreachable_cpu_index_is_said_and_is_not_fatal(monkeypatch, capsys):
    monkeypatch.setattr(cours, "_quiet", lambda command: (False, ""))
    cours._ask_cpu_torch(["pip", "install"], "linux")
    assert "L'index de PyTorch ne répond pas" in capsys.readouterr().out


def test_the_fingerprint_follows_the_requirements_and_the_place(monkeypatch, tmp_path):
    for name in ("requirements.txt", "pyproject.toml", "cours.py"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    reference = cours.fingerprint()
    monkeypatch.setattr(cours, "ROOT", tmp_path)
    moved = cours.fingerprint()
    (tmp_path / "requirements.txt").write_text("torch==9")
    assert len({reference, moved, cours.fingerprint()}) == 3


def test_an_edited_copy_survives_and_a_deleted_one_comes_back(tmp_path):
    source, work = tmp_path / "notebooks", tmp_path / "travail é"
    (source / "corriges").mkdir(parents=True)
    (source / "donnees").mkdir()
    for name in ("00_a.ipynb", "07_b.ipynb", "corriges/00_a.ipynb", "donnees/a.csv"):
        (source / name).write_text("original")
    cours.lay_lessons(source, work)
    (work / "00_a.ipynb").write_text("mes réponses")
    (work / "07_b.ipynb").unlink()
    (source / "00_a.ipynb").write_text("nouvelle version")
    (source / "08_c.ipynb").write_text("nouvelle leçon")
    cours.lay_lessons(source, work)
    assert {str(path.relative_to(work)): path.read_text() for path in work.rglob("*.*")} == {
        "00_a.ipynb": "mes réponses",
        "07_b.ipynb": "original",
        "08_c.ipynb": "nouvelle leçon",
        "corriges/00_a.ipynb": "original",
        "donnees/a.csv": "original",
    }


@pytest.mark.parametrize("name", ["travail", "travail/corriges", "travail/donnees"])
def test_a_file_where_the_copies_go_is_said_and_kept(tmp_path, name):
    work, file = tmp_path / "travail", tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("à moi")
    with pytest.raises(cours.Missing, match="doit être un dossier"):
        cours.lay_lessons(work=work)
    assert file.read_text() == "à moi"


@pytest.mark.skipif(os.name == "nt", reason="un lien symbolique demande un droit sous Windows")
def test_a_link_that_leads_nowhere_stays(tmp_path):
    (tmp_path / cours.FIRST_LESSON).symlink_to(tmp_path / "ailleurs.ipynb")
    cours.lay_lessons(work=tmp_path)
    assert (tmp_path / cours.FIRST_LESSON).is_symlink()


def test_the_settings_are_french_without_news_or_updates(tmp_path):
    cours.write_settings(tmp_path)
    settings = json.loads((tmp_path / "share/jupyter/lab/settings/overrides.json").read_text("utf-8"))
    assert settings["@jupyterlab/translation-extension:plugin"] == {"locale": "fr_FR"}
    assert settings["@jupyterlab/apputils-extension:notification"] == {"checkForUpdates": False, "fetchNews": "false"}


@pytest.mark.skipif(os.name == "nt", reason="postBuild est un script de Linux")
def test_post_build_writes_the_same_settings(tmp_path):
    """postBuild, tel que Binder le lance, dans un préfixe de rien."""
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -c "import sys; sys.prefix = \'{tmp_path}\'; exec(sys.argv[1])" "$2"\n'
    )
    python.chmod(0o755)
    subprocess.run(
        ["./postBuild"], cwd=ROOT, check=True, env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    )
    assert json.loads((tmp_path / "share/jupyter/lab/settings/overrides.json").read_text("utf-8")) == cours.SETTINGS


def test_root_is_allowed_and_localhost_is_the_only_door():
    assert "--allow-root" in cours.lab_command(is_root=True)
    assert "--allow-root" not in cours.lab_command(is_root=False)
    assert "--ServerApp.ip=localhost" in cours.lab_command(is_root=False)


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), (["test"], 2)])
def test_other_words_get_the_two_commands(arguments, code, capsys):
    assert cours.main(arguments) == code
    assert "python3 cours.py tests" in capsys.readouterr().out


def test_what_is_missing_is_said_without_a_traceback(monkeypatch, capsys):
    def missing():
        raise cours.Missing("Il manque un écran.")

    monkeypatch.setattr(cours, "check_machine", missing)
    assert cours.main([]) == 1
    assert capsys.readouterr().err == "\nIl manque un écran.\n"


# Tout ce qu'une fenêtre montre, du lancement à l'arrêt.
SAID = [
    "Attention : JupyterLab tourne en superutilisateur .root. ; un compte ordinaire est plus sûr.",
    r"Le port 8888 est déjà pris : JupyterLab a choisi le \d+.",
    "Ouvrez cette adresse dans un navigateur :",
    r"  http://localhost:\d+/lab/tree/00_bien_demarrer.ipynb\?token=[0-9a-f]{48}",
    r"Ctrl\+C dans cette fenêtre arrête le cours ; vos copies des leçons restent dans travail/.",
    "",
    "JupyterLab s'arrête.",
]


@contextlib.contextmanager
def opened(folder, **variables):
    """La vraie commande, depuis un autre dossier, jusqu'à l'adresse ; puis Ctrl+C. Rien n'y est dit en anglais."""
    code = (
        "import cours, pathlib, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # une tâche de fond l'ignore
        "cours.VENV, cours.PYTHON = pathlib.Path(sys.argv[1]) / 'venv é', sys.executable\n"
        "cours.VENV.mkdir(exist_ok=True); sys.path.insert(0, sys.argv[2]); sys.exit(cours.open_lab())"
    )
    environment = {key: value for key, value in os.environ.items() if "DISPLAY" not in key}
    environment |= {"PYTHONPATH": str(ROOT), **{name: str(value) for name, value in variables.items()}}
    command = [sys.executable, "-u", "-c", code, str(folder), str(ROOT)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, cwd=folder, env=environment, **streams)
    lines = []
    try:
        while not (found := re.search(r"http://\S+", lines[-1] if lines else "")):
            lines.append(process.stdout.readline())
            assert lines[-1], "JupyterLab ne s'est pas ouvert : " + "".join(lines)
        yield found.group(), lines
    finally:
        process.send_signal(signal.SIGINT)
        lines += process.communicate(timeout=60)[0].splitlines()
    assert process.returncode == 0
    odd = [line for line in lines if not any(re.fullmatch(form, line.rstrip("\n")) for form in SAID)]
    assert odd == []
    assert lines[-1] == "JupyterLab s'arrête."


def ask(address, path, **options):
    """Ce que répond l'API de ce JupyterLab."""
    url = address.split("lab/tree")[0] + path + "?" + address.split("?")[1]
    return json.load(urllib.request.urlopen(urllib.request.Request(url, **options), timeout=60))


@pytest.mark.lent
@pytest.mark.skipif(os.name == "nt", reason="le signal SIGINT s'envoie autrement sous Windows")
def test_the_lab_opens_with_its_token_on_another_port_when_8888_is_taken(tmp_path):
    """Le port habituel étant pris."""
    taken = socket.socket()
    with taken:
        with contextlib.suppress(OSError):  # déjà pris : c'est ce que l'on veut
            taken.bind(("127.0.0.1", 8888))
            taken.listen()
        with opened(tmp_path) as (address, lines):
            assert any("Le port 8888 est déjà pris" in line for line in lines)
            assert re.fullmatch(SAID[3].strip(), address)
            assert cours.FIRST_LESSON in [item["name"] for item in ask(address, "api/contents")["content"]]
            with pytest.raises(OSError, match="403"):
                urllib.request.urlopen(address.split("lab/tree")[0] + "api/contents")


async def first_word(address, kernel):
    """Attend que le noyau réponde : ses fichiers de démarrage sont alors exécutés."""
    url = address.replace("http://", "ws://").replace(
        f"lab/tree/{cours.FIRST_LESSON}", f"api/kernels/{kernel}/channels"
    )
    return await asyncio.wait_for((await websocket_connect(url)).read_message(), 60)


# De vrais réglages, chacun assez pour que la leçon annoncée soit introuvable ou que JupyterLab ne s'ouvre pas.
JUPYTER_SETTINGS = """
c.ServerApp.root_dir = c.ServerApp.preferred_dir = c.NotebookApp.notebook_dir = FOLDER
c.ServerApp.port, c.ServerApp.base_url, c.ServerApp.ip = 9999, "/ailleurs/", "0.0.0.0"
c.ServerApp.certfile = c.ServerApp.keyfile = "/rien.pem"
c.ServerApp.contents_manager_class = c.ServerApp.identity_provider_class = "rien.Rien"
c.IdentityProvider.token, c.PasswordIdentityProvider.hashed_password = "a", "argon2:rien"
c.ServerApp.jpserver_extensions, c.ServerApp.allow_remote_access = {"rien": True}, True
c.LabApp.default_url, c.ServerApp.default_url, c.LabApp.app_dir = "/tree", "/tree", "/rien"
c.ServerApp.extra_template_paths, c.ExtensionApp.open_browser = ["/rien"], True
"""


def test_the_address_is_given_once_the_server_listens(tmp_path):
    """JupyterLab écrit son adresse un instant avant d'écouter : le navigateur qui l'ouvrirait alors serait refusé."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with process, socket.socket() as door, ThreadPoolExecutor() as pool:
        door.bind(("127.0.0.1", 0))
        server = {"hostname": "127.0.0.1", "port": door.getsockname()[1], "token": "essai"}
        (tmp_path / "jpserver-1.json").write_text(json.dumps(server))
        waiting = pool.submit(cours._wait_for_server, process, tmp_path, "essai")
        with pytest.raises(TimeoutError):
            waiting.result(0.5)
        door.listen()
        assert waiting.result(30) == server
        process.kill()


@pytest.mark.skipif(os.name == "nt", reason="Windows arrête de force, toujours")
def test_a_server_that_does_not_end_is_stopped_by_force():
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
    process = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
    process.stdout.readline()
    cours._stop(process, patience=0.1)
    assert process.returncode == -signal.SIGKILL
    process.stdout.close()


@pytest.mark.lent
@pytest.mark.skipif(os.name == "nt", reason="le signal SIGINT s'envoie autrement sous Windows")
def test_the_lesson_opens_whatever_the_user_set_for_his_own_jupyter(tmp_path):
    home, startup = tmp_path / "home", tmp_path / "home/.ipython/profile_default/startup"
    startup.mkdir(parents=True)
    (startup / "00.py").write_text(f"open({str(tmp_path / 'trace')!r}, 'w')")
    for folder in (home / ".jupyter", tmp_path / "config", tmp_path / "path"):
        folder.mkdir()
        for name in ("jupyter_config", "jupyter_server_config", "jupyter_lab_config", "jupyter_notebook_config"):
            (folder / f"{name}.py").write_text(JUPYTER_SETTINGS.replace("FOLDER", repr(str(home))))
    variables = {"HOME": home, "JUPYTER_CONFIG_PATH": tmp_path / "path", "JUPYTER_CONFIG_DIR": tmp_path / "config"}
    variables |= {"JUPYTER_PORT": "9998", "JUPYTER_TOKEN": "b", "JUPYTER_PATH": home, "JUPYTERLAB_DIR": "/rien"}
    variables |= {
        "JUPYTERLAB_SETTINGS_DIR": "/rien",
        "JUPYTER_DATA_DIR": "/rien",
        "JUPYTER_GATEWAY_URL": "http://[::1]:9",
    }
    variables |= {"JUPYTER_NO_CONFIG": "1", "JUPYTER_PLATFORM_DIRS": "1", "PYTHONWARNINGS": "error"}
    with opened(tmp_path, **variables) as (address, lines):
        assert 8888 <= int(re.search(r":(\d+)/lab", address).group(1)) < 9990
        assert cours.FIRST_LESSON in [item["name"] for item in ask(address, "api/contents")["content"]]
        assert urllib.request.urlopen(address, timeout=60).status == 200
        kernel = ask(address, "api/kernels", data=b"{}")
        with ThreadPoolExecutor(1) as apart:  # la boucle de Playwright, qu'un autre test a pu lancer, tient ce fil
            apart.submit(asyncio.run, first_word(address, kernel["id"])).result()
        assert not (tmp_path / "trace").exists()


def test_the_offline_folder_is_outside_the_course(tmp_path, monkeypatch):
    for folder in (ROOT, ROOT / "notebooks", ROOT / "clé"):
        with pytest.raises(cours.Missing, match="--hors-ligne veut un dossier hors du cours"):
            cours.prepare_offline(folder)
    assert not (ROOT / "clé").exists()


def test_the_offline_folder_has_the_lessons_without_the_text_they_are_made_from(tmp_path, monkeypatch):
    monkeypatch.setattr(cours, "_step", lambda *arguments: None)
    monkeypatch.setattr(cours, "_ask_cpu_torch", lambda pip: None)
    cours.prepare_offline(tmp_path)
    kit, course = ({path.name for path in root.glob("notebooks/[!.]*")} for root in (tmp_path, ROOT))
    assert kit == course - {"sources"} < course


def test_the_offline_folder_takes_what_the_library_and_the_course_ask_for(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(cours, "_ask_cpu_torch", lambda pip: None)
    monkeypatch.setattr(cours, "_step", lambda title, command, explanation: asked.extend(command))
    cours.prepare_offline(tmp_path)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {*project["dependencies"], *project["optional-dependencies"]["cours"]} <= set(asked)
    assert set(asked).isdisjoint(project["optional-dependencies"]["tests"])
    assert not any("setuptools" in one for one in project["dependencies"])
    assert any(str(one).startswith("setuptools") for one in asked)
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", (ROOT / "README.md").read_text("utf-8")):
        assert (tmp_path / target).exists(), target


@pytest.mark.parametrize(("tests", "extras"), [(False, {"cours"}), (True, {"cours", "tests", "site", "hub"})])
def test_the_course_is_installed_with_its_extra_and_the_tests_with_theirs(tmp_path, monkeypatch, tests, extras):
    steps = []
    monkeypatch.setattr(cours, "VENV", tmp_path)
    monkeypatch.setattr(cours, "_quiet", lambda command: (True, ""))
    monkeypatch.setattr(cours, "_step", lambda title, command, explanation: steps.append(list(map(str, command))))
    cours.install(tests)
    (wanted,) = [step[step.index("-e") + 1] for step in steps if "-e" in step]
    assert set(re.fullmatch(r"\.\[(.*)\]", wanted)[1].split(",")) == extras
    known = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert extras <= known.keys()


def test_a_folder_made_for_another_python_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(cours, "WHEELS", tmp_path)
    said = cours.explain("ERROR: No matching distribution found for torch==2.13.0")
    assert f"Python {sys.version_info[0]}.{sys.version_info[1]}" in said
    assert "--hors-ligne" in said


# La boucle locale d'un espace réseau neuf est éteinte : JupyterLab, qui n'écoute qu'elle, la veut allumée.
CUT_OFF = """
import fcntl, os, socket, struct, sys
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 1))
os.execv(sys.executable, [sys.executable, "-u", *sys.argv[1:]])
"""


def cut_off(*arguments):
    """La commande qui lance Python dans un espace réseau sans autre interface que la boucle locale."""
    return ["unshare", "--net", "--map-root-user", sys.executable, "-c", CUT_OFF, *map(str, arguments)]


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    """Le dossier que prépare `--hors-ligne`, avec le réseau."""
    if sys.platform != "linux" or subprocess.run(cut_off("-c", "")).returncode:
        pytest.skip("couper le réseau demande Linux et le droit d'y faire un espace réseau (unshare)")
    patch, folder = pytest.MonkeyPatch(), tmp_path_factory.mktemp("clé usb") / "cours"
    patch.setattr(cours, "PYTHON", sys.executable)
    cours.prepare_offline(folder)
    patch.undo()
    return folder


@pytest.mark.long
def test_the_offline_folder_installs_and_opens_with_the_network_cut(offline):
    """La vraie commande, sur une machine sans réseau, jusqu'à l'adresse de JupyterLab ; puis une expérience."""
    no_cache = {key: value for key, value in os.environ.items() if "DISPLAY" not in key and key != "PYTHONPATH"}
    no_cache |= {"PIP_NO_CACHE_DIR": "1", "PIP_CONFIG_FILE": os.devnull}
    probe = "import socket; socket.create_connection(('1.1.1.1', 53), 2)"
    assert subprocess.run(cut_off("-c", probe), capture_output=True).returncode
    process = subprocess.Popen(cut_off(offline / "cours.py"), env=no_cache, stdout=subprocess.PIPE, text=True)
    lines = []
    while not re.search(r"http://localhost:\d+/lab/tree/00_", lines[-1] if lines else ""):
        lines.append(process.stdout.readline())
        assert lines[-1], "".join(lines)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert (offline / "travail/07_taux_d_apprentissage.ipynb").is_file()
    python = offline / ".venv/bin/python"
    code = f"import os; os.execv({str(python)!r}, [{str(python)!r}, '-m', 'toylib', '--epochs', '2'])"
    done = subprocess.run(cut_off("-c", code), cwd=offline, env=no_cache, capture_output=True, text=True)
    assert "0,001" in done.stdout, done.stderr


@pytest.mark.long
def test_preparing_again_never_touches_the_work_of_the_copy(offline):
    mine = offline / "travail" / "07_taux_d_apprentissage.ipynb"
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mes réponses")
    (offline / "notebooks" / "07_taux_d_apprentissage.ipynb").write_text("abîmé")
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(cours, "_step", lambda *arguments: None)
    monkeypatch.setattr(cours, "_ask_cpu_torch", lambda pip: None)
    cours.prepare_offline(offline)
    monkeypatch.undo()
    assert mine.read_text() == "mes réponses"
    assert (offline / "notebooks" / mine.name).read_bytes() == (ROOT / "notebooks" / mine.name).read_bytes()
