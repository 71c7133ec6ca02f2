"""Figures with matplotlib (an extra), all in one style, without pyplot and its global state.

A figure is as wide as a column of text at most, and its letters have the size that they have in print. Colors can be
told apart by color-blind readers: Okabe and Ito's for categories, cividis for values.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ost_lightning.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH: Final = 7.2
"""Width in inches of a figure that is as wide as a page of text."""
COLORS: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8f7ee7", "#5b606b")
"""Colors of categories: Okabe and Ito's without yellow and black, and two more."""
COLOR_MAP: Final = "cividis"
"""Colors of values."""
_DPI: Final = 200
_LETTERS_PER_INCH: Final = 15
"""Letters of a title per inch of the figure's width."""
_STYLE: Final[Mapping[str, Any]] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "figure.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "image.cmap": COLOR_MAP,
    "text.parse_math": False,  # names may contain $
    "svg.hashsalt": "ost_lightning",  # the same file every time
}

_PLACES: Final = ((6, 0, "left"), (-6, 0, "right"), (0, 8, "center"), (0, -8, "center"))
_PLACES_BESIDE: Final = tuple((x, y, side) for y in (8, -8, 16, -16) for x, side in ((5, "left"), (-5, "right")))
"""Offsets of a name from its point in typographic points, the preferred ones first, and its alignment."""

HINT = "install it with `pip install 'ost-lightning[figures]'`"


def can_draw() -> bool:
    """Returns whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


@contextmanager
def picture(file: Path, width: float, height: float, title: str = "") -> Iterator["Figure"]:
    """Yields an empty figure in the style of the suite, and writes it afterwards.

    Its layout avoids overlaps, and dollar signs in texts are no formulas.

    Args:
        file: File to write, in a format that matplotlib knows by its suffix: 200 dpi for `.png`, or `.svg` or `.pdf`.
            Its folder is created if necessary.
        width: Width in inches; `WIDTH` is that of a page.
        height: Height in inches.
        title: Title, which is broken into lines that fit the width; none if empty.

    Raises:
        UserError: If matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError(f"Pictures need matplotlib: {HINT}.") from error
    from cycler import cycler  # with matplotlib

    style: Any = {**_STYLE, "axes.prop_cycle": cycler(color=COLORS)}
    # an SVG otherwise contains the time
    options: Any = {"metadata": {"Date": None}} if file.suffix.lower() == ".svg" else {}
    with rc_context(style):
        figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
        if title:
            figure.suptitle(textwrap.fill(title, max(20, int(_LETTERS_PER_INCH * width))))
        yield figure
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, **options)


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
                name, point, (x, y), textcoords="offset points", ha=side, va="center", fontsize=7, annotation_clip=False
            )
            box = text.get_window_extent(renderer)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not box.count_overlaps(taken):
                placed = text
                break
            text.remove()
        if placed is None:
            placed = axis.annotate(name, point, _PLACES[0][:2], textcoords="offset points", va="center", fontsize=7)
        taken.append(placed.get_window_extent(renderer))
