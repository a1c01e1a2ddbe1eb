"""Le balayage : le gradient contre deux témoins (loi 4), chaque ligne contre `train` (loi 5), et ce qui l'entoure."""

import copy
import math
import sys

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, mse_loss, one_hot

from toylib import Net, Sweep, gendata, iter_sweep, sweep, train, training
from toylib.engine import LOSSES, PLACES, STATES, UPDATES, Copies, by_copy
from toylib.schedules import SCHEDULES
from toylib.sweep import median
from toylib.training import OPTIMIZERS

MODULE = sys.modules["toylib.sweep"]  # `toylib.sweep` est la fonction
NETS = {
    "deux couches": Net(2, seed=0).double(),
    "le réseau du texte": Net(2, tanh=(True, False), seed=1).double(),
    "affine": Net(2, tanh=(False, False), seed=2).double(),
    "sans couche cachée": Net(2, hidden=(), seed=3).double(),
    "trois couches, trois classes": Net(2, 3, hidden=(5, 4, 3), tanh=(True, False, True), seed=4).double(),
}
LRS = {"sgd": (0.003, 0.03, 0.3), "momentum": (0.003, 0.03, 0.3), "adam": (0.001, 0.01, 0.1)}


def squared(z, labels):
    """La perte quadratique, moyenne sur les échantillons, écrite par PyTorch."""
    return mse_loss(z, one_hot(labels, z.shape[1]).to(z.dtype)) * z.shape[1] / 2


WITNESSES = {"cross_entropy": cross_entropy, "squared": squared}


def closed_form(models, x, labels, loss="cross_entropy"):
    """Le gradient de `Copies` : (K, D)."""
    with torch.inference_mode():
        net = Copies(models)
        y = one_hot(labels, models[0].nout).T.to(x.dtype)
        net.backward(LOSSES[loss].slope(net.forward(x), y).div_(len(x)))
        return by_copy(net.slopes)


def problem(model, n=40):
    f, _ = gendata(n, seed=9)
    return torch.tensor(f).double(), torch.arange(n) % model.nout


# --- Loi 4 : le gradient -----------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", NETS)
def test_gradient_equals_autograd(name, loss):
    model, (x, labels) = NETS[name], problem(NETS[name])
    expected = torch.autograd.grad(WITNESSES[loss](model(x), labels), list(model.parameters()))
    flat = torch.cat([part.flatten() for part in expected])
    assert (closed_form([model], x, labels, loss)[0] - flat).abs().max() < 1e-10


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", NETS)
def test_gradient_equals_central_differences(name, loss):
    model, (x, labels) = copy.deepcopy(NETS[name]), problem(NETS[name])
    gradient, slopes, step = closed_form([model], x, labels, loss)[0], [], 1e-5
    with torch.no_grad():
        for weight in (part.view(-1) for part in model.parameters()):
            for i, value in enumerate(weight.tolist()):
                losses = []
                for moved in (value + step, value - step):
                    weight[i] = moved
                    losses.append(WITNESSES[loss](model(x), labels).item())
                weight[i] = value
                slopes.append((losses[0] - losses[1]) / (2 * step))
    assert gradient.tolist() == pytest.approx(slopes, abs=1e-5)


def test_gradients_of_several_copies_are_those_of_each():
    models = [Net(2, seed=seed).double() for seed in range(3)]
    x, labels = problem(models[0])
    for model, row in zip(models, closed_form(models, x, labels)):
        assert row.tolist() == pytest.approx(closed_form([model], x, labels)[0].tolist(), abs=1e-14)


# --- Loi 5 : chaque ligne est un entraînement --------------------------------------------------


