"""À chacun ses figures : bouger un curseur ne touche pas à celles de la cellule qui s'exécute."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, MutableMapping, ValuesView
from contextvars import ContextVar, copy_context
from functools import wraps
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
_current: ContextVar[SimpleNamespace] = ContextVar("figures")


def keep_apart() -> None:
    """Donne aux widgets leurs propres figures de pyplot, à part de celles des cellules.

    Sans effet la deuxième fois, ni hors d'IPython. Quand `%matplotlib` choisit un autre affichage qu'`inline`, dont
    les figures vivent après la cellule, les widgets partagent celles des cellules, comme toujours.
    """
    if get_ipython() is None or isinstance(Gcf.figs, _Registry):
        return
    from matplotlib_inline import backend_inline  # ici seulement : l'importer branche matplotlib sur le noyau

    show = backend_inline.show
    cells = SimpleNamespace(figs=Gcf.figs, _to_draw=show._to_draw, _draw_called=show._draw_called)
    backend_inline.show, Gcf.figs = _Show(show, cells), _Registry(cells)
    # ipywidgets ne connaît l'affichage que sous son nom long : après `%matplotlib inline`, qui écrit le court, il
    # laisserait la figure de `interact` à la fin du message, où aucune sortie ne la recueille.
    interaction.show_inline_matplotlib_plots = backend_inline.flush_figures
    BaseComm.handle_msg = _apart(BaseComm.handle_msg)
    MathTextParser.parse = _one_at_a_time(MathTextParser.parse)


def _apart(handle: Callable) -> Callable:
    """`handle`, mais avec un registre de figures neuf."""

    @wraps(handle)
    def handle_msg(comm: BaseComm, msg: dict) -> None:
        context = copy_context()
        if "inline" in matplotlib.get_backend():
            context.run(_current.set, SimpleNamespace(figs=OrderedDict(), _to_draw=[], _draw_called=False))
        context.run(handle, comm, msg)

    return handle_msg


def _one_at_a_time(parse: Callable) -> Callable:
    """`parse`, un fil à la fois : l'analyseur des formules de matplotlib est unique, et garde un état."""
    lock = threading.RLock()

    @wraps(parse)
    def locked(*args, **kwargs) -> object:
        with lock:
            return parse(*args, **kwargs)

    return locked


class _Registry(MutableMapping):
    """`Gcf.figs` : les figures de pyplot du contexte, ou celles des cellules."""

    def __init__(self, cells: SimpleNamespace) -> None:
        self._cells = cells

    @property
    def _figs(self) -> OrderedDict:
        return _current.get(self._cells).figs

    def __getitem__(self, num: object) -> object:
        return self._figs[num]

    def __setitem__(self, num: object, manager: object) -> None:
        self._figs[num] = manager

    def __delitem__(self, num: object) -> None:
        del self._figs[num]

    def __iter__(self) -> Iterator:
        return iter(self._figs)

    def __len__(self) -> int:
        return len(self._figs)

    def values(self) -> ValuesView:
        return self._figs.values()

    def move_to_end(self, num: object) -> None:
        self._figs.move_to_end(num)


class _Show:
    """`show` de l'affichage `inline` : ce qu'il reste à montrer suit le registre du contexte."""

    def __init__(self, show: Callable, cells: SimpleNamespace) -> None:
        self.__dict__.update(_show=show, _cells=cells)

    def __call__(self, *args, **kwargs) -> None:
        self._show(*args, **kwargs)

    def __getattr__(self, name: str) -> object:
        return getattr(_current.get(self._cells), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(_current.get(self._cells), name, value)
