"""Backgrounds: one painting function per setting and per extra object."""

import math
import random
from collections.abc import Callable
from typing import Final, cast

from PIL import Image, ImageDraw

from ost_lightning.toyworld.canvas import jitter
from ost_lightning.toyworld.vocabulary import Color

WHITE: Final[Color] = (250, 250, 250)


class Backdrop:
    """A square picture to paint on, in unit coordinates: x to the right, y downwards, both 0 to 1.

    Attributes:
        image: Picture that is painted on.
        horizon: Vertical coordinate of the ground line.
    """

    def __init__(self, pixels: int, rng: random.Random) -> None:
        self.rng = rng
        self.pixels = pixels
        self.image = Image.new("RGB", (pixels, pixels))
        self.horizon = rng.uniform(0.52, 0.64)
        self._draw = ImageDraw.Draw(self.image)

    def tone(self, color: Color, amount: int = 16) -> Color:
        """Returns a random variant of a color."""
        return jitter(color, self.rng, amount)

    def rectangle(self, left: float, top: float, right: float, bottom: float, fill: Color) -> None:
        """Draws a filled rectangle."""
        self._draw.rectangle([value * self.pixels for value in (left, top, right, bottom)], fill=fill)

    def ellipse(
        self, x: float, y: float, width: float, height: float, fill: Color, outline: Color | None = None
    ) -> None:
        """Draws a filled ellipse around (x, y) with the half-axes `width` and `height`."""
        box = (x - width, y - height, x + width, y + height)
        self._draw.ellipse([value * self.pixels for value in box], fill=fill, outline=outline)

    def polygon(self, *points: tuple[float, float], fill: Color, outline: Color | None = None) -> None:
        """Draws a filled polygon."""
        self._draw.polygon([(x * self.pixels, y * self.pixels) for x, y in points], fill=fill, outline=outline)

    def line(self, *points: tuple[float, float], width: float, fill: Color) -> None:
        """Draws a polyline."""
        pixels = max(1, round(width * self.pixels))
        self._draw.line([(x * self.pixels, y * self.pixels) for x, y in points], fill=fill, width=pixels)

    def sky(self, color: Color) -> None:
        """Fills the whole picture."""
        self.rectangle(0, 0, 1, 1, self.tone(color))

    def ground(self, color: Color) -> None:
        """Fills everything below the horizon."""
        self.rectangle(0, self.horizon, 1, 1, self.tone(color))

    def scatter(self, count: int, top: float, bottom: float) -> list[tuple[float, float]]:
        """Draws `count` random points between two heights."""
        return [(self.rng.random(), self.rng.uniform(top, bottom)) for _ in range(count)]


def _meadow(b: Backdrop) -> None:
    b.sky((150, 205, 240))
    b.ground((96, 180, 70))
    blade = b.tone((60, 140, 45))
    for x, y in b.scatter(60, b.horizon, 1):
        b.line((x, y), (x + b.rng.uniform(-0.02, 0.02), y - 0.05), width=0.014, fill=blade)


def _beach(b: Backdrop) -> None:
    b.sky((165, 220, 245))
    b.rectangle(0, b.horizon * 0.72, 1, b.horizon, b.tone((30, 130, 190)))
    b.ground((236, 214, 150))
    for k in range(3):
        y = b.horizon - 0.042 * k
        b.line((0, y), (1, y + b.rng.uniform(-0.02, 0.02)), width=0.007, fill=(240, 250, 255))


def _desert(b: Backdrop) -> None:
    b.sky((250, 200, 130))
    b.ground((222, 160, 80))
    for _ in range(3):
        b.ellipse(b.rng.random(), b.horizon + 0.08, 0.42, 0.2, b.tone((212, 148, 72)))


def _snow(b: Backdrop) -> None:
    b.sky((200, 212, 226))
    b.ground((246, 248, 252))
    for x, y in b.scatter(45, 0, 1):
        b.ellipse(x, y, 0.011, 0.011, (255, 255, 255))


def _city(b: Backdrop) -> None:
    b.sky((185, 190, 205))
    b.ground((95, 95, 100))
    left = 0.0
    while left < 1:
        width, top = b.rng.uniform(0.11, 0.2), b.horizon - b.rng.uniform(0.2, b.horizon)
        b.rectangle(left, top, left + width, b.horizon, b.tone((110, 120, 145), 30))
        for row in range(int((b.horizon - top - 0.05) / 0.062)):
            for column in range(int((width - 0.03) / 0.055)):
                x, y = left + 0.02 + 0.055 * column, top + 0.03 + 0.062 * row
                b.rectangle(x, y, x + 0.02, y + 0.028, (250, 230, 140) if b.rng.random() < 0.6 else (60, 66, 90))
        left += width + 0.014


