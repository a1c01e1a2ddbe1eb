"""L'explorateur sans noyau : une image et un texte, pour un carnet que l'on ne fait que lire."""

from io import BytesIO

import numpy as np
from matplotlib.figure import Figure

from toylib.plotting import comma, percent, plot_history
from toylib.training import History

Rates = dict[str, tuple[float, History]]


def three_rates(histories: dict[float, History]) -> Rates:
    """De courbes à plusieurs taux, croissants, en garde trois, mesurées et non supposées.

    Rend : « trop petit » (le premier), « bon » (la plus petite perte finale) et « trop grand » (le
    dernier), avec leurs courbes ; un extrême qui se trouve être le bon taux n'y est pas.
    """
    low, *_, high = histories
    good = min(histories, key=lambda lr: np.nan_to_num(histories[lr].loss[-1], nan=np.inf))
    named = {"trop petit": low, "bon": good, "trop grand": high}
    return {name: (lr, histories[lr]) for name, lr in named.items() if name == "bon" or lr != good}


def describe(rates: Rates, caption: str) -> str:
    """Le texte qui remplace le curseur ; le même d'une machine à l'autre.

    Au-delà du bon taux, les derniers chiffres sont instables : le texte n'en donne qu'un verdict.
    """
    lines = [f"Explorateur du taux d'apprentissage ({caption}) : exécutez la cellule pour bouger le curseur."]
    for name, (lr, history) in rates.items():
        loss, accuracy = comma(history.loss[-1], 2), percent(history.accuracy[-1], 2)
        outcome = f"perte finale {loss}, exactitude {accuracy}"
        if name == "trop grand":
            outcome = "la perte finale est plus haute que celle du bon taux"
        lines.append(f"lr {comma(lr)} · {name} · {outcome}")
    return "\n".join(lines)


def small_multiples(rates: Rates) -> bytes:
    """Le PNG des courbes de perte de `rates`, côte à côte."""
    figure = Figure(figsize=(11, 3.6), layout="none")
    figure.subplots_adjust(0.1, 0.18, 0.99, 0.9, wspace=0.06)
    axes = figure.subplots(1, len(rates), sharey=True, squeeze=False)[0]
    for ax, (name, (lr, history)) in zip(axes, rates.items()):
        plot_history(history, ax)
        ax.set_title(f"lr = {comma(lr)} : {name}")
        ax.label_outer()
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    return buffer.getvalue()
