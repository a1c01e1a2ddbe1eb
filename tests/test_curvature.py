"""La courbure maximale : la méthode de Lanczos contre la hessienne entière, et la loi 8."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from toylib import Net, gendata, sweep, train
from toylib.lessons.curvature import _top, gradients, max_curvature, max_curvatures


def half_square(z, labels):
    return ((z - torch.eye(2, dtype=z.dtype)[labels]) ** 2).sum(dim=1).mean() / 2


WITNESSES = {"cross_entropy": cross_entropy, "squared": half_square}


def mean_loss(model, f, y2, loss):
    """La perte, comme fonction des poids mis bout à bout."""
    x, labels = torch.tensor(f, dtype=torch.float64), torch.tensor(y2).argmax(dim=1)
    shapes = {name: value.shape for name, value in model.named_parameters()}

    def value(flat):
        parts = flat.split([shape.numel() for shape in shapes.values()])
        weights = {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts)}
        return WITNESSES[loss](torch.func.functional_call(model, weights, x), labels)

    return value


@pytest.mark.parametrize("loss", WITNESSES)
def test_lanczos_finds_the_largest_eigenvalue_of_the_whole_hessian(loss):
    f, y2 = gendata(60, rule="band", seed=0)
    model = Net(2, hidden=(6, 5), seed=0).double()
    weights = sweep(model, f, y2, 200, [0.3], optimizer="sgd", loss=loss, weights=True).weights[0, ::40]
    hessian = torch.func.hessian(mean_loss(model, f, y2, loss))
    scale = np.random.default_rng(0).uniform(0.5, 2, weights.shape)
    plain, scaled = [], []
    for point, s in zip(torch.tensor(weights), torch.tensor(scale)):
        H = hessian(point)
        plain.append(torch.linalg.eigvalsh(H)[-1].item())
        scaled.append(torch.linalg.eigvalsh(s.sqrt()[:, None] * H * s.sqrt())[-1].item())
    assert max_curvatures(model, weights, f, y2, loss=loss) == pytest.approx(plain, rel=2e-3)
    assert max_curvatures(model, weights, f, y2, loss=loss, scale=scale) == pytest.approx(scaled, rel=2e-3)


def test_a_negative_curvature_of_larger_size_does_not_hide_the_largest_one():
    operators = torch.tensor([[-5.0, 1, 2], [-3, -2, -1], [1, 0, -0.5]], dtype=torch.float64)
    assert _top(lambda v: operators * v, operators, 1e-4).tolist() == pytest.approx([2, -1, 1], abs=0.01)


def test_a_point_whose_hessian_is_not_a_number_does_not_spoil_the_others():
    operators = torch.tensor(
        [[1.0, 2, 3, 4], [1, torch.nan, 3, 4], [0, 0, 0, 0], [1, torch.inf, 1, 1]], dtype=torch.float64
    )
    found = _top(lambda v: operators * v, operators, 1e-6)
    assert found.tolist() == pytest.approx([4, math.nan, 0, math.nan], nan_ok=True)


def test_gradients_are_those_of_autograd():
    f, y2 = gendata(60, rule="band", seed=0)
    model = Net(2, seed=0).double()
    weights = sweep(model, f, y2, 3, [0.3], optimizer="sgd", loss="squared", weights=True).weights[0]
    slope = torch.func.grad(mean_loss(model, f, y2, "squared"))
    for point, found in zip(torch.tensor(weights), gradients(model, weights, f, y2, loss="squared")):
        assert found.tolist() == pytest.approx(slope(point).tolist(), abs=1e-12)


def test_max_curvature_of_logistic_regression_is_that_of_the_closed_form():
    """Sans couche cachée, la hessienne est moyenne(p (1 − p) x xᵀ) ⊗ [[1, −1], [−1, 1]], x complété par 1."""
    f, y2 = gendata(80, seed=0)
    model = Net(2, hidden=(), seed=0).double()
    x = torch.tensor(f, dtype=torch.float64)
    p = model(x).softmax(dim=1)[:, 1].detach().numpy()
    full = np.hstack([x.numpy(), np.ones((80, 1))])
    expected = 2 * np.linalg.eigvalsh((full.T * (p * (1 - p))) @ full / 80)[-1]
    before = [weight.clone() for weight in model.parameters()]
    assert math.isclose(max_curvature(model, f, y2), expected, rel_tol=1e-5)
    assert all((old == new).all() for old, new in zip(before, model.parameters()))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("rule", ["sum", "xor", "band"])
def test_descent_at_a_fifth_of_the_limit_never_raises_the_loss_of_a_network(rule, seed):
    f, y2 = gendata(500, rule=rule, seed=seed)
    model = Net(2, seed=seed).double()
    lr = 0.2 * 2 / max_curvature(model, f, y2)
    assert (np.diff(train(model, f, y2, 100, lr, optimizer="sgd", seed=0).loss) <= 0).all()


F, Y2 = gendata(20, seed=0)
POINT = np.zeros((1, 354))
NORMED = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))


@pytest.mark.parametrize(
    ("change", "error", "extract"),
    [
        ({"model": NORMED}, TypeError, "model doit être un Net"),
        ({"weights": POINT[0]}, ValueError, r"weights doit être de forme \(T, 354\)"),
        ({"weights": POINT[:, 1:]}, ValueError, "weights doit"),
        ({"weights": "a"}, TypeError, "weights doit"),
        ({"scale": POINT - 1}, ValueError, "scale doit"),
        ({"scale": [POINT[0]] * 2}, ValueError, "scale doit avoir 1 ligne"),
        ({"tol": "x"}, TypeError, "tol doit"),
        ({"tol": -1}, ValueError, "tol doit"),
        ({"loss": "mse"}, ValueError, "loss doit"),
    ],
)
def test_bad_input_is_named(change, error, extract):
    arguments = {"model": Net(2, seed=0), "weights": POINT, "data": F, "target": Y2, **change}
    with pytest.raises(error, match=extract):
        max_curvatures(**arguments)


def test_the_other_measures_refuse_the_same():
    with pytest.raises(TypeError, match="model doit être un Net"):
        max_curvature(NORMED, F, Y2)
    with pytest.raises(ValueError, match="weights doit"):
        gradients(Net(2, seed=0), POINT[0], F, Y2)
