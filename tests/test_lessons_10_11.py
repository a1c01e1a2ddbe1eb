"""Ce que disent les leçons 10 et 11, leur quiz et leur guide sans qu'une cellule l'affiche."""

import hashlib
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.utils import vector_to_parameters

from toylib import Net, gendata, sweep, train
from toylib.explorer import LR_GRID
from toylib.lessons import verifier
from toylib.lessons.penguins import read_penguins, three_sets

NOISY = {"rule": "band", "noise": 0.1}


def test_lesson_10_the_network_that_recites_has_1922_weights_and_biases():
    """« ses 1 922 poids et biais lui en donnent la place »"""
    assert sum(part.numel() for part in Net(100).parameters()) == 1922


def test_lesson_10_stopped_at_their_minimum_two_rates_give_two_networks():
    """Quiz et guide : « des réponses différentes sur 3 % à 8 % des points neufs »."""
    valid, points = gendata(1000, **NOISY, seed=10_000), torch.tensor(gendata(5000, rule="band", seed=20_000)[0])
    apart = []
    for seed in range(5):
        net, learn = Net(2, seed=seed), gendata(100, **NOISY, seed=seed)
        trial = sweep(net, *learn, 700, [0.001, 0.1], valid=valid, weights=True)
        answers = []
        for weights, losses in zip(trial.weights, trial.valid_loss):
            vector_to_parameters(torch.tensor(weights[losses.argmin()], dtype=torch.float32), net.parameters())
            answers.append(net(points).argmax(dim=1))
        apart.append((answers[0] != answers[1]).double().mean().item())
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
        ({"lr": 0.1}, 1.7),  # « plus de 1,2 »
    ],
)
def test_lesson_10_what_the_guide_says_of_the_explorer(change, loss):
    """Guide : « à 50, 0,54 », « 200 ne suffisent pas : 0,95 », « De 0,001 à 0,0016 », « à 0,002, c'est 0,51 »…"""
    n, epochs, lr = ({"n": 100, "epochs": 500, "lr": 0.01} | change).values()
    valid = gendata(1000, **NOISY, seed=10_000)
    history = train(Net(2, seed=0), *gendata(n, **NOISY, seed=0), epochs, lr, valid=valid, seed=0)
    assert history.valid_loss[-1] == pytest.approx(loss, rel=0.3 if lr == 0.1 else 0.02)


def test_lesson_10_five_times_smaller_turns_five_times_later():
    """« cinq fois plus tard, vers l'époque 480, et non 100 » ; corrigé : « À graine égale, le produit est presque… »"""
    for seed in range(5):
        learn, valid = gendata(100, noise=0.2, seed=seed), gendata(2000, noise=0.2, seed=10_000 + seed)
        trial = sweep(Net(2, seed=seed), *learn, 600, [0.5, 0.1], optimizer="sgd", valid=valid)
        early, late = trial.valid_loss.argmin(axis=1)
        assert late / early == pytest.approx(5, rel=0.06)
        if seed == 1:
            assert np.round([early, late], -1).tolist() == [100, 480]


LESSON = (Path(__file__).resolve().parent.parent / "notebooks/sources/11_bilan.md").read_text("utf-8")
BIRDS = Path(__file__).resolve().parent.parent / "notebooks/donnees/manchots.csv"
COLUMNS = ("bill_length_mm", "body_mass_g")
RATES = [0.0003, 0.001, 0.002, 0.005, 0.01, 0.03, 0.1, 0.3, 1, 3]


def penguins(columns=COLUMNS, seed=0):
    return three_sets(*read_penguins(BIRDS, columns), seed)


def networks(nins):
    return [Net(nins, 3, seed=seed) for seed in range(5)]


def test_lesson_11_the_source_text_is_there_whole():
    """Le texte d'origine, aux espaces et à la mise en forme près."""
    quoted = "".join(line for line in LESSON.splitlines() if line.startswith(">"))
    letters = re.sub(r"[\s*_>]", "", quoted)
    assert hashlib.sha256(letters.encode()).hexdigest() == (
        "dcf4620478bb3128b25d8ba5c3211ffc356e8653af05bcad0a1a0548ac2fe16b"
    )


