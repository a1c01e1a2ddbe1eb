"""Le site : il se construit sans avertissement ni réseau, et se lit de même ; chaque leçon et chaque figure y est."""

import doctest
import importlib
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import french
import nbformat
import pytest
from browser import expected

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted([*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("notebooks/corriges/*.ipynb")])
PAGES = [path.relative_to(ROOT).with_suffix(".html").as_posix() for path in NOTEBOOKS]
TEACHER = ["notebooks/GUIDE_ENSEIGNANT.html", "docs/classe.html"]
OTHERS = ["index.html", "search.html", "site/accueil.html", "notebooks/PYTHON_ET_MATHS.html", *TEACHER]
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "link": "href"}
LABELS = ("title", "aria-label", "placeholder", "alt")
UNREAD = ("script", "style", "math", "code", "pre", "kbd")


class Page(HTMLParser):
    """Ce qu'une page charge, où elle mène, ses ancres, ses images, et ce qui s'en lit hors de l'article."""

    def __init__(self, path):
        super().__init__()
        self.path, self.html = path, path.read_text("utf-8")
        self.loaded, self.links, self.anchors, self.images, self.interface = [], [], set(), [], []
        self._open, self.article = [], []
        self.feed(self.html)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self._open += [tag] if tag in (*UNREAD, "article") else []
        self.anchors |= {found["id"]} if "id" in found else set()
        if tag in LOADED and LOADED[tag] in found:
            self.loaded.append(found[LOADED[tag]])
        if tag == "a":
            self.links.append(found.get("href", ""))
        if tag == "img":
            self.images.append(found)
        if "article" not in self._open:
            self.interface += [found[name] for name in LABELS if found.get(name)]

    def handle_endtag(self, tag):
        if self._open and self._open[-1] == tag:
            self._open.pop()

    def handle_data(self, data):
        if not set(self._open) & set(UNREAD):
            (self.article if "article" in self._open else self.interface).append(data)


def without_network():
    """Le début d'une commande qui n'aura pas de réseau, là où Linux le permet."""
    isolated = ["unshare", "-rn"]
    allowed = shutil.which("unshare") and subprocess.run([*isolated, "true"], capture_output=True).returncode == 0
    return isolated if allowed else []


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """Le site, construit par la commande de CONTRIBUTING.md."""
    folder = tmp_path_factory.mktemp("site")
    command = [*without_network(), sys.executable, "-B", "-m", "sphinx", "-W", "-q", "-c", "site", "-d"]
    command += [str(folder / "cache"), ".", str(folder / "html")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder / "html"


@pytest.fixture(scope="session")
def pages(site):
    """Toutes les pages, par adresse."""
    found = {path.relative_to(site).as_posix(): path for path in site.rglob("*.html")}
    return {name: Page(path) for name, path in found.items() if not name.startswith("_static/")}


def test_there_is_a_page_for_each_lesson_and_each_solution_and_nothing_else(pages):
    assert set(pages) == {*PAGES, *OTHERS}


def test_each_page_can_be_reached_from_the_contents(pages):
    home = pages["site/accueil.html"]
    reached = {(home.path.parent / urlsplit(link).path).resolve() for link in home.links}
    assert {pages[name].path.resolve() for name in (*PAGES, *TEACHER)} <= reached


def test_nothing_is_loaded_from_elsewhere(site, pages):
    for name, page in pages.items():
        assert [one for one in page.loaded if re.match(r"(?:https?:)?//", one)] == [], name
        assert "@import" not in page.html, name
    for sheet in site.rglob("*.css"):
        text = sheet.read_text("utf-8")
        assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)]*", text) == [], sheet.name


def test_no_link_is_dead(pages):
    """Un lien vers un carnet est devenu un lien vers sa page, et chaque ancre existe."""
    anchors = {page.path.resolve(): page.anchors for page in pages.values()}
    for name, page in pages.items():
        for link in [*page.links, *page.loaded]:
            parts = urlsplit(link)
            if parts.scheme or not (parts.path or parts.fragment):
                continue
            target = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path.resolve()
            assert target.is_file(), (name, link)
            assert target.suffix not in (".ipynb", ".md"), (name, link)
            assert not parts.fragment or unquote(parts.fragment) in anchors[target], (name, link)


