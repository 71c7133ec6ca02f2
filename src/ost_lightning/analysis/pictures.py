"""Figures with matplotlib (an extra), without pyplot and its global state."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ost_lightning.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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


def save_figure(figure: "Figure", file: Path) -> None:
    """Writes a PNG; its folder is created if necessary."""
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
