"""Le bol quadratique : ce que la théorie prédit (lois 7 et 8), l'oracle de PyTorch, les mauvais arguments."""

import math
import re

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from toylib.lessons import verifier
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


def test_race_gives_the_share_of_the_limit_the_inertia_the_steps_and_what_is_slow():
    assert race((2 / 11) ** 2, (9 / 11) ** 2)[:3] == pytest.approx([0.9901, 0.6694, 93], abs=1e-3)
    assert race(2 / 101, 0)[:3] == pytest.approx([0.9901, 0, 691], abs=1e-3)
    assert race(0.01, 0.67)[3] == 1
    assert race(0.0333, 0.67)[3] == 0
    assert race(0.05, 0.5) == pytest.approx([5 / 3, 0.5, math.inf, 0])
    assert race(0.05, 1.5)[:3] == pytest.approx([1, 1.5, math.inf])


@pytest.mark.parametrize(("lr", "beta"), [(0.01, 0.6), (0.0333, 0.67), (0.02, 0.5), (0.005, 0.3)])
def test_what_race_calls_slow_is_what_is_left_in_the_long_run(lr, beta):
    flat, steep = abs(descend(lr, (1, 100), beta, steps=300)[-1])
    assert race(lr, beta)[3] == float(flat > steep)


# --- Ce que disent la leçon 04 et ses conseils --------------------------------------------------


def verdicts(exercise, answers):
    return [verifier(exercise, answer) for answer in answers]


@pytest.mark.parametrize(("exercise", "key"), [("04.1", 0.4), ("04.2", 0.125), ("04.4", 0.5)])
def test_lesson_04_a_rate_is_told_on_which_side_of_the_key_it_is(exercise, key):
    """« La falaise est plus loin », « on peut encore augmenter » : dit de taux trop petits, et d'eux seuls."""
    raised = re.compile("plus loin|augmenter")
    lowered = re.compile("plus près|diverge déjà|baissez|rester en dessous|entre −1 et 1|devient l'autre|oublié")
    for share in np.linspace(0.0217, 3, 150):
        said = verifier(exercise, share * key)
        sides = (bool(raised.search(said.text)), bool(lowered.search(said.text)))
        special = said.passed or re.search("2 divisé|diagonale de H", said.text)
        assert special or sides == (share < 1, share > 1), (share * key, said)


@pytest.mark.parametrize("beta", [0.63, 0.65, 0.67, 0.7, 0.74, 0.77])
def test_lesson_04_what_is_said_of_a_rate_leads_to_the_goal(beta):
    """Exercice 3 : « augmentez le taux » et « baissez le taux » vont, pour ce β, vers les taux qui suffisent."""
    limit = (2 + 2 * beta) / 100
    rates = limit * np.concatenate([np.linspace(0.05, 0.95, 19), np.linspace(0.955, 0.999, 23)])
    said = verdicts("04.3", [[lr, beta] for lr in rates])
    good = [k for k, verdict in enumerate(said) if verdict.passed]
    assert good
    for k, verdict in enumerate(said):
        side = "Augmentez le taux" if k < good[0] else "Baissez le taux" if k > good[-1] else "Oui"
        assert side in verdict.text, (rates[k], verdict)
    assert "converge pas" in verifier("04.3", [1.01 * limit, beta]).text


@pytest.mark.lent
@pytest.mark.parametrize("beta", [0.86, 0.9, 0.97])
def test_lesson_04_too_much_inertia_ends_in_less_inertia(beta):
    """Exercice 3 : de part et d'autre, on est ramené là où l'on lit « Trop d'inertie »."""
    said = verdicts("04.3", [[share * (2 + 2 * beta) / 100, beta] for share in np.linspace(0.01, 0.9999, 200)])
    words = [next(w for w in ("Augmentez", "Diminuez", "Baissez") if w in verdict.text) for verdict in said]
    assert words == sorted(words, key=["Augmentez", "Diminuez", "Baissez"].index)
    assert "Diminuez" in words


@pytest.mark.parametrize("beta", [0.1, 0.3, 0.5, 0.6, 0.625])
def test_lesson_04_under_625_thousandths_no_rate_is_fast_enough(beta):
    """« Il y a de l'inertie, mais pas assez pour κ = 100 : avec ce β, aucun taux n'y arrive. »"""
    said = verdicts("04.3", [[share * (2 + 2 * beta) / 100, beta] for share in np.linspace(0.02, 0.999, 120)])
    assert all("aucun taux n'y arrive" in verdict.text for verdict in said)


def test_lesson_04_the_notches_that_the_guide_names():
    """« Au taux 0,33 pour κ = 5, en 34 pas (35 au taux 0,32) ; … » ; avec l'inertie, « 24 », « 39 », « 56 »."""
    rates, betas = range(1, 41), range(10)
    fast = {kappa: {k: steps_to(descend(k / 100, (1, kappa))) for k in rates} for kappa in (5, 10, 20, 50)}
    assert {k: n for k, n in fast[5].items() if n and n <= 35} == {32: 35, 33: 34}
    assert {k: n for k, n in fast[10].items() if n and n <= 70} == {18: 68}
    assert not any(fast[20].values())
    assert not any(fast[50].values())
    for kappa, best in ((10, 24), (20, 39), (50, 56)):
        reached = [steps_to(descend(k / 100, (1, kappa), b / 10)) for k in rates for b in betas]
        assert min(n for n in reached if n) == best
    assert steps_to(descend(0.21, (1, 10), 0.3)) == 24
    assert steps_to(descend(0.18, (1, 10), 0.9)) is None


def test_lesson_04_what_the_quiz_computes():
    """« 131 », « après 10 pas, il reste encore 35 % », « un chiffre tous les 22 pas », « 128 pas au lieu de 667 »."""
    assert math.ceil(math.log(1e6) / -math.log(0.9)) == 132
    assert round(math.log(1e6) / -math.log(0.9)) == 131
    assert round(0.9**10, 2) == 0.35
    assert round(math.log(10) / -math.log(0.9)) == 22
    assert [steps_to(descend(lr, steps=800)) for lr in (0.1, 0.198)] == [128, 667]


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
        plot_distance(descend(lr, steps=800), ax)
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
        (lambda: steps_to(descend(0.1), "1e-6"), TypeError, "share", "'1e-6'"),
        (lambda: steps_to(descend(0.1), math.nan), ValueError, "share", "nan"),
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


def test_lesson_04_momentum_pushes_the_cliff_back():
    """« 0,2, puis 0,3, puis 0,38, un centième après les taux affichés »"""
    assert [round((2 + 2 * beta) / 10, 2) for beta in (0, 0.5, 0.9)] == [0.2, 0.3, 0.38]


def test_lesson_04_a_slanted_bowl_leaves_before_what_each_weight_sees():
    """« La falaise est à 0,2, bien avant 0,36. Partie de 1, la distance […] dépasse 9 000 au taux 0,21. »"""
    assert round(2 / 5.5, 2) == 0.36
    slanted, w = np.array([[5.5, 4.5], [4.5, 5.5]]), np.array([1.0, 1.0]) / math.sqrt(2)
    for _ in range(100):
        w = w - 0.21 * slanted @ w
    assert 9_000 < np.linalg.norm(w) < 20_000
