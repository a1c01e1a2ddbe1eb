"""Le réseau : des couches cachées linéaires, chacune suivie ou non de tanh, puis une couche de sortie."""

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from toylib._checks import check_fits, check_list, check_weights, check_whole, shown


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
    """Un générateur aléatoire neuf, de graine `seed` ; sans graine, le générateur global de PyTorch.

    Lève : `ValueError` ou `TypeError` si `seed` n'est pas un entier positif ou nul.

    >>> random_generator(7).initial_seed()
    7
    """
    if seed is None:
        return torch.default_generator
    return torch.Generator().manual_seed(check_whole("seed", seed))


def _linear(nins: int, nout: int, generator: torch.Generator) -> nn.Linear:
    """Une couche linéaire dont les poids viennent de `generator`."""
    check_fits("hidden", nins * nout)
    layer = nn.Linear(nins, nout, device="meta")  # sans poids : le tirage par défaut avancerait le générateur global
    bound = nins**-0.5
    try:
        weight, bias = torch.empty(nout, nins), torch.empty(nout)
    except RuntimeError:
        raise ValueError(f"hidden doit tenir en mémoire ; reçu : une couche de {nout} × {nins} poids.") from None
    layer.weight = nn.Parameter(weight.uniform_(-bound, bound, generator=generator))
    layer.bias = nn.Parameter(bias.uniform_(-bound, bound, generator=generator))
    return layer


def _check_hidden(hidden: Sequence[int]) -> tuple[int, ...]:
    """Les largeurs des couches cachées, vérifiées une par une."""
    hidden = check_list("hidden", hidden, "une suite de largeurs, comme (16, 16)")
    return tuple(check_whole(f"hidden[{i}]", width, 1) for i, width in enumerate(hidden))


def _check_tanh(tanh: Sequence[bool] | None, layers: int) -> tuple[bool, ...]:
    """Un booléen par couche cachée ; tous vrais si `tanh` est absent."""
    if tanh is None:
        return (True,) * layers
    wanted = "une suite de booléens, un par couche cachée"
    flags = check_list("tanh", tanh, wanted)
    if not all(isinstance(flag, bool) for flag in flags):
        raise TypeError(f"tanh doit être {wanted} ; reçu : {shown(tanh)}.")
    if len(flags) != layers:
        raise ValueError(f"tanh doit avoir un booléen par couche cachée, soit {layers} ; reçu : {shown(tanh)}.")
    return tuple(flags)


def check_plain(model: Net) -> None:
    """Vérifie que `model` est tel que `Net(…)` le fait, aux valeurs de ses poids près : ce que `sweep` sait refaire.

    Lève : `TypeError` pour une sous-classe, `ValueError` pour ce qui change le calcul ou l'apprentissage.

    >>> check_plain(Net(2))
    """
    if type(model) is not Net:
        raise TypeError(f"model doit être un Net, non une sous-classe, pour `sweep` ; reçu : {type(model).__name__}.")
    check_weights(model)
    change = next((change for change, found in _changes(model) if found), None)
    if change:
        raise ValueError(f"model doit être un Net dont rien n'a changé que les poids, pour `sweep` ; reçu : {change}.")
    if torch.is_autocast_enabled("cpu"):
        raise ValueError("model doit calculer dans le type de ses poids, pour `sweep` ; reçu : `torch.autocast`.")


def _changes(model: Net) -> Iterator[tuple[str, object]]:
    """Ce qui ferait d'un réseau autre chose qu'un `Net`, et si c'est le cas ; chacun suppose que les précédents ne le
    sont pas."""
    count, modules = len(model.tanh) + 1, list(model.modules())
    yield "d'autres couches", [type(one) for one in modules] != [Net, nn.ModuleList, *[nn.Linear] * count]
    names, weights = zip(*model.named_parameters(remove_duplicate=False))
    layers = [*(f"hidden.{i}" for i in range(count - 1)), "output"]
    yield "des poids en plus ou en moins", list(names) != [f"{one}.{part}" for one in layers for part in _PARTS]
    yield "des couches qui ne s'enchaînent pas", [tuple(one.shape) for one in weights] != _shapes(model, weights[::2])
    yield "des poids partagés", len({one.data_ptr() for one in weights}) < len(weights)
    yield "des poids gelés", not all(one.requires_grad for one in weights)
    yield "une méthode forward remplacée", any("forward" in vars(one) for one in modules)
    hooked = [vars(one).get(name) for one in modules for name in _HOOKS]
    hooked += [one._backward_hooks or one._post_accumulate_grad_hooks for one in weights]
    yield "des crochets (`hooks`)", any(hooked) or nn.modules.module._has_any_global_hook()


def _shapes(model: Net, matrices: Sequence[torch.Tensor]) -> list[tuple[int, ...]]:
    """Les formes des poids et des biais de couches qui s'enchaînent, des largeurs de `matrices`."""
    widths = [model.nins, *(len(one) for one in matrices[:-1]), model.nout]
    return [shape for a, b in zip(widths, widths[1:]) for shape in ((b, a), (b,))]


_PARTS = ("weight", "bias")
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
