"""La classe : qui y est, sous quel numéro, avec quel mot de passe. Root seul lit ce fichier, le hub et classe.py."""

import hashlib
import hmac
import os
import pwd
import re
import secrets
import sqlite3
import subprocess
import unicodedata
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

FIRST_UID = 40000  # les numéros des élèves viennent après
LONGEST, SHORTEST, TOO_LONG = 32, 8, 256  # d'un nom ; d'un mot de passe
NAME = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")
LIGATURES = str.maketrans({"œ": "oe", "æ": "ae", "ß": "ss", "ø": "o", "ł": "l", "’": ".", "'": "."})
SCHEMA = """create table if not exists pupils (name text primary key, uid integer not null unique,
digest blob not null, once integer not null, listed integer not null)"""


class Pupil(NamedTuple):
    """Un élève ; `once` : il n'a encore que son premier mot de passe."""

    name: str
    uid: int
    once: bool


class Refused(ValueError):
    """Un nom, une liste ou un mot de passe que l'on ne prend pas, et pourquoi."""


def name_of(text: str) -> str:
    """Le nom de connexion que donne un nom écrit à la main : « Zoé Le Goff » fait `zoe.le.goff`."""
    parts = unicodedata.normalize("NFKD", " ".join(text.split()).lower().translate(LIGATURES))
    plain = re.sub(r"\.+", ".", "".join(one for one in parts if not unicodedata.combining(one)).replace(" ", "."))
    if ".." in text or not NAME.fullmatch(plain):
        raise Refused(
            f"« {text} » ne fait pas un nom : il faut des lettres et des chiffres, séparés par une espace, "
            "une apostrophe, un point ou un tiret, et rien d'autre."
        )
    if len(plain) > LONGEST:
        raise Refused(f"« {text[:LONGEST]}… » a {len(plain)} caractères : {LONGEST} au plus.")
    return plain


def read_list(path: Path) -> list[str]:
    """Les noms d'un fichier, un par ligne, d'où qu'il vienne ; toutes les lignes refusées sont dites ensemble."""
    names, faults = {}, []
    for number, line in enumerate(_decode(path.read_bytes()).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            name = name_of(line.strip())
            if name in names:
                raise Refused(f"« {line.strip()} » donne le même nom que la ligne {names[name]} : distinguez-les.")
            names[name] = number
        except Refused as refused:
            faults.append(f"ligne {number} : {refused}")
    if faults:
        raise Refused(f"{path} : personne n'est ajouté.\n" + "\n".join(faults))
    if not names:
        raise Refused(f"{path} ne contient aucun nom : un par ligne.")
    return list(names)


def _decode(data: bytes) -> str:
    """Le texte d'un fichier de tableur ou d'éditeur : UTF-8, UTF-16 annoncé, ou l'ancien codage de Windows."""
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"", "utf-8-sig"), (b"", "cp1252")):
        try:
            if data.startswith(mark):
                text = data.decode(encoding)
                break
        except UnicodeDecodeError:
            continue
    else:
        text = data.decode("latin-1")
    if "\0" in text:
        raise Refused("Ce fichier n'est pas du texte : enregistrez-le en texte, codage UTF-8, un nom par ligne.")
    return text


def digest(password: str, salt: bytes = b"") -> bytes:
    """Le sel et l'empreinte d'un mot de passe ; scrypt, sans limite à 72 octets et sans tenir l'interpréteur."""
    salt = salt or secrets.token_bytes(16)
    text = unicodedata.normalize("NFKC", password).encode()  # un Mac compose les accents autrement
    return salt + hashlib.scrypt(text, salt=salt, n=2**14, r=8, p=1)


def first_password() -> str:
    """Un mot de passe qui se dicte, tiré de 75⁶ : `bako-milu-tefa`."""
    syllables = ["".join(map(secrets.choice, ("bdfgjklmnprstvz", "aeiou"))) for _ in range(6)]
    return "-".join(map("".join, zip(syllables[::2], syllables[1::2])))


def judge(new: str, again: str, old: str) -> None:
    """Lève `Refused` si un nouveau mot de passe ne convient pas."""
    if new != again:
        raise Refused("Les deux nouveaux mots de passe diffèrent.")
    if not SHORTEST <= len(new) <= TOO_LONG:
        raise Refused(f"Le nouveau mot de passe a {len(new)} caractères : il en faut de {SHORTEST} à {TOO_LONG}.")
    if new == old:
        raise Refused("Le nouveau mot de passe est l'ancien : choisissez-en un autre.")


