"""Le hub d'une classe, sur une machine. docs/classe.md dit comment s'en servir."""

import os
import shutil
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from authenticator import ClassAuthenticator
from pupils import Roster
from spawner import ClassSpawner
from systemdspawner import systemd

import cours


def ask(name: str, default: str = "", kind: type = str):
    """Le réglage `name` ; `default` s'il est absent ou vide."""
    try:
        return kind(os.environ.get(name) or default)
    except ValueError:
        sys.exit(f"{name} doit être un nombre, comme {default} ; reçu : {os.environ[name]}.")


DATA = Path(ask("HUB_DOSSIER", "/srv/toylib")).resolve()  # les dossiers des élèves, la liste et l'état du hub
RUN = Path(ask("RUNTIME_DIRECTORY", DATA / "hub"))  # systemd le vide entre deux hubs : aucun numéro de processus périmé
ADDRESS = ask("HUB_ADRESSE", "http://127.0.0.1:8000")
CERTIFICATE, KEY = ask("HUB_CERTIFICAT", ""), ask("HUB_CLE", "")  # pour une adresse en https
DOMAINS = ask("HUB_SOUS_DOMAINES", "")  # https://hub.ecole.fr : chaque élève à son adresse, alice.hub.ecole.fr
TEACHER = ask("HUB_ENSEIGNANT", "")  # un administrateur dans le navigateur : avec HUB_SOUS_DOMAINES seulement
MEMORY, CORES = ask("HUB_MEMOIRE", "1500", int), ask("HUB_COEURS", "1", float)  # Mo et cœurs de tout un élève
TASKS, NOTEBOOKS = ask("HUB_TACHES", "300", int), ask("HUB_CARNETS", "8", int)  # fils et processus ; noyaux ouverts
SERVERS, IDLE = ask("HUB_SERVEURS", "40", int), ask("HUB_REPOS", "60", int)  # allumés à la fois ; minutes de repos
HUB_PORT, PROXY_PORT = ask("HUB_PORT", "8081", int), ask("HUB_PORT_PROXY", "8001", int)  # pour la machine seule
STATE, CERTIFICATES = DATA / "hub", DATA / "hub" / "internal-ssl"
# Un seul fil par calcul : trente noyaux qui en prendraient un par cœur se gêneraient. La mémoire libérée est rendue.
BOUNDS = {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", "MALLOC_TRIM_THRESHOLD_": "131072"}
programs = f"{sys.prefix}/bin:{sys.prefix}/node_modules/.bin:{ask('PATH')}"
node, proxy = (shutil.which(name, path=programs) for name in ("node", "configurable-http-proxy"))
places = [Path(os.path.realpath(sys.executable)), Path(sys.prefix) / "bin", cours.ROOT / "toylib", DATA / "eleves"]
if os.geteuid() != 0:
    sys.exit("Ce hub donne à chaque élève un compte à lui, et seul root le peut : sudo.")
if not shutil.which("systemd-run") or not Path(ask("HUB_SYSTEMD", "/run/systemd/system")).is_dir():
    sys.exit("Ce hub enferme chaque élève dans une unité de systemd, et systemd ne dirige pas cette machine.")
if TEACHER and not DOMAINS:
    sys.exit("HUB_ENSEIGNANT demande HUB_SOUS_DOMAINES : sinon la page d'un élève agirait au nom de l'administrateur.")
if not all(one.stat().st_mode & 0o001 for place in places for one in place.parents if one.exists()):
    sys.exit(f"Les élèves doivent pouvoir traverser {', '.join(map(str, places))} : voyez docs/classe.md.")
if not (node and proxy):
    sys.exit("Il manque le proxy : relancez hub/installer.py.")
if urlsplit(ADDRESS).hostname in ("0.0.0.0", "::"):  # JupyterHub se cherche alors sous le nom de la machine
    try:
        socket.getaddrinfo(socket.gethostname(), None)
    except OSError:
        name = socket.gethostname()
        sys.exit(f"Cette machine ne connaît pas son propre nom : ajoutez à /etc/hosts la ligne « 127.0.1.1 {name} ».")
os.umask(0o022)
# Le hub y écrit l'environnement de chaque élève, que systemd lit. Dans le dossier de l'unité, qui est à l'élève, un
# lien mis à la place du fichier lui ferait écraser n'importe lequel.
systemd.RUN_ROOT = str(RUN)
roster = Roster(DATA)

c = get_config()  # noqa: F821
c.JupyterHub.bind_url, c.JupyterHub.ssl_cert, c.JupyterHub.ssl_key = ADDRESS, CERTIFICATE, KEY
c.JupyterHub.subdomain_host, c.JupyterHub.hub_port = DOMAINS, HUB_PORT
c.JupyterHub.db_url, c.JupyterHub.cookie_secret_file = f"sqlite:///{STATE}/hub.sqlite", f"{STATE}/cookie_secret"
c.JupyterHub.template_paths = [str(Path(__file__).resolve().parent / "templates")]
c.ConfigurableHTTPProxy.command = [node, "-r", str(Path(__file__).resolve().parent / "proxy.js"), proxy]
c.ConfigurableHTTPProxy.pid_file = f"{RUN}/proxy.pid"
# Qui écouterait au port d'un autre n'a pas le certificat de son adresse : le proxy ne lui parle pas.
c.JupyterHub.internal_ssl, c.JupyterHub.internal_certs_location = True, str(CERTIFICATES)
c.ConfigurableHTTPProxy.api_url = f"https://127.0.0.1:{PROXY_PORT}"
c.JupyterHub.cleanup_servers = False  # le hub redémarre sans que les élèves perdent leur noyau

c.JupyterHub.authenticator_class, c.ClassAuthenticator.roster = ClassAuthenticator, roster
c.Authenticator.any_allow_config = c.Authenticator.delete_invalid_users = True  # la liste dit tout
c.Authenticator.auth_refresh_age, c.Authenticator.auth_refresh_strict = 5, True
c.Authenticator.admin_users = {TEACHER.lower()} if roster.find(TEACHER.lower()) else set()
if TEACHER and not c.Authenticator.admin_users:  # JupyterHub s'arrêterait, et toute la classe avec lui
    print(f"HUB_ENSEIGNANT n'est pas sur la liste : sudo classe ajouter {TEACHER}.", file=sys.stderr)

c.JupyterHub.spawner_class, c.JupyterHub.active_server_limit = ClassSpawner, SERVERS
c.ClassSpawner.roster, c.ClassSpawner.tasks, c.SystemdSpawner.slice = roster, TASKS, "toylib-eleves.slice"
c.Spawner.mem_limit, c.Spawner.cpu_limit, c.SystemdSpawner.isolate_tmp = f"{MEMORY}M", CORES, True
c.SystemdSpawner.default_shell = "/bin/bash"
c.Spawner.cmd, c.Spawner.default_url = [f"{sys.prefix}/bin/jupyterhub-singleuser"], "/lab"
# Là se lit jupyter_server_config.py : le lien des leçons n'échoue pas et n'écrase rien.
c.Spawner.environment = {**BOUNDS, "JUPYTER_CONFIG_PATH": str(cours.ROOT / "hub"), "HUB_CARNETS": str(NOTEBOOKS)}
# Un noyau et son serveur se parlent par des fichiers du /tmp de l'élève, chiffrés : des noyaux nés à la fois se
# prendraient leurs ports l'un à l'autre, et l'un d'eux ne répondrait jamais. Un noyau sans onglet s'arrête.
c.Spawner.environment["JUPYTER_RUNTIME_DIR"] = "/tmp/jupyter"  # un chemin court, que ces fichiers demandent
c.Spawner.args = ["--KernelManager.transport=ipc", "--KernelManager.transport_encryption=auto"]
c.Spawner.args += ["--MappingKernelManager.cull_idle_timeout=1800"]
french = Path(__file__).resolve().parent / "templates" / "server"
c.Spawner.args += [f"--ServerApp.extra_template_paths={french}"]
c.Spawner.start_timeout = c.Spawner.http_timeout = 180  # toute une classe démarre à la fois
cull = [sys.executable, "-m", "jupyterhub_idle_culler", f"--timeout={60 * IDLE}", "--ssl-enabled=true"]
cull += [f"--internal-certs-location={CERTIFICATES}", f"--url=https://127.0.0.1:{HUB_PORT}/hub/api"]
token = STATE / "classe.token"  # celui de classe.py, quand il retire un élève
if not token.exists():
    token.touch(0o600)
    token.write_text(os.urandom(32).hex())
c.JupyterHub.services = [{"name": "idle", "command": cull}, {"name": "classe", "api_token": token.read_text()}]
culling = ["list:users", "read:users:activity", "read:servers", "delete:servers"]
c.JupyterHub.load_roles = [
    {"name": "idle", "services": ["idle"], "scopes": culling},
    {"name": "classe", "services": ["classe"], "scopes": ["delete:users", "read:users"]},
    # Un élève ouvre et arrête son serveur, et rien d'autre : ni jeton ni partage, qu'une page piégée lui prendrait.
    {"name": "user", "scopes": ["read:users!user", "users:activity!user", "servers!user", "access:servers!user"]},
]
