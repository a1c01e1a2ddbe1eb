"""L'explorateur vivant du taux d'apprentissage."""

from toylib._course import course_packages

with course_packages():
    from toylib.explorer.widget import LR_GRID, LrExplorer

__all__ = ["LR_GRID", "LrExplorer"]
