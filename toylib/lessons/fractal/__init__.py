"""La frontière fractale de la leçon 15 : ses cartes, leur calcul par tuiles, sa démonstration."""

from toylib.lessons.fractal.demonstration import map_explorer  # noqa: F401
from toylib.lessons.fractal.maps import (  # noqa: F401
    START,
    Region,
    descend,
    dimension,
    frontier,
    loss_values,
    make_problem,
    pair_values,
    plot_map,
    shuffle,
)
from toylib.lessons.fractal.tiles import training_map  # noqa: F401
