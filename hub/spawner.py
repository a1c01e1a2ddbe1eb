"""Le serveur d'un élève : une unité systemd, bornée d'un seul tenant, sous un compte à lui."""

import os
import sys

from pupils import Roster, account_of
from systemdspawner import SystemdSpawner
from traitlets import Instance, Integer

CREDENTIALS = ("keyfile", "certfile", "cafile")
# Hors de son dossier, d'un /tmp et d'un /dev/shm à lui, l'élève n'écrit nulle part ; il ne voit que ses processus.
WALLS = {
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "ProtectProc": "invisible",
    "TemporaryFileSystem": "/dev/shm:mode=1777",
    "RestrictSUIDSGID": "yes",
    "RestrictNamespaces": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectKernelModules": "yes",
    "ProtectControlGroups": "yes",
    "RemoveIPC": "yes",
    "UMask": "0077",
    "LimitCORE": "0",
    "MemorySwapMax": "0",
    "TimeoutStopSec": "10",
    "OOMScoreAdjust": "500",  # s'il ne reste rien, un carnet meurt, et non le hub
    "Nice": "5",
}


class ClassSpawner(SystemdSpawner):
    """SystemdSpawner, pour des comptes qui ne portent pas le nom de l'élève, et avec le TLS interne du hub."""

    roster = Instance(Roster).tag(config=True)
    tasks = Integer(200, help="fils et processus de tout l'élève").tag(config=True)
    certificates = ()

    async def start(self):
        pupil = self.roster.find(self.user.name)
        if pupil is None:
            raise PermissionError(f"« {self.user.name} » n'est plus sur la liste de la classe.")
        home = self.roster.lodge(pupil)
        self.username_template, self.user_workingdir = account_of(pupil), str(home)
        self.unit_extra_properties = {
            **WALLS,
            "ReadWritePaths": str(home),
            # Le second est le dossier que systemd donne à l'unité, dans la mémoire de la machine : il la remplirait.
            "InaccessiblePaths": f"-/run/dbus -/run/{self.unit_name}",
            "TasksMax": str(self.tasks),
            "LimitNPROC": str(self.tasks),  # là où le noyau ne délègue pas ses bornes, celle-ci vaut encore
            "LimitDATA": str(self.mem_limit),  # un seul calcul qui demande tout : MemoryError plutôt qu'un noyau tué
            "LoadCredential": [f"{name}:{path}" for name, path in zip(CREDENTIALS, self.certificates)],
        }
        return await super().start()

    def _expand_user_vars(self, string):
        """Celui de SystemdSpawner refuse les listes que `systemd-run` demande pourtant."""
        return string if isinstance(string, list) else super()._expand_user_vars(string)

    def own_address(self) -> str:
        """L'adresse locale de cet élève : un voisin peut y écouter, mais son certificat n'est pas pour elle."""
        uid = self.roster.find(self.user.name).uid
        return f"127.{1 + (uid >> 16) % 250}.{(uid >> 8) & 255}.{uid & 255}"

    async def create_certs(self):
        self.ip = self.own_address()
        self.ssl_alt_names, self.ssl_alt_names_include_local = [f"IP:{self.ip}"], False
        return await super().create_certs()

    async def move_certs(self, paths):
        """Les certificats passent par systemd, qui ne les montre qu'à l'élève : root n'écrit rien chez lui."""
        self.certificates = [os.path.abspath(paths[name]) for name in CREDENTIALS]
        return {name: f"/run/credentials/{self.unit_name}.service/{name}" for name in CREDENTIALS}

    def get_env(self):
        """Au terminal, `python3` est celui des leçons."""
        found = super().get_env()
        own = {"USER": self.user.name, "HOME": str(self.roster.homes / self.user.name)}
        return {**found, **own, "PATH": f"{sys.prefix}/bin:{found.get('PATH', os.defpath)}"}
