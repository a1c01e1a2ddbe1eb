"""L'explorateur vivant du taux d'apprentissage."""

from toylib.explorer.widget import LR_GRID, LrExplorer

__all__ = ["LR_GRID", "LrExplorer"]
