"""Le réseau : des couches cachées linéaires, chacune suivie ou non de tanh, puis une couche de sortie."""

from collections.abc import Sequence

import torch
from torch import nn

from toylib._checks import check_fits, check_list, check_whole, refusing, require, shown
from toylib._tensors import random_generator


class Net(nn.Module):
    """Un réseau de neurones dense, qui rend des logits.

    Arguments :
        nins : nombre d'entrées, au moins 1.
        nout : nombre de sorties, une par classe, au moins 1.
        hidden : largeur de chaque couche cachée.
        tanh : un booléen par couche cachée, vrai si tanh la suit ; tous vrais par défaut.
            (True, False) est le réseau du texte d'origine, (False, False) une application affine.
        seed : graine des poids initiaux, qui ne touche pas au hasard de l'appelant ; sans elle, ils sont tirés
            du générateur global de PyTorch, que `torch.manual_seed` fixe.

    Les poids initiaux suivent la loi que PyTorch donne par défaut à `nn.Linear` : uniforme sur
    [-1/√k, 1/√k], où k est le nombre d'entrées de la couche. Sans graine, ce sont les bits mêmes d'une
    suite de `nn.Linear`.

    Lève : `ValueError` ou `TypeError` pour une largeur, une graine ou un `tanh` qui ne convient pas.

    >>> model = Net(2, seed=0)
    >>> model(torch.zeros(5, 2)).shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        nins: int,
        nout: int = 2,
        hidden: Sequence[int] = (16, 16),
        *,
        tanh: Sequence[bool] | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.nins, self.nout = check_whole("nins", nins, 1), check_whole("nout", nout, 1)
        widths = [self.nins, *_check_hidden(hidden), self.nout]
        _check_size(widths)
        self.tanh = _check_tanh(tanh, len(widths) - 2)
        generator = random_generator(seed)
        layers = [_linear(a, b, generator) for a, b in zip(widths, widths[1:])]
        self.hidden, self.output = nn.ModuleList(layers[:-1]), layers[-1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Les logits (n, nout) des entrées x (n, nins)."""
        for layer, tanh in zip(self.hidden, self.tanh):
            x = layer(x)
            if tanh:
                x = torch.tanh(x)
        return self.output(x)


def _linear(nins: int, nout: int, generator: torch.Generator) -> nn.Linear:
    """Une couche linéaire dont les poids viennent de `generator`."""
    layer, bound = nn.Linear(nins, nout, device="meta"), nins**-0.5  # nn.Linear(nins, nout), sans poids encore
    with refusing("hidden", "tenir en mémoire", f"une couche de {nout} × {nins} poids"):
        weight, bias = torch.empty(nout, nins, device="cpu"), torch.empty(nout, device="cpu")
    layer.weight = nn.Parameter(weight.uniform_(-bound, bound, generator=generator))
    layer.bias = nn.Parameter(bias.uniform_(-bound, bound, generator=generator))
    return layer


def _check_size(widths: Sequence[int]) -> None:
    """Vérifie que la mémoire suffit à tous les poids, avant d'en tirer un seul."""
    check_fits("nins", widths[0])
    check_fits("nout", widths[-1])
    check_fits("hidden", sum(a * b for a, b in zip(widths, widths[1:])))


def _check_hidden(hidden: Sequence[int]) -> list[int]:
    """Les largeurs des couches cachées, vérifiées une par une."""
    widths = check_list("hidden", hidden, "une suite de largeurs, comme (16, 16)")
    return [check_whole(f"hidden[{i}]", width, 1) for i, width in enumerate(widths)]


def _check_tanh(tanh: Sequence[bool] | None, layers: int) -> tuple[bool, ...]:
    """Un booléen par couche cachée ; tous vrais si `tanh` est absent."""
    wanted = "une suite de booléens, un par couche cachée"
    flags = [True] * layers if tanh is None else check_list("tanh", tanh, wanted)
    require(all(isinstance(flag, bool) for flag in flags), "tanh", f"être {wanted}", shown(tanh), TypeError)
    require(len(flags) == layers, "tanh", f"avoir un booléen par couche cachée, soit {layers}", shown(tanh))
    return tuple(flags)
