"""La frontière fractale : la carte, ses tuiles confiées à n'importe quel exécuteur, sa dimension, son explorateur."""

import os
import re
import signal
import threading
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from io import BytesIO
from multiprocessing import get_context

import numpy as np
import pytest
import torch
from distributed import Client, LocalCluster
from PIL import Image

from toylib import Net, gendata
from toylib.lessons.fractal import demonstration, tiles
from toylib.lessons.fractal.demonstration import MapExplorer, map_explorer
from toylib.lessons.fractal.maps import (
    START,
    Map,
    Problem,
    Region,
    box_counts,
    colors,
    dimension,
    frontier,
    loss_values,
    make_problem,
    pair_values,
    plot_map,
    shuffle,
)
from toylib.lessons.fractal.tiles import iter_map, training_map

PROBLEM = make_problem(20)
SIDE, TILE = 32, 100


@pytest.fixture(scope="module")
def whole():
    """La carte en une seule tuile, sans exécuteur."""
    return pair_values(PROBLEM, START.rates(SIDE).reshape(-1, 2)).reshape(SIDE, SIDE)


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        yield pool


@pytest.fixture
def threads():
    with ThreadPoolExecutor(2) as pool:
        yield pool


class Flaky(Executor):
    """Un exécuteur immédiat qui perd les `losses` premières tuiles."""

    def __init__(self, losses):
        self.losses, self.submitted = losses, 0

    def submit(self, work, *args):
        self.submitted += 1
        future = Future()
        if self.submitted <= self.losses:
            future.set_exception(OSError("machine perdue"))
        else:
            future.set_result(work(*args))
        return future


def autograd_values(rates):
    """Le témoin : un réseau sans biais par couple, la dérivation automatique, `torch.optim.SGD`, un taux par couche."""
    x, y = torch.tensor(PROBLEM.data).double(), torch.tensor(PROBLEM.target).double()
    losses = []
    for pair in rates:
        layers = [layer.weight.detach().double().clone() for layer in (PROBLEM.model.hidden[0], PROBLEM.model.output)]
        optimizer = torch.optim.SGD(
            [{"params": [W.requires_grad_()], "lr": lr} for W, lr in zip(layers, pair.tolist())]
        )
        curve = []
        for _ in range(PROBLEM.steps + 1):
            loss = (torch.tanh(x @ layers[0].T) @ layers[1].T - y).square().sum(dim=1).mean() / 2
            curve.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses.append(curve)
    return loss_values(np.array(losses))


def test_a_point_is_what_autograd_and_torch_optim_give():
    rates = 10 ** np.array([[-1, -1], [-2, 0.1], [0, -0.5], [0, 2], [-1, 3.0]])
    np.testing.assert_allclose(pair_values(PROBLEM, rates), autograd_values(rates), rtol=1e-9)


def test_a_point_converges_if_its_last_twenty_losses_are_below_the_first_on_average():
    curve = np.ones((3, 101))
    curve[1, -20:] = 0.99
    curve[2, 50:] = np.inf
    assert (loss_values(2 * curve) < 0).tolist() == [False, True, False]
    curve[0, -20:], curve[0, -20] = 0.5, 30
    curve[1, -21] = 1000
    assert (loss_values(curve)[:2] < 0).tolist() == [False, True]
    curve[1, -21] = 1
    assert loss_values(curve)[1] == pytest.approx(-(81 + 20 * 0.99))
    assert loss_values(curve)[2] == pytest.approx(50 + 51e-6)


@pytest.mark.parametrize("tile", [37, TILE, 5000])
def test_tiles_make_the_same_map_bit_for_bit(tile, whole):
    assert training_map(PROBLEM, START, SIDE, tile=tile).values.tobytes() == whole.tobytes()


@pytest.mark.lent
def test_a_process_pool_makes_the_same_map(processes, whole):
    assert training_map(PROBLEM, START, SIDE, executor=processes, tile=TILE).values.tobytes() == whole.tobytes()


