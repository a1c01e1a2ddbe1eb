"""Ce que disent les leçons 10 et 11, leur quiz et leur guide sans qu'une cellule l'affiche."""

import numpy as np
import pytest
import torch

from toylib import Net, gendata, sweep, train

NOISY = {"rule": "band", "noise": 0.1}


def test_lesson_10_the_network_that_recites_has_1922_weights_and_biases():
    """« ses 1 922 poids et biais lui en donnent la place »"""
    assert sum(part.numel() for part in Net(100).parameters()) == 1922


def test_lesson_10_stopped_at_their_minimum_two_rates_give_two_networks():
    """Quiz et guide : « des réponses différentes sur 3 % à 8 % des points neufs »."""
    valid, (points, _) = gendata(1000, **NOISY, seed=10_000), gendata(5000, rule="band", seed=20_000)

    def answers(seed, lr, epochs):
        learn = gendata(100, **NOISY, seed=seed)
        turn = train(Net(2, seed=seed), *learn, epochs, lr, valid=valid, seed=0).valid_loss.argmin()
        model = Net(2, seed=seed)
        train(model, *learn, int(turn), lr, seed=0)
        return model(torch.tensor(points)).argmax(dim=1)

    apart = [(answers(seed, 0.001, 800) != answers(seed, 0.1, 80)).double().mean().item() for seed in range(5)]
    assert min(apart) > 0.025
    assert max(apart) < 0.085


@pytest.mark.parametrize(
    ("change", "loss"),
    [
        ({"epochs": 50}, 0.54),
        ({"n": 200}, 0.95),
        ({"lr": 0.001}, 0.45),
        ({"lr": 0.00158}, 0.46),
        ({"lr": 0.002}, 0.51),
        ({"lr": 0.1}, 1.8),
    ],
)
def test_lesson_10_what_the_guide_says_of_the_explorer(change, loss):
    """Guide : « à 50, 0,54 », « 200 ne suffisent pas : 0,95 », « De 0,001 à 0,0016 », « à 0,002, c'est 0,51 »…"""
    n, epochs, lr = ({"n": 100, "epochs": 500, "lr": 0.01} | change).values()
    valid = gendata(1000, **NOISY, seed=10_000)
    history = train(Net(2, seed=0), *gendata(n, **NOISY, seed=0), epochs, lr, valid=valid, seed=0)
    assert history.valid_loss[-1] == pytest.approx(loss, rel=0.02)


def test_lesson_10_five_times_smaller_turns_five_times_later():
    """« cinq fois plus tard, vers l'époque 480, et non 100 » ; corrigé : « À graine égale, le produit est presque… »"""
    for seed in range(5):
        learn, valid = gendata(100, noise=0.2, seed=seed), gendata(2000, noise=0.2, seed=10_000 + seed)
        trial = sweep(Net(2, seed=seed), *learn, 600, [0.5, 0.1], optimizer="sgd", valid=valid)
        early, late = trial.valid_loss.argmin(axis=1)
        assert late / early == pytest.approx(5, rel=0.06)
        if seed == 1:
            assert np.round([early, late], -1).tolist() == [100, 480]
