"""Le lien des leçons : quoi que l'élève et l'enseignant aient fait, il n'échoue pas, et le travail reste.

Le vrai nbgitpuller, avec ce que le hub y ajoute (hub/jupyter_server_config.py), essaie chaque paire.
"""

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from itertools import product
from pathlib import Path

import pytest
from repository import commit, git

import cours

pytest.importorskip("nbgitpuller")
pytestmark = [
    pytest.mark.lent,
    pytest.mark.skipif(shutil.which("git") is None, reason="pas de git"),
    pytest.mark.skipif(sys.platform == "win32", reason="un hub est une machine Linux"),
]

ROOT = cours.ROOT
CONFIG = ROOT / "hub" / "jupyter_server_config.py"
CLICK = "import runpy, sys; runpy.run_path(sys.argv.pop(1)); from nbgitpuller.pull import main; main()"
A_LESSON = '{\n "cells": [\n  "un",\n  "deux",\n  "trois"\n ]\n}\n'
MINE, FIXED = A_LESSON.replace("un", "ma réponse"), A_LESSON.replace("deux", "corrigé")
DATE = re.compile(r"__\d{14}")


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def replace(path, action):
    """Ôte ce qui est à `path`, puis y fait `action`."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    action(path)


def rename(path, name):
    (path.parent / name).parent.mkdir(exist_ok=True)
    path.rename(path.parent / name)


def lay(place):
    """Ce que le cours contient au départ, une fois par paire."""
    for name in ("07.ipynb", "dossier/08.ipynb", "dossier/09.ipynb", "lisez-moi.txt"):
        write(place / name, A_LESSON + name)


def edit_and_rename(place, name):
    write(place / "07.ipynb", MINE)
    rename(place / "07.ipynb", name)


# Ce que l'un et l'autre font dans un dossier du cours ; les noms sont ceux de docs/classe.md.
STUDENT = {
    "rien": lambda place: None,
    "leçon modifiée": lambda place: write(place / "07.ipynb", MINE),
    "leçon vidée": lambda place: write(place / "07.ipynb", ""),
    "leçon aux fins de ligne de Windows": lambda place: write(place / "07.ipynb", MINE.replace("\n", "\r\n")),
    "leçon en lecture seule": lambda place: (write(place / "07.ipynb", MINE), (place / "07.ipynb").chmod(0o444)),
    "leçon rendue exécutable": lambda place: (place / "07.ipynb").chmod(0o755),
    "leçon d'un dossier modifiée": lambda place: write(place / "dossier/08.ipynb", MINE),
    "leçon copiée": lambda place: write(place / "copie.ipynb", MINE),
    "leçon supprimée": lambda place: (place / "07.ipynb").unlink(),
    "leçon renommée": lambda place: edit_and_rename(place, "copie.ipynb"),
    "leçon renommée intacte": lambda place: rename(place / "07.ipynb", "copie.ipynb"),
    "leçon renommée en majuscules": lambda place: edit_and_rename(place, "07.IPYNB"),
    "leçon déplacée": lambda place: edit_and_rename(place, "rangé/07.ipynb"),
    "dossier supprimé": lambda place: shutil.rmtree(place / "dossier"),
    "dossier renommé": lambda place: rename(place / "dossier", "rangé"),
    "tout supprimé": lambda place: shutil.rmtree(place),
    "fichier nouveau": lambda place: write(place / "nouveau.ipynb", MINE),
    "fichier nouveau, sans suffixe": lambda place: write(place / "rangé", MINE),
    "fichier nouveau dans un dossier": lambda place: write(place / "dossier/nouveau.ipynb", MINE),
    "dossier nouveau": lambda place: write(place / "nouveau.ipynb/note.txt", MINE),
    "lien nouveau": lambda place: (place / "nouveau.ipynb").symlink_to("lisez-moi.txt"),
    "lien vers rien": lambda place: (place / "nouveau.ipynb").symlink_to("nulle part"),
    "leçon devenue un dossier": lambda place: replace(place / "07.ipynb", lambda path: write(path / "note.txt", MINE)),
    "leçon devenue un lien": lambda place: replace(place / "07.ipynb", lambda path: path.symlink_to("lisez-moi.txt")),
    "dossier devenu un fichier": lambda place: replace(place / "dossier", lambda path: write(path, MINE)),
    "dossier devenu un lien": lambda place: replace(place / "dossier", lambda path: path.symlink_to("../..")),
}


def swap(place):
    rename(place / "07.ipynb", "x")
    rename(place / "dossier/08.ipynb", "../07.ipynb")
    rename(place / "x", "dossier/08.ipynb")


def add_files(place):
    for name in ("nouveau.ipynb", "copie.ipynb", "07.IPYNB", "rangé/07.ipynb", "dossier/nouveau.ipynb"):
        write(place / name, FIXED + name)


TEACHER = {
    "rien": lambda place: None,
    "leçon corrigée": lambda place: [write(place / name, FIXED) for name in ("07.ipynb", "dossier/08.ipynb")],
    "leçon supprimée": lambda place: [(place / name).unlink() for name in ("07.ipynb", "dossier/08.ipynb")],
    "leçon renommée": lambda place: rename(place / "07.ipynb", "nouveau.ipynb"),
    "leçon renommée et corrigée": lambda place: (
        write(place / "07.ipynb", FIXED),
        rename(place / "07.ipynb", "l'été à venir.ipynb"),
    ),
    "leçon renommée en majuscules": lambda place: rename(place / "07.ipynb", "07.IPYNB"),
    "leçon rangée dans un dossier": lambda place: rename(place / "07.ipynb", "rangé/07.ipynb"),
    "leçons échangées": swap,
    "leçon rendue exécutable": lambda place: (place / "07.ipynb").chmod(0o755),
    "leçon devenue un dossier": lambda place: replace(place / "07.ipynb", lambda path: write(path / "07.ipynb", FIXED)),
    "leçon devenue un lien": lambda place: replace(place / "07.ipynb", lambda path: path.symlink_to("dossier")),
    "dossier supprimé": lambda place: shutil.rmtree(place / "dossier"),
    "dossier renommé": lambda place: rename(place / "dossier", "rangé"),
    "dossier devenu un fichier": lambda place: replace(place / "dossier", lambda path: write(path, FIXED)),
    "fichiers nouveaux": add_files,
    "dossier nouveau": lambda place: write(place / "nouveau.ipynb/08.ipynb", FIXED),
    "fichier du nom d'un dossier": lambda place: write(place / "rangé", FIXED),
}


class Course:
    """Le dépôt de l'enseignant, le dossier de l'élève, et le lien qui va de l'un à l'autre."""

    def __init__(self, folder):
        self.upstream, self.student, self.home = folder / "dépôt", folder / "l'élève", folder / "chez lui"
        self.upstream.mkdir()
        self.home.mkdir()
        git(self.upstream, "init", "-q", "-b", "main")
        shutil.copyfile(ROOT / ".gitattributes", self.upstream / ".gitattributes")
        commit(self.upstream)

    def click(self):
        """Suit le lien."""
        command = [sys.executable, "-c", CLICK, CONFIG, f"file://{self.upstream}", "main", self.student]
        environment = {**os.environ, "HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home)}
        done = subprocess.run(list(map(str, command)), env=environment, capture_output=True)
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        assert done.returncode == 0, said[-3000:]
        conflicts = {line for line in said.splitlines() if line.startswith("CONFLICT")}
        # Celui-là, nbgitpuller le résout ; un autre, seul, ferait échouer le lien.
        assert all(line.startswith("CONFLICT (modify/delete)") for line in conflicts), conflicts


@pytest.fixture
def course(tmp_path):
    return Course(tmp_path)


def read(folder):
    """Chaque fichier de `folder` : son chemin, et ses octets ou la cible du lien."""
    found = {}
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != ".git"]
        for path in (Path(where, name) for name in names + folders):
            if path.is_symlink():
                found[str(path.relative_to(folder))] = path.readlink()
            elif path.is_file():
                found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def above(path):
    return {str(one) for one in Path(path).parents}


def faults(base, mine, theirs, now, committed=False):
    """Ce qui manque à la promesse : chaque octet de l'élève est là, et le reste est la version de l'enseignant."""
    kept, folders = {}, set().union(*map(above, theirs))
    for path, content in now.items():
        kept.setdefault(DATE.sub("", path), []).append(content)
    for path in {path for path in mine if mine[path] != base.get(path)}:
        is_same_kind = path not in folders and not above(path) & theirs.keys()
        is_same_kind &= type(theirs.get(path, b"")) is type(mine[path])
        if mine[path] not in kept.get(path, []):
            yield f"perdu : {path}"
        elif path in base and is_same_kind and now.get(path) != mine[path]:
            yield f"n'est plus à sa place : {path}"
    for path in theirs:
        is_touched = path in base and base[path] != mine.get(path) and type(mine.get(path)) is type(theirs[path])
        is_removed_for_good = committed and path in base and path not in mine
        if not is_touched and not is_removed_for_good and now.get(path) != theirs[path]:
            yield f"pas la version de l'enseignant : {path}"
    for path in base.keys() - theirs.keys():
        # Un droit d'exécution que l'élève a enregistré lui-même est une modification.
        is_changed = base[path] != mine.get(path) or (committed and path.startswith("leçon rendue exécutable"))
        if not is_changed and path in now:
            yield f"resté : {path}"


def publish(upstream, student):
    commit(upstream)


def amend(upstream, student):
    git(upstream, "add", "-A")
    git(upstream, "commit", "-q", "--amend", "-m", "refait")


def start_again(upstream, student):
    git(upstream, "checkout", "-q", "--orphan", "autre")
    commit(upstream)
    git(upstream, "branch", "-M", "autre", "main")


def merge_halfway(student):
    """Une fusion que l'élève a commencée à la main, et laissée là."""
    commit(student)
    git(student, "checkout", "-q", "-b", "essai", "HEAD~1")
    write(student / "à moi.txt", "à moi")
    commit(student)
    git(student, "merge", "--no-commit", "--no-ff", "-q", "main")


