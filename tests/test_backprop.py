"""La démonstration de la leçon 05 : ce qu'elle dessine est ce que le réseau calcule."""

from copy import deepcopy

import matplotlib
import matplotlib.pyplot as plt
import pytest
import torch

from toylib import Net, train
from toylib.french import comma
from toylib.lessons.backprop import STEPS, plot_step, run_pass

matplotlib.use("agg")

DATA, TARGET = [[-1.0, -0.5], [0.5, 0.5]], [0, 1]


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


@pytest.fixture
def model():
    return Net(2, hidden=(2, 2), seed=3)


def written(ax):
    return [text.get_text().replace("−", "-") for text in ax.texts]


def test_the_closed_form_gives_the_deltas_and_gradients_of_autograd():
    """Les formules que la leçon démontre, pour des largeurs toutes différentes."""
    model = Net(2, hidden=(3, 4), seed=0).double()
    x = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    run = run_pass(model, x, [0, 1, 1, 0, 1])
    _, h1, h2, p = run.values
    w2, w3 = model.hidden[1].weight, model.output.weight
    delta3 = (p - run.targets) / 5
    delta2 = delta3 @ w3 * (1 - h2**2)
    delta1 = delta2 @ w2 * (1 - h1**2)
    for value, delta, mine, gradient in zip((x, h1, h2), (delta1, delta2, delta3), run.deltas, run.gradients):
        torch.testing.assert_close(mine, delta, rtol=0, atol=1e-10)
        torch.testing.assert_close(gradient, delta.T @ value, rtol=0, atol=1e-10)


def test_the_gradients_are_those_that_central_differences_measure(model):
    model, eps = model.double(), 1e-5
    run = run_pass(model, DATA, TARGET)
    for layer, gradient in zip((*model.hidden, model.output), run.gradients):
        weights = layer.weight.data.view(-1)
        for k, slope in enumerate(gradient.flatten().tolist()):
            losses = []
            for step in (eps, -2 * eps):
                weights[k] += step
                losses.append(run_pass(model, DATA, TARGET).loss)
            weights[k] += eps
            assert (losses[0] - losses[1]) / (2 * eps) == pytest.approx(slope, abs=1e-5)


def test_each_step_shows_what_is_known_and_nothing_more(ax, model):
    run = run_pass(model, DATA, TARGET)
    for step in range(len(STEPS)):
        ax.clear()
        assert plot_step(model, DATA, TARGET, step, ax=ax) is ax
        text = "\n".join(written(ax))
        assert text.count("?") == 2 * max(0, 3 - step) + (step < 4)
        assert text.count("δ") == (2 * (step - 4) if 4 < step < 8 else 0)
        assert text.count("g ") == (4 * (step - 4) if 4 < step < 8 else 0)
        assert (f"perte\n{comma(run.loss, 2)}" in text) == (step >= 4)


def test_the_numbers_drawn_are_those_of_the_network(ax, model):
    run = run_pass(model, DATA, TARGET)
    plot_step(model, DATA, TARGET, 7, ax=ax)
    texts = written(ax)
    for value in run.values:
        for a, b in value.T:
            assert f"A {comma(a.item(), 2)}\nB {comma(b.item(), 2)}" in texts
    for column, delta in enumerate(run.deltas, start=1):
        for a, b in delta.T:
            place = texts.index(f"δ A {comma(a.item(), 2)} · B {comma(b.item(), 2)}")
            assert ax.texts[place].get_position()[0] == column
    for layer, gradient in zip((*model.hidden, model.output), run.gradients):
        for w, g in zip(layer.weight.flatten().tolist(), gradient.flatten().tolist()):
            assert f"w {comma(w, 2)}\ng {comma(g, 2)}" in texts


@pytest.mark.parametrize("lr", [0.1, 3.0])
def test_the_update_is_one_epoch_of_gradient_descent_and_leaves_the_model(ax, model, lr):
    before = deepcopy(model.state_dict())
    oracle = deepcopy(model)
    history = train(oracle, DATA, TARGET, 1, lr, optimizer="sgd")
    plot_step(model, DATA, TARGET, 8, lr, ax=ax)
    texts = written(ax)
    assert f"perte\n{comma(history.loss[0], 2)} → {comma(history.loss[1], 2)}" in texts
    for name, parameter in oracle.named_parameters():
        letter = "w" if name.endswith("weight") else "b"
        assert all(f"{letter} {comma(number, 2)}" in texts for number in parameter.flatten().tolist())
        assert torch.equal(model.state_dict()[name], before[name])


def test_the_box_that_the_step_computes_is_outlined(ax, model):
    for step, column in ((0, 0), (2, 2), (5, 3), (6, 2), (7, 1)):
        ax.clear()
        plot_step(model, DATA, TARGET, step, ax=ax)
        boxes = [text for text in ax.texts if text.get_bbox_patch() and text.get_bbox_patch().get_linewidth() == 3]
        assert {text.get_position()[0] for text in boxes} == {column}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"step": 9}, "step doit être"),
        ({"step": -1}, "step doit être"),
        ({"step": 8, "lr": 0}, "lr doit être"),
        ({"data": [[0.0, 0.0]] * 3, "target": [0, 1, 0]}, "data doit avoir un ou deux"),
        ({"model": Net(2, hidden=(2, 2), tanh=(True, False))}, "model doit avoir deux couches cachées"),
        ({"model": Net(2, hidden=(2,))}, "model doit avoir deux couches cachées"),
    ],
)
def test_bad_arguments_are_named_in_french(ax, model, change, error):
    with pytest.raises(ValueError, match=error):
        plot_step(**{"model": model, "data": DATA, "target": TARGET, "step": 0, "ax": ax, **change})
