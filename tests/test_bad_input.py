"""Ce qu'un mauvais argument reçoit : une erreur en français qui le nomme, et rien n'est changé."""

import copy
import math

import numpy as np
import pytest
import torch

from toylib import (
    Net,
    gendata,
    iter_sweep,
    plot_boundary,
    plot_curves,
    plot_history,
    plot_sweep,
    sweep,
    test,
    toytest,
    train,
)
from toylib.explorer import LrExplorer
from toylib.lessons.curvature import max_curvature
from toylib.lessons.range_test import plot_range_test, range_test
from toylib.plotting import plot_data

F, Y2 = gendata(20, seed=0)
NAN = F.copy()
NAN[3, 1] = np.nan
TWO_ONES, HALVES = np.ones_like(Y2), np.full_like(Y2, 0.5)


def _train(data=F, target=Y2, epochs=3, lr=0.1, **options):
    return train(Net(2, seed=0), data, target, epochs, lr, **options)


def _sweep(model=None, data=F, target=Y2, epochs=3, lrs=(0.1, 1.0), **options):
    return sweep(model or Net(2, seed=0), data, target, epochs, lrs, **options)


CASES = [
    # taux non fini ou non positif
    (lambda: _train(lr=0), ValueError, "lr", "0"),
    (lambda: _train(lr=-0.1), ValueError, "lr", "-0.1"),
    (lambda: _train(lr=math.nan), ValueError, "lr", "nan"),
    (lambda: _train(lr=math.inf), ValueError, "lr", "inf"),
    (lambda: _train(lr="0,1"), TypeError, "lr", "'0,1'"),
    (lambda: _train(lr=None), TypeError, "lr", "None"),
    (lambda: _train(lr=True), TypeError, "lr", "True"),
    # époques
    (lambda: _train(epochs=-1), ValueError, "epochs", "-1"),
    (lambda: _train(epochs=2.5), TypeError, "epochs", "2.5"),
    (lambda: _train(epochs="10"), TypeError, "epochs", "'10'"),
    # longueurs, largeurs, ensemble vide
    (lambda: _train(F[:10], Y2), ValueError, "target", "10 lignes"),
    (lambda: _train(F[:, :1]), ValueError, "data", "(20, 1)"),
    (lambda: _train(F.ravel()), ValueError, "data", "(40,)"),
    (lambda: _train(F[:0], Y2[:0]), ValueError, "data", "vide"),
    (lambda: _train([], []), ValueError, "data", "(0,)"),
    (lambda: _train(target=1), ValueError, "target", "()"),
    # classes
    (lambda: _train(target=TWO_ONES), ValueError, "target", "seul 1"),
    (lambda: _train(target=HALVES), ValueError, "target", "0.5"),
    (lambda: _train(target=np.zeros_like(Y2)), ValueError, "target", "seul 1"),
    (lambda: _train(target=np.eye(3)[np.zeros(20, int)]), ValueError, "target", "(20, 3)"),
    (lambda: _train(target=np.full(20, 2)), ValueError, "target", "entre 0 et 1"),
    (lambda: _train(target=np.full(20, -1)), ValueError, "target", "entre 0 et 1"),
    (lambda: _train(target=np.full(20, 0.5)), ValueError, "target", "0.5"),
    (lambda: _train(target=np.full(20, np.nan)), ValueError, "target", "nan"),
    (lambda: _train(target=np.zeros((20, 2, 1))), ValueError, "target", "(20, 2, 1)"),
    (lambda: _train(target=np.zeros((20, 0))), ValueError, "target", "(20, 0)"),
    # NaN, infini, et ce qui n'est pas un nombre
    (lambda: _train(NAN), ValueError, "data", "NaN"),
    (lambda: _train(NAN * np.inf), ValueError, "data", "infini"),
    (lambda: _train([["a", "b"]] * 20), TypeError, "data", "nombres"),
    (lambda: _train([[1, 2], [3]]), TypeError, "data", "nombres"),
    (lambda: _train(None), TypeError, "data", "NoneType"),
    (lambda: _train(F.astype(complex)), TypeError, "data", "réels"),
    (lambda: _train(target=["oui"] * 20), TypeError, "target", "nombres"),
    # règle et optimiseur inconnus : le message les énumère
    (lambda: gendata(rule="somme"), ValueError, "rule", "sum, band, xor, random"),
    (lambda: gendata(rule=None), ValueError, "rule", "None"),
    (lambda: _train(optimizer="rmsprop"), ValueError, "optimizer", "adam, sgd, momentum"),
    (lambda: _train(optimizer=3), ValueError, "optimizer", "3"),
    (lambda: _train(optimizer=lambda params, lr: None), TypeError, "optimizer", "NoneType"),
    # les autres arguments
    (lambda: _train(batch_size=0), ValueError, "batch_size", "0"),
    (lambda: _train(batch_size=1.5), TypeError, "batch_size", "1.5"),
    (lambda: _train(seed=-1), ValueError, "seed", "-1"),
    (lambda: _train(seed=2**64), ValueError, "seed", "63 bits"),
    (lambda: _train(valid=F), TypeError, "valid", "couple"),
    (lambda: _train(valid=(F, Y2[:3])), ValueError, "valid[1]", "20 lignes"),
    (lambda: _train(valid=(NAN, Y2)), ValueError, "valid[0]", "NaN"),
    (lambda: train(torch.nn.Linear(2, 2), F, Y2, 1, 0.1), TypeError, "model", "Linear"),
    (lambda: test("réseau", F, Y2), TypeError, "model", "str"),
    (lambda: gendata(0), ValueError, "n", "0"),
    (lambda: gendata(10.0), TypeError, "n", "10.0"),
    (lambda: gendata(nins=0), ValueError, "nins", "0"),
    (lambda: gendata(nins=1, rule="xor"), ValueError, "nins", "au moins 2"),
    (lambda: gendata(noise=1.5), ValueError, "noise", "1.5"),
    (lambda: gendata(noise=math.nan), ValueError, "noise", "nan"),
    (lambda: gendata(noise="peu"), TypeError, "noise", "'peu'"),
    (lambda: gendata(seed="a"), TypeError, "seed", "'a'"),
    (lambda: Net(0), ValueError, "nins", "0"),
    (lambda: Net(2, 0), ValueError, "nout", "0"),
    (lambda: Net(2, hidden=(16, 0)), ValueError, "hidden[1]", "0"),
    (lambda: Net(2, hidden=16), TypeError, "hidden", "16"),
    (lambda: Net(2, hidden="16"), TypeError, "hidden", "'16'"),
    (lambda: Net(2, tanh=(True,)), ValueError, "tanh", "soit 2"),
    (lambda: Net(2, tanh=True), TypeError, "tanh", "True"),
    (lambda: Net(2, tanh=(1, 0)), TypeError, "tanh", "booléens"),
    (lambda: Net(2, seed=0.5), TypeError, "seed", "0.5"),
    (lambda: toytest([]), ValueError, "lrs", "vide"),
    (lambda: toytest([0.1, -1]), ValueError, "lrs[1]", "-1"),
    (lambda: toytest(0.1), TypeError, "lrs", "0.1"),
    (lambda: toytest(optimizer="x"), ValueError, "optimizer", "adam, sgd, momentum"),
    (lambda: plot_history(_train(), metric="perte"), ValueError, "metric", "loss, accuracy"),
    (lambda: plot_history([0.7, 0.3]), TypeError, "history", "list"),
    (lambda: plot_data(F[:, :1], Y2), ValueError, "data", "(20, 1)"),
    (lambda: plot_boundary(Net(3), F, Y2), ValueError, "data", "(20, 2)"),
    (lambda: plot_boundary(Net(3), np.ones((20, 3)), Y2), ValueError, "model", "2 entrées"),
    # le balayage : les mêmes erreurs, et les siennes
    (lambda: _sweep(lrs=[]), ValueError, "lrs", "vide"),
    (lambda: _sweep(lrs=[0.1, math.nan]), ValueError, "lrs[1]", "nan"),
    (lambda: _sweep(lrs=["0,1"]), TypeError, "lrs[0]", "'0,1'"),
    (lambda: _sweep(lrs=0.1), TypeError, "lrs", "0.1"),
    (lambda: _sweep(epochs=-1), ValueError, "epochs", "-1"),
    (lambda: _sweep(None, NAN), ValueError, "data", "NaN"),
    (lambda: _sweep(target=Y2[:3]), ValueError, "target", "20 lignes"),
    (lambda: _sweep(optimizer="x"), ValueError, "optimizer", "adam, sgd, momentum"),
    (lambda: _sweep(optimizer=torch.optim.Adam), ValueError, "optimizer", "adam, sgd, momentum"),
    (lambda: _sweep(batch_size=0), ValueError, "batch_size", "0"),
    (lambda: _sweep(seed=-1), ValueError, "seed", "-1"),
    (lambda: _sweep(valid=F), TypeError, "valid", "couple"),
    (lambda: _sweep(valid=(F, Y2[:3])), ValueError, "valid[1]", "20 lignes"),
    (lambda: _sweep(loss="mse"), ValueError, "loss", "cross_entropy, squared"),
    (lambda: _sweep(schedule="x"), ValueError, "schedule", "constant, warmup"),
    (lambda: _sweep(schedule=lambda step: -1), ValueError, "schedule(0)", "-1"),
    (lambda: _sweep(schedule=lambda step: None), TypeError, "schedule(0)", "None"),
    (lambda: _train(schedule=0.5), ValueError, "schedule", "0.5"),
    (lambda: _train(schedule=lambda step: 1 / step if step else float("nan")), ValueError, "schedule(0)", "nan"),
    (lambda: sweep(Net(2), F, Y2, 1, [(0.1, 0.2)]), ValueError, "lrs[0]", "soit 3"),
    (lambda: sweep(Net(2), F, Y2, 1, [(0.1, 0.2, -1)]), ValueError, "lrs[0][2]", "-1"),
    (lambda: sweep(Net(2), F, Y2, 1, [(0.1, 0.2, 0.3), 0.1]), TypeError, "lrs[1]", "0.1"),
    (lambda: max_curvature(None, F, Y2), TypeError, "model", "NoneType"),
    (lambda: max_curvature(Net(2), F, Y2, loss="x"), ValueError, "loss", "cross_entropy, squared"),
    (lambda: _sweep("réseau"), TypeError, "model", "'réseau'"),
    (lambda: _sweep([Net(2), None]), TypeError, "model", "None"),
    (lambda: _sweep([Net(2), Net(2, hidden=(3,))]), ValueError, "model", "même architecture"),
    (lambda: _sweep([Net(2), Net(2, tanh=(True, False))]), ValueError, "model", "même architecture"),
    (lambda: _sweep([Net(2), Net(2).double()]), ValueError, "model", "même architecture"),
    (lambda: sweep([], F, Y2, 1, [0.1]), TypeError, "model", "[]"),
    (lambda: next(iter_sweep(Net(2), F, Y2, -1, [0.1])), ValueError, "epochs", "-1"),
    (lambda: plot_sweep(_train()), TypeError, "sweep", "History"),
    (lambda: plot_sweep(_sweep(), metric="perte"), ValueError, "metric", "loss, accuracy"),
    (lambda: plot_curves(_train()), TypeError, "sweep", "History"),
    (lambda: plot_curves(_sweep(), metric="perte"), ValueError, "metric", "loss, accuracy"),
    (lambda: range_test(Net(2), F, Y2, [0.1, 0.01]), ValueError, "lrs", "croissants"),
    (lambda: range_test(Net(2), F, Y2, [0.1]), ValueError, "lrs", "au moins deux"),
    (lambda: range_test(Net(2), F, Y2, [0.1, 1], optimizer="x"), ValueError, "optimizer", "adam, sgd, momentum"),
    (lambda: plot_range_test(_sweep()), TypeError, "test", "Sweep"),
    (lambda: LrExplorer(lr=-1), ValueError, "lr", "-1"),
    (lambda: LrExplorer(optimizer="x"), ValueError, "optimizer", "adam, sgd, momentum"),
    (lambda: LrExplorer(optimizer=torch.optim.Adam), ValueError, "optimizer", "adam, sgd, momentum"),
    (lambda: LrExplorer(seed=None), TypeError, "seed", "None"),
    (lambda: LrExplorer(rule="x"), ValueError, "rule", "sum, band, xor, random"),
    (lambda: LrExplorer(epochs=-1), ValueError, "epochs", "-1"),
    (lambda: LrExplorer(hidden=16), TypeError, "hidden", "16"),
    (lambda: LrExplorer(batch_size=0), ValueError, "batch_size", "0"),
]


