"""Les figures : ce qu'elles tracent, en français, avec des virgules, lisible sans les couleurs."""

import copy
import math

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from toylib import History, Net, Score, Sweep, gendata, plot_boundary, plot_curves, plot_history, plot_sweep
from toylib.french import comma, percent
from toylib.plotting import CLASSES, STYLES

matplotlib.use("agg")


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


HISTORY = History.of([Score(0.7, 0.5), Score(0.2, 0.9)], [Score(0.8, 0.4), Score(0.3, 0.8)])


@pytest.mark.parametrize(
    ("number", "digits", "text"),
    [
        (0.0126, 3, "0,0126"),
        (1e-5, 3, "0,00001"),
        (10.0, 3, "10"),
        (1234.0, 2, "1200"),
        (0.0, 3, "0"),
        (math.inf, 3, "∞"),
        (math.nan, 3, "indéfini"),
    ],
)
def test_numbers_have_a_decimal_comma_and_no_exponent(number, digits, text):
    assert comma(number, digits) == text


def test_a_share_short_of_the_whole_is_never_written_100():
    assert (percent(1.0), percent(0.99999), percent(0.996)) == ("100\xa0%", "99,9\xa0%", "99,6\xa0%")


@pytest.mark.parametrize(("metric", "label"), [("loss", "Perte (entropie croisée)"), ("accuracy", "Exactitude")])
def test_plot_history_draws_the_curve_and_its_validation_and_returns_ax(ax, metric, label):
    assert plot_history(HISTORY, ax, metric=metric) is ax
    train_line, valid_line = ax.lines
    assert (train_line.get_ydata() == getattr(HISTORY, metric)).all()
    assert (valid_line.get_ydata() == getattr(HISTORY, f"valid_{metric}")).all()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Époque", label)


def test_ticks_have_a_decimal_comma(ax):
    plot_history(HISTORY, ax)
    ax.figure.canvas.draw()
    labels = [tick.get_text() for tick in ax.get_yticklabels()]
    assert "0,001" in labels
    assert not any("." in label or "$" in label for label in labels)


def test_successive_curves_differ_by_colour_and_by_dash(ax):
    for lr in (0.01, 0.1, 1):
        plot_history(History.of([Score(lr, 0.5)]), ax, label=f"lr = {comma(lr)}")
    assert len({line.get_color() for line in ax.lines}) == 3
    assert len({str(line._dash_pattern) for line in ax.lines}) == 3
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["lr = 0,01", "lr = 0,1", "lr = 1"]
    assert len({str(style["linestyle"]) for style in STYLES}) == len(STYLES)


def test_a_diverging_loss_stays_at_the_top_of_the_axes(ax):
    plot_history(History.of([Score(0.7, 0.5), Score(math.inf, 0.5), Score(math.nan, 0.5), Score(1e-9, 1.0)]), ax)
    assert ax.lines[0].get_ydata() == pytest.approx([0.7, 10, 10, 1e-3])


def test_without_ax_the_current_axes_are_used(ax):
    assert plot_history(HISTORY) is ax


def test_plot_boundary_colours_the_plane_as_the_network_does(ax):
    f, y2 = gendata(100, seed=0)
    model = Net(2, seed=0)
    assert plot_boundary(model, f, y2, ax) is ax
    drawn = np.concatenate([points.get_offsets() for points in ax.collections if len(points.get_offsets()) > 1])
    assert sorted(map(tuple, drawn.tolist())) == sorted(map(tuple, f.tolist()))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["classe 0", "classe 1"]
    low, high = f.min(axis=0), f.max(axis=0)
    assert ax.get_xlim()[0] <= low[0] <= high[0] <= ax.get_xlim()[1]
    assert ax.get_ylim()[0] <= low[1] <= high[1] <= ax.get_ylim()[1]


def test_plot_boundary_puts_the_horizontal_feature_horizontally(ax):
    """Un réseau qui ne regarde que la première entrée a une frontière verticale."""
    model = Net(2, hidden=(), seed=0)
    model.output.weight.data[:] = 0
    model.output.bias.data[:] = 0
    model.output.weight.data[1, 0] = 1  # classe 1 si la première entrée est positive
    plot_boundary(model, [[-1.0, -1.0], [0.5, 2.0]], [0, 1], ax)
    (line,) = [path.vertices for group in ax.collections for path in group.get_paths() if len(path.vertices) == 200]
    assert abs(line[:, 0]).max() < 0.02
    assert np.ptp(line[:, 1]) > 3
    left, right = ax.images[0].get_array()[:, [0, -1]].swapaxes(0, 1)
    assert np.allclose(left, to_rgb(CLASSES[0][-1]))  # chaque région a le fond de sa classe
    assert np.allclose(right, to_rgb(CLASSES[1][-1]))


LRS = np.array([0.001, 0.01, 0.1, 1.0, 10.0])
FINALS = np.array([0.7, 0.05, 0.04, 3.0, np.nan])


def swept(finals=FINALS, lrs=LRS, **valid):
    """Un balayage dont seule compte la dernière époque ; l'exactitude y est 1 - perte / 10."""
    loss = np.stack([np.full_like(finals, 0.7), finals], axis=-1)
    return Sweep(lrs, loss, 1 - np.nan_to_num(loss, nan=10.0) / 10, **valid)