class Roster:
    """La liste de la classe, dans `folder`/hub/classe.sqlite ; les dossiers des élèves sont dans `folder`/eleves. Leurs
    numéros viennent après `first`, ou `FIRST_UID`."""

    def __init__(self, folder: Path, first: int | None = None) -> None:
        self.first = FIRST_UID if first is None else first
        self.homes, self.path = folder / "eleves", folder / "hub" / "classe.sqlite"
        folder.mkdir(0o755, parents=True, exist_ok=True)
        self.homes.mkdir(0o711, exist_ok=True)
        self.path.parent.mkdir(0o700, exist_ok=True)
        with self._open() as db:
            db.execute(SCHEMA)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=30, isolation_level="IMMEDIATE")) as db, db:
            db.execute("begin immediate")
            yield db

    def pupils(self) -> list[Pupil]:
        """Ceux qui entrent, par ordre alphabétique."""
        with self._open() as db:
            rows = db.execute("select name, uid, once from pupils where listed order by name").fetchall()
        return [Pupil(name, uid, bool(once)) for name, uid, once in rows]

    def find(self, name: str) -> Pupil | None:
        """L'élève de ce nom de connexion, s'il est sur la liste."""
        return next((one for one in self.pupils() if one.name == name), None)

    def add(self, name: str) -> str:
        """Met `name` sur la liste et rend son premier mot de passe ; qui y a déjà été retrouve son numéro, sauf si un
        dossier d'un autre nom le porte : on l'a renommé pour un homonyme."""
        if self.find(name):
            raise Refused(f"« {name} » est déjà sur la liste.")
        password = first_password()
        with self._open() as db:
            known = db.execute("select uid from pupils where name=?", [name]).fetchone()
            kept = known and known[0] not in (one.stat().st_uid for one in self.homes.iterdir() if one.name != name)
            row = (name, known[0] if kept else self._new_uid(db, name), digest(password))
            db.execute("insert or replace into pupils values (?, ?, ?, 1, 1)", row)
        return password

    def _new_uid(self, db: sqlite3.Connection, name: str) -> int:
        """Un numéro jamais donné, sauf si le dossier de ce nom en porte un : la liste a pu être perdue, lui non."""
        given = {uid for (uid,) in db.execute("select uid from pupils")}
        owners = {one.name: one.stat().st_uid for one in self.homes.iterdir()}
        if owners.get(name, 0) > self.first and owners[name] not in given:
            return owners[name]
        return 1 + max([self.first, *given, *owners.values()])

    def remove(self, name: str) -> None:
        """Ôte `name` de la liste ; son numéro lui reste, et ne sera à personne d'autre."""
        self._change(name, "listed = 0, digest=?", digest(secrets.token_hex()))

    def renew(self, name: str) -> str:
        """Un nouveau premier mot de passe pour `name`."""
        password = first_password()
        self._change(name, "once = 1, digest=?", digest(password))
        return password

    def choose(self, name: str, password: str) -> None:
        """L'élève a choisi son mot de passe."""
        self._change(name, "once = 0, digest=?", digest(password))

    def _change(self, name: str, what: str, value: bytes) -> None:
        with self._open() as db:
            if not db.execute(f"update pupils set {what} where name=? and listed", [value, name]).rowcount:
                raise Refused(f"« {name} » n'est pas sur la liste : « sudo classe liste » la montre.")

    def check(self, name: str, password: str) -> Pupil | None:
        """L'élève, si c'est bien son mot de passe ; un nom inconnu prend le même temps."""
        with self._open() as db:
            row = db.execute("select digest from pupils where name=? and listed", [name]).fetchone()
        kept = row[0] if row else bytes(80)
        same = hmac.compare_digest(digest(password[: TOO_LONG + 1], kept[:16]), kept)
        return self.find(name) if same and row else None

    def lodge(self, pupil: Pupil) -> Path:
        """Le dossier de l'élève et son compte Unix, sans mot de passe ni entrée ; les crée s'il en manque un."""
        home = self.homes / pupil.name
        if not home.is_dir():
            home.mkdir(0o700)
            os.chown(home, pupil.uid, pupil.uid)
        if home.stat().st_uid != pupil.uid:
            raise PermissionError(f"{home} est au numéro {home.stat().st_uid}, et non {pupil.uid} : renommez-le.")
        try:
            pwd.getpwuid(pupil.uid)
        except KeyError:
            options = ["--no-create-home", "--home-dir", home, "--shell", "/usr/sbin/nologin", "--user-group"]
            subprocess.run(["useradd", "--uid", str(pupil.uid), *options, account_of(pupil)], check=True)
        return home


def account_of(pupil: Pupil) -> str:
    """Le compte Unix d'un élève : ses processus le portent, et personne ne s'y connecte."""
    return f"eleve{pupil.uid}"
