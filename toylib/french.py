"""Le français des figures et des commandes : les nombres à virgule, et le nom de chaque chose."""

from decimal import Decimal

import numpy as np

METRIC_NAMES = {"loss": "Perte (entropie croisée)", "accuracy": "Exactitude"}
OPTIMIZER_NAMES = {"adam": "Adam", "sgd": "SGD", "momentum": "SGD avec inertie"}
RULE_NAMES = {"sum": "somme", "band": "bande", "xor": "ou exclusif", "random": "au hasard"}
SCHEDULE_NAMES = {
    "constant": "constante",
    "warmup": "échauffement",
    "decay": "décroissance",
    "cosine": "cosinus",
    "one_cycle": "un cycle",
}


def comma(number: float, digits: int = 3) -> str:
    """Écrit un nombre avec `digits` chiffres significatifs, une virgule décimale et sans exposant.

    >>> comma(0.001), comma(1.26e-05), comma(12.0)
    ('0,001', '0,0000126', '12')
    """
    if not np.isfinite(number):
        return "∞" if number > 0 else "-∞" if number < 0 else "indéfini"
    return f"{Decimal(f'{number:.{digits}g}').normalize():f}".replace(".", ",")


def counted(number: int, name: str) -> str:
    """Écrit un nombre et ce qu'il compte, au pluriel à partir de deux.

    >>> counted(1, "époque"), counted(100, "époque")
    ('1\xa0époque', '100\xa0époques')
    """
    return f"{number} {name}" + "s" * (number > 1)


def percent(share: float, digits: int = 3) -> str:
    """Écrit une part en pour cent, sans arrondir à 100 % ce qui n'y est pas.

    >>> percent(0.914), percent(0.9999)
    ('91,4\\xa0%', '99,9\\xa0%')
    """
    text = comma(100 * share, digits)
    if text == "100" and share < 1:
        text = "99,9"
    return f"{text} %"
