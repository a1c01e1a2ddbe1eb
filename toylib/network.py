"""Le réseau : des couches cachées linéaires, chacune suivie ou non de tanh, puis une couche de sortie."""

from collections.abc import Sequence

import torch
from torch import nn

from toylib._checks import check_whole


class Net(nn.Module):
    """Un réseau de neurones dense, qui rend des logits.

    Arguments :
        nins : nombre d'entrées, au moins 1.
        nout : nombre de sorties, une par classe, au moins 1.
        hidden : largeur de chaque couche cachée.
        tanh : un booléen par couche cachée, vrai si tanh la suit ; tous vrais par défaut.
            (True, False) est le réseau du texte d'origine, (False, False) une application affine.
        seed : graine des poids initiaux ; sans elle, un tirage neuf à chaque appel. Le générateur
            aléatoire de l'appelant n'est jamais touché.

    Les poids initiaux suivent la loi que PyTorch donne par défaut à `nn.Linear` : uniforme sur
    [-1/√k, 1/√k], où k est le nombre d'entrées de la couche.

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
        hidden = _check_hidden(hidden)
        self.tanh = _check_tanh(tanh, len(hidden))
        generator = random_generator(seed)
        widths = (self.nins, *hidden)
        self.hidden = nn.ModuleList(_linear(a, b, generator) for a, b in zip(widths, hidden))
        self.output = _linear(widths[-1], self.nout, generator)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Les logits (n, nout) des entrées x (n, nins)."""
        for layer, tanh in zip(self.hidden, self.tanh):
            x = layer(x)
            if tanh:
                x = torch.tanh(x)
        return self.output(x)


def random_generator(seed: int | None) -> torch.Generator:
    """Un générateur aléatoire neuf, de graine `seed`, ou imprévisible sans graine.

    Lève : `ValueError` ou `TypeError` si `seed` n'est pas un entier positif ou nul.

    >>> random_generator(7).initial_seed()
    7
    """
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(check_whole("seed", seed))
    return generator


def _linear(nins: int, nout: int, generator: torch.Generator) -> nn.Linear:
    """Une couche linéaire dont les poids viennent de `generator`."""
    layer = nn.Linear(nins, nout, device="meta")  # sans poids : le tirage par défaut avancerait le générateur global
    bound = nins**-0.5
    layer.weight = nn.Parameter(torch.empty(nout, nins).uniform_(-bound, bound, generator=generator))
    layer.bias = nn.Parameter(torch.empty(nout).uniform_(-bound, bound, generator=generator))
    return layer


def _check_hidden(hidden: Sequence[int]) -> tuple[int, ...]:
    """Les largeurs des couches cachées, vérifiées une par une."""
    if isinstance(hidden, str) or not isinstance(hidden, Sequence):
        raise TypeError(f"hidden doit être une suite de largeurs, comme (16, 16) ; reçu : {hidden!r}.")
    return tuple(check_whole(f"hidden[{i}]", width, 1) for i, width in enumerate(hidden))


def _check_tanh(tanh: Sequence[bool] | None, layers: int) -> tuple[bool, ...]:
    """Un booléen par couche cachée ; tous vrais si `tanh` est absent."""
    if tanh is None:
        return (True,) * layers
    if not isinstance(tanh, Sequence) or not all(isinstance(flag, bool) for flag in tanh):
        raise TypeError(f"tanh doit être une suite de booléens, un par couche cachée ; reçu : {tanh!r}.")
    if len(tanh) != layers:
        raise ValueError(f"tanh doit avoir un booléen par couche cachée, soit {layers} ; reçu : {tanh!r}.")
    return tuple(tanh)