def leave_lock(student):
    for name in ("index.lock", "HEAD.lock", "refs/remotes/origin/main.lock", "shallow.lock", "config.lock"):
        write(student / ".git" / name, "")
        os.utime(student / ".git" / name, (time.time() - 3600,) * 2)


def set_own_taste(student):
    """Les réglages de Git d'un élève qui en a, et un .gitattributes à lui."""
    taste = "[merge]\nff = only\nrenames = true\n[diff]\nrenames = copies\n[commit]\ngpgsign = true\n"
    write(student.parent / "chez lui" / ".gitconfig", taste + "[core]\nquotepath = true\n")


STATES = {
    "tel quel": lambda student: None,
    "git add": lambda student: git(student, "add", "-A"),
    "git commit": commit,
    "sur une branche à lui": lambda student: (git(student, "checkout", "-q", "-b", "essai"), commit(student)),
    "HEAD détaché": lambda student: (git(student, "checkout", "-q", "--detach"), commit(student)),
    "fusion commencée": merge_halfway,
    "un verrou oublié": leave_lock,
    "ses réglages de Git": set_own_taste,
}
HISTORIES = {"un commit de plus": publish, "git commit --amend": amend, "une histoire refaite": start_again}
USUAL = ["tel quel", "git commit", "fusion commencée"]
TRIED = [
    *product(USUAL, ["un commit de plus"]),
    *(pytest.param(state, "un commit de plus", marks=pytest.mark.long) for state in STATES if state not in USUAL),
    ("git commit", "git commit --amend"),
    ("tel quel", "une histoire refaite"),
]


