"""Le test de plage : un seul entraînement, et ce qu'on y lit (Smith, 2017)."""

import copy

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from toylib import Net, gendata
from toylib.lessons.range_test import RangeTest, plot_range_test, range_test
from toylib.training import OPTIMIZERS

GRID = np.geomspace(1e-5, 10, 50)
F, Y2 = gendata(seed=0)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_it_is_one_training_whose_rate_rises(optimizer):
    model = Net(2, seed=0).double()
    x, labels = torch.tensor(F).double(), torch.tensor(Y2).argmax(dim=1)
    bare = copy.deepcopy(model)
    steps, losses = OPTIMIZERS[optimizer](bare.parameters(), lr=1.0), []
    for lr in GRID[:30]:
        steps.param_groups[0]["lr"] = lr
        steps.zero_grad()
        cross_entropy(bare(x), labels).backward()
        steps.step()
        losses.append(cross_entropy(bare(x), labels).item())
    before = copy.deepcopy(model.state_dict())
    result = range_test(model, F, Y2, GRID[:30], optimizer=optimizer)
    assert result.loss == pytest.approx(losses, abs=1e-10)
    assert (result.lrs == GRID[:30]).all()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize(("optimizer", "steepest", "minimum"), [("adam", 0.029, 0.063), ("sgd", 1.05, 2.4)])
def test_the_steepest_rate_comes_before_the_minimum(optimizer, steepest, minimum):
    """Au double près, les figures de référence ; sur cinq réseaux."""
    for seed in range(5):
        result = range_test(Net(2, seed=seed), F, Y2, GRID, optimizer=optimizer)
        assert steepest / 2 < result.steepest < steepest * 2
        assert minimum / 2 < result.minimum < minimum * 2
        assert result.steepest < result.minimum


def test_what_follows_the_rise_is_not_read():
    loss = np.array([0.7] * 10 + [0.6, 0.4, 0.3, 0.3, 0.3, 0.3] + [5.0] * 10 + [0.01] * 10)
    result = RangeTest(np.geomspace(1e-3, 10, 36), loss)
    assert result.minimum < result.lrs[16]
    nan = RangeTest(result.lrs, np.where(loss == 5, np.nan, loss))
    assert nan.steepest == result.steepest


def test_the_figure_marks_the_three_rates():
    figure, ax = plt.subplots()
    result = range_test(Net(2, seed=0), F, Y2, GRID)
    assert plot_range_test(result, ax) is ax
    marks = [line.get_xdata()[0] for line in ax.lines[1:]]
    assert marks == pytest.approx([result.steepest, result.minimum / 10, result.minimum])
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    lines = ["une époque", "moyenne de cinq", "pente la plus forte", "minimum ÷ 10", "minimum"]
    assert [name.split("\xa0:")[0] for name in names] == lines
    assert ax.lines[0].get_ydata().min() == result._smooth().min()  # le minimum marqué est celui que l'on voit
    plt.close(figure)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("lrs", [[0.001, 0.01, 0.1, 1000.0], [1e20, 1e25, 1e30]], ids=["remonte", "NaN"])
def test_a_loss_that_rises_at_once_leaves_the_first_rate(lrs):
    result = range_test(Net(2, seed=0), F, Y2, lrs, optimizer="sgd", seed=0)
    assert result.steepest == result.minimum == lrs[0]
    plot_range_test(result, plt.figure().subplots())
    plt.close()


@pytest.mark.parametrize(
    ("options", "error", "extract"),
    [
        ({"schedule": "cosine"}, ValueError, "l'option doit être l'un de : optimizer, batch_size, seed ; reçu"),
        ({"epochs": 3}, ValueError, "l'option doit"),
        ({"lr": 3}, ValueError, "l'option doit"),
        ({"lrs": [0.1]}, ValueError, "lrs doit avoir au moins deux taux"),
        ({"model": 3}, TypeError, "model doit"),
    ],
)
def test_bad_input_is_named(options, error, extract):
    with pytest.raises(error, match=extract):
        range_test(**{"model": Net(2, seed=0), "data": F, "target": Y2, "lrs": GRID, **options})
