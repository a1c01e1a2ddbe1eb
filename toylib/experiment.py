"""L'expérience du texte d'origine : un réseau neuf par taux d'apprentissage, un tableau, une figure."""

import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from io import TextIOWrapper
from typing import NoReturn

import matplotlib.pyplot as plt
import torch

from toylib._checks import check_choice, check_file, check_fits, check_lrs, check_whole, require
from toylib.data import RULES, gendata
from toylib.french import comma, percent
from toylib.network import Net
from toylib.plotting import plot_history
from toylib.training import OPTIMIZERS, History, train


def toytest(
    lrs: Sequence[float] = (1e-3, 1e-2, 1e-1, 1.0),
    epochs: int = 100,
    *,
    optimizer: str = "adam",
    rule: str = "sum",
    seed: int | None = 0,
    out: str | os.PathLike | None = None,
) -> dict[float, History]:
    """Entraîne un réseau neuf par taux, affiche le tableau des résultats et trace les courbes.

    Arguments :
        lrs : les taux d'apprentissage à comparer, différents ; mêmes poids initiaux, mêmes données pour tous.
        epochs : comme pour `train` ; optimizer : "adam", "sgd" ou "momentum" ; rule : comme pour `gendata`.
        seed : graine des données, des poids initiaux et des mélanges ; None : `np.random.seed` fixe les données,
            `torch.manual_seed` le reste.
        out : fichier où écrire la figure, comme "courbes.png" ; sans lui, elle reste la figure courante de
            matplotlib.

    Rend : un `History` par taux, dans l'ordre de `lrs`.

    Lève : `ValueError` ou `TypeError`, avant tout entraînement ; `OSError` si le disque est plein.

    >>> histories = toytest([0.1], epochs=2)  # doctest: +ELLIPSIS
          taux    perte  exactitude ...
    >>> len(histories[0.1].loss)
    3
    """
    lrs = check_lrs(lrs, dtype=torch.float32)
    require(len(set(lrs)) == len(lrs), "lrs", "être fait de taux différents", f"{max(lrs, key=lrs.count)} deux fois")
    check_fits("epochs", epochs := check_whole("epochs", epochs))
    check_choice("optimizer", optimizer, OPTIMIZERS)
    out = None if out is None else check_file("out", out, (".png", ".jpg", ".webp", ".pdf", ".svg"))
    f, y2 = gendata(rule=rule, seed=seed)
    seed = int(torch.randint(2**62, ())) if seed is None else seed  # le même départ pour tous les taux
    train(Net(2, seed=0), f, y2, epochs=1, lr=1.0, seed=0)  # les modules que torch charge au premier pas
    print(_ROW.format("taux", "perte", "exactitude", "99 % atteints", "durée"))
    histories = {}
    for lr in lrs:
        start = time.perf_counter()
        histories[lr] = train(Net(2, seed=seed), f, y2, epochs, lr, optimizer=optimizer, seed=seed)
        print(_row(lr, histories[lr], time.perf_counter() - start))
    figure = _figure(histories)
    if out is not None:
        _write(figure, out)
    return histories


_ROW = "{:>10} {:>8} {:>11} {:>14} {:>9}"


def _row(lr: float, history: History, seconds: float) -> str:
    """La ligne du tableau pour un taux."""
    reached = history.epochs_to(0.99)
    when = "jamais" if reached is None else f"époque {reached}"
    duration = f"{comma(1000 * seconds)} ms"
    return _ROW.format(comma(lr), comma(history.loss[-1]), percent(history.accuracy[-1]), when, duration)


def _figure(histories: dict[float, History]) -> plt.Figure:
    """Perte et exactitude, une courbe par taux, lisibles du fond d'une salle."""
    # L'appeler vingt et une fois n'a rien d'une étourderie : pas d'avertissement, en anglais, de matplotlib.
    with plt.rc_context({"font.size": 15, "figure.max_open_warning": 0}):
        figure, axes = plt.subplots(1, 2, figsize=(14, 5.6), layout="constrained")
        for metric, ax in zip(("loss", "accuracy"), axes):
            for lr, history in histories.items():
                plot_history(history, ax, metric=metric, label=f"lr = {comma(lr)}")
    return figure


def _write(figure: plt.Figure, out: os.PathLike) -> None:
    """Écrit la figure et la ferme, même si le disque est plein."""
    try:
        figure.savefig(out, dpi=150)
    finally:
        plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """La commande `python -m toylib` ; `--help` en donne les options."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # un é ou un ∞ n'est pas de tous les terminaux
    parser = _Parser()
    options = parser.parse_args(arguments)
    try:
        toytest(**{name: value for name, value in vars(options).items() if value is not None})
        print(f"Figure écrite dans {options.out}", flush=True)
    except (ValueError, TypeError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        parser.exit(130, "\nInterrompu.\n")
    except BrokenPipeError:  # `python -m toylib | head` : plus personne ne lit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError:
        parser.error(f"la figure n'a pu être écrite dans {options.out} ; le disque est-il plein ?")


class _Parser(ArgumentParser):
    """Les options de la commande ; l'aide et les erreurs sont en français."""

    def __init__(self) -> None:
        super().__init__("python -m toylib", description="Compare des taux d'apprentissage.", add_help=False)
        add = self.add_argument
        add("-h", "--help", action="help", help="affiche cette aide")
        add("--lrs", type=_rate, nargs="+", metavar="TAUX", help="taux à comparer")
        add("--epochs", type=int, metavar="N", help="nombre d'époques (100)")
        add("--optimizer", metavar="NOM", help=f"{', '.join(OPTIMIZERS)} (adam)")
        add("--rule", metavar="NOM", help=f"règle des données : {', '.join(RULES)} (sum)")
        add("--seed", type=int, metavar="N", help="graine (0)")
        add("--out", default="courbes.png", metavar="FICHIER", help="figure à écrire (courbes.png)")

    def format_help(self) -> str:
        return super().format_help().replace("usage:", "Usage :").replace("options:", "Options :")

    def error(self, message: str) -> NoReturn:
        for english, french in _FRENCH.items():
            message = message.replace(english, french)
        self.exit(2, f"Erreur : {message}\nL'aide : python -m toylib --help\n")


# Les erreurs qu'argparse écrit lui-même.
_FRENCH = {
    "unrecognized arguments:": "options inconnues :",
    "ambiguous option:": "option ambiguë :",
    "could match": "pourrait être",
    "expected at least one argument": "il faut au moins une valeur",
    "ignored explicit argument": "ne prend pas de valeur :",
    "expected one argument": "il faut une valeur",
    "invalid int value:": "il faut un entier ; reçu :",
    "invalid _rate value:": "il faut des nombres ; reçu :",
    "argument ": "option ",
}


def _rate(text: str) -> float:
    """Lit un taux, à virgule ou à point."""
    return float(text.replace(",", "."))
