"""Qui entre dans le hub d'une classe : les noms, les listes, les mots de passe, et la commande qui les tient."""

import ast
import os
import re
import stat
import sys
from pathlib import Path

import pytest
from french import CODE, COURSE, ORDINARY_SPACE, unknown_words
from test_style import code_lines, french_strings, functions

if sys.platform != "linux" or os.geteuid() != 0:
    pytest.skip("Donner un dossier à un élève demande Linux et root.", allow_module_level=True)
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "hub"))
import classe
import pupils
from pupils import Refused, Roster, name_of, read_list

HUB = Path(pupils.__file__).parent


@pytest.fixture
def roster(tmp_path, monkeypatch):
    """Une classe vide ; useradd n'y crée aucun compte sur la machine."""
    (tmp_path / "bin").mkdir()
    for name in ("useradd", "systemctl"):
        (tmp_path / "bin" / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/appels\n')
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("HUB_DOSSIER", str(tmp_path / "classe"))
    monkeypatch.setattr(pupils, "FIRST_UID", 50000)
    return Roster(tmp_path / "classe")


def run(capsys, *arguments):
    """La commande, comme dans un terminal ; rend (code, ce qu'elle dit)."""
    code = classe.main(list(arguments))
    said = capsys.readouterr()
    return code, said.out + said.err


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("alice", "alice"),
        ("Alice", "alice"),
        ("  Jean   Dupont ", "jean.dupont"),
        ("Zoé", "zoe"),
        ("Zoe\u0301", "zoe"),
        ("Anne-Sophie d'Ormesson", "anne-sophie.d.ormesson"),
        ("Cœur", "coeur"),
        ("jean.dupont2", "jean.dupont2"),
        ("a" * 32, "a" * 32),
    ],
)
def test_a_name_is_read_as_a_teacher_writes_it(written, name):
    assert name_of(written) == name
    assert name_of(name) == name


@pytest.mark.parametrize(
    "written", ["", "..", "../root", "a/b", "a..b", "-x", "Dupont;Jean", "a,b", "田中", "a\0b", ".a"]
)
def test_a_name_that_cannot_be_one_is_refused_with_what_is_wanted(written):
    with pytest.raises(Refused, match="il faut des lettres et des chiffres"):
        name_of(written)


def test_a_name_too_long_is_refused_with_its_length():
    with pytest.raises(Refused, match="255 caractères\u00a0: 32 au plus"):
        name_of("a" * 255)


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode(),
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("latin-1"),
        lambda text: text.encode("cp1252"),
        lambda text: text.encode("utf-16"),
        lambda text: "\ufeff".encode("utf-16-be") + text.encode("utf-16-be"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: ("# 2de B\n\n" + text + "\n\n").encode(),
    ],
    ids=["utf-8", "marque", "latin-1", "windows", "utf-16", "utf-16 gros-boutiste", "retours", "commentaire"],
)
def test_a_list_is_read_whatever_wrote_it(tmp_path, encode):
    path = tmp_path / "classe.txt"
    path.write_bytes(encode("Zoé\nJean Dupont\nbruno\n"))
    assert read_list(path) == ["zoe", "jean.dupont", "bruno"]


def test_every_bad_line_of_a_list_is_said_with_its_number(tmp_path):
    path = tmp_path / "classe.txt"
    path.write_text(f"Zoé\n../root\nbruno\nZoe\na/b\n{'x' * 255}\n", "utf-8")
    with pytest.raises(Refused) as refused:
        read_list(path)
    lines = str(refused.value).splitlines()
    assert [line.split("\u00a0:")[0] for line in lines[1:]] == ["ligne 2", "ligne 4", "ligne 5", "ligne 6"]
    assert "même nom que la ligne 1" in lines[2]


@pytest.mark.parametrize("data", [b"", b"\n\n# rien\n", "alice".encode("utf-16-le"), b"PK\x03\x04\0\0alice"])
def test_a_file_without_names_is_refused(tmp_path, data):
    (tmp_path / "classe.txt").write_bytes(data)
    with pytest.raises(Refused, match="aucun nom|pas du texte"):
        read_list(tmp_path / "classe.txt")


