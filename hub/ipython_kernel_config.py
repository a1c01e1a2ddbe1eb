"""Ce que le noyau d'un élève ne charge que s'il s'en sert ; hub/installer.py pose ce fichier où IPython le lit.

Le premier optimiseur importe le compilateur de torch (`torch._dynamo`, et sympy), pour lui demander deux choses : ne
pas compiler une fonction (`disable`), couper un graphe (`graph_break`) ; la courbure d'une perte lui demande de ne pas
compiler un gradient (`compiled_autograd`). Sans compilation, ce n'est rien à faire, et un noyau de leçon y gagne 40 à
60 Mo. Toute autre demande charge le vrai.
"""

import contextlib
import importlib
import os
import sys
from types import ModuleType, SimpleNamespace

COMPILER = "torch._dynamo"


class Compiler(ModuleType):
    """Tient la place du compilateur tant que rien ne se compile."""

    compiled_autograd = SimpleNamespace(_disable=contextlib.nullcontext)

    def disable(self, function, *arguments, **options):
        return function

    def graph_break(self) -> None:
        return None

    def __getattr__(self, name: str):
        if name.startswith("__") and name != "__path__":  # on l'inspecte, on ne s'en sert pas
            raise AttributeError(name)
        if sys.modules.get(COMPILER) is self:
            del sys.modules[COMPILER]
        return getattr(importlib.import_module(COMPILER), name)


if "HUB_CARNETS" in os.environ:
    sys.modules.setdefault(COMPILER, Compiler(COMPILER))
