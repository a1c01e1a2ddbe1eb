"""Les carnets tels qu'ils sont enregistrés : exécutés de haut en bas, propres, en français."""

import re
from pathlib import Path

import build_lessons
import nbformat
import pytest
from browser import LIVE
from french import ORDINARY_SPACE
from lesson_minutes import measure

import cours

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
SOURCES = sorted(FOLDER.glob("sources/[!.]*"))
LESSONS = sorted(FOLDER.glob("*.ipynb"))
SOLUTIONS = sorted((FOLDER / "corriges").glob("*.ipynb"))
WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(params=LESSONS + SOLUTIONS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    """Une leçon ou un corrigé."""
    return nbformat.read(path, as_version=4)


@pytest.fixture(params=LESSONS, ids=lambda path: path.stem)
def lesson(request):
    return nbformat.read(request.param, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def is_live(cell):
    """La cellule montre-t-elle une démonstration vivante ?"""
    return LIVE.search(cell.source) is not None


def prose(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def test_a_lesson_and_its_solutions_have_one_source_and_nothing_else_is_there():
    names = [path.stem for path in SOURCES]
    assert [path.name for path in SOURCES] == [f"{name}.md" for name in names]
    assert [path.stem for path in LESSONS] == [path.stem for path in SOLUTIONS] == names


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_notebooks_are_what_their_source_makes(source):
    """Sans les exécuter : chaque cellule, à sa place, avec son texte et ses étiquettes ; les sorties sont à nbval."""
    for path, made in build_lessons.build(source).items():
        saved = nbformat.read(path, as_version=4)
        for cell in code(saved):
            cell.update(outputs=[], execution_count=None)
        remade = f"python tests/build_lessons.py {source.relative_to(FOLDER.parent)}"
        assert saved.cells == made.cells, remade
        assert saved.metadata.kernelspec == made.metadata.kernelspec, remade


def test_an_exercise_has_the_same_title_in_the_lesson_and_in_its_solutions():
    for paths in zip(LESSONS, SOLUTIONS):
        texts = ["\n".join(prose(nbformat.read(path, as_version=4))) for path in paths]
        asked, solved = (re.findall(r"^##+ (Exercice .*?)(?: \(facultatif\))?$", text, re.M) for text in texts)
        assert asked == solved


def test_every_code_cell_was_run_in_order_without_error(notebook):
    """nbval ne compare rien dans une cellule qui n'a pas été exécutée."""
    assert [cell.execution_count for cell in code(notebook)] == list(range(1, len(code(notebook)) + 1))
    assert not [output for cell in code(notebook) for output in cell.outputs if output.output_type == "error"]


def test_no_widget_state_is_saved_and_every_demonstration_has_its_picture(notebook):
    assert "widgets" not in notebook.metadata
    for cell in code(notebook):
        for output in cell.outputs:
            assert WIDGET not in output.get("data", {})
            assert "(children=" not in output.get("data", {}).get("text/plain", "")
        if is_live(cell):
            assert any("image/png" in output.data for output in cell.outputs)
            assert "exécutez la cellule" in cell.outputs[-1].data["text/plain"]


def test_no_cell_shows_what_python_calls_a_drawing(notebook):
    """« Text(0.5, 0.98, …) » sous une figure : la dernière ligne de la cellule rend ce qu'elle a dessiné."""
    shown = [output.get("data", {}) for cell in code(notebook) for output in cell.outputs]
    bare = [data["text/plain"] for data in shown if list(data) == ["text/plain"]]
    assert [text for text in bare if re.match(r"Text\(|\[?<", text)] == []


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_folded_section_shows_its_title_alone(path):
    """JupyterLab ne replie pas ce qui suit le titre dans sa cellule : une prédiction y resterait, sans sa figure."""
    folded = [
        cell for cell in nbformat.read(path, as_version=4).cells if "jp-MarkdownHeadingCollapsed" in cell.metadata
    ]
    assert folded
    assert [cell.source for cell in folded if "\n" in cell.source.strip()] == []


def test_cells_are_short(notebook):
    lines = [line for cell in code(notebook) for line in cell.source.splitlines()]
    assert max(len(line) for line in lines if 'print(f"Il manque' not in line) <= 88
    assert max(sum(1 for line in cell.source.splitlines() if line) for cell in code(notebook)) <= 12
    assert len(code(notebook)[0].source.splitlines()) <= 5


def test_the_parts_of_a_lesson_are_there(lesson):
    title, *_, last = prose(lesson)
    assert re.match(r"# \d\d · ", title)
    assert re.search(r"\| Objectifs \| Prérequis \| Durée \|", title)
    assert re.search(r"\d+\xa0min \|$", title, re.M)
    assert re.search(r"\*\*Objectif\xa0:\*\* [^.]*\d", "\n".join(prose(lesson)))  # une cible chiffrée
    assert last.startswith("## À retenir")
    assert len(re.findall("^- ", last, re.M)) == 3


def test_exercises_then_quiz_then_recap(lesson):
    headings = re.findall(r"^## (.*)$", "\n".join(prose(lesson)), re.M)
    assert headings[-3:] == ["Exercices", "Quiz", "À retenir"]
    number = lesson.cells[0].source[2:4]
    assert code(lesson)[-1].source == f'Quiz("{number}")'


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_the_header_says_the_minutes_that_the_lesson_counts(path):
    """Et l'essentiel tient en une heure, seul."""
    alone, in_class, beyond = measure(path).rounded()
    said = nbformat.read(path, as_version=4).cells[0].source.replace("\N{NO-BREAK SPACE}", " ")
    assert "| Objectifs | Prérequis | Durée |" in said
    assert f"l'essentiel : seul {alone} min, en classe {in_class} min ; pour aller plus loin" in said
    assert re.search(rf"pour aller plus loin( \(.*?\))? : {beyond} min", said)
    assert alone <= 60


def test_the_readme_and_the_guide_say_the_same_minutes():
    minutes = {path.name[:2]: str(measure(path).rounded()[1]) for path in LESSONS}
    readme = re.findall(r"^\| \[(\d\d) · .*\| (\d+)\smin \|$", (FOLDER.parent / "README.md").read_text("utf-8"), re.M)
    plans = (FOLDER / "GUIDE_ENSEIGNANT.md").read_text("utf-8").partition("## Plans de séance")[2].partition(".")[0]
    assert dict(readme) == dict(re.findall(r"(\d\d), (\d+)\smin", plans)) == minutes


def test_a_lesson_leads_to_its_solutions_and_to_the_next_one():
    for path, following in zip(LESSONS, [*LESSONS[1:], None]):
        end = prose(nbformat.read(path, as_version=4))[-1]
        assert f"](corriges/{path.name})" in end
        assert following is None or f"]({following.name})" in end


def test_a_lesson_has_a_live_demonstration(lesson):
    assert any(is_live(cell) for cell in code(lesson))


def test_links_work_in_the_repository_and_in_the_copies(path, notebook, tmp_path):
    """Les copies de travail sont posées par cours.py : ce que vise une leçon doit y être."""
    cours.lay_lessons(work=tmp_path)
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", "\n".join(prose(notebook))):
        assert (path.parent / target).is_file(), target
        assert (tmp_path / path.relative_to(FOLDER).parent / target).is_file(), target


def test_each_demonstration_is_predicted_first_and_each_figure_is_said_in_words(lesson):
    cells = lesson.cells
    for k, cell in enumerate(cells):
        if cell.cell_type == "code" and any("image/png" in output.get("data", {}) for output in cell.outputs):
            assert "Votre prédiction" in cells[k - 1].source, cell.source
            after = next(later for later in cells[k + 1 :] if later.cell_type == "markdown")
            assert after.source.startswith("**Ce que l'on observe.**"), cell.source


def test_every_cell_can_be_projected(notebook):
    """Une diapositive par titre ; la figure vient après la prédiction, l'observation après la figure."""
    kinds = {"slide", "subslide", "fragment", "-"}
    assert all(cell.metadata.get("slideshow", {}).get("slide_type") in kinds for cell in notebook.cells)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            assert cell.source.startswith("#") == (cell.metadata.slideshow.slide_type == "slide"), cell.source


STRAIGHT = re.compile(r"`[^`]*`|\$\$?[^$]*\$\$?|^\|[ -|]*\|$|https?://\S+", re.M)


def test_markdown_has_french_no_break_spaces(notebook):
    for text in prose(notebook):
        bad = [match.group() for match in ORDINARY_SPACE.finditer(STRAIGHT.sub("x", text))]
        assert not bad, (bad, text)
        assert "librairie" not in text
