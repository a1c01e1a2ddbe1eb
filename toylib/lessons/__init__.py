"""Ce que les leçons partagent. `%load_ext toylib.lessons` prépare un carnet."""

import ipywidgets as widgets
import matplotlib.pyplot as plt
import torch
from IPython.core.interactiveshell import InteractiveShell


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Règle les figures et torch, et fait dire à `interact` une phrase en français là où il n'y a pas de noyau."""
    torch.set_num_threads(1)  # assez pour de si petits réseaux ; plus, et trente noyaux sur un serveur se gêneraient
    plt.rcParams.update({"font.size": 13, "figure.constrained_layout.use": True, "figure.figsize": (8, 4)})
    shell.display_formatter.mimebundle_formatter.for_type(widgets.interactive, describe)


def describe(demo: widgets.interactive, **kwargs) -> dict:
    """Ce qui s'affiche d'une démonstration faite par `interact` : le widget, et un texte qui le remplace.

    La figure de départ n'y est pas : c'est déjà une sortie de la cellule.
    """
    values = ", ".join(f"{w.description} = {getattr(w, 'label', w.value)}" for w in demo.kwargs_widgets)
    text = f"Démonstration ({values}) : exécutez la cellule pour bouger les curseurs."
    return {**demo._repr_mimebundle_(**kwargs), "text/plain": text}