def test_nothing_is_computed_twice_from_coarse_to_fine(monkeypatch, threads, whole):
    seen, real = [], tiles.pair_values
    monkeypatch.setattr(tiles, "pair_values", lambda p, rates: seen.extend(map(tuple, rates)) or real(p, rates))
    reached = [chart.reached for chart in iter_map(PROBLEM, START, SIDE, executor=threads, tile=TILE)]
    assert len(seen) == len(set(seen)) == SIDE**2
    assert sorted(set(reached)) == [0, 16, SIDE]
    assert reached == sorted(reached)


def test_a_lost_tile_is_computed_again(whole):
    pool = Flaky(losses=2)
    assert training_map(PROBLEM, START, SIDE, executor=pool, tile=TILE).values.tobytes() == whole.tobytes()
    assert pool.submitted == 3 + 8 + 2


def test_a_tile_that_always_fails_ends_with_a_clear_error():
    pool = Flaky(losses=10**9)
    with pytest.raises(RuntimeError, match="a échoué 3 fois.*machine perdue"):
        training_map(PROBLEM, START, SIDE, executor=pool, tile=TILE)


def test_a_broken_pool_ends_with_a_clear_error():
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(RuntimeError, match="n'accepte plus de tuile"):
        training_map(PROBLEM, START, SIDE, executor=pool)


def test_stopping_cancels_what_waits(threads):
    states = iter_map(make_problem(), START, 128, executor=threads, tile=64)
    next(chart for chart in states if np.isfinite(chart.values).any() and threads._work_queue.qsize() > 10)
    start = time.perf_counter()
    states.close()
    threads.submit(int).result(5)
    assert time.perf_counter() - start < 2


def test_abandoning_a_map_leaves_no_thread():
    before = threading.active_count()
    states = iter_map(make_problem(), START, 128, tile=64)
    next(chart for chart in states if np.isfinite(chart.values).any())
    assert threading.active_count() > before
    states.close()
    assert threading.active_count() == before


def test_a_map_is_completed_from_where_it_was(threads, whole):
    states = iter_map(PROBLEM, START, SIDE, executor=threads, tile=TILE)
    half = next(chart for chart in states if chart.reached == 16)
    states.close()
    before = half.filled()
    assert np.isfinite(before).all()
    assert np.isnan(half.values).any()
    end = training_map(PROBLEM, START, SIDE, start=half, tile=TILE)
    assert end.values is half.values
    assert end.values.tobytes() == whole.tobytes()


@pytest.fixture(scope="module")
def cluster():
    """Une grappe Dask de deux processus, sur cette machine."""
    with LocalCluster(2, threads_per_worker=1, processes=True, dashboard_address=None) as made, Client(made) as client:
        client.run(torch.set_num_threads, 1)
        yield client


@pytest.mark.long
def test_a_dask_cluster_that_loses_a_worker_makes_the_same_map(cluster, whole):
    workers = cluster.run(os.getpid)
    states = iter_map(PROBLEM, START, SIDE, executor=cluster.get_executor(), tile=20)
    next(chart for chart in states if np.isfinite(chart.values).any())
    os.kill(next(iter(workers.values())), signal.SIGKILL)
    *_, last = states
    assert last.values.tobytes() == whole.tobytes()
    assert set(cluster.run(os.getpid).values()) != set(workers.values())


@pytest.mark.parametrize(
    ("change", "error", "extract"),
    [
        ({"region": (1, 0, 0, 1)}, ValueError, "region"),
        ({"region": (0, np.inf, 0, 1)}, ValueError, "right"),
        ({"resolution": 1}, ValueError, "resolution"),
        ({"resolution": 8.0}, TypeError, "resolution"),
        ({"tile": 0}, ValueError, "tile"),
        ({"start": Map(START, np.zeros((4, 4)))}, ValueError, "start"),
        ({"problem": PROBLEM._replace(steps=0)}, ValueError, "steps"),
        ({"problem": PROBLEM._replace(model=Net(3, hidden=(8,)))}, ValueError, "data"),
        ({"problem": PROBLEM._replace(model=Net(8))}, ValueError, "model"),
    ],
)
def test_bad_input_is_said_before_anything_is_trained(change, error, extract):
    with pytest.raises(error, match=extract):
        next(iter_map(**{"problem": PROBLEM, "region": START, "resolution": 8, **change}))


