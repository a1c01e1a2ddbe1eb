"""Le bol quadratique : ce que la théorie prédit (lois 7 et 8), l'oracle de PyTorch, les mauvais arguments."""

import math

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from toylib.lessons.bowl import descend, distances, plot_bowl, plot_distance, race, steps_to

matplotlib.use("agg")

CURVATURES = [(1, 10), (1, 100), (0.3, 2, 7), (4,)]


def last(lr, curvatures=(1, 10), beta=0.0, steps=100):
    return distances(descend(lr, curvatures, beta, np.ones(len(curvatures)), steps))[-1]


# --- Loi 7 --------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("curvatures", CURVATURES)
def test_descent_converges_just_under_the_limit_and_explodes_just_above(curvatures, beta):
    """La limite est 2/λmax sans inertie, (2 + 2β)/λmax avec."""
    limit = (2 + 2 * beta) / max(curvatures)
    assert last(0.99 * limit, curvatures, beta, steps=6000) < 1e-6
    assert last(1.01 * limit, curvatures, beta, steps=1000) > 1e3


@pytest.mark.parametrize("kappa", [2, 10, 100])
def test_the_best_rate_shrinks_the_distance_by_kappa_minus_one_over_kappa_plus_one(kappa):
    shares = distances(descend(2 / (1 + kappa), (1, kappa), steps=20))
    assert shares[1:] / shares[:-1] == pytest.approx((kappa - 1) / (kappa + 1), abs=1e-3)


@pytest.mark.parametrize("curvatures", [(1, 10), (1, 4, 9), (2, 3, 8)])
def test_no_rate_beats_two_over_the_sum_of_the_extreme_curvatures(curvatures):
    best = 2 / (min(curvatures) + max(curvatures))
    finals = [last(scale * best, curvatures) for scale in (0.9, 0.97, 1, 1.03, 1.1)]
    assert np.argmin(finals) == 2


@pytest.mark.parametrize("kappa", [10, 100])
def test_momentum_at_its_best_shrinks_the_distance_by_the_rate_of_the_square_root(kappa):
    """La racine double ajoute un facteur t, d'où un taux moyen un peu au-dessus de (√κ − 1)/(√κ + 1)."""
    root = math.sqrt(kappa)
    rate, lr = (root - 1) / (root + 1), (2 / (root + 1)) ** 2
    shares = distances(descend(lr, (1, kappa), rate**2, steps=400))
    assert (shares[400] / shares[200]) ** (1 / 200) == pytest.approx(rate, rel=0.005)
    assert (shares[400] / shares[200]) ** (1 / 200) > rate


@pytest.mark.parametrize(("lr", "norm"), [(0.1, 2.7e-5), (2 / 11, 2.7e-9), (0.2, 1.0), (0.202, 7.2)])
def test_what_is_left_after_a_hundred_steps(lr, norm):
    assert np.linalg.norm(descend(lr, (1, 10), steps=100)[-1]) == pytest.approx(norm, rel=0.02)


def test_momentum_takes_ninety_three_steps_where_descent_takes_six_hundred_and_ninety_one():
    plain = descend(2 / 101, (1, 100), steps=1000)
    heavy = descend((2 / 11) ** 2, (1, 100), (9 / 11) ** 2, steps=1000)
    assert (steps_to(plain, 1e-6), steps_to(heavy, 1e-6)) == (691, 93)


@pytest.mark.parametrize("lr", [0.05, 0.15, 0.199])
def test_a_stable_descent_never_raises_the_loss_but_momentum_does(lr):
    curvatures = np.array([1, 10])
    losses = {beta: (descend(lr, curvatures, beta) ** 2) @ curvatures / 2 for beta in (0, 0.9)}
    assert (np.diff(losses[0]) < 0).all()
    assert (np.diff(losses[0.9]) > 0).any()
    assert losses[0.9][-1] < 1e-3


def test_a_turned_bowl_has_the_same_limit():
    """La limite vient des valeurs propres, non de la diagonale : ici 1 et 10, diagonale 5,5."""
    hessian = np.array([[5.5, 4.5], [4.5, 5.5]])
    values, vectors = np.linalg.eigh(hessian)
    assert values == pytest.approx([1, 10])
    w = start = np.array([1.0, 0.0])
    for _ in range(50):
        w = w - 0.15 * hessian @ w
    assert vectors.T @ w == pytest.approx(descend(0.15, values, start=vectors.T @ start, steps=50)[-1], abs=1e-12)


# --- Oracle : torch.optim.SGD -------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("curvatures", CURVATURES)
def test_the_trajectory_is_that_of_torch(curvatures, beta):
    start, scale = np.arange(1.0, 1 + len(curvatures)), torch.tensor(curvatures, dtype=torch.float64)
    w = torch.tensor(start, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.015, momentum=beta)
    expected = [start]
    for _ in range(50):
        optimizer.zero_grad()
        (0.5 * scale * w**2).sum().backward()
        optimizer.step()
        expected.append(w.detach().numpy().copy())
    assert descend(0.015, curvatures, beta, start, 50) == pytest.approx(np.array(expected), abs=1e-12)


