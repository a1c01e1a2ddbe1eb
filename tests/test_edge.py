"""La limite de stabilité : la loi 11, ce qui la mesure, et la démonstration."""

from io import BytesIO

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from toylib import Net, gendata, sweep
from toylib.lessons.bowl import descend
from toylib.lessons.curvature import gradients, max_curvature, max_curvatures
from toylib.lessons.edge import GROUP, LIMITS, Track, adam_scale, edge_explorer, iter_track, limit, plot_track, track

DATA = gendata(100, rule="band", seed=0)


def network(seed=0):
    return Net(2, seed=seed).double()


@pytest.mark.lent
@pytest.mark.parametrize(("lr", "seed"), [(0.4, 0), (0.5, 2), (0.6, 3)])
def test_the_sharpness_of_descent_hovers_at_two_over_the_rate(lr, seed):
    """Cohen et al., 2021 : quel que soit le taux, et d'où que l'on parte."""
    made = track(network(seed), *DATA, 4000, lr)
    assert lr * made.plateau(2000) == pytest.approx(2, abs=0.06)


def test_below_the_limit_the_sharpness_rises_and_the_loss_never_does():
    made = track(network(), *DATA, 4000, 0.15, every=100)
    assert made.reached() is None
    assert made.curvature.max() > 2 * made.curvature[0]
    assert (np.diff(made.loss) <= 0).all()


def test_at_the_limit_the_loss_rises_at_times_and_falls_in_the_long_run():
    made = track(network(), *DATA, 4000, 0.4, every=100)
    assert (np.diff(made.loss) > 0).mean() > 0.05
    assert (np.diff(made.loss[:4000].reshape(8, 500).mean(axis=1)) < 0).all()


def test_halving_the_rate_lets_the_sharpness_rise_to_the_new_limit():
    made = track(network(), *DATA, 4000, 0.6, schedule=lambda step, steps: 1 if step < 500 else 0.5, every=100)
    assert 0.6 * made.curvature[5] == pytest.approx(2, abs=0.2)
    assert 0.3 * made.plateau(3000) == pytest.approx(2, abs=0.06)


@pytest.mark.lent
def test_the_preconditioned_sharpness_of_adam_hovers_near_thirty_eight_over_the_rate():
    """Cohen et al., 2022."""
    made = track(network(), *DATA, 2500, 0.03, optimizer="adam")
    assert 34 < 0.03 * made.plateau(1500) < 39.5
    assert 0.03 * made.curvature[0] < 20


def test_halving_the_rate_of_five_networks_lets_their_sharpness_rise():
    """Leçon 13 : « cinq départs, une arrivée : 4, à 10 % près », puis « au moins 1,3 fois plus grandes »."""
    nets = [network(seed) for seed in range(5)]
    ends = []
    for after in (1, 0.5):
        planned = {"schedule": lambda step, steps, after=after: 1 if step < 300 else after, "weights": True}
        points = sweep(nets, *DATA, 2000, [0.5], optimizer="sgd", loss="squared", **planned).weights[:, 0, 1000::100]
        found = max_curvatures(nets[0], points.reshape(5 * 11, -1), *DATA, loss="squared", tol=0.01).reshape(5, 11)
        ends.append(found.mean(axis=1))
    assert ends[0] == pytest.approx(4, rel=0.1)
    assert (ends[1] > 1.3 * ends[0]).all()
    assert (ends[1] < 9).all()


def test_at_the_limit_the_gradient_turns_over_or_glides():
    """Leçon 13 : « À 0,5, ils sont opposés » ; « chez d'autres réseaux, le rebond s'éteint par moments »."""
    options = {"optimizer": "sgd", "loss": "squared", "weights": True}
    weights = sweep([network(seed) for seed in range(5)], *DATA, 2000, [0.5], **options).weights[:, 0, 1500:]
    g = [gradients(network(), path, *DATA, loss="squared") for path in weights]
    opposed = [((one[1:] * one[:-1]).sum(axis=1) < 0).mean() for one in g]
    assert opposed[0] == 1
    assert min(opposed) < 0.5


@pytest.mark.parametrize("seed", range(5))
def test_with_cross_entropy_the_sharpness_touches_the_limit_then_dies(seed):
    """Leçon 13 : « s'y tient quelques centaines de pas, puis retombe »."""
    made = track(network(seed), *DATA, 2000, 0.5, loss="cross_entropy", tol=0.01)
    assert 100 <= 50 * (abs(made.curvature / made.limit - 1) < 0.1).sum() <= 1200
    assert made.curvature[-1] < made.limit * 2 / 3


