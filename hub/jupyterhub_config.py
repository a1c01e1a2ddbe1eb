"""Le hub d'une classe, sur une machine. docs/classe.md dit comment s'en servir."""

import os
import resource
import shutil
import sys
from pathlib import Path

from jupyterhub.spawner import LocalProcessSpawner

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import cours

ask = os.environ.get
DATA = Path(ask("HUB_DOSSIER", "/srv/toylib")).resolve()  # la liste de la classe, les dossiers des élèves, l'état
ADDRESS = ask("HUB_ADRESSE", "http://127.0.0.1:8000")
CERTIFICATE, KEY = ask("HUB_CERTIFICAT", ""), ask("HUB_CLE", "")  # pour une adresse en https
TEACHER = ask("HUB_ENSEIGNANT", "")  # l'administrateur : il ouvre et arrête les serveurs des élèves
MEMORY = int(ask("HUB_MEMOIRE", "1500")) << 20  # Mo qu'un processus peut demander ; au-delà, MemoryError
TASKS = int(ask("HUB_TACHES", "150"))  # fils et processus d'un élève ; un carnet en prend vingt
SERVERS, IDLE = int(ask("HUB_SERVEURS", "40")), int(ask("HUB_REPOS", "60"))  # allumés à la fois ; minutes de repos
FIRST_UID = int(ask("HUB_UID", "40000"))  # les numéros des élèves viennent après ; nul autre compte n'en a de tels
CLASS, HOMES, STATE = DATA / "classe.txt", DATA / "eleves", DATA / "hub"
# Un seul fil par calcul : trente noyaux qui en prendraient un par cœur se gêneraient. La mémoire libérée est rendue.
BOUNDS = {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", "MALLOC_TRIM_THRESHOLD_": "131072"}
proxy = shutil.which("configurable-http-proxy", path=f"{ask('PATH')}:{sys.prefix}/node_modules/.bin")
places = [Path(os.path.realpath(sys.executable)), Path(sys.prefix) / "bin", cours.ROOT / "toylib", HOMES]
if os.geteuid() != 0:
    sys.exit("Ce hub donne à chaque élève un numéro d'utilisateur, et seul root le peut : sudo.")
if not CLASS.is_file():
    sys.exit(f"Il manque la liste de la classe, un nom par ligne : {CLASS}.")
if not all(one.stat().st_mode & 0o001 for place in places for one in place.parents):
    sys.exit(f"Les élèves doivent pouvoir traverser {', '.join(map(str, places))} : voyez docs/classe.md.")
if not proxy:
    sys.exit(f"Il manque le proxy : npm install --prefix {sys.prefix} configurable-http-proxy")
os.umask(0o022)
HOMES.mkdir(0o711, exist_ok=True)
STATE.mkdir(0o700, exist_ok=True)
cours.write_settings(Path(sys.prefix))  # JupyterLab en français, comme pour qui travaille seul


class ClassSpawner(LocalProcessSpawner):
    """Un serveur par élève, sans compte Unix : leurs numéros d'utilisateur (uid) les séparent."""

    def make_preexec_fn(self, name: str):
        """Ce que fait le serveur avant de commencer : se borner, puis renoncer à root pour de bon."""
        home = HOMES / name
        if not home.exists():
            new = 1 + max([FIRST_UID, *(one.stat().st_uid for one in HOMES.iterdir())])
            home.mkdir(0o700)
            os.chown(home, new, new)
        uid = home.stat().st_uid  # le dossier dit le numéro : perdre la base du hub ne mêle pas les élèves
        if uid <= FIRST_UID:
            raise PermissionError(f"{home} n'est pas à un élève : renommez-le.")

        def become_student() -> None:
            for bound, value in ((resource.RLIMIT_DATA, MEMORY), (resource.RLIMIT_NPROC, TASKS)):
                resource.setrlimit(bound, (value, value))
            Path("/proc/self/oom_score_adj").write_text("500")  # s'il ne reste rien, un carnet meurt, et non le hub
            os.nice(5)  # le hub et son proxy passent d'abord
            os.umask(0o077)  # ce que l'élève écrit ailleurs que chez lui reste à lui
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os.chdir(home)

        return become_student

    def user_env(self, env: dict) -> dict:
        own = {"USER": self.user.name, "HOME": str(HOMES / self.user.name), "SHELL": "/bin/bash"}
        # Là se lit jupyter_server_config.py : le lien des leçons n'échoue pas et n'écrase rien.
        return {**env, **BOUNDS, **own, "JUPYTER_CONFIG_PATH": str(cours.ROOT / "hub")}


c = get_config()  # noqa: F821
c.JupyterHub.bind_url, c.JupyterHub.ssl_cert, c.JupyterHub.ssl_key = ADDRESS, CERTIFICATE, KEY
c.JupyterHub.db_url, c.JupyterHub.cookie_secret_file = f"sqlite:///{STATE}/hub.sqlite", f"{STATE}/cookie_secret"
c.ConfigurableHTTPProxy.command, c.ConfigurableHTTPProxy.pid_file = [proxy], f"{STATE}/proxy.pid"

# Qui est sur la liste choisit son mot de passe à sa première connexion ; il n'en reste que l'empreinte (bcrypt).
c.JupyterHub.authenticator_class = "firstuseauthenticator.FirstUseAuthenticator"
c.FirstUseAuthenticator.dbm_path = f"{STATE}/passwords.dbm"
c.Authenticator.allowed_users = set(CLASS.read_text("utf-8").lower().split())
c.Authenticator.admin_users = {TEACHER.lower()} - {""}
c.JupyterHub.spawner_class, c.JupyterHub.active_server_limit = ClassSpawner, SERVERS
c.Spawner.cmd, c.Spawner.default_url = [f"{sys.prefix}/bin/jupyterhub-singleuser"], "/lab"
# Chiffré, ce qu'un noyau dit à son serveur ne s'écoute pas d'un autre compte ; un noyau sans onglet s'arrête.
c.Spawner.args = ["--KernelManager.transport_encryption=auto", "--MappingKernelManager.cull_idle_timeout=1800"]
c.Spawner.start_timeout = c.Spawner.http_timeout = 180  # toute une classe démarre à la fois
cull = {"name": "idle", "command": [sys.executable, "-m", "jupyterhub_idle_culler", f"--timeout={60 * IDLE}"]}
scopes = ["list:users", "read:users:activity", "read:servers", "delete:servers"]
c.JupyterHub.services, c.JupyterHub.load_roles = [cull], [{"name": "idle", "services": ["idle"], "scopes": scopes}]
