"""Le travail d'un élève survit à une mise à jour et à un disque plein ; à un noyau tué : test_browser.py."""

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import nbformat
import pytest
from repository import commit, git

import cours

ROOT = Path(cours.__file__).parent
LESSON = "07_taux_d_apprentissage.ipynb"


@pytest.mark.skipif(shutil.which("git") is None, reason="pas de git")
def test_a_pull_brings_new_lessons_and_keeps_the_work(tmp_path):
    teacher, student = tmp_path / "le cours", tmp_path / "l'élève"
    (teacher / "notebooks").mkdir(parents=True)
    for name in (".gitignore", "cours.py"):
        shutil.copyfile(ROOT / name, teacher / name)
    (teacher / "notebooks" / LESSON).write_text("première version")
    git(teacher, "init", "-q")
    commit(teacher)
    git(tmp_path, "clone", "-q", teacher, student)
    copy = student / "travail" / LESSON
    cours.lay_lessons(student / "notebooks", student / "travail")
    copy.write_text("mes réponses")
    (teacher / "notebooks" / LESSON).write_text("deuxième version")
    (teacher / "notebooks" / "08_balayage.ipynb").write_text("nouvelle leçon")
    commit(teacher)
    git(student, "pull", "-q")
    cours.lay_lessons(student / "notebooks", student / "travail")
    assert copy.read_text() == "mes réponses"
    assert (student / "travail" / "08_balayage.ipynb").read_text() == "nouvelle leçon"
    assert git(student, "status", "--porcelain") == ""
    copy.unlink()
    cours.lay_lessons(student / "notebooks", student / "travail")
    assert copy.read_text() == "deuxième version"


FULL = """
    import asyncio, json, os, subprocess, sys
    from pathlib import Path
    import nbformat
    from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
    import cours

    disk = Path(sys.argv[1])
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True)
    source, work = Path(sys.argv[2]), disk / "travail"
    cours.lay_lessons(source, work)
    manager = AsyncLargeFileManager(root_dir=str(disk))
    mine = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("mes réponses")])

    def save(notebook):
        model = {"type": "notebook", "format": "json", "content": notebook}
        try:
            asyncio.run(manager.save(model, "travail/07.ipynb"))
            return "enregistré"
        except Exception as error:
            return type(error).__name__

    def read():
        return nbformat.read(work / "07.ipynb", as_version=4).cells[-1].source

    said = [save(mine), read()]
    rest = os.open(disk / "plein", os.O_CREAT | os.O_WRONLY)
    try:
        while os.write(rest, b"0" * 1000):
            pass
    except OSError:
        pass  # tout est pris
    os.close(rest)
    longer = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("x" * 200_000)])
    said += [save(longer), read()]
    (work / "08.ipynb").unlink()
    (source / "08.ipynb").write_text("y" * 200_000)
    try:
        cours.lay_lessons(source, work)
    except OSError as error:
        said.append(cours.explain(str(error)))
    said += [(work / "08.ipynb").exists(), read()]
    (disk / "plein").unlink()
    cours.lay_lessons(source, work)
    said += [save(longer), len(read()), (work / "08.ipynb").stat().st_size]
    print(json.dumps(said))
"""


@pytest.mark.lent
def test_a_full_disk_never_damages_what_is_saved(tmp_path):
    """Un vrai disque plein : un mégaoctet en mémoire, où JupyterLab enregistre et où cours.py pose les leçons."""
    alone = ["unshare", "--mount", "--map-root-user"]
    if sys.platform != "linux" or subprocess.run([*alone, "true"]).returncode:
        pytest.skip("un disque à soi demande Linux et le droit d'en monter un (unshare)")
    source, disk = tmp_path / "notebooks", tmp_path / "disque"
    source.mkdir()
    disk.mkdir()
    for name in ("07.ipynb", "08.ipynb"):
        nbformat.write(nbformat.v4.new_notebook(), source / name)
    command = [*alone, sys.executable, "-c", textwrap.dedent(FULL), disk, source]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said[:2] == ["enregistré", "mes réponses"]
    assert said[2:4] == ["HTTPError", "mes réponses"]
    assert "Le disque est plein" in said[4]
    assert said[5:7] == [False, "mes réponses"]  # ni leçon à moitié posée, ni travail perdu
    assert said[7:] == ["enregistré", 200_000, 200_000]
