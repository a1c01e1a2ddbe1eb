"""La catapulte : la loi 11, la suite exacte contre la vraie descente, et la démonstration."""

from io import BytesIO

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
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
    landing,
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


@pytest.mark.parametrize(("n", "product"), [(10, 2.8), (100, 3.0), (1000, 3.0), (10_000, 3.0), (100_000, 3.0)])
def test_the_first_notch_ten_times_flatter(n, product):
    """L'objectif de la leçon 14, et le guide, à toutes les largeurs."""
    flat = [p for p in PRODUCTS if p < 4 and np.divide(*catapult(p, n).curvature[[-1, 0]]) <= 0.1]
    assert flat[0] == product


def test_the_flattest_place_is_slow():
    """Leçon 14, « Plus plat n'est pas plus rapide » : à 3,3, la perte est encore à 0,001 après 100 pas."""
    shares = {p: np.divide(*catapult(p).curvature[[-1, 0]]) for p in PRODUCTS if p < 4}
    assert min(shares, key=shares.get) == 3.3
    assert catapult(3.3).loss[-1] == pytest.approx(0.001, abs=1e-4)


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
    """Leçon 14, « environ 0,05 n, de 4,8 à 5 400 »."""
    runs = [catapult(2.5, n) for n in WIDTHS[1:]]
    assert [run.loss.max() / run.n for run in runs] == pytest.approx([0.05] * 4, abs=0.008)
    peaks = [run.loss.argmax() for run in runs]
    assert peaks == sorted(peaks)
    assert peaks[-1] > 2 * peaks[0]
    assert runs[0].loss.max() == pytest.approx(4.8, abs=0.05)
    assert runs[3].loss.max() == pytest.approx(5400, rel=0.01)


@pytest.mark.parametrize(("product", "low", "high"), [(2.1, 0.88, 0.91), (2.5, 0.5, 0.52), (3.0, 0.06, 0.08)])
def test_up_to_three_five_draws_land_at_the_same_place(product, low, high):
    """Leçon 14, « De 2 à 3, les cinq courbes sont presque confondues »."""
    for seed in SEEDS:
        assert low < np.divide(*catapult(product, 1000, seed=seed).curvature[[-1, 0]]) < high


DATA = gendata(100, rule="band", seed=0)


def held(net, products, steps):
    """Vrai à chaque produit lr·λ₀ où l'entraînement tient ; et les pertes."""
    rates = np.array(products) / max_curvature(net, *DATA, loss="squared")
    run = sweep(net, *DATA, steps, rates, optimizer="sgd", loss="squared")
    return run.loss[:, -1] < 1e3, run.loss


@pytest.mark.parametrize("seed", SEEDS)
def test_a_wide_tanh_network_has_the_same_three_phases(seed):
    """Leçon 14, « Un vrai réseau, mais large » : à 2,5, il perd la moitié de sa courbure."""
    net = Net(2, hidden=(256,), seed=seed).double()
    start = max_curvature(net, *DATA, loss="squared")
    rates = [product / start for product in (1.9, 2.5, 3.5, 4.1)]
    run = sweep(net, *DATA, 60, rates, optimizer="sgd", loss="squared", weights=True)
    assert (np.diff(run.loss[0]) <= 0).all()
    rise = run.loss[1:3].max(axis=1) / run.loss[1:3, 0]
    assert 30 < rise[0] < 90
    assert 120 < rise[1] < 450
    assert not run.loss[3, -1] < 1e3
    shares = max_curvatures(net, run.weights[:3, -1], *DATA, loss="squared", tol=1e-2) / start
    assert shares[0] > 0.98
    assert shares[1] == pytest.approx(0.5, abs=0.02)
    assert 0.25 < shares[2] < 0.5


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("tanh", "products"), [(True, (3.65, 3.9)), (False, (3.85, 4.15))])
def test_without_tanh_a_wide_network_holds_a_little_further(tanh, products, seed):
    """Leçon 14, « à partir de 3,7 à 3,9 selon la graine ; les mêmes sans tanh, vers 4 »."""
    net = Net(2, hidden=(256,), tanh=(tanh,), seed=seed).double()
    assert held(net, products, 60)[0].tolist() == [True, False]


