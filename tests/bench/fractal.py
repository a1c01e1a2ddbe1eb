"""Les cartes de la leçon 15 : python tests/bench/fractal.py

Le problème de la leçon : 80 points, 8 neurones cachés, 100 pas, float64 ; torch a un fil, comme dans un
carnet du cours. D'abord la durée d'une carte de 128 × 128 selon la taille des tuiles, sur un fil par processeur ;
puis celle de cartes de 64 × 64 et 256 × 256 selon l'exécuteur, le temps de la première grille de 64 × 64,
et le sommet de la mémoire (RSS), processus fils compris, en Mo, que l'on compare à celui des seuls imports.
Chaque mesure a son propre processus.
"""

import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from threading import Event, Thread

import psutil
import torch

from toylib.lessons.fractal.maps import START, make_problem
from toylib.lessons.fractal.tiles import TILE, iter_map

CPUS = os.cpu_count()
TILES = (128, 256, 512, 1024, 2048, 4096)
POOLS = {
    "un fil": lambda: ThreadPoolExecutor(1),
    f"{CPUS} fils": lambda: ThreadPoolExecutor(CPUS),
    f"{CPUS} processus": lambda: ProcessPoolExecutor(CPUS, get_context("spawn"), torch.set_num_threads, (1,)),
}


def peak(done, sizes):
    """Note, toutes les 50 ms, la mémoire de ce processus et de ses fils."""
    me = psutil.Process()
    while not done.wait(0.05):
        sizes.append(sum(one.memory_info().rss for one in (me, *me.children(recursive=True))) / 1e6)


def measure(pool, resolution, tile):
    """(secondes, secondes jusqu'à la grille de 64 × 64, Mo au repos, Mo au plus haut) d'une carte."""
    torch.set_num_threads(1)
    done, sizes = Event(), []
    idle, watch = psutil.Process().memory_info().rss / 1e6, Thread(target=peak, args=(done, sizes))
    with POOLS[pool]() as executor:
        watch.start()
        start, first = time.perf_counter(), None
        for chart in iter_map(make_problem(), START, resolution, executor=executor, tile=tile):
            if first is None and chart.reached >= 64:
                first = time.perf_counter() - start
        total = time.perf_counter() - start
        done.set()
        watch.join()
    return total, first, idle, max(sizes)


def apart(*args):
    """`measure`, dans un processus neuf."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(measure, *args).result()


def main():
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {CPUS} processeurs\n")
    print("couples par tuile   128 × 128   µs par point")
    for tile in TILES:
        seconds = apart(f"{CPUS} fils", 128, tile)[0]
        print(f"{tile:>17} {seconds:>9.1f} s {1e6 * seconds / 128**2:>14.0f}", flush=True)
    print(f"\ntuiles de {TILE:<7}  64 × 64  256 × 256   dont 64 × 64   Mo au repos   Mo au plus")
    for pool in POOLS:
        small = apart(pool, 64, TILE)[0]
        total, first, idle, most = apart(pool, 256, TILE)
        print(f"{pool:<16} {small:>7.1f} s {total:>8.1f} s {first:>12.1f} s {idle:>13.0f} {most:>12.0f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
