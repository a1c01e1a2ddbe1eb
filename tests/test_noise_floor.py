"""Le plancher de bruit de la leçon 12, le pic d'Adam et l'échauffement, et la démonstration."""

from functools import partial

import numpy as np
import pytest

from toylib import Net, gendata, sweep
from toylib.lessons.edge import track
from toylib.lessons.noise_floor import (
    SIZES,
    START,
    bowl_end,
    expected_squares,
    floor_explorer,
    noise_floor,
    noisy_descents,
)
from toylib.schedules import SCHEDULES, factors, warmup


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("size", [1, 10])
@pytest.mark.parametrize("lr", [0.05, 0.2, 0.5, 1.0, 1.8])
def test_the_floor_is_lr_over_b_times_two_minus_lr(lr, size, seed):
    """La mesure : les 200 derniers pas de 600, mille descentes ; le plancher d'un bol de courbure 1."""
    assert noise_floor(lr, size) == pytest.approx(lr / (size * (2 - lr)))
    w = noisy_descents([lr] * 600, size, seed=seed)[-200:]
    assert (w**2).mean() == pytest.approx(noise_floor(lr, size), rel=0.05)


def test_the_floor_is_where_the_exact_sequence_stops():
    for lr in (0.01, 0.3, 1.0, 1.9):
        for size in SIZES:
            end = expected_squares([lr] * 2000, size)[-1]
            assert end == pytest.approx(noise_floor(lr, size), rel=1e-10)


def test_small_rates_follow_the_ratio_of_lr_to_b_and_large_ones_leave_it():
    assert noise_floor(0.1, 10) == pytest.approx(noise_floor(0.01, 1), rel=0.06)
    assert noise_floor(1.8, 10) > 5 * noise_floor(0.18, 1)


def test_the_exact_sequence_is_the_mean_of_the_descents():
    for name in SCHEDULES:
        lrs = 0.5 * np.array(factors(name, 300))
        measured = (noisy_descents(lrs, 5, copies=20_000, seed=3) ** 2).mean(axis=1)
        assert measured == pytest.approx(expected_squares(lrs, 5), rel=0.06)


def test_beyond_two_nothing_settles_and_the_floor_is_infinite():
    for lr in (2.0, 2.1, 3.0):
        assert noise_floor(lr, 50) == np.inf
        squares = expected_squares([lr] * 500, 50)
        assert (np.diff(squares) > 0).all()
    assert squares[-1] > 1e100
    assert (np.abs(noisy_descents([2.1] * 500, 50, copies=4, seed=0)[-1]) > 1e10).all()
    assert np.isfinite(noise_floor(1.9999, 50))


@pytest.mark.parametrize(("name", "share"), [("decay", 0.1), ("cosine", 0.04), ("one_cycle", 0.05)])
def test_the_floor_falls_when_the_rate_does(name, share):
    lrs = 0.5 * np.array(factors(name, 500))
    assert expected_squares(lrs, 1)[-1] < share * noise_floor(0.5, 1)
    assert (noisy_descents(lrs, 1, seed=0)[-1] ** 2).mean() < 1.2 * share * noise_floor(0.5, 1)
    lrs = 0.5 * np.array(factors("warmup", 500))
    assert expected_squares(lrs, 1)[-1] == pytest.approx(noise_floor(0.5, 1))


def test_larger_batches_lower_the_floor_as_a_smaller_rate_does():
    """Leçon 12 : « Des lots dix fois plus grands divisent le plancher par dix ; un taux dix fois… par treize »."""
    assert noise_floor(0.5, 1) / noise_floor(0.5, 10) == pytest.approx(10)
    assert noise_floor(0.5, 1) / noise_floor(0.05, 1) == pytest.approx(13)


def test_the_rate_one_over_t_makes_w_the_mean_of_all_that_was_drawn():
    squares = expected_squares([1 / (t + 1) for t in range(200)], 1)
    assert squares[1:] == pytest.approx(1 / np.arange(1, 201))


