"""À chacun ses figures : bouger un curseur ne touche pas à celles de la cellule qui s'exécute."""

import threading
from collections import OrderedDict, UserDict
from collections.abc import Callable, ValuesView
from contextvars import ContextVar, copy_context
from types import SimpleNamespace

import matplotlib
from comm.base_comm import BaseComm
from IPython import get_ipython
from ipywidgets.widgets import interaction
from matplotlib._pylab_helpers import Gcf
from matplotlib.mathtext import MathTextParser

# JupyterLab fait traiter les messages des widgets par un autre fil que celui des cellules (`commsOverSubshells`) :
# un curseur répond pendant qu'une cellule s'exécute. Or pyplot n'a qu'un registre de figures, et après chaque message
# l'événement `post_execute` d'IPython y montre et ferme tout : les courbes de la cellule en cours, entre autres. Le
# différer (à `post_run_cell`) ne suffirait pas : `interact` vide le registre de lui-même, et dessine dans les axes
# courants. Chaque message a donc son registre, que porte le contexte où il se traite ; les cellules gardent celui
# qu'elles avaient, tout comme les fils qu'elles lancent. `ContextVar`, et non un registre par fil : sans sous-noyaux,
# un message peut passer dans le fil même d'une cellule qui attend (`await`).
_cells = SimpleNamespace(figs=Gcf.figs)
_current: ContextVar[SimpleNamespace] = ContextVar("figures", default=_cells)
_handle, _parse, _parsing = BaseComm.handle_msg, MathTextParser.parse, threading.RLock()


def keep_apart() -> None:
    """Donne aux widgets leurs propres figures de pyplot, à part de celles des cellules.

    Sans effet la deuxième fois, ni hors d'IPython. Quand `%matplotlib` choisit un autre affichage qu'`inline`, dont
    les figures vivent après la cellule, les widgets partagent celles des cellules, comme toujours.
    """
    if get_ipython() is None or isinstance(Gcf.figs, _Registry):
        return
    from matplotlib_inline import backend_inline  # ici seulement : l'importer branche matplotlib sur le noyau

    vars(_cells).update(vars(backend_inline.show))
    backend_inline.show, Gcf.figs = _Show(backend_inline.show), _Registry()
    # ipywidgets ne connaît l'affichage que sous son nom long : après `%matplotlib inline`, qui écrit le court, il
    # laisserait la figure de `interact` à la fin du message, où aucune sortie ne la recueille.
    interaction.show_inline_matplotlib_plots = backend_inline.flush_figures
    BaseComm.handle_msg, MathTextParser.parse = _handle_apart, _parse_alone


def _handle_apart(comm: BaseComm, msg: dict) -> None:
    """`BaseComm.handle_msg`, avec un registre de figures neuf."""
    context = copy_context()
    if "inline" in matplotlib.get_backend():
        context.run(_current.set, SimpleNamespace(figs=OrderedDict(), _to_draw=[], _draw_called=False))
    context.run(_handle, comm, msg)


def _parse_alone(*args, **kwargs) -> object:
    """`MathTextParser.parse`, un fil à la fois : l'analyseur des formules est unique, et garde un état."""
    with _parsing:
        return _parse(*args, **kwargs)


class _Registry(UserDict):
    """`Gcf.figs` : les figures de pyplot du contexte, ou celles des cellules."""

    def __init__(self) -> None:
        """Rien à retenir : le contexte le fait."""

    @property
    def data(self) -> OrderedDict:
        return _current.get().figs

    def values(self) -> ValuesView:
        return self.data.values()

    def move_to_end(self, num: object) -> None:
        self.data.move_to_end(num)


class _Show:
    """`show` de l'affichage `inline` : ce qu'il reste à montrer suit le registre du contexte."""

    def __init__(self, show: Callable) -> None:
        vars(self).update(_show=show)

    def __call__(self, *args, **kwargs) -> None:
        self._show(*args, **kwargs)

    def __getattr__(self, name: str) -> object:
        return getattr(_current.get(), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(_current.get(), name, value)
