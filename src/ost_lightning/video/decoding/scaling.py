"""Conversion of decoded frames to RGB pixels: color conversion, resizing and cropping in one pass of swscale."""

from fractions import Fraction
from itertools import pairwise
from typing import Final, Literal, NamedTuple

import av
import numpy as np
from av.filter import Graph
from av.video.plane import VideoPlane
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from ost_lightning.video.decoding.orientation import AS_STORED, Orientation, orientation_of

Pixels = NDArray[np.uint8]
ResizeFilter = Literal["bicubic", "bilinear"]
_FILTERS: Final[dict[ResizeFilter, Interpolation]] = {
    "bicubic": Interpolation.BICUBIC,
    "bilinear": Interpolation.BILINEAR,
}
_KEPT_GRAPHS: Final = 8
"""Number of filter graphs to keep: one per crop, and a clip has at most three crops."""


class Box(NamedTuple):
    """Rectangular part of a frame, in pixels of the frame after resizing.

    Attributes:
        top: First row.
        left: First column.
        height: Number of rows.
        width: Number of columns.
    """

    top: int
    left: int
    height: int
    width: int


class FrameScaler:
    """Converts the frames of one video, and keeps swscale's contexts, whose setup takes longer than their use.

    Args:
        aspect: Aspect ratio of a stored pixel, width over height.
        resize: Interpolation for resizing.

    Attributes:
        default_orientation: Orientation of frames that have none of their own.
    """

    def __init__(self, aspect: float = 1.0, resize: ResizeFilter = "bicubic") -> None:
        self.default_orientation = AS_STORED
        self._aspect, self._resize = aspect if 0.1 < aspect < 10 else 1.0, resize
        self._converter = VideoReformatter()
        self._graphs: dict[tuple[object, ...], Graph] = {}

    def orientation(self, frame: av.VideoFrame) -> Orientation:
        """Turn and mirror image that make a frame upright.

        Raises:
            ValueError: If it is not one of the eight that keep the pixels.
        """
        return orientation_of(frame, self.default_orientation)

    def size(self, frame: av.VideoFrame, short_side: int | None) -> tuple[int, int]:
        """Height and width of the upright frame after resizing (square pixels, aspect ratio kept)."""
        return self._size(frame, short_side, self.orientation(frame))

    def _size(self, frame: av.VideoFrame, short_side: int | None, orientation: Orientation) -> tuple[int, int]:
        sides = (frame.height, max(1, round(frame.width * self._aspect)))
        shorter = min(sides)
        if short_side is not None:
            sides = (
                short_side if sides[0] == shorter else int(sides[0] * short_side / shorter),
                short_side if sides[1] == shorter else int(sides[1] * short_side / shorter),
            )
        return orientation.swapped(sides)

    def whole(self, frame: av.VideoFrame, short_side: int | None, out: Pixels | None = None) -> Pixels:
        """Converts a frame to an upright picture (3, H, W), resized.

        Args:
            frame: Decoded frame.
            short_side: Length of the shorter side in pixels; None keeps the size.
            out: Array of the same shape for the pixels, which saves a copy; None for one in FFmpeg's memory layout.
        """
        orientation = self.orientation(frame)
        height, width = orientation.swapped(self._size(frame, short_side, orientation))
        scaled = (height, width) != (frame.height, frame.width)
        picture = self._converter.reformat(
            frame,
            width=width,
            height=height,
            # planar output is twice as fast and has full chroma, but is less precise without scaling
            format="gbrp" if scaled else "rgb24",
            interpolation=_FILTERS[self._resize],
            threads=1,
        )
        return _pixels(picture, orientation, out)

    def part(
        self, frame: av.VideoFrame, short_side: int | None, box: Box, side: int, out: Pixels | None = None
    ) -> Pixels:
        """Converts a box of the upright frame to a square picture (3, side, side), in one resampling.

        Only the pixels inside the box are converted. A box of the whole frame squashes it to the square.

        Args:
            frame: Decoded frame.
            short_side: Length in pixels of the shorter side that the box refers to; None for that of the frame.
            box: Part of the frame.
            side: Side of the picture in pixels.
            out: Array (3, side, side) for the pixels, which saves a copy; None for one in FFmpeg's memory layout.
        """
        orientation = self.orientation(frame)
        height, width = self._size(frame, short_side, orientation)
        unscaled = orientation.swapped((height, width)) == (frame.height, frame.width)
        if unscaled and (box.height, box.width) == (side, side):
            picture = self.whole(frame, short_side)[:, box.top : box.top + side, box.left : box.left + side]
            return picture if out is None else _copied(picture, out)
        top, left, bottom, right = orientation.stored(
            box.top / height, box.left / width, (box.top + box.height) / height, (box.left + box.width) / width
        )
        # aligned to even pixels, so that subsampled chroma stays in register
        x, y = (int(left * frame.width) // 2 * 2, int(top * frame.height) // 2 * 2)
        wide = min(max(2, round((right - left) * frame.width)), frame.width - x)
        high = min(max(2, round((bottom - top) * frame.height)), frame.height - y)
        graph = self._graph(frame, f"{wide}:{high}:{x}:{y}", side)
        graph.vpush(frame)
        return _pixels(graph.vpull(), orientation, out)

    def _graph(self, frame: av.VideoFrame, crop: str, side: int) -> Graph:
        properties = f"{frame.width}x{frame.height}:pix_fmt={frame.format.name}"
        colors = f"colorspace={int(frame.colorspace)}:range={int(frame.color_range)}"
        key = (properties, colors, crop, side)
        if key not in self._graphs:
            if len(self._graphs) >= _KEPT_GRAPHS:
                self._graphs.clear()
            self._graphs[key] = _build(
                f"video_size={properties}:time_base=1/1:{colors}", crop, f"{side}:{side}:flags={self._resize}"
            )
        frame.time_base = Fraction(1)
        return self._graphs[key]


def _build(source: str, crop: str, scale: str) -> Graph:
    graph = Graph()
    graph.threads = 1
    chain = [
        graph.add("buffer", source),
        graph.add("crop", crop),
        graph.add("scale", scale),
        graph.add("format", "gbrp"),
        graph.add("buffersink"),
    ]
    for first, second in pairwise(chain):
        first.link_to(second)
    graph.configure()
    return graph


def _pixels(picture: av.VideoFrame, orientation: Orientation, out: Pixels | None) -> Pixels:
    """Pixels of an RGB frame, made upright, as an array (3, H, W)."""
    height, width = picture.height, picture.width
    if picture.format.name == "rgb24":
        rows = _rows(picture.planes[0])[:height, : 3 * width]
        upright = orientation.upright(rows.reshape(height, width, 3).transpose(2, 0, 1))
        return upright if out is None else _copied(upright, out)
    green, blue, red = (orientation.upright(_rows(plane)[None, :height, :width]) for plane in picture.planes)
    if out is None:
        return np.concatenate([red, green, blue])
    out[:1], out[1:2], out[2:] = red, green, blue
    return out


def _copied(picture: Pixels, out: Pixels) -> Pixels:
    out[...] = picture
    return out


def _rows(plane: VideoPlane) -> Pixels:
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
