"""Un carnet pour qui le lit sans noyau : l'explorateur du taux y vit, dans une page à lui ; les autres démonstrations
laissent leur figure fixe, et le texte qui la décrit."""

import ast
from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path

import nbformat
from nbformat.v4 import new_markdown_cell, new_output

ALT = "Figure ; le texte qui la suit la décrit."
NOTICE = """```{admonition} Page à lire
Les figures y sont fixes, sauf celles de l'explorateur. Pour bouger les autres curseurs,
faire corriger vos exercices et répondre au quiz,
[ouvrez le carnet](/site/accueil.md#ouvrir-les-carnets).
```"""
LIVE = "exécutez la cellule pour"
FOLDER = "_static/explorateurs"
# Sans JavaScript, le cadre reste caché, et l'image en tient lieu ; elle reste aussi s'il ne porte pas toutes ses vues.
FRAME = """<iframe class="explorateur" src="{address}" title="Explorateur du taux d'apprentissage" hidden></iframe>
<script>(() => {{
    const frame = document.currentScript.previousElementSibling;
    const output = frame.closest('.cell_output');
    frame.hidden = false;
    output.classList.toggle('vivante', {whole});
    addEventListener('message', event => {{
        const own = event.source === frame.contentWindow;
        if (own && event.data.toylib) frame.style.height = `${{event.data.toylib + 20}}px`;
    }});
}})();</script>"""


def read(text: str) -> nbformat.NotebookNode:
    """Lit un carnet enregistré et le rend prêt à devenir une page.

    Arguments : `text`, le JSON du carnet.
    """
    notebook = nbformat.reads(text, as_version=4)
    solved = "Corrigé" in notebook.cells[0].source
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.metadata["mystnb"] = {"image": {"alt": ALT}}
            explorers = [live(settings, "../../" if solved else "../") for settings in explorer_settings(cell.source)]
            cell.outputs = [part for output in cell.outputs for part in still(output, explorers)]
    if not solved:
        notebook.cells.insert(1, new_markdown_cell(NOTICE))
    return notebook


def still(output: nbformat.NotebookNode, explorers: list) -> list[nbformat.NotebookNode]:
    """Les sorties à montrer à la place de `output` : l'explorateur, la figure d'une démonstration, puis son texte."""
    data = output.get("data", {})
    explorer = explorers[:1] if LIVE in data.get("text/plain", "") else []
    for kind in ("text/plain", "text/markdown"):
        if kind in data:
            data[kind] = data[kind].replace(LIVE, f"dans le carnet, {LIVE}")
    if "image/png" not in data or data["text/plain"].startswith("<Figure "):
        return [output]
    return explorer + [new_output("display_data", {kind: data[kind]}) for kind in ("image/png", "text/plain")]


def explorer_settings(source: str) -> Iterator[dict]:
    """Les arguments de chaque explorateur qu'une cellule fait, s'ils sont écrits en toutes lettres.

    >>> list(explorer_settings("explorer = LrExplorer(0.01, views=('u',))"))
    [{'lr': 0.01, 'views': ('u',)}]
    """
    try:
        calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
        calls = [call for call in calls if getattr(call.func, "id", None) == "LrExplorer"]
        for call in calls:
            named = [("lr", value) for value in call.args] + [(one.arg, one.value) for one in call.keywords]
            yield {name: ast.literal_eval(value) for name, value in named}
    except (SyntaxError, ValueError):  # une commande d'IPython, ou des données qui ne sont pas dans la cellule
        return


def page_name(settings: dict) -> str:
    """Le nom de la page d'un explorateur : le même pour une leçon et son corrigé."""
    return sha1(repr(sorted(settings.items())).encode()).hexdigest()[:12] + ".html"


def live(settings: dict, root: str) -> nbformat.NotebookNode:
    """La sortie qui montre la page d'un explorateur."""
    whole = "boundary" not in settings.get("views", ())
    address = f"{root}{FOLDER}/{page_name(settings)}"
    return new_output("display_data", {"text/html": FRAME.format(address=address, whole=str(whole).lower())})


def write_explorers(notebooks: list[Path], folder: Path) -> None:
    """Écrit dans `folder` la page de chaque explorateur des carnets."""
    from toylib.explorer import LrExplorer

    folder.mkdir(parents=True, exist_ok=True)
    cells = (cell for path in notebooks for cell in nbformat.read(path, as_version=4).cells)
    found = (one for cell in cells if cell.cell_type == "code" for one in explorer_settings(cell.source))
    for settings in {page_name(settings): settings for settings in found}.values():
        explorer = LrExplorer(**settings)
        explorer.save(folder / page_name(settings))
        explorer.close()
