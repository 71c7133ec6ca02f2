"""A scene: one person in a setting with one prop, at one moment, as a picture."""

import math
import random
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from ost_lightning.toyworld.canvas import Pen, darker, jitter
from ost_lightning.toyworld.poses import Pose
from ost_lightning.toyworld.props import PAINT_PROP
from ost_lightning.toyworld.scenery import paint_backdrop
from ost_lightning.toyworld.vocabulary import COLORS, Color

FRAME_SIDE: Final = 72
"""Height and width of a rendered frame, in pixels."""
_SUPERSAMPLING: Final = 2
_PIXELS: Final = FRAME_SIDE * _SUPERSAMPLING
_PERSON: Final = 0.50
_PROP: Final = 0.42
_SKINS: Final[tuple[Color, ...]] = ((250, 214, 180), (224, 172, 130), (160, 110, 76), (110, 74, 50))


@dataclass(frozen=True, slots=True)
class Appearance:
    """Attributes that stay constant during a scene, as names from `ost_lightning.toyworld.vocabulary`."""

    setting: str
    outfit: str
    hat: str
    prop: str
    prop_color: str
    extra: str | None


class Scene:
    """An appearance with fixed shades, sizes and orientation, which can be drawn in any pose.

    Args:
        appearance: Attributes of the scene.
        rng: Source of randomness for shades, sizes and mirroring.
    """

    def __init__(self, appearance: Appearance, rng: random.Random) -> None:
        self._backdrop = paint_backdrop(appearance.setting, appearance.extra, rng, _PIXELS)
        self._prop = appearance.prop
        self._hat = appearance.hat
        self._outfit = jitter(COLORS[appearance.outfit], rng, 14)
        self._prop_color = jitter(COLORS[appearance.prop_color], rng, 14)
        self._skin = rng.choice(_SKINS)
        self._flip = -1 if rng.random() < 0.5 else 1
        self._ground = rng.uniform(0.80, 0.90)
        self._person_size = _PERSON * rng.uniform(0.88, 1.12)
        self._prop_size = _PROP * rng.uniform(0.88, 1.12)
        self._shift = rng.uniform(-0.05, 0.05)
        self._fragments = [
            (rng.uniform(-0.8, 0.8), rng.uniform(0, 0.4), rng.uniform(0.12, 0.22), rng.uniform(0, 6.28))
            for _ in range(7)
        ]

    def draw(self, pose: Pose, rng: random.Random) -> Image.Image:
        """Renders one moment.

        Args:
            pose: Positions of person and prop, and strength of the effects.
            rng: Source of randomness for the particles of the effects.

        Returns:
            RGB image, `FRAME_SIDE` pixels square.
        """
        image = self._backdrop.copy()
        draw = ImageDraw.Draw(image)
        person = self._person_pen(draw, pose)
        prop = self._prop_pen(draw, pose, person)
        if prop_behind := pose.held < 0.5 or pose.hold_y > 1:
            self._draw_prop(prop, pose)
        self._draw_person(person, pose)
        if not prop_behind:
            self._draw_prop(prop, pose)
        _draw_effects(image, pose, prop, self._ground, rng)
        if pose.darkness > 0.02:
            image = Image.fromarray((np.asarray(image) * (1 - 0.78 * pose.darkness)).astype(np.uint8))
        return image.reduce(_SUPERSAMPLING)

    def _across(self, x: float) -> float:
        x += self._shift
        return (x if self._flip > 0 else 1 - x) * _PIXELS

    def _person_pen(self, draw: ImageDraw.ImageDraw, pose: Pose) -> Pen:
        height = self._person_size * pose.size
        lying = 1 - abs(math.cos(math.radians(pose.turn)))
        down = (self._ground - pose.lift + 0.36 * height * lying) * _PIXELS
        return Pen(draw, self._across(pose.x), down, height * _PIXELS, pose.turn, 0.5, self._flip)

    def _prop_pen(self, draw: ImageDraw.ImageDraw, pose: Pose, person: Pen) -> Pen:
        size = self._prop_size * pose.prop_size * _PIXELS
        x, y = self._across(pose.prop_x), (self._ground - pose.prop_lift) * _PIXELS
        in_hand_x = person.x + self._flip * pose.hold_x * person.scale
        in_hand_y = person.y - pose.hold_y * person.scale + 0.5 * size
        return Pen(
            draw,
            x + (in_hand_x - x) * pose.held,
            y + (in_hand_y - y) * pose.held,
            size,
            pose.prop_turn,
            0.5,
            self._flip,
        )

    def _draw_prop(self, pen: Pen, pose: Pose) -> None:
        if pose.broken <= 0.5:
            PAINT_PROP[self._prop](pen, self._prop_color)
            return
        for x, y, size, angle in self._fragments:
            corners = [(x + size * math.cos(angle + 2.1 * k), y + size * math.sin(angle + 2.1 * k)) for k in range(3)]
            pen.polygon(corners, self._prop_color, darker(self._prop_color))

    def _draw_person(self, pen: Pen, pose: Pose) -> None:
        if pose.present < 0.5:
            return
        hip_height = 0.42 * (1 - 0.62 * pose.crouch) * (1 - 0.75 * pose.sit)
        lean = math.radians(pose.lean)
        shoulder = (0.36 * math.sin(lean), hip_height + 0.36 * math.cos(lean))
        head = (0.56 * math.sin(lean), hip_height + 0.56 * math.cos(lean))
        self._draw_legs(pen, pose, hip_height)
        pen.line([(0, hip_height - 0.03), shoulder], 0.26, self._outfit)
        for side, degrees in ((-1, pose.left_arm), (1, pose.right_arm)):
            angle = math.radians(degrees)
            hand = (shoulder[0] + 0.34 * side * math.sin(angle), shoulder[1] - 0.34 * math.cos(angle))
            pen.line([(shoulder[0] + 0.07 * side, shoulder[1]), hand], 0.1, self._outfit)
            pen.disc(hand, 0.06, self._skin)
        pen.disc(head, 0.15, self._skin)
        if pose.size > 1.5:
            for side in (-1, 1):
                pen.disc((head[0] + 0.06 * side, head[1] + 0.01), 0.022, (20, 20, 20))
            pen.line(
                [(head[0] - 0.06, head[1] - 0.07), (head[0], head[1] - 0.09), (head[0] + 0.06, head[1] - 0.07)],
                0.02,
                (150, 40, 40),
            )
        _draw_hat(Pen(pen.draw, *pen.to_pixels(head), pen.scale * 0.15, pen.turn + pose.lean, 0, pen.flip), self._hat)

    def _draw_legs(self, pen: Pen, pose: Pose, hip_height: float) -> None:
        trousers = darker(self._outfit)
        hip = (0.0, hip_height)
        for side, degrees in ((-1, pose.left_leg), (1, pose.right_leg)):
            if pose.sit > 0.4:
                path = [hip, (0.24, hip_height + 0.02 * side), (0.5, 0.05 + 0.04 * (side + 1))]
            elif pose.crouch > 0.4:
                path = [hip, (0.26 * side, hip_height + 0.1), (0.2 * side, 0.0)]
            else:
                angle = math.radians(degrees) * side
                path = [hip, (0.42 * math.sin(angle), hip_height - 0.42 * math.cos(angle))]
            pen.line(path, 0.13, trousers)


