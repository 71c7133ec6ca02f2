"""The sixteen props, each with a distinct silhouette in a box of about [-0.5, 0.5] horizontally and [0, 1] upwards."""

import math
from collections.abc import Callable
from typing import Final

from ost_lightning.toyworld.canvas import Pen, darker, lighter
from ost_lightning.toyworld.vocabulary import Color

WOOD: Final[Color] = (130, 88, 52)
PAPER: Final[Color] = (246, 240, 226)


def _ball(pen: Pen, color: Color) -> None:
    pen.disc((0, 0.5), 0.5, color, darker(color))
    pen.line([(-0.48, 0.5), (0.48, 0.5)], 0.1, lighter(color))
    pen.line([(0, 0.02), (0, 0.98)], 0.1, lighter(color))


def _box(pen: Pen, color: Color) -> None:
    pen.polygon([(-0.5, 0), (0.5, 0), (0.5, 0.9), (-0.5, 0.9)], color, darker(color))
    pen.line([(-0.5, 0), (0.5, 0.9)], 0.09, darker(color))
    pen.line([(-0.5, 0.9), (0.5, 0)], 0.09, darker(color))


def _ladder(pen: Pen, color: Color) -> None:
    for x in (-0.3, 0.3):
        pen.line([(x, -0.05), (x, 1.35)], 0.13, color)
    for y in (0.12, 0.42, 0.72, 1.02, 1.28):
        pen.line([(-0.3, y), (0.3, y)], 0.1, color)


def _hoop(pen: Pen, color: Color) -> None:
    pen.ring((0, 0.55), 0.58, 0.13, color)


def _flag(pen: Pen, color: Color) -> None:
    pen.line([(-0.38, -0.05), (-0.38, 1.35)], 0.1, WOOD)
    pen.polygon([(-0.38, 1.32), (0.6, 1.02), (-0.38, 0.68)], color, darker(color))


def _drum(pen: Pen, color: Color) -> None:
    pen.polygon([(-0.5, 0.0), (0.5, 0.0), (0.5, 0.62), (-0.5, 0.62)], color, darker(color))
    pen.line([(-0.5, 0.04), (-0.25, 0.58), (0, 0.04), (0.25, 0.58), (0.5, 0.04)], 0.07, lighter(color))
    pen.polygon([(-0.5, 0.62), (-0.3, 0.8), (0.3, 0.8), (0.5, 0.62)], PAPER, darker(color))
    for side in (-1, 1):
        pen.line([(0.1 * side, 0.74), (0.42 * side, 1.15)], 0.07, WOOD)


def _kite(pen: Pen, color: Color) -> None:
    pen.line([(0, 0.1), (0.22, -0.1), (-0.05, -0.25), (0.2, -0.42)], 0.08, color)
    pen.polygon([(0, 0.05), (0.5, 0.72), (0, 1.2), (-0.5, 0.72)], color, darker(color))
    pen.line([(0, 0.05), (0, 1.2)], 0.06, darker(color))
    pen.line([(-0.5, 0.72), (0.5, 0.72)], 0.06, darker(color))


def _umbrella(pen: Pen, color: Color) -> None:
    pen.line([(0, 0.7), (0, 0.04), (0.16, -0.02), (0.2, 0.14)], 0.1, WOOD)
    arc = [(0.66 * math.cos(a), 0.62 + 0.6 * math.sin(a)) for a in (math.pi * k / 8 for k in range(9))]
    pen.polygon([*arc, (-0.33, 0.72), (0, 0.62), (0.33, 0.72)], color, darker(color))


def _bell(pen: Pen, color: Color) -> None:
    pen.disc((0, 0.1), 0.14, darker(color))
    outline = [(-0.55, 0.16), (0.55, 0.16), (0.36, 0.42), (0.3, 0.82), (0, 1.0), (-0.3, 0.82), (-0.36, 0.42)]
    pen.polygon(outline, color, darker(color))
    pen.ring((0, 1.06), 0.13, 0.06, darker(color))


