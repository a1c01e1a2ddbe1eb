"""L'explorateur sans navigateur : le fil de travail, l'image, les commandes et le repli sans noyau."""

import subprocess
import sys
import threading
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from toylib import History, Net, Score, gendata, train
from toylib.explorer import LR_GRID, LrExplorer
from toylib.explorer import widget as widget_module
from toylib.explorer.frame import SIZE, Frame
from toylib.explorer.worker import LatestWorker

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def explorer():
    made = LrExplorer(epochs=20, n=100, pin=True)
    made.wait()
    yield made
    made.close()


def pixels(png):
    return np.asarray(Image.open(BytesIO(png)).convert("RGB")).astype(int)


def threads():
    return [t for t in threading.enumerate() if t.name == "toylib-explorer"]


# --- Le fil de travail -------------------------------------------------------------------------


def test_only_the_latest_request_is_finished():
    begun, release, started, done = threading.Event(), threading.Event(), [], []

    def work(request, stale):
        started.append(request)
        begun.set()
        release.wait(30)
        if not stale():
            done.append(request)

    worker = LatestWorker(work)
    worker.submit(0)
    begun.wait(30)
    for request in range(1, 100):
        worker.submit(request)
    release.set()
    worker.wait(30)
    worker.close()
    assert started == [0, 99]
    assert done == [99]


def test_submit_never_waits_for_the_work():
    release = threading.Event()
    worker = LatestWorker(lambda request, stale: release.wait(30))
    threads_used = [threading.Thread(target=worker.submit, args=(k,)) for k in range(20)]
    for thread in threads_used:
        thread.start()
    for thread in threads_used:
        thread.join(2)
    assert not any(thread.is_alive() for thread in threads_used)
    release.set()
    worker.wait(30)
    worker.close()


def test_a_failing_work_is_reported_and_the_worker_survives():
    done = []

    def work(request, stale):
        if request == "panne":
            raise ZeroDivisionError("panne")
        done.append(request)

    worker = LatestWorker(work)
    worker.submit("panne")
    with pytest.raises(ZeroDivisionError):
        worker.wait(30)
    worker.submit("suite")
    worker.wait(30)
    worker.close()
    assert done == ["suite"]


def test_wait_gives_up_in_french():
    release = threading.Event()
    worker = LatestWorker(lambda request, stale: release.wait(30))
    worker.submit(1)
    with pytest.raises(TimeoutError, match="n'a pas fini"):
        worker.wait(0.05)
    release.set()
    worker.close()


def test_python_may_end_while_the_worker_trains():
    code = "from toylib.explorer import LrExplorer; LrExplorer(epochs=100_000)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_closing_ends_the_thread():
    before = len(threads())
    explorer = LrExplorer(epochs=1000, n=100)
    assert len(threads()) == before + 1
    explorer.close()
    deadline = time.monotonic() + 5
    while len(threads()) > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(threads()) == before


def test_closing_closes_every_control():
    explorer = LrExplorer(epochs=1, n=20, pin=True)
    parts = [explorer, *explorer.children, *explorer.children[0].children, *explorer.children[1].children]
    explorer.close()
    assert len(parts) == 10
    assert [part for part in parts if part.comm is not None] == []


def test_a_failed_training_is_said_in_the_status_line(explorer, monkeypatch):
    def broken(*_):
        raise MemoryError("mémoire pleine")

    monkeypatch.setattr(explorer, "_scores", broken)
    explorer.lr = 0.5
    with pytest.raises(MemoryError):
        explorer.wait()
    assert "mémoire pleine" in explorer._status.value