@pytest.mark.parametrize(("state", "history"), TRIED)
def test_every_pair_keeps_the_work_and_no_click_fails(course, state, history):
    pairs = [Path(f"{mine} × {theirs}") for mine, theirs in product(STUDENT, TEACHER)]
    for pair in pairs:
        lay(course.upstream / pair)
    commit(course.upstream)
    course.click()
    base = read(course.student)
    for pair in pairs:
        STUDENT[pair.name.split(" × ")[0]](course.student / pair)
    mine = read(course.student)
    STATES[state](course.student)
    for pair in pairs:
        TEACHER[pair.name.split(" × ")[1]](course.upstream / pair)
    HISTORIES[history](course.upstream, course.student)
    course.click()
    now = read(course.student)
    is_committed = state in ("git commit", "sur une branche à lui", "HEAD détaché", "fusion commencée")
    assert sorted(faults(base, mine, read(course.upstream), now, is_committed)) == []
    course.click()
    assert read(course.student) == now
    assert not git(course.student, "ls-files", "--unmerged")


NAMES = ["l'été à 100 %.ipynb", "cafe\u0301.ipynb", " 12 #1.ipynb", 'dit "oui".ipynb', "a\\b.ipynb", "un\tdeux.ipynb"]
NAMES += [
    "notes[1].ipynb",
    "notes?.ipynb",
    "*.ipynb",
    ":(top)x.ipynb",
    "-f.ipynb",
    "~.ipynb",
    "$HOME.ipynb",
    "🎓.ipynb",
]
# Un jeu de caractères d'avant UTF-8 ; et un nom aussi long que la date le permet.
NAMES += [os.fsdecode("été.ipynb".encode("latin-1")), "é" * 110 + ".ipynb"]
ACTS = {
    "rien": lambda path: None,
    "modifié": lambda path: write(path, MINE),
    "supprimé": lambda path: path.unlink(missing_ok=True),
    "renommé": lambda path: path.exists() and rename(path, "autre.ipynb"),
}


