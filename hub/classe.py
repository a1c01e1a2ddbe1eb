"""La classe, en ligne de commande : qui entre dans le hub, et par quel mot de passe.

sudo classe ajouter NOM [NOM …]         ajoute des élèves, et donne à chacun son premier mot de passe
sudo classe ajouter --liste FICHIER     de même, pour un fichier : un nom par ligne
sudo classe retirer NOM [NOM …]         retire des élèves ; leurs dossiers restent
sudo classe mot-de-passe NOM [NOM …]    donne un nouveau premier mot de passe à qui a perdu le sien
sudo classe liste                       montre la liste
"""

import contextlib
import os
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pupils import Refused, Roster, name_of, read_list

SETTINGS = Path("/etc/toylib/hub.env")
GIVE = "Donnez à chacun le sien : il ne sert qu'une fois, à choisir le vrai, à la première connexion."


def settings() -> dict[str, str]:
    """Les réglages du hub, que systemd lit dans le même fichier ; l'environnement l'emporte."""
    lines = SETTINGS.read_text("utf-8").splitlines() if SETTINGS.is_file() else []
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.lstrip().startswith("#"))
    return {**{name.strip(): value.strip().strip("\"'") for name, value in pairs}, **os.environ}


def open_roster(known: dict[str, str]) -> Roster:
    """La liste de la classe, d'après les réglages du hub."""
    first = known.get("HUB_UID", "")
    if first and not first.isdecimal():
        raise Refused(f"HUB_UID doit être un nombre entier ; reçu : {first}.")
    return Roster(Path(known.get("HUB_DOSSIER", "/srv/toylib")).resolve(), int(first) if first else None)


def add(roster: Roster, names: list[str], files: list[str]) -> str:
    """Ajoute des élèves ; rien n'est ajouté si un seul nom est refusé."""
    wanted = [name_of(name) for name in names] + [name for file in files for name in read_list(Path(file))]
    twice = sorted({name for name in wanted if wanted.count(name) > 1})
    present = sorted({one.name for one in roster.pupils()} & set(wanted))
    if twice or (present and not files):
        raise Refused(f"Personne n'est ajouté : déjà sur la liste, ou donné deux fois : {', '.join(twice + present)}.")
    lines = []
    for name in (one for one in wanted if one not in present):
        password = roster.add(name)
        before = " (son dossier d'avant lui est rendu)" if (roster.homes / name).is_dir() else ""
        roster.lodge(roster.find(name))
        lines.append(f"{name:<32}  {password}{before}")
    kept = [f"Déjà sur la liste, inchangés : {', '.join(present)}."] if present else []
    return "\n".join([*kept, *([GIVE, *lines] if lines else ["Personne à ajouter."])])


def remove(roster: Roster, names: list[str]) -> str:
    """Retire des élèves : connexion, témoins, jetons, serveur ; leur dossier reste."""
    lines = []
    for name in _known(roster, names):
        roster.remove(name)
        lines.append(f"{name} n'entre plus. {_forget(roster, name)} Son dossier reste : {roster.homes / name}.")
    return "\n".join(lines)


def renew(roster: Roster, names: list[str]) -> str:
    """Donne de nouveaux premiers mots de passe ; ce que l'ancien avait ouvert se ferme."""
    known = _known(roster, names)
    return "\n".join([GIVE, *(f"{name:<32}  {roster.renew(name)}  {_forget(roster, name)}" for name in known)])


def show(roster: Roster) -> str:
    """La liste : qui entre, sous quel numéro, et qui ne s'est pas encore connecté."""
    pupils = roster.pupils()
    if not pupils:
        return "La liste est vide : personne n'entre. « sudo classe ajouter NOM » ajoute quelqu'un."
    lines = [f"{one.name:<32}  {one.uid}  {'premier mot de passe' if one.once else ''}".rstrip() for one in pupils]
    return "\n".join([f"Élèves : {len(pupils)}", *lines])


def _known(roster: Roster, names: list[str]) -> list[str]:
    """Les noms de connexion ; lève `Refused` avant tout changement si l'un n'est pas sur la liste."""
    asked = [name_of(name) for name in names]
    missing = [name for name in asked if roster.find(name) is None]
    if missing:
        raise Refused(f"Rien n'est changé : {', '.join(missing)} : pas sur la liste, que « sudo classe liste » montre.")
    return asked


def _forget(roster: Roster, name: str) -> str:
    """Le hub oublie les connexions de l'élève et arrête son serveur ; dit ce qui s'est passé."""
    asked = settings()
    state, port = roster.path.parent, asked.get("HUB_PORT", "8081")
    try:
        own = state / "internal-ssl" / "hub-internal" / "hub-internal.crt"
        context = ssl.create_default_context(cafile=state / "internal-ssl" / "hub-ca_trust.crt")
        context.load_cert_chain(own, own.with_suffix(".key"))
        headers = {"Authorization": f"token {(state / 'classe.token').read_text()}"}
        address = f"https://127.0.0.1:{port}/hub/api/users/{name}"
        request = urllib.request.Request(address, method="DELETE", headers=headers)
        urllib.request.urlopen(request, context=context, timeout=60).close()
        return "Ses connexions et son serveur sont fermés."
    except urllib.error.HTTPError as error:
        return "Il n'était pas connecté." if error.code == 404 else f"Le hub a répondu {error.code} : redémarrez-le."
    except OSError:
        with contextlib.suppress(OSError):
            subprocess.run(["systemctl", "stop", f"jupyter-{name}-singleuser.service"], stderr=subprocess.DEVNULL)
        return "Le hub est arrêté : il oubliera ses connexions en démarrant."


def work_of(arguments: list[str]) -> Callable[[Roster], str] | None:
    """Ce que demande la ligne de commande ; rien si elle ne dit rien de connu."""
    command, *rest = arguments or [""]
    if command == "liste" and not rest:
        return show
    if command == "ajouter" and rest[:1] == ["--liste"] and len(rest) == 2:
        return partial(add, names=[], files=rest[1:])
    if not rest or any(one.startswith("-") for one in rest):
        return None
    known = {"ajouter": partial(add, names=rest, files=[])}
    known |= {"retirer": partial(remove, names=rest), "mot-de-passe": partial(renew, names=rest)}
    return known.get(command)


def main(arguments: list[str]) -> int:
    """Fait une commande ; rend 0, 1 avec ce qui n'allait pas, ou 2 avec le mode d'emploi."""
    work = work_of(arguments)
    if work is None:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    if os.geteuid() != 0:
        print("Seul root lit la liste de la classe : sudo classe …", file=sys.stderr)
        return 1
    try:
        print(work(open_roster(settings())))
        return 0
    except FileNotFoundError as error:
        print(f"Il n'y a pas de fichier {error.filename}.", file=sys.stderr)
    except (Refused, OSError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