def test_the_start_is_the_first_point_and_stays_as_it_was():
    start = np.array([1.0, -2.0])
    trajectory = descend(0.1, start=start, steps=0)
    assert trajectory.shape == (1, 2)
    assert (trajectory[0] == start).all()
    descend(0.1, start=start, steps=5)
    assert (start == [1, -2]).all()


def test_a_long_divergence_ends_in_nan_without_a_warning(recwarn):
    trajectory = descend(1.0, [4], start=[1], steps=700)
    finite = np.isfinite(trajectory)
    assert finite[:600].all()
    assert np.isnan(trajectory[-1]).all()
    assert steps_to(trajectory) is None
    assert not recwarn.list


# --- Ce que l'exercice mesure -------------------------------------------------------------------


def test_race_gives_the_share_of_the_limit_the_inertia_and_the_steps():
    assert race((2 / 11) ** 2, (9 / 11) ** 2) == pytest.approx([0.9901, 0.6694, 93], abs=1e-3)
    assert race(2 / 101, 0) == pytest.approx([0.9901, 0, 691], abs=1e-3)
    assert race(0.05, 0.5) == pytest.approx([5 / 3, 0.5, math.inf])
    assert race(0.05, 1.5) == pytest.approx([1, 1.5, math.inf])


# --- Les figures --------------------------------------------------------------------------------


def test_the_window_of_a_bowl_does_not_move_when_the_descent_leaves_it():
    figure, axes = plt.subplots(1, 2)
    limits = [(ax.get_xlim(), ax.get_ylim()) for lr, ax in zip((0.1, 3), axes) if plot_bowl(descend(lr), ax=ax) is ax]
    assert len(limits) == 2
    assert limits[0] == limits[1]
    figure.canvas.draw()
    plt.close(figure)


def test_a_bowl_draws_the_whole_trajectory():
    figure, ax = plt.subplots()
    trajectory = descend(0.1, steps=7)
    plot_bowl(trajectory, ax=ax)
    assert ax.lines[0].get_xydata() == pytest.approx(trajectory)
    plt.close(figure)


def test_distances_are_drawn_on_the_same_axes_whatever_they_are():
    figure, ax = plt.subplots()
    for lr in (0.1, 0.2, 3):
        plot_distance(descend(lr, steps=800), ax, label=str(lr))
    assert ax.get_ylim() == (1e-8, 100)
    assert ax.get_yscale() == "log"
    assert all(np.isfinite(line.get_ydata()).all() for line in ax.lines)
    assert len({line.get_color() for line in ax.lines}) == 3
    figure.canvas.draw()
    plt.close(figure)


# --- Mauvais arguments --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "name", "got"),
    [
        (lambda: descend(0), ValueError, "lr", "0"),
        (lambda: descend("0,1"), TypeError, "lr", "'0,1'"),
        (lambda: descend(0.1, beta=1), ValueError, "beta", "1.0"),
        (lambda: descend(0.1, beta=-0.1), ValueError, "beta", "-0.1"),
        (lambda: descend(0.1, beta=math.nan), ValueError, "beta", "nan"),
        (lambda: descend(0.1, 4), TypeError, "curvatures", "4"),
        (lambda: descend(0.1, "12"), TypeError, "curvatures", "'12'"),
        (lambda: descend(0.1, np.eye(2)), TypeError, "curvatures", "1."),
        (lambda: descend(0.1, []), ValueError, "curvatures", "vide"),
        (lambda: descend(0.1, (1, 0)), ValueError, "curvatures[1]", "0"),
        (lambda: descend(0.1, (1, "a")), TypeError, "curvatures[1]", "'a'"),
        (lambda: descend(0.1, start=(1,)), ValueError, "start", "1"),
        (lambda: descend(0.1, start=(1, math.inf)), ValueError, "start[1]", "inf"),
        (lambda: descend(0.1, steps=-1), ValueError, "steps", "-1"),
        (lambda: descend(0.1, steps=2.5), TypeError, "steps", "2.5"),
        (lambda: distances([1, 2]), ValueError, "trajectory", "(2,)"),
        (lambda: distances([["a"]]), TypeError, "trajectory", "list"),
        (lambda: steps_to(descend(0.1, start=(0, 0))), ValueError, "trajectory", "0"),
        (lambda: plot_bowl(descend(0.1, (1, 2, 3), start=(1, 1, 1))), ValueError, "trajectory", "(101, 3)"),
        (lambda: plot_bowl(descend(0.1), (1, 2, 3)), ValueError, "trajectory", "3 courbure"),
        (lambda: race(0.1, -0.5), ValueError, "beta", "-0.5"),
    ],
)
def test_bad_input_is_named_in_french(call, error, name, got):
    with pytest.raises(error) as raised:
        call()
    message = str(raised.value)
    assert message.startswith(name)
    assert "doit" in message
    assert "reçu\xa0: " in message
    assert got in message.partition("reçu")[2]
