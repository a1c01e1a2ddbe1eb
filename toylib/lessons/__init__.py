"""Ce que les leçons partagent. `%load_ext toylib.lessons` prépare un carnet."""

from io import BytesIO

import ipywidgets as widgets
import matplotlib.pyplot as plt
from IPython.core.interactiveshell import InteractiveShell

FONT_SIZE = 13


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Règle la taille des figures, et donne à `interact` une image et un texte pour qui n'a pas de noyau."""
    plt.rcParams.update({"font.size": FONT_SIZE, "figure.constrained_layout.use": True, "figure.figsize": (8, 4)})
    shell.display_formatter.mimebundle_formatter.for_type(widgets.interactive, still)


def still(demo: widgets.interactive, **kwargs) -> dict:
    """Ce qui s'affiche d'une démonstration : le widget, et sa figure de départ là où il n'y a pas de noyau.

    `demo` est ce que `interact` construit ; sa fonction est appelée une fois de plus.
    """
    bundle = demo._repr_mimebundle_(**kwargs)
    values = ", ".join(f"{w.description} = {getattr(w, 'label', w.value)}" for w in demo.kwargs_widgets)
    bundle["text/plain"] = f"Démonstration ({values}) : exécutez la cellule pour bouger les curseurs."
    demo.f(**demo.kwargs)
    if plt.get_fignums():
        buffer = BytesIO()
        plt.savefig(buffer, format="png", dpi=80)
        plt.close("all")
        bundle["image/png"] = buffer.getvalue()
    return bundle