@pytest.mark.parametrize("is_there", [True, False], ids=["déjà là", "nouveau"])
def test_any_name_will_do(course, is_there):
    """Le nom est au cours avant que l'un et l'autre y touchent, ou chacun l'y met."""
    places = [Path(str(number), mine, theirs) for number, mine, theirs in product(range(len(NAMES)), ACTS, ACTS)]
    for place in places:
        write(course.upstream / place / "notes1.ipynb", A_LESSON)
        if is_there:
            write(course.upstream / place / NAMES[int(place.parts[0])], A_LESSON)
    commit(course.upstream)
    course.click()
    base = read(course.student)
    for place in places:
        number, mine, theirs = place.parts
        write(course.student / place / "notes1.ipynb", MINE)  # « notes[1] », pris pour un motif, le désignerait
        ACTS[mine](course.student / place / NAMES[int(number)])
        if theirs == "modifié":
            write(course.upstream / place / NAMES[int(number)], FIXED)
        else:
            ACTS[theirs](course.upstream / place / NAMES[int(number)])
    mine = read(course.student)
    commit(course.upstream)
    course.click()
    assert sorted(faults(base, mine, read(course.upstream), read(course.student))) == []
    course.click()


@pytest.fixture
def lesson(course):
    """Un cours d'une seule paire, déjà chez l'élève."""
    lay(course.upstream)
    commit(course.upstream)
    course.click()
    return course


def test_a_lesson_removed_then_put_back_comes_beside_the_work(lesson):
    write(lesson.student / "07.ipynb", MINE)
    (lesson.upstream / "07.ipynb").unlink()
    commit(lesson.upstream)
    lesson.click()
    assert (lesson.student / "07.ipynb").read_text() == MINE
    write(lesson.upstream / "07.ipynb", FIXED)
    commit(lesson.upstream)
    lesson.click()
    assert (lesson.student / "07.ipynb").read_text() == FIXED
    assert [path.read_text() for path in lesson.student.glob("07__*.ipynb")] == [MINE]


@pytest.mark.parametrize("attributes", ["", "*.ipynb merge=union\n"])
@pytest.mark.parametrize("name", ["07.ipynb", "lisez-moi.txt"])
def test_two_versions_never_make_a_third(lesson, attributes, name):
    write(lesson.student / ".gitattributes", attributes)
    write(lesson.student / name, A_LESSON.replace("un", "ma réponse"))
    write(lesson.upstream / name, A_LESSON.replace("trois", "corrigé"))
    commit(lesson.upstream)
    lesson.click()
    assert (lesson.student / name).read_text() == A_LESSON.replace("un", "ma réponse")


def test_a_project_of_the_students_own_inside_the_course_stays(lesson):
    project = lesson.student / "dossier" / "projet"
    write(project / "a.txt", MINE)
    git(project, "init", "-q")
    commit(project)
    replace(lesson.upstream / "dossier", lambda path: write(path, FIXED))
    commit(lesson.upstream)
    lesson.click()
    assert (lesson.student / "dossier").read_text() == FIXED
    assert [path.read_text() for path in lesson.student.glob("dossier__*/projet/a.txt")] == [MINE]


def test_the_course_settles_around_a_folder_made_beforehand(course):
    lay(course.upstream)
    commit(course.upstream)
    write(course.student / "07.ipynb", MINE)
    write(course.student / "à moi.txt", MINE)
    course.click()
    assert read(course.student) == {**read(course.upstream), "07.ipynb": MINE.encode(), "à moi.txt": MINE.encode()}