@pytest.fixture(scope="module")
def small():
    """Cinq réseaux du cours, aux crans de 0,02 et en 400 pas : les crans, ceux qui tiennent, les pertes."""
    notches = np.arange(1, 4.001, 0.02)
    found = [held(Net(2, seed=seed).double(), notches, 400) for seed in SEEDS]
    return notches, *(np.array(one) for one in zip(*found))


@pytest.mark.lent
def test_the_small_network_has_no_edge_but_a_lace(small):
    """Leçon 14, « Jusqu'où cela tient-il ? » : tout sous 1,6, sept sur dix de 2,2 à 3,2, rien dès 3,6."""
    notches, kept, _ = small
    low, middle, high = (kept[:, (notches > a) & (notches < b)] for a, b in ((0.9, 1.6), (2.19, 3.21), (3.59, 4.1)))
    assert low.all()
    assert 0.65 < middle.mean() < 0.75
    assert not high.any()
    assert np.diff(kept[1]).sum() > 20


def test_another_seed_sometimes_holds_near_four():
    """Leçon 14, « Parmi cinq autres graines, une tient encore, parfois, près de 4 »."""
    assert held(Net(2, seed=8).double(), np.arange(3.6, 4, 0.02), 400)[0].any()


@pytest.mark.lent
def test_the_small_network_jumps_late_and_little(small):
    """Leçon 14, « Où commence le bond ? » et « De combien ? »."""
    notches, kept, losses = small
    slow, fast = (losses[:, abs(notches - product).argmin()] for product in (2.1, 3))
    assert ((slow[:, 1:] > slow[:, :-1]).argmax(axis=1) >= 50).sum() == 4
    assert (fast[:, 1] > fast[:, 0]).all()
    early = losses[:, :, :16].max(axis=2) / losses[:, :, 0]
    assert 2 < early[kept].max() < 3


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


@pytest.mark.parametrize(
    ("call", "error", "extract"),
    [
        (lambda: draw_weights(10**12), ValueError, "n doit demander cent millions"),
        (lambda: output_and_curvature([1, 2], [3]), ValueError, r"v doit être de forme \(2,\)"),
        (lambda: weights_step([], [], 0.1), ValueError, "u doit"),
        (lambda: weights_step([1.0], [2.0], "a"), TypeError, "lr doit"),
        (lambda: landing(Net(2, seed=0), *DATA, 2.0, 10), TypeError, "products doit être une suite"),
        (lambda: landing(Net(2, seed=0), *DATA, [0.1, -1], 10), ValueError, r"products\[1\] doit"),
        (lambda: plot_catapult([1, 2]), TypeError, "run doit"),
        (lambda: plot_catapult(catapult(2.5), Figure().subplots(1, 3)), ValueError, "axes doit"),
        (lambda: plot_catapult(catapult(2.5), [Figure().subplots()]), ValueError, "axes doit"),
        (lambda: plot_catapult(catapult(2.5), label=3), TypeError, "label doit"),
    ],
)
def test_the_other_functions_name_theirs(call, error, extract):
    with pytest.raises(error, match=extract):
        call()


def test_lists_of_weights_will_do():
    assert output_and_curvature([1, 2], [3, 4])[1] == 15
    assert weights_step([1.0], [2.0], 0.1) == pytest.approx([0.6, 1.8])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("product", [1e80, 1e100, 1e160, 1e300])
def test_a_product_too_large_for_a_number_diverges(product):
    run = catapult(product)
    assert run.phase == "diverge"
    plot_catapult(run)
    assert "diverge" in _status(run)


def test_a_curve_that_leaves_the_axes_leaves_the_picture():
    """Rien n'est ramené au bord du cadre : un plateau y serait pris pour la perte."""
    run = catapult(4.1)
    left, right = plot_catapult(run)
    assert [set(line.get_ydata()) for line in right.lines[:2]] == [{2}, {4}]
    assert (left.lines[0].get_ydata() == run.loss).all()
    assert run.product.max() > right.get_ylim()[1] == CEILING
    plot_catapult(catapult(1.9), (left, right), label="petit")
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["lr·λ₀ = 4,1", "petit"]


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
    """Leçon 14, « Le curseur règle lr × λ₀, de 0,5 à 4,2 »."""
    products = [value for _, value in demo.controls["product"].options]
    assert (products[0], products[-1]) == (0.5, 4.2)
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
