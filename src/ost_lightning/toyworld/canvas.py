"""Drawing in a local frame: the one place where unit coordinates become pixels."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import ImageDraw

from ost_lightning.toyworld.vocabulary import Color

Point = tuple[float, float]


def blend(color: Color, towards: Color, share: float) -> Color:
    """Mixes two colors; `share` is the second one's part, 0 to 1."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(color, towards, strict=True))
    return red, green, blue


def jitter(color: Color, rng: random.Random, amount: int = 16) -> Color:
    """Moves each channel by up to `amount` levels."""
    red, green, blue = (min(255, max(0, channel + rng.randint(-amount, amount))) for channel in color)
    return red, green, blue


def darker(color: Color) -> Color:
    """A shade for outlines."""
    return blend(color, (0, 0, 0), 0.45)


def lighter(color: Color) -> Color:
    """A tint for highlights."""
    return blend(color, (255, 255, 255), 0.5)


@dataclass(frozen=True, slots=True)
class Pen:
    """Draws in a frame with its own origin (pixels), scale (pixels a unit) and turn (degrees, clockwise); y points up.

    Attributes:
        draw: The picture's drawing handle.
        x: Origin, pixels from the left.
        y: Origin, pixels from the top.
        scale: Pixels a unit.
        turn: Rotation about `pivot` in degrees.
        pivot: Height of the rotation center, in units.
        flip: -1 mirrors left and right.
    """

    draw: ImageDraw.ImageDraw
    x: float
    y: float
    scale: float
    turn: float = 0.0
    pivot: float = 0.0
    flip: int = 1

    def place(self, point: Point) -> Point:
        """Unit coordinates to pixels."""
        angle = math.radians(self.turn)
        u, v = point[0], point[1] - self.pivot
        u, v = u * math.cos(angle) + v * math.sin(angle), -u * math.sin(angle) + v * math.cos(angle)
        return self.x + self.flip * self.scale * u, self.y - self.scale * (v + self.pivot)

    def polygon(self, points: Sequence[Point], fill: Color, outline: Color | None = None) -> None:
        """A filled polygon."""
        self.draw.polygon([self.place(point) for point in points], fill=fill, outline=outline)

    def line(self, points: Sequence[Point], width: float, fill: Color) -> None:
        """A polyline; width in units, at least one pixel."""
        self.draw.line(
            [self.place(point) for point in points], fill=fill, width=max(1, round(width * self.scale)), joint="curve"
        )

    def disc(self, center: Point, radius: float, fill: Color, outline: Color | None = None) -> None:
        """A filled circle."""
        self._ellipse(center, radius, fill, outline, 1)

    def ring(self, center: Point, radius: float, width: float, color: Color) -> None:
        """A circle's rim, `width` units thick, drawn inwards."""
        self._ellipse(center, radius, None, color, max(2, round(width * self.scale)))

    def _ellipse(self, center: Point, radius: float, fill: Color | None, outline: Color | None, width: int) -> None:
        x, y = self.place(center)
        pixels = radius * self.scale
        self.draw.ellipse((x - pixels, y - pixels, x + pixels, y + pixels), fill=fill, outline=outline, width=width)
