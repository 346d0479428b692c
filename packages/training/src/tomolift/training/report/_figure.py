"""How every figure is made and saved: no global pyplot state, atomic files, one palette."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .._files import write_bytes

# Okabe and Ito's palette, told apart with every kind of colour vision.
COLOURS = (
    "#0072B2", "#56B4E9", "#000000", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#F0E442",
)  # fmt: skip


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, sizes in inches, constrained layout."""
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG at 110 dots per inch, atomically."""
    stream = io.BytesIO()
    with mpl.rc_context({"font.size": 9}):
        figure.savefig(stream, format="png", dpi=110)
    write_bytes(path, stream.getvalue())


def colour(index: int) -> str:
    """The colour of the arm or class at this place in its list."""
    return COLOURS[index % len(COLOURS)]


def plain(name: str) -> str:
    """A class name as matplotlib shows it, dollar signs and all: never as a formula."""
    return name.replace("$", r"\$")


def whole_epochs(axes: Axes) -> None:
    """Put an epoch axis's ticks on whole epochs, with a faint grid."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
