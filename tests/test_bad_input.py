"""Ce qu'un mauvais argument reçoit : une erreur en français qui le nomme, et rien n'est changé."""

import itertools
import math
from contextlib import closing
from fractions import Fraction

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from torch import nn, optim
from torch.nn.utils import parametrizations, prune

from toylib import (
    History,
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
from toylib.lessons.backprop import run_pass
from toylib.lessons.bowl import descend, plot_bowl, plot_distance, race
from toylib.lessons.catapult import catapult, draw_weights, plot_catapult
from toylib.lessons.curvature import max_curvature
from toylib.lessons.edge import edge_explorer
from toylib.lessons.noise_floor import noisy_descents
from toylib.lessons.range_test import plot_range_test, range_test
from toylib.plotting import plot_data
from toylib.schedules import cosine, factors

F, Y2 = gendata(20, seed=0)
NAN = F.copy()
NAN[3, 1] = np.nan
TWO_ONES, HALVES = np.ones_like(Y2), np.full_like(Y2, 0.5)


def _train(data=F, target=Y2, epochs=3, lr=0.1, **options):
    return train(Net(2, seed=0), data, target, epochs, lr, **options)


def _sweep(model=None, data=F, target=Y2, epochs=3, lrs=(0.1, 1.0), **options):
    return sweep(model or Net(2, seed=0), data, target, epochs, lrs, **options)


def explorer_wait(timeout):
    with closing(LrExplorer(n=20, epochs=1)) as explorer:
        explorer.wait(timeout)


def _axes():
    return plt.subplots(1, 2)[1]


def changed(change):
    """Un réseau que `change` a modifié."""
    model = Net(2, seed=0)
    change(model)
    return model


class Closure(optim.SGD):
    """Un optimiseur qui veut, comme LBFGS, recalculer la perte."""

    def step(self, closure):
        return super().step(closure)


class Logits(nn.Module):
    """Un réseau dont `change` change les logits."""

    def __init__(self, change):
        super().__init__()
        self.linear, self.change = nn.Linear(2, 2), change

    def forward(self, x):
        return self.change(self.linear(x))


class NoRate(optim.Optimizer):
    """Un optimiseur sans taux."""

    def __init__(self, params, lr):
        super().__init__(params, {})


class Learner(nn.Module):
    """Un réseau dont `change` change les logits, selon son mode."""

    def __init__(self, change):
        super().__init__()
        self.linear, self.change = nn.Linear(2, 2), change

    def forward(self, x):
        return self.change(self.linear(x), self.training)


def _learn(change):
    """Un entraînement par lots de 2, d'un réseau dont le dernier lot n'a qu'un échantillon."""
    with torch.random.fork_rng():
        model = Learner(change)
    train(model, F[:5], Y2[:5], 1, 0.1, batch_size=2)


def _failing(step, steps):
    """Une planification qui échoue en chemin."""
    return [1.0, 1.0][step]


CASES = [
    # plus que la mémoire
    (lambda: gendata(10**12), ValueError, "n", "2000000000000"),
    (lambda: gendata(nins=10**7), ValueError, "n", "5000000000"),
    (lambda: _train(epochs=10**12), ValueError, "epochs", "1000000000000"),
    (lambda: _train(epochs=10**7, batch_size=1), ValueError, "epochs", "200000000"),
    (lambda: _sweep(epochs=10**12), ValueError, "epochs", "1000000000000"),
    # taux non fini ou non positif
    (lambda: _train(lr=0), ValueError, "lr", "0"),
    (lambda: _train(lr=-0.1), ValueError, "lr", "-0.1"),
    (lambda: _train(lr=math.nan), ValueError, "lr", "nan"),
    (lambda: _train(lr=math.inf), ValueError, "lr", "inf"),
    (lambda: _train(lr="0,1"), TypeError, "lr", "'0,1'"),
    (lambda: _train(lr=None), TypeError, "lr", "None"),
    (lambda: _train(lr=True), TypeError, "lr", "True"),
    # taux hors du type des poids, ou qui n'est pas un nombre
    (lambda: _train(lr=1e39), ValueError, "lr", "float32"),
    (lambda: _train(lr=1e38), ValueError, "lr", "3.4e+37"),  # Adam commence par 10 lr
    (lambda: _train(lr=1e-46), ValueError, "lr", "1.4e-45"),
    (lambda: train(Net(2).double(), F, Y2, 1, 1e308), ValueError, "lr", "float64"),
    (lambda: _train(lr=1e39, epochs=0), ValueError, "lr", "float32"),
    (lambda: _train(lr=10**400), ValueError, "lr", "fini"),
    (lambda: _train(lr=10**5000), ValueError, "lr", "un int"),
    (lambda: _train(lr=Fraction(10**400)), ValueError, "lr", "fini"),
    (lambda: _train(lr=np.bool_(True)), TypeError, "lr", "True"),
    (lambda: _train(lr=torch.tensor([0.1])), TypeError, "lr", "tensor([0.1000])"),
    (lambda: _train(lr=torch.tensor(0.1, device="meta")), TypeError, "lr", "meta"),
    (lambda: _train(lr=0.1j), TypeError, "lr", "0.1j"),
    (lambda: _train(lr=b"0.1"), TypeError, "lr", "b'0.1'"),
    # planifications qui sortent du type, qui échouent en chemin ou qui n'en sont pas
    (lambda: _train(schedule=lambda step, steps: 2.0 ** (100 * step)), ValueError, "schedule(2, 3)", "float32"),
    (lambda: _sweep(schedule=lambda step, steps: 2.0 ** (100 * step)), ValueError, "schedule(2, 3)", "float32"),
    (lambda: _sweep(lrs=[1e-30], schedule=lambda step, steps: 1e60), ValueError, "schedule(0, 3)", "1e+60"),
    (lambda: _train(schedule=_failing), ValueError, "schedule(2, 3)", "IndexError"),
    (lambda: _train(schedule=lambda step: 1.0), ValueError, "schedule(0, 3)", "TypeError"),
    (lambda: _train(schedule=lambda step, steps: next(iter(()))), ValueError, "schedule(0, 3)", "StopIteration"),
    (lambda: _train(schedule=lambda step, steps: True), TypeError, "schedule(0, 3)", "True"),
    (lambda: _train(schedule=lambda step, steps: "1"), TypeError, "schedule(0, 3)", "'1'"),
    (lambda: _train(schedule=lambda step, steps: torch.ones(1)), TypeError, "schedule(0, 3)", "tensor([1.])"),
    (lambda: _train(schedule=lambda step, steps: cosine), TypeError, "schedule(0, 3)", "function"),
    (lambda: _train(schedule=np.ones(3)), ValueError, "schedule", "array([1., 1., 1.])"),
    (lambda: _train(schedule="Cosine"), ValueError, "schedule", "'Cosine'"),
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
    (lambda: _train(target=Y2.astype(object)), TypeError, "target", "ndarray de dtype object"),
    (lambda: _train(target=Y2.astype(str)), TypeError, "target", "ndarray de dtype <U32"),
    (lambda: _train(target=np.zeros(20, "M8[s]")), TypeError, "target", "datetime64[s]"),
    (lambda: _train(target=np.zeros(20, [("a", float)])), TypeError, "target", "('a', '<f8')"),
    (lambda: _train(np.ma.array(F, mask=F > 0)), ValueError, "data", "masquée"),
    (lambda: _train(list(np.ma.array(F, mask=F > 0))), ValueError, "data", "masquée"),
    (lambda: _train([[2**70, 1]] * 20), TypeError, "data", "list de dtype object"),
    (lambda: _train([torch.ones(2, requires_grad=True)] * 20), TypeError, "data", "list"),
    (lambda: _train(torch.tensor(F).to_sparse()), TypeError, "data", "sparse_coo"),
    (lambda: _train(target=torch.tensor(Y2).to_sparse_csr()), TypeError, "target", "sparse_csr"),
    (lambda: _train(torch.tensor(F).to("meta")), TypeError, "data", "meta"),
    (lambda: _train(torch.quantize_per_tensor(torch.tensor(F), 0.1, 0, torch.qint8)), TypeError, "data", "qint8"),
    (lambda: _train(np.full_like(F, 1e300, dtype=float)), ValueError, "data", "float32"),
    (lambda: _train(target=np.full(20, 2**64 - 1, np.uint64)), ValueError, "target", "1.84467e+19"),
    # règle et optimiseur inconnus : le message les énumère
    (lambda: gendata(rule="somme"), ValueError, "rule", "sum, band, xor, random"),
    (lambda: gendata(rule=None), ValueError, "rule", "None"),
    (lambda: _train(optimizer="rmsprop"), ValueError, "optimizer", "adam, sgd, momentum"),
    (lambda: _train(optimizer=3), ValueError, "optimizer", "3"),
    (lambda: _train(optimizer=lambda params, lr: None), TypeError, "optimizer", "NoneType"),
    (lambda: _train(optimizer="ADAM"), ValueError, "optimizer", "adam, sgd, momentum"),
    (lambda: _train(optimizer=optim.SGD(Net(2).parameters(), 0.1)), TypeError, "optimizer", "déjà fait, SGD"),
    (lambda: _train(optimizer=optim.LBFGS), ValueError, "optimizer", "LBFGS"),
    (lambda: _train(optimizer=Closure), ValueError, "optimizer", "Closure"),
    (lambda: _train(optimizer=optim.SparseAdam), ValueError, "optimizer", "gradients creux"),
    (lambda: _train(optimizer=lambda params, lr: 1 / 0), ValueError, "optimizer", "ZeroDivisionError"),
    (lambda: _train(optimizer=lambda params: None), ValueError, "optimizer", "TypeError"),
    (lambda: _train(optimizer=lambda p, lr: optim.SGD(p, lr, momentum=-1)), ValueError, "optimizer", "momentum"),
    (lambda: _train(optimizer=lambda p, lr: optim.SGD(Net(2).parameters(), lr)), ValueError, "optimizer", "6 para"),
    (
        lambda: _train(optimizer=lambda p, lr: optim.SGD([*p, nn.Parameter(torch.ones(2))], lr)),
        ValueError,
        "optimizer",
        "1 para",
    ),
    (lambda: _train(optimizer=lambda p, lr: optim.SGD(p, lr * 1e60)), ValueError, "lr", "float32"),
    (lambda: _train(optimizer=lambda p, lr: optim.Adam(p, 1e35, betas=(0.9999, 0.9))), ValueError, "lr", "3.4e+34"),
    (lambda: _train(optimizer=NoRate, schedule="cosine"), ValueError, "optimizer", "NoRate"),
    (lambda: train(changed(lambda m: m.requires_grad_(False)), F, Y2, 1, 0.1), ValueError, "model", "gelés"),
    (lambda: train(Net(2).half(), F, Y2, 1, 0.1), ValueError, "model", "float16"),
    (lambda: test(Net(2).bfloat16(), F, Y2), ValueError, "model", "bfloat16"),
    (lambda: test(Net(2).to("meta"), F, Y2), ValueError, "model", "meta"),
    (lambda: test(changed(lambda m: m.output.double()), F, Y2), ValueError, "model", "float64"),
    # les autres arguments
    (lambda: _train(batch_size=0), ValueError, "batch_size", "0"),
    (lambda: _train(batch_size=1.5), TypeError, "batch_size", "1.5"),
    (lambda: _train(seed=-1), ValueError, "seed", "-1"),
    (lambda: _train(seed=2**64), ValueError, "seed", "63 bits"),
    (lambda: _train(valid=F), TypeError, "valid", "couple"),
    (lambda: _train(valid=(F, Y2[:3])), ValueError, "valid[1]", "20 lignes"),
    (lambda: _train(valid=(NAN, Y2)), ValueError, "valid[0]", "NaN"),
    # des réseaux qui ne vont pas de (n, d) à (n, classes)
    (lambda: train(nn.Linear(3, 2), F, Y2, 1, 0.1), ValueError, "model", "RuntimeError"),
    (lambda: train(nn.Linear(2, 3), F, Y2, 1, 0.1), ValueError, "target", "3 nombres"),
    (lambda: train(nn.Sequential(nn.Linear(2, 2), nn.Flatten(0)), F, Y2, 1, 0.1), ValueError, "model", "(4,)"),
    (lambda: train(nn.LSTM(2, 2), F, Y2, 1, 0.1), ValueError, "model", "tuple"),
    (lambda: train(nn.LazyLinear(2), F, Y2, 1, 0.1), ValueError, "model", "premier appel"),
    (lambda: train(nn.Tanh(), F, Y2, 1, 0.1), ValueError, "model", "aucun poids"),
    (lambda: sweep(nn.Linear(2, 2), F, Y2, 1, [0.1]), TypeError, "model", "Linear"),
    (lambda: test("réseau", F, Y2), TypeError, "model", "str"),
    (lambda: gendata(0), ValueError, "n", "0"),
    (lambda: gendata(10.0), TypeError, "n", "10.0"),
    (lambda: gendata(nins=0), ValueError, "nins", "0"),
    (lambda: gendata(nins=1, rule="xor"), ValueError, "nins", "au moins 2"),
    (lambda: gendata(noise=1.5), ValueError, "noise", "1.5"),
    (lambda: gendata(noise=math.nan), ValueError, "noise", "nan"),
    (lambda: gendata(noise="peu"), TypeError, "noise", "'peu'"),
    (lambda: gendata(seed="a"), TypeError, "seed", "'a'"),
    (lambda: Net(2, hidden=b"ab"), TypeError, "hidden", "b'ab'"),
    (lambda: Net(2, hidden={3: 4}), TypeError, "hidden", "{3: 4}"),
    (lambda: Net(2, hidden=(10**9, 10**9)), ValueError, "hidden", "cent millions"),
    (lambda: Net(2, tanh=b"ab"), TypeError, "tanh", "b'ab'"),
    (lambda: Net(2, seed=True), TypeError, "seed", "True"),
    (lambda: Net(2, seed=10**5000), ValueError, "seed", "un int"),
    (lambda: gendata(seed=2**64), ValueError, "seed", "63 bits"),
    (lambda: gendata(seed=np.random.default_rng(0)), TypeError, "seed", "Generator"),
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
    (lambda: toytest([0.1, 0.1]), ValueError, "lrs", "deux fois"),
    (lambda: toytest([0.1, 1e39]), ValueError, "lrs[1]", "float32"),
    (lambda: toytest(b"ab"), TypeError, "lrs", "b'ab'"),
    (lambda: toytest(out="courbes.xyz"), ValueError, "out", ".png"),
    (lambda: toytest(out="/nulle/part.png"), ValueError, "out", "/nulle/part.png"),
    (lambda: toytest(out=3), TypeError, "out", "3"),
    (lambda: toytest(seed="a"), TypeError, "seed", "'a'"),
    (lambda: toytest(0.1), TypeError, "lrs", "0.1"),
    (lambda: toytest(optimizer="x"), ValueError, "optimizer", "adam, sgd, momentum"),
    (lambda: plot_history(_train(), metric="perte"), ValueError, "metric", "loss, accuracy"),
    (lambda: plot_history([0.7, 0.3]), TypeError, "history", "list"),
    (lambda: plot_data(F[:, :1], Y2), ValueError, "data", "(20, 1)"),
    (lambda: plot_boundary(Net(3), F, Y2), ValueError, "data", "(20, 2)"),
    (lambda: plot_boundary(Net(3), np.ones((20, 3)), Y2), ValueError, "model", "2 entrées"),
    (lambda: plot_history(_train(), plt.subplots(1, 2)[1]), TypeError, "ax", "ndarray"),
    (lambda: plot_history(_train(), plt.figure()), TypeError, "ax", "Figure"),
    (lambda: plot_history(_train(), label=["a"]), TypeError, "label", "['a']"),
    (lambda: plot_sweep(_sweep(), [plt.gca()]), TypeError, "ax", "list"),
    (lambda: plot_curves(_sweep(), "x"), TypeError, "ax", "str"),
    (lambda: plot_data(F, Y2, plt.subplots(1, 2)[1]), TypeError, "ax", "ndarray"),
    (lambda: plot_boundary(Net(2), F, Y2, plt.subplots(1, 2)[1]), TypeError, "ax", "ndarray"),
    (lambda: plot_boundary(Net(2).bfloat16(), F, Y2), ValueError, "model", "bfloat16"),
    (lambda: plot_sweep(_sweep(lrs=[(0.1, 0.2, 0.3)])), ValueError, "sweep", "par couche"),
    (lambda: _sweep(lrs=[(0.1, 0.2, 0.3)]).good(), ValueError, "lrs", "par couche"),
    (lambda: _sweep().history(2), ValueError, "k", "2"),
    (lambda: _sweep().history("a"), TypeError, "k", "'a'"),
    (lambda: _train().epochs_to("a"), TypeError, "accuracy", "'a'"),
    (lambda: History.of([0.7, 0.3]), TypeError, "scores", "couple"),
    (lambda: History.of([(0.7,)]), TypeError, "scores", "(1, 1)"),
    (lambda: History.of(None), TypeError, "scores", "None"),
    (lambda: History.of([("0.7", 0.5)]), TypeError, "scores", "dtype"),
    (lambda: History.of([(0.7, 0.5), (0.7,)]), TypeError, "scores", "(0.7,)"),
    (lambda: History.of([(0.7, 0.5)], [(0.7, 0.5)] * 2), ValueError, "valid_scores", "2"),
    # un réseau qui n'apprendrait pas, dont l'essai en mode eval ne dit rien
    (lambda: _learn(lambda z, training: (z, z) if training else z), ValueError, "model", "tuple"),
    (lambda: _learn(lambda z, training: z.squeeze()), ValueError, "model", "forme (2,)"),
    (lambda: _learn(lambda z, training: z.detach()), ValueError, "model", "sans gradient"),
    (lambda: _learn(lambda z, training: z[:, :1] if training else z), ValueError, "model", "(1, 1)"),
    (lambda: _learn(lambda z, training: z + 1 / (1 - training)), ValueError, "model", "ZeroDivisionError"),
    # une durée, une date, que NumPy compte parmi les entiers
    (lambda: _train(epochs=np.timedelta64(3, "ns")), TypeError, "epochs", "timedelta64"),
    (lambda: _train(lr=np.datetime64(3, "ns")), TypeError, "lr", "datetime64"),
    (lambda: factors("cosine", 2.5), TypeError, "steps", "2.5"),
    (lambda: factors("cosine", -1), ValueError, "steps", "-1"),
    # un réseau plus grand que la mémoire : l'argument en cause, avant tout tirage
    (lambda: Net(10**9), ValueError, "nins", "1000000000"),
    (lambda: Net(2, 10**9, hidden=()), ValueError, "nout", "1000000000"),
    (lambda: Net(10**4, 10**4, hidden=(10**4,) * 40), ValueError, "hidden", "4100000000"),
    (lambda: Net(2, hidden=(10, 10**8)), ValueError, "hidden", "1200000020"),
    (lambda: toytest([0.1], 10**12), ValueError, "epochs", "1000000000000"),
    (lambda: plot_boundary(Net(2, seed=0), [[-3e38, 0], [3e38, 1]], [0, 1]), ValueError, "data", "1e30"),
    (lambda: History.of([]), ValueError, "scores", "vide"),
    # un tanh que l'on a changé, des logits qui n'en sont pas, plus de courbes ou de poids que la mémoire
    (lambda: _sweep(changed(lambda m: setattr(m, "tanh", [True, True]))), ValueError, "model", "tuple"),
    (lambda: test(Logits(torch.Tensor.long), F, Y2), ValueError, "model", "torch.int64"),
    (lambda: test(Logits(torch.Tensor.to_sparse), F, Y2), ValueError, "model", "sparse"),
    (lambda: _sweep(epochs=10**6, weights=True), ValueError, "epochs", "708000708"),
    (lambda: _train(target=[0, 10**8] * 10), ValueError, "target", "entre 0 et 1"),
    (lambda: plot_data(F, [0, 10**8] * 10), ValueError, "target", "2000000000"),
    (lambda: toytest(out=f"{'a' * 300}.png"), ValueError, "out", "aaa"),
    (lambda: LrExplorer(epochs=10**9), ValueError, "epochs", "1000000000"),
    (lambda: LrExplorer(n=5000, batch_size=1, epochs=10**5), ValueError, "epochs", "500000000"),
    (lambda: LrExplorer(data=(F, [0, 20240001] * 10)), ValueError, "data[1]", "404800020"),
    (lambda: LrExplorer(views=("u", "u")), ValueError, "views", "différentes"),
    (lambda: LrExplorer(views=5), TypeError, "views", "5"),
    (lambda: LrExplorer(pin="non"), TypeError, "pin", "'non'"),
    (lambda: LrExplorer(n=torch.tensor(3, device="meta")), TypeError, "n", "meta"),
    (lambda: LrExplorer(views=("boundary",), epochs=10**6), ValueError, "epochs", "354000354"),
    (lambda: explorer_wait("5"), TypeError, "timeout", "'5'"),
    (lambda: explorer_wait(-1), ValueError, "timeout", "-1"),
    (lambda: descend(0.1, steps=10**12), ValueError, "steps", "2000000000000"),
    (lambda: race("0,1", 0.5), TypeError, "lr", "'0,1'"),
    (lambda: race(-1, 2), ValueError, "lr", "-1.0"),
    (lambda: noisy_descents([0.1] * 10, 1, copies=10**8), ValueError, "copies", "1100000000"),
    (lambda: catapult(1.9, n=10**10), ValueError, "n", "20000000000"),
    (lambda: plot_bowl(descend(0.1), ax=_axes()), TypeError, "ax", "ndarray"),
    (lambda: plot_distance(descend(0.1), _axes()), TypeError, "ax", "ndarray"),
    (lambda: plot_catapult(catapult(1.9), 3), TypeError, "axes", "3"),
    (lambda: plot_catapult(catapult(1.9), [3, 4]), TypeError, "axes", "[3, 4]"),
    (lambda: LrExplorer(valid=10**9), ValueError, "valid", "2000000000"),
    (lambda: edge_explorer(-1), ValueError, "steps", "-1"),
    (lambda: run_pass(nn.Linear(2, 2), F, Y2), TypeError, "model", "Linear"),
    (lambda: draw_weights(3, seed=-1), ValueError, "seed", "-1"),
    # le balayage : les mêmes erreurs, et les siennes
    (lambda: _sweep(lrs=[]), ValueError, "lrs", "vide"),
    (lambda: _sweep(lrs=[0.1, math.nan]), ValueError, "lrs[1]", "nan"),
    (lambda: _sweep(lrs=["0,1"]), TypeError, "lrs[0]", "'0,1'"),
    (lambda: _sweep(lrs=0.1), TypeError, "lrs", "0.1"),
    *(
        (lambda lrs=lrs: _sweep(lrs=lrs), TypeError, "lrs", "une suite de taux")
        for lrs in (b"ab", bytearray(b"ab"), "0.1", {0.1: 1}, {0.1}, iter([0.1]), itertools.count(1), np.array(0.1))
    ),
    (lambda: _sweep(lrs=[b"abc"]), TypeError, "lrs[0]", "b'abc'"),
    (lambda: _sweep(lrs=[0.1, 1e39]), ValueError, "lrs[1]", "float32"),
    (lambda: _sweep(lrs=[1e38]), ValueError, "lrs[0]", "3.4e+37"),
    (lambda: _sweep(lrs=[(0.1, 0.1, 1e39)]), ValueError, "lrs[0][2]", "float32"),
    (lambda: _sweep(lrs=np.ma.array([0.1, 0.2], mask=[False, True])), TypeError, "lrs[1]", "None"),
    (lambda: _sweep(weights="oui"), TypeError, "weights", "'oui'"),
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
    (lambda: _sweep(schedule=lambda step, steps: -1), ValueError, "schedule(0, 3)", "-1"),
    (lambda: _sweep(schedule=lambda step, steps: None), TypeError, "schedule(0, 3)", "None"),
    (lambda: _train(schedule=0.5), ValueError, "schedule", "0.5"),
    (lambda: _train(schedule=lambda step, steps: 1 / step if step else math.nan), ValueError, "schedule(0, 3)", "nan"),
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
    (lambda: LrExplorer(schedule="x"), ValueError, "schedule", "constant, warmup"),
    (lambda: LrExplorer(schedule=["constant", "x"]), ValueError, "schedule", "'x'"),
    (lambda: LrExplorer(schedule=lambda step, steps: 1.0), ValueError, "schedule", "function"),
    (lambda: LrExplorer(views=()), ValueError, "views[0]", "curves, boundary, u"),
]


@pytest.mark.parametrize(("call", "error", "argument", "extract"), CASES, ids=range(len(CASES)))
def test_bad_input_gets_a_french_error_that_names_the_argument(call, error, argument, extract):
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert message.startswith(f"{argument} doit ")
    assert extract in message
    assert message.endswith(".")
    plt.close("all")


# Ce que `sweep` ne sait pas refaire, et comment son refus le nomme.
CHANGES = {
    "des poids gelés": [lambda m: m.hidden[0].requires_grad_(False), lambda m: m.output.bias.requires_grad_(False)],
    "d'autres couches": [
        lambda m: m.hidden.append(nn.Dropout()),
        lambda m: m.add_module("dropout", nn.Dropout()),
        lambda m: setattr(m, "output", nn.Sequential(nn.Linear(16, 2), nn.ReLU())),
        lambda m: parametrizations.weight_norm(m.output),
        lambda m: parametrizations.spectral_norm(m.output),
        lambda m: setattr(m, "tanh", (True,)),
        lambda m: m.hidden.__setitem__(1, m.hidden[0]),
    ],
    "des poids en plus ou en moins": [
        lambda m: setattr(m.output, "bias", None),
        lambda m: setattr(m, "output", nn.Linear(16, 2, bias=False)),
        lambda m: m.register_parameter("scale", nn.Parameter(torch.ones(1))),
        lambda m: prune.l1_unstructured(m.output, "weight", 0.5),
    ],
    "des couches qui ne s'enchaînent pas": [lambda m: m.hidden.__setitem__(0, nn.Linear(2, 32))],
    "des poids partagés": [
        lambda m: setattr(m.hidden[1], "bias", m.hidden[0].bias),
        lambda m: setattr(m.hidden[1].bias, "data", m.hidden[0].bias.data),
    ],
    "une méthode forward remplacée": [
        lambda m: setattr(m, "forward", m.output.forward),
        lambda m: setattr(m.output, "forward", torch.relu),
    ],
    "des crochets (`hooks`)": [
        lambda m: m.register_forward_hook(lambda *_: None),
        lambda m: m.hidden[0].register_forward_pre_hook(lambda *_: None),
        lambda m: m.output.register_full_backward_hook(lambda *_: None),
        lambda m: m.output.register_full_backward_pre_hook(lambda *_: None),
        lambda m: m.output.weight.register_hook(lambda g: 1000 * g),
        lambda m: m.output.weight.register_post_accumulate_grad_hook(lambda _: None),
    ],
    "float16": [lambda m: m.half()],
    "float64": [lambda m: m.output.double()],
    "meta": [lambda m: m.to("meta")],
    "sparse_coo": [lambda m: setattr(m.output, "weight", nn.Parameter(m.output.weight.detach().to_sparse()))],
}


@pytest.mark.parametrize(("found", "change"), [(found, one) for found, some in CHANGES.items() for one in some])
def test_sweep_refuses_the_network_that_it_cannot_train_as_train_does(found, change):
    for models in (changed(change), [Net(2, seed=0), changed(change)]):
        with pytest.raises(ValueError, match="^model doit") as caught:
            sweep(models, F, Y2, 3, [0.1])
        assert found in str(caught.value)


class Relu(Net):
    def forward(self, x):
        return super().forward(x).relu()


@pytest.mark.parametrize("wrap", [lambda _: Relu(2), nn.DataParallel, nn.Sequential, torch.compile])
def test_sweep_refuses_what_only_holds_or_derives_from_a_net(wrap):
    with pytest.raises(TypeError, match="^model doit être un"):
        sweep(wrap(Net(2, seed=0)), F, Y2, 3, [0.1])


def test_sweep_refuses_hooks_on_every_module_and_autocast():
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match="hooks"):
        _sweep()
    handle.remove()
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(ValueError, match="autocast"):
        _sweep()
    assert _sweep().loss.shape == (2, 4)