def _draw_hat(pen: Pen, hat: str) -> None:
    """Draws a hat on a head of radius 1."""
    if hat == "cap":
        pen.polygon(
            [(-1.0, 0.3), (1.9, 0.3), (1.9, 0.55), (0.95, 0.6), (0.6, 1.15), (-0.6, 1.15), (-1.0, 0.6)],
            (210, 30, 40),
            (120, 10, 20),
        )
    elif hat == "tophat":
        brim = [(-1.5, 0.5), (1.5, 0.5), (1.5, 0.85), (0.9, 0.85), (0.9, 2.2), (-0.9, 2.2), (-0.9, 0.85), (-1.5, 0.85)]
        pen.polygon(brim, (24, 24, 28))
    elif hat == "crown":
        points = [(-0.95, 0.5), (-1.15, 1.9), (-0.45, 1.25), (0, 2.0), (0.45, 1.25), (1.15, 1.9), (0.95, 0.5)]
        pen.polygon(points, (252, 206, 40), (170, 120, 10))
    elif hat == "helmet":
        shell = [
            (-1.25, -0.1),
            (-1.1, 0.9),
            (-0.4, 1.45),
            (0.4, 1.45),
            (1.1, 0.9),
            (1.25, -0.1),
            (0.7, 0.3),
            (-0.7, 0.3),
        ]
        pen.polygon(shell, (90, 200, 210), (30, 90, 100))
    else:
        pen.polygon([(-1, 0.2), (-0.7, 0.95), (0, 1.1), (0.7, 0.95), (1, 0.2), (0, 0.55)], (70, 46, 30))


def _draw_effects(image: Image.Image, pose: Pose, prop: Pen, ground: float, rng: random.Random) -> None:
    """Draws particles over the picture; their number is proportional to the strength of the effect."""
    draw, floor = ImageDraw.Draw(image), ground * _PIXELS
    for _ in range(int(34 * pose.splash)):
        x, rise = _PIXELS * rng.uniform(0.1, 0.9), rng.random()
        y, radius = floor - 0.5 * _PIXELS * rise * rise, 2 + 4 * rise
        draw.ellipse(
            (x - radius, y - 1.4 * radius, x + radius, y + radius), fill=(150, 215, 255), outline=(60, 140, 220)
        )
    if pose.dust > 0.1:
        cloud = Image.new("L", image.size, 0)
        puffs = ImageDraw.Draw(cloud)
        for _ in range(int(16 * pose.dust)):
            x, y = _PIXELS * rng.uniform(0.1, 0.9), floor - _PIXELS * rng.uniform(-0.05, 0.34)
            radius = _PIXELS * rng.uniform(0.06, 0.13)
            puffs.ellipse((x - radius, y - radius, x + radius, y + radius), fill=185)
        image.paste((176, 160, 136), (0, 0), cloud)
    center_x, center_y = prop.x, prop.y - 0.4 * prop.scale
    for _ in range(int(20 * pose.sparks)):
        angle, share = rng.uniform(0, 2 * math.pi), rng.random()
        near, far = 0.06 * (1 + share) * _PIXELS, (0.16 + 0.16 * share) * _PIXELS
        ends = [(center_x + radius * math.cos(angle), center_y + radius * math.sin(angle)) for radius in (near, far)]
        draw.line(ends, fill=(255, 240, 90), width=3)
    shades = list(COLORS.values())
    for _ in range(int(46 * pose.confetti)):
        x, y = _PIXELS * rng.random(), _PIXELS * 0.85 * rng.random()
        draw.rectangle((x, y, x + 5, y + 4), fill=rng.choice(shades))