def koch(order):
    """Le flocon de Koch, un bord, sur une grille de 512 cases : sa dimension est ln 4 / ln 3."""
    points = np.array([0, 1 + 0j])
    for _ in range(order):
        step = np.diff(points) / 3
        a = points[:-1]
        points = np.append(np.stack([a, a + step, a + step * (1 + np.exp(1j * np.pi / 3)), a + 2 * step], 1).ravel(), 1)
    fine = np.concatenate([np.linspace(p, q, 8) for p, q in zip(points[:-1], points[1:])])
    cells = np.zeros((512, 512), dtype=bool)
    cells[(fine.imag * 511).astype(int), (fine.real * 511).astype(int)] = True
    return cells


def test_the_dimension_of_known_sets():
    x = np.arange(255)
    line, disc = np.zeros((255, 255), dtype=bool), np.hypot(*np.meshgrid(x - 127.3, x - 126.8)) < 90
    line[100] = True
    assert dimension(line) == 1
    assert dimension(np.ones((255, 255))) == 2
    assert dimension(frontier(disc)) == pytest.approx(1, abs=0.05)
    assert dimension(koch(6)) == pytest.approx(np.log(4) / np.log(3), abs=0.06)
    assert box_counts(line) == {1: 255, 2: 128, 4: 64, 8: 32, 16: 16, 32: 8}


@pytest.mark.parametrize("cells", [np.zeros((32, 32)), np.ones((8, 8)), np.ones((32, 31)), np.ones(32)])
def test_a_dimension_needs_a_large_square_that_is_not_empty(cells):
    with pytest.raises(ValueError, match="cells"):
        dimension(cells)


@pytest.mark.lent
def test_three_zooms_on_the_frontier_stay_ragged_where_a_bowl_has_a_line():
    """Comme dans la leçon, en cartes plus petites ; le bol : deux taux, deux courbures."""
    problem, region, found = make_problem(), START, []
    for _ in range(3):
        region = region.zoom((-0.047, 0.164))
        found.append(dimension(frontier(training_map(problem, region, 32).converges)))
    assert all(1.2 < one < 2 for one in found)
    bowl = (abs(1 - START.rates(128) * [1, 10]) < 1).all(axis=-1)
    assert dimension(frontier(bowl)) == pytest.approx(1, abs=0.05)


def test_small_rates_all_converge():
    assert training_map(make_problem(), Region(-3, -1, -3, -1), 8).share == 1


def side_dimension(chart):
    return dimension(frontier(chart.converges))


@pytest.mark.lent
def test_two_zooms_are_structured_and_the_third_is_like_dust():
    """Leçon 15, « Zoomer », « au-dessus de 1,3 à chaque zoom » : le témoin a les mêmes points, battus au hasard."""
    problem, region, gaps = make_problem(), START, []
    for size in (64, 64, 48):
        region = region.zoom((-0.047, 0.164))
        chart = training_map(problem, region, size)
        gaps.append(side_dimension(shuffle(chart)) - side_dimension(chart))
        assert side_dimension(chart) > 1.3
    assert min(gaps[:2]) > 0.2
    assert abs(gaps[2]) < 0.2


@pytest.fixture(scope="module")
def five():
    """Cinq réseaux de cinq graines, chacun sur ses propres points."""
    drawn = ((seed, gendata(80, 8, rule="random", seed=seed)) for seed in range(5))
    return [Problem(Net(8, hidden=(8,), seed=seed).double(), 2 * data, target) for seed, (data, target) in drawn]


def top_dimension(problem, hidden):
    """La dimension de la frontière du haut, grossie 64 fois là où le taux de la couche cachée est 10**hidden."""
    outputs = np.linspace(-1, 2, 67)
    fates = pair_values(problem, 10 ** np.stack([np.full(67, hidden), outputs], axis=1)) < 0
    above = outputs[np.flatnonzero(fates)[-1]] + 1.5 / 66
    return side_dimension(training_map(problem, START.zoom((hidden, above), 64), 32))


