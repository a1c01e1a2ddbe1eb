"""Ce que disent les leçons 06 et 07 et leur guide sans qu'une cellule l'affiche."""

import numpy as np
import pytest

from toylib import Net, gendata, sweep, train
from toylib.explorer import LR_GRID


def grid(low, high):
    return [lr for lr in LR_GRID if low <= lr <= high]


@pytest.fixture(scope="module")
def points():
    return gendata(500, seed=0)


@pytest.mark.lent
def test_lesson_06_the_five_networks_pass_the_goal_with_batches_of_20_and_not_of_50(points):
    """« Les lots de 20 atteignent l'objectif avec les cinq réseaux essayés » ; guide : le plus grand lot est 20."""
    for seed in range(5):
        for batch_size, met in ((100, False), (50, False), (20, True)):
            history = train(Net(2, seed=seed), *points, 10, 0.01, batch_size=batch_size, seed=0)
            assert (history.accuracy[-1] >= 0.97) == met


def test_lesson_07_the_goal_is_met_at_each_notch_from_0_063_to_0_316(points):
    """« L'objectif est atteint à chaque cran de 0,063 à 0,316 », et pas avant."""
    run = sweep(Net(2, seed=0), *points, 100, grid(0.009, 0.32), seed=0)
    met = (run.loss[:, -1] <= 0.01) & (run.accuracy[:, -1] == 1)
    assert run.lrs[met].tolist() == grid(0.06, 0.32)


def test_lesson_07_the_challenge_of_the_frontier(points):
    """Guide : 99 % en 40 époques, `sum` de 0,032 à 0,2 sauf 0,063, `band` de 0,126 à 0,2, `xor` jamais."""
    for rule, wanted in (
        ("sum", [lr for lr in grid(0.03, 0.2) if lr != 0.0631]),
        ("band", grid(0.12, 0.2)),
        ("xor", []),
    ):
        run = sweep(Net(2, seed=0), *gendata(500, rule=rule, seed=0), 40, grid(0.009, 0.26), seed=0)
        assert run.lrs[(run.accuracy >= 0.99).any(axis=1)].tolist() == wanted


def test_lesson_07_the_goal_of_sgd_is_met_at_2_and_at_no_smaller_rate(points):
    """« L'objectif est atteint à 2 […] : c'est vingt fois le bon taux d'Adam. »"""
    run = sweep(Net(2, seed=0), *points, 100, grid(0.01, 2), optimizer="sgd", seed=0)
    assert run.lrs[run.loss[:, -1] <= 0.12].tolist() == [2.0]


def test_lesson_07_the_lost_labels_are_those_of_real_curves(points):
    """Exercice 1 : les quatre lignes du tableau ; de B, chaotique, seul le début."""
    lines = {0.01: (0.68, 0.63, 0.51, 0.052), 0.001: (0.68, 0.68, 0.66, 0.31), 0.1: (0.68, 0.84, 0.23, 0.0086)}
    for lr, wanted in lines.items():
        losses = train(Net(2, seed=0), *points, 100, lr, seed=0).loss[[0, 1, 5, 100]]
        assert losses.tolist() == pytest.approx(wanted, rel=0.02, abs=0.005 if lr < 0.1 else 0.0001)
    losses = train(Net(2, seed=0), *points, 5, 3, seed=0).loss
    assert losses[[0, 1, 5]].tolist() == pytest.approx([0.68, 7.6, 16], rel=0.02)
    assert losses.max() > 20 * losses[0]


def test_lesson_07_a_tiny_rate_leaves_the_loss_flat(points):
    """Quiz : « la courbe de perte reste plate » au taux 0,00001 ; guide : de 0,683 à 0,678."""
    losses = train(Net(2, seed=0), *points, 100, 0.00001, seed=0).loss
    assert np.round(losses[[0, -1]], 3).tolist() == [0.683, 0.678]


def test_lesson_07_at_2_the_loss_of_sgd_leaps_between_epochs_5_and_25(points):
    """« Elle bondit entre l'époque 5 et l'époque 25, et dépasse trois fois son départ pour les cinq réseaux. »"""
    for seed in range(5):
        losses = train(Net(2, seed=seed), *points, 100, 2, optimizer="sgd", seed=0).loss
        assert 5 < losses.argmax() < 25
        assert losses.max() > 3 * losses[0]
        assert (losses.max() > 10) == (seed == 2)