def test_changes_from_many_threads_end_on_the_last_values(explorer):
    """Le curseur et l'optimiseur bougent sur deux fils à la fois, comme sous ipykernel 7."""

    def move(name, values):
        for value in values:
            setattr(explorer, name, value)

    movers = [
        threading.Thread(target=move, args=("lr", LR_GRID[10:40])),
        threading.Thread(target=move, args=("optimizer", ["sgd", "momentum"] * 10)),
    ]
    for mover in movers:
        mover.start()
    for mover in movers:
        mover.join()
    explorer.wait()
    assert (explorer._run.lr, explorer._run.optimizer) == (explorer.lr, explorer.optimizer) == (LR_GRID[39], "momentum")


# --- L'image -----------------------------------------------------------------------------------

CURVE = History.of([Score(0.7, 0.5), Score(0.3, 0.7), Score(0.1, 0.9)])
OTHER = History.of([Score(0.7, 0.5), Score(0.6, 0.6), Score(0.5, 0.7)])


def test_a_picture_depends_only_on_its_curves():
    frame = Frame(epochs=2)
    empty = frame.draw(None)
    with_curve = frame.draw(CURVE)
    assert Image.open(BytesIO(empty)).size == SIZE
    assert with_curve != empty
    assert frame.draw(CURVE, OTHER, [OTHER]) != with_curve
    assert frame.draw(CURVE) == with_curve
    assert frame.draw(None) == empty


def test_the_axes_stay_still():
    """Hors des courbes, deux images sont égales : cadre, graduations et noms n'ont pas bougé."""
    frame = Frame(epochs=2)
    first, second = pixels(frame.draw(CURVE)), pixels(frame.draw(OTHER))
    margins = np.ones(SIZE[::-1], bool)
    for box in (ax.get_window_extent() for ax in frame._axes):
        margins[round(SIZE[1] - box.y1) : round(SIZE[1] - box.y0), round(box.x0) : round(box.x1) + 1] = False
    assert (first != second).any()
    assert (first[margins] == second[margins]).all()


def test_the_ghost_is_grey():
    frame = Frame(epochs=2)
    changed = (pixels(frame.draw(None, CURVE)) != pixels(frame.draw(None))).any(axis=2)
    colours = pixels(frame.draw(None, CURVE))[changed]
    assert np.ptp(colours, axis=1).max() <= 2


def test_a_diverging_curve_is_still_drawn():
    frame = Frame(epochs=2)
    lost = History.of([Score(0.7, 0.5), Score(float("nan"), 0.5), Score(float("inf"), 0.5)])
    assert frame.draw(lost) != frame.draw(None)


# --- Les commandes -----------------------------------------------------------------------------


def test_the_grid_has_61_rates_ten_per_decade():
    assert len(LR_GRID) == 61
    assert (LR_GRID[0], LR_GRID[-1]) == (1e-5, 10)
    assert all(1.2 < b / a < 1.3 for a, b in zip(LR_GRID, LR_GRID[1:]))
    assert {0.001, 0.01, 0.1, 1} <= set(LR_GRID)


@pytest.mark.parametrize(("asked", "given"), [(0.1, 0.1), (0.11, 0.1), (0.1126, 0.126), (1e-9, 1e-5), (1e6, 10)])
def test_lr_snaps_to_the_grid(explorer, asked, given):
    explorer.lr = asked
    assert explorer.lr == given


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "momentum"])
def test_it_shows_what_train_gives(explorer, optimizer):
    explorer.optimizer = optimizer
    for lr in (0.01, 0.1, 10):
        explorer.lr = lr
        explorer.wait()
        f, y2 = gendata(100, seed=0)
        expected = train(Net(2, seed=0), f, y2, 20, lr, optimizer=optimizer, seed=0)
        assert (explorer.history.loss == expected.loss).all()
        assert (explorer.history.accuracy == expected.accuracy).all()


def test_the_status_line_says_all_in_french(explorer):
    explorer.lr = 0.1
    explorer.wait()
    lr, loss, accuracy, duration = explorer.status.split(" · ")
    assert lr == "lr 0,1"
    assert loss.startswith("perte 0,")
    assert accuracy.startswith("exactitude ")
    assert accuracy.endswith("\xa0%")
    assert duration.endswith("\xa0ms")
    assert explorer.status in explorer._status.value


