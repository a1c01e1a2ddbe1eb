"""toylib : un petit réseau PyTorch, pour voir ce que le taux d'apprentissage change à la convergence."""

from toylib.data import gendata
from toylib.experiment import toytest
from toylib.network import Net
from toylib.plotting import plot_boundary, plot_curves, plot_history, plot_sweep
from toylib.sweep import Sweep, iter_sweep, sweep
from toylib.training import History, Score, test, train

__all__ = ["History", "Net", "Score", "Sweep", "gendata", "iter_sweep", "sweep", "test", "toytest", "train"]
__all__ += ["plot_boundary", "plot_curves", "plot_history", "plot_sweep"]
