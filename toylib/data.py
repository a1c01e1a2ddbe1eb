"""Les données : f = log(x + y), avec x et y uniformes, et la classe de chaque échantillon."""

import math
from collections.abc import Callable

import numpy as np

from toylib._checks import check_choice, check_fits, check_real, check_whole, numpy_generator

# Demi-largeur c de la bande |moyenne(x + y) - 1| < c de probabilité 1/2. Pour nins = 1, l'aire du
# triangle la donne ; pour 2 et 3, c'est la loi d'Irwin-Hall ; au-delà, la loi normale limite, dont
# le quartile est 0,6745 et la variance 1/(6 nins).
_BANDS = {1: 1 - 1 / math.sqrt(2), 2: 0.20136, 3: 0.16250}

# Chaque règle dit quels échantillons sont de la classe 1, d'après leurs sommes x + y, (n, nins).
RULES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "sum": lambda total, rng: total.mean(axis=1) > 1,
    "band": lambda total, rng: abs(total.mean(axis=1) - 1) < _half_width(total.shape[1]),
    "xor": lambda total, rng: (total[:, 0] > 1) != (total[:, 1] > 1),
    "random": lambda total, rng: rng.random(len(total)) < 0.5,
}


def gendata(
    n: int = 500, nins: int = 2, *, rule: str = "sum", noise: float = 0.0, seed: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Tire `n` échantillons de f = log(x + y) et leur classe, 0 ou 1.

    Arguments :
        n : nombre d'échantillons, au moins 1.
        nins : nombre d'entrées (*features*) de chacun, au moins 1 (2 pour la règle "xor").
        rule : la règle qui donne la classe 1 ; la probabilité des deux classes est 1/2.
            "sum" : la moyenne de x + y sur les entrées dépasse 1.
            "band" : cette moyenne est à moins de c de 1.
            "xor" : les deux premières entrées de f sont de signes différents.
            "random" : à pile ou face, sans rapport avec f ; il n'y a rien à apprendre.
        noise : part des étiquettes retournées, entre 0 et 1 ; leur nombre est round(noise * n).
        seed : graine ; la même rend les mêmes bits, et le hasard de l'appelant n'est pas touché. Sans elle,
            le tirage suit l'état global de NumPy, que `np.random.seed` fixe. À graine égale, le bruit ne
            déplace pas les points.

    Rend :
        f : float32 (n, nins).
        y2 : float32 (n, 2), une ligne [1, 0] pour la classe 0, [0, 1] pour la classe 1 (*one-hot*).

    Lève : `ValueError` ou `TypeError` pour un argument hors de ces bornes.

    Source : L = ln(x + y) a pour densité e^{2l} si l <= 0 et e^l (2 - e^l) sur [0, ln 2] ; sa
    médiane est 0 et sa moyenne 2 ln 2 - 3/2.

    >>> f, y2 = gendata(4, seed=0)
    >>> f.shape, y2.shape
    ((4, 2), (4, 2))
    >>> bool((y2.sum(axis=1) == 1).all())
    True
    """
    check_choice("rule", rule, RULES)
    n, nins = check_whole("n", n, 1), check_whole("nins", nins, 2 if rule == "xor" else 1)
    check_fits("n", n * nins)
    noise = check_real("noise", noise, 0, 1, "être une part entre 0 et 1")
    rng = numpy_generator(seed)

    x, y = rng.random((2, n, nins))
    total = x + y
    labels = RULES[rule](total, rng).astype(np.int64)  # faux ou vrai : 0 ou 1
    flipped = rng.permutation(n)[: round(noise * n)]
    labels[flipped] = 1 - labels[flipped]
    one_hot = np.stack([1 - labels, labels], axis=1)
    return np.log(total).astype(np.float32), one_hot.astype(np.float32)


def _half_width(nins: int) -> float:
    """La demi-largeur de la bande, pour `nins` entrées."""
    return _BANDS.get(nins, 0.6745 / math.sqrt(6 * nins))
