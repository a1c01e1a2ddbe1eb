"""Les données contre les formes closes de L = ln(x + y) (loi 12)."""

import math

import numpy as np
import pytest

from toylib import gendata
from toylib.data import RULES

N = 400_000


def test_shapes_and_types():
    f, y2 = gendata(7, 3, seed=0)
    assert (f.shape, f.dtype) == ((7, 3), np.float32)
    assert (y2.shape, y2.dtype) == ((7, 2), np.float32)
    assert set(np.unique(y2)) == {0, 1}
    assert (y2.sum(axis=1) == 1).all()


def test_moments_of_log_of_a_sum_of_uniforms():
    f = gendata(N, 1, seed=1)[0].astype(np.float64).ravel()
    mean, variance = 2 * math.log(2) - 1.5, 1.25 - 2 * math.log(2) ** 2
    assert mean == pytest.approx(-0.11371, abs=1e-5)
    assert variance == pytest.approx(0.28909, abs=1e-5)
    error = math.sqrt(variance / N)
    assert f.mean() == pytest.approx(mean, abs=4 * error)
    assert f.var() == pytest.approx(variance, rel=0.02)
    assert np.median(f) == pytest.approx(0, abs=4 * 0.5 / math.sqrt(N))  # la densité y vaut 1
    assert ((f - f.mean()) ** 3).mean() / f.std() ** 3 == pytest.approx(-1.620, abs=0.03)
    assert (f > f.mean()).mean() == pytest.approx(1 - 8 * math.exp(-3), abs=0.004)


@pytest.mark.parametrize("edge", [-2.0, -0.5, 0.0, 0.3, 0.6])
def test_distribution_function_in_closed_form(edge):
    """P(L <= l) = e^{2l}/2 sous 0, puis 2 e^l - e^{2l}/2 - 1, primitives de la densité."""
    f = gendata(N, 1, seed=2)[0].ravel()
    s = math.exp(edge)
    expected = s * s / 2 if edge <= 0 else 2 * s - s * s / 2 - 1
    assert (f <= edge).mean() == pytest.approx(expected, abs=4 * 0.5 / math.sqrt(N))


@pytest.mark.parametrize(("rule", "nins"), [(r, n) for r in RULES for n in (1, 2, 3, 10) if (r, n) != ("xor", 1)])
def test_every_rule_is_balanced(rule, nins):
    n = 100_000
    share = gendata(n, nins, rule=rule, seed=3)[1][:, 1].mean()
    # Au-delà de 3 entrées, la bande n'est équilibrée qu'à la limite normale.
    slack = 0.005 if rule == "band" and nins > 3 else 0
    assert share == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(n) + slack)


def test_a_straight_cut_of_the_band_reaches_three_quarters():
    f, y2 = gendata(N, 1, rule="band", seed=4)
    total, label = np.exp(f.ravel()), y2[:, 1]
    half_width = 1 - 1 / math.sqrt(2)
    assert (label == (abs(total - 1) < half_width)).mean() > 0.9999
    best = max(((total < cut) == label).mean() for cut in np.linspace(0, 2, 201))
    assert best == pytest.approx(0.75, abs=0.005)


def test_rules_follow_their_definition():
    f, y2 = gendata(2000, 2, rule="sum", seed=5)
    assert (y2[:, 1] == (np.exp(f.astype(np.float64)).mean(axis=1) > 1)).mean() > 0.999
    f, y2 = gendata(2000, 2, rule="xor", seed=5)
    assert (y2[:, 1] == (f[:, 0] * f[:, 1] < 0)).all()


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.1, 0.2, 1.0])
def test_noise_flips_its_share_and_moves_no_point(noise):
    f, clean = gendata(500, seed=6)
    noisy_f, noisy = gendata(500, seed=6, noise=noise)
    assert (f == noisy_f).all()
    assert (clean[:, 1] != noisy[:, 1]).sum() == round(noise * 500)


def test_same_seed_same_bits_and_global_state_untouched():
    before, position = np.random.get_state()[1].copy(), np.random.get_state()[2]
    first, again, other = (gendata(50, seed=s) for s in (8, 8, 9))
    assert all((a == b).all() for a, b in zip(first, again))
    assert (first[0] != other[0]).any()
    assert (np.random.get_state()[1] == before).all()
    assert np.random.get_state()[2] == position


def test_without_a_seed_the_global_state_of_numpy_decides():
    np.random.seed(8)
    first, second, after = gendata(50), gendata(50), np.random.random()
    np.random.seed(8)
    assert all((a == b).all() for a, b in zip((*first, *second), (*gendata(50), *gendata(50))))
    assert np.random.random() == after
    assert (first[0] != second[0]).any()
