"""States as poses: numbers for the position of person and prop and for the effects, which can be interpolated."""

import random
from dataclasses import dataclass, fields, replace
from typing import Final


@dataclass(frozen=True, slots=True)
class Pose:
    """One moment of a scene. Lengths are fractions of the picture, angles degrees, effects 0 to 1.

    Attributes:
        x: Distance of the person from the left.
        lift: Height of the person's feet above the ground.
        turn: Rotation of the whole body (90 lying, 180 upside down).
        crouch: Bend of the knees, 0 to 1.
        sit: Degree of sitting, 0 to 1.
        lean: Forward tilt of the trunk.
        left_arm: Angle of the left arm from hanging down (90 sideways, 180 up).
        right_arm: Angle of the right arm from hanging down.
        left_leg: Angle of the left leg from straight down.
        right_leg: Angle of the right leg from straight down.
        size: Scale of the person.
        present: Presence of the person, who is drawn from 0.5 on.
        prop_x: Distance of the prop from the left.
        prop_lift: Height of the prop's foot above the ground.
        prop_turn: Rotation of the prop.
        prop_size: Scale of the prop.
        held: Weight of the position in hand in the prop's position (1: in hand).
        hold_x: Horizontal position in hand of the prop's center, in body heights from the feet.
        hold_y: Vertical position in hand of the prop's center, in body heights from the feet.
        broken: Degree of breaking; the prop is drawn in pieces above 0.5.
        splash: Amount of splashing water.
        dust: Amount of dust.
        sparks: Amount of sparks.
        confetti: Amount of confetti.
        darkness: Darkness of the picture.
    """

    x: float = 0.30
    lift: float = 0.0
    turn: float = 0.0
    crouch: float = 0.0
    sit: float = 0.0
    lean: float = 0.0
    left_arm: float = 18.0
    right_arm: float = 18.0
    left_leg: float = 10.0
    right_leg: float = 10.0
    size: float = 1.0
    present: float = 1.0
    prop_x: float = 0.72
    prop_lift: float = 0.0
    prop_turn: float = 0.0
    prop_size: float = 1.0
    held: float = 0.0
    hold_x: float = 0.0
    hold_y: float = 0.0
    broken: float = 0.0
    splash: float = 0.0
    dust: float = 0.0
    sparks: float = 0.0
    confetti: float = 0.0
    darkness: float = 0.0


NEUTRAL: Final = Pose()

POSES: Final[dict[str, Pose]] = {
    "far": replace(NEUTRAL, x=0.12, prop_x=0.79),
    "beside": replace(NEUTRAL, x=0.42, prop_x=0.62),
    "overhead": replace(NEUTRAL, x=0.46, left_arm=160, right_arm=160, held=1, hold_x=0, hold_y=1.32, prop_size=0.72),
    "chest": replace(NEUTRAL, right_arm=88, held=1, hold_x=0.62, hold_y=0.66, prop_size=0.8),
    "onhead": replace(NEUTRAL, x=0.46, left_arm=85, right_arm=85, held=1, hold_x=0, hold_y=1.26, prop_size=0.62),
    "crouch": replace(NEUTRAL, crouch=1, left_arm=40, right_arm=40),
    "lie": replace(NEUTRAL, turn=90),
    "jump": replace(NEUTRAL, lift=0.24, left_arm=130, right_arm=130, left_leg=42, right_leg=42),
    "ontop": replace(NEUTRAL, x=0.5, lift=0.29, left_arm=70, right_arm=70, prop_x=0.5, prop_size=0.82),
    "upside": replace(NEUTRAL, turn=180, left_arm=170, right_arm=170, left_leg=25, right_leg=25),
    "wide": replace(NEUTRAL, left_arm=90, right_arm=90, left_leg=32, right_leg=32),
    "armsup": replace(NEUTRAL, left_arm=172, right_arm=172),
    "bow": replace(NEUTRAL, lean=70, left_arm=40, right_arm=40),
    "propair": replace(NEUTRAL, right_arm=120, prop_x=0.74, prop_lift=0.48, prop_size=0.8),
    "propzoom": replace(NEUTRAL, present=0, prop_x=0.5, prop_lift=-0.06, prop_size=1.9),
    "broken": replace(NEUTRAL, broken=1),
    "splash": replace(NEUTRAL, splash=1),
    "dust": replace(NEUTRAL, dust=1),
    "sparks": replace(NEUTRAL, sparks=1),
    "confetti": replace(NEUTRAL, confetti=1),
    "distant": replace(NEUTRAL, x=0.42, size=0.42, prop_x=0.60, prop_size=0.42),
    "zoom": replace(NEUTRAL, x=0.42, lift=-0.66, size=2.0, prop_x=0.93),
    "kick": replace(NEUTRAL, lean=-16, left_arm=60, right_arm=60, right_leg=95),
    "sit": replace(NEUTRAL, sit=1, left_arm=30, right_arm=30),
    "gone": replace(NEUTRAL, present=0, prop_x=0.5),
    "dark": replace(NEUTRAL, darkness=1),
}

_NAMES: Final = tuple(field.name for field in fields(Pose))


def pose_of(state: str, rng: random.Random) -> Pose:
    """Returns the pose of a state with small random deviations of positions and angles."""
    pose = POSES[state]
    return replace(
        pose,
        x=pose.x + rng.gauss(0, 0.025),
        turn=pose.turn + rng.gauss(0, 3),
        lean=pose.lean + rng.gauss(0, 4),
        left_arm=pose.left_arm + rng.gauss(0, 7),
        right_arm=pose.right_arm + rng.gauss(0, 7),
        left_leg=pose.left_leg + rng.gauss(0, 4),
        right_leg=pose.right_leg + rng.gauss(0, 4),
        prop_x=pose.prop_x + rng.gauss(0, 0.025),
        prop_turn=pose.prop_turn + rng.gauss(0, 5),
    )


def between(start: Pose, end: Pose, share: float) -> Pose:
    """Interpolates smoothly between two poses; `share` 0 gives `start`, 1 gives `end`."""
    eased = share * share * (3 - 2 * share)
    values = {name: getattr(start, name) + (getattr(end, name) - getattr(start, name)) * eased for name in _NAMES}
    return Pose(**values)