@pytest.mark.parametrize("left", ["", "HEAD"])
def test_a_first_click_cut_short_is_finished_by_the_next(lesson, left):
    """Le serveur arrêté net pendant le premier clic : avant que Git ait posé les fichiers, ou pendant."""
    for path in lesson.student.iterdir():
        if path.name != ".git":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (lesson.student / ".git" / "index").unlink()
    if not left:
        git(lesson.student, "update-ref", "-d", "refs/heads/main")
    lesson.click()
    assert read(lesson.student) == read(lesson.upstream)


def test_a_fresh_lock_stops_the_click_and_a_folder_renamed_is_always_a_way_out(lesson):
    write(lesson.student / "07.ipynb", MINE)
    write(lesson.student / ".git" / "index.lock", "")
    with pytest.raises(AssertionError, match=r"Recent .git/index.lock found"):
        lesson.click()
    assert (lesson.student / "07.ipynb").read_text() == MINE
    lesson.student.rename(lesson.student.with_name("mon ancien cours"))
    lesson.click()
    assert read(lesson.student) == read(lesson.upstream)


def test_a_link_writes_neither_in_the_home_itself_nor_in_what_hides_behind_a_symbolic_link(course):
    """Ce que le cours contient de caché réglerait les programmes de l'élève : `.ipython` s'exécute à chaque noyau."""
    hidden = course.home / ".ipython" / "profile_default" / "startup"
    hidden.mkdir(parents=True)
    (course.home / "notes").symlink_to(hidden)
    for place in (course.home, course.home.parent, course.home / "notes", course.home / "notes" / "cours", hidden):
        course.student = place
        with pytest.raises(AssertionError, match="il est refusé"):
            course.click()
    assert list(hidden.iterdir()) == []
    assert not list(course.home.parent.glob(".git")) + list(course.home.glob(".git"))


def test_the_link_itself_in_a_students_server(lesson):
    """Le vrai serveur, et le vrai lien ; sans ce que le hub y ajoute, ce fichier-là était écrasé."""
    replace(lesson.student / "dossier", lambda path: write(path, MINE))
    runtime = lesson.home / "runtime"
    environment = {
        **os.environ,
        "HOME": str(lesson.home),
        "JUPYTER_TOKEN": "essai",
        "JUPYTER_RUNTIME_DIR": str(runtime),
    }
    environment |= {"JUPYTER_CONFIG_PATH": str(CONFIG.parent), "JUPYTER_CONFIG_DIR": str(lesson.home / "config")}
    command = [sys.executable, "-m", "jupyter_server", "--ServerApp.port=0", "--allow-root"]
    process = subprocess.Popen([*command, f"--ServerApp.root_dir={lesson.student.parent}"], env=environment)
    try:
        url = cours._wait_for_server(process, runtime, "essai")["url"]
        asked = {"repo": f"file://{lesson.upstream}", "branch": "main", "targetpath": lesson.student.name}
        address = f"{url}git-pull/api?{urllib.parse.urlencode({**asked, 'token': 'essai'})}"
        with urllib.request.urlopen(address, timeout=120) as answer:
            assert '"phase": "finished"' in answer.read().decode()
    finally:
        process.terminate()
        cours._stop(process)
    assert [path.read_text() for path in lesson.student.glob("dossier__*")] == [MINE]
    assert (lesson.student / "dossier" / "08.ipynb").exists()


def test_the_image_has_what_the_hub_adds(tmp_path):
    """postBuild, avec un Python qui ne fait que dire où il est."""
    write(tmp_path / "python", f"#!/bin/sh\necho '{tmp_path}'\n")
    (tmp_path / "python").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["bash", "postBuild"], cwd=ROOT, env=environment, check=True, capture_output=True)
    assert (tmp_path / "etc" / "jupyter" / CONFIG.name).read_text("utf-8") == CONFIG.read_text("utf-8")


def test_the_page_for_a_class_lists_every_pair_tried():
    page = (ROOT / "docs/classe.md").read_text("utf-8").replace("`", "")
    section = page.split("### Donner les leçons")[1].split("\n### ")[0]
    rows = [line.split(" | ")[0].strip("| ") for line in section.splitlines() if line.startswith("| ")]
    listed = [label for row in rows for label in row.split("\u00a0; ")]
    assert sorted(set(listed) & STUDENT.keys()) == sorted(STUDENT)
    assert [label for label in [*TEACHER, *STATES, *HISTORIES] if f"«\u00a0{label}\u00a0»" not in section] == []
