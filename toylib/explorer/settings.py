"""Ce que l'explorateur accepte, vérifié avant que rien ne bouge."""

import math
from collections.abc import Sequence

from toylib._checks import check_choice, check_fits, check_list, check_lr, check_real, check_whole, require, shown
from toylib._tensors import count_weights
from toylib.explorer.controls import check_different, plain, same
from toylib.explorer.runs import LR_GRID, Config, Given, Runs
from toylib.explorer.views import PANELS
from toylib.french import SCHEDULE_NAMES
from toylib.plotting import check_drawn

POINTS = {"n": 500, "rule": "sum", "noise": 0.0}  # les données, sans autre indication


def check_points(data: object, valid: object, rules: dict[str, object]) -> tuple[Given | None, dict[str, object]]:
    """Les données à soi, s'il y en a, et de quoi tirer les autres : n, rule et noise.

    Ni ces trois-là, ni un nombre d'échantillons de validation à tirer ne vont avec des données à soi.
    """
    if data is None:
        return None, POINTS | {name: value for name, value in rules.items() if value is not None}
    if isinstance(data, Given):  # celles d'un autre explorateur
        return data, rules
    for name, value in rules.items():
        require(value is None, name, "être absent : data donne les données", shown(value))
    return Given.of(data, None if same(plain(valid), 0) else valid), rules


def check_views(views: Sequence[str], given: Given | None) -> list[str]:
    """Les vues, par leur nom ; la frontière demande deux entrées, et une couleur par classe."""
    views = check_list("views", views, "une suite de vues") or [None]
    views = [check_choice(f"views[{i}]", view, PANELS) for i, view in enumerate(views)]
    check_different("views", views)
    if given and "boundary" in views:
        require(given.shape[0] == 2, "data[0]", 'avoir 2 entrées, pour la vue "boundary"', given.shape[0])
        check_drawn("data[1]", given.shape[1])
    return views


def check_first(lr: float, optimizer: str, choices: dict[str, list], given: Given | None, runs: Runs) -> Config:
    """La configuration de départ ; toutes celles que les commandes offrent sont vérifiées."""
    first = Config(snap(lr), optimizer, **{field: values[0] for field, values in choices.items()}, given=given)
    others = [first._replace(**{field: value}) for field, values in choices.items() for value in values[1:]]
    for config in (first, *others):
        check_whole("seed", config.seed)  # sans graine, chaque cran partirait d'autres poids
        check_whole("epochs", config.epochs)
        check_choice("schedule", config.schedule, SCHEDULE_NAMES)
        runs.sweep(config._replace(epochs=0), [config.lr])  # qui ne coûte rien, et refuse tout le reste
        n = config.n or len(given.data[0])
        check_fits("epochs", config.epochs * math.ceil(n / (config.batch_size or n)))
        check_fits("epochs", (config.epochs + 1) * (count_weights(config.net()) if runs.weights else 0))
    for field, values in choices.items():
        check_different(field, values)
    return first


def check_challenge(challenge: object) -> tuple[float, int] | None:
    """Le défi : une exactitude entre 0 et 1, un nombre d'époques."""
    if challenge is None:
        return None
    couple = isinstance(challenge, tuple | list) and len(challenge) == 2
    require(couple, "challenge", "être un couple (exactitude, époques)", shown(challenge), TypeError)
    accuracy = check_real("challenge[0]", challenge[0], 0, 1, "être une exactitude entre 0 et 1")
    return accuracy, check_whole("challenge[1]", challenge[1])


def snap(lr: float) -> float:
    """Le taux de `LR_GRID` le plus proche, en échelle logarithmique."""
    lr = check_lr(lr)
    return min(LR_GRID, key=lambda rate: abs(math.log(rate / lr)))