def test_lesson_11_what_is_quoted_again_is_in_the_source_text():
    quoted = re.sub(r"[*_>\s]+", " ", " ".join(line for line in LESSON.splitlines() if line.startswith(">")))
    remarks = [line for line in LESSON.splitlines() if line.startswith("- «\xa0")]
    assert len(remarks) > 10
    for line in remarks:
        for part in re.search("«\xa0(.*?)\xa0»", line)[1].split(" […], "):
            assert part in quoted, part


def test_lesson_11_the_raw_measures_saturate_almost_every_neuron():
    """« Des masses de 4 000 g saturent presque toutes les tanh »"""
    points = torch.tensor(read_penguins(BIRDS, COLUMNS)[0], dtype=torch.float32)
    for net in networks(2):
        assert (abs(net.hidden[0](points).tanh()) > 0.99).double().mean() > 0.99


def test_lesson_11_which_rates_of_the_slider_meet_the_goal():
    """« de 0,0025 à 0,01 environ » ; guide : « De 0,00251 à 0,01… », « De 0,00251 à 0,0316, …en chemin »."""
    learn, valid, _ = penguins()
    trial = sweep(Net(2, 3, seed=0), *learn, 100, LR_GRID, valid=valid)
    ends, lows = trial.valid_loss[:, -1], trial.valid_loss.min(axis=1)
    assert [lr for lr, end in zip(LR_GRID, ends) if end <= 0.25] == [lr for lr in LR_GRID if 0.0025 < lr < 0.0101]
    assert {lr for lr in LR_GRID if 0.0025 < lr < 0.032} <= {lr for lr, low in zip(LR_GRID, lows) if low <= 0.25}
    early = dict(zip(LR_GRID, trial.valid_loss.argmin(axis=1)))
    assert early[0.1] < 30  # « tourne avant l'époque 30 »
    assert early[0.001] == 100  # « descend encore à la dernière époque »
    assert [round(ends[LR_GRID.index(lr)], 2) for lr in (0.002, 0.0126)] == [0.27, 0.26]


@pytest.mark.lent
def test_lesson_11_on_six_splits_the_two_bottoms_are_far_apart():
    """« sur six coupes différentes, 65 à 69 oiseaux » ; guide : « à chaque fois au taux 0,3, … à 0,005 ou 0,01 »."""
    known, bottoms = [], []
    for seed in range(6):
        learn, valid, exam = penguins(seed=seed)
        trial = sweep(networks(2), *learn, 100, RATES, valid=valid)
        losses = (np.median(one[:, :, -1], axis=0) for one in (trial.loss, trial.valid_loss))
        bottoms.append([RATES[loss.argmin()] for loss in losses])
        last = sweep(networks(2), *learn, 100, [0.005], valid=exam).valid_accuracy[:, 0, -1]
        known.append(round(71 * np.median(last)))
    assert (min(known), max(known)) == (65, 69)
    assert {row[0] for row in bottoms} == {0.3}
    assert {row[1] for row in bottoms} == {0.005, 0.01}


def test_lesson_11_quiz_at_the_bottom_of_training_validation_is_four_times_higher():
    """Quiz : « environ quatre fois plus haute », « la perte de validation y remonte déjà »."""
    learn, valid, _ = penguins()
    trial = sweep(networks(2), *learn, 100, [0.005, 0.04, 0.3], valid=valid)
    low, middle, high = np.median(trial.valid_loss[:, :, -1], axis=0)
    assert 3.5 < high / low < 5
    assert middle > 1.5 * low


def test_lesson_11_the_guide_with_four_measures():
    """Guide : « De 0,005 à 0,3, 70 oiseaux », « 72 % aux plus petits taux ; plus rien à partir de 0,005 »."""
    every = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")
    learn, _, exam = penguins(every)
    trial = sweep(networks(4), *learn, 100, RATES[3:8], valid=exam)
    assert np.round(71 * np.median(trial.valid_accuracy[:, :, -1], axis=0)).tolist() == [70] * 5
    raw = sweep(networks(4), *read_penguins(BIRDS, every), 100, RATES).accuracy[:, :, -1].max(axis=0)
    assert 0.7 < raw[:3].min() < raw[:3].max() < 0.74
    assert raw[3:].max() < 0.45