@pytest.mark.parametrize(("call", "error", "argument", "extract"), CASES, ids=range(len(CASES)))
def test_bad_input_gets_a_french_error_that_names_the_argument(call, error, argument, extract):
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert message.startswith(f"{argument} doit ")
    assert extract in message
    assert message.endswith(".")


@pytest.mark.parametrize(
    "options",
    [
        {"lr": -1},
        {"epochs": -1},
        {"optimizer": "x"},
        {"batch_size": 0},
        {"seed": -1},
        {"valid": (F, None)},
        {"data": NAN},
    ],
    ids=str,
)
def test_a_bad_call_leaves_the_model_and_the_arrays_as_they_were(options):
    model, arrays = Net(2, seed=0), (F.copy(), Y2.copy())
    weights = copy.deepcopy(model.state_dict())
    call = {"data": F, "target": Y2, "epochs": 3, "lr": 0.1, **options}
    with pytest.raises((ValueError, TypeError)):
        train(model, **call)
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    assert all((kept == array).all() for kept, array in zip(arrays, (F, Y2)))


def test_a_bad_rate_leaves_the_explorer_where_it_was():
    explorer = LrExplorer(epochs=2, n=20)
    explorer.wait()
    for bad in (-1, math.nan, "0,1"):
        with pytest.raises((ValueError, TypeError), match="lr doit"):
            explorer.lr = bad
    with pytest.raises(ValueError, match="optimizer doit"):
        explorer.optimizer = "x"
    assert (explorer.lr, explorer.optimizer) == (0.01, "adam")
    explorer.close()


def test_zero_epochs_are_valid():
    assert len(_train(epochs=0).loss) == 1
