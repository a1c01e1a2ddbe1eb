"""Les pages du dépôt, hors des carnets : leurs liens, leur typographie, et ce que le README montre d'abord."""

import re

import pytest
from french import ORDINARY_SPACE, PAGES, ROOT

CODE = re.compile(r"```.*?```|`[^`\n]*`|^\|[ :|-]*\|$", re.M | re.S)
LINK = re.compile(r"\]\((?!https?://)([^)#]*)#?([^)]*)\)")

pages = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)


def read(path):
    return path.read_text("utf-8")


def anchors(text):
    """Les ancres d'une page, telles que GitHub les tire de ses titres."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def dead_links(path):
    """Les liens de la page qui ne mènent ni à un fichier du dépôt, ni à l'un de ses titres."""
    dead = []
    for target, anchor in LINK.findall(CODE.sub("", read(path))):
        file = path.parent / target if target else path
        if not file.exists() or (anchor and anchor not in anchors(read(file))):
            dead.append(f"{target}#{anchor}")
    return dead


@pages
def test_no_link_is_dead(path):
    assert dead_links(path) == []


def test_a_dead_link_is_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# À lire\n[a](autre.md) [b](#à-lire) [c](#rien) [d](page.md#à-lire) [e](https://rien)", "utf-8")
    assert dead_links(page) == ["autre.md#", "#rien"]


@pages
def test_pages_have_french_no_break_spaces(path):
    prose = CODE.sub("x", read(path).partition("## In English")[0])
    assert [prose[max(0, m.start() - 20) : m.end()] for m in ORDINARY_SPACE.finditer(prose)] == []
    assert "librairie" not in prose


def test_the_readme_is_short_and_shows_first_the_picture_and_the_two_commands():
    text = read(ROOT / "README.md")
    assert len(text) <= 8000
    first = text.partition("\n## ")[0]
    picture, code = re.search(r"!\[.+\]\((.+)\)", first), re.search(r"```\n(.*?)```", first, re.S)
    assert (ROOT / picture[1]).is_file()
    assert re.findall(r"^python3 .*?(?=  |$)", code[1], re.M) == ["python3 cours.py", "python3 cours.py tests"]
    assert len(first) < 1000


def test_the_readme_leads_to_every_other_page():
    linked = {(ROOT / target).resolve() for target, _ in LINK.findall(read(ROOT / "README.md"))}
    assert set(PAGES) - {ROOT / "README.md"} <= linked
