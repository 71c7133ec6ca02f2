"""How a stored picture has to be turned or mirrored to be shown, as its display matrix says."""

import struct
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from math import atan2, degrees, radians, tan
from typing import Final, NamedTuple

import av
import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import SideDataContainer, Type
from numpy.typing import NDArray

_TOLERANCE: Final = tan(radians(1))
"""Largest slope that still counts as straight; FFmpeg ignores less than one degree, too."""
_UNKNOWN_TYPES: Final = range(len(Type), 40)
"""Numbers of FFmpeg's kinds of side data for which PyAV has no name, such as EXIF; it refuses frames that have them."""


class Orientation(NamedTuple):
    """Turn and mirror image that make a stored picture upright: one of the eight that keep the pixels.

    Attributes:
        transposed: Whether rows become columns, before anything is mirrored.
        mirrored_rows: Whether the order of the rows is reversed (top becomes bottom).
        mirrored_columns: Whether the order of the columns is reversed (left becomes right).
    """

    transposed: bool = False
    mirrored_rows: bool = False
    mirrored_columns: bool = False

    def upright(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Returns a view of a stored picture (3, H, W) as it is shown."""
        shown = picture.transpose(0, 2, 1) if self.transposed else picture
        return shown[:, :: -1 if self.mirrored_rows else 1, :: -1 if self.mirrored_columns else 1]

    def swapped(self, size: tuple[int, int]) -> tuple[int, int]:
        """Converts height and width between the stored and the upright picture."""
        return (size[1], size[0]) if self.transposed else size

    def stored(self, top: float, left: float, bottom: float, right: float) -> tuple[float, float, float, float]:
        """Converts a box, given in fractions of the upright picture, to fractions of the stored one."""
        if self.mirrored_rows:
            top, bottom = 1 - bottom, 1 - top
        if self.mirrored_columns:
            left, right = 1 - right, 1 - left
        return (left, top, right, bottom) if self.transposed else (top, left, bottom, right)


AS_STORED: Final = Orientation()


def orientation_of(frame: av.VideoFrame, default: Orientation = AS_STORED) -> Orientation:
    """Returns the orientation of a decoded frame, from the container, the coded picture or EXIF data.

    Args:
        frame: Decoded frame.
        default: Orientation of frames that have none of their own.

    Raises:
        ValueError: If the picture would have to be turned by part of a quarter turn, or skewed.
    """
    matrix = _display_matrix(frame)
    return default if matrix is None else _orientation(matrix)


@lru_cache
def _orientation(matrix: bytes) -> Orientation:
    """Parses a display matrix, nine numbers of 32 bits.

    A stored point (p, q) is shown at (a p + c q + x, b p + d q + y).
    """
    a, b, _, c, d = struct.unpack("=9i", matrix)[:5]
    if not (a or c) or not (b or d):
        return AS_STORED  # not a matrix; players ignore it
    if abs(b) <= _TOLERANCE * abs(a) and abs(c) <= _TOLERANCE * abs(d):
        return Orientation(False, d < 0, a < 0)
    if abs(a) <= _TOLERANCE * abs(b) and abs(d) <= _TOLERANCE * abs(c):
        return Orientation(True, b < 0, c < 0)
    raise ValueError(
        f"its display matrix turns the picture by {degrees(atan2(b, a)):.0f} degrees, or skews it: only quarter turns "
        "and mirror images are supported. Re-encode the video upright"
    )


def _display_matrix(frame: av.VideoFrame) -> bytes | None:
    """Returns the display matrix of a frame, or None.

    Not by `frame.side_data`: it refers back to the frame, which keeps the memory of both until a garbage collection.
    """
    try:
        entries = SideDataContainer(frame)  # type: ignore[call-arg]  # missing in PyAV's stubs
    except ValueError:
        frame = _with_known_side_data(frame)
        entries = SideDataContainer(frame)  # type: ignore[call-arg]
    # the first one, as FFmpeg's own programs do: that of the container precedes that of the coded picture
    return next((bytes(entry) for entry in entries if entry.type is Type.DISPLAYMATRIX), None)


def _with_known_side_data(frame: av.VideoFrame) -> av.VideoFrame:
    """Returns the frame without the side data that PyAV can't read."""
    graph = Graph()
    graph.threads = 1
    properties = f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/1"
    colors = f"colorspace={int(frame.colorspace)}:range={int(frame.color_range)}"
    chain = [
        graph.add("buffer", f"{properties}:{colors}"),
        *(graph.add("sidedata", f"mode=delete:type={kind}") for kind in _UNKNOWN_TYPES),
        graph.add("buffersink"),
    ]
    for first, second in pairwise(chain):
        first.link_to(second)
    graph.configure()
    frame.time_base = Fraction(1)
    graph.vpush(frame)
    return graph.vpull()