def test_descents_start_together_and_the_same_seed_repeats_them():
    w = noisy_descents([0.3] * 20, 4, copies=7, start=-2, seed=5)
    assert w.shape == (21, 7)
    assert set(w[0]) == {-2.0}
    assert (w == noisy_descents([0.3] * 20, 4, copies=7, start=-2, seed=5)).all()
    assert (w[1:] != noisy_descents([0.3] * 20, 4, copies=7, start=-2, seed=6)[1:]).any()
    assert expected_squares([0.3], 4)[0] == START**2


@pytest.mark.parametrize(
    ("call", "error", "extract"),
    [
        (lambda: noise_floor(0, 1), ValueError, "lr doit être strictement positif"),
        (lambda: noise_floor("0.1", 1), TypeError, "lr doit être un nombre"),
        (lambda: noise_floor(0.1, 0), ValueError, "batch_size doit"),
        (lambda: noise_floor(0.1, 2.5), TypeError, "batch_size doit être un entier"),
        (lambda: noisy_descents(0.1, 1), TypeError, "lrs doit être une suite"),
        (lambda: noisy_descents([], 1), ValueError, "lrs doit contenir"),
        (lambda: noisy_descents([0.1, -1], 1), ValueError, r"lrs\[1\] doit"),
        (lambda: noisy_descents([0.1], 1, copies=0), ValueError, "copies doit"),
        (lambda: noisy_descents([0.1], 1, start=np.inf), ValueError, "start doit être un nombre fini"),
        (lambda: noisy_descents([0.1], 1, seed=-1), ValueError, "seed doit"),
        (lambda: expected_squares([0.1], "1"), TypeError, "batch_size doit"),
        (lambda: bowl_end(0, 0), ValueError, "le pic doit"),
        (lambda: bowl_end(0.1, "cosine"), TypeError, "le numéro doit"),
    ],
)
def test_bad_input_is_named(call, error, extract):
    with pytest.raises(error, match=extract):
        call()


@pytest.mark.lent
@pytest.mark.parametrize(
    ("schedule", "peak", "end"), [("constant", 0.022, 0.012), ("decay", 0.1, 0.0066), ("cosine", 0.05, 0.0081)]
)
def test_the_third_exercise_is_solved_by_decay_alone(schedule, peak, end):
    """Leçon 12, exercice 3 : « vers 0,022, s'arrête à 0,012 », « un pic de 0,087 à 0,13 environ ; 0,1 convient »,
    « à son meilleur pic, vers 0,05, il finit à 0,0081 »."""
    peaks, names = np.geomspace(0.005, 1.9, 400), list(SCHEDULES)
    ends = {name: np.array([bowl_end(one, k)[2] for one in peaks]) for k, name in enumerate(names)}
    assert [(end <= 0.0075).any() for end in ends.values()] == [name == "decay" for name in names]
    assert peaks[ends["decay"] <= 0.0075][[0, -1]] == pytest.approx([0.087, 0.13], rel=0.04)
    assert bowl_end(peak, names.index(schedule))[2] == pytest.approx(end, rel=0.05)
    if schedule != "decay":
        assert peaks[ends[schedule].argmin()] == pytest.approx(peak, rel=0.1)


def test_a_number_that_names_no_schedule_leads_nowhere():
    assert bowl_end(0.1, 5)[2] == bowl_end(0.1, 1.5)[2] == np.inf


def highest(lr, schedule, seeds=5):
    """Pour chaque réseau, la perte la plus haute et celle du départ, avec Adam, en lot complet, 100 pas."""
    nets = [Net(2, seed=seed).double() for seed in range(seeds)]
    losses = sweep(nets, *gendata(500, seed=0), 100, [lr], schedule=schedule).loss[:, 0]
    return losses.max(axis=1), losses[:, 0]


@pytest.mark.parametrize("lr", [0.3, 0.6])
def test_ten_steps_of_warmup_remove_the_spike_of_adam(lr):
    """Leçon 12 : « Aux taux 0,3 et 0,6, dix pas suppriment le pic ; sur vingt réseaux, quelques-uns… »"""
    top, start = highest(lr, "constant")
    assert (top > 2 * start).all()
    top, start = highest(lr, "warmup", seeds=20)
    assert (top[:5] == start[:5]).all()
    assert 1 <= (top > start).sum() <= 5