@pytest.mark.parametrize("batch_size", [None, 50, 33])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_each_row_is_what_train_gives(optimizer, batch_size):
    f, y2 = gendata(500, seed=1)
    options = {"optimizer": optimizer, "batch_size": batch_size, "seed": 5, "valid": gendata(300, seed=2)}
    result = sweep(Net(2, seed=1).double(), f, y2, 12, LRS[optimizer], **options)
    assert result.loss.shape == (3, 13)
    for k, lr in enumerate(LRS[optimizer]):
        history = train(Net(2, seed=1).double(), f, y2, 12, lr, **options)
        for name in ("loss", "accuracy", "valid_loss", "valid_accuracy"):
            assert getattr(result, name)[k] == pytest.approx(getattr(history, name), abs=1e-10), (lr, name)
            assert (getattr(result.history(k), name) == getattr(result, name)[k]).all()


@pytest.mark.parametrize("schedule", [*SCHEDULES, lambda step, steps: 1 / (1 + step)], ids=[*SCHEDULES, "fonction"])
@pytest.mark.parametrize("batch_size", [None, 33])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_schedule_is_the_one_of_train(optimizer, batch_size, schedule):
    f, y2 = gendata(100, seed=1)
    options = {"optimizer": optimizer, "batch_size": batch_size, "schedule": schedule, "seed": 5}
    result = sweep(Net(2, seed=1).double(), f, y2, 12, LRS[optimizer], **options)
    for k, lr in enumerate(LRS[optimizer]):
        history = train(Net(2, seed=1).double(), f, y2, 12, lr, **options)
        assert result.loss[k] == pytest.approx(history.loss, abs=1e-10)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_each_layer_may_have_its_own_rate_and_the_loss_be_squared(optimizer):
    """Contre une boucle nue : un groupe de paramètres par couche, la perte quadratique de PyTorch."""
    f, y2 = gendata(60, seed=1)
    lrs = [(0.01, 0.1, 0.03), (0.1, 0.02, 0.01)]
    result = sweep(Net(2, seed=1).double(), f, y2, 12, lrs, optimizer=optimizer, loss="squared")
    x, labels = torch.tensor(f).double(), torch.tensor(y2).argmax(dim=1)
    for k, rates in enumerate(lrs):
        model, losses = Net(2, seed=1).double(), []
        layers = (*model.hidden, model.output)
        groups = [{"params": layer.parameters(), "lr": lr} for layer, lr in zip(layers, rates)]
        steps = OPTIMIZERS[optimizer](groups, lr=1.0)
        for _ in range(13):
            loss = squared(model(x), labels)
            losses.append(loss.item())
            steps.zero_grad()
            loss.backward()
            steps.step()
        assert result.loss[k] == pytest.approx(losses, abs=1e-10)
    assert result.lrs.tolist() == [list(rates) for rates in lrs]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_beyond_the_stable_rates_the_first_epochs_still_agree(optimizer):
    f, y2 = gendata(500, seed=1)
    lrs = (1.0, 3.0)
    result = sweep(Net(2, seed=1).double(), f, y2, 60, lrs, optimizer=optimizer)
    for k, lr in enumerate(lrs):
        history = train(Net(2, seed=1).double(), f, y2, 60, lr, optimizer=optimizer)
        assert result.loss[k, :4] == pytest.approx(history.loss[:4], abs=1e-8)
        assert (np.isfinite(result.loss[k]) == np.isfinite(history.loss)).all()


@pytest.mark.parametrize("name", NETS)
def test_any_net_can_be_swept(name):
    model, (x, labels) = NETS[name], problem(NETS[name])
    result = sweep(model, x, labels, 10, [0.05], optimizer="momentum")
    history = train(copy.deepcopy(model), x, labels, 10, 0.05, optimizer="momentum")
    assert result.loss[0] == pytest.approx(history.loss, abs=1e-10)
    assert result.accuracy[0] == pytest.approx(history.accuracy, abs=1e-10)


def test_in_single_precision_the_curves_of_train_are_kept():
    f, y2 = gendata(seed=0)
    history = train(Net(2, seed=0), f, y2, 100, 0.01)
    assert sweep(Net(2, seed=0), f, y2, 100, [0.01]).loss[0] == pytest.approx(history.loss, abs=1e-5)


