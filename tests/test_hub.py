"""Le hub d'une classe : ce qui sépare les élèves, ce qui les borne, et le travail que rien n'écrase.

Il faut JupyterHub (docs/classe.md dit comment l'installer), Linux et root.
"""

import os
import re
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("jupyterhub")
pytest.importorskip("firstuseauthenticator")
if sys.platform != "linux" or os.geteuid() != 0:
    pytest.skip("Changer d'utilisateur demande Linux et root.", allow_module_level=True)

from traitlets.config import Config

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "hub" / "jupyterhub_config.py"
MEGABYTE = 2**20


def load(folder, monkeypatch, **settings):
    """Exécute la configuration comme le hub ; rend (ses noms, ce qu'elle règle)."""
    (folder / "bin").mkdir(exist_ok=True)
    proxy = folder / "bin" / "configurable-http-proxy"
    proxy.write_text("#!/bin/sh\n")
    proxy.chmod(0o755)
    for name, value in {"HUB_DOSSIER": folder, "HUB_UID": 50000, "PATH": proxy.parent, **settings}.items():
        monkeypatch.setenv(name, str(value))
    # Là où la suite tourne, Python est parfois chez root ; le hub refuserait, et c'est un autre test.
    monkeypatch.setattr(sys, "executable", "/bin/sh")
    monkeypatch.setattr(sys, "prefix", str(folder))
    config = Config()
    names = {"get_config": lambda: config, "__file__": str(CONFIG), "__name__": "hub"}
    exec(compile(CONFIG.read_text("utf-8"), CONFIG, "exec"), names)
    return names, config


@pytest.fixture
def folder():
    """Un dossier que les élèves traversent ; non ceux de pytest, qu'une autre suite qui commence leur referme."""
    with tempfile.TemporaryDirectory() as made:
        path = Path(made)
        for one in (path, *path.parents):
            if one.stat().st_uid == os.getuid() and one.stat().st_mode & 0o055 != 0o055:
                one.chmod(0o755)
        (path / "classe.txt").write_text("Alice\nbruno\n", "utf-8")
        yield path


@pytest.fixture
def hub(folder, monkeypatch):
    return load(folder, monkeypatch, HUB_MEMOIRE=1000)


def act_as(hub, name, action):
    """Fait `action` dans un processus devenu l'élève `name` ; rend ce qu'elle rend, ou le nom de son erreur."""
    become = hub[0]["ClassSpawner"](user=SimpleNamespace(name=name)).make_preexec_fn(name)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            become()
            answer = str(action())
        except BaseException as error:
            answer = type(error).__name__
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as answer:
        return answer.read()


def test_only_the_class_enters_and_nobody_administers_by_default(hub):
    config = hub[1]
    assert config.Authenticator.allowed_users == {"alice", "bruno"}
    assert config.Authenticator.admin_users == set()
    assert config.JupyterHub.authenticator_class == "firstuseauthenticator.FirstUseAuthenticator"
    assert config.JupyterHub.bind_url == "http://127.0.0.1:8000"


def test_a_student_is_not_root_and_keeps_the_same_number(hub, folder):
    first = [act_as(hub, name, os.getuid) for name in ("alice", "bruno", "alice")]
    assert first == ["50001", "50002", "50001"]
    assert act_as(hub, "alice", lambda: (os.getresuid(), os.getgroups())) == "((50001, 50001, 50001), [])"
    assert act_as(hub, "alice", os.getcwd) == str(folder / "eleves" / "alice")
    assert act_as(hub, "alice", lambda: os.setuid(0)) == "PermissionError"


def test_a_student_reads_and_writes_at_home_and_nowhere_else(hub, folder):
    homes = folder / "eleves"
    assert act_as(hub, "alice", lambda: Path("travail.ipynb").write_text("à moi")) == "5"
    assert act_as(hub, "alice", lambda: Path("travail.ipynb").read_text()) == "à moi"
    Path(homes / "alice" / "travail.ipynb").chmod(0o666)  # même si elle l'ouvre à tous
    steal = [
        lambda: (homes / "alice" / "travail.ipynb").read_text(),
        lambda: (homes / "alice" / "travail.ipynb").write_text("effacé"),
        lambda: list((homes / "alice").iterdir()),
        lambda: list(homes.iterdir()),
        lambda: (homes / "alice").rename(homes / "volé"),
        lambda: list((folder / "hub").iterdir()),
    ]
    assert [act_as(hub, "bruno", action) for action in steal] == ["PermissionError"] * len(steal)


def test_what_a_student_writes_elsewhere_stays_theirs(hub, folder):
    (folder / "tmp").mkdir(0o1777)
    (folder / "tmp").chmod(0o1777)
    assert act_as(hub, "alice", lambda: (folder / "tmp" / "note").write_text("à moi")) == "5"
    assert act_as(hub, "bruno", lambda: (folder / "tmp" / "note").read_text()) == "PermissionError"


def test_the_memory_limit_bites_and_the_lesson_fits_below(folder, monkeypatch):
    """L'essai se fait dans une copie de ce processus-ci, dont ce qu'il a déjà pris compte aussi."""
    taken = int(re.search(r"VmData:\s+(\d+)", Path("/proc/self/status").read_text())[1]) // 1024
    hub = load(folder, monkeypatch, HUB_MEMOIRE=taken + 1000)
    assert act_as(hub, "alice", lambda: len(bytearray(4000 * MEGABYTE))) == "MemoryError"
    assert act_as(hub, "alice", lambda: len(bytearray(500 * MEGABYTE))) == str(500 * MEGABYTE)


def test_tasks_are_bounded_and_the_kernel_kills_a_student_before_the_hub(folder, monkeypatch):
    hub = load(folder, monkeypatch, HUB_TACHES=3)

    def fork_many():
        for _ in range(10):
            if os.fork() == 0:
                os.execv("/bin/sleep", ["sleep", "2"])

    assert act_as(hub, "alice", fork_many) == "BlockingIOError"
    assert act_as(hub, "bruno", lambda: Path("/proc/self/oom_score_adj").read_text().strip()) == "500"
    assert act_as(hub, "bruno", lambda: os.nice(0) >= 5) == "True"


def test_one_thread_each(hub):
    spawner = hub[0]["ClassSpawner"](user=SimpleNamespace(name="alice"))
    assert spawner.user_env({})["OMP_NUM_THREADS"] == "1"


def test_a_students_server_reads_what_the_hub_adds_to_nbgitpuller(hub):
    from jupyter_core.paths import jupyter_config_path

    spawner = hub[0]["ClassSpawner"](user=SimpleNamespace(name="alice"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_CONFIG_PATH", spawner.user_env({})["JUPYTER_CONFIG_PATH"])
        assert (Path(jupyter_config_path()[0]) / "jupyter_server_config.py").is_file()


def test_a_folder_that_root_made_is_refused(hub, folder):
    (folder / "eleves" / "alice").mkdir()
    with pytest.raises(PermissionError, match="n'est pas à un élève"):
        act_as(hub, "alice", os.getuid)


def test_what_is_missing_is_said(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: 1000)
        with pytest.raises(SystemExit, match="sudo"):
            load(folder, patch)
    (folder / "classe.txt").unlink()
    with pytest.raises(SystemExit, match="liste de la classe"):
        load(folder, monkeypatch)
    (folder / "classe.txt").write_text("alice", "utf-8")
    folder.chmod(0o700)
    with pytest.raises(SystemExit, match="traverser"):
        load(folder, monkeypatch)
