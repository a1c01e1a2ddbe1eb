"""La catapulte : la loi 11, la suite exacte contre la vraie descente, et la démonstration."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from toylib import Net, gendata, sweep
from toylib.lessons.catapult import (
    CEILING,
    PRODUCTS,
    WIDTHS,
    Catapult,
    _status,
    catapult,
    catapult_explorer,
    catapult_step,
    draw_weights,
    output_and_curvature,
    plot_catapult,
    weights_step,
)
from toylib.lessons.curvature import max_curvature, max_curvatures

SEEDS = range(5)


def linear_loss(u, v):
    """La perte du réseau, écrite pour autograd."""
    return (u @ v / len(u) ** 0.5) ** 2 / 2


@pytest.mark.parametrize("seed", SEEDS)
def test_at_width_1000_the_loss_falls_jumps_then_never_comes_back(seed):
    """Lewkowycz et al., 2020 : monotone à 1,9 ; λ divisée par deux à 2,5 ; atterrit à 3,9 ; diverge à 4,1."""
    phases = [catapult(product, 1000, seed=seed).phase for product in (1.9, 2.5, 3.9, 4.1)]
    assert phases == ["monotone", "catapulte", "catapulte", "diverge"]
    run = catapult(2.5, 1000, seed=seed)
    assert run.loss.max() > 25 * max(1, run.loss[0])
    assert run.curvature[-1] / run.curvature[0] == pytest.approx(0.5, abs=0.03)
    landed = catapult(3.9, 1000, seed=seed)
    assert landed.loss[-1] < 1e-6
    assert landed.product[-1] < 2


@pytest.mark.parametrize("n", WIDTHS)
def test_whatever_the_width_nothing_diverges_below_four_and_everything_does_above(n):
    for product in PRODUCTS:
        assert (catapult(product, n).phase == "diverge") == (product > 4), product
    assert catapult(2.0, n).phase == "monotone"


@pytest.mark.parametrize("n", WIDTHS[1:])
def test_the_loss_jumps_just_above_two(n):
    assert catapult(2.1, n).phase == "catapulte"


def test_at_width_ten_the_loss_jumps_later():
    assert [catapult(product, 10).phase for product in (2.3, 2.4)] == ["monotone", "catapulte"]


def test_above_four_everything_is_lost_in_about_ten_steps():
    assert [len(catapult(4.1, n).f) - 1 for n in WIDTHS] == [5, 7, 8, 11, 10]


@pytest.mark.parametrize("product", [1.9, 2.5, 3.5])
@pytest.mark.parametrize(("n", "seed"), [(1, 0), (10, 1), (1000, 2), (1000, 3)])
def test_the_recurrence_is_the_descent_of_u_and_v(product, n, seed):
    """L'oracle est autograd : 30 pas de vraie descente sur les poids, en float64."""
    run = catapult(product, n, steps=30, seed=seed)
    u, v = (torch.tensor(w, requires_grad=True) for w in draw_weights(n, seed))
    for f, curvature in zip(run.f, run.curvature):
        found = output_and_curvature(u.detach().numpy(), v.detach().numpy())
        assert found == pytest.approx((f, curvature), rel=1e-8, abs=1e-10)
        slopes = torch.autograd.grad(linear_loss(u, v), (u, v))
        u, v = ((w - run.lr * slope).detach().requires_grad_() for w, slope in zip((u, v), slopes))


def test_one_step_on_the_weights_is_that_of_torch():
    u, v = (torch.tensor(w, requires_grad=True) for w in draw_weights(7, 4))
    expected = [w.detach().numpy().copy() for w in (u, v)]
    linear_loss(u, v).backward()
    torch.optim.SGD([u, v], lr=0.3).step()
    for found, w in zip(weights_step(*expected, 0.3), (u, v)):
        assert found == pytest.approx(w.detach().numpy(), rel=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_lambda_is_the_curvature_of_the_loss_up_to_the_error(seed):
    """La plus grande valeur propre de la hessienne s'écarte de λ de |f|/√n au plus ; là où f = 0, c'est λ."""
    n = 6
    u, v = (torch.tensor(w) for w in draw_weights(n, seed))
    v_orthogonal = v - (u @ v) / (u @ u) * u
    for one in (v, v_orthogonal):
        hessian = torch.func.hessian(lambda w: linear_loss(w[:n], w[n:]))(torch.cat([u, one]))
        f, curvature = output_and_curvature(u.numpy(), one.numpy())
        assert abs(torch.linalg.eigvalsh(hessian)[-1].item() - curvature) <= abs(f) / n**0.5 + 1e-9


def test_the_curvature_falls_below_four_and_rises_above():
    for product in (0.5, 2.5, 3.99):
        assert catapult_step(1.0, product, 1.0, 10)[1] < product
    assert catapult_step(1.0, 4.0, 1.0, 10)[1] == 4
    assert catapult_step(1.0, 4.1, 1.0, 10)[1] > 4.1


def test_the_peak_grows_like_the_width_and_takes_longer():
    runs = [catapult(2.5, n) for n in WIDTHS[1:]]
    assert [run.loss.max() / run.n for run in runs] == pytest.approx([0.05] * 4, abs=0.008)
    peaks = [run.loss.argmax() for run in runs]
    assert peaks == sorted(peaks)
    assert peaks[-1] > 2 * peaks[0]


@pytest.fixture(scope="module")
def wide():
    """Un réseau tanh de 512 neurones : la perte à chaque produit lr·λ₀, et la courbure avant et après."""
    data, net = gendata(100, rule="band", seed=0), Net(2, hidden=(512,), seed=0).double()
    start = torch.nn.utils.parameters_to_vector(net.parameters()).detach().numpy()[None]
    first = max_curvatures(net, start, *data, loss="squared")[0]
    rates = [product / first for product in (1.8, 2.5, 3.5, 4.2)]
    run = sweep(net, *data, 60, rates, optimizer="sgd", loss="squared", weights=True)
    return run, max_curvatures(net, run.weights[:3, -1], *data, loss="squared") / first


def test_a_wide_tanh_network_has_the_same_three_phases(wide):
    run, _ = wide
    assert (np.diff(run.loss[0]) <= 0).all()
    for curve in run.loss[1:3]:
        assert curve.max() > 1.5 * curve[0]
        assert curve[-1] < curve[0]
    assert not run.loss[3, -1] < 1e3


def held(net, products, steps):
    """Vrai à chaque produit lr·λ₀ où l'entraînement tient."""
    data = gendata(100, rule="band", seed=0)
    rates = np.array(products) / max_curvature(net, *data, loss="squared")
    return sweep(net, *data, steps, rates, optimizer="sgd", loss="squared").loss[:, -1] < 1e3


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("tanh", "products"), [(True, (3.6, 3.9)), (False, (3.8, 4.2))])
def test_without_tanh_a_wide_network_holds_a_little_further(tanh, products, seed):
    net = Net(2, hidden=(512,), tanh=(tanh,), seed=seed).double()
    assert held(net, products, 60).tolist() == [True, False]