def test_plot_sweep_draws_loss_on_the_left_and_accuracy_on_the_right(ax):
    assert plot_sweep(swept(), ax) is ax
    _, right = ax.figure.axes
    (loss,), (accuracy,) = ax.lines, right.lines
    assert loss.get_ydata() == pytest.approx([0.7, 0.05, 0.04, 3, 10])
    assert accuracy.get_ydata() == pytest.approx([0.93, 0.995, 0.996, 0.7, 0])
    assert (loss.get_xdata() == LRS).all()
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "Taux d'apprentissage"
    assert (ax.get_ylabel(), right.get_ylabel()) == ("Perte (entropie croisée), à la fin", "Exactitude, à la fin")
    ax.figure.canvas.draw()
    assert "0,001" in [tick.get_text() for tick in ax.get_xticklabels()]


def zones(ax):
    """Le nom de chaque zone et le taux au-dessus duquel il est écrit."""
    return {text.get_text(): text.get_position()[0] for text in ax.texts}


def test_plot_sweep_names_the_three_zones_where_they_are(ax):
    plot_sweep(swept(), ax)
    names = zones(ax)
    assert list(names) == ["trop petit", "bon", "trop grand"]
    assert names["trop petit"] < 0.01 < names["bon"] < 0.1 < names["trop grand"]


@pytest.mark.parametrize(
    ("finals", "names"),
    [
        ([0.04, 0.05, 0.06, 3.0, 9.0], ["bon", "trop grand"]),
        ([0.7, 0.6, 0.5, 0.06, 0.05], ["trop petit", "bon"]),
        ([0.7, 0.7, 0.8, 3.0, np.nan], ["aucun taux n'apprend"]),
    ],
)
def test_plot_sweep_names_only_the_zones_that_exist(ax, finals, names):
    plot_sweep(swept(np.array(finals)), ax)
    assert list(zones(ax)) == names


def test_plot_sweep_of_one_rate_or_of_unsorted_rates(ax):
    plot_sweep(swept(FINALS[:1] / 10, LRS[:1]), ax)
    order = np.array([3, 0, 4, 2, 1])
    plot_sweep(swept(FINALS[order], LRS[order]), ax, metric="loss", label="au hasard")
    assert (ax.lines[-1].get_xdata() == LRS).all()
    assert ax.lines[-1].get_ydata()[:4] == pytest.approx(FINALS[:4])


def test_plot_sweep_of_several_networks_draws_the_median_in_a_band(ax):
    several = swept(np.array([FINALS, FINALS * 2, FINALS * 5]))
    plot_sweep(several, ax, metric="loss")
    assert ax.lines[0].get_ydata() == pytest.approx([1.4, 0.1, 0.08, 6, 10])
    (band,) = [shape for shape in ax.collections if len(shape.get_paths()[0].vertices) > 5]
    inside = band.get_paths()[0].vertices
    assert (inside[:, 1].min(), inside[:, 1].max()) == pytest.approx((0.04, 10))


def test_plot_sweep_compares_named_curves_without_zones(ax):
    for name in ("Adam", "SGD"):
        plot_sweep(swept(), ax, metric="loss", label=name)
    assert not ax.texts
    assert len({line.get_color() for line in ax.lines}) == len({str(line._dash_pattern) for line in ax.lines}) == 2
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["Adam", "SGD"]


def test_plot_sweep_draws_validation_in_a_thinner_line(ax):
    curves = np.stack([FINALS, FINALS + 0.1], axis=-1)
    plot_sweep(swept(valid_loss=curves, valid_accuracy=curves / 10), ax)
    assert [line.get_linewidth() for line in ax.lines] == [2.5, 1.2]
    right = ax.figure.axes[1]
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["validation"]


@pytest.mark.parametrize("metric", ["loss", "accuracy"])
def test_plot_curves_draws_one_curve_a_rate_with_its_colour(ax, metric):
    assert plot_curves(swept(), ax, metric=metric) is ax
    assert len(ax.lines) == len({line.get_color() for line in ax.lines}) == 5
    bar = ax.figure.axes[1]
    ax.figure.canvas.draw()
    assert bar.get_ylabel() == "Taux d'apprentissage"
    assert "0,1" in [tick.get_text() for tick in bar.get_yticklabels()]


def test_plot_curves_of_several_networks_draws_medians(ax):
    plot_curves(swept(np.array([FINALS, FINALS * 2, FINALS * 5])), ax)
    assert [line.get_ydata()[-1] for line in ax.lines] == pytest.approx([1.4, 0.1, 0.08, 6, 10])


@pytest.mark.filterwarnings("error")
def test_the_accuracy_on_axes_that_showed_the_loss_takes_its_own_scale():
    history = History.of([(0.7, 0.5), (0.2, 0.9)])
    ax = plot_history(history, plt.figure().gca())
    plot_history(history, ax, metric="accuracy")
    assert (ax.get_yscale(), ax.get_ylim()) == ("linear", (0, 1.02))


def test_a_boundary_is_that_of_any_network_in_evaluation_mode():
    class Normed(Net):
        def __init__(self):
            super().__init__(2, seed=0)
            self.norm, self.drop = torch.nn.BatchNorm1d(2), torch.nn.Dropout(0.5)

        def forward(self, x):
            return super().forward(self.drop(self.norm(x)))

    f, y2 = gendata(20, seed=0)
    model = Normed()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    plot_boundary(model, f, y2)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    relu = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3))
    assert plot_boundary(relu, f, [0, 1, 2, 0] * 5).get_xlabel() == "Première entrée"
