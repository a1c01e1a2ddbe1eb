"""Ce que le serveur d'un élève ajoute : le lien des leçons n'échoue pas et n'écrase rien, les noyaux sont comptés.

docs/classe.md, « Donner les leçons, et les mettre à jour », dit ce que l'élève y gagne. nbgitpuller pose le cours,
enregistre ce qui a changé et réunit les versions ; mais ses commandes s'arrêtent, ou écrasent, quand un fichier a pris
la place d'un dossier, quand une leçon a changé de nom, ou quand l'histoire du cours a été réécrite. On range donc.
"""

import ctypes
import os
import subprocess
import threading
import time
from datetime import datetime
from pathlib import Path

import nbgitpuller.handlers
from jinja2 import ChoiceLoader, FileSystemLoader, PrefixLoader
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from nbgitpuller.pull import GitPuller
from tornado.web import HTTPError

# Dans le dépôt de l'élève, et là seulement. Un renommage est une leçon retirée et une autre ajoutée : le travail reste
# à sa place (« ort », l'autre stratégie de Git, n'obéit à `merge.renames` que depuis peu). Un droit d'exécution n'est
# pas un travail. Les deux derniers, réglés autrement par l'élève, arrêteraient nbgitpuller.
SETTINGS = {"merge.renames": "false", "pull.twohead": "recursive", "core.fileMode": "false"}
SETTINGS |= {"merge.ff": "true", "commit.gpgSign": "false"}
WHOLE = "* -merge\n"  # deux versions d'un fichier ne font jamais une troisième : celle de l'élève reste
STALE = 600  # secondes ; nbgitpuller fait de même, mais du seul index.lock
NOTEBOOKS = int(os.environ.get("HUB_CARNETS", "0"))  # noyaux ouverts à la fois ; 0 : autant que l'on veut
fetch, begin, start = GitPuller.update_remotes, GitPuller.__init__, AsyncMappingKernelManager.start_kernel


def git(puller: GitPuller, *arguments: str, names: list[str] | None = None, check: bool = True) -> list[str]:
    """Ce qu'écrit une commande de Git chez l'élève, coupé aux octets nuls ; elle lit `names`, coupés de même."""
    command = ["git", "--literal-pathspecs", "-c", "user.name=cours", "-c", "user.email=cours@localhost", *arguments]
    given = {"input": "\0".join(names or []), "encoding": "utf-8", "errors": "surrogateescape"}
    done = subprocess.run(command, cwd=puller.repo_dir, check=check, stdout=subprocess.PIPE, **given)
    return [line for line in done.stdout.rstrip("\n").split("\0") if line]


def settle(puller: GitPuller, upstream: str) -> None:
    """Règle le dépôt de l'élève ; le crée si l'élève a fait le dossier lui-même, ôte les verrous d'un Git tué net."""
    repository = Path(puller.repo_dir, ".git")
    if not repository.exists():
        git(puller, "init", "--quiet")
        git(puller, "remote", "add", "origin", puller.git_url)
    for lock in repository.rglob("*.lock"):
        if time.time() - lock.stat().st_mtime > STALE:
            lock.unlink()
    for name, value in {**SETTINGS, "remote.origin.fetch": f"+refs/heads/{puller.branch_name}:{upstream}"}.items():
        git(puller, "config", "--replace-all", name, value)
    (repository / "info").mkdir(exist_ok=True)
    (repository / "info" / "attributes").write_text(WHOLE)


def update_remotes(puller: GitPuller):
    """Le `git fetch` de nbgitpuller, précédé et suivi de quoi rendre sûr tout ce qu'il fera après."""
    upstream = f"refs/remotes/origin/{puller.branch_name}"
    settle(puller, upstream)
    yield from fetch(puller)
    yield from puller.ensure_lock()
    follow_rewritten_history(puller, upstream)
    if not git(puller, "rev-parse", "--quiet", "--verify", "HEAD", check=False):  # rien n'était posé encore
        git(puller, "update-ref", "HEAD", upstream)
    git(puller, "reset", "--quiet", "--mixed")  # ni fusion commencée, ni suppression déjà indexée
    yield from set_aside(puller, upstream)
    bring_back(puller, upstream)


def follow_rewritten_history(puller: GitPuller, upstream: str) -> None:
    """Fait d'une histoire réécrite (`git push --force`) un commit de plus après celle que l'élève a reçue."""
    for old in git(puller, "rev-parse", "--quiet", "--verify", f"{upstream}@{{1}}", check=False):
        if git(puller, "rev-list", "-1", old, f"^{upstream}"):
            [linear] = git(puller, "commit-tree", f"{upstream}^{{tree}}", "-p", old, "-m", "Histoire réécrite")
            git(puller, "update-ref", upstream, linear)