def test_ties_count_for_the_first_class_as_in_test():
    model = Net(2, seed=0)
    for part in model.parameters():
        part.data.zero_()
    f, y2 = gendata(100, seed=0)
    result = sweep(model, f, y2, 0, [0.1])
    assert result.accuracy[0, 0] == pytest.approx(y2[:, 0].mean(), abs=1e-7)
    assert result.loss[0, 0] == pytest.approx(math.log(2), abs=1e-6)


# --- Ce qui diverge ----------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_copy_that_diverges_leaves_the_others_untouched(optimizer):
    f, y2 = gendata(200, seed=3)
    alone = sweep(Net(2, seed=0), f, y2, 40, [0.01, 0.1], optimizer=optimizer)
    model = Net(2, tanh=(False, False), seed=0)  # sans tanh, rien n'arrête les poids
    broken = sweep(model, f, y2, 40, [1e30, 0.01], optimizer=optimizer)
    together = sweep(Net(2, seed=0), f, y2, 40, [0.01, 1e37, 0.1], optimizer=optimizer)
    assert not np.isfinite(broken.loss[0, -1])
    assert np.isfinite(broken.loss[1]).all()
    assert together.loss[[0, 2]] == pytest.approx(alone.loss, abs=1e-6)


def test_a_loss_that_is_no_longer_a_number_counts_as_infinite():
    curves = np.array([[[0.7, np.nan]], [[0.7, 0.2]], [[0.7, np.inf]]])
    assert median(curves).tolist() == [[0.7, math.inf]]


# --- Plusieurs réseaux -------------------------------------------------------------------------


def test_several_networks_are_swept_together():
    f, y2 = gendata(200, seed=4)
    models, lrs = [Net(2, seed=seed).double() for seed in range(3)], [0.003, 0.03]
    result = sweep(models, f, y2, 8, lrs, batch_size=40, seed=1)
    assert result.loss.shape == result.accuracy.shape == (3, 2, 9)
    for row, model in zip(result.loss, models):
        assert row == pytest.approx(sweep(model, f, y2, 8, lrs, batch_size=40, seed=1).loss, abs=1e-12)
    assert result.history(1).loss == pytest.approx(np.median(result.loss[:, 1], axis=0))


@pytest.mark.parametrize("batch_size", [None, 30])
def test_weights_of_each_epoch_are_kept_on_request(batch_size):
    f, y2 = gendata(100, seed=4)
    options = {"batch_size": batch_size, "seed": 1}
    result = sweep([Net(2, seed=0), Net(2, seed=1)], f, y2, 4, [0.01, 0.1], weights=True, **options)
    assert result.weights.shape == (2, 2, 5, 354)
    model = Net(2, seed=1)
    train(model, f, y2, 4, 0.1, **options)
    expected = torch.cat([part.detach().flatten() for part in model.parameters()])
    assert result.weights[1, 1, -1] == pytest.approx(expected.numpy(), abs=1e-5)
    assert (result.weights[:, 0, 0] == result.weights[:, 1, 0]).all()
    assert sweep(Net(2, seed=0), f, y2, 4, [0.01]).weights is None


# --- Livraison, blocs, mémoire -----------------------------------------------------------------


def test_iter_sweep_hands_over_the_curves_so_far(monkeypatch):
    monkeypatch.setattr(MODULE, "CHUNK", 0)
    f, y2 = gendata(100, seed=5)
    whole = sweep(Net(2, seed=0), f, y2, 30, [0.01, 0.1])
    parts = list(iter_sweep(Net(2, seed=0), f, y2, 30, [0.01, 0.1]))
    assert len(parts) == 31
    assert [part.loss.shape[1] for part in parts] == [*range(1, 31), 31]
    for part in parts:
        assert (part.loss == whole.loss[:, : part.loss.shape[1]]).all()


