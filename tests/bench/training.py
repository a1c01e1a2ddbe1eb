"""`train` contre la même boucle écrite nue en PyTorch : python tests/bench/training.py

100 époques, 500 échantillons, `Net(2, 2)`, une mesure par époque dans les deux cas. Les deux sont
entraînés tour à tour ; le rapport est la médiane des rapports de chaque paire.
"""

import statistics
import time

import torch
from torch.nn.functional import cross_entropy

from toylib import Net, gendata, train

EPOCHS, PAIRS = 100, 30
BUDGET = 1.1


def bare(model, f, y2, batch_size):
    """La boucle de PyTorch, sans vérification ni générateur."""
    x, labels = torch.from_numpy(f), torch.from_numpy(y2).argmax(dim=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    generator = torch.Generator().manual_seed(0)
    curve = []

    def score():
        with torch.inference_mode():
            logits = model(x)
            loss, hits = cross_entropy(logits, labels), logits.argmax(dim=1) == labels
            curve.append((loss.item(), hits.double().mean().item()))

    for _ in range(EPOCHS):
        order = torch.randperm(len(x), generator=generator)
        x, labels = x[order], labels[order]
        score()
        for batch_x, batch_labels in zip(x.split(batch_size), labels.split(batch_size)):
            loss = cross_entropy(model(batch_x), batch_labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    score()
    return curve


def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main():
    f, y2 = gendata(500, seed=0)
    print(f"{'lot':>6} {'nue (ms)':>10} {'train (ms)':>11} {'rapport':>9}   budget {BUDGET}")
    for batch_size in (500, 50):
        loop = lambda size=batch_size: bare(Net(2, seed=0), f, y2, size)  # noqa: E731
        ours = lambda size=batch_size: train(Net(2, seed=0), f, y2, EPOCHS, 0.01, batch_size=size, seed=0)  # noqa: E731
        loop(), ours()
        pairs = [(seconds(loop), seconds(ours)) for _ in range(PAIRS)]
        medians = [1000 * statistics.median(column) for column in zip(*pairs)]
        ratio = statistics.median(b / a for a, b in pairs)
        print(f"{batch_size:>6} {medians[0]:>10.1f} {medians[1]:>11.1f} {ratio:>9.3f}")


if __name__ == "__main__":
    main()
