"""Ce que les widgets vivants disent à un lecteur d'écran, et que les curseurs d'ipywidgets ne disent pas."""

from pathlib import Path

import anywidget
import ipywidgets as widgets


class ScreenReader(anywidget.AnyWidget):
    """Un widget invisible, à poser dans une démonstration, dont il décrit les parties à un lecteur d'écran.

    Un curseur d'ipywidgets n'a pas de nom, et lit le rang de sa valeur au lieu de la valeur ; une image n'a pas de
    texte de remplacement ; une ligne d'état que l'on remplace n'est annoncée que si ce qui la contient demeure.

    >>> ScreenReader().layout.display
    'none'
    """

    _esm = Path(__file__).with_suffix(".js")
    _css = Path(__file__).with_suffix(".css")

    def __init__(self) -> None:
        super().__init__(layout=widgets.Layout(display="none"))
