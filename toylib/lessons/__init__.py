"""Ce que les leçons partagent. `%reload_ext toylib.lessons` prépare un carnet."""

import ast
import inspect
from collections.abc import Callable
from textwrap import dedent

import matplotlib.pyplot as plt
import torch

from toylib._checks import refusing, shown
from toylib._course import course_packages

with course_packages():
    import ipywidgets as widgets
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.display import Markdown

    from toylib.explorer.figures import keep_apart
    from toylib.explorer.stage import Stage
    from toylib.lessons.exercises import Verdict, verifier
    from toylib.lessons.quiz import Quiz

__all__ = ["Quiz", "Verdict", "load_ipython_extension", "show_source", "verifier"]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Règle les figures et torch, et fait dire à `interact` une phrase en français là où il n'y a pas de noyau."""
    keep_apart()
    torch.set_num_threads(1)  # assez pour de si petits réseaux ; plus, et trente noyaux sur un serveur se gêneraient
    plt.rcParams.update({"font.size": 13, "figure.constrained_layout.use": True, "figure.figsize": (8, 4)})
    plt.rcParams["figure.max_open_warning"] = 0  # une cellule peut en tracer vingt et une : sa fin les ferme toutes
    shell.display_formatter.mimebundle_formatter.for_type(widgets.interactive, describe)


def describe(demo: widgets.interactive, **kwargs) -> dict:
    """Ce qui s'affiche d'une démonstration faite par `interact` : le widget, et un texte qui le remplace.

    La figure de départ n'y est pas : c'est déjà une sortie de la cellule.
    """
    if not any(isinstance(child, Stage) for child in demo.children):
        demo.children += (Stage(),)  # sans figure : il ne fait que nommer les curseurs
    values = ", ".join(f"{w.description} = {getattr(w, 'label', w.value)}" for w in demo.kwargs_widgets)
    text = f"Démonstration ({values}) : exécutez la cellule pour bouger les curseurs."
    return {**demo._repr_mimebundle_(**kwargs), "text/plain": text}


class Source(Markdown):
    """Du code Python, en couleurs dans un carnet."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(f"```python\n{code}\n```")

    def __repr__(self) -> str:
        return self.code


def show_source(subject: Callable) -> Source:
    """Le code d'une fonction ou d'une classe de la bibliothèque, tel qu'il est, docstring ôtée.

    Lève : `TypeError` si `subject` n'est pas une fonction ou une classe écrite en Python.

    >>> from toylib import test
    >>> show_source(test)
    def test(model: nn.Module, data, target) -> Score:
        x, labels = as_tensors(model, data, target)
        return measure(model, x, labels)
    """
    with refusing("subject", "être une fonction ou une classe écrite en Python", shown(subject), TypeError):
        lines = dedent(inspect.getsource(subject)).splitlines()
    nodes = ast.walk(ast.parse("\n".join(lines)))
    documented = [n for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(n)]
    for node in sorted(documented, key=lambda n: -n.lineno):
        first, last = node.body[0].lineno - 1, node.body[0].end_lineno
        del lines[first : last + (not "".join(lines[last : last + 1]))]
    return Source("\n".join(lines))
