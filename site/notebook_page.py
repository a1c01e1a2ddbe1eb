"""Un carnet pour qui le lit sans noyau : chaque démonstration laisse sa figure fixe, et le texte qui la décrit."""

import nbformat
from nbformat.v4 import new_markdown_cell, new_output

ALT = "Figure ; le texte qui la suit la décrit."
NOTICE = """```{admonition} Page à lire
Les figures y sont fixes. Pour bouger les curseurs, faire corriger vos exercices et répondre au quiz,
[ouvrez le carnet](/site/accueil.md#ouvrir-les-carnets).
```"""
LIVE = "exécutez la cellule pour"


def read(text: str) -> nbformat.NotebookNode:
    """Lit un carnet enregistré et le rend prêt à devenir une page.

    Arguments : `text`, le JSON du carnet.
    """
    notebook = nbformat.reads(text, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.metadata["mystnb"] = {"image": {"alt": ALT}}
            cell.outputs = [part for output in cell.outputs for part in still(output)]
    if "Corrigé" not in notebook.cells[0].source:
        notebook.cells.insert(1, new_markdown_cell(NOTICE))
    return notebook


def still(output: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Les sorties à montrer à la place de `output` : la figure d'une démonstration, puis son texte."""
    data = output.get("data", {})
    for kind in ("text/plain", "text/markdown"):
        if kind in data:
            data[kind] = data[kind].replace(LIVE, f"dans le carnet, {LIVE}")
    if "image/png" not in data or data["text/plain"].startswith("<Figure "):
        return [output]
    return [new_output("display_data", {kind: data[kind]}) for kind in ("image/png", "text/plain")]