def test_nobody_is_on_an_empty_list(roster):
    assert roster.pupils() == []
    assert roster.check("alice", "") is None


def test_the_first_password_serves_until_another_is_chosen(roster):
    first = roster.add("alice")
    assert roster.check("alice", first).once
    roster.choose("alice", "à moi seule")
    assert roster.check("alice", first) is None
    assert not roster.check("alice", "à moi seule").once
    assert roster.check("alice", "a\u0300 moi seule")  # le même, tel qu'un Mac le compose


def test_whoever_is_removed_is_out_and_comes_back_with_another_password(roster):
    first = roster.add("alice")
    uid = roster.find("alice").uid
    roster.remove("alice")
    assert (roster.find("alice"), roster.check("alice", first)) == (None, None)
    again = roster.add("alice")
    assert roster.check("alice", first) is None
    assert roster.check("alice", again).uid == uid


def test_a_number_is_never_given_twice(roster):
    for name in ("alice", "bruno"):
        roster.add(name)
    roster.remove("bruno")
    roster.add("chloe")
    (roster.homes / "ancien").mkdir()
    os.chown(roster.homes / "ancien", 50009, 50009)
    roster.add("dora")
    assert [one.uid for one in roster.pupils()] == [50001, 50003, 50010]


def test_a_lost_list_does_not_mix_the_folders(roster):
    for name in ("alice", "bruno"):
        roster.add(name)
        roster.lodge(roster.find(name))
    roster.path.unlink()
    found = Roster(roster.homes.parent)
    found.add("chloe")
    found.add("bruno")
    assert {one.name: one.uid for one in found.pupils()} == {"chloe": 50003, "bruno": 50002}


def test_the_list_and_the_folders_are_closed_to_others(roster):
    roster.add("alice")
    home = roster.lodge(roster.find("alice"))
    assert (home.stat().st_uid, stat.S_IMODE(home.stat().st_mode)) == (50001, 0o700)
    assert stat.S_IMODE(roster.path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(roster.homes.stat().st_mode) == 0o711


def test_the_folder_of_another_is_not_given(roster):
    (roster.homes / "alice").mkdir()
    roster.add("alice")
    with pytest.raises(PermissionError, match="renommez-le"):
        roster.lodge(roster.find("alice"))


def test_the_command_adds_lists_renews_and_removes(roster, capsys, tmp_path):
    code, said = run(capsys, "ajouter", "Zoé", "bruno")
    passwords = dict(line.split() for line in said.splitlines()[1:])
    assert code == 0
    assert roster.check("zoe", passwords["zoe"])
    assert "--uid 50002" in (tmp_path / "appels").read_text()
    code, said = run(capsys, "liste")
    assert "bruno" in said
    assert "premier mot de passe" in said
    code, said = run(capsys, "mot-de-passe", "ZOE")
    assert roster.check("zoe", passwords["zoe"]) is None
    code, said = run(capsys, "retirer", "zoe")
    assert "zoe n'entre plus" in said
    assert "stop jupyter-zoe-singleuser.service" in (tmp_path / "appels").read_text()
    assert [one.name for one in roster.pupils()] == ["bruno"]


def test_a_list_given_again_adds_the_new_ones_and_leaves_the_others(roster, capsys, tmp_path):
    (tmp_path / "liste.txt").write_text("alice\nbruno\n")
    run(capsys, "ajouter", "--liste", str(tmp_path / "liste.txt"))
    roster.choose("alice", "à moi seule")
    (tmp_path / "liste.txt").write_text("alice\nbruno\nchloé\n")
    code, said = run(capsys, "ajouter", "--liste", str(tmp_path / "liste.txt"))
    assert (code, len(said.splitlines())) == (0, 3)
    assert roster.check("alice", "à moi seule")
    assert len(roster.pupils()) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "sudo classe ajouter NOM"),
        (["ajouter"], 2, "sudo classe ajouter NOM"),
        (["supprimer", "alice"], 2, "sudo classe ajouter NOM"),
        (["ajouter", "bruno", "../root"], 1, "il faut des lettres"),
        (["ajouter", "bruno", "Bruno"], 1, "donné deux fois"),
        (["ajouter", "alice"], 1, "déjà sur la liste"),
        (["retirer", "alice", "bruno"], 1, "Rien n'est changé"),
        (["mot-de-passe", "bruno"], 1, "bruno\u00a0: pas sur la liste"),
        (["ajouter", "--liste", "/nulle/part"], 1, "Il n'y a pas de fichier /nulle/part"),
    ],
)
def test_what_the_command_refuses_changes_nothing(roster, capsys, arguments, code, said):
    roster.add("alice")
    found = run(capsys, *arguments)
    assert (found[0], said in found[1]) == (code, True), found[1]
    assert [one.name for one in roster.pupils()] == ["alice"]