def _forest(b: Backdrop) -> None:
    b.sky((40, 84, 56))
    b.ground((70, 60, 36))
    for x, y in b.scatter(11, b.horizon, b.horizon + 0.08):
        b.rectangle(x, 0, x + b.rng.uniform(0.035, 0.075), y, b.tone((78, 54, 34)))
    for x, y in b.scatter(16, -0.07, 0.18):
        b.ellipse(x, y, 0.11, 0.07, b.tone((26, 94, 44)))


def _brick(b: Backdrop) -> None:
    b.sky((196, 180, 168))
    for row in range(int(b.horizon / 0.076)):
        for column in range(-1, 7):
            x, y = 0.152 * column + 0.076 * (row % 2), 0.076 * row
            b.rectangle(x, y, x + 0.138, y + 0.062, b.tone((168, 84, 62), 14))
    b.ground((120, 112, 108))


def _kitchen(b: Backdrop) -> None:
    b.sky((244, 232, 206))
    tiles, side = (b.tone((235, 235, 235)), b.tone((120, 150, 160))), 0.084
    for row in range(int((1 - b.horizon) / side) + 1):
        for column in range(12):
            x, y = side * column, b.horizon + side * row
            b.rectangle(x, y, x + side, y + side, tiles[(row + column) % 2])
    b.rectangle(0, b.horizon - 0.18, 1, b.horizon, b.tone((196, 150, 110)))
    for column in range(5):
        b.line((0.2 * column, b.horizon - 0.18), (0.2 * column, b.horizon), width=0.014, fill=(120, 84, 60))


def _pool(b: Backdrop) -> None:
    b.sky((210, 236, 240))
    b.ground((40, 170, 215))
    for lane in range(1, 5):
        y = b.horizon + lane * (1 - b.horizon) / 5
        for k in range(12):
            b.line((0.084 * k, y), (0.084 * k + 0.042, y), width=0.014, fill=WHITE if k % 2 else (230, 60, 60))


def _stage(b: Backdrop) -> None:
    b.sky((60, 20, 30))
    folds = (b.tone((170, 24, 44)), b.tone((120, 14, 30)))
    for k in range(15):
        b.rectangle(0.07 * k, 0, 0.07 * (k + 1), b.horizon, folds[k % 2])
    b.ground((186, 130, 74))
    b.rectangle(0, 0, 1, 0.084, (220, 180, 60))


def _track(b: Backdrop) -> None:
    b.sky((160, 205, 235))
    b.rectangle(0, b.horizon - 0.15, 1, b.horizon, b.tone((130, 130, 150)))
    for x, y in b.scatter(60, b.horizon - 0.14, b.horizon - 0.02):
        b.rectangle(x, y, x + 0.008, y + 0.008, b.tone((200, 160, 120), 50))
    b.ground((186, 72, 50))
    for lane in range(1, 5):
        y = b.horizon + lane * (1 - b.horizon) / 5
        b.line((0, y), (1, y), width=0.014, fill=(245, 245, 245))


def _cave(b: Backdrop) -> None:
    b.sky((74, 66, 64))
    b.ground((54, 48, 46))
    for x, length in b.scatter(9, 0.08, 0.28):
        b.polygon((x - 0.055, 0), (x + 0.055, 0), (x, length), fill=b.tone((104, 94, 90)))
    for x, _ in b.scatter(6, 0, 1):
        b.ellipse(x, b.horizon, 0.07, 0.04, b.tone((96, 88, 84)))


def _mountain(b: Backdrop) -> None:
    b.sky((175, 200, 232))
    for x, height in b.scatter(4, 0.28, 0.46):
        base = b.rng.uniform(0.21, 0.32)
        peak = b.horizon - height
        b.polygon((x - base, b.horizon), (x + base, b.horizon), (x, peak), fill=b.tone((108, 112, 128)))
        b.polygon(
            (x - base * 0.35, peak + height * 0.35), (x + base * 0.35, peak + height * 0.35), (x, peak), fill=WHITE
        )
    b.ground((124, 136, 96))


def _space(b: Backdrop) -> None:
    b.sky((16, 14, 44))
    for x, y in b.scatter(70, 0, 1):
        size = b.rng.choice((0.002, 0.005, 0.008))
        b.ellipse(x, y, size, size, (255, 250, 220))
    b.ground((90, 88, 104))
    for x, y in b.scatter(5, b.horizon, 1):
        b.ellipse(x, y, 0.063, 0.028, (66, 64, 80))


PAINT_SETTING: Final[dict[str, Callable[[Backdrop], None]]] = {
    "meadow": _meadow,
    "beach": _beach,
    "desert": _desert,
    "snow": _snow,
    "city": _city,
    "forest": _forest,
    "brick": _brick,
    "kitchen": _kitchen,
    "pool": _pool,
    "stage": _stage,
    "track": _track,
    "cave": _cave,
    "mountain": _mountain,
    "space": _space,
}