@pytest.mark.lent
@pytest.mark.parametrize(("places", "expected"), [((-2.1, -1.25), 1), ((0.45, 1.3, 2.1), 1.5)])
def test_the_frontier_is_ragged_at_large_hidden_rates_and_nearly_a_line_at_small_ones(five, places, expected):
    """Leçon 15, « Partout ? » : sur cinq réseaux, la médiane, au quart près, à 0,01 et 0,06 ; à 3, 20 et 130."""
    assert [round(10**place, 2) for place in places] in ([0.01, 0.06], [2.82, 19.95, 125.89])
    found = [top_dimension(problem, hidden) for problem in five for hidden in places]
    assert np.median(found) == pytest.approx(expected, abs=0.125)


@pytest.mark.lent
def test_the_best_pairs_are_near_the_frontier_not_on_it(five):
    """Leçon 15 : sur cinq réseaux, les cinq meilleurs couples en sont, en médiane, à un facteur 2 à 20."""
    for problem in five:
        chart = training_map(problem, START, 32)
        slowness = np.where(chart.converges, -chart.values, np.inf).argsort(axis=None)[:5]
        best, edge = np.transpose(np.unravel_index(slowness, (32, 32))), np.argwhere(frontier(chart.converges)) + 0.5
        factors = 10 ** (np.linalg.norm(best[:, None] - edge, axis=2).min(axis=1) * 9 / 32)
        assert 2 < np.median(factors) < factors.max() < 20


def test_neighbours_a_millionth_apart_have_both_fates():
    """Leçon 15, première question du quiz : près de (0,9 ; 1,46), une minorité converge."""
    near = [(0.9 * (1 + k / 1e6), 1.46) for k in range(100)]
    assert 5 < (pair_values(make_problem(), near) < 0).sum() < 45


def test_every_blue_is_darker_than_every_orange_in_grey(whole):
    grey = colors(whole) @ [0.2126, 0.7152, 0.0722]
    assert grey[whole < 0].max() < grey[whole > 0].min()
    assert (colors(np.full((2, 2), np.nan)) == 1).all()


def test_a_map_is_drawn_with_decimal_commas_and_real_minus_signs():
    ax = plot_map(Map(Region(-0.5, 0.5, 2, 3), -np.ones((4, 4))))
    ax.figure.canvas.draw()
    names = {label.get_text() for label in ax.get_xticklabels()}
    assert "−0,4" in names


@pytest.fixture
def explorer():
    made = MapExplorer(PROBLEM, resolution=SIDE)
    made.wait()
    yield made
    made.close()


def test_the_explorer_says_in_words_what_it_shows(explorer):
    share = demonstration.percent(round(explorer.chart.share, 1), 2)
    said = explorer.status.replace("\xa0", " ")
    assert said.startswith(f"Carte de {SIDE} × {SIDE} : environ {share} des couples convergent.".replace("\xa0", " "))
    assert "Région : couche cachée de 10^−3 à 10^6, sortie de 10^−3 à 10^6." in said
    assert Image.open(BytesIO(explorer.stage.frame["parts"]["map"]["image"])).size == (SIDE, SIDE)


def test_the_rectangle_moves_without_computing(explorer, monkeypatch):
    monkeypatch.setattr(demonstration, "iter_map", lambda *args, **options: pytest.fail("recalcul"))
    before = explorer.stage.frame["parts"]["box"]
    explorer.set(hidden=(0, 8), output=(8, 24))
    explorer.wait()
    assert explorer.stage.frame["parts"]["box"] != before
    assert explorer.rectangle == Region(-3, -0.75, -0.75, 3.75)
    assert "couche cachée de 10^−3 à 10^−0,75, sortie de 10^−0,75 à 10^3,75." in explorer.status


