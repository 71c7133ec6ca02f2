"""Drawing in a local frame: the one place where unit coordinates become pixels."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import ImageDraw

from ost_lightning.toyworld.vocabulary import Colour

Point = tuple[float, float]


def blend(colour: Colour, towards: Colour, share: float) -> Colour:
    """Mixes two colours; `share` is the second one's part, 0 to 1."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(colour, towards, strict=True))
    return red, green, blue


def jitter(colour: Colour, rng: random.Random, amount: int = 16) -> Colour:
    """Moves each channel by up to `amount` levels."""
    red, green, blue = (min(255, max(0, channel + rng.randint(-amount, amount))) for channel in colour)
    return red, green, blue


def darker(colour: Colour) -> Colour:
    """A shade for outlines."""
    return blend(colour, (0, 0, 0), 0.45)


def lighter(colour: Colour) -> Colour:
    """A tint for highlights."""
    return blend(colour, (255, 255, 255), 0.5)


@dataclass(frozen=True, slots=True)
class Pen:
    """Draws in a frame with its own origin (pixels), scale (pixels a unit) and turn (degrees, clockwise); y points up.

    Attributes:
        draw: The picture's drawing handle.
        x: Origin, pixels from the left.
        y: Origin, pixels from the top.
        scale: Pixels a unit.
        turn: Rotation about `pivot` in degrees.
        pivot: Height of the rotation centre, in units.
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

    def polygon(self, points: Sequence[Point], fill: Colour, outline: Colour | None = None) -> None:
        """A filled polygon."""
        self.draw.polygon([self.place(point) for point in points], fill=fill, outline=outline)

    def line(self, points: Sequence[Point], width: float, fill: Colour) -> None:
        """A polyline; width in units, at least one pixel."""
        self.draw.line(
            [self.place(point) for point in points], fill=fill, width=max(1, round(width * self.scale)), joint="curve"
        )

    def disc(self, centre: Point, radius: float, fill: Colour, outline: Colour | None = None) -> None:
        """A filled circle."""
        self._ellipse(centre, radius, fill, outline, 1)

    def ring(self, centre: Point, radius: float, width: float, colour: Colour) -> None:
        """A circle's rim, `width` units thick, drawn inwards."""
        self._ellipse(centre, radius, None, colour, max(2, round(width * self.scale)))

    def _ellipse(self, centre: Point, radius: float, fill: Colour | None, outline: Colour | None, width: int) -> None:
        x, y = self.place(centre)
        pixels = radius * self.scale
        self.draw.ellipse((x - pixels, y - pixels, x + pixels, y + pixels), fill=fill, outline=outline, width=width)
