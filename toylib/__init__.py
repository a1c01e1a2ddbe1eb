"""toylib : un petit réseau PyTorch, pour voir ce que le taux d'apprentissage change à la convergence."""

from toylib.data import gendata
from toylib.experiment import toytest
from toylib.network import Net
from toylib.plotting import plot_boundary, plot_history
from toylib.training import History, Score, test, train

__all__ = ["History", "Net", "Score", "gendata", "plot_boundary", "plot_history", "test", "toytest", "train"]
