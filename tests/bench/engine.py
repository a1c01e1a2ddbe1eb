"""Le balayage contre ses pairs : python tests/bench/engine.py (pip install -c requirements.txt -e ".[bench]")

100 époques, 500 échantillons, Adam à 0,01, une mesure de la perte et de l'exactitude par époque, sauf pour
scikit-learn et skorch, qui ne mesurent que ce qu'ils apprennent. À chaque tour, tous les pairs l'un après
l'autre ; le tableau donne la médiane des durées, en ms, et les rapports sont les médianes des rapports de
chaque tour. Pour JAX, la compilation n'est pas comptée.
"""

import os
import statistics
import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import torch
from sklearn.neural_network import MLPClassifier
from skorch import NeuralNetClassifier
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn.functional import cross_entropy
from training import EPOCHS, bare, seconds

from toylib import Net, gendata, sweep

os.environ["TQDM_DISABLE"] = "1"
LR, K = 0.01, 64
LRS = np.geomspace(1e-4, 1, K)
SIZES = {"Net(2, 2)": (2, (16, 16)), "2 entrées, 16": (2, (16,)), "100 entrées, 55": (100, (55,))}
ONE, MANY = 7, 3  # tours, pour un taux et pour 64
BUDGETS = {"one": 0.6, "many": 0.5}


def sklearn(net, f, y2, batch_size):
    """MLPClassifier : même réseau, mêmes époques, Adam ; la perte seulement, mesurée en passant."""
    hidden = [layer.out_features for layer in net.hidden]
    MLPClassifier(
        hidden, activation="tanh", alpha=0, batch_size=batch_size, learning_rate_init=LR, max_iter=EPOCHS, tol=0,
        n_iter_no_change=EPOCHS + 1,
    ).fit(f, y2.argmax(axis=1))  # fmt: skip


def skorch(net, f, y2, batch_size):
    """NeuralNetClassifier : notre réseau, sa boucle ; la perte seulement."""
    hidden = [layer.out_features for layer in net.hidden]
    NeuralNetClassifier(
        Net, module__nins=f.shape[1], module__hidden=hidden, criterion=torch.nn.CrossEntropyLoss, lr=LR,
        optimizer=torch.optim.Adam, max_epochs=EPOCHS, batch_size=batch_size, train_split=None, verbose=0,
        iterator_train__shuffle=True,
    ).fit(f, y2.argmax(axis=1))  # fmt: skip


def adam(state, gradient, lrs, tree_map):
    """Un pas d'Adam sur un arbre de paramètres, le même pour JAX et pour torch.func ; `lrs` : un taux par feuille."""
    weights, m, v, t = state
    m = tree_map(lambda m, g: 0.9 * m + 0.1 * g, m, gradient)
    v = tree_map(lambda v, g: 0.999 * v + 0.001 * g * g, v, gradient)
    scale = (1 - 0.999**t) ** 0.5 / (1 - 0.9**t)
    weights = tree_map(lambda w, m, v, lr: w - scale * lr * m / (v**0.5 + 1e-8), weights, m, v, lrs)
    return weights, m, v, t + 1


def torch_vmap(net, f, y2, batch_size):
    """torch.func : vmap du gradient d'autograd sur 64 copies, un taux par copie."""
    x, labels = torch.from_numpy(f), torch.from_numpy(y2).argmax(dim=1)
    weights = {name: value.detach() for name, value in stack_module_state([net] * K)[0].items()}
    zeros = {name: torch.zeros_like(value) for name, value in weights.items()}
    rates = torch.tensor(LRS, dtype=x.dtype)
    lrs = {name: rates.view(-1, *[1] * (value.ndim - 1)) for name, value in weights.items()}
    logits = vmap(partial(functional_call, net), in_dims=(0, None))
    slope = vmap(grad(lambda w, x, labels: cross_entropy(functional_call(net, w, (x,)), labels)), (0, None, None))

    def tree_map(function, *trees):
        return {name: function(*(tree[name] for tree in trees)) for name in trees[0]}

    state, curve = (weights, zeros, zeros, 1), []
    for _ in range(EPOCHS):
        order = torch.randperm(len(x))
        x, labels = x[order], labels[order]
        with torch.inference_mode():
            z = logits(state[0], (x,))
            curve.append((vmap(cross_entropy, (0, None))(z, labels), (z.argmax(2) == labels).double().mean(1)))
        for batch in zip(x.split(batch_size), labels.split(batch_size)):
            state = adam(state, slope(state[0], *batch), lrs, tree_map)