def set_aside(puller: GitPuller, upstream: str):
    """Met la date au nom de ce qui est à l'élève, et que le cours ne peut que remplacer."""
    [base] = git(puller, "merge-base", "HEAD", upstream)
    changed = ("diff", "--name-only", "--no-renames", "-z", base)
    new = {*git(puller, "ls-files", "--others", "-z"), *git(puller, *changed, "--diff-filter=A")}
    mine = new.union(git(puller, *changed))
    tree = [line.partition("\t") for line in git(puller, "ls-tree", "-r", "-z", upstream)]
    links = {path: mode.startswith("120000") for mode, _, path in tree}  # chaque fichier du cours : est-ce un lien ?
    folders = {str(parent) for path in links for parent in Path(path).parents}
    for place in sorted({str(one) for path in mine for one in (Path(path), *Path(path).parents)} - {"."}):
        found = Path(puller.repo_dir, place)
        is_link, is_folder = found.is_symlink(), found.is_dir() and not found.is_symlink()
        file_blocks = place in links and (is_folder or place in new or is_link != links[place])
        if os.path.lexists(found) and (file_blocks or (place in folders and not is_folder)):
            dated = found.with_name(f"{found.stem}__{datetime.now():%Y%m%d%H%M%S}{found.suffix}")
            found.rename(dated)
            said = f"{place} : le vôtre s'appelle maintenant {dated.name}.\n"
            yield said.encode("utf-8", "replace").decode()  # un nom d'avant UTF-8 ne se dit pas en entier


def bring_back(puller: GitPuller, upstream: str) -> None:
    """Remet neuf ce que l'élève a supprimé ; ce que le cours n'a plus sort de l'index."""
    course = set(git(puller, "ls-tree", "-r", "-z", "--name-only", upstream))
    gone = set(git(puller, "ls-files", "--deleted", "-z"))
    if gone & course:
        listed = ("--pathspec-from-file=-", "--pathspec-file-nul")
        git(puller, "checkout", "--quiet", upstream, *listed, names=sorted(gone & course))
    git(puller, "update-index", "-z", "--force-remove", "--stdin", names=sorted(gone - course))


def refuse_hidden_folders(puller: GitPuller, git_url: str, repo_dir: str, **options) -> None:
    """Un dossier caché règle les programmes de l'élève : un lien n'y pose rien, ni par un lien symbolique, ni en
    faisant du dossier personnel, ou de ce qui le contient, le dossier du cours."""
    place, home = Path(repo_dir).resolve(), Path.home().resolve()
    hidden = [part for named in (Path(os.path.normpath(repo_dir)), place) for part in named.parts if part[:1] == "."]
    if hidden:
        raise ValueError(f"Ce lien écrirait dans le dossier caché « {hidden[0]} » : il est refusé.")
    if home.is_relative_to(place):
        raise ValueError("Ce lien écrirait à même votre dossier personnel : il est refusé.")
    begin(puller, git_url, repo_dir, **options)


async def start_kernel(manager: AsyncMappingKernelManager, *arguments, **options) -> str:
    """Ouvre un noyau, s'il en reste : sans cela, le serveur lui-même n'aurait plus de quoi répondre."""
    if NOTEBOOKS and len(manager) >= NOTEBOOKS:
        raise HTTPError(
            409,
            f"{len(manager)} carnets tournent déjà, et c'est le plus que l'on puisse : arrêtez-en un, "
            f"dans le panneau « Terminaux et noyaux en cours d'exécution », à gauche.",
        )
    return await start(manager, *arguments, **options)


def speak_french() -> None:
    """La page du lien des leçons, en français ; celle de nbgitpuller là où le dossier du hub n'est pas."""
    environment = nbgitpuller.handlers.jinja_env
    own = FileSystemLoader(Path(__file__).resolve().parent / "templates" / "server")
    theirs = environment.loader
    environment.loader = ChoiceLoader([own, PrefixLoader({"nbgitpuller": theirs}), theirs])


def give_memory_back() -> None:
    """Rend au système, toutes les demi-minutes, la mémoire que le serveur a libérée : malloc la garderait."""
    while True:
        time.sleep(30)
        ctypes.CDLL(None).malloc_trim(0)


if NOTEBOOKS:
    threading.Thread(target=give_memory_back, daemon=True).start()
    speak_french()
GitPuller.update_remotes, GitPuller.__init__ = update_remotes, refuse_hidden_folders
AsyncMappingKernelManager.start_kernel = start_kernel