def _boat(pen: Pen, color: Color) -> None:
    pen.line([(0, 0.3), (0, 1.3)], 0.08, WOOD)
    pen.polygon([(0.06, 0.42), (0.06, 1.28), (0.58, 0.42)], color, darker(color))
    pen.polygon([(-0.06, 0.42), (-0.06, 1.05), (-0.46, 0.42)], color, darker(color))
    pen.polygon([(-0.66, 0.34), (0.66, 0.34), (0.4, 0), (-0.4, 0)], WOOD, darker(WOOD))


def _wheel(pen: Pen, color: Color) -> None:
    for k in range(4):
        x, y = 0.48 * math.cos(k * math.pi / 4), 0.48 * math.sin(k * math.pi / 4)
        pen.line([(-x, 0.52 - y), (x, 0.52 + y)], 0.08, darker(color))
    pen.ring((0, 0.52), 0.55, 0.17, color)
    pen.disc((0, 0.52), 0.16, color)


def _cup(pen: Pen, color: Color) -> None:
    pen.ring((0.4, 0.5), 0.27, 0.11, color)
    pen.polygon([(-0.28, 0), (0.28, 0), (0.42, 0.95), (-0.42, 0.95)], color, darker(color))
    pen.line([(-0.4, 0.86), (0.4, 0.86)], 0.1, PAPER)


def _hammer(pen: Pen, color: Color) -> None:
    pen.line([(0, -0.05), (0, 0.85)], 0.15, WOOD)
    pen.polygon([(-0.52, 0.78), (0.52, 0.78), (0.52, 1.2), (-0.52, 1.2)], color, darker(color))


def _guitar(pen: Pen, color: Color) -> None:
    pen.line([(0, 0.6), (0, 1.5)], 0.13, WOOD)
    pen.line([(-0.13, 1.46), (0.13, 1.46)], 0.16, WOOD)
    pen.disc((0, 0.28), 0.38, color)
    pen.disc((0, 0.7), 0.27, color)
    pen.disc((0, 0.42), 0.13, (40, 26, 18))


def _chair(pen: Pen, color: Color) -> None:
    pen.line([(-0.4, 0), (-0.4, 1.3)], 0.14, color)
    pen.line([(0.4, 0), (0.4, 0.52)], 0.14, color)
    pen.polygon([(-0.47, 0.46), (0.47, 0.46), (0.47, 0.64), (-0.47, 0.64)], color, darker(color))
    pen.line([(-0.12, 0.64), (-0.12, 1.28), (-0.4, 1.28)], 0.1, color)


def _book(pen: Pen, color: Color) -> None:
    pen.polygon([(-0.68, 0.14), (0, 0.0), (0.68, 0.14), (0.68, 0.98), (0, 0.84), (-0.68, 0.98)], color)
    pen.polygon([(0.05, 0.12), (0.56, 0.24), (0.56, 0.86), (0.05, 0.74)], PAPER)
    pen.polygon([(-0.05, 0.12), (-0.56, 0.24), (-0.56, 0.86), (-0.05, 0.74)], PAPER)
    for y in (0.36, 0.54):
        for side in (-1, 1):
            pen.line([(0.14 * side, y), (0.46 * side, y + 0.07)], 0.05, (120, 116, 108))


PAINT_PROP: Final[dict[str, Callable[[Pen, Color], None]]] = {
    "ball": _ball,
    "box": _box,
    "ladder": _ladder,
    "hoop": _hoop,
    "flag": _flag,
    "drum": _drum,
    "kite": _kite,
    "umbrella": _umbrella,
    "bell": _bell,
    "boat": _boat,
    "wheel": _wheel,
    "cup": _cup,
    "hammer": _hammer,
    "guitar": _guitar,
    "chair": _chair,
    "book": _book,
}