def _tree(b: Backdrop, x: float, y: float) -> None:
    b.rectangle(x - 0.028, y - 0.24, x + 0.028, y, (104, 70, 40))
    b.ellipse(x, y - 0.32, 0.14, 0.14, b.tone((46, 140, 50)))


def _cactus(b: Backdrop, x: float, y: float) -> None:
    green = b.tone((40, 130, 70))
    b.rectangle(x - 0.036, y - 0.32, x + 0.036, y, green)
    b.line((x, y - 0.125), (x - 0.105, y - 0.125), (x - 0.105, y - 0.24), width=0.042, fill=green)
    b.line((x, y - 0.17), (x + 0.105, y - 0.17), (x + 0.105, y - 0.28), width=0.042, fill=green)


def _sun(b: Backdrop, x: float, y: float) -> None:
    y = b.rng.uniform(0.13, 0.2)
    b.ellipse(x, y, 0.09, 0.09, (255, 225, 70))
    for k in range(8):
        cos, sin = math.cos(k * math.pi / 4), math.sin(k * math.pi / 4)
        b.line((x + 0.105 * cos, y + 0.105 * sin), (x + 0.15 * cos, y + 0.15 * sin), width=0.021, fill=(255, 225, 70))


def _moon(b: Backdrop, x: float, y: float) -> None:
    y = b.rng.uniform(0.13, 0.2)
    beside = cast("Color", b.image.getpixel((max(0, int((x - 0.14) * b.pixels)), int(y * b.pixels))))
    b.ellipse(x, y, 0.1, 0.1, (250, 248, 215))
    b.ellipse(x + 0.042, y - 0.03, 0.09, 0.09, beside)


def _fence(b: Backdrop, x: float, y: float) -> None:
    wood = b.tone((170, 116, 66))
    for k in range(-2, 3):
        b.rectangle(x + 0.084 * k - 0.021, y - 0.2, x + 0.084 * k + 0.021, y + 0.014, wood)
    b.rectangle(x - 0.2, y - 0.155, x + 0.2, y - 0.125, wood)
    b.rectangle(x - 0.2, y - 0.07, x + 0.2, y - 0.042, wood)


def _house(b: Backdrop, x: float, y: float) -> None:
    b.rectangle(x - 0.13, y - 0.21, x + 0.13, y, b.tone((236, 214, 170)))
    b.polygon((x - 0.17, y - 0.21), (x + 0.17, y - 0.21), (x, y - 0.38), fill=b.tone((170, 56, 44)))
    b.rectangle(x - 0.035, y - 0.11, x + 0.035, y, (96, 60, 36))


def _lamp(b: Backdrop, x: float, y: float) -> None:
    b.rectangle(x - 0.014, y - 0.42, x + 0.014, y, (50, 50, 56))
    b.ellipse(x, y - 0.45, 0.063, 0.063, (255, 240, 150), (50, 50, 56))


def _tent(b: Backdrop, x: float, y: float) -> None:
    b.polygon((x - 0.2, y), (x + 0.2, y), (x, y - 0.3), fill=b.tone((226, 120, 40)))
    b.polygon((x - 0.055, y), (x + 0.055, y), (x, y - 0.21), fill=(70, 40, 20))


def _balloon(b: Backdrop, x: float, y: float) -> None:
    y = b.rng.uniform(0.16, 0.25)
    b.line((x, y), (x - 0.02, y + 0.28), width=0.007, fill=(70, 70, 70))
    b.ellipse(x, y, 0.09, 0.115, b.tone((236, 80, 150)))


def _sign(b: Backdrop, x: float, y: float) -> None:
    b.rectangle(x - 0.014, y - 0.25, x + 0.014, y, (120, 120, 126))
    b.polygon((x - 0.125, y - 0.24), (x + 0.125, y - 0.24), (x, y - 0.46), fill=(250, 210, 50), outline=(200, 30, 30))
    b.rectangle(x - 0.014, y - 0.375, x + 0.014, y - 0.265, (30, 30, 30))


PAINT_EXTRA: Final[dict[str, Callable[[Backdrop, float, float], None]]] = {
    "tree": _tree,
    "cactus": _cactus,
    "sun": _sun,
    "moon": _moon,
    "fence": _fence,
    "house": _house,
    "lamp": _lamp,
    "tent": _tent,
    "balloon": _balloon,
    "sign": _sign,
}


def paint_backdrop(setting: str, extra: str | None, rng: random.Random, pixels: int) -> Image.Image:
    """Paints a setting with at most one extra object, on a random side.

    Returns:
        RGB image of `pixels` by `pixels`.
    """
    backdrop = Backdrop(pixels, rng)
    PAINT_SETTING[setting](backdrop)
    if extra is not None:
        x = rng.uniform(0.10, 0.22) if rng.random() < 0.5 else rng.uniform(0.78, 0.90)
        PAINT_EXTRA[extra](backdrop, x, backdrop.horizon + rng.uniform(0, 0.04))
    return backdrop.image