@pytest.mark.parametrize(
    "lrs",
    [
        torch.logspace(-3, 0, 3),
        np.geomspace(1e-3, 1, 3).astype(">f4"),
        range(1, 4),
        [torch.tensor(0.1), np.float16(0.1), Fraction(1, 10)],
        np.full((3, 3), 0.1),
        torch.full((3, 3), 0.1),
    ],
    ids=str,
)
def test_rates_may_come_from_any_library(lrs):
    assert _sweep(lrs=lrs).loss.shape == (3, 4)
    assert _train(lr=lrs[0] if np.ndim(lrs) == 1 else lrs[0, 0]).loss.shape == (4,)


KINDS = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "?", "f2", "g", ">f4", ">i8", ">u2"]


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_of_any_number_type_give_the_same_curve(kind):
    reference = _train(seed=0).loss
    labels = Y2.argmax(axis=1)
    for target in (Y2.astype(kind), labels.astype(kind)):
        assert (_train(target=target, seed=0).loss == reference).all()


@pytest.mark.parametrize("kind", ["uint16", "uint32", "uint64", "int8", "bool", "float16", "bfloat16", "float8_e5m2"])
def test_tensors_of_any_number_type_give_the_same_curve(kind):
    target = torch.tensor(Y2.argmax(axis=1)).to(getattr(torch, kind))
    assert (_train(target=target, seed=0).loss == _train(seed=0).loss).all()


