"""Le calcul d'une carte, par tuiles que se partagent les fils ou les processus d'un exécuteur.

Du plus grossier au plus fin ; rien n'est calculé deux fois.
"""

import os
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import closing, nullcontext
from functools import partial
from itertools import product

import numpy as np

from toylib._checks import check_whole, require
from toylib.lessons.fractal.maps import Map, Problem, Region, check_map, check_problem, check_region, gaps, pair_values

TILE = 128  # couples par tuile
TRIES = 3  # fois où l'on soumet une tuile, tant qu'elle se perd
PAUSE = 0.02  # secondes au plus entre deux états d'une carte


def training_map(problem: Problem, region: Region, resolution: int = 128, **options) -> Map:
    """La carte entière de `resolution` points par côté : mêmes arguments et mêmes erreurs qu'`iter_map`.

    >>> from toylib.lessons.fractal.maps import make_problem
    >>> training_map(make_problem(10), Region(-3, 3, -3, 3), 8).share < 0.7
    True
    """
    *_, last = iter_map(problem, region, resolution, **options)
    return last


def iter_map(
    problem: Problem,
    region: Region,
    resolution: int = 128,
    *,
    executor: Executor | None = None,
    tile: int = TILE,
    start: Map | None = None,
) -> Iterator[Map]:
    """Calcule une carte, du plus grossier au plus fin ; la livre toutes les 20 ms au plus, telle qu'elle est alors.

    Arguments : `problem`, ce que chaque point entraîne ; `region`, les taux, en puissances de dix ; `resolution`,
    points par côté, au moins 2 ; `executor`, qui calcule les tuiles : tout `concurrent.futures.Executor`, comme une
    réserve de processus ou le `client.get_executor()` d'une grappe Dask, qui n'est pas fermé (par défaut, un fil par
    processeur) ; `tile`, couples de taux par tuile ; `start`, une carte de même région et de même taille, à compléter.

    Livre : des `Map` qui partagent un même tableau, lequel se remplit. Qui cesse de parcourir arrête tout.

    Lève : `ValueError` ou `TypeError` pour un argument qui ne convient pas ; `RuntimeError` si une tuile, perdue
    ou en échec, l'est à chacun de ses `TRIES` essais.
    """
    tile, work = check_whole("tile", tile, 1), partial(pair_values, check_problem(problem))
    region, resolution = check_region(region, resolution), int(resolution)
    values = np.full((resolution, resolution), np.nan) if start is None else check_map("start", start).values
    same = start is None or start.region == region
    require(same, "start", "être une carte de la même région", start and start.region)
    require(values.shape == (resolution, resolution), "start", f"avoir {resolution} points par côté", len(values))
    result, rates = Map(region, values), region.rates(resolution).reshape(-1, 2)
    yield result
    with nullcontext(executor) if executor is not None else ThreadPoolExecutor(os.cpu_count()) as pool:
        for gap, tries in product(gaps(resolution), range(1, TRIES + 1)):
            with closing(_run_tiles(pool, work, rates, _tiles(values, gap, tile), tries)) as found:
                for part, new in found:
                    values.flat[part] = new
                    yield result


def _tiles(values: np.ndarray, gap: int, tile: int) -> list[np.ndarray]:
    """Les points inconnus de la grille qui prend un point sur `gap`, en tuiles : leurs rangs dans la carte."""
    ranks = np.arange(values.size).reshape(values.shape)[::gap, ::gap]
    missing = ranks[np.isnan(values[::gap, ::gap])]
    return [missing[k : k + tile] for k in range(0, len(missing), tile)]


def _run_tiles(pool: Executor, work, rates: np.ndarray, tiles: list, tries: int) -> Iterator[tuple]:
    """Fait calculer les tuiles ; livre (rangs, valeurs) de chacune, et (rien, rien) s'il n'y a rien de neuf.

    Une tuile perdue reste inconnue : elle est de l'essai suivant, s'il y en a un. Fermé avant la fin, annule ce qui
    attend.
    """
    pending = {_submit(pool, work, rates[part]): part for part in tiles}
    try:
        while pending:
            done = wait(pending, PAUSE, FIRST_COMPLETED).done
            for future in done:
                part = pending.pop(future)
                error = "annulée" if future.cancelled() else future.exception()
                if error is None:
                    yield part, future.result()
                elif tries == TRIES:
                    raise RuntimeError(f"Une tuile a échoué {tries} fois ; la dernière fois : {error}")
            if not done:
                yield [], []
    finally:
        for future in pending:
            future.cancel()


def _submit(pool: Executor, *task) -> Future:
    """Soumet une tuile. Lève : `RuntimeError` si l'exécuteur n'en veut plus."""
    try:
        return pool.submit(*task)
    except RuntimeError as error:  # fermé, ou BrokenProcessPool, qui en hérite
        raise RuntimeError(f"L'exécuteur n'accepte plus de tuile : {error}") from error