def test_lesson_11_curve_b_of_exercise_1():
    """« **B** | 0,70 | 5,1 » : le premier pas ; la suite est chaotique, et change d'une machine à l'autre."""
    loss = train(Net(2, seed=0), *gendata(500, rule="band", seed=0), 1, lr=3, seed=0).loss
    assert loss == pytest.approx([0.70, 5.1], rel=0.01)


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "momentum"])
def test_lesson_11_ten_full_batches_never_meet_the_challenge(optimizer):
    """« En lot complet, dix époques ne font que 10 pas, et aucun taux ne suffit » ; guide : « au mieux 94 % »."""
    worst = np.ones(len(LR_GRID))
    for seed in range(3):
        points, valid = gendata(500, seed=seed), gendata(1000, seed=10_000 + seed)
        trial = sweep(Net(2, seed=seed), *points, 10, LR_GRID, optimizer=optimizer, seed=seed, valid=valid)
        worst = np.minimum(worst, trial.valid_accuracy[:, -1])
    assert worst.max() < 0.95


@pytest.mark.parametrize(("size", "low", "high"), [(100, 0.05, 0.16), (20, 0.0125, 0.0201)])
def test_lesson_11_small_batches_meet_the_challenge(size, low, high):
    """Guide : « en lots de 100, de 0,0501 à 0,158 environ, et en lots de 20, par exemple de 0,0126 à 0,02 »."""
    rates = [lr for lr in LR_GRID if low < lr < high]
    for seed in range(3):
        points, valid = gendata(500, seed=seed), gendata(1000, seed=10_000 + seed)
        trial = sweep(Net(2, seed=seed), *points, 10, rates, batch_size=size, seed=seed, valid=valid)
        assert (trial.valid_accuracy[:, -1] >= 0.97).all()


@pytest.mark.parametrize(
    ("rule", "counts", "low", "high"),
    [("sum", [0, 5, 5, 5], 0.93, 0.95), ("xor", [0, 5, 5, 5], 0.7, 0.92), ("band", [0, 1, 5, 5], 0.85, 0.88)],
)
def test_lesson_11_the_table_of_the_project(rule, counts, low, high):
    """Guide, « Évaluer » : combien de réseaux finissent à 97 %, jusqu'au taux 0,1 ; et SGD, au mieux."""
    points, valid = (gendata(n, rule=rule, seed=seed) for n, seed in ((500, 0), (2000, 1)))
    nets = [Net(2, seed=seed) for seed in range(5)]
    trial = sweep(nets, *points, 100, [0.003, 0.01, 0.03, 0.1], valid=valid)
    assert (trial.valid_accuracy[:, :, -1] >= 0.97).sum(axis=0).tolist() == counts
    slow = sweep(nets, *points, 100, [0.1, 0.3, 1, 3, 10], optimizer="sgd", valid=valid).valid_accuracy[:, :, -1]
    assert slow.max() < 0.97
    assert low < np.median(slow, axis=0).max() < high


@pytest.mark.parametrize(
    ("lr", "said"),
    [
        (0.39, "Oui"),
        (1.6, "Oui"),
        (0.36, "Vous y êtes presque"),
        (1.8, "Vous êtes du côté droit"),
        (1e30, "Ce taux est"),
    ],
)
def test_lesson_11_a_rate_is_judged_by_the_networks_it_trains(lr, said):
    assert verifier("11.2", lr).text.startswith(said)


def test_lesson_11_what_is_counted_by_hand():
    """« Un oiseau de plus ou de moins ferait 1,4 point », sur 71 ; « des lots de 20 en font 250 » ; « tanh 1 ≈ 0,76,
    mais tanh 2 ≈ 0,96 »."""
    assert round(100 / 71, 1) == 1.4
    assert [10 * math.ceil(500 / size) for size in (100, 20)] == [50, 250]
    assert [round(math.tanh(z), 2) for z in (1, 2)] == [0.76, 0.96]
