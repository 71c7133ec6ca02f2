"""Drawing in local coordinates, and their conversion to pixels."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import ImageDraw

from ost_lightning.toyworld.vocabulary import Color

Point = tuple[float, float]


def blend(color: Color, towards: Color, share: float) -> Color:
    """Mixes two colors; `share` is the fraction of the second one, 0 to 1."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(color, towards, strict=True))
    return red, green, blue


def jitter(color: Color, rng: random.Random, amount: int = 16) -> Color:
    """Shifts each channel randomly by up to `amount` levels."""
    red, green, blue = (min(255, max(0, channel + rng.randint(-amount, amount))) for channel in color)
    return red, green, blue


def darker(color: Color) -> Color:
    """Returns a darker shade, for outlines."""
    return blend(color, (0, 0, 0), 0.45)


def lighter(color: Color) -> Color:
    """Returns a lighter tint, for highlights."""
    return blend(color, (255, 255, 255), 0.5)


@dataclass(frozen=True, slots=True)
class Pen:
    """Draws in a local coordinate system, whose y axis points up.

    Attributes:
        draw: Drawing handle of the picture.
        x: Distance of the origin from the left, in pixels.
        y: Distance of the origin from the top, in pixels.
        scale: Number of pixels per unit.
        turn: Clockwise rotation about the pivot, in degrees.
        pivot: Height of the rotation center, in units.
        flip: Factor for the x axis; -1 mirrors left and right.
    """

    draw: ImageDraw.ImageDraw
    x: float
    y: float
    scale: float
    turn: float = 0.0
    pivot: float = 0.0
    flip: int = 1

    def to_pixels(self, point: Point) -> Point:
        """Converts local coordinates to pixels."""
        angle = math.radians(self.turn)
        u, v = point[0], point[1] - self.pivot
        u, v = u * math.cos(angle) + v * math.sin(angle), -u * math.sin(angle) + v * math.cos(angle)
        return self.x + self.flip * self.scale * u, self.y - self.scale * (v + self.pivot)

    def polygon(self, points: Sequence[Point], fill: Color, outline: Color | None = None) -> None:
        """Draws a filled polygon."""
        self.draw.polygon([self.to_pixels(point) for point in points], fill=fill, outline=outline)

    def line(self, points: Sequence[Point], width: float, fill: Color) -> None:
        """Draws a polyline, `width` units thick and at least one pixel."""
        self.draw.line(
            [self.to_pixels(point) for point in points],
            fill=fill,
            width=max(1, round(width * self.scale)),
            joint="curve",
        )

    def disc(self, center: Point, radius: float, fill: Color, outline: Color | None = None) -> None:
        """Draws a filled circle."""
        self._ellipse(center, radius, fill, outline, 1)

    def ring(self, center: Point, radius: float, width: float, color: Color) -> None:
        """Draws a circle whose line is `width` units thick, inwards."""
        self._ellipse(center, radius, None, color, max(2, round(width * self.scale)))

    def _ellipse(self, center: Point, radius: float, fill: Color | None, outline: Color | None, width: int) -> None:
        x, y = self.to_pixels(center)
        pixels = radius * self.scale
        self.draw.ellipse((x - pixels, y - pixels, x + pixels, y + pixels), fill=fill, outline=outline, width=width)