def test_at_a_rate_of_one_ten_steps_of_warmup_are_too_few():
    """Leçon 12 : « Au taux 1, la perte monte encore à 1,1 : il faudrait un échauffement plus long »."""
    tops = [np.median(highest(1, partial(warmup, rise=rise))[0]) for rise in (1, 10, 30)]
    assert tops[0] > 5
    assert tops[1] == pytest.approx(1.06, abs=0.02)
    assert tops[2] < 0.75


def small_steps(step, steps):
    return 0.1 if step < 10 else 1


def test_a_rising_rate_lowers_the_curvature_that_small_steps_leave_high():
    """Leçon 12 : « Chez chacun des cinq réseaux, elle est au moins 1,8 fois plus grande après les petits pas »."""
    measured = {"optimizer": "adam", "loss": "cross_entropy", "every": 10}
    data, nets = gendata(500, seed=0), [Net(2, seed=seed).double() for seed in range(5)]
    rising, small = (
        np.array([track(net, *data, 10, 0.6, schedule=plan, **measured).curvature for net in nets])
        for plan in ("warmup", small_steps)
    )
    assert (small[:, 1] > 1.8 * rising[:, 1]).all()
    assert 10 < np.median(rising[:, 0]) / np.median(rising[:, 1]) < 13
    assert 2.5 < np.median(small[:, 0]) / np.median(small[:, 1]) < 3.2


def test_ten_small_steps_do_not_prepare_a_large_rate():
    top, start = highest(0.6, small_steps)
    assert (top > start).all()


@pytest.fixture
def demo():
    made = floor_explorer()
    made.wait()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "mesurée 0,33, calculée 0,33 ; plancher à ce taux constant : 0,33"),
        ({"batch_size": 10}, "mesurée 0,033, calculée 0,033 ; plancher à ce taux constant : 0,033"),
        ({"schedule": "cosine"}, "mesurée 0,011, calculée 0,011 ; plancher à ce taux constant : 0,33"),
        ({"lr": 2.1, "schedule": "cosine"}, "plancher à ce taux constant : aucun, la descente diverge"),
        ({"lr": 2.1}, "La descente diverge"),
    ],
)
def test_the_demonstration_answers_in_words(demo, values, words):
    demo.set(**values)
    demo.wait()
    assert words in demo.status.replace("\u00a0", " ")


def test_every_command_changes_the_picture(demo):
    shown = [demo.stage.frame["parts"]]
    for values in ({"lr": 0.1}, {"batch_size": 20}, {"schedule": "decay"}):
        demo.set(**values)
        demo.wait()
        assert demo.stage.frame["parts"] not in shown
        shown.append(demo.stage.frame["parts"])
    demo.set(lr=0.5, batch_size=1, schedule="constant")
    demo.wait()
    assert demo.stage.frame["parts"] == shown[0]


@pytest.mark.parametrize("values", [{"lr": 0.3}, {"batch_size": 3}, {"schedule": "linear"}, {"steps": 10}])
def test_a_value_off_the_grid_is_refused_and_nothing_moves(demo, values):
    before = demo.status, demo.stage.frame["parts"]
    with pytest.raises(ValueError, match=next(iter(values))):
        demo.set(**{"lr": 0.1, "batch_size": 50, **values})
    demo.wait()
    assert (demo.status, demo.stage.frame["parts"]) == before
    assert [control.value for control in demo.controls.values()] == [0.5, 1, "constant"]


def test_once_closed_the_demonstration_leaves_nothing_running():
    made = floor_explorer()
    made.wait()
    parts = [*made.controls.values(), made.stage]
    made.close()
    assert all(part.comm is None for part in parts)
    assert not made._worker._thread.is_alive()


@pytest.mark.filterwarnings("error")
def test_what_is_too_large_for_a_number_is_infinite():
    assert expected_squares([1e160], 1).tolist() == [9, np.inf]
    assert expected_squares([0.1], 1, start=1e200).tolist() == [np.inf] * 2
    assert bowl_end(1e200, 0) == (1e200, 0, np.inf)
    assert not np.isfinite(noisy_descents([10.0] * 500, 1, copies=3, seed=0)[-1]).any()