def test_the_settings_are_those_of_the_hub_and_the_environment_wins(tmp_path, monkeypatch):
    (tmp_path / "hub.env").write_text("# rien\nHUB_PORT=9000\nHUB_REPOS='10'\n#HUB_MEMOIRE=1\n")
    monkeypatch.setattr(classe, "SETTINGS", tmp_path / "hub.env")
    monkeypatch.setenv("HUB_REPOS", "20")
    found = classe.settings()
    assert (found["HUB_PORT"], found["HUB_REPOS"], found.get("HUB_MEMOIRE")) == ("9000", "20", None)


@pytest.mark.skipif(os.geteuid() != 0, reason="seul root donne un dossier à un autre")
def test_a_homonym_has_a_number_of_his_own_and_who_comes_back_his(roster):
    roster.add("zoe")
    first = roster.find("zoe").uid
    home = roster.lodge(roster.find("zoe"))
    roster.remove("zoe")
    roster.add("zoe")
    assert roster.find("zoe").uid == first
    roster.remove("zoe")
    home.rename(home.with_name("zoe.2026"))
    roster.add("zoe")
    assert roster.find("zoe").uid > first
    assert roster.lodge(roster.find("zoe")).stat().st_uid != home.with_name("zoe.2026").stat().st_uid


def test_the_numbers_start_where_the_settings_say(roster, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(classe, "SETTINGS", tmp_path / "hub.env")
    (tmp_path / "hub.env").write_text("HUB_UID=60000\n")
    assert run(capsys, "ajouter", "alice")[0] == 0
    assert roster.find("alice").uid == 60001
    (tmp_path / "hub.env").write_text("HUB_UID=beaucoup\n")
    code, said = run(capsys, "ajouter", "bruno")
    assert (code, "HUB_UID doit être un nombre entier" in said) == (1, True)
    assert roster.find("bruno") is None


SOURCES = sorted(HUB.glob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_the_code_of_the_hub_is_short_and_its_french_typeset(path):
    assert {one.name: code_lines(one) for one in functions(path) if code_lines(one) > 20} == {}
    assert [text for text in french_strings(path) if ORDINARY_SPACE.search(text)] == []


OWN = {
    "alice",
    "bcrypt",
    "ecole",
    "Goff",
    "js",
    "lock",
    "malloc",
    "Node",
    "npm",
    "ort",
    "restart",
    "Root",
    "scrypt",
    "sqlite",
    "sympy",
    "systemctl",
}


def readable(path):
    """Ce qui se lit d'un fichier du hub : ses docstrings et ses commentaires, ou le texte d'une page."""
    text = path.read_text("utf-8")
    if path.suffix == ".html":
        code = r"<(script|style)>.*?</\1>|<[^>]*>|{%.*?%}|{{.*?}}|&nbsp;"
        return "\n".join([re.sub(code, " ", text, flags=re.S), *re.findall(r'": "(.+?)"', text)])
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef
    said = [ast.get_docstring(node) for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]
    return "\n".join([*filter(None, said), *re.findall(r"# (?!noqa).*", text)])


@pytest.mark.parametrize("path", [*SOURCES, *sorted(HUB.rglob("*.html"))], ids=lambda path: path.stem)
def test_what_is_read_in_the_hub_is_spelled_right(path, hunspell):
    prose = re.sub(r"\S*[/_=]\S*", " ", readable(path))
    assert unknown_words(prose, COURSE | CODE | OWN | set(re.findall(r"\b[A-Z]\w*[A-Z]\w*", prose))) == set()
