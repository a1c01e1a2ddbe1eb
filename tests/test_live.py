"""La démonstration vivante : ce qui la distingue de l'explorateur, que test_explorer.py éprouve."""

import atexit
import gc
import re
import threading
import time
import weakref
from fractions import Fraction
from io import BytesIO

import ipywidgets as widgets
import numpy as np
import pytest
import torch
from PIL import Image

import toylib.explorer.live as live_module
from toylib.explorer.controls import make_choice, make_slider
from toylib.explorer.live import Demo
from toylib.explorer.stage import make_figure
from toylib.lessons.fractal.demonstration import map_explorer
from toylib.lessons.fractal.maps import make_problem

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


@pytest.fixture
def panel():
    """Une démonstration dont les commandes sont celles d'ipywidgets."""
    made = {
        "rate": widgets.FloatSlider(1, min=0, max=2),
        "shown": widgets.Checkbox(value=False),
        "step": widgets.IntSlider(0, -4, 10, 2),
        "kind": widgets.Dropdown(options=["un", "deux"]),
        "text": widgets.Text("a"),
        "ends": widgets.SelectionRangeSlider(options=[1, 2, 3], index=(0, 1)),
    }
    demo = Demo(made, lambda **values: [values], str, make_figure(SIZE))
    yield demo
    demo.close()


def test_the_sliders_boxes_and_lists_of_ipywidgets_take_what_they_offer(panel):
    panel.set(rate=Fraction(3, 2), shown=True, step=np.int64(-2), kind="deux")
    assert [control.value for control in panel.controls.values()][:4] == [1.5, True, -2, "deux"]


@pytest.mark.parametrize(
    ("name", "value", "kind", "extract"),
    [
        ("rate", 3, ValueError, "rate doit être entre 0.0 et 2.0"),
        ("rate", "x", TypeError, "rate doit être un nombre"),
        ("shown", 1, TypeError, "shown doit être vrai ou faux"),
        ("step", -6, ValueError, "step doit être entre -4 et 10"),
        ("step", -3, ValueError, "step doit aller de 2 en 2, depuis -4"),
        ("step", True, TypeError, "step doit être un nombre"),
        ("kind", 3, ValueError, "kind doit être l'une des valeurs offertes"),
        ("text", "b", TypeError, "la commande text doit être un curseur, un choix ou une case"),
        ("ends", (1, 2), TypeError, "la commande ends doit être"),
    ],
)
def test_what_they_do_not_offer_is_refused_in_french(panel, name, value, kind, extract):
    before = panel._request()
    with pytest.raises(kind, match=extract):
        panel.set(**{"rate": 2, name: value})
    assert panel._request() == before


@pytest.mark.parametrize(
    ("make", "kind", "extract"),
    [
        (lambda: make_slider("a", [1, 2], 3), ValueError, r"value doit être l'une des valeurs offertes : \[1, 2\]"),
        (lambda: make_slider("a", [1, 2], True), ValueError, "value doit être l'une"),
        (lambda: make_slider("a", [1, 1.0], 1), ValueError, "values doit être fait de valeurs différentes"),
        (lambda: make_slider("a", 5, 5), TypeError, "values doit être une suite"),
        (lambda: make_slider("a", ["x"], "x"), ValueError, "text doit écrire chacune des valeurs"),
        (lambda: make_choice("a", {"x": 1}, 3), ValueError, "value doit être l'une"),
        (lambda: make_choice("a", {"x": 1, "y": 1}, 1), ValueError, "options doit être fait de valeurs différentes"),
        (lambda: make_choice("a", ["x"], "x"), TypeError, "options doit être un dictionnaire"),
    ],
)
def test_a_control_that_could_not_work_is_refused_in_french(make, kind, extract):
    with pytest.raises(kind) as caught:
        make()
    assert re.search(extract, str(caught.value).replace("\xa0", " "))


@pytest.mark.parametrize(
    ("change", "extract"),
    [
        ({"controls": [1]}, "controls doit être un dictionnaire de commandes ouvertes"),
        ({"controls": {"lr": 3}}, "controls doit être"),
        ({"controls": "closed"}, "controls doit être"),
        ({"states": 3}, "states doit être une fonction"),
        ({"draw": None}, "draw doit être une fonction"),
        ({"figures": []}, "figures doit être une figure"),
        ({"figures": [3]}, "figures doit être une figure"),
        ({"whole": "non"}, "whole doit être vrai ou faux"),
    ],
    ids=str,
)
def test_a_demonstration_that_could_not_work_is_refused_in_french(change, extract):
    options = {"controls": controls(), "states": lambda **values: [values], "draw": str, "whole": False} | change
    figures = options.pop("figures", [make_figure(SIZE)])
    if options["controls"] == "closed":
        options["controls"] = controls()
        options["controls"]["kind"].close()
    before = threading.active_count()
    with pytest.raises(TypeError, match=extract):
        Demo(*(options.pop(name) for name in ("controls", "states", "draw")), *figures, **options)
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("timeout", "rest", "kind", "extract"),
    [
        (1e10, False, ValueError, "timeout doit être un nombre de secondes, entre 0 et"),
        (-1, False, ValueError, "timeout doit être un nombre de secondes"),
        (True, False, TypeError, "timeout doit être un nombre"),
        (5, 2, TypeError, "rest doit être vrai ou faux"),
        (5, "x", TypeError, "rest doit être vrai ou faux"),
    ],
)
def test_a_wait_that_makes_no_sense_is_refused(demo, timeout, rest, kind, extract):
    with pytest.raises(kind, match=extract):
        demo.wait(timeout, rest=rest)


@pytest.mark.parametrize(
    "timeout",
    [np.array(5.0), torch.tensor(5.0), Fraction(5), threading.TIMEOUT_MAX],
    ids=["numpy", "torch", "5", "max"],
)
def test_a_wait_takes_any_number_while_something_is_computed(timeout):
    def frames(lr, kind):
        time.sleep(0.3)
        yield "fini"

    demo = Demo(controls(), frames, str, make_figure(SIZE))
    demo.wait(timeout)
    assert demo.status == "fini"
    demo.close()


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


@pytest.mark.parametrize(
    "make",
    [
        lambda: Demo(controls(), lambda lr, kind: [lr], str, make_figure(SIZE)),
        lambda: map_explorer(make_problem(5), resolution=4),
    ],
    ids=["demo", "map"],
)
def test_a_closed_one_is_forgotten_even_by_the_end_of_python(monkeypatch, make):
    kept = []
    monkeypatch.setattr(atexit, "register", kept.append)
    monkeypatch.setattr(atexit, "unregister", lambda action: kept.remove(action) if action in kept else None)
    made = make()
    made.wait()
    made._keep()
    made.close()
    dropped = weakref.ref(made)
    del made
    gc.collect()
    assert dropped() is None
    assert kept == []


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
