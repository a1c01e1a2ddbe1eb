"""La démonstration de la leçon 05 : ce qu'elle dessine est ce que le réseau calcule."""

import math
from copy import deepcopy

import matplotlib
import matplotlib.pyplot as plt
import pytest
import torch

from toylib import Net, train
from toylib.french import comma
from toylib.lessons.backprop import STEPS, plot_step, run_pass, step_explorer

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


# --- Ce que disent la leçon 05 et son guide sans qu'une cellule l'affiche ------------------------


def test_lesson_05_the_delta_that_is_checked_by_hand(model):
    """« −0,5 × (−0,38) et −0,63 × 0,38, soit −0,049. Multiplié par 1 − 0,22², cela fait −0,047 (… dit −0,048).. »"""
    brought = -0.5 * -0.38 + -0.63 * 0.38
    assert [round(brought, 3), round(brought * (1 - 0.22**2), 3)] == [-0.049, -0.047]
    run = run_pass(model, DATA, TARGET)
    assert [comma(value, 2) for value in run.deltas[2].flatten().tolist()] == ["-0,38", "0,38", "0,12", "-0,12"]
    assert comma(run.deltas[1][0, 0].item(), 2) == "-0,048"
    assert [comma(value, 2) for value in model.output.weight[:, 0].tolist()] == ["-0,5", "-0,63"]
    assert [comma(value, 2) for value in run.values[3].flatten().tolist()] == ["0,25", "0,75", "0,24", "0,76"]


def test_lesson_05_what_the_guide_says_of_the_pocket_network(model):
    """« Ses δ sont trois fois ceux de B » ; « au plus 0,19, puis 0,043, puis 0,008 »."""
    run = run_pass(model, DATA, TARGET)
    assert round((run.deltas[2][0] / run.deltas[2][1]).abs().max().item()) == 3
    assert [comma(g.abs().max().item(), 2) for g in reversed(run.gradients)] == ["0,19", "0,043", "0,0082"]


def test_lesson_05_the_only_notch_that_meets_the_goal(model):
    """« Le taux 3 atteint l'objectif » : seul de tous les crans de la démonstration, dit le guide."""
    rates = [lr for _, lr in step_explorer(model, DATA, TARGET).controls["lr"].options]
    ends = {lr: train(deepcopy(model), DATA, TARGET, 1, lr, optimizer="sgd", seed=0).loss[-1] for lr in rates}
    assert [lr for lr, loss in ends.items() if loss <= 0.45] == [3]


def test_lesson_05_what_saturated_neurons_let_through():
    """« Divisent ce qui revient par près de 3 000 » ; quiz : « le maillon 1 − h² vaut 0,002 »."""
    assert 2500 < (1 - math.tanh(2) ** 2) ** -3 < 3000
    assert round(1 - 0.999**2, 3) == 0.002


@pytest.mark.parametrize("lr", [0.1, 3.0])
def test_the_update_subtracts_lr_times_the_gradient_and_leaves_the_model(ax, model, lr):
    """Le gradient d'un poids est celui que le schéma écrit ; celui d'un biais, la somme des δ."""
    before, oracle = deepcopy(model.state_dict()), deepcopy(model)
    run = run_pass(model, DATA, TARGET)
    with torch.no_grad():
        for layer, gradient, delta in zip((*oracle.hidden, oracle.output), run.gradients, run.deltas):
            layer.weight -= lr * gradient
            layer.bias -= lr * delta.sum(dim=0)
    plot_step(model, DATA, TARGET, 8, lr, ax=ax)
    texts = written(ax)
    assert f"perte\n{comma(run.loss, 2)} → {comma(run_pass(oracle, DATA, TARGET).loss, 2)}" in texts
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


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_a_pass_has_gradients_where_torch_keeps_none(ax, model, context):
    expected = run_pass(model, DATA, TARGET)
    with context():
        born = Net(2, hidden=(2, 2))
        born.load_state_dict(model.state_dict())
        for one in (model, born):
            found = run_pass(one, DATA, TARGET)
            assert all(map(torch.allclose, found.gradients, expected.gradients))
            plot_step(one, DATA, TARGET, 8, ax=ax)


@pytest.mark.parametrize(
    ("change", "kind", "error"),
    [
        ({"step": 9}, ValueError, "step doit être"),
        ({"step": -1}, ValueError, "step doit être"),
        ({"step": 8, "lr": 0}, ValueError, "lr doit être"),
        ({"step": 1, "lr": "x"}, TypeError, "lr doit être"),
        ({"data": [[0.0, 0.0]] * 3, "target": [0, 1, 0]}, ValueError, "data doit avoir un ou deux"),
        ({"model": Net(2, hidden=(2, 2), tanh=(True, False))}, ValueError, "model doit avoir deux couches cachées"),
        ({"model": Net(2, hidden=(2,))}, ValueError, "model doit avoir deux couches cachées"),
        ({"model": Net(2, hidden=(2, 2)).requires_grad_(False)}, ValueError, "model doit .* des poids gelés"),
        ({"model": torch.nn.Linear(2, 2)}, TypeError, "model doit être un Net, sans sous-classe ; reçu : Linear"),
    ],
)
def test_bad_arguments_are_named_in_french(ax, model, change, kind, error):
    with pytest.raises(kind, match=error):
        plot_step(**{"model": model, "data": DATA, "target": TARGET, "step": 0, "ax": ax, **change})
