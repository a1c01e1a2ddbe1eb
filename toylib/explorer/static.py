"""L'explorateur sans noyau : une image et un texte, pour un carnet que l'on ne fait que lire."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from IPython.core.pylabtools import print_figure
from matplotlib import rcParams

from toylib.explorer.runs import Config
from toylib.explorer.stage import make_figure, set_margins
from toylib.explorer.views import PANELS, format_u
from toylib.french import OPTIMIZER_NAMES, RULE_NAMES, comma, counted, percent
from toylib.plotting import STYLES, drawable, plot_boundary, plot_history
from toylib.sweep import Sweep
from toylib.training import History

SURE = 1e-4  # écart relatif entre copies à un bit près au-delà duquel une perte finale est celle de l'arrondi


class Rate(NamedTuple):
    """Un taux, sa courbe, et ce que l'on peut en dire sur toute machine."""

    lr: float
    history: History
    outcome: str


def three_rates(result: Sweep) -> dict[str, Rate]:
    """Du balayage de taux croissants par un réseau et ses copies à un bit près, garde trois taux, mesurés.

    Rend : « trop petit » (le premier), « bon » (la plus petite perte finale, parmi celles que l'arrondi ne change
    pas) et « trop grand » (le dernier) ; un extrême qui se trouve être le bon taux n'y est pas.
    """
    final = np.nan_to_num(result.loss[:, :, -1], nan=1e30, posinf=1e30)  # (copies, taux)
    spread = np.ptp(final, axis=0) / final[0]
    good = int(np.where(spread <= SURE, final[0], final.max(axis=0) + 1e30).argmin())
    curves = {name: curve[0] for name, curve in vars(result).items() if name != "lrs" and curve is not None}
    first, rates = Sweep(result.lrs, **curves), {}
    for name, k in (("trop petit", 0), ("bon", good), ("trop grand", len(result.lrs) - 1)):
        if name == "trop grand" and (final[:, k] > final[0, good]).all():
            outcome = "la perte finale est plus haute que celle du bon taux"
        else:
            outcome = _outcome(final[0, k], spread[k], result.accuracy[:, k, -1])
        if name == "bon" or k != good:
            rates[name] = Rate(float(result.lrs[k]), first.history(k), outcome)
    return rates


def _outcome(loss: float, spread: float, accuracy: np.ndarray) -> str:
    """Ce que l'arrondi ne change pas d'une perte finale, connue à `spread` près, et de l'exactitude des copies."""
    if spread > SURE:
        return "la perte finale change au moindre arrondi"
    text = f"perte finale {comma(loss, 2)}"
    return text if np.ptp(accuracy) else f"{text}, exactitude {percent(accuracy[0], 2)}"


def describe(rates: dict[str, Rate], config: Config) -> str:
    """Le texte qui remplace le curseur ; le même d'une machine à l'autre."""
    trained = f"{OPTIMIZER_NAMES[config.optimizer]}, {caption(config)}"
    first = f"Explorateur du taux d'apprentissage ({trained}) : exécutez la cellule pour bouger le curseur."
    return "\n".join([first, *(f"lr {comma(rate.lr)} · {name} · {rate.outcome}" for name, rate in rates.items())])


def draw_views(views: Sequence[str], config: Config, result: Sweep, rates: dict[str, Rate]) -> bytes:
    """Le PNG des vues demandées : les courbes de trois taux, la courbe en U, et la frontière au bon taux."""
    panels = [panel for view in views for panel in PANELS[view]]
    figure = make_figure((480 * len(panels), 400), len(panels), "none")
    set_margins(figure, rcParams["font.size"], len(panels), above=2.2)
    for ax, panel in zip(figure.axes, panels):
        if panel == "boundary":
            good = result.lrs.tolist().index(rates["bon"].lr)
            plot_boundary(config.net(result.weights[0, good, -1]), *config.data(), ax)
        elif panel == "u":
            format_u(ax)
            ax.plot(result.lrs, drawable(result.loss[0, :, -1], "loss"), marker=".", **STYLES[0])
        else:
            for rate in rates.values():
                plot_history(rate.history, ax, metric=panel, label=f"lr {comma(rate.lr)}")
            ax.get_legend().remove()
            ax.minorticks_off()
            if panel == "loss":  # la légende de la perte vaut pour l'exactitude ; la validation est dite par le titre
                ax.legend(handles=ax.lines[:: len(ax.lines) // len(rates)], handlelength=3.5)
    thin = ", validation en trait fin" if result.valid_loss is not None else ""
    figure.suptitle(f"{OPTIMIZER_NAMES[config.optimizer]}, {caption(config)}{thin}")
    return print_figure(figure, bbox_inches=None, dpi=80)


def caption(config: Config) -> str:
    """Ce qui est entraîné, en quelques mots."""
    points = "vos données" if config.given else f"règle « {RULE_NAMES[config.rule]} »"
    return f"{points}, {counted(config.epochs, 'époque')}"