def test_divergence_is_said_in_words_and_is_never_an_exception(explorer):
    for optimizer in ("adam", "sgd", "momentum"):
        explorer.optimizer, explorer.lr = optimizer, 10
        explorer.wait()
        epoch = explorer.history.diverges_at()
        assert (f"diverge à l'époque {epoch}" in explorer.status.replace("\xa0", " ")) == (epoch is not None)
    assert epoch is not None


def test_the_previous_curve_is_the_ghost(explorer):
    for lr in (0.01, 0.1):
        explorer.lr = lr
        explorer.wait()
    assert "précédente : lr 0,01" in explorer._legend.value.replace("\xa0", " ")
    assert explorer._image.value == explorer._frame.draw(explorer.history, explorer._ghost.history)


def test_three_pins_at_most_stay_until_cleared(explorer):
    explorer.pin_curve()
    for lr in (0.001, 0.1, 1):
        explorer.lr = lr
        explorer.wait()
        explorer.pin_curve()
        explorer.pin_curve()
    explorer.wait()
    assert explorer._legend.value.count("épinglée") == 3
    assert "épinglée : lr 0,01," not in explorer._legend.value.replace("\xa0", " ")
    explorer.clear_pins()
    explorer.wait()
    assert "épinglée" not in explorer._legend.value


def test_a_burst_of_ticks_ends_on_the_last(explorer):
    for lr in LR_GRID[20:50]:
        explorer.lr = lr
    explorer.wait()
    assert explorer.status.startswith("lr 0,794 ")


def test_the_observer_neither_trains_nor_draws(explorer, monkeypatch):
    """Le changement rend la main aussitôt, de quelque fil qu'il vienne."""
    seen = []
    monkeypatch.setattr(explorer._frame, "draw", lambda *_: seen.append(threading.current_thread().name) or b"")
    other = threading.Thread(target=lambda: setattr(explorer, "lr", 0.5), name="sous-noyau")
    other.start()
    other.join()
    explorer.wait()
    assert set(seen) == {"toylib-explorer"}
    assert explorer.lr == 0.501


# --- Montrer, remplacer, se passer de noyau ----------------------------------------------------


class Shell:
    """Un noyau qui dit quelle cellule il exécute."""

    def __init__(self):
        self.execution = 0

    def get_parent(self):
        return {"metadata": {"cellId": "c1"}, "header": {"msg_id": str(self.execution)}}


def test_showing_a_new_one_in_the_same_cell_ends_the_old_one(monkeypatch):
    shell = Shell()
    monkeypatch.setattr(widget_module, "get_ipython", lambda: shell)
    before, made = len(threads()), []
    for _ in range(5):
        shell.execution += 1
        made = [LrExplorer(epochs=1, n=20), LrExplorer(epochs=1, n=20)]  # deux dans la même cellule
        for explorer in made:
            explorer._repr_mimebundle_()
    time.sleep(0.2)
    assert len(threads()) == before + 2
    for explorer in made:
        explorer.close()


def test_without_a_front_end_there_is_a_picture_and_a_text(explorer):
    bundle = explorer._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert Image.open(BytesIO(bundle["image/png"])).size[0] > 600
    text = bundle["text/plain"].replace("\xa0", " ")
    assert text.startswith("Explorateur du taux d'apprentissage (Adam")
    assert [line.split(" · ")[1] for line in text.splitlines()[1:]] == ["trop petit", "bon", "trop grand"]
    assert bundle["text/plain"] == explorer._repr_mimebundle_()["text/plain"]


def test_the_three_rates_are_measured_not_assumed():
    explorer = LrExplorer(epochs=100, optimizer="sgd")
    text = explorer._repr_mimebundle_()["text/plain"].replace("\xa0", " ")
    explorer.close()
    assert "lr 1 · bon" in text  # avec Adam, c'est 0,1