def test_arrays_of_any_layout_give_the_same_curve():
    reference, frozen = _train(seed=0).loss, F.copy()
    frozen.setflags(write=False)
    with torch.inference_mode():
        inference = torch.tensor(F)
    forms = (frozen, np.asfortranarray(F), np.repeat(F, 2, axis=0)[::2], F[::-1].copy()[::-1], inference)
    for data in (*forms, torch.tensor(F, requires_grad=True), list(torch.tensor(F))):
        assert (_train(data=data, seed=0).loss == reference).all()


def _everything(model):
    """Ce qu'un appel refusé doit laisser tel quel."""
    parts = [part.detach().clone() for part in model.parameters()], [part.grad for part in model.parameters()]
    hooks = [(name, len(vars(one)[name])) for one in model.modules() for name in vars(one) if name.endswith("_hooks")]
    modes = [(one.training, torch.is_grad_enabled()) for one in model.modules()]
    generators = torch.random.get_rng_state().tolist(), np.random.get_state()[1].tolist()
    return [part.tolist() for part in parts[0]], parts[1], hooks, modes, generators


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
        {"lr": 1e39},
        {"schedule": lambda step, steps: 2.0 ** (100 * step)},
        {"schedule": _failing},
        {"optimizer": optim.LBFGS},
        {"optimizer": lambda params, lr: optim.SGD(Net(2, seed=0).parameters(), lr)},
        {"target": Y2.astype(object)},
    ],
    ids=lambda options: ", ".join(options),
)
def test_a_bad_call_leaves_the_model_and_the_arrays_as_they_were(options):
    model, arrays = Net(2, seed=0), (F.copy(), Y2.copy())
    before = _everything(model)
    call = {"data": F, "target": Y2, "epochs": 3, "lr": 0.1, **options}
    with pytest.raises((ValueError, TypeError)):
        train(model, **call)
    call["lrs"] = [call.pop("lr")]
    with pytest.raises((ValueError, TypeError)):
        sweep(model, **call)
    assert _everything(model) == before
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