def test_zooming_computes_the_rectangle_and_going_back_is_instant(explorer, monkeypatch):
    first = explorer.status
    explorer.set(hidden=(8, 12), output=(14, 18))
    explorer.zoom()
    explorer.wait()
    assert explorer.chart.region == Region(-0.75, 0.375, 0.9375, 2.0625)
    assert explorer.chart.reached == SIDE
    expected = training_map(PROBLEM, explorer.chart.region, SIDE)
    assert explorer.chart.values.tobytes() == expected.values.tobytes()
    assert explorer.controls["hidden"].options[0][0] == "−0,75"
    monkeypatch.setattr(demonstration, "iter_map", lambda *args, **options: pytest.fail("recalcul"))
    explorer.back()
    explorer.wait()
    assert explorer.status == first
    explorer.back()
    explorer.wait()
    assert explorer.status == first


@pytest.mark.parametrize(
    ("values", "extract"),
    [
        ({"hidden": (4, 2)}, "hidden"),
        ({"output": (0, 33)}, "output"),
        ({"output": (0, 8, 16)}, "output doit être deux crans"),
        ({"lr": (0, 1)}, "lr"),
    ],
)
def test_a_rectangle_out_of_the_map_is_refused_and_nothing_moves(explorer, values, extract):
    with pytest.raises(ValueError, match=extract):
        explorer.set(**{"hidden": (0, 8), **values})
    assert explorer.controls["hidden"].value == demonstration.MIDDLE


def test_zooming_stops_where_two_rates_would_no_longer_differ():
    explorer = MapExplorer(make_problem(1), resolution=2)
    for _ in range(40):
        explorer.zoom()
    explorer.wait()
    assert "Trop petit pour être agrandi" in explorer.status
    assert explorer.chart.reached == 2
    explorer.close()
    with pytest.raises(ValueError, match="region doit être assez grande"):
        training_map(PROBLEM, Region(2, 2 + 1e-15, 0, 1), 16)


@pytest.mark.lent
def test_stop_stops_and_moving_resumes():
    explorer = MapExplorer(make_problem(100), resolution=128)
    time.sleep(0.3)
    explorer.stop()
    explorer.wait(10)
    assert "arrêté" in explorer.stage.frame["status"]
    kept = np.isfinite(explorer.chart.values).sum()
    assert kept < 128**2
    time.sleep(0.3)
    assert np.isfinite(explorer.chart.values).sum() == kept
    explorer._problem = make_problem(2)
    explorer.set(hidden=(0, 8))
    explorer.wait()
    assert explorer.chart.reached == 128
    explorer.close()


ODD = {
    "region": [lambda: training_map(PROBLEM, (-3, 3, -3), 8), lambda: training_map(PROBLEM, "abcd", 8)],
    "region.left": [lambda: training_map(PROBLEM, (-301, 3, -3, 3), 8)],
    "resolution": [lambda: training_map(PROBLEM, START, 10**6)],
    "problem": [lambda: training_map("x", START, 8), lambda: map_explorer(0)],
    "start": [lambda: training_map(PROBLEM, START, 8, start=3)],
    "factor": [lambda: START.zoom((0, 0), 0), lambda: START.zoom((0, 0), "8")],
    "center": [lambda: START.zoom(3), lambda: START.zoom((0, 0, 0))],
    "chart": [lambda: shuffle("x"), lambda: plot_map("x")],
    "converges": [lambda: frontier([[True, False]]), lambda: frontier(np.ones((3, 3)))],
    "rates": [
        lambda: pair_values(PROBLEM, [0.1, 100]),
        lambda: pair_values(PROBLEM, [[0.1, 100, 3]]),
        lambda: pair_values(PROBLEM, [[0.1, -1]]),
        lambda: pair_values(PROBLEM, [[0.1, np.nan]]),
        lambda: pair_values(PROBLEM, "x"),
    ],
}


@pytest.mark.parametrize(("argument", "call"), [(name, call) for name, calls in ODD.items() for call in calls])
def test_an_odd_call_names_its_argument_in_french(argument, call):
    with pytest.raises((ValueError, TypeError), match=rf"^{re.escape(argument)} doit .* ; reçu : "):
        call()


def test_a_map_of_another_region_is_no_start():
    other = training_map(PROBLEM, Region(-3, 0, -3, 0), 8)
    with pytest.raises(ValueError, match="start doit être une carte de la même région"):
        training_map(PROBLEM, START, 8, start=other)
