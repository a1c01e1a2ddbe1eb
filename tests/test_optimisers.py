"""Ce que disent les leçons 08 et 09 et leur guide sans qu'une cellule l'affiche."""

from functools import partial

import numpy as np
import pytest
import torch

from toylib import Net, gendata, sweep, test, train
from toylib.lessons.exercises import questions, verifier
from toylib.lessons.race import scaled, sum_race

F, Y2 = gendata(500, seed=0)
NETS = [Net(2, seed=seed) for seed in range(5)]
GRID = np.geomspace(0.001, 10, 13)


def test_lesson_08_twenty_epochs_of_adam_miss_the_goal():
    """Guide : « à 20 époques, la plus basse est de 0,097 »."""
    lowest = np.median(sweep(NETS, F, Y2, 20, GRID).loss[:, :, -1], axis=0).min()
    assert round(float(lowest), 3) == 0.097


def test_lesson_08_adam_never_ends_on_a_nan():
    """Quiz : « les pertes finales restent finies jusqu'au taux 10 »."""
    assert np.isfinite(sweep(NETS, F, Y2, 100, GRID).loss).all()


def final(name, lr, scale):
    return train(Net(2, seed=0), F, Y2, 100, lr, optimizer=scaled(name, scale), seed=0).loss[-1]


def test_scaling_an_optimizer_leaves_nothing_on_the_network():
    marked, bare = Net(2, seed=0), Net(2, seed=0)
    for scale in (500, 20):
        train(marked, F, Y2, 0, 0.1, optimizer=scaled("sgd", scale))
    curves = [train(net, F, Y2, 3, 0.1, optimizer="sgd", seed=0).loss.tolist() for net in (marked, bare)]
    assert curves[0] == curves[1]


@pytest.mark.parametrize(
    ("call", "error", "extract"),
    [
        (lambda: scaled("x", 2), ValueError, "make doit être l'un de : adam, sgd, momentum"),
        (lambda: scaled(3, 2), ValueError, "make doit"),
        (lambda: scaled("sgd", "a"), TypeError, "scale doit être un nombre"),
        (lambda: scaled("sgd", np.nan), ValueError, "scale doit être un nombre fini"),
        (lambda: sum_race("a", 0.5), TypeError, "lr doit"),
        (lambda: sum_race(0.1, "a"), TypeError, "beta doit"),
    ],
)
def test_bad_input_is_named(call, error, extract):
    with pytest.raises(error, match=extract):
        call()


@pytest.mark.lent
@pytest.mark.parametrize("scale", [0.001, 1, 1000])
def test_lesson_09_the_goal_of_the_demonstration(scale):
    """Guide : « 0,0003 et 0,001 ; 300 et 1 000 », « 0,03, 0,1 et 0,3, aux sept échelles », « aucun cran »."""
    lrs = [digit * 10.0**k for k in range(-2, 1) for digit in (1, 3)]
    met = {name: [lr for lr in lrs if final(name, lr / scale, scale) <= 0.02] for name in ("momentum", "sgd")}
    assert met == {"momentum": pytest.approx([0.3, 1]), "sgd": []}
    assert [lr for lr in lrs[:-2] if final("adam", lr, scale) <= 0.02] == pytest.approx([0.03, 0.1, 0.3])


@pytest.mark.lent
@pytest.mark.parametrize(("lr", "beta", "better"), [
    (0.0002, 0.9, (0.002, 0.9)),
    (0.0004, 0.9, (0.001, 0.9)),
    (0.01, 0.9, (0.003, 0.9)),
    (0.004, 0.92, (0.003, 0.92)),
    (0.002, 0.5, (0.002, 0.75)),
    (0.002, 0.99, (0.002, 0.95)),
    (0.0009, 0.85, (0.0014, 0.85)),
])  # fmt: skip
def test_exercise_09_4_what_is_said_brings_the_student_closer(lr, beta, better):
    assert sum_race(*better)[-1] < sum_race(lr, beta)[-1]
    said = verifier("09.4", [lr, beta])
    assert not said.passed
    assert said.text in [wrong["feedback"] for wrong in questions("09")["exercise"][3]["wrong"]]


def test_lesson_08_the_momentum_of_the_library_keeps_nine_tenths():
    """« avec β = 0,9 »"""
    f, y2 = gendata(50, seed=0)
    ours = train(Net(2, seed=0), f, y2, 20, 0.1, optimizer="momentum", seed=0)
    theirs = train(Net(2, seed=0), f, y2, 20, 0.1, optimizer=partial(torch.optim.SGD, momentum=0.9), seed=0)
    assert ours.loss.tolist() == theirs.loss.tolist()


def test_lesson_09_the_story_has_60_gradients_that_alternate():
    """« puis 60 gradients qui alternent » : 30 fois deux."""
    assert len([1.0, -1.0] * 30) == 60


def test_lesson_09_the_loss_starts_at_68_hundredths():
    """« La perte part de 0,68 », « elle part de 0,68 »"""
    assert round(test(Net(2, seed=0), *gendata(500, seed=0)).loss, 2) == 0.68