@pytest.mark.lent
def test_the_small_network_has_no_edge_but_a_lace():
    """Cinq graines, crans de 0,04 : presque tout tient sous 1,6, presque rien dès 3,6 ; entre les deux, sans ordre."""
    products = np.arange(1, 4, 0.04)
    found = np.array([held(Net(2, seed=seed).double(), products, 400) for seed in SEEDS])
    low, middle, high = (found[:, (products > a) & (products < b)] for a, b in ((1, 1.6), (2.2, 3.2), (3.6, 4)))
    assert low.mean() > 0.97
    assert 0.5 < middle.mean() < 0.8
    assert high.mean() < 0.03
    assert np.diff(found[1]).sum() > 8


def test_a_wide_tanh_network_lands_in_a_flatter_place(wide):
    shares = wide[1]
    assert shares[0] > 0.9
    assert (shares[1:] < 0.8).all()


@pytest.mark.parametrize(
    ("arguments", "error", "extract"),
    [
        ({"product": 0}, ValueError, "product doit"),
        ({"product": "2"}, TypeError, "product doit"),
        ({"n": 0}, ValueError, "n doit"),
        ({"n": 2.5}, TypeError, "n doit"),
        ({"steps": -1}, ValueError, "steps doit"),
    ],
)
def test_bad_input_is_named(arguments, error, extract):
    with pytest.raises(error, match=extract):
        catapult(**{"product": 2.5, **arguments})


def test_a_plot_keeps_what_leaves_the_axes_at_their_edge():
    left, right = plot_catapult(catapult(4.1))
    assert [set(line.get_ydata()) for line in right.lines[:2]] == [{2}, {4}]
    assert right.lines[2].get_ydata().max() == CEILING
    plot_catapult(catapult(1.9), (left, right), label="petit")
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["lr·λ₀ = 4,1", "petit"]
    with pytest.raises(TypeError, match="run doit"):
        plot_catapult([1, 2])


def test_a_loss_that_has_not_come_down_is_in_flight():
    assert catapult(2.1, 100_000, steps=20).phase == "en vol"
    assert Catapult(1.0, 1, np.array([1.0, 2.0]), np.array([3.0, 3.0])).phase == "en vol"


@pytest.fixture
def demo():
    made = catapult_explorer()
    made.wait()
    yield made
    made.close()


def test_the_demonstration_answers_in_words(demo):
    found = []
    for product in (1.9, 2.5, 4.1):
        demo.set(product=product, n=1000)
        demo.wait()
        found.append(demo.status)
    assert found == [
        "lr·λ₀ = 1,9 · n = 1000 · monotone · courbure finale : 0,98 fois celle de départ",
        "lr·λ₀ = 2,5 · n = 1000 · catapulte · pic à 30 fois la perte de départ, au pas 6 · "
        "courbure finale : 0,51 fois celle de départ",
        "lr·λ₀ = 4,1 · n = 1000 · diverge · perdue au pas 8",
    ]


def test_the_status_does_not_depend_on_rounding():
    """Changer le départ d'une part 1e-13, plus que ce que les machines diffèrent, ne change pas un mot."""
    for n in WIDTHS:
        for product in PRODUCTS:
            run = catapult(product, n)
            path = [(run.f[0] * (1 + 1e-13), run.curvature[0] * (1 - 1e-13))]
            for _ in range(len(run.f) - 1):
                path.append(catapult_step(*path[-1], run.lr, n))
            other = Catapult(run.lr, n, *np.array(path).T)
            assert _status(other) == _status(run)


def test_what_is_saved_without_a_kernel_is_a_picture_in_bytes(demo):
    bundle = demo._repr_mimebundle_()
    assert isinstance(bundle["image/png"], bytes)
    assert Image.open(BytesIO(bundle["image/png"])).size == (960, 460)
    assert demo.status in bundle["text/plain"]
