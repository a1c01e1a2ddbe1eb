"""L'explorateur sur des données à soi : n'importe quel nombre d'entrées et de classes."""

import numpy as np
import pytest
import torch

from toylib import Net, plot_boundary, train
from toylib.explorer import LrExplorer


def flowers(n=90, features=4, classes=3, seed=0):
    """Des groupes de points, un par classe, autour de sommets différents."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    return rng.normal(size=(n, features)) + 2 * np.eye(classes, features)[labels], labels


class Table:
    """Une table à la manière de celles de pandas : numpy sait la lire, ses colonnes ont des noms."""

    def __init__(self, values):
        self.values, self.columns = values, ["a", "b", "c", "d"]

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


@pytest.fixture
def explore():
    made = []

    def make(**options):
        made.append(LrExplorer(0.1, epochs=10, **options))
        made[-1].wait()
        return made[-1]

    yield make
    for explorer in made:
        explorer.close()


X, LABELS = flowers()


@pytest.mark.parametrize(
    "data",
    [
        (X, LABELS),
        (X.tolist(), LABELS.tolist()),
        [torch.tensor(X), torch.tensor(LABELS)],
        (Table(X), np.eye(3)[LABELS]),
    ],
    ids=["tableaux", "listes", "tenseurs", "table"],
)
def test_the_curves_are_those_of_train_on_the_same_points(explore, data):
    explorer = explore(data=data, valid=flowers(30, seed=1))
    expected = train(Net(4, 3, seed=0), X, LABELS, 10, 0.1, valid=flowers(30, seed=1), seed=0)
    for name, curve in vars(expected).items():
        np.testing.assert_allclose(getattr(explorer.history, name), curve, atol=2e-3, err_msg=name)
    assert "validation" in explorer.status


def test_every_control_still_works_and_the_u_is_filled(explore):
    explorer = explore(data=(X, LABELS), views=("curves", "u"), batch_size=[None, 10])
    explorer.set(lr=0.0316, optimizer="sgd", batch_size=10)
    explorer.wait(rest=True)
    expected = train(Net(4, 3, seed=0), X, LABELS, 10, 0.0316, optimizer="sgd", batch_size=10, seed=0)
    np.testing.assert_allclose(explorer.history.loss, expected.loss, atol=2e-3)
    finals = explorer._runs.finals(explorer._run.config)
    assert np.isfinite(finals).all()


def test_chance_is_that_of_as_many_classes(explore):
    explorer = explore(data=(X, LABELS))
    loss, accuracy = (panel._chance.get_ydata()[0] for panel in explorer._panels)
    assert (loss, accuracy) == pytest.approx((np.log(3), 1 / 3))


def test_three_classes_of_two_features_have_their_regions(explore):
    data = flowers(features=2)
    explorer = explore(data=data, views=("boundary",))
    (panel,) = explorer._panels
    frontier, regions = panel._frontier, panel._regions
    assert len({region.get_facecolor() for region in regions}) == 2  # la première classe est le fond
    assert all(len(region.get_path()) > 2 for region in regions)
    model = Net(2, 3, seed=0)
    train(model, *data, 10, 0.1, seed=0)
    points = frontier.get_xydata()
    logits = model(torch.tensor(points[np.isfinite(points).all(axis=1)], dtype=torch.float32))
    first, second, _ = logits.softmax(dim=1).sort(dim=1, descending=True).values.T
    assert (first - second).abs().median() < 0.02
    ax = plot_boundary(model, *data)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["classe 0", "classe 1", "classe 2"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("constant", [0, 1e9, -1e30])
def test_a_feature_that_never_varies_still_has_its_width_in_the_plane(explore, constant):
    data, labels = flowers(features=2, classes=2)
    data[:, 1] = constant
    (panel,) = explore(data=(data, labels), views=("boundary",))._panels
    low, high = panel._ax.get_ylim()
    assert low < constant < high
    assert len(np.unique(panel._sides[1])) > 8


def test_scales_too_far_apart_are_told_until_they_are_divided_away(explore):
    wide = X * [1, 1, 1, 5000]
    assert "entrées d'échelles très différentes (rapport" in explore(data=(wide, LABELS)).status
    assert "échelles" not in explore(data=(wide / wide.std(axis=0), LABELS)).status
    assert "échelles" not in explore(data=(np.c_[X, np.ones(len(X))], LABELS)).status


def test_without_a_kernel_the_picture_says_whose_data_they_are(explore):
    text = explore(data=(X, LABELS))._repr_mimebundle_()["text/plain"]
    assert "(Adam, vos données, 10 époques)" in text.replace("\xa0", " ")


@pytest.mark.parametrize(
    ("options", "kind", "extract"),
    [
        ({"n": 100}, ValueError, "n doit être absent"),
        ({"rule": ["sum", "xor"]}, ValueError, "rule doit être absent"),
        ({"noise": 0.0}, ValueError, "noise doit être absent"),
        ({"valid": 100}, TypeError, "valid doit être un couple"),
        ({"valid": False}, TypeError, "valid doit être un couple"),
        ({"valid": (X[:, :2], LABELS)}, ValueError, "valid[0] doit être de forme (n, 4)"),
        ({"valid": (X, LABELS + 1)}, ValueError, "valid[1] doit contenir"),
        ({"views": ("boundary",)}, ValueError, "data[0] doit avoir 2 entrées"),
        ({"data": X}, TypeError, "data doit être un couple"),
        ({"data": (X, LABELS[:-1])}, ValueError, "data[1] doit avoir 90 lignes"),
        ({"data": (X[:, 0], LABELS)}, ValueError, "data[0] doit être de forme (n, d)"),
        ({"data": (X[:0], LABELS[:0])}, ValueError, "data[0] doit être de forme (n, d)"),
        ({"data": (X, LABELS - 1)}, ValueError, "data[1] doit contenir"),
        ({"data": (X, [str(k) for k in LABELS])}, TypeError, "data[1] doit être un tableau de nombres"),
        ({"data": (np.where(X > 3, np.nan, X), LABELS)}, ValueError, "data[0] doit être fait de nombres finis"),
        ({"data": flowers(features=2, classes=7), "views": ("boundary",)}, ValueError, "data[1] doit avoir 6 classes"),
    ],
)
def test_data_that_will_not_do_are_refused_in_french(options, kind, extract):
    with pytest.raises(kind) as caught:
        LrExplorer(**{"data": (X, LABELS)} | options)
    assert extract in str(caught.value).replace("\xa0", " ")


@pytest.mark.parametrize("zero", [0, np.int64(0), torch.tensor(0)], ids=["int", "numpy", "torch"])
def test_no_validation_is_any_zero(explore, zero):
    assert explore(data=(X, LABELS), valid=zero).history.valid_loss is None


def test_without_data_a_pair_of_validation_is_refused():
    with pytest.raises(TypeError, match="valid doit être un entier"):
        LrExplorer(valid=(X, LABELS))


def test_the_explorer_keeps_the_data_it_was_given(explore, tmp_path):
    x, labels = flowers()
    data = torch.tensor(x, dtype=torch.float32)
    explorer = explore(data=(data, labels), cache=False)
    expected = explorer.history.loss
    data *= 100
    explorer.lr = 1
    explorer.wait()
    explorer.lr = 0.1
    explorer.wait()
    assert np.array_equal(explorer.history.loss, expected)
    data[:] = torch.nan
    explorer.save(tmp_path / "page.html")


def test_arrays_are_as_good_as_numbers_and_lists(explore):
    explorer = explore(n=np.array(50), hidden=np.array([4, 4]), noise=np.array([0, 0.1]), seed=torch.tensor(3))
    assert explorer.history is not None
    explorer.set(noise=np.array(0.1))
    assert explorer.controls["noise"].value == 0.1
    with pytest.raises(ValueError, match="noise doit") as caught:
        explorer.set(noise=np.arange(10**5))
    assert len(str(caught.value)) < 400