@pytest.mark.parametrize("seed", range(5))
def test_the_mean_of_adam_is_a_little_under_its_limit(seed):
    """Leçon 13 : « La moyenne reste un peu sous 38/lr »."""
    made = track(network(seed), *DATA, 2500, 0.03, optimizer="adam", every=100, tol=0.01)
    assert 32 < 0.03 * made.plateau(1500) < 38.5


@pytest.mark.lent
def test_the_largest_rate_of_the_slider_that_stays_under_its_limit():
    """Leçon 13 : « La réponse est 0,15 : dès 0,2, la courbure touche sa limite. […] À 1, la perte diverge »."""
    reached = [track(network(), *DATA, 2000, lr).reached() is not None for lr in (0.1, 0.15, 0.2, 0.25)]
    assert reached == [False, False, True, True]
    assert np.isnan(track(network(), *DATA, 2000, 1.0).curvature[-1])


@pytest.mark.parametrize(("name", "beta"), [("sgd", 0.0), ("momentum", 0.9)])
def test_the_limit_is_that_of_the_bowl(name, beta):
    for share, converges in ((0.99, True), (1.01, False)):
        end = descend(share, [limit(1, name)], beta, start=[1], steps=3000)[-1, 0]
        assert (abs(end) < 1) == converges


def test_the_limit_of_adam_is_that_of_an_averaged_gradient():
    """Leçon 13, « (β₁ = 0,9) ne diverge qu'au-delà de 38/lr »."""
    assert limit(1, "adam") == pytest.approx(38)
    for share, converges in ((0.99, True), (1.01, False)):
        w, m = 1.0, 0.0
        for _ in range(5000):
            m = 0.9 * m + 0.1 * w
            w -= share * limit(1, "adam") * m
        assert (abs(w) < 1) == converges


def test_adam_scale_is_what_torch_divides_by():
    slopes = np.random.default_rng(0).normal(size=(7, 4))
    weight = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([weight])
    for step, (slope, found) in enumerate(zip(slopes, adam_scale(slopes)), start=1):
        weight.grad = torch.tensor(slope)
        adam.step()
        v = adam.state[weight]["exp_avg_sq"] / (1 - 0.999**step)
        assert found == pytest.approx((1 / (v.sqrt() + 1e-8)).numpy(), rel=1e-10)


def test_a_track_is_the_sweep_and_the_curvature_of_its_weights():
    made = track(network(), *DATA, 20, 0.4, every=10, tol=1e-8)
    run = sweep(network(), *DATA, 20, [0.4], optimizer="sgd", loss="squared", weights=True)
    assert made.loss.tolist() == run.loss[0].tolist()
    assert made.steps.tolist() == [0, 10, 20]
    model = network()
    for step, found in zip(made.steps, made.curvature):
        torch.nn.utils.vector_to_parameters(torch.tensor(run.weights[0, step]), model.parameters())
        assert found == pytest.approx(max_curvature(model, *DATA, loss="squared"), rel=1e-4)


def test_adam_is_measured_in_its_own_scale():
    made = track(network(), *DATA, 20, 0.03, optimizer="adam", every=20, tol=1e-8)
    run = sweep(network(), *DATA, 20, [0.03], optimizer="adam", loss="squared", weights=True)
    scale = torch.tensor(adam_scale(gradients(network(), run.weights[0], *DATA, loss="squared"))[20]).sqrt()
    x, labels = torch.tensor(DATA[0], dtype=torch.float64), torch.tensor(DATA[1], dtype=torch.float64)
    model, names = network(), [name for name, _ in network().named_parameters()]

    def mean_loss(flat):
        parts = flat.split([weight.numel() for weight in model.parameters()])
        weights = {name: part.view_as(one) for name, part, one in zip(names, parts, model.parameters())}
        return (torch.func.functional_call(model, weights, x) - labels).square().sum(dim=1).mean() / 2

    hessian = torch.func.hessian(mean_loss)(torch.tensor(run.weights[0, 20]))
    expected = torch.linalg.eigvalsh(scale[:, None] * hessian * scale)[-1].item()
    assert made.curvature[1] == pytest.approx(expected, rel=1e-3)


def test_what_is_delivered_on_the_way_grows_to_the_whole_track():
    parts = list(iter_track(network(), *DATA, 1000, 0.4, every=100))
    lengths = [len(part.curvature) for part in parts]
    assert lengths == sorted(lengths)
    assert max(np.diff(lengths)) <= GROUP
    assert all(len(part.steps) == len(part.curvature) for part in parts)
    assert all(part.steps.max(initial=0) < len(part.loss) for part in parts)
    whole = track(network(), *DATA, 1000, 0.4, every=100)
    assert parts[-1].curvature == pytest.approx(whole.curvature, rel=0.02)


