"""Long videos of the rendered world: actions with background between them, and the truth about what happens when.

A video is a chain of shots. The shot of an action may begin and end with idling: the same person, place and camera, but
no step of any action. Shots between actions show none of the listed classes.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ost_lightning.errors import UserError
from ost_lightning.text import LabelSpace
from ost_lightning.toyworld.clips import DEVIATION, FRAME_RATE, film, perform, write_mp4
from ost_lightning.toyworld.dataset import label_space
from ost_lightning.toyworld.grammar import DRAWS, ActionClass, draw_classes, vary
from ost_lightning.toyworld.poses import NEUTRAL, Pose, between
from ost_lightning.toyworld.scene import Appearance, Scene
from ost_lightning.toyworld.vocabulary import COLORS, EXTRAS, HATS, PROPS, SETTINGS

BackgroundKind = Literal["idle", "other", "foreign", "stranger", "empty"]
"""What shows none of the listed classes: idling before or after an action, other actions of the same draw of classes,
actions of another draw, strangers who idle, scenes without anybody."""
BACKGROUND_KINDS: Final[tuple[BackgroundKind, ...]] = get_args(BackgroundKind)
SHORTEST: Final = 16
LONGEST: Final = 48
"""Range of the length of an action or a background shot, in frames."""
_IDLING: Final = (6, 20)
"""Range of the length of idling before and after an action, in frames."""
_BLENDED: Final = 3
"""Number of frames in which idling turns into an action."""
_LISTED: Final = 20


@dataclass(frozen=True, slots=True)
class LongVideoClasses:
    """Classes that long videos are made of.

    Attributes:
        listed: Classes of the label set.
        other: Classes that are not listed, of the same draw of classes.
        foreign: Classes that are not listed, of the next draw.
        labels: Label set with descriptors.
    """

    listed: tuple[ActionClass, ...]
    other: tuple[ActionClass, ...]
    foreign: tuple[ActionClass, ...]
    labels: LabelSpace

    @classmethod
    def of(cls, draw: int, group: Literal["seen", "unseen"]) -> Self:
        """Returns 20 listed classes of a group and the others.

        Args:
            draw: Number of the draw of classes, 0 to 4.
            group: Unseen classes, with the order pairs as other ones; or seen classes, with half of them listed.

        Raises:
            UserError: If there is no such draw.
        """
        own, next_draw = draw_classes(draw), draw_classes((draw + 1) % DRAWS)
        listed = own[group][:_LISTED]
        names = {action.name for action in listed}
        other, foreign = (
            tuple(action for action in actions if action.name not in names)
            for actions in (own["order"] if group == "unseen" else own["seen"], next_draw[group])
        )
        labels = label_space(draw, group).select([action.name for action in listed])
        return cls(listed, other, foreign, labels)


@dataclass(frozen=True, slots=True)
class LongVideoPart:
    """A part of a long video, as rendered.

    Attributes:
        start: Beginning in seconds.
        end: End in seconds.
        kind: `action` for listed classes, otherwise the kind of background.
        label: Name of the class; None for background.
    """

    start: float
    end: float
    kind: Literal["action"] | BackgroundKind
    label: str | None = None


def render_long_video(
    classes: LongVideoClasses, actions: Sequence[ActionClass], seed: str
) -> tuple[NDArray[np.uint8], tuple[LongVideoPart, ...]]:
    """Renders actions in this order, with up to two background shots before each one and one at the end.

    Actions and shots last 2 to 6 seconds. On average, an action takes ten seconds with its background.

    Args:
        classes: Classes to choose background from.
        actions: Listed classes to show, each as often as it appears here.
        seed: Seed, any text; the same seed gives the same video.

    Returns:
        Frames, uint8 (T, FRAME_SIDE, FRAME_SIDE, 3) at `FRAME_RATE`, and the parts in order of time, without gaps.

    Raises:
        UserError: If an action is not listed.
    """
    if foreign := [action.name for action in actions if action not in classes.listed]:
        raise UserError(f"The action {foreign[0]!r} is not among the {len(classes.listed)} listed classes.")
    rng = random.Random(seed)
    shots = []
    for action in actions:
        shots += [_background(classes, rng) for _ in range(rng.choice((0, 1, 1, 2)))]
        shots.append(_action_shot(action, rng))
    shots.append(_background(classes, rng))
    parts, frame = [], 0
    for shot in shots:
        for kind, count, label in shot.parts:
            parts.append(LongVideoPart(frame / FRAME_RATE, (frame + count) / FRAME_RATE, kind, label))
            frame += count
    return np.concatenate([shot.frames for shot in shots]), tuple(parts)


def write_long_video(
    path: Path, classes: LongVideoClasses, actions: Sequence[ActionClass], seed: str
) -> tuple[LongVideoPart, ...]:
    """Renders a long video and encodes it as H.264 .mp4; see `render_long_video`.

    Args:
        path: Path of the file to write.
        classes: Classes to choose background from.
        actions: Listed classes to show, each as often as it appears here.
        seed: Seed, any text.

    Returns:
        Parts in order of time, without gaps.
    """
    frames, parts = render_long_video(classes, actions, seed)
    write_mp4(path, frames)
    return parts


@dataclass(frozen=True, slots=True)
class _Shot:
    """Frames of one camera, and its parts: kind, number of frames, name of the class."""

    frames: NDArray[np.uint8]
    parts: tuple[tuple[Literal["action"] | BackgroundKind, int, str | None], ...]


def _action_shot(action: ActionClass, rng: random.Random) -> _Shot:
    before, after = (rng.choice((0, rng.randint(*_IDLING))) for _ in range(2))
    count = rng.randint(SHORTEST, LONGEST)
    poses = _joined([_idling(before, rng), _performance(action, count, rng), _idling(after, rng)])
    parts: tuple[tuple[Literal["action"] | BackgroundKind, int, str | None], ...] = (
        ("idle", before, None),
        ("action", count, action.name),
        ("idle", after, None),
    )
    return _Shot(_filmed(_variation(action.appearance, rng), poses, rng), tuple(part for part in parts if part[1]))


def _background(classes: LongVideoClasses, rng: random.Random) -> _Shot:
    kind = rng.choice([kind for kind in BACKGROUND_KINDS if kind != "idle"])
    count = rng.randint(SHORTEST, LONGEST)
    if kind in ("other", "foreign"):
        action = rng.choice(classes.other if kind == "other" else classes.foreign)
        appearance, poses = _variation(action.appearance, rng), _performance(action, count, rng)
    else:
        appearance, poses = _random_appearance(rng), _idling(count, rng)
        if kind == "empty":  # nobody, and the prop is beyond the picture's edge
            poses = [replace(pose, present=0.0, prop_lift=9.0) for pose in poses]
    return _Shot(_filmed(appearance, poses, rng), ((kind, count, None),))


def _variation(appearance: Appearance, rng: random.Random) -> Appearance:
    return vary(appearance, rng, rate=DEVIATION, settings=list(SETTINGS), extras=list(EXTRAS))


def _random_appearance(rng: random.Random) -> Appearance:
    chosen = (rng.choice(list(values)) for values in (SETTINGS, COLORS, HATS, PROPS, COLORS, EXTRAS))
    return Appearance(*chosen)


def _performance(action: ActionClass, count: int, rng: random.Random) -> list[Pose]:
    """An action at another speed: the poses of a clip, repeated or left out evenly."""
    poses = perform(action.steps, rng)
    return [poses[int((k + 0.5) / count * len(poses))] for k in range(count)]


def _idling(count: int, rng: random.Random) -> list[Pose]:
    """Standing about: the neutral pose, swaying."""
    x, prop_x = NEUTRAL.x + rng.gauss(0, 0.05), NEUTRAL.prop_x + rng.gauss(0, 0.04)
    begin = rng.randrange(100)
    return [
        replace(
            NEUTRAL,
            x=x + 0.008 * math.sin(0.7 * frame),
            prop_x=prop_x,
            left_arm=NEUTRAL.left_arm + 6 * math.sin(0.9 * frame),
            right_arm=NEUTRAL.right_arm - 6 * math.sin(0.9 * frame),
        )
        for frame in range(begin, begin + count)
    ]


def _joined(parts: Sequence[list[Pose]]) -> list[Pose]:
    """Parts one after another; the first frames of each blend with the end of the one before."""
    poses: list[Pose] = []
    for part in parts:
        last = poses[-1] if poses else None
        for k, pose in enumerate(part):
            poses.append(between(last, pose, (k + 1) / (_BLENDED + 1)) if last and k < _BLENDED else pose)
    return poses


def _filmed(appearance: Appearance, poses: Sequence[Pose], rng: random.Random) -> NDArray[np.uint8]:
    scene = Scene(appearance, rng)
    frames: list[Image.Image] = [scene.draw(pose, rng) for pose in poses]
    return film(frames, rng)
