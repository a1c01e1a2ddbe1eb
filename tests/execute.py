"""Exécute des carnets de haut en bas et les enregistre avec leurs sorties : python tests/execute.py [CARNET …]

Sans argument, toutes les leçons. Les sorties ne gardent ni l'état des widgets ni leur numéro, qui
change à chaque fois : le diff reste lisible, et l'image de chaque démonstration en tient lieu.
"""

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
os.environ["TQDM_DISABLE"] = "1"  # pas de barre de progression dans une sortie enregistrée
WIDGET = "application/vnd.jupyter.widget-view+json"


def execute(path: Path) -> None:
    """Exécute le carnet `path` et l'enregistre ; ne l'enregistre pas si une cellule échoue."""
    notebook = nbformat.read(path, as_version=4)
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
    notebook.metadata.get("language_info", {}).pop("version", None)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for path in [Path(name) for name in sys.argv[1:]] or sorted(NOTEBOOKS.rglob("*.ipynb")):
        print(path)
        execute(path)