def test_iter_sweep_keeps_to_the_memory_it_is_given(monkeypatch):
    f, y2 = gendata(100, seed=5)
    whole = sweep(Net(2, seed=0), f, y2, 4, [0.01, 0.1, 1.0], seed=0)
    monkeypatch.setattr(MODULE, "CHUNK", 0)
    monkeypatch.setattr(MODULE, "MEMORY", 0)  # une copie par bloc
    lengths, waiting = [], []
    for part in iter_sweep(Net(2, seed=0), f, y2, 4, [0.01, 0.1, 1.0], seed=0):
        lengths.append(part.loss.shape[1])
        waiting.append(int(np.isnan(part.loss).sum()))
        known = ~np.isnan(part.loss)
        assert part.loss[known] == pytest.approx(whole.loss[:, : part.loss.shape[1]][known], abs=1e-6)
    assert lengths == [1, 2, 3, 4, *[5] * 11]
    assert waiting == [2, 4, 6, 8, *range(10, -1, -1)]


def test_the_gradient_may_be_asked_twice():
    model = NETS["trois couches, trois classes"]
    x, labels = problem(model)
    with torch.inference_mode():
        net = Copies([model])
        delta = LOSSES["cross_entropy"].slope(net.forward(x), one_hot(labels, model.nout).T.to(x.dtype))
        assert torch.equal(net.backward(delta).clone(), net.backward(delta))


def test_iter_sweep_stops_when_the_caller_stops(monkeypatch):
    monkeypatch.setattr(MODULE, "CHUNK", 0)
    steps = []
    monkeypatch.setitem(UPDATES, "sgd", lambda *_: lambda g, factor: steps.append(g))
    parts = iter_sweep(Net(2, seed=0), *gendata(100, seed=5), 1000, [0.1], optimizer="sgd")
    next(parts), next(parts), parts.close()
    assert len(steps) == 1


@pytest.mark.parametrize("models", [Net(2, seed=0), [Net(2, seed=0), Net(2, seed=1)]])
@pytest.mark.parametrize("seed", [3, None])
def test_blocks_change_nothing(monkeypatch, models, seed):
    f, y2 = gendata(100, seed=6)
    sizes = []
    real = MODULE.run
    monkeypatch.setattr(MODULE, "run", lambda task: sizes.append(len(task.copies)) or real(task))
    lrs = np.geomspace(1e-3, 0.1, 5)
    whole = sweep(models, f, y2, 6, lrs, batch_size=30, seed=3)
    assert len(sizes) == 1
    monkeypatch.setattr(MODULE, "MEMORY", (PLACES * (16 + 16 + 2) * 100 + STATES * 354) * 4 * 2)  # deux copies
    blocks = sweep(models, f, y2, 6, lrs, batch_size=30, seed=seed)
    assert max(sizes[1:]) == 2
    if seed is not None:
        assert blocks.loss == pytest.approx(whole.loss, abs=1e-6)
    else:  # sans graine : un tirage, mais le même dans tous les blocs
        twins = sweep(models, f, y2, 6, [0.01] * 5, batch_size=30).loss
        assert np.ptp(twins, axis=-2) == pytest.approx(np.zeros_like(np.ptp(twins, axis=-2)), abs=1e-6)


def test_a_bar_is_drawn_only_for_what_lasts(capsys, monkeypatch):
    shown = []

    class Bar(training.tqdm):
        def __init__(self, **options):
            shown.append(options)
            super().__init__(**options)

    monkeypatch.setattr(training, "tqdm", Bar)
    sweep(Net(2, seed=0), *gendata(50, seed=0), 3, [0.1, 0.2])
    assert shown[0]["delay"] == 1
    assert shown[0]["total"] == 4
    assert shown[0]["disable"]  # TQDM_DISABLE, que conftest.py pose pour les carnets rejoués
    monkeypatch.delenv("TQDM_DISABLE")
    sweep(Net(2, seed=0), *gendata(50, seed=0), 3, [0.1, 0.2])
    assert not shown[1]["disable"]
    assert capsys.readouterr() == ("", "")


