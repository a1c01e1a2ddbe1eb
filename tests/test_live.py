"""La démonstration vivante : ce qui la distingue de l'explorateur, que test_explorer.py éprouve."""

import threading
import time
from io import BytesIO

import pytest
from PIL import Image

import toylib.explorer.live as live_module
from toylib.explorer.controls import make_choice, make_slider
from toylib.explorer.live import Demo
from toylib.explorer.stage import make_figure

SIZE = (200, 100)


def controls():
    return {"lr": make_slider("Taux", [0.1, 0.2, 0.3], 0.1), "kind": make_choice("Sorte", {"un": 1, "deux": 2}, 1)}


@pytest.fixture
def demo():
    made = Demo(controls(), lambda lr, kind: [(lr, kind)], lambda state: "{} {}".format(*state), make_figure(SIZE))
    made.wait()
    yield made
    made.close()


def test_each_change_is_answered(demo):
    assert demo.status == "0.1 1"
    demo.set(lr=0.3, kind=2)
    demo.wait()
    assert demo.status == "0.3 2"
    assert demo.status in demo.stage.frame["status"]


@pytest.mark.parametrize(("values", "extract"), [({"lr": 0.15}, "0.1, 0.2, 0.3"), ({"pas": 1}, "lr, kind")])
def test_a_value_that_is_not_offered_is_refused_and_nothing_moves(demo, values, extract):
    with pytest.raises(ValueError, match=extract):
        demo.set(kind=2, **values)
    assert demo.controls["kind"].value == 1


def test_none_given_to_a_choice_that_offers_it_presses_its_button():
    choice = make_choice("Lot", {"complet": None, "20": 20}, 20)
    choice.value = None
    assert choice.index == 0


def test_a_change_stops_what_was_being_computed():
    started, seen = threading.Event(), []

    def frames(lr, kind):
        for k in range(10_000 if lr == 0.1 else 1):
            started.set()
            time.sleep(0.001)
            seen.append(lr)
            yield None if k % 2 else f"{lr} : {k}"

    demo = Demo(controls(), frames, str, make_figure(SIZE))
    started.wait(5)
    demo.set(lr=0.2)
    demo.wait()
    assert len(seen) < 1000
    assert seen[-1] == 0.2
    assert demo.status == "0.2 : 0"
    demo.close()


def test_stop_says_so():
    def frames(lr, kind):
        while True:
            time.sleep(0.001)
            yield None

    demo = Demo(controls(), frames, str, make_figure(SIZE))
    demo.stop()
    demo.wait(5)
    assert "arrêté" in demo.stage.frame["status"]
    demo.close()


def test_a_failure_is_read_in_the_status_line_and_raised_by_wait():
    def frames(lr, kind):
        if lr == 0.2:
            raise RuntimeError("mémoire pleine")
        yield "bien"

    demo = Demo(controls(), frames, str, make_figure(SIZE))
    demo.set(lr=0.2)
    with pytest.raises(RuntimeError, match="mémoire pleine"):
        demo.wait()
    assert "mémoire pleine" in demo.stage.frame["status"]
    demo.set(lr=0.3)
    demo.wait()
    assert demo.status == "bien"
    demo.close()


def test_without_a_front_end_there_is_the_picture_and_the_status(demo):
    bundle = demo._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert Image.open(BytesIO(bundle["image/png"])).size == SIZE
    assert bundle["text/plain"].endswith("\n0.1 1")


@pytest.mark.parametrize(("fate", "said"), [("endless", "pas fini"), ("failing", "mémoire <b>pleine")])
def test_a_cell_always_ends_and_says_why_it_has_no_result(monkeypatch, fate, said):
    def frames(lr, kind):
        if fate == "failing":
            raise RuntimeError("mémoire <b>pleine")
        while True:
            time.sleep(0.001)
            yield None

    monkeypatch.setattr(live_module, "PATIENCE", 0.2)
    demo = Demo(controls(), frames, str, make_figure(SIZE))
    assert said in demo._repr_mimebundle_()["text/plain"]
    demo.close()


def test_asking_a_closed_one_says_so(demo):
    demo.close()
    demo.wait()
    demo.set(lr=0.2)
    with pytest.raises(RuntimeError, match="fermé"):
        demo.wait()


def test_closing_ends_the_worker(demo):
    demo.close()
    assert not demo._worker._thread.is_alive()


def test_a_state_is_drawn_at_the_pace_of_the_eye_and_the_last_one_always():
    """Mille états en une demi-seconde : une dizaine d'images, et la dernière est celle du dernier état."""
    drawn = []

    def states(lr, kind):
        for k in range(1000):
            time.sleep(0.0005)
            yield k

    demo = Demo(controls(), states, lambda k: drawn.append(k) or str(k), make_figure(SIZE))
    demo.wait()
    demo.close()
    assert 2 < len(drawn) < 40
    assert (drawn[-1], demo.status) == (999, "999")


def test_a_figure_redrawn_whole_is_sent_whole():
    figure = make_figure(SIZE)

    def draw(state):
        figure.axes[0].clear()
        figure.axes[0].set_title(f"taux {state}")
        return str(state)

    demo = Demo(controls(), lambda lr, kind: [lr], draw, figure, whole=True)
    for lr in (0.1, 0.3):
        demo.set(lr=lr)
        demo.wait()
        assert f"taux {lr}" in demo.stage.figures[0]
    demo.close()