@pytest.mark.parametrize(("path", "name"), list(zip(NOTEBOOKS, PAGES)), ids=PAGES)
def test_each_figure_is_there_and_each_slider_left_its_picture_and_its_words(path, name, pages):
    page = pages[name]
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    bundles = [output.get("data", {}) for cell in cells for output in cell.outputs]
    assert len(page.images) == sum("image/png" in data for data in bundles)
    assert all(image["alt"].startswith("Figure") for image in page.images)
    still = [data["text/plain"] for data in bundles if "exécutez la cellule pour" in data.get("text/plain", "")]
    assert page.html.count("dans le carnet, exécutez la cellule pour") == len(still)
    assert "widget" not in re.sub(r"(?s)<(?:pre|code).*?</(?:pre|code)>", "", page.html).lower()


def test_each_formula_is_set_and_none_is_left_in_latex(pages):
    count = 0
    for name, page in pages.items():
        for formula in re.findall(r"<math.*?</math>", page.html, re.S):
            count += 1
            assert not re.search(r"[\\{}$]", formula), (name, formula)
        assert not re.search(r"\$|\\[a-z]", "".join(page.article)), name
    assert count > 200


def test_the_examples_of_the_site_hold(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "site")
    assert doctest.testmod(importlib.import_module("mathml")) == (0, 4)


def test_the_interface_is_in_french(pages, hunspell):
    read = {text.strip() for page in pages.values() for text in page.interface}
    assert french.unknown_words("\n".join(read), french.COURSE | french.CODE | {"MIT"}) == set()
    assert french.unknown_words((ROOT / "site/accueil.md").read_text("utf-8")) == set()
    assert {"Recherche", "Rechercher…", "précédent", "suivant", "Sur cette page"} <= read
    assert read.isdisjoint({"Main", "Note", "Page navigation", "Search"})  # qui seraient aussi du français
    assert all('<html lang="fr"' in page.html for page in pages.values())


def test_the_site_reads_and_searches_without_a_server(site, chromium):
    """Ouvert comme un fichier : la page s'affiche, la recherche trouve, et rien n'est demandé au réseau."""
    page = chromium.new_page(locale="fr-FR")
    asked, broken = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("requestfailed", lambda request: broken.append(request.url))
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.goto((site / "index.html").as_uri())
    page.wait_for_url("**/accueil.html")
    page.get_by_role("link", name="04 · La descente de gradient").first.click()
    page.wait_for_selector("math")
    page.goto(f"{(site / 'search.html').as_uri()}?q=rétropropagation")
    page.locator("#search-results a", has_text="05 · La rétropropagation").wait_for()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert broken == []
    page.close()


def test_the_explorer_of_a_lesson_lives_and_shows_what_train_gives(site, chromium):
    """Au clavier, dans la page de la leçon, sans noyau ; sans JavaScript, l'image en tient lieu."""
    page = chromium.new_page(locale="fr-FR")
    page.goto((site / "notebooks/07_taux_d_apprentissage.html").as_uri())
    frame = page.frame_locator("iframe.explorateur").first
    frame.get_by_text("lr 0,01 ·").wait_for()
    for _ in range(5):
        frame.get_by_role("slider", name="Taux d'apprentissage").press("ArrowRight")
    frame.get_by_text(expected(0.0316)).wait_for()
    images = page.locator(".cell_output:has(iframe.explorateur) img")
    assert [one.is_visible() for one in images.all()] == [False, True, False]  # la frontière n'est pas dans la page
    page.close()
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((site / "notebooks/07_taux_d_apprentissage.html").as_uri())
    assert [one.is_visible() for one in page.locator(".cell_output:has(iframe.explorateur) img").all()] == [True] * 3
    assert not page.locator("iframe.explorateur").first.is_visible()
    context.close()