def test_the_bar_ends_full(monkeypatch):
    counted = []
    monkeypatch.delenv("TQDM_DISABLE")
    monkeypatch.setattr(training.tqdm, "update", lambda self, n: counted.append(n))
    monkeypatch.setattr(MODULE, "MEMORY", 0)
    monkeypatch.setattr(MODULE, "CHUNK", 0)
    sweep(Net(2, seed=0), *gendata(50, seed=0), 7, [0.1, 0.2, 0.3])
    assert sum(counted) == 3 * 8


# --- Ce qui ne change pas ----------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
def test_the_caller_keeps_model_data_random_state_and_threads(threads):
    f, y2 = gendata(100, seed=7)
    model = Net(2, seed=0)
    kept = copy.deepcopy(model.state_dict()), f.copy(), y2.copy(), torch.random.get_rng_state()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for _ in iter_sweep(model, f, y2, 5, [0.1], batch_size=30, seed=0):
            assert torch.get_num_threads() == threads
        sweep(model, f, y2, 5, [0.1] * 64, seed=0)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(kept[0][name], value) for name, value in model.state_dict().items())
    assert all(part.grad is None for part in model.parameters())
    assert (kept[1] == f).all()
    assert (kept[2] == y2).all()
    assert torch.equal(kept[3], torch.random.get_rng_state())


def test_same_seed_same_bits():
    f, y2 = gendata(seed=8)
    first, again, other = (sweep(Net(2, seed=1), f, y2, 20, [0.01, 0.1], batch_size=50, seed=s).loss for s in (3, 3, 4))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("batch_size", [None, 30])
@pytest.mark.parametrize("epochs", [0, 6])
def test_without_a_seed_each_row_is_train_after_the_same_manual_seed(monkeypatch, batch_size, epochs):
    monkeypatch.setattr(MODULE, "MEMORY", 0)  # une copie par bloc : tous les blocs ont les mêmes mélanges
    f, y2 = gendata(100, seed=8)
    torch.manual_seed(3)
    result, after = sweep(Net(2, seed=1).double(), f, y2, epochs, [0.01, 0.1], batch_size=batch_size), torch.rand(1)
    for k, lr in enumerate([0.01, 0.1]):
        torch.manual_seed(3)
        history = train(Net(2, seed=1).double(), f, y2, epochs, lr, batch_size=batch_size)
        assert result.loss[k] == pytest.approx(history.loss, abs=1e-10)
        assert torch.equal(torch.rand(1), after)  # le balayage a tiré autant que `train`


def test_what_the_caller_draws_meanwhile_does_not_move_a_sweep(monkeypatch):
    monkeypatch.setattr(MODULE, "CHUNK", 0)
    f, y2 = gendata(100, seed=8)
    torch.manual_seed(3)
    whole = sweep(Net(2, seed=1), f, y2, 6, [0.1], batch_size=30)
    torch.manual_seed(3)
    for part in iter_sweep(Net(2, seed=1), f, y2, 6, [0.1], batch_size=30):
        torch.rand(1)
        last = part.loss
    assert (last == whole.loss).all()


def test_a_sweep_is_read_only():
    result = sweep(Net(2, seed=0), *gendata(50, seed=0), 2, [0.1])
    for array in (result.lrs, result.loss, result.accuracy):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    with pytest.raises(AttributeError):
        result.loss = None


# --- Le domaine des bons taux ------------------------------------------------------------------


def swept(lrs, finals, start=0.7):
    curves = np.array([[start, final] for final in finals])
    return Sweep(np.array(lrs), curves, 1 - curves)


def test_good_rates_are_the_longest_run_half_way_down():
    lrs = [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0]
    assert swept(lrs, [0.7, 0.5, 0.05, 0.07, 3.0, 0.01]).good() == (1e-2, 1e-1)
    assert swept(lrs, [0.7, 0.7, 0.01, np.nan, np.inf, 3.0]).good() == (1e-2, 1e-2)
    assert swept(lrs[::-1], [0.01, 3.0, 0.07, 0.05, 0.5, 0.7]).good() == (1e-2, 1e-1)