def test_a_descent_that_diverges_has_no_curvature_there():
    made = track(network(), *DATA, 60, 20.0, every=20)
    assert np.isfinite(made.curvature[0])
    assert np.isnan(made.curvature[-1])
    assert track(network(), *DATA, 60, 20.0, every=20, optimizer="momentum").curvature.shape == (4,)


@pytest.mark.parametrize(
    ("arguments", "error", "extract"),
    [
        ({"lr": 0}, ValueError, "lr doit"),
        ({"lr": [0.1]}, TypeError, "lr doit"),
        ({"steps": 2.5}, TypeError, "steps doit"),
        ({"every": 0}, ValueError, "every doit"),
        ({"optimizer": "lbfgs"}, ValueError, "optimizer doit"),
        ({"loss": "mse"}, ValueError, "loss doit"),
        ({"tol": -1}, ValueError, "tol doit"),
    ],
)
def test_bad_input_is_named(arguments, error, extract):
    with pytest.raises(error, match=extract):
        track(network(), *DATA, **{"steps": 10, "lr": 0.1, **arguments})


MADE = Track(0.4, "sgd", np.ones(3), np.arange(3), np.array([4.0, 4.9, 5.1]))


@pytest.mark.parametrize(
    ("call", "error", "extract"),
    [
        (lambda: limit(0.1, "autre"), ValueError, ", ".join(LIMITS)),
        (lambda: MADE.plateau(1000), ValueError, "start doit laisser au moins un pas mesuré"),
        (lambda: MADE.reached("a"), TypeError, "share doit"),
        (lambda: plot_track([1, 2]), TypeError, "track doit"),
        (lambda: plot_track(MADE, Figure().subplots()), TypeError, "axes doit être une suite de deux axes"),
        (lambda: plot_track(MADE, Figure().subplots(1, 3)), ValueError, "axes doit"),
        (lambda: plot_track(MADE, [None, None]), TypeError, "axes doit"),
    ],
)
def test_limit_track_and_plot_refuse_what_they_cannot_use(call, error, extract):
    with pytest.raises(error, match=extract):
        call()


def test_the_rate_of_a_track_is_a_number():
    assert type(track(network(), *DATA, 1, torch.tensor(0.5)).lr) is float


def test_the_dashed_line_of_a_plot_is_the_limit():
    made = Track(0.4, "sgd", np.ones(3), np.arange(3), np.array([4.0, 4.9, 5.1]))
    left, right = plot_track(made)
    assert right.lines[0].get_ydata().tolist() == [4.0, 4.9, 5.1]
    assert set(right.lines[1].get_ydata()) == {5.0}
    plot_track(Track(0.5, "sgd", np.ones(3), np.arange(3), np.ones(3)), (left, right))
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["lr = 0,4", "lr = 0,5"]


@pytest.fixture
def demo():
    made = edge_explorer(steps=400)
    made.wait()
    yield made
    made.close()


def test_the_demonstration_answers_in_words(demo):
    demo.set(lr=0.1)
    demo.wait()
    assert "n'atteint pas la limite" in demo.status
    assert "ne remonte jamais" in demo.status
    demo.set(lr=0.5, loss="cross_entropy")
    demo.wait()
    words = "lr 0,5 · perte entropie croisée · limite 2/lr = 4 · la courbure part de 1,9 et atteint la limite"
    assert demo.status.startswith(words)


def test_the_line_moves_before_anything_is_trained():
    """La première image d'un cran est faite avant le premier pas."""
    made = edge_explorer(steps=400)
    for lr, level in ((0.2, "10"), (0.4, "5")):
        assert made._draw(next(made._states(lr=lr, loss="squared"))).endswith("pas 0 sur 400")
        assert made.stage.parts()["name"]["text"] == f"2/lr = {level} "
    made.close()


def test_the_demonstration_and_the_notebook_may_measure_at_the_same_time():
    made = edge_explorer(steps=400)
    for _ in range(3):
        assert np.isfinite(track(network(), *DATA, 100, 0.4, every=10).curvature).all()
    made.wait()
    assert made.status.startswith("lr 0,4")
    made.close()


def test_the_demonstration_stops_and_resumes(demo):
    demo.set(lr=0.2)
    demo.stop()
    demo.wait()
    assert "arrêté" in demo.stage.frame["status"]
    demo.set(lr=0.3)
    demo.wait()
    assert demo.status.startswith("lr 0,3")


def test_what_is_saved_without_a_kernel_is_a_picture_in_bytes(demo):
    bundle = demo._repr_mimebundle_()
    assert isinstance(bundle["image/png"], bytes)
    assert Image.open(BytesIO(bundle["image/png"])).size == (960, 460)
    assert demo.status in bundle["text/plain"]
