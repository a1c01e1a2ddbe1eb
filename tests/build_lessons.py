"""Fait d'un texte de notebooks/sources une leçon et son corrigé : python tests/build_lessons.py [TEXTE …]

Sans argument, toutes les leçons. Les carnets sont exécutés de haut en bas et enregistrés avec leurs sorties, sans
l'état des widgets ni leur numéro, qui change à chaque fois : l'image de chaque démonstration en tient lieu.

Un texte est un carnet MyST. Une cellule de texte étiquetée `corrige` est au corrigé, avec le code qui la suit.
"""

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_notebook

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
SOURCES = NOTEBOOKS / "sources"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
WIDGET = "application/vnd.jupyter.widget-view+json"
os.environ["TQDM_DISABLE"] = "1"  # pas de barre de progression dans une sortie enregistrée


def build(source: Path) -> dict[Path, nbformat.NotebookNode]:
    """Les deux carnets, pas encore exécutés, que fait le texte `source`, et où chacun s'enregistre."""
    from myst_nb.core.read import read_myst_markdown_notebook

    lesson, solutions = [], []
    cells = lesson
    for cell in read_myst_markdown_notebook(source.read_text("utf-8")).cells:
        if cell.cell_type == "markdown":
            cells = solutions if "corrige" in cell.metadata.get("tags", []) else lesson
        cells.append(cell)
    name = f"{source.stem}.ipynb"
    return {NOTEBOOKS / name: notebook(lesson), NOTEBOOKS / "corriges" / name: notebook(solutions)}


def notebook(cells: list[nbformat.NotebookNode]) -> nbformat.NotebookNode:
    """Le carnet de ces cellules, numérotées et prêtes à projeter."""
    for k, cell in enumerate(cells):
        cell.id = f"c{k + 1:02}"
        cell.metadata.setdefault("slideshow", {"slide_type": slide_type(cells[:k], cell)})
        tags = [tag for tag in cell.metadata.pop("tags", []) if tag != "corrige"]
        cell.metadata.update({"tags": tags} if tags else {})
    return new_notebook(cells=cells, metadata={"kernelspec": KERNEL})


def slide_type(before: list[nbformat.NotebookNode], cell: nbformat.NotebookNode) -> str:
    """Une diapositive par titre ; la figure vient après la prédiction, l'observation après la figure."""
    if cell.cell_type == "markdown":
        observed = cell.source.startswith("**Ce que l'on observe.**")
        return "slide" if cell.source.startswith("#") else "fragment" if observed else "-"
    if all(other.cell_type == "markdown" for other in before):
        return "-"
    return "subslide" if "Votre prédiction" in before[-1].source else "fragment"


def execute(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Exécute le carnet et l'enregistre dans `path` ; ne l'enregistre pas si une cellule échoue."""
    client = NotebookClient(
        notebook,
        timeout=120,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": path.parent}},
    )
    # Comme nbval : la figure d'une démonstration reste une sortie de sa cellule, où chacun peut la voir.
    client.comm_open_handlers.clear()
    client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET, None)
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info.pop("version", None)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for source in [Path(name) for name in sys.argv[1:]] or sorted(SOURCES.glob("*.md")):
        if source.suffix != ".md":
            sys.exit(f"{source} : une leçon se change dans son texte, {SOURCES / source.stem}.md.")
        for path, made in build(source).items():
            print(path)
            execute(made, path)
