"""Les figures : ce qu'elles tracent, en français, avec des virgules, lisible sans les couleurs."""

import math

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from toylib import History, Net, Score, gendata, plot_boundary, plot_history
from toylib.plotting import STYLES, comma, percent

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
