"""Les axes des démonstrations : ce qui n'y bouge pas."""

from matplotlib.axes import Axes

from toylib.plotting import put_ticks


def lay_axes(ax: Axes, **properties) -> None:
    """Donne aux axes `ax` une grille, et les propriétés que prend `ax.set` : échelles, bornes, graduations, noms.

    >>> from toylib.explorer.stage import make_figure
    >>> (ax,) = make_figure().axes
    >>> lay_axes(ax, yscale="log", ylim=(0.01, 1), yticks=(0.01, 0.1), xlabel="Pas")
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['0,01', '0,1']
    """
    ax.set(**properties)
    ax.grid(color="0.88")
    put_ticks(ax.xaxis)
    put_ticks(ax.yaxis)
