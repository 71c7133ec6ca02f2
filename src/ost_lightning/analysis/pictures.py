"""Figures with matplotlib (an extra), without pyplot and its global state."""

import textwrap
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ost_lightning.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LETTERS_PER_INCH: Final = 12
"""Letters of a title per inch of the figure's width."""

_PLACES: Final = ((6, 0, "left"), (-6, 0, "right"), (0, 8, "center"), (0, -8, "center"))
_PLACES_BESIDE: Final = tuple((x, y, side) for y in (8, -8, 16, -16) for x, side in ((5, "left"), (-5, "right")))
"""Offsets of a name from its point in typographic points, the preferred ones first, and its alignment."""

HINT = "install it with `pip install 'ost-lightning[figures]'`"


def can_draw() -> bool:
    """Returns whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def new_figure(width: float, height: float, dpi: int = 110) -> "Figure":
    """Creates an empty figure whose layout avoids overlaps.

    Args:
        width: Width in inches.
        height: Height in inches.
        dpi: Pixels per inch.

    Raises:
        UserError: If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError(f"Pictures need matplotlib: {HINT}.") from error
    return Figure(figsize=(width, height), dpi=dpi, layout="constrained")


def set_title(figure: "Figure", title: str) -> None:
    """Sets the title of a figure, broken into lines that fit its width."""
    figure.suptitle(textwrap.fill(title, max(20, int(_LETTERS_PER_INCH * figure.get_figwidth()))), fontsize=10)


def name_points(figure: "Figure", axis: "Axes", points: NDArray[np.floating[Any]], names: Sequence[str]) -> None:
    """Writes names beside points, where they cover neither other names nor other points if possible.

    The layout of the figure is fixed from then on.

    Args:
        figure: Complete figure.
        axis: Axes of the points.
        points: Coordinates (n, 2).
        names: Name of each point.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.transforms import Bbox

    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    figure.draw(renderer)
    figure.set_layout_engine("none")
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in axis.transData.transform(points)]
    frame = axis.get_window_extent(renderer)
    for point, name in zip(points, names, strict=True):
        placed = None
        for x, y, side in (*_PLACES, *_PLACES_BESIDE):
            text = axis.annotate(
                name, point, (x, y), textcoords="offset points", ha=side, va="center", fontsize=8, annotation_clip=False
            )
            box = text.get_window_extent(renderer)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not box.count_overlaps(taken):
                placed = text
                break
            text.remove()
        if placed is None:
            placed = axis.annotate(name, point, _PLACES[0][:2], textcoords="offset points", va="center", fontsize=8)
        taken.append(placed.get_window_extent(renderer))


def save_figure(figure: "Figure", file: Path) -> None:
    """Writes a PNG; its folder is created if necessary."""
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
