"""toytest et sa commande."""

import os
import subprocess
import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from toylib import Net, gendata, toytest, train
from toylib.experiment import main

matplotlib.use("agg")


def test_toytest_trains_a_new_network_per_rate_from_the_same_weights(capsys):
    histories = toytest([0.01, 0.1], epochs=10, rule="xor", optimizer="momentum", seed=3)
    f, y2 = gendata(rule="xor", seed=3)
    for lr, history in histories.items():
        assert (history.loss == train(Net(2, seed=3), f, y2, 10, lr, optimizer="momentum", seed=3).loss).all()
    titles, *rows = capsys.readouterr().out.splitlines()
    assert titles.split("  ")[-1].strip() == "durée"
    assert [row.split()[0] for row in rows] == ["0,01", "0,1"]


def test_without_a_seed_the_global_generators_decide():
    runs = []
    for torch_seed, numpy_seed in ((1, 2), (1, 2), (1, 3), (4, 2)):
        torch.manual_seed(torch_seed), np.random.seed(numpy_seed)
        runs.append(toytest([0.01, 0.1], epochs=1, seed=None))
    first, again, *others = [np.concatenate([history.loss for history in run.values()]) for run in runs]
    assert (first == again).all()
    assert all((first != other).any() for other in others)
    assert runs[0][0.01].loss[0] == runs[0][0.1].loss[0]  # les mêmes poids initiaux pour tous
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    toytest([0.1], epochs=1)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()


def test_a_refused_figure_leaves_no_file_and_an_accepted_one_keeps_the_old_until_the_end(tmp_path):
    out = tmp_path / "courbes.png"
    out.write_bytes(b"ancienne")
    with pytest.raises(TypeError, match="^seed doit"):
        toytest([0.1], 1, seed="a", out=out)
    with pytest.raises(TypeError, match="^seed doit"):
        toytest([0.1], 1, seed="a", out=tmp_path / "autre.png")
    assert [path.name for path in tmp_path.iterdir()] == ["courbes.png"]
    assert out.read_bytes() == b"ancienne"


def test_the_table_says_when_99_per_cent_is_reached(capsys):
    histories = toytest([0.001, 0.1])
    rows = capsys.readouterr().out.splitlines()[1:]
    assert "jamais" in rows[0]
    assert f"époque {histories[0.1].epochs_to(0.99)}" in rows[1]


def test_the_figure_shows_loss_and_accuracy_of_every_rate():
    plt.close("all")
    toytest([0.01, 0.1, 1], epochs=3)
    for ax in plt.gcf().axes:
        assert [text.get_text() for text in ax.get_legend().get_texts()] == ["lr = 0,01", "lr = 0,1", "lr = 1"]
    assert [ax.get_ylabel() for ax in plt.gcf().axes] == ["Perte (entropie croisée)", "Exactitude"]
    plt.close("all")


@pytest.mark.lent
def test_the_command_writes_the_figure(tmp_path):
    out = tmp_path / "é t é.png"
    command = [sys.executable, "-m", "toylib", "--lrs", "0,01", "0.1", "--epochs", "5", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8")
    assert f"Figure écrite dans {out}" in done.stdout
    assert Image.open(out).size == (2100, 840)


@pytest.mark.lent
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_the_command_says_nothing_in_english_when_nobody_reads_or_nothing_can_write_it(encoding, tmp_path):
    command = [sys.executable, "-m", "toylib", "--lrs", "1e30", "--epochs", "1", "--out", str(tmp_path / "a.png")]
    variables = {**os.environ, "PYTHONIOENCODING": encoding}
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as closed:
        deaf = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, env=variables)
    heard = subprocess.run(command, capture_output=True, env=variables)
    assert (deaf.stderr, heard.stderr) == (b"", b"")
    assert (deaf.returncode, heard.returncode) == (0, 0)
    assert (tmp_path / "a.png").exists()


def test_help_is_in_french(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    assert all(
        name in text for name in ("--lrs", "--epochs", "--optimizer", "--rule", "--seed", "--out", "Usage", "aide")
    )
    assert not any(word in text for word in ("usage:", "options:", "show this"))


@pytest.mark.parametrize(
    ("arguments", "extract"),
    [
        (["--lrs", "abc"], "il faut des nombres"),
        (["--lrs"], "il faut au moins une valeur"),
        (["--epochs", "2.5"], "il faut un entier"),
        (["--epochs", "-1"], "epochs doit"),
        (["--lrs", "0"], "lrs[0] doit"),
        (["--lrs", "1e39"], "lrs[0] doit être entre"),
        (["--lrs", "0,1", "0.1"], "deux fois"),
        (["--seed", "-1"], "seed doit"),
        (["--seed", str(2**64)], "seed doit"),
        (["--epochs", "9" * 5000], "il faut un entier"),
        (["--out", "courbes.xyz"], "out doit finir par"),
        (["--out", "courbes"], "out doit finir par"),
        (["--help=oui"], "ne prend pas de valeur"),
        (["--optimizer", "rms"], "adam, sgd, momentum"),
        (["--rule", "x"], "sum, band, xor, random"),
        (["--seed"], "il faut une valeur"),
        (["--vite"], "options inconnues"),
        (["--epochs", "1", "--out", "/nulle/part.png"], "/nulle/part.png"),
    ],
)
def test_a_bad_option_gets_a_french_error_and_no_traceback(arguments, extract, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    text = capsys.readouterr().err
    assert stop.value.code == 2
    assert text.startswith("Erreur")
    assert extract in text
    plt.close("all")


def test_a_figure_that_is_written_does_not_stay_open(tmp_path):
    figure = plt.figure()
    toytest([0.1], 1, out=tmp_path / "a.png")
    assert plt.get_fignums() == [figure.number]
    toytest([0.1], 1)
    assert plt.gcf() is not figure


def test_a_refusal_leaves_a_link_to_nowhere_as_it_was(tmp_path):
    (tmp_path / "lien.png").symlink_to(tmp_path / "nulle_part.png")
    with pytest.raises(ValueError, match="rule doit"):
        toytest([0.1], 1, rule="x", out=tmp_path / "lien.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lien.png"]


def test_a_figure_that_cannot_be_written_does_not_stay_open(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError("plus de place")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    before = plt.get_fignums()
    with pytest.raises(OSError, match="plus de place"):
        toytest([0.1], epochs=1, out=tmp_path / "a.png")
    assert plt.get_fignums() == before


def test_interrupting_the_command_gets_one_sentence(monkeypatch, capsys):
    def interrupt(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr("toylib.experiment.toytest", interrupt)
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 130
    assert capsys.readouterr().err == "\nInterrompu.\n"


def test_what_is_neither_a_file_nor_a_folder_is_refused_at_once(tmp_path):
    pipe = tmp_path / "tube.png"
    os.mkfifo(pipe)
    with pytest.raises(ValueError, match="out doit être un fichier"):
        toytest([0.1], epochs=1, out=pipe)