def jax_training(net, f, y2, batch_size):
    """L'entraînement entier en une fonction de (poids, taux), que jit compile et que vmap étend aux 64 taux."""
    x, labels = jnp.array(f), jnp.array(y2.argmax(axis=1))
    layers = [*net.hidden, net.output]
    start = [(jnp.array(one.weight.detach().numpy().T), jnp.array(one.bias.detach().numpy())) for one in layers]
    batches = len(x) // batch_size

    def logits(weights, x):
        for w, b in weights[:-1]:
            x = jnp.tanh(x @ w + b)
        return x @ weights[-1][0] + weights[-1][1]

    def loss(weights, x, labels):
        return -jnp.take_along_axis(jax.nn.log_softmax(logits(weights, x)), labels[:, None], 1).mean()

    def step(lr, state, batch):
        lrs = jax.tree.map(lambda _: lr, start)
        return adam(state, jax.grad(loss)(state[0], *batch), lrs, jax.tree.map), None

    def epoch(lr, carry, key):
        state, x, labels = carry
        if batches > 1:
            order = jax.random.permutation(key, len(x))
            x, labels = x[order], labels[order]
        score = loss(state[0], x, labels), (logits(state[0], x).argmax(1) == labels).mean()
        parts = x.reshape(batches, batch_size, -1), labels.reshape(batches, batch_size)
        state, _ = jax.lax.scan(partial(step, lr), state, parts)
        return (state, x, labels), score

    def run(lr):
        zeros = jax.tree.map(jnp.zeros_like, start)
        keys = jax.random.split(jax.random.key(0), EPOCHS)
        return jax.lax.scan(partial(epoch, lr), ((start, zeros, zeros, 1.0), x, labels), keys)[1]

    return run


def medians(runs, rounds):
    """La durée médiane de chaque pair, en ms, et les durées de chaque tour."""
    for run in runs.values():
        run()
    times = [{name: 1000 * seconds(run) for name, run in runs.items()} for _ in range(rounds)]
    return {name: statistics.median(time[name] for time in times) for name in runs}, times


def compare(size, batch_size):
    """Une ligne de chaque tableau : un taux, puis 64."""
    nins, hidden = SIZES[size]
    f, y2 = gendata(500, nins, seed=0)
    net = Net(nins, hidden=hidden, seed=0)
    here = (net, f, y2, batch_size)
    training = jax_training(*here)
    one, many = jax.jit(training), jax.jit(jax.vmap(training))
    lrs = jnp.array(LRS, dtype=jnp.float32)
    options = {"batch_size": batch_size, "seed": 0}
    single = {
        "sweep": lambda: sweep(net, f, y2, EPOCHS, [LR], **options),
        "nue": lambda: bare(Net(nins, hidden=hidden, seed=0), f, y2, batch_size),
        "sklearn": lambda: sklearn(*here),
        "skorch": lambda: skorch(*here),
        "JAX": lambda: jax.block_until_ready(one(LR)),
    }
    grid = {
        "sweep": lambda: sweep(net, f, y2, EPOCHS, LRS, **options),
        "sweep 1": lambda: sweep(net, f, y2, EPOCHS, [LR], **options),
        "vmap": lambda: torch_vmap(*here),
        "JAX": lambda: jax.block_until_ready(many(lrs)),
    }
    return medians(single, ONE), medians(grid, MANY)


def ratio(times, first, second, factor=1):
    return statistics.median(time[first] / (factor * time[second]) for time in times)


def main():
    warnings.filterwarnings("ignore")
    threads = torch.get_num_threads()
    print(f"torch {torch.__version__}, JAX {jax.__version__}, {threads} fils de calcul ; durées en ms\n")
    rows = [(size, batch, *compare(size, batch)) for size in SIZES for batch in (500, 50)]
    print(f"Un taux{'':<11}  lot {'sweep':>8} {'nue':>8} {'sklearn':>8} {'skorch':>8} {'JAX':>8}", end="")
    print(f" {'/ sklearn':>10} {'/ nue':>8} {'/ JAX':>8}   budget : {BUDGETS['one']} × sklearn")
    for size, batch, (now, times), _ in rows:
        print(f"{size:<18} {batch:>4}", *(f"{now[name]:>8.1f}" for name in now), end="")
        print(*(f"{ratio(times, 'sweep', peer):>9.2f}" for peer in ("sklearn", "nue", "JAX")))
    print(f"\n64 taux{'':<11}  lot {'sweep':>8} {'vmap':>8} {'JAX':>8}", end="")
    print(f" {'/ 64 × 1':>10} {'/ vmap':>8} {'/ JAX':>8}   budget : {BUDGETS['many']} × 64 × sweep d'un taux")
    for size, batch, _, (now, times) in rows:
        print(f"{size:<18} {batch:>4}", *(f"{now[name]:>8.0f}" for name in ("sweep", "vmap", "JAX")), end="")
        print(f"{ratio(times, 'sweep', 'sweep 1', K):>9.2f}", end="")
        print(*(f"{ratio(times, 'sweep', peer):>9.2f}" for peer in ("vmap", "JAX")))


if __name__ == "__main__":
    main()