def test_a_lucky_rate_outside_the_domain_does_not_set_its_threshold():
    """Sans quoi le domaine changerait avec l'arrondi qui fait la chance."""
    lrs = [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0]
    for lucky in (3.0, 0.02, 0.005):
        assert swept(lrs, [0.7, 0.5, 0.07, 0.05, 3.0, lucky]).good() == (1e-2, 1e-1)


@pytest.mark.parametrize("finals", [[0.7, 0.8], [np.nan, np.inf], [0.9, 3.0]])
def test_no_rate_is_good_when_nothing_is_learnt(finals):
    assert swept([0.1, 1.0], finals).good() is None


@pytest.mark.lent
def test_the_u_of_the_reference_network():
    """Le meilleur taux est à l'intérieur de la grille, et change d'un optimiseur à l'autre (médiane de 5 réseaux)."""
    f, y2 = gendata(seed=0)
    lrs, best = np.geomspace(1e-4, 10, 26), {}
    for optimizer in OPTIMIZERS:
        result = sweep([Net(2, seed=seed) for seed in range(5)], f, y2, 100, lrs, optimizer=optimizer)
        final = median(result.loss)[:, -1]
        best[optimizer] = lrs[final.argmin()]
        assert final[0] > 4 * final.min()
        assert final[-1] > 4 * final.min()
        low, high = result.good()
        assert lrs[0] < low < high < lrs[-1]
    assert best["adam"] < best["sgd"]


def test_every_optimizer_of_train_is_known():
    assert list(UPDATES) == list(OPTIMIZERS)


def test_iter_sweep_trains_what_it_was_given():
    f, y2 = gendata(50, seed=0)
    expected = sweep(Net(2, seed=0), f, y2, 20, [0.1], seed=0).loss
    model, data = Net(2, seed=0), torch.tensor(f)
    parts = iter_sweep(model, data, y2, 20, [0.1], seed=0)
    train(model, f, y2, 5, 0.1)
    data.zero_()
    *_, last = parts
    assert np.array_equal(last.loss, expected)


def test_iter_sweep_followed_under_autocast_computes_in_the_type_of_the_weights():
    f, y2 = gendata(50, seed=0)
    parts = iter_sweep(Net(2, seed=0), f, y2, 20, [0.1], seed=0)
    with torch.autocast("cpu"):
        *_, last = parts
    assert np.array_equal(last.loss, sweep(Net(2, seed=0), f, y2, 20, [0.1], seed=0).loss)


def test_adam_survives_a_gradient_whose_square_overflows_as_train_does():
    f, y2 = gendata(20, seed=0)
    net = Net(2, hidden=(), seed=0)
    assert np.isfinite(train(copy.deepcopy(net), f * 1e25, y2, 5, 0.1, seed=0).loss).all()
    assert np.isfinite(sweep(net, f * 1e25, y2, 5, [0.1], seed=0).loss).all()


def test_a_block_counts_its_weights(monkeypatch):
    sizes, real = [], MODULE.run
    monkeypatch.setattr(MODULE, "run", lambda task: sizes.append(len(task.copies)) or real(task))
    net = Net(2, hidden=(300, 300), seed=0)
    monkeypatch.setattr(MODULE, "MEMORY", 3 * STATES * 4 * sum(part.numel() for part in net.parameters()))
    sweep(net, *gendata(2, seed=0), 1, [0.001, 0.01, 0.1, 1.0])
    assert sizes == [2, 2]


def test_the_median_of_a_sweep_is_read_only():
    result = sweep([Net(2, seed=0), Net(2, seed=1)], *gendata(20, seed=0), 2, [0.1])
    assert not result.history(0).loss.flags.writeable
