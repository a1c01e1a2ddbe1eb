"""Les manchots de la leçon 11 : lire le fichier, et en faire trois jeux à l'échelle d'un réseau."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from toylib._checks import check_choice, check_list, refusing, require


def read_penguins(path: str | Path, columns: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Les mesures demandées, float64 (n, d), et l'espèce (n,), 0, 1 ou 2 par ordre alphabétique.

    Un manchot dont une de ces mesures manque (`NA`) n'y est pas.

    Lève : `OSError` si le fichier ne se lit pas, `ValueError` ou `TypeError` pour une colonne qu'il n'a
    pas, ou qui n'est pas faite de nombres.
    """
    with open(path, encoding="utf-8") as file:
        table = csv.DictReader(file)
        columns = check_list("columns", columns, "une suite de colonnes")
        require(columns, "columns", "nommer au moins une colonne", "une suite vide")
        for k, name in enumerate(columns):
            check_choice(f"columns[{k}]", name, table.fieldnames or ())
        rows = [row for row in table if "NA" not in [row[name] for name in columns]]
    with refusing("columns", "nommer des colonnes de nombres"):
        measures = np.array([[float(row[name]) for name in columns] for row in rows])
    return measures, np.unique([row["species"] for row in rows], return_inverse=True)[1]


def three_sets(measures: np.ndarray, labels: np.ndarray, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Les jeux d'entraînement (200 points), de validation (71) et de test (le reste), tirés au hasard.

    Chaque mesure est centrée, puis divisée par son écart-type ; la moyenne et l'écart-type sont ceux de
    l'entraînement, car des deux autres jeux on ne doit rien savoir.

    >>> sets = three_sets(np.arange(342.0).reshape(342, 1), np.zeros(342, dtype=int))
    >>> [len(points) for points, _ in sets]
    [200, 71, 71]
    """
    parts = np.split(np.random.default_rng(seed).permutation(len(labels)), [200, 271])
    learnt = measures[parts[0]]
    scaled = (measures - learnt.mean(axis=0)) / learnt.std(axis=0)
    return [(scaled[part], labels[part]) for part in parts]
